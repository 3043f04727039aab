//! What the terminal can do.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use crate::cli::args::Color;
use crate::model::Nanos;
use crate::report::Style;

/// Says something on standard error; if nobody listens, so be it.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// How long ago that was, for people.
pub(crate) fn since(begun: Instant) -> Nanos {
    Nanos(begun.elapsed().as_nanos() as u64)
}

/// Where results and progress go, and in which dress.
pub(crate) struct Terminal {
    /// Whether results may be coloured.
    pub(crate) colored: bool,
    /// Whether progress is to be shown at all.
    pub(crate) progress: bool,
    /// How often `-v` was typed.
    pub(crate) verbose: u8,
}

impl Terminal {
    pub(crate) fn new(color: Color, quiet: bool, verbose: u8) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colored = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !plain && io::stdout().is_terminal(),
        };
        Self { colored, progress: !quiet, verbose }
    }

    /// Tells what is done, to whoever typed `-v`.
    pub(crate) fn tell(&self, step: impl FnOnce() -> String) {
        if self.verbose > 0 {
            complain(&step());
        }
    }

    /// The dress of results.
    pub(crate) fn style(&self) -> Style {
        if self.colored { Style::Colour } else { Style::Plain }
    }
}
