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

mod apply;
mod failover;
mod handover;
mod join;
mod lines;
mod mediator;
mod options;
mod refusals;
mod settings;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::{Function, Mop, Nanos, Op, Outcome};
use crate::sim::{Node, NodeId, Outbox, Ticket, Timer};
use crate::store::log::{Entry, Log, Progress, Record};
use crate::store::options::Fsync;
use crate::store::{Hint, Objects, Position, Reply, Request, Standing, Store};

use handover::MOVE;
use join::{Arriving, COPIED, Copying, JOIN};
use lines::Lines;
use mediator::{Grants, Mediator};
pub(super) use options::{INFO, settings};
pub(super) use settings::Settings;
use settings::{Bug, Detection, Failover, Fencing, LogForm, OldPrimary, Replication, Resume};

/// A node of the store `primary-replica`: one with data, or a mediator.
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
    /// When it last heard of the primary, or began to wait for one; never if it must not lead before.
    heard: Option<Nanos>,
    /// The same of the other ways to hear of it.
    lines: Lines,
    /// What the mediators granted to it.
    grants: Grants,
    /// The planned end of its lead.
    handover: Option<Handover>,
    /// Of a mediator: whom it stands for.
    mediator: Mediator,
    /// Whether its copying was interrupted and has not gone on yet.
    is_interrupted: bool,
    /// Whether it met a log that it cannot read, and copies nothing any more.
    has_stopped: bool,
    /// What the second worker of a replica has not done yet, though later entries may be done.
    late: Option<Arc<Op>>,
    /// Of a new replica that has not caught up: how far it is.
    arriving: Option<Arriving>,
    /// Of the primary: what the last new replica was given.
    copying: Option<Copying>,
    /// What the primary knows of the others, by node.
    progress: Vec<Progress>,
    /// Writes that wait for replicas, in the order of their entries.
    waiting: VecDeque<Waiting>,
    /// Reads that wait for entries.
    parked: Vec<Parked>,
}

/// A primary takes no more writes until its successor has all.
#[derive(Clone, Copy)]
struct Handover {
    to: NodeId,
    since: Nanos,
    /// Whether the successor was told to begin.
    is_offered: bool,
}

struct Waiting {
    index: u64,
    since: Nanos,
    ticket: Ticket,
    answer: Vec<Mop>,
}

struct Parked {
    token: Position,
    since: Nanos,
    ticket: Ticket,
    op: Arc<Op>,
    number: u64,
}

/// What the nodes say to each other. Every message names its sender's epoch.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// The primary: these entries follow that position. Without entries it is a heartbeat.
    Replicate { epoch: u64, previous: Position, entries: Vec<Entry> },
    /// The primary, on a line of its own: I run.
    Beat { line: usize },
    /// A replica: my log equals yours up to there.
    Confirm { epoch: u64, matched: u64 },
    /// A replica: send what follows that index.
    Behind { epoch: u64, known: u64 },
    /// There is a newer epoch than yours.
    Deposed { epoch: u64 },
    /// A new replica: send me a snapshot.
    Join { epoch: u64, asked: Nanos },
    /// The primary: all data, the log that they come from, and where mine ends now.
    Snapshot { epoch: u64, asked: Nanos, log: Vec<Entry>, objects: Objects, until: u64 },
    /// Who is to take over: give me what comes after this, and stop.
    Yield { epoch: u64, matched: Position },
    /// The old primary: I have stopped, with these entries after that position.
    Yielded { epoch: u64, previous: Position, entries: Vec<Entry> },
    /// To a mediator: I lead in this epoch, or want to.
    Ask { epoch: u64, leads: bool, sent: Nanos },
    /// A mediator: you may.
    Grant { epoch: u64, sent: Nanos },
    /// To the primary: are you there?
    Probe { epoch: u64, sent: Nanos },
    /// The primary: I am.
    Alive { epoch: u64, sent: Nanos },
    /// The primary: you have all, lead.
    TakeOver { epoch: u64 },
}

const TICK: Timer = Timer(0);
const SYNC: Timer = Timer(1);
/// Entries in one message.
const BATCH: usize = 1024;
/// How long a read waits for its token.
const PATIENCE: Nanos = Nanos::from_millis(500);

impl PrimaryReplica {
    pub(super) fn new(me: NodeId, settings: Settings) -> Self {
        Self {
            me,
            settings,
            epoch: 1 << 8 | u64::from(settings.first.0),
            leads: false,
            log: Log::default(),
            objects: Objects::default(),
            matched: 0,
            heard: None,
            lines: Lines::default(),
            grants: Grants::default(),
            handover: None,
            mediator: Mediator::default(),
            is_interrupted: false,
            has_stopped: false,
            late: None,
            arriving: None,
            copying: None,
            progress: Vec::new(),
            waiting: VecDeque::new(),
            parked: Vec::new(),
        }
    }

    fn primary(&self) -> NodeId {
        NodeId((self.epoch & 0xff) as u8)
    }

    fn others(&self) -> impl Iterator<Item = NodeId> + Clone + use<> {
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
        self.handover = None;
        self.matched = 0;
        self.heard = Some(out.now);
        self.lines.fill(out.now);
        self.copying = None;
        out.disk.append(Record::Promise { epoch, vote: None });
        out.disk.sync();
        while let Some(Waiting { ticket, .. }) = self.waiting.pop_front() {
            let outcome = Outcome::Info("deposed before the write was replicated".to_owned());
            out.reply(ticket, self.reply(outcome));
        }
    }

    /// Writes an entry of this epoch, which that request asked for, to the log and sends it to all
    /// replicas.
    fn append(&mut self, op: Option<Arc<Op>>, request: u64, out: &mut Outbox<'_, Self>) -> u64 {
        let entry = Entry { epoch: self.epoch, op, request };
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

    /// Does what the request of that number asks for.
    fn execute(&mut self, ticket: Ticket, op: Arc<Op>, number: u64, out: &mut Outbox<'_, Self>) {
        let is_write = op.writes();
        if is_write && self.settings.is_idempotent && self.log.has_request(number) {
            return out.reply(ticket, self.reply(Outcome::Ok(op.mops.clone())));
        }
        if is_write && self.leads && !self.settings.condition.holds(out.clock, out.random) {
            if self.settings.log == LogForm::Statement {
                self.append(Some(op), number, out);
            }
            let why = "the condition of the statement does not hold".to_owned();
            return out.reply(ticket, self.reply(Outcome::Fail(why)));
        }
        let evaluated = self.settings.new_ids.evaluate(&op, out.clock, out.random);
        let executed = match &evaluated {
            Some(done) => {
                self.objects.force(done);
                Ok(evaluated_answer(&op, done))
            }
            None => self.objects.execute(&op),
        };
        let answer = match executed {
            Ok(answer) => answer,
            Err(why) => return out.reply(ticket, self.reply(Outcome::Fail(why))),
        };
        if !is_write {
            return out.reply(ticket, self.reply(Outcome::Ok(answer)));
        }
        if !self.leads {
            // Only with the bug `replica-writes`: no log entry, no replication.
            return out.reply(ticket, self.reply(Outcome::Ok(answer)));
        }
        let is_statement = self.settings.log == LogForm::Statement;
        let said = evaluated.filter(|_| !is_statement).map_or(op, Arc::new);
        let index = self.append(Some(said), number, out);
        self.waiting.push_back(Waiting { index, since: out.now, ticket, answer });
        self.acknowledge(out);
    }

    /// Up to which entry writes may be acknowledged.
    fn replicated(&self) -> u64 {
        let members = self.others().filter(|node| self.is_member(*node));
        let is_apart = |node: &NodeId| self.settings.sites.are_apart(self.me, *node);
        let remote =
            members.clone().filter(is_apart).map(|node| self.progress[node.index()].matched);
        let matched = members.map(|node| self.progress[node.index()].matched);
        let all = self.log.end().index;
        match self.settings.replication {
            _ if self.settings.bug == Bug::DirtyAck => all,
            Replication::Async => all,
            Replication::Semi => matched.max().unwrap_or(all),
            Replication::Remote => remote.max().unwrap_or(all),
            Replication::Sync => matched.min().unwrap_or(all),
        }
    }

    fn acknowledge(&mut self, out: &mut Outbox<'_, Self>) {
        if self.waiting.is_empty() {
            return;
        }
        let replicated = self.replicated();
        let (degrades, now) = (self.settings.degrades_after, out.now);
        let may_end = |waiting: &Waiting| {
            let is_late = degrades.is_some_and(|patience| now - waiting.since >= patience);
            waiting.index <= replicated || is_late
        };
        while self.waiting.front().is_some_and(may_end) {
            if let Some(Waiting { ticket, answer, .. }) = self.waiting.pop_front() {
                out.reply(ticket, self.reply(Outcome::Ok(answer)));
            }
        }
    }

    /// Answers the reads whose entries have come, and refuses those that waited too long.
    fn unpark(&mut self, out: &mut Outbox<'_, Self>) {
        for parked in std::mem::take(&mut self.parked) {
            if self.log.end() >= parked.token {
                self.execute(parked.ticket, parked.op, parked.number, out);
            } else if out.now - parked.since > PATIENCE {
                let why = "this node has not yet applied what the session has seen".to_owned();
                out.reply(parked.ticket, self.reply(Outcome::Fail(why)));
            } else {
                self.parked.push(parked);
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
        if self.is_mediator() {
            return self.start_mediator(out);
        }
        let fresh = out.disk.records().is_empty();
        self.recover(out);
        self.is_interrupted = !fresh;
        self.take_place(fresh, out);
        if let Some(joining) = self.settings.joining.filter(|_| fresh)
            && self.me.0 + 1 == self.settings.nodes
        {
            out.wake(joining.after, JOIN);
        }
        if let Some(moves) = self.moves_here().filter(|_| fresh) {
            out.wake(moves.after, MOVE);
        }
        out.wake(self.heartbeat(), TICK);
        if let Fsync::Interval(period) = self.settings.fsync {
            out.wake(period, SYNC);
        }
    }

    fn receive(&mut self, from: NodeId, message: Message, out: &mut Outbox<'_, Self>) {
        if self.is_mediator() {
            return self.asked(from, &message, out);
        }
        if let Message::Beat { line } = message {
            return self.heard_on(line, from, out.now);
        }
        if let Message::Grant { epoch, sent } = message {
            return self.granted(from, epoch, sent, out);
        }
        if let Message::Deposed { epoch } = message
            && from.0 >= self.settings.nodes
        {
            return self.refused(from, epoch, out);
        }
        let (Message::Replicate { epoch, .. }
        | Message::Confirm { epoch, .. }
        | Message::Behind { epoch, .. }
        | Message::Deposed { epoch }
        | Message::Yield { epoch, .. }
        | Message::Yielded { epoch, .. }
        | Message::Join { epoch, .. }
        | Message::Snapshot { epoch, .. }
        | Message::Ask { epoch, .. }
        | Message::Grant { epoch, .. }
        | Message::Probe { epoch, .. }
        | Message::Alive { epoch, .. }
        | Message::TakeOver { epoch }) = message
        else {
            return;
        };
        if epoch > self.epoch {
            self.serve(epoch, out);
        }
        let current = epoch == self.epoch;
        match message {
            Message::Replicate { previous, entries, .. } => {
                if !current {
                    return out.send(from, Message::Deposed { epoch: self.epoch });
                }
                // Only what the primary says of itself tells that it is there, not its log; and who
                // probes trusts nothing but an answer.
                if entries.is_empty() && self.settings.detection != Detection::Probe {
                    self.heard = Some(out.now);
                }
                self.store(from, previous, entries, out);
            }
            Message::Confirm { matched, .. } if current && self.leads => {
                let progress = &mut self.progress[from.index()];
                progress.confirm(matched, out.now);
                if progress.next <= self.log.end().index {
                    self.ship(from, out);
                }
                self.acknowledge(out);
                self.offer_lead(out);
            }
            Message::Probe { sent, .. } if self.leads => {
                out.send(from, Message::Alive { epoch: self.epoch, sent });
            }
            Message::Alive { sent, .. } if current => self.heard = self.heard.max(Some(sent)),
            Message::TakeOver { .. } if current => self.promoted(out),
            Message::Behind { known, .. } if current && self.leads => {
                let again = self.progress[from.index()].go_back(known, out.now);
                if again {
                    self.ship(from, out);
                }
            }
            Message::Yield { matched, .. } if current && self.primary() == self.me => {
                self.give_over(from, matched, out);
            }
            Message::Yielded { previous, entries, .. } if current && !self.leads => {
                self.given_over(previous, &entries, out);
            }
            Message::Join { asked, .. } if current && self.leads => {
                self.copy_for(from, asked, out);
            }
            Message::Snapshot { asked, log, objects, until, .. } if current => {
                self.install(from, (asked, log, objects, until), out);
            }
            _ => {}
        }
    }

    fn request(&mut self, ticket: Ticket, request: Request, out: &mut Outbox<'_, Self>) {
        match request {
            Request::Promote if self.arriving.is_some() => {}
            Request::Promote => self.promoted(out),
            Request::HandOver { to } => self.hand_over(to, out),
            Request::Execute { op, .. } if op.function == Function::Leader => {
                let standing = Standing { leads: self.serves(out.now), ..self.standing() };
                out.reply(ticket, self.reply(standing.claim("epoch", &op)));
            }
            Request::Execute { op, number, token, epoch, is_final } => {
                if self.settings.fencing == Fencing::Epoch && epoch > self.epoch {
                    self.serve(epoch, out);
                }
                // A client that knows this epoch knows its primary, and could not reach it.
                let misses_primary = op.writes() && epoch == self.epoch && !self.leads;
                if self.settings.detection == Detection::Client && misses_primary {
                    self.promoted(out);
                }
                if op.writes() && self.handover.is_some() {
                    let why = "the primary is being changed".to_owned();
                    return out.reply(ticket, self.reply(Outcome::Fail(why)));
                }
                let served = if op.writes() {
                    self.settings.bug == Bug::ReplicaWrites
                } else {
                    self.settings.replicas_read || is_final
                };
                if !self.serves(out.now) && !served {
                    let why = format!("not primary: that is n{}", self.primary().0 + 1);
                    return out.reply(ticket, self.reply(Outcome::Fail(why)));
                }
                if !is_final && self.is_incomplete() {
                    let outcome = Outcome::Fail("this node has not caught up yet".to_owned());
                    return out.reply(ticket, Reply { hint: None, ..self.reply(outcome) });
                }
                if !is_final && self.log.end() < token {
                    return self.parked.push(Parked { token, since: out.now, ticket, op, number });
                }
                self.execute(ticket, op, number, out);
            }
        }
    }

    fn timer(&mut self, timer: Timer, out: &mut Outbox<'_, Self>) {
        if timer == JOIN {
            return self.join(out);
        }
        if timer == MOVE {
            return self.take_over(out);
        }
        if timer == COPIED {
            return self.copied(out);
        }
        if timer == TICK {
            if self.arriving.is_some() {
                self.await_snapshot(out);
            } else {
                self.tick(out);
            }
            self.catch_up();
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

/// What the client is told of a new id that was evaluated, and `done` by writing it.
fn evaluated_answer(op: &Op, done: &Op) -> Vec<Mop> {
    let values = done.mops.iter().map(|mop| mop.value.clone());
    op.mops.iter().zip(values).map(|(mop, value)| Mop { value, ..mop.clone() }).collect()
}

impl Store for PrimaryReplica {
    fn standing(&self) -> Standing {
        Standing { leads: self.leads, epoch: self.epoch, position: self.log.end() }
    }

    fn map(&self) -> Option<NodeId> {
        let epoch = self.mediator.epoch();
        (self.is_mediator() && epoch > 0).then_some(NodeId((epoch & 0xff) as u8))
    }
}
