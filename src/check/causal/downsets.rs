//! What comes before each operation of one session: of every session a prefix, so a number a session.

use rustc_hash::FxHashMap;

use crate::check::causal::past::{Past, is_anchored, reads};
use crate::check::session::model::{Model, NO_SESSION};

/// What comes before what, to begin with.
#[derive(Clone, Copy)]
pub(super) enum Base<'p> {
    /// Causal order.
    Causal(&'p Past<'p>),
    /// Session order, and the reads of the session alone.
    Sessions,
}

/// The downset of each operation of a session, each a part of the next.
///
/// The *rank* of an operation is the place of the first of them that it is in.
pub(super) struct Downsets<'p> {
    model: &'p Model,
    base: Base<'p>,
    /// The operations whose downsets these are, in order.
    pub(super) own: Vec<u32>,
    width: usize,
    /// How many operations of each session are in each downset: a row each.
    known: Vec<u32>,
    /// The ranks of loose operations, but for those that follow from the ranks of their readers.
    loose: FxHashMap<u32, u32>,
}

/// Operations of a session that came into a downset, by their places.
pub(super) struct Raised {
    pub(super) session: u32,
    pub(super) begin: u32,
    pub(super) end: u32,
}

/// The rank of what is in no downset.
pub(super) const NEVER: u32 = u32::MAX;

impl<'p> Downsets<'p> {
    /// Those of a session by `base` alone; O(operations of the session · sessions).
    pub(super) fn new(model: &'p Model, base: Base<'p>, session: u32) -> Self {
        let own = model.members(session).iter().copied().filter(|op| is_anchored(model, *op));
        let own: Vec<u32> = own.collect();
        let width = model.session_count();
        let known = Vec::with_capacity(own.len() * width);
        let mut downsets = Self { model, base, own, width, known, loose: FxHashMap::default() };
        for at in 0..downsets.own.len() {
            downsets.begin(at);
        }
        downsets
    }

    fn begin(&mut self, at: usize) {
        let (model, width, op) = (self.model, self.width, self.own[at]);
        let row = at * width;
        match self.base {
            Base::Causal(past) => self.known.extend_from_slice(past.row(op)),
            Base::Sessions if at == 0 => self.known.resize(width, 0),
            Base::Sessions => self.known.extend_from_within(row - width..),
        }
        if matches!(self.base, Base::Sessions) {
            for source in reads(model, op).iter().flat_map(|read| model.sources(read)) {
                let (session, position) =
                    (model.session[*source as usize], model.position[*source as usize]);
                if !is_anchored(model, *source) {
                    self.loose.entry(*source).or_insert(at as u32);
                }
                if session != NO_SESSION {
                    let known = &mut self.known[row + session as usize];
                    *known = (*known).max(position + u32::from(is_anchored(model, *source)));
                }
            }
        }
        let known = &mut self.known[row + model.session[op as usize] as usize];
        *known = (*known).max(model.position[op as usize] + 1);
    }

    /// How many operations of each session are in the downset of the own operation at a place.
    pub(super) fn row(&self, at: u32) -> &[u32] {
        &self.known[at as usize * self.width..(at as usize + 1) * self.width]
    }

    /// Whether an operation is in the downset of the own operation at a place.
    pub(super) fn holds(&self, at: u32, op: u32) -> bool {
        let row = self.row(at);
        if is_anchored(self.model, op) {
            return self.model.position[op as usize]
                < row[self.model.session[op as usize] as usize];
        }
        self.loose.get(&op).is_some_and(|rank| *rank <= at)
            || self.readers(op).iter().any(|(session, place)| *place < row[*session as usize])
    }

    /// Those who take a loose operation with them into a downset.
    pub(super) fn readers(&self, op: u32) -> &'p [(u32, u32)] {
        match self.base {
            Base::Causal(past) => past.readers(op),
            Base::Sessions => &[],
        }
    }

    /// The first downset that an operation is in.
    pub(super) fn rank(&self, op: u32) -> u32 {
        let (mut low, mut high) = (0, self.own.len() as u32);
        while low < high {
            let middle = low.midpoint(high);
            if self.holds(middle, op) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        if low < self.own.len() as u32 { low } else { NEVER }
    }

    /// Puts an operation and its past into the downset at `rank` and those after it; tells what came
    /// into the first of them, and counts each change as a step.
    pub(super) fn put(&mut self, op: u32, rank: u32, steps: &mut u64) -> Option<Vec<Raised>> {
        let model = self.model;
        let mut raised = Vec::new();
        let anchored = is_anchored(model, op);
        if !anchored {
            self.loose.insert(op, rank);
        }
        let session = model.session[op as usize];
        if session != NO_SESSION {
            let known = model.position[op as usize] + u32::from(anchored);
            self.raise(session, known, rank, &mut raised, steps)?;
        }
        if let Base::Causal(past) = self.base {
            *steps = steps.checked_sub(self.width as u64 / 16)?;
            for (other, known) in (0..).zip(past.row(op)) {
                if other != session {
                    self.raise(other, *known, rank, &mut raised, steps)?;
                }
            }
        }
        Some(raised)
    }

    fn raise(
        &mut self,
        session: u32,
        known: u32,
        rank: u32,
        raised: &mut Vec<Raised>,
        steps: &mut u64,
    ) -> Option<()> {
        let first = rank as usize * self.width + session as usize;
        let begin = self.known[first];
        if begin >= known {
            return Some(());
        }
        raised.push(Raised { session, begin, end: known });
        for old in self.known[first..].iter_mut().step_by(self.width) {
            if *old >= known {
                break;
            }
            *steps = steps.checked_sub(1)?;
            *old = known;
        }
        Some(())
    }
}
