//! A run that is killed with SIGKILL under a fault of its proxy: everything is whole again within the
//! time that the target file says, and the proxy that the run has started is gone some time after.
//! `RASHOMON_CASES` says how often; every kind of fault in turn.

use std::process::Stdio;
use std::time::Duration;

use rashomon::proxy::Remote;

use crate::redis::{ask, is_there, server};
use crate::{directory, free_ports, rashomon, wait};

/// What the target file says, how much later a rule may end on a machine that is busy, and how long Redis
/// may take to connect anew.
const HEAL_WITHIN: Duration = Duration::from_secs(3);
const LATE: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(12);

/// A fault of a workload, and what `[proxy]` says of partitions.
const FAULTS: [(&str, &str); 8] = [
    (r#"inject = "partition", shape = "primary""#, ""),
    (r#"inject = "packet", delay = "400ms", jitter = "100ms", nodes = "all""#, ""),
    (r#"inject = "partition", shape = "halves""#, "open = \"reset\"\nnew = \"refuse\""),
    (r#"inject = "disconnect", nodes = "all""#, ""),
    (r#"inject = "packet", loss = "30%", nodes = "all""#, ""),
    (r#"inject = "partition", shape = "primary""#, "open = \"half-open\""),
    (r#"inject = "packet", rate = "16kbit", nodes = "all""#, ""),
    (r#"inject = "disconnect", lost = "answers", nodes = "all""#, ""),
];

#[test]
fn a_killed_run_heals_by_itself() {
    let _alone = crate::alone();
    if !is_there() {
        return;
    }
    let cases = std::env::var("RASHOMON_CASES").ok().and_then(|text| text.parse().ok());
    let (mut worst, mut last) = (Duration::ZERO, Duration::ZERO);
    let cluster = Cluster::new();
    for round in 0..cases.unwrap_or(2) {
        let (fault, more) = FAULTS[round % FAULTS.len()];
        let (whole, gone) = cluster.round(round, fault, more);
        println!("{fault} {more}: whole after {whole:?}, no proxy after {gone:?}");
        worst = worst.max(whole);
        last = last.max(gone);
    }
    println!("whole again after at most {worst:?}, no proxy after at most {last:?}");
}

/// A primary and two replicas that replicate through ports of a proxy that is not always there.
struct Cluster {
    base: u16,
    directory: std::path::PathBuf,
    _servers: Vec<crate::Process>,
}

impl Cluster {
    fn new() -> Self {
        let base = free_ports();
        let directory = directory("killed");
        let links = std::fs::read_to_string("workloads/targets/redis-proxy-links.toml");
        let mut links = links.expect("it comes with rashomon");
        for (at, own) in [(6379, 11), (6380, 12), (6381, 13)] {
            links = links.replace(&format!("127.0.0.1:{at}"), &format!("127.0.0.1:{}", base + own));
        }
        for at in [0, 1, 2, 3, 21, 31] {
            links = links
                .replace(&format!("127.0.0.1:{}", 7200 + at), &format!("127.0.0.1:{}", base + at));
        }
        std::fs::write(directory.join("links.toml"), links).expect("a proxy file");
        let servers = vec![
            server(base + 11, None),
            server(base + 12, Some(base + 21)),
            server(base + 13, Some(base + 31)),
        ];
        Self { base, directory, _servers: servers }
    }

    /// A run, killed when its fault is in force; how long until all was whole, and until the proxy of
    /// the run was gone.
    fn round(&self, round: usize, fault: &str, more: &str) -> (Duration, Duration) {
        let base = self.base;
        let target = format!(
            "name = \"redis\"\nadapter = \"redis\"\ndisposable = true\ntimeout = \"1s\"\nfollow = \"primary\"\n\
             heal-within = \"{}s\"\n[nodes]\nn1 = \"127.0.0.1:{}\"\nn2 = \"127.0.0.1:{}\"\n\
             n3 = \"127.0.0.1:{}\"\n[proxy]\nfile = \"links.toml\"\n{more}\n",
            HEAL_WITHIN.as_secs(),
            base + 1,
            base + 2,
            base + 3
        );
        std::fs::write(self.directory.join("target.toml"), target).expect("a target file");
        let out = self.directory.join(format!("run-{round}"));
        let faults = format!("fault=[{{ {fault}, offset = \"300ms\" }}]");
        let log = std::fs::File::create(self.directory.join("log")).expect("a log");
        let mut run = rashomon(&["run", "workloads/set.toml", "--quiet", "--seed", "7"])
            .args(["--time-limit", "60s", "--set", &faults, "--set", "phases.warmup=100ms"])
            .arg("--target")
            .arg(self.directory.join("target.toml"))
            .arg("--out")
            .arg(&out)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let remote = Remote::at(([127, 0, 0, 1], base).into());
        let id = |answer: &serde_json::Value| answer["rules"][0]["id"].as_str().map(str::to_owned);
        let mut rule = None;
        wait("a rule", Duration::from_secs(40), || {
            let ended = run.try_wait().expect("a child");
            let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "the run ended by itself: {log}");
            rule = remote.rules().ok().and_then(|answer| id(&answer));
            rule.is_some()
        });
        // Some operations under the fault, at another time each round; a lease is renewed meanwhile.
        crate::pause(200 + 450 * (round as u64 % 7));
        let rules = remote.rules().unwrap_or_else(|gone| {
            let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            panic!("{gone}: the run ended by itself: {log}")
        });
        let pid = rules["pid"].as_u64().expect("a number");
        run.kill().expect("SIGKILL");
        run.wait().expect("it is dead");
        let begun = std::time::Instant::now();
        let rules = remote.rules().expect("the proxy outlives the run");
        assert!(id(&rules).is_some(), "nobody was left to undo it: {rules}");
        assert_eq!(rules["pid"], pid);

        wait("the end of the rules", HEAL_WITHIN + LATE, || {
            let rules = remote.rules().expect("the proxy outlives its rules");
            rules["rules"].as_array().is_some_and(Vec::is_empty)
        });
        // Whole: what is written through the proxy at the primary is read through it at the replicas.
        let mut count = 0;
        wait("a whole cluster", GRACE, || {
            count += 1;
            let value = format!("whole-{round}-{count}");
            let set = ask(base + 1, &format!("SET whole {value}"));
            let read = |port| {
                let begun = std::time::Instant::now();
                let has = || ask(port, "GET whole").as_deref() == Some(&value);
                while begun.elapsed() < Duration::from_millis(300) {
                    if has() {
                        return true;
                    }
                    crate::pause(10);
                }
                false
            };
            set.as_deref() == Some("+OK") && read(base + 2) && read(base + 3)
        });
        let whole = begun.elapsed();
        let process = std::path::PathBuf::from(format!("/proc/{pid}"));
        wait("the end of the proxy", HEAL_WITHIN * 3 + GRACE, || !process.exists());
        let gone = begun.elapsed();
        // The same is done by hand, also when there is nothing left to do.
        let healed = rashomon(&["heal", &out.display().to_string()]).output().expect("it starts");
        assert!(healed.status.success(), "{}", String::from_utf8_lossy(&healed.stderr));
        (whole, gone)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Remote::at(([127, 0, 0, 1], self.base).into()).stop();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
