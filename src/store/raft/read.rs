//! Reads: section 6.4 of the thesis.

use super::{Bug, Message, Raft, RaftReads, Reader, Reading, Role};
use crate::model::{Nanos, Outcome};
use crate::sim::Outbox;

impl Raft {
    /// A leader is asked for a read, by a client or on behalf of one.
    pub(super) fn read(&mut self, reader: Reader, out: &mut Outbox<'_, Self>) {
        let leased = self.leased(out);
        let Role::Leader(leading) = &mut self.role else {
            // Asked for by a follower that knows no better; its client will be told in time.
            return;
        };
        if leased {
            return self.serve(reader, out);
        }
        leading.reads.push_back(Reading { round: leading.round + 1, reader });
        self.broadcast(out);
    }

    /// Whether no other leader can have been elected yet.
    fn leased(&self, out: &Outbox<'_, Self>) -> bool {
        let Role::Leader(leading) = &self.role else { return false };
        let bound = out.clock < leading.lease_end || self.settings.bug == Bug::StaleLease;
        self.settings.reads == RaftReads::Lease && bound && self.term_committed()
    }

    /// Before an entry of its own term is committed a leader does not know what is committed.
    fn term_committed(&self) -> bool {
        self.log.epoch_at(self.commit) == self.term
    }

    /// Looks which rounds a majority has answered; extends the lease and serves the reads that
    /// waited for them.
    pub(super) fn confirm_round(&mut self, out: &mut Outbox<'_, Self>) {
        let me = self.me;
        let Role::Leader(leading) = &self.role else { return };
        let confirmed = self.agreed(leading, |at| {
            if at == me.index() { leading.round } else { leading.peers[at].round }
        });
        let committed = self.term_committed();
        // The voters of the majority wait an election timeout from when they heard the round, which
        // is after it was sent. A tenth is left for clocks that differ.
        let lease = Nanos(self.settings.election_timeout.0 / 10 * 9);
        let Role::Leader(leading) = &mut self.role else { return };
        leading.confirmed = leading.confirmed.max(confirmed);
        while leading.rounds_sent.front().is_some_and(|(round, _)| *round <= leading.confirmed) {
            if let Some((_, sent)) = leading.rounds_sent.pop_front() {
                leading.lease_end = sent + lease;
            }
        }
        if !committed {
            return;
        }
        let due = leading.reads.partition_point(|read| read.round <= leading.confirmed);
        let due: Vec<_> = leading.reads.drain(..due).collect();
        for reading in due {
            self.serve(reading.reader, out);
        }
    }

    fn serve(&mut self, reader: Reader, out: &mut Outbox<'_, Self>) {
        match reader {
            Reader::Client(ticket, op) => self.answer(ticket, &op, out),
            Reader::Follower(node, read) => {
                out.send(node, Message::ReadAt { read, index: self.commit });
            }
        }
    }

    /// Answers the reads whose index has been applied.
    pub(super) fn ripen(&mut self, out: &mut Outbox<'_, Self>) {
        if self.ripening.is_empty() {
            return;
        }
        for (index, ticket, op) in std::mem::take(&mut self.ripening) {
            if index <= self.applied {
                self.answer(ticket, &op, out);
            } else {
                self.ripening.push((index, ticket, op));
            }
        }
    }

    /// Refuses the reads that the leader has not answered for two election timeouts.
    pub(super) fn give_up_reads(&mut self, out: &mut Outbox<'_, Self>) {
        let patience = Nanos(2 * self.settings.election_timeout.0);
        while let Some(oldest) = self.asked.first_entry() {
            if out.now - oldest.get().since <= patience {
                break;
            }
            let why = Outcome::Fail("the leader did not confirm itself".to_owned());
            out.reply(oldest.remove().ticket, self.reply(why));
        }
    }
}
