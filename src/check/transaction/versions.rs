//! The order of the versions of each key, as far as data prove it (specification 1.3).

use rustc_hash::FxHashMap;

use crate::check::infer::real_time_frontier;
use crate::check::transaction::{Committed, Source};
use crate::check::writers::{Writers, reads_value, version_read, writes_value};
use crate::check::{Assumption, Edge, Limits};
use crate::graph::{Arc, Graph, components};
use crate::history::{Datatype, History, KeyId, ValueId};

/// How much is known of the order in which the versions of a key came into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All of it.
    Total,
    /// Some versions stand in no known order.
    Partial,
    /// The evidence contradicts itself, so none of it is used.
    Contradictory,
}

/// What is known of one key.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// How much.
    pub order: Order,
    /// The longest list that was read; `EMPTY` if the key is no list or was never read.
    pub longest: ValueId,
    /// Whether some edges were left out because there would be too many of them.
    pub is_cut: bool,
}

/// The orders of all keys, and the edges that follow from them.
pub struct Versions {
    /// By key.
    pub keys: Vec<Known>,
    /// `ww` and `rw` edges between the nodes of [`Committed`].
    pub arcs: Vec<Arc>,
    /// The contradictions in the evidence for registers: the key, and the nodes that wrote the
    /// versions of a cycle.
    pub cyclic: Vec<(KeyId, Vec<u32>)>,
}

const NOBODY: u32 = u32::MAX;

/// Between readers and writers that are all related, so many edges a reader or writer are stored.
const EDGES_EACH: usize = 64;

/// What committed transactions did to one key.
struct Uses {
    /// External reads: the node, the version, who wrote it.
    reads: Vec<(u32, ValueId, Source)>,
    /// Writes of registers: the last of each node. Appends to lists: all.
    writes: Vec<(u32, ValueId)>,
    longest: ValueId,
    versions: Vec<ValueId>,
}

impl Versions {
    /// Finds the orders.
    ///
    /// Lists: the longest read is the order, of which every other read must be a prefix; what was
    /// appended and never read comes after it. Registers: the initial version comes first (E1), and
    /// a transaction that read one version and wrote another ordered the two (E2, E3); E4 to E6 are
    /// used only where `limits` grants them. O(accesses), and a sort where E5 is granted.
    pub(in crate::check) fn new(
        history: &History,
        writers: &Writers,
        committed: &Committed,
        limits: &Limits,
    ) -> Self {
        let mut inference = Inference {
            history,
            writers,
            committed,
            limits,
            node: committed.nodes(history),
            depth: depths(history),
            on_path: vec![NOBODY; history.values().len()],
            found: Self {
                keys: Vec::with_capacity(history.key_count()),
                arcs: Vec::new(),
                cyclic: Vec::new(),
            },
        };
        let uses = inference.uses();
        for (key, uses) in history.keys().zip(&uses) {
            let known = match history.datatype(key) {
                Datatype::List => inference.list(key, uses),
                Datatype::Register => inference.register(key, uses),
                _ => Known { order: Order::Partial, longest: ValueId::EMPTY, is_cut: false },
            };
            inference.found.keys.push(known);
        }
        inference.found
    }
}

/// The length of every list, by value; 0 for what is no list.
fn depths(history: &History) -> Vec<u32> {
    let mut depth = vec![0; history.values().len()];
    for (list, prefix, _) in history.values().lists() {
        depth[list.index()] = depth[prefix.index()] + 1;
    }
    depth
}

struct Inference<'h> {
    history: &'h History,
    writers: &'h Writers,
    committed: &'h Committed,
    limits: &'h Limits,
    /// The node of each operation of the history.
    node: Vec<u32>,
    depth: Vec<u32>,
    /// The key on the path to whose longest list a list or an element was last found.
    on_path: Vec<u32>,
    found: Versions,
}

impl Inference<'_> {
    fn uses(&self) -> Vec<Uses> {
        let mut uses: Vec<Uses> = self
            .history
            .keys()
            .map(|_| Uses {
                reads: Vec::new(),
                writes: Vec::new(),
                longest: ValueId::EMPTY,
                versions: Vec::new(),
            })
            .collect();
        for node in 0..self.committed.len() as u32 {
            for read in self.committed.reads(node) {
                uses[read.key.index()].reads.push((node, read.version, read.source));
            }
            let txn = self.history.txn(self.committed.txns[node as usize]);
            for (at, access) in txn.accesses().enumerate() {
                let key = access.key;
                if self.history.datatype(key) != Datatype::List {
                    continue;
                }
                let of_key = &mut uses[key.index()];
                if writes_value(self.history, access) {
                    of_key.writes.push((node, access.value));
                } else if txn.is_ok() && reads_value(self.history, access) {
                    let version = version_read(self.history, txn, at, access);
                    of_key.versions.push(version);
                    if self.depth[version.index()] > self.depth[of_key.longest.index()] {
                        of_key.longest = version;
                    }
                }
            }
            for write in self.committed.writes(node) {
                if self.history.datatype(write.key) == Datatype::Register {
                    uses[write.key.index()].writes.push((node, write.value));
                }
            }
        }
        uses
    }

    /// The node that wrote a value, if it is the only one.
    fn writer(&self, key: KeyId, value: ValueId) -> u32 {
        let writer = self.writers.first(key, value);
        match writer.filter(|_| !self.writers.is_ambiguous(key, value)) {
            Some(txn) => self.node[txn.index()],
            None => NOBODY,
        }
    }

    fn add(&mut self, from: u32, to: u32, edge: Edge) {
        if from != to {
            self.found.arcs.push(Arc { from, to, kinds: edge as u8 });
        }
    }

    /// Every reader must come before every writer. Where that would be too many edges only those to
    /// the writers that were done first are stored; returns whether any is missing.
    fn add_all(&mut self, readers: &[u32], writers: &[u32]) -> bool {
        let all = readers.len().saturating_mul(writers.len());
        let few = EDGES_EACH * (readers.len() + writers.len());
        let mut first = writers.to_vec();
        if all > few {
            let done =
                |node: &u32| self.history.txn(self.committed.txns[*node as usize]).returned();
            first.sort_unstable_by_key(|node| (done(node), *node));
            first.truncate(EDGES_EACH);
        }
        for reader in readers {
            for writer in &first {
                self.add(*reader, *writer, Edge::Rw);
            }
        }
        all > few
    }

    fn list(&mut self, key: KeyId, uses: &Uses) -> Known {
        let values = self.history.values();
        let longest = uses.longest;
        let mut contradictory = false;
        let mut ambiguous = false;
        // Writers by place, from the last element to the first.
        let mut order = Vec::with_capacity(self.depth[longest.index()] as usize);
        let mut at = longest;
        self.on_path[ValueId::EMPTY.index()] = key.0;
        while let Some((prefix, last)) = values.split(at) {
            contradictory |= self.on_path[last.index()] == key.0;
            self.on_path[at.index()] = key.0;
            self.on_path[last.index()] = key.0;
            ambiguous |= self.writers.is_ambiguous(key, last);
            order.push(self.writer(key, last));
            at = prefix;
        }
        order.reverse();
        // Who appended several elements must show them as it appended them, from the first on.
        ambiguous |= !self.is_as_issued(key, longest, &order);
        let is_prefix = |list: &ValueId| self.on_path[list.index()] == key.0;
        contradictory |= !uses.versions.iter().all(is_prefix);
        if contradictory {
            return Known { order: Order::Contradictory, longest, is_cut: false };
        }
        // Who wrote the next version after so many elements, as far as known.
        let mut next = vec![NOBODY; order.len() + 1];
        for place in (0..order.len()).rev() {
            next[place] = if order[place] == NOBODY { next[place + 1] } else { order[place] };
        }
        let mut last = NOBODY;
        for writer in order.into_iter().filter(|writer| *writer != NOBODY) {
            if last != NOBODY {
                self.add(last, writer, Edge::Ww);
            }
            last = writer;
        }
        let mut readers = Vec::new();
        for (node, version, _) in &uses.reads {
            match next[self.depth[version.index()] as usize] {
                NOBODY => readers.push(*node),
                writer => self.add(*node, writer, Edge::Rw),
            }
        }
        let mut unread: Vec<u32> = Vec::new();
        for (node, value) in &uses.writes {
            let is_ambiguous = self.writers.is_ambiguous(key, *value);
            ambiguous |= is_ambiguous;
            let is_read = self.on_path[value.index()] == key.0;
            if !is_read && !is_ambiguous && unread.last() != Some(node) {
                unread.push(*node);
            }
        }
        for writer in unread.iter().filter(|_| last != NOBODY) {
            self.add(last, *writer, Edge::Ww);
        }
        let is_cut = self.add_all(&readers, &unread);
        let is_total = unread.len() <= 1 && !ambiguous;
        let order = if is_total { Order::Total } else { Order::Partial };
        Known { order, longest, is_cut }
    }

    /// Whether the elements that each transaction appended stand in the order in which it did so, and
    /// none of them is missing before another.
    fn is_as_issued(&self, key: KeyId, longest: ValueId, order: &[u32]) -> bool {
        let mut shown: FxHashMap<u32, usize> = FxHashMap::default();
        let elements = self.history.values().elements(longest);
        elements.into_iter().zip(order).filter(|(_, node)| **node != NOBODY).all(|(value, node)| {
            let txn = self.history.txn(self.committed.txns[*node as usize]);
            let mut appends =
                txn.accesses().filter(|one| one.key == key && writes_value(self.history, *one));
            let at = appends.clone().position(|one| one.value == value);
            if appends.nth(1).is_none() {
                return true;
            }
            let before = shown.entry(*node).or_default();
            *before += 1;
            at == Some(*before - 1)
        })
    }

    fn register(&mut self, key: KeyId, uses: &Uses) -> Known {
        let mut known = Known { order: Order::Partial, longest: ValueId::EMPTY, is_cut: false };
        // A version is known by the node that wrote it last and alone.
        let is_version = |(_, value): &&(u32, ValueId)| {
            *value != ValueId::NULL && !self.writers.is_ambiguous(key, *value)
        };
        let writes: FxHashMap<u32, ValueId> =
            uses.writes.iter().filter(is_version).copied().collect();
        let has_initial = self.writers.first(key, ValueId::NULL).is_none();
        let mut all: Vec<u32> = writes.keys().copied().collect();
        all.sort_unstable();
        let source = |version: ValueId, source: Source| match source {
            Source::Node(node) => (writes.get(&node) == Some(&version)).then_some(node),
            _ => None,
        };
        // What directly follows what.
        let mut follows: Vec<(u32, u32)> = Vec::new();
        for (node, version, from) in &uses.reads {
            if writes.contains_key(node)
                && let Some(before) = source(*version, *from)
                && before != *node
            {
                follows.push((before, *node));
            }
        }
        self.assumed(key, uses, &all, &mut follows);
        follows.sort_unstable();
        follows.dedup();
        if let Some(cycle) = cycle(&all, &follows) {
            self.found.cyclic.push((key, cycle));
            known.order = Order::Contradictory;
            return known;
        }
        for (before, after) in &follows {
            self.add(*before, *after, Edge::Ww);
        }
        let mut readers: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        let mut of_initial = Vec::new();
        for (node, version, from) in &uses.reads {
            match source(*version, *from) {
                Some(writer) => readers.entry(writer).or_default().push(*node),
                None if *from == Source::Initial && has_initial => of_initial.push(*node),
                None => {}
            }
        }
        for chunk in follows.chunk_by(|one, next| one.0 == next.0) {
            if let Some(readers) = readers.get(&chunk[0].0) {
                let after: Vec<u32> = chunk.iter().map(|pair| pair.1).collect();
                known.is_cut |= self.add_all(readers, &after);
            }
        }
        let mut followers: Vec<u32> = follows.iter().map(|pair| pair.1).collect();
        followers.sort_unstable();
        let first: Vec<u32> =
            all.iter().copied().filter(|node| followers.binary_search(node).is_err()).collect();
        known.is_cut |= self.add_all(&of_initial, &first);
        // A single beginning and no fork make a chain.
        let is_fork = follows.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let is_chain = first.len() <= 1 && !is_fork && follows.len() + 1 >= all.len();
        if is_chain && has_initial && writes.len() == uses.writes.len() {
            known.order = Order::Total;
        }
        known
    }

    /// Adds the order that the granted assumptions give.
    fn assumed(&self, key: KeyId, uses: &Uses, all: &[u32], follows: &mut Vec<(u32, u32)>) {
        let txn = |node: u32| self.history.txn(self.committed.txns[node as usize]);
        let granted = |one: Assumption| self.limits.assume.contains(&one);
        if granted(Assumption::WritesInSessionOrder) {
            let mut last: FxHashMap<u32, u32> = FxHashMap::default();
            for node in all {
                let session = txn(*node).session().0;
                if let Some(before) = last.get(&session) {
                    follows.push((*before, *node));
                }
                if txn(*node).is_ok() {
                    last.insert(session, *node);
                }
            }
        }
        if granted(Assumption::WritesInRealTimeOrder) {
            let intervals: Vec<(u32, u32, u32)> = all
                .iter()
                .map(|node| (txn(*node).invoked().0, txn(*node).returned().0, *node))
                .collect();
            real_time_frontier(&intervals, |from, to| follows.push((from, to)));
        }
        if granted(Assumption::WritesFollowReads) {
            let mut seen: FxHashMap<u32, u32> = FxHashMap::default();
            let mut reads = uses.reads.iter().peekable();
            for node in all {
                while let Some((reader, version, from)) = reads.next_if(|read| read.0 < *node) {
                    if let Source::Node(writer) = from
                        && self.committed.final_write(*writer, key) == Some(*version)
                        && all.binary_search(writer).is_ok()
                    {
                        seen.insert(txn(*reader).session().0, *writer);
                    }
                }
                if let Some(before) = seen.get(&txn(*node).session().0).filter(|one| *one != node) {
                    follows.push((*before, *node));
                }
            }
        }
    }
}

/// A cycle in the order of versions, if there is one: some component of it.
fn cycle(all: &[u32], follows: &[(u32, u32)]) -> Option<Vec<u32>> {
    if follows.iter().all(|(before, after)| before < after) {
        return None;
    }
    let place = |node: u32| all.binary_search(&node).unwrap_or(0) as u32;
    let arcs: Vec<Arc> = follows
        .iter()
        .map(|(before, after)| Arc { from: place(*before), to: place(*after), kinds: 1 })
        .collect();
    let graph = Graph::new(all.len(), &arcs);
    let components = components(&graph);
    let members = components.cyclic().into_iter().min_by_key(Vec::len)?;
    let spec = crate::graph::CycleSpec::ANY;
    let cycle = crate::graph::shortest_cycle(&graph, &components, &members, spec)?;
    Some(cycle.into_iter().map(|at| all[at as usize]).collect())
}
