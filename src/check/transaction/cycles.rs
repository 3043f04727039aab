//! Adya's anomalies as cycles of dependencies (ANOMALIES section 8).

use crate::check::transaction::explain::Explain;
use crate::check::{Edge, Limits, Property, Status, Verdict};
use crate::graph::{Arc, Cycle, Found, Graph, Pattern, Shape, components, labelled_cycles};

const WW: u8 = Edge::Ww as u8;
const WR: u8 = Edge::Wr as u8;
const RW: u8 = Edge::Rw as u8;
const SO: u8 = Edge::So as u8;
const RT: u8 = Edge::Rt as u8;

/// So many edges are looked at for each class before the rest is left.
const STEPS: u64 = 20_000_000;

/// A class of cycles: its property without, with sessions and with real time, and its pattern.
struct Class {
    properties: [Property; 3],
    kind: &'static str,
    name: &'static str,
    marked: u8,
    others: u8,
    shape: Shape,
}

const CLASSES: [Class; 5] = [
    Class {
        properties: [Property::G0, Property::G0Process, Property::G0Realtime],
        kind: "dirty-write",
        name: "dirty write",
        marked: WW,
        others: 0,
        shape: Shape::Some,
    },
    Class {
        properties: [Property::G1c, Property::G1cProcess, Property::G1cRealtime],
        kind: "circular-information-flow",
        name: "circular information flow",
        marked: WR,
        others: WW,
        shape: Shape::Some,
    },
    Class {
        properties: [Property::GSingle, Property::GSingleProcess, Property::GSingleRealtime],
        kind: "read-skew",
        name: "read skew",
        marked: RW,
        others: WW | WR,
        shape: Shape::One,
    },
    Class {
        properties: [
            Property::GNonadjacent,
            Property::GNonadjacentProcess,
            Property::GNonadjacentRealtime,
        ],
        kind: "nonadjacent-anti-dependencies",
        name: "anti-dependencies that are not adjacent",
        marked: RW,
        others: WW | WR,
        shape: Shape::Apart,
    },
    Class {
        properties: [Property::G2Item, Property::G2ItemProcess, Property::G2ItemRealtime],
        kind: "anti-dependency-cycle",
        name: "adjacent anti-dependencies",
        marked: RW,
        others: WW | WR,
        shape: Shape::Adjacent,
    },
];

/// The part of the dependencies that lies on cycles at all.
pub(super) struct Core {
    /// The nodes of the part, as nodes of the whole.
    nodes: Vec<u32>,
    graph: Graph,
}

impl Core {
    /// Cuts it out: one walk over the whole.
    pub(super) fn new(whole: &Graph) -> Self {
        let components = components(whole);
        let mut nodes: Vec<u32> = components.cyclic().into_iter().flatten().collect();
        nodes.sort_unstable();
        let mut place = vec![u32::MAX; if nodes.is_empty() { 0 } else { whole.len() }];
        for (at, node) in (0..).zip(&nodes) {
            place[*node as usize] = at;
        }
        let mut arcs = Vec::new();
        for (at, node) in (0..).zip(&nodes) {
            for (to, kinds) in whole.edges(*node).filter(|edge| components.same(*node, edge.0)) {
                arcs.push(Arc { from: at, to: place[to as usize], kinds });
            }
        }
        Self { graph: Graph::new(nodes.len(), &arcs), nodes }
    }

    /// Its edges of these kinds.
    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// A node of the whole.
    pub(super) fn node(&self, at: u32) -> u32 {
        self.nodes[at as usize]
    }

    /// Its cycles of a pattern, as nodes of the whole.
    fn cycles(&self, graph: &Graph, pattern: Pattern, keep: usize) -> Found {
        let mut found = labelled_cycles(graph, pattern, keep, STEPS);
        for (node, _) in found.cycles.iter_mut().flatten() {
            *node = self.nodes[*node as usize];
        }
        found.cycles.sort_by_key(|cycle| direct(cycle).len());
        found
    }

    /// The graph with direct `rt` edges against those edges that contradict real time by themselves:
    /// reduced to its frontier, real time is a long way round.
    fn with_shortcuts(&self, explain: &Explain<'_>) -> Graph {
        let txn =
            |at: u32| explain.history.txn(explain.committed.txns[self.nodes[at as usize] as usize]);
        let mut arcs = Vec::new();
        for from in 0..self.graph.len() as u32 {
            for (to, kinds) in self.graph.edges(from) {
                arcs.push(Arc { from, to, kinds });
                if kinds & (WW | WR | RW) != 0 && txn(to).precedes(txn(from)) {
                    arcs.push(Arc { from: to, to: from, kinds: RT });
                }
            }
        }
        Graph::new(self.graph.len(), &arcs)
    }
}

/// A cycle without the nodes between: what follows in time of what follows in time follows in time.
fn direct(cycle: &Cycle) -> Cycle {
    let mut entered = cycle.iter().map(|step| step.1).cycle().skip(cycle.len() - 1);
    let mut short = cycle.clone();
    short.retain(|(_, kind)| entered.next() != Some(*kind) || kind & (SO | RT) == 0);
    short
}

/// Judges the five classes, each without, with sessions and with real time. Of a class with sessions
/// are only the cycles that none without shows already, and of one with real time those that neither
/// shows (ANOMALIES section 8), so the three exclude each other.
pub(super) fn check(explain: &Explain<'_>, core: &Core, limits: &Limits) -> Vec<Verdict> {
    let keep = limits.anomalies.max(1);
    let shortcuts = core.with_shortcuts(explain);
    let mut verdicts = Vec::new();
    for class in &CLASSES {
        let mut told: Option<Property> = None;
        for (property, extra) in class.properties.into_iter().zip([0, SO, RT]) {
            let verdict = if let Some(told) = told {
                let reason = format!("the cycles of this kind are told as {}", told.id());
                Verdict { reason: Some(reason), ..Verdict::valid(property) }
            } else {
                let Class { marked, others, shape, .. } = *class;
                let pattern = Pattern { marked, others: others | extra, shape };
                let is_direct = extra == RT && matches!(shape, Shape::Some | Shape::One);
                let graph = if is_direct { &shortcuts } else { &core.graph };
                judge(explain, class, property, &core.cycles(graph, pattern, keep))
            };
            if verdict.status == Status::Invalid {
                told = Some(property);
            }
            verdicts.push(verdict);
        }
    }
    verdicts
}

fn judge(explain: &Explain<'_>, class: &Class, property: Property, found: &Found) -> Verdict {
    if found.count == 0 {
        if found.is_cut {
            return Verdict::unknown(property, "the search for such a cycle took too many steps");
        }
        return Verdict { reason: explain.gap(), ..Verdict::valid(property) };
    }
    let anomaly = |cycle: &Cycle| {
        let mut anomaly = explain.anomaly(property, class.kind, class.name, &direct(cycle));
        // That such a cycle is a simple one, and no two that cross, is seen with the nodes between.
        if matches!(class.shape, Shape::Apart | Shape::Adjacent) {
            let between = cycle.iter().map(|(node, _)| explain.committed.txns[*node as usize]);
            anomaly.operations.extend(between);
            anomaly.operations.sort_unstable();
            anomaly.operations.dedup();
        }
        anomaly
    };
    let anomalies = found.cycles.iter().map(anomaly).collect();
    let reason = "counted are the shortest cycles, at most one for each edge that makes them such";
    let count = found.count;
    Verdict { count, reason: Some(reason.to_owned()), ..Verdict::invalid(property, anomalies) }
}
