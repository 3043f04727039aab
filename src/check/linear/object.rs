//! One object and the operations on it: what every monitor of this room is given, and what it says.

use rustc_hash::FxHashMap;

use crate::check::{Anomaly, Edge, Limits, Property, Step};
use crate::history::{Access, Datatype, History, KeyId, Txn, TxnId, ValueId};
use crate::model::{Kind, Nanos, Value};

/// A key and some of the operations on it.
#[derive(Clone, Copy)]
pub(super) struct Object<'h> {
    pub(super) history: &'h History,
    pub(super) key: KeyId,
    /// In order of invocation.
    pub(super) txns: &'h [TxnId],
    pub(super) limits: &'h Limits,
}

/// What is said of one object.
#[derive(Debug)]
pub(super) enum Judgement {
    /// Nothing was done that could go wrong.
    Silent,
    /// It is linearizable.
    Linearizable,
    /// Nobody can say, for this reason.
    Unknown(String),
    /// It is not: the first proofs, and how many there are.
    Violated(Vec<Finding>, u64),
}

/// A proof that an object is not linearizable.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) kind: &'static str,
    pub(super) operations: Vec<TxnId>,
    pub(super) cycle: Vec<Step>,
    pub(super) sentence: String,
}

impl Finding {
    pub(super) fn anomaly(self, key: Option<KeyId>) -> Anomaly {
        let Self { kind, mut operations, cycle, sentence } = self;
        operations.sort_unstable();
        operations.dedup();
        Anomaly {
            property: Property::Lin,
            kind,
            set: vec![Property::Lin],
            key,
            session: None,
            operations,
            cycle,
            assumes: Vec::new(),
            sentence,
        }
    }
}

impl<'h> Object<'h> {
    pub(super) fn txn(&self, id: TxnId) -> Txn<'h> {
        self.history.txn(id)
    }

    /// The operations that may have taken effect, each with its accesses to this key.
    pub(super) fn accesses(&self) -> impl Iterator<Item = (Txn<'h>, Access)> + use<'h> {
        let (history, key) = (self.history, self.key);
        let possible = self.txns.iter().map(move |id| history.txn(*id));
        possible.filter(|txn| txn.kind() != Kind::Fail).flat_map(move |txn| {
            txn.accesses().filter(move |access| access.key == key).map(move |access| (txn, access))
        })
    }

    /// The failed operation that would have written `value`.
    pub(super) fn failed_writer(&self, value: ValueId) -> Option<Txn<'h>> {
        self.txns.iter().map(|id| self.txn(*id)).find(|txn| {
            txn.kind() == Kind::Fail
                && txn.accesses().any(|access| access.key == self.key && writes(access, value))
        })
    }

    /// What the key is called in a sentence.
    pub(super) fn name(&self) -> String {
        match self.history.key_name(self.key) {
            Value::Null => format!("the {}", self.history.datatype(self.key).name()),
            name => name.to_string(),
        }
    }

    /// A value in a sentence.
    pub(super) fn shown(&self, value: ValueId) -> String {
        self.history.value(self.key, value).to_string()
    }

    /// Who answered, as far as the history says.
    pub(super) fn answerer(&self, txn: Txn<'_>) -> String {
        match txn.node() {
            Some(node) => self.history.nodes()[node.index()].to_string(),
            None => format!("process {}", txn.process()),
        }
    }

    /// A value that came from nowhere or from a failed operation.
    pub(super) fn unwritten(&self, reader: Txn<'h>, value: ValueId, what: &str) -> Finding {
        let (answerer, name, shown) = (self.answerer(reader), self.name(), self.shown(value));
        let at = reader.invoked_at();
        match self.failed_writer(value) {
            Some(failed) => Finding {
                kind: "aborted-read",
                operations: vec![failed.id, reader.id],
                cycle: Vec::new(),
                sentence: format!(
                    "{answerer} read {what}{shown} from {name} at {at}, but the only operation that would have written it (#{}) certainly failed",
                    failed.index()
                ),
            },
            None => Finding {
                kind: "thin-air-read",
                operations: [Some(reader.id), self.any_write(reader)]
                    .into_iter()
                    .flatten()
                    .collect(),
                cycle: Vec::new(),
                sentence: format!(
                    "{answerer} read {what}{shown} from {name} at {at}, but no operation ever tried to write it"
                ),
            },
        }
    }

    /// Another operation that says that a register is one that is written, unless the reader does: what
    /// nobody ever wrote to may have held anything.
    fn any_write(&self, reader: Txn<'h>) -> Option<TxnId> {
        if reader.writes() || self.history.datatype(self.key) != Datatype::Register {
            return None;
        }
        // One of unknown outcome would need who saw it.
        let writes = self.txns.iter().copied().filter(|id| self.txn(*id).writes());
        writes.min_by_key(|id| self.txn(*id).kind() == Kind::Info)
    }
}

fn writes(access: Access, value: ValueId) -> bool {
    access.value == value && access.function != crate::model::Function::Read
}

/// `from` returned before `to` was invoked.
pub(super) fn real_time(from: Txn<'_>, to: Txn<'_>) -> Step {
    let gap = to.invoked_at() - from.returned_at();
    let why =
        format!("#{} returned {} before #{} was invoked", from.index(), span(gap), to.index());
    Step { from: from.id, to: to.id, edge: Edge::Rt, why }
}

/// A step of a contradiction.
pub(super) fn step(from: Txn<'_>, edge: Edge, to: Txn<'_>, why: String) -> Step {
    Step { from: from.id, to: to.id, edge, why }
}

/// A length of time in a sentence; recorders of coarse clocks show differences of nothing.
pub(super) fn span(gap: Nanos) -> String {
    if gap == Nanos(0) { "just".to_owned() } else { gap.to_string() }
}

/// A number for each value of an object, if it has one.
pub(super) enum Numbers {
    /// For objects that hold a good part of the values of the history.
    Dense(Vec<u32>),
    /// For the many small ones.
    Sparse(FxHashMap<ValueId, u32>),
}

impl Numbers {
    pub(super) fn new(object: &Object<'_>) -> Self {
        let values = object.history.values().len();
        if values <= 8 * object.txns.len() {
            Self::Dense(vec![u32::MAX; values])
        } else {
            Self::Sparse(FxHashMap::default())
        }
    }

    pub(super) fn get(&self, value: ValueId) -> Option<u32> {
        match self {
            Self::Dense(numbers) => {
                numbers.get(value.index()).copied().filter(|number| *number != u32::MAX)
            }
            Self::Sparse(numbers) => numbers.get(&value).copied(),
        }
    }

    /// The number of `value`, which becomes `next` if it had none.
    pub(super) fn get_or(&mut self, value: ValueId, next: u32) -> u32 {
        match self {
            Self::Dense(numbers) => {
                let number = &mut numbers[value.index()];
                if *number == u32::MAX {
                    *number = next;
                }
                *number
            }
            Self::Sparse(numbers) => *numbers.entry(value).or_insert(next),
        }
    }
}
