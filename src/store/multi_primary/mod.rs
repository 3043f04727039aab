//! Several primaries that take writes and tell each other later.
//!
//! Every primary executes what it is asked on what it has, answers, and ships its log of changes to
//! the others. Nothing here prevents two primaries from changing one thing at once; the options say
//! what becomes of it then, and each of them is known from systems that people run:
//!
//! - `contents.rs`: which of two changes wins, what of a number or a collection is told at all;
//! - `ids.rs`: who hands out which ids;
//! - `shipping.rs`: who ships to whom, and how often a change goes round;
//! - `certify.rs`: the remedy. All changes go through the first primary, which refuses those that rest
//!   on what has changed since (first committer wins, as Galera certifies write sets), so all nodes
//!   see one order of all changes. It is no consensus: while the first primary is away nobody writes.
//!
//! What a primary has answered is on its disk; a kill loses nothing but what waited.

mod certify;
mod changes;
mod contents;
mod ids;
mod options;
mod shipping;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(super) use options::{INFO, settings};

use crate::model::{Function, Mop, Nanos, Op, Outcome, Value};
use crate::sim::{Latency, Node, NodeId, Outbox, Sites, Ticket, Timer};
use crate::store::log::Progress;
use crate::store::multi_primary::changes::{Change, Effect, Stamp};
use crate::store::multi_primary::contents::{Conflict, Contents, Merge, Numbers, Rules};
use crate::store::multi_primary::ids::{BLOCK, Ids, Scheme};
use crate::store::{Hint, Position, Reply, Request, Standing, Store};

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replication {
    /// When the primary that took it has it.
    Async,
    /// When all nodes of its data centre have it.
    Sync,
    /// When it has its place in the one order of all changes.
    Certified,
}

/// Which primary tells which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    /// Each all others.
    Mesh,
    /// Each the next one, which passes it on.
    Ring,
    /// As a ring that was never closed: the last one tells no other primary.
    Chain,
}

/// How every node behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) nodes: u8,
    /// The first so many nodes are primaries, the others replicas.
    pub(super) primaries: u8,
    pub(super) replication: Replication,
    pub(super) rules: Rules,
    pub(super) topology: Topology,
    /// Whether a change that has come round to its origin is dropped there.
    pub(super) origin_filter: bool,
    pub(super) ids: Scheme,
    /// Whether the first primary stamps all changes, instead of local clocks.
    pub(super) has_oracle: bool,
    /// Certified: whether a read waits for all that was certified before it.
    pub(super) sync_reads: bool,
    pub(super) lag: Latency,
    pub(super) sites: Sites,
}

/// A node of the store `multi-primary`.
pub(super) struct MultiPrimary {
    me: NodeId,
    settings: Settings,
    contents: Contents,
    /// What is shipped: own changes, and on a ring those passed on.
    log: Vec<Change>,
    /// How much of each other node's log is here.
    received: Vec<u64>,
    progress: Vec<Progress>,
    ids: Ids,
    /// The first primary: the last id it gave away, and the last stamp.
    granted: i64,
    stamped: u64,
    /// How many changes were begun here, in all lives of the process.
    begun: u64,
    /// Writes that wait for other nodes, in the order of the log.
    waiting: VecDeque<(u64, Ticket, Vec<Mop>)>,
    /// Operations that wait for an answer of the first primary, by question.
    asked: BTreeMap<u64, (Ticket, Arc<Op>)>,
    /// Operations that wait to be certified, by their number.
    proposed: BTreeMap<u64, Proposed>,
    /// Operations that wait until so much of the first primary's log is here.
    parked: Vec<(u64, Proposed)>,
    /// The last proposal of each node.
    heard: Vec<u64>,
}

/// An operation on its way to be certified.
#[derive(Clone)]
struct Proposed {
    ticket: Ticket,
    op: Arc<Op>,
    answer: Vec<Mop>,
    attempts: u32,
}

/// What the nodes say to each other.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// A part of the sender's log. Without changes it asks whether anything is missing.
    Changes { first: u64, changes: Vec<Change> },
    /// So much of your log is here; if `behind`, what you sent begins later.
    Have { count: u64, behind: bool },
    /// To the first primary: may this be done?
    Propose { number: u64, effects: Vec<Effect>, based_on: Vec<(Value, Stamp)> },
    /// No: something has changed since, up to that place of the log.
    Reject { number: u64, end: u64 },
    /// To the first primary: give me one of these.
    Ask { question: u64, wanted: Wanted },
    /// Here it is.
    Give { question: u64, wanted: Wanted, given: u64 },
}

/// What only the first primary can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A block of ids, by its first one.
    Ids,
    /// A stamp later than all before.
    Stamp,
    /// The end of its log.
    End,
}

/// A record of a node's disk.
#[derive(Clone, Debug)]
pub(super) enum Record {
    /// A change that began here.
    Own(Change),
    /// The next change of that node's log.
    Received(NodeId, Change),
    /// All ids up to this one are given away.
    Granted(i64),
}

/// Who orders, stamps and gives.
const FIRST: NodeId = NodeId(0);
const TICK: Timer = Timer(0);
const HEARTBEAT: Nanos = Nanos::from_millis(100);

impl MultiPrimary {
    pub(super) fn new(me: NodeId, settings: Settings) -> Self {
        let nodes = usize::from(settings.nodes);
        Self {
            me,
            settings,
            contents: Contents::new(settings.rules),
            log: Vec::new(),
            received: vec![0; nodes],
            progress: vec![Progress::new(1, Nanos(0)); nodes],
            ids: Ids::new(settings.ids, me.0),
            granted: 0,
            stamped: 0,
            begun: 0,
            waiting: VecDeque::new(),
            asked: BTreeMap::new(),
            proposed: BTreeMap::new(),
            parked: Vec::new(),
            heard: vec![0; nodes],
        }
    }

    fn is_primary(&self) -> bool {
        self.me.0 < self.settings.primaries
    }

    fn answer(&self, ticket: Ticket, outcome: Outcome, out: &mut Outbox<'_, Self>) {
        // A client that was answered stays with this node, if the workload names none.
        let hint = Some(Hint { epoch: 1, leader: self.me });
        out.reply(ticket, Reply { outcome, hint, position: Position::default() });
    }

    fn read(&mut self, ticket: Ticket, op: &Op, out: &mut Outbox<'_, Self>) {
        let answer = self.contents.read(op);
        self.answer(ticket, Outcome::Ok(answer), out);
    }

    /// Takes a write; `given` is the stamp, if the first primary gives them.
    fn write(
        &mut self,
        ticket: Ticket,
        op: &Arc<Op>,
        given: Option<u64>,
        out: &mut Outbox<'_, Self>,
    ) {
        let asks_id = op.mops.iter().find(|mop| mop.function == Function::NewId);
        let id = match asks_id {
            None => 0,
            Some(mop) => match self.ids.next(self.contents.last_id(&mop.key), out.random) {
                Some(id) => id,
                None => return self.ask(Wanted::Ids, ticket, op, out),
            },
        };
        if self.settings.replication == Replication::Certified {
            return self.propose(ticket, op.clone(), id, 0, out);
        }
        let time = match given {
            Some(given) => given,
            None if self.settings.has_oracle => return self.ask(Wanted::Stamp, ticket, op, out),
            None => out.clock.0,
        };
        let (node, begun) = (self.me.0, &mut self.begun);
        let stamp = || {
            *begun += 1;
            Stamp { time, node, number: *begun }
        };
        match self.contents.execute(op, node, id, stamp) {
            Err(why) => self.answer(ticket, Outcome::Fail(why), out),
            Ok((answer, changes)) => {
                // Each change travels alone: a field of a row may arrive before the next one.
                for change in changes {
                    out.disk.append(Record::Own(change.clone()));
                    self.log.push(change);
                    self.ship_all(out);
                }
                out.disk.sync();
                self.waiting.push_back((self.log.len() as u64, ticket, answer));
                self.acknowledge(out);
            }
        }
    }

    /// Answers the writes that enough nodes have.
    fn acknowledge(&mut self, out: &mut Outbox<'_, Self>) {
        let all = self.log.len() as u64;
        let is_near = |peer: &NodeId| !self.settings.sites.are_apart(self.me, *peer);
        let near = self.peers().into_iter().filter(is_near);
        let matched = near.map(|peer| self.progress[peer.index()].matched).min();
        let enough = match self.settings.replication {
            Replication::Sync => matched.unwrap_or(all),
            _ => all,
        };
        while self.waiting.front().is_some_and(|one| one.0 <= enough) {
            if let Some((_, ticket, answer)) = self.waiting.pop_front() {
                self.answer(ticket, Outcome::Ok(answer), out);
            }
        }
    }

    /// Gets what only the first primary can give, then goes on with the operation.
    fn ask(&mut self, wanted: Wanted, ticket: Ticket, op: &Arc<Op>, out: &mut Outbox<'_, Self>) {
        if self.me == FIRST {
            let given = self.give(wanted, out);
            return self.go_on(wanted, given, ticket, op, out);
        }
        self.begun += 1;
        self.asked.insert(self.begun, (ticket, op.clone()));
        out.send(FIRST, Message::Ask { question: self.begun, wanted });
    }

    fn give(&mut self, wanted: Wanted, out: &mut Outbox<'_, Self>) -> u64 {
        match wanted {
            Wanted::Ids => {
                let first = self.granted + 1;
                self.granted += BLOCK;
                out.disk.append(Record::Granted(self.granted));
                out.disk.sync();
                first as u64
            }
            Wanted::Stamp => {
                self.stamped = out.now.0.max(self.stamped + 1);
                self.stamped
            }
            Wanted::End => self.log.len() as u64,
        }
    }

    fn go_on(
        &mut self,
        wanted: Wanted,
        given: u64,
        ticket: Ticket,
        op: &Arc<Op>,
        out: &mut Outbox<'_, Self>,
    ) {
        match wanted {
            Wanted::Ids => {
                self.ids.take(given as i64);
                self.write(ticket, op, None, out);
            }
            Wanted::Stamp => self.write(ticket, op, Some(given), out),
            Wanted::End => self.park(given, Proposed::new(ticket, op.clone()), out),
        }
    }

    /// What is on disk, done again in its order.
    fn recover(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Own(change) => {
                    self.contents.apply(change);
                    self.heard[usize::from(change.stamp.node)] = change.stamp.number;
                    self.log.push(change.clone());
                }
                Record::Received(from, change) => self.take(*from, change),
                Record::Granted(last) => self.granted = *last,
            }
        }
    }
}

impl Proposed {
    fn new(ticket: Ticket, op: Arc<Op>) -> Self {
        Self { ticket, op, answer: Vec::new(), attempts: 0 }
    }
}

impl Node for MultiPrimary {
    type Message = Message;
    type Request = Request;
    type Reply = Reply;
    type Record = Record;

    fn start(&mut self, out: &mut Outbox<'_, Self>) {
        *self = Self::new(self.me, self.settings);
        self.recover(out.disk.records());
        // Greater than in any life before: a life lasts longer than its changes are many.
        self.begun = out.now.0;
        let next = self.log.len() as u64 + 1;
        self.progress.fill(Progress::new(next, out.now));
        out.wake(HEARTBEAT, TICK);
    }

    fn receive(&mut self, from: NodeId, message: Message, out: &mut Outbox<'_, Self>) {
        match message {
            Message::Changes { first, changes } => self.take_all(from, first, &changes, out),
            Message::Have { count, behind } => self.hear(from, count, behind, out),
            Message::Propose { number, effects, based_on } => {
                self.judge(from, number, effects, &based_on, out);
            }
            Message::Reject { number, end } => self.retry(number, end, out),
            Message::Ask { question, wanted } => {
                let given = self.give(wanted, out);
                out.send(from, Message::Give { question, wanted, given });
            }
            Message::Give { question, wanted, given } => {
                if let Some((ticket, op)) = self.asked.remove(&question) {
                    self.go_on(wanted, given, ticket, &op, out);
                }
            }
        }
    }

    fn request(&mut self, ticket: Ticket, request: Request, out: &mut Outbox<'_, Self>) {
        let Request::Execute { op, is_final, .. } = request else { return };
        if op.writes() {
            if !self.is_primary() {
                let why = "a replica takes no writes".to_owned();
                return self.answer(ticket, Outcome::Fail(why), out);
            }
            return self.write(ticket, &op, None, out);
        }
        if self.settings.sync_reads && !is_final {
            return self.ask(Wanted::End, ticket, &op, out);
        }
        self.read(ticket, &op, out);
    }

    fn timer(&mut self, _: Timer, out: &mut Outbox<'_, Self>) {
        self.tick(out);
        out.wake(HEARTBEAT, TICK);
    }
}

impl Store for MultiPrimary {
    fn standing(&self) -> Standing {
        let position = Position { epoch: 1, index: self.log.len() as u64 };
        Standing { leads: self.is_primary(), epoch: 1, position }
    }
}
