//! How far a register is from linearizable: Δ-atomicity and k-atomicity (Golab, Li and Shah,
//! "Analyzing Consistency Properties for Fun and Profit", PODC 2011).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use crate::check::two_atomicity::{Write, is_two_atomic};
use crate::history::{History, KeyId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind, Nanos};

/// How far the reads of a register or list, or of several, are from linearizable. What is updated by
/// `rmw` or `cas` has none: what an update read is no version it could have read as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Atomicity {
    /// The least Δ such that the history is linearizable if every read is moved to begin Δ earlier:
    /// zero if and only if it is. Absent if no Δ is enough, because a read returned what was never
    /// written, or not yet, or the history has no clock.
    pub delta: Option<Nanos>,
    /// At least so many versions must count as the latest if each read returns one of them: one if
    /// and only if the history is linearizable.
    pub versions_at_least: u64,
    /// So many are enough; absent if no number is.
    pub versions_at_most: Option<u64>,
}

impl Atomicity {
    /// Without a clock only whether Δ is zero is known.
    pub(super) fn without_times(self) -> Self {
        Self { delta: self.delta.filter(|delta| delta.0 == 0), ..self }
    }

    /// What holds of both.
    pub(super) fn join(self, other: Self) -> Self {
        let both = |one: Option<u64>, other: Option<u64>| Some(one?.max(other?));
        Self {
            delta: both(self.delta.map(|d| d.0), other.delta.map(|d| d.0)).map(Nanos),
            versions_at_least: self.versions_at_least.max(other.versions_at_least),
            versions_at_most: both(self.versions_at_most, other.versions_at_most),
        }
    }
}

/// Measures a register with plain writes of values that are written once each; `None` for any other
/// object. `txns` are those on the key, in order of invocation.
///
/// Δ by bisection over the test for linearizability of Gibbons and Korach (1997), O(n) each after
/// one sort. Whether one or two versions are enough is decided exactly; for k > 2 that is a hard
/// question, so k is bounded: from below by three and the versions that each read by itself is behind,
/// from above by one good order, in which writes stand by the first return of the write or of a read
/// of it. O(n log n).
pub(super) fn measure(history: &History, key: KeyId, txns: &[TxnId]) -> Option<Atomicity> {
    let register = Register::new(history, key, txns)?;
    if register.is_impossible {
        return Some(Atomicity { delta: None, versions_at_least: 1, versions_at_most: None });
    }
    let by_rank = register.zones(|(rank, _)| u64::from(rank.0) + 1);
    if !conflict(&by_rank, 0) {
        let one =
            Atomicity { delta: Some(Nanos(0)), versions_at_least: 1, versions_at_most: Some(1) };
        return Some(one);
    }
    let by_time = register.zones(|(_, at)| at.0.saturating_add(1));
    // Two events of one instant can be in order by rank: a violation by less than the clock shows.
    let (mut low, mut high) = (1, by_time.iter().map(|zone| zone.last_read).max().unwrap_or(1));
    while low < high {
        let middle = low + (high - low) / 2;
        if conflict(&by_time, middle) { low = middle + 1 } else { high = middle }
    }
    let (least, most) = register.versions();
    let (least, most) = match register.is_two_atomic() {
        Some(true) => (2, 2),
        Some(false) => (least.max(3), most.max(3)),
        None => (least.max(2), most.max(2)),
    };
    Some(Atomicity {
        delta: Some(Nanos(low)),
        versions_at_least: least,
        versions_at_most: Some(most),
    })
}

type Moment = (Rank, Nanos);

/// A write and its reads.
struct Cluster {
    invoked: Moment,
    returned: Moment,
    first_return: Moment,
    last_read: Option<Moment>,
    is_seen: bool,
}

struct Register {
    /// The initial version first.
    clusters: Vec<Cluster>,
    /// Invocation and return of each read, and its cluster; in order of invocation.
    reads: Vec<(Rank, Rank, usize)>,
    /// Whether a read returned what was never written, or not yet.
    is_impossible: bool,
}

const BEFORE: Moment = (Rank(0), Nanos(0));

impl Register {
    fn new(history: &History, key: KeyId, txns: &[TxnId]) -> Option<Self> {
        let initial = Cluster {
            invoked: BEFORE,
            returned: BEFORE,
            first_return: BEFORE,
            last_read: None,
            is_seen: true,
        };
        let mut register =
            Self { clusters: vec![initial], reads: Vec::new(), is_impossible: false };
        let mut numbers: FxHashMap<ValueId, usize> = FxHashMap::default();
        numbers.insert(ValueId::NULL, 0);
        let possible = || txns.iter().map(|id| history.txn(*id)).filter(|t| t.kind() != Kind::Fail);
        for txn in possible().filter(|txn| txn.writes()) {
            let access = only(txn, key, Function::Write)?;
            if numbers.insert(access, register.clusters.len()).is_some() {
                return None;
            }
            let returned = (txn.returned(), txn.returned_at());
            register.clusters.push(Cluster {
                invoked: (txn.invoked(), txn.invoked_at()),
                returned,
                first_return: returned,
                last_read: None,
                is_seen: txn.is_ok(),
            });
        }
        for txn in possible().filter(|txn| txn.is_ok() && !txn.writes()) {
            let value = only(txn, key, Function::Read)?;
            if value != ValueId::UNKNOWN {
                register.add_read(txn, numbers.get(&value).copied());
            }
        }
        (!register.reads.is_empty() && !numbers.contains_key(&ValueId::UNKNOWN)).then_some(register)
    }

    fn add_read(&mut self, read: Txn<'_>, cluster: Option<usize>) {
        let number = cluster.unwrap_or(0);
        let one = &mut self.clusters[number];
        let is_future = number > 0 && read.returned() < one.invoked.0;
        self.is_impossible |= cluster.is_none() || is_future;
        if number > 0 {
            one.first_return = one.first_return.min((read.returned(), read.returned_at()));
        }
        one.last_read = one.last_read.max(Some((read.invoked(), read.invoked_at())));
        one.is_seen = true;
        self.reads.push((read.invoked(), read.returned(), number));
    }

    /// The clusters that count, by first return, measured by ranks or by times; the initial one lies
    /// before all that is measured.
    fn zones(&self, measure: impl Fn(Moment) -> u64) -> Vec<Zone> {
        let zone = |(at, cluster): (usize, &Cluster)| Zone {
            first_return: if at == 0 { 0 } else { measure(cluster.first_return) },
            write: if at == 0 { 0 } else { measure(cluster.invoked) },
            last_read: cluster.last_read.map_or(0, &measure),
        };
        let seen = self.clusters.iter().enumerate().filter(|(_, cluster)| cluster.is_seen);
        let mut zones: Vec<Zone> = seen.map(zone).collect();
        zones.sort_by_key(|zone| zone.first_return);
        zones
    }

    /// Whether two versions are enough; `None` if that takes too many steps.
    fn is_two_atomic(&self) -> Option<bool> {
        const STEPS_EACH: u64 = 200;
        let seen = self.clusters.iter().enumerate().filter(|(_, cluster)| cluster.is_seen);
        let (mut number, mut writes) = (vec![0; self.clusters.len()], Vec::new());
        for (at, cluster) in seen {
            number[at] = writes.len() as u32;
            // The initial version lies before all ranks.
            let after_it = u32::from(at > 0);
            writes.push(Write {
                invoked: cluster.invoked.0.0 + after_it,
                over: cluster.first_return.0.0.saturating_add(after_it),
            });
        }
        let reads = self.reads.iter().map(|(invoked, _, of)| (invoked.0 + 1, number[*of]));
        let steps = STEPS_EACH * (writes.len() + self.reads.len()) as u64;
        is_two_atomic(&writes, reads, steps)
    }

    /// How many versions must count as the latest, and how many are enough.
    fn versions(&self) -> (u64, u64) {
        let mut order: Vec<usize> =
            (0..self.clusters.len()).filter(|at| self.clusters[*at].is_seen).collect();
        order[1..].sort_by_key(|at| self.clusters[*at].first_return);
        let mut position = vec![0_u64; self.clusters.len()];
        let mut ends = BinaryHeap::new();
        for (at, cluster) in (0..).zip(&order) {
            position[*cluster] = at;
            if *cluster > 0 {
                ends.push(Reverse((self.clusters[*cluster].returned.0, at)));
            }
        }
        // A read stands right after what it must not stand before: its own write, the writes that
        // returned before it began, and where earlier reads stand.
        let (mut floor, mut most) = (0, 1);
        for (invoked, returned, cluster) in &self.reads {
            while let Some(Reverse((_, at))) = ends.peek().filter(|end| end.0.0 < *invoked) {
                floor = floor.max(*at);
                ends.pop();
            }
            let place = floor.max(position[*cluster]);
            most = most.max(place - position[*cluster] + 1);
            ends.push(Reverse((*returned, place)));
        }
        (self.least(), most)
    }

    /// The most versions that a read by itself is behind, and one: the writes that began after the
    /// write it read had returned, and that had returned when it began.
    fn least(&self) -> u64 {
        // In order of invocation of the reads; writes come in by return, and count by invocation.
        let mut writes: Vec<&Cluster> =
            self.clusters[1..].iter().filter(|one| one.returned.0 != Rank::NEVER).collect();
        writes.sort_unstable_by_key(|one| one.invoked.0);
        let begun = |at: Rank| writes.partition_point(|one| one.invoked.0 < at);
        let mut by_return: Vec<usize> = (0..writes.len()).collect();
        by_return.sort_unstable_by_key(|at| writes[*at].returned.0);
        let mut by_return = by_return.into_iter().peekable();
        let mut tree = crate::check::staleness::Tree::new(writes.len());
        let mut least = 1;
        for (invoked, _, cluster) in &self.reads {
            while let Some(at) = by_return.next_if(|at| writes[*at].returned.0 < *invoked) {
                tree.add(at);
            }
            let newer = if *cluster == 0 { 0 } else { begun(self.clusters[*cluster].returned.0) };
            least = least.max(1 + tree.from(newer));
        }
        least
    }
}

/// The single access of an operation, if it is of this kind and to this key.
pub(super) fn only(txn: Txn<'_>, key: KeyId, function: Function) -> Option<ValueId> {
    let mut accesses = txn.accesses();
    let access = accesses.next().filter(|one| one.key == key && one.function == function)?;
    accesses.next().is_none().then_some(access.value)
}

/// When a cluster must be over, and what must come before that: its write, and its last read.
struct Zone {
    first_return: u64,
    write: u64,
    last_read: u64,
}

/// Whether two zones, by first return, must each come before the other if reads are moved to begin
/// `shift` earlier. Until there are such two, at most one zone reaches beyond the next first return.
fn conflict(zones: &[Zone], shift: u64) -> bool {
    let last = |zone: &Zone| zone.write.max(zone.last_read.saturating_sub(shift));
    let mut cover: Option<(u64, u64)> = None;
    zones.iter().any(|zone| {
        let (first, last) = (zone.first_return, last(zone));
        let conflicts = cover.is_some_and(|(f, s)| first < s && f < last);
        if cover.is_none_or(|(_, s)| last > s) {
            cover = Some((first, last));
        }
        conflicts
    })
}
