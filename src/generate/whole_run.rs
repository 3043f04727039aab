//! A whole run: clients, faults and final reads in their phases.

use std::sync::Arc;

use crate::generate::bank::BankPlan;
use crate::generate::clients::{ClientPlan, Clients};
use crate::generate::faults::{Budget, FaultPlan, Nemesis};
use crate::generate::finals::Finals;
use crate::generate::keys::KeyPlan;
use crate::generate::operations::{Operation, reader_of};
use crate::generate::stock::StockPlan;
use crate::generate::traits::{Context, Generator, Next};
use crate::generate::worker_number::WorkerNumber;
use crate::model::{Action, ClientEvent, Event, Function, Invocation, Kind, Nanos, What};

/// The phases of a run, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phases {
    /// Operations, no faults.
    pub warmup: Nanos,
    /// Operations and faults; at its end all faults have ended.
    pub main: Nanos,
    /// Operations on the healed store.
    pub recovery: Nanos,
    /// No operations: counted from when the last one has ended.
    pub quiesce: Nanos,
    /// Between the two rounds of final reads.
    pub settle: Nanos,
    /// What is done in the end.
    pub last: Last,
}

/// What is done in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// Nothing.
    Nothing,
    /// Every key is read from every node.
    Reads,
    /// Every queue is emptied.
    Drains,
}

/// What a run shall do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who asks.
    pub clients: ClientPlan,
    /// For which keys.
    pub keys: KeyPlan,
    /// What.
    pub operations: Vec<Operation>,
    /// What the keys are, where money is moved.
    pub bank: BankPlan,
    /// Or what is in stock.
    pub stock: StockPlan,
    /// What breaks meanwhile.
    pub faults: Vec<FaultPlan>,
    /// How many nodes may be broken at once.
    pub budget: Option<Budget>,
    /// What part of it is done here.
    pub worker: WorkerNumber,
    /// And when.
    pub phases: Phases,
}

impl Plan {
    /// How long the phases take at least, without the final reads themselves.
    pub fn duration(&self) -> Nanos {
        let phases = &self.phases;
        let settle = if phases.last == Last::Reads { phases.settle } else { Nanos(0) };
        phases.warmup + phases.main + phases.recovery + phases.quiesce + settle
    }

    /// What a run with this seed breaks and mends, and when, as long as nobody knows a primary: where one
    /// is known, other nodes may be chosen.
    pub fn fault_schedule(&self, seed: u64, nodes: &[Arc<str>]) -> Vec<(Nanos, Action)> {
        let mut nemesis = Nemesis::new(&self.faults, self.budget, seed, nodes);
        nemesis.start(self.phases.warmup, self.phases.warmup + self.phases.main);
        let mut schedule = Vec::new();
        while nemesis.due() != Nanos::FOREVER {
            let now = nemesis.due();
            let context = Context { now, primary: None, fault_under_way: false };
            let action = nemesis.next(&context);
            schedule.extend(action.map(|action| (now, action)));
        }
        schedule
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Load,
    Drain,
    Quiesce(Nanos),
    Final,
    Done,
}

/// The operations and faults of a whole run. One seed and one list of nodes give one sequence of
/// answers to the same questions.
#[derive(Clone, Debug)]
pub struct WorkloadGenerator {
    phases: Phases,
    worker: WorkerNumber,
    stage: Stage,
    load_ends: Nanos,
    clients: Clients,
    nemesis: Nemesis,
    finals: Option<Finals>,
    /// How a key is read in the end.
    final_read: Function,
    nodes: Vec<Arc<str>>,
}

impl WorkloadGenerator {
    /// A generator for a run against `nodes`.
    pub fn new(plan: &Plan, seed: u64, nodes: &[Arc<str>]) -> Self {
        let faults = if plan.worker.is_first() { &plan.faults[..] } else { &[] };
        Self {
            phases: plan.phases.clone(),
            worker: plan.worker,
            stage: Stage::Idle,
            load_ends: Nanos(0),
            clients: Clients::new(plan, seed, nodes),
            nemesis: Nemesis::new(faults, plan.budget, seed, nodes),
            finals: None,
            final_read: plan
                .operations
                .first()
                .map_or(Function::Read, |one| reader_of(one.function)),
            nodes: nodes.to_vec(),
        }
    }

    /// How many clients there are.
    pub fn clients(&self) -> u32 {
        self.clients.sessions()
    }

    fn invoke(&self, invocation: Invocation) -> Next {
        Next::Do(Action::Invoke(self.worker.outside(invocation)))
    }

    /// The phases begin with the first question, whatever the clock says.
    fn start(&mut self, now: Nanos) {
        let main = now + self.phases.warmup;
        let healed = main + self.phases.main;
        self.load_ends = healed + self.phases.recovery;
        self.clients.start(now);
        self.nemesis.start(main, healed);
    }
}

impl Generator for WorkloadGenerator {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let now = context.now;
        loop {
            let mut due = Nanos::FOREVER;
            if !context.fault_under_way {
                if let Some(action) = self.nemesis.next(context) {
                    return Next::Do(action);
                }
                due = self.nemesis.due();
            }
            match self.stage {
                Stage::Idle => {
                    self.start(now);
                    self.stage = Stage::Load;
                }
                Stage::Load if now < self.load_ends => {
                    return match self.clients.next(now) {
                        Ok(invocation) => self.invoke(invocation),
                        Err(wake) => Next::WaitUntil(wake.min(due).min(self.load_ends)),
                    };
                }
                Stage::Load => self.stage = Stage::Drain,
                Stage::Drain => {
                    let whole = !context.fault_under_way && due == Nanos::FOREVER;
                    if !self.clients.idle() || !whole {
                        return Next::WaitUntil(due);
                    }
                    self.stage = Stage::Quiesce(now + self.phases.quiesce);
                }
                Stage::Quiesce(end) if now < end => return Next::WaitUntil(end),
                Stage::Quiesce(_) => {
                    let process = self.clients.unused_process();
                    let session = self.clients.sessions();
                    self.finals = match self.phases.last {
                        Last::Nothing => None,
                        Last::Reads => Some(Finals::reads(
                            &self.nodes,
                            self.final_read,
                            process,
                            session,
                            self.phases.settle,
                        )),
                        Last::Drains => Some(Finals::drains(process, session)),
                    };
                    self.stage = Stage::Final;
                }
                Stage::Final => {
                    let finals = self.finals.as_mut();
                    match finals.and_then(|finals| finals.next(now, &self.clients.keys)) {
                        Some(Ok(invocation)) => return self.invoke(invocation),
                        Some(Err(wake)) => return Next::WaitUntil(wake),
                        None => self.stage = Stage::Done,
                    }
                }
                Stage::Done => return Next::Done,
            }
        }
    }

    fn update(&mut self, event: &Event) {
        let What::Client(client) = &event.what else { return };
        if client.kind == Kind::Invoke {
            return;
        }
        let client = ClientEvent { process: self.worker.inside(client.process), ..client.clone() };
        match &mut self.finals {
            Some(finals) => finals.update(&client, event.time),
            None => self.clients.update(&client, event.time),
        }
    }
}
