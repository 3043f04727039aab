//! What was compared with an oracle, a line a property: `cargo test -- --nocapture | grep compared`.

use rashomon::check::{Property, Status};

/// Prints how many histories of a kind were compared, and what was said of them; how many of them were
/// found violated.
pub(crate) fn tell(property: Property, of: &str, said: impl IntoIterator<Item = Status>) -> usize {
    let mut counts = [0; 3];
    for status in said {
        counts[match status {
            Status::Valid => 0,
            Status::Unknown => 1,
            Status::Invalid => 2,
        }] += 1;
    }
    let [valid, undecided, violated] = counts;
    println!(
        "{} of {of}: {} compared, {violated} violated, {undecided} undecided",
        property.id(),
        valid + undecided + violated
    );
    violated
}
