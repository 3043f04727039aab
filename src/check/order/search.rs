//! The general search for an order of operations that agrees with every session: for objects whose
//! answers do not tell what they were made of.
//!
//! Depth first over what has been placed and what the objects hold then (Wing and Gong 1993, with
//! the memory of Lowe 2017). A read that fits is placed at once, because it changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::history::{Access, Datatype, History, KeyId, TxnId, ValueId};
use crate::model::{Function, Kind};

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is an order.
    Found,
    /// There is none.
    Impossible,
    /// Nobody knows: the steps ran out, or an object is none that can be replayed.
    Open,
}

/// Looks for an order of `txns`, in order of invocation, in which the objects `only` answer as they
/// did; all objects if `None`.
pub(super) fn search(
    history: &History,
    txns: &[TxnId],
    only: Option<KeyId>,
    steps: &mut u64,
) -> Outcome {
    let Some(search) = Search::new(history, txns, only) else { return Outcome::Open };
    search.run(steps)
}

/// What an object holds. Most of it is shared with the state before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Held {
    Value(ValueId),
    List(Arc<Vec<ValueId>>),
    Set(Arc<BTreeSet<ValueId>>),
    Sum(i64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    placed: Vec<u64>,
    held: Vec<Held>,
}

struct Call {
    accesses: Vec<Access>,
    /// Of each read of a set: its elements, in order.
    elements: Vec<Vec<ValueId>>,
    /// The call of the same session that must be placed before.
    after: Option<usize>,
    /// Whether what it read counts.
    answers: bool,
    is_optional: bool,
    is_read: bool,
}

struct Search<'h> {
    history: &'h History,
    keys: Vec<KeyId>,
    calls: Vec<Call>,
}

impl<'h> Search<'h> {
    fn new(history: &'h History, txns: &[TxnId], only: Option<KeyId>) -> Option<Self> {
        let mut keys = BTreeSet::new();
        let mut calls: Vec<Call> = Vec::new();
        let mut last: BTreeMap<u32, usize> = BTreeMap::new();
        for txn in txns.iter().map(|id| history.txn(*id)) {
            let answers = txn.is_ok() || txn.function() == Function::Cas;
            if txn.kind() == Kind::Fail || !txn.is_ok() && !txn.writes() {
                continue;
            }
            let mut accesses: Vec<Access> =
                txn.accesses().filter(|one| only.is_none_or(|key| key == one.key)).collect();
            if !txn.is_ok() && txn.function() == Function::Cas {
                // It always says what it expects; that of nothing was recorded as null.
                for one in accesses.iter_mut().filter(|one| one.value == ValueId::UNKNOWN) {
                    one.value = ValueId::NULL;
                }
            }
            if accesses.iter().any(|one| !is_known(history, *one)) {
                return None;
            }
            keys.extend(accesses.iter().map(|one| one.key));
            let is_read = accesses.iter().all(|one| one.function == Function::Read);
            let after = last.get(&txn.session().0).copied();
            if txn.is_ok() {
                last.insert(txn.session().0, calls.len());
            }
            let elements = accesses.iter().map(|one| {
                let of_set = history.datatype(one.key) == Datatype::Set;
                let values = history.values();
                let is_told = one.function == Function::Read && values.is_list(one.value);
                let elements = (of_set && is_told).then(|| values.elements(one.value));
                let mut elements = elements.unwrap_or_default();
                elements.sort_unstable();
                elements.dedup();
                elements
            });
            let elements = elements.collect();
            let is_optional = !txn.is_ok();
            calls.push(Call { accesses, elements, after, answers, is_optional, is_read });
        }
        Some(Self { history, keys: keys.into_iter().collect(), calls })
    }

    fn run(&self, steps: &mut u64) -> Outcome {
        let held = self.keys.iter().map(|key| match self.history.datatype(*key) {
            Datatype::List => Held::List(Arc::default()),
            Datatype::Set => Held::Set(Arc::default()),
            Datatype::Counter => Held::Sum(0),
            _ => Held::Value(ValueId::NULL),
        });
        let placed = vec![0; self.calls.len().div_ceil(64)];
        let mut next = Some(State { placed, held: held.collect() });
        let mut seen: FxHashSet<State> = FxHashSet::default();
        // The way to where the search is: each state with the call that is tried next, the earliest
        // first.
        let mut way: Vec<(State, usize)> = Vec::new();
        loop {
            if let Some(mut state) = next.take() {
                self.place_reads(&mut state, steps);
                let is_missing = |at: usize| !is_placed(&state, at);
                if !(0..self.calls.len()).any(|at| is_missing(at) && !self.calls[at].is_optional) {
                    return Outcome::Found;
                }
                if seen.insert(state.clone()) {
                    way.push((state, 0));
                }
            }
            if *steps == 0 {
                return Outcome::Open;
            }
            let Some((state, at)) = way.last_mut() else { return Outcome::Impossible };
            if *at == self.calls.len() {
                way.pop();
                continue;
            }
            next = self.place(state, *at, steps);
            *at += 1;
        }
    }

    fn place_reads(&self, state: &mut State, steps: &mut u64) {
        let mut at = 0;
        while at < self.calls.len() && *steps > 0 {
            let call = &self.calls[at];
            if self.may_come(state, at, steps) && call.is_read && self.fits(state, call) {
                state.placed[at / 64] |= 1 << (at % 64);
                // It may let further ones in.
                at = 0;
            } else {
                at += 1;
            }
        }
    }

    /// Whether a call is not placed yet and the one before it in its session is.
    fn may_come(&self, state: &State, at: usize, steps: &mut u64) -> bool {
        *steps = steps.saturating_sub(1);
        let waits = self.calls[at].after.is_some_and(|before| !is_placed(state, before));
        let may = !is_placed(state, at) && !waits;
        if may {
            *steps = steps.saturating_sub(state.placed.len() as u64);
        }
        may
    }

    /// Whether all that a call read is there now.
    fn fits(&self, state: &State, call: &Call) -> bool {
        call.accesses.iter().zip(&call.elements).all(|(access, elements)| {
            let place = self.keys.binary_search(&access.key);
            place.is_ok_and(|place| {
                !call.answers || self.answers(&state.held[place], *access, elements)
            })
        })
    }

    /// The state after a call; `None` if it cannot come next.
    fn place(&self, state: &State, at: usize, steps: &mut u64) -> Option<State> {
        let call = &self.calls[at];
        // A state is copied only for what changes it.
        if !self.may_come(state, at, steps) || call.is_read && !self.fits(state, call) {
            return None;
        }
        let mut after = state.clone();
        after.placed[at / 64] |= 1 << (at % 64);
        for (access, elements) in call.accesses.iter().zip(&call.elements) {
            let held = &mut after.held[self.keys.binary_search(&access.key).ok()?];
            if access.function != Function::Read {
                self.change(held, *access);
            } else if call.answers && !self.answers(held, *access, elements) {
                return None;
            }
        }
        Some(after)
    }

    /// Whether the object would have answered so.
    fn answers(&self, held: &Held, access: Access, elements: &[ValueId]) -> bool {
        let (values, value) = (self.history.values(), access.value);
        match held {
            _ if value == ValueId::UNKNOWN => true,
            Held::Value(now) => value == *now,
            Held::List(now) => **now == values.elements(value),
            Held::Set(now) => now.len() == elements.len() && now.iter().eq(elements),
            Held::Sum(now) => number(self.history, value) == Some(*now),
        }
    }

    fn change(&self, held: &mut Held, access: Access) {
        let value = access.value;
        match held {
            Held::Value(now) => *now = value,
            Held::List(now) => Arc::make_mut(now).push(value),
            Held::Set(now) if access.function == Function::Remove => {
                Arc::make_mut(now).remove(&value);
            }
            Held::Set(now) => {
                Arc::make_mut(now).insert(value);
            }
            Held::Sum(now) => {
                *now = now.wrapping_add(number(self.history, value).unwrap_or_default());
            }
        }
    }
}

fn is_placed(state: &State, at: usize) -> bool {
    state.placed[at / 64] & 1 << (at % 64) != 0
}

/// A counter that nobody has counted with shows nothing.
fn number(history: &History, value: ValueId) -> Option<i64> {
    if value == ValueId::NULL { Some(0) } else { history.values().int(value) }
}

/// Whether an access does something that can be replayed.
fn is_known(history: &History, access: Access) -> bool {
    let (values, value) = (history.values(), access.value);
    let is_read = access.function == Function::Read;
    match history.datatype(access.key) {
        Datatype::Register => is_read || value != ValueId::UNKNOWN,
        Datatype::List => {
            is_read && (value == ValueId::UNKNOWN || values.is_list(value))
                || access.function == Function::Append && value != ValueId::UNKNOWN
        }
        Datatype::Set => {
            is_read && (value == ValueId::UNKNOWN || values.is_list(value))
                || matches!(access.function, Function::Add | Function::Remove)
                    && value != ValueId::UNKNOWN
        }
        Datatype::Counter => {
            is_read && value == ValueId::UNKNOWN || number(history, value).is_some()
        }
        _ => false,
    }
}
