//! NATS JetStream, by requests of the crate `async-nats`. Left to itself it reconnects, to other servers too,
//! and then sends what waited meanwhile: here a client connects once, to the server it was told, and what
//! was not sent when it lost that connection never is.
//!
//! Two streams are made before the run: `rashomon-kv` keeps the last message of each subject,
//! `rashomon-log` all of them.
//!
//! | operation | requests |
//! | --- | --- |
//! | read of a register | `STREAM.MSG.GET` of the last message of the subject, at the stream's leader |
//! | write | a publication, acknowledged by the stream |
//! | cas, rmw | the read, then a publication that expects the sequence number that was read |
//! | append, add | a publication into the log |
//! | read of a list or set | `STREAM.MSG.GET` of one message after the other, until there is none |
//! | new-id | a publication into the log: its sequence number |
//!
//! Reads and writes carry the store's own version, the sequence number.
//!
//! - **ok**: the stream acknowledged the publication with a sequence number.
//! - **fail**: no connection; nobody serves the stream at that moment (`503`); the expected sequence
//!   number is not the last one; whatever broke before the publication was sent. A read that was not
//!   answered.
//! - **info**: a publication that was not acknowledged, or was answered by any other error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::connection::State;
use async_nats::{Auth, AuthError, ConnectOptions, HeaderMap, Request, RequestErrorKind};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value as Json, json as object};

use crate::model::{Function, Invocation, Op, Outcome, Process, Value};
use crate::target::client::{Answer, Answering, Client};
use crate::target::config::TargetConfig;
use crate::target::stores::{
    Adapter, Asking, End, Object, Probe, Site, answered, held_or_new, in_time, json, parsed,
};

const KV: &str = "rashomon-kv";
const LOG: &str = "rashomon-log";

/// JetStream's own codes: no message found, a stream of that name is there, a wrong last sequence.
const NO_MESSAGE: i64 = 10_037;
const STREAM_EXISTS: i64 = 10_058;
const WRONG_LAST_SEQUENCE: i64 = 10_071;

/// The last sequence number of its subject that a publication expects.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// What all clients of a target share.
pub(super) struct NatsAdapter {
    site: Site,
    replicas: u8,
}

impl NatsAdapter {
    pub(super) fn new(config: &TargetConfig) -> Self {
        let given = config.nats.as_ref().and_then(|options| options.get_ref().replicas);
        let replicas = given.unwrap_or(if config.nodes().len() > 2 { 3 } else { 1 });
        Self { site: Site::new(config), replicas }
    }

    async fn connect(&self, node: &Arc<str>) -> Result<Connection, String> {
        let address = self.site.address(node)?;
        let limit = self.site.connect_timeout;
        let is_connected = AtomicBool::new(false);
        // The crate has no switch that keeps it from connecting again, but whoever logs in is asked for.
        let once = ConnectOptions::with_auth_callback(move |_| {
            let is_first = !is_connected.swap(true, Ordering::Relaxed);
            let once = || AuthError::new("a client connects once");
            async move { is_first.then(Auth::new).ok_or_else(once) }
        });
        let options = once
            .max_reconnects(1)
            .ignore_discovered_servers()
            .connection_timeout(limit)
            .request_timeout(None)
            .name("rashomon");
        in_time(limit, Box::pin(options.connect(address))).await.map(Connection)
    }

    /// All subjects of the run: in the register bucket, or in the log.
    fn subjects(&self, stream: &str) -> String {
        format!("{stream}.{}", self.site.run)
    }

    /// The subject of a key.
    fn subject(&self, stream: &str, key: &Value) -> String {
        format!("{}.{}", self.subjects(stream), BASE64_URL_SAFE_NO_PAD.encode(json(key)))
    }
}

impl Adapter for NatsAdapter {
    fn client(self: Arc<Self>, _: Process, node: &Arc<str>) -> Result<Box<dyn Client>, String> {
        Ok(Box::new(NatsClient { adapter: self, node: node.clone(), connection: None }))
    }

    fn probe(self: Arc<Self>, node: &Arc<str>) -> Result<Box<dyn Probe>, String> {
        Ok(Box::new(NatsProbe { adapter: self, node: node.clone() }))
    }

    fn knows_primaries(&self) -> bool {
        true
    }

    /// Makes the streams that are not there.
    fn prepare<'a>(&'a self, node: &'a Arc<str>) -> Asking<'a, Result<(), String>> {
        Box::pin(async {
            let connection = self.connect(node).await?;
            for (name, kept) in [(KV, 1), (LOG, -1)] {
                let stream = object!({
                    "name": name, "subjects": [format!("{name}.>")], "storage": "file",
                    "retention": "limits", "discard": "old", "max_msgs_per_subject": kept,
                    "num_replicas": self.replicas,
                });
                let question = format!("$JS.API.STREAM.CREATE.{name}");
                // A cluster that has just come up serves no streams for a moment.
                let mut left = 50;
                loop {
                    match connection.order(&question, &stream.to_string()).await {
                        Ok(_) => break,
                        Err(why) if why.contains(&STREAM_EXISTS.to_string()) => break,
                        Err(why) if left == 0 => return Err(format!("stream {name}: {why}")),
                        Err(_) => left -= 1,
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
            Ok(())
        })
    }

    /// Leaves the streams, which other runs may use.
    fn clear<'a>(
        self: Arc<Self>,
        node: &'a Arc<str>,
        _: &'a [Value],
    ) -> Asking<'a, Result<(), String>> {
        Box::pin(async move {
            let connection = self.connect(node).await?;
            for stream in [KV, LOG] {
                let question = format!("$JS.API.STREAM.PURGE.{stream}");
                let which = object!({"filter": format!("{}.>", self.subjects(stream))});
                connection.order(&question, &which.to_string()).await?;
            }
            Ok(())
        })
    }
}

/// How a request failed.
enum Broken {
    /// The server says that nobody takes it.
    Nobody,
    /// The connection is of no use any more.
    Lost(String),
}

impl Broken {
    fn told(self) -> String {
        match self {
            Self::Nobody => "503 nobody serves the stream".to_owned(),
            Self::Lost(why) => why,
        }
    }
}

/// The error in an answer of JetStream: its code and what it says.
fn error(answer: &Json) -> Result<(), (i64, String)> {
    let Some(error) = answer.get("error") else { return Ok(()) };
    let code = error["err_code"].as_i64().unwrap_or(0);
    Err((code, format!("{code} {}", error["description"].as_str().unwrap_or_default())))
}

struct Connection(async_nats::Client);

impl Connection {
    fn is_sound(&self) -> bool {
        self.0.connection_state() == State::Connected
    }

    /// Publishes, and waits for the answer to just that.
    async fn ask(&self, subject: &str, headers: HeaderMap, body: &str) -> Result<Json, Broken> {
        let request = Request::new().headers(headers).payload(body.to_owned().into());
        match self.0.send_request(subject.to_owned(), request).await {
            Ok(answer) => Ok(serde_json::from_slice(&answer.payload).unwrap_or_default()),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Err(Broken::Nobody),
            Err(error) => Err(Broken::Lost(error.to_string())),
        }
    }

    /// Asks for something that is answered without an error.
    async fn order(&self, subject: &str, body: &str) -> Result<Json, String> {
        let answer = self.ask(subject, HeaderMap::new(), body).await.map_err(Broken::told)?;
        error(&answer).map_err(|(_, why)| why)?;
        Ok(answer)
    }

    /// A message of a stream: its sequence number and what it holds.
    async fn message(&self, stream: &str, which: Json) -> Result<Option<(i64, String)>, Broken> {
        let question = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let answer = self.ask(&question, HeaderMap::new(), &which.to_string()).await?;
        match error(&answer) {
            Err((NO_MESSAGE, _)) => return Ok(None),
            Err((_, why)) => return Err(Broken::Lost(why)),
            Ok(()) => {}
        }
        let message = &answer["message"];
        let data = message["data"].as_str().and_then(|data| BASE64_STANDARD.decode(data).ok());
        let text = data.and_then(|data| String::from_utf8(data).ok());
        match (message["seq"].as_i64(), text) {
            (Some(sequence), Some(text)) => Ok(Some((sequence, text))),
            _ => Err(Broken::Lost("a message that cannot be read".to_owned())),
        }
    }
}

/// One process at one node.
struct NatsClient {
    adapter: Arc<NatsAdapter>,
    node: Arc<str>,
    connection: Option<Connection>,
}

impl Client for NatsClient {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        Box::pin(self.answer(&invocation.op))
    }
}

fn unsent(broken: Broken) -> End {
    match broken {
        Broken::Nobody => End::Nothing(broken.told()),
        Broken::Lost(why) => End::Unsent(why),
    }
}

impl NatsClient {
    async fn answer(&mut self, op: &Op) -> Answer {
        let held = self.connection.take().filter(Connection::is_sound);
        let connection = match held_or_new(held, self.adapter.connect(&self.node)).await {
            Ok(connection) => connection,
            Err(why) => return Outcome::Fail(why).into(),
        };
        let object = self.adapter.site.object(op);
        let (answer, is_sound) = answered(op, self.execute(&connection, op, object).await);
        self.connection = is_sound.then_some(connection);
        answer
    }

    async fn execute(
        &self,
        connection: &Connection,
        op: &Op,
        object: Object,
    ) -> Result<Answer, End> {
        let mut mops = op.mops.clone();
        let at = |at: usize| op.mops.get(at).map_or(&Value::Null, |mop| &mop.value);
        let in_log = matches!(op.function, Function::Append | Function::Add | Function::NewId);
        let reads_log =
            op.function == Function::Read && matches!(object, Object::List | Object::Set);
        let stream = if in_log || reads_log { LOG } else { KV };
        let subject = self.adapter.subject(stream, op.key());
        if reads_log {
            let (mut items, mut next) = (Vec::new(), 1);
            loop {
                let which = object!({"seq": next, "next_by_subj": subject});
                let Some((sequence, text)) =
                    connection.message(stream, which).await.map_err(unsent)?
                else {
                    break;
                };
                items.push(parsed(&text).map_err(End::Unsent)?);
                next = sequence + 1;
            }
            mops[0].value = Value::list(items);
            return Ok(Outcome::Ok(mops).into());
        }
        let mut headers = HeaderMap::new();
        if matches!(op.function, Function::Read | Function::Cas | Function::Rmw) {
            let which = object!({"last_by_subj": subject});
            let held = connection.message(stream, which).await.map_err(unsent)?;
            let (sequence, before) = match &held {
                Some((sequence, text)) => (*sequence, parsed(text).map_err(End::Unsent)?),
                None => (0, Value::Null),
            };
            match op.function {
                Function::Read => {
                    mops[0].value = before;
                    let version = held.map(|(sequence, _)| sequence);
                    return Ok(Answer { outcome: Outcome::Ok(mops), version });
                }
                Function::Cas if before != *at(0) => {
                    return Err(End::Nothing("the register holds another value".to_owned()));
                }
                _ => mops[0].value = before,
            }
            headers.insert(EXPECTED, sequence.to_string());
        }
        let value = match op.function {
            Function::Cas | Function::Rmw => at(1),
            Function::Write | Function::Append | Function::Add | Function::NewId => at(0),
            other => return Err(End::Nothing(format!("NATS has no {} here", other.name()))),
        };
        let answer = connection.ask(&subject, headers, &json(value)).await;
        let answer = answer.map_err(|broken| match broken {
            Broken::Nobody => End::Nothing(broken.told()),
            Broken::Lost(why) => End::Unknown(why),
        })?;
        match (error(&answer), answer["seq"].as_i64()) {
            (Ok(()), Some(sequence)) => {
                if op.function == Function::NewId {
                    mops[0].value = Value::Int(sequence);
                }
                Ok(Answer { outcome: Outcome::Ok(mops), version: Some(sequence) })
            }
            (Err((WRONG_LAST_SEQUENCE, why)), _) => Err(End::Nothing(why)),
            (Err((_, why)), _) => Err(End::Unknown(why)),
            (Ok(()), None) => Err(End::Unknown(format!("no acknowledgement: {answer}"))),
        }
    }
}

/// Asks a node how it is, on a new connection each time.
struct NatsProbe {
    adapter: Arc<NatsAdapter>,
    node: Arc<str>,
}

impl Probe for NatsProbe {
    fn ready(&mut self) -> Asking<'_, Result<(), String>> {
        Box::pin(async {
            let connection = self.adapter.connect(&self.node).await?;
            connection.order("$JS.API.INFO", "").await.map(|_| ())
        })
    }

    /// It leads the stream that the run writes to; alone it does anyway.
    fn leads(&mut self) -> Asking<'_, Option<u64>> {
        Box::pin(async {
            let connection = self.adapter.connect(&self.node).await.ok()?;
            let in_log = matches!(self.adapter.site.seen.get(), Some(Object::List | Object::Set));
            let stream = if in_log { LOG } else { KV };
            let question = format!("$JS.API.STREAM.INFO.{stream}");
            let answer = connection.order(&question, "").await.ok()?;
            match answer["cluster"]["leader"].as_str() {
                Some(leader) => (connection.0.server_info().server_name == leader).then_some(0),
                None => Some(0),
            }
        })
    }
}
