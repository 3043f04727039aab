//! What a run is about to do.

use std::sync::Arc;

use crate::model::{Fault, FaultId, Nanos, Op, Process};

/// An operation about to be invoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Who invokes it.
    pub process: Process,
    /// The client identity that survives the process.
    pub session: u32,
    /// The node to contact; `None` leaves the choice to the target ("the primary").
    pub node: Option<Arc<str>>,
    /// A read after quiescence: it must be answered by that very node.
    pub is_final: bool,
    /// How long it was due before anybody was free to invoke it; zero in a closed loop.
    pub waited: Nanos,
    /// What to do.
    pub op: Op,
}

/// What a generator wants done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Invoke an operation.
    Invoke(Invocation),
    /// Begin a fault.
    Begin(FaultId, Fault),
    /// End a fault.
    End(FaultId, Fault),
}
