//! petgraph's `visit` traits, so that its algorithms run on a [`Graph`].

use petgraph::visit::{
    Data, EdgeRef, GraphBase, GraphProp, IntoEdgeReferences, IntoEdges, IntoNeighbors,
    IntoNodeIdentifiers, NodeCount, NodeIndexable, VisitMap, Visitable,
};

use crate::graph::Graph;

/// An edge of a [`Graph`], as petgraph sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArcReference<'g> {
    from: u32,
    to: u32,
    kinds: &'g u8,
    place: usize,
}

impl<'g> ArcReference<'g> {
    pub(super) fn new(from: u32, to: u32, kinds: &'g u8, place: usize) -> Self {
        Self { from, to, kinds, place }
    }
}

impl EdgeRef for ArcReference<'_> {
    type NodeId = u32;
    type EdgeId = usize;
    type Weight = u8;

    fn source(&self) -> u32 {
        self.from
    }

    fn target(&self) -> u32 {
        self.to
    }

    fn weight(&self) -> &u8 {
        self.kinds
    }

    fn id(&self) -> usize {
        self.place
    }
}

/// The nodes a walk has seen, a bit each.
#[derive(Clone, Debug, Default)]
pub struct Seen(Vec<u64>);

impl VisitMap<u32> for Seen {
    fn visit(&mut self, node: u32) -> bool {
        let (word, bit) = (&mut self.0[node as usize / 64], 1 << (node % 64));
        let first = *word & bit == 0;
        *word |= bit;
        first
    }

    fn is_visited(&self, node: &u32) -> bool {
        self.0[*node as usize / 64] & (1 << (node % 64)) != 0
    }

    fn unvisit(&mut self, node: u32) -> bool {
        let (word, bit) = (&mut self.0[node as usize / 64], 1 << (node % 64));
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }
}

impl GraphBase for Graph {
    type NodeId = u32;
    type EdgeId = usize;
}

impl Data for Graph {
    type NodeWeight = ();
    type EdgeWeight = u8;
}

impl GraphProp for Graph {
    type EdgeType = petgraph::Directed;
}

impl Visitable for Graph {
    type Map = Seen;

    fn visit_map(&self) -> Seen {
        Seen(vec![0; self.len().div_ceil(64)])
    }

    fn reset_map(&self, map: &mut Seen) {
        map.0.clear();
        map.0.resize(self.len().div_ceil(64), 0);
    }
}

impl NodeCount for Graph {
    fn node_count(&self) -> usize {
        self.len()
    }
}

impl NodeIndexable for Graph {
    fn node_bound(&self) -> usize {
        self.len()
    }

    fn to_index(&self, node: u32) -> usize {
        node as usize
    }

    fn from_index(&self, index: usize) -> u32 {
        index as u32
    }
}

impl<'g> IntoNeighbors for &'g Graph {
    type Neighbors = std::iter::Copied<std::slice::Iter<'g, u32>>;

    fn neighbors(self, node: u32) -> Self::Neighbors {
        self.targets(node).iter().copied()
    }
}

impl IntoNodeIdentifiers for &Graph {
    type NodeIdentifiers = std::ops::Range<u32>;

    fn node_identifiers(self) -> Self::NodeIdentifiers {
        0..self.len() as u32
    }
}

impl<'g> IntoEdges for &'g Graph {
    type Edges = Box<dyn Iterator<Item = ArcReference<'g>> + 'g>;

    fn edges(self, node: u32) -> Self::Edges {
        let (begin, end) = self.range(node);
        Box::new((begin..end).map(move |place| self.reference(node, place)))
    }
}

impl<'g> IntoEdgeReferences for &'g Graph {
    type EdgeRef = ArcReference<'g>;
    type EdgeReferences = Box<dyn Iterator<Item = ArcReference<'g>> + 'g>;

    fn edge_references(self) -> Self::EdgeReferences {
        Box::new((0..self.len() as u32).flat_map(move |node| IntoEdges::edges(self, node)))
    }
}
