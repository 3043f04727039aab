//! Where models of single objects end: at transactions of several operations.

use crate::check::{Property, Verdict};
use crate::history::{History, Txn};
use crate::model::Function;

/// Whether there is an operation made of several, other than a cas or rmw.
pub(super) fn has_transactions(history: &History) -> bool {
    transactions(history).next().is_some()
}

/// Whether a transaction reads and writes: a model that takes it for an update would hold it to what
/// only serializability demands.
pub(super) fn has_mixed_transactions(history: &History) -> bool {
    let reads = |txn: Txn<'_>| txn.accesses().any(|access| access.function == Function::Read);
    transactions(history).any(|txn| txn.writes() && reads(txn))
}

fn transactions(history: &History) -> impl Iterator<Item = Txn<'_>> {
    history.txns().filter(|txn| txn.function() == Function::Txn && txn.accesses().len() > 1)
}

/// What such a model says of them.
pub(super) fn undecided(property: Property) -> Verdict {
    let reason = "a model of single objects, and there are transactions of several operations";
    Verdict::unknown(property, reason)
}
