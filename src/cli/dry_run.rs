//! `rashomon run --dry-run`: what would be done to the nodes.

use std::path::Path;

use crate::cli::args::RunArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::run::unopened;
use crate::run::{beside, read_target};
use crate::target::rehearse;
use crate::workload::{TargetChoice, Workload};

pub(crate) fn dry_run(args: &RunArgs, workload: &Workload) -> Result<Exit, Failure> {
    let TargetChoice::File { path, .. } = &workload.target else {
        return Err(Failure::bad_input("--dry-run: a simulated store takes no commands"));
    };
    let path = beside(&args.workload, Path::new(path));
    let (config, _) = read_target(&path, workload).map_err(unopened)?;
    let nodes: Vec<_> = config.nodes().map(|(node, _)| node).collect();
    let faults = workload.fault_schedule(args.seed.unwrap_or(1), &nodes);
    let commands = rehearse(&config, &faults).map_err(Failure::bad_input)?;
    if commands.is_empty() {
        println!("# the run breaks nothing, and nothing is set up");
    }
    if config.lab.is_some() {
        println!("# the lab is brought up before it; its commands lie in the directory of the lab");
    }
    for (what, command) in commands {
        println!(
            "# {what}{}",
            if command.node.is_empty() { String::new() } else { format!(", on {}", command.node) }
        );
        println!("{}", command.typed());
    }
    println!(
        "# times are from the start of the run; a fault aimed at the primary hits whom it is then"
    );
    Ok(Exit::Holds)
}
