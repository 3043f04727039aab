//! Cycles by the pattern of the kinds of their edges.

use std::collections::BTreeSet;

use crate::graph::components::components_by;
use crate::graph::{Arc, Components, Graph, components};

/// Where the marked edges of a cycle may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// There is at least one.
    Some,
    /// There is exactly one.
    One,
    /// There are two or more, and none directly follows another.
    Apart,
    /// There are two or more, and one directly follows another.
    Adjacent,
}

/// Which simple cycles are looked for. An edge of several kinds counts as any one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The kind of the marked edges: one bit.
    pub marked: u8,
    /// The kinds of all other edges.
    pub others: u8,
    /// How the marked ones stand.
    pub shape: Shape,
}

/// A simple cycle: each node with the kind of the edge by which it is left.
pub type Cycle = Vec<(u32, u8)>;

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The smallest cycles, the shortest first.
    pub cycles: Vec<Cycle>,
    /// How many were found: at most one a marked edge, and none much longer than the shortest.
    pub count: u64,
    /// Whether the steps did not suffice: a shorter cycle, or any, may have been missed.
    pub is_cut: bool,
}

/// Looks for the cycles of a pattern, and keeps the `keep` smallest of them.
///
/// Breadth-first search from every marked edge inside a component, to a depth that grows until the
/// first cycle is found; so the first cycle is a shortest one. `Shape::One` and `Shape::Apart`
/// search only inside the components of the product with the automaton that remembers whether the
/// last edge was marked. Whether there is a simple cycle of `Shape::Apart` is NP-hard in general;
/// where a shortest closed walk crosses itself, simple ones are tried one by one. At most `steps`
/// edges are looked at.
pub fn labelled_cycles(graph: &Graph, pattern: Pattern, keep: usize, steps: u64) -> Found {
    let mut search = Search::new(graph, pattern);
    let starts = search.starts();
    let mut depth = 2;
    loop {
        let mut found: BTreeSet<(usize, Cycle)> = BTreeSet::new();
        let mut is_cut = false;
        search.was_cut = false;
        for (from, to) in &starts {
            if search.looked > steps {
                is_cut = true;
                break;
            }
            if let Some(cycle) = search.cycle(*from, *to, depth) {
                found.insert((cycle.len(), from_least(cycle)));
            }
        }
        is_cut |= search.gave_up;
        if !found.is_empty() || is_cut || !search.was_cut {
            let count = found.len() as u64;
            let cycles = found.into_iter().take(keep).map(|(_, cycle)| cycle).collect();
            return Found { cycles, count, is_cut };
        }
        depth += depth.div_ceil(2);
    }
}

/// The product of a graph with the automaton that allows no marked edge after another: node `2 v` is
/// `v` reached by another edge, `2 v + 1` is `v` reached by a marked one. Only of edges inside the
/// components of all edges of the pattern: no cycle leaves them.
fn product(graph: &Graph, pattern: Pattern) -> Graph {
    let mut arcs = Vec::new();
    let whole = components_by(graph, |kinds| kinds & (pattern.marked | pattern.others) != 0);
    for from in 0..graph.len() as u32 {
        for (to, kinds) in graph.edges(from).filter(|edge| whole.same(from, edge.0)) {
            if kinds & pattern.others != 0 {
                arcs.push(Arc { from: 2 * from, to: 2 * to, kinds: 1 });
                arcs.push(Arc { from: 2 * from + 1, to: 2 * to, kinds: 1 });
            }
            if kinds & pattern.marked != 0 {
                arcs.push(Arc { from: 2 * from, to: 2 * to + 1, kinds: 1 });
            }
        }
    }
    Graph::new(2 * graph.len(), &arcs)
}

/// Begins a cycle with its least node.
fn from_least(mut cycle: Cycle) -> Cycle {
    let least = (0..cycle.len()).min_by_key(|at| cycle[*at].0).unwrap_or(0);
    cycle.rotate_left(least);
    cycle
}

const NONE: u32 = u32::MAX;

/// Simple cycles that are tried one by one, for each marked edge: so many edges are looked at.
const TRIED: u64 = 100_000;

struct Search<'g> {
    graph: &'g Graph,
    pattern: Pattern,
    components: Components,
    /// Four states a node at most: reached by a marked edge or not, by two marked edges or not.
    parent: Vec<u32>,
    touched: Vec<u32>,
    looked: u64,
    was_cut: bool,
    gave_up: bool,
}

impl<'g> Search<'g> {
    fn new(graph: &'g Graph, pattern: Pattern) -> Self {
        let components = match pattern.shape {
            Shape::Some | Shape::Adjacent => {
                components_by(graph, |kinds| kinds & (pattern.marked | pattern.others) != 0)
            }
            Shape::One | Shape::Apart => components(&product(graph, pattern)),
        };
        let states = if pattern.shape == Shape::Apart { 4 } else { 1 };
        Self {
            graph,
            pattern,
            components,
            parent: vec![NONE; states * graph.len()],
            touched: Vec::new(),
            looked: 0,
            was_cut: false,
            gave_up: false,
        }
    }

    /// The marked edges that may lie on a cycle; for `Shape::Adjacent`, the nodes between two.
    fn starts(&self) -> Vec<(u32, u32)> {
        let mut starts = Vec::new();
        for from in 0..self.graph.len() as u32 {
            for (to, kinds) in self.graph.edges(from) {
                if kinds & self.pattern.marked == 0 || from == to {
                    continue;
                }
                match self.pattern.shape {
                    Shape::Some if self.components.same(from, to) => starts.push((from, to)),
                    Shape::One | Shape::Apart if self.components.same(2 * from, 2 * to + 1) => {
                        starts.push((from, to));
                    }
                    Shape::Adjacent if self.components.same(from, to) => starts.push((to, to)),
                    _ => {}
                }
            }
        }
        if self.pattern.shape == Shape::Adjacent {
            starts.sort_unstable();
            starts.dedup();
        }
        starts
    }

    /// A shortest cycle of at most `depth` nodes that begins with this edge (or has two marked edges
    /// at this node).
    fn cycle(&mut self, from: u32, to: u32, depth: usize) -> Option<Cycle> {
        let Pattern { marked, others, shape } = self.pattern;
        match shape {
            Shape::Some | Shape::One => {
                let rest = if shape == Shape::Some { marked | others } else { others };
                let path = self.path(&[to], |node| node == from, from, rest, depth - 1)?;
                let mut cycle = vec![(from, marked)];
                cycle.extend(self.labelled(&path, from, rest));
                Some(cycle)
            }
            Shape::Adjacent => self.adjacent(from, depth),
            Shape::Apart => self.apart(from, to, depth),
        }
    }

    /// The nodes of a path, each with the kind of the edge to the next and at last to `end`.
    fn labelled(&self, path: &[u32], end: u32, kinds: u8) -> Cycle {
        let lowest = |set: u8| set & set.wrapping_neg();
        let next = path.iter().skip(1).copied().chain([end]);
        path.iter()
            .zip(next)
            .map(|(one, next)| (*one, lowest(self.graph.kinds(*one, next) & kinds)))
            .collect()
    }

    /// A shortest path of at most `depth` nodes from one of `sources` to a node from which an edge
    /// leads to an end; it does not enter `avoided` unless that is an end.
    fn path(
        &mut self,
        sources: &[u32],
        is_end: impl Fn(u32) -> bool,
        avoided: u32,
        kinds: u8,
        depth: usize,
    ) -> Option<Vec<u32>> {
        let inside = self.component(avoided);
        let mut level = sources.to_vec();
        for source in sources {
            self.parent[*source as usize] = *source;
        }
        self.touched.extend(sources);
        let mut last = None;
        'search: for _ in 0..depth {
            let mut next = Vec::new();
            for node in level.drain(..) {
                for (to, all) in self.graph.edges(node) {
                    self.looked += 1;
                    if all & kinds == 0 {
                        continue;
                    }
                    if is_end(to) {
                        last = Some(node);
                        break 'search;
                    }
                    let is_new = self.parent[to as usize] == NONE && to != avoided;
                    if is_new && self.component(to) == inside {
                        self.parent[to as usize] = node;
                        self.touched.push(to);
                        next.push(to);
                    }
                }
            }
            level = next;
            if level.is_empty() {
                break;
            }
        }
        self.was_cut |= last.is_none() && !level.is_empty();
        let path = last.map(|last| self.way_to(last));
        self.forget();
        path
    }

    /// The component in which a cycle through a node must lie.
    fn component(&self, node: u32) -> u32 {
        match self.pattern.shape {
            Shape::Some | Shape::Adjacent => self.components.of(node),
            Shape::One | Shape::Apart => self.components.of(2 * node),
        }
    }

    /// The states by which a state was reached, from the first.
    fn way_to(&self, last: u32) -> Vec<u32> {
        let mut way = vec![last];
        let mut at = last;
        while self.parent[at as usize] != at {
            at = self.parent[at as usize];
            way.push(at);
        }
        way.reverse();
        way
    }

    fn forget(&mut self) {
        for state in self.touched.drain(..) {
            self.parent[state as usize] = NONE;
        }
    }

    /// A shortest cycle in which a marked edge enters `middle` and one leaves it.
    fn adjacent(&mut self, middle: u32, depth: usize) -> Option<Cycle> {
        let Pattern { marked, others, .. } = self.pattern;
        let graph = self.graph;
        let sources: Vec<u32> = graph
            .edges(middle)
            .filter(|(to, kinds)| {
                kinds & marked != 0 && *to != middle && self.components.same(*to, middle)
            })
            .map(|(to, _)| to)
            .collect();
        let is_last = |node: u32| graph.kinds(node, middle) & marked != 0;
        let both = sources.iter().copied().find(|source| is_last(*source));
        let mut cycle = vec![(middle, marked)];
        if let Some(other) = both {
            cycle.push((other, marked));
            return Some(cycle);
        }
        if sources.is_empty() {
            return None;
        }
        let kinds = marked | others;
        let path = self.path(&sources, is_last, middle, kinds, depth.saturating_sub(2))?;
        let last = *path.last()?;
        let end = graph.edges(last).find(|(to, all)| all & kinds != 0 && is_last(*to))?.0;
        cycle.extend(self.labelled(&path, end, kinds));
        cycle.push((end, marked));
        Some(cycle)
    }

    /// A shortest cycle that begins with this marked edge and has others, none directly after
    /// another.
    fn apart(&mut self, from: u32, to: u32, depth: usize) -> Option<Cycle> {
        let start = State { node: to, is_marked: true, again: false };
        let mut level = vec![start];
        self.parent[start.index()] = start.index() as u32;
        self.touched.push(start.index() as u32);
        let mut last = None;
        'search: for _ in 1..depth {
            let mut next = Vec::new();
            for state in level.drain(..) {
                for step in self.steps_from(state, from, to) {
                    if step.node == from {
                        last = Some(state);
                        break 'search;
                    }
                    if self.parent[step.index()] == NONE {
                        self.parent[step.index()] = state.index() as u32;
                        self.touched.push(step.index() as u32);
                        next.push(step);
                    }
                }
            }
            level = next;
            if level.is_empty() {
                break;
            }
        }
        self.was_cut |= last.is_none() && !level.is_empty();
        let way = last.map(|last| self.way_to(last.index() as u32));
        self.forget();
        let way: Vec<State> = way?.into_iter().map(State::at).collect();
        let mut nodes: Vec<u32> = way.iter().map(|state| state.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        if nodes.len() == way.len() {
            return Some(self.marked_where(from, &way));
        }
        self.try_simple(from, to, way.len() + 1, depth)
    }

    /// Where the automaton may go; to `from` only to close a cycle with another marked edge.
    fn steps_from(&mut self, state: State, from: u32, to: u32) -> Vec<State> {
        let Pattern { marked, others, .. } = self.pattern;
        let inside = self.component(from);
        let mut steps = Vec::new();
        for (node, kinds) in self.graph.edges(state.node) {
            self.looked += 1;
            let is_inside =
                [0, 1].iter().any(|state| self.components.of(2 * node + state) == inside);
            if node == to || !is_inside {
                continue;
            }
            if kinds & others != 0 && (node != from || state.again) {
                steps.push(State { node, is_marked: false, again: state.again });
            }
            if kinds & marked != 0 && !state.is_marked && node != from {
                steps.push(State { node, is_marked: true, again: true });
            }
        }
        steps
    }

    /// The cycle of an automaton's way back to `from`.
    fn marked_where(&self, from: u32, way: &[State]) -> Cycle {
        let Pattern { marked, others, .. } = self.pattern;
        let lowest = |set: u8| set & set.wrapping_neg();
        let mut cycle = vec![(from, marked)];
        for (at, state) in way.iter().enumerate() {
            let next = way.get(at + 1);
            let kind = match next {
                Some(next) if next.is_marked => marked,
                _ => {
                    let to = next.map_or(from, |next| next.node);
                    lowest(self.graph.kinds(state.node, to) & others)
                }
            };
            cycle.push((state.node, kind));
        }
        cycle
    }

    /// Tries the simple cycles of `at_least` to `depth` nodes one by one, the short ones first.
    fn try_simple(&mut self, from: u32, to: u32, at_least: usize, depth: usize) -> Option<Cycle> {
        let enough = self.looked + TRIED;
        for length in at_least..=depth {
            let start = State { node: to, is_marked: true, again: false };
            let mut way = vec![start];
            let mut open = vec![self.steps_from(start, from, to)];
            while let Some(steps) = open.last_mut() {
                let Some(step) = steps.pop() else {
                    open.pop();
                    way.pop();
                    continue;
                };
                if self.looked > enough {
                    self.gave_up = true;
                    return None;
                }
                if step.node == from {
                    return Some(self.marked_where(from, &way));
                }
                if way.iter().any(|state| state.node == step.node) {
                    continue;
                }
                if way.len() + 1 == length {
                    self.was_cut |= length == depth;
                    continue;
                }
                way.push(step);
                let steps = self.steps_from(step, from, to);
                open.push(steps);
            }
        }
        None
    }
}

/// Where the automaton of `Shape::Apart` stands.
#[derive(Clone, Copy)]
struct State {
    node: u32,
    /// Whether the last edge was a marked one.
    is_marked: bool,
    /// Whether there was a marked edge after the first.
    again: bool,
}

impl State {
    fn index(self) -> usize {
        self.node as usize * 4 + usize::from(self.is_marked) * 2 + usize::from(self.again)
    }

    fn at(index: u32) -> Self {
        Self { node: index / 4, is_marked: index & 2 != 0, again: index & 1 != 0 }
    }
}
