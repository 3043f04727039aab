//! A simulated cluster as something a run can drive.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{
    Action, Channel, ClientEvent, Cut, Event, Fault, FaultId, Function, Invocation, Kind, Mop,
    Nanos, Op, Outcome, Process, Value, What,
};
use crate::sim::{Answer, Conditions, Engine, Network, NodeId, Ticket};
use crate::store::routing::{Reads, Session};
use crate::store::{Request, Store};
use crate::target::{Target, TargetError};

/// How clients and the operator behave, and what the network does of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings {
    pub(super) conditions: Conditions,
    pub(super) client_timeout: Nanos,
    pub(super) reads: Reads,
    /// How long after the primary has stopped running an operator promotes another node, if ever.
    pub(super) operator_delay: Option<Nanos>,
}

/// A store in the simulator, with its clients.
///
/// A request takes the network's time there and back. One that is refused by a dead node, or by a
/// node that says it has done nothing, fails; one that is not answered within the client timeout
/// stays unknown. Nothing is retried.
pub struct SimTarget<S: Store> {
    names: Vec<Arc<str>>,
    engine: Engine<S>,
    surroundings: Surroundings,
    sessions: FxHashMap<u32, Session>,
    /// Requests under way, by slot; a ticket is a slot and how often it had been used.
    calls: Vec<Slot>,
    free: Vec<u32>,
    under_way: usize,
    /// When the clients give up, in that order: all wait equally long.
    deadlines: VecDeque<(Nanos, Ticket)>,
    /// When the operator looks after the primary.
    rounds: VecDeque<Nanos>,
    active: BTreeMap<FaultId, Fault>,
    shapes: Shapes,
}

#[derive(Default)]
struct Slot {
    uses: u32,
    call: Option<Call>,
}

struct Call {
    process: Process,
    session: u32,
    node: NodeId,
    is_final: bool,
    op: Arc<Op>,
}

/// The ticket of a request that no client waits for.
const NOBODY: Ticket = Ticket(u64::MAX);

impl<S: Store> SimTarget<S> {
    pub(super) fn new(nodes: Vec<S>, surroundings: Surroundings, seed: u64) -> Self {
        let names = (1..=nodes.len()).map(|n| Arc::from(format!("n{n}"))).collect();
        let network = Network::new(nodes.len(), surroundings.conditions, seed);
        Self {
            names,
            engine: Engine::new(nodes, network, seed),
            surroundings,
            sessions: FxHashMap::default(),
            calls: Vec::new(),
            free: Vec::new(),
            under_way: 0,
            deadlines: VecDeque::new(),
            rounds: VecDeque::new(),
            active: BTreeMap::new(),
            shapes: Shapes::default(),
        }
    }

    fn invoke(&mut self, call: &Invocation) -> Result<(), TargetError> {
        let named = call.node.as_ref().map(|name| self.id(name)).transpose()?;
        let (nodes, reads) = (self.names.len(), self.surroundings.reads);
        let session =
            self.sessions.entry(call.session).or_insert_with(|| Session::new(call.session, nodes));
        let node = session.choose(call, named, reads);
        let token = session.token(reads);
        self.shapes.see(&call.op);
        let op = Arc::new(call.op.clone());
        let ticket = self.issue(Call {
            process: call.process,
            session: call.session,
            node,
            is_final: call.is_final,
            op: op.clone(),
        });
        let deadline = self.engine.now() + self.surroundings.client_timeout;
        self.deadlines.push_back((deadline, ticket));
        self.engine.request(node, ticket, Request::Execute { op, token, is_final: call.is_final });
        Ok(())
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
        let nodes = self.names.len();
        match answer {
            Answer::Refused(ticket) => {
                let call = self.redeem(ticket)?;
                self.sessions.get_mut(&call.session)?.avoid(call.node, nodes);
                Some(self.complete(call, Outcome::Fail("connection refused".to_owned())))
            }
            Answer::Reply(ticket, reply) => {
                let call = self.redeem(ticket)?;
                let session = self.sessions.get_mut(&call.session)?;
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
        self.sessions.get_mut(&call.session)?.avoid(call.node, self.names.len());
        Some(self.complete(call, Outcome::Info("timeout".to_owned())))
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

    /// The operator promotes the most advanced of the running nodes, if none of them leads.
    fn look_after_primary(&mut self) {
        let running = |id| self.engine.running(id).map(|node| (id, node.standing()));
        let standings: Vec<_> = self.engine.ids().filter_map(running).collect();
        if standings.iter().any(|(_, standing)| standing.leads) {
            return;
        }
        // Of equals the first.
        let best = standings.iter().rev().max_by_key(|(_, standing)| standing.position);
        if let Some((id, _)) = best {
            self.engine.request(*id, NOBODY, Request::Promote);
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
            Fault::Command { name, .. } => {
                return Err(TargetError::Unusable(format!(
                    "the simulator has no fault {name:?}; it has partition, kill, pause and skew"
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
            Fault::Command { .. } => {}
        }
        Ok(())
    }

    fn links(&self, cuts: &[Cut]) -> Result<BTreeSet<(NodeId, NodeId)>, TargetError> {
        cuts.iter().map(|cut| Ok((self.id(&cut.from)?, self.id(&cut.to)?))).collect()
    }

    fn call_operator(&mut self) {
        if let Some(delay) = self.surroundings.operator_delay {
            self.rounds.push_back(self.engine.now() + delay);
        }
    }
}

impl<S: Store> Target for SimTarget<S> {
    fn nodes(&self) -> &[Arc<str>] {
        &self.names
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
            let limit = until.min(deadline).min(round);
            if limit == Nanos::FOREVER {
                // Nobody waits for anything: the nodes would go on talking for ever.
                return None;
            }
            if let Some(answer) = self.engine.run(limit) {
                if let Some(event) = self.take(answer) {
                    return Some(event);
                }
            } else if limit == round {
                self.rounds.pop_front();
                self.look_after_primary();
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
        let standing = |id| self.engine.running(id).map(|node| (node.standing(), id));
        self.engine
            .ids()
            .filter_map(standing)
            .filter(|(standing, _)| standing.leads)
            .max_by_key(|(standing, _)| standing.epoch)
            .map(|(_, id)| self.names[id.index()].clone())
    }

    fn close(&mut self) -> Result<(), TargetError> {
        while let Some((_, fault)) = self.active.pop_first() {
            self.mend(&fault)?;
        }
        Ok(())
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
                Function::Read => {}
                Function::Append | Function::Add | Function::Remove | Function::Increment => {
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
