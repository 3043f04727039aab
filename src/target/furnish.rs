//! A target file whose nodes are those of a lab or are reached by a road, and what either adds to it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use toml::Spanned;

use crate::target::config::{FaultCommands, Patience, TargetConfig};
use crate::target::renewal::Renew;
use crate::target::shell::ShellCommand;

/// How often the nodes are asked by a command who leads: that takes a process a node.
pub(super) const ASK_BY_COMMAND: Duration = Duration::from_secs(1);

/// How long a fault of a lab or a road may take: many processes on few cores, nodes far away.
const FURNISHED_FAULT: Duration = Duration::from_secs(30);

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
    /// What links the nodes; what the faults of the workload need if not said.
    pub network: Option<Network>,
    /// How large a disk each node has of its own (`64MB`), for `disk-full` and `power-loss`.
    pub disk: Option<String>,
}

/// What links the nodes of a lab.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// A bridge of the kernel, which cuts.
    #[default]
    Bridge,
    /// A switch in user space, which also delays, loses, doubles, reorders and limits.
    Switch,
}

impl Network {
    /// Its name in a target file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Switch => "switch",
        }
    }
}

/// What a lab or a road knows of its nodes.
pub(crate) struct Furniture {
    /// Name and address of each; none where the target file has them.
    pub(crate) nodes: Vec<(String, String)>,
    /// What can be done to them.
    pub(crate) faults: Vec<Furnished>,
    /// The command that ends well on the primary.
    pub(crate) primary: Option<String>,
    /// The command that renews all `nodes` at once.
    pub(crate) renew: Option<String>,
    /// How the road itself is begun and ended.
    pub(crate) way: Option<Way>,
}

/// What a road takes and gives back.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// Ends well if every node can be broken.
    pub(crate) check: String,
    /// Gives back what the road takes, when all is healed.
    pub(crate) release: String,
    /// Whether it ends itself like a fault that nobody renews, so that `renew` is run all the time.
    pub(crate) is_leased: bool,
}

/// A fault of a lab or a road, by its commands.
pub(crate) struct Furnished {
    name: &'static str,
    inject: String,
    undo: String,
    probe: Option<String>,
}

impl Furnished {
    /// A fault that nobody can ask for.
    pub(crate) fn new(name: &'static str, inject: String, undo: String) -> Self {
        Self { name, inject, undo, probe: None }
    }

    /// The same fault, with the command that says whether it is in force.
    pub(crate) fn probed(self, probe: String) -> Self {
        Self { probe: Some(probe), ..self }
    }
}

impl TargetConfig {
    /// Takes nodes, faults and the question for the primary from a lab; what the file itself says of
    /// a fault or the primary stays.
    pub(crate) fn furnish(&mut self, choice: &LabChoice, mut lab: Furniture) -> Result<(), String> {
        self.nodes.clear();
        for (name, address) in std::mem::take(&mut lab.nodes) {
            let url = choice.url.replace("${address}", &address);
            self.nodes.insert(name, Spanned::new(0..0, url));
        }
        self.settle_addresses().map_err(|(_, message)| message)?;
        self.equip(lab);
        Ok(())
    }

    /// Takes all but the nodes.
    pub(crate) fn equip(&mut self, furniture: Furniture) {
        for Furnished { name, inject, undo, probe } in furniture.faults {
            if self.fault.get(name).is_none_or(|own| own.furnished) {
                let timeout = Patience(FURNISHED_FAULT);
                let commands =
                    FaultCommands { inject, undo, probe, timeout, at_once: true, furnished: true };
                self.fault.insert(name.to_owned(), commands);
            }
        }
        self.primary_command = furniture.primary.filter(|_| self.primary.is_none());
        if let Some(command) = furniture.renew {
            let always = furniture.way.as_ref().is_some_and(|way| way.is_leased);
            self.renew = Some(Renew { command, at_once: true, always });
        }
        self.way = furniture.way;
    }
}

/// Asks the nodes who leads, by a command that ends well on the primary and may print its term.
pub(super) struct PrimaryCommand {
    command: String,
    nodes: Vec<Arc<str>>,
    claims: Claims,
}

impl PrimaryCommand {
    pub(super) fn new(command: &str, nodes: Vec<Arc<str>>) -> Self {
        Self { command: command.to_owned(), nodes, claims: Claims::default() }
    }

    /// Asks all at once. Where nobody says that it leads, the last who did is still believed to.
    pub(super) async fn ask(&mut self, cell: &Mutex<Option<Arc<str>>>) {
        let mut asked = JoinSet::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let command = ShellCommand {
                node: node.to_string(),
                command: self.command.clone(),
                variables: BTreeMap::from([("node".to_owned(), node.to_string())]),
                timeout_ms: 3_000,
            };
            asked.spawn(async move {
                let said = command.run().await.ok();
                (at, said.map(|term| term.trim().parse().unwrap_or(0)))
            });
        }
        let mut terms = asked.join_all().await;
        terms.sort_by_key(|(at, _)| *at);
        let terms: Vec<Option<u64>> = terms.into_iter().map(|(_, term)| term).collect();
        if let (Some(leader), Ok(mut primary)) = (self.claims.leader(&terms), cell.lock()) {
            *primary = self.nodes.get(leader).cloned();
        }
    }
}

/// Since which question each node has said, without a break, that it leads.
#[derive(Default)]
struct Claims {
    questions: u64,
    since: BTreeMap<usize, u64>,
}

impl Claims {
    /// The place of the leader: who claims the highest term; of equals, as a deposed node may be one, who
    /// began to claim last; of those the first.
    fn leader(&mut self, terms: &[Option<u64>]) -> Option<usize> {
        self.questions += 1;
        self.since.retain(|node, _| terms.get(*node).is_some_and(Option::is_some));
        let claims = terms.iter().enumerate().filter_map(|(node, term)| Some((node, (*term)?)));
        claims
            .map(|(node, term)| {
                let since = *self.since.entry(node).or_insert(self.questions);
                (term, since, Reverse(node))
            })
            .max()
            .map(|(.., Reverse(node))| node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_who_say_that_they_lead_the_newer_one_does() {
        let mut claims = Claims::default();
        assert_eq!(claims.leader(&[None, None]), None);
        assert_eq!(claims.leader(&[Some(0), None]), Some(0));
        // The second is promoted, and the first does not know.
        assert_eq!(claims.leader(&[Some(0), Some(0)]), Some(1));
        assert_eq!(claims.leader(&[Some(0), Some(0)]), Some(1));
        // A term tells more than the order in which they were heard.
        assert_eq!(claims.leader(&[Some(7), Some(6)]), Some(0));
        assert_eq!(claims.leader(&[None, Some(6)]), Some(1));
        let mut at_once = Claims::default();
        assert_eq!(at_once.leader(&[Some(0), Some(0)]), Some(0));
    }
}
