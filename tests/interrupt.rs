//! A live run that is interrupted, politely or not: whatever was broken is mended.

#![cfg(all(feature = "live", feature = "cli", unix))]
#![expect(clippy::disallowed_methods, reason = "a server and a waiting test live in real time")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rashomon::history::{Txn, read};
use rashomon::model::Nanos;

/// A store that takes every write and knows nothing, one thread a connection.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(stream: TcpStream) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        lines.read_exact(&mut vec![0; length]).ok()?;
        out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").ok()?;
    }
}

struct Run {
    child: Child,
    out: PathBuf,
    broken: PathBuf,
    /// What the commands of the fault tell.
    log: PathBuf,
}

const AT_ONCE: &str = r#"
inject = 'touch "$BROKEN"'
undo = 'rm -f "$BROKEN"'
"#;

/// It takes two seconds, and only in the end something breaks or is mended.
const SLOW: &str = r#"
inject = 'echo begun >> "$LOG"; sleep 2; touch "$BROKEN"; echo broken >> "$LOG"'
undo = 'sleep 2; rm -f "$BROKEN"; echo mended >> "$LOG"'
probe = 'test -e "$BROKEN"'
"#;

const A_MINUTE: &str = r#"main = "60s""#;

/// Starts a run of a minute and waits until its one fault is in force.
fn broken_run(name: &str) -> Run {
    let mut run = start(name, AT_ONCE, A_MINUTE);
    run.wait_for("the fault", |run| run.broken.exists());
    // Some operations under the fault.
    thread::sleep(Duration::from_millis(300));
    run
}

impl Run {
    fn wait_for(&mut self, what: &str, there: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !there(self) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what} never came");
            assert!(self.child.try_wait().expect("a child").is_none(), "the run ended by itself");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn heal(&self) -> String {
        let heal = Command::new(env!("CARGO_BIN_EXE_rashomon")).arg("heal").arg(&self.out).output();
        let heal = heal.expect("the binary starts");
        assert!(heal.status.success(), "{}", String::from_utf8_lossy(&heal.stderr));
        String::from_utf8_lossy(&heal.stdout).trim().to_owned()
    }
}

/// Starts a run with a fault that lasts for the whole main phase.
fn start(name: &str, fault: &str, phases: &str) -> Run {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interrupt").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a scratch folder");
    let [out, broken, log] = ["run", "broken", "log"].map(|name| folder.join(name));
    let target = format!(
        r#"
name = "yes"
about = "takes every write"
adapter = "http"
disposable = true
[nodes]
n1 = "http://{}"
[environment]
BROKEN = "{}"
LOG = "{}"
[fault.mark]
{fault}
[operation.read]
method = "GET"
path = "/${{key|url}}"
answer = [{{ status = 200, is = "ok" }}]
value = {{ decode = "text" }}
[operation.write]
method = "PUT"
path = "/${{key|url}}"
body = "${{value|json}}"
answer = [{{ status = 200, is = "ok" }}]
"#,
        serve(),
        broken.display(),
        log.display()
    );
    let workload = format!(
        r#"
name = "interrupted"
[clients]
count = 2
rate = 50
[[operation]]
do = "write"
[[fault]]
inject = "mark"
nodes = "all"
[phases]
{phases}
[expect]
hold = []
[target]
file = "target.toml"
"#
    );
    fs::write(folder.join("target.toml"), target).expect("a target file");
    fs::write(folder.join("workload.toml"), workload).expect("a workload file");
    let child = Command::new(env!("CARGO_BIN_EXE_rashomon"))
        .arg("run")
        .arg(folder.join("workload.toml"))
        .args(["--quiet", "--seed", "1", "--out"])
        .arg(&out)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    Run { child, out, broken, log }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn an_interrupt_heals_and_keeps_the_history() {
    for name in ["-INT", "-TERM"] {
        let mut run = broken_run(&format!("polite{name}"));
        signal(&run.child, name);
        assert_eq!(run.child.wait().expect("an end").code(), Some(130));
        assert!(!run.broken.exists(), "the fault is undone");
        let history = read(&run.out.join("history.jsonl"), None).expect("the history");
        assert!(history.len() > 3 && history.faults().len() == 1);
        assert!(history.faults()[0].end < Nanos::FOREVER, "the end of the fault is recorded");
        assert!(run.out.join("results.json").exists(), "what there is was checked");
    }
}

#[test]
fn what_a_killed_run_left_is_healed_afterwards() {
    let mut run = broken_run("killed");
    signal(&run.child, "-KILL");
    run.child.wait().expect("an end");
    assert!(run.broken.exists(), "nobody was left to undo it");
    let history = read(&run.out.join("history.jsonl"), None).expect("the history is readable");
    assert!(history.len() > 3 && history.faults().len() == 1);
    for said in ["healed F1 (mark)", "nothing is broken"] {
        assert_eq!(run.heal(), said);
        assert!(!run.broken.exists());
    }
}

#[test]
fn clients_go_on_while_a_fault_is_injected_and_undone() {
    let phases = r#"
main = "4s"
recovery = "500ms"
quiesce = "0s"
settle = "0s"
final = ["read"]"#;
    let mut run = start("meanwhile", SLOW, phases);
    // A store that knows nothing is found out.
    assert_eq!(run.child.wait().expect("an end").code(), Some(1));
    assert_eq!(run.told(), "begun\nbroken\nmended\n");
    let history = read(&run.out.join("history.jsonl"), None).expect("the history");
    let [fault] = history.faults() else { panic!("one fault") };
    // The window is that of what may have been in force: all of the injection, all of the undo.
    let seconds = |number: u64| Nanos::from_millis(1_000 * number);
    assert!(fault.begin < seconds(1) && fault.end >= seconds(6), "{fault:?}");
    assert!(fault.end < Nanos::FOREVER);
    assert!(format!("{:?}", fault.value).contains("verified"), "{fault:?}");
    let load = history.txns().filter(|txn| !txn.is_final() && txn.is_ok());
    let mut ended: Vec<Nanos> = load.map(Txn::returned_at).collect();
    ended.sort_unstable();
    assert!(ended.last().is_some_and(|last| *last > seconds(4)));
    let longest = ended.windows(2).map(|two| two[1] - two[0]).max().expect("many");
    assert!(longest < seconds(1), "for {longest} nothing ended");
    // What is read in the end is read of a store that is whole.
    let mut finals = history.txns().filter(|txn| txn.is_final()).peekable();
    assert!(finals.peek().is_some());
    assert!(finals.all(|txn| txn.invoked_at() >= fault.end));
}

#[test]
fn an_interrupt_in_the_middle_of_an_injection_undoes_it_last() {
    // Once; twice, when the run has seen the first; twice at once.
    for (name, pause) in [("once", None), ("twice", Some(400)), ("both", Some(20))] {
        let mut run = start(&format!("injecting-{name}"), SLOW, A_MINUTE);
        run.wait_for("the injection", |run| run.told() == "begun\n");
        signal(&run.child, "-INT");
        if let Some(pause) = pause {
            thread::sleep(Duration::from_millis(pause));
            signal(&run.child, "-INT");
        }
        assert_eq!(run.child.wait().expect("an end").code(), Some(130), "{name}");
        let told = run.told();
        assert_eq!(told, "begun\nbroken\nmended\n", "{name}");
        assert!(!run.broken.exists(), "{name}: the fault is undone");
        assert_eq!(run.heal(), "nothing is broken", "{name}");
        // Nothing of the injection comes afterwards.
        thread::sleep(Duration::from_millis(2_500));
        assert_eq!(run.told(), told, "{name}");
        let history = read(&run.out.join("history.jsonl"), None).expect("the history");
        let [fault] = history.faults() else { panic!("one fault") };
        assert_eq!(fault.end < Nanos::FOREVER, name == "once", "{name}: who quits writes no more");
    }
}

#[test]
fn runs_below_a_directory_are_healed_and_named() {
    let mut runs = ["many/one/first", "many/one/second", "many/whole"].map(broken_run);
    let signals = ["-KILL", "-KILL", "-INT"];
    for (run, name) in runs.iter_mut().zip(signals) {
        signal(&run.child, name);
        run.child.wait().expect("an end");
        assert_eq!(run.broken.exists(), name == "-KILL");
    }
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interrupt/many");
    fs::create_dir_all(all.join("empty")).expect("ours");
    let heal = |directory: &Path| {
        let heal = Command::new(env!("CARGO_BIN_EXE_rashomon")).arg("heal").arg(directory).output();
        let heal = heal.expect("the binary starts");
        let [said, complained] = [heal.stdout, heal.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        (heal.status.code(), said, complained)
    };
    // One that cannot be healed stops no other.
    let journal = runs[0].out.join("faults.jsonl");
    let text = fs::read_to_string(&journal).expect("a journal");
    fs::write(&journal, text.replace("rm -f", "echo will not >&2; exit 3; rm -f")).expect("ours");
    let (code, said, complained) = heal(&all);
    let [first, second] = [0, 1].map(|at: usize| runs[at].out.display().to_string());
    assert_eq!((code, said), (Some(5), format!("{second}: healed F1 (mark)")));
    assert!(complained.contains(&format!("{first}: cannot undo F1 (mark)")), "{complained}");
    assert!(complained.contains("will not; mend it with: "), "{complained}");
    assert!(runs[0].broken.exists() && !runs[1].broken.exists());
    fs::write(&journal, text).expect("ours");
    let (code, said, _) = heal(&all);
    assert_eq!((code, said), (Some(0), format!("{first}: healed F1 (mark)")));
    assert!(!runs[0].broken.exists());
    assert_eq!(heal(&all).1, "nothing is broken");
    assert!(heal(&all.join("empty")).1.ends_with("has no fault journal: nothing was broken"));
    assert_eq!(heal(&all.join("none")).0, Some(3));
}
