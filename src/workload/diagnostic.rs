//! What is wrong, where, and the mend.

use std::fmt;

use crate::model::did_you_mean;
use crate::workload::source::Source;

/// Something wrong with a workload file or with a `--set`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as it was named, or `--set key=value`.
    pub file: String,
    /// Counted from 1; 0 for a `--set`.
    pub line: usize,
    /// In characters, counted from 1; in a `--set` from the beginning of its key.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// A way out.
    pub help: Option<String>,
    pub(super) text: String,
    pub(super) width: usize,
}

impl Diagnostic {
    pub(super) fn with_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

impl fmt::Display for Diagnostic {
    /// ```text
    /// register.toml:7:1: unknown field `rat`, expected one of `count`, `routing`, `rate`, `spacing`
    ///    7 | rat = 500
    ///      | ^^^
    ///      = did you mean `rate`?
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, number) = match self.line {
            0 => (self.file.clone(), String::new()),
            line => (format!("{}:{line}:{}", self.file, self.column), line.to_string()),
        };
        writeln!(f, "{place}: {}", self.message)?;
        writeln!(f, "{number:>4} | {}", self.text)?;
        // Tabs stay tabs, so that the caret stands below what it means.
        let before = self.text.chars().take(self.column - 1);
        let blank: String = before.map(|c| if c == '\t' { c } else { ' ' }).collect();
        write!(f, "     | {blank}{}", "^".repeat(self.width))?;
        match &self.help {
            Some(help) => write!(f, "\n     = {help}"),
            None => Ok(()),
        }
    }
}

/// An error of the TOML reader, with the nearest known word if it names those it knows.
pub(super) fn from_toml(source: &Source, error: &toml::de::Error) -> Diagnostic {
    let end = source.text().len();
    // The reader speaks of Rust's types, the user does not.
    let message = error
        .message()
        .replace("expected u32", "expected a whole number")
        .replace("expected u64", "expected a whole number")
        .replace("expected f64", "expected a number");
    let mut quoted = message.split('`').skip(1).step_by(2);
    let help = match quoted.next() {
        Some(word) if message.starts_with("unknown") => did_you_mean(word, quoted),
        _ => None,
    };
    source.diagnostic(error.span().unwrap_or(end..end), message).with_help(help)
}
