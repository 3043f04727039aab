//! The main job, whole: drive a store, break its network, record, check, report.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rashomon::check::measure;
use rashomon::history;

fn run(out: &Path, args: &[&str]) -> Output {
    run_workload("workloads/register.toml", out, args)
}

fn run_workload(workload: &str, out: &Path, args: &[&str]) -> Output {
    let _ = fs::remove_dir_all(out);
    Command::new(env!("CARGO_BIN_EXE_rashomon"))
        .args(["run", workload, "--quiet", "--out"])
        .arg(out)
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts")
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("main_job").join(name)
}

fn results(out: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(out.join("results.json")).expect("results.json"))
        .expect("JSON")
}

fn status(results: &serde_json::Value, id: &str) -> String {
    let rows = results["properties"].as_array().expect("a list of properties");
    let row = rows.iter().find(|row| row["id"] == id).expect("a row for the property");
    row["status"].as_str().expect("a status").to_owned()
}

#[test]
fn the_default_store_is_convicted() {
    for seed in ["1", "2", "3"] {
        let out = scratch(&format!("async-{seed}"));
        let output = run(&out, &["--seed", seed]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let results = results(&out);
        assert_eq!(status(&results, "LIN"), "violated", "{text}");
        assert_eq!(status(&results, "AWL"), "violated", "{text}");
        assert_eq!(status(&results, "MR"), "violated", "{text}");
        let last = text.lines().last().expect("a last line");
        assert!(
            last.contains("rashomon run") && last.contains(&format!("--seed {seed}")),
            "{last}"
        );
    }
}

#[test]
fn synchronous_replication_loses_no_acknowledged_write() {
    for seed in ["1", "2", "3"] {
        let out = scratch(&format!("sync-{seed}"));
        run(&out, &["--seed", seed, "--set", "target.replication=sync"]);
        assert_eq!(status(&results(&out), "AWL"), "holds", "seed {seed}");
    }
}

#[test]
fn raft_is_acquitted_and_makes_progress() {
    for seed in ["1", "2", "3"] {
        let out = scratch(&format!("raft-{seed}"));
        let output = run(&out, &["--seed", seed, "--set", "target.store=raft"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let history =
            history::read(&out.join("history.jsonl"), None).expect("the history of the run");
        let outside = measure(&history).outside_faults(&history).expect("a clock");
        assert!(outside.operations > 1_000 && outside.ok_fraction() >= Some(0.9), "{text}");
    }
}

/// Every workload convicts the store it names, and acquits the one that keeps its promises.
#[test]
fn every_workload_convicts_and_acquits() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads");
    let mut workloads = 0;
    for entry in fs::read_dir(folder).expect("the workloads") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            continue;
        }
        workloads += 1;
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        // A probe measures and convicts nobody; what suffers every fault is a store that bears it.
        let own = i32::from(!["probe", "every-fault"].contains(&name.as_str()));
        for (target, expected) in [(None, own), (Some("raft"), 0)] {
            let out = scratch(&format!("{name}-{}", target.unwrap_or("own")));
            let mut args = vec!["--seed", "5"];
            args.extend(target.iter().flat_map(|target| ["--target", target]));
            let output = run_workload(&path.display().to_string(), &out, &args);
            let text = String::from_utf8_lossy(&output.stdout);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(expected), "{name} on {target:?}: {text}{error}");
        }
    }
    assert!(workloads >= 5, "only {workloads} workloads");
}

#[test]
fn one_seed_one_history() {
    let (one, two, other) = (scratch("same-1"), scratch("same-2"), scratch("other"));
    run(&one, &["--seed", "7"]);
    run(&two, &["--seed", "7"]);
    run(&other, &["--seed", "8"]);
    let bytes = |out: &Path| fs::read(out.join("history.jsonl")).expect("a history");
    assert!(bytes(&one) == bytes(&two), "one seed gives one byte-identical history");
    assert!(bytes(&one) != bytes(&other), "another seed gives another");
}

/// A history cut off in the middle of a line, as `kill -9` leaves it, is read and checked.
#[test]
fn a_torn_history_is_still_checked() {
    let out = scratch("torn");
    run(&out, &["--seed", "1"]);
    let bytes = fs::read(out.join("history.jsonl")).expect("a history");
    let torn = out.join("torn.jsonl");
    fs::write(&torn, &bytes[..bytes.len() * 2 / 3]).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_rashomon"))
        .arg("check")
        .arg(&torn)
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}
