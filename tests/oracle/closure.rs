//! CC, CM, `CCv` and PRAM of registers by the closures of the definitions, on histories too long for
//! exhaustion: matrices of bits, and every rule applied until nothing is new (POPL 2017, section 5).

use rashomon::model::Kind;

use crate::plain::Plain;

/// Who is before whom: the bits of a row are those before.
#[derive(Clone)]
struct Before(Vec<Vec<u64>>);

impl Before {
    fn new(len: usize) -> Self {
        Self(vec![vec![0; len.div_ceil(64)]; len])
    }

    fn has(&self, one: usize, other: usize) -> bool {
        self.0[other][one / 64] & 1 << (one % 64) != 0
    }

    fn add(&mut self, one: usize, other: usize) {
        self.0[other][one / 64] |= 1 << (one % 64);
    }

    /// Warshall (1962).
    fn close(&mut self) {
        for through in 0..self.0.len() {
            let row = self.0[through].clone();
            for other in 0..self.0.len() {
                if self.has(through, other) {
                    self.0[other].iter_mut().zip(&row).for_each(|(bits, more)| *bits |= more);
                }
            }
        }
    }

    fn is_cyclic(&self) -> bool {
        (0..self.0.len()).any(|at| self.has(at, at))
    }
}

/// A read: by whom, of which key, from which write.
type Read = (usize, usize, Option<usize>);

/// Whether a history of single reads and writes of values that are written once has PRAM, CC, CM and
/// `CCv`. All reads are of what somebody wrote who did not fail.
pub(crate) fn holds(plain: &[Plain]) -> [bool; 4] {
    let seen: Vec<(usize, i64)> = plain
        .iter()
        .filter(|op| op.kind == Kind::Ok)
        .flat_map(Plain::reads)
        .filter_map(|(key, values)| Some((key, *values.first()?)))
        .collect();
    let takes_part = |op: &&Plain| match op.kind {
        Kind::Ok => true,
        Kind::Info => op.writes().any(|write| seen.contains(&write)),
        _ => false,
    };
    let ops: Vec<&Plain> = plain.iter().filter(takes_part).collect();
    let writes: Vec<Option<(usize, i64)>> = ops.iter().map(|op| op.writes().next()).collect();
    let reads: Vec<Read> = (0..ops.len())
        .filter(|at| ops[*at].kind == Kind::Ok)
        .filter_map(|at| {
            let (key, values) = ops[at].reads().next()?;
            let written = values.first().map(|value| (key, *value));
            let source = written.map(|one| writes.iter().position(|write| *write == Some(one)));
            Some((at, key, source.map(|source| source.expect("somebody wrote it"))))
        })
        .collect();
    let of_key = |key: usize| {
        let writes = writes.iter().enumerate();
        writes.filter(move |(_, one)| one.is_some_and(|one| one.0 == key)).map(|(at, _)| at)
    };
    let mut sessions = Before::new(ops.len());
    for other in 0..ops.len() {
        for one in (0..other).filter(|one| ops[*one].kind == Kind::Ok) {
            if ops[one].session == ops[other].session {
                sessions.add(one, other);
            }
        }
    }
    let with_reads = |counts: &dyn Fn(usize) -> bool| {
        let mut before = sessions.clone();
        for (read, _, source) in reads.iter().filter(|(read, ..)| counts(*read)) {
            if let Some(source) = source {
                before.add(*source, *read);
            }
        }
        before.close();
        before
    };
    // Whether one order explains the reads of one session.
    let explains = |mut before: Before, session: u32| loop {
        let known = before.clone();
        for (read, key, source) in &reads {
            if ops[*read].session != session {
                continue;
            }
            for write in of_key(*key).filter(|write| known.has(*write, *read)) {
                match source {
                    None => return false,
                    Some(source) if *source != write => before.add(write, *source),
                    Some(_) => {}
                }
            }
        }
        before.close();
        if before.is_cyclic() {
            return false;
        }
        if before.0 == known.0 {
            return true;
        }
    };
    let mut all: Vec<u32> = ops.iter().map(|op| op.session).collect();
    all.sort_unstable();
    all.dedup();
    let pram = all
        .iter()
        .all(|session| explains(with_reads(&|read| ops[read].session == *session), *session));
    let causal = with_reads(&|_| true);
    let mut conflicts = causal.clone();
    let mut cc = !causal.is_cyclic();
    for (read, key, source) in &reads {
        for write in of_key(*key).filter(|write| causal.has(*write, *read)) {
            match source {
                None => cc = false,
                Some(source) if *source != write => {
                    cc &= !causal.has(*source, write);
                    conflicts.add(write, *source);
                }
                Some(_) => {}
            }
        }
    }
    conflicts.close();
    let cm = cc && all.iter().all(|session| explains(causal.clone(), *session));
    [pram, cc, cm, cc && !conflicts.is_cyclic()]
}
