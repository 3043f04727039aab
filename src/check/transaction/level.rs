//! The levels of isolation whose decision needs the order of versions, and the graph of each.

use crate::check::transaction::evidence::{Evidence, INITIAL, NONE};
use crate::check::transaction::rows::Rows;
use crate::check::{Edge, Property};
use crate::graph::Arc;

/// What a transaction reads from, and what must not happen meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// A prefix of the order of commits (PC).
    Prefix,
    /// A snapshot that nobody need agree upon; no concurrent writes of one key (PSI).
    Parallel,
    /// A prefix of the order of commits; no concurrent writes of one key (SI).
    Snapshot,
    /// Everything before it (SER).
    Serial,
}

/// Which other order the transactions keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Along {
    /// None.
    Nothing,
    /// That of each session.
    Sessions,
    /// That of each session and of real time.
    RealTime,
}

/// A level of isolation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) property: Property,
    pub(super) model: Model,
    pub(super) along: Along,
}

/// The levels, the weaker first.
pub(super) const LEVELS: [Level; 12] = [
    level(Property::Pc, Model::Prefix, Along::Nothing),
    level(Property::SsPc, Model::Prefix, Along::Sessions),
    level(Property::SPc, Model::Prefix, Along::RealTime),
    level(Property::Psi, Model::Parallel, Along::Nothing),
    level(Property::SsPsi, Model::Parallel, Along::Sessions),
    level(Property::SPsi, Model::Parallel, Along::RealTime),
    level(Property::Si, Model::Snapshot, Along::Nothing),
    level(Property::SsSi, Model::Snapshot, Along::Sessions),
    level(Property::SSi, Model::Snapshot, Along::RealTime),
    level(Property::Ser, Model::Serial, Along::Nothing),
    level(Property::SsSer, Model::Serial, Along::Sessions),
    level(Property::Sser, Model::Serial, Along::RealTime),
];

const fn level(property: Property, model: Model, along: Along) -> Level {
    Level { property, model, along }
}

impl Model {
    /// Whether a transaction is two nodes, its begin and its commit: the BC-polygraph of Zhang et
    /// al., "Viper: A Fast Snapshot Isolation Checker" (`EuroSys` 2023). One that is atomic is one.
    fn is_split(self) -> bool {
        matches!(self, Self::Prefix | Self::Snapshot)
    }

    /// The node at which a transaction reads.
    pub(super) fn begin(self, txn: u32) -> u32 {
        if self.is_split() { 2 * txn } else { txn }
    }

    /// The node at which what it wrote is there.
    pub(super) fn commit(self, txn: u32) -> u32 {
        if self.is_split() { 2 * txn + 1 } else { txn }
    }

    /// How many nodes so many transactions are; nodes beyond these stand for no transaction.
    pub(super) fn nodes(self, txns: usize) -> usize {
        if self.is_split() { 2 * txns } else { txns }
    }

    /// The transaction of a node.
    pub(super) fn txn(self, node: u32, txns: usize) -> Option<u32> {
        let own = (node as usize) < self.nodes(txns);
        own.then_some(if self.is_split() { node / 2 } else { node })
    }

    /// The edge that says that the second overwrote what the first wrote.
    pub(super) fn ww(self, first: u32, second: u32) -> (u32, u32) {
        match self {
            // The second may have begun before the first committed.
            Self::Prefix => (self.commit(first), self.commit(second)),
            _ => (self.commit(first), self.begin(second)),
        }
    }

    /// The edge that says that the second overwrote what the first read; `Parallel` has a rule of
    /// its own for that.
    pub(super) fn rw(self, reader: u32, writer: u32) -> (u32, u32) {
        (self.begin(reader), self.commit(writer))
    }
}

/// The bit of the edge from the begin of a transaction to its commit.
const WITHIN: u8 = 64;

/// The edges of a level that are certain.
pub(super) struct Known<'e> {
    evidence: &'e Evidence<'e>,
    model: Model,
    /// How many nodes there are.
    pub(super) nodes: usize,
    /// The edges; their kinds are the bits of [`Edge`], or [`WITHIN`].
    pub(super) arcs: Vec<Arc>,
    readers: Rows<(u32, u32)>,
}

impl<'e> Known<'e> {
    /// Finds them.
    pub(super) fn new(evidence: &'e Evidence<'e>, level: Level) -> Self {
        let nodes = level.model.nodes(evidence.len());
        let readers = evidence.readers();
        let mut known = Self { evidence, model: level.model, nodes, arcs: Vec::new(), readers };
        known.within();
        known.reads();
        known.lists();
        if level.model != Model::Parallel {
            known.overwritten();
        }
        match level.along {
            Along::Nothing => {}
            Along::Sessions => known.sessions(),
            Along::RealTime => {
                known.sessions();
                known.real_time();
            }
        }
        known
    }

    fn add(&mut self, (from, to): (u32, u32), edge: Edge) {
        self.arcs.push(Arc { from, to, kinds: edge as u8 });
    }

    fn within(&mut self) {
        if self.model.is_split() {
            for txn in 0..self.evidence.len() as u32 {
                let (from, to) = (self.model.begin(txn), self.model.commit(txn));
                self.arcs.push(Arc { from, to, kinds: WITHIN });
            }
        }
    }

    fn reads(&mut self) {
        let (evidence, model) = (self.evidence, self.model);
        for txn in 0..evidence.len() as u32 {
            for read in evidence.reads.row(txn).iter().filter(|read| read.from != INITIAL) {
                self.add((model.commit(read.from), model.begin(txn)), Edge::Wr);
            }
        }
    }

    fn lists(&mut self) {
        let (evidence, model) = (self.evidence, self.model);
        for chain in evidence.chains.values() {
            for pair in chain.order.windows(2) {
                self.add(model.ww(pair[0], pair[1]), Edge::Ww);
            }
            if let Some(last) = chain.order.last() {
                for unread in chain.unread.iter().filter(|unread| *unread != last) {
                    self.add(model.ww(*last, *unread), Edge::Ww);
                }
            }
        }
    }

    /// `rw`: whoever read a version came before those who are known to have overwritten it.
    fn overwritten(&mut self) {
        let evidence = self.evidence;
        let (writers, initial) = (evidence.writers(), evidence.initial_readers());
        for key in 0..evidence.keys.len() as u32 {
            let first: Vec<u32> = match evidence.chains.get(&key) {
                Some(chain) if !chain.order.is_empty() => vec![chain.order[0]],
                Some(chain) => chain.unread.clone(),
                None => {
                    let is_update = |txn: &u32| {
                        let reads = evidence.reads.row(*txn);
                        reads.iter().any(|read| read.key == key && read.from != INITIAL)
                    };
                    writers.row(key).iter().copied().filter(|txn| !is_update(txn)).collect()
                }
            };
            self.overwrite(initial.row(key), &first);
            if let Some(chain) = evidence.chains.get(&key) {
                for (at, writer) in chain.order.iter().enumerate() {
                    let readers = self.readers_of(*writer, key);
                    match chain.order.get(at + 1) {
                        Some(next) => self.overwrite(&readers, &[*next]),
                        None => self.overwrite(&readers, &chain.unread),
                    }
                }
            }
        }
        for writer in 0..evidence.len() as u32 {
            let mut row = self.readers.row(writer).to_vec();
            row.sort_unstable();
            for same in row.chunk_by(|one, other| one.0 == other.0) {
                let key = same[0].0;
                if !evidence.chains.contains_key(&key) {
                    let all: Vec<u32> = same.iter().map(|(_, reader)| *reader).collect();
                    let updates: Vec<u32> = all
                        .iter()
                        .copied()
                        .filter(|reader| evidence.writes.row(*reader).contains(&key))
                        .collect();
                    self.overwrite(&all, &updates);
                }
            }
        }
    }

    fn readers_of(&self, writer: u32, key: u32) -> Vec<u32> {
        let row = self.readers.row(writer).iter();
        row.filter(|(one, _)| *one == key).map(|(_, reader)| *reader).collect()
    }

    /// Every one of `readers` comes before every one of `writers`, itself excepted.
    fn overwrite(&mut self, readers: &[u32], writers: &[u32]) {
        if readers.is_empty() || writers.is_empty() {
            return;
        }
        let model = self.model;
        // All callers name the writers in ascending order.
        let is_both = |reader: &u32| writers.binary_search(reader).is_ok();
        // The begin of a transaction comes before its commit anyway. Where the two are one node, what
        // read and wrote cannot use the node in between; but no two of these can be serial.
        let (updates, plain): (Vec<u32>, Vec<u32>) = if model == Model::Serial {
            readers.iter().partition(|reader| is_both(reader))
        } else {
            (Vec::new(), readers.to_vec())
        };
        if let [one, other, ..] = updates[..] {
            self.add(model.rw(one, other), Edge::Rw);
            self.add(model.rw(other, one), Edge::Rw);
        } else if let [update] = updates[..] {
            for writer in writers.iter().filter(|writer| **writer != update) {
                self.add(model.rw(update, *writer), Edge::Rw);
            }
        }
        if plain.len() * writers.len() <= plain.len() + writers.len() {
            for reader in &plain {
                for writer in writers.iter().filter(|writer| *writer != reader) {
                    self.add(model.rw(*reader, *writer), Edge::Rw);
                }
            }
        } else {
            let between = self.node();
            for reader in &plain {
                self.add((model.begin(*reader), between), Edge::Rw);
            }
            for writer in writers {
                self.add((between, model.commit(*writer)), Edge::Rw);
            }
        }
    }

    fn node(&mut self) -> u32 {
        self.nodes += 1;
        self.nodes as u32 - 1
    }

    fn sessions(&mut self) {
        let (evidence, model) = (self.evidence, self.model);
        for (txn, previous) in (0..).zip(&evidence.previous) {
            if *previous != NONE {
                self.add((model.commit(*previous), model.begin(txn)), Edge::So);
            }
        }
    }

    /// Real time as a line of nodes, one a return: two edges a transaction say all.
    fn real_time(&mut self) {
        let (evidence, model) = (self.evidence, self.model);
        let mut returns: Vec<(u32, u32)> = (0..evidence.len() as u32)
            .filter(|txn| evidence.history.txn(evidence.txns[*txn as usize]).is_ok())
            .map(|txn| (evidence.interval(txn).1.0, txn))
            .collect();
        returns.sort_unstable();
        let mut returns = returns.into_iter().peekable();
        let mut now = None;
        // Nodes are in order of invocation.
        for txn in 0..evidence.len() as u32 {
            let invoked = evidence.interval(txn).0.0;
            let mut moment = None;
            while let Some((_, before)) = returns.next_if(|(returned, _)| *returned < invoked) {
                let at = *moment.get_or_insert_with(|| self.node());
                self.add((model.commit(before), at), Edge::Rt);
            }
            if let Some(at) = moment {
                if let Some(earlier) = now {
                    self.add((earlier, at), Edge::Rt);
                }
                now = Some(at);
            }
            if let Some(at) = now {
                self.add((at, model.begin(txn)), Edge::Rt);
            }
        }
    }
}
