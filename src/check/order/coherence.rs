//! Coherence of one key: are its chains met in one order by all sessions?
//!
//! A session that meets first one chain and then another puts them in this order. There is a legal
//! order of the operations of the key if and only if no session goes back to an earlier layer of a
//! chain and the order of the chains has no cycle: then the chains can be laid out one after the
//! other. Linear time.

use rustc_hash::FxHashMap;

use crate::check::order::line::{Line, Slot};
use crate::check::words::{deed, key_name, session_name};
use crate::check::{Edge, Step};
use crate::graph::{Arc, CycleSpec, Graph, components, shortest_cycle};
use crate::history::{History, SessionId, TxnId};

/// A session that met the chain of the first operation before that of the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met {
    pub(super) before: (TxnId, Slot),
    pub(super) after: (TxnId, Slot),
}

/// What the sessions make of the order of one key.
#[derive(Debug, Default)]
pub(super) struct Meetings {
    /// Changes from chain to chain, without those from the initial one.
    pub(super) changes: Vec<Met>,
    /// What no order allows.
    pub(super) backwards: Vec<Met>,
}

/// Follows every session through a key.
pub(super) fn meetings(history: &History, line: &Line) -> Meetings {
    let mut last: FxHashMap<SessionId, (TxnId, Slot)> = FxHashMap::default();
    let mut meetings = Meetings::default();
    for (id, slot) in &line.slots {
        let txn = history.txn(*id);
        if let Some(before) = last.get(&txn.session()).copied() {
            let met = Met { before, after: (*id, *slot) };
            if before.1.chain != slot.chain && before.1.chain != 0 && slot.chain != 0 {
                meetings.changes.push(met);
            } else if *slot < before.1 {
                meetings.backwards.push(met);
            }
        }
        if txn.is_ok() {
            last.insert(txn.session(), (*id, *slot));
        }
    }
    meetings
}

/// The chains that sessions put into a circle: one shortest circle for each group of chains.
pub(super) fn circles(line: &Line, changes: &[Met]) -> Vec<Vec<Met>> {
    let arc = |met: &Met| Arc { from: met.before.1.chain, to: met.after.1.chain, kinds: 1 };
    let arcs: Vec<Arc> = changes.iter().map(arc).collect();
    let graph = Graph::new(line.layers.len(), &arcs);
    let components = components(&graph);
    let circle = |members: &Vec<u32>| {
        let chains = shortest_cycle(&graph, &components, members, CycleSpec::ANY)?;
        let pairs = chains.iter().zip(chains.iter().cycle().skip(1));
        let met = |(from, to): (&u32, &u32)| {
            let is_it = |met: &&Met| met.before.1.chain == *from && met.after.1.chain == *to;
            changes.iter().find(is_it).copied()
        };
        pairs.map(met).collect::<Option<Vec<Met>>>()
    };
    components.cyclic().iter().filter_map(circle).collect()
}

/// The contradiction of a session that went back within a chain, or to the initial one: as a cycle
/// and as a sentence.
pub(super) fn backward(history: &History, line: &Line, met: Met) -> (Vec<Step>, String) {
    let ((before, later), (after, earlier)) = (met.before, met.after);
    let (one, other) = (history.txn(before), history.txn(after));
    let name = |id: TxnId| format!("#{}", history.txn(id).index());
    let step = |from: TxnId, edge: Edge, to: TxnId, why: String| Step { from, to, edge, why };
    let mut cycle = vec![so(history, before, after)];
    let is_write = |slot: Slot| slot.layer.is_multiple_of(2);
    // The first write after the layer to which the session went back.
    let is_between = |slot: &Slot| {
        slot.chain == later.chain
            && is_write(*slot)
            && (slot.chain != earlier.chain || slot.layer > earlier.layer)
            && *slot <= later
    };
    let between = line.slots.iter().filter(|(_, slot)| is_between(slot)).min_by_key(|one| one.1);
    if let Some((write, _)) = between {
        let edge = if is_write(earlier) { Edge::Ww } else { Edge::Rw };
        let why = format!("{} does not reflect {}", name(after), name(*write));
        cycle.push(step(after, edge, *write, why));
        if *write != before {
            let edge = if is_write(later) { Edge::Ww } else { Edge::Wr };
            let why = format!("{} came before or with what {} shows", name(*write), name(before));
            cycle.push(step(*write, edge, before, why));
        }
    } else {
        let why = format!("{} read what {} wrote", name(before), name(after));
        cycle.push(step(after, Edge::Wr, before, why));
    }
    let sentence = format!(
        "{} {} and then {}, which no order of the writes of {} allows",
        session_name(history, one),
        deed(history, one, Some(line.key)),
        deed(history, other, Some(line.key)),
        key_name(history, line.key),
    );
    (cycle, sentence)
}

/// The contradiction of sessions that met chains in a circle.
pub(super) fn circle(history: &History, line: &Line, circle: &[Met]) -> (Vec<Step>, String) {
    // The write of each version, to name it by.
    let writer = |slot: Slot| {
        let of = Slot { layer: slot.layer & !1, ..slot };
        line.slots.iter().find(|(_, slot)| *slot == of).map(|(id, _)| *id)
    };
    let mut cycle = Vec::new();
    for (at, met) in circle.iter().enumerate() {
        let next = circle[(at + 1) % circle.len()].before;
        let (Some(from), Some(to)) = (writer(met.before.1), writer(met.after.1)) else { continue };
        let why = format!(
            "{} {} and then {}",
            session_name(history, history.txn(met.before.0)),
            deed(history, history.txn(met.before.0), Some(line.key)),
            deed(history, history.txn(met.after.0), Some(line.key)),
        );
        cycle.push(Step { from, to, edge: Edge::Ww, why });
        if let Some(then) = writer(next.1).filter(|then| *then != to) {
            let why = format!(
                "updates made one of the other, #{} and #{}: nothing stands between",
                history.txn(to).index(),
                history.txn(then).index()
            );
            cycle.push(Step { from: to, to: then, edge: Edge::Ww, why });
        }
    }
    let orders: Vec<String> = circle
        .iter()
        .map(|met| {
            format!(
                "{} {} and then {}",
                session_name(history, history.txn(met.before.0)),
                deed(history, history.txn(met.before.0), Some(line.key)),
                deed(history, history.txn(met.after.0), Some(line.key)),
            )
        })
        .collect();
    let sentence = format!(
        "no single order of the writes of {} suits all sessions: {}",
        key_name(history, line.key),
        orders.join("; ")
    );
    (cycle, sentence)
}

/// A step along a session.
pub(super) fn so(history: &History, from: TxnId, to: TxnId) -> Step {
    let (one, other) = (history.txn(from), history.txn(to));
    let session = session_name(history, one);
    let why = format!("{session} did #{} before #{}", one.index(), other.index());
    Step { from, to, edge: Edge::So, why }
}
