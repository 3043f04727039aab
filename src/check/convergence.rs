//! Convergence after quiescence: EC (ANOMALIES section 5).

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::words::{key_name, shown, shown_at};
use crate::check::writers::{Writers, observed, reads_value};
use crate::check::{Anomaly, Limits, Property, Verdict};
use crate::history::{Datatype, History, KeyId, NodeId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind, Nanos};

/// Judges whether the final reads of every key agree at all nodes, and on something that was written.
///
/// Nodes that differ have diverged only if each gave its answer in two rounds, the second after the
/// first, if two of them held different answers at the same time, and if nobody wrote any more: what
/// still moves is undecided. Where a read names no node, its process stands for one. The reason of a
/// verdict that holds tells when the nodes agreed. `None` if nothing in the history can be read.
/// O(n log n).
pub fn check(history: &History, limits: &Limits) -> Option<Verdict> {
    if !history.txns().flat_map(Txn::accesses).any(|access| answers(access.function)) {
        return None;
    }
    let finals = Finals::new(history);
    if finals.keys.is_empty() {
        return Some(Verdict::unknown(Property::Ec, "no final reads in this history"));
    }
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let (mut anomalies, mut open, mut count, mut since) = (Vec::new(), Vec::new(), 0, Nanos(0));
    for (key, places) in &finals.keys {
        let judge = Judge { history, writers: &writers, key: *key, places };
        match judge.outcome(finals.written[key.index()]) {
            Outcome::Agreed(by) => since = since.max(by),
            Outcome::Open(reason) => open.push(reason),
            Outcome::Violated(anomaly) => {
                count += 1;
                if anomalies.len() < limits.anomalies.max(1) {
                    anomalies.push(*anomaly);
                }
            }
        }
    }
    if count > 0 {
        return Some(Verdict { count, ..Verdict::invalid(Property::Ec, anomalies) });
    }
    if let Some(first) = open.first() {
        let more = match open.len() {
            1 => String::new(),
            n => format!(" (and so for {} other keys)", n - 1),
        };
        return Some(Verdict::unknown(Property::Ec, format!("{first}{more}")));
    }
    let quiet = quiet_since(history);
    let reason = format!(
        "every node agreed by {since}, {} after the last write and the last heal",
        since - quiet
    );
    Some(Verdict { reason: Some(reason), ..Verdict::valid(Property::Ec) })
}

/// Whether the value of such an access is a node's answer for what a key holds.
fn answers(function: Function) -> bool {
    matches!(function, Function::Read | Function::Level | Function::Get)
}

/// When the last acknowledged write had returned and the last fault was healed.
fn quiet_since(history: &History) -> Nanos {
    let written =
        history.txns().filter(|txn| txn.is_ok() && txn.writes()).map(Txn::returned_at).max();
    let healed =
        history.faults().iter().map(|fault| fault.end).filter(|end| *end != Nanos::FOREVER).max();
    written.max(healed).unwrap_or(Nanos(0))
}

/// Who answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Node(NodeId),
    Process(u32),
}

impl Place {
    fn name(self, history: &History) -> String {
        match self {
            Self::Node(node) => history.nodes()[node.index()].to_string(),
            Self::Process(process) => format!("process {process}"),
        }
    }
}

/// The answers of each place, in order of invocation.
type Places<'h> = BTreeMap<Place, Vec<(Txn<'h>, ValueId)>>;

/// The final reads of a history.
struct Finals<'h> {
    keys: BTreeMap<KeyId, Places<'h>>,
    /// When the last acknowledged write of each key returned.
    written: Vec<Option<Rank>>,
}

impl<'h> Finals<'h> {
    fn new(history: &'h History) -> Self {
        let mut finals = Self { keys: BTreeMap::new(), written: vec![None; history.key_count()] };
        // Sets that hold the same are the same, in whatever order they were told.
        let mut sets: FxHashMap<Vec<ValueId>, ValueId> = FxHashMap::default();
        let mut asked: FxHashSet<KeyId> = FxHashSet::default();
        for txn in history.txns().filter(|txn| txn.is_ok()) {
            asked.clear();
            for access in txn.accesses() {
                if !answers(access.function) {
                    let last = &mut finals.written[access.key.index()];
                    *last = (*last).max(Some(txn.returned()));
                } else if txn.is_final() && asked.insert(access.key) {
                    let mut answer = access.value;
                    let datatype = history.datatype(access.key);
                    if matches!(datatype, Datatype::Set | Datatype::MultiValue)
                        && history.values().is_list(answer)
                    {
                        let mut elements = history.values().elements(answer);
                        elements.sort_unstable();
                        answer = *sets.entry(elements).or_insert(answer);
                    }
                    let place = match txn.node() {
                        Some(node) => Place::Node(node),
                        None => Place::Process(txn.process().0),
                    };
                    let places = finals.keys.entry(access.key).or_default();
                    places.entry(place).or_default().push((txn, answer));
                }
            }
        }
        finals
    }
}

enum Outcome {
    /// All agree, and were seen to by this time.
    Agreed(Nanos),
    /// It cannot be told, for this reason.
    Open(String),
    Violated(Box<Anomaly>),
}

/// What one place held at the end: its last two reads and their answer.
#[derive(Clone, Copy)]
struct Held<'h> {
    place: Place,
    rounds: [Txn<'h>; 2],
    answer: ValueId,
}

struct Judge<'j, 'h> {
    history: &'h History,
    writers: &'j Writers,
    key: KeyId,
    places: &'j Places<'h>,
}

impl<'h> Judge<'_, 'h> {
    fn outcome(&self, written: Option<Rank>) -> Outcome {
        let mut last = self.places.values().filter_map(|reads| reads.last());
        let Some((_, answer)) = last.next() else { return Outcome::Open(String::new()) };
        if last.all(|(_, other)| other == answer) {
            self.agreed(*answer)
        } else {
            self.differ(written)
        }
    }

    fn key_name(&self) -> String {
        key_name(self.history, self.key)
    }

    fn agreed(&self, answer: ValueId) -> Outcome {
        if let Some(anomaly) = self.unexplained() {
            return Outcome::Violated(Box::new(anomaly));
        }
        let name = self.key_name();
        if let [place] = self.places.keys().collect::<Vec<_>>()[..] {
            let place = place.name(self.history);
            return Outcome::Open(format!("all final reads of {name} were answered by {place}"));
        }
        let is_node = |place: &Place| matches!(place, Place::Node(_));
        let silent = (0..self.history.nodes().len() as u32)
            .map(NodeId)
            .find(|node| !self.places.contains_key(&Place::Node(*node)));
        if let Some(silent) = silent.filter(|_| self.places.keys().all(is_node)) {
            let node = &self.history.nodes()[silent.index()];
            return Outcome::Open(format!("no final read of {name} was answered by {node}"));
        }
        // The last run of reads that show the answer begins when the place had converged.
        let run = |reads: &Vec<(Txn<'h>, ValueId)>| {
            let run = reads.iter().rev().take_while(|(_, one)| *one == answer);
            run.last().map_or(Nanos(0), |(read, _)| read.returned_at())
        };
        Outcome::Agreed(self.places.values().map(run).max().unwrap_or(Nanos(0)))
    }

    fn differ(&self, written: Option<Rank>) -> Outcome {
        let name = self.key_name();
        let mut held = Vec::new();
        for (place, reads) in self.places {
            match reads[..] {
                [.., (first, one), (second, other)] if one == other && first.precedes(second) => {
                    held.push(Held { place: *place, rounds: [first, second], answer: one });
                }
                [_] => {
                    let place = place.name(self.history);
                    return Outcome::Open(format!(
                        "the final reads of {name} differ, but {place} answered only one round of them"
                    ));
                }
                _ => {
                    let place = place.name(self.history);
                    return Outcome::Open(format!(
                        "the final reads of {name} differ, but {place} still moved between the last \
                         two rounds: not converged yet, wait longer"
                    ));
                }
            }
        }
        let all = held.len();
        held.retain(|one| written.is_none_or(|written| written < one.rounds[0].invoked()));
        let quiet = held.len() == all;
        match at_one_time(held) {
            Some((one, other)) => Outcome::Violated(Box::new(self.diverged(one, other))),
            None if quiet => Outcome::Open(format!(
                "the final reads of {name} differ, but no two nodes were read in the same rounds"
            )),
            None => Outcome::Open(format!(
                "the final reads of {name} differ, but it was still written to while they were taken"
            )),
        }
    }

    fn diverged(&self, one: Held<'h>, other: Held<'h>) -> Anomaly {
        let history = self.history;
        let [first, second] = [one, other].map(|held| {
            let [before, after] = held.rounds.map(Txn::index);
            let (place, value) =
                (held.place.name(history), shown_at(history, self.key, held.answer));
            format!("{place} holds {value} (#{before}, #{after})")
        });
        let waited = one.rounds[1].invoked_at().max(other.rounds[1].invoked_at());
        let sentence = format!(
            "{first} for {} and {second}{}, both unchanged over two rounds of final reads, {} after the \
             last write and the last heal",
            self.key_name(),
            self.parting(one.answer, other.answer),
            waited - quiet_since(history),
        );
        let mut operations: Vec<TxnId> =
            [one, other].iter().flat_map(|held| held.rounds).map(|read| read.id).collect();
        operations.extend(self.writes_of_difference(one, other));
        self.anomaly("divergence", operations, sentence)
    }

    /// Where two lists part: what is shown of long ones may look the same.
    fn parting(&self, one: ValueId, other: ValueId) -> String {
        if self.history.datatype(self.key) != Datatype::List {
            return String::new();
        }
        let values = self.history.values();
        let (one, other) = (values.elements(one), values.elements(other));
        let common = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
        if common == 0 {
            return String::new();
        }
        let differ = |list: &[ValueId]| {
            list.get(common).map_or("nothing".to_owned(), |element| shown(self.history, *element))
        };
        format!(
            " (after {common} common elements one has {} where the other has {})",
            differ(&one),
            differ(&other)
        )
    }

    /// Some writes of what one has and the other has not.
    fn writes_of_difference(&self, one: Held<'h>, other: Held<'h>) -> Vec<TxnId> {
        const TOLD: usize = 2;
        let values = |held: Held<'h>| -> Vec<ValueId> {
            let read = held.rounds[1].accesses().find(|access| access.key == self.key);
            let read = read.filter(|access| reads_value(self.history, *access));
            read.map_or_else(Vec::new, |access| observed(self.history, access))
        };
        let (one, other) = (values(one), values(other));
        let only = |these: &[ValueId], those: &[ValueId]| {
            let those: FxHashSet<ValueId> = those.iter().copied().collect();
            let lacking = these.iter().filter(|value| !those.contains(value));
            lacking.filter_map(|value| self.writers.first(self.key, *value)).take(TOLD).collect()
        };
        let mut writes: Vec<TxnId> = only(&one, &other);
        writes.extend(only(&other, &one));
        writes
    }

    /// What all agree on, but nobody can have written.
    fn unexplained(&self) -> Option<Anomaly> {
        let reads: Vec<Txn<'h>> =
            self.places.values().filter_map(|reads| reads.last()).map(|(read, _)| *read).collect();
        let access = reads.first()?.accesses().find(|access| access.key == self.key)?;
        if !reads_value(self.history, access) {
            return None;
        }
        let tried = |value: &ValueId| -> Vec<Txn<'h>> {
            self.writers.all(self.key, *value).map(|txn| self.history.txn(txn)).collect()
        };
        let failed = |value: &ValueId| tried(value).iter().all(|txn| txn.kind() == Kind::Fail);
        let value = observed(self.history, access).into_iter().find(failed)?;
        let writes = tried(&value);
        let why = if writes.is_empty() { "nobody ever wrote" } else { "only failed writes wrote" };
        let sentence = format!(
            "after quiescence every final read of {} shows {}, which {why}",
            self.key_name(),
            shown_at(self.history, self.key, value),
        );
        let operations = reads.iter().chain(&writes).map(|txn| txn.id).collect();
        Some(self.anomaly("unexplained-agreement", operations, sentence))
    }

    fn anomaly(&self, kind: &'static str, mut operations: Vec<TxnId>, sentence: String) -> Anomaly {
        operations.sort_unstable();
        operations.dedup();
        Anomaly {
            property: Property::Ec,
            kind,
            set: vec![Property::Ec],
            key: Some(self.key),
            session: None,
            operations,
            cycle: Vec::new(),
            assumes: Vec::new(),
            sentence,
        }
    }
}

/// Two places that held different answers at the same time: each gave its first before the other was
/// asked again.
fn at_one_time(mut held: Vec<Held<'_>>) -> Option<(Held<'_>, Held<'_>)> {
    held.sort_by_key(|one| one.rounds[0].returned());
    // The place that held its answer longest so far, and the longest with another answer.
    let (mut longest, mut rival): (Option<Held<'_>>, Option<Held<'_>>) = (None, None);
    for one in held {
        let meets = |other: &Held<'_>| {
            other.answer != one.answer && one.rounds[0].precedes(other.rounds[1])
        };
        if let Some(other) = longest.filter(meets).or(rival.filter(meets)) {
            return Some((other, one));
        }
        let lasts = |other: Held<'_>| one.rounds[1].invoked() > other.rounds[1].invoked();
        if longest.is_none_or(lasts) {
            if longest.is_some_and(|other| other.answer != one.answer) {
                rival = longest;
            }
            longest = Some(one);
        } else if longest.is_some_and(|other| other.answer != one.answer) && rival.is_none_or(lasts)
        {
            rival = Some(one);
        }
    }
    None
}
