//! Heals what a target file describes, where no fault journal says what is broken.

use std::path::Path;

use crate::proxy::{self, Definition};
use crate::run::OpenError;
use crate::run::open::{beside, may_be_touched};
use crate::target::{Healed, TargetConfig, TargetError};

/// Undoes every fault that the target of a file could have: what the nodes of a road have noted, what is in
/// force in the lab of that name, the rules of the proxy; and the file's own commands are run on every node.
/// Everything is tried.
///
/// The commands of the file may start or change what nobody broke: they want a target that may be lost, or
/// whose owner asks (`owned`). All else is known to be the work of a run.
///
/// # Errors
/// If the file is wrong or may not be touched, or if nobody can be asked.
pub fn heal(path: &Path, owned: bool) -> Result<Healed, OpenError> {
    let name = path.display().to_string();
    let wrong = |why: String| OpenError::Input(format!("{name}: {why}"));
    let text = std::fs::read_to_string(path)
        .map_err(|error| OpenError::Input(format!("failed to read {name}: {error}")))?;
    let mut config =
        TargetConfig::parse(&name, &text).map_err(|error| OpenError::Input(error.to_string()))?;
    let has_own_faults = config.has_own_faults();
    if has_own_faults && !owned {
        let how = "undoes faults by commands that may start or change what nobody broke";
        may_be_touched(&config, &format!("heal of {} {how}", config.name))?;
    }
    let mut healed = Healed::default();
    crate::road::heal(&config, &mut healed, &again(&name, owned)).map_err(OpenError::Target)?;
    if let Some(choice) = config.proxy.as_ref().map(|proxy| proxy.get_ref().clone()) {
        let file = beside(path, Path::new(&choice.file));
        drop_rules(&file, &mut healed)?;
    }
    if let Some(mut choice) = config.lab.as_ref().map(|lab| lab.get_ref().clone()) {
        if crate::lab::Definition::is_path(&choice.store) {
            choice.store = beside(path, Path::new(&choice.store)).display().to_string();
        }
        let is_up = crate::lab::mend(&mut config, &choice, &mut healed);
        if !is_up.map_err(|error| wrong(error.to_string()))? {
            return Ok(healed);
        }
    }
    if has_own_faults {
        healed.undo_all(&config).map_err(OpenError::Target)?;
    }
    Ok(healed)
}

/// What is typed to heal that file once more.
fn again(name: &str, owned: bool) -> String {
    let quoted = name.replace('\'', r"'\''");
    format!("rashomon heal '{quoted}'{}", if owned { " --i-own-this-cluster" } else { "" })
}

fn drop_rules(file: &Path, healed: &mut Healed) -> Result<(), OpenError> {
    let name = file.display();
    let input = |why: String| OpenError::Input(why);
    let text = std::fs::read_to_string(file)
        .map_err(|error| input(format!("failed to read {name}: {error}")))?;
    let definition =
        Definition::parse(&name.to_string(), &text).map_err(|error| input(error.to_string()))?;
    let control = definition.control;
    match proxy::undo_all(&definition) {
        Ok(rules) => {
            let removed =
                |rule: &String| format!("undid the rule {rule} of the proxy at {control}");
            healed.undone.extend(rules.iter().map(removed));
            Ok(())
        }
        Err(proxy::Failed::Refused(why)) => {
            Err(OpenError::Target(TargetError::Unusable(format!("{name}: {why}"))))
        }
        Err(error) => {
            healed.left.push(format!(
                "cannot undo the rules of the proxy at {control}: {error}; mend it with: \
                 rashomon proxy --at {control} stop"
            ));
            Ok(())
        }
    }
}
