//! Who asks next, whom, and when.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::generate::keys::Keys;
use crate::generate::operations::Mix;
use crate::generate::whole_run::Plan;
use crate::model::{ClientEvent, Function, Invocation, Kind, Nanos, Op, Process, Random};

/// A number of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Total(u32),
    /// So many for each node, written `2n`.
    PerNode(u32),
}

impl Count {
    /// How many that is with so many nodes; at least one.
    pub fn with_nodes(self, nodes: usize) -> u32 {
        match self {
            Self::Total(count) => count.max(1),
            Self::PerNode(count) => count.saturating_mul(nodes as u32).max(1),
        }
    }
}

/// How fast operations come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Open loop: so many operations a second over all clients, whatever becomes of them. One that
    /// comes while all processes are busy waits for the next free one and is not dropped, so a slow
    /// store is offered no less, and the history says how long it waited: a latency that counts from
    /// when it was due omits nothing (Tene: coordinated omission).
    PerSecond(f64, Spacing),
    /// Closed loop: each client asks again as soon as it is answered.
    Max,
}

/// How the operations of an open loop are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// At random (a Poisson process), as independent users do.
    Poisson,
    /// Evenly.
    Even,
}

/// Which node an operation is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routing {
    /// A random one each time.
    Roam,
    /// The same one for all operations of a session.
    Sticky,
    /// Left to the target: whom it believes to be the primary.
    Primary,
    /// This one.
    Node(Arc<str>),
}

/// The clients of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientPlan {
    /// How many; each is one session.
    pub count: Count,
    /// Whom they ask.
    pub routing: Routing,
    /// How fast.
    pub rate: Rate,
}

/// One client: the process it runs as now, and what is told by its open operation.
#[derive(Clone, Debug)]
struct Client {
    process: u32,
    key: u32,
    busy: bool,
}

/// How long before what has to be done first is tried again.
const RETRY: Nanos = Nanos::from_millis(100);

/// How long after it nothing is asked, so that every node has heard of it.
const SPREAD: Nanos = Nanos::from_millis(300);

/// The clients of a run. A client is a session for the whole run; an operation of unknown outcome
/// retires its process, and the successor's number is greater by the number of clients.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    all: Vec<Client>,
    free: Vec<u32>,
    routing: Routing,
    rate: Rate,
    /// When the next operation of the open loop is due; it lags while all processes are busy.
    due: Nanos,
    nodes: Vec<Arc<str>>,
    mix: Mix,
    /// What has to be done before anything else, by the first client, one after the other.
    set_up: VecDeque<Op>,
    /// Whether anybody asks what was last seen of a key.
    guesses: bool,
    pub(super) keys: Keys,
    random: Random,
}

impl Clients {
    pub(super) fn new(plan: &Plan, seed: u64, nodes: &[Arc<str>]) -> Self {
        let count = plan.clients.count.with_nodes(nodes.len());
        let has = |function| plan.operations.iter().any(|one| one.function == function);
        let keys = Keys::new(&plan.keys, plan.worker, count);
        let all = || (0..plan.keys.count).map(|key| keys.name(key));
        let set_up = if !plan.worker.is_first() {
            VecDeque::new()
        } else if has(Function::Transfer) {
            all().map(|name| plan.bank.init(name)).collect()
        } else if has(Function::Buy) {
            all().map(|name| plan.stock.init(name)).collect()
        } else {
            VecDeque::new()
        };
        Self {
            all: (0..count).map(|process| Client { process, key: 0, busy: false }).collect(),
            free: (0..count).collect(),
            routing: plan.clients.routing.clone(),
            rate: plan.clients.rate,
            due: Nanos(0),
            nodes: nodes.to_vec(),
            mix: Mix::new(&plan.operations, plan.bank, plan.stock),
            set_up,
            guesses: has(Function::Cas) || has(Function::Put),
            keys,
            random: Random::stream(seed, "generator"),
        }
    }

    /// Lets the first operation come at `now`.
    pub(super) fn start(&mut self, now: Nanos) {
        self.due = now;
    }

    /// The next invocation, or when to ask again.
    pub(super) fn next(&mut self, now: Nanos) -> Result<Invocation, Nanos> {
        if self.free.is_empty() {
            return Err(Nanos::FOREVER);
        }
        if self.due > now {
            return Err(self.due);
        }
        if let Some(op) = self.set_up.front() {
            let op = op.clone();
            return if self.idle() { Ok(self.set_up(op)) } else { Err(Nanos::FOREVER) };
        }
        let mut waited = Nanos(0);
        if let Rate::PerSecond(rate, spacing) = self.rate {
            waited = now - self.due;
            let mean = 1e9 / rate;
            self.due = self.due
                + Nanos(match spacing {
                    Spacing::Poisson => self.random.exponential(mean) as u64,
                    Spacing::Even => mean as u64,
                });
        }
        let session = self.free.swap_remove(self.random.below(self.free.len() as u64) as usize);
        let (op, key) = self.mix.next(session, &mut self.keys, &mut self.random);
        let node = match &self.routing {
            _ if self.nodes.is_empty() => None,
            Routing::Primary => None,
            Routing::Roam => Some(self.random.pick(&self.nodes).clone()),
            Routing::Sticky => Some(self.nodes[session as usize % self.nodes.len()].clone()),
            Routing::Node(name) => Some(name.clone()),
        };
        let client = &mut self.all[session as usize];
        client.busy = true;
        client.key = key;
        let process = Process(client.process);
        Ok(Invocation { process, session, node, is_final: false, waited, op })
    }

    fn set_up(&mut self, op: Op) -> Invocation {
        let client = &mut self.all[0];
        client.busy = true;
        self.free.retain(|session| *session != 0);
        Invocation {
            process: Process(client.process),
            session: 0,
            node: None,
            is_final: false,
            waited: Nanos(0),
            op,
        }
    }

    /// An operation of one of these clients has ended at `now`.
    pub(super) fn update(&mut self, event: &ClientEvent, now: Nanos) {
        let many = self.all.len() as u32;
        let session = event.process.0 % many;
        let client = &mut self.all[session as usize];
        if !client.busy || client.process != event.process.0 {
            return;
        }
        client.busy = false;
        if event.kind == Kind::Info {
            client.process = client.process.wrapping_add(many);
        }
        self.free.push(session);
        if self.set_up.front().is_some_and(|op| op.function == event.op.function) {
            // What failed did not happen and may be tried again; what may have happened may not.
            let is_over = event.kind != Kind::Fail;
            self.due = now + if is_over { SPREAD } else { RETRY };
            if is_over {
                self.set_up.pop_front();
            }
        }
        match (event.op.function, event.kind, event.op.mops.last()) {
            (Function::Acquire, Kind::Ok, Some(last)) => {
                self.keys.hold(session, client.key, last.value.clone());
            }
            (Function::Release, ..) => self.keys.let_go(session),
            _ => {}
        }
        let is_told = !matches!(event.op.function, Function::Txn | Function::Put);
        let tells = self.guesses && event.kind == Kind::Ok && is_told;
        if let (true, Some(last)) = (tells, event.op.mops.last()) {
            self.keys.see(client.key, &last.value);
        }
    }

    /// Whether no operation is open.
    pub(super) fn idle(&self) -> bool {
        self.free.len() == self.all.len()
    }

    pub(super) fn sessions(&self) -> u32 {
        self.all.len() as u32
    }

    /// A number greater than that of every process so far.
    pub(super) fn unused_process(&self) -> u32 {
        self.all.iter().map(|client| client.process + 1).max().unwrap_or(0)
    }
}
