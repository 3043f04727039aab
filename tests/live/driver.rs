//! The live target over a client of our own: order, time, panics and clients that hang.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rashomon::generate::{Context, Generator, Next};
use rashomon::history::Header;
use rashomon::model::{
    Action, Event, FaultId, Invocation, Kind, Nanos, NodeFault, Op, Outcome, Process, Value, What,
};
use rashomon::run::{Journal, drive};
use rashomon::target::{Answer, Answering, Client, LiveTarget, Target, TargetError};

use crate::{ask, begin, completion};

/// Does what the value of a write says: a positive number takes so many milliseconds.
struct Puppet {
    dropped: Arc<AtomicUsize>,
}

const PANICS: i64 = -1;
const HANGS: i64 = -2;
const FAILS: i64 = -3;

impl Client for Puppet {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        Box::pin(async move {
            match invocation.op.mops[0].value.as_int() {
                Some(PANICS) => panic!("the puppet was told to panic"),
                Some(HANGS) | None => std::future::pending().await,
                Some(FAILS) => Outcome::Fail("no".to_owned()).into(),
                Some(millis) => {
                    tokio::time::sleep(Duration::from_millis(millis as u64)).await;
                    let outcome = Outcome::Ok(invocation.op.mops.clone());
                    Answer { outcome, version: Some(millis) }
                }
            }
        })
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

fn puppets() -> (LiveTarget, Arc<AtomicUsize>) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = dropped.clone();
    let factory = Box::new(move |process: Process, _: &Arc<str>| {
        if process == Process(66) {
            return Err("no puppet for 66".to_owned());
        }
        Ok(Box::new(Puppet { dropped: count.clone() }) as Box<dyn Client>)
    });
    let nodes = vec![Arc::from("n1"), Arc::from("n2")];
    let target = LiveTarget::new(nodes, factory, Duration::from_millis(300));
    (target.expect("threads can be started"), dropped)
}

fn write(what: i64) -> Op {
    Op::write(Value::Int(0), Value::Int(what))
}

#[test]
fn completions_come_as_they_end_and_in_the_order_of_time() {
    let (mut target, _) = puppets();
    for (process, millis) in [(1, 90), (2, 10), (3, 50)] {
        begin(&mut target, process, write(millis));
    }
    let mut last = Nanos(0);
    for (process, millis) in [(2, 10), (3, 50), (1, 90)] {
        let event = target.advance(Nanos::FOREVER).expect("three are under way");
        assert!(event.time >= last && event.time >= Nanos::from_millis(millis));
        assert!(event.time <= target.now());
        last = event.time;
        let What::Client(client) = event.what else { panic!("no fault was begun") };
        assert_eq!((client.process, client.kind), (Process(process), Kind::Ok));
        assert_eq!(client.version, Some(millis as i64));
    }
    assert_eq!(target.advance(Nanos::FOREVER), None, "nothing is under way");
}

#[test]
fn advance_waits_until_the_time_and_no_longer_than_for_a_completion() {
    let (mut target, _) = puppets();
    let until = target.now() + Nanos::from_millis(40);
    assert_eq!(target.advance(until), None);
    assert!(target.now() >= until);
    // What has arrived comes out even when the time has passed.
    for process in [1, 2] {
        begin(&mut target, process, write(1));
    }
    assert_eq!(target.arrived(), None, "nothing leaves before it is advanced");
    assert!(target.advance(Nanos::FOREVER).is_some());
    while target.advance(Nanos(0)).is_none() {
        assert!(
            target.now() < until + Nanos::from_millis(200),
            "a time that has passed lets all go on"
        );
    }
    assert_eq!(target.advance(Nanos(0)), None);
    assert_eq!(target.arrived(), None);
}

#[test]
fn what_lies_about_is_our_own_latency_and_what_the_client_takes_is_not() {
    let (mut target, _) = puppets();
    begin(&mut target, 1, write(200));
    let until = target.now() + Nanos::from_millis(100);
    while target.now() < until {
        std::hint::spin_loop();
    }
    assert!(target.advance(Nanos::FOREVER).is_some());
    let added = target.added_latency().expect("real time");
    assert!((100..300).contains(&(added.0 / 1_000_000)), "{added}");
}

#[test]
fn a_panic_is_info_and_the_others_go_on() {
    let (mut target, dropped) = puppets();
    let client = ask(&mut target, 1, write(PANICS));
    assert_eq!((client.kind, client.error.as_deref()), (Kind::Info, Some("the client panicked")));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert_eq!(ask(&mut target, 2, write(1)).kind, Kind::Ok);
    // Even the same process, though a driver retires it.
    assert_eq!(ask(&mut target, 1, write(1)).kind, Kind::Ok);
}

#[test]
fn a_client_that_hangs_is_given_up_and_dropped() {
    let (mut target, dropped) = puppets();
    begin(&mut target, 1, write(HANGS));
    begin(&mut target, 2, Op::read(Value::Int(0)));
    let mut ended = [completion(&mut target), completion(&mut target)];
    ended.sort_by_key(|client| client.process);
    // The write may still happen; a read that returned nothing is as good as never asked.
    assert_eq!([ended[0].kind, ended[1].kind], [Kind::Info, Kind::Fail]);
    assert_eq!(ended[0].error.as_deref(), Some("no answer within 300 ms"));
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
}

#[test]
fn a_client_that_cannot_be_opened_is_fail() {
    let (mut target, _) = puppets();
    let client = ask(&mut target, 66, write(1));
    assert_eq!(client.kind, Kind::Fail);
    assert_eq!(client.error.as_deref(), Some("nothing was sent: no puppet for 66"));
    assert_eq!(ask(&mut target, 1, write(FAILS)).error.as_deref(), Some("no"));
}

#[test]
fn what_it_cannot_do_is_an_error() {
    let (mut target, _) = puppets();
    let (process, node, is_final) = (Process(1), Some(Arc::from("n9")), false);
    let mut invocation =
        Invocation { process, session: 1, node, is_final, waited: Nanos(0), op: write(1) };
    let unknown = target.begin(&Action::Invoke(invocation.clone()));
    assert_eq!(unknown, Err(TargetError::Unusable("no node is called n9".to_owned())));
    // Without a node the target chooses.
    invocation.node = None;
    assert_eq!(target.begin(&Action::Invoke(invocation.clone())), Ok(()));
    assert_eq!(completion(&mut target).node.as_deref(), Some("n2"));
    let fault = Action::Begin(FaultId(1), NodeFault::Kill.at(vec![Arc::from("n1")]));
    assert!(matches!(target.begin(&fault), Err(TargetError::Unusable(_))));
    assert_eq!(target.close(), Ok(()));
    assert_eq!(target.close(), Ok(()));
    assert!(target.begin(&Action::Invoke(invocation)).is_err());
}

/// Writes of numbers that count up: several processes, each with pauses of less than a millisecond.
struct Counting {
    due: Vec<Nanos>,
    free: BTreeSet<u32>,
    next: i64,
    until: i64,
}

impl Generator for Counting {
    fn next(&mut self, context: &Context<'_>) -> Next {
        if self.next == self.until {
            let all = self.due.len() == self.free.len();
            return if all { Next::Done } else { Next::WaitUntil(Nanos::FOREVER) };
        }
        let due = self.free.iter().map(|&process| (self.due[process as usize], process)).min();
        let Some((due, process)) = due else { return Next::WaitUntil(Nanos::FOREVER) };
        if due > context.now {
            return Next::WaitUntil(due);
        }
        self.free.remove(&process);
        self.due[process as usize] = context.now + Nanos(300_000);
        self.next += 1;
        Next::Do(Action::Invoke(Invocation {
            process: Process(process),
            session: process,
            node: None,
            is_final: false,
            waited: Nanos(0),
            op: Op::write(Value::Int(0), Value::Int(self.next)),
        }))
    }

    fn update(&mut self, event: &Event) {
        if let What::Client(client) = &event.what
            && client.kind != Kind::Invoke
        {
            self.free.insert(client.process.0);
        }
    }
}

/// Which writes are kept, and which would be lost if this process died now.
#[derive(Default)]
struct Kept {
    recorded: Vec<i64>,
    flushed: Arc<Mutex<BTreeSet<i64>>>,
}

impl Journal for Kept {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        if let What::Client(client) = &event.what {
            self.recorded.extend(client.op.mops[0].value.as_int());
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushed.lock().expect("nobody panicked").extend(self.recorded.drain(..));
        Ok(())
    }
}

/// Does what it is asked if it is kept.
struct Careful(Arc<Mutex<BTreeSet<i64>>>);

impl Client for Careful {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        let mop = &invocation.op.mops[0];
        let number = mop.value.as_int().expect("a number was written");
        let is_kept = self.0.lock().expect("nobody panicked").contains(&number);
        let outcome = if is_kept {
            Outcome::Ok(invocation.op.mops.clone())
        } else {
            Outcome::Fail("it would be lost".to_owned())
        };
        Box::pin(async move { outcome.into() })
    }
}

#[test]
fn no_operation_leaves_before_it_is_kept() {
    const CLIENTS: u32 = 200;
    let mut journal = Kept::default();
    let kept = journal.flushed.clone();
    let factory = Box::new(move |_: Process, _: &Arc<str>| {
        Ok(Box::new(Careful(kept.clone())) as Box<dyn Client>)
    });
    let target = LiveTarget::new(vec![Arc::from("n1")], factory, Duration::from_secs(5));
    let mut target = target.expect("threads can be started");
    let due = vec![Nanos(0); CLIENTS as usize];
    let mut generator = Counting { due, free: (0..CLIENTS).collect(), next: 0, until: 20_000 };
    let (header, stop) = (Header::default(), AtomicBool::new(false));
    let driven = drive(&mut target, &mut generator, &mut journal, header, &stop);
    let history = driven.expect("driven to the end").history;
    assert_eq!(history.txns().filter(|txn| txn.is_ok()).count(), 20_000);
    assert!(journal.recorded.is_empty(), "the end is flushed as well");
}
