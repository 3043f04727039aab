//! Linearizability: against an exhaustive oracle, against the examples of the specification, and
//! with planted violations.

#![expect(clippy::print_stdout, reason = "what is skipped is said, and how much was compared")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/compared.rs"]
mod compared;
#[path = "oracle/linear.rs"]
mod oracle;

use std::collections::BTreeSet;
use std::path::Path;

use cases::cases;
use compared::tell;
use oracle::{Operation, Outcome, State, What, is_linearizable};
use rashomon::check::{Anomaly, Limits, Property, Status, Verdict, linear};
use rashomon::history::{Access, Builder, History, TxnId, ValueId, read};
use rashomon::model::{Function, Kind, Nanos, Process, Random, Value};
use rayon::prelude::*;

/// A family of random histories: what its operations may be, before they have results.
struct Family {
    name: &'static str,
    operation: fn(&mut Random, i64) -> What,
    /// At most so many operations.
    longest: u64,
}

const FAMILIES: &[Family] = &[
    Family { name: "unique register", operation: unique, longest: 7 },
    Family { name: "unique updates", operation: updates, longest: 7 },
    Family { name: "repeated values", operation: repeated, longest: 7 },
    Family { name: "list", operation: list, longest: 7 },
    Family { name: "repeated list", operation: repeated_list, longest: 7 },
    Family { name: "growing set", operation: growing_set, longest: 7 },
    Family { name: "set", operation: set, longest: 7 },
    Family { name: "counter", operation: counter, longest: 7 },
    Family { name: "lock", operation: lock, longest: 7 },
    Family { name: "text", operation: text, longest: 7 },
];

fn unique(random: &mut Random, number: i64) -> What {
    if random.chance(0.5) { What::Get(None) } else { What::Put(number) }
}

fn updates(random: &mut Random, number: i64) -> What {
    match random.below(10) {
        0..4 => What::Get(None),
        4..6 => What::Put(number),
        6..8 => What::Modify(None, number),
        _ if number == 1 || random.chance(0.2) => What::Swap(None, number),
        _ => What::Swap(Some(random.between(1, number as u64 - 1) as i64), number),
    }
}

fn repeated(random: &mut Random, _: i64) -> What {
    let mut value = || random.between(1, 3) as i64;
    let (one, other) = (value(), value());
    match random.below(10) {
        0..4 => What::Get(None),
        4..7 => What::Put(one),
        7 => What::Modify(None, one),
        8 => What::Swap(None, one),
        _ => What::Swap(Some(one), other),
    }
}

fn list(random: &mut Random, number: i64) -> What {
    if random.chance(0.5) { What::List(Vec::new()) } else { What::Append(number) }
}

fn repeated_list(random: &mut Random, _: i64) -> What {
    let number = random.between(1, 2) as i64;
    if random.chance(0.5) { What::List(Vec::new()) } else { What::Append(number) }
}

fn growing_set(random: &mut Random, number: i64) -> What {
    let again = random.chance(0.2).then(|| random.between(1, number as u64) as i64);
    if random.chance(0.5) { What::Set(BTreeSet::new()) } else { What::Add(again.unwrap_or(number)) }
}

fn set(random: &mut Random, _: i64) -> What {
    let element = random.between(1, 2) as i64;
    match random.below(4) {
        0 => What::Add(element),
        1 => What::Remove(element),
        _ => What::Set(BTreeSet::new()),
    }
}

fn counter(random: &mut Random, _: i64) -> What {
    let number = *random.pick(&[-1, 1, 1, 2]);
    if random.chance(0.5) { What::Sum(0) } else { What::Increment(number) }
}

fn lock(random: &mut Random, _: i64) -> What {
    if random.chance(0.5) { What::Acquire } else { What::Release }
}

fn text(random: &mut Random, _: i64) -> What {
    let letter = random.pick(&["a", "b", "ab"]).to_string();
    match random.below(6) {
        0 => What::PutText(letter),
        1 | 2 => What::AppendText(letter),
        _ => What::Text(String::new()),
    }
}

/// A random history in which something was written: without that, nothing tells what the key is.
fn generate(random: &mut Random, family: &Family) -> Vec<Operation> {
    loop {
        let operations = generate_any(random, family);
        let writes = |one| parts(one).1.iter().any(|(function, _)| *function != Function::Read);
        if operations.iter().any(writes) {
            return operations;
        }
    }
}

/// A random history: executed at random instants, then often spoiled.
fn generate_any(random: &mut Random, family: &Family) -> Vec<Operation> {
    let (count, span) = (random.between(2, family.longest), random.between(6, 40));
    let mut operations: Vec<(u64, Operation)> = (1..=count)
        .map(|number| {
            let invoked = random.below(span);
            let returned = invoked + random.between(1, 8);
            let outcome = match random.below(12) {
                0 => Outcome::Fail,
                1 | 2 => Outcome::Info,
                _ => Outcome::Ok,
            };
            // Doubled, so that an instant can lie between two times.
            let latest = if outcome == Outcome::Info { returned + 10 } else { returned };
            let instant = random.between(2 * invoked, 2 * latest);
            let what = (family.operation)(random, number as i64);
            (instant, Operation { what, outcome, invoked, returned })
        })
        .collect();
    operations.sort_by_key(|(instant, _)| *instant);
    let mut state = State::default();
    operations.retain_mut(|(_, one)| {
        let happens =
            one.outcome == Outcome::Ok || one.outcome == Outcome::Info && random.chance(0.5);
        if one.outcome == Outcome::Ok {
            one.what = state.answer(&one.what);
        }
        match state.after(&one.what, one.outcome) {
            Some(after) if happens => state = after,
            // An update or lock operation that does not fit here would have failed.
            None if one.outcome == Outcome::Ok && random.chance(0.9) => one.outcome = Outcome::Fail,
            _ => {}
        }
        true
    });
    let mut operations: Vec<Operation> = operations.into_iter().map(|(_, one)| one).collect();
    for _ in 0..random.below(4) {
        spoil(random, &mut operations);
    }
    random.shuffle(&mut operations);
    operations
}

fn spoil(random: &mut Random, operations: &mut [Operation]) {
    let at = random.below(operations.len() as u64) as usize;
    let other = random.below(operations.len() as u64) as usize;
    match random.below(3) {
        // Move an operation in time.
        0 => {
            let length = operations[at].returned - operations[at].invoked;
            operations[at].invoked = random.below(40);
            operations[at].returned = operations[at].invoked + length;
        }
        // Exchange the times of two.
        1 => {
            let times = (operations[at].invoked, operations[at].returned);
            let one = &operations[other];
            (operations[at].invoked, operations[at].returned) = (one.invoked, one.returned);
            (operations[other].invoked, operations[other].returned) = times;
        }
        // Change a result.
        _ => match &mut operations[at].what {
            What::Get(value) => *value = Some(random.between(1, 9) as i64),
            What::List(list) if random.chance(0.5) => drop(list.pop()),
            What::List(list) => random.shuffle(list),
            What::Set(set) if random.chance(0.5) => drop(set.pop_first()),
            What::Set(set) => drop(set.insert(random.between(1, 4) as i64)),
            What::Sum(sum) => *sum += 1,
            What::Text(text) if random.chance(0.5) => drop(text.pop()),
            What::Text(text) => text.push('b'),
            _ => operations[at].outcome = Outcome::Ok,
        },
    }
}

/// The same history in the crate's own form.
fn build(operations: &[Operation]) -> History {
    let mut builder = Builder::new();
    let key = builder.key(&"x".into());
    for (process, one) in operations.iter().enumerate() {
        let (function, parts) = parts(one);
        let accesses: Vec<Access> = parts
            .into_iter()
            .map(|(function, value)| Access {
                function,
                key,
                value: value.map_or(ValueId::UNKNOWN, |value| builder.value(&value)),
            })
            .collect();
        let kind = match one.outcome {
            Outcome::Ok => Kind::Ok,
            Outcome::Fail => Kind::Fail,
            Outcome::Info => Kind::Info,
        };
        let operation = rashomon::history::Operation {
            index: None,
            process: Process(process as u32),
            kind,
            function,
            invoked: Nanos::from_millis(one.invoked),
            returned: (one.outcome != Outcome::Info).then_some(Nanos::from_millis(one.returned)),
            session: None,
            node: None,
            version: None,
            is_final: false,
        };
        builder.operation(operation, &accesses).expect("well-formed");
    }
    builder.finish().expect("well-formed")
}

/// A function with its micro-operations; results only where they are known.
fn parts(one: &Operation) -> (Function, Vec<(Function, Option<Value>)>) {
    use Function as F;
    let is_ok = one.outcome == Outcome::Ok;
    let int = |n: &i64| Some(Value::Int(*n));
    let maybe = |n: &Option<i64>| n.map_or(Value::Null, Value::Int);
    let answer = |value: Value| is_ok.then_some(value);
    let ints = |list: &mut dyn Iterator<Item = &i64>| Value::list(list.map(|n| Value::Int(*n)));
    let single = |function, value| (function, vec![(function, value)]);
    match &one.what {
        What::Get(value) => single(F::Read, answer(maybe(value))),
        What::Put(value) => single(F::Write, int(value)),
        What::Swap(old, new) => {
            // As the recorder has it: what is null before the return is not known.
            let old = if is_ok { Some(maybe(old)) } else { old.map(Value::Int) };
            (F::Cas, vec![(F::Read, old), (F::Write, int(new))])
        }
        What::Modify(old, new) => {
            (F::Rmw, vec![(F::Read, answer(maybe(old))), (F::Write, int(new))])
        }
        What::Append(element) => single(F::Append, int(element)),
        What::List(list) => single(F::Read, answer(ints(&mut list.iter()))),
        What::Add(element) => single(F::Add, int(element)),
        What::Remove(element) => single(F::Remove, int(element)),
        What::Set(set) => single(F::Read, answer(ints(&mut set.iter()))),
        What::Increment(number) => single(F::Increment, int(number)),
        What::Sum(sum) => single(F::Read, answer(Value::Int(*sum))),
        What::Acquire => single(F::Acquire, Some(Value::Null)),
        What::Release => single(F::Release, Some(Value::Null)),
        What::PutText(text) => single(F::Write, Some(Value::text(text))),
        What::AppendText(text) => single(F::Append, Some(Value::text(text))),
        // A text that nobody wrote is read as nothing.
        What::Text(text) if text.is_empty() => single(F::Read, answer(Value::Null)),
        What::Text(text) => single(F::Read, answer(Value::text(text))),
    }
}

/// The operations of an anomaly, taken from the operations the history was built of.
fn witness(history: &History, operations: &[Operation], anomaly: &Anomaly) -> Vec<Operation> {
    let index = |id: &TxnId| history.txn(*id).index() as usize;
    anomaly.operations.iter().map(|id| operations[index(id)].clone()).collect()
}

/// Whether no read of a register can be taken out. (Without a write, what was read of it would be a
/// proof of its own; so is what an update or a list read, since no proof goes back to their beginnings.)
fn is_minimal(witness: &[Operation]) -> bool {
    let plain = |one: &Operation| matches!(one.what, What::Get(_) | What::Put(_));
    let mut reads = (0..witness.len()).filter(|at| is_read(&witness[*at].what));
    !witness.iter().all(plain)
        || reads.all(|at| {
            let mut without = witness.to_vec();
            without.remove(at);
            is_linearizable(&without)
        })
}

fn is_read(what: &What) -> bool {
    use What as W;
    matches!(what, W::Get(_) | W::List(_) | W::Set(_) | W::Sum(_) | W::Text(_))
}

fn check(history: &History) -> Verdict {
    linear::check(history, &Limits::default())
}

/// Whether every step of a cycle leads on to the next, and every `rt` step is true.
fn is_sound_cycle(history: &History, anomaly: &Anomaly) -> bool {
    let steps = &anomaly.cycle;
    steps.iter().enumerate().all(|(at, step)| {
        let next = &steps[(at + 1) % steps.len()];
        let [from, to] = [step.from, step.to].map(|id| history.txn(id));
        step.to == next.from
            && anomaly.operations.contains(&step.from)
            && (step.edge != rashomon::check::Edge::Rt || from.precedes(to))
    })
}

fn compare(family: &Family, from: u64, to: u64) -> Vec<Status> {
    let mut random = Random::stream(from, family.name);
    let mut said = Vec::new();
    for _ in from..to {
        let operations = generate(&mut random, family);
        let history = build(&operations);
        let expected = is_linearizable(&operations);
        let verdict = check(&history);
        let told = || format!("{}: {operations:?}\n{verdict:?}", family.name);
        said.push(verdict.status);
        match verdict.status {
            Status::Valid => assert!(expected, "missed: {}", told()),
            Status::Unknown => {
                assert!(expected, "missed: {}", told());
                let reason = verdict.reason.as_deref().unwrap_or_default();
                assert!(reason.contains("returned anything"), "undecided: {}", told());
            }
            Status::Invalid => {
                assert!(!expected, "false accusation: {}", told());
                assert!(!verdict.anomalies.is_empty(), "no proof: {}", told());
                for anomaly in &verdict.anomalies {
                    let witness = witness(&history, &operations, anomaly);
                    assert!(!is_linearizable(&witness), "no proof: {}", told());
                    // A value from nowhere is shown beside a write: else the key may hold anything.
                    let is_lone = anomaly.kind == "thin-air-read";
                    assert!(is_lone || is_minimal(&witness), "too much: {}", told());
                    assert!(is_sound_cycle(&history, anomaly), "no cycle: {}", told());
                }
            }
        }
    }
    said
}

#[test]
fn agrees_with_the_oracle() {
    for family in FAMILIES {
        let all = cases(100_000);
        let batches: Vec<u64> = (0..all).step_by(5_000).collect();
        let compare = |from: &u64| compare(family, *from, (from + 5_000).min(all));
        let said: Vec<Status> = batches.par_iter().flat_map_iter(compare).collect();
        let valid = said.iter().filter(|one| **one == Status::Valid).count() as u64;
        let violated = tell(Property::Lin, family.name, said) as u64;
        assert!(valid * 5 > all && violated * 10 > all, "{} {valid} {violated}", family.name);
    }
}

#[test]
fn agrees_with_the_examples_of_the_specification() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/spec/examples");
    let Ok(index) = std::fs::read_to_string(folder.join("index.json")) else {
        println!("skipped: there is no ../shared/spec/examples/index.json");
        return;
    };
    let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    let examples = index["examples"].as_array().expect("a list");
    let mut judged = 0;
    for example in examples {
        let (Some(file), Some(expected)) =
            (example["file"].as_str(), example["vector"]["LIN"].as_str())
        else {
            continue;
        };
        let history = read(&folder.join(file), None).unwrap_or_else(|error| panic!("{error}"));
        let verdict = check(&history);
        let status = match expected {
            "ok" => Status::Valid,
            _ => Status::Invalid,
        };
        assert_eq!(verdict.status, status, "{file}: {verdict:#?}");
        judged += 1;
    }
    println!("{judged} examples");
    assert!(judged >= 80, "{judged} examples");
}

fn ok(what: What, invoked: u64, returned: u64) -> Operation {
    Operation { what, outcome: Outcome::Ok, invoked, returned }
}

#[test]
fn says_what_went_wrong() {
    let kinds = |operations: &[Operation]| {
        let verdict = check(&build(operations));
        let told = |one: &Anomaly| (one.kind, one.operations.len(), one.sentence.clone());
        verdict.anomalies.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(&[ok(What::Put(1), 0, 2), ok(What::Put(2), 3, 5), ok(What::Get(Some(1)), 9, 10)]),
        [(
            "stale-read",
            3,
            "process 2 answered x = 1 at 9.0 ms although x = 2 had been written and acknowledged 4.0 ms earlier, and 1 came before 2: #0 returned before #1 was invoked".to_owned()
        )]
    );
    assert_eq!(
        kinds(&[ok(What::Put(1), 0, 2), ok(What::Get(None), 4, 6)]),
        [(
            "stale-read",
            2,
            "process 1 answered x = nothing at 4.0 ms although x = 1 had been written and acknowledged 2.0 ms earlier".to_owned()
        )]
    );
    let first = |operations: &[Operation]| kinds(operations)[0].0;
    let inversion = [
        ok(What::Put(1), 0, 2),
        ok(What::Put(2), 3, 20),
        ok(What::Get(Some(2)), 5, 6),
        ok(What::Get(Some(1)), 8, 9),
    ];
    assert_eq!(first(&inversion), "new-old-inversion");
    let twice = [
        ok(What::Put(1), 0, 2),
        ok(What::Swap(Some(1), 2), 3, 5),
        ok(What::Swap(Some(1), 3), 3, 5),
    ];
    assert_eq!(first(&twice), "lost-update");
    let lost = [ok(What::Append(1), 0, 2), ok(What::List(Vec::new()), 3, 5)];
    assert_eq!(first(&lost), "lost-write");
    let split = [
        ok(What::Append(1), 0, 9),
        ok(What::Append(2), 0, 9),
        ok(What::List(vec![1, 2]), 0, 9),
        ok(What::List(vec![2, 1]), 0, 9),
    ];
    assert_eq!(first(&split), "incompatible-order");
    let future = [ok(What::Get(Some(1)), 0, 2), ok(What::Put(1), 3, 5)];
    assert_eq!(first(&future), "future-read");
    let both = [ok(What::Acquire, 0, 2), ok(What::Acquire, 3, 5)];
    assert_eq!(first(&both), "not-linearizable");
}

/// Two hundred writes of unknown outcome that nobody saw must not make the search explode, nor
/// must a hundred that do the same.
#[test]
fn open_writes_are_cheap() {
    let mut operations: Vec<Operation> = (0..300)
        .map(|at| Operation {
            what: What::Put(if at < 200 { 100 + at } else { 1 }),
            outcome: Outcome::Info,
            invoked: at as u64,
            returned: at as u64 + 1,
        })
        .collect();
    for at in 0..50 {
        operations.push(ok(What::Put(2), 1_000 + 10 * at, 1_003 + 10 * at));
        operations.push(ok(What::Get(Some(1)), 1_005 + 10 * at, 1_006 + 10 * at));
    }
    let limits = Limits { search_steps: 5_000, ..Limits::default() };
    assert_eq!(linear::check(&build(&operations), &limits).status, Status::Valid);
    // One more read of the old value than there are writes of it.
    operations.retain(|one| one.outcome == Outcome::Ok || one.invoked >= 251);
    let verdict = linear::check(&build(&operations), &Limits::default());
    assert_eq!(verdict.status, Status::Invalid, "{:?}", verdict.reason);
}

#[test]
fn a_spent_budget_is_told() {
    let mut operations: Vec<Operation> =
        (0..12).map(|at| ok(What::Increment(1 << at), 0, 100)).collect();
    operations.push(ok(What::Sum(5_000), 0, 100));
    let limits = Limits { search_steps: 1_000, ..Limits::default() };
    let verdict = linear::check(&build(&operations), &limits);
    assert_eq!(verdict.status, Status::Unknown);
    let reason = verdict.reason.unwrap_or_default();
    assert!(reason.contains("1000 steps") && reason.contains("key x"), "{reason}");
    assert_eq!(check(&build(&operations)).status, Status::Invalid);
}

#[test]
fn threads_do_not_change_the_verdict() {
    let mut random = Random::stream(3, "threads");
    let operations = generate(&mut random, &FAMILIES[2]);
    let history = build(&operations);
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let [one, many] = [1, 4].map(|threads| pool(threads).install(|| check(&history)));
    assert_eq!(one, many);
}
