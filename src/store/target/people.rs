//! What people do: an operator looks after the primary, and what was lost is entered again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{NOBODY, SimTarget};
use crate::model::{Nanos, Op};
use crate::sim::NodeId;
use crate::store::{Hint, Position, Request, Store};

/// A planned change of the primary.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Switchover {
    /// From one to the next.
    pub(in crate::store) every: Nanos,
    /// Whether the primary takes no more writes and goes when its successor has all; otherwise the
    /// successor begins at once.
    pub(in crate::store) drains: bool,
}

/// A person who looks after the primary.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Operator {
    /// How long after the primary has stopped running another node is promoted.
    pub(in crate::store) delay: Nanos,
    /// Which of the running nodes.
    pub(in crate::store) successor: Successor,
}

/// Which of the running nodes an operator promotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Successor {
    /// The one with the longest log.
    MostAdvanced,
    /// The last in order.
    Last,
}

/// What was acknowledged, as people have it on paper, and how long they keep it.
#[derive(Debug)]
pub(super) struct Paper {
    keeps: Nanos,
    /// The newest epoch that anybody has heard of.
    epoch: u64,
    /// When each write was acknowledged, its number, and the write.
    entries: VecDeque<(Nanos, u64, Arc<Op>)>,
}

impl Paper {
    /// A paper that is kept so long.
    pub(super) fn new(keeps: Nanos) -> Self {
        Self { keeps, epoch: 0, entries: VecDeque::new() }
    }

    /// A write was acknowledged. What is older than what is kept goes.
    pub(super) fn note(&mut self, now: Nanos, number: u64, op: &Arc<Op>) {
        self.entries.push_back((now, number, op.clone()));
        while self.entries.front().is_some_and(|(time, ..)| *time + self.keeps < now) {
            self.entries.pop_front();
        }
    }

    /// Somebody said who leads. If that is a new primary, all that is on the paper is entered again.
    fn heard(&mut self, epoch: u64) -> Vec<(u64, Arc<Op>)> {
        let is_new = self.epoch > 0 && epoch > self.epoch;
        self.epoch = self.epoch.max(epoch);
        let entries = if is_new { std::mem::take(&mut self.entries) } else { VecDeque::new() };
        entries.into_iter().map(|(_, number, op)| (number, op)).collect()
    }
}

impl<S: Store> SimTarget<S> {
    /// People enter again what they have on paper, if there is a new primary.
    pub(super) fn enter_again(&mut self, hint: Option<Hint>) {
        let (Some(paper), Some(Hint { epoch, leader })) = (&mut self.paper, hint) else { return };
        for (number, op) in paper.heard(epoch) {
            let token = Position::default();
            let request = Request::Execute { op, number, token, epoch, is_final: false };
            self.engine.request(leader, NOBODY, request);
        }
    }

    /// The operator promotes one of the running nodes, if none of them leads.
    pub(super) fn look_after_primary(&mut self) {
        let Some(Operator { successor, .. }) = self.cluster.operator else { return };
        let running = |id| self.engine.running(id).map(|node| (id, node.standing()));
        let standings: Vec<_> = self.engine.ids().take(self.data()).filter_map(running).collect();
        if standings.iter().any(|(_, standing)| standing.leads) {
            return;
        }
        let successor = match successor {
            Successor::Last => standings.last(),
            // Of equals the first.
            Successor::MostAdvanced => {
                standings.iter().rev().max_by_key(|(_, standing)| standing.position)
            }
        };
        if let Some((id, _)) = successor {
            self.engine.request(*id, NOBODY, Request::Promote);
        }
    }

    /// The primary is changed as planned: for the next node that runs.
    pub(super) fn switch_over(&mut self, Switchover { every, drains }: Switchover) {
        self.next_switchover = self.next_switchover + every;
        let Some((primary, _)) = self.leader() else { return };
        let mut others =
            (1..self.data()).map(|step| NodeId(((primary.index() + step) % self.data()) as u8));
        let Some(next) = others.find(|id| self.engine.running(*id).is_some()) else { return };
        if drains {
            self.engine.request(primary, NOBODY, Request::HandOver { to: next });
        } else {
            self.engine.request(next, NOBODY, Request::Promote);
        }
    }

    pub(super) fn call_operator(&mut self) {
        if let Some(Operator { delay, .. }) = self.cluster.operator {
            self.rounds.push_back(self.engine.now() + delay);
        }
    }
}
