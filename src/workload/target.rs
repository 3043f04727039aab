//! What a workload is run against.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};

use crate::model::{Value, did_you_mean};
use crate::store::{self, STORES, StoreInfo};
use crate::workload::diagnostic::Diagnostic;
use crate::workload::file::{File, Text};
use crate::workload::plan::list;
use crate::workload::source::Source;

/// What a workload is run against.
#[derive(Clone, Debug)]
pub enum TargetChoice {
    /// An embedded store, in simulated time.
    Store(StoreOptions),
    /// Something live that a target file describes.
    File {
        /// The path as it is written in the workload.
        path: String,
        /// Where it is written.
        span: Range<usize>,
    },
}

/// An embedded store with its options, from which it can be [built](crate::store::build).
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The name of the store.
    pub name: String,
    /// Its options.
    pub options: BTreeMap<String, Value>,
    place: Range<usize>,
    places: BTreeMap<String, Range<usize>>,
}

impl StoreOptions {
    pub(super) fn span_of(&self, option: Option<&str>) -> Range<usize> {
        option.and_then(|option| self.places.get(option)).unwrap_or(&self.place).clone()
    }
}

fn info(store: &str) -> Option<&'static StoreInfo> {
    STORES.iter().find(|info| info.name == store)
}

const KEYS: [&str; 2] = ["store", "file"];

/// The target of a file. What is wrong with it goes to `wrong`.
pub(super) fn choice(file: &File, source: &Source, wrong: &mut Vec<Diagnostic>) -> TargetChoice {
    let section = &file.target;
    let mut texts: BTreeMap<&str, (String, Range<usize>)> = BTreeMap::new();
    let mut options: Vec<(&Text, &Spanned<Value>)> = Vec::new();
    for (key, value) in section.get_ref() {
        match (key.get_ref().as_str(), value.get_ref()) {
            (key @ ("store" | "file"), Value::Text(text)) => {
                texts.insert(key, (text.to_string(), value.span()));
            }
            ("store" | "file", _) => {
                wrong.push(source.diagnostic(value.span(), "expected a string".to_owned()));
            }
            _ => options.push((key, value)),
        }
    }
    if let Some((path, span)) = texts.remove("file") {
        let others = texts.values().map(|(_, span)| span.clone());
        for other in others.chain(options.iter().map(|(key, _)| key.span())) {
            let message = "a target file stands alone; its options are in the file".to_owned();
            wrong.push(source.diagnostic(other, message));
        }
        return TargetChoice::File { path, span };
    }
    let Some((name, place)) = texts.remove("store") else {
        let meant = |(key, _): &(&Text, _)| Some((key.span(), did_you_mean(key.get_ref(), KEYS)?));
        let (place, help) = options.iter().find_map(meant).unzip();
        let place = place.unwrap_or(section.span());
        let message = "a target needs `store` or `file`".to_owned();
        wrong.push(source.diagnostic(place, message).with_help(help));
        return TargetChoice::File { path: String::new(), span: section.span() };
    };
    match info(&name) {
        None => {
            let known: Vec<&str> = STORES.iter().map(|info| info.name).collect();
            wrong.push(unknown("store", &name, place.clone(), &known, source));
        }
        Some(info) => {
            let known: Vec<&str> = info.options.iter().map(|option| option.name).collect();
            for (key, _) in
                options.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_str()))
            {
                let what = format!("option of `{name}`:");
                wrong.push(unknown(&what, key.get_ref(), key.span(), &known, source));
            }
        }
    }
    let places = options.iter().map(|(key, value)| (key.get_ref().clone(), value.span())).collect();
    let options =
        options.iter().map(|(key, value)| (key.get_ref().clone(), value.get_ref().clone()));
    TargetChoice::Store(StoreOptions { options: options.collect(), name, place, places })
}

fn unknown(
    what: &str,
    word: &str,
    span: Range<usize>,
    known: &[&str],
    source: &Source,
) -> Diagnostic {
    let message = format!("unknown {what} `{word}`, expected one of {}", list(known));
    source.diagnostic(span, message).with_help(did_you_mean(word, known.iter().copied()))
}

/// Makes room for an override that names another target: what the file says of its own one is
/// dropped unless the other one understands it, so that one workload runs against all of them.
pub(super) fn drop_foreign_options(root: &mut DeTable<'_>, set: &DeTable<'_>, source: &Source) {
    let Some(DeValue::Table(new)) = set.get("target").map(Spanned::get_ref) else { return };
    let Some(DeValue::Table(old)) = root.get_mut("target").map(Spanned::get_mut) else { return };
    let name = |table: &DeTable<'_>, key| {
        table.get(key).and_then(|value| Some(value.get_ref().as_str()?.to_owned()))
    };
    let store = match (name(new, "file"), name(new, "store")) {
        (Some(_), _) => None,
        (None, Some(store))
            if info(&store).is_some() && name(old, "store") != Some(store.clone()) =>
        {
            Some(store)
        }
        _ => return,
    };
    let is_foreign = |(key, value): &(&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
        let understood =
            store.as_ref().is_some_and(|store| understands(store, key.get_ref(), value));
        source.is_in_file(&key.span()) && !understood
    };
    let foreign: Vec<_> =
        old.iter().filter(is_foreign).map(|(key, _)| key.get_ref().clone()).collect();
    for key in foreign {
        old.remove(&*key);
    }
}

/// Whether a store has an option and could be built with this value of it alone.
fn understands(store: &str, option: &str, value: &Spanned<DeValue<'_>>) -> bool {
    let Ok(value) = Value::deserialize(ValueDeserializer::from(value.clone())) else {
        return false;
    };
    let options = BTreeMap::from([(option.to_owned(), value)]);
    store::build(store, &options, 0).is_ok()
}
