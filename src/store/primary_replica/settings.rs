//! How every node of the store `primary-replica` behaves.

use std::sync::Arc;

use super::handover::Move;
use super::join::Joining;
use crate::model::{Nanos, Op, Random};
use crate::sim::{Latency, NodeId, Sites};
use crate::store::log::Entry;
use crate::store::options::Fsync;
use crate::store::routing::number_of;
use crate::store::statement::{Condition, NewIds};

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Replication {
    /// When the primary has it.
    Async,
    /// When one replica has it too.
    Semi,
    /// When one replica in another data centre has it too.
    Remote,
    /// When all replicas have it.
    Sync,
}

/// Who makes a replica the new primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Failover {
    /// Nobody.
    None,
    /// An operator, some time after the primary stopped running.
    Manual,
    /// The replica itself, when it has not heard of the primary for some time.
    Automatic,
}

/// How it is noticed that the primary is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Detection {
    /// A replica does not hear from the primary.
    Link,
    /// So many mediators do not hear from it.
    Mediator(u8),
    /// It does not answer a replica's probe in time.
    Probe,
    /// A client that knows it comes to a replica to write all the same.
    Client,
}

/// What keeps an old primary from serving beside its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Fencing {
    /// Nothing: it stops when it hears of its successor.
    None,
    /// A client that knows of its successor tells it.
    Epoch,
    /// It stops by itself when the mediators' grant runs out, before they grant another.
    Lease,
    /// The successor switches its power off first.
    Stonith,
}

/// What the log says of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum LogForm {
    /// The value that was written.
    Row,
    /// The statement, which every node evaluates for itself.
    Statement,
    /// The bytes on disk, which only a node of the same version can read.
    Physical,
    /// The same, and nobody looks whose version it is.
    PhysicalUnchecked,
}

/// From where a replica goes on after its copying was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Resume {
    /// Where it had stopped.
    Exact,
    /// One entry too early: it does the last one again.
    Early,
    /// One entry too late: it leaves one out.
    Late,
}

/// What an old primary does with the entries that its successor lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum OldPrimary {
    /// It drops them: its state becomes that of its successor.
    Truncate,
    /// It keeps their effects under what it copies from now on: its state stays different.
    Keep,
}

/// What is planted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Bug {
    None,
    /// A write is acknowledged before the replicas that it must wait for have confirmed it.
    DirtyAck,
    /// A replica confirms entries that do not fit its log and that it throws away.
    BlindConfirm,
    /// Entries are never synced.
    LostFsync,
    /// A replica takes writes and keeps them to itself.
    ReplicaWrites,
}

/// How every node of the cluster behaves.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(in crate::store) struct Settings {
    pub(in crate::store) nodes: u8,
    pub(in crate::store) replication: Replication,
    pub(in crate::store) failover: Failover,
    pub(in crate::store) failover_timeout: Nanos,
    pub(in crate::store) detection: Detection,
    /// Of how many mediators a node needs the grants to lead.
    pub(in crate::store) mediators_needed: u8,
    pub(in crate::store) fencing: Fencing,
    /// Over how many channels nodes say that they run.
    pub(in crate::store) status_channels: u8,
    /// How many of them have to be silent for the primary to be taken for dead.
    pub(in crate::store) silent_needed: u8,
    /// Whether what nodes say of themselves waits behind the log, on one channel.
    pub(in crate::store) shares_channel: bool,
    pub(in crate::store) old_primary: OldPrimary,
    /// Under which condition writes take effect.
    pub(in crate::store) condition: Condition,
    /// What the primary evaluates where a new id is asked for.
    pub(in crate::store) new_ids: NewIds,
    pub(in crate::store) log: LogForm,
    /// Whether a replica has two workers that do what the log says.
    pub(in crate::store) has_two_workers: bool,
    /// Whether a request that is in the log already is not done again.
    pub(in crate::store) is_idempotent: bool,
    pub(in crate::store) resume: Resume,
    /// When the nodes begin to be upgraded to the next version, one after another.
    pub(in crate::store) upgrade: Option<Nanos>,
    /// Whether replicas leave out what is done to keys of odd number.
    pub(in crate::store) is_filtered: bool,
    /// How the last node is replaced by a new one.
    pub(in crate::store) joining: Option<Joining>,
    /// How the second node takes over from the first.
    pub(in crate::store) moves: Option<Move>,
    /// The primary that everybody is set up with.
    pub(in crate::store) first: NodeId,
    /// With `semi`: after so long a write is acknowledged without a replica.
    pub(in crate::store) degrades_after: Option<Nanos>,
    pub(in crate::store) lag: Latency,
    /// Where the nodes stand.
    pub(in crate::store) sites: Sites,
    pub(in crate::store) fsync: Fsync,
    /// Whether a replica answers reads; otherwise only the primary does.
    pub(in crate::store) replicas_read: bool,
    pub(in crate::store) bug: Bug,
}

impl Settings {
    pub(super) fn uses_mediators(&self) -> bool {
        matches!(self.detection, Detection::Mediator(_))
    }

    /// What an entry of the log does on the node that applies it; `None` if nothing. A statement is
    /// evaluated there and then.
    pub(super) fn effect(
        &self,
        me: NodeId,
        entry: &Entry,
        clock: Nanos,
        random: &mut Random,
    ) -> Option<Arc<Op>> {
        let op = entry.op.as_ref()?;
        let is_statement = self.log == LogForm::Statement;
        if is_statement && !self.condition.holds(clock, random) || self.leaves_out(me, entry) {
            return None;
        }
        let evaluated = if is_statement { self.new_ids.evaluate(op, clock, random) } else { None };
        Some(evaluated.map_or_else(|| op.clone(), Arc::new))
    }

    /// Whether a node leaves out an entry that it did not write itself.
    fn leaves_out(&self, me: NodeId, entry: &Entry) -> bool {
        let is_own = NodeId((entry.epoch & 0xff) as u8) == me;
        let is_odd = |op: &Arc<Op>| number_of(op.key()) % 2 == 1;
        self.is_filtered && !is_own && entry.op.as_ref().is_some_and(is_odd)
    }

    /// Whether a node runs the next version already; they are upgraded a second apart.
    pub(super) fn is_upgraded(&self, node: NodeId, now: Nanos) -> bool {
        let turn = Nanos::from_millis(1_000 * u64::from(node.0));
        self.upgrade.is_some_and(|first| now >= first + turn)
    }
}
