//! NATS JetStream.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use rashomon::model::{Function, Kind, Op, Value};

use crate::functions::{self, single};
use crate::server::{Server, find, free_port, is_installed};
use crate::{Asked, directory};

fn nats(port: u16, more: &[&str]) -> Server {
    let directory = directory(&format!("nats-{port}"));
    let mut command = Command::new(find("nats-server").expect("it is installed"));
    command.args([
        "--addr",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "--jetstream",
        "--store_dir",
    ]);
    Server::start(command.arg(&directory).args(more), directory.clone())
}

fn target(port: u16) -> Asked {
    opened(port, "timeout = \"500ms\"")
}

fn opened(port: u16, line: &str) -> Asked {
    Asked::open(&format!(
        "name = \"nats\"\nadapter = \"nats\"\n{line}\n[nodes]\nn1 = \"127.0.0.1:{port}\"\n"
    ))
}

#[test]
fn every_function_is_understood_and_silence_is_unknown() {
    if !is_installed("nats-server", "nats-server", false) {
        return;
    }
    let port = free_port();
    let mut server = nats(port, &[]);
    for check in [functions::registers, functions::ids] {
        check(&mut target(port));
    }
    for function in [Function::Append, Function::Add] {
        let mut asked = target(port);
        for number in [1, 2] {
            asked.ok(single(function, Value::Int(number)));
        }
        let key = single(function, Value::Null).key().clone();
        assert_eq!(asked.ok(Op::read(key)), Value::list([1, 2].map(Value::Int)));
    }
    let mut asked = target(port);
    let append = || single(Function::Append, Value::Int(1));
    asked.ok(append());
    server.pause();
    asked.unknown(append());
    server.resume();
    asked.ok(append());
    let Value::List(list) = asked.ok(Op::read(append().key().clone())) else { panic!("no list") };
    assert!(list.len() == 2 || list.len() == 3, "{list:?}");
    server.pause();
    asked.send(append());
    server.kill();
    let event = asked.completion();
    assert_eq!(event.kind, Kind::Info, "{event:?}");
    let why = asked.fails(append());
    assert!(why.contains("cannot connect"), "{why}");
}

#[test]
fn a_run_removes_what_it_made() {
    if !is_installed("nats-server", "nats-server", false) {
        return;
    }
    let (port, monitor) = (free_port(), free_port());
    let _server = nats(port, &["--http_port", &monitor.to_string()]);
    drop(target(port));
    let count = || {
        let mut stream = TcpStream::connect(("127.0.0.1", monitor)).expect("it is up");
        stream.write_all(b"GET /jsz HTTP/1.0\r\n\r\n").expect("it listens");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let (_, body) = text.split_once("\r\n\r\n").expect("a body");
        let state: serde_json::Value = serde_json::from_str(body).expect("JSON");
        state["messages"].as_u64().unwrap_or_else(|| panic!("{state}"))
    };
    functions::clearing(|line| opened(port, line), functions::write, count);
    let append = |number| single(Function::Append, Value::Int(number));
    functions::clearing(|line| opened(port, line), append, count);
}

/// The server is gone and back before the operation that was under way is given up: it is not sent again,
/// and whoever asks next gets a connection of its own.
#[test]
fn a_client_does_not_connect_again() {
    if !is_installed("nats-server", "nats-server", false) {
        return;
    }
    let port = free_port();
    let mut server = nats(port, &[]);
    let mut asked = opened(port, "timeout = \"3s\"");
    let append = || single(Function::Append, Value::Int(1));
    asked.ok(append());
    server.pause();
    asked.send(append());
    server.kill();
    let _again = nats(port, &[]);
    let event = asked.completion();
    assert_eq!(event.kind, Kind::Info, "{event:?}");
    let why = event.error.unwrap_or_default();
    assert!(!why.contains("no answer within"), "it waited for a connection: {why}");
}
