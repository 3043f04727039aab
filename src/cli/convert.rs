//! `rashomon convert`: between history formats.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::cli::args::ConvertArgs;
use crate::cli::check::{format_named, read_history};
use crate::cli::exit::{Exit, Failure};
use crate::history::{Format, write_history};

pub(crate) fn convert(args: &ConvertArgs) -> Result<Exit, Failure> {
    let history = read_history(&args.input, format_named(&args.from)?, &args.initial)?;
    let format = match format_named(&args.to)? {
        Some(format) => format,
        None => Format::from_path(&args.output).unwrap_or(Format::Jsonl),
    };
    let failed = |error: io::Error| {
        Failure::bad_input(format!("failed to write {}: {error}", args.output.display()))
    };
    let mut out: Box<dyn Write> = if args.output == Path::new("-") {
        Box::new(BufWriter::new(io::stdout().lock()))
    } else {
        Box::new(BufWriter::new(File::create(&args.output).map_err(failed)?))
    };
    write_history(&history, format, &mut out).map_err(failed)?;
    out.flush().map_err(failed)?;
    Ok(Exit::Holds)
}
