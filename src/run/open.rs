//! Opens the target of a workload: the embedded store that it names, or what a target file describes.
#![expect(clippy::disallowed_methods, reason = "the history of a live run says when it began")]

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(feature = "live")]
use crate::generate::Operation;
use crate::history::Header;
use crate::model::{Value, rfc3339};
use crate::store;
use crate::target::{Target, TargetError};
use crate::workload::{TargetChoice, Workload};

/// A target that is ready to be driven.
pub struct Opened {
    /// What is driven.
    pub target: Box<dyn Target>,
    /// What the history begins with.
    pub header: Header,
}

/// Why there is no target.
#[derive(Debug)]
pub enum OpenError {
    /// Something is wrong with the workload or the target file, or they do not suit each other.
    Input(String),
    /// The target could not be set up or taken down again.
    Target(TargetError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(why) => f.write_str(why),
            Self::Target(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// What else a live run needs to know.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// What the keys begin with, where several machines use them.
    pub run_name: Option<String>,
    /// Whether a target may be broken whose file does not say so.
    pub owned: bool,
}

/// Opens the target of the workload that is written in `file`. What a live run has to undo is noted in
/// `directory`.
pub fn open(
    file: &Path,
    workload: &Workload,
    seed: u64,
    directory: &Path,
    terms: Terms,
) -> Result<Opened, OpenError> {
    let (target, description, started) = match &workload.target {
        TargetChoice::Store(choice) => {
            let target = store::build(&choice.name, &choice.options, seed).map_err(|error| {
                let option = error.option.as_deref();
                OpenError::Input(workload.option_diagnostic(option, &error.message).to_string())
            })?;
            let store = [(Value::text("store"), Value::text(&choice.name))];
            let options =
                choice.options.iter().map(|(key, value)| (Value::text(key), value.clone()));
            // A simulated run is the same whenever it is run.
            (target, Value::Map(store.into_iter().chain(options).collect()), None)
        }
        TargetChoice::File { path, .. } => {
            let path = beside(file, Path::new(path));
            let (target, description) = live(&path, workload, directory, terms)?;
            (target, description, Some(started()))
        }
    };
    let header = Header {
        format: 1,
        tool: concat!("rashomon ", env!("CARGO_PKG_VERSION")).to_owned(),
        workload: Some(workload.name.clone()),
        seed: Some(seed),
        target: Some(description),
        nodes: target.nodes().iter().map(ToString::to_string).collect(),
        timeless: false,
        started,
        expect: workload.expect.clone(),
        ..Header::default()
    };
    Ok(Opened { target, header })
}

/// A target file is looked for where it is named, else beside the workload.
pub fn beside(workload: &Path, target: &Path) -> PathBuf {
    let sibling = workload.parent().map(|folder| folder.join(target));
    match sibling {
        Some(sibling) if !target.exists() && sibling.exists() => sibling,
        _ => target.to_owned(),
    }
}

#[cfg(feature = "live")]
fn live(
    path: &Path,
    workload: &Workload,
    directory: &Path,
    terms: Terms,
) -> Result<(Box<dyn Target>, Value), OpenError> {
    let (mut config, choice) = read_target(path, workload)?;
    if !terms.owned {
        may_be_touched(&config, &format!("a run writes to {} and breaks it", config.name))?;
    }
    config.run = terms.run_name;
    let rows = workload.plan.operations.iter().flat_map(Operation::rows);
    config.does = rows.map(|row| row.function).collect();
    let (target, config) = match choice {
        Some(choice) => crate::lab::open(config, &choice, directory),
        None => crate::road::open(config, directory),
    }
    .map_err(OpenError::Target)?;
    Ok((target, config.description()))
}

/// A target file with what its lab, road or proxy adds to it. It has all that the workload asks for.
#[cfg(feature = "live")]
pub fn read_target(
    path: &Path,
    workload: &Workload,
) -> Result<(crate::target::TargetConfig, Option<crate::target::LabChoice>), OpenError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| OpenError::Input(format!("failed to read {name}: {error}")))?;
    let mut config = crate::target::TargetConfig::parse(&name, &text)
        .map_err(|error| OpenError::Input(error.to_string()))?;
    let mut choice = choose_lab(path, &mut config).map_err(OpenError::Input)?;
    if let Some(choice) = choice.as_mut().filter(|_| workload.injects("packet")) {
        // A bridge only cuts.
        choice.network.get_or_insert(crate::target::Network::Switch);
    }
    choose_proxy(path, &mut config).map_err(OpenError::Input)?;
    let nodes: Vec<_> = config.nodes().map(|(node, _)| node).collect();
    let faults: Vec<&str> = config.faults().collect();
    let operations: Vec<&str> = config.functions().map(crate::model::Function::name).collect();
    let lacking = workload.check_target(&nodes, &faults, &operations);
    let lacking: Vec<String> = lacking.iter().map(ToString::to_string).collect();
    if lacking.is_empty() {
        Ok((config, choice))
    } else {
        Err(OpenError::Input(lacking.join("\n")))
    }
}

/// What is not there to be thrown away is not touched without a word; `how` says what would be done to it.
#[cfg(feature = "live")]
pub(super) fn may_be_touched(
    config: &crate::target::TargetConfig,
    how: &str,
) -> Result<(), OpenError> {
    if config.disposable || config.lab.is_some() {
        return Ok(());
    }
    let nodes: Vec<String> =
        config.nodes().map(|(name, address)| format!("{name} at {address}")).collect();
    Err(OpenError::Input(format!(
        "{how}: {}. Its target file does not say that it may be lost; write `disposable = true` there if so, \
         or say --i-own-this-cluster",
        nodes.join(", ")
    )))
}

#[cfg(not(feature = "live"))]
fn live(
    path: &Path,
    _workload: &Workload,
    _directory: &Path,
    _terms: Terms,
) -> Result<(Box<dyn Target>, Value), OpenError> {
    Err(OpenError::Input(format!(
        "{}: this build has no live targets; build with the feature `live`",
        path.display()
    )))
}

/// The lab of a target file, or its road. A definition is looked for where it is named, else beside the file.
#[cfg(feature = "live")]
pub fn choose_lab(
    path: &Path,
    config: &mut crate::target::TargetConfig,
) -> Result<Option<crate::target::LabChoice>, String> {
    let Some(mut choice) = config.lab.as_ref().map(|lab| lab.get_ref().clone()) else {
        crate::road::choose(config);
        return Ok(None);
    };
    if crate::lab::Definition::is_path(&choice.store) {
        choice.store = beside(path, Path::new(&choice.store)).display().to_string();
    }
    crate::lab::choose(config, &choice).map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(Some(choice))
}

/// The proxy of a target file. Its file is looked for beside that.
#[cfg(feature = "live")]
pub fn choose_proxy(path: &Path, config: &mut crate::target::TargetConfig) -> Result<(), String> {
    let Some(choice) = config.proxy.as_ref().map(|proxy| proxy.get_ref().clone()) else {
        return Ok(());
    };
    let wrong = |why| format!("{}: {why}", path.display());
    if config.lab.is_some() || config.road.is_some() {
        let why = "the network is cut by one means: leave out [proxy], or [lab] and [road]";
        return Err(wrong(why.to_owned()));
    }
    let file = beside(path, Path::new(&choice.file));
    crate::proxy::furnish(config, &choice, &file).map_err(wrong)
}

fn started() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    rfc3339(seconds)
}
