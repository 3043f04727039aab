//! From a bad pattern to its proof: operations, edges, a sentence.

use std::collections::BTreeSet;

use crate::check::causal::past::{Past, reads};
use crate::check::causal::paths::{Hop, path};
use crate::check::causal::saturation::{Refuted, Saturation};
use crate::check::causal::weak::{Conflict, Pattern};
use crate::check::session::model::{Model, NO_SESSION};
use crate::check::words::{deed, key_name, session_name};
use crate::check::{Anomaly, Edge, Property, Step};
use crate::history::{History, KeyId, Txn, TxnId};

/// Tells the anomalies of one history.
#[derive(Clone, Copy)]
pub(super) struct Witness<'w> {
    pub(super) history: &'w History,
    pub(super) model: &'w Model,
}

impl<'w> Witness<'w> {
    fn txn(self, op: u32) -> Txn<'w> {
        self.history.txn(self.model.txns[op as usize])
    }

    fn number(self, op: u32) -> String {
        format!("#{}", self.txn(op).index())
    }

    fn phrase(self, op: u32, key: KeyId) -> String {
        let txn = self.txn(op);
        format!("{} {}", session_name(self.history, txn), deed(self.history, txn, Some(key)))
    }

    /// The key that one operation wrote and another read from it.
    fn shared_key(self, from: u32, to: u32) -> Option<KeyId> {
        let mut all = self.model.reads(to).iter();
        all.find(|read| self.model.sources(read).contains(&from)).map(|read| read.key)
    }

    fn step(self, hop: &Hop) -> Step {
        let why = match (hop.edge, self.shared_key(hop.from, hop.to)) {
            (Edge::Wr, Some(key)) => format!(
                "#{} {} of #{}",
                self.txn(hop.to).index(),
                seen(self.history, self.txn(hop.to), key),
                self.txn(hop.from).index()
            ),
            _ => format!(
                "{} did {} before {}",
                session_name(self.history, self.txn(hop.to)),
                self.number(hop.from),
                self.number(hop.to)
            ),
        };
        self.edge(hop.from, hop.to, hop.edge, why)
    }

    fn edge(self, from: u32, to: u32, edge: Edge, why: String) -> Step {
        let name = |op: u32| self.model.txns[op as usize];
        Step { from: name(from), to: name(to), edge, why }
    }

    /// `#0 -wr→ #2 -so→ #4`.
    fn trail(self, hops: &[Hop]) -> String {
        let first = hops.first().map(|hop| self.number(hop.from));
        let rest = hops.iter().map(|hop| format!("-{}→ {}", hop.edge.name(), self.number(hop.to)));
        first.into_iter().chain(rest).collect::<Vec<String>>().join(" ")
    }

    /// A causal path; empty if there is none.
    fn causal(self, from: u32, to: u32) -> Vec<Hop> {
        let model = self.model;
        let before = |op: u32, visit: &mut dyn FnMut(u32, Edge, Option<u32>)| {
            for source in reads(model, op).iter().flat_map(|read| model.sources(read)) {
                visit(*source, Edge::Wr, None);
            }
        };
        path(model, from, to, &before).unwrap_or_default()
    }

    fn anomaly(
        self,
        property: Property,
        kind: &'static str,
        key: Option<KeyId>,
        operations: impl IntoIterator<Item = u32>,
        cycle: Vec<Step>,
        sentence: String,
    ) -> Anomaly {
        Anomaly {
            property,
            kind,
            set: vec![property],
            key,
            session: None,
            operations: closed(self.model, operations),
            cycle,
            assumes: Vec::new(),
            sentence,
        }
    }

    /// `CyclicCO`.
    pub(super) fn cyclic_order(self, cycle: &[u32]) -> Anomaly {
        let cycle = self.short(cycle);
        let steps: Vec<Step> = cycle.iter().map(|hop| self.step(hop)).collect();
        let sentence = format!(
            "causes come after their effects: {}, each before the next by session order or by having been read",
            self.trail(&cycle)
        );
        let operations: Vec<u32> = cycle.iter().map(|hop| hop.from).collect();
        self.anomaly(Property::Cc, "cyclic-co", None, operations, steps, sentence)
    }

    /// A cycle of `so` and `wr` as hops.
    fn short(self, cycle: &[u32]) -> Vec<Hop> {
        let model = self.model;
        let after = cycle.iter().cycle().skip(1);
        cycle
            .iter()
            .zip(after)
            .map(|(from, to)| {
                let read = reads(model, *to).iter().any(|one| model.sources(one).contains(from));
                let edge = if read { Edge::Wr } else { Edge::So };
                Hop { from: *from, to: *to, edge, forced: None }
            })
            .collect()
    }

    /// A read that its causal past does not explain.
    pub(super) fn weak(self, pattern: &Pattern) -> Anomaly {
        match pattern {
            Pattern::InitRead { key, write, read } => self.unseen(
                "write-co-init-read",
                *key,
                *write,
                *read,
                "although it has in its causal past that",
            ),
            Pattern::Missing { key, write, read } => self.unseen(
                "write-co-missing",
                *key,
                *write,
                *read,
                "which is missing what it has in its causal past:",
            ),
            Pattern::Overwritten { key, source, write, read } => {
                self.overwritten(*key, *source, *write, *read)
            }
            Pattern::Reordered { key, first, second, read } => {
                let hops = self.causal(*second, *first);
                let mut cycle: Vec<Step> = hops.iter().map(|hop| self.step(hop)).collect();
                let why = format!("{} read them in this order", self.number(*read));
                cycle.push(self.edge(*first, *second, Edge::Ww, why));
                let sentence = format!(
                    "{}, with the element of {} before that of {}, though {} came causally first: {}",
                    self.phrase(*read, *key),
                    self.number(*first),
                    self.number(*second),
                    self.number(*second),
                    self.trail(&hops)
                );
                let operations = ends(&hops).chain([*read]);
                self.anomaly(Property::Cc, "co-reordered", Some(*key), operations, cycle, sentence)
            }
            Pattern::Repeated { key, write, read } => {
                let hops = self.causal(*write, *read);
                let mut cycle: Vec<Step> = hops.iter().map(|hop| self.step(hop)).collect();
                let why =
                    format!("{} shows {} once too often", self.number(*read), self.number(*write));
                cycle.push(self.edge(*read, *write, Edge::Rw, why));
                let sentence = format!(
                    "{}, with the element of {} twice, though it was appended once",
                    self.phrase(*read, *key),
                    self.number(*write)
                );
                self.anomaly(
                    Property::Cc,
                    "repeated-element",
                    Some(*key),
                    ends(&hops),
                    cycle,
                    sentence,
                )
            }
            Pattern::Torn { read, conflicts } => {
                let mut operations = BTreeSet::from([*read]);
                let mut cycle = Vec::new();
                let after = conflicts.iter().cycle().skip(1);
                for (conflict, next) in conflicts.iter().zip(after) {
                    cycle.push(self.conflict(conflict, &mut operations));
                    let hops = self.causal(conflict.source, next.write);
                    operations.extend(ends(&hops));
                    cycle.extend(hops.iter().map(|hop| self.step(hop)));
                }
                let sentence = format!(
                    "{} read several keys at once ({}), and no order of its causal past shows all of these versions together",
                    session_name(self.history, self.txn(*read)),
                    deed(self.history, self.txn(*read), None),
                );
                self.anomaly(Property::Cc, "torn-past", None, operations, cycle, sentence)
            }
        }
    }

    fn unseen(
        self,
        kind: &'static str,
        key: KeyId,
        write: u32,
        read: u32,
        although: &str,
    ) -> Anomaly {
        let hops = self.causal(write, read);
        let mut cycle: Vec<Step> = hops.iter().map(|hop| self.step(hop)).collect();
        let why = format!("{} does not show {}", self.number(read), self.number(write));
        cycle.push(self.edge(read, write, Edge::Rw, why));
        let sentence = format!(
            "{}, {although} {}: {}",
            self.phrase(read, key),
            self.phrase(write, key),
            self.trail(&hops)
        );
        self.anomaly(Property::Cc, kind, Some(key), ends(&hops), cycle, sentence)
    }

    fn overwritten(self, key: KeyId, source: u32, write: u32, read: u32) -> Anomaly {
        let (over, hops) = (self.causal(source, write), self.causal(write, read));
        let mut cycle: Vec<Step> = hops.iter().map(|hop| self.step(hop)).collect();
        let why = format!(
            "{} read the version of {}, which {} overwrote: {}",
            self.number(read),
            self.number(source),
            self.number(write),
            self.trail(&over)
        );
        cycle.push(self.edge(read, write, Edge::Rw, why));
        let sentence = format!(
            "{}, though it had been overwritten in its causal past: {} ({}; {})",
            self.phrase(read, key),
            self.phrase(write, key),
            self.trail(&over),
            self.trail(&hops)
        );
        let operations: Vec<u32> = ends(&over).chain(ends(&hops)).collect();
        self.anomaly(Property::Cc, "write-co-read", Some(key), operations, cycle, sentence)
    }

    /// The edge of a conflict, its operations added.
    fn conflict(self, conflict: &Conflict, operations: &mut BTreeSet<u32>) -> Step {
        let Conflict { key, write, source, read } = *conflict;
        let hops = self.causal(write, read);
        operations.extend(ends(&hops));
        operations.extend([write, source, read]);
        let why = format!(
            "{} ({}) has {} in its past ({}), and yet reads the version of {}",
            self.number(read),
            seen(self.history, self.txn(read), key),
            self.number(write),
            self.trail(&hops),
            self.number(source)
        );
        self.edge(write, source, Edge::Ww, why)
    }

    /// `CyclicCF`.
    pub(super) fn conflict_cycle(
        self,
        past: &Past<'_>,
        conflicts: &[Conflict],
        cycle: &[u32],
    ) -> Anomaly {
        let mut operations: BTreeSet<u32> = cycle.iter().copied().collect();
        let mut steps = Vec::new();
        let mut told = Vec::new();
        for (from, to) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
            if past.before(*from, *to) {
                let hops = self.causal(*from, *to);
                operations.extend(ends(&hops));
                steps.extend(hops.iter().map(|hop| self.step(hop)));
            } else if let Some(one) =
                conflicts.iter().find(|one| (one.write, one.source) == (*from, *to))
            {
                steps.push(self.conflict(one, &mut operations));
                told.push(format!(
                    "{} after it had seen {}",
                    self.phrase(one.read, one.key),
                    self.number(one.write)
                ));
            }
        }
        let key = conflicts
            .iter()
            .find(|one| cycle.contains(&one.write) && cycle.contains(&one.source))
            .map(|one| one.key);
        let sentence =
            format!("no one order of the writes explains that {}", told.join(", while "));
        self.anomaly(Property::Ccv, "cyclic-cf", key, operations, steps, sentence)
    }

    /// What refutes a session, by CM or PRAM.
    pub(super) fn saturated(
        self,
        property: Property,
        session: &Saturation<'_>,
        refuted: &Refuted,
    ) -> Anomaly {
        let mut operations = BTreeSet::new();
        let mut open: Vec<u32> = Vec::new();
        let limit = session.forced.len() as u32;
        let whose = |op: u32| session_name(self.history, self.txn(op));
        let mut anomaly = match refuted {
            Refuted::InitRead { key, write, read } => {
                let hops = self.before(session, *write, *read, limit);
                let mut cycle = self.tell(session, &hops, &mut operations, &mut open);
                let why = format!("{} does not show {}", self.number(*read), self.number(*write));
                cycle.push(self.edge(*read, *write, Edge::Rw, why));
                let sentence = format!(
                    "{}, although in the order that explains the other reads of {} this comes before: {} ({})",
                    self.phrase(*read, *key),
                    whose(*read),
                    self.phrase(*write, *key),
                    self.trail(&hops)
                );
                operations.extend([*write, *read]);
                self.anomaly(property, "write-hb-init-read", Some(*key), [], cycle, sentence)
            }
            Refuted::Cycle(ops) => {
                let hops: Vec<Hop> = ops
                    .iter()
                    .zip(ops.iter().cycle().skip(1))
                    .map(|(from, to)| self.direct(session, *from, *to))
                    .collect();
                let cycle = self.tell(session, &hops, &mut operations, &mut open);
                let forced = hops.iter().filter_map(|hop| hop.forced);
                let told: Vec<String> = forced
                    .map(|at| {
                        let one = session.forced[at as usize];
                        format!(
                            "{} with {} before it",
                            self.phrase(one.read, one.key),
                            self.number(one.write)
                        )
                    })
                    .collect();
                let sentence = format!(
                    "no one order explains what one session saw: {} (cycle {})",
                    if told.is_empty() {
                        "a read comes before its write".to_owned()
                    } else {
                        told.join(", and ")
                    },
                    self.trail(&hops)
                );
                operations.extend(ops.iter().copied());
                self.anomaly(property, "cyclic-hb", None, [], cycle, sentence)
            }
        };
        // Each forced edge that was used needs its own reason, which may need others, all older.
        let mut told = BTreeSet::new();
        while let Some(at) = open.pop() {
            if told.insert(at) {
                let one = session.forced[at as usize];
                let hops = self.before(session, one.write, one.read, at);
                self.tell(session, &hops, &mut operations, &mut open);
                operations.extend([one.write, one.source, one.read]);
            }
        }
        anomaly.session = session.session_of_reads().map(|op| self.txn(op).session());
        anomaly.operations = closed(self.model, operations);
        anomaly
    }

    /// A path by the order of a session, through forced edges below `limit`.
    fn before(self, session: &Saturation<'_>, from: u32, to: u32, limit: u32) -> Vec<Hop> {
        let model = self.model;
        let before = |op: u32, visit: &mut dyn FnMut(u32, Edge, Option<u32>)| {
            if session.counts_reads_of(op) {
                for source in reads(model, op).iter().flat_map(|read| model.sources(read)) {
                    visit(*source, Edge::Wr, None);
                }
            }
            session.each_forced(op, |at, write| {
                if at < limit {
                    visit(write, Edge::Ww, Some(at));
                }
            });
        };
        path(model, from, to, &before).unwrap_or_default()
    }

    /// The edge between two neighbours on a cycle.
    fn direct(self, session: &Saturation<'_>, from: u32, to: u32) -> Hop {
        let model = self.model;
        let read = session.counts_reads_of(to)
            && reads(model, to).iter().any(|one| model.sources(one).contains(&from));
        let same = model.session[from as usize] == model.session[to as usize]
            && model.session[from as usize] != NO_SESSION
            && model.ok[from as usize]
            && model.position[from as usize] < model.position[to as usize];
        let mut forced = None;
        session.each_forced(to, |at, write| {
            if write == from && !read && !same {
                forced = Some(forced.map_or(at, |one: u32| one.min(at)));
            }
        });
        let edge = match forced {
            Some(_) => Edge::Ww,
            None if read => Edge::Wr,
            None => Edge::So,
        };
        Hop { from, to, edge, forced }
    }

    /// The steps of some hops; what they need is added.
    fn tell(
        self,
        session: &Saturation<'_>,
        hops: &[Hop],
        operations: &mut BTreeSet<u32>,
        open: &mut Vec<u32>,
    ) -> Vec<Step> {
        operations.extend(ends(hops));
        let step = |hop: &Hop| {
            let Some(at) = hop.forced else { return self.step(hop) };
            let one = session.forced[at as usize];
            open.push(at);
            let why = format!(
                "{} ({}) has {} before it, and yet reads the version of {}",
                self.number(one.read),
                seen(self.history, self.txn(one.read), one.key),
                self.number(one.write),
                self.number(one.source)
            );
            self.edge(hop.from, hop.to, Edge::Ww, why)
        };
        hops.iter().map(step).collect()
    }
}

/// The operations of a path.
fn ends(hops: &[Hop]) -> impl Iterator<Item = u32> + '_ {
    hops.iter().flat_map(|hop| [hop.from, hop.to])
}

/// Operations, with the writes that their reads saw: without these they would read from nowhere.
pub(in crate::check) fn closed(
    model: &Model,
    operations: impl IntoIterator<Item = u32>,
) -> Vec<TxnId> {
    let mut all: BTreeSet<u32> = operations.into_iter().collect();
    let mut open: Vec<u32> = all.iter().copied().collect();
    while let Some(op) = open.pop() {
        for source in model.reads(op).iter().flat_map(|read| model.sources(read)) {
            if *source != u32::MAX && all.insert(*source) {
                open.push(*source);
            }
        }
    }
    all.into_iter().map(|op| model.txns[op as usize]).collect()
}

/// `read x = 1`.
fn seen(history: &History, txn: Txn<'_>, key: KeyId) -> String {
    let values: Vec<String> = txn
        .accesses()
        .filter(|access| access.key == key && access.function == crate::model::Function::Read)
        .map(|access| crate::check::words::shown_at(history, key, access.value))
        .collect();
    format!("read {} = {}", key_name(history, key), values.join(" and "))
}
