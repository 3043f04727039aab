//! Replicated stores as state machines without I/O, and the target that runs them in [`sim`](crate::sim).
//!
//! [`STORES`] lists them with every option and every planted bug; [`build`] makes one.
//!
//! Invariant: `store` never reads a clock, a thread id, an environment variable or an unordered map.

mod cache;
mod catalogue;
mod leaderless;
mod log;
mod multi_primary;
mod objects;
mod options;
mod primary_replica;
mod protocol;
mod raft;
mod routing;
mod sharded;
mod single;
mod statement;
mod target;
mod transactional;

pub use catalogue::{BugInfo, OptionInfo, STORES, StoreInfo, build};
pub use objects::Objects;
pub use options::OptionError;
pub use protocol::{Hint, Position, Reply, Request, Standing, Store};
pub use target::SimTarget;
