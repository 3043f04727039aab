//! `rashomon schema`: what editors are told of the files that people write.
//!
//! They are written by hand; `tests/schema.rs` holds them to what the readers know.

use std::io::{self, Write};

use crate::cli::args::SchemaOf;
use crate::cli::check::printed;
use crate::cli::exit::{Exit, Failure};

pub(crate) fn schema(of: SchemaOf) -> Result<Exit, Failure> {
    let text = match of {
        SchemaOf::Workload => include_str!("schema/workload.json"),
        SchemaOf::Target => include_str!("schema/target.json"),
        SchemaOf::History => include_str!("schema/history.json"),
    };
    printed(io::stdout().write_all(text.as_bytes()))?;
    Ok(Exit::Holds)
}
