//! Why a level of isolation is violated by what a transaction did not see.

use std::collections::VecDeque;

use crate::check::transaction::evidence::{Evidence, INITIAL, NONE};
use crate::check::transaction::visibility::{IMPLIED, Implied, Sight};
use crate::check::words::{deed, key_name};
use crate::check::{Anomaly, Edge, Property, Step};
use crate::graph::Graph;

/// The proof that a cycle of certain and implied edges is; `implied` holds the reasons of the latter.
pub(super) fn anomaly(
    evidence: &Evidence<'_>,
    property: Property,
    sight: Sight,
    graph: &Graph,
    nodes: &[u32],
    implied: &[Implied],
) -> Anomaly {
    let words = Words { evidence, sight };
    let mut all: Vec<u32> = nodes.to_vec();
    let mut steps = Vec::new();
    let mut key = None;
    for (at, from) in nodes.iter().enumerate() {
        let to = nodes[(at + 1) % nodes.len()];
        let kinds = graph.kinds(*from, to);
        let reason = implied.iter().find(|one| (one.earlier, one.later) == (*from, to));
        let step = match reason.filter(|_| kinds == IMPLIED) {
            Some(reason) => {
                all.extend(words.path(reason));
                key.get_or_insert(reason.key);
                words.implied(reason)
            }
            None => words.certain(*from, to, kinds),
        };
        steps.push(step);
    }
    let reasons: Vec<&str> = steps.iter().map(|step| step.why.as_str()).collect();
    let sentence = format!("Not {}: {}.", property.name(), reasons.join(", and "));
    let kind = if key.is_some() { "overwritten-read" } else { "dependency-cycle" };
    words.anomaly(property, kind, key, all, steps, sentence)
}

/// The proof that a transaction read an initial version although it had seen a writer.
pub(super) fn initial(
    evidence: &Evidence<'_>,
    property: Property,
    sight: Sight,
    implied: Implied,
) -> Anomaly {
    let words = Words { evidence, sight };
    let all = words.path(&implied);
    let sentence = format!(
        "Not {}: one {}, although it had seen {}, which wrote {}.",
        property.name(),
        words.deed(implied.reader, implied.key),
        words.name(implied.earlier),
        words.key(implied.key)
    );
    words.anomaly(property, "unseen-write", Some(implied.key), all, Vec::new(), sentence)
}

struct Words<'e> {
    evidence: &'e Evidence<'e>,
    sight: Sight,
}

impl Words<'_> {
    fn anomaly(
        &self,
        property: Property,
        kind: &'static str,
        key: Option<u32>,
        mut all: Vec<u32>,
        cycle: Vec<Step>,
        sentence: String,
    ) -> Anomaly {
        all.sort_unstable();
        all.dedup();
        let mut operations: Vec<_> =
            all.iter().map(|node| self.evidence.txns[*node as usize]).collect();
        for step in cycle.iter().filter(|step| step.edge == Edge::Ww) {
            operations.extend(self.evidence.order_shown_by(step.from, step.to));
        }
        operations.sort_unstable();
        operations.dedup();
        let history = self.evidence.history;
        Anomaly {
            property,
            kind,
            set: vec![property],
            key: key.map(|key| self.evidence.keys[key as usize]),
            session: operations.last().map(|txn| history.txn(*txn).session()),
            operations,
            cycle,
            assumes: Vec::new(),
            sentence,
        }
    }

    /// The transactions through which a reader has seen a writer, both included.
    fn path(&self, implied: &Implied) -> Vec<u32> {
        let mut came = rustc_hash::FxHashMap::default();
        let mut queue = VecDeque::from([implied.reader]);
        let is_far = matches!(self.sight, Sight::Causal | Sight::CausalAndSession);
        while let Some(node) = queue.pop_front() {
            if node == implied.earlier || (!is_far && node != implied.reader) {
                continue;
            }
            let previous = self.evidence.previous[node as usize];
            let session = (self.sight.is_along_sessions() && previous != NONE).then_some(previous);
            let sources = self.evidence.all_reads(node).iter().map(|read| read.from);
            for before in session.into_iter().chain(sources.filter(|from| *from != INITIAL)) {
                came.entry(before).or_insert_with(|| {
                    queue.push_back(before);
                    node
                });
            }
        }
        let mut path = vec![implied.earlier];
        let mut at = implied.earlier;
        while let Some(next) = came.get(&at).copied().filter(|_| at != implied.reader) {
            path.push(next);
            at = next;
        }
        path.push(implied.reader);
        path
    }

    fn implied(&self, reason: &Implied) -> Step {
        let why = format!(
            "one {}, which {} wrote, although it had seen {}, which wrote {} as well",
            self.deed(reason.reader, reason.key),
            self.name(reason.later),
            self.name(reason.earlier),
            self.key(reason.key)
        );
        let txn = |node: u32| self.evidence.txns[node as usize];
        Step { from: txn(reason.earlier), to: txn(reason.later), edge: Edge::Ww, why }
    }

    fn certain(&self, from: u32, to: u32, kinds: u8) -> Step {
        let (one, other) = (self.name(from), self.name(to));
        let (edge, why) = if kinds & Edge::Wr as u8 != 0 {
            let reads = self.evidence.all_reads(to).iter();
            let read = reads.filter(|read| read.from == from).map(|read| read.key).next();
            let what = read.map_or_else(|| other.clone(), |key| self.deed(to, key));
            (Edge::Wr, format!("{one} was seen by one that {what}"))
        } else if kinds & Edge::So as u8 != 0 {
            (Edge::So, format!("{one} comes before {other} in its session"))
        } else {
            (Edge::Ww, format!("{one} appended to a list before {other}"))
        };
        let txn = |node: u32| self.evidence.txns[node as usize];
        Step { from: txn(from), to: txn(to), edge, why }
    }

    fn deed(&self, node: u32, key: u32) -> String {
        let history = self.evidence.history;
        let txn = history.txn(self.evidence.txns[node as usize]);
        deed(history, txn, Some(self.evidence.keys[key as usize]))
    }

    fn name(&self, node: u32) -> String {
        format!("#{}", self.evidence.history.txn(self.evidence.txns[node as usize]).index())
    }

    fn key(&self, key: u32) -> String {
        key_name(self.evidence.history, self.evidence.keys[key as usize])
    }
}
