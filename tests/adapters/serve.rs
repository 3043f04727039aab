//! Embedded stores served over HTTP, driven through `workloads/targets/serve.toml`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rashomon::model::{Action, FaultId, Kind, NodeFault, Op, Value};

use crate::act::act;
use crate::server::is_installed;
use crate::{Asked, directory, functions, project};

/// A served store; it ends with this.
struct Served {
    child: Child,
    directory: PathBuf,
    /// The target file with the ports that it got.
    text: String,
}

impl Served {
    fn start(store: &str, nodes: usize, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rashomon"));
        command.args(["serve", store, "--port", "0"]);
        for option in options {
            command.args(["--set", option]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let text = project("workloads/targets/serve.toml");
        let mut text = std::fs::read_to_string(text).expect("the target file");
        for (line, port) in lines.take(nodes).zip(7001..) {
            let line = line.expect("a text");
            let (_, url) = line.split_once(' ').expect("a node and its address");
            text = text.replace(&format!("http://127.0.0.1:{port}"), url);
        }
        let directory = directory(&format!("serve-{store}-{}", child.id()));
        Self { child, directory, text }
    }

    fn run(&self, workload: &str, sets: &[&str]) -> Output {
        let file = self.directory.join("serve.toml");
        std::fs::write(&file, &self.text).expect("a file of our own");
        let mut command = run_command(workload, sets, &file);
        command.arg("--out").arg(self.directory.join("run"));
        command.output().expect("the binary starts")
    }

    /// The same run by three load machines, merged and checked.
    fn run_by_three(&self, workload: &str, sets: &[&str]) -> Output {
        let file = self.directory.join("serve.toml");
        std::fs::write(&file, &self.text).expect("a file of our own");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let meeting = free.local_addr().expect("an address").to_string();
        drop(free);
        let parts = [1, 2, 3].map(|number| {
            let out = self.directory.join(format!("worker-{number}"));
            let mut command = run_command(workload, sets, &file);
            command.args(["--worker", &format!("{number}/3"), "--coordinator", &meeting]);
            (command.arg("--out").arg(&out).spawn().expect("the binary starts"), out)
        });
        let parts = parts.map(|(mut child, out)| {
            assert!(child.wait().expect("it ends").success());
            out.join("history.jsonl")
        });
        let rashomon = || Command::new(env!("CARGO_BIN_EXE_rashomon"));
        let alone = rashomon().arg("check").arg(&parts[1]).output().expect("the binary starts");
        assert_eq!(alone.status.code(), Some(3), "a part knows too little to be judged");
        let merged = self.directory.join("merged.jsonl");
        let mut merge = rashomon();
        merge.arg("merge").args(&parts).arg("--output").arg(&merged);
        let merge = merge.output().expect("the binary starts");
        println!("{}", String::from_utf8_lossy(&merge.stdout));
        assert!(merge.status.success(), "{}", String::from_utf8_lossy(&merge.stderr));
        let check = rashomon().arg("check").arg(&merged).arg("--json").output();
        check.expect("the binary starts")
    }
}

/// A run of that workload and target file.
fn run_command(workload: &str, sets: &[&str], file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rashomon"));
    command.args(["run", workload, "--quiet", "--seed", "5", "--target"]).arg(file);
    for set in sets {
        command.args(["--set", set]);
    }
    command.current_dir(project("."));
    command
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// One partition that leaves the primary alone, in a short run.
const SHORT: [&str; 6] = [
    r#"fault=[{ inject = "partition", shape = "primary", every = "8s", for = "4s", offset = "1s" }]"#,
    "phases.main=7s",
    "phases.warmup=1s",
    "phases.recovery=500ms",
    "phases.quiesce=2s",
    "clients.rate=200",
];

#[test]
fn a_partition_of_an_asynchronous_primary_is_a_violation() {
    if !is_installed("curl", "curl", false) {
        return;
    }
    let served = Served::start("primary-replica", 3, &["replication=async", "failover=automatic"]);
    let output = served.run("workloads/register.toml", &SHORT);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("linearizable"), "{text}");
}

#[test]
fn a_partition_of_raft_is_none() {
    if !is_installed("curl", "curl", false) {
        return;
    }
    let served = Served::start("raft", 3, &[]);
    let output = served.run("workloads/register.toml", &SHORT);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn operations_and_faults_are_understood() {
    if !is_installed("curl", "curl", false) {
        return;
    }
    let served = Served::start("single", 1, &[]);
    let text = served.text.replace("n2 =", "# n2 =").replace("n3 =", "# n3 =");
    let mut asked = Asked::open(&text);
    functions::registers(&mut asked);
    assert_eq!(asked.target.primary().as_deref(), Some("n1"));
    let kill = NodeFault::Kill.at(vec!["n1".into()]);
    act(&mut *asked.target, &Action::Begin(FaultId(1), kill.clone())).expect("curl");
    let write = || Op::write(Value::text("y"), Value::Int(1));
    assert_eq!(asked.fails(write()), r#"409 {"type":"fail","error":"connection refused"}"#);
    act(&mut *asked.target, &Action::End(FaultId(1), kill)).expect("curl");
    asked.ok(write());
    let pause = NodeFault::Pause.at(vec!["n1".into()]);
    act(&mut *asked.target, &Action::Begin(FaultId(2), pause)).expect("curl");
    assert_eq!(asked.ask(write()).kind, Kind::Info);
    // Closing heals it.
    asked.target.close().expect("healed");
    asked = Asked::open(&text);
    asked.ok(write());
}

#[test]
fn three_load_machines_make_one_history() {
    for (store, options, exit) in [("raft", vec![], 0), ("primary-replica", vec!["lag=200ms"], 1)] {
        let served = Served::start(store, 3, &options);
        let output = served.run_by_three("workloads/register.toml", &SHORT);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(exit), "{store}: {said}");
    }
}
