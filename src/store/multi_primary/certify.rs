//! One order of all changes: the first primary certifies what the others propose.
//!
//! A node executes an operation on what it has, and proposes what it would do together with the keys it
//! looked at and the change that touched each last. The first primary takes it into its log unless one
//! of them was touched since; every node applies that log, in its order. So an operation takes effect
//! exactly once, where the log has it, on the state that its answer rests on.

use std::sync::Arc;

use super::{Change, Effect, FIRST, Message, MultiPrimary, Proposed, Record, Stamp};
use crate::model::{Op, Outcome, Value};
use crate::sim::{NodeId, Outbox, Ticket};

/// How often an operation that came too late is executed again.
const ATTEMPTS: u32 = 8;

impl MultiPrimary {
    /// Executes an operation on what is here, and asks whether it may be done.
    pub(super) fn propose(
        &mut self,
        ticket: Ticket,
        op: Arc<Op>,
        id: i64,
        attempts: u32,
        out: &mut Outbox<'_, Self>,
    ) {
        let prepared = match self.contents.prepare(&op, id) {
            Ok(prepared) => prepared,
            Err(why) => return self.answer(ticket, Outcome::Fail(why), out),
        };
        self.begun += 1;
        let number = self.begun;
        if self.me == FIRST {
            self.order(Stamp { time: 0, node: self.me.0, number }, prepared.effects, out);
            return self.answer(ticket, Outcome::Ok(prepared.answer), out);
        }
        let proposed = Proposed { ticket, op, answer: prepared.answer, attempts };
        self.proposed.insert(number, proposed);
        let (effects, based_on) = (prepared.effects, prepared.based_on);
        out.send(FIRST, Message::Propose { number, effects, based_on });
    }

    /// The first primary: decides over a proposal.
    pub(super) fn judge(
        &mut self,
        from: NodeId,
        number: u64,
        effects: Vec<Effect>,
        based_on: &[(Value, Stamp)],
        out: &mut Outbox<'_, Self>,
    ) {
        // A message may come twice.
        if number <= self.heard[from.index()] {
            return;
        }
        self.heard[from.index()] = number;
        if based_on.iter().all(|(key, stamp)| self.contents.version(key) == *stamp) {
            self.order(Stamp { time: 0, node: from.0, number }, effects, out);
        } else {
            let end = self.log.len() as u64;
            out.send(from, Message::Reject { number, end });
        }
    }

    /// The first primary: gives a change its place in the order.
    fn order(&mut self, stamp: Stamp, effects: Vec<Effect>, out: &mut Outbox<'_, Self>) {
        let stamp = Stamp { time: self.log.len() as u64 + 1, ..stamp };
        let change = Change { stamp, effects, hops: 0 };
        self.contents.apply(&change);
        out.disk.append(Record::Own(change.clone()));
        out.disk.sync();
        self.log.push(change);
        self.ship_all(out);
    }

    /// A change has come: if it was proposed here, its client is answered.
    pub(super) fn certified(&mut self, change: &Change, out: &mut Outbox<'_, Self>) {
        if change.stamp.node == self.me.0
            && let Some(proposed) = self.proposed.remove(&change.stamp.number)
        {
            self.answer(proposed.ticket, Outcome::Ok(proposed.answer), out);
        }
    }

    /// A proposal came too late: it is made again when what came before it is here.
    pub(super) fn retry(&mut self, number: u64, end: u64, out: &mut Outbox<'_, Self>) {
        let Some(mut proposed) = self.proposed.remove(&number) else { return };
        proposed.attempts += 1;
        if proposed.attempts < ATTEMPTS {
            return self.park(end, proposed, out);
        }
        let why = "refused: what it read has changed, again and again".to_owned();
        self.answer(proposed.ticket, Outcome::Fail(why), out);
    }

    /// Lets an operation wait until so much of the first primary's log is here.
    pub(super) fn park(&mut self, end: u64, proposed: Proposed, out: &mut Outbox<'_, Self>) {
        self.parked.push((end, proposed));
        self.unpark(out);
    }

    pub(super) fn unpark(&mut self, out: &mut Outbox<'_, Self>) {
        let here = if self.me == FIRST { u64::MAX } else { self.received[FIRST.index()] };
        let (ready, rest) =
            std::mem::take(&mut self.parked).into_iter().partition(|one| one.0 <= here);
        self.parked = rest;
        let ready: Vec<(u64, Proposed)> = ready;
        for (_, Proposed { ticket, op, attempts, .. }) in ready {
            if op.writes() {
                let key = op.key();
                // An id that was refused is taken.
                let id = self.ids.next(self.contents.last_id(key), out.random).unwrap_or(0);
                self.propose(ticket, op, id, attempts, out);
            } else {
                self.read(ticket, &op, out);
            }
        }
    }
}
