//! Which version of a register was made from which (evidence E1 to E3, specification 1.3).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::lines::{Line, tries};

/// For each version of a register the versions it was made from, `null` among them; nothing if the
/// evidence is cyclic.
pub(crate) fn ancestors(lines: &[Line], key: &str) -> BTreeMap<i64, BTreeSet<Option<i64>>> {
    let is_null_written = !tries(lines, key, &Json::Null).is_empty();
    let unique = |value: i64| tries(lines, key, &value.into()).len() <= 1;
    let mut made: BTreeMap<i64, BTreeSet<Option<i64>>> = BTreeMap::new();
    for line in lines.iter().filter(|line| !line.failed()) {
        let mut before = None;
        for (function, at, value) in line.parts() {
            if at != key {
                continue;
            }
            if function == "r" {
                before = value.as_i64().filter(|_| line.is_ok() || line.function == "cas");
            } else if let Some(value) = value.as_i64() {
                if unique(value) {
                    let from = before.filter(|from| unique(*from));
                    let all = made.entry(value).or_default();
                    all.extend(from.map(Some));
                    if !is_null_written {
                        all.insert(None);
                    }
                }
                before = Some(value);
            }
        }
    }
    let ends: Vec<i64> = made.values().flatten().flatten().copied().collect();
    for end in ends.into_iter().filter(|_| !is_null_written) {
        made.entry(end).or_insert_with(|| BTreeSet::from([None]));
    }
    loop {
        let mut grown = made.clone();
        for all in grown.values_mut() {
            let more: Vec<Option<i64>> =
                all.iter().flatten().filter_map(|from| made.get(from)).flatten().copied().collect();
            all.extend(more);
        }
        if grown == made {
            break;
        }
        made = grown;
    }
    let is_cyclic = made.iter().any(|(value, all)| all.contains(&Some(*value)));
    if is_cyclic { BTreeMap::new() } else { made }
}
