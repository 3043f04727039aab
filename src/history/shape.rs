//! What the key and the value of an operation mean: its micro-operations.

use crate::history::builder::{is_unknown, returns};
use crate::history::{Access, Builder, KeyId, ValueId};
use crate::model::{Function, Kind, Value};

/// Which part of an operation a line tells.
#[derive(Clone, Copy)]
pub(super) struct Telling {
    /// Invocation, or how it ended.
    pub(super) kind: Kind,
    /// The line tells the whole operation: its argument as well as its result.
    pub(super) is_whole: bool,
}

impl Telling {
    fn gives_argument(self) -> bool {
        self.is_whole || self.kind == Kind::Invoke
    }

    /// Whether the line only says how an operation ended, so that its value says nothing new.
    pub(super) fn only_ends(self) -> bool {
        !self.is_whole && matches!(self.kind, Kind::Fail | Kind::Info)
    }
}

/// Stands for the key where none is needed, so that a key no one uses does not come to be.
pub(super) const NO_KEY: KeyId = KeyId(u32::MAX);

/// Whether the key of a line is that of an access.
pub(super) fn needs_key(telling: Telling, function: Function) -> bool {
    function != Function::Txn && !telling.only_ends()
}

/// What a value has to be, for messages.
fn expected(function: Function) -> &'static str {
    match function {
        Function::Cas | Function::Rmw => "[old, new]",
        Function::Txn => "a list of [function, key, value]",
        Function::Increment | Function::Init | Function::Buy => "an integer",
        _ => "a value",
    }
}

fn wrong(function: Function, found: &str) -> String {
    let expected = expected(function);
    format!("{found} for {}; expected {expected}", function.name())
}

/// Appends the micro-operations of an operation to `accesses`. The error says what was expected.
pub(super) fn accesses(
    builder: &mut Builder,
    telling: Telling,
    function: Function,
    key: KeyId,
    value: Option<&Value>,
    accesses: &mut Vec<Access>,
) -> Result<(), String> {
    let Some(value) = value else {
        return missing(builder, telling, function, key, accesses);
    };
    match (function, value) {
        (_, Value::Null) if telling.only_ends() => {}
        (Function::Cas | Function::Rmw, Value::List(pair)) if pair.len() == 2 => {
            let old = id(builder, telling.kind, function, Function::Read, &pair[0]);
            let new = builder.value(&pair[1]);
            update(key, old, new, accesses);
        }
        (Function::Txn, Value::List(items)) => {
            for item in items.iter() {
                let (part, key, value) = mop(item)
                    .ok_or_else(|| wrong(function, &format!("wrong micro-operation {item}")))?;
                let key = builder.key(key);
                let value = id(builder, telling.kind, function, part, value);
                accesses.push(Access { function: part, key, value });
            }
        }
        (Function::Cas | Function::Rmw | Function::Txn, _) => {
            return Err(wrong(function, "wrong kind of value"));
        }
        (Function::Increment | Function::Init | Function::Buy, Value::Int(_)) => {
            let value = builder.value(value);
            accesses.push(Access { function, key, value });
        }
        (Function::Increment | Function::Init | Function::Buy, other)
            if telling.gives_argument() || *other != Value::Null =>
        {
            return Err(wrong(function, "wrong kind of value"));
        }
        _ => {
            let value = id(builder, telling.kind, function, function, value);
            accesses.push(Access { function, key, value });
        }
    }
    Ok(())
}

/// The micro-operations of an operation whose line has no value.
pub(super) fn missing(
    builder: &mut Builder,
    telling: Telling,
    function: Function,
    key: KeyId,
    accesses: &mut Vec<Access>,
) -> Result<(), String> {
    // A lock is taken and given back without an argument, and a store may return no token.
    let is_lock = matches!(function, Function::Acquire | Function::Release);
    let is_result = returns(function);
    let needed = match telling.kind {
        _ if telling.only_ends() || is_lock => false,
        Kind::Ok => {
            is_result
                || telling.is_whole
                || matches!(function, Function::Cas | Function::Rmw | Function::Txn)
        }
        _ => !is_result,
    };
    if needed {
        return Err(format!(
            "{} {} without a value; expected {}",
            telling.kind.name(),
            function.name(),
            expected(function)
        ));
    }
    if !telling.only_ends() {
        let value = id(builder, telling.kind, function, function, &Value::Null);
        accesses.push(Access { function, key, value });
    }
    Ok(())
}

/// The micro-operations of a `cas` or `rmw`.
pub(super) fn update(key: KeyId, old: ValueId, new: ValueId, accesses: &mut Vec<Access>) {
    accesses.push(Access { function: Function::Read, key, value: old });
    accesses.push(Access { function: Function::Write, key, value: new });
}

fn id(
    builder: &mut Builder,
    kind: Kind,
    whole: Function,
    part: Function,
    value: &Value,
) -> ValueId {
    if is_unknown(kind, whole, part) { ValueId::UNKNOWN } else { builder.value(value) }
}

/// A micro-operation `[function, key, value]`.
pub(super) fn mop(item: &Value) -> Option<(Function, &Value, &Value)> {
    let [Value::Text(name), key, value] = item.as_list()? else { return None };
    let function = part_from_name(name)?;
    Some((function, key, value))
}

/// The function of a micro-operation of that name.
pub(super) fn part_from_name(name: &str) -> Option<Function> {
    Function::from_name(name).filter(|function| is_part(*function))
}

/// Whether a micro-operation can be one.
pub(super) fn is_part(function: Function) -> bool {
    !matches!(function, Function::Cas | Function::Rmw | Function::Txn)
}
