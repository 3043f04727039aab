//! Statements with a condition or a value that every server evaluates for itself.

use crate::model::{Function, Nanos, Op, Random, Value};

/// The condition under which a write takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// None: it does.
    Always,
    /// `WHERE millisecond(now()) % 20 <> 0`: the clock of the node decides.
    Now,
    /// `WHERE rand() < 0.95`: chance decides.
    Rand,
}

impl Condition {
    /// Whether a write takes effect on a node, now.
    pub(super) fn holds(self, clock: Nanos, random: &mut Random) -> bool {
        match self {
            Self::Always => true,
            Self::Now => !(clock.0 / 1_000_000).is_multiple_of(20),
            Self::Rand => random.chance(0.95),
        }
    }
}

/// What a server evaluates where a new id is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewIds {
    /// Nothing: it is the next number.
    Sequence,
    /// `now()`, in microseconds.
    Now,
    /// `uuid()`: a random number.
    Uuid,
}

impl NewIds {
    /// The write that a request for a new id comes down to; `None` if nothing is evaluated.
    pub(super) fn evaluate(self, op: &Op, clock: Nanos, random: &mut Random) -> Option<Op> {
        let value = match self {
            _ if op.function != Function::NewId => return None,
            Self::Sequence => return None,
            Self::Now => clock.0 / 1_000,
            Self::Uuid => random.below(1 << 48),
        };
        Some(Op::write(op.key().clone(), Value::Int(value as i64)))
    }
}
