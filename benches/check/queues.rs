//! Queues, stacks and priority queues of distinct values: whether they are linearizable, and what became of
//! their elements.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use rashomon::check::{Limits, Status, linear, queues};
use rashomon::history::{Access, Builder, History, Line, ValueId};
use rashomon::model::{Function, Kind, Nanos, Process, Random};

/// What is inside, and which is next.
enum Inside {
    Queue(VecDeque<i64>),
    Stack(Vec<i64>),
    Greatest(BTreeSet<i64>),
}

impl Inside {
    fn put(&mut self, value: i64) {
        match self {
            Self::Queue(inside) => inside.push_back(value),
            Self::Stack(inside) => inside.push(value),
            Self::Greatest(inside) => {
                inside.insert(value);
            }
        }
    }

    fn take(&mut self) -> Option<i64> {
        match self {
            Self::Queue(inside) => inside.pop_front(),
            Self::Stack(inside) => inside.pop(),
            Self::Greatest(inside) => inside.pop_last(),
        }
    }

    fn functions(&self) -> [Function; 2] {
        match self {
            Self::Queue(_) => [Function::Enqueue, Function::Dequeue],
            Self::Stack(_) => [Function::Push, Function::Pop],
            Self::Greatest(_) => [Function::Insert, Function::Poll],
        }
    }
}

/// Ten clients that never rest; as many puts as takes.
fn history(mut inside: Inside, operations: u64) -> History {
    let mut random = Random::stream(1, "benchmark");
    let mut builder = Builder::new();
    let key = builder.key(&"q".into());
    let [put, take] = inside.functions();
    let mut open: Vec<Option<(Function, Option<i64>)>> = vec![None; 10];
    let mut events = BinaryHeap::new();
    for client in 0..10 {
        events.push(Reverse((random.below(1_000), client, 0_u8)));
    }
    let mut invoked = 0;
    while let Some(Reverse((time, client, phase))) = events.pop() {
        let mut line = |kind, function, value: Option<i64>| {
            let value = match value {
                _ if kind == Kind::Invoke && function == take => ValueId::UNKNOWN,
                None => ValueId::NULL,
                Some(value) => builder.int_value(value),
            };
            let line = Line {
                index: None,
                time: Nanos(time),
                process: Process(client),
                kind,
                function,
                session: None,
                node: None,
                version: None,
                is_final: false,
            };
            builder.line(line, &[Access { function, key, value }]).expect("well-formed");
        };
        let slot = &mut open[client as usize];
        match (phase, &mut *slot) {
            (0, _) => {
                if invoked == operations {
                    continue;
                }
                invoked += 1;
                // Scattered, but never the same twice.
                let value = (invoked * 7_368_787 % 1_000_000_007) as i64;
                let is_put = random.chance(0.5);
                let (function, value) = if is_put { (put, Some(value)) } else { (take, None) };
                line(Kind::Invoke, function, value);
                *slot = Some((function, value));
            }
            (1, Some((function, value))) => match value {
                Some(value) if *function == put => inside.put(*value),
                _ => *value = inside.take(),
            },
            (_, slot) => {
                if let Some((function, value)) = slot.take() {
                    line(Kind::Ok, function, value);
                }
            }
        }
        events.push(Reverse((time + 1 + random.below(1_000), client, (phase + 1) % 3)));
    }
    builder.finish().expect("well-formed")
}

fn check(bencher: divan::Bencher<'_, '_>, inside: Inside, operations: u64) {
    let history = history(inside, operations);
    bencher.counter(divan::counter::ItemsCount::new(operations)).bench(|| {
        let verdict = linear::check(&history, &Limits::default());
        assert_eq!(verdict.status, Status::Valid, "{verdict:?}");
    });
}

const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];

#[divan::bench(args = SIZES, sample_count = 3)]
fn queue(bencher: divan::Bencher<'_, '_>, operations: u64) {
    check(bencher, Inside::Queue(VecDeque::new()), operations);
}

#[divan::bench(args = SIZES, sample_count = 3)]
fn stack(bencher: divan::Bencher<'_, '_>, operations: u64) {
    check(bencher, Inside::Stack(Vec::new()), operations);
}

#[divan::bench(args = SIZES, sample_count = 3)]
fn priority_queue(bencher: divan::Bencher<'_, '_>, operations: u64) {
    check(bencher, Inside::Greatest(BTreeSet::new()), operations);
}

#[divan::bench(args = SIZES, sample_count = 3)]
fn elements(bencher: divan::Bencher<'_, '_>, operations: u64) {
    let history = history(Inside::Queue(VecDeque::new()), operations);
    bencher.counter(divan::counter::ItemsCount::new(operations)).bench(|| {
        let verdicts = queues::check(&history, &Limits::default());
        assert!(verdicts.iter().all(|one| one.status != Status::Invalid), "{verdicts:?}");
    });
}
