//! ZooKeeper.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use rashomon::model::{Function, Kind, Op, Value};

use crate::functions::{self, single};
use crate::server::{Server, free_port, is_installed};
use crate::{Asked, directory};

const JAR: &str = "/usr/share/java/zookeeper.jar";

fn zookeeper(port: u16) -> Server {
    let directory = directory(&format!("zookeeper-{port}"));
    let file = directory.join("zoo.cfg");
    let text = format!(
        "tickTime=500\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
         admin.enableServer=false\n",
        directory.display()
    );
    std::fs::write(&file, text).expect("a file of our own");
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(format!("/etc/zookeeper/conf:{JAR}"));
    command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(&file);
    Server::start(&mut command, directory)
}

fn target(port: u16, options: &str) -> Asked {
    opened(port, "", options)
}

fn opened(port: u16, line: &str, options: &str) -> Asked {
    Asked::open(&format!(
        "name = \"zookeeper\"\nadapter = \"zookeeper\"\ntimeout = \"1s\"\n{line}\n[ready]\nwithin = \"60s\"\n\
         [nodes]\nn1 = \"127.0.0.1:{port}\"\n{options}"
    ))
}

fn is_there() -> bool {
    let is_there = is_installed("java", "zookeeper", false) && std::path::Path::new(JAR).exists();
    if !is_there {
        println!("skipped: there is no {JAR} on this machine (Debian: zookeeper)");
    }
    is_there
}

#[test]
fn every_function_is_understood_and_silence_is_unknown() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let mut server = zookeeper(port);
    for options in
        ["", "[zookeeper]\nbefore-read = \"sync\"\n", "[zookeeper]\nbefore-read = \"write\"\n"]
    {
        for check in [functions::registers, functions::sets, functions::counters, functions::ids] {
            check(&mut target(port, options));
        }
    }
    let mut asked = target(port, "");
    assert_eq!(asked.target.primary().as_deref(), Some("n1"));
    for number in [1, 2] {
        asked.ok(single(Function::Append, Value::Int(number)));
    }
    let key = single(Function::Append, Value::Null).key().clone();
    assert_eq!(asked.ok(Op::read(key)), Value::list([1, 2].map(Value::Int)));

    let mut asked = target(port, "");
    let write = || Op::write(Value::text("x"), Value::Int(1));
    asked.ok(write());
    server.pause();
    asked.unknown(write());
    server.resume();
    asked.ok(write());
    server.pause();
    asked.send(write());
    server.kill();
    let event = asked.completion();
    assert_eq!(event.kind, Kind::Info, "{event:?}");
    let why = asked.fails(write());
    assert!(why.contains("cannot connect"), "{why}");
}

#[test]
fn a_run_removes_what_it_made() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let _server = zookeeper(port);
    drop(target(port, ""));
    // One of the words of four letters; it ends with the number of nodes.
    let count = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it is up");
        stream.write_all(b"srvr").expect("it listens");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let count = text.lines().find_map(|line| line.strip_prefix("Node count: "));
        count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    functions::clearing(|line| opened(port, line, ""), functions::write, count);
    let new_id = |_| single(Function::NewId, Value::Null);
    functions::clearing(|line| opened(port, line, ""), new_id, count);
}
