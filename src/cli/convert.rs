//! `rashomon convert`: between history formats.

use std::io;
use std::path::Path;

use crate::cli::args::ConvertArgs;
use crate::cli::check::{format_named, printed, read_history};
use crate::cli::exit::{Exit, Failure};
use crate::cli::terminal::complain;
use crate::history::{Format, History, write_file, write_history};

pub(crate) fn convert(args: &ConvertArgs) -> Result<Exit, Failure> {
    let format = match format_named(&args.to)? {
        Some(format) => format,
        None if args.output == Path::new("-") => Format::Jsonl,
        None => Format::from_path(&args.output).ok_or_else(|| unnamed(&args.output))?,
    };
    let history = read_history(&args.input, format_named(&args.from)?, &args.initial)?;
    let failed = |error: io::Error| {
        Failure::bad_input(format!("failed to write {}: {error}", args.output.display()))
    };
    if args.output == Path::new("-") {
        match write_history(&history, format, &mut io::stdout().lock()) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Err(failed(error)),
            result => printed(result)?,
        }
    } else {
        write_file(&history, format, &args.output).map_err(failed)?;
    }
    if let Some(lost) = lost(&history, format) {
        complain(&format!("note: {lost}"));
    }
    Ok(Exit::Holds)
}

/// The name of the output tells no format.
fn unnamed(output: &Path) -> Failure {
    let writable = Format::all().filter(|format| format.is_writable());
    let names: Vec<&str> = writable.map(Format::name).collect();
    Failure::bad_input(format!(
        "{}: its name tells no format; let it end in .jsonl, .rcol or .edn, perhaps with .gz or .zst, or choose \
         --to of {}",
        output.display(),
        names.join(", ")
    ))
}

/// What of a history has no place in a format, where a verdict may rest on it.
fn lost(history: &History, format: Format) -> Option<&'static str> {
    match format {
        Format::Edn if history.header().is_some() => {
            Some("EDN has no header: what the workload expects, and initial values, are left out")
        }
        Format::Awdit | Format::Plume if history.has_real_time() => Some(
            "this format has no times, nodes, faults or final reads: what is left is judged by sessions alone",
        ),
        _ => None,
    }
}
