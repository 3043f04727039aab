//! A command of the user's own that speaks for a store: JSON lines on its input and output, in any
//! language. `workloads/targets/process.md` is the protocol for whoever writes one.
//!
//! Each client has a process of its own, started with the first operation and told where its node is.
//! It is asked one thing at a time. What it answers is what it says: `ok`, `fail` or `info`. Besides:
//!
//! - **fail**: the process could not be started or did not say in time that it is ready: nothing was
//!   asked. A read that was not answered.
//! - **info**: the process died, kept silent, or answered something else, in the middle of an operation
//!   that writes. It is killed, and the next client starts a new one.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::model::{Function, Invocation, Mop, Op, Outcome, Process, Value};
use crate::target::client::{Answer, Answering, Client, unanswered};
use crate::target::config::TargetConfig;
use crate::target::filling::learns;
use crate::target::stores::{Adapter, Asking, Object, Probe, ProcessOptions, Site};

/// An answer is read up to this length.
const LINE_BYTES_MAX: usize = 16 << 20;

/// What all clients of a target share.
pub(super) struct ProcessAdapter {
    site: Site,
    options: ProcessOptions,
}

impl ProcessAdapter {
    pub(super) fn new(config: &TargetConfig) -> Result<Self, String> {
        let options = config.process.as_ref().map(|options| options.get_ref().clone());
        let options = options.ok_or("there is no section [process]")?;
        Ok(Self { site: Site::new(config), options })
    }

    async fn start(&self, node: &Arc<str>, process: Option<Process>) -> Result<Talk, String> {
        let address = self.site.address(node)?;
        let nodes: serde_json::Map<String, Json> =
            self.site.addresses.iter().map(|(name, at)| (name.to_string(), json!(at))).collect();
        let first = json!({
            "type": "init",
            "version": 1,
            "node": **node,
            "address": address,
            "nodes": nodes,
            "process": process.map(|process| process.0),
            "run": self.site.run,
        });
        let mut talk = Talk::start(&self.options.command)?;
        let limit = self.site.connect_timeout;
        let answered = tokio::time::timeout(limit, talk.ask(first)).await;
        let answer = answered.map_err(|_| {
            format!("the process is not ready within {} ms{}", limit.as_millis(), talk.last_words())
        })??;
        match answer.kind() {
            Some("ok") => Ok(talk),
            _ => Err(format!("the process is not ready: {}", answer.error())),
        }
    }
}

impl Adapter for ProcessAdapter {
    fn client(self: Arc<Self>, name: Process, node: &Arc<str>) -> Result<Box<dyn Client>, String> {
        Ok(Box::new(ProcessClient { adapter: self, node: node.clone(), name, talk: None }))
    }

    fn probe(self: Arc<Self>, node: &Arc<str>) -> Result<Box<dyn Probe>, String> {
        Ok(Box::new(ProcessProbe { adapter: self, node: node.clone(), talk: None }))
    }

    fn knows_primaries(&self) -> bool {
        self.options.primary
    }
}

/// One process at one node.
struct ProcessClient {
    adapter: Arc<ProcessAdapter>,
    node: Arc<str>,
    name: Process,
    talk: Option<Talk>,
}

impl Client for ProcessClient {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        Box::pin(self.answer(invocation))
    }
}

impl ProcessClient {
    async fn answer(&mut self, invocation: &Invocation) -> Answer {
        let mut talk = match self.talk.take() {
            Some(talk) => talk,
            None => match self.adapter.start(&self.node, Some(self.name)).await {
                Ok(talk) => talk,
                Err(why) => return Outcome::Fail(why).into(),
            },
        };
        let op = &invocation.op;
        let said = match talk.ask(question(op, invocation.is_final)).await {
            Ok(said) => said,
            // With the talk goes the process.
            Err(why) => return unanswered(op, why).into(),
        };
        self.talk = Some(talk);
        let outcome = match said.kind() {
            Some("ok") => match said.mops(op) {
                Ok(mut mops) => {
                    if self.adapter.site.object(op) == Object::Bank {
                        for mop in &mut mops {
                            number_accounts(&mut mop.value);
                        }
                    }
                    Outcome::Ok(mops)
                }
                Err(why) => unanswered(op, why),
            },
            Some("fail") => Outcome::Fail(said.error()),
            Some("info") => unanswered(op, said.error()),
            other => unanswered(op, format!("the process answers with the type {other:?}")),
        };
        Answer { outcome, version: said.0["version"].as_i64() }
    }
}

/// The accounts of a bank are numbers, which JSON can only write as text where they are keys.
fn number_accounts(value: &mut Value) {
    let Value::Map(entries) = value else { return };
    let numbered = entries.iter().map(|(account, balance)| {
        let number = account.as_text().and_then(|text| text.parse().ok());
        (number.map_or_else(|| account.clone(), Value::Int), balance.clone())
    });
    *value = Value::Map(numbered.collect());
}

/// An operation as the process is asked for it.
pub(super) fn question(op: &Op, is_final: bool) -> Json {
    let f = op.function.name();
    let single = |value: &Value| json!({"type": "invoke", "f": f, "key": op.key(), "value": value});
    let mut question = match (op.function, &op.mops[..]) {
        (Function::Txn, mops) => {
            let parts = mops.iter().map(|mop| json!([mop.function.name(), mop.key, mop.value]));
            json!({"type": "invoke", "f": f, "value": parts.collect::<Vec<_>>()})
        }
        (Function::Cas, [old, new]) => {
            json!({"type": "invoke", "f": f, "key": op.key(), "value": [old.value, new.value]})
        }
        (_, [.., last]) => single(&last.value),
        (_, []) => single(&Value::Null),
    };
    if is_final {
        question["final"] = json!(true);
    }
    question
}

/// A line of the process.
#[derive(Debug)]
pub(super) struct Said(pub(super) Json);

impl Said {
    pub(super) fn kind(&self) -> Option<&str> {
        self.0["type"].as_str()
    }

    fn error(&self) -> String {
        self.0["error"].as_str().unwrap_or("the process does not say why").to_owned()
    }

    fn value(&self) -> Result<Value, String> {
        serde_json::from_value(self.0["value"].clone()).map_err(|error| error.to_string())
    }

    /// The micro-operations with what was read in place of what was not yet known.
    pub(super) fn mops(&self, op: &Op) -> Result<Vec<Mop>, String> {
        let mut mops = op.mops.clone();
        let lacks = || "the answer lacks the `value` that was read".to_owned();
        match op.function {
            Function::Cas => {}
            Function::Txn => {
                let parts = self.0["value"].as_array().ok_or_else(lacks)?;
                if parts.len() != mops.len() {
                    return Err(format!("{} parts in the answer to {}", parts.len(), mops.len()));
                }
                for (mop, part) in
                    mops.iter_mut().zip(parts).filter(|(mop, _)| learns(mop.function))
                {
                    let value = part.get(2).ok_or_else(lacks)?.clone();
                    mop.value = serde_json::from_value(value).map_err(|error| error.to_string())?;
                }
            }
            function => {
                let mop = mops.first_mut().ok_or("no operation")?;
                if learns(function) || mop.function == Function::Read {
                    self.0.get("value").ok_or_else(lacks)?;
                    mop.value = self.value()?;
                }
            }
        }
        Ok(mops)
    }
}

/// A process that is talked to. It is killed when this is dropped.
pub(super) struct Talk {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The last lines it printed as errors.
    complaints: Arc<Mutex<VecDeque<String>>>,
    next_id: u64,
}

impl Talk {
    pub(super) fn start(command: &str) -> Result<Self, String> {
        let mut shell = Command::new("sh");
        // The shell gives way to the command, so that the command itself is killed.
        shell.arg("-c").arg(format!("exec {command}"));
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell.kill_on_drop(true);
        // Ctrl-C is for rashomon: it ends its processes when it has healed.
        #[cfg(unix)]
        shell.process_group(0);
        let mut child = shell.spawn().map_err(|error| format!("cannot run sh: {error}"))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err("the process has no pipes".to_owned());
        };
        let complaints = Arc::new(Mutex::new(VecDeque::new()));
        let heard = complaints.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(errors).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(mut heard) = heard.lock() else { return };
                heard.push_back(line);
                if heard.len() > 3 {
                    heard.pop_front();
                }
            }
        });
        Ok(Self { child, input, output: BufReader::new(output), complaints, next_id: 0 })
    }

    /// Asks and waits for the answer, which bears the same `id`.
    pub(super) async fn ask(&mut self, mut question: Json) -> Result<Said, String> {
        let id = self.next_id;
        self.next_id += 1;
        question["id"] = json!(id);
        self.send(&question.to_string()).await?;
        let line = self.line().await?;
        let said = serde_json::from_str(&line).map(Said);
        let said = said.map_err(|_| format!("the process answers with no JSON: {}", cut(&line)))?;
        match &said.0["id"] {
            answered if *answered == json!(id) => Ok(said),
            other => Err(format!("the process was asked {id} and answers {other}")),
        }
    }

    pub(super) async fn send(&mut self, line: &str) -> Result<(), String> {
        let line = format!("{line}\n");
        let sent = self.input.write_all(line.as_bytes()).await;
        sent.map_err(|_| format!("the process does not listen{}", self.last_words()))
    }

    pub(super) async fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        loop {
            let piece = self.output.fill_buf().await;
            let piece = piece.map_err(|error| format!("the process cannot be read: {error}"))?;
            let end = piece.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(piece.len(), |end| end + 1);
            if taken == 0 {
                // What it complained of comes on another pipe; give that a moment.
                let _ = tokio::time::timeout(Duration::from_millis(100), self.child.wait()).await;
                return Err(format!("the process has ended{}", self.last_words()));
            }
            line.extend_from_slice(&piece[..taken]);
            self.output.consume(taken);
            if end.is_some() {
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if line.len() > LINE_BYTES_MAX {
                return Err("the answer is longer than 16 MiB".to_owned());
            }
        }
    }

    /// Closes its input and waits for its end.
    pub(super) async fn end(mut self) -> bool {
        drop(self.input);
        self.child.wait().await.is_ok()
    }

    /// The last of what it printed as errors, to be put behind a message.
    pub(super) fn last_words(&self) -> String {
        let Ok(heard) = self.complaints.lock() else { return String::new() };
        let words = heard.iter().map(String::as_str).collect::<Vec<_>>().join(" / ");
        if words.is_empty() { words } else { format!(": {}", cut(&words)) }
    }
}

/// The beginning of a text, for people.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Asks a node how it is, through a process of its own.
struct ProcessProbe {
    adapter: Arc<ProcessAdapter>,
    node: Arc<str>,
    talk: Option<Talk>,
}

impl Probe for ProcessProbe {
    /// A process that says `ok` to `init` is ready.
    fn ready(&mut self) -> Asking<'_, Result<(), String>> {
        Box::pin(async {
            let talk = self.adapter.start(&self.node, None).await?;
            self.talk = self.adapter.options.primary.then_some(talk);
            Ok(())
        })
    }

    fn leads(&mut self) -> Asking<'_, Option<u64>> {
        Box::pin(async {
            let mut talk = match self.talk.take() {
                Some(talk) => talk,
                None => self.adapter.start(&self.node, None).await.ok()?,
            };
            let said = talk.ask(json!({"type": "primary"})).await.ok()?;
            self.talk = Some(talk);
            match &said.0["value"] {
                Json::Bool(true) if said.kind() == Some("ok") => Some(0),
                term if said.kind() == Some("ok") => term.as_u64(),
                _ => None,
            }
        })
    }
}
