//! What the shipped workloads can show is what the checkers decide about runs of them.

#[expect(dead_code, reason = "other tests use the rest")]
mod base;

use std::collections::BTreeSet;
use std::path::Path;

use base::workload;
use rashomon::check::{Expected, Limits, Property, Status, assess};
use rashomon::generate::{Context, Generator, Next};
use rashomon::history::{Builder, History};
use rashomon::model::{Action, ClientEvent, Event, Kind, What};
use rashomon::store;
use rashomon::workload::{TargetChoice, Workload};
use rayon::prelude::*;

/// A short run of a workload on the embedded store it names.
fn run(workload: &Workload, seed: u64) -> History {
    let TargetChoice::Store(chosen) = &workload.target else { panic!("no embedded store") };
    let mut target = store::build(&chosen.name, &chosen.options, seed).expect("it is sound");
    let mut generator = workload.generator(seed, target.nodes());
    let mut history = Builder::new();
    loop {
        let (now, primary) = (target.now(), target.primary());
        match generator.next(&Context { now, primary: primary.as_ref(), fault_under_way: false }) {
            Next::Done => break,
            Next::WaitUntil(until) => {
                let Some(event) = target.advance(until) else { continue };
                generator.update(&event);
                history.event(&event).expect("the store answers what it was asked");
            }
            Next::Do(action) => {
                if let Action::Invoke(call) = &action {
                    let mut client = ClientEvent::new(call.process, Kind::Invoke, call.op.clone());
                    (client.is_final, client.session) = (call.is_final, Some(call.session));
                    client.node.clone_from(&call.node);
                    let event = Event { time: now, what: What::Client(client) };
                    generator.update(&event);
                    history.event(&event).expect("the generator keeps processes apart");
                }
                target.begin(&action).expect("it is within reach");
            }
        }
    }
    history.finish().expect("it is well-formed")
}

/// Whatever a workload is said to reveal, or expects, is decided about its runs.
#[test]
fn what_is_said_to_be_revealed_is_decided() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads");
    let files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is part of the project")
        .map(|file| file.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    assert!(files.len() >= 6, "{} workloads", files.len());
    let mut wrong: Vec<String> = files.par_iter().flat_map_iter(|path| undecided(path)).collect();
    wrong.sort();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is said of a workload, and decided about none of its runs.
fn undecided(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).expect("it can be read");
    let short = |more: &[(&str, &str)]| {
        workload(&text, &[&[("phases.main", "20s"), ("clients.rate", "60")], more].concat())
    };
    let shipped = short(&[]);
    // What its store breaks may be undecided where a sound one would keep it.
    let sound = ("target.isolation", "serializable");
    let settings: &[&[(&str, &str)]] = match &shipped.target {
        TargetChoice::Store(store) if store.name == "transactional" => &[&[], &[sound]],
        _ => &[&[]],
    };
    let hold = shipped.expect.hold.iter();
    let mut open: BTreeSet<Property> =
        hold.map(|name| Property::from_name(name).expect("it was parsed")).collect();
    open.extend(shipped.reveals());
    for (seed, settings) in (1..4).flat_map(|seed| settings.iter().map(move |one| (seed, one))) {
        if open.is_empty() {
            return None;
        }
        let history = run(&short(settings), seed);
        let assessment = assess(&history, &Limits::default(), Expected::default());
        for verdict in assessment.verdicts.iter().filter(|one| one.status != Status::Unknown) {
            open.remove(&verdict.property);
        }
    }
    let ids: Vec<&str> = open.into_iter().map(Property::id).collect();
    (!ids.is_empty()).then(|| format!("{}: {}", shipped.name, ids.join(" ")))
}

#[test]
fn every_property_is_a_model_or_has_the_name_of_its_anomaly() {
    let mut names: Vec<&str> = Property::all().filter_map(Property::anomaly).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "two anomalies of one name");
    for model in [Property::Lin, Property::Seq, Property::Ser, Property::Si, Property::Mr] {
        assert_eq!(model.anomaly(), None, "{}", model.id());
    }
    for (property, name) in [
        (Property::G1c, "G1c (circular information flow)"),
        (Property::Lus, "lost update"),
        (Property::Ws, "write skew"),
    ] {
        assert_eq!(property.anomaly(), Some(name));
    }
}
