//! Who ships its log to whom.

use super::{Change, HEARTBEAT, Message, MultiPrimary, Record, Topology};
use crate::model::Nanos;
use crate::sim::{NodeId, Outbox};

/// Changes in one message.
const BATCH: usize = 1024;

/// How often a change is passed on at most. Real rings without a filter go round for ever.
const MOST_HOPS: u8 = 6;

impl MultiPrimary {
    /// Whom this node ships its log to: all others, or the next primary and own replicas.
    pub(super) fn peers(&self) -> Vec<NodeId> {
        let (me, primaries) = (self.me.0, self.settings.primaries);
        if me >= primaries {
            return Vec::new();
        }
        let ships = |node: &u8| {
            let is_next = match self.settings.topology {
                Topology::Mesh => true,
                Topology::Ring => *node == (me + 1) % primaries,
                Topology::Chain => *node == me + 1 && *node < primaries,
            };
            let is_own = *node >= primaries && node % primaries == me;
            *node != me && (is_next || is_own)
        };
        (0..self.settings.nodes).filter(ships).map(NodeId).collect()
    }

    pub(super) fn ship_all(&mut self, out: &mut Outbox<'_, Self>) {
        for peer in self.peers() {
            self.ship(peer, out);
        }
    }

    /// Sends a peer what it has not been sent.
    fn ship(&mut self, to: NodeId, out: &mut Outbox<'_, Self>) {
        let lag = self.settings.lag.sample(out.random);
        let progress = &mut self.progress[to.index()];
        let first = progress.next;
        let start = (first as usize - 1).min(self.log.len());
        let end = (start + BATCH).min(self.log.len());
        if start < end {
            progress.next = end as u64 + 1;
            let changes = self.log[start..end].to_vec();
            out.ship(to, lag, Message::Changes { first, changes });
        }
    }

    /// Takes the next change of that node's log, from the network or again from disk.
    pub(super) fn take(&mut self, from: NodeId, change: &Change) {
        self.received[from.index()] += 1;
        let is_own = change.stamp.node == self.me.0;
        if is_own && self.settings.origin_filter && !self.settings.rules.is_ordered {
            return;
        }
        self.contents.apply(change);
        let is_told_by_one = self.settings.topology != Topology::Mesh;
        let passes_on = is_told_by_one && self.me.0 < self.settings.primaries;
        if passes_on && change.hops < MOST_HOPS {
            self.log.push(Change { hops: change.hops + 1, ..change.clone() });
        }
    }

    pub(super) fn take_all(
        &mut self,
        from: NodeId,
        first: u64,
        changes: &[Change],
        out: &mut Outbox<'_, Self>,
    ) {
        let known = self.received[from.index()];
        let behind = first > known + 1;
        if !behind {
            let fresh = changes.iter().skip((known + 1 - first) as usize);
            for change in fresh {
                out.disk.append(Record::Received(from, change.clone()));
                self.take(from, change);
                self.certified(change, out);
            }
            out.disk.sync();
            self.ship_all(out);
            self.unpark(out);
        }
        let count = self.received[from.index()];
        out.send(from, Message::Have { count, behind });
    }

    /// A peer tells how much of the log it has.
    pub(super) fn hear(
        &mut self,
        from: NodeId,
        count: u64,
        behind: bool,
        out: &mut Outbox<'_, Self>,
    ) {
        let progress = &mut self.progress[from.index()];
        if behind {
            if progress.go_back(count, out.now) {
                self.ship(from, out);
            }
            return;
        }
        progress.confirm(count, out.now);
        self.ship(from, out);
        self.acknowledge(out);
    }

    pub(super) fn tick(&mut self, out: &mut Outbox<'_, Self>) {
        let last = self.log.len() as u64;
        let slack = self.settings.lag.ceiling() + Nanos(2 * self.settings.sites.distance.0);
        let patience = Nanos(3 * HEARTBEAT.0) + slack;
        for peer in self.peers() {
            let progress = &mut self.progress[peer.index()];
            let stalled = progress.stalled(last, patience, out.now);
            let first = progress.matched + 1;
            out.send(peer, Message::Changes { first, changes: Vec::new() });
            if stalled {
                self.ship(peer, out);
            }
        }
    }
}
