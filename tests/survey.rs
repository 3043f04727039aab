//! Scenarios: each shipped one shows its failure and its remedies are silent; what is wrong with a
//! scenario is said where it is written; surveys and sweeps depend on nothing but their input.

mod scenarios;

use rashomon::check::{Figure, Property, Status};
use rashomon::report::{Matrix, MatrixHtml, MatrixJson, MatrixText, Style};
use rashomon::run::{Knob, Seeds, survey, sweep};
use rashomon::workload::{Row, Scenario};
use scenarios::{parse, read, rendered, shipped};

// ---- the shipped scenarios -------------------------------------------------------------------

fn text(matrix: &Matrix) -> String {
    let mut out = Vec::new();
    MatrixText { style: Style::Plain, stories: true }.render(matrix, &mut out).expect("a buffer");
    String::from_utf8(out).expect("UTF-8")
}

fn json(matrix: &Matrix) -> String {
    let mut out = Vec::new();
    MatrixJson.render(matrix, &mut out).expect("a buffer");
    String::from_utf8(out).expect("UTF-8")
}

/// `RASHOMON_CASES` in the environment is how many seeds each control is run on.
#[test]
fn every_scenario_shows_its_failure_and_its_controls_are_silent() {
    let control = std::env::var("RASHOMON_CASES").ok().and_then(|cases| cases.parse().ok());
    let scenarios = shipped();
    let few = Seeds { first: 1, finding: Some(2), control: control.unwrap_or(2) };
    let matrix = survey(&scenarios, few, None, &|| {});
    let mut wrong = Vec::new();
    for ((file, scenario), row) in scenarios.iter().zip(matrix.rows) {
        let is_not_found = row.finding.status != Status::Valid;
        if row.controls.iter().any(|control| control.status != Status::Valid) {
            wrong.push(row);
        } else if is_not_found {
            // Few seeds did not show all of it: as many as the scenario asks for have to.
            let all = Seeds { first: 1, finding: None, control: 1 };
            let again = survey(&[(file.clone(), scenario.clone())], all, None, &|| {});
            wrong.extend(again.rows.into_iter().filter(|row| row.status() != Status::Valid));
        }
    }
    assert!(wrong.is_empty(), "{}", text(&Matrix { rows: wrong }));
}

#[test]
fn files_are_named_after_their_rows_and_tell_what_they_show() {
    let scenarios = shipped();
    assert!(scenarios.len() >= 26, "{} scenarios", scenarios.len());
    for (file, scenario) in &scenarios {
        let row = scenario.row.expect("it has one");
        let name = file.rsplit('/').next().expect("a name");
        let variant = row.variant.map_or_else(String::new, |variant| variant.to_string());
        assert!(name.starts_with(&format!("s{:03}{variant}-", row.number)), "{file}: {row}");
        let text = std::fs::read_to_string(file).expect("it can be read");
        let head =
            text.lines().take_while(|line| line.starts_with('#')).map(str::len).sum::<usize>();
        assert!(head >= 80, "{file}: the head comment teaches the anomaly");
        assert!(text.starts_with(&format!("# {row}. ")), "{file}: the head names the row");
    }
}

// ---- what is said of those that are wrong ----------------------------------------------------

const SCENARIO: &str = r#"# S48. A scenario that tests change.
row = "S48"
title = "Asynchronous failover loses acknowledged writes"
workload = "set"
seeds = 3
finds = ["AWL"]
figures = ["lost-writes", "MR"]
[set]
"target.replication" = "async"
phases.main = "12s"
[[fault]]
inject = "partition"
shape = "primary"
offset = "2s"
for = "5s"
[control]
title = "with synchronous replication"
holds = ["AWL"]
progress = 0.8
[control.set]
"target.replication" = "sync"
"#;

#[test]
fn a_scenario_changes_its_workload() {
    let scenario = parse(SCENARIO).expect("it is sound");
    assert_eq!(scenario.row, Row::parse("S48"));
    assert_eq!((scenario.seeds, scenario.finds.as_slice()), (3, [Property::Awl].as_slice()));
    assert_eq!(scenario.figures.len(), 2);
    let (finding, control) = (&scenario.finding, &scenario.controls[0]);
    assert_eq!(
        (finding.name.as_str(), control.workload.name.as_str()),
        ("s048-x", "s048-x-control")
    );
    assert_eq!(finding.plan.faults.len(), 1);
    assert_eq!(control.workload.plan.faults.len(), 1);
    assert_eq!(finding.plan.phases.main.0, 12_000_000_000);
    assert_eq!(finding.expect.hold, ["AWL"]);
    assert_eq!(finding.expect.max_lost_writes, None);
    let options = |table: toml::Table| table["target"]["replication"].as_str().map(str::to_owned);
    assert_eq!(options(finding.table()).as_deref(), Some("async"));
    assert_eq!(options(control.workload.table()).as_deref(), Some("sync"));
    assert!((control.progress - 0.8).abs() < 1e-9);
}

#[test]
fn a_control_may_have_another_store_and_faults_of_its_own() {
    let other =
        SCENARIO.replace("\"target.replication\" = \"sync\"", "\"target.store\" = \"raft\"");
    let other = format!("{other}[[control.fault]]\ninject = \"pause\"\nfor = \"1s\"\n");
    let scenario = parse(&other).expect("it is sound");
    let table = scenario.controls[0].workload.table();
    assert_eq!(table["target"]["store"].as_str(), Some("raft"));
    assert!(table["target"].get("replication").is_none(), "raft has no such option");
    assert_eq!(table["fault"][0]["inject"].as_str(), Some("pause"));
    // And there may be several.
    let two = SCENARIO.replace("[control]", "[[control]]");
    let two = format!(
        "{two}[[control]]\ntitle = \"Raft\"\nholds = [\"AWL\", \"LIN\"]\n[control.set]\ntarget.store = \"raft\"\n"
    );
    assert_eq!(parse(&two).expect("it is sound").controls.len(), 2);
}

#[test]
fn what_is_wrong_is_said_where_it_is_written() {
    for (from, to, said) in [
        (
            "row = \"S48\"",
            "row = \"48\"",
            "s048-x.toml:2:7: expected the row of the catalogue: `S48`, or `S109a` for one of several\n   2 | row = \"48\"\n     |       ^^^^",
        ),
        (
            "workload = \"set\"",
            "workload = \"sets\"",
            "s048-x.toml:4:12: there is no workload `sets`\n   4 | workload = \"sets\"\n     |            ^^^^^^",
        ),
        (
            "seeds = 3",
            "seed = 3",
            "s048-x.toml:5:1: unknown field `seed`, expected one of `row`, `title`, `workload`, `seeds`, `finds`, `also`, `figures`, `set`, `fault`, `control`\n   5 | seed = 3\n     | ^^^^\n     = did you mean `seeds`?",
        ),
        (
            "finds = [\"AWL\"]",
            "finds = [\"no lost aknowledged writes\"]",
            "s048-x.toml:6:10: unknown property `no lost aknowledged writes`\n   6 | finds = [\"no lost aknowledged writes\"]\n     |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n     = did you mean `no lost acknowledged writes`?",
        ),
        (
            "finds = [\"AWL\"]",
            "finds = [\"BANK\"]",
            "s048-x.toml:6:10: `BANK` cannot be judged: no operation is `transfer`\n   6 | finds = [\"BANK\"]\n     |          ^^^^^^",
        ),
        ("\"lost-writes\"", "\"lost-write\"", "= did you mean `lost-writes`?"),
        ("= \"async\"", "= \"asink\"", "s048-x.toml:9:24: "),
        (
            "\"target.replication\" = \"async\"",
            "\"target.replicatoin\" = \"async\"",
            "s048-x.toml:9:9: unknown option of `primary-replica`: `replicatoin`, expected one of ",
        ),
        (
            "phases.main = \"12s\"",
            "phases.main = \"soon\"",
            "s048-x.toml:10:15: unknown value `soon`, expected a duration such as `10s` or `500ms`\n  10 | phases.main = \"soon\"\n     |               ^^^^^^",
        ),
        (
            "offset = \"2s\"",
            "offset = \"20s\"",
            "s048-x.toml:12:10: never happens: it needs 25.000 s of a main phase of 12.000 s",
        ),
        ("= \"sync\"", "= \"sink\"", "s048-x.toml:21:24: "),
        ("progress = 0.8", "progress = 80", "s048-x.toml:19:12: expected a fraction from 0 to 1"),
    ] {
        assert_eq!(SCENARIO.matches(from).count(), 1, "{from} names one place");
        let wrong = parse(&SCENARIO.replace(from, to)).expect_err(to);
        let rendered = rendered(&wrong);
        assert!(rendered.contains(said), "{to}:\n{rendered}\n-- expected --\n{said}");
    }
}

#[test]
fn what_is_wrong_with_the_workload_itself_is_said_there() {
    let base = |_: &str| Ok(("set.toml".to_owned(), "name = \"set\"\n".to_owned()));
    let wrong =
        Scenario::parse("s048-x.toml", SCENARIO, &[], &base).expect_err("it is no workload");
    assert_eq!(wrong[0].file, "set.toml");
}

#[test]
fn a_scenario_that_shows_nothing_is_refused() {
    let text = "row = \"S1\"\ntitle = \"nothing\"\nworkload = \"set\"\n";
    let wrong = parse(text).expect_err("it shows nothing");
    assert!(wrong[0].message.contains("`finds`, `figures` or a `control`"), "{}", wrong[0]);
}

// ---- surveys ---------------------------------------------------------------------------------

#[test]
fn a_survey_depends_on_its_input_alone_and_tells_what_is_not_as_expected() {
    let sound = parse(SCENARIO).expect("it is sound");
    // A control that is none, a failure that is not there, and a store that makes no progress.
    let broken = SCENARIO
        .replace("finds = [\"AWL\"]", "finds = [\"DUPEL\"]")
        .replace("= \"sync\"", "= \"async\"\n\"target.loss\" = 0.3")
        .replace("progress = 0.8", "progress = 1");
    let broken = parse(&broken).expect("it is sound");
    let scenarios = [("a.toml".to_owned(), sound), ("b.toml".to_owned(), broken)];
    let seeds = Seeds { first: 1, finding: None, control: 2 };
    let matrix = survey(&scenarios, seeds, None, &|| {});
    assert_eq!(json(&matrix), json(&survey(&scenarios, seeds, None, &|| {})));
    assert_eq!(matrix.rows[0].status(), Status::Valid, "{}", text(&matrix));
    assert_eq!(matrix.rows[1].status(), Status::Invalid);
    let (finding, control) = (&matrix.rows[1].finding, &matrix.rows[1].controls[0]);
    assert_eq!(finding.reasons, ["DUPEL was found on none of 3 seeds"]);
    assert!(control.reasons[0].starts_with("AWL violated on 2 of 2 seeds, first seed 1"));
    assert!(control.reasons[1].contains("a control has to make progress (100 %)"));
    let shown = text(&matrix);
    for word in [
        "violates AWL on 3 of 3 seeds, first seed 1",
        "--control --seed 1",
        "2 rows: 1 as expected, 1 not as expected",
        "lost-writes",
        "consistent with no more than",
    ] {
        assert!(shown.contains(word), "{word}:\n{shown}");
    }
    let mut html = Vec::new();
    MatrixHtml.render(&matrix, &mut html).expect("a buffer");
    let html = String::from_utf8(html).expect("UTF-8");
    assert!(html.contains("id=\"survey\"") && html.contains("violated on 3 of 3 seeds"));
    let tree: serde_json::Value = serde_json::from_str(&json(&matrix)).expect("JSON");
    assert_eq!(tree["rows"][0]["finding"]["properties"][0]["violated_on"], 3);
    assert_eq!(tree["verdict"], "not as expected");
}

#[test]
fn a_sweep_is_a_curve() {
    let (file, _) = read("s007-replication-delay");
    let knob = Knob::parse("target.lag=exp(1ms),exp(20ms),exp(200ms)").expect("a knob");
    let point = |set: Vec<(String, String)>| {
        let scenario = scenarios::read_with("s007-replication-delay", &set);
        (set, scenario)
    };
    let points: Vec<_> = Knob::combinations(&[knob]).into_iter().map(point).collect();
    let curve = sweep(&file, points, Some(2), &|| {});
    let stale = Figure::from_name("staleness-p95").expect("it is one");
    let medians: Vec<f64> = curve
        .points
        .iter()
        .map(|point| {
            let (_, spread) =
                point.outcome.figures.iter().find(|(one, _)| *one == stale).expect("asked for");
            spread.expect("measured").median
        })
        .collect();
    assert!(medians.is_sorted() && medians[2] > 10.0 * medians[0], "{medians:?}");
    let mut out = Vec::new();
    curve.text(Style::Plain, &mut out).expect("a buffer");
    let shown = String::from_utf8(out).expect("UTF-8");
    for word in ["over target.lag", "exp(200ms)", "█", "staleness-p95", "2 of 2"] {
        assert!(shown.contains(word), "{word}:\n{shown}");
    }
    let mut html = Vec::new();
    curve.html(&mut html).expect("a buffer");
    assert!(String::from_utf8(html).expect("UTF-8").contains("<svg"));
    let mut json = Vec::new();
    curve.json(&mut json).expect("a buffer");
    let tree: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(tree["points"][1]["set"]["target.lag"], "exp(20ms)");
}

// ---- the command line ------------------------------------------------------------------------

#[cfg(feature = "cli")]
mod cli {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output, Stdio};

    fn rashomon(args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_rashomon"))
            .args(args)
            .arg("--quiet")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .output()
            .expect("the binary starts")
    }

    fn said(output: &Output) -> String {
        let both = [output.stdout.clone(), output.stderr.clone()].concat();
        String::from_utf8(both).expect("UTF-8")
    }

    fn scratch(name: &str) -> PathBuf {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("survey").join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a scratch folder");
        path
    }

    #[test]
    fn the_exit_code_says_whether_all_is_as_expected() {
        let html = scratch("html").join("survey.html");
        let few = ["--seeds", "3", "--control-seeds", "1"];
        let path = html.display().to_string();
        let good = rashomon(&[&["survey", "--row", "S2", "--html", &path], &few[..]].concat());
        assert_eq!(good.status.code(), Some(0), "{}", said(&good));
        assert!(said(&good).contains("1 rows: 1 as expected"), "{}", said(&good));
        assert!(fs::read_to_string(&html).expect("it was written").contains("S2"));
        let set = ["--set", "target.replication=sync"];
        let bad = rashomon(&[&["survey", "--row", "S2"], &few[..], &set[..]].concat());
        assert_eq!(bad.status.code(), Some(1), "{}", said(&bad));
        for (args, message) in [
            (["--row", "S0"], "expected a row like S21, S109a or S99-S104"),
            (["--row", "S999"], "no scenario of S999"),
            (["--sweep", "target.lag=1ms,2ms"], "--sweep takes one scenario"),
            (["--figure", "rtoo"], "did you mean `rto`?"),
        ] {
            let output = rashomon(&[&["survey"], &args[..]].concat());
            assert_eq!(output.status.code(), Some(3), "{}", said(&output));
            assert!(said(&output).contains(message), "{}", said(&output));
        }
    }

    #[test]
    fn a_scenario_runs_like_a_workload_and_so_does_its_control() {
        let file = "workloads/scenarios/s054-discarded-tail.toml";
        for (control, code) in [(None, 1), (Some("--control=2"), 0)] {
            let out = scratch("run").display().to_string();
            let args = ["run", file, "--seed", "1", "--out", &out];
            let output = rashomon(&[&args[..], &control.into_iter().collect::<Vec<_>>()].concat());
            assert_eq!(output.status.code(), Some(code), "{}", said(&output));
            let last = said(&output).lines().last().expect("a last line").to_owned();
            assert_eq!(last.contains("--control=2"), control.is_some(), "{last}");
        }
        let lacking = rashomon(&["run", file, "--control=3"]);
        assert!(said(&lacking).contains("the scenario has 2, counted from 1"));
        let lint = rashomon(&["lint", file]);
        assert!(said(&lint).contains("a scenario, no errors"), "{}", said(&lint));
        let list = rashomon(&["list", "scenarios"]);
        assert!(said(&list).contains("S54: "), "{}", said(&list));
    }

    #[test]
    fn a_shrunk_workload_is_saved_with_its_history() {
        let out = scratch("shrink");
        let file = "workloads/scenarios/s054-discarded-tail.toml";
        let path = out.display().to_string();
        let output = rashomon(&["shrink", file, "--seed", "1", "--tries", "2", "--out", &path]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let last = said(&output).lines().last().expect("a last line").to_owned();
        let typed: Vec<&str> = last.split(' ').skip(1).collect();
        let again = scratch("again").display().to_string();
        let again = rashomon(&[&typed[..], &["--out", &again]].concat());
        assert_eq!(again.status.code(), Some(1), "{last}:\n{}", said(&again));
        let history = out.join("history.jsonl").display().to_string();
        let check = rashomon(&["check", &history, "--expect", "AWL"]);
        assert_eq!(check.status.code(), Some(1), "{}", said(&check));
    }

    #[test]
    fn of_a_history_a_proof_is_left() {
        let (run, out) = (scratch("long").display().to_string(), scratch("proof"));
        let file = "workloads/scenarios/s054-discarded-tail.toml";
        assert_eq!(rashomon(&["run", file, "--seed", "1", "--out", &run]).status.code(), Some(1));
        let (history, path) = (format!("{run}/history.jsonl"), out.display().to_string());
        let output = rashomon(&["shrink", &history, "--out", &path]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let lines = fs::read_to_string(out.join("history.jsonl")).expect("it was written");
        assert!(lines.lines().count() < 40, "{lines}");
        let last = said(&output).lines().last().expect("a last line").to_owned();
        let typed: Vec<&str> = last.split(' ').skip(1).collect();
        assert_eq!(rashomon(&typed).status.code(), Some(1), "{last}");
        let seed = rashomon(&["shrink", &history, "--seed", "1"]);
        assert_eq!(seed.status.code(), Some(3), "{}", said(&seed));
    }
}
