//! Workload files: those that are shipped, and what is said of those that are wrong.

mod base;

use std::collections::{BTreeMap, BTreeSet};

use base::{BASE, nodes, parse, rendered, workload};
use proptest::prelude::*;
use rashomon::generate::{Begins, Context, Generator, Next};
use rashomon::model::{Action, ClientEvent, Event, Function, Kind, Nanos, Value, What};
use rashomon::store::{self, STORES};
use rashomon::workload::{TargetChoice, Workload};

const SECOND: u64 = 1_000_000_000;

// ---- the shipped workloads -------------------------------------------------------------------

fn shipped() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is part of the project")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("it can be read");
            (path.display().to_string(), text)
        })
        .collect();
    files.sort();
    files
}

/// Whether a store has the objects of a workload.
fn knows(store: &str, workload: &str) -> bool {
    match store {
        // It knows registers, lists, sets, counters and banks.
        "transactional" => {
            !["stock", "ids", "siblings", "queue", "lock", "poll"].contains(&workload)
        }
        // A lock that each primary has for itself is hardly ever free.
        "multi-primary" => workload != "lock",
        _ => true,
    }
}

#[test]
fn every_shipped_workload_is_sound_and_runs_on_every_store() {
    let files = shipped();
    assert_eq!(files.len(), 22);
    for (path, text) in files {
        let own = Workload::parse(&path, &text, &[])
            .unwrap_or_else(|wrong| panic!("{}", rendered(&wrong)));
        assert!(path.ends_with(&format!("/{}.toml", own.name)), "{path}: {}", own.name);
        assert!(!own.about.is_empty() && !own.expect.hold.is_empty(), "{path}");
        for store in STORES.iter().map(|store| store.name) {
            if !knows(store, &own.name) {
                continue;
            }
            let run = run(&own.name, &[("target.store", store)], 1);
            assert!(run.ended >= own.duration(), "{path} on {store}");
            assert!(run.faults >= 3, "{path} on {store}: {} faults", run.faults);
            let (ok, all) = (run.calm.0 + run.broken.0, run.calm.1 + run.broken.1);
            let least = own.expect.min_ok_fraction.expect("each workload has one");
            assert!(f64::from(ok) >= least * f64::from(all), "{path} on {store}: {ok} of {all}");
        }
    }
}

#[test]
fn raft_gets_on_with_its_work() {
    let single = ["register", "append", "set", "sessions", "counter", "cas"];
    let transactional =
        ["txn-append", "txn-register", "long-fork", "write-skew", "rows", "predicate"];
    for name in single.into_iter().chain(transactional) {
        let Run { calm: (ok, all), finals, lost, backward, .. } =
            run(name, &[("target.store", "raft")], 2);
        // The rest are requests to a node that does not know the new leader yet, and late cas.
        assert!(f64::from(ok) >= 0.9 * f64::from(all), "{name}: {ok} of {all}");
        assert_eq!((finals.0, lost, backward), (finals.1, 0, 0), "{name}");
    }
}

#[test]
fn the_default_targets_show_what_their_workloads_are_for() {
    for seed in 1..=3 {
        for name in ["append", "set"] {
            assert!(run(name, &[], seed).lost > 0, "{name}, seed {seed}");
            assert_eq!(run(name, &[("target.replication", "sync")], seed).lost, 0, "{name}");
        }
        assert!(run("sessions", &[], seed).backward > 0, "seed {seed}");
        assert_eq!(run("sessions", &[("target.reads", "token")], seed).backward, 0);
    }
}

/// What came of a run on an embedded store; pairs are how many were ok, and how many in all.
#[derive(Default)]
struct Run {
    calm: (u32, u32),
    broken: (u32, u32),
    finals: (u32, u32),
    faults: u32,
    /// Acknowledged elements that are in no final read.
    lost: usize,
    /// Reads of a number smaller than the session had read of the key before, where numbers rise.
    backward: u32,
    ended: Nanos,
}

/// Runs a shipped workload on the embedded store it names.
fn run(name: &str, overrides: &[(&str, &str)], seed: u64) -> Run {
    let path = format!("{}/workloads/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("it can be read");
    let workload = workload(&text, overrides);
    let TargetChoice::Store(chosen) = &workload.target else { panic!("{name}: no store") };
    let mut target = store::build(&chosen.name, &chosen.options, seed).expect("it is sound");
    let mut generator = workload.generator(seed, target.nodes());
    let (mut run, mut broken, mut elements) = (Run::default(), 0_u32, Elements::default());
    loop {
        let (now, primary) = (target.now(), target.primary());
        match generator.next(&Context { now, primary: primary.as_ref(), fault_under_way: false }) {
            Next::Done => break,
            Next::WaitUntil(until) => {
                let Some(event) = target.advance(until) else { continue };
                generator.update(&event);
                let What::Client(client) = event.what else { continue };
                let count = match (client.is_final, broken) {
                    (true, _) => &mut run.finals,
                    (false, 0) => &mut run.calm,
                    (false, _) => &mut run.broken,
                };
                count.0 += u32::from(client.kind == Kind::Ok);
                count.1 += 1;
                if client.kind == Kind::Ok {
                    run.backward += elements.see(&client);
                }
            }
            Next::Do(action) => {
                match &action {
                    Action::Begin(..) => (run.faults, broken) = (run.faults + 1, broken + 1),
                    Action::End(..) => broken -= 1,
                    Action::Invoke(call) => {
                        let mut client =
                            ClientEvent::new(call.process, Kind::Invoke, call.op.clone());
                        client.is_final = call.is_final;
                        generator.update(&Event { time: now, what: What::Client(client) });
                    }
                }
                target.begin(&action).expect("it is within reach");
            }
        }
    }
    run.lost = elements.acknowledged.difference(&elements.found).count();
    run.ended = target.now();
    run
}

/// What was acknowledged and found of each key.
#[derive(Default)]
struct Elements {
    acknowledged: BTreeSet<(Value, Value)>,
    found: BTreeSet<(Value, Value)>,
    last: BTreeMap<(u32, Value), i64>,
}

impl Elements {
    /// Takes in an operation that was ok; 1 if it read a number smaller than its session had before.
    fn see(&mut self, client: &ClientEvent) -> u32 {
        let (key, value) = (client.op.key().clone(), client.op.mops[0].value.clone());
        match client.op.function {
            Function::Append | Function::Add => {
                self.acknowledged.insert((key, value));
            }
            Function::Read if client.is_final => {
                let elements = value.as_list().unwrap_or_default().iter();
                self.found.extend(elements.map(|element| (key.clone(), element.clone())));
            }
            Function::Read => {
                let number = value.as_int().unwrap_or(0);
                let session = client.session.expect("it has one");
                let last = self.last.entry((session, key)).or_default();
                return u32::from(std::mem::replace(last, number) > number);
            }
            _ => {}
        }
        0
    }
}

// ---- errors ----------------------------------------------------------------------------------

/// Changes `from` to `to` in the base file and says what is wrong with it.
fn complaint(from: &str, to: &str) -> String {
    assert_eq!(BASE.matches(from).count(), 1, "{from} names one place");
    match parse(&BASE.replace(from, to), &[]) {
        Ok(_) => panic!("nothing is wrong with {to}"),
        Err(wrong) => rendered(&wrong),
    }
}

/// Each case of the golden file is a change `from => to` of the base file and what is said of it.
/// With `GOLDEN=write` in the environment the file is written anew, to be reviewed.
#[test]
fn errors_name_the_place_and_the_mend() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/workloads.golden");
    let golden = std::fs::read_to_string(path).expect("it is part of the project");
    let mut written = Vec::new();
    for case in golden.split("\n----\n") {
        let change = case.lines().next().expect("a change");
        let (from, to) = change.split_once(" => ").expect("from => to");
        let said = complaint(&from.replace("\\n", "\n"), &to.replace("\\n", "\n"));
        written.push(format!("{change}\n{}", said.trim_end()));
    }
    let written = written.join("\n----\n") + "\n";
    if std::env::var("GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::write(path, &written).expect("it can be written");
    }
    for (case, expected) in written.split("\n----\n").zip(golden.split("\n----\n")) {
        assert_eq!(case.trim_end(), expected.trim_end());
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let text = BASE.replace("\"write\"", "\"wirte\"").replace("\"halves\"", "\"halfs\"");
    let text = text.replace("\"linearizable\"", "\"linearisable\"");
    let wrong = parse(&text, &[]).expect_err("three things are wrong");
    let places: Vec<_> = wrong.iter().map(|wrong| (wrong.line, wrong.column)).collect();
    assert_eq!(places, [(11, 6), (19, 9), (38, 9)]);
}

#[test]
fn overrides() {
    let plain = workload(BASE, &[]);
    assert_eq!(plain.duration(), Nanos(15 * SECOND));
    let long =
        workload(BASE, &[("phases.main", "60s"), ("name", "other name"), ("about", "a # b")]);
    assert_eq!(long.duration(), Nanos(65 * SECOND));
    assert_eq!((long.name.as_str(), long.about.as_str()), ("other name", "a # b"));
    let calm = workload(BASE, &[("fault", "[]")]);
    assert!(calm.plan.faults.is_empty());
    let fewer = workload(BASE, &[("fault.1.every", "5s"), ("operation.1.weight", "9")]);
    assert_eq!(fewer.plan.faults[1].begins, Begins::Every(Nanos(5 * SECOND)));
    assert_eq!(fewer.plan.operations[1].weight, 9);
}

#[test]
fn errors_in_overrides_name_the_override() {
    for (key, value, said) in [
        (
            "clients.rat",
            "5",
            "--set clients.rat=5: unknown field `rat`, expected one of `count`, `routing`, `rate`, `spacing`\n     | clients.rat=5\n     |         ^^^\n     = did you mean `rate`?",
        ),
        (
            "phases.main",
            "soon",
            "--set phases.main=soon: unknown value `soon`, expected a duration such as `10s` or `500ms`\n     | phases.main=soon\n     |             ^^^^",
        ),
        (
            "fault.7.every",
            "5s",
            "--set fault.7.every=5s: no entry `7`: there are 2, counted from 0\n     | fault.7.every=5s\n     |       ^",
        ),
        (
            "not a key",
            "5",
            "--set not a key=5: `not a key` is no key; expected one like `clients.rate`\n     | not a key=5\n     | ^^^^^^^^^^^",
        ),
        (
            "target.store",
            "rafd",
            "--set target.store=rafd: unknown store `rafd`, expected one of `single`, `primary-replica`, `raft`, `transactional`, `multi-primary`, `leaderless`\n     | target.store=rafd\n     |              ^^^^\n     = did you mean `raft`?",
        ),
        (
            "fault.0.nodes",
            "one",
            "--set fault.0.nodes=one: `partition` takes no `nodes`\n     | fault.0.nodes=one\n     |               ^^^",
        ),
    ] {
        let wrong = parse(BASE, &[("clients.count", "3"), (key, value)]).expect_err(key);
        assert_eq!(rendered(&wrong).trim_end(), said);
        assert_eq!(wrong[0].line, 0);
    }
}

#[test]
fn another_store_keeps_the_options_it_shares() {
    let text = format!("{BASE}replication = \"async\"\nnodes = 5\n");
    let options = |overrides: &[(&str, &str)]| match workload(&text, overrides).target {
        TargetChoice::Store(store) => store.options.into_keys().collect::<Vec<_>>(),
        TargetChoice::File { path, .. } => vec![path],
    };
    assert_eq!(options(&[]), ["nodes", "replication"]);
    assert_eq!(options(&[("target.store", "raft")]), ["nodes"]);
    assert_eq!(options(&[("target.file", "etcd.toml")]), ["etcd.toml"]);
    // What is asked for on the command line is never dropped.
    let wrong = parse(&text, &[("target.replication", "sync"), ("target.store", "raft")])
        .expect_err("raft has no such option");
    assert!(wrong[0].file.contains("target.replication=sync"), "{}", wrong[0]);
}

#[test]
fn the_store_judges_its_options_and_is_quoted() {
    let text = format!("{BASE}replication = \"asink\"\n");
    let wrong = parse(&text, &[]).expect_err("there is no such replication");
    assert_eq!((wrong.len(), wrong[0].line, wrong[0].column), (1, 42, 15));
    let workload = workload(&text, &[("target.replication", "sync")]);
    let wrong = workload.option_diagnostic(Some("replication"), "no");
    assert_eq!((wrong.file.as_str(), wrong.column), ("--set target.replication=sync", 20));
    assert_eq!(workload.option_diagnostic(None, "no").line, 41);
}

#[test]
fn what_the_target_lacks_is_told_once_it_is_known() {
    let overrides = [("fault.1.nodes", "n4"), ("clients.routing", "n1"), ("target.nodes", "4")];
    let workload = workload(BASE, &overrides);
    let (faults, operations) = (["kill", "partition"], ["read", "write", "cas"]);
    assert_eq!(workload.check_target(&nodes(4), &faults, &operations), []);
    let wrong = workload.check_target(&nodes(3), &["kill", "skew"], &["read"]);
    let said: Vec<_> =
        wrong.iter().map(|wrong| (wrong.message.as_str(), wrong.help.as_deref())).collect();
    assert_eq!(
        said,
        [
            ("the target has no node `n4`", Some("it has `n1`, `n2`, `n3`")),
            (
                "the target has no fault `partition`",
                Some("it has `kill`, `skew`; `--set 'fault=[]'` runs without faults")
            ),
            ("the target has no operation `write`", Some("it has `read`")),
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_it_panic(text in "(\\PC|\n){0,200}") {
        let _ = Workload::parse("any.toml", &text, &[]);
    }

    #[test]
    fn no_change_of_a_file_makes_it_panic(at in 0..BASE.len(), length in 0_usize..20, new in "\\PC{0,6}") {
        let mut text = BASE.to_owned();
        text.replace_range(at..(at + length).min(BASE.len()), &new);
        if let Err(wrong) = Workload::parse("any.toml", &text, &[]) {
            prop_assert!(!rendered(&wrong).is_empty());
            prop_assert!(wrong.iter().all(|wrong| wrong.line > 0 && wrong.column > 0));
        }
    }

    #[test]
    fn no_override_makes_it_panic(key in "([a-z.0-9\"\\[\\]= é]|\\PC){0,12}", value in "\\PC{0,12}") {
        if let Err(wrong) = parse(BASE, &[(&key, &value)]) {
            prop_assert!(!rendered(&wrong).is_empty());
        }
    }
}
