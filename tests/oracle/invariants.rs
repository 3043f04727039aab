//! TORN, FR, DUPID, CNT, INV and BANK, word for word (ANOMALIES sections 6 and 7).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::ancestry::ancestors;
use super::lines::{Line, numbers, tries};

/// The keys that an operation writes, with what it writes last.
fn written(line: &Line) -> BTreeMap<&str, &Json> {
    let writes = line.parts().into_iter().filter(|part| matches!(part.0, "w" | "append"));
    writes.map(|part| (part.1, part.2)).collect()
}

/// How many reads of the row `r.a`, `r.b` mix two writers.
pub(crate) fn torn(lines: &[Line]) -> usize {
    let tried = lines.iter().filter(|line| !line.failed());
    let fields: BTreeSet<&str> = tried.flat_map(|line| written(line).into_keys()).collect();
    let whole = |line: &Line| {
        let keys: BTreeSet<&str> = written(line).into_keys().collect();
        keys.is_empty() || keys == fields
    };
    if !lines.iter().filter(|line| !line.failed()).all(whole) {
        return 0;
    }
    let is_torn = |line: &&Line| {
        let mut sources: BTreeMap<&str, Option<*const Line>> = BTreeMap::new();
        for (function, key, value) in line.parts() {
            if function == "w" {
                break;
            }
            let tries = tries(lines, key, value);
            sources.remove(key);
            if fields.contains(key) && value.is_null() {
                sources.insert(key, None);
            } else if fields.contains(key) && tries.len() == 1 && !tries[0].failed() {
                sources.insert(key, Some(std::ptr::from_ref(tries[0])));
            }
        }
        line.is_ok() && sources.values().collect::<BTreeSet<_>>().len() > 1
    };
    lines.iter().filter(is_torn).count()
}

/// How many reads see one part of a transaction and miss another.
pub(crate) fn fractured(lines: &[Line], is_list: bool) -> usize {
    let half = |reader: &&Line| {
        let mut reads: BTreeMap<&str, &Json> = BTreeMap::new();
        let mut own = BTreeSet::new();
        for (function, key, value) in reader.parts() {
            if function != "r" {
                own.insert(key);
            } else if is_list || !own.contains(key) {
                reads.entry(key).or_insert(value);
            }
        }
        reader.is_ok()
            && reads.iter().any(|(seen, version)| {
                let mine = |value: &i64| {
                    tries(lines, seen, &(*value).into())
                        .iter()
                        .any(|line| std::ptr::eq(*line, *reader))
                };
                let last = match version {
                    Json::Array(_) => numbers(version).into_iter().rfind(|value| !mine(value)),
                    version => version.as_i64(),
                };
                let Some(last) = last else { return false };
                let [writer] = tries(lines, seen, &last.into())[..] else { return false };
                !writer.failed()
                    && !std::ptr::eq(writer, *reader)
                    && writer.parts().iter().any(|(function, key, value)| {
                        let Some(read) = reads.get(key).filter(|_| key != seen) else {
                            return false;
                        };
                        *function != "r" && older(lines, writer, key, read, value)
                    })
            })
    };
    lines.iter().filter(half).count()
}

/// Whether `read` is certainly older than the `value` that `writer` wrote to `key`.
fn older(lines: &[Line], writer: &Line, key: &str, read: &Json, value: &Json) -> bool {
    let unique = tries(lines, key, value).len() == 1;
    if read.is_array() {
        return unique && !read.as_array().is_some_and(|list| list.contains(value));
    }
    let is_last = written(writer).get(key) == Some(&value);
    let is_ancestor = value.as_i64().is_some_and(|value| {
        ancestors(lines, key).get(&value).is_some_and(|all| all.contains(&read.as_i64()))
    });
    is_last && unique && (read.is_null() || is_ancestor)
}

/// How many ids were handed out again.
pub(crate) fn repeated_ids(lines: &[Line]) -> usize {
    let ids: Vec<String> = lines
        .iter()
        .filter(|line| line.is_ok())
        .map(|line| format!("{} {}", line.key, line.value))
        .collect();
    ids.len() - ids.iter().collect::<BTreeSet<_>>().len()
}

/// How many reads of the counter are out of bounds.
pub(crate) fn out_of_bounds(lines: &[Line]) -> usize {
    let number = |line: &Line| line.value.as_i64().unwrap_or(0);
    let is_out = |read: &&Line| {
        let (mut least, mut most) = (0, 0);
        for line in lines.iter().filter(|line| line.function == "inc" && !line.failed()) {
            if line.is_ok() && line.precedes(read) {
                least += number(line);
                most += number(line);
            } else if !read.precedes(line) {
                least += number(line).min(0);
                most += number(line).max(0);
            }
        }
        read.is_ok() && read.read("c").is_some() && !(least..=most).contains(&number(read))
    };
    lines.iter().filter(is_out).count()
}

/// How often the stock is not accounted for; `initial` was there before all else.
pub(crate) fn unaccounted(lines: &[Line], initial: i64) -> usize {
    let number = |line: &Line| line.value.as_i64().expect("a number");
    let buys: Vec<&Line> =
        lines.iter().filter(|line| line.function == "buy" && !line.failed()).collect();
    let sold: i64 = buys.iter().filter(|buy| buy.is_ok()).map(|buy| number(buy).max(0)).sum();
    let restocked: i64 = buys.iter().map(|buy| (-number(buy)).max(0)).sum();
    let mut count = usize::from(sold > initial + restocked);
    for level in lines.iter().filter(|line| line.function == "level" && line.is_ok()) {
        count += usize::from(number(level) < 0);
        if !level.is_final {
            continue;
        }
        let (sure, open): (Vec<&Line>, Vec<&Line>) = buys
            .iter()
            .copied()
            .filter(|buy| !level.precedes(buy))
            .partition(|buy| buy.is_ok() && buy.precedes(level));
        let left = initial - sure.into_iter().map(number).sum::<i64>();
        let explained = (0..1_u32 << open.len()).any(|chosen| {
            let chosen = open.iter().enumerate().filter(|(at, _)| chosen & 1 << at != 0);
            left - chosen.map(|(_, buy)| number(buy)).sum::<i64>() == number(level)
        });
        count += usize::from(!explained);
    }
    count
}

/// How many reads of all accounts have another total than the bank began with, or than the first read.
pub(crate) fn unconserved(lines: &[Line]) -> usize {
    let total = |line: &Line| -> i64 {
        line.value.as_object().map_or(0, |map| map.values().filter_map(Json::as_i64).sum())
    };
    let mut reads: Vec<&Line> =
        lines.iter().filter(|line| line.function == "bread" && line.is_ok()).collect();
    reads.sort_by_key(|read| read.invoked);
    let begin = lines.iter().find(|line| line.function == "init-bank");
    let Some(base) = begin.or(reads.first().copied()) else { return 0 };
    let after = reads.into_iter().filter(|read| begin.is_none_or(|begin| begin.precedes(read)));
    after.into_iter().filter(|read| total(read) != total(base)).count()
}
