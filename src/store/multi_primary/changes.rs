//! What primaries tell each other: changes, with the stamp by which they are told apart and ordered.

use crate::model::{Mop, Value};
use crate::store::objects::Object;

/// When, where and as which of that node's changes something was done. No two changes share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store) struct Stamp {
    /// The clock of that node, or what orders all changes instead.
    pub(super) time: u64,
    pub(super) node: u8,
    pub(super) number: u64,
}

/// What an operation did at the primary that took it.
#[derive(Clone, Debug)]
pub(in crate::store) struct Change {
    pub(super) stamp: Stamp,
    pub(super) effects: Vec<Effect>,
    /// How often it was passed on.
    pub(super) hops: u8,
}

/// What is done to a key.
#[derive(Clone, Debug)]
pub(in crate::store) enum Effect {
    /// This, beside whatever others do: an element, or a difference.
    Do(Mop),
    /// All that the key holds (or one account of it) becomes this, if it wins over what is there.
    Become { place: Place, object: Object, since: Version },
}

/// What is overwritten as one: a key, or one account of a bank.
pub(in crate::store) type Place = (Value, Option<Value>);

/// Which change made what a place holds, and how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Version {
    pub(super) stamp: Stamp,
    pub(super) count: u64,
}
