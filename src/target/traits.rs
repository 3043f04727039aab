//! The seam between a run and what it drives.

use std::fmt;
use std::sync::Arc;

use crate::model::{Action, Event, FaultId, Nanos};

/// Something a run can drive, in simulated or in real time.
///
/// The driver never sleeps: it asks the target to [`advance`](Target::advance) and gets the next
/// event or nothing. A simulated target jumps its clock; a live one waits.
pub trait Target {
    /// The names of the nodes.
    fn nodes(&self) -> &[Arc<str>];

    /// The names of those that no client asks, but that a fault may name.
    fn mediators(&self) -> &[Arc<str>] {
        &[]
    }

    /// Now, on the clock of the run.
    fn now(&self) -> Nanos;

    /// Now is time 0 of the run.
    fn restart_clock(&mut self) {}

    /// Starts an action; never blocks for its end. An invocation is on its way to the store once `advance`
    /// is called, and its completion comes out of that or of `arrived`; whether a fault has taken effect,
    /// or is undone, says `settled`.
    fn begin(&mut self, action: &Action) -> Result<(), TargetError>;

    /// The next completion that has arrived. Nothing that was begun leaves for it.
    fn arrived(&mut self) -> Option<Event> {
        self.advance(self.now())
    }

    /// The next completion at or before `until`; `None` when that time has come without one, or as soon
    /// as a fault has settled.
    fn advance(&mut self, until: Nanos) -> Option<Event>;

    /// How much of the latency of the completion that came out of `advance` last is rashomon's own; `None`
    /// under virtual time.
    fn added_latency(&self) -> Option<Nanos> {
        None
    }

    /// Whether all that was begun with a fault has ended: it is in force, or undone. The error, told once,
    /// is why it is not.
    fn settled(&mut self, _id: FaultId) -> Result<bool, TargetError> {
        Ok(true)
    }

    /// Who is believed to be the primary, for faults and routing that are aimed at it.
    fn primary(&mut self) -> Option<Arc<str>> {
        None
    }

    /// Whether it was seen that a fault is in force; `None` where nobody can tell but by believing.
    fn verified(&self, _id: FaultId) -> Option<bool> {
        None
    }

    /// Undoes every fault and stops what was started. Called once, on every way out.
    fn close(&mut self) -> Result<(), TargetError> {
        Ok(())
    }
}

/// Why a target could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// It could not be reached, set up or driven (exit code 4).
    Unusable(String),
    /// A fault could not be undone: which, on which node, and the command that mends it (exit code 5).
    Unhealed(String),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(why) | Self::Unhealed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TargetError {}
