//! No leader: whoever is asked writes to all replicas of a key and waits for some, reads from some
//! and takes the newest (Gifford 1979; Dynamo, `DeCandia` et al. 2007).
//!
//! With W + R > N a read meets every write that was completed before it. That makes a regular register
//! at most. With `versions = "counter"` and `read-repair = "sync"` it is the multi-writer register of
//! Attiya, Bar-Noy and Dolev (1995; Lynch and Shvartsman 1997), which is linearizable: a write asks a
//! quorum for the greatest number first, and a read writes back what it is about to show.
//!
//! - `cell.rs`: what a replica holds of a key, and how two replicas become one;
//! - `coordinate.rs`: reads, writes, and both after each other, with quorums;
//! - `repair.rs`: hints, anti-entropy, and nodes that come back without their data.

mod cell;
mod coordinate;
mod options;
mod repair;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use options::{INFO, settings};

use crate::model::{Nanos, Outcome, Value};
use crate::sim::{Latency, Node, NodeId, Outbox, Ticket, Timer};
use crate::store::leaderless::cell::{Cell, Keeping, Stamp};
use crate::store::leaderless::coordinate::Call;
use crate::store::routing::number_of;
use crate::store::{Hint, Position, Reply, Request, Standing, Store};

/// What a read does about replicas that lack what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadRepair {
    Off,
    /// Tells them, and does not wait.
    Async,
    /// Tells them, and answers when as many have it as a write waits for.
    Sync,
}

/// What a node finds when it starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// Its disk.
    Disk,
    /// Nothing: the disk was replaced.
    Empty,
    /// The older half of what it had.
    Backup,
    /// Nothing, but it answers no read until all others have told it what they have.
    Rebuild,
}

/// How every node behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) nodes: u8,
    /// N, W and R.
    pub(super) replicas: u8,
    pub(super) write_quorum: u8,
    pub(super) read_quorum: u8,
    /// Whether other nodes stand in for replicas that do not answer.
    pub(super) is_sloppy: bool,
    pub(super) read_repair: ReadRepair,
    pub(super) anti_entropy: Option<Nanos>,
    pub(super) keeping: Keeping,
    /// Whether a write that too few replicas have is called failed.
    pub(super) calls_partial_failed: bool,
    pub(super) restart: Restart,
    pub(super) lag: Latency,
}

/// A node of the store `leaderless`.
pub(super) struct Leaderless {
    me: NodeId,
    settings: Settings,
    cells: BTreeMap<Value, Cell>,
    /// What is kept here for a replica that did not answer.
    hints: BTreeMap<(NodeId, Value), Cell>,
    calls: BTreeMap<u64, Call>,
    /// How many calls and changes were begun here, in all lives of the process.
    begun: u64,
    /// Who has not yet told what it has, while this node rebuilds.
    awaited: BTreeSet<NodeId>,
}

/// What the nodes say to each other.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// What do you have of this key?
    Read { call: u64, key: Value },
    /// This.
    Found { call: u64, key: Value, cell: Cell },
    /// Take this; keep it for that node, if one is named.
    Write { call: u64, key: Value, cell: Cell, for_node: Option<NodeId> },
    /// I have it.
    Written { call: u64, key: Value },
    /// Take it back.
    Undo { key: Value, stamps: Vec<Stamp> },
    /// Everything I have; tell me what you have, if `asks`.
    Everything { cells: Vec<(Value, Cell)>, asks: bool },
    /// I have what you kept for me.
    Thanks { key: Value, cell: Cell },
}

/// A record of a node's disk.
#[derive(Clone, Debug)]
pub(super) enum Record {
    /// The process started on this disk.
    Start,
    /// This was taken in.
    Cell(Value, Cell),
    /// This was taken back.
    Undo(Value, Vec<Stamp>),
    /// This is kept for another node.
    Hint(NodeId, Value, Cell),
}

const TICK: Timer = Timer(0);
const ANTI_ENTROPY: Timer = Timer(1);
const HEARTBEAT: Nanos = Nanos::from_millis(200);

impl Leaderless {
    pub(super) fn new(me: NodeId, settings: Settings) -> Self {
        Self {
            me,
            settings,
            cells: BTreeMap::new(),
            hints: BTreeMap::new(),
            calls: BTreeMap::new(),
            begun: 0,
            awaited: BTreeSet::new(),
        }
    }

    /// All nodes in the order in which they take a key: first its replicas, then who stands in.
    fn preference(&self, key: &Value) -> impl Iterator<Item = NodeId> + use<> {
        let (first, nodes) = (number_of(key), u64::from(self.settings.nodes));
        (0..nodes).map(move |step| NodeId(((first + step) % nodes) as u8))
    }

    fn replicas(&self, key: &Value) -> impl Iterator<Item = NodeId> + use<> {
        self.preference(key).take(usize::from(self.settings.replicas))
    }

    fn others(&self) -> impl Iterator<Item = NodeId> + use<> {
        let me = self.me;
        (0..self.settings.nodes).map(NodeId).filter(move |node| *node != me)
    }

    fn answer(&self, ticket: Ticket, outcome: Outcome, out: &mut Outbox<'_, Self>) {
        let hint = Some(Hint { epoch: 1, leader: self.me });
        out.reply(ticket, Reply { outcome, hint, position: Position::default() });
    }

    /// Takes in what somebody has of a key.
    fn take(&mut self, key: &Value, cell: &Cell, out: &mut Outbox<'_, Self>) {
        self.cells.entry(key.clone()).or_default().merge(cell, self.settings.keeping, out.now);
        out.disk.append(Record::Cell(key.clone(), cell.clone()));
        out.disk.sync();
    }

    fn recover(&mut self, out: &mut Outbox<'_, Self>) {
        let records = out.disk.records();
        let kept = match self.settings.restart {
            Restart::Disk => records.len(),
            Restart::Backup => records.len() / 2,
            Restart::Empty | Restart::Rebuild => 0,
        };
        for record in &records[..kept] {
            match record {
                Record::Start => {}
                Record::Cell(key, cell) => {
                    let held = self.cells.entry(key.clone()).or_default();
                    held.merge(cell, self.settings.keeping, out.now);
                }
                Record::Undo(key, stamps) => {
                    self.cells.entry(key.clone()).or_default().undo(stamps);
                }
                Record::Hint(node, key, cell) => {
                    let held = self.hints.entry((*node, key.clone())).or_default();
                    held.merge(cell, self.settings.keeping, out.now);
                }
            }
        }
    }
}

impl Node for Leaderless {
    type Message = Message;
    type Request = Request;
    type Reply = Reply;
    type Record = Record;

    fn start(&mut self, out: &mut Outbox<'_, Self>) {
        *self = Self::new(self.me, self.settings);
        let is_new = out.disk.records().is_empty();
        self.recover(out);
        out.disk.append(Record::Start);
        out.disk.sync();
        // Greater than in any life before: a life lasts longer than its calls are many.
        self.begun = out.now.0 + 2;
        if self.settings.restart == Restart::Rebuild && !is_new {
            self.awaited = self.others().collect();
        }
        out.wake(HEARTBEAT, TICK);
        if let Some(period) = self.settings.anti_entropy {
            out.wake(period, ANTI_ENTROPY);
        }
    }

    fn receive(&mut self, from: NodeId, message: Message, out: &mut Outbox<'_, Self>) {
        match message {
            Message::Read { call, key } => {
                if self.awaited.is_empty() {
                    let cell = self.cells.get(&key).cloned().unwrap_or_default();
                    out.send(from, Message::Found { call, key, cell });
                }
            }
            Message::Found { call, key, cell } => self.found(call, from, key, cell, out),
            Message::Write { call, key, cell, for_node: None } => {
                self.take(&key, &cell, out);
                out.send(from, Message::Written { call, key });
            }
            Message::Write { call, key, cell, for_node: Some(node) } => {
                self.keep_for(node, &key, &cell, out);
                out.send(from, Message::Written { call, key });
            }
            Message::Written { call, key } => self.written(call, from, &key, out),
            Message::Undo { key, stamps } => {
                self.cells.entry(key.clone()).or_default().undo(&stamps);
                out.disk.append(Record::Undo(key, stamps));
                out.disk.sync();
            }
            Message::Everything { cells, asks } => self.compare(from, &cells, asks, out),
            Message::Thanks { key, cell } => self.thanked(from, key, &cell),
        }
    }

    fn request(&mut self, ticket: Ticket, request: Request, out: &mut Outbox<'_, Self>) {
        let Request::Execute { op, is_final, .. } = request else { return };
        let key = op.key();
        if is_final && self.replicas(key).any(|node| node == self.me) {
            let mut objects = cell::objects(self.cells.get(key).into_iter());
            let answer = objects.execute(&op).map_or_else(Outcome::Fail, Outcome::Ok);
            return self.answer(ticket, answer, out);
        }
        self.begin(ticket, op, out);
    }

    fn timer(&mut self, timer: Timer, out: &mut Outbox<'_, Self>) {
        match timer {
            TICK => {
                self.tick(out);
                out.wake(HEARTBEAT, TICK);
            }
            ANTI_ENTROPY => {
                self.tell_one(out);
                out.wake(self.settings.anti_entropy.unwrap_or(Nanos::FOREVER), ANTI_ENTROPY);
            }
            Timer(number) => self.late(number, out),
        }
    }
}

impl Store for Leaderless {
    fn standing(&self) -> Standing {
        let position = Position { epoch: 1, index: self.begun };
        Standing { leads: true, epoch: 1, position }
    }
}
