//! The report for a CI server: `JUnit` XML, a test case a property.

use std::io::{self, Write};

use crate::check::{Status, Verdict};
use crate::report::escape::xml;
use crate::report::{Render, Report};

/// One test suite. A property that was expected to hold fails if violated and is an error if
/// undecided; of any other property a finding is a skipped test with a message, so that it is seen
/// and fails no build.
#[derive(Clone, Copy, Debug, Default)]
pub struct Junit;

impl Render for Junit {
    fn render(&self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        let header = report.history.header();
        let suite = header.and_then(|header| header.workload.as_deref()).unwrap_or("history");
        let cases: Vec<Case> =
            report.verdicts().map(|(verdict, ids)| case(report, verdict, &ids)).collect();
        let whole = whole(report);
        let all = || cases.iter().chain(&whole);
        let count = |wanted: &str| all().filter(|case| case.tag == wanted).count();
        writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
        writeln!(
            out,
            "<testsuite name=\"rashomon {}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">",
            xml(suite),
            all().count(),
            count("failure"),
            count("error"),
            count("skipped"),
        )?;
        for case in all() {
            write!(out, "  <testcase classname=\"rashomon\" name=\"{}\"", xml(&case.name))?;
            if case.tag.is_empty() {
                writeln!(out, "/>")?;
            } else {
                let (tag, message) = (case.tag, xml(&case.message));
                writeln!(out, ">\n    <{tag} message=\"{message}\">{}</{tag}>", xml(&case.text))?;
                writeln!(out, "  </testcase>")?;
            }
        }
        if let Some(command) = report.reproduce {
            writeln!(out, "  <system-out>reproduce: {}</system-out>", xml(command))?;
        }
        writeln!(out, "</testsuite>")
    }
}

struct Case {
    name: String,
    /// `failure`, `error`, `skipped`, or nothing where it passed.
    tag: &'static str,
    message: String,
    text: String,
}

fn case(report: &Report<'_>, verdict: &Verdict, ids: &[String]) -> Case {
    let property = verdict.property;
    let expected = report.assessment.expected.hold.contains(&property);
    let reason = || verdict.reason.clone().unwrap_or_default();
    let found = || match ids {
        [] => format!("violated: {}", reason()),
        ids => format!("violated: {}", ids.join(" ")),
    };
    let (tag, message) = match (verdict.status, expected) {
        (Status::Valid, _) => ("", String::new()),
        (Status::Unknown, true) => ("error", format!("undecided: {}", reason())),
        (Status::Unknown, false) => ("skipped", format!("undecided: {}", reason())),
        (Status::Invalid, true) => ("failure", found()),
        (Status::Invalid, false) => ("skipped", format!("{}, not expected to hold", found())),
    };
    let sentences: Vec<String> =
        verdict.anomalies.iter().map(|anomaly| anomaly.sentence.clone()).collect();
    Case { name: property.name().to_owned(), tag, message, text: sentences.join(" ") }
}

/// What is wrong with the run as a whole.
fn whole(report: &Report<'_>) -> Option<Case> {
    let message = report.assessment.reason.clone()?;
    let tag = match report.assessment.status {
        Status::Valid => return None,
        Status::Unknown => "error",
        Status::Invalid => "failure",
    };
    Some(Case { name: "the whole history".to_owned(), tag, message, text: String::new() })
}
