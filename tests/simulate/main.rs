//! The simulated stores under faults: one seed gives one history, the correct stores stay correct,
//! the planted bugs show.

mod closed_loop;
mod parts;

use std::collections::BTreeMap;
use std::sync::Arc;

use closed_loop::{Plan, Seen, Weather, run};
use rashomon::check::{Expected, Limits, Property, Status, assess};
use rashomon::model::{
    Action, Fault, FaultId, Function, Invocation, Kind, Mop, Nanos, NodeFault, Op, Process, Value,
    What,
};
use rashomon::store::{STORES, build};
use rashomon::target::Target;

/// What is violated, and the proof in a sentence.
fn violations(seen: &Seen) -> Vec<(Property, String)> {
    let assessment = assess(&seen.history, &Limits::default(), Expected::default());
    let violated = assessment.verdicts.iter().filter(|verdict| verdict.status == Status::Invalid);
    let sentence =
        |anomalies: &[rashomon::check::Anomaly]| anomalies.first().map(|one| one.sentence.clone());
    violated
        .map(|verdict| (verdict.property, sentence(&verdict.anomalies).unwrap_or_default()))
        .collect()
}

/// A network that loses, doubles and reorders.
fn rough(plan: Plan) -> Plan {
    plan.with("loss", "0.02").with("duplication", "0.05").with("reordering", "0.05")
}

/// The first of 20 seeds under which that property is violated.
fn found(plan: &Plan, property: Property) -> Option<u64> {
    (0..20).find(|seed| {
        violations(&run(plan, *seed)).iter().any(|(violated, _)| *violated == property)
    })
}

#[test]
fn one_seed_gives_one_history_for_ever() {
    for (plan, golden) in [
        (Plan::new("single", &[], Weather::Kills), 3_261_442_089_213_876_402),
        (rough(Plan::new("primary-replica", &[], Weather::All)), 5_831_738_639_355_430_123),
        (rough(Plan::new("raft", &[], Weather::All)), 2_131_388_282_323_794_398),
        (rough(Plan::new("multi-primary", &[], Weather::All)), 2_109_790_879_167_654_473),
        (
            rough(Plan::new("multi-primary", &[("replication", "certified")], Weather::All)),
            13_137_466_704_780_091_404,
        ),
        (rough(Plan::new("leaderless", &[], Weather::All)), 2_470_457_779_375_865_348),
    ] {
        let digest = run(&plan, 7).digest();
        assert_eq!(run(&plan, 7).digest(), digest, "{}", plan.store);
        assert_ne!(run(&plan, 8).digest(), digest, "{}", plan.store);
        assert_eq!(digest, golden, "{}: the history of seed 7 has changed", plan.store);
    }
}

#[test]
fn raft_is_linearizable_whatever_the_faults() {
    let (mut reads_ok, mut writes_ok) = (0, 0);
    for seed in 0..200 {
        let nodes = ["3", "5"][seed as usize / 2 % 2];
        let reads = ["read-index", "lease"][seed as usize % 2];
        // A read index needs no clock.
        let weather = if seed % 8 == 6 { Weather::Skews } else { Weather::All };
        let mut plan = Plan::new("raft", &[("nodes", nodes), ("reads", reads)], weather);
        plan.mix = [5, 4, 1, 1];
        if seed % 3 > 0 {
            plan = rough(plan);
        }
        let seen = run(&plan, seed);
        assert_eq!(violations(&seen), [], "seed {seed}, {:?}", plan.options);
        reads_ok += seen.ok(Function::Read);
        writes_ok += seen.ok(Function::Write);
    }
    assert!(reads_ok > 200 * 100 && writes_ok > 200 * 100, "{reads_ok} and {writes_ok} ok");
}

#[test]
fn scarcity_costs_progress_and_breaks_no_promise() {
    let mut ok = 0;
    for seed in 0..60 {
        let (store, options): (_, &[_]) =
            if seed % 3 == 0 { ("single", &[]) } else { ("raft", &[("reads", "read-index")]) };
        let seen = run(&Plan::new(store, options, Weather::Scarcity), seed);
        assert_eq!(violations(&seen), [], "seed {seed}, {store}");
        ok += seen.ok(Function::Read) + seen.ok(Function::Write);
    }
    assert!(ok > 60 * 200, "{ok}");
}

/// Who loses what was synced may break every promise, but goes on.
#[test]
fn every_store_survives_scarcity_and_rot() {
    let stores = ["single", "primary-replica", "raft", "multi-primary", "leaderless"];
    for (store, weather) in
        stores.iter().flat_map(|store| [(store, Weather::Scarcity), (store, Weather::Rot)])
    {
        let mut ok = 0;
        for seed in 0..20 {
            let plan = Plan::new(store, &[], weather);
            let seen = run(&plan, seed);
            assert_eq!(run(&plan, seed).digest(), seen.digest(), "{store} {weather:?} {seed}");
            ok += seen.ok(Function::Read) + seen.ok(Function::Write);
        }
        assert!(ok > 20 * 100, "{store} {weather:?}: {ok}");
    }
}

/// What the remedies of the weak stores promise, under whatever faults they tolerate.
#[test]
fn the_remedies_are_linearizable() {
    let certified = [("replication", "certified"), ("reads", "sync")];
    let repaired = [("anti-entropy", "300ms")];
    let mut writes_ok = 0;
    for seed in 0..60 {
        let (store, options): (_, &[_]) =
            if seed % 2 == 0 { ("multi-primary", &certified) } else { ("leaderless", &repaired) };
        let mut plan = Plan::new(store, options, Weather::All);
        // A read and a write that are one operation need more than quorums.
        plan.mix = if seed % 2 == 0 { [5, 3, 2, 2] } else { [5, 4, 0, 0] };
        if seed % 3 > 0 {
            plan = rough(plan);
        }
        let seen = run(&plan, seed);
        // A final read shows what one node has, whatever it has missed.
        let violated = violations(&seen);
        assert_eq!(violated, [], "seed {seed}, {store}");
        writes_ok += seen.ok(Function::Write);
    }
    assert!(writes_ok > 60 * 50, "{writes_ok} ok");
}

#[test]
fn outside_fault_windows_at_least_nine_of_ten_operations_are_ok() {
    for store in ["raft", "primary-replica", "multi-primary", "leaderless"] {
        let (mut ok, mut all) = (0, 0);
        for seed in 0..40 {
            let seen = run(&Plan::new(store, &[], Weather::All), seed);
            let calm = seen.calm_ok();
            (ok, all) = (ok + calm.0, all + calm.1);
        }
        assert!(ok * 10 >= all * 9, "{store}: {ok} of {all}");
    }
}

#[test]
fn synchronous_replication_loses_no_acknowledged_write() {
    for seed in 0..200 {
        let failover = ["automatic", "automatic", "manual", "none"][seed as usize % 4];
        let nodes = ["2", "3", "4"][seed as usize % 3];
        let reads = ["any", "primary"][seed as usize / 4 % 2];
        let options = [
            ("replication", "sync"),
            ("failover", failover),
            ("failover-timeout", "300ms"),
            ("manual-delay", "400ms"),
            ("reads", reads),
            ("nodes", nodes),
        ];
        let mut plan = Plan::new("primary-replica", &options, Weather::All);
        plan.keys = 30;
        if seed % 5 > 1 {
            plan = rough(plan);
        }
        let seen = run(&plan, seed);
        let lost = violations(&seen).into_iter().find(|(violated, _)| *violated == Property::Awl);
        assert_eq!(lost, None, "seed {seed}, {:?}", plan.options);
        assert!(seen.ok(Function::Write) > 5, "seed {seed}");
    }
}

#[test]
fn a_single_node_and_a_primary_without_failover_are_linearizable() {
    let lone = [("failover", "none"), ("reads", "primary")];
    for seed in 0..100 {
        for (mut plan, weather) in [
            (Plan::new("single", &[], Weather::Kills), "kills"),
            (Plan::new("primary-replica", &lone, Weather::All), "all"),
        ] {
            plan.mix = [5, 4, 1, 1];
            let seen = run(&plan, seed);
            assert_eq!(violations(&seen), [], "{} under {weather}, seed {seed}", plan.store);
        }
    }
}

/// By default a primary replicates asynchronously, replicas answer reads and promote themselves.
#[test]
fn the_weak_settings_show_their_weakness() {
    let weak = |options: &[(&str, &str)], weather| {
        let mut plan = Plan::new("primary-replica", options, weather);
        plan.keys = 30;
        plan
    };
    for (plan, what) in [
        (weak(&[], Weather::Partitions), "asynchronous replication"),
        (weak(&[("replication", "semi")], Weather::All), "semi-synchronous replication"),
        (weak(&[("failover", "manual"), ("manual-delay", "500ms")], Weather::Kills), "an operator"),
    ] {
        assert!(found(&plan, Property::Awl).is_some(), "{what} loses acknowledged writes");
    }
    let calm = Plan::new("primary-replica", &[], Weather::Calm);
    assert!(found(&calm, Property::Lin).is_some(), "reads from replicas are stale");
    let local = Plan::new("raft", &[("reads", "local")], Weather::Calm);
    assert!(found(&local, Property::Lin).is_some(), "local reads are stale");
    let lazy = Plan::new("single", &[("fsync", "interval(200ms)")], Weather::Kills);
    assert!(found(&lazy, Property::Awl).is_some(), "what was not synced is lost");
}

#[test]
fn every_planted_bug_is_found_within_twenty_seeds() {
    let plan = |store, bug, options: &[(&str, &str)], weather| {
        let mut plan = Plan::new(store, options, weather).with("bug", bug);
        (plan.keys, plan.mix) = (30, [5, 4, 0, 1]);
        plan
    };
    let sync = [("replication", "sync")];
    let replica = |bug, weather| plan("primary-replica", bug, &sync, weather);
    let raft = |bug, options: &[_], weather| plan("raft", bug, options, weather);
    let (durable, linear) = (Property::Awl, Property::Lin);
    let cases = [
        (plan("single", "lost-fsync", &[], Weather::Kills), durable),
        (plan("single", "racy-cas", &[], Weather::Calm), linear),
        (plan("single", "stale-cache", &[], Weather::Calm), linear),
        (replica("dirty-ack", Weather::All), durable),
        (rough(replica("blind-confirm", Weather::Partitions)), durable),
        (replica("replica-writes", Weather::All).with("reads", "primary"), durable),
        (replica("lost-fsync", Weather::Kills), durable),
        (rough(raft("forget-vote", &[("election-timeout", "60ms")], Weather::All)), linear),
        (raft("ack-before-commit", &[], Weather::All), durable),
        (raft("stale-lease", &[("reads", "lease")], Weather::Partitions), linear),
        (rough(raft("vote-for-short-log", &[], Weather::All)), durable),
        (raft("lost-fsync", &[], Weather::Kills), durable),
    ];
    let planted = |plan: &Plan| (plan.store, plan.options["bug"].to_string());
    // What is planted in transactions is found in tests/transactional.
    for store in STORES.iter().filter(|store| store.name != "transactional") {
        for bug in store.bugs {
            let name = (store.name, bug.name.to_owned());
            assert!(cases.iter().any(|(plan, _)| planted(plan) == name), "{name:?} is not tried");
        }
    }
    for (plan, property) in &cases {
        assert!(found(plan, *property).is_some(), "{:?} was not found", planted(plan));
        // The same plan without the bug is not blamed, unless it is weak by itself.
        let mut sound = plan.clone();
        sound.options.remove("bug");
        assert_eq!(found(&sound, *property), None, "{:?} without it", planted(plan));
    }
}

/// One client of a store, for what needs no crowd.
struct Client {
    target: Box<dyn Target>,
    process: u32,
}

impl Client {
    fn of(store: &str, options: &[(&str, &str)]) -> Self {
        let options: BTreeMap<_, _> =
            options.iter().map(|(name, value)| ((*name).to_owned(), Value::text(value))).collect();
        let mut target = build(store, &options, 1).expect("the options are valid");
        assert!(target.advance(Nanos::from_millis(2000)).is_none());
        Self { target, process: 0 }
    }

    fn ask(&mut self, node: Option<&str>, is_final: bool, op: Op) -> (Kind, Vec<Mop>, String) {
        self.process += 1;
        let process = Process(self.process);
        let node = node.map(Arc::from);
        let call = Invocation { process, session: 0, node, is_final, waited: Nanos(0), op };
        self.target.begin(&Action::Invoke(call)).expect("the node exists");
        let event = self.target.advance(Nanos::FOREVER).expect("every operation ends");
        assert!(self.target.advance(Nanos::FOREVER).is_none(), "nothing else is under way");
        let What::Client(client) = event.what else { panic!("only clients are answered") };
        let node = client.node.expect("the node asked is named");
        (client.kind, client.op.mops, node.to_string())
    }

    fn read(&mut self, node: &str, key: &str) -> Value {
        self.ask(Some(node), false, Op::read(Value::text(key))).1.remove(0).value
    }

    /// What a cache shows of a key, if it does before anybody else could answer.
    fn cached(&mut self, key: &str) -> Option<Value> {
        self.process += 1;
        let process = Process(self.process);
        let op = Op::read(Value::text(key));
        let call =
            Invocation { process, session: 0, node: None, is_final: false, waited: Nanos(0), op };
        self.target.begin(&Action::Invoke(call)).expect("it takes every operation");
        let event = self.target.advance(Nanos::FOREVER).expect("every operation ends");
        let What::Client(mut client) = event.what else { panic!("only clients are answered") };
        (client.node.is_none() && client.kind == Kind::Ok).then(|| client.op.mops.remove(0).value)
    }

    fn fault(&mut self, id: u32, begins: bool, fault: Fault) {
        let id = FaultId(id);
        let action = if begins { Action::Begin(id, fault) } else { Action::End(id, fault) };
        self.target.begin(&action).expect("it knows the fault");
    }
}

fn x() -> Value {
    Value::text("x")
}

#[test]
fn a_dead_node_refuses_and_a_stopped_one_leaves_the_client_waiting() {
    let mut client = Client::of("single", &[("client-timeout", "300ms")]);
    let kill = NodeFault::Kill.at(vec!["n1".into()]);
    assert_eq!(client.ask(None, false, Op::write(x(), Value::Int(1))).0, Kind::Ok);
    client.fault(0, true, kill.clone());
    client.fault(1, true, kill.clone());
    client.fault(0, false, kill.clone());
    assert_eq!(client.ask(None, false, Op::write(x(), Value::Int(2))).0, Kind::Fail);
    assert_eq!(client.target.primary(), None);
    client.fault(1, false, kill);
    assert_eq!(client.read("n1", "x"), Value::Int(1), "the second fault has ended as well");

    let pause = NodeFault::Pause.at(vec!["n1".into()]);
    client.fault(2, true, pause.clone());
    assert_eq!(client.ask(None, false, Op::write(x(), Value::Int(3))).0, Kind::Info);
    client.fault(2, false, pause);
    assert_eq!(client.read("n1", "x"), Value::Int(3), "it was done when the node went on");
    assert_eq!(client.target.primary().as_deref(), Some("n1"));

    let nowhere = Action::Begin(FaultId(9), NodeFault::Kill.at(vec!["n7".into()]));
    assert!(client.target.begin(&nowhere).is_err());
}

#[test]
fn a_token_makes_a_replica_wait_for_what_the_session_wrote() {
    for (reads, stale) in [("any", true), ("token", false), ("primary", false), ("sticky", false)] {
        let options = [("reads", reads), ("failover", "none"), ("lag", "20ms")];
        let mut client = Client::of("primary-replica", &options);
        let mut behind = 0;
        for value in 1..20 {
            let written = client.ask(Some("n3"), false, Op::write(x(), Value::Int(value)));
            assert_eq!((written.0, written.2.as_str()), (Kind::Ok, "n1"));
            behind += usize::from(client.read("n3", "x") != Value::Int(value));
        }
        assert_eq!(behind > 0, stale, "reads = {reads}: {behind} of 19 were stale");
        let last = client.ask(Some("n2"), true, Op::read(x()));
        assert_eq!(last.2, "n2", "a final read is answered by the node named");
    }
}

#[test]
fn all_kinds_of_objects_and_transactions_are_replicated() {
    let mop = |function, key, value| Mop { function, key: Value::text(key), value };
    for store in STORES.iter().map(|store| store.name) {
        let mut client = Client::of(store, &[]);
        assert_eq!(client.read("n1", "l"), Value::Null);
        let all = Op::txn(vec![
            mop(Function::Append, "l", Value::Int(1)),
            mop(Function::Add, "s", Value::Int(2)),
            mop(Function::Increment, "c", Value::Int(3)),
            mop(Function::Read, "l", Value::Null),
        ]);
        // Who leads has to be found out first.
        let answer = (0..4).map(|_| client.ask(None, false, all.clone()));
        let answer = answer.into_iter().find(|answer| answer.0 == Kind::Ok).expect("one leads");
        assert_eq!(answer.1[3].value, Value::list([Value::Int(1)]), "{store}");
        let later = client.target.now() + Nanos::from_millis(500);
        assert!(client.target.advance(later).is_none());
        let nodes = client.target.nodes().to_vec();
        for node in &nodes {
            assert_eq!(client.read(node, "l"), Value::list([Value::Int(1)]), "{store} {node}");
            assert_eq!(client.read(node, "s"), Value::list([Value::Int(2)]), "{store} {node}");
            assert_eq!(client.read(node, "c"), Value::Int(3), "{store} {node}");
            assert_eq!(client.read(node, "other"), Value::Int(0), "the last thing done counted");
        }
    }
}

#[test]
fn options_are_checked_and_the_nearest_word_is_named() {
    let refused = |store: &str, name: &str, value: Value| {
        let options = BTreeMap::from([(name.to_owned(), value)]);
        let error = build(store, &options, 1).err().expect("the option is wrong");
        (error.option.clone(), error.message)
    };
    for (store, name, value, expected) in [
        ("primary-replica", "replicaton", Value::text("sync"), "did you mean `replication`?"),
        ("primary-replica", "replication", Value::text("asink"), "did you mean `async`?"),
        ("primary-replica", "nodes", Value::Int(0), "a whole number from 1 to 9"),
        ("primary-replica", "nodes", Value::text("three"), "not \"three\""),
        ("primary-replica", "lag", Value::Int(5), "exp(5ms)"),
        ("primary-replica", "bug", Value::text("dirty-ack"), "use semi or sync"),
        ("raft", "loss", Value::text("1.5"), "a probability"),
        ("raft", "bug", Value::text("stale-lease"), "reads = \"lease\""),
        ("raft", "bug", Value::text("forgot-vote"), "did you mean `forget-vote`?"),
        ("raft", "client-timeout", Value::text("0s"), "a duration"),
        ("transactional", "isolation", Value::text("serialisable"), "did you mean `serializable`?"),
        ("transactional", "bug", Value::text("dirty-read"), "isolation = \"read-committed\""),
        ("transactional", "bug", Value::text("forgotten-token"), "sessions = \"token\""),
        ("multi-primary", "conflict", Value::text("sibling"), "did you mean `siblings`?"),
        ("multi-primary", "primaries", Value::Int(5), "need as many nodes, not 3"),
        ("multi-primary", "reads", Value::text("sync"), "only replication = \"certified\""),
        ("multi-primary", "origin-filter", Value::text("off"), "use topology = \"ring\""),
        ("leaderless", "read-quorum", Value::Int(4), "4 of 3 replicas never answer"),
        ("leaderless", "replicas", Value::Int(4), "need as many nodes, not 3"),
        ("leaderless", "quorum", Value::text("sloppy"), "nobody can stand in"),
        ("leaderless", "anti-entropy", Value::text("never"), "a duration"),
        ("single", "nodes", Value::Int(3), "from 1 to 1"),
        ("single", "fsync", Value::text("never"), "interval(100ms)"),
    ] {
        let (option, message) = refused(store, name, value);
        assert_eq!(option.as_deref(), Some(name));
        assert!(message.contains(expected), "{message}");
    }
    let error = build("rafd", &BTreeMap::new(), 1).err().expect("there is no such store");
    assert_eq!(error.option, None);
    assert!(error.message.contains("did you mean `raft`?"), "{error}");
    for store in STORES {
        let given = store.options.iter().map(|o| (o.name.to_owned(), Value::text(o.default)));
        assert!(build(store.name, &given.collect(), 1).is_ok(), "{}: the defaults", store.name);
    }
}
