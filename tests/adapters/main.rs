//! Adapters against real servers, started on loopback with ports and directories of their own.

#![cfg(feature = "live")]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]
#![expect(clippy::disallowed_methods, reason = "servers live in real time")]

#[path = "../live/act.rs"]
mod act;
mod functions;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "postgres")]
mod postgres;
mod process;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "redis")]
mod redis;
mod serve;
mod server;
#[cfg(feature = "tarantool")]
mod tarantool;
#[cfg(feature = "zookeeper")]
mod zookeeper;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rashomon::model::{Action, ClientEvent, Invocation, Kind, Nanos, Op, Process, Value, What};
use rashomon::target::{Target, TargetConfig, open};

/// A target that is asked one operation at a time, by process after process.
struct Asked {
    target: Box<dyn Target>,
    next: u32,
    nodes: Vec<Arc<str>>,
}

impl Asked {
    fn open(file: &str) -> Self {
        let config = TargetConfig::parse("test.toml", file).unwrap_or_else(|e| panic!("{e}"));
        let target = open(&config, None).unwrap_or_else(|error| panic!("{error}"));
        let nodes = target.nodes().to_vec();
        Self { target, next: 0, nodes }
    }

    /// Begins an operation at the first node.
    fn begin(&mut self, op: Op) {
        self.begin_at(0, op);
    }

    fn begin_at(&mut self, node: usize, op: Op) {
        let process = Process(self.next);
        let node = Some(self.nodes[node].clone());
        let invocation =
            Invocation { process, session: 0, node, is_final: false, waited: Nanos(0), op };
        self.target.begin(&Action::Invoke(invocation)).expect("the target is open");
    }

    /// Begins an operation at the first node whose answer does not come soon.
    fn send(&mut self, op: Op) {
        self.begin(op);
        let soon = self.target.now() + Nanos::from_millis(100);
        assert_eq!(self.target.advance(soon), None);
    }

    fn completion(&mut self) -> ClientEvent {
        let event = self.target.advance(Nanos::FOREVER).expect("something is under way");
        let What::Client(client) = event.what else { panic!("a fault nobody asked for") };
        if client.kind == Kind::Info {
            self.next += 1;
        }
        client
    }

    /// How an operation at the first node ends.
    fn ask(&mut self, op: Op) -> ClientEvent {
        self.begin(op);
        self.completion()
    }

    /// It must be ok; what its first micro-operation says.
    fn ok(&mut self, op: Op) -> Value {
        let shown = format!("{op:?}");
        let event = self.ask(op);
        assert_eq!(event.kind, Kind::Ok, "{shown}: {:?}", event.error);
        event.op.mops[0].value.clone()
    }

    /// It must fail.
    fn fails(&mut self, op: Op) -> String {
        let shown = format!("{op:?}");
        let event = self.ask(op);
        assert_eq!(event.kind, Kind::Fail, "{shown}: {event:?}");
        event.error.unwrap_or_default()
    }

    /// It must stay unknown.
    fn unknown(&mut self, op: Op) -> String {
        let shown = format!("{op:?}");
        let event = self.ask(op);
        assert_eq!(event.kind, Kind::Info, "{shown}: {event:?}");
        event.error.unwrap_or_default()
    }
}

/// A directory of our own, empty, that other users may enter.
fn directory(name: &str) -> PathBuf {
    let name = format!("rashomon-test-{}-{name}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("the temporary directory can be written to");
    directory
}

/// A file of the project.
fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
