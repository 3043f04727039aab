//! Which rows stand behind a key. A key is one row, but for a bank: there each account is a row of
//! its own, and the row of the bank itself only names them.

use crate::model::{Function, Mop, Value};
use crate::store::objects::Transfer;

/// Whether a row names the accounts of a bank.
pub(super) fn is_bank(row: &Value) -> bool {
    matches!(row, Value::Map(_))
}

/// The accounts of a bank with what the map says of each.
pub(super) fn balances(bank: &Value) -> &[(Value, Value)] {
    let Value::Map(entries) = bank else { return &[] };
    entries
}

/// The row of an account.
pub(super) fn row_of(bank: &Value, account: &Value) -> Value {
    Value::list([bank.clone(), account.clone()])
}

/// The rows that have to be read before anything else is known of a micro-operation.
pub(super) fn rows_read(mop: &Mop) -> Vec<Value> {
    match mop.function {
        Function::Read => vec![mop.key.clone()],
        Function::Transfer => Transfer::of(&mop.value).map_or_else(Vec::new, |transfer| {
            [transfer.from, transfer.to].map(|account| row_of(&mop.key, &account)).into()
        }),
        _ => Vec::new(),
    }
}

/// What a micro-operation writes, after its rows were read; the error says why it cannot.
pub(super) fn writes(mop: &Mop, read: &[Value]) -> Result<Vec<Mop>, String> {
    let write = |key: Value, value: Value| Mop { function: Function::Write, key, value };
    match mop.function {
        Function::InitBank => {
            let accounts = balances(&mop.value)
                .iter()
                .map(|(account, balance)| write(row_of(&mop.key, account), balance.clone()));
            Ok(std::iter::once(write(mop.key.clone(), mop.value.clone())).chain(accounts).collect())
        }
        Function::Transfer => {
            let balances: Option<Vec<i64>> = read.iter().map(Value::as_int).collect();
            let (Some(transfer), Some([from, to])) =
                (Transfer::of(&mop.value), balances.as_deref())
            else {
                return Err("there is no such account".to_owned());
            };
            if *from < transfer.amount && !transfer.overdraft {
                return Err("the account would be overdrawn".to_owned());
            }
            if transfer.from == transfer.to {
                return Ok(Vec::new());
            }
            let balances =
                [from.saturating_sub(transfer.amount), to.saturating_add(transfer.amount)];
            let rows = rows_read(mop).into_iter().zip(balances);
            Ok(rows.map(|(row, balance)| write(row, Value::Int(balance))).collect())
        }
        Function::Write
        | Function::Append
        | Function::Add
        | Function::Remove
        | Function::Increment => Ok(vec![mop.clone()]),
        other => Err(format!("cannot {} on {}", other.name(), mop.key)),
    }
}
