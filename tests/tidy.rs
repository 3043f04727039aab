//! The walls of the house: which room may import which, and what no file may hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The layer of each room; imports point down only. `ARCHITECTURE.md` draws the same table.
const LAYERS: &[(&str, u8)] = &[
    ("cli", 6),
    ("run", 5),
    ("workload", 4),
    ("report", 4),
    ("check", 3),
    ("store", 3),
    ("lab", 3),
    ("proxy", 3),
    ("road", 3),
    ("history", 2),
    ("generate", 2),
    ("target", 2),
    ("sim", 2),
    ("model", 1),
    ("graph", 1),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(below: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The rooms that a file names in `crate::…` paths.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut rooms = BTreeSet::new();
    for line in code {
        for piece in line.split("crate::").skip(1) {
            let names: Vec<&str> = match piece.strip_prefix('{') {
                Some(list) => list.split([',', '}']).collect(),
                None => vec![piece],
            };
            for name in names {
                let room: String =
                    name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                rooms.insert(room);
            }
        }
    }
    rooms
}

#[test]
fn imports_point_down() {
    let layers: BTreeMap<&str, u8> = LAYERS.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut rooms = BTreeSet::new();
    for file in rust_files(&root().join("src")) {
        let place = file.strip_prefix(root().join("src")).expect("below src");
        let Some(room) = place.parent().and_then(|folder| folder.iter().next()) else { continue };
        let room = room.to_str().expect("a room in ASCII");
        let Some(own) = layers.get(room) else {
            wrong.push(format!(
                "{room} has no layer; give it one in tests/tidy.rs and ARCHITECTURE.md"
            ));
            continue;
        };
        rooms.insert(room.to_owned());
        for other in imports(&fs::read_to_string(&file).expect("a readable file")) {
            let Some(layer) = layers.get(other.as_str()) else { continue };
            if other != room && (layer >= own || room == "graph") {
                wrong.push(format!(
                    "{}: {room} (layer {own}) imports {other} (layer {layer})",
                    place.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that do not point down:\n{}", wrong.join("\n"));
    let drawn: BTreeSet<String> = LAYERS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(rooms, drawn, "rooms on disk and rooms in the table");
}

#[test]
fn graph_does_not_know_what_its_graphs_mean() {
    for file in rust_files(&root().join("src/graph")) {
        let text = fs::read_to_string(&file).expect("a readable file").to_lowercase();
        for word in ["transaction", "history", "anomaly", "database", "isolation", "linearizab"] {
            assert!(!text.contains(word), "{} says {word:?}", file.display());
        }
    }
}

#[test]
fn every_room_states_its_invariant() {
    for (room, _) in LAYERS {
        let text = fs::read_to_string(root().join("src").join(room).join("mod.rs"))
            .expect("a mod.rs a room");
        assert!(text.starts_with("//!"), "src/{room}/mod.rs opens with what the room is for");
        assert!(text.contains("Invariant: "), "src/{room}/mod.rs states its invariant");
    }
}

#[test]
fn no_file_is_called_after_nothing() {
    for file in rust_files(&root().join("src")) {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).expect("a name in ASCII");
        assert!(
            !["util", "utils", "common", "helpers", "imp", "misc"].contains(&stem),
            "{}",
            file.display()
        );
    }
}

/// The checker as a library must not bring a runtime, an HTTP client or a command line with it.
#[test]
fn the_checker_alone_is_light() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--no-default-features",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("UTF-8");
    let crates: BTreeSet<&str> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(crates.contains("rashomon") && crates.contains("petgraph"), "the tree was read");
    for heavy in ["tokio", "reqwest", "hyper", "clap", "indicatif"] {
        assert!(!crates.contains(heavy), "{heavy} is in the tree of --no-default-features");
    }
}

#[test]
fn the_documents_stay_short() {
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = fs::read_to_string(root().join(document)).expect("a readable document");
        assert!(text.lines().count() <= 150, "{document} has more than 150 lines");
    }
}

#[test]
fn the_architecture_draws_every_room() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("a readable document");
    for (room, layer) in LAYERS {
        let drawn =
            text.lines().any(|line| line.starts_with(&layer.to_string()) && line.contains(room));
        assert!(drawn, "ARCHITECTURE.md draws {room} on layer {layer}");
    }
}

#[test]
fn the_documents_name_files_that_are_there() {
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(document)).expect("a readable document");
        let names = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-./".contains(c)));
        for name in names.filter(|name| name.contains('/')) {
            let is_file = [".rs", ".toml", ".md", ".sh"].iter().any(|end| name.ends_with(end));
            let is_there = ["", "src"].iter().any(|base| root().join(base).join(name).exists());
            assert!(!is_file || is_there, "{document} names {name}, which is not there");
        }
    }
}
