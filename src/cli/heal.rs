//! `rashomon heal`: undo what killed runs left broken, or whatever a target could have.

use crate::cli::args::HealArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::terminal::Terminal;

#[cfg(feature = "live")]
use std::{
    fs, io,
    path::{Path, PathBuf},
};

#[cfg(feature = "live")]
use crate::{
    cli::lint::is_target,
    cli::run::unopened,
    lab::{self, LAB_FILE, is_root, run_as_root_of_a_namespace},
    run,
    target::{self, FAULT_JOURNAL, Healed, TargetError},
};

#[cfg(feature = "live")]
pub(crate) fn heal(args: &HealArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let path = &args.run;
    if !path.exists() {
        return Err(Failure::bad_input(format!(
            "{} is no run, no fault journal and no target file",
            path.display()
        )));
    }
    if path.extension().is_some_and(|extension| extension == "toml") {
        terminal.tell(|| format!("healing the target of {}", path.display()));
        return heal_target(path, args.i_own_this_cluster);
    }
    let mut runs = Vec::new();
    find_runs(path, &mut runs).map_err(|error| {
        Failure::bad_input(format!("failed to look for runs in {}: {error}", path.display()))
    })?;
    if !is_root() && runs.iter().any(|run| run.join(LAB_FILE).exists()) {
        return Err(super::lab::failure(run_as_root_of_a_namespace()));
    }
    // One that was named need not be named again.
    let is_named = runs == [path.clone()];
    let name = |run: &Path| if is_named { String::new() } else { format!("{}: ", run.display()) };
    let (mut exit, mut wrong, mut was_broken) = (Exit::Holds, Vec::new(), false);
    for run in &runs {
        terminal.tell(|| format!("healing {}", run.display()));
        let (done, failures) = mend(run);
        was_broken |= !done.is_empty();
        for done in done {
            println!("{}{done}", name(run));
        }
        for Failure { exit: why, message } in failures {
            // What is still broken outweighs what could not be asked.
            exit = if exit == Exit::Unhealed { exit } else { why };
            wrong.push(format!("{}{message}", name(run)));
        }
    }
    if !wrong.is_empty() {
        return Err(Failure { exit, message: wrong.join("\n") });
    }
    if runs.is_empty() {
        println!("{} has no fault journal: nothing was broken", path.display());
    } else if !was_broken {
        println!("nothing is broken");
    }
    Ok(Exit::Holds)
}

/// Mends whatever the target of a file could have.
#[cfg(feature = "live")]
fn heal_target(path: &Path, owned: bool) -> Result<Exit, Failure> {
    if !fs::read_to_string(path).is_ok_and(|text| is_target(&text)) {
        let message = format!("{} is no target file: it has no `adapter`", path.display());
        return Err(Failure::bad_input(message));
    }
    let Healed { undone, left } = run::heal(path, owned).map_err(unopened)?;
    for done in &undone {
        println!("{done}");
    }
    if !left.is_empty() {
        return Err(Failure { exit: Exit::Unhealed, message: left.join("\n") });
    }
    if undone.is_empty() {
        println!("nothing to undo");
    }
    Ok(Exit::Holds)
}

/// The run that lies there, or those below; a fault journal stands for its run.
#[cfg(feature = "live")]
fn find_runs(path: &Path, runs: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() || [FAULT_JOURNAL, LAB_FILE].iter().any(|file| path.join(file).is_file()) {
        runs.push(path.to_owned());
        return Ok(());
    }
    let mut below = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    below.sort_by_key(fs::DirEntry::path);
    for entry in below {
        // What a link names is not below.
        if entry.file_type()?.is_dir() {
            find_runs(&entry.path(), runs)?;
        }
    }
    Ok(())
}

/// Undoes what is left of one run: what was done, and what could not be.
#[cfg(feature = "live")]
fn mend(run: &Path) -> (Vec<String>, Vec<Failure>) {
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    let journal = if run.is_dir() { run.join(FAULT_JOURNAL) } else { run.to_owned() };
    let healed = if journal.exists() { target::heal(&journal) } else { Ok(Vec::new()) };
    match healed {
        Ok(healed) => done.extend(healed.iter().map(|fault| format!("healed {fault}"))),
        Err(TargetError::Unhealed(why)) => {
            failures.push(Failure { exit: Exit::Unhealed, message: why });
        }
        Err(TargetError::Unusable(why)) => failures.push(Failure::target(why)),
    }
    // A lab goes whatever could not be healed in it.
    match lab::heal(run) {
        Ok(true) => done.push("took the lab down".to_owned()),
        Ok(false) => {}
        Err(error) => failures.push(super::lab::failure(error)),
    }
    (done, failures)
}

#[cfg(not(feature = "live"))]
pub(crate) fn heal(_args: &HealArgs, _terminal: &Terminal) -> Result<Exit, Failure> {
    Err(Failure::bad_input("this build has no live targets, so there is nothing to heal"))
}
