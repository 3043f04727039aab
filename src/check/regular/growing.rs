//! Regularity of lists and sets that only grow, whose elements tell which writes a read saw.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::Anomaly;
use crate::check::incompatible_order::{longest, prefixes};
use crate::check::regular::{Completed, Object, hidden_cycle};
use crate::check::tally::Tally;
use crate::check::words::{deed, read_phrase, shown};
use crate::history::{Datatype, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

impl<'h> Object<'h> {
    /// Lists and sets that only grow. A read puts the writes it saw before it, in order if it is
    /// a list, and all others after it; that must not contradict real time.
    pub(super) fn growing(&self, tally: &mut Tally) {
        let is_list = self.history.datatype(self.key) == Datatype::List;
        let all = || self.txns.iter().map(|id| self.history.txn(*id));
        let adds = || all().filter(|txn| txn.kind() != Kind::Fail && self.written(*txn).is_some());
        let completed = Completed::new(self.history, adds());
        let mut by_return: Vec<Txn<'h>> = adds().filter(|txn| txn.is_ok()).collect();
        by_return.sort_unstable_by_key(|txn| txn.returned());
        let mut growing = Growing::new(self, is_list);
        let reads: Vec<(Txn<'h>, ValueId)> = all()
            .filter(|txn| txn.is_ok())
            .filter_map(|txn| Some((txn, txn.accesses().find(|one| one.key == self.key)?)))
            .filter(|(_, one)| one.function == Function::Read && one.value != ValueId::UNKNOWN)
            .map(|(txn, one)| (txn, one.value))
            .collect();
        // How far into the longest list each write returned so far is; a prefix of it lacks none of
        // them if it is as long as the furthest.
        let lists: Vec<ValueId> = reads.iter().map(|(_, list)| *list).collect();
        let line = longest(self.history, &lists).filter(|_| is_list).map(|at| lists[at]);
        let line = line.map(|list| Line::new(self, list, &by_return));
        for (read, list) in &reads {
            tally.judged();
            if !self.history.values().is_list(*list) {
                tally.doubt(|| format!("#{} read no list", read.index()));
                continue;
            }
            if let Some(flaw) = growing.flaw(*read, *list, line.as_ref(), &by_return, &completed) {
                tally.violated(|| growing.anomaly(*read, *list, flaw));
            }
        }
    }
}

/// The longest list of an object, and the writes by return.
struct Line {
    depth: FxHashMap<ValueId, u32>,
    /// The greatest place in the longest list among the first so many returned writes.
    furthest: Vec<u32>,
}

impl Line {
    fn new(object: &Object<'_>, list: ValueId, by_return: &[Txn<'_>]) -> Self {
        let values = object.history.values();
        let mut all: Vec<ValueId> = prefixes(object.history, list).into_iter().collect();
        all.sort_unstable();
        let depth = (0..).zip(all).map(|(depth, list)| (list, depth)).collect();
        let mut place: FxHashMap<ValueId, u32> = FxHashMap::default();
        for (at, element) in (1..).zip(values.elements(list)) {
            place.entry(element).or_insert(at);
        }
        let mut furthest = vec![0];
        for txn in by_return {
            let at = object.written(*txn).and_then(|element| place.get(&element).copied());
            furthest.push(at.unwrap_or(u32::MAX).max(furthest[furthest.len() - 1]));
        }
        Self { depth, furthest }
    }
}

/// Why a read of a list or set is not regular.
#[derive(Clone, Copy)]
enum Flaw<'h> {
    /// This element came from nowhere.
    Nowhere(ValueId),
    /// The second was seen, or came before what was seen, and the first returned before it began.
    Missed(Txn<'h>, Txn<'h>),
    /// The second stands after the first in the list, but returned before that began.
    Order(Txn<'h>, Txn<'h>),
    /// This element is in the list twice, though appended once.
    Twice(ValueId),
}

/// What is known of a prefix of a list.
#[derive(Clone, Copy)]
struct Prefix<'h> {
    /// The write that was invoked last.
    last: Option<Txn<'h>>,
    /// Its first contradiction to real time.
    order: Option<(Txn<'h>, Txn<'h>)>,
    /// An element without a write.
    nowhere: Option<ValueId>,
    /// An element of a list that is in it twice.
    twice: Option<ValueId>,
}

struct Growing<'o, 'h> {
    object: &'o Object<'h>,
    is_list: bool,
    seen: FxHashMap<ValueId, Prefix<'h>>,
    /// The elements of all these lists.
    elements: FxHashSet<ValueId>,
}

impl<'o, 'h> Growing<'o, 'h> {
    fn new(object: &'o Object<'h>, is_list: bool) -> Self {
        let (seen, elements) = (FxHashMap::default(), FxHashSet::default());
        Self { object, is_list, seen, elements }
    }

    /// The write of an element that began first.
    fn writer(&self, element: ValueId) -> Option<Txn<'h>> {
        let object = self.object;
        let writers = object.writers.all(object.key, element).map(|id| object.history.txn(id));
        writers.filter(|txn| txn.kind() != Kind::Fail).min_by_key(|txn| txn.invoked())
    }

    /// What is known of a list, prefix by prefix; each is looked at once.
    fn prefix(&mut self, list: ValueId) -> Prefix<'h> {
        let values = self.object.history.values();
        let mut steps = Vec::new();
        let mut at = list;
        let mut known = loop {
            if let Some(known) = self.seen.get(&at) {
                break *known;
            }
            let Some((shorter, element)) = values.split(at) else {
                break Prefix { last: None, order: None, nowhere: None, twice: None };
            };
            steps.push((at, element));
            at = shorter;
        };
        for (list, element) in steps.into_iter().rev() {
            match self.writer(element) {
                None => known.nowhere = known.nowhere.or(Some(element)),
                Some(write) => {
                    if let Some(last) = known.last.filter(|last| write.precedes(*last)) {
                        known.order = known.order.or(Some((last, write)));
                    }
                    let later = |last: &Txn<'h>| last.invoked() > write.invoked();
                    known.last = known.last.filter(later).or(Some(write));
                }
            }
            // Two lists that contradict each other, or one that has it twice.
            if !self.elements.insert(element) && known.twice.is_none() {
                let again = values.backwards(list).skip(1).any(|other| other == element);
                known.twice = again.then_some(element);
            }
            self.seen.insert(list, known);
        }
        known
    }

    fn flaw(
        &mut self,
        read: Txn<'h>,
        list: ValueId,
        line: Option<&Line>,
        by_return: &[Txn<'h>],
        completed: &Completed,
    ) -> Option<Flaw<'h>> {
        let known = self.prefix(list);
        if let Some(element) = known.nowhere {
            return Some(Flaw::Nowhere(element));
        }
        if let Some(element) = known.twice.filter(|_| self.is_list) {
            return Some(Flaw::Twice(element));
        }
        if let Some((first, second)) = known.order.filter(|_| self.is_list) {
            return Some(Flaw::Order(first, second));
        }
        if let Some(last) = known.last.filter(|last| read.precedes(*last)) {
            return Some(Flaw::Order(last, read));
        }
        let latest = match known.last {
            Some(last) if last.invoked() > read.invoked() => last,
            _ => read,
        };
        let returned = completed.before(latest.invoked());
        if let Some(line) = line
            && let Some(depth) = line.depth.get(&list)
            && line.furthest[returned] <= *depth
        {
            return None;
        }
        let seen: FxHashSet<ValueId> = self.object.history.values().backwards(list).collect();
        let missed = by_return[..returned]
            .iter()
            .find(|txn| self.object.written(**txn).is_none_or(|element| !seen.contains(&element)));
        missed.map(|missed| Flaw::Missed(*missed, latest))
    }

    fn anomaly(&self, read: Txn<'h>, list: ValueId, flaw: Flaw<'h>) -> Anomaly {
        let (object, history) = (self.object, self.object.history);
        let phrase = read_phrase(history, read, object.key);
        let name = |txn: Txn<'_>| deed(history, txn, Some(object.key));
        // Without the writers of what it saw, the read would be out of thin air.
        let elements = history.values().elements(list);
        let mut operations: Vec<TxnId> = elements
            .iter()
            .flat_map(|element| object.writers.all(object.key, *element))
            .chain([read.id])
            .collect();
        match flaw {
            Flaw::Nowhere(element) => {
                let writes: Vec<Txn<'h>> =
                    object.writers.all(object.key, element).map(|id| history.txn(id)).collect();
                let mut anomaly = object.thin_or_future(read, element, &writes);
                anomaly.operations.extend(operations);
                anomaly.operations.sort_unstable();
                anomaly.operations.dedup();
                anomaly
            }
            Flaw::Twice(element) => {
                let sentence =
                    format!("{phrase}: {} twice, appended once", shown(history, element));
                object.anomaly("duplicate-element", operations, Vec::new(), sentence)
            }
            Flaw::Missed(missed, latest) if latest.id == read.id => {
                operations.push(missed.id);
                let why = format!("#{} does not show #{}", read.index(), missed.index());
                let gap = read.invoked_at() - missed.returned_at();
                let sentence = format!(
                    "{phrase} although {} had been acknowledged {gap} before the read began",
                    name(missed)
                );
                let cycle = hidden_cycle(read, missed, why);
                object.anomaly("stale-read", operations, cycle, sentence)
            }
            Flaw::Missed(missed, latest) => {
                operations.push(missed.id);
                let sentence = format!(
                    "{phrase}, which shows {} but not {}, acknowledged before that began",
                    name(latest),
                    name(missed)
                );
                object.anomaly("stale-read", operations, Vec::new(), sentence)
            }
            Flaw::Order(later, earlier) if earlier.id == read.id => {
                let sentence = format!("{phrase}, but {} began only after that", name(later));
                object.anomaly("future-read", operations, Vec::new(), sentence)
            }
            Flaw::Order(first, second) => {
                let sentence = format!(
                    "{phrase}, but {} was acknowledged before {} began",
                    name(second),
                    name(first)
                );
                object.anomaly("order-against-time", operations, Vec::new(), sentence)
            }
        }
    }
}
