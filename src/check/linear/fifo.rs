//! FIFO queues: what was put in first comes out first.
//!
//! Henzinger, Sezgin and Vafeiadis (CONCUR 2013, theorem 3): a complete history of distinct values
//! is linearizable unless a value comes from nowhere or twice, an answer is empty though there was
//! something at every instant, or `put a` returned before `put b` was called and `take b` returned
//! before `take a` was called. So the last is all that is looked for here.

use crate::check::linear::container::{Contents, Element, Item};
use crate::history::Rank;

/// Two elements that came out in the wrong order. O(n log n).
pub(super) fn conflict(contents: &Contents) -> Option<Vec<Item>> {
    let elements = &contents.elements;
    let soonest = soonest(elements);
    (0..elements.len()).find_map(|first| {
        let second = *soonest.get(later(elements, first))?;
        let is_swap = elements[second as usize].take_returned < elements[first].take_called;
        is_swap.then(|| vec![Item::Element(first as u32), Item::Element(second)])
    })
}

/// For each element, when the first of those that were surely put in later has gone.
pub(super) fn deadlines(contents: &Contents) -> Vec<Rank> {
    let elements = &contents.elements;
    let soonest = soonest(elements);
    (0..elements.len())
        .map(|at| {
            let next = soonest.get(later(elements, at));
            next.map_or(Rank::NEVER, |next| elements[*next as usize].take_returned)
        })
        .collect()
}

/// For each element, which of it and those called after it was gone first.
fn soonest(elements: &[Element]) -> Vec<u32> {
    let mut soonest: Vec<u32> = (0..elements.len() as u32).collect();
    for at in (1..elements.len()).rev() {
        let best = soonest[at];
        if elements[best as usize].take_returned < elements[at - 1].take_returned {
            soonest[at - 1] = best;
        }
    }
    soonest
}

/// The first element whose put was called after that of `at` returned. It is near.
fn later(elements: &[Element], at: usize) -> usize {
    let returned = elements[at].put_returned;
    let (mut from, mut width) = (at, 1);
    while from + width < elements.len() && elements[from + width].put_called < returned {
        from += width;
        width *= 2;
    }
    let to = (from + width).min(elements.len());
    from + elements[from..to].partition_point(|element| element.put_called < returned)
}
