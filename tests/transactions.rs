//! Anomalies and levels of isolation: the examples of the specification, and small histories by brute
//! force.

#![expect(clippy::print_stdout, reason = "what is skipped is said")]

#[path = "oracle/plain.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod plain;
#[path = "oracle/transactions.rs"]
mod transactions;

use std::collections::BTreeMap;

use plain::{Plain, build, examples};
use rashomon::check::{
    Anomaly, Expected, Limits, Property, Status, Verdict, assess, incompatible_order, transaction,
};
use rashomon::history::{History, Txn};
use rashomon::model::Random;
use transactions::{CLASSES, Oracle, Time, random};

fn cases(default: u64) -> u64 {
    std::env::var("RASHOMON_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn verdicts(history: &History) -> BTreeMap<Property, Verdict> {
    let all = transaction::check(history, &Limits::default());
    all.into_iter().map(|verdict| (verdict.property, verdict)).collect()
}

fn assessed(history: &History) -> BTreeMap<Property, Verdict> {
    let all = assess(history, &Limits::default(), Expected::default()).verdicts;
    all.into_iter().map(|verdict| (verdict.property, verdict)).collect()
}

#[test]
fn the_examples_of_the_specification() {
    let Some(examples) = examples() else {
        println!("skipped: there is no ../shared/spec/examples");
        return;
    };
    let mut compared = 0;
    for (file, history, expected) in examples {
        let found = verdicts(&history);
        if found.is_empty() {
            continue;
        }
        let whole = assessed(&history);
        for (id, holds) in expected {
            let Some(property) = Property::from_name(&id) else { continue };
            let Some(verdict) = found.get(&property) else { continue };
            let expected = if holds { Status::Valid } else { Status::Invalid };
            assert_eq!(whole[&property].status, expected, "{file} {id}: {verdict:#?}");
            compared += 1;
        }
    }
    assert!(compared > 500, "{compared} verdicts");
}

fn id(class: &str, time: Time) -> String {
    match time {
        Time::None => class.to_owned(),
        Time::Sessions => format!("{class}-process"),
        Time::Real => format!("{class}-realtime"),
    }
}

const TIMES: [Time; 3] = [Time::None, Time::Sessions, Time::Real];

/// Compares all classes; returns which were there.
fn classes_agree(all: &[Plain]) -> Vec<String> {
    let history = build(all);
    let found = verdicts(&history);
    let oracle = Oracle::new(all);
    let mut there = Vec::new();
    for class in CLASSES {
        let mut before = false;
        for time in TIMES {
            let is_there = oracle.classes(time).contains(class) && !before;
            let property = Property::from_name(&id(class, time)).unwrap();
            let verdict = &found[&property];
            let expected = if is_there { Status::Invalid } else { Status::Valid };
            assert_eq!(verdict.status, expected, "{}: {all:#?} {verdict:#?}", id(class, time));
            before |= is_there;
            there.extend(is_there.then(|| id(class, time)));
        }
    }
    let status = |property| found[&property].status == Status::Invalid;
    assert_eq!(status(Property::CyclicVersions), oracle.data_edges().1, "{all:#?}");
    assert_eq!(status(Property::Int), oracle.contradicts_itself(false), "{all:#?}");
    assert_eq!(status(Property::Lu), oracle.loses_update(), "{all:#?}");
    for anomaly in found.values().flat_map(|verdict| &verdict.anomalies) {
        is_proof_alone(&history, anomaly);
    }
    there
}

/// The operations of a proof alone show the same (that they do for the levels, too, is held against
/// exhaustion in tests/isolation.rs). Only of a list whose reads contradict each other no order is
/// known; without one of these reads it may be, and the cycle needs no sessions or real time any more.
fn is_proof_alone(history: &History, anomaly: &Anomaly) {
    if anomaly.property >= Property::Rc {
        return;
    }
    let again = verdicts(&history.subset(&anomaly.operations));
    let shows = |property: Property| again[&property].status == Status::Invalid;
    let whole = incompatible_order::check(history, &Limits::default());
    let is_contradictory = whole.is_some_and(|verdict| verdict.status == Status::Invalid)
        || history.txns().flat_map(Txn::accesses).any(|access| {
            let mut elements = history.values().elements(access.value);
            let count = elements.len();
            elements.sort_unstable();
            elements.dedup();
            elements.len() < count
        });
    let class = anomaly.property.id().trim_end_matches("-process").trim_end_matches("-realtime");
    let plainer = CLASSES.iter().filter(|one| **one == class && is_contradictory);
    let mut plainer = plainer.filter_map(|class| Property::from_name(class));
    let is_shown = shows(anomaly.property) || plainer.any(shows);
    let found: Vec<(&str, Status)> =
        again.values().map(|verdict| (verdict.property.id(), verdict.status)).collect();
    assert!(is_shown, "{anomaly:#?}\n{history:#?}\n{found:?}");
}

#[test]
fn classes_are_those_of_all_simple_cycles() {
    let mut seeds = Random::stream(11, "classes");
    let mut there = BTreeMap::<String, u64>::new();
    for case in 0..cases(12_000) {
        for class in classes_agree(&random(&mut seeds, case % 2 == 0, 6)) {
            *there.entry(class).or_default() += 1;
        }
    }
    println!("{there:?}");
    assert!(there.values().sum::<u64>() > 1_000, "{there:?}");
}

#[test]
fn models_are_those_of_all_orders() {
    let mut seeds = Random::stream(12, "models");
    let mut decided = BTreeMap::<(&str, bool), u64>::new();
    for case in 0..cases(12_000) {
        let all = random(&mut seeds, case % 2 == 0, 5);
        let history = build(&all);
        let found = assessed(&history);
        let oracle = Oracle::new(&all);
        for (property, model, time) in MODELS {
            let verdict = &found[&property];
            let is_kept = match model {
                "SER" | "SI" | "PC" => oracle.commits(model, time),
                _ => oracle.arbitrates(model, time),
            };
            let name = property.id();
            // A key that is read twice with two answers has a second reader to the checker, not here.
            if property == Property::Rc && found[&Property::Int].status == Status::Invalid {
                continue;
            }
            match verdict.status {
                Status::Valid => assert!(is_kept, "{name} holds? {all:#?} {verdict:#?}"),
                Status::Invalid => assert!(!is_kept, "{name} violated? {all:#?} {verdict:#?}"),
                Status::Unknown => continue,
            }
            *decided.entry((name, is_kept)).or_default() += 1;
        }
        for (property, verdict) in found.iter().filter(|one| one.0 >= &Property::Int) {
            for weaker in property.implies() {
                let broken = found.get(weaker).is_some_and(|one| one.status == Status::Invalid);
                assert!(!broken || verdict.status == Status::Invalid, "{property:?} {weaker:?}");
            }
        }
    }
    println!("{decided:?}");
    assert!(decided.values().all(|count| *count > 10), "{decided:?}");
}

const MODELS: [(Property, &str, Time); 13] = [
    (Property::Rc, "RC", Time::None),
    (Property::Ra, "RA", Time::None),
    (Property::Tcc, "TCC", Time::None),
    (Property::Psi, "PSI", Time::None),
    (Property::Pc, "PC", Time::None),
    (Property::Si, "SI", Time::None),
    (Property::Ser, "SER", Time::None),
    (Property::SsPc, "PC", Time::Sessions),
    (Property::SsSi, "SI", Time::Sessions),
    (Property::SsSer, "SER", Time::Sessions),
    (Property::SPc, "PC", Time::Real),
    (Property::SSi, "SI", Time::Real),
    (Property::Sser, "SER", Time::Real),
];
