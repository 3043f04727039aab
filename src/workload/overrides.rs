//! `--set key=value` and the changes of a scenario, put into the table of the file before anything is
//! made of it.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::workload::diagnostic::{Diagnostic, from_toml};
use crate::workload::source::{Behind, Override, Side, Source};
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

/// The table of the file with the changes of the scenario and the overrides in it.
pub(super) fn parse<'a>(
    source: &'a Source,
    statements: &'a [String],
) -> Result<Spanned<DeTable<'a>>, Vec<Diagnostic>> {
    let reader = |error: toml::de::Error| vec![from_toml(source, &error)];
    let mut root = DeTable::parse(source.text()).map_err(reader)?;
    let mut wrong = Vec::new();
    if let Some(behind) = source.scenario() {
        change(root.get_mut(), behind, source, &mut wrong).map_err(reader)?;
    }
    for statement in statements {
        let table = DeTable::parse(statement).map_err(reader)?.into_inner();
        target::drop_foreign_options(root.get_mut(), &table, source);
        merge_tables(root.get_mut(), table, source, &mut wrong);
    }
    if wrong.is_empty() { Ok(root) } else { Err(wrong) }
}

/// Makes the changes of a scenario; those of a control come after those of the scenario itself.
fn change<'a>(
    root: &mut DeTable<'a>,
    behind: &'a Behind,
    source: &Source,
    wrong: &mut Vec<Diagnostic>,
) -> Result<(), toml::de::Error> {
    let mut scenario = DeTable::parse(&behind.padded)?.into_inner();
    let control = match (behind.side, scenario.remove("control").map(Spanned::into_inner)) {
        (Side::Control(0), Some(DeValue::Table(control))) => Some(control),
        (Side::Control(at), Some(DeValue::Array(controls))) => {
            controls.into_iter().nth(at).and_then(|one| match one.into_inner() {
                DeValue::Table(control) => Some(control),
                _ => None,
            })
        }
        _ => None,
    };
    let side = if control.is_some() { [None, None] } else { [Some("finds"), Some("also")] };
    lay(root, scenario, side, source, wrong);
    if let Some(control) = control {
        lay(root, control, [Some("holds"), None], source, wrong);
    }
    Ok(())
}

/// Puts `set` and `fault` of a part of a scenario into the table, and its lists of properties of these
/// names in the place of `expect.hold` and `expect.known`.
fn lay<'a>(
    root: &mut DeTable<'a>,
    mut part: DeTable<'a>,
    [hold, known]: [Option<&str>; 2],
    source: &Source,
    wrong: &mut Vec<Diagnostic>,
) {
    if let Some(DeValue::Table(set)) = part.remove("set").map(Spanned::into_inner) {
        let mut nested = DeTable::new();
        for (key, value) in set {
            merge_tables(&mut nested, nest(&key, value), source, wrong);
        }
        target::drop_foreign_options(root, &nested, source);
        merge_tables(root, nested, source, wrong);
    }
    if let Some(faults) = part.remove("fault") {
        root.insert(named("fault"), faults);
    }
    if hold.is_none() && known.is_none() {
        return;
    }
    if !root.contains_key("expect") {
        root.insert(named("expect"), Spanned::new(0..0, DeValue::Table(DeTable::new())));
    }
    let Some(DeValue::Table(expect)) = root.get_mut("expect").map(Spanned::get_mut) else { return };
    expect.remove("max-lost-writes");
    for (into, from) in [("hold", hold), ("known", known)] {
        expect.remove(into);
        if let Some(list) = from.and_then(|from| part.remove(from)) {
            expect.insert(named(into), list);
        }
    }
}

fn named<'a>(key: &'static str) -> Spanned<DeString<'a>> {
    Spanned::new(0..0, key.into())
}

/// `"target.nodes" = 5` is what `target.nodes = 5` is.
fn nest<'a>(key: &Spanned<DeString<'a>>, value: Spanned<DeValue<'a>>) -> DeTable<'a> {
    let (name, span) = (key.get_ref(), key.span());
    // A key that has a dot in it is quoted.
    let mut end = span.end - usize::from(name.contains('.'));
    let mut nested = value;
    let mut parts = name.rsplit('.').peekable();
    while let Some(part) = parts.next() {
        let place = end.saturating_sub(part.len())..end;
        end = place.start.saturating_sub(1);
        let key = Spanned::new(place, part.to_owned().into());
        let table = DeTable::from_iter([(key, nested)]);
        if parts.peek().is_none() {
            return table;
        }
        nested = Spanned::new(span.clone(), DeValue::Table(table));
    }
    DeTable::new()
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
