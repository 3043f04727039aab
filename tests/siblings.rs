//! SIB against its literal definition, and by name.
#![expect(clippy::print_stdout, reason = "a test says what it skips and how its cases are spread")]

#[path = "oracle/siblings.rs"]
mod oracle;

use oracle::{Act, build, random_history, violated};
use rashomon::check::{Limits, Property, Status, siblings};
use rashomon::history::read;
use rashomon::model::{Kind, Random};
use rayon::prelude::*;

#[test]
fn siblings_are_those_of_the_definition() {
    let statuses: Vec<Status> = (0..100_000_u64)
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
    for (status, least) in [(Status::Valid, 20_000), (Status::Invalid, 5_000)] {
        let count = statuses.iter().filter(|one| **one == status).count();
        println!("{status:?}: {count} of {}", statuses.len());
        assert!(count > least, "{status:?} {count}");
    }
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
