//! The weaknesses of Elle that its successors must not have (each was reproduced with Elle itself), and
//! agreement with Elle on recorded histories.

#![expect(clippy::print_stdout, reason = "what is skipped is said")]
#![expect(dead_code, reason = "the plain histories are shared with other tests")]

#[path = "oracle/plain.rs"]
mod plain;

use std::path::Path;

use plain::load;
use rashomon::check::{Assumption, Expected, Limits, Property, Status, Verdict, assess};
use rashomon::check::{incompatible_order, provenance, transaction};
use rashomon::history::{History, read};

fn line(process: u32, kind: &str, invoked: u32, returned: u32, mops: &str) -> String {
    let returned = if kind == "info" { "null".to_owned() } else { returned.to_string() };
    format!(
        r#"{{"p":{process},"type":"{kind}","inv":{invoked},"ret":{returned},"f":"txn","v":{mops}}}"#
    )
}

/// Transactions that follow each other in real time, each of a process of its own.
fn serial(txns: &[(&str, &str)]) -> History {
    let lines: Vec<String> = (0..)
        .zip(txns)
        .map(|(at, (kind, mops))| line(at, kind, 10 * at, 10 * at + 5, mops))
        .collect();
    load(&lines.join("\n"))
}

/// Transactions that are all open at once.
fn concurrent(txns: &[(&str, &str)]) -> History {
    let lines: Vec<String> =
        (0..).zip(txns).map(|(at, (kind, mops))| line(at, kind, at, 1_000 + at, mops)).collect();
    load(&lines.join("\n"))
}

fn verdicts(history: &History) -> Vec<Verdict> {
    assess(history, &Limits::default(), Expected::default()).verdicts
}

fn of(verdicts: &[Verdict], property: Property) -> &Verdict {
    verdicts.iter().find(|one| one.property == property).expect("judged")
}

fn violated(history: &History, property: Property) -> bool {
    of(&verdicts(history), property).status == Status::Invalid
}

#[test]
fn weakness_1_a_value_that_nobody_wrote_is_a_verdict() {
    let register =
        serial(&[("ok", r#"[["w","x",1],["r","y",null]]"#), ("ok", r#"[["r","x",99]]"#)]);
    let list = serial(&[
        ("ok", r#"[["append","x",1],["append","y",1]]"#),
        ("ok", r#"[["append","x",2],["append","y",2]]"#),
        ("ok", r#"[["r","y",[2,1]],["r","x",[1,2,99]]]"#),
    ]);
    for history in [&register, &list] {
        assert!(violated(history, Property::Thin));
        assert!(violated(history, Property::Sser));
    }
    // The rest is judged all the same.
    assert!(violated(&list, Property::G0));
}

#[test]
fn weakness_2_a_stale_read_of_a_register_needs_no_assumption_but_an_honest_one() {
    let stale = serial(&[
        ("ok", r#"[["w","x",1]]"#),
        ("ok", r#"[["w","x",2]]"#),
        ("ok", r#"[["r","x",1],["r","y",null]]"#),
    ]);
    let limits = Limits { assume: vec![Assumption::WritesInRealTimeOrder], ..Limits::default() };
    let found = assess(&stale, &limits, Expected::default()).verdicts;
    let verdict = of(&found, Property::GSingleRealtime);
    assert_eq!(verdict.status, Status::Invalid);
    assert_eq!(verdict.anomalies[0].assumes, [Assumption::WritesInRealTimeOrder]);
    for innocent in [Property::CyclicVersions, Property::Rc, Property::Ser] {
        assert_ne!(of(&found, innocent).status, Status::Invalid, "{innocent:?}");
    }
    // Without it nothing is claimed to hold.
    assert_ne!(of(&verdicts(&stale), Property::Sser).status, Status::Valid);
}

#[test]
fn weakness_3_a_read_of_the_future_is_seen_in_registers_too() {
    let history = serial(&[("ok", r#"[["r","x",1],["w","x",1]]"#)]);
    let found = verdicts(&history);
    let verdict = of(&found, Property::Int);
    assert_eq!(verdict.anomalies[0].kind, "future-read");
    // What an indeterminate transaction wrote counts once it is seen.
    let history = concurrent(&[
        ("info", r#"[["w","x",1],["w","y",1]]"#),
        ("ok", r#"[["r","x",1],["r","y",null]]"#),
    ]);
    assert!(violated(&history, Property::GSingle));
}

#[test]
fn weakness_4_one_bad_write_does_not_lose_the_verdict() {
    let register = concurrent(&[
        ("ok", r#"[["w","z",7]]"#),
        ("ok", r#"[["w","z",7]]"#),
        ("ok", r#"[["r","x",null],["w","x",1]]"#),
        ("ok", r#"[["r","x",null],["w","x",2]]"#),
    ]);
    assert!(violated(&register, Property::Lu));
    assert!(violated(&register, Property::G2Item));
    let list = concurrent(&[
        ("ok", r#"[["append","z",7]]"#),
        ("ok", r#"[["append","z",7]]"#),
        ("ok", r#"[["r","x",[]],["append","x",1]]"#),
        ("ok", r#"[["r","x",[]],["append","x",2]]"#),
    ]);
    assert!(violated(&list, Property::Lu));
    assert!(violated(&list, Property::Si));
}

/// Many transactions that overwrite each other on two keys in opposite orders: one large component.
fn tangle(size: u32) -> History {
    let mut lines: Vec<String> = (0..size)
        .map(|at| {
            line(
                at,
                "ok",
                at,
                10_000 + at,
                &format!(r#"[["append","x",{at}],["append","y",{at}]]"#),
            )
        })
        .collect();
    let forth: Vec<String> = (0..size).map(|at| at.to_string()).collect();
    let back: Vec<String> = forth.iter().rev().cloned().collect();
    let (forth, back) = (forth.join(","), back.join(","));
    let reads = format!(r#"[["r","x",[{forth}]],["r","y",[{back}]]]"#);
    lines.push(line(size, "ok", 30_000, 30_001, &reads));
    load(&lines.join("\n"))
}

#[test]
fn weakness_5_a_huge_component_is_searched_to_the_end() {
    let found = verdicts(&tangle(2_000));
    let verdict = of(&found, Property::G0);
    assert_eq!(verdict.status, Status::Invalid);
    assert_eq!(verdict.anomalies[0].cycle.len(), 2, "the smallest cycle");
}

#[test]
fn weakness_6_several_examples_and_a_count() {
    let found = verdicts(&tangle(50));
    let verdict = of(&found, Property::G0);
    assert_eq!(verdict.anomalies.len(), Limits::default().anomalies);
    assert_eq!(verdict.count, 49, "one cycle for each pair of neighbours");
    for anomaly in &verdict.anomalies {
        let again = tangle(50).subset(&anomaly.operations);
        assert!(violated(&again, Property::G0), "the witness alone refutes");
    }
}

#[test]
fn weakness_7_an_incompatible_order_spoils_its_own_key_only() {
    let history = concurrent(&[
        ("ok", r#"[["append","x",1],["r","y",[]],["append","y",1]]"#),
        ("ok", r#"[["append","x",2],["r","y",[]],["append","y",2]]"#),
        ("ok", r#"[["r","x",[1]]]"#),
        ("ok", r#"[["r","x",[2]]]"#),
    ]);
    let found = verdicts(&history);
    assert_eq!(of(&found, Property::Inco).status, Status::Invalid);
    assert_eq!(of(&found, Property::G0).status, Status::Valid, "no cycle made of the broken key");
    assert_eq!(of(&found, Property::Lu).status, Status::Invalid, "y is judged");
}

#[test]
fn what_a_transaction_appended_itself_may_be_committed_after_the_appends_of_others() {
    let txns = [
        ("ok", r#"[["r","x",[]],["append","x",1],["r","x",[1]]]"#),
        ("ok", r#"[["append","x",2]]"#),
        ("ok", r#"[["r","x",[2,1]]]"#),
    ];
    let found = verdicts(&concurrent(&txns));
    for property in [Property::Inco, Property::Rc, Property::Ra, Property::Tcc, Property::Pc] {
        assert_eq!(of(&found, property).status, Status::Valid, "{property:?}");
    }
    assert_eq!(of(&found, Property::Psi).status, Status::Invalid, "an update is lost");
    // What another reads is committed.
    let shown = concurrent(&[txns[0], txns[1], txns[2], ("ok", r#"[["r","x",[1]]]"#)]);
    assert!(violated(&shown, Property::Inco));
}

#[test]
fn appends_of_a_transaction_are_shown_as_it_made_them() {
    for list in ["[2,1]", "[2]", "[1,3,2]", "[1]"] {
        let read = format!(r#"[["r","x",{list}]]"#);
        let history = concurrent(&[
            ("ok", r#"[["append","x",1],["append","x",2]]"#),
            ("ok", r#"[["append","x",3]]"#),
            ("ok", &read),
        ]);
        let found = verdicts(&history);
        for property in [Property::Rc, Property::Psi, Property::Ser] {
            assert_eq!(of(&found, property).status, Status::Invalid, "{list} {property:?}");
        }
    }
}

#[test]
fn weakness_8_a_store_that_never_shows_a_write_stays_cheap() {
    let count = 3_000;
    let mut lines: Vec<String> = (0..count)
        .map(|at| {
            line(at, "ok", 10 * at, 10 * at + 5, &format!(r#"[["w","x",{at}],["r","y",null]]"#))
        })
        .collect();
    lines.extend(
        (count..2 * count)
            .map(|at| line(at, "ok", 10 * at, 10 * at + 5, r#"[["r","x",null],["r","y",null]]"#)),
    );
    // Nine million anti-dependencies, of which a bounded part is stored and suffices.
    assert!(violated(&load(&lines.join("\n")), Property::GSingleRealtime));
}

/// Session guarantees, long fork and the models of single operations are judged in the history in which
/// the cycles are looked for, each with a verdict of its own.
#[test]
fn weakness_9_session_guarantees_are_judged_beside_cycles() {
    let lines = [
        line(0, "ok", 0, 5, r#"[["append","x",1]]"#),
        line(0, "ok", 10, 15, r#"[["r","x",[]]]"#),
        line(1, "ok", 20, 25, r#"[["r","x",[1]]]"#),
        line(1, "ok", 30, 35, r#"[["r","x",[]]]"#),
    ];
    let verdicts = verdicts(&load(&lines.join("\n")));
    for broken in [Property::Ryw, Property::Mr, Property::GSingleProcess, Property::SsRa] {
        assert_eq!(of(&verdicts, broken).status, Status::Invalid, "{}", broken.id());
    }
    for kept in [Property::Mw, Property::Wfr, Property::Lf, Property::Ser] {
        assert_eq!(of(&verdicts, kept).status, Status::Valid, "{}", kept.id());
    }
}

#[test]
fn weakness_10_two_updates_of_the_initial_value_are_lost_only_if_it_is_the_initial_one() {
    let twice = concurrent(&[
        ("ok", r#"[["r","x",null],["w","x",1]]"#),
        ("ok", r#"[["r","x",null],["w","x",2]]"#),
    ]);
    assert!(violated(&twice, Property::Lu));
    let written = concurrent(&[
        ("ok", r#"[["w","x",null]]"#),
        ("ok", r#"[["r","x",null],["w","x",1]]"#),
        ("ok", r#"[["r","x",null],["w","x",2]]"#),
    ]);
    assert!(!violated(&written, Property::Lu));
    // A missed anomaly: a read of what was not yet begun.
    let early = serial(&[("ok", r#"[["r","x",[1]]]"#), ("ok", r#"[["append","x",1]]"#)]);
    assert!(violated(&early, Property::G1cRealtime));
}

/// A recorded history, what it must violate, and what it must not.
type Recorded = (&'static str, &'static [Property], &'static [Property]);

const RECORDED: [Recorded; 13] = {
    use Property as P;
    [
        // The paper takes what a transaction saw of its own append for the order of commits; we do
        // not, so the read skew is a cycle of two anti-dependencies. The levels are the same.
        ("elle/paper-example.edn", &[P::G2Item, P::Psi, P::Si], &[P::G0, P::G1c]),
        ("elle-cli/list-append-gh-30.edn", &[P::G2Item, P::Ser], &[P::G0, P::G1c, P::GSingle]),
        // Elle calls it valid: it does not ask who wrote the value that was read.
        (
            "elle-cli/rw-register.edn",
            &[P::Thin, P::Rc, P::Sser],
            &[P::G0, P::G1c, P::GSingle, P::G2Item],
        ),
        // Nobody recorded the writes of which each reader saw but one.
        ("elle-cli/long-fork.edn", &[P::Thin, P::Si, P::Sser], &[P::G0, P::G1c, P::Int, P::Lu]),
        (
            "elle/huge-scc.edn.gz",
            &[P::G2ItemRealtime, P::SSi, P::Sser],
            &[P::G0, P::G1c, P::Thin, P::Inco, P::Int],
        ),
        ("elle-sim/list-append-ssi-10k.edn.gz", &[], &[P::G2Item, P::Sser, P::Inco, P::Int]),
        (
            "elle-sim/list-append-si-10k.edn.gz",
            &[P::G2Item, P::Ser],
            &[P::GSingle, P::GNonadjacent, P::Si, P::SSi],
        ),
        ("elle-sim/list-append-prefix-10k.edn.gz", &[P::Inco, P::Lu, P::Sser], &[P::Thin]),
        (
            "elle-sim/list-append-brat-10k.edn.gz",
            &[P::G0, P::G1b, P::G1c, P::GSingle, P::GNonadjacent, P::G2Item, P::Int, P::Lu],
            &[],
        ),
        ("elle-sim/rw-register-ssi-10k.edn.gz", &[], &[P::G2Item, P::Sser, P::Int, P::Lu]),
        ("elle-sim/rw-register-si-10k.edn.gz", &[P::G2Item], &[P::GSingle, P::Si, P::SSi]),
        ("elle-sim/rw-register-prefix-10k.edn.gz", &[P::G2Item, P::Lu], &[P::G0, P::Int]),
        (
            "elle-sim/rw-register-brat-10k.edn.gz",
            &[P::G1b, P::G1c, P::GSingle, P::G2Item, P::Int, P::Lu],
            &[],
        ),
    ]
};

#[test]
fn recorded_histories_have_the_verdicts_of_elle() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/histories");
    for (file, broken, kept) in RECORDED {
        let Ok(history) = read(&folder.join(file), None) else {
            println!("skipped: there is no ../shared/histories/{file}");
            continue;
        };
        let limits = Limits::default();
        let checks =
            [transaction::check(&history, &limits), provenance::check(&history, &limits).to_vec()];
        let inco = incompatible_order::check(&history, &limits);
        let whole: Vec<Verdict> = checks.into_iter().flatten().chain(inco).collect();
        for property in broken {
            assert_eq!(of(&whole, *property).status, Status::Invalid, "{file} {property:?}");
        }
        for property in kept {
            let broken = whole
                .iter()
                .find(|one| one.property == *property)
                .filter(|one| one.status == Status::Invalid);
            assert!(broken.is_none(), "{file} {broken:#?}");
        }
    }
}
