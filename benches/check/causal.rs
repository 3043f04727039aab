//! PRAM, CC, CM and `CCv`: a store whose replicas apply writes in causal order, behind each other.

use rashomon::check::{Limits, Status, causal};
use rashomon::history::{Access, Builder, History, KeyId, Operation, ValueId};
use rashomon::model::{Function, Kind, Nanos, Process, Random};

/// A thousand registers; each session reads its own replica, which applies all writes in one order
/// but is up to `lag` of them behind.
fn history(operations: u64, sessions: u64, lag: u64) -> History {
    const KEYS: u64 = 1_000;
    let mut random = Random::stream(5, "causal bench");
    let mut builder = Builder::new();
    let keys: Vec<KeyId> = (0..KEYS).map(|key| builder.key(&(key as i64).into())).collect();
    // Every write, and for each key the places of its writes in that log.
    let mut log = 0_u64;
    let mut writes: Vec<Vec<u64>> = vec![Vec::new(); KEYS as usize];
    let mut applied = vec![0_u64; sessions as usize];
    for at in 0..operations {
        let session = random.below(sessions) as usize;
        let key = random.below(KEYS) as usize;
        let behind = log - applied[session];
        applied[session] += random.below(behind + 1).max(behind.saturating_sub(lag));
        let (function, value) = if random.chance(0.5) {
            log += 1;
            applied[session] = log;
            writes[key].push(log);
            (Function::Write, builder.int_value(log as i64))
        } else {
            let known = writes[key].partition_point(|write| *write <= applied[session]);
            let last = known.checked_sub(1).map(|place| writes[key][place]);
            let value = last.map_or(ValueId::NULL, |value| builder.int_value(value as i64));
            (Function::Read, value)
        };
        let operation = Operation {
            index: Some(at as u32),
            process: Process(session as u32),
            kind: Kind::Ok,
            function,
            invoked: Nanos(2 * at),
            returned: Some(Nanos(2 * at + 1)),
            session: None,
            node: None,
            version: None,
            is_final: false,
        };
        let access = Access { function, key: keys[key], value };
        builder.operation(operation, &[access]).expect("a well-formed operation");
    }
    builder.finish().expect("a well-formed history")
}

#[divan::bench(
    args = [(100_000, 10), (100_000, 100), (1_000_000, 10), (1_000_000, 100)],
    sample_count = 3,
    sample_size = 1
)]
fn registers(bencher: divan::Bencher<'_, '_>, (operations, sessions): (u64, u64)) {
    let history = history(operations, sessions, 100);
    bencher.bench(|| {
        let verdicts = causal::check(&history, &Limits::default());
        assert!(verdicts.iter().all(|one| one.status == Status::Valid), "{verdicts:#?}");
    });
}
