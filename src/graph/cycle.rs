//! Shortest cycles under a constraint on the kinds of their edges.

use std::collections::VecDeque;

use crate::graph::{Components, Graph};

/// Which cycles count. All fields are sets of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CycleSpec {
    /// Every edge of the cycle is of one of these kinds.
    pub through: u8,
    /// Exactly one edge is of one of these kinds, if any are named; all others are of other kinds.
    pub exactly_one: Option<u8>,
    /// At least one edge is of one of these kinds, if any are named.
    pub at_least_one: Option<u8>,
}

impl CycleSpec {
    /// Any cycle.
    pub const ANY: Self = Self { through: u8::MAX, exactly_one: None, at_least_one: None };
}

/// So many edges are looked at before the shortest cycle found so far is good enough: in a
/// component of a million nodes the exact answer would cost a search from every one of them.
const EDGES_LOOKED_AT: usize = 10_000_000;

/// A shortest cycle among `members`, the nodes of one component: its nodes in order, beginning with
/// the one that the demanded edge (if one is demanded) leaves.
///
/// Breadth-first search back from each demanded edge, or from each node. Exact unless the component
/// is so large that the searches together would look at more than ten million edges; then the
/// cycle is the shortest of those found by then, and there is none only if there is none at all.
pub fn shortest_cycle(
    graph: &Graph,
    components: &Components,
    members: &[u32],
    spec: CycleSpec,
) -> Option<Vec<u32>> {
    let (demanded, others) = match (spec.exactly_one, spec.at_least_one) {
        (Some(one), _) => (spec.through & one, spec.through & !one),
        (None, Some(some)) => (spec.through & some, spec.through),
        (None, None) => (spec.through, spec.through),
    };
    let any = spec.exactly_one.is_none() && spec.at_least_one.is_none();
    let mut search =
        Search { graph, components, others, parent: vec![NONE; graph.len()], looked: 0 };
    let mut best: Option<Vec<u32>> = None;
    for from in members {
        let longest = best.as_ref().map_or(usize::MAX, |cycle| cycle.len() - 1);
        if longest < 2 || (best.is_some() && search.looked > EDGES_LOOKED_AT) {
            break;
        }
        if any {
            // Whatever edge it is left by, the shortest way round is the same search.
            best = search.path(*from, None, longest).or(best);
            continue;
        }
        for (to, kinds) in graph.edges(*from) {
            if kinds & demanded != 0 && components.same(*from, to) {
                let longest = best.as_ref().map_or(usize::MAX, |cycle| cycle.len() - 1);
                best = search.path(*from, Some(to), longest).or(best);
            }
        }
    }
    best
}

const NONE: u32 = u32::MAX;

struct Search<'g> {
    graph: &'g Graph,
    components: &'g Components,
    others: u8,
    parent: Vec<u32>,
    looked: usize,
}

impl Search<'_> {
    /// A shortest cycle through `from` of at most `longest` nodes, its first edge leading to
    /// `first`, or anywhere.
    fn path(&mut self, from: u32, first: Option<u32>, longest: usize) -> Option<Vec<u32>> {
        let mut touched = Vec::new();
        let mut queue = VecDeque::new();
        match first {
            Some(to) if to == from => return (longest >= 1).then(|| vec![from]),
            Some(to) => {
                self.parent[to as usize] = from;
                touched.push(to);
                queue.push_back((to, 2));
            }
            None => queue.push_back((from, 1)),
        }
        let mut found = None;
        'search: while let Some((node, length)) = queue.pop_front() {
            if length > longest {
                break;
            }
            for (to, kinds) in self.graph.edges(node) {
                self.looked += 1;
                if kinds & self.others == 0 || !self.components.same(from, to) {
                    continue;
                }
                if to == from {
                    found = Some(node);
                    break 'search;
                }
                if self.parent[to as usize] == NONE {
                    self.parent[to as usize] = node;
                    touched.push(to);
                    queue.push_back((to, length + 1));
                }
            }
        }
        let cycle = found.map(|last| {
            let mut cycle = Vec::new();
            let mut at = last;
            while at != from {
                cycle.push(at);
                at = self.parent[at as usize];
            }
            cycle.push(from);
            cycle.reverse();
            cycle
        });
        for node in touched {
            self.parent[node as usize] = NONE;
        }
        cycle
    }
}
