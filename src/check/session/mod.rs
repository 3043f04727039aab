//! Session guarantees: read your writes, monotonic reads, monotonic writes, writes follow reads,
//! alone and together, by the exact view-based definition (ANOMALIES section 4).
//!
//! First an order of all writes is guessed and checked (`certificate`); whoever it satisfies has a
//! view. Only sessions it does not satisfy are decided exactly (`view`), and a session without a
//! view yields a smallest witness (`witness`).

mod certificate;
mod counters;
mod guarantees;
pub(super) mod model;
mod view;
mod visible;
mod witness;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::check::provenance::{aborted, thin};
use crate::check::store_versions::StoreVersions;
use crate::check::words::key_name;
use crate::check::writers::Writers;
use crate::check::{Anomaly, Assumption, Limits, Property, Verdict};
use crate::history::{Datatype, History, KeyId, Txn};

use certificate::Certificate;
use counters::counters;
use guarantees::Guarantees;
use model::{Findings, Model, more};
use view::{Answer, Question};
use witness::witness;

/// The properties this checker judges; the strongest first, so that a session that has it need not
/// be asked for the others.
const PROPERTIES: [Property; 8] = [
    Property::Sess4,
    Property::Sess3,
    Property::MrMw,
    Property::MrWfr,
    Property::Mr,
    Property::Ryw,
    Property::Mw,
    Property::Wfr,
];

/// Judges the session guarantees of registers with unique values (cas and rmw included), lists,
/// grow-only sets, transactions of these, and what can be said of counters.
///
/// A history with one good order of writes takes O(n log n); a session that needs the exact decision
/// O(n) for monotonic reads and their companions. Without monotonic reads the visible sets of lists
/// and snapshots are computed read by read, within a budget of steps.
pub fn check(history: &History, limits: &Limits) -> Vec<Verdict> {
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let mut findings = Findings::default();
    let mut model = Model::new(history, &writers, &mut findings);
    let counters = counters(history);
    let mut verdicts = Verdicts::new(limits);
    for (txn, key, value) in &findings.thin {
        let read = history.txn(*txn);
        let writes: Vec<Txn<'_>> = writers.all(*key, *value).map(|one| history.txn(one)).collect();
        let anomaly = match writes.as_slice() {
            [] => thin(history, read, *key, *value),
            _ => aborted(history, read, &writes, *key, *value),
        };
        verdicts.add_to_all(&anomaly);
    }
    let has_reads = model.has_reads() || counters.has_reads;
    for anomaly in counters.anomalies {
        verdicts.add(Guarantees::of(anomaly.property), &anomaly);
    }
    let sessions: Vec<u32> = (0..model.session_count() as u32).collect();
    let mut certificate = Certificate::new(history, &model);
    let mut rejected = certificate.rejected(Guarantees::of(Property::Sess4), &sessions);
    let versions = StoreVersions::new(history, &writers);
    let mut contradictory = BTreeSet::new();
    while !rejected.is_empty() {
        let broken = contradictions(history, &model, &certificate, &rejected, limits, &versions);
        if broken.is_empty() {
            break;
        }
        findings.left_out.extend(broken.iter().map(|key| (*key, String::new())));
        contradictory.extend(broken);
        model = Model::new(history, &writers, &mut findings);
        certificate = Certificate::new(history, &model);
        rejected = certificate.rejected(Guarantees::of(Property::Sess4), &sessions);
    }
    let plain = Search {
        history,
        model: &model,
        certificate: &certificate,
        limits,
        assume: &[],
        versions: &versions,
    };
    plain.run(&rejected, &mut verdicts);
    let mut assume = limits.assume.clone();
    if has_use_for(&versions, history, &model, limits) {
        assume.push(Assumption::StoreVersions);
    }
    if !assume.is_empty() {
        assume.sort_unstable();
        assume.dedup();
        let search = Search { assume: &assume, ..plain };
        search.run(&sessions, &mut verdicts);
    }
    let contradictory: Vec<KeyId> = contradictory.into_iter().collect();
    verdicts.finish(history, has_reads, &findings, &contradictory)
}

/// The keys over which a session has no view even if nothing is guaranteed: lists whose orders
/// contradict each other, torn snapshots, updates in a circle.
fn contradictions(
    history: &History,
    model: &Model,
    certificate: &Certificate<'_>,
    sessions: &[u32],
    limits: &Limits,
    versions: &StoreVersions,
) -> Vec<KeyId> {
    let mut keys = Vec::new();
    for session in certificate.rejected(Guarantees::NONE, sessions) {
        let question = Question {
            history,
            model,
            session,
            guarantees: Guarantees::NONE,
            assume: &[],
            versions,
            steps: steps(model, limits),
        };
        let mut is_everybodys = false;
        match question.answer() {
            Answer::Missing { key, .. } => keys.push(key),
            Answer::Cycle(demands) => {
                for demand in &demands {
                    keys.extend_from_slice(model.writes(demand.before));
                }
                is_everybodys = demands.iter().all(|one| one.why == view::Why::Update);
            }
            Answer::Exists | Answer::Spent => {}
        }
        if is_everybodys {
            break;
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Whether the order that the store's versions tell may show more: not if they show at once that
/// everything happened in real time. Every session is asked, so there is a bound on how many are.
fn has_use_for(
    versions: &StoreVersions,
    history: &History,
    model: &Model,
    limits: &Limits,
) -> bool {
    let asked = (model.session_count() as u64).saturating_mul(model.len() as u64);
    !versions.is_empty()
        && asked <= limits.search_steps.saturating_mul(5)
        && !versions.are_in_real_time(history)
}

/// How many operations may be looked at for one session and one property.
fn steps(model: &Model, limits: &Limits) -> u64 {
    limits.search_steps.saturating_add(64 * model.len() as u64)
}

/// So many sessions are judged side by side; fixed, so that the outcome is.
const TOGETHER: usize = 4;

/// The exact decision, for every property, of the sessions that the certificate does not cover.
#[derive(Clone, Copy)]
struct Search<'s> {
    history: &'s History,
    model: &'s Model,
    certificate: &'s Certificate<'s>,
    limits: &'s Limits,
    assume: &'s [Assumption],
    versions: &'s StoreVersions,
}

impl Search<'_> {
    fn run(&self, sessions: &[u32], verdicts: &mut Verdicts) {
        // What each session is known to violate, and to keep.
        let mut broken: BTreeMap<u32, Vec<Guarantees>> = BTreeMap::new();
        let mut kept: BTreeMap<u32, Vec<Guarantees>> = BTreeMap::new();
        for property in PROPERTIES {
            let guarantees = Guarantees::of(property);
            let open = |known: &BTreeMap<u32, Vec<Guarantees>>, session: u32, within: bool| {
                known.get(&session).is_none_or(|sets| {
                    !sets.iter().any(|set| {
                        if within { set.is_within(guarantees) } else { guarantees.is_within(*set) }
                    })
                })
            };
            if !self.assume.is_empty() && verdicts.is_violated(property) {
                continue;
            }
            let mut rest: Vec<u32> = sessions
                .iter()
                .copied()
                .filter(|session| open(&broken, *session, true) && open(&kept, *session, false))
                .collect();
            if self.assume.is_empty() {
                rest = self.certificate.rejected(guarantees, &rest);
            }
            // A few broken sessions among many: the parts without them share an order.
            let mut parts = vec![rest.as_slice()];
            while let Some(part) = parts.pop().filter(|_| !verdicts.is_full(property)) {
                if part.len() > 1 && self.question(part[0], guarantees).share_an_order(part) {
                    for session in part {
                        kept.entry(*session).or_default().push(guarantees);
                    }
                    continue;
                }
                if part.len() > TOGETHER {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                    continue;
                }
                let answers: Vec<_> =
                    part.par_iter().map(|session| self.judge(*session, guarantees)).collect();
                for (session, judged) in part.iter().zip(answers) {
                    match judged {
                        Judged::Kept => kept.entry(*session).or_default().push(guarantees),
                        Judged::Broken(set, anomaly) => {
                            broken.entry(*session).or_default().push(set);
                            verdicts.add(set, &anomaly);
                        }
                        Judged::Open => verdicts.spent(property),
                    }
                }
            }
        }
    }

    fn question(&self, session: u32, guarantees: Guarantees) -> Question<'_> {
        Question {
            history: self.history,
            model: self.model,
            session,
            guarantees,
            assume: self.assume,
            versions: self.versions,
            steps: steps(self.model, self.limits),
        }
    }

    fn judge(&self, session: u32, guarantees: Guarantees) -> Judged {
        let question = self.question(session, guarantees);
        match question.answer() {
            Answer::Exists => Judged::Kept,
            Answer::Spent => Judged::Open,
            answer => match witness(&question, &answer) {
                Some((set, anomaly)) => Judged::Broken(set, Box::new(anomaly)),
                // The data contradict the assumptions: these prove nothing then.
                None if !self.assume.is_empty() => Judged::Kept,
                None => Judged::Open,
            },
        }
    }
}

enum Judged {
    Kept,
    Broken(Guarantees, Box<Anomaly>),
    Open,
}

/// The verdicts as they grow.
struct Verdicts {
    keep: usize,
    found: Vec<Found>,
}

struct Found {
    property: Property,
    anomalies: Vec<Anomaly>,
    count: u64,
    spent: bool,
}

impl Verdicts {
    fn new(limits: &Limits) -> Self {
        let found = PROPERTIES.map(|property| Found {
            property,
            anomalies: Vec::new(),
            count: 0,
            spent: false,
        });
        Self { keep: limits.anomalies.max(1), found: found.into() }
    }

    fn of(&mut self, property: Property) -> Option<&mut Found> {
        self.found.iter_mut().find(|one| one.property == property)
    }

    fn is_violated(&self, property: Property) -> bool {
        self.found.iter().any(|one| one.property == property && one.count > 0)
    }

    fn is_full(&self, property: Property) -> bool {
        self.found.iter().any(|one| one.property == property && one.anomalies.len() >= self.keep)
    }

    fn spent(&mut self, property: Property) {
        if let Some(found) = self.of(property) {
            found.spent = true;
        }
    }

    /// Adds an anomaly to every property that demands all of `set`.
    fn add(&mut self, set: Guarantees, anomaly: &Anomaly) {
        let keep = self.keep;
        for found in &mut self.found {
            let property = found.property;
            if set.is_within(Guarantees::of(property)) {
                found.count += 1;
                if found.anomalies.len() < keep {
                    found.anomalies.push(Anomaly { property, ..anomaly.clone() });
                }
            }
        }
    }

    /// A value from nowhere has no place in any view.
    fn add_to_all(&mut self, anomaly: &Anomaly) {
        let alone = |property| Anomaly { set: vec![property], ..anomaly.clone() };
        let keep = self.keep;
        for found in &mut self.found {
            found.count += 1;
            if found.anomalies.len() < keep {
                let property = found.property;
                found.anomalies.push(Anomaly { property, ..alone(property) });
            }
        }
    }

    fn finish(
        self,
        history: &History,
        has_reads: bool,
        findings: &Findings,
        contradictory: &[KeyId],
    ) -> Vec<Verdict> {
        let reason = undecided(history, has_reads, findings, contradictory);
        let beyond = beyond(history);
        let verdict = |found: Found| {
            if !found.anomalies.is_empty() {
                let verdict = Verdict::invalid(found.property, found.anomalies);
                return Verdict { count: found.count, ..verdict };
            }
            match &reason {
                Some(reason) => Verdict::unknown(found.property, reason.clone()),
                None if found.spent => Verdict::unknown(
                    found.property,
                    "the step budget was spent on visible sets of lists and snapshots",
                ),
                None => Verdict { reason: beyond.clone(), ..Verdict::valid(found.property) },
            }
        };
        let mut verdicts: Vec<Verdict> = self.found.into_iter().map(verdict).collect();
        verdicts.sort_by_key(|verdict| verdict.property);
        verdicts
    }
}

/// Why a property that is not violated does not hold for certain.
fn undecided(
    history: &History,
    has_reads: bool,
    findings: &Findings,
    contradictory: &[KeyId],
) -> Option<String> {
    if let Some(key) = contradictory.first() {
        return Some(format!(
            "the reads of {} contradict each other whatever is guaranteed: incompatible orders of a list (INCO), \
             a torn write or updates in a circle; it was left out{}",
            key_name(history, *key),
            more(contradictory.len())
        ));
    }
    if let Some(reason) = findings.reason(history) {
        return Some(reason);
    }
    (!has_reads)
        .then(|| "no reads of registers, lists, sets or counters in this history".to_owned())
}

/// What the verdicts do not cover.
fn beyond(history: &History) -> Option<String> {
    let judged = |key: &KeyId| {
        use Datatype as D;
        matches!(history.datatype(*key), D::Register | D::List | D::Set | D::Counter)
    };
    let key = history.keys().find(|key| !judged(key))?;
    Some(format!(
        "keys whose reads name no writes are not covered, such as the {} {}",
        history.datatype(key).name(),
        key_name(history, key)
    ))
}
