//! SIB against its literal definition, and by name.
#![expect(clippy::print_stdout, reason = "a test says what it skips and how its cases are spread")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/operation.rs"]
mod operation;
#[path = "oracle/siblings.rs"]
mod oracle;

use cases::cases;
use compared::tell;
use oracle::{Act, build, random_history, violated};
use rashomon::check::{Limits, Property, Status, siblings};
use rashomon::history::read;
use rashomon::model::{Kind, Random};
use rayon::prelude::*;

#[test]
fn siblings_are_those_of_the_definition() {
    let all = cases(100_000);
    let said: Vec<Status> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let deeds = random_history(&mut Random::stream(seed, "siblings"));
            let history = build(&deeds);
            let verdict = siblings::check(&history, &Limits::default()).expect("a register");
            let finals = deeds.iter().any(|deed| {
                deed.is_final && deed.kind == Kind::Ok && matches!(deed.act, Act::Get(_))
            });
            let expected = match (violated(&deeds), finals) {
                (true, _) => Status::Invalid,
                (false, true) => Status::Valid,
                (false, false) => Status::Unknown,
            };
            assert_eq!(verdict.status, expected, "{history:?} {verdict:?}");
            for anomaly in &verdict.anomalies {
                let alone = history.subset(&anomaly.operations);
                let again = siblings::check(&alone, &Limits::default()).map(|one| one.status);
                assert_eq!(again, Some(Status::Invalid), "{history:?} {anomaly:?}");
                assert!(!anomaly.sentence.is_empty());
            }
            verdict.status
        })
        .collect();
    let valid = said.iter().filter(|one| **one == Status::Valid).count() as u64;
    let violated = tell(Property::Sib, "siblings", said) as u64;
    assert!(valid > all / 5 && violated > all / 20, "{valid} {violated}");
}

#[test]
fn the_examples_of_the_specification_get_their_verdicts() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/spec/examples");
    let cases = [
        ("SIB-bad.jsonl", Status::Invalid, "lost-sibling"),
        ("SIB-ok.jsonl", Status::Valid, ""),
        ("SIB-res-bad.jsonl", Status::Invalid, "false-sibling"),
    ];
    for (file, status, kind) in cases {
        let Ok(history) = read(&folder.join(file), None) else {
            println!("skipped: no ../shared");
            return;
        };
        let verdict = siblings::check(&history, &Limits::default()).expect("a register");
        assert_eq!(verdict.status, status, "{file} {verdict:?}");
        assert_eq!(verdict.anomalies.first().map_or("", |anomaly| anomaly.kind), kind);
        assert_eq!(verdict.property, Property::Sib);
    }
}
