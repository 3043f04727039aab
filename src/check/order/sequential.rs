//! Sequential consistency of all keys together (Lamport 1979).

use std::collections::BTreeMap;

use crate::check::infer::dependencies;
use crate::check::order::closure::closed;
use crate::check::order::coherence::{Meetings, circles, meetings};
use crate::check::order::frontier::has_order;
use crate::check::order::line::{Line, Shape, shape};
use crate::check::order::network::Network;
use crate::check::order::search::{Outcome, search};
use crate::check::order::shrink::shrink;
use crate::check::order::{Part, fewer_reads};
use crate::check::words::{deed, session_name};
use crate::check::writers::Writers;
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::graph::{CycleSpec, Graph, components, shortest_cycle, topological_order};
use crate::history::{History, KeyId, TxnId};
use crate::model::Function;

/// The verdict on SEQ of a coherent history, by the parts of its keys. An order that was found proves
/// nothing where there is a `doubt`.
pub(super) fn sequential(
    history: &History,
    limits: &Limits,
    writers: &Writers,
    parts: Vec<Part>,
    doubt: Option<&str>,
    nothing: &str,
) -> Verdict {
    let problem = Problem { history, limits, writers };
    let (mut lines, mut is_open) = (Vec::new(), false);
    for part in parts {
        match part {
            Part::Silent => {}
            Part::Line(line, meetings) => lines.push((line, meetings)),
            Part::Open => is_open = true,
            Part::Unknown(reason) => return Verdict::unknown(Property::Seq, reason),
        }
    }
    if lines.is_empty() && !is_open {
        return Verdict::unknown(Property::Seq, nothing);
    }
    if is_open {
        return problem.searched();
    }
    complete(history, &mut lines);
    match problem.decide(&lines, limits.search_steps) {
        Some(Decision::Exists) => match doubt {
            Some(reason) => Verdict::unknown(Property::Seq, reason),
            None => Verdict::valid(Property::Seq),
        },
        Some(Decision::Impossible(core)) => {
            let anomaly = problem.anomaly(&lines, &core);
            Verdict::invalid(Property::Seq, vec![anomaly])
        }
        None => {
            let reason = "neither an order of all operations nor a contradiction was found in time";
            Verdict::unknown(Property::Seq, reason)
        }
    }
}

enum Decision {
    /// There is an order.
    Exists,
    /// There is none; these operations may be enough to prove it.
    Impossible(Vec<TxnId>),
}

struct Problem<'h> {
    history: &'h History,
    limits: &'h Limits,
    writers: &'h Writers,
}

impl Problem<'_> {
    fn decide(&self, lines: &[(Line, Meetings)], mut steps: u64) -> Option<Decision> {
        let parts: Vec<_> =
            lines.iter().map(|(line, met)| (line, met.changes.as_slice())).collect();
        let mut network = Network::new(self.history, &parts);
        if network.has_obvious_order() {
            return Some(Decision::Exists);
        }
        let graph = network.graph();
        if topological_order(&graph).is_none() {
            return Some(Decision::Impossible(core(&network, &graph, lines)));
        }
        drop(graph);
        let Some(_) = network.saturate(steps.saturating_mul(30)) else {
            return Some(Decision::Impossible(network.operations));
        };
        if network.has_obvious_order() {
            return Some(Decision::Exists);
        }
        let exists = has_order(&network, &network.graph(), &mut steps)?;
        Some(if exists { Decision::Exists } else { Decision::Impossible(network.operations) })
    }

    /// Whether there is no order of some operations alone.
    fn is_violation(&self, txns: &[TxnId]) -> bool {
        let mut by_key: BTreeMap<KeyId, Vec<TxnId>> = BTreeMap::new();
        for id in txns {
            for access in self.history.txn(*id).accesses() {
                let of_key = by_key.entry(access.key).or_default();
                if of_key.last() != Some(id) {
                    of_key.push(*id);
                }
            }
        }
        let mut lines = Vec::new();
        for (key, txns) in by_key {
            match shape(self.history, self.writers, key, &txns) {
                Shape::Silent => {}
                Shape::Broken(..) => return true,
                Shape::Open(_) | Shape::Unknown(_) => return false,
                Shape::Line(line) => {
                    let met = meetings(self.history, &line);
                    lines.push((line, met));
                }
            }
        }
        complete(self.history, &mut lines);
        let is_incoherent = |(line, met): &(Line, Meetings)| {
            !met.backwards.is_empty() || !circles(line, &met.changes).is_empty()
        };
        if lines.iter().any(is_incoherent) {
            return true;
        }
        matches!(self.decide(&lines, 100_000), Some(Decision::Impossible(_)))
    }

    fn anomaly(&self, lines: &[(Line, Meetings)], core: &[TxnId]) -> Anomaly {
        let mut seen_by = BTreeMap::new();
        for (line, _) in lines {
            seen_by.extend(&line.seen_by);
        }
        let whole = |txns: &[TxnId]| closed(self.history, self.writers, &seen_by, txns);
        // Writes of lists and sets are ordered by what was read of them.
        let last = |(line, _): &(Line, Meetings)| {
            let reads = line.slots.iter().filter(|(_, slot)| slot.layer % 2 == 1);
            reads.max_by_key(|(_, slot)| slot.layer).map(|(id, _)| *id)
        };
        let mut candidate = whole(core);
        if !self.is_violation(&candidate) {
            let touched = |id: &TxnId| self.history.txn(*id).accesses().map(|one| one.key);
            let keys: Vec<KeyId> = candidate.iter().flat_map(touched).collect();
            let of = lines.iter().filter(|(line, _)| keys.contains(&line.key)).filter_map(last);
            candidate = whole(&[candidate.clone(), of.collect()].concat());
            if !self.is_violation(&candidate) {
                let all = lines.iter().flat_map(|(line, _)| &line.slots).map(|(id, _)| *id);
                candidate = whole(&all.collect::<Vec<TxnId>>());
            }
        }
        // As many attempts as cost about as much as the decision did.
        let attempts = (20_000_000 / (candidate.len() as u64 + 1)).clamp(4, 1000) as u32;
        let is_violation = |txns: &[TxnId]| self.is_violation(txns);
        let operations = shrink(candidate, attempts, whole, is_violation);
        self.told(operations)
    }

    fn told(&self, operations: Vec<TxnId>) -> Anomaly {
        let cycle = cycle(self.history, &operations);
        const SHOWN: usize = 6;
        let mut phrases: Vec<String> = operations
            .iter()
            .map(|id| self.history.txn(*id))
            .map(|txn| {
                format!("{} {}", session_name(self.history, txn), deed(self.history, txn, None))
            })
            .take(SHOWN)
            .collect();
        if operations.len() > SHOWN {
            phrases.push(format!("and {} more", operations.len() - SHOWN));
        }
        let sentence = format!("no single order agrees with all sessions: {}", phrases.join("; "));
        Anomaly {
            property: Property::Seq,
            kind: "no-sequential-order",
            set: vec![Property::Seq],
            key: None,
            session: None,
            operations,
            cycle,
            assumes: Vec::new(),
            sentence,
        }
    }

    /// The general search over all operations.
    fn searched(&self) -> Verdict {
        let outcome = |txns: &[TxnId], mut steps: u64| search(self.history, txns, None, &mut steps);
        let txns: Vec<TxnId> = self.history.txns().map(|txn| txn.id).collect();
        match outcome(&txns, self.limits.search_steps) {
            Outcome::Found => Verdict::valid(Property::Seq),
            Outcome::Open => {
                Verdict::unknown(Property::Seq, "no order of all operations was found in time")
            }
            Outcome::Impossible => {
                let is_violation = |txns: &[TxnId]| outcome(txns, 100_000) == Outcome::Impossible;
                let operations = fewer_reads(self.history, &txns, is_violation);
                Verdict::invalid(Property::Seq, vec![self.told(operations)])
            }
        }
    }
}

/// Completes lines that were made key by key: an indeterminate transaction that somebody saw on one
/// key took place on all.
fn complete(history: &History, lines: &mut [(Line, Meetings)]) {
    let mut seen: BTreeMap<KeyId, Vec<(TxnId, TxnId)>> = BTreeMap::new();
    for (id, seer) in lines.iter().flat_map(|(line, _)| &line.seen_by) {
        let accesses = history.txn(*id).accesses();
        if accesses.len() > 1 {
            for access in accesses.filter(|access| access.function != Function::Read) {
                seen.entry(access.key).or_default().push((*id, *seer));
            }
        }
    }
    for (line, met) in lines {
        let writes = seen.get(&line.key);
        if writes.is_some_and(|writes| line.add_unseen(history, writes)) {
            *met = meetings(history, line);
        }
    }
}

/// The operations of a shortest circle of the network, and those that prove its edges.
fn core(network: &Network, graph: &Graph, lines: &[(Line, Meetings)]) -> Vec<TxnId> {
    let components = components(graph);
    let cyclic = components.cyclic();
    let Some(circle) = cyclic
        .iter()
        .min_by_key(|members| members.len())
        .and_then(|members| shortest_cycle(graph, &components, members, CycleSpec::ANY))
    else {
        return network.operations.clone();
    };
    let mut operations: Vec<TxnId> =
        circle.iter().filter_map(|node| network.operations.get(*node as usize)).copied().collect();
    let by_begin: BTreeMap<u32, usize> =
        network.chains.iter().enumerate().map(|(at, chain)| (chain.begin, at)).collect();
    let by_end: BTreeMap<u32, usize> =
        network.chains.iter().enumerate().map(|(at, chain)| (chain.end, at)).collect();
    for pair in circle.iter().zip(circle.iter().cycle().skip(1)) {
        let (Some(one), Some(other)) = (by_end.get(pair.0), by_begin.get(pair.1)) else { continue };
        let line = network.chains[*one].line as usize;
        let first = network.lines[line] as usize;
        let met = lines[line].1.changes.iter().find(|met| {
            first + met.before.1.chain as usize == *one
                && first + met.after.1.chain as usize == *other
        });
        operations.extend(met.iter().flat_map(|met| [met.before.0, met.after.0]));
    }
    operations
}

/// A cycle among operations by what data prove of them pair by pair, if there is one.
fn cycle(history: &History, operations: &[TxnId]) -> Vec<Step> {
    let dependencies = dependencies(history, operations);
    let kinds = [Edge::Wr, Edge::So, Edge::Rw, Edge::Ww];
    let through = kinds.iter().fold(0, |bits, edge| bits | *edge as u8);
    let graph = &dependencies.graph;
    let arcs = (0..graph.len() as u32).flat_map(|from| {
        graph.edges(from).filter_map(move |(to, kinds)| {
            let kinds = kinds & through;
            (kinds != 0).then_some(crate::graph::Arc { from, to, kinds })
        })
    });
    let graph = Graph::new(graph.len(), &arcs.collect::<Vec<_>>());
    let components = components(&graph);
    let cyclic = components.cyclic();
    let found = cyclic
        .iter()
        .filter_map(|members| shortest_cycle(&graph, &components, members, CycleSpec::ANY))
        .min_by_key(Vec::len);
    let Some(nodes) = found else { return Vec::new() };
    let step = |(from, to): (&u32, &u32)| {
        let edge = kinds.into_iter().find(|edge| graph.kinds(*from, *to) & *edge as u8 != 0);
        let (one, other) =
            (dependencies.operations[*from as usize], dependencies.operations[*to as usize]);
        let edge = edge.unwrap_or(Edge::So);
        let (a, b) = (history.txn(one).index(), history.txn(other).index());
        let why = match edge {
            Edge::Wr => format!("#{b} read what #{a} wrote"),
            Edge::Rw => format!("#{a} did not see what #{b} wrote"),
            Edge::Ww => format!("#{b} wrote the version after that of #{a}"),
            _ => format!("{} did #{a} before #{b}", session_name(history, history.txn(one))),
        };
        Step { from: one, to: other, edge, why }
    };
    nodes.iter().zip(nodes.iter().cycle().skip(1)).map(step).collect()
}
