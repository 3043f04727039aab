//! Parallel snapshot isolation: no cycle with one anti-dependency.
//!
//! Cerone, Bernardi and Gotsman, "A Framework for Transactional Consistency Models with Atomic
//! Visibility" (CONCUR 2015): what is visible is closed under `ww` and `wr`, and two writers of a key
//! are never concurrent. No order of begins and commits says so; but given an order of the writers of
//! each key, it is enough that nobody who overwrote what a transaction read leads to it by `ww` and
//! `wr`.

use crate::check::transaction::certificate::Placed;
use crate::check::transaction::evidence::{Evidence, INITIAL, NONE};
use crate::check::transaction::rows::Rows;
use crate::graph::Graph;

/// A cycle with one `rw` that an order of writers leads to.
pub(super) struct Clause {
    /// The orders that it rests on and that are not certain: the key, the first, the second.
    pub(super) orders: Vec<(u32, u32, u32)>,
    /// The transactions on it.
    pub(super) txns: Vec<u32>,
}

/// Every cycle with one `rw`, one for each read.
pub(super) struct Found {
    pub(super) clauses: Vec<Clause>,
    pub(super) steps: u64,
}

/// The first `most` cycles that contain one `rw` if the writers of each key are ordered as in `order`,
/// which agrees with the edges.
pub(super) fn contradictions(
    evidence: &Evidence<'_>,
    writers: &Rows<u32>,
    backward: &Graph,
    order: &[u32],
    most: usize,
) -> Found {
    let n = evidence.len();
    let mut position = vec![0_u32; order.len()];
    let mut placed = Placed::new(evidence, writers);
    for (at, node) in (0..).zip(order) {
        position[*node as usize] = at;
        if (*node as usize) < n {
            for key in evidence.writes.row(*node) {
                placed.add(*key, *node);
            }
        }
    }
    let mut way = Way {
        evidence,
        backward,
        position: &position,
        placed: &placed,
        came: vec![(NONE, NONE, NONE); order.len()],
        steps: 0,
    };
    let mut clauses = Vec::new();
    for reader in 0..n as u32 {
        if clauses.len() >= most {
            break;
        }
        for read in evidence.reads.row(reader) {
            let Some(next) = way.next(read.key, read.from) else { continue };
            if next == reader || position[next as usize] > position[reader as usize] {
                continue;
            }
            if let Some(mut clause) = way.back(reader, next) {
                if read.from != INITIAL && !is_update(evidence, next, read.key, read.from) {
                    clause.orders.push((read.key, read.from, next));
                    clause.txns.push(read.from);
                }
                clauses.push(clause);
            }
        }
    }
    Found { clauses, steps: way.steps }
}

/// Whether a transaction read the version of a key that it overwrote.
fn is_update(evidence: &Evidence<'_>, txn: u32, key: u32, from: u32) -> bool {
    evidence.reads.row(txn).iter().any(|read| read.key == key && read.from == from)
}

struct Way<'a> {
    evidence: &'a Evidence<'a>,
    backward: &'a Graph,
    position: &'a [u32],
    placed: &'a Placed,
    /// How a search came to each node: which search, from where, by an order of writers of which key.
    came: Vec<(u32, u32, u32)>,
    steps: u64,
}

impl Way<'_> {
    fn place(&self, key: u32, writer: u32) -> usize {
        let writers = self.placed.of(key);
        writers.partition_point(|one| self.position[*one as usize] < self.position[writer as usize])
    }

    /// The writer of a key after another.
    fn next(&self, key: u32, writer: u32) -> Option<u32> {
        let at = if writer == INITIAL { 0 } else { self.place(key, writer) + 1 };
        self.placed.of(key).get(at).copied()
    }

    /// The writer of a key before another.
    fn previous(&self, key: u32, writer: u32) -> Option<u32> {
        let at = self.place(key, writer).checked_sub(1)?;
        Some(self.placed.of(key)[at])
    }

    /// A shortest way from `goal` to `start` by certain edges and by the order of writers.
    fn back(&mut self, start: u32, goal: u32) -> Option<Clause> {
        let bound = self.position[goal as usize];
        self.came[start as usize] = (start, NONE, NONE);
        let mut found = vec![start];
        let mut at = 0;
        while at < found.len() && self.came[goal as usize].0 != start {
            let node = found[at];
            at += 1;
            for before in self.backward.targets(node) {
                self.steps += 1;
                if self.position[*before as usize] >= bound
                    && self.came[*before as usize].0 != start
                {
                    self.came[*before as usize] = (start, node, NONE);
                    found.push(*before);
                }
            }
            if node as usize >= self.evidence.len() {
                continue;
            }
            for key in self.evidence.writes.row(node) {
                self.steps += 1;
                if let Some(before) = self.previous(*key, node)
                    && self.position[before as usize] >= bound
                    && self.came[before as usize].0 != start
                {
                    self.came[before as usize] = (start, node, *key);
                    found.push(before);
                }
            }
        }
        if self.came[goal as usize].0 != start {
            // Searches are told apart by where they start, and a reader may search again.
            self.forget(&found);
            return None;
        }
        let (mut orders, mut txns) = (Vec::new(), vec![goal]);
        let mut node = goal;
        while node != start {
            let (_, after, key) = self.came[node as usize];
            if key != NONE {
                orders.push((key, node, after));
            }
            if (after as usize) < self.evidence.len() {
                txns.push(after);
            }
            node = after;
        }
        self.forget(&found);
        Some(Clause { orders, txns })
    }

    fn forget(&mut self, found: &[u32]) {
        for node in found {
            self.came[*node as usize] = (NONE, NONE, NONE);
        }
    }
}
