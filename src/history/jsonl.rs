//! Reads the event form: one invocation, completion or fault a line.
//!
//! ```json
//! {"rashomon":{"format":1,"workload":"register","seed":7}}
//! {"index":0,"time":1200345,"process":3,"type":"invoke","f":"write","key":"x","value":41,"node":"n2"}
//! {"index":1,"time":3400121,"process":3,"type":"ok","f":"write","key":"x","value":41,"node":"n2"}
//! {"index":2,"time":3500000,"process":"nemesis","type":"info","f":"partition","value":{"shape":"halves"},"fault":1,"begins":true}
//! {"index":3,"time":9500000,"process":"nemesis","type":"info","f":"partition","fault":1,"begins":false}
//! ```
//!
//! Fields come in any order. `index`, `key`, `node`, `session`, `version`, `final` and `error` may
//! be left out; `p`, `k`, `v`, `s` and the short function names of the specification are understood.

use crate::history::builder::is_unknown;
use crate::history::json::{Json, Slot, function_names};
use crate::history::json_fields::{FUNCTION, Fields, Form, PROCESS, TIME, TYPE, Who, fields};
use crate::history::json_lines;
use crate::history::nemesis::{Nemesis, NemesisLine};
use crate::history::read::Flaw;
use crate::history::shape::{self, Telling};
use crate::history::{Access, Builder, Header, History, KeyId, Line, ValueId};
use crate::model::{FaultId, Function, Kind, Nanos, Process, Value};

const FORM: Form = Form {
    is_whole: false,
    names: "index, time, process, type, f, key, value, node, session, version, final, waited_ns, error, fault, \
            begins",
    required: &[
        (TIME, "\"time\""),
        (PROCESS, "\"process\""),
        (TYPE, "\"type\": invoke, ok, fail or info"),
        (FUNCTION, "\"f\", what was done"),
    ],
};

/// Reads a whole file. `is_torn` says that the end of its last line is missing already.
pub(super) fn read(text: &str, is_torn: bool) -> Result<History, Flaw> {
    let mut json = Json::new(text);
    let mut builder = Builder::new();
    header(&mut json, &mut builder)?;
    let mut reader = Reader { builder, nemesis: Nemesis::default(), accesses: Vec::new() };
    json_lines::read(&json, text, is_torn, |json| fields(json, &FORM), &mut reader, Reader::add)?;
    finish(reader.builder, text)
}

/// What is said of a last line that a crash cut off.
pub(super) fn torn_line(text: &str) -> String {
    let line = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    format!(
        "line {line}, the last one, is torn and was left out: the recorder was cut off while it wrote"
    )
}

pub(super) fn finish(builder: Builder, text: &str) -> Result<History, Flaw> {
    builder.finish().map_err(|malformed| Flaw::new(text.trim_end().len(), malformed))
}

/// Reads the first line, if it is a header.
pub(super) fn header(json: &mut Json<'_>, builder: &mut Builder) -> Result<(), Flaw> {
    json.blank_lines();
    let start = json.at;
    let is_header = json.open_object().is_ok() && matches!(json.field(true), Ok(Some("rashomon")));
    if !is_header {
        json.at = start;
        return Ok(());
    }
    let from = json.at;
    let parsed = json.value(0).and_then(|_| {
        let raw = json.since(from);
        if json.field(false)?.is_some() {
            return json.flaw("a second field in the header line; expected rashomon alone");
        }
        json.end_of_line().map(|()| raw)
    });
    let raw = match parsed {
        Ok(raw) => raw,
        // A run that crashed at once left nothing but a part of its header.
        Err(flaw) if json.is_in_torn_line(flaw.at) => {
            builder.warn(
                "line 1, the header, is torn: the recorder was cut off while it wrote".into(),
            );
            while !json.is_at_end() {
                json.at += 1;
            }
            return Ok(());
        }
        Err(flaw) => return Err(flaw),
    };
    let header: Header = serde_json::from_str(raw).map_err(|error| {
        Flaw::new(from + error.column().saturating_sub(1), format_args!("wrong header: {error}"))
    })?;
    builder.header(header.supported().map_err(|what| Flaw::new(from, what))?);
    Ok(())
}

/// The function of that name.
pub(super) fn function(name: &str, at: usize) -> Result<Function, Flaw> {
    // The commonest names first: the table has many.
    match name {
        "read" => Ok(Function::Read),
        "write" => Ok(Function::Write),
        _ => Function::from_name(name).ok_or_else(|| {
            let names = function_names();
            Flaw::new(at, format_args!("unknown function {name:?}; expected one of {names}"))
        }),
    }
}

/// A list of integers and nulls as a value.
pub(super) fn list(ints: &[Option<i64>]) -> Value {
    Value::list(ints.iter().map(|n| n.map_or(Value::Null, Value::Int)))
}

/// What is told of a fault.
pub(super) fn fault_value(value: Slot<'_>, ints: &[Option<i64>]) -> Value {
    match value {
        Slot::Absent | Slot::Null => Value::Null,
        Slot::Int(n) => Value::Int(n),
        Slot::Text(text) => Value::text(text),
        Slot::Ints => list(ints),
        Slot::Other(value) => value,
    }
}

struct Reader {
    builder: Builder,
    nemesis: Nemesis,
    accesses: Vec<Access>,
}

impl AsMut<Builder> for Reader {
    fn as_mut(&mut self) -> &mut Builder {
        &mut self.builder
    }
}

impl Reader {
    fn add(&mut self, start: usize, event: Fields<'_>, ints: &[Option<i64>]) -> Result<(), Flaw> {
        let process = match event.who {
            Who::Client(process) => Process(process),
            Who::Other(_) => return self.add_fault(start, event, ints),
        };
        if event.fault.is_some() || event.begins.is_some() {
            let what = "a client's line with fault or begins; expected them of the nemesis only";
            return Err(Flaw::new(start, what));
        }
        let function = function(&event.function.0, event.function.1)?;
        let telling = Telling { kind: event.kind, is_whole: false };
        let key = key(&mut self.builder, telling, function, &event.key);
        self.accesses.clear();
        value(&mut self.builder, telling, function, key, &event.value, ints, &mut self.accesses)
            .map_err(|what| Flaw::new(event.value_at, what))?;
        let line = Line {
            index: event.index,
            time: Nanos(event.time),
            process,
            kind: event.kind,
            function,
            session: event.session,
            node: event.node.as_deref().map(|node| self.builder.node(node)),
            version: event.version,
            is_final: event.is_final,
        };
        let txn = self
            .builder
            .line(line, &self.accesses)
            .map_err(|malformed| Flaw::new(start, malformed))?;
        self.builder.waited(txn, event.waited);
        if let Some(error) = &event.error {
            self.builder.error(txn, error);
        }
        Ok(())
    }

    fn add_fault(
        &mut self,
        start: usize,
        event: Fields<'_>,
        ints: &[Option<i64>],
    ) -> Result<(), Flaw> {
        if event.kind != Kind::Info {
            return Err(Flaw::new(start, "a nemesis that is no info; expected \"type\":\"info\""));
        }
        let line = NemesisLine {
            index: event.index,
            time: Nanos(event.time),
            name: &event.function.0,
            value: fault_value(event.value, ints),
            id: event.fault.map(FaultId),
            begins: event.begins,
        };
        self.nemesis.line(&mut self.builder, line).map_err(|malformed| Flaw::new(start, malformed))
    }
}

/// The id of a key as it stands in its field.
pub(super) fn key(
    builder: &mut Builder,
    telling: Telling,
    function: Function,
    slot: &Slot<'_>,
) -> KeyId {
    match slot {
        _ if !shape::needs_key(telling, function) => shape::NO_KEY,
        Slot::Text(text) => builder.text_key(text),
        Slot::Int(n) => builder.key(&Value::Int(*n)),
        Slot::Absent | Slot::Null | Slot::Ints => builder.key(&Value::Null),
        Slot::Other(value) => builder.key(value),
    }
}

/// The micro-operations of an operation, its value as it stands in its field. What histories are
/// made of goes straight to its ids; everything else becomes a `Value` first.
pub(super) fn value(
    builder: &mut Builder,
    telling: Telling,
    function: Function,
    key: KeyId,
    slot: &Slot<'_>,
    ints: &[Option<i64>],
    accesses: &mut Vec<Access>,
) -> Result<(), String> {
    let is_simple = !matches!(
        function,
        Function::Cas
            | Function::Rmw
            | Function::Txn
            | Function::Increment
            | Function::Init
            | Function::Buy
    );
    let int = |builder: &mut Builder, n: i64| builder.int_value(n);
    let id = match (slot, function, ints) {
        (Slot::Int(_) | Slot::Text(_) | Slot::Ints, ..)
            if is_simple && is_unknown(telling.kind, function, function) =>
        {
            ValueId::UNKNOWN
        }
        (Slot::Int(n), ..) if is_simple => builder.int_value(*n),
        (Slot::Text(text), ..) if is_simple => builder.text_value(text),
        (Slot::Ints, ..) if is_simple => ints.iter().fold(ValueId::EMPTY, |prefix, n| {
            let last = n.map_or(ValueId::NULL, |n| int(builder, n));
            builder.append_value(prefix, last)
        }),
        (Slot::Ints, Function::Cas | Function::Rmw, [Some(old), Some(new)]) => {
            let old = if is_unknown(telling.kind, function, Function::Read) {
                ValueId::UNKNOWN
            } else {
                builder.int_value(*old)
            };
            let new = builder.int_value(*new);
            shape::update(key, old, new, accesses);
            return Ok(());
        }
        (Slot::Absent, ..) => return shape::missing(builder, telling, function, key, accesses),
        _ => {
            let value = match slot {
                Slot::Int(n) => Value::Int(*n),
                Slot::Text(text) => Value::text(text),
                Slot::Ints => list(ints),
                Slot::Other(value) => value.clone(),
                Slot::Absent | Slot::Null => Value::Null,
            };
            return shape::accesses(builder, telling, function, key, Some(&value), accesses);
        }
    };
    accesses.push(Access { function, key, value: id });
    Ok(())
}
