//! Regularity with many writers (REG): Lamport, "On interprocess communication", 1986, in the form
//! MWR-weak of Shao, Welch, Pierce and Lee, "Multiwriter consistency conditions for shared memory
//! registers", 2011. Each read by itself, together with all writes, is linearizable.
//!
//! ```text
//!   |-- write 1 --|   |-- write 2 --|
//!                                       |-- read 1 --|    2 hides 1: not regular
//! ```
//!
//! An update counts as a blind write for every read but its own.

mod definition;
mod growing;

use rayon::prelude::*;

use crate::check::linear::effect::effect;
use crate::check::regular::definition::{MOST, linear_alone, snapshots};
use crate::check::tally::Tally;
use crate::check::words::{deed, key_name, read_phrase, shown};
use crate::check::writers::{Writers, writes_value};
use crate::check::{Anomaly, Edge, Limits, Property, Status, Step, Verdict};
use crate::history::{Access, Datatype, History, KeyId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// Whether every read of a register, a list, a set or a counter is regular; `None` where there is no
/// such object.
///
/// Registers take O(n log n); values written more than once are no hindrance, because a read is
/// regular if any write of its value explains it. Lists take O(n log n) as long as their reads are
/// compatible; what contradicts the longest read, and sets, O(elements read) more.
/// Objects without recognisable writes are searched, read by read, if the history is small.
pub fn check(history: &History, limits: &Limits) -> Option<Verdict> {
    use Datatype as D;
    let known = |key: &KeyId| {
        matches!(history.datatype(*key), D::Register | D::List | D::Set | D::Counter | D::Text)
    };
    let keys: Vec<KeyId> = history.keys().filter(known).collect();
    if keys.is_empty() {
        return None;
    }
    let by_key = history.by_key();
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let judged: Vec<Tally> = keys
        .par_iter()
        .map(|key| {
            let txns = by_key.group(key.0);
            Object { history, limits, writers: &writers, key: *key, txns }.judge()
        })
        .collect();
    let mut tally = Tally::new(Property::Reg, limits);
    for one in judged {
        tally.join(one);
    }
    snapshots(history, limits, &mut tally);
    Some(tally.verdict("no reads of registers, lists, sets or counters in this history"))
}

struct Object<'h> {
    history: &'h History,
    limits: &'h Limits,
    writers: &'h Writers,
    key: KeyId,
    /// In order of invocation.
    txns: &'h [TxnId],
}

/// The acknowledged writes by return, each with the latest invocation so far.
struct Completed {
    returned: Vec<Rank>,
    latest: Vec<TxnId>,
}

impl Completed {
    fn new<'h>(history: &'h History, writes: impl Iterator<Item = Txn<'h>>) -> Self {
        let mut all: Vec<(Rank, TxnId)> =
            writes.filter(|txn| txn.is_ok()).map(|txn| (txn.returned(), txn.id)).collect();
        all.sort_unstable();
        let mut completed = Self {
            returned: all.iter().map(|(returned, _)| *returned).collect(),
            latest: Vec::with_capacity(all.len()),
        };
        for (_, id) in all {
            let last = completed.latest.last().copied();
            let later = |last: &TxnId| history.txn(*last).invoked() > history.txn(id).invoked();
            completed.latest.push(last.filter(later).unwrap_or(id));
        }
        completed
    }

    /// How many returned before this instant.
    fn before(&self, at: Rank) -> usize {
        self.returned.partition_point(|returned| *returned < at)
    }
}

impl<'h> Object<'h> {
    fn judge(&self) -> Tally {
        let mut tally = Tally::new(Property::Reg, self.limits);
        let datatype = self.history.datatype(self.key);
        let all = || self.txns.iter().map(|id| self.history.txn(*id));
        let kept = |txn: &Txn<'_>| txn.kind() != Kind::Fail;
        let mine = |txn: Txn<'h>| txn.accesses().filter(|access| access.key == self.key);
        let reads = |txn: &Txn<'h>| {
            txn.is_ok()
                && mine(*txn)
                    .any(|one| one.function == Function::Read && one.value != ValueId::UNKNOWN)
        };
        if !all().any(|txn| reads(&txn)) {
            return tally;
        }
        if !all().any(|txn| self.written(txn).is_some()) {
            // A register that nobody wrote may have held anything; nothing is always regular.
            let nothing = [ValueId::NULL, ValueId::EMPTY, ValueId::UNKNOWN];
            if all().filter(reads).flat_map(mine).all(|one| nothing.contains(&one.value)) {
                tally.judged();
            } else {
                tally.doubt(|| format!("nobody ever wrote to {}", self.name()));
            }
            return tally;
        }
        let recognisable = all().filter(kept).flat_map(mine).all(|one| {
            one.value != ValueId::UNKNOWN && writes_value(self.history, one)
                || one.function == Function::Read
        });
        let unique = |one: &Access| {
            let all = self.writers.all(self.key, one.value).map(|id| self.history.txn(id));
            all.filter(kept).count() <= 1
        };
        let growing = |txn: Txn<'h>| {
            let is_set = datatype == Datatype::Set;
            mine(txn).count() == 1
                && mine(txn).all(|one| is_set || one.function == Function::Read || unique(&one))
        };
        match datatype {
            Datatype::Register if recognisable => self.register(&mut tally),
            Datatype::List | Datatype::Set if recognisable && all().filter(kept).all(growing) => {
                self.growing(&mut tally);
            }
            _ => self.searched(&mut tally, all().filter(reads)),
        }
        tally
    }

    /// What an operation wrote to the key; the first of it, where it wrote several times.
    fn written(&self, txn: Txn<'_>) -> Option<ValueId> {
        let is_write = |one: &Access| one.key == self.key && one.function != Function::Read;
        txn.accesses().find(is_write).map(|one| one.value)
    }

    /// Whether an operation that wrote `value` to this register did not write over it itself.
    fn leaves(&self, txn: Txn<'_>, value: ValueId) -> bool {
        effect(txn, self.key).is_none_or(|effect| effect.new == Some(value))
    }

    fn name(&self) -> String {
        key_name(self.history, self.key)
    }

    fn register(&self, tally: &mut Tally) {
        let effects = self.txns.iter().filter_map(|id| {
            let txn = self.history.txn(*id);
            Some((txn, effect(txn, self.key)?))
        });
        let writes = effects.clone().filter(|(_, effect)| effect.new.is_some()).map(|one| one.0);
        let completed = Completed::new(self.history, writes);
        for (read, effect) in effects.filter(|(txn, _)| txn.is_ok()) {
            let Some(value) = effect.old else { continue };
            tally.judged();
            if value == ValueId::UNKNOWN {
                tally.doubt(|| format!("#{} contradicts itself", read.index()));
                continue;
            }
            let hiding = completed.before(read.invoked()).checked_sub(1);
            let hiding = hiding.map(|at| self.history.txn(completed.latest[at]));
            let mut writes = self
                .writers
                .all(self.key, value)
                .map(|id| self.history.txn(id))
                .filter(|txn| txn.kind() != Kind::Fail && txn.id != read.id)
                .filter(|txn| self.leaves(*txn, value));
            let hidden = |write: Txn<'_>| hiding.is_some_and(|hiding| write.precedes(hiding));
            let explained = value == ValueId::NULL && hiding.is_none()
                || writes.any(|write| !read.precedes(write) && !hidden(write));
            if !explained {
                tally.violated(|| self.unexplained(read, value, hiding));
            }
        }
    }

    /// A read that no write of its value explains.
    fn unexplained(&self, read: Txn<'h>, value: ValueId, hiding: Option<Txn<'h>>) -> Anomaly {
        let all = self.writers.all(self.key, value).map(|id| self.history.txn(id));
        let (writes, over): (Vec<Txn<'h>>, Vec<Txn<'h>>) =
            all.filter(|txn| txn.id != read.id).partition(|txn| self.leaves(*txn, value));
        if let Some(write) = over.first().filter(|_| writes.is_empty() && value != ValueId::NULL) {
            let operations = over.iter().map(|txn| txn.id).chain([read.id]).collect();
            let phrase = read_phrase(self.history, read, self.key);
            let sentence = format!("{phrase}, but #{} itself had written over it", write.index());
            return self.anomaly("intermediate-read", operations, Vec::new(), sentence);
        }
        let possible = |txn: &&Txn<'_>| txn.kind() != Kind::Fail && !read.precedes(**txn);
        let Some(hiding) =
            hiding.filter(|_| value == ValueId::NULL || writes.iter().any(|txn| possible(&txn)))
        else {
            return self.thin_or_future(read, value, &writes);
        };
        let mut operations: Vec<TxnId> = writes.iter().map(|txn| txn.id).collect();
        operations.extend([read.id, hiding.id]);
        let why = match writes.iter().find(possible) {
            Some(write) => format!(
                "#{} returned what #{} had written and returned before #{} began",
                read.index(),
                write.index(),
                hiding.index()
            ),
            None => format!("#{} returned what was there before any write", read.index()),
        };
        self.anomaly("stale-read", operations, hidden_cycle(read, hiding, why), {
            let gap = read.invoked_at() - hiding.returned_at();
            format!(
                "{} although a later write, {}, had been acknowledged {gap} before the read began",
                read_phrase(self.history, read, self.key),
                deed(self.history, hiding, Some(self.key)),
            )
        })
    }

    fn thin_or_future(&self, read: Txn<'h>, value: ValueId, writes: &[Txn<'h>]) -> Anomaly {
        let mut operations: Vec<TxnId> = writes.iter().map(|txn| txn.id).collect();
        operations.push(read.id);
        // Any write says that the object is one that is written.
        let writes_at_all = |id: &&TxnId| self.written(self.history.txn(**id)).is_some();
        if writes.is_empty() && self.written(read).is_none() {
            operations.extend(self.txns.iter().find(writes_at_all));
        }
        let (kind, what) = match writes.iter().find(|txn| txn.kind() != Kind::Fail) {
            Some(write) => {
                ("future-read", format!("#{} began to write only after that", write.index()))
            }
            None if writes.is_empty() => ("thin-air-read", "nobody ever wrote".to_owned()),
            None => ("aborted-read", "was written by failed operations only".to_owned()),
        };
        let phrase = read_phrase(self.history, read, self.key);
        let sentence = format!("{phrase}; {} {what}", shown(self.history, value));
        self.anomaly(kind, operations, Vec::new(), sentence)
    }

    fn anomaly(
        &self,
        kind: &'static str,
        mut operations: Vec<TxnId>,
        cycle: Vec<Step>,
        sentence: String,
    ) -> Anomaly {
        operations.sort_unstable();
        operations.dedup();
        Anomaly {
            property: Property::Reg,
            kind,
            set: vec![Property::Reg],
            key: Some(self.key),
            session: None,
            operations,
            cycle,
            assumes: Vec::new(),
            sentence,
        }
    }

    /// Objects without recognisable writes: the definition itself, if that is affordable.
    fn searched(&self, tally: &mut Tally, reads: impl Iterator<Item = Txn<'h>> + Clone) {
        let cost = reads.clone().count() * self.history.len();
        let writes = |id: &TxnId| self.history.txn(*id).writes();
        let all = || self.txns.iter().map(|id| self.history.txn(*id));
        let update = all().any(|txn| txn.kind() != Kind::Fail && txn.accesses().len() > 1);
        if update || cost > MOST {
            let what = self.history.datatype(self.key).name();
            return tally.doubt(|| {
                format!(
                    "the {what} {} is too long, or is updated in place, for a search",
                    self.name()
                )
            });
        }
        let limits = Limits { anomalies: 1, ..self.limits.clone() };
        for read in reads {
            let mut operations: Vec<TxnId> = self.txns.iter().copied().filter(writes).collect();
            operations.push(read.id);
            operations.sort_unstable();
            // Fewer of the writes would prove anything: those of a counter all count.
            let (verdict, _) = linear_alone(self.history, &operations, &limits);
            match verdict.status {
                Status::Valid => tally.judged(),
                Status::Unknown => tally.doubt(|| verdict.reason.unwrap_or_default()),
                Status::Invalid => tally.violated(|| {
                    let phrase = read_phrase(self.history, read, self.key);
                    let sentence = format!("{phrase}, which no order of the writes explains");
                    self.anomaly("irregular-read", operations, Vec::new(), sentence)
                }),
            }
        }
    }
}

/// A write that was acknowledged before a read began, and that the read does not reflect.
fn hidden_cycle(read: Txn<'_>, write: Txn<'_>, why: String) -> Vec<Step> {
    let acknowledged =
        format!("#{} was acknowledged before #{} began", write.index(), read.index());
    vec![
        Step { from: write.id, to: read.id, edge: Edge::Rt, why: acknowledged },
        Step { from: read.id, to: write.id, edge: Edge::Rw, why },
    ]
}
