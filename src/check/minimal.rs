//! Witnesses that cannot do without any of their operations.
//!
//! Only operations go whose going proves nothing by itself: reads, and writes that nobody who is left
//! has seen. So whatever explains the whole history explains what is left of it, and what is left
//! and cannot be explained is a proof. (A history without a decrement, a removal or a write that was
//! read would contradict itself too, but by our own making.)

use crate::check::{Anomaly, Limits, Status, Verdict};
use crate::history::{Access, Datatype, History, TxnId, ValueId};
use crate::model::Function;

/// Some verdicts on a history.
pub(super) type Check = fn(&History, &Limits) -> Vec<Verdict>;

/// The verdicts of a check, with their witnesses made small by the check itself: whatever it still
/// refutes with one operation less takes the place of what it told before.
///
/// Each attempt costs a copy of the values of the history, so long histories get a few attempts only.
pub(super) fn minimal(check: Check, history: &History, limits: &Limits) -> Vec<Verdict> {
    const MOST: usize = 4_000_000;
    let mut attempts = (MOST / (history.values().len() + history.len() + 1)).min(2_000);
    let mut verdicts = check(history, limits);
    for verdict in &mut verdicts {
        for anomaly in verdict.anomalies.iter_mut().filter(|one| one.operations.len() > 1) {
            let mut at = anomaly.operations.len();
            while at > 0 && attempts > 0 {
                at -= 1;
                let out = anomaly.operations[at];
                let mut rest = anomaly.operations.clone();
                rest.remove(at);
                if !may_go(history, out, &rest) {
                    continue;
                }
                attempts -= 1;
                if let Some(smaller) = refuted(check, history, limits, anomaly, rest) {
                    *anomaly = smaller;
                    at = anomaly.operations.len();
                }
            }
        }
    }
    verdicts
}

/// The shortest proof among these operations of what an anomaly proves.
fn refuted(
    check: Check,
    history: &History,
    limits: &Limits,
    anomaly: &Anomaly,
    mut rest: Vec<TxnId>,
) -> Option<Anomaly> {
    rest.sort_unstable();
    let verdicts = check(&history.subset(&rest), limits);
    let invalid = verdicts.into_iter().filter(|one| one.status == Status::Invalid);
    let proofs = invalid.flat_map(|verdict| verdict.anomalies);
    // A proof may leave out who wrote what it shows: then less of it would be refuted for that.
    let same = |one: &Anomaly| {
        (one.property, one.kind, &one.set) == (anomaly.property, anomaly.kind, &anomaly.set)
    };
    let mut proof = proofs.filter(same).min_by_key(|one| one.operations.len())?;
    // The operations are numbered anew in a history of their own.
    let steps = proof.cycle.iter_mut().flat_map(|step| [&mut step.from, &mut step.to]);
    for id in proof.operations.iter_mut().chain(steps) {
        *id = rest[id.index()];
    }
    Some(proof)
}

/// Whether an operation changed nothing, or nothing that the others have seen.
fn may_go(history: &History, out: TxnId, rest: &[TxnId]) -> bool {
    history.txn(out).accesses().all(|access| match access.function {
        Function::Read | Function::Peek => true,
        Function::Write | Function::Append | Function::Add => {
            let kind = history.datatype(access.key);
            matches!(kind, Datatype::Register | Datatype::List | Datatype::Set)
                && access.value != ValueId::UNKNOWN
                && !rest
                    .iter()
                    .any(|id| history.txn(*id).accesses().any(|one| shows(history, one, access)))
        }
        _ => false,
    })
}

/// Whether a read shows what a write wrote.
fn shows(history: &History, read: Access, write: Access) -> bool {
    let values = history.values();
    read.function == Function::Read
        && read.key == write.key
        && (read.value == write.value
            || values.is_list(read.value)
                && values.backwards(read.value).any(|element| element == write.value))
}
