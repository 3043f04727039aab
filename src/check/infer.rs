//! Dependency edges between operations (specification 1.4).

use std::collections::{BTreeMap, VecDeque};

use crate::check::Edge;
use crate::check::writers::{Writers, observed, reads_value, writes_value};
use crate::graph::{Arc, Graph};
use crate::history::{Datatype, History, KeyId, TxnId, ValueId};
use crate::model::Kind;

/// The dependencies between some operations of a history.
#[derive(Clone, Debug)]
pub struct Dependencies {
    /// The operations, by node; in order of invocation.
    pub operations: Vec<TxnId>,
    /// The edges; their kinds are the bits of [`Edge`].
    pub graph: Graph,
}

/// Infers the edges between `txns` from what they say alone: `so` between neighbours in a session
/// (none out of an indeterminate operation, specification 1.2.4), `rt` reduced to its frontier, `wr`
/// by values, `ww` and `rw` by the orders that data prove (E1 to E3 and the order of lists).
///
/// Failed operations and values written more than once have no edges.
pub fn dependencies(history: &History, txns: &[TxnId]) -> Dependencies {
    let mut operations: Vec<TxnId> =
        txns.iter().copied().filter(|txn| history.txn(*txn).kind() != Kind::Fail).collect();
    operations.sort_unstable();
    operations.dedup();
    let mut inference = Inference {
        history,
        writers: Writers::new(history, operations.iter().copied()),
        operations: &operations,
        arcs: Vec::new(),
    };
    inference.session_order();
    inference.real_time_order();
    inference.versions();
    let graph = Graph::new(operations.len(), &inference.arcs);
    Dependencies { operations, graph }
}

/// The real-time order of operations given as `(invoked, returned, name)`, in order of invocation,
/// reduced: `pair(a, b)` is called for `a` before `b` unless some `c` lies between.
pub fn real_time_frontier(intervals: &[(u32, u32, u32)], mut pair: impl FnMut(u32, u32)) {
    let mut by_return: Vec<(u32, u32, u32)> =
        intervals.iter().map(|(invoked, returned, name)| (*returned, *invoked, *name)).collect();
    by_return.sort_unstable();
    let mut returns = by_return.into_iter().peekable();
    // Returned operations after whose return no returned operation was invoked, by their return.
    let mut frontier: VecDeque<(u32, u32)> = VecDeque::new();
    for (invoked, _, name) in intervals {
        while let Some((returned, began, one)) = returns.next_if(|next| next.0 < *invoked) {
            while frontier.front().is_some_and(|(ended, _)| *ended < began) {
                frontier.pop_front();
            }
            frontier.push_back((returned, one));
        }
        for (_, before) in &frontier {
            pair(*before, *name);
        }
    }
}

struct Inference<'h> {
    history: &'h History,
    writers: Writers,
    operations: &'h [TxnId],
    arcs: Vec<Arc>,
}

impl Inference<'_> {
    fn add(&mut self, from: u32, to: u32, edge: Edge) {
        if from != to {
            self.arcs.push(Arc { from, to, kinds: edge as u8 });
        }
    }

    fn session_order(&mut self) {
        let mut last: BTreeMap<u32, u32> = BTreeMap::new();
        for (node, txn) in (0..).zip(self.operations) {
            let txn = self.history.txn(*txn);
            if let Some(before) = last.get(&txn.session().0) {
                self.add(*before, node, Edge::So);
            }
            if txn.is_ok() {
                last.insert(txn.session().0, node);
            }
        }
    }

    fn real_time_order(&mut self) {
        let intervals: Vec<(u32, u32, u32)> = (0..)
            .zip(self.operations)
            .map(|(node, txn)| {
                let txn = self.history.txn(*txn);
                (txn.invoked().0, txn.returned().0, node)
            })
            .collect();
        real_time_frontier(&intervals, |from, to| self.add(from, to, Edge::Rt));
    }

    /// The node that wrote a value, if it is the only one.
    fn writer(&self, key: KeyId, value: ValueId) -> Option<u32> {
        let txn =
            self.writers.first(key, value).filter(|_| !self.writers.is_ambiguous(key, value))?;
        self.operations.binary_search(&txn).ok().map(|node| node as u32)
    }

    fn versions(&mut self) {
        // Who wrote each key at all, and who directly follows each version, as far as data prove it.
        let mut writes: BTreeMap<KeyId, Vec<(u32, ValueId)>> = BTreeMap::new();
        let mut next: BTreeMap<(KeyId, ValueId), Vec<u32>> = BTreeMap::new();
        for (node, txn) in (0..).zip(self.operations) {
            let txn = self.history.txn(*txn);
            for access in txn.accesses() {
                if writes_value(self.history, access) {
                    writes.entry(access.key).or_default().push((node, access.value));
                }
                if txn.is_ok() && reads_value(self.history, access) {
                    let updates = txn
                        .accesses()
                        .any(|one| one.key == access.key && writes_value(self.history, one));
                    let register = self.history.datatype(access.key) == Datatype::Register;
                    if updates && register {
                        next.entry((access.key, access.value)).or_default().push(node);
                    }
                }
            }
        }
        for (node, txn) in (0..).zip(self.operations) {
            let txn = self.history.txn(*txn);
            if !txn.is_ok() {
                continue;
            }
            for access in txn.accesses().filter(|access| reads_value(self.history, *access)) {
                let key = access.key;
                let sources: Vec<Option<u32>> = observed(self.history, access)
                    .into_iter()
                    .map(|value| self.writer(key, value))
                    .collect();
                for source in sources.iter().flatten() {
                    self.add(*source, node, Edge::Wr);
                }
                match self.history.datatype(key) {
                    Datatype::Register if access.value == ValueId::NULL => {
                        for (later, _) in writes.get(&key).into_iter().flatten() {
                            self.add(node, *later, Edge::Rw);
                        }
                    }
                    Datatype::Register => {
                        for later in next.get(&(key, access.value)).into_iter().flatten() {
                            self.add(node, *later, Edge::Rw);
                            if let Some(Some(source)) = sources.first() {
                                self.add(*source, *later, Edge::Ww);
                            }
                        }
                    }
                    datatype => {
                        for (missing, _) in writes.get(&key).into_iter().flatten() {
                            if !sources.contains(&Some(*missing)) {
                                self.add(node, *missing, Edge::Rw);
                            }
                        }
                        if datatype == Datatype::List {
                            for pair in sources.windows(2) {
                                if let [Some(one), Some(other)] = pair {
                                    self.add(*one, *other, Edge::Ww);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
