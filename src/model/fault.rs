//! What may be broken.

use std::collections::BTreeSet;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// What becomes of everything that goes to a node or comes from it. Nothing where all is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// How much later it arrives, in milliseconds.
    pub delay_ms: u64,
    /// By how much that differs at most, in milliseconds either way.
    pub jitter_ms: u64,
    /// How much of a hundred is lost.
    pub loss: u8,
    /// How much of a hundred arrives twice.
    pub duplicate: u8,
    /// How much of a hundred is overtaken by what was sent later.
    pub reorder: u8,
    /// How many kilobits a second go through each way.
    pub rate_kbit: u64,
}

/// How wrong a wall clock is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skew {
    /// How far ahead it is put, in milliseconds; behind if negative.
    pub offset_ms: i64,
    /// How many microseconds it gains in each second from then on; loses if negative.
    pub drift_ppm: i64,
    /// It is wrong for so many milliseconds, then right for as many, and so on; always wrong if 0.
    pub strobe_ms: u64,
}

/// What is done to a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeFault {
    /// Its processes are killed; the end of the fault starts them.
    Kill,
    /// Its processes are stopped; the end of the fault lets them go on.
    Pause,
    /// Its wall clock is wrong.
    Skew(Skew),
    /// Its network is bad.
    Packet(Packet),
    /// Its processes get so much of a hundred of one processor's time.
    Throttle(u8),
    /// Its processes get so many megabytes, and are killed if they want more.
    Memory(u64),
    /// Nothing more can be written to its disk.
    DiskFull,
    /// It is killed, and whatever was not synced is lost; the end of the fault starts it.
    PowerLoss,
    /// It is killed, files of it lose their last bytes; the end of the fault starts it.
    Truncate {
        /// Which of its files, as a pattern below its data directory.
        file: Arc<str>,
        /// How many bytes.
        bytes: u64,
    },
    /// It is killed, files of it get wrong bits; the end of the fault starts it.
    BitFlip {
        /// Which of its files, as a pattern below its data directory.
        file: Arc<str>,
        /// How many bits.
        bits: u64,
    },
    /// Every second client is cut off from it.
    Disconnect(Lost),
    /// What the target's own commands of that name know how to inject and to undo.
    Command(Arc<str>),
}

impl NodeFault {
    /// The names of all but those that a target file defines, each with what it does.
    pub const ALL: [(&'static str, &'static str); 11] = [
        ("kill", "processes are killed, and started again at its end"),
        ("pause", "processes are stopped, and go on at its end"),
        (
            "packet",
            "delay, jitter, loss, duplicates, reordering, or a low rate on the network of nodes",
        ),
        ("skew", "wall clocks are put ahead or back, drift, or jump to and fro"),
        ("throttle", "processes get a share of a processor"),
        ("memory", "processes that want more memory than a limit are killed"),
        ("disk-full", "nothing more can be written"),
        ("power-loss", "a kill that loses whatever was not synced"),
        ("truncate", "a kill after which files lack their last bytes"),
        ("bitflip", "a kill after which files have wrong bits"),
        ("disconnect", "every second client is cut off from nodes"),
    ];

    /// Its name in a workload and in a history.
    pub fn name(&self) -> &str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Skew(_) => "skew",
            Self::Packet(_) => "packet",
            Self::Throttle(_) => "throttle",
            Self::Memory(_) => "memory",
            Self::DiskFull => "disk-full",
            Self::PowerLoss => "power-loss",
            Self::Truncate { .. } => "truncate",
            Self::BitFlip { .. } => "bitflip",
            Self::Disconnect(_) => "disconnect",
            Self::Command(name) => name,
        }
    }

    /// The same, done to these nodes.
    pub fn at(self, nodes: Vec<Arc<str>>) -> Fault {
        Fault::Nodes { nodes, what: self }
    }

    /// How it is done, as it is written in a history. The commands that do it get the same, with `_`
    /// for `-`.
    pub fn options(&self) -> Vec<(&'static str, Value)> {
        let number = |number: u64| Value::Int(number as i64);
        match self {
            Self::Kill | Self::Pause | Self::DiskFull | Self::PowerLoss | Self::Command(_) => {
                Vec::new()
            }
            Self::Skew(skew) => vec![
                ("offset-ms", Value::Int(skew.offset_ms)),
                ("drift-ppm", Value::Int(skew.drift_ppm)),
                ("strobe-ms", number(skew.strobe_ms)),
            ],
            Self::Packet(packet) => vec![
                ("delay-ms", number(packet.delay_ms)),
                ("jitter-ms", number(packet.jitter_ms)),
                ("loss", number(packet.loss.into())),
                ("duplicate", number(packet.duplicate.into())),
                ("reorder", number(packet.reorder.into())),
                ("rate-kbit", number(packet.rate_kbit)),
            ],
            Self::Throttle(cpu) => vec![("cpu", number((*cpu).into()))],
            Self::Memory(limit_mb) => vec![("limit-mb", number(*limit_mb))],
            Self::Truncate { file, bytes } => {
                vec![("file", Value::Text(file.clone())), ("bytes", number(*bytes))]
            }
            Self::BitFlip { file, bits } => {
                vec![("file", Value::Text(file.clone())), ("bits", number(*bits))]
            }
            Self::Disconnect(lost) => vec![("lost", Value::text(lost.name()))],
        }
    }

    /// What the options of every fault of that name are called; one that a target file defines has none.
    pub fn option_names(name: &str) -> Vec<&'static str> {
        let file = || Arc::from("*");
        let with_options = [
            Self::Skew(Skew::default()),
            Self::Packet(Packet::default()),
            Self::Throttle(0),
            Self::Memory(0),
            Self::Truncate { file: file(), bytes: 0 },
            Self::BitFlip { file: file(), bits: 0 },
            Self::Disconnect(Lost::All),
        ];
        let such = with_options.iter().filter(|one| one.name() == name);
        such.flat_map(Self::options).map(|(option, _)| option).collect()
    }
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
    /// Nodes are broken.
    Nodes {
        /// Which.
        nodes: Vec<Arc<str>>,
        /// What is done to each.
        what: NodeFault,
    },
}

impl Fault {
    /// Its name in a workload and in a history.
    pub fn name(&self) -> &str {
        match self {
            Self::Partition { .. } => "partition",
            Self::Nodes { what, .. } => what.name(),
        }
    }

    /// The nodes that it is done to.
    pub fn nodes(&self) -> BTreeSet<Arc<str>> {
        match self {
            Self::Partition { cuts, .. } => cuts.iter().map(|cut| cut.to.clone()).collect(),
            Self::Nodes { nodes, .. } => nodes.iter().cloned().collect(),
        }
    }

    /// What it does, as it is written in a history. What is zero is left out.
    pub fn value(&self) -> Value {
        let entries = match self {
            Self::Partition { shape, cuts, channel } => {
                let cuts = cuts.iter().map(|cut| {
                    Value::list([Value::Text(cut.from.clone()), Value::Text(cut.to.clone())])
                });
                let mut entries =
                    vec![("shape", Value::Text(shape.clone())), ("cuts", Value::list(cuts))];
                entries.extend(channel.map(|channel| ("channel", Value::text(channel.name()))));
                entries
            }
            Self::Nodes { nodes, what } => {
                let nodes = Value::list(nodes.iter().map(|node| Value::Text(node.clone())));
                let options = what.options().into_iter();
                let said = options.filter(|(_, value)| *value != Value::Int(0));
                std::iter::once(("nodes", nodes)).chain(said).collect()
            }
        };
        Value::Map(entries.into_iter().map(|(key, value)| (Value::text(key), value)).collect())
    }
}
