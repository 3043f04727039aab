//! The report for the summary of a CI job.

use std::io::{self, Write};

use crate::report::escape::markdown;
use crate::report::moment::{self, Moments};
use crate::report::text::{facts, summary};
use crate::report::{Finding, Render, Report};

/// GitHub-flavoured Markdown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Markdown;

impl Render for Markdown {
    fn render(&self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        let (word, rest) = report.headline();
        writeln!(out, "## {word}: {}\n", markdown(&rest))?;
        if let Some(reason) = report.assessment.reason.as_deref().filter(|reason| *reason != rest) {
            writeln!(out, "{}\n", markdown(reason))?;
        }
        let mut about = moment::origin(report);
        about.push(summary(report));
        writeln!(out, "{}\n", markdown(&about.join(", ")))?;
        for warning in report.history.warnings() {
            writeln!(out, "> {}\n", markdown(warning))?;
        }
        properties(report, out)?;
        for finding in report.findings() {
            anomaly(report, &finding, out)?;
        }
        for fact in facts(report) {
            writeln!(out, "- {}", markdown(&fact))?;
        }
        if let Some(command) = report.reproduce {
            writeln!(out, "\nReproduce: <code>{}</code>", markdown(command))?;
        }
        Ok(())
    }
}

fn properties(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    if report.assessment.verdicts.is_empty() {
        return Ok(());
    }
    writeln!(out, "| property | in this history | |\n| --- | --- | --- |")?;
    for (verdict, ids) in report.verdicts() {
        let property = verdict.property;
        let mut notes = ids;
        if report.assessment.expected.hold.contains(&property) {
            notes.push("expected to hold".to_owned());
        }
        notes.extend(verdict.reason.clone());
        writeln!(
            out,
            "| {} ({}) | **{}** | {} |",
            markdown(property.name()),
            markdown(property.id()),
            verdict.status.name(),
            markdown(&notes.join(", "))
        )?;
    }
    writeln!(out)
}

fn anomaly(report: &Report<'_>, finding: &Finding<'_>, out: &mut dyn Write) -> io::Result<()> {
    let anomaly = finding.anomaly;
    writeln!(
        out,
        "<details><summary>{}: {}, contradicts {}</summary>\n",
        finding.id,
        markdown(anomaly.kind),
        markdown(&finding.contradicts())
    )?;
    writeln!(out, "{}\n", markdown(&anomaly.sentence))?;
    let moments = Moments::of(report, finding);
    writeln!(out, "| | process | node | operation | when |\n| --- | --- | --- | --- | --- |")?;
    for txn in &finding.operations {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            markdown(&format!("#{}", txn.index())),
            txn.process(),
            markdown(&moment::node(report, *txn)),
            markdown(&moment::what(report, *txn)),
            moments.when(*txn)
        )?;
    }
    writeln!(out)?;
    for step in &anomaly.cycle {
        let name = |id| markdown(&format!("#{}", report.history.txn(id).index()));
        let (from, to, edge) = (name(step.from), name(step.to), step.edge.name());
        writeln!(out, "- {from} before {to} ({edge}): {}", markdown(&step.why))?;
    }
    for fault in &finding.faults {
        writeln!(out, "- during {}", markdown(&moments.fault(fault)))?;
    }
    if let Some(assumptions) = finding.assumptions() {
        writeln!(out, "- assuming {}", markdown(&assumptions))?;
    }
    writeln!(out, "\n</details>\n")
}
