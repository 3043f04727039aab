//! Undoing what may be broken where no journal says what is.

use crate::target::commands::Commands;
use crate::target::{ShellCommand, TargetConfig, TargetError};

/// What came of it. Everything is tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healed {
    /// What was undone, and where; a line each.
    pub undone: Vec<String>,
    /// What could not be, with the node and the command that mends it.
    pub left: Vec<String>,
}

impl Healed {
    /// Runs the undo of every fault `[fault.NAME]` of a target file on every node. By contract that does no
    /// harm where the fault is not in force.
    pub(crate) fn undo_all(&mut self, config: &TargetConfig) -> Result<(), TargetError> {
        let nodes: Vec<String> = config.nodes().map(|(node, _)| node.to_string()).collect();
        for undo in Commands::new(config).undos() {
            let fault = match undo {
                Ok(fault) => fault,
                Err(why) => {
                    self.left.push(why);
                    continue;
                }
            };
            let failures = runtime()?.block_on(fault.undo(true));
            if failures.is_empty() {
                self.undone.push(format!("undid {fault} on {}", nodes.join(", ")));
            }
            self.left.extend(failures);
        }
        Ok(())
    }

    /// Runs a command that undoes `what`, and returns what it printed; `mend` is what a person types to do
    /// the same.
    pub(crate) fn run(
        &mut self,
        what: &str,
        command: &ShellCommand,
        mend: &str,
    ) -> Result<Option<String>, TargetError> {
        let ran = runtime()?.block_on(command.run());
        Ok(ran
            .map_err(|why| {
                let node = &command.node;
                self.left.push(format!(
                    "cannot undo {what} on node {node}: {why}; mend it with: {mend}"
                ));
            })
            .ok())
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, TargetError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| TargetError::Unusable(error.to_string()))
}
