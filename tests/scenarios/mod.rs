//! Scenarios as tests read them.

use std::fs;
use std::path::{Path, PathBuf};

use rashomon::workload::{Diagnostic, Scenario};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads")
}

fn base(name: &str) -> Result<(String, String), String> {
    let path = folder().join(format!("{name}.toml"));
    let text = fs::read_to_string(&path).map_err(|_| format!("there is no workload `{name}`"))?;
    Ok((path.display().to_string(), text))
}

/// The text of a scenario that changes a shipped workload.
#[allow(dead_code, reason = "not every test that reads scenarios writes some")]
pub(crate) fn parse(text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    Scenario::parse("s048-x.toml", text, &[], &base)
}

/// A shipped scenario that must be right, with its path.
pub(crate) fn read(name: &str) -> (String, Scenario) {
    let path = folder().join("scenarios").join(format!("{name}.toml"));
    (path.display().to_string(), read_with(name, &[]))
}

/// A shipped scenario with overrides.
pub(crate) fn read_with(name: &str, set: &[(String, String)]) -> Scenario {
    let path = folder().join("scenarios").join(format!("{name}.toml"));
    let text = fs::read_to_string(&path).expect("it can be read");
    Scenario::parse(&path.display().to_string(), &text, set, &base)
        .unwrap_or_else(|wrong| panic!("{}", rendered(&wrong)))
}

/// Every shipped scenario, with its path, in the order of their names.
#[allow(dead_code, reason = "not every test runs all of them")]
pub(crate) fn shipped() -> Vec<(String, Scenario)> {
    let entries =
        fs::read_dir(folder().join("scenarios")).expect("the folder is part of the project");
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let path = entry.expect("it can be listed").path();
            Some(path.file_name()?.to_str()?.strip_suffix(".toml")?.to_owned())
        })
        .collect();
    names.sort();
    names.iter().map(|name| read(name)).collect()
}

/// What a user would see.
pub(crate) fn rendered(wrong: &[Diagnostic]) -> String {
    wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
