//! The histories of `histories/valid` and `histories/invalid`: the folder is the verdict.
//!
//! - `valid/<property>/<what happens>.jsonl`: the property holds, by its name in one word. What the
//!   header lists as `known` is violated: stronger models that the history is meant to fail.
//! - `invalid/<property>/<kind>-<what happens>.jsonl`: the property, by its id, is violated, by an
//!   anomaly of that kind (its own, or that of the class of anomalies that a level of isolation rules
//!   out); the models that directly follow from it hold, those it follows from are violated.
#![expect(clippy::print_stdout, reason = "a test says how much it judged")]

#[path = "oracle/files.rs"]
mod files;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use files::files_below;
use rashomon::check::{
    Anomaly, Assessment, Expected, Limits, Property, Status, Verdict, assess, measure,
};
use rashomon::history::{History, read};
use rashomon::report::{Dot, Explain, Render, Report, Style};

/// A history, and what its place says of it.
struct Filed {
    /// Below `histories`, for messages.
    name: String,
    /// Of the file, without its ending.
    story: String,
    property: Property,
    history: History,
    judged: Assessment,
}

impl Filed {
    /// `None` if nothing is said of it.
    fn status(&self, property: Property) -> Option<Status> {
        self.judged.verdict(property).map(|verdict| verdict.status)
    }

    /// A weaker model has to hold; all that may keep it from that is that there is nothing of its
    /// kind in the history.
    fn holds_if_subject_to(&self, property: Property) -> Result<(), String> {
        match self.judged.verdict(property) {
            None | Some(Verdict { status: Status::Valid, .. }) => Ok(()),
            Some(Verdict { status: Status::Unknown, reason: Some(why), .. })
                if why.starts_with("no ") =>
            {
                Ok(())
            }
            Some(other) => Err(format!("{}: of what is weaker, {other:#?}", self.name)),
        }
    }

    /// What proves that its property is violated: an anomaly against the property itself, or against
    /// a class of anomalies that the property rules out and that tells the story.
    fn proof(&self) -> Option<(String, &Anomaly)> {
        let is_proof = |anomaly: &Anomaly| {
            let (own, other) = (self.property, anomaly.property);
            own == other || (is_class(other) && own.is_at_least(other))
        };
        self.judged.anomalies().find(|(_, one)| is_proof(one) && self.story.starts_with(one.kind))
    }
}

/// The histories below `histories/valid` or `histories/invalid`.
fn filed(which: &str) -> Vec<Filed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("histories").join(which);
    let file = |path: &PathBuf| {
        let below = path.strip_prefix(&root).expect("a file below it");
        let folder = below.parent().and_then(Path::to_str).expect("a folder");
        let name = format!("{which}/{}", below.display());
        let property = Property::from_name(folder)
            .unwrap_or_else(|| panic!("{name}: the folder is no property"));
        let history = read(path, None).unwrap_or_else(|error| panic!("{error}"));
        let about = history.header().and_then(|header| header.about.as_ref());
        assert!(about.is_some(), "{name}: the header says nothing about it");
        let judged = assess(&history, &Limits::default(), Expected::default());
        let story = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        Filed { name, story, property, history, judged }
    };
    files_below(&root).iter().map(file).collect()
}

/// Whether it is a class of anomalies, which says nothing beside the models made of it.
fn is_class(property: Property) -> bool {
    use Property as P;
    property.id().starts_with('G') || matches!(property, P::Lu | P::Lf | P::Ws | P::Fr | P::Int)
}

#[test]
fn valid_histories_hold_and_fail_what_they_are_meant_to_fail() {
    let filed = filed("valid");
    for one in &filed {
        assert_eq!(one.status(one.property), Some(Status::Valid), "{}", one.name);
        for verdict in &one.judged.verdicts {
            if one.property.is_at_least(verdict.property) {
                one.holds_if_subject_to(verdict.property).unwrap_or_else(|why| panic!("{why}"));
            }
        }
        let known = one.history.header().map_or(&[][..], |header| &header.expect.known);
        for name in known {
            let stronger = Property::from_name(name).expect("a property");
            assert_eq!(one.status(stronger), Some(Status::Invalid), "{}: {name}", one.name);
        }
    }
    println!("{} valid histories", filed.len());
    assert!(filed.len() >= 20);
}

#[test]
fn invalid_histories_are_violated_by_name_between_their_neighbours() {
    let filed = filed("invalid");
    let mut wrong = Vec::new();
    for one in &filed {
        assert_eq!(one.status(one.property), Some(Status::Invalid), "{}", one.name);
        let kinds: Vec<&str> = one.judged.anomalies().map(|(_, anomaly)| anomaly.kind).collect();
        assert!(one.proof().is_some(), "{}: the name begins with none of {kinds:?}", one.name);
        let weaker = one.property.implies().iter().filter(|weaker| !is_class(**weaker));
        wrong.extend(weaker.filter_map(|weaker| one.holds_if_subject_to(*weaker).err()));
        for stronger in Property::all().filter(|other| other.implies().contains(&one.property)) {
            if one.status(stronger).is_some_and(|status| status != Status::Invalid) {
                wrong.push(format!("{}: {} is not violated", one.name, stronger.id()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{} invalid histories", filed.len());
}

/// What has no sequential specification cannot be linearizable, and is not expected to be.
#[test]
fn where_nothing_is_asked_a_bank_keeps_its_total() {
    use Property as P;
    for property in [P::Bank, P::Inv, P::Sib, P::Dupid, P::Leader, P::Cnt, P::QLost, P::Lin] {
        let promise = match property {
            P::Cnt | P::QLost => P::Lin,
            own => own,
        };
        for one in filed("invalid").iter().filter(|one| one.property == property) {
            assert_eq!(Expected::strongest(&one.history).hold, [promise], "{}", one.name);
        }
    }
}

#[test]
fn every_property_has_a_history_that_violates_it() {
    let violated: BTreeSet<Property> = filed("invalid").iter().map(|one| one.property).collect();
    let missing: Vec<&str> =
        Property::all().filter(|one| !violated.contains(one)).map(Property::id).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// One line, so that it does not matter where a text was wrapped.
fn told(form: &dyn Render, report: &Report<'_>) -> String {
    let mut out = Vec::new();
    form.render(report, &mut out).expect("memory is written to");
    let text = String::from_utf8(out).expect("text");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_story_of_every_violation_can_be_told() {
    /// What only a programmer would write.
    const DEBUG: [&str; 14] = [
        "TxnId",
        "KeyId",
        "ValueId",
        "SessionId",
        "Some(",
        "None",
        "Ok(",
        "Err(",
        "Property::",
        "Function::",
        "Nanos",
        "Rank(",
        "Version {",
        "\\\"",
    ];
    for one in filed("invalid") {
        let (id, anomaly) = one.proof().expect("it is violated by name");
        let metrics = measure(&one.history);
        let report = Report {
            history: &one.history,
            path: Some(&one.name),
            assessment: &one.judged,
            metrics: &metrics,
            added: None,
            reproduce: None,
            exit: 1,
        };
        let story = told(&Explain { id: Some(id.clone()), style: Style::Plain }, &report);
        let graph = told(&Dot { id: Some(id) }, &report);
        let has = |what: &str| assert!(story.contains(what), "{}: {what} in {story}", one.name);
        has(anomaly.kind);
        anomaly.set.iter().for_each(|property| has(property.name()));
        has(&anomaly.sentence);
        let index = |id| one.history.txn(id).index();
        for operation in &anomaly.operations {
            has(&format!("invokes #{},", index(*operation)));
            let node = format!("o{} [label=\"#{0}: process", index(*operation));
            assert!(graph.contains(&node), "{}: {node} in {graph}", one.name);
        }
        for step in &anomaly.cycle {
            has(&step.why);
            let edge = format!("o{} -> o{} [label", index(step.from), index(step.to));
            assert!(graph.contains(&edge), "{}: {edge} in {graph}", one.name);
        }
        for debug in DEBUG {
            assert!(!story.contains(debug), "{}: {debug} in {story}", one.name);
        }
    }
}
