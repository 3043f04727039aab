//! Colours, or none.

/// Whether a terminal report is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Not a single escape code: for files, pipes and `NO_COLOR`.
    #[default]
    Plain,
    /// ANSI colours.
    Colour,
}

impl Style {
    /// Text that shouts: the name of a violation.
    pub(super) fn bad(self, text: &str) -> String {
        self.painted("1;31", text)
    }

    /// Text of what holds.
    pub(super) fn good(self, text: &str) -> String {
        self.painted("1;32", text)
    }

    /// Text of what is undecided.
    pub(super) fn doubtful(self, text: &str) -> String {
        self.painted("1;33", text)
    }

    /// A heading.
    pub(super) fn bold(self, text: &str) -> String {
        self.painted("1", text)
    }

    /// Text of less weight.
    pub(super) fn dim(self, text: &str) -> String {
        self.painted("2", text)
    }

    fn painted(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}
