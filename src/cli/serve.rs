//! `rashomon serve`: an embedded store as a real HTTP cluster on loopback.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::cli::args::ServeArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt;
use crate::cli::run::pairs;
use crate::model::Value;
use crate::run::serve as serve_target;
use crate::store;

pub(crate) fn serve(args: &ServeArgs) -> Result<Exit, Failure> {
    let mut options = BTreeMap::new();
    for (name, text) in pairs(&args.set)? {
        let name = name.trim_start_matches("target.").to_owned();
        options.insert(name, value(&text));
    }
    let mut target = store::build(&args.store, &options, args.seed).map_err(|error| {
        let option = error.option.map_or_else(String::new, |option| format!("{option}: "));
        let message = error.message;
        Failure::bad_input(format!("{option}{message}; see rashomon list stores"))
    })?;
    let stop = interrupt::flag(|| std::process::exit(i32::from(Exit::Interrupted as u8)));
    let announce = |nodes: &[(std::sync::Arc<str>, std::net::SocketAddr)]| {
        let mut out = io::stdout().lock();
        for (node, address) in nodes {
            // Whoever closed the output is not told where the nodes are.
            let _ = writeln!(out, "{node} http://{address}");
        }
        let _ = out.flush();
    };
    serve_target(&mut *target, args.port, announce, &stop)
        .map_err(|error| Failure::target(format!("cannot serve {}: {error}", args.store)))?;
    Ok(Exit::Holds)
}

/// A value as it would stand in a workload; a text if it is nothing else.
fn value(text: &str) -> Value {
    let parsed: Result<BTreeMap<String, Value>, _> = toml::from_str(&format!("value = {text}"));
    parsed.ok().and_then(|mut one| one.remove("value")).unwrap_or_else(|| Value::text(text))
}
