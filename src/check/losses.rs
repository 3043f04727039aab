//! How much of what was acknowledged was lost, by fault window.

use std::ops::Range;

use crate::check::{Property, durability, queues, set_full};
use crate::history::{History, TxnId};

/// What a kind of loss amounts to: AWL, SETLOST or Q-LOST, each by its own definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Losses {
    /// The property it violates.
    pub of: Property,
    /// In the whole history.
    pub all: Share,
    /// Of the writes invoked while nothing was broken; absent without faults or a clock.
    pub outside: Option<Share>,
    /// Of those invoked during each fault window, by its place in [`History::faults`]; the first 100.
    pub windows: Vec<Share>,
}

/// How many of the acknowledged writes whose fate is known were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Writes that are lost.
    pub lost: u64,
    /// Acknowledged writes that were judged, lost ones included.
    pub acknowledged: u64,
}

impl Share {
    /// The fraction that was lost; absent if nothing was acknowledged.
    pub fn rate(self) -> Option<f64> {
        (self.acknowledged > 0).then(|| self.lost as f64 / self.acknowledged as f64)
    }
}

/// The acknowledged writes that were judged, each with whether it is lost.
pub(super) type Judged = Vec<(TxnId, bool)>;

type Judge = fn(&History) -> Judged;

/// Counts losses. `outside` and `windows` are runs of transactions by invocation.
pub(super) fn measure(
    history: &History,
    outside: Option<&[Range<u32>]>,
    windows: &[Range<u32>],
) -> Vec<Losses> {
    let kinds: [(Property, Judge); 3] = [
        (Property::Awl, durability::judged),
        (Property::SetLost, set_full::judged),
        (Property::QLost, queues::judged),
    ];
    let mut losses = Vec::new();
    for (of, judge) in kinds {
        let mut judged = judge(history);
        if judged.is_empty() {
            continue;
        }
        judged.sort_unstable();
        let during = |runs: &[Range<u32>]| {
            let mut share = Share::default();
            for run in runs {
                let place = |txn: u32| judged.partition_point(|(one, _)| one.0 < txn);
                let some = &judged[place(run.start)..place(run.end.max(run.start))];
                share.acknowledged += some.len() as u64;
                share.lost += some.iter().filter(|(_, lost)| *lost).count() as u64;
            }
            share
        };
        losses.push(Losses {
            of,
            all: during(std::slice::from_ref(&(0..history.len() as u32))),
            outside: outside.map(during),
            windows: windows.iter().map(|run| during(std::slice::from_ref(run))).collect(),
        });
    }
    losses
}
