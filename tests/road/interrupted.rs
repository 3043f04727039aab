//! Ctrl-C, once and twice, and a node that cannot be mended.

use std::thread::sleep;
use std::time::Duration;

use rashomon::history::read;
use rashomon::model::{Nanos, Value};

use crate::site::{FAULTS, Site};

#[test]
fn an_interrupt_heals_finishes_the_history_and_checks() {
    let Some(site) = Site::new("polite") else { return };
    let mut run = site.run("polite", FAULTS[1].1);
    run.begins();
    sleep(Duration::from_millis(1500));
    run.signal("-INT");
    assert_eq!(run.ends(), Some(130), "{}", run.said());
    site.whole_within(Duration::from_secs(10));
    let history = read(&run.out.join("history.jsonl"), None).expect("the history");
    let fault = &history.faults()[0];
    assert!(fault.end < Nanos::FOREVER, "its end is recorded");
    let Value::Map(entries) = &fault.value else { panic!("{:?}", fault.value) };
    assert!(entries.contains(&(Value::text("verified"), Value::Bool(true))), "{entries:?}");
    assert!(run.out.join("results.json").exists(), "what there is was checked");
    assert_eq!(run.heal().1, "nothing is broken");
}

#[test]
fn a_second_interrupt_heals_and_quits() {
    let Some(site) = Site::new("hasty") else { return };
    let mut run = site.run("hasty", FAULTS[2].1);
    run.begins();
    // A fault that is still being done would be done after it was undone.
    while site.left().matches("stopped").count() < 2 {
        sleep(Duration::from_millis(100));
    }
    sleep(Duration::from_millis(1500));
    run.signal("-INT");
    run.signal("-INT");
    sleep(Duration::from_millis(50));
    let _ = std::process::Command::new("kill").args(["-INT", &run.child.id().to_string()]).status();
    assert_eq!(run.ends(), Some(130), "{}", run.said());
    site.whole_within(Duration::from_secs(10));
}

#[test]
fn a_node_that_cannot_be_mended_is_named_with_the_command_that_mends_it() {
    let Some(site) = Site::new("stubborn") else { return };
    let conf = site.directory.join("n2/redis.conf");
    let away = site.directory.join("n2/away.conf");
    let mut run = site.run("stubborn", "inject = \"kill\"\nnodes = \"n2\"");
    run.begins();
    sleep(Duration::from_millis(1500));
    std::fs::rename(&conf, &away).expect("it is there");
    run.signal("-INT");
    assert_eq!(run.ends(), Some(5), "{}", run.said());
    let said = run.said();
    assert!(said.contains("cannot undo F1 (kill) on node n2"), "{said}");
    assert!(said.contains("n2: the server does not start again"), "{said}");
    std::fs::rename(&away, &conf).expect("ours");
    let typed = said.split_once("mend it with: ").expect("a command").1;
    let typed = typed.lines().next().expect("a line");
    let status = std::process::Command::new("sh").arg("-c").arg(typed).status().expect("sh");
    assert!(status.success(), "{typed}");
    assert_eq!(run.heal().0, Some(0));
    site.whole_within(Duration::from_secs(10));
}

/// Nobody knows where the run was: what it left lies on the nodes.
#[test]
fn a_target_file_is_healed_by_what_its_nodes_have_noted() {
    let Some(site) = Site::new("forgotten") else { return };
    let mut run = site.run("forgotten", FAULTS[0].1);
    run.begins();
    sleep(Duration::from_millis(1500));
    run.signal("-KILL");
    run.ends();
    // Another store on the same machines is not ours.
    let path = site.directory.join("target.toml");
    let own = std::fs::read_to_string(&path).expect("ours");
    std::fs::write(&path, own.replace(":6379", ":6380")).expect("ours");
    assert_eq!(site.heal(), (Some(0), "nothing to undo".to_owned()));
    assert!(site.left().contains("chain"), "{}", site.left());
    std::fs::write(&path, own).expect("ours");

    site.at("n3", "kill $(cat /run/sshd.pid)");
    let (code, said) = site.heal();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("undid partition on n1\n"), "{said}");
    let unreached = "cannot undo what runs have left on node n3: ";
    assert!(said.contains(unreached) && said.contains("; mend it with: rashomon heal '"), "{said}");
    site.sshd("n3");
    let (code, said) = site.heal();
    assert_eq!((code, said.as_str()), (Some(0), "undid partition on n3"));
    site.whole_within(Duration::from_secs(10));
    assert_eq!(site.heal(), (Some(0), "nothing to undo".to_owned()));
}
