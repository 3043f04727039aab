//! An exhaustive check of linearizability on plain structs, sharing nothing with the crate.

use std::collections::BTreeSet;

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Fail,
    Info,
}

/// What an operation did and returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Read a register.
    Get(Option<i64>),
    /// Wrote a register.
    Put(i64),
    /// Replaced one value by another.
    Swap(Option<i64>, i64),
    /// Read something and wrote; as an indeterminate operation it would have read anything.
    Modify(Option<i64>, i64),
    /// Appended to a list.
    Append(i64),
    /// Read a list.
    List(Vec<i64>),
    /// Added to a set.
    Add(i64),
    /// Removed from a set.
    Remove(i64),
    /// Read a set.
    Set(BTreeSet<i64>),
    /// Added to a counter.
    Increment(i64),
    /// Read a counter.
    Sum(i64),
    /// Took a lock.
    Acquire,
    /// Gave it back.
    Release,
    /// Overwrote a text.
    PutText(String),
    /// Extended a text.
    AppendText(String),
    /// Read a text.
    Text(String),
}

/// One operation. It happened in `invoked..=returned`; equal times are concurrent.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) what: What,
    pub(crate) outcome: Outcome,
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
}

/// Everything an object may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct State {
    register: Option<i64>,
    list: Vec<i64>,
    set: BTreeSet<i64>,
    sum: i64,
    locked: bool,
    text: String,
}

impl State {
    /// The state after `what`; `None` if its result is not what this state would give.
    pub(crate) fn after(&self, what: &What, outcome: Outcome) -> Option<Self> {
        let mut after = self.clone();
        let legal = match what {
            What::Get(value) => self.register == *value,
            What::Put(value) => {
                after.register = Some(*value);
                true
            }
            What::Swap(old, new) => {
                after.register = Some(*new);
                self.register == *old
            }
            What::Modify(old, new) => {
                after.register = Some(*new);
                outcome == Outcome::Info || self.register == *old
            }
            What::Append(element) => {
                after.list.push(*element);
                true
            }
            What::List(list) => self.list == *list,
            What::Add(element) => {
                after.set.insert(*element);
                true
            }
            What::Remove(element) => {
                after.set.remove(element);
                true
            }
            What::Set(set) => self.set == *set,
            What::Increment(number) => {
                after.sum += number;
                true
            }
            What::Sum(sum) => self.sum == *sum,
            What::Acquire => {
                after.locked = true;
                !self.locked
            }
            What::Release => {
                after.locked = false;
                self.locked
            }
            What::PutText(text) => {
                after.text.clone_from(text);
                true
            }
            What::AppendText(text) => {
                after.text.push_str(text);
                true
            }
            What::Text(text) => self.text == *text,
        };
        legal.then_some(after)
    }

    /// The same operation with the result this state gives.
    pub(crate) fn answer(&self, what: &What) -> What {
        match what {
            What::Get(_) => What::Get(self.register),
            What::Modify(_, new) => What::Modify(self.register, *new),
            What::List(_) => What::List(self.list.clone()),
            What::Set(_) => What::Set(self.set.clone()),
            What::Sum(_) => What::Sum(self.sum),
            What::Text(_) => What::Text(self.text.clone()),
            other => other.clone(),
        }
    }
}

/// Whether some order of all `Ok` and any `Info` operations extends real time and is legal.
pub(crate) fn is_linearizable(operations: &[Operation]) -> bool {
    let operations: Vec<&Operation> =
        operations.iter().filter(|one| one.outcome != Outcome::Fail).collect();
    let must: u32 = bits(&operations, |one| one.outcome == Outcome::Ok);
    let before: Vec<u32> = operations
        .iter()
        .map(|one| {
            bits(&operations, |other| other.outcome == Outcome::Ok && other.returned < one.invoked)
        })
        .collect();
    let mut seen = BTreeSet::new();
    let mut open = vec![(0_u32, State::default())];
    while let Some((done, state)) = open.pop() {
        if done & must == must {
            return true;
        }
        if !seen.insert((done, state.clone())) {
            continue;
        }
        for (at, one) in operations.iter().enumerate() {
            if done & (1 << at) != 0 || before[at] & !done != 0 {
                continue;
            }
            if let Some(after) = state.after(&one.what, one.outcome) {
                open.push((done | 1 << at, after));
            }
        }
    }
    false
}

fn bits(operations: &[&Operation], which: impl Fn(&Operation) -> bool) -> u32 {
    operations
        .iter()
        .enumerate()
        .filter(|(_, one)| which(one))
        .fold(0, |bits, (at, _)| bits | 1 << at)
}
