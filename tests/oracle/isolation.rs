//! Levels of isolation by exhaustion: every order of the committed transactions is tried, and each
//! level is checked by its definition. Shares no code with the checkers.

use std::collections::BTreeMap;

use rashomon::check::Property;
use rashomon::model::Kind;

use crate::plain::{Plain, Step};

/// The levels, in the order of the bits of [`levels`].
pub(crate) const LEVELS: [Property; 18] = [
    Property::Rc,
    Property::SsRc,
    Property::Ra,
    Property::SsRa,
    Property::Tcc,
    Property::SsTcc,
    Property::Psi,
    Property::SsPsi,
    Property::SPsi,
    Property::Pc,
    Property::SsPc,
    Property::SPc,
    Property::Si,
    Property::SsSi,
    Property::SSi,
    Property::Ser,
    Property::SsSer,
    Property::Sser,
];

type State = BTreeMap<usize, Vec<i64>>;

/// A read: its key, who wrote each of its values, whether it is external.
struct Seen {
    key: usize,
    writers: Vec<usize>,
    is_external: bool,
}

struct World<'a> {
    txns: Vec<&'a Plain>,
    is_list: BTreeMap<usize, bool>,
    seen: Vec<Vec<Seen>>,
    writes: Vec<Vec<usize>>,
    so: Vec<Vec<bool>>,
    rt: Vec<Vec<bool>>,
    /// Which of the levels that are said in terms of reads-from may hold.
    allowed: u32,
    /// The writers that an order must have before a reader: of all reads.
    before: Vec<(usize, usize)>,
    longest: Vec<(usize, Vec<i64>)>,
}

/// The levels that hold, one bit each.
pub(crate) fn levels(all: &[Plain]) -> u32 {
    let world = World::new(all);
    let mut holds = 0;
    let mut order = Vec::new();
    world.orders(&mut order, &mut holds);
    holds
}

impl<'a> World<'a> {
    fn new(all: &'a [Plain]) -> Self {
        let mut is_list = BTreeMap::new();
        for step in all.iter().flat_map(|op| &op.steps) {
            match step {
                Step::Append(key, _) | Step::Elements(key, _) => is_list.insert(*key, true),
                Step::Write(key, _) | Step::Read(key, _) => is_list.insert(*key, false),
                Step::Add(..) => panic!("no sets"),
            };
        }
        let wrote = |op: &Plain, key, value| op.writes().any(|write| write == (key, value));
        let ok = |op: &&Plain| op.kind == Kind::Ok;
        let observed = |op: &Plain| {
            op.writes().any(|(key, value)| {
                all.iter().filter(ok).any(|reader| {
                    reader.reads().any(|(one, values)| one == key && values.contains(&value))
                })
            })
        };
        let mut txns: Vec<&Plain> = all
            .iter()
            .filter(|op| op.kind == Kind::Ok || op.kind == Kind::Info && observed(op))
            .collect();
        txns.sort_by_key(|op| op.invoked);
        let n = txns.len();
        let (mut rc, mut ra) = (true, true);
        let mut seen = Vec::new();
        let mut before = Vec::new();
        let mut longest: Vec<(usize, Vec<i64>)> = Vec::new();
        for (at, op) in txns.iter().enumerate() {
            let mut reads = Vec::new();
            let mut known: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
            let mut own: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
            let mut wrote_key: BTreeMap<usize, bool> = BTreeMap::new();
            for step in &op.steps {
                if let Some((key, value)) = step.written() {
                    wrote_key.insert(key, true);
                    if is_list[&key] {
                        own.entry(key).or_default().push(value);
                    } else {
                        known.insert(key, vec![value]);
                    }
                }
                let Some((key, values)) = step.read().filter(|_| op.kind == Kind::Ok) else {
                    continue;
                };
                let mut writers = Vec::new();
                for value in &values {
                    match txns.iter().position(|one| wrote(one, key, *value)) {
                        Some(writer) => writers.push(writer),
                        None => rc = false,
                    }
                }
                let mut unique = values.clone();
                unique.sort_unstable();
                unique.dedup();
                rc &= unique.len() == values.len();
                if let (Some(last), Some(writer)) = (values.last(), writers.last()) {
                    let writes = txns[*writer].writes().filter(|(one, _)| *one == key);
                    let is_final = writes.last().map(|(_, value)| value) == Some(*last);
                    rc &= is_final || *writer == at;
                }
                let own = own.entry(key).or_default();
                let fits = values.ends_with(own);
                let base: Vec<i64> =
                    if fits { values[..values.len() - own.len()].to_vec() } else { values.clone() };
                let agrees = fits && known.get(&key).is_none_or(|known| *known == base);
                let has_written = wrote_key.contains_key(&key);
                if own.is_empty() || agrees {
                    longest.push((key, base.clone()));
                }
                let is_external = !known.contains_key(&key) && agrees;
                ra &= agrees;
                if !fits || !is_list[&key] && has_written && !agrees {
                    // It misses what it wrote itself.
                    rc = false;
                    own.clear();
                }
                known.insert(key, base.clone());
                let external: Vec<usize> = writers.iter().copied().take(base.len()).collect();
                if external.contains(&at) && (is_list[&key] || !has_written) {
                    // It read what it only wrote later.
                    rc = false;
                }
                before.extend(writers.iter().filter(|one| **one != at).map(|one| (*one, at)));
                if agrees && has_written && !is_external {
                    // What it knew before, with its own appends: it asked nobody.
                    continue;
                }
                reads.push(Seen { key, writers: external, is_external });
            }
            seen.push(reads);
        }
        for (key, one) in &longest {
            for (other_key, other) in &longest {
                if key == other_key && is_list[key] {
                    let shared = one.len().min(other.len());
                    rc &= one[..shared] == other[..shared];
                }
            }
        }
        let writes = txns
            .iter()
            .map(|op| {
                let mut keys: Vec<usize> = op.writes().map(|(key, _)| key).collect();
                keys.sort_unstable();
                keys.dedup();
                keys
            })
            .collect();
        let relation = |related: &dyn Fn(&Plain, &Plain) -> bool| -> Vec<Vec<bool>> {
            txns.iter().map(|a| txns.iter().map(|b| related(a, b)).collect()).collect()
        };
        let so = relation(&|a, b| {
            a.session == b.session && a.invoked < b.invoked && a.kind != Kind::Info
        });
        let rt = relation(&|a, b| a.returned < b.invoked);
        let mut allowed = 0;
        for (at, level) in LEVELS.iter().enumerate() {
            let is = match level {
                Property::Rc | Property::SsRc => rc,
                _ => rc && ra,
            };
            allowed |= u32::from(is) << at;
        }
        assert!(n <= 7);
        Self { txns, is_list, seen, writes, so, rt, allowed, before, longest }
    }

    fn orders(&self, order: &mut Vec<usize>, holds: &mut u32) {
        if order.len() == self.txns.len() {
            *holds |= self.judge(order);
            return;
        }
        for next in 0..self.txns.len() {
            if !order.contains(&next) {
                order.push(next);
                self.orders(order, holds);
                order.pop();
            }
        }
    }

    fn judge(&self, order: &[usize]) -> u32 {
        let n = order.len();
        let mut place = vec![0; n];
        for (at, txn) in order.iter().enumerate() {
            place[*txn] = at;
        }
        let extends = |relation: &Vec<Vec<bool>>| {
            (0..n).all(|a| (0..n).all(|b| !relation[a][b] || place[a] < place[b]))
        };
        let (so, rt) = (extends(&self.so), extends(&self.rt));
        let reads_first = self.before.iter().all(|(a, b)| place[*a] < place[*b]);
        let lists_agree =
            self.longest.iter().filter(|(key, _)| self.is_list[key]).all(|(key, read)| {
                let all: Vec<i64> = order
                    .iter()
                    .flat_map(|txn| self.txns[*txn].writes().filter(|(one, _)| one == key))
                    .map(|(_, value)| value)
                    .collect();
                all.starts_with(read)
            });
        let mut holds = 0;
        let mut say = |level: Property, is: bool| {
            let bit = LEVELS.iter().position(|one| *one == level).expect("a level");
            holds |= u32::from(is) << bit;
        };
        let nothing = vec![vec![false; n]; n];
        let both: Vec<Vec<bool>> =
            (0..n).map(|a| (0..n).map(|b| self.so[a][b] || self.rt[a][b]).collect()).collect();
        if reads_first && lists_agree {
            let allowed = |level: Property| {
                let bit = LEVELS.iter().position(|one| *one == level).expect("a level");
                self.allowed >> bit & 1 == 1
            };
            let mut wr = nothing.clone();
            for (reader, reads) in self.seen.iter().enumerate() {
                for read in reads.iter().filter(|read| read.is_external) {
                    if let Some(writer) = read.writers.last() {
                        wr[*writer][reader] |= *writer != reader;
                    }
                }
            }
            let session_or = |relation: &Vec<Vec<bool>>| -> Vec<Vec<bool>> {
                (0..n).map(|a| (0..n).map(|b| self.so[a][b] || relation[a][b]).collect()).collect()
            };
            say(Property::Rc, allowed(Property::Rc));
            say(Property::SsRc, allowed(Property::SsRc) && so && self.reads_grow(&place));
            let sees = |seen: &Vec<Vec<bool>>| self.axiom(&place, seen);
            say(Property::Ra, allowed(Property::Ra) && sees(&wr));
            say(Property::SsRa, allowed(Property::SsRa) && so && sees(&session_or(&wr)));
            say(Property::Tcc, allowed(Property::Tcc) && sees(&closure(&wr)));
            let causal = closure(&session_or(&wr));
            say(Property::SsTcc, allowed(Property::SsTcc) && so && sees(&causal));
            let parallel = |more: &Vec<Vec<bool>>| self.is_parallel(&place, &wr, more);
            say(Property::Psi, allowed(Property::Psi) && parallel(&nothing));
            say(Property::SsPsi, allowed(Property::SsPsi) && so && parallel(&self.so));
            say(Property::SPsi, allowed(Property::SPsi) && so && rt && parallel(&both));
        }
        let mut states = vec![State::new()];
        for txn in order {
            let mut state = states[states.len() - 1].clone();
            self.run(&mut state, *txn, false);
            states.push(state);
        }
        let serial = (0..n).all(|at| self.run(&mut states[at].clone(), order[at], true));
        say(Property::Ser, serial);
        say(Property::SsSer, serial && so);
        say(Property::Sser, serial && so && rt);
        let snapshot = |relation: &Vec<Vec<bool>>, may_conflict: bool| {
            (0..n).all(|at| {
                let txn = order[at];
                (0..=at).any(|begin| {
                    (0..n).all(|other| !relation[other][txn] || place[other] < begin)
                        && (may_conflict
                            || order[begin..at].iter().all(|other| {
                                !self.writes[*other].iter().any(|k| self.writes[txn].contains(k))
                            }))
                        && self.run(&mut states[begin].clone(), txn, true)
                })
            })
        };
        say(Property::Si, snapshot(&nothing, false));
        say(Property::Pc, snapshot(&nothing, true));
        say(Property::SsSi, snapshot(&self.so, false));
        say(Property::SsPc, snapshot(&self.so, true));
        say(Property::SSi, snapshot(&both, false));
        say(Property::SPc, snapshot(&both, true));
        holds
    }

    /// Runs a transaction; whether every read is right, if that is asked for.
    fn run(&self, state: &mut State, txn: usize, check: bool) -> bool {
        let op = self.txns[txn];
        for step in &op.steps {
            match step {
                Step::Write(key, value) => {
                    state.insert(*key, vec![*value]);
                }
                Step::Append(key, value) => state.entry(*key).or_default().push(*value),
                Step::Read(..) | Step::Elements(..) => {
                    let (key, values) = step.read().expect("a read");
                    let now = state.get(&key).cloned().unwrap_or_default();
                    if check && op.kind == Kind::Ok && now != values {
                        return false;
                    }
                }
                Step::Add(..) => {}
            }
        }
        true
    }

    /// Who is seen and writes the key came before the writer.
    fn axiom(&self, place: &[usize], sees: &[Vec<bool>]) -> bool {
        (0..place.len()).all(|reader| {
            self.seen[reader].iter().filter(|read| read.is_external).all(|read| {
                let writer = read.writers.last();
                (0..place.len()).all(|other| {
                    Some(&other) == writer
                        || other == reader
                        || !sees[other][reader]
                        || !self.writes[other].contains(&read.key)
                        || writer.is_some_and(|writer| place[other] < place[*writer])
                })
            })
        })
    }

    /// The same of whom it read from before, in its own order.
    fn reads_grow(&self, place: &[usize]) -> bool {
        (0..place.len()).all(|reader| {
            let reads = &self.seen[reader];
            (0..reads.len()).all(|at| {
                let writer = reads[at].writers.last();
                reads[..at].iter().filter_map(|read| read.writers.last()).all(|other| {
                    Some(other) == writer
                        || *other == reader
                        || writer == Some(&reader)
                        || !self.writes[*other].contains(&reads[at].key)
                        || self.is_own(reader, at)
                        || writer.is_some_and(|writer| place[*other] < place[*writer])
                })
            })
        })
    }

    /// Whether a read is of an own write of a register.
    fn is_own(&self, reader: usize, at: usize) -> bool {
        self.seen[reader][at].writers.contains(&reader)
    }

    fn is_parallel(&self, place: &[usize], wr: &[Vec<bool>], more: &[Vec<bool>]) -> bool {
        let n = place.len();
        let shares = |a: usize, b: usize| self.writes[a].iter().any(|k| self.writes[b].contains(k));
        let edges: Vec<Vec<bool>> = (0..n)
            .map(|a| {
                (0..n)
                    .map(|b| wr[a][b] || more[a][b] || place[a] < place[b] && shares(a, b))
                    .collect()
            })
            .collect();
        let reach = closure(&edges);
        (0..n).all(|reader| {
            self.seen[reader].iter().filter(|read| read.is_external).all(|read| {
                let since = read.writers.last().map_or(0, |writer| place[*writer] + 1);
                (0..n).all(|other| {
                    other == reader
                        || place[other] < since
                        || !self.writes[other].contains(&read.key)
                        || !reach[other][reader]
                })
            })
        })
    }
}

fn closure(relation: &[Vec<bool>]) -> Vec<Vec<bool>> {
    let mut all = relation.to_vec();
    for through in 0..all.len() {
        for from in 0..all.len() {
            if all[from][through] {
                let further = all[through].clone();
                for (reached, more) in all[from].iter_mut().zip(further) {
                    *reached |= more;
                }
            }
        }
    }
    all
}
