//! The columns of a history, and the view through which everyone reads them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::history::{Datatype, Header, ValueId, Values};
use crate::model::{FaultId, Function, Kind, Nanos, Process, Value};

macro_rules! dense_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// It as a place in a column.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

dense_id! {
    /// A transaction: a whole operation. Numbered by invocation, so smaller means invoked earlier.
    TxnId
}
dense_id! {
    /// A key of the history.
    KeyId
}
dense_id! {
    /// A session: a client identity. Numbered in order of appearance.
    SessionId
}
dense_id! {
    /// A node of the store, as an index into [`History::nodes`].
    NodeId
}
dense_id! {
    /// A place in real time: the number of an event. `a` returned before `b` was invoked if and
    /// only if `a.returned() < b.invoked()`; ranks never tie.
    Rank
}

impl Rank {
    /// After every event.
    pub const NEVER: Self = Self(u32::MAX);
}

/// A micro-operation of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// What it does.
    pub function: Function,
    /// To which key.
    pub key: KeyId,
    /// What it wrote, or the version it read; `UNKNOWN` for a read that did not return.
    pub value: ValueId,
}

/// A time during which something was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultWindow {
    /// Its number in the run.
    pub id: FaultId,
    /// `partition`, `kill`, …
    pub name: Arc<str>,
    /// When it began.
    pub begin: Nanos,
    /// When it ended; `FOREVER` if the history does not say.
    pub end: Nanos,
    /// What was done, for people.
    pub value: Value,
}

/// A whole history, in columns.
#[derive(Clone, Default)]
pub struct History {
    pub(super) header: Option<Header>,
    pub(super) faults: Vec<FaultWindow>,
    pub(super) nodes: Vec<Arc<str>>,
    pub(super) sessions: Vec<u32>,
    pub(super) keys: Vec<Value>,
    pub(super) datatypes: Vec<Datatype>,
    pub(super) values: Values,
    pub(super) warnings: Vec<String>,
    /// What registers held before the first write, by key; `Null` if it is not here.
    pub(super) initial: FxHashMap<u32, ValueId>,

    // One entry a transaction.
    pub(super) index: Vec<u32>,
    pub(super) process: Vec<u32>,
    pub(super) session: Vec<u32>,
    pub(super) node: Vec<u32>,
    pub(super) kind: Vec<Kind>,
    pub(super) function: Vec<Function>,
    pub(super) is_final: Vec<bool>,
    pub(super) invoked: Vec<u32>,
    pub(super) returned: Vec<u32>,
    pub(super) invoked_at: Vec<u64>,
    pub(super) returned_at: Vec<u64>,
    pub(super) first_access: Vec<u32>,
    // One entry an access.
    pub(super) access_function: Vec<Function>,
    pub(super) access_key: Vec<u32>,
    pub(super) access_value: Vec<u32>,
    // Few transactions have these.
    pub(super) version: FxHashMap<u32, i64>,
    pub(super) error: FxHashMap<u32, Box<str>>,
    pub(super) waited: FxHashMap<u32, Nanos>,
    /// The lines that gave up a transaction; event form only.
    pub(super) given_up: FxHashMap<u32, GivenUp>,
    /// The index of the lines that began and ended a fault; event form only.
    pub(super) fault_lines: Vec<(u32, Option<u32>)>,
}

/// A line of type `info`: it says nothing of the store, but is written again as it was read.
#[derive(Clone, Copy)]
pub(super) struct GivenUp {
    pub(super) index: u32,
    pub(super) rank: Rank,
    pub(super) time: Nanos,
}

pub(super) const NO_NODE: u32 = u32::MAX;

impl History {
    /// How many transactions there are, failed and indeterminate ones included.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The transaction of that number.
    pub fn txn(&self, id: TxnId) -> Txn<'_> {
        Txn { history: self, id }
    }

    /// Every transaction, in order of invocation.
    pub fn txns(&self) -> impl ExactSizeIterator<Item = Txn<'_>> + DoubleEndedIterator + Clone {
        (0..self.len() as u32).map(|id| Txn { history: self, id: TxnId(id) })
    }

    /// The transaction whose invocation has this index in the file.
    pub fn find(&self, index: u32) -> Option<Txn<'_>> {
        // Indices mostly rise with the ids; operation form may list them in any order.
        let at = match self.index.binary_search(&index) {
            Ok(at) => at,
            Err(_) => self.index.iter().position(|one| *one == index)?,
        };
        Some(self.txn(TxnId(at as u32)))
    }

    /// The header, if the file had one.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Whether real time is known. Where it is not, only the order of each session is: no operation
    /// has returned as far as [`Txn::returned`] and [`Txn::precedes`] can tell, so that nothing follows
    /// from an order of events that was never recorded. That real time was respected cannot be seen
    /// in such a history either.
    pub fn has_real_time(&self) -> bool {
        !self.header.as_ref().is_some_and(|header| header.timeless)
    }

    /// Every fault window, by beginning.
    pub fn faults(&self) -> &[FaultWindow] {
        &self.faults
    }

    /// The nodes that were contacted.
    pub fn nodes(&self) -> &[Arc<str>] {
        &self.nodes
    }

    /// How many keys there are.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Every key.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = KeyId> + use<> {
        (0..self.keys.len() as u32).map(KeyId)
    }

    /// What a key is called.
    pub fn key_name(&self, key: KeyId) -> &Value {
        &self.keys[key.index()]
    }

    /// What kind of object a key is.
    pub fn datatype(&self, key: KeyId) -> Datatype {
        self.datatypes[key.index()]
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The number a session has in the file.
    pub fn session_name(&self, session: SessionId) -> u32 {
        self.sessions[session.index()]
    }

    /// All values.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// What was odd about the file without making it unreadable: a torn last line, for example.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How many bytes the columns take, about; the characters of keys and values not included.
    pub fn heap_bytes(&self) -> usize {
        let words = [&self.index, &self.process, &self.session, &self.node, &self.invoked];
        let more = [&self.returned, &self.first_access, &self.access_key, &self.access_value];
        4 * words.iter().chain(&more).map(|column| column.capacity()).sum::<usize>()
            + 8 * (self.invoked_at.capacity() + self.returned_at.capacity())
            + self.kind.capacity()
            + self.function.capacity()
            + self.is_final.capacity()
            + self.access_function.capacity()
            + 13 * self.version.capacity()
            + 21 * self.error.capacity()
            + 13 * self.waited.capacity()
            + 21 * self.given_up.capacity()
            + size_of::<Value>() * self.keys.capacity()
            + self.values.heap_bytes()
    }

    /// Gives back the memory that growing left over.
    pub(super) fn shrink(&mut self) {
        let words = [&mut self.index, &mut self.process, &mut self.session, &mut self.node];
        let more = [&mut self.invoked, &mut self.returned, &mut self.first_access];
        let accesses = [&mut self.access_key, &mut self.access_value];
        words.into_iter().chain(more).chain(accesses).for_each(Vec::shrink_to_fit);
        [&mut self.invoked_at, &mut self.returned_at].into_iter().for_each(Vec::shrink_to_fit);
        [&mut self.function, &mut self.access_function].into_iter().for_each(Vec::shrink_to_fit);
        self.kind.shrink_to_fit();
        self.is_final.shrink_to_fit();
        self.values.shrink();
    }

    /// The history that holds these transactions alone, in the same order, times and sessions. Keys,
    /// values and datatypes stay what they are, so a witness is judged as part of what it came from.
    #[must_use]
    pub fn subset(&self, txns: &[TxnId]) -> Self {
        let mut rows: Vec<usize> = txns.iter().map(|txn| txn.index()).collect();
        rows.sort_unstable();
        rows.dedup();
        fn by<T: Copy>(column: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|at| column[*at]).collect()
        }
        let (mut first, mut places) = (vec![0], Vec::new());
        for at in &rows {
            places.extend(self.first_access[*at] as usize..self.first_access[*at + 1] as usize);
            first.push(places.len() as u32);
        }
        let moved = |old: &u32| rows.binary_search(&(*old as usize)).ok().map(|new| new as u32);
        Self {
            header: self.header.clone(),
            faults: self.faults.clone(),
            nodes: self.nodes.clone(),
            sessions: self.sessions.clone(),
            keys: self.keys.clone(),
            datatypes: self.datatypes.clone(),
            values: self.values.clone(),
            warnings: self.warnings.clone(),
            initial: self.initial.clone(),
            index: by(&self.index, &rows),
            process: by(&self.process, &rows),
            session: by(&self.session, &rows),
            node: by(&self.node, &rows),
            kind: by(&self.kind, &rows),
            function: by(&self.function, &rows),
            is_final: by(&self.is_final, &rows),
            invoked: by(&self.invoked, &rows),
            returned: by(&self.returned, &rows),
            invoked_at: by(&self.invoked_at, &rows),
            returned_at: by(&self.returned_at, &rows),
            first_access: first,
            access_function: by(&self.access_function, &places),
            access_key: by(&self.access_key, &places),
            access_value: by(&self.access_value, &places),
            version: self.version.iter().filter_map(|(at, v)| Some((moved(at)?, *v))).collect(),
            given_up: self.given_up.iter().filter_map(|(at, g)| Some((moved(at)?, *g))).collect(),
            fault_lines: self.fault_lines.clone(),
            error: self.error.iter().filter_map(|(at, e)| Some((moved(at)?, e.clone()))).collect(),
            waited: self.waited.iter().filter_map(|(at, w)| Some((moved(at)?, *w))).collect(),
        }
    }

    /// The transactions of every key, in order of invocation.
    pub fn by_key(&self) -> Grouped {
        // A transaction that touches a key twice is listed once.
        let touches = self.txns().flat_map(|txn| {
            let accesses = txn.accesses();
            accesses.clone().enumerate().filter_map(move |(at, access)| {
                let first = !accesses.clone().take(at).any(|other| other.key == access.key);
                first.then_some((access.key.0, txn.id))
            })
        });
        Grouped::new(self.keys.len(), touches)
    }

    /// The transactions of every session, in order of invocation.
    pub fn by_session(&self) -> Grouped {
        Grouped::new(self.sessions.len(), self.txns().map(|txn| (txn.session().0, txn.id)))
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.txns()).finish()
    }
}

/// Transactions in groups: by key or by session.
pub struct Grouped {
    starts: Vec<u32>,
    members: Vec<TxnId>,
}

impl Grouped {
    fn new(groups: usize, members: impl Iterator<Item = (u32, TxnId)> + Clone) -> Self {
        let mut starts = vec![0_u32; groups + 1];
        for (group, _) in members.clone() {
            starts[group as usize + 1] += 1;
        }
        for group in 0..groups {
            starts[group + 1] += starts[group];
        }
        let mut next = starts.clone();
        let mut sorted = vec![TxnId(0); *starts.last().unwrap_or(&0) as usize];
        for (group, txn) in members {
            let place = &mut next[group as usize];
            sorted[*place as usize] = txn;
            *place += 1;
        }
        Self { starts, members: sorted }
    }

    /// The members of one group, by its number.
    pub fn group(&self, number: u32) -> &[TxnId] {
        let number = number as usize;
        &self.members[self.starts[number] as usize..self.starts[number + 1] as usize]
    }
}

/// One operation of a history: what everyone outside this room sees of it.
#[derive(Clone, Copy)]
pub struct Txn<'h> {
    history: &'h History,
    /// Its number.
    pub id: TxnId,
}

impl<'h> Txn<'h> {
    /// The index of its invocation in the file: how reports name it.
    pub fn index(self) -> u32 {
        self.history.index[self.id.index()]
    }

    /// Who invoked it.
    pub fn process(self) -> Process {
        Process(self.history.process[self.id.index()])
    }

    /// The client it belongs to.
    pub fn session(self) -> SessionId {
        SessionId(self.history.session[self.id.index()])
    }

    /// The node contacted.
    pub fn node(self) -> Option<NodeId> {
        let node = self.history.node[self.id.index()];
        (node != NO_NODE).then_some(NodeId(node))
    }

    /// How it ended: `Ok`, `Fail` or `Info`; one still open at the end of the history is `Info`.
    pub fn kind(self) -> Kind {
        self.history.kind[self.id.index()]
    }

    /// Whether it took effect for certain.
    pub fn is_ok(self) -> bool {
        self.kind() == Kind::Ok
    }

    /// What the client called it.
    pub fn function(self) -> Function {
        self.history.function[self.id.index()]
    }

    /// Whether it is a read taken after quiescence.
    pub fn is_final(self) -> bool {
        self.history.is_final[self.id.index()]
    }

    /// When it was invoked, as a place in real time.
    pub fn invoked(self) -> Rank {
        Rank(self.history.invoked[self.id.index()])
    }

    /// When it returned, as a place in real time; `NEVER` unless `Ok` or `Fail`, and where real time
    /// is not known.
    pub fn returned(self) -> Rank {
        Rank(self.history.returned[self.id.index()])
    }

    /// When it was invoked.
    pub fn invoked_at(self) -> Nanos {
        Nanos(self.history.invoked_at[self.id.index()])
    }

    /// When it returned; `FOREVER` unless `Ok` or `Fail`.
    pub fn returned_at(self) -> Nanos {
        Nanos(self.history.returned_at[self.id.index()])
    }

    /// Whether it returned before `other` was invoked (`rt`).
    pub fn precedes(self, other: Txn<'_>) -> bool {
        self.returned() < other.invoked()
    }

    /// The version the store gave.
    pub fn version(self) -> Option<i64> {
        self.history.version.get(&self.id.0).copied()
    }

    /// How long it was due before it was invoked; zero where nobody says.
    pub fn waited(self) -> Nanos {
        self.history.waited.get(&self.id.0).copied().unwrap_or(Nanos(0))
    }

    /// Why it failed or stayed unknown.
    pub fn error(self) -> Option<&'h str> {
        self.history.error.get(&self.id.0).map(|error| &**error)
    }

    /// What it is made of, in order.
    pub fn accesses(self) -> impl ExactSizeIterator<Item = Access> + Clone + use<'h> {
        let history = self.history;
        let at = self.id.index();
        let range: Range<usize> =
            history.first_access[at] as usize..history.first_access[at + 1] as usize;
        range.map(move |at| Access {
            function: history.access_function[at],
            key: KeyId(history.access_key[at]),
            value: ValueId(history.access_value[at]),
        })
    }

    /// The key of a single-object operation: that of its first access.
    pub fn key(self) -> Option<KeyId> {
        self.accesses().next().map(|access| access.key)
    }

    /// The version a single-object operation read.
    pub fn read(self) -> Option<ValueId> {
        self.accesses().find(|access| access.function == Function::Read).map(|access| access.value)
    }

    /// The value a single-object operation wrote, appended, added, …
    pub fn written(self) -> Option<ValueId> {
        self.accesses().find(|access| access.function != Function::Read).map(|access| access.value)
    }

    /// Whether it may change the store.
    pub fn writes(self) -> bool {
        self.accesses().any(|access| !matches!(access.function, Function::Read | Function::Peek))
    }
}

impl fmt::Display for Txn<'_> {
    /// `#17 process 3: write x 41 at n2, 1.204 s to 1.207 s`: how a report shows an operation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let history = self.history;
        write!(f, "#{} process {}: {}", self.index(), self.process(), self.function().name())?;
        let accesses: Vec<Access> = self.accesses().collect();
        let named = |key: KeyId| match history.key_name(key) {
            Value::Null => String::new(),
            name => format!(" {name}"),
        };
        match (self.function(), accesses.as_slice()) {
            (Function::Cas | Function::Rmw, [old, new]) => {
                write!(
                    f,
                    "{} {} to {}",
                    named(old.key),
                    shown(history, *old),
                    shown(history, *new)
                )?;
            }
            (Function::Read, [read]) => match self.kind() {
                Kind::Ok => write!(f, "{} saw {}", named(read.key), shown(history, *read))?,
                _ => write!(f, "{}", named(read.key))?,
            },
            (Function::Txn, _) => {
                for access in &accesses {
                    let value = shown(history, *access);
                    write!(f, " [{}{} {value}]", access.function.name(), named(access.key))?;
                }
            }
            _ => {
                for access in &accesses {
                    write!(f, "{} {}", named(access.key), shown(history, *access))?;
                }
            }
        }
        if let Some(node) = self.node() {
            write!(f, " at {}", history.nodes[node.index()])?;
        }
        if !history.has_real_time() {
            return match self.kind() {
                Kind::Ok => Ok(()),
                Kind::Fail => write!(f, ", failed"),
                _ => write!(f, ", unknown outcome"),
            };
        }
        match self.kind() {
            // Without a clock all times are zero.
            Kind::Ok if self.returned_at() == Nanos(0) => Ok(()),
            Kind::Ok => write!(f, ", {} to {}", self.invoked_at(), self.returned_at()),
            Kind::Fail => write!(f, ", failed, {} to {}", self.invoked_at(), self.returned_at()),
            _ => write!(f, ", unknown outcome, from {}", self.invoked_at()),
        }
    }
}

fn shown(history: &History, access: Access) -> String {
    match access.value {
        ValueId::UNKNOWN => "?".to_owned(),
        id => history.value(access.key, id).to_string(),
    }
}

impl fmt::Debug for Txn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
