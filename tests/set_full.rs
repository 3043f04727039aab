//! SETLOST, SETSTALE and DUPEL against their literal definitions, and by name.
#![expect(clippy::print_stdout, reason = "a test says what it skips")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/set_full.rs"]
mod definition;
#[path = "oracle/lines.rs"]
mod lines;

use std::collections::BTreeMap;

use cases::cases;
use compared::tell;
use definition::{doubled, fates};
use lines::{Line, examples, history, load};
use rashomon::check::{Limits, Property, Status, Verdict, duplication, set_full};
use rashomon::history::History;
use rashomon::model::{Nanos, Random};
use rayon::prelude::*;
use serde_json::json;

const CASES: u64 = 100_000;

fn limits() -> Limits {
    Limits { anomalies: 100, ..Limits::default() }
}

fn verdict_of(history: &History, property: Property) -> Verdict {
    let verdicts = set_full::check(history, &limits());
    verdicts.into_iter().find(|one| one.property == property).expect("a set")
}

/// Every witness, replayed alone, is a violation again, and says so in a sentence.
fn replays(history: &History, verdict: &Verdict, check: impl Fn(&History) -> Verdict) {
    for anomaly in &verdict.anomalies {
        let again = check(&history.subset(&anomaly.operations)).status;
        assert_eq!(again, Status::Invalid, "{history:?} {anomaly:?}");
        assert!(!anomaly.sentence.is_empty());
    }
}

fn random_set(random: &mut Random) -> Vec<Line> {
    let mut lines = Vec::new();
    let elements = 1 + random.below(3) as i64;
    for element in 1..=elements {
        lines.push(Line::random(random, 0).does("add", "s", element.into()));
    }
    if random.chance(0.2) {
        let again = 1 + random.below(elements as u64) as i64;
        let function = *random.pick(&["add", "add", "rem"]);
        lines.push(Line::random(random, 0).does(function, "s", again.into()));
    }
    // Without a read, an element that is added again makes it a counter.
    for _ in 0..=random.below(4) {
        let mut seen: Vec<i64> = (1..=elements).filter(|_| random.chance(0.7)).collect();
        if random.chance(0.03) {
            seen.push(1 + random.below(5) as i64);
        }
        if random.chance(0.3) {
            seen.reverse();
        }
        let line = Line::random(random, 4).does("r", "s", json!(seen));
        lines.push(Line { is_final: random.chance(0.4), ..line });
    }
    lines
}

#[test]
fn fates_are_those_of_the_definition() {
    let all = cases(CASES);
    let told: Vec<(BTreeMap<&str, usize>, [Status; 2])> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let lines = random_set(&mut Random::stream(seed, "set-full"));
            let history = history(&lines);
            let truth = fates(&lines);
            let ours: BTreeMap<i64, &str> = set_full::fates(&history)
                .iter()
                .map(|one| (history.values().int(one.value).expect("a number"), one.fate.name()))
                .collect();
            assert_eq!(ours, truth, "{history:?}");
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for fate in truth.values() {
                *counts.entry(fate).or_default() += 1;
            }
            let many = |fates: &[&str]| fates.iter().filter_map(|fate| counts.get(fate)).sum();
            let broken: [(Property, usize); 2] = [
                (Property::SetLost, many(&["lost", "duplicated", "unexpected", "failed-visible"])),
                (Property::SetStale, many(&["stale"])),
            ];
            let said = broken.map(|(property, count)| {
                let verdict = verdict_of(&history, property);
                assert_eq!(verdict.count, count as u64, "{history:?} {verdict:?}");
                let expected = match (count, many(&["missing"]), many(&["ok", "stale", "lost"])) {
                    (1.., ..) => Status::Invalid,
                    (0, 0, 1..) => Status::Valid,
                    _ => Status::Unknown,
                };
                assert_eq!(verdict.status, expected, "{history:?} {verdict:?}");
                replays(&history, &verdict, |alone| verdict_of(alone, property));
                verdict.status
            });
            (counts, said)
        })
        .collect();
    for (at, property) in [Property::SetLost, Property::SetStale].into_iter().enumerate() {
        let violated = tell(property, "sets", told.iter().map(|(_, said)| said[at])) as u64;
        assert!(violated > all / 100, "{property:?} {violated}");
    }
    let fates = [
        "ok",
        "lost",
        "missing",
        "stale",
        "never-read",
        "unexpected",
        "duplicated",
        "failed-visible",
        "not-added",
        "indeterminate",
    ];
    for fate in fates {
        let count: usize = told.iter().filter_map(|(counts, _)| counts.get(fate)).sum();
        assert!(count as u64 > all / 200, "{count} elements are {fate}");
    }
}

#[test]
fn doubled_elements_are_those_of_the_definition() {
    let all = cases(CASES);
    let said: Vec<Option<Status>> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, "doubled");
            let function = *random.pick(&["append", "append", "add"]);
            let mut lines = Vec::new();
            for _ in 0..=random.below(4) {
                let element = 1 + random.below(3) as i64;
                lines.push(Line::random(&mut random, 0).does(function, "s", element.into()));
            }
            for _ in 0..=random.below(3) {
                let length = random.below(5);
                let seen: Vec<i64> = (0..length).map(|_| 1 + random.below(5) as i64).collect();
                lines.push(Line::random(&mut random, 4).does("r", "s", json!(seen)));
            }
            let truth = doubled(&lines);
            let history = history(&lines);
            let looked = lines.iter().any(|line| line.is_ok() && line.function == "r");
            let verdict = duplication::elements(&history, &limits());
            let count = verdict.as_ref().map(|verdict| verdict.count);
            assert_eq!(count, looked.then_some(truth.len() as u64), "{history:?} {verdict:?}");
            if let Some(verdict) = &verdict {
                let check = |alone: &History| duplication::elements(alone, &limits());
                replays(&history, verdict, |alone| check(alone).expect("a read"));
            }
            verdict.map(|verdict| verdict.status)
        })
        .collect();
    let violated = tell(Property::Dupel, "lists and sets", said.into_iter().flatten()) as u64;
    let spread = (all / 10..all - all / 10).contains(&violated);
    assert!(spread, "{violated} of {all} have doubled elements");
}

#[test]
fn examples_get_their_verdicts() {
    let examples = examples(&["SETLOST", "SETSTALE", "DUPEL"]);
    if examples.is_empty() {
        println!("skipped: the examples of the specification are not here");
        return;
    }
    assert!(examples.len() >= 8, "{} verdicts", examples.len());
    for (file, history, id, holds) in examples {
        let verdict = match id.as_str() {
            "SETLOST" => verdict_of(&history, Property::SetLost),
            "SETSTALE" => verdict_of(&history, Property::SetStale),
            _ => duplication::elements(&history, &limits()).expect("lists"),
        };
        assert_eq!(verdict.status == Status::Invalid, !holds, "{file} {id} {verdict:?}");
    }
}

/// Jepsen's set-full never finds these (it compares a count with less than one).
#[test]
fn duplicates_are_found_by_both_properties() {
    let text = r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"add","k":"s","v":0}
{"i":1,"p":1,"type":"ok","inv":5,"ret":6,"f":"r","k":"s","v":[0,0,0],"final":true}"#;
    let history = load(text);
    let lost = verdict_of(&history, Property::SetLost);
    assert_eq!(lost.anomalies[0].kind, "duplicated-element");
    let doubled = duplication::elements(&history, &limits()).expect("a set");
    assert_eq!(
        doubled.anomalies[0].sentence,
        "session 1 read s = [0, 0, 0] (#1): 0 is there 3 times, which #0 added once; an effect was \
         applied again (a blind retry, or a log applied twice)"
    );
}

#[test]
fn latencies_are_told() {
    let text = r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"add","k":"s","v":1}
{"i":1,"p":8,"type":"ok","inv":3,"ret":4,"f":"r","k":"s","v":[]}
{"i":2,"p":8,"type":"ok","inv":6,"ret":7,"f":"r","k":"s","v":[]}
{"i":3,"p":9,"type":"ok","inv":8,"ret":9,"f":"r","k":"s","v":[1]}"#;
    let history = load(text);
    let elements = set_full::fates(&history);
    assert_eq!(elements[0].latency, Some(Nanos::from_millis(5)));
    let stale = verdict_of(&history, Property::SetStale);
    assert_eq!(
        stale.reason.as_deref(),
        Some("of 1 elements 1 stale (for 5.0 ms in the median, 5.0 ms at most)")
    );
    assert_eq!(
        stale.anomalies[0].sentence,
        "1 was acknowledged in s at 1.0 ms (#0), but session 8 still read it without 1 5.0 ms later \
         (#2); #3 has it"
    );
    assert_eq!(verdict_of(&history, Property::SetLost).status, Status::Valid);
}

#[test]
fn a_set_run_of_jepsen_holds() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/histories/elle-cli/set.edn");
    if !path.exists() {
        println!("skipped: {} is not here", path.display());
        return;
    }
    let history = rashomon::history::read(&path, None).expect("a history");
    for property in [Property::SetLost, Property::SetStale] {
        assert_eq!(verdict_of(&history, property).status, Status::Valid);
    }
}
