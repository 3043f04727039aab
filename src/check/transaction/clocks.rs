//! Causal pasts as vector clocks.

use std::ops::ControlFlow;

use crate::check::transaction::evidence::{Evidence, INITIAL, NONE};
use crate::check::transaction::rows::Rows;
use crate::check::transaction::visibility::Implied;

/// Calls `found` for every read of a key and the last writer of it in each session that is in the
/// causal past of the reader, unless that is in the causal past of whom it read from too. `order`
/// agrees with sessions and reads.
///
/// O(transactions × sessions) time; a clock is kept until the last who needs it has been looked at.
pub(super) fn causal_past<F>(
    evidence: &Evidence<'_>,
    order: &[u32],
    found: &mut F,
) -> ControlFlow<Implied>
where
    F: FnMut(Implied) -> ControlFlow<Implied>,
{
    let lines = Lines::new(evidence);
    let mut clocks = Clocks::new(evidence, lines.count as usize);
    for node in order {
        let (reads, previous) = (evidence.reads.row(*node), evidence.previous[*node as usize]);
        clocks.begin(*node);
        if previous != NONE {
            clocks.see(*node, previous, &lines);
        }
        for read in reads.iter().filter(|read| read.from != INITIAL) {
            clocks.see(*node, read.from, &lines);
        }
        for read in reads {
            let own = clocks.of(*node);
            let source = (read.from != INITIAL).then(|| clocks.of(read.from));
            for stretch in lines.writers.row(read.key) {
                let until = own[stretch.line as usize];
                let known = source.map_or(0, |source| source[stretch.line as usize]);
                if known >= until {
                    continue;
                }
                let writers = &lines.sorted[stretch.begin as usize..stretch.end as usize];
                let seen = writers.partition_point(|writer| lines.place[*writer as usize] < until);
                let Some(earlier) = seen.checked_sub(1).map(|at| writers[at]) else { continue };
                if read.from != earlier && known <= lines.place[earlier as usize] {
                    let (reader, key) = (*node, read.key);
                    found(Implied { earlier, later: read.from, reader, key })?;
                }
            }
        }
        if previous != NONE {
            clocks.release(previous);
        }
        for read in reads.iter().filter(|read| read.from != INITIAL) {
            clocks.release(read.from);
        }
        clocks.finish(*node);
    }
    ControlFlow::Continue(())
}

/// The writers of a key in one line.
#[derive(Clone, Copy, Default)]
struct Stretch {
    line: u32,
    begin: u32,
    end: u32,
}

/// The transactions in lines of which each is in the past of the next: sessions, and each
/// indeterminate transaction for itself, for nothing of its session needs to follow it.
struct Lines {
    count: u32,
    of: Vec<u32>,
    place: Vec<u32>,
    writers: Rows<Stretch>,
    sorted: Vec<u32>,
}

impl Lines {
    fn new(evidence: &Evidence<'_>) -> Self {
        let (mut of, mut place) = (Vec::new(), Vec::new());
        let mut count = 0;
        let mut length: Vec<u32> = Vec::new();
        let mut line_of = vec![NONE; evidence.history.session_count()];
        for txn in &evidence.txns {
            let txn = evidence.history.txn(*txn);
            let mut own = NONE;
            let line = if txn.is_ok() { &mut line_of[txn.session().index()] } else { &mut own };
            if *line == NONE {
                *line = count;
                count += 1;
                length.push(0);
            }
            of.push(*line);
            place.push(length[*line as usize]);
            length[*line as usize] += 1;
        }
        let by_key = evidence.writers();
        let (mut sorted, mut stretches) = (Vec::with_capacity(by_key.total()), Vec::new());
        for key in 0..evidence.keys.len() as u32 {
            let begin = sorted.len();
            sorted.extend_from_slice(by_key.row(key));
            sorted[begin..].sort_by_key(|writer| of[*writer as usize]);
            let mut at = begin as u32;
            for same in sorted[begin..].chunk_by(|a, b| of[*a as usize] == of[*b as usize]) {
                let end = at + same.len() as u32;
                stretches.push((key, Stretch { line: of[same[0] as usize], begin: at, end }));
                at = end;
            }
        }
        let writers = Rows::sorted(evidence.keys.len(), stretches.iter().copied());
        Self { count, of, place, writers, sorted }
    }
}

/// Of each transaction, how many of each line are in its past.
struct Clocks {
    width: usize,
    /// Where the clock of a transaction is kept, and how many still need it.
    row: Vec<u32>,
    needed: Vec<u32>,
    free: Vec<u32>,
    rows: Vec<u32>,
}

impl Clocks {
    fn new(evidence: &Evidence<'_>, width: usize) -> Self {
        let n = evidence.len();
        let mut needed = vec![0; n];
        for node in 0..n as u32 {
            let previous = evidence.previous[node as usize];
            let sources = evidence.reads.row(node).iter().map(|read| read.from);
            for before in sources.chain([previous]).filter(|one| *one != NONE) {
                needed[before as usize] += 1;
            }
        }
        Self { width, row: vec![NONE; n], needed, free: Vec::new(), rows: Vec::new() }
    }

    fn begin(&mut self, node: u32) {
        let row = self.free.pop().unwrap_or_else(|| {
            let row = self.rows.len() / self.width.max(1);
            self.rows.resize(self.rows.len() + self.width, 0);
            row as u32
        });
        self.row[node as usize] = row;
        let begin = row as usize * self.width;
        self.rows[begin..begin + self.width].fill(0);
    }

    fn of(&self, node: u32) -> &[u32] {
        let begin = self.row[node as usize] as usize * self.width;
        &self.rows[begin..begin + self.width]
    }

    /// Takes another and its past into the past of a node.
    fn see(&mut self, node: u32, other: u32, lines: &Lines) {
        let (to, from) = (self.row[node as usize] as usize, self.row[other as usize] as usize);
        let width = self.width;
        let (low, high) = self.rows.split_at_mut(to.max(from) * width);
        let (to, from) = if to < from {
            (&mut low[to * width..(to + 1) * width], &high[..width])
        } else {
            (&mut high[..width], &low[from * width..(from + 1) * width])
        };
        for (to, from) in to.iter_mut().zip(from) {
            *to = (*to).max(*from);
        }
        let own = &mut to[lines.of[other as usize] as usize];
        *own = (*own).max(lines.place[other as usize] + 1);
    }

    fn release(&mut self, node: u32) {
        self.needed[node as usize] -= 1;
        self.finish(node);
    }

    /// Gives the clock away if nobody needs it.
    fn finish(&mut self, node: u32) {
        if self.needed[node as usize] == 0 {
            self.free.push(self.row[node as usize]);
        }
    }
}
