//! What can be set of the store `primary-replica`.

use super::handover::Move;
use super::join::{Joining, Snapshot};
use super::{
    Bug, Detection, Failover, Fencing, LogForm, OldPrimary, Replication, Resume, Settings,
};
use crate::model::Nanos;
use crate::sim::NodeId;
use crate::store::OptionError;
use crate::store::cache::{self, Form};
use crate::store::catalogue::{
    BUG, CLIENT_TIMEOUT, DUPLICATION, DURATION, FSYNC, LATENCIES, LATENCY, LOSS, LOST_FSYNC, NODES,
    OptionInfo, REORDERING, StoreInfo, bug, option,
};
use crate::store::options::{Fsync, Options};
use crate::store::routing::Reads;
use crate::store::statement::Condition;
use crate::store::target::{Cluster, Operator, Successor, Switchover};

/// Its row of the catalogue.
pub(in crate::store) const INFO: StoreInfo = StoreInfo {
    name: "primary-replica",
    about: "one primary takes the writes, replicas copy its log and may serve reads",
    options: OPTIONS,
    bugs: &[
        bug("dirty-ack", "semi or sync: a write is acknowledged before any replica has it"),
        bug("blind-confirm", "a replica confirms entries that do not fit its log and drops them"),
        bug("replica-writes", "a replica takes writes and keeps them to itself"),
        LOST_FSYNC,
    ],
};

const OPTIONS: &[OptionInfo] = &[
    NODES,
    option(
        "replication",
        "async",
        "async | semi | sync",
        "a write is acknowledged by the primary alone, with one replica, or with all",
    ),
    option(
        "degrade-after",
        "never",
        "never | a duration such as 500ms",
        "semi or sync: how long a write waits for replicas before it is acknowledged without them",
    ),
    option(
        "failover",
        "automatic",
        "none | manual | automatic",
        "who makes a replica the primary: nobody, an operator who sees that the primary is down, or the replica that misses it",
    ),
    option("failover-timeout", "1s", DURATION, "how long a primary is missed"),
    option(
        "detection",
        "link",
        "link | mediator | probe | client",
        "automatic: who misses the primary, the replicas on the direct link, mediators beside them, replicas whose probes it does not answer in time, or a client that writes to a replica instead",
    ),
    option("mediators", "1", "1 to 5", "how many mediators there are; they are m1, m2, …"),
    option(
        "mediators-needed",
        "majority",
        "any | majority | all",
        "of how many mediators a node needs the grants to lead",
    ),
    option(
        "status-channel",
        "own",
        "own | shared",
        "what nodes say of themselves has a channel of its own, or waits behind the log",
    ),
    option(
        "fencing",
        "none",
        "none | epoch | lease | stonith",
        "what stops an old primary: news of its successor; also a client that knows it; the end of its mediators' lease; or its successor switches its power off first",
    ),
    option("manual-delay", "5s", DURATION, "how long the operator takes"),
    option(
        "successor",
        "most-advanced",
        "most-advanced | last",
        "manual: whom the operator promotes, the node with the longest log or the last one",
    ),
    option(
        "switchover",
        "never",
        "never | a duration such as 5s",
        "how often an operator changes the primary though nothing is wrong",
    ),
    option(
        "drain",
        "no",
        "no | yes",
        "switchover: the successor begins at once, or the primary takes no more writes and goes when its successor has all",
    ),
    option(
        "address-age",
        "none",
        "none | a duration such as 5s",
        "clients go where the last answer pointed; or look up the primary's address and keep it so long, as an ARP entry, a cached map or a file is kept",
    ),
    option(
        "timeouts",
        "unknown",
        "unknown | failed",
        "what is recorded of an operation that was not answered: nobody knows, or that it failed, which is wrong",
    ),
    option(
        "old-primary",
        "demote+truncate",
        "demote+truncate | keep",
        "a deposed primary drops what its successor lacks, or keeps its effects",
    ),
    option(
        "reads",
        "any",
        "primary | any | sticky | own | token",
        "who answers reads: the primary, the node named, one node a session, the primary if the session has written the key and else the node named, or any node that has what the session has seen",
    ),
    option(
        "token-scope",
        "session",
        "session | device",
        "who keeps the token of what was seen: the session, or each of the two devices that it uses in turn",
    ),
    option(
        "shards",
        "1",
        "1 to 9",
        "into how many shards the keys are dealt, each with a primary, a log and a lag of its own",
    ),
    option(
        "move",
        "never",
        "never | a duration such as 5s",
        "when the second node takes over the first shard from the first node",
    ),
    option(
        "handover",
        "agreed",
        "agreed | forced",
        "move: the old primary stops and hands over, or goes on until it hears of the new one",
    ),
    option(
        "cache",
        "none",
        "none | aside | through | two-levels",
        "between clients and store: nothing, a cache that readers fill and writers clear, one that hears of no write, or one aside and another in each of two servers",
    ),
    option("cache-ttl", "1s", DURATION, "how long a cache shows what it was filled with"),
    option(
        "cache-fill",
        "blind",
        "blind | versioned",
        "whether a cache takes every answer, or none older than what it has known of the key",
    ),
    option("lag", "exp(10ms)", LATENCIES, "how long the log waits before it is shipped"),
    option(
        "condition",
        "always",
        "always | now | rand",
        "a write takes effect always, or WHERE now() or WHERE rand() lets it, one time in twenty not",
    ),
    option(
        "log",
        "row",
        "row | statement | physical",
        "what the log says of a write: what came of it, its statement, whose condition every node answers for itself, or the bytes on disk, which only the same version can read",
    ),
    option(
        "upgrade",
        "never",
        "never | a duration such as 5s",
        "when n1 begins to run the next version; the others follow, a second apart",
    ),
    option(
        "filter",
        "none",
        "none | odd",
        "what replicas leave out: nothing, or what is done to keys of odd number",
    ),
    option(
        "join",
        "never",
        "never | a duration such as 5s",
        "when the last node is replaced by a new one, which begins with a snapshot",
    ),
    option(
        "snapshot",
        "exact",
        "exact | fuzzy",
        "what a new node begins with: all data of one moment, or some from the beginning and some from the end of the copying",
    ),
    option(
        "catch-up",
        "refuse",
        "refuse | serve",
        "a new node that has not caught up refuses reads, or answers from what it has",
    ),
    option(
        "resume",
        "exact",
        "exact | early | late",
        "after an interruption a replica goes on where it had stopped, one entry before it, or one entry after it",
    ),
    FSYNC,
    LATENCY,
    LOSS,
    DUPLICATION,
    REORDERING,
    CLIENT_TIMEOUT,
    BUG,
];

/// Reads them.
pub(in crate::store) fn settings(
    options: &Options<'_>,
) -> Result<(Settings, Cluster), OptionError> {
    let reads = options.choice(
        "reads",
        &[
            ("primary", Reads::Primary),
            ("any", Reads::Any),
            ("sticky", Reads::Sticky),
            ("own", Reads::Own),
            ("token", Reads::Token),
        ],
    )?;
    let mediators = options.count("mediators", 1, 5)?;
    let detection = options.choice(
        "detection",
        &[
            ("link", Detection::Link),
            ("mediator", Detection::Mediator(mediators)),
            ("probe", Detection::Probe),
            ("client", Detection::Client),
        ],
    )?;
    let mediators_needed = options.choice(
        "mediators-needed",
        &[("any", 1), ("majority", mediators / 2 + 1), ("all", mediators)],
    )?;
    let settings = Settings {
        nodes: options.count("nodes", 1, 9)?,
        replication: options.choice(
            "replication",
            &[
                ("async", Replication::Async),
                ("semi", Replication::Semi),
                ("sync", Replication::Sync),
            ],
        )?,
        degrades_after: options.duration_or("degrade-after", "never")?,
        failover: options.choice(
            "failover",
            &[
                ("none", Failover::None),
                ("manual", Failover::Manual),
                ("automatic", Failover::Automatic),
            ],
        )?,
        failover_timeout: options.duration("failover-timeout")?,
        detection,
        mediators_needed,
        fencing: options.choice(
            "fencing",
            &[
                ("none", Fencing::None),
                ("epoch", Fencing::Epoch),
                ("lease", Fencing::Lease),
                ("stonith", Fencing::Stonith),
            ],
        )?,
        shares_channel: options.choice("status-channel", &[("own", false), ("shared", true)])?,
        old_primary: options.choice(
            "old-primary",
            &[("demote+truncate", OldPrimary::Truncate), ("keep", OldPrimary::Keep)],
        )?,
        lag: options.latency("lag")?,
        condition: options.choice(
            "condition",
            &[("always", Condition::Always), ("now", Condition::Now), ("rand", Condition::Rand)],
        )?,
        log: options.choice(
            "log",
            &[
                ("row", LogForm::Row),
                ("statement", LogForm::Statement),
                ("physical", LogForm::Physical),
            ],
        )?,
        upgrade: options.duration_or("upgrade", "never")?,
        is_filtered: options.choice("filter", &[("none", false), ("odd", true)])?,
        joining: joining(options)?,
        moves: moves(options)?,
        first: NodeId(0),
        resume: options.choice(
            "resume",
            &[("exact", Resume::Exact), ("early", Resume::Early), ("late", Resume::Late)],
        )?,
        fsync: options.fsync("fsync")?,
        replicas_read: reads != Reads::Primary,
        bug: match options.bug()? {
            "dirty-ack" => Bug::DirtyAck,
            "blind-confirm" => Bug::BlindConfirm,
            "replica-writes" => Bug::ReplicaWrites,
            "lost-fsync" => Bug::LostFsync,
            _ => Bug::None,
        },
    };
    let delay = options.duration("manual-delay")?;
    let successor = options.choice(
        "successor",
        &[("most-advanced", Successor::MostAdvanced), ("last", Successor::Last)],
    )?;
    let drains = options.choice("drain", &[("no", false), ("yes", true)])?;
    let switchover = options.duration_or("switchover", "never")?;
    let switchover = switchover.map(|every| Switchover { every, drains });
    refuse_nonsense(&settings)?;
    refuse_switchover(&settings, drains, switchover)?;
    let operator = (settings.failover == Failover::Manual).then_some(Operator { delay, successor });
    let mediators = if settings.uses_mediators() { mediators } else { 0 };
    let shards = options.count("shards", 1, 9)?;
    if shards > 1 && settings.failover == Failover::Manual {
        let why = "an operator looks after one primary: use failover = \"none\" or \"automatic\"";
        return Err(OptionError::of("shards", why));
    }
    let devices = options.choice("token-scope", &[("session", 1), ("device", 2)])?;
    if devices > 1 && reads != Reads::Token {
        return Err(OptionError::of("token-scope", "there is no token: set reads = \"token\""));
    }
    let cluster = Cluster {
        nodes: settings.nodes,
        mediators,
        reads,
        operator,
        shards,
        devices,
        cache: cache(options)?,
        address_age: options.duration_or("address-age", "none")?,
        switchover,
        timeouts_fail: options.choice("timeouts", &[("unknown", false), ("failed", true)])?,
    };
    Ok((settings, cluster))
}

fn moves(options: &Options<'_>) -> Result<Option<Move>, OptionError> {
    let is_forced = options.choice("handover", &[("agreed", false), ("forced", true)])?;
    let after = options.duration_or("move", "never")?;
    if after.is_none() && is_forced {
        return Err(OptionError::of("handover", "no shard moves: set move"));
    }
    Ok(after.map(|after| Move { after, is_forced }))
}

fn joining(options: &Options<'_>) -> Result<Option<Joining>, OptionError> {
    let snapshot =
        options.choice("snapshot", &[("exact", Snapshot::Exact), ("fuzzy", Snapshot::Fuzzy)])?;
    let serves = options.choice("catch-up", &[("refuse", false), ("serve", true)])?;
    let after = options.duration_or("join", "never")?;
    if after.is_none() && (serves || snapshot == Snapshot::Fuzzy) {
        let option = if serves { "catch-up" } else { "snapshot" };
        return Err(OptionError::of(option, "no node is new: set join"));
    }
    Ok(after.map(|after| Joining { after, snapshot, serves }))
}

fn cache(options: &Options<'_>) -> Result<Option<cache::Settings>, OptionError> {
    let form = options.choice(
        "cache",
        &[
            ("none", None),
            ("aside", Some(Form::Aside)),
            ("through", Some(Form::Through)),
            ("two-levels", Some(Form::TwoLevels)),
        ],
    )?;
    let ttl = options.duration("cache-ttl")?;
    let is_versioned = options.choice("cache-fill", &[("blind", false), ("versioned", true)])?;
    if form.is_none() && is_versioned {
        return Err(OptionError::of("cache-fill", "there is no cache: set cache"));
    }
    Ok(form.map(|form| cache::Settings { form, ttl, is_versioned }))
}

fn refuse_switchover(
    settings: &Settings,
    drains: bool,
    switchover: Option<Switchover>,
) -> Result<(), OptionError> {
    let wrong = |option, why: &str| Err(OptionError::of(option, why));
    let Some(Switchover { every, .. }) = switchover else {
        return if drains { wrong("drain", "needs a switchover to drain before") } else { Ok(()) };
    };
    if every < Nanos::from_millis(100) {
        return wrong("switchover", "at most ten a second");
    }
    if settings.nodes == 1 {
        return wrong("switchover", "a single node has no successor: set nodes to 2 or more");
    }
    if settings.uses_mediators() {
        return wrong("switchover", "an operator does not ask mediators: set detection = \"link\"");
    }
    Ok(())
}

fn refuse_nonsense(settings: &Settings) -> Result<(), OptionError> {
    let wrong = |option, why: &str| Err(OptionError::of(option, why));
    let waits = settings.replication != Replication::Async;
    if settings.nodes == 1 && waits {
        return wrong(
            "replication",
            "a single node has no replica to wait for: set nodes to 2 or more",
        );
    }
    if settings.degrades_after.is_some() && !waits {
        return wrong("degrade-after", "with replication = \"async\" no write waits for replicas");
    }
    let uses_mediators = settings.uses_mediators();
    if settings.detection != Detection::Link && settings.failover != Failover::Automatic {
        return wrong("detection", "nobody looks but with failover = \"automatic\"");
    }
    if settings.fencing == Fencing::Lease && !uses_mediators {
        return wrong("fencing", "a lease is granted by mediators: set detection = \"mediator\"");
    }
    let by_others = uses_mediators || settings.detection == Detection::Client;
    if settings.fencing == Fencing::Stonith
        && (by_others || settings.failover != Failover::Automatic)
    {
        return wrong(
            "fencing",
            "stonith: it is for failover = \"automatic\" with detection = \"link\" or \"probe\"",
        );
    }
    if settings.joining.is_some() && settings.nodes == 1 {
        return wrong("join", "a new node copies from another: set nodes to 2 or more");
    }
    if settings.moves.is_some() && settings.nodes == 1 {
        return wrong("move", "there is no other node: set nodes to 2 or more");
    }
    if settings.moves.is_some() && settings.failover != Failover::None {
        return wrong("move", "it is for failover = \"none\": else a failover may come between");
    }
    if settings.upgrade.is_some() && settings.nodes == 1 {
        return wrong("upgrade", "there is no replica that reads the log: set nodes to 2 or more");
    }
    if settings.log == LogForm::Statement && settings.condition == Condition::Always {
        return wrong("log", "statement: needs condition = \"now\" or \"rand\"");
    }
    if !waits && settings.bug == Bug::DirtyAck {
        return wrong(
            "bug",
            "dirty-ack: with replication = \"async\" no write waits for replicas: use semi or sync",
        );
    }
    if settings.fsync != Fsync::Always && settings.bug == Bug::LostFsync {
        return wrong("bug", "lost-fsync: needs fsync = \"always\"");
    }
    Ok(())
}
