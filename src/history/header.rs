//! The first line of a history file.

use serde::{Deserialize, Serialize};

use crate::model::Value;

/// What is known of a history before its first event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Header {
    /// The version of the format; 1.
    pub format: u32,
    /// Who wrote it: `rashomon 0.1.0`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tool: String,
    /// What the history shows, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The name of the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The seed of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The target, without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Value>,
    /// The nodes, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// What registers held before the first write: one value for all, or an object by key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<Value>,
    /// Whether the history has no times at all: its sessions are in order, and nothing tells which
    /// operation of one came before which of another.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub timeless: bool,
    /// When it started, RFC 3339; absent in simulated runs, which are the same every time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// Which of several load machines recorded it: `2/3`; absent once they are merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// How far the clocks were at most from that of the first load machine, in nanoseconds. The order of
    /// operations that are nearer to each other than twice that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_error_ns: Option<u64>,
    /// What the workload expects.
    #[serde(skip_serializing_if = "Expectations::is_empty")]
    pub expect: Expectations,
}

impl Header {
    /// It, if its version of the format is one that is read.
    pub(super) fn supported(self) -> Result<Self, String> {
        if self.format == 1 {
            return Ok(self);
        }
        let version = self.format;
        Err(format!("format version {version}; expected 1, the only one this version reads"))
    }
}

/// What a workload promises of a history: the `[expect]` section.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expectations {
    /// Properties that must hold, by id, name or alias.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hold: Vec<String>,
    /// Properties whose violation is reported and forgiven.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<String>,
    /// Assumptions the verdicts may rest on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assume: Vec<String>,
    /// How many acknowledged writes may be lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lost_writes: Option<u64>,
    /// The fraction of operations that must succeed for the run to prove anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ok_fraction: Option<f64>,
}

impl Eq for Expectations {}

impl Expectations {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
