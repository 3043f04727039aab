//! The writes of every key, session by session.

use rustc_hash::FxHashMap;

use crate::check::causal::past::is_anchored;
use crate::check::session::model::Model;
use crate::history::KeyId;

/// The writes of every key. Those of one key lie side by side, for whoever reads it asks of them all.
pub(super) struct WritesByKey {
    /// Where the groups of each key begin; one more than there are keys.
    starts: Vec<u32>,
    groups: Vec<Group>,
    ops: Vec<u32>,
    /// Their places in their sessions.
    positions: Vec<u32>,
    loose: FxHashMap<KeyId, Vec<u32>>,
}

/// The anchored writes of one key in one session, in order.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub(super) session: u32,
    begin: u32,
    end: u32,
}

impl WritesByKey {
    /// Of a model; O(n).
    pub(super) fn new(model: &Model) -> Self {
        let all = 0..model.len() as u32;
        let keys = all.clone().flat_map(|op| model.writes(op)).map(|key| key.index() + 1).max();
        let anchored = || {
            let members = (0..model.session_count() as u32).flat_map(|one| model.members(one));
            let members = members.copied().filter(|op| is_anchored(model, *op));
            members.flat_map(|op| model.writes(op).iter().map(move |key| (key.index(), op)))
        };
        let mut ends = vec![0_u32; keys.unwrap_or(0) + 1];
        anchored().for_each(|(key, _)| ends[key + 1] += 1);
        for key in 1..ends.len() {
            ends[key] += ends[key - 1];
        }
        let mut ops = vec![0_u32; ends.last().map_or(0, |all| *all as usize)];
        let mut next = ends.clone();
        for (key, op) in anchored() {
            ops[next[key] as usize] = op;
            next[key] += 1;
        }
        let (mut starts, mut groups) = (vec![0], Vec::<Group>::new());
        for place in ends.windows(2) {
            let first = groups.len();
            for at in place[0]..place[1] {
                let session = model.session[ops[at as usize] as usize];
                match groups[first..].last_mut().filter(|last| last.session == session) {
                    Some(group) => group.end = at + 1,
                    None => groups.push(Group { session, begin: at, end: at + 1 }),
                }
            }
            starts.push(groups.len() as u32);
        }
        let mut loose: FxHashMap<KeyId, Vec<u32>> = FxHashMap::default();
        for op in all.filter(|op| !is_anchored(model, *op)) {
            for key in model.writes(op) {
                loose.entry(*key).or_default().push(op);
            }
        }
        let positions = ops.iter().map(|op| model.position[*op as usize]).collect();
        Self { starts, groups, ops, positions, loose }
    }

    /// The anchored writes of a key, by session.
    pub(super) fn by_session(&self, key: KeyId) -> &[Group] {
        match self.starts.get(key.index()..key.index() + 2) {
            Some(place) => &self.groups[place[0] as usize..place[1] as usize],
            None => &[],
        }
    }

    /// Those of a group among the first `known` operations of the session.
    pub(super) fn known(&self, group: Group, known: u32) -> &[u32] {
        let (begin, end) = (group.begin as usize, group.end as usize);
        let count = self.positions[begin..end].partition_point(|position| *position < known);
        &self.ops[begin..begin + count]
    }

    /// The last of a group at a place from `low` and below `high`, `except` excepted.
    pub(super) fn latest(&self, group: Group, low: u32, high: u32, except: u32) -> Option<u32> {
        let (begin, end) = (group.begin as usize, group.end as usize);
        let positions = &self.positions[begin..end];
        let count = positions.partition_point(|position| *position < high);
        let places = (begin..begin + count).rev();
        // Most have none: it must not cost a look at the operations.
        let mut writes = places.take_while(|at| self.positions[*at] >= low).map(|at| self.ops[at]);
        writes.find(|write| *write != except)
    }

    /// The loose writes of a key.
    pub(super) fn loose(&self, key: KeyId) -> &[u32] {
        self.loose.get(&key).map_or(&[], Vec::as_slice)
    }
}
