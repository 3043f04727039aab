//! From many operations without a legal order to few (Zeller and Hildebrandt, "Simplifying and
//! Isolating Failure-Inducing Input", 2002).

use crate::history::TxnId;

/// Takes out of `operations` what can be taken out in parts: `whole` completes what is left of them,
/// and `is_violation` says whether that is still a proof. At most `attempts` are made.
pub(super) fn shrink(
    operations: Vec<TxnId>,
    mut attempts: u32,
    whole: impl Fn(&[TxnId]) -> Vec<TxnId>,
    is_violation: impl Fn(&[TxnId]) -> bool,
) -> Vec<TxnId> {
    let mut kept = operations;
    let mut chunk = kept.len().div_ceil(2).max(1);
    loop {
        let (mut start, mut changed) = (0, false);
        while start < kept.len() {
            if attempts == 0 {
                return kept;
            }
            let end = (start + chunk).min(kept.len());
            let rest: Vec<TxnId> = kept[..start].iter().chain(&kept[end..]).copied().collect();
            let trial = whole(&rest);
            let is_less = trial.len() < kept.len();
            attempts -= u32::from(is_less);
            if is_less && is_violation(&trial) {
                (kept, changed) = (trial, true);
            } else {
                start = end;
            }
        }
        if chunk == 1 && !changed {
            return kept;
        }
        chunk = chunk.div_ceil(2);
    }
}
