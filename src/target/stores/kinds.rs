//! The adapters, as a table.

use serde::Deserialize;

use crate::model::Function;

/// Who speaks to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// Requests by template, answers by rule.
    Http,
    /// Redis.
    Redis,
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// Tarantool.
    Tarantool,
    /// ZooKeeper.
    Zookeeper,
    /// NATS JetStream.
    Nats,
    /// RabbitMQ.
    Rabbitmq,
    /// A command of the user's, one process a client.
    Process,
    /// Nobody: every operation is answered at once.
    None,
}

/// What an address of a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::target) enum Addresses {
    Url,
    HostAndPort,
    /// What the user's own command makes of it.
    Any,
}

/// A row of the table of adapters.
struct Row {
    kind: AdapterKind,
    name: &'static str,
    about: &'static str,
    addresses: Addresses,
    is_built: bool,
    functions: &'static [Function],
}

const REDIS: &[Function] = {
    use Function as F;
    &[
        F::Read,
        F::Write,
        F::Cas,
        F::Rmw,
        F::Append,
        F::Add,
        F::Remove,
        F::Increment,
        F::InitBank,
        F::Transfer,
        F::NewId,
        F::Enqueue,
        F::Dequeue,
        F::Txn,
    ]
};
const SQL: &[Function] = {
    use Function as F;
    &[
        F::Read,
        F::Write,
        F::Cas,
        F::Rmw,
        F::Append,
        F::Add,
        F::Remove,
        F::Increment,
        F::InitBank,
        F::Transfer,
        F::NewId,
        F::Txn,
    ]
};
const TARANTOOL: &[Function] = {
    use Function as F;
    &[F::Read, F::Write, F::Cas, F::Rmw, F::Append, F::Add, F::Remove, F::Increment]
};
const ZOOKEEPER: &[Function] = {
    use Function as F;
    &[F::Read, F::Write, F::Cas, F::Rmw, F::Append, F::Add, F::Remove, F::Increment, F::NewId]
};
const NATS: &[Function] = {
    use Function as F;
    &[F::Read, F::Write, F::Cas, F::Rmw, F::Append, F::Add, F::NewId]
};
/// What can be asked of a command, or of nobody.
pub(in crate::target) const ALL: &[Function] = {
    use Function as F;
    &[
        F::Read,
        F::Write,
        F::Cas,
        F::Rmw,
        F::Append,
        F::Add,
        F::Remove,
        F::Increment,
        F::Enqueue,
        F::Dequeue,
        F::Push,
        F::Pop,
        F::Insert,
        F::Poll,
        F::Peek,
        F::Acquire,
        F::Release,
        F::NewId,
        F::Put,
        F::Get,
        F::Leader,
        F::Init,
        F::Buy,
        F::Level,
        F::InitBank,
        F::Transfer,
        F::Txn,
    ]
};

const ROWS: &[Row] = &[
    Row {
        kind: AdapterKind::Http,
        name: "http",
        about: "any store with an HTTP interface, described by the target file",
        addresses: Addresses::Url,
        is_built: true,
        functions: &[],
    },
    Row {
        kind: AdapterKind::Redis,
        name: "redis",
        about: "Redis: registers, lists, sets, counters, queues, banks, ids; WAIT; Sentinel",
        addresses: Addresses::HostAndPort,
        is_built: cfg!(feature = "redis"),
        functions: REDIS,
    },
    Row {
        kind: AdapterKind::Postgres,
        name: "postgres",
        about: "PostgreSQL: registers, lists, sets, counters, banks, ids and transactions",
        addresses: Addresses::HostAndPort,
        is_built: cfg!(feature = "postgres"),
        functions: SQL,
    },
    Row {
        kind: AdapterKind::Mysql,
        name: "mysql",
        about: "MySQL and MariaDB, Galera too: as postgres",
        addresses: Addresses::HostAndPort,
        is_built: cfg!(feature = "mysql"),
        functions: SQL,
    },
    Row {
        kind: AdapterKind::Tarantool,
        name: "tarantool",
        about: "Tarantool: registers, lists, sets and counters",
        addresses: Addresses::HostAndPort,
        is_built: cfg!(feature = "tarantool"),
        functions: TARANTOOL,
    },
    Row {
        kind: AdapterKind::Zookeeper,
        name: "zookeeper",
        about: "ZooKeeper: registers, lists, sets, counters and ids, with and without sync",
        addresses: Addresses::HostAndPort,
        is_built: cfg!(feature = "zookeeper"),
        functions: ZOOKEEPER,
    },
    Row {
        kind: AdapterKind::Nats,
        name: "nats",
        about: "NATS JetStream: registers, lists, sets and ids",
        addresses: Addresses::HostAndPort,
        is_built: cfg!(feature = "nats"),
        functions: NATS,
    },
    Row {
        kind: AdapterKind::Rabbitmq,
        name: "rabbitmq",
        about: "RabbitMQ: quorum queues",
        addresses: Addresses::HostAndPort,
        is_built: cfg!(feature = "rabbitmq"),
        functions: &[Function::Enqueue, Function::Dequeue],
    },
    Row {
        kind: AdapterKind::Process,
        name: "process",
        about: "a command of your own in any language: JSON lines on its input and output",
        addresses: Addresses::Any,
        is_built: true,
        functions: &[],
    },
    Row {
        kind: AdapterKind::None,
        name: "none",
        about: "no store: every operation is answered at once, to measure rashomon itself",
        addresses: Addresses::Any,
        is_built: true,
        functions: ALL,
    },
];

impl AdapterKind {
    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.kind == self).unwrap_or(&ROWS[0])
    }

    /// Its name in a target file.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What it speaks to, in a line.
    pub fn about(self) -> &'static str {
        self.row().about
    }

    /// Every adapter of this build, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().filter(|row| row.is_built).map(|row| row.kind)
    }

    pub(in crate::target) fn addresses(self) -> Addresses {
        self.row().addresses
    }

    /// What it knows how to ask for, where that is not described in the target file.
    pub(in crate::target) fn functions(self) -> &'static [Function] {
        self.row().functions
    }
}
