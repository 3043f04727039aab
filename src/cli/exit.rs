//! Exit codes.

use std::fmt;

/// What the exit code of the process says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Holds = 0,
    Violated = 1,
    Undecided = 2,
    BadInput = 3,
    Target = 4,
    Unhealed = 5,
    Interrupted = 130,
}

/// The table of `--help`.
pub(crate) const TABLE: &str = "Exit codes:
  0    every expectation holds
  1    an expectation is violated
  2    undecided: the evidence or the budget did not suffice
  3    bad input: workload, target, history or arguments
  4    the target could not be reached, set up or driven
  5    faults could not be healed (says on which node, and the command that mends it)
  130  interrupted, after healing";

/// Why a command ends early, and with which code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn bad_input(message: impl fmt::Display) -> Self {
        Self { exit: Exit::BadInput, message: message.to_string() }
    }

    pub(crate) fn target(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Target, message: message.to_string() }
    }
}
