//! Where scenarios are found.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::exit::Failure;
use crate::cli::run::lines;
use crate::workload::Scenario;

/// The folder of those that are shipped, below which nothing else is.
pub(crate) const SCENARIOS: &str = "workloads/scenarios";

/// Reads a scenario; the workload that it changes is in the folder above, or beside it.
pub(crate) fn read_scenario(
    path: &Path,
    overrides: &[(String, String)],
) -> Result<Scenario, Failure> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::bad_input(format!("failed to read {name}: {error}; see rashomon list scenarios"))
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let base = |workload: &str| {
        let places = [folder.join(".."), folder.to_owned()];
        let files = places.map(|place| place.join(format!("{workload}.toml")));
        let found = files.iter().find_map(|file| Some((file, fs::read_to_string(file).ok()?)));
        let (file, text) = found.ok_or_else(|| {
            format!("no workload `{workload}`: there is no {}", files[0].display())
        })?;
        Ok((file.display().to_string(), text))
    };
    Scenario::parse(&name, &text, overrides, &base)
        .map_err(|errors| Failure::bad_input(lines(&errors)))
}

/// The scenario files of a folder, in the order of their names.
pub(crate) fn scenario_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: io::Error| {
        Failure::bad_input(format!(
            "failed to list {}: {error}; run where the folder workloads/ is",
            folder.display()
        ))
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
