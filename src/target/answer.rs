//! What an answer means: rules over its status and its JSON, and where the value stands that was read.

use std::ops::Range;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::model::Value;
use crate::target::config::unknown;
use crate::target::operation::Pointer;

/// Which answer means what.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub status: Option<StatusPattern>,
    pub pointer: Option<Pointer>,
    pub equals: Option<serde_json::Value>,
    /// Holds if the same value stands at this other place.
    pub same: Option<Pointer>,
    pub exists: Option<bool>,
    pub absent: Option<bool>,
    pub is: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It took effect.
    Ok,
    /// The read was answered: there is nothing.
    Absent,
    /// It did not and never will take effect.
    Fail,
    /// Nobody knows.
    Info,
}

impl Rule {
    /// Whether it is about this answer; `json` is `None` if the body is no JSON.
    pub(super) fn matches(&self, status: u16, json: Option<&serde_json::Value>) -> bool {
        if !self.status.is_none_or(|pattern| pattern.matches(status)) {
            return false;
        }
        let Some(pointer) = &self.pointer else { return true };
        // What cannot be parsed has no field and lacks none.
        let Some(json) = json else { return false };
        let found = json.pointer(pointer.as_str());
        self.exists.is_none_or(|exists| exists == found.is_some())
            && self.absent.is_none_or(|absent| absent == found.is_none())
            && self.equals.as_ref().is_none_or(|value| found == Some(value))
            && self
                .same
                .as_ref()
                .is_none_or(|other| found.is_some() && found == json.pointer(other.as_str()))
    }
}

/// The first rule that makes no sense: where it stands, and what it lacks.
pub(super) fn validate_rules(rules: &[Spanned<Rule>]) -> Result<(), (Range<usize>, String)> {
    for spanned in rules {
        let rule = spanned.get_ref();
        let conditions = [
            rule.equals.is_some(),
            rule.same.is_some(),
            rule.exists.is_some(),
            rule.absent.is_some(),
        ];
        let count = conditions.iter().filter(|there| **there).count();
        let message = match (&rule.pointer, count) {
            (None, 0) if rule.status.is_none() => "a rule needs a `status` or a `pointer`",
            (None, 0) | (Some(_), 1) => continue,
            (None, _) => "a condition needs a `pointer` to what it is about",
            (Some(_), _) => "a `pointer` needs one of `equals`, `same`, `exists`, `absent`",
        };
        return Err((spanned.span(), message.to_owned()));
    }
    Ok(())
}

/// Where a value stands in an answer, and what makes it a value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reading {
    /// In the JSON of the answer; the whole answer as text if not said.
    pub pointer: Option<Pointer>,
    #[serde(default, deserialize_with = "decoders")]
    pub decode: Vec<Decode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decode {
    Base64,
    Integer,
    Json,
    /// A list of what is kept side by side: each text is JSON in base64, a null is nothing.
    Siblings,
    Text,
}

const DECODERS: [(&str, Decode); 5] = [
    ("base64", Decode::Base64),
    ("integer", Decode::Integer),
    ("json", Decode::Json),
    ("siblings", Decode::Siblings),
    ("text", Decode::Text),
];

impl Decode {
    fn name(self) -> &'static str {
        DECODERS.iter().find(|(_, one)| *one == self).map_or("", |(name, _)| name)
    }

    fn apply(self, raw: serde_json::Value) -> Result<serde_json::Value, String> {
        use serde_json::Value as Json;
        let decoded = match (self, raw) {
            (Self::Integer, Json::Number(n)) if n.is_i64() => Some(Json::Number(n)),
            (Self::Integer, Json::String(text)) => text.trim().parse::<i64>().ok().map(Json::from),
            (Self::Base64, Json::String(text)) => {
                let bytes = BASE64_STANDARD.decode(text).ok();
                bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(Json::String)
            }
            (Self::Json, Json::String(text)) => serde_json::from_str(&text).ok(),
            (Self::Siblings, Json::Array(items)) => {
                let items = items.into_iter().filter(|item| !item.is_null());
                let decoded = items.map(|item| Self::Json.apply(Self::Base64.apply(item)?));
                decoded.collect::<Result<_, _>>().ok().map(Json::Array)
            }
            (Self::Text, Json::String(text)) => Some(Json::String(text)),
            _ => None,
        };
        decoded.ok_or_else(|| format!("the value is no {}", self.name()))
    }
}

fn decoders<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Decode>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let names = || DECODERS.iter().map(|(name, _)| *name);
    let decoder = |word: &str| {
        let found = DECODERS.iter().find(|(name, _)| *name == word.trim());
        found.map(|(_, decode)| *decode).ok_or_else(|| unknown("decoder", word, names()))
    };
    text.split('|').map(decoder).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}

impl Reading {
    /// The value in an answer; the error says what is there instead.
    pub(super) fn value(
        &self,
        body: &[u8],
        json: Option<&serde_json::Value>,
    ) -> Result<Value, String> {
        let raw = if let Some(pointer) = &self.pointer {
            // A value that is not where it should be is no "nothing": that takes a rule of its own
            // (`is = "absent"`), or a slip in the target file would look like a lost write.
            json.and_then(|json| json.pointer(pointer.as_str()))
                .cloned()
                .ok_or_else(|| format!("no value at {}", pointer.as_str()))?
        } else {
            let text = std::str::from_utf8(body).map_err(|_| "the body is no text".to_owned())?;
            serde_json::Value::String(text.to_owned())
        };
        let decoded = self.decode.iter().try_fold(raw, |raw, decode| decode.apply(raw))?;
        serde_json::from_value(decoded).map_err(|error| error.to_string())
    }
}

/// `200`, or a class such as `"5xx"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub(super) enum StatusPattern {
    Code(u16),
    Class(u16),
}

impl TryFrom<serde_json::Value> for StatusPattern {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        let code = value.as_u64().filter(|code| (100..600).contains(code)).map(|code| code as u16);
        let class = value.as_str().and_then(|text| match text.as_bytes() {
            [digit @ b'1'..=b'5', b'x', b'x'] => Some(u16::from(digit - b'0')),
            _ => None,
        });
        code.map(Self::Code)
            .or(class.map(Self::Class))
            .ok_or_else(|| format!("{value} is no status; expected one like 200 or \"2xx\""))
    }
}

impl StatusPattern {
    pub(super) fn matches(self, status: u16) -> bool {
        match self {
            Self::Code(code) => status == code,
            Self::Class(class) => status / 100 == class,
        }
    }
}
