//! Checks of synthetic histories of 10^4 to 10^7 operations: `cargo bench --bench check`.

#[path = "check/linear.rs"]
mod linear;

fn main() {
    divan::main();
}
