//! The search for an order of all operations in which every key goes through its chains one after
//! the other: depth first over the frontiers of the sessions.
//!
//! What may come next without beginning a chain comes at once: it only lets more in. So the search
//! chooses nothing but which chain a key begins when the one before is complete, and if a chain can be
//! completed at once there is nothing to choose either. A frontier that led nowhere is
//! remembered by 128 random bits a node, as in the search for linearizations.

use rustc_hash::FxHashSet;

use crate::check::order::network::Network;
use crate::graph::Graph;

/// Whether there is such an order; `None` if the steps ran out.
pub(super) fn has_order(network: &Network, graph: &Graph, steps: &mut u64) -> Option<bool> {
    Frontier::new(network, graph).run(steps)
}

struct Frontier<'n> {
    network: &'n Network,
    graph: &'n Graph,
    /// How many nodes before each are not yet done.
    missing: Vec<u32>,
    done: Vec<u32>,
    hash: u128,
    /// The chain that begins with a barrier, and that ends with one; by node.
    begins: Vec<u32>,
    ends: Vec<u32>,
    /// Whether a key is within a chain; by line.
    is_open: Vec<bool>,
    /// Whether an operation is in chains of several keys.
    is_shared: Vec<bool>,
}

const NONE: u32 = u32::MAX;

impl<'n> Frontier<'n> {
    fn new(network: &'n Network, graph: &'n Graph) -> Self {
        let mut missing = vec![0; graph.len()];
        for node in 0..graph.len() as u32 {
            graph.targets(node).iter().for_each(|to| missing[*to as usize] += 1);
        }
        let (mut begins, mut ends) = (vec![NONE; graph.len()], vec![NONE; graph.len()]);
        for (at, chain) in (0..).zip(&network.chains) {
            begins[chain.begin as usize] = at;
            ends[chain.end as usize] = at;
        }
        let is_open = vec![false; network.lines.len()];
        let mut is_shared = vec![false; network.operations.len()];
        for pair in network.members.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            is_shared[pair[0].0 as usize] = true;
        }
        let done = Vec::new();
        Self { network, graph, missing, done, hash: 0, begins, ends, is_open, is_shared }
    }

    fn run(mut self, steps: &mut u64) -> Option<bool> {
        let initial: Vec<u32> = self.network.lines.windows(2).map(|line| line[0]).collect();
        for chain in initial {
            self.advance(self.network.chains[chain as usize].begin, steps);
        }
        let mut dead: FxHashSet<u128> = FxHashSet::default();
        // How much was done before each choice, and what is left to choose.
        let mut frames: Vec<(usize, Vec<u32>)> = Vec::new();
        loop {
            let choices = self.choices(steps);
            if self.done.len() == self.graph.len() {
                return Some(true);
            }
            if *steps == 0 {
                return None;
            }
            if dead.insert(self.hash) {
                frames.push((self.done.len(), choices));
            }
            loop {
                let Some((keep, choices)) = frames.last_mut() else { return Some(false) };
                let (keep, choice) = (*keep, choices.pop());
                self.undo(keep);
                if let Some(chain) = choice {
                    self.advance(self.network.chains[chain as usize].begin, steps);
                    break;
                }
                frames.pop();
            }
        }
    }

    /// The chains that may begin now, the best last. Those that can be completed at once are.
    fn choices(&mut self, steps: &mut u64) -> Vec<u32> {
        let mut open: Vec<u32> = (0..self.network.chains.len() as u32).collect();
        loop {
            let mut committed = false;
            let mut choices = Vec::new();
            for chain in open {
                *steps = steps.saturating_sub(1);
                if !self.may_begin(chain) {
                    continue;
                }
                let keep = self.done.len();
                let one = self.network.chains[chain as usize];
                self.advance(one.begin, steps);
                if self.is_open[one.line as usize] {
                    self.undo(keep);
                    choices.push(chain);
                } else {
                    committed = true;
                }
            }
            if !committed {
                let priority = |chain: &u32| self.network.chains[*chain as usize].priority;
                choices.sort_by_key(|chain| std::cmp::Reverse(priority(chain)));
                return choices;
            }
            open = (0..self.network.chains.len() as u32).collect();
        }
    }

    /// Whether the key of a chain is idle, what must come before is done, and so is all that its
    /// write waits for.
    fn may_begin(&self, chain: u32) -> bool {
        let one = self.network.chains[chain as usize];
        if self.is_open[one.line as usize] || self.missing[one.begin as usize] != 0 {
            return false;
        }
        // A transaction waits for the chains of its other keys too.
        self.graph.targets(one.begin).iter().all(|to| {
            self.is_shared.get(*to as usize).is_none_or(|is_shared| *is_shared)
                || self.missing[*to as usize] == 1
        })
    }

    /// Does a node and all that it lets in.
    fn advance(&mut self, node: u32, steps: &mut u64) {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            *steps = steps.saturating_sub(1);
            self.done.push(node);
            self.hash ^= noise(node);
            self.missing[node as usize] = DONE;
            if let Some(line) = self.line(&self.begins, node) {
                self.is_open[line] = true;
            }
            if let Some(line) = self.line(&self.ends, node) {
                self.is_open[line] = false;
            }
            for to in self.graph.targets(node) {
                let missing = &mut self.missing[*to as usize];
                *missing -= 1;
                if *missing == 0 && self.begins[*to as usize] == NONE {
                    open.push(*to);
                }
            }
        }
    }

    /// Takes back all but the first `keep` nodes.
    fn undo(&mut self, keep: usize) {
        while self.done.len() > keep {
            let Some(node) = self.done.pop() else { return };
            self.hash ^= noise(node);
            self.missing[node as usize] = 0;
            if let Some(line) = self.line(&self.begins, node) {
                self.is_open[line] = false;
            }
            if let Some(line) = self.line(&self.ends, node) {
                self.is_open[line] = true;
            }
            for to in self.graph.targets(node) {
                self.missing[*to as usize] += 1;
            }
        }
    }

    fn line(&self, bounds: &[u32], node: u32) -> Option<usize> {
        let chain = bounds[node as usize];
        (chain != NONE).then(|| self.network.chains[chain as usize].line as usize)
    }
}

/// What is missing before a node that is done: nothing, but it may not come again.
const DONE: u32 = u32::MAX;

/// 128 random bits for a node (two outputs of Steele's splitmix).
fn noise(node: u32) -> u128 {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let seed = u64::from(node) + 1;
    u128::from(mix(seed ^ 0x5eed_0000_0000)) << 64 | u128::from(mix(seed << 20))
}
