//! A small closed loop, and what it saw.

use std::collections::BTreeMap;
use std::sync::Arc;

use rashomon::history::{Builder, Header, History, Writer};
use rashomon::model::{
    Action, ClientEvent, Cut, Event, Fault, FaultId, Function, Invocation, Kind, Nanos, NodeFault,
    Op, Packet, Process, Random, Skew, Value, What,
};
use rashomon::store::build;
use rashomon::target::Target;

/// Which faults a run suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Calm,
    Partitions,
    Kills,
    Skews,
    All,
    /// Bad networks, wrong clocks, too little of everything.
    Scarcity,
    /// Files that lack what was in them.
    Rot,
}

/// What is run.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) store: &'static str,
    pub(crate) options: BTreeMap<String, Value>,
    pub(crate) weather: Weather,
    /// Weights of read, write, cas, rmw.
    pub(crate) mix: [u64; 4],
    pub(crate) main: Nanos,
    /// Of few keys the old values are read often; of many a lost last write stays visible.
    pub(crate) keys: u64,
}

impl Plan {
    pub(crate) fn new(store: &'static str, options: &[(&str, &str)], weather: Weather) -> Self {
        let options =
            options.iter().map(|(name, value)| ((*name).to_owned(), Value::text(value))).collect();
        Self { store, options, weather, mix: [5, 4, 0, 0], main: Nanos::from_millis(6000), keys: 3 }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.options.insert(name.to_owned(), Value::text(value));
        self
    }
}

/// One operation and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) kind: Kind,
    pub(crate) op: Op,
    pub(crate) under_fault: bool,
}

/// What a run saw.
pub(crate) struct Seen {
    pub(crate) events: Vec<Event>,
    pub(crate) done: Vec<Done>,
    pub(crate) history: History,
}

const CLIENTS: u32 = 6;

pub(crate) fn run(plan: &Plan, seed: u64) -> Seen {
    let target = build(plan.store, &plan.options, seed).expect("the options are valid");
    let mut lab = Lab {
        target,
        random: Random::stream(seed, "generator"),
        chance: Random::stream(seed, "nemesis"),
        open: BTreeMap::new(),
        seen: Seen { events: Vec::new(), done: Vec::new(), history: History::default() },
        builder: Builder::new(),
        values: 0,
        active: Vec::new(),
        faults: 0,
    };
    lab.main(plan);
    lab.finish(plan);
    let history = lab.builder.finish().expect("a well-formed history");
    Seen { history, ..lab.seen }
}

struct Lab {
    target: Box<dyn Target>,
    random: Random,
    chance: Random,
    open: BTreeMap<Process, (Op, bool, bool)>,
    seen: Seen,
    builder: Builder,
    values: i64,
    active: Vec<(Nanos, FaultId, Fault)>,
    faults: u32,
}

impl Lab {
    fn main(&mut self, plan: &Plan) {
        // When each client goes on, and as which process.
        let mut clients: Vec<(Nanos, u32)> = (0..CLIENTS)
            .map(|client| (Nanos::from_millis(700 + u64::from(client)), client))
            .collect();
        let calm = plan.weather == Weather::Calm;
        let mut next_fault = if calm { Nanos::FOREVER } else { Nanos::from_millis(1500) };
        loop {
            let now = self.target.now();
            if now >= plan.main {
                break;
            }
            self.weather(plan, &mut next_fault);
            for client in 0..CLIENTS {
                let (due, process) = clients[client as usize];
                if due <= now {
                    self.invoke(plan, client, process);
                    clients[client as usize].0 = Nanos::FOREVER;
                }
            }
            let ends = self.active.iter().map(|(end, ..)| *end);
            let wake = clients.iter().map(|(due, _)| *due).chain(ends);
            let wake = wake.chain([next_fault, plan.main]).min().unwrap_or(plan.main);
            let Some(event) = self.target.advance(wake) else { continue };
            let (process, kind) = self.record(event);
            let think = Nanos(self.random.exponential(15e6) as u64 + 1);
            let client = process.0 % CLIENTS;
            let retired = if kind == Kind::Info { CLIENTS } else { 0 };
            clients[client as usize] = (self.target.now() + think, process.0 + retired);
        }
    }

    /// Heals, waits for quiet, and reads every key from every node.
    fn finish(&mut self, plan: &Plan) {
        for (_, id, fault) in std::mem::take(&mut self.active) {
            self.target.begin(&Action::End(id, fault)).expect("faults of the simulator end");
        }
        let quiet = self.target.now() + Nanos::from_millis(4000);
        while let Some(event) = self.target.advance(quiet) {
            self.record(event);
        }
        assert!(self.open.is_empty(), "every operation ends within the client timeout");
        let nodes = self.target.nodes().to_vec();
        let mut process = 1_000_000;
        for node in &nodes {
            for key in 0..plan.keys {
                process += 1;
                self.begin(process, 0, Some(node.clone()), true, Op::read(name(key)));
                let patience = self.target.now() + Nanos::from_millis(5000);
                let event = self.target.advance(patience).expect("a read ends in time");
                self.record(event);
            }
        }
    }

    fn invoke(&mut self, plan: &Plan, client: u32, process: u32) {
        let key = name(self.random.below(plan.keys));
        self.values += 1;
        let fresh = Value::Int(self.values);
        let total = plan.mix.iter().sum();
        let mut roll = self.random.below(total);
        let choice = plan.mix.iter().position(|weight| {
            let hit = roll < *weight;
            roll = roll.wrapping_sub(*weight);
            hit
        });
        let op = match choice {
            Some(0) => Op::read(key),
            Some(1) => Op::write(key, fresh),
            Some(2) => {
                let seen = self
                    .seen
                    .done
                    .iter()
                    .rev()
                    .find(|done| done.kind == Kind::Ok && *done.op.key() == key);
                let old = seen.and_then(|done| done.op.mops.last());
                Op::cas(key, old.map_or(Value::Null, |mop| mop.value.clone()), fresh)
            }
            _ => Op::rmw(key, fresh),
        };
        let nodes = self.target.nodes();
        let node = nodes[self.random.below(nodes.len() as u64) as usize].clone();
        self.begin(process, client, Some(node), false, op);
    }

    fn begin(
        &mut self,
        process: u32,
        session: u32,
        node: Option<Arc<str>>,
        is_final: bool,
        op: Op,
    ) {
        let process = Process(process);
        let now = self.target.now();
        self.open.insert(process, (op.clone(), is_final, !self.active.is_empty()));
        let what = ClientEvent {
            session: Some(session),
            node: node.clone(),
            is_final,
            ..ClientEvent::new(process, Kind::Invoke, op.clone())
        };
        let event = Event { time: now, what: What::Client(what) };
        self.builder.event(&event).expect("well formed");
        let call = Invocation { process, session, node, is_final, waited: Nanos(0), op };
        self.target.begin(&Action::Invoke(call)).expect("the simulator takes every operation");
    }

    fn record(&mut self, event: Event) -> (Process, Kind) {
        let What::Client(client) = &event.what else { panic!("faults are not completed") };
        let (op, is_final, under_fault) =
            self.open.remove(&client.process).expect("only open operations are completed");
        assert_eq!((client.op.function, client.is_final), (op.function, is_final));
        assert_eq!(client.error.is_some(), client.kind != Kind::Ok);
        assert!(client.session.is_some() && client.node.is_some());
        assert_eq!(event.time, self.target.now());
        self.seen.done.push(Done {
            kind: client.kind,
            op: client.op.clone(),
            under_fault: under_fault || !self.active.is_empty(),
        });
        let result = (client.process, client.kind);
        self.builder.event(&event).expect("well formed");
        self.seen.events.push(event);
        result
    }

    fn weather(&mut self, plan: &Plan, next_fault: &mut Nanos) {
        let now = self.target.now();
        let (over, active): (Vec<_>, _) = self.active.drain(..).partition(|(end, ..)| *end <= now);
        self.active = active;
        for (_, id, fault) in over {
            self.target.begin(&Action::End(id, fault)).expect("faults of the simulator end");
        }
        if now < *next_fault {
            return;
        }
        *next_fault = now + Nanos::from_millis(self.chance.between(200, 900));
        let fault = self.fault(plan.weather);
        let end = now + Nanos::from_millis(self.chance.between(200, 1800));
        let id = FaultId(self.faults);
        self.faults += 1;
        self.target.begin(&Action::Begin(id, fault.clone())).expect("it knows these faults");
        self.active.push((end, id, fault));
    }

    fn fault(&mut self, weather: Weather) -> Fault {
        let nodes = self.target.nodes().to_vec();
        let primary = self.target.primary().filter(|_| self.chance.chance(0.6));
        let victim = primary.unwrap_or_else(|| self.chance.pick(&nodes).clone());
        let kind = match weather {
            Weather::Calm | Weather::Partitions => 0,
            Weather::Kills => 2,
            Weather::Skews => 4,
            Weather::All => self.chance.below(4),
            Weather::Scarcity => self.chance.between(4, 9),
            Weather::Rot => self.chance.between(10, 11),
        };
        match kind {
            0 => partition("isolate", &nodes, |from, to| from == &victim || to == &victim),
            1 => {
                let inward = self.chance.chance(0.5);
                partition(
                    "one-way",
                    &nodes,
                    |from, to| {
                        if inward { to == &victim } else { from == &victim }
                    },
                )
            }
            2 => NodeFault::Kill.at(vec![victim]),
            3 => NodeFault::Pause.at(vec![victim]),
            kind => self.node_fault(kind).at(vec![victim]),
        }
    }

    fn node_fault(&mut self, kind: u64) -> NodeFault {
        let mut up_to = |most: u64| self.chance.between(0, most);
        match kind {
            4 => NodeFault::Skew(Skew {
                offset_ms: up_to(4_000) as i64 - 2_000,
                drift_ppm: up_to(1_000) as i64 * 100,
                strobe_ms: up_to(1) * 50,
            }),
            5 => NodeFault::Packet(Packet {
                delay_ms: up_to(100),
                jitter_ms: 0,
                loss: up_to(30) as u8,
                duplicate: up_to(30) as u8,
                reorder: up_to(30) as u8,
                rate_kbit: 1_000 + up_to(10_000),
            }),
            6 => NodeFault::Throttle(1 + up_to(50) as u8),
            7 => NodeFault::Memory(1),
            8 => NodeFault::DiskFull,
            9 => NodeFault::PowerLoss,
            10 => NodeFault::Truncate { file: "*".into(), bytes: up_to(100_000) },
            _ => NodeFault::BitFlip { file: "*".into(), bits: 1 + up_to(3) },
        }
    }
}

fn partition(
    shape: &str,
    nodes: &[Arc<str>],
    severed: impl Fn(&Arc<str>, &Arc<str>) -> bool,
) -> Fault {
    let pairs = nodes.iter().flat_map(|from| nodes.iter().map(move |to| (from, to)));
    let cuts = pairs
        .filter(|(from, to)| from != to && severed(from, to))
        .map(|(from, to)| Cut { from: from.clone(), to: to.clone() })
        .collect();
    Fault::Partition { shape: shape.into(), cuts, channel: None }
}

fn name(key: u64) -> Value {
    Value::Text(Arc::from(format!("k{key}")))
}

impl Seen {
    /// FNV-1a of everything seen, as it is written to a file.
    pub(crate) fn digest(&self) -> u64 {
        let writer = Writer::new(Vec::new(), &Header::default());
        let mut writer = writer.expect("memory can be written to");
        for event in &self.events {
            writer.record(event).expect("memory can be written to");
        }
        writer.into_inner().into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// Of the operations outside all faults, how many were ok, of how many.
    pub(crate) fn calm_ok(&self) -> (usize, usize) {
        let calm = self.done.iter().filter(|done| !done.under_fault);
        let ok = calm.clone().filter(|done| done.kind == Kind::Ok).count();
        (ok, calm.count())
    }

    pub(crate) fn ok(&self, function: Function) -> usize {
        let ok = |done: &&Done| done.kind == Kind::Ok && done.op.function == function;
        self.done.iter().filter(ok).count()
    }
}
