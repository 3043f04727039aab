//! Which faults a run really suffered.

use std::sync::Arc;

use crate::history::{FaultWindow, History};
use crate::model::{Nanos, Value};

/// The faults of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// `partition`, `kill`, …
    pub fault: Arc<str>,
    /// How often there was one.
    pub times: u64,
    /// How long there were any, each counted by itself; those without an end are left out.
    pub lasted: Nanos,
    /// How many were seen to be in force, by a probe.
    pub verified: u64,
    /// How many nobody looked for. Neither count has those of a simulator, which are what it says.
    pub unverified: u64,
}

/// What faults there were, by name.
pub(super) fn coverage(history: &History) -> Vec<Coverage> {
    let mut all: Vec<Coverage> = Vec::new();
    for window in history.faults() {
        let at = all.iter().position(|one| one.fault == window.name).unwrap_or_else(|| {
            let (fault, lasted) = (window.name.clone(), Nanos(0));
            all.push(Coverage { fault, times: 0, lasted, verified: 0, unverified: 0 });
            all.len() - 1
        });
        let one = &mut all[at];
        one.times += 1;
        if window.end != Nanos::FOREVER {
            one.lasted = one.lasted + (window.end - window.begin);
        }
        match is_verified(window) {
            Some(true) => one.verified += 1,
            Some(false) => one.unverified += 1,
            None => {}
        }
    }
    all
}

fn is_verified(window: &FaultWindow) -> Option<bool> {
    let Value::Map(entries) = &window.value else { return None };
    let (_, verified) = entries.iter().find(|(key, _)| key.as_text() == Some("verified"))?;
    match verified {
        Value::Bool(verified) => Some(*verified),
        _ => None,
    }
}
