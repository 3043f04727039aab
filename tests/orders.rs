//! Orders: REG, SEQ, COH and INCO against exhaustion, the examples and each other.
#![expect(clippy::print_stdout, reason = "a test says what it skips and how its cases are spread")]

#[path = "oracle/orders.rs"]
mod exhaustion;
#[path = "oracle/plain.rs"]
#[expect(dead_code, reason = "the oracles of other tests")]
mod plain;

use exhaustion::{Row, State, apply, build, shown};
use plain::examples;
use rashomon::check::{Limits, Property, Status, Verdict, measure};
use rashomon::check::{incompatible_order, linear, order, regular, session};
use rashomon::history::History;
use rashomon::model::{Function, Kind, Random, Value};
use rayon::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Registers,
    Updates,
    Repeated,
    Lists,
    Sets,
    Removals,
    Counters,
    Mixed,
}

const FAMILIES: [Family; 8] = [
    Family::Registers,
    Family::Updates,
    Family::Repeated,
    Family::Lists,
    Family::Sets,
    Family::Removals,
    Family::Counters,
    Family::Mixed,
];

/// A small history of sessions that may span several processes. Its operations take effect in an
/// order that keeps the sessions, or nearly, or in that of their invocation; some reads show another state.
fn random_history(random: &mut Random, family: Family) -> Vec<Row> {
    let keys = if family == Family::Mixed { 3 } else { 1 + random.below(3) as usize };
    let (sessions, count) = (2 + random.below(2) as u32, 4 + random.below(4) as i64);
    let mut rows = questions(random, family, keys, sessions, count);
    if random.chance(0.3) {
        answer_key_by_key(random, &mut rows);
    } else {
        answer(random, &mut rows);
    }
    rows
}

/// Operations whose reads have no answers yet.
fn questions(
    random: &mut Random,
    family: Family,
    keys: usize,
    sessions: u32,
    count: i64,
) -> Vec<Row> {
    let mut clock = vec![0_u64; sessions as usize];
    let mut process: Vec<u32> = (0..sessions).collect();
    let mut next_process = sessions;
    let mut rows: Vec<Row> = Vec::new();
    for at in 0..count {
        let session = random.below(sessions.into()) as usize;
        let invoked = clock[session] + 1 + random.below(4);
        let mut returned = invoked + 1 + random.below(6);
        clock[session] = returned;
        let kind = match random.below(14) {
            0 => Kind::Info,
            1 => Kind::Fail,
            _ => Kind::Ok,
        };
        let key = random.below(keys as u64) as usize;
        let (function, steps) = operation(random, family, key, at);
        let by = process[session];
        if kind == Kind::Info {
            returned = u64::MAX;
            process[session] = next_process;
            next_process += 1;
        }
        let session = session as u32;
        rows.push(Row { process: by, session, kind, invoked, returned, function, steps });
    }
    rows
}

fn operation(
    random: &mut Random,
    family: Family,
    key: usize,
    at: i64,
) -> (Function, Vec<(Function, usize, Value)>) {
    use Function as F;
    let (value, is_write) = (1 + at, random.chance(0.55));
    let one = |function, value: Value| (function, vec![(function, key, value)]);
    let kind = match family {
        Family::Mixed => [Family::Registers, Family::Lists, Family::Sets][key],
        other => other,
    };
    match kind {
        Family::Registers if is_write => one(F::Write, value.into()),
        Family::Repeated if is_write => one(F::Write, (1 + at % 2).into()),
        Family::Updates if is_write => match random.below(4) {
            0 => one(F::Write, value.into()),
            which => {
                let function = if which == 1 { F::Cas } else { F::Rmw };
                (function, vec![(F::Read, key, Value::Null), (F::Write, key, value.into())])
            }
        },
        Family::Lists if is_write => one(F::Append, value.into()),
        Family::Sets if is_write => one(F::Add, (1000 + value).into()),
        Family::Removals if is_write => {
            let function = if random.chance(0.6) { F::Add } else { F::Remove };
            one(function, (1000 + at % 2).into())
        }
        Family::Counters if is_write => one(F::Increment, (1 + at % 3).into()),
        Family::Lists | Family::Sets | Family::Removals => one(F::Read, Value::list([])),
        Family::Counters => one(F::Read, 0.into()),
        _ => one(F::Read, Value::Null),
    }
}

/// Lets the operations take effect in some order, and the reads answer.
fn answer(random: &mut Random, rows: &mut [Row]) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    match random.below(3) {
        0 => order.sort_by_key(|at| (rows[*at].invoked, *at)),
        1 => order.sort_by_key(|at| (rows[*at].returned, *at)),
        _ => order = interleaved(random, rows),
    }
    let noise = *random.pick(&[0.0, 0.3, 0.8]);
    answer_in(random, rows, order, noise);
}

/// Any order that keeps the sessions.
fn interleaved(random: &mut Random, rows: &[Row]) -> Vec<usize> {
    let mut queues: Vec<Vec<usize>> = vec![Vec::new(); 8];
    for at in (0..rows.len()).rev() {
        queues[rows[at].session as usize].push(at);
    }
    let mut order = Vec::new();
    while order.len() < rows.len() {
        let session = random.below(8) as usize;
        order.extend(queues[session].pop());
    }
    order
}

/// Lets the operations take effect in this order; so many of the reads show an earlier state.
fn answer_in(random: &mut Random, rows: &mut [Row], order: Vec<usize>, noise: f64) {
    let mut states = vec![State::new()];
    for at in order {
        let now = states.len() - 1;
        let is_late = random.chance(noise);
        let seen = if is_late { random.below(states.len() as u64) as usize } else { now };
        for step in 0..rows[at].steps.len() {
            let (function, key, value) = rows[at].steps[step].clone();
            if function == Function::Read {
                let mut value = shown(&states[seen], key, &value);
                if let Value::List(items) = &value
                    && random.chance(noise / 4.0)
                {
                    let mut items = items.to_vec();
                    random.shuffle(&mut items);
                    value = Value::list(items);
                }
                rows[at].steps[step].2 = value;
            }
        }
        let is_kept = random.chance(0.6);
        if rows[at].kind == Kind::Ok || rows[at].kind == Kind::Info && is_kept {
            states.push(apply(&states[now], &rows[at], false).expect("nothing is checked"));
        }
    }
}

/// A store that is coherent and no more: each session sees the states of each key in order, but
/// lags behind each by as much as it likes.
fn answer_key_by_key(random: &mut Random, rows: &mut [Row]) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|at| (rows[*at].invoked, *at));
    let mut states = vec![vec![State::new()]; 3];
    let mut seen = [[0; 8]; 3];
    for at in order {
        let Some((_, key, _)) = rows[at].steps.first().cloned() else { continue };
        let (session, last) = (rows[at].session as usize, states[key].len() - 1);
        let before = &mut seen[key][session];
        let lag = random.below((last - *before) as u64 + 1) as usize;
        *before = if rows[at].writes() { last } else { last - lag };
        let state = states[key][*before].clone();
        for (_, key, value) in rows[at].steps.iter_mut().filter(|one| one.0 == Function::Read) {
            *value = shown(&state, *key, value);
        }
        let happens =
            rows[at].kind == Kind::Ok || rows[at].kind == Kind::Info && random.chance(0.6);
        if happens && rows[at].writes() {
            states[key].push(apply(&state, &rows[at], false).expect("nothing is checked"));
            if rows[at].kind == Kind::Ok {
                seen[key][session] = last + 1;
            }
        }
    }
}

fn all(history: &History, limits: &Limits) -> Vec<Verdict> {
    let mut verdicts = order::check(history, limits);
    verdicts.extend(regular::check(history, limits));
    verdicts.extend(incompatible_order::check(history, limits));
    verdicts
}

fn status(verdicts: &[Verdict], property: Property) -> Option<Status> {
    verdicts.iter().find(|one| one.property == property).map(|one| one.status)
}

/// The verdicts that the definitions give.
fn truth(rows: &[Row]) -> [(Property, bool); 4] {
    [
        (Property::Reg, exhaustion::is_regular(rows)),
        (Property::Coh, exhaustion::is_coherent(rows)),
        (Property::Seq, exhaustion::is_sequential(rows)),
        (Property::Inco, exhaustion::is_compatible(rows)),
    ]
}

#[test]
fn verdicts_are_those_of_the_definitions() {
    let tally: Vec<(Family, Property, bool, Status)> = (0..120_000_u64)
        .into_par_iter()
        .flat_map_iter(|seed| {
            let mut random = Random::stream(seed, "orders");
            let family = FAMILIES[(seed % 8) as usize];
            let rows = random_history(&mut random, family);
            let history = build(&rows);
            let limits = Limits::default();
            let verdicts = all(&history, &limits);
            let mut judged = Vec::new();
            for (property, holds) in truth(&rows) {
                let Some(verdict) = verdicts.iter().find(|one| one.property == property) else {
                    continue;
                };
                judged.push((family, property, holds, verdict.status));
                let wrong = match verdict.status {
                    Status::Valid => !holds,
                    Status::Invalid => holds,
                    Status::Unknown => false,
                };
                assert!(!wrong, "{seed} {family:?} {holds} {verdict:#?}\n{history:?}");
                if verdict.status == Status::Unknown {
                    let reason = verdict.reason.clone().unwrap_or_default();
                    let known = reason.contains("no reads") || reason.contains("nobody ever wrote");
                    assert!(known, "{seed} {family:?} {verdict:#?}\n{history:?}");
                }
                for anomaly in &verdict.anomalies {
                    let alone = history.subset(&anomaly.operations);
                    let again = status(&all(&alone, &limits), property);
                    assert_eq!(again, Some(Status::Invalid), "{anomaly:#?}\n{history:?}");
                    assert!(!anomaly.sentence.is_empty());
                }
            }
            judged
        })
        .collect();
    for family in FAMILIES {
        for property in [Property::Reg, Property::Coh, Property::Seq, Property::Inco] {
            let count = |holds: bool, status: Option<Status>| {
                let is_it = |one: &&(Family, Property, bool, Status)| {
                    one.0 == family
                        && one.1 == property
                        && one.2 == holds
                        && status.is_none_or(|status| one.3 == status)
                };
                tally.iter().filter(is_it).count()
            };
            let (good, bad) = (count(true, None), count(false, None));
            println!("{family:?} {property:?}: {good} hold, {bad} do not");
            if property != Property::Inco {
                assert!(good > 2_000 && bad > 500, "{family:?} {property:?} {good} {bad}");
            }
        }
    }
}

/// Is coherent and no more what a store shows that keeps each key by itself: store buffering and its
/// like, which only the order of all keys together refutes.
#[test]
fn what_is_coherent_need_not_be_sequential() {
    let families = [Family::Registers, Family::Updates, Family::Lists, Family::Sets, Family::Mixed];
    let refuted: Vec<usize> = (0..40_000_u64)
        .into_par_iter()
        .filter_map(|seed| {
            let mut random = Random::stream(seed, "coherent");
            let at = (seed % 5) as usize;
            let keys = if families[at] == Family::Mixed { 3 } else { 2 };
            let (sessions, count) = (2 + random.below(2) as u32, 7 + random.below(4) as i64);
            let mut rows = questions(&mut random, families[at], keys, sessions, count);
            answer_key_by_key(&mut random, &mut rows);
            let history = build(&rows);
            let verdicts = all(&history, &Limits::default());
            assert_ne!(status(&verdicts, Property::Coh), Some(Status::Invalid), "{history:?}");
            let verdict = verdicts.iter().find(|one| one.property == Property::Seq)?;
            match verdict.status {
                Status::Valid => assert!(exhaustion::is_sequential(&rows), "{seed} {history:?}"),
                Status::Invalid => {
                    assert!(!exhaustion::is_sequential(&rows), "{seed} {history:?}");
                    is_proof(&rows, &history, verdict);
                }
                Status::Unknown => {
                    let reason = verdict.reason.as_deref().unwrap_or_default();
                    let known = reason.contains("no reads") || reason.contains("nobody ever wrote");
                    assert!(known, "{seed} {verdict:?} {history:?}");
                }
            }
            (verdict.status == Status::Invalid).then_some(at)
        })
        .collect();
    for (at, family) in families.iter().enumerate() {
        let count = refuted.iter().filter(|one| **one == at).count();
        println!("{family:?}: {count} of 8000 are coherent and not sequentially consistent");
        assert!(count > 60, "{family:?} {count}");
    }
}

/// The witness alone is a violation by definition.
fn is_proof(rows: &[Row], history: &History, verdict: &Verdict) {
    for anomaly in &verdict.anomalies {
        let index = |id: &rashomon::history::TxnId| history.txn(*id).index() as usize;
        let alone: Vec<Row> = anomaly.operations.iter().map(|id| rows[index(id)].clone()).collect();
        // Exhaustion of more would take too long.
        if alone.len() <= 12 {
            assert!(!exhaustion::is_sequential(&alone), "{anomaly:#?}\n{history:?}");
        }
        let again = status(&all(&build(&alone), &Limits::default()), Property::Seq);
        assert_eq!(again, Some(Status::Invalid), "{anomaly:#?}");
    }
}

#[test]
fn longer_histories_are_decided() {
    let families = [Family::Registers, Family::Updates, Family::Lists, Family::Mixed];
    let refuted: usize = (0..600_u64)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, "longer");
            let family = families[(seed / 2 % 4) as usize];
            let (sessions, count) = (2 + random.below(4) as u32, 20 + random.below(40) as i64);
            let mut rows = questions(&mut random, family, 3, sessions, count);
            if seed % 2 == 0 {
                let order = interleaved(&mut random, &rows);
                answer_in(&mut random, &mut rows, order, 0.0);
            } else {
                answer_key_by_key(&mut random, &mut rows);
            }
            let history = build(&rows);
            let verdicts = order::check(&history, &Limits::default());
            let verdict = verdicts.iter().find(|one| one.property == Property::Seq);
            let verdict = verdict.expect("there are registers, lists or sets");
            match verdict.status {
                Status::Unknown => panic!("{seed} {verdict:?}\n{history:?}"),
                Status::Invalid => assert!(seed % 2 == 1, "{seed} {verdict:?}\n{history:?}"),
                Status::Valid => {}
            }
            if verdict.status == Status::Invalid {
                is_proof(&rows, &history, verdict);
            }
            usize::from(verdict.status == Status::Invalid)
        })
        .sum();
    println!("{refuted} of 300 are coherent and not sequentially consistent");
    assert!(refuted > 100, "{refuted}");
}

/// Δ is zero if and only if one version is enough if and only if the history is linearizable.
#[test]
fn distances_from_linearizable_are_those_of_the_definitions() {
    let met: Vec<[u64; 4]> = (0..15_000_u64)
        .into_par_iter()
        .filter_map(|seed| {
            let mut random = Random::stream(seed, "distance");
            let rows = random_history(&mut random, Family::Registers);
            let history = build(&rows);
            let metrics = measure(&history);
            let atomicity = metrics.staleness?.atomicity?;
            let (least, most) = (atomicity.versions_at_least, atomicity.versions_at_most);
            let (delta, k) = (exhaustion::delta(&rows), exhaustion::k(&rows));
            if metrics.clock {
                let ours = atomicity.delta.map(|delta| delta.0);
                assert_eq!(ours, delta.map(|ms| ms * 1_000_000), "{seed} {history:?}");
            }
            match k {
                Some(k) => {
                    let fits = least <= k && most.is_some_and(|most| k <= most);
                    assert!(fits, "{seed} {k} {atomicity:?} {history:?}");
                }
                None => assert_eq!(most, None, "{seed} {history:?}"),
            }
            let lin = exhaustion::is_linearizable(&rows);
            assert_eq!(lin, delta == Some(0), "{seed}");
            assert_eq!(lin, most == Some(1), "{seed} {history:?}");
            assert_eq!(lin, atomicity.delta.is_some_and(|delta| delta.0 == 0), "{seed}");
            let exact = u64::from(k.is_some() && Some(least) == most);
            Some([1, u64::from(!lin && k.is_some()), exact, u64::from(k.is_some_and(|k| k > 2))])
        })
        .collect();
    let sum = |at: usize| met.iter().map(|one| one[at]).sum::<u64>();
    println!(
        "{} measured, {} not linearizable, {} with exact k, {} k > 2",
        sum(0),
        sum(1),
        sum(2),
        sum(3)
    );
    assert!(sum(0) > 10_000 && sum(1) > 1_000 && sum(3) > 50);
}

#[test]
fn the_lattice_is_never_contradicted() {
    use Property as P;
    // What holds of operations on one key each; INCO presupposes nothing.
    let edges = [
        (P::Lin, P::Seq),
        (P::Lin, P::Reg),
        (P::Lin, P::Coh),
        (P::Seq, P::Coh),
        (P::Seq, P::Inco),
        (P::Coh, P::Inco),
        (P::Seq, P::Sess4),
        (P::Seq, P::MrMw),
        (P::Seq, P::MrWfr),
        (P::Coh, P::Mr),
        (P::Coh, P::Ryw),
        (P::Coh, P::Mw),
        (P::Reg, P::Ryw),
    ];
    let met: Vec<[u64; 2]> = (0..40_000_u64)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, "lattice");
            let family = FAMILIES[(seed % 8) as usize];
            let rows = random_history(&mut random, family);
            let (history, limits) = (build(&rows), Limits::default());
            let mut verdicts = all(&history, &limits);
            verdicts.push(linear::check(&history, &limits));
            verdicts.extend(session::check(&history, &limits));
            let mut met = [0, 0];
            for (stronger, weaker) in edges {
                let of = |property| status(&verdicts, property);
                // Session guarantees of regular lists presuppose that their orders are compatible, and
                // for a read updates are writes that look at nothing.
                let presupposed = of(P::Inco) != Some(Status::Invalid) && family != Family::Updates;
                if stronger == P::Reg && !presupposed {
                    continue;
                }
                let contradicts =
                    of(stronger) == Some(Status::Valid) && of(weaker) == Some(Status::Invalid);
                assert!(!contradicts, "{seed} {family:?} {stronger:?} {weaker:?}\n{history:?}");
                met[0] += u64::from(of(stronger) == Some(Status::Valid));
                met[1] += u64::from(of(weaker) == Some(Status::Invalid));
            }
            let ours = status(&verdicts, P::Lin) == Some(Status::Valid);
            assert!(!ours || exhaustion::is_linearizable(&rows), "{seed}\n{history:?}");
            met
        })
        .collect();
    let sum = |at: usize| met.iter().map(|one| one[at]).sum::<u64>();
    assert!(sum(0) > 50_000 && sum(1) > 10_000, "{} {}", sum(0), sum(1));
}

#[test]
fn the_examples_get_their_verdicts() {
    let Some(examples) = examples() else {
        println!("skipped: the examples of the specification are not here");
        return;
    };
    let mut judged = 0;
    for (file, history, expected) in examples {
        let verdicts = all(&history, &Limits::default());
        for (id, holds) in expected {
            let Some(verdict) = verdicts.iter().find(|one| one.property.id() == id) else {
                continue;
            };
            judged += 1;
            let wanted = if holds { Status::Valid } else { Status::Invalid };
            // Where nobody wrote or nobody read there is nothing to be said.
            let silent = holds && verdict.status == Status::Unknown;
            assert!(verdict.status == wanted || silent, "{file} {id} {verdict:#?}");
            if silent {
                println!("{file} {id}: {}", verdict.reason.as_deref().unwrap_or_default());
            }
        }
    }
    println!("{judged} verdicts compared");
    assert!(judged > 150);
}
