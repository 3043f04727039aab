//! Who leads: how a lost primary is noticed, how another takes its place, and what keeps the old one
//! from serving beside it.
//!
//! With `fencing = lease` no two nodes serve at once: a primary counts its lease from when it asked,
//! the mediators from when they heard, and all clocks run at the same pace. With `stonith` the old
//! primary has no power when its successor begins. In all other cases there is a time in which both
//! serve: until the old one hears of the new one.

use super::mediator::{Grants, Mediator};
use super::{Detection, Failover, Fencing, Handover, Message, PrimaryReplica};
use crate::model::Nanos;
use crate::sim::{NodeId, Outbox};
use crate::store::log::{Progress, Record};

/// A promotion skips a counter, so that an old primary that restarts at the same moment, and takes
/// the next epoch, does not depose its successor.
const PROMOTION: u64 = 2;
const RESTART: u64 = 1;
/// How long a node that was switched off stays so.
const OFF: Nanos = Nanos::from_millis(3_000);

impl PrimaryReplica {
    pub(super) fn is_mediator(&self) -> bool {
        self.me.0 >= self.settings.nodes
    }

    fn mediators(&self) -> impl Iterator<Item = NodeId> + use<> {
        let count = match self.settings.detection {
            Detection::Mediator(count) => count,
            Detection::Link | Detection::Probe | Detection::Client => 0,
        };
        let first = self.settings.nodes;
        (first..first + count).map(NodeId)
    }

    /// How long the mediators stand by what they granted.
    fn lease(&self) -> Nanos {
        self.settings.failover_timeout
    }

    /// Whether it is the primary and may act as one.
    pub(super) fn serves(&self, now: Nanos) -> bool {
        let is_fenced = || self.grants.until(self.lease()).is_none_or(|until| until < now);
        self.leads && (self.settings.fencing != Fencing::Lease || !is_fenced())
    }

    /// The process starts: leads again, or waits for somebody who does.
    pub(super) fn take_place(&mut self, fresh: bool, out: &mut Outbox<'_, Self>) {
        // Whoever was switched off must not switch off its successor: it first hears from it.
        let waits_to_hear = self.settings.fencing == Fencing::Stonith && !fresh;
        self.heard = (!waits_to_hear).then_some(out.now);
        self.lines.fill(out.now);
        // With an automatic failover there may be a successor by now: it waits to hear of one. Else
        // nobody else will lead; the epoch is new, for it may have forgotten entries of the old one.
        let resumes = fresh || self.settings.failover != Failover::Automatic;
        if self.primary() == self.me && resumes {
            self.promote(if fresh { 0 } else { RESTART }, out);
            self.ask(out);
        }
    }

    /// An operator, a client or the primary before it says that it is to lead.
    pub(super) fn promoted(&mut self, out: &mut Outbox<'_, Self>) {
        if !self.leads {
            self.promote(PROMOTION, out);
        }
    }

    /// An operator says to whom it is to hand over: it takes no more writes from now on.
    pub(super) fn hand_over(&mut self, to: NodeId, out: &mut Outbox<'_, Self>) {
        if self.leads && to != self.me {
            self.handover = Some(Handover { to, since: out.now, is_offered: false });
            self.offer_lead(out);
        }
    }

    /// Lets its successor begin as soon as that has all; gives up if that takes too long. What was
    /// once offered is never taken back: the successor may have begun.
    pub(super) fn offer_lead(&mut self, out: &mut Outbox<'_, Self>) {
        let Some(handover) = &mut self.handover else { return };
        if self.progress[handover.to.index()].matched >= self.log.end().index {
            handover.is_offered = true;
            out.send(handover.to, Message::TakeOver { epoch: self.epoch });
        } else if !handover.is_offered && out.now - handover.since > self.settings.failover_timeout
        {
            self.handover = None;
        }
    }

    fn promote(&mut self, step: u64, out: &mut Outbox<'_, Self>) {
        let epoch = self.own_epoch(step);
        self.lead(epoch, out);
    }

    /// An epoch of its own, so many counters later.
    fn own_epoch(&self, step: u64) -> u64 {
        ((self.epoch >> 8) + step) << 8 | u64::from(self.me.0)
    }

    /// Becomes the primary of a new epoch. Its first entry is empty: where an old primary has
    /// entries of its own at that index, it finds the conflict at once.
    fn lead(&mut self, epoch: u64, out: &mut Outbox<'_, Self>) {
        self.serve(epoch, out);
        self.leads = true;
        let next = self.log.end().index + 1;
        self.progress = vec![Progress::new(next, out.now); usize::from(self.settings.nodes)];
        self.catch_up();
        self.append(None, 0, out);
    }

    /// The primary speaks to its replicas; a replica looks whether it still has a primary.
    pub(super) fn tick(&mut self, out: &mut Outbox<'_, Self>) {
        if self.leads {
            self.speak(out);
            self.acknowledge(out);
            self.offer_lead(out);
        } else if self.settings.failover == Failover::Automatic {
            self.look_for_primary(out);
        }
        self.ask(out);
    }

    fn speak(&mut self, out: &mut Outbox<'_, Self>) {
        let last = self.log.end().index;
        let patience = Nanos(2 * self.heartbeat().0) + self.settings.lag.ceiling();
        for node in self.others() {
            let progress = &mut self.progress[node.index()];
            let stalled = progress.stalled(last, patience, out.now);
            let previous = self.log.position(progress.matched);
            let message = Message::Replicate { epoch: self.epoch, previous, entries: Vec::new() };
            if self.settings.shares_channel {
                let lag = self.settings.lag.sample(out.random);
                out.ship(node, lag, message);
            } else {
                out.send(node, message);
            }
            if stalled {
                self.ship(node, out);
            }
            self.beat(node, out);
        }
    }

    fn look_for_primary(&mut self, out: &mut Outbox<'_, Self>) {
        if !matches!(self.settings.detection, Detection::Link | Detection::Probe) {
            return;
        }
        if self.settings.detection == Detection::Probe && self.primary() != self.me {
            out.send(self.primary(), Message::Probe { epoch: self.epoch, sent: out.now });
        }
        // The next in line after the primary is the first to lose patience.
        let rank = (self.me.0 + self.settings.nodes - self.primary().0) % self.settings.nodes;
        let timeout = self.settings.failover_timeout;
        let patience = timeout + Nanos(timeout.0 / 2 * u64::from(rank.saturating_sub(1)));
        if self.misses_primary(patience, out.now) {
            if self.settings.fencing == Fencing::Stonith && self.primary() != self.me {
                out.switch_off(self.primary(), OFF);
            }
            self.promote(PROMOTION, out);
        }
    }

    /// Asks the mediators: to go on leading, or to begin.
    fn ask(&mut self, out: &mut Outbox<'_, Self>) {
        let ended = self.grants.until(self.lease()).is_some_and(|until| until < out.now);
        if self.leads && self.settings.fencing == Fencing::Lease && ended {
            let epoch = self.epoch;
            self.serve(epoch, out);
        }
        let (epoch, count) = if self.leads {
            (self.epoch, self.mediators().count())
        } else if self.settings.failover == Failover::Automatic {
            (self.own_epoch(PROMOTION), self.mediators().count())
        } else {
            return;
        };
        if self.grants.epoch() != epoch {
            self.grants = Grants::none(epoch, count as u8, self.settings.mediators_needed);
        }
        for mediator in self.mediators() {
            out.send(mediator, Message::Ask { epoch, leads: self.leads, sent: out.now });
        }
    }

    /// A mediator granted an epoch.
    pub(super) fn granted(
        &mut self,
        from: NodeId,
        epoch: u64,
        sent: Nanos,
        out: &mut Outbox<'_, Self>,
    ) {
        let mediator = from.index() - usize::from(self.settings.nodes);
        self.grants.add(mediator, epoch, sent);
        let holds = self.grants.until(self.lease()).is_some_and(|until| until > out.now);
        if !self.leads && epoch > self.epoch && epoch == self.grants.epoch() && holds {
            self.lead(epoch, out);
        }
    }

    /// A mediator stands for another epoch.
    pub(super) fn refused(&mut self, from: NodeId, epoch: u64, out: &mut Outbox<'_, Self>) {
        let mediator = from.index() - usize::from(self.settings.nodes);
        if let Some(epoch) = self.grants.refuse(mediator, epoch, self.epoch) {
            self.serve(epoch, out);
        }
    }

    /// A mediator starts: what it granted before is on its disk.
    pub(super) fn start_mediator(&mut self, out: &mut Outbox<'_, Self>) {
        let granted = out.disk.records().iter().filter_map(|record| match record {
            Record::Promise { epoch, .. } => Some(*epoch),
            Record::Entry { .. } | Record::Snapshot { .. } => None,
        });
        self.mediator = Mediator::restarted(granted.max().unwrap_or(0), out.now);
    }

    /// A mediator is asked.
    pub(super) fn asked(&mut self, from: NodeId, message: &Message, out: &mut Outbox<'_, Self>) {
        let Message::Ask { epoch, leads, sent } = *message else { return };
        let before = self.mediator.epoch();
        let lease = self.lease();
        if !self.mediator.grants(epoch, leads, lease, out.now) {
            return out.send(from, Message::Deposed { epoch: self.mediator.epoch() });
        }
        if epoch != before {
            out.disk.append(Record::Promise { epoch, vote: Some(from) });
            out.disk.sync();
        }
        out.send(from, Message::Grant { epoch, sent });
    }
}
