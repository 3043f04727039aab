//! 2-atomicity: whether each read may return one of the two latest versions.
//!
//! The order is built from its end (limited backtracking: Golab, Hurwitz and Li, "On the
//! k-Atomicity-Verification Problem", ICDCS 2013). Whatever write comes last, the reads that began after
//! it returned stand behind it; those of them that did not read it read the write before it, so
//! there is at most one such write, and it is forced. Where nothing is forced, the rest may be judged
//! by itself: if the whole is 2-atomic, so is what is left of it without some writes and their reads.

/// A write and when it must be over: by its return, or that of the first read of it.
#[derive(Clone, Copy)]
pub(super) struct Write {
    pub(super) invoked: u32,
    pub(super) over: u32,
}

/// Whether writes and reads, as invocation and write, are 2-atomic; `None` if that takes more than
/// `steps`. O(n log n) and O(n) more for each write that overlaps others.
pub(super) fn is_two_atomic(
    writes: &[Write],
    reads: impl Iterator<Item = (u32, u32)>,
    mut steps: u64,
) -> Option<bool> {
    let mut tail = Tail::new(writes, reads);
    while let Some(latest) = tail.latest() {
        let from = tail.by_over.partition_point(|at| writes[*at as usize].over < latest);
        let last: Vec<u32> =
            tail.by_over[from..].iter().copied().filter(|at| !tail.gone[*at as usize]).collect();
        // Each in turn, as far as twice as many writes: one that is refuted late costs no more than
        // what the one that is not will take.
        let mut most = 16;
        let mut open = last;
        'epoch: loop {
            let mut refuted = Vec::new();
            for at in &open {
                match tail.follow(*at, most, &mut steps)? {
                    Chain::Free => break 'epoch,
                    Chain::Refuted => refuted.push(*at),
                    Chain::Long => {}
                }
            }
            open.retain(|at| !refuted.contains(at));
            if open.is_empty() {
                return Some(false);
            }
            most *= 2;
        }
    }
    Some(true)
}

/// What came of a choice of the last write.
enum Chain {
    /// It and those that it forces may come last, and nothing is forced before them.
    Free,
    /// It cannot come last.
    Refuted,
    /// It forces more writes than were to be looked at.
    Long,
}

/// What is not in order yet.
struct Tail<'w> {
    writes: &'w [Write],
    /// The writes by invocation, and by when they must be over. The last of each is never gone.
    by_invocation: Vec<u32>,
    by_over: Vec<u32>,
    /// The reads by invocation, each with its write; the last is of a write that is not gone.
    reads: Vec<(u32, u32)>,
    gone: Vec<bool>,
}

impl<'w> Tail<'w> {
    fn new(writes: &'w [Write], reads: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut by_invocation: Vec<u32> = (0..writes.len() as u32).collect();
        let mut by_over = by_invocation.clone();
        by_invocation.sort_unstable_by_key(|at| writes[*at as usize].invoked);
        by_over.sort_unstable_by_key(|at| writes[*at as usize].over);
        let mut reads: Vec<(u32, u32)> = reads.collect();
        reads.sort_unstable();
        Self { writes, by_invocation, by_over, reads, gone: vec![false; writes.len()] }
    }

    /// When the last write was invoked; `None` if none is left.
    fn latest(&mut self) -> Option<u32> {
        let gone = &self.gone;
        let is_left = |at: &u32| !gone[*at as usize];
        let cut = |all: &mut Vec<u32>| {
            let left = all.iter().rposition(is_left).map_or(0, |last| last + 1);
            all.truncate(left);
        };
        cut(&mut self.by_invocation);
        cut(&mut self.by_over);
        let left = self.reads.iter().rposition(|(_, at)| is_left(at)).map_or(0, |last| last + 1);
        self.reads.truncate(left);
        self.by_invocation.last().map(|at| self.writes[*at as usize].invoked)
    }

    /// Takes away a write that is to come last, and those that it forces to come before it; puts them
    /// back unless nothing more is forced.
    fn follow(&mut self, last: u32, most: usize, steps: &mut u64) -> Option<Chain> {
        let mut taken = Vec::new();
        let (mut write, mut read) = (self.by_invocation.len(), self.reads.len());
        let mut next = Some(last);
        let chain = loop {
            let Some(at) = next else { break Chain::Free };
            if taken.len() == most {
                break Chain::Long;
            }
            *steps = steps.checked_sub(1)?;
            self.gone[at as usize] = true;
            taken.push(at);
            let over = self.writes[at as usize].over;
            while write > 0 && self.gone[self.by_invocation[write - 1] as usize] {
                write -= 1;
                *steps = steps.checked_sub(1)?;
            }
            let after = write.checked_sub(1).map(|last| self.by_invocation[last]);
            if after.is_some_and(|after| self.writes[after as usize].invoked > over) {
                break Chain::Refuted;
            }
            while read > 0 && self.gone[self.reads[read - 1].1 as usize] {
                read -= 1;
                *steps = steps.checked_sub(1)?;
            }
            next = None;
            let mut is_refuted = false;
            for (invoked, of) in self.reads[..read].iter().rev() {
                if *invoked <= over || is_refuted {
                    break;
                }
                *steps = steps.checked_sub(1)?;
                if !self.gone[*of as usize] {
                    is_refuted = next.is_some_and(|next| next != *of);
                    next = Some(*of);
                }
            }
            if is_refuted {
                break Chain::Refuted;
            }
        };
        if !matches!(chain, Chain::Free) {
            for at in &taken {
                self.gone[*at as usize] = false;
            }
        }
        Some(chain)
    }
}
