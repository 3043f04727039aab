//! Three real etcd members that talk to each other and to their clients through a proxy that the run
//! starts, by the target file that comes with rashomon.

use std::path::PathBuf;

use rashomon::history::{History, read};
use rashomon::proxy::Definition;

use crate::{directory, free_ports, is_installed, rashomon};

/// What is left of a run.
struct Ran {
    history: History,
    report: String,
}

/// Copies of the target file and its proxy file with ports of our own.
fn target(base: &str) -> Option<PathBuf> {
    if !is_installed("etcd", "etcd-server") {
        return None;
    }
    let directory = directory("etcd");
    let (port, nodes) = (free_ports(), free_ports());
    for name in ["etcd-proxy.toml", "etcd-proxy-links.toml"] {
        let text = std::fs::read_to_string(format!("workloads/targets/{name}"));
        let mut text = text
            .expect("it comes with rashomon")
            .replace("/tmp/rashomon-etcd", &format!("{}/etcd", directory.display()));
        // What is free may be what another is called in the file: first they all get other names.
        for at in 1..4 {
            text = text
                .replace(&format!("127.0.0.1:2379{at}"), &format!("CLIENTS{at}"))
                .replace(&format!("127.0.0.1:2380{at}"), &format!("PEERS{at}"));
        }
        for at in [0, 1, 2, 3, 10, 20, 30] {
            text = text
                .replace(&format!("127.0.0.1:{}", 7100 + at), &format!("127.0.0.1:{}", port + at));
        }
        for at in 1..4 {
            text = text
                .replace(&format!("CLIENTS{at}"), &format!("127.0.0.1:{}", nodes + at))
                .replace(&format!("PEERS{at}"), &format!("127.0.0.1:{}", nodes + 10 + at));
        }
        let extended =
            std::fs::canonicalize(format!("workloads/targets/{base}")).expect("it is there");
        std::fs::copy(extended, directory.join(base)).expect("a copy");
        text = text.replace("extends = \"etcd.toml\"", &format!("extends = \"{base}\""));
        std::fs::write(directory.join(name), text).expect("a copy");
    }
    Some(directory)
}

fn run(directory: &PathBuf, faults: &str, code: i32) -> Ran {
    let out = directory.join("run");
    let output = rashomon(&["run", "workloads/register.toml", "--quiet", "--seed", "7"])
        .args(["--time-limit", "10s", "--set", &faults.replace('\n', ""), "--set"])
        .args(["clients.rate=200"])
        .args(["--set", "phases.quiesce=2s", "--set", "phases.warmup=500ms", "--target"])
        .arg(directory.join("etcd-proxy.toml"))
        .arg("--out")
        .arg(&out)
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}{wrong}");
    let links = directory.join("etcd-proxy-links.toml");
    let text = std::fs::read_to_string(links).expect("ours");
    let control = Definition::parse("links", &text).expect("correct").control;
    assert!(std::net::TcpStream::connect(control).is_err(), "the run has ended its proxy");
    let ran = Ran {
        history: read(&out.join("history.jsonl"), None).expect("the history of the run"),
        report: std::fs::read_to_string(out.join("report.txt")).expect("the report"),
    };
    std::fs::remove_dir_all(directory).expect("ours");
    ran
}

const PARTITIONS: &str = r#"fault=[
    { inject = "partition", shape = "primary", every = "60s", for = "3s", offset = "1s" },
    { inject = "partition", shape = "halves", every = "60s", for = "3s", offset = "6s" }]"#;

#[test]
fn linearizable_reads_hold_while_the_leader_is_cut_off() {
    let _alone = crate::alone();
    let Some(directory) = target("etcd.toml") else { return };
    let Ran { history, .. } = run(&directory, PARTITIONS, 0);
    let ok = history.txns().filter(|txn| txn.is_ok()).count();
    assert!(ok >= 50, "{ok} of {} operations are ok", history.len());
    assert_eq!(history.faults().len(), 2);
    println!("{ok} of {} operations are ok", history.len());
}

#[test]
fn serializable_reads_of_a_leader_that_is_cut_off_are_stale() {
    let _alone = crate::alone();
    let Some(directory) = target("etcd-serializable.toml") else { return };
    let Ran { report, .. } = run(&directory, PARTITIONS, 1);
    assert!(report.contains("stale read"), "{report}");
}

#[test]
fn a_slow_network_and_lost_clients_are_no_violation() {
    let _alone = crate::alone();
    let Some(directory) = target("etcd.toml") else { return };
    let faults = r#"fault=[
        { inject = "packet", delay = "60ms", jitter = "20ms", nodes = "primary", every = "60s", for = "3s", offset = "1s" },
        { inject = "disconnect", nodes = "one", every = "60s", for = "2s", offset = "5s" },
        { inject = "disconnect", lost = "answers", nodes = "one", every = "60s", for = "1s", offset = "7500ms" }]"#;
    let Ran { history, .. } = run(&directory, faults, 0);
    assert_eq!(history.faults().len(), 3);
    let slow = &history.faults()[0];
    let within = |time| slow.begin <= time && time <= slow.end;
    let late = history.txns().filter(|txn| {
        txn.is_ok()
            && within(txn.invoked_at())
            && (txn.returned_at() - txn.invoked_at()).0 > 40_000_000
    });
    assert!(late.count() > 10, "nothing is late");
}
