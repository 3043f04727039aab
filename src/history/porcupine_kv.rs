//! Reads the key-value logs of Porcupine's tests:
//! `{:process 0, :type :invoke, :f :append, :key "0", :value "x 0 0 y"}`.
//!
//! Keys hold texts that are put, appended to and got; each is the empty text at first, so a `get`
//! that returns `""` read the initial value, as does one after `put ""`.

use crate::history::edn_fields::{self, Fields, Who};
use crate::history::edn_scan::{Edn, Slot};
use crate::history::jsonl;
use crate::history::read::Flaw;
use crate::history::shape::{self, Telling};
use crate::history::{Builder, History, Line};
use crate::model::{Function, Nanos, Process, Value};

/// Reads a whole file.
pub(super) fn read(text: &str) -> Result<History, Flaw> {
    let mut builder = Builder::new();
    edn_fields::operations(&mut Edn::new(text), None, |_, fields| add(&mut builder, fields))?;
    jsonl::finish(builder, text)
}

fn add(builder: &mut Builder, fields: Fields<'_>) -> Result<(), Flaw> {
    let flaw = |what: &str| Flaw::new(fields.start, what);
    let Who::Client(process) = fields.process else {
        return Err(flaw("missing field :process; expected a whole number"));
    };
    let Some((name, at)) = fields.function else {
        return Err(flaw("missing field :f; expected :get, :put or :append"));
    };
    let function = match name {
        "get" => Function::Read,
        "put" => Function::Write,
        "append" => Function::Append,
        _ => {
            let what = format!("unknown function :{name}; expected :get, :put or :append");
            return Err(Flaw::new(at, what));
        }
    };
    let Some(key) = &fields.key else {
        return Err(flaw("missing field :key; expected a text"));
    };
    let value = match fields.value {
        Slot::Nil | Slot::Absent => Value::Null,
        Slot::Other(Value::Text(text)) if text.is_empty() && function != Function::Append => {
            Value::Null
        }
        Slot::Other(text @ Value::Text(_)) => text,
        _ => return Err(Flaw::new(fields.value_at, "wrong kind of value; expected a text or nil")),
    };
    let telling = Telling { kind: fields.kind, is_whole: false };
    let mut accesses = Vec::new();
    if !telling.only_ends() {
        let key = builder.key(key);
        shape::accesses(builder, telling, function, key, Some(&value), &mut accesses)
            .map_err(|what| Flaw::new(fields.value_at, what))?;
    }
    let line = Line {
        index: fields.index,
        time: Nanos(fields.time.unwrap_or(0)),
        process: Process(process),
        kind: fields.kind,
        function,
        session: None,
        node: None,
        version: None,
        is_final: false,
    };
    builder.line(line, &accesses).map_err(|malformed| flaw(&malformed.to_string()))?;
    Ok(())
}
