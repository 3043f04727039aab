//! Dependency edges: the ones that data prove, and no others.

#![expect(clippy::print_stdout, reason = "a test says what it skips")]
#![expect(dead_code, reason = "the plain histories are shared with other tests")]

#[path = "oracle/plain.rs"]
mod plain;

use std::collections::BTreeSet;

use plain::load;
use rashomon::check::{Edge, infer};
use rashomon::history::TxnId;
use rashomon::model::Random;

fn edges(lines: &str) -> BTreeSet<(u32, u32, &'static str)> {
    let history = load(lines);
    let all: Vec<TxnId> = history.txns().map(|txn| txn.id).collect();
    let found = infer::dependencies(&history, &all);
    let index = |node: u32| history.txn(found.operations[node as usize]).index();
    let mut edges = BTreeSet::new();
    for from in 0..found.graph.len() as u32 {
        for (to, kinds) in found.graph.edges(from) {
            for edge in [Edge::Ww, Edge::Wr, Edge::Rw, Edge::So, Edge::Rt] {
                if kinds & edge as u8 != 0 {
                    edges.insert((index(from), index(to), edge.name()));
                }
            }
        }
    }
    edges
}

#[test]
fn registers_have_the_edges_that_data_prove() {
    let found = edges(
        r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":9,"f":"w","k":"x","v":1}
{"i":1,"p":1,"type":"ok","inv":1,"ret":9,"f":"rmw","k":"x","v":[1,2]}
{"i":2,"p":2,"type":"ok","inv":2,"ret":9,"f":"r","k":"x","v":1}
{"i":3,"p":3,"type":"ok","inv":3,"ret":9,"f":"r","k":"x","v":null}
{"i":4,"p":4,"type":"info","inv":4,"ret":null,"f":"w","k":"y","v":7}
{"i":5,"p":5,"s":4,"type":"ok","inv":5,"ret":9,"f":"r","k":"y","v":7}
{"i":6,"p":6,"type":"fail","inv":5,"ret":9,"f":"w","k":"x","v":8}"#,
    );
    let expected = BTreeSet::from([
        (0, 1, "wr"),
        (0, 1, "ww"),
        (0, 2, "wr"),
        (2, 1, "rw"),
        (3, 0, "rw"),
        (3, 1, "rw"),
        // No session order leaves what is indeterminate.
        (4, 5, "wr"),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn lists_have_the_edges_of_their_order() {
    let found = edges(
        r#"{"i":0,"p":0,"type":"ok","inv":0,"ret":1,"f":"append","k":"x","v":1}
{"i":1,"p":0,"type":"ok","inv":1,"ret":9,"f":"append","k":"x","v":2}
{"i":2,"p":1,"type":"ok","inv":2,"ret":9,"f":"r","k":"x","v":[1]}
{"i":3,"p":2,"type":"ok","inv":3,"ret":9,"f":"r","k":"x","v":[1,2]}"#,
    );
    let expected = BTreeSet::from([
        (0, 1, "so"),
        (0, 1, "ww"),
        (0, 2, "rt"),
        (0, 2, "wr"),
        (0, 3, "rt"),
        (0, 3, "wr"),
        (1, 3, "wr"),
        (2, 1, "rw"),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn the_real_time_frontier_has_the_closure_of_real_time() {
    let mut random = Random::stream(5, "frontier");
    let mut saved = 0;
    for _ in 0..2_000 {
        let mut ends: Vec<u32> = (0..24).collect();
        random.shuffle(&mut ends);
        let mut intervals: Vec<(u32, u32)> = ends
            .chunks(2)
            .map(|two| {
                (two[0].min(two[1]), if random.chance(0.1) { u32::MAX } else { two[0].max(two[1]) })
            })
            .collect();
        intervals.sort_unstable();
        let named: Vec<(u32, u32, u32)> =
            (0..).zip(&intervals).map(|(name, one)| (one.0, one.1, name)).collect();
        let mut reached = [[false; 12]; 12];
        let mut edges = 0;
        infer::real_time_frontier(&named, |from, to| {
            edges += 1;
            reached[from as usize][to as usize] = true;
        });
        for via in 0..12 {
            for from in 0..12 {
                for to in 0..12 {
                    reached[from][to] |= reached[from][via] && reached[via][to];
                }
            }
        }
        let mut all = 0;
        for from in 0..12 {
            for to in 0..12 {
                let before = intervals[from].1 < intervals[to].0;
                all += usize::from(before);
                assert_eq!(reached[from][to], before, "{intervals:?}");
            }
        }
        saved += all - edges;
    }
    assert!(saved > 1_000, "the frontier is smaller than the order: {saved}");
}
