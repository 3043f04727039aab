//! Reads the operation form of the specification (1.1): one whole operation a line.
//!
//! ```json
//! {"i":0,"p":0,"type":"ok","inv":0,"ret":10,"f":"w","k":"x","v":1}
//! {"i":1,"p":1,"type":"info","inv":2.5,"ret":null,"f":"r","k":"x","v":null,"node":"n1"}
//! {"p":"nemesis","fault":1,"f":"partition","inv":4,"ret":9,"v":{"shape":"halves"}}
//! ```
//!
//! `inv` and `ret` are milliseconds; fractions down to the nanosecond count. Operations may stand
//! in any order. A first line with the header of the event form is understood.

use std::borrow::Cow;

use crate::history::json::{Json, Slot};
use crate::history::jsonl::{self, ID_MAX};
use crate::history::read::Flaw;
use crate::history::shape::Telling;
use crate::history::{Access, Builder, FaultWindow, History, Malformed, Operation};
use crate::model::{FaultId, Kind, Nanos, Process, Value};

/// The names of all fields, for messages.
const FIELDS: &str = "i, p, s, type, inv, ret, f, k, v, node, version, final, error, fault";

/// Reads a whole file. `is_torn` says that the end of its last line is missing already.
pub(super) fn read(text: &str, is_torn: bool) -> Result<History, Flaw> {
    let mut json = Json::new(text);
    let mut builder = Builder::new();
    jsonl::header(&mut json, &mut builder)?;
    let mut accesses = Vec::new();
    loop {
        json.blank_lines();
        if json.is_at_end() {
            break;
        }
        let start = json.at;
        match fields(&mut json) {
            Ok(fields) => add(&mut builder, &json, start, &fields, &mut accesses)?,
            Err(flaw) if json.is_in_torn_line(flaw.at.max(start)) => {
                builder.warn(jsonl::torn_line(text));
                return finish(builder, text);
            }
            Err(flaw) => return Err(flaw),
        }
    }
    if is_torn {
        builder.warn(jsonl::torn_line(text));
    }
    finish(builder, text)
}

/// Only the whole file shows which operations overlap; the line is that of the later one.
fn finish(builder: Builder, text: &str) -> Result<History, Flaw> {
    builder.finish().map_err(|malformed| {
        let at = match malformed {
            Malformed::Overlap(_, _, index) => line_of(text, index),
            _ => None,
        };
        Flaw::new(at.unwrap_or(text.trim_end().len()), malformed)
    })
}

/// Where the line of the operation with this index begins.
fn line_of(text: &str, index: u32) -> Option<usize> {
    let mut json = Json::new(text);
    jsonl::header(&mut json, &mut Builder::new()).ok()?;
    let mut counted = 0;
    loop {
        json.blank_lines();
        let start = json.at;
        let fields = fields(&mut json).ok()?;
        if fields.process.is_some() {
            if fields.index.unwrap_or(counted) == index {
                return Some(start);
            }
            counted += 1;
        }
    }
}

/// The fields of one line, as they stand.
struct Fields<'a> {
    index: Option<u32>,
    /// `None` for the nemesis.
    process: Option<u32>,
    session: Option<u32>,
    kind: Option<Kind>,
    invoked: u64,
    returned: Option<u64>,
    function: (Cow<'a, str>, usize),
    key: Slot<'a>,
    value: Slot<'a>,
    value_at: usize,
    node: Option<Cow<'a, str>>,
    version: Option<i64>,
    is_final: bool,
    error: Option<Cow<'a, str>>,
    fault: Option<u32>,
}

fn fields<'a>(json: &mut Json<'a>) -> Result<Fields<'a>, Flaw> {
    json.open_object()?;
    let start = json.at;
    let mut fields = Fields {
        index: None,
        process: None,
        session: None,
        kind: None,
        invoked: 0,
        returned: None,
        function: ("".into(), start),
        key: Slot::Absent,
        value: Slot::Absent,
        value_at: start,
        node: None,
        version: None,
        is_final: false,
        error: None,
        fault: None,
    };
    let mut seen = 0_u32;
    loop {
        let at = json.at;
        let Some(name) = json.field(seen == 0)? else { break };
        let bit = match name {
            "i" | "index" => {
                fields.index = Some(json.natural(ID_MAX, "an index: a whole number")? as u32);
                0
            }
            "p" | "process" => {
                fields.process = if json.is_at_text() {
                    json.word("a process")?;
                    None
                } else {
                    let expected = "a process: a whole number, or \"nemesis\"";
                    Some(json.natural(ID_MAX, expected)? as u32)
                };
                1
            }
            "type" => {
                let at = json.at;
                fields.kind = Some(match json.word("a type: \"ok\", \"fail\" or \"info\"")? {
                    "ok" => Kind::Ok,
                    "fail" => Kind::Fail,
                    "info" => Kind::Info,
                    other => {
                        let what = format!("unknown type {other:?}; expected ok, fail or info");
                        return Err(Flaw::new(at, what));
                    }
                });
                2
            }
            "inv" => {
                fields.invoked = json.millis()?;
                3
            }
            "ret" => {
                fields.returned = if json.null() { None } else { Some(json.millis()?) };
                4
            }
            "f" => {
                let at = json.at;
                fields.function = (json.text("the name of a function in quotes")?, at);
                5
            }
            "k" | "key" => {
                fields.key = json.key_slot()?;
                6
            }
            "v" | "value" => {
                fields.value_at = json.at;
                fields.value = json.slot()?;
                7
            }
            "s" | "session" => {
                fields.session = Some(json.natural(ID_MAX, "a session: a whole number")? as u32);
                8
            }
            "node" => {
                fields.node = Some(json.text("the name of a node in quotes")?);
                9
            }
            "version" => {
                fields.version = Some(json.integer("a version: an integer")?);
                10
            }
            "final" => {
                fields.is_final = json.boolean()?;
                11
            }
            "error" => {
                fields.error = Some(json.text("an error: a text")?);
                12
            }
            "fault" => {
                fields.fault =
                    Some(json.natural(ID_MAX, "the number of a fault: a whole number")? as u32);
                13
            }
            _ => {
                let what = format!("unknown field {name:?}; expected one of {FIELDS}");
                return Err(Flaw::new(at, what));
            }
        };
        if seen & 1 << bit != 0 {
            return Err(Flaw::new(at, format_args!("duplicate field {name:?}; expected it once")));
        }
        seen |= 1 << bit;
    }
    let end = json.at;
    json.end_of_line()?;
    for (bit, name) in [(1, "p"), (2, "type"), (3, "inv"), (5, "f")] {
        let is_fault = fields.fault.is_some() && name == "type";
        if seen & 1 << bit == 0 && !is_fault {
            return Err(Flaw::new(end - 1, format_args!("missing field {name:?}")));
        }
    }
    Ok(fields)
}

fn add(
    builder: &mut Builder,
    json: &Json<'_>,
    start: usize,
    fields: &Fields<'_>,
    accesses: &mut Vec<Access>,
) -> Result<(), Flaw> {
    let (Some(process), Some(kind), None) = (fields.process, fields.kind, fields.fault) else {
        return add_fault(builder, json, start, fields);
    };
    let function = jsonl::function(&fields.function.0, fields.function.1)?;
    let telling = Telling { kind, is_whole: true };
    let key = jsonl::key(builder, telling, function, &fields.key);
    accesses.clear();
    jsonl::value(builder, telling, function, key, &fields.value, &json.ints, accesses)
        .map_err(|what| Flaw::new(fields.value_at, what))?;
    let operation = Operation {
        index: fields.index,
        process: Process(process),
        kind,
        function,
        invoked: Nanos(fields.invoked),
        returned: fields.returned.map(Nanos),
        session: fields.session,
        node: fields.node.as_deref().map(|node| builder.node(node)),
        version: fields.version,
        is_final: fields.is_final,
    };
    let txn =
        builder.operation(operation, accesses).map_err(|malformed| Flaw::new(start, malformed))?;
    if let Some(error) = &fields.error {
        builder.error(txn, error);
    }
    Ok(())
}

fn add_fault(
    builder: &mut Builder,
    json: &Json<'_>,
    start: usize,
    fields: &Fields<'_>,
) -> Result<(), Flaw> {
    let (None, Some(fault)) = (fields.process, fields.fault) else {
        let what = "half a fault; expected \"p\":\"nemesis\" and \"fault\" together";
        return Err(Flaw::new(start, what));
    };
    let value = match &fields.value {
        Slot::Absent | Slot::Null => Value::Null,
        Slot::Int(n) => Value::Int(*n),
        Slot::Text(text) => Value::text(text),
        Slot::Ints => jsonl::list(&json.ints),
        Slot::Other(value) => value.clone(),
    };
    let end = fields.returned.map_or(Nanos::FOREVER, Nanos);
    let begin = Nanos(fields.invoked);
    if end < begin {
        return Err(Flaw::new(start, "a fault that ended before it began"));
    }
    builder.fault_window(FaultWindow {
        id: FaultId(fault),
        name: fields.function.0.as_ref().into(),
        begin,
        end,
        value,
    });
    Ok(())
}
