//! Orders by exhaustion: is there a total order of operations that keeps a relation and in which
//! every object answers as it did? Shares no code with the checkers.

use std::collections::{BTreeMap, BTreeSet};

use rashomon::history::{Access, Builder, Header, History, Operation};
use rashomon::model::{Function, Kind, Nanos, Process, Value};

/// One operation; its steps are function, key and value.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) process: u32,
    pub(crate) session: u32,
    pub(crate) kind: Kind,
    pub(crate) invoked: u64,
    /// `u64::MAX` if its outcome is unknown.
    pub(crate) returned: u64,
    pub(crate) function: Function,
    pub(crate) steps: Vec<(Function, usize, Value)>,
}

impl Row {
    pub(crate) fn reads(&self) -> bool {
        self.steps.iter().any(|step| step.0 == Function::Read)
    }

    pub(crate) fn writes(&self) -> bool {
        self.steps.iter().any(|step| step.0 != Function::Read)
    }

    pub(crate) fn touches(&self, key: usize) -> bool {
        self.steps.iter().any(|step| step.1 == key)
    }
}

const NAMES: [&str; 3] = ["x", "y", "z"];

/// The real history of these rows.
pub(crate) fn build(rows: &[Row]) -> History {
    built(rows, Builder::new())
}

/// The same history of registers that begin with zero, where these begin with nothing.
pub(crate) fn build_from_zero(rows: &[Row]) -> History {
    let mut rows = rows.to_vec();
    for (_, _, value) in rows.iter_mut().flat_map(|row| &mut row.steps) {
        match value {
            Value::Null => *value = Value::Int(0),
            Value::Int(0) => *value = Value::Null,
            _ => {}
        }
    }
    let mut builder = Builder::new();
    builder.header(Header { initial: Some(Value::Int(0)), ..Header::default() });
    built(&rows, builder)
}

fn built(rows: &[Row], mut builder: Builder) -> History {
    for (index, row) in (0..).zip(rows) {
        let accesses: Vec<Access> = row
            .steps
            .iter()
            .map(|(function, key, value)| Access {
                function: *function,
                key: builder.key(&NAMES[*key].into()),
                value: builder.value(value),
            })
            .collect();
        let operation = Operation {
            index: Some(index),
            process: Process(row.process),
            kind: row.kind,
            function: row.function,
            invoked: Nanos::from_millis(row.invoked),
            returned: (row.returned != u64::MAX).then(|| Nanos::from_millis(row.returned)),
            session: Some(row.session),
            node: None,
            version: None,
            is_final: false,
        };
        builder.operation(operation, &accesses).expect("rows are well-formed");
    }
    builder.finish().expect("rows are well-formed")
}

/// What the objects hold, by key.
pub(crate) type State = BTreeMap<usize, Value>;

/// The value a read of a key would show; `like` is what a read of such an object looks like.
pub(crate) fn shown(state: &State, key: usize, like: &Value) -> Value {
    match (state.get(&key), like) {
        (Some(value), _) => value.clone(),
        (None, Value::List(_)) => Value::list([]),
        (None, _) => Value::Null,
    }
}

/// Applies the steps of an operation; `None` if a read that counts is wrong.
pub(crate) fn apply(state: &State, row: &Row, counts: bool) -> Option<State> {
    let mut after = state.clone();
    for (function, key, value) in &row.steps {
        let now = after.get(key).cloned();
        let items = || match &now {
            Some(Value::List(items)) => items.to_vec(),
            _ => Vec::new(),
        };
        let sum = || now.as_ref().and_then(Value::as_int).unwrap_or(0);
        match function {
            Function::Read if counts => {
                let fits = match value {
                    Value::List(list) => {
                        sorted_if_set(row, list.to_vec()) == sorted_if_set(row, items())
                    }
                    other => *other == now.unwrap_or(Value::Null),
                };
                if !fits {
                    return None;
                }
            }
            Function::Read => {}
            Function::Append => {
                let all = items().into_iter().chain([value.clone()]);
                after.insert(*key, Value::list(all));
            }
            Function::Add => {
                let mut all = items();
                if !all.contains(value) {
                    all.push(value.clone());
                }
                all.sort();
                after.insert(*key, Value::list(all));
            }
            Function::Remove => {
                let all = items().into_iter().filter(|item| item != value);
                after.insert(*key, Value::list(all));
            }
            Function::Increment => {
                after.insert(*key, Value::Int(sum() + value.as_int().expect("a number")));
            }
            _ => {
                after.insert(*key, value.clone());
            }
        }
    }
    Some(after)
}

/// Sets are kept in order by `add`, so only the order of what was read has to be mended there; lists
/// are told by the keys they use: elements of sets are at least 1000.
fn sorted_if_set(_row: &Row, mut items: Vec<Value>) -> Vec<Value> {
    if items.iter().all(|item| item.as_int().is_some_and(|n| n >= 1000)) {
        items.sort();
        items.dedup();
    }
    items
}

/// Whether some order of all of `must` and any others keeps `before` and is legal for `checked`.
fn exists(
    rows: &[&Row],
    before: impl Fn(usize, usize) -> bool,
    checked: impl Fn(usize) -> bool,
) -> bool {
    let bits = |which: &dyn Fn(usize) -> bool| {
        (0..rows.len()).filter(|at| which(*at)).fold(0_u32, |bits, at| bits | 1 << at)
    };
    let must = bits(&|at| rows[at].kind == Kind::Ok);
    let waits: Vec<u32> =
        (0..rows.len()).map(|at| must & bits(&|other| other != at && before(other, at))).collect();
    let mut seen = BTreeSet::new();
    let mut open = vec![(0_u32, State::new())];
    while let Some((done, state)) = open.pop() {
        if done & must == must {
            return true;
        }
        if !seen.insert((done, state.clone())) {
            continue;
        }
        for at in (0..rows.len()).filter(|at| done & 1 << at == 0 && waits[*at] & !done == 0) {
            // An indeterminate compare-and-set says what it expected.
            let counts = checked(at) && (rows[at].kind == Kind::Ok);
            let counts = counts || rows[at].function == Function::Cas && checked(at);
            open.extend(apply(&state, rows[at], counts).map(|after| (done | 1 << at, after)));
        }
    }
    false
}

fn possible(rows: &[Row]) -> Vec<&Row> {
    let mut rows: Vec<&Row> = rows
        .iter()
        .filter(|row| row.kind == Kind::Ok || row.kind == Kind::Info && row.writes())
        .collect();
    rows.sort_by_key(|row| row.invoked);
    rows
}

fn keep_sessions(rows: &[&Row]) -> bool {
    let so = |one: usize, other: usize| {
        one < other && rows[one].session == rows[other].session && rows[one].kind == Kind::Ok
    };
    exists(rows, so, |_| true)
}

/// SEQ.
pub(crate) fn is_sequential(rows: &[Row]) -> bool {
    keep_sessions(&possible(rows))
}

/// COH: SEQ of each key alone, of what each operation did there.
pub(crate) fn is_coherent(rows: &[Row]) -> bool {
    (0..NAMES.len()).all(|key| {
        let mut of_key: Vec<Row> = rows.iter().filter(|row| row.touches(key)).cloned().collect();
        for row in &mut of_key {
            row.steps.retain(|step| step.1 == key);
        }
        keep_sessions(&possible(&of_key))
    })
}

/// LIN.
pub(crate) fn is_linearizable(rows: &[Row]) -> bool {
    let rows = possible(rows);
    exists(&rows, |one, other| rows[one].returned < rows[other].invoked, |_| true)
}

/// REG: every read with all writes, whatever those read.
pub(crate) fn is_regular(rows: &[Row]) -> bool {
    let all = possible(rows);
    all.iter().filter(|row| row.kind == Kind::Ok && row.reads()).all(|read| {
        let these: Vec<&Row> =
            all.iter().copied().filter(|row| row.writes() || std::ptr::eq(*row, *read)).collect();
        exists(
            &these,
            |one, other| these[one].returned < these[other].invoked,
            |at| std::ptr::eq(these[at], *read),
        )
    })
}

/// INCO: whether of any two reads of a list one is a prefix of the other.
pub(crate) fn is_compatible(rows: &[Row]) -> bool {
    let reads: Vec<(usize, Vec<Value>)> = rows
        .iter()
        .filter(|row| row.kind == Kind::Ok)
        .flat_map(|row| &row.steps)
        .filter_map(|(function, key, value)| match value {
            Value::List(items) if *function == Function::Read => Some((*key, items.to_vec())),
            _ => None,
        })
        .filter(|(key, _)| {
            let steps = || rows.iter().flat_map(|row| &row.steps);
            !steps().any(|one| one.1 == *key && matches!(one.0, Function::Add | Function::Remove))
        })
        .collect();
    reads.iter().all(|(key, one)| {
        reads.iter().all(|(other_key, other)| {
            key != other_key || one.starts_with(other) || other.starts_with(one)
        })
    })
}

/// DELTA in milliseconds: the least candidate by which all reads can be moved back; `None` if a
/// read shows what was never written, or written only later.
pub(crate) fn delta(rows: &[Row]) -> Option<u64> {
    let ok_reads = || possible_reads(rows);
    for read in ok_reads() {
        let (_, key, shown) = &read.steps[0];
        for value in parts(shown) {
            let written =
                |row: &&Row| row.writes() && row.steps[0].1 == *key && row.steps[0].2 == value;
            let from = rows.iter().filter(written).find(|row| row.kind != Kind::Fail);
            if from.is_none_or(|write| read.returned < write.invoked) {
                return None;
            }
        }
    }
    let mut candidates: Vec<u64> = ok_reads()
        .flat_map(|read| rows.iter().map(|row| read.invoked.saturating_sub(row.returned)))
        .chain([0])
        .collect();
    candidates.sort_unstable();
    candidates.dedup();
    let all = possible(rows);
    candidates.into_iter().find(|by| {
        // Invocations are moved, so times are shifted up to keep them above zero.
        let invoked = |row: &Row| 1_000 + row.invoked - if row.writes() { 0 } else { *by };
        let returned = |row: &Row| row.returned.saturating_add(1_000);
        exists(&all, |one, other| returned(all[one]) < invoked(all[other]), |_| true)
    })
}

/// The values that a read of a register or of a list shows.
fn parts(shown: &Value) -> Vec<Value> {
    match shown {
        Value::Null => Vec::new(),
        Value::List(items) => items.to_vec(),
        value => vec![value.clone()],
    }
}

fn possible_reads(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|row| row.kind == Kind::Ok && !row.writes())
}

/// KSTALE: the least k for which some order that keeps real time lets every read of a register or list show
/// one of the k latest versions of its key.
pub(crate) fn k(rows: &[Row]) -> Option<u64> {
    let all = possible(rows);
    let must =
        (0..all.len()).filter(|at| all[*at].kind == Kind::Ok).fold(0_u32, |m, at| m | 1 << at);
    let waits: Vec<u32> = (0..all.len())
        .map(|at| {
            let before = |other: &usize| all[*other].returned < all[at].invoked;
            (0..all.len()).filter(before).fold(0_u32, |bits, other| bits | 1 << other) & must
        })
        .collect();
    (1..=8).find(|k| {
        let mut seen = BTreeSet::new();
        let mut open = vec![(0_u32, BTreeMap::<usize, Vec<Value>>::new())];
        while let Some((done, state)) = open.pop() {
            if done & must == must {
                return true;
            }
            if !seen.insert((done, state.clone())) {
                continue;
            }
            for at in (0..all.len()).filter(|at| done & 1 << at == 0 && waits[*at] & !done == 0) {
                let (function, key, value) = &all[at].steps[0];
                let mut after = state.clone();
                let is_list = all.iter().any(|row| row.steps[0].0 == Function::Append);
                let first = if is_list { Value::list([]) } else { Value::Null };
                let latest = after.entry(*key).or_insert_with(|| vec![first]);
                if *function == Function::Read {
                    if !latest.contains(value) {
                        continue;
                    }
                } else {
                    latest.push(match latest.last() {
                        Some(Value::List(items)) => {
                            Value::list(items.iter().cloned().chain([value.clone()]))
                        }
                        _ => value.clone(),
                    });
                    if latest.len() > *k as usize {
                        latest.remove(0);
                    }
                }
                open.push((done | 1 << at, after));
            }
        }
        false
    })
}
