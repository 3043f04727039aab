//! What a store stores.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{Function, Mop, Op, Value};
use crate::store::routing::number_of;

/// Named objects: registers, lists, sets, counters, banks, stocks, ids, multi-value registers, queues and locks. A
/// key
/// is what was first done to it.
///
/// A key never written reads `Null`, whatever it will become.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    objects: FxHashMap<Value, Object>,
}

/// What one key holds.
#[derive(Clone, Debug)]
pub(super) enum Object {
    Register(Value),
    List(Shared<Vec<Value>>),
    Set(Shared<BTreeSet<Value>>),
    Counter(i64),
    Bank(BTreeMap<Value, i64>),
    Stock(i64),
    /// The last id that was handed out.
    Ids(i64),
    Siblings(Siblings),
    Queue(VecDeque<Value>),
    Lock(Lock),
}

/// A lock: each acquisition is given a greater token.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lock {
    /// The token of whoever has it.
    holder: Option<i64>,
    /// The last token that was given.
    last: i64,
}

/// A collection and the answer last given: a read copies the elements only after a change.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared<C> {
    pub(super) elements: C,
    answer: Option<Arc<[Value]>>,
}

/// A multi-value register. A put replaces exactly the values of its context; what was replaced is
/// remembered, so puts may come in any order (an observed-remove set, Shapiro et al. 2011, whose tags
/// are the values, as no value is put twice).
#[derive(Clone, Debug, Default)]
pub(super) struct Siblings {
    pub(super) shown: BTreeSet<Value>,
    replaced: BTreeSet<Value>,
}

impl Siblings {
    /// One value, and no memory of any other.
    pub(super) fn of(value: Value) -> Self {
        Self { shown: BTreeSet::from([value]), replaced: BTreeSet::new() }
    }

    fn put(&mut self, put: &Put) {
        for value in &put.context {
            self.shown.remove(value);
            self.replaced.insert(value.clone());
        }
        if !self.replaced.contains(&put.value) {
            self.shown.insert(put.value.clone());
        }
    }
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
            if mop.function.is_read() {
                mop.value = self.read(&mop.key);
                continue;
            }
            match mop.function {
                Function::NewId => {
                    mop.value = Value::Int(self.last_id(&mop.key).saturating_add(1));
                }
                Function::Dequeue => mop.value = self.head(&mop.key),
                Function::Acquire => {
                    mop.value = Value::Int(self.lock(&mop.key).last.saturating_add(1));
                }
                _ => {}
            }
            self.change(mop);
        }
        Ok(answer)
    }

    /// What [`execute`](Self::execute) would answer if nothing but the first read mattered.
    pub(super) fn look(&mut self, op: &Op) -> Result<Vec<Mop>, String> {
        self.admit(op)?;
        let mut answer = op.mops.clone();
        for mop in answer.iter_mut().filter(|mop| mop.function.is_read()) {
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
        for mop in op.mops.iter().filter(|mop| !mop.function.is_read()) {
            self.change(mop);
        }
    }

    /// Whether `op` can be executed.
    pub fn admit(&self, op: &Op) -> Result<(), String> {
        for mop in op.mops.iter().filter(|mop| !mop.function.is_read()) {
            let fits = match (mop.function, self.objects.get(&mop.key)) {
                (Function::Write, None | Some(Object::Register(_)))
                | (Function::Append, None | Some(Object::List(_)))
                | (Function::Add | Function::Remove, None | Some(Object::Set(_)))
                | (Function::Enqueue | Function::Dequeue, None | Some(Object::Queue(_)))
                | (Function::NewId, None | Some(Object::Ids(_)))
                | (Function::Acquire, None | Some(Object::Lock(Lock { holder: None, .. })))
                // Whoever has lost a lock gives nothing back, and is not told.
                | (Function::Release, None | Some(Object::Lock(_))) => true,
                (Function::Increment, None | Some(Object::Counter(_))) => {
                    mop.value.as_int().is_some()
                }
                (Function::InitBank, None) => balances(&mop.value).is_some(),
                (Function::Init, None) => mop.value.as_int().is_some(),
                (Function::Buy, Some(Object::Stock(level))) => {
                    mop.value.as_int().is_some_and(|amount| amount <= *level)
                }
                (Function::Put, None | Some(Object::Siblings(_))) => Put::of(&mop.value).is_some(),
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

    /// The objects of these keys alone.
    pub(super) fn only<'k>(&self, keys: impl Iterator<Item = &'k Value>) -> Self {
        let held = keys.filter_map(|key| Some((key.clone(), self.objects.get(key)?.clone())));
        Self { objects: held.collect() }
    }

    /// These objects, but every second of them as it was `then`: those of even number, and of a bank
    /// every second account.
    pub(super) fn partly_as(&self, then: &Self) -> Self {
        let mut mixed = self.clone();
        for (key, object) in &mut mixed.objects {
            let Some(old) = then.objects.get(key) else { continue };
            match (&mut *object, old) {
                (Object::Bank(accounts), Object::Bank(old)) => {
                    for (account, balance) in old.iter().step_by(2) {
                        accounts.insert(account.clone(), *balance);
                    }
                }
                _ if number_of(key).is_multiple_of(2) => *object = old.clone(),
                _ => {}
            }
        }
        mixed
    }

    /// What a key holds.
    pub(super) fn get(&self, key: &Value) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Lets a key hold this, whatever it held.
    pub(super) fn set(&mut self, key: &Value, object: Object) {
        self.objects.insert(key.clone(), object);
    }

    /// Lets an account of a bank hold this, if there is one.
    pub(super) fn set_balance(&mut self, bank: &Value, account: &Value, amount: i64) {
        if let Some(Object::Bank(accounts)) = self.objects.get_mut(bank)
            && let Some(balance) = accounts.get_mut(account)
        {
            *balance = amount;
        }
    }

    /// The last id of a key that was handed out; 0 before the first.
    pub(super) fn last_id(&self, key: &Value) -> i64 {
        match self.objects.get(key) {
            Some(Object::Ids(last)) => *last,
            _ => 0,
        }
    }

    /// The lock of a key; one that nobody ever had where there is none.
    fn lock(&self, key: &Value) -> Lock {
        match self.objects.get(key) {
            Some(Object::Lock(lock)) => *lock,
            _ => Lock::default(),
        }
    }

    /// The token of whoever has the lock of a key.
    pub(super) fn lock_holder(&self, key: &Value) -> Option<i64> {
        self.lock(key).holder
    }

    /// What a queue would give next; nothing if it is empty.
    fn head(&self, key: &Value) -> Value {
        match self.objects.get(key) {
            Some(Object::Queue(queue)) => queue.front().cloned().unwrap_or(Value::Null),
            _ => Value::Null,
        }
    }

    /// What a read of the key shows.
    pub(super) fn read(&mut self, key: &Value) -> Value {
        match self.objects.get_mut(key) {
            None => Value::Null,
            Some(Object::Register(value)) => value.clone(),
            Some(Object::Counter(number) | Object::Stock(number) | Object::Ids(number)) => {
                Value::Int(*number)
            }
            Some(Object::Lock(lock)) => lock.holder.map_or(Value::Null, Value::Int),
            Some(Object::Queue(queue)) => Value::list(queue.iter().cloned()),
            Some(Object::Siblings(siblings)) => Value::list(siblings.shown.iter().cloned()),
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

    /// Makes one change without asking whether it fits.
    pub(super) fn change(&mut self, mop: &Mop) {
        if let Some(object) = self.objects.get_mut(&mop.key) {
            return object.change(mop);
        }
        let mut object = Object::fit_for(mop);
        object.change(mop);
        self.objects.insert(mop.key.clone(), object);
    }
}

impl Object {
    /// A set of these elements.
    pub(super) fn set(elements: BTreeSet<Value>) -> Self {
        Self::Set(Shared { elements, answer: None })
    }

    /// A list of these elements.
    pub(super) fn list(elements: Vec<Value>) -> Self {
        Self::List(Shared { elements, answer: None })
    }

    /// The empty object to which `mop` can be done.
    pub(super) fn fit_for(mop: &Mop) -> Self {
        match mop.function {
            Function::Append => Self::List(Shared::default()),
            Function::Add | Function::Remove => Self::Set(Shared::default()),
            Function::Increment => Self::Counter(0),
            Function::InitBank => Self::Bank(balances(&mop.value).unwrap_or_default()),
            Function::Init | Function::Buy => Self::Stock(0),
            Function::NewId => Self::Ids(0),
            Function::Enqueue | Function::Dequeue => Self::Queue(VecDeque::new()),
            Function::Acquire | Function::Release => Self::Lock(Lock::default()),
            Function::Put => Self::Siblings(Siblings::default()),
            _ => Self::Register(Value::Null),
        }
    }

    /// Makes one change; what does not fit is left out.
    pub(super) fn change(&mut self, mop: &Mop) {
        let number = || mop.value.as_int().unwrap_or(0);
        match (mop.function, self) {
            (Function::Write, Self::Register(value)) => *value = mop.value.clone(),
            (Function::Append, Self::List(list)) => {
                list.elements.push(mop.value.clone());
                list.answer = None;
            }
            (Function::Add, Self::Set(set)) => {
                let changed = set.elements.insert(mop.value.clone());
                set.answer.take_if(|_| changed);
            }
            (Function::Remove, Self::Set(set)) => {
                let changed = set.elements.remove(&mop.value);
                set.answer.take_if(|_| changed);
            }
            (Function::Increment, Self::Counter(sum)) => *sum = sum.saturating_add(number()),
            // Sales that came before it, out of order, stay sold.
            (Function::Init, Self::Stock(level)) => *level = level.saturating_add(number()),
            (Function::Buy, Self::Stock(level)) => *level = level.saturating_sub(number()),
            // An id that is told was handed out elsewhere.
            (Function::NewId, Self::Ids(last)) => {
                let next = mop.value.as_int().unwrap_or(last.saturating_add(1));
                *last = next.max(*last);
            }
            (Function::Acquire, Self::Lock(lock)) => {
                lock.last = mop.value.as_int().unwrap_or(lock.last.saturating_add(1));
                lock.holder = Some(lock.last);
            }
            (Function::Release, Self::Lock(lock)) => {
                lock.holder.take_if(|token| mop.value.as_int() == Some(*token));
            }
            (Function::Enqueue, Self::Queue(queue)) => queue.push_back(mop.value.clone()),
            (Function::Dequeue, Self::Queue(queue)) => {
                queue.pop_front();
            }
            (Function::Put, Self::Siblings(siblings)) => {
                if let Some(put) = Put::of(&mop.value) {
                    siblings.put(&put);
                }
            }
            (Function::Transfer, Self::Bank(accounts)) => {
                if let Some(transfer) = Transfer::of(&mop.value) {
                    transfer.apply(accounts);
                }
            }
            _ => {}
        }
    }
}

/// What is put into a multi-value register, written `{val, ctx}`: a value, and those it replaces.
pub(super) struct Put {
    pub(super) value: Value,
    pub(super) context: Vec<Value>,
}

impl Put {
    pub(super) fn of(value: &Value) -> Option<Self> {
        let Value::Map(entries) = value else { return None };
        let find = |name: &str| {
            entries.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
        };
        let context = find("ctx").and_then(Value::as_list).unwrap_or_default().to_vec();
        Some(Self { value: find("val")?.clone(), context })
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
    fn stocks_and_ids() {
        let mut objects = Objects::default();
        assert!(!objects.replay(&single(Function::Buy, "s", 1)), "no stock yet");
        assert!(objects.replay(&single(Function::Init, "s", 3)));
        assert!(objects.replay(&single(Function::Buy, "s", 2)));
        assert!(!objects.replay(&single(Function::Buy, "s", 2)), "one is left");
        let level = Op::single(Function::Level, key("s"), Value::Null);
        assert_eq!(objects.execute(&level).expect("it is a read")[0].value, Value::Int(1));
        let new = Op::single(Function::NewId, key("i"), Value::Null);
        let ids = [1, 2].map(|_| objects.execute(&new).expect("there are more")[0].value.clone());
        assert_eq!(ids, [Value::Int(1), Value::Int(2)]);
        objects.force(&single(Function::NewId, "i", 7));
        assert_eq!(read(&mut objects, "i"), Value::Int(7));
    }

    #[test]
    fn locks() {
        let mut objects = Objects::default();
        let acquire = Op::single(Function::Acquire, key("k"), Value::Null);
        let token = |objects: &mut Objects| Some(objects.execute(&acquire).ok()?[0].value.clone());
        assert_eq!(token(&mut objects), Some(Value::Int(1)));
        assert_eq!(token(&mut objects), None, "it is held");
        objects.replay(&single(Function::Release, "k", 7));
        assert_eq!(token(&mut objects), None, "another gave back what it does not have");
        objects.replay(&single(Function::Release, "k", 1));
        assert_eq!(token(&mut objects), Some(Value::Int(2)));
    }

    #[test]
    fn queues() {
        let mut objects = Objects::default();
        let take = Op::single(Function::Dequeue, key("q"), Value::Null);
        let taken = |objects: &mut Objects| {
            objects.execute(&take).expect("an empty queue gives nothing")[0].value.clone()
        };
        assert_eq!(taken(&mut objects), Value::Null);
        assert!(objects.replay(&single(Function::Enqueue, "q", 7)));
        assert!(objects.replay(&single(Function::Enqueue, "q", 8)));
        let all = [(); 3].map(|()| taken(&mut objects));
        assert_eq!(all, [Value::Int(7), Value::Int(8), Value::Null]);
    }

    #[test]
    fn a_put_replaces_its_context_in_any_order() {
        let put = |value: i64, context: &[i64]| {
            let context = Value::list(context.iter().copied().map(Value::Int));
            let value = Value::Map([("val".into(), value.into()), ("ctx".into(), context)].into());
            Op::single(Function::Put, key("m"), value)
        };
        let mut puts = [put(1, &[]), put(2, &[]), put(3, &[1])];
        for _ in 0..2 {
            let mut objects = Objects::default();
            assert!(puts.iter().all(|put| objects.replay(put)));
            assert_eq!(read(&mut objects, "m"), Value::list([2, 3].map(Value::Int)));
            puts.reverse();
        }
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
        assert!(objects.execute(&single(Function::Push, "q", 1)).is_err());
    }
}
