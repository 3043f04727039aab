//! Figures on small histories made by hand: what they count and what they leave out.

use std::sync::Arc;

use rashomon::check::{Expected, Figure, Limits, assess, measure};
use rashomon::history::Builder;
use rashomon::model::{
    ClientEvent, Event, FaultEvent, Function, Kind, Mop, Nanos, Op, Process, Value, What,
};

/// An operation: begin and end in ms, the node, what was done, what came of it.
type Row = (u64, u64, &'static str, Function, Value);

/// A fault: begin and end in ms, its name, and its node.
type Broken = (u64, u64, &'static str, &'static str);

/// The figure of that name. Every operation has a client of its own.
fn figure(name: &str, rows: &[Row], faults: &[Broken]) -> Option<f64> {
    let mut events = Vec::new();
    for (process, (invoked, returned, node, function, value)) in (0..).zip(rows) {
        let mut event = |kind, time: &u64, value: &Value| {
            let mop = Mop { function: *function, key: "x".into(), value: value.clone() };
            let op = Op { function: *function, mops: vec![mop] };
            let client = ClientEvent::new(Process(process), kind, op);
            let client = ClientEvent { node: Some((*node).into()), ..client };
            events.push(Event { time: Nanos::from_millis(*time), what: What::Client(client) });
        };
        let is_told = matches!(function, Function::Read | Function::Leader | Function::Get);
        event(Kind::Invoke, invoked, if is_told { &Value::Null } else { value });
        event(Kind::Ok, returned, value);
    }
    for (begin, end, name, node) in faults {
        for (time, begins) in [(begin, true), (end, false)] {
            let value = Value::Map([("nodes".into(), Value::list([Value::text(node)]))].into());
            let fault = FaultEvent { id: None, begins, name: Arc::from(*name), value };
            events.push(Event { time: Nanos::from_millis(*time), what: What::Fault(fault) });
        }
    }
    events.sort_by_key(|event| event.time);
    let mut builder = Builder::new();
    for event in &events {
        builder.event(event).expect("it is well formed");
    }
    let history = builder.finish().expect("it is well formed");
    let assessment = assess(&history, &Limits::default(), Expected::default());
    let figure = Figure::from_name(name).expect("there is one of that name");
    figure.measure(&history, &measure(&history), &assessment)
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with a figure that may be absent")]
fn ms(ms: u64) -> Option<f64> {
    Some(ms as f64 * 1e6)
}

const WRITE: Function = Function::Write;
const READ: Function = Function::Read;

#[test]
fn a_takeover_ends_when_another_node_acknowledges() {
    let write = |at: u64, node| (at, at + 1, node, WRITE, Value::Int(at as i64));
    // n1 is cut off at 100 ms and goes on; n2 takes its first write at 350 ms.
    let rows = [write(10, "n1"), write(200, "n1"), write(349, "n2"), write(360, "n1")];
    let cut = [(100, 500, "partition", "n1")];
    assert_eq!(figure("takeover", &rows, &cut), ms(250));
    // Without another node there is none, nor before anybody had acknowledged anything.
    assert_eq!(figure("takeover", &rows[..2], &cut), None);
    assert_eq!(figure("takeover", &rows, &[(5, 50, "kill", "n1")]), None);
    // What comes after the next fault is put down to that.
    let two = [(100, 120, "kill", "n1"), (300, 500, "kill", "n1")];
    assert_eq!(figure("takeover", &rows, &two), ms(50));
}

#[test]
fn a_failover_is_needless_if_the_one_before_ran() {
    let says = |at: u64, node, epoch: Option<i64>| {
        let said = epoch.map(|epoch| Value::Map([("epoch".into(), Value::Int(epoch))].into()));
        (at, at + 1, node, Function::Leader, said.unwrap_or(Value::Null))
    };
    let rows = [
        says(10, "n1", Some(256)),
        says(20, "n2", None),
        // n1 stands still.
        says(110, "n2", Some(769)),
        // The same one in a new epoch is no failover, and an old epoch is no news.
        says(210, "n2", Some(1281)),
        says(220, "n1", Some(256)),
        // n2 runs.
        says(310, "n1", Some(1536)),
    ];
    let pause = [(100, 200, "pause", "n1")];
    assert_eq!(figure("failovers", &rows, &pause), Some(2.0));
    assert_eq!(figure("needless-failovers", &rows, &pause), Some(1.0));
    assert_eq!(figure("needless-failovers", &rows, &[(100, 400, "kill", "n2")]), Some(1.0));
    assert_eq!(figure("needless-failovers", &rows, &[]), Some(2.0));
    assert_eq!(figure("failovers", &[(1, 2, "n1", WRITE, Value::Int(1))], &[]), None);
}

#[test]
fn copies_have_converged_when_nobody_misses_what_was_there_before_the_heal() {
    let rows = |late: u64| {
        [
            (10, 11, "n1", WRITE, Value::Int(1)),
            (50, 51, "n1", WRITE, Value::Int(2)),
            // Behind the cut that is no wonder.
            (60, 61, "n2", READ, Value::Int(1)),
            (100 + late, 101 + late, "n2", READ, Value::Int(1)),
            (300, 301, "n1", WRITE, Value::Int(3)),
            // What is missed here was written after the heal.
            (400, 401, "n2", READ, Value::Int(2)),
        ]
    };
    let cut = [(40, 100, "partition", "n2")];
    assert_eq!(figure("convergence-time", &rows(70), &cut), ms(70));
    assert_eq!(figure("convergence-time", &rows(5), &cut), ms(5));
    let seen = [(10, 11, "n1", WRITE, Value::Int(1)), (120, 121, "n2", READ, Value::Int(1))];
    assert_eq!(figure("convergence-time", &seen, &cut), ms(0));
    assert_eq!(figure("convergence-time", &rows(70), &[]), None, "nothing was healed");
}

#[test]
fn siblings_are_the_most_values_that_were_shown_at_once() {
    let shown = |at: u64, values: i64| {
        (at, at + 1, "n1", Function::Get, Value::list((0..values).map(Value::Int)))
    };
    assert_eq!(
        figure("sibling-count", &[shown(10, 2), shown(20, 7), shown(30, 1)], &[]),
        Some(7.0)
    );
    assert_eq!(figure("sibling-count", &[(1, 2, "n1", READ, Value::Null)], &[]), None);
}
