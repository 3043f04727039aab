//! Verdict in, bytes out: text for a terminal, JSON for machines, `JUnit` and Markdown for CI, one
//! HTML file to send to a colleague, and of a single anomaly its story and its graph.
//!
//! Invariant: `report` decides nothing; if a renderer needs a fact, the verdict, the metrics or the
//! history carries it. Whatever a store answered may end up in a report, so every renderer escapes
//! what it did not write itself.

mod curve;
mod digest;
mod dot;
pub(crate) mod escape;
mod explain;
mod finding;
mod html;
mod json;
mod junit;
mod markdown;
mod matrix;
mod matrix_html;
mod matrix_json;
mod matrix_text;
mod moment;
mod plot;
mod style;
mod text;
mod timeline;

use std::io::{self, Write};

pub use curve::{Curve, CurvePoint};
pub use dot::Dot;
pub use explain::Explain;
pub use finding::Finding;
pub use html::Html;
pub use json::Json;
pub use junit::Junit;
pub use markdown::Markdown;
pub use matrix::{LiveRuns, Matrix, MatrixRow, Outcome, Spread, Story, Tally};
pub use matrix_html::MatrixHtml;
pub use matrix_json::MatrixJson;
pub use matrix_text::MatrixText;
pub use style::Style;
pub use text::Text;

use crate::check::{Assessment, Latency, Metrics, Property, Status, Verdict};
use crate::history::History;

/// All there is to report.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// What was judged.
    pub history: &'a History,
    /// Where it came from, if from a file.
    pub path: Option<&'a str>,
    /// The verdicts.
    pub assessment: &'a Assessment,
    /// The numbers.
    pub metrics: &'a Metrics,
    /// What rashomon itself added to the latencies; of a run on a live target only.
    pub added: Option<Latency>,
    /// The command that reproduces the run or the check.
    pub reproduce: Option<&'a str>,
    /// The exit code of this program.
    pub exit: u8,
}

/// A form of report.
pub trait Render {
    /// Writes the report in this form; fails only if `out` does.
    fn render(&self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()>;
}

impl<'a> Report<'a> {
    /// Every anomaly, with its id and the faults it overlaps.
    pub fn findings(&self) -> impl Iterator<Item = Finding<'a>> + use<'a> {
        let report = *self;
        report.assessment.anomalies().map(move |(id, anomaly)| Finding::new(report, id, anomaly))
    }

    /// The anomaly of that id, `A1` and on.
    pub fn finding(&self, id: &str) -> Option<Finding<'a>> {
        self.findings().find(|finding| finding.id.eq_ignore_ascii_case(id))
    }

    /// How many acknowledged writes were lost; absent where that is undecided.
    pub fn lost_writes(&self) -> Option<u64> {
        let verdict = self.assessment.verdict(Property::Awl)?;
        (verdict.status != Status::Unknown).then_some(verdict.count)
    }

    /// What has to be known first, in one line: the word, and what it is about.
    fn headline(&self) -> (&'static str, String) {
        let expected = &self.assessment.expected;
        let with = |status: Status, expected_to_hold: bool| -> String {
            let verdicts = self
                .with_status(status)
                .filter(|verdict| expected.hold.contains(&verdict.property) == expected_to_hold);
            verdicts.map(|verdict| verdict.property.name()).collect::<Vec<_>>().join(", ")
        };
        let or_reason = |names: String| match &self.assessment.reason {
            Some(reason) if names.is_empty() => reason.clone(),
            _ => names,
        };
        let (held, found) = (with(Status::Valid, true), self.unexpected());
        match self.assessment.status {
            Status::Invalid => ("VIOLATED", or_reason(with(Status::Invalid, true))),
            Status::Unknown => ("UNDECIDED", or_reason(with(Status::Unknown, true))),
            Status::Valid if expected.hold.is_empty() && !found.is_empty() => {
                ("VIOLATED", format!("{found} (nothing was expected to hold)"))
            }
            Status::Valid if !held.is_empty() && !found.is_empty() => {
                (HOLDS, format!("{held}; violated, but not expected to hold: {found}"))
            }
            Status::Valid if !held.is_empty() => (HOLDS, held),
            Status::Valid => match self.with_status(Status::Valid).count() as u64 {
                0 => ("UNDECIDED", "nothing in this history could be judged".to_owned()),
                1 => ("NO VIOLATION FOUND", "one property holds in this history".to_owned()),
                valid => ("NO VIOLATION FOUND", format!("{valid} properties hold in this history")),
            },
        }
    }

    /// What is violated by a proof of its own, and was not expected to hold: some names.
    fn unexpected(&self) -> String {
        const NAMES: usize = 6;
        let hold = &self.assessment.expected.hold;
        let found = self
            .with_status(Status::Invalid)
            .filter(|verdict| !verdict.anomalies.is_empty() && !hold.contains(&verdict.property));
        let mut names: Vec<String> = found.map(|one| one.property.name().to_owned()).collect();
        if names.len() > NAMES {
            let more = names.len() - NAMES;
            names.truncate(NAMES);
            names.push(format!("and {more} more"));
        }
        names.join(", ")
    }

    fn with_status(&self, status: Status) -> impl Iterator<Item = &'a Verdict> + use<'a> {
        self.assessment.verdicts.iter().filter(move |verdict| verdict.status == status)
    }

    /// The ids of the anomalies of each verdict, in the order of the verdicts.
    fn verdicts(&self) -> impl Iterator<Item = (&'a Verdict, Vec<String>)> + use<'a> {
        let mut next = 1;
        self.assessment.verdicts.iter().map(move |verdict| {
            let first = next;
            next += verdict.anomalies.len();
            (verdict, (first..next).map(|number| format!("A{number}")).collect())
        })
    }
}

const HOLDS: &str = "HOLDS IN THIS HISTORY";

/// `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 key`, `2 keys`.
fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" })
}
