//! The levels of isolation: against exhaustion, against the examples, and with violations hidden in
//! long histories.
#![expect(clippy::print_stdout, reason = "a test says what it skips and how its cases are spread")]

#[path = "oracle/isolation.rs"]
mod exhaustion;
#[path = "oracle/plain.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod plain;

use std::collections::BTreeSet;

use exhaustion::{LEVELS, levels};
use plain::{Plain, Step, build, examples};
use rashomon::check::transaction::{self, isolation};
use rashomon::check::{Anomaly, Limits, Property, Status, Verdict};
use rashomon::history::{Access, Builder, History, Operation, TxnId};
use rashomon::model::{Function, Kind, Nanos, Process, Random, Value};
use rayon::prelude::*;

fn status(verdicts: &[Verdict], property: Property) -> Status {
    let verdict = verdicts.iter().find(|one| one.property == property);
    verdict.unwrap_or_else(|| panic!("no verdict on {}", property.id())).status
}

/// A small history: transactions run in some order, but reads may lag, key by key or together.
fn random_history(random: &mut Random) -> Vec<Plain> {
    let count = 2 + random.below(5) as usize;
    let keys = 1 + random.below(3) as usize;
    let is_list: Vec<bool> = {
        let lists = random.below(3);
        (0..keys).map(|_| lists == 2 || lists == 1 && random.chance(0.5)).collect()
    };
    let sessions = 1 + random.below(4) as usize;
    let may_lag = random.below(4);
    let (mut clock, mut process) = (vec![0_u64; sessions], vec![0_u32; sessions]);
    let mut value = 0;
    let mut states: Vec<Vec<Vec<i64>>> = vec![vec![Vec::new(); keys]];
    let mut all = Vec::new();
    for _ in 0..count {
        let session = random.below(sessions as u64) as usize;
        let kind = match random.below(12) {
            0 => Kind::Fail,
            1 | 2 => Kind::Info,
            _ => Kind::Ok,
        };
        let together = if may_lag > 0 { random.below(3) as usize } else { 0 };
        let mut view: Vec<Vec<i64>> = (0..keys)
            .map(|key| {
                let alone = if may_lag > 1 { random.below(2) as usize } else { 0 };
                let at = states.len().saturating_sub(1 + together + alone);
                states[at][key].clone()
            })
            .collect();
        let mut steps = Vec::new();
        let mut written: Vec<(usize, i64)> = Vec::new();
        for _ in 0..=random.below(4) {
            let key = random.below(keys as u64) as usize;
            if random.chance(0.5) {
                value += 1;
                written.push((key, value));
                if is_list[key] {
                    view[key].push(value);
                    steps.push(Step::Append(key, value));
                } else {
                    view[key] = vec![value];
                    steps.push(Step::Write(key, value));
                }
            } else {
                let mut seen = view[key].clone();
                if may_lag == 3 && random.chance(0.1) {
                    seen.clone_from(&states[random.below(states.len() as u64) as usize][key]);
                }
                steps.push(if is_list[key] {
                    Step::Elements(key, seen)
                } else {
                    Step::Read(key, seen.last().copied())
                });
            }
        }
        let mut next = states[states.len() - 1].clone();
        let is_done = match kind {
            Kind::Ok => true,
            Kind::Info => random.chance(0.6),
            _ => random.chance(0.1),
        };
        if is_done {
            for (key, value) in written {
                if is_list[key] {
                    next[key].push(value);
                } else {
                    next[key] = vec![value];
                }
            }
            states.push(next);
        }
        let invoked = clock[session] + 1 + random.below(6);
        let returned = invoked + 1 + random.below(12);
        all.push(Plain {
            process: session as u32 + 10 * process[session],
            session: session as u32,
            kind,
            invoked,
            returned: if kind == Kind::Info { u64::MAX } else { returned },
            function: Function::Txn,
            steps,
            is_final: false,
        });
        clock[session] = returned;
        process[session] += u32::from(kind == Kind::Info);
    }
    if random.chance(0.1) {
        spoil_appends(random, &mut all);
    }
    // Now and then somebody read what was not yet there.
    if random.chance(0.15) {
        let (last, first) = (states[states.len() - 1].clone(), random.below(count as u64) as usize);
        for step in &mut all[first].steps {
            match step {
                Step::Read(key, seen) => *seen = last[*key].last().copied(),
                Step::Elements(key, seen) => seen.clone_from(&last[*key]),
                _ => {}
            }
        }
    }
    all
}

/// Lets everybody else find two appends of one transaction turned round, or only the later, or another's
/// between them.
fn spoil_appends(random: &mut Random, all: &mut [Plain]) {
    let twice = |op: &Plain| {
        let appends: Vec<(usize, i64)> = op.writes().collect();
        let pairs = appends.windows(2).find(|pair| pair[0].0 == pair[1].0);
        pairs.map(|pair| (pair[0].0, pair[0].1, pair[1].1))
    };
    let Some((who, (key, one, other))) = (0..all.len()).find_map(|at| Some((at, twice(&all[at])?)))
    else {
        return;
    };
    let how = random.below(3);
    for step in
        all.iter_mut().enumerate().filter(|(at, _)| *at != who).flat_map(|it| &mut it.1.steps)
    {
        let Step::Elements(read, values) = step else { continue };
        if *read != key || !values.contains(&other) {
            continue;
        }
        match how {
            0 => values.iter_mut().for_each(|value| {
                *value = if *value == one {
                    other
                } else if *value == other {
                    one
                } else {
                    *value
                };
            }),
            1 => values.retain(|value| *value != one),
            _ => {
                let at = values.iter().position(|value| *value == other).unwrap_or(0);
                let end = values.len().min(at + 2);
                values[at..end].rotate_left(1);
            }
        }
    }
}

/// Compares the levels with the truth, by themselves and after the search for anomalies; what is
/// violated takes all that is stronger with it, and every proof is one by itself.
fn compare(plain: &[Plain]) -> u32 {
    let history = build(plain);
    let limits = Limits::default();
    let alone = isolation::check(&history, &limits, &[]);
    let all = transaction::check(&history, &limits);
    let truth = levels(plain);
    for (at, property) in LEVELS.into_iter().enumerate() {
        let expected = if truth >> at & 1 == 1 { Status::Valid } else { Status::Invalid };
        for verdicts in [&alone, &all] {
            let ours = status(verdicts, property);
            assert_eq!(ours, expected, "{}:\n{history:#?}\n{verdicts:#?}", property.id());
        }
    }
    for verdict in &all {
        let weaker = all.iter().filter(|one| verdict.property.is_at_least(one.property));
        for weaker in weaker.filter(|one| one.status == Status::Invalid) {
            assert_eq!(verdict.status, Status::Invalid, "{weaker:#?}\n{verdict:#?}");
        }
        let is_told = verdict.reason.is_some() || !verdict.anomalies.is_empty();
        assert!(verdict.status != Status::Invalid || is_told, "{verdict:#?}");
    }
    for anomaly in alone.iter().chain(&all).flat_map(|verdict| &verdict.anomalies) {
        assert!(!anomaly.sentence.is_empty() && !anomaly.operations.is_empty(), "{anomaly:#?}");
        for (step, next) in anomaly.cycle.iter().zip(anomaly.cycle.iter().cycle().skip(1)) {
            assert_eq!(step.to, next.from, "{anomaly:#?}");
            assert!(!step.why.is_empty(), "{anomaly:#?}\n{history:#?}");
            assert!(anomaly.operations.contains(&step.from), "{anomaly:#?}");
        }
        // Where a transaction contradicts itself, or two lists each other, what was read is the proof,
        // whoever wrote it.
        if anomaly.operations.len() == 1 || anomaly.kind == "incompatible-order" {
            let again = transaction::check(&history.subset(&anomaly.operations), &limits);
            assert_eq!(status(&again, anomaly.property), Status::Invalid, "{anomaly:#?}");
            continue;
        }
        let Some(at) = LEVELS.iter().position(|level| *level == anomaly.property) else { continue };
        let part = part(plain, &history, anomaly);
        let is_proof = levels(&part) >> at & 1 == 0;
        assert!(is_proof, "{anomaly:#?}\n{part:#?}\n{history:#?}");
    }
    truth
}

/// The operations of a proof alone, without what they read of others.
fn part(plain: &[Plain], history: &History, anomaly: &Anomaly) -> Vec<Plain> {
    let place = |txn: &TxnId| history.txn(*txn).index() as usize;
    let mut part: Vec<Plain> =
        anomaly.operations.iter().map(|txn| plain[place(txn)].clone()).collect();
    let written: BTreeSet<(usize, i64)> = part.iter().flat_map(Plain::writes).collect();
    for op in &mut part {
        op.steps.retain_mut(|step| match step {
            Step::Read(key, Some(value)) => written.contains(&(*key, *value)),
            Step::Elements(key, values) => {
                values.retain(|value| written.contains(&(*key, *value)));
                true
            }
            _ => true,
        });
    }
    part
}

#[test]
fn small_histories_agree_with_exhaustion() {
    let count: u64 =
        std::env::var("RASHOMON_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let truths: Vec<u32> = (0..count)
        .into_par_iter()
        .map(|seed| compare(&random_history(&mut Random::stream(seed, "isolation"))))
        .collect();
    for (at, property) in LEVELS.into_iter().enumerate() {
        let share =
            truths.iter().filter(|truth| **truth >> at & 1 == 1).count() as f64 / count as f64;
        println!("{} holds in {:.1} %", property.id(), 100.0 * share);
        assert!((0.05..0.99).contains(&share), "{} holds in {share}", property.id());
    }
}

#[test]
fn the_examples_have_their_verdicts() {
    let Some(examples) = examples() else {
        println!("skipped: ../shared/spec/examples is not there");
        return;
    };
    let mut count = 0;
    for (file, history, expected) in examples {
        if !history.txns().any(|txn| txn.function() == Function::Txn) {
            continue;
        }
        let verdicts = isolation::check(&history, &Limits::default(), &[]);
        for (id, holds) in expected {
            let property = Property::from_name(&id).filter(|one| LEVELS.contains(one));
            let Some(property) = property else { continue };
            let expected = if holds { Status::Valid } else { Status::Invalid };
            assert_eq!(status(&verdicts, property), expected, "{file}: {id}\n{verdicts:#?}");
            count += 1;
        }
    }
    println!("{count} verdicts");
    assert!(count > 100);
}

/// Reads and writes of registers: `(is_write, key, value)`.
type Accesses = Vec<(bool, i64, i64)>;

/// Sessions of transactions.
fn of_sessions(sessions: &[Vec<Accesses>]) -> History {
    let mut builder = Builder::new();
    for (session, txns) in (0..).zip(sessions) {
        for (at, txn) in (0..).zip(txns) {
            let accesses: Vec<Access> = txn
                .iter()
                .map(|(writes, key, value)| Access {
                    function: if *writes { Function::Write } else { Function::Read },
                    key: builder.key(&Value::Int(*key)),
                    value: builder.value(&Value::Int(*value)),
                })
                .collect();
            let operation = Operation {
                index: None,
                process: Process(session),
                kind: Kind::Ok,
                function: Function::Txn,
                // All sessions overlap: these files tell nothing of real time.
                invoked: Nanos::from_millis(2 * at),
                returned: Some(Nanos::from_millis(2 * at + 1)),
                session: Some(session),
                node: None,
                version: None,
                is_final: false,
            };
            builder.operation(operation, &accesses).expect("a well-formed operation");
        }
    }
    builder.finish().expect("a well-formed history")
}

/// So many serial transactions on twenty keys, half of their operations blind writes, and one of these
/// anomalies among them.
fn planted(anomaly: &str, serial: u64) -> History {
    let mut random = Random::stream(7, anomaly);
    let mut sessions: Vec<Vec<Vec<(bool, i64, i64)>>> = vec![Vec::new(); 20];
    let mut now = [0_i64; 20];
    let mut value = 20;
    sessions[0].push((0..20).map(|key| (true, key, key)).collect());
    now.iter_mut().enumerate().for_each(|(key, value)| *value = key as i64);
    for at in 0..serial {
        if at == serial / 2 {
            let (x, y) = (now[0], now[1]);
            let (one, other) = (value + 1, value + 2);
            value += 2;
            let txns: &[&[(bool, i64, i64)]] = match anomaly {
                "nothing" => &[],
                "lost update" => {
                    &[&[(false, 0, x), (true, 0, one)], &[(false, 0, x), (true, 0, other)]]
                }
                "write skew" => &[
                    &[(false, 0, x), (false, 1, y), (true, 0, one)],
                    &[(false, 0, x), (false, 1, y), (true, 1, other)],
                ],
                _ => &[
                    &[(false, 0, x), (true, 0, one)],
                    &[(false, 1, y), (true, 1, other)],
                    &[(false, 0, one), (false, 1, y)],
                    &[(false, 0, x), (false, 1, other)],
                ],
            };
            for (session, txn) in txns.iter().enumerate() {
                sessions[session + 1].push(txn.to_vec());
            }
            if anomaly != "nothing" {
                now[0] = one;
            }
            if anomaly == "long fork" || anomaly == "write skew" {
                now[1] = other;
            }
        }
        let session = random.below(20) as usize;
        let mut txn = Vec::new();
        for _ in 0..4 {
            let key = random.below(20) as usize;
            if random.chance(0.5) {
                value += 1;
                now[key] = value;
                txn.push((true, key as i64, value));
            } else {
                txn.push((false, key as i64, now[key]));
            }
        }
        sessions[session].push(txn);
    }
    of_sessions(&sessions)
}

#[test]
fn dense_blind_writes_are_decided() {
    use Property as P;
    let cases: [(&str, &[P], &[P]); 4] = [
        ("nothing", &[P::SsSer, P::SsSi, P::SsPsi, P::SsPc], &[]),
        ("long fork", &[P::Psi, P::Tcc], &[P::Pc, P::Si, P::Ser]),
        ("write skew", &[P::Si, P::Psi, P::Pc], &[P::Ser]),
        ("lost update", &[P::Pc, P::Tcc], &[P::Psi, P::Si, P::Ser]),
    ];
    for (name, hold, broken) in cases {
        let history = planted(name, 1_000);
        let alone = isolation::check(&history, &Limits::default(), &[]);
        for verdicts in [&alone, &transaction::check(&history, &Limits::default())] {
            for property in LEVELS {
                assert_ne!(status(verdicts, property), Status::Unknown, "{name}: {property:?}");
            }
            for (properties, expected) in [(hold, Status::Valid), (broken, Status::Invalid)] {
                for property in properties {
                    let verdict = verdicts.iter().find(|one| one.property == *property);
                    assert_eq!(status(verdicts, *property), expected, "{name}: {verdict:#?}");
                }
            }
            for anomaly in verdicts.iter().flat_map(|verdict| &verdict.anomalies) {
                println!("{name}: {} {}", anomaly.operations.len(), anomaly.sentence);
                assert!(anomaly.operations.len() <= 8, "{name}: {anomaly:#?}");
            }
        }
    }
}
