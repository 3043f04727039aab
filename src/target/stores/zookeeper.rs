//! ZooKeeper, by the crate `zookeeper-client`. It sends nothing twice: what is under way when a connection
//! breaks, whether it was sent or not, ends with an error. It makes the connection of a session to its
//! server again, and there is no switch for that; so a client that finds its session disconnected drops it
//! for a new one, and only what is asked in the instant before the loss is noticed waits, and is `info`
//! if it is not answered in time.
//!
//! A key is a node below `/rashomon/RUN`, which holds its value as JSON.
//!
//! | operation | requests |
//! | --- | --- |
//! | read | `getData`; with `before-read` a `sync` or a `setData` before it, on the same connection |
//! | write | `setData` of any version; `create` where there is no node |
//! | cas, rmw, append, add, remove, increment | `getData`, then `setData` of the version that was read, or `create` |
//! | new-id | `create` of a sequential node |
//!
//! A server answers reads from what it has, which may be old. `before-read = "sync"` makes a follower catch up
//! with the leader first, but the leader itself lets a `sync` of its own clients pass like a read
//! (`CommitProcessor` with `matchSyncs` off), and may not have applied what a follower has acknowledged.
//! `before-read = "write"` makes every server catch up: it has applied all that was acknowledged before that
//! write. Reads and writes carry the store's own version, the zxid of the write.
//!
//! - **ok**: the server answered without an error: a majority has the write.
//! - **fail**: no connection or session; an error which says that nothing was done, such as a version that
//!   is not the one that was read, or a node that is there already: nothing is tried again; whatever broke
//!   before the request that writes was sent. A read that was not answered.
//! - **info**: a write that was not answered, or was answered by any other error.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zookeeper_client::{Acls, Client as Session, CreateMode, Error, SessionState};

use crate::model::{Function, Invocation, Op, Outcome, Process, Value};
use crate::target::client::{Answer, Answering, Client};
use crate::target::config::TargetConfig;
use crate::target::stores::options::BeforeRead;
use crate::target::stores::{
    Adapter, Asking, End, Object, Probe, Site, answered, held_or_new, in_time, json, parsed,
};

/// How long a session shall outlive its connection.
const SESSION: Duration = Duration::from_secs(10);

/// How many nodes are removed by one request.
const NODES_AT_ONCE: usize = 1_000;

/// What all clients of a target share.
pub(super) struct ZookeeperAdapter {
    site: Site,
    before_read: Option<BeforeRead>,
}

impl ZookeeperAdapter {
    pub(super) fn new(config: &TargetConfig) -> Self {
        let before_read = config.zookeeper.as_ref().and_then(|own| own.get_ref().before_read);
        Self { site: Site::new(config), before_read }
    }

    async fn connect(&self, node: &Arc<str>) -> Result<Session, String> {
        let address = self.site.address(node)?;
        let connector = Session::connector().with_session_timeout(SESSION).with_fail_eagerly();
        in_time(self.site.connect_timeout, connector.connect(address)).await
    }

    fn folder(&self) -> String {
        format!("/rashomon/{}", self.site.run)
    }

    /// The node that is written before each read. No key has a dot.
    fn barrier(&self) -> String {
        format!("{}/.before-read", self.folder())
    }

    fn path(&self, key: &Value) -> String {
        format!("{}/{}", self.folder(), BASE64_URL_SAFE_NO_PAD.encode(json(key)))
    }
}

impl Adapter for ZookeeperAdapter {
    fn client(self: Arc<Self>, _: Process, node: &Arc<str>) -> Result<Box<dyn Client>, String> {
        Ok(Box::new(ZookeeperClient { adapter: self, node: node.clone(), session: None }))
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
            let session = self.connect(node).await?;
            for path in ["/rashomon", &self.folder(), &self.barrier()] {
                match create(&session, path, "", CreateMode::Persistent).await {
                    Ok(_) | Err(Error::NodeExists) => {}
                    Err(error) => return Err(format!("{path}: {error}")),
                }
            }
            Ok(())
        })
    }

    fn clear<'a>(
        self: Arc<Self>,
        node: &'a Arc<str>,
        _: &'a [Value],
    ) -> Asking<'a, Result<(), String>> {
        Box::pin(async move {
            let session = self.connect(node).await?;
            let folder = self.folder();
            let nodes = session.list_children(&folder).await.map_err(|error| error.to_string())?;
            for some in nodes.chunks(NODES_AT_ONCE) {
                let mut removal = session.new_multi_writer();
                for name in some {
                    let path = format!("{folder}/{name}");
                    removal.add_delete(&path, None).map_err(|error| error.to_string())?;
                }
                removal.commit().await.map_err(|error| error.to_string())?;
            }
            session.delete(&folder, None).await.map_err(|error| error.to_string())
        })
    }
}

/// Makes a node with whom anybody may do all: its zxid, and its number if it is one of a sequence.
async fn create(
    session: &Session,
    path: &str,
    data: &str,
    mode: CreateMode,
) -> Result<(i64, i64), Error> {
    let options = mode.with_acls(Acls::anyone_all());
    let (stat, sequence) = session.create(path, data.as_bytes(), &options).await?;
    Ok((stat.czxid, sequence.into_i64()))
}

/// The zxid of the write.
async fn set(
    session: &Session,
    path: &str,
    data: &str,
    version: Option<i32>,
) -> Result<i64, Error> {
    Ok(session.set_data(path, data.as_bytes(), version).await?.mzxid)
}

/// One process at one node.
struct ZookeeperClient {
    adapter: Arc<ZookeeperAdapter>,
    node: Arc<str>,
    session: Option<Session>,
}

impl Client for ZookeeperClient {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        Box::pin(self.answer(&invocation.op))
    }
}

/// What a request that writes leaves behind when it fails. That a session is over is not told apart from
/// that it may be over.
fn written(error: Error) -> End {
    match error {
        Error::NoNode
        | Error::NoAuth
        | Error::BadVersion
        | Error::NodeExists
        | Error::BadArguments(_)
        | Error::Unimplemented
        | Error::SessionMoved
        | Error::NotReadOnly
        | Error::Throttled => End::Nothing(error.to_string()),
        other => End::Unknown(other.to_string()),
    }
}

impl ZookeeperClient {
    async fn answer(&mut self, op: &Op) -> Answer {
        let is_sound = |session: &Session| session.state() == SessionState::SyncConnected;
        let held = self.session.take().filter(is_sound);
        let session = match held_or_new(held, self.adapter.connect(&self.node)).await {
            Ok(session) => session,
            Err(why) => return Outcome::Fail(why).into(),
        };
        let object = self.adapter.site.object(op);
        let (answer, is_sound) = answered(op, self.execute(&session, op, object).await);
        self.session = is_sound.then_some(session);
        answer
    }

    async fn execute(&self, session: &Session, op: &Op, object: Object) -> Result<Answer, End> {
        const PLAIN: CreateMode = CreateMode::Persistent;
        let unsent = |error: Error| End::Unsent(error.to_string());
        let path = self.adapter.path(op.key());
        let mut mops = op.mops.clone();
        let at = |at: usize| op.mops.get(at).map_or(&Value::Null, |mop| &mop.value);
        if op.function == Function::NewId {
            let mode = CreateMode::PersistentSequential;
            let (zxid, id) = create(session, &path, "", mode).await.map_err(written)?;
            mops[0].value = Value::Int(id);
            return Ok(Answer { outcome: Outcome::Ok(mops), version: Some(zxid) });
        }
        if op.function == Function::Write {
            let data = json(at(0));
            let zxid = match set(session, &path, &data, None).await {
                // The first write makes the node; whoever else did so meanwhile lets this one fail.
                Err(Error::NoNode) => {
                    create(session, &path, &data, PLAIN).await.map_err(written)?.0
                }
                other => other.map_err(written)?,
            };
            return Ok(Answer { outcome: Outcome::Ok(mops), version: Some(zxid) });
        }
        if op.function == Function::Read {
            match self.adapter.before_read {
                None => {}
                Some(BeforeRead::Sync) => session.sync(&path).await.map_err(unsent)?,
                Some(BeforeRead::Write) => {
                    set(session, &self.adapter.barrier(), "", None).await.map_err(unsent)?;
                }
            }
        }
        let held = match session.get_data(&path).await {
            Ok(held) => Some(held),
            Err(Error::NoNode) => None,
            Err(error) => return Err(unsent(error)),
        };
        let before = match &held {
            Some((data, _)) => parsed(&String::from_utf8_lossy(data)).map_err(End::Unsent)?,
            None if object == Object::Counter => Value::Int(0),
            None => Value::Null,
        };
        let list = || before.as_list().unwrap_or_default().to_vec();
        let after = match op.function {
            Function::Read => {
                mops[0].value = before;
                let version = held.map(|(_, stat)| stat.mzxid);
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
            Some((_, stat)) => set(session, &path, &data, Some(stat.version)).await,
            None => create(session, &path, &data, PLAIN).await.map(|(zxid, _)| zxid),
        };
        let version = Some(done.map_err(written)?);
        Ok(Answer { outcome: Outcome::Ok(mops), version })
    }
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
