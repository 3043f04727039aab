//! A live run that is interrupted, politely or not: whatever was broken is mended.

#![cfg(all(feature = "live", feature = "cli", unix))]
#![expect(clippy::disallowed_methods, reason = "a server and a waiting test live in real time")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rashomon::history::read;
use rashomon::model::Nanos;

/// A store that takes every write and knows nothing, one thread a connection.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(stream: TcpStream) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        lines.read_exact(&mut vec![0; length]).ok()?;
        out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").ok()?;
    }
}

struct Run {
    child: Child,
    out: PathBuf,
    broken: PathBuf,
}

/// Starts a run of a minute and waits until its one fault is in force.
fn broken_run(name: &str) -> Run {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interrupt").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a scratch folder");
    let (out, broken) = (folder.join("run"), folder.join("broken"));
    let target = format!(
        r#"
name = "yes"
about = "takes every write"
adapter = "http"
disposable = true
[nodes]
n1 = "http://{}"
[environment]
BROKEN = "{}"
[fault.mark]
inject = 'touch "$BROKEN"'
undo = 'rm -f "$BROKEN"'
[operation.write]
method = "PUT"
path = "/${{key|url}}"
body = "${{value|json}}"
answer = [{{ status = 200, is = "ok" }}]
"#,
        serve(),
        broken.display()
    );
    let workload = r#"
name = "interrupted"
[clients]
count = 2
rate = 50
[[operation]]
do = "write"
[[fault]]
inject = "mark"
nodes = "all"
[phases]
main = "60s"
[expect]
hold = []
[target]
file = "target.toml"
"#;
    fs::write(folder.join("target.toml"), target).expect("a target file");
    fs::write(folder.join("workload.toml"), workload).expect("a workload file");
    let child = Command::new(env!("CARGO_BIN_EXE_rashomon"))
        .arg("run")
        .arg(folder.join("workload.toml"))
        .args(["--quiet", "--seed", "1", "--out"])
        .arg(&out)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut run = Run { child, out, broken };
    let begun = Instant::now();
    while !run.broken.exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the fault never came");
        assert!(run.child.try_wait().expect("a child").is_none(), "the run ended by itself");
        thread::sleep(Duration::from_millis(10));
    }
    // Some operations under the fault.
    thread::sleep(Duration::from_millis(300));
    run
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn an_interrupt_heals_and_keeps_the_history() {
    for name in ["-INT", "-TERM"] {
        let mut run = broken_run(&format!("polite{name}"));
        signal(&run.child, name);
        assert_eq!(run.child.wait().expect("an end").code(), Some(130));
        assert!(!run.broken.exists(), "the fault is undone");
        let history = read(&run.out.join("history.jsonl"), None).expect("the history");
        assert!(history.len() > 3 && history.faults().len() == 1);
        assert!(history.faults()[0].end < Nanos::FOREVER, "the end of the fault is recorded");
        assert!(run.out.join("results.json").exists(), "what there is was checked");
    }
}

#[test]
fn what_a_killed_run_left_is_healed_afterwards() {
    let mut run = broken_run("killed");
    signal(&run.child, "-KILL");
    run.child.wait().expect("an end");
    assert!(run.broken.exists(), "nobody was left to undo it");
    let history = read(&run.out.join("history.jsonl"), None).expect("the history is readable");
    assert!(history.len() > 3 && history.faults().len() == 1);
    for said in ["healed F1 (mark)", "nothing is broken"] {
        let heal = Command::new(env!("CARGO_BIN_EXE_rashomon"))
            .arg("heal")
            .arg(&run.out)
            .output()
            .expect("the binary starts");
        assert!(heal.status.success(), "{}", String::from_utf8_lossy(&heal.stderr));
        assert_eq!(String::from_utf8_lossy(&heal.stdout).trim(), said);
        assert!(!run.broken.exists());
    }
}
