//! Reads the text histories of AWDIT's tests.
//!
//! ```text
//! w 0 1         a write of 1 to key 0
//! r 1 2         a read of key 1 that saw 2
//! -----         the next transaction of the session
//! w 0 2
//! =====         the next session
//! r 0 2
//! ```
//!
//! Every transaction is committed, there are no times, and no key has an initial value.

use crate::history::History;
use crate::history::read::Flaw;
use crate::history::timeless::Sessions;
use crate::model::Kind;

/// Whether a line can stand first in such a text.
pub(super) fn is_line(line: &str) -> bool {
    matches!(parse(line), Some(Line::Read(..) | Line::Write(..)))
}

/// Reads a whole file.
pub(super) fn read(text: &str) -> Result<History, Flaw> {
    let mut sessions = Sessions::new();
    let (mut session, mut start) = (0, 0);
    let mut is_begun = false;
    for line in text.split_inclusive('\n') {
        let malformed = |malformed| Flaw::new(start, malformed);
        match parse(line) {
            _ if line.trim().is_empty() => {}
            Some(Line::Read(key, value)) => sessions.read(key, Some(value)),
            Some(Line::Write(key, value)) => sessions.write(key, value),
            Some(Line::NextTransaction) => sessions.end(session, Kind::Ok).map_err(malformed)?,
            Some(Line::NextSession) => {
                sessions.end(session, Kind::Ok).map_err(malformed)?;
                session += u32::from(is_begun);
                is_begun = false;
            }
            None => {
                let what = "no operation; expected r KEY VALUE, w KEY VALUE, ----- or =====";
                return Err(Flaw::new(start, what));
            }
        }
        is_begun |= sessions.is_open();
        start += line.len();
    }
    sessions.end(session, Kind::Ok).map_err(|malformed| Flaw::new(start, malformed))?;
    sessions.finish(text.trim_end().len())
}

enum Line {
    Read(i64, i64),
    Write(i64, i64),
    NextTransaction,
    NextSession,
}

fn parse(line: &str) -> Option<Line> {
    let line = line.trim();
    let is_rule = |rule: u8| !line.is_empty() && line.bytes().all(|byte| byte == rule);
    if is_rule(b'-') {
        return Some(Line::NextTransaction);
    }
    if is_rule(b'=') {
        return Some(Line::NextSession);
    }
    let mut words = line.split_ascii_whitespace();
    let function = words.next()?;
    let mut number = || words.next()?.parse::<i64>().ok().filter(|number| *number >= 0);
    let (key, value) = (number()?, number()?);
    match (function, words.next()) {
        ("r", None) => Some(Line::Read(key, value)),
        ("w", None) => Some(Line::Write(key, value)),
        _ => None,
    }
}
