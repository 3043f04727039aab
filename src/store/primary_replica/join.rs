//! A new replica joins: it begins with a copy of all data, a *snapshot*, and goes on with the log from the
//! position that belongs to it.
//!
//! The copying takes time and the primary goes on writing. An exact snapshot is of one moment, and its
//! position is that moment's. A fuzzy one holds some of the data as they were when the copying began and
//! some as they were when it ended; its position is the beginning, so what was copied late is done twice.
//!
//! From when the snapshot leaves, the primary waits for the new replica as for all others; before, it does
//! not count on it. An exact snapshot holds all that was acknowledged until then, hence a replica that
//! answers reads only when it has caught up with it lacks nothing that the others were waited for.

use super::{Message, PrimaryReplica};
use crate::model::Nanos;
use crate::sim::{NodeId, Outbox, Timer};
use crate::store::Objects;
use crate::store::log::{Entry, Log, Progress, Record};

/// What the snapshot of a new replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Snapshot {
    /// All data as they were at one moment.
    Exact,
    /// Some as they were when the copying began, some as they were when it ended.
    Fuzzy,
}

/// How a new replica comes into being.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Joining {
    /// When the last node is replaced by a new one.
    pub(in crate::store) after: Nanos,
    pub(in crate::store) snapshot: Snapshot,
    /// Whether it answers reads before it has caught up.
    pub(in crate::store) serves: bool,
}

pub(super) const JOIN: Timer = Timer(2);
pub(super) const COPIED: Timer = Timer(3);
/// How long the primary takes to copy all data.
const COPYING: Nanos = Nanos::from_millis(500);
/// How long a new replica waits for its snapshot before it asks again.
const PATIENCE: Nanos = Nanos::from_millis(2_000);

/// Of a new replica: how far it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arriving {
    /// It has nothing; then it last asked for a snapshot.
    Empty { asked: Nanos },
    /// It has a snapshot and lacks entries up to that index.
    Behind { until: u64 },
}

/// Of the primary: what the new replica is given.
pub(super) struct Copying {
    to: NodeId,
    asked: Nanos,
    /// The data as they were when the copying began and the end of the log then; nothing once it is done.
    began: Option<(Objects, u64)>,
}

impl PrimaryReplica {
    /// Whether a node takes part in what is waited for: not while its snapshot is made.
    pub(super) fn is_member(&self, node: NodeId) -> bool {
        let copying = self.copying.as_ref();
        !copying.is_some_and(|copying| copying.to == node && copying.began.is_some())
    }

    /// Whether reads are refused for what is missing.
    pub(super) fn is_incomplete(&self) -> bool {
        self.arriving.is_some() && !self.settings.joining.is_some_and(|joining| joining.serves)
    }

    /// The machine is replaced by a new one.
    pub(super) fn join(&mut self, out: &mut Outbox<'_, Self>) {
        if self.leads {
            return;
        }
        self.log = Log::default();
        self.objects = Objects::default();
        self.matched = 0;
        out.disk.append(Record::Snapshot { log: Vec::new(), objects: Objects::default() });
        out.disk.sync();
        self.ask_to_join(out);
    }

    pub(super) fn ask_to_join(&mut self, out: &mut Outbox<'_, Self>) {
        self.arriving = Some(Arriving::Empty { asked: out.now });
        out.send(self.primary(), Message::Join { epoch: self.epoch, asked: out.now });
    }

    /// Asks again if there was no answer.
    pub(super) fn await_snapshot(&mut self, out: &mut Outbox<'_, Self>) {
        if let Some(Arriving::Empty { asked }) = self.arriving
            && out.now - asked > PATIENCE
        {
            self.ask_to_join(out);
        }
    }

    /// The primary begins to copy, unless it was asked so before.
    pub(super) fn copy_for(&mut self, to: NodeId, asked: Nanos, out: &mut Outbox<'_, Self>) {
        if self.copying.as_ref().is_some_and(|copying| asked <= copying.asked) {
            return;
        }
        let began = Some((self.objects.clone(), self.log.end().index));
        self.copying = Some(Copying { to, asked, began });
        out.wake(COPYING, COPIED);
    }

    /// The copying has ended: sends the snapshot, and the log from its position on.
    pub(super) fn copied(&mut self, out: &mut Outbox<'_, Self>) {
        let Some(Copying { to, asked, began }) = &mut self.copying else { return };
        let (to, asked, until) = (*to, *asked, self.log.end().index);
        let Some((then, began)) = began.take().filter(|_| self.leads) else { return };
        let is_exact =
            self.settings.joining.is_none_or(|joining| joining.snapshot == Snapshot::Exact);
        let (objects, position) = if is_exact {
            (self.objects.clone(), until)
        } else {
            (self.objects.partly_as(&then), began)
        };
        let log = self.log.from(1, position as usize);
        self.progress[to.index()] = Progress::new(position + 1, out.now);
        let lag = self.settings.lag.sample(out.random);
        out.ship(to, lag, Message::Snapshot { epoch: self.epoch, asked, log, objects, until });
        self.ship(to, out);
    }

    /// A new replica has its snapshot.
    pub(super) fn install(
        &mut self,
        from: NodeId,
        snapshot: (Nanos, Vec<Entry>, Objects, u64),
        out: &mut Outbox<'_, Self>,
    ) {
        let (asked_then, log, objects, until) = snapshot;
        if !matches!(self.arriving, Some(Arriving::Empty { asked }) if asked == asked_then) {
            return;
        }
        out.disk.append(Record::Snapshot { log: log.clone(), objects: objects.clone() });
        self.sync(out);
        self.log = Log::of(log);
        self.objects = objects;
        self.matched = self.log.end().index;
        self.arriving = Some(Arriving::Behind { until });
        self.is_interrupted = true;
        out.send(from, Message::Confirm { epoch: self.epoch, matched: self.matched });
        self.arrive();
    }

    /// Whether it has caught up by now.
    pub(super) fn arrive(&mut self) {
        if matches!(self.arriving, Some(Arriving::Behind { until }) if self.log.end().index >= until)
        {
            self.arriving = None;
        }
    }
}
