//! Where models of single objects end: at transactions that read and write.

use crate::check::{Property, Verdict};
use crate::history::{History, Txn};
use crate::model::Function;

/// Whether there is an operation that reads and writes, a cas or rmw included.
pub(super) fn has_mixed_operations(history: &History) -> bool {
    history.txns().any(is_mixed)
}

/// Whether a transaction reads and writes: a model that takes it for an update would hold it to what
/// only serializability demands.
pub(super) fn has_mixed_transactions(history: &History) -> bool {
    history.txns().any(|txn| txn.function() == Function::Txn && is_mixed(txn))
}

fn is_mixed(txn: Txn<'_>) -> bool {
    txn.writes() && txn.accesses().any(|access| access.function == Function::Read)
}

/// What such a model says of them.
pub(super) fn undecided(property: Property) -> Verdict {
    let reason = "there are transactions that read and write; the model says nothing of them";
    Verdict::unknown(property, reason)
}
