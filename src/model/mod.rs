//! The words everything else is said in: values, operations, events, faults and named random streams.
//!
//! Invariant: `model` does no I/O and depends on nothing but serde and the standard library.

mod action;
mod date;
mod event;
mod fault;
mod function;
mod op;
mod random;
mod spelling;
mod time;
mod value;

pub use action::{Action, Invocation};
pub use date::rfc3339;
pub use event::{ClientEvent, Event, FaultEvent, Kind, Process, What};
pub use fault::{Channel, Cut, Fault, FaultId, Lost, NodeFault, Packet, Skew};
pub use function::Function;
pub use op::{Mop, Op, Outcome};
pub use random::{Random, power};
pub use spelling::{did_you_mean, nearest};
pub use time::Nanos;
pub use value::Value;
