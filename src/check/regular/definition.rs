//! Regularity by its definition: a read together with all writes, searched.

use crate::check::linear;
use crate::check::single_objects::has_mixed_operations;
use crate::check::tally::Tally;
use crate::check::words::{deed, session_name};
use crate::check::{Anomaly, Limits, Property, Status, Verdict};
use crate::history::{History, Txn, TxnId};
use crate::model::Function;

/// How many operations a search for every read may look at.
pub(super) const MOST: usize = 100_000;

/// Reads of several keys at once: each key explains its part by itself, but one order of the writes
/// has to explain all parts. The definition itself decides, if that is affordable.
pub(super) fn snapshots(history: &History, limits: &Limits, tally: &mut Tally) {
    let several = |txn: &Txn<'_>| {
        let mut keys = txn.accesses().filter(|one| one.function == Function::Read);
        let first = keys.next().map(|one| one.key);
        txn.is_ok() && keys.any(|one| Some(one.key) != first)
    };
    let snapshots: Vec<Txn<'_>> = history.txns().filter(several).collect();
    if snapshots.is_empty() || tally.is_violated() {
        return;
    }
    if has_mixed_operations(history) {
        tally
            .doubt(|| "there are reads of several keys, and operations that read and write".into());
        return;
    }
    if snapshots.len() * history.len() > MOST {
        tally.doubt(|| "there are too many reads of several keys for a search".into());
        return;
    }
    let limits = Limits { anomalies: 1, ..limits.clone() };
    let writes = history.txns().filter(|txn| txn.writes());
    let writes: Vec<TxnId> = writes.map(|txn| txn.id).collect();
    for read in snapshots {
        let mut members = [&writes[..], &[read.id]].concat();
        members.sort_unstable();
        let (verdict, proof) = linear_alone(history, &members, &limits);
        match verdict.status {
            Status::Valid => tally.judged(),
            Status::Unknown => tally.doubt(|| verdict.reason.unwrap_or_default()),
            Status::Invalid => tally.violated(|| {
                let sentence = format!(
                    "{} {}, which no order of the writes explains",
                    session_name(history, read),
                    deed(history, read, None)
                );
                Anomaly {
                    property: Property::Reg,
                    kind: "irregular-read",
                    set: vec![Property::Reg],
                    key: None,
                    session: None,
                    operations: proof,
                    cycle: Vec::new(),
                    assumes: Vec::new(),
                    sentence,
                }
            }),
        }
    }
}

/// The linearizability of some operations alone, in order of invocation, and those that refute it.
pub(super) fn linear_alone(
    history: &History,
    operations: &[TxnId],
    limits: &Limits,
) -> (Verdict, Vec<TxnId>) {
    let verdict = linear::check(&history.subset(operations), limits);
    // They are numbered anew in a history of their own.
    let proof = verdict.anomalies.first().map_or(&[][..], |one| &one.operations);
    let proof = proof.iter().map(|id| operations[id.index()]).collect();
    (verdict, proof)
}
