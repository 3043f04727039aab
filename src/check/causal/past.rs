//! Causal order: `co = (so ∪ wr)+`, as one vector of frontiers an operation.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::Edge;
use crate::check::causal::writes::WritesByKey;
use crate::check::session::model::{Model, NO_SESSION, Read};
use crate::graph::{Arc, CycleSpec, Graph, components, shortest_cycle};
use crate::history::Datatype;

/// What each operation has in its causal past.
///
/// Of every session an operation knows a prefix, so a number a session says it all; operations that
/// learn nothing share the vector of the one before. An *anchored* operation is `ok` and has a place
/// in its session; the others are *loose*: no session order leaves them (specification 1.2.4), and
/// they are known to whoever knows one of their readers.
pub(super) struct Past<'m> {
    pub(super) model: &'m Model,
    /// The edges of `so` and `wr`. Nodes from `model.len()` on are versions of lists and sets.
    pub(super) arcs: Vec<Arc>,
    pub(super) nodes: usize,
    pub(super) writes: WritesByKey,
    /// The place of each operation in an order that extends causal order and is nearly that of
    /// invocation.
    place: Vec<u32>,
    versions: Vec<Version>,
    version_of: FxHashMap<(u32, u32), u32>,
    width: usize,
    /// Vectors of how many operations of each session are known.
    rows: Vec<u32>,
    row: Vec<u32>,
    /// Of each loose operation: the first reader in each session, with its position.
    readers: FxHashMap<u32, Vec<(u32, u32)>>,
}

/// A version of a list or set that was read.
struct Version {
    /// The version before, a prefix of it.
    before: Option<u32>,
    start: u32,
    begin: u32,
    end: u32,
    row: u32,
    /// Two writes of it, the later in it causally before the earlier.
    contradiction: Option<(u32, u32)>,
    datatype: Datatype,
    /// How many different writes it shows, and one that it shows twice.
    distinct: usize,
    repeated: Option<u32>,
}

/// What is wrong already with the causal order itself.
pub(super) struct Cyclic {
    /// The operations of a shortest cycle.
    pub(super) cycle: Vec<u32>,
}

impl<'m> Past<'m> {
    /// The causal order of a model; O(n · sessions). A cycle of it comes back as the error.
    pub(super) fn new(model: &'m Model) -> Result<Self, Cyclic> {
        let mut past = Self {
            model,
            arcs: Vec::new(),
            nodes: model.len(),
            writes: WritesByKey::new(model),
            place: vec![0; model.len()],
            versions: Vec::new(),
            version_of: FxHashMap::default(),
            width: model.session_count(),
            rows: vec![0; model.session_count()],
            row: vec![0; model.len()],
            readers: FxHashMap::default(),
        };
        past.find_versions();
        past.connect();
        past.find_readers();
        let Some(order) = past.extension() else {
            return Err(past.cyclic(&Graph::new(past.nodes, &past.arcs)));
        };
        for (place, node) in (0..).zip(order) {
            match node.checked_sub(model.len() as u32) {
                None => {
                    past.place[node as usize] = place;
                    past.learn(node);
                }
                Some(version) => past.learn_version(version),
            }
        }
        Ok(past)
    }

    /// All nodes in order of invocation, but for what must come earlier; `None` if there is a cycle.
    fn extension(&self) -> Option<Vec<u32>> {
        let back = |arc: &Arc| Arc { from: arc.to, to: arc.from, kinds: arc.kinds };
        let before = Graph::new(self.nodes, &self.arcs.iter().map(back).collect::<Vec<Arc>>());
        let mut order = Vec::with_capacity(self.nodes);
        // How many of those before it have been looked at.
        let mut looked = vec![0_u32; self.nodes];
        const PLACED: u32 = u32::MAX;
        let mut open = Vec::new();
        for first in 0..self.nodes as u32 {
            if looked[first as usize] == PLACED {
                continue;
            }
            open.push(first);
            while let Some(node) = open.last().copied() {
                let looked_at = &mut looked[node as usize];
                let Some(next) = before.targets(node).get(*looked_at as usize) else {
                    *looked_at = PLACED;
                    order.push(node);
                    open.pop();
                    continue;
                };
                *looked_at += 1;
                match looked[*next as usize] {
                    PLACED => {}
                    0 => open.push(*next),
                    // It is open itself: it has looked at one already.
                    _ => return None,
                }
            }
        }
        Some(order)
    }

    /// Whether `one` has a place after `other` in an order that extends causal order.
    pub(super) fn leads_back(&self, one: u32, other: u32) -> bool {
        self.place[one as usize] > self.place[other as usize]
    }

    /// Whether `one` is causally before `other`.
    pub(super) fn before(&self, one: u32, other: u32) -> bool {
        if one == other {
            return false;
        }
        if is_anchored(self.model, one) {
            let session = self.model.session[one as usize];
            return self.model.position[one as usize] < self.known(other, session);
        }
        self.readers.get(&one).into_iter().flatten().any(|(session, position)| {
            let own = is_anchored(self.model, other)
                && self.model.session[other as usize] == *session
                && self.model.position[other as usize] == *position;
            own || *position < self.known(other, *session)
        })
    }

    /// How many operations of a session are in the past of an operation, as a position.
    pub(super) fn known(&self, op: u32, session: u32) -> u32 {
        if self.model.session[op as usize] == session {
            return self.model.position[op as usize];
        }
        self.rows[self.row[op as usize] as usize * self.width + session as usize]
    }

    /// How many operations of each session are in the past of an operation; of its own there may be more.
    pub(super) fn row(&self, op: u32) -> &[u32] {
        let row = self.row[op as usize] as usize * self.width;
        &self.rows[row..row + self.width]
    }

    /// The first readers of a loose operation: a session and the place in it.
    pub(super) fn readers(&self, op: u32) -> &[(u32, u32)] {
        self.readers.get(&op).map_or(&[], Vec::as_slice)
    }

    /// Two writes that a list shows against causal order.
    pub(super) fn contradiction(&self, read: &Read) -> Option<(u32, u32)> {
        self.versions[self.version(read)? as usize].contradiction
    }

    /// How many different writes a list or set shows, and one that it shows twice.
    pub(super) fn shows(&self, read: &Read) -> (usize, Option<u32>) {
        let version = self.version(read).map(|at| &self.versions[at as usize]);
        version.map_or((0, None), |version| (version.distinct, version.repeated))
    }

    fn version(&self, read: &Read) -> Option<u32> {
        let len = self.model.sources(read).len() as u32;
        self.version_of.get(&(read.start, len)).copied()
    }

    fn find_versions(&mut self) {
        let mut all: BTreeMap<(u32, u32), Datatype> = BTreeMap::new();
        for op in 0..self.model.len() as u32 {
            for read in reads(self.model, op) {
                let len = self.model.sources(read).len() as u32;
                if read.datatype != Datatype::Register && len > 0 {
                    all.insert((read.start, len), read.datatype);
                }
            }
        }
        let mut there: FxHashSet<u32> = FxHashSet::default();
        for ((start, len), datatype) in all {
            let at = self.versions.len() as u32;
            let last = self.versions.last().filter(|last: &&Version| last.start == start);
            let begin = last.map_or(start, |last| last.end);
            let before = last.map(|_| at - 1);
            let mut repeated = last.and_then(|last| last.repeated);
            if last.is_none() {
                there.clear();
            }
            let (end, contradiction) = (start + len, None);
            for source in self.model.sources_between(begin, end) {
                if !there.insert(*source) {
                    repeated = Some(*source);
                }
            }
            let distinct = there.len();
            self.versions.push(Version {
                before,
                start,
                begin,
                end,
                row: 0,
                contradiction,
                datatype,
                distinct,
                repeated,
            });
            self.version_of.insert((start, len), at);
        }
        self.nodes += self.versions.len();
    }

    fn connect(&mut self) {
        let model = self.model;
        let first_version = model.len() as u32;
        let mut arcs = Vec::with_capacity(2 * model.len());
        for session in 0..model.session_count() as u32 {
            let mut last = None;
            for op in model.members(session) {
                if let Some(from) = last {
                    arcs.push(Arc { from, to: *op, kinds: Edge::So as u8 });
                }
                if is_anchored(model, *op) {
                    last = Some(*op);
                }
            }
        }
        let kinds = Edge::Wr as u8;
        for to in 0..model.len() as u32 {
            for read in reads(model, to) {
                if read.datatype == Datatype::Register {
                    let from = model.sources(read).iter();
                    arcs.extend(from.map(|from| Arc { from: *from, to, kinds }));
                } else if let Some(version) = self.version(read) {
                    arcs.push(Arc { from: first_version + version, to, kinds });
                }
            }
        }
        for (at, version) in (first_version..).zip(&self.versions) {
            if let Some(before) = version.before {
                arcs.push(Arc { from: first_version + before, to: at, kinds });
            }
            for from in self.model.sources_between(version.begin, version.end) {
                if *from != u32::MAX {
                    arcs.push(Arc { from: *from, to: at, kinds });
                }
            }
        }
        self.arcs = arcs;
    }

    fn find_readers(&mut self) {
        let model = self.model;
        for session in 0..model.session_count() as u32 {
            // How much of each list the session has read: more of it is all that is new.
            let mut walked: FxHashMap<u32, u32> = FxHashMap::default();
            for op in model.members(session) {
                for read in reads(model, *op) {
                    let end = read.start + model.sources(read).len() as u32;
                    let from = walked.entry(read.start).or_insert(read.start);
                    let begin = std::mem::replace(from, end.max(*from)).min(end);
                    for source in model.sources_between(begin, end) {
                        if *source == u32::MAX || is_anchored(model, *source) {
                            continue;
                        }
                        let readers = self.readers.entry(*source).or_default();
                        if readers.last().is_none_or(|last| last.0 != session) {
                            readers.push((session, model.position[*op as usize]));
                        }
                    }
                }
            }
        }
    }

    fn cyclic(&self, graph: &Graph) -> Cyclic {
        let n = self.model.len() as u32;
        let all = components(graph);
        let own = self.arcs.iter().find(|arc| arc.from == arc.to).map(|arc| vec![arc.from]);
        let cycle = own.or_else(|| {
            let cycles = all.cyclic();
            let smallest = cycles.iter().min_by_key(|members| members.len())?;
            shortest_cycle(graph, &all, smallest, CycleSpec::ANY)
        });
        Cyclic { cycle: cycle.unwrap_or_default().into_iter().filter(|op| *op < n).collect() }
    }

    /// The vector of an operation: that of the one before in its session, and of its sources.
    fn learn(&mut self, op: u32) {
        let model = self.model;
        let (session, position) = (model.session[op as usize], model.position[op as usize]);
        if session == NO_SESSION {
            return;
        }
        let members = model.members(session);
        let before = members[..position as usize].iter().rev().find(|op| is_anchored(model, **op));
        let mut row = before.map_or(0, |before| self.row[*before as usize]);
        let mut own = row == 0;
        for read in reads(model, op) {
            if read.datatype == Datatype::Register {
                for source in model.sources(read) {
                    row = self.join(row, *source, &mut own);
                }
            } else if let Some(version) = self.version(read) {
                let from = self.versions[version as usize].row;
                row = self.join_row(row, from, None, &mut own);
            }
        }
        self.row[op as usize] = row;
    }

    /// The vector of a version: what the writers of its elements knew, and themselves.
    fn learn_version(&mut self, at: u32) {
        let model = self.model;
        let Version { before, start, begin, end, datatype, .. } = self.versions[at as usize];
        let mut row = before.map_or(0, |before| self.versions[before as usize].row);
        let mut own = false;
        let inherited = before.and_then(|before| self.versions[before as usize].contradiction);
        self.versions[at as usize].contradiction = inherited;
        for (place, source) in (begin..).zip(model.sources_between(begin, end)) {
            if *source == u32::MAX {
                continue;
            }
            let listed = datatype == Datatype::List;
            if listed
                && self.versions[at as usize].contradiction.is_none()
                && self.has(row, *source)
            {
                let earlier = model.sources_between(start, place);
                let after = earlier.iter().find(|one| self.before(*source, **one));
                self.versions[at as usize].contradiction = after.map(|one| (*one, *source));
            }
            row = self.join(row, *source, &mut own);
        }
        self.versions[at as usize].row = row;
    }

    fn has(&self, row: u32, op: u32) -> bool {
        let known = |session: u32| self.rows[row as usize * self.width + session as usize];
        if is_anchored(self.model, op) {
            let session = self.model.session[op as usize];
            return self.model.position[op as usize] < known(session);
        }
        let mut readers = self.readers.get(&op).into_iter().flatten();
        readers.any(|(session, position)| *position < known(*session))
    }

    /// `row` with an operation and its past; a new row unless there is nothing new or `own` is set.
    fn join(&mut self, row: u32, op: u32, own: &mut bool) -> u32 {
        if is_anchored(self.model, op) && self.has(row, op) {
            return row;
        }
        let (session, position) =
            (self.model.session[op as usize], self.model.position[op as usize]);
        let itself = (session != NO_SESSION)
            .then(|| (session, position + u32::from(is_anchored(self.model, op))));
        self.join_row(row, self.row[op as usize], itself, own)
    }

    fn join_row(&mut self, row: u32, from: u32, more: Option<(u32, u32)>, own: &mut bool) -> u32 {
        let width = self.width;
        let place = |row: u32| row as usize * width..(row as usize + 1) * width;
        let more = more.filter(|(session, known)| {
            self.rows[row as usize * width + *session as usize] < *known
        });
        let adds = row != from
            && self.rows[place(row)]
                .iter()
                .zip(&self.rows[place(from)])
                .any(|(old, new)| old < new);
        if !adds && more.is_none() {
            return row;
        }
        let mut target = row;
        if !*own || row == 0 {
            target = (self.rows.len() / width) as u32;
            self.rows.extend_from_within(place(row));
            *own = true;
        }
        if adds {
            for session in 0..width {
                let new = self.rows[from as usize * width + session];
                let old = &mut self.rows[target as usize * width + session];
                *old = new.max(*old);
            }
        }
        if let Some((session, known)) = more {
            self.rows[target as usize * width + session as usize] = known;
        }
        target
    }
}

/// Whether an operation has a place in its session: session order leaves it.
pub(super) fn is_anchored(model: &Model, op: u32) -> bool {
    model.ok[op as usize] && model.session[op as usize] != NO_SESSION
}

/// What an operation read; nothing if it is loose.
pub(super) fn reads(model: &Model, op: u32) -> &[Read] {
    if is_anchored(model, op) { model.reads(op) } else { &[] }
}
