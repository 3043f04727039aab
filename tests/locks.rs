//! Locks, fencing tokens and leadership against their definitions.
#![expect(clippy::print_stdout, reason = "a test says what it skips and how its cases are spread")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/operation.rs"]
mod operation;
#[path = "oracle/locks.rs"]
mod oracle;

use cases::cases;
use compared::tell;
use oracle::{Act, Deed, build};
use rashomon::check::{Limits, Property, Status, Verdict, linear, locks};
use rashomon::history::{History, read};
use rashomon::model::{Kind, Random};
use rayon::prelude::*;

fn verdict(history: &History, property: Property) -> Option<Verdict> {
    let verdicts = locks::check(history, &Limits::default());
    verdicts.into_iter().find(|one| one.property == property)
}

/// Compares a verdict with the definition on random histories, of which many but not all violate it.
fn compare(
    property: Property,
    generate: fn(&mut Random) -> Vec<Deed>,
    is_violated: fn(&[Deed]) -> bool,
) {
    let all = cases(100_000);
    let said: Vec<Option<Status>> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let deeds = generate(&mut Random::stream(seed, property.id()));
            let history = build(&deeds);
            let truth = is_violated(&deeds);
            let Some(verdict) = verdict(&history, property) else {
                assert!(!truth, "{history:?}");
                return None;
            };
            assert_eq!(verdict.status == Status::Invalid, truth, "{history:?} {verdict:?}");
            assert_eq!(verdict.status == Status::Unknown, verdict.reason.is_some());
            for anomaly in &verdict.anomalies {
                let alone = history.subset(&anomaly.operations);
                let again = self::verdict(&alone, property).map(|one| one.status);
                assert_eq!(again, Some(Status::Invalid), "{history:?} {anomaly:?}");
                assert!(!anomaly.sentence.is_empty());
            }
            Some(verdict.status)
        })
        .collect();
    let violated = tell(property, "locks", said.into_iter().flatten()) as u64;
    assert!((all / 20..all - all / 10).contains(&violated), "{violated}");
}

#[test]
fn double_holds_are_those_of_the_definition() {
    compare(Property::Lock, oracle::random_locks, oracle::double_hold);
}

#[test]
fn tokens_must_grow_as_defined() {
    compare(Property::Fence, oracle::random_locks, oracle::token_not_growing);
}

#[test]
fn leaders_are_those_of_the_definition() {
    compare(Property::Leader, oracle::random_claims, oracle::split_brain);
}

/// Linearizability of a lock that only its holder may give back.
#[test]
fn a_lock_is_given_back_by_its_holder() {
    let all = cases(100_000);
    let said: Vec<Status> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let deeds = oracle::random_owners(&mut Random::stream(seed, "owners"));
            let (history, truth) = (build(&deeds), oracle::is_linearizable(&deeds));
            let verdict = linear::check(&history, &Limits::default());
            let expected = if truth { Status::Valid } else { Status::Invalid };
            // Where all operations failed there is nothing to be said.
            let is_silent = truth && deeds.iter().all(|deed| deed.kind != Kind::Ok);
            assert!(verdict.status == expected || is_silent, "{seed} {verdict:?}\n{history:?}");
            for anomaly in &verdict.anomalies {
                let again = linear::check(&history.subset(&anomaly.operations), &Limits::default());
                assert_eq!(again.status, Status::Invalid, "{seed} {anomaly:?}\n{history:?}");
            }
            verdict.status
        })
        .collect();
    let violated = tell(Property::Lin, "locks with holders", said) as u64;
    assert!((all / 10..all - all / 10).contains(&violated), "{violated}");
}

/// The second process of a session gives back what the first may have taken; a stranger may not, unless
/// it never takes the lock itself.
#[test]
fn a_session_outlives_its_process() {
    let deed = |session, act, kind, time| Deed {
        session,
        act,
        kind,
        invoked: time,
        returned: if kind == Kind::Info { u64::MAX } else { time + 1 },
    };
    let (take, give) = (Act::Acquire(None), Act::Release);
    let status = |deeds: &[Deed]| linear::check(&build(deeds), &Limits::default()).status;
    let own = [deed(0, take, Kind::Info, 0), deed(0, give, Kind::Ok, 5)];
    assert_eq!(status(&own), Status::Valid);
    let for_another = [deed(0, take, Kind::Ok, 0), deed(1, give, Kind::Ok, 5)];
    assert_eq!(status(&for_another), Status::Valid);
    let taken_back = [
        deed(0, take, Kind::Ok, 0),
        deed(0, give, Kind::Ok, 2),
        deed(1, take, Kind::Ok, 4),
        deed(0, give, Kind::Ok, 6),
    ];
    assert_eq!(status(&taken_back), Status::Invalid);
}

#[test]
fn the_examples_of_the_specification_get_their_verdicts() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/spec/examples");
    let Ok(index) = std::fs::read_to_string(folder.join("index.json")) else {
        println!("skipped: no ../shared");
        return;
    };
    let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    let mut judged = 0;
    for example in index["examples"].as_array().expect("examples") {
        let file = example["file"].as_str().expect("file");
        for property in [Property::Lock, Property::Fence, Property::Leader] {
            let Some(expected) = example["expect"][property.id()].as_str() else { continue };
            let history = read(&folder.join(file), None).expect("an example");
            let status = verdict(&history, property).map(|one| one.status);
            let expected = if expected == "ok" { Status::Valid } else { Status::Invalid };
            assert_eq!(status, Some(expected), "{file} {}", property.id());
            judged += 1;
        }
    }
    assert_eq!(judged, 8);
}

#[test]
fn what_nobody_knows_is_undecided() {
    let deed = |session, act, time| Deed {
        session,
        act,
        kind: Kind::Ok,
        invoked: time,
        returned: time + 1,
    };
    // Both may have expired at any time.
    let history = build(&[deed(0, Act::Acquire(None), 0), deed(1, Act::Acquire(None), 5)]);
    let lock = verdict(&history, Property::Lock).expect("there is a lock");
    assert_eq!(lock.status, Status::Unknown, "{lock:?}");
    assert_eq!(verdict(&history, Property::Fence), None);
    assert_eq!(verdict(&history, Property::Leader), None);
    let claim = |node| Act::Leader { node, term: None, epoch: None };
    let history = build(&[deed(0, claim(0), 0), deed(1, claim(1), 5)]);
    let leader = verdict(&history, Property::Leader).expect("there are leaders");
    assert_eq!(leader.status, Status::Unknown, "{leader:?}");
    assert_eq!(verdict(&history, Property::Lock), None);
}
