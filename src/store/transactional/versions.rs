//! The versions of rows: what a multi-version store keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{Function, Mop, Nanos, Value};
use crate::sim::NodeId;

/// A transaction, for the time of a whole run: the older one is the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store) struct TxnId {
    pub(super) began: Nanos,
    pub(super) node: NodeId,
    pub(super) number: u64,
}

/// What a transaction changed, and its place in the order of commits, from 1.
#[derive(Clone, Debug)]
pub(in crate::store) struct Commit {
    pub(super) stamp: u64,
    pub(super) txn: TxnId,
    pub(super) writes: Arc<[Mop]>,
}

/// A moment in the life of one copy: how many commits it had applied. For the primary, which applies
/// them in their order, it is the stamp of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct Moment(pub(super) u64);

impl Moment {
    pub(super) const NOW: Self = Self(u64::MAX);
}

struct Version {
    since: Moment,
    stamp: u64,
    value: Value,
}

/// A copy of all rows with all their versions: none is ever dropped, as a run is short.
#[derive(Default)]
pub(super) struct Versions {
    rows: FxHashMap<Value, Vec<Version>>,
    applied: u64,
    /// Every commit up to this stamp has been applied, and those in `early`.
    prefix: u64,
    early: BTreeSet<u64>,
}

impl Versions {
    /// The present moment.
    pub(super) fn now(&self) -> Moment {
        Moment(self.applied)
    }

    /// The stamp up to which nothing is missing.
    pub(super) fn prefix(&self) -> u64 {
        self.prefix
    }

    /// What a row held at that moment; nothing if it was not there.
    pub(super) fn read(&self, row: &Value, at: Moment) -> Value {
        self.version(row, at).map_or(Value::Null, |version| version.value.clone())
    }

    /// The stamp of the commit that wrote it; 0 if it was not there.
    pub(super) fn stamp(&self, row: &Value, at: Moment) -> u64 {
        self.version(row, at).map_or(0, |version| version.stamp)
    }

    fn version(&self, row: &Value, at: Moment) -> Option<&Version> {
        self.rows.get(row)?.iter().rev().find(|version| version.since <= at)
    }

    /// Applies a commit, unless it has been; tells whether it did.
    pub(super) fn apply(&mut self, commit: &Commit) -> bool {
        if commit.stamp <= self.prefix || !self.early.insert(commit.stamp) {
            return false;
        }
        while self.early.remove(&(self.prefix + 1)) {
            self.prefix += 1;
        }
        self.applied += 1;
        let mut new: BTreeMap<&Value, Value> = BTreeMap::new();
        for mop in commit.writes.iter() {
            let old = new.remove(&mop.key).unwrap_or_else(|| self.read(&mop.key, Moment::NOW));
            new.insert(&mop.key, changed(old, mop));
        }
        let (since, stamp) = (self.now(), commit.stamp);
        for (row, value) in new {
            let version = Version { since, stamp, value };
            self.rows.entry(row.clone()).or_default().push(version);
        }
        true
    }
}

/// What becomes of a row by a write. What does not fit the row leaves it as it was.
pub(super) fn changed(old: Value, mop: &Mop) -> Value {
    let is_list = matches!(old, Value::Null | Value::List(_));
    let elements = old.as_list().unwrap_or_default().iter().cloned();
    let new = std::iter::once(mop.value.clone());
    match mop.function {
        Function::Write => mop.value.clone(),
        Function::Append if is_list => Value::list(elements.chain(new)),
        Function::Add if is_list => Value::list(elements.chain(new).collect::<BTreeSet<_>>()),
        Function::Remove if is_list => Value::list(elements.filter(|one| *one != mop.value)),
        Function::Increment => match (&old, mop.value.as_int()) {
            (Value::Null, Some(amount)) => Value::Int(amount),
            (Value::Int(sum), Some(amount)) => Value::Int(sum.saturating_add(amount)),
            _ => old,
        },
        _ => old,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(stamp: u64, writes: &[(Function, &str, i64)]) -> Commit {
        let mop = |(function, row, value): &(Function, &str, i64)| Mop {
            function: *function,
            key: Value::text(row),
            value: Value::Int(*value),
        };
        let txn = TxnId { began: Nanos(stamp), node: NodeId(0), number: stamp };
        Commit { stamp, txn, writes: writes.iter().map(mop).collect() }
    }

    #[test]
    fn a_moment_keeps_what_it_showed() {
        let mut versions = Versions::default();
        let x = Value::text("x");
        assert!(
            versions.apply(&commit(1, &[(Function::Append, "x", 1), (Function::Append, "x", 2)]))
        );
        let before = versions.now();
        assert!(
            versions.apply(&commit(2, &[(Function::Append, "x", 3), (Function::Write, "y", 7)]))
        );
        assert_eq!(versions.read(&x, before), Value::list([1, 2].map(Value::Int)));
        assert_eq!(versions.read(&x, Moment::NOW), Value::list([1, 2, 3].map(Value::Int)));
        assert_eq!(versions.read(&Value::text("y"), before), Value::Null);
        assert_eq!((versions.stamp(&x, before), versions.stamp(&x, Moment::NOW)), (1, 2));
    }

    #[test]
    fn what_came_early_is_not_applied_again() {
        let mut versions = Versions::default();
        let own = commit(3, &[(Function::Increment, "c", 5)]);
        assert!(versions.apply(&own));
        assert_eq!(versions.prefix(), 0);
        for stamp in 1..=2 {
            assert!(versions.apply(&commit(stamp, &[(Function::Add, "s", stamp as i64)])));
        }
        assert!(!versions.apply(&own));
        assert_eq!((versions.prefix(), versions.now()), (3, Moment(3)));
        assert_eq!(versions.read(&Value::text("c"), Moment::NOW), Value::Int(5));
    }
}
