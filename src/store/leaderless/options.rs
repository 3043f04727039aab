//! What can be set of the store `leaderless`.

use super::cell::{Keeping, Versions};
use super::{ReadRepair, Restart, Settings};
use crate::store::OptionError;
use crate::store::catalogue::{
    CLIENT_TIMEOUT, DUPLICATION, DURATION, LATENCIES, LATENCY, LOSS, NODES, OptionInfo, REORDERING,
    StoreInfo, option,
};
use crate::store::options::Options;

/// Its row of the catalogue.
pub(in crate::store) const INFO: StoreInfo = StoreInfo {
    name: "leaderless",
    about: "whoever is asked writes to all replicas of a key, waits for some, and reads the newest of some",
    options: OPTIONS,
    bugs: &[],
};

const OPTIONS: &[OptionInfo] = &[
    NODES,
    option("replicas", "3", "1 to 9", "N: how many nodes have a key"),
    option("write-quorum", "2", "1 to 9", "W: how many of them a write waits for"),
    option(
        "read-quorum",
        "2",
        "1 to 9",
        "R: how many of them a read hears; the newest answer is shown",
    ),
    option(
        "quorum",
        "strict",
        "strict | sloppy",
        "only replicas count, or others stand in for those that do not answer and hand over later",
    ),
    option(
        "read-repair",
        "sync",
        "off | async | sync",
        "a read leaves stale replicas alone, tells them, or waits until as many have what it shows as a write waits for",
    ),
    option(
        "anti-entropy",
        "1s",
        "off | a duration such as 500ms",
        "how often a node compares all it has with another one",
    ),
    option(
        "versions",
        "counter",
        "clock | counter | vector",
        "what is newest: by the coordinator's clock, by a number one greater than a quorum's, or so and a put replaces just what was read",
    ),
    option(
        "tombstones",
        "on",
        "on | off",
        "a removal is remembered, or what was added is just dropped",
    ),
    option("tombstone-grace", "1min", DURATION, "how long a removal is remembered"),
    option(
        "partial-write",
        "keep",
        "keep | rollback",
        "a write that too few replicas have stays where it is, or those that have it are told to take it back",
    ),
    option("partial-write-is", "unknown", "unknown | failed", "what its client is told"),
    option(
        "restart",
        "disk",
        "disk | empty | backup | rebuild",
        "what a killed node finds: its disk, nothing, the older half, or nothing and it asks all others before it answers",
    ),
    option("lag", "exp(1ms)", LATENCIES, "how long a write takes to reach a replica's disk"),
    LATENCY,
    LOSS,
    DUPLICATION,
    REORDERING,
    CLIENT_TIMEOUT,
];

/// Reads them.
pub(in crate::store) fn settings(options: &Options<'_>) -> Result<Settings, OptionError> {
    let nodes = options.count("nodes", 1, 9)?;
    let replicas = options.count("replicas", 1, 9)?;
    let quorum = |name| {
        let quorum = options.count(name, 1, 9)?;
        let why = || OptionError::of(name, format!("{quorum} of {replicas} replicas never answer"));
        if quorum > replicas { Err(why()) } else { Ok(quorum) }
    };
    let (write_quorum, read_quorum) = (quorum("write-quorum")?, quorum("read-quorum")?);
    if replicas > nodes {
        let why = format!("{replicas} replicas need as many nodes, not {nodes}");
        return Err(OptionError::of("replicas", why));
    }
    let is_sloppy = options.choice("quorum", &[("strict", false), ("sloppy", true)])?;
    if is_sloppy && replicas == nodes {
        let why = "every node is a replica: nobody can stand in; set nodes to more than replicas";
        return Err(OptionError::of("quorum", why));
    }
    let grace = options.duration("tombstone-grace")?;
    let remembers = options.choice("tombstones", &[("on", true), ("off", false)])?;
    Ok(Settings {
        nodes,
        replicas,
        write_quorum,
        read_quorum,
        is_sloppy,
        read_repair: options.choice(
            "read-repair",
            &[("off", ReadRepair::Off), ("async", ReadRepair::Async), ("sync", ReadRepair::Sync)],
        )?,
        anti_entropy: options.duration_or("anti-entropy", "off")?,
        keeping: Keeping {
            versions: options.choice(
                "versions",
                &[
                    ("clock", Versions::Clock),
                    ("counter", Versions::Counter),
                    ("vector", Versions::Vector),
                ],
            )?,
            tombstones: remembers.then_some(grace),
            undoes: options.choice("partial-write", &[("keep", false), ("rollback", true)])?,
        },
        calls_partial_failed: options
            .choice("partial-write-is", &[("unknown", false), ("failed", true)])?,
        restart: options.choice(
            "restart",
            &[
                ("disk", Restart::Disk),
                ("empty", Restart::Empty),
                ("backup", Restart::Backup),
                ("rebuild", Restart::Rebuild),
            ],
        )?,
        lag: options.latency("lag")?,
    })
}
