//! Writes a line of the event form, and the parts that the operation form shares with it.

use std::fmt::Write as _;

use crate::model::{ClientEvent, Event, FaultEvent, Function, Nanos, Op, Value, What};

/// One line of the event form, its fields always in the same order.
pub(super) fn json_line(line: &mut String, index: u32, event: &Event) {
    let _ = write!(line, "{{\"index\":{index},\"time\":{},\"process\":", event.time.0);
    match &event.what {
        What::Client(client) => json_client(line, client),
        What::Fault(fault) => json_fault(line, fault),
    }
    line.push_str("}\n");
}

fn json_client(line: &mut String, client: &ClientEvent) {
    let (process, kind, function) = (client.process, client.kind.name(), client.op.function.name());
    let _ = write!(line, "{process},\"type\":\"{kind}\",\"f\":\"{function}\"");
    json_subject(line, &client.op, "key", "value");
    if let Some(node) = &client.node {
        line.push_str(",\"node\":");
        json_text(line, node);
    }
    if let Some(session) = client.session.filter(|session| *session != process.0) {
        let _ = write!(line, ",\"session\":{session}");
    }
    json_rest(line, client.version, client.is_final, client.waited, client.error.as_deref());
}

pub(super) fn json_rest(
    line: &mut String,
    version: Option<i64>,
    is_final: bool,
    waited: Nanos,
    error: Option<&str>,
) {
    if let Some(version) = version {
        let _ = write!(line, ",\"version\":{version}");
    }
    if is_final {
        line.push_str(",\"final\":true");
    }
    if waited > Nanos(0) {
        let _ = write!(line, ",\"waited_ns\":{}", waited.0);
    }
    if let Some(error) = error {
        line.push_str(",\"error\":");
        json_text(line, error);
    }
}

fn json_fault(line: &mut String, fault: &FaultEvent) {
    line.push_str("\"nemesis\",\"type\":\"info\",\"f\":");
    json_text(line, &fault.name);
    if fault.value != Value::Null {
        line.push_str(",\"value\":");
        json_value(line, &fault.value);
    }
    if let Some(id) = fault.id {
        let _ = write!(line, ",\"fault\":{}", id.0);
    }
    let _ = write!(line, ",\"begins\":{}", fault.begins);
}

/// The key and the value of an operation.
pub(super) fn json_subject(line: &mut String, op: &Op, key_field: &str, value_field: &str) {
    let is_txn = op.function == Function::Txn;
    if !is_txn && *op.key() != Value::Null {
        let _ = write!(line, ",\"{key_field}\":");
        json_value(line, op.key());
    }
    let _ = write!(line, ",\"{value_field}\":");
    if is_txn {
        line.push('[');
        for (at, mop) in op.mops.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(line, "{comma}[\"{}\",", mop.function.name());
            json_value(line, &mop.key);
            line.push(',');
            json_value(line, &mop.value);
            line.push(']');
        }
        line.push(']');
        return;
    }
    match op.mops.as_slice() {
        [] => line.push_str("null"),
        [mop] => json_value(line, &mop.value),
        mops => {
            let mut open = '[';
            for mop in mops {
                line.push(open);
                json_value(line, &mop.value);
                open = ',';
            }
            line.push(']');
        }
    }
}

pub(super) fn json_value(line: &mut String, value: &Value) {
    match value {
        Value::Null => line.push_str("null"),
        Value::Bool(b) => line.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) => {
            let _ = write!(line, "{n}");
        }
        Value::Decimal(text) => match decimal(text) {
            Some(number) => line.push_str(&number),
            None => json_text(line, text),
        },
        Value::Text(text) => json_text(line, text),
        Value::List(items) => {
            line.push('[');
            for (at, item) in items.iter().enumerate() {
                line.push_str(if at > 0 { "," } else { "" });
                json_value(line, item);
            }
            line.push(']');
        }
        Value::Map(entries) => {
            line.push('{');
            for (at, (key, value)) in entries.iter().enumerate() {
                line.push_str(if at > 0 { "," } else { "" });
                // JSON has only strings for keys.
                match key {
                    Value::Text(text) => json_text(line, text),
                    Value::Null => line.push_str("\"null\""),
                    other => json_text(line, &other.to_string()),
                }
                line.push(':');
                json_value(line, value);
            }
            line.push('}');
        }
    }
}

/// A number that is read back as one with a fraction: `1.0`, not `1`.
pub(super) fn decimal(text: &str) -> Option<String> {
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| format!("{number:?}"))
}

pub(super) fn json_text(line: &mut String, text: &str) {
    line.push('"');
    for character in text.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            control if control < ' ' => {
                let _ = write!(line, "\\u{:04x}", control as u32);
            }
            other => line.push(other),
        }
    }
    line.push('"');
}

/// Nanoseconds as milliseconds, exactly.
pub(super) fn millis(line: &mut String, time: Nanos) {
    let (whole, fraction) = (time.0 / 1_000_000, time.0 % 1_000_000);
    let _ = write!(line, "{whole}");
    if fraction > 0 {
        let fraction = format!("{fraction:06}");
        let _ = write!(line, ".{}", fraction.trim_end_matches('0'));
    }
}
