//! Random small histories of objects of every kind, with failed and indeterminate operations.

use rashomon::model::{Function, Kind, Random, Value};

use crate::exhaustion::{Row, State, apply, shown};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Registers,
    Updates,
    Repeated,
    Lists,
    Sets,
    Removals,
    Counters,
    Mixed,
    /// Transactions of registers and lists that either read or write.
    Snapshots,
    /// Transactions that do both.
    Transactions,
}

pub(crate) const FAMILIES: [Family; 8] = [
    Family::Registers,
    Family::Updates,
    Family::Repeated,
    Family::Lists,
    Family::Sets,
    Family::Removals,
    Family::Counters,
    Family::Mixed,
];

/// A small history of sessions that may span several processes. Its operations take effect in an
/// order that keeps the sessions, or nearly, or in that of their invocation; some reads show another state.
pub(crate) fn random_history(random: &mut Random, family: Family) -> Vec<Row> {
    let keys = if family == Family::Mixed { 3 } else { 1 + random.below(3) as usize };
    let (sessions, count) = (2 + random.below(2) as u32, 4 + random.below(4) as i64);
    let mut rows = questions(random, family, keys, sessions, count);
    if random.chance(0.3) {
        answer_key_by_key(random, &mut rows);
    } else {
        answer(random, &mut rows);
    }
    rows
}

/// Operations whose reads have no answers yet.
pub(crate) fn questions(
    random: &mut Random,
    family: Family,
    keys: usize,
    sessions: u32,
    count: i64,
) -> Vec<Row> {
    let mut clock = vec![0_u64; sessions as usize];
    let mut process: Vec<u32> = (0..sessions).collect();
    let mut next_process = sessions;
    let mut rows: Vec<Row> = Vec::new();
    for at in 0..count {
        let session = random.below(sessions.into()) as usize;
        let invoked = clock[session] + 1 + random.below(4);
        let mut returned = invoked + 1 + random.below(6);
        clock[session] = returned;
        let kind = match random.below(14) {
            0 => Kind::Info,
            1 => Kind::Fail,
            _ => Kind::Ok,
        };
        let key = random.below(keys as u64) as usize;
        let (function, steps) = operation(random, family, key, at);
        let by = process[session];
        if kind == Kind::Info {
            returned = u64::MAX;
            process[session] = next_process;
            next_process += 1;
        }
        let session = session as u32;
        rows.push(Row { process: by, session, kind, invoked, returned, function, steps });
    }
    rows
}

fn operation(
    random: &mut Random,
    family: Family,
    key: usize,
    at: i64,
) -> (Function, Vec<(Function, usize, Value)>) {
    use Function as F;
    let (value, is_write) = (1 + at, random.chance(0.55));
    let one = |function, value: Value| (function, vec![(function, key, value)]);
    let kind = match family {
        Family::Mixed => [Family::Registers, Family::Lists, Family::Sets][key],
        other => other,
    };
    if matches!(kind, Family::Snapshots | Family::Transactions) {
        return transaction(random, kind, at);
    }
    match kind {
        Family::Registers if is_write => one(F::Write, value.into()),
        Family::Repeated if is_write => one(F::Write, (1 + at % 2).into()),
        Family::Updates if is_write => match random.below(4) {
            0 => one(F::Write, value.into()),
            which => {
                let function = if which == 1 { F::Cas } else { F::Rmw };
                (function, vec![(F::Read, key, Value::Null), (F::Write, key, value.into())])
            }
        },
        Family::Lists if is_write => one(F::Append, value.into()),
        Family::Sets if is_write => one(F::Add, (1000 + value).into()),
        Family::Removals if is_write => {
            let function = if random.chance(0.6) { F::Add } else { F::Remove };
            one(function, (1000 + at % 2).into())
        }
        Family::Counters if is_write => one(F::Increment, (1 + at % 3).into()),
        Family::Lists | Family::Sets | Family::Removals => one(F::Read, Value::list([])),
        Family::Counters => one(F::Read, 0.into()),
        _ => one(F::Read, Value::Null),
    }
}

/// Two registers, x and y, and a list; now and then a register is set back to what it was at first.
fn transaction(
    random: &mut Random,
    family: Family,
    at: i64,
) -> (Function, Vec<(Function, usize, Value)>) {
    use Function as F;
    let mut writes = random.chance(0.5);
    let count = 1 + random.below(3);
    let steps: Vec<(F, usize, Value)> = (0..count)
        .map(|nth| {
            let key = random.below(3) as usize;
            writes = if family == Family::Transactions { random.chance(0.5) } else { writes };
            let value = Value::Int(1 + 3 * at + nth as i64);
            match (key, writes) {
                (2, true) => (F::Append, key, value),
                (2, false) => (F::Read, key, Value::list([])),
                (_, true) if random.chance(0.1) => (F::Write, key, Value::Null),
                (_, true) => (F::Write, key, value),
                (_, false) => (F::Read, key, Value::Null),
            }
        })
        .collect();
    match steps.as_slice() {
        [one] if random.chance(0.5) => (one.0, steps),
        _ => (F::Txn, steps),
    }
}

/// Lets the operations take effect in some order, and the reads answer.
pub(crate) fn answer(random: &mut Random, rows: &mut [Row]) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    match random.below(3) {
        0 => order.sort_by_key(|at| (rows[*at].invoked, *at)),
        1 => order.sort_by_key(|at| (rows[*at].returned, *at)),
        _ => order = interleaved(random, rows),
    }
    let noise = *random.pick(&[0.0, 0.3, 0.8]);
    answer_in(random, rows, order, noise);
}

/// Any order that keeps the sessions.
pub(crate) fn interleaved(random: &mut Random, rows: &[Row]) -> Vec<usize> {
    let mut queues: Vec<Vec<usize>> = vec![Vec::new(); 8];
    for at in (0..rows.len()).rev() {
        queues[rows[at].session as usize].push(at);
    }
    let mut order = Vec::new();
    while order.len() < rows.len() {
        let session = random.below(8) as usize;
        order.extend(queues[session].pop());
    }
    order
}

/// Lets the operations take effect in this order; so many of the reads show an earlier state.
pub(crate) fn answer_in(random: &mut Random, rows: &mut [Row], order: Vec<usize>, noise: f64) {
    let mut states = vec![State::new()];
    for at in order {
        let now = states.len() - 1;
        let is_late = random.chance(noise);
        let seen = if is_late { random.below(states.len() as u64) as usize } else { now };
        for step in 0..rows[at].steps.len() {
            let (function, key, value) = rows[at].steps[step].clone();
            if function == Function::Read {
                // A transaction sees what it did itself, unless it sees an earlier state.
                let own: Vec<_> = rows[at].steps[..step].to_vec();
                let own = Row { steps: own, ..rows[at].clone() };
                let state = apply(&states[seen], &own, false).expect("nothing is checked");
                let mut value = shown(&state, key, &value);
                if let Value::List(items) = &value
                    && random.chance(noise / 4.0)
                {
                    let mut items = items.to_vec();
                    random.shuffle(&mut items);
                    value = Value::list(items);
                }
                rows[at].steps[step].2 = value;
            }
        }
        let is_kept = random.chance(0.6);
        if rows[at].kind == Kind::Ok || rows[at].kind == Kind::Info && is_kept {
            states.push(apply(&states[now], &rows[at], false).expect("nothing is checked"));
        }
    }
}

/// A store that is coherent and no more: each session sees the states of each key in order, but
/// lags behind each by as much as it likes.
pub(crate) fn answer_key_by_key(random: &mut Random, rows: &mut [Row]) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|at| (rows[*at].invoked, *at));
    let mut states = vec![vec![State::new()]; 3];
    let mut seen = [[0; 8]; 3];
    for at in order {
        let Some((_, key, _)) = rows[at].steps.first().cloned() else { continue };
        let (session, last) = (rows[at].session as usize, states[key].len() - 1);
        let before = &mut seen[key][session];
        let lag = random.below((last - *before) as u64 + 1) as usize;
        *before = if rows[at].writes() { last } else { last - lag };
        let state = states[key][*before].clone();
        for (_, key, value) in rows[at].steps.iter_mut().filter(|one| one.0 == Function::Read) {
            *value = shown(&state, *key, value);
        }
        let happens =
            rows[at].kind == Kind::Ok || rows[at].kind == Kind::Info && random.chance(0.6);
        if happens && rows[at].writes() {
            states[key].push(apply(&state, &rows[at], false).expect("nothing is checked"));
            if rows[at].kind == Kind::Ok {
                seen[key][session] = last + 1;
            }
        }
    }
}
