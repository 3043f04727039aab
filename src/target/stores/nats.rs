//! NATS JetStream: its text protocol, in a small client of our own, because a client library that
//! reconnects may send what it had buffered once more.
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

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value as Json, json as object};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::model::{Function, Invocation, Op, Outcome, Process, Value};
use crate::target::client::{Answer, Answering, Client};
use crate::target::config::TargetConfig;
use crate::target::stores::{
    Adapter, Asking, End, Object, Probe, Site, answered, in_time, json, parsed,
};

const KV: &str = "rashomon-kv";
const LOG: &str = "rashomon-log";

/// JetStream's own codes: no message found, a stream of that name is there, a wrong last sequence.
const NO_MESSAGE: i64 = 10_037;
const STREAM_EXISTS: i64 = 10_058;
const WRONG_LAST_SEQUENCE: i64 = 10_071;

/// The longest message that is read.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

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
        in_time(self.site.connect_timeout, Connection::open(address)).await
    }

    /// The subject of a key: in the register bucket, or in the log.
    fn subject(&self, stream: &str, key: &Value) -> String {
        let key = BASE64_URL_SAFE_NO_PAD.encode(json(key));
        format!("{stream}.{}.{key}", self.site.run)
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
            let mut connection = self.connect(node).await?;
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
                    let made = connection.ask(&question, "", &stream.to_string()).await;
                    match made
                        .map_err(Broken::told)
                        .and_then(|answer| error(&answer).map_err(|e| e.1))
                    {
                        Ok(()) => break,
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

struct Connection {
    stream: BufReader<TcpStream>,
    /// What the server says of itself.
    info: Json,
    inbox: String,
    asked: u64,
}

impl Connection {
    async fn open(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let own = stream.local_addr()?.port();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let info = line.strip_prefix("INFO ").and_then(|info| serde_json::from_str(info).ok());
        let info: Json = info.ok_or_else(|| std::io::Error::other("it does not speak NATS"))?;
        // Unique among all connections of the cluster.
        let inbox = format!("_INBOX.{}.{own}", info["server_id"].as_str().unwrap_or("x"));
        let hello = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
                     \"lang\":\"rust\",\"name\":\"rashomon\",\"version\":\"1\",\"protocol\":1}\r\n";
        let hello = format!("{hello}SUB {inbox}.* 1\r\nPING\r\n");
        stream.write_all(hello.as_bytes()).await?;
        let mut connection = Self { stream, info, inbox, asked: 0 };
        // The server answers a ping once it has read all that came before.
        while connection.line().await?.trim_end() != "PONG" {}
        Ok(connection)
    }

    /// A line of the server; its pings are answered, its errors are errors.
    async fn line(&mut self) -> std::io::Result<String> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(std::io::Error::other("the connection was closed"));
            }
            if line.starts_with("PING") {
                self.stream.write_all(b"PONG\r\n").await?;
            } else if let Some(error) = line.strip_prefix("-ERR") {
                return Err(std::io::Error::other(error.trim().to_owned()));
            } else if !line.starts_with("INFO") && !line.starts_with("+OK") {
                return Ok(line);
            }
        }
    }

    /// Publishes, and waits for the answer to just that.
    async fn ask(&mut self, subject: &str, header: &str, body: &str) -> Result<Json, Broken> {
        self.asked += 1;
        let inbox = format!("{}.{}", self.inbox, self.asked);
        let message = if header.is_empty() {
            format!("PUB {subject} {inbox} {}\r\n{body}\r\n", body.len())
        } else {
            let head = format!("NATS/1.0\r\n{header}\r\n\r\n");
            let (head_length, length) = (head.len(), head.len() + body.len());
            format!("HPUB {subject} {inbox} {head_length} {length}\r\n{head}{body}\r\n")
        };
        let answered = async {
            self.stream.write_all(message.as_bytes()).await?;
            loop {
                let line = self.line().await?;
                let words: Vec<&str> = line.split_ascii_whitespace().collect();
                let number = |word: Option<&&str>| word.and_then(|word| word.parse().ok());
                let (head, length): (usize, usize) = match words[..] {
                    ["MSG", .., length] => (0, length.parse().unwrap_or(usize::MAX)),
                    ["HMSG", .., head, length] => (
                        number(Some(&head)).unwrap_or(0),
                        number(Some(&length)).unwrap_or(usize::MAX),
                    ),
                    _ => continue,
                };
                if length > MESSAGE_BYTES_MAX || head > length {
                    return Err(std::io::Error::other("a message that is too long"));
                }
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes).await?;
                if words.get(1) == Some(&&*inbox) {
                    let has_no_taker = bytes[..head].starts_with(b"NATS/1.0 503");
                    let body = serde_json::from_slice(&bytes[head..length]).unwrap_or_default();
                    return Ok((has_no_taker, body));
                }
            }
        };
        match answered.await {
            Ok((true, _)) => Err(Broken::Nobody),
            Ok((false, body)) => Ok(body),
            Err(error) => Err(Broken::Lost(error.to_string())),
        }
    }

    /// A message of a stream: its sequence number and what it holds.
    async fn message(
        &mut self,
        stream: &str,
        which: Json,
    ) -> Result<Option<(i64, String)>, Broken> {
        let question = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let answer = self.ask(&question, "", &which.to_string()).await?;
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
        let connection = match self.connection.take() {
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
        let mut header = String::new();
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
            header = format!("Nats-Expected-Last-Subject-Sequence: {sequence}");
        }
        let value = match op.function {
            Function::Cas | Function::Rmw => at(1),
            Function::Write | Function::Append | Function::Add | Function::NewId => at(0),
            other => return Err(End::Nothing(format!("NATS has no {} here", other.name()))),
        };
        let answer = connection.ask(&subject, &header, &json(value)).await;
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
            let mut connection = self.adapter.connect(&self.node).await?;
            let answer = connection.ask("$JS.API.INFO", "", "").await.map_err(Broken::told)?;
            error(&answer).map_err(|(_, why)| why)
        })
    }

    /// It leads the stream that the run writes to; alone it does anyway.
    fn leads(&mut self) -> Asking<'_, Option<u64>> {
        Box::pin(async {
            let mut connection = self.adapter.connect(&self.node).await.ok()?;
            let in_log = matches!(self.adapter.site.seen.get(), Some(Object::List | Object::Set));
            let stream = if in_log { LOG } else { KV };
            let question = format!("$JS.API.STREAM.INFO.{stream}");
            let answer = connection.ask(&question, "", "").await.ok()?;
            error(&answer).ok()?;
            match answer["cluster"]["leader"].as_str() {
                Some(leader) => (connection.info["server_name"] == leader).then_some(0),
                None => Some(0),
            }
        })
    }
}
