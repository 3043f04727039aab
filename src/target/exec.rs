//! Faults by commands of the target file, and the commands around a run.
//!
//! A command is shell text as it stands: what it needs to know comes as environment variables, so
//! nothing has to be escaped: `fault` (its number in the run), `node` and `url` (the node it is done
//! to), for a partition `peer` (whose messages to `node` are to be lost) or, if it is cut at once,
//! `cuts` alone, the options of the fault ([`NodeFault::options`](crate::model::NodeFault::options)) with
//! `_` for `-`, and the target file's `[environment]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Cut, Fault, FaultId};
use crate::target::config::{FaultCommands, Hook};
use crate::target::{FaultJournal, Outstanding, ShellCommand, TargetError};

/// Injects and undoes faults; every fault is in the journal while it may be in force.
pub(super) struct Injector {
    /// The name of the target, for errors.
    pub target: String,
    /// Every node with its address.
    pub nodes: Vec<(Arc<str>, String)>,
    /// What each kind of fault takes.
    pub faults: BTreeMap<String, FaultCommands>,
    /// The variables of every command.
    pub environment: BTreeMap<String, String>,
    /// What is broken.
    pub journal: FaultJournal,
    /// Where the journal lies if nobody wants to keep it: removed when all is healed.
    pub temporary: Option<PathBuf>,
}

impl Injector {
    /// Injects a fault on all its nodes. It is in force when this returns; if it fails halfway, what
    /// was done stays in the journal and is undone by [`Injector::close`].
    pub(super) async fn inject(&mut self, id: FaultId, fault: &Fault) -> Result<(), TargetError> {
        let unusable = |why: String| TargetError::Unusable(format!("{}: {why}", self.target));
        let commands = self.faults.get(fault.name()).ok_or_else(|| {
            let known: Vec<&str> = self.faults.keys().map(String::as_str).collect();
            let name = fault.name();
            unusable(format!("no [fault.{name}] in the target file; it has: {}", known.join(", ")))
        })?;
        if let Fault::Partition { channel: Some(channel), .. } = fault {
            let channel = channel.name();
            return Err(unusable(format!(
                "the {channel} channel alone is cut in the simulator only"
            )));
        }
        let mut inject = Vec::new();
        let mut undo = Vec::new();
        let places = places(fault);
        for (node, _) in &places {
            if !self.nodes.iter().any(|(name, _)| name == node) {
                return Err(unusable(format!("no node {node} for {}", fault.name())));
            }
        }
        let places = if commands.at_once { at_once(fault, places) } else { places };
        for (node, mut variables) in places {
            variables.push(("fault".to_owned(), id.0.to_string()));
            let command = |text: &str| self.command(&node, text, &variables, commands.timeout.0);
            inject.push(command(&commands.inject));
            undo.push(command(&commands.undo));
        }
        self.announce(id, fault.name(), undo)?;
        for command in inject {
            command.run().await.map_err(|why| {
                TargetError::Unusable(format!(
                    "cannot inject {} on node {}: {why}; it was: {}",
                    fault.name(),
                    command.node,
                    command.typed()
                ))
            })?;
        }
        Ok(())
    }

    /// Undoes a fault; nothing happens if it is not in force.
    pub(super) async fn undo(&mut self, id: FaultId) -> Result<(), TargetError> {
        self.journal.undo(id).await
    }

    /// Runs the setup on every node, in order. The teardown is in the journal before: it comes last
    /// when everything is undone, also after a crash.
    pub(super) async fn set_up(
        &mut self,
        setup: Option<&Hook>,
        teardown: Option<&Hook>,
    ) -> Result<(), TargetError> {
        let commands = |hook: Option<&Hook>| -> Vec<ShellCommand> {
            let Some(hook) = hook else { return Vec::new() };
            let nodes = self.nodes.iter();
            nodes.map(|(node, _)| self.command(node, &hook.command, &[], hook.timeout.0)).collect()
        };
        let (setup, teardown) = (commands(setup), commands(teardown));
        if !teardown.is_empty() {
            self.announce(Outstanding::SETUP, "setup", teardown)?;
        }
        for command in setup {
            command.run().await.map_err(|why| {
                let (target, node) = (&self.target, &command.node);
                TargetError::Unusable(format!("{target}: cannot set up node {node}: {why}"))
            })?;
        }
        Ok(())
    }

    /// Undoes every fault and the setup.
    pub(super) async fn close(&mut self) -> Result<(), TargetError> {
        self.journal.undo_all().await?;
        if let Some(directory) = &self.temporary {
            // A directory that stays behind is untidy, no more.
            let _ = std::fs::remove_dir_all(directory);
        }
        Ok(())
    }

    fn announce(
        &mut self,
        id: FaultId,
        fault: &str,
        undo: Vec<ShellCommand>,
    ) -> Result<(), TargetError> {
        self.journal.begin(id, fault, undo).map_err(|error| {
            let path = self.journal.path().display();
            TargetError::Unusable(format!("cannot write the fault journal {path}: {error}"))
        })
    }

    fn command(
        &self,
        node: &str,
        text: &str,
        more: &[(String, String)],
        timeout: Duration,
    ) -> ShellCommand {
        let mut variables = self.environment.clone();
        variables.insert("node".to_owned(), node.to_owned());
        if let Some((_, url)) = self.nodes.iter().find(|(name, _)| **name == *node) {
            variables.insert("url".to_owned(), url.clone());
        }
        variables.extend(more.iter().cloned());
        ShellCommand {
            node: node.to_owned(),
            command: text.to_owned(),
            variables,
            timeout_ms: timeout.as_millis() as u64,
        }
    }
}

/// A node that a command is run for, with the variables it needs besides.
type Place = (Arc<str>, Vec<(String, String)>);

/// Where a fault is done.
fn places(fault: &Fault) -> Vec<Place> {
    match fault {
        Fault::Partition { cuts, .. } => {
            let place =
                |cut: &Cut| (cut.to.clone(), vec![("peer".to_owned(), cut.from.to_string())]);
            cuts.iter().map(place).collect()
        }
        Fault::Nodes { nodes, what } => {
            let options = what.options().into_iter();
            let variables: Vec<(String, String)> =
                options.map(|(name, value)| (name.replace('-', "_"), value.to_string())).collect();
            nodes.iter().map(|node| (node.clone(), variables.clone())).collect()
        }
    }
}

/// A partition as a whole is done in one place, named after all whom it concerns; any other fault
/// stays where it is done.
fn at_once(fault: &Fault, places: Vec<Place>) -> Vec<Place> {
    let Fault::Partition { cuts, .. } = fault else { return places };
    if cuts.is_empty() {
        return Vec::new();
    }
    let mut nodes: Vec<&str> = cuts.iter().flat_map(|cut| [&*cut.from, &*cut.to]).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let links: Vec<String> = cuts.iter().map(|cut| format!("{}>{}", cut.from, cut.to)).collect();
    vec![(Arc::from(nodes.join(",")), vec![("cuts".to_owned(), links.join(" "))])]
}
