//! The least set of writes that a read must have visible.

use rustc_hash::FxHashMap;

use crate::check::session::guarantees::Guarantees;
use crate::check::session::model::{Model, NO_SESSION};

/// The closure of a set of writes under what monotonic writes (a write brings the earlier writes of
/// its session) and writes follow reads (it brings what its session had read before it) demand.
///
/// Both speak of the operations of a session before a place, so the closure is a frontier, a place a
/// session, and each operation is looked at once: O(operations within the frontier).
pub(super) struct Visible<'m> {
    model: &'m Model,
    guarantees: Guarantees,
    /// The writes, in the order they came in.
    pub(super) writes: Vec<u32>,
    expanded: usize,
    stamp: Vec<u32>,
    now: u32,
    frontier: Vec<u32>,
    moved: Vec<u32>,
    reasons: Option<FxHashMap<u32, Reason>>,
    /// Operations looked at so far.
    pub(super) steps: u64,
}

/// Why a write is visible.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reason {
    /// The session read it by this operation.
    Read(u32),
    /// The session wrote it itself.
    Own,
    /// A later write of its session is visible.
    Before(u32),
    /// This visible write was made after its session had read it, by the second operation.
    ReadBefore(u32, u32),
}

impl<'m> Visible<'m> {
    pub(super) fn new(model: &'m Model, guarantees: Guarantees) -> Self {
        Self {
            model,
            guarantees,
            writes: Vec::new(),
            expanded: 0,
            stamp: vec![0; model.len()],
            now: 1,
            frontier: vec![0; model.session_count()],
            moved: Vec::new(),
            reasons: None,
            steps: 0,
        }
    }

    /// Nothing is visible.
    pub(super) fn clear(&mut self) {
        self.writes.clear();
        self.expanded = 0;
        self.now += 1;
        for session in self.moved.drain(..) {
            self.frontier[session as usize] = 0;
        }
    }

    /// Makes a write visible, and what it brings with it once [`Visible::close`] is called.
    pub(super) fn add(&mut self, write: u32, reason: Reason) {
        let stamp = &mut self.stamp[write as usize];
        if *stamp != self.now {
            *stamp = self.now;
            self.writes.push(write);
            if let Some(reasons) = &mut self.reasons {
                reasons.insert(write, reason);
            }
        }
    }

    /// Makes visible all that the visible writes bring with them.
    pub(super) fn close(&mut self) {
        let model = self.model;
        let writes_before = self.guarantees.has(Guarantees::MONOTONIC_WRITES);
        let reads_before = self.guarantees.has(Guarantees::WRITES_FOLLOW_READS);
        if !writes_before && !reads_before {
            self.expanded = self.writes.len();
            return;
        }
        while let Some(write) = self.writes.get(self.expanded).copied() {
            self.expanded += 1;
            let session = model.session[write as usize];
            if session == NO_SESSION {
                continue;
            }
            let (begin, end) = (self.frontier[session as usize], model.position[write as usize]);
            if end <= begin {
                continue;
            }
            if begin == 0 {
                self.moved.push(session);
            }
            self.frontier[session as usize] = end;
            self.steps += u64::from(end - begin);
            for before in &model.members(session)[begin as usize..end as usize] {
                if !model.ok[*before as usize] {
                    continue;
                }
                if writes_before && model.is_write(*before) {
                    self.add(*before, Reason::Before(write));
                }
                if reads_before {
                    for source in model.read_from(*before) {
                        self.add(source, Reason::ReadBefore(write, *before));
                    }
                }
            }
        }
    }
}

/// The operations by which `session` must have `write` visible when it does `read`, in the order
/// that argues: from what the session itself did to the write.
pub(super) fn explain(
    model: &Model,
    session: u32,
    guarantees: Guarantees,
    read: u32,
    write: u32,
) -> Vec<(u32, Reason)> {
    let mut visible = Visible::new(model, guarantees);
    visible.reasons = Some(FxHashMap::default());
    // The nearest reasons first: the read itself, then what the session did before it.
    for source in model.read_from(read) {
        visible.add(source, Reason::Read(read));
    }
    let before = &model.members(session)[..model.position[read as usize] as usize];
    for op in before.iter().rev().filter(|op| model.ok[**op as usize]) {
        if guarantees.has(Guarantees::READ_YOUR_WRITES) && model.is_write(*op) {
            visible.add(*op, Reason::Own);
        }
        if guarantees.has(Guarantees::MONOTONIC_READS) {
            for source in model.read_from(*op) {
                visible.add(source, Reason::Read(*op));
            }
        }
    }
    visible.close();
    let reasons = visible.reasons.unwrap_or_default();
    let mut chain = Vec::new();
    let mut at = write;
    while let Some(reason) = reasons.get(&at).copied() {
        chain.push((at, reason));
        match reason {
            Reason::Read(_) | Reason::Own => break,
            Reason::Before(later) | Reason::ReadBefore(later, _) => at = later,
        }
    }
    chain.reverse();
    chain
}
