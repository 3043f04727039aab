//! The fate of every element of a set: SETLOST and SETSTALE (ANOMALIES section 7; Jepsen's set-full,
//! with duplicates).

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::losses::Judged;
use crate::check::words::{key_name, read_phrase, session_name, shown};
use crate::check::writers::reads_value;
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::history::{Datatype, History, KeyId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind, Nanos};

/// What became of an element of a set.
///
/// It is *known* from the first acknowledgement or the first return of a read that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It was there in every read invoked after it was known, and read at least once.
    Kept,
    /// The last read lacks it, and is final.
    Lost,
    /// The last read lacks it, and is not final: stale or lost, nobody can tell.
    Missing,
    /// A read lacks it after it was known; a later one has it.
    Stale,
    /// It was acknowledged after all reads.
    NeverRead,
    /// Nobody added it, but it was read.
    Unexpected,
    /// A read has it twice.
    Duplicated,
    /// Every addition of it failed, but it was read.
    FailedVisible,
    /// Every addition of it failed, and nobody read it.
    NotAdded,
    /// Its addition is of unknown outcome, and nobody read it.
    Indeterminate,
}

impl Fate {
    /// Its name in a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "ok",
            Self::Lost => "lost",
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::NeverRead => "never-read",
            Self::Unexpected => "unexpected",
            Self::Duplicated => "duplicated",
            Self::FailedVisible => "failed-visible",
            Self::NotAdded => "not-added",
            Self::Indeterminate => "indeterminate",
        }
    }
}

/// An element of a set, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The set.
    pub key: KeyId,
    /// The element.
    pub value: ValueId,
    /// What became of it.
    pub fate: Fate,
    /// From when it was known to the invocation of the last read that lacks it; only if it is lost,
    /// missing or stale.
    pub latency: Option<Nanos>,
    /// The operations that show it: who added it, from whom it was known, the last read without it,
    /// the last read with it, as far as there are.
    proof: [Option<TxnId>; 4],
}

/// What became of every element of every set, in order of keys and values. Elements that somebody
/// tried to remove are left out. O(n + length of distinct neighbouring reads).
pub fn fates(history: &History) -> Vec<Element> {
    let mut sets: BTreeMap<KeyId, Set> = BTreeMap::new();
    for txn in history.txns() {
        for access in txn.accesses().filter(|one| history.datatype(one.key) == Datatype::Set) {
            let set = sets.entry(access.key).or_default();
            match access.function {
                Function::Add => set.added(txn, access.value),
                Function::Remove if txn.kind() != Kind::Fail => {
                    set.removed.insert(access.value);
                }
                _ if txn.is_ok() && reads_value(history, access) => {
                    set.reads.push((txn.id, access.value));
                }
                _ => {}
            }
        }
    }
    let mut fates = Vec::new();
    for (key, mut set) in sets {
        set.look(history);
        let before = fates.len();
        for (value, track) in &set.tracks {
            if !set.removed.contains(value) {
                fates.push(track.judge(history, key, *value, &set.reads));
            }
        }
        fates[before..].sort_unstable_by_key(|element: &Element| element.value);
    }
    fates
}

/// Judges whether elements were lost, doubled or made up (SETLOST), and whether any was missing from a
/// read after it was known, to come back later (SETSTALE).
///
/// Without a final read nothing is called lost. Empty if there is no set. See [`fates`].
pub fn check(history: &History, limits: &Limits) -> Vec<Verdict> {
    if history.keys().all(|key| history.datatype(key) != Datatype::Set) {
        return Vec::new();
    }
    let elements = fates(history);
    let has = |fates: &[Fate]| elements.iter().any(|element| fates.contains(&element.fate));
    let summary = summary(&elements);
    let verdict = |property: Property, broken: &[Fate]| {
        let bad = || elements.iter().filter(|element| broken.contains(&element.fate));
        let count = bad().count() as u64;
        if count > 0 {
            let kept = bad().take(limits.anomalies.max(1));
            let anomalies = kept.map(|element| element.anomaly(history, property)).collect();
            let reason = Some(summary.clone());
            return Verdict { reason, count, ..Verdict::invalid(property, anomalies) };
        }
        if has(&[Fate::Missing]) {
            let why = "some elements are not in the last read, which is not final: stale or lost";
            return Verdict::unknown(property, format!("{why}; {summary}"));
        }
        if !has(&[Fate::Kept, Fate::Stale, Fate::Lost]) {
            let why = "no element of a set was read after it was known";
            return Verdict::unknown(property, why);
        }
        let is_plain = elements.iter().all(|element| element.fate == Fate::Kept);
        let reason = (!is_plain).then(|| summary.clone());
        Verdict { reason, ..Verdict::valid(property) }
    };
    let broken = [Fate::Lost, Fate::Duplicated, Fate::Unexpected, Fate::FailedVisible];
    vec![verdict(Property::SetLost, &broken), verdict(Property::SetStale, &[Fate::Stale])]
}

/// Every acknowledged addition of an element that was read after it was known, and whether it is lost.
pub(super) fn judged(history: &History) -> Judged {
    let elements = fates(history);
    let told = elements.iter().filter(|element| {
        matches!(element.fate, Fate::Kept | Fate::Stale | Fate::Missing | Fate::Lost)
    });
    let added = told.filter_map(|element| Some((element.proof[0]?, element.fate == Fate::Lost)));
    added.filter(|(txn, _)| history.txn(*txn).is_ok()).collect()
}

/// `of 9 elements 5 ok, 1 lost, 3 stale (for 2.0 ms in the median, 5.0 ms at most)`.
fn summary(elements: &[Element]) -> String {
    let mut counts: BTreeMap<Fate, Vec<Option<Nanos>>> = BTreeMap::new();
    for element in elements {
        counts.entry(element.fate).or_default().push(element.latency);
    }
    let parts = counts.into_iter().map(|(fate, latencies)| {
        let count = latencies.len();
        let mut latencies: Vec<Nanos> = latencies.into_iter().flatten().collect();
        latencies.sort_unstable();
        let times = match (fate, latencies.last()) {
            (Fate::Stale, Some(most)) => {
                let median = latencies[(latencies.len() - 1) / 2];
                format!(" (for {median} in the median, {most} at most)")
            }
            _ => String::new(),
        };
        format!("{count} {}{times}", fate.name())
    });
    let parts: Vec<String> = parts.collect();
    format!("of {} elements {}", elements.len(), parts.join(", "))
}

/// What was done to one set.
#[derive(Default)]
struct Set {
    tracks: FxHashMap<ValueId, Track>,
    removed: FxHashSet<ValueId>,
    /// In order of invocation.
    reads: Vec<(TxnId, ValueId)>,
}

/// What is known of one element so far; places are those of reads.
#[derive(Default)]
struct Track {
    /// Somebody who tried to add it, if possible one who did not fail.
    added: Option<TxnId>,
    failed: bool,
    /// When it was first known, and from whom.
    known: Option<(Rank, TxnId)>,
    last_with: Option<usize>,
    last_without: Option<usize>,
    doubled: Option<TxnId>,
    /// The run of equal reads that was looked at last, counted from one.
    run: usize,
}

impl Track {
    fn know(&mut self, txn: Txn<'_>) {
        if txn.is_ok() && self.known.is_none_or(|(rank, _)| txn.returned() < rank) {
            self.known = Some((txn.returned(), txn.id));
        }
    }
}

impl Set {
    fn added(&mut self, txn: Txn<'_>, value: ValueId) {
        let track = self.tracks.entry(value).or_default();
        let failed = txn.kind() == Kind::Fail;
        if track.added.is_none() || track.failed && !failed {
            (track.added, track.failed) = (Some(txn.id), failed);
        }
        track.know(txn);
    }

    /// Looks through all reads, neighbours that saw the same at once.
    fn look(&mut self, history: &History) {
        let (mut begin, mut run) = (0, 0);
        for same in self.reads.chunk_by(|one, other| one.1 == other.1) {
            run += 1;
            let end = begin + same.len();
            let reads = same.iter().map(|(read, _)| history.txn(*read));
            let Some(first_back) = reads.min_by_key(|read| read.returned()) else { continue };
            for value in history.values().backwards(same[0].1) {
                let track = self.tracks.entry(value).or_default();
                if track.run == run {
                    track.doubled.get_or_insert(first_back.id);
                    continue;
                }
                track.run = run;
                track.know(first_back);
                if begin > 0 && track.last_with.is_none_or(|with| with + 1 < begin) {
                    track.last_without = Some(begin - 1);
                }
                track.last_with = Some(end - 1);
            }
            begin = end;
        }
        for track in self.tracks.values_mut() {
            if begin > 0 && track.last_with.is_none_or(|with| with + 1 < begin) {
                track.last_without = Some(begin - 1);
            }
        }
    }
}

impl Track {
    fn judge(
        &self,
        history: &History,
        key: KeyId,
        value: ValueId,
        reads: &[(TxnId, ValueId)],
    ) -> Element {
        let read = |at: usize| history.txn(reads[at].0);
        let known = self.known.map(|(rank, txn)| (rank, history.txn(txn)));
        let without = self
            .last_without
            .map(read)
            .filter(|read| known.is_some_and(|(rank, _)| rank < read.invoked()));
        let fate = match (known, without) {
            _ if self.added.is_none() => Fate::Unexpected,
            _ if self.doubled.is_some() => Fate::Duplicated,
            _ if self.failed && self.last_with.is_some() => Fate::FailedVisible,
            _ if self.failed => Fate::NotAdded,
            (None, _) => Fate::Indeterminate,
            (Some(_), Some(_)) if self.last_with > self.last_without => Fate::Stale,
            (Some(_), Some(read)) if read.is_final() => Fate::Lost,
            (Some(_), Some(_)) => Fate::Missing,
            (Some(_), None) if self.last_with.is_none() => Fate::NeverRead,
            (Some(_), None) => Fate::Kept,
        };
        let latency = match (fate, known, without) {
            (Fate::Lost | Fate::Missing | Fate::Stale, Some((_, known)), Some(read)) => {
                Some(read.invoked_at() - known.returned_at())
            }
            _ => None,
        };
        let with = match fate {
            Fate::Duplicated => self.doubled,
            Fate::Lost => None,
            _ => self.last_with.map(|at| reads[at].0),
        };
        let proof = [self.added, self.known.map(|(_, txn)| txn), without.map(|read| read.id), with];
        Element { key, value, fate, latency, proof }
    }
}

impl Element {
    fn anomaly(&self, history: &History, property: Property) -> Anomaly {
        let [added, known, without, with] = self.proof.map(|txn| txn.map(|txn| history.txn(txn)));
        let (name, value) = (key_name(history, self.key), shown(history, self.value));
        let read = with.map_or(String::new(), |read| read_phrase(history, read, self.key));
        let number = |txn: Option<Txn<'_>>| txn.map_or(0, Txn::index);
        let since = known.map_or(Nanos(0), Txn::returned_at);
        let known_by = match known.filter(|known| Some(known.id) != added.map(|txn| txn.id)) {
            Some(read) => format!("seen in {name} by #{}, {since}", read.index()),
            None => format!("acknowledged in {name} at {since} (#{})", number(added)),
        };
        let (kind, sentence) = match self.fate {
            Fate::Lost => {
                let last =
                    format!("the last read of it, #{}, is final and lacks it", number(without));
                ("lost-element", format!("{value} was {known_by}, but {last}"))
            }
            Fate::Stale => {
                let by = without.map_or(String::new(), |txn| session_name(history, txn));
                let late = self.latency.unwrap_or(Nanos(0));
                let gap = format!("{by} still read it without {value} {late} later");
                let (lacks, has) = (number(without), number(with));
                (
                    "stale-element",
                    format!("{value} was {known_by}, but {gap} (#{lacks}); #{has} has it"),
                )
            }
            Fate::Duplicated => {
                ("duplicated-element", format!("{read}: {value} is there more than once"))
            }
            Fate::FailedVisible => {
                let failed = format!("whose addition (#{}) failed", number(added));
                ("failed-element", format!("{read}: {value} is there, {failed}"))
            }
            _ => ("unexpected-element", format!("{read}: {value} is there, but nobody added it")),
        };
        let mut operations: Vec<TxnId> = match self.fate {
            Fate::Lost | Fate::Stale => self.proof.into_iter().flatten().collect(),
            _ => self.proof[0].into_iter().chain(self.proof[3]).collect(),
        };
        operations.sort_unstable();
        operations.dedup();
        Anomaly {
            property,
            kind,
            set: vec![property],
            key: Some(self.key),
            session: without.or(with).map(Txn::session),
            operations,
            cycle: self.cycle(history),
            assumes: Vec::new(),
            sentence,
        }
    }

    /// It was added, known, and then not there: as if the read came before the addition.
    fn cycle(&self, history: &History) -> Vec<Step> {
        let [Some(added), Some(known), Some(without), _] = self.proof else { return Vec::new() };
        if !matches!(self.fate, Fate::Lost | Fate::Stale) {
            return Vec::new();
        }
        let [add, by, read] = [added, known, without].map(|txn| history.txn(txn).index());
        let value = shown(history, self.value);
        let mut cycle = Vec::new();
        if added != known {
            let why = format!("#{by} saw {value}, which #{add} added");
            cycle.push(Step { from: added, to: known, edge: Edge::Wr, why });
        }
        let why = format!("#{by} returned before #{read} was invoked");
        cycle.push(Step { from: known, to: without, edge: Edge::Rt, why });
        let why = format!("#{read} lacks {value}, which #{add} added");
        cycle.push(Step { from: without, to: added, edge: Edge::Rw, why });
        cycle
    }
}
