//! Takes a text apart on all cores, and puts what was found together in order.
//!
//! While one core adds the lines of a group of parts to the history, in order, the others scan those
//! of the next. What is interned when does not depend on the number of cores, and no more than two
//! groups are in memory at a time.

use std::ops::Range;

use rayon::prelude::*;

/// About how many bytes a part has.
const PART: usize = 1 << 17;
/// How many parts are scanned ahead for each core.
const AHEAD: usize = 4;

/// Cuts a text from `start` on; `end` says where a part that should end may do so at the earliest.
pub(super) fn cut(
    text: &str,
    start: usize,
    end: fn(&[u8], Range<usize>) -> usize,
) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut parts, mut from) = (Vec::new(), start);
    while from < bytes.len() {
        let at = end(bytes, from..(from + PART).min(bytes.len()));
        parts.push(from..at);
        from = at;
    }
    parts
}

/// The end of the line in which a part should end.
pub(super) fn line_end(text: &[u8], part: Range<usize>) -> usize {
    let line = text[part.end..].iter().position(|byte| *byte == b'\n');
    line.map_or(text.len(), |line| part.end + line + 1)
}

/// Scans parts on all cores and takes each in order, until one is refused.
pub(super) fn in_order<P: Send, E: Send>(
    parts: &[Range<usize>],
    scan: impl Fn(Range<usize>) -> P + Sync,
    mut take: impl FnMut(P) -> Result<(), E> + Send,
) -> Result<(), E> {
    let scan_all = |group: &[Range<usize>]| -> Vec<P> {
        group.par_iter().with_max_len(1).cloned().map(&scan).collect()
    };
    let mut groups = parts.chunks(AHEAD * rayon::current_num_threads());
    let mut scanned = scan_all(groups.next().unwrap_or(&[]));
    while !scanned.is_empty() {
        let next = groups.next().unwrap_or(&[]);
        let (taken, next) =
            rayon::join(|| scanned.into_iter().try_for_each(&mut take), || scan_all(next));
        taken?;
        scanned = next;
    }
    Ok(())
}
