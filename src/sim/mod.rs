//! Virtual time: a deterministic discrete-event simulation of nodes, their network, disks and clocks.
//!
//! A [`Node`] is a state machine without I/O: it is handed a message, a request or a timer and puts
//! what it wants done into an [`Outbox`]. The [`Engine`] moves the clock from event to event, carries
//! the messages through the [`Network`] and keeps what a [`Disk`] would keep.
//!
//! Invariant: `sim` never reads a clock, a thread id, an environment variable or an unordered map;
//! every random number comes from a named stream of the run's seed.

mod disk;
mod engine;
mod harm;
mod latency;
mod network;
mod node;
mod queue;
mod sites;

pub use disk::Disk;
pub use engine::{Answer, Engine};
pub use latency::{Latency, parse_duration};
pub use network::{Conditions, Delivery, Network};
pub use node::{Effects, Node, NodeId, Outbox, Ticket, Timer};
pub use queue::Queue;
pub use sites::Sites;
