//! Linearizability: one hot register, many keys, updates, and a search.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rashomon::check::{Limits, Status, linear};
use rashomon::history::{Access, Builder, History, KeyId, Line, ValueId};
use rashomon::model::{Function, Kind, Nanos, Process, Random};

/// What a synthetic history is like. Clients never rest: call, effect and return are random delays apart.
#[derive(Clone, Copy)]
struct Shape {
    operations: u64,
    clients: u32,
    keys: u64,
    /// The share of operations that write, and of those that update (read-modify-write).
    writes: f64,
    updates: f64,
    /// How many different values are written; 0 for a new one each time.
    values: i64,
    /// Whether a read in the middle returns what was overwritten long ago.
    spoiled: bool,
}

const REGISTER: Shape = Shape {
    operations: 0,
    clients: 100,
    keys: 1,
    writes: 0.5,
    updates: 0.0,
    values: 0,
    spoiled: false,
};

#[derive(Clone, Copy)]
struct Open {
    key: u64,
    function: Function,
    /// Read, then written; 0 is nothing.
    values: (i64, i64),
}

fn history(shape: Shape) -> History {
    let mut random = Random::stream(1, "benchmark");
    let mut builder = Builder::new();
    let keys: Vec<KeyId> = (0..shape.keys).map(|key| builder.key(&(key as i64).into())).collect();
    let mut registers = vec![0_i64; shape.keys as usize];
    let mut old = vec![0_i64; shape.keys as usize];
    let mut open: Vec<Option<Open>> = vec![None; shape.clients as usize];
    let mut events = BinaryHeap::new();
    for client in 0..shape.clients {
        events.push(Reverse((random.below(1_000), client, 0_u8)));
    }
    let (mut invoked, mut next, mut spoiled) = (0, 0, !shape.spoiled);
    while let Some(Reverse((time, client, phase))) = events.pop() {
        let mut line = |kind, one: &Open| {
            let key = keys[one.key as usize];
            let mut access = |function, value: i64| {
                let unknown = kind == Kind::Invoke && function == Function::Read;
                let value = match value {
                    _ if unknown => ValueId::UNKNOWN,
                    0 => ValueId::NULL,
                    value => builder.int_value(value),
                };
                Access { function, key, value }
            };
            let accesses = match one.function {
                Function::Read => vec![access(Function::Read, one.values.0)],
                Function::Write => vec![access(Function::Write, one.values.1)],
                _ => vec![
                    access(Function::Read, one.values.0),
                    access(Function::Write, one.values.1),
                ],
            };
            let line = Line {
                index: None,
                time: Nanos(time),
                process: Process(client),
                kind,
                function: one.function,
                session: None,
                node: None,
                version: None,
                is_final: false,
            };
            builder.line(line, &accesses).expect("well-formed");
        };
        let slot = &mut open[client as usize];
        match (phase, slot) {
            (0, slot) => {
                if invoked == shape.operations {
                    continue;
                }
                invoked += 1;
                let choice = random.unit();
                let function = match choice {
                    _ if choice < shape.writes => Function::Write,
                    _ if choice < shape.writes + shape.updates => Function::Rmw,
                    _ => Function::Read,
                };
                next += 1;
                let value = if shape.values == 0 { next } else { 1 + next % shape.values };
                let one = Open { key: random.below(shape.keys), function, values: (0, value) };
                line(Kind::Invoke, &one);
                *slot = Some(one);
            }
            (1, Some(one)) => {
                let register = &mut registers[one.key as usize];
                one.values.0 = *register;
                if one.function == Function::Read {
                    if !spoiled && invoked > shape.operations / 2 {
                        spoiled = true;
                        one.values.0 = old[one.key as usize];
                    }
                } else {
                    if invoked < shape.operations / 4 {
                        old[one.key as usize] = one.values.1;
                    }
                    *register = one.values.1;
                }
            }
            (_, slot) => {
                if let Some(one) = slot.take() {
                    line(Kind::Ok, &one);
                }
            }
        }
        let delay = 1 + random.below(1_000);
        events.push(Reverse((time + delay, client, (phase + 1) % 3)));
    }
    builder.finish().expect("well-formed")
}

fn check(bencher: divan::Bencher<'_, '_>, shape: Shape) {
    let history = history(shape);
    let expected = if shape.spoiled { Status::Invalid } else { Status::Valid };
    bencher.counter(divan::counter::ItemsCount::new(shape.operations)).bench(|| {
        let verdict = linear::check(&history, &Limits::default());
        assert_eq!(verdict.status, expected, "{:?}", verdict.reason);
    });
}

const SIZES: [u64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];

#[divan::bench(args = SIZES, sample_count = 5)]
fn register_concurrency_10(bencher: divan::Bencher<'_, '_>, operations: u64) {
    check(bencher, Shape { operations, clients: 10, ..REGISTER });
}

#[divan::bench(args = SIZES, sample_count = 5)]
fn register_concurrency_100(bencher: divan::Bencher<'_, '_>, operations: u64) {
    check(bencher, Shape { operations, ..REGISTER });
}

#[divan::bench(args = SIZES, sample_count = 5)]
fn register_with_a_stale_read(bencher: divan::Bencher<'_, '_>, operations: u64) {
    check(bencher, Shape { operations, spoiled: true, ..REGISTER });
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 5)]
fn updates(bencher: divan::Bencher<'_, '_>, operations: u64) {
    check(bencher, Shape { operations, writes: 0.05, updates: 0.45, ..REGISTER });
}

#[divan::bench(args = [100_000, 1_000_000], sample_count = 5)]
fn a_thousand_keys(bencher: divan::Bencher<'_, '_>, operations: u64) {
    check(bencher, Shape { operations, keys: 1_000, ..REGISTER });
}

#[divan::bench(args = [1_000, 10_000, 100_000], sample_count = 5)]
fn search_of_five_values_concurrency_10(bencher: divan::Bencher<'_, '_>, operations: u64) {
    check(bencher, Shape { operations, clients: 10, values: 5, ..REGISTER });
}
