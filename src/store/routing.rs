//! Which node a client asks: what a driver library would keep.

use crate::model::Invocation;
use crate::sim::NodeId;
use crate::store::{Hint, Position};

/// Who may answer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// The primary the client knows.
    Primary,
    /// The node the workload names; the primary where it names none.
    Any,
    /// One node a session, as long as it answers.
    Sticky,
    /// Any node that has applied what the session has seen.
    Token,
    /// The node the workload names, for writes as well, with a token of what the session has seen.
    Everywhere,
}

/// What one session knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    primary: NodeId,
    epoch: u64,
    stuck_to: NodeId,
    seen: Position,
}

impl Session {
    /// A session that has talked to nobody: it takes the first node for the primary.
    pub(super) fn new(session: u32, nodes: usize) -> Self {
        let stuck_to = NodeId((session as usize % nodes) as u8);
        Self { primary: NodeId(0), epoch: 0, stuck_to, seen: Position::default() }
    }

    /// Whom to ask. `named` is the node that the workload chose.
    pub(super) fn choose(&self, call: &Invocation, named: Option<NodeId>, reads: Reads) -> NodeId {
        match (named, reads) {
            (Some(node), _) if call.is_final || reads == Reads::Everywhere => node,
            _ if call.op.writes() => self.primary,
            (Some(node), Reads::Any | Reads::Token) => node,
            (_, Reads::Sticky) => self.stuck_to,
            _ => self.primary,
        }
    }

    /// The oldest state that a read of this session may see.
    pub(super) fn token(&self, reads: Reads) -> Position {
        if matches!(reads, Reads::Token | Reads::Everywhere) {
            self.seen
        } else {
            Position::default()
        }
    }

    /// A reply came: what it says of the primary, and what it has seen.
    pub(super) fn learn(&mut self, hint: Option<Hint>, position: Position) {
        self.seen = self.seen.max(position);
        if let Some(hint) = hint.filter(|hint| hint.epoch >= self.epoch) {
            (self.epoch, self.primary) = (hint.epoch, hint.leader);
        }
    }

    /// `node` did not answer, or would not: asks the next one the next time.
    pub(super) fn avoid(&mut self, node: NodeId, nodes: usize) {
        let next = NodeId(((node.index() + 1) % nodes) as u8);
        if self.primary == node {
            self.primary = next;
        }
        if self.stuck_to == node {
            self.stuck_to = next;
        }
    }
}
