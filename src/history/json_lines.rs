//! The lines of a JSON file, scanned on all cores.

use std::ops::Range;

use crate::history::Builder;
use crate::history::json::Json;
use crate::history::jsonl::torn_line;
use crate::history::parts::{cut, in_order, line_end};
use crate::history::read::Flaw;

/// Calls `add` with every line from the cursor on, in order: its place, its fields, and the integers
/// of its [`Slot::Ints`](crate::history::json::Slot::Ints). A last line that was cut off is left out
/// with a warning; `is_torn` says that its end is missing already.
pub(super) fn read<'a, T: Send, A: AsMut<Builder> + Send>(
    json: &Json<'a>,
    text: &'a str,
    is_torn: bool,
    fields: impl Fn(&mut Json<'a>) -> Result<T, Flaw> + Sync,
    reader: &mut A,
    add: impl Fn(&mut A, usize, T, &[Option<i64>]) -> Result<(), Flaw> + Sync,
) -> Result<(), Flaw> {
    let parts = cut(text, json.at, line_end);
    let take = |scanned: Scanned<T>| -> Result<(), (usize, Flaw)> {
        let mut from = 0;
        for (start, fields, to) in scanned.lines {
            // A flaw of the history, not of the line: it is no torn one.
            let added = add(reader, start, fields, &scanned.ints[from..to]);
            added.map_err(|flaw| (0, flaw))?;
            from = to;
        }
        scanned.flaw.map_or(Ok(()), Err)
    };
    let is_cut_off = match in_order(&parts, |part| scan(text, part, &fields), take) {
        Ok(()) => is_torn,
        Err((start, flaw)) if start > 0 && json.is_in_torn_line(flaw.at.max(start - 1)) => true,
        Err((_, flaw)) => return Err(flaw),
    };
    if is_cut_off {
        reader.as_mut().warn(torn_line(text));
    }
    Ok(())
}

/// What was found in a part of a text.
struct Scanned<T> {
    /// The place and the fields of each line, and where its integers end.
    lines: Vec<(usize, T, usize)>,
    ints: Vec<Option<i64>>,
    /// What is wrong with the line after those, and one more than the place of that line.
    flaw: Option<(usize, Flaw)>,
}

fn scan<'a, T>(
    text: &'a str,
    part: Range<usize>,
    fields: impl Fn(&mut Json<'a>) -> Result<T, Flaw>,
) -> Scanned<T> {
    let mut json = Json::new(text);
    json.at = part.start;
    let mut scanned = Scanned { lines: Vec::new(), ints: Vec::new(), flaw: None };
    loop {
        json.blank_lines();
        let start = json.at;
        if start >= part.end {
            return scanned;
        }
        json.ints.clear();
        match fields(&mut json) {
            Ok(fields) => {
                scanned.ints.extend_from_slice(&json.ints);
                scanned.lines.push((start, fields, scanned.ints.len()));
            }
            Err(flaw) => {
                scanned.flaw = Some((start + 1, flaw));
                return scanned;
            }
        }
    }
}
