//! The target file: where a store is, how it is asked, and how faults reach it.
//!
//! Invariant: nothing secret is in a [`TargetConfig`]. A header may name an environment variable; its
//! value is looked up when the target is opened, and shown nowhere.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::model::{Function, Value, nearest};
use crate::target::answer::{Rule, validate_rules};
use crate::target::extends;
use crate::target::furnish::{LabChoice, Way};
use crate::target::operation::{HttpOperation, Method, OperationName};
use crate::target::proxied::ProxyChoice;
use crate::target::renewal::Renew;
use crate::target::road::RoadChoice;
use crate::target::stores::{
    AdapterKind, Addresses, NatsOptions, ProcessOptions, RabbitmqOptions, RedisOptions, SqlOptions,
    TarantoolOptions, ZookeeperOptions,
};
use crate::target::template::{Placeholder, Template};

/// Below that a node would heal itself between two renewals on a busy machine.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(3);

/// What is wrong, and where in the text.
pub(super) type Complaint = (Range<usize>, String);

/// A target file, read and checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TargetConfig {
    /// What a report calls the target.
    pub name: String,
    /// What it is, for people.
    #[serde(default)]
    pub about: String,
    /// Whether all of it may be lost: nobody else needs what is there.
    #[serde(default)]
    pub disposable: bool,
    /// Who speaks to it.
    pub adapter: AdapterKind,
    /// The address of each node: `http://host:port` for `http`, `host:port` for the other stores; absent
    /// where the nodes are those of a lab.
    #[serde(default)]
    pub(super) nodes: BTreeMap<String, Spanned<String>>,
    /// How long an operation may take before it is given up; 1 s if not said.
    #[serde(default)]
    pub timeout: Patience<1_000>,
    /// How long a connection may take to be made; half of `timeout` if not said.
    pub connect_timeout: Option<Patience<500>>,
    /// Variables of the commands. A variable of that name around rashomon wins over the value here.
    /// They are written to the fault journal: no place for secrets.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// At which node what is routed to a given node is done.
    #[serde(default)]
    pub follow: Follow,
    /// How often the nodes are asked who leads; 250 ms if not said.
    #[serde(default)]
    pub(super) primary_refresh: Patience<250>,
    /// Headers of every request; `${env:NAME}` is filled in when the target is opened.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Spanned<Template>>,
    /// How every request is signed.
    pub(super) sigv4: Option<Spanned<SignatureOptions>>,
    /// How a node says that it is ready.
    pub(super) ready: Option<Ready>,
    /// How a node says that it is the primary.
    pub(super) primary: Option<Spanned<PrimaryQuestion>>,
    /// How each operation is asked.
    #[serde(default)]
    pub(super) operation: BTreeMap<OperationName, HttpOperation>,
    /// The options of the adapter of that name.
    pub(super) redis: Option<Spanned<RedisOptions>>,
    pub(super) postgres: Option<Spanned<SqlOptions>>,
    pub(super) mysql: Option<Spanned<SqlOptions>>,
    pub(super) tarantool: Option<Spanned<TarantoolOptions>>,
    pub(super) zookeeper: Option<Spanned<ZookeeperOptions>>,
    pub(super) nats: Option<Spanned<NatsOptions>>,
    pub(super) rabbitmq: Option<Spanned<RabbitmqOptions>>,
    pub(super) process: Option<Spanned<ProcessOptions>>,
    /// How each fault is injected and undone.
    #[serde(default)]
    pub(super) fault: BTreeMap<String, FaultCommands>,
    /// The nodes undo every fault by themselves when nothing was heard for so long; 30 s if not said.
    #[serde(default)]
    pub(super) heal_within: Patience<30_000>,
    /// Puts that off, as long as the run lives.
    pub(super) renew: Option<Renew>,
    /// Run on each node before the run.
    pub(super) setup: Option<Hook>,
    /// Run on each node after the run, on every way out.
    pub(super) teardown: Option<Hook>,
    /// The lab whose nodes are driven: a real cluster that is brought up for the run.
    pub lab: Option<Spanned<LabChoice>>,
    /// Whether the keys of a run are left there for people to look at.
    #[serde(default)]
    pub(super) keep_keys: bool,
    /// What the keys of the run begin with, if several machines drive it.
    #[serde(skip)]
    pub run: Option<String>,
    /// What the workload does to its keys: whoever reads them need not have written any.
    #[serde(skip)]
    pub does: Vec<Function>,
    /// The proxy through which nodes and clients talk.
    pub proxy: Option<Spanned<ProxyChoice>>,
    /// How the nodes are reached to be broken, where rashomon knows the way.
    pub road: Option<Spanned<RoadChoice>>,
    /// From the lab: a command that ends well on the node that is the primary.
    #[serde(skip)]
    pub(super) primary_command: Option<String>,
    /// From the road: how it is begun and ended.
    #[serde(skip)]
    pub(super) way: Option<Way>,
}

/// Why a target file cannot be used, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// What is wrong at a place of a text, counted in bytes.
    pub(crate) fn at(file: &str, text: &str, start: usize, message: String) -> Self {
        let before = text.get(..start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Self { file: file.to_owned(), line, column, message }
    }

    /// What the parser says, with the nearest known word.
    pub(crate) fn from_toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let message = error.message();
        let hint = suggestion(message)
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        let start = error.span().map_or(0, |span| span.start);
        Self::at(file, text, start, format!("{message}{hint}"))
    }
}

/// At which node an operation is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Follow {
    /// The one that the workload's routing says.
    #[default]
    Given,
    /// What writes, at the one that is believed to be the primary; what only reads, as routed.
    Primary,
}

/// `[sigv4]`: AWS Signature Version 4 for a service of a region. Key and secret may be `${env:NAME}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignatureOptions {
    pub service: String,
    pub region: String,
    pub key: Template,
    pub secret: Template,
}

/// How a node says that it is ready to be driven.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ready {
    #[serde(default = "root")]
    pub path: String,
    /// The first that matches must say `ok`; any answer will do where there are none.
    #[serde(default)]
    pub answer: Vec<Spanned<Rule>>,
    /// How long to wait for it.
    #[serde(default)]
    pub within: Patience<10_000>,
}

fn root() -> String {
    "/".to_owned()
}

/// How a node is asked whether it is the primary: it is if the first rule that matches says `ok`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrimaryQuestion {
    pub method: Method,
    pub path: String,
    pub body: Option<String>,
    pub answer: Vec<Spanned<Rule>>,
}

/// The commands of one kind of fault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FaultCommands {
    pub inject: String,
    /// Must do no harm when it is run again, or without the fault.
    pub undo: String,
    /// Ends well if the fault is really in force, with status 1 if it is not.
    pub probe: Option<String>,
    #[serde(default)]
    pub timeout: Patience<10_000>,
    /// Of a partition: one command cuts all links, with `cuts` (`n1>n2 n2>n1`: nothing that n1 sends
    /// reaches n2, nor the other way) in the place of `node` and `peer`.
    #[serde(default)]
    pub at_once: bool,
    /// They are those of a lab or a road, and not of the file.
    #[serde(skip)]
    pub furnished: bool,
}

/// A command around a run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hook {
    pub command: String,
    #[serde(default)]
    pub timeout: Patience<30_000>,
}

/// `http://host:port` with an optional path, without a slash at its end.
fn base_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| {
        format!("{text}: {error}; expected an address like http://10.0.0.1:2379")
    })?;
    if url.scheme() != "http" {
        return Err(format!("{text}: expected http://…; there is no TLS here"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // The message leaves out the address: it has a secret in it.
        let message = "an address must hold no user and password; put a header with ${env:NAME} \
                       into [headers]";
        return Err(message.to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{text}: expected an address without `?` and `#`"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// `host:port`.
fn host_and_port(text: &str) -> Result<String, String> {
    let split = text.rsplit_once(':');
    let sound = split.is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok()
    });
    // The message leaves out the text: it may have a secret in it.
    if sound { Ok(text.to_owned()) } else { Err("expected an address like 10.0.0.1:6379".into()) }
}

/// A time that is waited at most, written `500ms` or `10s`; `DEFAULT` milliseconds if not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Patience<const DEFAULT: u64>(pub Duration);

impl<const DEFAULT: u64> Default for Patience<DEFAULT> {
    fn default() -> Self {
        Self(Duration::from_millis(DEFAULT))
    }
}

impl<const DEFAULT: u64> TryFrom<toml::Value> for Patience<DEFAULT> {
    type Error = String;

    fn try_from(written: toml::Value) -> Result<Self, String> {
        // A number has no unit: it is no time either.
        written.as_str().map_or_else(|| written.to_string(), str::to_owned).try_into()
    }
}

impl<const DEFAULT: u64> TryFrom<String> for Patience<DEFAULT> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor = match unit {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            _ => None,
        };
        let millis = number.parse::<u64>().ok().zip(factor).and_then(|(n, one)| n.checked_mul(one));
        match millis {
            Some(millis @ 1..=86_400_000) => Ok(Self(Duration::from_millis(millis))),
            _ => Err(format!("`{text}` is no time limit; expected one like 500ms, 10s or 2m")),
        }
    }
}

impl TargetConfig {
    /// Reads a target file; `file` is its name for errors, and the place beside which the file lies that
    /// it may extend.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let error = |start, message| ConfigError::at(file, text, start, message);
        let mut below = String::new();
        let table = extends::table(file, text, &mut below)?;
        let mut config = Self::deserialize(toml::de::Deserializer::from(table))
            .map_err(|error| ConfigError::from_toml(file, text, &error))?;
        config.validate().map_err(|(span, message)| error(span.start, message))?;
        config.settle_addresses().map_err(|(span, message)| error(span.start, message))?;
        if let Some(lab) = &config.lab {
            let message = if config.road.is_some() {
                "a lab is its own road; leave out [road] or [lab]"
            } else if !config.nodes.is_empty() {
                "the nodes are those of the lab; leave out [nodes] or [lab]"
            } else if !lab.get_ref().url.contains("${address}") {
                "`url` is the address of every node; expected `${address}` in it"
            } else {
                return Ok(config);
            };
            return Err(error(lab.span().start, message.to_owned()));
        }
        if config.nodes.is_empty() {
            return Err(error(0, "no nodes; expected [nodes] with one address each".to_owned()));
        }
        if let Some(road) = &config.road {
            road.get_ref().validate(&config).map_err(|why| error(road.span().start, why))?;
        }
        Ok(config)
    }

    /// Puts every address into the form its adapter expects.
    pub(super) fn settle_addresses(&mut self) -> Result<(), Complaint> {
        for address in self.nodes.values_mut() {
            let settled = match self.adapter.addresses() {
                Addresses::Url => base_url(address.get_ref()),
                Addresses::HostAndPort => host_and_port(address.get_ref()),
                Addresses::Any => Ok(address.get_ref().clone()),
            };
            *address.get_mut() = settled.map_err(|message| (address.span(), message))?;
        }
        Ok(())
    }

    /// What is only for an adapter that this target does not have.
    fn foreign_section(&self) -> Option<Complaint> {
        use AdapterKind as A;
        let http = [
            ("headers", self.headers.values().next().map(Spanned::span)),
            ("operation", self.operation.values().next().map(|one| one.path.span())),
            ("sigv4", self.sigv4.as_ref().map(Spanned::span)),
            ("primary", self.primary.as_ref().map(Spanned::span)),
        ];
        let own = [
            (A::Redis, self.redis.as_ref().map(Spanned::span)),
            (A::Postgres, self.postgres.as_ref().map(Spanned::span)),
            (A::Mysql, self.mysql.as_ref().map(Spanned::span)),
            (A::Tarantool, self.tarantool.as_ref().map(Spanned::span)),
            (A::Zookeeper, self.zookeeper.as_ref().map(Spanned::span)),
            (A::Nats, self.nats.as_ref().map(Spanned::span)),
            (A::Rabbitmq, self.rabbitmq.as_ref().map(Spanned::span)),
            (A::Process, self.process.as_ref().map(Spanned::span)),
        ];
        let of_http = http.into_iter().map(|(name, span)| (A::Http, name, span));
        let all = of_http.chain(own.into_iter().map(|(kind, span)| (kind, kind.name(), span)));
        let mut foreign = all.filter(|(kind, ..)| *kind != self.adapter);
        foreign.find_map(|(kind, section, span)| {
            let (kind, own) = (kind.name(), self.adapter.name());
            let message =
                format!("[{section}] is for adapter = \"{kind}\", and this target has \"{own}\"");
            Some((span?, message))
        })
    }

    fn validate(&self) -> Result<(), Complaint> {
        if let Some(foreign) = self.foreign_section() {
            return Err(foreign);
        }
        if self.heal_within.0 < SHORTEST_DEADLINE {
            let message = "heal-within: expected at least 3s, for nodes look at their clock about \
                           once a second";
            return Err((0..0, message.to_owned()));
        }
        if self.adapter == AdapterKind::Process && self.process.is_none() {
            let message = "adapter = \"process\" needs a section [process] with its `command`";
            return Err((0..0, message.to_owned()));
        }
        for sql in [&self.postgres, &self.mysql].into_iter().flatten() {
            sql.get_ref().validate().map_err(|message| (sql.span(), message))?;
        }
        let headers = self.headers.values().map(|one| ("a header", one.span(), one.get_ref()));
        let signed = self.sigv4.iter().flat_map(|one| {
            let options = one.get_ref();
            [&options.key, &options.secret].map(|template| ("[sigv4]", one.span(), template))
        });
        for (place, span, template) in headers.chain(signed) {
            let is_of_run = |one: &&Placeholder| !matches!(one, Placeholder::Environment(_));
            if let Some(placeholder) = template.placeholders().find(is_of_run) {
                let written = placeholder.written();
                let message = format!("{written} cannot stand in {place}; expected ${{env:NAME}}");
                return Err((span, message));
            }
        }
        for (name, operation) in &self.operation {
            operation.validate(*name)?;
        }
        validate_rules(self.primary.as_ref().map_or(&[], |question| &question.get_ref().answer))?;
        validate_rules(self.ready.as_ref().map_or(&[], |ready| &ready.answer))
    }

    /// Every node with its address: `n2` before `n10`.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (Arc<str>, &str)> {
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_by_key(|(name, _)| (name.len(), *name));
        nodes.into_iter().map(|(name, url)| (Arc::from(name.as_str()), url.get_ref().as_str()))
    }

    /// The functions it knows how to ask for.
    pub fn functions(&self) -> impl Iterator<Item = Function> {
        let described = self.operation.keys().filter_map(|name| match name {
            OperationName::Function(function) => Some(*function),
            OperationName::CasAbsent | OperationName::Final | OperationName::Delete => None,
        });
        let known = match (&self.process, self.adapter.functions()) {
            (Some(process), _) => process.get_ref().functions.clone(),
            (None, known) => known.to_vec(),
        };
        described.chain(known)
    }

    /// The names of the faults it knows how to inject.
    pub fn faults(&self) -> impl Iterator<Item = &str> {
        self.fault.keys().map(String::as_str)
    }

    /// Whether the file itself says how a fault is undone.
    pub fn has_own_faults(&self) -> bool {
        self.fault.values().any(|fault| !fault.furnished)
    }

    /// What the header of a history says of it; nothing secret.
    pub fn description(&self) -> Value {
        let text = |text: &str| Value::text(text);
        let map = |entries: Vec<(Value, Value)>| Value::Map(entries.into());
        let nodes = self.nodes().map(|(name, url)| (Value::Text(name), text(url))).collect();
        let millis = self.timeout.0.as_millis() as i64;
        map(vec![
            (text("name"), text(&self.name)),
            (text("adapter"), text(self.adapter.name())),
            (text("nodes"), map(nodes)),
            (text("timeout-ms"), Value::Int(millis)),
            (text("faults"), Value::list(self.faults().map(text))),
        ])
    }

    /// After which time faults end by themselves when nobody renews them.
    pub(crate) fn heal_within(&self) -> Duration {
        self.heal_within.0
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout.map_or(self.timeout.0 / 2, |patience| patience.0)
    }
}

pub(super) fn unknown<'a>(
    what: &str,
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let hint = nearest(word, known.iter().copied())
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!("unknown {what} `{word}`{hint} (known: {})", known.join(", "))
}

/// The nearest of the words that serde's "unknown field `…`, expected one of `…`, `…`" lists.
pub(super) fn suggestion(message: &str) -> Option<&str> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let word = quoted.next()?;
    nearest(word, quoted)
}
