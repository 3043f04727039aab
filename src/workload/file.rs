//! A workload file as it is written.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use crate::generate::{Budget, Count, KeyChoice, Spacing, Writers};
use crate::model::{Nanos, Value};
use crate::workload::words::{
    BitRate, Drift, Every, Length, Megabytes, Milliseconds, Percent, Speed, Written,
};

/// A text and its place.
pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: String,
    #[serde(default)]
    pub(super) about: String,
    #[serde(default)]
    pub(super) clients: Clients,
    #[serde(default)]
    pub(super) keys: Keys,
    #[serde(default)]
    pub(super) bank: Bank,
    #[serde(default)]
    pub(super) stock: Stock,
    pub(super) operation: Spanned<Vec<Operation>>,
    #[serde(default)]
    pub(super) fault: Vec<Fault>,
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) phases: Phases,
    #[serde(default)]
    pub(super) expect: Expect,
    pub(super) target: Spanned<BTreeMap<Text, Spanned<Value>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Clients {
    pub(super) count: Written<Count>,
    pub(super) routing: Option<Text>,
    pub(super) rate: Written<Speed>,
    pub(super) spacing: Written<Spacing>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            count: Written(Count::Total(10)),
            routing: None,
            rate: Written(Speed::PerSecond(500.0)),
            spacing: Written(Spacing::Poisson),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    pub(super) count: Spanned<u32>,
    pub(super) choose: Written<KeyChoice>,
    pub(super) writers: Spanned<Written<Writers>>,
    pub(super) prefix: String,
    pub(super) fields: Spanned<u32>,
    pub(super) writes: Option<Spanned<u32>>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            count: Spanned::new(0..0, 8),
            choose: Written(KeyChoice::Uniform),
            writers: Spanned::new(0..0, Written(Writers::Any)),
            prefix: "k".to_owned(),
            fields: Spanned::new(0..0, 1),
            writes: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Bank {
    pub(super) accounts: Spanned<u32>,
    pub(super) balance: Spanned<u32>,
    pub(super) amount: Spanned<u32>,
    pub(super) overdraft: bool,
}

impl Default for Bank {
    fn default() -> Self {
        let number = |number| Spanned::new(0..0, number);
        Self { accounts: number(8), balance: number(10), amount: number(5), overdraft: false }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Stock {
    pub(super) level: Spanned<u32>,
    pub(super) amount: Spanned<u32>,
}

impl Default for Stock {
    fn default() -> Self {
        Self { level: Spanned::new(0..0, 100), amount: Spanned::new(0..0, 2) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Operation {
    #[serde(rename = "do")]
    pub(super) function: Text,
    pub(super) weight: Option<Spanned<u32>>,
    pub(super) body: Option<Spanned<Vec<Text>>>,
    pub(super) any: Option<Spanned<Vec<Text>>>,
    pub(super) length: Option<Spanned<Written<Length>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) inject: Text,
    pub(super) name: Option<Text>,
    pub(super) shape: Option<Spanned<Shape>>,
    pub(super) channel: Option<Text>,
    pub(super) nodes: Option<Spanned<Names>>,
    pub(super) by: Option<Spanned<Written<Milliseconds>>>,
    pub(super) drift: Option<Spanned<Written<Drift>>>,
    pub(super) strobe: Option<Spanned<Written<Nanos>>>,
    pub(super) delay: Option<Spanned<Written<Nanos>>>,
    pub(super) jitter: Option<Spanned<Written<Nanos>>>,
    pub(super) loss: Option<Spanned<Written<Percent>>>,
    pub(super) duplicate: Option<Spanned<Written<Percent>>>,
    pub(super) reorder: Option<Spanned<Written<Percent>>>,
    pub(super) rate: Option<Spanned<Written<BitRate>>>,
    pub(super) cpu: Option<Spanned<Written<Percent>>>,
    pub(super) limit: Option<Spanned<Written<Megabytes>>>,
    pub(super) file: Option<Text>,
    pub(super) bytes: Option<Spanned<u64>>,
    pub(super) bits: Option<Spanned<u64>>,
    pub(super) lost: Option<Text>,
    pub(super) every: Option<Spanned<Written<Every>>>,
    #[serde(rename = "for")]
    pub(super) lasts: Option<Spanned<Written<Nanos>>>,
    pub(super) offset: Option<Spanned<Written<Nanos>>>,
    pub(super) at: Option<Spanned<Vec<Written<Nanos>>>>,
    pub(super) after: Option<Text>,
    pub(super) flap: Option<Spanned<Written<Nanos>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) broken: Option<Spanned<Written<Budget>>>,
}

/// A word for nodes, or a list of their names.
pub(super) enum Names {
    Word(String),
    List(Vec<Text>),
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word for nodes such as `minority`, the name of one, or a list of names")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Names, E> {
        Ok(Names::Word(word.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = list.next_element()? {
            names.push(name);
        }
        Ok(Names::List(names))
    }
}

/// A word, or `{ groups = [[…], […]] }`.
pub(super) enum Shape {
    Word(String),
    Groups(Vec<Vec<Text>>),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a shape, or `{ groups = [[\"n1\"], [\"n2\", \"n3\"]] }`")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Shape, E> {
        Ok(Shape::Word(word.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut groups = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "groups" {
                return Err(A::Error::unknown_field(&key, &["groups"]));
            }
            groups = Some(map.next_value()?);
        }
        groups.map(Shape::Groups).ok_or_else(|| A::Error::missing_field("groups"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Phases {
    pub(super) warmup: Option<Written<Nanos>>,
    pub(super) main: Spanned<Written<Nanos>>,
    pub(super) recovery: Option<Written<Nanos>>,
    pub(super) quiesce: Option<Written<Nanos>>,
    pub(super) settle: Option<Written<Nanos>>,
    #[serde(rename = "final", default)]
    pub(super) finals: Vec<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Expect {
    pub(super) hold: Vec<Text>,
    pub(super) known: Vec<Text>,
    pub(super) assume: Vec<Text>,
    pub(super) max_lost_writes: Option<Spanned<u64>>,
    pub(super) min_ok_fraction: Option<Spanned<f64>>,
}
