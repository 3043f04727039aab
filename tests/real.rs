//! Weaknesses of real servers, found by name, and their remedies, of which nothing is said.
//!
//! Each scenario of `workloads/real` brings a lab up, breaks it and checks what it answered. They need
//! root, nftables and the server; where one of them is missing they are skipped with a word, unless
//! they are expected to be there (`CI` is set).

#![cfg(all(feature = "live", feature = "cli"))]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn etcd_reads() {
    let Some(scenario) = Scenario::new("etcd-reads", &["etcd", "etcdctl"]) else { return };
    scenario.is_found(&["LIN", "REG"]);
    scenario.holds(1);
}

#[test]
fn redis_with_sentinel() {
    let programs = ["redis-server", "redis-sentinel", "redis-cli"];
    let Some(scenario) = Scenario::new("redis-sentinel", &programs) else { return };
    scenario.is_found(&["AWL", "SETLOST"]);
    scenario.holds(1);
}

#[test]
fn tarantool_primaries() {
    let Some(scenario) = Scenario::new("tarantool-primaries", &["tarantool"]) else { return };
    scenario.is_found(&["AWL"]);
    scenario.holds(1);
}

#[test]
fn postgres_failover() {
    let server = "/usr/lib/postgresql/15/bin/postgres";
    let Some(scenario) = Scenario::new("postgres-failover", &[server, "psql"]) else { return };
    scenario.is_found(&["AWL", "SETLOST"]);
    scenario.holds(1);
}

#[test]
fn every_file_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/real");
    let files = std::fs::read_dir(folder).expect("the scenarios").flatten();
    let files =
        files.map(|file| file.path()).filter(|path| path.extension() == Some("toml".as_ref()));
    let files: Vec<PathBuf> = files.collect();
    assert!(files.len() >= 5, "{files:?}");
    let output = command().arg("lint").args(files).output().expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A survey goes on where a server is not to be had, and says so.
#[test]
fn a_server_that_is_not_there_stops_no_other_row() {
    let folder = std::env::temp_dir().join(format!("rashomon-real-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary directory can be written to");
    let target = "name = \"nobody\"\nadapter = \"redis\"\ndisposable = true\n[nodes]\nn1 = \"127.0.0.1:1\"\n\
                  [ready]\nwithin = \"200ms\"\n";
    std::fs::write(folder.join("nobody.toml"), target).expect("written");
    let scenario = "row = \"S48\"\ntitle = \"nobody is at home\"\nworkload = \"set\"\nfinds = [\"AWL\"]\n\
                    fault = []\n[set]\n\"target.file\" = \"nobody.toml\"\n\
                    [control]\ntitle = \"nor here\"\nholds = [\"AWL\"]\n";
    let live = folder.join("live.toml");
    std::fs::write(&live, scenario).expect("written");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads");
    std::fs::copy(shipped.join("set.toml"), folder.join("set.toml")).expect("copied");
    let mut survey = command();
    // What is left of runs is left there.
    survey.current_dir(&folder).arg("survey").arg(&live);
    survey.arg(shipped.join("scenarios/s003-wrong-node-promoted.toml"));
    survey.args(["--seeds", "2", "--control-seeds", "2", "--json", "--quiet"]);
    let output = survey.output().expect("the binary starts");
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{wrong}");
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    std::fs::remove_dir_all(folder).expect("ours");
    let [simulated, live] = [&said["rows"][0], &said["rows"][1]];
    assert_eq!(simulated["verdict"], "as expected");
    assert_eq!(live["verdict"], "undecided");
    for (side, undriven) in [(&live["finding"], 2), (&live["controls"][0], 2)] {
        assert_eq!(side["live"]["undriven"], undriven, "{side}");
        assert_eq!(side["seeds"], 0, "{side}");
        let reason = side["reasons"][0].as_str().unwrap_or_default();
        assert!(reason.starts_with("run 1 failed: nobody: node n1 at 127.0.0.1:1"), "{reason}");
    }
}

/// A scenario of `workloads/real`.
struct Scenario {
    name: &'static str,
}

impl Scenario {
    /// `None` where it cannot be run, unless it is expected to be.
    fn new(name: &'static str, programs: &[&str]) -> Option<Self> {
        let runs = |program: &str| {
            let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output();
            found.is_ok_and(|output| output.status.success())
        };
        let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        let lacking = ["ip", "nft"].iter().chain(programs).find(|program| !runs(program));
        let why = match lacking {
            None if root => return Some(Self { name }),
            None => "a lab needs root".to_owned(),
            Some(program) => format!("there is no {program}"),
        };
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
        None
    }

    /// The scenario itself violates each of these, and the report says so.
    fn is_found(&self, properties: &[&str]) {
        let results = self.run(0, 1);
        for id in properties {
            assert_eq!(status(&results, id), "violated", "{id} of {}", self.name);
        }
    }

    /// The control of that number violates nothing that it is said to keep, and something was done.
    fn holds(&self, control: usize) {
        let results = self.run(control, 0);
        let ok = results["history"]["ok"].as_u64().unwrap_or_default();
        assert!(ok >= 100, "{ok} operations of control {control} of {} are ok", self.name);
    }

    /// What a run says, which must end with that exit code; control 0 is the scenario itself.
    fn run(&self, control: usize, code: i32) -> Value {
        let (name, process) = (self.name, std::process::id());
        let out = std::env::temp_dir().join(format!("rashomon-real-{process}-{name}-{control}"));
        let file = format!("workloads/real/{name}.toml");
        let mut run = command();
        run.args(["run", file.as_str(), "--quiet", "--seed", "7", "--out"]).arg(&out);
        if control > 0 {
            run.arg(format!("--control={control}"));
        }
        let output = run.output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stdout);
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name}, control {control}: {said}{wrong}");
        let text = std::fs::read_to_string(out.join("results.json")).expect("the results");
        std::fs::remove_dir_all(out).expect("ours");
        serde_json::from_str(&text).expect("JSON")
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rashomon"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// What the results say of a property.
fn status<'a>(results: &'a Value, id: &str) -> &'a str {
    let properties = results["properties"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = properties.iter().find(|property| property["id"] == id);
    found.and_then(|property| property["status"].as_str()).unwrap_or("absent")
}
