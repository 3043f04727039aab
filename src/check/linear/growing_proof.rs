//! Why a list or a set is not linearizable: the few operations that prove it, and a sentence.

use crate::check::Edge;
use crate::check::linear::chains::{Chains, Conflict};
use crate::check::linear::growing::{Seen, Stage};
use crate::check::linear::object::{Finding, Object, real_time, span, step};
use crate::history::{Txn, TxnId, ValueId};
use crate::model::Function;

/// The stages of a list or set as one chain: two layers a stage, the last without reads.
pub(super) struct Growth<'a> {
    pub(super) object: &'a Object<'a>,
    pub(super) chains: Chains,
    pub(super) stages: Vec<Stage>,
}

impl<'a> Growth<'a> {
    /// The proof of a conflict.
    pub(super) fn finding(&self, conflict: Conflict) -> Option<Finding> {
        let Conflict::Layers { earlier, later } = conflict else { return None };
        let early = self.object.txn(self.chains.layer(earlier).last_call.txn());
        let late = self.object.txn(self.chains.layer(later).first_return.txn());
        match (earlier % 2 == 1, later % 2 == 1) {
            (true, false) => self.missed_add(early, late, later / 2),
            (true, true) => self.missed_read(early, earlier / 2, late),
            (false, true) => self.future_read(early, earlier / 2, late),
            (false, false) => self.misordered(early, earlier / 2, late, later / 2),
        }
    }

    /// The element of a stage that `txn` added.
    fn added(&self, txn: Txn<'_>, stage: usize) -> Option<ValueId> {
        let key = self.object.key;
        let mut written =
            txn.accesses().filter(|one| one.key == key && one.function != Function::Read);
        written.find(|one| self.stages[stage].elements.contains(&one.value)).map(|one| one.value)
    }

    fn is_unseen(&self, stage: usize) -> bool {
        stage + 1 == self.stages.len()
    }

    /// `read` lacks what `add` had added before.
    fn missed_add(&self, read: Txn<'a>, add: Txn<'a>, stage: usize) -> Option<Finding> {
        let object = self.object;
        let (name, element) = (object.name(), object.shown(self.added(add, stage)?));
        let why = format!("#{} does not contain {element}", read.index());
        let cycle = vec![step(read, Edge::Rw, add, why), real_time(add, read)];
        let kind = if self.is_unseen(stage) { "lost-write" } else { "stale-read" };
        let never = if self.is_unseen(stage) { "; no read ever contained it" } else { "" };
        let sentence = format!(
            "{} answered {name} without {element} at {} although the addition of {element} (#{}) had been acknowledged {} earlier{never}",
            object.answerer(read),
            read.invoked_at(),
            add.index(),
            span(read.invoked_at() - add.returned_at())
        );
        Some(Finding { kind, operations: vec![add.id, read.id], cycle, sentence })
    }

    /// `read` lacks what `other` had read before.
    fn missed_read(&self, read: Txn<'a>, stage: usize, other: Txn<'a>) -> Option<Finding> {
        let object = self.object;
        let next = self.stages[stage + 1].elements.first()?;
        let (name, element, add) = (object.name(), object.shown(*next), self.adder(stage + 1)?);
        if add.precedes(read) {
            return self.missed_add(read, add, stage + 1);
        }
        let cycle = vec![
            step(read, Edge::Rw, add, format!("#{} does not contain {element}", read.index())),
            step(add, Edge::Wr, other, format!("#{} contains {element}", other.index())),
            real_time(other, read),
        ];
        let sentence = format!(
            "{} answered {name} without {element} at {} although a read (#{}) that contained {element} had returned {} earlier",
            object.answerer(read),
            read.invoked_at(),
            other.index(),
            span(read.invoked_at() - other.returned_at())
        );
        let operations = vec![add.id, read.id, other.id];
        Some(Finding { kind: "new-old-inversion", operations, cycle, sentence })
    }

    /// A possible add of the first element of a stage.
    fn adder(&self, stage: usize) -> Option<Txn<'a>> {
        let element = *self.stages[stage].elements.first()?;
        let mut accesses = self.object.accesses();
        accesses
            .find(|(_, one)| one.function != Function::Read && one.value == element)
            .map(|(txn, _)| txn)
    }

    /// `read` contains what `add` was yet to add.
    fn future_read(&self, add: Txn<'a>, stage: usize, read: Txn<'a>) -> Option<Finding> {
        let object = self.object;
        let element = object.shown(self.added(add, stage)?);
        let cycle = vec![
            step(add, Edge::Wr, read, format!("#{} contains {element}", read.index())),
            real_time(read, add),
        ];
        let sentence = format!(
            "{} answered {} with {element} {} before the addition of {element} (#{}) was even invoked",
            object.answerer(read),
            object.name(),
            span(add.invoked_at() - read.returned_at()),
            add.index()
        );
        Some(Finding { kind: "future-read", operations: vec![add.id, read.id], cycle, sentence })
    }

    /// `first` took effect before `second`, says a read, but `second` returned before `first` was
    /// invoked.
    fn misordered(
        &self,
        first: Txn<'a>,
        stage: usize,
        second: Txn<'a>,
        later: usize,
    ) -> Option<Finding> {
        let object = self.object;
        let one = object.shown(self.added(first, stage)?);
        let other = object.shown(self.added(second, later)?);
        let reader = |range: std::ops::Range<usize>| {
            let mut reads = self.stages[range].iter().flat_map(|stage| &stage.reads);
            reads.next().map(|id| object.txn(*id))
        };
        let mut cycle = Vec::new();
        let (witness, how) = if let Some(read) = reader(stage..later) {
            let contains = format!("#{} contains {one}", read.index());
            cycle.push(step(first, Edge::Wr, read, contains));
            let lacks = format!("#{} does not contain {other}", read.index());
            cycle.push(step(read, Edge::Rw, second, lacks));
            (read, format!("contains {one} and not {other}"))
        } else {
            let read = reader(later..self.stages.len())?;
            let how = format!("shows {one} before {other}");
            cycle.push(step(first, Edge::Ww, second, format!("#{} {how}", read.index())));
            (read, how)
        };
        cycle.push(real_time(second, first));
        let sentence = format!(
            "a read of {} (#{}) {how}, although the addition of {other} (#{}) had been acknowledged {} before that of {one} (#{}) was invoked",
            object.name(),
            witness.index(),
            second.index(),
            span(first.invoked_at() - second.returned_at()),
            first.index()
        );
        let kind = if self.is_unseen(later) { "lost-write" } else { "misordered-writes" };
        let operations = vec![first.id, second.id, witness.id];
        Some(Finding { kind, operations, cycle, sentence })
    }
}

/// Two reads of which neither contains the other (sets) or is a prefix of the other (lists).
pub(super) fn incomparable(object: &Object<'_>, one: Seen, other: Seen) -> Finding {
    let values = object.history.values();
    let (mine, theirs) = (values.elements(one.value), values.elements(other.value));
    let [first, second] = [one.txn, other.txn].map(|id| object.txn(id));
    let is_list = object.history.datatype(object.key) == crate::history::Datatype::List;
    let (kind, difference) = if is_list {
        let at = mine.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        let [a, b] = [&mine, &theirs].map(|list| object.shown(list[at.min(list.len() - 1)]));
        let difference = format!("show {a} and {b} as element {}", at + 1);
        ("incompatible-order", difference)
    } else {
        let lacks = |list: &[ValueId], other: &[ValueId]| {
            let missing = list.iter().find(|element| !other.contains(element));
            missing.map_or_else(String::new, |element| object.shown(*element))
        };
        let (a, b) = (lacks(&mine, &theirs), lacks(&theirs, &mine));
        ("incomparable-reads", format!("each lack what the other contains ({b} and {a})"))
    };
    let sentence = format!(
        "two reads of {} (#{} and #{}) {difference}: no order of its additions explains both",
        object.name(),
        first.index(),
        second.index()
    );
    Finding { kind, operations: vec![first.id, second.id], cycle: Vec::new(), sentence }
}

/// A list shows an element more often than it was appended.
pub(super) fn duplicate(
    object: &Object<'_>,
    reader: Txn<'_>,
    add: Txn<'_>,
    element: ValueId,
    times: u32,
) -> Finding {
    let sentence = format!(
        "{} answered {} with {} {times} times at {}, more often than it was appended (#{})",
        object.answerer(reader),
        object.name(),
        object.shown(element),
        reader.invoked_at(),
        add.index()
    );
    let operations: Vec<TxnId> = vec![add.id, reader.id];
    Finding { kind: "duplicate-element", operations, cycle: Vec::new(), sentence }
}
