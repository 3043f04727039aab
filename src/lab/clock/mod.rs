//! The wall clock of one live process, put wrong while it runs: the machine's clock is not touched,
//! nor is any other process.
//!
//! A process asks for the time by functions that the kernel maps into it, the vDSO. Behind these
//! functions there is room in their page; answers of our own are written there, and the first bytes
//! of the functions made to jump to them. Both are writes to `/proc/PID/mem`, which gives the process
//! a copy of the page. The process is stopped for that moment (`SIGSTOP`, and `SIGCONT` unless it was
//! stopped before), and no thread may stand in the bytes that change.
//!
//! Monotonic clocks stay right, and so do timers that the kernel keeps: a wait until a time of the
//! wall clock ends by the true one. What a process forks has its wrong clock too; what it executes has
//! a right one. A program that asks the kernel by the system call itself is not deceived.

mod code;
mod keeper;
mod vdso;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(super) use keeper::uptime;
pub use keeper::{Skew, keep, keep_clocks};
use vdso::{Original, Vdso};

/// How often a process is stopped anew because a thread stands where it must not.
const TRIES: u32 = 50;

/// How long a process may take until all its threads have stopped.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// Puts the wall clock of a process so many nanoseconds ahead (behind if negative), on top of
/// nothing: what was set before is replaced. Whoever changed it from time to time leaves off.
///
/// # Errors
/// What a person can read: no such process, no access, another processor than `x86_64`, a program of
/// 32 bits.
pub fn set(process: u32, nanos: i64) -> Result<(), String> {
    put(&Original::read()?, process, nanos, 0)
}

/// The offset of the wall clock of a process in nanoseconds; `None` if it was not changed.
///
/// # Errors
/// As for [`set`].
pub fn offset(process: u32) -> Result<Option<i64>, String> {
    let original = Original::read()?;
    let vdso = Vdso::open(&process.to_string())?;
    if !vdso.is_patched(&original) {
        return Ok(None);
    }
    let read = vdso.offset(&original).map_err(|error| gone(process, &error))?;
    Ok(Some(read.0))
}

/// Makes the wall clock of a process right again, and its memory what it was. Nothing happens if it
/// was not changed, or if there is no such process any more.
///
/// # Errors
/// As for [`set`].
pub fn reset(process: u32) -> Result<(), String> {
    let original = Original::read()?;
    let vdso = match Vdso::open(&process.to_string()) {
        Ok(vdso) => vdso,
        Err(_) if is_gone(process) => return Ok(()),
        Err(why) => return Err(why),
    };
    if vdso.is_original(&original) || !vdso.is_known(&original) {
        return Ok(());
    }
    let restored = while_stopped(&original, process, Vdso::restore);
    if is_gone(process) { Ok(()) } else { restored }
}

/// Puts a clock wrong; `keeper` is who will change it from now on.
fn put(original: &Original, process: u32, nanos: i64, keeper: u64) -> Result<(), String> {
    let mut vdso = Vdso::open(&process.to_string())?;
    if !vdso.is_known(original) {
        return Err(format!(
            "the vDSO of process {process} is not this kernel's for 64 bits; its clock cannot be changed"
        ));
    }
    if !vdso.is_patched(original) {
        while_stopped(original, process, |vdso, original| {
            vdso.patch(original)?;
            vdso.set_keeper(original, keeper)?;
            vdso.set_offset(original, nanos)
        })?;
        return Ok(());
    }
    if vdso.offset(original).is_ok_and(|now| now == (nanos, keeper)) {
        return Ok(());
    }
    vdso.set_keeper(original, keeper)
        .and_then(|()| vdso.set_offset(original, nanos))
        .map_err(|error| gone(process, &error))
}

/// Changes the code of a process while none of its threads runs or stands in it.
fn while_stopped(
    original: &Original,
    process: u32,
    change: impl Fn(&mut Vdso, &Original) -> std::io::Result<()>,
) -> Result<(), String> {
    for _ in 0..TRIES {
        let stopped = Stopped::stop(process)?;
        // It may have become another program until now.
        let mut vdso = Vdso::open(&process.to_string())?;
        if !vdso.is_known(original) {
            return Err(format!("process {process} has become another program"));
        }
        let threads = stopped.instructions()?;
        if !threads.iter().any(|at| vdso.is_delicate(original, *at)) {
            return change(&mut vdso, original).map_err(|error| gone(process, &error));
        }
        drop(stopped);
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(format!("a thread of process {process} asks for the time whenever it is stopped"))
}

/// A process that does not run, until this is dropped.
struct Stopped {
    process: u32,
    /// Whether it is to go on.
    goes_on: bool,
}

impl Stopped {
    fn stop(process: u32) -> Result<Self, String> {
        let goes_on = !states(process)?.iter().all(|state| *state == 'T');
        // It goes on also if it does not stop in time.
        let stopped = Self { process, goes_on };
        if goes_on {
            signal(process, "-STOP")?;
        }
        let since = Instant::now();
        while !states(process)?.iter().all(|state| matches!(state, 'T' | 't' | 'Z' | 'X')) {
            if since.elapsed() > STOPS_WITHIN {
                return Err(format!("process {process} does not stop"));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(stopped)
    }

    /// Where its threads stand.
    fn instructions(&self) -> Result<Vec<u64>, String> {
        let mut instructions = Vec::new();
        for thread in threads(self.process)? {
            let path = format!("/proc/{}/task/{thread}/syscall", self.process);
            let text = fs::read_to_string(path).unwrap_or_default();
            let last = text.split_whitespace().last().and_then(|at| at.strip_prefix("0x"));
            instructions.extend(last.and_then(|at| u64::from_str_radix(at, 16).ok()));
        }
        Ok(instructions)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if self.goes_on {
            // A process that is gone needs nothing.
            let _ = signal(self.process, "-CONT");
        }
    }
}

/// The state of each thread of a process: `R`, `S`, `T`, ….
fn states(process: u32) -> Result<Vec<char>, String> {
    let mut states = Vec::new();
    for thread in threads(process)? {
        let stat = fs::read_to_string(format!("/proc/{process}/task/{thread}/stat"));
        // The name before it may have anything in it, also a parenthesis.
        let state = stat.ok().and_then(|stat| stat.rsplit_once(") ")?.1.chars().next());
        states.extend(state);
    }
    Ok(states)
}

fn threads(process: u32) -> Result<Vec<String>, String> {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.map_err(|error| gone(process, &error))?.flatten();
    Ok(threads.filter_map(|thread| thread.file_name().into_string().ok()).collect())
}

fn signal(process: u32, signal: &str) -> Result<(), String> {
    let kill = Command::new("sh")
        .args(["-c", "kill \"$0\" \"$1\"", signal, &process.to_string()])
        .stderr(Stdio::null())
        .status();
    match kill {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("process {process} takes no signal")),
        Err(error) => Err(format!("cannot run sh: {error}")),
    }
}

fn is_gone(process: u32) -> bool {
    // What has ended and was not waited for has no memory any more.
    fs::read_to_string(format!("/proc/{process}/maps")).map_or(true, |maps| maps.is_empty())
}

fn gone(process: u32, error: &std::io::Error) -> String {
    format!("process {process} is gone, or its memory is closed: {error}")
}
