//! One primary takes the writes, replicas copy its log and may serve reads.
//!
//! An *epoch* belongs to one primary: its number is `counter << 8 | node`, so two nodes that promote
//! themselves at once never share one. A node serves the greatest epoch it has heard of, writes that
//! promise to disk, and refuses every earlier one.
//!
//! **Why `sync` loses no acknowledged write**, whoever promotes itself and however often. An entry W
//! of epoch e is acknowledged only when every node has stored it while serving an epoch ≤ e. Take
//! the first primary p, of an epoch e' > e, whose log lacks W. When p promoted itself it stopped
//! storing entries of e for good, so it had stored W before. It has lost it since by following a
//! primary between e and e' whose log lacks W, which contradicts that p is the first. The promise
//! survives a kill and an entry is synced before it is confirmed, so a restart changes nothing. Hence
//! all later primaries hold W, and following one of them removes it from no log. (This is Raft's
//! leader completeness with quorums of all nodes to commit and of one node to elect.) With
//! `fsync = interval(…)` the argument fails where a replica is killed, and writes can be lost.
//!
//! With `async` an entry is acknowledged when the primary has it, so a new primary may lack it: the
//! write is lost when the old primary returns and truncates. `semi` waits for one replica, which need
//! not be the one that is promoted.
//!
//! Reads are answered from what is applied, acknowledged or not, and the old primary goes on
//! answering until it hears of its successor: reads can be stale in every mode that has a failover.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::{Mop, Nanos, Op, Outcome};
use crate::sim::{Latency, Node, NodeId, Outbox, Ticket, Timer};
use crate::store::log::{Accepted, Entry, Log, Progress, Record};
use crate::store::options::Fsync;
use crate::store::{Hint, Objects, Position, Reply, Request, Standing, Store};

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replication {
    /// When the primary has it.
    Async,
    /// When one replica has it too.
    Semi,
    /// When all replicas have it.
    Sync,
}

/// Who makes a replica the new primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failover {
    /// Nobody.
    None,
    /// An operator, some time after the primary stopped running.
    Manual,
    /// The replica itself, when it has not heard of the primary for some time.
    Automatic,
}

/// What an old primary does with the entries that its successor lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OldPrimary {
    /// It drops them: its state becomes that of its successor.
    Truncate,
    /// It keeps their effects under what it copies from now on: its state stays different.
    Keep,
}

/// What is planted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// A write is acknowledged before the replicas that it must wait for have confirmed it.
    DirtyAck,
    /// A replica confirms entries that do not fit its log and that it throws away.
    BlindConfirm,
    /// Entries are never synced.
    LostFsync,
    /// A replica takes writes and keeps them to itself.
    ReplicaWrites,
}

/// How every node of the cluster behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) nodes: u8,
    pub(super) replication: Replication,
    pub(super) failover: Failover,
    pub(super) failover_timeout: Nanos,
    pub(super) old_primary: OldPrimary,
    pub(super) lag: Latency,
    pub(super) fsync: Fsync,
    /// Whether a replica answers reads; otherwise only the primary does.
    pub(super) replicas_read: bool,
    pub(super) bug: Bug,
}

/// A node of the store `primary-replica`.
pub(super) struct PrimaryReplica {
    me: NodeId,
    settings: Settings,
    /// The epoch it serves; durable.
    epoch: u64,
    /// Whether it is the primary of that epoch. A primary that was killed is none when it returns.
    leads: bool,
    /// Durable, but for what is not synced.
    log: Log,
    /// What the log says, all of it.
    objects: Objects,
    /// Up to here the log is known to equal that of the primary of this epoch.
    matched: u64,
    heard: Nanos,
    /// What the primary knows of the others, by node.
    progress: Vec<Progress>,
    /// Writes that wait for replicas, in the order of their entries.
    waiting: VecDeque<Waiting>,
    /// Reads that wait for entries.
    parked: Vec<Parked>,
}

struct Waiting {
    index: u64,
    ticket: Ticket,
    answer: Vec<Mop>,
}

struct Parked {
    token: Position,
    since: Nanos,
    ticket: Ticket,
    op: Arc<Op>,
}

/// What the nodes say to each other. Every message names its sender's epoch.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// The primary: these entries follow that position. Without entries it is a heartbeat.
    Replicate { epoch: u64, previous: Position, entries: Vec<Entry> },
    /// A replica: my log equals yours up to there.
    Confirm { epoch: u64, matched: u64 },
    /// A replica: send what follows that index.
    Behind { epoch: u64, known: u64 },
    /// There is a newer epoch than yours.
    Deposed { epoch: u64 },
}

const TICK: Timer = Timer(0);
const SYNC: Timer = Timer(1);
/// Entries in one message.
const BATCH: usize = 1024;
/// How long a read waits for its token.
const PATIENCE: Nanos = Nanos::from_millis(500);
/// A promotion skips a counter, so that an old primary that restarts at the same moment, and takes
/// the next epoch, does not depose its successor.
const PROMOTION: u64 = 2;
const RESTART: u64 = 1;

impl PrimaryReplica {
    pub(super) fn new(me: NodeId, settings: Settings) -> Self {
        Self {
            me,
            settings,
            // The first node is the primary that everybody was set up with.
            epoch: 1 << 8,
            leads: false,
            log: Log::default(),
            objects: Objects::default(),
            matched: 0,
            heard: Nanos(0),
            progress: Vec::new(),
            waiting: VecDeque::new(),
            parked: Vec::new(),
        }
    }

    fn primary(&self) -> NodeId {
        NodeId((self.epoch & 0xff) as u8)
    }

    fn others(&self) -> impl Iterator<Item = NodeId> + use<> {
        let me = self.me;
        (0..self.settings.nodes).map(NodeId).filter(move |node| *node != me)
    }

    fn heartbeat(&self) -> Nanos {
        Nanos(self.settings.failover_timeout.0 / 5)
    }

    fn reply(&self, outcome: Outcome) -> Reply {
        let known = self.leads || self.primary() != self.me;
        let hint = known.then(|| Hint { epoch: self.epoch, leader: self.primary() });
        Reply { outcome, hint, position: self.log.end() }
    }

    fn sync(&self, out: &mut Outbox<'_, Self>) {
        if self.settings.fsync == Fsync::Always && self.settings.bug != Bug::LostFsync {
            out.disk.sync();
        }
    }

    /// Serves a newer epoch from now on, whoever its primary is.
    fn serve(&mut self, epoch: u64, out: &mut Outbox<'_, Self>) {
        (self.epoch, self.leads) = (epoch, false);
        self.matched = 0;
        self.heard = out.now;
        out.disk.append(Record::Promise { epoch, vote: None });
        out.disk.sync();
        while let Some(Waiting { ticket, .. }) = self.waiting.pop_front() {
            let outcome = Outcome::Info("deposed before the write was replicated".to_owned());
            out.reply(ticket, self.reply(outcome));
        }
    }

    /// Becomes the primary of a new epoch. Its first entry is empty: where an old primary has
    /// entries of its own at that index, it finds the conflict at once.
    fn promote(&mut self, step: u64, out: &mut Outbox<'_, Self>) {
        let counter = (self.epoch >> 8) + step;
        self.serve(counter << 8 | u64::from(self.me.0), out);
        self.leads = true;
        let next = self.log.end().index + 1;
        self.progress = vec![Progress::new(next, out.now); usize::from(self.settings.nodes)];
        self.append(None, out);
    }

    /// Writes an entry of this epoch to the log and sends it to all replicas.
    fn append(&mut self, op: Option<Arc<Op>>, out: &mut Outbox<'_, Self>) -> u64 {
        let entry = Entry { epoch: self.epoch, op };
        let index = self.log.push(entry.clone());
        out.disk.append(Record::Entry { index, entry });
        self.sync(out);
        for node in self.others() {
            self.ship(node, out);
        }
        index
    }

    /// Sends a replica what it has not been sent.
    fn ship(&mut self, to: NodeId, out: &mut Outbox<'_, Self>) {
        let progress = &mut self.progress[to.index()];
        let previous = self.log.position(progress.next - 1);
        let entries = self.log.from(progress.next, BATCH);
        progress.next += entries.len() as u64;
        let lag = self.settings.lag.sample(out.random);
        out.ship(to, lag, Message::Replicate { epoch: self.epoch, previous, entries });
    }

    fn execute(&mut self, ticket: Ticket, op: Arc<Op>, out: &mut Outbox<'_, Self>) {
        let answer = match self.objects.execute(&op) {
            Ok(answer) => answer,
            Err(why) => return out.reply(ticket, self.reply(Outcome::Fail(why))),
        };
        if !op.writes() {
            return out.reply(ticket, self.reply(Outcome::Ok(answer)));
        }
        if !self.leads {
            // Only with the bug `replica-writes`: no log entry, no replication.
            return out.reply(ticket, self.reply(Outcome::Ok(answer)));
        }
        let index = self.append(Some(op), out);
        self.waiting.push_back(Waiting { index, ticket, answer });
        self.acknowledge(out);
    }

    /// Up to which entry writes may be acknowledged.
    fn replicated(&self) -> u64 {
        let matched = self.others().map(|node| self.progress[node.index()].matched);
        let all = self.log.end().index;
        match self.settings.replication {
            _ if self.settings.bug == Bug::DirtyAck => all,
            Replication::Async => all,
            Replication::Semi => matched.max().unwrap_or(all),
            Replication::Sync => matched.min().unwrap_or(all),
        }
    }

    fn acknowledge(&mut self, out: &mut Outbox<'_, Self>) {
        if self.waiting.is_empty() {
            return;
        }
        let replicated = self.replicated();
        while self.waiting.front().is_some_and(|waiting| waiting.index <= replicated) {
            if let Some(Waiting { ticket, answer, .. }) = self.waiting.pop_front() {
                out.reply(ticket, self.reply(Outcome::Ok(answer)));
            }
        }
    }

    /// A replica stores what the primary sent.
    fn store(
        &mut self,
        from: NodeId,
        previous: Position,
        entries: &[Entry],
        out: &mut Outbox<'_, Self>,
    ) {
        match self.log.accept(previous, entries) {
            Accepted::Behind { .. } if self.settings.bug == Bug::BlindConfirm => {
                let matched = previous.index + entries.len() as u64;
                out.send(from, Message::Confirm { epoch: self.epoch, matched });
            }
            Accepted::Behind { known } => {
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
    fn apply(&mut self, fresh: std::ops::Range<u64>, cut: bool, out: &mut Outbox<'_, Self>) {
        for index in fresh.clone() {
            if let Some(entry) = self.log.get(index) {
                out.disk.append(Record::Entry { index, entry: entry.clone() });
            }
        }
        self.sync(out);
        let rebuilt = cut && self.settings.old_primary == OldPrimary::Truncate;
        if rebuilt {
            self.objects = Objects::default();
        }
        let first = if rebuilt { 1 } else { fresh.start };
        for entry in &self.log.entries()[first as usize - 1..] {
            if let Some(op) = &entry.op {
                self.objects.force(op);
            }
        }
        self.unpark(out);
    }

    /// Answers the reads whose entries have come, and refuses those that waited too long.
    fn unpark(&mut self, out: &mut Outbox<'_, Self>) {
        for parked in std::mem::take(&mut self.parked) {
            if self.log.end() >= parked.token {
                self.execute(parked.ticket, parked.op, out);
            } else if out.now - parked.since > PATIENCE {
                let why = "this node has not yet applied what the session has seen".to_owned();
                out.reply(parked.ticket, self.reply(Outcome::Fail(why)));
            } else {
                self.parked.push(parked);
            }
        }
    }

    /// What is on disk: the promise, the log and its effects, those of entries that gave way too
    /// if they are kept.
    fn recover(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Promise { epoch, .. } => self.epoch = *epoch,
                Record::Entry { index, entry } => {
                    let cut = self.log.restore(*index, entry.clone());
                    if cut && self.settings.old_primary == OldPrimary::Truncate {
                        self.objects = Objects::default();
                        for entry in self.log.entries() {
                            entry.op.iter().for_each(|op| self.objects.force(op));
                        }
                    } else if let Some(op) = &entry.op {
                        self.objects.force(op);
                    }
                }
            }
        }
    }

    /// The primary speaks to its replicas; a replica looks whether it still has a primary.
    fn tick(&mut self, out: &mut Outbox<'_, Self>) {
        if !self.leads {
            // The next in line after the primary is the first to lose patience.
            let rank = (self.me.0 + self.settings.nodes - self.primary().0) % self.settings.nodes;
            let timeout = self.settings.failover_timeout;
            let patience = timeout + Nanos(timeout.0 / 2 * u64::from(rank.saturating_sub(1)));
            if self.settings.failover == Failover::Automatic && out.now - self.heard > patience {
                self.promote(PROMOTION, out);
            }
            return;
        }
        let last = self.log.end().index;
        let patience = Nanos(2 * self.heartbeat().0) + self.settings.lag.ceiling();
        for node in self.others() {
            let progress = &mut self.progress[node.index()];
            let stalled = progress.stalled(last, patience, out.now);
            let previous = self.log.position(progress.matched);
            let epoch = self.epoch;
            out.send(node, Message::Replicate { epoch, previous, entries: Vec::new() });
            if stalled {
                self.ship(node, out);
            }
        }
    }
}

impl Node for PrimaryReplica {
    type Message = Message;
    type Request = Request;
    type Reply = Reply;
    type Record = Record;

    fn start(&mut self, out: &mut Outbox<'_, Self>) {
        *self = Self::new(self.me, self.settings);
        self.heard = out.now;
        self.recover(out.disk.records());
        let fresh = out.disk.records().is_empty();
        // With an automatic failover there may be a successor by now: it waits to hear of one. Else
        // nobody else will lead; the epoch is new, for it may have forgotten entries of the old one.
        let resumes = fresh || self.settings.failover != Failover::Automatic;
        if self.primary() == self.me && resumes {
            self.promote(if fresh { 0 } else { RESTART }, out);
        }
        out.wake(self.heartbeat(), TICK);
        if let Fsync::Interval(period) = self.settings.fsync {
            out.wake(period, SYNC);
        }
    }

    fn receive(&mut self, from: NodeId, message: Message, out: &mut Outbox<'_, Self>) {
        let (Message::Replicate { epoch, .. }
        | Message::Confirm { epoch, .. }
        | Message::Behind { epoch, .. }
        | Message::Deposed { epoch }) = message;
        if epoch > self.epoch {
            self.serve(epoch, out);
        }
        let current = epoch == self.epoch;
        match message {
            Message::Replicate { previous, entries, .. } => {
                if !current {
                    return out.send(from, Message::Deposed { epoch: self.epoch });
                }
                self.heard = out.now;
                self.store(from, previous, &entries, out);
            }
            Message::Confirm { matched, .. } if current && self.leads => {
                let progress = &mut self.progress[from.index()];
                progress.confirm(matched, out.now);
                if progress.next <= self.log.end().index {
                    self.ship(from, out);
                }
                self.acknowledge(out);
            }
            Message::Behind { known, .. } if current && self.leads => {
                let again = self.progress[from.index()].go_back(known, out.now);
                if again {
                    self.ship(from, out);
                }
            }
            _ => {}
        }
    }

    fn request(&mut self, ticket: Ticket, request: Request, out: &mut Outbox<'_, Self>) {
        match request {
            Request::Promote if self.leads => {}
            Request::Promote => self.promote(PROMOTION, out),
            Request::Execute { op, token, is_final } => {
                let served = if op.writes() {
                    self.settings.bug == Bug::ReplicaWrites
                } else {
                    self.settings.replicas_read || is_final
                };
                if !self.leads && !served {
                    let why = format!("not primary: that is n{}", self.primary().0 + 1);
                    return out.reply(ticket, self.reply(Outcome::Fail(why)));
                }
                if !is_final && self.log.end() < token {
                    return self.parked.push(Parked { token, since: out.now, ticket, op });
                }
                self.execute(ticket, op, out);
            }
        }
    }

    fn timer(&mut self, timer: Timer, out: &mut Outbox<'_, Self>) {
        if timer == TICK {
            self.tick(out);
            self.unpark(out);
            return out.wake(self.heartbeat(), TICK);
        }
        if let Fsync::Interval(period) = self.settings.fsync {
            if self.settings.bug != Bug::LostFsync {
                out.disk.sync();
            }
            out.wake(period, SYNC);
        }
    }
}

impl Store for PrimaryReplica {
    fn standing(&self) -> Standing {
        Standing { leads: self.leads, epoch: self.epoch, position: self.log.end() }
    }
}
