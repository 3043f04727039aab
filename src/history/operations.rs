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

use crate::history::json::Json;
use crate::history::json_fields::{FUNCTION, Fields, Form, PROCESS, TIME, TYPE, Who, fields};
use crate::history::json_lines;
use crate::history::jsonl;
use crate::history::read::Flaw;
use crate::history::shape::Telling;
use crate::history::{Builder, FaultWindow, History, Malformed, Operation};
use crate::model::{FaultId, Nanos, Process};

const FORM: Form = Form {
    is_whole: true,
    names: "i, p, s, type, inv, ret, f, k, v, node, version, final, waited_ns, error, fault",
    required: &[
        (PROCESS, "\"p\", the process"),
        (TYPE, "\"type\": ok, fail or info"),
        (TIME, "\"inv\", when it was invoked"),
        (FUNCTION, "\"f\", what was done"),
    ],
};

/// Reads a whole file. `is_torn` says that the end of its last line is missing already.
pub(super) fn read(text: &str, is_torn: bool) -> Result<History, Flaw> {
    let mut json = Json::new(text);
    let mut builder = Builder::new();
    jsonl::header(&mut json, &mut builder)?;
    json_lines::read(&json, text, is_torn, |json| fields(json, &FORM), &mut builder, add)?;
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
        let fields = fields(&mut json, &FORM).ok()?;
        if matches!(fields.who, Who::Client(_)) {
            if fields.index.unwrap_or(counted) == index {
                return Some(start);
            }
            counted += 1;
        }
    }
}

fn add(
    builder: &mut Builder,
    start: usize,
    fields: Fields<'_>,
    ints: &[Option<i64>],
) -> Result<(), Flaw> {
    let (Who::Client(process), kind, None) = (fields.who, fields.kind, fields.fault) else {
        return add_fault(builder, start, fields, ints);
    };
    let function = jsonl::function(&fields.function.0, fields.function.1)?;
    let telling = Telling { kind, is_whole: true };
    let key = jsonl::key(builder, telling, function, &fields.key);
    let mut accesses = Vec::new();
    jsonl::value(builder, telling, function, key, &fields.value, ints, &mut accesses)
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
        builder.operation(operation, &accesses).map_err(|malformed| Flaw::new(start, malformed))?;
    builder.waited(txn, fields.waited);
    if let Some(error) = &fields.error {
        builder.error(txn, error);
    }
    Ok(())
}

fn add_fault(
    builder: &mut Builder,
    start: usize,
    fields: Fields<'_>,
    ints: &[Option<i64>],
) -> Result<(), Flaw> {
    let (Who::Other(_), Some(fault)) = (fields.who, fields.fault) else {
        let what = "half a fault; expected \"p\":\"nemesis\" and \"fault\" together";
        return Err(Flaw::new(start, what));
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
        value: jsonl::fault_value(fields.value, ints),
    });
    Ok(())
}
