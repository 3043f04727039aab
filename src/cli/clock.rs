//! `rashomon clock`: the wall clock of one live process.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::args::{ClockAction, SkewArgs};
use crate::cli::exit::{Exit, Failure};
use crate::lab::{Skew, keep, offset, reset, set};
use crate::sim::parse_duration;

/// How soon whoever keeps a clock wrong must have begun.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn clock(action: &ClockAction) -> Result<Exit, Failure> {
    match action {
        ClockAction::Set { process, skew: args } => {
            let skew = skew(args)?;
            if skew.is_constant() {
                set(*process, skew.offset).map_err(Failure::target)?;
            } else {
                keep_apart(*process, args)?;
            }
        }
        ClockAction::Reset { processes } => {
            let failures: Vec<String> =
                processes.iter().filter_map(|process| reset(*process).err()).collect();
            if !failures.is_empty() {
                return Err(Failure { exit: Exit::Unhealed, message: failures.join("\n") });
            }
        }
        ClockAction::Show { process } => {
            let nanos = offset(*process).map_err(Failure::target)?.unwrap_or(0);
            println!("{:.9}", nanos as f64 / 1e9);
        }
        ClockAction::Keep { process, skew: args } => {
            keep(*process, &skew(args)?).map_err(Failure::target)?;
        }
    }
    Ok(Exit::Holds)
}

/// Starts a process that keeps the clock wrong, and waits until it does. It ends with the process whose
/// clock it is, or when that is set anew.
fn keep_apart(process: u32, args: &SkewArgs) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::target(format!("cannot run setsid: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let mut keeper = Command::new("setsid");
    keeper.arg(program).args(["clock", "keep", &process.to_string()]);
    keeper.arg(format!("--offset={}", args.offset));
    keeper.args(args.drift.iter().map(|drift| format!("--drift={drift}")));
    keeper.args(args.strobe.iter().map(|strobe| format!("--strobe={strobe}")));
    // What was set before is no sign that this one has begun.
    reset(process).map_err(Failure::target)?;
    keeper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut keeper = keeper.spawn().map_err(failed)?;
    let since = Instant::now();
    while offset(process).map_err(Failure::target)?.is_none() {
        if since.elapsed() > BEGINS_WITHIN || matches!(keeper.try_wait(), Ok(Some(_))) {
            // Setting it in this process says why it cannot be.
            set(process, 0).and_then(|()| reset(process)).map_err(Failure::target)?;
            return Err(Failure::target(format!("the clock of process {process} cannot be kept")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn skew(args: &SkewArgs) -> Result<Skew, Failure> {
    let wrong = |what: &str, text: &str, like: &str| {
        Failure::bad_input(format!("--{what} {text}: expected {like}"))
    };
    let (sign, length) = match args.offset.strip_prefix('-') {
        Some(length) => (-1, length),
        None => (1, &*args.offset),
    };
    let offset = parse_duration(length)
        .map_err(|_| wrong("offset", &args.offset, "a time such as 2s, 500ms or -60min"))?;
    let drift_ppm = args.drift.as_deref().map(|text| {
        let number = text.strip_suffix("ppm").and_then(|number| number.parse().ok());
        number.ok_or_else(|| wrong("drift", text, "a number of millionths such as 500ppm"))
    });
    let strobe = args.strobe.as_deref().map(|text| match parse_duration(text) {
        Ok(time) if time.0 >= 20_000_000 => Ok(Duration::from_nanos(time.0)),
        _ => Err(wrong("strobe", text, "a time of at least 20ms")),
    });
    Ok(Skew {
        offset: sign * i64::try_from(offset.0).unwrap_or(i64::MAX),
        drift_ppm: drift_ppm.transpose()?.unwrap_or(0),
        strobe: strobe.transpose()?.unwrap_or_default(),
    })
}
