//! The part of a workload that one of several load machines does.

use crate::model::{Invocation, Process, Value};

/// One of so many machines that drive a target together. Their processes, sessions and fresh values
/// are disjoint; their keys are the same. Only the first one breaks anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerNumber {
    /// Counted from 0.
    index: u32,
    of: u32,
}

impl Default for WorkerNumber {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl WorkerNumber {
    /// The `number`-th of `of` machines, counted from 1.
    pub fn new(number: u32, of: u32) -> Option<Self> {
        (1..=of).contains(&number).then(|| Self { index: number - 1, of })
    }

    /// Which machine, counted from 1.
    pub fn number(self) -> u32 {
        self.index + 1
    }

    /// How many machines there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether it is the machine that prepares what the others use, and breaks the target.
    pub fn is_first(self) -> bool {
        self.index == 0
    }

    /// The invocation as all machines know it.
    pub(super) fn outside(self, invocation: Invocation) -> Invocation {
        let process = Process(self.spread(invocation.process.0));
        Invocation { process, session: self.spread(invocation.session), ..invocation }
    }

    /// The process as this machine alone counts it.
    pub(super) fn inside(self, process: Process) -> Process {
        Process(process.0 / self.of)
    }

    /// The `count`-th value of a key that this machine makes, from 1.
    pub(super) fn value(self, count: i64) -> Value {
        Value::Int((count - 1) * i64::from(self.of) + i64::from(self.index) + 1)
    }

    fn spread(self, number: u32) -> u32 {
        number.wrapping_mul(self.of).wrapping_add(self.index)
    }
}
