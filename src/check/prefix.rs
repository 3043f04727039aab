//! Consistent prefix (CP), and of sessions (CP-S): every read shows a prefix of one order of all
//! writes (Terry 2013; ANOMALIES section 3).
//!
//! That order extends session order among writes, and puts a write after what its session had read.
//! A read that shows `w` but not `w'` puts `w` before `w'`. For lists, sets and registers that are
//! written once this is all there is to it: such an order exists if and only if there is no cycle.
//! Instead of an edge for every such pair the graph has nodes for versions: all elements of a version
//! come before it, a read lies between the version it saw and the elements this one is missing.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::causal::{closed, from_nowhere, written_twice};
use crate::check::session::model::{Findings, Model, NO_SESSION, Read};
use crate::check::single_objects::{has_mixed_transactions, undecided};
use crate::check::words::{deed, key_name, session_name};
use crate::check::writers::Writers;
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::graph::{Arc, CycleSpec, Graph, components, shortest_cycle};
use crate::history::{Datatype, History, KeyId};

const PROPERTIES: [Property; 2] = [Property::Cp, Property::CpS];

/// Judges CP and CP-S; no verdict where there is no register, list or set.
///
/// Exact for lists, sets and registers that are written at most once. Of registers that are written
/// again the versions are not ordered: CP is exact where they are read one at a time and not updated,
/// for each version is shown by some prefix; for the rest nothing holds for certain. O(n + total length of distinct versions).
pub fn check(history: &History, limits: &Limits) -> Vec<Verdict> {
    let traced =
        |key| matches!(history.datatype(key), Datatype::Register | Datatype::List | Datatype::Set);
    if !history.keys().any(traced) {
        return Vec::new();
    }
    if has_mixed_transactions(history) {
        return [Property::Cp, Property::CpS].map(undecided).to_vec();
    }
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let mut findings = Findings::default();
    let model = Model::new(history, &writers, &mut findings);
    let nowhere = from_nowhere(history, &writers, &findings);
    let keep = limits.anomalies.max(1);
    let order = Order::new(history, &model);
    let reason = findings.reason(history).or_else(|| written_twice(history)).or_else(|| {
        (!model.has_reads())
            .then(|| "no reads of registers, lists or sets in this history".to_owned())
    });
    let verdict = |property: Property| {
        let mut anomalies: Vec<Anomaly> =
            nowhere.iter().map(|one| Anomaly { property, ..one.clone() }).collect();
        anomalies.extend(order.anomalies(property, keep));
        let count = anomalies.len() as u64;
        anomalies.truncate(keep);
        let undecided = match property {
            Property::Cp => order.entangled,
            _ => order.overwritten,
        };
        let undecided = undecided.map(|key| overwritten(history, key));
        match reason.clone().or(undecided) {
            _ if count > 0 => Verdict { count, ..Verdict::invalid(property, anomalies) },
            Some(reason) => Verdict::unknown(property, reason),
            None => Verdict::valid(property),
        }
    };
    PROPERTIES.map(verdict).into()
}

fn overwritten(history: &History, key: KeyId) -> String {
    format!(
        "{} is a register that was written more than once: a prefix that shows one of its versions is not told \
         from others by pairs of writes",
        key_name(history, key)
    )
}

/// What comes before what, in the order of all writes.
///
/// ```text
/// elements → after(v1) → a read of v1 → until(v1) → further elements → after(v2) → …
/// ```
struct Order<'o> {
    history: &'o History,
    model: &'o Model,
    /// Whether no transaction wrote a key twice: then a write is one element.
    is_single: bool,
    /// A register that was written more than once and read with other keys, or updated.
    entangled: Option<KeyId>,
    /// A register that was written more than once and read.
    overwritten: Option<KeyId>,
    arcs: Vec<Arc>,
    /// The operation of each node: operations first, then nodes of versions, then places of reads.
    operation: Vec<Option<u32>>,
    /// The arcs that make the prefixes of a session grow.
    growth: Vec<Arc>,
    /// Reads that no order explains, whatever others say: the key, one or two reads, what is wrong.
    alone: Vec<(KeyId, Vec<u32>, &'static str, &'static str)>,
    /// For a write that others read: a reader of the smallest version that shows it.
    reader: FxHashMap<u32, u32>,
}

/// What was seen of one key.
#[derive(Default)]
struct Versions {
    /// Every write that was read, in the order of the list, or as the sets grew.
    order: Vec<u32>,
    /// For each size of a version: the nodes after its elements and before what it is missing.
    nodes: BTreeMap<usize, (u32, u32)>,
    /// The same by where its sources lie.
    by_sources: FxHashMap<(usize, u32), (usize, u32, u32)>,
    /// Writes that no read shows.
    unseen: Vec<u32>,
}

impl<'o> Order<'o> {
    fn new(history: &'o History, model: &'o Model) -> Self {
        let mut order = Self {
            history,
            model,
            is_single: written_twice(history).is_none(),
            entangled: None,
            overwritten: None,
            arcs: Vec::new(),
            operation: (0..model.len() as u32).map(Some).collect(),
            growth: Vec::new(),
            alone: Vec::new(),
            reader: FxHashMap::default(),
        };
        let mut writes: BTreeMap<KeyId, Vec<u32>> = BTreeMap::new();
        let mut seen: BTreeMap<KeyId, Vec<(u32, Read)>> = BTreeMap::new();
        for op in 0..model.len() as u32 {
            for key in model.writes(op) {
                writes.entry(*key).or_default().push(op);
            }
            for read in reads(model, op) {
                seen.entry(read.key).or_default().push((op, *read));
            }
        }
        let mut keys = BTreeMap::new();
        for (key, reads) in seen {
            let writes = writes.remove(&key).unwrap_or_default();
            if reads[0].1.datatype == Datatype::Register && writes.len() > 1 {
                order.overwritten = Some(key);
                let alone = |op: u32| model.reads(op).len() == 1 && !model.is_write(op);
                if !reads.iter().all(|(op, _)| alone(*op)) {
                    order.entangled = Some(key);
                }
            } else {
                let versions = order.versions(key, &reads, &writes);
                keys.insert(key, versions);
            }
        }
        order.sessions(&keys);
        order
    }

    fn node(&mut self, operation: Option<u32>) -> u32 {
        self.operation.push(operation);
        self.operation.len() as u32 - 1
    }

    fn add(&mut self, from: u32, to: u32, edge: Edge) {
        self.arcs.push(Arc { from, to, kinds: edge as u8 });
    }

    /// The versions of a key, each a part of the next; where two are not, that is told at once.
    fn versions(&mut self, key: KeyId, reads: &[(u32, Read)], writes: &[u32]) -> Versions {
        let model = self.model;
        let is_list = reads[0].1.datatype == Datatype::List;
        let mut all: BTreeMap<(usize, u32), (u32, Read)> = BTreeMap::new();
        for (op, read) in reads {
            all.entry(name(model, read)).or_insert((*op, *read));
        }
        let mut versions = Versions::default();
        let mut shown: FxHashSet<u32> = FxHashSet::default();
        let mut largest: Option<(u32, Read)> = None;
        for (op, read) in all.into_values() {
            let sources = model.sources(&read);
            let before = shown.len();
            let distinct: FxHashSet<u32> = sources.iter().copied().collect();
            if is_list && self.is_single && distinct.len() < sources.len() {
                let sentence = "has an element twice that was appended once";
                self.alone.push((key, vec![op], "repeated-element", sentence));
                continue;
            }
            let extends = if is_list {
                let shares = largest.is_some_and(|(_, last)| last.start == read.start);
                let last = largest.map_or(&[][..], |(_, last)| model.sources(&last));
                shares || sources.starts_with(last)
            } else {
                distinct.iter().filter(|one| shown.contains(one)).count() == before
            };
            if let Some((other, _)) = largest.filter(|_| !extends) {
                let (kind, sentence) = if is_list {
                    ("incompatible-order", "is no prefix of the other, nor the other of it")
                } else {
                    (
                        "incompatible-sets",
                        "has an element that the other is missing, and the other way round",
                    )
                };
                self.alone.push((key, vec![other, op], kind, sentence));
                continue;
            }
            largest = Some((op, read));
            let size = distinct.len();
            if let Some((after, until)) = versions.nodes.get(&size).copied() {
                versions.by_sources.insert(name(model, &read), (size, after, until));
                continue;
            }
            let (after, until) = (self.node(None), self.node(None));
            let previous = versions.nodes.last_key_value().map(|(_, nodes)| *nodes);
            if let Some((previous, _)) = previous {
                self.add(previous, after, Edge::Wr);
            }
            for source in sources.iter().filter(|one| **one != u32::MAX) {
                if !shown.insert(*source) {
                    continue;
                }
                self.reader.entry(*source).or_insert(op);
                self.add(*source, after, Edge::Wr);
                if let Some((_, missing)) = previous {
                    self.add(missing, *source, Edge::Rw);
                }
                if let Some(last) = versions.order.last().filter(|_| is_list) {
                    self.add(*last, *source, Edge::Ww);
                }
                versions.order.push(*source);
            }
            versions.nodes.insert(size, (after, until));
            versions.by_sources.insert(name(model, &read), (size, after, until));
        }
        versions.unseen = writes.iter().copied().filter(|one| !shown.contains(one)).collect();
        if let Some((_, (_, until))) = versions.nodes.last_key_value() {
            let until = *until;
            for write in versions.unseen.clone() {
                self.add(until, write, Edge::Rw);
            }
        }
        versions
    }

    /// Session order, what its reads add to it, and where each read shows its prefix.
    fn sessions(&mut self, keys: &BTreeMap<KeyId, Versions>) {
        let model = self.model;
        for session in 0..model.session_count() as u32 {
            let (mut last, mut shown) = (None, None);
            for op in model.members(session) {
                if let Some(last) = last {
                    self.add(last, *op, Edge::So);
                }
                if model.ok[*op as usize] {
                    last = Some(*op);
                }
                let reads = reads(model, *op);
                if reads.is_empty() {
                    continue;
                }
                let is_write = model.is_write(*op);
                let place = if is_write { *op } else { self.node(Some(*op)) };
                for read in reads {
                    match keys.get(&read.key) {
                        Some(versions) => self.place(*op, place, read, versions),
                        None => {
                            for source in model.sources(read) {
                                self.add(*source, *op, Edge::Wr);
                                if place != *op {
                                    self.add(*source, place, Edge::Wr);
                                }
                            }
                        }
                    }
                }
                if !is_write && let Some(from) = shown.replace(place) {
                    self.growth.push(Arc { from, to: place, kinds: Edge::So as u8 });
                }
            }
        }
    }

    /// Puts a read between what it shows and what it is missing.
    fn place(&mut self, op: u32, place: u32, read: &Read, versions: &Versions) {
        let found = versions.by_sources.get(&name(self.model, read)).copied();
        let Some((size, after, until)) = found else { return };
        self.add(after, place, Edge::Wr);
        if place != op {
            self.add(after, op, Edge::Wr);
        }
        if !self.model.writes_key(op, read.key) {
            self.add(place, until, Edge::Rw);
            return;
        }
        // Its own write is missing by right: each of the others is named. In a list the next one
        // stands for all that follow.
        let further = versions.order.get(size..).unwrap_or_default();
        let (named, unseen): (&[u32], &[u32]) = match further.first() {
            Some(_) if read.datatype == Datatype::List => (&further[..1], &[]),
            _ => (further, &versions.unseen),
        };
        for missing in named.iter().chain(unseen).filter(|one| **one != op) {
            self.add(place, *missing, Edge::Rw);
        }
    }

    /// The proofs against a property, at most `keep` of each sort.
    fn anomalies(&self, property: Property, keep: usize) -> Vec<Anomaly> {
        let mut anomalies: Vec<Anomaly> =
            self.alone.iter().take(keep).map(|one| self.contradiction(property, one)).collect();
        let mut arcs = self.arcs.clone();
        if property == Property::CpS {
            arcs.extend_from_slice(&self.growth);
        }
        let graph = Graph::new(self.operation.len(), &arcs);
        let all = components(&graph);
        let mut cycles = all.cyclic();
        cycles.sort_by_key(Vec::len);
        let cycles = cycles
            .iter()
            .take(keep)
            .filter_map(|members| shortest_cycle(&graph, &all, members, CycleSpec::ANY));
        anomalies.extend(cycles.map(|cycle| self.cycle(property, &graph, &cycle)));
        if let Some(arc) = arcs.iter().find(|arc| arc.from == arc.to) {
            anomalies.push(self.cycle(property, &graph, &[arc.from]));
        }
        anomalies.truncate(keep);
        anomalies
    }

    fn contradiction(
        &self,
        property: Property,
        (key, ops, kind, sentence): &(KeyId, Vec<u32>, &'static str, &'static str),
    ) -> Anomaly {
        let phrase = |op: &u32| {
            let txn = self.history.txn(self.model.txns[*op as usize]);
            format!("{} {}", session_name(self.history, txn), deed(self.history, txn, Some(*key)))
        };
        let reads: Vec<String> = ops.iter().map(phrase).collect();
        Anomaly {
            property,
            kind,
            set: vec![property],
            key: Some(*key),
            session: None,
            operations: closed(self.model, ops.iter().copied()),
            cycle: Vec::new(),
            assumes: Vec::new(),
            sentence: format!("{}: it {sentence}", reads.join(", and ")),
        }
    }

    fn cycle(&self, property: Property, graph: &Graph, cycle: &[u32]) -> Anomaly {
        let mut steps = self.steps(graph, cycle);
        shorten(&mut steps);
        let mut operations: Vec<u32> = Vec::new();
        for (from, to, edge) in &steps {
            operations.extend([*from, *to]);
            if *edge == Edge::Ww {
                operations.extend(self.reader.get(to));
            }
        }
        let cycle: Vec<Step> =
            steps.iter().map(|(from, to, edge)| self.step(*from, *to, *edge)).collect();
        let reasons: Vec<&str> = cycle.iter().map(|step| step.why.as_str()).collect();
        let grows = if property == Property::CpS { " that grows along each session" } else { "" };
        Anomaly {
            property,
            kind: "no-common-prefix",
            set: vec![property],
            key: None,
            session: None,
            operations: closed(self.model, operations),
            sentence: format!(
                "no one sequence of all writes has every read as a prefix{grows}: {}",
                reasons.join("; ")
            ),
            cycle,
            assumes: Vec::new(),
        }
    }

    /// The edges between the operations of a cycle.
    fn steps(&self, graph: &Graph, cycle: &[u32]) -> Vec<(u32, u32, Edge)> {
        let begin = cycle.iter().position(|node| self.operation[*node as usize].is_some());
        let begin = begin.unwrap_or(0);
        let at = |place: usize| cycle[(begin + place) % cycle.len()];
        let mut steps = Vec::new();
        let mut from = self.operation[at(0) as usize];
        for place in 1..=cycle.len() {
            let Some(to) = self.operation[at(place) as usize] else { continue };
            let kinds = graph.kinds(at(place - 1), at(place));
            let edge =
                [Edge::So, Edge::Wr, Edge::Rw].into_iter().find(|one| kinds & *one as u8 != 0);
            if let Some(from) = from.replace(to) {
                steps.push((from, to, edge.unwrap_or(Edge::Ww)));
            }
        }
        steps
    }

    fn step(&self, from: u32, to: u32, edge: Edge) -> Step {
        let txn = |op: u32| self.history.txn(self.model.txns[op as usize]);
        let told = |op: u32| deed(self.history, txn(op), None);
        let (one, other) = (txn(from).index(), txn(to).index());
        let why = match edge {
            Edge::So => {
                format!("{} did #{one} before #{other}", session_name(self.history, txn(to)))
            }
            Edge::Rw => {
                format!("{} {} without #{other}", session_name(self.history, txn(from)), told(from))
            }
            Edge::Wr => {
                format!("{} {} with #{one}", session_name(self.history, txn(to)), told(to))
            }
            _ => format!("#{one} comes before #{other} in the list"),
        };
        Step { from: txn(from).id, to: txn(to).id, edge, why }
    }
}

/// A version by its length and where its sources lie; of a register each reader has its own.
fn name(model: &Model, read: &Read) -> (usize, u32) {
    let len = model.sources(read).len();
    (len, if read.datatype == Datatype::Register || len == 0 { 0 } else { read.start })
}

/// What an operation read; nothing if it has no place in a session.
fn reads(model: &Model, op: u32) -> &[Read] {
    let is_anchored = model.ok[op as usize] && model.session[op as usize] != NO_SESSION;
    if is_anchored { model.reads(op) } else { &[] }
}

/// Takes operations out between two steps of session order.
fn shorten(steps: &mut Vec<(u32, u32, Edge)>) {
    if let Some(first) = steps.iter().position(|step| step.2 != Edge::So) {
        steps.rotate_left(first);
    }
    let mut short: Vec<(u32, u32, Edge)> = Vec::new();
    for step in steps.drain(..) {
        match short.last_mut() {
            Some(last) if last.2 == Edge::So && step.2 == Edge::So => last.1 = step.1,
            _ => short.push(step),
        }
    }
    *steps = short;
}
