//! Reads a history file of any format.

use std::fmt;
use std::io::Read;
use std::path::Path;

use crate::history::{Format, History, edn, etcd_log, jsonl, operations, porcupine_kv};

/// Why a history could not be read, and where: `file:line:column: what; expected …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 where the file as a whole could not be read.
    pub line: usize,
    /// The character within the line, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub what: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.file, self.what);
        }
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.what)
    }
}

impl std::error::Error for ReadError {}

/// What is wrong at which byte of a text: what a reader finds before it is told the file's name.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) at: usize,
    pub(super) what: String,
}

impl Flaw {
    pub(super) fn new(at: usize, what: impl fmt::Display) -> Self {
        Self { at, what: what.to_string() }
    }
}

/// Reads a history file, `.gz` and `.zst` included. Without a format it is told by the content.
pub fn read(path: &Path, format: Option<Format>) -> Result<History, ReadError> {
    let name = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => read_bytes(&name, &bytes, format),
        Err(error) => Err(ReadError { file: name, line: 0, column: 0, what: error.to_string() }),
    }
}

/// Reads the content of a history file, which may be compressed. `name` is used in errors, and to
/// tell the format where the content does not.
pub fn read_bytes(name: &str, bytes: &[u8], format: Option<Format>) -> Result<History, ReadError> {
    let whole = |what: String| ReadError { file: name.to_owned(), line: 0, column: 0, what };
    let unpacked;
    let bytes = match Packing::of(bytes) {
        None => bytes,
        Some(packing) => {
            unpacked = packing.unpack(bytes).map_err(whole)?;
            &unpacked
        }
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first = &bytes[..bytes.len().min(1 << 16)];
    let Some(format) = format.or_else(|| Format::detect(Path::new(name), first)) else {
        let names: Vec<&str> = Format::all().map(Format::name).collect();
        return Err(whole(format!("unknown format; expected one of {}", names.join(", "))));
    };
    let located = |flaw: Flaw| {
        let (line, column) = position(bytes, flaw.at);
        ReadError { file: name.to_owned(), line, column, what: flaw.what }
    };
    let (text, torn) = utf8(bytes).map_err(located)?;
    let history = match format {
        Format::Jsonl => jsonl::read(text, torn),
        Format::Operations => operations::read(text, torn),
        Format::Edn => edn::read(text),
        Format::EtcdLog => etcd_log::read(text),
        Format::PorcupineKv => porcupine_kv::read(text),
    };
    history.map_err(located)
}

/// The text, and whether the end of its last line is missing: cut in the middle of a character.
fn utf8(bytes: &[u8]) -> Result<(&str, bool), Flaw> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok((text, false)),
        Err(error) => {
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            match std::str::from_utf8(valid) {
                Ok(text) if !rest.contains(&b'\n') => Ok((text, true)),
                _ => Err(Flaw::new(valid.len(), "not UTF-8; expected a text")),
            }
        }
    }
}

fn position(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = &bytes[..at.min(bytes.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    // Continuation bytes are no characters of their own.
    let column = 1 + before[start..].iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    (line, column)
}

/// How a file is compressed, told by its first bytes.
#[derive(Clone, Copy)]
enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    fn unpack(self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut unpacked = Vec::new();
        let (name, result) = match self {
            Self::Gzip => {
                let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
                ("gzip", decoder.read_to_end(&mut unpacked))
            }
            Self::Zstd => {
                let result = zstd::stream::copy_decode(bytes, &mut unpacked);
                ("zstd", result.map(|()| 0))
            }
        };
        result.map(|_| unpacked).map_err(|error| format!("damaged {name} file: {error}"))
    }
}
