//! All verdicts on a history, weighed against what was expected of it.

use crate::check::{Anomaly, Limits, Property, Status, Verdict};
use crate::check::{durability, linear, lost_update, provenance, session};
use crate::history::{Expectations, History};

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

/// Checks every property and weighs the verdicts.
pub fn assess(history: &History, limits: &Limits, expected: Expected) -> Assessment {
    let ((mut verdicts, linear), (sessions, (updates, writes))) = rayon::join(
        || {
            rayon::join(
                || provenance::check(history, limits).to_vec(),
                || linear::check(history, limits),
            )
        },
        || {
            rayon::join(
                || session::check(history, limits),
                || (lost_update::check(history, limits), durability::check(history, limits)),
            )
        },
    );
    verdicts.push(linear);
    verdicts.extend(sessions);
    verdicts.extend([updates, writes]);
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
            && verdict.status != Status::Valid
            && verdict.anomalies.is_empty()
        {
            verdict.status = Status::Invalid;
            verdict.count = other.count;
            verdict.reason =
                Some(format!("follows from a violation of: {}", other.property.name()));
        }
    }
}
