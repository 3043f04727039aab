//! Faults that are asked for and renewed. Here a node is broken as long as a file says so.

#![expect(clippy::disallowed_methods, reason = "what is not renewed in time heals itself")]

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rashomon::model::{Action, Fault, FaultId, Invocation, Nanos, NodeFault, Op, Process, Value};
use rashomon::target::{FAULT_JOURNAL, Target, TargetConfig, TargetError, heal, open};

use crate::act::act;
use crate::directory;
use crate::server::{Reply, Server};

const FAULTS: &str = r#"
heal-within = "3s"
[renew]
command = 'test ! -e deaf && echo "$within_s ${nodes-$node}" >> renewed'
[fault.kill]
inject = 'echo "$within_s" > "$node.killed"'
undo = 'test -e stuck || rm -f "$node.killed"'
probe = 'test -e "$node.killed"'
[fault.pause]
inject = 'true'
undo = 'true'
probe = 'test -e "$node.paused"'
[fault.quiet]
inject = 'true'
undo = 'true'
[fault.lost]
inject = 'touch lost'
undo = 'true'
probe = 'test -e road || exit 255'
"#;

struct Site {
    directory: PathBuf,
    text: String,
    _server: Server,
}

impl Site {
    fn new(name: &str) -> Self {
        let directory = directory(name);
        let server = Server::start(|_| Reply::Answer(200, String::new()));
        let faults = FAULTS.replace("= '", &format!("= 'cd \"{}\" && ", directory.display()));
        let (before, after) = faults.split_once("[renew]").expect("it is there");
        let text = format!(
            "name = 'files'\nadapter = 'http'\n{before}[nodes]\nn1 = 'http://{0}'\n\
             n2 = 'http://{0}'\n[renew]{after}",
            server.address
        );
        Self { directory, text, _server: server }
    }

    fn open(&self) -> Box<dyn Target> {
        let config =
            TargetConfig::parse("files.toml", &self.text).unwrap_or_else(|e| panic!("{e}"));
        open(&config, Some(&self.directory)).expect("the server is there")
    }

    fn touch(&self, name: &str) {
        std::fs::write(self.directory.join(name), "").expect("ours");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.join(name)).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn begin(id: u32, what: NodeFault) -> Action {
    Action::Begin(FaultId(id), at_n1(what))
}

fn end(id: u32, what: NodeFault) -> Action {
    Action::End(FaultId(id), at_n1(what))
}

fn at_n1(what: NodeFault) -> Fault {
    what.at(vec![Arc::from("n1")])
}

fn named(name: &str) -> NodeFault {
    NodeFault::Command(Arc::from(name))
}

#[test]
fn a_fault_is_only_in_force_when_its_probe_says_so() {
    let site = Site::new("probed");
    let mut target = site.open();
    act(&mut *target, &begin(1, NodeFault::Kill)).expect("it is in force");
    assert_eq!(site.read("n1.killed"), "3\n", "how long the node waits");
    assert_eq!(target.verified(FaultId(1)), Some(true));
    act(&mut *target, &end(1, NodeFault::Kill)).expect("undone");
    act(&mut *target, &begin(2, named("quiet"))).expect("nobody asks");
    assert_eq!(target.verified(FaultId(2)), Some(false));
    let Err(TargetError::Unusable(why)) = act(&mut *target, &begin(3, NodeFault::Pause)) else {
        panic!("it is not in force")
    };
    assert!(why.starts_with("F3 (pause) is not in force on node n1: exit status: 1"), "{why}");
    assert!(why.contains("it was asked with: fault='3' "), "{why}");
    target.close().expect("healed");
}

#[test]
fn an_undo_after_which_the_fault_is_there_is_no_undo() {
    let site = Site::new("stuck");
    let mut target = site.open();
    act(&mut *target, &begin(1, NodeFault::Kill)).expect("it is in force");
    site.touch("stuck");
    let Err(TargetError::Unhealed(why)) = target.close() else { panic!("it is still there") };
    assert!(why.starts_with("F1 (kill) on node n1: it is still in force after its undo"), "{why}");
    assert!(why.contains("mend it with: fault='1' "), "{why}");
    let journal = site.directory.join(FAULT_JOURNAL);
    assert!(matches!(heal(&journal), Err(TargetError::Unhealed(_))));
    std::fs::remove_file(site.directory.join("stuck")).expect("ours");
    assert_eq!(heal(&journal).expect("it can be undone").len(), 1);
}

#[test]
fn a_fault_that_cannot_be_asked_for_is_not_believed_to_be_gone() {
    let site = Site::new("lost");
    site.touch("road");
    let mut target = site.open();
    act(&mut *target, &begin(1, named("lost"))).expect("it is in force");
    std::fs::remove_file(site.directory.join("road")).expect("ours");
    let Err(TargetError::Unhealed(why)) = target.close() else { panic!("nobody knows") };
    assert!(why.contains("whether it is gone cannot be asked: exit status: 255"), "{why}");
}

#[test]
fn broken_nodes_are_renewed_and_no_others() {
    let site = Site::new("renewed");
    let mut target = site.open();
    sleep(Duration::from_millis(1500));
    assert_eq!(site.read("renewed"), "", "nothing is broken");
    act(&mut *target, &begin(1, NodeFault::Kill)).expect("in force");
    sleep(Duration::from_millis(2500));
    assert!(site.read("renewed").starts_with("3 n1\n3 n1\n"), "{}", site.read("renewed"));
    assert!(!site.read("renewed").contains("n2"));
    target.close().expect("healed, and nothing to complain of");
    let renewed = site.read("renewed");
    sleep(Duration::from_millis(1500));
    assert_eq!(site.read("renewed"), renewed, "a closed target renews nothing");
}

#[test]
fn a_run_ends_when_a_node_may_have_healed_itself() {
    let site = Site::new("lapsed");
    let mut target = site.open();
    act(&mut *target, &begin(1, NodeFault::Kill)).expect("in force");
    site.touch("deaf");
    let begun = Instant::now();
    let ask = Action::Invoke(Invocation {
        process: Process(0),
        session: 0,
        node: None,
        is_final: false,
        waited: Nanos(0),
        op: Op::read(Value::text("x")),
    });
    let why = loop {
        match target.begin(&ask) {
            Ok(()) => assert!(begun.elapsed() < Duration::from_secs(5), "it goes on and on"),
            Err(why) => break why.to_string(),
        }
        sleep(Duration::from_millis(100));
    };
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
    let said = "n1 may have healed by itself under a fault: not renewed for 3000 ms: cannot renew n1: exit status: 1";
    assert!(why.starts_with(said), "{why}");
    // Everything is undone, and the run has failed all the same.
    let Err(TargetError::Unusable(why)) = target.close() else { panic!("it lapsed") };
    assert!(why.contains("may have healed by itself"), "{why}");
    assert_eq!(site.read("n1.killed"), "");
    assert_eq!(heal(&site.directory.join(FAULT_JOURNAL)).expect("nothing is left"), []);
}

#[test]
fn a_road_that_contradicts_itself_is_refused() {
    let good = "name = 'r'\nadapter = 'redis'\n[nodes]\nn1 = 'db1:6379'\n[road]\nby = 'ssh'\nservice = 'redis'\n";
    let config = TargetConfig::parse("road.toml", good).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.faults().count(), 0, "the road furnishes them");
    for (road, expected) in [
        ("by = 'ssh'", "expected `service`, or `start` and `pids`"),
        ("by = 'ssh'\nservice = 'redis'\npids = 'pidof redis'", "leave out `start` and `pids`"),
        ("by = 'ssh'\nservice = 'redis'\nlazyfs = '/fifo'", "expected `data`"),
        ("by = 'ssh'\nservice = 'redis'\nhosts = { n2 = 'db2' }", "unknown node `n2`"),
        ("by = 'docker'\nsudo = true", "are for by = \"ssh\""),
        ("by = 'docker'\npids = 'true'", "docker starts and finds its containers"),
        ("by = 'kubernetes'\nlazyfs = '/fifo'", "are not for pods"),
        ("by = 'ssh'\nservice = 'redis'\nchaos-mesh = true", "are for by = \"kubernetes\""),
    ] {
        let text = format!("{}[road]\n{road}\n", good.split("[road]").next().expect("a beginning"));
        let error = TargetConfig::parse("road.toml", &text).expect_err(road).to_string();
        assert!(error.starts_with("road.toml:5:") && error.contains(expected), "{road}: {error}");
    }
    let text = format!("heal-within = '1s'\n{good}");
    let error = TargetConfig::parse("road.toml", &text).expect_err("too short").to_string();
    assert!(error.contains("expected at least 3s"), "{error}");
}
