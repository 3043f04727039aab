//! What the terminal can do.

use std::io::{self, IsTerminal, Write};

use crate::cli::args::Color;
use crate::report::Style;

/// Says something on standard error; if nobody listens, so be it.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// Where results and progress go, and in which dress.
pub(crate) struct Terminal {
    /// Whether results may be coloured.
    pub(crate) colored: bool,
    /// Whether progress is to be shown at all.
    pub(crate) progress: bool,
}

impl Terminal {
    pub(crate) fn new(color: Color, quiet: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colored = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !plain && io::stdout().is_terminal(),
        };
        Self { colored, progress: !quiet }
    }

    /// The dress of results.
    pub(crate) fn style(&self) -> Style {
        if self.colored { Style::Colour } else { Style::Plain }
    }
}
