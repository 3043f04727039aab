//! Locks, tokens and leadership by definition (ANOMALIES section 7), every pair compared. Shares no code
//! with the checkers.

use rashomon::history::{Access, Builder, History, Operation, ValueId};
use rashomon::model::{Function, Kind, Random, Value};

use crate::operation::operation;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// With the token that came with it.
    Acquire(Option<i64>),
    Release,
    /// A node leads in a term, an epoch or neither.
    Leader {
        node: usize,
        term: Option<i64>,
        epoch: Option<i64>,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed {
    pub(crate) session: u32,
    pub(crate) act: Act,
    pub(crate) kind: Kind,
    pub(crate) invoked: u64,
    /// `u64::MAX` if its outcome is unknown.
    pub(crate) returned: u64,
}

pub(crate) fn build(deeds: &[Deed]) -> History {
    let mut builder = Builder::new();
    for (number, deed) in (0..).zip(deeds) {
        let number_or_null = |number: Option<i64>| number.map_or(Value::Null, Value::Int);
        let (function, value, node) = match deed.act {
            Act::Acquire(token) => (Function::Acquire, number_or_null(token), None),
            Act::Release => (Function::Release, Value::Null, None),
            Act::Leader { node, term, epoch } => {
                let fields = [("term", term), ("epoch", epoch)];
                let fields = fields.into_iter().filter(|(_, number)| number.is_some());
                let fields = fields.map(|(name, number)| (name.into(), number_or_null(number)));
                let node = builder.node(["n1", "n2", "n3"][node]);
                (Function::Leader, Value::Map(fields.collect()), Some(node))
            }
        };
        let is_answer = deed.kind == Kind::Ok || function == Function::Release;
        let value = if is_answer { builder.value(&value) } else { ValueId::UNKNOWN };
        let access = Access { function, key: builder.key(&"L".into()), value };
        let made = operation(number, function, deed.kind, deed.invoked, deed.returned);
        let made = Operation { session: Some(deed.session), node, ..made };
        builder.operation(made, &[access]).expect("well-formed");
    }
    builder.finish().expect("well-formed")
}

/// Whether two sessions surely held the lock at one time, or one got it within a hold of another.
pub(crate) fn double_hold(deeds: &[Deed]) -> bool {
    let acquired =
        deeds.iter().filter(|deed| matches!(deed.act, Act::Acquire(_)) && deed.kind == Kind::Ok);
    let holds: Vec<(&Deed, Option<u64>)> = acquired
        .map(|acquire| {
            let releases = deeds.iter().filter(|deed| {
                deed.act == Act::Release
                    && deed.session == acquire.session
                    && deed.invoked > acquire.returned
            });
            let first = releases.min_by_key(|release| release.invoked);
            (acquire, first.filter(|one| one.kind != Kind::Fail).map(|one| one.invoked))
        })
        .collect();
    holds.iter().any(|(one, until)| {
        let Some(until) = until else { return false };
        holds.iter().filter(|(other, _)| other.session != one.session).any(|(other, end)| match end
        {
            Some(end) => one.returned.max(other.returned) < *until.min(end),
            None => one.returned < other.invoked && other.returned < *until,
        })
    })
}

/// Whether some order of all operations explains who took the lock and who gave it back. A session that
/// has not tried to take it before gives it back for whoever holds it.
pub(crate) fn is_linearizable(deeds: &[Deed]) -> bool {
    let deeds: Vec<&Deed> = deeds.iter().filter(|deed| deed.kind != Kind::Fail).collect();
    let is_its_own = |release: &Deed| {
        deeds.iter().any(|deed| {
            deed.session == release.session
                && deed.act != Act::Release
                && deed.invoked < release.invoked
        })
    };
    let mut open: Vec<(u32, Option<u32>)> = vec![(0, None)];
    let mut seen = std::collections::BTreeSet::new();
    while let Some((done, holder)) = open.pop() {
        let left = |at: usize| done >> at & 1 == 0;
        if (0..deeds.len()).all(|at| !left(at) || deeds[at].kind == Kind::Info) {
            return true;
        }
        if !seen.insert((done, holder)) {
            continue;
        }
        for (at, deed) in deeds.iter().enumerate().filter(|(at, _)| left(*at)) {
            let waits = |other: usize| left(other) && deeds[other].returned < deed.invoked;
            if (0..deeds.len()).any(waits) {
                continue;
            }
            let after = match (deed.act, holder) {
                (Act::Acquire(_), None) => Some(deed.session),
                (Act::Release, Some(by)) if by == deed.session || !is_its_own(deed) => None,
                _ => continue,
            };
            open.push((done | 1 << at, after));
        }
    }
    false
}

/// Sessions that take and give back a lock, mostly when they may; now and then one gives back what is
/// not its own.
pub(crate) fn random_owners(random: &mut Random) -> Vec<Deed> {
    let sessions = random.between(2, 4);
    let (mut time, mut holder) = (0, None);
    let mut free = [0_u64; 4];
    let mut deeds: Vec<Deed> = Vec::new();
    for _ in 0..random.between(2, 8) {
        let session = random.below(sessions) as usize;
        let invoked = time.max(free[session]) + 1;
        let returned = invoked + 1 + random.below(6);
        time = invoked + random.below(4);
        let releases =
            if random.chance(0.15) { random.chance(0.5) } else { holder == Some(session) };
        let (act, fits) = if releases {
            (Act::Release, holder == Some(session))
        } else {
            (Act::Acquire(None), holder.is_none())
        };
        let kind = match random.below(10) {
            0 => Kind::Info,
            _ if fits || random.chance(0.3) => Kind::Ok,
            _ => Kind::Fail,
        };
        if kind == Kind::Ok || kind == Kind::Info && fits && random.chance(0.5) {
            holder = (!releases).then_some(session);
        }
        free[session] = returned;
        let returned = if kind == Kind::Info { u64::MAX } else { returned };
        deeds.push(Deed { session: session as u32, act, kind, invoked, returned });
    }
    deeds.sort_by_key(|deed| deed.invoked);
    deeds
}

/// Whether two tokens are equal, or one is not greater than one handed out before.
pub(crate) fn token_not_growing(deeds: &[Deed]) -> bool {
    let tokens: Vec<(i64, &Deed)> = deeds
        .iter()
        .filter(|deed| deed.kind == Kind::Ok)
        .filter_map(|deed| match deed.act {
            Act::Acquire(Some(token)) => Some((token, deed)),
            _ => None,
        })
        .collect();
    (0..tokens.len()).any(|a| {
        (0..tokens.len()).any(|b| {
            let ((one, before), (other, after)) = (tokens[a], tokens[b]);
            a != b && (one == other || before.returned < after.invoked && one > other)
        })
    })
}

/// Whether two nodes led in one term, or one within an epoch of another.
pub(crate) fn split_brain(deeds: &[Deed]) -> bool {
    let claims: Vec<(usize, Option<i64>, Option<i64>, &Deed)> = deeds
        .iter()
        .filter(|deed| deed.kind == Kind::Ok)
        .filter_map(|deed| match deed.act {
            Act::Leader { node, term, epoch } => Some((node, term, epoch, deed)),
            _ => None,
        })
        .collect();
    claims.iter().any(|(node, term, epoch, one)| {
        claims.iter().filter(|other| other.0 != *node).any(|(_, other_term, _, other)| {
            let same_term = term.is_some() && term == other_term;
            let same_epoch = epoch.is_some()
                && claims.iter().any(|(again, _, later, last)| {
                    again == node
                        && later == epoch
                        && one.returned < other.invoked
                        && other.returned < last.invoked
                });
            same_term || same_epoch
        })
    })
}

/// A few sessions that take and give back a lock, mostly in turn, with mostly growing tokens.
pub(crate) fn random_locks(random: &mut Random) -> Vec<Deed> {
    let sessions = random.between(1, 3) as u32;
    let with_tokens = random.chance(0.5);
    let (mut time, mut token) = (0, 10);
    let mut deeds: Vec<Deed> = Vec::new();
    let mut free = [0_u64; 4];
    for _ in 0..random.between(2, 8) {
        let session = random.below(u64::from(sessions)) as u32;
        time += random.below(5);
        let invoked = time.max(free[session as usize]) + 1;
        let returned = invoked + 1 + random.below(8);
        let holds = deeds.iter().rev().find(|deed| deed.session == session);
        let holds = holds.is_some_and(|deed| matches!(deed.act, Act::Acquire(_)));
        token += if random.chance(0.85) { 1 + random.below(2) as i64 } else { 0 };
        let act = if holds && random.chance(0.9) {
            Act::Release
        } else {
            Act::Acquire(with_tokens.then_some(token - i64::from(random.chance(0.1)) * 2))
        };
        let kind = *random.pick(&[Kind::Ok, Kind::Ok, Kind::Ok, Kind::Ok, Kind::Info, Kind::Fail]);
        free[session as usize] = returned;
        let returned = if kind == Kind::Info { u64::MAX } else { returned };
        deeds.push(Deed { session, act, kind, invoked, returned });
        if random.chance(0.6) {
            time = invoked + 5;
        }
    }
    deeds.sort_by_key(|deed| deed.invoked);
    deeds
}

/// A few nodes that say they lead, mostly one after the other.
pub(crate) fn random_claims(random: &mut Random) -> Vec<Deed> {
    let (mut node, mut reign) = (0, 1_i64);
    let (terms, epochs) = (random.chance(0.6), random.chance(0.6));
    let mut deeds: Vec<Deed> = Vec::new();
    let mut time = 0;
    for session in 0..random.between(2, 7) as u32 {
        if random.chance(0.4) {
            node = random.below(3) as usize;
            reign += 1;
        }
        let liar = if random.chance(0.12) { random.below(3) as usize } else { node };
        let epoch = if random.chance(0.1) { reign + 1 } else { reign };
        let act = Act::Leader {
            node: liar,
            term: terms.then_some(reign),
            epoch: epochs.then_some(epoch * 10 + liar as i64),
        };
        time += random.below(6);
        let kind = *random.pick(&[Kind::Ok, Kind::Ok, Kind::Ok, Kind::Ok, Kind::Info, Kind::Fail]);
        let returned = if kind == Kind::Info { u64::MAX } else { time + 1 + random.below(5) };
        deeds.push(Deed { session, act, kind, invoked: time, returned });
    }
    deeds
}
