//! A graph that is kept acyclic while edges are chosen, and the theory that tells a SAT solver so.

use std::cell::Cell;
use std::rc::Rc;

use batsat::{Lit, Theory, TheoryArg, Var};
use rustc_hash::FxHashSet;

use crate::check::transaction::pruning::Pruning;
use crate::graph::Graph;

const NOTHING: u32 = u32::MAX;

/// What the solver does for each literal that it sets and takes back, in edges looked at.
const SOLVER_STEPS: u64 = 16;

/// A directed graph and a topological order of it. Edges come and go in the manner of a stack; an
/// edge that would close a cycle is refused.
///
/// Pearce and Kelly, "A dynamic topological sort algorithm for directed acyclic graphs" (2006): only
/// what lies between the ends of a new edge is looked at, so edges that agree with the order cost
/// nothing, and those that nearly do cost little.
pub(super) struct Acyclic<'g> {
    forward: &'g Graph,
    backward: &'g Graph,
    position: Vec<u32>,
    chosen: Vec<Chosen>,
    /// The last chosen edge that leaves and that enters each node.
    leaving: Vec<u32>,
    entering: Vec<u32>,
    /// How a search came to each node: the search, the node before, the edge.
    came: Vec<(u32, u32, u32)>,
    searches: u32,
    /// Edges looked at so far.
    pub(super) steps: u64,
}

#[derive(Clone, Copy)]
struct Chosen {
    from: u32,
    to: u32,
    label: u32,
    next_leaving: u32,
    next_entering: u32,
}

/// A cycle that a new edge would close.
pub(super) struct Closed {
    /// The labels of its chosen edges.
    pub(super) labels: Vec<u32>,
    /// Its nodes.
    pub(super) nodes: Vec<u32>,
}

impl<'g> Acyclic<'g> {
    /// Begins with the edges of `forward`, those of `backward` turned round, in this order of them.
    pub(super) fn new(forward: &'g Graph, backward: &'g Graph, order: &[u32]) -> Self {
        let n = forward.len();
        let mut position = vec![0; n];
        for (at, node) in (0..).zip(order) {
            position[*node as usize] = at;
        }
        Self {
            forward,
            backward,
            position,
            chosen: Vec::new(),
            leaving: vec![NOTHING; n],
            entering: vec![NOTHING; n],
            came: vec![(0, NOTHING, NOTHING); n],
            searches: 0,
            steps: 0,
        }
    }

    /// The nodes in an order that agrees with every edge.
    pub(super) fn order(&self) -> Vec<u32> {
        let mut order = vec![0; self.position.len()];
        for (node, at) in (0..).zip(&self.position) {
            order[*at as usize] = node;
        }
        order
    }

    /// Adds an edge, unless it closes a cycle.
    pub(super) fn insert(&mut self, from: u32, to: u32, label: u32) -> Result<(), Closed> {
        self.steps += 1;
        let (first, last) = (self.position[to as usize], self.position[from as usize]);
        if from == to {
            return Err(Closed { labels: vec![label], nodes: vec![from] });
        }
        if first < last {
            let after = self.reach(to, from, last, true);
            if let Some(mut closed) = self.closed(to, from) {
                closed.labels.push(label);
                return Err(closed);
            }
            let before = self.reach(from, to, first, false);
            self.reorder(before, after);
        }
        let edge = self.chosen.len() as u32;
        self.chosen.push(Chosen {
            from,
            to,
            label,
            next_leaving: self.leaving[from as usize],
            next_entering: self.entering[to as usize],
        });
        self.leaving[from as usize] = edge;
        self.entering[to as usize] = edge;
        Ok(())
    }

    /// How many edges were added.
    pub(super) fn len(&self) -> usize {
        self.chosen.len()
    }

    /// Takes back all edges but the first so many. The order stays valid.
    pub(super) fn truncate(&mut self, len: usize) {
        while self.chosen.len() > len {
            let edge = self.chosen.pop().expect("there is more than that");
            self.leaving[edge.from as usize] = edge.next_leaving;
            self.entering[edge.to as usize] = edge.next_entering;
        }
    }

    /// Everything reachable from `start` along or against the edges, no farther than the position
    /// `bound`; ends early where it comes to `goal`.
    fn reach(&mut self, start: u32, goal: u32, bound: u32, ahead: bool) -> Vec<u32> {
        self.searches += 1;
        let search = self.searches;
        self.came[start as usize] = (search, NOTHING, NOTHING);
        let mut found = vec![start];
        let mut at = 0;
        while at < found.len() {
            let node = found[at];
            at += 1;
            let known = if ahead { self.forward } else { self.backward };
            for next in known.targets(node) {
                self.steps += 1;
                let (came, position) = (&mut self.came[*next as usize], &self.position);
                let place = position[*next as usize];
                if came.0 != search && (if ahead { place <= bound } else { place >= bound }) {
                    *came = (search, node, NOTHING);
                    found.push(*next);
                }
            }
            let heads = if ahead { &self.leaving } else { &self.entering };
            let mut edge = heads[node as usize];
            while edge != NOTHING {
                self.steps += 1;
                let one = self.chosen[edge as usize];
                let next = if ahead { one.to } else { one.from };
                let place = self.position[next as usize];
                let came = &mut self.came[next as usize];
                if came.0 != search && (if ahead { place <= bound } else { place >= bound }) {
                    *came = (search, node, one.label);
                    found.push(next);
                }
                edge = if ahead { one.next_leaving } else { one.next_entering };
            }
            if self.came[goal as usize].0 == search {
                break;
            }
        }
        found
    }

    /// The way that the last search found from `start` to `goal`, if it did.
    fn closed(&self, start: u32, goal: u32) -> Option<Closed> {
        if self.came[goal as usize].0 != self.searches {
            return None;
        }
        let (mut labels, mut nodes) = (Vec::new(), vec![goal]);
        let mut at = goal;
        while at != start {
            let (_, before, label) = self.came[at as usize];
            if label != NOTHING {
                labels.push(label);
            }
            nodes.push(before);
            at = before;
        }
        nodes.reverse();
        Some(Closed { labels, nodes })
    }

    /// Puts all of `before` before all of `after`, on the positions that they share.
    fn reorder(&mut self, mut before: Vec<u32>, mut after: Vec<u32>) {
        before.sort_unstable_by_key(|node| self.position[*node as usize]);
        after.sort_unstable_by_key(|node| self.position[*node as usize]);
        before.append(&mut after);
        let mut places: Vec<u32> =
            before.iter().map(|node| self.position[*node as usize]).collect();
        places.sort_unstable();
        self.steps += places.len() as u64;
        for (node, place) in before.iter().zip(places) {
            self.position[*node as usize] = place;
        }
    }
}

/// The edges that a literal stands for: those of a variable that is true, and those of one that is
/// false.
pub(super) struct Choice {
    pub(super) edges: [Vec<(u32, u32)>; 2],
    /// Whether it is false that says that the first of the two comes first.
    pub(super) is_turned: bool,
}

/// "The chosen edges close no cycle", as a theory of the solver.
pub(super) struct Theorem<'g> {
    pub(super) graph: Acyclic<'g>,
    /// By variable.
    pub(super) choices: Vec<Choice>,
    /// How much of the solver's trail is in the graph.
    seen: usize,
    levels: Vec<(usize, usize)>,
    /// The nodes of every cycle that was refused.
    pub(super) refused: Vec<bool>,
    /// The variables of every such cycle.
    pub(super) variables: FxHashSet<u32>,
    /// What was certain before anything was chosen, and which of its edges are on such a cycle.
    pub(super) pruning: &'g Pruning<'g>,
    pub(super) followed: FxHashSet<(u32, u32)>,
    /// How many edges may be looked at.
    pub(super) budget: u64,
    spent: Rc<Cell<bool>>,
}

impl<'g> Theorem<'g> {
    /// `spent` becomes true as soon as the budget is.
    pub(super) fn new(
        graph: Acyclic<'g>,
        pruning: &'g Pruning<'g>,
        budget: u64,
        spent: Rc<Cell<bool>>,
    ) -> Self {
        let refused = vec![false; graph.position.len()];
        Self {
            graph,
            choices: Vec::new(),
            seen: 0,
            levels: Vec::new(),
            refused,
            variables: FxHashSet::default(),
            pruning,
            followed: FxHashSet::default(),
            budget,
            spent,
        }
    }

    /// Takes note of an edge of a contradiction.
    pub(super) fn note(&mut self, edge: (u32, u32)) {
        if self.pruning.has_followed(edge) {
            self.followed.insert(edge);
        }
    }
}

impl Theory for Theorem<'_> {
    fn final_check(&mut self, acts: &mut TheoryArg<'_>) {
        self.partial_check(acts);
    }

    fn partial_check(&mut self, acts: &mut TheoryArg<'_>) {
        while self.seen < acts.model().len() {
            let literal = acts.model()[self.seen];
            self.graph.steps += SOLVER_STEPS;
            let choice = &self.choices[literal.var().idx() as usize];
            for (from, to) in &choice.edges[usize::from(!literal.sign())] {
                let label = literal.var().idx() << 1 | u32::from(!literal.sign());
                if let Err(closed) = self.graph.insert(*from, *to, label) {
                    for pair in closed.nodes.windows(2) {
                        self.note((pair[0], pair[1]));
                    }
                    for node in closed.nodes {
                        self.refused[node as usize] = true;
                    }
                    let mut labels = closed.labels;
                    labels.sort_unstable();
                    labels.dedup();
                    let clause: Vec<Lit> = labels
                        .iter()
                        .map(|label| Lit::new(Var::unsafe_from_idx(label >> 1), label & 1 == 1))
                        .collect();
                    self.variables.extend(labels.iter().map(|label| label >> 1));
                    self.graph.steps += SOLVER_STEPS * labels.len() as u64;
                    self.spent.set(self.graph.steps > self.budget);
                    acts.raise_conflict(&clause, false);
                    return;
                }
            }
            self.seen += 1;
        }
        self.spent.set(self.graph.steps > self.budget);
    }

    fn create_level(&mut self) {
        self.levels.push((self.seen, self.graph.len()));
    }

    fn pop_levels(&mut self, n: usize) {
        let Some(keep) = self.levels.len().checked_sub(n).filter(|_| n > 0) else { return };
        (self.seen, _) = self.levels[keep];
        self.graph.truncate(self.levels[keep].1);
        self.levels.truncate(keep);
    }

    fn n_levels(&self) -> usize {
        self.levels.len()
    }

    fn explain_propagation(&mut self, _: Lit) -> &[Lit] {
        // Nothing is ever propagated.
        &[]
    }
}
