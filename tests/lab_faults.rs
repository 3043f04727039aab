//! Faults of every kind in a lab, done by its script as a run does them: each is seen in force from
//! outside, and gone after its undo; and after SIGKILL in the middle of any of them the lab heals itself.

#![cfg(all(feature = "live", feature = "cli"))]
#![expect(clippy::print_stdout, reason = "a skipped test says so, and measured figures are shown")]
#![expect(clippy::disallowed_methods, reason = "real servers are broken in real time")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// After so many seconds without us a lab heals itself.
const WITHIN: u64 = 4;

#[test]
fn packets_fare_as_the_rules_say() {
    let Some(lab) = Lab::new("packets", &["perl"]) else { return };
    lab.up(&["--network", "switch"]);
    let all = ["n1>n2", "n1>n3", "n2>n1", "n2>n3", "n3>n1", "n3>n2"];
    assert_eq!(lab.reach(), all);
    let whole = lab.round_trip();
    println!("a round trip through the switch takes {whole:?}");

    // Each way 50 ms, so 100 ms for a round trip; the others are left alone.
    let delay = Fault::new(1, "packet", "n1").packet("50 0 0 0 0 0");
    lab.inject(&delay);
    let late = lab.round_trip();
    println!("with 50 ms each way, {late:?}");
    assert!((millis(100)..millis(200)).contains(&late), "{late:?}");
    lab.undo(&delay);
    assert!(lab.round_trip() < millis(40));

    let lossy = Fault::new(2, "packet", "n1").packet("0 0 30 0 0 0");
    lab.inject(&lossy);
    let got = lab.datagrams("n1", 1_000, 100);
    println!("with 30 % loss, of 1000 datagrams {} arrive", got.numbers.len());
    assert!((630..=770).contains(&got.numbers.len()), "{}", got.numbers.len());
    assert_eq!(lab.datagrams("n2", 200, 100).numbers.len(), 200, "n2 has no fault");
    lab.undo(&lossy);

    let doubled = Fault::new(3, "packet", "n1").packet("0 0 0 20 20 0");
    lab.inject(&doubled);
    let got = lab.datagrams("n1", 1_000, 100);
    let twice = got.numbers.len() - got.unique();
    println!("with 20 % each, {twice} of 1000 come twice and {} are overtaken", got.overtaken());
    assert_eq!(got.unique(), 1_000);
    assert!((130..=270).contains(&twice), "{twice}");
    assert!((5..=400).contains(&got.overtaken()), "{}", got.overtaken());
    lab.undo(&doubled);

    // 100 datagrams of 1000 bytes with their headers of 28 at 1 Mbit/s: 0.82 s.
    let slow = Fault::new(4, "packet", "n1").packet("0 0 0 0 0 1000");
    lab.inject(&slow);
    let got = lab.datagrams("n1", 100, 1_000);
    println!("at 1 Mbit/s, 100 kilobytes take {:?}", got.lasted);
    assert_eq!(got.numbers.len(), 100);
    assert!((millis(750)..millis(1_300)).contains(&got.lasted), "{:?}", got.lasted);
    lab.undo(&slow);

    // A cut of one direction, while packets of another node are lost.
    lab.inject(&lossy);
    let cut = Fault::new(5, "partition", "n2,n3").with("cuts", "n2>n3");
    lab.inject(&cut);
    lab.undo(&lossy);
    assert_eq!(lab.reach(), ["n1>n2", "n1>n3", "n2>n1", "n3>n1", "n3>n2"]);
    lab.undo(&cut);
    lab.undo(&cut);
    assert_eq!(lab.reach(), all);
    lab.down();
}

#[test]
fn a_node_is_harmed_and_healed() {
    let Some(lab) = Lab::new("harm", &["mkfs.ext4", "perl"]) else { return };
    lab.up(&["--disk", "64MB"]);
    let ping = |node: &str| lab.ask(node, "ping");

    let kill = Fault::new(1, "kill", "n2");
    lab.inject(&kill);
    assert_ne!(ping("n2"), "+PONG\r\n");
    lab.undo(&kill);
    lab.wait_for("n2");

    let pause = Fault::new(2, "pause", "n2");
    lab.inject(&pause);
    assert_ne!(ping("n2"), "+PONG\r\n");
    lab.undo(&pause);
    lab.wait_for("n2");

    // Two seconds ahead, also after it was started anew; no other node, nor the machine.
    let skew = Fault::new(3, "skew", "n2").skew("2000 0 0");
    lab.inject(&skew);
    assert!((1.7..2.3).contains(&lab.ahead("n2")), "{}", lab.ahead("n2"));
    assert!(lab.ahead("n1").abs() < 0.3);
    lab.inject(&kill);
    lab.undo(&kill);
    lab.wait_for("n2");
    assert!((1.7..2.3).contains(&lab.ahead("n2")), "{}", lab.ahead("n2"));
    let drift = Fault::new(4, "skew", "n2").skew("0 100000 0");
    lab.inject(&drift);
    let (before, began) = (lab.ahead("n2"), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let gained = lab.ahead("n2") - before;
    let expected = began.elapsed().as_secs_f64() / 10.0;
    assert!((gained - expected).abs() < 0.1, "{gained} for {expected}");
    lab.undo(&skew);
    lab.undo(&drift);
    assert!(lab.ahead("n2").abs() < 0.3);

    // A tenth of a processor, by the time that the kernel counts.
    let throttle = Fault::new(5, "throttle", "n2").with("cpu", "10");
    let free = lab.share_of_a_processor("n2");
    lab.inject(&throttle);
    let throttled = lab.share_of_a_processor("n2");
    println!("a busy process gets {free:.2} of a processor, throttled {throttled:.2}");
    assert!(throttled < 0.16, "{throttled} of {free}");
    lab.undo(&throttle);
    lab.wait_for("n2");

    let memory = Fault::new(6, "memory", "n2").with("limit_mb", "48");
    lab.inject(&memory);
    lab.redis("n2", &["config", "set", "replica-read-only", "no"]);
    lab.redis("n2", &["setrange", "big", "200000000", "x"]);
    assert_ne!(ping("n2"), "+PONG\r\n", "it wanted more than it may have");
    lab.undo(&memory);
    lab.wait_for("n2");

    let write = |name: &str, synced: &str| {
        let text = format!("echo {name} >\"$data/{name}\" {synced}");
        lab.enter("n2", &["sh", "-c", &text])
    };
    let full = Fault::new(7, "disk-full", "n2");
    lab.inject(&full);
    let said = write("more", "");
    assert!(!said.status.success(), "there is room");
    lab.undo(&full);
    assert!(write("more", "").status.success());

    // What was synced is there, what was not is lost.
    assert!(write("synced", "&& sync \"$data/synced\" \"$data\"").status.success());
    assert!(write("unsynced", "").status.success());
    let loss = Fault::new(8, "power-loss", "n2");
    lab.inject(&loss);
    lab.undo(&loss);
    lab.wait_for("n2");
    let data = lab.directory().join("disks/n2/data");
    assert!(data.join("synced").exists() && !data.join("unsynced").exists());

    std::fs::write(data.join("a.bin"), vec![7; 1_000]).expect("a file");
    let truncate = Fault::new(9, "truncate", "n2").with("file", "*.bin").with("bytes", "100");
    lab.inject(&truncate);
    assert_eq!(std::fs::metadata(data.join("a.bin")).expect("a file").len(), 900);
    lab.undo(&truncate);
    lab.wait_for("n2");
    let flip = Fault::new(10, "bitflip", "n2").with("file", "*.bin").with("bits", "3");
    lab.inject(&flip);
    let bytes = std::fs::read(data.join("a.bin")).expect("a file");
    let flipped: u32 = bytes.iter().map(|byte| (byte ^ 7).count_ones()).sum();
    assert!((1..=3).contains(&flipped) && bytes.len() == 900, "{flipped}");
    lab.undo(&flip);
    lab.wait_for("n2");
    let nothing = Fault::new(11, "truncate", "n2").with("file", "*.none").with("bytes", "1");
    let said = lab.script(&nothing, "inject");
    assert!(String::from_utf8_lossy(&said.stderr).contains("matches *.none"));
    lab.undo(&nothing);
    lab.wait_for("n2");
    lab.down();
}

/// One process of our own, by the command that a user types.
#[test]
fn the_clock_of_a_process_is_put_wrong_and_right() {
    let runs = Command::new("perl").args(["-e", "1"]).status();
    if !cfg!(all(target_arch = "x86_64", target_os = "linux"))
        || !runs.is_ok_and(|status| status.success())
    {
        println!("skipped: this needs Linux on x86_64, and perl");
        return;
    }
    // It says the time by each of the three questions whenever a line is given to it.
    let program = "use Time::HiRes qw(gettimeofday clock_gettime CLOCK_REALTIME CLOCK_MONOTONIC); \
        $| = 1; while (<STDIN>) { my @t = gettimeofday(); \
        print time(), ' ', $t[0] + $t[1] / 1e6, ' ', clock_gettime(CLOCK_REALTIME), ' ', \
        clock_gettime(CLOCK_MONOTONIC), \"\\n\" }";
    let process = Command::new("perl")
        .args(["-e", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("perl");
    let mut process = Asked { process };
    let id = process.process.id().to_string();
    assert!(process.ahead().iter().all(|ahead| ahead.abs() < 1.5));
    let before = code_of_the_kernel(&id);
    let monotonic = |process: &mut Asked| process.ask()[3];
    let (began, since) = (monotonic(&mut process), Instant::now());
    for (offset, least, most) in
        [("3600s", 3_598.5, 3_601.5), ("-1500ms", -3.0, 0.1), ("-60min", -3_601.5, -3_598.5)]
    {
        clock(&["set", &id, "--offset", offset]);
        for ahead in process.ahead() {
            assert!((least..most).contains(&ahead), "{offset}: {ahead}");
        }
    }
    assert_eq!(clock(&["show", &id]), "-3600.000000000\n");
    let passed = monotonic(&mut process) - began;
    assert!((passed - since.elapsed().as_secs_f64()).abs() < 0.5, "monotonic time is right");

    // A tenth of a second in each second, then to and fro.
    clock(&["set", &id, "--offset", "10s", "--drift", "100000ppm"]);
    let (first, began) = (process.ahead()[2], Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let gained = process.ahead()[2] - first;
    assert!((gained - began.elapsed().as_secs_f64() / 10.0).abs() < 0.1, "{gained}");
    clock(&["set", &id, "--offset", "100s", "--strobe", "200ms"]);
    let seen: BTreeSet<bool> = (0..60)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            process.ahead()[2] > 50.0
        })
        .collect();
    assert_eq!(seen.len(), 2, "it jumps");
    clock(&["reset", &id]);
    clock(&["reset", &id, "999999999"]);
    assert!(process.ahead().iter().all(|ahead| ahead.abs() < 1.5));
    assert_eq!(clock(&["show", &id]), "0.000000000\n");
    assert!(code_of_the_kernel(&id) == before, "it is what it was");
    let wrong =
        command(&["clock", "set", "999999999", "--offset", "1s"]).output().expect("it runs");
    assert_eq!(wrong.status.code(), Some(4));
}

/// The vDSO of a process.
fn code_of_the_kernel(process: &str) -> Vec<u8> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).expect("its maps");
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).expect("a vDSO");
    let range = line.split_whitespace().next().expect("a range").split('-');
    let range: Vec<u64> = range.map(|at| u64::from_str_radix(at, 16).expect("a number")).collect();
    let memory = std::fs::File::open(format!("/proc/{process}/mem")).expect("its memory");
    let mut image = vec![0; (range[1] - range[0]) as usize];
    memory.read_exact_at(&mut image, range[0]).expect("the vDSO");
    image
}

/// A process that says the time when it is asked.
struct Asked {
    process: Child,
}

impl Asked {
    fn ask(&mut self) -> Vec<f64> {
        self.process.stdin.as_mut().expect("its input").write_all(b"\n").expect("it reads");
        let output = self.process.stdout.as_mut().expect("its output");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("a line");
        line.split_whitespace().map(|word| word.parse().expect("a number")).collect()
    }

    /// How far ahead `time`, `gettimeofday` and `clock_gettime` are, in seconds.
    fn ahead(&mut self) -> Vec<f64> {
        let said = self.ask();
        said[..3].iter().map(|said| said - now()).collect()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// SIGKILL to rashomon in the middle of each fault: the cluster is whole again in the time that was said,
/// and what is left is what the lab had. `RASHOMON_KILLS` says how many; a handful if not.
#[test]
fn a_killed_run_heals_itself() {
    const FAULTS: [(&str, &str); 11] = [
        ("partition", r#"shape = "halves""#),
        ("skew", r#"nodes = "minority", by = "30s", drift = "500ppm""#),
        ("power-loss", r#"nodes = "one""#),
        ("packet", r#"nodes = "one", delay = "50ms", jitter = "10ms", loss = "10%""#),
        ("pause", r#"nodes = "minority""#),
        ("disk-full", r#"nodes = "one""#),
        ("kill", r#"nodes = "one""#),
        ("throttle", r#"nodes = "one", cpu = "20%""#),
        ("memory", r#"nodes = "one", limit = "512MB""#),
        ("truncate", r#"nodes = "one", file = "**/*.aof", bytes = 10"#),
        ("bitflip", r#"nodes = "n3", file = "redis.conf.copy", bits = 1"#),
    ];
    let Some(lab) = Lab::new("heals", &["mkfs.ext4", "perl"]) else { return };
    let count = std::env::var("RASHOMON_KILLS").ok().and_then(|count| count.parse().ok());
    let definition = lab
        .definition(|text| text.replace("prepare = '''", "prepare = '''\necho x >redis.conf.copy"));
    for (round, (fault, options)) in FAULTS.iter().cycle().take(count.unwrap_or(4)).enumerate() {
        // Every fourth lab is there for its run only, and goes with it.
        let keep = round % 4 != 3;
        let target = lab.target(&definition, keep);
        let out = std::env::temp_dir().join(format!("rashomon-test-{}-{round}", lab.name));
        let mut run = command(&["run", "workloads/register.toml", "--quiet", "--seed", "7"])
            .args([
                "--time-limit",
                "60s",
                "--set",
                "phases.warmup=500ms",
                "--set",
                "clients.rate=50",
            ])
            .arg("--set")
            .arg(format!(
                r#"fault=[{{ inject = "{fault}", {options}, offset = "500ms", for = "50s" }}]"#
            ))
            .arg("--target")
            .arg(&target)
            .arg("--out")
            .arg(&out)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let journal = out.join("faults.jsonl");
        let in_force = (0..900).any(|_| {
            std::thread::sleep(millis(100));
            let text = std::fs::read_to_string(&journal).unwrap_or_default();
            let lies = if keep { Some(lab.directory()) } else { lies(&out) };
            let faults = lies.and_then(|lies| std::fs::read_dir(lies.join("faults")).ok());
            text.contains(&format!("\"{fault}\""))
                && faults.is_some_and(|mut all| all.next().is_some())
        });
        if !in_force {
            let _ = run.kill();
            let said = run.wait_with_output().expect("it ends").stderr;
            panic!("{fault} has not begun: {}", String::from_utf8_lossy(&said));
        }
        // It is renewed for as long as the run lives.
        std::thread::sleep(Duration::from_secs(if round % 3 == 0 { WITHIN + 2 } else { 1 }));
        let lies = if keep { lab.directory() } else { lies(&out).expect("it has a lab") };
        let noted = std::fs::read_dir(lies.join("faults")).map_or(0, Iterator::count);
        assert!(noted > 0, "{fault} is not in force any more");
        run.kill().expect("SIGKILL");
        run.wait().expect("it is dead");
        let killed = Instant::now();
        let healed = (0..300).any(|_| {
            std::thread::sleep(millis(100));
            if keep { lab.is_whole() } else { !lies.exists() }
        });
        let took = killed.elapsed();
        println!("{round} {fault}{}: healed after {took:?}", if keep { "" } else { ", lab gone" });
        assert!(healed, "{fault}: {took:?}: {}", lab.left());
        assert!(took < Duration::from_secs(WITHIN + 6), "{fault}: {took:?}");
        let after = command(&["heal"]).arg(&out).output().expect("it runs");
        assert!(after.status.success(), "{}", String::from_utf8_lossy(&after.stderr));
        std::fs::remove_dir_all(out).expect("ours");
    }
    lab.down();
}

/// Where the lab of a run lies.
fn lies(run: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(run.join("lab")).ok()?;
    Some(PathBuf::from(text.trim()))
}

/// A fault with its variables.
struct Fault {
    what: &'static str,
    variables: Vec<(&'static str, String)>,
}

impl Fault {
    fn new(number: u32, what: &'static str, node: &str) -> Self {
        Self { what, variables: vec![("fault", number.to_string()), ("node", node.to_owned())] }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn packet(self, values: &str) -> Self {
        let names = ["delay_ms", "jitter_ms", "loss", "duplicate", "reorder", "rate_kbit"];
        names
            .into_iter()
            .zip(values.split(' '))
            .fold(self, |fault, (name, value)| fault.with(name, value))
    }

    fn skew(self, values: &str) -> Self {
        let names = ["offset_ms", "drift_ppm", "strobe_ms"];
        names
            .into_iter()
            .zip(values.split(' '))
            .fold(self, |fault, (name, value)| fault.with(name, value))
    }
}

/// A lab of Redis of our own, which is taken down whatever happens.
struct Lab {
    name: String,
}

impl Lab {
    /// `None` where a lab cannot be, unless it is expected to be there.
    fn new(name: &str, programs: &[&str]) -> Option<Self> {
        let runs = |program: &str| {
            let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output();
            found.is_ok_and(|output| output.status.success())
        };
        let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        let needed = ["ip", "nft", "redis-server", "redis-sentinel", "redis-cli"];
        let lacking = needed.iter().chain(programs).find(|program| !runs(program));
        let why = match lacking {
            None if !root => "a lab needs root".to_owned(),
            None if !Path::new("/dev/net/tun").exists() => "there is no /dev/net/tun".to_owned(),
            None => return Some(Self { name: format!("test-{name}-{}", std::process::id()) }),
            Some(program) => format!("there is no {program}"),
        };
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
        None
    }

    fn up(&self, more: &[&str]) {
        good(&[&["lab", "up", "redis", "--name", &self.name], more].concat());
    }

    fn down(&self) {
        good(&["lab", "down", &self.name]);
        assert!(!self.directory().exists());
        for process in std::fs::read_dir("/proc").expect("processes").flatten() {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            assert!(!line.contains(&format!("/labs/{}/", self.name)), "still runs: {line}");
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
        assert!(!mounts.contains(&format!("/labs/{}/", self.name)), "{mounts}");
    }

    /// A definition of Redis with a name of our own, so that a kept lab of it is ours.
    fn definition(&self, change: impl Fn(&str) -> String) -> PathBuf {
        let text = include_str!("../workloads/lab/redis.toml");
        let text =
            text.replace("name = \"redis\"\nabout", &format!("name = \"{}\"\nabout", self.name));
        let path = std::env::temp_dir().join(format!("rashomon-{}.toml", self.name));
        std::fs::write(&path, change(&text)).expect("a file");
        path
    }

    fn target(&self, definition: &Path, keep: bool) -> PathBuf {
        let store = definition.display();
        let text = format!(
            "name = \"heals\"\nadapter = \"redis\"\ntimeout = \"1s\"\nheal-within = \"{WITHIN}s\"\n\n[lab]\nstore = \"{store}\"\n\
             url = \"${{address}}:6379\"\nnetwork = \"switch\"\ndisk = \"64MB\"\nkeep = {keep}\n"
        );
        let path = std::env::temp_dir().join(format!("rashomon-{}-target.toml", self.name));
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn directory(&self) -> PathBuf {
        Path::new("/var/lib/rashomon/labs").join(&self.name)
    }

    fn script(&self, fault: &Fault, action: &str) -> Output {
        let mut script = Command::new("bash");
        script.arg(self.directory().join("lab.sh")).args([action, fault.what]);
        script.envs(fault.variables.iter().map(|(name, value)| (*name, value)));
        script.output().expect("bash")
    }

    fn does(&self, fault: &Fault, action: &str) {
        let said = self.script(fault, action);
        let wrong = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{action} {}: {wrong}", fault.what);
    }

    /// Injects it, and sees that it is in force.
    fn inject(&self, fault: &Fault) {
        self.does(fault, "inject");
        self.does(fault, "probe");
    }

    /// Undoes it, and sees that it is gone.
    fn undo(&self, fault: &Fault) {
        self.does(fault, "undo");
        self.does(fault, "undo");
        assert_eq!(self.script(fault, "probe").status.code(), Some(1), "{}", fault.what);
    }

    fn reach(&self) -> Vec<String> {
        let reach = Command::new("bash").arg(self.directory().join("lab.sh")).arg("reach").output();
        let said = String::from_utf8(reach.expect("bash").stdout).expect("UTF-8");
        let mut links: Vec<String> = said.lines().map(str::to_owned).collect();
        links.sort();
        links
    }

    fn enter(&self, node: &str, arguments: &[&str]) -> Output {
        let script = self.directory().join("lab.sh");
        let mut command = Command::new("bash");
        command.arg(script).args(["enter", node]).args(arguments);
        command.output().expect("bash")
    }

    /// What Redis says, or what is wrong.
    fn redis(&self, node: &str, arguments: &[&str]) -> String {
        let asked = self.enter(node, &[&["timeout", "5", "redis-cli"], arguments].concat());
        String::from_utf8_lossy(&asked.stdout).trim().to_owned()
    }

    /// What Redis says to one line, asked by this machine; nothing if it does not answer.
    fn ask(&self, node: &str, line: &str) -> String {
        let address: SocketAddr = format!("{}:6379", self.address(node)).parse().expect("ours");
        let ask = || -> std::io::Result<String> {
            let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
            connection.set_read_timeout(Some(Duration::from_secs(1)))?;
            connection.write_all(format!("{line}\r\n").as_bytes())?;
            let mut buffer = [0; 1_000];
            let length = connection.read(&mut buffer)?;
            Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        ask().unwrap_or_default()
    }

    fn wait_for(&self, node: &str) {
        let answers = (0..100).any(|_| {
            std::thread::sleep(millis(100));
            self.ask(node, "ping") == "+PONG\r\n"
        });
        assert!(answers, "{node} does not answer");
    }

    /// Every node answers and reaches every other, and nothing is noted as broken.
    fn is_whole(&self) -> bool {
        self.left().is_empty()
            && NODES.iter().all(|node| self.ask(node, "ping") == "+PONG\r\n")
            && NODES.iter().all(|node| self.ahead(node).abs() < 1.0)
            && self.reach().len() == 6
    }

    /// What is not as it was when the lab was brought up.
    fn left(&self) -> String {
        let lab = self.directory();
        let mut left = Vec::new();
        for faults in ["faults", "cuts", "n1/skew", "n2/skew", "n3/skew"] {
            let entries = std::fs::read_dir(lab.join(faults)).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| entry.path().display().to_string()));
        }
        let rules = std::fs::read_to_string(lab.join("switch/rules")).unwrap_or_default();
        left.extend(rules.lines().skip(1).map(str::to_owned));
        for node in NODES {
            let own = format!("rashomon-{}-{node}", self.name);
            let quota = format!("/sys/fs/cgroup/cpu/{own}/cpu.cfs_quota_us");
            if std::fs::read_to_string(quota).is_ok_and(|quota| quota.trim() != "-1") {
                left.push(format!("a quota of {node}"));
            }
            let limit = format!("/sys/fs/cgroup/memory/{own}/memory.limit_in_bytes");
            let limit = std::fs::read_to_string(limit).unwrap_or_default();
            if limit.trim().parse::<u64>().is_ok_and(|limit| limit < 1 << 50) {
                left.push(format!("a limit of {node}"));
            }
            if lab.join("disks").join(node).join("fill").exists() {
                left.push(format!("the fill of {node}"));
            }
        }
        left.join("; ")
    }

    fn address(&self, node: &str) -> String {
        let text = std::fs::read_to_string(self.directory().join(node).join("environment"));
        let text = text.expect("it is up");
        let address = text.lines().find_map(|line| {
            line.strip_prefix("export address='")?.strip_suffix('\'').map(str::to_owned)
        });
        address.expect("it has an address")
    }

    /// How long it takes to connect to n1, the median of some.
    fn round_trip(&self) -> Duration {
        let address: SocketAddr = format!("{}:6379", self.address("n1")).parse().expect("ours");
        let mut times: Vec<Duration> = (0..15)
            .map(|_| {
                let began = Instant::now();
                TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("n1 answers");
                began.elapsed()
            })
            .collect();
        times.sort();
        times[times.len() / 2]
    }

    /// Numbered datagrams from a node to this machine, one every millisecond.
    fn datagrams(&self, node: &str, count: u32, size: usize) -> Datagrams {
        let address = self.address(node);
        let control = format!("{}.254", address.rsplit_once('.').expect("an address").0);
        let socket = UdpSocket::bind((control.as_str(), 0)).expect("the machine has an address");
        let port = socket.local_addr().expect("it is bound").port();
        // On a busy machine it takes a while until the first is sent.
        let wait = |seconds| {
            let wait = Some(Duration::from_secs(seconds));
            socket.set_read_timeout(wait).expect("it may wait");
        };
        wait(15);
        let program = format!(
            "use IO::Socket::INET; use Time::HiRes 'usleep'; \
             my $s = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '{control}', PeerPort => {port}) \
             or die; for my $i (1..{count}) {{ $s->send(sprintf('%08d', $i) . 'x' x ({size} - 8)); \
             usleep(1000) if {count} > 100; }}"
        );
        let script = self.directory().join("lab.sh");
        let mut sender = Command::new("bash")
            .arg(script)
            .args(["enter", node, "perl", "-e", &program])
            .spawn()
            .expect("bash");
        let (mut numbers, mut first, mut last) = (Vec::new(), None, None);
        let mut buffer = [0; 2_000];
        while let Ok(length) = socket.recv(&mut buffer) {
            let now = Instant::now();
            first.get_or_insert_with(|| {
                wait(2);
                now
            });
            last = Some(now);
            let number = std::str::from_utf8(&buffer[..length.min(8)]).expect("digits");
            numbers.push(number.parse().expect("a number"));
        }
        assert!(sender.wait().expect("it ends").success());
        let lasted = last.zip(first).map_or(Duration::ZERO, |(last, first)| last - first);
        Datagrams { numbers, lasted }
    }

    /// How far ahead the clock of Redis is, in seconds.
    fn ahead(&self, node: &str) -> f64 {
        let said = self.ask(node, "time");
        let mut numbers = said.lines().filter_map(|line| line.parse::<f64>().ok());
        let mut number = || numbers.next().unwrap_or(f64::NAN);
        let (seconds, micros) = (number(), number());
        seconds + micros / 1e6 - now()
    }

    /// How much of one processor a node's Redis gets when it is busy.
    fn share_of_a_processor(&self, node: &str) -> f64 {
        let pid = std::fs::read_to_string(self.directory().join(node).join("1-redis.pid"));
        let pid = pid.expect("it runs").trim().to_owned();
        let ticks = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
            let fields: Vec<&str> = stat.rsplit_once(") ").expect("a state").1.split(' ').collect();
            let number = |at: usize| fields[at].parse::<f64>().expect("ticks");
            (number(11) + number(12)) / 100.0
        };
        let (before, began) = (ticks(), Instant::now());
        self.redis(node, &["eval", "local i = 0 while i < 3e7 do i = i + 1 end return i", "0"]);
        (ticks() - before) / began.elapsed().as_secs_f64()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A test that failed leaves no cluster behind.
        let _ = command(&["lab", "down", &self.name]).output();
    }
}

struct Datagrams {
    numbers: Vec<u32>,
    lasted: Duration,
}

impl Datagrams {
    fn unique(&self) -> usize {
        self.numbers.iter().collect::<BTreeSet<_>>().len()
    }

    /// How many come after one that was sent later.
    fn overtaken(&self) -> usize {
        self.numbers.windows(2).filter(|pair| pair[1] < pair[0]).count()
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rashomon"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

fn clock(arguments: &[&str]) -> String {
    good(&[&["clock"], arguments].concat())
}

/// What rashomon prints; it must end well.
fn good(arguments: &[&str]) -> String {
    let output = command(arguments).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}{wrong}");
    said
}
