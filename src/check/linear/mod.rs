//! Linearizability (Herlihy and Wing 1990): is there an order of all operations that extends real
//! time and in which every object answers as it would to one client alone?
//!
//! It is local: a history has such an order if and only if each key has one, so keys are judged by
//! themselves and in parallel. Where the written values tell which write was read, `chains` decides
//! in linear time (`register`, `growing`), as do monitors of queues, stacks and priority queues
//! (`container`) in O(n log n); everything else goes to the budgeted `search`. A
//! certificate pass that replays the order of completion would read the same columns and look up the
//! same values as the linear test (0.1 µs an operation), so there is none.
//!
//! What counts: `fail` had no effect and constrains nothing, `info` may take effect at any later
//! time or never (specification 1.2). A compare-and-set that failed proves nothing.

mod chains;
mod container;
mod container_proof;
pub(in crate::check) mod effect;
mod fifo;
mod greatest;
mod growing;
mod growing_proof;
mod instants;
mod lifo;
mod models;
mod object;
mod register;
mod register_proof;
mod search;
mod searched;
mod shrink;

use rayon::prelude::*;

use crate::check::linear::container::Order;
use crate::check::linear::object::{Judgement, Object};
use crate::check::{Anomaly, Limits, Property, Status, Verdict};
use crate::history::{Datatype, History, KeyId, Txn, ValueId};
use crate::model::{Function, Kind, Value};

/// Whether the history is linearizable.
///
/// `Verdict::count` counts, for each key, the values that nobody wrote, else the versions that
/// conflict with an earlier one, else one for a search that found no order.
pub fn check(history: &History, limits: &Limits) -> Verdict {
    let by_key = history.by_key();
    let entangled = entangled(history);
    let keys: Vec<KeyId> = history.keys().collect();
    let judge_key = |key: &KeyId| {
        let object = Object { history, key: *key, txns: by_key.group(key.0), limits };
        match judge(&object) {
            Judgement::Linearizable if entangled[key.index()] => Judgement::Unknown(format!(
                "transactions on several keys: {} alone is linearizable, but not whether they take effect at once",
                object.name()
            )),
            other => other,
        }
    };
    merge(history, limits, keys.par_iter().map(judge_key).collect())
}

fn judge(object: &Object<'_>) -> Judgement {
    let datatype = object.history.datatype(object.key);
    let removes = || object.accesses().any(|(_, access)| access.function == Function::Remove);
    let judgement = match datatype {
        Datatype::Register if is_never_written(object) => Judgement::Unknown(format!(
            "nobody ever wrote to {}, so nobody knows what it held at first",
            object.name()
        )),
        Datatype::Register => {
            let rows = effect::rows(object);
            return register::judge(object, &rows)
                .unwrap_or_else(|| searched::register(object, &rows));
        }
        Datatype::List => growing::judge(object).unwrap_or_else(|| searched::list(object)),
        Datatype::Set if removes() => searched::set(object),
        Datatype::Set => growing::judge(object).unwrap_or(Judgement::Silent),
        Datatype::Text => searched::text(object),
        Datatype::Counter => searched::counter(object),
        Datatype::Lock => searched::lock(object),
        Datatype::Queue => container::judge(object, Order::Fifo),
        Datatype::Stack => container::judge(object, Order::Lifo),
        Datatype::PriorityQueue => container::judge(object, Order::Greatest),
        Datatype::Mixed => Judgement::Unknown(format!(
            "{} is used as objects of several datatypes at once",
            object.name()
        )),
        other => Judgement::Unknown(format!("no sequential specification of a {}", other.name())),
    };
    match judgement {
        // Their parts were judged as if they were operations of their own, which proves violations only.
        Judgement::Linearizable if object.has_transactions() => Judgement::Unknown(format!(
            "transactions of several operations on the {} {}",
            datatype.name(),
            object.name()
        )),
        other => other,
    }
}

/// Whether a key is read as something, but not even a failed operation says what it is: a counter
/// begins with zero, a text with nothing.
fn is_never_written(object: &Object<'_>) -> bool {
    let writes = object.txns.iter().any(|id| object.txn(*id).writes());
    !writes
        && object.accesses().any(|(txn, access)| {
            txn.is_ok() && access.value != ValueId::NULL && access.value != ValueId::UNKNOWN
        })
}

/// The keys that a transaction touches together with others. Each key by itself must be
/// linearizable all the same, which proves violations only.
fn entangled(history: &History) -> Vec<bool> {
    let mut entangled = vec![false; history.key_count()];
    let counts = |txn: &Txn<'_>| match txn.kind() {
        Kind::Fail => false,
        kind => txn.accesses().len() > 1 && (kind == Kind::Ok || txn.writes()),
    };
    for txn in history.txns().filter(counts) {
        let Some(first) = txn.key() else { continue };
        if txn.accesses().any(|access| access.key != first) {
            txn.accesses().for_each(|access| entangled[access.key.index()] = true);
        }
    }
    entangled
}

/// One verdict of those on the keys; first one proof of each violated key, then more.
fn merge(history: &History, limits: &Limits, judgements: Vec<Judgement>) -> Verdict {
    let (mut judged, mut count, mut unknown) = (0, 0, Vec::new());
    let mut anomalies: Vec<(usize, Anomaly)> = Vec::new();
    let keys = judgements.len();
    for (key, judgement) in history.keys().zip(judgements) {
        match judgement {
            Judgement::Silent => {}
            Judgement::Linearizable => judged += 1,
            Judgement::Unknown(reason) => unknown.push((key, reason)),
            Judgement::Violated(findings, all) => {
                count += all;
                let findings = findings.into_iter().map(|finding| finding.anomaly(key));
                anomalies.extend(findings.enumerate());
            }
        }
    }
    anomalies.sort_by_key(|(nth, _)| *nth);
    anomalies.truncate(limits.anomalies.max(1));
    let reason = unknown.first().map(|(key, reason)| {
        let name = match history.key_name(*key) {
            Value::Null => "the object".to_owned(),
            name => format!("key {name}"),
        };
        match unknown.len() {
            1 => format!("{name}: {reason}"),
            more => format!("{name}: {reason} ({more} of {keys} keys undecided)"),
        }
    });
    let status = match (count, &reason) {
        (1.., _) => Status::Invalid,
        (0, Some(_)) => Status::Unknown,
        (0, None) if judged == 0 => {
            let reason = "no operation in this history returned anything that could be wrong";
            return Verdict::unknown(Property::Lin, reason);
        }
        (0, None) => Status::Valid,
    };
    let anomalies = anomalies.into_iter().map(|(_, anomaly)| anomaly).collect();
    Verdict { property: Property::Lin, status, reason, anomalies, count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Builder, TxnId};
    use crate::model::{ClientEvent, Event, Nanos, Op, Process, Random, Value, What};

    /// A register with unique values under so many clients, executed at random instants; some
    /// reads answer with what was held before.
    fn register_history(random: &mut Random, operations: u32, clients: u32) -> History {
        let mut builder = Builder::new();
        let (mut held, mut open) = (vec![Value::Null], vec![None; clients as usize]);
        let (mut begun, mut time, mut next_process) = (0, 0, clients);
        let mut process: Vec<u32> = (0..clients).collect();
        while begun < operations || open.iter().any(Option::is_some) {
            let client = random.below(u64::from(clients)) as usize;
            let mut record = |kind, op: &Op, process: u32| {
                time += 1;
                let what = What::Client(ClientEvent::new(Process(process), kind, op.clone()));
                builder.event(&Event { time: Nanos(time), what }).expect("well-formed");
            };
            match open[client].take() {
                None if begun == operations => {}
                None => {
                    begun += 1;
                    let value = Value::Int(i64::from(begun));
                    let op = match random.below(6) {
                        0 | 1 => Op::write("x".into(), value),
                        2 => Op::rmw("x".into(), value),
                        _ => Op::read("x".into()),
                    };
                    record(Kind::Invoke, &op, process[client]);
                    open[client] = Some((op, false));
                }
                Some((mut op, false)) => {
                    let late = if random.chance(0.03) { random.below(4) as usize } else { 0 };
                    let seen = held[held.len().saturating_sub(1 + late)].clone();
                    for mop in &mut op.mops {
                        match mop.function {
                            Function::Read => mop.value = seen.clone(),
                            _ => held.push(mop.value.clone()),
                        }
                    }
                    open[client] = Some((op, true));
                }
                Some((op, true)) => {
                    let is_lost = random.chance(0.05);
                    let kind = if is_lost { Kind::Info } else { Kind::Ok };
                    record(kind, &op, process[client]);
                    if is_lost {
                        process[client] = next_process;
                        next_process += 1;
                    }
                }
            }
        }
        builder.finish().expect("well-formed")
    }

    #[test]
    fn the_monitor_agrees_with_the_search_on_longer_histories() {
        let mut random = Random::stream(5, "monitor and search");
        let limits = Limits::default();
        let (mut valid, mut violated) = (0, 0);
        for _ in 0..3_000 {
            let operations = random.between(20, 60) as u32;
            let clients = random.between(2, 8) as u32;
            let history = register_history(&mut random, operations, clients);
            let txns: Vec<TxnId> = history.txns().map(|txn| txn.id).collect();
            let object = Object { history: &history, key: KeyId(0), txns: &txns, limits: &limits };
            let rows = effect::rows(&object);
            let monitor = register::judge(&object, &rows).expect("values are unique");
            match (monitor, searched::register(&object, &rows)) {
                (Judgement::Linearizable, Judgement::Linearizable) => valid += 1,
                (Judgement::Violated(findings, _), Judgement::Violated(..)) => {
                    violated += 1;
                    for finding in findings {
                        let again = check(&history.subset(&finding.operations), &limits);
                        assert_eq!(again.status, Status::Invalid, "{finding:?}");
                    }
                }
                (Judgement::Silent, Judgement::Silent) => {}
                (monitor, search) => panic!("{monitor:?}\n{search:?}\n{history:?}"),
            }
        }
        assert!(valid > 600 && violated > 600, "{valid} {violated}");
    }
}
