//! Transactions over several versions of every row, at a level of isolation that can be chosen.
//!
//! The first node is the *primary*: it gives every commit its place in one order and keeps the log.
//! Every node has a *copy* of all rows with their versions, which asks the primary every so often for
//! what it lacks. The node that a client asks leads the transaction step by step:
//!
//! ```text
//!  client        node asked              primary (or the node's own copy)
//!    │── txn ──────> │── begin ─────────────> │  a snapshot: a moment of the rows
//!    │               │<─────────── snapshot ──│
//!    │               │── read x ────────────> │  x as of the snapshot; own writes are put on top
//!    │               │<──────────────── x ────│
//!    │               │── commit ────────────> │  has a row that matters changed since? if not:
//!    │               │<────── done, or not ───│  log, sync, apply to the versions
//!    │<── ok, fail ──│
//! ```
//!
//! So transactions overlap for as long as their messages travel, and a level is nothing but a choice
//! of snapshot and of the rows that matter ([`levels`]):
//!
//! - Serializable: what was read is still current when the transaction commits, so it could as well
//!   have run at that instant. Transactions that only read a snapshot are serial at their snapshot,
//!   which is a prefix of the order of commits, though perhaps an old one.
//! - Snapshot isolation: what is written has not changed. Two transactions that each read what the
//!   other writes both commit: write skew.
//! - Parallel snapshot isolation (Sovran et al. 2011): every node reads its own copy, and shows its
//!   own commits at once, those of others when it hears of them, in the order of commits. A commit
//!   depends only on what its node had shown, and all of that came earlier in the order, so every
//!   node shows causes before effects; but two nodes may show two commits in opposite orders.
//! - Prefix consistency: as snapshot isolation, but nothing matters; updates are lost. (A list that is
//!   read after an own append shows an order that nobody else will see: use registers.)
//! - Read committed: a write locks its row until the transaction ends; each read shows what is
//!   committed by then. Uncommitted: also what is not.
//!
//! A transaction that cannot go on is aborted, by the primary or by the node that leads it when an
//! answer is late, and `fail` is only said when the commit was not asked for or was refused. There is
//! no failover: while the primary is cut off or down nothing is written.

mod certify;
mod levels;
mod locks;
mod open;
mod rows;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{Mop, Nanos, Op, Outcome, Value};
use crate::sim::{Latency, Node, NodeId, Outbox, Ticket, Timer};
use crate::store::{Hint, Position, Reply, Request, Standing, Store};
use certify::Install;
use levels::{Check, View};
pub(super) use levels::{LEVELS, Level};
use locks::Locks;
use open::{Next, Open};
use versions::{Commit, Moment, TxnId, Versions};

/// What is planted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// A commit is checked when it arrives and installed a moment later, whatever came between.
    LostUpdate,
    /// What was read is not checked, only what is written.
    WriteSkew,
    /// What was read and not there is not checked.
    Phantom,
    /// Reads show the present, not the snapshot.
    NonRepeatableRead,
    /// Reads show what is not committed.
    DirtyRead,
    /// Writes take no locks, and a commit is installed row by row.
    DirtyWrite,
    /// A commit is installed row by row.
    TornCommit,
    /// Transactions that only read are given the snapshot of a copy.
    StaleSnapshot,
    /// A node shows its own commits before it has heard of earlier ones.
    LongFork,
    /// The token of a session forgets what the session wrote.
    ForgottenToken,
}

/// How every node behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    level: Level,
    /// Whether a copy waits until it has what the session has seen.
    pub(super) tokens: bool,
    pub(super) lag: Latency,
    bug: Bug,
}

impl Settings {
    /// The error says what the bug needs.
    pub(super) fn new(
        level: Level,
        tokens: bool,
        lag: Latency,
        bug: Bug,
    ) -> Result<Self, &'static str> {
        if bug == Bug::ForgottenToken && !tokens {
            return Err("needs sessions = \"token\"");
        }
        Ok(Self { level: level.with(bug)?, tokens, lag, bug })
    }
}

/// A node of the store `transactional`.
pub(super) struct Transactional {
    me: NodeId,
    settings: Settings,
    /// The copy.
    versions: Versions,
    /// Transactions that wait until the copy has that much.
    parked: Vec<(u64, NodeId, TxnId, u32)>,
    /// The transactions that this node leads, by number.
    open: FxHashMap<u64, Open>,
    last: u64,
    /// Of the primary: all commits in their order, and those that are known by their transaction.
    log: Vec<Commit>,
    done: FxHashMap<TxnId, u64>,
    locks: Locks,
    /// Commits that a bug installs later, by when.
    installs: Vec<(Nanos, Install)>,
}

/// What nodes say to each other; a node that asks itself does so by message too.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// The node that leads a transaction.
    Ask { txn: TxnId, step: u32, question: Question },
    /// Its answer.
    Tell { txn: TxnId, step: u32, answer: Answer },
    /// The transaction is aborted.
    Abandon { txn: TxnId },
    /// A copy: send what follows that stamp.
    Lacking { prefix: u64 },
    /// The primary: these follow.
    Commits(Vec<Commit>),
}

/// A step of a transaction.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// A snapshot, please, that holds every commit up to this stamp.
    Begin { token: u64 },
    /// What does the row hold?
    Read { row: Value, view: View, at: Moment },
    /// Lock the row.
    Write(Mop),
    /// Commit these, if no row has been changed by a commit after its stamp.
    Commit { unchanged: BTreeMap<Value, u64>, writes: Arc<[Mop]> },
}

/// What became of a step.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Began { at: Moment, prefix: u64 },
    Holds(Value),
    Locked,
    Committed { stamp: u64 },
    Aborted(String),
}

const PRIMARY: NodeId = NodeId(0);
const TICK: Timer = Timer(0);
const INSTALL: Timer = Timer(u64::MAX);
/// How often a copy asks for what it lacks.
const PERIOD: Nanos = Nanos::from_millis(10);
/// How long after its beginning a transaction gives up that does not yet commit.
const PATIENCE: Nanos = Nanos::from_millis(400);
/// How long a lock is held that nobody touches.
const LEASE: Nanos = Nanos::from_millis(800);
/// Commits in one message.
const BATCH: usize = 1024;

impl Transactional {
    pub(super) fn new(me: NodeId, settings: Settings) -> Self {
        Self {
            me,
            settings,
            versions: Versions::default(),
            parked: Vec::new(),
            open: FxHashMap::default(),
            last: 0,
            log: Vec::new(),
            done: FxHashMap::default(),
            locks: Locks::default(),
            installs: Vec::new(),
        }
    }

    fn leads(&self) -> bool {
        self.me == PRIMARY
    }

    fn reply(outcome: Outcome, stamp: u64) -> Reply {
        let position = Position { epoch: 1, index: stamp };
        Reply { outcome, hint: Some(Hint { epoch: 1, leader: PRIMARY }), position }
    }

    /// Asks for the next step.
    fn ask(open: &mut Open, to: NodeId, question: Question, out: &mut Outbox<'_, Self>) {
        open.step += 1;
        out.send(to, Message::Ask { txn: open.txn, step: open.step, question });
    }

    fn begin(&mut self, ticket: Ticket, op: Arc<Op>, token: Position, out: &mut Outbox<'_, Self>) {
        self.last += 1;
        let txn = TxnId { began: out.now, node: self.me, number: self.last };
        let level = self.settings.level;
        let view = if op.writes() { level.writers } else { level.readers };
        let home = if view == View::Copy { self.me } else { PRIMARY };
        let mut open = Open::new(txn, ticket, home, view, op);
        let token = if self.settings.tokens { token.index } else { 0 };
        Self::ask(&mut open, home, Question::Begin { token }, out);
        self.open.insert(txn.number, open);
        out.wake(PATIENCE, Timer(txn.number));
    }

    /// An answer to what was asked last.
    fn told(&mut self, mut open: Open, answer: Answer, out: &mut Outbox<'_, Self>) {
        match answer {
            Answer::Began { at, prefix } => (open.at, open.prefix) = (at, prefix),
            Answer::Holds(value) => open.take(value),
            Answer::Locked => {}
            Answer::Aborted(why) => {
                out.send(PRIMARY, Message::Abandon { txn: open.txn });
                return out.reply(open.ticket, Self::reply(Outcome::Fail(why), 0));
            }
            Answer::Committed { stamp } => {
                if self.settings.level.early && !self.leads() {
                    let writes = open.writes.as_slice().into();
                    self.apply(&Commit { stamp, txn: open.txn, writes }, out);
                }
                let forgets = self.settings.bug == Bug::ForgottenToken;
                let seen = if forgets { 0 } else { stamp };
                let reply = Self::reply(Outcome::Ok(Vec::new()), seen);
                return out.reply(open.ticket, Reply { outcome: open.outcome(), ..reply });
            }
        }
        self.go_on(open, out);
    }

    fn go_on(&mut self, mut open: Open, out: &mut Outbox<'_, Self>) {
        match open.next(self.settings.level.locks) {
            Ok(Next::Read(row)) => {
                let question = Question::Read { row, view: open.view, at: open.at };
                let home = open.home;
                Self::ask(&mut open, home, question, out);
            }
            Ok(Next::Write(write)) => Self::ask(&mut open, PRIMARY, Question::Write(write), out),
            Ok(Next::Commit) if open.writes.is_empty() => {
                let reply = Self::reply(Outcome::Ok(Vec::new()), open.prefix);
                return out.reply(open.ticket, Reply { outcome: open.outcome(), ..reply });
            }
            Ok(Next::Commit) => {
                open.is_committing = true;
                let writes = open.writes.as_slice().into();
                let question = Question::Commit { unchanged: self.unchanged(&open), writes };
                Self::ask(&mut open, PRIMARY, question, out);
            }
            Err(why) => {
                out.send(PRIMARY, Message::Abandon { txn: open.txn });
                return out.reply(open.ticket, Self::reply(Outcome::Fail(why), 0));
            }
        }
        self.open.insert(open.txn.number, open);
    }

    /// The rows that must not have changed, each with the stamp of what the transaction saw of it, or
    /// a later one that its snapshot holds as well.
    fn unchanged(&self, open: &Open) -> BTreeMap<Value, u64> {
        let stamp = |row: &Value| match open.view {
            View::Copy => self.versions.stamp(row, open.at),
            _ => open.at.0,
        };
        let is_checked = |value: &Value| self.settings.bug != Bug::Phantom || *value != Value::Null;
        match self.settings.level.check {
            Check::Nothing => BTreeMap::new(),
            Check::Written => {
                open.writes.iter().map(|write| (write.key.clone(), stamp(&write.key))).collect()
            }
            Check::Read => {
                let seen = open.seen.iter().filter(|(_, value)| is_checked(value));
                seen.map(|(row, _)| (row.clone(), stamp(row))).collect()
            }
        }
    }

    /// The copy hears of a commit.
    fn apply(&mut self, commit: &Commit, out: &mut Outbox<'_, Self>) {
        if self.versions.apply(commit) {
            out.disk.append(commit.clone());
            out.disk.sync();
        }
    }

    /// Answers at once from what the copy holds.
    fn look(&self, op: &Arc<Op>) -> Outcome {
        let nobody = TxnId { began: Nanos(0), node: self.me, number: 0 };
        let mut open = Open::new(nobody, Ticket(0), self.me, View::Copy, op.clone());
        loop {
            match open.next(false) {
                Ok(Next::Read(row)) => open.take(self.versions.read(&row, Moment::NOW)),
                Ok(_) => return open.outcome(),
                Err(why) => return Outcome::Fail(why),
            }
        }
    }
}

impl Node for Transactional {
    type Message = Message;
    type Request = Request;
    type Reply = Reply;
    type Record = Commit;

    fn start(&mut self, out: &mut Outbox<'_, Self>) {
        *self = Self::new(self.me, self.settings);
        for commit in out.disk.records() {
            self.versions.apply(commit);
        }
        if self.leads() {
            self.log = out.disk.records().to_vec();
            self.done = self.log.iter().map(|commit| (commit.txn, commit.stamp)).collect();
        }
        out.wake(PERIOD, TICK);
    }

    fn receive(&mut self, from: NodeId, message: Message, out: &mut Outbox<'_, Self>) {
        match message {
            Message::Ask { txn, step, question } => self.serve(from, txn, step, question, out),
            Message::Tell { txn, step, answer } => {
                let is_awaited = |open: &Open| open.txn == txn && open.step == step;
                if self.open.get(&txn.number).is_some_and(is_awaited)
                    && let Some(open) = self.open.remove(&txn.number)
                {
                    self.told(open, answer, out);
                }
            }
            Message::Abandon { txn } => self.release(txn, out),
            Message::Lacking { prefix } => {
                let lacking: Vec<_> =
                    self.log.iter().skip(prefix as usize).take(BATCH).cloned().collect();
                if !lacking.is_empty() {
                    let lag = self.settings.lag.sample(out.random);
                    out.ship(from, lag, Message::Commits(lacking));
                }
            }
            Message::Commits(commits) => {
                for commit in &commits {
                    self.apply(commit, out);
                }
                let prefix = self.versions.prefix();
                let ready = self.parked.extract_if(.., |(token, ..)| *token <= prefix);
                for (_, from, txn, step) in ready.collect::<Vec<_>>() {
                    self.began(from, txn, step, out);
                }
            }
        }
    }

    fn request(&mut self, ticket: Ticket, request: Request, out: &mut Outbox<'_, Self>) {
        let Request::Execute { op, token, is_final, .. } = request else { return };
        if is_final {
            return out.reply(ticket, Self::reply(self.look(&op), 0));
        }
        self.begin(ticket, op, token, out);
    }

    fn timer(&mut self, timer: Timer, out: &mut Outbox<'_, Self>) {
        match timer {
            TICK if self.leads() => {
                for txn in self.locks.overdue(out.now - LEASE) {
                    self.release(txn, out);
                }
                out.wake(PERIOD, TICK);
            }
            TICK => {
                out.send(PRIMARY, Message::Lacking { prefix: self.versions.prefix() });
                out.wake(PERIOD, TICK);
            }
            INSTALL => self.install_next(out),
            Timer(number) => {
                // What was asked to commit may yet: its client hears of it, or gives up.
                let is_late = |open: &Open| !open.is_committing;
                if self.open.get(&number).is_some_and(is_late)
                    && let Some(open) = self.open.remove(&number)
                {
                    let why = "aborted: a step of the transaction was not answered".to_owned();
                    self.told(open, Answer::Aborted(why), out);
                }
            }
        }
    }
}

impl Store for Transactional {
    fn standing(&self) -> Standing {
        let position = Position { epoch: 1, index: self.versions.prefix() };
        Standing { leads: self.leads(), epoch: 1, position }
    }
}
