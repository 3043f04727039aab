//! Real clusters on this machine: every node of an installed store in a network namespace of its own,
//! and the faults done to it.
//!
//! ```text
//!   10.77.N.1     10.77.N.2     10.77.N.3          a namespace each, named rshN-n1, …
//!      eth0          eth0          eth0
//!        │             │             │             veth pairs
//!   ═════╧═════════════╧═════════════╧═════        the bridge rshN
//!                  10.77.N.254                     rashomon and its clients
//! ```
//!
//! Rashomon sits on the bridge, and a cut drops only what the bridge forwards: so the control process
//! reaches every node whatever is cut, as a control node of its own network would. A cut is a set of
//! directed links in the table `rshN` of nftables' family `bridge`, filled in one transaction. The
//! nodes know each other's hardware addresses from the start: else a cut of one direction would
//! become one of both when an address has to be asked for.
//!
//! Instead of the bridge there may be a switch of our own, which also delays, loses, doubles and reorders
//! packets; clocks are put wrong process by process ([`set`]). What is broken is undone by the lab itself
//! when nobody renews it ([`watch()`]).
//!
//! A store is a [`Definition`], a file of `workloads/lab`: a new store is a file, not code. What is
//! done to a node is done by `lab.sh` and `faults.sh`, which lie in the lab's directory, so that a
//! fault journal can name them.
//!
//! Invariant: whatever is made is in the lab's journal, on disk, before it is made, with the command
//! that removes it; so [`Lab::down`] removes what [`up()`] made, all of it and nothing else, wherever
//! `up` was killed. Processes are found by their namespace, never by name.
#![expect(clippy::disallowed_methods, reason = "real clusters live in real time")]

mod clock;
mod definition;
mod links;
mod rootless;
mod state;
mod switch;
mod target;
mod up;
mod watch;

pub use clock::{Skew, keep, keep_clocks, offset, reset, set};
pub use definition::{DEFINITIONS, Definition, MOST_NODES, Need, Process, Setting};
pub use rootless::{is_root, run_as_root_of_a_namespace};
pub use state::{Lab, LabError, Node, NodeStatus};
pub use switch::switch;
pub use target::{LAB_FILE, choose, heal, mend, open};
pub use up::{Request, up};
pub use watch::watch;
