//! Proofs that a queue, a stack or a priority queue is not linearizable.
//!
//! Whatever orders all operations orders those on some elements alone, so elements and empty
//! answers are left out as long as the rest cannot be ordered (Zeller and Hildebrandt, 2002).

use crate::check::Edge;
use crate::check::linear::container::{Contents, Decision, Element, Item, Order, decide};
use crate::check::linear::object::{Finding, Object, real_time, step};
use crate::history::{Rank, Txn, TxnId};

/// The proof that these things cannot be ordered, as few of them as can be found.
pub(super) fn finding(
    object: &Object<'_>,
    order: Order,
    contents: &Contents,
    items: Vec<Item>,
) -> Finding {
    let items = fewest(order, contents, items);
    let proof = contents.only(&items);
    let operations = operations(&proof);
    if proof.loose.iter().any(|take| operations.contains(&take.txn)) {
        return unordered(object, operations);
    }
    match (proof.elements.as_slice(), proof.empties.as_slice()) {
        ([first, second], []) if order == Order::Fifo => {
            if second.put_called < first.put_returned {
                return swap(object, second, first, operations);
            }
            swap(object, first, second, operations)
        }
        ([element], [empty]) => {
            let (put, empty) = (object.txn(element.put), object.txn(empty.txn));
            let shown = object.shown(element.value);
            let why = format!("#{} found nothing", empty.index());
            Finding {
                kind: "false-empty",
                sentence: format!(
                    "{} found {} empty at {} (#{}), though {shown} was inside from #{} on{}",
                    object.answerer(empty),
                    object.name(),
                    empty.invoked_at(),
                    empty.index(),
                    put.index(),
                    until(object, element)
                ),
                cycle: vec![real_time(put, empty), step(empty, Edge::Rw, put, why)],
                operations,
            }
        }
        _ => unordered(object, operations),
    }
}

fn until(object: &Object<'_>, element: &Element) -> String {
    match element.take {
        Some(take) => format!(" until #{} took it", object.txn(take).index()),
        None => " and nobody ever took it".to_owned(),
    }
}

/// Two elements of a queue that came out in the wrong order.
fn swap(object: &Object<'_>, first: &Element, second: &Element, operations: Vec<TxnId>) -> Finding {
    let shown = |element: &Element| object.shown(element.value);
    let (one, other) = (object.txn(first.put), object.txn(second.put));
    let mut cycle = vec![real_time(one, other)];
    let end = match (first.take, second.take) {
        (Some(late), Some(early)) => {
            let (late, early) = (object.txn(late), object.txn(early));
            let why = format!("{} was in {} before {}", shown(first), object.name(), shown(second));
            cycle = vec![real_time(early, late), step(late, Edge::Ww, early, why)];
            format!(
                "{} came out before it did (#{}, #{})",
                shown(second),
                early.index(),
                late.index()
            )
        }
        (_, Some(early)) => {
            cycle.clear();
            let early = object.txn(early);
            format!("{} came out (#{}) and it never did", shown(second), early.index())
        }
        _ => "they did not come out so".to_owned(),
    };
    let sentence = format!(
        "{} was put into {} (#{}) before {} was (#{}), yet {end}",
        shown(first),
        object.name(),
        one.index(),
        shown(second),
        other.index(),
    );
    Finding { kind: "reordered", operations, cycle, sentence }
}

fn unordered(object: &Object<'_>, operations: Vec<TxnId>) -> Finding {
    let sentence = format!(
        "no order of these {} operations on {} explains what came out of it",
        operations.len(),
        object.name()
    );
    Finding { kind: "not-linearizable", operations, cycle: Vec::new(), sentence }
}

/// An element that came out a second time.
pub(super) fn twice(
    object: &Object<'_>,
    element: &Element,
    first: Txn<'_>,
    second: Txn<'_>,
) -> Finding {
    let put = object.txn(element.put);
    let sentence = format!(
        "{} took {} from {} at {} (#{}), but #{} took it too and it was put in only once (#{})",
        object.answerer(second),
        object.shown(element.value),
        object.name(),
        second.invoked_at(),
        second.index(),
        first.index(),
        put.index()
    );
    let operations = vec![put.id, first.id, second.id];
    Finding { kind: "duplicate-delivery", operations, cycle: Vec::new(), sentence }
}

/// An element that came out before it was put in.
pub(super) fn too_early(object: &Object<'_>, element: &Element, taker: Txn<'_>) -> Finding {
    let put = object.txn(element.put);
    let shown = object.shown(element.value);
    let why = format!("#{} took the {shown} that #{} put in", taker.index(), put.index());
    let sentence = format!(
        "{} took {shown} from {} at {} (#{}), before anybody tried to put it in (#{})",
        object.answerer(taker),
        object.name(),
        taker.invoked_at(),
        taker.index(),
        put.index()
    );
    let cycle = vec![real_time(taker, put), step(put, Edge::Wr, taker, why)];
    Finding { kind: "future-read", operations: vec![put.id, taker.id], cycle, sentence }
}

/// Every operation on these elements, with each indeterminate take that could explain them.
fn operations(proof: &Contents) -> Vec<TxnId> {
    let returns = |element: &Element| [element.put_returned, element.take_returned];
    let last = (proof.elements.iter().flat_map(returns))
        .chain(proof.empties.iter().map(|empty| empty.returned))
        .filter(|returned| *returned != Rank::NEVER)
        .max();
    let mut operations: Vec<TxnId> = (proof.elements.iter())
        .flat_map(|element| [Some(element.put), element.take])
        .flatten()
        .chain(proof.empties.iter().map(|empty| empty.txn))
        .chain(proof.loose.iter().filter(|take| Some(take.called) < last).map(|take| take.txn))
        .collect();
    operations.sort_unstable();
    operations
}

/// Leaves out what can be left out, within a budget of elements looked at.
fn fewest(order: Order, contents: &Contents, mut items: Vec<Item>) -> Vec<Item> {
    items.sort_unstable();
    let mut budget = 2_000_000 + 20 * items.len();
    let mut chunk = items.len().div_ceil(2);
    while chunk > 0 {
        let (mut start, mut changed) = (0, false);
        while start < items.len() {
            let end = (start + chunk).min(items.len());
            let rest = [&items[..start], &items[end..]].concat();
            let Some(left) = budget.checked_sub(rest.len() + contents.loose.len() + 1) else {
                return items;
            };
            budget = left;
            if matches!(decide(order, &contents.only(&rest)), Decision::Refuted(_)) {
                items = rest;
                changed = true;
            } else {
                start = end;
            }
        }
        chunk = match chunk {
            1 if !changed => 0,
            _ => chunk.div_ceil(2),
        };
    }
    items
}
