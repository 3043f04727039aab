//! Arguments and exit codes: what was typed, what is meant, what is done.
//!
//! Invariant: only `cli` prints, and only `cli` knows exit codes.
#![expect(clippy::print_stdout, reason = "this is the room that prints")]
#![expect(clippy::disallowed_methods, reason = "a command line lives in real time")]

mod args;
mod check;
#[cfg(feature = "live")]
mod clock;
mod convert;
#[cfg(feature = "live")]
mod dry_run;
mod exit;
mod explain;
mod heal;
mod interrupt;
#[cfg(feature = "live")]
mod lab;
mod lint;
mod list;
mod manual;
mod merge;
mod new;
mod progress;
#[cfg(feature = "live")]
mod proxy;
mod run;
mod scenario;
mod schema;
#[cfg(feature = "live")]
mod serve;
mod shrink;
mod survey;
mod team;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use exit::{Exit, Failure};
use terminal::Terminal;

/// Parses the arguments of the process, does what they mean and returns its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::BadInput } else { Exit::Holds };
            // Nothing can be said any more if even this cannot be printed.
            let _ = error.print();
            return ExitCode::from(exit as u8);
        }
    };
    let terminal = Terminal::new(cli.color, cli.quiet, cli.verbose);
    let result = match &cli.command {
        Command::Run(args) => run::run(args, &terminal),
        Command::Check(args) => check::check(args, &terminal),
        Command::Explain(args) => explain::explain(args, &terminal),
        Command::Convert(args) => convert::convert(args),
        Command::Merge(args) => merge::merge(args),
        Command::List(args) => list::list(args),
        Command::Lint(args) => lint::lint(args),
        Command::Survey(args) => survey::survey(args, &terminal),
        Command::Shrink(args) => shrink::shrink(args, &terminal),
        #[cfg(feature = "live")]
        Command::Serve(args) => serve::serve(args),
        Command::Heal(args) => heal::heal(args, &terminal),
        #[cfg(feature = "live")]
        Command::Lab(action) => lab::lab(action, &terminal),
        #[cfg(feature = "live")]
        Command::Proxy(args) => proxy::proxy(args),
        #[cfg(feature = "live")]
        Command::Clock(action) => clock::clock(action),
        Command::New(kind) => new::new(kind),
        Command::Schema { of } => schema::schema(*of),
        Command::Completions { shell } => manual::completions(*shell),
        Command::Man { command } => manual::page(command.as_deref()),
    };
    let exit = result.unwrap_or_else(|Failure { exit, message }| {
        terminal::complain(&format!("error: {message}"));
        exit
    });
    ExitCode::from(exit as u8)
}
