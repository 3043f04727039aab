//! `rashomon list`: what there is, a line each.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::check::{Assumption, Property};
use crate::cli::args::{Catalogue, ListArgs};
use crate::cli::check::printed;
use crate::cli::exit::{Exit, Failure};
use crate::history::Format;
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
        Catalogue::Models => properties(),
        Catalogue::Anomalies => anomalies(),
        Catalogue::Assumptions => assumptions(),
        Catalogue::Faults => named(&FAULTS),
        Catalogue::Adapters => named(ADAPTERS),
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
        printed(writeln!(io::stdout(), "{:width$}  {}", entry.name, entry.about))?;
    }
    Ok(Exit::Holds)
}

const FAULTS: [(&str, &str); 5] = [
    (
        "partition",
        "the network drops what some nodes send to others: shape = halves, majority-ring, isolate, …",
    ),
    ("kill", "the processes of nodes die, and are started again"),
    ("pause", "the processes of nodes stop, and go on"),
    ("skew", "the wall clocks of nodes are put ahead or back"),
    ("…", "any other name is a pair of commands of the target file: inject and undo"),
];

const ADAPTERS: &[(&str, &str)] = &[
    ("sim", "an embedded store under virtual time; the default of every workload"),
    ("http", "any store with an HTTP interface, described by a target file"),
];

fn entry(name: &str, about: &str) -> Entry {
    Entry { name: name.to_owned(), about: about.to_owned(), more: json!({}) }
}

fn named(table: &[(&str, &str)]) -> Vec<Entry> {
    table.iter().map(|(name, about)| entry(name, about)).collect()
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
    }
    entries
}

fn workloads(folder: &Path) -> Result<Vec<Entry>, Failure> {
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
            let workload =
                Workload::parse(&path.display().to_string(), &text, &[]).map_err(|_| {
                    Failure::bad_input(format!(
                        "{0} has errors; see rashomon lint {0}",
                        path.display()
                    ))
                })?;
            Ok(entry(&path.display().to_string(), &workload.about))
        })
        .collect()
}

fn properties() -> Vec<Entry> {
    Property::all()
        .map(|property| Entry {
            name: format!("{:7} {}", property.id(), property.name()),
            about: format!("{} [{}]", property.about(), property.reference()),
            more: json!({
                "id": property.id(),
                "aliases": property.aliases(),
                "implies": property.implies().iter().map(|weaker| weaker.id()).collect::<Vec<_>>(),
            }),
        })
        .collect()
}

fn anomalies() -> Vec<Entry> {
    Property::all()
        .map(|property| entry(property.id(), &format!("the negation of: {}", property.about())))
        .collect()
}
