//! Objects that only the general search can judge: translated into its terms, and its answer back.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::check::Limits;
use crate::check::linear::container::Order;
use crate::check::linear::effect::{Effect, Row};
use crate::check::linear::models::{
    Container, ContainerOp, Counter, CounterOp, List, ListOp, Lock, LockOp, Owner, Register, Set,
    SetOp, Text, TextOp, set_member,
};
use crate::check::linear::object::{Finding, Judgement, Numbers, Object};
use crate::check::linear::search::{Call, Outcome, SequentialSpec, search};
use crate::check::linear::shrink::shrink;
use crate::history::{Access, Txn, TxnId, ValueId};
use crate::model::{Function, Kind, Value};

/// A register whose values do not tell which write was read.
pub(super) fn register(object: &Object<'_>, rows: &[Row]) -> Judgement {
    let written: BTreeSet<ValueId> = rows.iter().filter_map(|row| row.effect.new).collect();
    let mut seen: BTreeSet<ValueId> = BTreeSet::new();
    let (mut findings, mut count) = (Vec::new(), 0);
    for row in rows.iter().filter(|row| row.is_ok()) {
        let Some(old) = row.effect.old else { continue };
        seen.insert(old);
        // A transaction that contradicts itself claims to have read UNKNOWN.
        let nobody_wrote =
            ![ValueId::UNKNOWN, ValueId::NULL].contains(&old) && !written.contains(&old);
        if nobody_wrote {
            count += 1;
            if findings.len() < object.limits.anomalies.max(1) {
                findings.push(object.unwritten(object.txn(row.txn), old, ""));
            }
        }
    }
    if count > 0 {
        return Judgement::Violated(findings, count);
    }
    // An indeterminate write matters only if somebody saw its value: one who returned, or an
    // indeterminate update that matters itself.
    let is_seen = |row: &&Row, seen: &BTreeSet<ValueId>| {
        row.is_ok() || row.effect.new.is_some_and(|new| seen.contains(&new))
    };
    loop {
        let relevant = rows.iter().filter(|row| is_seen(row, &seen));
        let further: Vec<ValueId> = relevant.filter_map(|row| row.effect.old).collect();
        let before = seen.len();
        seen.extend(further);
        if seen.len() == before {
            break;
        }
    }
    let relevant = rows.iter().filter(|row| is_seen(row, &seen));
    let calls = relevant.map(|row| Call {
        txn: row.txn,
        invoked: row.invoked,
        returned: row.returned,
        op: row.effect,
    });
    let calls: Vec<Call<Effect>> = calls.collect();
    decide_whole(object, &Register, &calls, |witness| with_writers(rows, witness))
}

/// Operations with those that wrote what they read, and so on: what was read before its write was
/// invoked is no proof without that write, nor is anything of a register that nobody writes.
fn with_writers(rows: &[Row], mut witness: Vec<TxnId>) -> Vec<TxnId> {
    loop {
        let there = || rows.iter().filter(|row| witness.contains(&row.txn));
        let known: BTreeSet<ValueId> = there().filter_map(|row| row.effect.new).collect();
        let unknown = |old: &ValueId| *old != ValueId::NULL && !known.contains(old);
        let shown: BTreeSet<ValueId> =
            there().filter_map(|row| row.effect.old).filter(unknown).collect();
        let writes = |row: &&Row| row.effect.new.is_some_and(|new| shown.contains(&new));
        let wanted: Vec<TxnId> = rows.iter().filter(writes).map(|row| row.txn).collect();
        if wanted.is_empty() {
            let any = rows.iter().find(|row| row.effect.new.is_some() && known.is_empty());
            witness.extend(any.map(|row| row.txn));
            return witness;
        }
        witness.extend(wanted);
    }
}

/// A list with elements that were appended more than once; its reads are known to be prefixes of
/// the longest.
pub(super) fn list(object: &Object<'_>) -> Judgement {
    let values = object.history.values();
    let length = |list: ValueId| values.backwards(list).count();
    let reads = object.accesses().filter(|(txn, access)| is_answer(*txn, *access));
    let longest = reads.map(|(_, access)| access.value).max_by_key(|list| length(*list));
    let spec = List { longest: values.elements(longest.unwrap_or(ValueId::EMPTY)) };
    let calls = object.accesses().filter_map(|(txn, access)| match access.function {
        Function::Read if is_answer(txn, access) => {
            Some(call(txn, ListOp::Read(length(access.value) as u32)))
        }
        Function::Read => None,
        _ => Some(call(txn, ListOp::Append(access.value))),
    });
    let calls: Vec<Call<ListOp>> = calls.collect();
    decide(object, &spec, &calls)
}

/// A text.
pub(super) fn text(object: &Object<'_>) -> Judgement {
    let values = object.history.values();
    let text_of = |value: ValueId| match values.value(value) {
        Value::Text(text) => Some(text),
        // An unwritten text is empty.
        Value::Null if value == ValueId::NULL => Some(Arc::from("")),
        _ => None,
    };
    let mut reads = Vec::new();
    for (txn, access) in object.accesses() {
        let is_known =
            matches!(access.function, Function::Read | Function::Write | Function::Append);
        let is_dropped = access.function == Function::Read && !is_answer(txn, access);
        if is_dropped {
            continue;
        }
        match text_of(access.value) {
            Some(text) if is_known && access.function == Function::Read => reads.push(text),
            Some(_) if is_known => {}
            _ => return odd(txn, "a text"),
        }
    }
    let spec = Text::new(reads);
    let calls = object.accesses().filter_map(|(txn, access)| {
        let text = text_of(access.value)?;
        match access.function {
            Function::Read if !is_answer(txn, access) => None,
            Function::Read => Some(call(txn, TextOp::Read(spec.prefix(&text, "")))),
            Function::Write => Some(call(txn, TextOp::Put(spec.prefix(&text, "")))),
            _ => Some(call(txn, TextOp::Append(text))),
        }
    });
    let calls: Vec<Call<TextOp>> = calls.collect();
    decide(object, &spec, &calls)
}

/// A set with removals.
pub(super) fn set(object: &Object<'_>) -> Judgement {
    let values = object.history.values();
    let (mut numbers, mut count) = (Numbers::new(object), 0);
    let mut number = |element: ValueId| {
        let number = numbers.get_or(element, count);
        count += u32::from(number == count);
        number
    };
    let mut calls = Vec::new();
    for (txn, access) in object.accesses() {
        let op = match access.function {
            Function::Read if !is_answer(txn, access) => continue,
            Function::Read if !values.is_list(access.value) => return odd(txn, "a set"),
            Function::Read => {
                let mut members = Vec::new();
                for element in values.elements(access.value) {
                    set_member(&mut members, number(element), true);
                }
                SetOp::Read(members)
            }
            _ if access.value == ValueId::UNKNOWN => return odd(txn, "an element"),
            Function::Remove => SetOp::Remove(number(access.value)),
            _ => SetOp::Add(number(access.value)),
        };
        calls.push(call(txn, op));
    }
    decide(object, &Set, &calls)
}

/// A counter.
pub(super) fn counter(object: &Object<'_>) -> Judgement {
    let values = object.history.values();
    let mut calls = Vec::new();
    for (txn, access) in object.accesses() {
        if access.function == Function::Read && !is_answer(txn, access) {
            continue;
        }
        let number = match (access.function, values.int(access.value)) {
            (_, Some(number)) => number,
            (Function::Read, None) if access.value == ValueId::NULL => 0,
            _ => return odd(txn, "a number"),
        };
        let op = match access.function {
            Function::Read => CounterOp::Read(number),
            _ => CounterOp::Add(number),
        };
        calls.push(call(txn, op));
    }
    decide(object, &Counter, &calls)
}

/// A lock. Only its holder may give it back; a session may hold what an earlier process of its own has
/// taken. A session that never tried to take it acts for another, nobody knows which.
pub(super) fn lock(object: &Object<'_>) -> Judgement {
    let mut takers = BTreeSet::new();
    let mut deeds: Vec<(Txn<'_>, Function, bool)> = Vec::new();
    for (txn, access) in object.accesses() {
        let session = txn.session().0;
        if access.function == Function::Acquire {
            takers.insert(session);
        }
        if matches!(access.function, Function::Acquire | Function::Release) {
            deeds.push((txn, access.function, takers.contains(&session)));
        }
    }
    let own_releases = deeds.iter().filter(|deed| deed.1 == Function::Release && deed.2);
    let givers: BTreeSet<u32> = own_releases.map(|deed| deed.0.session().0).collect();
    let calls = deeds.into_iter().map(|(txn, function, has_taken)| {
        // Of those who never give it back none is told from another.
        let session = Some(txn.session().0).filter(|one| has_taken && givers.contains(one));
        let owner = session.map_or(Owner::Somebody, Owner::Session);
        let is_acquire = function == Function::Acquire;
        call(txn, if is_acquire { LockOp::Acquire(owner) } else { LockOp::Release(owner) })
    });
    let calls: Vec<Call<LockOp>> = calls.collect();
    decide(object, &Lock, &calls)
}

/// A queue, a stack or a priority queue.
pub(super) fn container(object: &Object<'_>, order: Order) -> Judgement {
    let values = object.history.values();
    let put = |access: Access| {
        matches!(access.function, Function::Enqueue | Function::Push | Function::Insert)
    };
    // Elements are numbered, those of a priority queue by size.
    let mut sorted: Vec<(i64, ValueId)> = Vec::new();
    for (txn, access) in object.accesses() {
        if access.value == ValueId::NULL || access.value == ValueId::UNKNOWN {
            if put(access) {
                return odd(txn, "an element");
            }
            continue;
        }
        match values.int(access.value) {
            Some(number) => sorted.push((number, access.value)),
            None if order == Order::Greatest => return odd(txn, "a number"),
            None => sorted.push((0, access.value)),
        }
    }
    sorted.sort_unstable();
    sorted.dedup();
    let numbers: FxHashMap<ValueId, u32> = sorted.into_iter().map(|one| one.1).zip(0..).collect();
    let mut calls = Vec::new();
    for (txn, access) in object.accesses() {
        let number = numbers.get(&access.value).copied();
        let op = match (access.function, number) {
            (_, Some(number)) if put(access) => ContainerOp::Put(number),
            (Function::Peek, _) if !is_answer(txn, access) => continue,
            (Function::Peek, Some(number)) => ContainerOp::Peek(number),
            (Function::Peek, None) => ContainerOp::Empty,
            _ if txn.kind() != Kind::Ok => ContainerOp::TakeAny,
            _ if access.value == ValueId::UNKNOWN => return odd(txn, "what it took"),
            (_, Some(number)) => ContainerOp::Take(number),
            (_, None) => ContainerOp::Empty,
        };
        calls.push(call(txn, op));
    }
    // A step copies all that is inside.
    let puts = calls.iter().filter(|call| matches!(call.op, ContainerOp::Put(_))).count() as u64;
    let steps = object.limits.search_steps.saturating_mul(16) / (16 + puts);
    let limits = Limits { search_steps: steps, ..object.limits.clone() };
    decide(&Object { limits: &limits, ..*object }, &Container { order }, &calls)
}

fn is_answer(txn: Txn<'_>, access: Access) -> bool {
    txn.kind() == Kind::Ok && access.value != ValueId::UNKNOWN
}

pub(super) fn odd(txn: Txn<'_>, expected: &str) -> Judgement {
    let (index, function) = (txn.index(), txn.function().name());
    Judgement::Unknown(format!("the {function} #{index} does not tell {expected}"))
}

fn call<O>(txn: Txn<'_>, op: O) -> Call<O> {
    Call { txn: txn.id, invoked: txn.invoked(), returned: txn.returned(), op }
}

fn decide<S: SequentialSpec>(object: &Object<'_>, spec: &S, calls: &[Call<S::Op>]) -> Judgement {
    decide_whole(object, spec, calls, |witness| witness)
}

/// The verdict of a search; `whole` completes the witness it finds.
fn decide_whole<S: SequentialSpec>(
    object: &Object<'_>,
    spec: &S,
    calls: &[Call<S::Op>],
    whole: impl Fn(Vec<TxnId>) -> Vec<TxnId>,
) -> Judgement {
    if !calls.iter().any(|call| spec.looks(&call.op)) {
        return Judgement::Silent;
    }
    let budget = object.limits.search_steps;
    let mut steps = budget;
    match search(spec, calls, &mut steps) {
        Outcome::Found => Judgement::Linearizable,
        Outcome::OutOfSteps(placed) => Judgement::Unknown(format!(
            "the search for an order of the {} operations on {} used up its budget of {budget} steps; it placed {placed} of them at best",
            calls.len(),
            object.name()
        )),
        Outcome::Stuck(at) => {
            let stuck = object.txn(calls[at].txn);
            let (witness, at) = shrink(spec, calls, at);
            let last = witness.get(at).map_or(stuck, |call| object.txn(call.txn));
            let operations = whole(witness.iter().map(|call| call.txn).collect());
            let sentence = format!(
                "no order of these {} operations on {} explains their answers: none leaves a place for {last}",
                operations.len(),
                object.name()
            );
            let kind = "not-linearizable";
            let finding = Finding { kind, operations, cycle: Vec::new(), sentence };
            Judgement::Violated(vec![finding], 1)
        }
    }
}
