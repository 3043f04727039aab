//! One history of those that several load machines recorded of one run.

use std::collections::BTreeSet;
use std::fmt;

use crate::history::timeline::op;
use crate::history::{Builder, Header, History, Malformed, Operation};
use crate::model::{Kind, Nanos};

/// Why histories cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeError {
    /// This one, counted from 0, does not say how wrong its clock was.
    NoClock(usize),
    /// This one is not of the run of the first: what differs.
    Another(usize, &'static str),
    /// This machine's part is missing, or there twice.
    Worker(String),
    /// A process is in two of them.
    Process(u32),
    /// They make no history.
    Malformed(Malformed),
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoClock(at) => write!(
                f,
                "history {} does not say how wrong its clock was; record it with `rashomon run \
                 --worker`, or say it with --clock-error",
                at + 1
            ),
            Self::Another(at, what) => {
                write!(f, "history {} has another {what} than the first", at + 1)
            }
            Self::Worker(worker) => write!(
                f,
                "expected the history of every worker once; {worker} is missing or there twice"
            ),
            Self::Process(process) => write!(f, "process {process} is in two of the histories"),
            Self::Malformed(malformed) => write!(f, "{malformed}"),
        }
    }
}

impl std::error::Error for MergeError {}

/// One history of several that were recorded at the same time. Their clocks may differ by the errors in
/// their headers, or by `error` where it is given; operations nearer to each other than that are
/// concurrent in what comes out, so that no order rests on clocks.
pub fn merge(histories: &[History], error: Option<Nanos>) -> Result<History, MergeError> {
    let blank = Header::default();
    let headers: Vec<&Header> =
        histories.iter().map(|history| history.header().unwrap_or(&blank)).collect();
    let first = headers.first().copied().unwrap_or(&blank);
    for (at, header) in headers.iter().enumerate() {
        let differs = [
            ("workload", header.workload != first.workload),
            ("list of nodes", header.nodes != first.nodes),
            ("initial value", header.initial != first.initial),
        ];
        if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
            return Err(MergeError::Another(at, what));
        }
    }
    all_workers(&headers)?;
    let errors: Vec<u64> = if let Some(error) = error {
        vec![error.0]
    } else {
        let errors = headers.iter().enumerate();
        let errors = errors.map(|(at, one)| one.clock_error_ns.ok_or(MergeError::NoClock(at)));
        errors.collect::<Result<_, _>>()?
    };
    let mut builder = Builder::new();
    builder.header(Header {
        worker: None,
        clock_error_ns: errors.into_iter().max(),
        ..first.clone()
    });
    let mut seen: BTreeSet<u32> = BTreeSet::new();
    for history in histories {
        let mut own: BTreeSet<u32> = BTreeSet::new();
        for txn in history.txns() {
            own.insert(txn.process().0);
            let operation = Operation {
                index: None,
                process: txn.process(),
                kind: txn.kind(),
                function: txn.function(),
                invoked: txn.invoked_at(),
                returned: (txn.kind() != Kind::Info).then(|| txn.returned_at()),
                session: Some(history.session_name(txn.session())),
                node: txn.node().map(|node| builder.node(&history.nodes()[node.index()])),
                version: txn.version(),
                is_final: txn.is_final(),
            };
            let whole = op(history, txn, false);
            let number = builder.whole(operation, &whole).map_err(MergeError::Malformed)?;
            builder.waited(number, txn.waited());
            if let Some(why) = txn.error() {
                builder.error(number, why);
            }
        }
        if let Some(process) = own.iter().find(|process| seen.contains(process)) {
            return Err(MergeError::Process(*process));
        }
        seen.append(&mut own);
        for window in history.faults() {
            builder.fault_window(window.clone());
        }
    }
    builder.finish().map_err(MergeError::Malformed)
}

/// Every machine of the run is there once, where the headers tell.
fn all_workers(headers: &[&Header]) -> Result<(), MergeError> {
    let mut workers: Vec<&str> =
        headers.iter().filter_map(|header| header.worker.as_deref()).collect();
    workers.sort_unstable();
    let Some((_, of)) = workers.first().and_then(|worker| worker.split_once('/')) else {
        return Ok(());
    };
    let of = of.parse().unwrap_or(0);
    let all = (1..=of).map(|number| format!("{number}/{of}"));
    let missing = all.into_iter().find(|one| workers.iter().filter(|w| *w == one).count() != 1);
    missing.map_or(Ok(()), |worker| Err(MergeError::Worker(worker)))
}
