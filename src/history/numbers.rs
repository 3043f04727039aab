//! A map from numbers to ids that is an array where the numbers are small and dense.

use rustc_hash::FxHashMap;

/// Numbers this small are always kept in the array.
const ALWAYS_DENSE: usize = 1 << 16;

/// A map from `u32` to ids below `u32::MAX`.
///
/// Processes, sessions and unique values mostly count from zero, and looking into an array costs a
/// tenth of a hash look-up. Far-away numbers go to a hash map, so that one of them costs no memory.
#[derive(Clone, Default)]
pub(super) struct Numbers {
    /// One more than the id; 0 where there is none.
    dense: Vec<u32>,
    sparse: FxHashMap<u32, u32>,
    count: usize,
}

impl Numbers {
    pub(super) fn get(&self, number: u32) -> Option<u32> {
        match self.dense.get(number as usize) {
            Some(0) | None if self.sparse.is_empty() => None,
            Some(0) | None => self.sparse.get(&number).copied(),
            Some(id) => Some(id - 1),
        }
    }

    /// Sets the id of a number; returns the one it had.
    pub(super) fn insert(&mut self, number: u32, id: u32) -> Option<u32> {
        let at = number as usize;
        let before = self.get(number);
        self.count += usize::from(before.is_none());
        if at >= self.dense.len() && at < ALWAYS_DENSE + 4 * self.count {
            self.dense.resize((at + 1).next_power_of_two().max(64), 0);
        }
        // A number that was far away may have come near: then it moves.
        if let Some(slot) = self.dense.get_mut(at) {
            *slot = id + 1;
            if !self.sparse.is_empty() {
                self.sparse.remove(&number);
            }
        } else {
            self.sparse.insert(number, id);
        }
        before
    }

    /// Forgets a number; returns the id it had.
    pub(super) fn remove(&mut self, number: u32) -> Option<u32> {
        let id = self.get(number)?;
        self.count -= 1;
        if let Some(slot) = self.dense.get_mut(number as usize) {
            *slot = 0;
        }
        if !self.sparse.is_empty() {
            self.sparse.remove(&number);
        }
        Some(id)
    }

    /// How many bytes it takes on the heap, about.
    pub(super) fn heap_bytes(&self) -> usize {
        4 * self.dense.capacity() + 9 * self.sparse.capacity()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::Random;

    #[test]
    fn it_is_a_map() {
        let (mut numbers, mut map) = (Numbers::default(), BTreeMap::new());
        let mut random = Random::stream(1, "numbers");
        for id in 0..20_000 {
            let number = match random.below(3) {
                0 => random.below(300_000),
                1 => random.below(50),
                _ => u64::from(u32::MAX) - random.below(50),
            } as u32;
            assert_eq!(numbers.get(number), map.get(&number).copied());
            if random.chance(0.7) {
                assert_eq!(numbers.insert(number, id), map.insert(number, id));
            } else {
                assert_eq!(numbers.remove(number), map.remove(&number));
            }
        }
    }
}
