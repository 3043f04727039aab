//! Real histories with known verdicts: etcd and Jepsen runs, and those of other checkers.

#![expect(clippy::print_stdout, reason = "what is skipped is said")]

use std::path::{Path, PathBuf};

use rashomon::check::{Expected, Limits, Status, Verdict, assess, linear};
use rashomon::history::{History, read};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/histories")
}

/// The files of these workloads, each with whether it is linearizable.
fn indexed(workloads: &[&str]) -> Vec<(PathBuf, bool)> {
    let Ok(index) = std::fs::read_to_string(folder().join("INDEX.tsv")) else {
        println!("skipped: there is no ../shared/histories/INDEX.tsv");
        return Vec::new();
    };
    let mut files = Vec::new();
    for line in index.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        if workloads.contains(&columns[1]) {
            let expected = matches!(columns[3], "linearizable" | "Ok");
            files.push((folder().join(columns[0]), expected));
        }
    }
    files
}

fn check(history: &History) -> Verdict {
    linear::check(history, &Limits::default())
}

fn agrees(workloads: &[&str], at_least: usize) {
    let files = indexed(workloads);
    assert!(files.is_empty() || files.len() >= at_least, "{} files", files.len());
    let mut silent = 0;
    for (path, expected) in files {
        let history = read(&path, None).unwrap_or_else(|error| panic!("{error}"));
        let verdict = check(&history);
        let name = path.display();
        let is_silent = !history.txns().any(|txn| txn.is_ok() && txn.read().is_some());
        if expected && is_silent {
            // A few runs saw no answer at all: nothing could be wrong, and nothing was shown.
            assert_eq!(verdict.status, Status::Unknown, "{name}: {verdict:#?}");
            silent += 1;
            continue;
        }
        if expected {
            assert_eq!(verdict.status, Status::Valid, "{name}: {verdict:#?}");
            continue;
        }
        assert_eq!(verdict.status, Status::Invalid, "{name}: {verdict:#?}");
        // What nobody wrote is nothing the operations of a proof can show by themselves.
        for anomaly in verdict.anomalies.iter().filter(|one| one.kind != "thin-air-read") {
            let again = check(&history.subset(&anomaly.operations));
            assert_eq!(again.status, Status::Invalid, "{name}: {anomaly:#?}");
        }
    }
    assert!(silent <= 4, "{silent} histories without an answer");
}

#[test]
fn cas_registers_of_etcd_and_jepsen() {
    agrees(&["cas-register"], 148);
}

#[test]
fn key_value_stores_of_porcupine() {
    agrees(&["kv get/put/append per key"], 6);
}

#[test]
fn locks_of_etcd() {
    agrees(&["mutex"], 1);
}

/// Databases that kept their transactional promises are accused of nothing, by no checker.
#[test]
fn serializable_and_snapshot_isolated_databases_are_not_accused() {
    for name in ["list-append-ssi", "list-append-si", "rw-register-ssi", "rw-register-si"] {
        let path = folder().join(format!("elle-sim/{name}-10k.edn.gz"));
        if !path.exists() {
            println!("skipped: there is no {}", path.display());
            continue;
        }
        let history = read(&path, None).unwrap_or_else(|error| panic!("{error}"));
        let assessment = assess(&history, &Limits::default(), Expected::linearizable());
        let violated = assessment.verdicts.iter().find(|verdict| verdict.status == Status::Invalid);
        assert_eq!(violated, None, "{name}");
    }
}
