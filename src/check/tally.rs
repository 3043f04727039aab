//! Many findings, one verdict.

use crate::check::{Anomaly, Limits, Property, Status, Verdict};

/// What has been found of one property so far, object by object.
pub(super) struct Tally {
    property: Property,
    keep: usize,
    anomalies: Vec<Anomaly>,
    count: u64,
    /// Whether anything was judged at all.
    judged: bool,
    /// Why not everything was.
    doubt: Option<String>,
}

impl Tally {
    pub(super) fn new(property: Property, limits: &Limits) -> Self {
        let keep = limits.anomalies.max(1);
        Self { property, keep, anomalies: Vec::new(), count: 0, judged: false, doubt: None }
    }

    /// Something was there to be judged.
    pub(super) fn judged(&mut self) {
        self.judged = true;
    }

    /// Something could not be judged; the first reason is kept.
    pub(super) fn doubt(&mut self, reason: impl FnOnce() -> String) {
        self.doubt.get_or_insert_with(reason);
    }

    /// Counts a violation; its proof is made only if it is kept.
    pub(super) fn violated(&mut self, proof: impl FnOnce() -> Anomaly) {
        self.count += 1;
        if self.anomalies.len() < self.keep {
            self.anomalies.push(proof());
        }
    }

    /// Whether there was anything to judge, decided or not.
    pub(super) fn is_of_something(&self) -> bool {
        self.judged || self.doubt.is_some()
    }

    /// Whether a violation was counted.
    pub(super) fn is_violated(&self) -> bool {
        self.count > 0
    }

    /// Adds what was found elsewhere, in order.
    pub(super) fn join(&mut self, other: Self) {
        self.judged |= other.judged;
        self.doubt = self.doubt.take().or(other.doubt);
        self.count += other.count;
        self.anomalies.extend(other.anomalies);
        self.anomalies.truncate(self.keep);
    }

    /// The verdict; `nothing` says what was missing if nothing was judged.
    pub(super) fn verdict(self, nothing: &str) -> Verdict {
        let status = match (self.count, &self.doubt) {
            (1.., _) => Status::Invalid,
            (0, Some(_)) => Status::Unknown,
            (0, None) if self.judged => Status::Valid,
            (0, None) => return Verdict::unknown(self.property, nothing),
        };
        Verdict {
            property: self.property,
            status,
            reason: self.doubt,
            anomalies: self.anomalies,
            count: self.count,
        }
    }
}
