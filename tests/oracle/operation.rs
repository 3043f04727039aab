//! How an operation of an oracle becomes one of a history.

use rashomon::history::Operation;
use rashomon::model::{Function, Kind, Nanos, Process};

/// An operation of a process of its own, between two times in milliseconds; the second is `u64::MAX`
/// if its outcome is unknown.
pub(crate) fn operation(
    number: u32,
    function: Function,
    kind: Kind,
    invoked: u64,
    returned: u64,
) -> Operation {
    Operation {
        index: Some(number),
        process: Process(number),
        kind,
        function,
        invoked: Nanos::from_millis(invoked),
        returned: (returned != u64::MAX).then(|| Nanos::from_millis(returned)),
        session: None,
        node: None,
        version: None,
        is_final: false,
    }
}
