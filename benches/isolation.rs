//! Levels of isolation: transactions of eight operations in 50 sessions, half of them reads.
//!
//! `cargo bench --no-default-features --bench isolation`; with `-- 1000000` only the cases of that many
//! operations.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::Instant;

use rashomon::check::transaction::isolation;
use rashomon::check::{Limits, Status};
use rashomon::history::{Access, Builder, History, Operation};
use rashomon::model::{Function, Kind, Nanos, Process, Random};

/// How a history comes about.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    operations: u64,
    keys: u64,
    /// How many transactions are open at a time.
    sessions: u64,
    /// Whether a transaction takes effect at some instant of its interval, not at its return.
    is_loose: bool,
    /// Whether it reads a key before it writes it.
    is_update: bool,
    /// How many versions too old one read is.
    stale: usize,
    /// Whether nothing is known of real time but the order of each session, which are as they come.
    is_timeless: bool,
}

fn main() {
    let only: Option<u64> = std::env::args().find_map(|word| word.parse().ok());
    println!(
        "{:<34} {:>10} {:>9} {:>9}  violated; undecided",
        "case", "operations", "seconds", "MiB peak"
    );
    let plain = Case {
        name: "at return",
        operations: 0,
        keys: 1_000,
        sessions: 50,
        is_loose: false,
        is_update: false,
        stale: 0,
        is_timeless: false,
    };
    // A thousand transactions on twenty keys: nearly every two writers of a key are a choice.
    if only.is_none() {
        let dense = Case { operations: 8_000, keys: 20, sessions: 20, is_loose: true, ..plain };
        run(Case { name: "dense blind writes", ..dense });
        run(Case { name: "dense, timeless", is_timeless: true, ..dense });
        run(Case { name: "dense, one stale", stale: 3, ..dense });
        run(Case { name: "dense, timeless, one stale", stale: 3, is_timeless: true, ..dense });
    }
    for operations in [10_000, 100_000, 1_000_000, 10_000_000] {
        if only.is_some_and(|only| only != operations) {
            continue;
        }
        let keys = (operations / 10).min(100_000);
        let sized = Case { operations, keys, ..plain };
        run(sized);
        if operations > 1_000_000 {
            continue;
        }
        let hot = 1_000.min(keys);
        run(Case { name: "one stale read, hot keys", keys: hot, stale: 300, ..sized });
        run(Case { name: "updates, loose", is_loose: true, is_update: true, ..sized });
        for sessions in [10, 50] {
            let name =
                if sessions == 10 { "blind writes, loose, 10" } else { "blind writes, loose, 50" };
            run(Case { name, sessions, is_loose: true, ..sized });
        }
        run(Case {
            name: "blind, loose, one stale",
            is_loose: true,
            stale: 20,
            keys: hot,
            ..sized
        });
    }
}

fn run(case: Case) {
    let history = history(case);
    let begin = Instant::now();
    let verdicts = isolation::check(&history, &Limits::default(), &[]);
    let seconds = begin.elapsed().as_secs_f64();
    let of = |status: Status| -> Vec<&str> {
        verdicts.iter().filter(|one| one.status == status).map(|one| one.property.id()).collect()
    };
    println!(
        "{:<34} {:>10} {seconds:>9.3} {:>9}  {}; {}",
        case.name,
        case.operations,
        peak_mib(),
        of(Status::Invalid).join(" "),
        of(Status::Unknown).join(" ")
    );
}

/// A serializable store: each transaction takes effect at an instant of its interval.
fn history(case: Case) -> History {
    let mut random = Random::stream(7, case.name);
    let mut builder = Builder::new();
    let names: Vec<_> = (0..case.keys).map(|key| builder.key(&(key as i64).into())).collect();
    let mut versions: Vec<Vec<i64>> = vec![Vec::new(); case.keys as usize];
    let transactions = case.operations / 8;
    let mut value = 0;
    let mut turns = vec![0; case.sessions as usize];
    let mut is_stale = case.stale == 0;
    for at in 0..transactions {
        let mut accesses = Vec::new();
        while accesses.len() < 8 {
            let key = random.below(case.keys) as usize;
            let writes = random.chance(0.5);
            if !writes || case.is_update {
                let all = &versions[key];
                let mut age = 1;
                if !is_stale && at > transactions * 9 / 10 && all.len() > case.stale && !writes {
                    is_stale = true;
                    age += case.stale;
                }
                let seen = all.len().checked_sub(age).map(|at| all[at]);
                let seen = seen.map_or(rashomon::model::Value::Null, Into::into);
                let value = builder.value(&seen);
                accesses.push(Access { function: Function::Read, key: names[key], value });
            }
            if writes {
                value += 1;
                versions[key].push(value);
                let value = builder.value(&value.into());
                accesses.push(Access { function: Function::Write, key: names[key], value });
            }
        }
        // Effects are at 1,000 × at; a session's next transaction is `sessions` later.
        let width = 1_000 * case.sessions / 2;
        let (before, after) = (random.below(width), random.below(width - 1));
        let effect = 1_000 * (at + case.sessions);
        let session =
            if case.is_timeless { random.below(case.sessions) } else { at % case.sessions };
        let (invoked, returned) = if case.is_timeless {
            turns[session as usize] += 2;
            (turns[session as usize], turns[session as usize] + 1)
        } else {
            (effect - before, effect + 1 + if case.is_loose { after } else { 0 })
        };
        let operation = Operation {
            index: None,
            process: Process(session as u32),
            kind: Kind::Ok,
            function: Function::Txn,
            invoked: Nanos(invoked),
            returned: Some(Nanos(returned)),
            session: None,
            node: None,
            version: None,
            is_final: false,
        };
        builder.operation(operation, &accesses).expect("a well-formed operation");
    }
    builder.finish().expect("a well-formed history")
}

/// The most memory the process has had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) / 1024
}
