//! `rashomon check`: judge saved histories.

use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::check::{Assessment, Assumption, Expected, Limits, Property, assess, measure};
use crate::cli::args::{CheckArgs, JudgeArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::terminal::{Terminal, complain, since};
use crate::history::{Expectations, Format, History, ReadError, is_one_history, read, read_bytes};
use crate::model::{Value, did_you_mean};
use crate::report::{Html, Json, Junit, Markdown, Render, Report, Text};

pub(crate) fn check(args: &CheckArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let format = format_named(&args.format)?;
    let judge = Judge::new(&args.judge)?;
    let paths = expand(&args.histories)?;
    let several = paths.len() > 1;
    let files = [&args.html, &args.junit, &args.markdown];
    if several && files.iter().any(|file| file.is_some()) {
        let message =
            "--html, --junit and --markdown are for one history at a time; use --json for several";
        return Err(Failure::bad_input(message));
    }
    let mut exits = Vec::new();
    for path in &paths {
        if several && !args.judge.json {
            printed(writeln!(io::stdout(), "── {} ──", path.display()))?;
        }
        match check_one(args, &judge, path, format, terminal) {
            Ok(exit) => exits.push(exit),
            // What is wrong with one file keeps nobody from judging the others.
            Err(failure) if several => {
                complain(&format!("error: {}", failure.message));
                exits.push(failure.exit);
            }
            Err(failure) => return Err(failure),
        }
        if several && !args.judge.json {
            printed(writeln!(io::stdout()))?;
        }
    }
    if several && !args.judge.json {
        let count = |exit| exits.iter().filter(|one| **one == exit).count();
        printed(writeln!(
            io::stdout(),
            "{} histories: {} as expected, {} violated, {} undecided, {} unreadable",
            exits.len(),
            count(Exit::Holds),
            count(Exit::Violated),
            count(Exit::Undecided),
            count(Exit::BadInput),
        ))?;
    }
    let by_weight = [Exit::BadInput, Exit::Violated, Exit::Undecided];
    Ok(by_weight.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Holds))
}

fn check_one(
    args: &CheckArgs,
    judge: &Judge,
    path: &Path,
    format: Option<Format>,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let name = path.display().to_string();
    terminal.tell(|| format!("reading {name}"));
    let begun = Instant::now();
    let history = read_history(path, format, &args.initial)?;
    let (count, faults) = (history.len(), history.faults().len());
    terminal.tell(|| format!("{count} operations and {faults} faults, read in {}", since(begun)));
    let command = reproduction(args, path);
    let begun = Instant::now();
    let judged = judge.judge(&history)?;
    terminal.tell(|| format!("judged in {}", since(begun)));
    let report = judged.report(&history, Some(&name), Some(&command));
    print(&report, args.judge.json, terminal)?;
    save(args.html.as_deref(), &report, &Html)?;
    save(args.junit.as_deref(), &report, &Junit)?;
    save(args.markdown.as_deref(), &report, &Markdown)?;
    Ok(judged.exit)
}

/// How a history is to be judged.
pub(crate) struct Judge {
    limits: Limits,
    expect: Vec<Property>,
}

/// A judged history.
pub(crate) struct Judged {
    pub(crate) assessment: Assessment,
    metrics: crate::check::Metrics,
    pub(crate) exit: Exit,
}

impl Judge {
    pub(crate) fn new(args: &JudgeArgs) -> Result<Self, Failure> {
        let expect =
            args.expect.iter().map(|name| property_named(name)).collect::<Result<_, _>>()?;
        let assume =
            args.assume.iter().map(|name| assumption_named(name)).collect::<Result<_, _>>()?;
        Ok(Self {
            limits: Limits { search_steps: args.budget, assume, ..Limits::default() },
            expect,
        })
    }

    /// Judges by what was typed, else by what the workload of the history expects, else by
    /// linearizability, or strict serializability where there are transactions.
    pub(crate) fn judge(&self, history: &History) -> Result<Judged, Failure> {
        if let Some(worker) = history.header().and_then(|header| header.worker.as_deref()) {
            return Err(Failure::bad_input(format!(
                "the history is the part of load machine {worker}, and knows nothing of what the others \
                 wrote; merge the histories of all of them with `rashomon merge`"
            )));
        }
        let default = Expectations::default();
        let written = history.header().map_or(&default, |header| &header.expect);
        let mut limits = self.limits.clone();
        for name in &written.assume {
            limits.assume.push(assumption_named(name)?);
        }
        let mut expected = Expected::from_names(written).map_err(|name| unknown_property(&name))?;
        if !self.expect.is_empty() {
            expected.hold.clone_from(&self.expect);
            expected.max_lost_writes = None;
        } else if written.is_empty() {
            expected = Expected::strongest(history);
        }
        let assessment = assess(history, &limits, expected);
        let exit = match assessment.status {
            crate::check::Status::Valid => Exit::Holds,
            crate::check::Status::Unknown => Exit::Undecided,
            crate::check::Status::Invalid => Exit::Violated,
        };
        Ok(Judged { assessment, metrics: measure(history), exit })
    }
}

impl Judged {
    pub(crate) fn report<'a>(
        &'a self,
        history: &'a History,
        path: Option<&'a str>,
        reproduce: Option<&'a str>,
    ) -> Report<'a> {
        let (assessment, metrics) = (&self.assessment, &self.metrics);
        Report { history, path, assessment, metrics, added: None, reproduce, exit: self.exit as u8 }
    }
}

pub(crate) fn property_named(name: &str) -> Result<Property, Failure> {
    Property::from_name(name).ok_or_else(|| unknown_property(name))
}

fn unknown_property(name: &str) -> Failure {
    let names: Vec<String> = Property::all().map(Property::word).collect();
    unknown("property", name, names.iter().map(String::as_str), "models")
}

fn assumption_named(name: &str) -> Result<Assumption, Failure> {
    let known = Assumption::ALL.map(|(_, name, _)| name);
    Assumption::from_name(name).ok_or_else(|| unknown("assumption", name, known, "assumptions"))
}

fn unknown<'a>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    catalogue: &str,
) -> Failure {
    let hint = did_you_mean(name, known).map_or_else(String::new, |hint| format!("; {hint}"));
    Failure::bad_input(format!("unknown {what} `{name}`{hint}; see rashomon list {catalogue}"))
}

/// The format of that name; `None` for `auto`.
pub(crate) fn format_named(name: &str) -> Result<Option<Format>, Failure> {
    if name == "auto" {
        return Ok(None);
    }
    let known = Format::all().map(Format::name);
    Format::from_name(name).map(Some).ok_or_else(|| unknown("format", name, known, "formats"))
}

/// Reads a history from a file, or from standard input for `-`; `initial` was typed.
pub(crate) fn read_history(
    path: &Path,
    format: Option<Format>,
    initial: &[String],
) -> Result<History, Failure> {
    let initial = initial_value(initial)?;
    let mut history = read_events(path, format)?;
    if let Some(initial) = initial {
        history.begin_with(initial);
    }
    Ok(history)
}

/// What was typed as `0` or `x=0 y=0`; `None` for nothing.
fn initial_value(typed: &[String]) -> Result<Option<Value>, Failure> {
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::text(text));
    let named = |text: &String| {
        let is_whole = serde_json::from_str::<Value>(text).is_ok();
        text.split_once('=')
            .filter(|_| !is_whole)
            .map(|(key, value)| (Value::text(key), parsed(value)))
    };
    match typed {
        [] => Ok(None),
        [one] if named(one).is_none() => Ok(Some(parsed(one))),
        all => {
            let by_key: Option<Vec<(Value, Value)>> = all.iter().map(named).collect();
            let by_key = by_key.ok_or_else(|| {
                Failure::bad_input(
                    "--initial takes one value for all registers, or KEY=VALUE for each",
                )
            })?;
            Ok(Some(Value::Map(by_key.into())))
        }
    }
}

fn read_events(path: &Path, format: Option<Format>) -> Result<History, Failure> {
    let bad = |error: ReadError| Failure::bad_input(error);
    if path != Path::new("-") {
        return read(path, format).map_err(bad);
    }
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::bad_input(format!("failed to read standard input: {error}")))?;
    read_bytes("-", &bytes, format).map_err(bad)
}

/// Directories stand for the histories in them: their `history.jsonl` if they are runs, else every
/// file whose name tells a format.
fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        let mut folders = vec![path.clone()];
        while let Some(folder) = folders.pop() {
            if is_one_history(&folder) {
                files.push(folder);
                continue;
            }
            let run = folder.join("history.jsonl");
            if run.is_file() {
                files.push(run);
                continue;
            }
            let failed = |error: io::Error| {
                Failure::bad_input(format!("failed to list {}: {error}", folder.display()))
            };
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if Format::from_path(&path).is_some() {
                    files.push(path);
                }
            }
        }
        if files.len() == before {
            return Err(Failure::bad_input(format!("{} holds no histories", path.display())));
        }
        files[before..].sort();
    }
    Ok(files)
}

/// The command that judges one history again in the same way.
fn reproduction(args: &CheckArgs, path: &Path) -> String {
    let mut command = vec!["rashomon check".to_owned(), quoted(&path.display().to_string())];
    if args.format != "auto" {
        command.push(format!("--format {}", args.format));
    }
    command.extend(args.initial.iter().map(|one| format!("--initial {}", quoted(one))));
    command.extend(args.judge.typed());
    command.join(" ")
}

impl JudgeArgs {
    /// What has to be typed to judge in this way.
    pub(crate) fn typed(&self) -> impl Iterator<Item = String> + '_ {
        let expect = self.expect.iter().map(|name| format!("--expect {}", quoted(name)));
        let assume = self.assume.iter().map(|name| format!("--assume {}", quoted(name)));
        let default = Limits::default().search_steps;
        let budget = (self.budget != default).then(|| format!("--budget {}", self.budget));
        expect.chain(assume).chain(budget)
    }
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Prints the result.
pub(crate) fn print(report: &Report<'_>, json: bool, terminal: &Terminal) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let result = if json {
        Json.render(report, &mut out)
    } else {
        Text { style: terminal.style(), brief: false }.render(report, &mut out)
    };
    printed(result.and_then(|()| out.flush()))
}

/// Whoever reads our output may stop reading: that is no failure.
pub(crate) fn printed(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::bad_input(format!("failed to print: {error}")))
        }
        _ => Ok(()),
    }
}

fn save(path: Option<&Path>, report: &Report<'_>, form: &dyn Render) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let failed = |error: io::Error| {
        Failure::bad_input(format!("failed to write {}: {error}", path.display()))
    };
    let mut out = BufWriter::new(fs::File::create(path).map_err(failed)?);
    form.render(report, &mut out).and_then(|()| out.flush()).map_err(failed)
}
