//! What a run drives: a store, simulated or real, and the faults done to it.
//!
//! [`Target`] is the seam. Behind the feature `live` stands [`LiveTarget`]: a store outside this
//! process, spoken to by [`Client`]s on tokio, broken by the commands of its target file and healed
//! by its fault journal, on every way out.
//!
//! Invariant: a fault is in the journal, on disk, as long as it may be in force; and `Fail` is only
//! said of an operation that certainly had no effect.

#[cfg(feature = "live")]
mod alarm;
#[cfg(feature = "live")]
mod answer;
#[cfg(feature = "live")]
mod client;
#[cfg(feature = "live")]
mod commands;
#[cfg(feature = "live")]
mod config;
#[cfg(feature = "live")]
mod exec;
#[cfg(feature = "live")]
mod extends;
#[cfg(feature = "live")]
mod faults;
#[cfg(feature = "live")]
mod filling;
#[cfg(feature = "live")]
mod furnish;
#[cfg(feature = "live")]
mod gate;
#[cfg(feature = "live")]
mod healed;
#[cfg(feature = "live")]
mod http;
#[cfg(feature = "live")]
mod live;
#[cfg(feature = "live")]
mod open;
#[cfg(feature = "live")]
mod operation;
#[cfg(feature = "live")]
mod orders;
#[cfg(feature = "live")]
mod pages;
#[cfg(feature = "live")]
mod proxied;
#[cfg(feature = "live")]
mod renewal;
#[cfg(feature = "live")]
mod road;
#[cfg(feature = "live")]
mod shell;
#[cfg(feature = "live")]
mod sigv4;
#[cfg(feature = "live")]
mod stores;
#[cfg(feature = "live")]
mod template;
mod traits;

#[cfg(feature = "live")]
pub use client::{Answer, Answering, Client, Factory, unanswered};
#[cfg(feature = "live")]
pub use commands::rehearse;
#[cfg(feature = "live")]
pub use config::{ConfigError, Follow, Patience, TargetConfig};
#[cfg(feature = "live")]
pub use faults::{FaultJournal, Outstanding, heal};
#[cfg(feature = "live")]
pub(crate) use furnish::{Furnished, Furniture, Way};
#[cfg(feature = "live")]
pub use furnish::{LabChoice, Network};
#[cfg(feature = "live")]
pub(crate) use gate::pass_blocking;
#[cfg(feature = "live")]
pub use gate::shut;
#[cfg(feature = "live")]
pub use healed::Healed;
#[cfg(feature = "live")]
pub use http::name_of_run;
#[cfg(feature = "live")]
pub use live::LiveTarget;
#[cfg(feature = "live")]
pub use open::{FAULT_JOURNAL, open};
#[cfg(feature = "live")]
pub use proxied::ProxyChoice;
#[cfg(feature = "live")]
pub use road::{RoadChoice, RoadKind};
#[cfg(feature = "live")]
pub use shell::ShellCommand;
#[cfg(feature = "live")]
pub use stores::{AdapterKind, Conformance, conformance};
pub use traits::{Target, TargetError};
