//! Anomalies and levels of isolation of list-append and rw-register transactions, serializable ones and
//! those of snapshot isolation, at 10^5 and 10^6 transactions.
//!
//! `cargo bench --no-default-features --bench transactions`; with `-- 100000` only that size.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::Instant;

use rashomon::check::{Limits, Status, transaction};
use rashomon::history::{Access, Builder, History, KeyId, Operation, ValueId};
use rashomon::model::{Function, Kind, Nanos, Process, Random};

const PROCESSES: usize = 10;
const ACTIVE_KEYS: u64 = 10;
const WRITES_PER_KEY: usize = 64;

fn main() {
    let only: Option<u64> = std::env::args().find_map(|word| word.parse().ok());
    println!("{:<36} {:>12} {:>9}", "case", "transactions", "seconds");
    for count in only.map_or(vec![100_000, 1_000_000], |only| vec![only]) {
        for (name, lists) in [("list-append", true), ("rw-register", false)] {
            for level in [Level::Serializable, Level::Snapshot, Level::None] {
                let history = history(count, lists, level);
                let begin = Instant::now();
                let verdicts = transaction::check(&history, &Limits::default());
                let seconds = begin.elapsed().as_secs_f64();
                let broken: Vec<&str> = verdicts
                    .iter()
                    .filter(|one| one.status == Status::Invalid && !one.anomalies.is_empty())
                    .map(|one| one.property.id())
                    .collect();
                let case = format!("{name}, {level:?}");
                println!("{case:<36} {count:>12} {seconds:>9.3} {}", broken.join(" "));
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// Transactions happen at their commit.
    Serializable,
    /// They read what was there when they began; of two that overlap and write one key one aborts.
    Snapshot,
    /// Every operation happens by itself.
    None,
}

/// A transaction that is under way.
struct Open {
    began: u64,
    /// How many commits there were then.
    snapshot: u32,
    steps: Vec<(Function, usize)>,
}

/// The versions of a key, each with the commit that made it.
struct Key {
    name: KeyId,
    versions: Vec<(u32, ValueId)>,
}

struct Store {
    random: Random,
    builder: Builder,
    keys: Vec<Key>,
    lists: bool,
    written: i64,
}

impl Store {
    fn new_key(&mut self) {
        let name = self.builder.key(&(self.keys.len() as i64).into());
        let initial = if self.lists { ValueId::EMPTY } else { ValueId::NULL };
        self.keys.push(Key { name, versions: vec![(0, initial)] });
    }

    fn steps(&mut self) -> Vec<(Function, usize)> {
        let write = if self.lists { Function::Append } else { Function::Write };
        let first = self.keys.len() - ACTIVE_KEYS as usize;
        (0..=self.random.below(4))
            .map(|_| {
                let key = first + self.random.below(ACTIVE_KEYS) as usize;
                (if self.random.chance(0.5) { write } else { Function::Read }, key)
            })
            .collect()
    }

    /// Runs the steps against the versions of a commit and what the transaction itself wrote.
    fn run(&mut self, open: &Open, commit: u32, level: Level) -> (Vec<Access>, bool) {
        let snapshot = if level == Level::Snapshot { open.snapshot } else { commit };
        let mut own: Vec<(usize, ValueId)> = Vec::new();
        let mut accesses = Vec::new();
        let mut conflicts = false;
        for (function, key) in &open.steps {
            let versions = &self.keys[*key].versions;
            let newest = versions[versions.len() - 1];
            let at = versions.partition_point(|one| one.0 <= snapshot) - 1;
            let mut seen = versions[at].1;
            if level == Level::None && at > 0 && self.random.chance(0.01) {
                seen = versions[at - 1].1;
            }
            let mine = own.iter().rposition(|one| one.0 == *key);
            let current = mine.map_or(seen, |at| own[at].1);
            let value = if *function == Function::Read {
                current
            } else {
                conflicts |= newest.0 > snapshot;
                self.written += 1;
                let value = self.builder.int_value(self.written);
                let base = if level == Level::None { newest.1 } else { current };
                let base = mine.map_or(base, |at| own[at].1);
                let version =
                    if self.lists { self.builder.append_value(base, value) } else { value };
                own.push((*key, version));
                value
            };
            accesses.push(Access { function: *function, key: self.keys[*key].name, value });
        }
        if !conflicts {
            for (key, version) in own {
                let versions = &mut self.keys[key].versions;
                if versions.last().is_some_and(|last| last.0 == commit) {
                    versions.pop();
                }
                versions.push((commit, version));
            }
        }
        (accesses, conflicts)
    }
}

fn history(count: u64, lists: bool, level: Level) -> History {
    let random = Random::stream(7, "bench");
    let mut store = Store { random, builder: Builder::new(), keys: Vec::new(), lists, written: 0 };
    (0..ACTIVE_KEYS).for_each(|_| store.new_key());
    let mut open: Vec<Option<Open>> = (0..PROCESSES).map(|_| None).collect();
    let mut done: Vec<(u64, u64, usize, bool, Vec<Access>)> = Vec::with_capacity(count as usize);
    let (mut clock, mut commit) = (0, 0);
    while (done.len() as u64) < count {
        clock += 1;
        let process = store.random.below(PROCESSES as u64) as usize;
        match open[process].take() {
            None => {
                let steps = store.steps();
                open[process] = Some(Open { began: clock, snapshot: commit, steps });
            }
            Some(one) => {
                commit += 1;
                let (accesses, conflicts) = store.run(&one, commit, level);
                done.push((one.began, clock, process, !conflicts, accesses));
                let first = store.keys.len() - ACTIVE_KEYS as usize;
                for at in first..store.keys.len() {
                    if store.keys[at].versions.len() > WRITES_PER_KEY {
                        store.keys.swap(at, first);
                        store.new_key();
                        break;
                    }
                }
            }
        }
    }
    done.sort_unstable_by_key(|one| one.0);
    for (at, (invoked, returned, process, is_ok, accesses)) in (0..).zip(done) {
        let operation = Operation {
            index: Some(at),
            process: Process(process as u32),
            kind: if is_ok { Kind::Ok } else { Kind::Fail },
            function: Function::Txn,
            invoked: Nanos(invoked),
            returned: Some(Nanos(returned)),
            session: None,
            node: None,
            version: None,
            is_final: false,
        };
        store.builder.operation(operation, &accesses).expect("a well-formed operation");
    }
    store.builder.finish().expect("a well-formed history")
}
