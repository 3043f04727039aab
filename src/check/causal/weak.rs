//! The bad patterns of CC and `CCv` (Bouajjani, Enea, Guerraoui, Hamza, POPL 2017).

use std::cmp::Reverse;

use rayon::prelude::*;

use crate::check::Edge;
use crate::check::causal::past::{Past, is_anchored, reads};
use crate::check::causal::writes::Group;
use crate::check::session::model::{NO_SESSION, Read};
use crate::graph::{Arc, Components, CycleSpec, Graph, components, shortest_cycle};
use crate::history::{Datatype, KeyId};

/// A read that its causal past does not explain.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// `WriteCOInitRead`: the initial value was read although a write of the key came before.
    InitRead { key: KeyId, write: u32, read: u32 },
    /// `WriteCORead`: a version was read although another came between.
    Overwritten { key: KeyId, source: u32, write: u32, read: u32 },
    /// A write in the past has no element in the list or set that was read.
    Missing { key: KeyId, write: u32, read: u32 },
    /// A list has two elements against the causal order of their appends.
    Reordered { key: KeyId, first: u32, second: u32, read: u32 },
    /// A list has one element twice.
    Repeated { key: KeyId, write: u32, read: u32 },
    /// Each version of a snapshot is explained, but no order of the past explains all of them.
    Torn { read: u32, conflicts: Vec<Conflict> },
}

/// `write` comes before `source`, for `read` has both in its past and read `source` (`cf`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) key: KeyId,
    pub(super) write: u32,
    pub(super) source: u32,
    pub(super) read: u32,
}

/// What the reads of a history say.
#[derive(Default)]
pub(super) struct Weak {
    /// Reads that CC does not allow, in order.
    pub(super) patterns: Vec<Pattern>,
    /// The conflict order, but for what causal order implies, in order.
    pub(super) conflicts: Vec<Conflict>,
    /// Whether the budget was spent.
    pub(super) spent: bool,
}

/// So many conflicts of one snapshot are compared with each other at most.
const SNAPSHOT: usize = 512;

/// Judges every read by its causal past. O(reads · sessions · log n), and for each read a step for
/// each write of its key that has no place in a session; of those at most `steps` in all.
pub(super) fn weak(past: &Past<'_>, steps: u64) -> Weak {
    const TOGETHER: u32 = 4096;
    let n = past.model.len() as u32;
    let blocks: Vec<u32> = (0..n.div_ceil(TOGETHER)).collect();
    let budget = steps / blocks.len().max(1) as u64;
    let parts: Vec<Weak> = blocks
        .par_iter()
        .map(|block| {
            let mut judge = Judge { past, found: Weak::default(), steps: budget };
            let first = block * TOGETHER;
            for op in first..n.min(first + TOGETHER) {
                judge.operation(op);
            }
            thin_out(past, &mut judge.found.conflicts);
            judge.found
        })
        .collect();
    let mut all = Weak::default();
    for part in parts {
        all.patterns.extend(part.patterns);
        all.conflicts.extend(part.conflicts);
        all.spent |= part.spent;
    }
    thin_out(past, &mut all.conflicts);
    all
}

/// Keeps for each version the last write of each session that conflicts with it: the session's order
/// implies the others.
fn thin_out(past: &Past<'_>, conflicts: &mut Vec<Conflict>) {
    let place = |one: &Conflict| {
        let write = one.write as usize;
        let chain = if is_anchored(past.model, one.write) {
            (past.model.session[write], 0)
        } else {
            (NO_SESSION, one.write)
        };
        (one.source, chain, Reverse(past.model.position[write]), one.read)
    };
    conflicts.sort_unstable_by_key(place);
    conflicts.dedup_by_key(|one| (place(one).0, place(one).1));
}

struct Judge<'p> {
    past: &'p Past<'p>,
    found: Weak,
    steps: u64,
}

impl Judge<'_> {
    fn operation(&mut self, op: u32) {
        let all = reads(self.past.model, op);
        let (patterns, conflicts) = (self.found.patterns.len(), self.found.conflicts.len());
        let mut implied = Vec::new();
        for read in all {
            if read.datatype == Datatype::Register {
                self.register(op, read, &mut implied);
            } else {
                self.elements(op, read);
            }
        }
        if all.len() > 1 && self.found.patterns.len() == patterns {
            implied.extend_from_slice(&self.found.conflicts[conflicts..]);
            self.snapshot(op, implied);
        }
    }

    /// The latest write of a key in each session, and each loose one, in the past of `op`; of a session
    /// only if it is not in the past of `source` too.
    fn latest(&mut self, op: u32, key: KeyId, source: Option<u32>) -> Vec<u32> {
        let past = self.past;
        let known = |session: u32| source.map_or(0, |source| past.known(source, session));
        let groups = past.writes.by_session(key).iter();
        let mut latest: Vec<u32> = groups
            .filter_map(|group| {
                let high = past.known(op, group.session);
                past.writes.latest(*group, known(group.session), high, op)
            })
            .collect();
        let loose = past.writes.loose(key);
        match self.steps.checked_sub(loose.len() as u64) {
            Some(left) => {
                self.steps = left;
                latest.extend(loose.iter().filter(|write| past.before(**write, op)));
            }
            None => self.found.spent = true,
        }
        latest
    }

    fn register(&mut self, op: u32, read: &Read, implied: &mut Vec<Conflict>) {
        let past = self.past;
        let key = read.key;
        let source = past.model.sources(read).first().copied();
        let is_snapshot = reads(past.model, op).len() > 1;
        // A snapshot has to reconcile what causal order implies, too.
        let latest = self.latest(op, key, source.filter(|_| !is_snapshot));
        let Some(source) = source else {
            if let Some(write) = latest.first().filter(|_| read.is_null) {
                self.found.patterns.push(Pattern::InitRead { key, write: *write, read: op });
            }
            return;
        };
        for write in latest {
            if write == source {
                continue;
            }
            let conflict = Conflict { key, write, source, read: op };
            if past.before(write, source) {
                if is_snapshot {
                    implied.push(conflict);
                }
            } else if past.before(source, write) {
                let pattern = Pattern::Overwritten { key, source, write, read: op };
                return self.found.patterns.push(pattern);
            } else {
                self.found.conflicts.push(conflict);
            }
        }
    }

    /// An element is in a list or set if and only if its write is in the past; the order of a list
    /// extends causal order.
    fn elements(&mut self, op: u32, read: &Read) {
        let (past, key) = (self.past, read.key);
        let model = past.model;
        if let Some((first, second)) = past.contradiction(read) {
            self.found.patterns.push(Pattern::Reordered { key, first, second, read: op });
            return;
        }
        let (distinct, repeated) = past.shows(read);
        if let Some(write) = repeated.filter(|_| read.datatype == Datatype::List) {
            self.found.patterns.push(Pattern::Repeated { key, write, read: op });
            return;
        }
        let groups = past.writes.by_session(key);
        let known = |group: &Group| past.writes.known(*group, past.known(op, group.session));
        let mut expected: usize = groups.iter().map(|group| known(group).len()).sum();
        let loose = past.writes.loose(key);
        let Some(left) = self.steps.checked_sub(loose.len() as u64) else {
            self.found.spent = true;
            return;
        };
        self.steps = left;
        expected += loose.iter().filter(|write| past.before(**write, op)).count();
        if expected == distinct {
            return;
        }
        let mut there: Vec<u32> = model.sources(read).to_vec();
        there.sort_unstable();
        let mut past_writes = groups
            .iter()
            .flat_map(known)
            .chain(loose.iter().filter(|write| past.before(**write, op)));
        if let Some(write) = past_writes.find(|write| there.binary_search(write).is_err()) {
            self.found.patterns.push(Pattern::Missing { key, write: *write, read: op });
        }
    }

    /// Whether one order of the past explains all reads of a snapshot: the conflicts, the orders of
    /// its lists and causal order have no cycle.
    fn snapshot(&mut self, op: u32, mut conflicts: Vec<Conflict>) {
        let past = self.past;
        for read in reads(past.model, op).iter().filter(|one| one.datatype == Datatype::List) {
            for pair in past.model.sources(read).windows(2) {
                let conflict =
                    Conflict { key: read.key, write: pair[0], source: pair[1], read: op };
                if pair[0] != pair[1] && pair[1] != u32::MAX && pair[0] != u32::MAX {
                    conflicts.push(conflict);
                }
            }
        }
        let Some(left) = self.steps.checked_sub((conflicts.len() * conflicts.len()) as u64) else {
            self.found.spent = true;
            return;
        };
        self.steps = left;
        if conflicts.len() > SNAPSHOT {
            self.found.spent = true;
            return;
        }
        // A node a conflict; from each to those that begin where it ends or causally later.
        let mut arcs = Vec::new();
        for (from, one) in (0..).zip(&conflicts) {
            for (to, other) in (0..).zip(&conflicts) {
                if one.source == other.write || past.before(one.source, other.write) {
                    arcs.push(Arc { from, to, kinds: Edge::Ww as u8 });
                }
            }
        }
        if let Some(cycle) = smallest_cycle(&Graph::new(conflicts.len(), &arcs)) {
            let conflicts = cycle.into_iter().map(|at| conflicts[at as usize]).collect();
            self.found.patterns.push(Pattern::Torn { read: op, conflicts });
        }
    }
}

fn smallest_cycle(graph: &Graph) -> Option<Vec<u32>> {
    let all = components(graph);
    let cycles = all.cyclic();
    let smallest = cycles.iter().min_by_key(|members| members.len())?;
    shortest_cycle(graph, &all, smallest, CycleSpec::ANY)
}

/// `CyclicCF`: the shortest cycle of each component of `co ∪ cf`, as its operations; at most `keep`.
pub(super) fn conflict_cycles(
    past: &Past<'_>,
    conflicts: &[Conflict],
    keep: usize,
) -> Vec<Vec<u32>> {
    if !conflicts.iter().any(|one| past.leads_back(one.write, one.source)) {
        return Vec::new();
    }
    let mut arcs = past.arcs.clone();
    arcs.extend(conflicts.iter().map(|one| Arc {
        from: one.write,
        to: one.source,
        kinds: Edge::Ww as u8,
    }));
    let graph = Graph::new(past.nodes, &arcs);
    let all: Components = components(&graph);
    let mut cycles = all.cyclic();
    cycles.sort_by_key(Vec::len);
    let n = past.model.len() as u32;
    cycles
        .iter()
        .take(keep)
        .filter_map(|members| shortest_cycle(&graph, &all, members, CycleSpec::ANY))
        .map(|cycle| cycle.into_iter().filter(|op| *op < n).collect())
        .collect()
}
