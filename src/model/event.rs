//! One line of a history.

use std::fmt;
use std::sync::Arc;

use crate::model::{FaultId, Nanos, Op, Value};

/// Who did it. A process is strictly sequential: it has at most one open operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub u32);

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whether an event opens an operation, or how it closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The client asks.
    Invoke,
    /// The operation took effect, once.
    Ok,
    /// The operation certainly had no effect.
    Fail,
    /// Unknown: it may take effect at any later time, once, or never.
    Info,
}

impl Kind {
    /// The word in a history file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info",
        }
    }
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was recorded.
    pub time: Nanos,
    /// What happened.
    pub what: What,
}

/// What happened: something of a client, or something of the fault schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A client invoked or completed an operation.
    Client(ClientEvent),
    /// A fault began or ended.
    Fault(FaultEvent),
}

/// An invocation or a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEvent {
    /// Who asked.
    pub process: Process,
    /// Invocation, or how it ended.
    pub kind: Kind,
    /// The operation; in an `Ok` completion with what was read.
    pub op: Op,
    /// The client identity that may survive a process; the process itself where absent.
    pub session: Option<u32>,
    /// The replica contacted. Attribution only.
    pub node: Option<Arc<str>>,
    /// A version or revision the store itself gave.
    pub version: Option<i64>,
    /// A read taken after faults were healed and the quiescence wait had passed.
    pub is_final: bool,
    /// How long the operation was due before it was invoked; zero in a completion.
    pub waited: Nanos,
    /// Why it failed or stayed unknown.
    pub error: Option<String>,
}

impl ClientEvent {
    /// An event with nothing but its necessary parts.
    pub fn new(process: Process, kind: Kind, op: Op) -> Self {
        Self {
            process,
            kind,
            op,
            session: None,
            node: None,
            version: None,
            is_final: false,
            waited: Nanos(0),
            error: None,
        }
    }
}

/// The beginning or end of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultEvent {
    /// Which fault of the run; `None` in foreign histories.
    pub id: Option<FaultId>,
    /// Whether it begins here; otherwise it ends.
    pub begins: bool,
    /// Its name: `partition`, `kill`, …
    pub name: Arc<str>,
    /// What it did, for people: groups, nodes, commands.
    pub value: Value,
}
