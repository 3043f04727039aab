//! Checks of synthetic histories of 10^4 to 10^7 operations: `cargo bench --bench check`.

#[path = "check/causal.rs"]
mod causal;
#[path = "check/linear.rs"]
mod linear;
#[path = "check/queues.rs"]
mod queues;

fn main() {
    divan::main();
}
