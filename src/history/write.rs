//! Writes histories: event by event while a run goes on, or a whole one in another format.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, Seek, Write};
use std::path::Path;

use crate::history::edn_text::edn_line;
use crate::history::json_text::json_line;
use crate::history::operations_text::write_operations;
use crate::history::packing::write_packed;
use crate::history::register_text::{Style, write_registers};
use crate::history::timeline::{Timeline, event};
use crate::history::{Format, Header, History, columnar};
use crate::model::{Event, Function, Value};

/// Writes the event form, one line an event. What was flushed before a crash can be read after it.
pub struct Writer<W: Write> {
    to: W,
    next_index: u32,
    line: String,
}

impl<W: Write> Writer<W> {
    /// Begins a file with its header.
    pub fn new(mut to: W, header: &Header) -> io::Result<Self> {
        let mut line = String::new();
        header_line(&mut line, header)?;
        to.write_all(line.as_bytes())?;
        to.flush()?;
        Ok(Self { to, next_index: 0, line })
    }

    /// Adds an event; its line gets the next index.
    pub fn record(&mut self, event: &Event) -> io::Result<()> {
        self.line.clear();
        json_line(&mut self.line, self.next_index, event);
        self.next_index += 1;
        self.to.write_all(self.line.as_bytes())
    }

    /// Hands every line to the file.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// The file itself, with every line written.
    pub fn into_inner(self) -> W {
        self.to
    }
}

/// Writes a whole history. [`Format::is_writable`] says in which formats; others are an error, as is
/// a history that does not fit its format. Formats without times lose the times.
///
/// A history that was read from the operation form has indices that name operations in any order;
/// the event form numbers lines, so there they are counted anew, in order of invocation.
pub fn write_history(history: &History, format: Format, to: &mut dyn Write) -> io::Result<()> {
    let mut to = io::BufWriter::new(to);
    match format {
        Format::Jsonl => {
            if let Some(header) = history.header() {
                let mut line = String::new();
                header_line(&mut line, header)?;
                to.write_all(line.as_bytes())?;
            }
            events(history, &mut to, json_line)?;
        }
        Format::Edn if !history.has_real_time() => {
            return Err(misfit(
                "the lines of an EDN file tell what came before what, and this history has no times",
            ));
        }
        Format::Edn => {
            let has_tuples = can_have_tuples(history);
            events(history, &mut to, |line, index, event| {
                edn_line(line, index, event, has_tuples);
            })?;
        }
        Format::Columnar => columnar::write(history, &mut to)?,
        Format::Operations => write_operations(history, &mut to)?,
        Format::Awdit => write_registers(history, Style::Awdit, &mut to)?,
        Format::Plume => write_registers(history, Style::Plume, &mut to)?,
        Format::EtcdLog | Format::PorcupineKv | Format::Cobra | Format::Dbcop | Format::Fastlin => {
            let writable: Vec<&str> =
                Format::all().filter(|format| format.is_writable()).map(Format::name).collect();
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "cannot write {} files; expected one of {}",
                    format.name(),
                    writable.join(", ")
                ),
            ));
        }
    }
    to.flush()
}

/// Writes a whole history into a file, compressed if its name ends in `.gz` or `.zst`. There is no file
/// of a format that cannot be written; see [`write_history`].
pub fn write_file(history: &History, format: Format, path: &Path) -> io::Result<()> {
    if !format.is_writable() {
        return write_history(history, format, &mut io::sink());
    }
    write_packed(path, |to| write_history(history, format, to))
}

/// Why a history does not fit a format.
pub(super) fn misfit(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, what.into())
}

pub(super) fn header_line(line: &mut String, header: &Header) -> io::Result<()> {
    let mut header = header.clone();
    header.format = 1;
    let json = serde_json::to_string(&header).map_err(io::Error::other)?;
    let _ = writeln!(line, "{{\"rashomon\":{json}}}");
    Ok(())
}

/// Writes another header over that of a file in event form. It must not be longer; what is left of the
/// line is filled with blanks.
pub fn rewrite_header(file: &mut File, header: &Header) -> io::Result<()> {
    let mut old = String::new();
    file.rewind()?;
    io::BufReader::new(&*file).read_line(&mut old)?;
    let mut line = String::new();
    header_line(&mut line, header)?;
    if line.len() > old.len() {
        return Err(io::Error::other("the new header is longer than the old one"));
    }
    let line = format!("{:1$}\n", line.trim_end(), old.len() - 1);
    file.rewind()?;
    file.write_all(line.as_bytes())
}

/// Writes a history in event form, a line at a time.
fn events(
    history: &History,
    to: &mut dyn Write,
    line: impl Fn(&mut String, u32, &Event),
) -> io::Result<()> {
    let mut text = String::new();
    let parts = Timeline::of(history);
    for (index, part) in parts.indexed() {
        line(&mut text, index, &event(history, part));
        if text.len() > 1 << 16 {
            to.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    to.write_all(text.as_bytes())
}

/// Whether the reader of EDN would know `[k v]` tuples of this history for what they are.
fn can_have_tuples(history: &History) -> bool {
    let mut is_evident = false;
    for txn in history.txns() {
        is_evident |= matches!(txn.function(), Function::Read | Function::Cas);
        let key = txn.key().map_or(&Value::Null, |key| history.key_name(key));
        if txn.function() == Function::Txn || *key == Value::Null {
            return false;
        }
    }
    is_evident
}
