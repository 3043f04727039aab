//! All verdicts on a history, weighed against what was expected of it.

use rayon::prelude::*;

use crate::check::{Anomaly, Limits, Property, Status, Verdict};
use crate::check::{
    bank, causal, convergence, counter, duplication, durability, fractured, incompatible_order,
    inventory, linear, locks, lost_update, order, prefix, provenance, queues, regular,
    resurrection, session, set_full, siblings, torn,
};
use crate::history::{Datatype, Expectations, History, Rank};

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
    /// One a property, in the order of the table.
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
    pub fn new(verdicts: Vec<Verdict>, expected: Expected) -> Self {
        let valid: Vec<Property> =
            verdicts.iter().filter(|v| v.status == Status::Valid).map(|v| v.property).collect();
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

type Checker = fn(&History, &Limits) -> Vec<Verdict>;

/// The checkers of models; each says nothing of properties that the history has no object for.
const MODELS: &[Checker] = &[
    session::check,
    order::check,
    |history, limits| regular::check(history, limits).into_iter().collect(),
    causal::check,
    prefix::check,
];

/// What `MODELS` judge: all of it holds where linearizability does.
const WEAKER_THAN_LINEARIZABLE: [Property; 17] = [
    Property::Reg,
    Property::Seq,
    Property::Coh,
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
const INVARIANTS: &[Checker] = &[
    |history, limits| incompatible_order::check(history, limits).into_iter().collect(),
    |history, limits| provenance::check(history, limits).to_vec(),
    |history, limits| vec![lost_update::check(history, limits)],
    |history, limits| vec![durability::check(history, limits)],
    |history, limits| convergence::check(history, limits).into_iter().collect(),
    |history, limits| resurrection::check(history, limits).into_iter().collect(),
    |history, limits| duplication::elements(history, limits).into_iter().collect(),
    |history, limits| duplication::ids(history, limits).into_iter().collect(),
    |history, limits| torn::check(history, limits).into_iter().collect(),
    |history, limits| fractured::check(history, limits).into_iter().collect(),
    |history, limits| counter::check(history, limits).into_iter().collect(),
    |history, limits| inventory::check(history, limits).into_iter().collect(),
    |history, limits| bank::check(history, limits).into_iter().collect(),
    set_full::check,
    queues::check,
    locks::check,
    |history, limits| siblings::check(history, limits).into_iter().collect(),
];

/// Checks every property and weighs the verdicts.
pub fn assess(history: &History, limits: &Limits, expected: Expected) -> Assessment {
    let run = |checkers: &[Checker]| -> Vec<Verdict> {
        checkers.par_iter().flat_map_iter(|check| check(history, limits)).collect()
    };
    let (models, mut verdicts) = rayon::join(
        || {
            let linear = linear::check(history, limits);
            let mut models = match linear.status {
                Status::Valid if has_only_plain_objects(history) && is_sequential(history) => {
                    WEAKER_THAN_LINEARIZABLE.map(Verdict::valid).to_vec()
                }
                _ => run(MODELS),
            };
            models.push(linear);
            models
        },
        || run(INVARIANTS),
    );
    verdicts.extend(models);
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
        if let Some(other) = weaker().next()
            && (verdict.status == Status::Invalid
                || verdict.status == Status::Unknown && ABOVE_ALL.contains(&property))
            && verdict.anomalies.is_empty()
        {
            verdict.status = Status::Invalid;
            verdict.count = other.count;
            verdict.reason =
                Some(format!("follows from a violation of: {}", other.property.name()));
        }
    }
}
