//! Log replication and commitment: sections 5.3 and 5.4.2 of the paper.

use std::sync::Arc;

use super::{Bug, Leading, MAX_NODES, Message, Raft, Role};
use crate::model::{Function, Nanos, Op, Outcome};
use crate::sim::{NodeId, Outbox, Ticket};
use crate::store::Position;
use crate::store::log::{Accepted, Entry, Record};

/// Entries in one message.
const BATCH: usize = 1024;

impl Raft {
    /// A leader takes a write.
    pub(super) fn propose(&mut self, ticket: Ticket, op: Arc<Op>, out: &mut Outbox<'_, Self>) {
        let blind = op.mops.iter().all(|mop| mop.function != Function::Read);
        if self.settings.bug == Bug::AckBeforeCommit && blind {
            out.reply(ticket, self.reply(Outcome::Ok(op.mops.clone())));
        } else if let Role::Leader(leading) = &mut self.role {
            leading.waiting.push_back((self.log.end().index + 1, ticket));
        }
        self.append(Some(op), out);
    }

    /// Writes an entry of this term to the log and sends it to all followers.
    pub(super) fn append(&mut self, op: Option<Arc<Op>>, out: &mut Outbox<'_, Self>) {
        let entry = Entry { epoch: self.term, op, request: 0 };
        let index = self.log.push(entry.clone());
        out.disk.append(Record::Entry { index, entry });
        self.sync_entries(out);
        self.broadcast(out);
        self.commit_majority(out);
    }

    /// One round of messages to all followers: what each has not been sent, at least a heartbeat.
    pub(super) fn broadcast(&mut self, out: &mut Outbox<'_, Self>) {
        let Role::Leader(leading) = &mut self.role else { return };
        leading.round += 1;
        leading.rounds_sent.push_back((leading.round, out.clock));
        for node in self.others() {
            self.send_entries(node, out);
        }
        self.confirm_round(out);
    }

    fn send_entries(&mut self, to: NodeId, out: &mut Outbox<'_, Self>) {
        let Role::Leader(leading) = &mut self.role else { return };
        let progress = &mut leading.peers[to.index()].progress;
        let entries = self.log.from(progress.next, BATCH);
        // A heartbeat asks after what is confirmed only: the rest may still be under way.
        let after = if entries.is_empty() { progress.matched } else { progress.next - 1 };
        progress.next += entries.len() as u64;
        let previous = self.log.position(after);
        let (term, commit, round) = (self.term, self.commit, leading.round);
        let message = Message::Append { term, previous, entries, commit, round };
        out.ship(to, Nanos(0), message);
    }

    /// A leader's tick: stands down when it has lost its majority, else a heartbeat.
    pub(super) fn keep_leading(&mut self, out: &mut Outbox<'_, Self>) {
        let (timeout, last) = (self.settings.election_timeout, self.log.end().index);
        let (me, majority) = (self.me, self.majority());
        let trusting = self.settings.bug == Bug::StaleLease;
        let Role::Leader(leading) = &mut self.role else { return };
        let mut in_touch = 1;
        for (_, peer) in leading.peers.iter_mut().enumerate().filter(|(at, _)| *at != me.index()) {
            in_touch += usize::from(out.now - peer.contact < timeout);
            peer.progress.stalled(last, Nanos(timeout.0 / 3), out.now);
        }
        if in_touch < majority && !trusting {
            return self.follow(None, out);
        }
        self.broadcast(out);
    }

    /// A follower stores what the leader of its term sent.
    pub(super) fn store(
        &mut self,
        from: NodeId,
        previous: Position,
        entries: &[Entry],
        (commit, round): (u64, u64),
        out: &mut Outbox<'_, Self>,
    ) {
        let term = self.term;
        match self.log.accept(previous, entries) {
            Accepted::Behind { known } => {
                out.send(from, Message::Rejected { term, known, round });
            }
            Accepted::Stored { fresh, .. } => {
                for index in fresh {
                    if let Some(entry) = self.log.get(index) {
                        out.disk.append(Record::Entry { index, entry: entry.clone() });
                    }
                }
                self.sync_entries(out);
                let matched = previous.index + entries.len() as u64;
                out.send(from, Message::Appended { term, matched, round });
                // Beyond `matched` the log may hold entries of another leader.
                self.commit = self.commit.max(commit.min(matched));
                self.apply(out);
            }
        }
    }

    /// A follower of this term answered: its log matches so far, or it knows only so much.
    pub(super) fn confirmed(
        &mut self,
        from: NodeId,
        result: Result<u64, u64>,
        round: u64,
        out: &mut Outbox<'_, Self>,
    ) {
        let last = self.log.end().index;
        let Role::Leader(leading) = &mut self.role else { return };
        let peer = &mut leading.peers[from.index()];
        peer.contact = out.now;
        peer.round = peer.round.max(round);
        let more = match result {
            Ok(matched) => {
                peer.progress.confirm(matched, out.now);
                peer.progress.next <= last
            }
            Err(known) => peer.progress.go_back(known, out.now),
        };
        if more {
            self.send_entries(from, out);
        }
        self.commit_majority(out);
        self.confirm_round(out);
    }

    /// Commits what a majority has, if it ends in an entry of this term (figure 8 of the paper shows
    /// why not otherwise).
    fn commit_majority(&mut self, out: &mut Outbox<'_, Self>) {
        let (last, me) = (self.log.end().index, self.me);
        let Role::Leader(leading) = &self.role else { return };
        let index = self.agreed(leading, |at| {
            if at == me.index() { last } else { leading.peers[at].progress.matched }
        });
        if index > self.commit && self.log.epoch_at(index) == self.term {
            self.commit = index;
            self.apply(out);
        }
    }

    /// The greatest number that a majority of nodes has reached.
    pub(super) fn agreed(&self, leading: &Leading, reached: impl Fn(usize) -> u64) -> u64 {
        let mut all = [0; MAX_NODES];
        let all = &mut all[..leading.peers.len()];
        for (at, number) in all.iter_mut().enumerate() {
            *number = reached(at);
        }
        all.sort_unstable();
        all[all.len() - self.majority()]
    }

    /// Does what is committed; a leader answers those who wait for it.
    fn apply(&mut self, out: &mut Outbox<'_, Self>) {
        while self.applied < self.commit {
            self.applied += 1;
            let op = self.log.get(self.applied).and_then(|entry| entry.op.clone());
            let ticket = match &mut self.role {
                Role::Leader(leading) => {
                    let due = leading.waiting.front().is_some_and(|(at, _)| *at == self.applied);
                    if due { leading.waiting.pop_front() } else { None }
                }
                _ => None,
            };
            match (op, ticket) {
                (Some(op), Some((_, ticket))) => self.answer(ticket, &op, out),
                (Some(op), None) => {
                    self.objects.replay(&op);
                }
                (None, _) => {}
            }
        }
        self.ripen(out);
    }
}
