//! Whoever asks one node over HTTP: requests are filled in and sent, and answers read to their end.

#![expect(clippy::disallowed_methods, reason = "a signature has the time of day in it")]

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use reqwest::{Method, Request, Url};
use serde_json::Value as Json;
use toml::Spanned;

use crate::model::{Function, Invocation, Op, Outcome, Value};
use crate::target::answer::Verdict;
use crate::target::client::{Answer, Answering, Client, unanswered};
use crate::target::filling::{Known, nothing, with_read};
use crate::target::http::HttpAdapter;
use crate::target::operation::{self, Before, HttpOperation, OperationName};
use crate::target::pages::{NextPage, Page, Pages};
use crate::target::stores::{Asking, Probe};
use crate::target::template::Template;

/// The answer to a request is read up to this length.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// One process at one node, or whoever asks how that node is.
pub(super) struct HttpClient {
    pub(super) adapter: Arc<HttpAdapter>,
    pub(super) client: reqwest::Client,
    pub(super) node: Arc<str>,
    pub(super) url: String,
}

impl Client for HttpClient {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        Box::pin(self.answer(invocation))
    }
}

impl HttpClient {
    async fn answer(&self, invocation: &Invocation) -> Answer {
        let op = &invocation.op;
        let prepared = async {
            let operation = self.operation(invocation)?;
            let before = match &operation.before {
                Some(before) => Some(self.before(before, op).await?),
                None => None,
            };
            let known = Known { op, before: before.as_ref(), page: &Page::First };
            let request = self.request(operation, known)?;
            Ok::<_, String>((operation, before, request))
        };
        let (operation, before, request) = match prepared.await {
            Ok(prepared) => prepared,
            Err(why) => return Outcome::Fail(format!("nothing was sent: {why}")).into(),
        };
        if let Some(next) = &operation.next {
            return self.paged(operation, next.get_ref(), op, before.as_ref()).await;
        }
        match self.exchange(request).await {
            Ok(told) => {
                let answer = self.adapter.judge(operation, op, &told);
                if let (Some(name), Outcome::Ok(mops)) = (&operation.context, &answer.outcome) {
                    self.adapter.keep_context(mops, told.headers.get(name));
                }
                answer
            }
            Err(Broken::Before(why)) => Outcome::Fail(why).into(),
            Err(Broken::After(why)) => unanswered(op, why).into(),
        }
    }

    /// What all pages of a read are together.
    async fn paged(
        &self,
        operation: &HttpOperation,
        next: &NextPage,
        op: &Op,
        before: Option<&Json>,
    ) -> Answer {
        let (mut pages, mut page) = (Pages::default(), Page::First);
        loop {
            let known = Known { op, before, page: &page };
            match self.page(operation, next, known, &mut pages).await {
                Ok(Some(another)) => page = another,
                Ok(None) => break,
                Err(why) => {
                    let why = self.adapter.redacted(why);
                    return Outcome::Fail(format!("page {}: {why}", pages.number())).into();
                }
            }
        }
        let (value, version) = pages.joined();
        Answer { outcome: Outcome::Ok(with_read(op, Some(&value))), version }
    }

    /// Asks for one page and says which comes next.
    async fn page(
        &self,
        operation: &HttpOperation,
        next: &NextPage,
        known: Known<'_>,
        pages: &mut Pages,
    ) -> Result<Option<Page>, String> {
        pages.turn(known.page)?;
        let request = self.request(operation, known)?;
        let url = request.url().clone();
        let exchange = self.exchange(request).await;
        let told = exchange.map_err(|(Broken::Before(why) | Broken::After(why))| why)?;
        pages.weigh(told.body.len(), ANSWER_BYTES_MAX)?;
        let Answer { outcome, version } = self.adapter.judge(operation, known.op, &told);
        let mops = match outcome {
            Outcome::Ok(mops) => mops,
            Outcome::Fail(why) | Outcome::Info(why) => return Err(why),
        };
        let json = serde_json::from_slice(&told.body).ok();
        if operation.verdict(told.status, json.as_ref()) == Some(Verdict::Absent) {
            // All of it may be absent, but not the rest: that would be a read that lost something.
            if *known.page != Page::First {
                let shown = self.adapter.shown(told.status, &told.body);
                return Err(format!("it is absent: {shown}"));
            }
            pages.take(&nothing(known.op), version)?;
            return Ok(None);
        }
        let value = mops.first().map_or(&Value::Null, |mop| &mop.value);
        pages.take(value, version)?;
        next.after(&url, &told.headers, &told.body)
    }

    fn operation(&self, invocation: &Invocation) -> Result<&HttpOperation, String> {
        let operations = &self.adapter.operations;
        let op = &invocation.op;
        let final_read = operations.get(&OperationName::Final);
        if let (true, Function::Read, Some(operation)) =
            (invocation.is_final, op.function, final_read)
        {
            return Ok(operation);
        }
        let from_nothing = op.function == Function::Cas
            && op.mops.first().is_some_and(|mop| mop.value == Value::Null);
        let name = if from_nothing {
            OperationName::CasAbsent
        } else {
            OperationName::Function(op.function)
        };
        operations.get(&name).ok_or_else(|| format!("the target file has no [operation.{name}]"))
    }

    /// What is answered to the request that goes before an operation.
    async fn before(&self, before: &Before, op: &Op) -> Result<Json, String> {
        let known = Known { op, before: None, page: &Page::First };
        let path = self.filled(&before.path, known)?;
        let body = before.body.as_ref().map(|body| self.filled(body, known)).transpose()?;
        let request = self.plain_request(&before.method, &path, body)?;
        let exchange = self.exchange(request).await;
        let told = exchange.map_err(|(Broken::Before(why) | Broken::After(why))| why)?;
        let shown = || format!("{path} answers {}", self.adapter.shown(told.status, &told.body));
        if told.status / 100 != 2 {
            return Err(shown());
        }
        serde_json::from_slice(&told.body).map_err(|_| shown())
    }

    pub(super) fn request(
        &self,
        operation: &HttpOperation,
        known: Known<'_>,
    ) -> Result<Request, String> {
        let path = self.filled(&operation.path, known)?;
        let body = operation.body.as_ref().map(|body| self.filled(body, known)).transpose()?;
        let mut request = self.plain_request(&operation.method, &path, body)?;
        if let Page::At(url) = known.page {
            *request.url_mut() = url.clone();
        }
        if let Some(name) = &operation.context
            && let Some(context) = self.adapter.context(known.op)?
        {
            let name: HeaderName = name.parse().map_err(|_| format!("{name} is no header"))?;
            request.headers_mut().insert(name, context);
        }
        Ok(request)
    }

    fn filled(&self, template: &Spanned<Template>, known: Known<'_>) -> Result<String, String> {
        let run = &self.adapter.run;
        template.get_ref().render(|name| known.argument(&self.node, run, name))
    }

    fn plain_request(
        &self,
        method: &operation::Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Request, String> {
        let address = format!("{}{path}", self.url);
        let url = Url::parse(&address).map_err(|error| format!("{address}: {error}"))?;
        let method = Method::from_bytes(method.as_str().as_bytes())
            .map_err(|_| "no such method".to_owned())?;
        let mut request = Request::new(method, url);
        if let Some(body) = body {
            *request.body_mut() = Some(body.into());
            if !self.adapter.headers.contains_key(CONTENT_TYPE) {
                let json = HeaderValue::from_static("application/json");
                request.headers_mut().insert(CONTENT_TYPE, json);
            }
        }
        Ok(request)
    }

    pub(super) async fn exchange(&self, mut request: Request) -> Result<Told, Broken> {
        if let Some(signer) = &self.adapter.signer {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            signer.sign(&mut request, now.as_secs()).map_err(Broken::Before)?;
        }
        let mut response = self.client.execute(request).await.map_err(|error| {
            let why = self.adapter.told(&error);
            if error.is_connect() { Broken::Before(why) } else { Broken::After(why) }
        })?;
        let ends = response.content_length().is_some()
            || response.headers().contains_key(TRANSFER_ENCODING);
        let mut told = Told {
            ends,
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body: Vec::new(),
        };
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(told),
                Ok(Some(chunk)) => told.body.extend_from_slice(&chunk),
                Err(error) => {
                    let why = self.adapter.told(&error);
                    return Err(Broken::After(format!("the answer broke off: {why}")));
                }
            }
            if told.body.len() > ANSWER_BYTES_MAX {
                return Err(Broken::After("the answer is longer than 16 MiB".to_owned()));
            }
        }
    }

    /// Whether the node says that it is the primary.
    async fn leads(&self) -> Option<u64> {
        let question = self.adapter.primary.as_ref()?;
        let request = self.plain_request(&question.method, &question.path, question.body.clone());
        let told = self.exchange(request.ok()?).await.ok()?;
        let json = serde_json::from_slice(&told.body).ok();
        let mut rules = question.answer.iter().map(Spanned::get_ref);
        let rule = rules.find(|rule| rule.matches(told.status, json.as_ref()))?;
        (rule.is == Verdict::Ok).then_some(0)
    }

    /// Whether the node answers the question of `[ready]`; without one, anything at all.
    async fn ready(&self) -> Result<(), String> {
        let (path, rules) = &self.adapter.ready;
        let url = Url::parse(&format!("{}{path}", self.url)).map_err(|error| error.to_string())?;
        let exchange = self.exchange(Request::new(Method::GET, url)).await;
        let told = exchange.map_err(|(Broken::Before(why) | Broken::After(why))| why)?;
        let json = serde_json::from_slice(&told.body).ok();
        let verdict = rules.iter().find(|rule| rule.matches(told.status, json.as_ref()));
        if rules.is_empty() || verdict.is_some_and(|rule| rule.is == Verdict::Ok) {
            return Ok(());
        }
        Err(format!("{path} answers {}", self.adapter.shown(told.status, &told.body)))
    }
}

impl Probe for HttpClient {
    fn ready(&mut self) -> Asking<'_, Result<(), String>> {
        Box::pin(Self::ready(self))
    }

    fn leads(&mut self) -> Asking<'_, Option<u64>> {
        Box::pin(Self::leads(self))
    }
}

/// An answer.
pub(super) struct Told {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Whether it says where it ends. Else it lasts until the connection closes, for whatever reason.
    ends: bool,
}

impl Told {
    /// Whether nothing of it can be missing: half a number is a number, and half a text a text.
    pub(super) fn is_whole(&self, json: Option<&Json>) -> bool {
        self.ends || json.is_some_and(|json| !json.is_number())
    }
}

/// Where an exchange broke: before anything of the request was sent, or perhaps after.
pub(super) enum Broken {
    Before(String),
    After(String),
}
