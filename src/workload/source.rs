//! Where in a file, or in which `--set`, something stands.

use std::ops::Range;

use crate::workload::diagnostic::Diagnostic;

/// A workload file, the scenario that changes it, if any, and the overrides given with them, as one
/// text.
///
/// The scenario is thought of as standing behind the file, and the n-th override behind it and the
/// overrides before, so one byte range names a place in any of them.
#[derive(Clone, Debug)]
pub(super) struct Source {
    file: String,
    text: String,
    scenario: Option<Behind>,
    overrides: Vec<Override>,
}

/// A scenario file behind the workload file that it changes.
#[derive(Clone, Debug)]
pub(super) struct Behind {
    file: String,
    /// Its text behind so many blanks that every part stands where [`Source`] thinks of it.
    pub(super) padded: String,
    base: usize,
    /// Which of its runs is meant.
    pub(super) side: Side,
}

/// Which run of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The one that shows what goes wrong.
    Finding,
    /// The control of that number.
    Control(usize),
}

/// One `--set key=value`.
#[derive(Clone, Debug)]
pub(super) struct Override {
    pub(super) key: String,
    pub(super) value: String,
    /// Where it stands behind the file.
    pub(super) base: usize,
}

impl Source {
    pub(super) fn new(file: &str, text: &str, overrides: &[(String, String)]) -> Self {
        Self::build(file, text, None, overrides)
    }

    /// The workload `base` (file and text) as a scenario (file and text) changes it for one of its runs.
    pub(super) fn of_scenario(
        base: (&str, &str),
        scenario: (&str, &str),
        side: Side,
        overrides: &[(String, String)],
    ) -> Self {
        let at = base.1.len() + 1;
        let padded = " ".repeat(at) + scenario.1;
        let behind = Behind { file: scenario.0.to_owned(), padded, base: at, side };
        Self::build(base.0, base.1, Some(behind), overrides)
    }

    fn build(
        file: &str,
        text: &str,
        scenario: Option<Behind>,
        overrides: &[(String, String)],
    ) -> Self {
        let mut base = scenario.as_ref().map_or(text.len(), |behind| behind.padded.len()) + 1;
        let place = |(key, value): &(String, String)| {
            let own = base;
            base += key.len() + value.len() + 8;
            Override { key: key.clone(), value: value.clone(), base: own }
        };
        let overrides = overrides.iter().map(place).collect();
        Self { file: file.to_owned(), text: text.to_owned(), scenario, overrides }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    pub(super) fn scenario(&self) -> Option<&Behind> {
        self.scenario.as_ref()
    }

    /// Whether a place is in a file, and not in an override.
    pub(super) fn is_in_file(&self, span: &Range<usize>) -> bool {
        let behind = self.scenario.as_ref().map(|behind| &behind.padded);
        span.start <= behind.unwrap_or(&self.text).len()
    }

    /// Says `message` of a place.
    pub(super) fn diagnostic(&self, span: Range<usize>, message: String) -> Diagnostic {
        let within = self.overrides.iter().rev().find(|set| set.base <= span.start);
        if let Some(set) = within {
            let written = format!("{}={}", set.key, set.value);
            let file = format!("--set {written}");
            let place = place(&written, &(span.start - set.base..span.end - set.base));
            return Diagnostic { line: 0, ..place.says(file, message) };
        }
        if let Some(behind) = self.scenario.as_ref().filter(|behind| behind.base <= span.start) {
            let text = &behind.padded[behind.base..];
            let span = span.start - behind.base..span.end - behind.base;
            return place(text, &span).says(behind.file.clone(), message);
        }
        place(&self.text, &span).says(self.file.clone(), message)
    }
}

/// A line, and a part of it.
struct Place<'a> {
    line: usize,
    column: usize,
    width: usize,
    text: &'a str,
}

impl Place<'_> {
    fn says(self, file: String, message: String) -> Diagnostic {
        Diagnostic {
            file,
            line: self.line,
            column: self.column,
            message,
            help: None,
            text: self.text.to_owned(),
            width: self.width,
        }
    }
}

fn place<'a>(text: &'a str, span: &Range<usize>) -> Place<'a> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    let mut end = span.end.clamp(start, line_end);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Place {
        line: before.matches('\n').count() + 1,
        column: text[line_start..start].chars().count() + 1,
        width: text[start..end].trim_end().chars().count().max(1),
        text: text[line_start..line_end].trim_end(),
    }
}
