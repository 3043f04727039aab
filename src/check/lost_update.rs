//! Lost updates: LUS (ANOMALIES section 5).

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::check::store_versions::StoreVersions;
use crate::check::tally::Tally;
use crate::check::words::{deed, key_name, session_name, shown_at};
use crate::check::writers::Writers;
use crate::check::{Anomaly, Assumption, Edge, Limits, Property, Step, Verdict};
use crate::history::{Datatype, History, KeyId, Txn, TxnId, ValueId};
use crate::model::{Function, Nanos};

/// Judges whether two acknowledged `cas` or `rmw` operations consumed one version, and whether a
/// counter that is only incremented ends below the sum of its acknowledged increments.
///
/// A version that was written more than once proves nothing: the same value may have come back in
/// between. An update of unknown outcome does not count. Where the store gave versions that agree with
/// the values, an acknowledged write between the version an update read and the one it made is lost to
/// that update too (E7). O(n log n).
pub fn check(history: &History, limits: &Limits) -> Verdict {
    let mut tally = Tally::new(Property::Lus, limits);
    updates(history, &mut tally);
    counters(history, &mut tally);
    tally.verdict("no acknowledged cas or rmw and no final read of a counter in this history")
}

/// Looks for two updates of one version.
fn updates(history: &History, tally: &mut Tally) {
    let is_update = |txn: &Txn<'_>| matches!(txn.function(), Function::Cas | Function::Rmw);
    if !history.txns().any(|txn| txn.is_ok() && is_update(&txn)) {
        return;
    }
    tally.judged();
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let mut nulls = vec![false; history.key_count()];
    for access in history.txns().flat_map(Txn::accesses) {
        if access.function == Function::Write && access.value == ValueId::NULL {
            nulls[access.key.index()] = true;
        }
    }
    let mut consumed: FxHashMap<(KeyId, ValueId), TxnId> = FxHashMap::default();
    let versions = StoreVersions::new(history, &writers);
    let mut told: BTreeSet<TxnId> = BTreeSet::new();
    for txn in history.txns().filter(|txn| txn.is_ok() && is_update(txn)) {
        let (Some(key), Some(version)) = (txn.key(), txn.read()) else { continue };
        if history.datatype(key) != Datatype::Register || version == ValueId::UNKNOWN {
            continue;
        }
        let ambiguous = match version {
            ValueId::NULL => nulls[key.index()],
            _ => writers.is_ambiguous(key, version),
        };
        if ambiguous {
            tally.doubt(|| {
                format!(
                    "{} was written to {} more than once, so two updates of it need not start from one version",
                    shown_at(history, key, version),
                    key_name(history, key)
                )
            });
            continue;
        }
        if let Some(first) = consumed.get(&(key, version)) {
            let first = history.txn(*first);
            let write = writers.first(key, version).map(|write| history.txn(write));
            told.extend([first.id, txn.id]);
            tally.violated(|| lost_update(history, key, version, write, [first, txn]));
        } else {
            consumed.insert((key, version), txn.id);
        }
    }
    let mut untold: Vec<(KeyId, ValueId, TxnId)> = consumed
        .into_iter()
        .map(|((key, version), txn)| (key, version, txn))
        .filter(|(.., txn)| !told.contains(txn))
        .collect();
    untold.sort_unstable_by_key(|(.., txn)| *txn);
    for (key, version, update) in untold {
        if let Some((lost, evidence)) = skipped(&versions, key, version, update) {
            let lost = history.txn(lost);
            let update = history.txn(update);
            tally.violated(|| skipped_write(history, key, version, update, lost, evidence));
        }
    }
}

/// An acknowledged write between the version that an update read and the one it made, by the store's
/// own numbers, and who tells the number of what was read.
fn skipped(
    versions: &StoreVersions,
    key: KeyId,
    read: ValueId,
    update: TxnId,
) -> Option<(TxnId, Option<[TxnId; 2]>)> {
    let (_, made) = versions.of(update)?;
    let from = match read {
        ValueId::NULL => None,
        value => Some(versions.of_value(key, value)?),
    };
    let order = versions.order(key);
    let next = from.map_or(0, |(from, _)| order.partition_point(|(one, _)| *one <= from));
    let (version, write) = *order.get(next)?;
    (version < made).then_some((write, from.map(|(_, by)| by)))
}

fn skipped_write(
    history: &History,
    key: KeyId,
    read: ValueId,
    update: Txn<'_>,
    lost: Txn<'_>,
    evidence: Option<[TxnId; 2]>,
) -> Anomaly {
    let read = shown_at(history, key, read);
    let number = |txn: Txn<'_>| txn.version().map_or_else(String::new, |one| one.to_string());
    let sentence = format!(
        "{} {} as version {} without having seen that {} {} as version {}: it started from {} = {read}, \
         which is older, so the update of version {} is lost",
        session_name(history, update),
        deed(history, update, None),
        number(update),
        session_name(history, lost),
        deed(history, lost, Some(key)),
        number(lost),
        key_name(history, key),
        number(lost),
    );
    let step = |from: Txn<'_>, to: Txn<'_>, edge, why| Step { from: from.id, to: to.id, edge, why };
    let cycle = vec![
        step(
            update,
            lost,
            Edge::Rw,
            format!("#{} read {read}, which #{} replaced", update.index(), lost.index()),
        ),
        step(
            lost,
            update,
            Edge::Ww,
            format!("version {} is below version {}", number(lost), number(update)),
        ),
    ];
    let mut operations = vec![update.id, lost.id];
    operations.extend(evidence.into_iter().flatten());
    operations.sort_unstable();
    operations.dedup();
    let mut anomaly = anomaly("lost-update", key, operations, cycle, sentence);
    anomaly.assumes = vec![Assumption::StoreVersions];
    anomaly
}

fn lost_update(
    history: &History,
    key: KeyId,
    version: ValueId,
    write: Option<Txn<'_>>,
    [one, other]: [Txn<'_>; 2],
) -> Anomaly {
    let version = shown_at(history, key, version);
    let sentence = format!(
        "{} {} and {} {}, both acknowledged and both starting from {} = {version}: one of the updates is lost",
        session_name(history, one),
        deed(history, one, None),
        session_name(history, other),
        deed(history, other, None),
        key_name(history, key),
    );
    let step = |from: Txn<'_>, to: Txn<'_>| Step {
        from: from.id,
        to: to.id,
        edge: Edge::Rw,
        why: format!("#{} read {version}, which #{} replaced", from.index(), to.index()),
    };
    let mut operations = vec![one.id, other.id];
    operations.extend(write.map(|write| write.id));
    operations.sort_unstable();
    operations.dedup();
    anomaly("lost-update", key, operations, vec![step(one, other), step(other, one)], sentence)
}

/// Looks for final reads below what was acknowledged. Returns whether a counter was read finally.
fn counters(history: &History, tally: &mut Tally) {
    let is_counter = |key: KeyId| history.datatype(key) == Datatype::Counter;
    if !history.keys().any(is_counter) {
        return;
    }
    let mut keys: BTreeMap<KeyId, Counter> = BTreeMap::new();
    for txn in history.txns() {
        for access in txn.accesses().filter(|access| is_counter(access.key)) {
            let counter = keys.entry(access.key).or_default();
            let Some(value) = history.values().int(access.value) else { continue };
            match access.function {
                Function::Read if txn.is_ok() && txn.is_final() => {
                    counter.finals.push((txn.id, value));
                }
                Function::Read => {}
                _ => {
                    counter.falls |= value < 0;
                    if txn.is_ok() {
                        counter.increments.push((txn.id, value));
                    }
                }
            }
        }
    }
    for (key, mut counter) in keys.into_iter().filter(|(_, counter)| !counter.falls) {
        counter.increments.sort_unstable_by_key(|(txn, _)| history.txn(*txn).returned());
        for (read, value) in &counter.finals {
            tally.judged();
            let read = history.txn(*read);
            let before =
                counter.increments.partition_point(|(txn, _)| history.txn(*txn).precedes(read));
            let owed = &counter.increments[..before];
            let sum = owed.iter().fold(0_i64, |sum, (_, by)| sum.saturating_add(*by));
            if *value < sum {
                tally.violated(|| lost_increment(history, key, owed, read, *value, sum));
            }
        }
    }
}

#[derive(Default)]
struct Counter {
    falls: bool,
    increments: Vec<(TxnId, i64)>,
    finals: Vec<(TxnId, i64)>,
}

fn lost_increment(
    history: &History,
    key: KeyId,
    owed: &[(TxnId, i64)],
    read: Txn<'_>,
    value: i64,
    sum: i64,
) -> Anomaly {
    let last =
        owed.iter().map(|(txn, _)| history.txn(*txn).returned_at()).max().unwrap_or(Nanos(0));
    let sentence = format!(
        "{} acknowledged increments add up to {sum} for {} by {last}, but the final read #{} shows {value}",
        owed.len(),
        key_name(history, key),
        read.index(),
    );
    // As few increments as already exceed what was read, the largest first.
    let mut largest = owed.to_vec();
    largest.sort_by_key(|(_, by)| std::cmp::Reverse(*by));
    let (mut operations, mut total) = (vec![read.id], 0);
    for (txn, by) in largest {
        if total > value {
            break;
        }
        total = by.saturating_add(total);
        operations.push(txn);
    }
    operations.sort_unstable();
    anomaly("lost-increment", key, operations, Vec::new(), sentence)
}

fn anomaly(
    kind: &'static str,
    key: KeyId,
    operations: Vec<TxnId>,
    cycle: Vec<Step>,
    sentence: String,
) -> Anomaly {
    Anomaly {
        property: Property::Lus,
        kind,
        set: vec![Property::Lus],
        key: Some(key),
        session: None,
        operations,
        cycle,
        assumes: Vec::new(),
        sentence,
    }
}
