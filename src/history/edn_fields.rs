//! The maps of an EDN history, one an operation, as they stand.

use crate::history::edn_scan::{Edn, Slot};
use crate::history::json::function_names;
use crate::history::json_fields::ID_MAX;
use crate::history::read::Flaw;
use crate::model::{Function, Kind, Nanos, Value};

/// The fields of one operation, as they stand.
pub(super) struct Fields<'a> {
    pub(super) start: usize,
    pub(super) index: Option<u32>,
    pub(super) time: Option<u64>,
    pub(super) process: Who<'a>,
    pub(super) kind: Kind,
    pub(super) function: Option<(&'a str, usize)>,
    /// Porcupine's logs have one, and ours where a `[k v]` tuple might be taken for a value.
    pub(super) key: Option<Value>,
    pub(super) value: Slot,
    pub(super) value_at: usize,
    pub(super) node: Option<Value>,
    pub(super) session: Option<u32>,
    pub(super) version: Option<i64>,
    pub(super) is_final: bool,
    pub(super) waited: Nanos,
    pub(super) error: Option<Value>,
    pub(super) fault: Option<u32>,
    pub(super) begins: Option<bool>,
}

/// Who a line speaks of.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Who<'a> {
    Nobody,
    Client(u32),
    /// `:nemesis`, or another part of the test that is no client.
    Other(&'a str),
}

/// Passes the bracket around a whole history, if there is one, and says where it is.
pub(super) fn opening(edn: &mut Edn<'_>) -> Result<Option<usize>, Flaw> {
    edn.blanks()?;
    let at = edn.at;
    let is_open = matches!(edn.peek(), Some(b'[' | b'('));
    edn.at += usize::from(is_open);
    Ok(is_open.then_some(at))
}

/// Calls `each` with every operation of a text from the cursor on, in order; `around` is where a
/// bracket around the whole history was passed.
pub(super) fn operations<'a, E: From<Flaw>>(
    edn: &mut Edn<'a>,
    mut around: Option<usize>,
    mut each: impl FnMut(&mut Edn<'a>, Fields<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut is_over = false;
    loop {
        edn.blanks()?;
        let tagged = edn.at;
        edn.tags()?;
        match edn.peek() {
            None if tagged != edn.at => return edn.unexpected("an operation after a tag")?,
            None => match around {
                None => return Ok(()),
                Some(start) => return edn.unclosed(start)?,
            },
            Some(b'{') if !is_over => {
                let fields = fields(edn)?;
                each(edn, fields)?;
            }
            Some(b'[' | b'(') if around.is_none() && !is_over => {
                around = Some(edn.at);
                edn.at += 1;
            }
            Some(close @ (b']' | b')')) if around.is_some_and(|at| edn.closes(at, close)) => {
                (around, is_over) = (None, true);
                edn.at += 1;
            }
            Some(_) if is_over => {
                return edn.unexpected("the end of the file after the history")?;
            }
            Some(_) => return edn.unexpected("an operation: a map, such as {:type :invoke, …}")?,
        }
    }
}

/// Reads the map of one operation; fields of no use here are passed.
pub(super) fn fields<'a>(edn: &mut Edn<'a>) -> Result<Fields<'a>, Flaw> {
    let start = edn.at;
    let mut fields = Fields {
        start,
        index: None,
        time: None,
        process: Who::Nobody,
        kind: Kind::Info,
        function: None,
        key: None,
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
    let mut seen: u32 = 0;
    edn.at += 1;
    loop {
        edn.blanks()?;
        let at = edn.at;
        let name = match edn.peek() {
            Some(b'}') => {
                edn.at += 1;
                break;
            }
            None => return edn.unclosed(start),
            Some(b':') => edn.keyword("a keyword")?,
            Some(_) => {
                edn.form()?;
                ""
            }
        };
        edn.blanks()?;
        if let None | Some(b'}') = edn.peek() {
            return edn.unexpected("a value for this field");
        }
        let bit = match name {
            "index" => {
                fields.index = whole(edn, ID_MAX, "an index: a whole number")?.map(|n| n as u32);
                0
            }
            "time" => {
                // Before the start, or unknown: -1.
                fields.time = match edn.form()? {
                    Value::Int(n) => u64::try_from(n).ok(),
                    Value::Null => None,
                    _ => {
                        return Err(Flaw::new(at, "wrong :time; expected nanoseconds, an integer"));
                    }
                };
                1
            }
            "process" => {
                fields.process = who(edn)?;
                2
            }
            "type" => {
                let at = edn.at;
                fields.kind = kind(edn.name("a type: :invoke, :ok, :fail or :info")?, at)?;
                3
            }
            "f" => {
                let at = edn.at;
                fields.function =
                    if edn.nil() { None } else { Some((edn.name("the name of a function")?, at)) };
                4
            }
            "value" => {
                fields.value_at = edn.at;
                fields.value = edn.slot()?;
                5
            }
            "key" => {
                fields.key = Some(edn.form()?);
                6
            }
            "error" => {
                fields.error = Some(edn.form()?);
                7
            }
            "node" => {
                fields.node = Some(edn.form()?);
                8
            }
            "session" => {
                fields.session = whole(edn, ID_MAX, "a session: a whole number")?.map(|n| n as u32);
                9
            }
            "version" => {
                fields.version = edn.form()?.as_int();
                10
            }
            "final" | "final?" => {
                fields.is_final = edn.form()? == Value::Bool(true);
                11
            }
            "waited-ns" => {
                let waited = whole(edn, u64::MAX - 1, "a wait: nanoseconds, a whole number")?;
                fields.waited = Nanos(waited.unwrap_or(0));
                14
            }
            "fault" => {
                fields.fault = edn.form()?.as_int().and_then(|n| u32::try_from(n).ok());
                12
            }
            "begins" => {
                fields.begins = Some(edn.form()? == Value::Bool(true));
                13
            }
            _ => {
                edn.form()?;
                continue;
            }
        };
        if seen & 1 << bit != 0 {
            return Err(Flaw::new(at, format_args!("duplicate field :{name}; expected it once")));
        }
        seen |= 1 << bit;
    }
    if seen & 1 << 3 == 0 {
        return Err(Flaw::new(start, "missing field :type; expected :invoke, :ok, :fail or :info"));
    }
    Ok(fields)
}

fn whole(edn: &mut Edn<'_>, max: u64, expected: &str) -> Result<Option<u64>, Flaw> {
    if edn.nil() {
        return Ok(None);
    }
    let start = edn.at;
    let number = edn.int().and_then(|n| u64::try_from(n).ok()).filter(|n| *n <= max);
    if number.is_none() {
        edn.at = start;
        return edn.unexpected(expected);
    }
    Ok(number)
}

pub(super) fn who<'a>(edn: &mut Edn<'a>) -> Result<Who<'a>, Flaw> {
    if edn.nil() {
        return Ok(Who::Nobody);
    }
    match edn.peek() {
        Some(b'0'..=b'9' | b'-' | b'+') => {
            let process = whole(edn, ID_MAX, "a process: a whole number, or :nemesis")?;
            Ok(process.map_or(Who::Nobody, |process| Who::Client(process as u32)))
        }
        _ => edn.name("a process: a whole number, or :nemesis").map(Who::Other),
    }
}

pub(super) fn kind(name: &str, at: usize) -> Result<Kind, Flaw> {
    match name {
        "invoke" => Ok(Kind::Invoke),
        "ok" => Ok(Kind::Ok),
        "fail" => Ok(Kind::Fail),
        "info" => Ok(Kind::Info),
        other => Err(Flaw::new(
            at,
            format_args!("unknown type :{other}; expected :invoke, :ok, :fail or :info"),
        )),
    }
}

pub(super) fn function((name, at): (&str, usize)) -> Result<Function, Flaw> {
    Function::from_name(name).ok_or_else(|| {
        let names = function_names();
        Flaw::new(at, format_args!("unknown function :{name}; expected one of {names}"))
    })
}
