//! Live targets against a server of our own on loopback, and faults whose effects are files.

#![cfg(feature = "live")]

mod act;
mod config;
mod driver;
mod faults;
mod http;
mod k2v;
mod pages;
mod renewal;
mod server;

use std::sync::Arc;

use rashomon::model::{Action, ClientEvent, Invocation, Nanos, Op, Process, What};
use rashomon::target::Target;

/// Begins an operation of a process at `n1`.
fn begin(target: &mut dyn Target, process: u32, op: Op) {
    begin_at(target, process, "n1", op);
}

fn begin_at(target: &mut dyn Target, process: u32, node: &str, op: Op) {
    let (session, node) = (process + 100, Some(Arc::from(node)));
    let process = Process(process);
    let invocation = Invocation { process, session, node, is_final: false, waited: Nanos(0), op };
    target.begin(&Action::Invoke(invocation)).expect("the target is open");
}

/// The next completion, whenever it comes.
fn completion(target: &mut dyn Target) -> ClientEvent {
    match target.advance(Nanos::FOREVER).expect("something is under way").what {
        What::Client(client) => client,
        What::Fault(_) => panic!("a live target makes no faults of its own"),
    }
}

/// One operation of a process at `n1`, and how it ended.
fn ask(target: &mut dyn Target, process: u32, op: Op) -> ClientEvent {
    begin(target, process, op);
    completion(target)
}

/// A directory of our own, empty.
fn directory(name: &str) -> std::path::PathBuf {
    let name = format!("rashomon-test-{}-{name}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("the temporary directory can be written to");
    directory
}
