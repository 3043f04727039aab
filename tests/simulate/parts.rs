//! The parts of which stores are put together, each by itself: shards, new nodes, moves, addresses,
//! entries that are made again, distances; options that make no sense together; digests.

use std::collections::BTreeMap;

use super::closed_loop::{Plan, Weather, run};
use super::{Client, rough, x};
use rashomon::model::{Cut, Fault, Function, Kind, Mop, Nanos, NodeFault, Op, Value};
use rashomon::store::build;

fn key(number: u32) -> Value {
    Value::text(&format!("k{number}"))
}

/// Lets the time pass until so many milliseconds after the beginning.
fn wait_until(client: &mut Client, ms: u64) {
    assert!(client.target.advance(Nanos::from_millis(ms)).is_none());
}

fn write(client: &mut Client, key: &Value, value: i64) -> (Kind, String) {
    let (kind, _, node) = client.ask(None, false, Op::write(key.clone(), Value::Int(value)));
    (kind, node)
}

fn cut_off(node: &str, others: &[&str]) -> Fault {
    let cut = |from: &str, to: &str| Cut { from: from.into(), to: to.into() };
    let cuts = others.iter().flat_map(|other| [cut(node, other), cut(other, node)]).collect();
    Fault::Partition { shape: "groups".into(), cuts, channel: None }
}

#[test]
fn each_shard_has_a_primary_of_its_own() {
    let options = [("shards", "3"), ("failover", "none"), ("reads", "primary")];
    let mut client = Client::of("primary-replica", &options);
    for number in 0..6 {
        let (kind, node) = write(&mut client, &key(number), 1);
        assert_eq!((kind, node), (Kind::Ok, format!("n{}", number % 3 + 1)), "{number}");
    }
    let both = Op::txn(Vec::from([0, 1].map(|number| Mop {
        function: Function::Write,
        key: key(number),
        value: Value::Int(2),
    })));
    // What a node holds survives, shard by shard.
    let kill = NodeFault::Kill.at(vec!["n2".into()]);
    client.fault(0, true, kill.clone());
    assert_eq!(write(&mut client, &key(1), 3).0, Kind::Fail);
    assert_eq!(write(&mut client, &key(0), 3).0, Kind::Ok);
    client.fault(0, false, kill);
    let held = |client: &mut Client, number| client.ask(Some("n2"), true, Op::read(key(number)));
    assert_eq!(held(&mut client, 1).1[0].value, Value::Int(1));

    let mut client = Client::of("primary-replica", &options);
    assert_eq!(client.ask(None, false, both.clone()).0, Kind::Fail, "two shards");
    let mut client =
        Client::of("primary-replica", &[&options[..], &[("cross-shard", "split")]].concat());
    let (kind, mops, _) = client.ask(None, false, both);
    assert_eq!((kind, mops.len()), (Kind::Ok, 2));
    for number in [0, 1] {
        let read = client.ask(None, false, Op::read(key(number)));
        assert_eq!(read.1[0].value, Value::Int(2), "each shard has done its part");
    }
}

#[test]
fn a_new_node_answers_when_it_has_caught_up() {
    for (catch_up, answers) in [("refuse", false), ("serve", true)] {
        let options = [("join", "3s"), ("catch-up", catch_up), ("failover", "none")];
        let mut client = Client::of("primary-replica", &options);
        assert_eq!(write(&mut client, &x(), 1).0, Kind::Ok);
        wait_until(&mut client, 2_900);
        assert_eq!(client.read("n3", "x"), Value::Int(1), "the old machine");
        wait_until(&mut client, 3_100);
        let (kind, mops, _) = client.ask(Some("n3"), false, Op::read(x()));
        assert_eq!(kind == Kind::Ok, answers, "{catch_up}");
        assert!(!answers || mops[0].value == Value::Null, "the new one has nothing yet");
        assert_eq!(write(&mut client, &x(), 2).0, Kind::Ok);
        wait_until(&mut client, 5_000);
        assert_eq!(client.read("n3", "x"), Value::Int(2));
        // Its disk is that of the new machine.
        let kill = NodeFault::Kill.at(vec!["n3".into()]);
        client.fault(0, true, kill.clone());
        client.fault(0, false, kill);
        assert_eq!(client.read("n3", "x"), Value::Int(2));
    }
}

#[test]
fn a_new_node_is_waited_for_when_its_snapshot_has_left() {
    let options = [("join", "3s"), ("replication", "sync"), ("failover", "none")];
    let mut client = Client::of("primary-replica", &options);
    for value in 1..200 {
        assert_eq!(write(&mut client, &x(), value).0, Kind::Ok);
        wait_until(&mut client, 2_000 + 15 * value as u64);
    }
    assert_eq!(client.read("n3", "x"), Value::Int(199));
}

#[test]
fn a_shard_moves_when_its_owner_agrees_or_by_force() {
    let others = ["n2", "n3"];
    for (handover, while_cut_off) in [("agreed", "n1"), ("forced", "n2")] {
        let options = [("move", "3s"), ("handover", handover), ("failover", "none")];
        let mut client = Client::of("primary-replica", &options);
        assert_eq!(write(&mut client, &x(), 1), (Kind::Ok, "n1".to_owned()));
        client.fault(0, true, cut_off("n1", &others));
        assert_eq!(write(&mut client, &x(), 2), (Kind::Ok, "n1".to_owned()));
        wait_until(&mut client, 4_000);
        assert_eq!(client.target.primary().as_deref(), Some(while_cut_off), "{handover}");
        client.fault(0, false, cut_off("n1", &others));
        wait_until(&mut client, 7_000);
        assert_eq!(client.target.primary().as_deref(), Some("n2"), "{handover}");
        // What was acknowledged behind the cut is handed over, or gone.
        let left = if handover == "agreed" { 2 } else { 1 };
        for node in ["n1", "n2", "n3"] {
            assert_eq!(client.read(node, "x"), Value::Int(left), "{handover}, {node}");
        }
        // Who knew the old owner is sent on.
        let third: Vec<_> = (3..6).map(|value| write(&mut client, &x(), value)).collect();
        assert_eq!(third.last(), Some(&(Kind::Ok, "n2".to_owned())), "{third:?}");
    }
}

#[test]
fn a_cache_answers_in_the_place_of_the_store() {
    let options =
        [("cache", "through"), ("cache-ttl", "400ms"), ("nodes", "1"), ("failover", "none")];
    let mut client = Client::of("primary-replica", &options);
    assert_eq!(write(&mut client, &x(), 1).0, Kind::Ok);
    assert_eq!(client.read("n1", "x"), Value::Int(1));
    assert_eq!(write(&mut client, &x(), 2).0, Kind::Ok);
    let pause = NodeFault::Pause.at(vec!["n1".into()]);
    client.fault(0, true, pause.clone());
    assert_eq!(client.cached("x"), Some(Value::Int(1)), "it hears of no write, and asks nobody");
    client.fault(0, false, pause);
    wait_until(&mut client, 2_600);
    assert_eq!(client.read("n1", "x"), Value::Int(2), "its time is over");
}

/// The elements of a list after it was appended to, the primary was killed, and what was acknowledged
/// was entered again.
fn entered_again(options: &[(&str, &str)]) -> Vec<i64> {
    let base =
        [("lag", "1ms"), ("reads", "primary"), ("re-entry", "5s"), ("failover-timeout", "200ms")];
    let mut client = Client::of("primary-replica", &[&base[..], options].concat());
    let append = |value| Op::single(Function::Append, x(), Value::Int(value));
    assert_eq!(client.ask(None, false, append(1)).0, Kind::Ok);
    wait_until(&mut client, 2_500);
    client.fault(0, true, NodeFault::Kill.at(vec!["n1".into()]));
    wait_until(&mut client, 4_000);
    let later: Vec<Kind> = (2..6).map(|value| client.ask(None, false, append(value)).0).collect();
    assert_eq!(later.last(), Some(&Kind::Ok), "{later:?}");
    wait_until(&mut client, 5_000);
    let read = client.ask(None, false, Op::read(x()));
    let list = read.1[0].value.as_list().expect("it is a list").to_vec();
    list.iter().filter_map(Value::as_int).collect()
}

#[test]
fn what_is_entered_again_is_done_once_if_it_has_a_key() {
    let ones = |list: &[i64]| list.iter().filter(|one| **one == 1).count();
    assert_eq!(ones(&entered_again(&[])), 2);
    assert_eq!(ones(&entered_again(&[("idempotence", "keys")])), 1);
}

#[test]
fn a_write_waits_for_the_distance() {
    let begun = |client: &Client| client.target.now();
    for (replication, low, high) in [("semi", 0, 60), ("remote", 160, 300), ("sync", 160, 300)] {
        let options = [
            ("replication", replication),
            ("data-centers", "2"),
            ("distance", "80ms"),
            ("lag", "1ms"),
            ("failover", "none"),
        ];
        let mut client = Client::of("primary-replica", &options);
        let before = begun(&client);
        assert_eq!(write(&mut client, &x(), 1).0, Kind::Ok);
        let took = (begun(&client) - before).0 / 1_000_000;
        assert!((low..high).contains(&took), "{replication}: {took} ms");
    }
}

#[test]
fn every_node_evaluates_a_statement_for_itself() {
    let ids = |options: &[(&str, &str)]| {
        let base = [("new-ids", "uuid"), ("failover", "none"), ("lag", "1ms")];
        let mut client = Client::of("primary-replica", &[&base[..], options].concat());
        let asked = Mop { function: Function::NewId, key: x(), value: Value::Null };
        let op = Op { function: Function::NewId, mops: vec![asked] };
        let (kind, told, _) = client.ask(None, false, op);
        assert_eq!(kind, Kind::Ok);
        wait_until(&mut client, 3_000);
        let held = ["n1", "n2", "n3"].map(|node| client.read(node, "x"));
        (told[0].value.clone(), held)
    };
    let (told, held) = ids(&[("log", "row")]);
    assert!(held.iter().all(|one| *one == told), "{held:?}");
    let (told, held) = ids(&[("log", "statement")]);
    assert!(held[0] == told && held[1] != told && held[2] != held[1], "{held:?}");
}

#[test]
fn options_that_make_no_sense_together_are_refused() {
    for (store, given, wrong, expected) in [
        ("primary-replica", "replication=remote", "replication", "set data-centers = 2"),
        ("primary-replica", "nodes=1 data-centers=2", "data-centers", "needs a node"),
        ("primary-replica", "log=statement", "log", "apply = \"parallel\""),
        ("primary-replica", "cross-shard=split", "cross-shard", "set shards"),
        ("primary-replica", "address=map", "address", "set detection = \"mediator\""),
        ("primary-replica", "re-entry=2s failover=none", "re-entry", "set failover"),
        ("primary-replica", "status-channels=4", "status-channels", "from 1 to 3"),
        (
            "primary-replica",
            "status-channels=2 detection=probe",
            "status-channels",
            "set detection = \"link\"",
        ),
        (
            "primary-replica",
            "status-channels=2 status-channel=shared",
            "status-channel",
            "set status-channels = 1",
        ),
        ("primary-replica", "handover=forced", "handover", "set move"),
        ("primary-replica", "move=1s", "move", "failover = \"none\""),
        ("primary-replica", "catch-up=serve", "catch-up", "set join"),
        ("primary-replica", "snapshot=fuzzy", "snapshot", "set join"),
        ("primary-replica", "nodes=1 join=1s", "join", "set nodes to 2 or more"),
        ("primary-replica", "nodes=1 upgrade=1s log=physical", "upgrade", "set nodes to 2 or more"),
        ("primary-replica", "cache-fill=versioned", "cache-fill", "set cache"),
        ("primary-replica", "token-scope=device", "token-scope", "set reads = \"token\""),
        ("primary-replica", "drain=yes", "drain", "needs a switchover"),
        ("primary-replica", "shards=2 failover=manual", "shards", "looks after one primary"),
        ("primary-replica", "degrade-after=1s", "degrade-after", "no write waits"),
        ("primary-replica", "fencing=lease", "fencing", "set detection = \"mediator\""),
        ("primary-replica", "detection=mediator fencing=stonith", "fencing", "stonith"),
        ("primary-replica", "detection=probe failover=manual", "detection", "nobody looks"),
        ("multi-primary", "topology=chain primaries=1", "topology", "use mesh"),
        ("multi-primary", "topology=chain origin-filter=off", "origin-filter", "\"ring\""),
        ("multi-primary", "topology=ring replication=sync", "topology", "use mesh"),
        ("multi-primary", "nodes=1 data-centers=2", "data-centers", "needs a node"),
        ("multi-primary", "replication=certified rows=by-field", "rows", "\"whole\""),
        ("raft", "nodes=1 data-centers=2", "data-centers", "needs a node"),
    ] {
        let words = given.split(' ').filter_map(|one| one.split_once('='));
        let options: BTreeMap<_, _> =
            words.map(|(name, value)| (name.to_owned(), Value::text(value))).collect();
        let error = build(store, &options, 1).err();
        let error = error.unwrap_or_else(|| panic!("{store} takes {given}"));
        assert_eq!(error.option.as_deref(), Some(wrong), "{given}: {error}");
        assert!(error.message.contains(expected), "{given}: {error}");
    }
}

#[test]
fn one_seed_gives_one_history_whatever_the_options() {
    let primary: &[&[(&str, &str)]] = &[
        &[
            ("detection", "mediator"),
            ("mediators", "3"),
            ("fencing", "lease"),
            ("replication", "semi"),
        ],
        &[("status-channels", "3"), ("silent-channels", "any"), ("fencing", "stonith")],
        &[("shards", "3"), ("cross-shard", "split"), ("replication", "sync")],
        &[("failover", "none"), ("join", "2s"), ("snapshot", "fuzzy"), ("resume", "early")],
        &[("failover", "none"), ("log", "statement"), ("condition", "rand"), ("apply", "parallel")],
        &[("failover", "none"), ("log", "physical-unchecked"), ("upgrade", "2s")],
        &[
            ("address", "arp"),
            ("address-age", "500ms"),
            ("re-entry", "1s"),
            ("idempotence", "keys"),
        ],
        &[("address", "file"), ("reads", "token"), ("token-scope", "device")],
        &[("data-centers", "2"), ("replication", "remote"), ("reads", "own")],
        &[("switchover", "2s"), ("drain", "yes"), ("old-primary", "keep")],
    ];
    let several: &[&[(&str, &str)]] = &[
        &[("topology", "chain"), ("numbers", "absolute"), ("conflict", "arrival")],
        &[
            ("data-centers", "2"),
            ("replication", "sync"),
            ("home", "moving"),
            ("conflict", "siblings"),
        ],
        &[("stamps", "oracle"), ("rows", "by-field"), ("ids", "block"), ("collections", "whole")],
    ];
    let leaderless: &[&[(&str, &str)]] = &[
        &[("nodes", "5"), ("quorum", "sloppy"), ("versions", "vector"), ("restart", "rebuild")],
        &[("read-repair", "async"), ("versions", "clock"), ("partial-write", "rollback")],
    ];
    let raft: &[&[(&str, &str)]] = &[&[("data-centers", "2"), ("reads", "lease")]];
    let stores = [
        ("primary-replica", primary),
        ("multi-primary", several),
        ("leaderless", leaderless),
        ("raft", raft),
    ];
    for (store, settings) in stores {
        for options in settings {
            let plan = rough(Plan::new(store, options, Weather::All));
            let digest = run(&plan, 7).digest();
            assert_eq!(run(&plan, 7).digest(), digest, "{store} {options:?}");
            assert_ne!(run(&plan, 8).digest(), digest, "{store} {options:?}");
        }
    }
}
