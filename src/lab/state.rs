//! A lab that is up: where it lies, what can be asked of its nodes, and how it is taken down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lab::definition::Definition;
use crate::target::{self, Network, TargetError};

/// The journal of what was made for a lab, in its directory.
pub(super) const JOURNAL: &str = "made.jsonl";

/// What a lab is, in its directory.
pub(super) const STATE: &str = "lab.json";

/// There once the lab is wholly up.
pub(super) const UP: &str = "up";

/// With these, `setpriv` runs a command that dies with its parent: what `up` has under way must not go
/// on making things when `up` was killed.
pub(super) const BOUND: [&str; 2] = ["--pdeathsig", "KILL"];

/// A lab that is up, or was left half-way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lab {
    /// Its name.
    pub name: String,
    /// The store it runs.
    pub store: String,
    /// What its bridge, its table and its namespaces are called, and which network it has.
    pub number: u8,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// The settings of the store.
    pub settings: BTreeMap<String, String>,
    /// What its nodes are linked by.
    #[serde(default)]
    pub network: Network,
    /// How large the disk of each node is, as `truncate` wants it; absent where all have that of the
    /// machine.
    #[serde(default)]
    pub disk: Option<String>,
    /// The steps its definition has.
    pub steps: BTreeSet<String>,
    /// Where it lies.
    pub directory: PathBuf,
}

/// A node of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `n1`, `n2`, …
    pub name: String,
    /// Its address.
    pub address: String,
}

/// What a node is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// The names of its processes.
    pub processes: Vec<String>,
    /// Whether it says that it is ready.
    pub ready: bool,
    /// Whether it says that it is the primary; `None` where the definition cannot ask.
    pub primary: Option<bool>,
}

/// Why something could not be done with a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabError {
    /// It cannot be what was meant: no such store, lab, node or setting (exit code 3).
    Input(String),
    /// It could not be brought up or asked (exit code 4).
    Failed(String),
    /// Something of it could not be removed (exit code 5).
    Left(String),
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(why) | Self::Failed(why) | Self::Left(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for LabError {}

/// The variable that says where labs lie.
pub(super) const LABS: &str = "RASHOMON_LABS";

/// Where labs lie: as `RASHOMON_LABS` says, or `/var/lib/rashomon/labs`. Not below `/tmp` or `/run`, which are
/// other directories inside a node.
pub(super) fn root() -> PathBuf {
    std::env::var_os(LABS).map_or_else(|| "/var/lib/rashomon/labs".into(), PathBuf::from)
}

impl Lab {
    /// The lab of that name; of a path, the lab named after the definition in it.
    pub fn find(name: &str) -> Result<Self, LabError> {
        let directory = Self::directory_of(name)?;
        if directory.join(STATE).exists() {
            return Self::read(&directory);
        }
        Err(LabError::Input(if directory.exists() {
            format!("the lab {name} was left half-way; remove it with `rashomon lab down {name}`")
        } else {
            let all = Self::names().join(", ");
            let up = if all.is_empty() { "none is".to_owned() } else { all };
            format!("no lab {name} is up ({up})")
        }))
    }

    /// The lab in that directory.
    pub(super) fn read(directory: &Path) -> Result<Self, LabError> {
        let state = directory.join(STATE);
        let failed = |error: &dyn fmt::Display| {
            LabError::Failed(format!("failed to read {}: {error}", state.display()))
        };
        let text = fs::read_to_string(&state).map_err(|error| failed(&error))?;
        serde_json::from_str(&text).map_err(|error| failed(&error))
    }

    /// The names of the labs that are up or were left half-way.
    pub fn names() -> Vec<String> {
        let entries = fs::read_dir(root()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    fn directory_of(name: &str) -> Result<PathBuf, LabError> {
        if Definition::is_path(name) {
            let definition = Definition::find(name).map_err(LabError::Input)?;
            return Ok(root().join(definition.name.get_ref()));
        }
        if name.is_empty() || name.starts_with('.') {
            return Err(LabError::Input(format!("`{name}` is no name of a lab")));
        }
        Ok(root().join(name))
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Result<&Node, LabError> {
        self.nodes.iter().find(|node| node.name == name).ok_or_else(|| {
            let all: Vec<&str> = self.nodes.iter().map(|node| &*node.name).collect();
            LabError::Input(format!("{} has no node {name}, only {}", self.name, all.join(", ")))
        })
    }

    /// The script that does something to nodes, with its arguments.
    pub fn script(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("bash");
        command.arg(self.directory.join("lab.sh")).args(arguments).stdin(Stdio::null());
        command
    }

    /// The script for the time that this process lives: it dies with it. What it has started goes on.
    pub(super) fn bound_script(&self, arguments: &[&str]) -> Command {
        let script = self.script(arguments);
        let mut command = Command::new("setpriv");
        command.args(BOUND).arg(script.get_program()).args(script.get_args()).stdin(Stdio::null());
        command
    }

    /// Runs the script to its end and returns what it printed.
    pub fn act(&self, arguments: &[&str]) -> Result<String, LabError> {
        let output = self
            .bound_script(arguments)
            .output()
            .map_err(|error| LabError::Failed(format!("cannot run bash: {error}")))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(LabError::Failed(format!("{}: {}", arguments.join(" "), said.trim())))
    }

    /// What a node is doing. Asks it.
    pub fn status(&self, node: &Node) -> NodeStatus {
        let namespace = format!("{}-{}", self.bridge(), node.name);
        let pids = Command::new("ip").args(["netns", "pids", &namespace]).output();
        let pids = pids.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let mut processes: Vec<String> = pids
            .unwrap_or_default()
            .lines()
            .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok())
            .map(|name| name.trim().to_owned())
            .collect();
        processes.sort();
        let says = |step: &str| self.act(&["step", &node.name, step]).is_ok();
        let primary = self.steps.contains("primary").then(|| says("primary"));
        NodeStatus { processes, ready: says("ready"), primary }
    }

    /// The links that faults have cut: `n1>n2`, nothing that n1 sends reaches n2.
    pub fn cuts(&self) -> Vec<String> {
        let files = fs::read_dir(self.directory.join("cuts")).into_iter().flatten().flatten();
        let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        let links: BTreeSet<String> =
            texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        links.into_iter().collect()
    }

    /// The directed links on which a packet arrives now. Sends one on each.
    pub fn reach(&self) -> Result<Vec<String>, LabError> {
        let mut links: Vec<String> = self.act(&["reach"])?.lines().map(str::to_owned).collect();
        links.sort();
        Ok(links)
    }

    /// The logs of a node.
    pub fn logs(&self, node: &Node) -> Vec<PathBuf> {
        let files = fs::read_dir(self.directory.join(&node.name)).into_iter().flatten().flatten();
        let paths = files.map(|file| file.path());
        let mut logs: Vec<PathBuf> = paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        logs.sort();
        logs
    }

    /// Copies the logs of all nodes into a directory, as `n1-etcd.log`, ….
    pub fn keep_logs(&self, into: &Path) -> Result<(), LabError> {
        let failed = |error: std::io::Error| {
            LabError::Failed(format!("failed to keep the logs in {}: {error}", into.display()))
        };
        fs::create_dir_all(into).map_err(failed)?;
        for node in &self.nodes {
            for log in self.logs(node) {
                let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
                fs::copy(&log, into.join(format!("{}-{name}", node.name))).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Takes the lab of that name down, also one that was left half-way. What was removed, latest
    /// first; nothing if there is no such lab.
    pub fn down(name: &str) -> Result<Vec<String>, LabError> {
        down(&Self::directory_of(name)?)
    }

    pub(super) fn bridge(&self) -> String {
        bridge(self.number)
    }
}

/// What the bridge of the lab of that number is called. Its table has the same name, and the names of
/// its namespaces and links begin with it.
pub(super) fn bridge(number: u8) -> String {
    format!("rsh{number}")
}

/// Takes the lab in that directory down.
pub(super) fn down(directory: &Path) -> Result<Vec<String>, LabError> {
    let journal = directory.join(JOURNAL);
    let mut removed = Vec::new();
    if journal.exists() {
        if !directory.join(UP).exists() {
            // If `up` was killed this instant, what it had under way is dying.
            std::thread::sleep(Duration::from_millis(50));
        }
        let undone = target::heal(&journal).map_err(|error| match error {
            TargetError::Unhealed(why) => LabError::Left(why),
            TargetError::Unusable(why) => LabError::Failed(why),
        })?;
        removed.extend(undone.into_iter().map(|made| made.fault));
    }
    match fs::remove_dir_all(directory) {
        Ok(()) => Ok(removed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(removed),
        Err(error) => {
            Err(LabError::Left(format!("failed to remove {}: {error}", directory.display())))
        }
    }
}
