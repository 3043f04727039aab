//! Reads that no order of transactions explains.

use crate::check::words::{deed, key_name, shown};
use crate::check::{Anomaly, Property};
use crate::history::{History, KeyId, TxnId, ValueId};

/// A read that no order of transactions explains.
#[derive(Clone, Debug)]
pub(super) struct Flaw {
    kind: &'static str,
    key: KeyId,
    found_by: TxnId,
    other: Option<TxnId>,
    sentence: String,
}

/// The first flaw of each severity.
#[derive(Clone, Debug, Default)]
pub(super) struct Flaws {
    /// It refutes read committed: G1a, G1b, or a read of what nobody can have left there.
    pub(super) uncommitted: Option<Flaw>,
    /// A transaction misses its own write, or sees it before: refutes read committed.
    pub(super) own: Option<Flaw>,
    /// A transaction reads a key twice and finds different versions: refutes read atomic.
    pub(super) repeated: Option<Flaw>,
}

impl Flaws {
    pub(super) fn note(&mut self, flaw: Flaw) {
        let place = match flaw.kind {
            "non-repeatable-read" => &mut self.repeated,
            "own-write-missed" | "future-read" => &mut self.own,
            _ => &mut self.uncommitted,
        };
        place.get_or_insert(flaw);
    }
}

impl Flaw {
    /// A transaction contradicts itself.
    pub(super) fn within(
        history: &History,
        kind: &'static str,
        key: KeyId,
        found_by: TxnId,
    ) -> Self {
        let story = match kind {
            "future-read" => "read what it only wrote later",
            "own-write-missed" => "did not read what it had written itself",
            _ => "read one key twice and found different versions",
        };
        let sentence = format!(
            "One transaction {story}: it {}.",
            deed(history, history.txn(found_by), Some(key))
        );
        Self { kind, key, found_by, other: None, sentence }
    }

    /// A transaction read what nobody can have left there.
    pub(super) fn of(
        history: &History,
        kind: &'static str,
        key: KeyId,
        value: ValueId,
        found_by: TxnId,
        other: Option<TxnId>,
    ) -> Self {
        let story = match kind {
            "aborted-read" => "which an aborted transaction wrote",
            "intermediate-read" => "which its transaction wrote over again",
            "appends-out-of-order" => "without what its transaction had appended before",
            "duplicated-element" => "twice, although it was appended once",
            _ => "which nobody wrote",
        };
        let reader = history.txn(found_by).index();
        let writer = other.map_or(String::new(), |one| format!(" (#{})", history.txn(one).index()));
        let (key_text, value) = (key_name(history, key), shown(history, value));
        let sentence =
            format!("Transaction #{reader} found {value} in {key_text}, {story}{writer}.");
        Self { kind, key, found_by, other, sentence }
    }

    /// Two transactions found the elements of a list in different orders.
    pub(super) fn orders(history: &History, key: KeyId, found_by: TxnId, other: TxnId) -> Self {
        let phrase = |txn| deed(history, history.txn(txn), Some(key));
        let sentence = format!(
            "No order of appends explains both reads of {}: one transaction {}, another {}.",
            key_name(history, key),
            phrase(found_by),
            phrase(other)
        );
        Self { kind: "incompatible-order", key, found_by, other: Some(other), sentence }
    }

    /// As the proof that a level is violated.
    pub(super) fn anomaly(&self, history: &History, property: Property) -> Anomaly {
        let mut operations = vec![self.found_by];
        operations.extend(self.other);
        Anomaly::of(
            property,
            self.kind,
            self.key,
            history.txn(self.found_by),
            operations,
            Vec::new(),
            self.sentence.clone(),
        )
    }
}
