//! `rashomon lab`: real clusters on this machine.

use std::fs;
use std::os::unix::process::CommandExt;
use std::time::Instant;

use crate::cli::args::LabAction;
use crate::cli::exit::{Exit, Failure};
use crate::cli::run::pairs;
use crate::cli::terminal::{Terminal, since};
use crate::lab::{Lab, LabError, Request, keep_clocks, switch, up, watch};
use crate::target::Network;

pub(crate) fn lab(action: &LabAction, terminal: &Terminal) -> Result<Exit, Failure> {
    match action {
        LabAction::Up { store, name, nodes, set, network, disk } => {
            let settings = pairs(set)?;
            let network = match network.as_str() {
                "bridge" => Network::Bridge,
                "switch" => Network::Switch,
                other => {
                    let why = format!("--network {other}: expected bridge or switch");
                    return Err(Failure::bad_input(why));
                }
            };
            let request = Request {
                store,
                name: name.as_deref(),
                nodes: *nodes,
                settings: &settings,
                network,
                disk: disk.as_deref(),
                within: None,
            };
            terminal.tell(|| format!("bringing up {store}"));
            let begun = Instant::now();
            let lab = up(&request).map_err(failure)?;
            terminal.tell(|| format!("{} is ready after {}", lab.name, since(begun)));
            if terminal.progress {
                show(&lab);
            }
        }
        LabAction::Status { lab: None } => {
            for name in Lab::names() {
                println!("{name}");
            }
        }
        LabAction::Status { lab: Some(name) } => show(&find(name)?),
        LabAction::Exec { lab, node, command } => {
            let lab = find(lab)?;
            let node = match node {
                Some(name) => lab.node(name).map_err(failure)?,
                None => &lab.nodes[0],
            };
            let mut script = lab.script(&["enter", &node.name]);
            // The command takes the place of this process: its terminal, its signals, its exit code.
            let error = script.args(command).stdin(std::process::Stdio::inherit()).exec();
            return Err(Failure::target(format!("cannot run bash: {error}")));
        }
        LabAction::Logs { lab, node, lines } => {
            let lab = find(lab)?;
            let nodes = match node {
                Some(name) => vec![lab.node(name).map_err(failure)?],
                None => lab.nodes.iter().collect(),
            };
            for node in nodes {
                for log in lab.logs(node) {
                    println!("==> {}", log.display());
                    let text = fs::read(&log).unwrap_or_default();
                    let text = String::from_utf8_lossy(&text);
                    let all: Vec<&str> = text.lines().collect();
                    for line in &all[all.len().saturating_sub(*lines)..] {
                        println!("{line}");
                    }
                }
            }
        }
        LabAction::Do { lab, action, node } => {
            let lab = find(lab)?;
            let node = &lab.node(node).map_err(failure)?.name;
            let done = match action.as_str() {
                "promote" if !lab.steps.contains("promote") => {
                    Err(LabError::Input(format!("{} has no way to promote a node", lab.store)))
                }
                "promote" => lab.act(&["step", node, "promote", "30"]),
                "kill" | "start" | "pause" | "resume" => lab.act(&[action, node]),
                _ => Err(LabError::Input(format!(
                    "unknown action `{action}` (known: kill, start, pause, resume, promote)"
                ))),
            };
            done.map_err(failure)?;
        }
        LabAction::Cut { lab, links } => {
            let lab = find(lab)?;
            for link in links {
                let (from, to) = link.split_once('>').ok_or_else(|| {
                    Failure::bad_input(format!("`{link}` is no link; expected one like n1>n2"))
                })?;
                lab.node(from).and_then(|_| lab.node(to)).map_err(failure)?;
            }
            // Cuts by hand are one fault with a number that no run gives.
            lab.act(&["join", BY_HAND]).map_err(failure)?;
            let links = links.iter().map(String::as_str);
            lab.act(&["cut", BY_HAND].into_iter().chain(links).collect::<Vec<_>>())
                .map_err(failure)?;
        }
        LabAction::Switch { directory } => switch(directory).map_err(failure)?,
        LabAction::Watch { directory } => watch(directory).map_err(failure)?,
        LabAction::Clock { directory, node } => keep_clocks(directory, node).map_err(failure)?,
        LabAction::Down { labs, logs } => {
            for name in labs {
                if let (Some(logs), Ok(lab)) = (logs, Lab::find(name)) {
                    lab.keep_logs(logs).map_err(failure)?;
                }
                let removed = Lab::down(name).map_err(failure)?;
                if terminal.progress && removed.is_empty() {
                    println!("{name}: nothing is up");
                }
                for what in removed.iter().filter(|_| terminal.progress) {
                    println!("removed {what}");
                }
            }
        }
    }
    Ok(Exit::Holds)
}

/// The number of the fault that is all cuts made by hand.
const BY_HAND: &str = "0";

fn find(name: &str) -> Result<Lab, Failure> {
    Lab::find(name).map_err(failure)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
pub(crate) fn failure(error: LabError) -> Failure {
    let exit = match error {
        LabError::Input(_) => Exit::BadInput,
        LabError::Failed(_) => Exit::Target,
        LabError::Left(_) => Exit::Unhealed,
    };
    Failure { exit, message: error.to_string() }
}

/// `postgres (8) pgbouncer`: each name once.
fn counted(names: &[String]) -> String {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match counted.iter_mut().find(|(other, _)| other == name) {
            Some((_, count)) => *count += 1,
            None => counted.push((name, 1)),
        }
    }
    let each = counted.iter().map(|(name, count)| match count {
        1 => (*name).to_owned(),
        many => format!("{name} ({many})"),
    });
    each.collect::<Vec<_>>().join(" ")
}

/// A line a node, and what is cut.
fn show(lab: &Lab) {
    let settings = lab.settings.iter().map(|(name, value)| format!(" {name}={value}"));
    let settings: String = settings.collect();
    println!("{}: {}{settings}, in {}", lab.name, lab.store, lab.directory.display());
    for node in &lab.nodes {
        let status = lab.status(node);
        let ready = if status.ready { "ready" } else { "not ready" };
        let primary = if status.primary == Some(true) { ", primary" } else { "" };
        let processes = match status.processes.as_slice() {
            [] => "no process".to_owned(),
            some => counted(some),
        };
        println!("  {:3} {:12} {ready}{primary}: {processes}", node.name, node.address);
    }
    let cuts = lab.cuts();
    if !cuts.is_empty() {
        println!("  cut: {}", cuts.join(" "));
    }
}
