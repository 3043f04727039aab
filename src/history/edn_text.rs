//! Writes a line of Jepsen's EDN.

use std::fmt::Write as _;

use crate::history::json_text::{decimal, json_text as text};
use crate::model::{Event, Function, Nanos, Op, Value, What};

/// One event as a map on a line of its own. Keys become `[k v]` tuples, as `jepsen.independent`
/// has them, if `has_tuples`; otherwise they have a field of their own, which Jepsen passes over.
pub(super) fn edn_line(line: &mut String, index: u32, event: &Event, has_tuples: bool) {
    let _ = write!(line, "{{:index {index}, :time {}, ", event.time.0);
    match &event.what {
        What::Client(client) => {
            let (process, kind) = (client.process, client.kind.name());
            let _ = write!(line, ":process {process}, :type :{kind}, ");
            let _ = write!(line, ":f :{}, :value ", client.op.function.name());
            subject(line, &client.op, has_tuples);
            if let Some(node) = &client.node {
                line.push_str(", :node ");
                text(line, node);
            }
            if let Some(session) = client.session.filter(|session| *session != process.0) {
                let _ = write!(line, ", :session {session}");
            }
            if let Some(version) = client.version {
                let _ = write!(line, ", :version {version}");
            }
            if client.is_final {
                line.push_str(", :final? true");
            }
            if client.waited > Nanos(0) {
                let _ = write!(line, ", :waited-ns {}", client.waited.0);
            }
            if let Some(error) = &client.error {
                line.push_str(", :error ");
                text(line, error);
            }
        }
        What::Fault(fault) => {
            let _ = write!(line, ":process :nemesis, :type :info, :f ");
            text(line, &fault.name);
            line.push_str(", :value ");
            value(line, &fault.value);
            if let Some(id) = fault.id {
                let _ = write!(line, ", :fault {}", id.0);
            }
            let _ = write!(line, ", :begins {}", fault.begins);
        }
    }
    line.push_str("}\n");
}

fn subject(line: &mut String, op: &Op, has_tuples: bool) {
    if op.function == Function::Txn {
        line.push('[');
        for (at, mop) in op.mops.iter().enumerate() {
            let blank = if at > 0 { " " } else { "" };
            let function = match mop.function {
                Function::Read => "r",
                Function::Write => "w",
                other => other.name(),
            };
            let _ = write!(line, "{blank}[:{function} ");
            value(line, &mop.key);
            line.push(' ');
            value(line, &mop.value);
            line.push(']');
        }
        line.push(']');
        return;
    }
    let is_keyed = *op.key() != Value::Null;
    if is_keyed && has_tuples {
        line.push('[');
        value(line, op.key());
        line.push(' ');
    }
    match op.mops.as_slice() {
        [] => line.push_str("nil"),
        [mop] => value(line, &mop.value),
        mops => {
            let mut open = '[';
            for mop in mops {
                line.push(open);
                value(line, &mop.value);
                open = ' ';
            }
            line.push(']');
        }
    }
    if is_keyed && has_tuples {
        line.push(']');
    } else if is_keyed {
        line.push_str(", :key ");
        value(line, op.key());
    }
}

fn value(line: &mut String, of: &Value) {
    match of {
        Value::Null => line.push_str("nil"),
        Value::Bool(b) => {
            let _ = write!(line, "{b}");
        }
        Value::Int(n) => {
            let _ = write!(line, "{n}");
        }
        Value::Decimal(number) => match decimal(number) {
            Some(number) => line.push_str(&number),
            None => text(line, number),
        },
        Value::Text(string) => text(line, string),
        Value::List(items) => {
            line.push('[');
            for (at, item) in items.iter().enumerate() {
                line.push_str(if at > 0 { " " } else { "" });
                value(line, item);
            }
            line.push(']');
        }
        Value::Map(entries) => {
            line.push('{');
            for (at, (key, item)) in entries.iter().enumerate() {
                line.push_str(if at > 0 { ", " } else { "" });
                value(line, key);
                line.push(' ');
                value(line, item);
            }
            line.push('}');
        }
    }
}
