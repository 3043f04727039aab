//! `rashomon survey`: the matrix of replication systems, their failures and their remedies.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use indicatif::{ProgressBar, ProgressStyle};

use crate::check::{Figure, Status};
use crate::cli::args::SurveyArgs;
use crate::cli::check::printed;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt;
use crate::cli::run::{RUNS, may_have_a_lab, pairs, quit, read_workload};
use crate::cli::scenario::{SCENARIOS, read_scenario, scenario_files};
use crate::cli::terminal::Terminal;
use crate::model::did_you_mean;
use crate::report::{MatrixHtml, MatrixJson, MatrixText};
use crate::run::{Knob, Live, RunDirectory, Seeds, runs, survey as run_survey, sweep as run_sweep};
use crate::workload::{Row, Scenario, TargetChoice};

/// The rows of the demonstration: the smallest selection that shows every failure by name.
const DEMONSTRATION: [u16; 19] =
    [9, 21, 27, 48, 50, 58, 64, 68, 70, 79, 81, 85, 90, 98, 99, 102, 106, 109, 112];

pub(crate) fn survey(args: &SurveyArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let scenarios = chosen(args)?;
    if !args.sweep.is_empty() {
        return sweep(args, &scenarios, terminal);
    }
    let scenarios: Vec<(String, Scenario)> = scenarios
        .into_iter()
        .map(|(path, scenario)| (path.display().to_string(), scenario))
        .collect();
    let seeds = Seeds {
        first: args.first_seed,
        finding: args.seeds.map(NonZeroU32::get),
        control: args.control_seeds.get(),
    };
    let live = live(args, &scenarios)?;
    let bar = bar(runs(&scenarios, seeds), terminal);
    let matrix = run_survey(&scenarios, seeds, live.as_ref(), &|| bar.inc(1));
    bar.finish_and_clear();
    let mut out = BufWriter::new(io::stdout().lock());
    let shown = if args.json {
        MatrixJson.render(&matrix, &mut out)
    } else {
        let stories = args.stories || args.demo;
        MatrixText { style: terminal.style(), stories }.render(&matrix, &mut out)
    };
    printed(shown.and_then(|()| out.flush()))?;
    save(args, &|out| MatrixHtml.render(&matrix, out))?;
    if live.is_some_and(|live| live.stop.load(Ordering::Relaxed)) {
        return Ok(Exit::Interrupted);
    }
    Ok(match matrix.status() {
        Status::Valid => Exit::Holds,
        Status::Unknown if matrix.undriven() > 0 => Exit::Target,
        Status::Unknown => Exit::Undecided,
        Status::Invalid => Exit::Violated,
    })
}

/// How those of live targets are run, if there are any. From then on Ctrl-C ends their runs in order, and
/// what was found until then is printed.
fn live(args: &SurveyArgs, scenarios: &[(String, Scenario)]) -> Result<Option<Live>, Failure> {
    let workloads = scenarios.iter().flat_map(|(file, scenario)| {
        let controls = scenario.controls.iter().map(|control| &control.workload);
        controls.chain([&scenario.finding]).map(move |workload| (file, workload))
    });
    let mut on_live = workloads
        .filter(|(_, workload)| matches!(workload.target, TargetChoice::File { .. }))
        .peekable();
    if on_live.peek().is_none() {
        return Ok(None);
    }
    for (file, workload) in on_live {
        may_have_a_lab(Path::new(file), workload)?;
    }
    let directory = RunDirectory::fresh(Path::new(RUNS), "survey", args.first_seed)
        .map_err(|error| Failure::bad_input(format!("failed to make a directory: {error}")))?;
    let directory = directory.path().to_owned();
    let runs = directory.clone();
    let stop = interrupt::flag(move || {
        let runs = fs::read_dir(&runs).into_iter().flatten().flatten();
        quit(&runs.map(|run| run.path()).collect::<Vec<_>>());
    });
    Ok(Some(Live { at_a_time: args.jobs.get(), directory, stop }))
}

/// The scenarios that were asked for, in the order of the catalogue.
fn chosen(args: &SurveyArgs) -> Result<Vec<(PathBuf, Scenario)>, Failure> {
    let wanted = Wanted::new(args)?;
    let overrides = pairs(&args.set)?;
    let mut scenarios = Vec::new();
    for path in files(args)? {
        // What is set need not suit the rows that were not asked for.
        if wanted.has(read(args, &path, &[])?.row) {
            let scenario = read(args, &path, &overrides)?;
            scenarios.push((path, scenario));
        }
    }
    // A stable sort: scenarios of one row stay in the order of their files.
    scenarios.sort_by_key(|(_, scenario): &(PathBuf, Scenario)| scenario.row);
    wanted.lacking(&scenarios)?;
    Ok(scenarios)
}

/// A scenario, or a workload as one, with the figures that were asked for besides its own.
fn read(
    args: &SurveyArgs,
    path: &Path,
    overrides: &[(String, String)],
) -> Result<Scenario, Failure> {
    let is_scenario = fs::read_to_string(path).is_ok_and(|text| Scenario::is_one(&text));
    let mut scenario = if is_scenario || !path.exists() {
        read_scenario(path, overrides)?
    } else {
        Scenario::of_workload(read_workload(path, overrides, None)?)
    };
    for name in &args.figure {
        let figure = Figure::from_name(name).ok_or_else(|| {
            let hint = did_you_mean(name, Figure::names())
                .map_or_else(String::new, |hint| format!("; {hint}"));
            let known = Figure::names().collect::<Vec<_>>().join(", ");
            Failure::bad_input(format!(
                "unknown figure `{name}`{hint}; there are {known}, and the ids of properties"
            ))
        })?;
        if !scenario.figures.contains(&figure) {
            scenario.figures.push(figure);
        }
    }
    Ok(scenario)
}

fn sweep(
    args: &SurveyArgs,
    scenarios: &[(PathBuf, Scenario)],
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let [(path, scenario)] = scenarios else {
        let many = scenarios.len();
        let message = format!(
            "--sweep takes one scenario, and {many} were chosen; name one by --row or by its file"
        );
        return Err(Failure::bad_input(message));
    };
    let knob = |text: &String| {
        Knob::parse(text).ok_or_else(|| {
            let message = "expected KEY=VALUE,VALUE,…, for example target.lag=10ms,50ms,200ms";
            Failure::bad_input(format!("--sweep {text}: {message}"))
        })
    };
    let knobs: Vec<Knob> = args.sweep.iter().map(knob).collect::<Result<_, _>>()?;
    let set = pairs(&args.set)?;
    let mut points = Vec::new();
    for point in Knob::combinations(&knobs) {
        let overrides: Vec<_> = set.iter().chain(&point).cloned().collect();
        points.push((point, read(args, path, &overrides)?));
    }
    let seeds = args.seeds.map(NonZeroU32::get);
    let each = u64::from(seeds.unwrap_or(scenario.seeds));
    let bar = bar(points.len() as u64 * each, terminal);
    let curve = run_sweep(&path.display().to_string(), points, seeds, &|| bar.inc(1));
    bar.finish_and_clear();
    let mut out = BufWriter::new(io::stdout().lock());
    let shown =
        if args.json { curve.json(&mut out) } else { curve.text(terminal.style(), &mut out) };
    printed(shown.and_then(|()| out.flush()))?;
    save(args, &|out| curve.html(out))?;
    Ok(Exit::Holds)
}

/// Writes the HTML report, if one was asked for.
fn save(
    args: &SurveyArgs,
    render: &dyn Fn(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let Some(path) = &args.html else { return Ok(()) };
    let failed = |error: io::Error| {
        Failure::bad_input(format!("failed to write {}: {error}", path.display()))
    };
    let mut out = BufWriter::new(fs::File::create(path).map_err(failed)?);
    render(&mut out).and_then(|()| out.flush()).map_err(failed)
}

fn files(args: &SurveyArgs) -> Result<Vec<PathBuf>, Failure> {
    if args.files.is_empty() {
        scenario_files(Path::new(SCENARIOS))
    } else {
        Ok(args.files.clone())
    }
}

fn bar(length: u64, terminal: &Terminal) -> ProgressBar {
    let bar = if terminal.progress { ProgressBar::new(length) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} runs, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// Which rows of the catalogue were asked for; all if none was.
struct Wanted {
    ranges: Vec<(String, Row, Row)>,
}

impl Wanted {
    fn new(args: &SurveyArgs) -> Result<Self, Failure> {
        let mut ranges = Vec::new();
        for text in &args.row {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let (Some(first), Some(last)) = (Row::parse(first), Row::parse(last)) else {
                let message = format!("--row {text}: expected a row like S21, S109a or S99-S104");
                return Err(Failure::bad_input(message));
            };
            ranges.push((text.clone(), first, last));
        }
        if args.demo {
            let one = |number| Row { number, variant: None };
            let row = |number: &u16| (format!("S{number}"), one(*number), one(*number));
            ranges.extend(DEMONSTRATION.iter().map(row));
        }
        Ok(Self { ranges })
    }

    fn has(&self, row: Option<Row>) -> bool {
        let is_asked_for = |row| self.ranges.iter().any(|range| is_within(row, range));
        self.ranges.is_empty() || row.is_some_and(is_asked_for)
    }

    /// What was asked for and is not there.
    fn lacking(&self, scenarios: &[(PathBuf, Scenario)]) -> Result<(), Failure> {
        let rows = || scenarios.iter().filter_map(|(_, scenario)| scenario.row);
        let is_lacking = |range: &&(String, Row, Row)| !rows().any(|row| is_within(row, range));
        let lacking: Vec<&str> =
            self.ranges.iter().filter(is_lacking).map(|(text, ..)| text.as_str()).collect();
        if lacking.is_empty() && !scenarios.is_empty() {
            return Ok(());
        }
        let of =
            if lacking.is_empty() { String::new() } else { format!(" of {}", lacking.join(", ")) };
        let message = format!("no scenario{of}; see rashomon list scenarios");
        Err(Failure::bad_input(message))
    }
}

/// A row without a letter stands for all its variants.
fn is_within(row: Row, (_, first, last): &(String, Row, Row)) -> bool {
    let exact = |bound: &Row| bound.variant.is_some();
    let at_least = if exact(first) { row >= *first } else { row.number >= first.number };
    let at_most = if exact(last) { row <= *last } else { row.number <= last.number };
    at_least && at_most
}
