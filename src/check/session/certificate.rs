//! A cheap proof that sessions have views: one order of all writes, guessed, then checked.
//!
//! If a history is linearizable, the guess is right; then every session's visible sets can be
//! prefixes of it and all guarantees hold. The check is exact in one direction: what it accepts has
//! a view, what it rejects must be asked again of [`super::view`].

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::check::session::guarantees::Guarantees;
use crate::check::session::model::{Model, NO_SESSION, Read};
use crate::history::{Datatype, History, KeyId};

/// An order of all writes, as places from 1 on.
pub(super) struct Certificate<'m> {
    model: &'m Model,
    place: Vec<u32>,
    /// For every write of a key: the place of the next write of that key.
    next: Vec<u32>,
    first: FxHashMap<KeyId, u32>,
    /// For every list and set, by where its sources begin: how many of them are the first writes of
    /// the key, and the place of the last one of a set.
    prefixes: FxHashMap<(u32, u32), u32>,
    respects_updates: bool,
    respects_sessions: bool,
    respects_reads: bool,
}

const NO_NEXT: u32 = u32::MAX;

impl<'m> Certificate<'m> {
    /// Guesses an order. O(n log n).
    pub(super) fn new(history: &History, model: &'m Model) -> Self {
        let times = guess(history, model);
        let mut order: Vec<(u64, u32)> = (0..model.len() as u32)
            .filter(|op| model.is_write(*op))
            .map(|op| (times[op as usize], op))
            .collect();
        order.sort_unstable();
        let mut place = vec![0; model.len()];
        for (at, (_, op)) in (1..).zip(&order) {
            place[*op as usize] = at;
        }
        let mut certificate = Self {
            model,
            place,
            next: vec![NO_NEXT; model.write_count()],
            first: FxHashMap::default(),
            prefixes: FxHashMap::default(),
            respects_updates: true,
            respects_sessions: true,
            respects_reads: true,
        };
        certificate.link(&order);
        certificate.respect();
        certificate
    }

    /// The sessions for which it proves no view that satisfies all of `guarantees`.
    pub(super) fn rejected(&self, guarantees: Guarantees, sessions: &[u32]) -> Vec<u32> {
        let wrong = !self.respects_updates
            || (guarantees.has(Guarantees::MONOTONIC_WRITES) && !self.respects_sessions)
            || (guarantees.has(Guarantees::WRITES_FOLLOW_READS) && !self.respects_reads);
        if wrong {
            return sessions.to_vec();
        }
        let mut good = vec![false; self.model.session_count()];
        for session in sessions {
            good[*session as usize] = !guarantees.has(Guarantees::READ_YOUR_WRITES)
                || self.respects_sessions
                || self.orders_own_writes(*session);
        }
        if guarantees.has(Guarantees::MONOTONIC_WRITES)
            || guarantees.has(Guarantees::WRITES_FOLLOW_READS)
        {
            self.keep_prefix_sessions(guarantees, &mut good);
        } else {
            self.keep_sessions_key_by_key(guarantees, &mut good);
        }
        sessions.iter().copied().filter(|session| !good[*session as usize]).collect()
    }

    /// For each write of a key, the next; and how much of each list agrees with the order.
    fn link(&mut self, order: &[(u64, u32)]) {
        let model = self.model;
        let mut last: FxHashMap<KeyId, usize> = FxHashMap::default();
        let mut rank = vec![0_u32; model.write_count()];
        for (_, op) in order {
            let place = self.place[*op as usize];
            for (at, key) in (model.first_write(*op)..).zip(model.writes(*op)) {
                match last.insert(*key, at) {
                    Some(before) => {
                        self.next[before] = place;
                        rank[at] = rank[before] + 1;
                    }
                    None => {
                        self.first.insert(*key, place);
                    }
                }
            }
        }
        let mut longest: BTreeMap<u32, Read> = BTreeMap::new();
        for op in 0..model.len() as u32 {
            for read in model.reads(op) {
                if read.datatype == Datatype::Register || model.sources(read).is_empty() {
                    continue;
                }
                let start = read.start;
                // Prefixes of one set may agree where the set does not.
                if read.datatype == Datatype::Set {
                    let id = (start, model.sources(read).len() as u32);
                    if !self.prefixes.contains_key(&id) {
                        self.prefixes.insert(id, self.is_first_set(read, &rank));
                    }
                    continue;
                }
                let known = longest.entry(start).or_insert(*read);
                if model.sources(read).len() > model.sources(known).len() {
                    *known = *read;
                }
            }
        }
        for (start, read) in longest {
            let agrees = (0..)
                .zip(model.sources(&read))
                .take_while(|(at, source)| {
                    self.write_at(**source, read.key).is_some_and(|write| rank[write] == *at)
                })
                .count();
            self.prefixes.insert((start, u32::MAX), agrees as u32);
        }
    }

    /// The place of the last write of a set if its elements are the first of the key, or 0.
    fn is_first_set(&self, read: &Read, rank: &[u32]) -> u32 {
        let sources = self.model.sources(read);
        let Some(last) = sources.iter().max_by_key(|source| self.place[**source as usize]) else {
            return 0;
        };
        let write = self.write_at(*last, read.key);
        let is_first = write.is_some_and(|write| rank[write] as usize + 1 == sources.len());
        if is_first { self.place[*last as usize] } else { 0 }
    }

    fn write_at(&self, op: u32, key: KeyId) -> Option<usize> {
        let at = self.model.writes(op).iter().position(|one| *one == key)?;
        Some(self.model.first_write(op) + at)
    }

    /// Whether the order extends what the guarantees demand of the writes of all sessions.
    fn respect(&mut self) {
        let model = self.model;
        for op in 0..model.len() as u32 {
            if model.is_write(op) {
                let place = self.place[op as usize];
                self.respects_updates &=
                    model.read_from(op).all(|source| self.place[source as usize] < place);
            }
        }
        // All sessions at once, in the order of operations: neighbours in memory.
        let mut written = vec![0; model.session_count()];
        let mut read = vec![0; model.session_count()];
        for op in 0..model.len() as u32 {
            let (session, place) = (model.session[op as usize], self.place[op as usize]);
            if session == NO_SESSION {
                continue;
            }
            let (written, read) = (&mut written[session as usize], &mut read[session as usize]);
            if place != 0 {
                self.respects_sessions &= *written < place;
                self.respects_reads &= *read < place;
            }
            if model.ok[op as usize] {
                *written = place.max(*written);
                for source in model.read_from(op) {
                    *read = self.place[source as usize].max(*read);
                }
            }
        }
    }

    fn orders_own_writes(&self, session: u32) -> bool {
        let mut last: FxHashMap<KeyId, u32> = FxHashMap::default();
        self.model.members(session).iter().all(|op| {
            let place = self.place[*op as usize];
            self.model.writes(*op).iter().all(|key| {
                let in_order = last.get(key).is_none_or(|before| *before < place);
                if self.model.ok[*op as usize] {
                    last.insert(*key, place);
                }
                in_order
            })
        })
    }

    /// The places between which a prefix must end to be what a read saw: from the first on, before
    /// the second. `None` if no prefix is.
    fn bounds(&self, op: u32, read: &Read) -> Option<(u32, u32)> {
        let sources = self.model.sources(read);
        let last = match read.datatype {
            Datatype::Register if read.is_null => None,
            Datatype::Register => match sources.first() {
                Some(source) if *source != op => Some(*source),
                // It saw its own write: that demands nothing.
                _ => return Some((0, NO_NEXT)),
            },
            _ if sources.contains(&op) => return None,
            Datatype::List => {
                let agrees = self.prefixes.get(&(read.start, u32::MAX));
                if sources.len() as u32 > agrees.copied().unwrap_or(0) {
                    return None;
                }
                sources.last().copied()
            }
            _ => {
                let id = (read.start, sources.len() as u32);
                match self.prefixes.get(&id).copied().unwrap_or(0) {
                    _ if sources.is_empty() => None,
                    0 => return None,
                    last => sources.iter().copied().find(|one| self.place[*one as usize] == last),
                }
            }
        };
        match last {
            None => Some((0, self.first.get(&read.key).copied().unwrap_or(NO_NEXT))),
            Some(last) => {
                let next = self.next[self.write_at(last, read.key)?];
                Some((self.place[last as usize], next))
            }
        }
    }

    /// Keeps the sessions of which every read sees a prefix of the order.
    fn keep_prefix_sessions(&self, guarantees: Guarantees, good: &mut [bool]) {
        let model = self.model;
        let mut kept = vec![0; good.len()];
        let mut own = vec![0; good.len()];
        for op in 0..model.len() as u32 {
            let session = model.session[op as usize] as usize;
            if !good.get(session).is_some_and(|is| *is) || !model.ok[op as usize] {
                continue;
            }
            let place = self.place[op as usize];
            if !model.reads(op).is_empty() {
                let mut end: u32 = kept[session];
                if guarantees.has(Guarantees::READ_YOUR_WRITES) {
                    end = end.max(own[session]);
                }
                let mut before = NO_NEXT;
                for read in model.reads(op) {
                    // No prefix at all is one that ends before it begins.
                    let (from, to) = self.bounds(op, read).unwrap_or((NO_NEXT, 0));
                    end = end.max(from);
                    before = before.min(to);
                }
                good[session] = end < before && (place == 0 || end < place);
                if guarantees.has(Guarantees::MONOTONIC_READS) {
                    kept[session] = end;
                }
            }
            own[session] = place.max(own[session]);
        }
    }

    /// Keeps the sessions of which what every read must see of its key ends where the read does.
    fn keep_sessions_key_by_key(&self, guarantees: Guarantees, good: &mut [bool]) {
        let model = self.model;
        let keep = |kept: &mut FxHashMap<KeyId, u32>, op: u32| {
            for key in model.writes(op) {
                let end = kept.entry(*key).or_insert(0);
                *end = (*end).max(self.place[op as usize]);
            }
        };
        let mut kept: Vec<FxHashMap<KeyId, u32>> = vec![FxHashMap::default(); good.len()];
        for op in 0..model.len() as u32 {
            let session = model.session[op as usize] as usize;
            if !good.get(session).is_some_and(|is| *is) || !model.ok[op as usize] {
                continue;
            }
            let kept = &mut kept[session];
            let mut seen: FxHashMap<KeyId, u32> = FxHashMap::default();
            // One read of one key shows what its source wrote to that key; only writes of several
            // keys can show more.
            if model.reads(op).len() > 1 {
                model.read_from(op).for_each(|source| keep(&mut seen, source));
            }
            good[session] = model.reads(op).iter().all(|read| {
                let (from, before) = self.bounds(op, read).unwrap_or((NO_NEXT, 0));
                let end = [&*kept, &seen].iter().filter_map(|one| one.get(&read.key)).max();
                end.copied().unwrap_or(0).max(from) < before
            });
            if guarantees.has(Guarantees::MONOTONIC_READS) {
                model.read_from(op).for_each(|source| keep(kept, source));
            }
            if guarantees.has(Guarantees::READ_YOUR_WRITES) {
                keep(kept, op);
            }
        }
    }
}

/// When each write took effect, were the history linearizable: a write and the reads of its version
/// form a cluster (Gibbons and Korach 1997). If one of its operations returned before another was
/// invoked, the key held the version from then to then. A cluster whose operations all overlap fits
/// anywhere in the overlap where the key held no other version.
///
/// ```text
///  key   ├── 1 ──┤      ├─ 2 ─┤         held from the first return to the last invocation
///            ├──── 3 ────┤              all overlap: 3 took effect after 1 was last held
/// ```
/// In the upper half a rank, in the lower the length of the chain of versions at that rank.
fn guess(history: &History, model: &Model) -> Vec<u64> {
    let n = model.len();
    let interval = |op: u32| {
        let txn = history.txn(model.txns[op as usize]);
        (txn.invoked().0, txn.returned().0)
    };
    let (mut returned, mut invoked) = (vec![u32::MAX; n], vec![0; n]);
    for op in 0..n as u32 {
        let (began, ended) = interval(op);
        returned[op as usize] = ended.min(returned[op as usize]);
        invoked[op as usize] = began.max(invoked[op as usize]);
        for read in model.reads(op) {
            let sources = model.sources(read);
            if read.datatype == Datatype::Set {
                for source in sources {
                    let first = &mut returned[*source as usize];
                    *first = ended.min(*first);
                }
            } else if let Some(source) = sources.last() {
                let first = &mut returned[*source as usize];
                *first = ended.min(*first);
                let last = &mut invoked[*source as usize];
                *last = began.max(*last);
            }
        }
    }
    let held = Held::new(model, &returned, &invoked, |op| interval(op).0);
    let mut times: Vec<u64> = (0..n as u32)
        .map(|op| {
            let (first, last) = (returned[op as usize], invoked[op as usize]);
            // Where stale reads leave no moment free, the write still stays between its call and its
            // return: so one bad read spoils no other session.
            let free = || held.free(model.writes(op), last).min(first);
            let time = if first < last { first } else { free() };
            u64::from(time) << 32
        })
        .collect();
    chain(model, &returned, &mut times);
    times
}

/// From when to when each register held a version for certain, by beginning.
struct Held(FxHashMap<KeyId, Vec<(u32, u32)>>);

impl Held {
    fn new(model: &Model, returned: &[u32], invoked: &[u32], began: impl Fn(u32) -> u32) -> Self {
        let mut held: FxHashMap<KeyId, Vec<(u32, u32)>> = FxHashMap::default();
        let mut unwritten: FxHashMap<KeyId, u32> = FxHashMap::default();
        for op in 0..model.len() as u32 {
            let (first, last) = (returned[op as usize], invoked[op as usize]);
            if first < last {
                for key in model.writes(op) {
                    held.entry(*key).or_default().push((first, last));
                }
            }
            for read in model.reads(op) {
                if read.datatype == Datatype::Register && model.sources(read).is_empty() {
                    let last = unwritten.entry(read.key).or_default();
                    *last = began(op).max(*last);
                }
            }
        }
        for (key, last) in unwritten {
            held.entry(key).or_default().push((0, last));
        }
        for zones in held.values_mut() {
            zones.sort_unstable();
        }
        Self(held)
    }

    /// The first moment from `from` on at which none of `keys` held a version for certain.
    fn free(&self, keys: &[KeyId], from: u32) -> u32 {
        keys.iter().fold(from, |moment, key| {
            let Some(zones) = self.0.get(key) else { return moment };
            let after = zones.partition_point(|(begin, _)| *begin < moment);
            after.checked_sub(1).map_or(moment, |before| moment.max(zones[before].1))
        })
    }
}

/// Puts every version after the one it was made from, and appends that nobody saw at their end.
fn chain(model: &Model, returned: &[u32], times: &mut [u64]) {
    let mut listed = vec![false; model.len()];
    let mut lists: BTreeMap<u32, Read> = BTreeMap::new();
    let mut extends: FxHashMap<KeyId, Datatype> = FxHashMap::default();
    for op in 0..model.len() as u32 {
        for read in model.reads(op) {
            if read.datatype == Datatype::Register {
                continue;
            }
            extends.insert(read.key, read.datatype);
            for source in
                model.sources(read).iter().rev().take_while(|_| read.datatype == Datatype::List)
            {
                if std::mem::replace(&mut listed[*source as usize], true) {
                    break;
                }
            }
            let list = lists.entry(read.start).or_insert(*read);
            if model.sources(read).len() > model.sources(list).len() {
                *list = *read;
            }
        }
    }
    for op in 0..model.len() as u32 {
        let datatype = model.writes(op).iter().find_map(|key| extends.get(key));
        let late = match datatype {
            Some(Datatype::Set) => true,
            Some(Datatype::List) => !listed[op as usize],
            _ => false,
        };
        if late && returned[op as usize] != u32::MAX {
            times[op as usize] = u64::from(returned[op as usize]) << 32;
        }
    }
    // Versions are mostly made in the order of their operations: few rounds suffice. The guess may
    // be wrong, so giving up is harmless.
    const ROUNDS: usize = 4;
    for _ in 0..ROUNDS {
        let mut changed = false;
        let mut after = |times: &mut [u64], one: u32, other: u32| {
            let least = times[one as usize] + 1;
            if one != other && times[other as usize] < least {
                times[other as usize] = least;
                changed = true;
            }
        };
        for op in 0..model.len() as u32 {
            if model.is_write(op) && model.session[op as usize] != NO_SESSION {
                for source in model.read_from(op) {
                    after(times, source, op);
                }
            }
        }
        for list in lists.values().filter(|list| list.datatype == Datatype::List) {
            for pair in model.sources(list).windows(2) {
                after(times, pair[0], pair[1]);
            }
        }
        if !changed {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::session::model::Findings;
    use crate::check::writers::Writers;
    use crate::history::Builder;
    use crate::model::{ClientEvent, Event, Kind, Nanos, Op, Process, Random, What};

    /// Clients of registers that take effect at one instant each between call and return.
    fn linearizable(clients: usize, keys: u64, operations: usize) -> History {
        let mut random = Random::stream(1, "certificate");
        let mut builder = Builder::new();
        let mut registers = vec![crate::model::Value::Null; keys as usize];
        let mut open: Vec<Option<(Op, bool)>> = vec![None; clients];
        let mut written = 0;
        for step in 0..3 * operations {
            let client = random.below(clients as u64) as usize;
            let mut record = |kind, op: &Op| {
                let what = What::Client(ClientEvent::new(Process(client as u32), kind, op.clone()));
                builder.event(&Event { time: Nanos(step as u64), what }).expect("well formed");
            };
            open[client] = match open[client].take() {
                None => {
                    let key = (random.below(keys) as i64).into();
                    written += 1;
                    let op = if random.chance(0.5) {
                        Op::read(key)
                    } else {
                        Op::write(key, written.into())
                    };
                    record(Kind::Invoke, &op);
                    Some((op, false))
                }
                Some((mut op, false)) => {
                    let register = &mut registers[op.key().as_int().expect("a number") as usize];
                    if op.writes() {
                        *register = op.mops[0].value.clone();
                    } else {
                        op.mops[0].value = register.clone();
                    }
                    Some((op, true))
                }
                Some((op, true)) => {
                    record(Kind::Ok, &op);
                    None
                }
            };
        }
        builder.finish().expect("well formed")
    }

    #[test]
    fn a_linearizable_history_is_accepted_at_once() {
        for (clients, keys) in [(2, 1), (10, 1), (10, 5), (50, 3), (50, 100)] {
            let history = linearizable(clients, keys, 5_000);
            let writers = Writers::new(&history, history.txns().map(|txn| txn.id));
            let mut findings = Findings::default();
            let model = Model::new(&history, &writers, &mut findings);
            let sessions: Vec<u32> = (0..model.session_count() as u32).collect();
            let all = Guarantees::of(crate::check::Property::Sess4);
            let rejected = Certificate::new(&history, &model).rejected(all, &sessions);
            assert!(rejected.is_empty(), "{clients} clients, {keys} keys: {rejected:?}");
        }
    }
}
