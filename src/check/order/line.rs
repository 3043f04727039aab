//! What data prove of the order of the operations on one key.
//!
//! A version's write, then its reads, then whatever says that it was made of that version: these
//! stand together in every legal order, and no other version of the key between them. So the
//! operations of a key fall into *chains* of *layers*; between the operations of a layer data prove
//! nothing, and between chains only that the initial one comes first.
//!
//! ```text
//!   register   | reads of nothing | cas nil→1 | reads of 1 |     | write 2 | reads of 2 |
//!   list, set  | reads of [] | append 1 | reads of [1] | … | appends that nobody saw |
//! ```

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::incompatible_order::{longest, prefixes};
use crate::check::linear::effect::{Effect, effect};
use crate::check::writers::Writers;
use crate::history::{Access, Datatype, History, KeyId, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) chain: u32,
    pub(super) layer: u32,
}

/// The order of one key, as far as data prove it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) key: KeyId,
    /// Those that take part, in order of invocation: what succeeded, and what was seen.
    pub(super) slots: Vec<(TxnId, Slot)>,
    /// How many layers each chain has; chain 0 comes first.
    pub(super) layers: Vec<u32>,
    /// Who saw an indeterminate operation.
    pub(super) seen_by: BTreeMap<TxnId, TxnId>,
}

impl Line {
    /// Gives a place to indeterminate writes that nobody saw on this key, though somebody saw what their
    /// transactions wrote elsewhere: they took place here too, after all that was read or in a
    /// chain of their own. What those transactions read nobody knows. Whether any had no place yet.
    pub(super) fn add_unseen(&mut self, history: &History, writes: &[(TxnId, TxnId)]) -> bool {
        let before = self.slots.len();
        for (write, seer) in writes {
            if self.seen_by.contains_key(write) {
                continue;
            }
            let slot = if history.datatype(self.key) == Datatype::Register {
                self.layers.push(2);
                Slot { chain: self.layers.len() as u32 - 1, layer: 0 }
            } else {
                Slot { chain: 0, layer: self.layers[0] - 1 }
            };
            self.slots.push((*write, slot));
            self.seen_by.insert(*write, *seer);
        }
        self.slots.sort_unstable();
        self.slots.len() > before
    }
}

/// What data say of a key.
#[derive(Debug)]
pub(super) enum Shape {
    /// Nobody read it.
    Silent,
    /// There are chains.
    Line(Line),
    /// They contradict themselves: these operations, whose kind of contradiction this is.
    Broken(&'static str, Vec<TxnId>),
    /// They do not tell which write was read, for this reason.
    Open(String),
    /// They tell so little that no search could help, for this reason.
    Unknown(String),
}

/// The shape of a key, judged by some of its operations, in order of invocation.
pub(super) fn shape(history: &History, writers: &Writers, key: KeyId, txns: &[TxnId]) -> Shape {
    let object = Object { history, writers, key, txns };
    let reads = |txn: Txn<'_>| {
        let mut accesses = txn.accesses().filter(|one| one.key == key);
        txn.is_ok()
            && accesses.any(|one| one.function == Function::Read && one.value != ValueId::UNKNOWN)
    };
    if !object.possible().any(reads) {
        return Shape::Silent;
    }
    if !txns.iter().any(|id| writes(history.txn(*id), key)) {
        let nothing = [ValueId::NULL, ValueId::EMPTY, ValueId::UNKNOWN];
        let mut accesses = object.possible().flat_map(Txn::accesses).filter(|one| one.key == key);
        if accesses.any(|one| !nothing.contains(&one.value)) {
            return Shape::Unknown("nobody ever wrote to it".to_owned());
        }
    }
    let alone = |txn: Txn<'_>| txn.accesses().filter(|one| one.key == key).count() == 1;
    let datatype = history.datatype(key);
    match datatype {
        Datatype::Register => object.register(),
        Datatype::List | Datatype::Set if !object.possible().all(alone) => {
            Shape::Open("transactions of several operations on it".to_owned())
        }
        Datatype::List => object.list(),
        Datatype::Set => object.set(),
        other => Shape::Open(format!("nobody can tell who wrote what a {} shows", other.name())),
    }
}

/// Whether an operation may change a key.
fn writes(txn: Txn<'_>, key: KeyId) -> bool {
    txn.accesses().any(|access| is_write(access, key))
}

/// What an operation left in a register.
fn wrote(txn: Txn<'_>, key: KeyId) -> Option<ValueId> {
    effect(txn, key).and_then(|effect| effect.new)
}

fn is_write(access: Access, key: KeyId) -> bool {
    access.key == key && access.function != Function::Read
}

struct Object<'h> {
    history: &'h History,
    writers: &'h Writers,
    key: KeyId,
    txns: &'h [TxnId],
}

/// An operation on a register, and the write of the version that it saw.
struct Part {
    txn: TxnId,
    effect: Effect,
    source: Option<TxnId>,
}

/// Where a value comes from.
enum Source {
    Nobody(Vec<TxnId>),
    One(TxnId),
    Several,
}

impl<'h> Object<'h> {
    fn possible(&self) -> impl Iterator<Item = Txn<'h>> + use<'h> {
        let history = self.history;
        self.txns.iter().map(|id| history.txn(*id)).filter(|txn| txn.kind() != Kind::Fail)
    }

    fn source(&self, value: ValueId) -> Source {
        let mut possible = None;
        for id in self.writers.all(self.key, value) {
            if self.history.txn(id).kind() != Kind::Fail && possible.replace(id).is_some() {
                return Source::Several;
            }
        }
        match possible {
            Some(id) => Source::One(id),
            None => Source::Nobody(self.writers.all(self.key, value).collect()),
        }
    }

    /// A value that nobody can have written.
    fn nowhere(&self, reader: TxnId, mut writers: Vec<TxnId>) -> Shape {
        let kind = if writers.is_empty() { "thin-air-read" } else { "aborted-read" };
        if writers.is_empty() {
            // Any write says that the object is one that is written.
            writers.extend(self.txns.iter().find(|id| writes(self.history.txn(**id), self.key)));
        }
        writers.push(reader);
        Shape::Broken(kind, writers)
    }

    fn open(txn: Txn<'_>, what: &str) -> Shape {
        Shape::Open(format!("#{} {what}", txn.index()))
    }

    fn register(&self) -> Shape {
        let mut taking_part: Vec<Part> = Vec::with_capacity(self.txns.len());
        let mut seen_by = BTreeMap::new();
        let mut open: Vec<Txn<'h>> = self.possible().filter(|txn| txn.is_ok()).collect();
        if let Some(txn) = self
            .possible()
            .find(|txn| effect(*txn, self.key).is_some_and(|one| one.new == Some(ValueId::UNKNOWN)))
        {
            let index = txn.index();
            return Shape::Unknown(format!(
                "#{index} wrote a value that the history does not tell"
            ));
        }
        while let Some(txn) = open.pop() {
            let Some(effect) = effect(txn, self.key) else { continue };
            let mut part = Part { txn: txn.id, effect, source: None };
            match effect.old.map(|old| (old, self.source(old))) {
                Some((ValueId::UNKNOWN, _)) => return Self::open(txn, "contradicts itself"),
                None | Some((ValueId::NULL, Source::Nobody(_))) => {}
                Some((_, Source::Nobody(writers))) => return self.nowhere(txn.id, writers),
                Some((old, Source::One(writer))) if old != ValueId::NULL => {
                    if writer == txn.id {
                        return self.nowhere(txn.id, Vec::new());
                    }
                    part.source = Some(writer);
                    let writer = self.history.txn(writer);
                    if wrote(writer, self.key) != Some(old) {
                        return Shape::Broken("intermediate-read", vec![writer.id, txn.id]);
                    }
                    if !writer.is_ok() && seen_by.insert(writer.id, txn.id).is_none() {
                        open.push(writer);
                    }
                }
                Some(_) => return Self::open(txn, "read a value that was written more than once"),
            }
            taking_part.push(part);
        }
        taking_part.sort_unstable_by_key(|part| part.txn);
        self.chains(&taking_part, seen_by)
    }

    /// The versions of a register in chains of updates.
    fn chains(&self, taking_part: &[Part], seen_by: BTreeMap<TxnId, TxnId>) -> Shape {
        // By the write of a version; `None` is the initial one.
        let mut next: FxHashMap<Option<TxnId>, TxnId> = FxHashMap::default();
        let is_update = |part: &&Part| part.effect.new.is_some() && part.effect.old.is_some();
        for part in taking_part.iter().filter(is_update) {
            let (id, made_of) = (part.txn, part.source);
            if let Some(other) = next.insert(made_of, id) {
                let mut both: Vec<TxnId> = [other, id].into_iter().chain(made_of).collect();
                // An indeterminate update has happened only if somebody saw it.
                let mut at = 0;
                while at < both.len() && both.len() <= taking_part.len() {
                    both.extend(seen_by.get(&both[at]));
                    at += 1;
                }
                return Shape::Broken("lost-update", both);
            }
        }
        let place = |id: TxnId| taking_part.binary_search_by_key(&id, |part| part.txn).ok();
        let begins = taking_part
            .iter()
            .filter(|part| part.effect.new.is_some() && part.effect.old.is_none())
            .map(|part| Some(part.txn));
        let initial = Slot { chain: 0, layer: 0 };
        // Where the version of each write stands.
        let mut at: Vec<Option<Slot>> = vec![None; taking_part.len()];
        let mut layers = Vec::new();
        for (chain, begin) in (0..).zip(std::iter::once(None).chain(begins)) {
            let (mut layer, mut version) = (0, begin);
            loop {
                if let Some(place) = version.and_then(place) {
                    at[place] = Some(Slot { chain, layer });
                }
                layer += 2;
                match next.get(&version) {
                    Some(update) => version = Some(*update),
                    None => break,
                }
            }
            layers.push(layer);
        }
        let mut slots = Vec::with_capacity(taking_part.len());
        for (own, part) in taking_part.iter().enumerate() {
            let is_write = part.effect.new.is_some();
            let slot = match part.source {
                _ if is_write => at[own],
                Some(source) => place(source).and_then(|place| at[place]),
                None => Some(initial),
            };
            // An update that stands in no chain is made of itself, by way of others.
            let Some(slot) = slot else {
                let before = |id| place(id).and_then(|place| taking_part[place].source);
                return Self::circle(part.txn, before);
            };
            slots.push((part.txn, Slot { layer: slot.layer + u32::from(!is_write), ..slot }));
        }
        Shape::Line(Line { key: self.key, slots, layers, seen_by })
    }

    fn circle(start: TxnId, before: impl Fn(TxnId) -> Option<TxnId>) -> Shape {
        let mut circle = vec![start];
        let mut met: FxHashSet<TxnId> = FxHashSet::default();
        let mut at = start;
        while met.insert(at) {
            let Some(before) = before(at) else { break };
            circle.push(before);
            at = before;
        }
        Shape::Broken("cyclic-versions", circle)
    }

    /// The reads that succeeded, with what they saw.
    fn reads(&self) -> Vec<(TxnId, ValueId)> {
        let of = |txn: Txn<'h>| txn.accesses().find(|access| access.key == self.key);
        self.possible()
            .filter(|txn| txn.is_ok())
            .filter_map(|txn| Some((txn.id, of(txn)?)))
            .filter(|(_, one)| one.function == Function::Read && one.value != ValueId::UNKNOWN)
            .map(|(id, one)| (id, one.value))
            .collect()
    }

    fn list(&self) -> Shape {
        let (reads, values) = (self.reads(), self.history.values());
        if let Some((id, _)) = reads.iter().find(|(_, list)| !values.is_list(*list)) {
            return Self::open(self.history.txn(*id), "read no list");
        }
        let lists: Vec<ValueId> = reads.iter().map(|(_, list)| *list).collect();
        let Some(last) = longest(self.history, &lists) else { return Shape::Silent };
        let (reader, list) = reads[last];
        let mut all: Vec<ValueId> = prefixes(self.history, list).into_iter().collect();
        // A prefix is interned before what extends it.
        all.sort_unstable();
        let stage: FxHashMap<ValueId, u32> = all.into_iter().zip(0..).collect();
        if let Some((other, _)) = reads.iter().find(|(_, list)| !stage.contains_key(list)) {
            return Shape::Broken("incompatible-order", vec![*other, reader]);
        }
        let mut place: FxHashMap<ValueId, u32> = FxHashMap::default();
        for (at, element) in (1..).zip(values.elements(list)) {
            match self.source(element) {
                Source::One(_) if place.insert(element, at).is_some() => {
                    return Shape::Broken("duplicate-element", vec![reader]);
                }
                Source::One(_) => {}
                Source::Nobody(writers) => return self.nowhere(reader, writers),
                Source::Several => {
                    return Self::open(self.history.txn(reader), "read what was appended twice");
                }
            }
        }
        let end = stage.len() as u32;
        self.stages(&reads, |list| stage[&list], |element| place.get(&element).copied(), end)
    }

    fn set(&self) -> Shape {
        let removes = |txn: Txn<'h>| {
            let mut accesses = txn.accesses();
            accesses.any(|one| one.key == self.key && one.function == Function::Remove)
        };
        if let Some(txn) = self.possible().find(|txn| removes(*txn)) {
            return Self::open(txn, "removes elements");
        }
        let (reads, values) = (self.reads(), self.history.values());
        let mut versions: BTreeMap<ValueId, (TxnId, Vec<ValueId>)> = BTreeMap::new();
        for (id, set) in &reads {
            if !values.is_list(*set) {
                return Self::open(self.history.txn(*id), "read no set");
            }
            versions.entry(*set).or_insert_with(|| {
                let mut elements = values.elements(*set);
                elements.sort_unstable();
                elements.dedup();
                (*id, elements)
            });
        }
        let mut by_size: Vec<(ValueId, TxnId, Vec<ValueId>)> =
            versions.into_iter().map(|(set, (id, elements))| (set, id, elements)).collect();
        by_size.sort_by_key(|(_, _, elements)| elements.len());
        let mut first: FxHashMap<ValueId, u32> = FxHashMap::default();
        let mut stage: FxHashMap<ValueId, u32> = FxHashMap::default();
        for (at, (set, reader, elements)) in (0..).zip(&by_size) {
            let known = elements.iter().filter(|element| first.contains_key(element)).count();
            if known == first.len() && known == elements.len() && at > 0 {
                // The same set, shown in another order.
                let same = stage[&by_size[at as usize - 1].0];
                stage.insert(*set, same);
                continue;
            }
            if known < first.len() {
                let smaller = by_size[at as usize - 1].1;
                return Shape::Broken("incompatible-sets", vec![smaller, *reader]);
            }
            for element in elements {
                if first.contains_key(element) {
                    continue;
                }
                match self.source(*element) {
                    Source::One(_) => first.insert(*element, at),
                    Source::Nobody(writers) => return self.nowhere(*reader, writers),
                    Source::Several => {
                        return Self::open(self.history.txn(*reader), "read what was added twice");
                    }
                };
            }
            stage.insert(*set, at);
        }
        let end = by_size.len() as u32;
        self.stages(&reads, |set| stage[&set], |element| first.get(&element).copied(), end)
    }

    /// A single chain: at each stage the writes of what is new, then the reads of the whole; at the
    /// end the writes that nobody saw.
    fn stages(
        &self,
        reads: &[(TxnId, ValueId)],
        stage: impl Fn(ValueId) -> u32,
        place: impl Fn(ValueId) -> Option<u32>,
        end: u32,
    ) -> Shape {
        let mut slots = Vec::new();
        let mut seen_by = BTreeMap::new();
        // A read of each stage, for who saw what.
        let mut reader: BTreeMap<u32, TxnId> = BTreeMap::new();
        for (id, version) in reads {
            slots.push((*id, Slot { chain: 0, layer: 2 * stage(*version) + 1 }));
            reader.insert(stage(*version), *id);
        }
        for txn in self.possible() {
            let Some(write) = txn.accesses().find(|one| is_write(*one, self.key)) else { continue };
            let at = place(write.value);
            if !txn.is_ok() {
                let Some(first) = at.and_then(|at| reader.range(at..).next()) else { continue };
                seen_by.insert(txn.id, *first.1);
            }
            slots.push((txn.id, Slot { chain: 0, layer: 2 * at.unwrap_or(end) }));
        }
        slots.sort_unstable();
        Shape::Line(Line { key: self.key, slots, layers: vec![2 * end + 1], seen_by })
    }
}
