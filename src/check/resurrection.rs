//! Resurrected data: RES (ANOMALIES section 5).

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::lineage::Lineage;
use crate::check::tally::Tally;
use crate::check::words::{deed, key_name, read_phrase, session_name, shown, shown_at};
use crate::check::writers::{Writers, reads_value};
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::history::{Datatype, History, KeyId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// Judges whether something came back that was seen gone.
///
/// Of a set: an element was removed, a later read lacks it, a still later one has it, and no addition
/// that may have come after the removal explains it. Of a register: a final read returns a version
/// although an earlier read saw one made from it (E1, E2, E3); versions written more than once prove
/// nothing. `None` if nothing was removed and no register was read finally. O(n log n) and the length
/// of the reads of sets with removals.
pub fn check(history: &History, limits: &Limits) -> Option<Verdict> {
    let mut tally = Tally::new(Property::Res, limits);
    sets(history, &mut tally);
    registers(history, &mut tally);
    tally.is_of_something().then(|| tally.verdict("nothing was removed"))
}

/// What was done to one element of a set.
#[derive(Default)]
struct Element {
    removals: Vec<TxnId>,
    additions: Vec<TxnId>,
}

/// Looks for elements that came back.
fn sets(history: &History, tally: &mut Tally) {
    let mut keys: BTreeMap<KeyId, BTreeMap<ValueId, Element>> = BTreeMap::new();
    for txn in history.txns().filter(|txn| txn.is_ok()) {
        for access in txn.accesses().filter(|access| access.function == Function::Remove) {
            if history.datatype(access.key) == Datatype::Set {
                let elements = keys.entry(access.key).or_default();
                elements.entry(access.value).or_default().removals.push(txn.id);
            }
        }
    }
    if keys.is_empty() {
        return;
    }
    tally.judged();
    let mut reads: BTreeMap<KeyId, Vec<(TxnId, ValueId)>> = BTreeMap::new();
    for txn in history.txns().filter(|txn| txn.kind() != Kind::Fail) {
        for access in txn.accesses() {
            let Some(elements) = keys.get_mut(&access.key) else { continue };
            if access.function == Function::Add {
                if let Some(element) = elements.get_mut(&access.value) {
                    element.additions.push(txn.id);
                }
            } else if txn.is_ok() && reads_value(history, access) {
                reads.entry(access.key).or_default().push((txn.id, access.value));
            }
        }
    }
    for (key, elements) in &keys {
        let reads = reads.get(key).map_or(&[][..], Vec::as_slice);
        let mut present: FxHashMap<ValueId, Vec<TxnId>> = FxHashMap::default();
        for (read, version) in reads {
            for value in history.values().backwards(*version) {
                let seen = elements.contains_key(&value).then(|| present.entry(value).or_default());
                if let Some(seen) = seen.filter(|seen| seen.last() != Some(read)) {
                    seen.push(*read);
                }
            }
        }
        for (value, element) in elements {
            let present = present.get(value).map_or(&[][..], Vec::as_slice);
            if let Some([removal, absent, back]) = came_back(history, element, reads, present) {
                tally.violated(|| resurrected(history, *key, *value, [removal, absent, back]));
            }
        }
    }
}

/// A removal, a read after it that lacks the element, and a read after that which has it.
fn came_back<'h>(
    history: &'h History,
    element: &Element,
    reads: &[(TxnId, ValueId)],
    present: &[TxnId],
) -> Option<[Txn<'h>; 3]> {
    // Of the additions that had not returned when a removal was invoked, the first explains most.
    let mut additions: Vec<(Rank, Rank)> = element
        .additions
        .iter()
        .map(|txn| (history.txn(*txn).returned(), history.txn(*txn).invoked()))
        .collect();
    additions.sort_unstable();
    for at in (1..additions.len()).rev() {
        additions[at - 1].1 = additions[at - 1].1.min(additions[at].1);
    }
    for removal in element.removals.iter().map(|txn| history.txn(*txn)) {
        let open = additions.partition_point(|(returned, _)| *returned < removal.invoked());
        let explained = additions.get(open).map_or(Rank::NEVER, |(_, invoked)| *invoked);
        let after = |txn: &TxnId, rank: Rank| history.txn(*txn).invoked() > rank;
        let begin = present.partition_point(|read| !after(read, removal.returned()));
        let end = present.partition_point(|read| !after(read, explained)).max(begin);
        let backs = present[begin..end].iter().map(|read| history.txn(*read));
        let Some(back) = backs.rev().find(|read| read.returned() < explained) else { continue };
        let begin = reads.partition_point(|(read, _)| !after(read, removal.returned()));
        let absent = reads[begin..]
            .iter()
            .map(|(read, _)| history.txn(*read))
            .take_while(|read| read.invoked() < back.invoked())
            .find(|read| read.precedes(back) && present.binary_search(&read.id).is_err());
        if let Some(absent) = absent {
            return Some([removal, absent, back]);
        }
    }
    None
}

fn resurrected(history: &History, key: KeyId, value: ValueId, proof: [Txn<'_>; 3]) -> Anomaly {
    let [removal, absent, back] = proof;
    let (value, name) = (shown(history, value), key_name(history, key));
    let sentence = format!(
        "{} removed {value} from {name} (#{}), #{} no longer saw it, and {} saw it again (#{}) though \
         nobody had added it since",
        session_name(history, removal),
        removal.index(),
        absent.index(),
        session_name(history, back),
        back.index(),
    );
    let why = [
        format!("#{} lacks {value}, which #{} removed", absent.index(), removal.index()),
        format!("#{} returned before #{} was invoked", absent.index(), back.index()),
        format!("#{} has {value}, as if #{} had not been", back.index(), removal.index()),
    ];
    anomaly("resurrected-element", key, back, &proof, [Edge::Wr, Edge::Rt, Edge::Rw], why, sentence)
}

/// Looks for final reads of superseded versions. Returns whether a register was read finally.
fn registers(history: &History, tally: &mut Tally) {
    let mut finals: BTreeMap<KeyId, Vec<(TxnId, ValueId)>> = BTreeMap::new();
    for txn in history.txns().filter(|txn| txn.is_ok() && txn.is_final()) {
        for access in txn.accesses().filter(|access| reads_value(history, *access)) {
            if history.datatype(access.key) == Datatype::Register {
                finals.entry(access.key).or_default().push((txn.id, access.value));
            }
        }
    }
    if finals.is_empty() {
        return;
    }
    tally.judged();
    let by_key = history.by_key();
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    for (key, finals) in &finals {
        let superseded = Superseded::new(history, &writers, *key, by_key.group(key.0));
        let mut told = FxHashSet::default();
        for (read, version) in finals {
            let Some((seen, newer)) = superseded.seen.get(version) else { continue };
            let (seen, read) = (history.txn(*seen), history.txn(*read));
            if seen.precedes(read) && told.insert(*version) {
                tally.violated(|| {
                    let made_by = superseded.lineage.path(*newer, *version);
                    rolled_back(history, *key, [*version, *newer], seen, read, &made_by)
                });
            }
        }
    }
}

/// Which versions of a register were superseded, and who saw it.
struct Superseded {
    lineage: Lineage,
    /// For each version, the read that first returned having seen one made from it, and which.
    seen: FxHashMap<ValueId, (TxnId, ValueId)>,
}

impl Superseded {
    fn new(history: &History, writers: &Writers, key: KeyId, txns: &[TxnId]) -> Self {
        let lineage = Lineage::new(history, writers, key, txns);
        let mut first_seen: FxHashMap<ValueId, TxnId> = FxHashMap::default();
        for txn in txns.iter().map(|txn| history.txn(*txn)).filter(|txn| txn.is_ok()) {
            for access in txn.accesses().filter(|access| access.key == key) {
                if reads_value(history, access) && writers.first(key, access.value) != Some(txn.id)
                {
                    let first = first_seen.entry(access.value).or_insert(txn.id);
                    if txn.returned() < history.txn(*first).returned() {
                        *first = txn.id;
                    }
                }
            }
        }
        let mut seen: FxHashMap<ValueId, (TxnId, ValueId)> = FxHashMap::default();
        lineage.newest_first(|version, from| {
            let own = first_seen.get(&version).map(|read| (*read, version));
            let all = [own, seen.get(&version).copied(), seen.get(&from).copied()];
            let first = all
                .into_iter()
                .flatten()
                .min_by_key(|(read, newer)| (history.txn(*read).returned(), *newer));
            if let Some(first) = first {
                seen.insert(from, first);
            }
        });
        Self { lineage, seen }
    }
}

fn rolled_back(
    history: &History,
    key: KeyId,
    [older, newer]: [ValueId; 2],
    seen: Txn<'_>,
    read: Txn<'_>,
    made_by: &[TxnId],
) -> Anomaly {
    let sentence = format!(
        "{} ({newer} was made from {older}), but the final read by {} went back to {older} (#{})",
        read_phrase(history, seen, key),
        session_name(history, read),
        read.index(),
        newer = shown_at(history, key, newer),
        older = shown_at(history, key, older),
    );
    let last = made_by.last().map_or(seen, |txn| history.txn(*txn));
    let why = [
        format!("#{} saw what follows from: {}", seen.index(), deed(history, last, Some(key))),
        format!("#{} returned before #{} was invoked", seen.index(), read.index()),
        format!(
            "#{} read {}, which #{} replaced",
            read.index(),
            shown_at(history, key, older),
            last.index()
        ),
    ];
    let mut proof = vec![last, seen, read];
    proof.extend(made_by.iter().map(|txn| history.txn(*txn)));
    anomaly("rollback", key, read, &proof, [Edge::Wr, Edge::Rt, Edge::Rw], why, sentence)
}

/// The first three of `proof` make the cycle.
fn anomaly(
    kind: &'static str,
    key: KeyId,
    of: Txn<'_>,
    proof: &[Txn<'_>],
    edges: [Edge; 3],
    why: [String; 3],
    sentence: String,
) -> Anomaly {
    let mut operations: Vec<TxnId> = proof.iter().map(|txn| txn.id).collect();
    operations.sort_unstable();
    operations.dedup();
    let cycle = why.into_iter().zip(edges).enumerate().map(|(at, (why, edge))| Step {
        from: proof[at].id,
        to: proof[(at + 1) % 3].id,
        edge,
        why,
    });
    Anomaly {
        property: Property::Res,
        kind,
        set: vec![Property::Res],
        key: Some(key),
        session: Some(of.session()),
        operations,
        // Who made the newer version may be who saw it: that is no step.
        cycle: cycle.filter(|step| step.from != step.to).collect(),
        assumes: Vec::new(),
        sentence,
    }
}
