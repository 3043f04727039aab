//! Session guarantees: against exhaustion, against the examples, and witnesses judged alone.
#![expect(clippy::print_stdout, reason = "a test says what it skips and how its cases are spread")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/sessions.rs"]
mod exhaustion;
#[path = "oracle/plain.rs"]
mod plain;

use std::collections::BTreeSet;

use cases::cases;
use compared::tell;
use plain::{Plain, Step, build, judge_examples, load};
use rashomon::check::{Assumption, Limits, Property, Status, Verdict, session};
use rashomon::history::{History, SessionId};
use rashomon::model::{Function, Kind, Random};
use rayon::prelude::*;

/// The properties and the sets they stand for.
const PROPERTIES: [(Property, u8); 8] = [
    (Property::Ryw, 1),
    (Property::Mr, 2),
    (Property::Mw, 4),
    (Property::Wfr, 8),
    (Property::MrMw, 6),
    (Property::MrWfr, 10),
    (Property::Sess3, 7),
    (Property::Sess4, 15),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Registers,
    Updates,
    Lists,
    Sets,
    Snapshots,
}

/// A small history of sessions that may span several processes, with failed and indeterminate
/// operations. Half of them replay a lazily replicated store, so that much holds; the others read
/// at random.
fn random_history(random: &mut Random, family: Family) -> Vec<Plain> {
    let keys = 1 + random.below(2) as usize;
    let count = 5 + random.below(4);
    let replay = random.chance(0.6);
    let sessions = 2 + random.below(2) as u32;
    let mut clock = vec![0_u64; sessions as usize];
    let mut process: Vec<u32> = (0..sessions).collect();
    let mut next_process = sessions;
    let mut replicas: Vec<Replica> = (0..sessions).map(|_| Replica::default()).collect();
    let mut log: Vec<(Vec<Step>, u64)> = Vec::new();
    let mut ops: Vec<Plain> = Vec::new();
    let (mut value, mut writes) = (0, 0);
    for _ in 0..count {
        let session = random.below(sessions.into()) as usize;
        let invoked = clock[session] + 1 + random.below(4);
        let mut returned = invoked + 1 + random.below(6);
        clock[session] = returned;
        let key = random.below(keys as u64) as usize;
        let kind = match random.below(12) {
            0 => Kind::Info,
            1 => Kind::Fail,
            _ => Kind::Ok,
        };
        let is_write = random.chance(0.5) && writes < 5;
        // Some clients roam.
        let at = if random.chance(0.3) { random.below(sessions.into()) as usize } else { session };
        let replica = &mut replicas[at];
        replica.catch_up(random, &log);
        let mut write = |key: usize| {
            value += 1;
            match family {
                Family::Lists => Step::Append(key, value),
                Family::Sets => Step::Add(key, value),
                _ => Step::Write(key, value),
            }
        };
        let (function, steps) = if is_write {
            writes += 1;
            match family {
                Family::Updates if random.chance(0.6) => {
                    let seen = replica.read(random, family, key, replay, &ops);
                    (Function::Rmw, vec![seen, write(key)])
                }
                Family::Snapshots if keys > 1 && random.chance(0.3) => {
                    (Function::Txn, vec![write(0), write(1)])
                }
                Family::Lists => (Function::Append, vec![write(key)]),
                Family::Sets => (Function::Add, vec![write(key)]),
                _ => (Function::Write, vec![write(key)]),
            }
        } else if family == Family::Snapshots && random.chance(0.7) {
            let all =
                (0..keys).map(|key| replica.read(random, family, key, replay, &ops)).collect();
            (Function::Txn, all)
        } else {
            (Function::Read, vec![replica.read(random, family, key, replay, &ops)])
        };
        let written: Vec<Step> =
            steps.iter().filter(|step| step.written().is_some()).cloned().collect();
        let takes_effect = kind == Kind::Ok || kind == Kind::Info && random.chance(0.5);
        if !written.is_empty() && takes_effect {
            let stamp = random.below(1000);
            log.push((written, stamp));
            replica.apply(log.len() - 1, &log);
        }
        let by = process[session];
        if kind == Kind::Info {
            returned = u64::MAX;
            process[session] = next_process;
            next_process += 1;
        }
        ops.push(Plain {
            process: by,
            session: session as u32,
            kind,
            invoked,
            returned,
            function,
            steps,
            is_final: false,
        });
    }
    ops
}

/// One replica of a store that replicates lazily and in any order.
#[derive(Default)]
struct Replica {
    seen: Vec<usize>,
    registers: [Option<(u64, i64)>; 2],
    elements: [Vec<i64>; 2],
    last_writer_wins: Option<bool>,
}

impl Replica {
    fn catch_up(&mut self, random: &mut Random, log: &[(Vec<Step>, u64)]) {
        let wins = random.chance(0.5);
        self.last_writer_wins.get_or_insert(wins);
        for at in 0..log.len() {
            if !self.seen.contains(&at) {
                if random.chance(0.5) {
                    self.apply(at, log);
                } else if random.chance(0.6) {
                    break;
                }
            }
        }
    }

    fn apply(&mut self, at: usize, log: &[(Vec<Step>, u64)]) {
        self.seen.push(at);
        let (steps, stamp) = &log[at];
        for step in steps {
            match step {
                Step::Write(key, value) => {
                    let held = &mut self.registers[*key];
                    let older = held.is_some_and(|(before, _)| before > *stamp);
                    if !(older && self.last_writer_wins == Some(true)) {
                        *held = Some((*stamp, *value));
                    }
                }
                Step::Append(key, value) | Step::Add(key, value) => {
                    self.elements[*key].push(*value);
                }
                Step::Read(..) | Step::Elements(..) => {}
            }
        }
    }

    fn read(
        &self,
        random: &mut Random,
        family: Family,
        key: usize,
        replay: bool,
        ops: &[Plain],
    ) -> Step {
        let register = !matches!(family, Family::Lists | Family::Sets);
        if replay && random.chance(0.95) {
            return if register {
                Step::Read(key, self.registers[key].map(|(_, value)| value))
            } else {
                Step::Elements(key, self.elements[key].clone())
            };
        }
        let mut written: Vec<i64> = ops
            .iter()
            .filter(|op| op.kind != Kind::Fail || random.chance(0.02))
            .flat_map(|op| op.writes().collect::<Vec<_>>())
            .filter(|(one, _)| *one == key)
            .map(|(_, value)| value)
            .collect();
        if register {
            let at = random.below(written.len() as u64 + 1) as usize;
            Step::Read(key, written.get(at).copied())
        } else {
            if random.chance(0.3) {
                random.shuffle(&mut written);
            }
            written.truncate(random.below(written.len() as u64 + 1) as usize);
            Step::Elements(key, written)
        }
    }
}

fn limits() -> Limits {
    Limits { anomalies: 2, ..Limits::default() }
}

fn status(verdicts: &[Verdict], property: Property) -> Status {
    verdicts.iter().find(|one| one.property == property).expect("a verdict a property").status
}

/// The plain operations of a witness.
fn part(plain: &[Plain], history: &History, verdict: &Verdict, at: usize) -> Vec<Plain> {
    verdict.anomalies[at]
        .operations
        .iter()
        .map(|txn| plain[history.txn(*txn).index() as usize].clone())
        .collect()
}

fn set_of(properties: &[Property]) -> u8 {
    properties.iter().fold(0, |set, one| {
        set | PROPERTIES.iter().find(|(property, _)| property == one).expect("a guarantee").1
    })
}

/// Compares one history with exhaustion and replays every witness. Returns which sets hold.
fn compare(plain: &[Plain]) -> (u16, [Status; 8]) {
    let history = build(plain);
    let verdicts = session::check(&history, &limits());
    let truth = exhaustion::satisfied(plain);
    let thin = exhaustion::sessions(plain).is_none();
    let story = || format!("{history:#?}\n{verdicts:#?}");
    for (property, set) in PROPERTIES {
        let ours = status(&verdicts, property);
        let reads = plain.iter().any(|op| op.kind == Kind::Ok && op.reads().next().is_some());
        if truth & 1 << set != 0 {
            let expected = if reads { Status::Valid } else { Status::Unknown };
            assert_eq!(ours, expected, "{} holds: {}", property.id(), story());
        } else if thin || truth & 1 != 0 {
            assert_eq!(ours, Status::Invalid, "{} is violated: {}", property.id(), story());
        } else {
            // No view at all: nothing may be called good, and what is called bad is proved below.
            assert_ne!(ours, Status::Valid, "{} has no view: {}", property.id(), story());
        }
    }
    let mut replayed = BTreeSet::new();
    for verdict in &verdicts {
        for (at, anomaly) in verdict.anomalies.iter().enumerate() {
            // One witness may stand for several properties: those that demand all of its set.
            assert_eq!(set_of(&anomaly.set) & !set_of(&[verdict.property]), 0);
            if !replayed.insert((&anomaly.operations, &anomaly.set)) {
                continue;
            }
            let witness = part(plain, &history, verdict, at);
            let again = session::check(&history.subset(&anomaly.operations), &limits());
            assert_eq!(status(&again, verdict.property), Status::Invalid, "alone: {}", story());
            assert!(anomaly.session.is_some() && !anomaly.sentence.is_empty());
            if anomaly.kind == "thin-air-read" || anomaly.kind == "aborted-read" {
                assert!(exhaustion::sessions(&witness).is_none(), "{}", story());
                continue;
            }
            let name = anomaly.session.map_or(u32::MAX, |one| history.session_name(one));
            let set = set_of(&anomaly.set);
            let sessions = exhaustion::sessions(&witness).expect("its reads have sources");
            let of_session = sessions.iter().find(|one| one.0 == name).expect("its session").1;
            // It is violated, and every smaller set of guarantees is not.
            for less in (0..16).filter(|less| less & !set == 0) {
                let holds = of_session & 1 << less != 0;
                assert_eq!(holds, less != set, "{set} is minimal: {anomaly:#?}\n{}", story());
            }
            assert!(!anomaly.cycle.is_empty(), "{}", story());
            for (step, next) in anomaly.cycle.iter().zip(anomaly.cycle.iter().cycle().skip(1)) {
                assert_eq!(step.to, next.from, "{anomaly:#?}");
                assert!(anomaly.operations.contains(&step.from));
            }
        }
    }
    (truth, PROPERTIES.map(|(property, _)| status(&verdicts, property)))
}

/// Compares many histories; in at least a tenth of them each property holds, and in hundreds it
/// is violated although the reads have some view.
fn compare_many(family: Family, rarely_violated: &[Property]) {
    let count = cases(100_000);
    let told: Vec<(u16, [Status; 8])> = (0..count)
        .into_par_iter()
        .map(|seed| {
            compare(&random_history(&mut Random::stream(seed, &format!("{family:?}")), family))
        })
        .collect();
    let truths: Vec<u16> = told.iter().map(|told| told.0).collect();
    for (at, (property, set)) in PROPERTIES.into_iter().enumerate() {
        tell(property, &format!("{family:?}"), told.iter().map(|told| told.1[at]));
        let holds = truths.iter().filter(|truth| **truth & 1 << set != 0).count() as f64;
        let share = holds / count as f64;
        println!("{family:?} {}: holds in {:.1} %", property.id(), 100.0 * share);
        assert!(share > 0.1, "{family:?} {} holds in {share}", property.id());
        if !rarely_violated.contains(&property) {
            let broken =
                truths.iter().filter(|truth| **truth & 1 != 0 && **truth & 1 << set == 0).count();
            let share = broken as f64 / count as f64;
            println!("{family:?} {}: violated in {:.1} %", property.id(), 100.0 * share);
            assert!(share > 0.004, "{family:?} {} violated in {share}", property.id());
        }
    }
}

#[test]
fn registers_agree_with_exhaustion() {
    // Single reads of single registers can break neither alone.
    compare_many(Family::Registers, &[Property::Mw, Property::Wfr]);
}

#[test]
fn updates_agree_with_exhaustion() {
    compare_many(Family::Updates, &[Property::Mw, Property::Wfr]);
}

#[test]
fn lists_agree_with_exhaustion() {
    compare_many(Family::Lists, &[]);
}

#[test]
fn sets_agree_with_exhaustion() {
    compare_many(Family::Sets, &[]);
}

#[test]
fn snapshots_agree_with_exhaustion() {
    compare_many(Family::Snapshots, &[Property::Wfr]);
}

#[test]
fn examples_get_their_verdicts() {
    let check = |history: &_| session::check(history, &Limits::default());
    let properties = PROPERTIES.map(|(property, _)| property);
    let judged = judge_examples(&properties, check, |file, history, verdict, holds| {
        let verdict = verdict.expect("a verdict a property");
        // Where no session has any view, the specification wants to hear of that instead.
        let no_view = ["TORN-bad.jsonl", "FR-bad.jsonl", "G0-bad.jsonl"].contains(&file);
        let reads = history.txns().any(|txn| txn.is_ok() && txn.read().is_some());
        let expected = match (holds, no_view, reads) {
            (false, true, _) | (true, _, false) => Status::Unknown,
            (false, false, _) => Status::Invalid,
            (true, _, true) => Status::Valid,
        };
        assert_eq!(verdict.status, expected, "{file} {verdict:?}");
    });
    assert!(judged.is_none_or(|judged| judged > 300), "{judged:?} verdicts compared");
}

/// Checks one history given in the operation form and returns the first anomaly of a property.
fn sentence(
    lines: &str,
    property: Property,
    assume: &[Assumption],
) -> Option<(String, String, Vec<Assumption>)> {
    let limits = Limits { assume: assume.to_vec(), ..Limits::default() };
    let verdicts = session::check(&load(lines), &limits);
    let verdict = verdicts.into_iter().find(|one| one.property == property).expect("a verdict");
    let anomaly = verdict.anomalies.into_iter().next()?;
    Some((anomaly.kind.to_owned(), anomaly.sentence, anomaly.assumes))
}

const BACK_AND_FORTH: &str = r#"
{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"w","k":"x","v":1}
{"i":1,"p":1,"type":"ok","inv":2,"ret":3,"f":"w","k":"x","v":2}
{"i":2,"p":2,"type":"ok","inv":5,"ret":6,"f":"r","k":"x","v":2}
{"i":3,"p":2,"type":"ok","inv":7,"ret":8,"f":"r","k":"x","v":1}
"#;

#[test]
fn assumptions_are_used_only_when_asked_for_and_named() {
    assert_eq!(sentence(BACK_AND_FORTH, Property::Mr, &[]), None);
    let all = [
        Assumption::WritesInSessionOrder,
        Assumption::WritesInRealTimeOrder,
        Assumption::WritesFollowReads,
    ];
    let (kind, sentence, assumes) =
        sentence(BACK_AND_FORTH, Property::Mr, &all).expect("a violation");
    assert_eq!(kind, "non-monotonic-read");
    assert_eq!(assumes, [Assumption::WritesInRealTimeOrder]);
    assert!(sentence.contains("¬(monotonic reads ∧ writes in real-time order)"), "{sentence}");
}

#[test]
fn sentences_say_what_happened() {
    let a_b_a = r#"
{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"w","k":"x","v":1}
{"i":1,"p":1,"type":"ok","inv":0,"ret":1,"f":"w","k":"x","v":2}
{"i":2,"p":2,"type":"ok","inv":5,"ret":6,"f":"r","k":"x","v":1}
{"i":3,"p":2,"type":"ok","inv":7,"ret":8,"f":"r","k":"x","v":2}
{"i":4,"p":2,"type":"ok","inv":9,"ret":10,"f":"r","k":"x","v":1}
"#;
    assert_eq!(
        sentence(a_b_a, Property::Mr, &[]).expect("a violation").1,
        "session 2 read x = 1 (#2), then read x = 2 (#3), then read x = 1 (#4) again: \
         what it had seen it does not see any more"
    );
    let own = r#"
{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"w","k":"x","v":1}
{"i":1,"p":0,"type":"ok","inv":2,"ret":3,"f":"r","k":"x","v":null}
"#;
    let (kind, told, _) = sentence(own, Property::Ryw, &[]).expect("a violation");
    assert_eq!(kind, "own-write-missing");
    assert_eq!(
        told,
        "session 0 wrote x = 1 (#0), then read x = nothing (#1): its own acknowledged write is missing"
    );
    let pair = r#"
{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"w","k":"x","v":1}
{"i":1,"p":0,"type":"ok","inv":2,"ret":3,"f":"w","k":"x","v":2}
{"i":2,"p":1,"type":"ok","inv":5,"ret":6,"f":"r","k":"x","v":2}
{"i":3,"p":1,"type":"ok","inv":7,"ret":8,"f":"r","k":"x","v":1}
"#;
    let (kind, told, _) = sentence(pair, Property::MrMw, &[]).expect("a violation");
    assert_eq!(kind, "reads-or-writes-reordered");
    assert!(told.contains("while session 0 wrote x = 1 (#0), then wrote x = 2 (#1)"), "{told}");
    assert!(told.contains("cannot tell which"), "{told}");
}

#[test]
fn what_is_not_traceable_is_undecided() {
    let twice = r#"
{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"w","k":"x","v":1}
{"i":1,"p":1,"type":"ok","inv":2,"ret":3,"f":"w","k":"x","v":1}
{"i":2,"p":2,"type":"ok","inv":5,"ret":6,"f":"r","k":"x","v":1}
{"i":3,"p":2,"type":"ok","inv":7,"ret":8,"f":"r","k":"x","v":null}
"#;
    for verdict in session::check(&load(twice), &Limits::default()) {
        assert_eq!(verdict.status, Status::Unknown);
        assert!(verdict.reason.expect("a reason").contains("more than once"));
    }
    for verdict in session::check(&load(""), &Limits::default()) {
        assert_eq!(verdict.status, Status::Unknown);
    }
}

/// A session whose operations overlap has no order: nothing is said of it, nor by it of others.
#[test]
fn overlapping_sessions_are_undecided() {
    let overlapping = r#"
{"i":0,"p":0,"s":5,"type":"ok","inv":0,"ret":9,"f":"w","k":"x","v":1}
{"i":1,"p":1,"s":5,"type":"ok","inv":2,"ret":8,"f":"r","k":"x","v":null}
"#;
    for verdict in session::check(&load(overlapping), &Limits::default()) {
        assert_eq!(verdict.status, Status::Unknown, "{verdict:?}");
    }
}

/// A larger history of a store whose replicas lag: violations are found by name, in the sessions
/// where they were planted and nowhere else.
#[test]
fn planted_violations_are_found() {
    let mut random = Random::stream(11, "planted");
    for _ in 0..20 {
        let (mut plain, victim) = serial(&mut random, 2_000, 20, 10);
        let before = session::check(&build(&plain), &Limits::default());
        assert!(before.iter().all(|one| one.status == Status::Valid), "{before:#?}");
        // The victim reads one of its writes, and later the state before any write.
        let own = plain
            .iter()
            .position(|op| op.session == victim && op.writes().next().is_some())
            .expect("a write");
        let (key, _) = plain[own].writes().next().expect("a write");
        let late = plain.iter().map(|op| op.returned).max().unwrap_or(0) + 10;
        plain.push(Plain {
            process: victim,
            session: victim,
            kind: Kind::Ok,
            invoked: late,
            returned: late + 1,
            function: Function::Read,
            steps: vec![Step::Read(key, None)],
            is_final: false,
        });
        let history = build(&plain);
        let verdicts = session::check(&history, &Limits::default());
        let found = verdicts.iter().find(|one| one.property == Property::Ryw).expect("a verdict");
        assert_eq!(found.status, Status::Invalid);
        let session = |name: SessionId| history.session_name(name);
        assert!(found.anomalies.iter().all(|one| one.session.map(session) == Some(victim)));
        assert_eq!(found.anomalies[0].operations.len(), 2, "{:#?}", found.anomalies);
        assert_eq!(status(&verdicts, Property::Mw), Status::Valid);
    }
}

/// A history of an atomic store: every operation takes effect at a point within its interval.
fn serial(random: &mut Random, count: u64, sessions: u32, keys: u64) -> (Vec<Plain>, u32) {
    let mut state: Vec<Option<i64>> = vec![None; keys.min(4) as usize];
    let mut free: Vec<u64> = vec![0; sessions as usize];
    let mut ops = Vec::new();
    for value in 1..=count as i64 {
        let session = random.below(sessions.into()) as usize;
        let point = value as u64 * 10;
        if free[session] + 1 >= point {
            continue;
        }
        let invoked = random.between(free[session] + 1, point - 1).max(point.saturating_sub(60));
        let returned = point + 1 + random.below(60);
        free[session] = returned;
        let key = random.below(state.len() as u64) as usize;
        let (function, step) = if random.chance(0.5) {
            state[key] = Some(value);
            (Function::Write, Step::Write(key, value))
        } else {
            (Function::Read, Step::Read(key, state[key]))
        };
        ops.push(Plain {
            process: session as u32,
            session: session as u32,
            kind: Kind::Ok,
            invoked,
            returned,
            function,
            steps: vec![step],
            is_final: false,
        });
    }
    (ops, 3)
}
