//! From a long history without a linearization to a few operations without one.
//!
//! Only operations go whose going proves nothing by itself: a read, or a write that nobody who is
//! left can have seen. So whatever explains the whole history would explain what is left, and what is
//! left cannot be explained. (A write taken from under its reader would leave a contradiction too, but
//! one of our own making.) Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
//! Input", 2002, for the order of the attempts.

use crate::check::linear::search::{Call, Outcome, SequentialSpec, search};
use crate::history::Rank;

/// A part of `calls` that has no linearization either, and its call (an index) that finds no
/// place. `stuck` is that of the whole. No further call can be taken out, unless the budget of
/// attempts runs out first.
pub(super) fn shrink<S: SequentialSpec>(
    spec: &S,
    calls: &[Call<S::Op>],
    stuck: usize,
) -> (Vec<Call<S::Op>>, usize) {
    let mut steps = 200_000 + 20 * calls.len() as u64;
    let (mut kept, mut stuck) = cut(spec, calls, stuck);
    let mut chunk = kept.len().div_ceil(2);
    loop {
        let mut changed = false;
        let mut start = 0;
        while start < kept.len() {
            let trial = without(spec, &kept, start..(start + chunk).min(kept.len()), &mut steps);
            if steps == 0 {
                return (kept, stuck);
            }
            match (trial.len() < kept.len()).then(|| search(spec, &trial, &mut steps)) {
                Some(Outcome::Stuck(at)) => {
                    (kept, stuck) = cut(spec, &trial, at);
                    changed = true;
                }
                _ => start += chunk,
            }
        }
        if chunk == 1 && !changed {
            return (kept, stuck);
        }
        chunk = chunk.div_ceil(2);
    }
}

/// What happened before `calls[stuck]` returned; whatever was open then may be left out.
fn cut<S: SequentialSpec>(
    spec: &S,
    calls: &[Call<S::Op>],
    stuck: usize,
) -> (Vec<Call<S::Op>>, usize) {
    let deadline = calls[stuck].returned;
    let mut kept = Vec::new();
    for call in calls.iter().filter(|call| call.invoked < deadline) {
        if call.returned <= deadline {
            kept.push(call.clone());
        } else if !spec.is_read(&call.op) {
            kept.push(Call { returned: Rank::NEVER, ..call.clone() });
        }
    }
    let at = kept.iter().position(|call| call.returned == deadline);
    (kept, at.unwrap_or(0))
}

fn without<S: SequentialSpec>(
    spec: &S,
    kept: &[Call<S::Op>],
    range: std::ops::Range<usize>,
    steps: &mut u64,
) -> Vec<Call<S::Op>> {
    let mut trial: Vec<Call<S::Op>> = kept.to_vec();
    for at in range.rev() {
        *steps = steps.saturating_sub(1 + trial.len() as u64 / 16);
        if spec.is_read(&trial[at].op) || spec.is_superfluous(&trial[at], &trial) {
            trial.remove(at);
        }
    }
    trial
}
