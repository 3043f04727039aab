//! The options of the adapters: the section of a target file that bears an adapter's name.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::model::Function;
use crate::target::config::{Patience, unknown};
use crate::target::stores::ALL;

/// `[redis]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::target) struct RedisOptions {
    /// The user, if not the default one.
    pub user: Option<String>,
    /// The variable of the environment that holds the password.
    pub password_variable: Option<String>,
    /// After each write, how many replicas must have acknowledged it for it to be `ok`.
    pub wait: Option<WaitOptions>,
    /// Who is asked for the address of the primary.
    pub sentinel: Option<SentinelOptions>,
}

/// `wait = { replicas = 2, timeout = "300ms" }`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::target) struct WaitOptions {
    pub replicas: u8,
    #[serde(default)]
    pub timeout: Patience<300>,
}

/// `sentinel = { primary = "mymaster", port = 26379, refresh = "1s" }`: the Sentinel beside a node is
/// asked, by each client for itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::target) struct SentinelOptions {
    /// The name by which the Sentinels know the primary.
    pub primary: String,
    /// Where the Sentinel of a node listens, on the node's own address.
    #[serde(default = "sentinel_port")]
    pub port: u16,
    /// How long a client goes on with the address that it was told.
    #[serde(default)]
    pub refresh: Patience<1_000>,
}

fn sentinel_port() -> u16 {
    26_379
}

/// `[postgres]` and `[mysql]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::target) struct SqlOptions {
    /// `postgres` or `root` if not said.
    pub user: Option<String>,
    /// The variable of the environment that holds the password.
    pub password_variable: Option<String>,
    /// `postgres` or `test` if not said.
    pub database: Option<String>,
    /// The level of every transaction; the server's default if not said.
    pub isolation: Option<Isolation>,
    /// How what depends on what is there is written.
    #[serde(default)]
    pub update: Update,
    /// Whether a transaction that writes locks what it reads.
    #[serde(default)]
    pub select_for_update: bool,
    /// Variables of the session, set on each connection: `wsrep_sync_wait = 1`.
    #[serde(default)]
    pub session: BTreeMap<String, toml::Value>,
}

/// A level of isolation of the SQL standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::target) enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    /// As SQL writes it.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read uncommitted",
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }
}

/// How an append, an increment or a transfer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::target) enum Update {
    /// By a statement that changes in place what is there.
    #[default]
    Atomic,
    /// In a transaction that reads, computes at the client, and writes the whole back.
    ReadModifyWrite,
}

impl SqlOptions {
    pub(in crate::target) fn validate(&self) -> Result<(), String> {
        for (name, value) in &self.session {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(format!("session: `{name}` is no name of a variable"));
            }
            if value.is_table() || value.is_array() || value.is_datetime() {
                return Err(format!("session: {name}: expected a text, a number or true or false"));
            }
        }
        Ok(())
    }
}

/// `[tarantool]`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::target) struct TarantoolOptions {
    /// How what depends on what is there is written.
    #[serde(default)]
    pub update: Update,
}

/// `[zookeeper]`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::target) struct ZookeeperOptions {
    /// What precedes a read on its connection; nothing if absent.
    pub before_read: Option<BeforeRead>,
}

/// What makes a read of ZooKeeper see what was written before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::target) enum BeforeRead {
    /// `sync`, which the leader does not let its own clients wait for.
    Sync,
    /// A write, of which a majority and the server that is asked know when the read begins.
    Write,
}

/// `[nats]`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::target) struct NatsOptions {
    /// How many servers keep each stream; 3 if there are as many, else 1.
    pub replicas: Option<u8>,
}

/// `[rabbitmq]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::target) struct RabbitmqOptions {
    /// `guest` if not said.
    pub user: Option<String>,
    /// The variable of the environment that holds the password; it is `guest` if not said.
    pub password_variable: Option<String>,
}

/// `[process]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::target) struct ProcessOptions {
    /// What `sh -c` is given, once for each client.
    pub command: String,
    /// Whether it can say that its node is the primary.
    #[serde(default)]
    pub primary: bool,
    /// The functions that it understands; all if not said.
    #[serde(default = "all", deserialize_with = "functions")]
    pub functions: Vec<Function>,
}

fn all() -> Vec<Function> {
    ALL.to_vec()
}

fn functions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Function>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let function = |name: &String| {
        let known = || unknown("function", name, Function::names());
        Function::from_name(name).ok_or_else(|| serde::de::Error::custom(known()))
    };
    names.iter().map(function).collect()
}
