//! A mediator: a node without data that says who may lead.
//!
//! Whoever leads asks each mediator again and again; one who wants to lead asks as well. A mediator
//! grants an epoch to one node, and the next epoch only when it has not heard from that node for the
//! time of a lease. A node leads by the grants of a majority of the mediators, so no two nodes hold
//! them at once (Gray and Cheriton, "Leases", SOSP 1989); with those of any one, two may. Whether the old primary stops *before* its
//! successor begins is another matter: that is what `fencing` is for.

use crate::model::Nanos;

/// The state of a mediator.
#[derive(Clone, Debug, Default)]
pub(super) struct Mediator {
    /// The epoch granted last; its lower bits name the node. Durable.
    epoch: u64,
    /// When the node of that epoch was last heard of.
    heard: Nanos,
}

impl Mediator {
    /// A mediator that begins, or begins again: it may have granted the epoch just before.
    pub(super) fn restarted(epoch: u64, now: Nanos) -> Self {
        Self { epoch, heard: now }
    }

    /// The epoch it stands for.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether `epoch` is granted to the node that asks for it.
    pub(super) fn grants(&mut self, epoch: u64, leads: bool, lease: Nanos, now: Nanos) -> bool {
        if epoch == self.epoch {
            // One who only wants to lead does not keep others waiting by asking again.
            if leads {
                self.heard = now;
            }
            return true;
        }
        let is_free = self.epoch == 0 || now - self.heard > lease;
        if epoch > self.epoch && is_free {
            (self.epoch, self.heard) = (epoch, now);
            return true;
        }
        false
    }
}

/// What a node holds of the mediators' grants.
#[derive(Clone, Debug, Default)]
pub(super) struct Grants {
    /// The epoch they are for.
    epoch: u64,
    /// How many are needed.
    needed: u8,
    /// By mediator, when the request was sent that was last granted.
    sent: Vec<Option<Nanos>>,
    /// By mediator, the epoch it stands for instead.
    refused: Vec<u64>,
}

impl Grants {
    /// None yet, of so many mediators, of which so many are needed.
    pub(super) fn none(epoch: u64, mediators: u8, needed: u8) -> Self {
        let mediators = usize::from(mediators);
        Self { epoch, needed, sent: vec![None; mediators], refused: vec![0; mediators] }
    }

    /// The epoch they are for.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A mediator granted what it was asked for at `sent`.
    pub(super) fn add(&mut self, mediator: usize, epoch: u64, sent: Nanos) {
        if epoch == self.epoch {
            self.sent[mediator] = self.sent[mediator].max(Some(sent));
        }
    }

    /// A mediator stands for another epoch; that one, once too few are left to lead in `epoch`. One
    /// mediator that lost sight of a primary which enough others see does not depose it.
    pub(super) fn refuse(&mut self, mediator: usize, other: u64, epoch: u64) -> Option<u64> {
        self.refused[mediator] = self.refused[mediator].max(other);
        let against = self.refused.iter().filter(|other| **other > epoch);
        let left = self.refused.len() - against.clone().count();
        against.max().copied().filter(|_| left < usize::from(self.needed))
    }

    /// Until when as many as are needed stand by them; `None` if none ever did. Counted from when they were
    /// asked for, so that a mediator's patience ends later.
    pub(super) fn until(&self, lease: Nanos) -> Option<Nanos> {
        let mut sent: Vec<Nanos> = self.sent.iter().copied().flatten().collect();
        sent.sort_unstable_by(|a, b| b.cmp(a));
        sent.get(usize::from(self.needed).checked_sub(1)?).map(|sent| *sent + lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Nanos = Nanos(100);

    #[test]
    fn an_epoch_is_granted_when_its_holder_has_been_silent_for_a_lease() {
        let mut mediator = Mediator::default();
        assert!(mediator.grants(256, true, LEASE, Nanos(0)));
        assert!(!mediator.grants(513, false, LEASE, Nanos(90)));
        assert!(mediator.grants(256, true, LEASE, Nanos(95)));
        assert!(!mediator.grants(513, false, LEASE, Nanos(195)));
        assert!(mediator.grants(513, false, LEASE, Nanos(196)));
        assert!(!mediator.grants(256, true, LEASE, Nanos(900)), "an old epoch never comes back");
    }

    #[test]
    fn a_candidate_keeps_nobody_waiting() {
        let mut mediator = Mediator::default();
        assert!(mediator.grants(513, false, LEASE, Nanos(0)));
        assert!(mediator.grants(513, false, LEASE, Nanos(80)));
        assert!(mediator.grants(770, false, LEASE, Nanos(101)));
    }

    #[test]
    fn too_few_mediators_left_depose_a_primary() {
        let mut grants = Grants::none(256, 3, 2);
        assert_eq!(grants.refuse(0, 513, 256), None);
        assert_eq!(grants.refuse(0, 770, 256), None);
        assert_eq!(grants.refuse(1, 256, 256), None);
        assert_eq!(grants.refuse(2, 513, 256), Some(770));
    }

    #[test]
    fn whoever_is_needed_carries_a_lease_from_when_they_were_asked() {
        let mut grants = Grants::none(256, 3, 2);
        grants.add(0, 256, Nanos(10));
        assert_eq!(grants.until(LEASE), None);
        grants.add(2, 256, Nanos(30));
        grants.add(1, 257, Nanos(50));
        assert_eq!(grants.until(LEASE), Some(Nanos(110)));
        let until = |needed| Grants { needed, ..grants.clone() }.until(LEASE);
        assert_eq!((until(1), until(3)), (Some(Nanos(130)), None));
    }
}
