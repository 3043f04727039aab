//! Faults by commands, and the journal that gets them undone whatever happens. Here a node is broken as
//! long as a file says so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rashomon::model::{Action, Cut, Fault, FaultId, NodeFault, Skew};
use rashomon::run::{self, OpenError};
use rashomon::target::{
    FAULT_JOURNAL, FaultJournal, Healed, Outstanding, ShellCommand, Target, TargetConfig,
    TargetError, heal, open,
};

use crate::act::act;
use crate::directory;
use crate::server::{Reply, Server};

/// Each `inject` first looks whether the journal has its fault already.
const FAULTS: &str = r#"
[fault.kill]
inject = 'grep -q "\"fault\":\"kill\"" faults.jsonl && touch "$node.killed"'
undo = 'echo "$node" >> undone; rm -f "$node.killed"'
[fault.partition]
inject = 'touch "$peer-$node.cut"'
undo = 'rm -f "$peer-$node.cut"'
[fault.skew]
inject = 'echo "$offset_ms" > "$node.skewed"'
undo = 'rm -f "$node.skewed"'
[fault.stubborn]
inject = 'touch "$node.stubborn"'
undo = 'test "$node" = n1 || { echo "will not" >&2; exit 3; }; rm -f "$node.stubborn"'
[fault.slow]
inject = 'sh -c "sleep 0.4; touch late.slow"'
undo = 'rm -f late.slow'
timeout = "100ms"
[fault.half]
inject = 'touch "$node.half"; test "$node" = n1'
undo = 'rm -f "$node.half"'
"#;

struct Site {
    directory: PathBuf,
    text: String,
    config: TargetConfig,
    _server: Server,
}

impl Site {
    fn new(name: &str) -> Self {
        let directory = directory(name);
        let server = Server::start(|_| Reply::Answer(200, String::new()));
        let faults = FAULTS.replace("= '", &format!("= 'cd \"{}\" && ", directory.display()));
        let text = format!(
            "name = 'files'\nadapter = 'http'\n[nodes]\nn1 = 'http://{0}'\nn2 = 'http://{0}'\n{faults}",
            server.address
        );
        let config = TargetConfig::parse("files.toml", &text).expect("a correct target file");
        Self { directory, text, config, _server: server }
    }

    fn open(&self) -> Box<dyn Target> {
        open(&self.config, Some(&self.directory)).expect("the server is there")
    }

    fn journal(&self) -> PathBuf {
        self.directory.join(FAULT_JOURNAL)
    }

    /// The files that say what is broken, and the line-by-line record of undoing.
    fn broken(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.directory).expect("ours").flatten();
        let mut names: Vec<String> = files
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .filter(|name| name != FAULT_JOURNAL && name != "undone")
            .collect();
        names.sort();
        names
    }

    fn outstanding(&self) -> usize {
        outstanding(&self.journal())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn outstanding(journal: &Path) -> usize {
    FaultJournal::open(journal).expect("a journal").outstanding().count()
}

fn nodes() -> Vec<Arc<str>> {
    vec![Arc::from("n1"), Arc::from("n2")]
}

fn command(name: &str) -> Fault {
    NodeFault::Command(Arc::from(name)).at(nodes())
}

#[test]
fn a_fault_is_journaled_injected_and_undone() {
    let site = Site::new("undone");
    let mut target = site.open();
    let kill = NodeFault::Kill.at(nodes());
    act(&mut *target, &Action::Begin(FaultId(1), kill.clone())).expect("injected");
    assert_eq!(site.broken(), ["n1.killed", "n2.killed"]);
    assert_eq!(site.outstanding(), 1);
    act(&mut *target, &Action::End(FaultId(1), kill.clone())).expect("undone");
    assert!(site.broken().is_empty());
    assert_eq!(site.outstanding(), 0);
    // Once more is harmless, and runs nothing.
    act(&mut *target, &Action::End(FaultId(1), kill)).expect("undone already");
    let undone = std::fs::read_to_string(site.directory.join("undone")).expect("written");
    assert_eq!(undone, "n2\nn1\n");
}

#[test]
fn cuts_and_skews_tell_their_commands_what_they_need() {
    let site = Site::new("shapes");
    let mut target = site.open();
    let (from, to) = (Arc::from("n1"), Arc::from("n2"));
    let cuts = vec![Cut { from, to }];
    let partition = Fault::Partition { shape: Arc::from("one-way"), cuts, channel: None };
    let skew = skew(-250).at(nodes());
    act(&mut *target, &Action::Begin(FaultId(1), partition)).expect("injected");
    act(&mut *target, &Action::Begin(FaultId(2), skew)).expect("injected");
    assert_eq!(site.broken(), ["n1-n2.cut", "n1.skewed", "n2.skewed"]);
    let offset = std::fs::read_to_string(site.directory.join("n2.skewed")).expect("written");
    assert_eq!(offset, "-250\n");
    target.close().expect("healed");
    assert!(site.broken().is_empty());
}

#[test]
fn a_partition_may_be_cut_at_once() {
    let site = Site::new("at-once");
    let text = site
        .text
        .replace("[fault.partition]", "[fault.partition]\nat-once = true")
        .replace("touch \"$peer-$node.cut\"", "echo \"$fault: $cuts\" >> one.cut")
        .replace("rm -f \"$peer-$node.cut\"", "rm -f one.cut");
    let config = TargetConfig::parse("files.toml", &text).expect("a correct target file");
    let mut target = open(&config, Some(&site.directory)).expect("the server is there");
    let cut = |from, to| Cut { from: Arc::from(from), to: Arc::from(to) };
    let cuts = vec![cut("n1", "n2"), cut("n2", "n1")];
    let partition = Fault::Partition { shape: Arc::from("halves"), cuts, channel: None };
    act(&mut *target, &Action::Begin(FaultId(3), partition.clone())).expect("injected");
    let done = std::fs::read_to_string(site.directory.join("one.cut")).expect("it was cut");
    assert_eq!(done, "3: n1>n2 n2>n1\n");
    act(&mut *target, &Action::End(FaultId(3), partition)).expect("undone");
    assert!(site.broken().is_empty());
    target.close().expect("healed");
}

#[test]
fn dropping_or_panicking_heals() {
    let site = Site::new("dropped");
    let mut target = site.open();
    act(&mut *target, &Action::Begin(FaultId(1), NodeFault::Kill.at(nodes()))).expect("injected");
    drop(target);
    assert!(site.broken().is_empty());

    let mut target = site.open();
    act(&mut *target, &Action::Begin(FaultId(1), NodeFault::Kill.at(nodes()))).expect("injected");
    assert_eq!(site.broken().len(), 2);
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _target = target;
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert!(site.broken().is_empty());
    assert_eq!(site.outstanding(), 0);
}

#[test]
fn what_a_killed_run_left_is_healed_from_its_journal() {
    let site = Site::new("crashed");
    let mut target = site.open();
    act(&mut *target, &Action::Begin(FaultId(1), NodeFault::Kill.at(nodes()))).expect("injected");
    act(&mut *target, &Action::Begin(FaultId(2), skew(1).at(nodes()))).expect("ok");
    // As after kill -9: nobody closes it.
    std::mem::forget(target);
    assert_eq!(site.broken().len(), 4);
    // The next run does not cover up what it finds.
    let refused = open(&site.config, Some(&site.directory)).err().expect("a fault is outstanding");
    assert!(refused.to_string().contains("heal that run first"), "{refused}");
    // A line torn by the crash was not synced, so what it announces was not done.
    let mut text = std::fs::read_to_string(site.journal()).expect("there");
    text.push_str("{\"begin\":3,\"fau");
    std::fs::write(site.journal(), text).expect("ours");

    let healed = heal(&site.journal()).expect("it can be undone");
    let faults: Vec<_> = healed.iter().map(|fault| (fault.id.0, &*fault.fault)).collect();
    assert_eq!(faults, [(2, "skew"), (1, "kill")]);
    assert!(site.broken().is_empty());
    assert_eq!(heal(&site.journal()).expect("idempotent"), []);
    drop(site.open());
}

#[test]
fn what_was_set_up_is_torn_down_last_also_after_a_crash() {
    let site = Site::new("set-up");
    let with = |hook: &str| {
        let text = format!("{hook}\n{}", site.text);
        let mut config = TargetConfig::parse("files.toml", &text).expect("a correct target file");
        config.environment.insert("DIR".to_owned(), site.directory.display().to_string());
        config
    };
    let hooks = "setup = { command = 'touch \"$DIR/$node.up\"' }\n\
                 teardown = { command = 'rm \"$DIR/$node.up\"; echo down >> \"$DIR/undone\"' }";
    for crash in [false, true] {
        let _ = std::fs::remove_file(site.directory.join("undone"));
        let mut target = open(&with(hooks), Some(&site.directory)).expect("set up");
        act(&mut *target, &Action::Begin(FaultId(1), NodeFault::Kill.at(nodes())))
            .expect("injected");
        assert_eq!(site.broken(), ["n1.killed", "n1.up", "n2.killed", "n2.up"]);
        if crash {
            std::mem::forget(target);
            let healed = heal(&site.journal()).expect("it can be undone");
            let said: Vec<_> = healed.iter().map(ToString::to_string).collect();
            assert_eq!(said, ["F1 (kill)", "the setup"]);
        } else {
            target.close().expect("healed");
        }
        assert!(site.broken().is_empty());
        let undone = std::fs::read_to_string(site.directory.join("undone")).expect("written");
        assert_eq!(undone, "n2\nn1\ndown\ndown\n");
    }
}

#[test]
fn an_undo_that_fails_names_node_and_command_and_stops_no_other() {
    let site = Site::new("stubborn");
    let mut target = site.open();
    act(&mut *target, &Action::Begin(FaultId(7), command("stubborn"))).expect("injected");
    act(&mut *target, &Action::Begin(FaultId(8), NodeFault::Kill.at(nodes()))).expect("injected");
    let Err(TargetError::Unhealed(why)) = target.close() else { panic!("n2 will not heal") };
    for part in [
        "cannot undo F7 (stubborn) on node n2: exit status: 3: will not; mend it with: ",
        "node='n2' ",
        "sh -c 'cd \"",
    ] {
        assert!(why.contains(part), "{why}");
    }
    assert!(!why.contains("node n1"), "{why}");
    assert_eq!(site.broken(), ["n2.stubborn"]);
    assert_eq!(site.outstanding(), 1);
    assert!(matches!(heal(&site.journal()), Err(TargetError::Unhealed(_))));
    // The command of the message, with the cause removed, is one that a shell understands.
    let typed = why.split_once("mend it with: ").expect("a command").1.replace("= n1", "= n2");
    let status = std::process::Command::new("sh").arg("-c").arg(typed).status().expect("sh");
    assert!(status.success());
    assert!(site.broken().is_empty());
}

#[test]
fn an_injection_that_fails_is_told_and_undone() {
    let site = Site::new("half");
    let mut target = site.open();
    let Err(TargetError::Unusable(why)) =
        act(&mut *target, &Action::Begin(FaultId(1), command("half")))
    else {
        panic!("n2 cannot be broken")
    };
    assert!(why.starts_with("cannot inject half on node n2: exit status: 1"), "{why}");
    let slow =
        act(&mut *target, &Action::Begin(FaultId(2), command("slow"))).expect_err("too slow");
    assert!(slow.to_string().contains("took more than 100 ms"), "{slow}");
    let unknown =
        act(&mut *target, &Action::Begin(FaultId(3), command("earthquake"))).expect_err("none");
    assert!(unknown.to_string().contains("no [fault.earthquake] in the target file"), "{unknown}");
    assert_eq!(site.broken(), ["n1.half", "n2.half"]);
    target.close().expect("healed");
    // What took too long does not go on behind our back.
    std::thread::park_timeout(std::time::Duration::from_millis(600));
    assert!(site.broken().is_empty());
}

#[test]
fn a_journal_that_cannot_be_read_is_refused() {
    let directory = directory("journal");
    let path = directory.join(FAULT_JOURNAL);
    assert!(matches!(heal(&path), Err(TargetError::Unusable(_))));
    let command = ShellCommand {
        node: "n1".to_owned(),
        command: "true".to_owned(),
        variables: [("a".to_owned(), "it's".to_owned())].into(),
        timeout_ms: 1_000,
    };
    assert_eq!(command.typed(), r"a='it'\''s' sh -c 'true'");
    let mut journal = FaultJournal::create(&path).expect("new");
    for (id, fault) in [(1, "kill"), (2, "pause")] {
        let begun = Outstanding::unprobed(FaultId(id), fault, vec![command.clone()]);
        journal.begin(begun).expect("written");
    }
    journal.done(FaultId(1)).expect("written");
    drop(journal);
    assert_eq!(outstanding(&path), 1);
    // Every prefix is a state a crash may leave: what was begun in it is outstanding unless done.
    let text = std::fs::read_to_string(&path).expect("there");
    let lines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    for cut in 0..=text.len() {
        std::fs::write(&path, &text[..cut]).expect("ours");
        let expected = [0, 1, 2, 1][lines.iter().filter(|end| **end <= cut).count()];
        assert_eq!(outstanding(&path), expected, "cut at {cut}");
    }
    // A line in the middle that cannot be read may hide a fault.
    std::fs::write(&path, format!("{{\"begin\":9}}\n{text}")).expect("ours");
    let Err(TargetError::Unusable(why)) = heal(&path) else { panic!("it must not be passed over") };
    assert!(why.contains("faults.jsonl:1: expected an entry of a fault journal"), "{why}");
    std::fs::remove_dir_all(directory).expect("ours");
}

fn skew(offset_ms: i64) -> NodeFault {
    NodeFault::Skew(Skew { offset_ms, ..Skew::default() })
}

#[test]
fn without_a_journal_every_undo_of_a_target_file_is_run_on_every_node() {
    let site = Site::new("target-file");
    let path = site.directory.join("files.toml");
    // A probe that still says so is believed; an undo that tells one skew from another cannot be run.
    let text = site
        .text
        .replace("[fault.partition]", "probe = 'test -e \"$DIR/$node.killed\"'\n[fault.partition]")
        .replace("rm -f \"$node.skewed\"", "rm -f \"$node.skewed$offset_ms\"")
        + &format!("[environment]\nDIR = '{}'\n", site.directory.display());
    let broken = ["n1.killed", "n2.killed", "n2-n1.cut", "n2.half", "late.slow"];
    for file in broken {
        std::fs::write(site.directory.join(file), "").expect("ours");
    }
    let whole = |names: Vec<String>| names.into_iter().filter(|name| name != "files.toml").count();
    std::fs::write(&path, &text).expect("ours");
    let Err(OpenError::Input(why)) = run::heal(&path, false) else {
        panic!("it is not disposable")
    };
    assert!(why.contains("n1 at http://") && why.contains("--i-own-this-cluster"), "{why}");
    assert_eq!(whole(site.broken()), broken.len());

    let healed = run::heal(&path, true).expect("a correct target file");
    assert_eq!(
        healed.undone,
        ["half", "kill", "partition", "slow"].map(|name| format!("undid {name} on n1, n2"))
    );
    let [skew, stubborn] = &healed.left[..] else { panic!("{:?}", healed.left) };
    assert!(skew.starts_with("cannot undo skew: its command needs $offset_ms"), "{skew}");
    let expected = "cannot undo stubborn on node n2: exit status: 3: will not; mend it with: DIR=";
    assert!(stubborn.starts_with(expected), "{stubborn}");
    assert_eq!(whole(site.broken()), 0);

    // Once more does no harm, and a file that says so needs no word.
    std::fs::write(&path, format!("disposable = true\n{text}")).expect("ours");
    assert_eq!(run::heal(&path, false).expect("disposable"), healed);
    // What is still in force after its undo is not healed.
    let deaf = text.replace("rm -f \"$node.killed\"", "touch \"$node.killed\"");
    std::fs::write(&path, deaf).expect("ours");
    let left = run::heal(&path, true).expect("a correct target file").left;
    assert!(
        left[0].starts_with("kill on node n1: it is still in force after its undo"),
        "{left:?}"
    );
    let plain = text.split("[fault.").next().expect("the beginning");
    std::fs::write(&path, plain).expect("ours");
    assert_eq!(run::heal(&path, false).expect("nothing is done"), Healed::default());
}
