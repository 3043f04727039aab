//! Redis.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use rashomon::model::{Function, Kind, Op, Value};

use crate::functions::{self, single};
use crate::server::{Server, free_port, is_installed};
use crate::{Asked, directory};

fn redis(port: u16, more: &[&str]) -> Server {
    let directory = directory(&format!("redis-{port}"));
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
    command.arg(port.to_string()).arg("--dir").arg(&directory).args(more);
    Server::start(&mut command, directory)
}

fn is_there() -> bool {
    is_installed("redis-server", "redis-server", true)
}

fn target(ports: &[u16], options: &str) -> Asked {
    opened(ports, "", options)
}

fn opened(ports: &[u16], line: &str, options: &str) -> Asked {
    let nodes = ports.iter().enumerate();
    let nodes: Vec<String> =
        nodes.map(|(at, port)| format!("n{} = \"127.0.0.1:{port}\"", at + 1)).collect();
    let nodes = nodes.join("\n");
    Asked::open(&format!(
        "name = \"redis\"\nadapter = \"redis\"\ntimeout = \"400ms\"\n{line}\n[nodes]\n{nodes}\n{options}"
    ))
}

#[test]
fn every_function_is_understood() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let _server = redis(port, &[]);
    for check in [
        functions::registers,
        functions::lists,
        functions::sets,
        functions::counters,
        functions::ids,
        functions::banks,
        functions::queues,
    ] {
        check(&mut target(&[port], ""));
    }
}

#[test]
fn silence_is_unknown_and_a_refusal_fails() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let mut server = redis(port, &[]);
    let mut asked = target(&[port], "");
    let increment = || single(Function::Increment, Value::Int(1));
    asked.ok(increment());
    server.pause();
    asked.unknown(increment());
    assert_eq!(asked.ask(Op::read(Value::text("x"))).kind, Kind::Fail);
    server.resume();
    std::thread::sleep(std::time::Duration::from_millis(200));
    // Sent once at most, however long it lay about.
    let key = increment().key().clone();
    let sum = asked.ok(Op::read(key));
    assert!(sum == Value::Int(1) || sum == Value::Int(2), "{sum}");
    server.pause();
    asked.send(increment());
    server.kill();
    let event = asked.completion();
    assert_eq!(event.kind, Kind::Info, "{event:?}");
    let why = asked.fails(increment());
    assert!(why.contains("cannot connect"), "{why}");
}

#[test]
fn replicas_refuse_writes_and_are_waited_for() {
    if !is_there() {
        return;
    }
    let ports = [free_port(), free_port()];
    let _primary = redis(ports[0], &["--repl-diskless-sync-delay", "0"]);
    let mut replica = redis(ports[1], &["--replicaof", "127.0.0.1", &ports[0].to_string()]);
    let mut asked = target(&ports, "[redis]\nwait = { replicas = 1, timeout = \"200ms\" }\n");
    let write = |value| Op::write(Value::text("x"), Value::Int(value));
    // Until the replica is there, nobody acknowledges.
    let mut value = 0;
    loop {
        value += 1;
        if asked.ask(write(value)).kind == Kind::Ok {
            break;
        }
        assert!(value < 100, "no replica acknowledges");
    }
    assert_eq!(asked.target.primary().as_deref(), Some("n1"));
    asked.begin_at(1, Op::read(Value::text("x")));
    let event = asked.completion();
    assert_eq!((event.kind, &event.op.mops[0].value), (Kind::Ok, &Value::Int(value)));
    for op in [
        write(1_000),
        Op::txn(vec![write(1_001).mops.remove(0), write(1_002).mops.remove(0)]),
        Op::cas(Value::text("x"), Value::Int(value), Value::Int(1_003)),
    ] {
        asked.begin_at(1, op);
        let event = asked.completion();
        assert_eq!(event.kind, Kind::Fail, "{event:?}");
    }
    replica.kill();
    let why = asked.unknown(write(2_000));
    assert_eq!(why, "0 of 1 replicas acknowledged");
}

/// Where there are no transactions, `MULTI` is refused, and what should have been its parts is executed.
#[test]
fn parts_of_what_is_no_transaction_are_unknown() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let _server = redis(port, &["--rename-command", "MULTI", ""]);
    let mut asked = target(&[port], "");
    let writes = ["x", "y"].map(|key| Op::write(Value::text(key), Value::Int(1)).mops.remove(0));
    let why = asked.unknown(Op::txn(writes.to_vec()));
    assert!(why.contains("unknown command"), "{why}");
    assert_eq!(asked.ok(Op::read(Value::text("x"))), Value::Int(1));
}

#[test]
fn writes_go_to_whom_sentinel_names() {
    if !is_there() || !is_installed("redis-sentinel", "redis-sentinel", false) {
        return;
    }
    let (primary, sentinel) = (free_port(), free_port());
    let _server = redis(primary, &[]);
    let other = free_port();
    let _other = redis(other, &["--replicaof", "127.0.0.1", &primary.to_string()]);
    let place = directory(&format!("sentinel-{sentinel}"));
    let file = place.join("sentinel.conf");
    let text = format!(
        "port {sentinel}\nbind 127.0.0.1\ndir {}\nsentinel monitor it 127.0.0.1 {primary} 1\n",
        place.display()
    );
    std::fs::write(&file, text).expect("a file of our own");
    let _sentinel = Server::start(Command::new("redis-sentinel").arg(&file), place);
    let mut asked = target(
        &[primary, other],
        &format!(
            "[redis]\nsentinel = {{ primary = \"it\", port = {sentinel}, refresh = \"50ms\" }}\n"
        ),
    );
    for _ in 0..100 {
        asked.begin_at(1, Op::write(Value::text("x"), Value::Int(1)));
        let event = asked.completion();
        if event.kind == Kind::Ok {
            assert_eq!(asked.ok(Op::read(Value::text("x"))), Value::Int(1));
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("no write at the replica reaches the primary");
}

#[test]
fn a_run_removes_what_it_made() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let _server = redis(port, &[]);
    drop(target(&[port], ""));
    let count = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it is up");
        stream.write_all(b"DBSIZE\r\nQUIT\r\n").expect("it listens");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let count = text.lines().next().and_then(|line| line.strip_prefix(':'));
        count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    functions::clearing(|line| opened(&[port], line, ""), functions::write, count);
}
