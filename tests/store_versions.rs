//! Versions that the store gave: VERS against an exhaustive oracle, and the order they tell (E7)
//! against the order of real time where the two are the same.

#![expect(clippy::print_stdout, reason = "a test says how its cases are spread")]
#![expect(dead_code, reason = "the plain histories are shared with other tests")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/plain.rs"]
mod plain;
#[path = "oracle/versions.rs"]
mod versions;

use std::fmt::Write as _;

use cases::cases;
use compared::tell;
use plain::load;
use rashomon::check::{
    Assumption, Expected, Limits, Property, Status, Verdict, assess, durability, lost_update,
    session, store_versions,
};
use rashomon::history::History;
use rashomon::model::{Kind, Random};
use rayon::prelude::*;
use versions::{Op, explained};

fn check(history: &History) -> Verdict {
    store_versions::check(history, &Limits::default()).expect("the store gave versions")
}

/// An operation of a history under construction.
struct Line {
    session: u64,
    kind: Kind,
    invoked: u64,
    returned: u64,
    key: &'static str,
    op: Op,
    is_final: bool,
}

fn history(lines: &[Line]) -> History {
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let shown = |value: Option<i64>| value.map_or("null".to_owned(), |value| value.to_string());
        let (f, v) = match (line.op.read, line.op.written) {
            (Some(old), Some(new)) if line.op.expects => ("cas", format!("[{},{new}]", shown(old))),
            (Some(old), Some(new)) => ("rmw", format!("[{},{new}]", shown(old))),
            (_, Some(new)) => ("w", new.to_string()),
            (old, None) => ("r", shown(old.flatten())),
        };
        let returned = match line.kind {
            Kind::Info => "null".to_owned(),
            _ => line.returned.to_string(),
        };
        let _ = write!(
            text,
            r#"{{"i":{at},"p":{at},"s":{},"type":"{}","inv":{},"ret":{returned},"f":"{f}","k":"{}","v":{v},"final":{}"#,
            line.session,
            line.kind.name(),
            line.invoked,
            line.key,
            line.is_final,
        );
        if let Some(version) = line.op.version {
            let _ = write!(text, r#","version":{version}"#);
        }
        text.push_str("}\n");
    }
    load(&text)
}

/// A few operations on one register, each with a version that may be anything.
fn random_ops(random: &mut Random, is_unique: bool) -> Vec<Op> {
    let count = 3 + random.below(5) as i64;
    (0..count)
        .map(|at| {
            let kind = *random.pick(&[Kind::Ok, Kind::Ok, Kind::Ok, Kind::Info, Kind::Fail]);
            let value = if is_unique { at + 1 } else { 1 + random.below(3) as i64 };
            let seen = Some(1 + random.below(count as u64) as i64).filter(|_| random.chance(0.9));
            let (read, written, expects) = match random.below(5) {
                0 | 1 => (None, Some(value), false),
                2 => (Some(seen), Some(value), random.chance(0.5)),
                _ => (Some(seen), None, false),
            };
            let version =
                (kind == Kind::Ok && random.chance(0.8)).then(|| 1 + random.below(6) as i64);
            Op { kind, read, written, expects, version }
        })
        .collect()
}

fn lines(ops: &[Op]) -> Vec<Line> {
    let line = |(at, op): (u64, &Op)| Line {
        session: at,
        kind: op.kind,
        invoked: at,
        returned: at + 10,
        key: "x",
        op: op.clone(),
        is_final: false,
    };
    (0..).zip(ops).map(line).collect()
}

#[test]
fn vers_is_what_the_definition_says() {
    let all = cases(20_000);
    let said: Vec<Option<Status>> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, "versions");
            let is_unique = seed % 3 != 0;
            let ops = random_ops(&mut random, is_unique);
            if !ops.iter().any(|op| op.version.is_some()) || !explained(&ops, false) {
                return None;
            }
            let history = history(&lines(&ops));
            let verdict = check(&history);
            let truth = explained(&ops, true);
            let found = verdict.status == Status::Invalid;
            assert!(!found || !truth, "accused without cause: {history:?} {verdict:#?}");
            assert!(found || truth || !is_unique, "missed: {history:?}");
            for anomaly in &verdict.anomalies {
                let alone = check(&history.subset(&anomaly.operations));
                assert_eq!(alone.status, Status::Invalid, "{history:?} {anomaly:#?}");
            }
            Some(verdict.status)
        })
        .collect();
    let violated = tell(Property::Vers, "registers", said.into_iter().flatten()) as u64;
    assert!((all / 20..all).contains(&violated), "{violated} of {all}");
}

/// A store that is right: its operations take effect one after another, each somewhere between its
/// call and its return, and it numbers its writes.
fn right_store(random: &mut Random) -> Vec<Line> {
    let keys = ["x", "y"];
    let mut values: [Option<(i64, i64)>; 2] = [None; 2];
    let mut revision = 0;
    let mut free = [0_u64; 4];
    let mut lines: Vec<Line> = Vec::new();
    for at in 0..10 + random.below(10) {
        let key = random.below(2) as usize;
        let session = random.below(4) as usize;
        // It takes effect at `20 * at`.
        let effect = 20 * (at + 2);
        let invoked = free[session].max(effect.saturating_sub(random.below(60)));
        if invoked > effect {
            continue;
        }
        let returned = effect + 1 + random.below(60);
        let before = values[key];
        let value = at as i64 + 1;
        let mut op =
            Op { kind: Kind::Ok, read: None, written: None, expects: false, version: None };
        let kind = if random.chance(0.15) { Kind::Info } else { Kind::Ok };
        match random.below(4) {
            0 | 1 => {
                (op.read, op.version) = (Some(before.map(|one| one.0)), before.map(|one| one.1));
            }
            2 => op.written = Some(value),
            _ => {
                (op.read, op.written) = (Some(before.map(|one| one.0)), Some(value));
                op.expects = random.chance(0.5);
            }
        }
        op.kind = kind;
        if op.written.is_some() && (kind == Kind::Ok || random.chance(0.5)) {
            revision += 1 + random.below(3) as i64;
            values[key] = Some((value, revision));
            op.version = Some(revision);
        }
        if kind != Kind::Ok || random.chance(0.1) {
            op.version = None;
        }
        free[session] = if kind == Kind::Ok { returned } else { u64::MAX };
        lines.push(Line {
            session: session as u64,
            kind,
            invoked,
            returned,
            key: keys[key],
            op,
            is_final: false,
        });
    }
    for (key, value) in keys.into_iter().zip(values) {
        let op = Op {
            kind: Kind::Ok,
            read: Some(value.map(|one| one.0)),
            written: None,
            expects: false,
            version: value.map(|one| one.1),
        };
        let line = Line {
            session: 9,
            kind: Kind::Ok,
            invoked: 10_000 + 20 * lines.len() as u64,
            returned: 10_001 + 20 * lines.len() as u64,
            key,
            op,
            is_final: true,
        };
        lines.push(line);
    }
    lines
}

#[test]
fn a_store_that_is_right_is_never_accused() {
    (0..cases(1_500)).into_par_iter().for_each(|seed| {
        let history = history(&right_store(&mut Random::stream(seed, "right")));
        let limits = Limits {
            assume: Assumption::ALL.iter().map(|(assumption, ..)| *assumption).collect(),
            ..Limits::default()
        };
        for limits in [Limits::default(), limits] {
            let assessment = assess(&history, &limits, Expected::linearizable());
            let accused = assessment.verdicts.iter().find(|one| one.status == Status::Invalid);
            assert_eq!(accused, None, "{seed}: {history:?}");
        }
    });
}

/// Where the writes of each key follow each other in real time, and the store numbers them so, its
/// versions prove of sessions what the assumption of that order proves.
#[test]
fn versions_prove_what_the_order_in_real_time_proves() {
    let all = cases(8_000);
    let violated: u64 = (0..all)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, "order");
            let mut with = in_order(&mut random);
            let versioned = history(&with);
            for line in &mut with {
                line.op.version = None;
            }
            let plain = history(&with);
            let assumed =
                Limits { assume: vec![Assumption::WritesInRealTimeOrder], ..Limits::default() };
            let by_time = session::check(&plain, &assumed);
            let by_version = session::check(&versioned, &Limits::default());
            let mut violated = 0;
            for (one, other) in by_time.iter().zip(&by_version) {
                assert_eq!(
                    (one.property, one.status),
                    (other.property, other.status),
                    "{versioned:?} {one:#?} {other:#?}"
                );
                for anomaly in &other.anomalies {
                    let alone =
                        session::check(&versioned.subset(&anomaly.operations), &Limits::default());
                    let again = alone.iter().find(|one| one.property == other.property);
                    assert_eq!(again.map(|one| one.status), Some(Status::Invalid), "{anomaly:#?}");
                    violated += u64::from(anomaly.assumes == [Assumption::StoreVersions]);
                }
            }
            violated.min(1)
        })
        .sum();
    assert!((all / 20..all).contains(&violated), "{violated} of {all}");
}

/// Writes one after another, and reads of anything.
fn in_order(random: &mut Random) -> Vec<Line> {
    let keys = ["x", "y"];
    let mut lines = Vec::new();
    let mut written: [Vec<i64>; 2] = [Vec::new(), Vec::new()];
    for at in 0..4 + random.below(8) {
        let key = random.below(2) as usize;
        let value = at as i64 + 1;
        let mut op =
            Op { kind: Kind::Ok, read: None, written: None, expects: false, version: Some(value) };
        if random.chance(0.5) {
            written[key].push(value);
            op.written = Some(value);
        } else if written[key].is_empty() {
            (op.read, op.version) = (Some(None), None);
        } else {
            let seen = *random.pick(&written[key]);
            (op.read, op.version) = (Some(Some(seen)), Some(seen));
        }
        let (session, invoked) = (random.below(3), 10 * at);
        let (kind, returned, key) = (Kind::Ok, invoked + 5, keys[key]);
        lines.push(Line { session, kind, invoked, returned, key, op, is_final: false });
    }
    lines
}

/// AWL and LUS with versions, word for word: an acknowledged write above the version of every final
/// read is lost; so is one between the version that an update read and the one it made.
#[test]
fn losses_by_version_are_those_of_the_definition() {
    let all = cases(10_000);
    let found: [u64; 2] = (0..all)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, "losses");
            let count = 2 + random.below(5);
            // All at the same time, so that nothing else tells an order.
            let mut order: Vec<i64> = (1..=count as i64).collect();
            random.shuffle(&mut order);
            let mut lines: Vec<Line> = (0..count)
                .map(|at| {
                    let version = order[at as usize];
                    let below: Vec<usize> =
                        (0..count as usize).filter(|one| order[*one] < version).collect();
                    let read = (!below.is_empty() && random.chance(0.5))
                        .then(|| Some(*random.pick(&below) as i64 + 1));
                    let written = Some(at as i64 + 1);
                    let version = random.chance(0.9).then_some(version);
                    let op = Op { kind: Kind::Ok, read, written, expects: false, version };
                    let (invoked, returned) = (0, 100);
                    let kind = Kind::Ok;
                    Line { session: at, kind, invoked, returned, key: "x", op, is_final: false }
                })
                .collect();
            let seen = random.below(count) as usize;
            for is_final in [random.chance(0.9), false] {
                let op = Op {
                    kind: Kind::Ok,
                    read: Some(Some(seen as i64 + 1)),
                    written: None,
                    expects: false,
                    version: random.chance(0.7).then_some(order[seen]),
                };
                let (invoked, returned, session) = (200, 300, 7 + u64::from(is_final));
                let kind = Kind::Ok;
                lines.push(Line { session, kind, invoked, returned, key: "x", op, is_final });
            }
            let history = history(&lines);
            let told = |value: i64| {
                let mut by = lines.iter().filter(|line| {
                    line.op.version.is_some()
                        && line.op.written.or(line.op.read.flatten()) == Some(value)
                });
                by.next().and_then(|line| line.op.version)
            };
            let final_reads = lines.iter().any(|line| line.is_final);
            let above = |value: &i64| told(*value) > told(seen as i64 + 1);
            // What the final version was made from, update by update, is not lost.
            let mut made_from = vec![seen as i64 + 1];
            while let Some(Some(before)) =
                lines[made_from[made_from.len() - 1] as usize - 1].op.read
            {
                made_from.push(before);
            }
            let lost = (1..=count as i64)
                .filter(|value| final_reads && told(seen as i64 + 1).is_some() && above(value))
                .filter(|value| !made_from.contains(value))
                .count() as u64;
            let verdict = durability::check(&history, &Limits::default());
            assert_eq!(verdict.count, lost, "{history:?} {verdict:#?}");
            let updates = lines.iter().filter(|line| {
                let (Some(Some(read)), Some(_), Some(made)) =
                    (line.op.read, line.op.written, line.op.version)
                else {
                    return false;
                };
                let between = |other: &Line| {
                    other.op.written.is_some()
                        && other.op.version.is_some_and(|version| {
                            told(read).is_some_and(|from| from < version) && version < made
                        })
                };
                let twice = lines.iter().any(|other| {
                    !std::ptr::eq(other, *line)
                        && other.op.written.is_some()
                        && other.op.read == line.op.read
                });
                lines.iter().any(between) || twice
            });
            let is_lost = updates.count() > 0
                || lines.iter().enumerate().any(|(at, line)| {
                    line.op.written.is_some()
                        && line.op.read.flatten().is_some()
                        && lines[at + 1..].iter().any(|other| {
                            other.op.written.is_some() && other.op.read == line.op.read
                        })
                });
            let updated = lost_update::check(&history, &Limits::default());
            assert_eq!(updated.status == Status::Invalid, is_lost, "{history:?} {updated:#?}");
            for anomaly in verdict.anomalies.iter().chain(&updated.anomalies) {
                let alone = history.subset(&anomaly.operations);
                let again = match anomaly.property {
                    Property::Awl => durability::check(&alone, &Limits::default()),
                    _ => lost_update::check(&alone, &Limits::default()),
                };
                assert_eq!(again.status, Status::Invalid, "{history:?} {anomaly:#?}");
            }
            [u64::from(lost > 0), u64::from(is_lost)]
        })
        .reduce(|| [0; 2], |one, other| [one[0] + other[0], one[1] + other[1]]);
    assert!(found.iter().all(|found| (all / 20..all).contains(found)), "{found:?} of {all}");
}

#[test]
fn each_contradiction_has_its_name() {
    for (kind, text) in [
        (
            "version-given-twice",
            r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":9,"f":"w","k":"x","v":1,"version":5}
{"i":1,"p":1,"type":"ok","inv":0,"ret":9,"f":"w","k":"x","v":2,"version":5}"#,
        ),
        (
            "version-given-twice",
            r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":9,"f":"w","k":"x","v":1,"version":5}
{"i":1,"p":1,"type":"info","inv":0,"ret":null,"f":"w","k":"x","v":2}
{"i":2,"p":2,"type":"ok","inv":0,"ret":9,"f":"r","k":"x","v":2,"version":5}"#,
        ),
        (
            "value-with-two-versions",
            r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":9,"f":"w","k":"x","v":1,"version":5}
{"i":1,"p":1,"type":"ok","inv":0,"ret":9,"f":"r","k":"x","v":1,"version":6}"#,
        ),
        (
            "falling-version",
            r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":9,"f":"w","k":"x","v":1,"version":5}
{"i":1,"p":1,"type":"info","inv":0,"ret":null,"f":"cas","k":"x","v":[1,2]}
{"i":2,"p":2,"type":"ok","inv":0,"ret":9,"f":"cas","k":"x","v":[2,3],"version":4}"#,
        ),
    ] {
        let verdict = check(&load(text));
        assert_eq!(verdict.status, Status::Invalid, "{text}");
        assert_eq!(verdict.anomalies[0].kind, kind);
    }
}

#[test]
fn versions_that_fall_in_real_time_are_told_and_accused_only_if_the_order_was_assumed() {
    let history = load(
        r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"w","k":"x","v":1,"version":5}
{"i":1,"p":0,"type":"ok","inv":2,"ret":3,"f":"w","k":"x","v":2,"version":4}"#,
    );
    let verdict = check(&history);
    assert_eq!(verdict.status, Status::Valid);
    assert!(verdict.reason.expect("a reason").contains("1 of the acknowledged writes"));
    for assumption in [Assumption::WritesInRealTimeOrder, Assumption::WritesInSessionOrder] {
        let limits = Limits { assume: vec![assumption], ..Limits::default() };
        let verdict = store_versions::check(&history, &limits).expect("versions");
        assert_eq!(verdict.status, Status::Invalid);
        assert_eq!(verdict.anomalies[0].assumes, [assumption]);
    }
}

#[test]
fn what_has_no_versions_has_no_row_and_what_is_not_one_register_is_undecided() {
    let none = load(r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"w","k":"x","v":1}"#);
    assert_eq!(store_versions::check(&none, &Limits::default()), None);
    let txn = load(
        r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"txn","v":[["w","x",1],["w","y",2]],"version":3}"#,
    );
    assert_eq!(check(&txn).status, Status::Unknown);
}
