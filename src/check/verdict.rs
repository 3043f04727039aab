//! What a checker says.

use crate::check::{Assumption, Property};
use crate::history::{KeyId, SessionId, Txn, TxnId};

/// The verdict on a property. The order is that of merging: the greatest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It holds in this history.
    Valid,
    /// The evidence or the budget did not suffice.
    Unknown,
    /// It is violated, and there is a proof.
    Invalid,
}

impl Status {
    /// `holds`, `undecided`, `violated`: the word of reports and of `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "holds",
            Self::Unknown => "undecided",
            Self::Invalid => "violated",
        }
    }
}

/// The kind of an edge between operations (specification 1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Edge {
    /// The second wrote the version that directly follows the first's.
    Ww = 1,
    /// The second read a version the first wrote.
    Wr = 2,
    /// The first read a version that the second overwrote.
    Rw = 4,
    /// Session order.
    So = 8,
    /// Real-time order.
    Rt = 16,
}

impl Edge {
    /// Its name in the literature.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ww => "ww",
            Self::Wr => "wr",
            Self::Rw => "rw",
            Self::So => "so",
            Self::Rt => "rt",
        }
    }
}

/// One edge of a contradiction, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// This operation …
    pub from: TxnId,
    /// … must come before this one …
    pub to: TxnId,
    /// … by an edge of this kind …
    pub edge: Edge,
    /// … because of this.
    pub why: String,
}

/// A proof that a property is violated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// The violated property.
    pub property: Property,
    /// What it is called: `stale-read`, `lost-update`, …
    pub kind: &'static str,
    /// The guarantees that cannot hold together: the property itself, or the minimal
    /// unsatisfiable set of session guarantees.
    pub set: Vec<Property>,
    /// The key, if it concerns one.
    pub key: Option<KeyId>,
    /// The session, if it concerns one.
    pub session: Option<SessionId>,
    /// The smallest set of operations that alone refutes the property, in order of invocation.
    pub operations: Vec<TxnId>,
    /// The contradiction as a cycle; empty where there is none (a value from nowhere).
    pub cycle: Vec<Step>,
    /// What the proof takes for granted beyond the data.
    pub assumes: Vec<Assumption>,
    /// One sentence for a tired engineer at 3 a.m.
    pub sentence: String,
}

impl Anomaly {
    /// An anomaly of one key, found by one operation: its session is named.
    pub(super) fn of(
        property: Property,
        kind: &'static str,
        key: KeyId,
        found_by: Txn<'_>,
        mut operations: Vec<TxnId>,
        cycle: Vec<Step>,
        sentence: String,
    ) -> Self {
        operations.sort_unstable();
        operations.dedup();
        Self {
            property,
            kind,
            set: vec![property],
            key: Some(key),
            session: Some(found_by.session()),
            operations,
            cycle,
            assumes: Vec::new(),
            sentence,
        }
    }
}

/// The verdict on one property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which property.
    pub property: Property,
    /// Holds, undecided or violated.
    pub status: Status,
    /// Why it is undecided, or what the verdict does not cover.
    pub reason: Option<String>,
    /// The proofs of a violation; none if it follows from another, which `reason` names.
    pub anomalies: Vec<Anomaly>,
    /// How many violations there are, if more were found than are kept.
    pub count: u64,
}

impl Verdict {
    /// It holds.
    pub fn valid(property: Property) -> Self {
        Self { property, status: Status::Valid, reason: None, anomalies: Vec::new(), count: 0 }
    }

    /// It cannot be decided, for this reason.
    pub fn unknown(property: Property, reason: impl Into<String>) -> Self {
        let reason = Some(reason.into());
        Self { property, status: Status::Unknown, reason, anomalies: Vec::new(), count: 0 }
    }

    /// It is violated because `weaker`, which follows from it, is: the proof is told there.
    pub(super) fn following(property: Property, weaker: Property) -> Self {
        let reason = Some(format!("follows from a violation of: {}", weaker.name()));
        Self { property, status: Status::Invalid, reason, anomalies: Vec::new(), count: 0 }
    }

    /// It is violated; `anomalies` prove it.
    pub fn invalid(property: Property, anomalies: Vec<Anomaly>) -> Self {
        let count = anomalies.len() as u64;
        Self { property, status: Status::Invalid, reason: None, anomalies, count }
    }
}

/// How much work a check may do. Steps are counted, not seconds, so that a verdict depends on the
/// history alone.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Steps of the general linearizability search, for each key.
    pub search_steps: u64,
    /// Edges looked at in search of an order of transactions, for each level of isolation.
    pub isolation_steps: u64,
    /// Anomalies kept for each property.
    pub anomalies: usize,
    /// Assumptions that a verdict may rest on; each verdict that does names them.
    pub assume: Vec<Assumption>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            search_steps: 10_000_000,
            isolation_steps: 200_000_000,
            anomalies: 8,
            assume: Vec::new(),
        }
    }
}
