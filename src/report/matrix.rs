//! What a survey found, row by row: the matrix of replication systems, their failures and their
//! remedies.

use crate::check::{Figure, Property, Status};
use crate::report::{counted, grouped};

/// What a survey found.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// A row for each scenario, in the order of the catalogue.
    pub rows: Vec<MatrixRow>,
}

/// A scenario: its failure, and its remedies.
#[derive(Clone, Debug)]
pub struct MatrixRow {
    /// `S48`.
    pub row: String,
    /// What it shows.
    pub title: String,
    /// The file it is written in.
    pub file: String,
    /// The run that shows the failure.
    pub finding: Outcome,
    /// The runs that shall be silent.
    pub controls: Vec<Outcome>,
}

/// What came of one run of a scenario on many seeds.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the remedy is; empty for the failure itself.
    pub title: String,
    /// The command that repeats the run of one seed, but for the seed.
    pub command: String,
    /// The first seed that it was run on.
    pub first_seed: u64,
    /// It was run on so many seeds; of a live target, so many runs came to an end.
    pub seeds: u32,
    /// What is known of runs of a live target only.
    pub live: Option<LiveRuns>,
    /// As expected, undecided, or not as expected.
    pub status: Status,
    /// Why it is not as expected.
    pub reasons: Vec<String>,
    /// The properties that were asked for.
    pub asked: Vec<Tally>,
    /// What else was violated by a proof of its own, and on how many seeds.
    pub besides: Vec<(Property, u32)>,
    /// The smallest fraction, over all seeds, of the operations outside faults that succeeded.
    pub progress: Option<f64>,
    /// What was measured.
    pub figures: Vec<(Figure, Option<Spread>)>,
    /// The strongest models that the run of the first seed that shows a violation, else of the first
    /// seed, is consistent with.
    pub strongest: Vec<Property>,
}

/// Runs of a live target, of which no two are the same, on any machine.
#[derive(Clone, Debug)]
pub struct LiveRuns {
    /// Runs besides that could not be set up, driven or taken down.
    pub undriven: u32,
    /// How many operations a run had.
    pub operations: Option<Spread>,
    /// How many seconds a run took, from the first command that sets the target up to the last one
    /// that takes it down, and the check.
    pub seconds: Option<Spread>,
    /// The history of the first run that shows a violation, else of the first run.
    pub history: Option<String>,
}

/// On how many seeds a property was violated.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Which property.
    pub property: Property,
    /// Seeds on which it was violated.
    pub violated: u32,
    /// Seeds on which it could not be decided.
    pub undecided: u32,
    /// The first seed on which it was violated.
    pub first: Option<u64>,
    /// How it was violated on that seed.
    pub story: Option<Story>,
}

/// A violation, told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// What it is called: `stale-read`.
    pub kind: String,
    /// One sentence.
    pub sentence: String,
    /// How many operations prove it.
    pub operations: usize,
    /// The faults it overlaps.
    pub faults: Vec<String>,
}

/// A figure over all seeds on which it could be measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The middle one; of two the lower.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// The spread of these values; `None` of none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { min, median: values[(values.len() - 1) / 2], max })
    }
}

impl Outcome {
    /// What it was run on: `20 seeds`, or `20 runs` of a live target.
    pub(super) fn runs(&self) -> String {
        let noun = if self.live.is_some() { "run" } else { "seed" };
        format!("{} {noun}{}", self.seeds, if self.seeds == 1 { "" } else { "s" })
    }

    /// The command that shows the run of a seed: of a live target, the history that is left of it.
    pub(super) fn shown_by(&self, seed: u64) -> String {
        match self.live.as_ref().map(|live| &live.history) {
            Some(Some(history)) => format!("rashomon check {history}"),
            _ => format!("{} --seed {seed}", self.command),
        }
    }
}

impl LiveRuns {
    /// `1,019 operations (514 to 1,580) and 17 s (16 s to 19 s) a run`, and what there was not.
    pub(super) fn show(&self) -> String {
        let show = |spread: Spread, unit: &str| {
            let [min, median, max] =
                [spread.min, spread.median, spread.max].map(|value| grouped(value.round() as u64));
            if min == max {
                format!("{median} {unit}")
            } else {
                format!("{median} {unit} ({min} to {max})")
            }
        };
        let took = self.operations.zip(self.seconds).map(|(operations, seconds)| {
            format!("{} and {} a run", show(operations, "operations"), show(seconds, "s"))
        });
        let undriven =
            (self.undriven > 0).then(|| format!("{} failed", counted(self.undriven.into(), "run")));
        took.into_iter().chain(undriven).collect::<Vec<_>>().join(" · ")
    }
}

impl MatrixRow {
    /// The worst of the failure and its remedies.
    pub fn status(&self) -> Status {
        let controls = self.controls.iter().map(|control| control.status);
        controls.chain([self.finding.status]).max().unwrap_or(Status::Valid)
    }
}

impl Matrix {
    /// How many runs of live targets could not be driven.
    pub fn undriven(&self) -> u32 {
        let outcomes = self.rows.iter().flat_map(|row| row.controls.iter().chain([&row.finding]));
        outcomes.filter_map(|outcome| outcome.live.as_ref()).map(|live| live.undriven).sum()
    }

    /// The worst of all rows.
    pub fn status(&self) -> Status {
        self.rows.iter().map(MatrixRow::status).max().unwrap_or(Status::Unknown)
    }
}

impl Spread {
    /// The middle value with its unit, and the range where there is one.
    pub(super) fn show(self, figure: Figure) -> String {
        let [min, median, max] = [self.min, self.median, self.max].map(|value| figure.show(value));
        if min == max { median } else { format!("{median} ({min} to {max})") }
    }
}

/// A figure and what was measured of it.
pub(super) fn measured(figure: Figure, spread: Option<Spread>) -> String {
    let shown = spread.map_or_else(|| "–".to_owned(), |spread| spread.show(figure));
    format!("{figure} {shown}")
}
