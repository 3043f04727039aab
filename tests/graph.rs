//! The graph room against petgraph, and on graphs deeper than any stack.

use std::collections::BTreeSet;

use petgraph::algo::{is_cyclic_directed, kosaraju_scc};
use petgraph::graph::DiGraph;
use petgraph::visit::{Dfs, EdgeRef, IntoEdgeReferences};
use rashomon::graph::{Arc, CycleSpec, Graph, components, shortest_cycle, topological_order};
use rashomon::model::Random;

fn random_arcs(random: &mut Random, nodes: u32, edges: u64, forward: bool) -> Vec<Arc> {
    (0..edges)
        .map(|_| {
            let (one, other) =
                (random.below(nodes.into()) as u32, random.below(nodes.into()) as u32);
            let (from, to) = if forward && one > other { (other, one) } else { (one, other) };
            Arc { from, to, kinds: 1 << random.below(4) }
        })
        .filter(|arc| !forward || arc.from != arc.to)
        .collect()
}

#[test]
fn components_are_those_of_petgraph() {
    let mut random = Random::stream(1, "graph");
    let mut cyclic = 0;
    for _ in 0..3_000 {
        let nodes = 1 + random.below(30) as u32;
        let edges = random.below(60);
        let arcs = random_arcs(&mut random, nodes, edges, false);
        let graph = Graph::new(nodes as usize, &arcs);
        let mut other: DiGraph<(), u8> = DiGraph::new();
        let indices: Vec<_> = (0..nodes).map(|_| other.add_node(())).collect();
        for arc in &arcs {
            other.add_edge(indices[arc.from as usize], indices[arc.to as usize], arc.kinds);
        }
        let expected: BTreeSet<BTreeSet<u32>> = kosaraju_scc(&other)
            .into_iter()
            .map(|scc| scc.into_iter().map(|node| node.index() as u32).collect())
            .collect();
        // petgraph's algorithm also runs on our graph through its traits.
        let through_traits: BTreeSet<BTreeSet<u32>> = petgraph::algo::tarjan_scc(&graph)
            .into_iter()
            .map(|scc| scc.into_iter().collect())
            .collect();
        assert_eq!(through_traits, expected);
        let found = components(&graph);
        let mut ours = vec![BTreeSet::new(); found.count()];
        for node in 0..nodes {
            ours[found.of(node) as usize].insert(node);
        }
        for (component, members) in (0..).zip(&ours) {
            assert_eq!(found.size(component), members.len());
        }
        for edge in graph.edge_references() {
            assert!(found.of(edge.source()) >= found.of(edge.target()), "against the edges");
        }
        assert_eq!(found.cyclic().len(), ours.iter().filter(|one| one.len() > 1).count());
        cyclic += usize::from(!found.cyclic().is_empty());
        assert_eq!(ours.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    assert!((300..2_700).contains(&cyclic), "{cyclic} of 3000 with cycles");
}

#[test]
fn parallel_edges_become_one() {
    let arc = |from, to, kinds| Arc { from, to, kinds };
    let graph = Graph::new(3, &[arc(0, 2, 1), arc(1, 0, 4), arc(0, 1, 2), arc(0, 2, 8)]);
    assert_eq!(graph.edge_count(), 3);
    assert_eq!(graph.edges(0).collect::<Vec<_>>(), [(1, 2), (2, 9)]);
    assert_eq!((graph.kinds(0, 2), graph.kinds(2, 0)), (9, 0));
    let mut walk = Dfs::new(&graph, 1);
    let mut seen = BTreeSet::new();
    while let Some(node) = walk.next(&graph) {
        seen.insert(node);
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 2]));
}

/// The length of the shortest simple cycle that fits, by trying all paths.
fn shortest_by_trying(graph: &Graph, spec: CycleSpec) -> Option<usize> {
    fn walk(
        graph: &Graph,
        path: &mut Vec<u32>,
        kinds: &mut Vec<u8>,
        spec: CycleSpec,
        best: &mut Option<usize>,
    ) {
        let last = path[path.len() - 1];
        for (to, kind) in graph.edges(last) {
            kinds.push(kind);
            if to == path[0] {
                if fits(kinds, spec) && best.is_none_or(|length| path.len() < length) {
                    *best = Some(path.len());
                }
            } else if to > path[0] && !path.contains(&to) {
                path.push(to);
                walk(graph, path, kinds, spec, best);
                path.pop();
            }
            kinds.pop();
        }
    }
    /// Whether each edge can be given one of its kinds so that the constraint holds.
    fn fits(kinds: &[u8], spec: CycleSpec) -> bool {
        let allowed = kinds.iter().all(|kind| kind & spec.through != 0);
        match (spec.exactly_one, spec.at_least_one) {
            (Some(one), _) => {
                let others = spec.through & !one;
                (0..kinds.len()).any(|at| {
                    kinds[at] & one & spec.through != 0
                        && (0..kinds.len()).all(|other| other == at || kinds[other] & others != 0)
                })
            }
            (None, Some(some)) => {
                allowed && kinds.iter().any(|kind| kind & some & spec.through != 0)
            }
            (None, None) => allowed,
        }
    }
    let mut best = None;
    for start in 0..graph.len() as u32 {
        walk(graph, &mut vec![start], &mut Vec::new(), spec, &mut best);
    }
    best
}

#[test]
fn shortest_cycles_are_shortest() {
    let mut random = Random::stream(2, "cycle");
    let mut found = [0; 2];
    for _ in 0..4_000 {
        let nodes = 2 + random.below(6) as u32;
        let mut arcs = random_arcs(&mut random, nodes, 12, false);
        arcs.retain(|arc| arc.from != arc.to);
        let graph = Graph::new(nodes as usize, &arcs);
        let spec = match random.below(3) {
            0 => CycleSpec::ANY,
            1 => CycleSpec { through: 0b111, exactly_one: Some(0b100), at_least_one: None },
            _ => CycleSpec { through: 0b1011, exactly_one: None, at_least_one: Some(0b10) },
        };
        let all = components(&graph);
        let members = all.cyclic();
        let cycles = members.iter().filter_map(|some| shortest_cycle(&graph, &all, some, spec));
        let ours = cycles.min_by_key(Vec::len);
        if let Some(cycle) = &ours {
            for at in 0..cycle.len() {
                assert!(graph.kinds(cycle[at], cycle[(at + 1) % cycle.len()]) & spec.through != 0);
            }
        }
        found[usize::from(ours.is_some())] += 1;
        let length = ours.map(|cycle| cycle.len());
        assert_eq!(length, shortest_by_trying(&graph, spec), "{arcs:?} {spec:?}");
    }
    assert!(found.iter().all(|count| *count > 400), "{found:?}");
}

#[test]
fn topological_orders_lead_forward() {
    let mut random = Random::stream(3, "order");
    for round in 0..1_000 {
        let arcs = random_arcs(&mut random, 20, 40, round % 2 == 0);
        let graph = Graph::new(20, &arcs);
        let order = topological_order(&graph);
        assert_eq!(order.is_some(), !is_cyclic_directed(&graph));
        if let Some(order) = order {
            let mut place = [0; 20];
            for (at, node) in order.iter().enumerate() {
                place[*node as usize] = at;
            }
            assert!(arcs.iter().all(|arc| place[arc.from as usize] < place[arc.to as usize]));
        }
    }
}

/// petgraph's `tarjan_scc` overflows an eight MiB stack from about 100,000 nodes on.
#[test]
fn a_chain_of_a_million_nodes_needs_no_stack() {
    const N: u32 = 1_000_000;
    let on_a_small_stack = || {
        let mut arcs: Vec<Arc> =
            (0..N - 1).map(|from| Arc { from, to: from + 1, kinds: 1 }).collect();
        let chain = Graph::new(N as usize, &arcs);
        assert_eq!(components(&chain).count(), N as usize);
        assert_eq!(topological_order(&chain).map(|order| order[0]), Some(0));
        arcs.push(Arc { from: N - 1, to: 0, kinds: 2 });
        let ring = Graph::new(N as usize, &arcs);
        let all = components(&ring);
        assert_eq!(all.count(), 1);
        let spec = CycleSpec { through: 3, exactly_one: Some(2), at_least_one: None };
        let cycle = shortest_cycle(&ring, &all, &all.cyclic()[0], spec).unwrap();
        assert_eq!((cycle.len(), cycle[0]), (N as usize, N - 1));
    };
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(1).stack_size(128 * 1024).build().unwrap();
    pool.install(on_a_small_stack);
}
