//! The command line, as a user meets it: what it prints, where, and its exit codes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn rashomon(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rashomon"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A folder of this test's own below cargo's scratch folder.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a scratch folder");
    path
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("a written file");
    path.display().to_string()
}

const STALE: &str = r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"w","k":"x","v":1}
{"i":1,"p":1,"type":"ok","inv":2,"ret":3,"f":"r","k":"x","v":null}
"#;

const FRESH: &str = r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"w","k":"x","v":1}
{"i":1,"p":1,"type":"ok","inv":2,"ret":3,"f":"r","k":"x","v":1}
"#;

#[test]
fn help_has_the_commands_and_the_exit_codes() {
    let output = rashomon(&["--help"]);
    let text = stdout(&output);
    assert_eq!(code(&output), 0);
    for word in ["run", "check", "convert", "list", "lint", "explain", "heal", "130", "undecided"] {
        assert!(text.contains(word), "{word} is in --help:\n{text}");
    }
}

#[test]
fn shells_and_manuals_know_the_command_line() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = rashomon(&["completions", shell]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).contains("time-limit"), "{shell}");
    }
    let page = stdout(&rashomon(&["man"]));
    assert!(page.contains("rashomon\\-check") && page.contains("undecided"), "{page}");
    let page = stdout(&rashomon(&["man", "run"]));
    assert!(page.contains("rashomon run") && page.contains("time\\-limit"), "{page}");
    let typo = rashomon(&["man", "rnu"]);
    assert_eq!(code(&typo), 3);
    assert!(stderr(&typo).contains("did you mean `run`?"), "{}", stderr(&typo));
}

#[test]
fn a_new_workload_is_right_and_replaces_none() {
    let folder = scratch("new");
    let new = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rashomon"));
        command.args(["new", "workload", name]).current_dir(&folder).output().expect("it starts")
    };
    let output = new("mine");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let path = folder.join("mine.toml").display().to_string();
    assert_eq!(code(&rashomon(&["lint", &path])), 0);
    let out = folder.join("run").display().to_string();
    assert_eq!(code(&rashomon(&["run", &path, "--seed", "1", "--out", &out])), 0);
    assert_eq!(code(&new("mine")), 3, "what is there is kept");
    assert_eq!(code(&new("a/b")), 3);
}

/// Whoever reads that a command may be typed can type it.
#[cfg(feature = "live")]
#[test]
fn the_runs_that_are_recommended_suit_their_targets() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let targets = fs::read_dir(root.join("workloads/targets")).expect("the targets");
    let mut files = vec![root.join("README.md")];
    files.extend(targets.map(|entry| entry.expect("a target").path()));
    files.retain(|file| file.extension().is_some_and(|name| name == "toml" || name == "md"));
    let mut seen = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("a text").replace("\\\n#", " ");
        for line in text.lines() {
            let Some((_, command)) = line.split_once("rashomon run workloads/") else { continue };
            if !command.contains("--target ") {
                continue;
            }
            // A comment behind the command would take away what is added behind it.
            let command = command.split("  #").next().unwrap_or_default();
            let command = format!("\"$0\" run workloads/{command} --dry-run");
            let output = Command::new("sh")
                .args(["-c", &command, env!("CARGO_BIN_EXE_rashomon")])
                .current_dir(root)
                .output()
                .expect("a shell");
            assert_eq!(code(&output), 0, "{}: {command}\n{}", file.display(), stderr(&output));
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} commands were found");
}

#[test]
fn a_violation_exits_1_and_is_explained() {
    let folder = scratch("violation");
    let path = written(&folder, "stale.jsonl", STALE);
    let output = rashomon(&["check", &path]);
    let text = stdout(&output);
    assert_eq!(code(&output), 1, "{text}{}", stderr(&output));
    assert!(text.contains("violated") && text.contains("linearizable"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour where there is no terminal");
    let last = text.lines().last().expect("a last line");
    assert!(last.contains("rashomon check") && last.contains("stale.jsonl"), "{last}");
    let told = rashomon(&["explain", &path, "A1"]);
    assert_eq!(code(&told), 0, "{}", stderr(&told));
    assert!(stdout(&told).contains('x'), "{}", stdout(&told));
}

#[test]
fn a_good_history_exits_0_and_claims_no_more_than_it_shows() {
    let folder = scratch("good");
    let path = written(&folder, "fresh.jsonl", FRESH);
    let output = rashomon(&["check", &path]);
    let text = stdout(&output);
    assert_eq!(code(&output), 0, "{text}{}", stderr(&output));
    assert!(text.contains("holds in this history"), "{text}");
    assert!(!text.contains("is linearizable"), "{text}");
}

#[test]
fn a_weaker_expectation_may_hold_where_linearizability_does_not() {
    let folder = scratch("weaker");
    let path = written(&folder, "stale.jsonl", STALE);
    assert_eq!(code(&rashomon(&["check", &path, "--expect", "monotonic-reads"])), 0);
    assert_eq!(code(&rashomon(&["check", &path, "--expect", "linearizable"])), 1);
    // There are no accounts in it: that their total is conserved was not seen.
    assert_eq!(code(&rashomon(&["check", &path, "--expect", "conserved-total"])), 2);
    let unknown = rashomon(&["check", &path, "--expect", "linearisable"]);
    assert_eq!(code(&unknown), 3);
    assert!(stderr(&unknown).contains("linearizable"), "suggests: {}", stderr(&unknown));
}

#[test]
fn a_run_leaves_a_report_in_every_form() {
    let folder = scratch("forms");
    let out = folder.display().to_string();
    let run = ["run", "workloads/register.toml", "--seed", "7", "--out", &out];
    assert_eq!(code(&rashomon(&run)), 1);
    for (name, word) in [
        ("report.txt", "VIOLATED: linearizable"),
        ("report.html", "</html>"),
        ("report.md", "## VIOLATED: linearizable"),
        ("junit.xml", "<testsuite"),
        ("results.json", "\"verdict\": \"violated\""),
    ] {
        let text = fs::read_to_string(folder.join(name)).expect(name);
        assert!(text.contains(word), "{name}: {text}");
    }
    let (path, markdown) = (folder.join("history.jsonl"), folder.join("again.md"));
    let [path, markdown] = [path, markdown].map(|path| path.display().to_string());
    assert_eq!(code(&rashomon(&["check", &path, "--markdown", &markdown])), 1);
    let text = fs::read_to_string(&markdown).expect("the report");
    assert!(text.starts_with("## VIOLATED"), "{text}");
}

#[test]
fn a_run_in_which_little_succeeds_says_why() {
    let refused = |index: u32, error: &str| {
        format!(
            "{{\"i\":{index},\"p\":{index},\"type\":\"fail\",\"inv\":{index},\"ret\":{},\"f\":\"r\",\"k\":\"x\",\
             \"error\":\"{error}\"}}\n",
            index + 1
        )
    };
    let text: String =
        (0..3).map(|index| refused(index, ["no", "what", "no"][index as usize])).collect();
    let path = written(&scratch("refused"), "refused.jsonl", &text);
    let output = rashomon(&["check", &path]);
    assert_eq!(code(&output), 2);
    let said = stdout(&output);
    assert!(said.contains("errors: 2 times `no`; 1 time `what`"), "{said}");
}

#[test]
fn an_empty_history_is_undecided() {
    let folder = scratch("empty");
    let path = written(&folder, "empty.jsonl", "");
    let output = rashomon(&["check", &path]);
    assert_eq!(code(&output), 2, "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn bad_input_exits_3_and_says_where() {
    let folder = scratch("bad");
    let path = written(
        &folder,
        "bad.jsonl",
        &format!("{FRESH}{{\"i\":2,\"p\":0,\"type\":\"perhaps\"}}\n"),
    );
    let output = rashomon(&["check", &path]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("bad.jsonl:3:"), "{}", stderr(&output));
    assert_eq!(code(&rashomon(&["check", "/nonexistent/history.jsonl"])), 3);
    assert_eq!(code(&rashomon(&["chekc"])), 3);
    assert_eq!(code(&rashomon(&["run", "/nonexistent/workload.toml"])), 3);
}

#[test]
fn json_has_the_published_schema() {
    let folder = scratch("json");
    let path = written(&folder, "stale.jsonl", STALE);
    let output = rashomon(&["check", &path, "--json"]);
    assert_eq!(code(&output), 1);
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&output)).expect("JSON and nothing else");
    assert_eq!(json["schema"], 1);
    assert_eq!(json["verdict"], "violated");
    assert_eq!(json["exit"], 1);
    assert_eq!(json["history"]["operations"], 2);
    let linear =
        json["properties"].as_array().expect("a list").iter().find(|row| row["id"] == "LIN");
    assert_eq!(linear.expect("a row for LIN")["status"], "violated");
    assert_eq!(json["anomalies"][0]["id"], "A1");
    assert_eq!(json["expect"]["violated"][0], "linearizable");
}

#[test]
fn several_histories_and_standard_input() {
    let folder = scratch("several");
    written(&folder, "a.jsonl", FRESH);
    written(&folder, "b.jsonl", STALE);
    let both = rashomon(&["check", &folder.display().to_string()]);
    assert_eq!(code(&both), 1, "{}", stdout(&both));
    assert!(stdout(&both).contains("a.jsonl") && stdout(&both).contains("b.jsonl"));
    assert!(stdout(&both).contains("2 histories: 1 as expected, 1 violated"));
    written(&folder, "c.jsonl", "");
    assert_eq!(
        code(&rashomon(&["check", &folder.display().to_string()])),
        1,
        "violated outweighs undecided"
    );
    written(&folder, "d.jsonl", "{");
    let all = rashomon(&["check", &folder.display().to_string()]);
    assert_eq!(code(&all), 3, "an unreadable file outweighs all, and the others are judged");
    assert!(stdout(&all).contains("4 histories: 1 as expected, 1 violated"), "{}", stdout(&all));

    let mut child = Command::new(env!("CARGO_BIN_EXE_rashomon"))
        .args(["check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(STALE.as_bytes()).expect("written");
    assert_eq!(child.wait_with_output().expect("output").status.code(), Some(1));
}

#[test]
fn convert_keeps_the_verdict() {
    let folder = scratch("convert");
    let path = written(&folder, "stale.jsonl", STALE);
    for name in ["stale.edn", "again.jsonl", "small.jsonl.zst", "small.edn.gz", "stale.rcol"] {
        let to = folder.join(name).display().to_string();
        let output = rashomon(&["convert", &path, &to]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_eq!(code(&rashomon(&["check", &to])), 1, "{name}");
        let begin = fs::read(&to).expect("the history");
        match name.rsplit('.').next() {
            Some("gz") => assert!(begin.starts_with(&[0x1f, 0x8b]), "{name} is compressed"),
            Some("zst") => assert!(begin.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "{name} too"),
            _ => {}
        }
    }
}

#[test]
fn columns_go_through_pipes_and_damage_is_bad_input() {
    let folder = scratch("convert-columns");
    let path = written(&folder, "stale.jsonl", STALE);
    let output = rashomon(&["convert", &path, "-", "--to", "columnar"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let columns = output.stdout;
    let check = |columns: &[u8]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rashomon"))
            .args(["check", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        child.stdin.take().expect("a pipe").write_all(columns).expect("written");
        child.wait_with_output().expect("output")
    };
    assert_eq!(code(&check(&columns)), 1);
    let cut_off = check(&columns[..columns.len() - 1]);
    assert!(stderr(&cut_off).contains("cut off") || stdout(&cut_off).contains("cut off"));
    let mut damaged = columns;
    let middle = damaged.len() - 40;
    damaged[middle] ^= 1;
    let output = check(&damaged);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("a damaged block: the checksum of its data is wrong"));
}

#[test]
fn convert_loses_nothing_without_a_word() {
    let folder = scratch("convert-loses");
    let path = written(&folder, "stale.jsonl", STALE);
    let to = |name: &str| folder.join(name).display().to_string();
    let output = rashomon(&["convert", &path, &to("stale.xyz")]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("--to"), "{}", stderr(&output));
    // What cannot be written does not take the place of what is there.
    let kept = written(&folder, "kept.cobra", "kept");
    assert_eq!(code(&rashomon(&["convert", &path, &kept])), 3);
    assert_eq!(fs::read_to_string(&kept).expect("it is there"), "kept");
    let output = rashomon(&["convert", &path, &to("stale.plume")]);
    assert_eq!(code(&output), 0);
    assert!(stderr(&output).contains("no times"), "{}", stderr(&output));
    let output = rashomon(&["convert", &path, &to("stale.edn")]);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "there is no header to lose");
}

#[test]
fn lists_what_there_is() {
    for (what, word) in [
        ("stores", "primary-replica"),
        ("workloads", "register"),
        ("models", "linearizable"),
        ("anomalies", "G2-item"),
        ("faults", "partition"),
        ("adapters", "http"),
        ("formats", "edn"),
    ] {
        let output = rashomon(&["list", what]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).contains(word), "{what}: {}", stdout(&output));
        if what != "stores" {
            let widest = stdout(&output).lines().map(|line| line.chars().count()).max();
            assert!(widest.is_some_and(|width| width <= 80), "{what}: {}", stdout(&output));
        }
        let json = rashomon(&["list", what, "--json"]);
        let json: serde_json::Value = serde_json::from_str(&stdout(&json)).expect("JSON");
        assert!(!json.as_array().expect("a list").is_empty());
    }
}

#[test]
fn what_there_is_not_is_told_with_a_way_out() {
    let folder = scratch("way-out");
    let fresh = written(&folder, "fresh.jsonl", FRESH);
    let stale = written(&folder, "stale.jsonl", STALE);
    let said = |args: &[&str], words: &[&str]| {
        let output = rashomon(args);
        let text = stderr(&output);
        assert_eq!(code(&output), 3, "{args:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{args:?}: {text}");
        }
    };
    said(&["explain", &fresh], &["none was found in it"]);
    said(&["explain", &stale, "A99"], &["it has A1"]);
    said(&["shrink", &fresh], &["nothing is violated", "--property"]);
    said(&["check", "-"], &["empty"]);
    said(&["check", &fresh, "--expect", "foo"], &["`foo`; see rashomon list models"]);
    let register = "workloads/register.toml";
    said(&["run", register, "--target", "rafft"], &["did you mean `raft`?"]);
    said(&["run", "workloads/targets/etcd.toml"], &["is a target", "--target"]);
}

#[cfg(feature = "live")]
#[test]
fn lint_asks_whether_a_workload_suits_its_target_file() {
    let folder = scratch("lint-target");
    let text = "name = \"w\"\n[[operation]]\ndo = \"write\"\n[[operation]]\ndo = \"rmw\"\n\
                [phases]\nmain = \"1s\"\n[expect]\nhold = [\"linearizable\"]\n\
                [target]\nfile = \"t.toml\"\n";
    let workload = written(&folder, "w.toml", text);
    let lint = || rashomon(&["lint", &workload]);
    let output = lint();
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("failed to read t.toml"), "{}", stderr(&output));
    let target = "name = \"t\"\nadapter = \"process\"\n[nodes]\nn1 = \"-\"\n[process]\ncommand = \"false\"\n\
                  functions = [\"write\"]\n";
    written(&folder, "t.toml", target);
    let output = lint();
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("the target has no operation `rmw`"), "{}", stderr(&output));
    written(&folder, "t.toml", &target.replace("[\"write\"]", "[\"write\", \"rmw\"]"));
    assert_eq!(code(&lint()), 0, "{}", stderr(&lint()));
}

#[test]
fn lint_points_and_suggests() {
    assert_eq!(
        code(&rashomon(&["lint", "workloads/register.toml", "workloads/targets/etcd.toml"])),
        0
    );
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/register.toml"))
            .expect("the workload");
    let folder = scratch("lint");
    let bad = written(&folder, "bad.toml", &text.replace("replication", "replicaton"));
    let output = rashomon(&["lint", &bad]);
    assert_eq!(code(&output), 3);
    let message = stderr(&output);
    assert!(message.contains("bad.toml:") && message.contains("replication"), "{message}");
}

#[cfg(feature = "live")]
#[test]
fn a_cluster_that_is_not_to_be_thrown_away_is_not_touched() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kept.toml");
    let text = "name = \"kept\"\nadapter = \"redis\"\n[ready]\nwithin = \"100ms\"\n\
                [nodes]\nn1 = \"127.0.0.1:9\"\n";
    std::fs::write(&file, text).expect("a scratch file");
    let file = file.display().to_string();
    let run = ["run", "workloads/register.toml", "--set", "fault=[]", "--target", &file];
    let refused = rashomon(&run);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(code(&refused), 3, "{said}");
    for word in ["n1 at 127.0.0.1:9", "disposable = true", "--i-own-this-cluster"] {
        assert!(said.contains(word), "{said}");
    }
    let owned = rashomon(&[&run[..], &["--i-own-this-cluster"]].concat());
    assert_eq!(code(&owned), 4, "it is asked, and is not there");
}

#[cfg(feature = "live")]
#[test]
fn a_dry_run_prints_every_command_and_runs_none() {
    let folder = scratch("dry");
    let mark = folder.join("mark");
    let text = format!(
        "name = \"dry\"\nadapter = \"redis\"\n[nodes]\nn1 = \"127.0.0.1:9\"\nn2 = \"127.0.0.1:9\"\n\
         [setup]\ncommand = \"touch {0}\"\n[fault.kill]\ninject = \"touch {0} # $node\"\nundo = \"true\"\n\
         probe = \"test -e {0}\"\n",
        mark.display()
    );
    let file = written(&folder, "dry.toml", &text);
    let fault = "fault=[{ inject = \"kill\", nodes = \"all\", offset = \"1s\", for = \"2s\" }]";
    let run = ["run", "workloads/register.toml", "--dry-run", "--set", fault, "--target", &file];
    let output = rashomon(&run);
    let said = stdout(&output);
    assert_eq!(code(&output), 0, "{said}{}", stderr(&output));
    for part in [
        "# set up, on n2",
        "inject F1, kill, on n1",
        "is F1 in force?, on n2",
        "undo F1",
        "node='n2'",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!mark.exists());
}

/// What `-v` tells goes to standard error, and changes nothing.
#[test]
fn verbose_tells_of_faults_and_twice_of_operations_that_did_not_succeed() {
    let folder = scratch("verbose");
    let run = |name: &str, more: &[&str]| {
        let out = folder.join(name).display().to_string();
        let run =
            ["run", "workloads/register.toml", "--target", "raft", "--seed", "7", "--out", &out];
        let output = rashomon(&[&run[..], more].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        (fs::read(folder.join(name).join("history.jsonl")).expect("a history"), stderr(&output))
    };
    let (history, silent) = run("silent", &[]);
    assert_eq!(silent, "");
    let (same, told) = run("told", &["-v"]);
    assert_eq!(history, same);
    let of_run =
        ["register: opening the store raft\n", "ready after ", ": n1, n2, n3; ", "judged in "];
    let of_fault = [
        " F1 partition begins: {shape: ",
        " F1 partition is in force",
        " F1 partition has ended\n",
    ];
    for said in of_run.iter().chain(&of_fault) {
        assert_eq!(told.matches(said).count(), 1, "{said}: {told}");
    }
    assert!(!told.contains("process "), "{told}");
    let (same, all) = run("all", &["-vv"]);
    assert_eq!(history, same);
    let text = String::from_utf8(history).expect("UTF-8");
    let unsuccessful = text.matches("\"type\":\"fail\"").count()
        + text
            .lines()
            .filter(|line| line.contains("\"info\"") && line.contains("\"error\""))
            .count();
    assert!(unsuccessful > 0);
    assert_eq!(all.matches("  process ").count(), unsuccessful, "{all}");
    for said in [" write ", " at n1 ", " failed: ", " stays unknown: "] {
        assert!(all.contains(said), "{said}: {all}");
    }
    assert!(of_fault.iter().all(|said| all.contains(said)));

    let file = folder.join("told/history.jsonl").display().to_string();
    let told = stderr(&rashomon(&["check", "-v", &file]));
    let read = format!("reading {file}\n");
    assert!(
        told.starts_with(&read) && told.contains(" operations and ") && told.contains("judged in "),
        "{told}"
    );
    let both = rashomon(&["check", "-v", "-q", &file]);
    assert_eq!(code(&both), 3, "one of them is meant");
}
