//! A TCP proxy between clients and nodes, and between nodes: faults of the network without privileges.
//!
//! ```text
//!           7101 ┌───────┐ 2379                   the clients' link to n1
//!  clients ─────>│       │─────> n1
//!                │ proxy │
//!       n1 ─────>│       │─────> n2               the link n1>n2: what n1 opens to n2
//!           7112 └───────┘ 2380
//!                    ^ 7100: rules, on this machine alone
//! ```
//!
//! Every node is told ports of the proxy where the others are. A rule acts on directions: `n1>n2` is
//! what n1 sends to n2, on whichever connection; on the link `n2>n1` these are the answers. A cut holds
//! bytes back and delivers them afterwards, as TCP does by sending again.
//!
//! A rule is a lease. It ends by itself when it was not renewed for as long as it says, so after
//! `kill -9` of the run, or of the machine it runs on, everything is whole again. A proxy that a run has
//! started ends by itself as well.
//!
//! What the proxy cannot do: it is no network. Between the node and the proxy, connections are made and
//! acknowledged by the kernel; a node that connects through a cut believes to be connected, and hears
//! nothing. Packets are not seen, so nothing can be duplicated or come in another order. UDP is not
//! carried. What goes past the proxy is not seen: a node that tells others where it *really* listens is
//! not cut off.
//!
//! Invariant: when a rule has been set, no byte passes that it stops, not one that was read before; and
//! what a rule does ends with it, on every way: undone, expired, or with the proxy.
#![expect(clippy::disallowed_methods, reason = "a proxy lives in real time")]

mod command;
mod control;
mod definition;
mod furnish;
pub(crate) mod http;
mod link;
mod probe;
mod pump;
mod rule;
mod sender;
mod serve;

pub use command::{Failed, Remote, start, undo_all};
pub use definition::{CLIENTS, Definition, Port, Way};
pub use furnish::furnish;
pub use rule::{Asked, Cut, Effect, New, Open, Packet};
pub use serve::serve;
