//! From a TOML file to a generator and expectations: the only place that pairs them.
//!
//! A workload file is a complete test. Every key but `name`, `[[operation]]`, `phases.main` and
//! `[target]` has a default; an unknown key or word is an error that names line, column and the
//! nearest known word.
//!
//! | key | value | default |
//! | --- | --- | --- |
//! | `name`, `about` | what it is called; what it shows | –, `""` |
//! | `clients.count` | `10`, or `"2n"` for two a node; each is one session | `10` |
//! | `clients.routing` | `roam` (a random node each time), `sticky` (one a session), `primary`, or a node | `roam` |
//! | `clients.rate` | operations a second over all clients (open loop), or `"max"` (closed loop) | `500` |
//! | `clients.spacing` | `poisson` or `even` | `poisson` |
//! | `keys.count` | keys in use at a time | `8` |
//! | `keys.choose` | `uniform`, `zipf(s)`, `exponential(base)`, `rotate(ops_per_key = n)` | `uniform` |
//! | `keys.writers` | `any`, or `one`: each key is written by one session only, with rising values | `any` |
//! | `keys.prefix` | what the names of keys begin with | `k` |
//! | `keys.fields` | how many objects a key is: `k0.0`, `k0.1`, … | `1` |
//! | `keys.writes` | the most writes a field takes: then a new key takes the place of its key or, with `rotate`, writes become reads | – |
//! | `bank.accounts`, `.balance` | with `transfer`, each key is a bank: how many accounts, and what is in each at first | `8`, `10` |
//! | `bank.amount`, `.overdraft` | the most a transfer moves; whether it may leave less than nothing | `5`, `false` |
//! | `stock.level`, `.amount` | with `buy`, each key is a stock: what is there at first, and the most a purchase takes | `100`, `2` |
//! | `operation.do` | a row of [`OPERATIONS`] | – |
//! | `operation.weight` | how often, against the others | `1` |
//! | `operation.body` | of a `txn`: `["read k1", "append k2"]`; k1 and k2 are different keys, chosen each time; `k1.0` is a field, `k1.*` all fields, `k1.?` a random one | – |
//! | `operation.any`, `.length` | or of a `txn`: so many random micro-operations out of `["read", "append"]`, on random keys | –, `1..4` |
//! | `fault.inject` | `partition`, `kill`, `pause`, `packet`, `skew`, `throttle`, `memory`, `disk-full`, `power-loss`, `truncate`, `bitflip`, `disconnect` (every second client), or a command of the target file | – |
//! | `fault.shape` | of a partition: a row of [`SHAPES`](crate::generate::SHAPES), or `{ groups = [["n1"], ["n2", "n3"]] }` | – |
//! | `fault.channel` | of a partition in the simulator: `status` or `replication`, the one stream that is cut | both |
//! | `fault.nodes` | `one`, `random(2)`, `minority`, `majority`, `primary`, `all`, a node, or a list of nodes | `one` |
//! | `fault.delay`, `.jitter`, `.loss`, `.duplicate`, `.reorder`, `.rate` | of packet, for whatever goes to or from the nodes: `"50ms"`, `"10ms"`, `"10%"` each, `"8mbit"` | none |
//! | `fault.by`, `.drift`, `.strobe` | of a skew: how far ahead clocks are put, `"500ms"`, `"-2s"`; what they gain, `"500ppm"`; how long they are wrong, then right, and so on | none |
//! | `fault.cpu`, `fault.limit` | of throttle: the share of a processor, `"10%"`; of memory: how much there is, `"64MB"` | – |
//! | `fault.file`, `.bytes`, `.bits` | of truncate and bitflip: a pattern below the data directory, how many bytes are cut off or bits are turned | `"*"`, –, – |
//! | `fault.lost` | of a disconnect: `all`, or `answers` alone: what was asked is done | `all` |
//! | `fault.every`, `.for`, `.offset` | from one beginning to the next, or `"exp(10s)"`: a random time after each end; how long it lasts; when the first begins in `main` | once, to the end, `0s` |
//! | `fault.at` | instead of `every`: a list of times in `main` | – |
//! | `fault.name`, `.after` | a name for it; instead of `every`: begins whenever the fault of that name has ended | – |
//! | `fault.flap` | of a partition: while it lasts it is there for so long, then away for so long | – |
//! | `limits.broken` | how many nodes may be broken at once: a number, or `minority`; a fault that would break more waits | any |
//! | `phases.warmup`, `.main`, `.recovery` | operations: without faults, with faults, on the healed store | `0s`, –, `0s` |
//! | `phases.quiesce`, `.settle` | silence after the last operation; between the two rounds of final reads | `5s`, `1s` |
//! | `phases.final` | `["read"]`: every key from every node, in two rounds | `[]` |
//! | `expect.hold`, `.known` | properties that must hold; whose violation is reported and forgiven | `[]` |
//! | `expect.assume` | assumptions that verdicts may rest on | `[]` |
//! | `expect.max-lost-writes`, `.min-ok-fraction` | lost acknowledged writes allowed; operations that must succeed | – |
//! | `target.store` and options | an embedded store | – |
//! | `target.file` | or else a target file | – |
//!
//! `--set a.b=value` changes one key, `--set fault.0.every=5s` one of the first fault. A value that is
//! no TOML is a string. `--set target.store=raft` keeps those options of the file that the new store
//! has too and drops the others; `--set target.file=etcd.toml` drops all of them.
//!
//! Invariant: nothing here reads a file or a clock; every error carries the place it came from.

mod diagnostic;
mod evidence;
mod expect;
mod faults;
mod file;
mod overrides;
mod plan;
mod scenario;
mod source;
mod target;
mod words;
mod written;

use std::sync::Arc;

use serde::Deserialize;

pub use diagnostic::Diagnostic;
pub use scenario::{Control, FindWorkload, Row, Scenario};
pub use target::{StoreOptions, TargetChoice};
pub use words::parse_duration;
pub use written::written;

use crate::check::Property;
use crate::generate::{OPERATIONS, Plan, WorkerNumber, WorkloadGenerator};
use crate::history::Expectations;
use crate::model::{Action, Nanos, NodeFault, did_you_mean};
use crate::store;
use diagnostic::from_toml;
use file::File;
use plan::{Mention, Mentions, list};
use source::Source;

/// A test: what is done, what breaks meanwhile, what must hold, and against which target.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What it is called.
    pub name: String,
    /// What it shows.
    pub about: String,
    /// Clients, keys, operations, faults and phases.
    pub plan: Plan,
    /// What must hold.
    pub expect: Expectations,
    /// What is tested.
    pub target: TargetChoice,
    source: Source,
    mentions: Mentions,
}

impl Workload {
    /// Reads the `text` of a workload file, changed by `overrides` (key and value of each `--set`).
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file; only the first thing if it is no
    /// TOML or a value is of the wrong type.
    pub fn parse(
        file: &str,
        text: &str,
        overrides: &[(String, String)],
    ) -> Result<Self, Vec<Diagnostic>> {
        Self::read(Source::new(file, text, overrides))
    }

    fn read(source: Source) -> Result<Self, Vec<Diagnostic>> {
        let statements = overrides::statements(&source)?;
        let table = overrides::parse(&source, &statements)?;
        let deserializer = toml::de::Deserializer::from(table);
        let file =
            File::deserialize(deserializer).map_err(|error| vec![from_toml(&source, &error)])?;
        let mut wrong = Vec::new();
        let (plan, mentions) = plan::plan(&file, &source, &mut wrong);
        let expect = expect::expectations(&file, &plan, &source, &mut wrong);
        let target = target::choice(&file, &source, &mut wrong);
        let (name, about) = (file.name, file.about);
        let workload = Self { name, about, plan, expect, target, source, mentions };
        if let (TargetChoice::Store(chosen), true) = (&workload.target, wrong.is_empty()) {
            wrong = workload.check_store(chosen);
        }
        wrong.sort_by_key(|wrong| (wrong.line == 0, wrong.line, wrong.column));
        if wrong.is_empty() { Ok(workload) } else { Err(wrong) }
    }

    /// The same workload, of which one of several load machines does its part.
    #[must_use]
    pub fn of_worker(mut self, worker: WorkerNumber) -> Self {
        self.plan.worker = worker;
        self
    }

    /// What a run with this seed breaks, and when; see [`Plan::fault_schedule`].
    pub fn fault_schedule(&self, seed: u64, nodes: &[Arc<str>]) -> Vec<(Nanos, Action)> {
        self.plan.fault_schedule(seed, nodes)
    }

    /// The generator of a run with this seed against these nodes.
    pub fn generator(&self, seed: u64, nodes: &[Arc<str>]) -> WorkloadGenerator {
        WorkloadGenerator::new(&self.plan, seed, nodes)
    }

    /// The properties that a run of it decides, by its operations; those that need the store to give
    /// versions only where a target file says what it answers.
    pub fn reveals(&self) -> Vec<Property> {
        let has_versions = matches!(self.target, TargetChoice::File { .. });
        let told = |property: &Property| *property != Property::Vers || has_versions;
        let shown = |property: &Property| {
            evidence::lack(*property, &self.plan).is_none()
                && !evidence::is_seldom_decided(*property, &self.plan)
        };
        Property::all().filter(told).filter(shown).collect()
    }

    /// How long a run takes at least, without the final reads themselves.
    pub fn duration(&self) -> Nanos {
        self.plan.duration()
    }

    /// What is wrong with the workload once its target is known: nodes, faults or operations that it
    /// does not have.
    pub fn check_target(
        &self,
        nodes: &[Arc<str>],
        faults: &[&str],
        operations: &[&str],
    ) -> Vec<Diagnostic> {
        let nodes: Vec<&str> = nodes.iter().map(|node| &**node).collect();
        let mut wrong = self.lacking("node", &self.mentions.nodes, &nodes);
        wrong.extend(self.lacking("fault", &self.mentions.faults, faults));
        wrong.extend(self.lacking("operation", &self.mentions.operations, operations));
        wrong
    }

    /// Whether it injects the fault of that name.
    pub fn injects(&self, fault: &str) -> bool {
        self.mentions.faults.iter().any(|mention| *mention.name == *fault)
    }

    fn lacking(&self, what: &str, mentions: &[Mention], known: &[&str]) -> Vec<Diagnostic> {
        let unknown = mentions.iter().filter(|mention| !known.contains(&&*mention.name));
        let diagnostic = |mention: &Mention| {
            let words = known.iter().chain(&mention.words).copied();
            let message = format!("the target has no {what} `{}`", mention.name);
            let mut all = (!known.is_empty()).then(|| format!("it has {}", list(known)));
            if what == "fault" {
                let has = all.as_deref().unwrap_or("it has none");
                all = Some(format!("{has}; `--set 'fault=[]'` runs without faults"));
            }
            let help = did_you_mean(&mention.name, words).or(all);
            self.source.diagnostic(mention.span.clone(), message).with_help(help)
        };
        unknown.map(diagnostic).collect()
    }

    /// Builds the store to hear what it says.
    fn check_store(&self, chosen: &StoreOptions) -> Vec<Diagnostic> {
        let operations: Vec<&str> = OPERATIONS.iter().map(|row| row.function.name()).collect();
        match store::build(&chosen.name, &chosen.options, 0) {
            Ok(store) => {
                let nodes = [store.nodes(), store.mediators()].concat();
                self.check_target(&nodes, &store_faults(), &operations)
            }
            Err(error) => {
                vec![self.option_diagnostic(error.option.as_deref(), &error.message)]
            }
        }
    }

    /// Points at the option of the embedded store that it complains of, or at the name of the store.
    pub fn option_diagnostic(&self, option: Option<&str>, message: &str) -> Diagnostic {
        let span = match &self.target {
            TargetChoice::Store(store) => store.span_of(option),
            TargetChoice::File { span, .. } => span.clone(),
        };
        self.source.diagnostic(span, message.to_owned())
    }
}

/// What can be done to an embedded store.
fn store_faults() -> Vec<&'static str> {
    std::iter::once("partition").chain(NodeFault::ALL.map(|(name, _)| name)).collect()
}
