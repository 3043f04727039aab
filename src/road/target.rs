//! A target file with a road as the target of a run.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::road::furniture::{furniture, write};
use crate::target::{self, Target, TargetConfig, TargetError};

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

/// What no other run is called, in letters and digits.
#[expect(clippy::disallowed_methods, reason = "a name that is not taken needs the time")]
fn nobody_elses() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("r{:x}x{:x}", std::process::id(), now.as_millis() & 0xffff_ffff)
}
