//! A real Redis primary and a replica that replicates through a proxy.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rashomon::proxy::{New, Open, Packet};

use crate::{Process, Proxy, cut, directory, free_ports, is_installed, packet, wait};

/// Whether Redis is here.
pub(crate) fn is_there() -> bool {
    is_installed("redis-server", "redis-server")
}

/// A server on a port; a replica is told where its primary is.
pub(crate) fn server(port: u16, primary: Option<u16>) -> Process {
    let directory = directory(&format!("redis-{port}"));
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--repl-diskless-sync-delay", "0", "--repl-timeout", "60", "--port"]);
    command.arg(port.to_string()).arg("--dir").arg(&directory);
    if let Some(primary) = primary {
        command.args(["--replicaof", "127.0.0.1", &primary.to_string()]);
    }
    Process::start(&mut command, &directory.join("log"))
}

/// What a server answers to an inline command: the first line, or of a text the text.
pub(crate) fn ask(port: u16, command: &str) -> Option<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    (&stream).write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    match first.strip_prefix('$') {
        Some("-1") => None,
        Some(_) => lines.next()?.ok(),
        None => Some(first),
    }
}

const LIMIT: Duration = Duration::from_secs(30);

struct Replicated {
    primary: u16,
    replica: u16,
    proxy: Proxy,
    _servers: [Process; 2],
}

impl Replicated {
    fn new() -> Option<Self> {
        if !is_there() {
            return None;
        }
        let base = free_ports();
        let (primary, replica) = (base + 1, base + 2);
        let proxy = Proxy::start(&format!(
            "control = \"127.0.0.1:{}\"\n[[link]]\nfrom = \"n2\"\nto = \"n1\"\n\
             listen = \"127.0.0.1:{}\"\nconnect = \"127.0.0.1:{primary}\"\n",
            base + 10,
            base + 21
        ));
        let servers = [server(primary, None), server(replica, Some(base + 21))];
        let replicated = Self { primary, replica, proxy, _servers: servers };
        replicated.arrives("first");
        Some(replicated)
    }

    fn write(&self, value: &str) {
        assert_eq!(ask(self.primary, &format!("SET x {value}")).as_deref(), Some("+OK"));
    }

    fn replica_has(&self, value: &str) -> bool {
        ask(self.replica, "GET x").as_deref() == Some(value)
    }

    /// How long a write takes to the replica.
    fn arrives(&self, value: &str) -> Duration {
        wait("the primary", LIMIT, || ask(self.primary, "PING").is_some());
        self.write(value);
        wait("replication", LIMIT, || self.replica_has(value))
    }
}

#[test]
fn a_replica_that_is_cut_off_is_stale_until_the_cut_ends() {
    let _alone = crate::alone();
    let Some(redis) = Replicated::new() else { return };
    redis.proxy.set("F1", &cut("n1>n2", Open::Hold, New::Hang));
    redis.write("second");
    crate::pause(1_000);
    assert!(redis.replica_has("first"), "nothing that n1 sends reaches n2");
    let stopped = redis.proxy.undo("F1");
    assert!(stopped["held-bytes"].as_u64() > Some(20), "{stopped}");
    let took = wait("replication", LIMIT, || redis.replica_has("second"));
    println!("{took:?} after the end of the cut the replica is whole");
}

#[test]
fn replication_is_reset_and_begins_anew() {
    let _alone = crate::alone();
    let Some(redis) = Replicated::new() else { return };
    redis.proxy.set("F1", &cut("n1>n2 n2>n1", Open::Reset, New::Refuse));
    let link = || ask(redis.replica, "INFO replication").is_some();
    wait("the replica", LIMIT, link);
    let is_down = || {
        let role = ask_lines(redis.replica, "INFO replication");
        role.iter().any(|line| line == "master_link_status:down")
    };
    wait("the end of the link", LIMIT, is_down);
    redis.write("second");
    wait("a refusal", LIMIT, || {
        let rules = redis.proxy.remote().rules().expect("it runs");
        rules["rules"][0]["stopped"]["refused"].as_u64() > Some(1)
    });
    assert!(redis.replica_has("first"));
    redis.proxy.undo("F1");
    wait("replication", LIMIT, || redis.replica_has("second"));
}

#[test]
fn replication_is_as_late_and_as_slow_as_asked_for() {
    let _alone = crate::alone();
    let Some(redis) = Replicated::new() else { return };
    let delay = Packet { delay_ms: 400, ..Packet::default() };
    redis.proxy.set("P", &packet("n1>n2", delay));
    let took = redis.arrives("late");
    assert!(took >= Duration::from_millis(390), "{took:?}");
    println!("400 ms of delay: {took:?}");
    redis.proxy.undo("P");
    let rate = Packet { rate_kbit: 800, ..Packet::default() };
    redis.proxy.set("P", &packet("n1>n2", rate));
    let begun = Instant::now();
    for part in 0..4 {
        let value = "v".repeat(40_000);
        assert_eq!(ask(redis.primary, &format!("SET big{part} {value}")).as_deref(), Some("+OK"));
    }
    redis.arrives("slow");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_450), "160 kB at 100 kB/s took {took:?}");
    println!("160 kB at 800 kbit/s: {took:?}");
    redis.proxy.undo("P");
}

fn ask_lines(port: u16, command: &str) -> Vec<String> {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { return Vec::new() };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    if (&stream).write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).is_err() {
        return Vec::new();
    }
    BufReader::new(stream).lines().map_while(Result::ok).collect()
}
