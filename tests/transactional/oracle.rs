//! Levels of isolation of histories of lists, from their definitions by cycles (ANOMALIES section 8):
//! small, slow, and independent of the checkers. Every list is read to its end after the run, so the
//! order of all appends is known.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use rashomon::history::{History, KeyId, Txn, TxnId};
use rashomon::model::{Function, Kind, Value};

/// A level, by what is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Cycles of dependencies, sessions and real time.
    StrictSerializable,
    /// Cycles of dependencies and sessions.
    SessionSerializable,
    /// Cycles of dependencies.
    Serializable,
    /// Cycles in which no two anti-dependencies are neighbours.
    SnapshotIsolation,
    /// Cycles with one anti-dependency at most.
    ParallelSnapshotIsolation,
    /// Cycles without anti-dependency, and reads of what is aborted or intermediate.
    ReadCommitted,
    /// Cycles of overwriting.
    ReadUncommitted,
}

type Edges = BTreeSet<(usize, usize)>;

/// What depends on what.
pub(crate) struct Dependencies<'h> {
    history: &'h History,
    overwrites: Edges,
    reads: Edges,
    misses: Edges,
    /// Something was read that no committed transaction left behind.
    dirty: Option<String>,
}

fn elements(history: &History, txn: Txn<'_>) -> Vec<(KeyId, Vec<Value>)> {
    let mut own = BTreeSet::new();
    let mut reads = Vec::new();
    for access in txn.accesses() {
        match access.function {
            Function::Read if txn.is_ok() && !own.contains(&access.key) => {
                let value = history.values().value(access.value);
                reads.push((access.key, value.as_list().unwrap_or_default().to_vec()));
            }
            Function::Read => {}
            _ => drop(own.insert(access.key)),
        }
    }
    reads
}

/// Whether every read ends with what the transaction itself had appended before.
fn sees_itself(history: &History, txn: Txn<'_>) -> bool {
    let mut own: BTreeMap<KeyId, Vec<Value>> = BTreeMap::new();
    txn.accesses().all(|access| {
        let (own, value) =
            (own.entry(access.key).or_default(), history.values().value(access.value));
        if access.function == Function::Append {
            own.push(value.clone());
            return true;
        }
        value.as_list().unwrap_or_default().ends_with(own)
    })
}

impl<'h> Dependencies<'h> {
    pub(crate) fn of(history: &'h History) -> Self {
        let mut orders: BTreeMap<KeyId, Vec<Value>> = BTreeMap::new();
        let mut writers: BTreeMap<(KeyId, Value), (TxnId, bool)> = BTreeMap::new();
        let (mut dirty, mut reads) = (None, Vec::new());
        for txn in history.txns() {
            let mut last: BTreeMap<KeyId, Value> = BTreeMap::new();
            for access in txn.accesses().filter(|access| access.function == Function::Append) {
                let value = history.values().value(access.value);
                if let Some(before) = last.insert(access.key, value.clone()) {
                    writers.insert((access.key, before), (txn.id, false));
                }
            }
            for (key, value) in last {
                assert!(writers.insert((key, value), (txn.id, true)).is_none(), "appended once");
            }
            if txn.is_ok() && !sees_itself(history, txn) {
                dirty = Some(format!("#{} does not see its own appends", txn.index()));
            }
            for (key, list) in elements(history, txn) {
                let order = orders.entry(key).or_default();
                let common = order.len().min(list.len());
                if order[..common] != list[..common] {
                    dirty = Some(format!("#{} read another order", txn.index()));
                }
                if list.len() > order.len() {
                    order.clone_from(&list);
                }
                reads.push((txn.id, key, list));
            }
        }
        let mut dependencies = Self {
            history,
            overwrites: Edges::new(),
            reads: Edges::new(),
            misses: Edges::new(),
            dirty,
        };
        let writer = |key: KeyId, value: &Value| writers.get(&(key, value.clone())).copied();
        for (key, order) in &orders {
            for pair in order.windows(2) {
                if let (Some(one), Some(other)) = (writer(*key, &pair[0]), writer(*key, &pair[1])) {
                    dependencies.overwrites.insert((one.0.index(), other.0.index()));
                }
            }
        }
        for (reader, key, list) in &reads {
            let seen = list.last().map(|value| (value, writer(*key, value)));
            match seen {
                Some((value, None)) => {
                    dependencies.dirty = Some(format!("{value} came from nowhere"));
                }
                Some((value, Some((from, is_final)))) => {
                    let aborted = history.txn(from).kind() == Kind::Fail;
                    if aborted || (!is_final && from != *reader) {
                        dependencies.dirty = Some(format!("{value} was aborted or intermediate"));
                    }
                    dependencies.reads.insert((from.index(), reader.index()));
                }
                None => {}
            }
            let next = orders[key].get(list.len()).and_then(|value| writer(*key, value));
            if let Some((next, _)) = next {
                dependencies.misses.insert((reader.index(), next.index()));
            }
        }
        for edges in
            [&mut dependencies.overwrites, &mut dependencies.reads, &mut dependencies.misses]
        {
            edges.retain(|(from, to)| from != to);
        }
        dependencies
    }

    /// Whether nothing is there that the level forbids.
    pub(crate) fn satisfy(&self, level: Level) -> bool {
        let known: Edges = self.overwrites.union(&self.reads).copied().collect();
        let all: Edges = known.union(&self.misses).copied().collect();
        let is_clean = self.dirty.is_none() || level == Level::ReadUncommitted;
        is_clean
            && match level {
                Level::StrictSerializable => self.acyclic_in_time(&all),
                Level::SessionSerializable => {
                    acyclic(&all.union(&self.sessions()).copied().collect())
                }
                Level::Serializable => acyclic(&all),
                Level::SnapshotIsolation => {
                    // A miss is always taken together with the dependency before it.
                    let mut next: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
                    for (from, to) in &self.misses {
                        next.entry(*from).or_default().push(*to);
                    }
                    let behind = |(from, to): &(usize, usize)| {
                        let from = *from;
                        next.get(to).into_iter().flatten().map(move |last| (from, *last))
                    };
                    let steps: Vec<_> = known.iter().flat_map(behind).collect();
                    steps.iter().all(|(from, to)| from != to)
                        && acyclic(&known.iter().copied().chain(steps).collect())
                }
                Level::ParallelSnapshotIsolation => {
                    acyclic(&known) && {
                        let reach = Reach::of(&known);
                        self.misses.iter().all(|(from, to)| !reach.leads(*to, *from))
                    }
                }
                Level::ReadCommitted => acyclic(&known),
                Level::ReadUncommitted => acyclic(&self.overwrites),
            }
    }

    fn sessions(&self) -> Edges {
        let mut last = BTreeMap::new();
        let ok = self.history.txns().filter(|txn| txn.is_ok());
        ok.filter_map(|txn| {
            let before = last.insert(txn.session(), txn.id.index())?;
            Some((before, txn.id.index()))
        })
        .collect()
    }

    /// Real time as a chain of moments: a transaction leads to the moment of its return, and a moment
    /// to the transactions that are invoked after it.
    fn acyclic_in_time(&self, all: &Edges) -> bool {
        let many = self.history.len();
        let mut moments: Vec<_> = self
            .history
            .txns()
            .filter(|txn| txn.is_ok())
            .map(|txn| (txn.returned(), txn.id.index()))
            .collect();
        moments.sort_unstable();
        let mut edges = all.clone();
        for (at, (_, txn)) in moments.iter().enumerate() {
            edges.insert((*txn, many + at));
            edges.insert((many + at, many + at + 1));
        }
        for txn in self.history.txns() {
            let before = moments.partition_point(|(returned, _)| *returned < txn.invoked());
            if before > 0 {
                edges.insert((many + before - 1, txn.id.index()));
            }
        }
        acyclic(&edges)
    }
}

fn graph(edges: &Edges) -> DiGraph<(), ()> {
    DiGraph::from_edges(edges.iter().map(|(from, to)| (*from as u32, *to as u32)))
}

fn acyclic(edges: &Edges) -> bool {
    kosaraju_scc(&graph(edges)).iter().all(|component| component.len() == 1)
}

/// Who leads to whom.
struct Reach {
    graph: DiGraph<(), ()>,
}

impl Reach {
    fn of(edges: &Edges) -> Self {
        Self { graph: graph(edges) }
    }

    fn leads(&self, from: usize, to: usize) -> bool {
        let (mut seen, mut open) = (BTreeSet::from([from]), vec![from]);
        while let Some(one) = open.pop() {
            if one == to {
                return true;
            }
            if one < self.graph.node_count() {
                for next in self.graph.neighbors(NodeIndex::new(one)) {
                    if seen.insert(next.index()) {
                        open.push(next.index());
                    }
                }
            }
        }
        false
    }
}
