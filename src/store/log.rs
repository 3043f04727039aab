//! The replicated log, and what of it is on disk.

use std::sync::Arc;

use crate::model::{Nanos, Op};
use crate::sim::NodeId;
use crate::store::{Objects, Position};

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The epoch of the primary that took it.
    pub(super) epoch: u64,
    /// What to do; nothing in the entry with which a new primary begins its epoch.
    pub(super) op: Option<Arc<Op>>,
    /// The number of the request that asked for it, over all clients; 0 where nobody did.
    pub(super) request: u64,
}

/// A record of a node's disk.
#[derive(Clone, Debug)]
pub(super) enum Record {
    /// The node serves this epoch and has voted so in it; it will serve no earlier one.
    Promise { epoch: u64, vote: Option<NodeId> },
    /// The entry at this index; those once after it are gone.
    Entry { index: u64, entry: Entry },
    /// All data and the log that they come from, in the place of everything before; nothing in it on
    /// a new machine.
    Snapshot { log: Vec<Entry>, objects: Objects },
}

/// Entries by index, from 1. Two logs that have the same epoch at one index are equal up to there:
/// the log matching property of Raft (Ongaro and Ousterhout 2014, section 5.3).
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    entries: Vec<Entry>,
}

/// What a follower did with the entries it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// They are in the log now. `cut` tells whether other entries had to give way.
    Stored { fresh: std::ops::Range<u64>, cut: bool },
    /// The entry before them is missing or another one; entries after this index are wanted.
    Behind { known: u64 },
}

impl Log {
    /// A log of these entries.
    pub(super) fn of(entries: Vec<Entry>) -> Self {
        Self { entries }
    }

    /// The position of the last entry.
    pub(super) fn end(&self) -> Position {
        let index = self.entries.len() as u64;
        Position { epoch: self.epoch_at(index), index }
    }

    /// The epoch of an entry; 0 before the first and after the last.
    pub(super) fn epoch_at(&self, index: u64) -> u64 {
        self.get(index).map_or(0, |entry| entry.epoch)
    }

    /// The position of an entry.
    pub(super) fn position(&self, index: u64) -> Position {
        Position { epoch: self.epoch_at(index), index }
    }

    /// The entry at `index`.
    pub(super) fn get(&self, index: u64) -> Option<&Entry> {
        self.entries.get((index as usize).checked_sub(1)?)
    }

    /// All entries, in order.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether an entry was asked for by the request of that number.
    pub(super) fn has_request(&self, number: u64) -> bool {
        self.entries.iter().rev().any(|entry| entry.request == number)
    }

    /// The entries from `first` on, at most `limit`.
    pub(super) fn from(&self, first: u64, limit: usize) -> Vec<Entry> {
        let start = (first as usize).saturating_sub(1).min(self.entries.len());
        let end = (start + limit).min(self.entries.len());
        self.entries[start..end].to_vec()
    }

    /// Adds an entry at the end; returns its index.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        self.entries.push(entry);
        self.entries.len() as u64
    }

    /// Puts an entry where it was, as it is found on disk; returns whether others gave way.
    pub(super) fn restore(&mut self, index: u64, entry: Entry) -> bool {
        let keep = (index as usize).saturating_sub(1);
        let cut = keep < self.entries.len();
        self.entries.truncate(keep);
        self.entries.push(entry);
        cut
    }

    /// Takes entries that follow `previous` on the primary. Entries that are here already are left
    /// alone, so a late or doubled message does no harm; only a conflict cuts the tail.
    pub(super) fn accept(&mut self, previous: Position, entries: &[Entry]) -> Accepted {
        let last = self.entries.len() as u64;
        if previous.index > last {
            return Accepted::Behind { known: last };
        }
        let found = self.epoch_at(previous.index);
        if found != previous.epoch {
            // Nothing of that epoch can be right: go back to where it begins, in one step.
            let start = self.entries[..previous.index as usize]
                .iter()
                .rposition(|entry| entry.epoch != found)
                .map_or(0, |at| at as u64 + 1);
            return Accepted::Behind { known: start };
        }
        let present = entries
            .iter()
            .zip(previous.index + 1..)
            .take_while(|(entry, index)| self.epoch_at(*index) == entry.epoch)
            .count();
        let first = previous.index + 1 + present as u64;
        let fresh = &entries[present..];
        let cut = !fresh.is_empty() && first <= last;
        if !fresh.is_empty() {
            self.entries.truncate(first as usize - 1);
            self.entries.extend_from_slice(fresh);
        }
        Accepted::Stored { fresh: first..first + fresh.len() as u64, cut }
    }
}

/// What a primary knows of one follower's log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Up to here the follower's log is known to equal the primary's.
    pub(super) matched: u64,
    /// The next entry to send; runs ahead of `matched` while answers are under way.
    pub(super) next: u64,
    /// When `matched` last grew or entries were last sent again.
    moved: Nanos,
    /// The refusal last heeded.
    refused: Option<u64>,
}

impl Progress {
    /// At the beginning of an epoch nothing is known; the log is sent from `next` on.
    pub(super) fn new(next: u64, now: Nanos) -> Self {
        Self { matched: 0, next, moved: now, refused: None }
    }

    /// The follower has everything up to `matched`.
    pub(super) fn confirm(&mut self, matched: u64, now: Nanos) {
        if matched > self.matched {
            (self.matched, self.moved, self.refused) = (matched, now, None);
        }
        self.next = self.next.max(matched + 1);
    }

    /// The follower has nothing of use after `known`; whether more has to be sent again for it.
    /// It may have lost what it once confirmed, if it does not sync.
    pub(super) fn go_back(&mut self, known: u64, now: Nanos) -> bool {
        self.matched = self.matched.min(known);
        // Everything sent after a lost message is refused alike; answering each refusal would breed
        // more of them. If what is sent again is lost too, `stalled` sees to it.
        let again = known + 1 < self.next && self.refused != Some(known);
        if again {
            (self.next, self.moved) = (known + 1, now);
            self.refused = Some(known);
        }
        again
    }

    /// Whether answers are missing for so long that messages must have been lost; sends again then.
    pub(super) fn stalled(&mut self, last: u64, patience: Nanos, now: Nanos) -> bool {
        if self.matched >= last {
            self.moved = now;
        }
        let stalled = now - self.moved > patience;
        if stalled {
            (self.next, self.moved) = (self.matched + 1, now);
            self.refused = None;
        }
        stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(epochs: &[u64]) -> Log {
        Log { entries: epochs.iter().map(|&epoch| Entry { epoch, op: None, request: 0 }).collect() }
    }

    fn epochs(log: &Log) -> Vec<u64> {
        log.entries().iter().map(|entry| entry.epoch).collect()
    }

    fn accept(log: &mut Log, epoch: u64, index: u64, entries: &[u64]) -> Accepted {
        log.accept(Position { epoch, index }, &self::log(entries).entries)
    }

    #[test]
    fn a_conflict_cuts_the_tail_and_a_late_message_does_not() {
        let mut log = log(&[1, 1, 1]);
        assert_eq!(accept(&mut log, 1, 3, &[2]), Accepted::Stored { fresh: 4..5, cut: false });
        assert_eq!(accept(&mut log, 1, 1, &[1]), Accepted::Stored { fresh: 3..3, cut: false });
        assert_eq!(epochs(&log), [1, 1, 1, 2]);
        assert_eq!(accept(&mut log, 1, 1, &[1, 3]), Accepted::Stored { fresh: 3..4, cut: true });
        assert_eq!(epochs(&log), [1, 1, 3]);
        assert_eq!(accept(&mut log, 0, 0, &[]), Accepted::Stored { fresh: 1..1, cut: false });
    }

    #[test]
    fn a_gap_asks_for_what_is_missing_and_skips_a_whole_epoch() {
        let mut log = log(&[1, 2, 2, 2]);
        assert_eq!(accept(&mut log, 2, 9, &[]), Accepted::Behind { known: 4 });
        assert_eq!(accept(&mut log, 3, 4, &[3]), Accepted::Behind { known: 1 });
        assert_eq!(epochs(&log), [1, 2, 2, 2]);
    }

    #[test]
    fn a_stalled_follower_is_sent_the_rest_again() {
        let mut progress = Progress::new(5, Nanos(0));
        assert!(progress.go_back(2, Nanos(1)));
        assert_eq!(progress.next, 3);
        progress.confirm(4, Nanos(2));
        assert!(!progress.go_back(4, Nanos(3)), "it is under way already");
        progress.next = 9;
        assert!(!progress.stalled(8, Nanos(10), Nanos(12)));
        assert!(progress.stalled(8, Nanos(10), Nanos(13)));
        assert_eq!(progress.next, 5);
    }
}
