//! The operations, faults and phases that a workload is turned into.

mod base;

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt::Write as _;
use std::sync::Arc;

use base::{BASE, nodes, workload};
use rashomon::generate::{Context, Generator, Next};
use rashomon::model::{
    Action, ClientEvent, Event, Fault, FaultId, Function, Invocation, Kind, Lost, Nanos, NodeFault,
    Packet, Process, Random, Skew, Value, What,
};
use rashomon::workload::Workload;

const SECOND: u64 = 1_000_000_000;

/// What a run did, in order.
struct Run {
    actions: Vec<(Nanos, Action)>,
    events: Vec<Event>,
}

impl Run {
    fn invocations(&self) -> impl Iterator<Item = (Nanos, &Invocation)> {
        self.actions.iter().filter_map(|(time, action)| match action {
            Action::Invoke(invocation) => Some((*time, invocation)),
            _ => None,
        })
    }

    fn faults(&self) -> impl Iterator<Item = (Nanos, bool, FaultId, &Fault)> {
        self.actions.iter().filter_map(|(time, action)| match action {
            Action::Begin(id, fault) => Some((*time, true, *id, fault)),
            Action::End(id, fault) => Some((*time, false, *id, fault)),
            Action::Invoke(_) => None,
        })
    }

    fn clients(&self) -> impl Iterator<Item = &ClientEvent> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Client(client) => Some(client),
            What::Fault(_) => None,
        })
    }

    /// FNV-1a of everything that was done.
    fn digest(&self) -> u64 {
        let mut text = String::new();
        for action in &self.actions {
            writeln!(text, "{action:?}").expect("a string takes all");
        }
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// Drives a workload against a register store that answers late, refuses and falls silent at random,
/// and checks on the way what holds of every run.
fn run(workload: &Workload, seed: u64, nodes: &[Arc<str>]) -> Run {
    let mut generator = workload.generator(seed, nodes);
    let mut random = Random::stream(seed, "fake target");
    let mut registers: BTreeMap<Value, Value> = BTreeMap::new();
    let mut open: BTreeMap<Process, Invocation> = BTreeMap::new();
    let mut due: BinaryHeap<std::cmp::Reverse<(Nanos, Process)>> = BinaryHeap::new();
    let (mut now, mut actions, mut events) = (Nanos(0), Vec::new(), Vec::new());
    loop {
        let context = Context { now, primary: nodes.first(), fault_under_way: false };
        let until = match generator.next(&context) {
            Next::Done => break,
            Next::WaitUntil(until) => until,
            Next::Do(action) => {
                if let Action::Invoke(invocation) = &action {
                    let latency = Nanos::from_micros(random.between(200, 9_000));
                    due.push(std::cmp::Reverse((now + latency, invocation.process)));
                    let event = event(now, Kind::Invoke, invocation);
                    generator.update(&event);
                    events.push(event);
                    let before = open.insert(invocation.process, invocation.clone());
                    assert_eq!(before, None, "a process has one open operation at most");
                }
                actions.push((now, action));
                continue;
            }
        };
        match due.peek() {
            Some(std::cmp::Reverse((at, process))) if *at <= until => {
                let (at, process) = (*at, *process);
                due.pop();
                let mut invocation = open.remove(&process).expect("it is open");
                let kind = match random.below(20) {
                    0 => Kind::Fail,
                    1 => Kind::Info,
                    _ => Kind::Ok,
                };
                if kind != Kind::Fail {
                    for mop in &mut invocation.op.mops {
                        if mop.function == Function::Read {
                            mop.value = registers.get(&mop.key).cloned().unwrap_or_default();
                        } else {
                            registers.insert(mop.key.clone(), mop.value.clone());
                        }
                    }
                }
                now = at;
                let event = event(now, kind, &invocation);
                generator.update(&event);
                events.push(event);
            }
            _ => {
                assert!(until < Nanos::FOREVER, "waits for what never comes");
                assert!(until > now, "waits for the past");
                now = until;
            }
        }
    }
    assert!(open.is_empty(), "done while operations are open");
    Run { actions, events }
}

fn event(time: Nanos, kind: Kind, invocation: &Invocation) -> Event {
    let mut client = ClientEvent::new(invocation.process, kind, invocation.op.clone());
    client.session = Some(invocation.session);
    client.node.clone_from(&invocation.node);
    client.is_final = invocation.is_final;
    Event { time, what: What::Client(client) }
}

#[test]
fn one_seed_gives_one_run_for_ever() {
    let workload = workload(BASE, &[("clients.routing", "roam"), ("keys.choose", "zipf(1.1)")]);
    let digest = |seed| run(&workload, seed, &nodes(3)).digest();
    assert_eq!(digest(7), 12_918_865_739_469_791_205);
    assert_eq!(digest(7), digest(7));
    assert_ne!(digest(7), digest(8));
}

#[test]
fn another_fault_schedule_leaves_the_operations_alone() {
    let ops = |overrides: &[(&str, &str)]| {
        let run = run(&workload(BASE, overrides), 3, &nodes(3));
        run.invocations().map(|(_, invocation)| invocation.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ops(&[]), ops(&[("fault.0.shape", "majority-ring"), ("fault.1.every", "4s")]));
}

#[test]
fn phases_come_in_order_and_faults_stay_in_theirs() {
    let run = run(&workload(BASE, &[]), 2, &nodes(3));
    let (mut broken, mut last_id) = (BTreeMap::new(), 0);
    for (time, begins, id, fault) in run.faults() {
        assert!((SECOND..=11 * SECOND).contains(&time.0), "{id} at {time}");
        if begins {
            last_id += 1;
            assert_eq!(id, FaultId(last_id), "ids rise from 1");
            broken.insert(id, (time, fault.clone()));
        } else {
            let (since, begun) = broken.remove(&id).expect("it has begun");
            assert_eq!((&begun, time - since), (fault, Nanos(SECOND)));
        }
    }
    assert!(broken.is_empty());
    // Partitions at 1, 3, 5, 7, 9 s; kills at 1.5, 4.5, 7.5 s; one at 10.5 s would not last 1 s.
    assert_eq!(last_id, 8);

    let (finals, load): (Vec<_>, Vec<_>) =
        run.invocations().partition(|(_, invocation)| invocation.is_final);
    assert!(load.iter().all(|(time, _)| time.0 < 12 * SECOND));
    assert!(load.iter().filter(|(time, _)| time.0 < SECOND).count() > 300, "warm-up");
    assert!(load.iter().filter(|(time, _)| time.0 >= 11 * SECOND).count() > 300, "recovery");
    let first = finals.first().expect("there are final reads").0;
    let last_completion = run
        .events
        .iter()
        .rfind(|event| matches!(&event.what, What::Client(client) if !client.is_final))
        .expect("there are completions");
    assert_eq!(first, last_completion.time + Nanos(2 * SECOND));
}

#[test]
fn final_reads_take_every_key_from_every_node_twice() {
    for (overrides, least_keys) in [
        (vec![], 4),
        (vec![("keys.choose", "rotate(ops_per_key = 100)")], 40),
        (vec![("clients.routing", "primary")], 4),
    ] {
        let run = run(&workload(BASE, &overrides), 5, &nodes(3));
        let used: BTreeSet<&Value> = run
            .invocations()
            .filter(|(_, invocation)| !invocation.is_final)
            .map(|(_, invocation)| invocation.op.key())
            .collect();
        assert!(used.len() >= least_keys);
        let mut read: BTreeMap<(&Value, &str), u32> = BTreeMap::new();
        let mut sessions: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
        for client in run.clients().filter(|client| client.is_final) {
            let node = client.node.as_deref().expect("a final read names its node");
            sessions.entry(client.session.expect("it has one")).or_default().insert(node);
            if client.kind == Kind::Ok {
                *read.entry((client.op.key(), node)).or_default() += 1;
            }
        }
        for key in &used {
            for node in ["n1", "n2", "n3"] {
                assert_eq!(read.get(&(key, node)), Some(&2), "{key} of {node}");
            }
        }
        assert_eq!(sessions.keys().copied().collect::<Vec<_>>(), [5, 6, 7], "none of a client");
        assert!(sessions.values().all(|nodes| nodes.len() == 1), "a reader stays at its node");
    }
}

#[test]
fn who_empties_a_queue_asks_elsewhere_after_a_refusal() {
    let queue = [
        ("operation", "[{ do = 'enqueue' }, { do = 'dequeue' }]"),
        ("phases.final", "['drain']"),
        ("expect.hold", "[]"),
    ];
    let workload = workload(BASE, &queue);
    let mut refusals = 0;
    for seed in 0..20 {
        let run = run(&workload, seed, &nodes(3));
        let finals: Vec<_> = run.clients().filter(|client| client.is_final).collect();
        for pair in finals.windows(2).filter(|pair| pair[0].kind == Kind::Fail) {
            assert_eq!(pair[1].process.0, pair[0].process.0 + 1, "a process stays at its node");
            assert_eq!(pair[1].session, pair[0].session);
            refusals += 1;
        }
    }
    assert!(refusals > 3);
}

#[test]
fn an_unknown_outcome_retires_the_process_and_keeps_the_session() {
    let run = run(&workload(BASE, &[]), 4, &nodes(3));
    let mut retired = BTreeSet::new();
    let mut session_of: BTreeMap<Process, u32> = BTreeMap::new();
    for client in run.clients() {
        assert!(client.kind != Kind::Invoke || !retired.contains(&client.process));
        let session = client.session.expect("it has one");
        assert_eq!(*session_of.entry(client.process).or_insert(session), session);
        if client.kind == Kind::Info {
            retired.insert(client.process);
        }
        if !client.is_final {
            assert_eq!(client.process.0 % 5, session);
        }
    }
    assert!(retired.len() > 20);
}

#[test]
fn values_are_unique_on_their_key() {
    let body = r#"["append k1", "read k2", "append k2"]"#;
    let lists = [
        ("operation", "[{ do = 'append' }, { do = 'txn' }, { do = 'read' }]"),
        ("operation.1.body", body),
    ];
    for overrides in [&lists[..], &[("operation.0.do", "rmw")], &[]] {
        let run = run(&workload(BASE, overrides), 6, &nodes(3));
        let mut written = BTreeSet::new();
        for (_, invocation) in run.invocations() {
            for mop in invocation.op.mops.iter().filter(|mop| mop.function != Function::Read) {
                let value = mop.value.as_int().expect("a small number");
                assert!(written.insert((&mop.key, value)), "{} {value} twice", mop.key);
            }
        }
        assert!(written.len() > 1_000);
        assert!(written.iter().all(|(_, value)| (1..5_000).contains(value)));
    }
}

#[test]
fn a_transaction_has_different_keys() {
    let overrides = [
        ("operation", "[{ do = 'txn', body = ['read a', 'append b', 'append a', 'read c'] }]"),
        ("keys.choose", "zipf(3)"),
        ("expect.hold", "[]"),
    ];
    let run = run(&workload(BASE, &overrides), 6, &nodes(3));
    for (_, invocation) in run.invocations().filter(|(_, invocation)| !invocation.is_final) {
        let mops = &invocation.op.mops;
        assert_eq!(mops.len(), 4);
        assert_eq!(mops[0].key, mops[2].key);
        assert!(
            mops[0].key != mops[1].key && mops[1].key != mops[3].key && mops[0].key != mops[3].key
        );
    }
}

#[test]
fn operations_and_keys_are_chosen_by_their_weights() {
    let overrides = [("clients.rate", "3000"), ("clients.count", "40"), ("keys.choose", "zipf(1)")];
    let run = run(&workload(BASE, &overrides), 9, &nodes(3));
    let (mut all, mut writes, mut keys) = (0.0, 0.0, BTreeMap::<String, f64>::new());
    for (_, invocation) in run.invocations().filter(|(_, invocation)| !invocation.is_final) {
        all += 1.0;
        writes += f64::from(u8::from(invocation.op.function == Function::Write));
        *keys.entry(invocation.op.key().to_string()).or_default() += 1.0;
    }
    assert!(all > 30_000.0);
    assert!((writes / all - 1.0 / 3.0).abs() < 0.01);
    // 1 + 1/2 + 1/3 + 1/4 = 25/12.
    for (key, share) in
        [("k0", 12.0 / 25.0), ("k1", 6.0 / 25.0), ("k2", 4.0 / 25.0), ("k3", 3.0 / 25.0)]
    {
        assert!((keys[key] / all - share).abs() < 0.01, "{key}: {}", keys[key] / all);
    }
}

#[test]
fn an_open_loop_keeps_its_rate_and_drops_nothing_while_all_are_busy() {
    for spacing in ["poisson", "even"] {
        // Five clients at 4.6 ms an operation can do about 1,080 a second: 400 leave room.
        let run = run(&workload(BASE, &[("clients.spacing", spacing)]), 11, &nodes(3));
        let load = run.invocations().filter(|(_, invocation)| !invocation.is_final).count() as f64;
        assert!((load / 12.0 - 400.0).abs() < 20.0, "{spacing}: {load}");
    }
    // One client does about 217 a second: of 150 a second none is lost though it is often busy.
    let run =
        run(&workload(BASE, &[("clients.count", "1"), ("clients.rate", "150")]), 11, &nodes(3));
    let load = run.invocations().filter(|(_, invocation)| !invocation.is_final).count() as f64;
    assert!((load / 12.0 - 150.0).abs() < 12.0, "{load}");
}

#[test]
fn an_operation_tells_how_long_it_was_due() {
    let busy = [("clients.count", "1"), ("clients.rate", "200"), ("clients.spacing", "even")];
    let run = run(&workload(BASE, &busy), 11, &nodes(3));
    let load = run.invocations().filter(|(_, invocation)| !invocation.is_final);
    let (due, waited): (Vec<Nanos>, Vec<Nanos>) =
        load.map(|(at, invocation)| (at - invocation.waited, invocation.waited)).unzip();
    assert!(waited.iter().filter(|waited| **waited > Nanos(0)).count() > 500);
    // Whatever the store does, one is due every 5 ms.
    assert!(due.windows(2).all(|pair| pair[1] - pair[0] == Nanos::from_millis(5)));
}

#[test]
fn a_closed_loop_never_rests() {
    let run =
        run(&workload(BASE, &[("clients.rate", "max"), ("clients.count", "2n")]), 12, &nodes(3));
    let load = run.invocations().filter(|(_, invocation)| !invocation.is_final).count() as f64;
    // Six clients, 4.6 ms an operation, 12 s.
    assert!((load / (6.0 * 12.0 / 0.0046) - 1.0).abs() < 0.05, "{load}");
}

#[test]
fn routing() {
    let of = |routing: &str| {
        let run = run(&workload(BASE, &[("clients.routing", routing)]), 13, &nodes(3));
        let mut nodes: BTreeMap<u32, BTreeSet<Option<String>>> = BTreeMap::new();
        for (_, invocation) in run.invocations().filter(|(_, invocation)| !invocation.is_final) {
            let node = invocation.node.as_deref().map(str::to_owned);
            nodes.entry(invocation.session).or_default().insert(node);
        }
        nodes.into_values().collect::<Vec<_>>()
    };
    assert!(of("roam").iter().all(|nodes| nodes.len() == 3));
    assert!(of("sticky").iter().all(|nodes| nodes.len() == 1));
    assert_eq!(of("sticky").iter().collect::<BTreeSet<_>>().len(), 3);
    assert!(of("primary").iter().all(|nodes| *nodes == BTreeSet::from([None])));
    assert!(of("n2").iter().all(|nodes| *nodes == BTreeSet::from([Some("n2".to_owned())])));
}

#[test]
fn a_single_writer_has_its_keys_to_itself_and_they_rise() {
    for choose in ["uniform", "zipf(1.2)", "rotate(ops_per_key = 50)"] {
        let overrides = [("keys.writers", "one"), ("keys.count", "12"), ("keys.choose", choose)];
        let run = run(&workload(BASE, &overrides), 14, &nodes(3));
        let mut owner: BTreeMap<&Value, (u32, i64)> = BTreeMap::new();
        for (_, invocation) in run.invocations() {
            if invocation.op.function == Function::Write {
                let value = invocation.op.mops[0].value.as_int().expect("a number");
                let entry = owner.entry(invocation.op.key()).or_insert((invocation.session, 0));
                assert_eq!(entry.0, invocation.session);
                assert!(value > entry.1);
                entry.1 = value;
            }
        }
        assert!(owner.len() >= 10, "{choose}");
        assert_eq!(owner.values().map(|(session, _)| session).collect::<BTreeSet<_>>().len(), 5);
    }
}

#[test]
fn cas_expects_what_was_seen_last() {
    let overrides = [
        ("operation", "[{ do = 'cas', weight = 3 }, { do = 'read' }]"),
        ("clients.count", "1"),
        ("keys.count", "1"),
    ];
    let run = run(&workload(BASE, &overrides), 15, &nodes(3));
    let mut seen = Value::Null;
    for client in run.clients().filter(|client| !client.is_final) {
        match (client.kind, client.op.function) {
            (Kind::Invoke, Function::Cas) => assert_eq!(client.op.mops[0].value, seen),
            (Kind::Ok, Function::Cas) => seen = client.op.mops[1].value.clone(),
            (Kind::Ok, _) => seen = client.op.mops[0].value.clone(),
            _ => {}
        }
    }
    assert_ne!(seen, Value::Null);
}

#[test]
fn every_kind_of_fault_is_done_to_whom_it_names() {
    let faults = r#"[
        { inject = "kill", nodes = "primary" },
        { inject = "pause", nodes = "majority" },
        { inject = "skew", nodes = "all", by = "-2s" },
        { inject = "kill", nodes = "n2" },
        { inject = "partition", shape = { groups = [["n1"], ["n2", "n3"]] } },
    ]"#;
    let faults = faults.replace('\n', " ");
    let run = run(&workload(BASE, &[("fault", &faults)]), 16, &nodes(5));
    let begun: Vec<&Fault> = run.faults().filter(|f| f.1).map(|(.., fault)| fault).collect();
    let names =
        |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
    assert_eq!(begun[0], &NodeFault::Kill.at(names(&["n1"])));
    assert!(matches!(begun[1], Fault::Nodes { nodes, what: NodeFault::Pause } if nodes.len() == 3));
    assert_eq!(begun[2], &skew(-2_000).at(nodes(5)));
    assert_eq!(begun[3], &NodeFault::Kill.at(names(&["n2"])));
    assert!(matches!(begun[4], Fault::Partition { cuts, .. } if cuts.len() == 4));
    assert_eq!(run.faults().filter(|fault| !fault.1).count(), 5);
}

#[test]
fn faults_take_their_options() {
    let faults = r#"[
        { inject = "packet", nodes = "all", delay = "50ms", jitter = "10ms", loss = "10%", duplicate = "5%", reorder = "3%", rate = "8mbit" },
        { inject = "skew", nodes = ["n1", "n3"], by = "1s", drift = "-500ppm", strobe = "100ms" },
        { inject = "throttle", nodes = "random(2)", cpu = "10%" },
        { inject = "memory", limit = "2GB" },
        { inject = "disk-full" },
        { inject = "power-loss" },
        { inject = "truncate", file = "wal/*", bytes = 100 },
        { inject = "bitflip", bits = 3 },
        { inject = "disconnect", lost = "answers" },
    ]"#;
    let faults = faults.replace('\n', " ");
    let run = run(&workload(BASE, &[("fault", &faults)]), 16, &nodes(5));
    let what = run.faults().filter(|fault| fault.1).map(|(.., fault)| fault);
    let done: Vec<(usize, NodeFault)> = what
        .map(|fault| match fault {
            Fault::Nodes { nodes, what } => (nodes.len(), what.clone()),
            Fault::Partition { .. } => panic!("none was asked for"),
        })
        .collect();
    for (_, what) in &done {
        let names: Vec<&str> = what.options().iter().map(|(name, _)| *name).collect();
        assert_eq!(NodeFault::option_names(what.name()), names, "{}", what.name());
    }
    let packet = Packet {
        delay_ms: 50,
        jitter_ms: 10,
        loss: 10,
        duplicate: 5,
        reorder: 3,
        rate_kbit: 8_000,
    };
    let skew = Skew { offset_ms: 1_000, drift_ppm: -500, strobe_ms: 100 };
    let expected = [
        (5, NodeFault::Packet(packet)),
        (2, NodeFault::Skew(skew)),
        (2, NodeFault::Throttle(10)),
        (1, NodeFault::Memory(2_048)),
        (1, NodeFault::DiskFull),
        (1, NodeFault::PowerLoss),
        (1, NodeFault::Truncate { file: "wal/*".into(), bytes: 100 }),
        (1, NodeFault::BitFlip { file: "*".into(), bits: 3 }),
        (1, NodeFault::Disconnect(Lost::Answers)),
    ];
    assert_eq!(done, expected);
}

#[test]
fn faults_in_sequence_and_never_too_many_at_once() {
    let faults = r#"[
        { inject = "kill", name = "first", at = ["1s", "5s"], for = "1s" },
        { inject = "pause", after = "first", for = "500ms", offset = "500ms" },
        { inject = "disk-full", every = "exp(1s)", for = "300ms" },
    ]"#;
    let faults = faults.replace('\n', " ");
    let calm = workload(BASE, &[("fault", &faults), ("limits.broken", "1")]);
    let run = run(&calm, 3, &nodes(3));
    let mut broken: BTreeMap<FaultId, &Fault> = BTreeMap::new();
    let mut begun: BTreeMap<&str, Vec<Nanos>> = BTreeMap::new();
    for (time, begins, id, fault) in run.faults() {
        if begins {
            broken.insert(id, fault);
            begun.entry(fault.name()).or_default().push(time);
        } else {
            broken.remove(&id);
        }
        let nodes: BTreeSet<&Arc<str>> = broken
            .values()
            .flat_map(|fault| match fault {
                Fault::Nodes { nodes, .. } => nodes,
                Fault::Partition { .. } => panic!("none was asked for"),
            })
            .collect();
        assert!(nodes.len() <= 1, "{nodes:?}");
    }
    assert_eq!((begun["kill"].len(), begun["pause"].len()), (2, 2));
    assert!(begun["disk-full"].len() >= 3, "{begun:?}");
    assert!(begun["pause"][0] >= begun["kill"][0] + Nanos(1_500_000_000));
}

#[test]
fn a_target_without_nodes_is_driven_too() {
    let run = run(&workload(BASE, &[]), 17, &[]);
    assert!(run.invocations().all(|(_, invocation)| invocation.node.is_none()));
    assert!(run.invocations().any(|(_, invocation)| invocation.is_final));
}

// ---- transactions ----------------------------------------------------------------------------

/// The operations before the final reads.
fn load(overrides: &[(&str, &str)], seed: u64) -> Vec<Invocation> {
    let mut all = vec![("expect.hold", "[]")];
    all.extend(overrides);
    let run = run(&workload(BASE, &all), seed, &nodes(3));
    let load = run.invocations().map(|(_, invocation)| invocation);
    load.filter(|invocation| !invocation.is_final).cloned().collect()
}

#[test]
fn random_transactions_have_their_length_and_keys_their_lifetime() {
    let mix = "[{ do = 'txn', any = ['read', 'append', 'append'], length = '2..5' }]";
    let all =
        load(&[("operation", mix), ("keys.writes", "10"), ("keys.choose", "exponential(2)")], 3);
    let lengths: BTreeSet<usize> = all.iter().map(|invocation| invocation.op.mops.len()).collect();
    assert_eq!(lengths, (2..=5).collect());
    let mops = || all.iter().flat_map(|invocation| &invocation.op.mops);
    let appends = mops().filter(|mop| mop.function == Function::Append).count() as f64;
    assert!((appends / mops().count() as f64 - 2.0 / 3.0).abs() < 0.02);
    let mut written: BTreeMap<&Value, Vec<i64>> = BTreeMap::new();
    for mop in mops().filter(|mop| mop.function == Function::Append) {
        written.entry(&mop.key).or_default().push(mop.value.as_int().expect("a number"));
    }
    let full = written.values().filter(|values| values.len() == 10).count();
    assert!(written.values().all(|values| values.len() <= 10) && full + 4 >= written.len());
    assert!(written.values().all(|values| values.iter().copied().eq(1..=values.len() as i64)));
}

#[test]
fn an_exponential_choice_halves_from_key_to_key() {
    let operation = ("operation", "[{ do = 'txn', any = ['write'], length = 1 }]");
    let all = load(&[operation, ("keys.choose", "exponential(2)"), ("clients.rate", "900")], 5);
    let mut keys = BTreeMap::<String, f64>::new();
    for invocation in &all {
        *keys.entry(invocation.op.key().to_string()).or_default() += 1.0;
    }
    for (key, share) in [("k0", 8.0), ("k1", 4.0), ("k2", 2.0), ("k3", 1.0)] {
        let found = keys[key] / all.len() as f64;
        assert!((found - share / 15.0).abs() < 0.02, "{key}: {found}");
    }
}

#[test]
fn rows_are_written_whole_and_groups_field_by_field() {
    let rows = "[{ do = 'txn', body = ['write r.*'] }, { do = 'txn', body = ['read r.2'] }]";
    for invocation in load(&[("operation", rows), ("keys.fields", "3")], 3) {
        let mops = &invocation.op.mops;
        let names: Vec<String> = mops.iter().map(|mop| mop.key.to_string()).collect();
        let row = names[0].split('.').next().expect("a row").to_owned();
        if mops[0].function == Function::Write {
            assert_eq!(names, [0, 1, 2].map(|field| format!("{row}.{field}")));
            assert!(mops.iter().all(|mop| mop.value == mops[0].value));
        } else {
            assert_eq!(names, [format!("{row}.2")]);
        }
    }
    let groups = "[{ do = 'txn', body = ['read g.*', 'write g.?'] }]";
    let options = [
        ("operation", groups),
        ("keys.fields", "3"),
        ("keys.writes", "1"),
        ("keys.choose", "rotate(ops_per_key = 8)"),
    ];
    let all = load(&options, 3);
    let mut written = BTreeSet::new();
    for invocation in &all {
        let mops = &invocation.op.mops;
        assert_eq!(mops.len(), 4);
        let last = mops.last().expect("four");
        if last.function == Function::Write {
            assert!(written.insert(last.key.clone()), "{} is written twice", last.key);
        }
    }
    // Three of the eight operations of a group find a field to write; the others read.
    let share = written.len() as f64 / all.len() as f64;
    assert!((share - 3.0 / 8.0).abs() < 0.02, "{share}");
}

#[test]
fn banks_are_set_up_before_anything_else_and_once() {
    let operations = "[{ do = 'transfer' }, { do = 'read' }]";
    let options = [("operation", operations), ("keys.count", "2"), ("bank.accounts", "5")];
    for seed in 0..10 {
        let run = run(
            &workload(BASE, &[&[("expect.hold", "[]")], &options[..]].concat()),
            seed,
            &nodes(3),
        );
        let mut done = BTreeSet::new();
        for client in run.clients().filter(|client| !client.is_final) {
            let (key, value) = (client.op.key().clone(), &client.op.mops[0].value);
            match (client.op.function, client.kind) {
                (Function::InitBank, Kind::Invoke) => assert!(!done.contains(&key)),
                (Function::InitBank, Kind::Fail) => {}
                (Function::InitBank, _) => drop(done.insert(key)),
                (Function::Transfer, _) => {
                    let Value::Map(entries) = value else { panic!("{value} is no transfer") };
                    let part = |at: usize| entries[at].1.as_int().expect("a number");
                    assert!(part(0) != part(1) && (0..5).contains(&part(0).max(part(1))));
                    assert!((1..=5).contains(&part(2)) && done.len() == 2);
                }
                _ => assert_eq!(done.len(), 2, "the banks come first"),
            }
        }
    }
}

fn skew(offset_ms: i64) -> NodeFault {
    NodeFault::Skew(Skew { offset_ms, ..Skew::default() })
}
