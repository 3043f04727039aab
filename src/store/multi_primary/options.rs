//! What can be set of the store `multi-primary`.

use super::{Conflict, Merge, Numbers, Replication, Rules, Scheme, Settings, Topology};
use crate::store::OptionError;
use crate::store::catalogue::{
    CLIENT_TIMEOUT, DATA_CENTERS, DISTANCE, DUPLICATION, LATENCIES, LATENCY, LOSS, NODES,
    OptionInfo, REORDERING, StoreInfo, option,
};
use crate::store::options::Options;
use crate::store::routing::Home;

/// Its row of the catalogue.
pub(in crate::store) const INFO: StoreInfo = StoreInfo {
    name: "multi-primary",
    about: "several primaries that take writes and tell each other later, and what becomes of conflicts",
    options: OPTIONS,
    bugs: &[],
};

const OPTIONS: &[OptionInfo] = &[
    NODES,
    option(
        "primaries",
        "all",
        "all | 1 to 9",
        "how many of the nodes take writes; the others are replicas",
    ),
    option(
        "replication",
        "async",
        "async | sync | certified",
        "a write is acknowledged by one primary, by all nodes of its data centre, or when the first primary gave it a place in one order",
    ),
    option(
        "conflict",
        "last-write-wins",
        "last-write-wins | arrival | siblings | merge | node-priority | version-counter",
        "which of two changes wins: the later stamp, what arrives later, both, what they make together, the lower node, or more versions before it",
    ),
    option("merge", "union", "union | concat", "conflict = merge: how two collections become one"),
    option(
        "numbers",
        "delta",
        "absolute | delta | escrow",
        "what is told of counters, stocks and banks: the new number, the difference, or that and each primary sells its own share",
    ),
    option(
        "collections",
        "elements",
        "elements | whole",
        "what is told of sets and lists: an element, or all of them",
    ),
    option(
        "rows",
        "whole",
        "whole | by-field",
        "the fields of a row are told and decided together, or each for itself, with a primary of its own that comes first",
    ),
    option(
        "ids",
        "step",
        "auto-increment | step | block | random",
        "the next id is one more than known, of one's own remainder, of a block from the first primary, or any",
    ),
    option(
        "id-step",
        "all",
        "all | 1 to 9",
        "ids = step: how many remainders there are; as many as primaries, or so many",
    ),
    option(
        "stamps",
        "clock",
        "clock | oracle",
        "who says when a change was made: the local clock, or the first primary",
    ),
    option(
        "home",
        "any",
        "any | fixed | moving",
        "who takes the writes of a key: the node named, the key's own primary, or another one while that is away",
    ),
    option(
        "reads",
        "local",
        "local | sync",
        "replication = certified: a read is answered at once, or waits for all certified before it",
    ),
    option(
        "topology",
        "mesh",
        "mesh | ring | chain",
        "a primary tells all others, or the next one, which passes it on; the last of a chain tells no other primary: a ring that was never closed",
    ),
    option(
        "origin-filter",
        "on",
        "on | off",
        "topology = ring: a change that has come round is dropped, or done again",
    ),
    DATA_CENTERS,
    DISTANCE,
    option("lag", "exp(10ms)", LATENCIES, "how long a change waits before it is shipped"),
    LATENCY,
    LOSS,
    DUPLICATION,
    REORDERING,
    CLIENT_TIMEOUT,
];

/// Reads them.
pub(in crate::store) fn settings(options: &Options<'_>) -> Result<(Settings, Home), OptionError> {
    let nodes = options.count("nodes", 1, 9)?;
    let primaries = options.count_or("primaries", "all", nodes, 1, 9)?;
    if primaries > nodes {
        let why = format!("{primaries} primaries need as many nodes, not {nodes}");
        return Err(OptionError::of("primaries", why));
    }
    let merge = options.choice("merge", &[("union", Merge::Union), ("concat", Merge::Concat)])?;
    let conflict = options.choice(
        "conflict",
        &[
            ("last-write-wins", Conflict::LastWriteWins),
            ("arrival", Conflict::Arrival),
            ("siblings", Conflict::Siblings),
            ("merge", Conflict::Merge(merge)),
            ("node-priority", Conflict::NodePriority),
            ("version-counter", Conflict::VersionCounter),
        ],
    )?;
    let replication = options.choice(
        "replication",
        &[
            ("async", Replication::Async),
            ("sync", Replication::Sync),
            ("certified", Replication::Certified),
        ],
    )?;
    let numbers = options.choice(
        "numbers",
        &[("absolute", Numbers::Absolute), ("delta", Numbers::Delta), ("escrow", Numbers::Escrow)],
    )?;
    let step = options.count_or("id-step", "all", primaries, 1, 9)?;
    let settings = Settings {
        nodes,
        primaries,
        replication,
        rules: Rules {
            conflict,
            numbers,
            whole_collections: options
                .choice("collections", &[("elements", false), ("whole", true)])?,
            by_field: options.choice("rows", &[("whole", false), ("by-field", true)])?,
            is_ordered: replication == Replication::Certified,
            primaries,
        },
        topology: options.choice(
            "topology",
            &[("mesh", Topology::Mesh), ("ring", Topology::Ring), ("chain", Topology::Chain)],
        )?,
        origin_filter: options.choice("origin-filter", &[("on", true), ("off", false)])?,
        ids: options.choice(
            "ids",
            &[
                ("auto-increment", Scheme::AutoIncrement),
                ("step", Scheme::Step(step)),
                ("block", Scheme::Block),
                ("random", Scheme::Random),
            ],
        )?,
        has_oracle: options.choice("stamps", &[("clock", false), ("oracle", true)])?,
        sync_reads: options.choice("reads", &[("local", false), ("sync", true)])?,
        lag: options.latency("lag")?,
        sites: options.sites()?,
    };
    let home = options
        .choice("home", &[("any", Home::Any), ("fixed", Home::Fixed), ("moving", Home::Moving)])?;
    refuse_nonsense(&settings)?;
    Ok((settings, home))
}

fn refuse_nonsense(settings: &Settings) -> Result<(), OptionError> {
    let rules = &settings.rules;
    let refused = |option, why: &str| Err(OptionError::of(option, why));
    if settings.replication == Replication::Certified {
        if settings.topology != Topology::Mesh {
            return refused("topology", "certified changes come from the first primary: use mesh");
        }
        if rules.by_field {
            return refused("rows", "what is certified is certified whole: use rows = \"whole\"");
        }
        if rules.numbers == Numbers::Escrow || rules.numbers == Numbers::Absolute {
            return refused("numbers", "certified changes never meet: use numbers = \"delta\"");
        }
    } else if settings.sync_reads {
        return refused("reads", "only replication = \"certified\" has an order to wait for");
    }
    if settings.topology != Topology::Mesh && settings.replication == Replication::Sync {
        return refused("topology", "on a ring nobody hears from all others: use mesh");
    }
    if settings.topology != Topology::Ring && !settings.origin_filter {
        return refused(
            "origin-filter",
            "only on a ring a change comes back: use topology = \"ring\"",
        );
    }
    if settings.topology != Topology::Mesh && settings.primaries == 1 {
        return refused("topology", "a single primary tells its replicas: use mesh");
    }
    Ok(())
}
