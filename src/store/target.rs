//! A simulated cluster as something a run can drive.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{
    Action, Channel, ClientEvent, Cut, Event, Fault, FaultId, Function, Invocation, Kind, Lost,
    Mop, Nanos, Op, Outcome, Process, Value, What,
};
use crate::sim::{Answer, Conditions, Engine, Network, NodeId, Ticket};
use crate::store::cache::{self, Cache, HIT, Server};
use crate::store::routing::{Reads, Session};
use crate::store::sharded::shard_of;
use crate::store::{Position, Request, Standing, Store};
use crate::target::{Target, TargetError};

/// Which nodes there are, and how clients and the operator behave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cluster {
    /// How many nodes have data.
    pub(super) nodes: u8,
    /// How many mediators there are beside them.
    pub(super) mediators: u8,
    pub(super) reads: Reads,
    pub(super) operator: Option<Operator>,
    /// In how many shards the keys are.
    pub(super) shards: u8,
    /// Over how many devices a session goes in turn; none knows what another has seen.
    pub(super) devices: u8,
    /// What is between the clients and the store.
    pub(super) cache: Option<cache::Settings>,
    /// How long a client goes on with an address that it looked up; without, it goes where the last
    /// answer pointed.
    pub(super) address_age: Option<Nanos>,
    /// How often the primary is changed as planned, and whether it first hands over all it has.
    pub(super) switchover: Option<Switchover>,
    /// Whether an operation that was not answered is said to have failed, which nobody knows.
    pub(super) timeouts_fail: bool,
}

impl Cluster {
    /// Nodes alone, with nobody who looks after them.
    pub(super) fn of(nodes: u8, reads: Reads) -> Self {
        Self {
            nodes,
            mediators: 0,
            reads,
            operator: None,
            shards: 1,
            devices: 1,
            cache: None,
            address_age: None,
            switchover: None,
            timeouts_fail: false,
        }
    }
}

/// A planned change of the primary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switchover {
    /// From one to the next.
    pub(super) every: Nanos,
    /// Whether the primary takes no more writes and goes when its successor has all; otherwise the
    /// successor begins at once.
    pub(super) drains: bool,
}

/// A person who looks after the primary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator {
    /// How long after the primary has stopped running another node is promoted.
    pub(super) delay: Nanos,
    /// Which of the running nodes.
    pub(super) successor: Successor,
}

/// Which of the running nodes an operator promotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Successor {
    /// The one with the longest log.
    MostAdvanced,
    /// The last in order.
    Last,
}

/// A store in the simulator, with its clients.
///
/// A request takes the network's time there and back. One that is refused by a dead node, or by a
/// node that says it has done nothing, fails; one that is not answered within the client timeout
/// stays unknown. Nothing is retried.
pub struct SimTarget<S: Store> {
    /// The names of all nodes, those without data last.
    names: Vec<Arc<str>>,
    engine: Engine<S>,
    cluster: Cluster,
    client_timeout: Nanos,
    /// What each device of a session knows of each shard.
    sessions: FxHashMap<Knows, Session>,
    cache: Option<Cache>,
    /// Requests that the cache answers, and when; all take equally long.
    hits: VecDeque<(Nanos, Ticket, Vec<Mop>)>,
    /// How many requests there were.
    requests: u64,
    /// Requests under way, by slot; a ticket is a slot and how often it had been used.
    calls: Vec<Slot>,
    free: Vec<u32>,
    under_way: usize,
    /// When the clients give up, in that order: all wait equally long.
    deadlines: VecDeque<(Nanos, Ticket)>,
    /// When the operator looks after the primary.
    rounds: VecDeque<Nanos>,
    /// When the primary is next changed as planned.
    next_switchover: Nanos,
    active: BTreeMap<FaultId, Fault>,
    shapes: Shapes,
}

#[derive(Default)]
struct Slot {
    uses: u32,
    call: Option<Call>,
}

/// A session, one of its devices, and a shard.
type Knows = (u32, u8, u8);

struct Call {
    process: Process,
    session: u32,
    knows: Knows,
    server: Server,
    node: NodeId,
    is_final: bool,
    op: Arc<Op>,
}

/// The ticket of a request that no client waits for.
const NOBODY: Ticket = Ticket(u64::MAX);

impl<S: Store> SimTarget<S> {
    /// The nodes of a cluster, its mediators last.
    pub(super) fn new(
        nodes: Vec<S>,
        cluster: Cluster,
        conditions: Conditions,
        client_timeout: Nanos,
        seed: u64,
    ) -> Self {
        let mediators = (1..=cluster.mediators).map(|n| Arc::from(format!("m{n}")));
        let data = (1..=cluster.nodes).map(|n| Arc::from(format!("n{n}")));
        let network = Network::new(nodes.len(), conditions, seed);
        Self {
            names: data.chain(mediators).collect(),
            engine: Engine::new(nodes, network, seed),
            cluster,
            client_timeout,
            sessions: FxHashMap::default(),
            cache: cluster.cache.map(Cache::new),
            hits: VecDeque::new(),
            requests: 0,
            calls: Vec::new(),
            free: Vec::new(),
            under_way: 0,
            deadlines: VecDeque::new(),
            rounds: VecDeque::new(),
            next_switchover: cluster.switchover.map_or(Nanos::FOREVER, |one| one.every),
            active: BTreeMap::new(),
            shapes: Shapes::default(),
        }
    }

    /// How many nodes have data.
    fn data(&self) -> usize {
        usize::from(self.cluster.nodes)
    }

    fn invoke(&mut self, call: &Invocation) -> Result<(), TargetError> {
        let named = call.node.as_ref().map(|name| self.id(name)).transpose()?;
        let (nodes, reads) = (self.data(), self.cluster.reads);
        let now = self.engine.now();
        let leader = self.cluster.address_age.and_then(|_| self.leader());
        let shard = shard_of(call.op.key(), self.cluster.shards);
        let device = (self.requests % u64::from(self.cluster.devices)) as u8;
        self.requests += 1;
        let knows = (call.session, device, shard);
        let first = NodeId((usize::from(shard) % nodes) as u8);
        let session =
            self.sessions.entry(knows).or_insert_with(|| Session::new(call.session, nodes, first));
        session.note(call);
        if let Some(age) = self.cluster.address_age {
            session.look_up(leader.map(|(id, standing)| (standing.epoch, id)), now, age);
        }
        let node = session.choose(call, named, reads);
        let (token, epoch) = (session.token(reads), session.epoch());
        self.shapes.see(&call.op);
        let server = self.cache.as_mut().map(Cache::enter).unwrap_or_default();
        let hit = self.look(server, call);
        let op = Arc::new(call.op.clone());
        let ticket = self.issue(Call {
            process: call.process,
            session: call.session,
            knows,
            server,
            node,
            is_final: call.is_final,
            op: op.clone(),
        });
        if let Some(answer) = hit {
            self.hits.push_back((self.engine.now() + HIT, ticket, answer));
            return Ok(());
        }
        let deadline = self.engine.now() + self.client_timeout;
        self.deadlines.push_back((deadline, ticket));
        if self.is_cut_off(call.session, node, Lost::All) {
            return Ok(());
        }
        let request = Request::Execute { op, token, epoch, is_final: call.is_final };
        self.engine.request(node, ticket, request);
        Ok(())
    }

    /// What the cache answers.
    fn look(&mut self, server: Server, call: &Invocation) -> Option<Vec<Mop>> {
        let key = cached(&call.op).filter(|_| !call.is_final)?;
        let value = self.cache.as_mut()?.look(server, key, self.engine.now())?;
        Some(call.op.mops.iter().map(|mop| Mop { value: value.clone(), ..mop.clone() }).collect())
    }

    /// The cache is told what the store has answered.
    fn tell_cache(&mut self, call: &Call, outcome: &Outcome, position: Position) {
        let (Some(cache), Outcome::Ok(answer), false) = (&mut self.cache, outcome, call.is_final)
        else {
            return;
        };
        if cached(&call.op).is_some() {
            let now = self.engine.now();
            for mop in answer {
                cache.fill(call.server, &mop.key, &mop.value, position, now);
            }
        }
        for mop in answer.iter().filter(|mop| !mop.function.is_read()) {
            cache.forget(call.server, &mop.key, position);
        }
    }

    fn issue(&mut self, call: Call) -> Ticket {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.calls.push(Slot::default());
            self.calls.len() as u32 - 1
        });
        let entry = &mut self.calls[slot as usize];
        entry.uses = entry.uses.wrapping_add(1);
        entry.call = Some(call);
        self.under_way += 1;
        Ticket(u64::from(entry.uses) << 32 | u64::from(slot))
    }

    /// Takes the call of a ticket, unless its client has given up.
    fn redeem(&mut self, ticket: Ticket) -> Option<Call> {
        let slot = ticket.0 as u32;
        let entry = self.calls.get_mut(slot as usize)?;
        if u64::from(entry.uses) != ticket.0 >> 32 {
            return None;
        }
        let call = entry.call.take()?;
        self.free.push(slot);
        self.under_way -= 1;
        Some(call)
    }

    /// Whether the client that holds this ticket still waits.
    fn is_open(&self, ticket: Ticket) -> bool {
        let slot = self.calls.get(ticket.0 as u32 as usize);
        slot.is_some_and(|slot| u64::from(slot.uses) == ticket.0 >> 32 && slot.call.is_some())
    }

    /// Whether so much is lost between a client and a node.
    fn is_cut_off(&self, session: u32, node: NodeId, what: Lost) -> bool {
        let name = &self.names[node.index()];
        session % 2 == 1
            && self.active.values().any(|fault| match fault {
                Fault::Disconnect { nodes, lost } => {
                    (*lost == Lost::All || *lost == what) && nodes.contains(name)
                }
                _ => false,
            })
    }

    /// Whether an answer never reaches the client that waits for it.
    fn is_lost(&self, answer: &Answer<S::Reply>) -> bool {
        let (Answer::Refused(ticket) | Answer::Reply(ticket, _)) = answer;
        let slot = self.calls.get(ticket.0 as u32 as usize).filter(|_| self.is_open(*ticket));
        let call = slot.and_then(|slot| slot.call.as_ref());
        call.is_some_and(|call| self.is_cut_off(call.session, call.node, Lost::Answers))
    }

    /// Something reached a client.
    fn take(&mut self, answer: Answer<S::Reply>) -> Option<Event> {
        if self.is_lost(&answer) {
            return None;
        }
        let nodes = self.data();
        match answer {
            Answer::Refused(ticket) => {
                let call = self.redeem(ticket)?;
                self.sessions.get_mut(&call.knows)?.avoid(call.node, nodes);
                Some(self.complete(call, Outcome::Fail("connection refused".to_owned())))
            }
            Answer::Reply(ticket, reply) => {
                let call = self.redeem(ticket)?;
                self.tell_cache(&call, &reply.outcome, reply.position);
                let session = self.sessions.get_mut(&call.knows)?;
                session.learn(reply.hint, reply.position);
                if reply.hint.is_none() && !matches!(reply.outcome, Outcome::Ok(_)) {
                    session.avoid(call.node, nodes);
                }
                Some(self.complete(call, reply.outcome))
            }
        }
    }

    fn give_up(&mut self, ticket: Ticket) -> Option<Event> {
        let call = self.redeem(ticket)?;
        let nodes = self.data();
        self.sessions.get_mut(&call.knows)?.avoid(call.node, nodes);
        let why = "timeout".to_owned();
        let is_failure = self.cluster.timeouts_fail;
        Some(self.complete(call, if is_failure { Outcome::Fail(why) } else { Outcome::Info(why) }))
    }

    /// The cache answers; no node does.
    fn hit(&mut self) -> Option<Event> {
        let (_, ticket, answer) = self.hits.pop_front()?;
        let call = self.redeem(ticket)?;
        let mut event = self.complete(call, Outcome::Ok(answer));
        if let What::Client(client) = &mut event.what {
            client.node = None;
        }
        Some(event)
    }

    fn complete(&self, call: Call, outcome: Outcome) -> Event {
        let function = call.op.function;
        let (kind, op, error) = match outcome {
            Outcome::Ok(mut mops) => {
                self.shapes.fill(&mut mops);
                (Kind::Ok, Op { function, mops }, None)
            }
            Outcome::Fail(why) => (Kind::Fail, Arc::unwrap_or_clone(call.op), Some(why)),
            Outcome::Info(why) => (Kind::Info, Arc::unwrap_or_clone(call.op), Some(why)),
        };
        let event = ClientEvent {
            session: Some(call.session),
            node: Some(self.names[call.node.index()].clone()),
            is_final: call.is_final,
            error,
            ..ClientEvent::new(call.process, kind, op)
        };
        Event { time: self.engine.now(), what: What::Client(event) }
    }

    /// The operator promotes one of the running nodes, if none of them leads.
    fn look_after_primary(&mut self) {
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

    /// The node that leads in the newest epoch, of those that run.
    fn leader(&self) -> Option<(NodeId, Standing)> {
        let standing = |id| self.engine.running(id).map(|node| (id, node.standing()));
        let leaders = self.engine.ids().filter_map(standing).filter(|(_, one)| one.leads);
        leaders.max_by_key(|(_, standing)| standing.epoch)
    }

    /// The primary is changed as planned: for the next node that runs.
    fn switch_over(&mut self, Switchover { every, drains }: Switchover) {
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

    fn id(&self, name: &str) -> Result<NodeId, TargetError> {
        let at = self.names.iter().position(|node| **node == *name);
        at.map(|at| NodeId(at as u8)).ok_or_else(|| {
            let known = self.names.join(", ");
            TargetError::Unusable(format!("there is no node {name:?}; there are {known}"))
        })
    }

    /// The distinct nodes of these names.
    fn ids(&self, names: &[Arc<str>]) -> Result<BTreeSet<NodeId>, TargetError> {
        names.iter().map(|name| self.id(name)).collect()
    }

    fn strike(&mut self, fault: &Fault) -> Result<(), TargetError> {
        match fault {
            Fault::Partition { cuts, channel, .. } => {
                for (from, to) in self.links(cuts)? {
                    for channel in streams(*channel) {
                        self.engine.cut(from, to, *channel);
                    }
                }
            }
            Fault::Kill(nodes) => {
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.kill(id));
                self.call_operator();
            }
            Fault::Pause(nodes) => {
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.pause(id));
                self.call_operator();
            }
            Fault::Skew { nodes, offset_ms } => {
                let by_ns = offset_ms.saturating_mul(1_000_000);
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.skew(id, by_ns));
            }
            Fault::Slow { nodes, by_ms } => {
                let by = Nanos::from_millis(*by_ms);
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.slow(id, by));
            }
            Fault::Disconnect { nodes, .. } => {
                self.ids(nodes)?;
            }
            Fault::Command { name, .. } => {
                return Err(TargetError::Unusable(format!(
                    "the simulator has no fault {name:?}; it has partition, kill, pause, skew, slow and disconnect"
                )));
            }
        }
        Ok(())
    }

    fn mend(&mut self, fault: &Fault) -> Result<(), TargetError> {
        match fault {
            Fault::Partition { cuts, channel, .. } => {
                for (from, to) in self.links(cuts)? {
                    for channel in streams(*channel) {
                        self.engine.mend(from, to, *channel);
                    }
                }
            }
            Fault::Kill(nodes) => {
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.restart(id));
            }
            Fault::Pause(nodes) => {
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.resume(id));
            }
            Fault::Skew { nodes, offset_ms } => {
                let by_ns = offset_ms.saturating_mul(-1_000_000);
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.skew(id, by_ns));
            }
            Fault::Slow { nodes, by_ms } => {
                let by = Nanos::from_millis(*by_ms);
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.hasten(id, by));
            }
            Fault::Disconnect { .. } | Fault::Command { .. } => {}
        }
        Ok(())
    }

    fn links(&self, cuts: &[Cut]) -> Result<BTreeSet<(NodeId, NodeId)>, TargetError> {
        cuts.iter().map(|cut| Ok((self.id(&cut.from)?, self.id(&cut.to)?))).collect()
    }

    fn call_operator(&mut self) {
        if let Some(Operator { delay, .. }) = self.cluster.operator {
            self.rounds.push_back(self.engine.now() + delay);
        }
    }
}

impl<S: Store> Target for SimTarget<S> {
    fn nodes(&self) -> &[Arc<str>] {
        &self.names[..self.data()]
    }

    fn mediators(&self) -> &[Arc<str>] {
        &self.names[self.data()..]
    }

    fn now(&self) -> Nanos {
        self.engine.now()
    }

    fn begin(&mut self, action: &Action) -> Result<(), TargetError> {
        match action {
            Action::Invoke(call) => self.invoke(call),
            Action::Begin(id, _) if self.active.contains_key(id) => Ok(()),
            Action::Begin(id, fault) => {
                self.strike(fault)?;
                self.active.insert(*id, fault.clone());
                Ok(())
            }
            Action::End(id, _) => match self.active.remove(id) {
                Some(fault) => self.mend(&fault),
                None => Ok(()),
            },
        }
    }

    fn advance(&mut self, until: Nanos) -> Option<Event> {
        loop {
            while self.deadlines.front().is_some_and(|(_, ticket)| !self.is_open(*ticket)) {
                self.deadlines.pop_front();
            }
            let deadline = self.deadlines.front().map_or(Nanos::FOREVER, |(time, _)| *time);
            let round = self.rounds.front().map_or(Nanos::FOREVER, |time| *time);
            let hit = self.hits.front().map_or(Nanos::FOREVER, |(time, ..)| *time);
            if until.min(deadline).min(round).min(hit) == Nanos::FOREVER {
                // Nobody waits for anything: the nodes would go on talking for ever.
                return None;
            }
            let limit = until.min(deadline).min(round).min(hit).min(self.next_switchover);
            if let Some(answer) = self.engine.run(limit) {
                if let Some(event) = self.take(answer) {
                    return Some(event);
                }
            } else if limit == hit {
                if let Some(event) = self.hit() {
                    return Some(event);
                }
            } else if limit == round {
                self.rounds.pop_front();
                self.look_after_primary();
            } else if let Some(plan) = self.cluster.switchover
                && limit == self.next_switchover
            {
                self.switch_over(plan);
            } else if limit == deadline {
                if let Some(event) = self.deadlines.pop_front().and_then(|(_, t)| self.give_up(t)) {
                    return Some(event);
                }
            } else {
                return None;
            }
        }
    }

    fn primary(&mut self) -> Option<Arc<str>> {
        self.leader().map(|(id, _)| self.names[id.index()].clone())
    }

    fn close(&mut self) -> Result<(), TargetError> {
        while let Some((_, fault)) = self.active.pop_first() {
            self.mend(&fault)?;
        }
        Ok(())
    }
}

/// The key whose value a cache may hold: that of a single read.
fn cached(op: &Op) -> Option<&Value> {
    match op.mops.as_slice() {
        [mop] if op.function == Function::Read && mop.function.is_read() => Some(&mop.key),
        _ => None,
    }
}

/// The streams of a link that a partition concerns.
fn streams(channel: Option<Channel>) -> &'static [Channel] {
    match channel {
        None => &Channel::ALL,
        Some(Channel::Status) => &[Channel::Status],
        Some(Channel::Replication) => &[Channel::Replication],
    }
}

/// What clients know of the kinds of objects: a store cannot tell what a key that nobody has written
/// will be, but its client, who asked for a list, takes nothing for the empty list.
#[derive(Default)]
struct Shapes {
    by_key: FxHashMap<Value, Function>,
    /// What was last done to any key that is no register.
    last: Option<Function>,
    registers: bool,
}

impl Shapes {
    fn see(&mut self, op: &Op) {
        for mop in &op.mops {
            match mop.function {
                function if function.is_read() => {}
                Function::Append
                | Function::Add
                | Function::Remove
                | Function::Put
                | Function::Increment => {
                    if !self.by_key.contains_key(&mop.key) {
                        self.by_key.insert(mop.key.clone(), mop.function);
                    }
                    self.last = Some(mop.function);
                }
                _ => self.registers = true,
            }
        }
    }

    /// Puts the empty object in the place of nothing, where the key is known to be a collection or
    /// nothing else is ever written in this run.
    fn fill(&self, mops: &mut [Mop]) {
        let usual = self.last.filter(|_| !self.registers);
        if usual.is_none() && self.by_key.is_empty() {
            return;
        }
        for mop in mops.iter_mut().filter(|mop| mop.value == Value::Null) {
            let shape = self.by_key.get(&mop.key).copied().or(usual);
            mop.value = match shape {
                Some(Function::Increment) => Value::Int(0),
                Some(_) => Value::list([]),
                None => continue,
            };
        }
    }
}
