//! The text of the statements of [`sql`](super::sql).

use std::fmt::Write;

use crate::model::{Function, Mop, Op, Value};
use crate::target::stores::sql::{Dialect, Session};
use crate::target::stores::{Object, json};

impl<D: Dialect> Session<'_, D> {
    /// The statement of a micro-operation by itself.
    pub(super) fn statement(&self, mop: &Mop) -> Result<String, String> {
        let key = quoted(&self.site.key(&mop.key));
        let value = || quoted(&json(&mop.value));
        Ok(match mop.function {
            Function::Read => self.select(mop, false)?,
            Function::Write => upsert::<D>("registers", &key, &value(), &value()),
            Function::Append => {
                let grown = format!("concat(rashomon_lists.v, ',', {})", value());
                upsert::<D>("lists", &key, &value(), &grown)
            }
            Function::Increment => {
                let by = mop.value.as_int().ok_or("no number")?;
                let sum = format!("rashomon_counters.v + {by}");
                upsert::<D>("counters", &key, &by.to_string(), &sum)
            }
            Function::Add => {
                format!("insert into rashomon_elements (k, e) values ({key}, {})", value())
            }
            Function::Remove => {
                format!("delete from rashomon_elements where k = {key} and e = {}", value())
            }
            Function::NewId => {
                format!("insert into rashomon_ids (k) values ({key}){}", D::RETURNING_ID)
            }
            Function::InitBank => {
                let Value::Map(accounts) = &mop.value else { return Err("no balances".to_owned()) };
                let mut rows = String::new();
                for (account, balance) in accounts.iter() {
                    let comma = if rows.is_empty() { "" } else { ", " };
                    let balance = balance.as_int().ok_or("no balance")?;
                    let account = quoted(&json(account));
                    let _ = write!(rows, "{comma}({key}, {account}, {balance})");
                }
                format!("insert into rashomon_accounts (k, a, v) values {rows}")
            }
            other => return Err(format!("no statement for {}", other.name())),
        })
    }

    /// Writes the whole of what was changed at the client.
    pub(super) fn whole(&self, mop: &Mop, before: &Value) -> String {
        let key = quoted(&self.site.key(&mop.key));
        if mop.function == Function::Increment {
            let sum = before.as_int().unwrap_or(0) + mop.value.as_int().unwrap_or(0);
            return upsert::<D>("counters", &key, &sum.to_string(), &sum.to_string());
        }
        let elements = before.as_list().unwrap_or_default().iter().chain([&mop.value]);
        let list = quoted(&elements.map(json).collect::<Vec<_>>().join(","));
        upsert::<D>("lists", &key, &list, &list)
    }

    pub(super) fn cas(&self, op: &Op) -> Result<String, String> {
        let [old, new] = &op.mops[..] else { return Err("no cas".to_owned()) };
        let (key, value) = (quoted(&self.site.key(&old.key)), quoted(&json(&new.value)));
        if old.value == Value::Null {
            // Where there is something already, its key is there twice: an error that undoes it.
            return Ok(format!("insert into rashomon_registers (k, v) values ({key}, {value})"));
        }
        let old = quoted(&json(&old.value));
        Ok(format!("update rashomon_registers set v = {value} where k = {key} and v = {old}"))
    }

    pub(super) fn select(&self, mop: &Mop, writes: bool) -> Result<String, String> {
        let key = quoted(&self.site.key(&mop.key));
        let object = match self.object {
            // In a transaction that writes several kinds, a read is of the kind of the run.
            Object::Queue => return Err("no queues".to_owned()),
            object => object,
        };
        let (columns, table) = match object {
            Object::List => ("v", "lists"),
            Object::Set => ("e", "elements"),
            Object::Counter => ("v", "counters"),
            Object::Bank => ("a, v", "accounts"),
            _ => ("v", "registers"),
        };
        let lock = self.lock(writes);
        Ok(format!("select {columns} from rashomon_{table} where k = {key}{lock}"))
    }

    /// What a `select` ends with in a transaction that writes.
    pub(super) fn lock(&self, writes: bool) -> &'static str {
        if writes && self.options.select_for_update { " for update" } else { "" }
    }
}

/// Inserts `value` at a key, or sets what is there to `change`.
fn upsert<D: Dialect>(table: &str, key: &str, value: &str, change: &str) -> String {
    let conflict = D::ON_CONFLICT;
    format!("insert into rashomon_{table} (k, v) values ({key}, {value}) {conflict} v = {change}")
}

/// A text as SQL writes it. Both databases are set to see nothing special in a backslash.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
