//! What an adapter writes: a client of one process at one node.

use std::pin::Pin;
use std::sync::Arc;

use crate::model::{Invocation, Op, Outcome, Process};

/// A connection of one process to one node. Strictly sequential: it is asked for one operation at a
/// time, and it is dropped, with whatever it still has under way, once an operation did not end.
///
/// All clients of a run share the thread that drives it: whatever blocks belongs on another
/// (`tokio::task::spawn_blocking`), or it holds up everybody.
pub trait Client: Send {
    /// Does the operation and says how it ended.
    ///
    /// `Fail` is a promise that the store never acts on it, so it must be proven; when in doubt,
    /// `Info`. The caller sets the time limit and takes a panic for `Info`.
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a>;
}

/// An answer under way: what makes [`Client`] usable behind `dyn`.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Opens the client of a process at a node. An error means that nothing was sent.
pub type Factory = Box<dyn Fn(Process, &Arc<str>) -> Result<Box<dyn Client>, String> + Send + Sync>;

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it took effect, and what was read.
    pub outcome: Outcome,
    /// The version or revision the store gave it.
    pub version: Option<i64>,
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, version: None }
    }
}

/// The outcome of an operation that was sent and never properly answered: a write may still take
/// effect; a read that returned nothing has no effect and is as good as one never asked.
pub fn unanswered(op: &Op, why: String) -> Outcome {
    if op.writes() { Outcome::Info(why) } else { Outcome::Fail(why) }
}
