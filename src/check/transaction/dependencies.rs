//! The typed dependencies between committed transactions (specification 1.4).

use crate::check::infer::real_time_frontier;
use crate::check::transaction::{Committed, Source, Versions};
use crate::check::writers::Writers;
use crate::check::{Edge, Limits};
use crate::graph::{Arc, Graph};
use crate::history::{History, KeyId};

use super::versions::Known;

/// What must come before what among the nodes of [`Committed`].
pub struct Dependencies {
    /// The edges; their kinds are the bits of [`Edge`]. `ww` and `rw` are those that the known orders
    /// of versions prove, `so` is one edge a transaction, `rt` is reduced to its frontier.
    pub graph: Graph,
    /// What is known of each key.
    pub keys: Vec<Known>,
    /// The contradictions in the evidence for registers: the key, and the nodes that wrote the
    /// versions of a cycle.
    pub cyclic: Vec<(KeyId, Vec<u32>)>,
}

impl Dependencies {
    /// Infers them. Values written more than once have no edges, and a key whose reads or evidence
    /// contradict themselves has `wr` edges only.
    pub(in crate::check) fn new(
        history: &History,
        writers: &Writers,
        committed: &Committed,
        limits: &Limits,
    ) -> Self {
        let Versions { keys, mut arcs, cyclic } =
            Versions::new(history, writers, committed, limits);
        for node in 0..committed.len() as u32 {
            for read in committed.reads(node) {
                if let Source::Node(from) = read.source
                    && from != node
                {
                    arcs.push(Arc { from, to: node, kinds: Edge::Wr as u8 });
                }
            }
        }
        session_order(history, committed, &mut arcs);
        let intervals: Vec<(u32, u32, u32)> = (0..)
            .zip(&committed.txns)
            .map(|(node, txn)| {
                let txn = history.txn(*txn);
                (txn.invoked().0, txn.returned().0, node)
            })
            .collect();
        real_time_frontier(&intervals, |from, to| {
            arcs.push(Arc { from, to, kinds: Edge::Rt as u8 });
        });
        Self { graph: Graph::new(committed.len(), &arcs), keys, cyclic }
    }
}

/// One edge a transaction, from the one before it in its session; none out of an indeterminate one,
/// which may take effect later (specification 1.2.4).
fn session_order(history: &History, committed: &Committed, arcs: &mut Vec<Arc>) {
    let mut last = vec![u32::MAX; history.session_count()];
    for (node, txn) in (0..).zip(&committed.txns) {
        let txn = history.txn(*txn);
        let last = &mut last[txn.session().index()];
        if *last != u32::MAX {
            arcs.push(Arc { from: *last, to: node, kinds: Edge::So as u8 });
        }
        if txn.is_ok() {
            *last = node;
        }
    }
}
