//! `rashomon heal`: undo what a killed run left broken.

use crate::cli::args::HealArgs;
use crate::cli::exit::{Exit, Failure};

#[cfg(feature = "live")]
pub(crate) fn heal(args: &HealArgs) -> Result<Exit, Failure> {
    use crate::target::TargetError;

    if !crate::lab::is_root() && args.run.join(crate::lab::LAB_FILE).exists() {
        return Err(super::lab::failure(crate::lab::run_as_root_of_a_namespace()));
    }
    let journal = if args.run.is_dir() { args.run.join("faults.jsonl") } else { args.run.clone() };
    if !journal.exists() {
        if args.run.is_dir() {
            if take_down(args)? {
                return Ok(Exit::Holds);
            }
            println!("{} has no fault journal: nothing was broken", args.run.display());
            return Ok(Exit::Holds);
        }
        return Err(Failure::bad_input(format!(
            "{} is no run and no fault journal",
            args.run.display()
        )));
    }
    let healed = crate::target::heal(&journal);
    // A lab goes whatever could not be healed in it.
    let down = take_down(args);
    match healed {
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
    down.map(|_| Exit::Holds)
}

/// Takes the lab of a run down, if it has one.
#[cfg(feature = "live")]
fn take_down(args: &HealArgs) -> Result<bool, Failure> {
    let down = args.run.is_dir() && crate::lab::heal(&args.run).map_err(super::lab::failure)?;
    if down {
        println!("took the lab down");
    }
    Ok(down)
}

#[cfg(not(feature = "live"))]
pub(crate) fn heal(_args: &HealArgs) -> Result<Exit, Failure> {
    Err(Failure::bad_input("this build has no live targets, so there is nothing to heal"))
}
