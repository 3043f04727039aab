//! What clients and stores say to each other.

use std::sync::Arc;

use crate::model::{Op, Outcome};
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
        /// Answer a read no earlier than when this position has been applied.
        token: Position,
        /// A read of this very node's state, whatever its role.
        is_final: bool,
    },
    /// An operator makes this node the primary.
    Promote,
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

/// A node of a store that [`SimTarget`](crate::store::SimTarget) can drive.
pub trait Store: Node<Request = Request, Reply = Reply> {
    /// How the node sees itself.
    fn standing(&self) -> Standing;
}
