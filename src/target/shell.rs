//! Commands of a target file, run by `sh -c`.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// A command with everything it needs, so that another process can run it later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShellCommand {
    /// Where it belongs.
    pub node: String,
    /// What `sh -c` is given.
    pub command: String,
    /// Variables set for it, `node` among them.
    pub variables: BTreeMap<String, String>,
    /// It is killed after so many milliseconds.
    pub timeout_ms: u64,
}

impl ShellCommand {
    /// Runs it to its end and returns what it printed. The error has its status and the last of that.
    pub(super) async fn run(&self) -> Result<String, String> {
        let output = self.output().await?;
        if !output.status.success() {
            return Err(ending(&output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it to learn whether something is so: it is if the command ends well, and it is not if it
    /// ends with a status below 125. What is above is said by shells, `ssh` and the like where the
    /// question was not answered.
    pub(super) async fn ask(&self) -> Result<bool, String> {
        let output = self.output().await?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1..125) => Ok(false),
            _ => Err(ending(&output)),
        }
    }

    /// A server that it starts in the background must let go of standard output and error
    /// (`>log 2>&1`): the command has ended when nobody can print any more.
    async fn output(&self) -> Result<Output, String> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).envs(&self.variables);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        // Ctrl-C reaches every process of the terminal's group: a half-done undo, or a server that
        // an undo restarted, must not die of it.
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn().map_err(|error| format!("cannot run sh: {error}"))?;
        let group = child.id();
        let limit = Duration::from_millis(self.timeout_ms);
        match tokio::time::timeout(limit, child.wait_with_output()).await {
            Err(_) => {
                kill_group(group).await;
                Err(format!("took more than {} ms", self.timeout_ms))
            }
            Ok(Err(error)) => Err(format!("cannot wait for sh: {error}")),
            Ok(Ok(output)) => Ok(output),
        }
    }

    /// What a person types to run it by hand.
    pub fn typed(&self) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let set = self.variables.iter().map(|(name, value)| format!("{name}={} ", quoted(value)));
        format!("{}sh -c {}", set.collect::<String>(), quoted(&self.command))
    }
}

/// How a command ended: its status and the last of what it printed.
fn ending(output: &Output) -> String {
    let mut message = output.status.to_string();
    for printed in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(printed);
        if let Some((_, last)) = last_characters(text.trim(), 400) {
            message.push_str(": ");
            message.push_str(last);
        }
    }
    message
}

/// Kills what a command that took too long has started: it must not break something after it was
/// undone. The group is the command's own, so it holds nobody else.
async fn kill_group(group: Option<u32>) {
    if let Some(group) = group.filter(|_| cfg!(unix)) {
        // Nobody left to kill is as good.
        let kill = format!("kill -9 -{group} 2>/dev/null");
        let _ = Command::new("sh").arg("-c").arg(kill).status().await;
    }
}

/// The text but for at most its last `count` characters, and those; `None` of an empty text.
fn last_characters(text: &str, count: usize) -> Option<(&str, &str)> {
    let start = text.char_indices().rev().nth(count - 1).map_or(0, |(at, _)| at);
    (!text.is_empty()).then(|| text.split_at(start))
}
