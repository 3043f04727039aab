//! What can be set of the store `primary-replica`.

use super::handover::Move;
use super::join::{Joining, Snapshot};
use super::lines;
use super::refusals::{refuse_nonsense, refuse_switchover};
use super::{
    Bug, Detection, Failover, Fencing, LogForm, OldPrimary, Replication, Resume, Settings,
};
use crate::model::Nanos;
use crate::sim::NodeId;
use crate::store::OptionError;
use crate::store::cache::{self, Form};
use crate::store::catalogue::{
    BUG, CLIENT_TIMEOUT, DATA_CENTERS, DISTANCE, DUPLICATION, DURATION, FSYNC, LATENCIES, LATENCY,
    LOSS, LOST_FSYNC, NODES, OptionInfo, REORDERING, StoreInfo, bug, option,
};
use crate::store::options::Options;
use crate::store::routing::Reads;
use crate::store::statement::{Condition, NewIds};
use crate::store::target::{Address, Cluster, Operator, Successor, Switchover};

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
        "async | semi | remote | sync",
        "a write is acknowledged by the primary alone, with one replica, with one in another data centre, or with all",
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
        "status-channels",
        "1",
        "1 to 3",
        "detection = link: over how many channels the primary says that it runs; the others are status-2 and status-3",
    ),
    option(
        "silent-channels",
        "all",
        "any | majority | all",
        "how many of them have to be silent for the primary to be taken for dead",
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
        "address",
        "hint",
        "hint | arp | file | map",
        "how clients know the primary: the last answer pointed to it, whoever holds its address answers first, a file says so that people change one after the other, or the first mediator told them",
    ),
    option("address-age", "5s", DURATION, "how long they go on with it, but for hints"),
    option(
        "re-entry",
        "never",
        "never | a duration such as 2s",
        "after a failover people enter again what was acknowledged in so long a time before it",
    ),
    option(
        "idempotence",
        "none",
        "none | keys",
        "what is entered again is done again, or known by the key of its request",
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
        "cross-shard",
        "refuse",
        "refuse | split",
        "a transaction over several shards is refused, or each does its part by itself",
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
        "new-ids",
        "sequence",
        "sequence | now | uuid",
        "what a new id is: the next number, now() or uuid(), as the server evaluates it",
    ),
    option(
        "log",
        "row",
        "row | statement | physical | physical-unchecked",
        "what the log says of a write: what came of it, its statement, which every node evaluates for itself, or the bytes on disk, which only the same version can read; unchecked, another one misreads them",
    ),
    option(
        "apply",
        "ordered",
        "ordered | parallel",
        "a replica does what the log says in its order, or with two workers, of which one may be late",
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
    DATA_CENTERS,
    DISTANCE,
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
    let status_channels = options.count("status-channels", 1, lines::MOST)?;
    let settings = Settings {
        nodes: options.count("nodes", 1, 9)?,
        replication: options.choice(
            "replication",
            &[
                ("async", Replication::Async),
                ("semi", Replication::Semi),
                ("remote", Replication::Remote),
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
        status_channels,
        silent_needed: options.choice(
            "silent-channels",
            &[("any", 1), ("majority", status_channels / 2 + 1), ("all", status_channels)],
        )?,
        shares_channel: options.choice("status-channel", &[("own", false), ("shared", true)])?,
        old_primary: options.choice(
            "old-primary",
            &[("demote+truncate", OldPrimary::Truncate), ("keep", OldPrimary::Keep)],
        )?,
        lag: options.latency("lag")?,
        sites: options.sites()?,
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
                ("physical-unchecked", LogForm::PhysicalUnchecked),
            ],
        )?,
        new_ids: options.choice(
            "new-ids",
            &[("sequence", NewIds::Sequence), ("now", NewIds::Now), ("uuid", NewIds::Uuid)],
        )?,
        has_two_workers: options.choice("apply", &[("ordered", false), ("parallel", true)])?,
        is_idempotent: options.choice("idempotence", &[("none", false), ("keys", true)])?,
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
    let splits = options.choice("cross-shard", &[("refuse", false), ("split", true)])?;
    if splits && shards == 1 {
        return Err(OptionError::of("cross-shard", "there is one shard: set shards to 2 or more"));
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
        address: address(options, mediators)?,
        re_entry: re_entry(options, &settings)?,
        splits,
        switchover,
        timeouts_fail: options.choice("timeouts", &[("unknown", false), ("failed", true)])?,
    };
    Ok((settings, cluster))
}

fn address(options: &Options<'_>, mediators: u8) -> Result<Address, OptionError> {
    let age = options.duration("address-age")?;
    let kinds = [
        ("hint", Address::Hint),
        ("arp", Address::Arp(age)),
        ("file", Address::File(age)),
        ("map", Address::Map(age)),
    ];
    let address = options.choice("address", &kinds)?;
    if matches!(address, Address::Map(_)) && mediators == 0 {
        let why = "map: there is no mediator to ask: set detection = \"mediator\"";
        return Err(OptionError::of("address", why));
    }
    Ok(address)
}

fn re_entry(options: &Options<'_>, settings: &Settings) -> Result<Option<Nanos>, OptionError> {
    let re_entry = options.duration_or("re-entry", "never")?;
    if re_entry.is_some() && settings.failover == Failover::None {
        let why = "there is no failover to enter anything after: set failover";
        return Err(OptionError::of("re-entry", why));
    }
    Ok(re_entry)
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
