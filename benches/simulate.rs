//! How many client operations a second of host time the simulator carries: ten clients in a closed
//! loop, half reads and half writes on eight keys.
//!
//! `cargo bench --bench simulate`; the figure is `items/s`.

use std::collections::BTreeMap;
use std::sync::Arc;

use divan::counter::ItemsCount;
use rashomon::model::{Action, Event, Invocation, Nanos, Op, Process, Value, What};
use rashomon::store::build;
use rashomon::target::Target;

const OPERATIONS: u64 = 200_000;
const CLIENTS: u32 = 10;

fn main() {
    divan::main();
}

#[divan::bench(args = ["single", "primary-replica", "raft"], sample_count = 10, sample_size = 1)]
fn closed_loop(bencher: divan::Bencher, store: &str) {
    bencher.counter(ItemsCount::new(OPERATIONS)).bench(|| drive(store));
}

fn drive(store: &str) -> Nanos {
    let mut target = build(store, &BTreeMap::new(), 7).expect("the defaults are valid");
    // Whoever has to be elected is elected by then.
    while target.advance(Nanos::from_millis(2000)).is_some() {}
    let nodes = target.nodes().to_vec();
    let keys: Vec<Value> = (0..8).map(|key| Value::text(&format!("k{key}"))).collect();
    let invoke = |target: &mut dyn Target, at: u64, process: u32| {
        let key = keys[(at / 2 % 8) as usize].clone();
        let op = if at.is_multiple_of(2) {
            Op::write(key, Value::Int(at as i64))
        } else {
            Op::read(key)
        };
        let call = Invocation {
            process: Process(process),
            session: process,
            node: Some(Arc::clone(&nodes[at as usize % nodes.len()])),
            is_final: false,
            waited: Nanos(0),
            op,
        };
        target.begin(&Action::Invoke(call)).expect("the simulator takes every operation");
    };
    for process in 0..CLIENTS {
        invoke(&mut *target, u64::from(process), process);
    }
    for at in u64::from(CLIENTS)..OPERATIONS {
        let event = target.advance(Nanos::FOREVER).expect("every operation ends");
        let Event { what: What::Client(client), .. } = &event else { continue };
        invoke(&mut *target, at, client.process.0);
    }
    target.now()
}
