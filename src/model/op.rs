//! Operations and how they end.

use crate::model::{Function, Value};

/// A micro-operation: one function on one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mop {
    /// `Read`, `Write`, `Append`, `Add`, … — never `Cas`, `Rmw` or `Txn`, which are made of several.
    pub function: Function,
    /// The key; `Null` where the workload has a single object without a name.
    pub key: Value,
    /// The argument of a write; the result of a read, `Null` before it has returned.
    pub value: Value,
}

/// What a client asks a store to do: a small transaction of one or more micro-operations.
///
/// A `cas` or `rmw` is a `Read` of the old value followed by a `Write` of the new one, on one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Op {
    /// What the client called it.
    pub function: Function,
    /// What it is made of, in order.
    pub mops: Vec<Mop>,
}

impl Op {
    /// An operation of a single micro-operation.
    pub fn single(function: Function, key: Value, value: Value) -> Self {
        Self { function, mops: vec![Mop { function, key, value }] }
    }

    /// Reads `key`.
    pub fn read(key: Value) -> Self {
        Self::single(Function::Read, key, Value::Null)
    }

    /// Writes `value` to `key`.
    pub fn write(key: Value, value: Value) -> Self {
        Self::single(Function::Write, key, value)
    }

    /// Replaces `old` by `new` at `key`, or does nothing.
    pub fn cas(key: Value, old: Value, new: Value) -> Self {
        Self::update(Function::Cas, key, old, new)
    }

    /// Reads `key` and writes `new`, whatever it read.
    pub fn rmw(key: Value, new: Value) -> Self {
        Self::update(Function::Rmw, key, Value::Null, new)
    }

    /// Several micro-operations at once.
    pub fn txn(mops: Vec<Mop>) -> Self {
        Self { function: Function::Txn, mops }
    }

    /// A `cas` or `rmw` that read `old` and wrote `new`.
    pub fn update(function: Function, key: Value, old: Value, new: Value) -> Self {
        let read = Mop { function: Function::Read, key: key.clone(), value: old };
        let write = Mop { function: Function::Write, key, value: new };
        Self { function, mops: vec![read, write] }
    }

    /// The key of the first micro-operation: the key of a single-object operation.
    pub fn key(&self) -> &Value {
        const NULL: &Value = &Value::Null;
        self.mops.first().map_or(NULL, |mop| &mop.key)
    }

    /// Whether it may change the store.
    pub fn writes(&self) -> bool {
        self.mops.iter().any(|mop| !mop.function.is_read())
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect, once; these are its micro-operations with what was read.
    Ok(Vec<Mop>),
    /// It did not and never will take effect.
    Fail(String),
    /// Nobody knows: it may take effect at any later time, once, or never.
    Info(String),
}
