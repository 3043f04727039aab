//! What an operation does to a register: the value it found, and the value it left.

use crate::check::linear::object::Object;
use crate::history::{KeyId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// What an operation requires of a register and what it does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::check) struct Effect {
    /// What the register held before; `None` if it does not matter. `UNKNOWN`, which no register
    /// ever holds, for a transaction that contradicts itself.
    pub(in crate::check) old: Option<ValueId>,
    /// What it holds afterwards; `None` if it is left alone. `UNKNOWN` if nobody knows.
    pub(in crate::check) new: Option<ValueId>,
}

/// An operation on one register that constrains something, with all that the monitor needs of it:
/// reading the columns of a history once is faster than thrice where keys alternate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) txn: TxnId,
    pub(super) invoked: Rank,
    /// `NEVER` if indeterminate.
    pub(super) returned: Rank,
    pub(super) effect: Effect,
}

impl Row {
    /// Whether it took effect for certain.
    pub(super) fn is_ok(&self) -> bool {
        self.returned != Rank::NEVER
    }
}

/// The operations that constrain a register, in order of invocation.
pub(super) fn rows(object: &Object<'_>) -> Vec<Row> {
    let rows = object.txns.iter().filter_map(|id| {
        let txn = object.txn(*id);
        let effect = effect(txn, object.key)?;
        Some(Row { txn: *id, invoked: txn.invoked(), returned: txn.returned(), effect })
    });
    let mut all = Vec::with_capacity(object.txns.len());
    all.extend(rows);
    all
}

/// The effect of `txn` on `key`; `None` if it constrains nothing: it failed, or it is a read that
/// did not return.
pub(in crate::check) fn effect(txn: Txn<'_>, key: KeyId) -> Option<Effect> {
    let kind = txn.kind();
    if kind == Kind::Fail {
        return None;
    }
    let mut effect = Effect { old: None, new: None };
    for access in txn.accesses().filter(|access| access.key == key) {
        if access.function != Function::Read {
            effect.new = Some(access.value);
            continue;
        }
        let read = match kind {
            Kind::Ok if access.value == ValueId::UNKNOWN => continue,
            Kind::Ok => access.value,
            // A compare-and-set always says what it expects; that of nothing was recorded as null.
            _ if txn.function() == Function::Cas && access.value == ValueId::UNKNOWN => {
                ValueId::NULL
            }
            _ if txn.function() == Function::Cas => access.value,
            // What an indeterminate read would have returned constrains nothing.
            _ => continue,
        };
        match effect {
            Effect { new: Some(own), .. } if own != read => effect.old = Some(ValueId::UNKNOWN),
            Effect { new: Some(_), .. } => {}
            Effect { old: Some(before), .. } if before != read => {
                effect.old = Some(ValueId::UNKNOWN);
            }
            Effect { .. } => effect.old = Some(read),
        }
    }
    let constrains = effect.new.is_some() || effect.old.is_some() && kind == Kind::Ok;
    constrains.then_some(effect)
}
