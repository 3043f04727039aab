//! What may be broken.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::Value;

/// The number of a fault within one run, written `F3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u32);

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "F{}", self.0)
    }
}

/// A stream between each pair of nodes of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Who is alive, who leads, elections, acknowledgements.
    Status,
    /// The replicated log.
    Replication,
    /// A second way to learn who is alive: a serial line, another network.
    SecondStatus,
    /// A third one.
    ThirdStatus,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Status, Self::Replication, Self::SecondStatus, Self::ThirdStatus];

    /// Its name in a workload and in a history.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Replication => "replication",
            Self::SecondStatus => "status-2",
            Self::ThirdStatus => "status-3",
        }
    }

    /// The channel of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
    }
}

/// What is lost between a node and clients that are cut off from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Whatever either says.
    All,
    /// The answers: what was asked is done.
    Answers,
}

impl Lost {
    /// Both.
    pub const ALL: [Self; 2] = [Self::All, Self::Answers];

    /// Its name in a workload and in a history.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Answers => "answers",
        }
    }

    /// What has that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lost| lost.name() == name)
    }
}

/// One direction of a cut link: nothing sent by `from` reaches `to`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cut {
    /// The node whose messages are lost.
    pub from: Arc<str>,
    /// The node that misses them.
    pub to: Arc<str>,
}

/// Something to break. Nodes are named as in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The network drops everything on these directed links.
    Partition {
        /// The shape it came from: `halves`, `isolate`, …
        shape: Arc<str>,
        /// The cut links.
        cuts: Vec<Cut>,
        /// The stream that is cut, if not both are.
        channel: Option<Channel>,
    },
    /// The processes of these nodes are killed; the end of the fault restarts them.
    Kill(Vec<Arc<str>>),
    /// The processes of these nodes are stopped; the end of the fault lets them go on.
    Pause(Vec<Arc<str>>),
    /// The wall clocks of these nodes are off by so many milliseconds.
    Skew {
        /// Whose clocks.
        nodes: Vec<Arc<str>>,
        /// How far ahead (behind if negative).
        offset_ms: i64,
    },
    /// Whatever goes to or from these nodes takes so many milliseconds longer.
    Slow {
        /// The slow nodes.
        nodes: Vec<Arc<str>>,
        /// How much longer.
        by_ms: u64,
    },
    /// Every second client is cut off from these nodes.
    Disconnect {
        /// From whom.
        nodes: Vec<Arc<str>>,
        /// What is lost between them.
        lost: Lost,
    },
    /// A fault that the target's own commands know how to inject and to undo.
    Command {
        /// Its name in the target file.
        name: Arc<str>,
        /// The nodes it is done to.
        nodes: Vec<Arc<str>>,
    },
}

impl Fault {
    /// Its name in a workload and in a history.
    pub fn name(&self) -> &str {
        match self {
            Self::Partition { .. } => "partition",
            Self::Kill(_) => "kill",
            Self::Pause(_) => "pause",
            Self::Skew { .. } => "skew",
            Self::Slow { .. } => "slow",
            Self::Disconnect { .. } => "disconnect",
            Self::Command { name, .. } => name,
        }
    }

    /// What it does, as it is written in a history.
    pub fn value(&self) -> Value {
        let names =
            |nodes: &[Arc<str>]| Value::list(nodes.iter().map(|node| Value::Text(node.clone())));
        let map = |entries: Vec<(&str, Value)>| {
            Value::Map(entries.into_iter().map(|(key, value)| (Value::text(key), value)).collect())
        };
        match self {
            Self::Partition { shape, cuts, channel } => {
                let cuts = cuts.iter().map(|cut| {
                    Value::list([Value::Text(cut.from.clone()), Value::Text(cut.to.clone())])
                });
                let mut entries =
                    vec![("shape", Value::Text(shape.clone())), ("cuts", Value::list(cuts))];
                entries.extend(channel.map(|channel| ("channel", Value::text(channel.name()))));
                map(entries)
            }
            Self::Kill(nodes) | Self::Pause(nodes) | Self::Command { nodes, .. } => {
                map(vec![("nodes", names(nodes))])
            }
            Self::Skew { nodes, offset_ms } => {
                map(vec![("nodes", names(nodes)), ("offset-ms", Value::Int(*offset_ms))])
            }
            Self::Slow { nodes, by_ms } => {
                map(vec![("nodes", names(nodes)), ("by-ms", Value::Int(*by_ms as i64))])
            }
            Self::Disconnect { nodes, lost } => {
                map(vec![("nodes", names(nodes)), ("lost", Value::text(lost.name()))])
            }
        }
    }
}
