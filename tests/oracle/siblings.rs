//! Multi-value registers by definition (ANOMALIES section 7). Shares no code with the checkers.

use rashomon::history::{Access, Builder, History, Operation, ValueId};
use rashomon::model::{Function, Kind, Random, Value};

use crate::operation::operation;

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A value with the values that it replaces.
    Put(i64, Vec<i64>),
    /// The siblings.
    Get(Vec<i64>),
}

#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) act: Act,
    pub(crate) kind: Kind,
    pub(crate) invoked: u64,
    /// `u64::MAX` if its outcome is unknown.
    pub(crate) returned: u64,
    pub(crate) is_final: bool,
}

pub(crate) fn build(deeds: &[Deed]) -> History {
    let mut builder = Builder::new();
    let list = |values: &[i64]| Value::list(values.iter().map(|one| Value::Int(*one)));
    for (number, deed) in (0..).zip(deeds) {
        let (function, value) = match &deed.act {
            Act::Put(value, context) => {
                let fields = [("val".into(), Value::Int(*value)), ("ctx".into(), list(context))];
                (Function::Put, Value::Map(fields.into()))
            }
            Act::Get(values) => (Function::Get, list(values)),
        };
        let is_known = function == Function::Put || deed.kind == Kind::Ok;
        let value = if is_known { builder.value(&value) } else { ValueId::UNKNOWN };
        let access = Access { function, key: builder.key(&"x".into()), value };
        let made = operation(number, function, deed.kind, deed.invoked, deed.returned);
        let made = Operation { is_final: deed.is_final, ..made };
        builder.operation(made, &[access]).expect("well-formed");
    }
    builder.finish().expect("well-formed")
}

/// Whether some final read lacks a value that nobody replaced, or shows one that was replaced or never
/// put. Every value is put once at most.
pub(crate) fn violated(deeds: &[Deed]) -> bool {
    let puts: Vec<(&Deed, i64, &Vec<i64>)> = deeds
        .iter()
        .filter(|deed| deed.kind != Kind::Fail)
        .filter_map(|deed| match &deed.act {
            Act::Put(value, context) => Some((deed, *value, context)),
            Act::Get(_) => None,
        })
        .collect();
    deeds.iter().filter(|deed| deed.is_final && deed.kind == Kind::Ok).any(|read| {
        let Act::Get(shown) = &read.act else { return false };
        let before = |put: &Deed| put.kind == Kind::Ok && put.returned < read.invoked;
        let lost = puts.iter().any(|(put, value, _)| {
            before(put)
                && !shown.contains(value)
                && !puts.iter().any(|(_, _, context)| context.contains(value))
        });
        let odd = shown.iter().any(|value| {
            !puts.iter().any(|put| put.1 == *value)
                || puts.iter().any(|(over, _, context)| before(over) && context.contains(value))
        });
        lost || odd
    })
}

/// A few clients that read and put, by a store that sometimes forgets or revives a sibling.
pub(crate) fn random_history(random: &mut Random) -> Vec<Deed> {
    let (mut siblings, mut time) = (Vec::new(), 0);
    let mut read: Vec<Vec<i64>> = vec![Vec::new(); 3];
    let mut deeds = Vec::new();
    for value in 1..=random.between(1, 6) as i64 {
        let client = random.below(3) as usize;
        if random.chance(0.5) {
            read[client].clone_from(&siblings);
        }
        let context = read[client].clone();
        let kind = *random.pick(&[Kind::Ok, Kind::Ok, Kind::Ok, Kind::Info, Kind::Fail]);
        if kind == Kind::Ok || kind == Kind::Info && random.chance(0.5) {
            if !random.chance(0.05) {
                siblings.retain(|one| !context.contains(one));
            }
            siblings.push(value);
            if random.chance(0.04) {
                siblings.remove(0);
            }
        }
        time += random.below(4);
        let returned = if kind == Kind::Info { u64::MAX } else { time + 1 + random.below(6) };
        let act = Act::Put(value, context);
        deeds.push(Deed { act, kind, invoked: time, returned, is_final: false });
    }
    for _ in 0..random.below(3) {
        time += random.below(8);
        let mut shown = siblings.clone();
        if random.chance(0.04) {
            shown.push(random.between(1, 8) as i64);
        }
        let (act, kind, is_final) = (Act::Get(shown), Kind::Ok, random.chance(0.9));
        deeds.push(Deed { act, kind, invoked: time, returned: time + 2, is_final });
    }
    deeds
}
