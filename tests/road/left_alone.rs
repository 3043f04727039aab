//! Nobody is left to mend the nodes: they do it by themselves, in time, and nothing of it stays.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use crate::site::{FAULTS, HEAL_WITHIN, Site};

/// How long it is looked for traces. Looking takes longer than healing on a busy machine; when a node was
/// whole, it says itself.
const LOOKING: Duration = Duration::from_secs(30);

/// How many runs are killed; all kinds of fault take turns. `RASHOMON_CASES` asks for more.
fn cases() -> usize {
    std::env::var("RASHOMON_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// The instants differ: some runs are killed while the fault is being done, some before and some after the
/// first renewal.
#[test]
fn nodes_heal_when_rashomon_is_killed() {
    let Some(site) = Site::hasty("killed") else { return };
    site.at("n3", "printf aaaaaaaa >\"$data/marker\"");
    let (mut slowest, mut seen) = (Duration::ZERO, 0);
    for case in 0..cases() {
        let (name, fault) = FAULTS[(case * 3) % FAULTS.len()];
        let after = Duration::from_millis([900, 60, 2500, 250, 1500, 400, 0][case % 7]);
        let mut run = site.run(&format!("killed-{case}"), fault);
        run.begins();
        sleep(after);
        run.signal("-KILL");
        let killed = SystemTime::now();
        run.ends();
        let was = site.left();
        site.whole_within(LOOKING);
        let took = site.healed_after(killed);
        assert!(took <= HEAL_WITHIN, "{name}: {took:?}");
        slowest = slowest.max(took);
        let broken = if was.is_empty() { "was whole" } else { "was broken" };
        println!(
            "{name:10} killed {after:.1?} after its beginning: {broken}, whole {took:.1?} later"
        );
        seen += usize::from(!was.is_empty());
        // What the journal still names is mended once more without harm.
        assert_eq!(run.heal().0, Some(0), "{}", run.heal().1);
        let left = site.left();
        assert!(left.is_empty(), "{left}");
    }
    assert!(2 * seen >= cases(), "only {seen} faults were seen");
    println!("slowest: {slowest:.1?} of {HEAL_WITHIN:?}");
}

#[test]
fn nodes_heal_when_the_connection_is_cut_and_the_run_says_so() {
    let Some(site) = Site::hasty("cut-off") else { return };
    let mut run = site.run("cut-off", FAULTS[0].1);
    run.begins();
    sleep(Duration::from_millis(1500));
    assert!(site.left().contains("chain"), "{}", site.left());
    for node in ["n1", "n2", "n3"] {
        // The connections too.
        site.at(node, "for pid in $(pgrep -x sshd); do \
            [ \"$(readlink /proc/$pid/ns/net)\" = \"$(readlink /proc/self/ns/net)\" ] && kill -9 $pid; done");
    }
    let cut = SystemTime::now();
    site.whole_within(LOOKING);
    let took = site.healed_after(cut);
    assert!(took <= HEAL_WITHIN, "{took:?}");
    println!("whole {took:.1?} after the connections were cut");
    // Nobody can tell rashomon that they are whole: that outweighs that they healed under the run.
    assert_eq!(run.ends(), Some(5), "{}", run.said());
    let said = run.said();
    assert!(
        said.contains("cannot undo F1 (partition)") && said.contains("mend it with: "),
        "{said}"
    );
    for node in ["n1", "n2", "n3"] {
        site.sshd(node);
    }
    let (code, said) = run.heal();
    assert_eq!((code, said.as_str()), (Some(0), "healed F1 (partition)"));
    assert!(site.left().is_empty());
}

/// Renewals fail while the road is closed, and the end of the run finds it open again.
#[test]
fn a_node_that_healed_itself_ends_the_run() {
    let Some(site) = Site::hasty("lapsed") else { return };
    let mut run = site.run("lapsed", FAULTS[2].1);
    run.begins();
    sleep(Duration::from_millis(1500));
    assert!(site.left().contains("stopped"));
    let script = run.out.join("road/road.sh");
    let text = fs::read_to_string(&script).expect("it is there");
    let deaf = text.replace("renew) on_all", "renew) exit 1; on_all");
    assert_ne!(text, deaf);
    // Put in its place as a whole: somebody may be reading it.
    fs::write(run.out.join("deaf"), deaf).expect("ours");
    fs::rename(run.out.join("deaf"), &script).expect("ours");
    assert_eq!(run.ends(), Some(4), "{}", run.said());
    let said = run.said();
    assert!(
        said.contains("may have healed by itself under a fault: not renewed for 5000 ms"),
        "{said}"
    );
    site.whole_within(Duration::from_secs(10));
}
