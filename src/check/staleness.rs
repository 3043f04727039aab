//! How stale reads were (ANOMALIES section 2, "Staleness"; Golab et al. 2011, Bailis et al. 2012).

use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::check::atomicity::{self, Atomicity};
use crate::check::list_atomicity;
use crate::check::metrics::{StaleRead, Staleness, Times};
use crate::history::{Datatype, History, KeyId, Rank, TxnId, ValueId};
use crate::model::{Function, Kind, Nanos};

/// Measures every key whose versions are in a known order; see [`Staleness`] for the meaning.
/// `broken` are the times of faults, disjoint and in order; `None` if the history has no clock.
pub(super) fn measure(history: &History, broken: Option<&[Range<Nanos>]>) -> Option<Staleness> {
    let by_key = history.by_key();
    let (mut reads, mut during_faults) = (0, 0);
    let ends = history.faults().iter().map(|fault| fault.end);
    let healed = ends.filter(|end| *end != Nanos::FOREVER).max().filter(|_| broken.is_some());
    let mut convergence = healed.map(|_| Nanos(0));
    let (mut times, mut behind, mut worst) = (Times::default(), Vec::new(), None::<StaleRead>);
    let mut atomicity: Option<Atomicity> = None;
    for key in history.keys() {
        let txns = by_key.group(key.0);
        let of_key = match history.datatype(key) {
            Datatype::List => list_atomicity::measure(history, key, txns),
            _ => atomicity::measure(history, key, txns),
        };
        atomicity = match (atomicity, of_key) {
            (Some(one), Some(other)) => Some(one.join(other)),
            (one, other) => one.or(other),
        };
        let Some(object) = Object::new(history, key, txns) else { continue };
        reads += object.reads.len() as u64;
        for mut stale in object.stale(history) {
            match broken {
                Some(broken) => {
                    let at = history.txn(stale.read).invoked_at();
                    let begun = broken.partition_point(|window| window.start <= at);
                    let in_fault = begun > 0 && at < broken[begun - 1].end;
                    during_faults += u64::from(in_fault);
                    let missed = history.txn(stale.missed).returned_at();
                    if let Some(healed) = healed.filter(|healed| missed <= *healed && *healed < at)
                    {
                        convergence = convergence.max(Some(at - healed));
                    }
                }
                None => stale.time = Nanos(0),
            }
            times.record(stale.time);
            behind.push(stale.versions);
            let rank = |one: &StaleRead| (one.time, one.versions);
            if worst.as_ref().is_none_or(|worst| rank(&stale) > rank(worst)) {
                worst = Some(stale);
            }
        }
    }
    behind.sort_unstable();
    let quantile = |percent: usize| {
        let place = (behind.len() * percent).div_ceil(100).saturating_sub(1);
        behind.get(place).copied().unwrap_or(0)
    };
    let mut visible = times.clone();
    visible.record_many(Nanos(0), reads - behind.len() as u64);
    if broken.is_none() {
        atomicity = atomicity.map(Atomicity::without_times);
    }
    (reads > 0).then(|| Staleness {
        atomicity,
        visible: visible.read().filter(|_| broken.is_some()),
        reads,
        stale: behind.len() as u64,
        during_faults,
        time: times.read().filter(|_| broken.is_some()),
        versions_p50: quantile(50),
        versions_p95: quantile(95),
        versions_max: quantile(100),
        convergence,
        worst,
    })
}

/// The acknowledged writes and the reads of one key, each with its place in the order of versions.
#[derive(Default)]
struct Object {
    /// In order of their place.
    writes: Vec<(u64, TxnId)>,
    /// In order of invocation: versions of a greater place than this are newer than what it saw.
    reads: Vec<(u64, TxnId)>,
}

impl Object {
    /// `None` where the order of the versions is not known.
    fn new(history: &History, key: KeyId, txns: &[TxnId]) -> Option<Self> {
        let object = match history.datatype(key) {
            Datatype::Register => Self::register(history, key, txns)?,
            Datatype::List => Self::list(history, key, txns)?,
            _ => return None,
        };
        (!object.writes.is_empty()).then_some(object)
    }

    /// A version's place is where its write begins; a read sees what is older than where the write
    /// of the version it returned ends.
    fn register(history: &History, key: KeyId, txns: &[TxnId]) -> Option<Self> {
        let mut object = Self::default();
        // When the write of each value ended: before everything for the initial value.
        let mut ended: FxHashMap<ValueId, Rank> = FxHashMap::default();
        for id in txns {
            let txn = history.txn(*id);
            let value = match written(history, key, *id, Function::Write) {
                Written::Nothing => continue,
                Written::Once(value) => value,
                Written::Otherwise => return None,
            };
            // A failed write nobody should see; that is another anomaly than staleness.
            let end = if txn.kind() == Kind::Fail { Rank::NEVER } else { txn.returned() };
            if value == ValueId::NULL || ended.insert(value, end).is_some() {
                return None;
            }
            if txn.is_ok() {
                object.writes.push((place(txn.invoked()), *id));
            }
        }
        for (id, value) in reads(history, key, txns) {
            let seen = if value == ValueId::NULL {
                Some(0)
            } else {
                ended.get(&value).copied().map(place)
            };
            if let Some(seen) = seen {
                object.reads.push((seen, id));
            }
        }
        Some(object)
    }

    /// A version's place is that of its last element in the longest list read.
    fn list(history: &History, key: KeyId, txns: &[TxnId]) -> Option<Self> {
        let (mut object, values) = (Self::default(), history.values());
        let reads: Vec<(TxnId, ValueId)> = reads(history, key, txns).collect();
        // A prefix is interned before what extends it.
        let longest = reads.iter().map(|(_, list)| *list).max().unwrap_or(ValueId::EMPTY);
        if !values.is_list(longest) {
            return None;
        }
        let elements = values.elements(longest);
        let mut depth: FxHashMap<ValueId, u64> = FxHashMap::default();
        let mut prefix = longest;
        for length in (1..=elements.len() as u64).rev() {
            depth.insert(prefix, length);
            prefix = values.split(prefix)?.0;
        }
        depth.insert(ValueId::EMPTY, 0);
        for (id, list) in reads {
            object.reads.push((*depth.get(&list)?, id));
        }
        let mut places: FxHashMap<ValueId, u64> = FxHashMap::default();
        for (at, element) in (1..).zip(elements) {
            if places.insert(element, at).is_some() {
                return None;
            }
        }
        let mut appended: FxHashMap<ValueId, TxnId> = FxHashMap::default();
        for id in txns {
            let element = match written(history, key, *id, Function::Append) {
                Written::Nothing => continue,
                Written::Once(element) => element,
                Written::Otherwise => return None,
            };
            if appended.insert(element, *id).is_some() {
                return None;
            }
            if let Some(at) = places.get(&element).filter(|_| history.txn(*id).is_ok()) {
                object.writes.push((*at, *id));
            }
        }
        object.writes.sort_unstable();
        Some(object)
    }

    /// The stale reads. Reads come in order of invocation, and with them the writes acknowledged
    /// before, in a tree that counts those of a greater place.
    fn stale(&self, history: &History) -> Vec<StaleRead> {
        // The earliest acknowledgement among the writes from each place on.
        let mut earliest: Vec<TxnId> = self.writes.iter().map(|(_, id)| *id).collect();
        for at in (1..earliest.len()).rev() {
            let (one, next) = (history.txn(earliest[at - 1]), history.txn(earliest[at]));
            earliest[at - 1] = if one.returned() < next.returned() { one.id } else { next.id };
        }
        let mut by_return: Vec<usize> = (0..self.writes.len()).collect();
        by_return.sort_unstable_by_key(|at| history.txn(self.writes[*at].1).returned());
        let mut by_return = by_return.into_iter().peekable();
        let mut acknowledged = Tree::new(self.writes.len());
        let mut stale = Vec::new();
        for (seen, id) in &self.reads {
            let read = history.txn(*id);
            let before = |at: &usize| history.txn(self.writes[*at].1).precedes(read);
            while let Some(at) = by_return.next_if(before) {
                acknowledged.add(at);
            }
            let newer = self.writes.partition_point(|(place, _)| place <= seen);
            let Some(missed) = earliest.get(newer).map(|id| history.txn(*id)) else { continue };
            if missed.precedes(read) {
                let time = read.invoked_at() - missed.returned_at();
                let versions = acknowledged.from(newer);
                stale.push(StaleRead { read: *id, missed: missed.id, time, versions });
            }
        }
        stale
    }
}

/// Ranks start at 0, where the initial value is older than everything.
fn place(rank: Rank) -> u64 {
    u64::from(rank.0) + 1
}

/// What a transaction wrote to a key.
enum Written {
    Nothing,
    Once(ValueId),
    /// By another function, or more than once: not each of its writes makes a version others see.
    Otherwise,
}

fn written(history: &History, key: KeyId, id: TxnId, function: Function) -> Written {
    let accesses = history.txn(id).accesses();
    let mut writes = accesses.filter(|one| one.key == key && one.function != Function::Read);
    match (writes.next(), writes.next()) {
        (None, _) => Written::Nothing,
        (Some(one), None) if one.function == function => Written::Once(one.value),
        _ => Written::Otherwise,
    }
}

/// What successful transactions read of a key before they wrote to it themselves.
fn reads<'h>(
    history: &'h History,
    key: KeyId,
    txns: &'h [TxnId],
) -> impl Iterator<Item = (TxnId, ValueId)> + 'h {
    txns.iter().filter_map(move |id| {
        let txn = history.txn(*id);
        let first = txn.accesses().find(|access| access.key == key)?;
        let is_read = txn.is_ok() && first.function == Function::Read;
        (is_read && first.value != ValueId::UNKNOWN).then_some((*id, first.value))
    })
}

/// Counts marked places from one on (Fenwick 1994).
pub(super) struct Tree {
    counts: Vec<u64>,
    total: u64,
}

impl Tree {
    pub(super) fn new(places: usize) -> Self {
        Self { counts: vec![0; places + 1], total: 0 }
    }

    pub(super) fn add(&mut self, place: usize) {
        self.total += 1;
        let mut at = place + 1;
        while at < self.counts.len() {
            self.counts[at] += 1;
            at += at & at.wrapping_neg();
        }
    }

    pub(super) fn from(&self, place: usize) -> u64 {
        let (mut before, mut at) = (0, place);
        while at > 0 {
            before += self.counts[at];
            at -= at & at.wrapping_neg();
        }
        self.total - before
    }
}
