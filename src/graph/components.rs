//! Strongly connected components.

use crate::graph::Graph;

/// The strongly connected components of a graph.
#[derive(Clone, Debug)]
pub struct Components {
    of: Vec<u32>,
    sizes: Vec<u32>,
}

impl Components {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// The component of a node. Components are numbered against the edges: an edge between two of
    /// them leads from the greater number to the smaller.
    pub fn of(&self, node: u32) -> u32 {
        self.of[node as usize]
    }

    /// How many nodes a component has.
    pub fn size(&self, component: u32) -> usize {
        self.sizes[component as usize] as usize
    }

    /// Whether two nodes lie on a cycle together.
    pub fn same(&self, one: u32, other: u32) -> bool {
        self.of(one) == self.of(other)
    }

    /// The components of more than one node, each with its nodes in ascending order.
    pub fn cyclic(&self) -> Vec<Vec<u32>> {
        let mut place = vec![u32::MAX; self.count()];
        let mut members: Vec<Vec<u32>> = Vec::new();
        for (node, component) in self.of.iter().enumerate() {
            if self.size(*component) < 2 {
                continue;
            }
            let at = &mut place[*component as usize];
            if *at == u32::MAX {
                *at = members.len() as u32;
                members.push(Vec::new());
            }
            members[*at as usize].push(node as u32);
        }
        members
    }
}

/// Finds the strongly connected components: Tarjan (1972) in Pearce's form, which keeps a single
/// number a node ("A space-efficient algorithm for finding strongly connected components", 2016),
/// with the recursion turned into a stack. O(nodes + edges) time; at most 20 bytes a node.
pub fn components(graph: &Graph) -> Components {
    components_by(graph, |_| true)
}

/// The components if only the edges of certain kinds are there.
pub(super) fn components_by(graph: &Graph, is_there: impl Fn(u8) -> bool) -> Components {
    const OPEN: u32 = u32::MAX;
    let n = graph.len();
    // The smallest visit number known to be reachable; 0 before the visit.
    let mut low = vec![0_u32; n];
    let mut of = vec![OPEN; n];
    let mut sizes: Vec<u32> = Vec::new();
    // Nodes whose component is not yet known, other than those on the path; and the path of the
    // walk: node, its next edge, its visit number.
    let mut waiting: Vec<u32> = Vec::new();
    let mut path: Vec<(u32, u32, u32)> = Vec::new();
    let mut visits = 0;
    for root in 0..n as u32 {
        if low[root as usize] != 0 {
            continue;
        }
        visits += 1;
        low[root as usize] = visits;
        path.push((root, graph.range(root).0 as u32, visits));
        while let Some((node, next, visit)) = path.last_mut() {
            let (node, visit) = (*node, *visit);
            if (*next as usize) < graph.range(node).1 {
                let (to, kinds) = graph.edge(*next as usize);
                *next += 1;
                if !is_there(kinds) {
                    continue;
                }
                if low[to as usize] == 0 {
                    visits += 1;
                    low[to as usize] = visits;
                    path.push((to, graph.range(to).0 as u32, visits));
                } else if of[to as usize] == OPEN {
                    low[node as usize] = low[node as usize].min(low[to as usize]);
                }
                continue;
            }
            path.pop();
            let lowest = low[node as usize];
            if lowest == visit {
                let component = sizes.len() as u32;
                of[node as usize] = component;
                let mut size = 1;
                while let Some(member) = waiting.pop_if(|member| low[*member as usize] >= visit) {
                    of[member as usize] = component;
                    size += 1;
                }
                sizes.push(size);
            } else {
                waiting.push(node);
            }
            if let Some((parent, ..)) = path.last() {
                let parent = *parent as usize;
                if of[node as usize] == OPEN {
                    low[parent] = low[parent].min(lowest);
                }
            }
        }
    }
    Components { of, sizes }
}
