//! What every adapter that has a function must make of it.

use rashomon::model::{Function, Mop, Op, Value};

use crate::Asked;

fn key() -> Value {
    Value::text("a key / with 'odd' \"characters\" \\ é")
}

fn int(number: i64) -> Value {
    Value::Int(number)
}

fn ints(numbers: &[i64]) -> Value {
    Value::list(numbers.iter().copied().map(Value::Int))
}

pub(crate) fn single(function: Function, value: Value) -> Op {
    Op::single(function, key(), value)
}

pub(crate) fn registers(asked: &mut Asked) {
    assert_eq!(asked.ok(Op::read(key())), Value::Null);
    asked.fails(Op::cas(key(), int(1), int(2)));
    asked.ok(Op::cas(key(), Value::Null, int(1)));
    asked.fails(Op::cas(key(), Value::Null, int(3)));
    asked.fails(Op::cas(key(), int(7), int(8)));
    asked.ok(Op::cas(key(), int(1), int(2)));
    assert_eq!(asked.ok(Op::read(key())), int(2));
    let text = Value::text("three, or 'drei' \\ \"é\"");
    asked.ok(Op::write(key(), text.clone()));
    assert_eq!(asked.ok(Op::read(key())), text);
    assert_eq!(asked.ok(Op::rmw(key(), int(4))), text);
    assert_eq!(asked.ok(Op::read(key())), int(4));
    assert_eq!(asked.ok(Op::rmw(Value::text("fresh"), int(5))), Value::Null);
}

pub(crate) fn lists(asked: &mut Asked) {
    for number in [1, 2, 3] {
        asked.ok(single(Function::Append, int(number)));
    }
    assert_eq!(asked.ok(Op::read(key())), ints(&[1, 2, 3]));
    let other = Value::text("other");
    let mop = |function, key: &Value, value| Mop { function, key: key.clone(), value };
    let event = asked.ask(Op::txn(vec![
        mop(Function::Read, &key(), Value::Null),
        mop(Function::Append, &key(), int(4)),
        mop(Function::Append, &other, int(5)),
        mop(Function::Read, &other, Value::Null),
        mop(Function::Read, &key(), Value::Null),
    ]));
    let read: Vec<&Value> = event.op.mops.iter().map(|mop| &mop.value).collect();
    let expected = [ints(&[1, 2, 3]), int(4), int(5), ints(&[5]), ints(&[1, 2, 3, 4])];
    assert_eq!(read, expected.iter().collect::<Vec<_>>(), "{event:?}");
}

pub(crate) fn sets(asked: &mut Asked) {
    for number in [1, 2, 3] {
        asked.ok(single(Function::Add, int(number)));
    }
    asked.ok(single(Function::Remove, int(2)));
    let Value::List(items) = asked.ok(Op::read(key())) else { panic!("no list") };
    let mut items = items.to_vec();
    items.sort();
    assert_eq!(Value::list(items), ints(&[1, 3]));
}

pub(crate) fn counters(asked: &mut Asked) {
    asked.ok(single(Function::Increment, int(3)));
    asked.ok(single(Function::Increment, int(-1)));
    assert_eq!(asked.ok(Op::read(key())), int(2));
    assert_eq!(asked.ok(Op::read(Value::text("untouched"))), int(0));
}

pub(crate) fn ids(asked: &mut Asked) {
    let mut ids: Vec<_> = (0..5).map(|_| asked.ok(single(Function::NewId, Value::Null))).collect();
    assert!(ids.iter().all(|id| id.as_int().is_some()), "{ids:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

pub(crate) fn banks(asked: &mut Asked) {
    let accounts = |balances: [i64; 2]| {
        let entries = balances.iter().enumerate();
        Value::Map(entries.map(|(at, balance)| (int(at as i64), int(*balance))).collect())
    };
    let transfer = |from, to, amount| {
        let entry = |name: &str, number| (Value::text(name), int(number));
        Value::Map([entry("from", from), entry("to", to), entry("amount", amount)].into())
    };
    asked.ok(single(Function::InitBank, accounts([10, 10])));
    assert_eq!(asked.ok(Op::read(key())), accounts([10, 10]));
    asked.ok(single(Function::Transfer, transfer(0, 1, 7)));
    asked.fails(single(Function::Transfer, transfer(0, 1, 4)));
    asked.ok(single(Function::Transfer, transfer(1, 0, 2)));
    assert_eq!(asked.ok(Op::read(key())), accounts([5, 15]));
}

pub(crate) fn queues(asked: &mut Asked) {
    for number in [1, 2] {
        asked.ok(single(Function::Enqueue, int(number)));
    }
    assert_eq!(asked.ok(single(Function::Dequeue, Value::Null)), int(1));
    assert_eq!(asked.ok(Op::read(key())), ints(&[2]));
    assert_eq!(asked.ok(single(Function::Dequeue, Value::Null)), int(2));
    assert_eq!(asked.ok(single(Function::Dequeue, Value::Null)), Value::Null);
}

/// What a run has made goes with it; what another run has made stays. A target is opened with a line of its
/// file, and `count` says how much the store holds.
pub(crate) fn clearing(target: impl Fn(&str) -> Asked, op: fn(i64) -> Op, count: impl Fn() -> u64) {
    let empty = count();
    let use_it = |line: &str| {
        let mut asked = target(line);
        for number in 0..20 {
            asked.ok(op(number));
        }
        count()
    };
    let kept = use_it("keep-keys = true");
    assert_eq!(count(), kept);
    assert!(kept >= empty + 20, "{empty} {kept}");
    assert!(use_it("") >= kept + 20);
    assert_eq!(count(), kept);
}

/// How many registers and elements are in an SQL database.
pub(crate) const ROWS: &str =
    "select (select count(*) from rashomon_registers) + (select count(*) from rashomon_elements)";

/// A write to a key of its own.
pub(crate) fn write(number: i64) -> Op {
    Op::write(int(number), int(number))
}
