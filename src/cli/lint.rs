//! `rashomon lint`: workload files, target files, proxy files and definitions of labs, with errors that point.

use std::fs;
use std::path::Path;

use crate::cli::args::LintArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::run::embedded_options;
use crate::cli::scenario::read_scenario;
use crate::cli::terminal::complain;
use crate::workload::{Scenario, Workload};

pub(crate) fn lint(args: &LintArgs) -> Result<Exit, Failure> {
    if let Some(command) = &args.adapter {
        return lint_adapter(command, args.address.as_deref());
    }
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
        return lint_target(path, &name, &text).map(|()| "a target");
    }
    #[cfg(feature = "live")]
    if text.lines().any(|line| line.trim() == "[[process]]") {
        let lint = crate::lab::Definition::parse(&name, &text)
            .and_then(|definition| definition.lint(&name, &text));
        return lint.map(|()| "a lab").map_err(|error| error.to_string());
    }
    #[cfg(feature = "live")]
    if text.lines().any(|line| line.starts_with("control")) {
        let read = crate::proxy::Definition::parse(&name, &text);
        return read.map(|_| "a proxy").map_err(|error| error.to_string());
    }
    if Scenario::is_one(&text) {
        return read_scenario(path, &[]).map(|_| "a scenario").map_err(|failure| failure.message);
    }
    let workload = Workload::parse(&name, &text, &[])
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    embedded_options(&workload)?;
    lint_choice(path, &workload).map(|()| "a workload")
}

/// A target file names its adapter, or a target file that does, and nodes; a workload has operations.
pub(crate) fn is_target(text: &str) -> bool {
    text.lines()
        .any(|line| ["adapter", "extends", "[nodes]"].iter().any(|key| line.starts_with(key)))
}

/// Whether a workload suits the target file that it names.
#[cfg(feature = "live")]
fn lint_choice(path: &Path, workload: &Workload) -> Result<(), String> {
    let crate::workload::TargetChoice::File { path: target, .. } = &workload.target else {
        return Ok(());
    };
    let target = crate::run::beside(path, Path::new(target));
    crate::run::read_target(&target, workload).map(|_| ()).map_err(|error| error.to_string())
}

#[cfg(not(feature = "live"))]
fn lint_choice(_path: &Path, _workload: &Workload) -> Result<(), String> {
    Ok(())
}

#[cfg(feature = "live")]
fn lint_target(path: &Path, name: &str, text: &str) -> Result<(), String> {
    let mut config =
        crate::target::TargetConfig::parse(name, text).map_err(|error| error.to_string())?;
    crate::run::choose_lab(path, &mut config)?;
    crate::run::choose_proxy(path, &mut config)
}

#[cfg(not(feature = "live"))]
fn lint_target(_path: &Path, name: &str, _text: &str) -> Result<(), String> {
    Err(format!("{name}: this build has no live targets; build with the feature `live`"))
}

/// Drives a command through the cases of the `process` protocol.
#[cfg(feature = "live")]
fn lint_adapter(command: &str, address: Option<&str>) -> Result<Exit, Failure> {
    let own = std::env::temp_dir().join(format!("rashomon-lint-{}", std::process::id()));
    let address = address.map_or_else(|| own.display().to_string(), str::to_owned);
    let came = crate::target::conformance(command, &address).map_err(Failure::target);
    // Whatever the command made of its address, if it is a file.
    let _ = fs::remove_file(&own);
    let came = came?;
    for kept in &came.kept {
        println!("ok    {kept}");
    }
    for broken in &came.broken {
        println!("wrong {broken}");
    }
    match came.broken.len() {
        0 => Ok(Exit::Holds),
        count => {
            let all = count + came.kept.len();
            Err(Failure::bad_input(format!("{count} of {all} cases go wrong")))
        }
    }
}

#[cfg(not(feature = "live"))]
fn lint_adapter(_command: &str, _address: Option<&str>) -> Result<Exit, Failure> {
    Err(Failure::bad_input("this build has no live targets; build with the feature `live`"))
}
