//! Roads to nodes that run elsewhere, and the faults that are done to them there.
//!
//! ```text
//!   rashomon ── sh -c ── road.sh ── ssh, docker, kubectl ──> node.sh ── nft, tc, kill, …
//!      │                                                        │
//!      └ fault journal: the same commands undo                  └ timer: undoes when nobody renews
//! ```
//!
//! A target file says in `[road]` how its nodes are reached; that furnishes faults as a lab does, by
//! commands. `road.sh` lies in the directory of the run, so that a fault journal can name it. What is
//! done on a node is one POSIX script, sent over the road each time: nothing is installed.
//!
//! Before a node is broken, its undo and a detached timer are there. As long as the run lives it renews;
//! when it is killed, or its machine or the connection is lost, the node undoes everything by itself and
//! removes every trace.
//!
//! Invariant: on a node only what its state directory names is ever changed: a table, a queueing
//! discipline, a group, a file of our own, and the processes of the server, found by its service or by
//! the command of the target file, never by name.

mod furniture;
mod target;

pub use target::{choose, heal, open};
