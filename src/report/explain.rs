//! The story of one anomaly, or of all: what happened, when and where, and why it cannot be.

use std::io::{self, Write};

use crate::model::{Kind, Nanos};
use crate::report::escape::plain;
use crate::report::moment::{self, Moments};
use crate::report::text::{cycle, paragraph};
use crate::report::timeline::timeline;
use crate::report::{Finding, Render, Report, Style, counted};

/// The story of one anomaly, or of all.
#[derive(Clone, Debug, Default)]
pub struct Explain {
    /// Which; all if `None`. [`Report::finding`] tells whether there is such a one.
    pub id: Option<String>,
    /// With colours or without.
    pub style: Style,
}

/// Operations in the story and in the timeline; more than these nobody reads.
const SHOWN: usize = 40;

impl Render for Explain {
    fn render(&self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        let wanted = |finding: &Finding<'_>| {
            self.id.as_ref().is_none_or(|id| finding.id.eq_ignore_ascii_case(id))
        };
        let mut told = 0;
        for finding in report.findings().filter(wanted) {
            if told > 0 {
                writeln!(out)?;
            }
            told += 1;
            self.story(report, &finding, out)?;
        }
        if told == 0 {
            let all = report.findings().count() as u64;
            match &self.id {
                Some(id) if all > 0 => {
                    writeln!(out, "no anomaly {}; there are A1 to A{all}", plain(id))?;
                }
                _ => writeln!(out, "no anomaly was found in this history")?,
            }
        }
        if let Some(command) = report.reproduce {
            writeln!(out, "\n{} {}", self.style.bold("reproduce:"), plain(command))?;
        }
        Ok(())
    }
}

impl Explain {
    fn story(
        &self,
        report: &Report<'_>,
        finding: &Finding<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let (anomaly, style) = (finding.anomaly, self.style);
        let of = finding.key(report).map_or_else(String::new, |key| format!(" of {key}"));
        writeln!(out, "{}  {}{of}\n", style.bold(&finding.id), style.bad(anomaly.kind))?;
        paragraph(out, "  ", &anomaly.sentence)?;

        writeln!(out, "\n{}", style.bold("what happened"))?;
        let mut entries = entries(report, finding);
        entries.sort();
        for (_, entry) in entries {
            paragraph(out, "  - ", &entry)?;
        }
        if finding.operations.len() > SHOWN {
            let more = (finding.operations.len() - SHOWN) as u64;
            writeln!(out, "  … {}", counted(more, "more operation"))?;
        }

        if report.history.has_real_time() {
            writeln!(out, "\n{}", style.bold("side by side (not to scale)"))?;
            for row in timeline(report, finding, SHOWN) {
                writeln!(out, "  {}", row.trim_end())?;
            }
        }

        writeln!(out, "\n{}", style.bold("why this cannot be"))?;
        for property in &anomaly.set {
            promise(*property, out)?;
        }
        if anomaly.set.is_empty() {
            promise(anomaly.property, out)?;
        }
        cycle(report, finding, usize::MAX, out)?;
        if let Some(assumptions) = finding.assumptions() {
            paragraph(
                out,
                "  This rests on what the workload assumes of the store: ",
                &assumptions,
            )?;
        }
        Ok(())
    }
}

fn promise(property: crate::check::Property, out: &mut dyn Write) -> io::Result<()> {
    let (name, about, reference) = (property.name(), property.about(), property.reference());
    paragraph(out, "  ", &format!("{name} ({}): {about} ({reference}).", property.id()))
}

/// What happened, each with its place in time.
fn entries(report: &Report<'_>, finding: &Finding<'_>) -> Vec<((Nanos, u32), String)> {
    let moments = Moments::of(report, finding);
    let mut entries = Vec::new();
    for txn in finding.operations.iter().take(SHOWN) {
        let node = moment::node(report, *txn);
        let at = if node.is_empty() { String::new() } else { format!(" at {node}") };
        let took = || {
            let took = txn.returned_at() - txn.invoked_at();
            if report.metrics.clock { format!(", {took} later") } else { String::new() }
        };
        let returned = || match moments {
            Moments::Sessions => String::new(),
            _ => format!(" at {}{}", moments.returned(*txn), took()),
        };
        let ended = match txn.kind() {
            Kind::Ok => format!("; ok{}", returned()),
            Kind::Fail => format!("; failed{}", returned()),
            Kind::Info | Kind::Invoke => "; its outcome is unknown".to_owned(),
        };
        let (invoked, what) = (moments.invoked(*txn), moment::what(report, *txn));
        let error = moment::error(*txn);
        let entry = format!(
            "{invoked}: process {}{at} invokes #{}, {what}{ended}{error}",
            txn.process(),
            txn.index()
        );
        entries.push(((txn.invoked_at(), txn.invoked().0), entry));
    }
    for fault in &finding.faults {
        let (begin, end) = (moments.at(fault.begin), moments.at(fault.end));
        let (name, value) = (moment::fault_name(fault), moment::fault_value(fault));
        let entry = format!("{begin}: {name} begins, until {end}{value}");
        entries.push(((fault.begin, 0), entry));
    }
    entries
}
