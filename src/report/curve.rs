//! What a sweep found: figures and violations as an option is varied.

use std::io::{self, Write};

use serde_json::{Value as Tree, json};

use crate::check::{Figure, Property};
use crate::report::escape::{self, plain};
use crate::report::matrix::{Outcome, Spread};
use crate::report::{Style, matrix_json};

/// A scenario at several settings.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What the scenario shows.
    pub title: String,
    /// The file it is written in.
    pub file: String,
    /// What is varied.
    pub keys: Vec<String>,
    /// A point for each setting.
    pub points: Vec<CurvePoint>,
}

/// One setting, and what came of it.
#[derive(Clone, Debug)]
pub struct CurvePoint {
    /// The value of each key.
    pub values: Vec<String>,
    /// What came of it.
    pub outcome: Outcome,
}

/// One line of the curve: a quantity at every point.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) about: String,
    /// What is drawn; absent where nothing could be measured.
    pub(super) heights: Vec<Option<f64>>,
    pub(super) shown: Vec<String>,
}

impl Curve {
    /// The violations of each property, then each figure.
    pub(super) fn lines(&self) -> Vec<Line> {
        let Some(first) = self.points.first() else { return Vec::new() };
        let properties = first.outcome.asked.iter().map(|tally| tally.property).enumerate();
        let figures = first.outcome.figures.iter().map(|(figure, _)| *figure).enumerate();
        let violations = properties.map(|(at, property)| self.violations(at, property));
        violations.chain(figures.map(|(at, figure)| self.figure(at, figure))).collect()
    }

    fn violations(&self, at: usize, property: Property) -> Line {
        let tallies =
            || self.points.iter().map(|point| (&point.outcome.asked[at], point.outcome.seeds));
        Line {
            name: property.id().to_owned(),
            about: format!("seeds on which `{}` is violated", property.name()),
            heights: tallies()
                .map(|(one, all)| Some(f64::from(one.violated) / f64::from(all)))
                .collect(),
            shown: tallies().map(|(one, all)| format!("{} of {all}", one.violated)).collect(),
        }
    }

    fn figure(&self, at: usize, figure: Figure) -> Line {
        let spreads = || self.points.iter().map(|point| point.outcome.figures[at].1);
        let shown = |spread: Option<Spread>| {
            spread.map_or_else(|| "–".to_owned(), |spread| spread.show(figure))
        };
        Line {
            name: figure.name().to_owned(),
            about: figure.about().to_owned(),
            heights: spreads().map(|spread| spread.map(|spread| spread.median)).collect(),
            shown: spreads().map(shown).collect(),
        }
    }

    /// The setting of each point, all equally wide.
    fn settings(&self) -> Vec<String> {
        let columns = 0..self.keys.len();
        let width = |column: usize| {
            let values = self.points.iter().map(|point| point.values[column].chars().count());
            values.max().unwrap_or(0)
        };
        let widths: Vec<usize> = columns.map(width).collect();
        let padded = |point: &CurvePoint| {
            let cells = point.values.iter().zip(&widths);
            cells
                .map(|(value, width)| format!("{:width$}", plain(value)))
                .collect::<Vec<_>>()
                .join("  ")
        };
        self.points.iter().map(padded).collect()
    }

    /// Writes the curve for a terminal; fails only if `out` does.
    pub fn text(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        const BAR: f64 = 32.0;
        writeln!(out, "{}", style.bold(&plain(&self.title)))?;
        writeln!(out, "{} over {}", self.file, plain(&self.keys.join(" and ")))?;
        let settings = self.settings();
        for line in self.lines() {
            writeln!(out, "\n{}: {}", style.bold(&line.name), line.about)?;
            let greatest = line.heights.iter().flatten().copied().fold(0.0, f64::max);
            let width = line.shown.iter().map(|shown| shown.chars().count()).max().unwrap_or(0);
            for (at, setting) in settings.iter().enumerate() {
                let height = line.heights[at].filter(|_| greatest > 0.0).unwrap_or(0.0);
                let bar =
                    "█".repeat((height / greatest.max(f64::MIN_POSITIVE) * BAR).round() as usize);
                let text = format!("  {setting}  {:width$}  {}", line.shown[at], style.dim(&bar));
                writeln!(out, "{}", text.trim_end())?;
            }
        }
        for point in &self.points {
            // A violation that is not found at some setting is what a curve is for; an error is not.
            for reason in point.outcome.reasons.iter().filter(|reason| reason.starts_with("seed "))
            {
                writeln!(out, "\n{}", style.bad(&plain(reason)))?;
            }
        }
        Ok(())
    }

    /// Writes the curve as one JSON object; fails only if `out` does.
    pub fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        let text = serde_json::to_string_pretty(&self.object())?;
        writeln!(out, "{}", escape::json(&text))
    }

    pub(super) fn object(&self) -> Tree {
        let points = self.points.iter().map(|point| {
            let set = self.keys.iter().zip(&point.values);
            let set: serde_json::Map<String, Tree> =
                set.map(|(key, value)| (key.clone(), json!(value))).collect();
            json!({ "set": set, "outcome": matrix_json::outcome(&point.outcome) })
        });
        json!({
            "schema": 1,
            "tool": concat!("rashomon ", env!("CARGO_PKG_VERSION")),
            "title": self.title,
            "file": self.file,
            "points": points.collect::<Tree>(),
        })
    }
}
