//! Who hands out which ids.

use std::ops::Range;

use crate::model::Random;

/// How a primary chooses the next id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Scheme {
    /// The one after the greatest it knows of.
    AutoIncrement,
    /// The next one that leaves, divided by this, the remainder that is this primary's own: unique as
    /// long as there are no more primaries than that.
    Step(u8),
    /// Out of a block that the first primary gave to nobody else.
    Block,
    /// Any of 2^53.
    Random,
}

/// How many ids are in a block.
pub(super) const BLOCK: i64 = 100;

/// What a primary knows of ids. A block that is not used up is lost with the process: gaps are legal.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    scheme: Scheme,
    me: u8,
    block: Range<i64>,
}

impl Ids {
    pub(super) fn new(scheme: Scheme, me: u8) -> Self {
        Self { scheme, me, block: 0..0 }
    }

    /// The next id after `last`; nothing if a new block is needed first.
    pub(super) fn next(&mut self, last: i64, random: &mut Random) -> Option<i64> {
        match self.scheme {
            Scheme::AutoIncrement => Some(last.saturating_add(1)),
            Scheme::Step(step) => {
                let (step, own) = (i64::from(step), i64::from(self.me % step));
                Some(last + 1 + (own - last).rem_euclid(step))
            }
            Scheme::Block => self.block.next(),
            Scheme::Random => Some(random.below(1 << 53) as i64),
        }
    }

    /// A block that begins with this id is this primary's own from now on.
    pub(super) fn take(&mut self, first: i64) {
        self.block = first..first + BLOCK;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_never_meet_unless_there_are_too_few() {
        let mut random = Random::stream(1, "store");
        let ids = |step, me| Ids::new(Scheme::Step(step), me);
        for last in 0..20 {
            let next: Vec<i64> =
                (0..3).filter_map(|me| ids(3, me).next(last, &mut random)).collect();
            assert!(next.iter().all(|id| (last + 1..=last + 3).contains(id)), "{next:?}");
            assert!(next[0] != next[1] && next[1] != next[2] && next[0] != next[2], "{next:?}");
        }
        let clash = [0, 2].map(|me| ids(2, me).next(7, &mut random));
        assert_eq!(clash[0], clash[1]);
    }

    #[test]
    fn a_block_ends() {
        let mut random = Random::stream(1, "store");
        let mut ids = Ids::new(Scheme::Block, 0);
        assert_eq!(ids.next(0, &mut random), None);
        ids.take(101);
        let block: Vec<i64> = std::iter::from_fn(|| ids.next(0, &mut random)).collect();
        assert_eq!((block.len(), block[0]), (100, 101));
    }
}
