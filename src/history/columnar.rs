//! Reads the columnar form: the events of the event form, column by column, for large histories.
//!
//! A file is the eight bytes `8e 52 43 4f 4c 0d 0a 01`, of which the last is the version of the format,
//! and then blocks. A block is a head of four numbers, each of four bytes with the lowest first, and data:
//!
//! ```text
//! length of the data, number of events, CRC-32 of the data, CRC-32 of these twelve bytes; data
//! ```
//!
//! The first block has no events: its data are the header as JSON, or `null`. Blocks of events follow, at
//! most 65,536 in each. A block without data ends the file; where it is missing the file was cut off,
//! and the whole blocks are read. No block of events needs another one to be read.
//!
//! The data of a block of events are a zstd frame, and in it the columns below, in this order, each after
//! its length in bytes. A *number* has seven bits a byte, the lowest first, and the highest bit of a byte
//! says that another follows. A *difference* is what is added, modulo 2^64, to what the column had before,
//! or to 0 at first; as a number it is doubled, or minus twice itself minus one if it is negative. A
//! *text* is a number: `n` for the n-th text of the block, from 1, or 0 for a new one, whose length and
//! bytes of UTF-8 are in `bytes`.
//!
//! | column | what it has |
//! | --- | --- |
//! | `kind` | of every event a byte: 0 `invoke`, 1 `ok`, 2 `fail`, 3 `info`, 4 a fault |
//! | `flags` | of every event a byte, the sum of 1 `final`, or a fault begins; and of what it has: 2 `session`, 4 `node`, 8 `version`, 16 `waited_ns`, 32 `error` |
//! | `index`, `time` | of every event a difference |
//! | `process` | of every event a number; of a fault its number and one more, or 0 |
//! | `function` | of every event a text; of a fault its name |
//! | `session`, `waited` | a number where the flags say so |
//! | `node`, `error` | a text where the flags say so |
//! | `version` | a difference where the flags say so |
//! | `count` | a number: how many micro-operations a `txn` has, elements a list, entries a map |
//! | `key` | a number: `n` for the n-th key of the block, from 1, or 0 for a new one, which is the next value |
//! | `tag` | of every value a byte: 0 null, 1 false, 2 true, 3 integer, 4 number with a fraction, 5 text, 6 list, 7 map |
//! | `integer` | a difference |
//! | `text` | a text, or a number with a fraction as one |
//! | `bytes` | what is said of texts above |
//!
//! An `invoke` or `ok` has a key and then a value, as in the event form; a `txn` has a count, and of each
//! micro-operation a function, a key and a value. `fail` and `info` have neither: they are those of the
//! invocation. A fault has a value. A list or map has its elements, or keys and values, after it.

mod decoder;
mod encoder;

use std::fmt::{Display, Write as _};
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use flate2::Crc;
use zstd::stream::read::Decoder as Zstd;

use crate::history::builder::is_unknown;
use crate::history::parts::in_order;
use crate::history::read::Flaw;
use crate::history::shape::{self, Telling};
use crate::history::{Access, Builder, Header, History, ValueId};
use crate::model::{Function, Kind, Value};
use decoder::{Decoder, Part, Row};

pub(super) use encoder::write;

/// What a file begins with; the version follows.
pub(super) const MAGIC: [u8; 7] = *b"\x8eRCOL\r\n";
const VERSION: u8 = 1;
/// Where the first block is.
const START: usize = MAGIC.len() + 1;
/// The length of the head of a block.
const HEAD: usize = 16;
/// More events than these are in no block.
const EVENTS_MAX: u32 = 1 << 16;
/// Data that unpack to more bytes than these are refused.
const UNPACKED_MAX: u64 = 1 << 27;

/// The columns of a block, in order.
#[derive(Clone, Copy)]
enum Column {
    Kind,
    Flags,
    Index,
    Time,
    Process,
    Function,
    Session,
    Waited,
    Node,
    Error,
    Version,
    Count,
    Key,
    Tag,
    Integer,
    Text,
    Bytes,
}

const COLUMNS: usize = Column::Bytes as usize + 1;

const KINDS: [Kind; 4] = [Kind::Invoke, Kind::Ok, Kind::Fail, Kind::Info];
const FAULT: u8 = 4;

/// The bits of `flags`.
const FINAL: u8 = 1;
const SESSION: u8 = 2;
const NODE: u8 = 4;
const VERSIONED: u8 = 8;
const WAITED: u8 = 16;
const ERROR: u8 = 32;

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Reads a whole file.
pub(super) fn read(bytes: &[u8]) -> Result<History, Flaw> {
    let Some([version, ..]) = bytes.strip_prefix(&MAGIC) else {
        let what = "no columnar history; expected one to begin with 8e 52 43 4f 4c 0d 0a, which a copy made \
                    as if it were text would have changed";
        return Err(Flaw::new(0, what));
    };
    if *version != VERSION {
        let what = format!(
            "format version {version}; expected {VERSION}, the only one this version reads; the version that \
             wrote it converts it to jsonl"
        );
        return Err(Flaw::new(MAGIC.len(), what));
    }
    let (blocks, is_cut_off) = blocks(bytes)?;
    let Some((first, rest)) = blocks.split_first() else {
        let what = "the file ends before its header does; copy or convert the history again";
        return Err(Flaw::new(START, what));
    };
    let mut builder = Builder::new();
    if let Some(header) = header(bytes, first.clone())? {
        builder.header(header);
    }
    let mut events = 0;
    in_order(
        rest,
        |block| decode(bytes, block),
        |block| {
            let block = block?;
            events += block.rows.len();
            block.add(&mut builder)
        },
    )?;
    if is_cut_off {
        builder.warn(format!(
            "the file is cut off in the block at byte {}: it and what followed were left out, the {events} \
             events before it were read",
            rest.last().unwrap_or(first).end
        ));
    }
    builder.finish().map_err(|malformed| Flaw::new(bytes.len(), malformed))
}

/// What is wrong with the block at this byte, and the way out.
fn damaged(at: usize, what: impl Display) -> Flaw {
    let mut what = format!("a damaged block: {what}; copy or convert the history again");
    if at > START {
        let _ = write!(what, ", or read what is before it: `head -c {at}` prints that");
    }
    Flaw::new(at, what)
}

/// The head of the block at this byte: the length of its data, its events, and the checksum of its data.
fn head(bytes: &[u8], at: usize) -> Result<Option<[u32; 3]>, Flaw> {
    let Some(head) = bytes.get(at..at + HEAD) else { return Ok(None) };
    let number =
        |n: usize| head[4 * n..][..4].iter().rev().fold(0, |n, byte| n << 8 | u32::from(*byte));
    if checksum(&head[..12]) != number(3) {
        return Err(damaged(at, "the checksum of its head is wrong"));
    }
    Ok(Some([number(0), number(1), number(2)]))
}

/// Where the whole blocks are, and whether the file was cut off after them.
fn blocks(bytes: &[u8]) -> Result<(Vec<Range<usize>>, bool), Flaw> {
    let (mut blocks, mut at) = (Vec::new(), START);
    while let Some([length, events, _]) = head(bytes, at)? {
        let end = (at + HEAD).saturating_add(length as usize);
        if length == 0 && end < bytes.len() {
            let what = "the file goes on after its end; expected one history a file";
            return Err(Flaw::new(end, what));
        }
        if length == 0 {
            return Ok((blocks, false));
        }
        if events > EVENTS_MAX || (events == 0) != blocks.is_empty() {
            let what =
                format!("{events} events; expected 0 in the first one, else 1 to {EVENTS_MAX}");
            return Err(damaged(at, what));
        }
        if end > bytes.len() {
            break;
        }
        blocks.push(at..end);
        at = end;
    }
    Ok((blocks, true))
}

/// The data of a block, and how many events are in it.
fn data(bytes: &[u8], block: Range<usize>) -> Result<(&[u8], u32), Flaw> {
    let data = &bytes[block.start + HEAD..block.end];
    match head(bytes, block.start)? {
        Some([_, events, sum]) if checksum(data) == sum => Ok((data, events)),
        _ => Err(damaged(block.start, "the checksum of its data is wrong")),
    }
}

fn header(bytes: &[u8], block: Range<usize>) -> Result<Option<Header>, Flaw> {
    let at = block.start + HEAD;
    let (json, _) = data(bytes, block)?;
    let header: Option<Header> = serde_json::from_slice(json)
        .map_err(|error| Flaw::new(at, format_args!("wrong header: {error}")))?;
    header.map(|header| header.supported().map_err(|what| Flaw::new(at, what))).transpose()
}

/// What was found in a block.
struct Block {
    at: usize,
    rows: Vec<Row>,
    parts: Vec<Part>,
    keys: Vec<Value>,
    texts: Vec<Arc<str>>,
}

fn decode(bytes: &[u8], block: Range<usize>) -> Result<Block, Flaw> {
    let at = block.start;
    let (data, events) = data(bytes, block)?;
    let mut unpacked = Vec::new();
    Zstd::new(data)
        .and_then(|zstd| zstd.take(UNPACKED_MAX + 1).read_to_end(&mut unpacked))
        .map_err(|error| damaged(at, format_args!("zstd says {error}")))?;
    if unpacked.len() as u64 > UNPACKED_MAX {
        return Err(damaged(at, format_args!("more than {UNPACKED_MAX} bytes unpacked")));
    }
    let mut decoder = Decoder::new(&unpacked).map_err(|what| damaged(at, what))?;
    let mut rows = Vec::with_capacity(events as usize);
    for event in 1..=events {
        let row =
            decoder.row().map_err(|what| damaged(at, format_args!("event {event}: {what}")))?;
        rows.push(row);
    }
    if let Some(column) = decoder.columns.iter().position(|column| !column.is_empty()) {
        return Err(damaged(at, format_args!("its column {} is too long", column + 1)));
    }
    let Decoder { parts, keys, texts, .. } = decoder;
    Ok(Block { at, rows, parts, keys, texts })
}

impl Block {
    /// Adds its events to a history.
    fn add(self, builder: &mut Builder) -> Result<(), Flaw> {
        let mut keys = vec![None; self.keys.len()];
        let mut parts = self.parts.into_iter();
        let mut accesses = Vec::new();
        for (number, row) in self.rows.into_iter().enumerate() {
            let malformed = |what: &dyn Display| {
                Flaw::new(self.at, format_args!("event {} of this block: {what}", number + 1))
            };
            let (mut line, node, waited, error, count) = match row {
                Row::Client { line, node, waited, error, parts } => {
                    (line, node, waited, error, parts)
                }
                Row::Fault { index, time, fault } => {
                    let added = builder.fault(Some(index), time, &fault);
                    added.map_err(|what| malformed(&what))?;
                    continue;
                }
            };
            let telling = Telling { kind: line.kind, is_whole: false };
            accesses.clear();
            for Part { function, key, value } in parts.by_ref().take(count) {
                let name = &self.keys[key as usize];
                let key = *keys[key as usize].get_or_insert_with(|| builder.key(name));
                if line.function != Function::Txn {
                    shape::accesses(builder, telling, function, key, Some(&value), &mut accesses)
                        .map_err(|what| malformed(&what))?;
                    continue;
                }
                let is_unknown = is_unknown(line.kind, Function::Txn, function);
                let value = if is_unknown { ValueId::UNKNOWN } else { builder.value(&value) };
                accesses.push(Access { function, key, value });
            }
            line.node = node.map(|node| builder.node(&self.texts[node as usize]));
            let txn = builder.line(line, &accesses).map_err(|what| malformed(&what))?;
            builder.waited(txn, waited);
            if let Some(error) = error {
                builder.error(txn, &self.texts[error as usize]);
            }
        }
        Ok(())
    }
}
