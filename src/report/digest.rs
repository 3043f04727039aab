//! The verdicts as a reader needs them: what follows from something else gets no row of its own.

use crate::check::{Property, Status, Verdict};
use crate::report::{Finding, Report};

/// Verdicts of one status.
pub(super) struct Section<'a> {
    pub(super) status: Status,
    pub(super) rows: Vec<Row<'a>>,
    /// The properties whose verdict follows from that of a row.
    pub(super) follow: Vec<Property>,
}

/// The verdict on one property, or on several that are undecided, or hold as far as can be seen, for the
/// same reason.
pub(super) struct Row<'a> {
    pub(super) properties: Vec<Property>,
    /// The ids of the proofs that were kept.
    pub(super) ids: Vec<String>,
    /// How many violations there are.
    pub(super) count: u64,
    /// What was expected, if that was something else, or if it is known not to hold.
    pub(super) expectation: Option<&'static str>,
    pub(super) reason: Option<&'a str>,
}

impl<'a> Section<'a> {
    /// What is violated, undecided and holds, in this order; empty sections are left out.
    ///
    /// A row is left to what is told first-hand: what is violated for the reason only that something
    /// weaker is, or holds because something stronger does, is listed as following.
    pub(super) fn all(report: &Report<'a>) -> Vec<Self> {
        let sections = [Status::Invalid, Status::Unknown, Status::Valid];
        let sections = sections.map(|status| Self::of(report, status));
        sections.into_iter().filter(|section| !section.rows.is_empty()).collect()
    }

    fn of(report: &Report<'a>, status: Status) -> Self {
        let (expected, strongest) = (&report.assessment.expected, &report.assessment.strongest);
        let mut section = Self { status, rows: Vec::new(), follow: Vec::new() };
        for (verdict, ids) in report.verdicts().filter(|(one, _)| one.status == status) {
            let property = verdict.property;
            let is_first_hand = match status {
                Status::Invalid => !verdict.anomalies.is_empty(),
                Status::Unknown => true,
                Status::Valid => strongest.contains(&property),
            };
            let row = Row {
                properties: vec![property],
                ids,
                count: verdict.count,
                expectation: expectation(report, verdict),
                reason: verdict.reason.as_deref(),
            };
            if is_first_hand || expected.hold.contains(&property) {
                section.add(row);
            } else {
                section.follow.push(property);
            }
        }
        section
    }

    fn add(&mut self, row: Row<'a>) {
        let is_same = |other: &&mut Row<'a>| {
            (other.reason, other.expectation) == (row.reason, row.expectation)
        };
        match self.rows.iter_mut().find(is_same) {
            Some(other) if self.status != Status::Invalid && row.reason.is_some() => {
                other.properties.extend(row.properties);
            }
            _ => self.rows.push(row),
        }
    }

    /// What is said of the properties that follow.
    pub(super) fn following(&self) -> Option<String> {
        let ids: Vec<&str> = self.follow.iter().map(|property| property.id()).collect();
        match (self.status, ids.len()) {
            (_, 0) => None,
            (Status::Valid, 1) => Some("and one weaker property that follows".to_owned()),
            (Status::Valid, count) => Some(format!("and {count} weaker properties that follow")),
            _ => Some(format!("and with it: {}", ids.join(", "))),
        }
    }
}

impl Row<'_> {
    /// The ids of its properties.
    pub(super) fn property_ids(&self) -> String {
        self.properties.iter().map(|property| property.id()).collect::<Vec<_>>().join(", ")
    }

    /// The name, if it is of one property alone.
    pub(super) fn name(&self) -> &'static str {
        match self.properties.as_slice() {
            [property] => property.name(),
            _ => "",
        }
    }
}

fn expectation(report: &Report<'_>, verdict: &Verdict) -> Option<&'static str> {
    let expected = &report.assessment.expected;
    if expected.hold.contains(&verdict.property) {
        return (verdict.status != Status::Valid).then_some("expected to hold");
    }
    expected.known.contains(&verdict.property).then_some("known weakness")
}

/// Every finding, and whether a report that does not show all of them shows it.
pub(super) fn proofs<'a>(report: &Report<'a>) -> Vec<(Finding<'a>, bool)> {
    let verdicts = report.assessment.verdicts.iter();
    let is_shown = verdicts.flat_map(|verdict| {
        let shown = proofs_shown(report, verdict);
        (0..verdict.anomalies.len()).map(move |nth| nth < shown)
    });
    report.findings().zip(is_shown).collect()
}

/// How many proofs of a violated property are worth a reader's time: several of what was expected to
/// hold and of what nothing weaker explains, one of the rest.
pub(super) fn proofs_shown(report: &Report<'_>, verdict: &Verdict) -> usize {
    const SEVERAL: usize = 3;
    if is_told_in_full(report, verdict) { SEVERAL } else { 1 }
}

/// Whether it was expected to hold, or is violated without anything weaker being violated.
pub(super) fn is_told_in_full(report: &Report<'_>, verdict: &Verdict) -> bool {
    let property = verdict.property;
    let explains = |other: &Verdict| {
        other.property != property
            && !other.anomalies.is_empty()
            && property.is_at_least(other.property)
    };
    report.assessment.expected.hold.contains(&property)
        || !report.assessment.verdicts.iter().any(explains)
}

/// The strongest models that the history is consistent with, of operations and of transactions; empty
/// where it is consistent with none.
pub(super) fn strongest(report: &Report<'_>) -> String {
    let models = |are_levels: bool| -> String {
        let all = report.assessment.strongest.iter();
        let wanted =
            all.filter(|one| one.anomaly().is_none() && one.is_level_of_isolation() == are_levels);
        wanted.map(|one| one.name()).collect::<Vec<_>>().join(", ")
    };
    match (models(false), models(true)) {
        (operations, levels) if levels.is_empty() => operations,
        (operations, levels) if operations.is_empty() => levels,
        (operations, levels) => format!("{operations}; of transactions: {levels}"),
    }
}
