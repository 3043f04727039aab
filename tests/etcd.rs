//! A live three-member etcd, driven through `workloads/targets/etcd.toml` while its members are killed and
//! paused.

#![cfg(all(feature = "live", feature = "cli"))]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rashomon::history::{History, read};
use rashomon::model::{Action, Invocation, Kind, Nanos, Op, Process, Value, What};
use rashomon::target::{TargetConfig, open};

/// The register workload, whole, by the command a user types: linearizable reads of an etcd whose
/// leader is paused and killed show no violation.
#[test]
fn linearizable_reads_of_a_killed_and_paused_etcd() {
    let Some(cluster) = Cluster::new("etcd.toml") else { return };
    let out = cluster.directory.join("run");
    let fault = |inject: &str, offset: &str| {
        format!(
            r#"{{ inject = "{inject}", nodes = "primary", every = "6s", for = "1500ms", offset = "{offset}" }}"#
        )
    };
    let faults = format!("fault=[{}, {}]", fault("pause", "1s"), fault("kill", "4s"));
    let output = Command::new(env!("CARGO_BIN_EXE_rashomon"))
        .args(["run", "workloads/register.toml", "--quiet", "--seed", "7", "--time-limit", "12s"])
        .arg("--i-own-this-cluster")
        .args(["--set", &faults, "--set", "clients.rate=400", "--set", "phases.quiesce=1s"])
        .args(["--set", "phases.warmup=500ms", "--target"])
        .arg(&cluster.file)
        .arg("--out")
        .arg(&out)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    let (text, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}{error}");
    assert!(cluster.members().is_empty(), "members still run: {:?}", cluster.members());

    let history = read(&out.join("history.jsonl"), None).expect("the history of the run");
    let ok = history.txns().filter(|txn| txn.is_ok()).count();
    println!("{ok} of {} operations are ok", history.len());
    assert!(ok >= 1_000, "{ok} of {} operations are ok", history.len());
    assert_eq!(history.faults().len(), 4);
    assert!(
        history.faults().iter().all(|fault| fault.end > fault.begin && fault.end < Nanos::FOREVER)
    );
    assert!(
        history.txns().filter(|txn| txn.is_final() && txn.is_ok()).count() > 100,
        "final reads"
    );
    faults_are_felt(&history);
}

#[test]
fn serializable_reads_and_cas_are_understood() {
    let Some(cluster) = Cluster::new("etcd-serializable.toml") else { return };
    let config = TargetConfig::parse("etcd", &cluster.text).expect("a correct target file");
    let mut target = open(&config, Some(&cluster.directory)).expect("three members that answer");
    assert!(target.primary().is_some_and(|leader| target.nodes().contains(&leader)));
    let mut ask = |op: Op| {
        let session = 0;
        let (process, node, is_final) = (Process(0), Some(Arc::from("n1")), false);
        let invocation = Invocation { process, session, node, is_final, waited: Nanos(0), op };
        target.begin(&Action::Invoke(invocation)).expect("n1 is up");
        let event = target.advance(Nanos::FOREVER).expect("an answer");
        let What::Client(event) = event.what else { panic!("a fault nobody asked for") };
        (event.kind, event.op.mops[0].value.clone())
    };
    let key = || Value::text("a key / with \"odd\" characters: é");
    let (one, two, three) = (Value::Int(1), Value::Int(2), Value::Int(3));
    let nothing = Value::Null;
    assert_eq!(ask(Op::read(key())), (Kind::Ok, nothing.clone()));
    assert_eq!(ask(Op::cas(key(), one.clone(), two.clone())).0, Kind::Fail);
    assert_eq!(ask(Op::cas(key(), nothing.clone(), one.clone())), (Kind::Ok, nothing.clone()));
    assert_eq!(ask(Op::cas(key(), nothing, three.clone())).0, Kind::Fail);
    assert_eq!(ask(Op::cas(key(), one.clone(), two.clone())), (Kind::Ok, one));
    assert_eq!(ask(Op::read(key())), (Kind::Ok, two.clone()));
    assert_eq!(ask(Op::rmw(key(), three.clone())), (Kind::Ok, two));
    assert_eq!(ask(Op::read(key())), (Kind::Ok, three));
    let text = Value::text("three, or \"drei\"");
    assert_eq!(ask(Op::write(key(), text.clone())).0, Kind::Ok);
    assert_eq!(ask(Op::read(key())), (Kind::Ok, text));
    target.close().expect("closed");
}

/// Addresses and a directory for three members; the target file's own commands start and stop them.
struct Cluster {
    directory: PathBuf,
    file: PathBuf,
    text: String,
}

impl Cluster {
    /// `None` where there is no etcd, unless it is expected to be there.
    fn new(file: &str) -> Option<Self> {
        let there = Command::new("etcd").arg("--version").output();
        if !there.is_ok_and(|output| output.status.success()) {
            assert!(std::env::var_os("CI").is_none(), "there is no etcd; install etcd-server");
            println!("skipped: there is no etcd on this machine (Debian: etcd-server)");
            return None;
        }
        let name = format!("rashomon-test-{}-{}", std::process::id(), file.replace('.', "-"));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a directory of our own");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/targets").join(file);
        let mut text = std::fs::read_to_string(path).expect("the target file");
        for port in [23791, 23792, 23793, 23801, 23802, 23803] {
            text = text.replace(&format!("127.0.0.1:{port}"), &free_address());
        }
        text = text.replace("/tmp/rashomon-etcd", &directory.join("etcd").display().to_string());
        let file = directory.join(file);
        std::fs::write(&file, &text).expect("a target file of our own");
        Some(Self { directory, file, text })
    }

    /// The pid files of members.
    fn members(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.directory.join("etcd")).into_iter().flatten().flatten();
        let paths = files.map(|file| file.path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "pid")).collect()
    }
}

/// An address nobody listens on. Below the range from which connections get their ports: while a
/// member is down, nobody may take its port by chance.
fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() % 1_000 * 12;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("logs of the members: {}", self.directory.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// A killed member refuses (`fail`), a paused one keeps silent (`info` for a write).
fn faults_are_felt(history: &History) {
    let errors = |kind: Kind, text: &str| {
        let with = history.txns().filter(|txn| txn.kind() == kind);
        with.filter(|txn| txn.error().is_some_and(|error| error.contains(text))).count()
    };
    assert!(errors(Kind::Fail, "cannot connect") > 0, "no refusal");
    assert!(errors(Kind::Info, "no answer within 1000 ms") > 0, "no silence");
}
