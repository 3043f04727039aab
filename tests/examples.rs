//! Every example of the specification with its whole vector of verdicts, through the library and
//! through `rashomon check --json`.
#![expect(clippy::print_stdout, reason = "a test says what it skips and what stays undecided")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use rashomon::check::{Atomicity, Expected, Limits, Property, Status, assess, measure, set_full};
use rashomon::history::{History, read};
use rashomon::model::Value;
use serde_json::Value as Json;

/// How many verdicts of the specification the checkers do not give, undecided or left out, by
/// property. Whoever makes a checker decide more shortens this list. Three kinds will stay:
/// EC of nodes that still move and SETLOST without a final read (the specification itself says that
/// nobody can tell), and session guarantees where no view exists under any of them.
const NOT_DECIDED: &[(&str, usize)] = &[
    ("CCv", 2),
    ("CM", 2),
    ("CP", 4),
    ("CP-S", 16),
    ("EC", 1),
    ("FR", 36),
    ("MR", 3),
    ("MW", 3),
    ("PRAM", 9),
    ("RYW", 3),
    ("SESS4", 3),
    ("SETLOST", 1),
    ("WFR", 3),
];

/// Verdicts on measures, not on properties; they are compared as numbers.
const MEASURES: [&str; 2] = ["K1", "DELTA0"];

struct Example {
    file: String,
    path: PathBuf,
    /// By id, whether it holds.
    verdicts: BTreeMap<String, bool>,
    metrics: Json,
}

fn examples() -> Option<Vec<Example>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/spec/examples");
    let Ok(index) = std::fs::read_to_string(folder.join("index.json")) else {
        println!("skipped: there is no ../shared/spec/examples/index.json");
        return None;
    };
    let index: Json = serde_json::from_str(&index).expect("the index is JSON");
    let examples = index["examples"].as_array().expect("examples");
    let example = |example: &Json| {
        let file = example["file"].as_str().expect("file").to_owned();
        let tables = [&example["vector"], &example["expect"]];
        let verdicts = tables.iter().flat_map(|table| table.as_object().expect("verdicts"));
        let verdicts = verdicts
            .filter(|(id, _)| !MEASURES.contains(&id.as_str()))
            .map(|(id, verdict)| (id.clone(), verdict == "ok"));
        Example {
            path: folder.join(&file),
            verdicts: verdicts.collect(),
            metrics: example["metrics"].clone(),
            file,
        }
    };
    Some(examples.iter().map(example).collect())
}

/// What is said of one example: `holds`, `violated` or `undecided`, by id.
type Said = BTreeMap<String, String>;

/// Compares what was said with the vectors; what is not decided must be what is listed.
fn compare(examples: &[Example], said: impl Fn(&Example) -> Said) {
    let mut not_decided: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut decided, mut wrong) = (0, String::new());
    for example in examples {
        let said = said(example);
        for (id, holds) in &example.verdicts {
            assert!(Property::from_name(id).is_some(), "{id} is no property");
            match said.get(id).map(String::as_str) {
                None | Some("undecided") => *not_decided.entry(id).or_default() += 1,
                Some(status) if (status == "holds") == *holds => decided += 1,
                Some(status) => {
                    let _ = writeln!(wrong, "{}: {id} {status}, but {holds}", example.file);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let listed: BTreeMap<&str, usize> = NOT_DECIDED.iter().copied().collect();
    let rows: Vec<String> =
        not_decided.iter().map(|(id, count)| format!("    (\"{id}\", {count}),")).collect();
    println!(
        "{decided} verdicts as specified, {} not decided",
        not_decided.values().sum::<usize>()
    );
    assert_eq!(not_decided, listed, "NOT_DECIDED should be\n{}", rows.join("\n"));
}

fn history(example: &Example) -> History {
    read(&example.path, None).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_example_gets_its_whole_vector() {
    let Some(examples) = examples() else { return };
    assert!(examples.len() >= 150, "{} examples", examples.len());
    compare(&examples, |example| {
        let verdicts = assess(&history(example), &Limits::default(), Expected::default()).verdicts;
        let said = |one: &rashomon::check::Verdict| (one.property.id(), one.status.name());
        verdicts.iter().map(said).map(|(id, status)| (id.to_owned(), status.to_owned())).collect()
    });
}

/// The numbers of the index: fates of the elements of a set, minimal unsatisfiable sets of session
/// guarantees, staleness in time and in versions.
#[test]
fn every_example_gets_its_numbers() {
    let Some(examples) = examples() else { return };
    let mut compared = 0;
    for example in &examples {
        let history = history(example);
        let file = &example.file;
        for (name, expected) in example.metrics.as_object().expect("metrics") {
            compared += 1;
            let ours: Json = match name.as_str() {
                "setfull" => set_full::fates(&history)
                    .iter()
                    .map(|one| (number(&history.values().value(one.value)), one.fate.name().into()))
                    .collect::<serde_json::Map<String, Json>>()
                    .into(),
                "min_unsat" => min_unsat(&history),
                "delta_ms" => (atomicity(&history).delta.expect("finite").0 / 1_000_000).into(),
                "k" => {
                    let bounds = atomicity(&history);
                    assert_eq!(bounds.versions_at_most, Some(bounds.versions_at_least), "{file}");
                    bounds.versions_at_least.into()
                }
                _ => panic!("{file}: nothing is known of {name}"),
            };
            assert_eq!(&ours, expected, "{file}: {name}");
        }
    }
    assert!(compared >= 25, "{compared} numbers");
}

fn number(value: &Value) -> String {
    value.as_int().expect("elements are numbers").to_string()
}

fn atomicity(history: &History) -> Atomicity {
    let staleness = measure(history).staleness.expect("versions in a known order");
    staleness.atomicity.expect("a register")
}

fn min_unsat(history: &History) -> Json {
    let verdicts = rashomon::check::session::check(history, &Limits::default());
    let anomalies = verdicts.iter().filter(|one| one.status == Status::Invalid);
    let sets = anomalies.flat_map(|one| &one.anomalies).map(|one| &one.set);
    let mut sets: Vec<Vec<&str>> =
        sets.map(|set| set.iter().map(|one| one.id()).collect()).collect();
    sets.sort();
    sets.dedup();
    sets.into()
}

#[cfg(feature = "cli")]
#[test]
fn the_command_says_the_same() {
    let Some(examples) = examples() else { return };
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_rashomon"))
        .args(["check", "--json"])
        .args(examples.iter().map(|example| &example.path))
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(1), "some are not linearizable");
    let mut said: BTreeMap<PathBuf, Said> = BTreeMap::new();
    for report in serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Json>() {
        let report = report.expect("a report");
        let text = |json: &Json| json.as_str().expect("a text").to_owned();
        let properties = report["properties"].as_array().expect("properties");
        let properties = properties.iter().map(|one| (text(&one["id"]), text(&one["status"])));
        said.insert(text(&report["history"]["path"]).into(), properties.collect());
    }
    assert_eq!(said.len(), examples.len());
    compare(&examples, |example| said[&example.path].clone());
}
