//! Reads a history file of any format.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::history::packing::Packing;
use crate::history::{
    Format, History, awdit_text, cobra_log, columnar, dbcop, edn, etcd_log, fastlin_log, jsonl,
    operations, plume_text, porcupine_kv,
};

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

    /// It in a file that has bytes, but no lines.
    fn of_bytes(&self) -> String {
        format!("byte {}: {}", self.at, self.what)
    }
}

/// Reads a history file, `.gz` and `.zst` included. Without a format it is told by the content.
/// A folder is one history if it is full of Cobra's logs.
pub fn read(path: &Path, format: Option<Format>) -> Result<History, ReadError> {
    let name = path.display().to_string();
    if path.is_dir() && matches!(format, None | Some(Format::Cobra)) {
        return read_folder(path);
    }
    match std::fs::read(path) {
        Ok(bytes) => read_bytes(&name, &bytes, format),
        Err(error) => Err(ReadError { file: name, line: 0, column: 0, what: error.to_string() }),
    }
}

/// Whether a folder is a history by itself: one of Cobra's, a log a session.
pub fn is_one_history(folder: &Path) -> bool {
    let begins = |path: &PathBuf| {
        let mut first = Vec::new();
        let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut first));
        read.is_ok() && cobra_log::is_log(&first)
    };
    logs(folder).is_ok_and(|logs| logs.first().is_some_and(begins))
}

/// The logs of a folder, by name.
fn logs(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: io::Result<Vec<PathBuf>> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
    let mut logs = entries?;
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    Ok(logs)
}

fn read_folder(folder: &Path) -> Result<History, ReadError> {
    let failed = |path: &Path, what: String| ReadError {
        file: path.display().to_string(),
        line: 0,
        column: 0,
        what,
    };
    let paths = logs(folder).map_err(|error| failed(folder, error.to_string()))?;
    if paths.is_empty() {
        return Err(failed(folder, "a folder without logs; expected Cobra's *.log".to_owned()));
    }
    let mut contents = Vec::with_capacity(paths.len());
    for path in &paths {
        contents.push(std::fs::read(path).map_err(|error| failed(path, error.to_string()))?);
    }
    let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    cobra_log::read(&contents).map_err(|(log, flaw)| failed(&paths[log], flaw.of_bytes()))
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
        if bytes.trim_ascii().is_empty() {
            return Err(whole("empty; expected a history".to_owned()));
        }
        let names: Vec<&str> = Format::all().map(Format::name).collect();
        return Err(whole(format!("unknown format; expected one of {}", names.join(", "))));
    };
    let located = |flaw: Flaw| {
        let (line, column) = position(bytes, flaw.at);
        ReadError { file: name.to_owned(), line, column, what: flaw.what }
    };
    let history = match format {
        Format::Cobra => {
            let history = cobra_log::read(&[bytes]);
            return history.map_err(|(_, flaw)| whole(flaw.of_bytes()));
        }
        Format::Columnar => return columnar::read(bytes).map_err(|flaw| whole(flaw.of_bytes())),
        Format::Dbcop => return dbcop::read(bytes).map_err(|flaw| whole(flaw.of_bytes())),
        Format::Jsonl => utf8(bytes).and_then(|(text, torn)| jsonl::read(text, torn)),
        Format::Operations => utf8(bytes).and_then(|(text, torn)| operations::read(text, torn)),
        Format::Edn => utf8(bytes).and_then(|(text, _)| edn::read(text)),
        Format::EtcdLog => utf8(bytes).and_then(|(text, _)| etcd_log::read(text)),
        Format::PorcupineKv => utf8(bytes).and_then(|(text, _)| porcupine_kv::read(text)),
        Format::Awdit => utf8(bytes).and_then(|(text, _)| awdit_text::read(text)),
        Format::Plume => utf8(bytes).and_then(|(text, _)| plume_text::read(text)),
        Format::Fastlin => utf8(bytes).and_then(|(text, _)| fastlin_log::read(text)),
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
