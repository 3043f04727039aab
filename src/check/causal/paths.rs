//! Shortest paths back through `so`, `wr` and whatever else comes before.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::check::Edge;
use crate::check::causal::past::is_anchored;
use crate::check::session::model::{Model, NO_SESSION};

/// One edge of a path. Of `so` it may leave out operations in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) edge: Edge,
    /// Which forced edge it is, if it is one.
    pub(super) forced: Option<u32>,
}

/// What has an edge to an operation, besides its session.
pub(super) type Before<'b> = dyn Fn(u32, &mut dyn FnMut(u32, Edge, Option<u32>)) + 'b;

/// A path with the fewest operations; `None` if there is none. `before` calls back with what comes
/// before an operation, session order excepted. O(operations and edges before `to`).
pub(super) fn path(model: &Model, from: u32, to: u32, before: &Before<'_>) -> Option<Vec<Hop>> {
    let mut toward: FxHashMap<u32, Hop> = FxHashMap::default();
    let mut queue = VecDeque::from([to]);
    // How much of each session was seen: whatever is earlier than an operation is one hop from it.
    let mut seen: FxHashMap<u32, usize> = FxHashMap::default();
    while let Some(at) = queue.pop_front() {
        if at == from && (at != to || !toward.is_empty()) {
            break;
        }
        let mut reach = |one: u32, edge: Edge, forced: Option<u32>| {
            if one != to && one != u32::MAX {
                toward.entry(one).or_insert_with(|| {
                    queue.push_back(one);
                    Hop { from: one, to: at, edge, forced }
                });
            }
        };
        before(at, &mut reach);
        let session = model.session[at as usize];
        if session == NO_SESSION {
            continue;
        }
        let position = model.position[at as usize] as usize;
        let known = seen.entry(session).or_insert(0);
        if position > *known {
            let members = &model.members(session)[*known..position];
            *known = position;
            members
                .iter()
                .filter(|one| is_anchored(model, **one))
                .for_each(|one| reach(*one, Edge::So, None));
        }
    }
    let mut path = Vec::new();
    let mut at = from;
    while at != to {
        let hop = toward.get(&at)?;
        path.push(*hop);
        at = hop.to;
    }
    Some(path)
}
