//! Transactions: Adya's anomalies and the levels of isolation (ANOMALIES section 8).
//!
//! The committed transactions are the nodes of a graph whose edges follow from the order of the versions
//! of each key; anomalies are its cycles, and a level of isolation is the absence of some of them.
//!
//! Two questions are asked of the same reads and writes, and each has a view of its own:
//!
//! - *Which anomalies are proven?* [`Dependencies`] has only edges that follow from the data, or from
//!   what [`Limits::assume`] grants. A key whose reads contradict each other is left out and the others
//!   are judged, so one broken key hides nothing. Every edge keeps the version it is about, from which
//!   it is told in words.
//! - *Which levels hold?* Where the order of versions is not known, some order must be found or all
//!   refuted, millions of edges for each level. `Evidence` has no versions, only who read from whom,
//!   in rows of integers that can be cut down to any set of transactions, which is how a proof is made
//!   small. It takes nothing for granted, and a single read that nobody can explain refutes every
//!   level.
//!
//! What an anomaly refutes is not asked again: the levels that exclude it follow from it.

mod acyclicity;
mod certificate;
mod clocks;
mod committed;
mod cycles;
mod dependencies;
mod evidence;
mod explain;
mod flaws;
pub mod isolation;
mod level;
mod noncyclic;
mod parallel;
mod polygraph;
mod pruning;
mod rows;
mod skew;
mod unseen;
mod unserial;
mod versions;
mod visibility;

pub use committed::{Committed, ExternalRead, FinalWrite, Source};
pub use dependencies::Dependencies;
pub use versions::{Known, Order, Versions};

use crate::check::writers::Writers;
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::history::{History, KeyId};
use crate::model::Function;

use cycles::Core;
use explain::Explain;

/// Judges the anomalies and the levels of isolation of transactions; nothing where there are none.
///
/// O(accesses), the edges in real time (as many for a transaction as were open at once), and a search in
/// those parts of the graph that are cyclic.
pub fn check(history: &History, limits: &Limits) -> Vec<Verdict> {
    if !history.txns().any(|txn| txn.function() == Function::Txn) {
        return Vec::new();
    }
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let committed = Committed::new(history, &writers);
    let mut verdicts = anomalies(history, &writers, &committed, limits);
    let levels = isolation::levels(history, limits, (writers, committed), &verdicts);
    verdicts.extend(levels);
    verdicts
}

fn anomalies(
    history: &History,
    writers: &Writers,
    committed: &Committed,
    limits: &Limits,
) -> Vec<Verdict> {
    let dependencies = &Dependencies::new(history, writers, committed, limits);
    let explain = Explain { history, writers, committed, dependencies, limits };
    let core = Core::new(&dependencies.graph);
    let mut verdicts = vec![
        noncyclic::internal(history, writers, limits),
        noncyclic::intermediate(history, writers, limits),
        noncyclic::lost_update(history, writers, committed, limits),
        noncyclic::dirty_update(&explain, limits),
        cyclic_versions(&explain),
    ];
    verdicts.extend(cycles::check(&explain, &core, limits));
    verdicts.push(skew::long_fork(&explain, &core, limits));
    verdicts.push(skew::write_skew(&explain, &core, limits));
    verdicts
}

/// CYCVER: the evidence for the order of the versions of a register contradicts itself.
fn cyclic_versions(explain: &Explain<'_>) -> Verdict {
    let cyclic = &explain.dependencies.cyclic;
    if cyclic.is_empty() {
        return Verdict::valid(Property::CyclicVersions);
    }
    let keep = explain.limits.anomalies.max(1);
    let anomalies =
        cyclic.iter().take(keep).map(|(key, cycle)| contradiction(explain, *key, cycle)).collect();
    let count = cyclic.len() as u64;
    Verdict { count, ..Verdict::invalid(Property::CyclicVersions, anomalies) }
}

fn contradiction(explain: &Explain<'_>, key: KeyId, cycle: &[u32]) -> Anomaly {
    let steps: Vec<Step> = (0..cycle.len())
        .map(|at| explain.version_step(key, cycle[at], cycle[(at + 1) % cycle.len()]))
        .collect();
    let mut operations: Vec<_> = steps.iter().map(|step| step.from).collect();
    operations.sort_unstable();
    let reasons: Vec<&str> = steps.iter().map(|step| &*step.why).collect();
    let sentence = format!("the versions contradict each other: {}", reasons.join("; "));
    Anomaly {
        property: Property::CyclicVersions,
        kind: "cyclic-versions",
        set: vec![Property::CyclicVersions],
        key: Some(key),
        session: None,
        operations,
        cycle: steps.clone(),
        assumes: explain.limits.assume.clone(),
        sentence,
    }
}

/// Why the versions that two transactions wrote are ordered.
impl Explain<'_> {
    fn version_step(&self, key: KeyId, from: u32, to: u32) -> Step {
        let name = crate::check::words::key_name(self.history, key);
        let (one, other) = (self.committed.txns[from as usize], self.committed.txns[to as usize]);
        let (from, to) = (self.history.txn(one), self.history.txn(other));
        let why =
            format!("#{} wrote {name} after what #{} had written to it", to.index(), from.index());
        Step { from: one, to: other, edge: Edge::Ww, why }
    }
}
