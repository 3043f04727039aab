//! The report on a terminal: what was violated, what holds, what is undecided and why; the proofs;
//! the numbers; and last the command that reproduces it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use crate::check::{Counts, Coverage, Latency, Losses, Measured, Pace, Share, Status};
use crate::history::{History, Txn, TxnId};
use crate::report::digest::{self, Row, Section, is_told_in_full, proofs_shown};
use crate::report::escape::{clipped, plain, wrapped};
use crate::report::moment::{self, Moments, fault_name};
use crate::report::{Finding, Render, Report, Style, counted, grouped};

/// Lines have at most this many characters, if no single word is longer.
const WIDTH: usize = 96;
/// The column of ids; beside a longer one there may be no room for the name, which is then below.
const ID: usize = 7;
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
        for section in Section::all(report) {
            let title = match section.status {
                Status::Invalid => self.style.bad("violated in this history"),
                Status::Unknown => self.style.doubtful("undecided"),
                Status::Valid => self.style.good("holds in this history"),
            };
            writeln!(out, "\n{title}")?;
            for one in &section.rows {
                row(one, out)?;
            }
            if let Some(rest) = section.following() {
                paragraph(out, "  ", &rest)?;
            }
        }
        let strongest = digest::strongest(report);
        if !strongest.is_empty() {
            writeln!(out)?;
            let head = "strongest models this history is consistent with: ";
            paragraph(out, head, &strongest)?;
        }
        Ok(())
    }

    /// The first proof in full and the sentence of the next, unless something weaker that is violated
    /// tells the story, or the same operations were shown before.
    fn anomalies(self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        let mut proved: Vec<(&[TxnId], String)> = Vec::new();
        let mut left_out = 0;
        let mut findings = report.findings();
        for verdict in &report.assessment.verdicts {
            let shown = proofs_shown(report, verdict);
            for (nth, finding) in findings.by_ref().take(verdict.anomalies.len()).enumerate() {
                let operations = finding.anomaly.operations.as_slice();
                let before = proved.iter().find(|(others, _)| *others == operations);
                if nth >= shown {
                    left_out += 1;
                } else if nth > 0 {
                    if nth == 1 {
                        writeln!(out)?;
                    }
                    let head = format!("    also {}: ", finding.id);
                    paragraph(out, &head, &finding.anomaly.sentence)?;
                } else if let Some((_, id)) = before {
                    writeln!(out)?;
                    self.title(report, &finding, out)?;
                    let proof = format!("{} (See {id}.)", finding.anomaly.sentence);
                    paragraph(out, "    ", &proof)?;
                } else if is_told_in_full(report, verdict) {
                    writeln!(out)?;
                    self.proof(report, &finding, out)?;
                    proved.push((operations, finding.id));
                } else {
                    writeln!(out)?;
                    self.title(report, &finding, out)?;
                    paragraph(out, "    ", &finding.anomaly.sentence)?;
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
        let levels: Vec<&str> = finding.rules_out(report).iter().map(|one| one.name()).collect();
        if !levels.is_empty() {
            let levels = format!("{} and every stronger level", levels.join(", "));
            paragraph(out, "      rules out ", &levels)?;
        }
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

/// A row in two columns: what it is of, and what there is to say.
fn row(row: &Row<'_>, out: &mut dyn Write) -> io::Result<()> {
    const LEFT: usize = 42;
    let mut notes: Vec<String> = row.expectation.iter().map(|&note| note.to_owned()).collect();
    if let (Some(first), Some(last)) = (row.ids.first(), row.ids.last()) {
        let named = if first == last { first.clone() } else { format!("{first} to {last}") };
        if row.count > row.ids.len() as u64 {
            notes.push(format!("{} found, kept: {named}", grouped(row.count)));
        } else {
            notes.push(named);
        }
    }
    notes.extend(row.reason.map(str::to_owned));
    let notes = wrapped(&plain(&notes.join("; ")), WIDTH - LEFT - 2);

    let id = row.property_ids();
    let head = match row.name() {
        "" => wrapped(&id, LEFT - 2),
        name if id.len() <= ID => {
            let lines = wrapped(name, LEFT - ID - 3);
            let beside = |(at, line): (usize, &String)| {
                format!("{:<ID$} {line}", if at == 0 { id.as_str() } else { "" })
            };
            lines.iter().enumerate().map(beside).collect()
        }
        name if id.len() + name.len() < LEFT - 2 => vec![format!("{id} {name}")],
        name => {
            let below = wrapped(name, LEFT - ID - 3).into_iter();
            let below = below.map(|line| format!("{:ID$} {line}", ""));
            std::iter::once(id).chain(below).collect()
        }
    };
    for at in 0..head.len().max(notes.len()) {
        let cell = |cells: &[String]| cells.get(at).cloned().unwrap_or_default();
        let line = format!("  {:LEFT$}{}", cell(&head), cell(&notes));
        writeln!(out, "{}", line.trim_end())?;
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
    if metrics.counts.ok_fraction().is_some_and(|fraction| fraction < 0.9) {
        facts.extend(errors(report.history));
    }
    if let Some(lost) = report.lost_writes() {
        facts.push(format!("lost acknowledged writes: {}", grouped(lost)));
    }
    facts.extend(metrics.losses.iter().flat_map(|one| losses(report, one)));
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
        if !metrics.coverage.is_empty() {
            let each: Vec<String> = metrics.coverage.iter().map(covered).collect();
            facts.push(format!("faults: {}", each.join("; ")));
        }
        facts.extend(metrics.pace.map(|pace| kept(&pace)));
        facts.extend(
            report
                .added
                .map(|added| format!("of each latency rashomon itself took {}", quantiles(&added))),
        );
    } else {
        facts.push("the history has no times, so nothing is said of latency".to_owned());
    }
    facts
}

/// Why operations did not succeed, the most frequent reasons first.
fn errors(history: &History) -> Option<String> {
    const TOLD: usize = 3;
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    for error in history.txns().filter_map(Txn::error) {
        *times.entry(error).or_default() += 1;
    }
    let mut errors: Vec<(&str, u64)> = times.into_iter().collect();
    errors.sort_by_key(|(_, times)| Reverse(*times));
    let told = errors.iter().take(TOLD);
    let told =
        told.map(|(error, times)| format!("{} `{}`", counted(*times, "time"), clipped(error, 160)));
    (!errors.is_empty()).then(|| format!("errors: {}", told.collect::<Vec<_>>().join("; ")))
}

/// How well operations came at their pace.
fn kept(pace: &Pace) -> String {
    let late = counted(pace.late, "operation");
    let waited = quantiles(&pace.waited);
    let latency = pace.latency.map_or_else(String::new, |latency| {
        format!("; from when they were due, successful ones took {}", quantiles(&latency))
    });
    format!("{late} began more than 1 ms later than due; all waited {waited}{latency}")
}

/// `12 us in the middle, 40 us at 99 %, 2 ms at most`.
fn quantiles(of: &Latency) -> String {
    format!("{} in the middle, {} at 99 %, {} at most", of.p50, of.p99, of.max)
}

/// `partition 3 times, 9.012 s, each seen in force`.
fn covered(one: &Coverage) -> String {
    let times = match one.times {
        1 => "once".to_owned(),
        times => format!("{} times", grouped(times)),
    };
    let seen = match (one.verified, one.unverified) {
        (0, 0) => String::new(),
        (0, _) => ", not verified".to_owned(),
        (1, 0) if one.times == 1 => ", seen in force".to_owned(),
        (_, 0) => ", each seen in force".to_owned(),
        (verified, _) => format!(", {} seen in force", grouped(verified)),
    };
    format!("{} {times}, {}{seen}", plain(&one.fault), one.lasted)
}

/// What was lost, a line for the whole, for the time without faults and for each fault window that has
/// something to tell; nothing if nothing was lost.
fn losses(report: &Report<'_>, losses: &Losses) -> Vec<String> {
    if losses.all.lost == 0 {
        return Vec::new();
    }
    let share = |share: Share| {
        let rate =
            share.rate().map_or_else(String::new, |rate| format!(" ({:.1} %)", rate * 100.0));
        format!("{} of {} acknowledged{rate}", grouped(share.lost), grouped(share.acknowledged))
    };
    let what = format!("lost ({})", losses.of.id());
    let mut lines = vec![format!("{what}: {}", share(losses.all))];
    lines.extend(losses.outside.map(|one| format!("{what} outside faults: {}", share(one))));
    let windows = report.history.faults().iter().zip(&losses.windows);
    for (fault, one) in windows.filter(|(_, one)| one.lost > 0).take(MOST_ROWS) {
        lines.push(format!("{what} in {}: {}", fault_name(fault), share(*one)));
    }
    lines
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
