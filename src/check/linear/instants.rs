//! The instants at which operations are best placed.
//!
//! Between a call and the return that directly follows it, every operation is open that is open at any
//! instant near, and nothing is surely inside a container that is not at each of them. So monitors need
//! to look at no other instants.

use rayon::prelude::*;

use crate::check::linear::container::Element;
use crate::history::Rank;

/// Instants, each by the call before it, in order of time.
pub(super) struct Instants {
    calls: Vec<u32>,
}

impl Instants {
    /// The instants of the puts and takes of these elements.
    pub(super) fn new(elements: &[Element]) -> Self {
        let mut events: Vec<u64> = Vec::with_capacity(4 * elements.len());
        let mut event = |rank: Rank, is_return: u64| {
            events.push(u64::from(rank.0) << 1 | is_return);
        };
        for element in elements {
            event(element.put_called, 0);
            event(element.put_returned, 1);
            event(called(element), 0);
            event(element.take_returned, 1);
        }
        events.par_sort_unstable();
        let mut calls = Vec::with_capacity(elements.len());
        for pair in events.windows(2) {
            if pair[0] & 1 == 0 && pair[1] & 1 == 1 {
                calls.push((pair[0] >> 1) as u32);
            }
        }
        Self { calls }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The instants after one event and before another.
    pub(super) fn between(&self, from: Rank, to: Rank) -> (usize, usize) {
        let first = |rank: Rank| self.calls.partition_point(|call| *call < rank.0);
        (first(from), first(to))
    }
}

/// When the take of an element was called. One that was never called comes after all else, but
/// before all returns that never came.
pub(super) fn called(element: &Element) -> Rank {
    let latest = Rank(Rank::NEVER.0 - 1);
    element.take_called.max(element.put_called).min(latest)
}

/// The earliest of some returns whose calls come after an event (a Fenwick tree of minima).
pub(super) struct Earliest {
    /// All calls, in order of time.
    calls: Vec<Rank>,
    least: Vec<Rank>,
}

impl Earliest {
    /// For returns that have one of these calls.
    pub(super) fn new(calls: impl Iterator<Item = Rank>) -> Self {
        let mut calls: Vec<Rank> = calls.collect();
        calls.sort_unstable();
        Self { least: vec![Rank::NEVER; calls.len() + 1], calls }
    }

    /// Adds one.
    pub(super) fn add(&mut self, called: Rank, returned: Rank) {
        // Counted from the end, so that what comes after an event is a prefix.
        let mut at = self.places_after(called) + 1;
        while at < self.least.len() {
            self.least[at] = self.least[at].min(returned);
            at += at & at.wrapping_neg();
        }
    }

    /// The earliest return of a call after `event`.
    pub(super) fn after(&self, event: Rank) -> Rank {
        let mut at = self.places_after(event);
        let mut least = Rank::NEVER;
        while at > 0 {
            least = least.min(self.least[at]);
            at -= at & at.wrapping_neg();
        }
        least
    }

    /// How many calls come after `event`.
    fn places_after(&self, event: Rank) -> usize {
        self.calls.len() - self.calls.partition_point(|call| *call <= event)
    }
}
