//! Faults, struck and mended in the simulator.

use std::collections::BTreeSet;

use super::SimTarget;
use crate::model::{Channel, Cut, Fault, Lost, Nanos};
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
            Fault::Kill(nodes) => {
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.kill(id));
                self.call_operator();
            }
            Fault::Pause(nodes) => {
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.pause(id));
                self.call_operator();
            }
            Fault::Skew { nodes, offset_ms } => {
                let by_ns = offset_ms.saturating_mul(1_000_000);
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.skew(id, by_ns));
            }
            Fault::Slow { nodes, by_ms } => {
                let by = Nanos::from_millis(*by_ms);
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.slow(id, by));
            }
            Fault::Disconnect { nodes, .. } => {
                self.ids(nodes)?;
            }
            Fault::Command { name, .. } => {
                return Err(TargetError::Unusable(format!(
                    "the simulator has no fault {name:?}; it has partition, kill, pause, skew, slow and disconnect"
                )));
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
            Fault::Kill(nodes) => {
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.restart(id));
            }
            Fault::Pause(nodes) => {
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.resume(id));
            }
            Fault::Skew { nodes, offset_ms } => {
                let by_ns = offset_ms.saturating_mul(-1_000_000);
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.skew(id, by_ns));
            }
            Fault::Slow { nodes, by_ms } => {
                let by = Nanos::from_millis(*by_ms);
                self.ids(nodes)?.into_iter().for_each(|id| self.engine.hasten(id, by));
            }
            Fault::Disconnect { .. } | Fault::Command { .. } => {}
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
                Fault::Disconnect { nodes, lost } => {
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
