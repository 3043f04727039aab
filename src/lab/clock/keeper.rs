//! Clocks that do not stay as they were set: they drift, jump to and fro, or belong to processes that
//! come and go.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::lab::clock::vdso::{Original, Vdso};
use crate::lab::clock::{is_gone, put};
use crate::lab::state::{Lab, LabError};

/// How often a clock is set anew that drifts, and how soon a new process has a wrong clock.
const STEP: Duration = Duration::from_millis(10);

/// How wrong a wall clock is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skew {
    /// How far ahead, in nanoseconds; behind if negative.
    pub offset: i64,
    /// How many microseconds it gains in each second; loses if negative.
    pub drift_ppm: i64,
    /// It is wrong for so long, then right for as long, and so on; always wrong if zero.
    pub strobe: Duration,
}

impl Skew {
    /// Whether it stays as it is.
    pub fn is_constant(&self) -> bool {
        self.drift_ppm == 0 && self.strobe.is_zero()
    }

    /// How far ahead the clock is when it has been wrong for so long, in nanoseconds.
    pub fn after(&self, elapsed: Duration) -> i64 {
        let nanos = elapsed.as_nanos();
        if !self.strobe.is_zero() && (nanos / self.strobe.as_nanos()) % 2 == 1 {
            return 0;
        }
        let drift = i128::from(self.drift_ppm) * nanos as i128 / 1_000_000;
        self.offset.saturating_add(i64::try_from(drift).unwrap_or(i64::MAX))
    }
}

/// Keeps the clock of a process wrong, until the process ends, is reset, becomes another program, or is
/// given to somebody else.
///
/// # Errors
/// As for [`set`](super::set).
pub fn keep(process: u32, skew: &Skew) -> Result<(), String> {
    let original = Original::read()?;
    let own = u64::from(std::process::id());
    let began = uptime();
    put(&original, process, skew.after(Duration::ZERO), own)?;
    loop {
        std::thread::sleep(STEP);
        let Ok(mut vdso) = Vdso::open(&process.to_string()) else { return Ok(()) };
        let kept = vdso.is_patched(&original)
            && vdso.offset(&original).is_ok_and(|(_, keeper)| keeper == own);
        let nanos = skew.after(uptime().saturating_sub(began));
        if !kept || vdso.set_offset(&original, nanos).is_err() {
            return Ok(());
        }
    }
}

/// Keeps the clocks of all processes of a node wrong by the sum of what the files in its directory
/// `skew` say, until there is none.
///
/// Each file is named after the number of its fault and has offset in ms, drift in ppm, strobe in ms,
/// and when it began in ms since the machine was started. When the clocks of all processes are as these
/// files say, their names are in the file `kept` beside them; or `error` and why they cannot be.
///
/// # Errors
/// [`LabError::Failed`] if no clock can be changed on this machine.
pub fn keep_clocks(lab: &Path, node: &str) -> Result<(), LabError> {
    let lab = Lab::read(lab)?;
    let namespace = format!("/run/netns/{}-{}", lab.bridge(), lab.node(node)?.name);
    let directory = lab.directory.join(node).join("skew");
    let original = Original::read().map_err(LabError::Failed)?;
    let own = u64::from(std::process::id());
    let identity = identity(Path::new(&namespace))
        .ok_or_else(|| LabError::Failed(format!("there is no network namespace {namespace}")))?;
    loop {
        let mut names = Vec::new();
        let mut skews = Vec::new();
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            if name.starts_with(char::is_numeric)
                && let Some(skew) = parse(&text)
            {
                names.push(name);
                skews.push(skew);
            }
        }
        if skews.is_empty() {
            return Ok(());
        }
        let now = uptime();
        let sum = |(skew, began): &(Skew, Duration)| skew.after(now.saturating_sub(*began));
        let nanos = skews.iter().map(sum).fold(0, i64::saturating_add);
        let mut wrong = None;
        for process in processes(identity) {
            let done = put(&original, process, nanos, own);
            wrong = wrong.or(done.err().filter(|_| !is_gone(process)));
        }
        names.sort();
        let said = wrong.map_or_else(|| names.join("\n") + "\n", |why| format!("error {why}\n"));
        let kept = directory.join("kept");
        if fs::read_to_string(&kept).ok().as_ref() != Some(&said) {
            // Who waits for it sees that it does not come.
            let _ = fs::write(&kept, said);
        }
        std::thread::sleep(STEP);
    }
}

fn parse(text: &str) -> Option<(Skew, Duration)> {
    let mut numbers = text.split_whitespace().map(|word| word.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    let offset = next()?.saturating_mul(1_000_000);
    let drift_ppm = next()?;
    let strobe = Duration::from_millis(next()?.unsigned_abs());
    let began = Duration::from_millis(next()?.unsigned_abs());
    Some((Skew { offset, drift_ppm, strobe }, began))
}

/// The processes whose network namespace that is.
fn processes(namespace: (u64, u64)) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes
        .filter(|process| {
            identity(Path::new(&format!("/proc/{process}/ns/net"))) == Some(namespace)
        })
        .collect()
}

fn identity(namespace: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(namespace).ok()?;
    Some((file.dev(), file.ino()))
}

/// How long the machine has run: a clock that nobody sets.
pub(in crate::lab) fn uptime() -> Duration {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skew_drifts_and_jumps() {
        let second = Duration::from_secs(1);
        let drifts = Skew { offset: 5, drift_ppm: -500, strobe: Duration::ZERO };
        assert_eq!((drifts.after(Duration::ZERO), drifts.after(2 * second)), (5, 5 - 1_000_000));
        let jumps = Skew { offset: 7, drift_ppm: 0, strobe: second };
        assert_eq!([0, 1, 2, 3].map(|at| jumps.after(at * second)), [7, 0, 7, 0]);
        let (skew, began) = parse("-500 100 20 123456\n").expect("a line");
        assert_eq!(skew.offset, -500_000_000);
        assert_eq!(
            (skew.drift_ppm, skew.strobe.as_millis(), began.as_millis()),
            (100, 20, 123_456)
        );
        assert!(parse("x").is_none() && parse("").is_none());
    }
}
