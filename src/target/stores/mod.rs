//! Stores that are spoken to in a protocol of their own, behind one [`Adapter`] trait.
//!
//! What all of them keep to:
//! - One client of one process at one node has one connection. There is no pool, nothing reconnects
//!   behind the client's back and nothing is sent twice: a request that may have left is `info`, and
//!   the client with its connection is dropped.
//! - A connection that cannot be made is `fail`: nothing was sent. It gets half of the time limit of
//!   the operation, so that it fails before the operation is given up.
//! - Each run has keys of its own (`RUN/key`), so it does not matter what older runs left behind; they
//!   are removed after it where the adapter knows how.
//! - Values travel as JSON text.

#![cfg_attr(
    not(feature = "stores"),
    allow(
        dead_code,
        unused_imports,
        unreachable_patterns,
        reason = "what only some adapters need"
    )
)]

mod conformance;
mod kinds;
#[cfg(feature = "tarantool")]
mod msgpack;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "nats")]
mod nats;
mod none;
mod options;
#[cfg(feature = "postgres")]
mod postgres;
mod process;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod sql;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod sql_text;
#[cfg(feature = "tarantool")]
mod tarantool;
#[cfg(feature = "zookeeper")]
mod zookeeper;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::model::{Function, Mop, Op, Outcome, Process, Value};
use crate::target::client::{Answer, Client, unanswered};
use crate::target::config::TargetConfig;
use crate::target::http::{HttpAdapter, name_of_run};

pub use conformance::{Conformance, conformance};
pub use kinds::AdapterKind;
pub(super) use kinds::{ALL, Addresses};
pub(super) use options::{
    NatsOptions, ProcessOptions, RabbitmqOptions, RedisOptions, SqlOptions, TarantoolOptions,
    ZookeeperOptions,
};

/// Something asked of a node, under way.
pub(super) type Asking<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who speaks to the nodes of a target.
pub(super) trait Adapter: Send + Sync {
    /// The client of a process at a node. An error means that nothing was sent.
    fn client(
        self: Arc<Self>,
        process: Process,
        node: &Arc<str>,
    ) -> Result<Box<dyn Client>, String>;

    /// Somebody who asks a node how it is, beside the clients.
    fn probe(self: Arc<Self>, node: &Arc<str>) -> Result<Box<dyn Probe>, String>;

    /// Whether a node can say that it is the primary.
    fn knows_primaries(&self) -> bool;

    /// What is done at a node that is ready, once before the run, until one of them accepts it.
    fn prepare<'a>(&'a self, _node: &'a Arc<str>) -> Asking<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    /// Removes what the run has left under these keys, at a node that lets it. Who does not know how
    /// leaves it there; the keys of a run are its own.
    fn clear<'a>(
        self: Arc<Self>,
        _node: &'a Arc<str>,
        _keys: &'a [Value],
    ) -> Asking<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

/// A question to one node, on a connection of its own.
pub(super) trait Probe: Send {
    /// Whether it can be driven; the error says what it lacks.
    fn ready(&mut self) -> Asking<'_, Result<(), String>>;

    /// Whether it says that it is the primary: its term, of which the highest counts; 0 where the
    /// store tells none.
    fn leads(&mut self) -> Asking<'_, Option<u64>>;
}

/// What the adapters to stores share: where the nodes are, and what is known of the run.
pub(super) struct Site {
    addresses: BTreeMap<Arc<str>, String>,
    connect_timeout: Duration,
    run: String,
    seen: OnceLock<Object>,
}

/// What the keys of a run are. A workload has objects of one kind; a read does not say of which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Register,
    List,
    Set,
    Counter,
    Bank,
    Queue,
}

impl Object {
    /// What a key is to which that is done.
    pub(super) fn of(function: Function) -> Option<Self> {
        match function {
            Function::Write => Some(Self::Register),
            Function::Append => Some(Self::List),
            Function::Add | Function::Remove => Some(Self::Set),
            Function::Increment => Some(Self::Counter),
            Function::InitBank | Function::Transfer => Some(Self::Bank),
            Function::Enqueue | Function::Dequeue => Some(Self::Queue),
            _ => None,
        }
    }
}

impl Site {
    fn new(config: &TargetConfig) -> Self {
        let object = config.does.iter().find_map(|function| Object::of(*function));
        Self {
            addresses: config.nodes().map(|(name, address)| (name, address.to_owned())).collect(),
            connect_timeout: config.connect_timeout(),
            run: config.run.clone().unwrap_or_else(name_of_run),
            seen: object.map_or_else(OnceLock::new, OnceLock::from),
        }
    }

    fn address(&self, node: &Arc<str>) -> Result<&str, String> {
        let address = self.addresses.get(node).map(String::as_str);
        address.ok_or_else(|| format!("no node is called {node}"))
    }

    /// A key of this run, as text.
    fn key(&self, key: &Value) -> String {
        match key {
            Value::Text(text) => format!("{}/{text}", self.run),
            other => format!("{}/{}", self.run, json(other)),
        }
    }

    /// The kind of the objects of the run, as its workload says. Where none does, after a look at this operation:
    /// before anything was ever written it is a register, as there is nothing to read, whatever it will be.
    fn object(&self, op: &Op) -> Object {
        if let Some(seen) = self.seen.get() {
            return *seen;
        }
        match op.mops.iter().find_map(|mop| Object::of(mop.function)) {
            Some(object) => *self.seen.get_or_init(|| object),
            None => Object::Register,
        }
    }
}

/// Why an operation is not ok.
enum End {
    /// It certainly did nothing, and the connection is sound.
    Nothing(String),
    /// It certainly did nothing, as nothing that writes was sent on the connection that broke.
    Unsent(String),
    /// Nobody knows what it did.
    Unknown(String),
}

/// What is recorded of an operation that ended so, and whether its connection is sound.
fn answered(op: &Op, ended: Result<Answer, End>) -> (Answer, bool) {
    match ended {
        Ok(answer) => (answer, true),
        Err(End::Nothing(why)) => (Outcome::Fail(why).into(), true),
        Err(End::Unsent(why)) => (Outcome::Fail(why).into(), false),
        Err(End::Unknown(why)) => (unanswered(op, why).into(), false),
    }
}

/// A value as it travels.
fn json(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A value that has travelled.
fn parsed(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|_| format!("{text:?} is no JSON"))
}

/// What a transfer moves: from, to, how much, and whether the account may be overdrawn.
struct Transfer<'a> {
    from: &'a Value,
    to: &'a Value,
    amount: i64,
    overdraft: bool,
}

impl<'a> Transfer<'a> {
    fn of(mop: &'a Mop) -> Option<Self> {
        let Value::Map(entries) = &mop.value else { return None };
        let find = |name: &str| {
            entries.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
        };
        Some(Self {
            from: find("from")?,
            to: find("to")?,
            amount: find("amount")?.as_int()?,
            overdraft: find("overdraft") == Some(&Value::Bool(true)),
        })
    }
}

/// The adapter of a target. What is secret is looked up in the environment.
pub(super) fn adapter(
    config: &TargetConfig,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Arc<dyn Adapter>, String> {
    match config.adapter {
        AdapterKind::Http => Ok(Arc::new(HttpAdapter::new(config, environment)?)),
        AdapterKind::None => Ok(Arc::new(none::NoStore)),
        AdapterKind::Process => Ok(Arc::new(process::ProcessAdapter::new(config)?)),
        #[cfg(feature = "tarantool")]
        AdapterKind::Tarantool => Ok(Arc::new(tarantool::TarantoolAdapter::new(config))),
        #[cfg(feature = "nats")]
        AdapterKind::Nats => Ok(Arc::new(nats::NatsAdapter::new(config))),
        #[cfg(feature = "zookeeper")]
        AdapterKind::Zookeeper => Ok(Arc::new(zookeeper::ZookeeperAdapter::new(config))),
        #[cfg(feature = "rabbitmq")]
        AdapterKind::Rabbitmq => Ok(Arc::new(rabbitmq::RabbitmqAdapter::new(config, environment)?)),
        #[cfg(feature = "redis")]
        AdapterKind::Redis => Ok(Arc::new(redis::RedisAdapter::new(config, environment)?)),
        #[cfg(feature = "postgres")]
        AdapterKind::Postgres => {
            let options = config.postgres.as_ref().map(|one| one.get_ref().clone());
            let options = options.unwrap_or_default();
            let dialect = postgres::Postgres::new(&options, environment)?;
            Ok(Arc::new(sql::SqlAdapter::new(config, options, dialect)))
        }
        #[cfg(feature = "mysql")]
        AdapterKind::Mysql => {
            let options = config.mysql.as_ref().map(|one| one.get_ref().clone());
            let options = options.unwrap_or_default();
            let dialect = mysql::Mysql::new(&options, environment)?;
            Ok(Arc::new(sql::SqlAdapter::new(config, options, dialect)))
        }
        #[cfg(not(feature = "stores"))]
        other => {
            let name = other.name();
            Err(format!("this build has no adapter {name}; build with the feature `{name}`"))
        }
    }
}

/// The connection that is held, or a new one.
async fn held_or_new<C>(
    held: Option<C>,
    connect: impl Future<Output = Result<C, String>>,
) -> Result<C, String> {
    match held {
        Some(connection) => Ok(connection),
        None => connect.await,
    }
}

/// A variable of the environment that must be there.
fn secret(
    variable: Option<&String>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, String> {
    let look_up = |name: &String| {
        environment(name).ok_or_else(|| format!("the environment has no variable {name}"))
    };
    variable.map(look_up).transpose()
}

/// Asks within the time that a connection may take.
async fn in_time<T, E: std::fmt::Display>(
    limit: Duration,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("cannot connect: {error}")),
        Err(_) => Err(format!("cannot connect within {} ms", limit.as_millis())),
    }
}
