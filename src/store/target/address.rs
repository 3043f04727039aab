//! How clients know where the primary is.

use super::SimTarget;
use crate::model::Nanos;
use crate::sim::NodeId;
use crate::store::Store;

/// How clients know where the primary is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Address {
    /// They go where the last answer pointed.
    Hint,
    /// One address belongs to the primary. They ask who has it, and go on with the answer for so long;
    /// of several nodes that hold it, any may answer first.
    Arp(Nanos),
    /// It stands in a file of each application. After a change people edit these, one after the other,
    /// all within so long.
    File(Nanos),
    /// They ask the first mediator that answers, and go on with its answer for so long.
    Map(Nanos),
}

impl Address {
    /// How long they go on with what they have found out; no time where nothing is looked up, or as
    /// soon as it is known.
    pub(super) fn age(self) -> Nanos {
        match self {
            Self::Arp(age) | Self::Map(age) => age,
            Self::Hint | Self::File(_) => Nanos(0),
        }
    }
}

/// Who has been the primary, in order, and since when.
#[derive(Debug, Default)]
pub(super) struct Changes {
    all: Vec<(Nanos, u64, NodeId)>,
}

impl Changes {
    /// That one leads in that epoch.
    fn note(&mut self, now: Nanos, epoch: u64, leader: NodeId) {
        if self.all.last().is_none_or(|(_, last, _)| *last < epoch) {
            self.all.push((now, epoch, leader));
        }
    }

    /// The last one of whom it has been known for so long; the first one of all if there is none.
    fn known(&self, now: Nanos, delay: Nanos) -> Option<(u64, NodeId)> {
        let is_known = |change: &&(Nanos, u64, NodeId)| change.0 + delay <= now;
        let last = self.all.iter().rev().find(is_known).or(self.all.first());
        last.map(|(_, epoch, leader)| (*epoch, *leader))
    }
}

/// Into how many turns people divide the files that they edit.
const TURNS: u64 = 10;

impl<S: Store> SimTarget<S> {
    /// What a session finds if it looks up the address of the primary: the epoch and the node; nothing
    /// inside if nobody answers, nothing at all if it does not look anything up.
    #[expect(clippy::option_option, reason = "no answer is not the same as no question")]
    pub(super) fn look_up(&mut self, session: u32) -> Option<Option<(u64, NodeId)>> {
        match self.cluster.address {
            Address::Hint => None,
            Address::Arp(_) => {
                let standing = |id| self.engine.running(id).map(|node| (id, node.standing()));
                let holders: Vec<_> = self
                    .engine
                    .ids()
                    .filter_map(standing)
                    .filter(|(_, standing)| standing.leads)
                    .map(|(id, standing)| (standing.epoch, id))
                    .collect();
                // Whoever is asked first: that depends on where the client stands, and on chance.
                let chance = u64::from(session) + self.requests;
                let at = chance.checked_rem(holders.len() as u64)?;
                Some(Some(holders[at as usize]))
            }
            Address::File(age) => {
                let now = self.engine.now();
                if let Some((leader, standing)) = self.leader() {
                    self.changes.note(now, standing.epoch, leader);
                }
                let turn = 1 + u64::from(session) % TURNS;
                Some(self.changes.known(now, Nanos(age.0 / TURNS * turn)))
            }
            Address::Map(_) => {
                let mediators = self.engine.ids().skip(self.data());
                let mut maps = mediators.filter_map(|id| self.engine.running(id)?.map());
                Some(maps.next().map(|leader| (0, leader)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_known_when_its_time_has_come() {
        let mut changes = Changes::default();
        assert_eq!(changes.known(Nanos(5), Nanos(0)), None);
        let [one, other] = [NodeId(0), NodeId(1)];
        changes.note(Nanos(5), 1, one);
        changes.note(Nanos(9), 2, other);
        changes.note(Nanos(9), 1, one);
        let known = |now, delay| changes.known(Nanos(now), Nanos(delay)).map(|(_, node)| node);
        assert_eq!(known(9, 9), Some(one), "somebody has to be the first");
        assert_eq!(known(12, 3), Some(other));
        assert_eq!(known(12, 4), Some(one));
    }
}
