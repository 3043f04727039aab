//! Tarantool.

use std::process::Command;

use rashomon::model::{Function, Kind, Op, Value};

use crate::functions::{self, single};
use crate::server::{Server, free_port, is_installed};
use crate::{Asked, directory};

fn tarantool(port: u16) -> Server {
    let directory = directory(&format!("tarantool-{port}"));
    let file = directory.join("node.lua");
    let text = format!(
        "box.cfg{{listen = '127.0.0.1:{port}', work_dir = '{}', memtx_memory = 33554432}}\n\
         box.once('rashomon', function() box.schema.user.grant('guest', 'super') end)\n",
        directory.display()
    );
    std::fs::write(&file, text).expect("a file of our own");
    Server::start(Command::new("tarantool").arg(&file), directory)
}

fn target(port: u16, options: &str) -> Asked {
    opened(port, "", options)
}

fn opened(port: u16, line: &str, options: &str) -> Asked {
    Asked::open(&format!(
        "name = \"tarantool\"\nadapter = \"tarantool\"\ntimeout = \"500ms\"\n{line}\n[ready]\nwithin = \"30s\"\n\
         [nodes]\nn1 = \"127.0.0.1:{port}\"\n{options}"
    ))
}

#[test]
fn every_function_is_understood_and_silence_is_unknown() {
    if !is_installed("tarantool", "tarantool", true) {
        return;
    }
    let port = free_port();
    let mut server = tarantool(port);
    for check in [functions::registers, functions::sets, functions::counters] {
        check(&mut target(port, ""));
    }
    for options in ["", "[tarantool]\nupdate = \"read-modify-write\"\n"] {
        let mut asked = target(port, options);
        for number in [1, 2] {
            asked.ok(single(Function::Append, Value::Int(number)));
        }
        let key = single(Function::Append, Value::Null).key().clone();
        assert_eq!(asked.ok(Op::read(key)), Value::list([1, 2].map(Value::Int)));
        assert_eq!(asked.target.primary().as_deref(), Some("n1"));
    }
    functions::counters(&mut target(port, "[tarantool]\nupdate = \"read-modify-write\"\n"));

    let mut asked = target(port, "");
    let increment = || single(Function::Increment, Value::Int(1));
    asked.ok(increment());
    server.pause();
    asked.unknown(increment());
    server.resume();
    asked.ok(increment());
    let key = increment().key().clone();
    let sum = asked.ok(Op::read(key));
    assert!(sum == Value::Int(2) || sum == Value::Int(3), "{sum}");
    server.pause();
    asked.send(increment());
    server.kill();
    let event = asked.completion();
    assert_eq!(event.kind, Kind::Info, "{event:?}");
    let why = asked.fails(increment());
    assert!(why.contains("cannot connect"), "{why}");
}

#[test]
fn a_run_removes_what_it_made() {
    if !is_installed("tarantool", "tarantool", true) {
        return;
    }
    let port = free_port();
    let server = tarantool(port);
    // The spaces are made by whoever comes first.
    drop(target(port, ""));
    let script = server.directory().join("count.lua");
    let text = format!(
        "local c = require('net.box').connect('127.0.0.1:{port}')\n\
         print(c:eval('return box.space.rashomon:len() + box.space.rashomon_elements:len()'))\n\
         os.exit(0)\n"
    );
    std::fs::write(&script, text).expect("a file of our own");
    let count = || {
        let output = Command::new("tarantool").arg(&script).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.trim().parse().unwrap_or_else(|_| panic!("{output:?}"))
    };
    functions::clearing(|line| opened(port, line, ""), functions::write, count);
    let add = |number| single(Function::Add, Value::Int(number));
    functions::clearing(|line| opened(port, line, ""), add, count);
}
