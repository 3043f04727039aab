//! Servers that a test starts, stops and kills.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Whether a server can be started here. Where CI is set, those that CI installs must be there.
pub(crate) fn is_installed(program: &str, package: &str, ci_installs_it: bool) -> bool {
    let there = find(program).is_some();
    if !there {
        assert!(
            !ci_installs_it || std::env::var_os("CI").is_none(),
            "there is no {program}; install {package}"
        );
        println!("skipped: there is no {program} on this machine (Debian: {package})");
    }
    there
}

/// Where a program is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/lib/postgresql/15/bin", "/usr/sbin", "/usr/local/sbin"];
    let folders = std::env::split_paths(&path).chain(more.into_iter().map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A process of a server; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    /// Removed with it.
    directory: PathBuf,
}

impl Server {
    pub(crate) fn start(command: &mut Command, directory: PathBuf) -> Self {
        let log = std::fs::File::create(directory.join("server.log")).expect("a log");
        let errors = log.try_clone().expect("a log");
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command.spawn().expect("the server starts");
        Self { child, directory }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The process keeps its connections and says nothing any more.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
        // Its threads stop one after the other.
        while !self.is_stopped() {
            std::thread::yield_now();
        }
    }

    fn is_stopped(&self) -> bool {
        let folder = format!("/proc/{}/task", self.child.id());
        let threads = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut states = threads.map(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        });
        states.all(|is_stopped| is_stopped)
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    /// The process is gone at once; its connections are reset.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            println!("the log of the server: {}", self.directory.join("server.log").display());
        } else {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// A port that nobody listens on. Below the range from which connections get their ports: while a
/// server is down, nobody may take its port by chance.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() % 1_000 * 12;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port as u16)).is_ok() {
            return port as u16;
        }
    }
}

/// Runs a command to its end; it must succeed.
pub(crate) fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
