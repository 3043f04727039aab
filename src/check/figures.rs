//! Figures: single numbers that tell what a replicated store costs and what it gives, by name.
//!
//! A trade-off has no violation, only a price: how long nobody could write, how many acknowledged
//! writes a crash took with it, how old what replicas answer is.

use std::fmt;
use std::ops::Range;

use crate::check::{Assessment, Measured, Metrics, Property, durability, predicted_staleness};
use crate::history::{Datatype, FaultWindow, History, NodeId, Txn};
use crate::model::{Function, Nanos, Value};

/// A number about a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// A row of the table.
    Named(usize),
    /// How many violations of this property were found for a thousand successful operations.
    Violations(Property),
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// A part of a whole, from 0 to 1.
    Fraction,
    /// Nanoseconds.
    Time,
    /// Things a second.
    PerSecond,
    /// Violations for a thousand successful operations.
    PerThousand,
}

/// What was measured: all that a figure is made of.
struct Seen<'a> {
    history: &'a History,
    metrics: &'a Metrics,
    assessment: &'a Assessment,
}

struct Row {
    name: &'static str,
    unit: Unit,
    about: &'static str,
    measure: fn(&Seen<'_>) -> Option<f64>,
}

const fn row(
    name: &'static str,
    unit: Unit,
    about: &'static str,
    measure: fn(&Seen<'_>) -> Option<f64>,
) -> Row {
    Row { name, unit, about, measure }
}

static TABLE: &[Row] = &[
    row("availability", Unit::Fraction, "operations that succeeded", |seen| {
        fraction(load(seen.history))
    }),
    row("read-availability", Unit::Fraction, "reads that succeeded", |seen| {
        fraction(load(seen.history).filter(|txn| !txn.writes()))
    }),
    row("write-availability", Unit::Fraction, "writes that succeeded", |seen| {
        fraction(load(seen.history).filter(|txn| txn.writes()))
    }),
    row(
        "read-availability-in-faults",
        Unit::Fraction,
        "reads invoked while something was broken that succeeded",
        |seen| fraction(broken(seen.history).filter(|txn| !txn.writes())),
    ),
    row(
        "write-availability-in-faults",
        Unit::Fraction,
        "writes invoked while something was broken that succeeded",
        |seen| fraction(broken(seen.history).filter(|txn| txn.writes())),
    ),
    row(
        "rto",
        Unit::Time,
        "the longest time in which no write succeeded (recovery time)",
        |seen| unavailable(seen, true),
    ),
    row("read-unavailable", Unit::Time, "the longest time in which no read succeeded", |seen| {
        unavailable(seen, false)
    }),
    row(
        "takeover",
        Unit::Time,
        "from a fault to the first write that another node acknowledged, whatever the old one still did",
        takeover,
    ),
    row("failovers", Unit::Count, "how often another node said that it leads", |seen| {
        Some(failovers(seen)?.count() as f64)
    }),
    row(
        "needless-failovers",
        Unit::Count,
        "those of them at which the node that had led before ran",
        |seen| {
            Some(failovers(seen)?.filter(|(before, at)| !is_down(seen, *before, *at)).count() as f64)
        },
    ),
    row(
        "convergence-time",
        Unit::Time,
        "how long after the last fault reads missed what had been acknowledged before its end",
        |seen| time(seen.metrics.staleness?.convergence?),
    ),
    row(
        "sibling-count",
        Unit::Count,
        "the most values that a read of one key showed side by side",
        |seen| siblings(seen).max().map(|most| most as f64),
    ),
    row("lost-writes", Unit::Count, "acknowledged writes that were lost", |seen| {
        let awl = seen.metrics.losses.iter().find(|losses| losses.of == Property::Awl)?;
        Some(awl.all.lost as f64)
    }),
    row(
        "rpo",
        Unit::Time,
        "how far back one failure reached into what had been acknowledged (recovery point)",
        recovery_point,
    ),
    row("throughput", Unit::PerSecond, "successful operations a second", |seen| {
        seen.metrics.ok_per_second
    }),
    row("latency-p50", Unit::Time, "half of the successful operations took at most this", |seen| {
        time(seen.metrics.latency?.p50)
    }),
    row("latency-p99", Unit::Time, "99 % of the successful operations took at most this", |seen| {
        time(seen.metrics.latency?.p99)
    }),
    row("busiest-node", Unit::Fraction, "the share of the node that answered most", |seen| {
        node_shares(seen).max_by(f64::total_cmp)
    }),
    row("idlest-node", Unit::Fraction, "the share of the node that answered least", |seen| {
        node_shares(seen).min_by(f64::total_cmp)
    }),
    row("stale-reads", Unit::Fraction, "reads that missed what had been acknowledged", |seen| {
        let staleness = seen.metrics.staleness?;
        Some(staleness.stale as f64 / staleness.reads as f64)
    }),
    row(
        "predicted-stale-reads",
        Unit::Fraction,
        "stale reads by probabilistically bounded staleness from the same latencies (leaderless)",
        |seen| predicted_staleness::predict(seen.history),
    ),
    row(
        "staleness-p95",
        Unit::Time,
        "95 % of the reads saw every write that had been acknowledged so long before",
        |seen| time(seen.metrics.staleness?.visible?.p95),
    ),
    row(
        "staleness-max",
        Unit::Time,
        "every read saw every write that had been acknowledged so long before",
        |seen| time(seen.metrics.staleness?.visible?.max),
    ),
    row("versions-behind", Unit::Count, "the most versions a read was behind", |seen| {
        Some(seen.metrics.staleness?.versions_max as f64)
    }),
];

impl Figure {
    /// The figure of that name, or the violations of the property of that id or name.
    pub fn from_name(name: &str) -> Option<Self> {
        let at = TABLE.iter().position(|row| row.name == name);
        at.map(Self::Named).or_else(|| Property::from_name(name).map(Self::Violations))
    }

    /// Every name but those of properties.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Named(at) => TABLE[at].name,
            Self::Violations(property) => property.id(),
        }
    }

    /// What it says, in a line.
    pub fn about(self) -> &'static str {
        match self {
            Self::Named(at) => TABLE[at].about,
            Self::Violations(_) => "violations for a thousand successful operations",
        }
    }

    /// What it counts.
    pub fn unit(self) -> Unit {
        match self {
            Self::Named(at) => TABLE[at].unit,
            Self::Violations(_) => Unit::PerThousand,
        }
    }

    /// Measures it; `None` where the history has nothing to measure.
    pub fn measure(
        self,
        history: &History,
        metrics: &Metrics,
        assessment: &Assessment,
    ) -> Option<f64> {
        let seen = Seen { history, metrics, assessment };
        match self {
            Self::Named(at) => (TABLE[at].measure)(&seen),
            Self::Violations(property) => {
                let verdict = seen.assessment.verdict(property)?;
                let found = verdict.count.max(verdict.anomalies.len() as u64);
                let ok = metrics.counts.ok;
                (ok > 0).then(|| found as f64 * 1000.0 / ok as f64)
            }
        }
    }

    /// A value of it with its unit: `97.3 %`, `1.2 s`.
    pub fn show(self, value: f64) -> String {
        self.unit().show(value)
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Count => format!("{value:.0}"),
            Self::Fraction => format!("{:.1} %", value * 100.0),
            Self::Time if value >= 1e9 => format!("{:.2} s", value / 1e9),
            Self::Time => format!("{:.1} ms", value / 1e6),
            Self::PerSecond => format!("{value:.0}/s"),
            Self::PerThousand => format!("{value:.2} ‰"),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What clients did before the final reads.
fn load(history: &History) -> impl DoubleEndedIterator<Item = Txn<'_>> {
    history.txns().filter(|txn| !txn.is_final())
}

/// What clients began while something was broken; everything where nothing ever was.
fn broken(history: &History) -> impl Iterator<Item = Txn<'_>> {
    let faults = history.faults();
    let during = |fault: &FaultWindow, at: Nanos| fault.begin <= at && at < fault.end;
    load(history).filter(move |txn| {
        faults.is_empty() || faults.iter().any(|fault| during(fault, txn.invoked_at()))
    })
}

fn fraction<'h>(txns: impl Iterator<Item = Txn<'h>>) -> Option<f64> {
    let (mut ok, mut all) = (0_u64, 0_u64);
    for txn in txns {
        ok += u64::from(txn.is_ok());
        all += 1;
    }
    (all > 0).then(|| ok as f64 / all as f64)
}

/// The longest time between two successful writes, or reads, in a row, the beginning and the end of the load included.
fn unavailable(seen: &Seen<'_>, writes: bool) -> Option<f64> {
    if !seen.metrics.clock {
        return None;
    }
    let asked = || load(seen.history).filter(|txn| txn.writes() == writes);
    let (first, last) = (asked().next()?.invoked_at(), asked().next_back()?.invoked_at());
    let mut moments: Vec<Nanos> = asked().filter(|txn| txn.is_ok()).map(Txn::returned_at).collect();
    moments.extend([first, last]);
    moments.sort_unstable();
    time(moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default())
}

/// The longest time, over all faults, until a write was acknowledged by another node than the one that
/// acknowledged the last write before; `None` where that never happened.
fn takeover(seen: &Seen<'_>) -> Option<f64> {
    if !seen.metrics.clock {
        return None;
    }
    let writes = load(seen.history).filter(|txn| txn.writes() && txn.is_ok());
    let mut acknowledged: Vec<(Nanos, NodeId)> =
        writes.filter_map(|txn| Some((txn.returned_at(), txn.node()?))).collect();
    acknowledged.sort_unstable();
    let faults = seen.history.faults();
    let taken_over = |fault: &FaultWindow| {
        let begun = acknowledged.partition_point(|(at, _)| *at < fault.begin);
        let (_, before) = *acknowledged.get(begun.checked_sub(1)?)?;
        let next = faults.iter().map(|one| one.begin).filter(|begin| *begin > fault.begin).min();
        let mut after = acknowledged[begun..].iter();
        let (at, _) = after.find(|(_, node)| *node != before)?;
        next.is_none_or(|next| *at < next).then(|| *at - fault.begin)
    };
    time(faults.iter().filter_map(taken_over).max()?)
}

/// The changes of who says that it leads: who led before, and when another one first said so in a newer
/// epoch or term. `None` if nobody was asked.
fn failovers<'a>(seen: &'a Seen<'_>) -> Option<impl Iterator<Item = (NodeId, Nanos)> + use<'a>> {
    let asks = |txn: &Txn<'_>| txn.function() == Function::Leader && txn.is_ok();
    let asked: Vec<Txn<'_>> = load(seen.history).filter(asks).collect();
    let mut claims: Vec<(i64, NodeId, Nanos)> = Vec::new();
    for txn in &asked {
        let said = txn.accesses().next().map(|access| seen.history.values().value(access.value));
        let Some(Value::Map(said)) = said else { continue };
        let newest = said.iter().filter_map(|(_, number)| number.as_int()).max();
        if let (Some(newest), Some(node)) = (newest, txn.node())
            && claims.last().is_none_or(|(last, ..)| newest > *last)
        {
            claims.push((newest, node, txn.returned_at()));
        }
    }
    asked.first()?;
    let changes = (1..claims.len()).map(move |at| (claims[at - 1].1, claims[at].1, claims[at].2));
    Some(changes.filter(|(before, after, _)| before != after).map(|(before, _, at)| (before, at)))
}

/// Whether a node was killed or stood still.
fn is_down(seen: &Seen<'_>, node: NodeId, at: Nanos) -> bool {
    let name = Value::text(&seen.history.nodes()[node.index()]);
    let hits = |value: &Value| match value {
        Value::Map(fields) => fields
            .iter()
            .any(|(_, nodes)| nodes.as_list().is_some_and(|nodes| nodes.contains(&name))),
        _ => false,
    };
    seen.history.faults().iter().any(|fault| {
        let stops = matches!(&*fault.name, "kill" | "pause") && fault.begin <= at && at < fault.end;
        stops && hits(&fault.value)
    })
}

/// How many values each read of a multi-value register showed.
fn siblings<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = usize> + use<'a> {
    let history = seen.history;
    let read = history.txns().filter(|txn| txn.is_ok()).flat_map(Txn::accesses);
    let of_key = read.filter(|access| history.datatype(access.key) == Datatype::MultiValue);
    let lists = of_key.filter(|access| access.function == Function::Get);
    lists.filter_map(|access| Some(history.values().value(access.value).as_list()?.len()))
}

/// Each lost write is put down to the fault whose beginning is nearest to its acknowledgement.
fn recovery_point(seen: &Seen<'_>) -> Option<f64> {
    let judged = durability::judged(seen.history);
    if judged.is_empty() || !seen.metrics.clock {
        return None;
    }
    let faults = seen.history.faults();
    let mut reach: Vec<Option<Range<Nanos>>> = vec![None; faults.len() + 1];
    for (txn, _) in judged.iter().filter(|(_, lost)| *lost) {
        let at = seen.history.txn(*txn).returned_at();
        let nearest = faults.iter().enumerate().min_by_key(|(_, f)| f.begin.0.abs_diff(at.0));
        let (group, strikes) = nearest.map_or((faults.len(), at), |(group, f)| (group, f.begin));
        let one = reach[group].get_or_insert(at..strikes.max(at));
        *one = one.start.min(at)..one.end.max(at);
    }
    time(reach.into_iter().flatten().map(|one| one.end - one.start).max().unwrap_or_default())
}

/// Of the successful operations of the load, which part each node answered.
fn node_shares<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = f64> + use<'a> {
    let ok = |one: &Measured<NodeId>| one.counts.ok as f64;
    let all: f64 = seen.metrics.nodes.iter().map(ok).sum();
    seen.metrics.nodes.iter().filter(move |_| all > 0.0).map(move |one| ok(one) / all)
}

#[expect(clippy::unnecessary_wraps, reason = "the tail of functions that may have nothing")]
fn time(nanos: Nanos) -> Option<f64> {
    Some(nanos.0 as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_none_is_a_property() {
        for name in Figure::names() {
            assert_eq!(Figure::from_name(name).map(Figure::name), Some(name));
            assert!(Property::from_name(name).is_none(), "{name}");
        }
        assert_eq!(Figure::from_name("MR"), Some(Figure::Violations(Property::Mr)));
        assert_eq!(Figure::from_name("rtoo"), None);
    }

    #[test]
    fn values_have_their_units() {
        let shown = |name: &str, value| Figure::from_name(name).map(|figure| figure.show(value));
        assert_eq!(shown("rto", 1.234e9).as_deref(), Some("1.23 s"));
        assert_eq!(shown("rto", 12.34e6).as_deref(), Some("12.3 ms"));
        assert_eq!(shown("availability", 0.9731).as_deref(), Some("97.3 %"));
        assert_eq!(shown("lost-writes", 41.0).as_deref(), Some("41"));
    }
}
