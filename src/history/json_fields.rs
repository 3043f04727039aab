//! The fields of a line of JSON: one table for the event form and the operation form.

use std::borrow::Cow;

use crate::history::json::{Json, Slot};
use crate::history::read::Flaw;
use crate::model::{Kind, Nanos};

/// The greatest number that is an id.
pub(super) const ID_MAX: u64 = u32::MAX as u64 - 16;

/// Who a line speaks of.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Who<'a> {
    Client(u32),
    /// `nemesis`, or another part of the test that is no client.
    Other(&'a str),
}

/// The fields of one line, as they stand.
pub(super) struct Fields<'a> {
    pub(super) index: Option<u32>,
    /// Nanoseconds of an event.
    pub(super) time: u64,
    /// Nanoseconds of a whole operation.
    pub(super) invoked: u64,
    pub(super) returned: Option<u64>,
    pub(super) who: Who<'a>,
    pub(super) kind: Kind,
    /// The name, and where it stands.
    pub(super) function: (Cow<'a, str>, usize),
    pub(super) key: Slot<'a>,
    pub(super) value: Slot<'a>,
    pub(super) value_at: usize,
    pub(super) node: Option<Cow<'a, str>>,
    pub(super) session: Option<u32>,
    pub(super) version: Option<i64>,
    pub(super) is_final: bool,
    pub(super) waited: Nanos,
    pub(super) error: Option<Cow<'a, str>>,
    pub(super) fault: Option<u32>,
    pub(super) begins: Option<bool>,
}

/// What tells the two forms apart.
pub(super) struct Form {
    /// Whether a line is a whole operation.
    pub(super) is_whole: bool,
    /// The names of all fields, for messages.
    pub(super) names: &'static str,
    /// The fields no line may lack, by bit, and what a message says of each; a whole fault has no type.
    pub(super) required: &'static [(u32, &'static str)],
}

/// The bits of fields that may be required.
pub(super) const TIME: u32 = 1;
pub(super) const PROCESS: u32 = 2;
pub(super) const TYPE: u32 = 3;
pub(super) const FUNCTION: u32 = 4;

/// Reads the fields of a line, in any order.
pub(super) fn fields<'a>(json: &mut Json<'a>, form: &Form) -> Result<Fields<'a>, Flaw> {
    json.open_object()?;
    let start = json.at;
    let mut fields = Fields {
        index: None,
        time: 0,
        invoked: 0,
        returned: None,
        who: Who::Client(0),
        kind: Kind::Info,
        function: ("".into(), start),
        key: Slot::Absent,
        value: Slot::Absent,
        value_at: start,
        node: None,
        session: None,
        version: None,
        is_final: false,
        waited: Nanos(0),
        error: None,
        fault: None,
        begins: None,
    };
    let id = |json: &mut Json<'a>, expected| json.natural(ID_MAX, expected).map(|id| id as u32);
    let mut seen = 0_u32;
    loop {
        let at = json.at;
        let Some(name) = json.field(seen == 0)? else { break };
        let bit = match name {
            "index" | "i" => {
                fields.index = Some(id(json, "an index: a whole number")?);
                0
            }
            "time" if !form.is_whole => {
                fields.time = json.natural(u64::MAX - 1, "a time: nanoseconds, a whole number")?;
                TIME
            }
            "inv" if form.is_whole => {
                fields.invoked = json.millis()?;
                TIME
            }
            "process" | "p" => {
                fields.who = if json.is_at_text() {
                    Who::Other(json.word("a process")?)
                } else {
                    Who::Client(id(json, "a process: a whole number, or \"nemesis\"")?)
                };
                PROCESS
            }
            "type" => {
                fields.kind = kind(json, form.is_whole)?;
                TYPE
            }
            "f" => {
                let at = json.at;
                fields.function = (json.text("the name of a function in quotes")?, at);
                FUNCTION
            }
            "key" | "k" => {
                fields.key = json.key_slot()?;
                5
            }
            "value" | "v" => {
                fields.value_at = json.at;
                fields.value = json.slot()?;
                6
            }
            "node" => {
                fields.node = Some(json.text("the name of a node in quotes")?);
                7
            }
            "session" | "s" => {
                fields.session = Some(id(json, "a session: a whole number")?);
                8
            }
            "version" => {
                fields.version = Some(json.integer("a version: an integer")?);
                9
            }
            "final" => {
                fields.is_final = json.boolean()?;
                10
            }
            "waited_ns" => {
                let waited = json.natural(u64::MAX - 1, "a wait: nanoseconds, a whole number")?;
                fields.waited = Nanos(waited);
                14
            }
            "error" => {
                fields.error = Some(json.text("an error: a text")?);
                11
            }
            "fault" => {
                fields.fault = Some(id(json, "the number of a fault: a whole number")?);
                12
            }
            "begins" if !form.is_whole => {
                fields.begins = Some(json.boolean()?);
                13
            }
            "ret" if form.is_whole => {
                fields.returned = if json.null() { None } else { Some(json.millis()?) };
                13
            }
            _ => {
                let what = format!("unknown field {name:?}; expected one of {}", form.names);
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
    let is_fault = form.is_whole && fields.fault.is_some();
    for (bit, name) in form.required {
        if seen & 1 << bit == 0 && !(is_fault && *bit == TYPE) {
            return Err(Flaw::new(end - 1, format_args!("missing field {name}")));
        }
    }
    Ok(fields)
}

fn kind(json: &mut Json<'_>, is_whole: bool) -> Result<Kind, Flaw> {
    let at = json.at;
    let (quoted, names) = if is_whole {
        ("a type: \"ok\", \"fail\" or \"info\"", "ok, fail or info")
    } else {
        ("a type: \"invoke\", \"ok\", \"fail\" or \"info\"", "invoke, ok, fail or info")
    };
    match json.word(quoted)? {
        "invoke" if !is_whole => Ok(Kind::Invoke),
        "ok" => Ok(Kind::Ok),
        "fail" => Ok(Kind::Fail),
        "info" => Ok(Kind::Info),
        other => Err(Flaw::new(at, format_args!("unknown type {other:?}; expected {names}"))),
    }
}
