//! Where in a file, or in which `--set`, something stands.

use std::ops::Range;

use crate::workload::diagnostic::Diagnostic;

/// A workload file and the overrides given with it, as one text.
///
/// The n-th override is thought of as standing behind the file and the overrides before it, so one
/// byte range names a place in any of them.
#[derive(Clone, Debug)]
pub(super) struct Source {
    file: String,
    text: String,
    overrides: Vec<Override>,
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
        let mut base = text.len() + 1;
        let place = |(key, value): &(String, String)| {
            let own = base;
            base += key.len() + value.len() + 8;
            Override { key: key.clone(), value: value.clone(), base: own }
        };
        let overrides = overrides.iter().map(place).collect();
        Self { file: file.to_owned(), text: text.to_owned(), overrides }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// Whether a place is in the file itself.
    pub(super) fn is_in_file(&self, span: &Range<usize>) -> bool {
        span.start <= self.text.len()
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
