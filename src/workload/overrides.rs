//! `--set key=value`, put into the table of the file before anything is made of it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::workload::diagnostic::{Diagnostic, from_toml};
use crate::workload::source::{Override, Source};
use crate::workload::target;

/// Each override as a line of TOML, behind so many blanks that its parts stand where [`Source`]
/// thinks of them.
pub(super) fn statements(source: &Source) -> Result<Vec<String>, Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    let mut statements = Vec::new();
    for Override { key, value, base } in source.overrides() {
        let whole = *base..*base + key.len() + 1 + value.len();
        let one_line = !value.contains(['\n', '\r', '#']);
        let parses = one_line && DeValue::parse(value).is_ok();
        let value = if parses { value.clone() } else { quoted(value) };
        let statement = format!("{}{key}={value}", " ".repeat(*base));
        if key.contains(['\n', '\r', '#', '=']) || DeTable::parse(&statement).is_err() {
            let message = format!("`{key}` is no key; expected one like `clients.rate`");
            wrong.push(source.diagnostic(whole, message));
        }
        statements.push(statement);
    }
    if wrong.is_empty() { Ok(statements) } else { Err(wrong) }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string().replace('\n', "\\n")
}

/// The table of the file with the overrides in it.
pub(super) fn parse<'a>(
    source: &'a Source,
    statements: &'a [String],
) -> Result<Spanned<DeTable<'a>>, Vec<Diagnostic>> {
    let reader = |error: toml::de::Error| vec![from_toml(source, &error)];
    let mut root = DeTable::parse(source.text()).map_err(reader)?;
    let mut wrong = Vec::new();
    for statement in statements {
        let table = DeTable::parse(statement).map_err(reader)?.into_inner();
        target::drop_foreign_options(root.get_mut(), &table, source);
        merge_tables(root.get_mut(), table, source, &mut wrong);
    }
    if wrong.is_empty() { Ok(root) } else { Err(wrong) }
}

/// A table goes into a table, a table with numbers for keys into a list; else the new value stands,
/// with its own place.
fn merge_tables<'a>(
    into: &mut DeTable<'a>,
    from: DeTable<'a>,
    source: &Source,
    wrong: &mut Vec<Diagnostic>,
) {
    for (key, value) in from {
        let name = key.get_ref().clone();
        let old = into.get_mut(&*name).map(Spanned::get_mut);
        let goes_into = matches!(old, Some(DeValue::Table(_) | DeValue::Array(_)));
        if let Some(old) = old.filter(|_| goes_into && value.get_ref().is_table()) {
            merge(old, value, source, wrong);
        } else {
            into.remove(&*name);
            into.insert(key, value);
        }
    }
}

/// It recurses once for each dot in the key of the override.
fn merge<'a>(
    old: &mut DeValue<'a>,
    new: Spanned<DeValue<'a>>,
    source: &Source,
    wrong: &mut Vec<Diagnostic>,
) {
    match (old, new.into_inner()) {
        (DeValue::Table(into), DeValue::Table(from)) => merge_tables(into, from, source, wrong),
        (DeValue::Array(into), DeValue::Table(from)) => {
            let many = into.len();
            for (index, value) in from {
                let at = index.get_ref().parse().unwrap_or(usize::MAX);
                match into.get_mut(at) {
                    Some(entry) => merge(entry.get_mut(), value, source, wrong),
                    None => wrong.push(source.diagnostic(
                        index.span(),
                        format!("no entry `{}`: there are {many}, counted from 0", index.get_ref()),
                    )),
                }
            }
        }
        (old, new) => *old = new,
    }
}
