//! The general search for a linearization.
//!
//! Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) place one operation after the
//! other, only ever one that was invoked before the first return among those not yet placed, and
//! go back where none fits. Lowe ("Testing for Linearizability", 2017) remembers every
//! *configuration* (the set of operations placed, the state of the object) that led nowhere. Beyond that:
//! - A read that fits is placed at once: it changes nothing, so it fits nowhere better.
//! - An indeterminate operation may stay unplaced. It is tried only if it changes the state. Of those
//!   that do the same, only the first not yet placed is tried: they never return, so they can be exchanged.
//! - At a quiescent point the set of operations placed is the same whatever their order, so that the
//!   configurations that cross it differ in the state alone and each is followed once.
//!
//! # Why a collision of hashes cannot accuse
//! A configuration is remembered as the exclusive or of 128 random bits for each operation placed
//! and 128 for the state, whose number is exact (states are compared, not hashed). Two different
//! configurations coincide with probability 2^-128; among the 10^9 that a search could ever store,
//! any two do with less than 2^-68. The bits do not depend on the history, so no history can aim at it.

use std::collections::BTreeMap;
use std::hash::Hash;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::history::{Rank, TxnId};

/// What an object does, one operation after the other.
pub(super) trait SequentialSpec {
    /// What the object is in.
    type State: Clone + Eq + Hash;
    /// An operation with its argument and its result.
    type Op: Clone + Ord;

    /// Whether a blind write forgets the state before it, so that an indeterminate operation
    /// matters only if the very next one looks at what it left.
    const FORGETS: bool = false;

    /// Before any operation.
    fn init(&self) -> Self::State;

    /// The state after `op`; `None` if the object would not have answered so.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State>;

    /// Whether `op` never changes the state.
    fn is_read(&self, op: &Self::Op) -> bool;

    /// Whether the answer of `op` depends on the state.
    fn looks(&self, op: &Self::Op) -> bool {
        self.is_read(op)
    }

    /// Whether `write` can be left out of `kept`, a history that contains it, in the sense that
    /// whatever explains `kept` explains it without `write`.
    fn is_superfluous(&self, _write: &Call<Self::Op>, _kept: &[Call<Self::Op>]) -> bool {
        false
    }
}

/// An operation in a search.
#[derive(Clone, Debug)]
pub(super) struct Call<O> {
    pub(super) txn: TxnId,
    pub(super) invoked: Rank,
    /// `NEVER` if it may be left out.
    pub(super) returned: Rank,
    pub(super) op: O,
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is a linearization.
    Found,
    /// There is none, not even of what happened until this call (an index) returned; of what
    /// happened before that return there is one.
    Stuck(usize),
    /// The budget ran out; so many calls were placed at best.
    OutOfSteps(usize),
}

/// Looks for a linearization of `calls`, which are in order of invocation. Every application of an
/// operation to a state is a step and is taken off `steps`.
pub(super) fn search<S: SequentialSpec>(
    spec: &S,
    calls: &[Call<S::Op>],
    steps: &mut u64,
) -> Outcome {
    Search::new(spec, calls).run(steps)
}

/// The events of calls that must be placed, doubly linked in order of time. Entry 0 is the head;
/// call `k` owns the entries `2k + 1` (invocation) and `2k + 2` (return).
struct Timeline {
    next: Vec<u32>,
    previous: Vec<u32>,
}

impl Timeline {
    fn new<O>(calls: &[Call<O>]) -> Self {
        let mut events: Vec<(Rank, u32)> = Vec::with_capacity(2 * calls.len());
        for (at, call) in calls.iter().enumerate().filter(|(_, call)| call.returned != Rank::NEVER)
        {
            events.push((call.invoked, 2 * at as u32 + 1));
            events.push((call.returned, 2 * at as u32 + 2));
        }
        events.sort_unstable();
        let mut timeline =
            Self { next: vec![0; 2 * calls.len() + 1], previous: vec![0; 2 * calls.len() + 1] };
        let mut last = 0;
        for (_, entry) in events {
            timeline.next[last as usize] = entry;
            timeline.previous[entry as usize] = last;
            last = entry;
        }
        timeline.previous[0] = last;
        timeline
    }

    fn unlink(&mut self, entry: u32) {
        let (previous, next) = (self.previous[entry as usize], self.next[entry as usize]);
        self.next[previous as usize] = next;
        self.previous[next as usize] = previous;
    }

    fn relink(&mut self, entry: u32) {
        let (previous, next) = (self.previous[entry as usize], self.next[entry as usize]);
        self.next[previous as usize] = entry;
        self.previous[next as usize] = entry;
    }

    fn remove(&mut self, call: u32) {
        self.unlink(2 * call + 1);
        self.unlink(2 * call + 2);
    }

    /// Undoes the last `remove` that is not undone.
    fn restore(&mut self, call: u32) {
        self.relink(2 * call + 2);
        self.relink(2 * call + 1);
    }
}

/// A choice made, with the choices left.
struct Frame {
    /// What had been placed before it.
    placed: usize,
    hash: u128,
    /// Its untried choices in `Search::choices`.
    choices: std::ops::Range<usize>,
}

#[derive(Clone, Copy)]
struct Choice {
    call: u32,
    state: u32,
}

struct Search<'a, S: SequentialSpec> {
    spec: &'a S,
    calls: &'a [Call<S::Op>],
    timeline: Timeline,
    /// Indeterminate calls that do the same, each group in order of invocation, and how many of
    /// the group are placed.
    groups: Vec<(Vec<u32>, usize)>,
    group_of: FxHashMap<u32, u32>,
    states: Vec<S::State>,
    numbers: FxHashMap<S::State, u32>,
    dead: FxHashSet<u128>,
    placed: Vec<u32>,
    /// How many calls that must be placed are not.
    missing: usize,
    choices: Vec<Choice>,
    furthest: Option<u32>,
    most_placed: usize,
}

impl<'a, S: SequentialSpec> Search<'a, S> {
    fn new(spec: &'a S, calls: &'a [Call<S::Op>]) -> Self {
        let mut groups: BTreeMap<S::Op, Vec<u32>> = BTreeMap::new();
        for (at, call) in calls.iter().enumerate().filter(|(_, call)| call.returned == Rank::NEVER)
        {
            if !spec.is_read(&call.op) {
                groups.entry(call.op.clone()).or_default().push(at as u32);
            }
        }
        let groups: Vec<(Vec<u32>, usize)> = groups.into_values().map(|group| (group, 0)).collect();
        let mut group_of = FxHashMap::default();
        for (number, (group, _)) in groups.iter().enumerate() {
            group_of.extend(group.iter().map(|call| (*call, number as u32)));
        }
        Self {
            spec,
            calls,
            timeline: Timeline::new(calls),
            groups,
            group_of,
            states: Vec::new(),
            numbers: FxHashMap::default(),
            dead: FxHashSet::default(),
            placed: Vec::new(),
            missing: calls.iter().filter(|call| call.returned != Rank::NEVER).count(),
            choices: Vec::new(),
            furthest: None,
            most_placed: 0,
        }
    }

    fn run(mut self, steps: &mut u64) -> Outcome {
        let mut state = self.number(self.spec.init());
        let mut hash = 0;
        let mut frames: Vec<Frame> = Vec::new();
        loop {
            let before = self.placed.len();
            self.place_reads(state, &mut hash, steps);
            if self.missing == 0 {
                return Outcome::Found;
            }
            if *steps == 0 {
                return Outcome::OutOfSteps(self.most_placed);
            }
            self.most_placed = self.most_placed.max(self.placed.len());
            if self.dead.insert(hash ^ noise(u64::from(state) | 1 << 63)) {
                let start = self.choices.len();
                self.choose(state, steps);
                let choices = start..self.choices.len();
                frames.push(Frame { placed: self.placed.len(), hash, choices });
            } else {
                self.undo(before);
            }
            loop {
                let Some(frame) = frames.last_mut() else {
                    return Outcome::Stuck(self.furthest.unwrap_or(0) as usize);
                };
                let placed = frame.placed;
                if frame.choices.is_empty() {
                    frames.pop();
                    let keep = frames.last().map_or(0, |frame| frame.choices.end);
                    self.choices.truncate(keep);
                    continue;
                }
                let choice = self.choices[frame.choices.start];
                frame.choices.start += 1;
                state = choice.state;
                hash = frame.hash ^ noise(u64::from(choice.call));
                self.undo(placed);
                self.place(choice.call);
                break;
            }
        }
    }

    fn number(&mut self, state: S::State) -> u32 {
        let next = self.states.len() as u32;
        let number = *self.numbers.entry(state.clone()).or_insert(next);
        if number == next {
            self.states.push(state);
        }
        number
    }

    fn place(&mut self, call: u32) {
        self.placed.push(call);
        if let Some(group) = self.group_of.get(&call) {
            self.groups[*group as usize].1 += 1;
        } else {
            self.timeline.remove(call);
            self.missing -= 1;
        }
    }

    /// Takes back all but the first `keep` calls placed.
    fn undo(&mut self, keep: usize) {
        while self.placed.len() > keep {
            let Some(call) = self.placed.pop() else { return };
            if let Some(group) = self.group_of.get(&call) {
                self.groups[*group as usize].1 -= 1;
            } else {
                self.timeline.restore(call);
                self.missing += 1;
            }
        }
    }

    /// Places every read that fits the state; each may let further ones in.
    fn place_reads(&mut self, state: u32, hash: &mut u128, steps: &mut u64) {
        let mut entry = self.timeline.next[0];
        while entry != 0 && entry % 2 == 1 {
            let call = (entry - 1) / 2;
            let op = &self.calls[call as usize].op;
            let fits = self.spec.is_read(op) && {
                *steps = steps.saturating_sub(1);
                self.spec.step(&self.states[state as usize], op).is_some()
            };
            if fits {
                self.place(call);
                *hash ^= noise(u64::from(call));
            }
            // The links of a removed entry still lead on, but its return may have been the next.
            entry = self.timeline.next[entry as usize];
            if fits && entry == 2 * call + 2 {
                entry = self.timeline.next[entry as usize];
            }
        }
    }

    /// Collects what may be placed next: the calls before the first return that fit the state, that
    /// of earliest return first, then indeterminate ones.
    fn choose(&mut self, state: u32, steps: &mut u64) {
        let start = self.choices.len();
        let mut open = Vec::new();
        let mut entry = self.timeline.next[0];
        while entry != 0 && entry % 2 == 1 {
            open.push((entry - 1) / 2);
            entry = self.timeline.next[entry as usize];
        }
        let first_return = entry / 2 - 1;
        let deadline = self.calls[first_return as usize].returned;
        if self.furthest.is_none_or(|call| self.calls[call as usize].returned < deadline) {
            self.furthest = Some(first_return);
        }
        for call in &open {
            let op = &self.calls[*call as usize].op;
            *steps = steps.saturating_sub(1);
            if let Some(after) = self.spec.step(&self.states[state as usize], op) {
                let state = self.number(after);
                self.choices.push(Choice { call: *call, state });
            }
        }
        let calls = self.calls;
        self.choices[start..].sort_by_key(|choice| calls[choice.call as usize].returned);
        let firsts = self.groups.iter().filter_map(|(group, placed)| group.get(*placed).copied());
        let optional: Vec<u32> =
            firsts.filter(|call| self.calls[*call as usize].invoked < deadline).collect();
        for call in &optional {
            let op = &self.calls[*call as usize].op;
            *steps = steps.saturating_sub(1);
            let Some(after) = self.spec.step(&self.states[state as usize], op) else { continue };
            if after == self.states[state as usize] {
                continue;
            }
            let is_seen = |other: &u32| {
                let op = &self.calls[*other as usize].op;
                other != call && self.spec.looks(op) && self.spec.step(&after, op).is_some()
            };
            if S::FORGETS && !open.iter().chain(&optional).any(is_seen) {
                continue;
            }
            let state = self.number(after);
            self.choices.push(Choice { call: *call, state });
        }
    }
}

/// 128 random bits for a number (two outputs of Steele's splitmix).
fn noise(number: u64) -> u128 {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let high = mix(number.wrapping_add(0x0dd0_c0de_5eed_0001));
    u128::from(high) << 64 | u128::from(mix(number ^ 0x6a09_e667_f3bc_c908))
}
