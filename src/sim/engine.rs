//! The clock that jumps from event to event.

use std::collections::VecDeque;

use crate::model::{Channel, Nanos, NodeFault, Random};
use crate::sim::disk::RECORD_BYTES;
use crate::sim::harm::Harm;
use crate::sim::{Delivery, Disk, Effects, Network, Node, NodeId, Outbox, Queue, Ticket, Timer};

/// What reaches a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<R> {
    /// The node's reply.
    Reply(Ticket, R),
    /// Nobody listens there: the request was never received.
    Refused(Ticket),
}

/// A cluster of nodes under virtual time.
pub struct Engine<N: Node> {
    now: Nanos,
    queue: Queue<Happening<N>>,
    hosts: Vec<Host<N>>,
    network: Network,
    random: Random,
    effects: Effects<N>,
}

/// A machine: the process on it, its disk, its clock, and what faults do to it.
struct Host<N: Node> {
    node: N,
    disk: Disk<N::Record>,
    /// How often the process was killed: timers of earlier lives are ignored.
    life: u32,
    /// When each of its lives ended.
    ended: Vec<Nanos>,
    kills: u32,
    pauses: u32,
    harm: Harm,
    /// What arrived while the process was stopped.
    backlog: VecDeque<Happening<N>>,
}

enum Happening<N: Node> {
    /// It leaves a while after it was handed over, if that life of its sender lasts so long.
    Message {
        from: NodeId,
        to: NodeId,
        life: u32,
        departs: Nanos,
        message: N::Message,
    },
    Request {
        to: NodeId,
        ticket: Ticket,
        request: N::Request,
    },
    Timer {
        node: NodeId,
        life: u32,
        timer: Timer,
    },
    Answer(Answer<N::Reply>),
    /// Its power is on again.
    SwitchOn {
        node: NodeId,
    },
}

impl<N: Node> Engine<N> {
    /// Starts all nodes at time 0, with the streams `network` and `store` of this seed.
    pub fn new(nodes: Vec<N>, network: Network, seed: u64) -> Self {
        let hosts: Vec<_> = nodes
            .into_iter()
            .map(|node| Host {
                node,
                disk: Disk::default(),
                life: 0,
                ended: Vec::new(),
                kills: 0,
                pauses: 0,
                harm: Harm::default(),
                backlog: VecDeque::new(),
            })
            .collect();
        let mut engine = Self {
            now: Nanos(0),
            queue: Queue::default(),
            hosts,
            network,
            random: Random::stream(seed, "store"),
            effects: Effects::default(),
        };
        for id in engine.ids() {
            engine.call(id, N::start);
        }
        engine
    }

    /// The virtual time.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// All nodes.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<N> {
        (0..self.hosts.len() as u8).map(NodeId)
    }

    /// A node whose process runs; `None` while it is killed or stopped.
    pub fn running(&self, id: NodeId) -> Option<&N> {
        let host = &self.hosts[id.index()];
        (host.kills == 0 && host.pauses == 0).then_some(&host.node)
    }

    /// A client sends a request now.
    pub fn request(&mut self, to: NodeId, ticket: Ticket, request: N::Request) {
        if let Some(arrival) = self.network.carry_client(to, self.now) {
            self.queue.push(arrival, Happening::Request { to, ticket, request });
        }
    }

    /// Runs until something reaches a client, or until that time has come.
    pub fn run(&mut self, until: Nanos) -> Option<Answer<N::Reply>> {
        while self.queue.next_time().is_some_and(|time| time <= until) {
            let (time, happening) = self.queue.pop()?;
            self.now = time;
            if let Some(answer) = self.handle(happening) {
                return Some(answer);
            }
        }
        self.now = self.now.max(until);
        None
    }

    /// Cuts one direction of a link.
    pub fn cut(&mut self, from: NodeId, to: NodeId, channel: Channel) {
        self.network.cut(from, to, channel);
    }

    /// Takes back one cut of that direction.
    pub fn mend(&mut self, from: NodeId, to: NodeId, channel: Channel) {
        self.network.mend(from, to, channel);
    }

    /// Kills the process: what it held in memory, what it had not synced and what it had not yet
    /// shipped is gone.
    pub fn kill(&mut self, id: NodeId) {
        let host = &mut self.hosts[id.index()];
        host.kills += 1;
        if host.kills == 1 {
            host.life += 1;
            host.ended.push(self.now);
            host.disk.crash();
            // What waited in the sockets of a stopped process dies with it.
            host.backlog.clear();
        }
    }

    /// Takes one kill back; the process starts again when every kill has been taken back.
    pub fn restart(&mut self, id: NodeId) {
        let host = &mut self.hosts[id.index()];
        let was_dead = host.kills > 0;
        host.kills = host.kills.saturating_sub(1);
        if was_dead && host.kills == 0 {
            self.call(id, N::start);
        }
    }

    /// Stops the process: what arrives waits.
    pub fn pause(&mut self, id: NodeId) {
        self.hosts[id.index()].pauses += 1;
    }

    /// Takes one pause back; when all are, what waited is handled at once, in order.
    pub fn resume(&mut self, id: NodeId) {
        let host = &mut self.hosts[id.index()];
        host.pauses = host.pauses.saturating_sub(1);
        if host.pauses == 0 {
            for happening in std::mem::take(&mut host.backlog) {
                self.queue.push(self.now, happening);
            }
        }
    }

    /// Does something to a node. What concerns its clients alone is none of the engine's.
    pub fn strike(&mut self, id: NodeId, what: &NodeFault) {
        let harm = &mut self.hosts[id.index()].harm;
        match what {
            NodeFault::Kill | NodeFault::PowerLoss => self.kill(id),
            NodeFault::Pause => self.pause(id),
            NodeFault::Packet(packet) => self.network.harm(id, *packet),
            NodeFault::Skew(skew) => harm.skews.push((*skew, self.now)),
            NodeFault::Throttle(cpu) => harm.throttles.push(*cpu),
            NodeFault::Memory(limit_mb) => harm.limits.push(*limit_mb),
            NodeFault::DiskFull => harm.full += 1,
            NodeFault::Truncate { bytes, .. } => {
                self.kill(id);
                let records = bytes.div_ceil(RECORD_BYTES) as usize;
                let disk = &mut self.hosts[id.index()].disk;
                disk.truncate(disk.records().len().saturating_sub(records));
            }
            NodeFault::BitFlip { bits, .. } => {
                self.kill(id);
                let disk = &mut self.hosts[id.index()].disk;
                for _ in 0..*bits {
                    // Records have checksums, and the log ends before the first that is wrong.
                    let records = disk.records().len() as u64;
                    if records > 0 {
                        disk.truncate(self.random.below(records) as usize);
                    }
                }
            }
            NodeFault::Disconnect(_) | NodeFault::Command(_) => {}
        }
    }

    /// Takes that back. What has died of it starts again.
    pub fn relieve(&mut self, id: NodeId, what: &NodeFault) {
        fn drop_one<T: PartialEq>(list: &mut Vec<T>, what: &T) {
            if let Some(at) = list.iter().position(|one| one == what) {
                list.remove(at);
            }
        }
        let harm = &mut self.hosts[id.index()].harm;
        match what {
            NodeFault::Kill
            | NodeFault::PowerLoss
            | NodeFault::Truncate { .. }
            | NodeFault::BitFlip { .. } => self.restart(id),
            NodeFault::Pause => self.resume(id),
            NodeFault::Packet(packet) => self.network.spare(id, *packet),
            NodeFault::Skew(skew) => {
                if let Some(at) = harm.skews.iter().position(|(one, _)| one == skew) {
                    harm.skews.remove(at);
                }
            }
            NodeFault::Throttle(cpu) => drop_one(&mut harm.throttles, cpu),
            NodeFault::Memory(limit_mb) => drop_one(&mut harm.limits, limit_mb),
            NodeFault::DiskFull => harm.full = harm.full.saturating_sub(1),
            NodeFault::Disconnect(_) | NodeFault::Command(_) => {}
        }
        let harm = &mut self.hosts[id.index()].harm;
        if harm.fallen && harm.full == 0 && harm.limits.is_empty() {
            harm.fallen = false;
            self.restart(id);
        }
    }

    fn handle(&mut self, happening: Happening<N>) -> Option<Answer<N::Reply>> {
        let id = match &happening {
            Happening::Message { from, life, departs, .. } if self.died(*from, *life, *departs) => {
                return None;
            }
            Happening::Answer(_) => {
                let Happening::Answer(answer) = happening else { return None };
                return Some(answer);
            }
            Happening::Message { to, .. } | Happening::Request { to, .. } => *to,
            Happening::SwitchOn { node } => {
                self.restart(*node);
                return None;
            }
            Happening::Timer { node, .. } => *node,
        };
        let host = &mut self.hosts[id.index()];
        if host.kills == 0 && host.pauses > 0 {
            host.backlog.push_back(happening);
            return None;
        }
        if host.kills == 0
            && let Some(turn) = host.harm.next_turn(self.now)
        {
            self.queue.push(turn, happening);
            return None;
        }
        let (dead, current) = (host.kills > 0, host.life);
        match happening {
            Happening::Message { from, message, .. } if !dead => {
                self.call(id, |node, out| node.receive(from, message, out));
            }
            Happening::Timer { life, timer, .. } if !dead && life == current => {
                self.call(id, |node, out| node.timer(timer, out));
            }
            Happening::Request { ticket, .. } if dead => {
                let arrival = self.network.carry_client(id, self.now)?;
                self.queue.push(arrival, Happening::Answer(Answer::Refused(ticket)));
            }
            Happening::Request { ticket, request, .. } => {
                self.call(id, |node, out| node.request(ticket, request, out));
            }
            _ => {}
        }
        None
    }

    /// Whether a life of a node ended before that time.
    fn died(&self, id: NodeId, life: u32, before: Nanos) -> bool {
        self.hosts[id.index()].ended.get(life as usize).is_some_and(|end| *end < before)
    }

    /// Lets a node act, then carries out what it wants.
    fn call(&mut self, id: NodeId, act: impl FnOnce(&mut N, &mut Outbox<'_, N>)) {
        let host = &mut self.hosts[id.index()];
        let records = host.disk.records().len();
        let mut out = Outbox {
            now: self.now,
            clock: host.harm.clock(self.now),
            random: &mut self.random,
            disk: &mut host.disk,
            effects: &mut self.effects,
        };
        act(&mut host.node, &mut out);
        if host.harm.is_deadly(records, host.disk.records().len()) {
            // It died before anyone heard of what it could not write.
            host.disk.truncate(records);
            host.harm.fallen = true;
            self.effects = Effects::default();
            self.kill(id);
            return;
        }
        let life = host.life;
        for (to, channel, lag, message) in self.effects.messages.drain(..) {
            let departs = self.now + lag;
            let push = |queue: &mut Queue<_>, arrival, message| {
                let message = Happening::Message { from: id, to, life, departs, message };
                queue.push(arrival, message);
            };
            match self.network.carry((id, to), channel, departs) {
                Delivery::Dropped => {}
                Delivery::Once(arrival) => push(&mut self.queue, arrival, message),
                Delivery::Twice(first, second) => {
                    push(&mut self.queue, first, message.clone());
                    push(&mut self.queue, second, message);
                }
            }
        }
        for (ticket, reply) in self.effects.replies.drain(..) {
            if let Some(arrival) = self.network.carry_client(id, self.now) {
                self.queue.push(arrival, Happening::Answer(Answer::Reply(ticket, reply)));
            }
        }
        for (after, timer) in self.effects.timers.drain(..) {
            self.queue.push(self.now + after, Happening::Timer { node: id, life, timer });
        }
        for (node, off) in std::mem::take(&mut self.effects.switched_off) {
            self.kill(node);
            self.queue.push(self.now + off, Happening::SwitchOn { node });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Skew;
    use crate::sim::harm::CLOCK_START;
    use crate::sim::{Conditions, Latency, Sites};

    /// Counts, durably every second time; tells its neighbour; answers with what it sees.
    #[derive(Default)]
    struct Counting {
        count: u64,
        told: u64,
        woken: u64,
    }

    impl Node for Counting {
        type Message = u64;
        type Request = ();
        type Reply = (u64, u64, u64, Nanos);
        type Record = u64;

        fn start(&mut self, out: &mut Outbox<'_, Self>) {
            *self = Self { count: out.disk.records().len() as u64, ..Self::default() };
            out.wake(Nanos(1000), Timer(7));
        }

        fn receive(&mut self, _: NodeId, message: u64, _: &mut Outbox<'_, Self>) {
            self.told = self.told.max(message);
        }

        fn request(&mut self, ticket: Ticket, (): (), out: &mut Outbox<'_, Self>) {
            self.count += 1;
            out.disk.append(self.count);
            if self.count.is_multiple_of(2) {
                out.disk.sync();
            }
            out.send(NodeId(1), self.count);
            out.reply(ticket, (self.count, self.told, self.woken, out.clock));
        }

        fn timer(&mut self, timer: Timer, _: &mut Outbox<'_, Self>) {
            self.woken += timer.0;
        }
    }

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);

    fn engine() -> Engine<Counting> {
        let latency = Latency::Fixed(Nanos(10));
        let conditions =
            Conditions { latency, loss: 0.0, duplication: 0.0, reordering: 0.0, sites: Sites::ONE };
        let nodes = vec![Counting::default(), Counting::default()];
        Engine::new(nodes, Network::new(2, conditions, 1), 1)
    }

    fn ask(engine: &mut Engine<Counting>, node: NodeId) -> Option<(u64, u64, u64, Nanos)> {
        engine.request(node, Ticket(1), ());
        match engine.run(engine.now() + Nanos(100)) {
            Some(Answer::Reply(_, reply)) => Some(reply),
            _ => None,
        }
    }

    #[test]
    fn a_request_takes_the_network_there_and_back() {
        let mut engine = engine();
        assert_eq!(ask(&mut engine, A).map(|reply| reply.0), Some(1));
        assert_eq!(engine.now(), Nanos(20));
        assert_eq!(ask(&mut engine, B).map(|reply| reply.1), Some(1));
        assert!(engine.run(Nanos(5000)).is_none());
        assert_eq!(engine.now(), Nanos(5000));
    }

    #[test]
    fn a_kill_loses_the_unsynced_tail_and_refuses_connections() {
        let mut engine = engine();
        for _ in 0..3 {
            ask(&mut engine, A);
        }
        engine.kill(A);
        engine.kill(A);
        engine.request(A, Ticket(9), ());
        assert_eq!(engine.run(Nanos(5000)), Some(Answer::Refused(Ticket(9))));
        engine.restart(A);
        assert!(engine.running(A).is_none());
        engine.restart(A);
        // Two of three were synced, and the timer of the first life is gone.
        assert_eq!(ask(&mut engine, A).map(|reply| (reply.0, reply.2)), Some((3, 0)));
    }

    #[test]
    fn a_paused_node_answers_when_it_goes_on() {
        let mut engine = engine();
        engine.pause(A);
        engine.request(A, Ticket(1), ());
        engine.request(A, Ticket(2), ());
        assert!(engine.run(Nanos(2000)).is_none());
        engine.resume(A);
        let mut counts = Vec::new();
        while let Some(Answer::Reply(ticket, reply)) = engine.run(Nanos(3000)) {
            counts.push((ticket.0, reply.0, reply.2));
        }
        // The requests, then the timer that ran out meanwhile: all in the order of their times.
        assert_eq!(counts, [(1, 1, 0), (2, 2, 0)]);
        assert_eq!(ask(&mut engine, A).map(|reply| reply.2), Some(7));
    }

    #[test]
    fn cuts_and_skews() {
        let mut engine = engine();
        engine.cut(A, B, Channel::Status);
        ask(&mut engine, A);
        assert_eq!(ask(&mut engine, B).map(|reply| reply.1), Some(0));
        engine.mend(A, B, Channel::Status);
        let skew = NodeFault::Skew(Skew { offset_ms: -500, ..Skew::default() });
        engine.strike(A, &skew);
        let sent = engine.now();
        let seen = ask(&mut engine, A).map(|reply| reply.3);
        assert_eq!(seen, Some(CLOCK_START + sent + Nanos(10) - Nanos::from_millis(500)));
        engine.relieve(A, &skew);
        ask(&mut engine, A);
        assert_eq!(ask(&mut engine, B).map(|reply| reply.1), Some(3));
    }

    #[test]
    fn a_full_disk_stops_who_writes_until_there_is_room() {
        let mut engine = engine();
        ask(&mut engine, A);
        engine.strike(A, &NodeFault::DiskFull);
        assert_eq!(ask(&mut engine, A), None);
        assert!(engine.running(A).is_none());
        engine.relieve(A, &NodeFault::DiskFull);
        assert_eq!(ask(&mut engine, A).map(|reply| reply.0), Some(2));
        for _ in 0..1_100 {
            ask(&mut engine, B);
        }
        engine.strike(B, &NodeFault::Memory(1));
        assert_eq!(ask(&mut engine, B), None);
        engine.relieve(B, &NodeFault::Memory(1));
        assert!(ask(&mut engine, B).is_some());
    }

    #[test]
    fn files_that_lack_their_end_lack_what_was_synced() {
        let mut engine = engine();
        for _ in 0..10 {
            ask(&mut engine, A);
        }
        let truncate = NodeFault::Truncate { file: "*".into(), bytes: 3 * RECORD_BYTES };
        engine.strike(A, &truncate);
        engine.relieve(A, &truncate);
        assert_eq!(ask(&mut engine, A).map(|reply| reply.0), Some(8));
        let flip = NodeFault::BitFlip { file: "*".into(), bits: 2 };
        engine.strike(A, &flip);
        engine.relieve(A, &flip);
        assert!(ask(&mut engine, A).is_some_and(|reply| reply.0 <= 8));
    }

    #[test]
    fn who_is_throttled_has_its_turn_once_in_a_while() {
        let mut engine = engine();
        engine.strike(A, &NodeFault::Throttle(10));
        engine.request(A, Ticket(1), ());
        assert!(engine.run(Nanos::from_millis(9)).is_some());
        engine.run(Nanos::from_millis(20));
        engine.request(A, Ticket(2), ());
        assert!(engine.run(Nanos::from_millis(99)).is_none());
        assert!(engine.run(Nanos::from_millis(101)).is_some());
    }
}
