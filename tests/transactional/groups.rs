//! What transactions on groups of write-once fields show, by looking at every pair of them.

use std::collections::{BTreeMap, BTreeSet};

use rashomon::history::{History, ValueId};
use rashomon::model::Function;

/// A committed transaction on one group: which fields it found written, which empty, which it wrote.
#[derive(Default)]
struct Look {
    written: BTreeSet<String>,
    empty: BTreeSet<String>,
    wrote: BTreeSet<String>,
}

fn looks(history: &History) -> BTreeMap<String, Vec<Look>> {
    let mut groups: BTreeMap<String, Vec<Look>> = BTreeMap::new();
    for txn in history.txns().filter(|txn| txn.is_ok()) {
        let (mut look, mut group) = (Look::default(), String::new());
        for access in txn.accesses() {
            let key = history.key_name(access.key).to_string();
            let (name, field) = key.split_once('.').expect("a field of a group");
            name.clone_into(&mut group);
            let fields = match access.function {
                Function::Write => &mut look.wrote,
                _ if access.value == ValueId::NULL => &mut look.empty,
                _ => &mut look.written,
            };
            fields.insert(field.to_owned());
        }
        groups.entry(group).or_default().push(look);
    }
    groups
}

fn pairs(history: &History, is_bad: impl Fn(&Look, &Look) -> bool) -> usize {
    let count = |looks: &Vec<Look>| {
        let pairs = looks
            .iter()
            .enumerate()
            .flat_map(|(at, one)| looks[at + 1..].iter().map(move |other| (one, other)));
        pairs.filter(|(one, other)| is_bad(one, other)).count()
    };
    looks(history).values().map(count).sum()
}

/// Pairs of reads of which each saw a field written that the other found empty.
pub(crate) fn forks(history: &History) -> usize {
    pairs(history, |one, other| {
        one.written.intersection(&other.empty).next().is_some()
            && other.written.intersection(&one.empty).next().is_some()
    })
}

/// Pairs of transactions that each wrote a field that the other found empty.
pub(crate) fn skews(history: &History) -> usize {
    pairs(history, |one, other| {
        one.wrote.intersection(&other.empty).next().is_some()
            && other.wrote.intersection(&one.empty).next().is_some()
    })
}
