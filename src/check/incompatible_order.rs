//! Lists that were read in orders which contradict each other (INCO; Kingsbury and Alvaro 2020).

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use crate::check::tally::Tally;
use crate::check::words::{key_name, read_phrase, shown};
use crate::check::writers::version_read;
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::history::{Datatype, History, KeyId, TxnId, ValueId};
use crate::model::Function;

/// Whether of any two reads of a list one is a prefix of the other; `None` where there are no lists.
///
/// What a transaction appended itself before it reads is no part of the version that it read: others
/// may yet be committed before it. Every read is compared with the longest of its list, of which it must be a prefix. A list is a
/// node of a tree, so that costs one look-up a read: O(reads + length of the longest). A version
/// that is no prefix counts once, however many read it.
pub fn check(history: &History, limits: &Limits) -> Option<Verdict> {
    history.keys().find(|key| history.datatype(*key) == Datatype::List)?;
    let mut versions: BTreeMap<(KeyId, ValueId), TxnId> = BTreeMap::new();
    for txn in history.txns().filter(|txn| txn.is_ok()) {
        for (at, access) in txn.accesses().enumerate() {
            let is_list = history.datatype(access.key) == Datatype::List;
            if access.function == Function::Read
                && is_list
                && history.values().is_list(access.value)
            {
                let version = version_read(history, txn, at, access);
                versions.entry((access.key, version)).or_insert(txn.id);
            }
        }
    }
    let mut tally = Tally::new(Property::Inco, limits);
    let all: Vec<((KeyId, ValueId), TxnId)> = versions.into_iter().collect();
    for of_key in all.chunk_by(|one, next| one.0.0 == next.0.0) {
        tally.judged();
        let lists: Vec<ValueId> = of_key.iter().map(|((_, list), _)| *list).collect();
        let Some(at) = longest(history, &lists) else { continue };
        let prefixes = prefixes(history, lists[at]);
        for ((key, list), read) in of_key.iter().filter(|((_, list), _)| !prefixes.contains(list)) {
            tally.violated(|| anomaly(history, *key, (*read, *list), (of_key[at].1, lists[at])));
        }
    }
    Some(tally.verdict("no reads of lists in this history"))
}

/// The place of the longest list; the first one of that length.
pub(super) fn longest(history: &History, lists: &[ValueId]) -> Option<usize> {
    // A prefix is interned before what extends it: the last of all is a tip of the tree, but only
    // where there are several tips their lengths have to be counted.
    let last = (0..lists.len()).max_by_key(|at| lists[*at])?;
    let below = prefixes(history, lists[last]);
    if lists.iter().all(|list| below.contains(list)) {
        return Some(last);
    }
    let length = |at: &usize| history.values().backwards(lists[*at]).count();
    (0..lists.len()).rev().max_by_key(length)
}

/// A list and all its prefixes.
pub(super) fn prefixes(history: &History, list: ValueId) -> FxHashSet<ValueId> {
    let shorter = |list: &ValueId| history.values().split(*list).map(|(prefix, _)| prefix);
    std::iter::successors(Some(list), shorter).collect()
}

fn anomaly(
    history: &History,
    key: KeyId,
    (one, list): (TxnId, ValueId),
    (other, longest): (TxnId, ValueId),
) -> Anomaly {
    let values = history.values();
    let (left, right) = (values.elements(list), values.elements(longest));
    let common = left.iter().zip(&right).take_while(|(one, other)| one == other).count();
    let differ = |list: &[ValueId]| {
        list.get(common).map_or("nothing".to_owned(), |element| shown(history, *element))
    };
    let sentence = format!(
        "{}, but {}: after {common} common elements one has {} where the other has {}",
        read_phrase(history, history.txn(one), key),
        read_phrase(history, history.txn(other), key),
        differ(&left),
        differ(&right),
    );
    let missed = |from: TxnId, to: TxnId| Step {
        from,
        to,
        edge: Edge::Rw,
        why: format!(
            "#{} has no part in {} that #{} saw",
            history.txn(from).index(),
            key_name(history, key),
            history.txn(to).index()
        ),
    };
    let mut operations = vec![one, other];
    operations.sort_unstable();
    Anomaly {
        property: Property::Inco,
        kind: "incompatible-order",
        set: vec![Property::Inco],
        key: Some(key),
        session: None,
        operations,
        cycle: vec![missed(one, other), missed(other, one)],
        assumes: Vec::new(),
        sentence,
    }
}
