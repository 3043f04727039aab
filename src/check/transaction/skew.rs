//! Write skew and long fork: cycles of dependencies that have a name of their own.

use crate::check::tally::Tally;
use crate::check::transaction::Committed;
use crate::check::transaction::cycles::Core;
use crate::check::transaction::explain::Explain;
use crate::check::{Edge, Limits, Property, Verdict};

const WR: u8 = Edge::Wr as u8;
const RW: u8 = Edge::Rw as u8;

/// WS: two transactions read what the other overwrote, and wrote apart (Berenson et al. 1995).
/// O(edges of the core).
pub(super) fn write_skew(explain: &Explain<'_>, core: &Core, limits: &Limits) -> Verdict {
    let mut tally = Tally::new(Property::Ws, limits);
    tally.judged();
    let graph = core.graph();
    for one in 0..graph.len() as u32 {
        for (other, kinds) in graph.edges(one).filter(|edge| edge.0 > one) {
            if kinds & RW == 0 || graph.kinds(other, one) & RW == 0 {
                continue;
            }
            let (from, to) = (core.node(one), core.node(other));
            if write_apart(explain.committed, from, to) {
                let cycle = [(from, RW), (to, RW)];
                tally
                    .violated(|| explain.anomaly(Property::Ws, "write-skew", "write skew", &cycle));
            }
        }
    }
    Verdict { reason: explain.gap(), ..tally.verdict("") }
}

fn write_apart(committed: &Committed, one: u32, other: u32) -> bool {
    let (mine, theirs) = (committed.writes(one), committed.writes(other));
    let shares = |write: &crate::check::transaction::FinalWrite| {
        theirs.iter().any(|other| other.key == write.key)
    };
    !mine.is_empty() && !theirs.is_empty() && !mine.iter().any(shares)
}

/// LF: two readers saw one of two writers each, and not the other (Sovran et al. 2011). At most
/// `STEPS` edges of the core are looked at.
pub(super) fn long_fork(explain: &Explain<'_>, core: &Core, limits: &Limits) -> Verdict {
    const STEPS: u64 = 100_000_000;
    let mut tally = Tally::new(Property::Lf, limits);
    tally.judged();
    let graph = core.graph();
    let only_reads = |at: u32| explain.committed.writes(core.node(at)).is_empty();
    let mut looked = 0_u64;
    'search: for reader in (0..graph.len() as u32).filter(|at| only_reads(*at)) {
        for (missed, kinds) in graph.edges(reader) {
            if kinds & RW == 0 {
                continue;
            }
            for (other, kinds) in graph.edges(missed) {
                looked += 1;
                if kinds & WR == 0 || other <= reader || !only_reads(other) {
                    continue;
                }
                for (seen, kinds) in graph.edges(other) {
                    looked += 1;
                    if kinds & RW == 0 || seen == missed || graph.kinds(seen, reader) & WR == 0 {
                        continue;
                    }
                    let cycle = [(seen, WR), (reader, RW), (missed, WR), (other, RW)]
                        .map(|(at, kind)| (core.node(at), kind));
                    tally.violated(|| {
                        explain.anomaly(Property::Lf, "long-fork", "long fork", &cycle)
                    });
                }
                if looked > STEPS {
                    tally.doubt(|| "the search for a long fork took too many steps".to_owned());
                    break 'search;
                }
            }
        }
    }
    let verdict = tally.verdict("");
    let reason = verdict.reason.clone().or_else(|| explain.gap());
    Verdict { reason, ..verdict }
}
