//! All verdicts on a history, weighed against what was expected of it.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::check::minimal::{Check, minimal};
use crate::check::single_objects::has_mixed_transactions;
use crate::check::{Anomaly, Limits, Property, Status, Verdict};
use crate::check::{
    bank, causal, convergence, counter, duplication, durability, fractured, incompatible_order,
    inventory, linear, locks, lost_update, order, prefix, provenance, queues, real_time, regular,
    resurrection, session, set_full, siblings, store_versions, torn, transaction,
};
use crate::history::{Datatype, Expectations, History, KeyId, Rank, Txn};
use crate::model::Function;

/// What was expected of a history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Properties that must hold.
    pub hold: Vec<Property>,
    /// Properties whose violation is reported and forgiven.
    pub known: Vec<Property>,
    /// How many acknowledged writes may be lost.
    pub max_lost_writes: Option<u64>,
    /// The fraction of operations that must succeed for the history to prove anything.
    pub min_ok_fraction: f64,
}

impl Expected {
    /// What is expected where nobody says otherwise: linearizability, the strongest promise there is.
    pub fn linearizable() -> Self {
        Self { hold: vec![Property::Lin], ..Self::default() }
    }

    /// What is expected of a history where nobody says otherwise: the strongest promise there is, which
    /// for transactions of several operations is strict serializability, for objects that have no sequential
    /// specification their invariant, and for all others linearizability.
    pub fn strongest(history: &History) -> Self {
        let is_transaction =
            |txn: Txn<'_>| txn.function() == Function::Txn && txn.accesses().len() > 1;
        if history.txns().any(is_transaction) {
            return Self { hold: vec![Property::Sser], ..Self::default() };
        }
        let banks = bank::keys(history);
        let promise = |key: KeyId| match history.datatype(key) {
            Datatype::MultiValue => Property::Sib,
            Datatype::Stock => Property::Inv,
            Datatype::Ids => Property::Dupid,
            Datatype::Leadership => Property::Leader,
            Datatype::Mixed if banks.contains(&key) => Property::Bank,
            _ => Property::Lin,
        };
        let promises: BTreeSet<Property> = history.keys().map(promise).collect();
        if promises.is_empty() {
            return Self::linearizable();
        }
        Self { hold: promises.into_iter().collect(), ..Self::default() }
    }

    /// The expectations of a workload; an unknown name comes back as the error.
    pub fn from_names(expectations: &Expectations) -> Result<Self, String> {
        let properties = |names: &[String]| -> Result<Vec<Property>, String> {
            names.iter().map(|name| Property::from_name(name).ok_or_else(|| name.clone())).collect()
        };
        Ok(Self {
            hold: properties(&expectations.hold)?,
            known: properties(&expectations.known)?,
            max_lost_writes: expectations.max_lost_writes,
            min_ok_fraction: expectations.min_ok_fraction.unwrap_or(0.0),
        })
    }
}

/// All verdicts on a history.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// One a property: what was expected to hold, then the rest, each in the order of the table.
    pub verdicts: Vec<Verdict>,
    /// The strongest properties the history is consistent with.
    pub strongest: Vec<Property>,
    /// What was expected.
    pub expected: Expected,
    /// Whether the expectations hold: the worst status among them.
    pub status: Status,
    /// Why the whole is undecided, if that is so for another reason than a property's.
    pub reason: Option<String>,
}

impl Assessment {
    /// Weighs verdicts against expectations.
    pub fn new(mut verdicts: Vec<Verdict>, expected: Expected) -> Self {
        verdicts.sort_by_key(|verdict| !expected.hold.contains(&verdict.property));
        // What the absence of an anomaly of transactions is worth, the levels of isolation say.
        let valid: Vec<Property> = verdicts
            .iter()
            .filter(|one| one.status == Status::Valid)
            .map(|one| one.property)
            .filter(|property| !property.is_anomaly_of_transactions())
            .collect();
        let strongest = Property::strongest(&valid);
        let mut assessment =
            Self { verdicts, strongest, expected, status: Status::Valid, reason: None };
        assessment.status = assessment
            .verdicts
            .iter()
            .filter_map(|verdict| assessment.owed(verdict))
            .max()
            .unwrap_or(Status::Valid);
        assessment
    }

    /// The status of a verdict as an expectation; `None` if nothing is expected of it.
    fn owed(&self, verdict: &Verdict) -> Option<Status> {
        if self.expected.hold.contains(&verdict.property) {
            return Some(verdict.status);
        }
        let most = self.expected.max_lost_writes.filter(|_| verdict.property == Property::Awl)?;
        let forgiven = verdict.status == Status::Invalid && verdict.count <= most;
        Some(if forgiven { Status::Valid } else { verdict.status })
    }

    /// The verdict on a property, if it was asked for.
    pub fn verdict(&self, property: Property) -> Option<&Verdict> {
        self.verdicts.iter().find(|verdict| verdict.property == property)
    }

    /// The expected properties that are violated.
    pub fn violated(&self) -> Vec<Property> {
        let broken = |verdict: &&Verdict| self.owed(verdict) == Some(Status::Invalid);
        self.verdicts.iter().filter(broken).map(|verdict| verdict.property).collect()
    }

    /// Every anomaly with its id, `A1` and on.
    pub fn anomalies(&self) -> impl Iterator<Item = (String, &Anomaly)> {
        let anomalies = self.verdicts.iter().flat_map(|verdict| &verdict.anomalies);
        anomalies.enumerate().map(|(at, anomaly)| (format!("A{}", at + 1), anomaly))
    }

    /// Makes the whole at least undecided, for this reason.
    fn doubt(&mut self, reason: String) {
        self.status = self.status.max(Status::Unknown);
        self.reason = Some(reason);
    }
}

/// The checkers of models of one order; each says nothing of properties that the history has no object
/// for.
const ORDERS: &[Check] = &[
    |history, limits| minimal(order::check, history, limits),
    |history, limits| minimal(REGULAR, history, limits),
];

const REGULAR: Check = |history, limits| regular::check(history, limits).into_iter().collect();

const LINEAR: Check = |history, limits| vec![linear::check(history, limits)];

/// What `ORDERS` judge: all of it holds where linearizability does.
const WEAKER_THAN_LINEARIZABLE: [Property; 3] = [Property::Reg, Property::Seq, Property::Coh];

/// The checkers of models that let sessions see things in different orders, or late.
const VIEWS: &[Check] = &[
    session::check,
    |history, limits| minimal(causal::check, history, limits),
    |history, limits| minimal(prefix::check, history, limits),
];

/// What `VIEWS` judge: all of it holds where sequential consistency does.
const WEAKER_THAN_SEQUENTIAL: [Property; 14] = [
    Property::Pram,
    Property::Cc,
    Property::Cm,
    Property::Ccv,
    Property::Cp,
    Property::CpS,
    Property::Ryw,
    Property::Mr,
    Property::Mw,
    Property::Wfr,
    Property::MrMw,
    Property::MrWfr,
    Property::Sess3,
    Property::Sess4,
];

/// The checkers of everything else.
const INVARIANTS: &[Check] = &[
    |history, limits| incompatible_order::check(history, limits).into_iter().collect(),
    |history, limits| provenance::check(history, limits).to_vec(),
    |history, limits| vec![lost_update::check(history, limits)],
    |history, limits| vec![durability::check(history, limits)],
    |history, limits| convergence::check(history, limits).into_iter().collect(),
    |history, limits| resurrection::check(history, limits).into_iter().collect(),
    |history, limits| duplication::elements(history, limits).into_iter().collect(),
    |history, limits| duplication::ids(history, limits).into_iter().collect(),
    |history, limits| duplication::rising_ids(history, limits).into_iter().collect(),
    |history, limits| torn::check(history, limits).into_iter().collect(),
    |history, limits| fractured::check(history, limits).into_iter().collect(),
    |history, limits| counter::check(history, limits).into_iter().collect(),
    |history, limits| inventory::check(history, limits).into_iter().collect(),
    |history, limits| bank::check(history, limits).into_iter().collect(),
    set_full::check,
    queues::check,
    locks::check,
    |history, limits| siblings::check(history, limits).into_iter().collect(),
    |history, limits| store_versions::check(history, limits).into_iter().collect(),
];

/// What every checker says by itself, in the order of the table: no verdict follows from another.
pub fn single_verdicts(history: &History, limits: &Limits) -> Vec<Verdict> {
    let checkers = [ORDERS, VIEWS, INVARIANTS].concat().into_iter();
    let mut verdicts: Vec<Verdict> = checkers.flat_map(|check| check(history, limits)).collect();
    verdicts.extend(transaction::check(history, limits));
    verdicts.extend(minimal(LINEAR, history, limits));
    verdicts.sort_by_key(|verdict| verdict.property);
    verdicts
}

/// Checks every property and weighs the verdicts.
pub fn assess(history: &History, limits: &Limits, expected: Expected) -> Assessment {
    let run = |checkers: &[Check]| -> Vec<Verdict> {
        checkers.par_iter().flat_map_iter(|check| check(history, limits)).collect()
    };
    let (models, mut verdicts) = rayon::join(
        || {
            let levels = transaction::check(history, limits);
            let mut orders = of_transactions(history, &levels).unwrap_or_default();
            let is_left_to_levels = !orders.is_empty();
            if !is_left_to_levels {
                orders = minimal(LINEAR, history, limits);
            }
            let holds = |orders: &[Verdict], property: Property| {
                orders.iter().any(|one| one.property == property && one.status == Status::Valid)
            };
            let follows = has_only_plain_objects(history) && is_sequential(history);
            if follows && holds(&orders, Property::Lin) {
                orders.retain(|verdict| verdict.property == Property::Lin);
                orders.extend(WEAKER_THAN_LINEARIZABLE.map(Verdict::valid));
            } else if !is_left_to_levels {
                orders.extend(run(ORDERS));
            }
            orders.extend(if follows && holds(&orders, Property::Seq) {
                WEAKER_THAN_SEQUENTIAL.map(Verdict::valid).to_vec()
            } else {
                run(VIEWS)
            });
            orders.extend(levels);
            orders
        },
        || run(INVARIANTS),
    );
    verdicts.extend(models);
    let mut verdicts: Vec<Verdict> =
        verdicts.into_iter().map(|verdict| real_time::withheld(history, verdict)).collect();
    // What was expected and found nothing to judge has not been seen to hold.
    for property in &expected.hold {
        if verdicts.iter().all(|verdict| verdict.property != *property) {
            let why = "nothing in this history is subject to it";
            verdicts.push(Verdict::unknown(*property, why));
        }
    }
    verdicts.sort_by_key(|verdict| verdict.property);
    follow_implications(&mut verdicts);

    let mut assessment = Assessment::new(verdicts, expected);
    let all = history.len();
    let ok = history.txns().filter(|txn| txn.is_ok()).count();
    let fraction = ok as f64 / all.max(1) as f64;
    if all == 0 {
        assessment.doubt("the history is empty: it proves nothing".to_owned());
    } else if ok == 0 {
        assessment.doubt(format!("none of {all} operations succeeded: that proves nothing"));
    } else if fraction < assessment.expected.min_ok_fraction {
        let least = assessment.expected.min_ok_fraction * 100.0;
        assessment.doubt(format!(
            "only {:.1} % of {all} operations succeeded; at least {least:.0} % are needed to prove anything",
            fraction * 100.0
        ));
    }
    assessment
}

/// Linearizability and sequential consistency, where there are transactions that read and write and
/// their levels are decided: as one object of all keys they are linearizable where they are strictly
/// serializable, and sequentially consistent where they are serializable in session order.
fn of_transactions(history: &History, levels: &[Verdict]) -> Option<Vec<Verdict>> {
    if !has_mixed_transactions(history) || !has_only_plain_objects(history) {
        return None;
    }
    let by_level = |property: Property, level: Property| {
        let verdict = levels.iter().find(|verdict| verdict.property == level)?;
        match verdict.status {
            Status::Valid => Some(Verdict::valid(property)),
            Status::Unknown => None,
            Status::Invalid => Some(Verdict::following(property, level)),
        }
    };
    let linear = by_level(Property::Lin, Property::Sser)?;
    let sequential = by_level(Property::Seq, Property::SsSer)?;
    Some(vec![linear, sequential])
}

/// Models that every datatype's weaker models follow from. Other edges of the lattice hold for some
/// datatypes only: a regular register of updates may miss a session's own writes.
const ABOVE_ALL: [Property; 6] = [
    Property::Lin,
    Property::Seq,
    Property::MrMw,
    Property::MrWfr,
    Property::Sess3,
    Property::Sess4,
];

/// Whether all objects are of the kinds that every model of the lattice is defined for.
fn has_only_plain_objects(history: &History) -> bool {
    let plain = [Datatype::Register, Datatype::List, Datatype::Set];
    history.keys().all(|key| plain.contains(&history.datatype(key)))
}

/// Whether no session has two operations at once: session order is then part of real-time order.
fn is_sequential(history: &History) -> bool {
    let mut free = vec![Rank(0); history.session_count()];
    history.txns().all(|txn| {
        let free = &mut free[txn.session().index()];
        let waited = *free <= txn.invoked();
        // What stayed open may take effect later than whatever its session did next.
        if txn.returned() != Rank::NEVER {
            *free = (*free).max(txn.returned());
        }
        waited
    })
}

/// Follows the lattice: a violated property takes every stronger one with it, and what proves the
/// weaker one is told there and not again.
fn follow_implications(verdicts: &mut [Verdict]) {
    let violated: Vec<Verdict> =
        verdicts.iter().filter(|v| v.status == Status::Invalid).cloned().collect();
    for verdict in verdicts {
        let property = verdict.property;
        let weaker = || {
            violated
                .iter()
                .filter(|other| other.property != property && property.is_at_least(other.property))
        };
        let told = |anomaly: &Anomaly| {
            weaker().any(|other| other.anomalies.iter().any(|one| one.set == anomaly.set))
        };
        verdict.anomalies.retain(|anomaly| !told(anomaly));
        // What rests on an assumption refutes both together, so it decides nothing by itself.
        let rests = |other: &&Verdict| other.anomalies.iter().all(|one| !one.assumes.is_empty());
        let follows = ABOVE_ALL.contains(&property) || property.is_level_of_isolation();
        let is_violated = verdict.status == Status::Invalid;
        let proof = weaker().find(|other| !rests(other));
        if let Some(other) = proof.or_else(|| weaker().next().filter(|_| is_violated))
            && (is_violated || follows)
            && verdict.anomalies.is_empty()
        {
            *verdict =
                Verdict { count: other.count, ..Verdict::following(property, other.property) };
        }
    }
}
