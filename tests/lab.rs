//! Labs: real servers in network namespaces, brought up, asked, cut and removed by the command that a
//! user types.

#![cfg(all(feature = "live", feature = "cli"))]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rashomon::history::read;
use rashomon::lab::{DEFINITIONS, Definition};

#[test]
fn every_definition_parses_and_its_steps_are_shell() {
    for (name, text) in DEFINITIONS {
        let definition = Definition::parse(name, text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(definition.name.get_ref(), name, "it is named after its file");
        definition.lint(name, text).unwrap_or_else(|error| panic!("{error}"));
        definition.settle(&[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!definition.needs.is_empty(), "{name} needs nothing?");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/lab");
    let files = std::fs::read_dir(folder).expect("the folder of definitions").flatten();
    let files = files.filter(|file| file.path().extension().is_some_and(|end| end == "toml"));
    assert_eq!(files.count(), DEFINITIONS.len(), "every definition of workloads/lab is embedded");
}

const GOOD: &str = r#"name = "test"
about = "A test"
nodes = 3
ready = "true"
[settings.mode]
default = "fast"
values = ["fast", "safe"]
about = "how"
[[process]]
name = "server"
command = "exec sleep 60"
"#;

#[test]
fn mistakes_are_shown_where_they_are() {
    let mistakes = [
        ("nodes = 3", "nodes = 10", "3:9: expected 1 to 9 nodes"),
        ("ready =", "raedy =", "4:1: unknown field `raedy`"),
        ("ready =", "raedy =", "did you mean `ready`?"),
        ("name = \"test\"", "name = \"Test\"", "1:8: a name has small letters"),
        (
            "default = \"fast\"",
            "default = \"slow\"",
            "the default `slow` of `mode` is none of its values",
        ),
        ("settings.mode", "settings.address", "`address` is a variable that every step has"),
        ("exec sleep 60", "exec (sleep", "11:11: the shell does not understand this step"),
    ];
    for (good, bad, expected) in mistakes {
        let text = GOOD.replacen(good, bad, 1);
        let said = Definition::parse("test.toml", &text)
            .and_then(|definition| definition.lint("test.toml", &text))
            .expect_err(bad)
            .to_string();
        assert!(said.starts_with("test.toml:") && said.contains(expected), "{bad}: {said}");
    }
    let definition = Definition::parse("test.toml", GOOD).expect("a good definition");
    let set = |name: &str, value: &str| definition.settle(&[(name.to_owned(), value.to_owned())]);
    assert_eq!(set("mode", "safe").expect("a value it may have")["mode"], "safe");
    assert_eq!(set("mode", "slow").expect_err("none"), "mode = `slow`: expected one of fast, safe");
    assert!(set("mod", "safe").expect_err("none").contains("did you mean `mode`?"));
}

#[test]
fn what_is_not_installed_is_named_with_its_package() {
    let needs = "needs = [{ program = \"no-such-server\", package = \"no-such-package\" }]\n";
    let text = GOOD.replace("ready =", &format!("{needs}ready ="));
    let definition = Definition::parse("test.toml", &text).expect("a good definition");
    let missing = definition.missing().expect("nobody has it");
    assert!(missing.contains("no-such-server"), "{missing}");
    assert!(missing.contains("apt-get install --no-install-recommends"), "{missing}");
    assert!(missing.contains("no-such-package"), "{missing}");
}

#[test]
fn etcd_is_brought_up_cut_and_removed() {
    let Some(lab) = Lab::new("etcd", &["etcd", "etcdctl"]) else { return };
    lab.up("etcd", &[]);
    let status = good(&["status", &lab.name]);
    assert_eq!(status.matches(" ready").count(), 3, "{status}");
    assert_eq!(status.matches("primary").count(), 1, "{status}");
    let put =
        good(&["exec", &lab.name, "--", "sh", "-c", "etcdctl --endpoints $address:2379 put x 1"]);
    assert_eq!(put, "OK\n");
    let name =
        good(&["exec", &lab.name, "--node", "n2", "--", "sh", "-c", "touch /tmp/$node; ls /tmp"]);
    assert_eq!(name, "n2\n", "a node has a /tmp of its own");
    assert!(good(&["logs", &lab.name, "n1"]).contains("etcd"));

    // Real packets: what is cut does not pass in that direction; all else does.
    let all = ["n1>n2", "n1>n3", "n2>n1", "n2>n3", "n3>n1", "n3>n2"];
    assert_eq!(lab.reach(), all);
    good(&["cut", &lab.name, "n1>n2"]);
    assert_eq!(lab.reach(), ["n1>n3", "n2>n1", "n2>n3", "n3>n1", "n3>n2"]);
    let bridge = ["n1>n2", "n2>n1"];
    good(&["cut", &lab.name, bridge[0], bridge[1]]);
    assert_eq!(lab.reach(), ["n1>n3", "n2>n3", "n3>n1", "n3>n2"]);
    assert!(good(&["status", &lab.name]).contains("cut: n1>n2 n2>n1"));
    // Two cuts at a time: the end of one does not make the other whole.
    lab.script(&["cut", "7", "n1>n2", "n3>n2"]);
    lab.script(&["join", "7"]);
    assert_eq!(lab.reach(), ["n1>n3", "n2>n3", "n3>n1", "n3>n2"]);
    lab.script(&["join", "7"]);
    good(&["cut", &lab.name]);
    assert_eq!(lab.reach(), all);

    // A killed node is found by its namespace, and started again with what it had.
    good(&["do", &lab.name, "kill", "n2"]);
    assert!(good(&["status", &lab.name]).contains("not ready: no process"));
    good(&["do", &lab.name, "start", "n2"]);
    good(&["do", &lab.name, "start", "n2"]);
    let get = "until etcdctl --endpoints $address:2379 --command-timeout 1s get x 2>/dev/null; do sleep 0.2; done";
    let read = good(&["exec", &lab.name, "--node", "n2", "--", "timeout", "20", "sh", "-c", get]);
    assert_eq!(read, "x\n1\n");

    let wrong = rashomon(&["lab", "do", &lab.name, "kill", "n9"]);
    assert_eq!(wrong.status.code(), Some(3));
    let twice = rashomon(&["lab", "up", "etcd", "--name", &lab.name]);
    assert_eq!(twice.status.code(), Some(3), "there can be only one of its name");
    lab.down();
}

#[test]
fn redis_with_sentinel_fails_over() {
    let Some(lab) = Lab::new("redis", &["redis-server", "redis-sentinel", "redis-cli"]) else {
        return;
    };
    lab.up("redis", &["--set", "failover=sentinel"]);
    let primary = || {
        let status = good(&["status", &lab.name]);
        let line = status.lines().find(|line| line.contains(" ready, primary"));
        line.and_then(|line| line.split_whitespace().next()).map(str::to_owned)
    };
    assert_eq!(primary().as_deref(), Some("n1"));
    assert_eq!(good(&["exec", &lab.name, "--", "redis-cli", "set", "x", "1"]), "OK\n");
    good(&["do", &lab.name, "kill", "n1"]);
    let others = (0..100).find_map(|_| {
        pause(300);
        let ask = ["exec", &lab.name, "--node", "n2", "--", "redis-cli", "-p", "26379"];
        let said = good(&[&ask[..], &["sentinel", "get-master-addr-by-name", "mymaster"]].concat());
        (!said.contains(".1\n")).then_some(said)
    });
    assert!(others.is_some(), "nobody took over");
    lab.down();
}

/// Wherever `up` is killed, `down` removes what there is.
#[test]
fn a_killed_up_is_taken_down() {
    let Some(lab) = Lab::new("killed", &["etcd", "etcdctl"]) else { return };
    for millis in [5, 40, 120, 250, 400, 900] {
        let mut up = command(&["lab", "up", "etcd", "--name", &lab.name]);
        let mut up = up.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        pause(millis);
        up.kill().expect("SIGKILL");
        up.wait().expect("it is dead");
        // A command that it had under way ends by itself.
        pause(100);
        good(&["down", &lab.name]);
        lab.nothing_is_left();
    }
}

/// The register workload by the command a user types, on a lab whose leader is cut off.
#[test]
fn linearizable_reads_of_a_cut_etcd_hold() {
    let Some(lab) = Lab::new("run", &["etcd", "etcdctl"]) else { return };
    let out = lab.run("lab-etcd.toml", 0);
    let history = read(&out.join("history.jsonl"), None).expect("the history of the run");
    let ok = history.txns().filter(|txn| txn.is_ok()).count();
    assert!(ok >= 500, "{ok} of {} operations are ok", history.len());
    assert_eq!(history.faults().len(), 2);
    assert!(out.join("logs/n1-etcd.log").is_file(), "the logs of the members are kept");
    assert!(!out.join("lab").exists(), "the lab is taken down");
    std::fs::remove_dir_all(out).expect("ours");
}

#[test]
fn serializable_reads_of_a_cut_etcd_are_stale() {
    let Some(lab) = Lab::new("stale", &["etcd", "etcdctl"]) else { return };
    let out = lab.run("lab-etcd-serializable.toml", 1);
    let report = std::fs::read_to_string(out.join("report.txt")).expect("the report");
    assert!(report.contains("stale read"), "{report}");
    std::fs::remove_dir_all(out).expect("ours");
}

/// After SIGKILL in the middle of a cut, `heal` joins the links and takes the lab down.
#[test]
fn a_killed_run_is_healed() {
    let Some(lab) = Lab::new("crash", &["etcd", "etcdctl"]) else { return };
    let out = std::env::temp_dir().join(format!("rashomon-test-{}", lab.name));
    let mut run = command(&["run", "workloads/register.toml", "--quiet", "--seed", "7"]);
    run.args(["--target", "workloads/targets/lab-etcd.toml", "--out"]).arg(&out);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let journal = out.join("faults.jsonl");
    let begun = (0..600).any(|_| {
        pause(100);
        std::fs::read_to_string(&journal).is_ok_and(|text| text.contains("partition"))
    });
    assert!(begun, "no partition has begun");
    run.kill().expect("SIGKILL");
    run.wait().expect("it is dead");
    pause(100);
    let directory = std::fs::read_to_string(out.join("lab")).expect("where its lab lies");
    let lies = PathBuf::from(directory.trim());
    assert!(lies.join("lab.json").is_file(), "the lab outlives the run");
    let healed = rashomon(&["heal", &out.display().to_string()]);
    let said = String::from_utf8_lossy(&healed.stdout).into_owned();
    assert_eq!(healed.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&healed.stderr));
    assert!(said.contains("healed F1 (partition)") && said.contains("took the lab down"), "{said}");
    assert!(!lies.exists());
    std::fs::remove_dir_all(out).expect("ours");
}

/// Who is not root gets a lab in namespaces of his own, for the time of a run.
#[test]
fn a_run_without_root_has_a_lab() {
    let Some(lab) = Lab::new("nobody", &["etcd", "etcdctl", "unshare", "setpriv"]) else { return };
    // Not below /tmp, which is another directory inside a node.
    let home = Path::new("/var/tmp").join(format!("rashomon-{}", lab.name));
    std::fs::create_dir_all(&home).expect("a directory");
    std::os::unix::fs::chown(&home, Some(65_534), Some(65_534)).expect("we are root");
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let namespace = ["unshare", "--user", "--map-root-user", "--net", "--mount", "true"];
    let may = Command::new("setpriv").args(nobody).args(namespace).output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("skipped: this kernel lets no user have namespaces");
        return std::fs::remove_dir_all(home).expect("ours");
    }
    let output = Command::new("setpriv")
        .args(nobody)
        .arg(env!("CARGO_BIN_EXE_rashomon"))
        .args(["run", "workloads/register.toml", "--quiet", "--seed", "7", "--time-limit", "4s"])
        .args(["--set", "phases.quiesce=1s", "--set", "phases.warmup=500ms", "--set"])
        .arg(r#"fault=[{ inject = "partition", shape = "isolate", for = "2s" }]"#)
        .args(["--target", "workloads/targets/lab-etcd.toml", "--out"])
        .arg(home.join("run"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("HOME", &home)
        .env_remove("RASHOMON_LABS")
        .stdin(Stdio::null())
        .output()
        .expect("setpriv");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let labs = std::fs::read_dir(home.join(".local/state/rashomon/labs")).expect("labs");
    let left: Vec<_> = labs.flatten().map(|lab| lab.file_name()).collect();
    assert_eq!(left, [".networks"]);
    std::fs::remove_dir_all(home).expect("ours");
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rashomon"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

fn rashomon(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the binary starts")
}

/// What `rashomon lab …` prints; it must end well.
fn good(arguments: &[&str]) -> String {
    let output = rashomon(&[&["lab"], arguments].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}{wrong}");
    said
}

/// A name for a lab of our own, which is taken down whatever happens.
struct Lab {
    name: String,
}

impl Lab {
    /// `None` where a lab cannot be, unless it is expected to be there.
    fn new(name: &str, programs: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let runs = |program: &str| {
            let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output();
            found.is_ok_and(|output| output.status.success())
        };
        let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        let lacking = ["ip", "nft"].iter().chain(programs).find(|program| !runs(program));
        let why = match lacking {
            None if root => {
                let count = COUNT.fetch_add(1, Ordering::Relaxed);
                return Some(Self { name: format!("test-{name}-{}-{count}", std::process::id()) });
            }
            None => "a lab needs root".to_owned(),
            Some(program) => format!("there is no {program}"),
        };
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
        None
    }

    fn up(&self, store: &str, more: &[&str]) {
        good(&[&["up", store, "--name", &self.name], more].concat());
    }

    /// Where it lies.
    fn directory(&self) -> PathBuf {
        Path::new("/var/lib/rashomon/labs").join(&self.name)
    }

    fn script(&self, arguments: &[&str]) -> String {
        let script = self.directory().join("lab.sh");
        let output = Command::new("bash").arg(script).args(arguments).output().expect("bash");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn reach(&self) -> Vec<String> {
        let mut links: Vec<String> = self.script(&["reach"]).lines().map(str::to_owned).collect();
        links.sort();
        links
    }

    fn down(&self) {
        let bridge = std::fs::read_to_string(self.directory().join("environment"))
            .expect("it is up")
            .lines()
            .find_map(|line| {
                line.strip_prefix("export bridge='")?.strip_suffix('\'').map(str::to_owned)
            })
            .expect("it has a bridge");
        good(&["down", &self.name]);
        self.nothing_is_left();
        // Other labs may be up meanwhile, but none with that bridge as long as its name is ours.
        let listed = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().expect(program);
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let claimed = Path::new("/var/lib/rashomon/labs/.networks").join(&bridge[3..]);
        if !claimed.exists() {
            assert!(!listed("ip", &["netns"]).contains(&format!("{bridge}-n")));
            assert!(!listed("ip", &["link"]).contains(&format!("{bridge}n")));
            assert!(!listed("nft", &["list", "tables"]).contains(&format!("bridge {bridge}\n")));
        }
    }

    /// Whatever carries the name of the lab is gone: its directory, its claim, its processes.
    fn nothing_is_left(&self) {
        assert!(!self.directory().exists());
        let claims = std::fs::read_dir("/var/lib/rashomon/labs/.networks").expect("the claims");
        for claim in claims.flatten() {
            let owner = std::fs::read_to_string(claim.path()).unwrap_or_default();
            assert_ne!(owner, self.name, "{} is still claimed", claim.path().display());
        }
        for process in std::fs::read_dir("/proc").expect("processes").flatten() {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let of_lab = line.contains(&format!("/labs/{}/", self.name));
            assert!(!of_lab, "still runs: {line}");
        }
    }

    /// A short run of the register workload on a target of labs; it must end with that exit code.
    fn run(&self, target: &str, code: i32) -> PathBuf {
        let out = std::env::temp_dir().join(format!("rashomon-test-{}", self.name));
        let fault = |shape: &str, offset: &str| {
            format!(
                r#"{{ inject = "partition", shape = "{shape}", every = "60s", for = "3s", offset = "{offset}" }}"#
            )
        };
        let faults = format!("fault=[{}, {}]", fault("primary", "1s"), fault("halves", "6s"));
        let output = command(&["run", "workloads/register.toml", "--quiet", "--seed", "7"])
            .args(["--time-limit", "10s", "--set", &faults, "--set", "clients.rate=300"])
            .args(["--set", "phases.quiesce=1s", "--set", "phases.warmup=500ms", "--target"])
            .arg(Path::new("workloads/targets").join(target))
            .arg("--out")
            .arg(&out)
            .output()
            .expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stdout);
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}{wrong}");
        out
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A test that failed leaves no cluster behind.
        let _ = command(&["lab", "down", &self.name]).output();
    }
}

fn pause(millis: u64) {
    std::thread::park_timeout(Duration::from_millis(millis));
}

/// What runs and hands have done to a lab that stays up is undone by its target file.
#[test]
fn a_target_file_heals_the_lab_of_its_store() {
    let needed = ["redis-server", "redis-sentinel", "redis-cli"];
    let Some(lab) = Lab::new("heal", &needed) else { return };
    let directory = std::env::temp_dir().join(format!("rashomon-test-{}", lab.name));
    std::fs::create_dir_all(&directory).expect("a directory");
    // A store of its own, for its lab is called as it.
    let definition = include_str!("../workloads/lab/redis.toml");
    let name = format!("name = \"{}\"", lab.name);
    let definition = definition.replacen("name = \"redis\"", &name, 1);
    let (store, target) = (directory.join("store.toml"), directory.join("target.toml"));
    std::fs::write(&store, definition).expect("ours");
    let text =
        "name = 'r'\nadapter = 'redis'\n[lab]\nstore = './store.toml'\nurl = '${address}:6379'\n";
    std::fs::write(&target, text).expect("ours");
    let heal = || {
        let output = rashomon(&["heal", &target.display().to_string()]);
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    assert_eq!(heal(), (Some(0), "nothing to undo\n".to_owned()));
    lab.up(&store.display().to_string(), &[]);
    good(&["cut", &lab.name, "n1>n2", "n3>n2"]);
    good(&["do", &lab.name, "pause", "n3"]);
    good(&["do", &lab.name, "kill", "n2"]);
    let done = format!("undid whatever was in force in the lab {}\n", lab.name);
    assert_eq!(heal(), (Some(0), done.clone()));
    assert_eq!(lab.reach(), ["n1>n2", "n1>n3", "n2>n1", "n2>n3", "n3>n1", "n3>n2"]);
    let is_whole = || good(&["status", &lab.name]).matches(" ready").count() == 3;
    assert!(
        (0..100).any(|_| is_whole() || {
            pause(100);
            false
        }),
        "{}",
        good(&["status", &lab.name])
    );
    assert_eq!(heal(), (Some(0), done));
    lab.down();
    std::fs::remove_dir_all(directory).expect("ours");
}
