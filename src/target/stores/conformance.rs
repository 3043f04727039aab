//! Whether a command speaks the protocol of the `process` adapter: a script of cases, and what is
//! wrong with the answers.

use std::future::Future;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::model::{Function, Mop, Op, Value};
use crate::target::stores::process::{Said, Talk, cut, question};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conformance {
    /// What the command did right, a line each.
    pub kept: Vec<String>,
    /// What it did wrong, a line each.
    pub broken: Vec<String>,
}

/// Drives a command through the cases of the protocol. `address` is what it is told of its node.
///
/// Each case has keys of its own, so that the store behind it need not be empty.
pub fn conformance(command: &str, address: &str) -> Result<Conformance, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    let mut check = Check {
        command: command.to_owned(),
        address: address.to_owned(),
        run: super::name_of_run(),
        came: Conformance::default(),
    };
    runtime.block_on(check.run());
    Ok(check.came)
}

struct Check {
    command: String,
    address: String,
    run: String,
    came: Conformance,
}

/// Waits for an answer, but not for ever.
async fn in_time<T>(asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let seconds = PATIENCE.as_secs();
    let silence = || format!("no answer within {seconds} s");
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(silence()))
}

impl Check {
    async fn run(&mut self) {
        let functions = match self.start().await {
            Ok((talk, said)) => {
                self.note("init is answered with ok", Ok(()));
                let closed = in_time(async { Ok(talk.end().await) }).await.map(|_| ());
                self.note("it ends when its input is closed", closed);
                known_functions(&said)
            }
            Err(why) => return self.note("init is answered with ok", Err(why)),
        };
        for case in CASES.iter().filter(|case| functions.contains(&case.function)) {
            let name = format!("{}: {}", case.function.name(), case.about);
            let came = self.case(case).await;
            self.note(&name, came);
        }
        let manners: [(&str, Json); 3] = [
            ("an unknown function fails", json!({"type": "invoke", "f": "frobnicate", "key": "x"})),
            ("an unknown type fails", json!({"type": "frobnicate"})),
            ("an operation without a function fails", json!({"type": "invoke", "key": "x"})),
        ];
        for (name, line) in manners {
            let came = self.refused(line).await;
            self.note(name, came);
        }
        let came = self.garbled().await;
        self.note("a line that is no JSON fails, and the next one is answered", came);
        let came = self.in_order().await;
        self.note("twenty requests at once are answered one by one, in order", came);
    }

    fn note(&mut self, name: &str, came: Result<(), String>) {
        match came {
            Ok(()) => self.came.kept.push(name.to_owned()),
            Err(why) => self.came.broken.push(format!("{name}: {why}")),
        }
    }

    async fn start(&self) -> Result<(Talk, Said), String> {
        let mut talk = Talk::start(&self.command)?;
        let init = json!({
            "type": "init", "version": 1, "node": "n1", "address": self.address,
            "nodes": {"n1": self.address}, "process": 0, "run": self.run,
        });
        let said = in_time(talk.ask(init)).await?;
        expect(&said, "ok")?;
        Ok((talk, said))
    }

    /// Asks for the steps of a case, one after the other.
    async fn case(&self, case: &Case) -> Result<(), String> {
        let (mut talk, _) = self.start().await?;
        let key = Value::text(&format!("{} 'odd' \"key\" é", case.about));
        for (op, expected) in (case.steps)(&key) {
            let asked = question(&op, false);
            let shown = cut(&asked.to_string());
            let said = in_time(talk.ask(asked)).await.map_err(|why| format!("{shown}: {why}"))?;
            let came = match &expected {
                Expected::Fails => expect(&said, "fail"),
                Expected::Ok => expect(&said, "ok").and_then(|()| said.mops(&op).map(|_| ())),
                Expected::Reads(value) => expect(&said, "ok").and_then(|()| {
                    let read = said.mops(&op)?.first().map(|mop| mop.value.clone());
                    match read {
                        Some(read) if alike(&read, value) => Ok(()),
                        read => {
                            let read = read.unwrap_or_default();
                            Err(format!("reads {read}, and {value} is there"))
                        }
                    }
                }),
            };
            came.map_err(|why| format!("{shown}: {why}"))?;
        }
        Ok(())
    }

    async fn refused(&self, line: Json) -> Result<(), String> {
        let (mut talk, _) = self.start().await?;
        expect(&in_time(talk.ask(line)).await?, "fail")?;
        in_time(talk.ask(json!({"type": "invoke", "f": "frobnicate", "key": "x"}))).await?;
        Ok(())
    }

    async fn garbled(&self) -> Result<(), String> {
        let (mut talk, _) = self.start().await?;
        talk.send("{\"id\": 1, \"type\": \"inv").await?;
        let line = in_time(talk.line()).await?;
        let said: Json = serde_json::from_str(&line)
            .map_err(|_| format!("the answer is no JSON: {}", cut(&line)))?;
        expect(&Said(said), "fail")?;
        let next = json!({"type": "invoke", "f": "frobnicate", "key": "x"});
        in_time(talk.ask(next)).await.map(|_| ())
    }

    async fn in_order(&self) -> Result<(), String> {
        let (mut talk, _) = self.start().await?;
        for id in 100..120 {
            let line = json!({"id": id, "type": "invoke", "f": "frobnicate", "key": "x"});
            talk.send(&line.to_string()).await?;
        }
        for id in 100..120 {
            let line = in_time(talk.line()).await?;
            let said: Json = serde_json::from_str(&line)
                .map_err(|_| format!("the answer is no JSON: {}", cut(&line)))?;
            if said["id"] != json!(id) {
                return Err(format!("expected the answer to {id}, got {}", cut(&line)));
            }
        }
        Ok(())
    }
}

fn expect(said: &Said, kind: &str) -> Result<(), String> {
    match said.kind() {
        Some(own) if own == kind => Ok(()),
        _ => Err(format!("expected the type {kind:?}, got {}", cut(&said.0.to_string()))),
    }
}

/// What the command says that it understands; everything where it does not say.
fn known_functions(said: &Said) -> Vec<Function> {
    match said.0["functions"].as_array() {
        Some(names) => {
            names.iter().filter_map(|name| Function::from_name(name.as_str()?)).collect()
        }
        None => CASES.iter().map(|case| case.function).collect(),
    }
}

/// Equal; of lists with the same elements, as sets have no order.
fn alike(read: &Value, expected: &Value) -> bool {
    match (read.as_list(), expected.as_list()) {
        (Some(read), Some(expected)) => {
            let sorted = |items: &[Value]| {
                let mut items = items.to_vec();
                items.sort();
                items
            };
            sorted(read) == sorted(expected)
        }
        _ => read == expected,
    }
}

/// What must come of a step.
enum Expected {
    Ok,
    Fails,
    Reads(Value),
}

struct Case {
    function: Function,
    about: &'static str,
    steps: fn(&Value) -> Vec<(Op, Expected)>,
}

const CASES: &[Case] = &[
    Case {
        function: Function::Write,
        about: "what was written is read",
        steps: |key| {
            let text = Value::text("line\nbreak, 'quotes', \"more\", é");
            vec![
                (Op::read(key.clone()), Expected::Reads(Value::Null)),
                (Op::write(key.clone(), text.clone()), Expected::Ok),
                (Op::read(key.clone()), Expected::Reads(text)),
                (Op::write(key.clone(), Value::Int(2)), Expected::Ok),
                (Op::read(key.clone()), Expected::Reads(Value::Int(2))),
            ]
        },
    },
    Case {
        function: Function::Cas,
        about: "it sets what it expects and fails else",
        steps: |key| {
            let cas = |old, new| Op::cas(key.clone(), old, Value::Int(new));
            vec![
                (cas(Value::Int(1), 2), Expected::Fails),
                (Op::write(key.clone(), Value::Int(1)), Expected::Ok),
                (cas(Value::Int(7), 8), Expected::Fails),
                (cas(Value::Int(1), 2), Expected::Ok),
                (Op::read(key.clone()), Expected::Reads(Value::Int(2))),
            ]
        },
    },
    Case {
        function: Function::Append,
        about: "what was appended is read in its order",
        steps: |key| {
            let append = |value| Op::single(Function::Append, key.clone(), Value::Int(value));
            vec![
                (append(1), Expected::Ok),
                (append(2), Expected::Ok),
                (Op::read(key.clone()), Expected::Reads(Value::list([1, 2].map(Value::Int)))),
            ]
        },
    },
    Case {
        function: Function::Add,
        about: "what was added is read",
        steps: |key| {
            let add = |value| Op::single(Function::Add, key.clone(), Value::Int(value));
            vec![
                (add(1), Expected::Ok),
                (add(2), Expected::Ok),
                (Op::read(key.clone()), Expected::Reads(Value::list([1, 2].map(Value::Int)))),
            ]
        },
    },
    Case {
        function: Function::Increment,
        about: "sums are read",
        steps: |key| {
            let add = |value| Op::single(Function::Increment, key.clone(), Value::Int(value));
            vec![
                (add(3), Expected::Ok),
                (add(-1), Expected::Ok),
                (Op::read(key.clone()), Expected::Reads(Value::Int(2))),
            ]
        },
    },
    Case {
        function: Function::Enqueue,
        about: "what came first goes first",
        steps: |key| {
            let queue = |function, value| Op::single(function, key.clone(), value);
            vec![
                (queue(Function::Enqueue, Value::Int(1)), Expected::Ok),
                (queue(Function::Enqueue, Value::Int(2)), Expected::Ok),
                (queue(Function::Dequeue, Value::Null), Expected::Reads(Value::Int(1))),
                (queue(Function::Dequeue, Value::Null), Expected::Reads(Value::Int(2))),
                (queue(Function::Dequeue, Value::Null), Expected::Reads(Value::Null)),
            ]
        },
    },
    Case {
        function: Function::Txn,
        about: "its parts are answered in their order",
        steps: |key| {
            let mop = |function, value| Mop { function, key: key.clone(), value };
            let read = || mop(Function::Read, Value::Null);
            let write = |value| mop(Function::Write, Value::Int(value));
            vec![
                (Op::txn(vec![read(), write(1), write(2)]), Expected::Reads(Value::Null)),
                (Op::txn(vec![read(), write(3), read()]), Expected::Reads(Value::Int(2))),
                (Op::read(key.clone()), Expected::Reads(Value::Int(3))),
            ]
        },
    },
];
