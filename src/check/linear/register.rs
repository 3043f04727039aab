//! Registers whose written values tell the writes apart: their versions, as chains.
//!
//! An update (compare-and-set, read-modify-write) follows the version it read, so it links two
//! versions into one chain. An indeterminate update that somebody saw has happened; one that nobody
//! saw is left out, and so is a write (specification 1.2, rule 7).

use rustc_hash::FxHashMap;

use crate::check::linear::chains::{Chains, Layer, Moment};
use crate::check::linear::effect::{Effect, Row, effect};
use crate::check::linear::object::{Finding, Judgement, Numbers, Object};
use crate::check::linear::register_proof as proof;
use crate::history::{TxnId, ValueId};

/// The verdict on a register; `None` if its values do not tell which write was read.
pub(super) fn judge(object: &Object<'_>, rows: &[Row]) -> Option<Judgement> {
    let mut versions = Versions::new(object);
    if let Some(unknown) = versions.add_writes(rows) {
        let index = object.txn(unknown).index();
        let reason = format!("#{index} wrote a value that the history does not tell");
        return Some(Judgement::Unknown(reason));
    }
    versions.add_reads(object, rows)?;
    versions.add_indeterminate_updates(object)?;
    if versions.count > 0 {
        let findings = std::mem::take(&mut versions.findings);
        return Some(versions.violated(object, findings, versions.count));
    }
    if !versions.any_read {
        return Some(Judgement::Silent);
    }
    let (chains, order) = versions.chains();
    if let Some(finding) = versions.cyclic(object) {
        return Some(versions.violated(object, vec![finding], 1));
    }
    let (conflicts, count) = chains.conflicts(object.limits.anomalies.max(1));
    if count == 0 {
        return Some(Judgement::Linearizable);
    }
    let line = proof::Line { object, versions: &versions.all, chains: &chains, order: &order };
    let mut findings: Vec<Finding> = conflicts.into_iter().map(|one| line.finding(one)).collect();
    findings.dedup_by(|one, other| one.operations == other.operations);
    Some(versions.violated(object, findings, count))
}

/// What a register held between two writes.
#[expect(clippy::struct_excessive_bools, reason = "four independent facts, a byte each")]
pub(super) struct Version {
    pub(super) value: ValueId,
    /// The operation that wrote it; `INITIAL` for the initial version.
    write: Layer,
    /// The reads of it that changed nothing.
    reads: Layer,
    /// The version that an update made of it.
    next: u32,
    /// Whether another operation may have written the same value.
    repeated: bool,
    /// Whether somebody read it, or it is certain for another reason that it existed.
    exists: bool,
    /// Whether an update made it of another version that exists.
    is_successor: bool,
    placed: bool,
}

impl Version {
    /// Who wrote it; `None` for the initial version.
    pub(super) fn writer(&self) -> Option<TxnId> {
        (self.write.last_call != Moment::BEFORE).then(|| self.write.last_call.txn())
    }
}

const NONE: u32 = u32::MAX;

struct Versions {
    all: Vec<Version>,
    numbers: Numbers,
    any_update: bool,
    any_read: bool,
    /// Indeterminate compare-and-sets, by the version they would have made.
    indeterminate: FxHashMap<u32, (TxnId, ValueId)>,
    findings: Vec<Finding>,
    count: u64,
}

impl Versions {
    fn new(object: &Object<'_>) -> Self {
        let mut versions = Self {
            all: Vec::new(),
            numbers: Numbers::new(object),
            any_update: false,
            any_read: false,
            indeterminate: FxHashMap::default(),
            findings: Vec::new(),
            count: 0,
        };
        versions.numbers.get_or(ValueId::NULL, 0);
        versions.add(ValueId::NULL, Layer::INITIAL, true);
        versions
    }

    fn add(&mut self, value: ValueId, write: Layer, exists: bool) {
        self.all.push(Version {
            value,
            write,
            reads: Layer::EMPTY,
            next: NONE,
            repeated: false,
            exists,
            is_successor: false,
            placed: false,
        });
    }

    /// Adds a version for every possible write. Returns a write of nobody knows what.
    fn add_writes(&mut self, rows: &[Row]) -> Option<TxnId> {
        for row in rows {
            let Effect { old, new: Some(new) } = row.effect else { continue };
            if new == ValueId::UNKNOWN {
                return Some(row.txn);
            }
            let next = self.all.len() as u32;
            let number = self.numbers.get_or(new, next);
            let write = Layer::between(row.txn, row.invoked, row.returned);
            if number == next {
                self.add(new, write, row.is_ok());
                if let Some(old) = old.filter(|_| !row.is_ok()) {
                    self.indeterminate.insert(number, (row.txn, old));
                }
            } else {
                // As long as nobody reads the value, each write of it makes a version of its own.
                self.all[number as usize].repeated = true;
                if row.is_ok() {
                    self.add(new, write, true);
                }
            }
        }
        None
    }

    /// Adds what `ok` operations read. `None` if a value that was read may be that of several writes.
    fn add_reads(&mut self, object: &Object<'_>, rows: &[Row]) -> Option<()> {
        for row in rows.iter().filter(|row| row.is_ok()) {
            let Effect { old: Some(old), new } = row.effect else { continue };
            self.any_read = true;
            if old == ValueId::UNKNOWN {
                return None;
            }
            let Some(number) = self.numbers.get(old) else {
                self.report(object, |object| object.unwritten(object.txn(row.txn), old, ""));
                continue;
            };
            let version = &mut self.all[number as usize];
            if version.repeated {
                return None;
            }
            version.exists = true;
            match new {
                None => version.reads.join(Layer::between(row.txn, row.invoked, row.returned)),
                Some(new) => self.link(object, number, row.txn, new)?,
            }
        }
        Some(())
    }

    /// `update` made `new` of the version `old`.
    fn link(&mut self, object: &Object<'_>, old: u32, update: TxnId, new: ValueId) -> Option<()> {
        let number = self.numbers.get(new)?;
        let made = &mut self.all[number as usize];
        if made.repeated || made.writer() != Some(update) {
            return None;
        }
        self.any_update = true;
        let before = &self.all[old as usize];
        if before.next == NONE {
            self.all[old as usize].next = number;
            self.all[number as usize].is_successor = true;
        } else {
            let first = self.all[before.next as usize].writer();
            let (value, writer) = (before.value, before.writer());
            self.report(object, |object| {
                proof::lost_update(object, value, writer, [first.unwrap_or(update), update])
            });
        }
        Some(())
    }

    /// Links the indeterminate updates whose outcome somebody saw, directly or through another one.
    fn add_indeterminate_updates(&mut self, object: &Object<'_>) -> Option<()> {
        let mut seen: Vec<u32> = self.indeterminate.keys().copied().collect();
        seen.sort_unstable();
        seen.retain(|number| self.all[*number as usize].exists);
        while let Some(number) = seen.pop() {
            let (id, old) = self.indeterminate[&number];
            let Some(before) = self.numbers.get(old) else {
                self.report(object, |object| object.unwritten(object.txn(id), old, ""));
                continue;
            };
            let version = &mut self.all[before as usize];
            if version.repeated {
                return None;
            }
            if !version.exists {
                version.exists = true;
                if self.indeterminate.contains_key(&before) {
                    seen.push(before);
                }
            }
            let new = self.all[number as usize].value;
            self.link(object, before, id, new)?;
        }
        Some(())
    }

    fn report(&mut self, object: &Object<'_>, finding: impl FnOnce(&Object<'_>) -> Finding) {
        self.count += 1;
        if self.findings.len() < object.limits.anomalies.max(1) {
            self.findings.push(finding(object));
        }
    }

    /// The versions as chains of two layers each, and the version at each pair of layers. The
    /// initial version begins the first chain.
    fn chains(&mut self) -> (Chains, Vec<u32>) {
        let mut chains = Chains::with_capacity(2 * self.all.len());
        let mut order = Vec::with_capacity(self.all.len());
        for first in 0..self.all.len() as u32 {
            let version = &self.all[first as usize];
            if !version.exists || version.is_successor {
                continue;
            }
            let mut number = first;
            while number != NONE {
                let version = &mut self.all[number as usize];
                chains.push(version.write);
                chains.push(version.reads);
                order.push(number);
                version.placed = true;
                number = version.next;
            }
            chains.close();
        }
        (chains, order)
    }

    /// Completes the proofs: an indeterminate operation counts only together with whoever saw it.
    fn violated(&self, object: &Object<'_>, mut findings: Vec<Finding>, count: u64) -> Judgement {
        for operations in findings.iter_mut().map(|finding| &mut finding.operations) {
            let mut at = 0;
            while let Some(txn) = operations.get(at).map(|id| object.txn(*id)) {
                at += 1;
                if txn.is_ok() {
                    continue;
                }
                let new = effect(txn, object.key).and_then(|effect| effect.new);
                let Some(number) = new.and_then(|new| self.numbers.get(new)) else { continue };
                let version = &self.all[number as usize];
                let read = version.reads.first_reader();
                let update = self.all.get(version.next as usize).and_then(Version::writer);
                let saw = |id: &TxnId| {
                    let reader = object.txn(*id);
                    let old = effect(reader, object.key).and_then(|effect| effect.old);
                    reader.is_ok() && old == new
                };
                if let Some(id) = read.or(update).filter(|id| !operations.contains(id))
                    && !operations.iter().any(saw)
                {
                    operations.push(id);
                }
            }
        }
        Judgement::Violated(findings, count)
    }

    /// Versions that are each made of the other and hence of nothing.
    fn cyclic(&self, object: &Object<'_>) -> Option<Finding> {
        if !self.any_update {
            return None;
        }
        let start = self.all.iter().position(|version| version.exists && !version.placed)?;
        let mut cycle = vec![start];
        while let next = self.all[cycle[cycle.len() - 1]].next as usize
            && next != start
        {
            cycle.push(next);
        }
        let versions: Vec<&Version> = cycle.into_iter().map(|number| &self.all[number]).collect();
        Some(proof::cyclic_versions(object, &versions))
    }
}
