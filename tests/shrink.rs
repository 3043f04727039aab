//! Shrinking: what is left is smaller, still violates the property, and is a workload like any other.

mod scenarios;

use rashomon::check::{Property, Status};
use rashomon::run::{Shrunk, Trial, shrink};
use rashomon::workload::Workload;
use scenarios::read;

fn shrunk(name: &str, property: Property) -> (usize, Shrunk) {
    let (_, scenario) = read(name);
    let before = Trial::run(&scenario.finding, 1).expect("it runs").history.len();
    let shrunk = shrink(&scenario.finding, property, 1, 4, &mut |_, _| {}).expect("it is violated");
    (before, shrunk)
}

/// The file that is written, read and run again, shows the same.
fn assert_still_violated(shrunk: &Shrunk, property: Property) {
    let again = Workload::parse("workload.toml", &shrunk.text, &[]).expect("it is a workload");
    let trial = Trial::run(&again, shrunk.seed).expect("it runs");
    assert_eq!(trial.status(property), Status::Invalid, "{}", shrunk.text);
    assert_eq!(trial.history.len(), shrunk.trial.history.len());
    assert_eq!(trial.assessment.violated(), [property], "it expects just that");
}

#[test]
fn a_lost_write_is_shown_by_a_handful_of_operations() {
    let (before, shrunk) = shrunk("s054-discarded-tail", Property::Awl);
    assert_still_violated(&shrunk, Property::Awl);
    let after = shrunk.trial.history.len();
    assert!(after * 20 < before, "{before} became {after}:\n{}", shrunk.text);
    assert_eq!(shrunk.workload.plan.faults.len(), 1, "{}", shrunk.text);
    assert_eq!(shrunk.workload.plan.keys.count, 1, "{}", shrunk.text);
    assert!(!shrunk.cuts.is_empty());
}

#[test]
fn a_stale_read_needs_no_fault_and_the_result_depends_on_the_arguments_alone() {
    let (before, one) = shrunk("s068-monotonic-reads", Property::Mr);
    assert_still_violated(&one, Property::Mr);
    let after = one.trial.history.len();
    assert!(after * 20 < before, "{before} became {after}:\n{}", one.text);
    assert!(one.workload.plan.faults.is_empty());
    let (_, other) = shrunk("s068-monotonic-reads", Property::Mr);
    assert_eq!((one.text, one.seed, one.cuts), (other.text, other.seed, other.cuts));
}

#[test]
fn what_is_not_violated_cannot_be_shrunk() {
    let (_, scenario) = read("s054-discarded-tail");
    let result = shrink(&scenario.finding, Property::Dupel, 1, 4, &mut |_, _| {});
    let why = result.err().expect("nothing is duplicated");
    assert!(why.contains("does not violate `no duplicated effects` on seed 1"), "{why}");
}
