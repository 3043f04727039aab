//! All keys together: operations, barriers between the layers of their chains, and what is proved of
//! their order.
//!
//! ```text
//!   ▪ ─→ write 1 ─→ ▪ ─→ reads of 1 ─→ ▪        a chain: barriers around its layers
//!   │                                  └──→ ▪   and the chain that must come after it
//! ```

use std::collections::BinaryHeap;

use crate::check::order::coherence::Met;
use crate::check::order::line::Line;
use crate::graph::{Arc, Graph, topological_order};
use crate::history::{History, TxnId};

/// A chain of the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    /// The place of its line.
    pub(super) line: u32,
    /// The barrier before its first layer.
    pub(super) begin: u32,
    /// The barrier after its last layer.
    pub(super) end: u32,
    /// When it would have to begin if the order were that of real time.
    pub(super) priority: u32,
    /// How many operations it has.
    pub(super) size: u32,
}

fn sort_pairs(pairs: &mut Vec<(u32, u32)>) {
    pairs.sort_unstable();
    pairs.dedup();
}

/// The operations of some lines.
pub(super) struct Network {
    /// By node, in order of invocation.
    pub(super) operations: Vec<TxnId>,
    /// The chains of all lines, one line after the other, the initial chain of each first.
    pub(super) chains: Vec<Chain>,
    /// Where the chains of each line begin; one more than there are lines.
    pub(super) lines: Vec<u32>,
    /// How many nodes there are: operations, then barriers.
    nodes: usize,
    /// What holds inside chains and along sessions.
    arcs: Vec<Arc>,
    /// What is proved of the order of chains, sorted.
    order: Vec<(u32, u32)>,
    /// The chains that each operation is in, as (operation, chain), in order.
    pub(super) members: Vec<(u32, u32)>,
}

fn arc(from: u32, to: u32) -> Arc {
    Arc { from, to, kinds: 1 }
}

impl Network {
    pub(super) fn new(history: &History, lines: &[(&Line, &[Met])]) -> Self {
        // Each operation with the chains it is in, and its layer there.
        let (mut slots, mut first) = (Vec::new(), 0);
        for (line, _) in lines {
            slots.extend(line.slots.iter().map(|(id, slot)| (*id, first + slot.chain, slot.layer)));
            first += line.layers.len() as u32;
        }
        slots.sort_unstable();
        let mut operations: Vec<TxnId> = slots.iter().map(|(id, ..)| *id).collect();
        operations.dedup();
        let mut network = Self {
            nodes: operations.len(),
            operations,
            chains: Vec::new(),
            lines: vec![0],
            arcs: Vec::new(),
            order: Vec::new(),
            members: Vec::new(),
        };
        for (at, (line, met)) in (0..).zip(lines) {
            let first = network.chains.len() as u32;
            network.add_chains(at, line);
            let pair = |met: &Met| (first + met.before.1.chain, first + met.after.1.chain);
            network.order.extend(met.iter().map(pair));
        }
        sort_pairs(&mut network.order);
        network.add_members(history, &slots);
        network.add_sessions(history);
        network
    }

    fn add_chains(&mut self, at: u32, line: &Line) {
        for layers in &line.layers {
            let begin = self.nodes as u32;
            let end = begin + layers;
            self.nodes += *layers as usize + 1;
            self.arcs.extend((begin..end).map(|barrier| arc(barrier, barrier + 1)));
            self.chains.push(Chain { line: at, begin, end, priority: u32::MAX, size: 0 });
        }
        self.lines.push(self.chains.len() as u32);
    }

    fn add_members(&mut self, history: &History, slots: &[(TxnId, u32, u32)]) {
        // The first return and the last invocation of each chain: the earlier of the two is the
        // latest instant at which it can begin (compare the zones of Gibbons and Korach 1997).
        let mut latest = vec![0; self.chains.len()];
        let mut node = 0_u32;
        for (id, chain, layer) in slots {
            if self.operations[node as usize] != *id {
                node += 1;
            }
            let txn = history.txn(*id);
            let latest = &mut latest[*chain as usize];
            *latest = (*latest).max(txn.invoked().0);
            self.members.push((node, *chain));
            let chain = &mut self.chains[*chain as usize];
            chain.size += 1;
            chain.priority = chain.priority.min(txn.returned().0);
            let barrier = chain.begin + layer;
            self.arcs.extend([arc(barrier, node), arc(node, barrier + 1)]);
        }
        for (chain, latest) in self.chains.iter_mut().zip(latest) {
            chain.priority = chain.priority.min(latest);
        }
    }

    fn add_sessions(&mut self, history: &History) {
        let mut last: Vec<Option<u32>> = vec![None; history.session_count()];
        for (node, id) in (0..).zip(&self.operations) {
            let txn = history.txn(*id);
            let last = &mut last[txn.session().index()];
            self.arcs.extend(last.map(|before| arc(before, node)));
            if txn.is_ok() {
                *last = Some(node);
            }
        }
    }

    /// Everything that is proved, as a graph.
    pub(super) fn graph(&self) -> Graph {
        let ordered = self.order.iter().map(|(one, other)| {
            arc(self.chains[*one as usize].end, self.chains[*other as usize].begin)
        });
        let initial = self.lines.windows(2).flat_map(|line| {
            let end = self.chains[line[0] as usize].end;
            (line[0] + 1..line[1]).map(move |chain| (end, chain))
        });
        let initial = initial.map(|(end, chain)| arc(end, self.chains[chain as usize].begin));
        let arcs: Vec<Arc> = self.arcs.iter().copied().chain(ordered).chain(initial).collect();
        Graph::new(self.nodes, &arcs)
    }

    /// Whether an order can be guessed: the chains of each key as proved and otherwise in real time.
    /// Where the keys are linearizable each, the guess is right, because linearizability is local.
    pub(super) fn has_obvious_order(&self) -> bool {
        let mut arcs = self.arcs.clone();
        for line in self.lines.windows(2) {
            let Some(order) = self.guess(line[0], line[1]) else { return false };
            arcs.extend(order.windows(2).map(|pair| {
                arc(self.chains[pair[0] as usize].end, self.chains[pair[1] as usize].begin)
            }));
        }
        topological_order(&Graph::new(self.nodes, &arcs)).is_some()
    }

    /// The chains of a line in an order that keeps what is proved; `None` if that is a circle.
    fn guess(&self, first: u32, end: u32) -> Option<Vec<u32>> {
        let mut missing = vec![0_u32; (end - first) as usize];
        let place = |chain: u32| self.order.partition_point(|pair| pair.0 < chain);
        let proved = &self.order[place(first)..place(end)];
        let after = |chain: u32| {
            let from = proved.partition_point(|pair| pair.0 < chain);
            proved[from..].iter().take_while(move |pair| pair.0 == chain).map(|pair| pair.1)
        };
        for chain in first..end {
            after(chain).for_each(|later| missing[(later - first) as usize] += 1);
        }
        let rank = |chain: u32| {
            // The initial chain comes first.
            let priority = if chain == first { 0 } else { self.chains[chain as usize].priority };
            std::cmp::Reverse((priority, chain))
        };
        let free = (first..end).filter(|chain| missing[(chain - first) as usize] == 0);
        let mut free: BinaryHeap<_> = free.map(rank).collect();
        let mut order = Vec::with_capacity(missing.len());
        while let Some(std::cmp::Reverse((_, chain))) = free.pop() {
            order.push(chain);
            for later in after(chain) {
                let missing = &mut missing[(later - first) as usize];
                *missing -= 1;
                if *missing == 0 {
                    free.push(rank(later));
                }
            }
        }
        (order.len() == missing.len() && order.first() == Some(&first)).then_some(order)
    }

    /// Proves more of the order of chains: what must come before any operation of a chain lies before
    /// the whole of it. Rounds until nothing is new; `None` if there is a circle, else whether the
    /// words of memory sufficed.
    pub(super) fn saturate(&mut self, mut words_left: u64) -> Option<bool> {
        loop {
            let graph = self.graph();
            let order = topological_order(&graph)?;
            let words = self.chains.len().div_ceil(64);
            let cost = (words * (graph.len() + graph.edge_count())) as u64;
            const MOST_WORDS: usize = 16_000_000;
            if cost > words_left || words * graph.len() > MOST_WORDS {
                return Some(false);
            }
            words_left -= cost;
            let reached = self.reached(&graph, &order, words);
            const MOST_PAIRS: usize = 2_000_000;
            let known = self.order.len();
            for (node, chain) in &self.members {
                let line = self.chains[*chain as usize].line as usize;
                let (initial, end) = (self.lines[line], self.lines[line + 1]);
                // The initial chain comes first anyway.
                if *chain == initial {
                    continue;
                }
                let row = &reached[*node as usize * words..(*node as usize + 1) * words];
                for word in initial / 64..=(end - 1) / 64 {
                    let mut bits = row[word as usize];
                    while bits != 0 {
                        let other = word * 64 + bits.trailing_zeros();
                        bits &= bits - 1;
                        if other == initial {
                            return None;
                        }
                        if other > initial && other < end && other != *chain {
                            self.order.push((*chain, other));
                        }
                    }
                }
                // Many operations of a chain prove the same: it must not be kept for each of them.
                if self.order.len() > 4 * MOST_PAIRS {
                    sort_pairs(&mut self.order);
                    if self.order.len() > MOST_PAIRS {
                        return Some(false);
                    }
                }
            }
            sort_pairs(&mut self.order);
            if self.order.len() > MOST_PAIRS {
                return Some(false);
            }
            if self.order.len() == known {
                return Some(true);
            }
        }
    }

    /// For each node the chains with an operation at or after it, a bit each.
    fn reached(&self, graph: &Graph, order: &[u32], words: usize) -> Vec<u64> {
        let mut reached = vec![0_u64; words * graph.len()];
        for (node, chain) in &self.members {
            reached[*node as usize * words + *chain as usize / 64] |= 1 << (chain % 64);
        }
        for node in order.iter().rev() {
            for to in graph.targets(*node) {
                for word in 0..words {
                    let later = reached[*to as usize * words + word];
                    reached[*node as usize * words + word] |= later;
                }
            }
        }
        reached
    }
}
