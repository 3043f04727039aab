//! Topological order.

use crate::graph::Graph;

/// The nodes in an order in which every edge leads forward; `None` if there is a cycle.
///
/// Kahn (1962). Among the nodes that may come next, the one that became free last comes first.
pub fn topological_order(graph: &Graph) -> Option<Vec<u32>> {
    let n = graph.len();
    let mut missing = vec![0_u32; n];
    for node in 0..n as u32 {
        for to in graph.targets(node) {
            missing[*to as usize] += 1;
        }
    }
    let mut free: Vec<u32> = (0..n as u32).rev().filter(|at| missing[*at as usize] == 0).collect();
    let mut order = Vec::with_capacity(n);
    while let Some(node) = free.pop() {
        order.push(node);
        for to in graph.targets(node) {
            missing[*to as usize] -= 1;
            if missing[*to as usize] == 0 {
                free.push(*to);
            }
        }
    }
    (order.len() == n).then_some(order)
}
