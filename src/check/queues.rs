//! What goes wrong with the elements of queues, stacks and priority queues: Q-LOST, Q-DUP, Q-ORD,
//! Q-UNEXP and Q-EMPTY (ANOMALIES section 7; the bad patterns of Henzinger, Sezgin and Vafeiadis,
//! "Aspect-Oriented Linearizability Proofs", CONCUR 2013).
//!
//! An indeterminate put may have put its element in; an indeterminate take may have taken any one
//! element. Values that are put in more than once are judged as far as counting goes.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use crate::check::losses::Judged;
use crate::check::words::{key_name, moment, place, shown};
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::history::{Datatype, History, KeyId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// The verdicts on lost, duplicated, reordered and unexpected elements and on false empties; none
/// if there is no queue, stack or priority queue, and none on the order if there is no queue.
///
/// `Verdict::count` counts elements, and for Q-EMPTY answers. O(n log n).
pub fn check(history: &History, limits: &Limits) -> Vec<Verdict> {
    let by_key = history.by_key();
    let keys: Vec<KeyId> = history.keys().filter(|key| is_container(history, *key)).collect();
    if keys.is_empty() {
        return Vec::new();
    }
    let mut verdicts = [
        Gathering::new(Property::QLost, "no element was ever surely put into a queue"),
        Gathering::new(Property::QDup, "nothing ever came out of a queue"),
        Gathering::new(Property::QOrd, "no two elements came out of one queue"),
        Gathering::new(Property::QUnexp, "nothing ever came out of a queue"),
        Gathering::new(Property::QEmpty, "no queue was ever found empty"),
    ];
    for key in &keys {
        let container = Container::new(history, *key, by_key.group(key.0));
        let [lost, twice, order, unexpected, empty] = &mut verdicts;
        container.lost(lost, limits);
        container.twice(twice, limits);
        container.unexpected(unexpected, limits);
        container.falsely_empty(empty, limits);
        if history.datatype(*key) == Datatype::Queue {
            container.reordered(order, limits);
        }
    }
    let is_queue = keys.iter().any(|key| history.datatype(*key) == Datatype::Queue);
    let asked = verdicts.into_iter().filter(|one| one.property != Property::QOrd || is_queue);
    asked.map(|gathering| gathering.verdict(limits)).collect()
}

/// Every acknowledged put of a value into what was drained afterwards, and whether its element never
/// came out. Values put in more than once and containers with indeterminate takes are left out: there
/// it is known how many are lost, but not which.
pub(super) fn judged(history: &History) -> Judged {
    let by_key = history.by_key();
    let mut judged = Vec::new();
    for key in history.keys().filter(|key| is_container(history, *key)) {
        let container = Container::new(history, key, by_key.group(key.0));
        let drains = container.empties.iter().map(|id| container.txn(*id));
        let drains = drains.filter(|txn| txn.is_final() && txn.function() != Function::Peek);
        let Some(last) = drains.map(Txn::invoked).max() else { continue };
        if !container.loose.is_empty() {
            continue;
        }
        let put_once = container.elements.iter().filter(|element| {
            element.puts == 1 && element.acknowledged == 1 && element.put_returned < last
        });
        judged.extend(put_once.filter_map(|one| Some((one.put?, one.missing() > 0))));
    }
    judged
}

fn is_container(history: &History, key: KeyId) -> bool {
    matches!(history.datatype(key), Datatype::Queue | Datatype::Stack | Datatype::PriorityQueue)
}

/// What has been found out about a property.
struct Gathering {
    property: Property,
    /// What it means if nothing was there to be judged.
    silence: &'static str,
    was_judged: bool,
    doubt: Option<String>,
    anomalies: Vec<Anomaly>,
    count: u64,
}

impl Gathering {
    fn new(property: Property, silence: &'static str) -> Self {
        Self { property, silence, was_judged: false, doubt: None, anomalies: Vec::new(), count: 0 }
    }

    /// Counts a violation; makes the proof only if it will be kept.
    fn find(&mut self, limits: &Limits, anomaly: impl FnOnce() -> Anomaly) {
        self.count += 1;
        if self.anomalies.len() < limits.anomalies.max(1) {
            self.anomalies.push(anomaly());
        }
    }

    fn verdict(mut self, limits: &Limits) -> Verdict {
        self.anomalies.truncate(limits.anomalies.max(1));
        match (self.count, self.doubt) {
            (1.., reason) => {
                let count = self.count;
                Verdict { reason, count, ..Verdict::invalid(self.property, self.anomalies) }
            }
            (0, Some(doubt)) => Verdict::unknown(self.property, doubt),
            (0, None) if !self.was_judged => Verdict::unknown(self.property, self.silence),
            (0, None) => Verdict::valid(self.property),
        }
    }
}

/// All that is known of one value.
#[derive(Clone, Copy)]
struct Element {
    value: ValueId,
    /// How many puts may have happened, and how many surely did.
    puts: u32,
    acknowledged: u32,
    /// The first put that may have happened; else one that failed.
    put: Option<TxnId>,
    failed: Option<TxnId>,
    /// When the last put that surely happened returned.
    put_returned: Rank,
    takes: u32,
    /// The first take, by invocation.
    take: Option<TxnId>,
}

/// One queue, stack or priority queue.
struct Container<'h> {
    history: &'h History,
    key: KeyId,
    txns: &'h [TxnId],
    elements: Vec<Element>,
    /// Every take that returned a value, with the number of its element.
    takes: Vec<(TxnId, u32)>,
    /// Every answer that there is nothing.
    empties: Vec<TxnId>,
    /// Takes that may have taken anything.
    loose: Vec<TxnId>,
}

impl<'h> Container<'h> {
    fn new(history: &'h History, key: KeyId, txns: &'h [TxnId]) -> Self {
        let (mut elements, mut takes) = (Vec::new(), Vec::new());
        let (mut empties, mut loose) = (Vec::new(), Vec::new());
        let mut numbers: FxHashMap<ValueId, u32> = FxHashMap::default();
        let mut number = |value: ValueId, elements: &mut Vec<Element>| {
            *numbers.entry(value).or_insert_with(|| {
                elements.push(Element::new(value));
                elements.len() as u32 - 1
            })
        };
        for id in txns {
            let txn = history.txn(*id);
            for access in txn.accesses().filter(|access| access.key == key) {
                let is_put = is_put(access.function);
                if is_put && access.value != ValueId::UNKNOWN {
                    let at = number(access.value, &mut elements);
                    elements[at as usize].put(txn);
                }
                if is_put || txn.kind() == Kind::Fail {
                    continue;
                }
                let is_known = txn.is_ok() && access.value != ValueId::UNKNOWN;
                match access.function {
                    Function::Peek if txn.is_ok() && access.value == ValueId::NULL => {
                        empties.push(*id);
                    }
                    Function::Peek => {}
                    _ if !is_known => loose.push(*id),
                    _ if access.value == ValueId::NULL => empties.push(*id),
                    _ => {
                        let at = number(access.value, &mut elements);
                        let element = &mut elements[at as usize];
                        element.takes += 1;
                        element.take.get_or_insert(*id);
                        takes.push((*id, at));
                    }
                }
            }
        }
        Self { history, key, txns, elements, takes, empties, loose }
    }

    /// Q-LOST: more elements are missing after the queue was drained than indeterminate takes can
    /// have taken.
    fn lost(&self, found: &mut Gathering, limits: &Limits) {
        found.was_judged |= self.elements.iter().any(|element| element.acknowledged > 0);
        let mut missing: Vec<&Element> =
            self.elements.iter().filter(|element| element.missing() > 0).collect();
        missing.sort_by_key(|element| element.put_returned);
        let mut is_drained = missing.is_empty();
        for drain in self.empties.iter().map(|id| self.txn(*id)) {
            if !drain.is_final() || drain.function() == Function::Peek {
                continue;
            }
            let before = missing.partition_point(|one| one.put_returned < drain.invoked());
            is_drained |= before == missing.len();
            let gone = &missing[..before];
            let loose: Vec<TxnId> = (self.loose.iter().copied())
                .filter(|take| self.txn(*take).invoked() < drain.returned())
                .collect();
            let lost: u64 = gone.iter().map(|element| u64::from(element.missing())).sum();
            if lost <= loose.len() as u64 {
                continue;
            }
            if loose.is_empty() {
                for element in gone {
                    found.find(limits, || self.never_came_out(&[element], &loose, drain));
                }
            } else {
                // One more than the indeterminate takes can explain.
                let mut sum = 0;
                let enough = gone.iter().position(|element| {
                    sum += element.missing() as usize;
                    sum > loose.len()
                });
                let some = &gone[..enough.map_or(gone.len(), |at| at + 1)];
                found.find(limits, || self.never_came_out(some, &loose, drain));
                found.count += lost - loose.len() as u64 - 1;
            }
            return;
        }
        if !is_drained && found.doubt.is_none() {
            found.doubt = Some(format!(
                "{} elements never came out of {}, and no final take found it empty",
                missing.len(),
                key_name(self.history, self.key)
            ));
        }
    }

    fn never_came_out(&self, lost: &[&Element], loose: &[TxnId], drain: Txn<'h>) -> Anomaly {
        let mut operations: BTreeSet<TxnId> =
            lost.iter().flat_map(|element| self.on(element)).collect();
        operations.extend(loose.iter().copied().chain([drain.id]));
        let name = key_name(self.history, self.key);
        let values: Vec<String> = lost.iter().map(|element| self.shown(element)).collect();
        let more = match loose.len() {
            0 => String::new(),
            1 => ", though only one indeterminate take may have taken one of them".to_owned(),
            few => format!(", though only {few} indeterminate takes may have taken some of them"),
        };
        let sentence = format!(
            "{} had been put into {name} for certain, but never came out before it was drained (#{} found it empty at {}){more}",
            values.join(", "),
            drain.index(),
            drain.invoked_at()
        );
        let cycle = match lost {
            [element] if loose.is_empty() => self.contradiction(element, drain),
            _ => Vec::new(),
        };
        self.anomaly(Property::QLost, "lost-message", operations, cycle, sentence)
    }

    /// Q-DUP: an element came out more often than it can have been put in.
    fn twice(&self, found: &mut Gathering, limits: &Limits) {
        found.was_judged |= !self.takes.is_empty();
        for element in self.elements.iter().filter(|one| one.takes > one.puts.max(1)) {
            found.find(limits, || {
                let takes: Vec<String> = self.takes_of(element).map(|txn| moment(txn)).collect();
                let sentence = format!(
                    "{} was taken from {} {} times ({}), but put in {}",
                    self.shown(element),
                    key_name(self.history, self.key),
                    element.takes,
                    takes.join(", "),
                    match element.puts {
                        0 => "never".to_owned(),
                        1 => "only once".to_owned(),
                        puts => format!("only {puts} times"),
                    }
                );
                let operations = self.on(element).collect();
                let cycle = Vec::new();
                self.anomaly(Property::QDup, "duplicate-delivery", operations, cycle, sentence)
            });
        }
    }

    /// Q-UNEXP: an element came out that nobody had put in.
    fn unexpected(&self, found: &mut Gathering, limits: &Limits) {
        found.was_judged |= !self.takes.is_empty();
        for (take, at) in &self.takes {
            let (take, element) = (self.txn(*take), &self.elements[*at as usize]);
            let (came, put) = match (element.put, element.failed) {
                (Some(put), _) if take.precedes(self.txn(put)) => {
                    let put = self.txn(put);
                    (format!("before #{} tried to put it in", put.index()), Some(put))
                }
                (Some(_), _) => continue,
                (None, Some(put)) => {
                    let put = self.txn(put);
                    let only = "but the only attempt to put it in";
                    (format!("{only} (#{}) certainly failed", put.index()), Some(put))
                }
                (None, None) => ("but nobody ever tried to put it in".to_owned(), None),
            };
            found.find(limits, || {
                let sentence = format!(
                    "{} came out of {}{} at {} (#{}), {came}",
                    self.shown(element),
                    key_name(self.history, self.key),
                    place(self.history, take),
                    take.invoked_at(),
                    take.index()
                );
                let operations = put.iter().map(|put| put.id).chain([take.id]).collect();
                let cycle = match put {
                    Some(put) if put.kind() != Kind::Fail => vec![
                        real_time(take, put),
                        step(put, Edge::Wr, take, format!("#{} took its element", take.index())),
                    ],
                    _ => Vec::new(),
                };
                self.anomaly(Property::QUnexp, "unexpected-message", operations, cycle, sentence)
            });
        }
    }

    /// Q-ORD: an element came out after one that was put in later.
    fn reordered(&self, found: &mut Gathering, limits: &Limits) {
        // In order of the calls that put them in, with the one that came out first of those after.
        let mut elements: Vec<(Txn<'h>, Txn<'h>, &Element)> = (self.elements.iter())
            .filter(|element| element.puts == 1 && element.takes == 1)
            .filter_map(|one| Some((self.txn(one.put?), self.txn(one.take?), one)))
            .collect();
        found.was_judged |= elements.len() > 1;
        elements.sort_by_key(|(put, ..)| put.invoked());
        let mut soonest: Vec<u32> = (0..elements.len() as u32).collect();
        let returned = |at: u32| elements[at as usize].1.returned();
        for at in (1..elements.len()).rev() {
            if returned(soonest[at]) < returned(at as u32 - 1) {
                soonest[at - 1] = soonest[at];
            }
        }
        for (put, take, element) in &elements {
            let later = elements.partition_point(|(other, ..)| other.invoked() < put.returned());
            let Some(first) = soonest.get(later) else { continue };
            let (second_put, second_take, second) = elements[*first as usize];
            if !second_take.precedes(*take) {
                continue;
            }
            found.find(limits, || {
                let (one, other) = (self.shown(element), self.shown(second));
                let sentence = format!(
                    "{one} was put into {} (#{}) before {other} was (#{}), but {other} came out first ({}, {})",
                    key_name(self.history, self.key),
                    put.index(),
                    second_put.index(),
                    moment(second_take),
                    moment(*take)
                );
                let why = format!("{one} was put in before {other} and is to come out before it");
                let cycle =
                    vec![real_time(second_take, *take), step(*take, Edge::Ww, second_take, why)];
                let txns = [put, take, &second_put, &second_take];
                let operations = txns.into_iter().map(|txn| txn.id).collect();
                self.anomaly(Property::QOrd, "reordered", operations, cycle, sentence)
            });
        }
    }

    /// Q-EMPTY: nothing was found while something was inside all the time, since it came out later.
    fn falsely_empty(&self, found: &mut Gathering, limits: &Limits) {
        found.was_judged |= !self.empties.is_empty();
        let mut inside: Vec<(Rank, Rank, &Element)> = (self.elements.iter())
            .filter(|element| element.puts == 1 && element.acknowledged == 1)
            .filter_map(|one| Some((one.put_returned, self.txn(one.take?).invoked(), one)))
            .collect();
        inside.sort_by_key(|(from, ..)| *from);
        for at in 1..inside.len() {
            if inside[at - 1].1 > inside[at].1 {
                (inside[at].1, inside[at].2) = (inside[at - 1].1, inside[at - 1].2);
            }
        }
        for empty in self.empties.iter().map(|id| self.txn(*id)) {
            let before = inside.partition_point(|(from, ..)| *from < empty.invoked());
            let Some((_, to, element)) = before.checked_sub(1).map(|at| inside[at]) else {
                continue;
            };
            if to < empty.returned() {
                continue;
            }
            found.find(limits, || {
                let takes: Vec<String> = self.takes_of(element).map(|txn| moment(txn)).collect();
                let sentence = format!(
                    "{}{} was found empty at {} (#{}), though {} was inside: it was put in before and taken out after ({})",
                    key_name(self.history, self.key),
                    place(self.history, empty),
                    empty.invoked_at(),
                    empty.index(),
                    self.shown(element),
                    takes.join(", ")
                );
                let operations = self.on(element).chain([empty.id]).collect();
                let cycle = self.contradiction(element, empty);
                self.anomaly(Property::QEmpty, "false-empty", operations, cycle, sentence)
            });
        }
    }

    /// An element was put in before nothing was found.
    fn contradiction(&self, element: &Element, empty: Txn<'h>) -> Vec<Step> {
        let Some(put) = element.put.map(|put| self.txn(put)) else { return Vec::new() };
        let why = format!("#{} found nothing", empty.index());
        vec![real_time(put, empty), step(empty, Edge::Rw, put, why)]
    }

    fn txn(&self, id: TxnId) -> Txn<'h> {
        self.history.txn(id)
    }

    fn shown(&self, element: &Element) -> String {
        shown(self.history, element.value)
    }

    fn takes_of(&self, element: &Element) -> impl Iterator<Item = Txn<'h>> {
        let wanted =
            move |one: &&(TxnId, u32)| self.elements[one.1 as usize].value == element.value;
        self.takes.iter().filter(wanted).map(|(take, _)| self.txn(*take))
    }

    /// Everything that may have been done to an element.
    fn on(&self, element: &Element) -> impl Iterator<Item = TxnId> {
        let (history, key, value) = (self.history, self.key, element.value);
        self.txns.iter().copied().filter(move |id| {
            let txn = history.txn(*id);
            txn.kind() != Kind::Fail
                && txn.accesses().any(|access| access.key == key && access.value == value)
        })
    }

    fn anomaly(
        &self,
        property: Property,
        kind: &'static str,
        operations: BTreeSet<TxnId>,
        cycle: Vec<Step>,
        sentence: String,
    ) -> Anomaly {
        Anomaly {
            property,
            kind,
            set: vec![property],
            key: Some(self.key),
            session: None,
            operations: operations.into_iter().collect(),
            cycle,
            assumes: Vec::new(),
            sentence,
        }
    }
}

impl Element {
    fn new(value: ValueId) -> Self {
        Self {
            value,
            puts: 0,
            acknowledged: 0,
            put: None,
            failed: None,
            put_returned: Rank(0),
            takes: 0,
            take: None,
        }
    }

    fn put(&mut self, txn: Txn<'_>) {
        if txn.kind() == Kind::Fail {
            self.failed.get_or_insert(txn.id);
            return;
        }
        self.puts += 1;
        self.put.get_or_insert(txn.id);
        if txn.is_ok() {
            self.acknowledged += 1;
            self.put_returned = self.put_returned.max(txn.returned());
        }
    }

    /// How often it was surely put in and not seen to come out.
    fn missing(&self) -> u32 {
        self.acknowledged.saturating_sub(self.takes)
    }
}

fn is_put(function: Function) -> bool {
    matches!(function, Function::Enqueue | Function::Push | Function::Insert)
}

fn real_time(from: Txn<'_>, to: Txn<'_>) -> Step {
    let why = format!("#{} returned before #{} was invoked", from.index(), to.index());
    step(from, Edge::Rt, to, why)
}

fn step(from: Txn<'_>, edge: Edge, to: Txn<'_>, why: String) -> Step {
    Step { from: from.id, to: to.id, edge, why }
}
