//! Orders: REG, SEQ, COH and INCO against exhaustion, the examples and each other.
#![expect(clippy::print_stdout, reason = "a test says what it skips and how its cases are spread")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/orders.rs"]
mod exhaustion;
#[path = "oracle/plain.rs"]
#[expect(dead_code, reason = "the oracles of other tests")]
mod plain;
#[path = "oracle/rows.rs"]
mod rows;

use cases::cases;
use compared::tell;
use exhaustion::{Row, build};
use plain::examples;
use rashomon::check::{Limits, Property, Status, Verdict, measure};
use rashomon::check::{incompatible_order, linear, order, regular, session};
use rashomon::history::History;
use rashomon::model::{Function, Random, Value};
use rayon::prelude::*;
use rows::{
    FAMILIES, Family, answer, answer_in, answer_key_by_key, interleaved, questions, random_history,
};

/// Lists some reads of which show any of the elements in an order of their own.
fn random_lists(random: &mut Random) -> Vec<Row> {
    let mut rows = random_history(random, Family::Lists);
    let steps = rows.iter().flat_map(|row| row.steps.clone());
    let appended: Vec<_> = steps.filter(|step| step.0 == Function::Append).collect();
    for (function, key, value) in rows.iter_mut().flat_map(|row| &mut row.steps) {
        if *function == Function::Read && random.chance(0.6) {
            let here = appended.iter().filter(|step| step.1 == *key);
            let mut items: Vec<Value> = here.map(|step| step.2.clone()).collect();
            if random.chance(0.4) {
                random.shuffle(&mut items);
            }
            items.truncate(random.below(items.len() as u64 + 1) as usize);
            *value = Value::list(items);
        }
    }
    rows
}

#[test]
fn incompatible_orders_are_those_of_the_definition() {
    let all = cases(100_000);
    let said: Vec<Option<Status>> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let rows = random_lists(&mut Random::stream(seed, "lists"));
            let history = build(&rows);
            let holds = exhaustion::is_compatible(&rows);
            let Some(verdict) = incompatible_order::check(&history, &Limits::default()) else {
                assert!(holds, "{history:?}");
                return None;
            };
            let wrong = match verdict.status {
                Status::Valid | Status::Unknown => !holds,
                Status::Invalid => holds,
            };
            assert!(!wrong, "{seed} {holds} {verdict:#?}\n{history:?}");
            Some(verdict.status)
        })
        .collect();
    let violated = tell(Property::Inco, "lists", said.into_iter().flatten()) as u64;
    assert!(violated > all / 20, "{violated} of {all}");
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
    let count = cases(15_000);
    let tally: Vec<(Family, Property, Status)> = (0..8 * count)
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
                judged.push((family, property, verdict.status));
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
            let said = || said_of(&tally, family, property);
            let valid = said().filter(|one| *one == Status::Valid).count() as u64;
            let violated = tell(property, &format!("{family:?}"), said()) as u64;
            if property != Property::Inco {
                let spread = valid > count / 8 && violated > count / 50;
                assert!(spread, "{family:?} {property:?} {valid} {violated}");
            }
        }
    }
}

/// What was said of a property, of histories of one family.
fn said_of(
    tally: &[(Family, Property, Status)],
    family: Family,
    property: Property,
) -> impl Iterator<Item = Status> {
    tally.iter().filter(move |one| (one.0, one.1) == (family, property)).map(|one| one.2)
}

/// A transaction is one operation in the order of all, and what it did on a key in that of the key; a
/// register that begins with zero is judged as one that begins with nothing.
#[test]
fn transactions_take_their_place_as_a_whole() {
    let properties = [Property::Lin, Property::Seq, Property::Coh, Property::Reg];
    let tally: Vec<(Family, Property, Status)> = (0..2 * cases(6_000))
        .into_par_iter()
        .flat_map_iter(|seed| {
            let mut random = Random::stream(seed, "transactions");
            let family = [Family::Snapshots, Family::Transactions][(seed % 2) as usize];
            let (sessions, count) = (2 + random.below(2) as u32, 4 + random.below(4) as i64);
            let mut rows = questions(&mut random, family, 3, sessions, count);
            answer(&mut random, &mut rows);
            let limits = Limits::default();
            let judge = |history: &History| {
                let mut verdicts = all(history, &limits);
                verdicts.push(linear::check(history, &limits));
                verdicts
            };
            let (history, from_zero) = (build(&rows), exhaustion::build_from_zero(&rows));
            let (verdicts, again) = (judge(&history), judge(&from_zero));
            let truths = [
                exhaustion::is_linearizable(&rows),
                exhaustion::is_sequential(&rows),
                exhaustion::is_coherent(&rows),
                exhaustion::is_regular(&rows),
            ];
            let mut judged = Vec::new();
            for (property, holds) in properties.into_iter().zip(truths) {
                let Some(verdict) = verdicts.iter().find(|one| one.property == property) else {
                    continue;
                };
                let wrong = match verdict.status {
                    Status::Valid => !holds,
                    Status::Invalid => holds,
                    Status::Unknown => false,
                };
                assert!(!wrong, "{seed} {holds} {verdict:#?}\n{history:?}");
                let same = status(&again, property);
                assert_eq!(Some(verdict.status), same, "{seed} {property:?}\n{from_zero:?}");
                for anomaly in &verdict.anomalies {
                    let alone = judge(&history.subset(&anomaly.operations));
                    let alone = status(&alone, property);
                    assert_eq!(alone, Some(Status::Invalid), "{seed} {anomaly:#?}\n{history:?}");
                }
                judged.push((family, property, verdict.status));
            }
            judged
        })
        .collect();
    for family in [Family::Snapshots, Family::Transactions] {
        for property in properties {
            let said = || said_of(&tally, family, property);
            let all = said().count();
            let valid = said().filter(|one| *one == Status::Valid).count();
            let invalid = tell(property, &format!("{family:?}"), said());
            let few = family == Family::Transactions && property == Property::Reg;
            assert!(invalid > all / 20, "{family:?} {property:?}");
            assert!(valid + invalid > all / if few { 4 } else { 2 }, "{family:?} {property:?}");
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

#[test]
fn distances_of_registers_from_linearizable_are_those_of_the_definitions() {
    distances(Family::Registers, cases(15_000));
}

#[test]
fn distances_of_lists_from_linearizable_are_those_of_the_definitions() {
    distances(Family::Lists, cases(15_000));
}

/// Δ is zero if and only if one version is enough if and only if the history is linearizable.
fn distances(family: Family, all: u64) {
    let met: Vec<[u64; 4]> = (0..all)
        .into_par_iter()
        .filter_map(|seed| {
            let mut random = Random::stream(seed, "distance");
            let rows = random_history(&mut random, family);
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
            assert!(exact == 1 || k.is_none() || family != Family::Lists, "{seed} {history:?}");
            Some([1, u64::from(!lin && k.is_some()), exact, u64::from(k.is_some_and(|k| k > 2))])
        })
        .collect();
    let sum = |at: usize| met.iter().map(|one| one[at]).sum::<u64>();
    println!(
        "DELTA and KSTALE of {family:?}: {} compared, {} not linearizable, {} with exact k, {} k > 2",
        sum(0),
        sum(1),
        sum(2),
        sum(3)
    );
    assert!(sum(0) > all / 2 && sum(1) > all / 15 && sum(3) > all / 300);
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
