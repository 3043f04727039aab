//! Tarantool, one node or many: iproto, its binary protocol, in a small client of our own. The crates that
//! there are, `rusty_tarantool` 0.3 and `tarantool-rs` 0.0.10 of 2023, are not maintained, and reconnect
//! without a switch against it; the first one drops the codes of errors as well, by which `fail` is decided.
//!
//! Every request is one `EVAL` of a few lines of Lua as the user `guest`, who needs the right to
//! execute the universe and to read and write the spaces `rashomon` and `rashomon_elements`. A fibre
//! does not yield before it writes, so one request is atomic at its node.
//!
//! | operation | what is done |
//! | --- | --- |
//! | read | `get`, `select` of the elements of a set |
//! | write, cas, rmw | `replace`; after a look in the same request |
//! | append | `replace` by the longer text |
//! | increment | `upsert` with `{'+', …}`, which commutes between primaries |
//! | add, remove | `replace` and `delete` of an element |
//! | append, increment with `update = "read-modify-write"` | two requests: `get`, then `replace` by what the client made of it |
//!
//! - **ok**: the server answered without an error, so the write is in its log.
//! - **fail**: no connection; a comparison that did not hold; an error of [`REFUSALS`], which says that
//!   nothing was done; of two requests, if the first one was not answered. A read that was not answered.
//! - **info**: a write that was not answered, or was answered by any other error.
//!
//! A node is believed to be the primary if it takes writes (`box.info.ro` is false).

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::model::{Function, Invocation, Op, Outcome, Process, Value};
use crate::target::client::{Answering, Client, unanswered};
use crate::target::config::TargetConfig;
use crate::target::stores::msgpack::{self, Packed};
use crate::target::stores::options::Update;
use crate::target::stores::{
    Adapter, Asking, Object, Probe, Site, held_or_new, in_time, json, parsed,
};

/// Errors that say that nothing was done: a key is there twice, read only, no such space, not allowed.
const REFUSALS: &[i64] = &[3, 7, 36, 42];

/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The codes of iproto.
const EVAL: i64 = 0x08;
const REQUEST_TYPE: i64 = 0x00;
const SYNC: i64 = 0x01;
const TUPLE: i64 = 0x21;
const EXPRESSION: i64 = 0x27;
const DATA: i64 = 0x30;
const ERROR: i64 = 0x31;
const ERROR_BIT: i64 = 0x8000;

const PREPARE: &str = "
local kv = box.schema.space.create('rashomon', {if_not_exists = true})
kv:create_index('primary', {parts = {{1, 'string'}}, if_not_exists = true})
local elements = box.schema.space.create('rashomon_elements', {if_not_exists = true})
elements:create_index('primary', {parts = {{1, 'string'}, {2, 'string'}}, if_not_exists = true})";

const READ: &str = "local t = box.space.rashomon:get(...) return t and t[2]";
const READ_ELEMENTS: &str = "local found = {}
for _, t in ipairs(box.space.rashomon_elements:select{...}) do found[#found + 1] = t[2] end
return found";
const WRITE: &str = "box.space.rashomon:replace{...} return true";
const CAS: &str = "local k, old, new = ...
local t = box.space.rashomon:get(k)
if (t and t[2] or 'null') ~= old then return false end
box.space.rashomon:replace{k, new}
return true";
const RMW: &str = "local k, new = ...
local t = box.space.rashomon:get(k)
box.space.rashomon:replace{k, new}
return t and t[2]";
const APPEND: &str = "local k, v = ...
local t = box.space.rashomon:get(k)
box.space.rashomon:replace{k, t and t[2] .. ',' .. v or v}
return true";
const INCREMENT: &str = "local k, n = ...
box.space.rashomon:upsert({k, n}, {{'+', 2, n}})
return true";
const ADD: &str = "box.space.rashomon_elements:replace{...} return true";
const REMOVE: &str = "box.space.rashomon_elements:delete{...} return true";
/// What is found is removed afterwards: one does not walk through what one changes.
const CLEAR: &str = "local run = ...
for _, name in ipairs{'rashomon', 'rashomon_elements'} do
  local space, found = box.space[name], {}
  for _, t in space:pairs(run, {iterator = 'GE'}) do
    if t[1]:sub(1, #run) ~= run then break end
    found[#found + 1] = name == 'rashomon' and {t[1]} or {t[1], t[2]}
  end
  for _, key in ipairs(found) do space:delete(key) end
end
return true";
const IS_PRIMARY: &str = "return not box.info.ro";

/// What all clients of a target share.
pub(super) struct TarantoolAdapter {
    site: Site,
    update: Update,
}

impl TarantoolAdapter {
    pub(super) fn new(config: &TargetConfig) -> Self {
        let options = config.tarantool.as_ref().map(|options| *options.get_ref());
        Self { site: Site::new(config), update: options.unwrap_or_default().update }
    }

    async fn connect(&self, node: &Arc<str>) -> Result<Connection, String> {
        let address = self.site.address(node)?;
        in_time(self.site.connect_timeout, async {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            // The greeting: two lines of 64 bytes.
            stream.read_exact(&mut [0; 128]).await?;
            Ok::<_, std::io::Error>(Connection { stream, sync: 0 })
        })
        .await
    }

    /// One request at a node, on a connection of its own.
    async fn ask_once(
        &self,
        node: &Arc<str>,
        code: &str,
        arguments: &[Argument],
    ) -> Result<Packed, String> {
        let mut connection = self.connect(node).await?;
        connection.eval(code, arguments).await.map_err(Broken::told)
    }
}

impl Adapter for TarantoolAdapter {
    fn client(self: Arc<Self>, _: Process, node: &Arc<str>) -> Result<Box<dyn Client>, String> {
        Ok(Box::new(TarantoolClient { adapter: self, node: node.clone(), connection: None }))
    }

    fn probe(self: Arc<Self>, node: &Arc<str>) -> Result<Box<dyn Probe>, String> {
        Ok(Box::new(TarantoolProbe { adapter: self, node: node.clone() }))
    }

    fn knows_primaries(&self) -> bool {
        true
    }

    /// Makes the spaces that are not there.
    fn prepare<'a>(&'a self, node: &'a Arc<str>) -> Asking<'a, Result<(), String>> {
        Box::pin(async { self.ask_once(node, PREPARE, &[]).await.map(|_| ()) })
    }

    fn clear<'a>(
        self: Arc<Self>,
        node: &'a Arc<str>,
        _: &'a [Value],
    ) -> Asking<'a, Result<(), String>> {
        Box::pin(async move {
            let run = Argument::Text(format!("{}/", self.site.run));
            self.ask_once(node, CLEAR, &[run]).await.map(|_| ())
        })
    }
}

/// How a request failed.
enum Broken {
    /// The server says that it did nothing.
    Refused(String),
    /// The server says that something is wrong, and not what it did.
    Doubtful(String),
    /// The connection is of no use any more.
    Lost(String),
    /// Nor is it here, but nothing that writes was sent on it.
    Unsent(String),
}

impl Broken {
    fn told(self) -> String {
        let (Self::Refused(why) | Self::Doubtful(why) | Self::Lost(why) | Self::Unsent(why)) = self;
        why
    }
}

/// An argument of a request.
enum Argument {
    Text(String),
    Int(i64),
}

struct Connection {
    stream: TcpStream,
    sync: i64,
}

impl Connection {
    /// Evaluates Lua; the first value that it returns.
    async fn eval(&mut self, code: &str, arguments: &[Argument]) -> Result<Packed, Broken> {
        self.sync += 1;
        let mut packed = Vec::new();
        msgpack::map(&mut packed, 2);
        for (key, value) in [(REQUEST_TYPE, EVAL), (SYNC, self.sync)] {
            msgpack::int(&mut packed, key);
            msgpack::int(&mut packed, value);
        }
        msgpack::map(&mut packed, 2);
        msgpack::int(&mut packed, EXPRESSION);
        msgpack::text(&mut packed, code);
        msgpack::int(&mut packed, TUPLE);
        msgpack::array(&mut packed, arguments.len() as u8);
        for argument in arguments {
            match argument {
                Argument::Text(text) => msgpack::text(&mut packed, text),
                Argument::Int(number) => msgpack::int(&mut packed, *number),
            }
        }
        let mut message = vec![0xce];
        message.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        message.extend_from_slice(&packed);
        let lost = |error: std::io::Error| Broken::Lost(error.to_string());
        self.stream.write_all(&message).await.map_err(lost)?;
        let (header, body) = self.answer().await?;
        if header.get(SYNC) != Some(&Packed::Int(self.sync)) {
            return Err(Broken::Lost("an answer to another request".to_owned()));
        }
        match header.get(REQUEST_TYPE) {
            Some(Packed::Int(0)) => match body.get(DATA) {
                Some(Packed::Array(values)) => Ok(values.first().cloned().unwrap_or(Packed::Nil)),
                _ => Err(Broken::Lost("an answer without data".to_owned())),
            },
            Some(Packed::Int(code)) => {
                let code = code & (ERROR_BIT - 1);
                let why = match body.get(ERROR) {
                    Some(Packed::Text(why)) => format!("{code} {why}"),
                    _ => format!("error {code}"),
                };
                let refused = REFUSALS.contains(&code);
                Err(if refused { Broken::Refused(why) } else { Broken::Doubtful(why) })
            }
            _ => Err(Broken::Lost("an answer without a code".to_owned())),
        }
    }

    async fn answer(&mut self) -> Result<(Packed, Packed), Broken> {
        let lost = |error: std::io::Error| Broken::Lost(error.to_string());
        let unclear = || Broken::Lost("an answer that is no iproto".to_owned());
        // The server always writes a length as five bytes.
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).await.map_err(lost)?;
        let length = match msgpack::take(&mut &head[..]) {
            Some(Packed::Int(length)) if (0..=ANSWER_BYTES_MAX as i64).contains(&length) => length,
            _ => return Err(unclear()),
        };
        let mut bytes = vec![0; length as usize];
        self.stream.read_exact(&mut bytes).await.map_err(lost)?;
        let mut rest = &bytes[..];
        let header = msgpack::take(&mut rest).ok_or_else(unclear)?;
        // An answer may have no body.
        let body = msgpack::take(&mut rest).unwrap_or(Packed::Map(Vec::new()));
        Ok((header, body))
    }
}

/// One process at one node.
struct TarantoolClient {
    adapter: Arc<TarantoolAdapter>,
    node: Arc<str>,
    connection: Option<Connection>,
}

impl Client for TarantoolClient {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        Box::pin(async { self.answer(&invocation.op).await.into() })
    }
}

impl TarantoolClient {
    async fn answer(&mut self, op: &Op) -> Outcome {
        let held = self.connection.take();
        let mut connection = match held_or_new(held, self.adapter.connect(&self.node)).await {
            Ok(connection) => connection,
            Err(why) => return Outcome::Fail(why),
        };
        let object = self.adapter.site.object(op);
        let outcome = match self.execute(&mut connection, op, object).await {
            Ok(outcome) => outcome,
            Err(Broken::Refused(why)) => Outcome::Fail(why),
            Err(Broken::Doubtful(why)) => unanswered(op, why),
            Err(Broken::Unsent(why)) => return Outcome::Fail(why),
            // With the connection goes whatever may still be answered on it.
            Err(Broken::Lost(why)) => return unanswered(op, why),
        };
        self.connection = Some(connection);
        outcome
    }

    async fn execute(
        &self,
        connection: &mut Connection,
        op: &Op,
        object: Object,
    ) -> Result<Outcome, Broken> {
        let key = || Argument::Text(self.adapter.site.key(op.key()));
        let at = |at: usize| op.mops.get(at).map_or(&Value::Null, |mop| &mop.value);
        let text = |value: &Value| Argument::Text(json(value));
        let mut mops = op.mops.clone();
        let amount = || at(0).as_int().unwrap_or(0);
        let (code, arguments) = match op.function {
            Function::Read if object == Object::Set => (READ_ELEMENTS, vec![key()]),
            Function::Read => (READ, vec![key()]),
            Function::Write => (WRITE, vec![key(), text(at(0))]),
            Function::Cas => (CAS, vec![key(), text(at(0)), text(at(1))]),
            Function::Rmw => (RMW, vec![key(), text(at(1))]),
            Function::Add => (ADD, vec![key(), text(at(0))]),
            Function::Remove => (REMOVE, vec![key(), text(at(0))]),
            Function::Append | Function::Increment
                if self.adapter.update == Update::ReadModifyWrite =>
            {
                // Nothing was written yet: whatever is wrong with this answer, nothing is done.
                let before = match connection.eval(READ, &[key()]).await {
                    Ok(before) => before,
                    Err(broken) => return Err(Broken::Unsent(broken.told())),
                };
                let after = match (op.function, before) {
                    (Function::Increment, Packed::Int(sum)) => Argument::Int(sum + amount()),
                    (Function::Increment, _) => Argument::Int(amount()),
                    (_, Packed::Text(list)) => Argument::Text(format!("{list},{}", json(at(0)))),
                    _ => text(at(0)),
                };
                (WRITE, vec![key(), after])
            }
            Function::Append => (APPEND, vec![key(), text(at(0))]),
            Function::Increment => (INCREMENT, vec![key(), Argument::Int(amount())]),
            other => {
                return Ok(Outcome::Fail(format!("Tarantool has no {} here", other.name())));
            }
        };
        let answer = connection.eval(code, &arguments).await?;
        if op.function == Function::Cas && answer == Packed::Bool(false) {
            return Ok(Outcome::Fail("the register holds another value".to_owned()));
        }
        if matches!(op.function, Function::Read | Function::Rmw) {
            mops[0].value = value(object, &answer).map_err(Broken::Doubtful)?;
        }
        Ok(Outcome::Ok(mops))
    }
}

/// The value of an object that was read.
fn value(object: Object, answer: &Packed) -> Result<Value, String> {
    match (object, answer) {
        (Object::Counter, Packed::Nil) => Ok(Value::Int(0)),
        (_, Packed::Nil) => Ok(Value::Null),
        (Object::List, Packed::Text(text)) => parsed(&format!("[{text}]")),
        (_, Packed::Text(text)) => parsed(text),
        (_, Packed::Int(number)) => Ok(Value::Int(*number)),
        (Object::Set, Packed::Array(items)) => {
            let element = |item: &Packed| match item {
                Packed::Text(text) => parsed(text),
                other => Err(format!("unexpected element {other:?}")),
            };
            Ok(Value::List(items.iter().map(element).collect::<Result<_, _>>()?))
        }
        // An empty table of Lua is an empty map as well.
        (Object::Set, Packed::Map(entries)) if entries.is_empty() => Ok(Value::list([])),
        (_, other) => Err(format!("unexpected answer {other:?}")),
    }
}

/// Asks a node how it is, on a new connection each time.
struct TarantoolProbe {
    adapter: Arc<TarantoolAdapter>,
    node: Arc<str>,
}

impl Probe for TarantoolProbe {
    fn ready(&mut self) -> Asking<'_, Result<(), String>> {
        Box::pin(async { self.adapter.ask_once(&self.node, "return true", &[]).await.map(|_| ()) })
    }

    fn leads(&mut self) -> Asking<'_, Option<u64>> {
        Box::pin(async {
            let answer = self.adapter.ask_once(&self.node, IS_PRIMARY, &[]).await.ok()?;
            (answer == Packed::Bool(true)).then_some(0)
        })
    }
}
