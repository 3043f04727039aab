//! Where what was read came from: THIN, G1a and FUT (ANOMALIES section 6).

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::tally::Tally;
use crate::check::words::{key_name, place, read_phrase, shown};
use crate::check::writers::{Writers, observed, reads_value};
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::history::{Datatype, History, KeyId, Txn, TxnId, ValueId};
use crate::model::Kind;

/// Judges where every value read from a register, a list or a set came from.
///
/// A read that saw nothing, or whose outcome is unknown, says nothing. O(values read): a value of a
/// list is looked at once, however many reads share it.
pub fn check(history: &History, limits: &Limits) -> [Verdict; 3] {
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let mut found = Found::new(limits);
    let mut seen = Checked::default();
    for txn in history.txns().filter(|txn| txn.is_ok()) {
        for access in txn.accesses().filter(|access| reads_value(history, *access)) {
            found.tallies.iter_mut().for_each(Tally::judged);
            // A version seen before, by a read that returned earlier, can hold nothing new: its
            // elements are known, and were written before that return.
            if !seen.is_new(history, txn, access.key, access.value) {
                continue;
            }
            for value in observed(history, access) {
                found.judge(history, &writers, txn, access.key, value);
            }
        }
    }
    found.tallies.map(|tally| tally.verdict("no reads of registers, lists or sets in this history"))
}

/// The versions already judged, with the earliest return of a read that saw them.
#[derive(Default)]
struct Checked(FxHashMap<(KeyId, ValueId), u32>);

impl Checked {
    fn is_new(&mut self, history: &History, txn: Txn<'_>, key: KeyId, version: ValueId) -> bool {
        if !history.values().is_list(version) {
            return true;
        }
        let returned = txn.returned().0;
        let earliest = self.0.entry((key, version)).or_insert(u32::MAX);
        let is_new = returned < *earliest;
        *earliest = returned.min(*earliest);
        is_new
    }
}

/// THIN, G1a and FUT.
struct Found {
    tallies: [Tally; 3],
    reported: FxHashSet<(usize, KeyId, ValueId)>,
}

impl Found {
    fn new(limits: &Limits) -> Self {
        let properties = [Property::Thin, Property::G1a, Property::Fut];
        let tallies = properties.map(|property| Tally::new(property, limits));
        Self { tallies, reported: FxHashSet::default() }
    }

    fn judge(
        &mut self,
        history: &History,
        writers: &Writers,
        read: Txn<'_>,
        key: KeyId,
        value: ValueId,
    ) {
        let mut writes = writers.all(key, value).map(|txn| history.txn(txn)).peekable();
        if writes.peek().is_none() {
            return self.add(0, key, value, || thin(history, read, key, value));
        }
        let writes: Vec<Txn<'_>> = writes.collect();
        if writes.iter().all(|write| write.kind() == Kind::Fail) {
            self.add(1, key, value, || aborted(history, read, &writes, key, value));
        }
        if writes.iter().all(|write| read.precedes(*write)) {
            self.add(2, key, value, || future(history, read, &writes, key, value));
        }
    }

    /// Counts a value once, however many read it.
    fn add(&mut self, which: usize, key: KeyId, value: ValueId, anomaly: impl FnOnce() -> Anomaly) {
        if self.reported.insert((which, key, value)) {
            self.tallies[which].violated(anomaly);
        }
    }
}

fn anomaly(
    property: Property,
    kind: &'static str,
    key: KeyId,
    read: Txn<'_>,
    writes: &[Txn<'_>],
    sentence: String,
) -> Anomaly {
    let mut operations: Vec<TxnId> = writes.iter().map(|write| write.id).collect();
    operations.push(read.id);
    operations.sort_unstable();
    operations.dedup();
    Anomaly {
        property,
        kind,
        set: vec![property],
        key: Some(key),
        session: Some(read.session()),
        operations,
        cycle: Vec::new(),
        assumes: Vec::new(),
        sentence,
    }
}

/// The anomaly of a value that nobody tried to write.
pub(super) fn thin(history: &History, read: Txn<'_>, key: KeyId, value: ValueId) -> Anomaly {
    let sentence = format!(
        "{}, but nobody ever tried to write {} there{}",
        read_phrase(history, read, key),
        shown(history, value),
        perhaps_initial(history, key)
    );
    anomaly(Property::Thin, "thin-air-read", key, read, &[], sentence)
}

/// What a value that nobody wrote may be, where the history does not say what a register began with.
fn perhaps_initial(history: &History, key: KeyId) -> &'static str {
    if history.datatype(key) == Datatype::Register && history.initial(key).is_none() {
        "; if the register began with it, say so with --initial"
    } else {
        ""
    }
}

/// The anomaly of a value whose every write failed.
pub(super) fn aborted(
    history: &History,
    read: Txn<'_>,
    writes: &[Txn<'_>],
    key: KeyId,
    value: ValueId,
) -> Anomaly {
    let write = writes[0];
    let sentence = format!(
        "{}, but {} of {} to {} (#{}{}) was reported as failed, without effect; if that failure was a timeout \
         or a lost connection, it had to be recorded as of unknown outcome (specification 1.2.1)",
        read_phrase(history, read, key),
        if writes.len() > 1 { "every write" } else { "the only write" },
        shown(history, value),
        key_name(history, key),
        write.index(),
        place(history, write),
    );
    anomaly(Property::G1a, "aborted-read", key, read, writes, sentence)
}

fn future(
    history: &History,
    read: Txn<'_>,
    writes: &[Txn<'_>],
    key: KeyId,
    value: ValueId,
) -> Anomaly {
    let write = writes.iter().copied().min_by_key(|write| write.invoked()).unwrap_or(read);
    let sentence = format!(
        "{} and returned at {}, but the write of {} (#{}) was only invoked at {}; \
         no store can do that, so suspect the recorder's clock first{}",
        read_phrase(history, read, key),
        read.returned_at(),
        shown(history, value),
        write.index(),
        write.invoked_at(),
        perhaps_initial(history, key),
    );
    let cycle = vec![
        Step {
            from: write.id,
            to: read.id,
            edge: Edge::Wr,
            why: format!(
                "#{} read {}, which #{} wrote",
                read.index(),
                shown(history, value),
                write.index()
            ),
        },
        Step {
            from: read.id,
            to: write.id,
            edge: Edge::Rt,
            why: format!("#{} returned before #{} was invoked", read.index(), write.index()),
        },
    ];
    Anomaly { cycle, ..anomaly(Property::Fut, "future-read", key, read, writes, sentence) }
}
