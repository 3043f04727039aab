//! Stacks: what was put in last comes out first.
//!
//! Lee and Mathur (OOPSLA 2025), for complete histories of distinct values. Look for an instant at which
//! the stack may have been empty: no element was surely inside. Every put and take that is open then can
//! happen then, since whatever it handles is at the bottom, and need not be looked at again. At an
//! instant with a single element inside, its own put and take can happen. An element of which both
//! have happened no longer counts as inside. If some operation is never reached, there is no order.

use rayon::prelude::*;

use crate::check::linear::container::{Contents, Element, Item};
use crate::check::linear::instants::{Earliest, Instants, called};
use crate::history::Rank;

/// Elements that cannot be ordered. O(n log n).
pub(super) fn conflict(contents: &Contents) -> Option<Vec<Item>> {
    let left = Peeling::new(&contents.elements).run();
    let items: Vec<Item> = left.into_iter().map(Item::Element).collect();
    (!items.is_empty()).then_some(items)
}

/// For each element, the first return of a take of one that was surely below it, called when it was
/// inside.
pub(super) fn deadlines(contents: &Contents) -> Vec<Rank> {
    let elements = &contents.elements;
    let mut by_return: Vec<u32> = (0..elements.len() as u32).collect();
    by_return.sort_unstable_by_key(|at| elements[*at as usize].put_returned);
    let mut below = by_return.into_iter().map(|at| &elements[at as usize]).peekable();
    let mut earliest = Earliest::new(elements.iter().map(called));
    let deadline = |element: &Element| {
        while let Some(lower) = below.next_if(|lower| lower.put_returned < element.put_called) {
            if lower.take.is_some() {
                earliest.add(called(lower), lower.take_returned);
            }
        }
        earliest.after(element.put_returned)
    };
    elements.iter().map(deadline).collect()
}

/// The operations not yet placed: element `e` has put `2e` and take `2e + 1`.
struct Peeling {
    /// The instants at which each operation is open.
    open: Vec<(u32, u32)>,
    /// Operations by the first instant at which they are open.
    by_start: Vec<u32>,
    starts: Vec<u32>,
    /// The last instants of those, for the search for whatever is open at an instant.
    ends: Ends,
    /// The instants at which each element is surely inside.
    inside: Vec<(u32, u32)>,
    cover: Counts,
    /// The sum of the numbers of the elements inside: the number, if it is one.
    who: Sums,
    is_placed: Vec<bool>,
    /// The instants that wait for an element to vanish.
    parked: Vec<Vec<u32>>,
}

/// Added to the cover of instants that are not to be looked at.
const CLOSED: i32 = 1 << 30;

impl Peeling {
    fn new(elements: &[Element]) -> Self {
        let instants = Instants::new(elements);
        let between = |from: Rank, to: Rank| {
            let (from, to) = instants.between(from, to);
            (from as u32, to as u32)
        };
        let (mut open, mut inside) = (Vec::with_capacity(2 * elements.len()), Vec::new());
        let mut cover = vec![0; instants.len() + 1];
        let mut who = Sums(vec![0; instants.len() + 1]);
        for (number, element) in (0..).zip(elements) {
            let put_by = element.put_returned.min(element.take_returned);
            open.push(between(element.put_called, put_by));
            open.push(between(called(element), element.take_returned));
            let (from, to) = (element.put_returned, called(element));
            let (from, to) = if from < to { between(from, to) } else { (0, 0) };
            inside.push((from, to));
            cover[from as usize] += 1;
            cover[to as usize] -= 1;
            who.add(from, to, number);
        }
        let mut by_start: Vec<u32> = (0..open.len() as u32).collect();
        by_start.par_sort_unstable_by_key(|op| open[*op as usize].0);
        let starts = by_start.iter().map(|op| open[*op as usize].0).collect();
        let ends = Ends::new(by_start.iter().map(|op| open[*op as usize].1));
        let mut sum = 0;
        cover.pop();
        for count in &mut cover {
            sum += *count;
            *count = sum;
        }
        let is_placed = vec![false; open.len()];
        let parked = vec![Vec::new(); elements.len()];
        let cover = Counts::new(&cover);
        Self { open, by_start, starts, ends, inside, cover, who, is_placed, parked }
    }

    /// Places whatever can be placed; the elements of what is left.
    fn run(mut self) -> Vec<u32> {
        while let Some((count, instant)) = self.cover.least().filter(|least| least.0 < 2) {
            if count == 0 {
                let reach = self.starts.partition_point(|start| *start <= instant);
                while let Some(at) = self.ends.beyond(reach, instant) {
                    self.ends.clear(at);
                    self.place(self.by_start[at]);
                }
                self.cover.add(instant, instant + 1, CLOSED);
                continue;
            }
            let element = self.who.at(instant);
            for op in [2 * element, 2 * element + 1] {
                let (from, to) = self.open[op as usize];
                if (from..to).contains(&instant) {
                    self.place(op);
                }
            }
            if self.is_in(element) {
                self.cover.add(instant, instant + 1, CLOSED);
                self.parked[element as usize].push(instant);
            }
        }
        (0..self.inside.len() as u32).filter(|element| self.is_in(*element)).collect()
    }

    fn is_in(&self, element: u32) -> bool {
        let put = 2 * element as usize;
        !(self.is_placed[put] && self.is_placed[put + 1])
    }

    fn place(&mut self, op: u32) {
        let element = op / 2;
        if std::mem::replace(&mut self.is_placed[op as usize], true) || self.is_in(element) {
            return;
        }
        let (from, to) = self.inside[element as usize];
        self.cover.add(from, to, -1);
        self.who.add(from, to, element.wrapping_neg());
        for instant in std::mem::take(&mut self.parked[element as usize]) {
            self.cover.add(instant, instant + 1, -CLOSED);
        }
    }
}

/// Numbers under which ranges are raised and the least is asked for: a tree in which each node knows
/// the least below it, and what was added to all below it.
struct Counts {
    /// A power of two.
    width: usize,
    least: Vec<i32>,
    added: Vec<i32>,
}

impl Counts {
    fn new(counts: &[i32]) -> Self {
        let width = counts.len().next_power_of_two();
        let mut least = vec![i32::MAX / 2; 2 * width];
        least[width..width + counts.len()].copy_from_slice(counts);
        for node in (1..width).rev() {
            least[node] = least[2 * node].min(least[2 * node + 1]);
        }
        Self { width, least, added: vec![0; 2 * width] }
    }

    /// The least number and a place that has it, if any is open.
    fn least(&self) -> Option<(i32, u32)> {
        let mut node = 1;
        if self.least[node] >= CLOSED / 2 {
            return None;
        }
        let mut wanted = self.least[node];
        while node < self.width {
            wanted -= self.added[node];
            node = 2 * node + usize::from(self.least[2 * node] != wanted);
        }
        Some((self.least[1], (node - self.width) as u32))
    }

    fn add(&mut self, from: u32, to: u32, number: i32) {
        if from >= to {
            return;
        }
        let (mut left, mut right) = (from as usize + self.width, to as usize + self.width);
        let ends = [left, right - 1];
        while left < right {
            if left % 2 == 1 {
                self.raise(left, number);
                left += 1;
            }
            if right % 2 == 1 {
                right -= 1;
                self.raise(right, number);
            }
            left /= 2;
            right /= 2;
        }
        for mut node in ends {
            while node > 1 {
                node /= 2;
                self.least[node] =
                    self.least[2 * node].min(self.least[2 * node + 1]) + self.added[node];
            }
        }
    }

    fn raise(&mut self, node: usize, number: i32) {
        self.least[node] += number;
        self.added[node] += number;
    }
}

/// Numbers under which ranges are raised and one is asked for (a Fenwick tree of differences). Sums
/// wrap, which does no harm where the result is known to be small.
struct Sums(Vec<u32>);

impl Sums {
    fn add(&mut self, from: u32, to: u32, number: u32) {
        if from < to {
            self.add_from(from, number);
            self.add_from(to, number.wrapping_neg());
        }
    }

    fn add_from(&mut self, from: u32, number: u32) {
        let mut at = from as usize + 1;
        while at < self.0.len() {
            self.0[at] = self.0[at].wrapping_add(number);
            at += at & at.wrapping_neg();
        }
    }

    fn at(&self, place: u32) -> u32 {
        let (mut at, mut sum) = (place as usize + 1, 0_u32);
        while at > 0 {
            sum = sum.wrapping_add(self.0[at]);
            at -= at & at.wrapping_neg();
        }
        sum
    }
}

/// The ends of intervals, of which one that ends late is asked for (a tree of maxima).
struct Ends {
    width: usize,
    latest: Vec<u32>,
}

impl Ends {
    fn new(ends: impl ExactSizeIterator<Item = u32>) -> Self {
        let width = ends.len().next_power_of_two();
        let mut latest = vec![0; 2 * width];
        for (leaf, end) in latest[width..].iter_mut().zip(ends) {
            *leaf = end;
        }
        for node in (1..width).rev() {
            latest[node] = latest[2 * node].max(latest[2 * node + 1]);
        }
        Self { width, latest }
    }

    /// The first of the first `count` intervals that ends after `instant`.
    fn beyond(&self, count: usize, instant: u32) -> Option<usize> {
        if self.latest[1] <= instant {
            return None;
        }
        let mut node = 1;
        while node < self.width {
            node = 2 * node + usize::from(self.latest[2 * node] <= instant);
        }
        let at = node - self.width;
        (at < count).then_some(at)
    }

    fn clear(&mut self, at: usize) {
        let mut node = at + self.width;
        self.latest[node] = 0;
        while node > 1 {
            node /= 2;
            self.latest[node] = self.latest[2 * node].max(self.latest[2 * node + 1]);
        }
    }
}
