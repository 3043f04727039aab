//! Whether a session has a view: the exact decision of ANOMALIES section 4.
//!
//! A view is an order of all writes and a set of visible writes for each read, such that a read
//! returns the last visible write of its key. The least visible sets do not depend on the order and
//! larger ones never help, so a view exists if and only if no read lacks a visible write and the
//! demands on the order have no cycle.

use std::collections::BTreeMap;

use crate::check::Assumption;
use crate::check::infer::real_time_frontier;
use crate::check::session::guarantees::Guarantees;
use crate::check::session::model::{Model, NO_SESSION, Read};
use crate::check::session::visible::{Reason, Visible};
use crate::check::store_versions::StoreVersions;
use crate::graph::{Arc, CycleSpec, Graph, components, shortest_cycle};
use crate::history::{Datatype, History, KeyId};

/// What a view is asked for.
#[derive(Clone, Copy)]
pub(super) struct Question<'q> {
    pub(super) history: &'q History,
    pub(super) model: &'q Model,
    pub(super) session: u32,
    pub(super) guarantees: Guarantees,
    pub(super) assume: &'q [Assumption],
    pub(super) versions: &'q StoreVersions,
    /// How many operations may be looked at while visible sets are computed.
    pub(super) steps: u64,
}

/// Whether there is a view, and if not, why.
pub(super) enum Answer {
    Exists,
    /// This read does not show a write of its key that must be visible to it.
    Missing {
        read: u32,
        key: KeyId,
        write: u32,
    },
    /// These demands on the order of writes form a cycle.
    Cycle(Vec<Demand>),
    /// The steps did not suffice.
    Spent,
}

/// One write must come before another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub(super) before: u32,
    pub(super) after: u32,
    pub(super) why: Why,
}

/// Why one write must come before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Monotonic writes: one session wrote them in this order.
    Session,
    /// Read your writes: the session itself wrote them to one key in this order.
    Own,
    /// Writes follow reads: the second's session had read the first, by this operation.
    ReadBefore(u32),
    /// The second read the first in the same operation (E2, E3).
    Update,
    /// This operation returned the second, with the first visible to it.
    Seen(u32),
    /// This operation returned a list that has them in this order.
    Listed(u32),
    /// An assumption says so.
    Assumed(Assumption),
}

const SESSION: u8 = 1;
const OWN: u8 = 2;
const PREFIX: u8 = 4;
const UPDATE: u8 = 8;
const SEEN: u8 = 16;
const LISTED: u8 = 32;
const ASSUMED: u8 = 64;

impl Question<'_> {
    /// Decides.
    pub(super) fn answer(&self) -> Answer {
        let mut demands = Demands::default();
        match self.reads(&mut demands) {
            Answer::Exists => {}
            missing => return missing,
        }
        self.own(&mut demands);
        self.base(&mut demands);
        self.assumed(&mut demands);
        let graph = self.graph(&demands);
        let components = components(&graph);
        let smallest = components.cyclic().into_iter().min_by_key(Vec::len);
        let Some(cycle) = smallest
            .and_then(|members| shortest_cycle(&graph, &components, &members, CycleSpec::ANY))
        else {
            return Answer::Exists;
        };
        Answer::Cycle(self.name(&graph, &cycle, &demands))
    }

    /// Whether all these sessions have a view with one and the same order of writes: then each has
    /// one. It costs what the answer for one of them costs; if not, each must be asked.
    pub(super) fn share_an_order(&self, sessions: &[u32]) -> bool {
        let mut demands = Demands::default();
        for session in sessions {
            let one = Self { session: *session, ..*self };
            if !matches!(one.reads(&mut demands), Answer::Exists) {
                return false;
            }
            one.own(&mut demands);
        }
        self.base(&mut demands);
        self.assumed(&mut demands);
        components(&self.graph(&demands)).cyclic().is_empty()
    }

    /// Above the operations stands what the session of each had read before it.
    fn graph(&self, demands: &Demands) -> Graph {
        Graph::new(2 * self.model.len(), &demands.arcs)
    }

    /// What the session's own reads demand.
    fn reads(&self, demands: &mut Demands) -> Answer {
        let accumulates = self.guarantees.has(Guarantees::MONOTONIC_READS);
        let mut visible = Visible::new(self.model, self.guarantees);
        let mut keys = ByKey::default();
        let mut own: Vec<u32> = Vec::new();
        for op in self.model.members(self.session) {
            if !self.model.ok[*op as usize] {
                continue;
            }
            if !self.model.reads(*op).is_empty() && !self.is_trivial(*op) {
                if !accumulates {
                    visible.clear();
                    keys = ByKey::default();
                }
                let taken = visible.writes.len();
                if self.guarantees.has(Guarantees::READ_YOUR_WRITES) {
                    self.own_writes(*op, &own, &mut visible);
                    if accumulates {
                        own.clear();
                    }
                }
                for source in self.model.read_from(*op) {
                    visible.add(source, Reason::Read(*op));
                }
                visible.close();
                if visible.steps > self.steps {
                    return Answer::Spent;
                }
                for write in &visible.writes[taken..] {
                    for key in self.model.writes(*write) {
                        keys.enter(*key, *write);
                    }
                }
                for read in self.model.reads(*op) {
                    if let Some(write) = self.read(*op, read, &mut keys, demands) {
                        return Answer::Missing { read: *op, key: read.key, write };
                    }
                }
            }
            if self.model.is_write(*op) {
                own.push(*op);
            }
        }
        Answer::Exists
    }

    /// Whether a read demands nothing that the writes of all sessions do not demand already: one read
    /// of one register, judged alone. Whatever its version brings with it comes before it anyway.
    fn is_trivial(&self, op: u32) -> bool {
        !self.guarantees.has(Guarantees::MONOTONIC_READS)
            && !self.guarantees.has(Guarantees::READ_YOUR_WRITES)
            && matches!(self.model.reads(op), [read] if read.datatype == Datatype::Register)
    }

    /// The session's own writes are visible. To a register's readers the last one of each key
    /// stands for all before it, if no closure is asked for: they are ordered.
    fn own_writes(&self, reader: u32, own: &[u32], visible: &mut Visible<'_>) {
        let closes = self.guarantees.has(Guarantees::MONOTONIC_WRITES)
            || self.guarantees.has(Guarantees::WRITES_FOLLOW_READS)
            || self.guarantees.has(Guarantees::MONOTONIC_READS);
        let reads = self.model.reads(reader);
        let registers = reads.iter().all(|read| read.datatype == Datatype::Register);
        if closes || !registers {
            for write in own {
                visible.add(*write, Reason::Own);
            }
            visible.steps += own.len() as u64;
            return;
        }
        for read in reads {
            let last = own.iter().rev().position(|write| self.model.writes_key(*write, read.key));
            visible.steps += last.unwrap_or(own.len()) as u64 + 1;
            if let Some(back) = last {
                visible.add(own[own.len() - 1 - back], Reason::Own);
            }
        }
    }

    /// What one read of one key demands. Returns a visible write that the read does not show.
    fn read(&self, op: u32, read: &Read, keys: &mut ByKey, demands: &mut Demands) -> Option<u32> {
        let sources = self.model.sources(read);
        match read.datatype {
            Datatype::Register if read.is_null => keys.any_but(read.key, op),
            Datatype::Register => {
                let source = *sources.first()?;
                if source != op {
                    keys.settle(read.key, source, op, |write| {
                        demands.add(write, source, SEEN, op);
                    });
                }
                None
            }
            datatype => {
                if let Some(write) = keys.missing(read.key, sources, op) {
                    return Some(write);
                }
                if datatype == Datatype::List {
                    let known = keys.known_prefix(self.model, read);
                    let pairs = sources.windows(2).skip(known.saturating_sub(1));
                    for pair in pairs.filter(|pair| pair[0] != pair[1]) {
                        demands.add(pair[0], pair[1], LISTED, op);
                    }
                }
                None
            }
        }
    }

    /// What read your writes demands of the session's own writes.
    fn own(&self, demands: &mut Demands) {
        if self.guarantees.has(Guarantees::READ_YOUR_WRITES) {
            self.key_by_key(self.session, |before, after| demands.add(before, after, OWN, after));
        }
    }

    /// What the guarantees demand of the writes of all sessions.
    fn base(&self, demands: &mut Demands) {
        let model = self.model;
        for op in 0..model.len() as u32 {
            if model.ok[op as usize] && model.is_write(op) {
                for source in model.read_from(op) {
                    demands.add(source, op, UPDATE, op);
                }
            }
        }
        for session in 0..model.session_count() as u32 {
            if self.guarantees.has(Guarantees::MONOTONIC_WRITES) {
                let mut last = None;
                for op in model.members(session).iter().filter(|op| model.is_write(**op)) {
                    if let Some(before) = last {
                        demands.add(before, *op, SESSION, *op);
                    }
                    if model.ok[*op as usize] {
                        last = Some(*op);
                    }
                }
            }
            if self.guarantees.has(Guarantees::WRITES_FOLLOW_READS) {
                self.read_before(session, demands);
            }
        }
    }

    /// Every write that a session read comes before the writes it makes later. The node
    /// `len + write` stands for all that was read before `write`; these nodes form a chain.
    fn read_before(&self, session: u32, demands: &mut Demands) {
        let (model, n) = (self.model, self.model.len() as u32);
        let mut chain: Option<u32> = None;
        let mut read: Vec<u32> = Vec::new();
        // A session that reads a write which it makes only later: it does not come before itself.
        let mut foreseen: Vec<u32> = Vec::new();
        for (position, op) in (0_u32..).zip(model.members(session)) {
            if model.is_write(*op) {
                let node = n + op;
                for source in read.drain(..) {
                    demands.add(source, node, PREFIX, *op);
                }
                if let Some(before) = chain.replace(node) {
                    demands.add(before, node, PREFIX, *op);
                }
                if foreseen.contains(op) {
                    for before in &model.members(session)[..position as usize] {
                        for source in model.read_from(*before) {
                            if source != *op && model.ok[*before as usize] {
                                demands.add(source, *op, PREFIX, *op);
                            }
                        }
                    }
                } else {
                    demands.add(node, *op, PREFIX, *op);
                }
            }
            if model.ok[*op as usize] {
                for source in model.read_from(*op) {
                    read.push(source);
                    let later = model.position[source as usize] > position;
                    if model.session[source as usize] == session && later {
                        foreseen.push(source);
                    }
                }
            }
        }
    }

    /// The writes of a session to each key, from each certain one to the next.
    fn key_by_key(&self, session: u32, mut pair: impl FnMut(u32, u32)) {
        let mut last: BTreeMap<KeyId, u32> = BTreeMap::new();
        for op in self.model.members(session) {
            for key in self.model.writes(*op) {
                if let Some(before) = last.get(key) {
                    pair(*before, *op);
                }
                if self.model.ok[*op as usize] {
                    last.insert(*key, *op);
                }
            }
        }
    }

    /// What the assumptions demand (specification 1.3, E4 to E6).
    fn assumed(&self, demands: &mut Demands) {
        let model = self.model;
        for assumption in self.assume {
            let mut add = |before, after| demands.add(before, after, ASSUMED, after);
            match assumption {
                Assumption::WritesInSessionOrder => {
                    for session in 0..model.session_count() as u32 {
                        self.key_by_key(session, &mut add);
                    }
                }
                Assumption::WritesInRealTimeOrder => {
                    let mut by_key: BTreeMap<KeyId, Vec<(u32, u32, u32)>> = BTreeMap::new();
                    for op in 0..model.len() as u32 {
                        let txn = self.history.txn(model.txns[op as usize]);
                        for key in model.writes(op) {
                            let interval = (txn.invoked().0, txn.returned().0, op);
                            by_key.entry(*key).or_default().push(interval);
                        }
                    }
                    for intervals in by_key.values() {
                        real_time_frontier(intervals, &mut add);
                    }
                }
                Assumption::WritesFollowReads => {
                    for session in 0..model.session_count() as u32 {
                        self.read_then_written(session, &mut add);
                    }
                }
                Assumption::StoreVersions => self.by_version(&mut add),
            }
        }
    }

    /// E6. Only what was read since the session's last write of the key is taken: less evidence
    /// never accuses.
    fn read_then_written(&self, session: u32, mut pair: impl FnMut(u32, u32)) {
        let model = self.model;
        let mut read: BTreeMap<KeyId, Vec<u32>> = BTreeMap::new();
        for op in model.members(session) {
            for key in model.writes(*op) {
                for source in read.remove(key).unwrap_or_default() {
                    if source != *op {
                        pair(source, *op);
                    }
                }
            }
            for one in model.reads(*op) {
                let sources = model.sources(one).iter().filter(|source| *source != op);
                read.entry(one.key).or_default().extend(sources);
            }
        }
    }

    /// E7. Only what the operations of the model say themselves is taken, so that a witness needs no
    /// others.
    fn by_version(&self, mut pair: impl FnMut(u32, u32)) {
        let mut keys: BTreeMap<KeyId, BTreeMap<i64, u32>> = BTreeMap::new();
        for op in 0..self.model.len() as u32 {
            if let Some((key, version, write)) = self.told_by(op) {
                keys.entry(key).or_default().insert(version, write);
            }
        }
        for order in keys.values() {
            for (before, after) in order.values().zip(order.values().skip(1)) {
                pair(*before, *after);
            }
        }
    }

    /// The version that an operation made or returned, and the operation that made it.
    pub(super) fn told_by(&self, op: u32) -> Option<(KeyId, i64, u32)> {
        let (key, version) = self.versions.of(self.model.txns[op as usize])?;
        let write =
            if self.model.writes_key(op, key) { op } else { self.model.read_from(op).next()? };
        Some((key, version, write))
    }

    /// The demands along a cycle of the graph.
    fn name(&self, graph: &Graph, cycle: &[u32], demands: &Demands) -> Vec<Demand> {
        let n = self.model.len() as u32;
        let mut named = Vec::new();
        // Begin at an operation, so that every stretch of prefix nodes lies between two of them.
        let first = cycle.iter().position(|node| *node < n).unwrap_or(0);
        let nodes: Vec<u32> =
            cycle.iter().cycle().skip(first).take(cycle.len() + 1).copied().collect();
        let mut before = nodes[0];
        let mut entered = None;
        for pair in nodes.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            if to >= n {
                entered = entered.or(Some(to - n));
                continue;
            }
            let why = match entered.take() {
                Some(by) => self.reader(before, by).map(Why::ReadBefore),
                None => self.why(graph.kinds(from, to), from, to, demands),
            };
            if let Some(why) = why {
                named.push(Demand { before, after: to, why });
            }
            before = to;
        }
        named
    }

    fn why(&self, kinds: u8, from: u32, to: u32, demands: &Demands) -> Option<Why> {
        let by = |kind| demands.by(from, to, kind);
        Some(match () {
            () if kinds & UPDATE != 0 => Why::Update,
            () if kinds & LISTED != 0 => Why::Listed(by(LISTED)?),
            () if kinds & SEEN != 0 => Why::Seen(by(SEEN)?),
            () if kinds & OWN != 0 => Why::Own,
            () if kinds & SESSION != 0 => Why::Session,
            () if kinds & PREFIX != 0 => Why::ReadBefore(self.reader(from, to)?),
            () => Why::Assumed(*self.assume.iter().find(|one| {
                let alone = Self { assume: std::slice::from_ref(*one), ..*self };
                let mut demands = Demands::default();
                alone.assumed(&mut demands);
                demands.by(from, to, ASSUMED).is_some()
            })?),
        })
    }

    /// The operation by which the session of `by` had read `source` before it.
    pub(super) fn reader(&self, source: u32, by: u32) -> Option<u32> {
        let session = self.model.session[by as usize];
        if session == NO_SESSION {
            return None;
        }
        let before = &self.model.members(session)[..self.model.position[by as usize] as usize];
        let mut reads = before.iter().copied().filter(|op| self.model.ok[*op as usize]);
        reads.find(|op| self.model.read_from(*op).any(|one| one == source))
    }
}

/// The demands on the order, as edges, with the operation each comes from.
#[derive(Default)]
struct Demands {
    arcs: Vec<Arc>,
    sources: Vec<u32>,
}

impl Demands {
    fn add(&mut self, from: u32, to: u32, kinds: u8, by: u32) {
        self.arcs.push(Arc { from, to, kinds });
        self.sources.push(by);
    }

    fn by(&self, from: u32, to: u32, kind: u8) -> Option<u32> {
        let wanted = Arc { from, to, kinds: kind };
        let at = self.arcs.iter().position(|arc| *arc == wanted)?;
        Some(self.sources[at])
    }
}

/// The visible writes of each key.
#[derive(Default)]
struct ByKey {
    keys: rustc_hash::FxHashMap<KeyId, Entered>,
}

#[derive(Default)]
struct Entered {
    /// Every visible write.
    all: Vec<u32>,
    /// Those that no read of the key has yet put before what it returned.
    fresh: Vec<u32>,
    /// What the last read returned: all but the fresh ones come before it.
    anchor: Option<u32>,
    /// The longest list seen: where its sources begin, and how many were looked at.
    list: Option<(u32, usize)>,
}

impl ByKey {
    fn enter(&mut self, key: KeyId, write: u32) {
        let entered = self.keys.entry(key).or_default();
        entered.all.push(write);
        entered.fresh.push(write);
    }

    fn any_but(&self, key: KeyId, op: u32) -> Option<u32> {
        self.keys.get(&key)?.all.iter().copied().find(|write| *write != op)
    }

    /// All visible writes come before `source`; those that already come before the anchor need not
    /// be named again. An update that its own session saw before it happened does not see itself.
    fn settle(&mut self, key: KeyId, source: u32, op: u32, mut before: impl FnMut(u32)) {
        let entered = self.keys.entry(key).or_default();
        let waits = entered.fresh.iter().chain(&entered.anchor).any(|write| *write == op);
        if entered.anchor == Some(op) {
            // What came before the anchor comes before nothing now.
            entered.fresh.clone_from(&entered.all);
        }
        for write in entered.fresh.drain(..).chain(entered.anchor) {
            if write != source && write != op {
                before(write);
            }
        }
        if waits {
            entered.fresh.push(op);
        }
        entered.anchor = Some(source);
    }

    fn missing(&self, key: KeyId, sources: &[u32], op: u32) -> Option<u32> {
        let all = &self.keys.get(&key)?.all;
        let mut shown = sources.to_vec();
        shown.sort_unstable();
        all.iter().copied().find(|write| *write != op && shown.binary_search(write).is_err())
    }

    /// How many elements of a list the one looked at last began with.
    fn known_prefix(&mut self, model: &Model, read: &Read) -> usize {
        let entered = self.keys.entry(read.key).or_default();
        let (start, len) = (read.start, model.sources(read).len());
        let known = entered.list.filter(|(before, _)| *before == start).map_or(0, |list| list.1);
        entered.list = Some((start, known.max(len)));
        known
    }
}
