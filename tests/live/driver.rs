//! The live target over a client of our own: order, time, panics and clients that hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rashomon::model::{
    Action, FaultId, Invocation, Kind, Nanos, NodeFault, Op, Outcome, Process, Value, What,
};
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
    // What is ready comes out even when the time has passed.
    begin(&mut target, 1, write(1));
    while target.now() < until + Nanos::from_millis(100) {
        std::hint::spin_loop();
    }
    assert!(target.advance(Nanos(0)).is_some());
    assert_eq!(target.advance(Nanos(0)), None);
}

#[test]
fn what_lies_about_before_it_is_recorded_is_our_own_latency() {
    let (mut target, _) = puppets();
    begin(&mut target, 1, write(1));
    let until = target.now() + Nanos::from_millis(100);
    while target.now() < until {
        std::hint::spin_loop();
    }
    assert!(target.advance(Nanos::FOREVER).is_some());
    let added = target.added_latency().expect("real time");
    assert!((70..=100).contains(&(added.0 / 1_000_000)), "{added}");
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
