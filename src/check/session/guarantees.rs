//! Sets of session guarantees.

use crate::check::Property;

/// A set of the four session guarantees (Terry et al. 1994).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Guarantees(u8);

impl Guarantees {
    pub(super) const NONE: Self = Self(0);
    pub(super) const READ_YOUR_WRITES: Self = Self(1);
    pub(super) const MONOTONIC_READS: Self = Self(2);
    pub(super) const MONOTONIC_WRITES: Self = Self(4);
    pub(super) const WRITES_FOLLOW_READS: Self = Self(8);

    /// Whether it holds the one guarantee `other`.
    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all of it is in `other`.
    pub(super) fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Its subsets that are not empty, the smaller ones first.
    pub(super) fn subsets(self) -> impl Iterator<Item = Self> {
        let mut all: Vec<Self> = (1..16).map(Self).filter(|set| set.is_within(self)).collect();
        all.sort_by_key(|set| (set.0.count_ones(), set.0));
        all.into_iter()
    }

    /// The properties it is made of.
    pub(super) fn properties(self) -> Vec<Property> {
        let singles = [Property::Ryw, Property::Mr, Property::Mw, Property::Wfr];
        singles.into_iter().filter(|one| self.has(Self::of(*one))).collect()
    }

    /// What a property demands together.
    pub(super) fn of(property: Property) -> Self {
        match property {
            Property::Ryw => Self(1),
            Property::Mr => Self(2),
            Property::Mw => Self(4),
            Property::Wfr => Self(8),
            Property::MrMw => Self(6),
            Property::MrWfr => Self(10),
            Property::Sess3 => Self(7),
            Property::Sess4 => Self(15),
            _ => Self(0),
        }
    }
}
