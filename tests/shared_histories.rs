//! Real histories with known verdicts: etcd and Jepsen runs, and those of other checkers.

#![expect(clippy::print_stdout, reason = "what is skipped is said")]

use std::path::{Path, PathBuf};

use rashomon::check::{Expected, Limits, Property, Status, Verdict, assess, linear};
use rashomon::history::{History, read, read_bytes};
use rashomon::model::Value;

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

/// Transactions on several registers, which begin with zero.
#[test]
fn multi_register_of_knossos() {
    let path = folder().join("knossos/multi-register-good-multi-register.edn");
    if !path.exists() {
        println!("skipped: there is no {}", path.display());
        return;
    }
    let judge = |text: &str, initial: bool| {
        let mut history = read_bytes("multi-register.edn", text.as_bytes(), None)
            .unwrap_or_else(|error| panic!("{error}"));
        if initial {
            history.begin_with(Value::Int(0));
        }
        let assessment = assess(&history, &Limits::default(), Expected::linearizable());
        let violated = assessment.violated();
        (history, assessment, violated)
    };
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}"));
    let (_, assessment, _) = judge(&text, true);
    let violated = assessment.verdicts.iter().find(|one| one.status == Status::Invalid);
    assert_eq!(violated, None);
    assert_eq!(assessment.status, Status::Valid);

    // Without the initial value nothing explains the zeros that were read first.
    let (_, _, violated) = judge(&text, false);
    assert_eq!(violated, [Property::Lin]);

    // One read of both registers is made to show the other register's value in one of them.
    let (from, to) = (":value [[:read :x 0] [:read :y 2]]", ":value [[:read :x 2] [:read :y 2]]");
    assert!(text.contains(from), "the file has changed");
    let (history, assessment, violated) = judge(&text.replacen(from, to, 1), true);
    assert_eq!(violated, [Property::Lin]);
    let verdict = assessment.verdict(Property::Lin).expect("it is always judged");
    for anomaly in &verdict.anomalies {
        assert_eq!(check(&history.subset(&anomaly.operations)).status, Status::Invalid);
    }
}

/// The workloads of Jepsen that are no transactions: all of them kept their promises, and nobody is
/// accused of anything; what their reads can show is shown to hold.
#[test]
fn sets_counters_and_banks_of_jepsen_are_not_accused() {
    let holds = Some(Status::Valid);
    for (name, property, expected) in [
        ("bank.edn.gz", Property::Bank, holds),
        ("bank-neg.edn", Property::Bank, holds),
        ("set.edn", Property::SetLost, holds),
        // Nobody read the counter, so nothing is known of it.
        ("counter.edn", Property::Cnt, Some(Status::Unknown)),
        ("comments.edn", Property::SetLost, None),
    ] {
        let path = folder().join("elle-cli").join(name);
        if !path.exists() {
            println!("skipped: there is no {}", path.display());
            continue;
        }
        let history = read(&path, None).unwrap_or_else(|error| panic!("{error}"));
        let assessment = assess(&history, &Limits::default(), Expected::default());
        let violated = assessment.verdicts.iter().find(|verdict| verdict.status == Status::Invalid);
        // Half of the comments were written before the recording began.
        assert!(violated.is_none() || name == "comments.edn", "{name}: {violated:#?}");
        let status = assessment.verdict(property).map(|verdict| verdict.status);
        assert!(expected.is_none() || status == expected, "{name}: {status:?}");
    }
}

/// Databases that kept their transactional promises are accused of nothing, by no checker. Snapshot
/// isolation does not promise one order of all transactions: what is not in one is told truly.
#[test]
fn serializable_and_snapshot_isolated_databases_are_not_accused() {
    use Property as P;
    const ONE_ORDER: [P; 8] = [P::Lin, P::Seq, P::G2Item, P::Ws, P::Ser, P::SsSer, P::Sser, P::Reg];
    for name in ["list-append-ssi", "list-append-si", "rw-register-ssi", "rw-register-si"] {
        let path = folder().join(format!("elle-sim/{name}-10k.edn.gz"));
        if !path.exists() {
            println!("skipped: there is no {}", path.display());
            continue;
        }
        let history = read(&path, None).unwrap_or_else(|error| panic!("{error}"));
        let expected = Expected::strongest(&history);
        assert_eq!(expected.hold, [P::Sser], "{name}");
        let assessment = assess(&history, &Limits::default(), expected);
        let is_serializable = name.ends_with("-ssi");
        let is_allowed =
            |verdict: &&Verdict| !is_serializable && ONE_ORDER.contains(&verdict.property);
        let violated: Vec<&Verdict> = assessment
            .verdicts
            .iter()
            .filter(|verdict| verdict.status == Status::Invalid && !is_allowed(verdict))
            .collect();
        assert!(violated.is_empty(), "{name}: {violated:#?}");
        let status = |property| assessment.verdict(property).map(|verdict| verdict.status);
        let strongest = if is_serializable { P::Sser } else { P::SSi };
        assert_eq!(status(strongest), Some(Status::Valid), "{name}");
        let ser = if is_serializable { Status::Valid } else { Status::Invalid };
        assert_eq!(status(P::Ser), Some(ser), "{name}");
    }
}

/// Stacks, queues and priority queues of fastlin.
#[test]
fn containers_of_fastlin() {
    for (path, expected) in indexed(&["container"]) {
        let history = read(&path, None).unwrap_or_else(|error| panic!("{error}"));
        let verdict = check(&history);
        let status = if expected { Status::Valid } else { Status::Invalid };
        assert_eq!(verdict.status, status, "{}: {verdict:#?}", path.display());
    }
}

/// Transactions without times: AWDIT's levels are ours along sessions. Nothing is said to hold in
/// real time.
#[test]
fn transactions_of_awdit_and_plume() {
    use Property as P;
    let Ok(index) = std::fs::read_to_string(folder().join("INDEX.tsv")) else {
        println!("skipped: there is no ../shared/histories/INDEX.tsv");
        return;
    };
    let mut judged = 0;
    for line in index.lines().filter(|line| line.contains("awdit-test") || line.contains("plume")) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (name, told) = (columns[0], columns[3]);
        let history = read(&folder().join(name), None).unwrap_or_else(|error| panic!("{error}"));
        assert!(!history.has_real_time(), "{name}");
        let assessment = assess(&history, &Limits::default(), Expected::default());
        let status = |property| assessment.verdict(property).map(|verdict| verdict.status);
        let (holds, violated): (&[P], &[P]) = match told {
            "awdit: RC ok, RA ok, CC ok" => (&[P::SsRc, P::SsRa, P::SsTcc], &[]),
            "awdit: RC ok, RA ok, CC VIOLATED" => (&[P::SsRc, P::SsRa], &[P::SsTcc]),
            "awdit: RC ok, RA VIOLATED, CC VIOLATED" => (&[P::SsRc], &[P::SsRa, P::SsTcc]),
            "awdit: RC, RA, CC VIOLATED" => (&[], &[P::SsRc, P::SsRa, P::SsTcc]),
            "SER violated (IsoVista); RC, RA, causal hold (AWDIT)" => {
                (&[P::SsRc, P::SsRa, P::SsTcc], &[P::Ser, P::SsSer, P::Sser])
            }
            "SI violated (IsoVista); RC and RA hold, causal violated (AWDIT)" => {
                (&[P::SsRc, P::SsRa], &[P::SsTcc, P::SsSi, P::SSi, P::SsSer])
            }
            _ => panic!("{name}: nothing is known of {told}"),
        };
        for property in holds {
            assert_eq!(status(*property), Some(Status::Valid), "{name}: {}", property.id());
        }
        for property in violated {
            assert_eq!(status(*property), Some(Status::Invalid), "{name}: {}", property.id());
        }
        for property in [P::Lin, P::Reg, P::Fut, P::SPc, P::SPsi, P::SSi, P::Sser] {
            assert_ne!(status(property), Some(Status::Valid), "{name}: {}", property.id());
        }
        judged += 1;
    }
    assert_eq!(judged, 18);
}
