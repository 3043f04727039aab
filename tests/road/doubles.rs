//! Docker and Kubernetes, tried against doubles of their command line only: scripts that note what they are
//! asked and answer as the real ones do. What a real engine does with it is not tested here.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Containers are processes that sleep, each in a network namespace of its own.
const DOCKER: &str = r#"#!/bin/sh
cd "$(dirname "$0")/state"
echo "$*" >>../docker.log
for name; do :; done
begin() {
  unshare --net setsid sleep 1000000 >/dev/null 2>&1 </dev/null &
  echo $! >"$name.pid"
  until [ "$(cat /proc/$!/comm)" = sleep ]; do :; done
}
case $1 in
  inspect)
    case $3 in
      *State.Pid*) cat "$name.pid" 2>/dev/null || echo 0 ;;
      *Paused*) [ -e "$name.paused" ] && echo true || echo false ;;
      *NanoCpus*) cat "$name.cpus" 2>/dev/null || echo 0 ;;
      *Memory*) echo 0 ;;
    esac ;;
  top) echo PID; cat "$2.pid" ;;
  kill) kill -9 "$(cat "$name.pid")"; rm "$name.pid" ;;
  start) begin ;;
  pause) touch "$name.paused" ;;
  unpause) rm "$name.paused" ;;
  update) echo "$3" | awk '{ print $1 * 1000000000 }' >"$name.cpus" ;;
esac
"#;

/// Pods are files; what is applied is kept by its name.
const KUBECTL: &str = r#"#!/bin/sh
cd "$(dirname "$0")/state"
echo "$*" >>../kubectl.log
[ "$1" != --namespace ] || shift 2
case "$*" in
  "get pod "*metadata.uid*) cat "$3.uid" ;;
  "get pod "*podIP*) echo "10.1.0.${3#db-}" ;;
  "get pod "*) [ -e "$3.uid" ] ;;
  "delete pod "*) echo "$3-new" >"$3.uid" ;;
  "wait "*) ;;
  "apply "*)
    cat >applied.yaml
    cat applied.yaml >>../applied.log
    cp applied.yaml "policy-$(sed -n 's/.*name: \(.*\) }/\1/p' applied.yaml)" ;;
  "get networkpolicy "*)
    name=$(echo "$*" | sed 's/.*metadata.name=\([^ ]*\).*/\1/')
    [ ! -e "policy-$name" ] || echo "networkpolicy/$name" ;;
  "delete networkpolicy "*) rm -f "policy-$3" ;;
  exec*"^State"*) [ -e "$2.stopped" ] ;;
  exec*"-STOP"*) touch "$2.stopped" ;;
  exec*"-CONT"*) rm -f "$2.stopped" ;;
esac
"#;

struct Double {
    directory: PathBuf,
}

impl Double {
    fn new(program: &str, script: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rashomon-double-{program}-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("state")).expect("a scratch folder");
        let path = directory.join(program);
        fs::write(&path, script).expect("ours");
        let mode = Command::new("chmod").arg("+x").arg(path).status().expect("chmod");
        assert!(mode.success());
        Self { directory }
    }

    fn state(&self, name: &str, text: &str) {
        fs::write(self.directory.join("state").join(name), text).expect("ours");
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.directory.display()));
        command.current_dir(&self.directory);
        command
    }

    /// A run with these faults, one after the other; what it printed.
    fn run(&self, target: &str, faults: &[&str]) -> String {
        fs::write(self.directory.join("target.toml"), target).expect("ours");
        let mut workload =
            "name = \"double\"\n[clients]\ncount = 1\nrate = 20\n[keys]\ncount = 1\n\
                            [[operation]]\ndo = \"write\"\n[expect]\nhold = []\n\
                            [target]\nfile = \"target.toml\"\n"
                .to_owned();
        let _ = writeln!(workload, "[phases]\nmain = \"{}s\"", 8 * faults.len() + 30);
        for (number, fault) in faults.iter().enumerate() {
            let offset = 8 * number;
            let _ =
                writeln!(workload, "[[fault]]\n{fault}\nfor = \"200ms\"\noffset = \"{offset}s\"");
        }
        fs::write(self.directory.join("workload.toml"), workload).expect("ours");
        let output = self
            .command(env!("CARGO_BIN_EXE_rashomon"))
            .args(["run", "workload.toml", "--quiet", "--seed", "1", "--out", "out"])
            .output()
            .expect("the binary starts");
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let history =
            fs::read_to_string(self.directory.join("out/history.jsonl")).unwrap_or_default();
        let verified = history.matches("\"verified\":true").count();
        assert_eq!(verified, faults.len(), "{said}{}", self.log("docker.log"));
        said
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join(name)).unwrap_or_default()
    }

    /// What the run was called, and that nothing of it is left on this machine.
    fn nothing_is_left(&self) {
        let environment = self.log("out/road/environment");
        let run = environment.lines().find_map(|line| line.strip_prefix("run='")).expect("a run");
        let state = Path::new("/run/rashomon").join(run.trim_end_matches('\''));
        let begun = Instant::now();
        while state.exists() {
            assert!(begun.elapsed() < Duration::from_secs(5), "{} is left", state.display());
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        for name in ["a.pid", "b.pid"] {
            let pid = fs::read_to_string(self.directory.join("state").join(name));
            if let Ok(pid) = pid {
                let _ = Command::new("kill").args(["-9", pid.trim()]).status();
            }
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn may() -> bool {
    use std::os::unix::fs::MetadataExt;
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    assert!(root || std::env::var_os("CI").is_none(), "network namespaces need root");
    root
}

#[test]
fn docker_is_asked_to_kill_to_pause_and_to_limit_and_namespaces_are_entered() {
    if !may() {
        return;
    }
    let double = Double::new("docker", DOCKER);
    for name in ["a", "b"] {
        assert!(double.command("docker").args(["start", name]).status().expect("sh").success());
    }
    let target = "name = 'd'\nadapter = 'none'\ndisposable = true\n[nodes]\nn1 = '-'\nn2 = '-'\n[road]\nby = 'docker'\n\
                  [road.hosts]\nn1 = 'a'\nn2 = 'b'\n";
    double.run(
        target,
        &[
            "inject = \"kill\"\nnodes = \"n1\"",
            "inject = \"pause\"\nnodes = \"n2\"",
            "inject = \"throttle\"\nnodes = \"n1\"\ncpu = \"20%\"",
        ],
    );
    let log = double.log("docker.log");
    for asked in [
        "kill --signal=KILL a\n",
        "start a\n",
        "pause b\n",
        "unpause b\n",
        "update --cpus 0.2 a\n",
        "update --cpus 0 a\n",
    ] {
        assert!(log.contains(asked), "{asked} not in\n{log}");
    }
    double.nothing_is_left();
}

#[test]
fn kubectl_is_asked_to_delete_pods_to_apply_policies_and_to_remove_them() {
    if !may() {
        return;
    }
    let double = Double::new("kubectl", KUBECTL);
    for pod in ["db-1", "db-2"] {
        double.state(&format!("{pod}.uid"), &format!("{pod}-old\n"));
    }
    let target = "name = 'k'\nadapter = 'none'\ndisposable = true\n[nodes]\nn1 = '-:6379'\nn2 = '-:6379'\n[road]\n\
                  by = 'kubernetes'\nnamespace = 'stores'\npids = 'pgrep redis'\n\
                  [road.hosts]\nn1 = 'db-1'\nn2 = 'db-2'\n";
    double.run(
        target,
        &[
            "inject = \"partition\"\nshape = \"isolate\"",
            "inject = \"kill\"\nnodes = \"n1\"",
            "inject = \"pause\"\nnodes = \"n2\"",
        ],
    );
    let (log, applied) = (double.log("kubectl.log"), double.log("applied.log"));
    for asked in [
        "--namespace stores label pod db-1 --overwrite rashomon-to-",
        "--namespace stores apply --filename -\n",
        "--namespace stores delete networkpolicy rashomon-",
        "--namespace stores delete pod db-1 --grace-period=0 --force --wait=false\n",
        "--namespace stores wait --for=condition=Ready --timeout=25s pod/db-1\n",
        "exec db-2 -- sh -c kill -STOP $(pgrep redis)\n",
        "exec db-2 -- sh -c kill -CONT $(pgrep redis)\n",
    ] {
        assert!(log.contains(asked), "{asked} not in\n{log}");
    }
    for said in ["kind: NetworkPolicy", "policyTypes: [Ingress]", "except: [10.1.0.2/32]"] {
        assert!(applied.contains(said), "{said} not in\n{applied}");
    }
    let policies = fs::read_dir(double.directory.join("state")).expect("ours").flatten();
    assert!(
        !policies.into_iter().any(|one| one.file_name().to_string_lossy().starts_with("policy-"))
    );
    double.nothing_is_left();
}

#[test]
fn a_target_file_of_containers_is_healed_by_what_this_machine_has_noted() {
    if !may() {
        return;
    }
    let double = Double::new("docker", DOCKER);
    let target = "name = 'd'\nadapter = 'none'\ndisposable = true\n[nodes]\nn1 = '-'\nn2 = '-'\n[road]\nby = 'docker'\n\
                  [road.hosts]\nn1 = 'a'\nn2 = 'b'\n";
    for name in ["a", "b"] {
        assert!(double.command("docker").args(["start", name]).status().expect("sh").success());
    }
    let workload = "name = \"double\"\n[clients]\ncount = 1\nrate = 20\n[keys]\ncount = 1\n[[operation]]\ndo = \"write\"\n\
                    [phases]\nmain = \"60s\"\n[[fault]]\ninject = \"pause\"\nnodes = \"n2\"\n[expect]\nhold = []\n\
                    [target]\nfile = \"target.toml\"\n";
    fs::write(double.directory.join("target.toml"), target).expect("ours");
    fs::write(double.directory.join("workload.toml"), workload).expect("ours");
    let mut run = double
        .command(env!("CARGO_BIN_EXE_rashomon"))
        .args(["run", "workload.toml", "--quiet", "--seed", "1", "--out", "out"])
        .spawn()
        .expect("the binary starts");
    let begun = Instant::now();
    while !double.log("docker.log").contains("pause b\n")
        && begun.elapsed() < Duration::from_secs(30)
    {
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_millis(500));
    run.kill().expect("SIGKILL");
    run.wait().expect("it is dead");
    let heal = || {
        let mut heal = double.command(env!("CARGO_BIN_EXE_rashomon"));
        let output = heal.args(["heal", "target.toml"]).output().expect("the binary starts");
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
    };
    assert_eq!(heal(), "undid pause on n2\n");
    assert!(double.log("docker.log").contains("unpause b\n"));
    assert_eq!(heal(), "nothing to undo\n");
    double.nothing_is_left();
}
