//! Blocks of operations that cannot be interrupted, and the linear-time test of their order.
//!
//! A *version* is what a key holds between two writes. In every linearization the write of a
//! version and its reads stand together, uninterrupted by other versions: they are a block
//! (a *cluster* of Gibbons and Korach, "Testing Shared Memories", SIAM J. Comput. 1997, section 4).
//! Where an update says which version it replaced (a compare-and-set, the next element of a list),
//! two blocks are glued together, in this order. So in general a block is a *chain* of *layers*,
//! and inside a layer every order is allowed.
//!
//! ```text
//!   chain 0    (initial) | reads of it | cas nil→1 | reads of 1
//!   chain 1    write 2   | reads of 2  | cas 2→3   | reads of 3 | …
//! ```
//!
//! The operations are linearizable if and only if
//! 1. within a chain no operation of a later layer returned before one of an earlier layer was
//!    invoked, and
//! 2. no two chains C and D have f(C) < s(D) and f(D) < s(C), where f is the first return and s the
//!    last invocation of a chain.
//!
//! *Why 2 suffices:* C must stand before D if and only if f(C) < s(D). Take any cycle of chains and
//! in it the M of greatest s. Its predecessor X in the cycle has f(X) < s(M); its successor N has
//! f(M) < s(N). Now f(N) < s(successor of N) ≤ s(M), so N must stand before M as well: M and N
//! conflict as a pair. Without a cycle, the chains can be laid out one after the other.

use crate::history::{Rank, Txn, TxnId};

/// An instant of an operation. Packed so that the order of numbers is that of time; 0 lies before
/// every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

impl Moment {
    /// Before every event.
    pub(super) const BEFORE: Self = Self(0);
    /// After every event.
    const AFTER: Self = Self(u64::MAX);

    fn new(rank: Rank, txn: TxnId) -> Self {
        let rank = if rank == Rank::NEVER { u64::from(u32::MAX) } else { u64::from(rank.0) + 1 };
        Self(rank << 32 | u64::from(txn.0))
    }

    /// The operation.
    pub(super) fn txn(self) -> TxnId {
        TxnId(self.0 as u32)
    }

    fn rank(self) -> u64 {
        self.0 >> 32
    }

    /// Whether this return lies before that invocation.
    pub(super) fn precedes(self, invocation: Self) -> bool {
        self.rank() < invocation.rank()
    }
}

/// The operations of a layer, reduced to the two that matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    /// The return that comes first.
    pub(super) first_return: Moment,
    /// The invocation that comes last.
    pub(super) last_call: Moment,
}

impl Layer {
    /// Without an operation.
    pub(super) const EMPTY: Self = Self { first_return: Moment::AFTER, last_call: Moment::BEFORE };
    /// What wrote the initial version: it returned before every event.
    pub(super) const INITIAL: Self =
        Self { first_return: Moment::BEFORE, last_call: Moment::BEFORE };

    /// A layer of one operation.
    pub(super) fn of(txn: Txn<'_>) -> Self {
        Self::between(txn.id, txn.invoked(), txn.returned())
    }

    /// A layer of one operation, from its invocation to its return.
    pub(super) fn between(txn: TxnId, invoked: Rank, returned: Rank) -> Self {
        Self { first_return: Moment::new(returned, txn), last_call: Moment::new(invoked, txn) }
    }

    /// The operation that returned first, if there is one.
    pub(super) fn first_reader(self) -> Option<TxnId> {
        (self.first_return != Moment::AFTER).then(|| self.first_return.txn())
    }

    /// Adds operations.
    pub(super) fn join(&mut self, other: Self) {
        self.first_return = self.first_return.min(other.first_return);
        self.last_call = self.last_call.max(other.last_call);
    }
}

/// Two groups of operations, each of which must come before the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// Two layers of one chain: an operation of the later one returned before one of the earlier
    /// one was invoked. Among the earlier layers it is the nearest.
    Layers {
        /// The layer that must come first, counted over all chains.
        earlier: usize,
        /// The layer that must come later.
        later: usize,
    },
    /// Two chains; the first has the earlier first return.
    Chains(usize, usize),
}

/// Chains, one after the other.
#[derive(Default)]
pub(super) struct Chains {
    layers: Vec<Layer>,
    /// Where each chain ends in `layers`.
    ends: Vec<u32>,
}

impl Chains {
    /// None, with room for so many layers.
    pub(super) fn with_capacity(layers: usize) -> Self {
        Self { layers: Vec::with_capacity(layers), ends: Vec::new() }
    }

    /// Adds a layer to the open chain.
    pub(super) fn push(&mut self, layer: Layer) {
        self.layers.push(layer);
    }

    /// Closes the open chain.
    pub(super) fn close(&mut self) {
        self.ends.push(self.layers.len() as u32);
    }

    /// The places of a chain's layers.
    pub(super) fn places(&self, chain: usize) -> std::ops::Range<usize> {
        let start = if chain == 0 { 0 } else { self.ends[chain - 1] as usize };
        start..self.ends[chain] as usize
    }

    /// The layer at a place.
    pub(super) fn layer(&self, place: usize) -> Layer {
        self.layers[place]
    }

    /// A whole chain as one layer.
    pub(super) fn whole(&self, chain: usize) -> Layer {
        let mut whole = Layer::EMPTY;
        self.layers[self.places(chain)].iter().for_each(|layer| whole.join(*layer));
        whole
    }

    /// The first `limit` conflicts and the number of all: at most one for each later layer, and for
    /// each chain that reaches beyond later ones, however many these are; none if and only if the
    /// chains can be put in order. Each is a proof.
    /// O(n), and O(n log n) where the ranks of the operations are thinly spread.
    pub(super) fn conflicts(&self, limit: usize) -> (Vec<Conflict>, u64) {
        let (mut found, mut count) = (Vec::new(), 0);
        let mut wholes = Vec::with_capacity(self.ends.len());
        for chain in 0..self.ends.len() {
            let mut whole = Layer::EMPTY;
            let sound = count;
            let places = self.places(chain);
            for place in places.clone() {
                let layer = self.layers[place];
                if layer.first_return.precedes(whole.last_call) {
                    count += 1;
                    if found.len() < limit {
                        let is_late =
                            |at: &usize| layer.first_return.precedes(self.layers[*at].last_call);
                        let earlier = (places.start..place).rev().find(is_late);
                        let earlier = earlier.expect("one of these layers has the last invocation");
                        found.push(Conflict::Layers { earlier, later: place });
                    }
                }
                whole.join(layer);
            }
            // A chain that contradicts itself fits nowhere; what it does to others is no further news.
            wholes.push(if count == sound { whole } else { Layer::EMPTY });
        }
        // In order of first return, a chain conflicts with an earlier one if it conflicts with that
        // of greatest last invocation: as long as there was no conflict, the chains with
        // f < s are disjoint in time, so at most one of them reaches beyond this first return.
        let mut cover: Option<usize> = None;
        let mut told: Option<usize> = None;
        for chain in by_first_return(&wholes) {
            let chain = chain as usize;
            let Some(before) = cover else {
                cover = Some(chain);
                continue;
            };
            let (old, new) = (wholes[before], wholes[chain]);
            if told != cover
                && new.first_return.precedes(old.last_call)
                && old.first_return.precedes(new.last_call)
            {
                told = cover;
                count += 1;
                if found.len() < limit {
                    found.push(Conflict::Chains(before, chain));
                }
            }
            if new.last_call > old.last_call {
                cover = Some(chain);
            }
        }
        (found, count)
    }
}

/// The chains in order of first return; those that never return (nobody saw them) come last.
fn by_first_return(wholes: &[Layer]) -> Vec<u32> {
    let chains = 0..wholes.len() as u32;
    let rank = |chain: &u32| wholes[*chain as usize].first_return.rank();
    let never = u64::from(u32::MAX);
    let (mut low, mut high) = (never, 0);
    for at in chains.clone().map(|chain| rank(&chain)).filter(|at| *at > 0 && *at < never) {
        low = low.min(at);
        high = high.max(at);
    }
    let width = (high + 1).saturating_sub(low) as usize;
    if width > 16 * wholes.len() {
        let mut order: Vec<u32> = chains.collect();
        order.sort_by_key(rank);
        return order;
    }
    // Ranks are dense and never tie: a place for each is a sort in one pass.
    let mut places = vec![u32::MAX; width];
    let (mut order, mut last) = (Vec::with_capacity(wholes.len()), Vec::new());
    for chain in chains {
        match rank(&chain) {
            0 => order.push(chain),
            at if at == never => last.push(chain),
            at => places[(at - low) as usize] = chain,
        }
    }
    order.extend(places.into_iter().filter(|chain| *chain != u32::MAX));
    order.append(&mut last);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(first_return: u32, last_call: u32) -> Layer {
        Layer {
            first_return: Moment::new(Rank(first_return), TxnId(0)),
            last_call: Moment::new(Rank(last_call), TxnId(0)),
        }
    }

    fn chains(chains: &[&[Layer]]) -> Chains {
        let mut all = Chains::default();
        for layers in chains {
            layers.iter().for_each(|layer| all.push(*layer));
            all.close();
        }
        all
    }

    #[test]
    fn a_chain_inside_another_conflicts_and_one_across_its_edge_does_not() {
        // Held from 1 to 9; the other one was invoked at 3 and returned at 5, or at 12.
        assert_eq!(
            chains(&[&[layer(1, 9)], &[layer(5, 3)]]).conflicts(9).0,
            [Conflict::Chains(0, 1)]
        );
        assert_eq!(chains(&[&[layer(1, 9)], &[layer(12, 3)]]).conflicts(9).0, []);
    }

    #[test]
    fn a_version_that_comes_back_after_many_later_ones_is_one_conflict() {
        let (found, count) =
            chains(&[&[layer(1, 9)], &[layer(3, 2)], &[layer(5, 4)], &[layer(7, 6)]]).conflicts(9);
        assert_eq!((found, count), (vec![Conflict::Chains(0, 1)], 1));
    }

    #[test]
    fn layers_are_in_order() {
        let late = chains(&[&[Layer::INITIAL, layer(4, 2), layer(9, 8), layer(7, 6)]]);
        assert_eq!(late.conflicts(9).0, [Conflict::Layers { earlier: 2, later: 3 }]);
        assert_eq!(chains(&[&[layer(4, 2), Layer::EMPTY, layer(3, 1)]]).conflicts(9).0, []);
    }

    #[test]
    fn the_initial_version_is_before_rank_zero() {
        // A write at ranks 0 and 1, then a read of nothing at 2 and 3.
        let stale = chains(&[&[Layer::INITIAL, layer(3, 2)], &[layer(1, 0)]]);
        assert_eq!(stale.conflicts(9).0, [Conflict::Chains(0, 1)]);
    }
}
