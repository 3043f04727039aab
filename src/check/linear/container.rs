//! Queues, stacks and priority queues: what was put in and taken out, and how it is judged.
//!
//! Where each value is put in once, monitors decide in O(n log n): Henzinger, Sezgin and Vafeiadis,
//! "Aspect-Oriented Linearizability Proofs" (CONCUR 2013), for queues; Lee and Mathur, "Efficient
//! Decrease-and-Conquer Linearizability Monitoring" (OOPSLA 2025), for stacks and priority queues.
//! They assume that every operation completed. So before they are asked:
//! - An indeterminate put that nobody took is left out: any order without it, and without whatever
//!   indeterminate take may have taken it, is still one.
//! - What was never taken is taken after the end.
//! - An indeterminate take may have taken something of that, at any time after its call. Each element
//!   has a deadline, by which it must have gone; the element of the earliest deadline gets the take
//!   that was called first. If they do not suffice, or no order exists even if the first such
//!   take could serve all, there is none. If one exists with that choice, there is one. What remains
//!   is left to the general search.

use rayon::prelude::*;

use crate::check::linear::object::{Finding, Judgement, Numbers, Object};
use crate::check::linear::{container_proof, fifo, greatest, lifo, searched};
use crate::history::{Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// Which element is taken next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The one that was put in first.
    Fifo,
    /// The one that was put in last.
    Lifo,
    /// The greatest.
    Greatest,
}

/// A value that is put in once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub(super) value: ValueId,
    /// What a priority queue sorts by.
    pub(super) priority: i64,
    pub(super) put: TxnId,
    pub(super) put_called: Rank,
    /// `NEVER` if indeterminate.
    pub(super) put_returned: Rank,
    pub(super) take: Option<TxnId>,
    /// `NEVER` if it was never taken.
    pub(super) take_called: Rank,
    pub(super) take_returned: Rank,
}

impl Element {
    /// From when to when it is inside whatever the order of operations; there is no such time if
    /// it ends before it begins.
    pub(super) fn critical(&self) -> (Rank, Rank) {
        (self.put_returned, self.take_called)
    }
}

/// An answer of a take, or an indeterminate one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Take {
    pub(super) txn: TxnId,
    pub(super) called: Rank,
    /// `NEVER` if indeterminate.
    pub(super) returned: Rank,
}

/// All that happened to a container.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// In order of the calls that put them in.
    pub(super) elements: Vec<Element>,
    /// Takes that found nothing.
    pub(super) empties: Vec<Take>,
    /// Indeterminate takes, in order of invocation.
    pub(super) loose: Vec<Take>,
}

/// One thing that a proof is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// An element, by its number.
    Element(u32),
    /// An empty answer, by its number.
    Empty(u32),
}

/// What the monitors say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// There is an order.
    Fine,
    /// There is none, not even of these.
    Refuted(Vec<Item>),
    /// They cannot say.
    Open,
}

/// Judges a queue, a stack or a priority queue.
pub(super) fn judge(object: &Object<'_>, order: Order) -> Judgement {
    let contents = match Gather::new(object, order).contents() {
        Ok(contents) => contents,
        Err(Some(judgement)) => return judgement,
        Err(None) => return searched::container(object, order),
    };
    let is_taken = contents.elements.iter().any(|element| element.take.is_some());
    if !is_taken && contents.empties.is_empty() {
        return Judgement::Silent;
    }
    match decide(order, &contents) {
        Decision::Fine => Judgement::Linearizable,
        Decision::Refuted(items) => {
            let finding = container_proof::finding(object, order, &contents, items);
            Judgement::Violated(vec![finding], 1)
        }
        Decision::Open => searched::container(object, order),
    }
}

/// Whether there is an order of all operations.
pub(super) fn decide(order: Order, contents: &Contents) -> Decision {
    let is_left = |element: &Element| element.take.is_none();
    let left = contents.elements.iter().filter(|element| is_left(element)).count();
    if left == 0 || contents.loose.is_empty() {
        return conflict(order, contents).map_or(Decision::Fine, Decision::Refuted);
    }
    let deadlines = deadlines(order, contents);
    let mut by_deadline: Vec<(Rank, usize)> = (deadlines.into_iter().zip(0..))
        .filter(|(_, at)| is_left(&contents.elements[*at]))
        .collect();
    by_deadline.sort_unstable();
    let mut served = contents.clone();
    for (nth, (deadline, at)) in by_deadline.iter().enumerate() {
        let taker = contents.loose.get(nth).map_or(Rank::NEVER, |take| take.called);
        if taker >= *deadline && *deadline != Rank::NEVER {
            return Decision::Refuted(contents.items());
        }
        served.elements[*at].take_called = taker;
    }
    if conflict(order, &served).is_none() {
        return Decision::Fine;
    }
    for (_, at) in by_deadline {
        served.elements[at].take_called = contents.loose[0].called;
    }
    conflict(order, &served).map_or(Decision::Open, Decision::Refuted)
}

/// What cannot be ordered, if every operation completed.
fn conflict(order: Order, contents: &Contents) -> Option<Vec<Item>> {
    let by_order = || match order {
        Order::Fifo => fifo::conflict(contents),
        Order::Lifo => lifo::conflict(contents),
        Order::Greatest => greatest::conflict(contents),
    };
    let (by_order, empty) = rayon::join(by_order, || false_empty(contents));
    by_order.or(empty)
}

/// For each element, the return before which it must have gone, lest it be in the way of another or
/// of an empty answer; `NEVER` if it is in nobody's way.
fn deadlines(order: Order, contents: &Contents) -> Vec<Rank> {
    let mut empties: Vec<(Rank, Rank)> =
        contents.empties.iter().map(|empty| (empty.called, empty.returned)).collect();
    empties.sort_unstable();
    for at in (1..empties.len()).rev() {
        empties[at - 1].1 = empties[at - 1].1.min(empties[at].1);
    }
    let mut deadlines = match order {
        Order::Fifo => fifo::deadlines(contents),
        Order::Lifo => lifo::deadlines(contents),
        Order::Greatest => greatest::deadlines(contents),
    };
    for (deadline, element) in deadlines.iter_mut().zip(&contents.elements) {
        let next = empties.partition_point(|(called, _)| *called < element.put_returned);
        let empty = empties.get(next).map_or(Rank::NEVER, |(_, returned)| *returned);
        *deadline = empty.min(*deadline);
    }
    deadlines
}

/// An empty answer at every instant of which something was inside, and that.
fn false_empty(contents: &Contents) -> Option<Vec<Item>> {
    if contents.empties.is_empty() {
        return None;
    }
    let cover = Cover::new((0..).zip(&contents.elements));
    (0..).zip(&contents.empties).find_map(|(at, empty)| {
        let mut items = cover.over(empty.called, empty.returned)?;
        items.push(Item::Empty(at));
        Some(items)
    })
}

/// The times at which some element was surely inside.
pub(super) struct Cover {
    /// From, to, the element; in order of time.
    intervals: Vec<(Rank, Rank, u32)>,
    /// Their union.
    union: Vec<(Rank, Rank)>,
}

impl Cover {
    pub(super) fn new<'c>(elements: impl Iterator<Item = (u32, &'c Element)>) -> Self {
        let mut intervals: Vec<(Rank, Rank, u32)> = elements
            .map(|(at, element)| (element.critical().0, element.critical().1, at))
            .filter(|(from, to, _)| from < to)
            .collect();
        intervals.par_sort_unstable();
        let mut union: Vec<(Rank, Rank)> = Vec::new();
        for (from, to, _) in &intervals {
            match union.last_mut() {
                Some(last) if *from < last.1 => last.1 = last.1.max(*to),
                _ => union.push((*from, *to)),
            }
        }
        Self { intervals, union }
    }

    /// The fewest elements that cover the whole time between two events, if it is covered.
    pub(super) fn over(&self, from: Rank, to: Rank) -> Option<Vec<Item>> {
        let at = self.union.partition_point(|(start, _)| *start < from).checked_sub(1)?;
        if self.union[at].1 < to {
            return None;
        }
        let (mut reached, mut best, mut items) = (from, (from, 0), Vec::new());
        for (start, end, element) in &self.intervals {
            if *start >= reached {
                items.push(Item::Element(best.1));
                reached = best.0;
                if reached >= to {
                    return Some(items);
                }
            }
            if *end > best.0 {
                best = (*end, *element);
            }
        }
        items.push(Item::Element(best.1));
        Some(items)
    }
}

impl Contents {
    pub(super) fn items(&self) -> Vec<Item> {
        let elements = (0..self.elements.len() as u32).map(Item::Element);
        elements.chain((0..self.empties.len() as u32).map(Item::Empty)).collect()
    }

    /// These things alone, with every indeterminate take.
    pub(super) fn only(&self, items: &[Item]) -> Self {
        let mut only = Self { loose: self.loose.clone(), ..Self::default() };
        for item in items {
            match item {
                Item::Element(at) => only.elements.push(self.elements[*at as usize]),
                Item::Empty(at) => only.empties.push(self.empties[*at as usize]),
            }
        }
        only
    }
}

/// Reads the operations on a container.
struct Gather<'o, 'h> {
    object: &'o Object<'h>,
    order: Order,
    contents: Contents,
    findings: Vec<Finding>,
}

impl<'o, 'h> Gather<'o, 'h> {
    fn new(object: &'o Object<'h>, order: Order) -> Self {
        Self { object, order, contents: Contents::default(), findings: Vec::new() }
    }

    /// What happened; else what can be said at once; nothing if that is beyond the monitors.
    fn contents(mut self) -> Result<Contents, Option<Judgement>> {
        let mut numbers = Numbers::new(self.object);
        let mut takes: Vec<(ValueId, Take)> = Vec::with_capacity(self.object.txns.len() / 2);
        self.contents.elements.reserve(self.object.txns.len() / 2);
        let mut is_plain = true;
        for (txn, access) in self.object.accesses() {
            let take = Take { txn: txn.id, called: txn.invoked(), returned: txn.returned() };
            match access.function {
                Function::Enqueue | Function::Push | Function::Insert => {
                    let next = self.contents.elements.len() as u32;
                    is_plain &= numbers.get_or(access.value, next) == next;
                    let element = self.element(txn, access.value)?;
                    self.contents.elements.push(element);
                }
                Function::Peek => is_plain &= txn.kind() != Kind::Ok,
                _ if txn.kind() != Kind::Ok => self.contents.loose.push(take),
                _ if access.value == ValueId::UNKNOWN => {
                    return Err(Some(searched::odd(txn, "what it took")));
                }
                _ if access.value == ValueId::NULL => self.contents.empties.push(take),
                _ => takes.push((access.value, take)),
            }
        }
        if !is_plain {
            return Err(None);
        }
        let mut count = 0;
        for (value, take) in takes {
            count += u64::from(!self.take(numbers.get(value), value, take));
        }
        if count > 0 {
            return Err(Some(Judgement::Violated(self.findings, count)));
        }
        let is_possible =
            |element: &Element| element.take.is_some() || element.put_returned != Rank::NEVER;
        self.contents.elements.retain(is_possible);
        Ok(self.contents)
    }

    fn element(&self, txn: Txn<'_>, value: ValueId) -> Result<Element, Judgement> {
        if value == ValueId::NULL || value == ValueId::UNKNOWN {
            return Err(searched::odd(txn, "an element"));
        }
        let priority = match self.order {
            Order::Greatest => self.object.history.values().int(value),
            _ => Some(0),
        };
        let Some(priority) = priority else { return Err(searched::odd(txn, "a number")) };
        Ok(Element {
            value,
            priority,
            put: txn.id,
            put_called: txn.invoked(),
            put_returned: txn.returned(),
            take: None,
            take_called: Rank::NEVER,
            take_returned: Rank::NEVER,
        })
    }

    /// Notes who took an element; whether that is possible at all.
    fn take(&mut self, number: Option<u32>, value: ValueId, take: Take) -> bool {
        let object = self.object;
        let taker = object.txn(take.txn);
        let mut find = |finding: Finding| {
            if self.findings.len() < object.limits.anomalies.max(1) {
                self.findings.push(finding);
            }
            false
        };
        let Some(number) = number else { return find(object.unwritten(taker, value, "")) };
        let element = &mut self.contents.elements[number as usize];
        if let Some(first) = element.take {
            return find(container_proof::twice(object, element, object.txn(first), taker));
        }
        if take.returned < element.put_called {
            return find(container_proof::too_early(object, element, taker));
        }
        element.take = Some(take.txn);
        element.take_called = take.called;
        element.take_returned = take.returned;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Limits, Status, linear};
    use crate::history::{Access, Builder, History, KeyId, Operation};
    use crate::model::{Nanos, Process, Random};

    const FUNCTIONS: [(Order, Function, Function); 3] = [
        (Order::Fifo, Function::Enqueue, Function::Dequeue),
        (Order::Lifo, Function::Push, Function::Pop),
        (Order::Greatest, Function::Insert, Function::Poll),
    ];

    /// A container under so many clients; each operation takes effect at a random instant. Some
    /// takes are served out of order, some operations do not return.
    fn history(random: &mut Random, kind: (Order, Function, Function), unknown: f64) -> History {
        let (order, put, take) = kind;
        let (operations, clients) = (random.between(20, 60), random.between(2, 8));
        let wrong = if random.chance(0.5) { 0.0 } else { 0.4 };
        let mut free = vec![0_u64; clients as usize];
        // When it takes effect, when it was invoked, when it returns; a put or not.
        let mut plan: Vec<(u64, u64, u64, bool)> = (0..operations)
            .map(|_| {
                let client = random.below(clients) as usize;
                let invoked = free[client] + 1 + random.below(20);
                let effect = invoked + random.below(30);
                let returned = effect + 1 + random.below(30);
                free[client] = returned;
                (effect, invoked, returned, random.chance(0.5))
            })
            .collect();
        plan.sort_unstable();
        let mut builder = Builder::new();
        let key = builder.key(&"q".into());
        let (mut inside, mut written) = (Vec::new(), Vec::new());
        for (number, (_, invoked, returned, is_put)) in (0..).zip(plan) {
            let is_ok = !random.chance(unknown);
            let happens = is_ok || random.chance(0.5);
            let value = if is_put {
                let value = random.below(1_000) as i64 * 100 + number;
                let place = match order {
                    Order::Fifo => 0,
                    Order::Lifo => inside.len(),
                    Order::Greatest => inside.partition_point(|one| *one < value),
                };
                if happens {
                    inside.insert(place, value);
                }
                builder.int_value(value)
            } else {
                let odd = random.chance(wrong) && inside.len() > 1;
                let taken = match (happens, odd) {
                    (true, true) => Some(inside.remove(inside.len() - 2)),
                    (true, false) => inside.pop(),
                    _ => None,
                };
                match taken {
                    _ if !is_ok => ValueId::UNKNOWN,
                    Some(value) => builder.int_value(value),
                    None => ValueId::NULL,
                }
            };
            let function = if is_put { put } else { take };
            written.push((invoked, returned, is_ok, Access { function, key, value }));
        }
        written.sort_unstable_by_key(|one| one.0);
        for (number, (invoked, returned, is_ok, access)) in (0..).zip(written) {
            let operation = Operation {
                index: Some(number),
                process: Process(number),
                kind: if is_ok { Kind::Ok } else { Kind::Info },
                function: access.function,
                invoked: Nanos(invoked),
                returned: is_ok.then_some(Nanos(returned)),
                session: None,
                node: None,
                version: None,
                is_final: false,
            };
            builder.operation(operation, &[access]).expect("well-formed");
        }
        builder.finish().expect("well-formed")
    }

    #[test]
    fn the_monitors_agree_with_the_search_on_longer_histories() {
        let mut random = Random::stream(7, "containers and search");
        let limits = Limits { search_steps: 100_000, ..Limits::default() };
        for kind in FUNCTIONS {
            let (mut valid, mut violated, mut open) = (0, 0, 0);
            for round in 0..1_500 {
                let unknown = if round % 3 == 0 { 0.05 } else { 0.0 };
                let history = history(&mut random, kind, unknown);
                let txns: Vec<TxnId> = history.txns().map(|txn| txn.id).collect();
                let (history, txns) = (&history, &txns[..]);
                let object = Object { history, key: KeyId(0), txns, limits: &limits };
                let Ok(contents) = Gather::new(&object, kind.0).contents() else {
                    panic!("values are distinct and known: {history:?}")
                };
                let search = searched::container(&object, kind.0);
                match (decide(kind.0, &contents), search) {
                    (Decision::Fine, Judgement::Linearizable | Judgement::Silent) => valid += 1,
                    (Decision::Refuted(items), Judgement::Violated(..)) => {
                        violated += 1;
                        let finding = container_proof::finding(&object, kind.0, &contents, items);
                        let alone = history.subset(&finding.operations);
                        let again = linear::check(&alone, &limits);
                        assert_eq!(again.status, Status::Invalid, "{finding:?}");
                    }
                    (Decision::Open, _) | (_, Judgement::Unknown(_)) => open += 1,
                    (monitor, search) => panic!("{monitor:?}\n{search:?}\n{history:?}"),
                }
            }
            assert!(valid > 600 && violated > 150 && open < 200, "{valid} {violated} {open}");
        }
    }
}
