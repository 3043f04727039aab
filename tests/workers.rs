//! Several load machines drive one target: their histories make one, in which no order rests on clocks.

use std::fmt::Write as _;
use std::path::Path;

use rashomon::check::{Expected, Limits, Property, Status, assess};
use rashomon::history::{Format, History, MergeError, merge, read_bytes, write_history};
use rashomon::model::{Nanos, Random};
use rashomon::run::Trial;
use rashomon::workload::Workload;
use serde_json::{Value, json};

const MILLISECOND: i64 = 1_000_000;

/// A run of `workloads/register.toml` on a store.
fn recorded(store: &str, seed: u64) -> History {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/register.toml");
    let text = std::fs::read_to_string(path).expect("a workload");
    let cut = "[{ inject = \"partition\", shape = \"primary\", offset = \"1s\", for = \"2s\" }]";
    let set =
        [("target.store", store), ("phases.main", "4s"), ("clients.rate", "200"), ("fault", cut)];
    let set = set.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let workload = Workload::parse("register.toml", &text, &set).expect("it is right");
    Trial::run(&workload, seed).expect("it runs").history
}

/// The same history as three machines would have recorded it, whose clocks are so far off and who say
/// that they are at most `said` off.
fn parts(history: &History, off: [i64; 3], said: i64) -> Vec<History> {
    let mut text = Vec::new();
    write_history(history, Format::Jsonl, &mut text).expect("in memory");
    let text = String::from_utf8(text).expect("it is text");
    let mut lines = text.lines();
    let header: Value = serde_json::from_str(lines.next().expect("a header")).expect("JSON");
    let mut parts = [1, 2, 3].map(|number| {
        let mut header = header.clone();
        header["rashomon"]["worker"] = json!(format!("{number}/3"));
        header["rashomon"]["clock_error_ns"] = json!(said);
        format!("{header}\n")
    });
    for line in lines {
        let mut event: Value = serde_json::from_str(line).expect("JSON");
        let at = event["process"].as_u64().unwrap_or(0) as usize % 3;
        let time = event["time"].as_i64().expect("a time") + off[at] + 10 * MILLISECOND;
        event["time"] = json!(time);
        event.as_object_mut().expect("an object").remove("index");
        let _ = writeln!(parts[at], "{event}");
    }
    parts.iter().map(|part| read_bytes("part", part.as_bytes(), None).expect("a history")).collect()
}

fn violated(history: &History) -> Vec<Property> {
    let assessment = assess(history, &Limits::default(), Expected::default());
    let violated = assessment.verdicts.iter().filter(|verdict| verdict.status == Status::Invalid);
    violated.map(|verdict| verdict.property).collect()
}

#[test]
fn no_accusation_rests_on_clocks() {
    let mut random = Random::stream(1, "clocks");
    let (mut found, mut wrong_without) = (0, 0);
    for seed in 0..24 {
        let store = ["raft", "primary-replica"][seed as usize % 2];
        let whole = recorded(store, seed);
        let truly = violated(&whole);
        let mut off = || random.between(0, 10) as i64 * MILLISECOND - 5 * MILLISECOND;
        let off = [off(), off(), off()];
        let merged = merge(&parts(&whole, off, 5 * MILLISECOND), None).expect("they fit");
        assert_eq!(merged.len(), whole.len());
        assert_eq!(merged.faults().len(), whole.faults().len());
        let now = violated(&merged);
        let invented: Vec<_> = now.iter().filter(|one| !truly.contains(one)).collect();
        assert!(invented.is_empty(), "seed {seed}, {store}: {invented:?}");
        found += usize::from(now.contains(&Property::Lin));

        let trusting = merge(&parts(&whole, off, 0), None).expect("they fit");
        let invents = violated(&trusting).iter().any(|one| !truly.contains(one));
        wrong_without += usize::from(invents);
    }
    assert!(found >= 6, "stale by far more than the clocks are wrong, found in {found} of 12");
    assert!(wrong_without >= 6, "clocks that are believed accuse {wrong_without} of 12");
}

#[test]
fn a_merged_history_is_written_and_read_again() {
    let whole = recorded("primary-replica", 3);
    let off = [0, 2 * MILLISECOND, -MILLISECOND];
    let merged = merge(&parts(&whole, off, 3 * MILLISECOND), None).expect("they fit");
    let mut text = Vec::new();
    write_history(&merged, Format::Operations, &mut text).expect("in memory");
    let again = read_bytes("merged", &text, None).expect("what was written");
    assert_eq!(again.header(), merged.header());
    assert_eq!(violated(&again), violated(&merged));
    for (one, other) in merged.txns().zip(again.txns()) {
        assert_eq!((one.invoked(), one.returned()), (other.invoked(), other.returned()));
        assert_eq!((one.invoked_at(), one.process()), (other.invoked_at(), other.process()));
    }
}

#[test]
fn what_cannot_be_merged_is_said() {
    let all = parts(&recorded("raft", 1), [0; 3], 1);
    let expected = MergeError::Worker("3/3".to_owned());
    assert_eq!(merge(&all[..2], None).err(), Some(expected));
    let twice = [&all[0], &all[1], &all[1]].map(Clone::clone);
    assert_eq!(merge(&twice, None).err(), Some(MergeError::Worker("2/3".to_owned())));
    let plain = recorded("raft", 1);
    let alone = [plain.clone(), plain];
    assert_eq!(merge(&alone, None).err(), Some(MergeError::NoClock(0)));
    assert_eq!(merge(&alone, Some(Nanos(5))).err(), Some(MergeError::Process(0)));
}
