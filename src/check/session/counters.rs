//! Session guarantees of counters: bounds only, for a counter does not say whose increments it shows.

use std::collections::BTreeMap;

use crate::check::words::{deed, key_name, session_name};
use crate::check::{Anomaly, Edge, Property, Step};
use crate::history::{Datatype, History, KeyId, Txn, TxnId};
use crate::model::{Function, Kind};

/// What can be said of the counters of a history.
#[derive(Default)]
pub(super) struct Counters {
    /// Whether any counter was read.
    pub(super) has_reads: bool,
    /// Violations of monotonic reads and of read your writes; one a session and key at most.
    pub(super) anomalies: Vec<Anomaly>,
}

/// What was tried on a counter.
#[derive(Clone, Copy, Default)]
struct Tried {
    /// A negative increment, failed attempts included.
    fell: bool,
    /// A negative increment that may have taken effect.
    may_have_fallen: bool,
    /// Any increment, to show that it is a counter.
    example: Option<TxnId>,
}

/// What a session knows of a counter.
#[derive(Default)]
struct Known {
    greatest: Option<(i64, TxnId)>,
    own: i64,
    own_txns: Vec<TxnId>,
    reported: [bool; 2],
}

/// A counter that is only incremented never falls within a session (MR), and shows at least the
/// session's own acknowledged increments (RYW). O(operations on counters).
pub(super) fn counters(history: &History) -> Counters {
    let mut found = Counters::default();
    let is_counter = |key: KeyId| history.datatype(key) == Datatype::Counter;
    if !history.keys().any(is_counter) {
        return found;
    }
    let mut tried = vec![Tried::default(); history.key_count()];
    for txn in history.txns() {
        for access in txn
            .accesses()
            .filter(|one| one.function == Function::Increment || one.function == Function::Add)
        {
            let by = history.values().int(access.value).unwrap_or(0);
            let tried = &mut tried[access.key.index()];
            tried.fell |= by < 0;
            tried.may_have_fallen |= by < 0 && txn.kind() != Kind::Fail;
            if by >= 0 && txn.is_ok() {
                tried.example = tried.example.or(Some(txn.id));
            }
        }
    }
    let sessions = history.by_session();
    for session in 0..history.session_count() as u32 {
        let mut known: BTreeMap<KeyId, Known> = BTreeMap::new();
        let mut returned = 0;
        for txn in sessions.group(session).iter().map(|txn| history.txn(*txn)) {
            // A session whose operations overlap has no order.
            if txn.is_ok() && txn.invoked().0 < returned && history.has_real_time() {
                break;
            }
            if txn.is_ok() {
                returned = txn.returned().0;
                judge(history, &tried, txn, &mut known, &mut found);
            }
        }
    }
    found
}

fn judge(
    history: &History,
    tried: &[Tried],
    txn: Txn<'_>,
    known: &mut BTreeMap<KeyId, Known>,
    found: &mut Counters,
) {
    for access in txn.accesses().filter(|one| history.datatype(one.key) == Datatype::Counter) {
        let (key, known) = (access.key, known.entry(access.key).or_default());
        let tried = tried[key.index()];
        let Some(value) = history.values().int(access.value) else { continue };
        if access.function != Function::Read {
            if value > 0 {
                known.own = known.own.saturating_add(value);
                known.own_txns.push(txn.id);
            }
            continue;
        }
        found.has_reads = true;
        if let Some((before, earlier)) =
            known.greatest.filter(|(before, _)| !tried.fell && value < *before)
            && !std::mem::replace(&mut known.reported[0], true)
        {
            found.anomalies.push(fell(history, key, (before, earlier), txn, value, tried.example));
        }
        if !tried.may_have_fallen
            && value < known.own
            && !std::mem::replace(&mut known.reported[1], true)
        {
            found.anomalies.push(own_missing(history, key, known, txn));
        }
        if known.greatest.is_none_or(|(before, _)| value > before) {
            known.greatest = Some((value, txn.id));
        }
    }
}

fn fell(
    history: &History,
    key: KeyId,
    (before, earlier): (i64, TxnId),
    read: Txn<'_>,
    value: i64,
    example: Option<TxnId>,
) -> Anomaly {
    let first = history.txn(earlier);
    let sentence = format!(
        "{} {} and then {}, but {} was only ever incremented: the value fell from {before} to {value}",
        session_name(history, read),
        deed(history, first, Some(key)),
        deed(history, read, Some(key)),
        key_name(history, key),
    );
    let cycle = vec![
        step(first, read, Edge::So, "one session, in this order".to_owned()),
        step(read, first, Edge::Rw, format!("{value} is an earlier state than {before}")),
    ];
    let mut operations = vec![earlier, read.id];
    operations.extend(example);
    Anomaly::of(Property::Mr, "counter-fell", key, read, operations, cycle, sentence)
}

fn own_missing(history: &History, key: KeyId, known: &Known, read: Txn<'_>) -> Anomaly {
    let sentence = format!(
        "{} added {} to {} in all and then {}: an own increment is missing",
        session_name(history, read),
        known.own,
        key_name(history, key),
        deed(history, read, Some(key)),
    );
    let mut operations = known.own_txns.clone();
    operations.push(read.id);
    let cycle = match known.own_txns.last() {
        Some(last) => {
            let last = history.txn(*last);
            vec![
                step(last, read, Edge::So, "one session, in this order".to_owned()),
                step(
                    read,
                    last,
                    Edge::Rw,
                    "the value is too small to hold every own increment".to_owned(),
                ),
            ]
        }
        None => Vec::new(),
    };
    Anomaly::of(Property::Ryw, "own-write-missing", key, read, operations, cycle, sentence)
}

fn step(from: Txn<'_>, to: Txn<'_>, edge: Edge, why: String) -> Step {
    Step { from: from.id, to: to.id, edge, why }
}
