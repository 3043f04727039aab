//! A part of an EDN file that has a map a line, or all in one line.

use std::ops::Range;

use crate::history::edn_fields::{Fields, fields};
use crate::history::edn_scan::{Edn, RawMop};
use crate::history::read::Flaw;

/// What was found in a part of a text.
pub(super) struct Scanned<'a> {
    pub(super) start: usize,
    /// The fields of each map, and where its contents end.
    pub(super) fields: Vec<(Fields<'a>, [usize; 3])>,
    /// Whether the part is nothing but whole maps: only then is the next part cut well, too.
    pub(super) is_whole: bool,
    pub(super) ints: Vec<Option<i64>>,
    pub(super) mops: Vec<RawMop<'a>>,
    pub(super) elements: Vec<i64>,
}

/// A part that became longer than this has no place to cut it, so it is read as it comes.
const LONGEST: usize = 1 << 24;

/// Where a part may end that should: before what looks like a map, with a tag or without, at the
/// beginning of a line or, in a line without a comment, right after another map. If that was within
/// something else, the part has an end too few, and is found not to be whole.
pub(super) fn map_end(text: &[u8], part: Range<usize>) -> usize {
    let line = text[part.clone()].iter().rposition(|byte| *byte == b'\n');
    let line = line.map_or(part.start, |newline| part.start + newline + 1);
    let mut is_comment = text[line..part.end].contains(&b';');
    // Since a map ended, or the line began, there was nothing.
    let mut is_between = false;
    for (at, byte) in (part.end..).zip(&text[part.end..]) {
        match byte {
            b'\n' => (is_comment, is_between) = (false, true),
            b'{' | b'#' if is_between => return at,
            b';' => (is_comment, is_between) = (true, false),
            b'}' => is_between = !is_comment,
            b',' => {}
            byte if byte.is_ascii_whitespace() => {}
            _ => is_between = false,
        }
    }
    text.len()
}

/// Scans a part of a text. What is wrong with it is told where the rest is read as it comes.
pub(super) fn scan(text: &str, part: Range<usize>) -> Scanned<'_> {
    let mut scanned = Scanned {
        start: part.start,
        fields: Vec::new(),
        is_whole: false,
        ints: Vec::new(),
        mops: Vec::new(),
        elements: Vec::new(),
    };
    if part.len() > LONGEST {
        return scanned;
    }
    // The text ends here for the scanner: what goes on in the next part is unclosed in this one.
    let mut edn = Edn::new(&text[..part.end]);
    edn.at = part.start;
    scanned.is_whole = maps(&mut edn, &mut scanned).unwrap_or(false);
    scanned
}

/// Scans maps to the end of the text; `false` if there is anything else.
fn maps<'a>(edn: &mut Edn<'a>, scanned: &mut Scanned<'a>) -> Result<bool, Flaw> {
    loop {
        edn.blanks()?;
        if edn.peek().is_none() {
            return Ok(true);
        }
        edn.tags()?;
        if edn.peek() != Some(b'{') {
            return Ok(false);
        }
        edn.ints.clear();
        edn.mops.clear();
        edn.elements.clear();
        let fields = fields(edn)?;
        scanned.ints.extend_from_slice(&edn.ints);
        scanned.mops.append(&mut edn.mops);
        scanned.elements.extend_from_slice(&edn.elements);
        let ends = [scanned.ints.len(), scanned.mops.len(), scanned.elements.len()];
        scanned.fields.push((fields, ends));
    }
}
