//! The part of a history that alone proves a violation.

use crate::check::{Anomaly, Assessment, Expected, Limits, Property, Status, assess};
use crate::history::{Format, History, read_bytes, write_history};

/// The smallest of the proofs of a violated property, as a history file of its own that violates the
/// property just the same when it is read; with how many operations it has.
///
/// `None` if none of the proofs that were kept does without the rest of the history.
pub fn excerpt(
    history: &History,
    assessment: &Assessment,
    property: Property,
    limits: &Limits,
) -> Option<(Vec<u8>, usize)> {
    // What follows from a weaker property is proved by the proofs of that.
    let proofs = assessment.anomalies().map(|(_, anomaly)| anomaly);
    let mut proofs: Vec<&Anomaly> =
        proofs.filter(|anomaly| property.is_at_least(anomaly.property)).collect();
    proofs.sort_by_key(|anomaly| anomaly.operations.len());
    proofs.into_iter().find_map(|proof| {
        let mut bytes = Vec::new();
        write_history(&history.subset(&proof.operations), Format::Jsonl, &mut bytes).ok()?;
        let read = read_bytes("excerpt", &bytes, Some(Format::Jsonl)).ok()?;
        let expected = Expected { hold: vec![property], ..Expected::default() };
        let again = assess(&read, limits, expected);
        let is_violated =
            again.verdict(property).is_some_and(|verdict| verdict.status == Status::Invalid);
        is_violated.then(|| (bytes, read.len()))
    })
}
