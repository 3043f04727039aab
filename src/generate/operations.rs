//! Which operation comes next, and with which argument.

use crate::generate::bank::BankPlan;
use crate::generate::keys::{Field, Keys};
use crate::generate::stock::StockPlan;
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
    /// Moved between.
    Bank,
    /// Taken from.
    Stock,
    /// Counted on, one id at a time.
    Ids,
    /// Put into, beside what was not read.
    MultiValue,
    /// Claimed by a node.
    Leadership,
    /// Put in at one end and taken out at the other.
    Queue,
    /// Held by one session at a time.
    Lock,
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
    /// Two accounts and what is moved between them.
    Transfer,
    /// How many are taken.
    Purchase,
    /// A fresh value, and what was last read of the key, which it replaces.
    FreshOverSeen,
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
    row(Function::Transfer, Family::Bank, Argument::Transfer, false, true),
    row(Function::Buy, Family::Stock, Argument::Purchase, false, true),
    row(Function::Level, Family::Stock, Argument::Nothing, true, false),
    row(Function::NewId, Family::Ids, Argument::Nothing, true, true),
    row(Function::Put, Family::MultiValue, Argument::FreshOverSeen, false, true),
    row(Function::Get, Family::MultiValue, Argument::Nothing, true, false),
    row(Function::Leader, Family::Leadership, Argument::Nothing, true, false),
    row(Function::Enqueue, Family::Queue, Argument::Fresh, false, true),
    row(Function::Dequeue, Family::Queue, Argument::Nothing, true, true),
    // The next operation of a session that got the lock gives it back.
    row(Function::Acquire, Family::Lock, Argument::Nothing, true, true),
    row(Function::Txn, Family::Any, Argument::Body, false, false),
];

impl OperationRow {
    /// The row of a function; `None` if it cannot be generated.
    pub fn of(function: Function) -> Option<&'static Self> {
        OPERATIONS.iter().find(|row| row.function == function)
    }

    /// Whether it may stand in the body of a transaction: it is a single micro-operation.
    pub fn is_single(&self) -> bool {
        use Function as F;
        let has_own_answer = matches!(
            self.family,
            Family::Stock
                | Family::Ids
                | Family::MultiValue
                | Family::Leadership
                | Family::Queue
                | Family::Lock
        );
        !matches!(self.function, F::Cas | F::Rmw | F::Transfer | F::Txn) && !has_own_answer
    }
}

/// One kind of operation of a workload, and how often it is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What it does.
    pub function: Function,
    /// How often, against the weights of the others.
    pub weight: u32,
    /// What a `txn` does.
    pub body: Body,
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// These, in this order. An operation that is no `txn` has none.
    Parts(Vec<Part>),
    /// A random number of random ones: between `shortest` and `longest`, each one of `functions`, on
    /// a key of its own choice, which may come again (as in Jepsen's append and wr tests).
    Random {
        /// What may be done; who stands here twice comes twice as often.
        functions: Vec<Function>,
        /// How many at least.
        shortest: u32,
        /// And at most.
        longest: u32,
    },
}

/// A part of the body of a transaction: a micro-operation for each field that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it does.
    pub function: Function,
    /// To which of the keys of the transaction, counted from 0; they are different keys.
    pub key: usize,
    /// And to which of its fields.
    pub field: Field,
}

/// How a key is read to which that is done.
pub(super) fn reader_of(function: Function) -> Function {
    match OperationRow::of(function).map(|row| row.family) {
        Some(Family::Stock) => Function::Level,
        Some(Family::MultiValue) => Function::Get,
        _ => Function::Read,
    }
}

impl Body {
    /// The body of an operation that is no transaction.
    pub const NONE: Self = Self::Parts(Vec::new());

    /// Everything it may do.
    pub fn functions(&self) -> Vec<Function> {
        match self {
            Self::Parts(parts) => parts.iter().map(|part| part.function).collect(),
            Self::Random { functions, .. } => functions.clone(),
        }
    }
}

impl Operation {
    /// The rows of what it does: its own, or those of its body.
    pub fn rows(&self) -> impl Iterator<Item = &'static OperationRow> + '_ {
        let own = std::iter::once(self.function).filter(|f| *f != Function::Txn);
        own.chain(self.body.functions()).filter_map(OperationRow::of)
    }

    /// How many different keys it needs.
    pub fn width(&self) -> usize {
        match &self.body {
            Body::Parts(parts) => parts.iter().map(|part| part.key + 1).max().unwrap_or(1),
            Body::Random { .. } => 1,
        }
    }
}

/// Chooses operations by weight.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    operations: Vec<Operation>,
    total: u64,
    /// Whether there are writes to fall back on while a `cas` has nothing to expect.
    has_write: bool,
    bank: BankPlan,
    stock: StockPlan,
    /// The keys of a transaction, kept to be filled again.
    chosen: Vec<usize>,
}

impl Mix {
    pub(super) fn new(operations: &[Operation], bank: BankPlan, stock: StockPlan) -> Self {
        Self {
            total: operations.iter().map(|operation| u64::from(operation.weight)).sum(),
            has_write: operations.iter().any(|operation| operation.function == Function::Write),
            operations: operations.to_vec(),
            bank,
            stock,
            chosen: Vec::new(),
        }
    }

    /// The next operation of a session, and the key it tells something of.
    pub(super) fn next(&mut self, session: u32, keys: &mut Keys, random: &mut Random) -> (Op, u32) {
        if let Some((key, token)) = keys.held(session) {
            return (Op::single(Function::Release, keys.name(key), token), key);
        }
        let mut ticket = random.below(self.total);
        let chosen = self.operations.iter().find(|operation| {
            let weight = u64::from(operation.weight);
            let hit = ticket < weight;
            ticket = ticket.saturating_sub(weight);
            hit
        });
        let Some(operation) = chosen else { return (Op::txn(Vec::new()), 0) };
        if operation.function == Function::Txn {
            return (Op::txn(transaction(operation, &mut self.chosen, keys, random)), 0);
        }
        let mut function = operation.function;
        let mut position = keys.choose(random);
        if !function.is_read() {
            match keys.writable(position, session) {
                Some(own) => position = own,
                // A session that owns no key can only read.
                None => function = reader_of(function),
            }
        }
        let key = keys.use_at(position);
        if !function.is_read() && !write(key, 0, keys) {
            function = reader_of(function);
        }
        let argument = match function {
            Function::Transfer => self.bank.transfer(random),
            Function::Buy => self.stock.purchase(random),
            _ => return (single(function, key, self.has_write, keys, random), key),
        };
        (Op::single(function, keys.name(key), argument), key)
    }
}

/// The micro-operations of a transaction.
fn transaction(
    operation: &Operation,
    chosen: &mut Vec<usize>,
    keys: &mut Keys,
    random: &mut Random,
) -> Vec<Mop> {
    let mut mops = Vec::new();
    match &operation.body {
        Body::Parts(body) => {
            keys.choose_distinct(operation.width(), chosen, random);
            let chosen: Vec<u32> = chosen.iter().map(|position| keys.use_at(*position)).collect();
            for part in body {
                parts(part.function, chosen[part.key], part.field, &mut mops, keys, random);
            }
        }
        Body::Random { functions, shortest, longest } => {
            for _ in 0..random.between(u64::from(*shortest), u64::from(*longest)) {
                let function = *random.pick(functions);
                let position = keys.choose(random);
                let key = keys.use_at(position);
                parts(function, key, Field::Any, &mut mops, keys, random);
            }
        }
    }
    mops
}

/// One function on the fields of a key that are meant. What writes several fields writes one value.
fn parts(
    function: Function,
    key: u32,
    which: Field,
    mops: &mut Vec<Mop>,
    keys: &mut Keys,
    random: &mut Random,
) {
    let is_read = function == Function::Read;
    let whole = (which == Field::All).then(|| mop(function, key, keys, random));
    for field in keys.fields(key, which, !is_read, random) {
        let mut one = match &whole {
            Some(whole) => whole.clone(),
            None => mop(function, key, keys, random),
        };
        if !is_read && !write(key, field, keys) {
            one = mop(Function::Read, key, keys, random);
        }
        mops.push(Mop { key: keys.field(key, field), ..one });
    }
}

/// Counts a write of a field, if that takes any more.
fn write(key: u32, field: u32, keys: &mut Keys) -> bool {
    let takes = keys.takes_writes(key, field);
    if takes {
        keys.write(key, field);
    }
    takes
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
        Argument::FreshOverSeen => (function, keys.fresh_over_seen(key)),
        Argument::Nothing | Argument::Transfer | Argument::Purchase | Argument::Body => {
            (function, Value::Null)
        }
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
