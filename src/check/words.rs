//! The phrases that sentences about operations are made of.

use crate::history::{History, KeyId, Txn, ValueId};
use crate::model::{Function, Value};

/// A key as a sentence names it; a workload with a single object has no name for it.
pub(super) fn key_name(history: &History, key: KeyId) -> String {
    match history.key_name(key) {
        Value::Null => "the object".to_owned(),
        name => name.to_string(),
    }
}

/// A value as a sentence shows it; a long list is cut to its end, where lists differ.
pub(super) fn shown(history: &History, value: ValueId) -> String {
    const SHOWN: usize = 8;
    let values = history.values();
    if value == ValueId::UNKNOWN {
        return "an unknown value".to_owned();
    }
    if values.is_list(value) {
        let mut last: Vec<ValueId> = values.backwards(value).take(SHOWN + 1).collect();
        if last.len() > SHOWN {
            last.truncate(SHOWN);
            last.reverse();
            let last: Vec<String> = last.iter().map(|one| values.value(*one).to_string()).collect();
            return format!("[…, {}]", last.join(", "));
        }
    }
    values.value(value).to_string()
}

/// A version of a key as a sentence shows it: the initial one as what it was.
pub(super) fn shown_at(history: &History, key: KeyId, value: ValueId) -> String {
    match history.initial(key) {
        Some(initial) if value == ValueId::NULL => initial.to_string(),
        _ => shown(history, value),
    }
}

/// ` at n2`, or nothing if the node is not known.
pub(super) fn place(history: &History, txn: Txn<'_>) -> String {
    txn.node().map_or(String::new(), |node| format!(" at {}", history.nodes()[node.index()]))
}

/// `session 2`.
pub(super) fn session_name(history: &History, txn: Txn<'_>) -> String {
    format!("session {}", history.session_name(txn.session()))
}

/// `session 2 read x = 1 (#7)`.
pub(super) fn read_phrase(history: &History, read: Txn<'_>, key: KeyId) -> String {
    format!("{} {}", session_name(history, read), deed(history, read, Some(key)))
}

/// What an operation did: `read x = 1 (#7)`, `wrote x = 2 (#8)`, on one key or on all.
pub(super) fn deed(history: &History, txn: Txn<'_>, only: Option<KeyId>) -> String {
    let parts: Vec<String> = txn
        .accesses()
        .filter(|access| only.is_none_or(|key| key == access.key))
        .map(|access| {
            let key = key_name(history, access.key);
            let value = shown_at(history, access.key, access.value);
            match access.function {
                Function::Read => format!("read {key} = {value}"),
                Function::Append => format!("appended {value} to {key}"),
                Function::Add | Function::Increment => format!("added {value} to {key}"),
                _ => format!("wrote {key} = {value}"),
            }
        })
        .collect();
    format!("{} (#{}{})", parts.join(" and "), txn.index(), place(history, txn))
}

/// When an operation returned: `#7 at 1.204 s`.
pub(super) fn moment(txn: Txn<'_>) -> String {
    format!("#{} at {}", txn.index(), txn.returned_at())
}
