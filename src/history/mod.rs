//! From lines to columns: reading, writing, pairing and interning histories.
//!
//! A [`History`] is a set of private columns; everyone else reads a [`Txn`] at a time.
//!
//! Invariant: only `columns`, `builder`, `initial` and `timeline` know that columns exist.

mod awdit_text;
mod builder;
mod cobra_log;
mod columnar;
mod columns;
mod datatype;
mod dbcop;
mod edn;
mod edn_fields;
mod edn_lines;
mod edn_scan;
mod edn_text;
mod etcd_log;
mod fastlin_log;
mod format;
mod header;
mod initial;
mod json;
mod json_fields;
mod json_lines;
mod json_text;
mod jsonl;
mod merge;
mod nemesis;
mod numbers;
mod operations;
mod operations_text;
mod packing;
mod parts;
mod plume_text;
mod porcupine_kv;
mod read;
mod register_text;
mod shape;
mod timeless;
mod timeline;
mod values;
mod write;

pub use builder::{Builder, Line, Malformed, Operation};
pub use columns::{
    Access, FaultWindow, Grouped, History, KeyId, NodeId, Rank, SessionId, Txn, TxnId,
};
pub use datatype::Datatype;
pub use format::Format;
pub use header::{Expectations, Header};
pub use merge::{MergeError, merge};
pub use read::{ReadError, is_one_history, read, read_bytes};
pub use values::{ValueId, Values};
pub use write::{Writer, rewrite_header, write_file, write_history};
