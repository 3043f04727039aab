//! `rashomon shrink`: a smaller workload, or a smaller history, that still violates a property.

use std::io::{self, Write};
use std::path::Path;

use crate::check::{Assumption, Expected, Limits, Property, Status, assess};
use crate::cli::args::ShrinkArgs;
use crate::cli::check::{printed, property_named, quoted, read_history};
use crate::cli::exit::{Exit, Failure};
use crate::cli::run::{pairs, read_workload};
use crate::cli::terminal::{Terminal, complain};
use crate::history::{Expectations, Format, write_history};
use crate::run::{RunDirectory, Shrunk, Trial, excerpt, shrink as run_shrink};
use crate::workload::Workload;

pub(crate) fn shrink(args: &ShrinkArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    if args.workload.extension().is_none_or(|extension| extension != "toml") {
        return shrink_history(args);
    }
    let workload = read_workload(&args.workload, &pairs(&args.set)?, None)?;
    let asked = args.property.as_deref().map(property_named).transpose()?;
    let (seed, property, operations) = first_violation(args, &workload, asked)?;
    let mut tell = |cut: &str, left: usize| {
        if terminal.progress {
            complain(&format!("{left:>6} operations left: {cut}"));
        }
    };
    let shrunk =
        run_shrink(&workload, property, seed, args.tries, &mut tell).map_err(Failure::bad_input)?;
    let directory = match &args.out {
        Some(path) => RunDirectory::at(path),
        None => RunDirectory::fresh(Path::new("histories/shrunk"), &workload.name, shrunk.seed),
    };
    let saved = directory.and_then(|directory| {
        save(&directory, args, &shrunk, property)?;
        Ok(directory.path().join("workload.toml"))
    });
    let path = saved.map_err(|error| Failure::bad_input(format!("failed to save: {error}")))?;
    let (left, cuts, runs) = (shrunk.trial.history.len(), shrunk.cuts.len(), shrunk.runs);
    let command = command(&path, shrunk.seed);
    printed(writeln!(
        io::stdout(),
        "{operations} operations became {left} by {cuts} cuts ({runs} runs); `{}` is still violated\n{command}",
        property.name(),
    ))?;
    Ok(Exit::Violated)
}

/// Keeps of a history the operations of its shortest proof.
fn shrink_history(args: &ShrinkArgs) -> Result<Exit, Failure> {
    let path = args.workload.display().to_string();
    if args.seed.is_some() || !args.set.is_empty() {
        let message =
            format!("{path} is a history: it has no --seed to choose and nothing to --set");
        return Err(Failure::bad_input(message));
    }
    let history = read_history(&args.workload, None, &[])?;
    let default = Expectations::default();
    let written = history.header().map_or(&default, |header| &header.expect);
    let named = written.assume.iter().filter_map(|name| Assumption::from_name(name));
    let limits = Limits { assume: named.collect(), ..Limits::default() };
    let expected = match Expected::from_names(written) {
        Ok(expected) if !written.is_empty() => expected,
        _ => Expected::strongest(&history),
    };
    let assessment = assess(&history, &limits, expected);
    let asked = args.property.as_deref().map(property_named).transpose()?;
    let property = asked.or_else(|| assessment.violated().first().copied());
    let found = property
        .and_then(|property| Some((property, excerpt(&history, &assessment, property, &limits)?)));
    let Some((property, (bytes, left))) = found else {
        let why = property.map_or_else(
            || "nothing is violated that was expected to hold; choose a --property".to_owned(),
            |property| format!("`{}` is violated by no proof that stands alone", property.name()),
        );
        return Err(Failure::bad_input(format!("{path}: {why}")));
    };
    let name =
        args.workload.file_stem().map_or_else(String::new, |stem| stem.display().to_string());
    let directory = match &args.out {
        Some(path) => RunDirectory::at(path),
        None => RunDirectory::fresh(Path::new("histories/shrunk"), &name, 0),
    };
    let saved = directory.and_then(|directory| {
        directory.save("history.jsonl", &bytes)?;
        Ok(directory.history().display().to_string())
    });
    let saved = saved.map_err(|error| Failure::bad_input(format!("failed to save: {error}")))?;
    let (all, saved, word) = (history.len(), quoted(&saved), property.word());
    printed(writeln!(
        io::stdout(),
        "{all} operations became {left}; `{}` is still violated\nrashomon check {saved} --expect {word}",
        property.name(),
    ))?;
    Ok(Exit::Violated)
}

/// The seed that was asked for, or the first that shows a violation, and which property it violates, in
/// a history of how many operations.
fn first_violation(
    args: &ShrinkArgs,
    workload: &Workload,
    asked: Option<Property>,
) -> Result<(u64, Property, usize), Failure> {
    let seeds = match args.seed {
        Some(seed) => vec![seed],
        None => (1..=args.tries.max(1)).collect(),
    };
    for seed in &seeds {
        let trial = Trial::run(workload, *seed).map_err(Failure::bad_input)?;
        let is_violated = |property: &Property| trial.status(*property) == Status::Invalid;
        let violated = match asked {
            Some(property) => Some(property).filter(is_violated),
            None => trial.assessment.violated().first().copied(),
        };
        if let Some(property) = violated {
            return Ok((*seed, property, trial.history.len()));
        }
    }
    let what = asked.map_or_else(
        || "nothing that it expects to hold is".to_owned(),
        |property| format!("`{}` is not", property.name()),
    );
    let (name, last) = (&workload.name, seeds.last().copied().unwrap_or(1));
    let seeds =
        if args.seed.is_some() { format!("seed {last}") } else { format!("seeds 1 to {last}") };
    Err(Failure::bad_input(format!(
        "{name}: {what} violated on {seeds}; choose another --seed or --property"
    )))
}

fn save(
    directory: &RunDirectory,
    args: &ShrinkArgs,
    shrunk: &Shrunk,
    property: Property,
) -> io::Result<()> {
    let (seed, name) = (shrunk.seed, property.name());
    let from = args.workload.display();
    let text = format!(
        "# Cut down from {from}: violates `{name}` on seed {seed}.\n#   {}\n{}",
        command(&directory.path().join("workload.toml"), seed),
        shrunk.text
    );
    directory.save("workload.toml", text.as_bytes())?;
    write_history(&shrunk.trial.history, Format::Jsonl, &mut directory.create_history()?)
}

fn command(workload: &Path, seed: u64) -> String {
    format!("rashomon run {} --seed {seed}", quoted(&workload.display().to_string()))
}
