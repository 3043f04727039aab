//! Reads the logs of Cobra, which PolySI and AWDIT read as well: one file a session, in binary.
//!
//! A record is a letter and numbers of eight bytes, the highest byte first:
//! ```text
//! S transaction                                            begins
//! R transaction-read-from write-read-from key value        reads
//! W write key value                                        writes
//! C transaction                                            commits
//! A transaction                                            aborts
//! ```
//!
//! Every write has an id of its own, so the id stands for the value; keys and values themselves are
//! hashes. A log that ends within a transaction leaves its outcome unknown. There are no times.

use crate::history::History;
use crate::history::read::Flaw;
use crate::history::timeless::Sessions;
use crate::model::Kind;

/// The ids of writes that say a key held nothing yet.
const NOTHING: [i64; 2] = [0xdead_beef, 0xbebe_ebee];

/// Whether a file begins as such a log does.
pub(super) fn is_log(first: &[u8]) -> bool {
    match first {
        [b'S', id @ ..] if id.len() > 8 => {
            matches!(id[8], b'R' | b'W' | b'C' | b'A')
                && id[..8].iter().any(|byte| *byte < b'\t' || *byte >= 0x80)
        }
        _ => false,
    }
}

/// Reads the logs of all sessions. A flaw is told with the number of its log.
pub(super) fn read(logs: &[&[u8]]) -> Result<History, (usize, Flaw)> {
    let mut sessions = Sessions::new();
    for (session, log) in (0_u32..).zip(logs) {
        self::log(&mut sessions, session, log).map_err(|flaw| (session as usize, flaw))?;
    }
    sessions.finish(0).map_err(|flaw| (0, flaw))
}

fn log(sessions: &mut Sessions, session: u32, log: &[u8]) -> Result<(), Flaw> {
    let mut at = 0;
    let mut open: Option<i64> = None;
    while let Some(letter) = log.get(at) {
        let start = at;
        at += 1;
        let mut number = || -> Result<i64, Flaw> {
            let bytes = log.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            at += 8;
            bytes
                .map(i64::from_be_bytes)
                .ok_or_else(|| Flaw::new(start, "the file ends within a record"))
        };
        let malformed = |malformed| Flaw::new(start, malformed);
        match (letter, open) {
            (b'S', None) => open = Some(number()?),
            (b'R', Some(_)) => {
                let (_, write, key, _) = (number()?, number()?, number()?, number()?);
                sessions.read(key, (!NOTHING.contains(&write)).then_some(write));
            }
            (b'W', Some(_)) => {
                let (write, key, _) = (number()?, number()?, number()?);
                sessions.write(key, write);
            }
            (b'C' | b'A', Some(begun)) => {
                let ended = number()?;
                if ended != begun {
                    let what = format!("transaction {ended} ends, but {begun} had begun");
                    return Err(Flaw::new(start, what));
                }
                let kind = if *letter == b'C' { Kind::Ok } else { Kind::Fail };
                sessions.end(session, kind).map_err(malformed)?;
                open = None;
            }
            (b'S', Some(begun)) => {
                let what = format!("a transaction begins, but {begun} has not ended");
                return Err(Flaw::new(start, what));
            }
            (b'R' | b'W' | b'C' | b'A', None) => {
                return Err(Flaw::new(start, "a record outside of transactions; expected S"));
            }
            _ => {
                let what = format!("unknown record {letter:#04x}; expected S, R, W, C or A");
                return Err(Flaw::new(start, what));
            }
        }
    }
    sessions.end(session, Kind::Info).map_err(|malformed| Flaw::new(at, malformed))
}
