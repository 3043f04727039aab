//! `rashomon heal`: undo what a killed run left broken.

use crate::cli::args::HealArgs;
use crate::cli::exit::{Exit, Failure};

#[cfg(feature = "live")]
pub(crate) fn heal(args: &HealArgs) -> Result<Exit, Failure> {
    use crate::target::TargetError;

    let journal = if args.run.is_dir() { args.run.join("faults.jsonl") } else { args.run.clone() };
    if !journal.exists() {
        if args.run.is_dir() {
            println!("{} has no fault journal: nothing was broken", args.run.display());
            return Ok(Exit::Holds);
        }
        return Err(Failure::bad_input(format!(
            "{} is no run and no fault journal",
            args.run.display()
        )));
    }
    match crate::target::heal(&journal) {
        Ok(healed) if healed.is_empty() => println!("nothing is broken"),
        Ok(healed) => {
            for fault in healed {
                println!("healed {fault}");
            }
        }
        Err(TargetError::Unhealed(why)) => {
            return Err(Failure { exit: Exit::Unhealed, message: why });
        }
        Err(TargetError::Unusable(why)) => return Err(Failure::target(why)),
    }
    Ok(Exit::Holds)
}

#[cfg(not(feature = "live"))]
pub(crate) fn heal(_args: &HealArgs) -> Result<Exit, Failure> {
    Err(Failure::bad_input("this build has no live targets, so there is nothing to heal"))
}
