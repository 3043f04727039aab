//! History in, verdict out.
//!
//! [`assess()`] runs every checker and returns a [`Verdict`] for each [`Property`], weighed against what
//! was expected.
//!
//! Invariant: `check` does no I/O, prints nothing, reads no clock and never panics on a malformed
//! history: what it cannot judge is [`Status::Unknown`] with a reason.

mod assess;
mod assumption;
mod atomicity;
pub mod bank;
mod catalogue;
pub mod causal;
pub mod convergence;
pub mod counter;
mod coverage;
pub mod duplication;
pub mod durability;
mod figures;
pub mod fractured;
pub mod incompatible_order;
pub mod infer;
pub mod inventory;
mod lineage;
pub mod linear;
mod list_atomicity;
pub mod locks;
mod losses;
pub mod lost_update;
mod metrics;
mod minimal;
pub mod order;
mod predicted_staleness;
pub mod prefix;
mod property;
pub mod provenance;
pub mod queues;
mod real_time;
pub mod regular;
pub mod resurrection;
pub mod session;
pub mod set_full;
pub mod siblings;
mod single_objects;
mod staleness;
pub mod store_versions;
mod tally;
pub mod torn;
pub mod transaction;
mod two_atomicity;
mod verdict;
mod words;
mod writers;

pub use assess::{Assessment, Expected, assess, single_verdicts};
pub use assumption::Assumption;
pub use atomicity::Atomicity;
pub use coverage::Coverage;
pub use figures::{Figure, Unit};
pub use losses::{Losses, Share};
pub use metrics::{Counts, Latency, Measured, Metrics, Pace, StaleRead, Staleness, Times, measure};
pub use property::Property;
pub use verdict::{Anomaly, Edge, Limits, Status, Step, Verdict};
