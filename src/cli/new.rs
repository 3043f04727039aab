//! `rashomon new`: a file to begin with.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::cli::args::NewKind;
use crate::cli::check::quoted;
use crate::cli::exit::{Exit, Failure};

/// A complete workload, in which `NAME` stands for its name.
const WORKLOAD: &str = include_str!("new-workload.toml");

pub(crate) fn new(kind: &NewKind) -> Result<Exit, Failure> {
    let NewKind::Workload { name } = kind;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Failure::bad_input(format!(
            "workload {name:?}: expected a name of letters, digits, - and _; the file will be NAME.toml"
        )));
    }
    let path = format!("{name}.toml");
    let file = OpenOptions::new().write(true).create_new(true).open(Path::new(&path));
    file.and_then(|mut file| file.write_all(WORKLOAD.replace("NAME", name).as_bytes()))
        .map_err(|error| Failure::bad_input(format!("failed to write {path}: {error}")))?;
    let path = quoted(&path);
    println!("{path}\nrashomon lint {path}\nrashomon run {path}");
    Ok(Exit::Holds)
}
