//! `rashomon lint`: workload and target files, with errors that point.

use std::fs;
use std::path::Path;

use crate::cli::args::LintArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::run::embedded_options;
use crate::cli::scenario::read_scenario;
use crate::cli::terminal::complain;
use crate::workload::{Scenario, Workload};

pub(crate) fn lint(args: &LintArgs) -> Result<Exit, Failure> {
    let mut bad = 0;
    for path in &args.files {
        match lint_file(path) {
            Ok(what) => println!("{}: {what}, no errors", path.display()),
            Err(message) => {
                complain(&message);
                bad += 1;
            }
        }
    }
    if bad > 0 {
        return Err(Failure::bad_input(format!("{bad} of {} files have errors", args.files.len())));
    }
    Ok(Exit::Holds)
}

/// What the file is, or what is wrong with it.
fn lint_file(path: &Path) -> Result<&'static str, String> {
    let name = path.display().to_string();
    let text =
        fs::read_to_string(path).map_err(|error| format!("failed to read {name}: {error}"))?;
    if is_target(&text) {
        return lint_target(&name, &text).map(|()| "a target");
    }
    if Scenario::is_one(&text) {
        return read_scenario(path, &[]).map(|_| "a scenario").map_err(|failure| failure.message);
    }
    let workload = Workload::parse(&name, &text, &[])
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    embedded_options(&workload).map(|()| "a workload")
}

/// A target file names its adapter; a workload has operations.
fn is_target(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with("adapter"))
}

#[cfg(feature = "live")]
fn lint_target(name: &str, text: &str) -> Result<(), String> {
    crate::target::TargetConfig::parse(name, text).map(|_| ()).map_err(|error| error.to_string())
}

#[cfg(not(feature = "live"))]
fn lint_target(name: &str, _text: &str) -> Result<(), String> {
    Err(format!("{name}: this build has no live targets; build with the feature `live`"))
}
