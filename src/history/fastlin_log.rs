//! Reads the logs of fastlin: operations on one container, `METHOD VALUE INVOKED RETURNED` a line.
//!
//! ```text
//! # stack
//! push 1 1 2
//! pop 1 8 15
//! ```
//!
//! Every operation has returned, and belongs to nobody: each is a client of its own. Times have no
//! unit; they are taken for nanoseconds. -1 says that the container was empty.

use crate::history::read::Flaw;
use crate::history::{Access, Builder, History, Operation, ValueId};
use crate::model::{Function, Kind, Nanos, Process, Value};

/// The containers by name, each with its methods.
const CONTAINERS: [(&str, &[(&str, Function)]); 3] = [
    ("stack", &[("push", Function::Push), ("pop", Function::Pop), ("peek", Function::Peek)]),
    ("queue", &[("enq", Function::Enqueue), ("deq", Function::Dequeue), ("peek", Function::Peek)]),
    (
        "priorityqueue",
        &[("insert", Function::Insert), ("poll", Function::Poll), ("peek", Function::Peek)],
    ),
];

/// Whether a line names a container, as the first line of a log does.
pub(super) fn is_head(line: &str) -> bool {
    container(line).is_some()
}

fn container(line: &str) -> Option<&'static [(&'static str, Function)]> {
    let name = line.trim().strip_prefix('#')?.trim();
    CONTAINERS.iter().find(|(container, _)| *container == name).map(|(_, methods)| *methods)
}

/// Reads a whole file.
pub(super) fn read(text: &str) -> Result<History, Flaw> {
    let mut lines = text.split_inclusive('\n');
    let head = lines.next().unwrap_or_default();
    let Some(methods) = container(head) else {
        let names: Vec<&str> = CONTAINERS.iter().map(|(name, _)| *name).collect();
        let what = format!("no container; expected '# ' and one of {}", names.join(", "));
        return Err(Flaw::new(0, what));
    };
    let mut builder = Builder::new();
    let key = builder.key(&Value::Null);
    let mut start = head.len();
    let mut process = 0;
    for line in lines {
        let trimmed = line.trim();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            let (function, value, invoked, returned) =
                operation(methods, trimmed).map_err(|what| Flaw::new(start, what))?;
            let value = value.map_or(ValueId::NULL, |value| builder.int_value(value));
            let operation = Operation {
                index: None,
                process: Process(process),
                kind: Kind::Ok,
                function,
                invoked: Nanos(invoked),
                returned: Some(Nanos(returned)),
                session: None,
                node: None,
                version: None,
                is_final: false,
            };
            builder
                .operation(operation, &[Access { function, key, value }])
                .map_err(|malformed| Flaw::new(start, malformed))?;
            process += 1;
        }
        start += line.len();
    }
    builder.finish().map_err(|malformed| Flaw::new(text.trim_end().len(), malformed))
}

/// The function, value (`None`: empty) and times of a line.
fn operation(
    methods: &[(&str, Function)],
    line: &str,
) -> Result<(Function, Option<i64>, u64, u64), String> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [method, value, invoked, returned] = words.as_slice() else {
        return Err("no operation; expected METHOD VALUE INVOKED RETURNED".to_owned());
    };
    let Some((_, function)) = methods.iter().find(|(name, _)| name == method) else {
        let names: Vec<&str> = methods.iter().map(|(name, _)| *name).collect();
        return Err(format!("unknown method {method:?}; expected one of {}", names.join(", ")));
    };
    let wrong =
        |what: &str, found: &str| format!("wrong {what} {found:?}; expected a whole number");
    let value: i64 = value.parse().map_err(|_| wrong("value", value))?;
    let time = |text: &str| {
        let time = text.parse::<u64>().ok().filter(|time| *time < Nanos::FOREVER.0);
        time.ok_or_else(|| wrong("time", text))
    };
    let adds = matches!(function, Function::Push | Function::Enqueue | Function::Insert);
    let value = (adds || value != -1).then_some(value);
    Ok((*function, value, time(invoked)?, time(returned)?))
}
