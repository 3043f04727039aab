//! The renewal of faults: a node undoes by itself what nobody has renewed for `heal-within`.
//!
//! ```text
//! inject            renew             renew                          the node heals itself
//!   │──── a third ────│──── a third ────│─── heal-within, then ─────────│
//!                                       └ kill -9, a cut connection, a lost machine
//! ```
//!
//! Whoever injects a fault arms the timer of its node first (`within_s`). From then on a task of the
//! target's runtime renews, as long as there is a fault. Where that fails for so long that a node may
//! have healed itself, the history would claim a fault that was not there: the run ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::model::{Fault, FaultId};
use crate::target::ShellCommand;

/// The command of a target file that puts off the healing of its nodes. It runs every third of
/// `heal-within` and must end within half of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Renew {
    pub command: String,
    /// One command renews all nodes that may be broken: `nodes` has their names, in the place of `node`.
    /// Either kind is told in `broken` which nodes certainly are: any other may not be broken yet.
    #[serde(default)]
    pub at_once: bool,
    /// It runs whether anything is broken or not: the road ends itself like a fault.
    #[serde(skip)]
    pub always: bool,
}

/// What is to be renewed, and until when the nodes are sure to wait.
pub(super) struct Renewal {
    within: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The nodes of each fault, from when it is begun until its undo is begun.
    broken: BTreeMap<FaultId, BTreeSet<Arc<str>>>,
    /// Those of them that are done on all their nodes.
    in_force: BTreeSet<FaultId>,
    /// When the first node may heal itself; absent while nobody renews.
    safe_until: Option<Instant>,
    renews: bool,
    /// Why the last renewal failed.
    failure: Option<String>,
    /// What there is to say of the nodes that may have healed themselves.
    lapse: Option<String>,
}

impl State {
    /// Takes note if it is too late.
    fn look(&mut self, within: Duration) {
        let late = self.safe_until.is_some_and(|until| until < Instant::now());
        if late && self.lapse.is_none() {
            let nodes: BTreeSet<&str> =
                self.broken.values().flatten().map(|node| &**node).collect();
            let nodes: Vec<&str> = nodes.into_iter().collect();
            let why = self.failure.as_deref().unwrap_or("nothing was heard");
            self.lapse = Some(format!(
                "{} may have healed by itself under a fault: not renewed for {} ms: {why}",
                nodes.join(", "),
                within.as_millis()
            ));
        }
    }
}

impl Renewal {
    /// Nodes heal themselves `within` this time.
    pub(super) fn new(within: Duration) -> Self {
        Self { within, state: Mutex::default() }
    }

    /// The time that can be counted on: a node begins a little earlier, for undoing takes time.
    fn sure(&self) -> Duration {
        self.within.saturating_sub(Duration::from_secs(1))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic left is still true.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fault is about to be injected.
    pub(super) fn begins(&self, id: FaultId, fault: &Fault) {
        let mut state = self.state();
        if state.renews && state.broken.is_empty() {
            state.safe_until = Some(Instant::now() + self.sure());
        }
        state.broken.insert(id, fault.nodes());
    }

    /// A fault was injected on all its nodes.
    pub(super) fn is_in_force(&self, id: FaultId) {
        self.state().in_force.insert(id);
    }

    /// A fault is about to be undone: a node that comes before is welcome.
    pub(super) fn ends(&self, id: FaultId) {
        let mut state = self.state();
        state.look(self.within);
        state.broken.remove(&id);
        state.in_force.remove(&id);
        if state.broken.is_empty() {
            state.safe_until = None;
        }
    }

    /// What to say if a node may have healed itself under a fault.
    pub(super) fn lapse(&self) -> Option<String> {
        let mut state = self.state();
        state.look(self.within);
        state.lapse.clone()
    }

    /// Everything is about to be undone, so nothing is renewed; what there is to say of it.
    pub(super) fn close(&self) -> Option<String> {
        let lapse = self.lapse();
        *self.state() = State::default();
        lapse
    }

    /// The nodes that are or may be broken, and those that certainly are.
    fn nodes(&self) -> (BTreeSet<Arc<str>>, BTreeSet<Arc<str>>) {
        let state = self.state();
        let certain = state.in_force.iter().filter_map(|id| state.broken.get(id));
        (state.broken.values().flatten().cloned().collect(), certain.flatten().cloned().collect())
    }

    /// Renews for ever: what is broken, or `always`.
    pub(super) async fn keep(self: Arc<Self>, commands: Vec<ShellCommand>, always: bool) {
        self.state().renews = true;
        let mut ticks = tokio::time::interval(self.within / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (nodes, broken) = self.nodes();
            if nodes.is_empty() && !always {
                continue;
            }
            let begun = Instant::now();
            let done = renew(&commands, &nodes, &broken).await;
            let mut state = self.state();
            state.look(self.within);
            match done {
                // Where nothing is broken the next one may get there.
                _ if state.broken.is_empty() => state.failure = None,
                Ok(()) => state.safe_until = Some(begun + self.sure()),
                Err(why) => state.failure = Some(why),
            }
        }
    }
}

/// Renews these nodes, all at a time.
async fn renew(
    commands: &[ShellCommand],
    nodes: &BTreeSet<Arc<str>>,
    broken: &BTreeSet<Arc<str>>,
) -> Result<(), String> {
    let list =
        |nodes: &BTreeSet<Arc<str>>| nodes.iter().map(|node| &**node).collect::<Vec<_>>().join(" ");
    let mut running = JoinSet::new();
    for command in commands {
        let mut command = command.clone();
        command.variables.insert("broken".to_owned(), list(broken));
        if command.node.is_empty() {
            command.variables.insert("nodes".to_owned(), list(nodes));
        } else if !nodes.contains(&*command.node) {
            continue;
        }
        running.spawn(async move {
            let node = command.variables.get("nodes").unwrap_or(&command.node);
            command.run().await.map(|_| ()).map_err(|why| format!("cannot renew {node}: {why}"))
        });
    }
    running.join_all().await.into_iter().collect()
}
