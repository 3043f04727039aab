//! Raft (Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", 2014): the
//! control, which is linearizable whatever the faults.
//!
//! - Elections ask first whether they would be won (Ongaro's thesis, section 9.6), and nobody votes
//!   while it hears of a leader (section 4.2.3): a node that was cut off deposes nobody, and a lease
//!   can rest on it.
//! - Term, vote and log are on disk before anybody is told of them (figure 2).
//! - A leader commits entries of its own term only and begins its term with an empty one (section 5.4.2).
//! - `reads = read-index` (thesis, section 6.4): a read is answered after a majority has confirmed,
//!   in a round begun after the read came, that there was no newer leader. A follower asks the
//!   leader how far it must have applied, and answers itself.
//! - `reads = lease`: the leader skips the round while, by its wall clock, no other can have been
//!   elected. A clock that is moved by more than the margin breaks it.
//! - `reads = local`: any node answers at once. Stale, and meant to be.
//!
//! Not modelled: snapshots and changes of membership. The log grows with the run.

mod elect;
mod read;
mod replicate;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::model::{Function, Nanos, Op, Outcome};
use crate::sim::{Node, NodeId, Outbox, Ticket, Timer};
use crate::store::log::{Entry, Log, Progress, Record};
use crate::store::{Hint, Objects, Position, Reply, Request, Standing, Store};

/// Who answers a read, and after what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RaftReads {
    /// Any node, after a majority has confirmed the leader.
    ReadIndex,
    /// Any node, while the leader's lease lasts.
    Lease,
    /// Any node, at once.
    Local,
}

/// What is planted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// Term, vote and the promise to a leader are forgotten in a restart.
    ForgetVote,
    /// A write is acknowledged when the leader has it.
    AckBeforeCommit,
    /// The leader's lease never ends, nor does it stand down without a majority.
    StaleLease,
    /// A candidate is voted for though its log lacks entries.
    VoteForShortLog,
    /// Entries are never synced.
    LostFsync,
}

/// How every node of the cluster behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) nodes: u8,
    pub(super) election_timeout: Nanos,
    pub(super) reads: RaftReads,
    pub(super) bug: Bug,
}

/// A node of the store `raft`.
pub(super) struct Raft {
    me: NodeId,
    settings: Settings,
    /// Durable, as are `vote` and `log`.
    term: u64,
    vote: Option<NodeId>,
    log: Log,
    role: Role,
    /// Who leads this term, if that is known.
    leader: Option<NodeId>,
    commit: u64,
    applied: u64,
    objects: Objects,
    /// When it last heard of a leader or lost patience.
    heard: Nanos,
    /// The same on its wall clock: it votes for nobody until an election timeout later.
    promised: Nanos,
    /// How long it waits for a leader; drawn anew each time.
    patience: Nanos,
    /// Reads of this node's clients that wait for the leader's word, by number.
    asked: BTreeMap<u64, Asked>,
    reads_asked: u64,
    /// Reads that wait until this node has applied an index.
    ripening: Vec<(u64, Ticket, Arc<Op>)>,
}

enum Role {
    Follower,
    Candidate { trial: bool, votes: Vec<NodeId> },
    Leader(Leading),
}

/// What only a leader keeps.
struct Leading {
    peers: Vec<Peer>,
    /// The number of the last round of messages to all followers.
    round: u64,
    /// When the rounds not yet confirmed were sent, on the wall clock.
    rounds_sent: VecDeque<(u64, Nanos)>,
    /// A majority has confirmed this round.
    confirmed: u64,
    /// Until then, on the wall clock, no other can have been elected.
    lease_end: Nanos,
    /// Writes that wait to be committed, in the order of their entries.
    waiting: VecDeque<(u64, Ticket)>,
    /// Reads that wait for a round.
    reads: VecDeque<Reading>,
}

#[derive(Clone, Copy)]
struct Peer {
    progress: Progress,
    /// The last round it has answered.
    round: u64,
    /// When it last answered.
    contact: Nanos,
}

struct Reading {
    round: u64,
    reader: Reader,
}

enum Reader {
    /// A client of this node.
    Client(Ticket, Arc<Op>),
    /// Another node, for its client, by that node's number.
    Follower(NodeId, u64),
}

struct Asked {
    since: Nanos,
    ticket: Ticket,
    op: Arc<Op>,
}

/// What the nodes say to each other. Every message but those of reads names its sender's term.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// Vote for me; in a trial: would you?
    RequestVote { term: u64, trial: bool, last: Position },
    /// Yes.
    Vote { term: u64, trial: bool },
    /// The leader: these entries follow that position. Without entries it is a heartbeat.
    Append { term: u64, previous: Position, entries: Vec<Entry>, commit: u64, round: u64 },
    /// My log equals yours up to there.
    Appended { term: u64, matched: u64, round: u64 },
    /// Send what follows that index; or, if the term is newer than yours, stand down.
    Rejected { term: u64, known: u64, round: u64 },
    /// How far must I have applied to answer a read that has come just now?
    ReadIndex { read: u64 },
    /// So far.
    ReadAt { read: u64, index: u64 },
}

/// The greatest cluster.
pub(super) const MAX_NODES: usize = 9;

const TICK: Timer = Timer(0);
/// Ticks, and so heartbeats, in an election timeout.
const TICKS: u64 = 6;

impl Raft {
    pub(super) fn new(me: NodeId, settings: Settings) -> Self {
        Self {
            me,
            settings,
            term: 0,
            vote: None,
            log: Log::default(),
            role: Role::Follower,
            leader: None,
            commit: 0,
            applied: 0,
            objects: Objects::default(),
            heard: Nanos(0),
            promised: Nanos(0),
            patience: settings.election_timeout,
            asked: BTreeMap::new(),
            reads_asked: 0,
            ripening: Vec::new(),
        }
    }

    fn others(&self) -> impl Iterator<Item = NodeId> + use<> {
        let me = self.me;
        (0..self.settings.nodes).map(NodeId).filter(move |node| *node != me)
    }

    fn majority(&self) -> usize {
        usize::from(self.settings.nodes) / 2 + 1
    }

    fn reply(&self, outcome: Outcome) -> Reply {
        let hint = self.leader.map(|leader| Hint { epoch: self.term, leader });
        Reply { outcome, hint, position: self.log.position(self.applied) }
    }

    /// Answers from what is applied here.
    fn answer(&mut self, ticket: Ticket, op: &Op, out: &mut Outbox<'_, Self>) {
        let outcome = self.objects.execute(op).map_or_else(Outcome::Fail, Outcome::Ok);
        out.reply(ticket, self.reply(outcome));
    }

    fn refuse(&self, ticket: Ticket, out: &mut Outbox<'_, Self>) {
        let why = match self.leader {
            Some(leader) => format!("not leader: that is n{}", leader.0 + 1),
            None => "no leader".to_owned(),
        };
        out.reply(ticket, self.reply(Outcome::Fail(why)));
    }

    /// Follows from now on; answers everybody who waits for its leadership.
    fn follow(&mut self, leader: Option<NodeId>, out: &mut Outbox<'_, Self>) {
        self.leader = leader;
        if let Role::Leader(leading) = std::mem::replace(&mut self.role, Role::Follower) {
            self.heard = out.now;
            for (_, ticket) in leading.waiting {
                let why = "leadership lost before the write was committed".to_owned();
                out.reply(ticket, self.reply(Outcome::Info(why)));
            }
            for reading in leading.reads {
                if let Reader::Client(ticket, _) = reading.reader {
                    self.refuse(ticket, out);
                }
            }
        }
    }

    /// Enters a newer term.
    fn enter(&mut self, term: u64, vote: Option<NodeId>, out: &mut Outbox<'_, Self>) {
        (self.term, self.vote) = (term, vote);
        self.remember(out);
        self.follow(None, out);
    }

    /// Writes term and vote to disk.
    fn remember(&self, out: &mut Outbox<'_, Self>) {
        if self.settings.bug != Bug::ForgetVote {
            out.disk.append(Record::Promise { epoch: self.term, vote: self.vote });
            out.disk.sync();
        }
    }

    fn sync_entries(&self, out: &mut Outbox<'_, Self>) {
        if self.settings.bug != Bug::LostFsync {
            out.disk.sync();
        }
    }
}

impl Node for Raft {
    type Message = Message;
    type Request = Request;
    type Reply = Reply;
    type Record = Record;

    fn start(&mut self, out: &mut Outbox<'_, Self>) {
        *self = Self::new(self.me, self.settings);
        for record in out.disk.records() {
            match record {
                Record::Promise { epoch, vote } => (self.term, self.vote) = (*epoch, *vote),
                Record::Snapshot { .. } => {}
                Record::Entry { index, entry } => {
                    self.log.restore(*index, entry.clone());
                }
            }
        }
        // It may have confirmed a leader just before it was killed: a lease may rest on that.
        if self.settings.bug != Bug::ForgetVote {
            self.promised = out.clock;
        }
        // An answer to a read of an earlier life must not pass for one to a read of this life.
        self.reads_asked = out.now.0;
        self.lose_patience_later(out);
        out.wake(Nanos(self.settings.election_timeout.0 / TICKS), TICK);
    }

    fn receive(&mut self, from: NodeId, message: Message, out: &mut Outbox<'_, Self>) {
        match message {
            Message::RequestVote { term, trial, last } => {
                self.consider(from, term, trial, last, out);
            }
            Message::Vote { term, trial } => self.count(from, term, trial, out),
            Message::Append { term, previous, entries, commit, round } => {
                if term < self.term {
                    let refusal = Message::Rejected { term: self.term, known: 0, round };
                    return out.send(from, refusal);
                }
                if term > self.term {
                    self.enter(term, None, out);
                }
                self.follow(Some(from), out);
                (self.heard, self.promised) = (out.now, self.promised.max(out.clock));
                self.store(from, previous, &entries, (commit, round), out);
            }
            Message::Appended { term, .. } | Message::Rejected { term, .. } if term > self.term => {
                self.enter(term, None, out);
            }
            Message::Appended { term, matched, round } if term == self.term => {
                self.confirmed(from, Ok(matched), round, out);
            }
            Message::Rejected { term, known, round } if term == self.term => {
                self.confirmed(from, Err(known), round, out);
            }
            Message::Appended { .. } | Message::Rejected { .. } => {}
            Message::ReadIndex { read } => self.read(Reader::Follower(from, read), out),
            Message::ReadAt { read, index } => {
                if let Some(Asked { ticket, op, .. }) = self.asked.remove(&read) {
                    self.ripening.push((index, ticket, op));
                    self.ripen(out);
                }
            }
        }
    }

    fn request(&mut self, ticket: Ticket, request: Request, out: &mut Outbox<'_, Self>) {
        let Request::Execute { op, .. } = request else { return };
        if op.function == Function::Leader {
            let claim = self.standing().claim("term", &op);
            return out.reply(ticket, self.reply(claim));
        }
        let local = self.settings.reads == RaftReads::Local;
        match (op.writes(), &self.role, self.leader) {
            (false, ..) if local => self.answer(ticket, &op, out),
            (true, Role::Leader(_), _) => self.propose(ticket, op, out),
            (false, Role::Leader(_), _) => self.read(Reader::Client(ticket, op), out),
            (false, _, Some(leader)) => {
                self.reads_asked += 1;
                self.asked.insert(self.reads_asked, Asked { since: out.now, ticket, op });
                out.send(leader, Message::ReadIndex { read: self.reads_asked });
            }
            _ => self.refuse(ticket, out),
        }
    }

    fn timer(&mut self, _: Timer, out: &mut Outbox<'_, Self>) {
        match self.role {
            Role::Leader(_) => self.keep_leading(out),
            _ if out.now - self.heard > self.patience => self.campaign(true, out),
            _ => {}
        }
        self.give_up_reads(out);
        out.wake(Nanos(self.settings.election_timeout.0 / TICKS), TICK);
    }
}

impl Store for Raft {
    fn standing(&self) -> Standing {
        let leads = matches!(self.role, Role::Leader(_));
        Standing { leads, epoch: self.term, position: self.log.end() }
    }
}
