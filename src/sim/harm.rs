//! What a machine suffers besides kills, pauses and its network.

use crate::model::{Nanos, Skew};
use crate::sim::disk::RECORD_BYTES;

/// Wall clocks start here, so that none ever shows a negative time.
pub(super) const CLOCK_START: Nanos = Nanos(1_000_000_000_000_000);

/// Who is throttled runs at the beginning of every such period and then not until the next, as under the
/// quota of a control group.
const PERIOD: Nanos = Nanos::from_millis(100);

/// What is done to a machine. All of it may be done several times at once.
#[derive(Default)]
pub(super) struct Harm {
    /// How wrong its clock is, and since when.
    pub(super) skews: Vec<(Skew, Nanos)>,
    /// Of how much of a hundred of its processor it has.
    pub(super) throttles: Vec<u8>,
    /// Of how many megabytes it has. What it keeps counts as it does on its disk.
    pub(super) limits: Vec<u64>,
    /// How often its disk is full.
    pub(super) full: u32,
    /// Whether its process died of a full disk or of the lack of memory.
    pub(super) fallen: bool,
}

impl Harm {
    /// What its wall clock shows.
    pub(super) fn clock(&self, now: Nanos) -> Nanos {
        let wrong = self.skews.iter().map(|(skew, since)| wrong_by(skew, now - *since));
        Nanos((CLOCK_START + now).0.saturating_add_signed(wrong.sum()))
    }

    /// When it runs again; `None` if it runs now.
    pub(super) fn next_turn(&self, now: Nanos) -> Option<Nanos> {
        let cpu = u64::from(*self.throttles.iter().min()?);
        let since = now.0 % PERIOD.0;
        (since >= PERIOD.0 / 100 * cpu).then(|| now + PERIOD - Nanos(since))
    }

    /// Whether a process dies that had so many records and now wants to have so many.
    pub(super) fn is_deadly(&self, before: usize, after: usize) -> bool {
        let wants = after as u64 * RECORD_BYTES;
        let has = self.limits.iter().min();
        (self.full > 0 && after > before) || has.is_some_and(|limit_mb| wants > limit_mb << 20)
    }
}

/// How far ahead a clock is, in nanoseconds, so long after it began to be wrong.
fn wrong_by(skew: &Skew, after: Nanos) -> i64 {
    if after.0.checked_div(skew.strobe_ms * 1_000_000).is_some_and(|turn| turn % 2 == 1) {
        return 0;
    }
    let gained = i128::from(after.0) * i128::from(skew.drift_ppm) / 1_000_000;
    skew.offset_ms.saturating_mul(1_000_000).saturating_add(gained as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_and_one_that_jumps_to_and_fro() {
        let after = |millis| Nanos::from_millis(millis);
        let drift = Skew { offset_ms: 5, drift_ppm: -1_000, strobe_ms: 0 };
        assert_eq!(wrong_by(&drift, after(2_000)), 3_000_000);
        let strobe = Skew { offset_ms: 200, drift_ppm: 0, strobe_ms: 10 };
        let seen =
            [0, 9, 10, 19, 20, 35].map(|millis| wrong_by(&strobe, after(millis)) / 1_000_000);
        assert_eq!(seen, [200, 200, 0, 0, 200, 0]);
    }
}
