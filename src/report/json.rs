//! The report for machines: schema 1, stable. Later versions may add keys; they remove none.

use std::io::{self, Write};

use serde_json::{Map, Value as Tree, json};

use crate::check::{Counts, Latency, Losses, Measured, Property, Share, Verdict};
use crate::history::TxnId;
use crate::report::escape;
use crate::report::{Finding, Render, Report};

/// The report as one JSON object, keys always in the same order.
///
/// `operations`, `from` and `to` are the indices of invocations; times are nanoseconds. Beyond the
/// keys that are always there, `reason` (of the whole), `count` (of a property, where more
/// violations were found than are kept), `assumes`, `together` and `rules_out` (of an anomaly: the
/// weakest levels of isolation that it excludes) are there only where there is something to say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Render for Json {
    fn render(&self, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        let text = serde_json::to_string_pretty(&object(report))?;
        writeln!(out, "{}", escape::json(&text))
    }
}

/// The whole report; the HTML report carries it too.
pub(super) fn object(report: &Report<'_>) -> Tree {
    let assessment = report.assessment;
    let mut object = Map::new();
    object.insert("schema".into(), json!(1));
    object.insert("tool".into(), json!(concat!("rashomon ", env!("CARGO_PKG_VERSION"))));
    object.insert("verdict".into(), json!(assessment.status.name()));
    object.insert("exit".into(), json!(report.exit));
    if let Some(reason) = &assessment.reason {
        object.insert("reason".into(), json!(reason));
    }
    object.insert("history".into(), history(report));
    let properties = report.verdicts().map(|(verdict, ids)| property(verdict, &ids));
    object.insert("properties".into(), properties.collect());
    object.insert("strongest".into(), words(&assessment.strongest));
    let anomalies = report.findings().map(|finding| anomaly(report, &finding));
    object.insert("anomalies".into(), anomalies.collect());
    let mut expect = Map::new();
    expect.insert("hold".into(), words(&assessment.expected.hold));
    expect.insert("violated".into(), words(&assessment.violated()));
    if !assessment.expected.known.is_empty() {
        expect.insert("known".into(), words(&assessment.expected.known));
    }
    object.insert("expect".into(), Tree::Object(expect));
    object.insert("metrics".into(), metrics(report));
    Tree::Object(object)
}

fn words(properties: &[Property]) -> Tree {
    properties.iter().map(|property| Tree::String(property.word())).collect()
}

fn history(report: &Report<'_>) -> Tree {
    let (history, counts) = (report.history, report.metrics.counts);
    let header = history.header();
    json!({
        "path": report.path,
        "operations": counts.operations,
        "ok": counts.ok,
        "fail": counts.fail,
        "info": counts.info,
        "keys": history.key_count(),
        "sessions": history.session_count(),
        "workload": header.and_then(|header| header.workload.as_deref()),
        "seed": header.and_then(|header| header.seed),
    })
}

fn property(verdict: &Verdict, ids: &[String]) -> Tree {
    let mut object = json!({
        "id": verdict.property.id(),
        "name": verdict.property.name(),
        "status": verdict.status.name(),
        "reason": verdict.reason,
        "anomalies": ids,
    });
    if verdict.count > ids.len() as u64 {
        object["count"] = json!(verdict.count);
    }
    object
}

fn anomaly(report: &Report<'_>, finding: &Finding<'_>) -> Tree {
    let (history, anomaly) = (report.history, finding.anomaly);
    let index = |id: TxnId| history.txn(id).index();
    let key = anomaly.key.map(|key| history.key_name(key));
    let operations: Vec<u32> = finding.operations.iter().map(|txn| txn.index()).collect();
    let cycle = anomaly.cycle.iter().map(|step| {
        json!({
            "from": index(step.from),
            "to": index(step.to),
            "edge": step.edge.name(),
            "why": step.why,
        })
    });
    let mut object = json!({
        "id": finding.id,
        "property": anomaly.property.id(),
        "kind": anomaly.kind,
        "key": key,
        "sentence": anomaly.sentence,
        "operations": operations,
        "cycle": cycle.collect::<Tree>(),
        "faults": finding.faults.iter().map(|fault| fault.id.to_string()).collect::<Tree>(),
    });
    if anomaly.set.len() > 1 {
        object["together"] = anomaly.set.iter().map(|one| one.id()).collect();
    }
    let levels = finding.rules_out(report);
    if !levels.is_empty() {
        object["rules_out"] = levels.iter().map(|one| one.id()).collect();
    }
    if !anomaly.assumes.is_empty() {
        object["assumes"] = anomaly.assumes.iter().map(|one| one.name()).collect();
    }
    object
}

fn metrics(report: &Report<'_>) -> Tree {
    let (history, metrics) = (report.history, report.metrics);
    let outside = metrics.outside_faults(history).and_then(|counts| counts.ok_fraction());
    let functions =
        metrics.functions.iter().map(|one| group("function", &json!(one.of.name()), one));
    let nodes = metrics
        .nodes
        .iter()
        .map(|one| group("node", &json!(&*history.nodes()[one.of.index()]), one));
    let faults = metrics.faults.iter().map(|one| group("fault", &json!(one.of.as_deref()), one));
    let windows = history.faults().iter().enumerate().map(|(at, fault)| {
        let mut object = json!({
            "id": fault.id.to_string(),
            "name": &*fault.name,
            "begin_ns": fault.begin,
            "end_ns": (fault.end != crate::model::Nanos::FOREVER).then_some(fault.end),
            "value": fault.value,
        });
        if let Some(one) = metrics.windows.get(at) {
            measured(&mut object, &one.counts, one.ok_per_second, one.latency);
        }
        object
    });
    let staleness = metrics.staleness.as_ref().map(|staleness| {
        let index = |id: TxnId| history.txn(id).index();
        json!({
            "reads": staleness.reads,
            "stale": staleness.stale,
            "during_faults": metrics.clock.then_some(staleness.during_faults),
            "time_ns": staleness.time.as_ref().map(quantiles),
            "visible_ns": staleness.visible.as_ref().map(quantiles),
            "atomicity": staleness.atomicity.map(|atomicity| json!({
                "delta_ns": atomicity.delta,
                "k_at_least": atomicity.versions_at_least,
                "k_at_most": atomicity.versions_at_most,
            })),
            "versions": {
                "p50": staleness.versions_p50,
                "p95": staleness.versions_p95,
                "max": staleness.versions_max,
            },
            "worst": staleness.worst.map(|worst| json!({
                "read": index(worst.read),
                "missed": index(worst.missed),
                "time_ns": metrics.clock.then_some(worst.time),
                "versions": worst.versions,
            })),
        })
    });
    json!({
        "span_ns": metrics.span,
        "ok_fraction": metrics.counts.ok_fraction(),
        "ok_fraction_outside_faults": outside,
        "ok_per_second": metrics.ok_per_second,
        "latency_ns": metrics.latency.as_ref().map(quantiles),
        "latency_from_due_ns": metrics.pace.and_then(|pace| pace.latency).as_ref().map(quantiles),
        "late": metrics.pace.map(|pace| json!({
            "operations": pace.late,
            "waited_ns": quantiles(&pace.waited),
        })),
        "added_latency_ns": report.added.as_ref().map(quantiles),
        "lost_acknowledged_writes": report.lost_writes(),
        "losses": metrics.losses.iter().map(|one| losses(report, one)).collect::<Tree>(),
        "staleness": staleness,
        "functions": functions.collect::<Tree>(),
        "nodes": nodes.collect::<Tree>(),
        "faults": faults.collect::<Tree>(),
        "windows": windows.collect::<Tree>(),
        "coverage": metrics.coverage.iter().map(|one| json!({
            "fault": &*one.fault,
            "times": one.times,
            "lasted_ns": one.lasted,
            "verified": one.verified,
            "unverified": one.unverified,
        })).collect::<Tree>(),
    })
}

fn losses(report: &Report<'_>, losses: &Losses) -> Tree {
    let share = |share: Share| json!({ "lost": share.lost, "acknowledged": share.acknowledged, "rate": share.rate() });
    let windows = report.history.faults().iter().zip(&losses.windows).map(|(fault, one)| {
        let mut object = share(*one);
        object["id"] = json!(fault.id.to_string());
        object
    });
    let mut object = share(losses.all);
    object["property"] = json!(losses.of.id());
    object["outside_faults"] = json!(losses.outside.map(share));
    object["windows"] = windows.collect();
    object
}

fn group<K>(label: &str, name: &Tree, one: &Measured<K>) -> Tree {
    let mut object = json!({ label: name });
    measured(&mut object, &one.counts, one.ok_per_second, one.latency);
    object
}

fn measured(
    object: &mut Tree,
    counts: &Counts,
    ok_per_second: Option<f64>,
    latency: Option<Latency>,
) {
    object["operations"] = json!(counts.operations);
    object["ok"] = json!(counts.ok);
    object["fail"] = json!(counts.fail);
    object["info"] = json!(counts.info);
    object["ok_per_second"] = json!(ok_per_second);
    object["latency_ns"] = json!(latency.as_ref().map(quantiles));
}

fn quantiles(latency: &Latency) -> Tree {
    json!({ "p50": latency.p50, "p95": latency.p95, "p99": latency.p99, "max": latency.max })
}
