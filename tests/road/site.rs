//! Three nodes behind an sshd each, and runs of rashomon against them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rashomon::model::{Fault, NodeFault, Packet};
use rashomon::target::{Target, TargetConfig};

/// What the nodes of the tests are told to heal within.
pub(crate) const HEAL_WITHIN: Duration = Duration::from_secs(5);

pub(crate) struct Site {
    pub(crate) directory: PathBuf,
    number: u32,
}

/// Runs a command of the nodes.
fn script(directory: &Path, arguments: &[&str]) -> Output {
    let (action, more) = arguments.split_first().expect("an action");
    Command::new("sh")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/road/nodes.sh"))
        .arg(action)
        .arg(directory)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("sh")
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}

impl Site {
    /// Brings the nodes up; nothing where that is not possible, and then it says so.
    pub(crate) fn new(name: &str) -> Option<Self> {
        Self::with(name, Duration::from_secs(30))
    }

    /// The same, of nodes that wait for [`HEAL_WITHIN`] only.
    pub(crate) fn hasty(name: &str) -> Option<Self> {
        Self::with(name, HEAL_WITHIN)
    }

    fn with(name: &str, within: Duration) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let programs =
            ["/usr/sbin/sshd", "ssh", "redis-server", "redis-cli", "nft", "ip", "nsenter"];
        let there = |program: &&&str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            program.starts_with('/') && Path::new(program).exists()
                || std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        };
        let root = fs::metadata("/proc/self").is_ok_and(|own| {
            use std::os::unix::fs::MetadataExt;
            own.uid() == 0
        });
        let why = match programs.iter().find(|program| !there(program)) {
            Some(program) => format!("there is no {program}"),
            None if !root => "network namespaces need root".to_owned(),
            None => {
                let number = std::process::id() * 7 + COUNT.fetch_add(1, Ordering::Relaxed);
                let number = number % 250;
                let directory = format!("/var/tmp/rashomon-road-{name}-{}", std::process::id());
                let directory = PathBuf::from(directory);
                let site = Self { directory, number };
                let up = script(&site.directory, &["up", &number.to_string()]);
                assert!(up.status.success(), "{}", said(&up));
                fs::write(site.directory.join("target.toml"), site.target(within)).expect("ours");
                site.whole_within(Duration::from_secs(10));
                return Some(site);
            }
        };
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
        None
    }

    fn target(&self, within: Duration) -> String {
        let (number, home) = (self.number, self.directory.display());
        let seconds = within.as_secs();
        format!(
            r#"
name = "redis"
adapter = "redis"
disposable = true
timeout = "500ms"
follow = "primary"
heal-within = "{seconds}s"
[nodes]
n1 = "10.78.{number}.1:6379"
n2 = "10.78.{number}.2:6379"
n3 = "10.78.{number}.3:6379"
[road]
by = "ssh"
user = "root"
port = 22
identity = "{home}/key"
options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
start = 'redis-server "{home}/$node/redis.conf"'
pids = 'read -r pid </run/redis.pid && grep -qx redis-server "/proc/$pid/comm" && echo "$pid"'
data = "{home}/${{node}}/data"
"#
        )
    }

    /// The target, as a program that uses the library opens it.
    pub(crate) fn open(&self, name: &str) -> Box<dyn Target> {
        let path = self.directory.join("target.toml");
        let text = fs::read_to_string(&path).expect("ours");
        let config = TargetConfig::parse("target.toml", &text).expect("a correct target file");
        let run = self.directory.join(name);
        fs::create_dir_all(&run).expect("ours");
        rashomon::road::open(config, &run).expect("the nodes are there").0
    }

    /// Starts a run of a minute that does one fault.
    pub(crate) fn run(&self, name: &str, fault: &str) -> Run {
        let workload = format!(
            r#"
name = "{name}"
[clients]
count = 2
rate = 50
[keys]
count = 2
[[operation]]
do = "write"
[[operation]]
do = "read"
[[fault]]
{fault}
offset = "100ms"
[phases]
main = "60s"
[expect]
hold = []
[target]
file = "target.toml"
"#
        );
        let file = self.directory.join(format!("{name}.toml"));
        fs::write(&file, workload).expect("ours");
        let out = self.directory.join(format!("run-{name}"));
        let log = fs::File::create(self.directory.join(format!("{name}.log"))).expect("ours");
        let child = Command::new(env!("CARGO_BIN_EXE_rashomon"))
            .arg("run")
            .arg(file)
            .args(["--quiet", "--seed", "1", "--out"])
            .arg(&out)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Run { child, out, log: self.directory.join(format!("{name}.log")) }
    }

    /// Whatever a fault has left on some node.
    pub(crate) fn left(&self) -> String {
        let nodes = ["n1", "n2", "n3"];
        let left = nodes.map(|node| {
            let output = script(&self.directory, &["left", node]);
            let said = said(&output);
            if said.is_empty() && output.status.success() {
                String::new()
            } else {
                format!("{node}: {} {said}\n", output.status)
            }
        });
        left.concat()
    }

    /// Waits until every node is whole; how long that took.
    pub(crate) fn whole_within(&self, limit: Duration) -> Duration {
        let begun = Instant::now();
        loop {
            let left = self.left();
            if left.is_empty() {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < limit, "after {:?}:\n{left}", begun.elapsed());
            sleep(Duration::from_millis(50));
        }
    }

    /// How long after an instant the last node had healed itself: the directory of its run is the last
    /// that goes, and `/run` remembers when.
    pub(crate) fn healed_after(&self, instant: SystemTime) -> Duration {
        let since = instant.duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs_f64();
        let went = ["n1", "n2", "n3"].map(|node| {
            let (_, text) = self.at(node, "stat -c %.6Y /run");
            text.parse::<f64>().unwrap_or_else(|_| panic!("{text}")) - since
        });
        Duration::from_secs_f64(went.into_iter().fold(0.0, f64::max))
    }

    /// A command in the network of a node; whether it ended well, and what it printed.
    pub(crate) fn at(&self, node: &str, command: &str) -> (bool, String) {
        let shell = fs::read_to_string(self.directory.join(node).join("shell")).expect("it is up");
        let output = Command::new("nsenter")
            .args(["--net", "--mount", "--target", shell.trim(), "sh", "-c", command])
            .env("data", self.directory.join(node).join("data"))
            .output()
            .expect("nsenter");
        (output.status.success(), said(&output))
    }

    pub(crate) fn address(&self, node: &str) -> String {
        format!("10.78.{}.{}", self.number, &node[1..])
    }

    /// `rashomon heal` of the target file: its exit code and what it printed.
    pub(crate) fn heal(&self) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_rashomon"))
            .arg("heal")
            .arg(self.directory.join("target.toml"))
            .output()
            .expect("the binary starts");
        (output.status.code(), said(&output))
    }

    /// Starts an sshd that was killed.
    pub(crate) fn sshd(&self, node: &str) {
        let output = script(&self.directory, &["sshd", node]);
        assert!(output.status.success(), "{}", said(&output));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("KEEP").is_some() {
            return;
        }
        let _ = script(&self.directory, &["down"]);
    }
}

/// A run under way.
pub(crate) struct Run {
    pub(crate) child: Child,
    pub(crate) out: PathBuf,
    log: PathBuf,
}

impl Run {
    /// Waits until a node was told to break.
    pub(crate) fn begins(&mut self) {
        let begun = Instant::now();
        let journal = self.out.join("faults.jsonl");
        while !fs::read_to_string(&journal).unwrap_or_default().contains("{\"begin\":1,") {
            assert!(begun.elapsed() < Duration::from_secs(30), "no fault: {}", self.said());
            assert!(self.child.try_wait().expect("a child").is_none(), "ended: {}", self.said());
            sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// The exit code.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        self.child.wait().expect("a child").code()
    }

    /// What it printed.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `rashomon heal` of the run: its exit code and what it printed.
    pub(crate) fn heal(&self) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_rashomon"))
            .arg("heal")
            .arg(&self.out)
            .output()
            .expect("the binary starts");
        (output.status.code(), said(&output))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every fault that these nodes can have, as it is written in a workload.
pub(crate) const FAULTS: [(&str, &str); 10] = [
    ("partition", "inject = \"partition\"\nshape = \"halves\""),
    ("kill", "inject = \"kill\"\nnodes = \"minority\""),
    ("pause", "inject = \"pause\"\nnodes = \"majority\""),
    ("loss", "inject = \"packet\"\nnodes = \"one\"\nloss = \"30%\""),
    ("rate", "inject = \"packet\"\nnodes = \"one\"\nrate = \"1mbit\""),
    ("throttle", "inject = \"throttle\"\nnodes = \"one\"\ncpu = \"10%\""),
    ("memory", "inject = \"memory\"\nnodes = \"one\"\nlimit = \"64MB\""),
    ("disk-full", "inject = \"disk-full\"\nnodes = \"minority\""),
    (
        "truncate",
        "inject = \"truncate\"\nnodes = \"n2\"\nfile = \"appendonlydir/*.aof\"\nbytes = 10",
    ),
    ("bitflip", "inject = \"bitflip\"\nnodes = \"n3\"\nfile = \"marker\"\nbits = 1"),
];

/// A fault of one node.
pub(crate) fn at(node: &str, what: NodeFault) -> Fault {
    what.at(vec![Arc::from(node)])
}

pub(crate) fn packet(loss: u8, rate_kbit: u64) -> NodeFault {
    NodeFault::Packet(Packet { loss, rate_kbit, ..Packet::default() })
}
