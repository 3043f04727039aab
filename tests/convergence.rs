//! EC and RES against their literal definitions, and by name.
#![expect(clippy::print_stdout, reason = "a test says what it skips")]

#[path = "oracle/ancestry.rs"]
mod ancestry;
#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/convergence.rs"]
mod definition;
#[path = "oracle/lines.rs"]
mod lines;

use cases::cases;
use compared::tell;
use definition::{Convergence, convergence, resurrected, rolled_back};
use lines::{Line, examples, history, load};
use rashomon::check::{Limits, Property, Status, Verdict, convergence as ec, resurrection};
use rashomon::history::History;
use rashomon::model::{Nanos, Random};
use rayon::prelude::*;
use serde_json::json;

const CASES: u64 = 100_000;
const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn limits() -> Limits {
    Limits { anomalies: 100, ..Limits::default() }
}

/// Every witness, replayed alone, is a violation again, and says so in a sentence.
fn replays(history: &History, verdict: &Verdict, check: impl Fn(&History) -> Option<Verdict>) {
    for anomaly in &verdict.anomalies {
        let again = check(&history.subset(&anomaly.operations)).map(|verdict| verdict.status);
        assert_eq!(again, Some(Status::Invalid), "{history:?} {anomaly:?}");
        assert!(!anomaly.sentence.is_empty());
    }
}

/// Writes, then some rounds of final reads that mostly show one value of each key.
fn final_rounds(random: &mut Random, is_set: bool) -> Vec<Line> {
    let keys = ["x", "y"];
    let keys = &keys[..=(random.below(2) as usize)];
    let mut lines = Vec::new();
    for value in 1..=random.below(5) as i64 {
        let key = *random.pick(keys);
        let function = if is_set { "add" } else { "w" };
        let line = Line::random(random, 0).does(function, key, value.into());
        lines.push(line);
    }
    let nodes = 1 + random.below(3) as usize;
    let mut from = 14 + random.below(8);
    let agreed: Vec<i64> = keys.iter().map(|_| random.below(5) as i64).collect();
    for _ in 0..random.below(4) {
        for node in &NODES[..nodes] {
            for (key, usual) in keys.iter().zip(&agreed) {
                if random.chance(0.1) {
                    continue;
                }
                let node_differs = random.below(4) == 0;
                let seen = if node_differs { 1 + node.len() as i64 % 2 } else { *usual };
                let seen = if random.chance(0.1) { random.below(6) as i64 } else { seen };
                let value = match (is_set, seen) {
                    (false, 0) => json!(null),
                    (false, seen) => json!(seen),
                    (true, seen) if random.chance(0.5) => json!((1..=seen).collect::<Vec<_>>()),
                    (true, seen) => json!((1..=seen).rev().collect::<Vec<_>>()),
                };
                let invoked = from + random.below(3);
                let returned = invoked + random.below(3);
                let kind = if random.chance(0.05) { "fail" } else { "ok" };
                let line = Line::random(random, 0).does("r", key, value);
                let node = Some(*node);
                lines.push(Line { kind, invoked, returned, node, is_final: true, ..line });
            }
        }
        from += 4 + random.below(4);
    }
    lines
}

#[test]
fn convergence_is_that_of_the_definition() {
    let all = cases(CASES);
    let said: Vec<Option<Status>> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, "convergence");
            let is_set = random.chance(0.3);
            let lines = final_rounds(&mut random, is_set);
            let history = history(&lines);
            let truth = convergence(&lines);
            let Some(verdict) = ec::check(&history, &limits()) else {
                assert!(lines.iter().all(|line| line.function != "r"), "{history:?}");
                return None;
            };
            let expected = match truth {
                Convergence::Agreed(_) => Status::Valid,
                Convergence::Open => Status::Unknown,
                Convergence::Violated => Status::Invalid,
            };
            assert_eq!(verdict.status, expected, "{history:?} {verdict:?} {truth:?}");
            if let Convergence::Agreed(by) = truth {
                let told = format!("every node agreed by {},", Nanos::from_millis(by));
                assert!(verdict.reason.as_ref().is_some_and(|why| why.starts_with(&told)));
            }
            replays(&history, &verdict, |alone| ec::check(alone, &Limits::default()));
            Some(verdict.status)
        })
        .collect();
    let agreed = said.iter().filter(|one| **one == Some(Status::Valid)).count() as u64;
    let violated = tell(Property::Ec, "registers and sets", said.into_iter().flatten()) as u64;
    assert!(violated > all / 20 && agreed > all / 20, "{violated} diverged, {agreed} agreed");
}

#[test]
fn resurrection_is_that_of_the_definition() {
    let all = cases(CASES);
    let said: Vec<Option<Status>> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, "sets");
            let mut lines = Vec::new();
            for _ in 0..2 + random.below(3) {
                let function = *random.pick(&["add", "rem", "rem"]);
                let element = 1 + random.below(2) as i64;
                lines.push(Line::random(&mut random, 0).does(function, "s", element.into()));
            }
            for _ in 0..2 + random.below(4) {
                let seen: Vec<i64> = (1..=2).filter(|_| random.chance(0.5)).collect();
                lines.push(Line::random(&mut random, 6).does("r", "s", json!(seen)));
            }
            let truth = resurrected(&lines);
            let history = history(&lines);
            let removed = lines.iter().any(|line| line.function == "rem" && line.is_ok());
            let verdict = resurrection::check(&history, &limits());
            let count = verdict.as_ref().map(|verdict| verdict.count);
            assert_eq!(count, removed.then_some(truth.len() as u64), "{history:?} {verdict:?}");
            if let Some(verdict) = &verdict {
                replays(&history, verdict, |alone| resurrection::check(alone, &limits()));
            }
            verdict.map(|verdict| verdict.status)
        })
        .collect();
    let violated = tell(Property::Res, "sets", said.into_iter().flatten()) as u64;
    assert!((all / 20..all).contains(&violated), "{violated} of {all} sets resurrect");
}

#[test]
fn rollback_is_that_of_the_definition() {
    let all = cases(CASES);
    let said: Vec<Option<Status>> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, "registers");
            let mut lines = Vec::new();
            for value in 1..=1 + random.below(4) as i64 {
                let old = random.below(value as u64) as i64;
                let old = if old == 0 { json!(null) } else { json!(old) };
                let new = if random.chance(0.05) { value + 1 } else { value };
                let function = *random.pick(&["w", "rmw", "cas"]);
                let value = if function == "w" { json!(new) } else { json!([old, new]) };
                lines.push(Line::random(&mut random, 0).does(function, "x", value));
            }
            for _ in 0..2 + random.below(4) {
                let seen = random.below(5) as i64;
                let seen = if seen == 0 { json!(null) } else { json!(seen) };
                let line = Line::random(&mut random, 4).does("r", "x", seen);
                lines.push(Line { is_final: random.chance(0.5), ..line });
            }
            let truth = rolled_back(&lines);
            let history = history(&lines);
            let finals = lines.iter().any(|line| line.is_final && line.is_ok());
            let verdict = resurrection::check(&history, &limits());
            let count = verdict.as_ref().map(|verdict| verdict.count);
            assert_eq!(count, finals.then_some(truth.len() as u64), "{history:?} {verdict:?}");
            if let Some(verdict) = &verdict {
                replays(&history, verdict, |alone| resurrection::check(alone, &limits()));
            }
            verdict.map(|verdict| verdict.status)
        })
        .collect();
    let violated = tell(Property::Res, "registers", said.into_iter().flatten()) as u64;
    assert!((all / 20..all).contains(&violated), "{violated} of {all} registers roll back");
}

#[test]
fn examples_get_their_verdicts() {
    let examples = examples(&["EC", "RES"]);
    if examples.is_empty() {
        println!("skipped: the examples of the specification are not here");
        return;
    }
    assert!(examples.len() >= 5, "{} verdicts", examples.len());
    for (file, history, id, holds) in examples {
        let verdict = match id.as_str() {
            "EC" => ec::check(&history, &Limits::default()),
            _ => resurrection::check(&history, &Limits::default()),
        };
        let verdict = verdict.unwrap_or_else(|| panic!("{file} has no {id}"));
        assert_eq!(verdict.status == Status::Invalid, !holds, "{file} {id} {verdict:?}");
        if file.contains("moving") {
            assert_eq!(verdict.status, Status::Unknown);
            assert!(verdict.reason.expect("a reason").contains("n1 still moved"));
        } else if file.starts_with("EC-ok") {
            assert_eq!(verdict.status, Status::Valid);
        }
    }
}

#[test]
fn a_divergence_is_told_with_its_nodes_and_writes() {
    let text = r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":5,"f":"w","k":"x","v":1}
{"i":1,"p":1,"type":"ok","inv":0,"ret":5,"f":"w","k":"x","v":2}
{"i":2,"p":8,"type":"ok","inv":100,"ret":101,"f":"r","k":"x","v":1,"node":"n1","final":true}
{"i":3,"p":9,"type":"ok","inv":100,"ret":101,"f":"r","k":"x","v":2,"node":"n2","final":true}
{"i":4,"p":8,"type":"ok","inv":200,"ret":201,"f":"r","k":"x","v":1,"node":"n1","final":true}
{"i":5,"p":9,"type":"ok","inv":200,"ret":201,"f":"r","k":"x","v":2,"node":"n2","final":true}"#;
    let verdict = ec::check(&load(text), &Limits::default()).expect("registers");
    let anomaly = &verdict.anomalies[0];
    assert_eq!(anomaly.operations.len(), 6);
    assert_eq!(
        anomaly.sentence,
        "n1 holds 1 (#2, #4) for x and n2 holds 2 (#3, #5), both unchanged over two rounds of final \
         reads, 195.0 ms after the last write and the last heal"
    );
    // A node that was contacted but gave no final read leaves an agreement open.
    let silent =
        text.replace(r#""v":2,"node":"n2","final":true"#, r#""v":1,"node":"n1","final":true"#);
    let silent = silent.replacen(r#""v":2}"#, r#""v":2,"node":"n2"}"#, 1);
    let verdict = ec::check(&load(&silent), &Limits::default()).expect("registers");
    assert_eq!(verdict.status, Status::Unknown, "{verdict:?}");
}
