//! Random small histories of a lazily replicated store, with failed and indeterminate operations.

use rashomon::model::{Function, Kind, Random};

use crate::plain::{Plain, Step};

/// What is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Registers, read and written one at a time.
    Registers,
    /// Registers, read, written and updated.
    Updates,
    /// Registers, some read or written together.
    Snapshots,
    /// Registers that are written once, some read together.
    Once,
    /// Lists, some read together.
    Lists,
    /// Sets, some read together.
    Sets,
}

impl Family {
    fn has_elements(self) -> bool {
        matches!(self, Self::Lists | Self::Sets)
    }

    fn has_snapshots(self) -> bool {
        !matches!(self, Self::Registers | Self::Updates)
    }
}

/// One replica: the writes it applied, in its own order or by their stamps.
#[derive(Clone, Default)]
struct Replica {
    applied: Vec<usize>,
    by_stamp: bool,
}

struct Effect {
    stamp: u64,
    writes: Vec<(usize, i64)>,
}

impl Replica {
    /// The elements written to a key, in the order in which this replica has them.
    fn elements(&self, log: &[Effect], key: usize) -> Vec<i64> {
        let mut order = self.applied.clone();
        if self.by_stamp {
            order.sort_by_key(|at| log[*at].stamp);
        }
        let writes = order.iter().flat_map(|at| &log[*at].writes);
        writes.filter(|write| write.0 == key).map(|write| write.1).collect()
    }
}

/// A history of six to nine operations in two to four sessions, at most four of them writes. A
/// session may span several processes and sometimes talks to the replica of another.
pub(crate) fn history(random: &mut Random, family: Family) -> Vec<Plain> {
    let sessions = 2 + random.below(3) as usize;
    let keys = 1 + random.below(3) as usize;
    let (by_stamp, in_order, wild) = (random.chance(0.6), random.chance(0.6), random.chance(0.5));
    let mut replicas = vec![Replica { by_stamp, ..Replica::default() }; sessions];
    let mut log: Vec<Effect> = Vec::new();
    let mut ops: Vec<Plain> = Vec::new();
    let mut clock = vec![0; sessions];
    let mut process: Vec<u32> = (0..sessions as u32).collect();
    let (mut value, mut used) = (0, vec![false; keys]);
    for _ in 0..6 + random.below(4) {
        let session = random.below(sessions as u64) as usize;
        let home =
            if random.chance(0.2) { random.below(sessions as u64) as usize } else { session };
        for at in 0..log.len() {
            if !replicas[home].applied.contains(&at) {
                if random.chance(0.45) {
                    replicas[home].applied.push(at);
                } else if in_order {
                    break;
                }
            }
        }
        let mut key = random.below(keys as u64) as usize;
        let wants_write =
            random.chance(0.5) && ops.iter().filter(|op| op.writes().next().is_some()).count() < 4;
        let mut writes = wants_write;
        if family == Family::Once && writes {
            match (0..keys).find(|key| !used[*key]) {
                Some(free) => key = free,
                None => writes = false,
            }
        }
        let read = |random: &mut Random, key: usize| {
            let mut there = replicas[home].elements(&log, key);
            if random.chance(if wild { 0.8 } else { 0.02 }) {
                // Anything that anybody ever tried to write, of failed writes but little.
                let failed = random.chance(0.02);
                let all = ops
                    .iter()
                    .filter(|op| failed || op.kind != Kind::Fail)
                    .flat_map(|op| op.writes().collect::<Vec<_>>());
                there = all.filter(|write| write.0 == key).map(|write| write.1).collect();
                if random.chance(0.3) {
                    random.shuffle(&mut there);
                }
                there.truncate(random.below(there.len() as u64 + 1) as usize);
            }
            if family.has_elements() {
                Step::Elements(key, there)
            } else {
                Step::Read(key, there.last().copied())
            }
        };
        let mut write = |key: usize, used: &mut Vec<bool>| {
            value += 1;
            used[key] = true;
            match family {
                Family::Lists => Step::Append(key, value),
                Family::Sets => Step::Add(key, value),
                _ => Step::Write(key, value),
            }
        };
        let (function, steps) = if writes {
            match family {
                Family::Updates if random.chance(0.5) => {
                    (Function::Rmw, vec![read(random, key), write(key, &mut used)])
                }
                Family::Snapshots if keys > 1 && random.chance(0.3) => {
                    let other = (key + 1) % keys;
                    (Function::Txn, vec![write(key, &mut used), write(other, &mut used)])
                }
                Family::Lists => (Function::Append, vec![write(key, &mut used)]),
                Family::Sets => (Function::Add, vec![write(key, &mut used)]),
                _ => (Function::Write, vec![write(key, &mut used)]),
            }
        } else if family.has_snapshots() && random.chance(0.6) {
            (Function::Txn, (0..keys).map(|key| read(random, key)).collect())
        } else {
            (Function::Read, vec![read(random, key)])
        };
        let kind = match random.below(12) {
            0 => Kind::Info,
            1 => Kind::Fail,
            _ => Kind::Ok,
        };
        let written: Vec<(usize, i64)> = steps.iter().filter_map(Step::written).collect();
        if !written.is_empty() && (kind == Kind::Ok || kind == Kind::Info && random.chance(0.6)) {
            log.push(Effect { stamp: random.below(1000), writes: written });
            if kind == Kind::Ok || random.chance(0.5) {
                replicas[home].applied.push(log.len() - 1);
            }
        }
        let invoked = clock[session] + 1 + random.below(4);
        clock[session] = invoked + 1 + random.below(6);
        ops.push(Plain {
            process: process[session],
            session: session as u32,
            kind,
            invoked,
            returned: if kind == Kind::Info { u64::MAX } else { clock[session] },
            function,
            steps,
            is_final: false,
        });
        if kind == Kind::Info {
            process[session] = (sessions + ops.len()) as u32;
        }
    }
    ops
}
