//! CP and CP-S: against exhaustion, against the examples, in the lattice, and witnesses judged alone.
#![expect(clippy::print_stdout, reason = "a test says what it skips and how its cases are spread")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/causal.rs"]
#[expect(dead_code, reason = "causal models have a test of their own")]
mod exhaustion;
#[path = "oracle/lazy.rs"]
mod lazy;
#[path = "oracle/plain.rs"]
mod plain;

use cases::cases;
use compared::tell;
use exhaustion::Ops;
use lazy::Family;
use plain::{Plain, build, judge_examples};
use rashomon::check::{Limits, Property, Status, Verdict, causal, prefix, session};
use rashomon::model::{Kind, Random};
use rayon::prelude::*;

const PROPERTIES: [Property; 2] = [Property::Cp, Property::CpS];

fn status(verdicts: &[Verdict], property: Property) -> Option<Status> {
    verdicts.iter().find(|one| one.property == property).map(|one| one.status)
}

/// Compares one history with exhaustion and replays every witness; what is undecided, if `exact`,
/// is only what nobody read.
fn compare(plain: &[Plain], exact: bool) -> ([bool; 2], [Option<Status>; 2]) {
    let history = build(plain);
    let verdicts = prefix::check(&history, &Limits::default());
    let ops = Ops::new(plain);
    let truth = [ops.cp(false), ops.cp(true)];
    let story = || format!("{history:#?}\n{verdicts:#?}");
    let reads = plain.iter().any(|op| op.kind == Kind::Ok && op.reads().next().is_some());
    for (property, holds) in PROPERTIES.into_iter().zip(truth) {
        match status(&verdicts, property) {
            Some(Status::Valid) => assert!(holds, "{}: {}", property.id(), story()),
            Some(Status::Invalid) => assert!(!holds, "{}: {}", property.id(), story()),
            _ => assert!(!exact || !reads, "{}: {}", property.id(), story()),
        }
    }
    for verdict in &verdicts {
        for anomaly in &verdict.anomalies {
            let alone = history.subset(&anomaly.operations);
            let again = prefix::check(&alone, &Limits::default());
            assert_eq!(status(&again, verdict.property), Some(Status::Invalid), "{}", story());
            let witness: Vec<Plain> = anomaly
                .operations
                .iter()
                .map(|txn| plain[history.txn(*txn).index() as usize].clone())
                .collect();
            assert!(!Ops::new(&witness).cp(verdict.property == Property::CpS), "{}", story());
            assert!(!anomaly.sentence.is_empty());
            for (step, next) in anomaly.cycle.iter().zip(anomaly.cycle.iter().cycle().skip(1)) {
                assert_eq!(step.to, next.from, "{anomaly:#?}\n{}", story());
                assert!(anomaly.operations.contains(&step.from), "{}", story());
            }
        }
    }
    (truth, PROPERTIES.map(|property| status(&verdicts, property)))
}

fn compare_many(family: Family, usual: u64, exact: bool) {
    let count = cases(usual);
    let told: Vec<([bool; 2], [Option<Status>; 2])> = (0..count)
        .into_par_iter()
        .map(|seed| {
            let random = &mut Random::stream(seed, &format!("prefix {family:?}"));
            compare(&lazy::history(random, family), exact)
        })
        .collect();
    for (at, property) in PROPERTIES.into_iter().enumerate() {
        tell(property, &format!("{family:?}"), told.iter().filter_map(|told| told.1[at]));
        let share = told.iter().filter(|(truth, _)| truth[at]).count() as f64 / count as f64;
        println!("{family:?} {}: holds in {:.1} %", property.id(), 100.0 * share);
        let spread = !exact || (0.1..0.97).contains(&share);
        assert!(spread, "{family:?} {} holds in {share}", property.id());
    }
    let apart = told.iter().filter(|(truth, _)| truth[0] && !truth[1]).count() as u64;
    println!("{family:?}: CP, not CP-S {apart}");
    assert!(apart > count / 200);
}

#[test]
fn lists_agree_with_exhaustion() {
    compare_many(Family::Lists, 40_000, true);
}

#[test]
fn sets_agree_with_exhaustion() {
    compare_many(Family::Sets, 30_000, true);
}

#[test]
fn registers_written_once_agree_with_exhaustion() {
    compare_many(Family::Once, 30_000, true);
}

#[test]
fn overwritten_registers_are_never_accused_or_cleared_wrongly() {
    compare_many(Family::Registers, 10_000, false);
    compare_many(Family::Snapshots, 10_000, false);
    compare_many(Family::Updates, 10_000, false);
}

#[test]
fn examples_get_their_verdicts() {
    let check = |history: &_| prefix::check(history, &Limits::default());
    let mut decided = 0;
    let judged = judge_examples(&PROPERTIES, check, |file, _, verdict, holds| {
        match verdict.map(|one| one.status) {
            Some(Status::Valid) | None => assert!(holds, "{file} {verdict:?}"),
            Some(Status::Invalid) => assert!(!holds, "{file} {verdict:?}"),
            Some(Status::Unknown) => {
                let reason = verdict.and_then(|one| one.reason.as_deref()).unwrap_or_default();
                let known = reason.contains("no reads") || reason.contains("more than once");
                assert!(known, "{file} {verdict:?}");
                return;
            }
        }
        decided += 1;
    });
    println!("{decided} of {judged:?} verdicts decided");
    assert!(judged.is_none_or(|judged| judged > 150 && decided > 100), "{decided} of {judged:?}");
}

/// No implication of the lattice is contradicted by what is said of one history.
#[test]
fn the_lattice_is_never_contradicted() {
    use Property as P;
    const EDGES: [(Property, Property); 15] = [
        (P::Ccv, P::Cc),
        (P::Ccv, P::Sess4),
        (P::Cm, P::Cc),
        (P::Cm, P::Pram),
        (P::Cm, P::Sess4),
        (P::Pram, P::Sess3),
        (P::CpS, P::MrMw),
        (P::CpS, P::MrWfr),
        (P::CpS, P::Cp),
        (P::Cp, P::Mw),
        (P::Cp, P::Wfr),
        (P::Cc, P::Ryw),
        (P::Cc, P::Wfr),
        (P::Cc, P::Mw),
        (P::Sess4, P::Sess3),
    ];
    const FAMILIES: [Family; 6] = [
        Family::Registers,
        Family::Updates,
        Family::Snapshots,
        Family::Once,
        Family::Lists,
        Family::Sets,
    ];
    (0..cases(60_000)).into_par_iter().for_each(|seed| {
        let random = &mut Random::stream(seed, "lattice");
        let family = FAMILIES[random.below(FAMILIES.len() as u64) as usize];
        let history = build(&lazy::history(random, family));
        let limits = Limits::default();
        let mut verdicts = causal::check(&history, &limits);
        verdicts.extend(prefix::check(&history, &limits));
        verdicts.extend(session::check(&history, &limits));
        for (stronger, weaker) in EDGES {
            // To causal models an update of another session is a write like any other, and CC explains
            // each read by an order of its own; session guarantees know the version that was updated,
            // and want one order even of what transactions wrote together.
            let of_sessions = !matches!(weaker, P::Cc | P::Pram | P::Cp);
            let apart = family == Family::Updates
                || (family == Family::Snapshots && stronger == Property::Cc);
            if apart && of_sessions {
                continue;
            }
            let contradicts = status(&verdicts, stronger) == Some(Status::Valid)
                && status(&verdicts, weaker) == Some(Status::Invalid);
            assert!(
                !contradicts,
                "{} without {}: {history:#?}\n{verdicts:#?}",
                stronger.id(),
                weaker.id()
            );
        }
    });
}
