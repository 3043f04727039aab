//! Why transactions cannot be ordered: the smallest set of them, and a sentence.

use crate::check::transaction::evidence::{Evidence, INITIAL};
use crate::check::transaction::level::{Known, Level, Model};
use crate::check::transaction::polygraph::{Answer, cycle, decide, lost_update};
use crate::check::words::{deed, key_name};
use crate::check::{Anomaly, Edge, Step};
use crate::graph::{Arc, Graph};

/// How many edges may be looked at to make a proof smaller.
const STEPS: u64 = 20_000_000;

/// The proof that a level is violated by some of the transactions, `core`.
pub(super) fn anomaly(evidence: &Evidence<'_>, level: Level, core: &[u32]) -> Anomaly {
    let small = shrink(evidence.only(core), level);
    let history = small.history;
    let known = Known::new(&small, level);
    let proof = Proof { evidence: &small, level, known: &known };
    let (kind, cycle, key, why) = proof.told();
    let mut operations = small.txns.clone();
    for (at, one) in small.txns.iter().enumerate() {
        for other in &small.txns[at + 1..] {
            let is_step = |step: &Step| {
                step.edge == Edge::Ww
                    && [(one, other), (other, one)].contains(&(&step.from, &step.to))
            };
            if cycle.is_empty() || cycle.iter().any(is_step) {
                operations.extend(small.order_shown_by(*one, *other));
            }
        }
    }
    operations.sort_unstable();
    operations.dedup();
    let sentence = format!("Not {}: {why}.", level.property.name());
    Anomaly {
        property: level.property,
        kind,
        set: vec![level.property],
        key: key.map(|key| small.keys[key as usize]),
        session: operations.last().map(|txn| history.txn(*txn).session()),
        operations,
        cycle,
        assumes: Vec::new(),
        sentence,
    }
}

/// The transactions that a cycle of a level's graph needs: those on it, and the writers of what they
/// read.
pub(super) fn needed(evidence: &Evidence<'_>, level: Level, cycle: &[u32]) -> Vec<u32> {
    let n = evidence.len();
    let mut on: Vec<u32> = cycle.iter().filter_map(|node| level.model.txn(*node, n)).collect();
    on.sort_unstable();
    on.dedup();
    let mut all = on.clone();
    for txn in &on {
        for read in evidence.reads.row(*txn).iter().filter(|read| read.from != INITIAL) {
            if on.iter().any(|other| evidence.writes.row(*other).contains(&read.key)) {
                all.push(read.from);
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Leaves out transactions as long as the rest still violates the level: first all but those that the
/// contradictions found speak of, then in halves, quarters and so on down to single ones (Zeller and
/// Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
fn shrink(mut evidence: Evidence<'_>, level: Level) -> Evidence<'_> {
    let mut steps = STEPS;
    loop {
        let core = match decide(&evidence, level, &mut steps) {
            Answer::Cycle(nodes) => needed(&evidence, level, &nodes),
            Answer::NoOrder(core) => core,
            Answer::Holds | Answer::Spent => break,
        };
        if core.len() >= evidence.len() {
            break;
        }
        let part = evidence.only(&core);
        if !is_violated(&part, level, &mut steps) {
            break;
        }
        evidence = part;
    }
    let mut size = evidence.len().div_ceil(2);
    while size > 0 && steps > 0 {
        let mut at = 0;
        let mut is_smaller = false;
        while at < evidence.len() && steps > 0 {
            let end = (at + size).min(evidence.len());
            let rest: Vec<u32> = (0..at as u32).chain(end as u32..evidence.len() as u32).collect();
            let part = evidence.only(&rest);
            let kept = part.reads.total() + part.writes.total();
            steps = steps.saturating_sub(64 + (rest.len() + kept) as u64);
            if is_violated(&part, level, &mut steps) {
                evidence = part;
                is_smaller = true;
            } else {
                at = end;
            }
        }
        size = if is_smaller && size == 1 { 1 } else { size / 2 };
    }
    evidence
}

fn is_violated(evidence: &Evidence<'_>, level: Level, steps: &mut u64) -> bool {
    matches!(decide(evidence, level, steps), Answer::Cycle(_) | Answer::NoOrder(_))
}

struct Proof<'a> {
    evidence: &'a Evidence<'a>,
    level: Level,
    known: &'a Known<'a>,
}

impl Proof<'_> {
    /// What it is called, its cycle, its key, and the reason in words.
    fn told(&self) -> (&'static str, Vec<Step>, Option<u32>, String) {
        if let Some(steps) = self.cycle_with(&[]) {
            let why = told(&steps);
            return ("dependency-cycle", steps, None, why);
        }
        if self.level.model != Model::Prefix
            && let Some((key, _, one, other)) = lost_update(self.evidence)
        {
            let why = format!(
                "{} and {} both overwrote the version of {} that they read, and so each of them \
                 lost sight of the other",
                self.name(one),
                self.name(other),
                self.key(key)
            );
            return ("lost-update", Vec::new(), Some(key), why);
        }
        for (key, one, other) in self.pairs() {
            let first = self.cycle_with(&self.ordered(key, one, other));
            let second = self.cycle_with(&self.ordered(key, other, one));
            if let (Some(first), Some(second)) = (first, second) {
                let why = format!(
                    "{one} and {other} both wrote {}. If {one} came first, {}; if {other} did, {}",
                    self.key(key),
                    told(&first),
                    told(&second),
                    one = self.name(one),
                    other = self.name(other),
                );
                return ("writes-without-order", Vec::new(), Some(key), why);
            }
        }
        let keys: Vec<String> = {
            let mut keys: Vec<u32> = self.pairs().iter().map(|(key, _, _)| *key).collect();
            keys.dedup();
            keys.into_iter().map(|key| self.key(key)).collect()
        };
        let all: Vec<String> = (0..self.evidence.len() as u32).map(|txn| self.name(txn)).collect();
        let why = format!(
            "no order of the writes of {} explains what {} read",
            keys.join(", "),
            all.join(", ")
        );
        ("writes-without-order", Vec::new(), None, why)
    }

    /// Every two writers of a key.
    fn pairs(&self) -> Vec<(u32, u32, u32)> {
        let writers = self.evidence.writers();
        let mut pairs = Vec::new();
        for key in 0..self.evidence.keys.len() as u32 {
            let row = writers.row(key);
            for (at, one) in row.iter().enumerate() {
                pairs.extend(row[at + 1..].iter().map(|other| (key, *one, *other)));
            }
        }
        pairs
    }

    /// The edges that follow if one writer of a key comes before another.
    fn ordered(&self, key: u32, first: u32, second: u32) -> Vec<Arc> {
        let model = self.level.model;
        let (from, to) = model.ww(first, second);
        let mut arcs = vec![Arc { from, to, kinds: Edge::Ww as u8 }];
        for reader in (0..self.evidence.len() as u32).filter(|reader| *reader != second) {
            let mut reads = self.evidence.reads.row(reader).iter();
            if model != Model::Parallel && reads.any(|r| r.key == key && r.from == first) {
                let (from, to) = model.rw(reader, second);
                arcs.push(Arc { from, to, kinds: Edge::Rw as u8 });
            }
        }
        arcs
    }

    /// A cycle of the certain edges and of these.
    fn cycle_with(&self, more: &[Arc]) -> Option<Vec<Step>> {
        let mut arcs = self.known.arcs.clone();
        arcs.extend_from_slice(more);
        let graph = Graph::new(self.known.nodes, &arcs);
        let nodes = cycle(&graph);
        if nodes.is_empty() {
            return None;
        }
        let (n, model) = (self.evidence.len(), self.level.model);
        let start = nodes.iter().position(|node| model.txn(*node, n).is_some())?;
        let mut steps = Vec::new();
        let mut from = model.txn(nodes[start], n)?;
        let mut kinds = 0;
        for at in start..start + nodes.len() {
            let next = nodes[(at + 1) % nodes.len()];
            kinds |= graph.kinds(nodes[at % nodes.len()], next);
            if let Some(to) = model.txn(next, n) {
                if to != from {
                    steps.push(self.step(from, to, kinds));
                }
                (from, kinds) = (to, 0);
            }
        }
        Some(steps)
    }

    fn step(&self, from: u32, to: u32, kinds: u8) -> Step {
        let evidence = self.evidence;
        let order = [Edge::Wr, Edge::So, Edge::Rt, Edge::Ww, Edge::Rw];
        let is = |edge: &Edge| kinds & *edge as u8 != 0;
        let edge = order.into_iter().find(is).unwrap_or(Edge::Ww);
        let written = |key: u32| evidence.writes.row(to).contains(&key);
        let both = |key: &&u32| written(**key);
        let why = match edge {
            Edge::Wr => {
                let read = evidence.reads.row(to).iter().find(|read| read.from == from);
                read.map(|read| {
                    format!("{} was seen by one that {}", self.name(from), self.deed(to, read.key))
                })
            }
            Edge::Rw => {
                let mut reads = evidence.reads.row(from).iter();
                reads.find(|read| read.from != to && written(read.key)).map(|read| {
                    format!("one {}, which {} overwrote", self.deed(from, read.key), self.name(to))
                })
            }
            Edge::Ww => evidence.writes.row(from).iter().find(both).map(|key| {
                let (one, other) = (self.name(from), self.name(to));
                format!("{one} wrote {} before {other}", self.key(*key))
            }),
            Edge::So => {
                Some(format!("{} comes before {} in its session", self.name(from), self.name(to)))
            }
            Edge::Rt => {
                Some(format!("{} returned before {} was invoked", self.name(from), self.name(to)))
            }
        };
        let txn = |node: u32| evidence.txns[node as usize];
        Step { from: txn(from), to: txn(to), edge, why: why.unwrap_or_default() }
    }

    fn deed(&self, txn: u32, key: u32) -> String {
        let history = self.evidence.history;
        let id = self.evidence.txns[txn as usize];
        deed(history, history.txn(id), Some(self.evidence.keys[key as usize]))
    }

    fn name(&self, txn: u32) -> String {
        format!("#{}", self.evidence.history.txn(self.evidence.txns[txn as usize]).index())
    }

    fn key(&self, key: u32) -> String {
        key_name(self.evidence.history, self.evidence.keys[key as usize])
    }
}

/// The reasons of all steps.
fn told(steps: &[Step]) -> String {
    let reasons: Vec<&str> = steps.iter().map(|step| step.why.as_str()).collect();
    reasons.join(", and ")
}
