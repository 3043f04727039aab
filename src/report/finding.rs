//! An anomaly with what surrounds it.

use crate::check::{Anomaly, Property};
use crate::history::{FaultWindow, Txn};
use crate::model::Nanos;
use crate::report::Report;
use crate::report::escape::clipped;

/// An anomaly with its id and the faults it overlaps.
#[derive(Clone)]
pub struct Finding<'a> {
    /// `A1` and on.
    pub id: String,
    /// The proof.
    pub anomaly: &'a Anomaly,
    /// The operations of the proof, in order of invocation.
    pub operations: Vec<Txn<'a>>,
    /// The faults that were going on at some time between the first invocation and the last known
    /// return of the operations; none where the history has no clock.
    pub faults: Vec<&'a FaultWindow>,
}

impl<'a> Finding<'a> {
    pub(super) fn new(report: Report<'a>, id: String, anomaly: &'a Anomaly) -> Self {
        let history = report.history;
        let mut operations: Vec<Txn<'a>> =
            anomaly.operations.iter().map(|id| history.txn(*id)).collect();
        operations.sort_unstable_by_key(|txn| txn.id);
        let mut finding = Self { id, anomaly, operations, faults: Vec::new() };
        if let (true, Some((begin, end))) = (report.metrics.clock, finding.span()) {
            let overlaps = |fault: &&FaultWindow| fault.begin <= end && begin < fault.end;
            finding.faults = history.faults().iter().filter(overlaps).collect();
        }
        finding
    }

    /// From the first invocation to the last known event of its operations.
    pub(super) fn span(&self) -> Option<(Nanos, Nanos)> {
        let begin = self.operations.iter().map(|txn| txn.invoked_at()).min()?;
        let returns = self.operations.iter().map(|txn| txn.returned_at());
        let invokes = self.operations.iter().map(|txn| txn.invoked_at());
        let end = invokes.chain(returns.filter(|at| *at != Nanos::FOREVER)).max()?;
        Some((begin, end))
    }

    /// What it contradicts: the property, or the guarantees that cannot hold together.
    pub(super) fn contradicts(&self) -> String {
        let names = |set: &[Property]| set.iter().map(|one| one.name()).collect::<Vec<_>>();
        match self.anomaly.set.as_slice() {
            [] | [_] => self.anomaly.property.name().to_owned(),
            set => format!("{} together", names(set).join(" and ")),
        }
    }

    /// The name of its key, if it concerns one that has a name.
    pub(super) fn key(&self, report: &Report<'_>) -> Option<String> {
        let name = report.history.key_name(self.anomaly.key?);
        (*name != crate::model::Value::Null).then(|| clipped(&name.to_string(), 32))
    }

    /// The weakest levels of isolation that it rules out, where levels are judged: the proof of a level
    /// says so itself, and one that takes something for granted rules out nothing.
    pub(super) fn rules_out(&self, report: &Report<'_>) -> Vec<Property> {
        let property = self.anomaly.property;
        let are_judged = report.assessment.verdict(Property::Rc).is_some();
        if !are_judged || property.is_level_of_isolation() || !self.anomaly.assumes.is_empty() {
            return Vec::new();
        }
        property.levels_ruled_out()
    }

    /// What the proof takes for granted, in words.
    pub(super) fn assumptions(&self) -> Option<String> {
        let names: Vec<&str> = self.anomaly.assumes.iter().map(|one| one.name()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}
