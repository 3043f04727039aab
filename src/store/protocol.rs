//! What clients and stores say to each other.

use std::sync::Arc;

use crate::model::{Mop, Op, Outcome, Value};
use crate::sim::{Node, NodeId};

/// A place in a replicated log: the epoch (or term) of an entry, then its index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The epoch under which the entry was written.
    pub epoch: u64,
    /// Its index, from 1; 0 is before the first entry.
    pub index: u64,
}

/// What a client asks a node.
#[derive(Clone, Debug)]
pub enum Request {
    /// Execute this operation.
    Execute {
        /// The operation.
        op: Arc<Op>,
        /// Its number among all requests of all clients, from 1; the same if it is asked again.
        number: u64,
        /// Answer a read no earlier than when this position has been applied.
        token: Position,
        /// The newest epoch that the client has heard of.
        epoch: u64,
        /// A read of this very node's state, whatever its role.
        is_final: bool,
    },
    /// An operator makes this node the primary.
    Promote,
    /// An operator makes it hand over to that node what it has, and then the lead.
    HandOver {
        /// The successor.
        to: NodeId,
    },
}

/// A node's answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// How the operation ended.
    pub outcome: Outcome,
    /// Whom the node holds for the primary.
    pub hint: Option<Hint>,
    /// What the node had applied when it answered.
    pub position: Position,
}

/// Who leads, since which epoch. A newer epoch is the better knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The epoch (or term).
    pub epoch: u64,
    /// Who leads in it.
    pub leader: NodeId,
}

/// What an onlooker sees of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it takes itself for the primary.
    pub leads: bool,
    /// In which epoch.
    pub epoch: u64,
    /// The end of its log.
    pub position: Position,
}

impl Standing {
    /// The answer to the question whether it leads; `name` says what its epoch is. A node that does
    /// not lead says nothing.
    pub(super) fn claim(&self, name: &str, op: &Op) -> Outcome {
        let claim = Value::Map([(name.into(), Value::Int(self.epoch as i64))].into());
        let value = if self.leads { claim } else { Value::Null };
        let answer = op.mops.iter().map(|mop| Mop { value: value.clone(), ..mop.clone() });
        Outcome::Ok(answer.collect())
    }
}

/// A node of a store that [`SimTarget`](crate::store::SimTarget) can drive.
pub trait Store: Node<Request = Request, Reply = Reply> {
    /// How the node sees itself.
    fn standing(&self) -> Standing;

    /// Of a node without data, which is asked where the primary is: whom it holds for it.
    fn map(&self) -> Option<NodeId> {
        None
    }
}
