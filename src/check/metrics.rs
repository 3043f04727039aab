//! Numbers about a history: how much was done, how fast, how stale.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::check::atomicity::Atomicity;
use crate::check::coverage::{Coverage, coverage};
use crate::check::losses::{self, Losses};
use crate::check::staleness;
use crate::history::{FaultWindow, History, NodeId, Rank, Txn, TxnId};
use crate::model::{Function, Kind, Nanos};

/// Measures a history in O(n log n).
///
/// An operation belongs to a fault window if it was *invoked* during it: when an indeterminate
/// operation ended nobody knows, and a rule that looks at the end of the others would favour them.
pub fn measure(history: &History) -> Metrics {
    let clock = has_times(history);
    let span = clock.then(|| span(history));
    let mut all = Meter::default();
    let mut functions: BTreeMap<Function, Meter> = BTreeMap::new();
    let mut nodes: BTreeMap<NodeId, Meter> = BTreeMap::new();
    for txn in history.txns() {
        all.see(txn, clock);
        functions.entry(txn.function()).or_default().see(txn, clock);
        if let Some(node) = txn.node().filter(|node| node.index() < NODES_MEASURED) {
            nodes.entry(node).or_default().see(txn, clock);
        }
    }
    let length = span.as_ref().map(|span| span.end - span.start);
    let all = all.read((), length);
    let (faults, windows) = match &span {
        Some(span) => (by_fault(history, span), by_window(history, span)),
        None => (Vec::new(), Vec::new()),
    };
    let broken = span
        .as_ref()
        .map(|span| union(history.faults().iter().map(|fault| clipped(fault, span)).collect()));
    let staleness = staleness::measure(history, broken.as_deref());
    let runs = |windows: &[Range<Nanos>]| -> Vec<Range<u32>> {
        windows.iter().map(|window| invoked_in(history, window)).collect()
    };
    let (outside, during) = match (&span, &broken) {
        (Some(span), Some(broken)) if !history.faults().is_empty() => {
            let faults = history.faults().iter().take(WINDOWS_MEASURED);
            let windows: Vec<_> = faults.map(|fault| clipped(fault, span)).collect();
            (Some(runs(&gaps(broken, span))), runs(&windows))
        }
        _ => (None, Vec::new()),
    };
    let losses = losses::measure(history, outside.as_deref(), &during);
    Metrics {
        clock,
        counts: all.counts,
        ok_per_second: all.ok_per_second,
        latency: all.latency,
        pace: pace(history, clock),
        span: length,
        functions: functions.into_iter().map(|(of, meter)| meter.read(of, length)).collect(),
        nodes: nodes.into_iter().map(|(of, meter)| meter.read(of, length)).collect(),
        faults,
        windows,
        staleness,
        losses,
        coverage: coverage(history),
    }
}

/// Numbers about a history.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Whether the times of the history are those of a clock; otherwise nothing below that is
    /// measured in time is there.
    pub clock: bool,
    /// All operations.
    pub counts: Counts,
    /// Successful operations a second.
    pub ok_per_second: Option<f64>,
    /// How long the successful operations took.
    pub latency: Option<Latency>,
    /// How well the pace of an open loop was kept; absent if no operation was late.
    pub pace: Option<Pace>,
    /// From the first invocation to the last event.
    pub span: Option<Nanos>,
    /// By what was done.
    pub functions: Vec<Measured<Function>>,
    /// By node contacted; the first 256 nodes.
    pub nodes: Vec<Measured<NodeId>>,
    /// By the name of the fault during which an operation was invoked, first `None`: no fault at
    /// all. Empty if the history has no faults or no clock. Faults that overlap count twice.
    pub faults: Vec<Measured<Option<Arc<str>>>>,
    /// By fault window, as a place in [`History::faults`]; the first 100.
    pub windows: Vec<Measured<usize>>,
    /// How stale reads were; absent if there is no key whose versions are in a known order.
    pub staleness: Option<Staleness>,
    /// What was acknowledged and lost, for each kind of loss that could be judged.
    pub losses: Vec<Losses>,
    /// Which faults there were.
    pub coverage: Vec<Coverage>,
}

impl Metrics {
    /// The operations invoked while nothing was broken; all of them where there were no faults;
    /// absent where there were, but the history has no clock to tell when.
    pub fn outside_faults(&self, history: &History) -> Option<Counts> {
        match self.faults.first() {
            Some(none) => Some(none.counts),
            None => history.faults().is_empty().then_some(self.counts),
        }
    }
}

/// How many operations, and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub operations: u64,
    /// Took effect.
    pub ok: u64,
    /// Certainly had no effect.
    pub fail: u64,
    /// Nobody knows.
    pub info: u64,
}

impl Counts {
    /// The fraction that succeeded; absent if there was none to succeed.
    pub fn ok_fraction(&self) -> Option<f64> {
        (self.operations > 0).then(|| self.ok as f64 / self.operations as f64)
    }

    fn see(&mut self, kind: Kind) {
        self.operations += 1;
        match kind {
            Kind::Ok => self.ok += 1,
            Kind::Fail => self.fail += 1,
            Kind::Info | Kind::Invoke => self.info += 1,
        }
    }
}

/// What was measured of one group of operations.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured<K> {
    /// Which group.
    pub of: K,
    /// How many operations.
    pub counts: Counts,
    /// Successful operations a second of the time the group covers.
    pub ok_per_second: Option<f64>,
    /// How long the successful operations took.
    pub latency: Option<Latency>,
}

/// Quantiles of a time, to three digits; the maximum is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Half of them took at most this.
    pub p50: Nanos,
    /// 95 % of them took at most this.
    pub p95: Nanos,
    /// 99 % of them took at most this.
    pub p99: Nanos,
    /// None took longer.
    pub max: Nanos,
}

/// Of operations that come at a pace of their own whatever becomes of those before, as users do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many were invoked more than a millisecond later than they were due.
    pub late: u64,
    /// How much later all of them were invoked, those that were in time as well.
    pub waited: Latency,
    /// How long the successful ones took from when they were due: no wait is omitted.
    pub latency: Option<Latency>,
}

/// How stale reads were, by the definitions of ANOMALIES section 2: `t(r)` and `k(r)`.
///
/// A read is stale if it returned a version although a newer one had been *acknowledged before the
/// read began*. Newer is: for a list, further on in the longest list that was read (all lists read
/// being its prefixes); for a register whose values are written once each, written by an
/// operation that began after the write of the returned version had been acknowledged (with
/// one writer that is its session order). A value whose write stayed unknown is never stale, and
/// unacknowledged writes make no read stale, so both figures are lower bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staleness {
    /// The reads that could be judged.
    pub reads: u64,
    /// Those of them that were stale.
    pub stale: u64,
    /// The stale ones that were invoked while something was broken.
    pub during_faults: u64,
    /// How long after its acknowledgement a write was seen by so many of the reads: `t(r)` of all
    /// reads, zero for those that were not stale (t-visibility of Bailis et al. 2012). Absent without a
    /// clock.
    pub visible: Option<Latency>,
    /// How far from linearizable the registers are whose values are written once each, and by
    /// plain writes, and the lists to which each element is appended once; absent if there is none.
    pub atomicity: Option<Atomicity>,
    /// `t(r)` of the stale reads: how long ago the oldest version they missed had been
    /// acknowledged. Absent without a clock.
    pub time: Option<Latency>,
    /// How many versions stale reads were behind: the median of `k(r) - 1`.
    pub versions_p50: u64,
    /// Its 95th percentile.
    pub versions_p95: u64,
    /// Its maximum.
    pub versions_max: u64,
    /// How long after the last fault had ended a read still missed what had been acknowledged before
    /// that. Absent without a clock or faults that ended.
    pub convergence: Option<Nanos>,
    /// The stalest read: by time, or by versions where there is no clock.
    pub worst: Option<StaleRead>,
}

/// A read and the oldest version it should have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleRead {
    /// The read.
    pub read: TxnId,
    /// The oldest newer write that had been acknowledged before it began.
    pub missed: TxnId,
    /// `t(r)`: how long before; 0 without a clock.
    pub time: Nanos,
    /// How many newer versions had been acknowledged: `k(r) - 1`.
    pub versions: u64,
}

/// A node beyond these is counted in the whole only: a histogram takes up to 200 KiB.
const NODES_MEASURED: usize = 256;
const WINDOWS_MEASURED: usize = 100;

/// Whether times are those of a clock, and not absent (all alike) or numbers of events.
///
/// Numbers of events are told by their pace: no recorder writes more than an event each 4 ns, and
/// none writes every event exactly as long after the one before.
fn has_times(history: &History) -> bool {
    let points = history.txns().flat_map(|txn| {
        let end = (txn.returned() != Rank::NEVER).then(|| (txn.returned(), txn.returned_at()));
        std::iter::once((txn.invoked(), txn.invoked_at())).chain(end)
    });
    let Some((last, end)) = points.clone().max_by_key(|(rank, _)| *rank) else { return false };
    let start = span(history).start;
    let (events, whole) = (u128::from(last.0), u128::from((end - start).0));
    if whole <= events * 4 {
        return false;
    }
    // at = start + rank * whole / events, without a division
    let mut points = points;
    let at_one_pace =
        points.all(|(rank, at)| u128::from((at - start).0) * events == u128::from(rank.0) * whole);
    !(events >= 8 && at_one_pace)
}

fn span(history: &History) -> Range<Nanos> {
    let mut txns = history.txns();
    let start = txns.clone().next().map_or(Nanos(0), Txn::invoked_at);
    let last = txns.next_back().map_or(start, Txn::invoked_at);
    let end = history.txns().map(Txn::returned_at).filter(|at| *at != Nanos::FOREVER).max();
    start..end.map_or(last, |end| end.max(last))
}

/// Collects what becomes a [`Measured`].
#[derive(Default)]
struct Meter {
    counts: Counts,
    times: Times,
}

impl Meter {
    fn see(&mut self, txn: Txn<'_>, clock: bool) {
        self.counts.see(txn.kind());
        if clock && txn.is_ok() {
            self.times.record(txn.returned_at() - txn.invoked_at());
        }
    }

    fn read<K>(self, of: K, length: Option<Nanos>) -> Measured<K> {
        let ok = self.counts.ok as f64;
        let ok_per_second = length.filter(|length| length.0 > 0).map(|l| ok / (l.0 as f64 / 1e9));
        Measured { of, counts: self.counts, ok_per_second, latency: self.times.read() }
    }
}

/// How long an operation may wait and be in time: less is the working of timers and of a busy machine.
const IN_TIME: Nanos = Nanos::from_millis(1);

/// How well operations came at their pace; nothing is measured where none was late.
fn pace(history: &History, clock: bool) -> Option<Pace> {
    let late = history.txns().filter(|txn| txn.waited() > IN_TIME).count() as u64;
    if late == 0 {
        return None;
    }
    let (mut waited, mut from_due) = (Times::default(), Times::default());
    for txn in history.txns() {
        waited.record(txn.waited());
        if clock && txn.is_ok() {
            from_due.record(txn.returned_at() - txn.invoked_at() + txn.waited());
        }
    }
    Some(Pace { late, waited: waited.read()?, latency: from_due.read() })
}

/// Collects times for their quantiles: a histogram that is made when the first one comes.
#[derive(Clone, Default)]
pub struct Times {
    histogram: Option<Histogram<u64>>,
    max: u64,
}

impl Times {
    /// Adds a time.
    pub fn record(&mut self, time: Nanos) {
        self.record_many(time, 1);
    }

    pub(super) fn record_many(&mut self, time: Nanos, count: u64) {
        if count == 0 {
            return;
        }
        if self.histogram.is_none() {
            self.histogram = Histogram::new(3).ok();
        }
        // 2^61 ns are 73 years: the histogram could hold no more.
        let time = time.0.min(1 << 61);
        if self.histogram.as_mut().is_some_and(|histogram| histogram.record_n(time, count).is_ok())
        {
            self.max = self.max.max(time);
        }
    }

    /// The quantiles of what was added; absent if that is nothing.
    pub fn read(&self) -> Option<Latency> {
        let histogram = self.histogram.as_ref()?;
        let at = |quantile| Nanos(histogram.value_at_quantile(quantile).min(self.max));
        Some(Latency { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: Nanos(self.max) })
    }
}

/// First what was invoked outside every fault, then by name of the fault.
fn by_fault(history: &History, span: &Range<Nanos>) -> Vec<Measured<Option<Arc<str>>>> {
    let mut names: BTreeMap<Arc<str>, Vec<Range<Nanos>>> = BTreeMap::new();
    for fault in history.faults() {
        names.entry(fault.name.clone()).or_default().push(clipped(fault, span));
    }
    if names.is_empty() {
        return Vec::new();
    }
    let all = union(names.values().flatten().cloned().collect());
    let none = gaps(&all, span);
    let mut measured = vec![during(history, None, &none)];
    for (name, windows) in names.into_iter().take(WINDOWS_MEASURED) {
        measured.push(during(history, Some(name), &union(windows)));
    }
    measured
}

fn by_window(history: &History, span: &Range<Nanos>) -> Vec<Measured<usize>> {
    let windows = history.faults().iter().take(WINDOWS_MEASURED).enumerate();
    windows.map(|(at, fault)| during(history, at, &[clipped(fault, span)])).collect()
}

/// A fault window as far as the history goes.
fn clipped(fault: &FaultWindow, span: &Range<Nanos>) -> Range<Nanos> {
    // The end of the span is itself a time of the history.
    let end = Nanos(span.end.0.saturating_add(1));
    fault.begin.clamp(span.start, end)..fault.end.clamp(span.start, end)
}

/// Measures the operations invoked during disjoint windows. They are in order of invocation, so
/// each window is a run of them.
fn during<K>(history: &History, of: K, windows: &[Range<Nanos>]) -> Measured<K> {
    let mut meter = Meter::default();
    let mut length = Nanos(0);
    for window in windows {
        length = length + (window.end - window.start);
        for txn in invoked_in(history, window) {
            meter.see(history.txn(TxnId(txn)), true);
        }
    }
    meter.read(of, Some(length))
}

fn invoked_in(history: &History, window: &Range<Nanos>) -> Range<u32> {
    let first_at = |time: Nanos| {
        let (mut low, mut high) = (0, history.len() as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            if history.txn(TxnId(middle)).invoked_at() < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    };
    first_at(window.start)..first_at(window.end)
}

/// The same time in disjoint windows, in order.
fn union(mut windows: Vec<Range<Nanos>>) -> Vec<Range<Nanos>> {
    windows.sort_unstable_by_key(|window| (window.start, window.end));
    let mut merged: Vec<Range<Nanos>> = Vec::new();
    for window in windows {
        match merged.last_mut() {
            Some(last) if window.start <= last.end => last.end = last.end.max(window.end),
            _ => merged.push(window),
        }
    }
    merged
}

/// What of the span is in none of the disjoint windows.
fn gaps(windows: &[Range<Nanos>], span: &Range<Nanos>) -> Vec<Range<Nanos>> {
    let starts = std::iter::once(span.start).chain(windows.iter().map(|window| window.end));
    let end = Nanos(span.end.0.saturating_add(1));
    let ends = windows.iter().map(|window| window.start).chain([end]);
    starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end).collect()
}
