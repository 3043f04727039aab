//! Set-full and DUPEL, word for word (ANOMALIES sections 6 and 7).

use std::collections::{BTreeMap, BTreeSet};

use super::lines::{Line, numbers, tries};

/// What became of every element of set `s`.
pub(crate) fn fates(lines: &[Line]) -> BTreeMap<i64, &'static str> {
    let mut reads: Vec<&Line> =
        lines.iter().filter(|line| line.is_ok() && line.read("s").is_some()).collect();
    reads.sort_by_key(|line| line.invoked);
    let mut elements: BTreeSet<i64> = reads.iter().flat_map(|read| numbers(&read.value)).collect();
    let adds = lines.iter().filter(|line| line.function == "add");
    elements.extend(adds.filter_map(|line| line.value.as_i64()));
    let removed = |element: &i64| {
        lines.iter().any(|line| {
            line.function == "rem" && !line.failed() && line.value.as_i64() == Some(*element)
        })
    };
    let fates = elements.into_iter().filter(|element| !removed(element));
    fates.map(|element| (element, fate(lines, &reads, element))).collect()
}

fn fate(lines: &[Line], reads: &[&Line], element: i64) -> &'static str {
    let adds = tries(lines, "s", &element.into());
    let times = |read: &Line| numbers(&read.value).iter().filter(|one| **one == element).count();
    let with: Vec<usize> = (0..reads.len()).filter(|at| times(reads[*at]) > 0).collect();
    if adds.is_empty() {
        return "unexpected";
    }
    if reads.iter().any(|read| times(read) > 1) {
        return "duplicated";
    }
    if adds.iter().all(|add| add.failed()) {
        return if with.is_empty() { "not-added" } else { "failed-visible" };
    }
    let known_by: Vec<&Line> = adds
        .iter()
        .filter(|add| add.is_ok())
        .copied()
        .chain(with.iter().map(|at| reads[*at]))
        .collect();
    if known_by.is_empty() {
        return "indeterminate";
    }
    let known_before = |read: &Line| known_by.iter().any(|by| by.precedes(read));
    let after = (0..reads.len()).rfind(|at| times(reads[*at]) == 0 && known_before(reads[*at]));
    match after {
        Some(at) if with.last() > Some(&at) => "stale",
        Some(at) if reads[at].is_final => "lost",
        Some(_) => "missing",
        None if with.is_empty() => "never-read",
        None => "ok",
    }
}

/// The elements of list or set `s` that a read has more often than it can be there.
pub(crate) fn doubled(lines: &[Line]) -> BTreeSet<i64> {
    let is_set = lines.iter().any(|line| line.function == "add");
    let mut doubled = BTreeSet::new();
    for read in lines.iter().filter(|line| line.is_ok() && line.function == "r") {
        let seen = numbers(&read.value);
        for element in &seen {
            let times = seen.iter().filter(|one| *one == element).count();
            let tries = tries(lines, "s", &(*element).into());
            let most = if is_set { 1 } else { tries.iter().filter(|line| !line.failed()).count() };
            if times > 1 && times > most {
                doubled.insert(*element);
            }
        }
    }
    doubled
}
