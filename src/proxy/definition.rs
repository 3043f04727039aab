//! The proxy file: which links there are, and where each listens.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::target::ConfigError;

/// What stands for all clients in the place of a node.
pub const CLIENTS: &str = "clients";

/// What is wrong, and where in the text.
type Complaint = (Range<usize>, String);

/// One direction between two: what `from` sends to `to`; written `n1>n2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Way {
    /// Who sends.
    pub from: String,
    /// Whom it is for.
    pub to: String,
}

impl Way {
    fn new(from: &str, to: &str) -> Self {
        Self { from: from.to_owned(), to: to.to_owned() }
    }

    /// The other direction.
    #[must_use]
    pub fn back(&self) -> Self {
        Self::new(&self.to, &self.from)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}>{}", self.from, self.to)
    }
}

impl TryFrom<String> for Way {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('>') {
            Some((from, to)) if is_name(from) && is_name(to) && from != to => {
                Ok(Self::new(from, to))
            }
            _ => Err(format!("`{text}` is no direction of a link; expected one like n1>n2")),
        }
    }
}

impl From<Way> for String {
    fn from(way: Way) -> Self {
        way.to_string()
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))
}

/// A port of the proxy: whoever connects to it is connected to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Who connects here: one name where the port says it, several where it must be found out.
    pub from: Vec<String>,
    /// The node behind it.
    pub to: String,
    /// Where the proxy listens.
    pub listen: SocketAddr,
    /// Where the node listens.
    pub connect: String,
}

/// A proxy file, read and checked.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Where rules are set: an address of this machine alone.
    pub control: SocketAddr,
    /// Every port.
    pub ports: Vec<Port>,
    /// Who never talks to each other, so that nothing between them has to be stopped.
    pub apart: Vec<[String; 2]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    control: Spanned<SocketAddr>,
    apart: Option<Spanned<Vec<[String; 2]>>>,
    #[serde(default)]
    link: Vec<Spanned<Link>>,
    cluster: Option<Spanned<Cluster>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    from: Spanned<String>,
    to: Spanned<String>,
    listen: Spanned<SocketAddr>,
    connect: Spanned<String>,
}

/// All links of a cluster in a few lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cluster {
    /// The ports lie behind this one.
    listen: SocketAddr,
    /// Where each node listens for the others.
    peers: BTreeMap<String, String>,
    /// Where each node listens for clients.
    #[serde(default)]
    clients: BTreeMap<String, String>,
    #[serde(default)]
    sender: Sender,
}

/// How it is known who sends.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Sender {
    /// Every other node is told another port.
    #[default]
    Port,
    /// All are told the same port; who it is is found out.
    Source,
}

/// The most nodes of a short form: a digit each.
const MOST_NODES: usize = 9;

impl Definition {
    /// Reads a proxy file; `file` is its name for errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let read: File =
            toml::from_str(text).map_err(|error| ConfigError::from_toml(file, text, &error))?;
        read.settle().map_err(|(span, message)| ConfigError::at(file, text, span.start, message))
    }

    /// Every link, named after who opens its connections.
    pub fn links(&self) -> impl Iterator<Item = (Way, &Port)> {
        self.ports
            .iter()
            .flat_map(|port| port.from.iter().map(move |from| (Way::new(from, &port.to), port)))
    }

    /// Every node that has a link.
    pub fn nodes(&self) -> Vec<&str> {
        let ends = self.ports.iter().flat_map(|port| port.from.iter().chain([&port.to]));
        let mut nodes: Vec<&str> =
            ends.map(String::as_str).filter(|name| *name != CLIENTS).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

impl File {
    fn settle(self) -> Result<Definition, Complaint> {
        if !self.control.get_ref().ip().is_loopback() || self.control.get_ref().port() == 0 {
            let message = "whoever reaches it may cut the links; expected an address like \
                           127.0.0.1:7100";
            return Err((self.control.span(), message.to_owned()));
        }
        let mut places = Vec::new();
        for link in self.link {
            let span = link.span();
            places.push((span, link.into_inner().port()?));
        }
        if let Some(cluster) = self.cluster {
            let span = cluster.span();
            let ports = cluster.into_inner().ports().map_err(|why| (span.clone(), why))?;
            places.extend(ports.into_iter().map(|port| (span.clone(), port)));
        }
        if places.is_empty() {
            let message = "no links; expected [[link]] or [cluster]".to_owned();
            return Err((self.control.span(), message));
        }
        let mut taken = BTreeMap::from([(*self.control.get_ref(), "control".to_owned())]);
        for (span, port) in &places {
            let name = format!("{}>{}", port.from.join(","), port.to);
            if let Some(other) = taken.insert(port.listen, name) {
                return Err((span.clone(), format!("{} is that of {other} too", port.listen)));
            }
        }
        let ports = places.into_iter().map(|(_, port)| port).collect();
        let apart_span = self.apart.as_ref().map_or(0..0, Spanned::span);
        let apart = self.apart.map(Spanned::into_inner).unwrap_or_default();
        let definition = Definition { control: *self.control.get_ref(), ports, apart };
        let nodes = definition.nodes();
        let strange =
            definition.apart.iter().flatten().find(|name| !nodes.contains(&name.as_str()));
        match strange {
            Some(name) => Err((apart_span, format!("no link has a node `{name}`"))),
            None => Ok(definition),
        }
    }
}

impl Link {
    fn port(self) -> Result<Port, Complaint> {
        for name in [&self.from, &self.to] {
            if !is_name(name.get_ref()) {
                let message = "expected the name of a node, or \"clients\"".to_owned();
                return Err((name.span(), message));
            }
        }
        if self.from.get_ref() == self.to.get_ref() || self.to.get_ref() == CLIENTS {
            let message = "a link leads from somebody to another node".to_owned();
            return Err((self.to.span(), message));
        }
        if !is_address(self.connect.get_ref()) {
            let message = "expected an address like 127.0.0.1:2380".to_owned();
            return Err((self.connect.span(), message));
        }
        if self.listen.get_ref().port() == 0 {
            return Err((self.listen.span(), "expected a port that others can be told".to_owned()));
        }
        Ok(Port {
            from: vec![self.from.into_inner()],
            to: self.to.into_inner(),
            listen: self.listen.into_inner(),
            connect: self.connect.into_inner(),
        })
    }
}

fn is_address(text: &str) -> bool {
    let split = text.rsplit_once(':');
    split.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}

impl Cluster {
    /// Behind the port P, clients reach the node j at P+j, node i reaches it at P+10i+j, and all nodes
    /// reach it at P+10j where they share a port.
    fn ports(self) -> Result<Vec<Port>, String> {
        let mut names: Vec<&String> = self.peers.keys().collect();
        names.sort_by_key(|name| (name.len(), *name));
        if !(2..=MOST_NODES).contains(&names.len()) {
            return Err(format!("expected 2 to {MOST_NODES} nodes in `peers`"));
        }
        if let Some(stranger) = self.clients.keys().find(|name| !self.peers.contains_key(*name)) {
            return Err(format!("`clients` has a node {stranger} that `peers` has not"));
        }
        if let Some(bad) = names.iter().find(|name| !is_name(name) || **name == CLIENTS) {
            return Err(format!("`{bad}` is no name of a node"));
        }
        let addresses = || self.peers.values().chain(self.clients.values());
        if let Some(bad) = addresses().find(|address| !is_address(address)) {
            return Err(format!("`{bad}` is no address; expected one like 127.0.0.1:2380"));
        }
        if self.listen.port().checked_add(100).is_none() {
            return Err("the ports behind `listen` end at 65535".to_owned());
        }
        let port = |from: Vec<String>, to: &str, offset: usize, connect: &str| {
            let listen = SocketAddr::new(self.listen.ip(), self.listen.port() + offset as u16);
            Port { from, to: to.to_owned(), listen, connect: connect.to_owned() }
        };
        let mut ports = Vec::new();
        for (j, to) in names.iter().enumerate() {
            if let Some(connect) = self.clients.get(*to) {
                ports.push(port(vec![CLIENTS.to_owned()], to, j + 1, connect));
            }
            let others = names.iter().enumerate().filter(|(i, _)| *i != j);
            let connect = &self.peers[*to];
            if self.sender == Sender::Source {
                let others = others.map(|(_, name)| (*name).clone()).collect();
                ports.push(port(others, to, 10 * (j + 1), connect));
                continue;
            }
            for (i, from) in others {
                ports.push(port(vec![(*from).clone()], to, 10 * (i + 1) + j + 1, connect));
            }
        }
        Ok(ports)
    }
}
