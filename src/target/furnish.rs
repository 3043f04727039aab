//! A target file whose nodes are those of a lab, and what the lab adds to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::target::config::{FaultCommands, Patience, TargetConfig};
use crate::target::shell::ShellCommand;

/// How often the nodes are asked by a command who leads: that takes a process a node.
pub(super) const ASK_BY_COMMAND: Duration = Duration::from_secs(1);

/// How long a fault of a lab may take: many processes on few cores.
const LAB_FAULT: Duration = Duration::from_secs(30);

/// Which lab a target file wants.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabChoice {
    /// The name of a definition that comes with rashomon, or the path of one.
    pub store: String,
    /// The address of a node as the adapter wants it, with `${address}` in it.
    pub url: String,
    /// How many nodes; as many as the definition says if not said.
    pub nodes: Option<usize>,
    /// Settings of the definition.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Leaves the lab up after the run, and uses it again in the next one.
    #[serde(default)]
    pub keep: bool,
}

/// What a lab knows of its nodes.
pub(crate) struct Furniture {
    /// Name and address of each.
    pub(crate) nodes: Vec<(String, String)>,
    /// Name, command and undo of each fault.
    pub(crate) faults: Vec<(&'static str, String, String)>,
    /// The command that ends well on the primary.
    pub(crate) primary: Option<String>,
}

impl TargetConfig {
    /// Takes nodes, faults and the question for the primary from a lab; what the file itself says of
    /// a fault or the primary stays.
    pub(crate) fn furnish(&mut self, choice: &LabChoice, lab: Furniture) -> Result<(), String> {
        self.nodes.clear();
        for (name, address) in lab.nodes {
            let url = choice.url.replace("${address}", &address);
            self.nodes.insert(name, Spanned::new(0..0, url));
        }
        self.settle_addresses().map_err(|(_, message)| message)?;
        for (name, inject, undo) in lab.faults {
            if self.fault.get(name).is_none_or(|own| own.of_lab) {
                let timeout = Patience(LAB_FAULT);
                let commands = FaultCommands { inject, undo, timeout, at_once: true, of_lab: true };
                self.fault.insert(name.to_owned(), commands);
            }
        }
        self.primary_command = lab.primary.filter(|_| self.primary.is_none());
        Ok(())
    }
}

/// Asks the nodes in turn who leads, by a command that ends well on the primary. Where nobody says that
/// it leads, the last who did is still believed to.
pub(super) async fn ask_by_command(
    command: &str,
    nodes: &[Arc<str>],
    cell: &Mutex<Option<Arc<str>>>,
) {
    for node in nodes {
        let command = ShellCommand {
            node: node.to_string(),
            command: command.to_owned(),
            variables: BTreeMap::from([("node".to_owned(), node.to_string())]),
            timeout_ms: 3_000,
        };
        if command.run().await.is_ok() {
            if let Ok(mut primary) = cell.lock() {
                *primary = Some(node.clone());
            }
            return;
        }
    }
}
