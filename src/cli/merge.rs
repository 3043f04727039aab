//! `rashomon merge`: the histories of several load machines as one.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use crate::cli::args::MergeArgs;
use crate::cli::check::read_history;
use crate::cli::exit::{Exit, Failure};
use crate::history::{self, Format, History, write_history};
use crate::workload::parse_duration;

pub(crate) fn merge(args: &MergeArgs) -> Result<Exit, Failure> {
    let error = args.clock_error.as_deref().map(|text| {
        parse_duration(text).ok_or_else(|| {
            Failure::bad_input(format!("--clock-error {text}: expected a duration such as 5ms"))
        })
    });
    let error = error.transpose()?;
    let histories: Vec<History> = args
        .histories
        .iter()
        .map(|path| read_history(path, None, &[]))
        .collect::<Result<_, _>>()?;
    let merged = history::merge(&histories, error).map_err(Failure::bad_input)?;
    let failed = |error: io::Error| {
        Failure::bad_input(format!("failed to write {}: {error}", args.output.display()))
    };
    let mut out = BufWriter::new(File::create(&args.output).map_err(failed)?);
    write_history(&merged, Format::Operations, &mut out).map_err(failed)?;
    out.flush().map_err(failed)?;
    let error = merged.header().and_then(|header| header.clock_error_ns).unwrap_or(0);
    println!(
        "{} operations of {} machines; their order is unknown where they are nearer than {:.3} ms",
        merged.len(),
        histories.len(),
        error as f64 * 2e-6
    );
    Ok(Exit::Holds)
}
