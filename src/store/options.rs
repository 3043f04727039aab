//! Reading the options of a store.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::{Nanos, Value, did_you_mean};
use crate::sim::{Conditions, Latency, Sites, parse_duration};
use crate::store::StoreInfo;

/// Why a store could not be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    /// The option that is wrong; `None` if the store itself is unknown.
    pub option: Option<String>,
    /// What is wrong with it and what is valid.
    pub message: String,
}

impl OptionError {
    pub(super) fn of(option: &str, message: impl Into<String>) -> Self {
        Self { option: Some(option.to_owned()), message: message.into() }
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.option {
            Some(option) => write!(f, "{option}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for OptionError {}

/// When what was written becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fsync {
    /// Before anybody is told of it.
    Always,
    /// Every so often: a kill loses what came after the last time.
    Interval(Nanos),
}

/// The options given, behind the table that says which there are and what they default to.
pub(super) struct Options<'a> {
    store: &'static StoreInfo,
    given: &'a BTreeMap<String, Value>,
}

impl<'a> Options<'a> {
    /// Refuses options that the store does not have.
    pub(super) fn new(
        store: &'static StoreInfo,
        given: &'a BTreeMap<String, Value>,
    ) -> Result<Self, OptionError> {
        let known = || store.options.iter().map(|option| option.name);
        match given.keys().find(|name| !known().any(|option| option == *name)) {
            None => Ok(Self { store, given }),
            Some(name) => Err(OptionError::of(
                name,
                format!(
                    "the store {} has no option {name:?}{}; it has {}",
                    store.name,
                    hint(name, known()),
                    known().collect::<Vec<_>>().join(", ")
                ),
            )),
        }
    }

    /// A whole number in this range.
    pub(super) fn count(&self, name: &str, low: u8, high: u8) -> Result<u8, OptionError> {
        self.parse(
            name,
            |text| text.parse().ok().filter(|n| (low..=high).contains(n)),
            || format!("a whole number from {low} to {high}"),
        )
    }

    /// The same, or a word for the number `all`.
    pub(super) fn count_or(
        &self,
        name: &str,
        word: &str,
        all: u8,
        low: u8,
        high: u8,
    ) -> Result<u8, OptionError> {
        if self.text(name) == word { Ok(all) } else { self.count(name, low, high) }
    }

    /// A number from 0 to 1, exclusive of 1.
    pub(super) fn probability(&self, name: &str) -> Result<f64, OptionError> {
        self.parse(
            name,
            |text| text.parse().ok().filter(|p| (0.0..1.0).contains(p)),
            || "a probability from 0 to below 1".to_owned(),
        )
    }

    /// A duration that is not nothing.
    pub(super) fn duration(&self, name: &str) -> Result<Nanos, OptionError> {
        self.parse(
            name,
            |text| parse_duration(text).ok().filter(|d| d.0 > 0),
            || "a duration such as \"500ms\"".to_owned(),
        )
    }

    /// A duration, or a word for nothing.
    pub(super) fn duration_or(&self, name: &str, word: &str) -> Result<Option<Nanos>, OptionError> {
        if self.text(name) == word { Ok(None) } else { self.duration(name).map(Some) }
    }

    /// A distribution of delays.
    pub(super) fn latency(&self, name: &str) -> Result<Latency, OptionError> {
        self.parse(
            name,
            |text| Latency::parse(text).ok(),
            || "\"1ms\", \"1ms..5ms\" or \"exp(5ms)\"".to_owned(),
        )
    }

    /// When to sync.
    pub(super) fn fsync(&self, name: &str) -> Result<Fsync, OptionError> {
        let read = |text: &str| {
            if text == "always" {
                return Some(Fsync::Always);
            }
            let inner = text.strip_prefix("interval(")?.strip_suffix(')')?;
            parse_duration(inner).ok().filter(|d| d.0 > 0).map(Fsync::Interval)
        };
        self.parse(name, read, || "\"always\" or \"interval(100ms)\"".to_owned())
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<T, OptionError> {
        let text = self.text(name);
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*meaning);
        }
        let names = || words.iter().map(|(word, _)| *word);
        let known = names().collect::<Vec<_>>().join(", ");
        let guess = hint(&text, names());
        Err(OptionError::of(name, format!("no {name} {text:?}{guess}; there are {known}")))
    }

    /// The planted bug, if any, by its name in the store's table.
    pub(super) fn bug(&self) -> Result<&'static str, OptionError> {
        let bugs: Vec<_> = [("none", "")]
            .into_iter()
            .chain(self.store.bugs.iter().map(|bug| (bug.name, bug.name)))
            .collect();
        self.choice("bug", &bugs)
    }

    /// Where the nodes stand.
    pub(super) fn sites(&self) -> Result<Sites, OptionError> {
        if !self.knows("data-centers") {
            return Ok(Sites::ONE);
        }
        let (nodes, centers) = (self.count("nodes", 1, 9)?, self.count("data-centers", 1, 2)?);
        if centers > nodes {
            return Err(OptionError::of("data-centers", "a data centre needs a node"));
        }
        Ok(Sites { nodes, centers, distance: self.duration("distance")? })
    }

    fn knows(&self, name: &str) -> bool {
        self.store.options.iter().any(|option| option.name == name)
    }

    /// What the network does of itself.
    pub(super) fn conditions(&self) -> Result<Conditions, OptionError> {
        let between_nodes = |name| if self.knows(name) { self.probability(name) } else { Ok(0.0) };
        Ok(Conditions {
            latency: self.latency("latency")?,
            loss: self.probability("loss")?,
            duplication: between_nodes("duplication")?,
            reordering: between_nodes("reordering")?,
            sites: self.sites()?,
        })
    }

    fn parse<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Option<T>,
        expected: impl Fn() -> String,
    ) -> Result<T, OptionError> {
        let text = self.text(name);
        read(&text)
            .ok_or_else(|| OptionError::of(name, format!("expected {}, not {text:?}", expected())))
    }

    fn text(&self, name: &str) -> String {
        let default = || self.store.options.iter().find(|option| option.name == name);
        match self.given.get(name) {
            Some(value) => value.to_string(),
            None => default().map_or_else(String::new, |option| option.default.to_owned()),
        }
    }
}

/// `` (did you mean `…`?)`` if one of the names is near.
pub(super) fn hint<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> String {
    did_you_mean(word, names).map_or_else(String::new, |hint| format!(" ({hint})"))
}
