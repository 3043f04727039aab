//! Who wrote which value.

use rustc_hash::FxHashMap;

use crate::history::{Access, Datatype, History, KeyId, Txn, TxnId, ValueId};
use crate::model::Function;

/// For every value written to a register, appended to a list or added to a set: who tried to,
/// failed and indeterminate attempts included.
///
/// Values are mostly unique in the whole history, so the first key of a value is found by an array;
/// only values that several keys share are hashed.
pub(super) struct Writers {
    first: Vec<(u32, u32)>,
    shared: FxHashMap<(KeyId, ValueId), TxnId>,
    again: FxHashMap<(KeyId, ValueId), Vec<TxnId>>,
}

const NOBODY: (u32, u32) = (u32::MAX, u32::MAX);

impl Writers {
    /// Looks at `txns`, in order.
    pub(super) fn new(history: &History, txns: impl Iterator<Item = TxnId>) -> Self {
        let mut writers = Self {
            first: vec![NOBODY; history.values().len()],
            shared: FxHashMap::default(),
            again: FxHashMap::default(),
        };
        for txn in txns {
            for access in history.txn(txn).accesses() {
                if writes_value(history, access) {
                    writers.add(access.key, access.value, txn);
                }
            }
        }
        writers
    }

    fn add(&mut self, key: KeyId, value: ValueId, txn: TxnId) {
        match self.first(key, value) {
            Some(first) if first == txn => {}
            Some(_) => self.again.entry((key, value)).or_default().push(txn),
            None => {
                let place = &mut self.first[value.index()];
                if *place == NOBODY {
                    *place = (key.0, txn.0);
                } else {
                    self.shared.insert((key, value), txn);
                }
            }
        }
    }

    /// The first who tried to write a value.
    pub(super) fn first(&self, key: KeyId, value: ValueId) -> Option<TxnId> {
        match self.first.get(value.index()) {
            Some(&NOBODY) | None => None,
            Some(&(first, txn)) if first == key.0 => Some(TxnId(txn)),
            Some(_) => self.shared.get(&(key, value)).copied(),
        }
    }

    /// Everyone who tried to write a value.
    pub(super) fn all(&self, key: KeyId, value: ValueId) -> impl Iterator<Item = TxnId> + '_ {
        let again = self.again.get(&(key, value)).into_iter().flatten().copied();
        self.first(key, value).into_iter().chain(again)
    }

    /// Whether more than one transaction tried to write a value.
    pub(super) fn is_ambiguous(&self, key: KeyId, value: ValueId) -> bool {
        self.again.contains_key(&(key, value))
    }

    /// Every value that more than one transaction tried to write, with its key, in no order.
    pub(super) fn ambiguous(&self) -> impl Iterator<Item = (KeyId, ValueId)> + '_ {
        self.again.keys().copied()
    }
}

/// Whether an access writes a value by which its write can be recognised.
pub(super) fn writes_value(history: &History, access: Access) -> bool {
    let function = match history.datatype(access.key) {
        Datatype::Register => Function::Write,
        Datatype::List => Function::Append,
        Datatype::Set => Function::Add,
        _ => return false,
    };
    access.function == function && access.value != ValueId::UNKNOWN
}

/// Whether an access read a version from which its writes can be recognised.
pub(super) fn reads_value(history: &History, access: Access) -> bool {
    access.function == Function::Read
        && access.value != ValueId::UNKNOWN
        && matches!(
            history.datatype(access.key),
            Datatype::Register | Datatype::List | Datatype::Set
        )
}

/// What a read saw, value by value: the version of a register, the elements of a list or set.
/// Nothing for what nobody has to write: `Null` and the empty list.
pub(super) fn observed(history: &History, access: Access) -> Vec<ValueId> {
    let values = history.values();
    match history.datatype(access.key) {
        Datatype::Register if access.value == ValueId::NULL => Vec::new(),
        Datatype::Register => vec![access.value],
        _ => values.elements(access.value),
    }
}

/// The version of a list that an operation's read at a place showed: without the appends that it had
/// made itself, which others may yet be committed before.
pub(super) fn version_read(history: &History, txn: Txn<'_>, at: usize, read: Access) -> ValueId {
    let mut version = read.value;
    while let Some((shorter, last)) = history.values().split(version)
        && txn
            .accesses()
            .take(at)
            .any(|own| own.key == read.key && own.value == last && writes_value(history, own))
    {
        version = shorter;
    }
    version
}
