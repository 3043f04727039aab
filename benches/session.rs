//! Session guarantees over 1,000 keys, from 10^4 to 10^7 operations, and graphs of ten million nodes.
//!
//! `cargo bench --no-default-features --bench session`; with `-- 10000000` only the cases of that size.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::Instant;

use rashomon::check::{Limits, Property, Status, session};
use rashomon::graph::{Arc, CycleSpec, Graph, components, shortest_cycle};
use rashomon::history::{Access, Builder, History, Operation};
use rashomon::model::{Function, Kind, Nanos, Process, Random};

fn main() {
    let only: Option<u64> = std::env::args().find_map(|word| word.parse().ok());
    println!("{:<34} {:>10} {:>12} {:>10}", "case", "operations", "seconds", "MiB peak");
    for count in [10_000, 100_000, 1_000_000, 10_000_000] {
        if only.is_some_and(|only| only != count) {
            continue;
        }
        for sessions in [10, 100] {
            sessions_of(count, sessions, 0);
            if count <= 1_000_000 {
                sessions_of(count, sessions, 40);
            }
        }
    }
    if only.is_none_or(|only| only == 10_000_000) {
        chain(10_000_000);
    }
}

/// Every session overlaps all others; reads lag by up to `lag` versions of their key.
fn sessions_of(count: u64, sessions: u64, lag: u64) {
    let history = history(count, sessions, 1_000, lag);
    let begin = Instant::now();
    let verdicts = session::check(&history, &Limits::default());
    let seconds = begin.elapsed().as_secs_f64();
    let violated: Vec<&str> = verdicts
        .iter()
        .filter(|one| one.status == Status::Invalid)
        .map(|one| one.property.id())
        .collect();
    assert_eq!(violated.is_empty(), lag == 0, "{verdicts:#?}");
    assert!(verdicts.iter().all(|one| one.property != Property::Mw || one.status == Status::Valid));
    let name = format!("{sessions} sessions, lag {lag} {}", violated.join(" "));
    println!("{name:<34} {count:>10} {seconds:>12.3} {:>10}", peak_mib());
}

/// A store whose operations take effect one after the other, each somewhere within its interval.
fn history(count: u64, sessions: u64, keys: u64, lag: u64) -> History {
    let mut random = Random::stream(7, "bench");
    let mut builder = Builder::new();
    let names: Vec<_> = (0..keys).map(|key| builder.key(&(key as i64).into())).collect();
    let mut versions: Vec<Vec<i64>> = vec![Vec::new(); keys as usize];
    for at in 0..count {
        let process = (at % sessions) as u32;
        let key = random.below(keys) as usize;
        let (function, value) = if random.chance(0.5) {
            versions[key].push(at as i64);
            (Function::Write, builder.int_value(at as i64))
        } else {
            let known = versions[key].len() as u64;
            let back = if lag == 0 { 0 } else { random.below(lag + 1).min(known) };
            let version = known.checked_sub(back + 1).map(|place| versions[key][place as usize]);
            let value =
                version.map_or(rashomon::history::ValueId::NULL, |value| builder.int_value(value));
            (Function::Read, value)
        };
        // Point `at` in the middle of an interval as long as the others take a turn.
        let half = 5 * sessions - 1;
        let point = 10 * at + half + 1;
        let operation = Operation {
            index: Some(at as u32),
            process: Process(process),
            kind: Kind::Ok,
            function,
            invoked: Nanos(point - half),
            returned: Some(Nanos(point + half)),
            session: None,
            node: None,
            version: None,
            is_final: false,
        };
        let access = Access { function, key: names[key], value };
        builder.operation(operation, &[access]).expect("a well-formed operation");
    }
    builder.finish().expect("a well-formed history")
}

fn chain(nodes: u32) {
    let mut arcs: Vec<Arc> =
        (0..nodes - 1).map(|from| Arc { from, to: from + 1, kinds: 1 }).collect();
    let begin = Instant::now();
    let graph = Graph::new(nodes as usize, &arcs);
    let built = begin.elapsed().as_secs_f64();
    let all = components(&graph);
    let found = begin.elapsed().as_secs_f64() - built;
    assert_eq!(all.count(), nodes as usize);
    println!("{:<34} {nodes:>10} {built:>12.3} {:>10}", "chain: build", peak_mib());
    println!("{:<34} {nodes:>10} {found:>12.3} {:>10}", "chain: components", peak_mib());
    arcs.push(Arc { from: nodes - 1, to: 0, kinds: 2 });
    let ring = Graph::new(nodes as usize, &arcs);
    let begin = Instant::now();
    let all = components(&ring);
    let spec = CycleSpec { through: 3, exactly_one: Some(2), at_least_one: None };
    let cycle = shortest_cycle(&ring, &all, &all.cyclic()[0], spec).expect("the ring");
    assert_eq!(cycle.len(), nodes as usize);
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{:<34} {nodes:>10} {seconds:>12.3} {:>10}",
        "ring: components and its cycle",
        peak_mib()
    );
}

/// The most memory the process ever held, on Linux.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0_u64) / 1024
}
