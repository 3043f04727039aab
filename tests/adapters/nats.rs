//! NATS JetStream.

use std::process::Command;

use rashomon::model::{Function, Kind, Op, Value};

use crate::functions::{self, single};
use crate::server::{Server, find, free_port, is_installed};
use crate::{Asked, directory};

fn nats(port: u16) -> Server {
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
    Server::start(command.arg(&directory), directory.clone())
}

fn target(port: u16) -> Asked {
    Asked::open(&format!(
        "name = \"nats\"\nadapter = \"nats\"\ntimeout = \"500ms\"\n[nodes]\nn1 = \"127.0.0.1:{port}\"\n"
    ))
}

#[test]
fn every_function_is_understood_and_silence_is_unknown() {
    if !is_installed("nats-server", "nats-server", false) {
        return;
    }
    let port = free_port();
    let mut server = nats(port);
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
    asked.begin(append());
    std::thread::sleep(std::time::Duration::from_millis(100));
    server.kill();
    let event = asked.completion();
    assert_eq!(event.kind, Kind::Info, "{event:?}");
    let why = asked.fails(append());
    assert!(why.contains("cannot connect"), "{why}");
}
