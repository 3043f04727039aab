//! A guess of the order of transactions, and what contradicts it.
//!
//! A store that keeps its promise nearly always admits the order in which its transactions completed.
//! If that order explains every read, nothing has to be searched.

use crate::check::transaction::evidence::{Evidence, INITIAL};
use crate::check::transaction::level::Model;
use crate::check::transaction::rows::Rows;
use crate::graph::{Arc, Graph};

/// The nodes in an order in which every edge leads forward, as near to the order of `roots` as the
/// edges allow; `None` if there is a cycle. `backward` is the graph with its edges turned round.
///
/// Depth-first: each root comes as soon as everything before it is there.
pub(super) fn guess(backward: &Graph, roots: impl Iterator<Item = u32>) -> Option<Vec<u32>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let n = backward.len();
    let mut state = vec![State::New; n];
    let mut order = Vec::with_capacity(n);
    let mut path: Vec<(u32, u32)> = Vec::new();
    for root in roots.chain(0..n as u32) {
        if state[root as usize] != State::New {
            continue;
        }
        state[root as usize] = State::Open;
        path.push((root, 0));
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            if let Some(before) = backward.targets(node).get(*next as usize) {
                *next += 1;
                match state[*before as usize] {
                    State::New => {
                        state[*before as usize] = State::Open;
                        path.push((*before, 0));
                    }
                    State::Open => return None,
                    State::Done => {}
                }
            } else {
                state[node as usize] = State::Done;
                order.push(node);
                path.pop();
            }
        }
    }
    Some(order)
}

/// The transactions in the order of their returns; those that did not return last.
pub(super) fn by_return(evidence: &Evidence<'_>) -> Vec<u32> {
    let mut txns: Vec<u32> = (0..evidence.len() as u32).collect();
    txns.sort_by_key(|txn| evidence.interval(*txn).1);
    txns
}

/// The order of [`guess`] if the writers of each key follow each other as in `order`: all edges are
/// known then, and it is one that explains every read, or there is none. Not for
/// [`Model::Parallel`].
pub(super) fn replayed(
    evidence: &Evidence<'_>,
    writers: &Rows<u32>,
    model: Model,
    backward: &Graph,
    order: &[u32],
) -> Option<Vec<u32>> {
    let n = evidence.len();
    let mut placed = Placed::new(evidence, writers);
    let mut rank = vec![0_u32; n];
    let mut committed = Vec::with_capacity(n);
    for node in order {
        if let Some(txn) = model.txn(*node, n).filter(|txn| *node == model.commit(*txn)) {
            rank[txn as usize] = committed.len() as u32;
            committed.push(txn);
            for key in evidence.writes.row(txn) {
                placed.add(*key, txn);
            }
        }
    }
    let mut arcs: Vec<Arc> = Vec::with_capacity(backward.edge_count());
    for from in 0..backward.len() as u32 {
        arcs.extend(backward.edges(from).map(|(to, kinds)| Arc { from, to, kinds }));
    }
    let mut add = |(from, to): (u32, u32)| arcs.push(Arc { from: to, to: from, kinds: 0 });
    for key in 0..evidence.keys.len() as u32 {
        for pair in placed.of(key).windows(2) {
            add(model.ww(pair[0], pair[1]));
        }
    }
    for reader in 0..n as u32 {
        for read in evidence.reads.row(reader) {
            let writers = placed.of(read.key);
            let is_before = |writer: &u32| {
                read.from != INITIAL && rank[*writer as usize] <= rank[read.from as usize]
            };
            let next = writers.get(writers.partition_point(is_before));
            if let Some(next) = next.filter(|next| **next != reader) {
                add(model.rw(reader, *next));
            }
        }
    }
    let complete = Graph::new(backward.len(), &arcs);
    drop(arcs);
    guess(&complete, committed.into_iter().map(|txn| model.commit(txn)))
}

/// Two writers of a key whose order contradicts a guess, or is not told by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) key: u32,
    pub(super) first: u32,
    pub(super) second: u32,
}

impl Pair {
    pub(super) fn new(key: u32, one: u32, other: u32) -> Self {
        Self { key, first: one.min(other), second: one.max(other) }
    }
}

/// How many writers between a write and its read are named at once.
const NAMED: usize = 16;

/// Every reason why an order of begins and commits is none of the model, as the pairs of writers that
/// must be put differently; empty if it is one. Not for [`Model::Parallel`].
pub(super) fn contradictions(
    evidence: &Evidence<'_>,
    writers: &Rows<u32>,
    model: Model,
    order: &[u32],
) -> Vec<Pair> {
    let n = evidence.len();
    let mut placed = Placed::new(evidence, writers);
    let mut begun = vec![0_u32; n];
    let mut committed = vec![0_u32; n];
    let mut pairs = Vec::new();
    for (at, node) in (0..).zip(order) {
        let Some(txn) = model.txn(*node, n) else { continue };
        if *node == model.begin(txn) {
            begun[txn as usize] = at;
            for read in evidence.reads.row(txn) {
                let later = placed.of(read.key).iter().rev();
                let later = later.take_while(|writer| **writer != read.from).take(NAMED);
                pairs.extend(later.map(|writer| Pair::new(read.key, read.from, *writer)));
            }
        }
        if *node == model.commit(txn) {
            committed[txn as usize] = at;
            for key in evidence.writes.row(txn) {
                if model == Model::Snapshot {
                    let meanwhile = placed.of(*key).iter().rev();
                    let meanwhile = meanwhile
                        .take_while(|writer| committed[**writer as usize] > begun[txn as usize])
                        .take(NAMED);
                    pairs.extend(meanwhile.map(|writer| Pair::new(*key, *writer, txn)));
                }
                placed.add(*key, txn);
            }
        }
    }
    pairs
}

/// The writers of each key so far, in the order they came.
pub(super) struct Placed {
    starts: Vec<u32>,
    counts: Vec<u32>,
    writers: Vec<u32>,
}

impl Placed {
    pub(super) fn new(evidence: &Evidence<'_>, writers: &Rows<u32>) -> Self {
        let keys = evidence.keys.len() as u32;
        let mut starts = Vec::with_capacity(keys as usize);
        let mut total = 0;
        for key in 0..keys {
            starts.push(total);
            total += writers.row(key).len() as u32;
        }
        Self { starts, counts: vec![0; keys as usize], writers: vec![0; total as usize] }
    }

    pub(super) fn add(&mut self, key: u32, txn: u32) {
        let key = key as usize;
        self.writers[(self.starts[key] + self.counts[key]) as usize] = txn;
        self.counts[key] += 1;
    }

    pub(super) fn of(&self, key: u32) -> &[u32] {
        let key = key as usize;
        let start = self.starts[key] as usize;
        &self.writers[start..start + self.counts[key] as usize]
    }
}
