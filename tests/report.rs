//! Reports of hand-built histories and verdicts: golden files, the JSON schema, and that nothing a
//! store answers can drive a terminal or break out of a document.
//!
//! `UPDATE_GOLDEN=1 cargo test --test report` writes the golden files anew.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use rashomon::check::{
    Anomaly, Assessment, Assumption, Edge, Expected, Metrics, Property, Step, Verdict, measure,
};
use rashomon::history::{Builder, Header, History, KeyId, TxnId};
use rashomon::model::{
    ClientEvent, Event, FaultEvent, FaultId, Function, Kind, Nanos, Op, Process, Value, What,
};
use rashomon::report::{Dot, Explain, Html, Json, Junit, Markdown, Render, Report, Style, Text};
use serde_json::Value as Tree;

/// A history in the making.
struct Story {
    builder: Builder,
}

impl Story {
    fn new() -> Self {
        Self { builder: Builder::new() }
    }

    fn of_workload(workload: &str, seed: u64) -> Self {
        let mut story = Self::new();
        story.builder.header(Header {
            format: 1,
            tool: "rashomon 0.1.0".to_owned(),
            workload: Some(workload.to_owned()),
            seed: Some(seed),
            target: None,
            nodes: ["n1", "n2", "n3"].map(str::to_owned).to_vec(),
            ..Header::default()
        });
        story
    }

    fn client(&mut self, time_us: u64, process: u32, kind: Kind, op: Op, node: &str, error: &str) {
        let mut event = ClientEvent::new(Process(process), kind, op);
        event.node = (!node.is_empty()).then(|| Arc::from(node));
        event.error = (!error.is_empty()).then(|| error.to_owned());
        let time = Nanos::from_micros(time_us);
        self.builder.event(&Event { time, what: What::Client(event) }).unwrap();
    }

    fn fault(&mut self, time_us: u64, id: u32, begins: bool, name: &str, value: Value) {
        let fault = FaultEvent { id: Some(FaultId(id)), begins, name: name.into(), value };
        let time = Nanos::from_micros(time_us);
        self.builder.event(&Event { time, what: What::Fault(fault) }).unwrap();
    }

    fn write(&mut self, from_us: u64, to_us: u64, process: u32, node: &str, key: &str, value: i64) {
        let op = Op::write(key.into(), value.into());
        self.client(from_us, process, Kind::Invoke, op.clone(), node, "");
        self.client(to_us, process, Kind::Ok, op, node, "");
    }

    fn read(&mut self, from_us: u64, to_us: u64, process: u32, node: &str, key: &str, value: i64) {
        self.client(from_us, process, Kind::Invoke, Op::read(key.into()), node, "");
        let op = Op::single(Function::Read, key.into(), value.into());
        self.client(to_us, process, Kind::Ok, op, node, "");
    }

    fn finish(self) -> History {
        self.builder.finish().unwrap()
    }
}

/// A partition, during which the old primary answers with what it has.
fn stale_primary() -> History {
    let mut story = Story::of_workload("register", 7);
    story.write(1_000, 2_500, 3, "n1", "x", 40);
    story.read(3_000, 3_800, 5, "n1", "x", 40);
    let groups = Value::list([Value::list(["n1".into()]), Value::list(["n2".into(), "n3".into()])]);
    story.fault(1_100_000, 2, true, "partition", Value::Map([("groups".into(), groups)].into()));
    story.client(1_150_000, 4, Kind::Invoke, Op::write("x".into(), 77.into()), "n1", "");
    story.write(1_204_000, 1_207_000, 3, "n2", "x", 41);
    story.write(1_300_000, 1_309_000, 6, "n3", "y", 50);
    story.read(2_116_000, 2_118_000, 5, "n1", "x", 40);
    story.client(2_150_000, 4, Kind::Info, Op::write("x".into(), 77.into()), "n1", "timed out");
    story.write(3_000_000, 3_002_000, 6, "n2", "x", 42);
    story.read(3_100_000, 3_100_700, 5, "n1", "x", 40);
    story.fault(6_100_000, 2, false, "partition", Value::Null);
    let cas = Op::cas("y".into(), 1.into(), 2.into());
    story.client(6_200_000, 7, Kind::Invoke, cas.clone(), "n2", "");
    story.client(6_201_000, 7, Kind::Fail, cas, "n2", "holds 50");
    story.read(7_000_000, 7_001_000, 5, "n3", "x", 42);
    story.finish()
}

/// The nth operation of a history, in order of invocation.
const OLD_WRITE: TxnId = TxnId(0);
const NEW_WRITE: TxnId = TxnId(3);
const STALE_READ: TxnId = TxnId(5);

/// The anomaly that the second read of `x` at n1 is.
fn stale_read() -> Anomaly {
    let step = |from, to, edge, why: &str| Step { from, to, edge, why: why.to_owned() };
    Anomaly {
        property: Property::Lin,
        kind: "stale-read",
        set: vec![Property::Lin],
        key: Some(KeyId(0)),
        session: None,
        operations: vec![OLD_WRITE, NEW_WRITE, STALE_READ],
        cycle: vec![
            step(NEW_WRITE, STALE_READ, Edge::Rt, "the write of 41 returned before the read began"),
            step(STALE_READ, NEW_WRITE, Edge::Rw, "it saw 40, which 41 overwrites: 41 was written after 40 had been acknowledged"),
        ],
        assumes: Vec::new(),
        sentence: "Process 5 read 40 from x, although the write of 41 had been acknowledged 909 ms before the read began.".to_owned(),
    }
}

fn assessment() -> Assessment {
    let mut backwards = stale_read();
    backwards.property = Property::Sess3;
    backwards.set = vec![Property::Mw, Property::Mr];
    backwards.assumes = vec![Assumption::WritesInRealTimeOrder];
    backwards.kind = "non-monotonic-read";
    backwards.operations.pop();
    backwards.cycle.clear();
    backwards.sentence = "Process 5 went back from 41 to 40.".into();
    let mut sess3 = Verdict::invalid(Property::Sess3, vec![backwards]);
    sess3.count = 12;
    let verdicts = vec![
        Verdict::valid(Property::Thin),
        Verdict::invalid(Property::Lin, vec![stale_read()]),
        Verdict::valid(Property::Ryw),
        Verdict::unknown(
            Property::Mr,
            "the order of the versions of x and y is not known: several sessions wrote them",
        ),
        sess3,
        Verdict::unknown(Property::Awl, "no final reads in this history"),
    ];
    let hold = vec![Property::Lin, Property::Awl];
    Assessment::new(
        verdicts,
        Expected { hold, known: vec![Property::Sess3], ..Expected::default() },
    )
}

struct Judged {
    history: History,
    assessment: Assessment,
    metrics: Metrics,
}

impl Judged {
    fn new(history: History, assessment: Assessment) -> Self {
        let metrics = measure(&history);
        Self { history, assessment, metrics }
    }

    fn stale_primary() -> Self {
        Self::new(stale_primary(), assessment())
    }

    fn report(&self) -> Report<'_> {
        Report {
            history: &self.history,
            path: Some("histories/runs/register-7/history.jsonl"),
            assessment: &self.assessment,
            metrics: &self.metrics,
            added: None,
            reproduce: Some("rashomon run workloads/register.toml --seed 7"),
            exit: 1,
        }
    }
}

fn rendered(renderer: &dyn Render, report: &Report<'_>) -> String {
    let mut out = Vec::new();
    renderer.render(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn all_renderers() -> Vec<(&'static str, Box<dyn Render>)> {
    vec![
        ("txt", Box::new(Text::default())),
        ("brief.txt", Box::new(Text { style: Style::Plain, brief: true })),
        ("explain.txt", Box::new(Explain { id: Some("a1".to_owned()), style: Style::Plain })),
        ("dot", Box::new(Dot::default())),
        ("json", Box::new(Json)),
        ("junit.xml", Box::new(Junit)),
        ("md", Box::new(Markdown)),
        ("html", Box::new(Html)),
    ]
}

fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{name} differs from its golden file:\n{text}");
}

#[test]
fn a_violation_reads_as_reviewed() {
    let judged = Judged::stale_primary();
    for (name, renderer) in all_renderers() {
        compare(&format!("report/stale-primary.{name}"), &rendered(&*renderer, &judged.report()));
    }
}

#[test]
fn of_many_proofs_some_are_shown() {
    let mut again = stale_read();
    again.sentence = "Process 5 read 40 from x once more.".into();
    let mut elsewhere = stale_read();
    elsewhere.property = Property::Mr;
    let mut assessment = Assessment::new(
        vec![
            Verdict::invalid(
                Property::Lin,
                vec![stale_read(), again.clone(), again.clone(), again.clone(), again],
            ),
            Verdict::invalid(Property::Mr, vec![elsewhere]),
        ],
        Expected::linearizable(),
    );
    assessment.reason = Some("one acknowledged write was lost, but none may be".to_owned());
    let judged = Judged::new(stale_primary(), assessment);
    compare("report/many.txt", &rendered(&Text::default(), &judged.report()));
}

/// Of ninety properties those are shown that something is to be said of.
#[test]
fn what_follows_has_no_row() {
    let follows = |property, from: &str| {
        let mut verdict = Verdict::invalid(property, Vec::new());
        verdict.reason = Some(format!("follows from a violation of: {from}"));
        verdict
    };
    let mut skew = stale_read();
    skew.property = Property::GSingle;
    skew.kind = "read-skew";
    let mut verdicts = vec![
        Verdict::invalid(Property::GSingle, vec![skew]),
        follows(Property::Psi, "no read skew"),
        follows(Property::Si, "no read skew"),
        follows(Property::Ser, "no read skew"),
    ];
    let held = [
        (Property::Thin, Property::Torn),
        (Property::CpS, Property::Sess3),
        (Property::Rc, Property::Tcc),
    ];
    for (first, last) in held {
        let both = Property::all().filter(|one| (first..=last).contains(one));
        verdicts.extend(both.filter(|one| *one != Property::Cc).map(Verdict::valid));
    }
    let awaited = [Property::Lus, Property::Awl, Property::Ec, Property::QLost];
    verdicts.extend(awaited.map(|one| Verdict::unknown(one, "no final reads in this history")));
    verdicts.push(Verdict::unknown(Property::Cc, "the budget of 100 steps ran out"));
    verdicts.sort_by_key(|verdict| verdict.property);
    let expected = Expected { hold: vec![Property::Ser], ..Expected::default() };
    let judged = Judged::new(stale_primary(), Assessment::new(verdicts, expected));
    for (name, renderer) in all_renderers() {
        if matches!(name, "txt" | "md" | "html" | "junit.xml") {
            let text = rendered(&*renderer, &judged.report());
            compare(&format!("report/grouped.{name}"), &text);
        }
    }
}

#[test]
fn every_shape_of_proof_has_a_report() {
    // Without operations, with all kinds of them, and with more than are shown.
    let mut story = Story::new();
    let list = |n: i64| Value::list((0..n).map(Value::from));
    for at in 0..60_u64 {
        let process = at as u32;
        let (invoked, kind) = match at % 4 {
            0 => (Op::cas("x".into(), 1.into(), 2.into()), Kind::Ok),
            1 => (Op::single(Function::Append, "l".into(), (at as i64).into()), Kind::Info),
            2 => (Op::write("y".into(), Value::text(&"long ".repeat(50))), Kind::Fail),
            _ => (Op::read("l".into()), Kind::Ok),
        };
        let mut completed = invoked.clone();
        if at % 4 == 3 {
            completed.mops[0].value = list(at as i64 * 10);
        }
        story.client(at * 1_000, process, Kind::Invoke, invoked, "n1", "");
        story.client(at * 1_000 + 700, process, kind, completed, "n1", "no answer");
        if at % 10 == 5 {
            story.fault(at * 1_000 + 800, at as u32 / 20, at % 20 == 5, "kill", Value::Null);
        }
    }
    let history = story.finish();
    let mut none = stale_read();
    (none.operations, none.cycle, none.set, none.key) = (vec![], vec![], vec![], None);
    let mut many = stale_read();
    many.operations = history.txns().map(|txn| txn.id).collect();
    let why = "because of what follows from all that was said before ".repeat(4);
    many.cycle = many
        .operations
        .windows(2)
        .map(|pair| Step { from: pair[0], to: pair[1], edge: Edge::So, why: why.clone() })
        .collect();
    let mr = Anomaly { property: Property::Mr, ..many };
    let verdicts =
        vec![Verdict::invalid(Property::Lin, vec![none]), Verdict::invalid(Property::Mr, vec![mr])];
    let judged = Judged::new(history, Assessment::new(verdicts, Expected::default()));
    let mut renderers = all_renderers();
    renderers.push(("a2", Box::new(Explain { id: Some("A2".to_owned()), style: Style::Plain })));
    for (name, renderer) in renderers {
        let out = rendered(&*renderer, &judged.report());
        assert!(!out.is_empty());
        if matches!(name, "txt" | "explain.txt" | "a2") {
            let widest = out.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(widest.chars().count() <= 100, "{name}: {widest}");
        }
    }
}

#[test]
fn the_story_of_what_is_not_there() {
    let judged = Judged::stale_primary();
    let story = |id: &str| {
        let id = Some(id.to_owned());
        rendered(
            &Explain { id, style: Style::Plain },
            &Report { reproduce: None, ..judged.report() },
        )
    };
    assert_eq!(story("A3"), "no anomaly A3; there are A1 to A2\n");
    assert!(story("A2").contains("A2  non-monotonic-read of x"));
    let all = rendered(&Explain::default(), &judged.report());
    assert!(all.contains("A1  stale-read") && all.contains("A2  non-monotonic-read"));
}

#[test]
fn an_empty_history_reads_as_reviewed() {
    let unknown = |property| Verdict::unknown(property, "no reads of registers in this history");
    let verdicts = vec![unknown(Property::Lin), unknown(Property::Mr)];
    let expected = Expected { hold: vec![Property::Lin], known: Vec::new(), ..Expected::default() };
    let judged = Judged::new(Story::new().finish(), Assessment::new(verdicts, expected));
    let report = Report { path: None, reproduce: None, exit: 2, ..judged.report() };
    for (name, renderer) in all_renderers() {
        compare(&format!("report/empty.{name}"), &rendered(&*renderer, &report));
    }
}

#[test]
fn a_history_without_times_says_nothing_of_latency() {
    let mut story = Story::new();
    let write = |value: i64| Op::write(Value::Null, value.into());
    let seen = |value: i64| Op::single(Function::Read, Value::Null, value.into());
    let ops =
        [(0, write(1), write(1)), (0, write(2), write(2)), (1, Op::read(Value::Null), seen(1))];
    for (process, invoked, completed) in ops {
        story.client(0, process, Kind::Invoke, invoked, "", "");
        story.client(0, process, Kind::Ok, completed, "", "");
    }
    let history = story.finish();
    let mut anomaly = stale_read();
    anomaly.operations = vec![TxnId(0), TxnId(1), TxnId(2)];
    anomaly.cycle.clear();
    let verdicts = vec![Verdict::invalid(Property::Lin, vec![anomaly])];
    let judged = Judged::new(history, Assessment::new(verdicts, Expected::default()));
    assert!(!judged.metrics.clock && judged.metrics.latency.is_none());
    let staleness = judged.metrics.staleness.as_ref().unwrap();
    assert_eq!((staleness.reads, staleness.stale, staleness.time), (1, 1, None));
    for (name, renderer) in all_renderers() {
        compare(&format!("report/no-times.{name}"), &rendered(&*renderer, &judged.report()));
    }
}

#[test]
fn a_history_of_sessions_alone_has_no_moments() {
    let mut story = Story::new();
    story.builder.header(Header { format: 1, timeless: true, ..Header::default() });
    story.write(0, 0, 0, "", "x", 40);
    story.write(0, 0, 0, "", "x", 41);
    story.read(0, 0, 1, "", "x", 40);
    let history = story.finish();
    let mut anomaly = stale_read();
    anomaly.operations = vec![TxnId(0), TxnId(1), TxnId(2)];
    anomaly.cycle.clear();
    let verdicts = vec![Verdict::invalid(Property::Lin, vec![anomaly])];
    let judged = Judged::new(history, Assessment::new(verdicts, Expected::default()));
    for (name, renderer) in all_renderers() {
        let text = rendered(&*renderer, &judged.report());
        if !matches!(name, "json" | "junit.xml" | "brief.txt") {
            assert!(text.contains("in session order"), "{name}: {text}");
        }
        assert!(!text.contains("event ") && !text.contains("4294967295"), "{name}: {text}");
    }
}

#[test]
fn what_holds_is_said_of_this_history_only() {
    let mut story = Story::of_workload("register", 8);
    story.write(1_000, 2_000, 0, "n1", "x", 1);
    story.read(3_000, 4_500, 0, "n1", "x", 1);
    let verdicts = vec![Verdict::valid(Property::Lin), Verdict::valid(Property::Awl)];
    let expected = Expected { hold: vec![Property::Lin], known: Vec::new(), ..Expected::default() };
    let judged = Judged::new(story.finish(), Assessment::new(verdicts, expected));
    let report = Report { exit: 0, reproduce: None, ..judged.report() };
    for (name, renderer) in all_renderers() {
        let text = rendered(&*renderer, &report);
        assert!(!text.contains("is linearizable"), "{name}");
        compare(&format!("report/holds.{name}"), &text);
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    let judged = Judged::stale_primary();
    let text = |style| rendered(&Text { style, brief: false }, &judged.report());
    let story = |style| rendered(&Explain { id: None, style }, &judged.report());
    let pairs =
        [(text(Style::Plain), text(Style::Colour)), (story(Style::Plain), story(Style::Colour))];
    for (plain, colour) in pairs {
        assert!(!plain.contains('\x1b'));
        assert!(colour.contains("\x1b[1;31m"));
        let mut stripped = colour;
        for code in ["1;31", "1;32", "1;33", "1", "2", "0"] {
            stripped = stripped.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(stripped, plain);
        assert!(plain.lines().all(|line| line.chars().count() <= 100), "{plain}");
        let last = "reproduce: rashomon run workloads/register.toml --seed 7\n";
        assert!(plain.ends_with(last));
    }
}

/// The keys of an object in order, each with a letter for its type.
fn shape(value: &Tree) -> String {
    let letter = |value: &Tree| match value {
        Tree::Null => 'n',
        Tree::Bool(_) => 'b',
        Tree::Number(_) => 'i',
        Tree::String(_) => 's',
        Tree::Array(_) => 'a',
        Tree::Object(_) => 'o',
    };
    let entries = value.as_object().unwrap().iter();
    entries.map(|(key, value)| format!("{key}:{}", letter(value))).collect::<Vec<_>>().join(" ")
}

#[test]
fn json_follows_its_schema() {
    let judged = Judged::stale_primary();
    let json: Tree = serde_json::from_str(&rendered(&Json, &judged.report())).unwrap();
    assert_eq!(
        shape(&json),
        "schema:i tool:s verdict:s exit:i history:o properties:a strongest:a anomalies:a expect:o metrics:o"
    );
    assert_eq!((&json["schema"], &json["exit"]), (&1.into(), &1.into()));
    assert_eq!(json["verdict"], "violated");
    assert_eq!(
        shape(&json["history"]),
        "path:s operations:i ok:i fail:i info:i keys:i sessions:i workload:s seed:i"
    );
    assert_eq!(json["history"]["operations"], 10);
    for property in json["properties"].as_array().unwrap() {
        let shape = shape(property).replace("reason:s", "reason:n");
        assert!(shape.starts_with("id:s name:s status:s reason:n anomalies:a"), "{shape}");
        let word = property["status"].as_str().unwrap();
        assert!(["holds", "violated", "undecided"].contains(&word));
        assert!(Property::from_name(property["id"].as_str().unwrap()).is_some());
    }
    assert_eq!(json["strongest"], serde_json::json!(["read-your-writes"]));
    let anomalies = json["anomalies"].as_array().unwrap();
    let keys = "id:s property:s kind:s key:s sentence:s operations:a cycle:a faults:a";
    assert_eq!(shape(&anomalies[0]), keys);
    assert_eq!(shape(&anomalies[1]), format!("{keys} together:a assumes:a"));
    let indices: Vec<u32> =
        [OLD_WRITE, NEW_WRITE, STALE_READ].map(|id| judged.history.txn(id).index()).to_vec();
    assert_eq!(anomalies[0]["operations"], serde_json::json!(indices), "indices of invocations");
    assert_eq!(anomalies[0]["faults"], serde_json::json!(["F2"]));
    assert_eq!(shape(&anomalies[0]["cycle"][0]), "from:i to:i edge:s why:s");
    let properties = json["properties"].as_array().unwrap();
    let told: Vec<_> = properties.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(told[..2], ["LIN", "AWL"], "what was expected comes first");
    assert_eq!(properties[0]["anomalies"], serde_json::json!(["A1"]));
    assert!(properties.iter().any(|one| one["count"] == 12));
    let hold = serde_json::json!(["linearizable", "no-lost-acknowledged-writes"]);
    assert_eq!(json["expect"]["hold"], hold);
    assert_eq!(json["expect"]["violated"], serde_json::json!(["linearizable"]));
    assert!(json["metrics"]["latency_ns"]["p50"].is_u64());
}

#[test]
fn a_fault_belongs_to_an_anomaly_if_it_overlaps_it() {
    let judged = Judged::stale_primary();
    let report = judged.report();
    let finding = report.finding("A1").unwrap();
    assert_eq!(finding.faults.iter().map(|fault| fault.id).collect::<Vec<_>>(), [FaultId(2)]);
    assert!(report.finding("A9").is_none());

    let mut story = Story::new();
    story.fault(1, 1, true, "kill", Value::Null);
    story.fault(900, 1, false, "kill", Value::Null);
    story.write(1_000, 2_000, 0, "", "x", 1);
    story.fault(2_500, 2, true, "pause", Value::Null);
    let mut anomaly = stale_read();
    anomaly.operations = vec![TxnId(0)];
    anomaly.cycle.clear();
    let verdicts = vec![Verdict::invalid(Property::Lin, vec![anomaly])];
    let judged = Judged::new(story.finish(), Assessment::new(verdicts, Expected::default()));
    assert!(judged.metrics.clock);
    assert!(judged.report().finding("A1").unwrap().faults.is_empty());
}

/// Everything that is written by others carries this text.
fn hostile(text: &str) -> Judged {
    let mut story = Story::of_workload(text, 1);
    let key = Value::text(text);
    let map = Value::Map([(Value::text(text), Value::Null)].into());
    let value = Value::list([Value::text(text), map]);
    story.fault(5, 1, true, text, Value::text(text));
    for (at, process) in [(10, 0), (2_000, 1)] {
        let op = Op::write(key.clone(), value.clone());
        story.client(at, process, Kind::Invoke, op.clone(), text, "");
        story.client(at + 1_500, process, Kind::Ok, op, text, text);
    }
    story.client(9_000, 2, Kind::Invoke, Op::read(key.clone()), text, "");
    story.client(9_100, 2, Kind::Info, Op::read(key.clone()), text, text);
    story.builder.warn(text.to_owned());
    let history = story.finish();
    let ids: Vec<TxnId> = history.txns().map(|txn| txn.id).collect();
    let mut anomaly = stale_read();
    anomaly.cycle = vec![Step { from: ids[0], to: ids[1], edge: Edge::Ww, why: text.to_owned() }];
    anomaly.operations = ids;
    anomaly.sentence = text.into();
    let verdicts =
        vec![Verdict::invalid(Property::Lin, vec![anomaly]), Verdict::unknown(Property::Mr, text)];
    let expected = Expected { hold: vec![Property::Lin], known: Vec::new(), ..Expected::default() };
    let mut assessment = Assessment::new(verdicts, expected);
    assessment.reason = Some(text.to_owned());
    Judged::new(history, assessment)
}

fn check_hostile(text: &str) {
    let judged = hostile(text);
    let report = Report { path: Some(text), reproduce: Some(text), ..judged.report() };
    for (name, renderer) in all_renderers() {
        let out = rendered(&*renderer, &report);
        if name == "json" {
            let json: Tree = serde_json::from_str(&out).unwrap();
            assert_eq!(json["anomalies"][0]["sentence"], text);
        }
        let is_harmless = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
        assert!(out.chars().all(is_harmless), "{name} carries a control character: {out:?}");
        match name {
            "junit.xml" => check_xml(&out),
            "dot" => {
                let unescaped = out.replace("\\\\", "").replace("\\\"", "");
                assert!(unescaped.lines().all(|line| line.matches('"').count() % 2 == 0), "{out}");
            }
            "html" => {
                let (opened, closed) =
                    (out.matches("<script").count(), out.matches("</script").count());
                assert_eq!((opened, closed), (1, 1), "{out}");
                assert!(!out.contains("<!-- ") && !out.contains("<failure"), "{out}");
            }
            _ => {}
        }
    }
}

/// Every `<` of the XML document opens or closes one of our tags, every `&` is an entity.
fn check_xml(xml: &str) {
    let tags = ["?xml", "testsuite", "testcase", "failure", "error", "skipped", "system-out"];
    for (at, _) in xml.match_indices('<') {
        let name = xml[at + 1..].trim_start_matches('/');
        assert!(tags.iter().any(|tag| name.starts_with(tag)), "{xml}");
    }
    for tag in &tags[1..] {
        let (opened, closed) =
            (xml.matches(&format!("<{tag} ")).count(), xml.matches(&format!("</{tag}>")).count());
        assert!(closed <= opened + 1, "{xml}");
    }
    for (at, _) in xml.match_indices('&') {
        let entities = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        assert!(entities.iter().any(|entity| xml[at..].starts_with(entity)), "{xml}");
    }
}

#[test]
fn hostile_text_stays_text() {
    for text in [
        "",
        "\x1b[2J\x1b]0;owned\x07",
        "\u{9b}31m",
        "\u{202e}desrever",
        "</script><script>alert(1)</script>",
        "<!-- ]]> & \" ' --> <failure>",
        "| a | `b` ``` </details> **c** [d](http://e) \r\n# f",
        "\0\u{fffe}\u{ffff}",
        &"long ".repeat(1000),
        &"x".repeat(5000),
    ] {
        check_hostile(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_stays_text(text in any::<String>()) {
        check_hostile(&text);
    }

    #[test]
    fn dangerous_characters_stay_text(
        text in "[<>&\"'/`|\\\\\u{1b}\u{7f}\u{85}\u{2028}\u{202e}\\[\\]!script \n\r\t-]{0,40}"
    ) {
        check_hostile(&text);
    }
}
