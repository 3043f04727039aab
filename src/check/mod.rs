//! History in, verdict out.
//!
//! [`assess()`] runs every checker and returns a [`Verdict`] for each [`Property`], weighed against what
//! was expected.
//!
//! Invariant: `check` does no I/O, prints nothing, reads no clock and never panics on a malformed
//! history: what it cannot judge is [`Status::Unknown`] with a reason.

mod assess;
pub mod durability;
pub mod infer;
pub mod linear;
pub mod lost_update;
mod metrics;
mod property;
pub mod provenance;
pub mod session;
mod staleness;
mod verdict;
mod words;
mod writers;

pub use assess::{Assessment, Expected, assess};
pub use metrics::{Counts, Latency, Measured, Metrics, StaleRead, Staleness, measure};
pub use property::{Assumption, Property};
pub use verdict::{Anomaly, Edge, Limits, Status, Step, Verdict};
