//! One self-contained HTML file: no script that runs, nothing loaded from elsewhere.

use std::io::{self, Write};

use crate::check::Status;
use crate::report::escape::{self, xml};
use crate::report::moment::{self, Moments};
use crate::report::text::{facts, summary};
use crate::report::{Finding, Render, Report, json, plot};

/// The report as one HTML file that can be sent around: verdicts, the neighbourhood of each anomaly,
/// its cycle, latency and throughput over time with fault bands. The JSON report is in it as the
/// script element `report` of type `application/json`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Html;

/// Anomalies drawn; the data island has all.
const SHOWN: usize = 24;

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
        verdicts(report, out)?;
        for finding in report.findings().take(SHOWN) {
            anomaly(report, &finding, out)?;
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

fn verdicts(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<table>")?;
    for status in [Status::Invalid, Status::Unknown, Status::Valid] {
        for (verdict, ids) in report.verdicts().filter(|(verdict, _)| verdict.status == status) {
            let mut notes: Vec<String> =
                ids.iter().map(|id| format!("<a href=\"#{id}\">{id}</a>")).collect();
            notes.extend(verdict.reason.as_deref().map(xml));
            if report.assessment.expected.hold.contains(&verdict.property) {
                notes.push("expected to hold".to_owned());
            }
            writeln!(
                out,
                "<tr><td class=\"{0}\">{0}<td>{1}<td>{2}<td>{3}",
                status.name(),
                xml(verdict.property.id()),
                xml(verdict.property.name()),
                notes.join(", ")
            )?;
        }
    }
    writeln!(out, "</table>")
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
