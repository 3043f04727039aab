//! A shard moves: the second node takes it over from the first, because somebody wants it there and not
//! because anything failed.
//!
//! Forced, it promotes itself, and the old primary goes on until it hears of it; what it takes meanwhile
//! is lost. Agreed, it asks the old primary, which takes no more writes and gives it what it lacks; only
//! then it leads. As long as the two cannot talk, nothing moves.

use super::{Message, PrimaryReplica};
use crate::model::Nanos;
use crate::sim::{NodeId, Outbox, Timer};
use crate::store::Position;
use crate::store::log::{Accepted, Entry};

/// How a shard moves.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Move {
    /// When.
    pub(in crate::store) after: Nanos,
    /// Whether the old primary is not asked.
    pub(in crate::store) is_forced: bool,
}

pub(super) const MOVE: Timer = Timer(4);
/// How long the new primary waits for the old one before it asks again.
const PATIENCE: Nanos = Nanos::from_millis(300);

impl PrimaryReplica {
    /// Whether a shard is to move to this node.
    pub(super) fn moves_here(&self) -> Option<Move> {
        let is_here = self.settings.first == NodeId(0) && self.me == NodeId(1);
        self.settings.moves.filter(|_| is_here)
    }

    /// It is time to move.
    pub(super) fn take_over(&mut self, out: &mut Outbox<'_, Self>) {
        let Some(Move { is_forced, .. }) = self.moves_here().filter(|_| !self.leads) else {
            return;
        };
        if is_forced {
            return self.promoted(out);
        }
        let matched = self.log.end();
        out.send(self.primary(), Message::Yield { epoch: self.epoch, matched });
        out.wake(PATIENCE, MOVE);
    }

    /// The old primary is asked: it stops, and gives what the new one lacks.
    pub(super) fn give_over(&mut self, to: NodeId, theirs: Position, out: &mut Outbox<'_, Self>) {
        self.leads = false;
        let known = if self.log.position(theirs.index) == theirs { theirs.index } else { 0 };
        let previous = self.log.position(known);
        let entries = self.log.from(known + 1, self.log.entries().len());
        out.send(to, Message::Yielded { epoch: self.epoch, previous, entries });
    }

    /// The old primary has stopped: takes what it gave, and leads.
    pub(super) fn given_over(
        &mut self,
        previous: Position,
        entries: &[Entry],
        out: &mut Outbox<'_, Self>,
    ) {
        if let Accepted::Stored { fresh, cut } = self.log.accept(previous, entries) {
            if !fresh.is_empty() {
                self.apply(fresh, cut, out);
            }
            self.promoted(out);
        }
    }
}
