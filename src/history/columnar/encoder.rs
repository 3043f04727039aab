//! Writes the columnar form, whose specification is at the head of `columnar.rs`.

use std::io::{self, Write};
use std::mem;

use rustc_hash::FxHashMap;

use crate::history::columnar::{
    COLUMNS, Column, ERROR, FAULT, FINAL, KINDS, MAGIC, NODE, SESSION, VERSION, VERSIONED, WAITED,
    checksum,
};
use crate::history::timeline::{Timeline, event};
use crate::history::{Header, History};
use crate::model::{ClientEvent, Event, FaultEvent, Function, Kind, Nanos, Op, Value, What};

/// A block that has as many events, or bytes, is written.
const EVENTS: u32 = 1 << 14;
const BYTES: usize = 1 << 20;
/// What zstd is told: higher levels take much longer and save little.
const LEVEL: i32 = 1;

/// Writes a whole history: the events that the event form would have as lines.
pub(in crate::history) fn write(history: &History, to: &mut dyn Write) -> io::Result<()> {
    to.write_all(&MAGIC)?;
    to.write_all(&[VERSION])?;
    let header = history.header().map(|header| Header { format: 1, ..header.clone() });
    write_block(to, 0, &serde_json::to_vec(&header).map_err(io::Error::other)?)?;
    let mut block = Block::default();
    for (index, part) in Timeline::of(history).indexed() {
        block.event(index, &event(history, part));
        if block.events == EVENTS || block.bytes() >= BYTES {
            mem::take(&mut block).write(to)?;
        }
    }
    if block.events > 0 {
        block.write(to)?;
    }
    write_block(to, 0, &[])
}

fn write_block(to: &mut dyn Write, events: u32, data: &[u8]) -> io::Result<()> {
    let length = u32::try_from(data.len()).map_err(io::Error::other)?;
    let mut head = Vec::with_capacity(16);
    for number in [length, events, checksum(data)] {
        head.extend(number.to_le_bytes());
    }
    head.extend(checksum(&head).to_le_bytes());
    to.write_all(&head)?;
    to.write_all(data)
}

fn push_number(column: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        column.push(number as u8 | 0x80);
        number >>= 7;
    }
    column.push(number as u8);
}

/// The events of a block, column by column.
#[derive(Default)]
struct Block {
    events: u32,
    columns: [Vec<u8>; COLUMNS],
    /// What a difference of each column is added to.
    last: [u64; COLUMNS],
    keys: FxHashMap<Value, u64>,
    texts: FxHashMap<Box<str>, u64>,
}

impl Block {
    fn bytes(&self) -> usize {
        self.columns.iter().map(Vec::len).sum()
    }

    fn write(self, to: &mut dyn Write) -> io::Result<()> {
        let mut data = Vec::with_capacity(self.bytes() + 5 * COLUMNS);
        for column in &self.columns {
            push_number(&mut data, column.len() as u64);
            data.extend_from_slice(column);
        }
        write_block(to, self.events, &zstd::bulk::compress(&data, LEVEL)?)
    }

    fn byte(&mut self, column: Column, byte: u8) {
        self.columns[column as usize].push(byte);
    }

    fn number(&mut self, column: Column, number: u64) {
        push_number(&mut self.columns[column as usize], number);
    }

    fn difference(&mut self, column: Column, number: u64) {
        let last = mem::replace(&mut self.last[column as usize], number);
        let difference = number.wrapping_sub(last) as i64;
        self.number(column, (difference << 1 ^ difference >> 63) as u64);
    }

    fn text(&mut self, column: Column, text: &str) {
        if let Some(place) = self.texts.get(text) {
            return self.number(column, *place);
        }
        self.texts.insert(text.into(), self.texts.len() as u64 + 1);
        self.number(column, 0);
        self.number(Column::Bytes, text.len() as u64);
        self.columns[Column::Bytes as usize].extend_from_slice(text.as_bytes());
    }

    fn key(&mut self, key: &Value) {
        if let Some(place) = self.keys.get(key) {
            return self.number(Column::Key, *place);
        }
        self.keys.insert(key.clone(), self.keys.len() as u64 + 1);
        self.number(Column::Key, 0);
        self.value(key);
    }

    fn value(&mut self, value: &Value) {
        let tag = match value {
            Value::Null => 0,
            Value::Bool(false) => 1,
            Value::Bool(true) => 2,
            Value::Int(_) => 3,
            Value::Decimal(_) => 4,
            Value::Text(_) => 5,
            Value::List(_) => 6,
            Value::Map(_) => 7,
        };
        self.byte(Column::Tag, tag);
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Int(n) => self.difference(Column::Integer, *n as u64),
            Value::Decimal(text) | Value::Text(text) => self.text(Column::Text, text),
            Value::List(items) => self.list(items.iter()),
            Value::Map(entries) => {
                self.number(Column::Count, entries.len() as u64);
                for (key, value) in entries.iter() {
                    self.value(key);
                    self.value(value);
                }
            }
        }
    }

    fn list<'v>(&mut self, items: impl ExactSizeIterator<Item = &'v Value>) {
        self.number(Column::Count, items.len() as u64);
        for item in items {
            self.value(item);
        }
    }

    fn event(&mut self, index: u32, event: &Event) {
        self.events += 1;
        self.difference(Column::Index, u64::from(index));
        self.difference(Column::Time, event.time.0);
        match &event.what {
            What::Client(client) => self.client(client),
            What::Fault(fault) => self.fault(fault),
        }
    }

    fn fault(&mut self, fault: &FaultEvent) {
        self.byte(Column::Kind, FAULT);
        self.byte(Column::Flags, if fault.begins { FINAL } else { 0 });
        self.number(Column::Process, fault.id.map_or(0, |id| u64::from(id.0) + 1));
        self.text(Column::Function, &fault.name);
        self.value(&fault.value);
    }

    fn client(&mut self, client: &ClientEvent) {
        let kind = KINDS.iter().position(|kind| *kind == client.kind).unwrap_or_default();
        self.byte(Column::Kind, kind as u8);
        self.number(Column::Process, u64::from(client.process.0));
        self.text(Column::Function, client.op.function.name());
        let mut flags = if client.is_final { FINAL } else { 0 };
        if let Some(session) = client.session.filter(|session| *session != client.process.0) {
            flags |= SESSION;
            self.number(Column::Session, u64::from(session));
        }
        if let Some(node) = &client.node {
            flags |= NODE;
            self.text(Column::Node, node);
        }
        if let Some(version) = client.version {
            flags |= VERSIONED;
            self.difference(Column::Version, version as u64);
        }
        if client.waited > Nanos(0) {
            flags |= WAITED;
            self.number(Column::Waited, client.waited.0);
        }
        if let Some(error) = &client.error {
            flags |= ERROR;
            self.text(Column::Error, error);
        }
        self.byte(Column::Flags, flags);
        if matches!(client.kind, Kind::Invoke | Kind::Ok) {
            self.subject(&client.op);
        }
    }

    /// The key and the value of an operation, or the micro-operations of a transaction.
    fn subject(&mut self, op: &Op) {
        if op.function == Function::Txn {
            self.number(Column::Count, op.mops.len() as u64);
            for mop in &op.mops {
                self.text(Column::Function, mop.function.name());
                self.key(&mop.key);
                self.value(&mop.value);
            }
            return;
        }
        self.key(op.key());
        match op.mops.as_slice() {
            [] => self.value(&Value::Null),
            [mop] => self.value(&mop.value),
            mops => {
                self.byte(Column::Tag, 6);
                self.list(mops.iter().map(|mop| &mop.value));
            }
        }
    }
}
