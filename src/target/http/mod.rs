//! The declarative HTTP adapter: requests by template, answers by rule.
//!
//! # When is it certain that a request had no effect?
//!
//! A `fail` is a claim that the store never acts on the operation, so it needs a proof:
//! - The connection could not be made (refused, unreachable, no answer to the handshake in time).
//!   The error is then one of *connecting*, which hyper gives out only before it hands the request
//!   to a connection. So it is proven also when a pooled connection was found dead first.
//! - A rule of the target file says so: the store answered, and promises.
//!
//! Everything else may have been acted on: a time limit, a connection reset (a pooled connection
//! the server closed long ago breaks only after the request was written to it, and looks no
//! different from a server that acted and then died), an answer that no rule knows or that cannot be
//! read: one that lasts until the connection closes (HTTP/1.0) may have been cut off anywhere, so a number or
//! a text in it is no value. For a read that returned nothing it does not matter: it is a `fail`.
//!
//! # Nothing is sent twice
//!
//! A repeated write could take effect twice, which no history can express. reqwest's own retries are
//! off, redirects are not followed, and no proxy stands between. What is left is hyper's: a request it
//! finds on a pooled connection that closed *before a byte of it was written* comes back whole and
//! goes to a new connection. That request was never sent, so it is still sent once at most.
//!
//! # What takes more than one request
//!
//! - `before`: a request that goes first, for a lease, say; `${before:/ID}` is a part of its answer.
//! - `context`: the header that comes with what a `get` showed. A `put` that replaces exactly that is sent
//!   with it, whoever had read it; one that replaces what nobody was told is not sent.
//! - `next`: a read is answered in pages, and is ok when all of them came ([`pages`](crate::target::pages)).
//! - `[sigv4]`: every request is signed as AWS wants it.

#![expect(clippy::disallowed_methods, reason = "the time tells one run from another")]

mod client;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value as Json;
use toml::Spanned;

use crate::model::{Function, Mop, Op, Outcome, Process, Value};
use crate::target::answer::{Reading, Rule, Verdict};
use crate::target::client::{Answer, Client, unanswered};
use crate::target::config::{PrimaryQuestion, TargetConfig};
use crate::target::filling::{Known, nothing, part, with_read};
use crate::target::http::client::{Broken, HttpClient, Told};
use crate::target::operation::{HttpOperation, OperationName};
use crate::target::pages::Page;
use crate::target::sigv4::Signer;
use crate::target::stores::{Adapter, Asking, Probe};
use crate::target::template::{Placeholder, Template};

/// What all clients of a target share.
pub(super) struct HttpAdapter {
    operations: BTreeMap<OperationName, HttpOperation>,
    urls: BTreeMap<Arc<str>, String>,
    headers: HeaderMap,
    /// What must not be shown: the values that came from the environment.
    secrets: Vec<String>,
    signer: Option<Signer>,
    /// By what a get of a key showed, the header that stands for it.
    contexts: Mutex<BTreeMap<(String, String), HeaderValue>>,
    connect_timeout: Duration,
    /// What `${run}` stands for.
    run: String,
    /// How a node says that it is ready, and that it is the primary.
    ready: (String, Vec<Rule>),
    primary: Option<PrimaryQuestion>,
}

impl Adapter for HttpAdapter {
    fn client(self: Arc<Self>, _: Process, node: &Arc<str>) -> Result<Box<dyn Client>, String> {
        Ok(Box::new(self.connect(node)?))
    }

    fn probe(self: Arc<Self>, node: &Arc<str>) -> Result<Box<dyn Probe>, String> {
        Ok(Box::new(self.connect(node)?))
    }

    fn knows_primaries(&self) -> bool {
        self.primary.is_some()
    }

    fn clear<'a>(
        self: Arc<Self>,
        node: &'a Arc<str>,
        keys: &'a [Value],
    ) -> Asking<'a, Result<(), String>> {
        Box::pin(async move {
            let Some(operation) = self.operations.get(&OperationName::Delete) else {
                return Ok(());
            };
            let client = self.clone().connect(node)?;
            for key in keys {
                let op = Op::read(key.clone());
                let known = Known { op: &op, before: None, page: &Page::First };
                let exchange = client.exchange(client.request(operation, known)?).await;
                let told = exchange.map_err(|(Broken::Before(why) | Broken::After(why))| why)?;
                match self.judge(operation, &op, &told).outcome {
                    Outcome::Ok(_) => {}
                    Outcome::Fail(why) | Outcome::Info(why) => return Err(why),
                }
            }
            Ok(())
        })
    }
}

impl HttpAdapter {
    /// Fills in the headers from the environment; names the variable that is missing.
    pub(super) fn new(
        config: &TargetConfig,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        let mut secrets = Vec::new();
        for (name, template) in &config.headers {
            for placeholder in template.get_ref().placeholders() {
                if let Placeholder::Environment(variable) = placeholder {
                    secrets.push(environment(variable).ok_or_else(|| {
                        format!("header {name}: the environment has no variable {variable}")
                    })?);
                }
            }
            let text = template.get_ref().render(|placeholder| match placeholder {
                Placeholder::Environment(variable) => environment(variable).map(|v| v[..].into()),
                _ => None,
            })?;
            let header: HeaderName =
                name.parse().map_err(|_| format!("{name} is no name of a header"))?;
            // The error must not show the value.
            let mut value = HeaderValue::from_str(&text).map_err(|_| {
                format!("header {name}: its value has characters no header may have")
            })?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        let signer = match &config.sigv4 {
            None => None,
            Some(options) => {
                let options = options.get_ref();
                let filled = |template: &Template| {
                    template
                        .render(|placeholder| match placeholder {
                            Placeholder::Environment(variable) => {
                                environment(variable).map(|v| v[..].into())
                            }
                            _ => None,
                        })
                        .map_err(|why| format!("[sigv4]: the environment lacks a variable: {why}"))
                };
                let secret = filled(&options.secret)?;
                secrets.push(secret.clone());
                let (service, region) = (options.service.clone(), options.region.clone());
                Some(Signer { service, region, key: filled(&options.key)?, secret })
            }
        };
        secrets.retain(|secret| !secret.is_empty());
        let ready = config.ready.as_ref().map_or_else(
            || ("/".to_owned(), Vec::new()),
            |ready| {
                let rules = ready.answer.iter().map(Spanned::get_ref).cloned();
                (ready.path.clone(), rules.collect())
            },
        );
        let urls = config.nodes().map(|(name, url)| (name, url.to_owned())).collect();
        Ok(Self {
            operations: config.operation.clone(),
            urls,
            headers,
            secrets,
            signer,
            contexts: Mutex::default(),
            connect_timeout: config.connect_timeout(),
            run: config.run.clone().unwrap_or_else(name_of_run),
            ready,
            primary: config.primary.as_ref().map(|question| question.get_ref().clone()),
        })
    }

    /// Whoever asks one node, with a connection of its own.
    fn connect(self: Arc<Self>, node: &Arc<str>) -> Result<HttpClient, String> {
        let url = self.urls.get(node).ok_or_else(|| format!("no node is called {node}"))?;
        let client = reqwest::Client::builder()
            .default_headers(self.headers.clone())
            .connect_timeout(self.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .pool_max_idle_per_host(1)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| self.told(&error))?;
        let url = url.clone();
        Ok(HttpClient { adapter: self, client, node: node.clone(), url })
    }

    /// What an answer means: the first rule that matches decides.
    fn judge(&self, operation: &HttpOperation, op: &Op, told: &Told) -> Answer {
        let body = &told.body;
        let json: Option<Json> = serde_json::from_slice(body).ok();
        let shown = || self.shown(told.status, body);
        let read = |value: &Reading| {
            if !told.is_whole(json.as_ref()) {
                return Err("nothing says that it is whole".to_owned());
            }
            value.value(body, json.as_ref())
        };
        let outcome = match operation.verdict(told.status, json.as_ref()) {
            Some(Verdict::Ok) => match operation.value.as_ref().map(read).transpose() {
                Ok(value) => Outcome::Ok(with_read(op, value.as_ref())),
                Err(why) => {
                    unanswered(op, self.redacted(format!("{why} in the answer {}", shown())))
                }
            },
            Some(Verdict::Absent) => Outcome::Ok(with_read(op, Some(&nothing(op)))),
            Some(Verdict::Fail) => Outcome::Fail(shown()),
            Some(Verdict::Info) => unanswered(op, shown()),
            None => unanswered(op, format!("no rule for the answer {}", shown())),
        };
        let version = operation.version.as_ref().and_then(|pointer| {
            let found = json.as_ref()?.pointer(pointer.as_str())?;
            found.as_i64().or_else(|| found.as_str()?.parse().ok())
        });
        Answer { outcome, version }
    }

    /// Keeps the header that came with what a get showed.
    fn keep_context(&self, mops: &[Mop], header: Option<&HeaderValue>) {
        let get = mops.iter().find(|mop| mop.function == Function::Get);
        if let (Some(get), Some(header), Ok(mut contexts)) = (get, header, self.contexts.lock()) {
            contexts.insert(seen(&get.key, &get.value), header.clone());
        }
    }

    /// The header that stands for what a put replaces; none if it replaces nothing.
    fn context(&self, op: &Op) -> Result<Option<HeaderValue>, String> {
        let put = op.mops.iter().find(|mop| mop.function == Function::Put);
        let Some((put, replaced)) = put.and_then(|put| Some((put, part(&put.value, "ctx")?)))
        else {
            return Ok(None);
        };
        if replaced.as_list().is_none_or(<[Value]>::is_empty) {
            return Ok(None);
        }
        let contexts = self.contexts.lock().map_err(|_| "a client has panicked".to_owned())?;
        let found = contexts.get(&seen(&put.key, replaced)).cloned();
        found.map(Some).ok_or_else(|| "nobody was told the context of what it replaces".to_owned())
    }

    /// The beginning of an answer, for people.
    fn shown(&self, status: u16, body: &[u8]) -> String {
        // Secrets go before the text is cut: half a secret would not be found.
        let text = self.redacted(String::from_utf8_lossy(&body[..body.len().min(10_000)]).into());
        let text: String = text.trim().chars().take(200).collect();
        format!("{status} {text}").trim_end().to_owned()
    }

    /// An error without address and secrets, down to its root: reqwest's own text stops at
    /// "error sending request".
    fn told(&self, error: &reqwest::Error) -> String {
        let mut text =
            if error.is_connect() { "cannot connect" } else { "request failed" }.to_owned();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            if cause.source().is_none() {
                text.push_str(": ");
                text.push_str(&cause.to_string());
            }
            source = cause.source();
        }
        self.redacted(text)
    }

    fn redacted(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| text.replace(secret, "***"))
    }
}

/// Now, in nanoseconds since 1970, in twelve digits of base 36. Twelve is a multiple of three: in
/// base64 it has no padding and another base64 text may follow.
pub fn name_of_run() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut rest = since.as_nanos() as u64;
    let mut digits = [b'0'; 12];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
        rest /= 36;
    }
    digits.map(char::from).iter().collect()
}

/// What was shown of a key, as text.
fn seen(key: &Value, values: &Value) -> (String, String) {
    let text = |value: &Value| serde_json::to_string(value).unwrap_or_default();
    (text(key), text(values))
}
