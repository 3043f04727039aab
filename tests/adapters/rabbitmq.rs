//! RabbitMQ.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rashomon::model::{Function, Op, Value};

use crate::functions::{self, single};
use crate::server::{Server, free_port, is_installed};
use crate::{Asked, directory};

/// The programs themselves; those of the same name in `/usr/sbin` want to be another user.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";

struct Broker {
    server: Server,
    port: u16,
    /// Where the names of brokers are told.
    names: u16,
}

impl Broker {
    /// In a process namespace of its own, so that what it starts besides ends with it.
    fn start(port: u16) -> Self {
        let (directory, names) = (directory(&format!("rabbitmq-{port}")), free_port());
        let config = directory.join("rabbitmq.conf");
        std::fs::write(&config, format!("listeners.tcp.1 = 127.0.0.1:{port}\n")).expect("a file");
        std::fs::write(directory.join("plugins"), "[].\n").expect("a file");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", PROGRAM]);
        command
            .env("HOME", &directory)
            .env("RABBITMQ_NODENAME", format!("test{port}@localhost"))
            .env("RABBITMQ_MNESIA_BASE", directory.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", directory.join("log"))
            .env("RABBITMQ_CONFIG_FILE", &config)
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("plugins"))
            .env("RABBITMQ_DIST_PORT", free_port().to_string())
            .env("ERL_EPMD_PORT", names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1");
        Self { server: Server::start(&mut command, directory), port, names }
    }

    /// What it answers to its administrator.
    fn control(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(CONTROL);
        command.args(["--quiet", "--node", &format!("test{}@localhost", self.port)]);
        command.args(arguments).env("HOME", self.server.directory());
        command.env("ERL_EPMD_PORT", self.names.to_string());
        let output = command.output().expect("it comes with the server");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn queues(&self) -> Vec<String> {
        let text = self.control(&["list_queues", "name", "--no-table-headers"]);
        text.lines().filter(|line| line.starts_with("rashomon.")).map(str::to_owned).collect()
    }
}

/// Stands between client and server, and swallows what the server says while the flag is up.
fn relay(server: u16) -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let is_silent = Arc::new(AtomicBool::new(false));
    let flag = is_silent.clone();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
            let flag = flag.clone();
            let ends = (client.try_clone().expect("a socket"), server.try_clone().expect("one"));
            thread::spawn(move || pass(client, server, None));
            thread::spawn(move || pass(ends.1, ends.0, Some(&flag)));
        }
    });
    (port, is_silent)
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_silent: Option<&AtomicBool>) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if !is_silent.is_some_and(|flag| flag.load(Ordering::SeqCst))
            && to.write_all(&bytes[..length]).is_err()
        {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn target(port: u16, line: &str) -> Asked {
    Asked::open(&format!(
        "name = \"rabbitmq\"\nadapter = \"rabbitmq\"\ntimeout = \"3s\"\n{line}\n[ready]\nwithin = \"120s\"\n\
         [nodes]\nn1 = \"127.0.0.1:{port}\"\n"
    ))
}

#[test]
fn messages_come_out_in_order_and_silence_is_unknown() {
    if !Path::new(PROGRAM).exists() {
        is_installed("rabbitmq-server", "rabbitmq-server", false);
        return;
    }
    let port = free_port();
    let mut broker = Broker::start(port);
    let (relayed, is_silent) = relay(port);
    let mut asked = target(relayed, "");
    let enqueue = |number| single(Function::Enqueue, Value::Int(number));
    let dequeue = || single(Function::Dequeue, Value::Null);
    for number in [1, 2] {
        asked.ok(enqueue(number));
    }
    assert_eq!(asked.ok(dequeue()), Value::Int(1));
    assert_eq!(asked.ok(dequeue()), Value::Int(2));
    assert_eq!(asked.ok(dequeue()), Value::Null);
    // Longer than a frame.
    let long = Value::text(&"é".repeat(200_000));
    asked.ok(single(Function::Enqueue, long.clone()));
    assert_eq!(asked.ok(dequeue()), long);
    let other = Op::single(Function::Dequeue, Value::text("other"), Value::Null);
    assert_eq!(asked.ok(other), Value::Null);
    // The message arrives, and its confirmation does not.
    is_silent.store(true, Ordering::SeqCst);
    asked.unknown(enqueue(3));
    is_silent.store(false, Ordering::SeqCst);
    assert_eq!(asked.ok(dequeue()), Value::Int(3));
    // A message that is handed out without being acknowledged is handed out again.
    asked.ok(enqueue(4));
    is_silent.store(true, Ordering::SeqCst);
    asked.unknown(dequeue());
    is_silent.store(false, Ordering::SeqCst);
    let again = (0..50).map(|_| asked.ok(dequeue())).find(|value| *value != Value::Null);
    assert_eq!(again, Some(Value::Int(4)));
    // Another run removes its own queues, and leaves those that it shall keep.
    let enqueue_to = |key| Op::single(Function::Enqueue, Value::Int(key), Value::Int(key));
    let count = || broker.queues().len() as u64;
    functions::clearing(|line| target(port, line), enqueue_to, count);
    // A queue that somebody else has removed.
    for queue in broker.queues() {
        broker.control(&["delete_queue", &queue]);
    }
    let why = asked.fails(dequeue());
    assert!(why.contains("NOT_FOUND") || why.contains("404"), "{why}");
    let why = asked.fails(enqueue(4));
    assert!(why.contains("no queue takes"), "{why}");
    broker.server.kill();
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        thread::yield_now();
    }
    let mut refused = asked.ask(enqueue(5));
    if refused.error.as_deref().is_some_and(|why| !why.contains("cannot connect")) {
        refused = asked.ask(enqueue(5));
    }
    assert!(refused.error.is_some_and(|why| why.contains("cannot connect")));
}
