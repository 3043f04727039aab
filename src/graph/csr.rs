//! The compressed sparse row.

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
    /// Two counting sorts, by target and then by source: O(nodes + edges).
    ///
    /// # Panics
    /// If an edge names a node that is not there.
    pub fn new(nodes: usize, arcs: &[Arc]) -> Self {
        let by_target = counting_sort(nodes, arcs.len(), |at| arcs[at].to, |at| at as u32).1;
        let (ends, order) = counting_sort(
            nodes,
            arcs.len(),
            |at| arcs[by_target[at] as usize].from,
            |at| by_target[at],
        );
        drop(by_target);
        let mut graph = Self {
            starts: Vec::with_capacity(nodes + 1),
            targets: Vec::with_capacity(arcs.len()),
            kinds: Vec::with_capacity(arcs.len()),
        };
        graph.starts.push(0);
        let mut begin = 0;
        for end in ends {
            let first = graph.targets.len();
            for at in &order[begin..end as usize] {
                let arc = arcs[*at as usize];
                if graph.targets.len() > first && graph.targets.last() == Some(&arc.to) {
                    *graph.kinds.last_mut().expect("a kind a target") |= arc.kinds;
                } else {
                    graph.targets.push(arc.to);
                    graph.kinds.push(arc.kinds);
                }
            }
            begin = end as usize;
            graph.starts.push(graph.targets.len() as u32);
        }
        graph
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

/// Sorts `0..len` by a small key, stably. Returns where each key's items end, and `item` of each.
fn counting_sort(
    keys: usize,
    len: usize,
    key: impl Fn(usize) -> u32,
    item: impl Fn(usize) -> u32,
) -> (Vec<u32>, Vec<u32>) {
    let mut next = vec![0_u32; keys + 1];
    for at in 0..len {
        next[key(at) as usize + 1] += 1;
    }
    for at in 0..keys {
        next[at + 1] += next[at];
    }
    let mut sorted = vec![0; len];
    for at in 0..len {
        let place = &mut next[key(at) as usize];
        sorted[*place as usize] = item(at);
        *place += 1;
    }
    next.pop();
    (next, sorted)
}
