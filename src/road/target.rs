//! A target file with a road as the target of a run.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::road::furniture::{furniture, write};
use crate::target::{self, Healed, ShellCommand, Target, TargetConfig, TargetError};

/// How long a node may take to undo everything.
const HEALING: Duration = Duration::from_secs(90);

/// Completes a target file that has a road: what can be done to its nodes. Nobody is asked.
pub fn choose(config: &mut TargetConfig) {
    if let Some(road) = config.road.clone() {
        config.equip(furniture(road.get_ref(), "road.sh"));
    }
}

/// Opens a target whose file may have a road: writes what `road.sh` needs into the directory of the run,
/// sees that every node can be broken, and opens the target.
///
/// After a crash, `heal` of the fault journal does all that is left to do; and where nobody does it, the
/// nodes do.
pub fn open(
    mut config: TargetConfig,
    run_dir: &Path,
) -> Result<(Box<dyn Target>, TargetConfig), TargetError> {
    if let Some(road) = config.road.clone() {
        let directory = std::path::absolute(run_dir).map(|run_dir| run_dir.join("road"));
        let written = directory.and_then(|directory| {
            write(&config, road.get_ref(), &nobody_elses(), &directory)?;
            Ok(directory.join("road.sh").display().to_string())
        });
        let script = written.map_err(|error| {
            let run = run_dir.display();
            TargetError::Unusable(format!("failed to write the road into {run}: {error}"))
        })?;
        config.equip(furniture(road.get_ref(), &script));
    }
    target::open(&config, Some(run_dir)).map(|target| (target, config))
}

/// Has every node undo what any run has left on it, as its timer would. `again` is what a person types to
/// have it done once more.
///
/// # Errors
/// If what the road needs cannot be written among the temporary files.
pub fn heal(config: &TargetConfig, healed: &mut Healed, again: &str) -> Result<(), TargetError> {
    let Some(road) = &config.road else { return Ok(()) };
    let name = nobody_elses();
    let directory = std::env::temp_dir().join(format!("rashomon-road-{name}"));
    let written = DirBuilder::new()
        .mode(0o700)
        .create(&directory)
        .and_then(|()| write(config, road.get_ref(), &name, &directory));
    written.map_err(|error| {
        let directory = directory.display();
        TargetError::Unusable(format!("failed to write the road into {directory}: {error}"))
    })?;
    let script = directory.join("road.sh").display().to_string();
    let act = |node: &str, action: &str| ShellCommand {
        node: node.to_owned(),
        command: format!("sh '{script}' {action}"),
        variables: [("node".to_owned(), node.to_owned())].into(),
        timeout_ms: HEALING.as_millis() as u64,
    };
    for (node, _) in config.nodes() {
        let said = healed.run("what runs have left", &act(&node, "heal"), again)?;
        let faults = said.unwrap_or_default();
        healed.undone.extend(faults.lines().map(|fault| format!("undid {fault} on {node}")));
    }
    // Connections that stay behind end by themselves.
    let _ = Healed::default().run("the road", &act("", "close"), again);
    let _ = fs::remove_dir_all(directory);
    Ok(())
}

/// What no other run is called, in letters and digits.
#[expect(clippy::disallowed_methods, reason = "a name that is not taken needs the time")]
fn nobody_elses() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("r{:x}x{:x}", std::process::id(), now.as_millis() & 0xffff_ffff)
}
