//! TORN, FR, DUPID, CNT, INV and BANK against their literal definitions, and by name.
#![expect(clippy::print_stdout, reason = "a test says what it skips")]

#[path = "oracle/ancestry.rs"]
mod ancestry;
#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/invariants.rs"]
mod definition;
#[path = "oracle/lines.rs"]
mod lines;

use cases::cases;
use compared::tell;
use lines::{Line, examples, history, load};
use rashomon::check::{
    Expected, Limits, Property, Status, Verdict, assess, bank, counter, duplication, fractured,
    inventory, torn,
};
use rashomon::history::History;
use rashomon::model::Random;
use rayon::prelude::*;
use serde_json::{Value as Json, json};

const CASES: u64 = 100_000;

type Check = fn(&History, &Limits) -> Option<Verdict>;

/// Compares a checker with its definition on random histories; both verdicts must be common.
fn agrees(
    stream: &str,
    check: Check,
    random: impl Fn(&mut Random) -> Vec<Line> + Sync,
    truth: impl Fn(&[Line]) -> usize + Sync,
) {
    let limits = Limits { anomalies: 100, ..Limits::default() };
    let all = cases(CASES);
    let said: Vec<Option<(Property, Status)>> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let lines = random(&mut Random::stream(seed, stream));
            let history = history(&lines);
            let truth = truth(&lines);
            let Some(verdict) = check(&history, &limits) else {
                assert_eq!(truth, 0, "{history:?}");
                return None;
            };
            assert_eq!(verdict.count, truth as u64, "{history:?} {verdict:?}");
            assert_eq!(verdict.status == Status::Invalid, truth > 0, "{history:?} {verdict:?}");
            for anomaly in &verdict.anomalies {
                let again = check(&history.subset(&anomaly.operations), &limits);
                let status = again.map(|verdict| verdict.status);
                assert_eq!(status, Some(Status::Invalid), "{history:?} {anomaly:?}");
                assert!(!anomaly.sentence.is_empty());
            }
            Some((verdict.property, verdict.status))
        })
        .collect();
    let property = said.iter().flatten().next().expect("something to judge").0;
    let violated = tell(property, stream, said.iter().flatten().map(|one| one.1)) as u64;
    assert!((all / 20..all - all / 20).contains(&violated), "{violated} of {all} violate {stream}");
}

fn value_or_null(n: i64) -> Json {
    if n == 0 { Json::Null } else { json!(n) }
}

#[test]
fn torn_rows_are_those_of_the_definition() {
    let rows = |random: &mut Random| {
        let mut lines = Vec::new();
        for tag in 1..=1 + random.below(3) as i64 {
            let one = tag + i64::from(random.chance(0.05));
            let mut parts = vec![json!(["w", "r.a", one]), json!(["w", "r.b", tag])];
            if random.chance(0.02) {
                parts.pop();
            }
            lines.push(Line::random(random, 0).does("txn", "r", json!(parts)));
        }
        for _ in 0..=random.below(3) {
            let [a, b] = [random.below(5) as i64, random.below(5) as i64].map(value_or_null);
            let mut parts = vec![json!(["r", "r.a", a]), json!(["r", "r.b", b])];
            if random.chance(0.1) {
                let tag = 10 + lines.len();
                parts.insert(1, json!(["w", "r.a", tag]));
                parts.push(json!(["w", "r.b", tag]));
            }
            let line = Line::random(random, 4).does("txn", "r", json!(parts));
            lines.push(Line { is_final: random.chance(0.3), ..line });
        }
        lines
    };
    agrees("torn", torn::check, rows, definition::torn);
}

#[test]
fn fractured_reads_are_those_of_the_definition() {
    let registers = |random: &mut Random| {
        let mut lines = Vec::new();
        for value in 1..=1 + random.below(4) as i64 {
            let old = value_or_null(random.below(value as u64) as i64);
            let value = value + i64::from(random.chance(0.05));
            let parts = match random.below(4) {
                0 => vec![json!(["w", "y", value])],
                1 => {
                    vec![json!(["r", "y", old]), json!(["w", "y", value]), json!(["w", "x", value])]
                }
                2 => vec![json!(["r", "y", old]), json!(["w", "y", value])],
                _ => vec![json!(["w", "x", value]), json!(["w", "y", value])],
            };
            lines.push(Line::random(random, 0).does("txn", "x", json!(parts)));
        }
        for _ in 0..=random.below(3) {
            let [x, y] = [random.below(5) as i64, random.below(5) as i64].map(value_or_null);
            let parts = json!([["r", "x", x], ["r", "y", y]]);
            lines.push(Line::random(random, 4).does("txn", "x", parts));
        }
        lines
    };
    agrees("fractured", fractured::check, registers, |lines| definition::fractured(lines, false));
}

#[test]
fn fractured_lists_are_those_of_the_definition() {
    let lists = |random: &mut Random| {
        let mut lines = Vec::new();
        for value in 1..=1 + random.below(4) as i64 {
            let mut parts = vec![json!(["append", "x", value]), json!(["append", "y", value])];
            if random.chance(0.3) {
                parts.pop();
            }
            if random.chance(0.2) {
                parts.push(json!(["append", "y", value + 10]));
            }
            if random.chance(0.2) {
                let seen: Vec<i64> = (1..=value).collect();
                parts.push(json!(["r", "x", seen]));
                parts.push(json!(["r", "y", seen]));
            }
            lines.push(Line::random(random, 0).does("txn", "x", json!(parts)));
        }
        for _ in 0..=random.below(3) {
            let [x, y] = [0, 1].map(|_| -> Vec<i64> {
                let values = [1, 2, 12, 3, 13, 4];
                values.into_iter().filter(|_| random.chance(0.6)).collect()
            });
            let parts = json!([["r", "x", x], ["r", "y", y]]);
            lines.push(Line::random(random, 4).does("txn", "x", parts));
        }
        lines
    };
    agrees("lists", fractured::check, lists, |lines| definition::fractured(lines, true));
}

#[test]
fn repeated_ids_are_those_of_the_definition() {
    let ids = |random: &mut Random| {
        let count = 1 + random.below(5);
        let one = |_| {
            let key = *random.pick(&["user", "order"]);
            let id = random.below(12) as i64;
            Line::random(random, 0).does("newid", key, json!(id))
        };
        (0..count).map(one).collect()
    };
    agrees("ids", duplication::ids, ids, definition::repeated_ids);
}

#[test]
fn counters_keep_their_bounds() {
    let counts = |random: &mut Random| {
        let mut lines = Vec::new();
        // Below and above eight additions, where witnesses begin to be cut.
        let few = random.chance(0.8);
        for _ in 0..if few { 1 + random.below(4) } else { 9 + random.below(3) } {
            let by = random.below(6) as i64 - 2;
            lines.push(Line::random(random, 0).does("inc", "c", json!(by)));
        }
        for _ in 0..=random.below(3) {
            let sum: i64 = lines
                .iter()
                .filter(|one| one.is_ok() && one.function == "inc")
                .filter_map(|one| one.value.as_i64())
                .sum();
            let near = sum + random.below(7) as i64 - 3;
            let value = if near == 0 && random.chance(0.5) { Json::Null } else { json!(near) };
            lines.push(Line::random(random, 8).does("r", "c", value));
        }
        lines
    };
    agrees("counter", counter::check, counts, definition::out_of_bounds);
}

#[test]
fn a_counter_that_nobody_touched_reads_as_zero() {
    let text = r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"inc","k":"a","v":2}
{"i":1,"p":0,"type":"ok","inv":2,"ret":3,"f":"r","k":"a","v":2}
{"i":2,"p":0,"type":"ok","inv":4,"ret":5,"f":"r","k":"b","v":0}"#;
    let violated = |text: &str| {
        let assessment = assess(&load(text), &Limits::default(), Expected::default());
        let of = |one: &Verdict| (one.status == Status::Invalid).then_some(one.property);
        assessment.verdicts.iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(violated(text), []);
    // What nobody added is not there.
    assert!(violated(&text.replace("\"v\":0", "\"v\":1")).contains(&Property::Cnt));
    // Beside a register it is one, and nobody wrote 0.
    let beside = text.replace("inc", "w");
    assert!(violated(&beside).contains(&Property::Thin));
}

#[test]
fn stocks_are_accounted_for() {
    let stock = |random: &mut Random| {
        let initial = random.below(12) as i64;
        let begin = Line { kind: "ok", invoked: 0, returned: 0, ..Line::random(random, 0) };
        let mut lines = vec![begin.does("init", "item", json!(initial))];
        let few = random.chance(0.8);
        for _ in 0..if few { random.below(5) } else { 8 + random.below(4) } {
            let amount = random.below(5) as i64 - i64::from(random.chance(0.1)) * 3;
            lines.push(Line::random(random, 1).does("buy", "item", json!(amount)));
        }
        for _ in 0..random.below(3) {
            let level = random.below(14) as i64 - 1;
            let line = Line::random(random, 10).does("level", "item", json!(level));
            lines.push(Line { is_final: random.chance(0.7), ..line });
        }
        lines
    };
    agrees("stock", inventory::check, stock, |lines| {
        definition::unaccounted(lines, lines[0].value.as_i64().expect("a number"))
    });
}

#[test]
fn totals_are_conserved() {
    let accounts = |random: &mut Random| {
        let mut lines = Vec::new();
        if random.chance(0.5) {
            let begin = Line { kind: "ok", invoked: 0, returned: 3, ..Line::random(random, 0) };
            lines.push(begin.does("init-bank", "bank", json!({"a": 5, "b": 5})));
        }
        for _ in 0..random.below(5) {
            let a = random.below(14) as i64 - 2;
            let b = if random.chance(0.8) { 10 - a } else { random.below(10) as i64 };
            let seen =
                if random.chance(0.5) { json!({"a": a, "b": b}) } else { json!({"b": b, "a": a}) };
            lines.push(Line::random(random, 0).does("bread", "bank", seen));
        }
        let transfer = json!({"from": "a", "to": "b", "amt": 3});
        lines.push(Line::random(random, 0).does("xfer", "bank", transfer));
        lines
    };
    agrees("bank", bank::check, accounts, definition::unconserved);
}

#[test]
fn examples_get_their_verdicts() {
    let checks: [(&str, Check); 6] = [
        ("TORN", torn::check),
        ("FR", fractured::check),
        ("DUPID", duplication::ids),
        ("CNT", counter::check),
        ("INV", inventory::check),
        ("BANK", bank::check),
    ];
    let examples = examples(&checks.map(|(id, _)| id));
    if examples.is_empty() {
        println!("skipped: the examples of the specification are not here");
        return;
    }
    assert!(examples.len() >= 14, "{} verdicts", examples.len());
    for (file, history, id, holds) in examples {
        let check = checks.iter().find(|(name, _)| *name == id).expect("asked for").1;
        let verdict = check(&history, &Limits::default());
        let status = verdict.as_ref().map(|verdict| verdict.status);
        assert_eq!(status == Some(Status::Invalid), !holds, "{file} {id} {verdict:?}");
        if file.starts_with(&id) {
            assert!(verdict.is_some(), "{file} {id}");
        }
    }
}

#[test]
fn runs_of_jepsen_hold() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/histories/elle-cli");
    // The counter was never read: nothing is wrong, and nothing was shown, not even that it counts.
    let files = [
        ("bank.edn.gz", Some(Property::Bank)),
        ("bank-neg.edn", Some(Property::Bank)),
        ("set.edn", Some(Property::SetLost)),
        ("counter.edn", None),
    ];
    for (file, holds) in files {
        if !folder.join(file).exists() {
            println!("skipped: {file} is not here");
            continue;
        }
        let history = rashomon::history::read(&folder.join(file), None).expect("a history");
        let assessment = assess(&history, &Limits::default(), Expected::default());
        for verdict in &assessment.verdicts {
            assert_ne!(verdict.status, Status::Invalid, "{file} {verdict:?}");
            if Some(verdict.property) == holds {
                assert_eq!(verdict.status, Status::Valid, "{file} {verdict:?}");
            }
        }
        assert!(holds.is_none_or(|property| assessment.verdict(property).is_some()), "{file}");
    }
}

/// Jepsen's counter asserts that nothing is ever subtracted.
#[test]
fn decrements_move_both_bounds() {
    let history = |seen: i64| {
        load(&format!(
            r#"{{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"inc","k":"c","v":5}}
{{"i":1,"p":1,"type":"ok","inv":0,"ret":1,"f":"inc","k":"c","v":-7}}
{{"i":2,"p":2,"type":"info","inv":2,"ret":null,"f":"inc","k":"c","v":-3}}
{{"i":3,"p":3,"type":"ok","inv":5,"ret":6,"f":"r","k":"c","v":{seen}}}"#
        ))
    };
    let status = |seen| counter::check(&history(seen), &Limits::default()).map(|one| one.status);
    let expected =
        [(-6, Status::Invalid), (-5, Status::Valid), (-2, Status::Valid), (-1, Status::Invalid)];
    for (seen, expected) in expected {
        assert_eq!(status(seen), Some(expected), "{seen}");
    }
    let verdict = counter::check(&history(-6), &Limits::default()).expect("a counter");
    assert_eq!(
        verdict.anomalies[0].sentence,
        "session 3 saw -6 in c (#3), but what had been acknowledged by then makes it at least -5"
    );
}

#[test]
fn ids_that_fall_are_a_matter_of_their_own() {
    let text = r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"newid","k":"user","v":7}
{"i":1,"p":1,"type":"ok","inv":2,"ret":3,"f":"newid","k":"user","v":5}
{"i":2,"p":2,"type":"ok","inv":2,"ret":3,"f":"newid","k":"user","v":8}"#;
    let limits = Limits::default();
    let verdict = duplication::ids(&load(text), &limits).expect("ids");
    assert_eq!((verdict.status, verdict.reason), (Status::Valid, None));
    let verdict = duplication::rising_ids(&load(text), &limits).expect("ids");
    assert_eq!((verdict.status, verdict.count), (Status::Invalid, 1));
    assert_eq!(
        verdict.anomalies[0].sentence,
        "user handed out id 5 to session 1 (#1, asked for at 2.0 ms) after session 0 had got id 7 \
         (#0, 1.0 ms): ids run backwards"
    );
    // Who expects nothing of the order of ids is told, and not failed.
    let weighed = assess(&load(text), &limits, Expected::default());
    assert_eq!(weighed.status, Status::Valid);
    assert_eq!(weighed.verdict(Property::Idreg).map(|one| one.status), Some(Status::Invalid));
    let expected = Expected { hold: vec![Property::Idreg], ..Expected::default() };
    assert_eq!(assess(&load(text), &limits, expected).violated(), [Property::Idreg]);
}

#[test]
fn ids_that_are_texts_are_not_compared() {
    let text = r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"newid","k":"user","v":"b"}
{"i":1,"p":1,"type":"ok","inv":2,"ret":3,"f":"newid","k":"user","v":"a"}"#;
    let verdict = duplication::rising_ids(&load(text), &Limits::default()).expect("ids");
    assert_eq!(verdict.status, Status::Unknown);
}

/// IDREG, word for word: an id below one that was handed out before it was asked for.
#[test]
fn falling_ids_are_those_of_the_definition() {
    let all = cases(CASES);
    let said: Vec<Option<Status>> = (0..all)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random::stream(seed, "falling ids");
            let ids: Vec<(&str, u64, u64, u64)> = (0..2 + random.below(5))
                .map(|_| {
                    let kind = *random.pick(&["ok", "ok", "ok", "info", "fail"]);
                    let invoked = random.below(20);
                    (kind, invoked, invoked + 1 + random.below(8), random.below(9))
                })
                .collect();
            let lines: Vec<String> = (0..)
                .zip(&ids)
                .map(|(at, (kind, invoked, returned, id)): (u32, _)| {
                    let returned =
                        if *kind == "info" { "null".to_owned() } else { returned.to_string() };
                    format!(
                        r#"{{"i":{at},"p":{at},"type":"{kind}","inv":{invoked},"ret":{returned},"f":"newid","k":"k","v":{id}}}"#
                    )
                })
                .collect();
            let history = load(&lines.join("\n"));
            let ok = || ids.iter().filter(|id| id.0 == "ok");
            let falls = |id: &&(&str, u64, u64, u64)| ok().any(|one| one.2 < id.1 && one.3 > id.3);
            let truth = ok().filter(falls).count() as u64;
            let verdict = duplication::rising_ids(&history, &Limits::default());
            let count = verdict.as_ref().map_or(0, |verdict| verdict.count);
            assert_eq!(count, truth, "{history:?} {verdict:?}");
            for anomaly in verdict.iter().flat_map(|verdict| &verdict.anomalies) {
                let alone = history.subset(&anomaly.operations);
                let again = duplication::rising_ids(&alone, &Limits::default());
                assert_eq!(again.map(|one| one.status), Some(Status::Invalid), "{anomaly:?}");
            }
            verdict.map(|verdict| verdict.status)
        })
        .collect();
    let violated = tell(Property::Idreg, "ids", said.into_iter().flatten()) as u64;
    assert!((all / 20..all - all / 20).contains(&violated), "{violated}");
}

#[test]
fn a_torn_row_is_told_as_lasting_or_not() {
    let history = |last: &str| {
        load(&format!(
            r#"{{"i":0,"p":0,"type":"ok","inv":0,"ret":5,"f":"txn","v":[["w","r.a",1],["w","r.b",1]]}}
{{"i":1,"p":1,"type":"ok","inv":1,"ret":6,"f":"txn","v":[["w","r.a",2],["w","r.b",2]]}}
{{"i":2,"p":2,"type":"ok","inv":10,"ret":11,"f":"txn","v":[["r","r.a",1],["r","r.b",2]]{last}}}"#
        ))
    };
    let told = |last| {
        let verdict = torn::check(&history(last), &Limits::default()).expect("a row");
        verdict.anomalies[0].sentence.clone()
    };
    assert!(told("").ends_with("a failure of isolation, if later reads are whole"));
    assert!(told(r#","final":true"#).ends_with("the stored data are corrupt"));
}
