//! `rashomon completions` and `rashomon man`: what shells and manuals are told of the command line.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::args::Cli;
use crate::cli::check::printed;
use crate::cli::exit::{Exit, Failure};
use crate::model::did_you_mean;

/// Prints what makes a shell complete the command line.
pub(crate) fn completions(shell: Shell) -> Result<Exit, Failure> {
    // Whoever reads may stop reading, at which the generator would panic: it writes into memory.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rashomon", &mut text);
    printed(io::stdout().write_all(&text))?;
    Ok(Exit::Holds)
}

/// Prints the manual page of one command, or of all.
pub(crate) fn page(name: Option<&str>) -> Result<Exit, Failure> {
    let mut all = Cli::command().disable_help_subcommand(true);
    all.build();
    let of = match name {
        None => Some(&all),
        Some(name) => all.find_subcommand(name),
    };
    let Some(command) = of else {
        let name = name.unwrap_or_default();
        let known = all.get_subcommands().map(clap::Command::get_name);
        let hint = did_you_mean(name, known).unwrap_or("see rashomon --help".to_owned());
        return Err(Failure::bad_input(format!("unknown command `{name}`; {hint}")));
    };
    let mut text = Vec::new();
    let rendered = Man::new(command.clone()).render(&mut text);
    printed(rendered.and_then(|()| io::stdout().write_all(&text)))?;
    Ok(Exit::Holds)
}
