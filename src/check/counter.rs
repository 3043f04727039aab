//! Counters within their bounds: CNT (ANOMALIES section 7; Jepsen's counter, with decrements).

use std::collections::BTreeMap;

use crate::check::tally::Tally;
use crate::check::words::{key_name, session_name};
use crate::check::{Anomaly, Limits, Property, Verdict};
use crate::history::{Datatype, History, KeyId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// Judges whether every read of a counter shows what was surely added before it, and nothing that could
/// not have been.
///
/// At least: the sum of what was added and returned before the read was invoked, and every decrement
/// that may have happened by its return; at most: the same with every such increment. What is of
/// unknown outcome stays possible for ever. A counter that only converges can show too little in
/// reads that are not final; the sentence tells which. `None` if there is no counter. O(n log n).
pub fn check(history: &History, limits: &Limits) -> Option<Verdict> {
    let mut keys: BTreeMap<KeyId, Counter<'_>> = BTreeMap::new();
    for txn in history.txns() {
        for access in txn.accesses() {
            if history.datatype(access.key) == Datatype::Counter {
                keys.entry(access.key).or_default().see(
                    history,
                    txn,
                    access.function,
                    access.value,
                );
            }
        }
    }
    if keys.is_empty() {
        return None;
    }
    let mut tally = Tally::new(Property::Cnt, limits);
    for (key, counter) in &keys {
        if counter.is_odd {
            tally.doubt(|| "a counter was changed by what is no number".to_owned());
            continue;
        }
        let sums = Sums::new(&counter.additions);
        for (read, value) in &counter.reads {
            tally.judged();
            let (least, most) = sums.bounds(*read);
            if !(least..=most).contains(value) {
                let bounds = [least, most];
                tally.violated(|| outside(history, *key, counter, *read, *value, bounds));
            }
        }
    }
    Some(tally.verdict("no reads of counters in this history"))
}

/// What was done to one counter.
#[derive(Default)]
struct Counter<'h> {
    /// What may have been added, in order of invocation.
    additions: Vec<(Txn<'h>, i128)>,
    reads: Vec<(Txn<'h>, i128)>,
    /// Whether something was done to it that is neither a read nor the addition of a number.
    is_odd: bool,
}

impl<'h> Counter<'h> {
    fn see(&mut self, history: &'h History, txn: Txn<'h>, function: Function, value: ValueId) {
        let number = history.values().int(value).map(i128::from);
        match (function, number) {
            (Function::Read, _) if !txn.is_ok() => {}
            // A counter nobody has touched is zero.
            (Function::Read, None) if value == ValueId::NULL => self.reads.push((txn, 0)),
            (Function::Read, Some(number)) => self.reads.push((txn, number)),
            (_, _) if txn.kind() == Kind::Fail => {}
            (Function::Increment | Function::Add, Some(number)) => {
                self.additions.push((txn, number));
            }
            _ => self.is_odd = true,
        }
    }
}

/// Sums of additions up to a rank, of those below zero and of those above.
struct Sums {
    invoked: Vec<(Rank, [i128; 2])>,
    returned: Vec<(Rank, [i128; 2])>,
}

impl Sums {
    fn new(additions: &[(Txn<'_>, i128)]) -> Self {
        let sums = |mut ranked: Vec<(Rank, i128)>| {
            ranked.sort_unstable();
            let add = |sum: &mut [i128; 2], (rank, by): (Rank, i128)| {
                *sum = [sum[0] + by.min(0), sum[1] + by.max(0)];
                Some((rank, *sum))
            };
            ranked.into_iter().scan([0, 0], add).collect()
        };
        let ok = additions.iter().filter(|(txn, _)| txn.is_ok());
        Self {
            invoked: sums(additions.iter().map(|(txn, by)| (txn.invoked(), *by)).collect()),
            returned: sums(ok.map(|(txn, by)| (txn.returned(), *by)).collect()),
        }
    }

    /// The least and the most that a read may show.
    fn bounds(&self, read: Txn<'_>) -> (i128, i128) {
        let before = |sums: &[(Rank, [i128; 2])], rank: Rank| {
            let at = sums.partition_point(|(one, _)| *one < rank);
            at.checked_sub(1).map_or([0, 0], |at| sums[at].1)
        };
        let sure = before(&self.returned, read.invoked());
        let possible = before(&self.invoked, read.returned());
        (sure[1] + possible[0], sure[0] + possible[1])
    }
}

fn outside(
    history: &History,
    key: KeyId,
    counter: &Counter<'_>,
    read: Txn<'_>,
    value: i128,
    [least, most]: [i128; 2],
) -> Anomaly {
    let is_low = value < least;
    let (kind, why) = if is_low {
        ("counter-too-low", format!("what had been acknowledged by then makes it at least {least}"))
    } else {
        (
            "counter-too-high",
            format!("all that can have been added by then makes it at most {most}"),
        )
    };
    let is_final = if read.is_final() { "the final read of " } else { "" };
    let sentence = format!(
        "{} saw {value} in {is_final}{} (#{}), but {why}",
        session_name(history, read),
        key_name(history, key),
        read.index(),
    );
    let mut operations = witness(counter, read, value, is_low);
    operations.push(read.id);
    operations.sort_unstable();
    operations.dedup();
    Anomaly {
        property: Property::Cnt,
        kind,
        set: vec![Property::Cnt],
        key: Some(key),
        session: Some(read.session()),
        operations,
        cycle: Vec::new(),
        assumes: Vec::new(),
        sentence,
    }
}

/// All additions where they are few; otherwise as few as put the counter beyond what was read.
fn witness(counter: &Counter<'_>, read: Txn<'_>, value: i128, is_low: bool) -> Vec<TxnId> {
    const FEW: usize = 8;
    if counter.additions.len() <= FEW {
        return counter.additions.iter().map(|(txn, _)| txn.id).collect();
    }
    let sure = counter.additions.iter().filter(|(txn, _)| txn.is_ok() && txn.precedes(read));
    let mut largest: Vec<(Txn<'_>, i128)> =
        sure.filter(|(_, by)| if is_low { *by > 0 } else { *by < 0 }).copied().collect();
    largest.sort_by_key(|(txn, by)| (std::cmp::Reverse(by.abs()), txn.id));
    let (mut operations, mut sum) = (Vec::new(), 0);
    for (txn, by) in largest {
        if if is_low { sum > value } else { sum < value } {
            break;
        }
        sum += by;
        operations.push(txn.id);
    }
    operations
}
