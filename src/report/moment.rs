//! Operations, faults and times in words, each as short as can be.

use std::fmt::Write;

use crate::history::{Access, FaultWindow, Txn, ValueId};
use crate::model::{Function, Kind, Nanos, Value};
use crate::report::escape::{clipped, plain};
use crate::report::{Finding, Report};

/// How times are written: all those of one anomaly alike, so that they can be compared.
#[derive(Clone, Copy)]
pub(super) enum Moments {
    /// Seconds since the clock's zero, with so many decimals.
    Seconds(usize),
    /// The history has no clock: numbers of events.
    Events,
    /// The history has no times at all: all that is known is the order of each session.
    Sessions,
}

/// When anything happened in a history without times.
const IN_SESSION_ORDER: &str = "in session order";

impl Moments {
    /// As precise as it takes to tell the events of this anomaly apart.
    pub(super) fn of(report: &Report<'_>, finding: &Finding<'_>) -> Self {
        if !report.history.has_real_time() {
            return Self::Sessions;
        }
        if !report.metrics.clock {
            return Self::Events;
        }
        let txns = finding.operations.iter();
        let mut times: Vec<Nanos> =
            txns.flat_map(|txn| [txn.invoked_at(), txn.returned_at()]).collect();
        times.sort_unstable();
        times.dedup();
        let gap = times.windows(2).map(|pair| pair[1] - pair[0]).min();
        match gap {
            Some(gap) if gap < Nanos::from_micros(1) => Self::Seconds(9),
            Some(gap) if gap < Nanos::from_millis(1) => Self::Seconds(6),
            _ => Self::Seconds(3),
        }
    }

    pub(super) fn invoked(self, txn: Txn<'_>) -> String {
        match self {
            Self::Seconds(_) => self.at(txn.invoked_at()),
            Self::Events => format!("event {}", txn.invoked().0),
            Self::Sessions => IN_SESSION_ORDER.to_owned(),
        }
    }

    pub(super) fn returned(self, txn: Txn<'_>) -> String {
        match self {
            Self::Seconds(_) => self.at(txn.returned_at()),
            Self::Events => format!("event {}", txn.returned().0),
            Self::Sessions => IN_SESSION_ORDER.to_owned(),
        }
    }

    pub(super) fn at(self, time: Nanos) -> String {
        match self {
            _ if time == Nanos::FOREVER => "the end".to_owned(),
            Self::Seconds(decimals) => {
                let unit = 10_u64.pow(9 - decimals as u32);
                let (whole, part) = (time.0 / 1_000_000_000, time.0 % 1_000_000_000 / unit);
                format!("{whole}.{part:0decimals$} s")
            }
            Self::Events | Self::Sessions => format!("{} ns", time.0),
        }
    }

    /// When, and if not well, how it ended: `1.204 s to 1.207 s`.
    pub(super) fn when(self, txn: Txn<'_>) -> String {
        let invoked = self.invoked(txn);
        match txn.kind() {
            Kind::Ok if matches!(self, Self::Sessions) => invoked,
            Kind::Fail if matches!(self, Self::Sessions) => format!("{invoked}, failed"),
            Kind::Ok => format!("{invoked} to {}", self.returned(txn)),
            Kind::Fail => format!("{invoked} to {}, failed", self.returned(txn)),
            Kind::Info | Kind::Invoke => format!("{invoked}, outcome unknown"),
        }
    }

    /// `F2 partition, 1.100 s to 6.100 s: {"shape": "halves"}`.
    pub(super) fn fault(self, fault: &FaultWindow) -> String {
        let (begin, end) = (self.at(fault.begin), self.at(fault.end));
        format!("{}, {begin} to {end}{}", fault_name(fault), fault_value(fault))
    }
}

/// `F2 partition`.
pub(super) fn fault_name(fault: &FaultWindow) -> String {
    format!("{} {}", fault.id, clipped(&fault.name, 24))
}

/// What a fault did: `: {nodes: ["n1"]}`, or nothing.
pub(super) fn fault_value(fault: &FaultWindow) -> String {
    match &fault.value {
        Value::Null => String::new(),
        value => format!(": {}", clipped(&value.to_string(), 160)),
    }
}

/// What an operation did, without who and when: `write x 41`, `read x saw 40`.
pub(super) fn what(report: &Report<'_>, txn: Txn<'_>) -> String {
    const KEY: usize = 20;
    const VALUE: usize = 28;
    let history = report.history;
    let value = |access: &Access| match access.value {
        ValueId::UNKNOWN => "?".to_owned(),
        id => clipped(&shortened(history.value(access.key, id)), VALUE),
    };
    let named = |access: &Access| match history.key_name(access.key) {
        Value::Null => String::new(),
        name => format!(" {}", clipped(&name.to_string(), KEY)),
    };
    let accesses: Vec<Access> = txn.accesses().collect();
    let mut text = txn.function().name().to_owned();
    match (txn.function(), accesses.as_slice()) {
        (Function::Cas | Function::Rmw, [old, new]) => {
            let _ = write!(text, "{} {} to {}", named(old), value(old), value(new));
        }
        (Function::Read, [read]) if txn.is_ok() => {
            let _ = write!(text, "{} saw {}", named(read), value(read));
        }
        (Function::Read, [read]) => text += &named(read),
        (Function::Txn, all) => {
            for access in all.iter().take(6) {
                let name = access.function.name();
                let _ = write!(text, " [{name}{} {}]", named(access), value(access));
            }
            if all.len() > 6 {
                let _ = write!(text, " and {} more", all.len() - 6);
            }
        }
        (_, all) => {
            for access in all.iter().take(6) {
                let _ = write!(text, "{} {}", named(access), value(access));
            }
        }
    }
    text
}

/// A value, of a long list the first two elements and the last two.
fn shortened(value: Value) -> String {
    const WHOLE: usize = 6;
    match value {
        Value::List(items) if items.len() > WHOLE => {
            let (first, last) = (&items[..2], &items[items.len() - 2..]);
            let [first, last] = [first, last].map(|part| Value::List(part.into()).to_string());
            format!("{}, …, {}", &first[..first.len() - 1], &last[1..])
        }
        value => value.to_string(),
    }
}

/// The node an operation contacted, or nothing.
pub(super) fn node(report: &Report<'_>, txn: Txn<'_>) -> String {
    txn.node().map_or_else(String::new, |node| clipped(&report.history.nodes()[node.index()], 16))
}

/// Why an operation failed or stayed unknown, or nothing.
pub(super) fn error(txn: Txn<'_>) -> String {
    txn.error().map_or_else(String::new, |error| format!(" ({})", clipped(error, 80)))
}

/// `workload register, seed 7`, as far as it is known.
pub(super) fn origin(report: &Report<'_>) -> Vec<String> {
    let header = report.history.header();
    let workload = header.and_then(|header| header.workload.as_deref());
    let seed = header.and_then(|header| header.seed);
    let parts = [
        workload.map(|name| format!("workload {}", clipped(name, 60))),
        seed.map(|seed| format!("seed {seed}")),
        report.path.map(plain),
    ];
    parts.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_keep_their_ends() {
        let list = |n: i64| Value::list((0..n).map(Value::from));
        assert_eq!(shortened(list(6)), "[0, 1, 2, 3, 4, 5]");
        assert_eq!(shortened(list(1000)), "[0, 1, …, 998, 999]");
        let nested = Value::List(vec![list(1); 7].into());
        assert_eq!(shortened(nested), "[[0], [0], …, [0], [0]]");
    }
}
