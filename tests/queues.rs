//! Queues, stacks and priority queues against every order there is.
#![expect(clippy::print_stdout, reason = "a test says how its cases are spread")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/containers.rs"]
mod containers;

#[path = "oracle/operation.rs"]
mod operation;
#[expect(dead_code, reason = "the examples alone are needed")]
#[path = "oracle/plain.rs"]
mod plain;

use cases::cases;
use compared::tell;
use containers::{Act, Deed, Order, Shape, build, linearizable, random_history, violated};
use rashomon::check::{Limits, Property, Status, linear, queues};
use rashomon::model::{Kind, Random};
use rayon::prelude::*;

const SMALL: Shape = Shape {
    operations: 8,
    clients: 4,
    repeats: 0.0,
    peeks: 0.0,
    unknown: 0.15,
    failed: 0.05,
    wrong: 0.15,
};

/// Compares the checker with the definition on so many small histories; how many hold and how many
/// do not.
fn compare(name: &str, order: Order, shape: Shape, histories: u64) -> (u64, u64) {
    let verdicts: Vec<Status> = (0..histories)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, name);
            let shape = Shape {
                operations: random.between(2, shape.operations),
                clients: random.between(1, shape.clients as u64) as usize,
                unknown: if random.chance(0.5) { 0.0 } else { shape.unknown },
                ..shape
            };
            let deeds: Vec<Deed> = random_history(&mut random, order, shape);
            let history = build(order, &deeds);
            let verdict = linear::check(&history, &Limits::default());
            let truth = linearizable(order, &deeds);
            match verdict.status {
                Status::Valid => assert!(truth, "{history:?} {verdict:?}"),
                Status::Invalid => assert!(!truth, "{history:?} {verdict:?}"),
                Status::Unknown => assert!(!says_anything(&deeds), "{history:?} {verdict:?}"),
            }
            for anomaly in &verdict.anomalies {
                let alone = history.subset(&anomaly.operations);
                let again = linear::check(&alone, &Limits::default());
                assert_eq!(again.status, Status::Invalid, "{history:?} {anomaly:?}");
                let kept: Vec<Deed> =
                    anomaly.operations.iter().map(|txn| deeds[txn.index()]).collect();
                assert!(!linearizable(order, &kept), "{history:?} {anomaly:?}");
                assert!(!anomaly.sentence.is_empty());
            }
            verdict.status
        })
        .collect();
    let valid = verdicts.iter().filter(|one| **one == Status::Valid).count() as u64;
    (valid, tell(Property::Lin, &format!("{name}, {order:?}"), verdicts) as u64)
}

/// Whether there is an answer that could be wrong; looking alone does not tell what was looked at.
fn says_anything(deeds: &[Deed]) -> bool {
    deeds.iter().any(|deed| !matches!(deed.act, Act::Peek(_)))
        && deeds.iter().any(|deed| deed.kind == Kind::Ok && !matches!(deed.act, Act::Put(_)))
}

#[test]
fn monitors_agree_with_every_order_of_small_histories() {
    for order in Order::ALL {
        let all = cases(120_000);
        let (valid, violated) = compare("small containers", order, SMALL, all);
        assert!(valid > all / 4 && violated > all / 10, "{order:?}: {valid} {violated}");
    }
}

#[test]
fn repeated_values_and_peeks_are_searched() {
    let shape = Shape { repeats: 0.6, peeks: 0.15, ..SMALL };
    for order in Order::ALL {
        let all = cases(30_000);
        let (valid, violated) = compare("repeats", order, shape, all);
        assert!(valid > all / 6 && violated > all / 10, "{order:?}: {valid} {violated}");
    }
}

const PROPERTIES: [Property; 5] =
    [Property::QLost, Property::QDup, Property::QOrd, Property::QUnexp, Property::QEmpty];

/// A history with wrong answers of all kinds, some drained at the end.
fn spoiled(random: &mut Random, order: Order) -> Vec<Deed> {
    let shape = Shape {
        operations: random.between(3, 10),
        clients: random.between(1, 3) as usize,
        wrong: 0.3,
        ..SMALL
    };
    let mut deeds = random_history(random, order, shape);
    let end = deeds.iter().map(|deed| deed.invoked).max().unwrap_or(0);
    for _ in 0..random.below(3) {
        let invoked = end + 1 + random.below(6);
        let (act, kind) = (Act::Take(None), Kind::Ok);
        deeds.push(Deed { act, kind, invoked, returned: invoked + 2, is_final: true });
    }
    deeds.sort_by_key(|deed| deed.invoked);
    deeds
}

#[test]
fn elements_go_wrong_as_defined() {
    let all = cases(120_000);
    let told: Vec<[Option<Status>; 5]> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, "elements");
            let order = Order::ALL[(seed % 4).saturating_sub(1) as usize];
            let deeds = spoiled(&mut random, order);
            let history = build(order, &deeds);
            let verdicts = queues::check(&history, &Limits::default());
            let truth = violated(order, &deeds);
            let mut said = [None; 5];
            for (at, property) in PROPERTIES.into_iter().enumerate() {
                let Some(verdict) = verdicts.iter().find(|one| one.property == property) else {
                    assert!(!truth[at] && property == Property::QOrd, "{history:?}");
                    continue;
                };
                let is_invalid = verdict.status == Status::Invalid;
                assert_eq!(is_invalid, truth[at], "{history:?} {verdict:?}");
                said[at] = Some(verdict.status);
                for anomaly in &verdict.anomalies {
                    let alone = history.subset(&anomaly.operations);
                    let again = queues::check(&alone, &Limits::default());
                    let again = again.iter().find(|one| one.property == property);
                    assert_eq!(again.map(|one| one.status), Some(Status::Invalid), "{anomaly:?}");
                    assert!(!anomaly.sentence.is_empty());
                }
            }
            // Each of them but a loss at the end of a run alone refutes linearizability.
            if truth.contains(&true) {
                assert!(!linearizable(order, &deeds), "{history:?} {truth:?}");
            }
            said
        })
        .collect();
    for (at, property) in PROPERTIES.into_iter().enumerate() {
        let said = told.iter().filter_map(|told| told[at]);
        let violated = tell(property, "queues, stacks and priority queues", said) as u64;
        assert!((all / 120..all - all / 6).contains(&violated), "{property:?} {violated}");
    }
}

#[test]
fn the_examples_of_the_specification_get_their_verdicts() {
    let Some(examples) = plain::examples() else {
        println!("skipped: no ../shared");
        return;
    };
    let mut judged = 0;
    for (file, history, verdicts) in &examples {
        let ours = queues::check(history, &Limits::default());
        for (id, holds) in verdicts.iter().filter(|(id, _)| id.starts_with("Q-")) {
            let verdict = ours.iter().find(|one| one.property.id() == id).expect("a verdict");
            let expected = if *holds { Status::Valid } else { Status::Invalid };
            assert_eq!(verdict.status, expected, "{file} {id} {verdict:?}");
            judged += 1;
        }
    }
    assert!(judged >= 10, "{judged}");
}

#[test]
fn nothing_is_said_where_nothing_was_seen() {
    let put = |value, time| Deed {
        act: Act::Put(value),
        kind: Kind::Ok,
        invoked: time,
        returned: time + 1,
        is_final: false,
    };
    let history = build(Order::Fifo, &[put(1, 0), put(2, 5)]);
    for verdict in queues::check(&history, &Limits::default()) {
        assert_eq!(verdict.status, Status::Unknown, "{verdict:?}");
        assert!(verdict.reason.is_some());
    }
    let registers =
        plain::load(r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"w","k":"x","v":1}"#);
    assert_eq!(queues::check(&registers, &Limits::default()), []);
}
