//! The matrix and curves as one self-contained HTML file: no script that runs, nothing loaded from
//! elsewhere.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::check::Status;
use crate::report::curve::{Curve, Line};
use crate::report::escape::{self, xml};
use crate::report::matrix::{Matrix, MatrixRow, Outcome, measured};
use crate::report::matrix_json;

/// The matrix as one HTML file. The JSON form is in it as the script element `survey` of type
/// `application/json`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MatrixHtml;

const STYLE: &str = "
body{font:15px/1.45 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1c2024;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.1rem}
table{border-collapse:collapse;width:100%}td,th{padding:.3rem .9rem .3rem 0;text-align:left;vertical-align:top;border-top:1px solid #d8dbe0}
.violated{color:#b3261e}.undecided{color:#8a5a00}.holds{color:#146c2e}.dim{color:#5b6270;font-size:.9em}
code{font-family:ui-monospace,monospace;font-size:.9em}
svg{width:100%;max-width:44rem;height:auto;font:11px system-ui,sans-serif;fill:#1c2024}
";

fn head(title: &str, out: &mut dyn Write) -> io::Result<()> {
    let title = xml(title);
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>"
    )
}

impl MatrixHtml {
    /// Writes the matrix; fails only if `out` does.
    pub fn render(self, matrix: &Matrix, out: &mut dyn Write) -> io::Result<()> {
        let good = matrix.rows.iter().filter(|row| row.status() == Status::Valid).count();
        head(&format!("Survey: {good} of {} rows as expected", matrix.rows.len()), out)?;
        writeln!(out, "<table>\n<tr><th>row<th>what is shown<th>found<th>control")?;
        for row in &matrix.rows {
            self::row(row, out)?;
        }
        let island = escape::json(&matrix_json::object(matrix).to_string());
        let kind = "type=\"application/json\" id=\"survey\"";
        writeln!(out, "</table>\n<script {kind}>{island}</script>\n</html>")
    }
}

fn row(row: &MatrixRow, out: &mut dyn Write) -> io::Result<()> {
    let (class, id) = (row.status().name(), xml(&row.row));
    let (title, file) = (xml(&row.title), xml(&row.file));
    write!(
        out,
        "<tr id=\"{id}\"><td class=\"{class}\">{id}<td>{title}<br><span class=\"dim\">{file}</span>"
    )?;
    write!(out, "<td>{}", outcome(&row.finding))?;
    let controls: Vec<String> = row.controls.iter().map(outcome).collect();
    writeln!(out, "<td>{}", controls.join("<br>"))
}

fn outcome(outcome: &Outcome) -> String {
    let mut text = String::new();
    let class = outcome.status.name();
    if !outcome.title.is_empty() {
        let _ = write!(text, "<b class=\"{class}\">{}</b><br>", xml(&outcome.title));
    }
    for tally in &outcome.asked {
        let (id, name) = (tally.property.id(), tally.property.name());
        let (violated, seeds) = (tally.violated, outcome.runs());
        let first = tally.first.map_or_else(String::new, |first| format!(", first seed {first}"));
        let said = match violated {
            0 => format!("violated on none of {seeds}"),
            _ => format!("violated on {violated} of {seeds}{first}"),
        };
        let _ = write!(text, "<span class=\"{class}\" title=\"{name}\">{id}</span> {said}<br>");
        if let Some(story) = &tally.story {
            let faults = if story.faults.is_empty() {
                String::new()
            } else {
                format!(" (during {})", story.faults.join(", "))
            };
            let told = xml(&format!("{}{faults}", story.sentence));
            let _ = write!(text, "<details class=\"dim\"><summary>how</summary>{told}</details>");
        }
    }
    if let (false, Some(progress)) = (outcome.title.is_empty(), outcome.progress) {
        let _ = write!(text, "progress {:.1} % at least<br>", progress * 100.0);
    }
    for (figure, spread) in &outcome.figures {
        let shown = xml(&measured(*figure, *spread));
        let _ = write!(
            text,
            "<span class=\"dim\" title=\"{}\">{shown}</span><br>",
            xml(figure.about())
        );
    }
    if let Some(live) = &outcome.live {
        let _ = write!(text, "<span class=\"dim\">{}</span><br>", live.show());
    }
    for reason in &outcome.reasons {
        let _ = write!(text, "<span class=\"{class}\">{}</span><br>", xml(reason));
    }
    let seed = outcome.asked.iter().filter_map(|tally| tally.first).min().unwrap_or(1);
    let _ = write!(text, "<code class=\"dim\">{}</code>", xml(&outcome.shown_by(seed)));
    text
}

impl Curve {
    /// Writes the curve as one HTML file; fails only if `out` does.
    pub fn html(&self, out: &mut dyn Write) -> io::Result<()> {
        head(&self.title, out)?;
        writeln!(
            out,
            "<p><code>{}</code> over {}</p>",
            xml(&self.file),
            xml(&self.keys.join(" and "))
        )?;
        let settings: Vec<String> =
            self.points.iter().map(|point| point.values.join(", ")).collect();
        for line in self.lines() {
            writeln!(
                out,
                "<h2>{}: {}</h2>\n{}",
                xml(&line.name),
                xml(&line.about),
                plot(&line, &settings)
            )?;
        }
        let island = escape::json(&self.object().to_string());
        writeln!(out, "<script type=\"application/json\" id=\"sweep\">{island}</script>\n</html>")
    }
}

/// Points at equal distances, for settings need not be numbers, joined where they are neighbours.
fn plot(line: &Line, settings: &[String]) -> String {
    const WIDTH: f64 = 640.0;
    const HEIGHT: f64 = 160.0;
    const LEFT: f64 = 48.0;
    const TOP: f64 = 28.0;
    let greatest =
        line.heights.iter().flatten().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let step = (WIDTH - 2.0 * LEFT) / (settings.len().max(2) - 1) as f64;
    let place = |at: usize, height: f64| {
        (LEFT + step * at as f64, TOP + (HEIGHT - 2.0 * TOP) * (1.0 - height / greatest))
    };
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    let mut before = None;
    for (at, setting) in settings.iter().enumerate() {
        let (x, floor) = place(at, 0.0);
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            floor + 16.0,
            xml(setting)
        );
        let here = line.heights[at].map(|height| place(at, height));
        if let (Some((from_x, from_y)), Some((x, y))) = (before, here) {
            let _ = write!(
                svg,
                "<line x1=\"{from_x:.1}\" y1=\"{from_y:.1}\" x2=\"{x:.1}\" y2=\"{y:.1}\" stroke=\"#3457b2\"/>"
            );
        }
        if let Some((x, y)) = here {
            let shown = xml(&line.shown[at]);
            let _ = write!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#3457b2\"><title>{shown}</title></circle>"
            );
            let short = xml(line.shown[at].split(" (").next().unwrap_or_default());
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{short}</text>",
                y - 7.0
            );
        }
        before = here;
    }
    svg + "</svg>"
}
