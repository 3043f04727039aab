//! Lost acknowledged writes: AWL (ANOMALIES section 5).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::losses::Judged;
use crate::check::store_versions::StoreVersions;
use crate::check::words::{deed, key_name, place, session_name, shown_at};
use crate::check::writers::{Writers, observed, reads_value, writes_value};
use crate::check::{Anomaly, Assumption, Edge, Limits, Property, Step, Verdict};
use crate::history::{Access, Datatype, History, KeyId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// Judges whether the final reads reflect every acknowledged write.
///
/// An element of a list or set is lost if no final read after its acknowledgement has it (and nobody
/// tried to remove it). A write of a register is lost if every such read returned a version that no
/// legal order puts after it: the initial one; one whose write had returned before the lost one was
/// invoked; or one made from such a version by updates that left the lost write no room between. Where
/// the store gave versions that agree with the values, one with a lower version is older as well (E7).
/// O(n + total length of distinct final reads).
pub fn check(history: &History, limits: &Limits) -> Verdict {
    let Some((lost, _)) = look(history) else {
        return Verdict::unknown(
            Property::Awl,
            "no final reads of registers, lists or sets in this history",
        );
    };
    if lost.is_empty() {
        return Verdict::valid(Property::Awl);
    }
    let acknowledged = lost.iter().map(|one| one.write.returned_at());
    let (first, last) = (acknowledged.clone().min(), acknowledged.max());
    let window = match (first, last) {
        (Some(first), Some(last)) if lost.len() > 1 => {
            format!(
                "{} acknowledged writes are lost, acknowledged from {first} to {last}",
                lost.len()
            )
        }
        _ => "1 acknowledged write is lost".to_owned(),
    };
    let kept = lost.iter().take(limits.anomalies.max(1));
    let anomalies: Vec<Anomaly> = kept.map(|one| one.anomaly(history)).collect();
    Verdict {
        count: lost.len() as u64,
        reason: Some(window),
        ..Verdict::invalid(Property::Awl, anomalies)
    }
}

/// Every acknowledged write that final reads tell of, and whether it is lost.
pub(super) fn judged(history: &History) -> Judged {
    let Some((lost, acknowledged)) = look(history) else { return Vec::new() };
    let mut judged: BTreeMap<TxnId, bool> =
        acknowledged.into_iter().map(|txn| (txn, false)).collect();
    judged.extend(lost.iter().map(|one| (one.write.id, true)));
    judged.into_iter().collect()
}

/// The lost writes, and all acknowledged ones that were judged; `None` without final reads.
fn look(history: &History) -> Option<(Vec<Lost<'_>>, Vec<TxnId>)> {
    let by_key = history.by_key();
    let mut finals: Vec<Vec<Txn<'_>>> = vec![Vec::new(); history.key_count()];
    for txn in history.txns().filter(|txn| txn.is_ok() && txn.is_final()) {
        let reads = txn.accesses().filter(|access| reads_value(history, *access));
        for key in reads.map(|access| access.key).collect::<BTreeSet<KeyId>>() {
            finals[key.index()].push(txn);
        }
    }
    if finals.iter().all(Vec::is_empty) {
        return None;
    }
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let versions = StoreVersions::new(history, &writers);
    let (mut lost, mut acknowledged) = (Vec::new(), Vec::new());
    for key in history.keys().filter(|key| !finals[key.index()].is_empty()) {
        let txns = by_key.group(key.0);
        let judge = Judge { history, writers: &writers, versions: &versions, key, txns };
        lost.extend(judge.lost(&finals[key.index()], &mut acknowledged));
    }
    Some((lost, acknowledged))
}

/// An acknowledged write that no final read reflects.
struct Lost<'h> {
    write: Txn<'h>,
    access: Access,
    /// The final reads after its acknowledgement.
    reads: Vec<Txn<'h>>,
    /// What proves of a register's version that it is older.
    proof: BTreeSet<TxnId>,
    /// Whether the store's own versions are part of the proof.
    by_version: bool,
}

struct Judge<'j, 'h> {
    history: &'h History,
    writers: &'j Writers,
    versions: &'j StoreVersions,
    key: KeyId,
    txns: &'j [TxnId],
}

impl<'h> Judge<'_, 'h> {
    /// The lost writes; every acknowledged one that is judged is added to `acknowledged`.
    fn lost(&self, finals: &[Txn<'h>], acknowledged: &mut Vec<TxnId>) -> Vec<Lost<'h>> {
        let removed: FxHashSet<ValueId> = self
            .accesses(|txn| txn.kind() != Kind::Fail)
            .filter(|(_, access)| access.function == Function::Remove)
            .map(|(_, access)| access.value)
            .collect();
        let mut known: FxHashMap<ValueId, Rc<Version>> = FxHashMap::default();
        let versions: Vec<Rc<Version>> = finals
            .iter()
            .map(|read| {
                let Some(access) = self.read(*read) else { return Rc::default() };
                known.entry(access.value).or_insert_with(|| Rc::new(self.version(access))).clone()
            })
            .collect();
        // For each value, the last final read that reflects it.
        let mut reflected: FxHashMap<ValueId, Rank> = FxHashMap::default();
        for (read, version) in finals.iter().zip(&versions) {
            for value in &version.holds {
                let latest = reflected.entry(*value).or_insert(read.invoked());
                *latest = read.invoked().max(*latest);
            }
        }
        let is_register = self.history.datatype(self.key) == Datatype::Register;
        let last = finals.iter().map(|read| read.invoked()).max();
        let mut lost = Vec::new();
        for (write, access) in self.accesses(Txn::is_ok) {
            let is_written = writes_value(self.history, access) && !removed.contains(&access.value);
            let shown_later =
                reflected.get(&access.value).is_some_and(|read| write.returned() < *read);
            if !is_written || self.rewritten(write, access) {
                continue;
            }
            if Some(write.returned()) < last {
                acknowledged.push(write.id);
            }
            if shown_later {
                continue;
            }
            let after: Vec<usize> =
                (0..finals.len()).filter(|at| write.precedes(finals[*at])).collect();
            if after.is_empty() {
                continue;
            }
            let mut proof: BTreeSet<TxnId> = BTreeSet::new();
            let mut by_version = false;
            let mut is_older = |at: &usize| {
                proof.extend(&versions[*at].made_by);
                if !is_register || versions[*at].is_before(self, write) {
                    return true;
                }
                by_version = true;
                self.has_lower_version(finals[*at], write, access, &mut proof)
            };
            if after.iter().all(&mut is_older) {
                let reads = after.iter().map(|at| finals[*at]).collect();
                lost.push(Lost { write, access, reads, proof, by_version });
            }
        }
        lost
    }

    /// Whether the store itself gave a final read a lower version than the write; whoever says so is
    /// added to the proof.
    fn has_lower_version(
        &self,
        read: Txn<'_>,
        write: Txn<'_>,
        access: Access,
        proof: &mut BTreeSet<TxnId>,
    ) -> bool {
        let told = |txn: Txn<'_>, value: ValueId| {
            let own = self.versions.of(txn.id).map(|(_, version)| (version, [txn.id; 2]));
            own.or_else(|| self.versions.of_value(self.key, value))
        };
        let found = self.read(read).and_then(|access| told(read, access.value));
        match (found, told(write, access.value)) {
            (Some((found, by)), Some((lost, also_by))) if found < lost => {
                proof.extend(by.iter().chain(&also_by));
                true
            }
            _ => false,
        }
    }

    /// Whether one transaction wrote the register again: only its last value stays.
    fn rewritten(&self, write: Txn<'_>, access: Access) -> bool {
        self.history.datatype(self.key) == Datatype::Register
            && write
                .accesses()
                .filter(|one| one.key == self.key && writes_value(self.history, *one))
                .last()
                .is_some_and(|last| last.value != access.value)
    }

    fn accesses(
        &self,
        wanted: impl Fn(Txn<'h>) -> bool,
    ) -> impl Iterator<Item = (Txn<'h>, Access)> {
        let key = self.key;
        let txns = self.txns.iter().map(|txn| self.history.txn(*txn));
        txns.filter(move |txn| wanted(*txn)).flat_map(move |txn| {
            txn.accesses().filter(move |access| access.key == key).map(move |access| (txn, access))
        })
    }

    fn read(&self, read: Txn<'_>) -> Option<Access> {
        read.accesses().find(|one| one.key == self.key && reads_value(self.history, *one))
    }

    /// What a final read returned, and how it was made.
    fn version(&self, access: Access) -> Version {
        if self.history.datatype(self.key) != Datatype::Register {
            return Version { holds: observed(self.history, access), ..Version::default() };
        }
        let mut version = Version { read: Some(access.value), ..Version::default() };
        let mut at = access.value;
        // A version made by an update contains what the update read, and so on down to a plain
        // write, whose predecessor nobody knows, or to the initial version.
        let mut seen = FxHashSet::default();
        while at != ValueId::NULL && seen.insert(at) {
            version.holds.push(at);
            version.root = Some(at);
            if self.writers.is_ambiguous(self.key, at) {
                return version;
            }
            let Some(writer) = self.writers.first(self.key, at) else { return version };
            let writer = self.history.txn(writer);
            version.made_by.push(writer.id);
            let is_update = matches!(writer.function(), Function::Cas | Function::Rmw);
            let knows = writer.is_ok() || writer.function() == Function::Cas;
            match writer.read() {
                Some(before) if is_update && knows && before != ValueId::UNKNOWN => at = before,
                _ => return version,
            }
        }
        if at == ValueId::NULL {
            // Where nothing was written as a value, nothing is the initial version.
            let written = self.writers.first(self.key, ValueId::NULL);
            version.root = written.map(|_| ValueId::NULL);
        }
        version
    }
}

/// What a final read returned.
#[derive(Default)]
struct Version {
    /// The value of a register.
    read: Option<ValueId>,
    /// The values it reflects.
    holds: Vec<ValueId>,
    /// The oldest version of a register that it is known to be made from; `None` for the initial one.
    root: Option<ValueId>,
    /// The writers of the versions it is made from.
    made_by: Vec<TxnId>,
}

impl Version {
    /// Whether no legal order puts it after `write`, which it does not reflect.
    fn is_before(&self, judge: &Judge<'_, '_>, write: Txn<'_>) -> bool {
        let older = |value: ValueId| {
            let mut writers = judge.writers.all(judge.key, value).peekable();
            writers.peek().is_some() && writers.all(|one| judge.history.txn(one).precedes(write))
        };
        self.root.is_none_or(older) || self.read.is_some_and(older)
    }
}

impl Lost<'_> {
    fn anomaly(&self, history: &History) -> Anomaly {
        let key = self.access.key;
        let is_register = history.datatype(key) == Datatype::Register;
        let what = match history.datatype(key) {
            Datatype::Register => "shows a state from before it",
            _ => "has it",
        };
        let mut seen: Vec<String> = self
            .reads
            .iter()
            .filter_map(|read| read.accesses().find(|one| one.key == key))
            .map(|access| shown_at(history, key, access.value))
            .collect();
        seen.dedup();
        let sentence = format!(
            "{} {}, acknowledged at {}{}, but {} final read of {} {what} (#{}: {})",
            session_name(history, self.write),
            deed(history, self.write, Some(key)),
            self.write.returned_at(),
            place(history, self.write),
            if is_register { "every" } else { "no" },
            key_name(history, key),
            self.reads[0].index(),
            seen.join("; "),
        );
        // One final read stands for all: they agree that the write is not there.
        let read = self.reads[self.reads.len() - 1];
        let mut cycle = vec![Step {
            from: self.write.id,
            to: read.id,
            edge: Edge::Rt,
            why: format!(
                "#{} was acknowledged before #{} was invoked",
                self.write.index(),
                read.index()
            ),
        }];
        cycle.push(Step {
            from: read.id,
            to: self.write.id,
            edge: Edge::Rw,
            why: format!("#{} does not reflect #{}", read.index(), self.write.index()),
        });
        let mut operations: BTreeSet<TxnId> = self.reads.iter().map(|read| read.id).collect();
        operations.insert(self.write.id);
        operations.extend(&self.proof);
        Anomaly {
            property: Property::Awl,
            kind: "lost-write",
            set: vec![Property::Awl],
            key: Some(key),
            session: Some(self.write.session()),
            operations: operations.into_iter().collect(),
            cycle,
            assumes: if self.by_version { vec![Assumption::StoreVersions] } else { Vec::new() },
            sentence,
        }
    }
}
