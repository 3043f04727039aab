//! `[operation]`: how an operation is asked over HTTP, and what may be written there.

use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use crate::model::Function;
use crate::target::answer::{Reading, Rule, Verdict, validate_rules};
use crate::target::config::{Complaint, unknown};
use crate::target::filling::learns;
use crate::target::pages::NextPage;
use crate::target::template::{Placeholder, Template};

/// One kind of operation over HTTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct HttpOperation {
    pub method: Method,
    pub path: Spanned<Template>,
    pub body: Option<Spanned<Template>>,
    /// What has to be asked for first.
    pub before: Option<Before>,
    /// What answers mean; the first rule that matches decides.
    pub answer: Vec<Spanned<Rule>>,
    /// Where the value that was read stands.
    pub value: Option<Reading>,
    /// Where the version stands that the store gave.
    pub version: Option<Pointer>,
    /// The header that stands for what a get showed; a put that replaces it is sent with it.
    pub context: Option<String>,
    /// Where the answer says that there is another page of it.
    pub next: Option<Spanned<NextPage>>,
}

impl HttpOperation {
    /// What contradicts itself, or asks for what an operation of that name does not have.
    pub(super) fn validate(&self, name: OperationName) -> Result<(), Complaint> {
        let before = self.before.as_ref();
        let first = before.map(|one| [Some(&one.path), one.body.as_ref()]).unwrap_or_default();
        let own = [Some(&self.path), self.body.as_ref()];
        let first = first.into_iter().flatten().map(|template| (template, false));
        let own = own.into_iter().flatten().map(|template| (template, before.is_some()));
        for (template, is_after) in first.chain(own) {
            for placeholder in template.get_ref().placeholders() {
                let is_of_first = matches!(placeholder, Placeholder::Before(_));
                if !name.may_use(placeholder) || is_of_first && !is_after {
                    let message = format!("a {name} has no {}", placeholder.written());
                    return Err((template.span(), message));
                }
            }
        }
        self.validate_pages(name)?;
        let paths = before.map(|one| &one.path).into_iter().chain([&self.path]);
        let mut paths = paths.filter(|path| !path.get_ref().begins_with_slash());
        if let Some(path) = paths.next() {
            return Err((path.span(), "a path begins with `/`".to_owned()));
        }
        if name.returns_a_value() && self.value.is_none() {
            let message = format!("a {name} returns a value; expected `value = {{ … }}`");
            return Err((self.path.span(), message));
        }
        let absent = |rule: &&Spanned<Rule>| rule.get_ref().is == Verdict::Absent;
        if let (false, Some(rule)) = (name.reads(), self.answer.iter().find(absent)) {
            return Err((rule.span(), format!("a {name} reads nothing that may be absent")));
        }
        let has_context = matches!(name, OperationName::Function(Function::Get | Function::Put));
        if self.context.is_some() && !has_context {
            let message = format!("a {name} has no context; only get and put have");
            return Err((self.path.span(), message));
        }
        validate_rules(&self.answer)
    }

    /// Whether `next` and `${page}` belong together.
    fn validate_pages(&self, name: OperationName) -> Result<(), Complaint> {
        let has_page = |template: &&Spanned<Template>| {
            template.get_ref().placeholders().any(|one| *one == Placeholder::Page)
        };
        let before = self.before.as_ref();
        let mut before = before.into_iter().flat_map(|one| [Some(&one.path), one.body.as_ref()]);
        if let Some(template) = before.find_map(|template| template.filter(has_page)) {
            let message = "what goes before is asked once, so it has no ${page}".to_owned();
            return Err((template.span(), message));
        }
        let own = [Some(&self.path), self.body.as_ref()];
        let asks = own.into_iter().flatten().find(has_page);
        let Some(next) = &self.next else {
            let Some(template) = asks else { return Ok(()) };
            let message = "${page} needs `next = \"/POINTER\"`, where an answer says what it is";
            return Err((template.span(), message.to_owned()));
        };
        let has_pages = matches!(
            name,
            OperationName::Final | OperationName::Function(Function::Read | Function::Get)
        );
        let message = match (next.get_ref(), asks) {
            _ if !has_pages => format!("a {name} has no pages; only read, final and get have"),
            (NextPage::Token(_), None) => {
                "without ${page} in `path` or `body` it is the first page again".to_owned()
            }
            (NextPage::Link, Some(_)) => {
                "a link is all of an address; leave out ${page} or say where it stands".to_owned()
            }
            _ if self.context.is_some() => {
                "several pages have no one context; leave out `context` or `next`".to_owned()
            }
            _ => return Ok(()),
        };
        Err((next.span(), message))
    }

    /// What an answer means, if a rule says so; `json` is `None` if the body is no JSON.
    pub(super) fn verdict(&self, status: u16, json: Option<&serde_json::Value>) -> Option<Verdict> {
        let mut rules = self.answer.iter().map(Spanned::get_ref);
        rules.find(|rule| rule.matches(status, json)).map(|rule| rule.is)
    }
}

/// A request that goes before the one of an operation, of whose answer `${before:POINTER}` is a part.
///
/// Unless it is answered with a status of 2xx the operation is not sent, and is a `fail`: so it must do
/// nothing that is judged.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    pub method: Method,
    pub path: Spanned<Template>,
    pub body: Option<Spanned<Template>>,
}

/// What may be described under `[operation]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum OperationName {
    Function(Function),
    /// A cas that expects nothing there.
    CasAbsent,
    /// A read after quiescence; as any read where it is not described.
    Final,
    /// What removes a key after the run; keys stay where it is not described.
    Delete,
}

impl fmt::Display for OperationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Function(function) => function.name(),
            Self::CasAbsent => "cas-absent",
            Self::Final => "final",
            Self::Delete => "delete",
        })
    }
}

impl TryFrom<String> for OperationName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match &*text {
            "cas-absent" => Ok(Self::CasAbsent),
            "final" => Ok(Self::Final),
            "delete" => Ok(Self::Delete),
            // A transaction has no single key; the short names would allow one operation twice.
            name => Function::from_name(name)
                .filter(|function| function.name() == name && *function != Function::Txn)
                .map(Self::Function)
                .ok_or_else(|| {
                    let others = Function::names().filter(|name| *name != "txn");
                    unknown("operation", name, others.chain(["cas-absent", "final", "delete"]))
                }),
        }
    }
}

impl OperationName {
    fn may_use(self, placeholder: &Placeholder) -> bool {
        use Function as F;
        match (self, placeholder) {
            (
                _,
                Placeholder::Key
                | Placeholder::Node
                | Placeholder::Run
                // Whether a request goes before it, or it has pages, is looked at elsewhere.
                | Placeholder::Before(_)
                | Placeholder::Page,
            ) => true,
            (_, Placeholder::Environment(_)) | (Self::Final | Self::Delete | Self::Function(F::Read), _) => false,
            (Self::CasAbsent | Self::Function(F::Rmw), name) => *name == Placeholder::New,
            (Self::Function(F::Cas), name) => *name != Placeholder::Value,
            (Self::Function(_), name) => *name == Placeholder::Value,
        }
    }

    fn reads(self) -> bool {
        let made = matches!(self, Self::Function(Function::Acquire | Function::NewId));
        self.returns_a_value() && !made
    }

    fn returns_a_value(self) -> bool {
        match self {
            Self::Function(function) => function == Function::Rmw || learns(function),
            Self::Final => true,
            Self::CasAbsent | Self::Delete => false,
        }
    }
}

macro_rules! from_text {
    ($(#[$doc:meta])* $vis:vis struct $name:ident($inner:ty) = $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        $vis struct $name($inner);

        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                let parse: fn(String) -> Result<$inner, String> = $parse;
                parse(text).map(Self)
            }
        }

        impl $name {
            pub(super) fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

from_text! {
    /// A JSON pointer (RFC 6901): empty for the whole document.
    pub(super) struct Pointer(String) = |text| {
        if text.is_empty() || text.starts_with('/') {
            return Ok(text);
        }
        Err(format!("`{text}` is no JSON pointer; expected one like `/{text}`"))
    }
}
from_text! {
    pub(super) struct Method(String) = |text| {
        const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];
        if METHODS.contains(&&*text) { Ok(text) } else { Err(unknown("method", &text, METHODS)) }
    }
}
