//! What a replica does with the log that comes: it stores the entries and does what they say.

use std::sync::Arc;

use super::join::Arriving;
use super::{Bug, LogForm, Message, OldPrimary, PrimaryReplica, Resume};
use crate::model::Nanos;
use crate::model::{Mop, Op, Value};
use crate::sim::{NodeId, Outbox};
use crate::store::log::{Accepted, Entry, Log, Record};
use crate::store::{Objects, Position};

/// How often the second worker of a replica is late.
const LATE: f64 = 0.2;

impl PrimaryReplica {
    /// A replica stores what the primary sent.
    pub(super) fn store(
        &mut self,
        from: NodeId,
        previous: Position,
        mut entries: Vec<Entry>,
        out: &mut Outbox<'_, Self>,
    ) {
        let version = |node| self.settings.is_upgraded(node, out.now);
        if version(from) != version(self.me) {
            match self.settings.log {
                LogForm::Physical => self.has_stopped = true,
                LogForm::PhysicalUnchecked => entries.iter_mut().for_each(misread),
                LogForm::Row | LogForm::Statement => {}
            }
        }
        if self.has_stopped || matches!(self.arriving, Some(Arriving::Empty { .. })) {
            return;
        }
        match self.log.accept(previous, &entries) {
            Accepted::Behind { .. } if self.settings.bug == Bug::BlindConfirm => {
                let matched = previous.index + entries.len() as u64;
                out.send(from, Message::Confirm { epoch: self.epoch, matched });
            }
            Accepted::Behind { known } => {
                self.is_interrupted = true;
                out.send(from, Message::Behind { epoch: self.epoch, known });
            }
            Accepted::Stored { fresh, cut } => {
                if !fresh.is_empty() {
                    self.apply(fresh, cut, out);
                }
                self.matched = self.matched.max(previous.index + entries.len() as u64);
                out.send(from, Message::Confirm { epoch: self.epoch, matched: self.matched });
            }
        }
    }

    /// New entries are in the log: writes them to disk and does what they say.
    pub(super) fn apply(
        &mut self,
        fresh: std::ops::Range<u64>,
        cut: bool,
        out: &mut Outbox<'_, Self>,
    ) {
        for index in fresh.clone() {
            if let Some(entry) = self.log.get(index) {
                out.disk.append(Record::Entry { index, entry: entry.clone() });
            }
        }
        self.sync(out);
        let rebuilt = cut && self.settings.old_primary == OldPrimary::Truncate;
        if rebuilt {
            (self.objects, self.late) = (Objects::default(), None);
        }
        let mut first = if rebuilt { 1 } else { fresh.start };
        if std::mem::take(&mut self.is_interrupted) && !rebuilt {
            first = self.resume(first);
        }
        for index in first..fresh.end {
            self.perform(index, out);
        }
        self.arrive();
        self.unpark(out);
    }

    /// Does what an entry says. With two workers one of them may be late with it; where the log says
    /// what came of a write, the next change of the same key waits for it.
    fn perform(&mut self, index: u64, out: &mut Outbox<'_, Self>) {
        let (settings, me) = (self.settings, self.me);
        let entry = self.log.get(index);
        let effect = entry.and_then(|entry| settings.effect(me, entry, out.clock, out.random));
        let Some(op) = effect else { return };
        let shares_key = |late: &Arc<Op>| {
            late.mops.iter().any(|mop| op.mops.iter().any(|other| other.key == mop.key))
        };
        if settings.log != LogForm::Statement && self.late.as_ref().is_some_and(shares_key) {
            self.catch_up();
        }
        if settings.has_two_workers && self.late.is_none() && out.random.chance(LATE) {
            self.late = Some(op);
        } else {
            self.objects.force(&op);
            self.catch_up();
        }
    }

    /// The worker that was late is done.
    pub(super) fn catch_up(&mut self) {
        if let Some(late) = self.late.take() {
            self.objects.force(&late);
        }
    }

    /// From which entry on a replica does what the log says, after an interruption.
    fn resume(&self, exact: u64) -> u64 {
        let has_op = |index: &u64| self.log.get(*index).is_some_and(|entry| entry.op.is_some());
        match self.settings.resume {
            Resume::Exact => exact,
            Resume::Early => (1..exact).rev().find(has_op).unwrap_or(exact),
            Resume::Late => (exact..=self.log.end().index).find(has_op).unwrap_or(exact) + 1,
        }
    }

    /// What is on disk: the promise, the log and its effects, those of entries that gave way too
    /// if they are kept.
    pub(super) fn recover(&mut self, out: &mut Outbox<'_, Self>) {
        let (settings, me) = (self.settings, self.me);
        let (clock, random) = (out.clock, &mut *out.random);
        let mut redo = |objects: &mut Objects, entry: &Entry| {
            if let Some(op) = settings.effect(me, entry, clock, random) {
                objects.force(&op);
            }
        };
        for record in out.disk.records() {
            match record {
                Record::Promise { epoch, .. } => self.epoch = *epoch,
                Record::Entry { index, entry } => {
                    let cut = self.log.restore(*index, entry.clone());
                    if cut && settings.old_primary == OldPrimary::Truncate {
                        self.objects = Objects::default();
                        self.log.entries().iter().for_each(|one| redo(&mut self.objects, one));
                    } else {
                        redo(&mut self.objects, entry);
                    }
                }
                Record::Snapshot { log, objects } => {
                    (self.log, self.objects) = (Log::of(log.clone()), objects.clone());
                    let is_empty = log.is_empty();
                    self.arriving = is_empty.then_some(Arriving::Empty { asked: Nanos(0) });
                }
            }
        }
    }
}

/// Reads the bytes of an entry as if they were of another version: numbers come out as others.
fn misread(entry: &mut Entry) {
    let read = |mop: &Mop| match mop.value {
        Value::Int(number) => Mop { value: Value::Int(!number), ..mop.clone() },
        _ => mop.clone(),
    };
    if let Some(op) = &mut entry.op {
        *op = Arc::new(Op { function: op.function, mops: op.mops.iter().map(read).collect() });
    }
}
