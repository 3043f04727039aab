//! The proxy: what it does to bytes, to real etcd and Redis, and what is left of it when a run is
//! killed. None of it needs root.

#![cfg(all(feature = "live", feature = "cli"))]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]
#![expect(clippy::disallowed_methods, reason = "proxies and servers live in real time")]

mod bytes;
mod etcd;
mod file;
mod killed;
mod redis;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rashomon::proxy::{Asked, Cut, Effect, New, Open, Packet, Remote, Way};

/// A port so that nobody listens on the next hundred either. Below the range from which connections get
/// their ports.
fn free_ports() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() % 100;
    loop {
        let at = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 100;
        let port = 20_000 + 100 * at as u16;
        if (port..port + 40).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return port;
        }
    }
}

/// Servers and their faults need the machine for themselves: one test with real ones after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed leaves nothing behind that concerns the next.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory of our own.
fn directory(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("rashomon-proxy-{name}-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).expect("a directory of our own");
    directory
}

/// Whether a server can be started here. Where CI is set, it must be there.
fn is_installed(program: &str, package: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !there {
        assert!(std::env::var_os("CI").is_none(), "there is no {program}; install {package}");
        println!("skipped: there is no {program} on this machine (Debian: {package})");
    }
    there
}

fn rashomon(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rashomon"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

fn pause(millis: u64) {
    std::thread::park_timeout(Duration::from_millis(millis));
}

/// Asks until it is so; how long that took.
fn wait(what: &str, most: Duration, mut is_so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < most, "{what}: not after {most:?}");
        pause(20);
    }
    begun.elapsed()
}

/// A process that is killed when this is dropped.
struct Process(Child);

impl Process {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).expect("a log");
        let errors = log.try_clone().expect("a log");
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        Self(child.expect("it starts"))
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A proxy of a file, ended when this is dropped.
struct Proxy {
    process: Process,
    control: SocketAddr,
    directory: PathBuf,
}

impl Proxy {
    fn start(file: &str) -> Self {
        let directory = directory("links");
        let path = directory.join("links.toml");
        std::fs::write(&path, file).expect("a proxy file");
        let definition = rashomon::proxy::Definition::parse("links.toml", file);
        let control = definition.expect("a correct proxy file").control;
        let path = path.display().to_string();
        let process = Process::start(&mut rashomon(&["proxy", &path]), &directory.join("log"));
        let proxy = Self { process, control, directory };
        wait("a proxy", Duration::from_secs(20), || proxy.remote().rules().is_ok());
        proxy
    }

    fn remote(&self) -> Remote {
        Remote::at(self.control)
    }

    /// Sets a rule and has it proved.
    fn set(&self, id: &str, asked: &Asked) {
        self.remote().set(id, asked).unwrap_or_else(|error| panic!("{asked:?}: {error}"));
        self.remote().probe(id).unwrap_or_else(|error| panic!("{asked:?}: {error}"));
    }

    fn undo(&self, id: &str) -> serde_json::Value {
        let undone = self.remote().undo(id).expect("it is undone");
        assert_eq!(undone["was-there"], true, "{undone}");
        undone["stopped"].clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.process.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn ways(text: &str) -> Vec<Way> {
    text.split(' ').map(|way| Way::try_from(way.to_owned()).expect("a way")).collect()
}

fn rule(ways_of: &str, effect: Effect) -> Asked {
    Asked { ways: ways(ways_of), nodes: Vec::new(), half: false, heal_within_ms: 60_000, effect }
}

fn cut(ways: &str, open: Open, new: New) -> Asked {
    rule(ways, Effect::Cut(Cut { open, new }))
}

fn packet(ways: &str, packet: Packet) -> Asked {
    rule(ways, Effect::Packet(packet))
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy listens");
    stream.set_nodelay(true).expect("a socket");
    stream
}
