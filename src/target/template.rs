//! Texts with holes: `/kv/${key|url}`, `{"value": ${value|json}}`, `Bearer ${env:TOKEN}`.
//!
//! `${` opens a hole, `$${` stands for the characters `${`. A hole names a placeholder and the
//! filters its value passes through, left to right.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use crate::model::{Value, nearest};
use crate::target::operation::Pointer;

/// A text with holes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Placeholder, Vec<Filter>),
}

/// What may fill a hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// `${key}`: the key of the operation.
    Key,
    /// `${value}`: what it writes, appends, adds, …
    Value,
    /// `${old}`: what a cas expects.
    Old,
    /// `${new}`: what a cas or rmw writes.
    New,
    /// `${node}`: the name of the node asked.
    Node,
    /// `${run}`: twelve letters and digits that no other run has. A store that is not emptied before
    /// a run needs them in its keys, else what an older run wrote is read out of nowhere.
    Run,
    /// `${page}`: where the page before said that this one is; empty for the first.
    Page,
    /// `${env:NAME}`: an environment variable.
    Environment(String),
    /// `${before:/ID}`: what stands at this place of the answer to the request that went before.
    Before(Pointer),
}

const PLACEHOLDERS: [(&str, Placeholder); 7] = [
    ("key", Placeholder::Key),
    ("value", Placeholder::Value),
    ("old", Placeholder::Old),
    ("new", Placeholder::New),
    ("node", Placeholder::Node),
    ("run", Placeholder::Run),
    ("page", Placeholder::Page),
];

/// What is done to a value on its way into the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    /// The bytes of the text in base64.
    Base64,
    /// A whole JSON value: a text with its quotes and escapes, a number bare.
    Json,
    /// Percent-encoded: safe as one segment of a path or as one value of a query.
    Url,
}

const FILTERS: [(&str, Filter); 3] =
    [("base64", Filter::Base64), ("json", Filter::Json), ("url", Filter::Url)];

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl Template {
    /// Reads a template; the error says what is wrong and names the nearest known word.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                plain.push_str(&rest[..at - 1]);
                plain.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            plain.push_str(&rest[..at]);
            let inside = &rest[at + 2..];
            let end = inside.find('}').ok_or("`${` without `}`; write `$${` for the characters")?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(hole(&inside[..end])?);
            rest = &inside[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// Whether it is a path: whatever fills the holes, it begins with `/`.
    pub(super) fn begins_with_slash(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Text(text)) if text.starts_with('/'))
    }

    /// Every placeholder, in order.
    pub(super) fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Hole(placeholder, _) => Some(placeholder),
        })
    }

    /// The text with its holes filled; the first placeholder that has no value is the error.
    pub(super) fn render(
        &self,
        fill: impl Fn(&Placeholder) -> Option<Value>,
    ) -> Result<String, String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Hole(placeholder, filters) => {
                    let value = fill(placeholder)
                        .ok_or_else(|| format!("{} has no value", placeholder.written()))?;
                    let value = filters.iter().fold(value, |value, filter| filter.apply(&value));
                    text.push_str(&plain_text(&value));
                }
            }
        }
        Ok(text)
    }
}

fn hole(inside: &str) -> Result<Part, String> {
    let mut words = inside.split('|').map(str::trim);
    let name = words.next().unwrap_or_default();
    let placeholder = match name.strip_prefix("env:") {
        Some("") => return Err("`${env:}` names no environment variable".to_owned()),
        Some(variable) => Placeholder::Environment(variable.to_owned()),
        None => match name.strip_prefix("before:") {
            Some(pointer) => Placeholder::Before(Pointer::try_from(pointer.to_owned())?),
            None => look_up("placeholder", name, &PLACEHOLDERS)?,
        },
    };
    let filters = words.map(|word| look_up("filter", word, &FILTERS)).collect::<Result<_, _>>()?;
    Ok(Part::Hole(placeholder, filters))
}

fn look_up<T: Clone>(what: &str, word: &str, table: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, found)) = table.iter().find(|(name, _)| *name == word) {
        return Ok(found.clone());
    }
    let known: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    let hint = nearest(word, known.iter().copied())
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Err(format!("unknown {what} `{word}`{hint} (known: {})", known.join(", ")))
}

impl Placeholder {
    /// As it stands in a template.
    pub(super) fn written(&self) -> String {
        let name = PLACEHOLDERS.iter().find(|(_, one)| one == self).map(|(name, _)| *name);
        match (self, name) {
            (Self::Environment(variable), _) => format!("${{env:{variable}}}"),
            (Self::Before(pointer), _) => format!("${{before:{}}}", pointer.as_str()),
            (_, name) => format!("${{{}}}", name.unwrap_or_default()),
        }
    }
}

impl Filter {
    fn apply(self, value: &Value) -> Value {
        let text = match self {
            Self::Json => serde_json::to_string(value).unwrap_or_default(),
            Self::Base64 => BASE64_STANDARD.encode(plain_text(value)),
            Self::Url => percent_encoded(&plain_text(value)),
        };
        Value::text(&text)
    }
}

/// A text as it is, anything else as JSON.
fn plain_text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str) -> Result<String, String> {
        Template::parse(template)?.render(|placeholder| match placeholder {
            Placeholder::Key => Some(Value::text("a/b \"é\"")),
            Placeholder::Value => Some(Value::Int(-41)),
            Placeholder::Environment(name) => Some(Value::text(name)),
            _ => None,
        })
    }

    #[test]
    fn holes_are_filled_for_their_context() {
        for (template, text) in [
            ("plain", "plain"),
            ("", ""),
            ("${key}", "a/b \"é\""),
            ("/kv/${key|url}?v=${value}", "/kv/a%2Fb%20%22%C3%A9%22?v=-41"),
            (r#"{"k": ${key|json}, "v": ${value|json}}"#, r#"{"k": "a/b \"é\"", "v": -41}"#),
            ("${value|base64}", "LTQx"),
            ("${ key | base64 | json }", "\"YS9iICLDqSI=\""),
            ("Bearer ${env:TOKEN}", "Bearer TOKEN"),
            ("$5 and $${key} and }", "$5 and ${key} and }"),
        ] {
            assert_eq!(rendered(template).as_deref(), Ok(text), "{template}");
        }
        assert_eq!(rendered("${old}"), Err("${old} has no value".to_owned()));
    }

    #[test]
    fn a_wrong_hole_is_told_with_the_nearest_word() {
        for (template, error) in [
            ("${kye}", "unknown placeholder `kye`; did you mean `key`?"),
            ("${valeu|base64}", "unknown placeholder `valeu`; did you mean `value`?"),
            ("${key|bsae64}", "unknown filter `bsae64`; did you mean `base64`?"),
            (
                "${password}",
                "unknown placeholder `password` (known: key, value, old, new, node, run, page)",
            ),
            ("a ${key", "`${` without `}`"),
            ("${env:}", "names no environment variable"),
            ("${before:ID}", "`ID` is no JSON pointer; expected one like `/ID`"),
        ] {
            let message = Template::parse(template).expect_err(template);
            assert!(message.contains(error), "{template}: {message}");
        }
    }

    #[test]
    fn any_text_is_read_or_refused() {
        proptest::proptest!(|(text in "[$ {}|a-zé:]{0,12}")| {
            let _ = Template::parse(&text);
        });
    }
}
