//! Reads Jepsen's EDN: one map a line, or one vector or list around them all.
//!
//! What is guessed, and how it stays sound:
//! - `[k v]` values of `jepsen.independent` print like any pair. A history is keyed if every
//!   invocation of a client that is no transaction has a pair as its value, every read is invoked
//!   with `[k nil]`, every `cas` with `[k [old new]]`, every `ok` has the key of its invocation, and
//!   there is at least one such read or `cas`.
//! - Micro-operations `[[:r k nil] …]` make a transaction, whatever `:f` says.
//! - A value on an invoked read is a hint for drawing and is not used.
//! - The value of a completion that is `:info` or `:fail` is not used: clients put reasons there.
//! - Reads that return sets make the writes of the history additions to a set.
//! - Without any `:process` each operation is its own client, and a completion that fits two open
//!   operations is an error.
//! - Times may run backwards, be -1 or be missing: the order of the lines is the order of events.

use rustc_hash::FxHashSet;

use crate::history::builder::{is_unknown, returns};
use crate::history::edn_fields::{Fields, Who, function, opening, operations};
use crate::history::edn_lines::{Scanned, map_end, scan};
use crate::history::edn_scan::{Atom, Contents, Edn, RawValue, Slot};
use crate::history::jsonl::{self, list};
use crate::history::nemesis::{Nemesis, NemesisLine};
use crate::history::parts::{cut, in_order};
use crate::history::read::Flaw;
use crate::history::shape::{self, Telling};
use crate::history::{Access, Builder, History, KeyId, Line, ValueId};
use crate::model::{FaultId, Function, Kind, Nanos, Process, Value};

/// Reads a whole file.
pub(super) fn read(text: &str) -> Result<History, Flaw> {
    let mut guess = Guess { is_keyed: true, writes_add: false };
    loop {
        let mut reader = Reader::new(guess);
        match reader.all(text) {
            Ok(()) => match reader.contradiction() {
                None => return jsonl::finish(reader.builder, text),
                Some(better) => guess = better,
            },
            Err(Stop::Flaw(flaw)) => return Err(flaw),
            Err(Stop::Again(better)) => guess = better,
        }
    }
}

/// What is assumed of a history before the whole of it has been seen. A pass that meets a
/// contradiction stops; each assumption is given up at most once, so there are at most three.
#[derive(Clone, Copy)]
struct Guess {
    is_keyed: bool,
    writes_add: bool,
}

enum Stop {
    Flaw(Flaw),
    Again(Guess),
}

/// Why reading on all cores ended.
enum Halt {
    Stop(Stop),
    /// The part that begins here is not made of whole maps alone.
    At(usize),
}

impl From<Flaw> for Stop {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

/// An open operation of a history without processes.
struct Nameless {
    process: Process,
    function: Function,
    accesses: Vec<Access>,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts about the history so far")]
struct Reader {
    guess: Guess,
    builder: Builder,
    nemesis: Nemesis,
    accesses: Vec<Access>,
    last_time: u64,
    jumped: bool,
    /// A read or `cas` that only a keyed history has was seen.
    has_evidence: bool,
    /// A value was taken apart into key and value.
    has_tuples: bool,
    has_mops: bool,
    has_writes: bool,
    has_sets: bool,
    /// Whether operations have processes; the first one decides.
    has_processes: Option<bool>,
    nameless: Vec<Nameless>,
    nameless_count: u32,
    /// Processes whose open operation is a transaction that `:f` calls something else.
    txns: FxHashSet<u32>,
}

impl Reader {
    fn new(guess: Guess) -> Self {
        let mut builder = Builder::new();
        builder.allow_time_jumps();
        Self {
            guess,
            builder,
            nemesis: Nemesis::default(),
            accesses: Vec::new(),
            last_time: 0,
            jumped: false,
            has_evidence: false,
            has_tuples: false,
            has_mops: false,
            has_writes: false,
            has_sets: false,
            has_processes: None,
            nameless: Vec::new(),
            nameless_count: 0,
            txns: FxHashSet::default(),
        }
    }

    /// Reads a file of maps on all cores, up to the first part that has anything else, such as the end of
    /// a vector around them; the rest as it comes.
    fn all(&mut self, text: &str) -> Result<(), Stop> {
        let mut edn = Edn::new(text);
        let around = opening(&mut edn)?;
        let parts = cut(text, edn.at, map_end);
        let take = |scanned: Scanned<'_>| {
            let Scanned { start, fields, is_whole, ints, mops, elements } = scanned;
            if !is_whole {
                return Err(Halt::At(start));
            }
            let mut from = [0; 3];
            for (fields, to) in fields {
                let contents = Contents {
                    ints: &ints[from[0]..to[0]],
                    mops: &mops[from[1]..to[1]],
                    elements: &elements[from[2]..to[2]],
                };
                self.add(text, contents, fields).map_err(Halt::Stop)?;
                from = to;
            }
            Ok(())
        };
        match in_order(&parts, |part| scan(text, part), take) {
            Ok(()) => edn.at = text.len(),
            Err(Halt::At(at)) => edn.at = at,
            Err(Halt::Stop(stop)) => return Err(stop),
        }
        operations(&mut edn, around, |edn, fields| self.add(text, edn.contents(), fields))
    }

    /// A better guess, if the end of the history contradicts this one.
    fn contradiction(&self) -> Option<Guess> {
        let is_unfounded = self.has_tuples && !self.has_evidence;
        is_unfounded.then_some(Guess { is_keyed: false, ..self.guess })
    }

    fn not_keyed(&self) -> Stop {
        Stop::Again(Guess { is_keyed: false, ..self.guess })
    }

    fn add(
        &mut self,
        text: &str,
        contents: Contents<'_, '_>,
        mut fields: Fields<'_>,
    ) -> Result<(), Stop> {
        let time = self.time(text, &fields);
        let value = std::mem::replace(&mut fields.value, Slot::Absent);
        if let Who::Other(process) = fields.process {
            let line = NemesisLine {
                index: fields.index,
                time,
                name: fields.function.map_or(process, |(name, _)| name),
                value: whole_value(contents, value),
                id: fields.fault.map(FaultId),
                begins: fields.begins,
            };
            let added = self.nemesis.line(&mut self.builder, line);
            return added.map_err(|malformed| Flaw::new(fields.start, malformed).into());
        }
        let function = self.function(&fields, &value)?;
        let telling = Telling { kind: fields.kind, is_whole: false };
        self.accesses.clear();
        if !telling.only_ends() {
            self.note_sets(function, fields.kind, &value)?;
            self.take_value(contents, &fields, telling, function, value)?;
        }
        let function = self.effective(function);
        let process = match fields.process {
            Who::Client(_) if self.has_processes == Some(false) => {
                let what = "a :process; expected none, as in the lines above";
                return Err(Flaw::new(fields.start, what).into());
            }
            Who::Client(process) => {
                self.has_processes = Some(true);
                Process(process)
            }
            _ => self.nameless(&fields, function)?,
        };
        let line = Line {
            index: fields.index,
            time,
            process,
            kind: fields.kind,
            function,
            session: fields.session,
            node: fields.node.as_ref().and_then(Value::as_text).map(|node| self.builder.node(node)),
            version: fields.version,
            is_final: fields.is_final,
        };
        let txn = self
            .builder
            .line(line, &self.accesses)
            .map_err(|malformed| Flaw::new(fields.start, malformed))?;
        self.builder.waited(txn, fields.waited);
        if let Some(error) = &fields.error
            && fields.kind != Kind::Ok
        {
            self.builder.error(txn, &error.to_string());
        }
        Ok(())
    }

    /// The time of a line; that of the line above where it is unknown.
    fn time(&mut self, text: &str, fields: &Fields<'_>) -> Nanos {
        let Some(time) = fields.time else { return Nanos(self.last_time) };
        if time < self.last_time && !self.jumped {
            self.jumped = true;
            let line = 1 + text[..fields.start].bytes().filter(|byte| *byte == b'\n').count();
            self.builder.warn(format!(
                "line {line}: time runs backwards; the order of the lines is taken as the order of events"
            ));
        }
        self.last_time = self.last_time.max(time);
        Nanos(time)
    }

    /// What an operation is: what it is called, or a transaction if it is made of micro-operations.
    fn function(&mut self, fields: &Fields<'_>, value: &Slot) -> Result<Function, Flaw> {
        let called = fields.function.map(function).transpose()?;
        let process = if let Who::Client(process) = fields.process { Some(process) } else { None };
        let is_open_txn = process.is_some_and(|process| self.txns.contains(&process));
        let is_txn = match fields.kind {
            Kind::Invoke => matches!(value, Slot::Mops),
            _ => is_open_txn || (process.is_none() && matches!(value, Slot::Mops)),
        };
        if is_txn && called != Some(Function::Txn) {
            if let Some(process) = process {
                if fields.kind == Kind::Invoke {
                    self.txns.insert(process);
                } else {
                    self.txns.remove(&process);
                }
            }
            return Ok(Function::Txn);
        }
        called.ok_or_else(|| {
            Flaw::new(fields.start, "missing field :f; expected the name of a function")
        })
    }

    /// What a function is in a history whose reads return sets.
    fn effective(&self, function: Function) -> Function {
        let is_set = self.guess.writes_add && function == Function::Write;
        if is_set { Function::Add } else { function }
    }

    fn note_sets(&mut self, function: Function, kind: Kind, value: &Slot) -> Result<(), Stop> {
        self.has_writes |= function == Function::Write;
        self.has_sets |=
            function == Function::Read && kind == Kind::Ok && matches!(value, Slot::Set(_));
        if self.has_writes && self.has_sets && !self.guess.writes_add {
            return Err(Stop::Again(Guess { writes_add: true, ..self.guess }));
        }
        Ok(())
    }

    /// Turns the value of a line into micro-operations.
    fn take_value(
        &mut self,
        contents: Contents<'_, '_>,
        fields: &Fields<'_>,
        telling: Telling,
        function: Function,
        value: Slot,
    ) -> Result<(), Stop> {
        let wrong = |what: String| Flaw::new(fields.value_at, what);
        if let Slot::Mops = value {
            if function != Function::Txn {
                return Err(wrong(format!(
                    "a transaction's value for {}; expected that of its invocation",
                    function.name()
                ))
                .into());
            }
            self.has_mops = true;
            if self.has_tuples {
                return Err(self.not_keyed());
            }
            self.mops(contents, fields.kind);
            return Ok(());
        }
        let function = self.effective(function);
        let tuple = match &fields.key {
            None => self.tuple(contents, telling, function, &value)?,
            Some(_) => None,
        };
        let Some((key, value)) = tuple else {
            let key = if shape::needs_key(telling, function) {
                self.builder.key(fields.key.as_ref().unwrap_or(&Value::Null))
            } else {
                shape::NO_KEY
            };
            let value = match value {
                Slot::Ints => {
                    return self
                        .ints(contents, telling, function, key)
                        .map_err(|what| wrong(what).into());
                }
                Slot::Absent => None,
                other => Some(whole_value(contents, other)),
            };
            return self
                .accesses_of(telling, function, key, value.as_ref())
                .map_err(|what| wrong(what).into());
        };
        let key = self.builder.key(&key);
        self.accesses_of(telling, function, key, Some(&value)).map_err(|what| wrong(what).into())
    }

    fn accesses_of(
        &mut self,
        telling: Telling,
        function: Function,
        key: KeyId,
        value: Option<&Value>,
    ) -> Result<(), String> {
        shape::accesses(&mut self.builder, telling, function, key, value, &mut self.accesses)
    }

    /// A vector of integers: a pair for `cas`, a list read.
    fn ints(
        &mut self,
        contents: Contents<'_, '_>,
        telling: Telling,
        function: Function,
        key: KeyId,
    ) -> Result<(), String> {
        match (function, contents.ints) {
            (Function::Cas, [Some(old), Some(new)]) => {
                let (old, new) = (self.builder.int_value(*old), self.builder.int_value(*new));
                shape::update(key, old, new, &mut self.accesses);
                Ok(())
            }
            (_, ints) => self.accesses_of(telling, function, key, Some(&list(ints))),
        }
    }

    /// The key and the value of a `[k v]` tuple; `None` if the history is not keyed.
    fn tuple(
        &mut self,
        contents: Contents<'_, '_>,
        telling: Telling,
        function: Function,
        value: &Slot,
    ) -> Result<Option<(Value, Value)>, Stop> {
        if !self.guess.is_keyed {
            return Ok(None);
        }
        let pair = match value {
            Slot::Ints => match contents.ints {
                [Some(key), value] => {
                    Some((Value::Int(*key), value.map_or(Value::Null, Value::Int)))
                }
                _ => None,
            },
            Slot::Other(Value::List(items)) => match &**items {
                [key, value] if *key != Value::Null => Some((key.clone(), value.clone())),
                _ => None,
            },
            _ => None,
        };
        let Some((key, value)) = pair else { return Err(self.not_keyed()) };
        let is_pair = value.as_list().is_some_and(|items| items.len() == 2);
        let fits = match (function, telling.kind) {
            (Function::Cas, _) => is_pair,
            (Function::Txn, _) => false,
            (function, Kind::Invoke) if returns(function) => value == Value::Null,
            _ => true,
        };
        if !fits || self.has_mops {
            return Err(self.not_keyed());
        }
        self.has_tuples = true;
        self.has_evidence |=
            telling.kind == Kind::Invoke && matches!(function, Function::Read | Function::Cas);
        Ok(Some((key, value)))
    }

    fn mops(&mut self, contents: Contents<'_, '_>, kind: Kind) {
        for mop in contents.mops {
            let key = match mop.key {
                Atom::Int(n) => self.builder.key(&Value::Int(n)),
                Atom::Word(word) => self.builder.text_key(word),
            };
            let value = match &mop.value {
                // The value of an invoked read is a hint.
                _ if is_unknown(kind, Function::Txn, mop.function) => ValueId::UNKNOWN,
                RawValue::Nil => ValueId::NULL,
                RawValue::Int(n) => self.builder.int_value(*n),
                RawValue::Ints(from, length) => contents.elements[*from..from + length]
                    .iter()
                    .fold(ValueId::EMPTY, |prefix, n| {
                        let last = self.builder.int_value(*n);
                        self.builder.append_value(prefix, last)
                    }),
                RawValue::Other(value) => self.builder.value(value),
            };
            self.accesses.push(Access { function: mop.function, key, value });
        }
    }

    /// The process of an operation whose line names none.
    fn nameless(&mut self, fields: &Fields<'_>, function: Function) -> Result<Process, Flaw> {
        let flaw = |what: &str| Flaw::new(fields.start, what);
        if *self.has_processes.get_or_insert(false) {
            return Err(flaw("missing field :process; expected one, as in the lines above"));
        }
        if fields.kind == Kind::Invoke {
            let process = Process(self.nameless_count);
            self.nameless_count += 1;
            let accesses = self.accesses.clone();
            self.nameless.push(Nameless { process, function, accesses });
            return Ok(process);
        }
        let fits = |open: &Nameless| {
            let same = |(one, other): (&Access, &Access)| {
                one.function == other.function
                    && one.key == other.key
                    && (returns(one.function) || one.value == other.value)
            };
            let is_told = fields.kind == Kind::Ok;
            open.function == function
                && (!is_told
                    || open.accesses.len() == self.accesses.len()
                        && open.accesses.iter().zip(&self.accesses).all(same))
        };
        let mut fitting = (0..self.nameless.len()).filter(|at| fits(&self.nameless[*at]));
        match (fitting.next(), fitting.next()) {
            (None, _) => Err(flaw("completion without invocation: no open operation fits it")),
            (Some(at), None) => Ok(self.nameless.remove(at).process),
            _ => Err(flaw(
                "a completion without :process fits two open operations; expected :process",
            )),
        }
    }
}

/// The value of a slot as a whole.
fn whole_value(contents: Contents<'_, '_>, slot: Slot) -> Value {
    match slot {
        Slot::Absent | Slot::Nil => Value::Null,
        Slot::Int(n) => Value::Int(n),
        Slot::Ints => list(contents.ints),
        Slot::Set(value) | Slot::Other(value) => value,
        Slot::Mops => Value::list(contents.mops.iter().map(|mop| {
            let key = match mop.key {
                Atom::Int(n) => Value::Int(n),
                Atom::Word(word) => Value::text(word),
            };
            let value = match &mop.value {
                RawValue::Nil => Value::Null,
                RawValue::Int(n) => Value::Int(*n),
                RawValue::Ints(from, length) => Value::list(
                    contents.elements[*from..from + length].iter().map(|n| Value::Int(*n)),
                ),
                RawValue::Other(value) => value.clone(),
            };
            Value::list([Value::text(mop.function.name()), key, value])
        })),
    }
}
