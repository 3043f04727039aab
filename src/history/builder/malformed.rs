//! What makes well-formed lines no history.

use std::fmt;

use crate::model::{Function, Kind, Nanos, Process, Value};

/// Why a sequence of well-formed lines is no history. Readers add the file and the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A completion of a process that has no open operation.
    CompletionWithoutInvocation(Process),
    /// An invocation by a process whose operation of that index is still open.
    StillOpen(Process, u32),
    /// A time before that of the line above.
    TimeBackwards {
        /// The time of the line above.
        before: Nanos,
        /// The time of this line.
        now: Nanos,
    },
    /// An index a second time.
    DuplicateIndex(u32),
    /// An index below that of a line above.
    IndexBackwards {
        /// The greatest index above.
        before: u32,
        /// The index of this line.
        now: u32,
    },
    /// A completion that names another function than its invocation.
    FunctionChanged {
        /// What was invoked.
        invoked: Function,
        /// What is completed.
        completed: Function,
    },
    /// A completion with other micro-operations (number, functions or keys) than its invocation.
    AccessesChanged(Function),
    /// A completion that wrote another value than its invocation.
    WriteChanged {
        /// What was to be written.
        invoked: Value,
        /// What is said to be written.
        completed: Value,
    },
    /// An operation that returned before it was invoked.
    ReturnedBeforeInvoked,
    /// An `ok` or `fail` operation without a time of return.
    NeverReturned(Kind),
    /// Two operations of one process, by index, at the same time.
    Overlap(Process, u32, u32),
    /// More lines, operations or values than a `u32` can number.
    TooLarge,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CompletionWithoutInvocation(process) => {
                write!(f, "completion without invocation: process {process} has no open operation")
            }
            Self::StillOpen(process, index) => write!(
                f,
                "process {process} invokes while its operation {index} is still open; expected ok, fail or info first"
            ),
            Self::TimeBackwards { before, now } => write!(
                f,
                "time runs backwards: {} after {} ns; expected lines in the order they were recorded",
                now.0, before.0
            ),
            Self::DuplicateIndex(index) => {
                write!(f, "duplicate index {index}; expected each index once")
            }
            Self::IndexBackwards { before, now } => {
                write!(f, "index {now} after index {before}; expected rising indices")
            }
            Self::FunctionChanged { invoked, completed } => write!(
                f,
                "completes a {}, but the process invoked a {}",
                completed.name(),
                invoked.name()
            ),
            Self::AccessesChanged(function) => write!(
                f,
                "completes a {} with other micro-operations than it was invoked with",
                function.name()
            ),
            Self::WriteChanged { invoked, completed } => {
                write!(f, "completes a write of {completed}, but {invoked} was to be written")
            }
            Self::ReturnedBeforeInvoked => write!(f, "returned before it was invoked"),
            Self::NeverReturned(kind) => {
                write!(
                    f,
                    "type {} without a time of return; expected one, or type info",
                    kind.name()
                )
            }
            Self::Overlap(process, one, other) => write!(
                f,
                "operations {one} and {other} of process {process} overlap; expected one at a time"
            ),
            Self::TooLarge => write!(f, "too large: more than 4,294,967,000 entries of one kind"),
        }
    }
}

impl std::error::Error for Malformed {}
