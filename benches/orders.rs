//! REG, COH and SEQ over 1,000 keys, from 10^5 to 10^6 operations, fresh reads and stale ones.
//!
//! `cargo bench --no-default-features --bench orders`; with `-- 10000000` only that size.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::Instant;

use rashomon::check::{Limits, Verdict, incompatible_order, measure, order, regular};
use rashomon::history::{Access, Builder, Datatype, History, Operation, ValueId};
use rashomon::model::{Function, Kind, Nanos, Process, Random};

fn main() {
    let only: Option<u64> = std::env::args().find_map(|word| word.parse().ok());
    println!("{:<34} {:>10} {:>9}", "case", "operations", "seconds");
    for count in only.map_or(vec![100_000, 1_000_000], |only| vec![only]) {
        for (keys, lag) in [(1_000, 0), (1_000, 3), (1, 0), (1, 3)] {
            let history = history(count, 20, keys, lag);
            assert_eq!(history.datatype(rashomon::history::KeyId(0)), Datatype::Register);
            let name = format!("{keys} keys, lag {lag}");
            let limits = Limits::default();
            time(&format!("REG, {name}"), count, || regular::check(&history, &limits));
            time(&format!("COH and SEQ, {name}"), count, || order::check(&history, &limits));
            time(&format!("INCO, {name}"), count, || incompatible_order::check(&history, &limits));
            let begin = Instant::now();
            let staleness = measure(&history).staleness.and_then(|one| one.atomicity);
            let seconds = begin.elapsed().as_secs_f64();
            println!("{:<34} {count:>10} {seconds:>9.3} {staleness:?}", format!("metrics, {name}"));
        }
    }
}

fn time<V: IntoIterator<Item = Verdict>>(name: &str, count: u64, check: impl Fn() -> V) {
    let begin = Instant::now();
    let verdicts: Vec<Verdict> = check().into_iter().collect();
    let seconds = begin.elapsed().as_secs_f64();
    let words: Vec<String> =
        verdicts.iter().map(|one| format!("{} {}", one.property.id(), one.status.name())).collect();
    println!("{name:<34} {count:>10} {seconds:>9.3} {}", words.join(", "));
}

/// A store whose operations take effect one after the other, each somewhere within its interval; reads
/// lag by up to `lag` versions of their key.
fn history(count: u64, sessions: u64, keys: u64, lag: u64) -> History {
    let mut random = Random::stream(7, "bench");
    let mut builder = Builder::new();
    let names: Vec<_> = (0..keys).map(|key| builder.key(&(key as i64).into())).collect();
    let mut versions: Vec<Vec<ValueId>> = vec![vec![ValueId::NULL]; keys as usize];
    for at in 0..count {
        let key = random.below(keys) as usize;
        let known = &mut versions[key];
        let (function, value) = if random.chance(0.5) {
            known.push(builder.int_value(at as i64));
            (Function::Write, known[known.len() - 1])
        } else {
            let back = random.below(lag + 1).min(known.len() as u64 - 1) as usize;
            (Function::Read, known[known.len() - 1 - back])
        };
        let half = 5 * sessions - 1;
        let point = 10 * at + half + 1;
        let operation = Operation {
            index: Some(at as u32),
            process: Process((at % sessions) as u32),
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
