//! Which operation comes next, and with which argument.

use crate::generate::keys::Keys;
use crate::model::{Function, Mop, Op, Random, Value};

/// What is done to a key decides what kind of object it is; two kinds on one key mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Tells nothing: a read, or a transaction, which is what its body is.
    Any,
    /// Overwritten.
    Register,
    /// Appended to.
    List,
    /// Added to and removed from.
    Set,
    /// Counted up and down.
    Counter,
}

/// Where an operation gets its argument from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument {
    /// It has none.
    Nothing,
    /// A value never used on this key before.
    Fresh,
    /// What was last seen of the key, and a fresh value.
    SeenAndFresh,
    /// An element added before, or else a fresh one to add.
    Added,
    /// A small number.
    Amount,
    /// It has a body instead.
    Body,
}

/// One operation that can be generated.
#[derive(Debug)]
pub struct OperationRow {
    /// What it does.
    pub function: Function,
    /// What it makes of the key.
    pub family: Family,
    argument: Argument,
    /// Whether it tells what the key holds.
    pub reads: bool,
    /// Whether it may change the key.
    pub writes: bool,
}

const fn row(
    function: Function,
    family: Family,
    argument: Argument,
    reads: bool,
    writes: bool,
) -> OperationRow {
    OperationRow { function, family, argument, reads, writes }
}

/// Every operation that can be generated.
pub const OPERATIONS: &[OperationRow] = &[
    row(Function::Read, Family::Any, Argument::Nothing, true, false),
    row(Function::Write, Family::Register, Argument::Fresh, false, true),
    row(Function::Cas, Family::Register, Argument::SeenAndFresh, true, true),
    row(Function::Rmw, Family::Register, Argument::Fresh, true, true),
    row(Function::Append, Family::List, Argument::Fresh, false, true),
    row(Function::Add, Family::Set, Argument::Fresh, false, true),
    row(Function::Remove, Family::Set, Argument::Added, false, true),
    row(Function::Increment, Family::Counter, Argument::Amount, false, true),
    row(Function::Txn, Family::Any, Argument::Body, false, false),
];

impl OperationRow {
    /// The row of a function; `None` if it cannot be generated.
    pub fn of(function: Function) -> Option<&'static Self> {
        OPERATIONS.iter().find(|row| row.function == function)
    }

    /// Whether it may stand in the body of a transaction: it is a single micro-operation.
    pub fn is_single(&self) -> bool {
        !matches!(self.function, Function::Cas | Function::Rmw | Function::Txn)
    }
}

/// One kind of operation of a workload, and how often it is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What it does.
    pub function: Function,
    /// How often, against the weights of the others.
    pub weight: u32,
    /// The micro-operations of a `txn`: what, and on which of its keys (counted from 0).
    pub body: Vec<(Function, usize)>,
}

impl Operation {
    /// The rows of what it does: its own, or those of its body.
    pub fn rows(&self) -> impl Iterator<Item = &'static OperationRow> + '_ {
        let own = std::iter::once(self.function).filter(|f| *f != Function::Txn);
        own.chain(self.body.iter().map(|(function, _)| *function)).filter_map(OperationRow::of)
    }

    /// How many different keys it needs.
    pub fn width(&self) -> usize {
        self.body.iter().map(|(_, key)| key + 1).max().unwrap_or(1)
    }
}

/// Chooses operations by weight.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    operations: Vec<Operation>,
    total: u64,
    /// Whether there are writes to fall back on while a `cas` has nothing to expect.
    has_write: bool,
    /// The keys of a transaction, kept to be filled again.
    chosen: Vec<usize>,
}

impl Mix {
    pub(super) fn new(operations: &[Operation]) -> Self {
        Self {
            total: operations.iter().map(|operation| u64::from(operation.weight)).sum(),
            has_write: operations.iter().any(|operation| operation.function == Function::Write),
            operations: operations.to_vec(),
            chosen: Vec::new(),
        }
    }

    /// The next operation of a session, and the key it tells something of.
    pub(super) fn next(&mut self, session: u32, keys: &mut Keys, random: &mut Random) -> (Op, u32) {
        let mut ticket = random.below(self.total);
        let chosen = self.operations.iter().find(|operation| {
            let weight = u64::from(operation.weight);
            let hit = ticket < weight;
            ticket = ticket.saturating_sub(weight);
            hit
        });
        let Some(operation) = chosen else { return (Op::txn(Vec::new()), 0) };
        if operation.function == Function::Txn {
            keys.choose_distinct(operation.width(), &mut self.chosen, random);
            let mops = operation.body.iter().map(|(function, key)| {
                mop(*function, keys.use_at(self.chosen[*key]), keys, random)
            });
            return (Op::txn(mops.collect()), 0);
        }
        let mut function = operation.function;
        let mut position = keys.choose(random);
        if function != Function::Read {
            match keys.writable(position, session) {
                Some(own) => position = own,
                // A session that owns no key can only read.
                None => function = Function::Read,
            }
        }
        let key = keys.use_at(position);
        (single(function, key, self.has_write, keys, random), key)
    }
}

fn single(
    function: Function,
    key: u32,
    has_write: bool,
    keys: &mut Keys,
    random: &mut Random,
) -> Op {
    let name = keys.name(key);
    match function {
        Function::Cas => match keys.seen(key) {
            Value::Null if has_write => Op::write(name, keys.fresh(key)),
            expected => Op::cas(name, expected.clone(), keys.fresh(key)),
        },
        Function::Rmw => Op::rmw(name, keys.fresh(key)),
        other => {
            let mop = mop(other, key, keys, random);
            Op { function: mop.function, mops: vec![mop] }
        }
    }
}

fn mop(function: Function, key: u32, keys: &mut Keys, random: &mut Random) -> Mop {
    let argument = OperationRow::of(function).map_or(Argument::Nothing, |row| row.argument);
    let (function, value) = match argument {
        Argument::Fresh | Argument::SeenAndFresh => (function, keys.fresh(key)),
        Argument::Amount => (function, Value::Int(random.between(1, 5) as i64)),
        Argument::Added => match keys.added(key, random) {
            Some(element) => (function, element),
            None => (Function::Add, keys.fresh(key)),
        },
        Argument::Nothing | Argument::Body => (function, Value::Null),
    };
    Mop { function, key: keys.name(key), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_found() {
        for row in OPERATIONS {
            assert_eq!(
                OperationRow::of(row.function).map(|found| found.function),
                Some(row.function)
            );
            assert!(row.reads || row.writes || row.argument == Argument::Body);
        }
    }
}
