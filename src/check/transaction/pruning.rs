//! Orders of writers that follow from what is certain.
//!
//! One of two writers of a key was overwritten before the other. Where one of the two ways closes a
//! cycle with certain edges, the other is certain as well, and from it more follows, until nothing does
//! any more: the pruning of Tan, Zhao, Mu and Walfish, "Cobra: Making Transactional Key-Value Stores
//! Verifiably Serializable" (OSDI 2020, section 3.4). Most choices are gone before a solver is asked,
//! and where both ways close a cycle the level is refuted without one.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::Edge;
use crate::check::transaction::certificate::{by_return, guess};
use crate::check::transaction::evidence::Evidence;
use crate::check::transaction::level::Model;
use crate::check::transaction::rows::Rows;
use crate::graph::{Arc, CycleSpec, Graph, components, shortest_cycle};

/// No more memory than this for who leads to whom, in words of 64 nodes: 64 MiB.
const WORDS: usize = 1 << 23;

/// No more pairs of writers than these.
const PAIRS: usize = 1 << 22;

/// Two writers of a key in the order in which they overwrote it.
type Way = (u32, u32, u32);

/// Why an edge follows.
#[derive(Clone, Copy)]
struct Followed {
    /// How many followed before it.
    at: u32,
    /// The order of two writers that is not possible.
    refuted: Way,
    /// How many had followed when that was found.
    known: u32,
}

/// What follows from the certain edges of a level.
pub(super) struct Pruning<'a> {
    evidence: &'a Evidence<'a>,
    model: Model,
    readers: &'a Rows<(u32, u32)>,
    /// The certain edges turned round, those that follow included.
    pub(super) backward: Graph,
    /// An order that agrees with them.
    pub(super) order: Vec<u32>,
    /// The edges that follow.
    followed: FxHashMap<(u32, u32), Followed>,
    /// Edges looked at.
    pub(super) steps: u64,
}

impl<'a> Pruning<'a> {
    /// Prunes until nothing follows or `steps` edges are looked at; `Err` names the transactions of a
    /// contradiction. Nothing follows where there are too many transactions at once.
    pub(super) fn new(
        evidence: &'a Evidence<'a>,
        model: Model,
        readers: &'a Rows<(u32, u32)>,
        writers: &Rows<u32>,
        (backward, order): (Graph, Vec<u32>),
        steps: u64,
    ) -> Result<Self, Vec<u32>> {
        let followed = FxHashMap::default();
        let mut all = Self { evidence, model, readers, backward, order, followed, steps: 0 };
        let n = all.backward.len();
        let pairs =
            |key: u32| writers.row(key).len() * writers.row(key).len().saturating_sub(1) / 2;
        let count: usize = (0..evidence.keys.len() as u32).map(pairs).sum();
        if n.div_ceil(64) * n > WORDS || count > PAIRS || count as u64 > steps {
            return Ok(all);
        }
        let mut open: Vec<Way> = Vec::with_capacity(count);
        for key in 0..evidence.keys.len() as u32 {
            let row = writers.row(key);
            for (at, one) in row.iter().enumerate() {
                open.extend(row[at + 1..].iter().map(|other| (key, *one, *other)));
            }
        }
        while all.round(&mut open)? && all.steps < steps {}
        Ok(all)
    }

    /// Looks at every open pair once; whether anything followed.
    fn round(&mut self, open: &mut Vec<Way>) -> Result<bool, Vec<u32>> {
        let before = Before::new(&self.backward, &self.order);
        self.steps += before.steps;
        let known = self.followed.len() as u32;
        let (mut still, mut found) = (Vec::new(), Vec::new());
        let mut looked = 0;
        for (key, one, other) in open.drain(..) {
            let [first, second] = [(key, one, other), (key, other, one)];
            let closes = |way| self.edges_of(way).any(|edge| before.closes(edge));
            looked += 2 + [one, other].map(|txn| self.readers.row(txn).len()).iter().sum::<usize>();
            match (closes(first), closes(second)) {
                (false, false) => still.push(first),
                (true, false) => found.push((second, first)),
                (false, true) => found.push((first, second)),
                (true, true) => return Err(self.named(&[first, second], &[], known)),
            }
        }
        self.steps += looked as u64;
        *open = still;
        let mut arcs: Vec<Arc> = Vec::new();
        for (way, refuted) in found {
            // Who missed a write is not before it where transactions neither begin nor commit.
            let all = if self.model == Model::Parallel { 1 } else { usize::MAX };
            let edges: Vec<(u32, u32)> =
                self.edges_of(way).take(all).filter(|edge| !before.has(*edge)).collect();
            for edge in edges {
                let at = self.followed.len() as u32;
                self.followed.entry(edge).or_insert_with(|| {
                    arcs.push(Arc { from: edge.1, to: edge.0, kinds: Edge::Ww as u8 });
                    Followed { at, refuted, known }
                });
            }
        }
        if arcs.is_empty() {
            return Ok(false);
        }
        for from in 0..self.backward.len() as u32 {
            arcs.extend(self.backward.edges(from).map(|(to, kinds)| Arc { from, to, kinds }));
        }
        self.backward = Graph::new(self.backward.len(), &arcs);
        let roots = by_return(self.evidence).into_iter().map(|txn| self.model.commit(txn));
        match guess(&self.backward, roots) {
            Some(order) => self.order = order,
            None => return Err(self.contradiction()),
        }
        Ok(true)
    }

    /// What follows if the first writer of a key was overwritten before the second.
    fn edges_of(&self, (key, first, second): Way) -> impl Iterator<Item = (u32, u32)> {
        let model = self.model;
        let readers = self.readers.row(first).iter();
        let readers = readers.filter(move |(one, reader)| *one == key && *reader != second);
        let missed = readers.map(move |(_, reader)| model.rw(*reader, second));
        std::iter::once(model.ww(first, second)).chain(missed)
    }

    /// The transactions of a cycle of edges that followed.
    fn contradiction(&self) -> Vec<u32> {
        let components = components(&self.backward);
        let members = components.cyclic().into_iter().min_by_key(Vec::len).unwrap_or_default();
        let cycle = shortest_cycle(&self.backward, &components, &members, CycleSpec::ANY);
        let cycle = cycle.unwrap_or_default();
        let next = cycle.iter().cycle().skip(1);
        let edges: Vec<(u32, u32)> =
            cycle.iter().zip(next).map(|(to, from)| (*from, *to)).collect();
        self.named(&[], &edges, 0)
    }

    /// The transactions from which it follows that none of these ways is possible, when the first
    /// `known` edges had followed, and that these edges are there.
    pub(super) fn named(&self, ways: &[Way], edges: &[(u32, u32)], known: u32) -> Vec<u32> {
        let n = self.evidence.len();
        let mut named: Vec<u32> = Vec::new();
        let mut told: FxHashSet<Way> = FxHashSet::default();
        let mut open: Vec<(Way, u32)> = ways.iter().map(|way| (*way, known)).collect();
        let mut on = edges.to_vec();
        loop {
            for edge in on.drain(..) {
                named.extend([edge.0, edge.1].iter().filter_map(|node| self.model.txn(*node, n)));
                open.extend(self.followed.get(&edge).map(|one| (one.refuted, one.known)));
            }
            let Some((way, known)) = open.pop() else { break };
            if told.insert(way) {
                named.extend([way.1, way.2]);
                let back = |(from, to): (u32, u32)| self.path(to, from, known);
                let path = self.edges_of(way).find_map(back).unwrap_or_default();
                on.extend(path.windows(2).map(|pair| (pair[0], pair[1])));
            }
        }
        named.sort_unstable();
        named.dedup();
        named
    }

    /// Whether nothing followed.
    pub(super) fn is_idle(&self) -> bool {
        self.followed.is_empty()
    }

    /// Whether an edge is not certain by itself but followed.
    pub(super) fn has_followed(&self, edge: (u32, u32)) -> bool {
        self.followed.contains_key(&edge)
    }

    /// A shortest way from one node to another by certain edges and the first `known` that followed.
    fn path(&self, from: u32, to: u32, known: u32) -> Option<Vec<u32>> {
        let is_known = |edge| self.followed.get(&edge).is_none_or(|one| one.at < known);
        let mut came: FxHashMap<u32, u32> = FxHashMap::default();
        let mut queue = VecDeque::from([to]);
        while let Some(node) = queue.pop_front().filter(|_| !came.contains_key(&from)) {
            for before in self.backward.targets(node).iter().copied() {
                if before != to && is_known((before, node)) && !came.contains_key(&before) {
                    came.insert(before, node);
                    queue.push_back(before);
                }
            }
        }
        let mut path = vec![from];
        while path[path.len() - 1] != to {
            path.push(*came.get(&path[path.len() - 1])?);
        }
        Some(path)
    }
}

/// Which nodes lead to which: a row of bits for each, by its place in an order that agrees.
struct Before {
    place: Vec<u32>,
    words: usize,
    rows: Vec<u64>,
    steps: u64,
}

impl Before {
    fn new(backward: &Graph, order: &[u32]) -> Self {
        let n = backward.len();
        let mut place = vec![0_u32; n];
        for (at, node) in (0..).zip(order) {
            place[*node as usize] = at;
        }
        let words = n.div_ceil(64);
        let mut all = Self { place, words, rows: vec![0; n * words], steps: n as u64 };
        let mut direct: Vec<u32> = Vec::new();
        for (at, node) in order.iter().enumerate() {
            direct.clear();
            direct.extend(backward.targets(*node).iter().map(|one| all.place[*one as usize]));
            // The nearest first: what leads to them needs no look any more.
            direct.sort_unstable_by(|one, other| other.cmp(one));
            for before in direct.iter().map(|one| *one as usize) {
                all.steps += 1;
                let (low, high) = all.rows.split_at_mut(at * words);
                if high[before / 64] >> (before % 64) & 1 == 1 {
                    continue;
                }
                let known = &low[before * words..][..=before / 64];
                all.steps += known.len() as u64 / 4;
                for (own, other) in high.iter_mut().zip(known) {
                    *own |= other;
                }
                high[before / 64] |= 1 << (before % 64);
            }
        }
        all
    }

    /// Whether a node leads to another.
    fn has(&self, (from, to): (u32, u32)) -> bool {
        let (from, to) = (self.place[from as usize] as usize, self.place[to as usize] as usize);
        self.rows[to * self.words + from / 64] >> (from % 64) & 1 == 1
    }

    /// Whether an edge would close a cycle.
    fn closes(&self, (from, to): (u32, u32)) -> bool {
        self.has((to, from))
    }
}
