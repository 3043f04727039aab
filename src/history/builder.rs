//! Pairs invocations with completions and fills the columns.

mod faults;
mod malformed;
mod names;
mod operation_form;

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::history::columns::{GivenUp, NO_NODE};
use crate::history::datatype::{Sightings, datatypes};
use crate::history::numbers::Numbers;
use crate::history::{Access, Datatype, Header, History, KeyId, NodeId, Rank, ValueId, Values};
use crate::model::{Event, Function, Kind, Nanos, Op, Process, Value, What};

pub use malformed::Malformed;

/// One line of a history in event form, without its micro-operations.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Its index in the file; the number of the line among all events if the file has none.
    pub index: Option<u32>,
    /// When it was recorded.
    pub time: Nanos,
    /// Who.
    pub process: Process,
    /// Invocation, or how it ended.
    pub kind: Kind,
    /// What the client called the operation.
    pub function: Function,
    /// The session, if it is not the process.
    pub session: Option<u32>,
    /// The node contacted.
    pub node: Option<NodeId>,
    /// The version the store gave.
    pub version: Option<i64>,
    /// A read after quiescence.
    pub is_final: bool,
}

/// One whole operation (the operation form of the specification, 1.1), without its micro-operations.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its index in the file.
    pub index: Option<u32>,
    /// Who.
    pub process: Process,
    /// How it ended; `Invoke` is an error.
    pub kind: Kind,
    /// What the client called it.
    pub function: Function,
    /// When it was invoked.
    pub invoked: Nanos,
    /// When it returned; `None` if it never did.
    pub returned: Option<Nanos>,
    /// The session, if it is not the process.
    pub session: Option<u32>,
    /// The node contacted.
    pub node: Option<NodeId>,
    /// The version the store gave.
    pub version: Option<i64>,
    /// A read after quiescence.
    pub is_final: bool,
}

/// Builds a [`History`], a line or an operation at a time; one history takes one form.
pub struct Builder {
    history: History,
    key_ids: FxHashMap<Value, KeyId>,
    text_key_ids: FxHashMap<Box<str>, KeyId>,
    node_ids: FxHashMap<Arc<str>, NodeId>,
    session_ids: Numbers,
    /// The open transaction of each process.
    open: Numbers,
    lines: u32,
    events: u32,
    last_index: Option<u32>,
    last_time: Nanos,
    time_may_jump: bool,
    indices: FxHashSet<u32>,
    operation_form: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl AsMut<Builder> for Builder {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

impl Builder {
    /// An empty history.
    pub fn new() -> Self {
        let history =
            History { values: Values::new(), first_access: vec![0], ..History::default() };
        Self {
            history,
            key_ids: FxHashMap::default(),
            text_key_ids: FxHashMap::default(),
            node_ids: FxHashMap::default(),
            session_ids: Numbers::default(),
            open: Numbers::default(),
            lines: 0,
            events: 0,
            last_index: None,
            last_time: Nanos(0),
            time_may_jump: false,
            indices: FxHashSet::default(),
            operation_form: false,
        }
    }

    /// Accepts times that run backwards: some foreign recorders stamp an event before they queue
    /// it. The order of the lines is the order of events either way.
    pub fn allow_time_jumps(&mut self) {
        self.time_may_jump = true;
    }

    /// What is known before the first event.
    pub fn header(&mut self, header: Header) {
        for node in &header.nodes {
            self.node(node);
        }
        self.history.header = Some(header);
    }

    /// Notes something odd that makes nothing unreadable.
    pub fn warn(&mut self, warning: String) {
        self.history.warnings.push(warning);
    }

    /// Adds an event as the recorder has it.
    pub fn event(&mut self, event: &Event) -> Result<(), Malformed> {
        match &event.what {
            What::Fault(fault) => self.fault(None, event.time, fault),
            What::Client(client) => {
                let accesses = self.accesses(&client.op, client.kind);
                let node = client.node.as_deref().map(|node| self.node(node));
                let line = Line {
                    index: None,
                    time: event.time,
                    process: client.process,
                    kind: client.kind,
                    function: client.op.function,
                    session: client.session,
                    node,
                    version: client.version,
                    is_final: client.is_final,
                };
                let txn = self.line(line, &accesses)?;
                self.waited(txn, client.waited);
                if let Some(error) = &client.error {
                    self.error(txn, error);
                }
                Ok(())
            }
        }
    }

    /// Adds a whole operation and what it does.
    pub(super) fn whole(&mut self, operation: Operation, op: &Op) -> Result<u32, Malformed> {
        let accesses = self.accesses(op, operation.kind);
        self.operation(operation, &accesses)
    }

    fn accesses(&mut self, op: &Op, kind: Kind) -> Vec<Access> {
        op.mops
            .iter()
            .map(|mop| {
                let key = self.key(&mop.key);
                let value = if is_unknown(kind, op.function, mop.function) {
                    ValueId::UNKNOWN
                } else {
                    self.value(&mop.value)
                };
                Access { function: mop.function, key, value }
            })
            .collect()
    }

    /// Passes over a line that says nothing of the store but has an index and a time.
    pub fn skip(&mut self, index: Option<u32>, time: Nanos) -> Result<(), Malformed> {
        self.next_index(index)?;
        self.next_time(time)
    }

    fn next_index(&mut self, index: Option<u32>) -> Result<u32, Malformed> {
        if self.lines == u32::MAX - 16 {
            return Err(Malformed::TooLarge);
        }
        let index = index.unwrap_or(self.lines);
        match self.last_index {
            Some(last) if last == index => return Err(Malformed::DuplicateIndex(index)),
            Some(last) if last > index => {
                return Err(Malformed::IndexBackwards { before: last, now: index });
            }
            _ => {}
        }
        self.lines += 1;
        self.last_index = Some(index);
        Ok(index)
    }

    fn next_time(&mut self, time: Nanos) -> Result<(), Malformed> {
        if time >= self.last_time {
            self.last_time = time;
        } else if !self.time_may_jump {
            return Err(Malformed::TimeBackwards { before: self.last_time, now: time });
        }
        Ok(())
    }

    /// Adds a line. Reads that have not returned carry [`ValueId::UNKNOWN`]. Returns the number of
    /// the transaction that the line opens or closes.
    pub fn line(&mut self, line: Line, accesses: &[Access]) -> Result<u32, Malformed> {
        let index = self.next_index(line.index)?;
        self.next_time(line.time)?;
        let rank = self.events;
        self.events += 1;
        if line.kind == Kind::Invoke {
            self.invoke(index, rank, line, accesses)
        } else {
            self.complete(index, rank, line, accesses)
        }
    }

    fn invoke(
        &mut self,
        index: u32,
        rank: u32,
        line: Line,
        accesses: &[Access],
    ) -> Result<u32, Malformed> {
        let txn = self.history.len() as u32;
        if let Some(open) = self.open.insert(line.process.0, txn) {
            return Err(Malformed::StillOpen(line.process, self.history.index[open as usize]));
        }
        self.row(index, line.process, line.session, line.function);
        let history = &mut self.history;
        history.kind.push(Kind::Info);
        history.node.push(line.node.map_or(NO_NODE, |node| node.0));
        history.is_final.push(line.is_final);
        history.invoked.push(rank);
        history.returned.push(Rank::NEVER.0);
        history.invoked_at.push(self.last_time.0);
        history.returned_at.push(Nanos::FOREVER.0);
        self.push_accesses(accesses);
        self.set_version(txn, line.version);
        Ok(txn)
    }

    fn row(&mut self, index: u32, process: Process, session: Option<u32>, function: Function) {
        let name = session.unwrap_or(process.0);
        let session = self.session_ids.get(name).unwrap_or_else(|| {
            let next = self.history.sessions.len() as u32;
            self.session_ids.insert(name, next);
            self.history.sessions.push(name);
            next
        });
        self.history.index.push(index);
        self.history.process.push(process.0);
        self.history.session.push(session);
        self.history.function.push(function);
    }

    fn push_accesses(&mut self, accesses: &[Access]) {
        let history = &mut self.history;
        for access in accesses {
            history.access_function.push(access.function);
            history.access_key.push(access.key.0);
            history.access_value.push(access.value.0);
        }
        history.first_access.push(history.access_key.len() as u32);
    }

    fn set_version(&mut self, txn: u32, version: Option<i64>) {
        if let Some(version) = version {
            self.history.version.insert(txn, version);
        }
    }

    /// Notes how long a transaction was due before it was invoked.
    pub fn waited(&mut self, txn: u32, waited: Nanos) {
        if waited > Nanos(0) {
            self.history.waited.insert(txn, waited);
        }
    }

    /// Notes why a transaction failed or stayed unknown.
    pub fn error(&mut self, txn: u32, error: &str) {
        self.history.error.insert(txn, error.into());
    }

    fn complete(
        &mut self,
        index: u32,
        rank: u32,
        line: Line,
        accesses: &[Access],
    ) -> Result<u32, Malformed> {
        let Some(txn) = self.open.remove(line.process.0) else {
            return Err(Malformed::CompletionWithoutInvocation(line.process));
        };
        let at = txn as usize;
        let invoked = self.history.function[at];
        if invoked != line.function {
            return Err(Malformed::FunctionChanged { invoked, completed: line.function });
        }
        if line.kind == Kind::Ok {
            self.take_results(at, accesses)?;
        }
        let history = &mut self.history;
        history.kind[at] = line.kind;
        if line.kind == Kind::Info {
            let line = GivenUp { index, rank: Rank(rank), time: self.last_time };
            history.given_up.insert(txn, line);
        } else {
            history.returned[at] = rank;
            history.returned_at[at] = self.last_time.0;
        }
        if let Some(node) = line.node {
            history.node[at] = node.0;
        }
        history.is_final[at] |= line.is_final;
        self.set_version(txn, line.version);
        Ok(txn)
    }

    /// Takes over what an `ok` completion says was read.
    fn take_results(&mut self, at: usize, accesses: &[Access]) -> Result<(), Malformed> {
        let history = &mut self.history;
        let range = history.first_access[at] as usize..history.first_access[at + 1] as usize;
        if range.len() != accesses.len() {
            return Err(Malformed::AccessesChanged(history.function[at]));
        }
        for (place, access) in range.zip(accesses) {
            let same = history.access_function[place] == access.function
                && history.access_key[place] == access.key.0;
            if !same {
                return Err(Malformed::AccessesChanged(history.function[at]));
            }
            let before = ValueId(history.access_value[place]);
            let is_result = returns(access.function);
            if is_result || before == ValueId::UNKNOWN {
                history.access_value[place] = access.value.0;
            } else if access.value != before
                && access.value != ValueId::NULL
                && access.value != ValueId::UNKNOWN
            {
                return Err(Malformed::WriteChanged {
                    invoked: history.values.value(before),
                    completed: history.values.value(access.value),
                });
            }
        }
        Ok(())
    }

    /// The history so far. Operations still open are indeterminate.
    pub fn finish(mut self) -> Result<History, Malformed> {
        if self.operation_form {
            self.order_operations()?;
        }
        if !self.history.has_real_time() {
            self.forget_times();
        }
        let history = &mut self.history;
        let mut sightings = vec![Sightings::default(); history.keys.len()];
        for (at, kind) in history.kind.iter().enumerate() {
            for place in history.first_access[at] as usize..history.first_access[at + 1] as usize {
                let seen = &mut sightings[history.access_key[place] as usize];
                let (function, value) =
                    (history.access_function[place], ValueId(history.access_value[place]));
                seen.see(function);
                if function == Function::Read && *kind == Kind::Ok && value != ValueId::NULL {
                    let values = &history.values;
                    if values.is_list(value) {
                        seen.read_list = true;
                    } else if values.int(value).is_some() {
                        seen.read_int = true;
                    } else {
                        match values.value(value) {
                            Value::Text(_) => seen.read_text = true,
                            Value::Map(_) => seen.read_map = true,
                            _ => {}
                        }
                    }
                }
            }
        }
        let mut added = FxHashSet::default();
        for (key, value) in history.access_key.iter().zip(&history.access_value) {
            let seen = &mut sightings[*key as usize];
            if seen.is_only_added_to() && history.values.int(ValueId(*value)).is_some() {
                seen.added_again |= !added.insert((*key, *value));
            }
        }
        history.datatypes = datatypes(&sightings);
        self.normalise_empty_reads();
        if let Some(initial) = self.history.header.as_ref().and_then(|one| one.initial.clone()) {
            self.history.begin_with(initial);
        }
        self.history.shrink();
        Ok(self.history)
    }

    /// Leaves nothing of the order of the lines but the order of each session.
    fn forget_times(&mut self) {
        let history = &mut self.history;
        history.returned.fill(Rank::NEVER.0);
        history.invoked_at.fill(0);
        history.returned_at.fill(0);
        history.given_up.clear();
    }

    /// `null` read from a list or set is its empty list.
    fn normalise_empty_reads(&mut self) {
        let history = &mut self.history;
        for place in 0..history.access_key.len() {
            let datatype = history.datatypes[history.access_key[place] as usize];
            let is_read = history.access_function[place] == Function::Read;
            if is_read
                && matches!(datatype, Datatype::List | Datatype::Set)
                && history.access_value[place] == ValueId::NULL.0
            {
                history.access_value[place] = ValueId::EMPTY.0;
            }
        }
    }
}

/// Whether a micro-operation's value is a result that was not seen: before the operation returned,
/// or if it never did for certain. What a `cas` expects is an argument, known from the start.
pub(super) fn is_unknown(kind: Kind, whole: Function, part: Function) -> bool {
    kind != Kind::Ok && whole != Function::Cas && returns(part)
}

/// Whether a micro-operation's value is what it returned, not what it was given.
pub(super) fn returns(function: Function) -> bool {
    use Function as F;
    matches!(
        function,
        F::Read
            | F::Dequeue
            | F::Pop
            | F::Poll
            | F::Peek
            | F::NewId
            | F::Get
            | F::Leader
            | F::Level
            | F::Acquire
    )
}

#[cfg(test)]
mod tests;
