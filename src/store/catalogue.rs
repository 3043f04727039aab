//! The stores, their options and their bugs, as tables; and building one.

use std::collections::BTreeMap;

use crate::model::Value;
use crate::sim::NodeId;
use crate::store::leaderless::{self, Leaderless};
use crate::store::multi_primary::{self, MultiPrimary};
use crate::store::options::{Options, hint};
use crate::store::primary_replica::{self, PrimaryReplica};
use crate::store::raft::{self, Raft, RaftReads};
use crate::store::routing::Reads;
use crate::store::sharded::Sharded;
use crate::store::single::{self, Single};
use crate::store::target::{Cluster, SimTarget};
use crate::store::transactional::{self, LEVELS, Transactional};
use crate::store::{OptionError, Store};
use crate::target::Target;

/// A store that runs in the simulator.
#[derive(Clone, Copy, Debug)]
pub struct StoreInfo {
    /// Its name in a workload.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// What can be set.
    pub options: &'static [OptionInfo],
    /// What can be planted in it by the option `bug`.
    pub bugs: &'static [BugInfo],
}

/// An option of a store.
#[derive(Clone, Copy, Debug)]
pub struct OptionInfo {
    /// Its name in a workload.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// What holds if it is not given.
    pub default: &'static str,
    /// What is valid.
    pub values: &'static str,
}

/// A bug that can be planted in a store.
#[derive(Clone, Copy, Debug)]
pub struct BugInfo {
    /// The value of the option `bug`.
    pub name: &'static str,
    /// What goes wrong, in one line.
    pub about: &'static str,
}

pub(super) const fn option(
    name: &'static str,
    default: &'static str,
    values: &'static str,
    about: &'static str,
) -> OptionInfo {
    OptionInfo { name, about, default, values }
}

pub(super) const fn bug(name: &'static str, about: &'static str) -> BugInfo {
    BugInfo { name, about }
}

pub(super) const LATENCIES: &str = "1ms | 1ms..5ms | exp(5ms)";
const PROBABILITY: &str = "0 to below 1";
pub(super) const DURATION: &str = "a duration such as 500ms";

pub(super) const NODES: OptionInfo =
    option("nodes", "3", "1 to 9", "how many nodes; they are n1, n2, …");
pub(super) const LATENCY: OptionInfo =
    option("latency", "200us..1ms", LATENCIES, "the time of one message, one way");
pub(super) const DATA_CENTERS: OptionInfo = option(
    "data-centers",
    "1",
    "1 | 2",
    "the nodes stand in one place, or the second half of them in another",
);
pub(super) const DISTANCE: OptionInfo =
    option("distance", "40ms", DURATION, "how much longer a message takes between data centres");
pub(super) const LOSS: OptionInfo =
    option("loss", "0", PROBABILITY, "how likely a message is lost");
pub(super) const DUPLICATION: OptionInfo =
    option("duplication", "0", PROBABILITY, "how likely a message between nodes arrives twice");
pub(super) const REORDERING: OptionInfo = option(
    "reordering",
    "0",
    PROBABILITY,
    "how likely a message between nodes is late and overtaken",
);
pub(super) const CLIENT_TIMEOUT: OptionInfo =
    option("client-timeout", "1s", DURATION, "how long a client waits for an answer");
pub(super) const FSYNC: OptionInfo =
    option("fsync", "always", "always | interval(100ms)", "when what is written becomes durable");
pub(super) const BUG: OptionInfo =
    option("bug", "none", "none | a bug of this store", "what is planted in the store");
pub(super) const LOST_FSYNC: BugInfo =
    bug("lost-fsync", "writes are never synced: a kill loses them");

/// Every embedded store.
pub static STORES: &[StoreInfo] = &[
    StoreInfo {
        name: "single",
        about: "one node without replicas",
        options: &[
            option("nodes", "1", "1", "there is one node, n1"),
            option(
                "lock-lease",
                "never",
                "never | a duration such as 500ms",
                "after how long a lock is taken from whoever holds it, should another want it",
            ),
            FSYNC,
            LATENCY,
            LOSS,
            CLIENT_TIMEOUT,
            BUG,
        ],
        bugs: &[
            LOST_FSYNC,
            bug(
                "racy-cas",
                "a cas or rmw looks first and writes 2 ms later, whatever came between",
            ),
            bug("stale-cache", "reads come from a cache of 100 ms that writes do not touch"),
        ],
    },
    primary_replica::INFO,
    StoreInfo {
        name: "raft",
        about: "consensus by Raft: linearizable whatever the faults",
        options: &[
            NODES,
            option(
                "reads",
                "read-index",
                "read-index | lease | local",
                "a read asks a majority, trusts the leader's lease, or is answered at once",
            ),
            option("election-timeout", "300ms", DURATION, "how long a follower misses its leader"),
            DATA_CENTERS,
            DISTANCE,
            LATENCY,
            LOSS,
            DUPLICATION,
            REORDERING,
            CLIENT_TIMEOUT,
            BUG,
        ],
        bugs: &[
            bug("forget-vote", "term and vote are not written to disk: a restart forgets them"),
            bug("ack-before-commit", "a write is acknowledged when the leader alone has it"),
            bug("stale-lease", "with reads = lease: the leader's lease never ends"),
            bug("vote-for-short-log", "a candidate is voted for though its log lacks entries"),
            LOST_FSYNC,
        ],
    },
    StoreInfo {
        name: "transactional",
        about: "transactions over multi-version rows, at a level of isolation of choice",
        options: &[
            NODES,
            option(
                "isolation",
                "serializable",
                "strict-serializable | serializable | strong-snapshot-isolation | snapshot-isolation | parallel-snapshot-isolation | prefix-consistency | read-committed | read-uncommitted",
                "what transactions may see of each other",
            ),
            option(
                "sessions",
                "none",
                "none | token",
                "a copy answers at once, or waits until it has what the session has seen",
            ),
            option("lag", "exp(10ms)", LATENCIES, "how long commits wait before a copy gets them"),
            LATENCY,
            LOSS,
            DUPLICATION,
            REORDERING,
            CLIENT_TIMEOUT,
            BUG,
        ],
        bugs: &[
            bug(
                "lost-update",
                "a commit is checked when it arrives and installed 3 ms later, whatever came between",
            ),
            bug("write-skew", "what was read is not checked: snapshot isolation is sold as more"),
            bug("phantom", "what was read and not there is not checked"),
            bug("non-repeatable-read", "reads show the present, not the snapshot"),
            bug("dirty-read", "read-committed: reads show what is not committed"),
            bug("dirty-write", "read-(un)committed: writes take no locks, row by row"),
            bug("torn-commit", "the rows of a commit become visible one after another"),
            bug("stale-snapshot", "a strict or strong level: readers are given an old snapshot"),
            bug("long-fork", "a node shows its own commits before earlier ones of others"),
            bug("forgotten-token", "with sessions = token: the token lacks the session's writes"),
        ],
    },
    multi_primary::INFO,
    leaderless::INFO,
];

/// Builds a store by its name in a workload. The run's seed feeds its network and its nodes.
pub fn build(
    name: &str,
    options: &BTreeMap<String, Value>,
    seed: u64,
) -> Result<Box<dyn Target>, OptionError> {
    let Some(store) = STORES.iter().find(|store| store.name == name) else {
        let names = || STORES.iter().map(|store| store.name);
        let guess = hint(name, names());
        let known = names().collect::<Vec<_>>().join(", ");
        let message = format!("no store {name:?}{guess}; there are {known}");
        return Err(OptionError { option: None, message });
    };
    let options = Options::new(store, options)?;
    match store.name {
        "single" => build_single(&options, seed),
        "primary-replica" => build_primary_replica(&options, seed),
        "raft" => build_raft(&options, seed),
        "multi-primary" => build_multi_primary(&options, seed),
        "leaderless" => build_leaderless(&options, seed),
        _ => build_transactional(&options, seed),
    }
}

fn build_single(options: &Options<'_>, seed: u64) -> Result<Box<dyn Target>, OptionError> {
    options.count("nodes", 1, 1)?;
    let fsync = options.fsync("fsync")?;
    let lock_lease = options.duration_or("lock-lease", "never")?;
    let bug = match options.bug()? {
        "lost-fsync" => single::Bug::LostFsync,
        "racy-cas" => single::Bug::RacyCas,
        "stale-cache" => single::Bug::StaleCache,
        _ => single::Bug::None,
    };
    let cluster = Cluster::of(1, Reads::Primary);
    assemble(options, cluster, seed, |_| Single::new(fsync, lock_lease, bug))
}

fn build_primary_replica(options: &Options<'_>, seed: u64) -> Result<Box<dyn Target>, OptionError> {
    let (settings, cluster) = primary_replica::settings(options)?;
    let shards = cluster.shards;
    if shards == 1 {
        return assemble(options, cluster, seed, |me| PrimaryReplica::new(me, settings));
    }
    let part = |me, shard: u8| {
        let first = NodeId(shard % settings.nodes);
        PrimaryReplica::new(me, primary_replica::Settings { first, ..settings })
    };
    assemble(options, cluster, seed, |me| Sharded::new((0..shards).map(|shard| part(me, shard))))
}

fn build_raft(options: &Options<'_>, seed: u64) -> Result<Box<dyn Target>, OptionError> {
    let settings = raft::Settings {
        nodes: options.count("nodes", 1, raft::MAX_NODES as u8)?,
        election_timeout: options.duration("election-timeout")?,
        reads: options.choice(
            "reads",
            &[
                ("read-index", RaftReads::ReadIndex),
                ("lease", RaftReads::Lease),
                ("local", RaftReads::Local),
            ],
        )?,
        bug: match options.bug()? {
            "forget-vote" => raft::Bug::ForgetVote,
            "ack-before-commit" => raft::Bug::AckBeforeCommit,
            "stale-lease" => raft::Bug::StaleLease,
            "vote-for-short-log" => raft::Bug::VoteForShortLog,
            "lost-fsync" => raft::Bug::LostFsync,
            _ => raft::Bug::None,
        },
    };
    if settings.bug == raft::Bug::StaleLease && settings.reads != RaftReads::Lease {
        return Err(OptionError::of("bug", "stale-lease: needs reads = \"lease\""));
    }
    let cluster = Cluster::of(settings.nodes, Reads::Any);
    assemble(options, cluster, seed, |me| Raft::new(me, settings))
}

fn build_transactional(options: &Options<'_>, seed: u64) -> Result<Box<dyn Target>, OptionError> {
    use transactional::Bug;
    let nodes = options.count("nodes", 1, 9)?;
    let level = options.choice("isolation", LEVELS)?;
    let tokens = options.choice("sessions", &[("none", false), ("token", true)])?;
    let lag = options.latency("lag")?;
    let name = options.bug()?;
    let bug = match name {
        "lost-update" => Bug::LostUpdate,
        "write-skew" => Bug::WriteSkew,
        "phantom" => Bug::Phantom,
        "non-repeatable-read" => Bug::NonRepeatableRead,
        "dirty-read" => Bug::DirtyRead,
        "dirty-write" => Bug::DirtyWrite,
        "torn-commit" => Bug::TornCommit,
        "stale-snapshot" => Bug::StaleSnapshot,
        "long-fork" => Bug::LongFork,
        "forgotten-token" => Bug::ForgottenToken,
        _ => Bug::None,
    };
    let settings = transactional::Settings::new(level, tokens, lag, bug)
        .map_err(|needs| OptionError::of("bug", format!("{name}: {needs}")))?;
    let node = |me| Transactional::new(me, settings);
    assemble(options, Cluster::of(nodes, Reads::Everywhere), seed, node)
}

fn build_multi_primary(options: &Options<'_>, seed: u64) -> Result<Box<dyn Target>, OptionError> {
    let (settings, home) = multi_primary::settings(options)?;
    let reads = Reads::Primaries(settings.primaries, home);
    let cluster = Cluster::of(settings.nodes, reads);
    assemble(options, cluster, seed, |me| MultiPrimary::new(me, settings))
}

fn build_leaderless(options: &Options<'_>, seed: u64) -> Result<Box<dyn Target>, OptionError> {
    let settings = leaderless::settings(options)?;
    let cluster = Cluster::of(settings.nodes, Reads::Everywhere);
    assemble(options, cluster, seed, |me| Leaderless::new(me, settings))
}

fn assemble<S: Store + 'static>(
    options: &Options<'_>,
    cluster: Cluster,
    seed: u64,
    node: impl Fn(NodeId) -> S,
) -> Result<Box<dyn Target>, OptionError> {
    let nodes = (0..cluster.nodes + cluster.mediators).map(|at| node(NodeId(at))).collect();
    let (conditions, timeout) = (options.conditions()?, options.duration("client-timeout")?);
    Ok(Box::new(SimTarget::new(nodes, cluster, conditions, timeout, seed)))
}
