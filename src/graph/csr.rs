//! The compressed sparse row.

use std::iter::zip;

/// An edge on its way into a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arc {
    /// Where it leaves.
    pub from: u32,
    /// Where it enters.
    pub to: u32,
    /// Of which kinds it is: a set of bits.
    pub kinds: u8,
}

/// A directed graph of the nodes `0..len()`, each edge with a set of kinds.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Where the edges of each node begin in the two columns below; one more than there are nodes.
    starts: Vec<u32>,
    targets: Vec<u32>,
    kinds: Vec<u8>,
}

impl Graph {
    /// A graph of `nodes` nodes; parallel edges become one with the kinds of all.
    ///
    /// A counting sort by source, then a sort of each row: O(nodes + edges · log edges of a node).
    ///
    /// # Panics
    /// If an edge names a node that is not there.
    pub fn new(nodes: usize, arcs: &[Arc]) -> Self {
        let mut next = vec![0_u32; nodes + 1];
        for arc in arcs {
            next[arc.from as usize + 1] += 1;
        }
        for at in 0..nodes {
            next[at + 1] += next[at];
        }
        let (mut targets, mut kinds) = (vec![0; arcs.len()], vec![0; arcs.len()]);
        for arc in arcs {
            assert!((arc.to as usize) < nodes, "an edge to a node that is not there");
            let place = &mut next[arc.from as usize];
            targets[*place as usize] = arc.to;
            kinds[*place as usize] = arc.kinds;
            *place += 1;
        }
        let mut graph = Self { starts: Vec::with_capacity(nodes + 1), targets, kinds };
        graph.starts.push(0);
        // Each row in order and without parallel edges, moved up to where the last one ended.
        let mut row: Vec<(u32, u8)> = Vec::new();
        let (mut begin, mut len) = (0, 0);
        for end in &next[..nodes] {
            let end = *end as usize;
            row.clear();
            let (targets, kinds) = (&graph.targets[begin..end], &graph.kinds[begin..end]);
            row.extend(zip(targets.iter().copied(), kinds.iter().copied()));
            row.sort_unstable();
            let first = len;
            for (to, kinds) in &row {
                if len > first && graph.targets[len - 1] == *to {
                    graph.kinds[len - 1] |= kinds;
                } else {
                    (graph.targets[len], graph.kinds[len]) = (*to, *kinds);
                    len += 1;
                }
            }
            begin = end;
            graph.starts.push(len as u32);
        }
        graph.targets.truncate(len);
        graph.kinds.truncate(len);
        graph
    }

    /// The graph with its edges turned round. O(nodes + edges).
    #[must_use]
    pub fn turned(&self) -> Self {
        let mut starts = vec![0_u32; self.len() + 1];
        for to in &self.targets {
            starts[*to as usize + 1] += 1;
        }
        for at in 0..self.len() {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        let (mut targets, mut kinds) = (vec![0; self.targets.len()], vec![0; self.kinds.len()]);
        for from in 0..self.len() as u32 {
            for (to, all) in self.edges(from) {
                let place = &mut next[to as usize];
                targets[*place as usize] = from;
                kinds[*place as usize] = all;
                *place += 1;
            }
        }
        Self { starts, targets, kinds }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many edges there are, parallel ones counted once.
    pub fn edge_count(&self) -> usize {
        self.targets.len()
    }

    /// The nodes a node has edges to, in ascending order.
    pub fn targets(&self, node: u32) -> &[u32] {
        let (begin, end) = self.range(node);
        &self.targets[begin..end]
    }

    /// The edges of a node: where they lead, and their kinds.
    pub fn edges(&self, node: u32) -> impl ExactSizeIterator<Item = (u32, u8)> + '_ {
        let (begin, end) = self.range(node);
        self.targets[begin..end].iter().copied().zip(self.kinds[begin..end].iter().copied())
    }

    /// The kinds of the edge between two nodes; 0 if there is none.
    pub fn kinds(&self, from: u32, to: u32) -> u8 {
        let (begin, end) = self.range(from);
        self.targets[begin..end].binary_search(&to).map_or(0, |at| self.kinds[begin + at])
    }

    /// The edges of a node as places in [`Graph::edge`].
    pub(super) fn range(&self, node: u32) -> (usize, usize) {
        (self.starts[node as usize] as usize, self.starts[node as usize + 1] as usize)
    }

    /// The edge at a place, as petgraph sees it.
    pub(super) fn reference(&self, from: u32, place: usize) -> super::ArcReference<'_> {
        super::visit::ArcReference::new(from, self.targets[place], &self.kinds[place], place)
    }

    /// The edge at a place: where it leads, and its kinds.
    pub(super) fn edge(&self, place: usize) -> (u32, u8) {
        (self.targets[place], self.kinds[place])
    }
}
