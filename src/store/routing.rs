//! Which node a client asks: what a driver library would keep.

use std::collections::BTreeSet;

use crate::model::{Function, Invocation, Nanos, Value};
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
    /// The primary for keys that the session has written, the node the workload names for others.
    Own,
    /// Any node that has applied what the session has seen.
    Token,
    /// The node the workload names, for writes as well, with a token of what the session has seen.
    Everywhere,
    /// The node the workload names; writes go to one of the first so many nodes.
    Primaries(u8, Home),
}

/// Which of several primaries takes the writes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// The node the workload names, or the primary of the replica that it names.
    Any,
    /// The key's own.
    Fixed,
    /// The key's own; the next one for who finds it away.
    Moving,
}

/// What one session knows.
#[derive(Clone, Debug)]
pub(super) struct Session {
    primary: NodeId,
    epoch: u64,
    stuck_to: NodeId,
    /// Who did not answer the last time that somebody did not.
    away: Option<NodeId>,
    /// The keys it has written.
    own: BTreeSet<Value>,
    seen: Position,
    /// Until when it goes on with the address that it looked up; without, it goes where the last
    /// answer pointed.
    address_until: Option<Nanos>,
}

impl Session {
    /// A session that has talked to nobody; it takes `primary` for the primary.
    pub(super) fn new(session: u32, nodes: usize, primary: NodeId) -> Self {
        let stuck_to = NodeId((session as usize % nodes) as u8);
        Self {
            primary,
            epoch: 0,
            stuck_to,
            away: None,
            own: BTreeSet::new(),
            seen: Position::default(),
            address_until: None,
        }
    }

    /// It is about to do this.
    pub(super) fn note(&mut self, call: &Invocation) {
        if call.op.writes() && !self.own.contains(call.op.key()) {
            self.own.insert(call.op.key().clone());
        }
    }

    /// Goes on for that long with the primary's address; `leader` is who is said to have it now.
    pub(super) fn look_up(&mut self, leader: Option<(u64, NodeId)>, now: Nanos, age: Nanos) {
        if self.address_until.is_some_and(|until| now < until) {
            return;
        }
        if let Some((epoch, leader)) = leader {
            (self.epoch, self.primary) = (epoch, leader);
        }
        // What is looked up by many at one time does not age for all of them at one time.
        let first = Nanos(age.0 / 10 * (1 + u64::from(self.stuck_to.0) % 10));
        let age = if self.address_until.is_none() { first } else { age };
        self.address_until = Some(now + age);
    }

    /// Whom to ask. `named` is the node that the workload chose.
    pub(super) fn choose(&self, call: &Invocation, named: Option<NodeId>, reads: Reads) -> NodeId {
        let asks_the_node = call.is_final || call.op.function == Function::Leader;
        match (named, reads) {
            (Some(node), _) if asks_the_node || reads == Reads::Everywhere => node,
            (named, Reads::Primaries(primaries, home)) => {
                self.among(call, named.unwrap_or(self.primary), primaries, home)
            }
            _ if call.op.writes() => self.primary,
            (Some(node), Reads::Any | Reads::Token) => node,
            (Some(node), Reads::Own) if !self.own.contains(call.op.key()) => node,
            (_, Reads::Sticky) => self.stuck_to,
            _ => self.primary,
        }
    }

    /// Whom to ask where there are several primaries.
    fn among(&self, call: &Invocation, named: NodeId, primaries: u8, home: Home) -> NodeId {
        if !call.op.writes() {
            return named;
        }
        if home == Home::Any {
            return NodeId(named.0 % primaries);
        }
        let own = NodeId((number_of(call.op.key()) % u64::from(primaries)) as u8);
        let moves = home == Home::Moving && self.away == Some(own);
        if moves { NodeId((own.0 + 1) % primaries) } else { own }
    }

    /// The oldest state that a read of this session may see.
    pub(super) fn token(&self, reads: Reads) -> Position {
        if matches!(reads, Reads::Token | Reads::Everywhere) {
            self.seen
        } else {
            Position::default()
        }
    }

    /// Whom it takes for the primary.
    pub(super) fn primary(&self) -> NodeId {
        self.primary
    }

    /// The newest epoch it has heard of.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A reply came: what it says of the primary, and what it has seen.
    pub(super) fn learn(&mut self, hint: Option<Hint>, position: Position) {
        self.seen = self.seen.max(position);
        let is_news = |hint: &Hint| hint.epoch >= self.epoch && self.address_until.is_none();
        if let Some(hint) = hint.filter(is_news) {
            (self.epoch, self.primary) = (hint.epoch, hint.leader);
        }
    }

    /// `node` did not answer, or would not: asks the next one the next time.
    pub(super) fn avoid(&mut self, node: NodeId, nodes: usize) {
        self.away = Some(node);
        let next = NodeId(((node.index() + 1) % nodes) as u8);
        if self.primary == node && self.address_until.is_none() {
            self.primary = next;
        }
        if self.stuck_to == node {
            self.stuck_to = next;
        }
    }
}

/// A number of a key's own: the first one in its name, so that keys are spread evenly.
pub(super) fn number_of(key: &Value) -> u64 {
    let name = key.to_string();
    let digits = name.trim_start_matches(|one: char| !one.is_ascii_digit());
    let end = digits.find(|one: char| !one.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}
