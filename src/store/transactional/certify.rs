//! What a node answers to the steps of transactions: snapshots and reads from its copy and, as the
//! primary, locks and commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Mop, Nanos, Value};
use crate::sim::{NodeId, Outbox};
use crate::store::transactional::levels::View;
use crate::store::transactional::locks::Grant;
use crate::store::transactional::versions::{Commit, Moment, TxnId};
use crate::store::transactional::{Answer, Bug, INSTALL, Message, Question, Transactional};

/// A part of a commit that is installed later than it was checked.
pub(super) struct Install {
    to: NodeId,
    txn: TxnId,
    step: u32,
    writes: Arc<[Mop]>,
    is_last: bool,
}

/// How long after the check, and how long from one row to the next.
const GAP: Nanos = Nanos::from_millis(3);

impl Transactional {
    fn tell(to: NodeId, txn: TxnId, step: u32, answer: Answer, out: &mut Outbox<'_, Self>) {
        out.send(to, Message::Tell { txn, step, answer });
    }

    pub(super) fn serve(
        &mut self,
        from: NodeId,
        txn: TxnId,
        step: u32,
        question: Question,
        out: &mut Outbox<'_, Self>,
    ) {
        match question {
            Question::Begin { token } if token > self.versions.prefix() => {
                self.parked.push((token, from, txn, step));
            }
            Question::Begin { .. } => self.began(from, txn, step, out),
            Question::Read { row, view, at } => {
                let value = match view {
                    View::Latest | View::Copy => self.versions.read(&row, at),
                    View::EachRead => self.versions.read(&row, Moment::NOW),
                    View::Uncommitted => {
                        let committed = self.versions.read(&row, Moment::NOW);
                        self.locks.uncommitted(txn, &row, committed)
                    }
                };
                Self::tell(from, txn, step, Answer::Holds(value), out);
            }
            // A message that was doubled comes again when all is over.
            Question::Write(_) if self.done.contains_key(&txn) => {}
            Question::Write(write) => self.lock(from, txn, step, &write, out),
            Question::Commit { unchanged, writes } => {
                self.commit(from, txn, step, &unchanged, writes, out);
            }
        }
    }

    pub(super) fn began(&self, to: NodeId, txn: TxnId, step: u32, out: &mut Outbox<'_, Self>) {
        let (at, prefix) = (self.versions.now(), self.versions.prefix());
        Self::tell(to, txn, step, Answer::Began { at, prefix }, out);
    }

    fn lock(
        &mut self,
        from: NodeId,
        txn: TxnId,
        step: u32,
        write: &Mop,
        out: &mut Outbox<'_, Self>,
    ) {
        match self.locks.acquire(txn, step, write, out.now) {
            Grant::Given => Self::tell(from, txn, step, Answer::Locked, out),
            Grant::Waits => {}
            Grant::Dies => {
                let why = format!("aborted: an older transaction holds {}", write.key);
                Self::tell(from, txn, step, Answer::Aborted(why), out);
                self.release(txn, out);
            }
        }
    }

    /// The transaction has ended: its locks go to those who wait for them.
    pub(super) fn release(&mut self, txn: TxnId, out: &mut Outbox<'_, Self>) {
        for (next, step) in self.locks.release(txn, out.now) {
            Self::tell(next.node, next, step, Answer::Locked, out);
        }
    }

    fn commit(
        &mut self,
        from: NodeId,
        txn: TxnId,
        step: u32,
        unchanged: &BTreeMap<Value, u64>,
        writes: Arc<[Mop]>,
        out: &mut Outbox<'_, Self>,
    ) {
        if self.installs.iter().any(|(_, install)| install.txn == txn) {
            return;
        }
        if let Some(stamp) = self.done.get(&txn) {
            return Self::tell(from, txn, step, Answer::Committed { stamp: *stamp }, out);
        }
        let latest = |row| self.versions.stamp(row, Moment::NOW);
        let changed = unchanged.iter().find(|(row, stamp)| latest(row) > **stamp);
        let lost = writes
            .iter()
            .find(|write| self.settings.level.locks && !self.locks.holds(txn, &write.key));
        let why = match (changed, lost) {
            (Some((row, _)), _) => format!("aborted: {row} was changed meanwhile"),
            (_, Some(write)) => format!("aborted: the lock of {} was lost", write.key),
            (None, None) => {
                return self.install(from, txn, step, writes, out);
            }
        };
        Self::tell(from, txn, step, Answer::Aborted(why), out);
        self.release(txn, out);
    }

    /// Makes a commit that has passed its checks visible: at once, but for bugs.
    fn install(
        &mut self,
        to: NodeId,
        txn: TxnId,
        step: u32,
        writes: Arc<[Mop]>,
        out: &mut Outbox<'_, Self>,
    ) {
        let (parts, mut delay): (Vec<Arc<[Mop]>>, Nanos) = match self.settings.bug {
            Bug::LostUpdate => (vec![writes], GAP),
            Bug::TornCommit | Bug::DirtyWrite => {
                let mut rows: Vec<&Value> = Vec::new();
                for write in writes.iter() {
                    if !rows.contains(&&write.key) {
                        rows.push(&write.key);
                    }
                }
                let of = |row: &Value| {
                    writes.iter().filter(|write| write.key == *row).cloned().collect()
                };
                (rows.into_iter().map(of).collect(), Nanos(0))
            }
            _ => (vec![writes], Nanos(0)),
        };
        let many = parts.len();
        for (at, writes) in parts.into_iter().enumerate() {
            let install = Install { to, txn, step, writes, is_last: at + 1 == many };
            if delay == Nanos(0) {
                self.install_part(install, out);
            } else {
                self.installs.push((out.now + delay, install));
                out.wake(delay, INSTALL);
            }
            delay = delay + GAP;
        }
    }

    /// Installs the parts that are due.
    pub(super) fn install_next(&mut self, out: &mut Outbox<'_, Self>) {
        let due = self.installs.extract_if(.., |(time, _)| *time <= out.now);
        for (_, install) in due.collect::<Vec<_>>() {
            self.install_part(install, out);
        }
    }

    fn install_part(&mut self, install: Install, out: &mut Outbox<'_, Self>) {
        let Install { to, txn, step, writes, is_last } = install;
        let stamp = self.log.len() as u64 + 1;
        let commit = Commit { stamp, txn, writes };
        self.apply(&commit, out);
        self.log.push(commit);
        if is_last {
            self.done.insert(txn, stamp);
            Self::tell(to, txn, step, Answer::Committed { stamp }, out);
            self.release(txn, out);
        }
    }
}
