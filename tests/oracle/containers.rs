//! Queues, stacks and priority queues by definition: every order is tried. Shares no code with the checkers.

use std::collections::BTreeSet;

use rashomon::history::{Access, Builder, History, Operation};
use rashomon::model::{Function, Kind, Random, Value};

use crate::operation::operation;

/// Which element is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Fifo,
    Lifo,
    Greatest,
}

impl Order {
    pub(crate) const ALL: [Self; 3] = [Self::Fifo, Self::Lifo, Self::Greatest];

    fn function(self, act: Act) -> Function {
        match (self, act) {
            (_, Act::Peek(_)) => Function::Peek,
            (Self::Fifo, Act::Put(_)) => Function::Enqueue,
            (Self::Fifo, Act::Take(_)) => Function::Dequeue,
            (Self::Lifo, Act::Put(_)) => Function::Push,
            (Self::Lifo, Act::Take(_)) => Function::Pop,
            (Self::Greatest, Act::Put(_)) => Function::Insert,
            (Self::Greatest, Act::Take(_)) => Function::Poll,
        }
    }

    fn put(self, inside: &mut Vec<i64>, value: i64) {
        let at = match self {
            Self::Fifo => 0,
            Self::Lifo => inside.len(),
            Self::Greatest => inside.iter().filter(|one| **one < value).count(),
        };
        inside.insert(at, value);
    }
}

/// What an operation does; an answer of nothing means that it was empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Put(i64),
    Take(Option<i64>),
    Peek(Option<i64>),
}

/// One operation on the container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed {
    pub(crate) act: Act,
    pub(crate) kind: Kind,
    pub(crate) invoked: u64,
    /// `u64::MAX` if its outcome is unknown.
    pub(crate) returned: u64,
    pub(crate) is_final: bool,
}

/// The history of these operations, each by a process of its own.
pub(crate) fn build(order: Order, deeds: &[Deed]) -> History {
    let mut builder = Builder::new();
    for (number, deed) in (0..).zip(deeds) {
        let value = match deed.act {
            Act::Put(value) | Act::Take(Some(value)) | Act::Peek(Some(value)) => Value::Int(value),
            Act::Take(None) | Act::Peek(None) => Value::Null,
        };
        let function = order.function(deed.act);
        let access =
            Access { function, key: builder.key(&"q".into()), value: builder.value(&value) };
        let made = operation(number, function, deed.kind, deed.invoked, deed.returned);
        let made = Operation { is_final: deed.is_final, ..made };
        // What an indeterminate take would have returned nobody knows.
        let is_answer = deed.kind == Kind::Ok || matches!(deed.act, Act::Put(_));
        let access = if is_answer {
            access
        } else {
            Access { value: rashomon::history::ValueId::UNKNOWN, ..access }
        };
        builder.operation(made, &[access]).expect("well-formed");
    }
    builder.finish().expect("well-formed")
}

/// Whether some order of all operations explains every answer.
pub(crate) fn linearizable(order: Order, deeds: &[Deed]) -> bool {
    let deeds: Vec<&Deed> = deeds.iter().filter(|deed| deed.kind != Kind::Fail).collect();
    let all: u32 =
        (0..deeds.len()).filter(|at| deeds[*at].kind == Kind::Ok).map(|at| 1 << at).sum();
    let mut seen: BTreeSet<(u32, Vec<i64>)> = BTreeSet::new();
    let mut open = vec![(0_u32, Vec::new())];
    while let Some((done, inside)) = open.pop() {
        if done & all == all {
            return true;
        }
        if !seen.insert((done, inside.clone())) {
            continue;
        }
        for (at, deed) in deeds.iter().enumerate().filter(|(at, _)| done >> at & 1 == 0) {
            let waits = (0..deeds.len())
                .any(|other| done >> other & 1 == 0 && deeds[other].returned < deed.invoked);
            if waits {
                continue;
            }
            let mut after = inside.clone();
            let fits = match deed.act {
                Act::Put(value) => {
                    order.put(&mut after, value);
                    true
                }
                Act::Take(_) if deed.kind != Kind::Ok => after.pop().is_some(),
                Act::Take(value) => after.pop() == value,
                Act::Peek(value) => deed.kind != Kind::Ok || after.last().copied() == value,
            };
            if fits {
                open.push((done | 1 << at, after));
            }
        }
    }
    false
}

/// What a random history is like.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) operations: u64,
    /// Clients at most.
    pub(crate) clients: usize,
    pub(crate) repeats: f64,
    pub(crate) peeks: f64,
    pub(crate) unknown: f64,
    pub(crate) failed: f64,
    /// How often an answer is not what it should be.
    pub(crate) wrong: f64,
}

/// A container under so many clients, executed at random instants, with some wrong answers.
pub(crate) fn random_history(random: &mut Random, order: Order, shape: Shape) -> Vec<Deed> {
    let mut deeds: Vec<Deed> = Vec::new();
    let mut open: Vec<Option<(usize, bool)>> = vec![None; shape.clients];
    let (mut inside, mut time, mut begun) = (Vec::new(), 0, 0);
    while begun < shape.operations || open.iter().any(Option::is_some) {
        let client = random.below(shape.clients as u64) as usize;
        time += u64::from(!random.chance(0.1));
        match open[client] {
            None if begun == shape.operations => {}
            None => {
                begun += 1;
                let fresh = 10 + random.below(1_000) as i64 * 100 + begun as i64;
                let act = match random.unit() {
                    x if x < shape.peeks => Act::Peek(None),
                    _ if random.chance(0.5) => Act::Take(None),
                    _ if random.chance(shape.repeats) => Act::Put(1 + random.below(2) as i64),
                    _ => Act::Put(fresh),
                };
                open[client] = Some((deeds.len(), false));
                deeds.push(Deed {
                    act,
                    kind: Kind::Info,
                    invoked: time,
                    returned: u64::MAX,
                    is_final: false,
                });
            }
            Some((at, false)) => {
                execute(random, order, shape, &mut deeds, at, &mut inside);
                open[client] = Some((at, true));
            }
            Some((at, true)) => {
                open[client] = None;
                deeds[at].kind = match random.unit() {
                    x if x < shape.unknown => Kind::Info,
                    x if x < shape.unknown + shape.failed => Kind::Fail,
                    _ => Kind::Ok,
                };
                if deeds[at].kind != Kind::Info {
                    deeds[at].returned = time + 1;
                    time += 1;
                }
            }
        }
    }
    deeds.sort_by_key(|deed| deed.invoked);
    deeds
}

fn execute(
    random: &mut Random,
    order: Order,
    shape: Shape,
    deeds: &mut [Deed],
    at: usize,
    inside: &mut Vec<i64>,
) {
    if random.chance(shape.unknown / 2.0) {
        return;
    }
    let lies = random.chance(shape.wrong);
    match deeds[at].act {
        Act::Put(value) if lies => {
            inside.insert(random.below(1 + inside.len() as u64) as usize, value);
        }
        Act::Put(value) => order.put(inside, value),
        Act::Take(_) if lies => {
            let taken = match random.below(6) {
                0 => None,
                1 => inside.last().copied(),
                2 => deeds.iter().find_map(|deed| match deed.act {
                    Act::Put(value) => Some(value),
                    _ => None,
                }),
                _ if inside.is_empty() => None,
                _ => Some(inside.remove(random.below(inside.len() as u64) as usize)),
            };
            deeds[at].act = Act::Take(taken);
        }
        Act::Take(_) => deeds[at].act = Act::Take(inside.pop()),
        Act::Peek(_) if lies => deeds[at].act = Act::Peek(inside.first().copied()),
        Act::Peek(_) => deeds[at].act = Act::Peek(inside.last().copied()),
    }
}

/// Which of Q-LOST, Q-DUP, Q-ORD, Q-UNEXP and Q-EMPTY are violated, word for word (ANOMALIES section 7),
/// where every value is put in at most once.
pub(crate) fn violated(order: Order, deeds: &[Deed]) -> [bool; 5] {
    let puts = |value: i64| {
        deeds.iter().find(|deed| deed.act == Act::Put(value) && deed.kind != Kind::Fail)
    };
    let ok = |deed: &&Deed| deed.kind == Kind::Ok;
    let takes = |value: i64| -> Vec<&Deed> {
        deeds.iter().filter(ok).filter(|deed| deed.act == Act::Take(Some(value))).collect()
    };
    let values: BTreeSet<i64> = deeds
        .iter()
        .filter_map(|deed| match deed.act {
            Act::Put(value) => Some(value),
            Act::Take(value) if deed.kind == Kind::Ok => value,
            _ => None,
        })
        .collect();
    let empties: Vec<&Deed> =
        deeds.iter().filter(ok).filter(|deed| deed.act == Act::Take(None)).collect();
    let lost = empties.iter().filter(|empty| empty.is_final).any(|drain| {
        let missing = values.iter().filter(|value| {
            let put = puts(**value).filter(|put| put.returned < drain.invoked);
            put.is_some() && takes(**value).is_empty()
        });
        let loose = deeds.iter().filter(|deed| {
            deed.kind == Kind::Info
                && matches!(deed.act, Act::Take(_))
                && deed.invoked <= drain.returned
        });
        missing.count() > loose.count()
    });
    let twice = values.iter().any(|value| takes(*value).len() > 1);
    let unexpected = values.iter().any(|value| {
        takes(*value).iter().any(|take| puts(*value).is_none_or(|put| take.returned < put.invoked))
    });
    let swapped = |a: &i64, b: &i64| {
        let (Some(one), Some(other)) = (puts(*a), puts(*b)) else { return false };
        let (late, early) = (takes(*a), takes(*b));
        one.returned < other.invoked
            && late.len() == 1
            && early.len() == 1
            && early[0].returned < late[0].invoked
    };
    let reordered =
        order == Order::Fifo && values.iter().any(|a| values.iter().any(|b| swapped(a, b)));
    let falsely = empties.iter().any(|empty| {
        values.iter().any(|value| {
            let taken = takes(*value);
            puts(*value).is_some_and(|put| put.returned < empty.invoked)
                && !taken.is_empty()
                && taken.iter().all(|take| take.invoked > empty.returned)
        })
    });
    [lost, twice, reordered, unexpected, falsely]
}
