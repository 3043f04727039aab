//! The one loop for simulated and for real time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::check::{Latency, Times};
use crate::generate::{Context, Generator, Next};
use crate::history::{Builder, Header, History, Malformed};
use crate::model::{
    Action, ClientEvent, Event, Fault, FaultEvent, FaultId, Kind, Nanos, Value, What,
};
use crate::run::Journal;
use crate::target::{Target, TargetError};

/// How long a run that was interrupted waits for its open operations.
const PATIENCE: Nanos = Nanos::from_millis(2_000);

/// How long a live run may wait before it looks again whether it was interrupted.
const GLANCE: Nanos = Nanos::from_millis(100);

/// How many operations are begun at most before the first of them leaves.
const BATCH: usize = 64;

/// What came of driving a target.
pub struct Driven {
    /// What happened.
    pub history: History,
    /// How much of the latencies is rashomon's own: from the moment that an operation is handed over until
    /// its client sets about it, and from the client's answer to its record. Absent under virtual time.
    pub added: Option<Latency>,
    /// Whether it was interrupted before the generator was done.
    pub interrupted: bool,
}

/// Why a run came to nothing.
#[derive(Debug)]
pub enum DriveError {
    /// The target could not be driven or healed.
    Target(TargetError),
    /// The journal could not be written.
    Journal(io::Error),
    /// The target returned events that make no history: a bug of the target.
    Malformed(Malformed),
}

impl fmt::Display for DriveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(error) => write!(f, "{error}"),
            Self::Journal(error) => write!(f, "failed to write the history: {error}"),
            Self::Malformed(error) => write!(f, "the target returned an impossible event: {error}"),
        }
    }
}

impl std::error::Error for DriveError {}

impl From<TargetError> for DriveError {
    fn from(error: TargetError) -> Self {
        Self::Target(error)
    }
}

/// Drives `target` with `generator` until that is done or `stop` is set; heals on every way out.
///
/// Every event is journaled before the target may act on it: the journal is flushed before a fault begins and
/// before the target advances, when operations leave. Completions that have arrived are all taken before
/// the generator is asked again: later they would be recorded as concurrent with what they were not.
pub fn drive(
    target: &mut dyn Target,
    generator: &mut dyn Generator,
    journal: &mut dyn Journal,
    header: Header,
    stop: &AtomicBool,
) -> Result<Driven, DriveError> {
    let mut builder = Builder::new();
    builder.header(header);
    let mut driver = Driver {
        target,
        generator,
        journal,
        builder,
        open_faults: BTreeMap::new(),
        under_way: VecDeque::new(),
        open: 0,
        begun: 0,
        added: Times::default(),
    };
    let outcome = driver.run(stop);
    let ended = driver.end_faults();
    let flushed = driver.flush();
    let closed = driver.target.close().map_err(DriveError::from);
    // A fault that cannot be undone outweighs whatever else went wrong.
    closed?;
    ended?;
    flushed?;
    let interrupted = outcome?;
    let added = driver.added.read();
    let history = driver.builder.finish().map_err(DriveError::Malformed)?;
    Ok(Driven { history, added, interrupted })
}

struct Driver<'a> {
    target: &'a mut dyn Target,
    generator: &'a mut dyn Generator,
    journal: &'a mut dyn Journal,
    builder: Builder,
    open_faults: BTreeMap<FaultId, Fault>,
    /// The beginnings and ends of faults that have not settled.
    under_way: VecDeque<Action>,
    /// Operations invoked and not completed.
    open: usize,
    /// How much was begun since the target last advanced.
    begun: usize,
    added: Times,
}

impl Driver<'_> {
    /// Returns whether it was interrupted.
    fn run(&mut self, stop: &AtomicBool) -> Result<bool, DriveError> {
        loop {
            if let Some(event) = self.target.arrived() {
                self.record(&event)?;
                continue;
            }
            self.settle()?;
            let now = self.target.now();
            if stop.load(Ordering::Relaxed) {
                self.end_faults()?;
                self.drain(now + PATIENCE)?;
                return Ok(true);
            }
            let primary = self.target.primary();
            let fault_under_way = !self.under_way.is_empty();
            let context = Context { now, primary: primary.as_ref(), fault_under_way };
            match self.generator.next(&context) {
                Next::Do(action) => {
                    self.act(&action)?;
                    if self.begun >= BATCH {
                        self.advance(now)?;
                    }
                }
                Next::WaitUntil(Nanos::FOREVER) if self.open == 0 && !fault_under_way => {
                    let why =
                        "the generator waits for a completion, but nothing is open".to_owned();
                    return Err(TargetError::Unusable(why).into());
                }
                Next::WaitUntil(until) => {
                    self.advance(until.min(now + GLANCE))?;
                }
                Next::Done => return Ok(false),
            }
        }
    }

    /// Lets the target go on; whether something was completed.
    fn advance(&mut self, until: Nanos) -> Result<bool, DriveError> {
        self.flush()?;
        self.begun = 0;
        let event = self.target.advance(until);
        if let Some(event) = &event {
            self.record(event)?;
        }
        Ok(event.is_some())
    }

    fn flush(&mut self) -> Result<(), DriveError> {
        self.journal.flush().map_err(DriveError::Journal)
    }

    fn act(&mut self, action: &Action) -> Result<(), DriveError> {
        let time = self.target.now();
        let what = match action {
            Action::Invoke(invocation) => Some(What::Client(ClientEvent {
                session: Some(invocation.session),
                node: invocation.node.clone(),
                is_final: invocation.is_final,
                waited: invocation.waited,
                ..ClientEvent::new(invocation.process, Kind::Invoke, invocation.op.clone())
            })),
            Action::Begin(id, fault) => {
                self.open_faults.insert(*id, fault.clone());
                Some(What::Fault(fault_event(*id, fault, true)))
            }
            Action::End(id, _) => {
                // The window ends when the target is whole again, not when it is asked to be.
                self.open_faults.remove(id);
                None
            }
        };
        if let Some(what) = what {
            self.record(&Event { time, what })?;
        }
        let is_fault = !matches!(action, Action::Invoke(_));
        if is_fault {
            self.flush()?;
        }
        self.target.begin(action)?;
        self.begun += 1;
        if is_fault {
            self.under_way.push_back(action.clone());
            self.settle()?;
        }
        Ok(())
    }

    /// Looks which faults are in force or undone by now.
    fn settle(&mut self) -> Result<(), DriveError> {
        while let Some(action) = self.under_way.pop_front() {
            let (Action::Begin(id, fault) | Action::End(id, fault)) = &action else { continue };
            if !self.target.settled(*id)? {
                self.under_way.push_front(action);
                break;
            }
            if matches!(action, Action::Begin(..)) && self.open_faults.contains_key(id) {
                let seen = self.target.verified(*id);
                self.journal.in_force(self.target.now(), *id, fault, seen);
            }
            if matches!(action, Action::End(..)) {
                let mut ended = fault_event(*id, fault, false);
                if let (Value::Map(entries), Some(verified)) =
                    (&ended.value, self.target.verified(*id))
                {
                    let verified = (Value::text("verified"), Value::Bool(verified));
                    ended.value = Value::Map(entries.iter().cloned().chain([verified]).collect());
                }
                self.record(&Event { time: self.target.now(), what: What::Fault(ended) })?;
            }
        }
        Ok(())
    }

    fn record(&mut self, event: &Event) -> Result<(), DriveError> {
        self.journal.record(event).map_err(DriveError::Journal)?;
        self.builder.event(event).map_err(DriveError::Malformed)?;
        if let What::Client(client) = &event.what {
            if client.kind == Kind::Invoke {
                self.open += 1;
            } else {
                self.open -= 1;
                if let Some(added) = self.target.added_latency() {
                    self.added.record(added);
                }
            }
        }
        self.generator.update(event);
        Ok(())
    }

    fn end_faults(&mut self) -> Result<(), DriveError> {
        while let Some((id, fault)) = self.open_faults.pop_last() {
            self.act(&Action::End(id, fault))?;
        }
        while !self.under_way.is_empty() {
            self.advance(self.target.now() + GLANCE)?;
            self.settle()?;
        }
        Ok(())
    }

    /// Takes completions until nothing is open or the time has come.
    fn drain(&mut self, until: Nanos) -> Result<(), DriveError> {
        while self.open > 0 && self.advance(until)? {}
        Ok(())
    }
}

fn fault_event(id: FaultId, fault: &Fault, begins: bool) -> FaultEvent {
    FaultEvent { id: Some(id), begins, name: fault.name().into(), value: fault.value() }
}
