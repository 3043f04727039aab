//! Orders without real time (ANOMALIES section 3): sequential consistency (Lamport 1979) of all
//! operations together (SEQ) and of each key by itself (COH). A transaction is one operation: it
//! takes its place in the order of all as a whole, and in that of a key with what it did there.
//!
//! `line` finds what data prove of the order on one key, `coherence` whether all sessions met
//! it in one direction; `network` puts all keys together, guesses an order or proves that there is
//! none, and `frontier` searches where both fail. Objects that do not tell who wrote what they
//! show are left to `search`. A violation is proved by a circle of what must come before what, or by
//! a search that came to its end; every proof is made small and judged again by itself.

mod closure;
mod coherence;
mod frontier;
mod line;
mod network;
mod search;
mod sequential;
mod shrink;

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::check::tally::Tally;
use crate::check::words::{deed, key_name};
use crate::check::writers::Writers;
use crate::check::{Anomaly, Limits, Property, Status, Step, Verdict};
use crate::history::{Datatype, History, KeyId, TxnId};

use closure::closed;
use coherence::{Meetings, meetings};
use line::{Line, Shape, shape};
use search::{Outcome, search};
use sequential::sequential;
use shrink::shrink;

/// Whether the history is coherent and sequentially consistent: COH, then SEQ. Nothing where there is
/// no register, list, set or counter.
///
/// Coherence of registers with recognisable writes, lists and grow-only sets is decided in linear
/// time (O(elements read) for sets), everything else by a search with a budget. Sequential
/// consistency is NP-complete (Gibbons and Korach 1997): a history that nearly agrees with real time
/// takes O(n log n), one that is not incoherent but has a circle of forced edges O(n) a round.
pub fn check(history: &History, limits: &Limits) -> Vec<Verdict> {
    use Datatype as D;
    let known =
        |key: &KeyId| matches!(history.datatype(*key), D::Register | D::List | D::Set | D::Counter);
    let keys: Vec<KeyId> = history.keys().filter(known).collect();
    if keys.is_empty() {
        return Vec::new();
    }
    let by_key = history.by_key();
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let judge = |key: &KeyId| {
        Object { history, limits, writers: &writers, key: *key, txns: by_key.group(key.0) }.judge()
    };
    let judged: Vec<(Tally, Part)> = keys.par_iter().map(judge).collect();
    let mut tally = Tally::new(Property::Coh, limits);
    let mut parts = Vec::new();
    for (one, part) in judged {
        tally.join(one);
        parts.push(part);
    }
    let nothing = "no reads of registers, lists, sets or counters in this history";
    let coherent = tally.verdict(nothing);
    let sequential = if coherent.status == Status::Invalid {
        implied(&coherent)
    } else {
        let doubt = (!history.keys().all(|key| known(&key)))
            .then_some("the history has objects of other kinds too, which may not fit in");
        sequential(history, limits, &writers, parts, doubt, nothing)
    };
    vec![coherent, sequential]
}

/// What is incoherent is not sequentially consistent either, for the same reasons.
fn implied(coherent: &Verdict) -> Verdict {
    let anomalies = coherent.anomalies.iter().cloned();
    let anomalies = anomalies.map(|one| Anomaly { property: Property::Seq, ..one }).collect();
    Verdict { count: coherent.count, ..Verdict::invalid(Property::Seq, anomalies) }
}

/// What a key contributes to the order of all.
enum Part {
    /// Nothing.
    Silent,
    /// Chains, and how the sessions met them.
    Line(Line, Meetings),
    /// It has to be searched.
    Open,
    /// Nobody can say, for this reason.
    Unknown(String),
}

struct Object<'h> {
    history: &'h History,
    limits: &'h Limits,
    writers: &'h Writers,
    key: KeyId,
    txns: &'h [TxnId],
}

impl Object<'_> {
    /// The coherence of the key, and what it contributes to the order of all.
    fn judge(&self) -> (Tally, Part) {
        let mut tally = Tally::new(Property::Coh, self.limits);
        let part = match shape(self.history, self.writers, self.key, self.txns) {
            Shape::Silent => Part::Silent,
            Shape::Unknown(reason) => {
                tally.doubt(|| self.doubt(&reason));
                Part::Unknown(self.doubt(&reason))
            }
            Shape::Open(reason) => {
                self.searched(&reason, &mut tally);
                Part::Open
            }
            Shape::Broken(kind, operations) => {
                tally.violated(|| self.broken(kind, &operations));
                Part::Silent
            }
            Shape::Line(line) => {
                tally.judged();
                let meetings = meetings(self.history, &line);
                self.meet(&line, &meetings, &mut tally);
                Part::Line(line, meetings)
            }
        };
        (tally, part)
    }

    fn doubt(&self, reason: &str) -> String {
        format!("{}: {reason}", key_name(self.history, self.key))
    }

    fn meet(&self, line: &Line, meetings: &Meetings, tally: &mut Tally) {
        for met in &meetings.backwards {
            tally.violated(|| {
                let (cycle, sentence) = coherence::backward(self.history, line, *met);
                let operations = [met.before.0, met.after.0];
                let kind = "order-against-session";
                self.anomaly(kind, &operations, line, cycle, sentence)
            });
        }
        for circle in coherence::circles(line, &meetings.changes) {
            tally.violated(|| {
                let (cycle, sentence) = coherence::circle(self.history, line, &circle);
                let ends = circle.iter().flat_map(|met| [met.before.0, met.after.0]);
                let operations: Vec<TxnId> = ends.collect();
                self.anomaly("write-order-divergence", &operations, line, cycle, sentence)
            });
        }
    }

    fn anomaly(
        &self,
        kind: &'static str,
        operations: &[TxnId],
        line: &Line,
        cycle: Vec<Step>,
        sentence: String,
    ) -> Anomaly {
        let ends: Vec<TxnId> = cycle.iter().flat_map(|step| [step.from, step.to]).collect();
        let mut needed = [operations, &ends].concat();
        // Mostly the longest read tells the order of the writes of a list or set.
        if !self.is_broken(&closed(self.history, self.writers, &line.seen_by, &needed)) {
            let reads = line.slots.iter().filter(|(_, slot)| slot.layer % 2 == 1);
            needed.extend(reads.max_by_key(|(_, slot)| slot.layer).map(|(id, _)| *id));
        }
        let operations = self.proof(&needed, &line.seen_by, |some| self.is_broken(some));
        Anomaly {
            property: Property::Coh,
            kind,
            set: vec![Property::Coh],
            key: Some(self.key),
            session: None,
            operations,
            cycle,
            assumes: Vec::new(),
            sentence,
        }
    }

    /// Operations that are a proof by themselves, these among them. What was read orders the writes
    /// of a list or set, and an indeterminate update counts if it was seen: where that is missing,
    /// as little is added as will do.
    fn proof(
        &self,
        needed: &[TxnId],
        seen_by: &BTreeMap<TxnId, TxnId>,
        is_violation: impl Fn(&[TxnId]) -> bool,
    ) -> Vec<TxnId> {
        let whole =
            |more: &[TxnId]| closed(self.history, self.writers, seen_by, &[needed, more].concat());
        let operations = whole(&[]);
        if is_violation(&operations) {
            return operations;
        }
        shrink(whole(self.txns), 300, whole, is_violation)
    }

    /// Whether some of the operations are incoherent by themselves.
    fn is_broken(&self, operations: &[TxnId]) -> bool {
        match shape(self.history, self.writers, self.key, operations) {
            Shape::Broken(..) => true,
            Shape::Line(line) => {
                let meetings = meetings(self.history, &line);
                !meetings.backwards.is_empty()
                    || !coherence::circles(&line, &meetings.changes).is_empty()
            }
            _ => false,
        }
    }

    /// What the data contradict by themselves.
    fn broken(&self, kind: &'static str, operations: &[TxnId]) -> Anomaly {
        let seen_by = BTreeMap::new();
        let is_violation = |some: &[TxnId]| {
            let shape = shape(self.history, self.writers, self.key, some);
            matches!(shape, Shape::Broken(other, _) if other == kind)
        };
        let phrases: Vec<String> = operations
            .iter()
            .map(|id| self.history.txn(*id))
            .filter(|txn| txn.accesses().any(|one| one.key == self.key))
            .map(|txn| deed(self.history, txn, Some(self.key)))
            .take(4)
            .collect();
        let why = match kind {
            "thin-air-read" => "a value that nobody wrote was read",
            "aborted-read" => "a value of failed operations was read",
            "intermediate-read" => "a value was read that its own transaction had written over",
            "lost-update" => "two updates replaced one version",
            "cyclic-versions" => "versions are made of each other",
            "duplicate-element" => "an element is twice in a list, though appended once",
            "incompatible-order" => "two reads of a list contradict each other",
            _ => "two reads of a set contradict each other",
        };
        Anomaly {
            property: Property::Coh,
            kind,
            set: vec![Property::Coh],
            key: Some(self.key),
            session: None,
            operations: self.proof(operations, &seen_by, is_violation),
            cycle: Vec::new(),
            assumes: Vec::new(),
            sentence: format!("{why}: {}", phrases.join("; ")),
        }
    }

    /// The general search, for a key whose answers do not tell what they were made of.
    fn searched(&self, reason: &str, tally: &mut Tally) {
        let only = Some(self.key);
        let outcome = |txns: &[TxnId], steps| {
            let mut steps = steps;
            search(self.history, txns, only, &mut steps)
        };
        match outcome(self.txns, self.limits.search_steps) {
            Outcome::Found => tally.judged(),
            Outcome::Open => tally.doubt(|| self.doubt(reason)),
            Outcome::Impossible => tally.violated(|| {
                let is_violation = |txns: &[TxnId]| outcome(txns, 100_000) == Outcome::Impossible;
                let operations = fewer_reads(self.history, self.txns, is_violation);
                let name = key_name(self.history, self.key);
                let sentence = format!(
                    "no order of the {} operations on {name} agrees with all sessions",
                    operations.len()
                );
                Anomaly {
                    property: Property::Coh,
                    kind: "no-order",
                    set: vec![Property::Coh],
                    key: Some(self.key),
                    session: None,
                    operations,
                    cycle: Vec::new(),
                    assumes: Vec::new(),
                    sentence,
                }
            }),
        }
    }
}

/// A proof that cannot do without any of its reads; its writes may all be needed.
fn fewer_reads(
    history: &History,
    txns: &[TxnId],
    is_violation: impl Fn(&[TxnId]) -> bool,
) -> Vec<TxnId> {
    let (writes, reads): (Vec<TxnId>, Vec<TxnId>) =
        txns.iter().partition(|id| history.txn(**id).writes());
    let whole = |reads: &[TxnId]| {
        let mut all = [&writes, reads].concat();
        all.sort_unstable();
        all.dedup();
        all
    };
    shrink(whole(&reads), 300, whole, is_violation)
}
