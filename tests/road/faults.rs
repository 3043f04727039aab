//! Every fault over ssh: seen where it is done, seen by its probe, and gone without a trace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rashomon::model::{Action, Cut, Fault, FaultId, NodeFault};

use crate::act::act;
use crate::site::{Site, at, packet};

/// How long traces may be seen after an undo: the timer's last nap.
const NAP: Duration = Duration::from_secs(10);

/// Whether a fault is seen from outside.
type Seen<'a> = Box<dyn Fn() -> bool + 'a>;

#[test]
fn every_fault_is_done_and_undone_without_a_trace() {
    let Some(site) = Site::new("faults") else { return };
    let (n1, n2, n3) = (site.address("n1"), site.address("n2"), site.address("n3"));
    site.at("n3", "printf aaaaaaaa >\"$data/marker\"");
    let reads = |from: &str, to: &str| {
        site.at(from, &format!("timeout 1 redis-cli -h {to} ping")).1 == "PONG"
    };
    let cut = |from: &str, to: &str| Cut { from: Arc::from(from), to: Arc::from(to) };
    let partition = Fault::Partition {
        shape: Arc::from("isolate"),
        cuts: vec![cut("n1", "n2"), cut("n2", "n1"), cut("n2", "n3")],
        channel: None,
    };
    let answers = |node: &str| site.at(node, "timeout 1 redis-cli ping").1 == "PONG";
    let file = || Arc::from("marker");
    let cases: Vec<(Fault, Seen<'_>)> = vec![
        // n2 is not heard by n1 and n3, and hears n3: every connection with it needs both.
        (
            partition,
            Box::new(|| {
                !reads("n1", &n2) && !reads("n2", &n1) && !reads("n3", &n2) && reads("n3", &n1)
            }),
        ),
        (
            NodeFault::Kill.at(vec![Arc::from("n1"), Arc::from("n2")]),
            Box::new(|| !answers("n1") && !answers("n2")),
        ),
        (
            at("n3", NodeFault::Pause),
            Box::new(|| !answers("n3") && site.left().contains("stopped")),
        ),
        (
            at("n1", packet(100, 0)),
            Box::new(|| !reads("n2", &n1) && !reads("n1", &n3) && answers("n1")),
        ),
        (
            at("n1", packet(0, 800)),
            Box::new(|| {
                // 200 KB take two seconds.
                let begun = Instant::now();
                site.at(
                    "n2",
                    &format!(
                        "redis-cli -h {n1} eval \"return string.rep('x', 200000)\" 0 >/dev/null"
                    ),
                );
                begun.elapsed() > Duration::from_secs(1)
            }),
        ),
        (
            at("n2", NodeFault::Throttle(10)),
            Box::new(|| {
                let begun = Instant::now();
                site.at(
                    "n2",
                    "redis-cli eval \"local x = 0 for i = 1, 6000000 do x = x + i end return x\" 0",
                );
                site.left().contains("rashomon-") && begun.elapsed() > Duration::from_millis(300)
            }),
        ),
        (
            at("n2", NodeFault::Memory(64)),
            Box::new(|| {
                site.at("n2", "redis-cli eval \"return #string.rep('x', 300000000)\" 0");
                !answers("n2")
            }),
        ),
        (
            at("n1", NodeFault::DiskFull),
            Box::new(|| {
                // What is given back is taken again.
                site.at(
                    "n1",
                    "dd if=/dev/zero of=\"$data/some\" bs=1024 count=4096; rm \"$data/some\"",
                );
                !site.at("n1", "dd if=/dev/zero of=\"$data/more\" bs=1024 count=8192").0
                    && site.at("n1", "rm \"$data/more\"").0
            }),
        ),
        (
            at("n3", NodeFault::Truncate { file: file(), bytes: 3 }),
            Box::new(|| !answers("n3") && site.at("n3", "cat \"$data/marker\"").1 == "aaaaa"),
        ),
        (
            at("n3", NodeFault::BitFlip { file: file(), bits: 1 }),
            Box::new(|| {
                let text = site.at("n3", "od -An -tu1 \"$data/marker\"").1;
                let bytes = text.split_whitespace().filter_map(|byte| byte.parse::<u8>().ok());
                !answers("n3") && bytes.map(|byte| (byte ^ b'a').count_ones()).sum::<u32>() == 1
            }),
        ),
    ];
    let mut target = site.open("run");
    for (number, (fault, seen)) in cases.iter().enumerate() {
        let id = FaultId(number as u32 + 1);
        let begun = Instant::now();
        act(&mut *target, &Action::Begin(id, fault.clone()))
            .unwrap_or_else(|error| panic!("{error}"));
        let injected = begun.elapsed();
        assert!(seen(), "{} is not seen: {}", fault.name(), site.left());
        assert_eq!(target.verified(id), Some(true), "{}", fault.name());
        let begun = Instant::now();
        act(&mut *target, &Action::End(id, fault.clone()))
            .unwrap_or_else(|error| panic!("{error}"));
        let undone = begun.elapsed();
        println!("{:10} done in {injected:.2?}, undone in {undone:.2?}", fault.name());
        site.whole_within(NAP);
    }
    // Two at a time on one node: the end of one is not the end of the other.
    let kill = at("n1", NodeFault::Kill);
    let partition = &cases[0].0;
    for (id, fault) in [(21, &kill), (22, &kill), (23, partition), (24, partition)] {
        act(&mut *target, &Action::Begin(FaultId(id), fault.clone()))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    for (id, fault) in [(21, &kill), (23, partition)] {
        act(&mut *target, &Action::End(FaultId(id), fault.clone()))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    assert!(!answers("n1") && !reads("n3", &n2));
    target.close().unwrap_or_else(|error| panic!("{error}"));
    site.whole_within(NAP);
    let sockets =
        std::fs::read_to_string(site.directory.join("run/road/way")).expect("it lies there");
    let sockets = sockets.split('\'').nth(1).expect("a directory");
    assert!(!std::path::Path::new(sockets).exists(), "the connections are closed");
}

#[test]
fn what_this_kernel_cannot_do_is_said_and_undone() {
    let Some(site) = Site::new("refused") else { return };
    let mut target = site.open("run");
    let delay = NodeFault::Packet(rashomon::model::Packet { delay_ms: 50, ..Default::default() });
    match act(&mut *target, &Action::Begin(FaultId(1), at("n1", delay))) {
        // A kernel with netem.
        Ok(()) => {}
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("n1: this kernel has no netem"), "{error}");
        }
    }
    let file = Arc::from("no-such-file");
    let truncate = at("n2", NodeFault::Truncate { file, bytes: 3 });
    let error = act(&mut *target, &Action::Begin(FaultId(2), truncate)).expect_err("no file");
    assert!(error.to_string().contains("is called no-such-file"), "{error}");
    target.close().unwrap_or_else(|error| panic!("{error}"));
    site.whole_within(NAP);
}

#[test]
fn a_partition_that_lets_traffic_through_is_an_error() {
    let Some(site) = Site::new("leak") else { return };
    // n1 speaks to n2 from an address that nobody told of.
    let (other, n2) = (format!("{}0", site.address("n1")), site.address("n2"));
    let (done, why) = site.at(
        "n1",
        &format!("ip address add {other}/24 dev eth0 && ip route add {n2} dev eth0 src {other}"),
    );
    assert!(done, "{why}");
    let mut target = site.open("run");
    let cuts = vec![Cut { from: Arc::from("n1"), to: Arc::from("n2") }];
    let partition = Fault::Partition { shape: Arc::from("one-way"), cuts, channel: None };
    let error = act(&mut *target, &Action::Begin(FaultId(1), partition)).expect_err("it leaks");
    assert!(error.to_string().contains("the partition lets through: n1>n2"), "{error}");
    target.close().unwrap_or_else(|error| panic!("{error}"));
}
