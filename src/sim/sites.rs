//! Where nodes stand: in one place, or in data centres far from each other.

use crate::model::Nanos;
use crate::sim::NodeId;

/// The data centres of a cluster. Its nodes are dealt out to them in order: of four nodes in two, the
/// first two stand in one and the last two in the other. Who has no data is near to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sites {
    /// How many nodes have data.
    pub nodes: u8,
    /// In how many data centres they stand.
    pub centers: u8,
    /// How much longer a message takes between two of them.
    pub distance: Nanos,
}

impl Sites {
    /// All in one place.
    pub const ONE: Self = Self { nodes: 1, centers: 1, distance: Nanos(0) };

    /// In which data centre a node stands, from 0; `None` if it is near to all.
    pub fn center(&self, node: NodeId) -> Option<u8> {
        let place = u16::from(node.0) * u16::from(self.centers) / u16::from(self.nodes.max(1));
        (node.0 < self.nodes).then_some(place as u8)
    }

    /// Whether two nodes stand in different data centres.
    pub fn are_apart(&self, one: NodeId, other: NodeId) -> bool {
        let centers = self.center(one).zip(self.center(other));
        centers.is_some_and(|(one, other)| one != other)
    }

    /// How much longer than usual a message takes between two nodes.
    pub fn between(&self, one: NodeId, other: NodeId) -> Nanos {
        if self.are_apart(one, other) { self.distance } else { Nanos(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_dealt_out_in_order_and_who_has_no_data_is_near() {
        let sites = |nodes| Sites { nodes, centers: 2, distance: Nanos(40) };
        let centers =
            |nodes| (0..=nodes).map(|n| sites(nodes).center(NodeId(n))).collect::<Vec<_>>();
        assert_eq!(centers(3), [Some(0), Some(0), Some(1), None]);
        assert_eq!(centers(4), [Some(0), Some(0), Some(1), Some(1), None]);
        let far = |one, other| sites(4).between(NodeId(one), NodeId(other));
        assert_eq!([far(0, 1), far(1, 2), far(3, 0), far(0, 4)], [0, 40, 40, 0].map(Nanos));
        assert_eq!(Sites::ONE.between(NodeId(0), NodeId(5)), Nanos(0));
    }
}
