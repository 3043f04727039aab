//! A lab as the target of a run: up before it, broken by its faults, down after it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::lab::definition::Definition;
use crate::lab::state::{Lab, LabError, down, root};
use crate::lab::up::{Request, up};
use crate::lab::watch::Renewal;
use crate::model::{Action, Event, FaultId, Nanos};
use crate::target::{
    self, Furnished, Furniture, Healed, LabChoice, ShellCommand, Target, TargetConfig, TargetError,
};

/// The file in the directory of a run that says where its lab lies. It is there, on disk, before
/// anything of the lab is made.
pub const LAB_FILE: &str = "lab";

/// How long it may take to undo everything at a node.
const HEALING: Duration = Duration::from_secs(90);

/// Completes a target file that has its nodes in a lab: what they are called, and what can be done to
/// them. Nothing is brought up.
pub fn choose(config: &mut TargetConfig, choice: &LabChoice) -> Result<(), String> {
    let definition = Definition::find(&choice.store)?;
    definition.settle(&settings(choice))?;
    let count = choice.nodes.unwrap_or(*definition.nodes.get_ref());
    let nodes =
        (1..=count).map(|index| (format!("n{index}"), format!("10.77.0.{index}"))).collect();
    let promotes = definition.promote.is_some();
    config.furnish(choice, furniture("", nodes, promotes, definition.primary.is_some()))
}

/// Brings the lab of a target file up and opens the target. When it is closed, or dropped, every fault
/// is undone and the lab is taken down, unless the target file keeps it; the logs of the nodes go into
/// the directory of the run.
///
/// After a crash, `heal` of the same directory does all that is left to do.
pub fn open(
    mut config: TargetConfig,
    choice: &LabChoice,
    run_dir: &Path,
) -> Result<(Box<dyn Target>, TargetConfig), TargetError> {
    let definition = Definition::find(&choice.store).map_err(TargetError::Unusable)?;
    let store = definition.name.get_ref();
    let name = if choice.keep { store.clone() } else { format!("{store}-{}", nobody_elses()) };
    let settings = settings(choice);
    let within = config.heal_within();
    let request = Request {
        store: &choice.store,
        name: Some(&name),
        nodes: choice.nodes,
        settings: &settings,
        network: choice.network.unwrap_or_default(),
        disk: choice.disk.as_deref(),
        within: (!choice.keep).then_some(within),
    };
    let renewal = Renewal::start(root().join(&name), within);
    let there = if choice.keep { Lab::find(&name).ok() } else { None };
    let lab = if let Some(lab) = there {
        is_as_asked(&lab, &definition, choice).map_err(TargetError::Unusable)?;
        lab
    } else {
        if !choice.keep {
            announce(run_dir, &root().join(&name))?;
        }
        up(&request).map_err(|error| {
            // Nothing is left to be taken down, unless that is what the error says.
            if !root().join(&name).exists() {
                let _ = fs::remove_file(run_dir.join(LAB_FILE));
            }
            unusable(error)
        })?
    };
    let mut guard = LabTarget {
        inner: None,
        lab: lab.clone(),
        run_dir: run_dir.to_owned(),
        keep: choice.keep,
        renewal: Some(renewal),
    };
    let nodes = lab.nodes.iter().map(|node| (node.name.clone(), node.address.clone())).collect();
    let script = lab.directory.join("lab.sh").display().to_string();
    let has = |step: &str| lab.steps.contains(step);
    config
        .furnish(choice, furniture(&script, nodes, has("promote"), has("primary")))
        .map_err(TargetError::Unusable)?;
    guard.inner = Some(target::open(&config, Some(run_dir))?);
    Ok((Box::new(guard), config))
}

/// Whether a lab that is up can be used for a run.
fn is_as_asked(lab: &Lab, definition: &Definition, choice: &LabChoice) -> Result<(), String> {
    let name = &lab.name;
    let count = choice.nodes.unwrap_or(*definition.nodes.get_ref());
    let network = choice.network.unwrap_or(lab.network);
    let same = lab.settings == definition.settle(&settings(choice))?
        && (lab.nodes.len(), lab.network, &lab.disk) == (count, network, &choice.disk);
    if !same {
        return Err(format!(
            "the lab {name} is up with other nodes, settings, network or disks; take it down with \
             `rashomon lab down {name}`"
        ));
    }
    let reached = lab.reach().map_err(|error| error.to_string())?;
    if reached.len() < count * (count - 1) {
        return Err(format!(
            "not every node of the lab {name} reaches every other; see `rashomon lab status {name}`"
        ));
    }
    Ok(())
}

/// What no other lab is called. Process ids are small and used again where they are counted anew; one
/// process may have several labs at a time.
fn nobody_elses() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{:x}-{number}", std::process::id(), now.as_millis() & 0xffff_ffff)
}

/// Takes down the lab of a run that was killed; whether there was one. Its faults come first.
pub fn heal(run_dir: &Path) -> Result<bool, LabError> {
    let file = run_dir.join(LAB_FILE);
    let Ok(text) = fs::read_to_string(&file) else { return Ok(false) };
    // A path that was not wholly written belongs to a lab that was not begun.
    if let Some(directory) = text.strip_suffix('\n') {
        down(Path::new(directory))?;
    }
    let _ = fs::remove_file(file);
    Ok(true)
}

/// Undoes whatever is in force in the lab that is up under the name of the store, also what was done by hand,
/// and sees that every node reaches every other. Its nodes are those of the target file then. Whether there
/// is such a lab; those that runs have brought up for themselves go with their runs.
pub fn mend(
    config: &mut TargetConfig,
    choice: &LabChoice,
    healed: &mut Healed,
) -> Result<bool, TargetError> {
    let definition = Definition::find(&choice.store).map_err(TargetError::Unusable)?;
    let name = definition.name.get_ref();
    if !root().join(name).exists() {
        return Ok(false);
    }
    let lab = Lab::find(name).map_err(unusable)?;
    let nodes = lab.nodes.iter().map(|node| (node.name.clone(), node.address.clone())).collect();
    let script = lab.directory.join("lab.sh").display().to_string();
    config
        .furnish(choice, furniture(&script, nodes, false, false))
        .map_err(TargetError::Unusable)?;
    let act = |node: &str, action: &str| ShellCommand {
        node: node.to_owned(),
        command: format!("bash '{script}' {action}"),
        variables: [("node".to_owned(), node.to_owned())].into(),
        timeout_ms: HEALING.as_millis() as u64,
    };
    let all = lab.nodes.iter().map(|node| &*node.name).collect::<Vec<_>>().join(",");
    let mut steps = vec![("faults", act(&all, "mend"))];
    // What is left of cuts was made by hand.
    let join = format!(
        "for cut in '{}'/cuts/*; do [ ! -e \"$cut\" ] || bash '{script}' join \"${{cut##*/}}\" || exit; done",
        lab.directory.display()
    );
    steps.push(("cuts", ShellCommand { command: join, ..act(&all, "") }));
    for node in &lab.nodes {
        steps.push(("a pause", act(&node.name, "resume \"$node\"")));
        steps.push(("a kill", act(&node.name, "start \"$node\"")));
    }
    let before = healed.left.len();
    for (what, command) in steps {
        healed.run(what, &command, &command.typed())?;
    }
    if healed.left.len() == before {
        match whole(&lab) {
            Ok(()) => healed.undone.push(format!("undid whatever was in force in the lab {name}")),
            Err(why) => healed.left.push(why),
        }
    }
    Ok(true)
}

/// Whether every node of a lab reaches every other.
fn whole(lab: &Lab) -> Result<(), String> {
    let (name, links) = (&lab.name, lab.nodes.len() * (lab.nodes.len() - 1));
    let mut reached = Vec::new();
    // On a busy machine a datagram may come after it was counted.
    for _ in 0..5 {
        reached = lab.reach().map_err(|error| format!("the lab {name}: {error}"))?;
        if reached.len() == links {
            return Ok(());
        }
    }
    Err(format!(
        "in the lab {name} packets arrive on these links only: {}; mend it with: rashomon lab down {name}",
        reached.join(" ")
    ))
}

fn settings(choice: &LabChoice) -> Vec<(String, String)> {
    choice.set.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn unusable(error: LabError) -> TargetError {
    match error {
        LabError::Left(why) => TargetError::Unhealed(why),
        LabError::Input(why) | LabError::Failed(why) => TargetError::Unusable(why),
    }
}

fn announce(run_dir: &Path, directory: &Path) -> Result<(), TargetError> {
    let path = run_dir.join(LAB_FILE);
    let write = || {
        let mut file = File::create(&path)?;
        writeln!(file, "{}", directory.display())?;
        file.sync_all()
    };
    write().map_err(|error: std::io::Error| {
        TargetError::Unusable(format!("failed to write {}: {error}", path.display()))
    })
}

/// The faults of every lab.
const FAULTS: [&str; 11] = [
    "kill",
    "pause",
    "partition",
    "packet",
    "skew",
    "throttle",
    "memory",
    "disk-full",
    "power-loss",
    "truncate",
    "bitflip",
];

/// What a lab knows of its nodes. A lab that is gone has nothing to be undone in.
fn furniture(
    script: &str,
    nodes: Vec<(String, String)>,
    promotes: bool,
    knows_primary: bool,
) -> Furniture {
    let act = |action: &str| format!("bash '{script}' {action}");
    let undo = |action: &str| format!("[ ! -e '{script}' ] || bash '{script}' {action}");
    let fault = |name| {
        let (inject, undo) = (act(&format!("inject {name}")), undo(&format!("undo {name}")));
        let probe = format!("[ -e '{script}' ] && bash '{script}' probe {name}");
        Furnished::new(name, inject, undo).probed(probe)
    };
    let mut faults: Vec<_> = FAULTS.into_iter().map(fault).collect();
    if promotes {
        let promote = act("step \"$node\" promote 30");
        faults.push(Furnished::new("promote", promote, "true".to_owned()));
    }
    let primary = knows_primary.then(|| act("step \"$node\" primary 2"));
    Furniture { nodes, faults, primary, renew: None, way: None }
}

/// A target whose nodes are a lab.
struct LabTarget {
    /// Absent until it is opened.
    inner: Option<Box<dyn Target>>,
    lab: Lab,
    run_dir: PathBuf,
    keep: bool,
    /// As long as this process lives, the lab does not heal itself.
    renewal: Option<Renewal>,
}

impl LabTarget {
    fn inner(&mut self) -> &mut dyn Target {
        &mut **self.inner.as_mut().expect("nobody has it before it is opened")
    }
}

impl Target for LabTarget {
    fn nodes(&self) -> &[Arc<str>] {
        self.inner.as_ref().map_or(&[], |inner| inner.nodes())
    }

    fn now(&self) -> Nanos {
        self.inner.as_ref().map_or(Nanos(0), |inner| inner.now())
    }

    fn restart_clock(&mut self) {
        self.inner().restart_clock();
    }

    fn begin(&mut self, action: &Action) -> Result<(), TargetError> {
        self.inner().begin(action)
    }

    fn arrived(&mut self) -> Option<Event> {
        self.inner().arrived()
    }

    fn advance(&mut self, until: Nanos) -> Option<Event> {
        self.inner().advance(until)
    }

    fn added_latency(&self) -> Option<Nanos> {
        self.inner.as_ref()?.added_latency()
    }

    fn settled(&mut self, id: FaultId) -> Result<bool, TargetError> {
        self.inner().settled(id)
    }

    fn primary(&mut self) -> Option<Arc<str>> {
        self.inner().primary()
    }

    fn verified(&self, id: FaultId) -> Option<bool> {
        self.inner.as_ref()?.verified(id)
    }

    fn close(&mut self) -> Result<(), TargetError> {
        let healed = self.inner.as_mut().map_or(Ok(()), |inner| inner.close());
        self.renewal = None;
        if self.keep || !self.run_dir.join(LAB_FILE).exists() {
            return healed;
        }
        let _open = target::pass_blocking();
        // Logs that cannot be copied are no reason to leave a cluster behind.
        let _ = self.lab.keep_logs(&self.run_dir.join("logs"));
        let down = heal(&self.run_dir).map(|_| ()).map_err(|error| {
            let (name, run) = (&self.lab.name, self.run_dir.display());
            TargetError::Unhealed(format!(
                "cannot take down the lab {name}: {error}; mend it with: rashomon heal {run}"
            ))
        });
        healed.and(down)
    }
}

impl Drop for LabTarget {
    /// What cannot be removed here is still in the lab's journal.
    fn drop(&mut self) {
        let _ = self.close();
    }
}
