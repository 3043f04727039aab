//! Random histories of 30 to 200 operations on registers, of replicas that apply each other's writes
//! late: causally or not, by stamps or as they come.

use rashomon::model::{Function, Kind, Random};

use crate::plain::{Plain, Step};

struct Write {
    key: usize,
    value: i64,
    stamp: (u64, usize),
    /// How many writes of each origin its replica had applied.
    after: Vec<usize>,
}

/// Origins are the sessions and, each by itself, the indeterminate writes.
struct Replica {
    applied: Vec<usize>,
    shown: Vec<Option<((u64, usize), i64)>>,
    clock: u64,
}

/// Single reads and writes, some failed or indeterminate; now and then a read of anything at all.
pub(crate) fn history(random: &mut Random) -> Vec<Plain> {
    let sessions = 2 + random.below(6) as usize;
    let keys = 1 + random.below(4) as usize;
    let count = 30 + random.below(171);
    let (causal, by_stamp) = (random.chance(0.8), random.chance(0.5));
    let eager = [0.05, 0.3, 0.7][random.below(3) as usize];
    let wild = [0.0, 0.0, 0.01, 0.03][random.below(4) as usize];
    let mut log: Vec<Vec<Write>> = (0..sessions).map(|_| Vec::new()).collect();
    let mut replicas: Vec<Replica> = (0..sessions)
        .map(|_| Replica { applied: vec![0; sessions], shown: vec![None; keys], clock: 0 })
        .collect();
    let mut process: Vec<u32> = (0..sessions as u32).collect();
    let mut written: Vec<Vec<i64>> = vec![Vec::new(); keys];
    let (mut value, mut ops) = (0, Vec::new());
    for at in 0..count {
        let session = random.below(sessions as u64) as usize;
        let replica = &mut replicas[session];
        for _ in 0..4 {
            let origin = random.below(log.len() as u64) as usize;
            replica.applied.resize(log.len(), 0);
            let next = log[origin].get(replica.applied[origin]);
            let Some(write) = next.filter(|_| random.chance(eager)) else { continue };
            let ready = |(known, needed): (&usize, &usize)| known >= needed;
            if !causal || replica.applied.iter().zip(&write.after).all(ready) {
                replica.applied[origin] += 1;
                apply(replica, write, by_stamp);
            }
        }
        let key = random.below(keys as u64) as usize;
        let kind = match random.below(40) {
            0 => Kind::Fail,
            1 => Kind::Info,
            _ => Kind::Ok,
        };
        let (function, step) = if random.chance(0.4) {
            value += 1;
            let after = replica.applied.clone();
            let write = Write { key, value, stamp: (replica.clock + 1, session), after };
            match kind {
                Kind::Ok => {
                    apply(replica, &write, by_stamp);
                    replica.applied[session] += 1;
                    log[session].push(write);
                    written[key].push(value);
                }
                Kind::Info => {
                    log.push(vec![write]);
                    written[key].push(value);
                }
                _ => {}
            }
            (Function::Write, Step::Write(key, value))
        } else if random.chance(wild) {
            let place = random.below(written[key].len() as u64 + 1) as usize;
            (Function::Read, Step::Read(key, written[key].get(place).copied()))
        } else {
            (Function::Read, Step::Read(key, replica.shown[key].map(|shown| shown.1)))
        };
        ops.push(Plain {
            process: process[session],
            session: session as u32,
            kind,
            invoked: 2 * at,
            returned: if kind == Kind::Info { u64::MAX } else { 2 * at + 1 },
            function,
            steps: vec![step],
            is_final: false,
        });
        if kind == Kind::Info {
            process[session] = (sessions + ops.len()) as u32;
        }
    }
    ops
}

fn apply(replica: &mut Replica, write: &Write, by_stamp: bool) {
    replica.clock = replica.clock.max(write.stamp.0);
    let shown = &mut replica.shown[write.key];
    if !by_stamp || shown.is_none_or(|shown| shown.0 < write.stamp) {
        *shown = Some((write.stamp, write.value));
    }
}
