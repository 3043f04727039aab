//! EC and RES, word for word (ANOMALIES section 5).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::ancestry::ancestors;
use super::lines::{Line, numbers, tries};

/// What EC says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Convergence {
    /// Everyone agreed by this millisecond.
    Agreed(u64),
    Open,
    Violated,
}

/// Whether the answers of the final reads agree in the end. Sets are equal in any order.
pub(crate) fn convergence(lines: &[Line]) -> Convergence {
    let finals: Vec<&Line> = lines.iter().filter(|line| line.is_ok() && line.is_final).collect();
    let keys: BTreeSet<&str> = finals.iter().map(|line| line.key).collect();
    if keys.is_empty() {
        return Convergence::Open;
    }
    let each: Vec<Convergence> = keys.into_iter().map(|key| of_key(lines, &finals, key)).collect();
    if each.contains(&Convergence::Violated) {
        return Convergence::Violated;
    }
    if each.contains(&Convergence::Open) {
        return Convergence::Open;
    }
    let by = each.into_iter().map(|one| match one {
        Convergence::Agreed(by) => by,
        _ => 0,
    });
    Convergence::Agreed(by.max().unwrap_or(0))
}

fn of_key(lines: &[Line], finals: &[&Line], key: &str) -> Convergence {
    let is_set = lines.iter().any(|line| line.key == key && line.function == "add");
    let answer = |line: &Line| {
        let mut answer = line.value.clone();
        if let Json::Array(elements) = &mut answer
            && is_set
        {
            elements.sort_by_key(Json::as_i64);
        }
        answer
    };
    let mut places: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    let mut reads: Vec<&Line> = finals.iter().filter(|line| line.key == key).copied().collect();
    reads.sort_by_key(|line| line.invoked);
    for line in reads {
        places.entry(line.node.expect("a node")).or_default().push(line);
    }
    let places: Vec<Vec<&Line>> = places.into_values().collect();
    let last: Vec<Json> = places.iter().map(|reads| answer(reads[reads.len() - 1])).collect();
    if last.iter().all(|one| *one == last[0]) {
        let values: Vec<Json> = match &last[0] {
            Json::Null => Vec::new(),
            Json::Array(elements) => elements.clone(),
            one => vec![one.clone()],
        };
        if values.iter().any(|value| tries(lines, key, value).iter().all(|line| line.failed())) {
            return Convergence::Violated;
        }
        let nodes: BTreeSet<&str> = lines.iter().filter_map(|line| line.node).collect();
        if places.len() < 2 || places.len() < nodes.len() {
            return Convergence::Open;
        }
        let since = |reads: &Vec<&Line>| {
            let from =
                reads.iter().rposition(|line| answer(line) != last[0]).map_or(0, |at| at + 1);
            reads[from].returned
        };
        return Convergence::Agreed(places.iter().map(since).max().unwrap_or(0));
    }
    let rounds = |reads: &Vec<&Line>| reads.len() >= 2;
    if !places.iter().all(rounds) {
        return Convergence::Open;
    }
    let pairs: Vec<[&Line; 2]> =
        places.iter().map(|reads| [reads[reads.len() - 2], reads[reads.len() - 1]]).collect();
    if !pairs.iter().all(|[one, two]| answer(one) == answer(two) && one.precedes(two)) {
        return Convergence::Open;
    }
    let quiet = |line: &Line| {
        let writes =
            lines.iter().filter(|write| write.is_ok() && write.key == key && write.function != "r");
        writes.into_iter().all(|write| write.precedes(line))
    };
    let diverged = pairs.iter().any(|a| {
        pairs.iter().any(|b| {
            answer(a[1]) != answer(b[1])
                && a[0].precedes(b[1])
                && b[0].precedes(a[1])
                && quiet(a[0])
                && quiet(b[0])
        })
    });
    if diverged { Convergence::Violated } else { Convergence::Open }
}

/// The elements of a set that were removed, seen gone and seen again without an addition between.
pub(crate) fn resurrected(lines: &[Line]) -> BTreeSet<i64> {
    let reads: Vec<&Line> =
        lines.iter().filter(|line| line.is_ok() && line.function == "r").collect();
    let mut back = BTreeSet::new();
    for removal in lines.iter().filter(|line| line.is_ok() && line.function == "rem") {
        let element = removal.value.as_i64().expect("an element");
        let has = |read: &Line| numbers(&read.value).contains(&element);
        for absent in reads.iter().filter(|read| removal.precedes(read) && !has(read)) {
            for present in reads.iter().filter(|read| absent.precedes(read) && has(read)) {
                let explains = |line: &&Line| {
                    line.function == "add"
                        && line.value == removal.value
                        && !line.failed()
                        && !line.precedes(removal)
                        && !present.precedes(line)
                };
                if !lines.iter().any(|line| explains(&line)) {
                    back.insert(element);
                }
            }
        }
    }
    back
}

/// The versions of register `x` that a final read shows although an earlier read saw a newer one.
pub(crate) fn rolled_back(lines: &[Line]) -> BTreeSet<Option<i64>> {
    let ancestors = ancestors(lines, "x");
    let mut back = BTreeSet::new();
    for last in lines.iter().filter(|line| line.is_ok() && line.is_final) {
        let Some(version) = last.read("x").map(Json::as_i64) else { continue };
        let newer = |line: &&Line| {
            let seen = line.read("x").and_then(Json::as_i64);
            let own = |seen: i64| {
                line.parts().iter().any(|part| part.0 == "w" && part.2.as_i64() == Some(seen))
            };
            line.is_ok()
                && line.precedes(last)
                && seen.is_some_and(|seen| {
                    !own(seen) && ancestors.get(&seen).is_some_and(|all| all.contains(&version))
                })
        };
        if lines.iter().any(|line| newer(&line)) {
            back.insert(version);
        }
    }
    back
}
