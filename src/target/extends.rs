//! A target file that says only what differs from another one: `extends = "etcd.toml"`, a file beside it.
//!
//! Tables are laid over tables, entry by entry; any other value takes the place of the one below it. A
//! file with a [lab] takes no nodes from one without, and none of the commands that are made for them.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::target::config::{ConfigError, TargetConfig};

/// What belongs to the machines of a target.
const OF_MACHINES: [&str; 7] =
    ["nodes", "environment", "setup", "teardown", "fault", "renew", "road"];

/// The table of a target file, with what it takes from the one that it extends. `below` keeps the text of
/// that one.
///
/// What is wrong with the other file is told of that one, which must be a target file by itself.
pub(super) fn table<'a>(
    file: &str,
    text: &'a str,
    below: &'a mut String,
) -> Result<Spanned<DeTable<'a>>, ConfigError> {
    let parsed =
        |text| DeTable::parse(text).map_err(|error| ConfigError::from_toml(file, text, &error));
    let mut table = parsed(text)?;
    let Some(other) = table.get_mut().remove("extends") else { return Ok(table) };
    let at = |message| ConfigError::at(file, text, other.span().start, message);
    let name = other.get_ref().as_str().ok_or_else(|| at("expected a file".to_owned()))?;
    let path = Path::new(file).with_file_name(name).display().to_string();
    let base = std::fs::read_to_string(&path)
        .map_err(|error| at(format!("failed to read {path}: {error}")))?;
    if DeTable::parse(&base).is_ok_and(|base| base.get_ref().contains_key("extends")) {
        return Err(at(format!("{path} itself extends a file")));
    }
    TargetConfig::parse(&path, &base)?;
    // It is thought of as standing behind the file, so no place in it is one of the file.
    *below = " ".repeat(text.len()) + "\n" + &base;
    let mut base = parsed(below)?.into_inner();
    if table.get_ref().contains_key("lab") && !base.contains_key("lab") {
        for part in OF_MACHINES {
            base.remove(part);
        }
    }
    lay_over(&mut base, std::mem::take(table.get_mut()));
    *table.get_mut() = base;
    Ok(table)
}

fn lay_over<'a>(below: &mut DeTable<'a>, above: DeTable<'a>) {
    for (key, value) in above {
        let old = below.get_mut(&**key.get_ref()).map(Spanned::get_mut);
        if let (Some(DeValue::Table(into)), true) = (old, value.get_ref().is_table()) {
            if let DeValue::Table(from) = value.into_inner() {
                lay_over(into, from);
            }
        } else {
            below.remove(&**key.get_ref());
            below.insert(key, value);
        }
    }
}
