//! Metrics: quantiles against sorted lists, staleness against its definition, and histories whose
//! times are none.

use std::sync::Arc;

use proptest::prelude::*;
use rashomon::check::{Counts, Metrics, Property, Share, measure};
use rashomon::history::{Access, Builder, History, Line, Operation, Txn};
use rashomon::model::{
    ClientEvent, Event, FaultEvent, Function, Kind, Nanos, Op, Process, Value, What,
};

/// An operation on one key: process, begin and end in ms (`None`: unknown outcome), what, value.
type Row = (u32, u64, Option<u64>, Function, Value);

fn history(rows: &[Row]) -> History {
    let mut builder = Builder::new();
    let key = builder.key(&"x".into());
    for (process, invoked, returned, function, value) in rows {
        let value = builder.value(value);
        let operation = Operation {
            index: None,
            process: Process(*process),
            kind: if returned.is_some() { Kind::Ok } else { Kind::Info },
            function: *function,
            invoked: Nanos::from_millis(*invoked),
            returned: returned.map(Nanos::from_millis),
            session: None,
            node: None,
            version: None,
            is_final: false,
        };
        builder.operation(operation, &[Access { function: *function, key, value }]).unwrap();
    }
    builder.finish().unwrap()
}

const READ: Function = Function::Read;
const WRITE: Function = Function::Write;
const APPEND: Function = Function::Append;

/// Judged reads, stale reads, the longest `t(r)` in ms and the greatest `k(r)`.
fn staleness(rows: &[Row]) -> Option<(u64, u64, u64, u64)> {
    let staleness = measure(&history(rows)).staleness?;
    let ms = staleness.time.map_or(0, |time| time.max.0 / 1_000_000);
    Some((staleness.reads, staleness.stale, ms, staleness.versions_max + 1))
}

#[test]
fn the_examples_of_the_specification() {
    let writes = |second: (u64, u64)| {
        vec![(0, 0, Some(5), WRITE, 1.into()), (0, second.0, Some(second.1), WRITE, 2.into())]
    };
    let with_read = |mut rows: Vec<Row>, begin, end| {
        rows.push((1, begin, Some(end), READ, 1.into()));
        rows
    };
    // STALE-bad, STALE-ok and STALE-k3 of ANOMALIES section 2.
    assert_eq!(staleness(&with_read(writes((10, 15)), 40, 45)), Some((1, 1, 25, 2)));
    assert_eq!(staleness(&with_read(writes((10, 15)), 14, 45)), Some((1, 0, 0, 1)));
    let mut three = writes((10, 15));
    three.push((0, 20, Some(25), WRITE, 3.into()));
    assert_eq!(staleness(&with_read(three, 30, 35)), Some((1, 1, 15, 3)));
}

#[test]
fn what_makes_no_read_stale() {
    // An unacknowledged write, a concurrent one, a value written twice, an unknown one.
    let read = |value: i64| (1, 40, Some(45), READ, Value::from(value));
    let first = (0, 0, Some(5), WRITE, Value::from(1));
    assert_eq!(
        staleness(&[first.clone(), (2, 10, None, WRITE, 2.into()), read(1)]),
        Some((1, 0, 0, 1))
    );
    assert_eq!(
        staleness(&[first.clone(), (2, 4, Some(9), WRITE, 2.into()), read(1)]),
        Some((1, 0, 0, 1))
    );
    assert_eq!(staleness(&[first.clone(), (2, 10, Some(15), WRITE, 1.into()), read(1)]), None);
    assert_eq!(staleness(&[first.clone(), read(7)]), None);
    let unknown = (2, 0, None, WRITE, Value::from(2));
    assert_eq!(staleness(&[first, unknown, read(2)]), Some((1, 0, 0, 1)));
}

#[test]
fn lists_are_stale_by_what_they_lack() {
    let list = |items: &[i64]| Value::list(items.iter().map(|item| Value::from(*item)));
    let mut rows = vec![
        (0, 0, Some(5), APPEND, Value::from(1)),
        (0, 10, Some(15), APPEND, Value::from(2)),
        (2, 11, Some(18), APPEND, Value::from(3)),
        (1, 30, Some(31), READ, list(&[1])),
        (1, 40, Some(41), READ, list(&[1, 3, 2])),
    ];
    assert_eq!(staleness(&rows), Some((2, 1, 15, 3)));
    // Incompatible orders: nothing is known.
    rows.push((3, 50, Some(51), READ, list(&[1, 2])));
    assert_eq!(staleness(&rows), None);
}

/// The definition, word by word: among acknowledged writes that began after the write of the
/// returned version was acknowledged, those acknowledged before the read began.
fn by_definition(history: &History) -> (u64, u64, u64) {
    let ok = |txn: &Txn<'_>| txn.is_ok();
    let (mut stale, mut oldest, mut most) = (0, 0, 0);
    for read in history.txns().filter(ok).filter(|txn| !txn.writes()) {
        let seen = history.txns().find(|txn| txn.writes() && txn.written() == read.read());
        let newer: Vec<Txn<'_>> = history
            .txns()
            .filter(|txn| txn.writes() && txn.is_ok() && txn.precedes(read))
            .filter(|txn| match seen {
                Some(seen) => seen.precedes(*txn),
                None => history.values().value(read.read().unwrap()) == Value::Null,
            })
            .collect();
        if let Some(first) = newer.iter().map(|txn| txn.returned_at()).min() {
            stale += 1;
            oldest = oldest.max((read.invoked_at() - first).0);
            most = most.max(newer.len() as u64);
        }
    }
    (stale, oldest, most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn staleness_is_as_defined(
        rows in prop::collection::vec((0_u64..60, 1_u64..12, any::<bool>(), 0_i64..12, 0_u8..8), 1..24)
    ) {
        let rows: Vec<Row> = rows
            .iter()
            .enumerate()
            .map(|(at, (begin, length, is_write, value, unknown))| {
                let end = (*unknown > 0).then_some(begin + length);
                if *is_write {
                    (at as u32, *begin, end, WRITE, (at as i64).into())
                } else {
                    let value = if *value == 11 { Value::Null } else { Value::from(*value) };
                    (at as u32, *begin, end, READ, value)
                }
            })
            .collect();
        let history = history(&rows);
        let metrics = measure(&history);
        let (stale, oldest, most) = by_definition(&history);
        if let (Some(staleness), true) = (&metrics.staleness, metrics.clock) {
            prop_assert_eq!(staleness.stale, stale);
            prop_assert_eq!(staleness.versions_max, most);
            prop_assert_eq!(staleness.time.map_or(0, |time| time.max.0), oldest);
        } else if metrics.staleness.is_none() {
            prop_assert_eq!(stale, 0);
        }
    }
}

fn run(ops: impl Iterator<Item = (u64, u64, Kind, Function)>, faults: &[(u64, bool)]) -> Metrics {
    let mut events: Vec<Event> = Vec::new();
    for (at, (begin, end, kind, function)) in ops.enumerate() {
        let op = Op::single(function, "x".into(), Value::from(at as i64));
        for (time, kind) in [(begin, Kind::Invoke), (end, kind)] {
            let event = ClientEvent::new(Process(at as u32), kind, op.clone());
            events.push(Event { time: Nanos(time), what: What::Client(event) });
        }
    }
    for (time, begins) in faults {
        let name = Arc::from("kill");
        let fault = FaultEvent { id: None, begins: *begins, name, value: Value::Null };
        events.push(Event { time: Nanos(*time), what: What::Fault(fault) });
    }
    events.sort_by_key(|event| event.time);
    let mut builder = Builder::new();
    for event in &events {
        builder.event(event).unwrap();
    }
    let history = builder.finish().unwrap();
    let metrics = measure(&history);
    assert_eq!(metrics.counts.operations, history.len() as u64);
    metrics
}

#[test]
fn quantiles_are_those_of_the_sorted_times() {
    let took = |at: u64| 1_000 + at * at * 37;
    let metrics =
        run((0..1000).map(|at| (at * 5_000, at * 5_000 + took(at), Kind::Ok, WRITE)), &[]);
    let latency = metrics.latency.unwrap();
    let near = |measured: Nanos, exact: u64| {
        let off = measured.0.abs_diff(exact) as f64 / exact as f64;
        assert!(off < 0.002, "{} is not {exact}", measured.0);
    };
    near(latency.p50, took(499));
    near(latency.p95, took(949));
    near(latency.p99, took(989));
    assert_eq!(latency.max.0, took(999));
    assert_eq!(metrics.functions.len(), 1);
    assert_eq!(metrics.functions[0].latency, Some(latency));
    let seconds = metrics.span.unwrap().0 as f64 / 1e9;
    assert!((metrics.ok_per_second.unwrap() - 1000.0 / seconds).abs() < 1e-6);
}

/// One client, an operation due every 10 ms that takes 1 ms; but the first takes that long. A timer is late
/// by 60 us.
fn paced(first: Nanos) -> Metrics {
    let ms = |count: u64| Nanos::from_millis(count);
    let mut builder = Builder::new();
    let mut free = ms(0);
    for number in 0..100 {
        let (due, took) = (ms(10 * number), if number == 0 { first } else { ms(1) });
        let begin = (due + Nanos(60_000)).max(free);
        free = begin + took;
        let op = Op::write("x".into(), Value::from(number as i64));
        let invoke = ClientEvent::new(Process(0), Kind::Invoke, op.clone());
        let invoke = ClientEvent { waited: begin - due, ..invoke };
        let ok = ClientEvent::new(Process(0), Kind::Ok, op);
        for (time, event) in [(begin, invoke), (free, ok)] {
            builder.event(&Event { time, what: What::Client(event) }).unwrap();
        }
    }
    measure(&builder.finish().unwrap())
}

#[test]
fn no_wait_is_omitted_from_the_latency_since_an_operation_was_due() {
    let ms = |count: u64| Nanos::from_millis(count);
    let metrics = paced(ms(1_000));
    assert_eq!(metrics.latency.unwrap().p99.0 / 1_000_000, 1, "as if nothing had happened");
    let pace = metrics.pace.unwrap();
    assert_eq!((pace.late, pace.waited.max), (99, ms(990) + Nanos(60_000)));
    let latency = pace.latency.unwrap();
    assert!(latency.p50 > ms(500) && latency.p99 > ms(980), "{latency:?}");
    assert_eq!(latency.max, ms(1_000) + Nanos(60_000));
    assert_eq!(paced(ms(1)).pace, None, "a timer is never to the point");
}

#[test]
fn operations_are_counted_by_the_fault_they_were_invoked_in() {
    let kind = |at: u64| if (30..60).contains(&at) { Kind::Info } else { Kind::Ok };
    let operations =
        |end: fn(u64) -> u64| (0..100_u64).map(move |at| (at * 1_000_000, end(at), kind(at), READ));
    let metrics =
        run(operations(|at| at * 1_000_000 + 400_007), &[(29_500_000, true), (59_500_000, false)]);
    let of = |operations, ok, info| Counts { operations, ok, fail: 0, info };
    assert_eq!(metrics.faults.len(), 2);
    assert_eq!((metrics.faults[0].of.as_deref(), metrics.faults[0].counts), (None, of(70, 70, 0)));
    assert_eq!(
        (metrics.faults[1].of.as_deref(), metrics.faults[1].counts),
        (Some("kill"), of(30, 0, 30))
    );
    assert_eq!(metrics.windows[0].counts, of(30, 0, 30));
    assert_eq!(metrics.faults[1].latency, None);
    // A fault that never ends reaches to the end.
    let metrics = run(operations(|at| at * 1_000_000 + 400_007), &[(29_500_000, true)]);
    assert_eq!(metrics.faults[0].counts, of(30, 30, 0));
    assert_eq!(metrics.faults[1].counts, of(70, 40, 30));
}

#[test]
fn numbers_of_events_are_no_times() {
    let one_after_another = |pace: u64| {
        run((0..20).map(|at| (2 * at * pace, (2 * at + 1) * pace, Kind::Ok, WRITE)), &[])
    };
    for pace in [0, 1, 1_000_000] {
        let metrics = one_after_another(pace);
        assert!(!metrics.clock, "pace {pace}");
        assert_eq!((metrics.latency, metrics.span, metrics.ok_per_second), (None, None, None));
        assert!(metrics.functions.iter().all(|one| one.latency.is_none()));
    }
    // The pace of a recorder is never that regular.
    assert!(
        run((0..20).map(|at| (at * 900_000, at * 900_000 + 300_000 + at, Kind::Ok, WRITE)), &[])
            .clock
    );
    assert!(!measure(&Builder::new().finish().unwrap()).clock);
}

#[test]
fn a_fault_without_a_clock_is_no_evidence() {
    let mut builder = Builder::new();
    let name: Arc<str> = Arc::from("kill");
    let fault = FaultEvent { id: None, begins: true, name, value: Value::Null };
    builder.fault(None, Nanos(0), &fault).unwrap();
    let key = builder.key(&"x".into());
    let value = builder.int_value(1);
    let line = |kind| Line {
        index: None,
        time: Nanos(0),
        process: Process(0),
        kind,
        function: WRITE,
        session: None,
        node: None,
        version: None,
        is_final: false,
    };
    for kind in [Kind::Invoke, Kind::Ok] {
        builder.line(line(kind), &[Access { function: WRITE, key, value }]).unwrap();
    }
    let history = builder.finish().unwrap();
    let metrics = measure(&history);
    assert_eq!(metrics.outside_faults(&history), None);
    assert!(metrics.faults.is_empty() && metrics.windows.is_empty());
}

/// Elements added before, during and after a partition, of which the partition lost some.
#[test]
fn losses_are_counted_by_the_fault_their_write_was_invoked_in() {
    let mut lines = Vec::new();
    for element in 0..30_u64 {
        // Not at one pace, so that these are times of a clock.
        let time = 1_000_000 * element + 1_000 * (element % 7);
        if let Some(what) = [(10, "start"), (20, "stop")].iter().find(|one| one.0 == element) {
            let what = format!(":type :info, :f :{}-partition", what.1);
            lines.push(format!("{{:process :nemesis, :time {time}, {what}}}"));
        }
        for (kind, at) in [("invoke", time + 10), ("ok", time + 500)] {
            let what = format!(":type :{kind}, :f :add, :value {element}");
            lines.push(format!("{{:process 0, :time {at}, {what}}}"));
        }
    }
    let kept: Vec<String> =
        (0..30_u64).filter(|one| !(12..16).contains(one)).map(|one| one.to_string()).collect();
    for (kind, at, value) in [
        ("invoke", 50_000_000, "nil".to_owned()),
        ("ok", 50_700_000, format!("[{}]", kept.join(" "))),
    ] {
        let what = format!(":type :{kind}, :f :read, :value {value}, :final true");
        lines.push(format!("{{:process 0, :time {at}, {what}}}"));
    }
    let text = lines.join("\n");
    let history =
        rashomon::history::read_bytes("h.edn", text.as_bytes(), None).expect("well-formed");
    let metrics = measure(&history);
    for property in [Property::Awl, Property::SetLost] {
        let losses = metrics.losses.iter().find(|one| one.of == property).expect("judged");
        let share = |lost, acknowledged| Share { lost, acknowledged };
        assert_eq!(losses.all, share(4, 30), "{property:?}");
        assert_eq!(losses.outside, Some(share(0, 20)));
        assert_eq!(losses.windows, [share(4, 10)]);
        assert_eq!(losses.windows[0].rate(), Some(0.4));
    }
}
