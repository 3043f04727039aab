//! What the shipped workloads can show is what the checkers decide about runs of them.

#[expect(dead_code, reason = "other tests use the rest")]
mod base;

use base::workload;
use rashomon::check::{Expected, Limits, Property, Status, assess};
use rashomon::generate::{Context, Generator, Next};
use rashomon::history::{Builder, History};
use rashomon::model::{Action, ClientEvent, Event, Kind, What};
use rashomon::store;
use rashomon::workload::{TargetChoice, Workload};

/// A short run of a workload on the embedded store it names.
fn run(workload: &Workload, seed: u64) -> History {
    let TargetChoice::Store(chosen) = &workload.target else { panic!("no embedded store") };
    let mut target = store::build(&chosen.name, &chosen.options, seed).expect("it is sound");
    let mut generator = workload.generator(seed, target.nodes());
    let mut history = Builder::new();
    loop {
        let (now, primary) = (target.now(), target.primary());
        match generator.next(&Context { now, primary: primary.as_ref() }) {
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

/// Whatever some workload is said to reveal is decided about runs of one of those that are said to,
/// and so is whatever a workload expects.
#[test]
fn what_is_said_to_be_revealed_is_decided() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads");
    let (mut names, mut said, mut decided) = (0, Vec::new(), Vec::new());
    for file in std::fs::read_dir(folder).expect("the folder is part of the project") {
        let path = file.expect("it can be listed").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        names += 1;
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let workload = workload(&text, &[("phases.main", "20s"), ("clients.rate", "60")]);
        let reveals = workload.reveals();
        let mut judged: Vec<Property> = Vec::new();
        for seed in [1, 2] {
            let history = run(&workload, seed);
            let assessment = assess(&history, &Limits::default(), Expected::default());
            let known = assessment.verdicts.iter().filter(|one| one.status != Status::Unknown);
            judged.extend(known.map(|verdict| verdict.property));
        }
        for name in &workload.expect.hold {
            let property = Property::from_name(name).expect("it was parsed");
            assert!(judged.contains(&property), "{}: {name} is not decided", path.display());
        }
        decided.extend(reveals.iter().copied().filter(|one| judged.contains(one)));
        said.extend(reveals);
    }
    let nowhere: Vec<&str> = Property::all()
        .filter(|one| said.contains(one) && !decided.contains(one))
        .map(Property::id)
        .collect();
    assert!(nowhere.is_empty(), "said to be revealed, and decided nowhere: {nowhere:?}");
    assert!(names >= 6, "{names} workloads");
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
