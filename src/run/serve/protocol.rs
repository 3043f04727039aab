//! What can be asked of a served store, at the port of each node.
//!
//! | request | does |
//! | --- | --- |
//! | `POST /` with `{"f":"write","key":"x","value":1}` | the operation; every function of a workload |
//! | `GET /` | `{"node":"n1","primary":true}` |
//! | `PUT /fault/kill`, `pause`, `disk-full`, `power-loss`, `skew?offset_ms=500`, `packet?delay_ms=50&loss=10`, `throttle?cpu=10`, `memory?limit_mb=64`, `truncate?bytes=9`, `bitflip?bits=1` | the fault, at this node |
//! | `PUT /fault/partition?from=n2` | what `n2` sends to this node is lost |
//! | `DELETE` of the same | undoes it; harmless without the fault |
//! | `GET /fault`, `DELETE /fault` | every fault in force; undoes all |
//!
//! An operation is answered by `{"type":"ok","value":…}` (200), `{"type":"fail","error":…}` (409: it
//! had no effect) or `{"type":"info","error":…}` (504: the store did not answer its own client in
//! time). A `txn` has a list of `[function, key, value]` for its value. Each connection is a session;
//! `"session":7` in the body names another.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;

use crate::model::{
    ClientEvent, Cut, Fault, Function, Kind, Mop, NodeFault, Op, Packet, Skew, Value,
};
use crate::proxy::http::{Request, Response};
use crate::run::serve::status_of;

/// What a request asks for.
pub(super) enum Asked {
    Invoke { op: Op, is_final: bool, session: Option<u32> },
    Begin(Described),
    End(Described),
    Heal,
    Faults,
    Status,
}

/// A fault as a path describes it, at a node not yet named.
pub(super) enum Described {
    Partition { from: Arc<str> },
    Node(NodeFault),
}

/// A fault that can be in force once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FaultName {
    Partition { from: Arc<str>, to: Arc<str> },
    Node { node: Arc<str>, what: NodeFault },
}

impl Described {
    pub(super) fn at(self, node: &Arc<str>) -> FaultName {
        let node = node.clone();
        match self {
            Self::Partition { from } => FaultName::Partition { from, to: node },
            Self::Node(what) => FaultName::Node { node, what },
        }
    }
}

impl FaultName {
    pub(super) fn fault(&self) -> Fault {
        match self.clone() {
            Self::Partition { from, to } => {
                let cuts = vec![Cut { from, to }];
                Fault::Partition { shape: "one-way".into(), cuts, channel: None }
            }
            Self::Node { node, what } => what.at(vec![node]),
        }
    }
}

/// An operation in the body of a request.
#[derive(Deserialize)]
struct Body {
    f: String,
    #[serde(default)]
    key: Value,
    #[serde(default)]
    value: Value,
    session: Option<u32>,
    #[serde(default, rename = "final")]
    is_final: bool,
}

/// Understands a request.
pub(super) fn read(request: &Request) -> Result<Asked, String> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    match (request.method.as_str(), path) {
        ("GET", "/") => Ok(Asked::Status),
        ("POST", "/") => invocation(&request.body),
        ("GET", "/fault") => Ok(Asked::Faults),
        ("DELETE", "/fault") => Ok(Asked::Heal),
        ("PUT", _) if path.starts_with("/fault/") => Ok(Asked::Begin(described(path, query)?)),
        ("DELETE", _) if path.starts_with("/fault/") => Ok(Asked::End(described(path, query)?)),
        (method, path) => Err(format!(
            "no {method} {path}; there are POST /, GET /, GET and DELETE /fault, PUT and DELETE \
             /fault/partition?from=NODE, /fault/kill, pause, skew?offset_ms=N, packet?delay_ms=N, …"
        )),
    }
}

fn described(path: &str, query: &str) -> Result<Described, String> {
    let kind = path.trim_start_matches("/fault/");
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut options: BTreeMap<&str, &str> = pairs.filter_map(|pair| pair.split_once('=')).collect();
    let described = match kind {
        "partition" => {
            let from = options.remove("from").ok_or("a partition needs ?from=NODE")?;
            Described::Partition { from: from.into() }
        }
        kind => Described::Node(node_fault(kind, &mut options)?),
    };
    options.keys().next().map_or(Ok(described), |name| Err(format!("no parameter {name}")))
}

/// The fault of that name, with the options that its commands have as variables.
fn node_fault(kind: &str, options: &mut BTreeMap<&str, &str>) -> Result<NodeFault, String> {
    fn number<N: FromStr + Default>(
        options: &mut BTreeMap<&str, &str>,
        name: &str,
    ) -> Result<N, String> {
        let Some(text) = options.remove(name) else { return Ok(N::default()) };
        text.parse().map_err(|_| format!("{name}={text} is no number it can have"))
    }
    // There is one disk, and no file of a name on it.
    options.remove("file");
    Ok(match kind {
        "kill" => NodeFault::Kill,
        "pause" => NodeFault::Pause,
        "disk-full" => NodeFault::DiskFull,
        "power-loss" => NodeFault::PowerLoss,
        "skew" => NodeFault::Skew(Skew {
            offset_ms: number(options, "offset_ms")?,
            drift_ppm: number(options, "drift_ppm")?,
            strobe_ms: number(options, "strobe_ms")?,
        }),
        "packet" => NodeFault::Packet(Packet {
            delay_ms: number(options, "delay_ms")?,
            jitter_ms: number(options, "jitter_ms")?,
            loss: number(options, "loss")?,
            duplicate: number(options, "duplicate")?,
            reorder: number(options, "reorder")?,
            rate_kbit: number(options, "rate_kbit")?,
        }),
        "throttle" => NodeFault::Throttle(number(options, "cpu")?),
        "memory" => NodeFault::Memory(number(options, "limit_mb")?),
        "truncate" => NodeFault::Truncate { file: "*".into(), bytes: number(options, "bytes")? },
        "bitflip" => NodeFault::BitFlip { file: "*".into(), bits: number(options, "bits")? },
        _ => return Err(format!("no fault {kind}")),
    })
}

fn invocation(body: &[u8]) -> Result<Asked, String> {
    let body: Body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let function = Function::from_name(&body.f).ok_or_else(|| format!("no function {}", body.f))?;
    let op = operation(function, body.key, body.value)?;
    Ok(Asked::Invoke { op, is_final: body.is_final, session: body.session })
}

fn operation(function: Function, key: Value, value: Value) -> Result<Op, String> {
    match function {
        Function::Cas => match value.as_list() {
            Some([old, new]) => Ok(Op::cas(key, old.clone(), new.clone())),
            _ => Err("a cas needs [old, new] for its value".to_owned()),
        },
        Function::Rmw => Ok(Op::rmw(key, value)),
        Function::Txn => {
            let parts = value.as_list().ok_or("a txn needs a list for its value")?;
            let mops = parts.iter().map(|part| match part.as_list() {
                Some([name, key, value]) => {
                    let function = name.as_text().and_then(Function::from_name);
                    let function = function.ok_or_else(|| format!("no function {name}"))?;
                    Ok(Mop { function, key: key.clone(), value: value.clone() })
                }
                _ => Err("a part of a txn is [function, key, value]".to_owned()),
            });
            Ok(Op::txn(mops.collect::<Result<_, String>>()?))
        }
        _ => Ok(Op::single(function, key, value)),
    }
}

/// How an operation ended.
pub(super) fn answer(event: &ClientEvent) -> Response {
    let kind = event.kind;
    let body = if kind == Kind::Ok {
        let op = &event.op;
        let value = match op.function {
            Function::Txn => Value::list(op.mops.iter().map(|mop| {
                let name = Value::text(mop.function.name());
                Value::list([name, mop.key.clone(), mop.value.clone()])
            })),
            // A cas or rmw tells what was there.
            _ => op.mops.first().map(|mop| mop.value.clone()).unwrap_or_default(),
        };
        serde_json::json!({"type": "ok", "value": value})
    } else {
        serde_json::json!({"type": kind.name(), "error": event.error})
    };
    Response { status: status_of(kind), body: body.to_string() }
}

pub(super) fn done() -> Response {
    Response { status: 200, body: "{\"type\":\"ok\"}".to_owned() }
}

pub(super) fn faults<'a>(names: impl Iterator<Item = &'a FaultName>) -> Response {
    let described = names.map(|name| {
        let fault = name.fault();
        serde_json::json!({"fault": fault.name(), "value": fault.value()})
    });
    let body = serde_json::Value::Array(described.collect()).to_string();
    Response { status: 200, body }
}

pub(super) fn status(node: &Arc<str>, leads: bool) -> Response {
    let body = serde_json::json!({"node": **node, "primary": leads}).to_string();
    Response { status: 200, body }
}
