//! Regularity with many writers (REG): Lamport, "On interprocess communication", 1986, in the form
//! MWR-weak of Shao, Welch, Pierce and Lee, "Multiwriter consistency conditions for shared memory
//! registers", 2011. Each read by itself, together with all writes, is linearizable.
//!
//! ```text
//!   |-- write 1 --|   |-- write 2 --|
//!                                       |-- read 1 --|    2 hides 1: not regular
//! ```
//!
//! An update counts as a blind write for every read but its own.

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::incompatible_order::{longest, prefixes};
use crate::check::linear::{self, effect::effect};
use crate::check::single_objects::has_mixed_operations;
use crate::check::tally::Tally;
use crate::check::words::{deed, key_name, read_phrase, session_name, shown};
use crate::check::writers::{Writers, writes_value};
use crate::check::{Anomaly, Edge, Limits, Property, Status, Step, Verdict};
use crate::history::{Access, Datatype, History, KeyId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// Whether every read of a register, a list, a set or a counter is regular; `None` where there is no
/// such object.
///
/// Registers take O(n log n); values written more than once are no hindrance, because a read is
/// regular if any write of its value explains it. Lists take O(n log n) as long as their reads are
/// compatible; what contradicts the longest read, and sets, O(elements read) more.
/// Objects without recognisable writes are searched, read by read, if the history is small.
pub fn check(history: &History, limits: &Limits) -> Option<Verdict> {
    use Datatype as D;
    let known = |key: &KeyId| {
        matches!(history.datatype(*key), D::Register | D::List | D::Set | D::Counter | D::Text)
    };
    let keys: Vec<KeyId> = history.keys().filter(known).collect();
    if keys.is_empty() {
        return None;
    }
    let by_key = history.by_key();
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let judged: Vec<Tally> = keys
        .par_iter()
        .map(|key| {
            let txns = by_key.group(key.0);
            Object { history, limits, writers: &writers, key: *key, txns }.judge()
        })
        .collect();
    let mut tally = Tally::new(Property::Reg, limits);
    for one in judged {
        tally.join(one);
    }
    snapshots(history, limits, &mut tally);
    Some(tally.verdict("no reads of registers, lists, sets or counters in this history"))
}

/// Reads of several keys at once: each key explains its part by itself, but one order of the writes
/// has to explain all parts. The definition itself decides, if that is affordable.
fn snapshots(history: &History, limits: &Limits, tally: &mut Tally) {
    let several = |txn: &Txn<'_>| {
        let mut keys = txn.accesses().filter(|one| one.function == Function::Read);
        let first = keys.next().map(|one| one.key);
        txn.is_ok() && keys.any(|one| Some(one.key) != first)
    };
    let snapshots: Vec<Txn<'_>> = history.txns().filter(several).collect();
    if snapshots.is_empty() || tally.is_violated() {
        return;
    }
    if has_mixed_operations(history) {
        tally
            .doubt(|| "there are reads of several keys, and operations that read and write".into());
        return;
    }
    if snapshots.len() * history.len() > MOST {
        tally.doubt(|| "there are too many reads of several keys for a search".into());
        return;
    }
    let limits = Limits { anomalies: 1, ..limits.clone() };
    let writes = history.txns().filter(|txn| txn.writes());
    let writes: Vec<TxnId> = writes.map(|txn| txn.id).collect();
    for read in snapshots {
        let mut members = [&writes[..], &[read.id]].concat();
        members.sort_unstable();
        let mut verdict = linear::check(&history.subset(&members), &limits);
        match verdict.status {
            Status::Valid => tally.judged(),
            Status::Unknown => tally.doubt(|| verdict.reason.unwrap_or_default()),
            Status::Invalid => tally.violated(|| {
                // The members are numbered anew in a history of their own.
                let proof = verdict.anomalies.pop().map(|one| one.operations);
                let proof = proof.map(|all| all.iter().map(|id| members[id.index()]).collect());
                let mut operations: Vec<TxnId> = proof.unwrap_or_else(|| writes.clone());
                operations.push(read.id);
                operations.sort_unstable();
                operations.dedup();
                let sentence = format!(
                    "{} {}, which no order of the writes explains",
                    session_name(history, read),
                    deed(history, read, None)
                );
                Anomaly {
                    property: Property::Reg,
                    kind: "irregular-read",
                    set: vec![Property::Reg],
                    key: None,
                    session: None,
                    operations,
                    cycle: Vec::new(),
                    assumes: Vec::new(),
                    sentence,
                }
            }),
        }
    }
}

/// How many operations a search for every read may look at.
const MOST: usize = 100_000;

struct Object<'h> {
    history: &'h History,
    limits: &'h Limits,
    writers: &'h Writers,
    key: KeyId,
    /// In order of invocation.
    txns: &'h [TxnId],
}

/// The acknowledged writes by return, each with the latest invocation so far.
struct Completed {
    returned: Vec<Rank>,
    latest: Vec<TxnId>,
}

impl Completed {
    fn new<'h>(history: &'h History, writes: impl Iterator<Item = Txn<'h>>) -> Self {
        let mut all: Vec<(Rank, TxnId)> =
            writes.filter(|txn| txn.is_ok()).map(|txn| (txn.returned(), txn.id)).collect();
        all.sort_unstable();
        let mut completed = Self {
            returned: all.iter().map(|(returned, _)| *returned).collect(),
            latest: Vec::with_capacity(all.len()),
        };
        for (_, id) in all {
            let last = completed.latest.last().copied();
            let later = |last: &TxnId| history.txn(*last).invoked() > history.txn(id).invoked();
            completed.latest.push(last.filter(later).unwrap_or(id));
        }
        completed
    }

    /// How many returned before this instant.
    fn before(&self, at: Rank) -> usize {
        self.returned.partition_point(|returned| *returned < at)
    }
}

impl<'h> Object<'h> {
    fn judge(&self) -> Tally {
        let mut tally = Tally::new(Property::Reg, self.limits);
        let datatype = self.history.datatype(self.key);
        let all = || self.txns.iter().map(|id| self.history.txn(*id));
        let kept = |txn: &Txn<'_>| txn.kind() != Kind::Fail;
        let mine = |txn: Txn<'h>| txn.accesses().filter(|access| access.key == self.key);
        let reads = |txn: &Txn<'h>| {
            txn.is_ok()
                && mine(*txn)
                    .any(|one| one.function == Function::Read && one.value != ValueId::UNKNOWN)
        };
        if !all().any(|txn| reads(&txn)) {
            return tally;
        }
        if !all().any(|txn| self.written(txn).is_some()) {
            // A register that nobody wrote may have held anything; nothing is always regular.
            let nothing = [ValueId::NULL, ValueId::EMPTY, ValueId::UNKNOWN];
            if all().filter(reads).flat_map(mine).all(|one| nothing.contains(&one.value)) {
                tally.judged();
            } else {
                tally.doubt(|| format!("nobody ever wrote to {}", self.name()));
            }
            return tally;
        }
        let recognisable = all().filter(kept).flat_map(mine).all(|one| {
            one.value != ValueId::UNKNOWN && writes_value(self.history, one)
                || one.function == Function::Read
        });
        let unique = |one: &Access| {
            let all = self.writers.all(self.key, one.value).map(|id| self.history.txn(id));
            all.filter(kept).count() <= 1
        };
        let growing = |txn: Txn<'h>| {
            let is_set = datatype == Datatype::Set;
            mine(txn).count() == 1
                && mine(txn).all(|one| is_set || one.function == Function::Read || unique(&one))
        };
        match datatype {
            Datatype::Register if recognisable => self.register(&mut tally),
            Datatype::List | Datatype::Set if recognisable && all().filter(kept).all(growing) => {
                self.growing(&mut tally);
            }
            _ => self.searched(&mut tally, all().filter(reads)),
        }
        tally
    }

    /// What an operation wrote to the key; the first of it, where it wrote several times.
    fn written(&self, txn: Txn<'_>) -> Option<ValueId> {
        let is_write = |one: &Access| one.key == self.key && one.function != Function::Read;
        txn.accesses().find(is_write).map(|one| one.value)
    }

    /// Whether an operation that wrote `value` to this register did not write over it itself.
    fn leaves(&self, txn: Txn<'_>, value: ValueId) -> bool {
        effect(txn, self.key).is_none_or(|effect| effect.new == Some(value))
    }

    fn name(&self) -> String {
        key_name(self.history, self.key)
    }

    fn register(&self, tally: &mut Tally) {
        let effects = self.txns.iter().filter_map(|id| {
            let txn = self.history.txn(*id);
            Some((txn, effect(txn, self.key)?))
        });
        let writes = effects.clone().filter(|(_, effect)| effect.new.is_some()).map(|one| one.0);
        let completed = Completed::new(self.history, writes);
        for (read, effect) in effects.filter(|(txn, _)| txn.is_ok()) {
            let Some(value) = effect.old else { continue };
            tally.judged();
            if value == ValueId::UNKNOWN {
                tally.doubt(|| format!("#{} contradicts itself", read.index()));
                continue;
            }
            let hiding = completed.before(read.invoked()).checked_sub(1);
            let hiding = hiding.map(|at| self.history.txn(completed.latest[at]));
            let mut writes = self
                .writers
                .all(self.key, value)
                .map(|id| self.history.txn(id))
                .filter(|txn| txn.kind() != Kind::Fail && txn.id != read.id)
                .filter(|txn| self.leaves(*txn, value));
            let hidden = |write: Txn<'_>| hiding.is_some_and(|hiding| write.precedes(hiding));
            let explained = value == ValueId::NULL && hiding.is_none()
                || writes.any(|write| !read.precedes(write) && !hidden(write));
            if !explained {
                tally.violated(|| self.unexplained(read, value, hiding));
            }
        }
    }

    /// A read that no write of its value explains.
    fn unexplained(&self, read: Txn<'h>, value: ValueId, hiding: Option<Txn<'h>>) -> Anomaly {
        let all = self.writers.all(self.key, value).map(|id| self.history.txn(id));
        let (writes, over): (Vec<Txn<'h>>, Vec<Txn<'h>>) =
            all.filter(|txn| txn.id != read.id).partition(|txn| self.leaves(*txn, value));
        if let Some(write) = over.first().filter(|_| writes.is_empty() && value != ValueId::NULL) {
            let operations = over.iter().map(|txn| txn.id).chain([read.id]).collect();
            let phrase = read_phrase(self.history, read, self.key);
            let sentence = format!("{phrase}, but #{} itself had written over it", write.index());
            return self.anomaly("intermediate-read", operations, Vec::new(), sentence);
        }
        let possible = |txn: &&Txn<'_>| txn.kind() != Kind::Fail && !read.precedes(**txn);
        let Some(hiding) =
            hiding.filter(|_| value == ValueId::NULL || writes.iter().any(|txn| possible(&txn)))
        else {
            return self.thin_or_future(read, value, &writes);
        };
        let mut operations: Vec<TxnId> = writes.iter().map(|txn| txn.id).collect();
        operations.extend([read.id, hiding.id]);
        let why = match writes.iter().find(possible) {
            Some(write) => format!(
                "#{} returned what #{} had written and returned before #{} began",
                read.index(),
                write.index(),
                hiding.index()
            ),
            None => format!("#{} returned what was there before any write", read.index()),
        };
        self.anomaly("stale-read", operations, hidden_cycle(read, hiding, why), {
            let gap = read.invoked_at() - hiding.returned_at();
            format!(
                "{} although a later write, {}, had been acknowledged {gap} before the read began",
                read_phrase(self.history, read, self.key),
                deed(self.history, hiding, Some(self.key)),
            )
        })
    }

    fn thin_or_future(&self, read: Txn<'h>, value: ValueId, writes: &[Txn<'h>]) -> Anomaly {
        let mut operations: Vec<TxnId> = writes.iter().map(|txn| txn.id).collect();
        operations.push(read.id);
        // Any write says that the object is one that is written.
        let writes_at_all = |id: &&TxnId| self.written(self.history.txn(**id)).is_some();
        if writes.is_empty() && self.written(read).is_none() {
            operations.extend(self.txns.iter().find(writes_at_all));
        }
        let (kind, what) = match writes.iter().find(|txn| txn.kind() != Kind::Fail) {
            Some(write) => {
                ("future-read", format!("#{} began to write only after that", write.index()))
            }
            None if writes.is_empty() => ("thin-air-read", "nobody ever wrote".to_owned()),
            None => ("aborted-read", "was written by failed operations only".to_owned()),
        };
        let phrase = read_phrase(self.history, read, self.key);
        let sentence = format!("{phrase}; {} {what}", shown(self.history, value));
        self.anomaly(kind, operations, Vec::new(), sentence)
    }

    fn anomaly(
        &self,
        kind: &'static str,
        mut operations: Vec<TxnId>,
        cycle: Vec<Step>,
        sentence: String,
    ) -> Anomaly {
        operations.sort_unstable();
        operations.dedup();
        Anomaly {
            property: Property::Reg,
            kind,
            set: vec![Property::Reg],
            key: Some(self.key),
            session: None,
            operations,
            cycle,
            assumes: Vec::new(),
            sentence,
        }
    }

    /// Objects without recognisable writes: the definition itself, if that is affordable.
    fn searched(&self, tally: &mut Tally, reads: impl Iterator<Item = Txn<'h>> + Clone) {
        let cost = reads.clone().count() * self.history.len();
        let writes = |id: &TxnId| self.history.txn(*id).writes();
        let all = || self.txns.iter().map(|id| self.history.txn(*id));
        let update = all().any(|txn| txn.kind() != Kind::Fail && txn.accesses().len() > 1);
        if update || cost > MOST {
            let what = self.history.datatype(self.key).name();
            return tally.doubt(|| {
                format!(
                    "the {what} {} is too long, or is updated in place, for a search",
                    self.name()
                )
            });
        }
        let limits = Limits { anomalies: 1, ..self.limits.clone() };
        for read in reads {
            let mut operations: Vec<TxnId> = self.txns.iter().copied().filter(writes).collect();
            operations.push(read.id);
            let verdict = linear::check(&self.history.subset(&operations), &limits);
            match verdict.status {
                Status::Valid => tally.judged(),
                Status::Unknown => tally.doubt(|| verdict.reason.unwrap_or_default()),
                Status::Invalid => tally.violated(|| {
                    let phrase = read_phrase(self.history, read, self.key);
                    let sentence = format!("{phrase}, which no order of the writes explains");
                    self.anomaly("irregular-read", operations, Vec::new(), sentence)
                }),
            }
        }
    }

    /// Lists and sets that only grow. A read puts the writes it saw before it, in order if it is
    /// a list, and all others after it; that must not contradict real time.
    fn growing(&self, tally: &mut Tally) {
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

/// A write that was acknowledged before a read began, and that the read does not reflect.
fn hidden_cycle(read: Txn<'_>, write: Txn<'_>, why: String) -> Vec<Step> {
    let acknowledged =
        format!("#{} was acknowledged before #{} began", write.index(), read.index());
    vec![
        Step { from: write.id, to: read.id, edge: Edge::Rt, why: acknowledged },
        Step { from: read.id, to: write.id, edge: Edge::Rw, why },
    ]
}
