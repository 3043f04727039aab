//! Reads the `history.bincode` of DBCop: sessions of transactions, in the binary form of Rust's
//! bincode 1.
//!
//! ```text
//! id, nodes, variables, transactions, events          numbers
//! info, start, end                                    texts
//! sessions [ transactions [ events [ write?, variable, value, success? ], success? ] ]
//! ```
//!
//! A number has eight bytes, the lowest first, as has the length of a text or list; a truth one byte.
//! Every variable holds 0 at first. What had no success may have had an effect all the same: DBCop
//! does not tell a refusal from a lost answer. When it began and ended is known of the whole only.

use rustc_hash::FxHashSet;

use crate::history::History;
use crate::history::read::Flaw;
use crate::history::timeless::Sessions;
use crate::model::Kind;

/// Whether a file begins as such a history does: what follows the text is a date.
pub(super) fn is_history(first: &[u8]) -> bool {
    let mut cursor = Cursor { bytes: first, at: 40 };
    let Ok(_) = cursor.text() else { return false };
    let Ok(date) = cursor.text() else { return false };
    date.len() >= 20 && date[4] == b'-' && date[10] == b'T'
}

/// Reads a whole file.
pub(super) fn read(bytes: &[u8]) -> Result<History, Flaw> {
    // The first pass only looks for zeros that somebody wrote.
    let mut zeros = FxHashSet::default();
    walk(bytes, |step| {
        if let Step::Event(Event { is_write: true, variable, value: 0, .. }) = step {
            zeros.insert(variable);
        }
        Ok(())
    })?;
    let mut sessions = Sessions::new();
    let mut events: Vec<Event> = Vec::new();
    walk(bytes, |step| {
        match step {
            Step::Event(event) => events.push(event),
            Step::End(session, success, at) => {
                let malformed = |malformed| Flaw::new(at, malformed);
                for event in events.iter().filter(|event| event.success) {
                    if event.is_write {
                        sessions.write(event.variable, event.value);
                    } else {
                        let is_initial = event.value == 0 && !zeros.contains(&event.variable);
                        sessions.read(event.variable, (!is_initial).then_some(event.value));
                    }
                }
                let kind = if success { Kind::Ok } else { Kind::Info };
                sessions.end(session, kind).map_err(malformed)?;
                for event in events.drain(..).filter(|event| !event.success && event.is_write) {
                    sessions.write(event.variable, event.value);
                    sessions.end(session, Kind::Info).map_err(malformed)?;
                }
            }
        }
        Ok(())
    })?;
    sessions.finish(bytes.len())
}

#[derive(Clone, Copy)]
struct Event {
    is_write: bool,
    variable: i64,
    value: i64,
    success: bool,
}

enum Step {
    Event(Event),
    /// A transaction of this session ended, with success or without, at this byte.
    End(u32, bool, usize),
}

fn walk(bytes: &[u8], mut each: impl FnMut(Step) -> Result<(), Flaw>) -> Result<(), Flaw> {
    let mut cursor = Cursor { bytes, at: 0 };
    for _ in 0..5 {
        cursor.number()?;
    }
    for _ in 0..3 {
        cursor.text()?;
    }
    for session in 0..cursor.length()? {
        for _ in 0..cursor.length()? {
            for _ in 0..cursor.length()? {
                let is_write = cursor.truth()?;
                let (variable, value) = (cursor.number()?, cursor.number()?);
                each(Step::Event(Event { is_write, variable, value, success: cursor.truth()? }))?;
            }
            each(Step::End(session as u32, cursor.truth()?, cursor.at))?;
        }
    }
    if cursor.at < bytes.len() {
        return Err(Flaw::new(cursor.at, "the file goes on after the history"));
    }
    Ok(())
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Flaw> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { return Err(Flaw::new(self.at, "the file ends too early")) };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self) -> Result<i64, Flaw> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | i64::from(*byte)))
    }

    /// A length; no more than there are bytes left, so a damaged one ends the reading.
    fn length(&mut self) -> Result<usize, Flaw> {
        let start = self.at;
        let length = self.number()?;
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.bytes.len() - self.at)
            .ok_or_else(|| {
                Flaw::new(start, format_args!("{length} entries, more than fit the file"))
            })
    }

    fn text(&mut self) -> Result<&'a [u8], Flaw> {
        let length = self.length()?;
        self.take(length)
    }

    fn truth(&mut self) -> Result<bool, Flaw> {
        let start = self.at;
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Flaw::new(start, "neither true nor false; expected the byte 0 or 1")),
        }
    }
}
