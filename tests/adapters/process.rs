//! The `process` adapter, with the example in Python and with commands that misbehave.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rashomon::model::{Kind, Op, Value};
use rashomon::target::conformance;

use crate::functions;
use crate::server::is_installed;
use crate::{Asked, directory, project};

const EXAMPLE: &str = "workloads/targets/process-example.py";

fn target(command: &str, address: &str) -> Asked {
    Asked::open(&format!(
        "name = \"process\"\nadapter = \"process\"\ntimeout = \"6s\"\nconnect-timeout = \"5s\"\n[nodes]\nn1 = \"{address}\"\n\
         [process]\ncommand = '''{command}'''\n"
    ))
}

fn example() -> Option<String> {
    let path = project(EXAMPLE);
    is_installed("python3", "python3", true).then(|| format!("python3 {}", path.display()))
}

#[test]
fn the_example_understands_every_function() {
    let Some(command) = example() else { return };
    let directory = directory("process-functions");
    let file = directory.join("store.db").display().to_string();
    for check in
        [functions::registers, functions::lists, functions::sets, functions::ids, functions::queues]
    {
        check(&mut target(&command, &file));
    }
    std::fs::remove_dir_all(directory).expect("it is ours");
}

#[test]
fn the_example_keeps_to_the_protocol() {
    let Some(command) = example() else { return };
    let directory = directory("process-lint");
    let file = directory.join("store.db").display().to_string();
    let came = conformance(&command, &file).expect("a runtime");
    assert_eq!(came.broken, Vec::<String>::new());
    assert!(came.kept.len() >= 12, "{:?}", came.kept);
    std::fs::remove_dir_all(directory).expect("it is ours");
}

/// Python that answers `init`, and each other line with whatever the expression gives.
fn answering(expression: &str) -> String {
    let program = format!(
        "import json,sys,os,time\n\
         for line in sys.stdin:\n\
         \x20   try: r = json.loads(line)\n\
         \x20   except ValueError: r = {{}}\n\
         \x20   ok = lambda **more: json.dumps(dict(id=r.get(\"id\"), **more))\n\
         \x20   print(ok(type=\"ok\") if r.get(\"type\") == \"init\" else ({expression}), flush=True)\n"
    );
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = directory(&format!("process-answering-{number}"));
    let file = directory.join("answering.py");
    std::fs::write(&file, program).expect("a file of our own");
    format!("python3 {}", file.display())
}

#[test]
fn whatever_is_wrong_with_an_answer_leaves_the_operation_unknown() {
    if example().is_none() {
        return;
    }
    let wrong = [
        ("os._exit(7)", "the process has ended"),
        ("\"garbled {\"", "no JSON: garbled {"),
        ("json.dumps(dict(id=99, type=\"ok\"))", "answers 99"),
        ("ok(type=\"yes\")", "type Some(\"yes\")"),
        ("ok(type=\"info\", error=\"who knows\")", "who knows"),
        ("time.sleep(30)", "no answer within"),
    ];
    for (expression, why) in wrong {
        let mut asked = target(&answering(expression), "-");
        let write = || Op::write(Value::text("x"), Value::Int(1));
        let error = asked.unknown(write());
        assert!(error.contains(why), "{expression}: {error}");
        assert_eq!(asked.ask(Op::read(Value::text("x"))).kind, Kind::Fail, "{expression}");
    }
    let mut asked = target(&answering("ok(type=\"ok\")"), "-");
    asked.ok(Op::write(Value::text("x"), Value::Int(1)));
    let error = asked.fails(Op::read(Value::text("x")));
    assert!(error.contains("lacks the `value`"), "{error}");
}

#[test]
fn what_breaks_the_protocol_is_told() {
    if example().is_none() {
        return;
    }
    let came = conformance(&answering("ok(type=\"ok\", value=None)"), "-").expect("a runtime");
    let told = came.broken.join("\n");
    for expected in ["an unknown function fails", "write: what was written is read", "no JSON"] {
        assert!(told.contains(expected), "{expected} in:\n{told}");
    }
    let came = conformance("true", "-").expect("a runtime");
    assert!(came.kept.is_empty(), "{:?}", came.kept);
    assert!(came.broken[0].contains("the process"), "{:?}", came.broken);
}

/// The whole way: the command lints it, and a run over it holds.
#[test]
fn a_run_over_the_example_holds() {
    if example().is_none() {
        return;
    }
    let directory = directory("process-run");
    let text =
        std::fs::read_to_string(project("workloads/targets/process.toml")).expect("it is there");
    let store = directory.join("store.db").display().to_string();
    let file = directory.join("process.toml");
    std::fs::write(&file, text.replace("/tmp/rashomon-process-example.db", &store)).expect("ours");
    let output = Command::new(env!("CARGO_BIN_EXE_rashomon"))
        .args(["run", "workloads/register.toml", "--quiet", "--seed", "3", "--time-limit", "3s"])
        .args([
            "--set",
            "clients.rate=60",
            "--set",
            "fault=[]",
            "--concurrency",
            "3",
            "--set",
            "clients.routing=sticky",
            "--set",
            "phases.warmup=500ms",
        ])
        .args(["--set", "phases.quiesce=100ms", "--set", "phases.recovery=100ms", "--target"])
        .arg(&file)
        .arg("--out")
        .arg(directory.join("run"))
        .current_dir(project("."))
        .output()
        .expect("the binary starts");
    let (text, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}{error}");
    std::fs::remove_dir_all(directory).expect("it is ours");
}
