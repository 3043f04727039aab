//! A store in several shards: each has its keys, a primary, a log and a lag of its own, and knows nothing
//! of the others.
//!
//! A node has a part of every shard. Keys are dealt out in turn, and so are the first primaries: that of
//! shard 0 is the first node. Whatever one log guarantees, it guarantees for the keys of one shard; what
//! a client sees of two shards may come from two different moments.

use crate::model::{Outcome, Value};
use crate::sim::{Disk, Effects, Node, NodeId, Outbox, Ticket, Timer};
use crate::store::routing::number_of;
use crate::store::{Position, Reply, Request, Standing, Store};

/// A node of a store in shards.
pub(super) struct Sharded<S: Store> {
    shards: Vec<Shard<S>>,
}

struct Shard<S: Store> {
    node: S,
    /// Its records on the node's disk.
    disk: Disk<S::Record>,
}

/// To which of so many shards a key belongs.
pub(super) fn shard_of(key: &Value, shards: u8) -> u8 {
    (number_of(key) % u64::from(shards.max(1))) as u8
}

impl<S: Store<Record: Clone>> Sharded<S> {
    /// A node of these shards, in order.
    pub(super) fn new(shards: impl IntoIterator<Item = S>) -> Self {
        let shard = |node| Shard { node, disk: Disk::default() };
        Self { shards: shards.into_iter().map(shard).collect() }
    }

    /// Lets the part of one shard act.
    fn act(
        &mut self,
        shard: u8,
        out: &mut Outbox<'_, Self>,
        act: impl FnOnce(&mut S, &mut Outbox<'_, S>),
    ) {
        let Shard { node, disk } = &mut self.shards[usize::from(shard)];
        let (written, was_synced) = (disk.records().len(), disk.is_synced());
        let mut effects = Effects::default();
        act(
            node,
            &mut Outbox {
                now: out.now,
                clock: out.clock,
                random: &mut *out.random,
                disk: &mut *disk,
                effects: &mut effects,
            },
        );
        let fresh = &disk.records()[written..];
        for record in fresh {
            out.disk.append((shard, record.clone()));
        }
        if disk.is_synced() && (!was_synced || !fresh.is_empty()) {
            out.disk.sync();
        }
        let messages = effects.messages.into_iter();
        out.effects.messages.extend(
            messages.map(|(to, channel, lag, message)| (to, channel, lag, (shard, message))),
        );
        out.effects.replies.extend(effects.replies);
        let timers = effects.timers.into_iter();
        let named = |timer: Timer| Timer(timer.0 << 8 | u64::from(shard));
        out.effects.timers.extend(timers.map(|(after, timer)| (after, named(timer))));
        out.effects.switched_off.extend(effects.switched_off);
    }

    fn ids(&self) -> std::ops::Range<u8> {
        0..self.shards.len() as u8
    }
}

impl<S: Store<Record: Clone>> Node for Sharded<S> {
    type Message = (u8, S::Message);
    type Request = Request;
    type Reply = Reply;
    type Record = (u8, S::Record);

    fn start(&mut self, out: &mut Outbox<'_, Self>) {
        self.shards.iter_mut().for_each(|shard| shard.disk = Disk::default());
        for (shard, record) in out.disk.records() {
            self.shards[usize::from(*shard)].disk.append(record.clone());
        }
        self.shards.iter_mut().for_each(|shard| shard.disk.sync());
        for shard in self.ids() {
            self.act(shard, out, S::start);
        }
    }

    fn receive(
        &mut self,
        from: NodeId,
        (shard, message): Self::Message,
        out: &mut Outbox<'_, Self>,
    ) {
        self.act(shard, out, |node, out| node.receive(from, message, out));
    }

    fn request(&mut self, ticket: Ticket, request: Request, out: &mut Outbox<'_, Self>) {
        let Request::Execute { op, .. } = &request else { return };
        let count = self.shards.len() as u8;
        let shard = shard_of(op.key(), count);
        if op.mops.iter().any(|mop| shard_of(&mop.key, count) != shard) {
            let outcome = Outcome::Fail("the keys belong to several shards".to_owned());
            return out.reply(ticket, Reply { outcome, hint: None, position: Position::default() });
        }
        self.act(shard, out, |node, out| node.request(ticket, request, out));
    }

    fn timer(&mut self, timer: Timer, out: &mut Outbox<'_, Self>) {
        self.act(timer.0 as u8, out, |node, out| node.timer(Timer(timer.0 >> 8), out));
    }
}

impl<S: Store<Record: Clone>> Store for Sharded<S> {
    /// As the part that leads with the newest epoch, if one does.
    fn standing(&self) -> Standing {
        let standings = self.shards.iter().map(|shard| shard.node.standing());
        let best = standings.max_by_key(|standing| (standing.leads, standing.epoch));
        best.unwrap_or(Standing { leads: false, epoch: 0, position: Position::default() })
    }
}
