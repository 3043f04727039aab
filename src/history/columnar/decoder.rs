//! Takes the events of a block out of its columns.

use std::sync::Arc;

use crate::history::columnar::{
    COLUMNS, Column, ERROR, FAULT, FINAL, KINDS, NODE, SESSION, VERSIONED, WAITED,
};
use crate::history::json::DEPTH_MAX;
use crate::history::json_fields::ID_MAX;
use crate::history::{Line, jsonl, shape};
use crate::model::{FaultEvent, FaultId, Function, Kind, Nanos, Process, Value};

pub(super) enum Row {
    Client { line: Line, node: Option<u32>, waited: Nanos, error: Option<u32>, parts: usize },
    Fault { index: u32, time: Nanos, fault: FaultEvent },
}

/// A function, a key (a place in [`Decoder::keys`]) and a value: all of an operation, or a micro-operation
/// of a transaction.
pub(super) struct Part {
    pub(super) function: Function,
    pub(super) key: u32,
    pub(super) value: Value,
}

/// A block whose events are taken one after the other.
pub(super) struct Decoder<'a> {
    pub(super) columns: [&'a [u8]; COLUMNS],
    /// What a difference of each column is added to.
    last: [u64; COLUMNS],
    pub(super) parts: Vec<Part>,
    pub(super) keys: Vec<Value>,
    pub(super) texts: Vec<Arc<str>>,
    /// Those texts that were read as functions already.
    functions: Vec<Option<Function>>,
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Some(number);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

fn small(number: u64) -> Result<u32, String> {
    let fits = u32::try_from(number).ok().filter(|_| number <= ID_MAX);
    fits.ok_or_else(|| format!("the number {number}; expected at most {ID_MAX}"))
}

fn nanos(number: u64) -> Result<Nanos, String> {
    let is_never = Nanos(number) == Nanos::FOREVER;
    if is_never { Err(format!("the time {number}; expected less")) } else { Ok(Nanos(number)) }
}

impl<'a> Decoder<'a> {
    pub(super) fn new(mut bytes: &'a [u8]) -> Result<Self, String> {
        let mut columns = [bytes; COLUMNS];
        for (at, column) in columns.iter_mut().enumerate() {
            let length = number(&mut bytes);
            let taken = length.and_then(|length| take(&mut bytes, length));
            *column = taken.ok_or_else(|| format!("its data end before its column {}", at + 1))?;
        }
        if !bytes.is_empty() {
            return Err("its data go on after the last column".to_owned());
        }
        let (keys, texts, functions) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { columns, last: [0; COLUMNS], parts: Vec::new(), keys, texts, functions })
    }

    fn byte(&mut self, column: Column) -> Result<u8, String> {
        let Some((byte, rest)) = self.columns[column as usize].split_first() else {
            return Err(ends(column));
        };
        self.columns[column as usize] = rest;
        Ok(*byte)
    }

    fn number(&mut self, column: Column) -> Result<u64, String> {
        number(&mut self.columns[column as usize]).ok_or_else(|| ends(column))
    }

    fn difference(&mut self, column: Column) -> Result<u64, String> {
        let number = self.number(column)?;
        let difference = (number >> 1) ^ (number & 1).wrapping_neg();
        let last = &mut self.last[column as usize];
        *last = last.wrapping_add(difference);
        Ok(*last)
    }

    /// A place in `texts`.
    fn text(&mut self, column: Column) -> Result<u32, String> {
        if let Some(place) = self.number(column)?.checked_sub(1) {
            return known(place, self.texts.len(), "text");
        }
        let length = self.number(Column::Bytes)?;
        let bytes = take(&mut self.columns[Column::Bytes as usize], length);
        let text = std::str::from_utf8(bytes.ok_or_else(|| ends(Column::Bytes))?);
        self.texts.push(text.map_err(|_| "a text that is not UTF-8".to_owned())?.into());
        self.functions.push(None);
        Ok(self.texts.len() as u32 - 1)
    }

    fn function(&mut self) -> Result<Function, String> {
        let place = self.text(Column::Function)? as usize;
        if let Some(function) = self.functions[place] {
            return Ok(function);
        }
        let function = jsonl::function(&self.texts[place], 0).map_err(|flaw| flaw.what)?;
        self.functions[place] = Some(function);
        Ok(function)
    }

    /// A place in `keys`.
    fn key(&mut self) -> Result<u32, String> {
        if let Some(place) = self.number(Column::Key)?.checked_sub(1) {
            return known(place, self.keys.len(), "key");
        }
        let key = self.value(0)?;
        self.keys.push(key);
        Ok(self.keys.len() as u32 - 1)
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nested too deeply; expected at most {DEPTH_MAX} levels"));
        }
        match self.byte(Column::Tag)? {
            0 => Ok(Value::Null),
            1 => Ok(Value::Bool(false)),
            2 => Ok(Value::Bool(true)),
            3 => Ok(Value::Int(self.difference(Column::Integer)? as i64)),
            4 => Ok(Value::Decimal(self.owned_text()?)),
            5 => Ok(Value::Text(self.owned_text()?)),
            6 => {
                let count = self.count()?;
                let mut items = Vec::with_capacity(count);
                for _ in 0..count {
                    items.push(self.value(depth + 1)?);
                }
                Ok(Value::List(items.into()))
            }
            7 => {
                let count = self.count()?;
                let mut entries: Vec<(Value, Value)> = Vec::with_capacity(count);
                for _ in 0..count {
                    let key = self.value(depth + 1)?;
                    if entries.iter().any(|(other, _)| *other == key) {
                        return Err(format!("a map that has the key {key} twice"));
                    }
                    entries.push((key, self.value(depth + 1)?));
                }
                Ok(Value::Map(entries.into()))
            }
            tag => Err(format!("a value with tag {tag}; expected 0 to 7")),
        }
    }

    fn owned_text(&mut self) -> Result<Arc<str>, String> {
        let place = self.text(Column::Text)?;
        Ok(self.texts[place as usize].clone())
    }

    /// How many elements follow; each of them has a tag, so there are no more than tags.
    fn count(&mut self) -> Result<usize, String> {
        let (count, most) = (self.number(Column::Count)?, self.columns[Column::Tag as usize].len());
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= most)
            .ok_or_else(|| format!("{count} elements where only {most} values follow"))
    }

    pub(super) fn row(&mut self) -> Result<Row, String> {
        let kind = self.byte(Column::Kind)?;
        let flags = self.byte(Column::Flags)?;
        if flags >= 2 * ERROR {
            return Err(format!("the flags {flags}; expected less than {}", 2 * ERROR));
        }
        let index = small(self.difference(Column::Index)?)?;
        let time = nanos(self.difference(Column::Time)?)?;
        let process = self.number(Column::Process)?;
        if kind == FAULT {
            let id = process.checked_sub(1).map(small).transpose()?.map(FaultId);
            let name = self.text(Column::Function)? as usize;
            let (name, value) = (self.texts[name].clone(), self.value(0)?);
            let fault = FaultEvent { id, begins: flags & FINAL != 0, name, value };
            return Ok(Row::Fault { index, time, fault });
        }
        let Some(kind) = KINDS.get(kind as usize).copied() else {
            return Err(format!("the kind {kind}; expected 0 to {FAULT}"));
        };
        let function = self.function()?;
        let has = |flag: u8| flags & flag != 0;
        let session = if has(SESSION) { Some(small(self.number(Column::Session)?)?) } else { None };
        let node = if has(NODE) { Some(self.text(Column::Node)?) } else { None };
        let version =
            if has(VERSIONED) { Some(self.difference(Column::Version)? as i64) } else { None };
        let waited = if has(WAITED) { nanos(self.number(Column::Waited)?)? } else { Nanos(0) };
        let error = if has(ERROR) { Some(self.text(Column::Error)?) } else { None };
        let before = self.parts.len();
        if matches!(kind, Kind::Invoke | Kind::Ok) {
            self.parts(function)?;
        }
        let line = Line {
            index: Some(index),
            time,
            process: Process(small(process)?),
            kind,
            function,
            session,
            node: None,
            version,
            is_final: has(FINAL),
        };
        Ok(Row::Client { line, node, waited, error, parts: self.parts.len() - before })
    }

    fn parts(&mut self, function: Function) -> Result<(), String> {
        let is_txn = function == Function::Txn;
        for _ in 0..if is_txn { self.count()? } else { 1 } {
            let function = if is_txn { self.function()? } else { function };
            if is_txn && !shape::is_part(function) {
                return Err(format!("{} as a micro-operation", function.name()));
            }
            let part = Part { function, key: self.key()?, value: self.value(0)? };
            self.parts.push(part);
        }
        Ok(())
    }
}

fn ends(column: Column) -> String {
    format!("its column {} ends too early", column as usize + 1)
}

fn known(place: u64, known: usize, what: &str) -> Result<u32, String> {
    let place = usize::try_from(place).ok().filter(|place| *place < known);
    place.map(|place| place as u32).ok_or_else(|| format!("a {what} that was not there before"))
}
