//! What an operation does.

use serde::{Deserialize, Serialize};

/// What an operation or a micro-operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Function {
    /// Reads a key.
    Read,
    /// Overwrites a register.
    Write,
    /// Writes a new value if the register holds the expected one.
    Cas,
    /// Reads a register and writes a new value, in one step.
    Rmw,
    /// Appends an element to a list (or text to a text).
    Append,
    /// Adds an element to a set.
    Add,
    /// Removes an element from a set.
    Remove,
    /// Adds a number, possibly negative, to a counter.
    Increment,
    /// Puts an element at the tail of a queue.
    Enqueue,
    /// Takes the element at the head of a queue.
    Dequeue,
    /// Puts an element on a stack.
    Push,
    /// Takes the top element of a stack.
    Pop,
    /// Inserts into a priority queue.
    Insert,
    /// Takes the greatest element of a priority queue.
    Poll,
    /// Looks at the element that would be taken next.
    Peek,
    /// Takes a lock.
    Acquire,
    /// Gives a lock back.
    Release,
    /// Asks for a fresh id.
    NewId,
    /// Writes a multi-value register with a causal context.
    Put,
    /// Reads a multi-value register.
    Get,
    /// Asks a node whether it leads.
    Leader,
    /// Sets the level of a stock.
    Init,
    /// Takes from a stock.
    Buy,
    /// Reads the level of a stock.
    Level,
    /// Sets the balances of a bank.
    InitBank,
    /// Moves money between the accounts of a bank.
    Transfer,
    /// Several micro-operations at once.
    Txn,
}

/// Every function with the name it is written with and the other names it is read under.
const NAMES: &[(Function, &str, &[&str])] = &[
    (Function::Read, "read", &["r", "bread"]),
    (Function::Write, "write", &["w"]),
    (Function::Cas, "cas", &["compare-and-set"]),
    (Function::Rmw, "rmw", &["read-modify-write"]),
    (Function::Append, "append", &[]),
    (Function::Add, "add", &[]),
    (Function::Remove, "remove", &["rem"]),
    (Function::Increment, "increment", &["inc"]),
    (Function::Enqueue, "enqueue", &["enq"]),
    (Function::Dequeue, "dequeue", &["deq"]),
    (Function::Push, "push", &[]),
    (Function::Pop, "pop", &[]),
    (Function::Insert, "insert", &[]),
    (Function::Poll, "poll", &[]),
    (Function::Peek, "peek", &[]),
    (Function::Acquire, "acquire", &[]),
    (Function::Release, "release", &[]),
    (Function::NewId, "new-id", &["newid", "generate"]),
    (Function::Put, "put", &[]),
    (Function::Get, "get", &[]),
    (Function::Leader, "leader", &[]),
    (Function::Init, "init", &[]),
    (Function::Buy, "buy", &[]),
    (Function::Level, "level", &[]),
    (Function::InitBank, "init-bank", &[]),
    (Function::Transfer, "transfer", &["xfer"]),
    (Function::Txn, "txn", &[]),
];

impl Function {
    /// The name it is written with.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Whether it looks and changes nothing.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::Peek | Self::Get | Self::Level | Self::Leader)
    }

    /// The function of that name, the short names of the specification included.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, own, others)| *own == name || others.contains(&name))
            .map(|(function, ..)| *function)
    }

    /// Every name it is written with, in the order of the enum.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (at, (function, name, _)) in NAMES.iter().enumerate() {
            assert_eq!(*function as usize, at);
            assert_eq!(Function::from_name(name), Some(*function));
        }
    }
}
