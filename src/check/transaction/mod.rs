//! Transactions: Adya's anomalies and the levels of isolation (ANOMALIES section 8).

mod committed;

pub use committed::{Committed, ExternalRead, FinalWrite, Source};
