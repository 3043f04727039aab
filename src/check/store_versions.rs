//! Versions that the store gave: VERS, and the order of writes they tell (specification 1.3, E7).
//!
//! A revision, zxid or log position is taken to mean this, and no more: an acknowledged write of a
//! register carries the number of the version it made, a read the number of the version it returned;
//! no two writes of one key have the same number, and a version that replaced another has the greater
//! one. The number of the whole store at the time of an answer is no such version (etcd: a write's is
//! `header.revision`, a read's `mod_revision`). What operations on several keys carry is left aside.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::check::tally::Tally;
use crate::check::words::{deed, key_name, session_name, shown};
use crate::check::writers::Writers;
use crate::check::{Anomaly, Assumption, Edge, Limits, Property, Step, Verdict};
use crate::history::{Datatype, History, KeyId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// Judges whether the versions that the store gave agree with what was written and read.
///
/// One version has one value; a value has no more versions than there are writes of it; an update has
/// a greater version than what it replaced, at once or through others. That the versions of writes
/// follow real time, the order of a session or what a session had read is judged only if it is
/// assumed (E5, E4, E6); otherwise how many fall in real time is said in the reason. `None` if the
/// store gave no versions. O(n log n).
pub fn check(history: &History, limits: &Limits) -> Option<Verdict> {
    if !history.txns().any(|txn| txn.version().is_some()) {
        return None;
    }
    let mut tally = Tally::new(Property::Vers, limits);
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let mut fallen = 0;
    for facts in KeyFacts::of_all(history) {
        tally.judged();
        let key = Judge { history, writers: &writers, key: facts.key, facts: &facts.facts };
        key.contradictions(&mut |proof| tally.violated(proof));
        for assumption in &limits.assume {
            key.against(*assumption, &mut |proof| tally.violated(proof));
        }
        key.falling(|_| 0, |_, _| fallen += 1);
    }
    let mut verdict =
        tally.verdict("versions were given only for what is not done to one register alone");
    if fallen > 0 && !limits.assume.contains(&Assumption::WritesInRealTimeOrder) {
        verdict.reason = Some(format!(
            "{fallen} of the acknowledged writes got a lower version than one acknowledged before it was \
             invoked: no failure unless writes in real-time order were assumed"
        ));
    }
    Some(verdict)
}

/// What one acknowledged operation says of one version of a register.
#[derive(Clone, Copy)]
struct Fact {
    version: i64,
    value: ValueId,
    txn: TxnId,
    is_write: bool,
}

/// What an operation says of a version, and of which key, if it is on one register alone. A read that
/// found nothing says nothing.
fn fact(history: &History, txn: Txn<'_>) -> Option<(KeyId, Fact)> {
    let version = txn.version().filter(|_| txn.is_ok())?;
    let mut accesses = txn.accesses();
    let first = accesses.next()?;
    let (last, is_update) = match (first.function, accesses.next()) {
        (Function::Read | Function::Write, None) => (first, false),
        (Function::Read, Some(second)) if second.function == Function::Write => (second, true),
        _ => return None,
    };
    let is_write = last.function == Function::Write;
    let says = last.value != ValueId::UNKNOWN && (is_write || last.value != ValueId::NULL);
    let is_alone = accesses.next().is_none() && !(is_update && first.key != last.key);
    (says && is_alone && history.datatype(last.key) == Datatype::Register)
        .then_some((last.key, Fact { version, value: last.value, txn: txn.id, is_write }))
}

/// All that was said of the versions of one key: by version, writes first.
struct KeyFacts {
    key: KeyId,
    facts: Vec<Fact>,
}

impl KeyFacts {
    /// Those of every key that has any.
    fn of_all(history: &History) -> Vec<Self> {
        let mut keys: BTreeMap<KeyId, Vec<Fact>> = BTreeMap::new();
        for (key, fact) in history.txns().filter_map(|txn| fact(history, txn)) {
            keys.entry(key).or_default().push(fact);
        }
        let sorted = |(key, mut facts): (KeyId, Vec<Fact>)| {
            facts.sort_by_key(|fact| (fact.version, !fact.is_write, fact.txn));
            Self { key, facts }
        };
        keys.into_iter().map(sorted).collect()
    }
}

/// Takes the proof of a violation.
type Found<'f> = &'f mut dyn FnMut(&dyn Fn() -> Anomaly);

struct Judge<'j> {
    history: &'j History,
    writers: &'j Writers,
    key: KeyId,
    facts: &'j [Fact],
}

impl Judge<'_> {
    /// What is wrong with the versions whatever order the store promises.
    fn contradictions(&self, found: Found<'_>) {
        self.shared_versions(found);
        let by_value = self.by_value();
        for (value, facts) in &by_value {
            self.surplus_versions(*value, facts, found);
        }
        self.falling_updates(&by_value, found);
    }

    /// One fact for each version of each value, by value.
    fn by_value(&self) -> BTreeMap<ValueId, Vec<Fact>> {
        let mut values: BTreeMap<ValueId, Vec<Fact>> = BTreeMap::new();
        for fact in self.facts {
            let facts = values.entry(fact.value).or_default();
            if facts.last().is_none_or(|last| last.version != fact.version) {
                facts.push(*fact);
            }
        }
        values
    }

    /// Versions with two values, or that two writes made.
    fn shared_versions(&self, found: Found<'_>) {
        for same in self.facts.chunk_by(|one, other| one.version == other.version) {
            let first = same[0];
            let other = same[1..].iter().find(|fact| fact.is_write || fact.value != first.value);
            if let Some(other) = other {
                found(&|| self.shared_version(first, *other));
            }
        }
    }

    fn shared_version(&self, one: Fact, other: Fact) -> Anomaly {
        let sentence = format!(
            "version {} of {} stands for two writes: {} and {}",
            one.version,
            key_name(self.history, self.key),
            self.deed(one),
            self.deed(other),
        );
        self.anomaly("version-given-twice", other, vec![one.txn, other.txn], sentence)
    }

    /// A value with more versions than there are writes of it.
    fn surplus_versions(&self, value: ValueId, facts: &[Fact], found: Found<'_>) {
        let writes = self.writes(value);
        if writes.is_empty() || facts.len() <= writes.len() {
            return;
        }
        found(&|| {
            let versions: Vec<String> = facts
                .iter()
                .map(|fact| format!("{} ({})", fact.version, self.deed(*fact)))
                .collect();
            let sentence = format!(
                "{} = {} was written {} but has {} versions: {}",
                key_name(self.history, self.key),
                shown(self.history, value),
                if writes.len() == 1 {
                    "once".to_owned()
                } else {
                    format!("{} times", writes.len())
                },
                facts.len(),
                versions.join(", "),
            );
            let mut operations = writes.clone();
            operations.extend(facts.iter().map(|fact| fact.txn));
            self.anomaly("value-with-two-versions", facts[facts.len() - 1], operations, sentence)
        });
    }

    /// Updates whose version is not above that of what they were made from.
    fn falling_updates(&self, by_value: &BTreeMap<ValueId, Vec<Fact>>, found: Found<'_>) {
        // A value with two versions is an anomaly already.
        let version = |value: ValueId| match by_value.get(&value).map(Vec::as_slice) {
            Some([fact]) => Some(*fact),
            _ => None,
        };
        // The nearest version at or before each value on its chain of updates; found once.
        let mut nearest: FxHashMap<ValueId, Option<Fact>> = FxHashMap::default();
        for value in by_value.keys() {
            let Some(fact) = version(*value) else { continue };
            let mut passed = vec![];
            let mut at = *value;
            let before = loop {
                passed.push(at);
                let Some((_, before)) = self.update(at) else { break None };
                if let Some(fact) = version(before) {
                    break Some(fact);
                }
                if let Some(known) = nearest.get(&before) {
                    break *known;
                }
                if passed.contains(&before) {
                    break None;
                }
                at = before;
            };
            for one in passed {
                nearest.insert(one, before);
            }
            if let Some(before) = before.filter(|before| before.version >= fact.version) {
                found(&|| self.falling_update(before, fact));
            }
        }
    }

    fn falling_update(&self, before: Fact, after: Fact) -> Anomaly {
        let mut operations = vec![before.txn, after.txn];
        operations.extend(self.writes(before.value));
        let mut at = after.value;
        let mut last = before.txn;
        while at != before.value {
            let Some((update, from)) = self.update(at) else { break };
            operations.push(update);
            (at, last) = (from, update);
        }
        let sentence = format!(
            "{} = {} has version {} ({}), and {}, made from it, has version {} ({})",
            key_name(self.history, self.key),
            shown(self.history, before.value),
            before.version,
            self.deed(before),
            shown(self.history, after.value),
            after.version,
            self.deed(after),
        );
        let mut anomaly = self.anomaly("falling-version", after, operations, sentence);
        let writer = self.writes(before.value);
        if let ([writer], [end]) = (writer.as_slice(), self.writes(after.value).as_slice()) {
            let name = |txn: TxnId| self.history.txn(txn).index();
            anomaly.cycle = vec![
                Step {
                    from: *writer,
                    to: *end,
                    edge: Edge::Ww,
                    why: format!("#{} replaced what #{} wrote", name(last), name(*writer)),
                },
                Step {
                    from: *end,
                    to: *writer,
                    edge: Edge::Ww,
                    why: format!("version {} is below version {}", after.version, before.version),
                },
            ];
        }
        anomaly
    }

    /// Everyone who may have written a value.
    fn writes(&self, value: ValueId) -> Vec<TxnId> {
        let kind = |txn: &TxnId| self.history.txn(*txn).kind();
        self.writers.all(self.key, value).filter(|txn| kind(txn) != Kind::Fail).collect()
    }

    /// The update that made a value, and the value it replaced (E2, E3), if both are certain. Of an
    /// indeterminate operation only the value that a `cas` expected is known.
    fn update(&self, value: ValueId) -> Option<(TxnId, ValueId)> {
        let &[txn] = self.writes(value).as_slice() else { return None };
        let write = self.history.txn(txn);
        let mut accesses = write.accesses();
        let (read, made) = (accesses.next()?, accesses.next()?);
        let is_update = read.function == Function::Read
            && made.function == Function::Write
            && accesses.next().is_none()
            && read.key == self.key
            && made.key == self.key;
        let knows = write.is_ok() || write.function() == Function::Cas;
        let before = read.value;
        // Nothing is there before everything, whoever may have written nothing as well.
        let names_one =
            !matches!(before, ValueId::UNKNOWN | ValueId::NULL) && self.writes(before).len() == 1;
        (is_update && knows && names_one && before != value).then_some((txn, before))
    }

    /// The acknowledged writes with a lower version than an earlier one of the same group, each with
    /// the greatest of these.
    fn falling(&self, group: impl Fn(Txn<'_>) -> u32, mut found: impl FnMut(Fact, Fact)) {
        let mut writes: Vec<Fact> =
            self.facts.iter().copied().filter(|fact| fact.is_write).collect();
        writes.sort_by_key(|fact| fact.txn);
        let mut returns = writes.clone();
        returns.sort_by_key(|fact| self.history.txn(fact.txn).returned());
        let mut returned = returns.into_iter().peekable();
        let mut greatest: BTreeMap<u32, Fact> = BTreeMap::new();
        for write in writes {
            let txn = self.history.txn(write.txn);
            while let Some(before) = returned.next_if(|one| self.history.txn(one.txn).precedes(txn))
            {
                let of = greatest.entry(group(self.history.txn(before.txn))).or_insert(before);
                if of.version < before.version {
                    *of = before;
                }
            }
            if let Some(before) = greatest.get(&group(txn)).filter(|b| b.version > write.version) {
                found(*before, write);
            }
        }
    }

    /// What contradicts an assumption about the order of writes.
    fn against(&self, assumption: Assumption, found: Found<'_>) {
        let mut tell = |before: Fact, after: Fact| {
            found(&|| self.against_assumption(assumption, before, after));
        };
        match assumption {
            Assumption::WritesInRealTimeOrder => self.falling(|_| 0, tell),
            Assumption::WritesInSessionOrder => self.falling(|txn| txn.session().0, tell),
            Assumption::WritesFollowReads => {
                let mut facts: Vec<Fact> = self.facts.to_vec();
                facts.sort_by_key(|fact| fact.txn);
                let mut read: BTreeMap<u32, Fact> = BTreeMap::new();
                for fact in facts {
                    let session = self.history.txn(fact.txn).session().0;
                    if !fact.is_write {
                        let before = read.entry(session).or_insert(fact);
                        if before.version < fact.version {
                            *before = fact;
                        }
                        continue;
                    }
                    let txn = self.history.txn(fact.txn);
                    let before = read.get(&session).filter(|before| {
                        before.version > fact.version && self.history.txn(before.txn).precedes(txn)
                    });
                    if let Some(before) = before {
                        tell(*before, fact);
                    }
                }
            }
            Assumption::StoreVersions => {}
        }
    }

    fn against_assumption(&self, assumption: Assumption, before: Fact, after: Fact) -> Anomaly {
        let edge = match assumption {
            Assumption::WritesInRealTimeOrder => Edge::Rt,
            _ => Edge::So,
        };
        let sentence = format!(
            "{} got version {}, but {} before it had version {}; taken for granted was that {}",
            self.deed(after),
            after.version,
            self.deed(before),
            before.version,
            assumption.about(),
        );
        let operations = vec![before.txn, after.txn];
        let mut anomaly = self.anomaly("falling-version", after, operations, sentence);
        let step = |from, to, edge, why| Step { from, to, edge, why };
        anomaly.cycle = vec![
            step(before.txn, after.txn, edge, format!("assumed: {}", assumption.about())),
            step(
                after.txn,
                before.txn,
                Edge::Ww,
                format!("version {} is below version {}", after.version, before.version),
            ),
        ];
        anomaly.assumes = vec![assumption];
        anomaly
    }

    fn deed(&self, fact: Fact) -> String {
        let txn = self.history.txn(fact.txn);
        format!("{} {}", session_name(self.history, txn), deed(self.history, txn, Some(self.key)))
    }

    fn anomaly(
        &self,
        kind: &'static str,
        found_by: Fact,
        operations: Vec<TxnId>,
        sentence: String,
    ) -> Anomaly {
        let found_by = self.history.txn(found_by.txn);
        Anomaly::of(Property::Vers, kind, self.key, found_by, operations, Vec::new(), sentence)
    }
}

/// The order of writes that the store gave, where its versions agree with the values (E7).
///
/// A key whose versions contradict each other or the data has none: what is wrong there is for VERS to
/// say.
pub(super) struct StoreVersions {
    /// What each operation says, for the keys that have an order.
    facts: FxHashMap<TxnId, (KeyId, i64)>,
    /// The version of each value that was written once, an operation that says so and the write.
    values: FxHashMap<(KeyId, ValueId), (i64, [TxnId; 2])>,
    /// The acknowledged writes of each key, by version.
    writes: BTreeMap<KeyId, Vec<(i64, TxnId)>>,
}

impl StoreVersions {
    /// What a history says.
    pub(super) fn new(history: &History, writers: &Writers) -> Self {
        let mut versions = Self {
            facts: FxHashMap::default(),
            values: FxHashMap::default(),
            writes: BTreeMap::new(),
        };
        for KeyFacts { key, facts } in KeyFacts::of_all(history) {
            let judge = Judge { history, writers, key, facts: &facts };
            let mut is_sound = true;
            judge.contradictions(&mut |_| is_sound = false);
            if !is_sound {
                continue;
            }
            for fact in &facts {
                versions.facts.insert(fact.txn, (key, fact.version));
                if fact.is_write {
                    versions.writes.entry(key).or_default().push((fact.version, fact.txn));
                }
                // The first to say so is the write itself, if it says anything.
                if let ([write], true) =
                    (judge.writes(fact.value).as_slice(), fact.value != ValueId::NULL)
                {
                    let told = (fact.version, [fact.txn, *write]);
                    versions.values.entry((key, fact.value)).or_insert(told);
                }
            }
        }
        versions
    }

    /// Whether there is no order of any key.
    pub(super) fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// The version that an operation made or returned, with its key.
    pub(super) fn of(&self, txn: TxnId) -> Option<(KeyId, i64)> {
        self.facts.get(&txn).copied()
    }

    /// The version of a value that was written once, an operation that says so and the write.
    pub(super) fn of_value(&self, key: KeyId, value: ValueId) -> Option<(i64, [TxnId; 2])> {
        self.values.get(&(key, value)).copied()
    }

    /// The acknowledged writes of a key whose version is known, in order of version.
    pub(super) fn order(&self, key: KeyId) -> &[(i64, TxnId)] {
        self.writes.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Whether the versions alone show that everything happened in real time: every operation is on
    /// one register and says which version, none returns less than what was returned before it began,
    /// none returns what was written only later, and every update replaces the version before its own.
    /// Whoever reads so has every view there is. O(n log n).
    pub(super) fn are_in_real_time(&self, history: &History) -> bool {
        let mut keys: BTreeMap<KeyId, Vec<Told<'_>>> = BTreeMap::new();
        for txn in history.txns() {
            match self.told(history, txn) {
                Some((key, told)) => keys.entry(key).or_default().push(told),
                None if txn.is_ok() => return false,
                None => {}
            }
        }
        keys.into_iter().all(|(key, told)| self.is_in_real_time(key, &told))
    }

    /// Where an operation stands: its version, or that of a write of unknown outcome that was read.
    fn told<'h>(&self, history: &History, txn: Txn<'h>) -> Option<(KeyId, Told<'h>)> {
        if let Some((key, version)) = self.of(txn.id) {
            return Some((key, Told { txn, version: Some(version) }));
        }
        let last = txn.accesses().last()?;
        let is_single = txn.accesses().all(|access| access.key == last.key);
        let found_nothing = txn.is_ok() && !txn.writes() && last.value == ValueId::NULL;
        if found_nothing && is_single && history.datatype(last.key) == Datatype::Register {
            return Some((last.key, Told { txn, version: None }));
        }
        let (version, _) = self.of_value(last.key, last.value)?;
        (txn.kind() == Kind::Info && txn.writes())
            .then_some((last.key, Told { txn, version: Some(version) }))
    }

    fn is_in_real_time(&self, key: KeyId, told: &[Told<'_>]) -> bool {
        let mut written: BTreeMap<i64, Rank> = BTreeMap::new();
        for one in told.iter().filter(|one| one.txn.writes()) {
            written.extend(one.version.map(|version| (version, one.txn.invoked())));
        }
        let mut returns: Vec<&Told<'_>> = told.iter().collect();
        returns.sort_by_key(|one| one.txn.returned());
        let mut returned = returns.into_iter().peekable();
        let mut greatest = None;
        told.iter().all(|one| {
            while let Some(before) = returned.next_if(|before| before.txn.precedes(one.txn)) {
                greatest = greatest.max(before.version);
            }
            let Some(version) = one.version else { return greatest.is_none() };
            let is_there = written.get(&version).is_some_and(|began| *began < one.txn.returned());
            if !one.txn.writes() {
                return is_there && greatest <= Some(version);
            }
            let replaced = one.txn.accesses().find(|access| access.function == Function::Read);
            let is_next = replaced.is_none_or(|read| {
                let version_before = written.range(..version).next_back().map(|(one, _)| *one);
                match read.value {
                    // An update of unknown outcome that read nobody knows what.
                    ValueId::UNKNOWN => true,
                    ValueId::NULL => version_before.is_none(),
                    value => {
                        let read = self.of_value(key, value).map(|(version, _)| version);
                        read.is_some() && read == version_before
                    }
                }
            });
            greatest < Some(version) && is_next
        })
    }
}

/// An operation on one register, and its version; none if it found nothing there.
struct Told<'h> {
    txn: Txn<'h>,
    version: Option<i64>,
}
