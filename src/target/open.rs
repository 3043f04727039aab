//! Opens the target that a file describes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use toml::Spanned;

use crate::target::answer::Rule;
use crate::target::config::{Patience, PrimaryQuestion, TargetConfig};
use crate::target::exec::Injector;
use crate::target::http::{HttpAdapter, HttpClient};
use crate::target::{FaultJournal, LiveTarget, Target, TargetError};

/// The name of the fault journal in the directory of a run.
pub const FAULT_JOURNAL: &str = "faults.jsonl";

/// How often the nodes are asked who leads.
const ASK_FOR_PRIMARY: Duration = Duration::from_millis(250);

/// How long to wait before a node is asked again whether it is ready.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Sets a target up and waits until every node answers; the error names the one that does not.
///
/// The fault journal lies in `run_dir`, in a directory of its own among the temporary files where
/// there is none. Whatever goes wrong, what was set up is torn down.
pub fn open(config: &TargetConfig, run_dir: Option<&Path>) -> Result<Box<dyn Target>, TargetError> {
    let unusable = |why: String| TargetError::Unusable(format!("{}: {why}", config.name));
    let surrounding = |name: &str| std::env::var(name).ok();
    // A variable around rashomon wins over the default of the file.
    let environment: BTreeMap<String, String> = config
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), surrounding(name).unwrap_or_else(|| value.clone())))
        .collect();
    let look_up = |name: &str| environment.get(name).cloned().or_else(|| surrounding(name));
    let adapter = Arc::new(HttpAdapter::new(config, look_up).map_err(unusable)?);
    let directory = run_dir.map_or_else(temporary_directory, Path::to_owned);
    let journal = std::fs::create_dir_all(&directory)
        .and_then(|()| FaultJournal::create(&directory.join(FAULT_JOURNAL)))
        .map_err(|error| unusable(format!("cannot start the fault journal: {error}")))?;
    let mut injector = Injector {
        target: config.name.clone(),
        nodes: config.nodes().map(|(name, url)| (name, url.to_owned())).collect(),
        faults: config.fault.clone(),
        environment,
        journal,
        temporary: run_dir.is_none().then_some(directory),
    };
    let nodes = config.nodes().map(|(name, _)| name).collect();
    let target = LiveTarget::new(nodes, adapter.factory(), config.timeout.0)?;
    let set_up = injector.set_up(config.setup.as_ref(), config.teardown.as_ref());
    let set_up = target.runtime().block_on(set_up);
    // From here on, dropping the target undoes what was set up.
    let target = target.with_faults(injector);
    set_up?;
    target.runtime().block_on(all_ready(config, &adapter)).map_err(unusable)?;
    if let Some(question) = &config.primary {
        // The first answer before the run, so that the first fault can be aimed.
        let cell = target.primary_cell();
        let watch = PrimaryWatch::new(question, config, &adapter).map_err(unusable)?;
        target.runtime().block_on(watch.ask(&cell));
        target.runtime().spawn(async move {
            loop {
                tokio::time::sleep(ASK_FOR_PRIMARY).await;
                watch.ask(&cell).await;
            }
        });
    }
    Ok(Box::new(target.started_now()))
}

/// Asks the nodes in turn who leads, on connections of its own.
struct PrimaryWatch {
    question: PrimaryQuestion,
    nodes: Vec<(Arc<str>, HttpClient)>,
    timeout: Duration,
}

impl PrimaryWatch {
    fn new(
        question: &PrimaryQuestion,
        config: &TargetConfig,
        adapter: &Arc<HttpAdapter>,
    ) -> Result<Self, String> {
        let client = |(name, _)| Ok((Arc::clone(&name), adapter.client(&name)?));
        let nodes = config.nodes().map(client).collect::<Result<_, String>>()?;
        Ok(Self { question: question.clone(), nodes, timeout: config.connect_timeout() })
    }

    /// Where nobody says that it leads, the last who did is still believed to. A deposed node may
    /// say so for a while: it is a belief, good enough to aim at.
    async fn ask(&self, cell: &Mutex<Option<Arc<str>>>) {
        for (name, client) in &self.nodes {
            let answer = tokio::time::timeout(self.timeout, client.leads(&self.question)).await;
            if answer == Ok(true) {
                if let Ok(mut primary) = cell.lock() {
                    *primary = Some(name.clone());
                }
                return;
            }
        }
    }
}

async fn all_ready(config: &TargetConfig, adapter: &Arc<HttpAdapter>) -> Result<(), String> {
    let ready = config.ready.as_ref();
    let path = ready.map_or("/", |ready| &ready.path);
    let rules = ready.map_or(&[][..], |ready| &ready.answer);
    let rules: Vec<Rule> = rules.iter().map(Spanned::get_ref).cloned().collect();
    let within = ready.map_or(Patience::<10_000>::default(), |ready| ready.within).0;
    let deadline = tokio::time::Instant::now() + within;
    for (name, url) in config.nodes() {
        let client = adapter.client(&name)?;
        let mut last = "it does not answer".to_owned();
        let answered = async {
            loop {
                match tokio::time::timeout(config.timeout.0, client.ready(path, &rules)).await {
                    Ok(Ok(())) => break,
                    Ok(Err(why)) => last = why,
                    Err(_) => "it does not answer".clone_into(&mut last),
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        if tokio::time::timeout_at(deadline, answered).await.is_err() {
            let waited = within.as_millis();
            return Err(format!("node {name} at {url} is not ready after {waited} ms: {last}"));
        }
    }
    Ok(())
}

/// A directory for a run that keeps no files: its faults must be journaled all the same.
fn temporary_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("rashomon-{}-{number}", std::process::id()))
}
