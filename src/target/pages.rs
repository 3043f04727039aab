//! A read that is answered in pages: where the next one is, and what they are together.
//!
//! Every page says where the next one is, until one does not. The value of the read is what all of them
//! list, one after the other; a page that fails, fails the read, which has no effect.
//!
//! Pages are not read at one instant. The interval of the operation covers all of them, and yet such a read
//! is only linearizable if the token names a snapshot of the store: else what is written between two pages
//! may be seen where something older is not.

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::model::Value;
use crate::target::operation::Pointer;

/// How many pages a read may have.
const PAGES_MAX: usize = 1_000;

/// Where a page says where the next one is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum NextPage {
    /// At this place of its JSON stands what `${page}` is to be; nothing, or what is empty, on the last.
    Token(Pointer),
    /// The header `Link` has the address of the next one (`rel="next"`, RFC 8288).
    Link,
}

impl TryFrom<String> for NextPage {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "link" {
            return Ok(Self::Link);
        }
        Pointer::try_from(text).map(Self::Token).map_err(|why| format!("{why}, or `link`"))
    }
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    First,
    Token(Value),
    At(Url),
}

impl Page {
    /// What `${page}` stands for.
    pub(super) fn token(&self) -> Value {
        match self {
            Self::Token(token) => token.clone(),
            Self::First | Self::At(_) => Value::text(""),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::First => "the first".to_owned(),
            Self::Token(token) => format!("`{token}`"),
            Self::At(url) => format!("`{url}`"),
        }
    }
}

impl NextPage {
    /// The page after the one with that answer, which came from `url`.
    pub(super) fn after(
        &self,
        url: &Url,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<Page>, String> {
        let pointer = match self {
            Self::Token(pointer) => pointer,
            Self::Link => {
                let mut links =
                    headers.get_all(LINK).into_iter().filter_map(|one| one.to_str().ok());
                let Some(target) = links.find_map(next_of) else { return Ok(None) };
                let next =
                    url.join(target).map_err(|error| format!("its link {target}: {error}"))?;
                if next.origin() != url.origin() {
                    return Err(format!("its link {next} leads to another node"));
                }
                return Ok(Some(Page::At(next)));
            }
        };
        let json: Json = serde_json::from_slice(body).map_err(|_| "it is no JSON".to_owned())?;
        let token = match json.pointer(pointer.as_str()) {
            None | Some(Json::Null) => return Ok(None),
            Some(Json::String(text)) if text.is_empty() => return Ok(None),
            Some(token) => serde_json::from_value(token.clone()),
        };
        token.map(|token| Some(Page::Token(token))).map_err(|error| error.to_string())
    }
}

/// The pages of a read so far.
#[derive(Default)]
pub(super) struct Pages {
    seen: Vec<Page>,
    /// `None` as long as no page had a list.
    items: Option<Vec<Value>>,
    /// The version that all of them have.
    version: Option<i64>,
    bytes: usize,
}

impl Pages {
    /// Turns to a page: one that was not there yet, or a read would go in circles.
    pub(super) fn turn(&mut self, page: &Page) -> Result<(), String> {
        if self.seen.contains(page) {
            return Err(format!("the next one is {}, which was there already", page.shown()));
        }
        if self.seen.len() == PAGES_MAX {
            return Err(format!("it is not the last, and a read has at most {PAGES_MAX}"));
        }
        self.seen.push(page.clone());
        Ok(())
    }

    /// Takes what the page lists.
    pub(super) fn take(&mut self, value: &Value, version: Option<i64>) -> Result<(), String> {
        let is_first = self.number() == 1;
        self.version = version.filter(|_| is_first || self.version == version);
        match value {
            Value::Null => Ok(()),
            Value::List(items) => {
                self.items.get_or_insert_default().extend(items.iter().cloned());
                Ok(())
            }
            other => Err(format!("{other} is no list")),
        }
    }

    /// Takes note of how long its answer was.
    pub(super) fn weigh(&mut self, bytes: usize, most: usize) -> Result<(), String> {
        self.bytes += bytes;
        if self.bytes > most {
            return Err(format!("all until here are longer than {} MiB", most >> 20));
        }
        Ok(())
    }

    /// The number of the page, from 1.
    pub(super) fn number(&self) -> usize {
        self.seen.len()
    }

    /// What was read, and the version of all of it.
    pub(super) fn joined(self) -> (Value, Option<i64>) {
        (self.items.map_or(Value::Null, Value::list), self.version)
    }
}

/// The target of the link to the next page in a header `Link`: `<…>; rel="next", <…>; rel="last"`.
fn next_of(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        let parameters = unquoted(after, ',').next().unwrap_or_default();
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
            name.trim().eq_ignore_ascii_case("rel")
                && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
        };
        if unquoted(parameters, ';').any(is_next) {
            return Some(target);
        }
        rest = &after[parameters.len()..];
    }
}

/// The parts of a text, separated by a character that stands in no quotes.
fn unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |c| {
        is_quoted ^= c == '"';
        c == separator && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_among_others() {
        for (header, expected) in [
            ("</kv?page=2>; rel=\"next\"", Some("/kv?page=2")),
            ("<a,b;c>; title=\"x, <y>; rel=next\"; REL=Next", Some("a,b;c")),
            ("<one>; rel=prev, <two>; rel=\"last next\"", Some("two")),
            ("<one>; title=\"no; rel=next\"; rel=last", None),
            ("<one>; rel=nextest, <two", None),
            ("<one>", None),
            ("", None),
        ] {
            assert_eq!(next_of(header), expected, "{header}");
        }
    }
}
