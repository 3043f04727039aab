//! Elections: section 5.2 and 5.4.1 of the paper, sections 4.2.3 and 9.6 of the thesis.

use std::collections::VecDeque;

use super::{Bug, Leading, Message, Peer, Raft, Role};
use crate::model::Nanos;
use crate::sim::{NodeId, Outbox};
use crate::store::Position;
use crate::store::log::Progress;

impl Raft {
    /// Draws how long to wait for a leader: between one and two election timeouts.
    pub(super) fn lose_patience_later(&mut self, out: &mut Outbox<'_, Self>) {
        let timeout = self.settings.election_timeout.0;
        self.heard = out.now;
        self.patience = Nanos(out.random.between(timeout, 2 * timeout));
    }

    /// Asks for votes; in a trial only whether they would be given, which changes nobody's term.
    pub(super) fn campaign(&mut self, trial: bool, out: &mut Outbox<'_, Self>) {
        if !trial {
            self.enter(self.term + 1, Some(self.me), out);
        }
        self.leader = None;
        self.lose_patience_later(out);
        self.role = Role::Candidate { trial, votes: vec![self.me] };
        let term = self.term + u64::from(trial);
        for node in self.others() {
            out.send(node, Message::RequestVote { term, trial, last: self.log.end() });
        }
        self.conclude(out);
    }

    /// Somebody wants a vote.
    pub(super) fn consider(
        &mut self,
        from: NodeId,
        term: u64,
        trial: bool,
        last: Position,
        out: &mut Outbox<'_, Self>,
    ) {
        // While there is a leader, nobody else is voted for, nor is the newer term entered: the
        // leader's lease and its peace rest on that.
        let leads = matches!(self.role, Role::Leader(_));
        if leads || out.clock - self.promised < self.settings.election_timeout {
            return;
        }
        if term > self.term && !trial {
            self.enter(term, None, out);
        }
        let complete = last >= self.log.end() || self.settings.bug == Bug::VoteForShortLog;
        if trial && term <= self.term {
            // It has to know, or a node that alone has the whole log may lag behind for ever.
            out.send(from, Message::Rejected { term: self.term, known: 0, round: 0 });
        } else if trial {
            if complete {
                out.send(from, Message::Vote { term, trial });
            }
        } else if complete && term == self.term && self.vote.is_none_or(|vote| vote == from) {
            self.vote = Some(from);
            self.remember(out);
            self.lose_patience_later(out);
            out.send(from, Message::Vote { term, trial });
        }
    }

    /// A vote came.
    pub(super) fn count(
        &mut self,
        from: NodeId,
        voted: u64,
        for_trial: bool,
        out: &mut Outbox<'_, Self>,
    ) {
        let Role::Candidate { trial, votes } = &mut self.role else { return };
        let counts = for_trial == *trial && voted == self.term + u64::from(*trial);
        if counts && !votes.contains(&from) {
            votes.push(from);
            self.conclude(out);
        }
    }

    /// Goes on if a majority is won.
    fn conclude(&mut self, out: &mut Outbox<'_, Self>) {
        let Role::Candidate { trial, votes } = &self.role else { return };
        if votes.len() < self.majority() {
            return;
        }
        if *trial {
            return self.campaign(false, out);
        }
        let next = self.log.end().index + 1;
        let peer = Peer { progress: Progress::new(next, out.now), round: 0, contact: out.now };
        self.leader = Some(self.me);
        self.role = Role::Leader(Leading {
            peers: vec![peer; usize::from(self.settings.nodes)],
            round: 0,
            rounds_sent: VecDeque::new(),
            confirmed: 0,
            lease_end: Nanos(0),
            waiting: VecDeque::new(),
            reads: VecDeque::new(),
        });
        // Entries of earlier terms are committed by committing this one (section 5.4.2).
        self.append(None, out);
    }
}
