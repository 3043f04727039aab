//! Roads: nodes behind a real sshd, each in a network namespace of its own, broken by every kind of fault;
//! and what they do when nobody is left to mend them.

#![cfg(all(feature = "live", feature = "cli"))]
#![expect(clippy::disallowed_methods, reason = "nodes heal in real time")]
#![expect(clippy::print_stdout, reason = "a skipped test says so, and figures are shown")]

#[path = "../live/act.rs"]
mod act;
mod doubles;
mod faults;
mod interrupted;
mod left_alone;
mod site;
