//! The fault journal: what is broken, and how it is mended, on disk before it is done.
//!
//! ```text
//! {"begin":3,"fault":"kill","undo":[{"node":"n2","command":"…","variables":{…},"timeout_ms":10000}]}
//! {"done":3}
//! ```
//!
//! A fault is written and synced **before** it is injected, and marked done after it was undone. So
//! after `kill -9` at any instant the journal names at least what is broken; it may name a fault
//! that was never injected or already undone, therefore an undo must be idempotent.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::FaultId;
use crate::target::{ShellCommand, TargetError};

/// A fault that is not known to be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outstanding {
    /// Its number in the run.
    pub id: FaultId,
    /// `kill`, `pause`, …
    pub fault: String,
    /// The commands that undo it, one a node.
    pub undo: Vec<ShellCommand>,
    /// The commands that say whether it is in force, where there are any: it is only undone when they do.
    pub probe: Vec<ShellCommand>,
}

impl Outstanding {
    /// The number of what is no fault, but must be undone like one, and last: the setup.
    pub(super) const SETUP: FaultId = FaultId(u32::MAX);
    /// The number of the road to the nodes, which is given back after that.
    pub(super) const ROAD: FaultId = FaultId(u32::MAX - 1);
    /// The number of whatever fault of its kind may be in force: that of no run is known.
    pub(super) const ANY: FaultId = FaultId(0);

    /// What nobody can ask for.
    pub fn unprobed(id: FaultId, what: &str, undo: Vec<ShellCommand>) -> Self {
        Self { id, fault: what.to_owned(), undo, probe: Vec::new() }
    }

    /// Undoes it on every node and, if it is the only one of its kind, sees that it is gone. What went
    /// wrong, with node and command. Every node is tried.
    pub(super) async fn undo(&self, is_alone: bool) -> Vec<String> {
        let mut failures = Vec::new();
        for command in self.undo.iter().rev() {
            if let Err(why) = command.run().await {
                failures.push(format!(
                    "cannot undo {self} on node {}: {why}; mend it with: {}",
                    command.node,
                    command.typed()
                ));
            }
        }
        if failures.is_empty() && is_alone {
            for (undo, probe) in self.undo.iter().zip(&self.probe) {
                let why = match probe.ask().await {
                    Ok(false) => continue,
                    Ok(true) => "it is still in force after its undo".to_owned(),
                    Err(why) => format!("whether it is gone cannot be asked: {why}"),
                };
                let (node, typed) = (&undo.node, undo.typed());
                failures.push(format!("{self} on node {node}: {why}; mend it with: {typed}"));
            }
        }
        failures
    }
}

impl fmt::Display for Outstanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if [Self::SETUP, Self::ROAD].contains(&self.id) {
            return write!(f, "the {}", self.fault);
        }
        if self.id == Self::ANY {
            return f.write_str(&self.fault);
        }
        write!(f, "{} ({})", self.id, self.fault)
    }
}

/// The journal of one run.
pub struct FaultJournal {
    path: PathBuf,
    file: File,
    /// In the order they began.
    outstanding: Vec<Outstanding>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Entry {
    Begin {
        begin: FaultId,
        fault: String,
        undo: Vec<ShellCommand>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        probe: Vec<ShellCommand>,
    },
    Done {
        done: FaultId,
    },
}

impl FaultJournal {
    /// Starts a journal; what another run left at that path must have been healed, else it is an
    /// error: its undo commands must not be lost.
    pub fn create(path: &Path) -> io::Result<Self> {
        let journal = Self::open(path)?;
        if let Some(left) = journal.outstanding.first() {
            return Err(io::Error::other(format!(
                "{} still has {left} of another run; heal that run first",
                path.display()
            )));
        }
        Ok(journal)
    }

    /// Opens a journal and reads what is outstanding.
    ///
    /// A torn last line is passed over: a `begin` that was not wholly written was not yet injected,
    /// and a fault whose `done` was not wholly written is undone once more. Any other line that
    /// cannot be read is an error, for it may hide a fault.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).truncate(false).open(path)?;
        let text = io::read_to_string(&file)?;
        let mut outstanding: Vec<Outstanding> = Vec::new();
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let Some(line) = line.strip_suffix('\n') else {
                // What follows must start on a line of its own; the torn one is read as blank then.
                file.set_len((text.len() - line.len()) as u64)?;
                break;
            };
            match serde_json::from_str(line) {
                Ok(Entry::Begin { begin: id, fault, undo, probe }) => {
                    outstanding.push(Outstanding { id, fault, undo, probe });
                }
                Ok(Entry::Done { done }) => {
                    outstanding.retain(|fault| fault.id != done);
                }
                Err(_) => {
                    let (path, number) = (path.display(), number + 1);
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("{path}:{number}: expected an entry of a fault journal"),
                    ));
                }
            }
        }
        file.flush()?;
        sync_directory(path);
        Ok(Self { path: path.to_owned(), file, outstanding })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes a fault that is about to be injected. It is on disk when this returns.
    pub fn begin(&mut self, fault: Outstanding) -> io::Result<()> {
        let Outstanding { id, fault: name, undo, probe } = fault.clone();
        self.append(&Entry::Begin { begin: id, fault: name, undo, probe })?;
        self.outstanding.push(fault);
        Ok(())
    }

    /// Notes that a fault was undone.
    pub fn done(&mut self, id: FaultId) -> io::Result<()> {
        self.append(&Entry::Done { done: id })?;
        self.outstanding.retain(|fault| fault.id != id);
        Ok(())
    }

    /// What is not known to be undone, oldest first.
    pub fn outstanding(&self) -> impl DoubleEndedIterator<Item = &Outstanding> {
        self.outstanding.iter()
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_string(entry)?;
        line.push('\n');
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()
    }

    /// Undoes one fault, if it is outstanding, sees that it is gone, and notes it. Every node is tried.
    pub(super) async fn undo(&mut self, id: FaultId) -> Result<(), TargetError> {
        let Some(fault) = self.outstanding.iter().find(|fault| fault.id == id) else {
            return Ok(());
        };
        // Another fault of its kind would be taken for it.
        let alone = !self.outstanding.iter().any(|one| one.id != id && one.fault == fault.fault);
        let failures = fault.undo(alone).await;
        if !failures.is_empty() {
            return Err(TargetError::Unhealed(failures.join("\n")));
        }
        // The fault is gone; a journal that cannot say so only makes it be undone once more.
        self.done(id).map_err(|error| {
            TargetError::Unhealed(format!(
                "{id} is undone, but {} cannot say so: {error}",
                self.path.display()
            ))
        })
    }

    /// Undoes everything outstanding, latest first; says what was undone. Everything is tried.
    pub(super) async fn undo_all(&mut self) -> Result<Vec<Outstanding>, TargetError> {
        let (mut undone, mut failures) = (Vec::new(), Vec::new());
        let left: Vec<Outstanding> = self.outstanding.iter().rev().cloned().collect();
        for fault in left {
            match self.undo(fault.id).await {
                Ok(()) if fault.id == Outstanding::ROAD => {}
                Ok(()) => undone.push(fault),
                Err(error) => failures.push(error.to_string()),
            }
        }
        if failures.is_empty() {
            Ok(undone)
        } else {
            Err(TargetError::Unhealed(failures.join("\n")))
        }
    }
}

/// Undoes what a killed run left behind, latest first, and says what that was. Idempotent.
///
/// # Errors
/// [`TargetError::Unusable`] if there is no readable journal, [`TargetError::Unhealed`] with node
/// and command if an undo fails; the others are undone all the same.
pub fn heal(journal: &Path) -> Result<Vec<Outstanding>, TargetError> {
    let unusable = |why: String| TargetError::Unusable(format!("{}: {why}", journal.display()));
    if !journal.is_file() {
        return Err(unusable("there is no fault journal".to_owned()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    let mut journal = FaultJournal::open(journal).map_err(|error| unusable(error.to_string()))?;
    runtime.block_on(journal.undo_all())
}

/// A new file is only safe once its directory is. Where directories cannot be synced, nothing is lost
/// but this.
fn sync_directory(path: &Path) {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Ok(directory) = File::open(parent.unwrap_or(Path::new("."))) {
        let _ = directory.sync_all();
    }
}
