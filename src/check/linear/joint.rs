//! Objects that transactions bind together, judged as one object that holds a version of each key.
//!
//! Linearizability is local only as long as every operation belongs to one object. Keys that
//! transactions touch together, directly or by way of others, are a *group*; groups are judged by
//! themselves. A group is searched with a state of all its keys, which is strict serializability by
//! another name (Papadimitriou 1979).

use rustc_hash::FxHashSet;

use crate::check::Limits;
use crate::check::linear::object::{Finding, Judgement};
use crate::check::linear::search::{Call, Outcome, SequentialSpec, search};
use crate::check::linear::shrink::shrink;
use crate::history::{Access, Datatype, History, KeyId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// Keys that are bound together, and the operations on them in order of invocation.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) keys: Vec<KeyId>,
    pub(super) txns: Vec<TxnId>,
}

/// The groups whose keys cannot be judged one by one: of several keys, or of a single list that
/// transactions access more than once.
pub(super) fn groups(history: &History) -> Vec<Group> {
    let mut leader: Vec<u32> = (0..history.key_count() as u32).collect();
    let mut is_bound = vec![false; history.key_count()];
    for txn in history.txns().filter(|txn| constrains(*txn) && txn.accesses().len() > 1) {
        let Some(first) = txn.key() else { continue };
        let mut here = 0;
        for key in txn.accesses().map(|access| access.key) {
            let (one, other) = (find(&mut leader, first.0), find(&mut leader, key.0));
            leader[one as usize] = other;
            here += u32::from(key == first);
        }
        is_bound[first.index()] |= here > 1 && history.datatype(first) != Datatype::Register;
        is_bound[first.index()] |= here < txn.accesses().len() as u32;
    }
    if !is_bound.contains(&true) {
        return Vec::new();
    }
    let mut place = vec![None; history.key_count()];
    let mut groups: Vec<Group> = Vec::new();
    for key in history.keys().filter(|key| is_bound[key.index()]) {
        let leader = find(&mut leader, key.0);
        place[leader as usize].get_or_insert_with(|| {
            groups.push(Group { keys: Vec::new(), txns: Vec::new() });
            groups.len() - 1
        });
    }
    for key in history.keys() {
        if let Some(group) = place[find(&mut leader, key.0) as usize] {
            groups[group].keys.push(key);
        }
    }
    for txn in history.txns().filter(|txn| constrains(*txn)) {
        let Some(key) = txn.key() else { continue };
        if let Some(group) = place[find(&mut leader, key.0) as usize] {
            groups[group].txns.push(txn.id);
        }
    }
    groups
}

fn constrains(txn: Txn<'_>) -> bool {
    txn.is_ok() || txn.kind() == Kind::Info && txn.writes()
}

fn find(leader: &mut [u32], mut key: u32) -> u32 {
    while leader[key as usize] != key {
        leader[key as usize] = leader[leader[key as usize] as usize];
        key = leader[key as usize];
    }
    key
}

/// The verdict on a group whose keys are linearizable each.
pub(super) fn judge(history: &History, limits: &Limits, group: &Group) -> Judgement {
    let is_other =
        |key: &&KeyId| !matches!(history.datatype(**key), Datatype::Register | Datatype::List);
    if let Some(key) = group.keys.iter().find(is_other) {
        return Judgement::Unknown(format!(
            "transactions of several operations on a {}; they are judged on registers and lists only",
            history.datatype(*key).name(),
        ));
    }
    let joint = Joint::new(history, group);
    let calls = match joint.calls(history, group) {
        Ok(calls) => calls,
        Err(txn) => {
            let index = history.txn(txn).index();
            let reason = format!("#{index} wrote a value that the history does not tell");
            return Judgement::Unknown(reason);
        }
    };
    if !calls.iter().any(|call| joint.looks(&call.op)) {
        return Judgement::Silent;
    }
    // A state is as large as the group.
    let budget = limits.search_steps / group.keys.len() as u64;
    let mut steps = budget;
    match search(&joint, &calls, &mut steps) {
        Outcome::Found => Judgement::Linearizable,
        Outcome::OutOfSteps(placed) => Judgement::Unknown(format!(
            "the search for an order of the {} transactions that bind {} keys together used up its budget of {budget} steps; it placed {placed} of them at best",
            calls.len(),
            group.keys.len()
        )),
        Outcome::Stuck(at) => {
            let stuck = calls[at].txn;
            let (witness, at) = shrink(&joint, &calls, at);
            let last = history.txn(witness.get(at).map_or(stuck, |call| call.txn));
            let kept: FxHashSet<TxnId> = witness.iter().map(|call| call.txn).collect();
            let operations = joint.with_writers(&calls, kept);
            let sentence = format!(
                "no order of these {} transactions explains their answers, if each took effect at one instant: none leaves a place for {last}",
                operations.len()
            );
            let finding =
                Finding { kind: "not-linearizable", operations, cycle: Vec::new(), sentence };
            Judgement::Violated(vec![finding], 1)
        }
    }
}

/// Registers and lists that change together.
struct Joint {
    /// By place: the longest read of a list, of which all reads are prefixes.
    longest: Vec<Option<Vec<ValueId>>>,
}

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Version {
    /// The value of a register.
    Value(ValueId),
    /// So many elements of the longest read of a list.
    Length(u32),
    /// A list that no read shows; it only grows, so none ever will.
    Lost,
}

/// What an operation does to the object at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    /// Found this version.
    Read(Version),
    /// Left this value in a register.
    Write(ValueId),
    /// Put this element at the end of a list.
    Append(ValueId),
}

type Deeds = Vec<(u32, Deed)>;

impl Joint {
    fn new(history: &History, group: &Group) -> Self {
        let values = history.values();
        let is_list = |key: &KeyId| history.datatype(*key) == Datatype::List;
        let mut longest: Vec<Option<(usize, ValueId)>> =
            group.keys.iter().map(|key| is_list(key).then_some((0, ValueId::EMPTY))).collect();
        for txn in group.txns.iter().map(|id| history.txn(*id)).filter(|txn| txn.is_ok()) {
            for access in txn.accesses().filter(|one| one.function == Function::Read) {
                let Ok(place) = group.keys.binary_search(&access.key) else { continue };
                let Some(longest) = &mut longest[place] else { continue };
                *longest = (*longest).max((values.backwards(access.value).count(), access.value));
            }
        }
        let elements = |one: Option<(usize, ValueId)>| one.map(|(_, list)| values.elements(list));
        Self { longest: longest.into_iter().map(elements).collect() }
    }

    /// Every operation that matters; or the one that does not tell what it wrote. An indeterminate
    /// operation that nobody saw is left out: whatever order has it is an order without it.
    fn calls(&self, history: &History, group: &Group) -> Result<Vec<Call<Deeds>>, TxnId> {
        let mut calls = Vec::with_capacity(group.txns.len());
        for txn in group.txns.iter().map(|id| history.txn(*id)) {
            let mut op = Deeds::new();
            for access in txn.accesses() {
                let Ok(place) = group.keys.binary_search(&access.key) else { continue };
                let deed = self.deed(history, txn, access, place)?;
                op.extend(deed.map(|deed| (place as u32, deed)));
            }
            if !op.is_empty() {
                let (invoked, returned) = (txn.invoked(), txn.returned());
                calls.push(Call { txn: txn.id, invoked, returned, op });
            }
        }
        let seen: FxHashSet<(u32, ValueId)> =
            calls.iter().flat_map(|call| self.seen(&call.op)).collect();
        calls.retain(|call| {
            call.returned != Rank::NEVER || written(&call.op).any(|one| seen.contains(&one))
        });
        Ok(calls)
    }

    /// What an access does; nothing for a read that constrains nothing.
    fn deed(
        &self,
        history: &History,
        txn: Txn<'_>,
        access: Access,
        place: usize,
    ) -> Result<Option<Deed>, TxnId> {
        let is_list = self.longest[place].is_some();
        let is_unknown = access.value == ValueId::UNKNOWN;
        Ok(match access.function {
            // A compare-and-set always says what it expects; that of nothing was recorded as null.
            Function::Read if txn.function() == Function::Cas && is_unknown => {
                Some(Deed::Read(Version::Value(ValueId::NULL)))
            }
            Function::Read if is_unknown => None,
            Function::Read if !txn.is_ok() && txn.function() != Function::Cas => None,
            Function::Read if is_list => {
                let length = history.values().backwards(access.value).count();
                Some(Deed::Read(Version::Length(length as u32)))
            }
            Function::Read => Some(Deed::Read(Version::Value(access.value))),
            _ if is_unknown => return Err(txn.id),
            _ if is_list => Some(Deed::Append(access.value)),
            _ => Some(Deed::Write(access.value)),
        })
    }

    /// Operations with those that wrote what they show, and so on: what was shown before its write
    /// was invoked is no proof without that write.
    fn with_writers(&self, calls: &[Call<Deeds>], mut kept: FxHashSet<TxnId>) -> Vec<TxnId> {
        loop {
            let there = || calls.iter().filter(|call| kept.contains(&call.txn));
            let shown: FxHashSet<(u32, ValueId)> =
                there().flat_map(|call| self.seen(&call.op)).collect();
            let known: FxHashSet<(u32, ValueId)> =
                there().flat_map(|call| written(&call.op)).collect();
            let is_wanted = |one| shown.contains(&one) && !known.contains(&one);
            let wanted = calls.iter().filter(|call| written(&call.op).any(is_wanted));
            let wanted: Vec<TxnId> = wanted.map(|call| call.txn).collect();
            if wanted.is_empty() {
                return kept.into_iter().collect();
            }
            kept.extend(wanted);
        }
    }

    /// The values and elements that an operation shows.
    fn seen(&self, op: &Deeds) -> Vec<(u32, ValueId)> {
        let mut seen = Vec::new();
        for (place, deed) in op {
            match (deed, &self.longest[*place as usize]) {
                (Deed::Read(Version::Value(value)), _) => seen.push((*place, *value)),
                (Deed::Read(Version::Length(length)), Some(longest)) => {
                    let shown = longest.iter().take(*length as usize);
                    seen.extend(shown.map(|element| (*place, *element)));
                }
                _ => {}
            }
        }
        seen
    }

    /// Whether an operation shows a value or element.
    fn shows(&self, call: &Call<Deeds>, place: u32, value: ValueId) -> bool {
        let here = call.op.iter().filter(|(at, _)| *at == place);
        let mut reads = here.filter_map(|(_, deed)| match deed {
            Deed::Read(version) => Some(version),
            _ => None,
        });
        reads.any(|version| match (version, &self.longest[place as usize]) {
            (Version::Length(length), Some(longest)) => {
                longest.iter().take(*length as usize).any(|element| *element == value)
            }
            (version, _) => *version == Version::Value(value),
        })
    }
}

fn written(op: &Deeds) -> impl Iterator<Item = (u32, ValueId)> + '_ {
    op.iter().filter_map(|(place, deed)| match deed {
        Deed::Read(_) => None,
        Deed::Write(value) | Deed::Append(value) => Some((*place, *value)),
    })
}

impl SequentialSpec for Joint {
    type State = Vec<Version>;
    type Op = Deeds;

    fn init(&self) -> Vec<Version> {
        let is_list = |list: &Option<_>| list.is_some();
        let empty =
            |is_list| if is_list { Version::Length(0) } else { Version::Value(ValueId::NULL) };
        self.longest.iter().map(|list| empty(is_list(list))).collect()
    }

    fn step(&self, state: &Vec<Version>, op: &Deeds) -> Option<Vec<Version>> {
        let mut after = state.clone();
        for (place, deed) in op {
            let place = *place as usize;
            let now = &mut after[place];
            match deed {
                Deed::Read(version) if version != now => return None,
                Deed::Read(_) => {}
                Deed::Write(value) => *now = Version::Value(*value),
                Deed::Append(element) => {
                    *now = match (*now, &self.longest[place]) {
                        (Version::Length(length), Some(longest))
                            if longest.get(length as usize) == Some(element) =>
                        {
                            Version::Length(length + 1)
                        }
                        _ => Version::Lost,
                    };
                }
            }
        }
        Some(after)
    }

    fn is_read(&self, op: &Deeds) -> bool {
        written(op).next().is_none()
    }

    fn looks(&self, op: &Deeds) -> bool {
        op.iter().any(|(_, deed)| matches!(deed, Deed::Read(_)))
    }

    /// What nobody who is left has seen can go.
    fn is_superfluous(&self, write: &Call<Deeds>, kept: &[Call<Deeds>]) -> bool {
        let mut others = kept.iter().filter(|call| call.txn != write.txn);
        !others.any(|call| written(&write.op).any(|(place, value)| self.shows(call, place, value)))
    }
}
