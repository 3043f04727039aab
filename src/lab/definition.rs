//! The definition of a lab: what a store needs, and how a node of it is prepared, started and asked.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use toml::Spanned;

use crate::model::nearest;
use crate::target::{ConfigError, Patience};

/// The definitions that come with rashomon: name and text.
pub const DEFINITIONS: &[(&str, &str)] = &[
    ("etcd", include_str!("../../workloads/lab/etcd.toml")),
    ("galera", include_str!("../../workloads/lab/galera.toml")),
    ("garage", include_str!("../../workloads/lab/garage.toml")),
    ("mariadb", include_str!("../../workloads/lab/mariadb.toml")),
    ("nats", include_str!("../../workloads/lab/nats.toml")),
    ("postgres", include_str!("../../workloads/lab/postgres.toml")),
    ("rabbitmq", include_str!("../../workloads/lab/rabbitmq.toml")),
    ("redis", include_str!("../../workloads/lab/redis.toml")),
    ("tarantool", include_str!("../../workloads/lab/tarantool.toml")),
    ("zookeeper", include_str!("../../workloads/lab/zookeeper.toml")),
];

/// The most nodes that a lab may have. Each doubles the datagrams that see whether a link is whole.
pub const MOST_NODES: usize = 9;

/// Variables that every step gets; no setting may be called so.
const VARIABLES: [&str; 31] = [
    "node",
    "index",
    "address",
    "home",
    "data",
    "namespace",
    "nodes",
    "addresses",
    "count",
    "first",
    "lab",
    "bridge",
    "network",
    "link",
    "disk",
    "fault",
    "cuts",
    "delay_ms",
    "jitter_ms",
    "loss",
    "duplicate",
    "reorder",
    "rate_kbit",
    "offset_ms",
    "drift_ppm",
    "strobe_ms",
    "cpu",
    "limit_mb",
    "file",
    "bytes",
    "bits",
];

/// What a store needs to run here, read and checked.
///
/// Its steps are shell text as it stands, run inside the node: what they need to know comes as
/// environment variables. `node` and `index` (`n2`, `2`), `address`, `data` (a directory of the
/// node's own, where the step runs), of all nodes `nodes`, `addresses`, `count` and `first` (the
/// address of the first node), `network` (`10.77.0.0/24`), and every setting by its name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The name of the store, and of a lab of it that is given no other.
    pub name: Spanned<String>,
    /// What it is, for people.
    pub about: String,
    /// How many nodes there are if nobody says.
    pub nodes: Spanned<usize>,
    /// What must be installed.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// What may be chosen with `--set`.
    #[serde(default)]
    pub settings: BTreeMap<String, Spanned<Setting>>,
    /// Whether a node must be ready before the next is prepared.
    #[serde(default, rename = "one-by-one")]
    pub one_by_one: bool,
    /// How long all may take together until they are ready.
    #[serde(default)]
    pub boot: Patience<60_000>,
    /// Run before the processes of a node start for the first time.
    pub prepare: Option<Spanned<String>>,
    /// The processes of a node, in the order they are started.
    pub process: Vec<Process>,
    /// Ends well when the node is ready.
    pub ready: Spanned<String>,
    /// Run on every node in order when all are ready.
    pub finish: Option<Spanned<String>>,
    /// Ends well if the node is the primary, as far as it knows; what it prints may be its term.
    pub primary: Option<Spanned<String>>,
    /// Makes the node the primary; the fault `promote`.
    pub promote: Option<Spanned<String>>,
}

/// A program that must be there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// Its name, to be found in `PATH`, or a path.
    pub program: String,
    /// The package of Debian that has it, or what else to do about it.
    pub package: String,
}

/// Something that may be chosen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its value if nobody says.
    pub default: String,
    /// The values it may have; any if there are none.
    #[serde(default)]
    pub values: Vec<String>,
    /// What it does.
    pub about: String,
}

/// A process of a node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// What its log is called.
    pub name: Spanned<String>,
    /// Becomes the server: `exec server …`, in the foreground.
    pub command: Spanned<String>,
}

/// A mistake and where it stands.
type Mistake = (Range<usize>, String);

impl Definition {
    /// The embedded definition of that name, or the one in a file of that path.
    pub fn find(store: &str) -> Result<Self, String> {
        let embedded = DEFINITIONS.iter().find(|(name, _)| *name == store);
        if let Some((name, text)) = embedded {
            return Self::parse(name, text).map_err(|error| error.to_string());
        }
        if !Self::is_path(store) {
            let names = || DEFINITIONS.iter().map(|(name, _)| *name);
            let near = nearest(store, names())
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let known: Vec<&str> = names().collect();
            return Err(format!(
                "no definition of `{store}`{near} (known: {}; or the path of a file)",
                known.join(", ")
            ));
        }
        let text = std::fs::read_to_string(store)
            .map_err(|error| format!("failed to read {store}: {error}"))?;
        Self::parse(store, &text).map_err(|error| error.to_string())
    }

    /// Whether that is the path of a definition, and not a name.
    pub fn is_path(store: &str) -> bool {
        store.contains('/') || Path::new(store).extension().is_some_and(|end| end == "toml")
    }

    /// Reads a definition; `file` is its name for errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let definition: Self =
            toml::from_str(text).map_err(|error| ConfigError::from_toml(file, text, &error))?;
        match definition.mistake() {
            Some((span, message)) => Err(ConfigError::at(file, text, span.start, message)),
            None => Ok(definition),
        }
    }

    fn mistake(&self) -> Option<Mistake> {
        let named = std::iter::once(&self.name).chain(self.process.iter().map(|one| &one.name));
        for name in named {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.get_ref().is_empty() || !name.get_ref().chars().all(fits) {
                let message = "a name has small letters, digits and `-` only".to_owned();
                return Some((name.span(), message));
            }
        }
        if !(1..=MOST_NODES).contains(self.nodes.get_ref()) {
            return Some((self.nodes.span(), format!("expected 1 to {MOST_NODES} nodes")));
        }
        if self.process.is_empty() {
            let message = "no process; expected at least one [[process]]".to_owned();
            return Some((self.name.span(), message));
        }
        for (name, setting) in &self.settings {
            let fits = |c: char| c.is_ascii_lowercase() || c == '_';
            let Setting { default, values, .. } = setting.get_ref();
            let wrong = if !name.chars().all(fits) {
                "the name of a setting has small letters and `_` only".to_owned()
            } else if VARIABLES.contains(&&**name) {
                format!("`{name}` is a variable that every step has; choose another name")
            } else if !values.is_empty() && !values.contains(default) {
                format!("the default `{default}` of `{name}` is none of its values")
            } else {
                continue;
            };
            return Some((setting.span(), wrong));
        }
        None
    }

    /// Asks the shell whether it understands every step; the first that it does not is the error.
    pub fn lint(&self, file: &str, text: &str) -> Result<(), ConfigError> {
        let commands = self.process.iter().map(|process| &process.command);
        let steps = self.steps().map(|(_, step)| step);
        for step in commands.chain(steps) {
            if let Err(why) = understood(step.get_ref()) {
                return Err(ConfigError::at(file, text, step.span().start, why));
            }
        }
        Ok(())
    }

    /// Every step that there is, with its name.
    pub(super) fn steps(&self) -> impl Iterator<Item = (&'static str, &Spanned<String>)> {
        let steps = [
            ("prepare", self.prepare.as_ref()),
            ("ready", Some(&self.ready)),
            ("finish", self.finish.as_ref()),
            ("primary", self.primary.as_ref()),
            ("promote", self.promote.as_ref()),
        ];
        steps.into_iter().filter_map(|(name, step)| Some((name, step?)))
    }

    /// The value of every setting, as it was chosen or by default.
    pub fn settle(&self, chosen: &[(String, String)]) -> Result<BTreeMap<String, String>, String> {
        let default = |(name, setting): (&String, &Spanned<Setting>)| {
            (name.clone(), setting.get_ref().default.clone())
        };
        let mut settled: BTreeMap<String, String> = self.settings.iter().map(default).collect();
        for (name, value) in chosen {
            let names = || self.settings.keys().map(String::as_str);
            let Some(setting) = self.settings.get(name) else {
                let near = nearest(name, names())
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                let known: Vec<&str> = names().collect();
                let (store, known) = (self.name.get_ref(), known.join(", "));
                return Err(format!("{store} has no setting `{name}`{near} (known: {known})"));
            };
            let values = &setting.get_ref().values;
            if !values.is_empty() && !values.contains(value) {
                let values = values.join(", ");
                return Err(format!("{name} = `{value}`: expected one of {values}"));
            }
            settled.insert(name.clone(), value.clone());
        }
        Ok(settled)
    }

    /// What is not installed, and how it is.
    pub fn missing(&self) -> Option<String> {
        let tools =
            [("ip", "iproute2"), ("nft", "nftables"), ("bash", "bash"), ("flock", "util-linux")];
        let tools = tools.map(|(program, package)| Need {
            program: program.to_owned(),
            package: package.to_owned(),
        });
        let lacking: Vec<&Need> =
            tools.iter().chain(&self.needs).filter(|need| !is_there(&need.program)).collect();
        if lacking.is_empty() {
            return None;
        }
        let programs: Vec<&str> = lacking.iter().map(|need| &*need.program).collect();
        let mut packages: Vec<&str> = lacking.iter().map(|need| &*need.package).collect();
        packages.sort_unstable();
        packages.dedup();
        // A package that is no word is a sentence on how else to get the program.
        let (sentences, packages): (Vec<&str>, Vec<&str>) =
            packages.into_iter().partition(|package| package.contains(' '));
        let mut message = format!("{} needs {}", self.name.get_ref(), programs.join(", "));
        if !packages.is_empty() {
            message.push_str(": apt-get install --no-install-recommends ");
            message.push_str(&packages.join(" "));
        }
        for sentence in sentences {
            message.push_str("; ");
            message.push_str(sentence);
        }
        Some(message)
    }
}

fn is_there(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether a shell can read this text; nothing of it is run.
fn understood(step: &str) -> Result<(), String> {
    let shell = Command::new("sh")
        .arg("-n")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut shell = shell.map_err(|error| format!("cannot run sh: {error}"))?;
    if let Some(mut input) = shell.stdin.take() {
        // A shell that has seen enough closes its end.
        let _ = input.write_all(step.as_bytes());
    }
    let output =
        shell.wait_with_output().map_err(|error| format!("cannot wait for sh: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("the shell does not understand this step: {}", said.trim()))
}
