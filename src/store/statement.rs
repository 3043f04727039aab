//! Statements with a condition that every server answers for itself.

use crate::model::{Nanos, Random};

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
