//! The matrix on a terminal: a line for each property of a scenario and for each remedy, and beneath
//! what was measured and what is not as expected.

use std::io::{self, Write};

use crate::check::Status;
use crate::report::Style;
use crate::report::escape::{plain, wrapped};
use crate::report::matrix::{LiveRuns, Matrix, MatrixRow, Outcome, Tally, measured};

const WIDTH: usize = 96;
const INDENT: &str = "        ";

/// The matrix on a terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct MatrixText {
    /// With colours or without.
    pub style: Style,
    /// With the story of each violation, and the models that remain.
    pub stories: bool,
}

impl MatrixText {
    /// Writes the matrix; fails only if `out` does.
    pub fn render(self, matrix: &Matrix, out: &mut dyn Write) -> io::Result<()> {
        for row in &matrix.rows {
            self.row(row, out)?;
        }
        let count = |status| matrix.rows.iter().filter(|row| row.status() == status).count();
        let (good, bad) = (count(Status::Valid), count(Status::Invalid));
        let undecided = count(Status::Unknown);
        let mut summary = vec![format!("{good} as expected")];
        summary.extend((bad > 0).then(|| format!("{bad} not as expected")));
        summary.extend((undecided > 0).then(|| format!("{undecided} undecided")));
        writeln!(out, "{} rows: {}", matrix.rows.len(), summary.join(", "))
    }

    fn row(self, row: &MatrixRow, out: &mut dyn Write) -> io::Result<()> {
        let title = wrapped(&plain(&row.title), WIDTH - INDENT.len());
        for (at, line) in title.iter().enumerate() {
            let id = if at == 0 { row.row.as_str() } else { "" };
            writeln!(out, "{} {}", self.style.bold(&format!("{id:7}")), self.style.bold(line))?;
        }
        self.outcome(&row.finding, out)?;
        for control in &row.controls {
            self.outcome(control, out)?;
        }
        writeln!(out)
    }

    fn outcome(self, outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
        let is_control = !outcome.title.is_empty();
        let mark = match outcome.status {
            Status::Valid => self.style.good("✓"),
            Status::Unknown => self.style.doubtful("?"),
            Status::Invalid => self.style.bad("✗"),
        };
        let said = if is_control { control(outcome) } else { finding(outcome) };
        for (at, line) in wrapped(&plain(&said), WIDTH - INDENT.len()).iter().enumerate() {
            let mark = if at == 0 { &mark } else { " " };
            writeln!(out, "      {mark} {line}")?;
        }
        for reason in &outcome.reasons {
            for line in wrapped(&plain(reason), WIDTH - INDENT.len() - 2) {
                writeln!(out, "{INDENT}  {}", self.style.bad(&line))?;
            }
        }
        let mut notes = Vec::new();
        if !outcome.figures.is_empty() {
            let figures = outcome.figures.iter().map(|(figure, spread)| measured(*figure, *spread));
            notes.push(figures.collect::<Vec<_>>().join(" · "));
        }
        notes.extend(outcome.live.as_ref().map(LiveRuns::show).filter(|note| !note.is_empty()));
        if self.stories && !is_control {
            notes.extend(outcome.asked.iter().filter_map(story));
            if !outcome.strongest.is_empty() {
                let names: Vec<&str> = outcome.strongest.iter().map(|one| one.name()).collect();
                notes.push(format!("consistent with no more than: {}", names.join(", ")));
            }
        }
        // How to see for oneself: the first seed that shows something, else the first of all.
        if self.stories || !outcome.reasons.is_empty() {
            let seed = outcome
                .asked
                .iter()
                .filter_map(|tally| tally.first)
                .min()
                .unwrap_or(outcome.first_seed);
            notes.push(outcome.shown_by(seed));
        }
        for note in notes {
            for line in wrapped(&plain(&note), WIDTH - INDENT.len() - 2) {
                writeln!(out, "{INDENT}  {}", self.style.dim(&line))?;
            }
        }
        Ok(())
    }
}

fn finding(outcome: &Outcome) -> String {
    let seeds = outcome.runs();
    let found = |tally: &Tally| {
        let (id, violated) = (tally.property.id(), tally.violated);
        match tally.first.filter(|_| outcome.live.is_none()) {
            Some(first) => format!("{id} on {violated} of {seeds}, first seed {first}"),
            None => format!("{id} on {violated} of {seeds}"),
        }
    };
    match outcome.asked.as_slice() {
        [] => format!("measured on {seeds}"),
        asked => format!("violates {}", asked.iter().map(found).collect::<Vec<_>>().join("; ")),
    }
}

fn control(outcome: &Outcome) -> String {
    let ids: Vec<&str> = outcome.asked.iter().map(|tally| tally.property.id()).collect();
    let progress = outcome.progress.map_or_else(
        || "no progress".to_owned(),
        |progress| format!("progress {:.1} % at least", progress * 100.0),
    );
    let (title, seeds) = (&outcome.title, outcome.runs());
    let violated = outcome.asked.iter().map(|tally| tally.violated).max().unwrap_or(0);
    let silent = match (ids.is_empty(), violated) {
        (true, _) => String::new(),
        (false, many) if outcome.live.is_some() => {
            format!("{} broken in {many} of {seeds}, ", ids.join(", "))
        }
        (false, 0) => format!("{} silent on {seeds}, ", ids.join(", ")),
        (false, _) => format!("{} not silent on {seeds}, ", ids.join(", ")),
    };
    format!("{title}: {silent}{progress}")
}

fn story(tally: &Tally) -> Option<String> {
    let story = tally.story.as_ref()?;
    let during = if story.faults.is_empty() {
        String::new()
    } else {
        format!(" (during {})", story.faults.join(", "))
    };
    Some(format!("{}: {}{during}", tally.property.id(), story.sentence))
}
