//! What may be typed.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::cli::exit;

/// Finds out whether a replicated store keeps its promises.
///
/// Drives a store through its adapter while faults are injected, records every operation, and
/// proves from the history what went wrong.
#[derive(Debug, Parser)]
#[command(name = "rashomon", version, after_help = exit::TABLE, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Show results only, no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    /// Tell on standard error what is done: files, targets, faults. -vv: each operation that did not succeed, too
    #[arg(long, short, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,

    /// When to use colour; `NO_COLOR` is respected
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Drive a store, inject faults, record, check, report
    Run(RunArgs),
    /// Check saved histories
    Check(CheckArgs),
    /// Tell the story of one anomaly of a saved history
    Explain(ExplainArgs),
    /// Convert a history between formats
    Convert(ConvertArgs),
    /// Make one history of those that several load machines recorded of one run
    Merge(MergeArgs),
    /// List what there is, a line each
    List(ListArgs),
    /// Check workload and target files without running them
    Lint(LintArgs),
    /// Run scenarios over many seeds: every failure shall be found, every remedy be silent
    Survey(SurveyArgs),
    /// Make a run or a history that violates a property smaller while it still does
    Shrink(ShrinkArgs),
    /// Run an embedded store as a real HTTP cluster on loopback, one port a node
    #[cfg(feature = "live")]
    Serve(ServeArgs),
    /// Undo every fault that runs of live targets left behind
    Heal(HealArgs),
    /// A real cluster on this machine: every node in a network namespace of its own
    #[cfg(feature = "live")]
    #[command(subcommand)]
    Lab(LabAction),
    /// A TCP proxy between clients and nodes: faults of the network without privileges
    #[cfg(feature = "live")]
    Proxy(ProxyArgs),
    /// Put the wall clock of one live process wrong, and right again; no other clock is touched
    #[cfg(feature = "live")]
    #[command(subcommand)]
    Clock(ClockAction),
    /// Begin a file of your own
    #[command(subcommand)]
    New(NewKind),
    /// Print the JSON Schema of a kind of file, for editors
    Schema {
        /// The kind of file
        of: SchemaOf,
    },
    /// Print what makes a shell complete these commands
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, for `man -l -`
    Man {
        /// That of one command [default: of rashomon]
        command: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    Workload,
    Target,
    History,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NewKind {
    /// Write NAME.toml, a complete commented workload to change
    Workload {
        /// What it is called
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The workload file, or a scenario
    pub(crate) workload: PathBuf,

    /// Of a scenario, run its control, or its N-th
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    pub(crate) control: Option<usize>,

    /// Drive this target file or embedded store instead of the one the workload names
    #[arg(long, value_name = "TARGET.toml|STORE")]
    pub(crate) target: Option<String>,

    /// The seed of every random choice; one seed, one simulated history [default: drawn]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// How long the main phase lasts: 60s, 500ms, 5m
    #[arg(long, value_name = "TIME")]
    pub(crate) time_limit: Option<String>,

    /// How many clients: 10, or 2n for two a node
    #[arg(long, value_name = "COUNT")]
    pub(crate) concurrency: Option<String>,

    /// Override an entry of the workload file: target.replication=sync
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Where the run is saved [default: a fresh directory in histories/runs]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Be the I-th of N load machines: 2/3. Each records a history; `rashomon merge` makes them one
    #[cfg(feature = "live")]
    #[arg(long, value_name = "I/N", requires = "coordinator")]
    pub(crate) worker: Option<String>,

    /// Where the load machines meet: the first one listens there
    #[cfg(feature = "live")]
    #[arg(long, value_name = "HOST:PORT", requires = "worker")]
    pub(crate) coordinator: Option<String>,

    /// Print every command that would be run on every node, and run nothing
    #[cfg(feature = "live")]
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Write to and break a target whose file does not say `disposable = true`
    #[cfg(feature = "live")]
    #[arg(long)]
    pub(crate) i_own_this_cluster: bool,

    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

/// Histories of one run, recorded by several load machines.
#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// The histories, of every machine once
    #[arg(required = true, value_name = "HISTORY")]
    pub(crate) histories: Vec<PathBuf>,

    /// Where the one history is written
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// How far each clock was from the others' at most, where the histories do not say: 5ms
    #[arg(long, value_name = "TIME")]
    pub(crate) clock_error: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SurveyArgs {
    /// Scenario files, or workload files to be swept [default: all of workloads/scenarios]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Only these rows of the catalogue: S21, S109a, S99-S104; may be repeated
    #[arg(long, value_name = "ROW")]
    pub(crate) row: Vec<String>,

    /// Only the demonstration: the smallest selection that shows every failure by name
    #[arg(long)]
    pub(crate) demo: bool,

    /// The first seed of all runs
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) first_seed: u64,

    /// Run every failure on N seeds [default: as many as the scenario says]
    #[arg(long, value_name = "N")]
    pub(crate) seeds: Option<NonZeroU32>,

    /// Run every control on N seeds
    #[arg(long, value_name = "N", default_value = "50")]
    pub(crate) control_seeds: NonZeroU32,

    /// How many live targets are run at a time
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) jobs: NonZeroUsize,

    /// Override an entry of every scenario: target.nodes=5
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Vary an entry of one scenario and print the curves: target.lag=10ms,50ms; may be repeated
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub(crate) sweep: Vec<String>,

    /// Measure this besides what the scenario measures; the id of a property: its violations
    #[arg(long, value_name = "NAME")]
    pub(crate) figure: Vec<String>,

    /// Tell how each property is violated on the first seed that shows it
    #[arg(long)]
    pub(crate) stories: bool,

    /// Print the machine-readable result
    #[arg(long)]
    pub(crate) json: bool,

    /// Also write an HTML report here
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ShrinkArgs {
    /// The workload file, a scenario, or a saved history, of which only a proof is left
    #[arg(value_name = "WORKLOAD|HISTORY")]
    pub(crate) workload: PathBuf,

    /// The seed on which the property is violated [default: the first of --tries that shows it]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// The property that stays violated, by name or id [default: the first that the workload expects]
    #[arg(long, value_name = "NAME")]
    pub(crate) property: Option<String>,

    /// Override an entry of the workload file first: target.replication=async
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Besides its own, the seeds from 1 to N are tried for every smaller workload
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) tries: u64,

    /// Where the smaller workload and its history are saved [default: a fresh directory in histories/shrunk]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Histories: files, directories, or - for standard input; .gz and .zst are read as they are
    #[arg(required = true, value_name = "HISTORY")]
    pub(crate) histories: Vec<PathBuf>,

    /// The format; by default it is recognised
    #[arg(long, default_value = "auto")]
    pub(crate) format: String,

    /// What registers held before the first write: 0 for all of them, or x=0, once for each key
    #[arg(long, value_name = "VALUE|KEY=VALUE")]
    pub(crate) initial: Vec<String>,

    /// Also write an HTML report here
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Also write the report as XML for CI (the format of `JUnit`) here
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// Also write the report as Markdown, for the summary of a CI job, here
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

/// How a history is judged and shown.
#[derive(Debug, Args)]
pub(crate) struct JudgeArgs {
    /// A property that must hold, by name or id [default: what the history's workload expects, or linearizable]
    #[arg(long, visible_alias = "model", value_name = "NAME")]
    pub(crate) expect: Vec<String>,

    /// An assumption that verdicts may rest on: writes-in-real-time-order, …
    #[arg(long, value_name = "NAME")]
    pub(crate) assume: Vec<String>,

    /// Steps of the general search, for each key
    #[arg(long, value_name = "STEPS", default_value_t = 10_000_000)]
    pub(crate) budget: u64,

    /// Print the machine-readable result
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The history
    pub(crate) history: PathBuf,
    /// The anomaly, as the report calls it
    #[arg(default_value = "A1")]
    pub(crate) anomaly: String,
    /// Print its graph for Graphviz instead: `rashomon explain FILE --dot | dot -Tsvg`
    #[arg(long)]
    pub(crate) dot: bool,
    /// The format; by default it is recognised
    #[arg(long, default_value = "auto")]
    pub(crate) format: String,

    /// What registers held before the first write: 0 for all of them, or x=0, once for each key
    #[arg(long, value_name = "VALUE|KEY=VALUE")]
    pub(crate) initial: Vec<String>,

    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// The history to read, or - for standard input
    pub(crate) input: PathBuf,
    /// The history to write, or - for standard output
    pub(crate) output: PathBuf,
    /// The format of the input; by default it is recognised
    #[arg(long, default_value = "auto")]
    pub(crate) from: String,

    /// What registers held before the first write: 0 for all of them, or x=0, once for each key
    #[arg(long, value_name = "VALUE|KEY=VALUE")]
    pub(crate) initial: Vec<String>,
    /// The format of the output; by default that of its extension
    #[arg(long, default_value = "auto")]
    pub(crate) to: String,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    pub(crate) what: Catalogue,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Catalogue {
    Stores,
    Workloads,
    Scenarios,
    Models,
    Anomalies,
    Assumptions,
    Faults,
    Adapters,
    #[cfg(feature = "live")]
    Labs,
    Formats,
}

#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// Workload files, scenarios, or target files (those with an `adapter`)
    #[arg(required_unless_present = "adapter", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// A command of your own that speaks for a store: does it keep to workloads/targets/process.md?
    #[arg(long, value_name = "COMMAND", conflicts_with = "files")]
    pub(crate) adapter: Option<String>,

    /// What that command is told of its node [default: a file among the temporary ones]
    #[arg(long, value_name = "ADDRESS", requires = "adapter")]
    pub(crate) address: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct HealArgs {
    /// The directory of a run, its faults.jsonl, or a directory with runs below it, as a survey leaves it;
    /// or a target file: all that it can break is mended on every node, whoever broke it
    #[arg(value_name = "RUN|TARGET.toml")]
    pub(crate) run: PathBuf,

    /// Run the undo commands of a target file that does not say `disposable = true`
    #[cfg(feature = "live")]
    #[arg(long)]
    pub(crate) i_own_this_cluster: bool,
}

#[cfg(feature = "live")]
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The embedded store; rashomon list stores
    pub(crate) store: String,

    /// An option of the store: replication=sync
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// The port of the first node, the others follow; 0: free ones
    #[arg(long, value_name = "PORT", default_value_t = 7001)]
    pub(crate) port: u16,

    /// The seed of the store's random choices
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[cfg(feature = "live")]
#[derive(Debug, Subcommand)]
pub(crate) enum ClockAction {
    /// Put the clock so far ahead; it replaces what was set before
    Set {
        /// The id of the process
        process: u32,
        #[command(flatten)]
        skew: SkewArgs,
    },
    /// Make the clocks right again; what is right, or gone, is left alone
    Reset {
        /// The ids of the processes
        #[arg(value_name = "PROCESS")]
        processes: Vec<u32>,
    },
    /// Print how far ahead the clock of a process is, in seconds
    Show {
        /// The id of the process
        process: u32,
    },
    /// Change the clock from time to time, as `set` with a drift or a strobe has it done
    #[command(hide = true)]
    Keep {
        process: u32,
        #[command(flatten)]
        skew: SkewArgs,
    },
}

#[cfg(feature = "live")]
#[derive(Clone, Debug, Args)]
pub(crate) struct SkewArgs {
    /// How far ahead: 2s, 500ms, 60min; behind with a minus
    #[arg(long, value_name = "TIME", default_value = "0s", allow_hyphen_values = true)]
    pub(crate) offset: String,
    /// What the clock gains in each second from now on: 500ppm; it loses with a minus
    #[arg(long, value_name = "PPM", allow_hyphen_values = true)]
    pub(crate) drift: Option<String>,
    /// It is wrong for so long, then right for as long, and so on
    #[arg(long, value_name = "TIME")]
    pub(crate) strobe: Option<String>,
}

#[cfg(feature = "live")]
#[derive(Debug, Subcommand)]
pub(crate) enum LabAction {
    /// Bring a cluster up and wait until every node is ready
    Up {
        /// A store that has a definition, or the path of a definition
        store: String,
        /// What the lab is called [default: as the store]
        #[arg(long)]
        name: Option<String>,
        /// How many nodes [default: as many as the definition says]
        #[arg(long, value_name = "N")]
        nodes: Option<usize>,
        /// Choose a setting of the definition: replication=any1
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// What links the nodes: bridge (the kernel's; cuts), or switch (also delays, loses, doubles, …)
        #[arg(long, value_name = "NAME", default_value = "bridge")]
        network: String,
        /// Give each node a disk of its own, for disk-full and power-loss: 64MB
        #[arg(long, value_name = "SIZE")]
        disk: Option<String>,
    },
    /// Show what every node does and which links are cut; without a name, which labs there are
    Status {
        /// The lab
        lab: Option<String>,
    },
    /// Run a command inside a node, with the variables node, address, nodes, addresses, …
    Exec {
        /// The lab
        lab: String,
        /// The node [default: the first]
        #[arg(long)]
        node: Option<String>,
        /// The command
        #[arg(required = true, last = true)]
        command: Vec<String>,
    },
    /// Print the logs of a node, or of all
    Logs {
        /// The lab
        lab: String,
        /// The node
        node: Option<String>,
        /// How many lines of each log
        #[arg(long, short = 'n', default_value_t = 100)]
        lines: usize,
    },
    /// Do something to a node: kill, start, pause, resume or promote
    Do {
        /// The lab
        lab: String,
        /// What is done
        action: String,
        /// To whom
        node: String,
    },
    /// Cut these directed links and no others; without any, make all whole
    Cut {
        /// The lab
        lab: String,
        /// `n1>n2`: nothing that n1 sends reaches n2
        #[arg(value_name = "FROM>TO")]
        links: Vec<String>,
    },
    /// Be the switch of a lab
    #[command(hide = true)]
    Switch { directory: PathBuf },
    /// Heal a lab when nobody renews its faults
    #[command(hide = true)]
    Watch { directory: PathBuf },
    /// Keep the clocks of a node wrong
    #[command(hide = true)]
    Clock { directory: PathBuf, node: String },
    /// Remove everything that `up` made, also where it was killed half-way
    Down {
        /// The labs
        #[arg(required = true, value_name = "LAB")]
        labs: Vec<String>,
        /// Copy the logs of the nodes here first
        #[arg(long, value_name = "DIR")]
        logs: Option<PathBuf>,
    },
}

#[cfg(feature = "live")]
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
pub(crate) struct ProxyArgs {
    /// Carry the links of this file until stopped
    #[arg(required = true, value_name = "FILE.toml")]
    pub(crate) file: Option<PathBuf>,

    /// End when nobody has renewed the proxy for so long
    #[arg(long, value_name = "TIME")]
    pub(crate) lease: Option<String>,

    /// Start it as a process of its own, unless it runs, and return when it listens; needs a lease
    #[arg(long, requires = "lease")]
    pub(crate) start: bool,

    /// The control endpoint of the proxy that is spoken to
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7100")]
    pub(crate) at: std::net::SocketAddr,

    #[command(subcommand)]
    pub(crate) action: Option<ProxyAction>,
}

#[cfg(feature = "live")]
#[derive(Debug, Subcommand)]
pub(crate) enum ProxyAction {
    /// Hold back what is sent on these ways
    Cut {
        /// What the rule is called
        id: String,
        /// `n1>n2`: nothing that n1 sends reaches n2
        #[arg(required = true, value_name = "FROM>TO")]
        ways: Vec<String>,
        /// What becomes of the connections that are there
        #[arg(long, default_value = "hold")]
        open: crate::proxy::Open,
        /// What becomes of those that are opened meanwhile
        #[arg(long, default_value = "hang")]
        new: crate::proxy::New,
        #[command(flatten)]
        rule: ProxyRule,
    },
    /// Make what is sent on these ways slow, or lose its connections
    Packet {
        /// What the rule is called
        id: String,
        /// `n1>n2`: what n1 sends to n2
        #[arg(value_name = "FROM>TO", required_unless_present = "node")]
        ways: Vec<String>,
        /// Whatever is sent to or by this node
        #[arg(long)]
        node: Vec<String>,
        /// Every byte takes so much longer
        #[arg(long, value_name = "MS", default_value_t = 0)]
        delay_ms: u64,
        /// And up to so much longer or shorter, at random
        #[arg(long, value_name = "MS", default_value_t = 0)]
        jitter_ms: u64,
        /// The chance of a write to end its connection
        #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
        loss: f64,
        /// How many thousand bits a second pass on each connection
        #[arg(long, value_name = "KBIT", default_value_t = 0)]
        rate_kbit: u64,
        /// A byte, and nothing for so long, and the next byte
        #[arg(long, value_name = "MS", default_value_t = 0)]
        drip_ms: u64,
        /// Cannot be done to a stream
        #[arg(long, value_name = "PERCENT", default_value_t = 0.0, hide = true)]
        duplicate: f64,
        /// Cannot be done to a stream
        #[arg(long, value_name = "PERCENT", default_value_t = 0.0, hide = true)]
        reorder: f64,
        #[command(flatten)]
        rule: ProxyRule,
    },
    /// Remove a rule; as good if there is none
    Undo {
        /// The rule
        id: String,
    },
    /// Put off the end of the rules whose names begin so, and of the proxy
    Renew {
        /// How the names begin [default: all]
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Prove that a rule does what it says, by connections of the proxy's own
    Probe {
        /// The rule
        id: String,
    },
    /// Show links and rules, and what each rule has stopped
    Rules,
    /// End the proxy
    Stop {
        /// Only one that ends by itself when nobody renews it
        #[arg(long)]
        if_leased: bool,
    },
}

#[cfg(feature = "live")]
#[derive(Debug, Args)]
pub(crate) struct ProxyRule {
    /// To every second connection only
    #[arg(long)]
    pub(crate) half: bool,
    /// The rule ends by itself when it was not renewed for so long
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) heal_within: String,
}
