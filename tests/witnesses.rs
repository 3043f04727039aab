//! Every witness that any checker reports, replayed alone, violates the same property again; and
//! no operation of it can be taken out.
#![expect(clippy::print_stdout, reason = "a test says how its cases are spread")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "simulate/closed_loop.rs"]
#[expect(dead_code, reason = "the histories alone are needed")]
mod closed_loop;
#[path = "oracle/containers.rs"]
#[expect(dead_code, reason = "the generators of the oracles are used, not the oracles")]
mod containers;
#[path = "oracle/orders.rs"]
#[expect(dead_code, reason = "the generators of the oracles are used, not the oracles")]
mod exhaustion;
#[path = "oracle/lazy.rs"]
mod lazy;
#[path = "oracle/lines.rs"]
#[expect(dead_code, reason = "the generators of the oracles are used, not the oracles")]
mod lines;
#[path = "oracle/locks.rs"]
#[expect(dead_code, reason = "the generators of the oracles are used, not the oracles")]
mod locks;
#[path = "oracle/operation.rs"]
mod operation;
#[path = "oracle/plain.rs"]
#[expect(dead_code, reason = "the generators of the oracles are used, not the oracles")]
mod plain;
#[path = "oracle/rows.rs"]
#[expect(dead_code, reason = "not every family is asked for")]
mod rows;
#[path = "oracle/siblings.rs"]
#[expect(dead_code, reason = "the generators of the oracles are used, not the oracles")]
mod siblings;
#[path = "oracle/typed.rs"]
mod typed;

use std::collections::{BTreeMap, BTreeSet};

use cases::cases;
use closed_loop::{Plan, Weather, run};
use containers::{Act, Deed, Order, Shape};
use rashomon::check::{Anomaly, Limits, Property, Status, single_verdicts};
use rashomon::history::{Access, Datatype, History, TxnId, ValueId};
use rashomon::model::{Function, Kind, Random};
use rayon::prelude::*;

/// How many witnesses were seen, how many of them hold more than they need, and how many are no
/// proof by themselves, by property and kind.
#[derive(Default)]
struct Tally(BTreeMap<(Property, &'static str), [u64; 3]>);

impl Tally {
    fn add(mut self, other: Self) -> Self {
        for (kind, counts) in other.0 {
            let sum = self.0.entry(kind).or_default();
            *sum = std::array::from_fn(|at| sum[at] + counts[at]);
        }
        self
    }

    /// Replays every witness of a history, and again without each of its operations.
    fn replay(&mut self, history: &History) {
        let limits = Limits::default();
        for verdict in single_verdicts(history, &limits) {
            let is_told = !verdict.anomalies.is_empty();
            // What is violated with something weaker may have no proof of its own.
            let follows = verdict.property.is_level_of_isolation()
                || verdict.reason.as_ref().is_some_and(|reason| reason.starts_with("follows"));
            let is_invalid = verdict.status == Status::Invalid;
            assert!(is_told == is_invalid || is_invalid && follows, "{verdict:?}");
            for anomaly in &verdict.anomalies {
                let counts = self.0.entry((anomaly.property, anomaly.kind)).or_default();
                counts[0] += 1;
                if !violates(history, &alone(history, anomaly), anomaly.property) {
                    counts[2] += 1;
                    println!("no proof: {anomaly:?}\n{history:?}");
                } else if anomaly.operations.len() <= 12 && !is_minimal(history, anomaly) {
                    counts[1] += 1;
                    if counts[1] == 1 {
                        println!("not minimal: {anomaly:?}\n{history:?}");
                    }
                }
            }
        }
    }
}

/// A witness. What is said of transactions is said only where there is one: if there is none in it,
/// one that has nothing to do with it stands beside it.
fn alone(history: &History, anomaly: &Anomaly) -> Vec<TxnId> {
    let mut operations = anomaly.operations.clone();
    let is_txn = |id: &TxnId| history.txn(*id).function() == Function::Txn;
    let is_transactional = (Property::Int..=Property::Sser).contains(&anomaly.property);
    if is_transactional && !operations.iter().any(is_txn) {
        operations.extend(history.txns().map(|txn| txn.id).find(is_txn));
    }
    operations
}

fn violates(history: &History, operations: &[TxnId], property: Property) -> bool {
    let verdicts = single_verdicts(&history.subset(operations), &Limits::default());
    let mut of_property = verdicts.iter().filter(|verdict| verdict.property == property);
    of_property.any(|verdict| verdict.status == Status::Invalid)
}

/// Whether nothing is left of the violation if any operation is taken out whose going proves nothing
/// by itself. It would, where something is read that nobody left has written, and where what goes
/// could have excused the violation: a removal, a take, a release, an addition to a counter.
fn is_minimal(history: &History, anomaly: &Anomaly) -> bool {
    let proven = match anomaly.set[..] {
        [one] => one,
        [Property::Mr, Property::Mw] => Property::MrMw,
        [Property::Mr, Property::Wfr] => Property::MrWfr,
        _ => anomaly.property,
    };
    anomaly.operations.iter().all(|left_out| {
        let operations = anomaly.operations.iter().copied();
        let rest: Vec<TxnId> = operations.filter(|one| one != left_out).collect();
        is_excuse(history, *left_out)
            || !is_explained(history, &rest)
            || !violates(history, &rest, proven)
    })
}

fn is_excuse(history: &History, id: TxnId) -> bool {
    use Function as F;
    let txn = history.txn(id);
    txn.accesses().any(|access| {
        let is_counted = history.datatype(access.key) == Datatype::Counter && txn.writes();
        let takes = matches!(access.function, F::Dequeue | F::Pop | F::Poll);
        let is_empty = txn.is_ok() && access.value == ValueId::NULL;
        is_counted
            || takes && !is_empty
            || matches!(access.function, F::Remove | F::Acquire | F::Release | F::Buy)
    })
}

/// Whether somebody wrote whatever is read.
fn is_explained(history: &History, operations: &[TxnId]) -> bool {
    let accesses = || operations.iter().flat_map(|id| history.txn(*id).accesses());
    let reads = |one: &Access| {
        use Function as F;
        matches!(one.function, F::Read | F::Dequeue | F::Pop | F::Poll | F::Peek | F::Get)
    };
    let writes = |one: &Access| !reads(one) && one.function != Function::Remove;
    let values = history.values();
    let written: BTreeSet<_> = accesses().filter(writes).map(|one| (one.key, one.value)).collect();
    accesses().filter(reads).all(|one| {
        let is_list = values.is_list(one.value);
        let shown = if is_list { values.elements(one.value) } else { vec![one.value] };
        let nothing = [ValueId::NULL, ValueId::UNKNOWN];
        shown.iter().all(|value| nothing.contains(value) || written.contains(&(one.key, *value)))
    })
}

/// The witnesses of so many histories, each from a seed of its own.
fn tally(cases: u64, history: impl Fn(u64) -> History + Sync) -> Tally {
    let replayed = |mut tally: Tally, seed| {
        tally.replay(&history(seed));
        tally
    };
    (0..cases).into_par_iter().fold(Tally::default, replayed).reduce(Tally::default, Tally::add)
}

/// A queue, stack or priority queue with wrong answers, at times drained at the end.
fn container(random: &mut Random) -> History {
    let order = *random.pick(&Order::ALL);
    let shape = Shape {
        operations: random.between(3, 10),
        clients: random.between(1, 4) as usize,
        repeats: 0.0,
        peeks: 0.0,
        unknown: 0.1,
        failed: 0.05,
        wrong: 0.3,
    };
    let mut deeds = containers::random_history(random, order, shape);
    let invoked = deeds.iter().map(|deed| deed.invoked).max().unwrap_or(0) + 10;
    if random.chance(0.7) {
        let (act, kind) = (Act::Take(None), Kind::Ok);
        deeds.push(Deed { act, kind, invoked, returned: invoked + 2, is_final: true });
    }
    containers::build(order, &deeds)
}

const LAZY: [lazy::Family; 6] = [
    lazy::Family::Registers,
    lazy::Family::Updates,
    lazy::Family::Snapshots,
    lazy::Family::Once,
    lazy::Family::Lists,
    lazy::Family::Sets,
];

/// A random small history of any kind.
fn random_history(seed: u64) -> History {
    let mut random = Random::stream(seed / 6, "witnesses");
    let random = &mut random;
    match seed % 6 {
        0 => plain::build(&lazy::history(random, LAZY[(seed / 6 % 6) as usize])),
        1 => exhaustion::build(&rows::random_history(
            random,
            rows::FAMILIES[(seed / 6 % 8) as usize],
        )),
        2 => container(random),
        3 if random.chance(0.5) => locks::build(&locks::random_claims(random)),
        3 => locks::build(&locks::random_locks(random)),
        4 => siblings::build(&siblings::random_history(random)),
        _ => {
            let generators = typed::GENERATORS;
            lines::history(&generators[(seed / 6) as usize % generators.len()](random))
        }
    }
}

/// Kinds of anomalies of which more than one witness in fifty holds more than it needs. Mostly the rest
/// is violated for another reason than the one told, or an operation stands for what could have excused
/// the violation and did not (an indeterminate take, a release, the other increments).
const NOT_MINIMAL: &[&str] = &[
    "incompatible-order",
    "incompatible-sets",
    "lost-update",
    "lost-write",
    "misordered-writes",
    "new-old-inversion",
    "nonadjacent-anti-dependencies",
    "overwritten-read",
    "read-skew",
    "split-brain",
    "unexplained-level",
    "unseen-write",
    "write-co-read",
];

/// Prints a tally, and asserts that every witness is a proof, and that nearly all of each kind are minimal
/// unless it is listed.
fn judge(tally: &Tally) -> u64 {
    let mut wrong = Vec::new();
    for ((property, kind), [seen, loose, unproven]) in &tally.0 {
        println!("{} {kind}: {seen} witnesses, {loose} not minimal", property.id());
        let listed = NOT_MINIMAL.contains(kind);
        if *unproven > 0 || *loose > 1 + seen / 50 && !listed {
            wrong.push((property.id(), kind, loose, unproven));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    tally.0.values().map(|counts| counts[0]).sum()
}

#[test]
fn every_witness_of_a_small_history_is_a_proof_by_itself() {
    let tally = tally(cases(8_000), random_history);
    assert!(judge(&tally) > 3_000 && tally.0.len() >= 60, "{} kinds", tally.0.len());
}

/// The histories of stores with planted bugs are long, and their witnesses short.
#[test]
fn every_witness_of_a_simulated_bug_is_a_proof_by_itself() {
    let sync = [("replication", "sync")];
    let plans = [
        ("single", "lost-fsync", &[] as &[_], Weather::Kills),
        ("single", "stale-cache", &[], Weather::Calm),
        ("primary-replica", "replica-writes", &sync, Weather::Partitions),
        ("primary-replica", "dirty-ack", &sync, Weather::All),
        ("raft", "ack-before-commit", &[], Weather::All),
        ("raft", "stale-lease", &[("reads", "lease")], Weather::All),
    ];
    let tally = tally(cases(6).min(600), |seed| {
        let (store, bug, options, weather) = plans[seed as usize % plans.len()];
        let mut plan = Plan::new(store, options, weather).with("bug", bug);
        plan.mix = if seed / 6 % 2 == 0 { [5, 4, 0, 0] } else { [5, 3, 1, 1] };
        run(&plan, seed / 6).history
    });
    assert!(judge(&tally) > 50);
}
