//! Opens the target that a file describes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::target::client::Factory;
use crate::target::commands::Commands;
use crate::target::config::{Patience, TargetConfig};
use crate::target::exec::Injector;
use crate::target::furnish;
use crate::target::renewal::Renewal;
use crate::target::stores::{Adapter, Probe, adapter};
use crate::target::{FaultJournal, LiveTarget, Target, TargetError};

/// The name of the fault journal in the directory of a run.
pub const FAULT_JOURNAL: &str = "faults.jsonl";

/// How long to wait before a node is asked again whether it is ready.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Sets a target up and waits until every node answers; the error names the one that does not.
///
/// The fault journal lies in `run_dir`, in a directory of its own among the temporary files where
/// there is none. Whatever goes wrong, what was set up is torn down.
pub fn open(config: &TargetConfig, run_dir: Option<&Path>) -> Result<Box<dyn Target>, TargetError> {
    let unusable = |why: String| TargetError::Unusable(format!("{}: {why}", config.name));
    let commands = Commands::new(config);
    let look_up =
        |name: &str| commands.variable(name).cloned().or_else(|| std::env::var(name).ok());
    let adapter = adapter(config, look_up).map_err(unusable)?;
    let directory = run_dir.map_or_else(temporary_directory, Path::to_owned);
    let journal = std::fs::create_dir_all(&directory)
        .and_then(|()| FaultJournal::create(&directory.join(FAULT_JOURNAL)))
        .map_err(|error| unusable(format!("cannot start the fault journal: {error}")))?;
    let mut injector = Injector {
        target: config.name.clone(),
        commands,
        journal,
        renewal: Arc::new(Renewal::new(config.heal_within.0)),
        way: config.way.clone(),
        temporary: run_dir.is_none().then_some(directory),
    };
    let nodes = config.nodes().map(|(name, _)| name).collect();
    let clients = adapter.clone();
    let factory: Factory = Box::new(move |process, node| clients.clone().client(process, node));
    let target = LiveTarget::new(nodes, factory, config.timeout.0)?.following(config.follow);
    if let Some(renew) = &config.renew {
        let renewals = injector.commands.renewals(renew);
        target.runtime().spawn(injector.renewal.clone().keep(renewals, renew.always));
    }
    let set_up = injector.set_up(config.setup.as_ref(), config.teardown.as_ref());
    let set_up = target.runtime().block_on(set_up);
    // From here on, dropping the target undoes what was set up.
    let mut target = target.with_faults(injector);
    // One of several machines does not know when the others are done with the keys; a lab goes with them.
    let is_swept = config.run.is_none() && config.lab.is_none();
    if is_swept && !config.keep_keys {
        target = target.swept_by(adapter.clone());
    }
    set_up?;
    let mut probes = Vec::new();
    for (name, _) in config.nodes() {
        probes.push((name.clone(), adapter.clone().probe(&name).map_err(unusable)?));
    }
    target.runtime().block_on(all_ready(config, &mut probes)).map_err(unusable)?;
    let mut watch = PrimaryWatch { probes, timeout: config.connect_timeout() };
    let cell = target.primary_cell();
    if adapter.knows_primaries() {
        // The first answer before the run, so that the first fault can be aimed.
        target.runtime().block_on(watch.ask(&cell));
    }
    let primary = target.primary_cell().lock().ok().and_then(|primary| primary.clone());
    target.runtime().block_on(prepare(config, &*adapter, primary)).map_err(unusable)?;
    if adapter.knows_primaries() {
        let pause = config.primary_refresh.0;
        target.runtime().spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                watch.ask(&cell).await;
            }
        });
    }
    if let (false, Some(command)) = (adapter.knows_primaries(), &config.primary_command) {
        let cell = target.primary_cell();
        let nodes: Vec<Arc<str>> = config.nodes().map(|(name, _)| name).collect();
        let mut asker = furnish::PrimaryCommand::new(command, nodes);
        target.runtime().block_on(asker.ask(&cell));
        target.runtime().spawn(async move {
            loop {
                tokio::time::sleep(furnish::ASK_BY_COMMAND).await;
                asker.ask(&cell).await;
            }
        });
    }
    Ok(Box::new(target))
}

/// The nodes, and who asks each of them.
type Probes = Vec<(Arc<str>, Box<dyn Probe>)>;

/// Asks all nodes who leads, on connections of its own.
struct PrimaryWatch {
    probes: Probes,
    timeout: Duration,
}

impl PrimaryWatch {
    /// Of several who say that they lead, the one of the highest term does, of equals the first.
    /// Where nobody says so, the last who did is still believed to. A deposed node may say so for a
    /// while: it is a belief, good enough to aim at.
    async fn ask(&mut self, cell: &Mutex<Option<Arc<str>>>) {
        let mut asked = JoinSet::new();
        for (at, (name, mut probe)) in std::mem::take(&mut self.probes).into_iter().enumerate() {
            let limit = self.timeout;
            asked.spawn(async move {
                let term = tokio::time::timeout(limit, probe.leads()).await.unwrap_or(None);
                (at, term, name, probe)
            });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(at, ..)| *at);
        let mut leader: Option<(u64, Arc<str>)> = None;
        for (_, term, name, probe) in answers {
            if let Some(term) = term
                && leader.as_ref().is_none_or(|(highest, _)| term > *highest)
            {
                leader = Some((term, name.clone()));
            }
            self.probes.push((name, probe));
        }
        if let (Some((_, name)), Ok(mut primary)) = (leader, cell.lock()) {
            *primary = Some(name);
        }
    }
}

async fn all_ready(config: &TargetConfig, probes: &mut Probes) -> Result<(), String> {
    let within = config.ready.as_ref().map_or(Patience::<10_000>::default(), |one| one.within).0;
    let deadline = tokio::time::Instant::now() + within;
    for ((name, probe), (_, address)) in probes.iter_mut().zip(config.nodes()) {
        let mut last = "it does not answer".to_owned();
        let answered = async {
            loop {
                match tokio::time::timeout(config.timeout.0, probe.ready()).await {
                    Ok(Ok(())) => break,
                    Ok(Err(why)) => last = why,
                    Err(_) => "it does not answer".clone_into(&mut last),
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        if tokio::time::timeout_at(deadline, answered).await.is_err() {
            let waited = within.as_millis();
            return Err(format!("node {name} at {address} is not ready after {waited} ms: {last}"));
        }
    }
    Ok(())
}

/// Makes what the adapter needs at the primary, or where none is known at the first node that lets it.
async fn prepare(
    config: &TargetConfig,
    adapter: &dyn Adapter,
    primary: Option<Arc<str>>,
) -> Result<(), String> {
    let mut failure = None;
    for name in primary.into_iter().chain(config.nodes().map(|(name, _)| name)) {
        match adapter.prepare(&name).await {
            Ok(()) => return Ok(()),
            Err(why) => failure = failure.or(Some(format!("node {name} is not prepared: {why}"))),
        }
    }
    failure.map_or(Ok(()), Err)
}

/// A directory for a run that keeps no files: its faults must be journaled all the same.
fn temporary_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("rashomon-{}-{number}", std::process::id()))
}
