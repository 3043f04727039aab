//! The directory a run leaves behind.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::history::{Header, rewrite_header};

/// `history.jsonl`, `results.json`, the report as `report.txt`, `report.html`, `report.md` and `junit.xml`
/// and, for live targets, `faults.jsonl`.
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// The directory that was asked for.
    pub fn at(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// A fresh directory below `parent`, named after the workload and the seed; a number is added
    /// where that name is taken, so that no earlier run is lost.
    pub fn fresh(parent: &Path, workload: &str, seed: u64) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        for attempt in 1_u32.. {
            let suffix = if attempt == 1 { String::new() } else { format!("-{attempt}") };
            let path = parent.join(format!("{workload}-{seed}{suffix}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("every name for a run is taken"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of its history.
    pub fn history(&self) -> PathBuf {
        self.path.join("history.jsonl")
    }

    /// Creates the file of its history.
    pub fn create_history(&self) -> io::Result<File> {
        File::create(self.history())
    }

    /// Puts another header, not longer than the first, on its history.
    pub fn rewrite_header(&self, header: &Header) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(self.history())?;
        rewrite_header(&mut file, header)
    }

    /// Writes a file whole.
    pub fn save(&self, name: &str, content: &[u8]) -> io::Result<()> {
        fs::write(self.path.join(name), content)
    }
}
