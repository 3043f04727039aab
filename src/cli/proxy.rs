//! `rashomon proxy`: a proxy, and what is asked of one that runs.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::cli::args::{ProxyAction, ProxyArgs, ProxyRule};
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt;
use crate::proxy::{self, Asked, Cut, Definition, Effect, Failed, Packet, Remote, Way};
use crate::target::Patience;

pub(crate) fn proxy(args: &ProxyArgs) -> Result<Exit, Failure> {
    let lease = args.lease.as_deref().map(time).transpose()?;
    match (&args.action, &args.file) {
        (Some(action), _) => ask(Remote::at(args.at), action).map_err(|failed| failure(&failed)),
        (None, Some(file)) => {
            let definition = read(file)?;
            match lease.filter(|_| args.start) {
                Some(lease) => {
                    proxy::start(file, &definition, lease).map_err(Failure::target)?;
                }
                None => carry(&definition, lease)?,
            }
            Ok(Exit::Holds)
        }
        (None, None) => Err(Failure::bad_input("expected a proxy file; see rashomon proxy --help")),
    }
}

fn read(file: &Path) -> Result<Definition, Failure> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::bad_input(format!("failed to read {name}: {error}")))?;
    Definition::parse(&name, &text).map_err(Failure::bad_input)
}

fn time(text: &str) -> Result<Duration, Failure> {
    Patience::<1>::try_from(text.to_owned()).map(|time| time.0).map_err(Failure::bad_input)
}

fn carry(definition: &Definition, lease: Option<Duration>) -> Result<(), Failure> {
    let stop = interrupt::flag(|| std::process::exit(i32::from(Exit::Interrupted as u8)));
    let announce = || {
        let mut out = io::stdout().lock();
        for (way, port) in definition.links() {
            // Whoever closed the output is not told where the links are.
            let _ = writeln!(out, "{way} {} to {}", port.listen, port.connect);
        }
        let _ = writeln!(out, "rules {}", definition.control);
        let _ = out.flush();
    };
    proxy::serve(definition, lease, announce, &stop)
        .map_err(|error| Failure::target(format!("cannot carry the links: {error}")))
}

fn ask(remote: Remote, action: &ProxyAction) -> Result<Exit, Failed> {
    let answer = match action {
        ProxyAction::Cut { id, ways, open, new, rule } => {
            let effect = Effect::Cut(Cut { open: *open, new: *new });
            remote.set(id, &asked(ways, &[], rule, effect)?)?
        }
        ProxyAction::Packet {
            id,
            ways,
            node,
            delay_ms,
            jitter_ms,
            loss,
            rate_kbit,
            drip_ms,
            duplicate,
            reorder,
            rule,
        } => {
            let effect = Effect::Packet(Packet {
                delay_ms: *delay_ms,
                jitter_ms: *jitter_ms,
                loss: *loss,
                rate_kbit: *rate_kbit,
                drip_ms: *drip_ms,
                duplicate: *duplicate,
                reorder: *reorder,
            });
            remote.set(id, &asked(ways, node, rule, effect)?)?
        }
        ProxyAction::Undo { id } => remote.undo(id)?,
        ProxyAction::Renew { prefix } => remote.renew(prefix)?,
        ProxyAction::Probe { id } => remote.probe(id)?,
        ProxyAction::Rules => remote.rules()?,
        ProxyAction::Stop { if_leased } => {
            let leased = || match remote.rules() {
                Ok(answer) => Ok(!answer["ends-in-ms"].is_null()),
                Err(Failed::Absent(_)) => Ok(false),
                Err(error) => Err(error),
            };
            if !if_leased || leased()? {
                remote.stop()?;
            }
            return Ok(Exit::Holds);
        }
    };
    print(&answer);
    Ok(Exit::Holds)
}

fn asked(
    ways: &[String],
    nodes: &[String],
    rule: &ProxyRule,
    effect: Effect,
) -> Result<Asked, Failed> {
    let ways: Result<Vec<Way>, String> = ways.iter().cloned().map(Way::try_from).collect();
    let lease = Patience::<1>::try_from(rule.heal_within.clone()).map_err(Failed::Refused)?;
    Ok(Asked {
        ways: ways.map_err(Failed::Refused)?,
        nodes: nodes.to_vec(),
        half: rule.half,
        heal_within_ms: lease.0.as_millis() as u64,
        effect,
    })
}

fn print(answer: &Value) {
    let text = serde_json::to_string_pretty(answer).unwrap_or_default();
    // Whoever closed the output does not want to know.
    let _ = writeln!(io::stdout(), "{text}");
}

fn failure(failed: &Failed) -> Failure {
    let exit = match failed {
        Failed::NotInForce(_) => Exit::Violated,
        Failed::Refused(_) => Exit::BadInput,
        Failed::Absent(_) | Failed::Unknown(_) => Exit::Target,
    };
    Failure { exit, message: failed.to_string() }
}
