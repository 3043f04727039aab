//! What a store stores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{Function, Mop, Op, Value};

/// Named objects: registers, lists, sets, counters and banks. A key is what was first done to it.
///
/// A key never written reads `Null`, whatever it will become.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    objects: FxHashMap<Value, Object>,
}

#[derive(Clone, Debug)]
enum Object {
    Register(Value),
    List(Shared<Vec<Value>>),
    Set(Shared<BTreeSet<Value>>),
    Counter(i64),
    Bank(BTreeMap<Value, i64>),
}

/// A collection and the answer last given: a read copies the elements only after a change.
#[derive(Clone, Debug, Default)]
struct Shared<C> {
    elements: C,
    answer: Option<Arc<[Value]>>,
}

impl Objects {
    /// Executes `op` at once, as a whole or not at all, and answers with what was read.
    ///
    /// The error says why nothing was done: a `cas` found another value, a key holds another kind of
    /// object, or the function is none of ours.
    pub fn execute(&mut self, op: &Op) -> Result<Vec<Mop>, String> {
        self.admit(op)?;
        let mut answer = op.mops.clone();
        for mop in &mut answer {
            if mop.function == Function::Read {
                mop.value = self.read(&mop.key);
            } else {
                self.change(mop);
            }
        }
        Ok(answer)
    }

    /// What [`execute`](Self::execute) would answer if nothing but the first read mattered.
    pub(super) fn look(&mut self, op: &Op) -> Result<Vec<Mop>, String> {
        self.admit(op)?;
        let mut answer = op.mops.clone();
        for mop in answer.iter_mut().filter(|mop| mop.function == Function::Read) {
            mop.value = self.read(&mop.key);
        }
        Ok(answer)
    }

    /// As [`execute`](Self::execute), without an answer; tells whether it was done.
    pub fn replay(&mut self, op: &Op) -> bool {
        let admitted = self.admit(op).is_ok();
        if admitted {
            self.force(op);
        }
        admitted
    }

    /// Makes the changes of `op` without asking whether they fit: the row form of a log. What does
    /// not fit the kind of the key is left out.
    pub fn force(&mut self, op: &Op) {
        for mop in op.mops.iter().filter(|mop| mop.function != Function::Read) {
            self.change(mop);
        }
    }

    /// Whether `op` can be executed.
    pub fn admit(&self, op: &Op) -> Result<(), String> {
        for mop in op.mops.iter().filter(|mop| mop.function != Function::Read) {
            let fits = match (mop.function, self.objects.get(&mop.key)) {
                (Function::Write, None | Some(Object::Register(_)))
                | (Function::Append, None | Some(Object::List(_)))
                | (Function::Add | Function::Remove, None | Some(Object::Set(_))) => true,
                (Function::Increment, None | Some(Object::Counter(_))) => {
                    mop.value.as_int().is_some()
                }
                (Function::InitBank, None) => balances(&mop.value).is_some(),
                (Function::Transfer, Some(Object::Bank(accounts))) => {
                    Transfer::of(&mop.value).is_some_and(|transfer| transfer.is_covered(accounts))
                }
                _ => false,
            };
            if !fits {
                return Err(format!("cannot {} on {}", mop.function.name(), mop.key));
            }
        }
        match (op.function, op.mops.first()) {
            (Function::Cas, Some(expected)) if !self.holds(expected) => {
                Err("the register holds another value".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn holds(&self, expected: &Mop) -> bool {
        match self.objects.get(&expected.key) {
            None => expected.value == Value::Null,
            Some(Object::Register(value)) => *value == expected.value,
            Some(_) => false,
        }
    }

    fn read(&mut self, key: &Value) -> Value {
        match self.objects.get_mut(key) {
            None => Value::Null,
            Some(Object::Register(value)) => value.clone(),
            Some(Object::Counter(sum)) => Value::Int(*sum),
            Some(Object::List(list)) => {
                let answer = list.answer.get_or_insert_with(|| list.elements.as_slice().into());
                Value::List(answer.clone())
            }
            Some(Object::Set(set)) => {
                let answer =
                    set.answer.get_or_insert_with(|| set.elements.iter().cloned().collect());
                Value::List(answer.clone())
            }
            Some(Object::Bank(accounts)) => {
                let entry =
                    |(account, balance): (&Value, &i64)| (account.clone(), (*balance).into());
                Value::Map(accounts.iter().map(entry).collect())
            }
        }
    }

    fn change(&mut self, mop: &Mop) {
        let object = match self.objects.get_mut(&mop.key) {
            Some(object) => object,
            None => self.objects.entry(mop.key.clone()).or_insert_with(|| match mop.function {
                Function::Append => Object::List(Shared::default()),
                Function::Add | Function::Remove => Object::Set(Shared::default()),
                Function::Increment => Object::Counter(0),
                Function::InitBank => Object::Bank(balances(&mop.value).unwrap_or_default()),
                _ => Object::Register(Value::Null),
            }),
        };
        match (mop.function, object) {
            (Function::Write, Object::Register(value)) => *value = mop.value.clone(),
            (Function::Append, Object::List(list)) => {
                list.elements.push(mop.value.clone());
                list.answer = None;
            }
            (Function::Add, Object::Set(set)) => {
                let changed = set.elements.insert(mop.value.clone());
                set.answer.take_if(|_| changed);
            }
            (Function::Remove, Object::Set(set)) => {
                let changed = set.elements.remove(&mop.value);
                set.answer.take_if(|_| changed);
            }
            (Function::Increment, Object::Counter(sum)) => {
                *sum = sum.saturating_add(mop.value.as_int().unwrap_or(0));
            }
            (Function::Transfer, Object::Bank(accounts)) => {
                if let Some(transfer) = Transfer::of(&mop.value) {
                    transfer.apply(accounts);
                }
            }
            _ => {}
        }
    }
}

/// The balances that a bank is set up with.
fn balances(value: &Value) -> Option<BTreeMap<Value, i64>> {
    let Value::Map(entries) = value else { return None };
    entries.iter().map(|(account, one)| Some((account.clone(), one.as_int()?))).collect()
}

/// A move of money, written `{from, to, amount}`; it may overdraw an account only if it also says
/// `overdraft`.
pub(super) struct Transfer {
    pub(super) from: Value,
    pub(super) to: Value,
    pub(super) amount: i64,
    pub(super) overdraft: bool,
}

impl Transfer {
    pub(super) fn of(value: &Value) -> Option<Self> {
        let Value::Map(entries) = value else { return None };
        let find = |name: &str| {
            entries.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
        };
        Some(Self {
            from: find("from")?.clone(),
            to: find("to")?.clone(),
            amount: find("amount")?.as_int()?,
            overdraft: find("overdraft") == Some(&Value::Bool(true)),
        })
    }

    fn is_covered(&self, accounts: &BTreeMap<Value, i64>) -> bool {
        let balance = accounts.get(&self.from);
        accounts.contains_key(&self.to)
            && balance.is_some_and(|balance| self.overdraft || *balance >= self.amount)
    }

    fn apply(&self, accounts: &mut BTreeMap<Value, i64>) {
        for (account, amount) in
            [(&self.from, self.amount.saturating_neg()), (&self.to, self.amount)]
        {
            if let Some(balance) = accounts.get_mut(account) {
                *balance = balance.saturating_add(amount);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Value {
        Value::text(name)
    }

    fn read(objects: &mut Objects, name: &str) -> Value {
        objects.execute(&Op::read(key(name))).expect("reads are always admitted")[0].value.clone()
    }

    fn single(function: Function, name: &str, value: i64) -> Op {
        Op::single(function, key(name), Value::Int(value))
    }

    #[test]
    fn registers() {
        let mut objects = Objects::default();
        assert_eq!(read(&mut objects, "x"), Value::Null);
        assert!(objects.execute(&Op::cas(key("x"), Value::Int(9), Value::Int(1))).is_err());
        assert!(objects.execute(&Op::cas(key("x"), Value::Null, Value::Int(1))).is_ok());
        let swapped = objects.execute(&Op::rmw(key("x"), Value::Int(2))).expect("it is a register");
        assert_eq!((&swapped[0].value, &swapped[1].value), (&Value::Int(1), &Value::Int(2)));
        assert_eq!(read(&mut objects, "x"), Value::Int(2));
    }

    #[test]
    fn lists_sets_and_counters() {
        let mut objects = Objects::default();
        for (function, name, value) in [
            (Function::Append, "l", 2),
            (Function::Append, "l", 1),
            (Function::Add, "s", 2),
            (Function::Add, "s", 1),
            (Function::Add, "s", 2),
            (Function::Remove, "s", 3),
            (Function::Increment, "c", 5),
            (Function::Increment, "c", -2),
        ] {
            assert!(objects.replay(&single(function, name, value)));
        }
        assert_eq!(read(&mut objects, "l"), Value::list([2, 1].map(Value::Int)));
        assert_eq!(read(&mut objects, "s"), Value::list([1, 2].map(Value::Int)));
        assert_eq!(read(&mut objects, "c"), Value::Int(3));
    }

    #[test]
    fn answers_share_their_elements_until_something_changes() {
        let mut objects = Objects::default();
        objects.replay(&single(Function::Append, "l", 1));
        let (Value::List(first), Value::List(second)) =
            (read(&mut objects, "l"), read(&mut objects, "l"))
        else {
            panic!("a list reads as a list");
        };
        assert!(Arc::ptr_eq(&first, &second));
        objects.replay(&single(Function::Append, "l", 2));
        assert_eq!(read(&mut objects, "l").as_list().map(<[_]>::len), Some(2));
        assert_eq!(first.len(), 1);
    }

    #[test]
    fn banks() {
        let mut objects = Objects::default();
        let map = |entries: &[(Value, Value)]| Value::Map(entries.into());
        let int = Value::Int;
        let transfer = |from, amount, more: &[(Value, Value)]| {
            let ends =
                [("from".into(), int(from)), ("to".into(), int(1)), ("amount".into(), int(amount))];
            Op::single(Function::Transfer, key("b"), map(&[&ends, more].concat()))
        };
        assert!(!objects.replay(&transfer(0, 1, &[])), "no bank yet");
        let init = map(&[(int(0), int(5)), (int(1), int(5))]);
        assert!(objects.replay(&Op::single(Function::InitBank, key("b"), init)));
        assert!(objects.replay(&transfer(0, 4, &[])));
        assert!(!objects.replay(&transfer(0, 4, &[])), "it would be overdrawn");
        assert!(objects.replay(&transfer(0, 4, &[("overdraft".into(), Value::Bool(true))])));
        assert!(!objects.replay(&transfer(7, 1, &[])), "no such account");
        assert_eq!(read(&mut objects, "b"), map(&[(int(0), int(-3)), (int(1), int(13))]));
    }

    #[test]
    fn a_transaction_is_done_as_a_whole_or_not_at_all() {
        let mut objects = Objects::default();
        objects.replay(&single(Function::Append, "l", 1));
        let mops = |last: Function| {
            vec![
                Mop { function: Function::Write, key: key("x"), value: Value::Int(7) },
                Mop { function: Function::Read, key: key("x"), value: Value::Null },
                Mop { function: last, key: key("l"), value: Value::Int(2) },
            ]
        };
        assert!(objects.execute(&Op::txn(mops(Function::Write))).is_err());
        assert_eq!(read(&mut objects, "x"), Value::Null);
        let answer = objects.execute(&Op::txn(mops(Function::Append))).expect("it fits");
        assert_eq!(answer[1].value, Value::Int(7));
        assert!(objects.execute(&single(Function::Enqueue, "q", 1)).is_err());
    }
}
