//! Duplicated effects and ids: DUPEL (ANOMALIES section 6), DUPID and falling ids, IDREG (section 7).

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::check::tally::Tally;
use crate::check::words::{key_name, place, read_phrase, session_name, shown};
use crate::check::writers::Writers;
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::history::{Datatype, History, KeyId, Txn, TxnId, ValueId, Values};
use crate::model::{Function, Kind};

/// Judges whether every element of a list or set that was read is there as often as it can be: once
/// for each append that did not fail, and once in a set.
///
/// `None` if no list or set was read. O(n + all distinct lists read).
pub fn elements(history: &History, limits: &Limits) -> Option<Verdict> {
    let mut tally = Tally::new(Property::Dupel, limits);
    let mut writers = None;
    let mut repeats = None;
    let mut told: BTreeSet<(KeyId, ValueId)> = BTreeSet::new();
    for txn in history.txns().filter(|txn| txn.is_ok()) {
        for access in txn.accesses() {
            let datatype = history.datatype(access.key);
            let is_read = access.function == Function::Read
                && matches!(datatype, Datatype::List | Datatype::Set)
                && history.values().is_list(access.value);
            if !is_read {
                continue;
            }
            tally.judged();
            let repeats = repeats.get_or_insert_with(|| repeats_of(history.values()));
            for (element, times) in repeated(history.values(), repeats, access.value) {
                let writers = writers
                    .get_or_insert_with(|| Writers::new(history, history.txns().map(|txn| txn.id)));
                let writes: Vec<TxnId> = writers
                    .all(access.key, element)
                    .filter(|txn| history.txn(*txn).kind() != Kind::Fail)
                    .collect();
                let most = if datatype == Datatype::Set { 1 } else { writes.len() };
                if times > most && told.insert((access.key, element)) {
                    tally.violated(|| doubled(history, txn, access.key, element, times, &writes));
                }
            }
        }
    }
    tally.is_of_something().then(|| tally.verdict("no reads of lists or sets"))
}

/// For each list, by its number: its longest prefix, itself included, whose last element is there a
/// second time; `NULL` if there is none, and for what is no list.
fn repeats_of(values: &Values) -> Vec<ValueId> {
    // The lists that extend each list by one element.
    let mut starts = vec![0_u32; values.len() + 1];
    for (_, prefix, _) in values.lists() {
        starts[prefix.index() + 1] += 1;
    }
    for at in 0..values.len() {
        starts[at + 1] += starts[at];
    }
    let mut next = starts.clone();
    let mut longer = vec![(ValueId::NULL, ValueId::NULL); starts[values.len()] as usize];
    for (list, prefix, last) in values.lists() {
        let place = &mut next[prefix.index()];
        longer[*place as usize] = (list, last);
        *place += 1;
    }
    let mut repeats = vec![ValueId::NULL; values.len()];
    // How often each element is on the way from the empty list to the one looked at.
    let mut times = vec![0_u32; values.len()];
    let mut stack = vec![(ValueId::EMPTY, None, starts[ValueId::EMPTY.index()])];
    while let Some((list, last, at)) = stack.last_mut() {
        if *at < starts[list.index() + 1] {
            let (longer, element) = longer[*at as usize];
            *at += 1;
            let inherited = repeats[list.index()];
            times[element.index()] += 1;
            let is_repeat = times[element.index()] > 1;
            repeats[longer.index()] = if is_repeat { longer } else { inherited };
            stack.push((longer, Some(element), starts[longer.index()]));
        } else {
            if let Some(element) = *last {
                times[element.index()] -= 1;
            }
            stack.pop();
        }
    }
    repeats
}

/// The elements that a list holds more than once, and how often.
fn repeated(values: &Values, repeats: &[ValueId], list: ValueId) -> BTreeMap<ValueId, usize> {
    let mut times = BTreeMap::new();
    let mut at = list;
    while let Some((prefix, last)) = values.split(repeats[at.index()]) {
        *times.entry(last).or_insert(1) += 1;
        at = prefix;
    }
    times
}

fn doubled(
    history: &History,
    read: Txn<'_>,
    key: KeyId,
    element: ValueId,
    times: usize,
    writes: &[TxnId],
) -> Anomaly {
    let tried = match writes {
        [] => "nobody added".to_owned(),
        [one] => format!("#{} added once", history.txn(*one).index()),
        many => format!("was added {} times", many.len()),
    };
    let sentence = format!(
        "{}: {} is there {times} times, which {tried}; an effect was applied again (a blind retry, or a \
         log applied twice)",
        read_phrase(history, read, key),
        shown(history, element),
    );
    let mut operations = writes.to_vec();
    operations.push(read.id);
    Anomaly::of(Property::Dupel, "duplicate-element", key, read, operations, Vec::new(), sentence)
}

/// Judges whether every id was handed out once.
///
/// An id of unknown outcome is no id: gaps are legal. `None` if no id was asked for. O(n).
pub fn ids(history: &History, limits: &Limits) -> Option<Verdict> {
    if !history.txns().flat_map(Txn::accesses).any(|one| one.function == Function::NewId) {
        return None;
    }
    let mut tally = Tally::new(Property::Dupid, limits);
    let mut owners: FxHashMap<(KeyId, ValueId), TxnId> = FxHashMap::default();
    for (key, txn, id) in handed_out(history) {
        tally.judged();
        match owners.get(&(key, id)) {
            Some(first) => {
                let first = history.txn(*first);
                tally.violated(|| handed_twice(history, key, id, [first, txn]));
            }
            None => {
                owners.insert((key, id), txn.id);
            }
        }
    }
    Some(tally.verdict("no id was handed out for certain"))
}

/// Every id that was handed out for certain, in order of invocation.
fn handed_out(history: &History) -> impl Iterator<Item = (KeyId, Txn<'_>, ValueId)> {
    history.txns().filter(|txn| txn.is_ok()).flat_map(|txn| {
        let ids = txn.accesses().filter(|access| {
            access.function == Function::NewId
                && !matches!(access.value, ValueId::NULL | ValueId::UNKNOWN)
        });
        ids.map(move |access| (access.key, txn, access.value))
    })
}

/// Judges whether every id is greater than each that was handed out before it was asked for.
///
/// Few stores promise that, so it is a failure only where it is expected. An id that equals one
/// handed out before is for [`ids`]; ids that are no integers are not compared. `None` if no id was
/// handed out. O(n log n).
pub fn rising_ids(history: &History, limits: &Limits) -> Option<Verdict> {
    let mut keys: BTreeMap<KeyId, Vec<(Txn<'_>, i64)>> = BTreeMap::new();
    let mut tally = Tally::new(Property::Idreg, limits);
    for (key, txn, id) in handed_out(history) {
        match history.values().int(id) {
            Some(id) => keys.entry(key).or_default().push((txn, id)),
            None => tally.doubt(|| "ids that are no integers are not compared".to_owned()),
        }
    }
    for (key, ids) in &keys {
        let mut returns: Vec<(Txn<'_>, i64)> = ids.clone();
        returns.sort_unstable_by_key(|(txn, _)| txn.returned());
        let mut returned = returns.into_iter().peekable();
        let mut greatest: Option<(i64, Txn<'_>)> = None;
        for (txn, id) in ids {
            tally.judged();
            while let Some((before, id)) = returned.next_if(|(one, _)| one.precedes(*txn)) {
                if greatest.is_none_or(|(most, _)| most < id) {
                    greatest = Some((id, before));
                }
            }
            if let Some((most, before)) = greatest.filter(|(most, _)| most > id) {
                tally.violated(|| fallen_id(history, *key, (before, most), (*txn, *id)));
            }
        }
    }
    tally.is_of_something().then(|| tally.verdict("no ids were handed out"))
}

fn fallen_id(
    history: &History,
    key: KeyId,
    (before, greater): (Txn<'_>, i64),
    (after, lower): (Txn<'_>, i64),
) -> Anomaly {
    let sentence = format!(
        "{} handed out id {lower} to {} (#{}{}, asked for at {}) after {} had got id {greater} (#{}{}, {}): \
         ids run backwards",
        key_name(history, key),
        session_name(history, after),
        after.index(),
        place(history, after),
        after.invoked_at(),
        session_name(history, before),
        before.index(),
        place(history, before),
        before.returned_at(),
    );
    let step = |from: Txn<'_>, to: Txn<'_>, edge, why| Step { from: from.id, to: to.id, edge, why };
    let (one, other) = (before.index(), after.index());
    let cycle = vec![
        step(before, after, Edge::Rt, format!("#{one} returned before #{other} was invoked")),
        step(after, before, Edge::Ww, format!("id {lower} is below id {greater}")),
    ];
    let operations = vec![before.id, after.id];
    Anomaly::of(Property::Idreg, "falling-id", key, after, operations, cycle, sentence)
}

fn handed_twice(history: &History, key: KeyId, id: ValueId, [one, other]: [Txn<'_>; 2]) -> Anomaly {
    let id = shown(history, id);
    let whose = |txn: Txn<'_>| {
        let session = session_name(history, txn);
        format!("{session} (#{}{}, {})", txn.index(), place(history, txn), txn.returned_at())
    };
    let sentence = format!(
        "{} handed out id {id} to {} and again to {}",
        key_name(history, key),
        whose(one),
        whose(other)
    );
    let step = |from: Txn<'_>, to: Txn<'_>| Step {
        from: from.id,
        to: to.id,
        edge: Edge::Rw,
        why: format!("#{} took {id}, which #{} must have found free", to.index(), from.index()),
    };
    let cycle = vec![step(one, other), step(other, one)];
    let operations = vec![one.id, other.id];
    Anomaly::of(Property::Dupid, "duplicate-id", key, other, operations, cycle, sentence)
}
