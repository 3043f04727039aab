//! Redis, one node or many, with or without Sentinel.
//!
//! | operation | commands |
//! | --- | --- |
//! | read | `GET`, `LRANGE key 0 -1`, `SMEMBERS` or `HGETALL`, as what the run writes needs |
//! | write, cas, rmw | `SET`; a script that compares and sets (`SET … NX` where nothing is expected); `SET … GET` |
//! | append, enqueue, dequeue | `RPUSH`, `RPUSH`, `LPOP` |
//! | add, remove | `SADD`, `SREM` |
//! | increment, new-id | `INCRBY`, `INCR` |
//! | init-bank, transfer | `HSET`; a script that moves what is there |
//! | txn | the commands of its parts between `MULTI` and `EXEC` |
//!
//! - **ok**: the server answered; with `wait`, also as many replicas acknowledged as were asked for.
//! - **fail**: the connection could not be made; a comparison did not hold or a transfer is not
//!   covered; or the server refused with one of [`REFUSALS`], which it says before it executes
//!   anything, or discarded a transaction (`EXECABORT`). A read that was not answered.
//! - **info**: a write that was not answered or whose connection broke, any other error of the server
//!   (a script or an `EXEC` may have done half, and without a `MULTI` there is no transaction), or a write
//!   that too few replicas acknowledged in time: it is at the primary and may or may not survive it.
//!
//! A primary that asynchronously loses acknowledged writes answers `ok`: that is for the checker.

use std::sync::Arc;
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client as Server, Cmd, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, Value as Reply,
};

use crate::model::{Function, Invocation, Mop, Op, Outcome, Process, Value};
use crate::target::client::{Answering, Client, unanswered};
use crate::target::config::TargetConfig;
use crate::target::stores::options::{SentinelOptions, WaitOptions};
use crate::target::stores::{
    Adapter, Asking, Object, Probe, RedisOptions, Site, Transfer, in_time, json, parsed, secret,
};

/// Errors that say that a command by itself was not executed.
const REFUSALS: &[&str] = &[
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "NOREPLICAS",
    "MISCONF",
    "OOM",
    "NOAUTH",
    "NOPERM",
    "CLUSTERDOWN",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "BUSY",
];

/// Sets the key to the second argument if it holds the first.
const COMPARE_AND_SET: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1";

/// Moves the third argument from the first account to the second; the fourth allows an overdraft.
const TRANSFER: &str = "local from = redis.call('HGET', KEYS[1], ARGV[1])
local to = redis.call('HGET', KEYS[1], ARGV[2])
if not from or not to then return 0 end
if ARGV[4] == '0' and tonumber(from) < tonumber(ARGV[3]) then return 0 end
redis.call('HINCRBY', KEYS[1], ARGV[1], -ARGV[3])
redis.call('HINCRBY', KEYS[1], ARGV[2], ARGV[3])
return 1";

/// How many keys are removed by one command.
const KEYS_AT_ONCE: usize = 1_000;

/// What all clients of a target share.
pub(super) struct RedisAdapter {
    site: Site,
    login: RedisConnectionInfo,
    wait: Option<WaitOptions>,
    sentinel: Option<SentinelOptions>,
}

impl RedisAdapter {
    pub(super) fn new(
        config: &TargetConfig,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let options = config.redis.as_ref().map(|options| options.get_ref().clone());
        let options = options.unwrap_or_default();
        let mut login = RedisConnectionInfo::default();
        if let Some(user) = &options.user {
            login = login.set_username(user);
        }
        if let Some(password) = secret(options.password_variable.as_ref(), environment)? {
            login = login.set_password(password);
        }
        let RedisOptions { wait, sentinel, .. } = options;
        Ok(Self { site: Site::new(config), login, wait, sentinel })
    }

    /// A connection that neither repeats requests nor gives them up by itself.
    async fn connect(
        &self,
        address: &str,
        login: RedisConnectionInfo,
    ) -> Result<MultiplexedConnection, String> {
        let limit = self.site.connect_timeout;
        let connected = async {
            let place = format!("redis://{address}").into_connection_info()?;
            let server = Server::open(place.set_redis_settings(login))?;
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None);
            server.get_multiplexed_async_connection_with_config(&config).await
        };
        in_time(limit, connected).await
    }

    async fn connect_to_node(&self, node: &Arc<str>) -> Result<MultiplexedConnection, String> {
        self.connect(self.site.address(node)?, self.login.clone()).await
    }
}

impl Adapter for RedisAdapter {
    fn client(self: Arc<Self>, _: Process, node: &Arc<str>) -> Result<Box<dyn Client>, String> {
        let address = self.site.address(node)?.to_owned();
        let primary = Primary { address: address.clone(), asked: None };
        Ok(Box::new(RedisClient { adapter: self, node: address, primary, connection: None }))
    }

    fn probe(self: Arc<Self>, node: &Arc<str>) -> Result<Box<dyn Probe>, String> {
        Ok(Box::new(RedisProbe { adapter: self, node: node.clone() }))
    }

    fn knows_primaries(&self) -> bool {
        true
    }

    fn clear<'a>(
        self: Arc<Self>,
        node: &'a Arc<str>,
        keys: &'a [Value],
    ) -> Asking<'a, Result<(), String>> {
        Box::pin(async move {
            let mut connection = self.connect_to_node(node).await?;
            for some in keys.chunks(KEYS_AT_ONCE) {
                let mut command = redis::cmd("UNLINK");
                for key in some {
                    command.arg(self.site.key(key));
                }
                let () = command
                    .query_async(&mut connection)
                    .await
                    .map_err(|error| error.to_string())?;
            }
            Ok(())
        })
    }
}

/// One process at one node.
struct RedisClient {
    adapter: Arc<RedisAdapter>,
    /// The address of the node.
    node: String,
    primary: Primary,
    /// The connection and where it leads.
    connection: Option<(String, MultiplexedConnection)>,
}

/// What the Sentinel beside the node last said.
struct Primary {
    address: String,
    asked: Option<Instant>,
}

impl Client for RedisClient {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        Box::pin(async { self.answer(invocation).await.into() })
    }
}

impl RedisClient {
    async fn answer(&mut self, invocation: &Invocation) -> Outcome {
        let op = &invocation.op;
        let object = self.adapter.site.object(op);
        let commands = match commands(&self.adapter.site, op, object) {
            Ok(commands) => commands,
            Err(why) => return Outcome::Fail(format!("nothing was sent: {why}")),
        };
        let address = self.address(invocation).await;
        let connection = match self.connect(address).await {
            Ok(connection) => connection,
            Err(why) => return Outcome::Fail(why),
        };
        let answer = match &commands[..] {
            [one] => alone(connection, one).await,
            several => together(connection, several).await,
        };
        let replies = match answer {
            Ok(replies) => replies,
            Err(Broken::Refused(why)) => return Outcome::Fail(why),
            Err(Broken::Doubtful(why)) => {
                // An answer that comes later must not be taken for that of the next operation.
                self.connection = None;
                return unanswered(op, why);
            }
        };
        let outcome = match understood(op, object, &replies) {
            Ok(outcome) => outcome,
            Err(why) => unanswered(op, why),
        };
        match (self.adapter.wait, &outcome) {
            (Some(wait), Outcome::Ok(_)) if op.writes() => self.wait(wait, outcome).await,
            _ => outcome,
        }
    }

    /// Where an operation is sent: reads to the node, and what writes to whom Sentinel names.
    async fn address(&mut self, invocation: &Invocation) -> String {
        let Some(sentinel) = &self.adapter.sentinel else { return self.node.clone() };
        if invocation.is_final || !invocation.op.writes() {
            return self.node.clone();
        }
        let fresh = |asked: Instant| asked.elapsed() < sentinel.refresh.0;
        if !self.primary.asked.is_some_and(fresh) {
            // A Sentinel that is silent leaves the client with what it knew.
            if let Some(address) = self.ask_sentinel(sentinel).await {
                self.primary.address = address;
            }
            self.primary.asked = Some(now());
        }
        self.primary.address.clone()
    }

    async fn ask_sentinel(&self, sentinel: &SentinelOptions) -> Option<String> {
        let (host, _) = self.node.rsplit_once(':')?;
        let address = format!("{host}:{}", sentinel.port);
        let login = RedisConnectionInfo::default();
        let mut connection = self.adapter.connect(&address, login).await.ok()?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&sentinel.primary);
        let answer = question.query_async::<(String, u16)>(&mut connection);
        let limit = self.adapter.site.connect_timeout;
        let (host, port) = tokio::time::timeout(limit, answer).await.ok()?.ok()?;
        Some(format!("{host}:{port}"))
    }

    async fn connect(&mut self, address: String) -> Result<&mut MultiplexedConnection, String> {
        if self.connection.as_ref().is_none_or(|(to, _)| *to != address) {
            let connection = self.adapter.connect(&address, self.adapter.login.clone()).await?;
            self.connection = Some((address, connection));
        }
        match &mut self.connection {
            Some((_, connection)) => Ok(connection),
            None => Err("not connected".to_owned()),
        }
    }

    /// Asks for the acknowledgement of replicas, on the connection of the write.
    async fn wait(&mut self, wait: WaitOptions, outcome: Outcome) -> Outcome {
        let Some((_, connection)) = &mut self.connection else { return outcome };
        let mut question = redis::cmd("WAIT");
        question.arg(wait.replicas).arg(wait.timeout.0.as_millis() as u64);
        match question.query_async::<u64>(connection).await {
            Ok(count) if count >= u64::from(wait.replicas) => outcome,
            Ok(count) => {
                let asked = wait.replicas;
                Outcome::Info(format!("{count} of {asked} replicas acknowledged"))
            }
            Err(error) => Outcome::Info(format!("WAIT: {error}")),
        }
    }
}

/// How a request failed.
enum Broken {
    /// The server says that it executed nothing.
    Refused(String),
    /// Nobody knows what it did.
    Doubtful(String),
}

/// The reply to a command by itself.
async fn alone(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
) -> Result<Vec<Reply>, Broken> {
    let answer = command.query_async(connection).await;
    answer.map(|reply: Reply| vec![reply]).map_err(|error: RedisError| {
        let refused = error.code().is_some_and(|code| REFUSALS.contains(&code));
        let why = error.to_string();
        if refused { Broken::Refused(why) } else { Broken::Doubtful(why) }
    })
}

/// The replies to the parts of a transaction.
///
/// That none was executed is only proven by an `EXEC` that discards them: where `MULTI` is refused (to a user
/// who may not, or by a proxy that has none) each part is executed by itself. The crate's own transactions
/// call that aborted too.
async fn together(
    connection: &mut MultiplexedConnection,
    commands: &[Cmd],
) -> Result<Vec<Reply>, Broken> {
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors().cmd("MULTI");
    for one in commands {
        pipeline.add_command(one.clone());
    }
    let answer = pipeline.cmd("EXEC").query_async(connection).await;
    let mut replies: Vec<Reply> =
        answer.map_err(|error: RedisError| Broken::Doubtful(error.to_string()))?;
    let error_of = |replies: &[Reply]| {
        let mut errors = replies.iter().filter_map(|reply| match reply {
            Reply::ServerError(error) => Some(error.to_string()),
            _ => None,
        });
        errors.next()
    };
    match replies.pop() {
        Some(Reply::Array(parts)) => match error_of(&parts) {
            // The others have been executed.
            Some(why) => Err(Broken::Doubtful(why)),
            None => Ok(parts),
        },
        Some(Reply::ServerError(error)) if error.code() == "EXECABORT" => {
            Err(Broken::Refused(error_of(&replies).unwrap_or_else(|| error.to_string())))
        }
        other => {
            let why = error_of(&replies).unwrap_or_else(|| format!("no transaction: {other:?}"));
            Err(Broken::Doubtful(why))
        }
    }
}

/// What is sent for an operation: a command for each micro-operation, one for a cas or rmw.
fn commands(site: &Site, op: &Op, object: Object) -> Result<Vec<Cmd>, String> {
    let key = site.key(op.key());
    let value = |at: usize| op.mops.get(at).map_or(&Value::Null, |mop| &mop.value);
    match op.function {
        Function::Cas if *value(0) == Value::Null => {
            let mut command = redis::cmd("SET");
            command.arg(key).arg(json(value(1))).arg("NX");
            Ok(vec![command])
        }
        Function::Cas => {
            let mut command = redis::cmd("EVAL");
            command.arg(COMPARE_AND_SET).arg(1).arg(key).arg(json(value(0))).arg(json(value(1)));
            Ok(vec![command])
        }
        Function::Rmw => {
            let mut command = redis::cmd("SET");
            command.arg(key).arg(json(value(1))).arg("GET");
            Ok(vec![command])
        }
        _ => op.mops.iter().map(|mop| command(site, mop, object)).collect(),
    }
}

fn command(site: &Site, mop: &Mop, object: Object) -> Result<Cmd, String> {
    let with = |name: &str| {
        let mut command = redis::cmd(name);
        command.arg(site.key(&mop.key));
        command
    };
    let taking = |name: &str| {
        let mut command = with(name);
        command.arg(json(&mop.value));
        command
    };
    Ok(match mop.function {
        Function::Read => match object {
            Object::Register | Object::Counter => with("GET"),
            Object::Set => with("SMEMBERS"),
            Object::Bank => with("HGETALL"),
            Object::List | Object::Queue => {
                let mut command = with("LRANGE");
                command.arg(0).arg(-1);
                command
            }
        },
        Function::Write => taking("SET"),
        Function::Append | Function::Enqueue => taking("RPUSH"),
        Function::Dequeue => with("LPOP"),
        Function::Add => taking("SADD"),
        Function::Remove => taking("SREM"),
        Function::Increment => taking("INCRBY"),
        Function::NewId => with("INCR"),
        Function::InitBank => {
            let Value::Map(accounts) = &mop.value else { return Err("no balances".to_owned()) };
            let mut command = with("HSET");
            for (account, balance) in accounts.iter() {
                command.arg(json(account)).arg(json(balance));
            }
            command
        }
        Function::Transfer => {
            let transfer = Transfer::of(mop).ok_or("no transfer")?;
            let mut command = redis::cmd("EVAL");
            command.arg(TRANSFER).arg(1).arg(site.key(&mop.key));
            command.arg(json(transfer.from)).arg(json(transfer.to)).arg(transfer.amount);
            command.arg(u8::from(transfer.overdraft));
            command
        }
        other => return Err(format!("Redis has no {}", other.name())),
    })
}

/// What the replies to an operation mean; the error says what cannot be read.
fn understood(op: &Op, object: Object, replies: &[Reply]) -> Result<Outcome, String> {
    let first = replies.first().unwrap_or(&Reply::Nil);
    let mut mops = op.mops.clone();
    match (op.function, first) {
        (Function::Cas, Reply::Int(0) | Reply::Nil) => {
            return Ok(Outcome::Fail("the register holds another value".to_owned()));
        }
        (Function::Transfer, Reply::Int(0)) => {
            return Ok(Outcome::Fail("the transfer is not covered".to_owned()));
        }
        (Function::Cas, _) => {}
        (Function::Rmw, old) => mops[0].value = value(Object::Register, old)?,
        _ => {
            if mops.len() != replies.len() {
                return Err(format!("{} answers to {} parts", replies.len(), mops.len()));
            }
            for (mop, reply) in mops.iter_mut().zip(replies) {
                match mop.function {
                    Function::Read => mop.value = value(object, reply)?,
                    Function::Dequeue | Function::NewId => {
                        mop.value = value(Object::Register, reply)?;
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(Outcome::Ok(mops))
}

/// The value of an object that was read.
fn value(object: Object, reply: &Reply) -> Result<Value, String> {
    let text = |reply: &Reply| match reply {
        Reply::BulkString(bytes) => parsed(&String::from_utf8_lossy(bytes)),
        Reply::SimpleString(text) => parsed(text),
        Reply::Int(number) => Ok(Value::Int(*number)),
        other => Err(format!("unexpected answer {other:?}")),
    };
    match (object, reply) {
        (Object::Counter, Reply::Nil) => Ok(Value::Int(0)),
        (_, Reply::Nil) => Ok(Value::Null),
        (Object::Bank, Reply::Array(items)) if items.is_empty() => Ok(Value::Null),
        (Object::Bank, Reply::Array(items)) => {
            let entries = items.chunks_exact(2).map(|pair| Ok((text(&pair[0])?, text(&pair[1])?)));
            let mut entries = entries.collect::<Result<Vec<_>, String>>()?;
            entries.sort();
            Ok(Value::Map(entries.into()))
        }
        (_, Reply::Array(items) | Reply::Set(items)) => {
            Ok(Value::List(items.iter().map(text).collect::<Result<_, _>>()?))
        }
        (_, one) => text(one),
    }
}

/// Asks a node how it is, on a new connection each time.
struct RedisProbe {
    adapter: Arc<RedisAdapter>,
    node: Arc<str>,
}

impl Probe for RedisProbe {
    fn ready(&mut self) -> Asking<'_, Result<(), String>> {
        Box::pin(async {
            let mut connection = self.adapter.connect_to_node(&self.node).await?;
            let answer: Result<Reply, _> = redis::cmd("PING").query_async(&mut connection).await;
            answer.map(|_| ()).map_err(|error| error.to_string())
        })
    }

    /// `ROLE` says `master`. Of several the one with the most replicas counts: a deposed primary loses
    /// them.
    fn leads(&mut self) -> Asking<'_, Option<u64>> {
        Box::pin(async {
            let mut connection = self.adapter.connect_to_node(&self.node).await.ok()?;
            let answer: Reply = redis::cmd("ROLE").query_async(&mut connection).await.ok()?;
            let Reply::Array(parts) = answer else { return None };
            let is_primary = matches!(parts.first()?, Reply::BulkString(role) if role == b"master");
            match parts.get(2)? {
                Reply::Array(replicas) if is_primary => Some(replicas.len() as u64),
                _ => None,
            }
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "the address of the primary grows old in real time")]
fn now() -> Instant {
    Instant::now()
}
