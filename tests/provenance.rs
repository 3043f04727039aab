//! THIN, G1a and FUT against their literal definitions, and by name.
#![expect(clippy::print_stdout, reason = "a test says what it skips and how its cases are spread")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/plain.rs"]
mod plain;

use cases::cases;
use compared::tell;
use plain::{Plain, Step, build, judge_examples};
use rashomon::check::{Limits, Property, Status, provenance};
use rashomon::model::{Function, Kind, Random};
use rayon::prelude::*;

/// The definitions, word for word (ANOMALIES section 6): which of THIN, G1a, FUT hold.
fn literal(plain: &[Plain]) -> [bool; 3] {
    let writers = |key: usize, value: i64| -> Vec<&Plain> {
        plain.iter().filter(|op| op.writes().any(|one| one == (key, value))).collect()
    };
    let mut holds = [true; 3];
    for op in plain.iter().filter(|op| op.kind == Kind::Ok) {
        for (key, values) in op.reads() {
            for value in values {
                let by = writers(key, value);
                holds[0] &= !by.is_empty();
                holds[1] &= by.is_empty() || by.iter().any(|write| write.kind != Kind::Fail);
                holds[2] &= by.is_empty() || by.iter().any(|write| write.invoked <= op.returned);
            }
        }
    }
    holds
}

fn random_history(random: &mut Random) -> Vec<Plain> {
    let shape = random.below(3);
    let sloppy = random.chance(0.2);
    (0..3 + random.below(6) as u32)
        .map(|process| {
            let invoked = random.below(20);
            let kind = *random.pick(&[Kind::Ok, Kind::Ok, Kind::Ok, Kind::Info, Kind::Fail]);
            let returned =
                if kind == Kind::Info { u64::MAX } else { invoked + 1 + random.below(9) };
            let key = random.below(2) as usize;
            // Now and then a value is written twice, or read that nobody wrote.
            let value = 1 + random.below(if sloppy { 5 } else { 3 }) as i64;
            let elements = |random: &mut Random| -> Vec<i64> {
                (1..=3).filter(|_| random.chance(0.2)).collect()
            };
            let write = match shape {
                0 => Step::Write(key, value),
                1 => Step::Append(key, value),
                _ => Step::Add(key, value),
            };
            let read = match shape {
                0 => Step::Read(key, Some(value).filter(|_| random.chance(0.5))),
                _ => Step::Elements(key, elements(random)),
            };
            let (function, steps) = match random.below(5) {
                0 | 1 => (write_function(shape), vec![write]),
                2 => (Function::Txn, vec![read, write]),
                _ => (Function::Read, vec![read]),
            };
            Plain {
                process,
                session: process,
                kind,
                invoked,
                returned,
                function,
                steps,
                is_final: false,
            }
        })
        .collect()
}

fn write_function(shape: u64) -> Function {
    [Function::Write, Function::Append, Function::Add][shape as usize]
}

#[test]
fn provenance_agrees_with_its_definition() {
    let all = cases(100_000);
    let told: Vec<[Option<Status>; 3]> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let plain = random_history(&mut Random::stream(seed, "provenance"));
            let history = build(&plain);
            let truth = literal(&plain);
            let verdicts = provenance::check(&history, &Limits::default());
            // A key only ever read may be anything; then there is nothing to hold it against.
            for (verdict, holds) in verdicts.iter().zip(truth) {
                if holds {
                    assert_ne!(verdict.status, Status::Invalid, "{history:?} {verdict:?}");
                } else {
                    assert_eq!(verdict.status, Status::Invalid, "{history:?} {verdict:?}");
                }
                for anomaly in &verdict.anomalies {
                    let alone = history.subset(&anomaly.operations);
                    let again = provenance::check(&alone, &Limits::default());
                    let same = again.iter().find(|one| one.property == verdict.property).unwrap();
                    assert_eq!(same.status, Status::Invalid, "{anomaly:?}");
                }
            }
            std::array::from_fn(|at| verdicts.get(at).map(|verdict| verdict.status))
        })
        .collect();
    for (at, property) in [Property::Thin, Property::G1a, Property::Fut].into_iter().enumerate() {
        let violated = tell(property, "anything", told.iter().filter_map(|told| told[at])) as u64;
        assert!((all / 50..all - all / 20).contains(&violated), "{property:?} {violated}");
    }
}

#[test]
fn examples_get_their_verdicts() {
    let properties = [Property::Thin, Property::G1a, Property::Fut];
    let check = |history: &_| provenance::check(history, &Limits::default()).to_vec();
    let judged = judge_examples(&properties, check, |file, _, verdict, holds| {
        let is_violated = verdict.is_some_and(|one| one.status == Status::Invalid);
        assert_eq!(is_violated, !holds, "{file} {verdict:?}");
    });
    assert!(judged.is_none_or(|judged| judged >= 8), "{judged:?} verdicts compared");
}

#[test]
fn an_aborted_read_names_the_rule_of_timeouts() {
    let text = r#"{"i":0,"p":0,"type":"fail","inv":0,"ret":1,"f":"w","k":"x","v":1}
{"i":1,"p":1,"type":"ok","inv":2,"ret":3,"f":"r","k":"x","v":1,"node":"n2"}"#;
    let [thin, aborted, future] = provenance::check(&plain::load(text), &Limits::default());
    assert_eq!((thin.status, future.status), (Status::Valid, Status::Valid));
    assert_eq!(aborted.property, Property::G1a);
    let sentence = &aborted.anomalies[0].sentence;
    assert!(sentence.contains("session 1 read x = 1 (#1 at n2)"), "{sentence}");
    assert!(sentence.contains("specification 1.2.1"), "{sentence}");
}

#[test]
fn an_empty_history_is_undecided() {
    for verdict in provenance::check(&build(&[]), &Limits::default()) {
        assert_eq!(verdict.status, Status::Unknown);
    }
}
