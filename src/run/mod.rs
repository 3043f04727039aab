//! The loop: drive, record, heal, check, save.
//!
//! Invariant: only `run` sees targets and checkers together, and every way out of a run heals first.

mod drive;
mod journal;
mod save;

pub use drive::{DriveError, Driven, drive};
pub use journal::Journal;
pub use save::RunDirectory;
