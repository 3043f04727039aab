//! Reads the text log of Jepsen's early etcd test: `INFO  jepsen.util - 0  :invoke  :cas  [1 2]`.
//!
//! It is one compare-and-set register. There are no times; the order of the lines is the order of
//! events. Lines of the nemesis are faults.

use crate::history::edn_fields::{self, Who};
use crate::history::edn_scan::{Edn, Slot};
use crate::history::jsonl::{self, list};
use crate::history::nemesis::{Nemesis, NemesisLine};
use crate::history::read::Flaw;
use crate::history::shape::{self, Telling};
use crate::history::{Builder, History, Line};
use crate::model::{Nanos, Process, Value};

/// Reads a whole file.
pub(super) fn read(text: &str) -> Result<History, Flaw> {
    let mut builder = Builder::new();
    let mut nemesis = Nemesis::default();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if !line.trim().is_empty() {
            entry(&mut builder, &mut nemesis, line)
                .map_err(|flaw| Flaw { at: start + flaw.at, what: flaw.what })?;
        }
        start += line.len();
    }
    jsonl::finish(builder, text)
}

fn entry(builder: &mut Builder, nemesis: &mut Nemesis, line: &str) -> Result<(), Flaw> {
    let mut words = line.split_ascii_whitespace();
    if [words.next(), words.next(), words.next()] != [Some("INFO"), Some("jepsen.util"), Some("-")]
    {
        return Err(Flaw::new(
            0,
            "a line of something else; expected INFO  jepsen.util - process …",
        ));
    }
    let dash = line.find(" - ").map_or(line.len(), |at| at + 3);
    let mut edn = Edn::new(line);
    edn.at = dash;
    edn.blanks()?;
    let process = edn_fields::who(&mut edn)?;
    edn.blanks()?;
    let at = edn.at;
    let kind = edn_fields::kind(edn.keyword("a type: :invoke, :ok, :fail or :info")?, at)?;
    edn.blanks()?;
    let at = edn.at;
    let name = edn.keyword("the name of a function")?;
    edn.blanks()?;
    let value_at = edn.at;
    let slot = if edn.peek().is_none() { Slot::Absent } else { edn.slot()? };
    edn.blanks()?;
    if edn.peek().is_some() {
        return edn.unexpected("the end of the line after the value");
    }
    let value = match slot {
        Slot::Absent => None,
        Slot::Nil => Some(Value::Null),
        Slot::Int(n) => Some(Value::Int(n)),
        Slot::Ints => Some(list(&edn.ints)),
        Slot::Set(value) | Slot::Other(value) => Some(value),
        Slot::Mops => {
            return Err(Flaw::new(value_at, "a transaction; expected the value of a register"));
        }
    };
    let malformed = |malformed| Flaw::new(0, malformed);
    let process = match process {
        Who::Client(process) => Process(process),
        Who::Nobody => return Err(Flaw::new(dash, "no process; expected a whole number")),
        Who::Other(_) => {
            let value = value.unwrap_or(Value::Null);
            let line =
                NemesisLine { index: None, time: Nanos(0), name, value, id: None, begins: None };
            return nemesis.line(builder, line).map_err(malformed);
        }
    };
    let function = edn_fields::function((name, at))?;
    let telling = Telling { kind, is_whole: false };
    let mut accesses = Vec::new();
    // `:info :cas :timed-out` gives the reason where the value was.
    if !telling.only_ends() {
        let key = builder.key(&Value::Null);
        shape::accesses(builder, telling, function, key, value.as_ref(), &mut accesses)
            .map_err(|what| Flaw::new(value_at, what))?;
    }
    let line = Line {
        index: None,
        time: Nanos(0),
        process,
        kind,
        function,
        session: None,
        node: None,
        version: None,
        is_final: false,
    };
    let txn = builder.line(line, &accesses).map_err(malformed)?;
    if let (true, Some(Value::Text(reason))) = (telling.only_ends(), value) {
        builder.error(txn, &reason);
    }
    Ok(())
}
