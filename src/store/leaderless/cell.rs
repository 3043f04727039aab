//! What a replica holds of one key: what was done to it, by stamp.
//!
//! Two cells become one by taking what is in either, so it does not matter who tells whom, how often,
//! in which order. What is shown is what was done, done again in the order of the stamps.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Function, Mop, Nanos, Op, Value};
use crate::store::Objects;
use crate::store::objects::Put;

/// How what is done is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Versions {
    /// By the clock of the coordinator.
    Clock,
    /// By a number: one more than any of a quorum of reads.
    Counter,
    /// As `Counter`; but a put replaces what its client had read, and nothing else.
    Vector,
}

/// What is kept.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Keeping {
    pub(in crate::store) versions: Versions,
    /// How long it is remembered that something was removed; not at all if absent.
    pub(in crate::store) tombstones: Option<Nanos>,
    /// Whether a write remembers the one before it, to be taken back.
    pub(in crate::store) undoes: bool,
}

/// When, at which coordinator and as which of its operations something was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct Stamp {
    pub(in crate::store) time: u64,
    pub(in crate::store) node: u8,
    pub(in crate::store) number: u64,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Entry {
    pub(in crate::store) mop: Mop,
    /// Puts by number: all up to this one are replaced.
    pub(in crate::store) covers: u64,
}

/// One key.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Cell {
    entries: BTreeMap<Stamp, Entry>,
    /// Since when each removal is known here.
    removed: BTreeMap<Stamp, Nanos>,
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Cell {
    /// The stamps of all that was done.
    pub(super) fn stamps(&self) -> Vec<Stamp> {
        self.entries.keys().copied().collect()
    }

    /// The greatest number in use.
    pub(super) fn last(&self) -> u64 {
        self.entries.keys().map(|stamp| stamp.time).max().unwrap_or(0)
    }

    /// The greatest number of what put one of these values.
    pub(super) fn number_of(&self, values: &[Value]) -> u64 {
        let puts = self.entries.iter().filter(|(_, entry)| {
            Put::of(&entry.mop.value).is_some_and(|put| values.contains(&put.value))
        });
        puts.map(|(stamp, _)| stamp.time).max().unwrap_or(0)
    }

    /// Takes in what another cell has.
    pub(super) fn merge(&mut self, other: &Self, keeping: Keeping, now: Nanos) {
        let before = self.entries.len();
        for (stamp, entry) in &other.entries {
            self.entries.entry(*stamp).or_insert_with(|| entry.clone());
        }
        if self.entries.len() > before {
            self.prune(keeping, now);
        }
    }

    /// Takes back what has these stamps.
    pub(super) fn undo(&mut self, stamps: &[Stamp]) {
        self.entries.retain(|stamp, _| !stamps.contains(stamp));
    }

    /// Forgets removals that have been known for long enough.
    pub(super) fn collect(&mut self, keeping: Keeping, now: Nanos) {
        let Some(grace) = keeping.tombstones else { return };
        let old: Vec<Stamp> = self
            .removed
            .iter()
            .filter(|(_, since)| now - **since > grace)
            .map(|one| *one.0)
            .collect();
        for stamp in old {
            self.removed.remove(&stamp);
            self.entries.remove(&stamp);
        }
    }

    /// Drops what is overwritten or removed by something else in here.
    fn prune(&mut self, keeping: Keeping, now: Nanos) {
        let stamps = |wanted: Function| {
            let all = self.entries.iter().filter(move |(_, entry)| entry.mop.function == wanted);
            all.map(|(stamp, _)| *stamp).rev()
        };
        let kept = if keeping.undoes { 2 } else { 1 };
        let mut gone: BTreeSet<Stamp> = stamps(Function::Write).skip(kept).collect();
        if keeping.versions == Versions::Clock {
            gone.extend(stamps(Function::Put).skip(1));
        }
        let covered = self.entries.values().map(|entry| entry.covers).max().unwrap_or(0);
        gone.extend(stamps(Function::Put).filter(|stamp| stamp.time <= covered));
        let mut removals: Vec<Stamp> = stamps(Function::Remove).collect();
        removals.retain(|removal| {
            let added = self.entries.range(..removal).filter(|(_, entry)| {
                entry.mop.function == Function::Add
                    && entry.mop.value == self.entries[removal].mop.value
            });
            gone.extend(added.map(|(stamp, _)| *stamp));
            !self.removed.contains_key(removal)
        });
        for removal in removals {
            if keeping.tombstones.is_some() {
                self.removed.insert(removal, now);
            } else {
                gone.insert(removal);
            }
        }
        self.entries.retain(|stamp, _| !gone.contains(stamp));
    }

    /// Does everything again, in order.
    fn replay(&self, objects: &mut Objects) {
        self.entries.values().for_each(|entry| objects.change(&entry.mop));
    }
}

/// What keys look like whose cells these are.
pub(super) fn objects<'c>(cells: impl Iterator<Item = &'c Cell>) -> Objects {
    let mut objects = Objects::default();
    cells.for_each(|cell| cell.replay(&mut objects));
    objects
}

/// What an operation that has been executed did to each key, with these stamps.
pub(super) fn entries(
    answer: &[Mop],
    cells: &BTreeMap<Value, Cell>,
    versions: Versions,
    mut stamp: impl FnMut(&Cell) -> Stamp,
) -> BTreeMap<Value, Cell> {
    let mut written: BTreeMap<Value, Cell> = BTreeMap::new();
    let empty = Cell::default();
    for mop in answer.iter().filter(|mop| !mop.function.is_read()) {
        let cell = cells.get(&mop.key).unwrap_or(&empty);
        let mut entry = Entry { mop: mop.clone(), covers: 0 };
        if let (Versions::Counter, Some(put)) = (versions, Put::of(&mop.value)) {
            entry.covers = cell.number_of(&put.context);
            let value = [(Value::text("val"), put.value)];
            entry.mop.value = Value::Map(value.into());
        }
        written.entry(mop.key.clone()).or_default().entries.insert(stamp(cell), entry);
    }
    written
}

/// Whether the answer to an operation depends on what the keys hold.
pub(super) fn depends(op: &Op) -> bool {
    use Function as F;
    let blind = |mop: &Mop| {
        matches!(
            mop.function,
            F::Write
                | F::Append
                | F::Add
                | F::Remove
                | F::Increment
                | F::Put
                | F::Init
                | F::InitBank
        )
    };
    !op.mops.iter().all(blind)
}
