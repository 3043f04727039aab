//! The report on a terminal: what was violated, what holds, what is undecided and why; the proofs;
//! the numbers; and last the command that reproduces it.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::check::{Counts, Latency, Measured, Status, Verdict};
use crate::history::TxnId;
use crate::report::escape::{clipped, plain, wrapped};
use crate::report::moment::{self, Moments};
use crate::report::{Finding, Render, Report, Style, counted, grouped};

/// Lines have at most this many characters, if no single word is longer.
const WIDTH: usize = 96;
/// Operations and edges shown of one anomaly; `explain` shows all.
const SHOWN: usize = 12;

/// The report on a terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text {
    /// With colours or without.
    pub style: Style,
    /// Without proofs and numbers: the verdicts only.
    pub brief: bool,
}

impl Render for Text {
    fn render(&self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        self.head(report, out)?;
        self.verdicts(report, out)?;
        if !self.brief {
            self.anomalies(report, out)?;
            self.numbers(report, out)?;
        }
        if let Some(command) = report.reproduce {
            writeln!(out, "\n{} {}", self.style.bold("reproduce:"), plain(command))?;
        }
        Ok(())
    }
}

impl Text {
    fn head(self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        let (word, rest) = report.headline();
        let painted = match word {
            "VIOLATED" => self.style.bad(word),
            "UNDECIDED" => self.style.doubtful(word),
            _ => self.style.good(word),
        };
        let lines = wrapped(&format!("{word}: {}", plain(&rest)), WIDTH);
        for (at, line) in lines.iter().enumerate() {
            let line = match line.strip_prefix(word) {
                Some(rest) if at == 0 => format!("{painted}{rest}"),
                _ => line.clone(),
            };
            writeln!(out, "{line}")?;
        }
        if let Some(reason) = report.assessment.reason.as_deref().filter(|reason| *reason != rest) {
            paragraph(out, "", reason)?;
        }
        let origin = moment::origin(report).join(", ");
        if !origin.is_empty() {
            writeln!(out, "{}", self.style.dim(&origin))?;
        }
        writeln!(out, "{}", summary(report))?;
        for warning in report.history.warnings() {
            paragraph(out, "note: ", warning)?;
        }
        Ok(())
    }

    fn verdicts(self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        let sections = [
            (Status::Invalid, self.style.bad("violated in this history")),
            (Status::Unknown, self.style.doubtful("undecided")),
            (Status::Valid, self.style.good("holds in this history")),
        ];
        for (status, title) in sections {
            let verdicts: Vec<(&Verdict, Vec<String>)> =
                report.verdicts().filter(|(verdict, _)| verdict.status == status).collect();
            if verdicts.is_empty() {
                continue;
            }
            writeln!(out, "\n{title}")?;
            for (verdict, ids) in verdicts {
                row(report, verdict, &ids, out)?;
            }
        }
        if !report.assessment.strongest.is_empty() {
            let names: Vec<&str> =
                report.assessment.strongest.iter().map(|property| property.name()).collect();
            writeln!(out)?;
            let names = names.join(", ");
            paragraph(out, "strongest this history is consistent with: ", &names)?;
        }
        Ok(())
    }

    /// The first proof of each property in full, unless the same operations were shown before; of
    /// the next the sentence.
    fn anomalies(self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        const SENTENCES: usize = 2;
        let mut proved: Vec<(&[TxnId], String)> = Vec::new();
        let mut left_out = 0;
        let mut findings = report.findings();
        for verdict in &report.assessment.verdicts {
            for (nth, finding) in findings.by_ref().take(verdict.anomalies.len()).enumerate() {
                let operations = finding.anomaly.operations.as_slice();
                let before = proved.iter().find(|(others, _)| *others == operations);
                match before {
                    _ if nth > SENTENCES => left_out += 1,
                    _ if nth > 0 => {
                        if nth == 1 {
                            writeln!(out)?;
                        }
                        let head = format!("    also {}: ", finding.id);
                        paragraph(out, &head, &finding.anomaly.sentence)?;
                    }
                    Some((_, id)) => {
                        writeln!(out)?;
                        self.title(report, &finding, out)?;
                        let proof = format!("{} (See {id}.)", finding.anomaly.sentence);
                        paragraph(out, "    ", &proof)?;
                    }
                    None => {
                        writeln!(out)?;
                        self.proof(report, &finding, out)?;
                        proved.push((operations, finding.id));
                    }
                }
            }
        }
        if left_out > 0 {
            let more = counted(left_out, "more proof");
            writeln!(out, "\n{more} not shown here; `rashomon explain` tells the story of each")?;
        }
        Ok(())
    }

    fn title(
        self,
        report: &Report<'_>,
        finding: &Finding<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let of = finding.key(report).map_or_else(String::new, |key| format!(" of {key}"));
        let contradicts = format!(", contradicts {}", finding.contradicts());
        let kind = self.style.bad(finding.anomaly.kind);
        writeln!(out, "{}  {kind}{of}{contradicts}", self.style.bold(&finding.id))
    }

    fn proof(
        self,
        report: &Report<'_>,
        finding: &Finding<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.title(report, finding, out)?;
        paragraph(out, "    ", &finding.anomaly.sentence)?;
        if !finding.operations.is_empty() {
            writeln!(out)?;
        }
        let moments = Moments::of(report, finding);
        operations(report, finding, moments, SHOWN, out)?;
        for fault in &finding.faults {
            paragraph(out, "      during ", &moments.fault(fault))?;
        }
        cycle(report, finding, SHOWN, out)?;
        if let Some(assumptions) = finding.assumptions() {
            paragraph(out, "      assuming ", &assumptions)?;
        }
        Ok(())
    }

    fn numbers(self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        let metrics = report.metrics;
        if metrics.counts.operations == 0 {
            return Ok(());
        }
        writeln!(out, "\n{}", self.style.bold("numbers"))?;
        for line in facts(report) {
            paragraph(out, "  ", &line)?;
        }
        writeln!(out)?;
        let heading = ["", "operations", "ok", "ok/s", "p50", "p95", "p99", "max"];
        writeln!(out, "{}", self.style.dim(&cells(&heading.map(str::to_owned), metrics.clock)))?;
        let mut rows: Vec<(String, Numbers)> =
            vec![("all".to_owned(), (metrics.counts, metrics.ok_per_second, metrics.latency))];
        if metrics.functions.len() > 1 {
            rows.extend(
                metrics.functions.iter().map(|one| (one.of.name().to_owned(), numbers(one))),
            );
        }
        if metrics.nodes.len() > 1 {
            for one in metrics.nodes.iter().take(MOST_ROWS) {
                let name = &report.history.nodes()[one.of.index()];
                rows.push((format!("at {}", clipped(name, 20)), numbers(one)));
            }
        }
        for one in metrics.faults.iter().take(MOST_ROWS) {
            let label = match &one.of {
                None => "without faults".to_owned(),
                Some(name) => format!("during {}", clipped(name, 16)),
            };
            rows.push((label, numbers(one)));
        }
        for (label, (counts, ok_per_second, latency)) in rows {
            let time = |pick: fn(Latency) -> crate::model::Nanos| {
                latency.map_or_else(|| "-".to_owned(), |latency| pick(latency).to_string())
            };
            let row = [
                label,
                grouped(counts.operations),
                percent(&counts),
                ok_per_second.map_or_else(|| "-".to_owned(), rate),
                time(|latency| latency.p50),
                time(|latency| latency.p95),
                time(|latency| latency.p99),
                time(|latency| latency.max),
            ];
            writeln!(out, "{}", cells(&row, metrics.clock))?;
        }
        Ok(())
    }
}

/// Rows of one kind in the table of numbers; JSON and HTML have all.
const MOST_ROWS: usize = 12;

type Numbers = (Counts, Option<f64>, Option<Latency>);

fn numbers<K>(measured: &Measured<K>) -> Numbers {
    (measured.counts, measured.ok_per_second, measured.latency)
}

/// `1,200 operations on 8 keys by 10 sessions: 1,100 ok, 40 failed, 60 unknown`.
pub(super) fn summary(report: &Report<'_>) -> String {
    let (history, counts) = (report.history, report.metrics.counts);
    format!(
        "{} on {} by {}: {} ok, {} failed, {} unknown",
        counted(counts.operations, "operation"),
        counted(history.key_count() as u64, "key"),
        counted(history.session_count() as u64, "session"),
        grouped(counts.ok),
        grouped(counts.fail),
        grouped(counts.info),
    )
}

fn row(
    report: &Report<'_>,
    verdict: &Verdict,
    ids: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
    let expected = &report.assessment.expected;
    let mut notes = Vec::new();
    if expected.hold.contains(&verdict.property) && verdict.status != Status::Valid {
        notes.push("expected to hold".to_owned());
    } else if expected.known.contains(&verdict.property) {
        notes.push("known weakness".to_owned());
    }
    if let (Some(first), Some(last)) = (ids.first(), ids.last()) {
        let named = if first == last { first.clone() } else { format!("{first} to {last}") };
        if verdict.count > ids.len() as u64 {
            notes.push(format!("{} found, kept: {named}", grouped(verdict.count)));
        } else {
            notes.push(named);
        }
    }
    notes.extend(verdict.reason.clone());
    let property = verdict.property;
    let head = format!("  {:<7} {}", property.id(), property.name());
    let notes = wrapped(&plain(&notes.join("; ")), WIDTH - 44);
    if head.chars().count() > 42 && !notes[0].is_empty() {
        writeln!(out, "{head}")?;
        for note in notes {
            writeln!(out, "{:44}{note}", "")?;
        }
        return Ok(());
    }
    for (at, note) in notes.iter().enumerate() {
        let head = if at == 0 { head.as_str() } else { "" };
        writeln!(out, "{}", format!("{head:44}{note}").trim_end())?;
    }
    Ok(())
}

/// The operations of an anomaly as a table.
pub(super) fn operations(
    report: &Report<'_>,
    finding: &Finding<'_>,
    moments: Moments,
    limit: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let rows: Vec<[String; 5]> = finding
        .operations
        .iter()
        .take(limit)
        .map(|txn| {
            [
                format!("#{}", txn.index()),
                format!("process {}", txn.process()),
                moment::node(report, *txn),
                moment::what(report, *txn),
                moments.when(*txn),
            ]
        })
        .collect();
    let mut widths = [0; 4];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().clamp(*width, 40);
        }
    }
    for row in &rows {
        let mut line = "      ".to_owned();
        for (cell, width) in row.iter().zip(widths).filter(|(_, width)| *width > 0) {
            let _ = write!(line, "{cell:width$}  ");
        }
        if line.chars().count() + row[4].chars().count() > WIDTH {
            writeln!(out, "{}", line.trim_end())?;
            line = " ".repeat(12);
        }
        writeln!(out, "{line}{}", row[4])?;
    }
    if finding.operations.len() > limit {
        let more = counted((finding.operations.len() - limit) as u64, "more operation");
        writeln!(out, "      … {more}")?;
    }
    Ok(())
}

/// The cycle of an anomaly, an edge a line.
pub(super) fn cycle(
    report: &Report<'_>,
    finding: &Finding<'_>,
    limit: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let cycle = &finding.anomaly.cycle;
    if cycle.is_empty() {
        return Ok(());
    }
    writeln!(out, "      a contradiction, because")?;
    let name = |id: TxnId| format!("#{}", report.history.txn(id).index());
    let names = cycle.iter().flat_map(|step| [name(step.from), name(step.to)]);
    let width = names.map(|name| name.len()).max().unwrap_or(0);
    for step in cycle.iter().take(limit) {
        let (from, to) = (name(step.from), name(step.to));
        let head = format!("        {from:>width$} before {to:width$}  {}  ", step.edge.name());
        paragraph(out, &head, &step.why)?;
    }
    if cycle.len() > limit {
        writeln!(out, "        … {}", counted((cycle.len() - limit) as u64, "more edge"))?;
    }
    Ok(())
}

/// Lost writes, staleness and progress, a sentence each.
pub(super) fn facts(report: &Report<'_>) -> Vec<String> {
    let metrics = report.metrics;
    let mut facts = Vec::new();
    if let Some(lost) = report.lost_writes() {
        facts.push(format!("lost acknowledged writes: {}", grouped(lost)));
    }
    if let Some(staleness) = &metrics.staleness {
        let mut fact =
            format!("stale reads: {} of {}", grouped(staleness.stale), grouped(staleness.reads));
        if let Some(worst) = &staleness.worst {
            let index = report.history.txn(worst.read).index();
            if let Some(time) = &staleness.time {
                let _ = write!(
                    fact,
                    "; stale by {} (p50), {} (p95), {} (max, #{index})",
                    time.p50, time.p95, time.max
                );
            }
            let _ = write!(
                fact,
                "; behind by {} (p50), {} (p95), {} (max)",
                staleness.versions_p50,
                staleness.versions_p95,
                counted(staleness.versions_max, "version")
            );
            if !metrics.faults.is_empty() {
                let _ = write!(fact, "; {} during faults", grouped(staleness.during_faults));
            }
        }
        facts.push(fact);
    }
    let outside = metrics.outside_faults(report.history);
    if let Some(counts) = outside.filter(|_| !report.history.faults().is_empty()) {
        facts.push(format!("ok outside fault windows: {}", percent(&counts)));
    }
    if let Some(span) = metrics.span {
        let faults = report.history.faults().len() as u64;
        facts.push(format!("duration: {span}, with {}", counted(faults, "fault")));
    } else {
        facts.push("the history has no times, so nothing is said of latency".to_owned());
    }
    facts
}

/// `91.7 %`, or a dash; only all of them are 100 %, only none is 0 %.
pub(super) fn percent(counts: &Counts) -> String {
    match counts.ok_fraction() {
        None => "-".to_owned(),
        Some(_) if counts.ok == counts.operations => "100 %".to_owned(),
        Some(_) if counts.ok == 0 => "0 %".to_owned(),
        Some(fraction) => format!("{:.1} %", (fraction * 100.0).clamp(0.1, 99.9)),
    }
}

fn rate(per_second: f64) -> String {
    if per_second < 100.0 { format!("{per_second:.1}") } else { grouped(per_second.round() as u64) }
}

fn cells(row: &[String; 8], clock: bool) -> String {
    const WIDTHS: [usize; 8] = [24, 12, 9, 10, 10, 10, 10, 10];
    let columns = if clock { 8 } else { 3 };
    let mut line = format!("  {:<1$}", row[0], WIDTHS[0]);
    for (cell, width) in row.iter().zip(WIDTHS).take(columns).skip(1) {
        let _ = write!(line, "{cell:>width$}");
    }
    line
}

/// Text that others may have had a hand in, in lines that continue under its beginning.
pub(super) fn paragraph(out: &mut dyn Write, head: &str, text: &str) -> io::Result<()> {
    let indent = head.chars().count();
    for (at, line) in wrapped(&plain(text), WIDTH - indent.min(WIDTH / 2)).iter().enumerate() {
        let head = if at == 0 { head.to_owned() } else { " ".repeat(indent) };
        writeln!(out, "{}", format!("{head}{line}").trim_end())?;
    }
    Ok(())
}
