//! What a proof may take for granted.

use serde::{Deserialize, Serialize};

/// Evidence for the order of versions that the store, not the data, vouches for (specification 1.3).
/// A verdict that needs one says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assumption {
    /// E4: the writes of a session to one key are ordered as it issued them.
    WritesInSessionOrder,
    /// E5: writes to one key are ordered as they happened in real time.
    WritesInRealTimeOrder,
    /// E6: a write of a session is ordered after what the session had read of the key.
    WritesFollowReads,
    /// E7: versions that the store gave are ordered as their numbers are. Taken for granted wherever
    /// a history has versions that agree with its values; every proof that rests on it says so.
    StoreVersions,
}

impl Assumption {
    /// Every assumption with its name and its number in the specification.
    pub const ALL: [(Self, &str, &str); 4] = [
        (Self::WritesInSessionOrder, "writes-in-session-order", "E4"),
        (Self::WritesInRealTimeOrder, "writes-in-real-time-order", "E5"),
        (Self::WritesFollowReads, "writes-follow-reads", "E6"),
        (Self::StoreVersions, "store-versions", "E7"),
    ];

    /// Its name in a workload.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// What it takes for granted, in a line.
    pub fn about(self) -> &'static str {
        match self {
            Self::WritesInSessionOrder => {
                "the writes of a session to one key are ordered as it issued them"
            }
            Self::WritesInRealTimeOrder => {
                "writes to one key are ordered as they happened in real time"
            }
            Self::WritesFollowReads => {
                "a write is ordered after what its session had read of the key"
            }
            Self::StoreVersions => {
                "versions that the store gave are ordered as their numbers are; always assumed where they agree with the values"
            }
        }
    }

    /// The assumption of that name or number.
    pub fn from_name(name: &str) -> Option<Self> {
        let row = Self::ALL
            .iter()
            .find(|(_, own, number)| *own == name || number.eq_ignore_ascii_case(name));
        row.map(|(assumption, ..)| *assumption)
    }
}
