//! The seam between generators and the loop that drives them.

use std::sync::Arc;

use crate::model::{Action, Event, Nanos};

/// What a generator may know when it is asked.
pub struct Context<'a> {
    /// Now, on the clock of the run.
    pub now: Nanos,
    /// The node believed to be the primary.
    pub primary: Option<&'a Arc<str>>,
    /// Whether a fault is being injected or undone: no other is begun or ended until that is done.
    pub fault_under_way: bool,
}

/// A generator's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this now.
    Do(Action),
    /// Nothing before this time, or before the next completion; `FOREVER` waits for one.
    WaitUntil(Nanos),
    /// Nothing any more.
    Done,
}

/// A source of operations and faults. It is told of every event that the run records.
pub trait Generator {
    /// What to do next.
    fn next(&mut self, context: &Context<'_>) -> Next;

    /// An event was recorded: an invocation, a completion, a fault.
    fn update(&mut self, event: &Event);
}
