//! The report for the summary of a CI job.

use std::io::{self, Write};

use crate::report::digest::{self, Section};
use crate::report::escape::markdown;
use crate::report::moment::{self, Moments};
use crate::report::text::{facts, summary};
use crate::report::{Finding, Render, Report, counted};

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
        let mut left_out = 0;
        for (finding, is_shown) in digest::proofs(report) {
            if is_shown {
                anomaly(report, &finding, out)?;
            } else {
                left_out += 1;
            }
        }
        if left_out > 0 {
            let more = counted(left_out, "more proof");
            writeln!(out, "{more} not shown here; `rashomon explain` tells the story of each\n")?;
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
    for section in Section::all(report) {
        let status = section.status.name();
        for row in &section.rows {
            let property = match row.name() {
                "" => row.property_ids(),
                name => format!("{name} ({})", row.property_ids()),
            };
            let mut notes = row.ids.clone();
            notes.extend(row.expectation.map(str::to_owned));
            notes.extend(row.reason.map(str::to_owned));
            let (property, notes) = (markdown(&property), markdown(&notes.join(", ")));
            writeln!(out, "| {property} | **{status}** | {notes} |")?;
        }
        if let Some(rest) = section.following() {
            writeln!(out, "| {} | **{status}** | |", markdown(&rest))?;
        }
    }
    let strongest = digest::strongest(report);
    if !strongest.is_empty() {
        let strongest = markdown(&strongest);
        writeln!(out, "\nStrongest models this history is consistent with: {strongest}")?;
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
