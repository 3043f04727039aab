//! Faults, struck and mended in the simulator.

use std::collections::BTreeSet;

use super::SimTarget;
use crate::model::{Channel, Cut, Fault, Lost, NodeFault};
use crate::sim::{Answer, NodeId};
use crate::store::Store;
use crate::target::TargetError;

impl<S: Store> SimTarget<S> {
    pub(super) fn strike(&mut self, fault: &Fault) -> Result<(), TargetError> {
        match fault {
            Fault::Partition { cuts, channel, .. } => {
                for (from, to) in self.links(cuts)? {
                    for channel in streams(*channel) {
                        self.engine.cut(from, to, channel);
                    }
                }
            }
            Fault::Nodes { what: NodeFault::Command(name), .. } => {
                let known: Vec<&str> = NodeFault::ALL.iter().map(|(name, _)| *name).collect();
                let known = known.join(", ");
                return Err(TargetError::Unusable(format!(
                    "the simulator has no fault {name:?}; it has partition, {known}"
                )));
            }
            Fault::Nodes { nodes, what } => {
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.strike(id, what));
                if matches!(
                    what,
                    NodeFault::Kill
                        | NodeFault::Pause
                        | NodeFault::PowerLoss
                        | NodeFault::Truncate { .. }
                        | NodeFault::BitFlip { .. }
                ) {
                    self.call_operator();
                }
            }
        }
        Ok(())
    }

    pub(super) fn mend(&mut self, fault: &Fault) -> Result<(), TargetError> {
        match fault {
            Fault::Partition { cuts, channel, .. } => {
                for (from, to) in self.links(cuts)? {
                    for channel in streams(*channel) {
                        self.engine.mend(from, to, channel);
                    }
                }
            }
            Fault::Nodes { nodes, what } => {
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.relieve(id, what));
            }
        }
        Ok(())
    }

    fn links(&self, cuts: &[Cut]) -> Result<BTreeSet<(NodeId, NodeId)>, TargetError> {
        cuts.iter().map(|cut| Ok((self.id(&cut.from)?, self.id(&cut.to)?))).collect()
    }

    /// Whether so much is lost between a client and a node.
    pub(super) fn is_cut_off(&self, session: u32, node: NodeId, what: Lost) -> bool {
        let name = &self.names[node.index()];
        session % 2 == 1
            && self.active.values().any(|fault| match fault {
                Fault::Nodes { nodes, what: NodeFault::Disconnect(lost) } => {
                    (*lost == Lost::All || *lost == what) && nodes.contains(name)
                }
                _ => false,
            })
    }

    /// Whether an answer never reaches the client that waits for it.
    pub(super) fn is_lost(&self, answer: &Answer<S::Reply>) -> bool {
        let (Answer::Refused(ticket) | Answer::Reply(ticket, _)) = answer;
        let slot = self.calls.get(ticket.0 as u32 as usize).filter(|_| self.is_open(*ticket));
        let call = slot.and_then(|slot| slot.call.as_ref());
        call.is_some_and(|call| self.is_cut_off(call.session, call.node, Lost::Answers))
    }
}

/// The streams of a link that a partition concerns: the one it names, or all.
fn streams(channel: Option<Channel>) -> Vec<Channel> {
    channel.map_or_else(|| Channel::ALL.to_vec(), |one| vec![one])
}
