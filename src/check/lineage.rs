//! Which version of a register was made from which.

use rustc_hash::FxHashMap;

use crate::check::writers::{Writers, reads_value, writes_value};
use crate::history::{History, KeyId, TxnId, ValueId};
use crate::model::{Function, Kind};

/// The versions of one register as a forest, as far as data prove it: an operation that read one and
/// then wrote another made it from that (E2, E3); everything was made from the initial version (E1).
/// Versions written more than once have no place in it, and where the evidence is a cycle there is
/// none at all.
pub(super) struct Lineage {
    /// The version each was made from, and by whom.
    parent: FxHashMap<ValueId, (ValueId, TxnId)>,
}

impl Lineage {
    /// Looks at the operations on `key`.
    pub(super) fn new(history: &History, writers: &Writers, key: KeyId, txns: &[TxnId]) -> Self {
        let unique = |value: ValueId| !writers.is_ambiguous(key, value);
        let null_is_written = writers.first(key, ValueId::NULL).is_some();
        let mut parent: FxHashMap<ValueId, (ValueId, TxnId)> = FxHashMap::default();
        for txn in txns.iter().map(|txn| history.txn(*txn)).filter(|t| t.kind() != Kind::Fail) {
            // What a cas of unknown outcome expects is known: if it took effect, it had read it.
            let tells = txn.is_ok() || txn.function() == Function::Cas;
            let mut before = None;
            for access in txn.accesses().filter(|access| access.key == key) {
                if reads_value(history, access) {
                    before = Some(access.value).filter(|_| tells);
                } else if writes_value(history, access) {
                    if unique(access.value) && access.value != ValueId::NULL {
                        let known = before.filter(|from| unique(*from));
                        let from = known.unwrap_or(ValueId::NULL);
                        if from != ValueId::NULL || !null_is_written {
                            parent.insert(access.value, (from, txn.id));
                        }
                    }
                    before = Some(access.value);
                }
            }
        }
        if !null_is_written {
            let ends: Vec<(ValueId, TxnId)> = parent.values().copied().collect();
            for (end, txn) in ends.into_iter().filter(|(end, _)| *end != ValueId::NULL) {
                parent.entry(end).or_insert((ValueId::NULL, txn));
            }
        }
        let mut lineage = Self { parent };
        let mut acyclic = 0;
        lineage.newest_first(|_, _| acyclic += 1);
        if acyclic < lineage.parent.len() {
            lineage.parent.clear();
        }
        lineage
    }

    /// Calls `each` with a version and the one it was made from, a version before what it was made
    /// from.
    pub(super) fn newest_first(&self, mut each: impl FnMut(ValueId, ValueId)) {
        let mut children: FxHashMap<ValueId, u32> = FxHashMap::default();
        for (from, _) in self.parent.values() {
            *children.entry(*from).or_default() += 1;
        }
        let mut ready: Vec<ValueId> =
            self.parent.keys().copied().filter(|version| !children.contains_key(version)).collect();
        ready.sort_unstable();
        while let Some(version) = ready.pop() {
            let Some((from, _)) = self.parent.get(&version) else { continue };
            each(version, *from);
            if let Some(left) = children.get_mut(from) {
                *left -= 1;
                if *left == 0 {
                    ready.push(*from);
                }
            }
        }
    }

    /// How many steps each version is from the initial one or the oldest known.
    pub(super) fn ages(&self) -> FxHashMap<ValueId, u32> {
        let mut order = Vec::with_capacity(self.parent.len());
        self.newest_first(|version, from| order.push((version, from)));
        let mut ages = FxHashMap::default();
        for (version, from) in order.into_iter().rev() {
            let age = ages.get(&from).map_or(1, |age| age + 1);
            ages.insert(version, age);
        }
        ages
    }

    /// Who made `newer` from `older`, the last step first; empty if nobody did.
    pub(super) fn path(&self, newer: ValueId, older: ValueId) -> Vec<TxnId> {
        let (mut at, mut made_by) = (newer, Vec::new());
        while at != older {
            let Some((from, txn)) = self.parent.get(&at) else { return Vec::new() };
            made_by.push(*txn);
            at = *from;
        }
        made_by
    }
}
