//! A transaction under way, at the node that was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::model::{Function, Mop, Op, Outcome, Value};
use crate::sim::{NodeId, Ticket};
use crate::store::transactional::levels::View;
use crate::store::transactional::rows::{balances, is_bank, row_of, rows_read, writes};
use crate::store::transactional::versions::{Moment, TxnId, changed};

/// What is to be done next.
pub(super) enum Next {
    /// Learn what this row holds.
    Read(Value),
    /// Write, where writes lock.
    Write(Mop),
    /// Everything is read and written: commit.
    Commit,
}

/// A transaction whose client waits. Its writes stay here until it commits.
pub(super) struct Open {
    pub(super) txn: TxnId,
    pub(super) ticket: Ticket,
    /// Who holds the rows that it reads.
    pub(super) home: NodeId,
    pub(super) view: View,
    /// Its snapshot, and up to which stamp that lacks nothing.
    pub(super) at: Moment,
    pub(super) prefix: u64,
    /// How many questions it has asked: an answer to an earlier one is not for it.
    pub(super) step: u32,
    pub(super) is_committing: bool,
    /// What each row held that was read.
    pub(super) seen: BTreeMap<Value, Value>,
    pub(super) writes: Vec<Mop>,
    op: Arc<Op>,
    answer: Vec<Mop>,
    /// The row that is being read.
    reading: Value,
    /// The rows of the micro-operation in hand that are still to be read, and its writes.
    rows: VecDeque<Value>,
    pending: VecDeque<Mop>,
    /// What was read for it.
    found: Vec<Value>,
    /// The bank that it reads account by account.
    bank: Option<Value>,
}

impl Open {
    pub(super) fn new(txn: TxnId, ticket: Ticket, home: NodeId, view: View, op: Arc<Op>) -> Self {
        let rows = op.mops.first().map(rows_read).unwrap_or_default();
        Self {
            txn,
            ticket,
            home,
            view,
            at: Moment::NOW,
            prefix: 0,
            step: 0,
            is_committing: false,
            seen: BTreeMap::new(),
            writes: Vec::new(),
            answer: Vec::with_capacity(op.mops.len()),
            op,
            reading: Value::Null,
            rows: rows.into(),
            pending: VecDeque::new(),
            found: Vec::new(),
            bank: None,
        }
    }

    /// What it answers its client when it has committed.
    pub(super) fn outcome(self) -> Outcome {
        Outcome::Ok(self.answer)
    }

    /// The row that it wanted to read holds this.
    pub(super) fn take(&mut self, value: Value) {
        let own = self.writes.iter().filter(|write| write.key == self.reading);
        self.found.push(own.fold(value.clone(), changed));
        self.seen.entry(std::mem::take(&mut self.reading)).or_insert(value);
    }

    /// What comes next; the error says why the transaction aborts itself.
    pub(super) fn next(&mut self, locks: bool) -> Result<Next, String> {
        let op = self.op.clone();
        loop {
            if let Some(write) = self.pending.pop_front() {
                self.writes.push(write.clone());
                if locks {
                    return Ok(Next::Write(write));
                }
                continue;
            }
            if let Some(row) = self.rows.pop_front() {
                self.reading = row.clone();
                return Ok(Next::Read(row));
            }
            let Some(mop) = op.mops.get(self.answer.len()) else { return Ok(Next::Commit) };
            if mop.function == Function::Read {
                if let Some(bank) = self.found.pop_if(|row| self.bank.is_none() && is_bank(row)) {
                    self.rows =
                        balances(&bank).iter().map(|one| row_of(&mop.key, &one.0)).collect();
                    self.bank = Some(bank);
                    continue;
                }
                let value = self.read_value();
                if op.function == Function::Cas && value != mop.value {
                    return Err("the register holds another value".to_owned());
                }
                self.end_mop(Mop { value, ..mop.clone() });
            } else {
                self.pending = writes(mop, &self.found)?.into();
                self.end_mop(mop.clone());
            }
        }
    }

    /// What the micro-operation in hand has read.
    fn read_value(&mut self) -> Value {
        match self.bank.take() {
            None => self.found.pop().unwrap_or_default(),
            Some(bank) => {
                let accounts = balances(&bank).iter().map(|(account, _)| account.clone());
                Value::Map(accounts.zip(self.found.drain(..)).collect())
            }
        }
    }

    fn end_mop(&mut self, done: Mop) {
        self.answer.push(done);
        self.found.clear();
        let next = self.op.mops.get(self.answer.len());
        self.rows = next.map(rows_read).unwrap_or_default().into();
    }
}
