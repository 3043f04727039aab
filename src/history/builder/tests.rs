//! What is paired, ranked and refused.

use super::*;
use crate::model::ClientEvent;

fn event(time: u64, process: u32, kind: Kind, op: Op) -> Event {
    Event { time: Nanos(time), what: What::Client(ClientEvent::new(Process(process), kind, op)) }
}

#[test]
fn pairs_and_ranks() {
    let mut builder = Builder::new();
    let write = Op::write("x".into(), 1.into());
    let seen = Op::single(Function::Read, "x".into(), 1.into());
    builder.event(&event(1, 0, Kind::Invoke, write.clone())).unwrap();
    builder.event(&event(2, 1, Kind::Invoke, Op::read("x".into()))).unwrap();
    builder.event(&event(3, 0, Kind::Ok, write)).unwrap();
    builder.event(&event(4, 1, Kind::Ok, seen)).unwrap();
    builder.event(&event(5, 1, Kind::Invoke, Op::read("x".into()))).unwrap();
    let history = builder.finish().unwrap();
    let txns: Vec<Txn<'_>> = history.txns().collect();
    assert_eq!(txns.len(), 3);
    assert!(!txns[0].precedes(txns[1]) && txns[0].precedes(txns[2]));
    assert_eq!(history.values().int(txns[1].read().unwrap()), Some(1));
    assert_eq!((txns[2].kind(), txns[2].read()), (Kind::Info, Some(ValueId::UNKNOWN)));
    assert_eq!(txns[1].to_string(), "#1 process 1: read x saw 1, 0.0 µs to 0.0 µs");
}

use crate::history::Txn;

#[test]
fn names_what_is_malformed() {
    let write = || Op::write("x".into(), 1.into());
    let fails = |events: &[Event]| {
        let mut builder = Builder::new();
        events.iter().find_map(|event| builder.event(event).err())
    };
    assert_eq!(
        fails(&[event(0, 0, Kind::Ok, write())]),
        Some(Malformed::CompletionWithoutInvocation(Process(0)))
    );
    assert_eq!(
        fails(&[event(0, 0, Kind::Invoke, write()), event(1, 0, Kind::Invoke, write())]),
        Some(Malformed::StillOpen(Process(0), 0))
    );
    assert!(matches!(
        fails(&[event(5, 0, Kind::Invoke, write()), event(1, 0, Kind::Ok, write())]),
        Some(Malformed::TimeBackwards { .. })
    ));
    assert!(matches!(
        fails(&[
            event(0, 0, Kind::Invoke, write()),
            event(1, 0, Kind::Ok, Op::write("x".into(), 2.into()))
        ]),
        Some(Malformed::WriteChanged { .. })
    ));
}

#[test]
fn equal_times_are_concurrent() {
    let mut builder = Builder::new();
    let key = builder.key(&"x".into());
    for (process, invoked, returned) in [(1, 5, 9), (0, 0, 5)] {
        let operation = Operation {
            index: Some(process),
            process: Process(process),
            kind: Kind::Ok,
            function: Function::Write,
            invoked: Nanos(invoked),
            returned: Some(Nanos(returned)),
            session: None,
            node: None,
            version: None,
            is_final: false,
        };
        let value = builder.int_value(i64::from(process));
        builder.operation(operation, &[Access { function: Function::Write, key, value }]).unwrap();
    }
    let history = builder.finish().unwrap();
    let txns: Vec<Txn<'_>> = history.txns().collect();
    assert_eq!([txns[0].index(), txns[1].index()], [0, 1]);
    assert!(!txns[0].precedes(txns[1]));
}

#[test]
fn a_key_that_nobody_changed_is_a_counter_among_counters() {
    let datatype = |changes: &[Function]| {
        let mut builder = Builder::new();
        let mut process = 0;
        let mut done = |op: Op, answer: Op| {
            process += 1;
            builder.event(&event(process, process as u32, Kind::Invoke, op)).unwrap();
            builder.event(&event(process, process as u32, Kind::Ok, answer)).unwrap();
        };
        for function in changes {
            let op = Op::single(*function, function.name().into(), 1.into());
            done(op.clone(), op);
        }
        done(Op::read("x".into()), Op::single(Function::Read, "x".into(), 0.into()));
        let history = builder.finish().unwrap();
        let key = history.keys().find(|key| *history.key_name(*key) == "x".into()).unwrap();
        history.datatype(key)
    };
    assert_eq!(datatype(&[Function::Increment]), Datatype::Counter);
    assert_eq!(datatype(&[Function::Increment, Function::Write]), Datatype::Register);
    assert_eq!(datatype(&[]), Datatype::Register);
}
