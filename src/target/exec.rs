//! Runs the commands of faults, and those around a run; every fault is in the journal before.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Fault, FaultId};
use crate::target::commands::{Commands, Steps};
use crate::target::config::Hook;
use crate::target::furnish::Way;
use crate::target::gate;
use crate::target::renewal::Renewal;
use crate::target::{FaultJournal, Outstanding, ShellCommand, TargetError};

/// How long the beginning and the end of a road may take.
const ROAD: Duration = Duration::from_secs(30);

/// Injects and undoes faults; every fault is in the journal while it may be in force.
pub(super) struct Injector {
    /// The name of the target, for errors.
    pub target: String,
    /// What is run for a fault.
    pub commands: Commands,
    /// What is broken.
    pub journal: FaultJournal,
    /// Puts off the time at which the nodes heal themselves.
    pub renewal: Arc<Renewal>,
    /// The road to the nodes, where there is one.
    pub way: Option<Way>,
    /// Where the journal lies if nobody wants to keep it: removed when all is healed.
    pub temporary: Option<PathBuf>,
}

impl Injector {
    /// Injects a fault on all its nodes. It is in force when this returns, and whether that was seen is
    /// what it returns; if it fails halfway, what was done stays in the journal and is undone by
    /// [`Injector::close`].
    pub(super) async fn inject(&mut self, id: FaultId, fault: &Fault) -> Result<bool, TargetError> {
        let unusable = |why: String| TargetError::Unusable(format!("{}: {why}", self.target));
        let Steps { inject, undo, probe } = self.commands.fault(id, fault).map_err(unusable)?;
        let begun = Outstanding { id, fault: fault.name().to_owned(), undo, probe: probe.clone() };
        self.announce(begun).await?;
        self.renewal.begins(id, fault);
        let is_probed = !probe.is_empty();
        for command in inject {
            act(&command).await.map_err(|why| {
                TargetError::Unusable(format!(
                    "cannot inject {} on node {}: {why}; it was: {}",
                    fault.name(),
                    command.node,
                    command.typed()
                ))
            })?;
        }
        self.renewal.is_in_force(id);
        for command in probe {
            command.run().await.map_err(|why| {
                TargetError::Unusable(format!(
                    "{id} ({}) is not in force on node {}: {why}; it was asked with: {}",
                    fault.name(),
                    command.node,
                    command.typed()
                ))
            })?;
        }
        Ok(is_probed)
    }

    /// Undoes a fault; nothing happens if it is not in force.
    pub(super) async fn undo(&mut self, id: FaultId) -> Result<(), TargetError> {
        let _open = gate::pass().await;
        self.renewal.ends(id);
        self.journal.undo(id).await
    }

    /// Runs the setup on every node, in order. The teardown is in the journal before: it comes last
    /// when everything is undone, also after a crash.
    pub(super) async fn set_up(
        &mut self,
        setup: Option<&Hook>,
        teardown: Option<&Hook>,
    ) -> Result<(), TargetError> {
        let (setup, teardown) = (self.commands.hook(setup), self.commands.hook(teardown));
        if let Some(way) = &self.way {
            let release = self.commands.command("", &way.release, &[], ROAD);
            let check = self.commands.command("", &way.check, &[], ROAD);
            self.announce(Outstanding::unprobed(Outstanding::ROAD, "road", vec![release])).await?;
            act(&check).await.map_err(|why| {
                let target = &self.target;
                TargetError::Unusable(format!("{target}: not every node can be broken: {why}"))
            })?;
        }
        if !teardown.is_empty() {
            self.announce(Outstanding::unprobed(Outstanding::SETUP, "setup", teardown)).await?;
        }
        for command in setup {
            act(&command).await.map_err(|why| {
                let (target, node) = (&self.target, &command.node);
                TargetError::Unusable(format!("{target}: cannot set up node {node}: {why}"))
            })?;
        }
        Ok(())
    }

    /// Whether no fault is in force, as far as anybody knows.
    pub(super) fn is_whole(&self) -> bool {
        let around = [Outstanding::SETUP, Outstanding::ROAD];
        self.journal.outstanding().all(|one| around.contains(&one.id))
    }

    /// Undoes every fault and the setup.
    pub(super) async fn close(&mut self) -> Result<(), TargetError> {
        let _open = gate::pass().await;
        let lapse = self.renewal.close();
        self.journal.undo_all().await?;
        if let Some(lapse) = lapse {
            return Err(TargetError::Unusable(format!("{}: {lapse}", self.target)));
        }
        if let Some(directory) = &self.temporary {
            // A directory that stays behind is untidy, no more.
            let _ = std::fs::remove_dir_all(directory);
        }
        Ok(())
    }

    async fn announce(&mut self, begun: Outstanding) -> Result<(), TargetError> {
        let _open = gate::pass().await;
        self.journal.begin(begun).map_err(|error| {
            let path = self.journal.path().display();
            TargetError::Unusable(format!("cannot write the fault journal {path}: {error}"))
        })
    }
}

/// Runs a command that breaks or starts something, unless nothing may be broken any more.
async fn act(command: &ShellCommand) -> Result<String, String> {
    let _open = gate::pass().await;
    command.run().await
}
