//! The shapes of network partitions.

use std::sync::Arc;

use crate::model::{Cut, Random};

/// Cut links as pairs of node numbers: nothing the first sends reaches the second.
type Links = Vec<(usize, usize)>;

/// One named shape.
#[derive(Debug)]
pub struct ShapeRow {
    /// Its name in a workload.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// The links to cut, given the nodes in random order and which of them is the primary.
    links: fn(&[usize], usize, &mut Random) -> Links,
}

/// Every named shape.
pub const SHAPES: &[ShapeRow] = &[
    ShapeRow {
        name: "halves",
        about: "a random minority and the rest do not hear each other",
        links: |nodes, _, _| {
            let (minority, rest) = nodes.split_at(nodes.len() / 2);
            both_ways(minority, rest)
        },
    },
    ShapeRow {
        name: "majority-ring",
        about: "every node hears a majority, no two the same one",
        links: |nodes, _, _| majority_ring(nodes),
    },
    ShapeRow {
        name: "isolate",
        about: "a random node and the rest do not hear each other",
        links: |nodes, _, _| {
            let (one, rest) = nodes.split_at(1.min(nodes.len()));
            both_ways(one, rest)
        },
    },
    ShapeRow {
        name: "bridge",
        about: "two halves hear each other only through one node between them",
        links: |nodes, _, _| {
            let (_bridge, others) = nodes.split_at(1.min(nodes.len()));
            let (left, right) = others.split_at(others.len() / 2);
            both_ways(left, right)
        },
    },
    ShapeRow {
        name: "one-way",
        about: "what a random minority sends does not reach the rest; it hears them",
        links: |nodes, _, _| {
            let (minority, rest) = nodes.split_at(nodes.len() / 2);
            one_way(minority, rest)
        },
    },
    ShapeRow {
        name: "primary",
        about: "the primary and the rest do not hear each other",
        links: |nodes, primary, _| {
            let rest: Vec<usize> = nodes.iter().copied().filter(|node| *node != primary).collect();
            both_ways(&[primary], &rest)
        },
    },
    ShapeRow {
        name: "primary-minority",
        about: "the primary with a random minority, and the rest, do not hear each other",
        links: |nodes, primary, _| {
            let rest: Vec<usize> = nodes.iter().copied().filter(|node| *node != primary).collect();
            let company = (nodes.len().saturating_sub(1) / 2).saturating_sub(1);
            let (with, against) = rest.split_at(company.min(rest.len()));
            both_ways(&[with, &[primary]].concat(), against)
        },
    },
    ShapeRow {
        name: "random",
        about: "each link in each direction is cut with a chance of one half, at least one is",
        links: |nodes, _, random| {
            let all = one_way(nodes, nodes);
            let mut cut: Links = all.iter().copied().filter(|_| random.chance(0.5)).collect();
            if cut.is_empty() && !all.is_empty() {
                cut.push(*random.pick(&all));
            }
            cut
        },
    },
];

/// Where a partition runs.
#[derive(Clone, Debug)]
pub enum Shape {
    /// As this row says, anew each time.
    Named(&'static ShapeRow),
    /// Between these groups; who is in none is not concerned.
    Groups(Vec<Vec<Arc<str>>>),
}

impl Shape {
    /// The shape of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        SHAPES.iter().find(|row| row.name == name).map(Self::Named)
    }

    /// Its name in a history.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Named(row) => row.name,
            Self::Groups(_) => "groups",
        }
    }

    /// The links to cut now.
    pub(super) fn cuts(&self, nodes: &[Arc<str>], primary: usize, random: &mut Random) -> Vec<Cut> {
        match self {
            Self::Named(row) => {
                let mut order: Vec<usize> = (0..nodes.len()).collect();
                random.shuffle(&mut order);
                let links = (row.links)(&order, primary, random);
                let cut = |(from, to): (usize, usize)| Cut {
                    from: nodes[from].clone(),
                    to: nodes[to].clone(),
                };
                let mut cuts: Vec<Cut> = links.into_iter().map(cut).collect();
                cuts.sort();
                cuts
            }
            Self::Groups(groups) => {
                let all = groups.iter().enumerate();
                let pairs = all.flat_map(|(at, from)| {
                    let others = groups.iter().enumerate().filter(move |(other, _)| *other != at);
                    others.flat_map(move |(_, to)| {
                        from.iter().flat_map(move |from| to.iter().map(move |to| (from, to)))
                    })
                });
                pairs.map(|(from, to)| Cut { from: from.clone(), to: to.clone() }).collect()
            }
        }
    }
}

fn one_way(from: &[usize], to: &[usize]) -> Links {
    let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)));
    pairs.filter(|(from, to)| from != to).collect()
}

fn both_ways(some: &[usize], others: &[usize]) -> Links {
    let mut links = one_way(some, others);
    links.extend(one_way(others, some));
    links
}

/// Each node hears only the majority of the ring that it is in the middle of.
fn majority_ring(ring: &[usize]) -> Links {
    let (count, majority) = (ring.len(), ring.len() / 2 + 1);
    let mut links = Vec::new();
    for first in 0..count {
        let hears = ring[(first + majority / 2) % count];
        links.extend((majority..count).map(|step| (ring[(first + step) % count], hears)));
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(name: &str, count: usize, seed: u64) -> Vec<(usize, usize)> {
        let nodes: Vec<Arc<str>> = (0..count).map(|node| Arc::from(node.to_string())).collect();
        let shape = Shape::from_name(name).expect(name);
        let mut random = Random::stream(seed, "nemesis");
        let number = |name: &Arc<str>| name.parse().expect("a number");
        let cuts = shape.cuts(&nodes, count - 1, &mut random);
        cuts.iter().map(|cut| (number(&cut.from), number(&cut.to))).collect()
    }

    #[test]
    fn each_shape_cuts_as_many_links_as_it_must() {
        let expected = [
            ("halves", 4, 12),
            ("majority-ring", 3, 10),
            ("isolate", 4, 8),
            ("bridge", 2, 8),
            ("one-way", 2, 6),
            ("primary", 4, 8),
            ("primary-minority", 4, 12),
        ];
        for (name, three, five) in expected {
            assert_eq!((cuts(name, 3, 1).len(), cuts(name, 5, 1).len()), (three, five), "{name}");
        }
    }

    #[test]
    fn the_ring_leaves_everybody_a_majority_of_its_own() {
        for count in [3, 4, 5, 6, 7] {
            let cuts = cuts("majority-ring", count, 3);
            let mut heard: Vec<Vec<usize>> = (0..count)
                .map(|to| (0..count).filter(|from| !cuts.contains(&(*from, to))).collect())
                .collect();
            assert!(heard.iter().enumerate().all(|(own, set)| set.contains(&own)));
            assert!(heard.iter().all(|set| set.len() == count / 2 + 1));
            heard.sort();
            heard.dedup();
            assert_eq!(heard.len(), count);
        }
    }

    #[test]
    fn the_primary_is_alone_and_random_is_never_empty() {
        assert!(cuts("primary", 5, 9).iter().all(|(from, to)| (*from == 4) != (*to == 4)));
        assert!((0..200).all(|seed| !cuts("random", 2, seed).is_empty()));
    }

    #[test]
    fn no_shape_panics_on_a_single_node() {
        for row in SHAPES {
            assert_eq!(cuts(row.name, 1, 1), [], "{}", row.name);
        }
    }

    #[test]
    fn groups_leave_the_unnamed_alone() {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<_>>();
        let shape = Shape::Groups(vec![names(&["a"]), names(&["b", "c"])]);
        let cuts = shape.cuts(&names(&["a", "b", "c", "d"]), 0, &mut Random::stream(1, "nemesis"));
        assert_eq!(cuts.len(), 4);
        assert!(cuts.iter().all(|cut| &*cut.from != "d" && &*cut.to != "d"));
    }
}
