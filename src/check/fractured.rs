//! Fractured reads: FR (ANOMALIES section 6; Bailis et al. 2014, RAMP).

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::lineage::Lineage;
use crate::check::tally::Tally;
use crate::check::words::{deed, key_name, session_name, shown_at};
use crate::check::writers::{Writers, reads_value, writes_value};
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::history::{Access, Datatype, Grouped, History, KeyId, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// Judges whether transactions are seen whole: who reads what a transaction wrote to one key reads, of
/// every other key it wrote, that or something newer.
///
/// Older is the initial version, a version that the written one was made from, and a list or set that
/// lacks what was added. An indeterminate transaction that was seen must be seen whole as well. `None`
/// if no transaction wrote two keys. O(Σ|T|²) and the length of lists looked into.
pub fn check(history: &History, limits: &Limits) -> Option<Verdict> {
    let writes_two = |txn: Txn<'_>| {
        let mut keys = txn.accesses().filter(|one| writes_value(history, *one)).map(|one| one.key);
        keys.next().is_some_and(|first| keys.any(|key| key != first))
    };
    if !history.txns().any(|txn| txn.kind() != Kind::Fail && writes_two(txn)) {
        return None;
    }
    let mut judge = Judge::new(history);
    let mut tally = Tally::new(Property::Fr, limits);
    for reader in history.txns().filter(|txn| txn.is_ok()) {
        let reads = judge.external_reads(reader);
        if reads.len() < 2 {
            continue;
        }
        tally.judged();
        if let Some(half) = judge.half_seen(reader, &reads) {
            tally.violated(|| judge.anomaly(reader, &half));
        }
    }
    Some(tally.verdict("transactions wrote several keys, but none read two"))
}

/// A transaction of which a reader saw one part and missed another.
struct Half {
    writer: TxnId,
    seen: KeyId,
    missed: Access,
    /// What proves that what was read instead is older.
    made_by: Vec<TxnId>,
}

struct Judge<'h> {
    history: &'h History,
    writers: Writers,
    by_key: Grouped,
    null_is_written: FxHashSet<KeyId>,
    removed: FxHashSet<(KeyId, ValueId)>,
    lineages: FxHashMap<KeyId, (Lineage, FxHashMap<ValueId, u32>)>,
}

impl<'h> Judge<'h> {
    fn new(history: &'h History) -> Self {
        let (mut null_is_written, mut removed) = (FxHashSet::default(), FxHashSet::default());
        for txn in history.txns().filter(|txn| txn.kind() != Kind::Fail) {
            for access in txn.accesses() {
                if access.function == Function::Remove {
                    removed.insert((access.key, access.value));
                } else if access.value == ValueId::NULL && writes_value(history, access) {
                    null_is_written.insert(access.key);
                }
            }
        }
        Self {
            history,
            writers: Writers::new(history, history.txns().map(|txn| txn.id)),
            by_key: history.by_key(),
            null_is_written,
            removed,
            lineages: FxHashMap::default(),
        }
    }

    /// The first read of each key that does not follow the reader's own write of it; of lists and
    /// sets the first read.
    fn external_reads(&self, reader: Txn<'_>) -> BTreeMap<KeyId, ValueId> {
        let (mut reads, mut own) = (BTreeMap::new(), Vec::new());
        for access in reader.accesses() {
            if writes_value(self.history, access) {
                if self.history.datatype(access.key) == Datatype::Register {
                    own.push(access.key);
                }
            } else if reads_value(self.history, access) && !own.contains(&access.key) {
                reads.entry(access.key).or_insert(access.value);
            }
        }
        reads
    }

    /// The other transactions whose writes are what a read shows.
    fn sources(&self, reader: Txn<'_>, key: KeyId, version: ValueId) -> Vec<TxnId> {
        let values = self.history.values();
        let writer = |value: ValueId| {
            let writer = self.writers.first(key, value)?;
            let counts = writer != reader.id
                && !self.writers.is_ambiguous(key, value)
                && self.history.txn(writer).kind() != Kind::Fail;
            counts.then_some(writer)
        };
        let is_own = |value: &ValueId| self.writers.first(key, *value) == Some(reader.id);
        match self.history.datatype(key) {
            Datatype::Register if version == ValueId::NULL => Vec::new(),
            Datatype::Register => writer(version).into_iter().collect(),
            // The version of a list is that of its last element.
            Datatype::List => {
                let last = values.backwards(version).find(|value| !is_own(value));
                last.and_then(writer).into_iter().collect()
            }
            _ => values.backwards(version).filter_map(writer).collect(),
        }
    }

    fn half_seen(&mut self, reader: Txn<'_>, reads: &BTreeMap<KeyId, ValueId>) -> Option<Half> {
        for (seen, version) in reads {
            for writer in self.sources(reader, *seen, *version) {
                let written: Vec<Access> = self.history.txn(writer).accesses().collect();
                for (at, access) in written.iter().enumerate() {
                    let Some(read) = reads.get(&access.key).filter(|_| access.key != *seen) else {
                        continue;
                    };
                    let again = |later: &Access| {
                        later.key == access.key && writes_value(self.history, *later)
                    };
                    let is_register = self.history.datatype(access.key) == Datatype::Register;
                    if !writes_value(self.history, *access)
                        || is_register && written[at + 1..].iter().any(again)
                    {
                        continue;
                    }
                    if let Some(made_by) = self.is_older(*read, *access) {
                        return Some(Half { writer, seen: *seen, missed: *access, made_by });
                    }
                }
            }
        }
        None
    }

    /// Whether `read` is certainly older than what `written` wrote, and who proves it.
    fn is_older(&mut self, read: ValueId, written: Access) -> Option<Vec<TxnId>> {
        let (key, value) = (written.key, written.value);
        if self.history.datatype(key) != Datatype::Register {
            let is_there = self.history.values().backwards(read).any(|element| element == value);
            let excused =
                self.removed.contains(&(key, value)) || self.writers.is_ambiguous(key, value);
            return (!is_there && !excused).then(Vec::new);
        }
        if read == value || self.writers.is_ambiguous(key, value) {
            return None;
        }
        if read == ValueId::NULL {
            return (!self.null_is_written.contains(&key)).then(Vec::new);
        }
        let (lineage, ages) = self.lineages.entry(key).or_insert_with(|| {
            let txns = self.by_key.group(key.0);
            let lineage = Lineage::new(self.history, &self.writers, key, txns);
            let ages = lineage.ages();
            (lineage, ages)
        });
        // Only what is fewer steps from the beginning can be an ancestor.
        if ages.get(&read) >= ages.get(&value) {
            return None;
        }
        let made_by = lineage.path(value, read);
        (!made_by.is_empty()).then_some(made_by)
    }

    fn anomaly(&self, reader: Txn<'_>, half: &Half) -> Anomaly {
        let history = self.history;
        let writer = history.txn(half.writer);
        let missed = key_name(history, half.missed.key);
        let value = shown_at(history, half.missed.key, half.missed.value);
        let sentence = format!(
            "{} {}, which shows what #{} wrote to {} but not its {value} of {missed}: half a transaction",
            session_name(history, reader),
            deed(history, reader, None),
            writer.index(),
            key_name(history, half.seen),
        );
        let cycle = vec![
            Step {
                from: writer.id,
                to: reader.id,
                edge: Edge::Wr,
                why: format!(
                    "#{} read {} as #{} wrote it",
                    reader.index(),
                    key_name(history, half.seen),
                    writer.index()
                ),
            },
            Step {
                from: reader.id,
                to: writer.id,
                edge: Edge::Rw,
                why: format!(
                    "#{} read a version of {missed} older than {value}, which #{} wrote",
                    reader.index(),
                    writer.index()
                ),
            },
        ];
        let mut operations = vec![writer.id, reader.id];
        operations.extend(&half.made_by);
        operations.sort_unstable();
        operations.dedup();
        Anomaly {
            property: Property::Fr,
            kind: "fractured-read",
            set: vec![Property::Fr],
            key: Some(half.missed.key),
            session: Some(reader.session()),
            operations,
            cycle,
            assumes: Vec::new(),
            sentence,
        }
    }
}
