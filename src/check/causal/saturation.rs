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

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use crate::check::Edge;
use crate::check::causal::downsets::{Base, Downsets, NEVER};
use crate::check::causal::past::{is_anchored, reads};
use crate::check::causal::weak::Conflict;
use crate::check::causal::writes::WritesByKey;
use crate::check::session::model::Model;
use crate::graph::{Arc, CycleSpec, Graph, components, shortest_cycle};
use crate::history::KeyId;

/// A session, its forced edges and who is before whom.
pub(super) struct Saturation<'p> {
    model: &'p Model,
    writes: &'p WritesByKey,
    base: Base<'p>,
    session: u32,
    downsets: Downsets<'p>,
    /// The operation before in the session, by operation.
    before: &'p [u32],
    /// The edges; for each operation the last one that leads to it, and for each edge the next.
    pub(super) forced: Vec<Conflict>,
    last: FxHashMap<u32, u32>,
    next: Vec<u32>,
    /// For each version and session the place of the last write that is forced before it.
    latest: FxHashMap<(u32, u32), u32>,
    /// Where edges lead to, by session and place; to a loose operation by way of its readers.
    targets: BTreeSet<(u32, u32, u32)>,
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
        Self {
            model,
            writes,
            base,
            session,
            downsets: Downsets::new(model, base, session),
            before,
            forced: Vec::new(),
            last: FxHashMap::default(),
            next: Vec::new(),
            latest: FxHashMap::default(),
            targets: BTreeSet::new(),
            steps,
        }
    }

    /// Judges the session.
    pub(super) fn judge(&mut self) -> Outcome {
        for at in (0..self.downsets.own.len() as u32).rev() {
            match self.explain(at) {
                Outcome::Explained => {}
                other => return other,
            }
        }
        self.cycle().map_or(Outcome::Explained, |cycle| Outcome::Refuted(Refuted::Cycle(cycle)))
    }

    /// Forces the edges of the operation at a place.
    fn explain(&mut self, at: u32) -> Outcome {
        let op = self.downsets.own[at as usize];
        let (model, writes) = (self.model, self.writes);
        for read in reads(model, op) {
            let (key, source) = (read.key, model.sources(read).first().copied());
            let groups = writes.by_session(key);
            let loose = writes.loose(key);
            let Some(left) = self.steps.checked_sub(loose.len() as u64) else {
                return Outcome::Spent;
            };
            self.steps = left;
            let row = self.downsets.row(at);
            // What is known to come before the source already adds nothing.
            let known = |session: u32| source.map_or(0, |source| self.known(source, session));
            let latest = groups.iter().filter_map(|group| {
                let session = group.session;
                writes.latest(*group, known(session), row[session as usize], op)
            });
            let loose = loose.iter().copied().filter(|write| {
                let is_known = |source| self.is_known(*write, source);
                self.downsets.holds(at, *write) && !source.is_some_and(is_known)
            });
            let others: Vec<u32> =
                latest.chain(loose).filter(|write| Some(*write) != source).collect();
            let Some(source) = source else {
                if let Some(write) = others.first().filter(|_| read.is_null) {
                    return Outcome::Refuted(Refuted::InitRead { key, write: *write, read: op });
                }
                continue;
            };
            for write in others {
                if self.force(Conflict { key, write, source, read: op }).is_none() {
                    return Outcome::Spent;
                }
            }
        }
        Outcome::Explained
    }

    /// How many operations of a session are before an operation without any forced edge.
    fn known(&self, op: u32, session: u32) -> u32 {
        match self.base {
            Base::Causal(past) => past.known(op, session),
            Base::Sessions if self.model.session[op as usize] == session => {
                self.model.position[op as usize]
            }
            Base::Sessions => 0,
        }
    }

    /// Whether a loose operation is before another without any forced edge.
    fn is_known(&self, loose: u32, other: u32) -> bool {
        match self.base {
            Base::Causal(past) => past.before(loose, other),
            Base::Sessions => false,
        }
    }

    /// Adds an edge, unless a later write of its session has one; `None` if the budget is spent.
    fn force(&mut self, edge: Conflict) -> Option<()> {
        let model = self.model;
        let (write, source) = (edge.write as usize, edge.source);
        let (chain, position) = if is_anchored(model, edge.write) {
            (model.session[write], model.position[write] + 1)
        } else {
            (model.session_count() as u32 + edge.write, 1)
        };
        let latest = self.latest.entry((source, chain)).or_default();
        if *latest >= position {
            return Some(());
        }
        *latest = position;
        let at = self.forced.len() as u32;
        self.next.push(self.last.insert(source, at).unwrap_or(NEVER));
        self.forced.push(edge);
        if is_anchored(model, source) {
            let (session, position) =
                (model.session[source as usize], model.position[source as usize]);
            self.targets.insert((session, position, source));
        }
        let readers = self.downsets.readers(source).iter();
        self.targets.extend(readers.map(|(session, position)| (*session, *position, source)));
        self.lower(edge.write, self.downsets.rank(source))
    }

    /// Notes that an operation, and whatever is before it, is before the one at place `rank`.
    fn lower(&mut self, op: u32, rank: u32) -> Option<()> {
        let mut open = vec![op];
        while let Some(op) = open.pop() {
            if self.downsets.holds(rank, op) {
                continue;
            }
            let raised = self.downsets.put(op, rank, &mut self.steps)?;
            if !is_anchored(self.model, op) {
                self.each_forced(op, |_, write| open.push(write));
            }
            for one in raised {
                let range = (one.session, one.begin, 0)..(one.session, one.end, 0);
                for (_, _, target) in self.targets.range(range) {
                    self.each_forced(*target, |_, write| open.push(write));
                }
            }
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
        let mut at = self.last.get(&op).copied().unwrap_or(NEVER);
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

    /// A shortest cycle of the smallest that there are.
    ///
    /// What comes before an operation has no higher rank, so a cycle keeps to one rank. What there is
    /// but for forced edges keeps to an order of all operations, unless reads of other sessions do not
    /// count: then it leads back into an own operation only. A rank with a cycle has a forced edge
    /// against that order, or out of an own operation, or an own operation before an earlier one.
    fn cycle(&self) -> Option<Vec<u32>> {
        let own = &self.downsets.own;
        if let Some(op) = own.iter().find(|op| self.sources(**op).any(|source| source == **op)) {
            return Some(vec![*op]);
        }
        let leads_back = |edge: &&Conflict| match self.base {
            Base::Causal(past) => past.leads_back(edge.write, edge.source),
            Base::Sessions => {
                edge.write > edge.source || self.model.session[edge.write as usize] == self.session
            }
        };
        let mut suspects = BTreeSet::new();
        for edge in self.forced.iter().filter(leads_back) {
            let rank = self.downsets.rank(edge.source);
            if rank == 0 || !self.downsets.holds(rank - 1, edge.write) {
                suspects.insert(rank);
            }
        }
        for (at, op) in (1..).zip(own.iter().skip(1)) {
            if self.downsets.holds(at - 1, *op) {
                suspects.insert(self.downsets.rank(*op));
            }
        }
        let cycles = suspects.iter().filter_map(|rank| self.cycle_of(*rank));
        cycles.min_by_key(|(size, _)| *size).map(|(_, cycle)| cycle)
    }

    /// A shortest cycle among the operations of one rank, if there is one, and the size of its
    /// component.
    fn cycle_of(&self, rank: u32) -> Option<(usize, Vec<u32>)> {
        let (model, downsets) = (self.model, &self.downsets);
        let known = |session: u32| match rank {
            0 => 0,
            _ => downsets.row(rank - 1)[session as usize],
        };
        let mut nodes = Vec::new();
        for (session, end) in (0..).zip(downsets.row(rank)) {
            let members = &model.members(session)[known(session) as usize..*end as usize];
            nodes.extend(members.iter().copied().filter(|op| is_anchored(model, *op)));
        }
        // Loose operations are before what is here, or nothing leads on from them.
        let is_here = |op: u32| {
            !is_anchored(model, op)
                && downsets.holds(rank, op)
                && (rank == 0 || !downsets.holds(rank - 1, op))
        };
        let mut loose = Vec::new();
        for op in &nodes {
            self.each_before(*op, |one| loose.push(one));
        }
        let mut met = BTreeSet::new();
        while let Some(op) = loose.pop() {
            if is_here(op) && met.insert(op) {
                nodes.push(op);
                self.each_before(op, |one| loose.push(one));
            }
        }
        nodes.sort_unstable();
        let mut arcs = Vec::new();
        for (node, op) in (0..).zip(&nodes) {
            self.each_before(*op, |one| {
                if let Ok(from) = nodes.binary_search(&one) {
                    arcs.push(Arc { from: from as u32, to: node, kinds: Edge::Ww as u8 });
                }
            });
        }
        let graph = Graph::new(nodes.len(), &arcs);
        let all = components(&graph);
        let cycles = all.cyclic();
        let smallest = cycles.iter().min_by_key(|members| members.len())?;
        let cycle = shortest_cycle(&graph, &all, smallest, CycleSpec::ANY)?;
        let cycle = cycle.into_iter().map(|node| nodes[node as usize]).collect();
        Some((smallest.len(), cycle))
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
        self.downsets.own.first().copied()
    }
}
