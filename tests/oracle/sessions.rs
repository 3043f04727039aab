//! Session guarantees by exhaustion: every total order of the writes, every set of visible writes.

use std::collections::BTreeMap;

use rashomon::model::Kind;

use crate::plain::{Plain, Step};

/// RYW, MR, MW, WFR as bits.
pub(crate) const RYW: u8 = 1;
pub(crate) const MR: u8 = 2;
pub(crate) const MW: u8 = 4;
pub(crate) const WFR: u8 = 8;

/// Which of the sixteen sets of guarantees have a view in every session, as bits of a `u16`; 0 if a
/// read saw what nobody wrote. At most eight writes.
pub(crate) fn satisfied(plain: &[Plain]) -> u16 {
    sessions(plain).map_or(0, |all| all.into_iter().fold(u16::MAX, |both, (_, one)| both & one))
}

/// The same, session by session.
pub(crate) fn sessions(plain: &[Plain]) -> Option<Vec<(u32, u16)>> {
    let ops = Ops::new(plain)?;
    let mut names: Vec<u32> = ops.all.iter().map(|op| op.session).collect();
    names.sort_unstable();
    names.dedup();
    Some(names.into_iter().map(|name| (name, ops.session(name))).collect())
}

fn is_write(op: &Plain) -> bool {
    op.writes().next().is_some()
}

fn is_read(op: &Plain) -> bool {
    op.reads().next().is_some()
}

struct Ops<'p> {
    /// Those that take part, by invocation.
    all: Vec<&'p Plain>,
    /// What each read from.
    from: Vec<Vec<usize>>,
    /// The writes, and the place of each operation among them.
    writes: Vec<usize>,
    place: Vec<Option<usize>>,
}

impl<'p> Ops<'p> {
    fn new(plain: &'p [Plain]) -> Option<Self> {
        let mut all: Vec<&Plain> = plain.iter().collect();
        all.sort_by_key(|op| op.invoked);
        let writer = |key: usize, value: i64| {
            all.iter().position(|op| op.writes().any(|one| one == (key, value)))
        };
        let mut observed = vec![false; all.len()];
        for (at, op) in all.iter().enumerate().filter(|(_, op)| op.kind == Kind::Ok) {
            for (key, values) in op.reads() {
                for value in values {
                    let by = writer(key, value).filter(|by| all[*by].kind != Kind::Fail)?;
                    observed[by] |= by != at;
                }
            }
        }
        let kept: Vec<&Plain> = (0..all.len())
            .filter(|at| match all[*at].kind {
                Kind::Ok => true,
                Kind::Info => observed[*at],
                _ => false,
            })
            .map(|at| all[at])
            .collect();
        let all = kept;
        let writer = |key: usize, value: i64| {
            all.iter().position(|op| op.writes().any(|one| one == (key, value)))
        };
        let from = (0..all.len())
            .map(|at| {
                let op = all[at];
                let mut from: Vec<usize> = Vec::new();
                if op.kind == Kind::Ok {
                    for (key, values) in op.reads() {
                        from.extend(values.iter().filter_map(|value| writer(key, *value)));
                    }
                }
                from.retain(|by| *by != at);
                from
            })
            .collect();
        let writes: Vec<usize> = (0..all.len()).filter(|at| is_write(all[*at])).collect();
        let place = (0..all.len()).map(|at| writes.iter().position(|one| *one == at)).collect();
        assert!(writes.len() <= 8, "too many writes to try all orders");
        Some(Self { all, from, writes, place })
    }

    /// Session order: none out of what is indeterminate.
    fn so(&self, one: usize, other: usize) -> bool {
        one < other
            && self.all[one].session == self.all[other].session
            && self.all[one].kind != Kind::Info
    }

    fn session(&self, session: u32) -> u16 {
        let mut satisfied = 0;
        let mine: Vec<usize> = (0..self.all.len())
            .filter(|at| self.all[*at].session == session && self.all[*at].kind == Kind::Ok)
            .collect();
        let brings: Vec<Vec<(usize, usize)>> = (0..16).map(|set| self.brings(set)).collect();
        let mut order: Vec<usize> = (0..self.writes.len()).collect();
        each_order(&mut order, 0, &mut |order| {
            let Some(mut shown) = self.updates_fit(order).then(|| vec![None; mine.len()]) else {
                return false;
            };
            // What fits a set fits each of its subsets.
            for set in (0..16_u8)
                .rev()
                .filter(|set| self.orders_fit(session, *set, order, &brings[*set as usize]))
            {
                if satisfied & 1 << set == 0
                    && self.assign(&mine, &mut shown, set, order, &brings[set as usize], 0, 0)
                {
                    for less in (0..16_u8).filter(|less| less & !set == 0) {
                        satisfied |= 1 << less;
                    }
                }
            }
            satisfied == u16::MAX
        });
        satisfied
    }

    /// Pairs of writes of which the first must come first and be visible with the second.
    fn brings(&self, guarantees: u8) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for (b, later) in self.writes.iter().enumerate() {
            for earlier in 0..self.all.len() {
                if !self.so(earlier, *later) {
                    continue;
                }
                if let Some(a) = self.place[earlier].filter(|_| guarantees & MW != 0) {
                    pairs.push((a, b));
                }
                if guarantees & WFR != 0 {
                    let sources = self.from[earlier].iter().filter(|by| *by != later);
                    pairs.extend(sources.map(|by| (self.place[*by].expect("a writer"), b)));
                }
            }
        }
        pairs
    }

    /// Whether every update comes after what it read.
    fn updates_fit(&self, order: &[usize]) -> bool {
        let at = |write: usize| order.iter().position(|one| *one == write).expect("a write");
        self.writes.iter().enumerate().all(|(b, later)| {
            !is_read(self.all[*later])
                || self.from[*later].iter().all(|by| at(self.place[*by].expect("a writer")) < at(b))
        })
    }

    /// Whether the order is one that the guarantees allow.
    fn orders_fit(
        &self,
        session: u32,
        guarantees: u8,
        order: &[usize],
        brings: &[(usize, usize)],
    ) -> bool {
        let mut position = [0; 8];
        for (at, write) in order.iter().enumerate() {
            position[*write] = at;
        }
        if brings.iter().any(|(a, b)| position[*a] > position[*b]) {
            return false;
        }
        // Own writes of one key are ordered as issued.
        guarantees & RYW == 0
            || self.writes.iter().enumerate().all(|(b, later)| {
                self.writes.iter().enumerate().all(|(a, earlier)| {
                    let same = self.all[*later].session == session
                        && self.so(*earlier, *later)
                        && self.all[*earlier].writes().any(|(key, _)| {
                            self.all[*later].writes().any(|(other, _)| other == key)
                        });
                    !same || position[a] < position[b]
                })
            })
    }

    /// Whether visible sets can be chosen for the operations `mine`. `shown` keeps, for each of them,
    /// the sets that show what it read.
    #[expect(clippy::too_many_arguments, reason = "a search and its state")]
    fn assign(
        &self,
        mine: &[usize],
        shown: &mut [Option<Vec<u32>>],
        guarantees: u8,
        order: &[usize],
        brings: &[(usize, usize)],
        before: u32,
        own: u32,
    ) -> bool {
        let Some((op, rest)) = mine.split_first() else { return true };
        let Some((sets, later)) = shown.split_first_mut() else { return true };
        let place = self.place[*op];
        let then = own | place.map_or(0, |at| 1 << at);
        if !is_read(self.all[*op]) {
            return self.assign(rest, later, guarantees, order, brings, before, then);
        }
        let sets = sets.get_or_insert_with(|| {
            let mut all: Vec<u32> = (0..1_u32 << order.len()).collect();
            all.retain(|set| {
                place.is_none_or(|at| set & 1 << at == 0) && self.shows(*op, order, *set)
            });
            all
        });
        sets.iter().any(|visible| {
            let has = |at: usize| visible & 1 << at != 0;
            (guarantees & RYW == 0 || own & !visible == 0)
                && (guarantees & MR == 0 || before & !visible == 0)
                && brings.iter().all(|(a, b)| !has(*b) || has(*a))
                && self.assign(rest, later, guarantees, order, brings, *visible, then)
        })
    }

    /// Whether an operation reads what the visible writes leave behind.
    fn shows(&self, op: usize, order: &[usize], visible: u32) -> bool {
        let mut state: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        for write in order.iter().filter(|write| visible & 1 << **write != 0) {
            for step in &self.all[self.writes[*write]].steps {
                match step {
                    Step::Write(key, value) => {
                        state.insert(*key, vec![*value]);
                    }
                    Step::Append(key, value) | Step::Add(key, value) => {
                        state.entry(*key).or_default().push(*value);
                    }
                    Step::Read(..) | Step::Elements(..) => {}
                }
            }
        }
        let is_set = |key: usize| {
            self.all.iter().any(|op| {
                op.steps.iter().any(|step| matches!(step, Step::Add(one, _) if *one == key))
            })
        };
        self.all[op].reads().all(|(key, mut seen)| {
            let mut shown = state.get(&key).cloned().unwrap_or_default();
            if is_set(key) {
                seen.sort_unstable();
                shown.sort_unstable();
            }
            seen == shown
        })
    }
}

/// Tries every order until `found` says that it is enough.
fn each_order(order: &mut Vec<usize>, at: usize, found: &mut impl FnMut(&[usize]) -> bool) -> bool {
    if at == order.len() {
        return found(order);
    }
    for other in at..order.len() {
        order.swap(at, other);
        if each_order(order, at + 1, found) {
            return true;
        }
        order.swap(at, other);
    }
    false
}
