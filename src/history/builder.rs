//! Pairs invocations with completions and fills the columns.

use std::fmt;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::history::columns::{GivenUp, NO_NODE};
use crate::history::datatype::Sightings;
use crate::history::numbers::Numbers;
use crate::history::{
    Access, Datatype, FaultWindow, Header, History, KeyId, NodeId, Rank, ValueId, Values,
};
use crate::model::{Event, FaultEvent, FaultId, Function, Kind, Nanos, Op, Process, Value, What};

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

/// Why a sequence of well-formed lines is no history. Readers add the file and the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A completion of a process that has no open operation.
    CompletionWithoutInvocation(Process),
    /// An invocation by a process whose operation of that index is still open.
    StillOpen(Process, u32),
    /// A time before that of the line above.
    TimeBackwards {
        /// The time of the line above.
        before: Nanos,
        /// The time of this line.
        now: Nanos,
    },
    /// An index a second time.
    DuplicateIndex(u32),
    /// An index below that of a line above.
    IndexBackwards {
        /// The greatest index above.
        before: u32,
        /// The index of this line.
        now: u32,
    },
    /// A completion that names another function than its invocation.
    FunctionChanged {
        /// What was invoked.
        invoked: Function,
        /// What is completed.
        completed: Function,
    },
    /// A completion with other micro-operations (number, functions or keys) than its invocation.
    AccessesChanged(Function),
    /// A completion that wrote another value than its invocation.
    WriteChanged {
        /// What was to be written.
        invoked: Value,
        /// What is said to be written.
        completed: Value,
    },
    /// An operation that returned before it was invoked.
    ReturnedBeforeInvoked,
    /// An `ok` or `fail` operation without a time of return.
    NeverReturned(Kind),
    /// Two operations of one process, by index, at the same time.
    Overlap(Process, u32, u32),
    /// More lines, operations or values than a `u32` can number.
    TooLarge,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CompletionWithoutInvocation(process) => {
                write!(f, "completion without invocation: process {process} has no open operation")
            }
            Self::StillOpen(process, index) => write!(
                f,
                "process {process} invokes while its operation {index} is still open; expected ok, fail or info first"
            ),
            Self::TimeBackwards { before, now } => write!(
                f,
                "time runs backwards: {} after {} ns; expected lines in the order they were recorded",
                now.0, before.0
            ),
            Self::DuplicateIndex(index) => {
                write!(f, "duplicate index {index}; expected each index once")
            }
            Self::IndexBackwards { before, now } => {
                write!(f, "index {now} after index {before}; expected rising indices")
            }
            Self::FunctionChanged { invoked, completed } => write!(
                f,
                "completes a {}, but the process invoked a {}",
                completed.name(),
                invoked.name()
            ),
            Self::AccessesChanged(function) => write!(
                f,
                "completes a {} with other micro-operations than it was invoked with",
                function.name()
            ),
            Self::WriteChanged { invoked, completed } => {
                write!(f, "completes a write of {completed}, but {invoked} was to be written")
            }
            Self::ReturnedBeforeInvoked => write!(f, "returned before it was invoked"),
            Self::NeverReturned(kind) => {
                write!(
                    f,
                    "type {} without a time of return; expected one, or type info",
                    kind.name()
                )
            }
            Self::Overlap(process, one, other) => write!(
                f,
                "operations {one} and {other} of process {process} overlap; expected one at a time"
            ),
            Self::TooLarge => write!(f, "too large: more than 4,294,967,000 entries of one kind"),
        }
    }
}

impl std::error::Error for Malformed {}

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

    /// The id of a node.
    pub fn node(&mut self, name: &str) -> NodeId {
        // A cluster has a handful: looking at each is quicker than hashing.
        if let Some(at) = self.history.nodes.iter().take(8).position(|node| **node == *name) {
            return NodeId(at as u32);
        }
        if let Some(id) = self.node_ids.get(name) {
            return *id;
        }
        let (id, name) = (NodeId(self.history.nodes.len() as u32), Arc::<str>::from(name));
        self.history.nodes.push(name.clone());
        self.node_ids.insert(name, id);
        id
    }

    /// The id of a key.
    pub fn key(&mut self, key: &Value) -> KeyId {
        if let Value::Text(text) = key {
            return self.text_key(text);
        }
        if let Some(id) = self.key_ids.get(key) {
            return *id;
        }
        let id = self.new_key(key.clone());
        self.key_ids.insert(key.clone(), id);
        id
    }

    /// The id of a key that is a text; the same as [`Builder::key`] without making a `Value`.
    pub fn text_key(&mut self, key: &str) -> KeyId {
        if let Some(id) = self.text_key_ids.get(key) {
            return *id;
        }
        let id = self.new_key(Value::text(key));
        self.text_key_ids.insert(key.into(), id);
        id
    }

    fn new_key(&mut self, key: Value) -> KeyId {
        let id = KeyId(self.history.keys.len() as u32);
        self.history.keys.push(key);
        id
    }

    /// The id of a value.
    pub fn value(&mut self, value: &Value) -> ValueId {
        self.history.values.intern(value)
    }

    /// The id of a text; the same as [`Builder::value`] without making a `Value`.
    pub fn text_value(&mut self, text: &str) -> ValueId {
        self.history.values.intern_text(text)
    }

    /// The id of an integer; the same as [`Builder::value`] without making a `Value`.
    pub fn int_value(&mut self, n: i64) -> ValueId {
        self.history.values.intern_int(n)
    }

    /// The id of the list that extends `prefix` by `last`.
    pub fn append_value(&mut self, prefix: ValueId, last: ValueId) -> ValueId {
        self.history.values.append(prefix, last)
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
                if let Some(error) = &client.error {
                    self.error(txn, error);
                }
                Ok(())
            }
        }
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

    /// Adds the beginning or end of a fault.
    pub fn fault(
        &mut self,
        index: Option<u32>,
        time: Nanos,
        fault: &FaultEvent,
    ) -> Result<(), Malformed> {
        let index = self.next_index(index)?;
        self.next_time(time)?;
        let time = self.last_time;
        let faults = &mut self.history.faults;
        if fault.begins {
            let id = fault.id.unwrap_or(FaultId(faults.len() as u32 + 1));
            let (name, value) = (fault.name.clone(), fault.value.clone());
            faults.push(FaultWindow { id, name, begin: time, end: Nanos::FOREVER, value });
            self.history.fault_lines.push((index, None));
        } else {
            let open = faults.iter().rposition(|window| {
                window.end == Nanos::FOREVER
                    && fault.id.map_or(window.name == fault.name, |id| window.id == id)
            });
            if let Some(open) = open {
                faults[open].end = time;
                self.history.fault_lines[open].1 = Some(index);
            }
        }
        Ok(())
    }

    /// Ends a fault at the line that was passed over last.
    pub(super) fn fault_ends(&mut self, time: Nanos, id: FaultId) {
        let (time, index) = (time.max(self.last_time), self.last_index);
        let faults = &mut self.history.faults;
        let open = faults.iter().rposition(|fault| fault.id == id && fault.end == Nanos::FOREVER);
        if let Some(open) = open {
            faults[open].end = time;
            self.history.fault_lines[open].1 = index;
        }
    }

    /// Adds a whole fault, as the operation form has it.
    pub fn fault_window(&mut self, window: FaultWindow) {
        self.operation_form = true;
        self.history.faults.push(window);
        self.history.fault_lines.push((0, None));
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

    /// Adds a whole operation.
    pub fn operation(
        &mut self,
        operation: Operation,
        accesses: &[Access],
    ) -> Result<u32, Malformed> {
        if self.lines == u32::MAX - 16 {
            return Err(Malformed::TooLarge);
        }
        let index = operation.index.unwrap_or(self.lines);
        self.lines += 1;
        self.first_time(index)?;
        let returned = match (operation.kind, operation.returned) {
            (Kind::Info, _) => Nanos::FOREVER,
            (_, Some(returned)) if returned < operation.invoked => {
                return Err(Malformed::ReturnedBeforeInvoked);
            }
            (_, Some(returned)) => returned,
            (kind, None) => return Err(Malformed::NeverReturned(kind)),
        };
        self.operation_form = true;
        let txn = self.history.len() as u32;
        self.row(index, operation.process, operation.session, operation.function);
        let history = &mut self.history;
        history.kind.push(operation.kind);
        history.node.push(operation.node.map_or(NO_NODE, |node| node.0));
        history.is_final.push(operation.is_final);
        history.invoked_at.push(operation.invoked.0);
        history.returned_at.push(returned.0);
        self.push_accesses(accesses);
        self.set_version(txn, operation.version);
        Ok(txn)
    }

    /// Notes the index of a whole operation. While indices rise none can be there twice; the set of
    /// all of them comes to be with the first that does not.
    fn first_time(&mut self, index: u32) -> Result<(), Malformed> {
        if self.indices.is_empty() {
            if self.last_index.is_none_or(|last| last < index) {
                self.last_index = Some(index);
                return Ok(());
            }
            self.indices.extend(self.history.index.iter().copied());
        }
        if self.indices.insert(index) { Ok(()) } else { Err(Malformed::DuplicateIndex(index)) }
    }

    /// The history so far. Operations still open are indeterminate.
    pub fn finish(mut self) -> Result<History, Malformed> {
        if self.operation_form {
            self.order_operations()?;
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
        history.datatypes = sightings.into_iter().map(Sightings::datatype).collect();
        self.normalise_empty_reads();
        self.history.shrink();
        Ok(self.history)
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

    /// Sorts the rows by invocation and turns times into ranks.
    fn order_operations(&mut self) -> Result<(), Malformed> {
        let history = &mut self.history;
        history.faults.sort_by_key(|window| (window.begin, window.id));
        let mut order: Vec<u32> = (0..history.len() as u32).collect();
        order.sort_by_key(|at| (history.invoked_at[*at as usize], history.index[*at as usize]));
        self.permute(&order);
        let history = &mut self.history;

        // Equal times are concurrent: at one instant every invocation comes before every return.
        let n = history.len();
        let mut ends: Vec<(u64, u32)> = (0..n as u32)
            .filter(|at| history.kind[*at as usize] != Kind::Info)
            .map(|at| (history.returned_at[at as usize], at))
            .collect();
        ends.sort_unstable();
        let mut ends = ends.into_iter().peekable();
        history.invoked = vec![0; n];
        history.returned = vec![Rank::NEVER.0; n];
        let mut rank = 0;
        for at in 0..n {
            while let Some((_, ended)) = ends.next_if(|(time, _)| *time < history.invoked_at[at]) {
                history.returned[ended as usize] = rank;
                rank += 1;
            }
            history.invoked[at] = rank;
            rank += 1;
        }
        for (_, ended) in ends {
            history.returned[ended as usize] = rank;
            rank += 1;
        }

        let mut last: FxHashMap<u32, usize> = FxHashMap::default();
        for at in 0..n {
            if history.kind[at] == Kind::Info {
                continue;
            }
            if let Some(before) = last.insert(history.process[at], at)
                && history.returned_at[before] > history.invoked_at[at]
            {
                let process = Process(history.process[at]);
                return Err(Malformed::Overlap(process, history.index[before], history.index[at]));
            }
        }
        Ok(())
    }

    fn permute(&mut self, order: &[u32]) {
        fn by<T: Copy>(column: &mut Vec<T>, order: &[u32]) {
            *column = order.iter().map(|at| column[*at as usize]).collect();
        }
        if order.is_sorted() {
            return;
        }
        let history = &mut self.history;
        by(&mut history.index, order);
        by(&mut history.process, order);
        by(&mut history.session, order);
        by(&mut history.node, order);
        by(&mut history.kind, order);
        by(&mut history.function, order);
        by(&mut history.is_final, order);
        by(&mut history.invoked_at, order);
        by(&mut history.returned_at, order);
        let (mut first, mut places) = (vec![0], Vec::with_capacity(history.access_key.len()));
        for at in order {
            places
                .extend(history.first_access[*at as usize]..history.first_access[*at as usize + 1]);
            first.push(places.len() as u32);
        }
        history.first_access = first;
        by(&mut history.access_function, &places);
        by(&mut history.access_key, &places);
        by(&mut history.access_value, &places);
        let mut moved = vec![0; order.len()];
        for (to, from) in order.iter().enumerate() {
            moved[*from as usize] = to as u32;
        }
        history.version =
            history.version.iter().map(|(at, version)| (moved[*at as usize], *version)).collect();
        history.error =
            history.error.drain().map(|(at, error)| (moved[at as usize], error)).collect();
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
mod tests {
    use super::*;
    use crate::model::ClientEvent;

    fn event(time: u64, process: u32, kind: Kind, op: Op) -> Event {
        Event {
            time: Nanos(time),
            what: What::Client(ClientEvent::new(Process(process), kind, op)),
        }
    }

    #[test]
    fn pairs_and_ranks() {
        let mut builder = Builder::new();
        let write = Op::write("x".into(), 1.into());
        let seen = Op::single(Function::Read, "x".into(), 1.into());
        builder.event(&event(1, 0, Kind::Invoke, write.clone())).unwrap();
        builder.event(&event(2, 1, Kind::Invoke, Op::read("x".into()))).unwrap();
        builder.event(&event(3, 0, Kind::Ok, write)).unwrap();
        builder.event(&event(4, 1, Kind::Ok, seen)).unwrap();
        builder.event(&event(5, 1, Kind::Invoke, Op::read("x".into()))).unwrap();
        let history = builder.finish().unwrap();
        let txns: Vec<Txn<'_>> = history.txns().collect();
        assert_eq!(txns.len(), 3);
        assert!(!txns[0].precedes(txns[1]) && txns[0].precedes(txns[2]));
        assert_eq!(history.values().int(txns[1].read().unwrap()), Some(1));
        assert_eq!((txns[2].kind(), txns[2].read()), (Kind::Info, Some(ValueId::UNKNOWN)));
        assert_eq!(txns[1].to_string(), "#1 process 1: read x saw 1, 0.0 µs to 0.0 µs");
    }

    use crate::history::Txn;

    #[test]
    fn names_what_is_malformed() {
        let write = || Op::write("x".into(), 1.into());
        let fails = |events: &[Event]| {
            let mut builder = Builder::new();
            events.iter().find_map(|event| builder.event(event).err())
        };
        assert_eq!(
            fails(&[event(0, 0, Kind::Ok, write())]),
            Some(Malformed::CompletionWithoutInvocation(Process(0)))
        );
        assert_eq!(
            fails(&[event(0, 0, Kind::Invoke, write()), event(1, 0, Kind::Invoke, write())]),
            Some(Malformed::StillOpen(Process(0), 0))
        );
        assert!(matches!(
            fails(&[event(5, 0, Kind::Invoke, write()), event(1, 0, Kind::Ok, write())]),
            Some(Malformed::TimeBackwards { .. })
        ));
        assert!(matches!(
            fails(&[
                event(0, 0, Kind::Invoke, write()),
                event(1, 0, Kind::Ok, Op::write("x".into(), 2.into()))
            ]),
            Some(Malformed::WriteChanged { .. })
        ));
    }

    #[test]
    fn equal_times_are_concurrent() {
        let mut builder = Builder::new();
        let key = builder.key(&"x".into());
        for (process, invoked, returned) in [(1, 5, 9), (0, 0, 5)] {
            let operation = Operation {
                index: Some(process),
                process: Process(process),
                kind: Kind::Ok,
                function: Function::Write,
                invoked: Nanos(invoked),
                returned: Some(Nanos(returned)),
                session: None,
                node: None,
                version: None,
                is_final: false,
            };
            let value = builder.int_value(i64::from(process));
            builder
                .operation(operation, &[Access { function: Function::Write, key, value }])
                .unwrap();
        }
        let history = builder.finish().unwrap();
        let txns: Vec<Txn<'_>> = history.txns().collect();
        assert_eq!([txns[0].index(), txns[1].index()], [0, 1]);
        assert!(!txns[0].precedes(txns[1]));
    }
}
