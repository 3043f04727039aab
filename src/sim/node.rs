//! The seam between a store and what carries its messages, here simulated.

use crate::model::{Channel, Nanos, Random};
use crate::sim::Disk;

/// A node of a store, by its place in the cluster: `n1` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u8);

impl NodeId {
    /// Its place as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The number of a client's request, to answer it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A timer, named by the node that set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer(pub u64);

/// A node as a state machine without I/O. What it wants done it puts into its [`Outbox`].
pub trait Node: Sized {
    /// What nodes say to each other.
    type Message: Clone;
    /// What a client asks.
    type Request;
    /// What a client is answered.
    type Reply;
    /// What is written to disk.
    type Record;

    /// The process starts, for the first time or after a kill: everything is forgotten but what is
    /// in `out.disk`.
    fn start(&mut self, out: &mut Outbox<'_, Self>);

    /// A message of another node arrived.
    fn receive(&mut self, from: NodeId, message: Self::Message, out: &mut Outbox<'_, Self>);

    /// A client's request arrived.
    fn request(&mut self, ticket: Ticket, request: Self::Request, out: &mut Outbox<'_, Self>);

    /// A timer ran out. Timers end with the process that set them.
    fn timer(&mut self, timer: Timer, out: &mut Outbox<'_, Self>);
}

/// What a node may see and wants done, during one call.
pub struct Outbox<'a, N: Node> {
    /// Time that only moves forward, on no particular scale.
    pub now: Nanos,
    /// The wall clock of this node, which may be wrong and may jump.
    pub clock: Nanos,
    /// The node's randomness.
    pub random: &'a mut Random,
    /// The node's disk.
    pub disk: &'a mut Disk<N::Record>,
    /// What is wanted, for whoever carries it out.
    pub effects: &'a mut Effects<N>,
}

/// What nodes want done and nobody has done yet.
pub struct Effects<N: Node> {
    /// Messages: to whom, over which channel, how much later than now.
    pub messages: Vec<(NodeId, Channel, Nanos, N::Message)>,
    /// Answers to clients.
    pub replies: Vec<(Ticket, N::Reply)>,
    /// Timers: how much later than now.
    pub timers: Vec<(Nanos, Timer)>,
    /// Nodes to switch off, and for how long.
    pub switched_off: Vec<(NodeId, Nanos)>,
}

impl<N: Node> Default for Effects<N> {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            replies: Vec::new(),
            timers: Vec::new(),
            switched_off: Vec::new(),
        }
    }
}

impl<N: Node> Outbox<'_, N> {
    /// Sends a message about who is alive, who leads and what has arrived.
    pub fn send(&mut self, to: NodeId, message: N::Message) {
        self.effects.messages.push((to, Channel::Status, Nanos(0), message));
    }

    /// Sends a message over that channel.
    pub fn send_over(&mut self, channel: Channel, to: NodeId, message: N::Message) {
        self.effects.messages.push((to, channel, Nanos(0), message));
    }

    /// Sends a part of the log, leaving after `lag`.
    pub fn ship(&mut self, to: NodeId, lag: Nanos, message: N::Message) {
        self.effects.messages.push((to, Channel::Replication, lag, message));
    }

    /// Answers a client.
    pub fn reply(&mut self, ticket: Ticket, reply: N::Reply) {
        self.effects.replies.push((ticket, reply));
    }

    /// Switches off the power of a node, whatever the network does, and on again after `off`.
    pub fn switch_off(&mut self, node: NodeId, off: Nanos) {
        self.effects.switched_off.push((node, off));
    }

    /// Asks to be woken.
    pub fn wake(&mut self, after: Nanos, timer: Timer) {
        self.effects.timers.push((after, timer));
    }
}
