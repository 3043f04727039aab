//! Anomalies of transactions that are no cycles: INT, G1b, DIRTY and LU (ANOMALIES section 8; Kingsbury
//! and Alvaro 2020).

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::tally::Tally;
use crate::check::transaction::explain::Explain;
use crate::check::transaction::{Committed, Order, Source};
use crate::check::words::{deed, key_name, session_name, shown};
use crate::check::writers::{Writers, reads_value, writes_value};
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::history::{Datatype, History, KeyId, Txn, TxnId, ValueId};
use crate::model::Kind;

/// Judges whether every successful transaction agrees with what it itself read and wrote before, and
/// sees nothing that it only writes later. O(accesses²) a transaction.
pub(super) fn internal(history: &History, writers: &Writers, limits: &Limits) -> Verdict {
    let mut tally = Tally::new(Property::Int, limits);
    let proof = |txn: Txn<'_>, (key, kind, sentence): Contradiction| {
        let deed = deed(history, txn, None);
        let whole = format!("{} {deed}: {sentence}", session_name(history, txn));
        Anomaly::of(Property::Int, kind, key, txn, vec![txn.id], Vec::new(), whole)
    };
    for txn in history.txns().filter(|txn| txn.is_ok()) {
        tally.judged();
        if let Some(found) = contradiction(history, writers, txn) {
            tally.violated(|| proof(txn, found));
        }
    }
    tally.verdict("no operation succeeded")
}

/// What a transaction knows of a key: the version it saw, if it saw one, and what it wrote since.
struct Own {
    key: KeyId,
    saw: Option<ValueId>,
    wrote: Vec<ValueId>,
}

/// Which key, what it is called, and what happened.
type Contradiction = (KeyId, &'static str, String);

/// The first read of a transaction that does not agree with the rest of it.
fn contradiction(history: &History, writers: &Writers, txn: Txn<'_>) -> Option<Contradiction> {
    let mut own: Vec<Own> = Vec::new();
    for (at, access) in txn.accesses().enumerate() {
        let key = access.key;
        let is_list = match history.datatype(key) {
            Datatype::List => true,
            Datatype::Register => false,
            _ => continue,
        };
        let place = own.iter().position(|one| one.key == key);
        if writes_value(history, access) {
            let place = place.unwrap_or(own.len());
            if place == own.len() {
                own.push(Own { key, saw: None, wrote: Vec::new() });
            }
            let known = &mut own[place];
            if !is_list {
                known.wrote.clear();
            }
            known.wrote.push(access.value);
            continue;
        }
        if !reads_value(history, access) {
            continue;
        }
        let (name, saw) = (key_name(history, key), shown(history, access.value));
        let later = txn.accesses().skip(at + 1).find(|write| {
            let is_seen = if is_list {
                history.values().backwards(access.value).any(|element| element == write.value)
            } else {
                write.value == access.value
            };
            // What was there at first may be read before it is written once more.
            write.key == key
                && writes_value(history, *write)
                && write.value != ValueId::NULL
                && is_seen
                && !writers.is_ambiguous(key, write.value)
                && !txn.accesses().take(at).any(|earlier| earlier == *write)
        });
        if let Some(write) = later {
            let value = shown(history, write.value);
            let sentence = format!("it read {name} = {saw} before it wrote that {value} itself");
            return Some((key, "future-read", sentence));
        }
        let Some(place) = place else {
            own.push(Own { key, saw: Some(access.value), wrote: Vec::new() });
            continue;
        };
        let known = &mut own[place];
        if !agrees(history, is_list, known, access.value) {
            if let Some(last) = known.wrote.last() {
                let wrote = shown(history, *last);
                let sentence = format!("it read {name} = {saw} after it had written {wrote}");
                return Some((key, "own-write-missed", sentence));
            }
            if let Some(before) = known.saw {
                let before = shown(history, before);
                let sentence = format!("it read {name} = {saw} after it had read {before}");
                return Some((key, "non-repeatable-read", sentence));
            }
        }
        known.saw = Some(access.value);
        known.wrote.clear();
    }
    None
}

fn agrees(history: &History, is_list: bool, own: &Own, read: ValueId) -> bool {
    if !is_list {
        return own.wrote.last().or(own.saw.as_ref()).is_none_or(|last| *last == read);
    }
    let mut at = read;
    for value in own.wrote.iter().rev() {
        match history.values().split(at) {
            Some((prefix, last)) if last == *value => at = prefix,
            _ => return false,
        }
    }
    own.saw.is_none_or(|saw| saw == at)
}

/// Judges whether somebody saw a value that its transaction wrote over again. O(accesses · |T|).
pub(super) fn intermediate(history: &History, writers: &Writers, limits: &Limits) -> Verdict {
    let mut tally = Tally::new(Property::G1b, limits);
    let mut seen: FxHashSet<(KeyId, ValueId)> = FxHashSet::default();
    for reader in history.txns().filter(|txn| txn.is_ok()) {
        tally.judged();
        for access in reader.accesses().filter(|access| reads_value(history, *access)) {
            let key = access.key;
            let value = match history.datatype(key) {
                Datatype::List => history.values().backwards(access.value).next(),
                Datatype::Register => Some(access.value).filter(|value| *value != ValueId::NULL),
                _ => None,
            };
            let Some(value) = value.filter(|value| !writers.is_ambiguous(key, *value)) else {
                continue;
            };
            let Some(writer) = writers.first(key, value).filter(|txn| *txn != reader.id) else {
                continue;
            };
            let writer = history.txn(writer);
            let writes =
                writer.accesses().filter(|one| one.key == key && writes_value(history, *one));
            let Some(last) = writes.last().filter(|last| last.value != value) else { continue };
            if !seen.insert((key, value)) {
                continue;
            }
            tally.violated(|| {
                let name = key_name(history, key);
                let why = format!(
                    "#{} read {name} = {} before #{} wrote {}",
                    reader.index(),
                    shown(history, access.value),
                    writer.index(),
                    shown(history, last.value)
                );
                let sentence = format!(
                    "{} {}, though #{} went on to write {}: an intermediate state",
                    session_name(history, reader),
                    deed(history, reader, Some(key)),
                    writer.index(),
                    shown(history, last.value)
                );
                let step = |from: Txn<'_>, to: Txn<'_>, edge, why| Step {
                    from: from.id,
                    to: to.id,
                    edge,
                    why,
                };
                let wrote = format!(
                    "#{} wrote the {} that #{} read",
                    writer.index(),
                    shown(history, value),
                    reader.index()
                );
                let cycle = vec![
                    step(writer, reader, Edge::Wr, wrote),
                    step(reader, writer, Edge::Rw, why),
                ];
                let both = vec![writer.id, reader.id];
                Anomaly::of(Property::G1b, "intermediate-read", key, reader, both, cycle, sentence)
            });
        }
    }
    tally.verdict("no operation succeeded")
}

/// Judges whether a committed append follows one that was aborted in a list that was read. O(length
/// of the longest lists).
pub(super) fn dirty_update(explain: &Explain<'_>, limits: &Limits) -> Verdict {
    let Explain { history, writers, committed, dependencies, .. } = *explain;
    let mut tally = Tally::new(Property::DirtyUpdate, limits);
    for (key, known) in history.keys().zip(&dependencies.keys) {
        if history.datatype(key) != Datatype::List || known.order == Order::Contradictory {
            continue;
        }
        tally.judged();
        let mut above: Option<TxnId> = None;
        for element in history.values().backwards(known.longest) {
            let Some(writer) = writers.first(key, element) else { continue };
            if writers.is_ambiguous(key, element) {
                continue;
            }
            if history.txn(writer).kind() != Kind::Fail {
                above = committed.txns.binary_search(&writer).is_ok().then_some(writer).or(above);
                continue;
            }
            let Some(above) = above else { continue };
            tally.violated(|| dirty(explain, key, element, writer, above));
        }
    }
    tally.verdict("no lists in this history")
}

fn dirty(
    explain: &Explain<'_>,
    key: KeyId,
    element: ValueId,
    aborted: TxnId,
    above: TxnId,
) -> Anomaly {
    let history = explain.history;
    let on_top = history.txn(above);
    let mut operations = vec![aborted, above];
    operations.extend(explain.reader_of_longest(key));
    let sentence = format!(
        "{} appended to {} after the {} of #{}, which was aborted, and committed",
        session_name(history, on_top),
        key_name(history, key),
        shown(history, element),
        history.txn(aborted).index()
    );
    let kind = "dirty-update";
    Anomaly::of(Property::DirtyUpdate, kind, key, on_top, operations, Vec::new(), sentence)
}

/// Judges whether two committed transactions read one version of a key and both wrote the key.
/// O(accesses).
pub(super) fn lost_update(
    history: &History,
    writers: &Writers,
    committed: &Committed,
    limits: &Limits,
) -> Verdict {
    let mut tally = Tally::new(Property::Lu, limits);
    let mut first: FxHashMap<(KeyId, ValueId), u32> = FxHashMap::default();
    for node in 0..committed.len() as u32 {
        for read in committed.reads(node) {
            tally.judged();
            if committed.final_write(node, read.key).is_none()
                || !is_one_version(history, writers, read.key, read.version)
            {
                continue;
            }
            let other = *first.entry((read.key, read.version)).or_insert(node);
            if other != node {
                tally.violated(|| {
                    let txn = |node: u32| history.txn(committed.txns[node as usize]);
                    let mut anomaly =
                        lost(history, read.key, read.version, [txn(other), txn(node)]);
                    // Whoever wrote what both had read shows that it is one version.
                    if let Source::Node(writer) = read.source {
                        anomaly.operations.push(txn(writer).id);
                        anomaly.operations.sort_unstable();
                        anomaly.operations.dedup();
                    }
                    anomaly
                });
            }
        }
    }
    tally.verdict("no transaction read a register or a list")
}

/// Whether whoever read a version certainly read the same one.
fn is_one_version(history: &History, writers: &Writers, key: KeyId, version: ValueId) -> bool {
    match history.datatype(key) {
        Datatype::Register if version == ValueId::NULL => {
            writers.first(key, ValueId::NULL).is_none()
        }
        Datatype::Register => !writers.is_ambiguous(key, version),
        // A list that grows is the same only once, whatever became of who appended to it last.
        Datatype::List => {
            let last = history.values().split(version).map(|(_, last)| last);
            last.is_none_or(|last| !writers.is_ambiguous(key, last))
        }
        _ => false,
    }
}

fn lost(history: &History, key: KeyId, version: ValueId, [one, other]: [Txn<'_>; 2]) -> Anomaly {
    let (name, saw) = (key_name(history, key), shown(history, version));
    let sentence = format!(
        "{} {} and {} {}, both committed and both starting from {name} = {saw}: one of the updates is lost",
        session_name(history, one),
        deed(history, one, Some(key)),
        session_name(history, other),
        deed(history, other, Some(key)),
    );
    let missed = |from: Txn<'_>, to: Txn<'_>| Step {
        from: from.id,
        to: to.id,
        edge: Edge::Rw,
        why: format!("#{} read {name} = {saw} without the write of #{}", from.index(), to.index()),
    };
    let cycle = vec![missed(one, other), missed(other, one)];
    let both = vec![one.id, other.id];
    Anomaly::of(Property::Lu, "lost-update", key, other, both, cycle, sentence)
}
