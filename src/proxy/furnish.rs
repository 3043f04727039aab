//! The faults of a target whose network is that of a proxy.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::proxy::definition::{CLIENTS, Definition};
use crate::proxy::rule::{New, Open};
use crate::target::{Furnished, Furniture, ProxyChoice, TargetConfig, Way};

/// How many times longer than its rules a proxy goes on that nobody renews: the nodes are to find each
/// other again through it before it ends.
const OUTLIVES: u32 = 3;

/// Completes a target file that has a proxy: what can be done to its network, by commands that any shell
/// can run later. `file` is the proxy file. Nothing is started.
///
/// # Errors
/// If the proxy file cannot be read, or a node of the target has no link there, or is driven past the
/// proxy although the proxy has a link for its clients.
pub fn furnish(config: &mut TargetConfig, choice: &ProxyChoice, file: &Path) -> Result<(), String> {
    let name = file.display().to_string();
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("failed to read {name}: {error}"))?;
    let definition = Definition::parse(&name, &text).map_err(|error| error.to_string())?;
    let is = |word: &Option<String>, known: &[&str]| match word {
        Some(word) if !known.contains(&word.as_str()) => {
            Err(format!("[proxy] `{word}`: expected one of {}", known.join(", ")))
        }
        _ => Ok(word.clone().unwrap_or_else(|| known[0].to_owned())),
    };
    let (open, new) = (is(&choice.open, &Open::WORDS)?, is(&choice.new, &New::WORDS[..2])?);
    let known = definition.nodes();
    let mut has_clients = true;
    for (node, address) in config.nodes() {
        if !known.contains(&&*node) {
            return Err(format!("{name} has no link of node {node}; it has {}", known.join(", ")));
        }
        let link = definition.links().find(|(way, _)| way.from == CLIENTS && way.to == *node);
        match link {
            None => has_clients = false,
            Some((_, port)) if is_at(address, &port.listen.to_string()) => {}
            Some((_, port)) => {
                return Err(format!(
                    "node {node} is driven at {address}, past the proxy, which has a port for its \
                     clients: {}",
                    port.listen
                ));
            }
        }
    }
    let file = std::path::absolute(file).map_err(|error| format!("{name}: {error}"))?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = quoted(&program.display().to_string());
    let at = format!("{program} proxy --at {}", definition.control);
    let within = config.heal_within();
    let lease = format!("--heal-within {}ms", within.as_millis());
    // The rules of a run have names of their own: the undo of another run does not touch them.
    let run = nobody_elses();
    let fault = |name: &'static str, id: &str, before: &str, act: &str, how: &str| {
        let id = format!("\"{run}-{id}\"");
        let inject = format!("{before}{at} {act} {id} {how} {lease}");
        Furnished::new(name, inject, format!("{at} undo {id}")).probed(format!("{at} probe {id}"))
    };
    let cut = format!("$cuts --open {open} --new {new}");
    let packet = "--node \"$node\" --delay-ms \"${delay_ms:-0}\" --jitter-ms \"${jitter_ms:-0}\" \
                  --loss \"${loss:-0}\" --rate-kbit \"${rate_kbit:-0}\" \
                  --duplicate \"${duplicate:-0}\" --reorder \"${reorder:-0}\"";
    let mut faults = vec![
        fault("partition", "F$fault", "", "cut", &cut),
        fault("packet", "F$fault-$node", "", "packet", packet),
    ];
    if has_clients {
        // Where only answers are lost, what is asked is done, also on a connection that is new.
        let ways = "case \"$lost\" in answers) set -- \"$node>clients\" --new pass ;; \
                    *) set -- \"clients>$node\" \"$node>clients\" ;; esac; ";
        faults.push(fault("disconnect", "F$fault-$node", ways, "cut", "\"$@\" --half"));
    }
    let outlives = (within * OUTLIVES).as_millis();
    let start =
        format!("proxy {} --start --lease {outlives}ms", quoted(&file.display().to_string()));
    config.equip(Furniture {
        nodes: Vec::new(),
        faults,
        primary: None,
        renew: Some(format!("{at} renew {run}-")),
        way: Some(Way {
            check: format!("{program} {start}"),
            release: format!("{at} stop --if-leased"),
            is_leased: true,
        }),
    });
    Ok(())
}

/// Whether an address of a target file is that of a port.
fn is_at(address: &str, listen: &str) -> bool {
    let host = address.split_once("://").map_or(address, |(_, host)| host);
    host.split('/').next() == Some(listen)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What no other run calls its rules.
fn nobody_elses() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{:x}", std::process::id(), now.as_millis() & 0xffff_ffff)
}
