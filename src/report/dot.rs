//! The graph of an anomaly for Graphviz.

use std::io::{self, Write};

use crate::report::escape::{dot, wrapped};
use crate::report::moment::{self, Moments};
use crate::report::{Finding, Render, Report};

/// The graph of one anomaly, or of each: its operations, and its cycle as edges with their reasons.
/// `dot -Tsvg` draws it.
#[derive(Clone, Debug, Default)]
pub struct Dot {
    /// Which; all if `None`.
    pub id: Option<String>,
}

/// Characters of a line within the picture.
const WIDTH: usize = 44;

impl Render for Dot {
    fn render(&self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        let wanted = |finding: &Finding<'_>| {
            self.id.as_ref().is_none_or(|id| finding.id.eq_ignore_ascii_case(id))
        };
        for finding in report.findings().filter(wanted) {
            graph(report, &finding, out)?;
        }
        Ok(())
    }
}

fn graph(report: &Report<'_>, finding: &Finding<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (id, anomaly) = (&finding.id, finding.anomaly);
    let title = format!("{id}: {}, contradicts {}", anomaly.kind, finding.contradicts());
    writeln!(out, "digraph {id} {{")?;
    writeln!(out, "  label=\"{}\\n{}\";", dot(&title), lines(&anomaly.sentence, 2 * WIDTH))?;
    writeln!(out, "  labelloc=t; node [shape=box]; fontname=sans; node [fontname=monospace];")?;
    let moments = Moments::of(report, finding);
    for txn in &finding.operations {
        let node = moment::node(report, *txn);
        let at = if node.is_empty() { String::new() } else { format!(" at {node}") };
        let who = format!("#{}: process {}{at}", txn.index(), txn.process());
        let (what, when) = (moment::what(report, *txn), moments.when(*txn));
        writeln!(
            out,
            "  o{} [label=\"{}\\n{}\\n{}\"];",
            txn.index(),
            dot(&who),
            lines(&what, WIDTH),
            dot(&when)
        )?;
    }
    for step in &anomaly.cycle {
        let name = |id| format!("o{}", report.history.txn(id).index());
        let (from, to, edge) = (name(step.from), name(step.to), step.edge.name());
        writeln!(out, "  {from} -> {to} [label=\"{edge}\\n{}\"];", lines(&step.why, WIDTH))?;
    }
    writeln!(out, "}}")
}

/// Text in short lines.
fn lines(text: &str, width: usize) -> String {
    wrapped(text, width).iter().map(|line| dot(line)).collect::<Vec<_>>().join("\\n")
}
