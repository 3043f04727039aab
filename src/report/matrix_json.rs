//! The matrix for machines: schema 1, stable. Later versions may add keys; they remove none.

use std::io::{self, Write};

use serde_json::{Value as Tree, json};

use crate::check::{Figure, Property, Status};
use crate::report::escape;
use crate::report::matrix::{LiveRuns, Matrix, MatrixRow, Outcome, Spread, Tally};

/// The matrix as one JSON object, keys always in the same order. Times are nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct MatrixJson;

impl MatrixJson {
    /// Writes the matrix; fails only if `out` does.
    pub fn render(self, matrix: &Matrix, out: &mut dyn Write) -> io::Result<()> {
        let text = serde_json::to_string_pretty(&object(matrix))?;
        writeln!(out, "{}", escape::json(&text))
    }
}

pub(super) fn object(matrix: &Matrix) -> Tree {
    json!({
        "schema": 1,
        "tool": concat!("rashomon ", env!("CARGO_PKG_VERSION")),
        "verdict": verdict(matrix.status()),
        "rows": matrix.rows.iter().map(row).collect::<Tree>(),
    })
}

fn verdict(status: Status) -> &'static str {
    match status {
        Status::Valid => "as expected",
        Status::Unknown => "undecided",
        Status::Invalid => "not as expected",
    }
}

fn row(row: &MatrixRow) -> Tree {
    json!({
        "row": row.row,
        "title": row.title,
        "file": row.file,
        "verdict": verdict(row.status()),
        "finding": outcome(&row.finding),
        "controls": row.controls.iter().map(outcome).collect::<Tree>(),
    })
}

pub(super) fn outcome(outcome: &Outcome) -> Tree {
    let besides = outcome
        .besides
        .iter()
        .map(|(property, seeds)| json!({ "id": property.id(), "violated_on": seeds }));
    json!({
        "title": outcome.title,
        "verdict": verdict(outcome.status),
        "reasons": outcome.reasons,
        "command": outcome.command,
        "from_seed": outcome.first_seed,
        "seeds": outcome.seeds,
        "properties": outcome.asked.iter().map(tally).collect::<Tree>(),
        "besides": besides.collect::<Tree>(),
        "progress": outcome.progress,
        "figures": outcome.figures.iter().map(figure).collect::<Tree>(),
        "live": outcome.live.as_ref().map(live),
        "strongest": outcome.strongest.iter().map(|one| one.word()).collect::<Tree>(),
    })
}

fn live(live: &LiveRuns) -> Tree {
    json!({
        "undriven": live.undriven,
        "operations": live.operations.map(spread),
        "seconds": live.seconds.map(spread),
        "history": live.history,
    })
}

fn spread(spread: Spread) -> Tree {
    json!({ "min": spread.min, "median": spread.median, "max": spread.max })
}

fn tally(tally: &Tally) -> Tree {
    json!({
        "id": tally.property.id(),
        "name": Property::name(tally.property),
        "violated_on": tally.violated,
        "undecided_on": tally.undecided,
        "first_seed": tally.first,
        "story": tally.story.as_ref().map(|story| json!({
            "kind": story.kind,
            "sentence": story.sentence,
            "operations": story.operations,
            "faults": story.faults,
        })),
    })
}

fn figure((figure, spread): &(Figure, Option<Spread>)) -> Tree {
    json!({
        "name": figure.name(),
        "min": spread.map(|spread| spread.min),
        "median": spread.map(|spread| spread.median),
        "max": spread.map(|spread| spread.max),
    })
}
