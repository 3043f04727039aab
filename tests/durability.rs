//! AWL and LUS against their literal definitions, and by name.
#![expect(clippy::print_stdout, reason = "a test says what it skips and how its cases are spread")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/plain.rs"]
mod plain;

use cases::cases;
use compared::tell;
use plain::{Plain, Step, build, judge_examples, load};
use rashomon::check::{Limits, Property, Status, durability, lost_update};
use rashomon::model::{Function, Kind, Random};
use rayon::prelude::*;

/// AWL, word for word (ANOMALIES section 5), without chains of updates: the values that are lost.
fn lost(plain: &[Plain]) -> Vec<(usize, i64)> {
    let mut lost = Vec::new();
    for write in plain.iter().filter(|op| op.kind == Kind::Ok) {
        for (key, value) in write.writes() {
            let finals: Vec<(&Plain, Vec<i64>)> = plain
                .iter()
                .filter(|op| op.kind == Kind::Ok && op.is_final && op.invoked > write.returned)
                .filter_map(|op| Some((op, op.reads().find(|read| read.0 == key)?.1)))
                .collect();
            let is_register = write.steps.iter().any(|step| matches!(step, Step::Write(..)));
            let lacks = |seen: &Vec<i64>| match seen.first() {
                _ if !is_register => !seen.contains(&value),
                None => true,
                Some(seen) => {
                    let mut by = plain
                        .iter()
                        .filter(|op| op.writes().any(|one| one == (key, *seen)))
                        .peekable();
                    by.peek().is_some() && by.all(|other| other.returned < write.invoked)
                }
            };
            if !finals.is_empty() && finals.iter().all(|(_, seen)| lacks(seen)) {
                lost.push((key, value));
            }
        }
    }
    lost.sort_unstable();
    lost.dedup();
    lost
}

fn random_history(random: &mut Random) -> Vec<Plain> {
    let shape = random.below(3);
    let keys = 1 + random.below(2);
    let mut ops: Vec<Plain> = (0..3 + random.below(6))
        .map(|at| {
            let invoked = random.below(15);
            let kind = *random.pick(&[Kind::Ok, Kind::Ok, Kind::Ok, Kind::Info, Kind::Fail]);
            let returned =
                if kind == Kind::Info { u64::MAX } else { invoked + 1 + random.below(5) };
            let (key, value) = (random.below(keys) as usize, 1 + at as i64);
            let (function, step) = match shape {
                0 => (Function::Write, Step::Write(key, value)),
                1 => (Function::Append, Step::Append(key, value)),
                _ => (Function::Add, Step::Add(key, value)),
            };
            plain_op(at as u32, kind, invoked, returned, function, vec![step], false)
        })
        .collect();
    let written: Vec<(usize, i64)> =
        ops.iter().flat_map(|op| op.writes().collect::<Vec<_>>()).collect();
    for at in 0..random.below(3) {
        let key = random.below(keys) as usize;
        let here: Vec<i64> = written.iter().filter(|one| one.0 == key).map(|one| one.1).collect();
        let step = if shape == 0 {
            Step::Read(key, (!here.is_empty() && random.chance(0.9)).then(|| *random.pick(&here)))
        } else {
            Step::Elements(key, here.into_iter().filter(|_| random.chance(0.8)).collect())
        };
        let invoked = 10 + random.below(15);
        let function = if random.chance(0.3) { Function::Txn } else { Function::Read };
        ops.push(plain_op(
            50 + at as u32,
            Kind::Ok,
            invoked,
            invoked + 2,
            function,
            vec![step],
            true,
        ));
    }
    ops
}

fn plain_op(
    process: u32,
    kind: Kind,
    invoked: u64,
    returned: u64,
    function: Function,
    steps: Vec<Step>,
    is_final: bool,
) -> Plain {
    Plain { process, session: process, kind, invoked, returned, function, steps, is_final }
}

#[test]
fn lost_writes_are_those_of_the_definition() {
    let all = cases(100_000);
    let said: Vec<Status> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let plain = random_history(&mut Random::stream(seed, "durability"));
            let history = build(&plain);
            let truth = lost(&plain);
            let verdict =
                durability::check(&history, &Limits { anomalies: 100, ..Limits::default() });
            assert_eq!(verdict.count, truth.len() as u64, "{history:?} {verdict:?}");
            let finals = plain.iter().any(|op| op.is_final);
            let expected = match (truth.is_empty(), finals) {
                (false, _) => Status::Invalid,
                (true, true) => Status::Valid,
                (true, false) => Status::Unknown,
            };
            assert_eq!(verdict.status, expected, "{history:?} {verdict:?}");
            for anomaly in &verdict.anomalies {
                let alone = history.subset(&anomaly.operations);
                let again = durability::check(&alone, &Limits::default());
                assert_eq!(again.status, Status::Invalid, "{anomaly:?}");
            }
            verdict.status
        })
        .collect();
    let violated = tell(Property::Awl, "anything", said) as u64;
    assert!((all / 10..all - all / 10).contains(&violated), "{violated} of {all} lose writes");
}

#[test]
fn lost_updates_are_those_of_the_definition() {
    let all = cases(100_000);
    let said: Vec<Status> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, "updates");
            let plain: Vec<Plain> = (0..2 + random.below(5))
                .map(|at| {
                    let invoked = random.below(20);
                    let kind = *random.pick(&[Kind::Ok, Kind::Ok, Kind::Info, Kind::Fail]);
                    let returned =
                        if kind == Kind::Info { u64::MAX } else { invoked + 1 + random.below(9) };
                    let key = random.below(2) as usize;
                    let seen = Some(random.below(3) as i64).filter(|value| *value > 0);
                    let function = *random.pick(&[Function::Cas, Function::Rmw]);
                    let steps = vec![Step::Read(key, seen), Step::Write(key, 1 + at as i64)];
                    plain_op(at as u32, kind, invoked, returned, function, steps, false)
                })
                .collect();
            let mut consumed: Vec<(usize, Vec<i64>)> = plain
                .iter()
                .filter(|op| op.kind == Kind::Ok)
                .flat_map(|op| op.reads().collect::<Vec<_>>())
                .collect();
            let acknowledged = consumed.len();
            consumed.sort();
            consumed.dedup();
            let lost = acknowledged - consumed.len();
            let history = build(&plain);
            let verdict = lost_update::check(&history, &Limits::default());
            let expected = match (lost, acknowledged) {
                (_, 0) => Status::Unknown,
                (0, _) => Status::Valid,
                _ => Status::Invalid,
            };
            assert_eq!((verdict.status, verdict.count), (expected, lost as u64), "{history:?}");
            for anomaly in &verdict.anomalies {
                let again =
                    lost_update::check(&history.subset(&anomaly.operations), &Limits::default());
                assert_eq!(again.status, Status::Invalid, "{anomaly:?}");
                assert_eq!(anomaly.cycle.len(), 2);
            }
            verdict.status
        })
        .collect();
    let violated = tell(Property::Lus, "updates", said) as u64;
    assert!((all / 10..all - all / 10).contains(&violated), "{violated} of {all} lose updates");
}

/// A value that came back in between is no lost update.
#[test]
fn repeated_values_accuse_nobody() {
    let text = r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"w","k":"x","v":0}
{"i":1,"p":1,"type":"ok","inv":2,"ret":3,"f":"cas","k":"x","v":[0,1]}
{"i":2,"p":1,"type":"ok","inv":4,"ret":5,"f":"w","k":"x","v":0}
{"i":3,"p":1,"type":"ok","inv":6,"ret":7,"f":"cas","k":"x","v":[0,2]}"#;
    let verdict = lost_update::check(&load(text), &Limits::default());
    assert_eq!(verdict.status, Status::Unknown);
    assert!(verdict.reason.expect("a reason").contains("more than once"));
}

/// The acknowledged update to 2 is no ancestor of the final 3, though it overlapped the others.
#[test]
fn an_update_that_is_no_ancestor_is_lost() {
    let history = |third: &str| {
        let text = format!(
            r#"{{"i":0,"p":0,"type":"ok","inv":0,"ret":9,"f":"rmw","k":"x","v":[null,1]}}
{{"i":1,"p":1,"type":"ok","inv":0,"ret":9,"f":"rmw","k":"x","v":[1,2],"node":"n1"}}
{{"i":2,"p":2,"type":"ok","inv":0,"ret":9,"f":{third}}}
{{"i":3,"p":3,"type":"ok","inv":20,"ret":21,"f":"r","k":"x","v":3,"final":true}}"#
        );
        durability::check(&load(&text), &Limits::default())
    };
    let verdict = history(r#""rmw","k":"x","v":[1,3]"#);
    assert_eq!((verdict.status, verdict.count), (Status::Invalid, 1));
    let sentence = &verdict.anomalies[0].sentence;
    assert!(
        sentence
            .starts_with("session 1 read x = 1 and wrote x = 2 (#1 at n1), acknowledged at 9.0 ms"),
        "{sentence}"
    );
    // Made from 2, or a plain write that may have come later: nothing is lost.
    assert_eq!(history(r#""rmw","k":"x","v":[2,3]"#).status, Status::Valid);
    assert_eq!(history(r#""w","k":"x","v":3"#).status, Status::Valid);
}

#[test]
fn examples_get_their_verdicts() {
    let check = |history: &_| {
        let limits = Limits::default();
        vec![durability::check(history, &limits), lost_update::check(history, &limits)]
    };
    let properties = [Property::Awl, Property::Lus];
    let judged = judge_examples(&properties, check, |file, _, verdict, holds| {
        let verdict = verdict.expect("always one");
        assert_eq!(verdict.status == Status::Invalid, !holds, "{file} {verdict:?}");
        if file == "LUS-cnt-bad.jsonl" && verdict.property == Property::Lus {
            assert_eq!(verdict.anomalies[0].kind, "lost-increment");
            assert_eq!(verdict.anomalies[0].operations.len(), 4);
        }
    });
    assert!(judged.is_none_or(|judged| judged >= 8), "{judged:?} verdicts compared");
}

#[test]
fn without_final_reads_nothing_is_known() {
    let verdict = durability::check(&build(&[]), &Limits::default());
    assert_eq!(verdict.property, Property::Awl);
    assert_eq!(verdict.status, Status::Unknown);
    assert!(verdict.reason.expect("a reason").contains("no final reads"));
}
