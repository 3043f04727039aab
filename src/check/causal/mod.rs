//! Causal consistency, weak (CC), convergent (`CCv`) and of memory (CM), and PRAM, by the bad patterns
//! of Bouajjani, Enea, Guerraoui and Hamza ("On verifying causal consistency", POPL 2017; ANOMALIES
//! section 3).
//!
//! `past` computes causal order; `weak` asks of each read whether it is explained by its past;
//! `saturation` asks it of all reads of a session together; `witness` tells what it found. Exact
//! for registers with unique values, snapshots and updates (cas and rmw) included: an update is a read
//! and a write at one place, but to other sessions it is a write like any other, as the definitions
//! have it: lost updates are LUS, and no violation here. Of lists and sets CC alone is judged.

mod downsets;
mod past;
mod paths;
mod saturation;
mod weak;
mod witness;
mod writes;

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::check::provenance::{aborted, thin};
use crate::check::session::model::{Findings, Model};
use crate::check::single_objects::{has_mixed_transactions, undecided};
use crate::check::words::key_name;
use crate::check::writers::{Writers, writes_value};
use crate::check::{Anomaly, Limits, Property, Verdict};
use crate::history::{Datatype, History, KeyId, Txn};

use downsets::Base;
use past::Past;
use saturation::{Outcome, Saturation, predecessors};
use weak::{Pattern, conflict_cycles, weak};
use witness::Witness;
pub(super) use witness::closed;
use writes::WritesByKey;

/// The properties judged here, in the order of the table.
const PROPERTIES: [Property; 4] = [Property::Pram, Property::Cc, Property::Cm, Property::Ccv];

/// Judges PRAM, CC, CM and `CCv`; no verdict where there is no register, list or set.
///
/// All in O(n · sessions · log n); CM and PRAM take more only where a forced edge moves operations
/// forward, within a budget of steps; beyond it they stay open.
pub fn check(history: &History, limits: &Limits) -> Vec<Verdict> {
    let traced = |key: &KeyId| {
        matches!(history.datatype(*key), Datatype::Register | Datatype::List | Datatype::Set)
    };
    if !history.keys().any(|key| traced(&key)) {
        return Vec::new();
    }
    if has_mixed_transactions(history) {
        return PROPERTIES.map(undecided).to_vec();
    }
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let mut findings = Findings::default();
    let model = Model::new(history, &writers, &mut findings);
    let mut found = Found::new(limits);
    for anomaly in from_nowhere(history, &writers, &findings) {
        for property in PROPERTIES {
            found.add(property, anomaly.clone());
        }
    }
    let elements = all_reads(&model).any(|datatype| datatype != Datatype::Register);
    let judge = Judge { history, model: &model, limits, elements };
    judge.run(&mut found);
    found.verdicts(|property| {
        if let Some(reason) = findings.reason(history).or_else(|| written_twice(history)) {
            return Some(reason);
        }
        if !model.has_reads() {
            return Some("no reads of registers, lists or sets in this history".to_owned());
        }
        if let Some(other) = history.keys().find(|key| !traced(key)) {
            let what = history.datatype(other).name();
            return Some(format!("causal consistency of a {what} is not defined"));
        }
        (elements && property != Property::Cc)
            .then(|| "of lists and sets causal consistency alone (CC) is judged".to_owned())
    })
}

fn all_reads(model: &Model) -> impl Iterator<Item = Datatype> + '_ {
    (0..model.len() as u32).flat_map(|op| model.reads(op)).map(|read| read.datatype)
}

/// Reads of what nobody wrote or what was never written for certain: no model allows them.
pub(super) fn from_nowhere(
    history: &History,
    writers: &Writers,
    findings: &Findings,
) -> Vec<Anomaly> {
    let told = findings.thin.iter().map(|(txn, key, value)| {
        let read = history.txn(*txn);
        let writes: Vec<Txn<'_>> = writers.all(*key, *value).map(|one| history.txn(one)).collect();
        match writes.as_slice() {
            [] => thin(history, read, *key, *value),
            _ => aborted(history, read, &writes, *key, *value),
        }
    });
    told.collect()
}

/// Why nothing holds for certain where one transaction wrote a key twice: what it wrote first may
/// be read by nobody, and a write is not told from the other.
pub(super) fn written_twice(history: &History) -> Option<String> {
    let key = history.txns().filter(|txn| txn.accesses().len() > 2).find_map(|txn| {
        let mut keys: Vec<KeyId> = txn
            .accesses()
            .filter(|access| writes_value(history, *access))
            .map(|access| access.key)
            .collect();
        keys.sort_unstable();
        keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    });
    let key = key.or_else(|| {
        history.txns().filter(|txn| txn.accesses().len() == 2).find_map(|txn| {
            let mut writes = txn.accesses().filter(|access| writes_value(history, *access));
            let (one, other) = (writes.next()?, writes.next()?);
            (one.key == other.key).then_some(one.key)
        })
    })?;
    Some(format!("one transaction wrote {} more than once", key_name(history, key)))
}

struct Judge<'j> {
    history: &'j History,
    model: &'j Model,
    limits: &'j Limits,
    /// Whether lists or sets were read.
    elements: bool,
}

impl Judge<'_> {
    fn run(&self, found: &mut Found) {
        let witness = Witness { history: self.history, model: self.model };
        let causal = [Property::Cc, Property::Cm, Property::Ccv];
        let past = match Past::new(self.model) {
            Ok(past) => past,
            Err(cyclic) => {
                let anomaly = witness.cyclic_order(&cyclic.cycle);
                for property in causal {
                    found.add(property, anomaly.clone());
                }
                if !self.elements {
                    self.sessions(None, found);
                }
                return;
            }
        };
        let mut weak = weak(&past, self.steps());
        if weak.patterns.iter().any(|one| matches!(one, Pattern::Repeated { .. }))
            && written_twice(self.history).is_some()
        {
            // Two elements of one write are no repetition.
            weak.patterns.retain(|one| !matches!(one, Pattern::Repeated { .. }));
        }
        if weak.spent {
            for property in causal {
                found.spent(property);
            }
        }
        if !weak.patterns.is_empty() {
            // The smallest of some: each of them costs a search through its past.
            let candidates = weak.patterns.iter().take(4 * found.keep);
            let mut anomalies: Vec<Anomaly> =
                candidates.map(|pattern| witness.weak(pattern)).collect();
            anomalies.sort_by_key(|anomaly| anomaly.operations.len());
            for property in causal {
                found.add_all(property, weak.patterns.len(), &anomalies);
            }
        } else if !self.elements {
            for cycle in conflict_cycles(&past, &weak.conflicts, found.keep) {
                let anomaly = witness.conflict_cycle(&past, &weak.conflicts, &cycle);
                found.add(Property::Ccv, anomaly);
            }
        }
        if !self.elements {
            self.sessions(Some(&past).filter(|_| weak.patterns.is_empty()), found);
        }
    }

    fn steps(&self) -> u64 {
        self.limits.search_steps.saturating_add(64 * self.model.len() as u64)
    }

    /// CM where causal order is sound so far, and PRAM of each session that CM does not cover.
    fn sessions(&self, past: Option<&Past<'_>>, found: &mut Found) {
        let model = self.model;
        let before = predecessors(model);
        let own;
        let writes = if let Some(past) = past {
            &past.writes
        } else {
            own = WritesByKey::new(model);
            &own
        };
        let judge = |property, base, session| {
            let mut saturation =
                Saturation::new(model, writes, &before, base, session, self.steps());
            match saturation.judge() {
                Outcome::Explained => Judged::Explained,
                Outcome::Spent => Judged::Spent(property),
                Outcome::Refuted(refuted) => {
                    let witness = Witness { history: self.history, model };
                    Judged::Refuted(Box::new(witness.saturated(property, &saturation, &refuted)))
                }
            }
        };
        let all: Vec<u32> = (0..model.session_count() as u32).collect();
        // As many at a time as may run side by side; fixed, so that the outcome is.
        const TOGETHER: usize = 4;
        for some in all.chunks(TOGETHER) {
            let judged: Vec<[Option<Judged>; 2]> = some
                .par_iter()
                .map(|session| {
                    let memory = past
                        .filter(|_| !found.is_full(Property::Cm))
                        .map(|past| judge(Property::Cm, Base::Causal(past), *session));
                    if matches!(memory, Some(Judged::Explained)) || found.is_full(Property::Pram) {
                        return [memory, None];
                    }
                    [memory, Some(judge(Property::Pram, Base::Sessions, *session))]
                })
                .collect();
            for judged in judged.into_iter().flatten().flatten() {
                match judged {
                    Judged::Explained => {}
                    Judged::Spent(property) => found.spent(property),
                    Judged::Refuted(anomaly) => found.add(anomaly.property, *anomaly),
                }
            }
        }
    }
}

enum Judged {
    Explained,
    Spent(Property),
    Refuted(Box<Anomaly>),
}

/// What was found of each property.
pub(super) struct Found {
    keep: usize,
    anomalies: BTreeMap<Property, Vec<Anomaly>>,
    counts: BTreeMap<Property, u64>,
    spent: Vec<Property>,
}

impl Found {
    fn new(limits: &Limits) -> Self {
        Self {
            keep: limits.anomalies.max(1),
            anomalies: BTreeMap::new(),
            counts: BTreeMap::new(),
            spent: Vec::new(),
        }
    }

    fn add(&mut self, property: Property, anomaly: Anomaly) {
        self.add_all(property, 1, &[anomaly]);
    }

    /// Adds anomalies, which stand for `count`.
    fn add_all(&mut self, property: Property, count: usize, anomalies: &[Anomaly]) {
        *self.counts.entry(property).or_default() += count as u64;
        let kept = self.anomalies.entry(property).or_default();
        let room = self.keep.saturating_sub(kept.len());
        kept.extend(anomalies.iter().take(room).map(|one| Anomaly { property, ..one.clone() }));
    }

    fn spent(&mut self, property: Property) {
        self.spent.push(property);
    }

    fn is_full(&self, property: Property) -> bool {
        self.anomalies.get(&property).is_some_and(|all| all.len() >= self.keep)
    }

    fn verdicts(mut self, reason: impl Fn(Property) -> Option<String>) -> Vec<Verdict> {
        let verdict = |property| {
            if let Some(anomalies) = self.anomalies.remove(&property) {
                let count = self.counts.get(&property).copied().unwrap_or_default();
                return Verdict { count, ..Verdict::invalid(property, anomalies) };
            }
            match reason(property) {
                Some(reason) => Verdict::unknown(property, reason),
                None if self.spent.contains(&property) => {
                    Verdict::unknown(property, "the step budget was spent")
                }
                None => Verdict::valid(property),
            }
        };
        PROPERTIES.map(verdict).into()
    }
}
