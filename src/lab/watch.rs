//! The lab heals itself when nobody has renewed its faults for some time: whoever broke it was killed.
//!
//! ```text
//! inject arms      renew              renew                       the lab heals itself
//!   │───────────────│──────────────────│────── within ──────────────│
//! ```
//!
//! The file `deadline` of a lab says until when it waits, in seconds since the machine was started, and
//! for how long it is to wait when it is renewed. A process of its own looks at it: it is started by the
//! first fault, or with a lab that is there for one run only. Such a lab it takes down as well.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::lab::clock::uptime;
use crate::lab::state::{LabError, down};

/// When a lab heals itself.
const DEADLINE: &str = "deadline";

/// There in a lab that is for one run only.
const FOR_ONE_RUN: &str = "for-one-run";

/// The process that looks at the deadline.
const PROCESS: &str = "watch.pid";

/// How much earlier it begins, for it takes time to undo.
const TO_UNDO: Duration = Duration::from_secs(1);

/// How often it looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Heals the lab in that directory when its deadline has passed; returns when there is no more to do.
pub fn watch(directory: &Path) -> Result<(), LabError> {
    // Who takes a lab down ends its watch first.
    while directory.exists() {
        std::thread::sleep(LOOK_AGAIN);
        let text = fs::read_to_string(directory.join(DEADLINE)).unwrap_or_default();
        let deadline = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
        if deadline.is_none_or(|deadline| uptime() < Duration::from_secs(deadline)) {
            continue;
        }
        if directory.join(FOR_ONE_RUN).exists() {
            // Nothing is to be mended in what is removed.
            let _ = fs::remove_file(directory.join(PROCESS));
            return down(directory).map(|_| ());
        }
        let mended = Command::new("bash")
            .arg(directory.join("lab.sh"))
            .arg("mend")
            .stdin(Stdio::null())
            .status();
        if !mended.is_ok_and(|status| status.success()) {
            // What could not be undone may be in a moment.
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    Ok(())
}

/// Writes that a lab is there for one run only, and when it is to be gone if it is not renewed.
pub(super) fn for_one_run(directory: &Path, within: Duration) -> io::Result<()> {
    fs::write(directory.join(FOR_ONE_RUN), "")?;
    put_off(directory, within)
}

fn put_off(directory: &Path, within: Duration) -> io::Result<()> {
    let new = directory.join("deadline.run");
    let deadline = (uptime() + within.saturating_sub(TO_UNDO)).as_secs();
    fs::write(&new, format!("{deadline} {}\n", within.as_secs()))?;
    fs::rename(new, directory.join(DEADLINE))
}

/// Renews a lab for as long as this lives.
pub(super) struct Renewal {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Renewal {
    /// Renews the lab in that directory, once it has a deadline, every third of the time it waits.
    pub(super) fn start(directory: PathBuf, within: Duration) -> Self {
        let (stop, stopped) = mpsc::channel();
        let renew = move || {
            while stopped.recv_timeout(within / 3) == Err(RecvTimeoutError::Timeout) {
                if directory.join(DEADLINE).exists() {
                    // A disk that is full keeps nobody from healing, which is the safe way.
                    let _ = put_off(&directory, within);
                }
            }
        };
        Self { stop: Some(stop), thread: Some(std::thread::spawn(renew)) }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}
