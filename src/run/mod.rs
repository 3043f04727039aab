//! The loop: drive, record, heal, check, save.
//!
//! Invariant: only `run` sees targets and checkers together, and every way out of a run heals first.

mod drive;
mod excerpt;
#[cfg(feature = "live")]
mod heal;
mod journal;
mod open;
mod parallel;
mod save;
#[cfg(feature = "live")]
mod serve;
mod shrink;
mod survey;
mod sweep;
mod trial;
#[cfg(feature = "live")]
mod workers;

pub use drive::{DriveError, Driven, drive};
pub use excerpt::excerpt;
#[cfg(feature = "live")]
pub use heal::heal;
pub use journal::Journal;
pub use open::{OpenError, Opened, Terms, beside, open};
#[cfg(feature = "live")]
pub use open::{choose_lab, choose_proxy, read_target};
pub use save::RunDirectory;
#[cfg(feature = "live")]
pub use serve::serve;
pub use shrink::{Shrunk, shrink};
pub use survey::{Live, Seeds, runs, survey};
pub use sweep::{Knob, sweep};
pub use trial::Trial;
#[cfg(feature = "live")]
pub use workers::{Common, Running, Worker};
