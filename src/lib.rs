//! Rashomon finds out whether a replicated store keeps its promises.

pub mod check;
pub mod generate;
pub mod graph;
pub mod history;
pub mod model;
pub mod report;
pub mod sim;
pub mod store;
pub mod target;
pub mod workload;
