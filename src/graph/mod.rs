//! Integers and bits: directed graphs of `u32` nodes with one byte of edge kinds.
//!
//! [`Graph`] is a compressed sparse row: one `u32` a node, five bytes an edge. It speaks petgraph's
//! `visit` traits, so petgraph's algorithms run on it; the walks here are for graphs on which those
//! overflow the stack (petgraph's `tarjan_scc` recurses) or take too long.
//!
//! Invariant: `graph` has no word of what its graphs mean and imports nothing of ours; its walks use an
//! explicit stack, for a chain of ten million nodes is an ordinary input.

mod components;
mod csr;
mod cycle;
mod labelled;
mod order;
mod visit;

pub use components::{Components, components};
pub use csr::{Arc, Graph};
pub use cycle::{CycleSpec, shortest_cycle};
pub use labelled::{Cycle, Found, Pattern, Shape, labelled_cycles};
pub use order::topological_order;
pub use visit::ArcReference;
