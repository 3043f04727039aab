//! The transactional store: each level of isolation keeps what it promises and gives no more, and
//! every planted bug shows. `RASHOMON_CASES` runs more seeds than the few of an ordinary run.

mod groups;
mod oracle;

use std::io;
use std::sync::atomic::AtomicBool;

use groups::{forks, skews};
use oracle::{Dependencies, Level};
use rashomon::check::{
    Expected, Limits, Property, Status, bank, fractured, measure, provenance, torn, transaction,
};
use rashomon::history::{Header, History, Txn};
use rashomon::model::{Event, Function, Value};
use rashomon::run::{Journal, drive};
use rashomon::store::{self, STORES};
use rashomon::workload::{TargetChoice, Workload};
use rayon::prelude::*;

/// FNV-1a of every event.
struct Digest(u64);

impl Journal for Digest {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        self.0 = format!("{event:?}").bytes().fold(self.0, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Set = (&'static str, &'static str);

/// A shipped workload, shortened, with other values of some keys.
fn shortened(name: &str, overrides: &[Set]) -> Workload {
    let path = format!("{}/workloads/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("it can be read");
    let short = [
        ("phases.warmup", "500ms"),
        ("phases.main", "3s"),
        ("phases.recovery", "500ms"),
        ("phases.quiesce", "1500ms"),
        ("phases.settle", "100ms"),
        ("fault.0.every", "1500ms"),
        ("fault.0.for", "300ms"),
        ("fault.0.offset", "100ms"),
        ("fault.1.every", "1500ms"),
        ("fault.1.for", "300ms"),
        ("fault.1.offset", "800ms"),
    ];
    let own = |(key, value): &Set| ((*key).to_owned(), (*value).to_owned());
    let overrides: Vec<_> = short.iter().chain(overrides).map(own).collect();
    Workload::parse(&path, &text, &overrides).expect("it is sound")
}

fn journaled(workload: &Workload, seed: u64) -> (History, u64) {
    let TargetChoice::Store(chosen) = &workload.target else { panic!("no embedded store") };
    let mut target = store::build(&chosen.name, &chosen.options, seed).expect("it is sound");
    let mut generator = workload.generator(seed, target.nodes());
    let (mut digest, stop) = (Digest(0xcbf2_9ce4_8422_2325), AtomicBool::new(false));
    let driven = drive(&mut *target, &mut generator, &mut digest, Header::default(), &stop);
    (driven.expect("the simulator can be driven").history, digest.0)
}

/// The histories of so many seeds, judged.
fn judged<T: Send>(
    name: &str,
    overrides: &[Set],
    seeds: u64,
    judge: impl Fn(u64, &History) -> T + Sync,
) -> Vec<T> {
    let workload = shortened(name, overrides);
    let judge = |seed| judge(seed, &journaled(&workload, seed).0);
    (0..seeds).into_par_iter().map(judge).collect()
}

/// Whether one of twenty seeds gives a history that is like that.
fn seen(name: &str, overrides: &[Set], is_like_that: impl Fn(&History) -> bool + Sync) -> bool {
    let workload = shortened(name, overrides);
    (0..20).into_par_iter().any(|seed| is_like_that(&journaled(&workload, seed).0))
}

/// How many seeds a level is tried under.
fn cases() -> u64 {
    std::env::var("RASHOMON_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(4)
}

/// Each level with the store's options for it and the next stronger one, which it must not give.
const LEVELS: [(&[Set], Level, Option<Level>); 8] = [
    (&[("target.isolation", "strict-serializable")], Level::StrictSerializable, None),
    (
        &[("target.isolation", "serializable"), ("target.sessions", "token")],
        Level::SessionSerializable,
        Some(Level::StrictSerializable),
    ),
    (
        &[("target.isolation", "serializable")],
        Level::Serializable,
        Some(Level::SessionSerializable),
    ),
    (
        &[("target.isolation", "snapshot-isolation")],
        Level::SnapshotIsolation,
        Some(Level::Serializable),
    ),
    (PARALLEL, Level::ParallelSnapshotIsolation, Some(Level::SnapshotIsolation)),
    (
        &[("target.isolation", "prefix-consistency")],
        Level::ReadCommitted,
        Some(Level::SnapshotIsolation),
    ),
    (
        &[("target.isolation", "read-committed")],
        Level::ReadCommitted,
        Some(Level::ParallelSnapshotIsolation),
    ),
    (
        &[("target.isolation", "read-uncommitted")],
        Level::ReadUncommitted,
        Some(Level::ReadCommitted),
    ),
];

/// Snapshots of copies lag behind, so that a hot list is hardly ever current: more lists, and a few
/// long transactions that read everywhere.
const PARALLEL: &[Set] = &[
    ("target.isolation", "parallel-snapshot-isolation"),
    ("keys.count", "40"),
    ("keys.choose", "uniform"),
    ("keys.writes", "16"),
    ("operation.1.length", "8..12"),
];

const ROUGH: [Set; 3] =
    [("target.loss", "0.01"), ("target.duplication", "0.05"), ("target.reordering", "0.05")];

#[test]
fn each_level_keeps_its_promise_and_gives_no_more() {
    for (options, level, stronger) in LEVELS {
        let more = judged("txn-append", options, cases(), |seed, history| {
            let dependencies = Dependencies::of(history);
            assert!(dependencies.satisfy(level), "{options:?}, seed {seed}: no {level:?}");
            stronger.is_none_or(|stronger| dependencies.satisfy(stronger))
        });
        let kept = stronger.is_none() || more.contains(&false);
        assert!(kept, "{options:?} looks like {stronger:?} under every seed");
    }
}

#[test]
fn a_rough_network_and_stopped_nodes_change_no_level() {
    for (options, level, _) in LEVELS {
        let pauses = [("fault.1.inject", "pause"), ("fault.0.shape", "one-way")];
        let options = [options, &ROUGH, &pauses].concat();
        judged("txn-append", &options, cases().div_ceil(2), |seed, history| {
            assert!(Dependencies::of(history).satisfy(level), "{options:?}, seed {seed}");
        });
    }
}

#[test]
fn outside_faults_nine_of_ten_transactions_commit() {
    for (options, ..) in LEVELS {
        let fractions = judged("txn-append", options, cases(), |_, history| {
            let calm = measure(history).outside_faults(history).expect("a clock");
            calm.ok_fraction().expect("there are some")
        });
        let mean = fractions.iter().sum::<f64>() / fractions.len() as f64;
        assert!(mean >= 0.9, "{options:?}: {mean:.3}");
    }
}

#[test]
fn one_seed_gives_one_history() {
    for (options, ..) in LEVELS {
        let workload = shortened("txn-append", &[options, &ROUGH].concat());
        let digest = journaled(&workload, 7).1;
        assert_eq!(journaled(&workload, 7).1, digest, "{options:?}");
        assert_ne!(journaled(&workload, 8).1, digest, "{options:?}");
    }
}

/// A bug, where it is planted, the promise it breaks, and by which properties it shows.
type Planted = (&'static str, &'static str, &'static [Set], Level, &'static [Property]);

const BUGS: [Planted; 10] = [
    (
        "lost-update",
        "snapshot-isolation",
        &[],
        Level::SnapshotIsolation,
        &[Property::Lu, Property::GSingle],
    ),
    ("write-skew", "serializable", &[], Level::Serializable, &[Property::G2Item]),
    (
        "phantom",
        "strict-serializable",
        &[("keys.writes", "2")],
        Level::StrictSerializable,
        &[Property::Ser],
    ),
    (
        "non-repeatable-read",
        "snapshot-isolation",
        &[],
        Level::SnapshotIsolation,
        &[Property::GSingle],
    ),
    ("dirty-read", "read-committed", &[], Level::ReadCommitted, &[Property::G1a, Property::G1b]),
    ("dirty-write", "read-committed", &[], Level::ReadUncommitted, &[Property::G0]),
    ("torn-commit", "snapshot-isolation", &[], Level::SnapshotIsolation, &[Property::Fr]),
    ("stale-snapshot", "strict-serializable", &[], Level::StrictSerializable, &[Property::Sser]),
    (
        "long-fork",
        "snapshot-isolation",
        &[("clients.routing", "sticky")],
        Level::SnapshotIsolation,
        &[Property::GNonadjacent, Property::Lf],
    ),
    (
        "forgotten-token",
        "serializable",
        &[("target.sessions", "token")],
        Level::SessionSerializable,
        &[Property::GSingleProcess],
    ),
];

fn planted(bug: &'static str, isolation: &'static str, options: &[Set]) -> Vec<Set> {
    [&[("target.isolation", isolation), ("target.bug", bug)], options].concat()
}

#[test]
fn every_planted_bug_breaks_its_level_within_twenty_seeds() {
    let info = STORES.iter().find(|store| store.name == "transactional").expect("it is there");
    for bug in info.bugs {
        assert!(BUGS.iter().any(|(name, ..)| *name == bug.name), "{} is not tried", bug.name);
    }
    for (bug, isolation, options, level, _) in BUGS {
        let overrides = planted(bug, isolation, options);
        let breaks = |history: &History| !Dependencies::of(history).satisfy(level);
        assert!(seen("txn-append", &overrides, breaks), "{bug} is not seen in {isolation}");
        let sound = planted("none", isolation, options);
        judged("txn-append", &sound, cases(), |seed, history| {
            assert!(Dependencies::of(history).satisfy(level), "{bug} without it, seed {seed}");
        });
    }
}

// ---- what the other workloads are for ---------------------------------------------------------

const SNAPSHOTS: &[Set] = &[("target.isolation", "snapshot-isolation"), ("target.bug", "none")];
const SERIALIZABLE: &[Set] = &[("target.isolation", "serializable"), ("target.bug", "none")];

/// Whether a judge accuses the workload on its own target, and never on the mended one.
fn shows(name: &str, mended: &[Set], count: impl Fn(&History) -> usize + Sync) {
    assert!(seen(name, &[], |history| count(history) > 0), "{name} shows nothing");
    judged(name, mended, cases(), |seed, history| {
        assert_eq!(count(history), 0, "{name} with {mended:?}, seed {seed}");
    });
}

fn violations(verdict: Option<rashomon::check::Verdict>) -> usize {
    let verdict = verdict.expect("it is judged");
    assert_ne!(verdict.status, Status::Unknown, "{:?}", verdict.reason);
    usize::from(verdict.status == Status::Invalid)
}

#[test]
fn the_bank_loses_money_and_the_rows_are_torn_under_read_committed() {
    let limits = Limits::default();
    shows("bank", SNAPSHOTS, |history| violations(bank::check(history, &limits)));
    shows("bank", SERIALIZABLE, |history| violations(bank::check(history, &limits)));
    shows("rows", SNAPSHOTS, |history| violations(torn::check(history, &limits)));
    let bug = [SNAPSHOTS, &[("target.bug", "torn-commit")]].concat();
    let tears = |history: &History| violations(torn::check(history, &limits)) > 0;
    assert!(seen("rows", &bug, tears), "a torn commit tears rows");
}

#[test]
fn forks_and_skews_show_where_they_are_allowed() {
    shows("long-fork", SNAPSHOTS, forks);
    shows("write-skew", SERIALIZABLE, skews);
    shows("predicate", SERIALIZABLE, skews);
}

#[test]
fn an_account_is_only_overdrawn_where_it_may_be() {
    let least = |history: &History| {
        let reads = history.txns().filter(|txn| txn.is_ok()).flat_map(Txn::accesses);
        let maps = reads.filter(|access| access.function == Function::Read);
        let balances = maps.flat_map(|access| match history.values().value(access.value) {
            Value::Map(entries) => entries.iter().filter_map(|(_, one)| one.as_int()).collect(),
            _ => Vec::new(),
        });
        balances.min().expect("there are accounts")
    };
    for (overdraft, below) in [("false", false), ("true", true)] {
        let options = [SERIALIZABLE, &[("bank.overdraft", overdraft)]].concat();
        let found = judged("bank", &options, 4, |_, history| least(history) < 0);
        assert_eq!(found.contains(&true), below, "overdraft = {overdraft}");
    }
}

// ---- by name ----------------------------------------------------------------------------------

/// What the checkers of transactions, rows and banks say is violated, each by itself.
fn invalid(history: &History) -> Vec<Property> {
    let limits = Limits::default();
    let mut verdicts = transaction::check(history, &limits);
    verdicts.extend(provenance::check(history, &limits));
    verdicts.extend(fractured::check(history, &limits));
    verdicts.extend(torn::check(history, &limits));
    verdicts.extend(bank::check(history, &limits));
    let violated = verdicts.iter().filter(|verdict| verdict.status == Status::Invalid);
    violated.map(|verdict| verdict.property).collect()
}

#[test]
fn every_planted_bug_is_found_by_name() {
    for (bug, isolation, options, _, properties) in BUGS {
        let overrides = planted(bug, isolation, options);
        // A writer that has read what its node does not show yet breaks causes too (G-single): only
        // writes that read nothing show a fork and no more.
        let workload = if bug == "long-fork" { "long-fork" } else { "txn-append" };
        for property in properties {
            let shows = seen(workload, &overrides, |history| invalid(history).contains(property));
            assert!(shows, "{bug} in {isolation} does not show as {}", property.name());
        }
    }
}

const TOKEN: Set = ("target.sessions", "token");

/// A workload, the store's options, the promise of that level, and the next stronger one, which it
/// must not give. (Without a check of what is written, lists that are read after an own append show
/// an order that nobody else will see: prefix consistency is told by registers.)
const PROMISES: [(&str, &[Set], Property, Option<Property>); 11] = [
    ("txn-append", &[("target.isolation", "strict-serializable")], Property::Sser, None),
    (
        "txn-append",
        &[("target.isolation", "serializable"), TOKEN],
        Property::SsSer,
        Some(Property::Sser),
    ),
    ("txn-append", &[("target.isolation", "serializable")], Property::Ser, Some(Property::SsSer)),
    (
        "txn-append",
        &[("target.isolation", "strong-snapshot-isolation")],
        Property::SSi,
        Some(Property::Ser),
    ),
    (
        "txn-append",
        &[("target.isolation", "snapshot-isolation"), TOKEN],
        Property::SsSi,
        Some(Property::SSi),
    ),
    (
        "txn-append",
        &[("target.isolation", "snapshot-isolation")],
        Property::Si,
        Some(Property::SsSi),
    ),
    (
        "txn-register",
        &[("target.isolation", "snapshot-isolation")],
        Property::Si,
        Some(Property::Ser),
    ),
    ("txn-append", PARALLEL, Property::Psi, Some(Property::Si)),
    (
        "txn-register",
        &[("target.isolation", "prefix-consistency")],
        Property::Pc,
        Some(Property::Psi),
    ),
    ("txn-append", &[("target.isolation", "read-committed")], Property::Rc, Some(Property::Ra)),
    ("txn-append", &[("target.isolation", "read-uncommitted")], Property::G0, Some(Property::Rc)),
];

#[test]
fn each_level_is_judged_by_name() {
    for (workload, options, promise, stronger) in PROMISES {
        let refused = judged(workload, options, cases(), |seed, history| {
            let violated = invalid(history);
            let broken = violated.iter().find(|property| promise.is_at_least(**property));
            assert_eq!(broken, None, "{workload} with {options:?}, seed {seed}");
            stronger.is_some_and(|stronger| violated.contains(&stronger))
        });
        let gives_more = stronger.is_some() && !refused.contains(&true);
        assert!(!gives_more, "{workload} with {options:?} looks like {stronger:?}");
    }
}

#[test]
fn each_workload_shows_by_name_what_it_is_for() {
    for (name, mended) in [
        ("txn-append", SERIALIZABLE),
        ("txn-register", SNAPSHOTS),
        ("bank", SNAPSHOTS),
        ("long-fork", SNAPSHOTS),
        ("write-skew", SERIALIZABLE),
        ("rows", SNAPSHOTS),
        ("predicate", SERIALIZABLE),
    ] {
        let hold = Expected::from_names(&shortened(name, &[]).expect).expect("known names").hold;
        shows(name, mended, |history| {
            invalid(history).iter().filter(|property| hold.contains(property)).count()
        });
    }
}
