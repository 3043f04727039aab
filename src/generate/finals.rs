//! What is done at the end: every key is read from every node, twice, or every queue is emptied.
//!
//! One round shows what each node holds; the second, a moment later, whether it still moves: nodes
//! that differ alike in both have diverged (ANOMALIES, EC). Every node has a reader of its own, with
//! its own session, so that nobody's session is made to hop between nodes.
//!
//! A queue is emptied by one client that takes from it until it is told that there is nothing left:
//! only then what never came out is lost. Where it is not answered it asks elsewhere.

use std::sync::Arc;

use crate::generate::keys::Keys;
use crate::model::{ClientEvent, Function, Invocation, Kind, Nanos, Op, Process, Value};

/// How many rounds are read.
const ROUNDS: u32 = 2;
/// How often a read that is not answered is tried, and how long a reader waits between.
const ATTEMPTS: u32 = 5;
const RETRY: Nanos = Nanos::from_millis(100);

#[derive(Clone, Debug)]
struct Reader {
    process: u32,
    node: Option<Arc<str>>,
    key: u32,
    attempts: u32,
    not_before: Nanos,
    busy: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Finals {
    readers: Vec<Reader>,
    /// How a key is read, or emptied.
    function: Function,
    rounds: u32,
    first_process: u32,
    first_session: u32,
    round: u32,
    settle: Nanos,
}

impl Finals {
    /// Reads of all keys.
    pub(super) fn reads(
        nodes: &[Arc<str>],
        function: Function,
        process: u32,
        session: u32,
        settle: Nanos,
    ) -> Self {
        let names = nodes.iter().cloned().map(Some);
        let none = nodes.is_empty().then_some(None);
        let readers = names.chain(none).zip(process..).map(|(node, process)| Reader {
            process,
            node,
            key: 0,
            attempts: 0,
            not_before: Nanos(0),
            busy: false,
        });
        Self {
            readers: readers.collect(),
            function,
            rounds: ROUNDS,
            first_process: process,
            first_session: session,
            round: 0,
            settle,
        }
    }

    /// One client who empties all queues.
    pub(super) fn drains(process: u32, session: u32) -> Self {
        let reads = Self::reads(&[], Function::Dequeue, process, session, Nanos(0));
        Self { rounds: 1, ..reads }
    }

    /// The next read, or when to ask again; `None` when all is read.
    pub(super) fn next(&mut self, now: Nanos, keys: &Keys) -> Option<Result<Invocation, Nanos>> {
        if self.readers.iter().all(|reader| reader.key >= keys.len() && !reader.busy) {
            self.round += 1;
            for reader in &mut self.readers {
                reader.key = 0;
                reader.not_before = now + self.settle;
            }
        }
        if self.round >= self.rounds {
            return None;
        }
        let mut wake = Nanos::FOREVER;
        for (at, reader) in self.readers.iter_mut().enumerate() {
            if reader.busy || reader.key >= keys.len() {
                continue;
            }
            if reader.not_before > now {
                wake = wake.min(reader.not_before);
                continue;
            }
            reader.busy = true;
            return Some(Ok(Invocation {
                process: Process(reader.process),
                session: self.first_session + at as u32,
                node: reader.node.clone(),
                is_final: true,
                waited: Nanos(0),
                op: Op::single(self.function, keys.nth(reader.key), Value::Null),
            }));
        }
        Some(Err(wake))
    }

    /// One of these reads has ended at `now`.
    pub(super) fn update(&mut self, event: &ClientEvent, now: Nanos) {
        let many = self.readers.len() as u32;
        let Some(beyond) = event.process.0.checked_sub(self.first_process) else { return };
        let reader = &mut self.readers[(beyond % many) as usize];
        if !reader.busy || reader.process != event.process.0 {
            return;
        }
        reader.busy = false;
        reader.attempts += 1;
        let is_ok = event.kind == Kind::Ok;
        // A process that no node is named for stays at its own, which may be the one that is down.
        if event.kind == Kind::Info || (!is_ok && reader.node.is_none()) {
            reader.process = reader.process.wrapping_add(many);
        }
        let has_more = self.function == Function::Dequeue
            && event.op.mops.first().is_some_and(|mop| mop.value != Value::Null);
        if is_ok && has_more {
            reader.attempts = 0;
        } else if is_ok || reader.attempts >= ATTEMPTS {
            reader.key += 1;
            reader.attempts = 0;
        } else {
            reader.not_before = now + RETRY;
        }
    }
}
