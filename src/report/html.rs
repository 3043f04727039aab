//! One self-contained HTML file: no script that runs, nothing loaded from elsewhere.

use std::io::{self, Write};

use crate::report::digest::{self, Section};
use crate::report::escape::{self, xml};
use crate::report::moment::{self, Moments};
use crate::report::text::{facts, summary};
use crate::report::{Finding, Render, Report, counted, json, plot};

/// The report as one HTML file that can be sent around: verdicts, the neighbourhood of each anomaly,
/// its cycle, latency and throughput over time with fault bands. The JSON report is in it as the
/// script element `report` of type `application/json`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Html;

impl Render for Html {
    fn render(&self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        let (word, rest) = report.headline();
        let title = xml(&format!("{word}: {rest}"));
        writeln!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n<h1 class=\"{}\">{title}</h1>",
            class(word)
        )?;
        if let Some(reason) = report.assessment.reason.as_deref().filter(|reason| *reason != rest) {
            writeln!(out, "<p>{}</p>", xml(reason))?;
        }
        let mut about = moment::origin(report);
        about.push(summary(report));
        writeln!(out, "<p>{}</p>", xml(&about.join(", ")))?;
        for warning in report.history.warnings() {
            writeln!(out, "<p>note: {}</p>", xml(warning))?;
        }
        let (drawn, left_out): (Vec<_>, Vec<_>) =
            digest::proofs(report).into_iter().partition(|(_, is_shown)| *is_shown);
        let ids: Vec<&str> = drawn.iter().map(|(finding, _)| finding.id.as_str()).collect();
        verdicts(report, &ids, out)?;
        for (finding, _) in &drawn {
            anomaly(report, finding, out)?;
        }
        if !left_out.is_empty() {
            let more = counted(left_out.len() as u64, "more proof");
            writeln!(out, "<p>{more} in the data of this page, not drawn</p>")?;
        }
        writeln!(out, "<h2>Numbers</h2>\n<ul>")?;
        for fact in facts(report) {
            writeln!(out, "<li>{}</li>", xml(&fact))?;
        }
        writeln!(out, "</ul>")?;
        if report.metrics.clock {
            writeln!(out, "<h3>Latency of successful operations</h3>\n{}", plot::latency(report))?;
            writeln!(out, "<h3>Successful operations a second</h3>\n{}", plot::throughput(report))?;
        }
        if let Some(command) = report.reproduce {
            writeln!(out, "<p>reproduce: <code>{}</code></p>", xml(command))?;
        }
        let island = escape::json(&json::object(report).to_string());
        writeln!(out, "<script type=\"application/json\" id=\"report\">{island}</script>\n</html>")
    }
}

const STYLE: &str = "
body{font:15px/1.45 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1c2024;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2.2rem}h3{font-size:1rem}
table{border-collapse:collapse}td,th{padding:.15rem .9rem .15rem 0;text-align:left;vertical-align:top}
.violated{color:#b3261e}.undecided{color:#8a5a00}.holds{color:#146c2e}
code,td.op{font-family:ui-monospace,monospace;font-size:.9em}
svg{width:100%;height:auto;font:11px system-ui,sans-serif;fill:#1c2024}
";

fn class(word: &str) -> &'static str {
    match word {
        "VIOLATED" => "violated",
        "UNDECIDED" => "undecided",
        _ => "holds",
    }
}

fn verdicts(report: &Report<'_>, drawn: &[&str], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<table>")?;
    for section in Section::all(report) {
        let status = section.status.name();
        for row in &section.rows {
            let link = |id: &String| {
                let is_drawn = drawn.contains(&id.as_str());
                if is_drawn { format!("<a href=\"#{id}\">{id}</a>") } else { id.clone() }
            };
            let mut notes: Vec<String> = row.ids.iter().map(link).collect();
            notes.extend(row.reason.map(xml));
            notes.extend(row.expectation.map(str::to_owned));
            writeln!(
                out,
                "<tr><td class=\"{status}\">{status}<td>{}<td>{}<td>{}",
                xml(&row.property_ids()),
                xml(row.name()),
                notes.join(", ")
            )?;
        }
        if let Some(rest) = section.following() {
            writeln!(out, "<tr><td class=\"{status}\">{status}<td colspan=\"3\">{}", xml(&rest))?;
        }
    }
    writeln!(out, "</table>")?;
    let strongest = digest::strongest(report);
    if strongest.is_empty() {
        return Ok(());
    }
    writeln!(out, "<p>strongest models this history is consistent with: {}</p>", xml(&strongest))
}

fn anomaly(report: &Report<'_>, finding: &Finding<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (anomaly, moments) = (finding.anomaly, Moments::of(report, finding));
    let (id, kind, contradicts) = (&finding.id, xml(anomaly.kind), xml(&finding.contradicts()));
    writeln!(out, "<h2 id=\"{id}\">{id}: {kind}, contradicts {contradicts}</h2>")?;
    writeln!(out, "<p>{}</p>", xml(&anomaly.sentence))?;
    if let Some(assumptions) = finding.assumptions() {
        writeln!(out, "<p>assuming {}</p>", xml(&assumptions))?;
    }
    writeln!(out, "{}\n<table>", plot::neighbourhood(report, finding))?;
    for txn in &finding.operations {
        writeln!(
            out,
            "<tr><td>#{}<td>process {}<td>{}<td class=\"op\">{}<td>{}",
            txn.index(),
            txn.process(),
            xml(&moment::node(report, *txn)),
            xml(&moment::what(report, *txn)),
            xml(&moments.when(*txn))
        )?;
    }
    writeln!(out, "</table>")?;
    for fault in &finding.faults {
        writeln!(out, "<p>during {}</p>", xml(&moments.fault(fault)))?;
    }
    if anomaly.cycle.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}\n<table>", plot::cycle(report, finding))?;
    for step in &anomaly.cycle {
        let index = |id| report.history.txn(id).index();
        writeln!(
            out,
            "<tr><td>#{} before #{}<td>{}<td>{}",
            index(step.from),
            index(step.to),
            step.edge.name(),
            xml(&step.why)
        )?;
    }
    writeln!(out, "</table>")
}
