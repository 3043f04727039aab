//! The operations of an anomaly side by side.
//!
//! ```text
//!   process 3 n2 #17 write x 41          |------|
//!   process 5 n1 #23 read x saw 40                      |------|
//!   F2 partition                         ~~~~~~~~~~~~~~~~~~~~~~~
//!                                        1.204 s         2.118 s
//! ```
//!
//! Every event gets the same room, whatever the time between them: a write of 3 ms and a read a
//! second later would otherwise both be a dot.

use crate::history::{FaultWindow, Rank, Txn};
use crate::model::{Kind, Nanos};
use crate::report::escape::clipped;
use crate::report::moment::{self, Moments};
use crate::report::{Finding, Report};

const LABEL: usize = 44;
const WIDTH: usize = 92;

/// The timeline, a row an operation, those of one process together; at most `limit` operations.
pub(super) fn timeline(report: &Report<'_>, finding: &Finding<'_>, limit: usize) -> Vec<String> {
    let moments = Moments::of(report, finding);
    let mut txns: Vec<Txn<'_>> = finding.operations.iter().copied().take(limit).collect();
    let first = |txn: &Txn<'_>| {
        let process = txn.process();
        finding.operations.iter().position(|other| other.process() == process)
    };
    txns.sort_by_key(|txn| (first(txn), txn.id));
    let operations = txns.iter().map(|txn| {
        let (node, what) = (moment::node(report, *txn), moment::what(report, *txn));
        let blank = if node.is_empty() { "" } else { " " };
        let label = format!("process {}{blank}{node} #{} {what}", txn.process(), txn.index());
        clipped(&label, LABEL)
    });
    let faults = finding.faults.iter().map(|fault| moment::fault_name(fault));
    let labels: Vec<String> = operations.chain(faults).collect();
    let label = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);

    let axis = Axis::new(report.metrics.clock, WIDTH - label, &txns, &finding.faults);
    let operations = txns.iter().map(|txn| axis.operation(*txn));
    let faults = finding.faults.iter().map(|fault| axis.fault(fault));
    let mut rows: Vec<String> = labels
        .iter()
        .zip(operations.chain(faults))
        .map(|(name, bar)| format!("{name:label$}  {bar}"))
        .collect();
    if let Some((begin, end)) = axis.ends(moments) {
        let room = axis.width.saturating_sub(begin.chars().count());
        rows.push(format!("{:label$}  {begin}{end:>room$}", ""));
    }
    rows
}

/// Where the events are: each a place, in order.
pub(super) struct Axis {
    /// Time, and the number of the event; the time is 0 where there is no clock.
    events: Vec<(Nanos, u32)>,
    clock: bool,
    /// How many columns there are.
    width: usize,
}

impl Axis {
    /// An axis for the events of these operations, and the ends of these faults among them.
    pub(super) fn new(
        clock: bool,
        width: usize,
        txns: &[Txn<'_>],
        faults: &[&FaultWindow],
    ) -> Self {
        let mut axis = Self { events: Vec::new(), clock, width };
        for txn in txns {
            axis.events.push(axis.begin(*txn));
            axis.events.extend(axis.end(*txn));
        }
        axis.events.sort_unstable();
        let (first, last) = (axis.events.first().copied(), axis.events.last().copied());
        let within = |at: &Nanos| {
            first.is_some_and(|(first, _)| first < *at) && last.is_some_and(|(last, _)| *at < last)
        };
        let ends = faults.iter().flat_map(|fault| [fault.begin, fault.end]);
        axis.events.extend(ends.filter(within).map(|at| (at, u32::MAX)));
        axis.events.sort_unstable();
        axis.events.dedup();
        axis
    }

    fn event(&self, time: Nanos, rank: Rank) -> (Nanos, u32) {
        (if self.clock { time } else { Nanos(0) }, rank.0)
    }

    fn begin(&self, txn: Txn<'_>) -> (Nanos, u32) {
        self.event(txn.invoked_at(), txn.invoked())
    }

    /// `None` if nobody knows.
    fn end(&self, txn: Txn<'_>) -> Option<(Nanos, u32)> {
        let known = matches!(txn.kind(), Kind::Ok | Kind::Fail);
        known.then(|| self.event(txn.returned_at(), txn.returned()))
    }

    fn column(&self, event: usize) -> usize {
        let last = self.events.len().saturating_sub(1).max(1);
        (event * (self.width - 1) / last).min(self.width - 1)
    }

    /// The first and the last column of an operation.
    pub(super) fn operation_columns(&self, txn: Txn<'_>) -> (usize, usize) {
        let column = |event| self.column(self.events.partition_point(|other| *other < event));
        (column(self.begin(txn)), self.end(txn).map_or(self.width - 1, column))
    }

    /// The columns from the first event at or after the beginning of a fault to the last at or
    /// before its end.
    pub(super) fn fault_columns(&self, fault: &FaultWindow) -> (usize, usize) {
        let begin = self.events.partition_point(|(at, _)| *at < fault.begin);
        let end = self.events.partition_point(|(at, _)| *at <= fault.end).saturating_sub(1);
        (self.column(begin), self.column(end.max(begin)))
    }

    fn operation(&self, txn: Txn<'_>) -> String {
        let (begin, end) = self.operation_columns(txn);
        let (line, last) = match txn.kind() {
            Kind::Ok => ("-", "|"),
            Kind::Fail => ("x", "|"),
            Kind::Info | Kind::Invoke => (".", "?"),
        };
        let mut bar = " ".repeat(begin) + "|";
        if end > begin {
            bar += &line.repeat(end - begin - 1);
            bar += last;
        }
        bar
    }

    fn fault(&self, fault: &FaultWindow) -> String {
        let (begin, end) = self.fault_columns(fault);
        " ".repeat(begin) + &"~".repeat(end - begin + 1)
    }

    /// What is written under its two ends.
    pub(super) fn ends(&self, moments: Moments) -> Option<(String, String)> {
        let (first, last) = (self.events.first()?, self.events.last()?);
        Some(match moments {
            Moments::Events => (format!("event {}", first.1), format!("event {}", last.1)),
            Moments::Sessions => return None,
            Moments::Seconds(_) => (moments.at(first.0), moments.at(last.0)),
        })
    }
}
