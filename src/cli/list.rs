//! `rashomon list`: what there is, a line each.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::check::{Assumption, Property};
use crate::cli::args::{Catalogue, ListArgs};
use crate::cli::check::printed;
use crate::cli::exit::{Exit, Failure};
use crate::cli::scenario::{SCENARIOS, read_scenario, scenario_files};
use crate::history::Format;
use crate::model::NodeFault;
use crate::report::escape::wrapped;
use crate::store::STORES;
use crate::workload::Workload;

/// A line of a catalogue: its name, what it is, and more for `--json`.
struct Entry {
    name: String,
    about: String,
    more: serde_json::Value,
}

pub(crate) fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let entries = match args.what {
        Catalogue::Stores => stores(),
        Catalogue::Workloads => workloads(Path::new("workloads"))?,
        Catalogue::Scenarios => scenarios()?,
        Catalogue::Models => properties(false, Path::new("workloads")),
        Catalogue::Anomalies => properties(true, Path::new("workloads")),
        Catalogue::Assumptions => assumptions(),
        Catalogue::Faults => faults(),
        Catalogue::Adapters => adapters(),
        #[cfg(feature = "live")]
        Catalogue::Labs => labs(),
        Catalogue::Formats => {
            Format::all().map(|format| entry(format.name(), format.about())).collect()
        }
    };
    if args.json {
        let lines: Vec<serde_json::Value> = entries
            .iter()
            .map(|entry| json!({"name": entry.name, "about": entry.about, "more": entry.more}))
            .collect();
        printed(writeln!(io::stdout(), "{}", serde_json::Value::Array(lines)))?;
        return Ok(Exit::Holds);
    }
    let width = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
    for entry in entries {
        for line in shown(&entry, width) {
            printed(writeln!(io::stdout(), "{line}"))?;
        }
    }
    Ok(Exit::Holds)
}

/// An entry on a terminal of 80 columns: the name, `width` wide, and beside it what it is; below it
/// where that leaves no room.
fn shown(entry: &Entry, width: usize) -> Vec<String> {
    const COLUMNS: usize = 80;
    const BESIDE: usize = 32;
    if width > BESIDE {
        let below = wrapped(&entry.about, COLUMNS - 4).into_iter();
        let below = below.map(|line| format!("    {line}"));
        return std::iter::once(entry.name.clone()).chain(below).collect();
    }
    let about = wrapped(&entry.about, COLUMNS - width - 2);
    let name = |at| if at == 0 { entry.name.as_str() } else { "" };
    let lines = about.iter().enumerate();
    lines.map(|(at, line)| format!("{:width$}  {line}", name(at))).collect()
}

/// What can be broken.
fn faults() -> Vec<Entry> {
    let partition =
        "what some nodes send to others is lost: shape = halves, majority-ring, isolate, …";
    let other = "any other name is a pair of commands of the target file: inject and undo";
    let nodes = NodeFault::ALL.iter().copied();
    let all = [("partition", partition)].into_iter().chain(nodes).chain([("…", other)]);
    all.map(|(name, about)| entry(name, about)).collect()
}

/// Who may speak to a store.
fn adapters() -> Vec<Entry> {
    let simulated = "an embedded store under virtual time; the default of every workload";
    #[cfg(feature = "live")]
    let live = crate::target::AdapterKind::all().map(|kind| entry(kind.name(), kind.about()));
    #[cfg(not(feature = "live"))]
    let live = std::iter::empty();
    std::iter::once(entry("sim", simulated)).chain(live).collect()
}

fn entry(name: &str, about: &str) -> Entry {
    Entry { name: name.to_owned(), about: about.to_owned(), more: json!({}) }
}

fn assumptions() -> Vec<Entry> {
    Assumption::ALL
        .iter()
        .map(|(assumption, name, number)| {
            entry(name, &format!("{} ({number})", assumption.about()))
        })
        .collect()
}

fn stores() -> Vec<Entry> {
    let mut entries = Vec::new();
    for store in STORES {
        entries.push(entry(store.name, store.about));
        for option in store.options {
            let name = format!("  {} = {}", option.name, option.default);
            entries.push(entry(&name, &format!("{} ({})", option.about, option.values)));
        }
        for bug in store.bugs {
            entries.push(entry(&format!("    bug = {}", bug.name), bug.about));
        }
    }
    entries
}

/// The stores of which real clusters can be brought up here, and their settings.
#[cfg(feature = "live")]
fn labs() -> Vec<Entry> {
    let mut entries = Vec::new();
    for (name, text) in crate::lab::DEFINITIONS {
        let Ok(definition) = crate::lab::Definition::parse(name, text) else { continue };
        let missing = definition.missing().map_or_else(String::new, |why| format!(" ({why})"));
        entries.push(entry(name, &format!("{}{missing}", definition.about)));
        for (name, setting) in &definition.settings {
            let setting = setting.get_ref();
            let values = setting.values.join(", ");
            let values = if values.is_empty() { values } else { format!(" ({values})") };
            let name = format!("  {name} = {}", setting.default);
            entries.push(entry(&name, &format!("{}{values}", setting.about)));
        }
    }
    entries
}

fn workloads(folder: &Path) -> Result<Vec<Entry>, Failure> {
    let all = read_workloads(folder)?;
    let shown = |(path, workload): &(String, Option<Workload>)| match workload {
        Some(workload) => entry(path, &workload.about),
        None => entry(path, &format!("has errors; see rashomon lint {path}")),
    };
    Ok(all.iter().map(shown).collect())
}

fn scenarios() -> Result<Vec<Entry>, Failure> {
    let shown = |path: &PathBuf| {
        let name = path.display().to_string();
        match read_scenario(path, &[]) {
            Ok(scenario) => {
                let row = scenario.row.map_or_else(String::new, |row| format!("{row}: "));
                entry(&name, &format!("{row}{}", scenario.title))
            }
            Err(_) => entry(&name, &format!("has errors; see rashomon lint {name}")),
        }
    };
    Ok(scenario_files(Path::new(SCENARIOS))?.iter().map(shown).collect())
}

/// Every workload of a folder, with its path; `None` for one that has errors.
fn read_workloads(folder: &Path) -> Result<Vec<(String, Option<Workload>)>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::bad_input(format!(
            "failed to list {}: {error}; run where the folder workloads/ is",
            folder.display()
        ))
    };
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .map_err(failed)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).map_err(failed)?;
            let name = path.display().to_string();
            let workload = Workload::parse(&name, &text, &[]).ok();
            Ok((name, workload))
        })
        .collect()
}

/// The models, or the anomalies: what each is, where it is defined, and which workloads of the folder
/// can reveal it. Without a folder nothing is said of workloads.
fn properties(anomalies: bool, folder: &Path) -> Vec<Entry> {
    let workloads: Vec<(String, Vec<Property>)> = read_workloads(folder)
        .map(|all| {
            let sound = all.into_iter().filter_map(|(_, one)| one);
            sound.map(|one| (one.name.clone(), one.reveals())).collect()
        })
        .unwrap_or_default();
    let wanted = Property::all().filter(|property| property.anomaly().is_some() == anomalies);
    wanted
        .map(|property| {
            let by: Vec<&str> = workloads
                .iter()
                .filter(|(_, reveals)| reveals.contains(&property))
                .map(|(name, _)| name.as_str())
                .collect();
            let shown = match by.as_slice() {
                _ if workloads.is_empty() => String::new(),
                [] => "; no workload here reveals it".to_owned(),
                by => format!("; revealed by {}", by.join(", ")),
            };
            let (about, reference) = (property.about(), property.reference());
            let (name, about) = match property.anomaly() {
                Some(name) => (name, format!("against: {about} [{reference}]{shown}")),
                None => (property.name(), format!("{about} [{reference}]{shown}")),
            };
            Entry {
                name: format!("{:7} {name}", property.id()),
                about,
                more: json!({
                    "id": property.id(),
                    "name": name,
                    "property": property.name(),
                    "reference": reference,
                    "aliases": property.aliases(),
                    "implies": property.implies().iter().map(|one| one.id()).collect::<Vec<_>>(),
                    "workloads": by,
                }),
            }
        })
        .collect()
}
