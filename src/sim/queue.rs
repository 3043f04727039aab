//! What happens next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::Nanos;

/// Events in the order of their times; those of one instant in the order they were pushed.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    /// Time, sequence number, slot: the events themselves stay where they are while the heap sifts.
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    pushed: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), pushed: 0 }
    }
}

impl<E> Queue<E> {
    /// Schedules `event`.
    pub fn push(&mut self, time: Nanos, event: E) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize] = Some(event);
        self.heap.push(Reverse((time.0, self.pushed, slot)));
        self.pushed += 1;
    }

    /// When the next event is due.
    pub fn next_time(&self) -> Option<Nanos> {
        self.heap.peek().map(|Reverse((time, ..))| Nanos(*time))
    }

    /// Takes the next event.
    pub fn pop(&mut self) -> Option<(Nanos, E)> {
        let Reverse((time, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        let event = self.slots[slot as usize].take().expect("a scheduled slot is full");
        Some((Nanos(time), event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_by_order_of_pushing() {
        let mut queue = Queue::default();
        for (time, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
            queue.push(Nanos(time), event);
        }
        assert_eq!(queue.next_time(), Some(Nanos(1)));
        assert_eq!(queue.pop(), Some((Nanos(1), 'a')));
        queue.push(Nanos(5), 'e');
        let rest: String = std::iter::from_fn(|| queue.pop().map(|(_, event)| event)).collect();
        assert_eq!(rest, "bcde");
    }
}
