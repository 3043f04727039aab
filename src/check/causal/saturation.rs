//! CM and PRAM: one order of what a session has to see must explain all its reads.
//!
//! Let `hb` be causal order (CM), or session order and the reads of this session alone (PRAM). If a
//! read of the session returned `w` though another write `w'` of the key is `hb`-before it, then `w'`
//! comes before `w`; added to `hb`, that may force more. A cycle, or a write before a read of
//! the initial value, refutes; otherwise the downsets of the session's operations, laid out one after
//! the other, are the order (Bouajjani et al. 2017, section 5; ANOMALIES section 3).
//!
//! No fixpoint is needed. An edge forced by a read joins two writes that this read has before it,
//! so it adds nothing to the downset of this read, nor of later ones. Taken from the last read to
//! the first, every downset is complete when its turn comes.

use crate::check::Edge;
use crate::check::causal::past::{Past, WritesByKey, is_anchored, reads};
use crate::check::causal::weak::Conflict;
use crate::check::session::model::Model;
use crate::graph::{Arc, CycleSpec, Graph, components, shortest_cycle};
use crate::history::KeyId;

/// Where `hb` begins.
#[derive(Clone, Copy)]
pub(super) enum Base<'p> {
    /// Causal order.
    Causal(&'p Past<'p>),
    /// Session order, and the reads of the session alone.
    Sessions,
}

/// A session, its forced edges and who is before whom.
pub(super) struct Saturation<'p> {
    model: &'p Model,
    writes: &'p WritesByKey,
    base: Base<'p>,
    session: u32,
    own: Vec<u32>,
    /// The first operation of the session that each operation is before, by its place in `own`.
    rank: Vec<u32>,
    /// The operation before in the session, by operation.
    before: &'p [u32],
    /// The edges, and for each operation the last one that leads to it; each names the next.
    pub(super) forced: Vec<Conflict>,
    last: Vec<u32>,
    next: Vec<u32>,
    steps: u64,
}

/// What refutes a session.
pub(super) enum Refuted {
    /// `WriteHBInitRead`.
    InitRead { key: KeyId, write: u32, read: u32 },
    /// `CyclicHB`: the operations of a shortest cycle.
    Cycle(Vec<u32>),
}

/// What came of a session.
pub(super) enum Outcome {
    /// An order explains it.
    Explained,
    Refuted(Refuted),
    /// The budget was spent.
    Spent,
}

const NEVER: u32 = u32::MAX;

/// The anchored operation before each in its session.
pub(super) fn predecessors(model: &Model) -> Vec<u32> {
    let mut before = vec![NEVER; model.len()];
    for session in 0..model.session_count() as u32 {
        let mut last = NEVER;
        for op in model.members(session) {
            before[*op as usize] = last;
            if is_anchored(model, *op) {
                last = *op;
            }
        }
    }
    before
}

impl<'p> Saturation<'p> {
    /// Of one session; `before` as [`predecessors`] gives it.
    pub(super) fn new(
        model: &'p Model,
        writes: &'p WritesByKey,
        before: &'p [u32],
        base: Base<'p>,
        session: u32,
        steps: u64,
    ) -> Self {
        let own = model.members(session).iter().copied().filter(|op| is_anchored(model, *op));
        Self {
            model,
            writes,
            base,
            session,
            own: own.collect(),
            rank: vec![NEVER; model.len()],
            before,
            forced: Vec::new(),
            last: vec![NEVER; model.len()],
            next: Vec::new(),
            steps,
        }
    }

    /// Judges the session.
    pub(super) fn judge(&mut self) -> Outcome {
        for at in 0..self.own.len() as u32 {
            if self.lower(self.own[at as usize], at).is_none() {
                return Outcome::Spent;
            }
        }
        for at in (0..self.own.len() as u32).rev() {
            match self.explain(at) {
                Outcome::Explained => {}
                other => return other,
            }
        }
        self.cycle().map_or(Outcome::Explained, |cycle| Outcome::Refuted(Refuted::Cycle(cycle)))
    }

    /// Forces the edges of the operation at a place.
    fn explain(&mut self, at: u32) -> Outcome {
        let op = self.own[at as usize];
        let (model, writes) = (self.model, self.writes);
        for read in reads(model, op) {
            let (key, source) = (read.key, model.sources(read).first().copied());
            let groups = writes.by_session(key);
            let loose = writes.loose(key);
            let Some(left) = self.steps.checked_sub((groups.len() + loose.len()) as u64) else {
                return Outcome::Spent;
            };
            self.steps = left;
            let latest = groups.iter().filter_map(|group| {
                let count = group.writes.partition_point(|one| self.rank[*one as usize] <= at);
                group.writes[..count].iter().rev().find(|write| **write != op).copied()
            });
            let loose = loose.iter().copied().filter(|write| self.rank[*write as usize] <= at);
            let others: Vec<u32> =
                latest.chain(loose).filter(|write| Some(*write) != source).collect();
            let Some(source) = source else {
                if let Some(write) = others.first().filter(|_| read.is_null) {
                    return Outcome::Refuted(Refuted::InitRead { key, write: *write, read: op });
                }
                continue;
            };
            for write in others {
                let edge = Conflict { key, write, source, read: op };
                if !self.is_known(write, source) && self.force(edge).is_none() {
                    return Outcome::Spent;
                }
            }
        }
        Outcome::Explained
    }

    /// Whether one operation is before another without any forced edge.
    fn is_known(&self, one: u32, other: u32) -> bool {
        if let Base::Causal(past) = self.base {
            return past.before(one, other);
        }
        let model = self.model;
        is_anchored(model, one)
            && model.session[one as usize] == model.session[other as usize]
            && model.position[one as usize] < model.position[other as usize]
    }

    /// Adds an edge; `None` if the budget is spent.
    fn force(&mut self, edge: Conflict) -> Option<()> {
        self.next.push(self.last[edge.source as usize]);
        self.last[edge.source as usize] = self.forced.len() as u32;
        self.forced.push(edge);
        self.lower(edge.write, self.rank[edge.source as usize])
    }

    /// Notes that an operation, and whatever is before it, is before the one at place `rank`.
    fn lower(&mut self, op: u32, rank: u32) -> Option<()> {
        let mut open = vec![op];
        while let Some(op) = open.pop() {
            if self.rank[op as usize] <= rank {
                continue;
            }
            self.steps = self.steps.checked_sub(1)?;
            self.rank[op as usize] = rank;
            self.each_before(op, |one| open.push(one));
        }
        Some(())
    }

    /// Calls `visit` with whatever has an edge to an operation.
    fn each_before(&self, op: u32, mut visit: impl FnMut(u32)) {
        if self.before[op as usize] != NEVER {
            visit(self.before[op as usize]);
        }
        self.sources(op).for_each(&mut visit);
        self.each_forced(op, |_, write| visit(write));
    }

    /// Calls `visit` with the number and the beginning of each forced edge to an operation.
    pub(super) fn each_forced(&self, op: u32, mut visit: impl FnMut(u32, u32)) {
        let mut at = self.last[op as usize];
        while at != NEVER {
            visit(at, self.forced[at as usize].write);
            at = self.next[at as usize];
        }
    }

    /// The operations whose writes count as read by this one.
    fn sources(&self, op: u32) -> impl Iterator<Item = u32> + use<'p> {
        let model = self.model;
        let all = if self.counts_reads_of(op) { reads(model, op) } else { &[] };
        all.iter().flat_map(|read| model.sources(read)).copied()
    }

    /// A shortest cycle.
    ///
    /// What comes before an operation has no higher rank, so a cycle keeps to one rank. Causal order
    /// has none: a rank with a cycle has a forced edge within it, or, if reads of other sessions do not
    /// count, an own operation that comes before an earlier one.
    fn cycle(&self) -> Option<Vec<u32>> {
        let model = self.model;
        let rank = |op: u32| self.rank[op as usize];
        let mut suspect = vec![false; self.own.len()];
        for edge in self.forced.iter().filter(|edge| rank(edge.write) == rank(edge.source)) {
            suspect[rank(edge.write) as usize] = true;
        }
        for (at, op) in (0..).zip(&self.own) {
            if self.sources(*op).any(|source| source == *op) {
                return Some(vec![*op]);
            }
            suspect[rank(*op) as usize] |= rank(*op) != at;
        }
        let is_suspect = |op: u32| rank(op) != NEVER && suspect[rank(op) as usize];
        let nodes: Vec<u32> = (0..model.len() as u32).filter(|op| is_suspect(*op)).collect();
        let mut arcs = Vec::new();
        for (node, op) in (0..).zip(&nodes) {
            self.each_before(*op, |one| {
                if rank(one) == rank(*op)
                    && let Ok(from) = nodes.binary_search(&one)
                {
                    arcs.push(Arc { from: from as u32, to: node, kinds: Edge::Ww as u8 });
                }
            });
        }
        let graph = Graph::new(nodes.len(), &arcs);
        let all = components(&graph);
        let cycles = all.cyclic();
        let smallest = cycles.iter().min_by_key(|members| members.len())?;
        let cycle = shortest_cycle(&graph, &all, smallest, CycleSpec::ANY)?;
        Some(cycle.into_iter().map(|node| nodes[node as usize]).collect())
    }

    /// Whether what an operation read counts.
    pub(super) fn counts_reads_of(&self, op: u32) -> bool {
        match self.base {
            Base::Causal(_) => true,
            Base::Sessions => self.model.session[op as usize] == self.session,
        }
    }

    /// An operation of the session.
    pub(super) fn session_of_reads(&self) -> Option<u32> {
        self.own.first().copied()
    }
}
