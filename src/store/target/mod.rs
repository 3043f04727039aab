//! A simulated cluster as something a run can drive.

mod address;
mod faults;
mod joint;
mod people;
mod shapes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

pub(super) use address::Address;
pub(super) use people::{Operator, Successor, Switchover};

use crate::model::{
    Action, ClientEvent, Event, Fault, FaultId, Function, Invocation, Kind, Lost, Mop, Nanos, Op,
    Outcome, Process, Value, What,
};
use crate::sim::{Answer, Conditions, Engine, Network, NodeId, Ticket};
use crate::store::cache::{self, Cache, HIT, Server};
use crate::store::routing::{Reads, Session};
use crate::store::sharded::shard_of;
use crate::store::{Position, Request, Standing, Store};
use crate::target::{Target, TargetError};
use address::Changes;
use joint::{Joint, Part};
use people::Paper;
use shapes::Shapes;

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
    /// How clients know where the primary is.
    pub(super) address: Address,
    /// How far back people enter again what was acknowledged before a failover.
    pub(super) re_entry: Option<Nanos>,
    /// Whether an operation over several shards is split; otherwise it is refused.
    pub(super) splits: bool,
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
            address: Address::Hint,
            re_entry: None,
            splits: false,
            switchover: None,
            timeouts_fail: false,
        }
    }
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
    /// Who has been the primary, and since when.
    changes: Changes,
    /// What was acknowledged, if people keep it to enter it again.
    paper: Option<Paper>,
    /// Operations that are done in parts, by number.
    joints: BTreeMap<u64, Joint>,
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
    /// Its number among all requests.
    number: u64,
    op: Arc<Op>,
    /// Of which operation it is a part.
    part: Option<Part>,
    /// Whether it was refused elsewhere before.
    is_second: bool,
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
            changes: Changes::default(),
            paper: cluster.re_entry.map(Paper::new),
            joints: BTreeMap::new(),
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
        self.shapes.see(&call.op);
        let (shards, splits) = (self.cluster.shards, self.cluster.splits);
        let parts = if splits { joint::parts(&call.op, shards) } else { Vec::new() };
        if parts.len() < 2 {
            self.ask(call, named, None);
            return Ok(());
        }
        let joint = self.requests + 1;
        self.joints.insert(joint, Joint::new(&call.op, parts.len()));
        for (op, places) in parts {
            let call = Invocation { op, ..call.clone() };
            self.ask(&call, named, Some(Part { joint, places }));
        }
        Ok(())
    }

    /// Sends a request, or the part of one.
    fn ask(&mut self, call: &Invocation, named: Option<NodeId>, part: Option<Part>) {
        let (nodes, reads) = (self.data(), self.cluster.reads);
        let shard = shard_of(call.op.key(), self.cluster.shards);
        let device = (self.requests % u64::from(self.cluster.devices)) as u8;
        self.requests += 1;
        let knows = (call.session, device, shard);
        let first = NodeId((usize::from(shard) % nodes) as u8);
        let address = self.look_up(call.session);
        let now = self.engine.now();
        let session =
            self.sessions.entry(knows).or_insert_with(|| Session::new(call.session, nodes, first));
        session.note(call);
        if let Some(address) = address {
            session.look_up(address, now, self.cluster.address.age());
        }
        let node = session.choose(call, named, reads);
        let server = self.cache.as_mut().map(Cache::enter).unwrap_or_default();
        let hit = self.look(server, call);
        let call = Call {
            process: call.process,
            session: call.session,
            knows,
            server,
            node,
            is_final: call.is_final,
            number: self.requests,
            op: Arc::new(call.op.clone()),
            part,
            is_second: false,
        };
        match hit {
            Some(answer) => {
                let ticket = self.issue(call);
                self.hits.push_back((now + HIT, ticket, answer));
            }
            None => self.send(call),
        }
    }

    fn send(&mut self, call: Call) {
        let (node, session, number) = (call.node, call.session, call.number);
        let (op, is_final) = (call.op.clone(), call.is_final);
        let known = self.sessions.get(&call.knows);
        let token = known.map_or(Position::default(), |known| known.token(self.cluster.reads));
        let epoch = known.map_or(0, Session::epoch);
        let ticket = self.issue(call);
        self.deadlines.push_back((self.engine.now() + self.client_timeout, ticket));
        if !self.is_cut_off(session, node, Lost::All) {
            let request = Request::Execute { op, number, token, epoch, is_final };
            self.engine.request(node, ticket, request);
        }
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
                self.complete(call, Outcome::Fail("connection refused".to_owned()))
            }
            Answer::Reply(ticket, reply) => {
                let mut call = self.redeem(ticket)?;
                self.tell_cache(&call, &reply.outcome, reply.position);
                let session = self.sessions.get_mut(&call.knows)?;
                session.learn(reply.hint, reply.position);
                if reply.hint.is_none() && !matches!(reply.outcome, Outcome::Ok(_)) {
                    session.avoid(call.node, nodes);
                }
                let goes_on = self.cluster.reads == Reads::Token && !call.is_final;
                let was_refused = matches!(reply.outcome, Outcome::Fail(_)) && !call.op.writes();
                if goes_on && was_refused && !call.is_second && call.node != session.primary() {
                    // Who has a token and finds a copy that is behind asks the primary instead.
                    (call.node, call.is_second) = (session.primary(), true);
                    self.send(call);
                    return None;
                }
                if let (Some(paper), Outcome::Ok(_), true) =
                    (&mut self.paper, &reply.outcome, call.op.writes())
                {
                    paper.note(self.engine.now(), call.number, &call.op);
                }
                self.enter_again(reply.hint);
                self.complete(call, reply.outcome)
            }
        }
    }

    fn give_up(&mut self, ticket: Ticket) -> Option<Event> {
        let call = self.redeem(ticket)?;
        let nodes = self.data();
        self.sessions.get_mut(&call.knows)?.avoid(call.node, nodes);
        let why = "timeout".to_owned();
        let is_failure = self.cluster.timeouts_fail;
        self.complete(call, if is_failure { Outcome::Fail(why) } else { Outcome::Info(why) })
    }

    /// The cache answers; no node does.
    fn hit(&mut self) -> Option<Event> {
        let (_, ticket, answer) = self.hits.pop_front()?;
        let call = self.redeem(ticket)?;
        let mut event = self.complete(call, Outcome::Ok(answer))?;
        if let What::Client(client) = &mut event.what {
            client.node = None;
        }
        Some(event)
    }

    /// An operation has ended, or a part of it: nothing is said before all parts have.
    fn complete(&mut self, mut call: Call, outcome: Outcome) -> Option<Event> {
        let Some(Part { joint, places }) = call.part.take() else {
            return Some(self.event(call, outcome));
        };
        let open = self.joints.get_mut(&joint)?;
        open.end(&places, &call.op, outcome);
        if !open.is_over() {
            return None;
        }
        let (op, outcome) = self.joints.remove(&joint)?.result();
        call.op = Arc::new(op);
        Some(self.event(call, outcome))
    }

    fn event(&self, call: Call, outcome: Outcome) -> Event {
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

    /// The node that leads in the newest epoch, of those that run.
    fn leader(&self) -> Option<(NodeId, Standing)> {
        let standing = |id| self.engine.running(id).map(|node| (id, node.standing()));
        let leaders = self.engine.ids().filter_map(standing).filter(|(_, one)| one.leads);
        leaders.max_by_key(|(_, standing)| standing.epoch)
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
