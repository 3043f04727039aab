//! Linearizability (Herlihy and Wing 1990): is there an order of all operations that extends real
//! time and in which every object answers as it would to one client alone?
//!
//! It is local: a history has such an order if and only if each object has one, so keys are judged
//! by themselves and in parallel; keys that transactions bind together are one object (`joint`). Where
//! the written values tell which write was read, `chains` decides in linear time (`register`,
//! `growing`), as do monitors of queues, stacks and priority queues (`container`) in O(n log n);
//! everything else goes to the budgeted `search`. A certificate pass that replays the order of
//! completion would read the same columns and look up the same values as the linear test (0.1 µs an
//! operation), so there is none.
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
mod joint;
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
use crate::check::linear::joint::{Group, groups};
use crate::check::linear::object::{Judgement, Object};
use crate::check::{Anomaly, Limits, Property, Status, Verdict, real_time};
use crate::history::{Datatype, History, KeyId, ValueId};
use crate::model::{Function, Value};

/// Whether the history is linearizable.
///
/// `Verdict::count` counts, for each key, the values that nobody wrote, else the versions that
/// come back after later ones, else one for a search that found no order.
pub fn check(history: &History, limits: &Limits) -> Verdict {
    let by_key = history.by_key();
    let keys: Vec<KeyId> = history.keys().collect();
    let judge_key =
        |key: &KeyId| judge(&Object { history, key: *key, txns: by_key.group(key.0), limits });
    let mut judged: Vec<(Option<KeyId>, Judgement)> =
        keys.par_iter().map(|key| (Some(*key), judge_key(key))).collect();
    let judge_group = |group: &Group| {
        // Each key alone was judged as if the others did not matter, which proves violations only.
        let mut alone = group.keys.iter().map(|key| &judged[key.index()].1);
        let is_open = alone.all(|one| matches!(one, Judgement::Silent | Judgement::Linearizable));
        (None, if is_open { joint::judge(history, limits, group) } else { Judgement::Silent })
    };
    let joint: Vec<_> = groups(history).par_iter().map(judge_group).collect();
    judged.extend(joint);
    real_time::withheld(history, merge(history, limits, judged))
}

/// The verdict on an object alone.
fn judge(object: &Object<'_>) -> Judgement {
    let datatype = object.history.datatype(object.key);
    let removes = || object.accesses().any(|(_, access)| access.function == Function::Remove);
    match datatype {
        Datatype::Register if is_never_written(object) => Judgement::Unknown(format!(
            "nobody ever wrote to {}, so nobody knows what it held at first",
            object.name()
        )),
        Datatype::Register => {
            let rows = effect::rows(object);
            register::judge(object, &rows).unwrap_or_else(|| searched::register(object, &rows))
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
        other => Judgement::Unknown(format!(
            "an object of this kind ({}) has no sequential specification",
            other.name()
        )),
    }
}

/// Whether a key is read as something, but not even a failed operation says what it is: a counter
/// begins with zero, a text with nothing.
fn is_never_written(object: &Object<'_>) -> bool {
    let writes = object.txns.iter().any(|id| object.txn(*id).writes());
    !writes
        && object.history.initial(object.key).is_none()
        && object.accesses().any(|(txn, access)| {
            txn.is_ok() && access.value != ValueId::NULL && access.value != ValueId::UNKNOWN
        })
}

/// One verdict of those on the keys and groups of keys; first one proof of each that is violated,
/// then more.
fn merge(
    history: &History,
    limits: &Limits,
    judgements: Vec<(Option<KeyId>, Judgement)>,
) -> Verdict {
    let (mut judged, mut count, mut unknown) = (0, 0, Vec::new());
    let mut anomalies: Vec<(usize, Anomaly)> = Vec::new();
    let keys = history.key_count();
    for (key, judgement) in judgements {
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
        let name = match key.map(|key| history.key_name(key)) {
            // An object without a name is named by its datatype, where a reason names it.
            None | Some(Value::Null) => String::new(),
            Some(name) => format!("key {name}: "),
        };
        match unknown.len() {
            1 => format!("{name}{reason}"),
            more if key.is_none() => format!("{reason} ({more} groups of keys undecided)"),
            more => format!("{name}{reason} ({more} of {keys} keys undecided)"),
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
#[expect(clippy::print_stdout, reason = "a test says how its cases are spread")]
mod tests {
    use super::*;
    use crate::history::{Builder, TxnId};
    use crate::model::{ClientEvent, Event, Kind, Nanos, Op, Process, Random, Value, What};

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

    /// An object with a monitor of its own, under so many clients: executed at random instants, some
    /// not at all and some at an unknown time, with some wrong answers.
    struct Store<'r> {
        datatype: Datatype,
        /// What is inside; the next to be taken at the end.
        inside: Vec<i64>,
        random: &'r mut Random,
    }

    impl Store<'_> {
        fn question(&mut self, number: i64) -> Op {
            use Function as F;
            let (put, ask) = match self.datatype {
                Datatype::Queue => (F::Enqueue, F::Dequeue),
                Datatype::Stack => (F::Push, F::Pop),
                Datatype::PriorityQueue => (F::Insert, F::Poll),
                Datatype::List => (F::Append, F::Read),
                _ => (F::Add, F::Read),
            };
            // Priorities do not rise with time.
            let number = (number * 37) % 101;
            let is_put = self.random.chance(0.55);
            let value = if is_put { Value::Int(number) } else { Value::Null };
            Op::single(if is_put { put } else { ask }, "x".into(), value)
        }

        fn execute(&mut self, op: &mut Op) {
            let Self { datatype, inside, random } = self;
            let mop = &mut op.mops[0];
            match mop.value.as_int() {
                Some(number) => {
                    let at = match datatype {
                        Datatype::Queue => 0,
                        Datatype::PriorityQueue => {
                            inside.iter().filter(|one| **one < number).count()
                        }
                        _ => inside.len(),
                    };
                    inside.insert(at, number);
                }
                None if mop.function == Function::Read => {
                    let wrong = usize::from(!inside.is_empty() && random.chance(0.03));
                    let shown = inside[..inside.len() - wrong].iter().copied();
                    mop.value = Value::list(shown.map(Value::Int).collect::<Vec<_>>());
                }
                None if inside.is_empty() || random.chance(0.01) => {}
                None => {
                    let wrong = inside.len() > 1 && random.chance(0.03);
                    let last = inside.len() - 1;
                    mop.value = Value::Int(inside.remove(last - usize::from(wrong)));
                }
            }
        }

        fn history(mut self, operations: i64, clients: usize) -> History {
            let mut builder = Builder::new();
            let mut open: Vec<Option<(Op, Option<Op>)>> = vec![None; clients];
            let mut process: Vec<u32> = (0..clients as u32).collect();
            let (mut begun, mut time, mut next_process) = (0, 0, clients as u32);
            let is_cut_off = self.random.chance(0.3);
            while begun < operations || !is_cut_off && open.iter().any(Option::is_some) {
                let client = self.random.below(clients as u64) as usize;
                let mut record = |kind, op: &Op, process: u32| {
                    time += 1;
                    let what = What::Client(ClientEvent::new(Process(process), kind, op.clone()));
                    builder.event(&Event { time: Nanos(time), what }).expect("well-formed");
                };
                let is_lost = self.random.chance(0.04);
                match open[client].take() {
                    None if begun == operations => {}
                    None => {
                        begun += 1;
                        let op = self.question(begun);
                        record(Kind::Invoke, &op, process[client]);
                        open[client] = Some((op, None));
                    }
                    Some((op, done)) if is_lost => {
                        drop(done);
                        record(Kind::Info, &op, process[client]);
                        process[client] = next_process;
                        next_process += 1;
                    }
                    Some((op, None)) => {
                        let mut done = op.clone();
                        self.execute(&mut done);
                        open[client] = Some((op, Some(done)));
                    }
                    Some((_, Some(done))) => record(Kind::Ok, &done, process[client]),
                }
            }
            builder.finish().expect("well-formed")
        }
    }

    /// How many histories each monitor found linearizable and violated, and how many the monitor and
    /// the search left open.
    fn compare_with_search(datatype: Datatype, seeds: std::ops::Range<u64>) -> [u64; 4] {
        let limits = Limits { search_steps: 100_000, ..Limits::default() };
        let no_search = Limits { search_steps: 0, ..Limits::default() };
        let compared = seeds.into_par_iter().map(|seed| {
            let mut random = Random::stream(seed, datatype.name());
            let (operations, clients) = (random.between(20, 60), random.between(2, 8));
            let store = Store { datatype, inside: Vec::new(), random: &mut random };
            let history = store.history(operations as i64, clients as usize);
            let txns: Vec<TxnId> = history.txns().map(|txn| txn.id).collect();
            let object = Object { history: &history, key: KeyId(0), txns: &txns, limits: &limits };
            let search = match datatype {
                Datatype::Queue => searched::container(&object, Order::Fifo),
                Datatype::Stack => searched::container(&object, Order::Lifo),
                Datatype::PriorityQueue => searched::container(&object, Order::Greatest),
                Datatype::List => searched::list(&object),
                _ => searched::set(&object),
            };
            match (judge(&Object { limits: &no_search, ..object }), search) {
                (Judgement::Linearizable, Judgement::Linearizable) => [1, 0, 0, 0],
                (Judgement::Violated(findings, _), Judgement::Violated(..)) => {
                    for finding in findings {
                        let again = check(&history.subset(&finding.operations), &limits);
                        assert_eq!(
                            again.status,
                            Status::Invalid,
                            "{seed} {finding:?}\n{history:?}"
                        );
                    }
                    [0, 1, 0, 0]
                }
                // An indeterminate take answers nothing.
                (Judgement::Silent, Judgement::Silent | Judgement::Linearizable) => [0; 4],
                (Judgement::Unknown(_), _) => [0, 0, 1, 0],
                (_, Judgement::Unknown(_)) => [0, 0, 0, 1],
                (monitor, search) => panic!("{seed} {monitor:?}\n{search:?}\n{history:?}"),
            }
        });
        compared.reduce(|| [0; 4], |one, other| std::array::from_fn(|at| one[at] + other[at]))
    }

    #[test]
    fn monitors_of_containers_agree_with_the_search_on_longer_histories() {
        let cases = std::env::var("RASHOMON_CASES").ok().and_then(|text| text.parse().ok());
        let cases: u64 = cases.unwrap_or(2_000);
        let datatypes = [Datatype::Queue, Datatype::Stack, Datatype::PriorityQueue];
        for datatype in datatypes.into_iter().chain([Datatype::Set, Datatype::List]) {
            let counts = compare_with_search(datatype, 0..cases);
            println!(
                "{}: valid, violated, left open by monitor, by search {counts:?}",
                datatype.name()
            );
            assert!(counts[0] > cases / 10 && counts[1] > cases / 20, "{datatype:?} {counts:?}");
            assert!(counts[2] < cases / 10, "{datatype:?} {counts:?}");
        }
    }
}
