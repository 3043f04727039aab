//! Locks on rows that are being written, and what has been written under them.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Mop, Nanos, Value};
use crate::store::transactional::versions::{TxnId, changed};

/// The locks of a primary. Who wants a lock that an older transaction holds dies, an older one waits
/// for a younger one: waits point one way, so nobody waits in a circle (wait-die, Rosenkrantz,
/// Stearns and Lewis 1978).
#[derive(Default)]
pub(super) struct Locks {
    rows: BTreeMap<Value, Lock>,
}

struct Lock {
    holder: TxnId,
    since: Nanos,
    /// What the holder has written, by its step.
    pending: BTreeMap<u32, Mop>,
    /// Who waits, with the write and its step.
    waiting: BTreeMap<TxnId, (u32, Mop)>,
}

/// What became of a request for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    Given,
    Waits,
    /// The transaction has to be aborted.
    Dies,
}

impl Locks {
    /// `txn` writes, as its step of that number.
    pub(super) fn acquire(&mut self, txn: TxnId, step: u32, write: &Mop, now: Nanos) -> Grant {
        let Some(lock) = self.rows.get_mut(&write.key) else {
            self.rows.insert(write.key.clone(), Lock::new(txn, step, write.clone(), now));
            return Grant::Given;
        };
        if lock.holder == txn {
            lock.since = now;
            lock.pending.insert(step, write.clone());
            return Grant::Given;
        }
        if lock.holder < txn {
            return Grant::Dies;
        }
        lock.waiting.insert(txn, (step, write.clone()));
        Grant::Waits
    }

    /// Whether `txn` holds the lock of that row.
    pub(super) fn holds(&self, txn: TxnId, row: &Value) -> bool {
        self.rows.get(row).is_some_and(|lock| lock.holder == txn)
    }

    /// The row with what others than `txn` have written to it and not committed.
    pub(super) fn uncommitted(&self, txn: TxnId, row: &Value, committed: Value) -> Value {
        match self.rows.get(row).filter(|lock| lock.holder != txn) {
            Some(lock) => lock.pending.values().fold(committed, changed),
            None => committed,
        }
    }

    /// `txn` has ended. Returns who got a lock by that, for which step.
    pub(super) fn release(&mut self, txn: TxnId, now: Nanos) -> Vec<(TxnId, u32)> {
        let mut granted = Vec::new();
        self.rows.retain(|_, lock| {
            lock.waiting.remove(&txn);
            if lock.holder != txn {
                return true;
            }
            // The youngest first: whoever goes on waiting is older than whom it waits for.
            let Some((next, (step, write))) = lock.waiting.pop_last() else { return false };
            granted.push((next, step));
            (lock.holder, lock.since) = (next, now);
            lock.pending = BTreeMap::from([(step, write)]);
            true
        });
        granted
    }

    /// Those who took their last lock before `limit`.
    pub(super) fn overdue(&self, limit: Nanos) -> BTreeSet<TxnId> {
        self.rows.values().filter(|lock| lock.since < limit).map(|lock| lock.holder).collect()
    }
}

impl Lock {
    fn new(holder: TxnId, step: u32, write: Mop, since: Nanos) -> Self {
        let pending = BTreeMap::from([(step, write)]);
        Self { holder, since, pending, waiting: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Function;
    use crate::sim::NodeId;

    fn txn(began: u64) -> TxnId {
        TxnId { began: Nanos(began), node: NodeId(0), number: 1 }
    }

    fn append(row: &str, value: i64) -> Mop {
        Mop { function: Function::Append, key: Value::text(row), value: Value::Int(value) }
    }

    #[test]
    fn the_older_waits_and_the_younger_dies() {
        let mut locks = Locks::default();
        let mut acquire =
            |began, step, row| locks.acquire(txn(began), step, &append(row, 1), Nanos(0));
        assert_eq!(acquire(5, 1, "x"), Grant::Given);
        assert_eq!(acquire(5, 2, "x"), Grant::Given);
        assert_eq!(acquire(6, 1, "x"), Grant::Dies);
        assert_eq!(acquire(3, 1, "x"), Grant::Waits);
        assert_eq!(acquire(4, 7, "x"), Grant::Waits);
        assert_eq!(locks.release(txn(5), Nanos(1)), [(txn(4), 7)]);
        assert!(locks.holds(txn(4), &Value::text("x")));
        assert_eq!(locks.release(txn(4), Nanos(1)), [(txn(3), 1)]);
        assert_eq!(locks.overdue(Nanos(2)), BTreeSet::from([txn(3)]));
        assert_eq!(locks.release(txn(3), Nanos(1)), []);
        assert!(!locks.holds(txn(3), &Value::text("x")));
    }

    #[test]
    fn others_may_look_at_what_is_not_committed() {
        let mut locks = Locks::default();
        for (step, value) in [(1, 7), (2, 8), (2, 8)] {
            locks.acquire(txn(1), step, &append("x", value), Nanos(0));
        }
        let read = |reader| locks.uncommitted(txn(reader), &Value::text("x"), Value::Null);
        assert_eq!(read(2), Value::list([7, 8].map(Value::Int)));
        assert_eq!(read(1), Value::Null);
    }
}
