//! Plain histories for the oracles, and how they become real ones. Shares no code with the checkers.

use rashomon::check::{Property, Verdict};
use rashomon::history::{Access, Builder, History, Operation};
use rashomon::model::{Function, Kind, Nanos, Process, Value};
use serde_json::Value as Json;

/// One step of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Read a register.
    Read(usize, Option<i64>),
    /// Read a list or a set.
    Elements(usize, Vec<i64>),
    /// Write a register.
    Write(usize, i64),
    /// Append to a list.
    Append(usize, i64),
    /// Add to a set.
    Add(usize, i64),
}

impl Step {
    /// Its key, if it writes.
    pub(crate) fn written(&self) -> Option<(usize, i64)> {
        match self {
            Self::Write(key, value) | Self::Append(key, value) | Self::Add(key, value) => {
                Some((*key, *value))
            }
            Self::Read(..) | Self::Elements(..) => None,
        }
    }

    /// Its key and what it saw, if it reads.
    pub(crate) fn read(&self) -> Option<(usize, Vec<i64>)> {
        match self {
            Self::Read(key, value) => Some((*key, value.iter().copied().collect())),
            Self::Elements(key, values) => Some((*key, values.clone())),
            _ => None,
        }
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) process: u32,
    pub(crate) session: u32,
    pub(crate) kind: Kind,
    pub(crate) invoked: u64,
    /// `u64::MAX` if its outcome is unknown.
    pub(crate) returned: u64,
    pub(crate) function: Function,
    pub(crate) steps: Vec<Step>,
    pub(crate) is_final: bool,
}

impl Plain {
    pub(crate) fn writes(&self) -> impl Iterator<Item = (usize, i64)> + '_ {
        self.steps.iter().filter_map(Step::written)
    }

    pub(crate) fn reads(&self) -> impl Iterator<Item = (usize, Vec<i64>)> + '_ {
        self.steps.iter().filter_map(Step::read)
    }
}

const NAMES: [&str; 4] = ["x", "y", "z", "q"];

/// The history of plain operations, in order of invocation and then of position.
pub(crate) fn build(plain: &[Plain]) -> History {
    let mut builder = Builder::new();
    for (index, op) in (0..).zip(plain) {
        let accesses: Vec<Access> = op
            .steps
            .iter()
            .map(|step| {
                let (function, key, value) = match step {
                    Step::Read(key, value) => {
                        (Function::Read, key, value.map_or(Value::Null, Value::Int))
                    }
                    Step::Elements(key, values) => (
                        Function::Read,
                        key,
                        Value::list(values.iter().map(|one| Value::Int(*one))),
                    ),
                    Step::Write(key, value) => (Function::Write, key, Value::Int(*value)),
                    Step::Append(key, value) => (Function::Append, key, Value::Int(*value)),
                    Step::Add(key, value) => (Function::Add, key, Value::Int(*value)),
                };
                Access {
                    function,
                    key: builder.key(&NAMES[*key].into()),
                    value: builder.value(&value),
                }
            })
            .collect();
        let operation = Operation {
            index: Some(index),
            process: Process(op.process),
            kind: op.kind,
            function: op.function,
            invoked: Nanos::from_millis(op.invoked),
            returned: (op.returned != u64::MAX).then(|| Nanos::from_millis(op.returned)),
            session: Some(op.session),
            node: None,
            version: None,
            is_final: op.is_final,
        };
        builder.operation(operation, &accesses).expect("plain histories are well-formed");
    }
    builder.finish().expect("plain histories are well-formed")
}

/// A history in the operation form of the specification (1.1), one operation a line.
pub(crate) fn load(text: &str) -> History {
    let mut builder = Builder::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let json: Json = serde_json::from_str(line).expect("a line of an example");
        let function =
            Function::from_name(json["f"].as_str().expect("f")).expect("a known function");
        let kind = match json["type"].as_str() {
            Some("ok") => Kind::Ok,
            Some("fail") => Kind::Fail,
            _ => Kind::Info,
        };
        let access = |function, key: &Json, value: &Json, builder: &mut Builder| Access {
            function,
            key: builder.key(&value_of(key)),
            value: builder.value(&value_of(value)),
        };
        let (key, value) = (&json["k"], &json["v"]);
        let accesses: Vec<Access> = match function {
            Function::Txn => value
                .as_array()
                .expect("micro-operations")
                .iter()
                .map(|mop| {
                    let function = Function::from_name(mop[0].as_str().expect("f")).expect("known");
                    access(function, &mop[1], &mop[2], &mut builder)
                })
                .collect(),
            Function::Cas | Function::Rmw => vec![
                access(Function::Read, key, &value[0], &mut builder),
                access(Function::Write, key, &value[1], &mut builder),
            ],
            function => vec![access(function, key, value, &mut builder)],
        };
        let number = |name: &str| json[name].as_u64();
        let operation = Operation {
            index: number("i").map(|n| n as u32),
            process: Process(number("p").expect("p") as u32),
            kind,
            function,
            invoked: Nanos::from_millis(number("inv").expect("inv")),
            returned: number("ret").map(Nanos::from_millis),
            session: number("s").map(|n| n as u32),
            node: json["node"].as_str().map(|node| builder.node(node)),
            version: json["version"].as_i64(),
            is_final: json["final"].as_bool().unwrap_or(false),
        };
        builder.operation(operation, &accesses).expect("examples are well-formed");
    }
    builder.finish().expect("examples are well-formed")
}

fn value_of(json: &Json) -> Value {
    match json {
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Value::text(&n.to_string()), Value::Int),
        Json::String(text) => Value::text(text),
        Json::Array(items) => Value::list(items.iter().map(value_of)),
        _ => Value::Null,
    }
}

/// A file, its history, and whether each property holds, by id.
pub(crate) type Example = (String, History, Vec<(String, bool)>);

/// The examples of the specification, with the verdicts of each by id; `None` where they are absent.
pub(crate) fn examples() -> Option<Vec<Example>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/spec/examples");
    let index = std::fs::read_to_string(folder.join("index.json")).ok()?;
    let index: Json = serde_json::from_str(&index).expect("the index is JSON");
    let mut examples = Vec::new();
    for example in index["examples"].as_array().expect("examples") {
        let file = example["file"].as_str().expect("file");
        let expect = example["expect"].as_object().expect("expect");
        let vector = example["vector"].as_object().expect("vector");
        let verdicts: Vec<(String, bool)> = vector
            .iter()
            .chain(expect)
            .map(|(id, verdict)| (id.clone(), verdict == "ok"))
            .collect();
        let functions_known = |text: &str| {
            text.lines().filter(|line| !line.trim().is_empty()).all(|line| {
                let json: Json = serde_json::from_str(line).expect("a line of an example");
                json["f"].as_str().is_some_and(|name| Function::from_name(name).is_some())
            })
        };
        let text = std::fs::read_to_string(folder.join(file)).expect("the file of an example");
        if functions_known(&text) {
            examples.push((file.to_owned(), load(&text), verdicts));
        }
    }
    Some(examples)
}

/// Compares what a checker says of the examples: `judge` is given the file, its history, the verdict on each
/// of the properties that the specification judges there, and whether it holds. How many there were;
/// `None` where there are no examples.
pub(crate) fn judge_examples(
    properties: &[Property],
    check: impl Fn(&History) -> Vec<Verdict>,
    mut judge: impl FnMut(&str, &History, Option<&Verdict>, bool),
) -> Option<usize> {
    let Some(examples) = examples() else {
        println!("skipped: the examples of the specification are not here");
        return None;
    };
    let mut judged = 0;
    for (file, history, expected) in &examples {
        let ours = check(history);
        for (id, holds) in expected {
            let property = Property::from_name(id).filter(|one| properties.contains(one));
            let Some(property) = property else { continue };
            judged += 1;
            judge(file, history, ours.iter().find(|one| one.property == property), *holds);
        }
    }
    Some(judged)
}
