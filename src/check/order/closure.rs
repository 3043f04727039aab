//! Whole witnesses: whoever is in one brings the writers of what it read.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::writers::{Writers, observed, reads_value};
use crate::history::{History, TxnId};
use crate::model::{Function, Kind};

/// Some operations with the writers of what they read, failed attempts included, and with one who
/// saw each indeterminate operation among them: so that they prove alone what they prove together
/// with all others. In order of invocation.
pub(super) fn closed(
    history: &History,
    writers: &Writers,
    seen_by: &BTreeMap<TxnId, TxnId>,
    operations: &[TxnId],
) -> Vec<TxnId> {
    let mut closed: BTreeSet<TxnId> = BTreeSet::new();
    let mut open = operations.to_vec();
    while let Some(id) = open.pop() {
        if !closed.insert(id) {
            continue;
        }
        let txn = history.txn(id);
        if txn.kind() == Kind::Fail {
            continue;
        }
        open.extend(seen_by.get(&id));
        if !txn.is_ok() && txn.function() != Function::Cas {
            continue;
        }
        for access in txn.accesses().filter(|access| reads_value(history, *access)) {
            for value in observed(history, access) {
                open.extend(writers.all(access.key, value));
            }
        }
    }
    closed.into_iter().collect()
}
