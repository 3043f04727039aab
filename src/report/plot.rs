//! Pictures as inline SVG.

use std::f64::consts::TAU;
use std::fmt::Write;
use std::ops::Range;

use crate::history::{History, Txn, TxnId};
use crate::model::{Function, Nanos};
use crate::report::escape::xml;
use crate::report::moment::{self, Moments};
use crate::report::timeline::Axis;
use crate::report::{Finding, Report, grouped};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 220.0;
/// Room for the labels of the vertical axis, and of the horizontal one.
const LEFT: f64 = 90.0;
const BOTTOM: f64 = 20.0;
/// Points of the latency plot; of more operations every n-th is drawn.
const POINTS: usize = 4000;
const BUCKETS: usize = 120;
/// Operations drawn around an anomaly.
const NEIGHBOURS: usize = 150;

const COLOURS: [&str; 6] = ["#2f6fb5", "#b5651d", "#3c8d4f", "#8250a8", "#a83e62", "#5c6670"];

/// From times to places.
struct Scale {
    begin: Nanos,
    end: Nanos,
}

impl Scale {
    fn of(history: &History) -> Self {
        let times = |txn: Txn<'_>| [txn.invoked_at(), txn.returned_at()];
        let all = || history.txns().flat_map(times).filter(|at| *at != Nanos::FOREVER);
        Self { begin: all().min().unwrap_or_default(), end: all().max().unwrap_or_default() }
    }

    fn x(&self, time: Nanos) -> f64 {
        let part = (time.clamp(self.begin, self.end) - self.begin).0 as f64;
        let whole = (self.end - self.begin).0.max(1) as f64;
        LEFT + (WIDTH - LEFT) * part / whole
    }

    /// A shaded band for every fault of this time, and the labels of the time axis.
    fn frame(&self, report: &Report<'_>, height: f64) -> String {
        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {}\">", height + BOTTOM);
        let seen = |begin: Nanos, end: Nanos| begin <= self.end && self.begin < end;
        for fault in report.history.faults().iter().filter(|one| seen(one.begin, one.end)).take(200)
        {
            let (from, to) = (self.x(fault.begin), self.x(fault.end));
            band(&mut svg, from, (to - from).max(1.0), height, &moment::fault_name(fault));
        }
        let moments = Moments::Seconds(3);
        bounds(&mut svg, height, &moments.at(self.begin), &moments.at(self.end));
        svg
    }
}

/// A shaded band for a fault.
fn band(svg: &mut String, x: f64, width: f64, height: f64, name: &str) {
    let (name, text) = (xml(name), x + 2.0);
    let _ = write!(
        svg,
        "<rect x=\"{x:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{height}\" fill=\"#f2b8b5\" fill-opacity=\".35\"><title>{name}</title></rect><text x=\"{text:.1}\" y=\"11\">{name}</text>"
    );
}

/// The axes, and what is written at both ends of the horizontal one.
fn bounds(svg: &mut String, height: f64, begin: &str, end: &str) {
    let y = height + 15.0;
    let _ = write!(
        svg,
        "<path d=\"M{LEFT} 0V{height}H{WIDTH}\" fill=\"none\" stroke=\"#8a9199\"/><text x=\"{LEFT}\" y=\"{y}\">{begin}</text><text x=\"{WIDTH}\" y=\"{y}\" text-anchor=\"end\">{end}</text>"
    );
}

/// A label of the vertical axis.
fn label(svg: &mut String, y: f64, text: &str) {
    let x = LEFT - 6.0;
    let _ = write!(svg, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", xml(text));
}

/// Latency over time, a dot an operation, on a logarithmic scale.
pub(super) fn latency(report: &Report<'_>) -> String {
    let (history, scale) = (report.history, Scale::of(report.history));
    let mut svg = scale.frame(report, HEIGHT);
    let Some(latency) = &report.metrics.latency else { return svg + "</svg>" };
    let low = history
        .txns()
        .filter(|txn| txn.is_ok())
        .map(|txn| (txn.returned_at() - txn.invoked_at()).0)
        .min()
        .unwrap_or(1);
    let (low, high) = (low.max(1000), latency.max.0.max(1001));
    let place = |time: Nanos| {
        let part = (time.0.max(low) as f64 / low as f64).ln() / (high as f64 / low as f64).ln();
        HEIGHT - (HEIGHT - 20.0) * part.clamp(0.0, 1.0)
    };
    let mut labelled: Vec<f64> = Vec::new();
    for time in [Nanos(low), Nanos(high), latency.p50, latency.p99] {
        let y = place(time);
        if labelled.iter().all(|other| (y - other).abs() > 12.0) {
            label(&mut svg, y, &time.to_string());
            labelled.push(y);
        }
    }
    let every = history.len().div_ceil(POINTS).max(1);
    let mut functions: Vec<Function> = Vec::new();
    for txn in history.txns().filter(|txn| txn.is_ok()).step_by(every) {
        let at = functions.iter().position(|function| *function == txn.function());
        let at = at.unwrap_or_else(|| {
            functions.push(txn.function());
            functions.len() - 1
        });
        let (x, y) = (scale.x(txn.invoked_at()), place(txn.returned_at() - txn.invoked_at()));
        let colour = COLOURS[at % COLOURS.len()];
        let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.6\" fill=\"{colour}\"/>");
    }
    for (at, function) in functions.iter().enumerate() {
        let (x, colour) = (WIDTH - 90.0 * (at + 1) as f64, COLOURS[at % COLOURS.len()]);
        let _ =
            write!(svg, "<text x=\"{x}\" y=\"24\" fill=\"{colour}\">{}</text>", function.name());
    }
    svg + "</svg>"
}

/// Successful operations a second, by time of return.
pub(super) fn throughput(report: &Report<'_>) -> String {
    let scale = Scale::of(report.history);
    let mut svg = scale.frame(report, HEIGHT);
    let whole = (scale.end - scale.begin).0.max(1);
    let mut counts = [0_u64; BUCKETS];
    for txn in report.history.txns().filter(|txn| txn.is_ok()) {
        let part = u128::from((txn.returned_at() - scale.begin).0) * BUCKETS as u128;
        counts[((part / u128::from(whole)) as usize).min(BUCKETS - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let step = (WIDTH - LEFT) / BUCKETS as f64;
    let mut path = String::new();
    for (at, count) in counts.iter().enumerate() {
        let y = HEIGHT - (HEIGHT - 20.0) * *count as f64 / most;
        let x = LEFT + step * at as f64;
        let command = if at == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{command}{x:.1} {y:.1}H{:.1}", x + step);
    }
    let _ = write!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{}\"/>", COLOURS[0]);
    let per_second = most * BUCKETS as f64 / (whole as f64 / 1e9);
    label(&mut svg, 20.0, &format!("{}/s", grouped(per_second.round() as u64)));
    label(&mut svg, HEIGHT, "0/s");
    svg + "</svg>"
}

/// The operations of an anomaly, and those on the same key between them, a row a process; every
/// event has the same room, as in the timeline of the terminal.
pub(super) fn neighbourhood(report: &Report<'_>, finding: &Finding<'_>) -> String {
    let (history, moments) = (report.history, Moments::of(report, finding));
    let txns = neighbours(history, finding);
    let mut processes: Vec<u32> = txns.iter().map(|txn| txn.process().0).collect();
    processes.sort_unstable();
    processes.dedup();
    let columns = (WIDTH - LEFT) as usize;
    let axis = Axis::new(report.metrics.clock, columns, &txns, &finding.faults);
    let place = |(from, to): (usize, usize)| (LEFT + from as f64, ((to - from) as f64).max(2.0));

    const ROW: f64 = 22.0;
    let height = 16.0 + ROW * processes.len() as f64;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {}\">", height + BOTTOM);
    for fault in &finding.faults {
        let (x, width) = place(axis.fault_columns(fault));
        band(&mut svg, x, width, height, &moment::fault_name(fault));
    }
    if let Some((begin, end)) = axis.ends(moments) {
        bounds(&mut svg, height, &begin, &end);
    }
    for (row, process) in processes.iter().enumerate() {
        label(&mut svg, 30.0 + ROW * row as f64, &format!("process {process}"));
    }
    for txn in &txns {
        let row = processes.partition_point(|process| *process < txn.process().0);
        let (x, width) = place(axis.operation_columns(*txn));
        let y = 18.0 + ROW * row as f64;
        let is_witness = finding.anomaly.operations.contains(&txn.id);
        let colour = if is_witness { "#e4928c" } else { "#d5dbe1" };
        let what = xml(&moment::what(report, *txn));
        let node = xml(&moment::node(report, *txn));
        let title = format!("#{} {what} {node} {}", txn.index(), xml(&moments.when(*txn)));
        let _ = write!(
            svg,
            "<g><title>{title}</title><rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" rx=\"2\" fill=\"{colour}\"/>"
        );
        if is_witness {
            let (anchor, x) = if x > WIDTH * 0.7 { ("end", x + width) } else { ("start", x + 3.0) };
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">#{} {what}</text>",
                y + 12.0,
                txn.index()
            );
        }
        svg += "</g>";
    }
    svg + "</svg>"
}

/// The operations of an anomaly and the nearest others on its key.
fn neighbours<'h>(history: &'h History, finding: &Finding<'h>) -> Vec<Txn<'h>> {
    let mut txns = finding.operations.clone();
    txns.truncate(NEIGHBOURS);
    if let (Some(key), Some(first), Some(last)) =
        (finding.anomaly.key, finding.operations.first(), finding.operations.last())
    {
        let between: Range<u32> = first.id.0..last.id.0;
        let others = between.map(|id| history.txn(TxnId(id))).filter(|txn| {
            !finding.anomaly.operations.contains(&txn.id)
                && txn.accesses().any(|access| access.key == key)
        });
        // The last ones: what was read, or not read, was decided there.
        txns.extend(others.rev().take(NEIGHBOURS - txns.len()));
    }
    txns
}

/// The cycle of an anomaly, on a circle.
pub(super) fn cycle(report: &Report<'_>, finding: &Finding<'_>) -> String {
    let steps = &finding.anomaly.cycle;
    let mut nodes: Vec<TxnId> = Vec::new();
    for id in steps.iter().flat_map(|step| [step.from, step.to]) {
        if !nodes.contains(&id) {
            nodes.push(id);
        }
    }
    if nodes.len() > 24 {
        return String::new();
    }
    let (x0, y0, radius) = (WIDTH / 2.0, 110.0, 80.0);
    let place = |id: TxnId| {
        let at = nodes.iter().position(|node| *node == id).unwrap_or(0);
        let angle = TAU * at as f64 / nodes.len() as f64 - TAU / 2.0;
        (x0 + 2.2 * radius * angle.cos(), y0 + radius * angle.sin())
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} 220\"><defs><marker id=\"{0}-arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>",
        finding.id
    );
    for step in steps {
        let ((x1, y1), (x2, y2)) = (place(step.from), place(step.to));
        // Bent to the left of its way, so that an edge there and one back are two.
        let (dx, dy) = (x2 - x1, y2 - y1);
        let length = dx.hypot(dy).max(1.0);
        let (cx, cy) = (x1.midpoint(x2) + dy / length * 36.0, y1.midpoint(y2) - dx / length * 36.0);
        let short = 16.0 / length;
        let (ex, ey) = (x2 - (x2 - cx) * short, y2 - (y2 - cy) * short);
        let _ = write!(
            svg,
            "<path d=\"M{x1:.1} {y1:.1}Q{cx:.1} {cy:.1} {ex:.1} {ey:.1}\" fill=\"none\" stroke=\"#5c6670\" marker-end=\"url(#{}-arrow)\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            finding.id,
            x1.midpoint(x2).midpoint(cx),
            y1.midpoint(y2).midpoint(cy) - 3.0,
            step.edge.name()
        );
    }
    for id in &nodes {
        let ((x, y), txn) = (place(*id), report.history.txn(*id));
        let what = xml(&moment::what(report, txn));
        let _ = write!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"13\" fill=\"#e4928c\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">#{}</text><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{what}</text>",
            y + 4.0,
            txn.index(),
            y + 27.0
        );
    }
    svg + "</svg>"
}
