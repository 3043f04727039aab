//! ZooKeeper: its binary protocol (jute), in a small client of our own.
//!
//! A key is a node below `/rashomon/RUN`, which holds its value as JSON.
//!
//! | operation | requests |
//! | --- | --- |
//! | read | `getData`; with `sync = true` a `sync` before it, on the same connection |
//! | write | `setData` of any version; `create` where there is no node |
//! | cas, rmw, append, add, remove, increment | `getData`, then `setData` of the version that was read, or `create` |
//! | new-id | `create` of a sequential node |
//!
//! A server without `sync` answers reads from what it has, which may be old. Reads and writes carry the
//! store's own version, the zxid of the write.
//!
//! - **ok**: the server answered without an error: a majority has the write.
//! - **fail**: no connection or session; an error of [`REFUSALS`], such as a version that is not the one
//!   that was read, or a node that is there already: nothing is tried again; whatever broke before the
//!   request that writes was sent. A read that was not answered.
//! - **info**: a write that was not answered, or was answered by any other error.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::model::{Function, Invocation, Op, Outcome, Process, Value};
use crate::target::client::{Answer, Answering, Client};
use crate::target::config::TargetConfig;
use crate::target::stores::jute::{Jute, buffer, frame, int, long};
use crate::target::stores::{
    Adapter, Asking, End, Object, Probe, Site, answered, in_time, json, parsed,
};

/// Errors that say that nothing was done: no such node, not allowed, another version, a node that is
/// there already, bad arguments, unimplemented, no session, a session that moved, read only, throttled.
const REFUSALS: &[i32] = &[-101, -102, -103, -110, -8, -6, -112, -118, -119, -127];
const NO_NODE: i32 = -101;
const NODE_EXISTS: i32 = -110;

/// How long a session shall outlive its connection.
const SESSION_MS: i32 = 10_000;

/// The codes of requests.
const CREATE: i32 = 1;
const GET_DATA: i32 = 4;
const SET_DATA: i32 = 5;
const SYNC: i32 = 9;

/// What all clients of a target share.
pub(super) struct ZookeeperAdapter {
    site: Site,
    sync: bool,
}

impl ZookeeperAdapter {
    pub(super) fn new(config: &TargetConfig) -> Self {
        let sync = config.zookeeper.as_ref().is_some_and(|options| options.get_ref().sync);
        Self { site: Site::new(config), sync }
    }

    async fn connect(&self, node: &Arc<str>) -> Result<Connection, String> {
        let address = self.site.address(node)?;
        let connected = in_time(self.site.connect_timeout, async {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut hello = Jute::default();
            // Protocol version, last zxid seen, time-out, no session yet, its password, read only.
            hello.int(0).long(0).int(SESSION_MS).long(0).buffer(&[0; 16]);
            hello.0.push(0);
            stream.write_all(&hello.framed()).await?;
            let answer = frame(&mut stream).await?;
            let mut answer = &answer[..];
            let (_, timeout) = (int(&mut answer), int(&mut answer));
            Ok::<_, std::io::Error>((stream, timeout))
        });
        match connected.await? {
            (stream, Some(timeout)) if timeout > 0 => {
                let lasts = Duration::from_millis(timeout.unsigned_abs().into());
                Ok(Connection { stream, xid: 0, lasts, used: now() })
            }
            _ => Err("cannot connect: no session".to_owned()),
        }
    }

    fn folder(&self) -> String {
        format!("/rashomon/{}", self.site.run)
    }

    fn path(&self, key: &Value) -> String {
        format!("{}/{}", self.folder(), BASE64_URL_SAFE_NO_PAD.encode(json(key)))
    }
}

impl Adapter for ZookeeperAdapter {
    fn client(self: Arc<Self>, _: Process, node: &Arc<str>) -> Result<Box<dyn Client>, String> {
        Ok(Box::new(ZookeeperClient { adapter: self, node: node.clone(), connection: None }))
    }

    fn probe(self: Arc<Self>, node: &Arc<str>) -> Result<Box<dyn Probe>, String> {
        let address = self.site.address(node)?.to_owned();
        Ok(Box::new(ZookeeperProbe { address }))
    }

    fn knows_primaries(&self) -> bool {
        true
    }

    /// Makes the folder of the run.
    fn prepare<'a>(&'a self, node: &'a Arc<str>) -> Asking<'a, Result<(), String>> {
        Box::pin(async {
            let mut connection = self.connect(node).await?;
            for path in ["/rashomon", &self.folder()] {
                match connection.create(path, "", 0).await {
                    Ok(_) | Err(Broken::Code(NODE_EXISTS)) => {}
                    Err(broken) => return Err(format!("{path}: {}", broken.told())),
                }
            }
            Ok(())
        })
    }
}

/// How a request failed.
enum Broken {
    /// The server says so.
    Code(i32),
    /// The connection is of no use any more.
    Lost(String),
}

impl Broken {
    fn told(self) -> String {
        match self {
            Self::Code(code) => format!("error {code}"),
            Self::Lost(why) => why,
        }
    }
}

/// A session of its own.
struct Connection {
    stream: TcpStream,
    xid: i32,
    /// Nothing keeps the session alive but requests: after so long it is over.
    lasts: Duration,
    used: Instant,
}

impl Connection {
    fn is_fresh(&self) -> bool {
        self.used.elapsed() < self.lasts / 3
    }

    /// The zxid and the rest of the answer.
    async fn ask(&mut self, code: i32, body: &Jute) -> Result<(i64, Vec<u8>), Broken> {
        self.xid += 1;
        self.used = now();
        let mut request = Jute::default();
        request.int(self.xid).int(code);
        request.0.extend_from_slice(&body.0);
        let lost = |error: std::io::Error| Broken::Lost(error.to_string());
        self.stream.write_all(&request.framed()).await.map_err(lost)?;
        let answer = frame(&mut self.stream).await.map_err(lost)?;
        let mut rest = &answer[..];
        match (int(&mut rest), long(&mut rest), int(&mut rest)) {
            (Some(xid), Some(zxid), Some(0)) if xid == self.xid => Ok((zxid, rest.to_vec())),
            (Some(xid), _, Some(error)) if xid == self.xid => Err(Broken::Code(error)),
            _ => Err(Broken::Lost("an answer to another request".to_owned())),
        }
    }

    /// The path that was made, and the zxid.
    async fn create(
        &mut self,
        path: &str,
        data: &str,
        flags: i32,
    ) -> Result<(i64, String), Broken> {
        let mut body = Jute::default();
        // One entry of access control: whoever it is may do all.
        body.buffer(path.as_bytes()).buffer(data.as_bytes());
        body.int(1).int(31).buffer(b"world").buffer(b"anyone").int(flags);
        let (zxid, answer) = self.ask(CREATE, &body).await?;
        let made = buffer(&mut &answer[..]).unwrap_or_default();
        Ok((zxid, String::from_utf8_lossy(&made).into_owned()))
    }

    /// What a node holds, its version, and the zxid of the write; nothing if there is no node.
    async fn get(&mut self, path: &str) -> Result<Option<Held>, Broken> {
        let mut body = Jute::default();
        body.buffer(path.as_bytes());
        body.0.push(0);
        let answer = match self.ask(GET_DATA, &body).await {
            Ok((_, answer)) => answer,
            Err(Broken::Code(NO_NODE)) => return Ok(None),
            Err(broken) => return Err(broken),
        };
        let mut rest = &answer[..];
        let mut whole = || -> Option<Held> {
            let data = String::from_utf8(buffer(&mut rest)?).ok()?;
            let (_created, zxid) = (long(&mut rest)?, long(&mut rest)?);
            let (_ctime, _mtime) = (long(&mut rest)?, long(&mut rest)?);
            Some(Held { data, version: int(&mut rest)?, zxid })
        };
        let unclear = || Broken::Lost("an answer that is not whole".to_owned());
        whole().map(Some).ok_or_else(unclear)
    }

    async fn set(&mut self, path: &str, data: &str, version: i32) -> Result<i64, Broken> {
        let mut body = Jute::default();
        body.buffer(path.as_bytes()).buffer(data.as_bytes()).int(version);
        Ok(self.ask(SET_DATA, &body).await?.0)
    }
}

struct Held {
    data: String,
    version: i32,
    zxid: i64,
}

/// One process at one node.
struct ZookeeperClient {
    adapter: Arc<ZookeeperAdapter>,
    node: Arc<str>,
    connection: Option<Connection>,
}

impl Client for ZookeeperClient {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        Box::pin(self.answer(&invocation.op))
    }
}

/// What a request that writes leaves behind when it fails.
fn written(broken: Broken) -> End {
    match broken {
        Broken::Code(code) if REFUSALS.contains(&code) => End::Nothing(format!("error {code}")),
        other => End::Unknown(other.told()),
    }
}

fn unsent(broken: Broken) -> End {
    End::Unsent(broken.told())
}

impl ZookeeperClient {
    async fn answer(&mut self, op: &Op) -> Answer {
        let connection = match self.connection.take().filter(Connection::is_fresh) {
            Some(connection) => Ok(connection),
            None => self.adapter.connect(&self.node).await,
        };
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(why) => return Outcome::Fail(why).into(),
        };
        let object = self.adapter.site.object(op);
        let (answer, is_sound) = answered(op, self.execute(&mut connection, op, object).await);
        self.connection = is_sound.then_some(connection);
        answer
    }

    async fn execute(
        &self,
        connection: &mut Connection,
        op: &Op,
        object: Object,
    ) -> Result<Answer, End> {
        let path = self.adapter.path(op.key());
        let mut mops = op.mops.clone();
        let at = |at: usize| op.mops.get(at).map_or(&Value::Null, |mop| &mop.value);
        if op.function == Function::NewId {
            // Its name ends with the number that the server gave it.
            let (zxid, made) = connection.create(&path, "", 2).await.map_err(written)?;
            let digits = made.len().saturating_sub(10);
            let id = made.get(digits..).and_then(|digits| digits.parse().ok());
            let id = id.ok_or_else(|| End::Unknown(format!("no number in {made}")))?;
            mops[0].value = Value::Int(id);
            return Ok(Answer { outcome: Outcome::Ok(mops), version: Some(zxid) });
        }
        if op.function == Function::Write {
            let data = json(at(0));
            let zxid = match connection.set(&path, &data, -1).await {
                // The first write makes the node; whoever else did so meanwhile lets this one fail.
                Err(Broken::Code(NO_NODE)) => {
                    connection.create(&path, &data, 0).await.map_err(written)?.0
                }
                other => other.map_err(written)?,
            };
            return Ok(Answer { outcome: Outcome::Ok(mops), version: Some(zxid) });
        }
        if op.function == Function::Read && self.adapter.sync {
            let mut body = Jute::default();
            body.buffer(path.as_bytes());
            connection.ask(SYNC, &body).await.map_err(unsent)?;
        }
        let held = connection.get(&path).await.map_err(unsent)?;
        let before = match &held {
            Some(held) => parsed(&held.data).map_err(End::Unsent)?,
            None if object == Object::Counter => Value::Int(0),
            None => Value::Null,
        };
        let list = || before.as_list().unwrap_or_default().to_vec();
        let after = match op.function {
            Function::Read => {
                mops[0].value = before;
                let version = held.map(|held| held.zxid);
                return Ok(Answer { outcome: Outcome::Ok(mops), version });
            }
            Function::Cas if before != *at(0) => {
                return Err(End::Nothing("the register holds another value".to_owned()));
            }
            Function::Cas => at(1).clone(),
            Function::Rmw => {
                mops[0].value = before.clone();
                at(1).clone()
            }
            Function::Append => Value::list(list().into_iter().chain([at(0).clone()])),
            Function::Add => {
                let others = list().into_iter().filter(|one| one != at(0));
                Value::list(others.chain([at(0).clone()]))
            }
            Function::Remove => Value::list(list().into_iter().filter(|one| one != at(0))),
            Function::Increment => {
                Value::Int(before.as_int().unwrap_or(0) + at(0).as_int().unwrap_or(0))
            }
            other => return Err(End::Nothing(format!("ZooKeeper has no {} here", other.name()))),
        };
        let data = json(&after);
        let done = match held {
            Some(held) => connection.set(&path, &data, held.version).await,
            None => connection.create(&path, &data, 0).await.map(|(zxid, _)| zxid),
        };
        let version = Some(done.map_err(written)?);
        Ok(Answer { outcome: Outcome::Ok(mops), version })
    }
}

#[expect(clippy::disallowed_methods, reason = "a session ends in real time")]
fn now() -> Instant {
    Instant::now()
}

/// Asks a node how it is by `srvr`, one of the words of four letters.
struct ZookeeperProbe {
    address: String,
}

impl ZookeeperProbe {
    async fn mode(&self) -> Result<String, String> {
        let answered = async {
            let mut stream = TcpStream::connect(&self.address).await?;
            stream.write_all(b"srvr").await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok::<_, std::io::Error>(text)
        };
        let text = answered.await.map_err(|error| format!("cannot connect: {error}"))?;
        let mode = text.lines().find_map(|line| line.strip_prefix("Mode: "));
        mode.map(str::to_owned).ok_or_else(|| text.lines().next().unwrap_or_default().to_owned())
    }
}

impl Probe for ZookeeperProbe {
    fn ready(&mut self) -> Asking<'_, Result<(), String>> {
        Box::pin(async { self.mode().await.map(|_| ()) })
    }

    fn leads(&mut self) -> Asking<'_, Option<u64>> {
        Box::pin(async {
            let mode = self.mode().await.ok()?;
            matches!(mode.as_str(), "leader" | "standalone").then_some(0)
        })
    }
}
