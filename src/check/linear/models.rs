//! The sequential specifications that the general search knows.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::check::linear::container::Order;
use crate::check::linear::effect::Effect;
use crate::check::linear::search::{Call, SequentialSpec};
use crate::history::{Rank, ValueId};

/// A register: holds the last value written.
pub(super) struct Register;

impl SequentialSpec for Register {
    type State = ValueId;
    type Op = Effect;
    const FORGETS: bool = true;

    fn init(&self) -> ValueId {
        ValueId::NULL
    }

    fn step(&self, state: &ValueId, op: &Effect) -> Option<ValueId> {
        op.old.is_none_or(|old| old == *state).then(|| op.new.unwrap_or(*state))
    }

    fn is_read(&self, op: &Effect) -> bool {
        op.new.is_none()
    }

    fn looks(&self, op: &Effect) -> bool {
        op.old.is_some()
    }

    /// A write can go if nobody can have seen it: whoever saw its value returned before it was
    /// invoked, or was invoked after a later write had returned. But one write of each value that
    /// was seen stays, lest the proof end in a read of what nobody seems to have written.
    fn is_superfluous(&self, write: &Call<Effect>, kept: &[Call<Effect>]) -> bool {
        let others = || kept.iter().filter(|call| call.txn != write.txn);
        let overwritten = others()
            .filter(|call| call.op.new.is_some() && write.returned < call.invoked)
            .map(|call| call.returned)
            .min()
            .unwrap_or(Rank::NEVER);
        let seen = || others().filter(|call| call.op.old == write.op.new);
        if seen().next().is_some() && !others().any(|call| call.op.new == write.op.new) {
            return false;
        }
        seen().all(|saw| saw.returned < write.invoked || overwritten < saw.invoked)
    }
}

/// A list whose reads are prefixes of one, the longest. A list that has left this line can never
/// again be read, because it only grows.
pub(super) struct List {
    pub(super) longest: Vec<ValueId>,
}

/// An operation on a list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ListOp {
    /// Puts an element at the end.
    Append(ValueId),
    /// Returned the first so many elements of the longest read.
    Read(u32),
}

impl SequentialSpec for List {
    /// How much of the longest read there is; `MAX` if anything else.
    type State = u32;
    type Op = ListOp;

    fn init(&self) -> u32 {
        0
    }

    fn step(&self, state: &u32, op: &ListOp) -> Option<u32> {
        match op {
            ListOp::Read(length) => (length == state).then_some(*state),
            ListOp::Append(element) if self.longest.get(*state as usize) == Some(element) => {
                Some(state + 1)
            }
            ListOp::Append(_) => Some(u32::MAX),
        }
    }

    fn is_read(&self, op: &ListOp) -> bool {
        matches!(op, ListOp::Read(_))
    }

    /// An element that no read shows can go: where it stood in an order, no read followed.
    fn is_superfluous(&self, write: &Call<ListOp>, kept: &[Call<ListOp>]) -> bool {
        let ListOp::Append(element) = write.op else { return false };
        let lengths = kept.iter().map(|call| match call.op {
            ListOp::Read(length) => length as usize,
            ListOp::Append(_) => 0,
        });
        !self.longest.iter().take(lengths.max().unwrap_or(0)).any(|one| *one == element)
    }
}

/// A text that is put and appended to. States are told by the reads: a text that no read begins
/// with cannot be read before the next put.
pub(super) struct Text {
    /// Every text that was read, once, in order.
    reads: Vec<Arc<str>>,
}

/// The first so many bytes of a read, the least one that begins so; `LOST` if none does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Prefix {
    read: u32,
    length: u32,
}

const LOST: Prefix = Prefix { read: u32::MAX, length: 0 };

/// An operation on a text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TextOp {
    /// Replaces the text.
    Put(Prefix),
    /// Extends it.
    Append(Arc<str>),
    /// Returned the text.
    Read(Prefix),
}

impl Text {
    pub(super) fn new(mut reads: Vec<Arc<str>>) -> Self {
        reads.sort_unstable();
        reads.dedup();
        Self { reads }
    }

    /// The text of a state; `None` of one that no read begins with.
    fn text(&self, state: Prefix) -> Option<&str> {
        self.reads.get(state.read as usize)?.get(..state.length as usize)
    }

    /// The state in which the text is `head` followed by `tail`.
    pub(super) fn prefix(&self, head: &str, tail: &str) -> Prefix {
        let (head, tail) = (head.as_bytes(), tail.as_bytes());
        let length = head.len() + tail.len();
        let order = |read: &str| {
            let read = &read.as_bytes()[..length.min(read.len())];
            let (start, rest) = read.split_at(head.len().min(read.len()));
            start.cmp(head).then_with(|| rest.cmp(tail))
        };
        let read = self.reads.partition_point(|read| order(read) == Ordering::Less);
        match self.reads.get(read) {
            Some(text) if order(text) == Ordering::Equal => {
                Prefix { read: read as u32, length: length as u32 }
            }
            _ => LOST,
        }
    }
}

impl SequentialSpec for Text {
    type State = Prefix;
    type Op = TextOp;

    fn init(&self) -> Prefix {
        self.prefix("", "")
    }

    fn step(&self, state: &Prefix, op: &TextOp) -> Option<Prefix> {
        match op {
            TextOp::Read(text) => (text == state).then_some(*state),
            TextOp::Put(text) => Some(*text),
            TextOp::Append(_) if *state == LOST => Some(LOST),
            TextOp::Append(tail) => {
                let text = self.reads.get(state.read as usize)?;
                Some(self.prefix(&text[..state.length as usize], tail))
            }
        }
    }

    fn is_read(&self, op: &TextOp) -> bool {
        matches!(op, TextOp::Read(_))
    }

    /// What no read shows can go: between it and the next put there is no read in any order.
    fn is_superfluous(&self, write: &Call<TextOp>, kept: &[Call<TextOp>]) -> bool {
        let mut reads = kept.iter().filter_map(|call| match &call.op {
            TextOp::Read(text) => self.text(*text),
            _ => None,
        });
        match &write.op {
            TextOp::Read(_) => false,
            TextOp::Append(tail) => tail.is_empty() || !reads.any(|read| read.contains(&**tail)),
            TextOp::Put(text) => {
                self.text(*text).is_none_or(|text| !reads.any(|read| read.starts_with(text)))
            }
        }
    }
}

/// A set whose elements can be removed. Elements are numbered.
pub(super) struct Set;

/// An operation on a set.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SetOp {
    /// Puts an element in.
    Add(u32),
    /// Takes an element out, if it is there.
    Remove(u32),
    /// Returned these elements.
    Read(Members),
}

/// The elements of a set, a bit each; without zero words at the end.
pub(super) type Members = Vec<u64>;

/// Puts element number `element` in or takes it out.
pub(super) fn set_member(members: &mut Members, element: u32, is_in: bool) {
    let (word, bit) = ((element / 64) as usize, 1 << (element % 64));
    if is_in {
        if members.len() <= word {
            members.resize(word + 1, 0);
        }
        members[word] |= bit;
    } else if let Some(bits) = members.get_mut(word) {
        *bits &= !bit;
        while members.last() == Some(&0) {
            members.pop();
        }
    }
}

impl SequentialSpec for Set {
    type State = Members;
    type Op = SetOp;

    fn init(&self) -> Members {
        Members::new()
    }

    fn step(&self, state: &Members, op: &SetOp) -> Option<Members> {
        let mut after = match op {
            SetOp::Read(members) => return (members == state).then(|| state.clone()),
            SetOp::Add(_) | SetOp::Remove(_) => state.clone(),
        };
        match op {
            SetOp::Add(element) => set_member(&mut after, *element, true),
            SetOp::Remove(element) => set_member(&mut after, *element, false),
            SetOp::Read(_) => {}
        }
        Some(after)
    }

    fn is_read(&self, op: &SetOp) -> bool {
        matches!(op, SetOp::Read(_))
    }

    /// An element can be left out if no read shows it, and left in if every read does.
    fn is_superfluous(&self, write: &Call<SetOp>, kept: &[Call<SetOp>]) -> bool {
        let mut reads = kept.iter().filter_map(|call| match &call.op {
            SetOp::Read(members) => Some(members),
            _ => None,
        });
        let shows = |members: &Members, element: u32| {
            members.get((element / 64) as usize).is_some_and(|word| word >> (element % 64) & 1 != 0)
        };
        match write.op {
            SetOp::Add(element) => !reads.any(|members| shows(members, element)),
            SetOp::Remove(element) => reads.all(|members| shows(members, element)),
            SetOp::Read(_) => false,
        }
    }
}

/// A counter that begins at nothing.
pub(super) struct Counter;

/// An operation on a counter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CounterOp {
    /// Adds a number, possibly negative.
    Add(i64),
    /// Returned the sum.
    Read(i64),
}

impl SequentialSpec for Counter {
    type State = i64;
    type Op = CounterOp;

    fn init(&self) -> i64 {
        0
    }

    fn step(&self, state: &i64, op: &CounterOp) -> Option<i64> {
        match op {
            CounterOp::Add(number) => Some(state.wrapping_add(*number)),
            CounterOp::Read(sum) => (sum == state).then_some(*state),
        }
    }

    fn is_read(&self, op: &CounterOp) -> bool {
        matches!(op, CounterOp::Read(_))
    }
}

/// A lock. Whose it is does not matter: a session may outlive the process that took it.
pub(super) struct Lock;

/// Who holds a lock, or acts on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Owner {
    /// A session that takes it and gives it back.
    Session(u32),
    /// Somebody, who may act for anybody.
    Somebody,
}

/// An operation on a lock.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LockOp {
    /// Takes it.
    Acquire(Owner),
    /// Gives it back.
    Release(Owner),
}

impl SequentialSpec for Lock {
    /// Who holds it.
    type State = Option<Owner>;
    type Op = LockOp;

    fn init(&self) -> Self::State {
        None
    }

    fn step(&self, state: &Self::State, op: &LockOp) -> Option<Self::State> {
        match (op, state) {
            (LockOp::Acquire(by), None) => Some(Some(*by)),
            (LockOp::Release(by), Some(holder)) => {
                (*by == Owner::Somebody || by == holder).then_some(None)
            }
            _ => None,
        }
    }

    fn is_read(&self, _op: &LockOp) -> bool {
        false
    }

    fn looks(&self, _op: &LockOp) -> bool {
        true
    }
}

/// A queue, a stack or a priority queue. Elements are numbered, those of a priority queue by size.
pub(super) struct Container {
    pub(super) order: Order,
}

/// An operation on a container.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ContainerOp {
    /// Puts an element in.
    Put(u32),
    /// Took this element out.
    Take(u32),
    /// Took out whatever was next.
    TakeAny,
    /// Looked at the element that is next.
    Peek(u32),
    /// Found nothing.
    Empty,
}

impl SequentialSpec for Container {
    /// What is inside; the next at the end.
    type State = Vec<u32>;
    type Op = ContainerOp;

    fn init(&self) -> Vec<u32> {
        Vec::new()
    }

    fn step(&self, state: &Vec<u32>, op: &ContainerOp) -> Option<Vec<u32>> {
        let next = state.last();
        let fits = match op {
            ContainerOp::Put(_) => true,
            ContainerOp::Take(element) | ContainerOp::Peek(element) => next == Some(element),
            ContainerOp::TakeAny => next.is_some(),
            ContainerOp::Empty => next.is_none(),
        };
        if !fits {
            return None;
        }
        let mut after = state.clone();
        match op {
            ContainerOp::Put(element) => {
                let place = match self.order {
                    Order::Fifo => 0,
                    Order::Lifo => after.len(),
                    Order::Greatest => after.partition_point(|one| one < element),
                };
                after.insert(place, *element);
            }
            ContainerOp::Take(_) | ContainerOp::TakeAny => {
                after.pop();
            }
            ContainerOp::Peek(_) | ContainerOp::Empty => {}
        }
        Some(after)
    }

    fn is_read(&self, op: &ContainerOp) -> bool {
        matches!(op, ContainerOp::Peek(_) | ContainerOp::Empty)
    }

    fn looks(&self, op: &ContainerOp) -> bool {
        self.is_read(op) || matches!(op, ContainerOp::Take(_))
    }

    /// What nobody saw can go: an order without it, and without the indeterminate take that may have
    /// taken it, is an order still.
    fn is_superfluous(&self, write: &Call<ContainerOp>, kept: &[Call<ContainerOp>]) -> bool {
        let ContainerOp::Put(element) = write.op else { return false };
        !kept.iter().any(|call| {
            matches!(call.op, ContainerOp::Take(one) | ContainerOp::Peek(one) if one == element)
        })
    }
}
