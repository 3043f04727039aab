//! Priority queues: the greatest comes out first.
//!
//! Lee and Mathur (OOPSLA 2025): a complete history of distinct values is linearizable if and only if
//! each element can be taken at some instant at which no greater one was surely inside.

use rayon::prelude::*;

use crate::check::linear::container::{Contents, Cover, Element, Item};
use crate::check::linear::instants::{Earliest, Instants, called};
use crate::history::Rank;

/// An element that was taken while greater ones were inside all the time, and those. O(n log n).
pub(super) fn conflict(contents: &Contents) -> Option<Vec<Item>> {
    let elements = &contents.elements;
    let instants = Instants::new(elements);
    let mut next = Next::new(instants.len());
    for at in by_priority(elements).into_iter().rev() {
        let element = &elements[at as usize];
        if element.take.is_some() {
            let (from, to) = instants.between(called(element), element.take_returned);
            if next.free(from) >= to {
                let greater =
                    (0..).zip(elements).filter(|(_, one)| one.priority > element.priority);
                let cover = Cover::new(greater).over(called(element), element.take_returned);
                let mut items = cover.unwrap_or_else(|| contents.items());
                items.push(Item::Element(at));
                items.sort_unstable();
                items.dedup();
                return Some(items);
            }
        }
        let (from, to) = element.critical();
        if from < to {
            let (from, to) = instants.between(from, to);
            next.cover(from, to);
        }
    }
    None
}

/// For each element, the first return of a take of a lesser one that was called when it was inside.
pub(super) fn deadlines(contents: &Contents) -> Vec<Rank> {
    let elements = &contents.elements;
    let mut earliest = Earliest::new(elements.iter().map(called));
    let mut deadlines = vec![Rank::NEVER; elements.len()];
    for at in by_priority(elements) {
        let element = &elements[at as usize];
        deadlines[at as usize] = earliest.after(element.put_returned);
        if element.take.is_some() {
            earliest.add(called(element), element.take_returned);
        }
    }
    deadlines
}

/// The elements, least first.
fn by_priority(elements: &[Element]) -> Vec<u32> {
    let mut order: Vec<(i64, u32)> =
        elements.iter().map(|element| element.priority).zip(0..).collect();
    order.par_sort_unstable();
    order.into_iter().map(|(_, at)| at).collect()
}

/// Instants, some of them covered: from any to the next that is free.
struct Next(Vec<u32>);

impl Next {
    fn new(instants: usize) -> Self {
        Self((0..=instants as u32).collect())
    }

    /// The first free instant from there on.
    fn free(&mut self, mut at: usize) -> usize {
        while self.0[at] as usize != at {
            let beyond = self.0[self.0[at] as usize];
            self.0[at] = beyond;
            at = beyond as usize;
        }
        at
    }

    fn cover(&mut self, from: usize, to: usize) {
        let mut at = self.free(from);
        while at < to {
            self.0[at] = at as u32 + 1;
            at = self.free(at + 1);
        }
    }
}
