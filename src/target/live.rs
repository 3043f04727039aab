//! A store outside this process as a [`Target`], over any [`Client`].
//!
//! ```text
//! driver ── begin(op) ─> leaving ─ advance(until) ─> task of the process ── invoke ──> store
//!   │                                                      │
//!   └── arrived, advance <─────────── channel ─────────────┴─ answer, time limit, panic
//! ```
//!
//! Clients run on the driver's own thread, while that is in `advance`: to hand an operation to another
//! thread, and its answer back, costs more than the operation. Whatever must go on without the
//! driver (faults and their renewal, asking who leads) has threads of its own; faults are told of by the same
//! channel ([`Orders`]).
//!
//! # Why the recorded order is sound
//!
//! A checker trusts "`a` returned before `b` was invoked" when the line of `a`'s completion stands
//! above the line of `b`'s invocation. The driver writes an invocation before it calls `begin`, and
//! flushes it before it calls `advance`, so before a byte of the request leaves; and a completion is
//! written after it came out of the channel, so after the answer arrived. Recorded intervals contain the
//! real ones: late recording can only make operations look concurrent that were not, which hides a
//! violation and never invents one. Both are written by the one thread of the driver with times of one
//! monotonic clock, so the order of the lines, of the times and of what happened agree. To hide little,
//! all that has arrived is handed out before anything else is begun.

#![expect(clippy::disallowed_methods, reason = "a live target is driven in real time")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::model::{
    Action, ClientEvent, Event, FaultId, Invocation, Kind, Nanos, Op, Outcome, Process, Value, What,
};
use crate::target::alarm::Alarm;
use crate::target::client::{Answer, Client, Factory, unanswered};
use crate::target::config::Follow;
use crate::target::exec::Injector;
use crate::target::orders::{Orders, Settled};
use crate::target::stores::Adapter;
use crate::target::{Target, TargetError};

/// A store that lives outside this process, driven in real time.
pub struct LiveTarget {
    nodes: Vec<Arc<str>>,
    factory: Arc<Factory>,
    timeout: Duration,
    start: Instant,
    /// The tasks of the processes that may be asked again.
    tasks: BTreeMap<Process, UnboundedSender<Debt>>,
    /// What was begun and has not been handed to its task.
    leaving: Vec<Debt>,
    arrivals: UnboundedReceiver<Arrival>,
    arrive: UnboundedSender<Arrival>,
    /// How many invocations have not come out of `advance`.
    under_way: usize,
    /// Our own share of the latency of the completion that came out of it last.
    added: Nanos,
    orders: Option<Orders>,
    sweeper: Option<Sweeper>,
    follow: Follow,
    /// Who was last seen to lead.
    primary: Arc<Mutex<Option<Arc<str>>>>,
    closed: bool,
    alarm: Alarm,
    /// Where the clients run.
    clients: Runtime,
    /// Where everything else does.
    runtime: Runtime,
}

/// How long the keys of a run may take to be removed.
const SWEEP: Duration = Duration::from_secs(10);

/// Who removes the keys of a run.
struct Sweeper {
    adapter: Arc<dyn Adapter>,
    keys: BTreeSet<Value>,
}

impl Sweeper {
    fn see(&mut self, op: &Op) {
        for mop in op.mops.iter().filter(|mop| !mop.function.is_read()) {
            if !self.keys.contains(&mop.key) {
                self.keys.insert(mop.key.clone());
            }
        }
    }

    /// Asks whoever leads, else the nodes in turn. Keys that nobody removes harm nobody: the next run has
    /// others.
    async fn sweep(self, primary: Option<Arc<str>>, nodes: &[Arc<str>]) {
        let keys: Vec<Value> = self.keys.into_iter().collect();
        let all = async {
            for node in primary.iter().chain(nodes) {
                if self.adapter.clone().clear(node, &keys).await.is_ok() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(SWEEP, all).await;
    }
}

/// What comes back of what was begun.
enum Arrival {
    Completion(Completion),
    Settled(Settled),
}

struct Completion {
    invocation: Invocation,
    answer: Answer,
    /// How long the invocation was on its way to its client, and when the answer of that one left it.
    queued: Duration,
    answered: Instant,
}

impl LiveTarget {
    /// A target with these nodes, whose operations are given up after `timeout`. The clock of the run
    /// starts now.
    pub fn new(
        nodes: Vec<Arc<str>>,
        factory: Factory,
        timeout: Duration,
    ) -> Result<Self, TargetError> {
        if nodes.is_empty() {
            return Err(TargetError::Unusable("a target needs at least one node".to_owned()));
        }
        let unusable =
            |error: io::Error| TargetError::Unusable(format!("cannot start clients: {error}"));
        let runtime =
            Builder::new_multi_thread().thread_name("rashomon-target").enable_all().build();
        let clients = Builder::new_current_thread().enable_all().build().map_err(unusable)?;
        let alarm = clients.block_on(async { Alarm::new() }).map_err(unusable)?;
        let (arrive, arrivals) = unbounded_channel();
        Ok(Self {
            nodes,
            factory: Arc::new(factory),
            timeout,
            start: Instant::now(),
            tasks: BTreeMap::new(),
            leaving: Vec::new(),
            arrivals,
            arrive,
            under_way: 0,
            added: Nanos(0),
            orders: None,
            sweeper: None,
            follow: Follow::Given,
            primary: Arc::default(),
            closed: false,
            alarm,
            clients,
            runtime: runtime.map_err(unusable)?,
        })
    }

    /// The same target with faults. They are undone when it is closed or dropped.
    pub(super) fn with_faults(mut self, injector: Injector) -> Self {
        let arrive = self.arrive.clone();
        // Nobody listens once the target is gone.
        let tell = move |settled| drop(arrive.send(Arrival::Settled(settled)));
        self.orders = Some(Orders::new(injector, &self.runtime, tell));
        self
    }

    /// The same target whose clients go there.
    pub(super) fn following(mut self, follow: Follow) -> Self {
        self.follow = follow;
        self
    }

    /// The same target, whose keys are removed when it is closed.
    pub(super) fn swept_by(mut self, adapter: Arc<dyn Adapter>) -> Self {
        self.sweeper = Some(Sweeper { adapter, keys: BTreeSet::new() });
        self
    }

    /// Where a task of the runtime may say who leads.
    pub(super) fn primary_cell(&self) -> Arc<Mutex<Option<Arc<str>>>> {
        self.primary.clone()
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    fn invoke(&mut self, invocation: &Invocation) -> Result<(), TargetError> {
        let mut invocation = invocation.clone();
        if let Some(sweeper) = &mut self.sweeper {
            sweeper.see(&invocation.op);
        }
        let process = invocation.process;
        if let Some(name) = &invocation.node
            && !self.nodes.contains(name)
        {
            return Err(TargetError::Unusable(format!("no node is called {name}")));
        }
        let moves = self.follow == Follow::Primary && invocation.op.writes();
        let given = invocation.node.take();
        let stays = given.clone().filter(|_| !moves || invocation.is_final);
        let node = stays.or_else(|| self.primary()).or(given).unwrap_or_else(|| {
            // No primary is known: processes spread over the nodes.
            self.nodes[process.0 as usize % self.nodes.len()].clone()
        });
        invocation.node = Some(node);
        self.under_way += 1;
        let arrive = self.arrive.clone();
        self.leaving.push(Debt {
            invocation,
            begun: Instant::now(),
            queued: Duration::ZERO,
            arrive,
            paid: false,
        });
        Ok(())
    }

    /// What has arrived, or arrives until then.
    fn arrival(&mut self, until: Nanos) -> Option<Arrival> {
        if let Ok(arrival) = self.arrivals.try_recv() {
            return Some(arrival);
        }
        // Every invocation is answered: by the client, its time limit or the end of its task.
        let orders = self.orders.as_ref().is_some_and(Orders::any_under_way);
        if until == Nanos::FOREVER && self.under_way == 0 && !orders {
            return None;
        }
        let due = (until != Nanos::FOREVER).then(|| self.start + Duration::from_nanos(until.0));
        self.clients.block_on(async {
            hand_over(&mut self.leaving, &mut self.tasks, &self.factory, self.timeout);
            tokio::select! {
                biased;
                arrival = self.arrivals.recv() => arrival,
                () = self.alarm.until(due) => None,
            }
        })
    }

    /// The event that an arrival is, if it is one.
    fn event(&mut self, arrival: Arrival) -> Option<Event> {
        let Completion { invocation, answer, queued, answered } = match arrival {
            Arrival::Completion(completion) => completion,
            Arrival::Settled(settled) => {
                if let Some(orders) = &mut self.orders {
                    orders.settle(settled);
                }
                return None;
            }
        };
        self.under_way -= 1;
        self.added = Nanos((queued + answered.elapsed()).as_nanos() as u64);
        let Invocation { process, session, node, is_final, mut op, .. } = invocation;
        let (kind, error) = match answer.outcome {
            Outcome::Ok(mops) => {
                op.mops = mops;
                (Kind::Ok, None)
            }
            Outcome::Fail(why) => (Kind::Fail, Some(why)),
            Outcome::Info(why) => (Kind::Info, Some(why)),
        };
        if kind == Kind::Info {
            // The process is retired: nobody will ask its task again.
            self.tasks.remove(&process);
        }
        let version = answer.version.filter(|_| kind == Kind::Ok);
        let what = ClientEvent {
            session: Some(session),
            node,
            version,
            is_final,
            error,
            ..ClientEvent::new(process, kind, op)
        };
        Some(Event { time: self.now(), what: What::Client(what) })
    }
}

impl Target for LiveTarget {
    fn nodes(&self) -> &[Arc<str>] {
        &self.nodes
    }

    fn now(&self) -> Nanos {
        Nanos(self.start.elapsed().as_nanos() as u64)
    }

    fn restart_clock(&mut self) {
        self.start = Instant::now();
    }

    fn begin(&mut self, action: &Action) -> Result<(), TargetError> {
        if self.closed {
            return Err(TargetError::Unusable("the target is closed".to_owned()));
        }
        if let Some(lapse) = self.orders.as_ref().and_then(Orders::lapse) {
            // The end of a fault is one of the ways out.
            if !matches!(action, Action::End(..)) {
                return Err(TargetError::Unusable(lapse));
            }
        }
        match (action, &mut self.orders) {
            (Action::Invoke(invocation), _) => self.invoke(invocation),
            (Action::Begin(id, _) | Action::End(id, _), Some(orders)) => {
                orders.give(*id, action);
                Ok(())
            }
            (Action::Begin(_, fault) | Action::End(_, fault), None) => Err(TargetError::Unusable(
                format!("the target knows no faults, so no {}", fault.name()),
            )),
        }
    }

    fn arrived(&mut self) -> Option<Event> {
        while let Ok(arrival) = self.arrivals.try_recv() {
            if let Some(event) = self.event(arrival) {
                return Some(event);
            }
        }
        None
    }

    /// An answer that has arrived is handed out even if `until` has passed. With nothing under way
    /// and no end to the waiting, `None` at once.
    fn advance(&mut self, until: Nanos) -> Option<Event> {
        let arrival = self.arrival(until)?;
        // Whoever waits wants to know of a fault; what has arrived besides comes first.
        self.event(arrival).or_else(|| self.arrived())
    }

    fn settled(&mut self, id: FaultId) -> Result<bool, TargetError> {
        self.orders.as_mut().map_or(Ok(true), |orders| orders.settled(id))
    }

    fn added_latency(&self) -> Option<Nanos> {
        Some(self.added)
    }

    /// Who was last seen to lead; this asks nobody.
    fn primary(&mut self) -> Option<Arc<str>> {
        self.primary.lock().map_or(None, |primary| primary.clone())
    }

    fn verified(&self, id: FaultId) -> Option<bool> {
        self.orders.as_ref()?.verified(id)
    }

    fn close(&mut self) -> Result<(), TargetError> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        self.tasks.clear();
        let is_whole = match &mut self.orders {
            Some(orders) => self.runtime.block_on(orders.stop()),
            None => true,
        };
        // What is broken is mended first, and then nobody knows who answers.
        if let Some(sweeper) = self.sweeper.take().filter(|_| is_whole) {
            let primary = self.primary();
            self.clients.block_on(sweeper.sweep(primary, &self.nodes));
        }
        match &mut self.orders {
            Some(orders) => self.runtime.block_on(orders.close()),
            None => Ok(()),
        }
    }
}

impl Drop for LiveTarget {
    /// Whoever panics or forgets to close leaves no fault behind. An undo that fails here stays in
    /// the fault journal.
    fn drop(&mut self) {
        let _ = self.close();
    }
}

/// Hands what was begun to the tasks of the processes.
fn hand_over(
    leaving: &mut Vec<Debt>,
    tasks: &mut BTreeMap<Process, UnboundedSender<Debt>>,
    factory: &Arc<Factory>,
    timeout: Duration,
) {
    for debt in leaving.drain(..) {
        let process = debt.invocation.process;
        let refused = match tasks.get(&process) {
            Some(task) => task.send(debt).err().map(|refused| refused.0),
            None => Some(debt),
        };
        // No task yet, or one that a panic ended.
        if let Some(debt) = refused {
            let (task, inbox) = unbounded_channel();
            tokio::spawn(serve(inbox, factory.clone(), timeout));
            task.send(debt).expect("the receiver is in the task that was just started");
            tasks.insert(process, task);
        }
    }
}

/// The task of one process: one operation after the other, until one does not end.
async fn serve(mut inbox: UnboundedReceiver<Debt>, factory: Arc<Factory>, limit: Duration) {
    let mut clients: BTreeMap<Arc<str>, Box<dyn Client>> = BTreeMap::new();
    while let Some(mut debt) = inbox.recv().await {
        debt.queued = debt.begun.elapsed();
        let node = debt.invocation.node.clone().unwrap_or_default();
        let client = match clients.remove(&node) {
            Some(client) => Ok(client),
            None => factory(debt.invocation.process, &node),
        };
        let mut client = match client {
            Ok(client) => client,
            Err(why) => {
                debt.pay(Outcome::Fail(format!("nothing was sent: {why}")).into());
                continue;
            }
        };
        let mut timed_out = false;
        let in_time = tokio::time::timeout(limit, client.invoke(&debt.invocation)).await;
        let answer = in_time.unwrap_or_else(|_| {
            let why = format!("no answer within {} ms", limit.as_millis());
            timed_out = true;
            unanswered(&debt.invocation.op, why).into()
        });
        if timed_out || matches!(answer.outcome, Outcome::Info(_)) {
            // With it go its connection and the request on it: an answer that arrives later must not
            // be taken for the answer of the next operation.
            drop(client);
        } else {
            clients.insert(node, client);
        }
        debt.pay(answer);
    }
}

/// An invocation, whose answer is owed to the driver. Dropped unpaid, because the client panicked, it is
/// paid as unknown.
struct Debt {
    invocation: Invocation,
    begun: Instant,
    /// How long it was on its way to its client.
    queued: Duration,
    arrive: UnboundedSender<Arrival>,
    paid: bool,
}

impl Debt {
    fn pay(mut self, answer: Answer) {
        self.settle(answer);
    }

    fn settle(&mut self, answer: Answer) {
        self.paid = true;
        // Nobody listens once the target is gone.
        let _ = self.arrive.send(Arrival::Completion(Completion {
            invocation: self.invocation.clone(),
            answer,
            queued: self.queued,
            answered: Instant::now(),
        }));
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        if !self.paid {
            self.settle(Outcome::Info("the client panicked".to_owned()).into());
        }
    }
}
