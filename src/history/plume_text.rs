//! Reads the text histories of Plume, PolySI and IsoVista: `w(KEY,VALUE,SESSION,TRANSACTION)`.
//!
//! The lines of a session are in its order; those of different sessions say nothing of each other.
//! A transaction of number -1 was aborted, and what it read is not known to anybody. Every key holds
//! 0 at first: a read of a 0 that nobody wrote saw the initial value. There are no times.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::history::History;
use crate::history::json_fields::ID_MAX;
use crate::history::read::Flaw;
use crate::history::timeless::Sessions;
use crate::model::Kind;

/// Whether a line can stand first in such a text.
pub(super) fn is_line(line: &str) -> bool {
    parse(line).is_some()
}

/// Reads a whole file.
pub(super) fn read(text: &str) -> Result<History, Flaw> {
    let mut lines: Vec<Line> = Vec::new();
    // The place of each transaction by session and number, in order of appearance.
    let mut places: FxHashMap<(u32, i64), u32> = FxHashMap::default();
    let mut transactions: Vec<(u32, Kind)> = Vec::new();
    let mut zeros: FxHashSet<i64> = FxHashSet::default();
    let mut start = 0;
    for text in text.split_inclusive('\n') {
        if !text.trim().is_empty() {
            let Some(mut line) = parse(text) else {
                let what = "no operation; expected r(KEY,VALUE,SESSION,TRANSACTION) or w(…)";
                return Err(Flaw::new(start, what));
            };
            if line.is_write && line.value == 0 {
                zeros.insert(line.key);
            }
            let next = transactions.len() as u32;
            line.place = match line.transaction {
                // Which aborted transaction it was nobody says: each write is one of its own.
                -1 => next,
                number => *places.entry((line.session, number)).or_insert(next),
            };
            if line.place == next {
                let kind = if line.transaction == -1 { Kind::Fail } else { Kind::Ok };
                transactions.push((line.session, kind));
            }
            lines.push(line);
        }
        start += text.len();
    }
    // A transaction's lines need not be next to each other; the sort is stable.
    lines.sort_by_key(|line| line.place);
    let mut sessions = Sessions::new();
    for same in lines.chunk_by(|one, other| one.place == other.place) {
        for line in same {
            if line.is_write {
                sessions.write(line.key, line.value);
            } else {
                let is_initial = line.value == 0 && !zeros.contains(&line.key);
                sessions.read(line.key, (!is_initial).then_some(line.value));
            }
        }
        let (session, kind) = transactions[same[0].place as usize];
        sessions.end(session, kind).map_err(|malformed| Flaw::new(start, malformed))?;
    }
    sessions.finish(text.trim_end().len())
}

struct Line {
    is_write: bool,
    key: i64,
    value: i64,
    session: u32,
    transaction: i64,
    place: u32,
}

fn parse(line: &str) -> Option<Line> {
    let line = line.trim();
    let is_write = line.starts_with('w');
    let numbers = line.strip_prefix(['r', 'w'])?.strip_prefix('(')?.strip_suffix(')')?;
    let mut numbers = numbers.split(',').map(|number| number.trim().parse::<i64>().ok());
    let mut number = || numbers.next()?;
    let (key, value, session, transaction) = (number()?, number()?, number()?, number()?);
    let session = u32::try_from(session).ok().filter(|session| u64::from(*session) <= ID_MAX)?;
    let fits = transaction >= -1 && numbers.next().is_none();
    fits.then_some(Line { is_write, key, value, session, transaction, place: 0 })
}
