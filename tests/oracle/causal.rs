//! CC, CM, `CCv`, PRAM, CP and CP-S by exhaustion: every order that the definitions speak of.
//!
//! Operations are numbered by invocation and sets of them are bits of a `u32`.

use std::collections::{BTreeMap, BTreeSet};

use rashomon::model::Kind;

use crate::plain::{Plain, Step};

/// What each key holds: the elements of a list or set, the value of a register.
type State = BTreeMap<usize, Vec<i64>>;

/// The operations that take part, and what orders them.
pub(crate) struct Ops<'p> {
    all: Vec<&'p Plain>,
    /// Those before each in its session, none of them indeterminate.
    session: Vec<u32>,
    /// Those each read from; `None` if somebody read what nobody wrote.
    sources: Option<Vec<u32>>,
}

impl<'p> Ops<'p> {
    pub(crate) fn new(plain: &'p [Plain]) -> Self {
        let writes = |op: &Plain| op.writes().next().is_some();
        let mut all: Vec<&Plain> = plain
            .iter()
            .filter(|op| op.kind == Kind::Ok || op.kind == Kind::Info && writes(op))
            .collect();
        all.sort_by_key(|op| op.invoked);
        let session = |at: usize| {
            let earlier = (0..at)
                .filter(|one| all[*one].session == all[at].session && all[*one].kind == Kind::Ok);
            earlier.fold(0, |bits, one| bits | 1 << one)
        };
        let session: Vec<u32> = (0..all.len()).map(session).collect();
        let mut ops = Self { all, session, sources: None };
        ops.sources = (0..ops.all.len()).map(|at| ops.sources_of(at)).collect();
        // What nobody observed of unknown outcome may be taken as never done.
        if let Some(sources) = &ops.sources {
            let observed = sources.iter().fold(0, |bits, one| bits | one);
            let kept: Vec<&Plain> = (0..ops.all.len())
                .filter(|at| ops.all[*at].kind == Kind::Ok || observed & 1 << at != 0)
                .map(|at| ops.all[at])
                .collect();
            if kept.len() < ops.all.len() {
                let kept: Vec<Plain> = kept.into_iter().cloned().collect();
                let again = Ops::new(&kept);
                let (session, sources) = (again.session.clone(), again.sources.clone());
                let mut all: Vec<&'p Plain> = plain.iter().filter(|op| kept.contains(op)).collect();
                all.sort_by_key(|op| op.invoked);
                return Self { all, session, sources };
            }
        }
        ops
    }

    fn sources_of(&self, at: usize) -> Option<u32> {
        if self.all[at].kind != Kind::Ok {
            return Some(0);
        }
        let mut bits = 0;
        for (key, values) in self.all[at].reads() {
            for value in values {
                let writer =
                    self.all.iter().position(|op| op.writes().any(|one| one == (key, value)))?;
                bits |= 1 << writer;
            }
        }
        Some(bits & !(1 << at))
    }

    fn is_write(&self, at: usize) -> bool {
        self.all[at].writes().next().is_some()
    }

    fn is_read(&self, at: usize) -> bool {
        self.all[at].kind == Kind::Ok && self.all[at].reads().next().is_some()
    }

    /// Causal order: for each operation, what comes before it; `None` if it is none.
    fn causal(&self) -> Option<Vec<u32>> {
        let sources = self.sources.as_ref()?;
        closure((0..self.all.len()).map(|at| self.session[at] | sources[at]).collect())
    }

    /// A state after one more operation; `None` if it is checked and read something else.
    fn apply(&self, state: &State, at: usize, checked: bool) -> Option<State> {
        let mut state = state.clone();
        for step in &self.all[at].steps {
            match step {
                Step::Read(key, value) => {
                    let wanted: Vec<i64> = value.iter().copied().collect();
                    if checked && state.get(key).cloned().unwrap_or_default() != wanted {
                        return None;
                    }
                }
                Step::Elements(key, values) => {
                    let (mut held, mut wanted) =
                        (state.get(key).cloned().unwrap_or_default(), values.clone());
                    if self.is_set(*key) {
                        held.sort_unstable();
                        wanted.sort_unstable();
                    }
                    if checked && held != wanted {
                        return None;
                    }
                }
                Step::Write(key, value) => {
                    state.insert(*key, vec![*value]);
                }
                Step::Append(key, value) | Step::Add(key, value) => {
                    state.entry(*key).or_default().push(*value);
                }
            }
        }
        Some(state)
    }

    fn is_set(&self, key: usize) -> bool {
        let mut steps = self.all.iter().flat_map(|op| &op.steps);
        steps.any(|step| matches!(step, Step::Add(one, _) if *one == key))
    }

    /// Whether some order of `ops` that extends `before` is legal for those in `checked`.
    fn serializable(&self, ops: u32, before: &[u32], checked: u32) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![(0_u32, State::new())];
        while let Some((done, state)) = open.pop() {
            if done == ops {
                return true;
            }
            for at in (0..self.all.len()).filter(|at| ops & !done & 1 << at != 0) {
                if before[at] & ops & !done == 0
                    && let Some(next) = self.apply(&state, at, checked & 1 << at != 0)
                    && seen.insert((done | 1 << at, next.clone()))
                {
                    open.push((done | 1 << at, next));
                }
            }
        }
        false
    }

    fn sessions(&self) -> BTreeSet<u32> {
        self.all.iter().map(|op| op.session).collect()
    }

    /// The `ok` operations of a session.
    fn of(&self, session: u32) -> Vec<usize> {
        (0..self.all.len())
            .filter(|at| self.all[*at].session == session && self.all[*at].kind == Kind::Ok)
            .collect()
    }

    pub(crate) fn cc(&self) -> bool {
        self.causal().is_some_and(|causal| {
            (0..self.all.len())
                .filter(|at| self.is_read(*at))
                .all(|at| self.serializable(causal[at] | 1 << at, &causal, 1 << at))
        })
    }

    pub(crate) fn cm(&self) -> bool {
        self.causal().is_some_and(|causal| {
            self.sessions().into_iter().all(|session| {
                let own = self.of(session);
                own.last().is_none_or(|last| {
                    let checked = own.iter().fold(0, |bits, one| bits | 1 << one);
                    self.serializable(causal[*last] | 1 << last, &causal, checked)
                })
            })
        })
    }

    pub(crate) fn pram(&self) -> bool {
        self.sources.is_some()
            && self.sessions().into_iter().all(|session| {
                let own = self.of(session).into_iter().fold(0, |bits, one| bits | 1 << one);
                let seen = self.observed_by(own);
                let ops = (0..self.all.len())
                    .filter(|at| {
                        let present = self.all[*at].kind == Kind::Ok || seen & 1 << at != 0;
                        present && self.is_write(*at) || own & 1 << at != 0
                    })
                    .fold(0, |bits, at| bits | 1 << at);
                self.serializable(ops, &self.session, own)
            })
    }

    fn observed_by(&self, ops: u32) -> u32 {
        let sources = self.sources.iter().flatten().enumerate();
        sources.filter(|(at, _)| ops & 1 << at != 0).fold(0, |bits, (_, one)| bits | one)
    }

    pub(crate) fn ccv(&self) -> bool {
        self.causal().is_some_and(|causal| {
            self.write_orders(&causal).into_iter().any(|order| {
                (0..self.all.len()).filter(|at| self.is_read(*at)).all(|at| {
                    let past = order.iter().filter(|write| causal[at] & 1 << **write != 0);
                    let state = past.fold(State::new(), |state, write| {
                        self.apply(&state, *write, false).expect("nothing is checked")
                    });
                    self.apply(&state, at, true).is_some()
                })
            })
        })
    }

    /// Consistent prefix, or of sessions as well.
    pub(crate) fn cp(&self, in_sessions: bool) -> bool {
        let Some(before) = self.prefix_order() else { return false };
        let mut reads: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for at in (0..self.all.len()).filter(|at| self.is_read(*at) && !self.is_write(*at)) {
            reads.entry(self.all[at].session).or_default().push(at);
        }
        self.write_orders(&before).into_iter().any(|order| {
            let mut states = vec![State::new()];
            for write in &order {
                let last = states.last().expect("the initial state");
                let checked = self.all[*write].kind == Kind::Ok;
                let Some(next) = self.apply(last, *write, checked) else { return false };
                states.push(next);
            }
            reads.values().all(|reads| {
                let mut least = 0;
                reads.iter().all(|read| {
                    let from = if in_sessions { least } else { 0 };
                    let shown = (from..states.len())
                        .find(|at| self.apply(&states[*at], *read, true).is_some());
                    least = shown.unwrap_or_default();
                    shown.is_some()
                })
            })
        })
    }

    /// What comes before each write: the writes of its session before it and what its session had
    /// read by then.
    fn prefix_order(&self) -> Option<Vec<u32>> {
        let sources = self.sources.as_ref()?;
        let writes = (0..self.all.len())
            .filter(|at| self.is_write(*at))
            .fold(0_u32, |bits, at| bits | 1 << at);
        let before = (0..self.all.len())
            .map(|at| {
                let earlier = (0..at).filter(|one| self.session[at] & 1 << one != 0);
                let read = earlier.fold(sources[at], |bits, one| bits | sources[one]);
                if writes & 1 << at == 0 { 0 } else { read | self.session[at] & writes }
            })
            .collect();
        closure(before)
    }

    /// Every order of all writes that extends `before`.
    fn write_orders(&self, before: &[u32]) -> Vec<Vec<usize>> {
        let writes: Vec<usize> = (0..self.all.len()).filter(|at| self.is_write(*at)).collect();
        let all = writes.iter().fold(0_u32, |bits, at| bits | 1 << at);
        let mut orders = Vec::new();
        let mut open = vec![(0_u32, Vec::new())];
        while let Some((done, order)) = open.pop() {
            if done == all {
                orders.push(order);
                continue;
            }
            for at in &writes {
                if done & 1 << at == 0 && before[*at] & all & !done == 0 {
                    let mut next = order.clone();
                    next.push(*at);
                    open.push((done | 1 << at, next));
                }
            }
        }
        orders
    }
}

/// The transitive closure; `None` if something comes before itself.
fn closure(mut before: Vec<u32>) -> Option<Vec<u32>> {
    loop {
        let next: Vec<u32> = before
            .iter()
            .map(|bits| {
                let more = (0..before.len()).filter(|at| bits & 1 << at != 0);
                more.fold(*bits, |all, at| all | before[at])
            })
            .collect();
        if next == before {
            break;
        }
        before = next;
    }
    (0..before.len()).all(|at| before[at] & 1 << at == 0).then_some(before)
}
