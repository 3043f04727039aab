//! What is run on the nodes for a fault and around a run, worked out and not yet run.
//!
//! A command is shell text as it stands: what it needs to know comes as environment variables, so
//! nothing has to be escaped: `fault` (its number in the run), `node` and `url` (the node it is done
//! to), for a partition `peer` (whose messages to `node` are to be lost) or, if it is cut at once,
//! `cuts` alone, the options of the fault ([`NodeFault::options`](crate::model::NodeFault::options)) with
//! `_` for `-`, the seconds `within_s` after which the node must undo it by itself if nobody renews it, and
//! the target file's `[environment]`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Action, Cut, Fault, FaultId, Nanos, NodeFault};
use crate::target::Outstanding;
use crate::target::config::{FaultCommands, Hook, TargetConfig};
use crate::target::renewal::Renew;
use crate::target::shell::ShellCommand;

/// The commands of a target.
pub(super) struct Commands {
    /// Every node with its address.
    nodes: Vec<(Arc<str>, String)>,
    /// What each kind of fault takes.
    faults: BTreeMap<String, FaultCommands>,
    /// The variables of every command.
    environment: BTreeMap<String, String>,
    /// When the nodes heal themselves.
    within: Duration,
}

/// The commands of one fault, one a node, or one for all of them.
pub(super) struct Steps {
    pub(super) inject: Vec<ShellCommand>,
    pub(super) undo: Vec<ShellCommand>,
    /// None, where nobody can tell whether it is in force.
    pub(super) probe: Vec<ShellCommand>,
}

impl Commands {
    pub(super) fn new(config: &TargetConfig) -> Self {
        // A variable around rashomon wins over the default of the file.
        let environment = config.environment.iter().map(|(name, value)| {
            (name.clone(), std::env::var(name).unwrap_or_else(|_| value.clone()))
        });
        Self {
            nodes: config.nodes().map(|(name, url)| (name, url.to_owned())).collect(),
            faults: config.fault.clone(),
            environment: environment.collect(),
            within: config.heal_within.0,
        }
    }

    /// A variable of every command.
    pub(super) fn variable(&self, name: &str) -> Option<&String> {
        self.environment.get(name)
    }

    /// What a fault takes.
    pub(super) fn fault(&self, id: FaultId, fault: &Fault) -> Result<Steps, String> {
        let name = fault.name();
        let commands = self.faults.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.faults.keys().map(String::as_str).collect();
            format!("no [fault.{name}] in the target file; it has: {}", known.join(", "))
        })?;
        if let Fault::Partition { channel: Some(channel), .. } = fault {
            let channel = channel.name();
            return Err(format!("the {channel} channel alone is cut in the simulator only"));
        }
        let places = places(fault);
        let is_known = |node: &Arc<str>| self.nodes.iter().any(|(name, _)| name == node);
        if let Some((node, _)) = places.iter().find(|(node, _)| !is_known(node)) {
            return Err(format!("no node {node} for {name}"));
        }
        let places = if commands.at_once { at_once(fault, places) } else { places };
        let mut steps = Steps { inject: Vec::new(), undo: Vec::new(), probe: Vec::new() };
        for (node, mut variables) in places {
            variables.push(("fault".to_owned(), id.0.to_string()));
            variables.push(("within_s".to_owned(), self.within.as_secs().to_string()));
            let command = |text: &str| self.command(&node, text, &variables, commands.timeout.0);
            steps.inject.push(command(&commands.inject));
            steps.undo.push(command(&commands.undo));
            steps.probe.extend(commands.probe.as_deref().map(command));
        }
        Ok(steps)
    }

    /// The undo of every fault that is the file's own, wherever it may be in force; instead, what an undo
    /// wants to know that only the run knows which did it.
    pub(super) fn undos(&self) -> Vec<Result<Outstanding, String>> {
        let own = self.faults.iter().filter(|(_, commands)| !commands.furnished);
        own.map(|(name, commands)| {
            if let Some(variable) = wants(name, &commands.undo) {
                return Err(format!(
                    "cannot undo {name}: its command needs ${variable}, which only the journal of its run \
                     knows; mend it with: rashomon heal RUN"
                ));
            }
            let Steps { mut undo, mut probe, .. } =
                self.fault(Outstanding::ANY, &self.everywhere(name))?;
            for command in undo.iter_mut().chain(&mut probe) {
                command.variables.remove("fault");
            }
            // A probe that asks for one fault says nothing of any other.
            if commands.probe.as_ref().is_some_and(|probe| wants(name, probe).is_some()) {
                probe.clear();
            }
            Ok(Outstanding { id: Outstanding::ANY, fault: name.clone(), undo, probe })
        })
        .collect()
    }

    /// The fault of that name on all nodes.
    fn everywhere(&self, name: &str) -> Fault {
        let nodes: Vec<Arc<str>> = self.nodes.iter().map(|(node, _)| node.clone()).collect();
        if name != "partition" {
            return NodeFault::Command(Arc::from(name)).at(nodes);
        }
        let all = nodes.iter().flat_map(|from| {
            let others = nodes.iter().filter(move |to| *to != from);
            others.map(|to| Cut { from: from.clone(), to: to.clone() })
        });
        Fault::Partition { shape: Arc::from("all"), cuts: all.collect(), channel: None }
    }

    /// A command around a run, on every node in order.
    pub(super) fn hook(&self, hook: Option<&Hook>) -> Vec<ShellCommand> {
        let Some(hook) = hook else { return Vec::new() };
        let nodes = self.nodes.iter();
        nodes.map(|(node, _)| self.command(node, &hook.command, &[], hook.timeout.0)).collect()
    }

    /// The commands that renew, one a node, or one of no node for all of them.
    pub(super) fn renewals(&self, renew: &Renew) -> Vec<ShellCommand> {
        let timeout = self.within / 2;
        let seconds = [("within_s".to_owned(), self.within.as_secs().to_string())];
        if renew.at_once {
            return vec![self.command("", &renew.command, &seconds, timeout)];
        }
        let nodes = self.nodes.iter();
        nodes.map(|(node, _)| self.command(node, &renew.command, &seconds, timeout)).collect()
    }

    /// That text, for a node and with these variables besides.
    pub(super) fn command(
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

/// Every command of a run with these faults, in order, each with what it is for; nothing is run.
///
/// # Errors
/// What the target file does not know how to do.
pub fn rehearse(
    config: &TargetConfig,
    faults: &[(Nanos, Action)],
) -> Result<Vec<(String, ShellCommand)>, String> {
    let commands = Commands::new(config);
    let mut all = Vec::new();
    let mut add = |what: &str, some: Vec<ShellCommand>| {
        all.extend(some.into_iter().map(|command| (what.to_owned(), command)));
    };
    add("set up", commands.hook(config.setup.as_ref()));
    for (time, action) in faults {
        match action {
            Action::Begin(id, fault) => {
                let Steps { inject, probe, .. } = commands.fault(*id, fault)?;
                add(&format!("{time}: inject {id}, {}", fault.name()), inject);
                add(&format!("{time}: is {id} in force?"), probe);
            }
            Action::End(id, fault) => {
                let Steps { undo, .. } = commands.fault(*id, fault)?;
                add(&format!("{time}: undo {id}, {}", fault.name()), undo);
            }
            Action::Invoke(_) => {}
        }
    }
    if let Some(renew) = &config.renew {
        let each = Nanos(config.heal_within.0.as_nanos() as u64 / 3);
        add(&format!("every {each} while something is broken"), commands.renewals(renew));
    }
    add("tear down", commands.hook(config.teardown.as_ref()));
    Ok(all)
}

/// The variable without which a command means nothing, of those that tell one fault of that name from
/// another: its number and its options.
fn wants(name: &str, command: &str) -> Option<String> {
    let options = NodeFault::option_names(name).into_iter().map(|one| one.replace('-', "_"));
    std::iter::once("fault".to_owned()).chain(options).find(|variable| {
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        // `${delay_ms-}` does without.
        command.contains(&format!("${{{variable}}}"))
            || command.split(&format!("${variable}")).skip(1).any(ends)
    })
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
