//! The levels of isolation that ask only what a transaction has seen: read committed, read atomic and
//! causal consistency, along sessions or not.
//!
//! Biswas and Enea, "On the Complexity of Checking Transactional Consistency" (OOPSLA 2019): if a
//! transaction reads a key from one writer although it has seen another, the other was committed
//! first. A level holds iff these edges and the order of reads (and sessions) form no cycle. Which of
//! them are needed is from Møldrup and Pavlogiannis, "AWDIT: An Optimal Weak Database Isolation
//! Tester" (PLDI 2025). Unlike there, no edge is kept that agrees with a guess of the order of
//! commits: a cycle lies within the stretches of the guess that other edges lead back over.

use std::ops::ControlFlow;

use crate::check::transaction::certificate::{Placed, by_return, guess};
use crate::check::transaction::clocks;
use crate::check::transaction::evidence::{Evidence, INITIAL, NONE};
use crate::check::transaction::polygraph::cycle;
use crate::check::transaction::unseen;
use crate::check::{Anomaly, Edge, Property};
use crate::graph::{Arc, Graph};

/// What a transaction counts as having seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Nothing; only what it reads must be in order.
    Committed,
    /// Whom it read from earlier.
    Read,
    /// Whom it reads from.
    Direct,
    /// Whom it reads from, and what its session did before.
    DirectAndSession,
    /// All that led to what it reads.
    Causal,
    /// All that led to what it reads and to what its session did before.
    CausalAndSession,
}

impl Sight {
    /// Whether the order of sessions counts.
    pub(super) fn is_along_sessions(self) -> bool {
        matches!(self, Self::Read | Self::DirectAndSession | Self::CausalAndSession)
    }

    /// Whether a key may be read twice with different answers.
    fn is_of_all_reads(self) -> bool {
        matches!(self, Self::Committed | Self::Read)
    }
}

/// `earlier` was committed before `later`, because `reader` has seen it and reads the key from `later`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Implied {
    pub(super) earlier: u32,
    /// A node, or [`INITIAL`]: then nothing can be earlier.
    pub(super) later: u32,
    pub(super) reader: u32,
    pub(super) key: u32,
}

/// The bit of edges that are [`Implied`]; the others are those of [`Edge`].
pub(super) const IMPLIED: u8 = 32;

/// What became of a question.
pub(super) enum Outcome {
    Holds,
    Violated(Anomaly),
    /// The budget did not suffice.
    Spent,
}

/// Decides a level; `steps` bounds the search for what was seen without sessions.
pub(super) fn decide(
    evidence: &Evidence<'_>,
    property: Property,
    sight: Sight,
    steps: u64,
) -> Outcome {
    let mut arcs = certain(evidence, sight);
    let found = |arcs: &[Arc], implied: &[Implied]| {
        let graph = Graph::new(evidence.len(), arcs);
        let nodes = cycle(&graph);
        Outcome::Violated(unseen::anomaly(evidence, property, sight, &graph, &nodes, implied))
    };
    let Some(mut order) = guess(&turned(evidence, &arcs), by_return(evidence).into_iter()) else {
        return found(&arcs, &[]);
    };
    if sight == Sight::Committed {
        return Outcome::Holds;
    }
    if sight == Sight::Causal {
        let mut past = Past { evidence, steps, implied: Vec::new() };
        loop {
            let before = past.implied.len();
            if let Some(early) = past.look(&order) {
                return Outcome::Violated(unseen::initial(evidence, property, sight, early));
            }
            if past.steps == 0 {
                return Outcome::Spent;
            }
            if past.implied.len() == before {
                return Outcome::Holds;
            }
            arcs.extend(past.implied[before..].iter().map(Implied::arc));
            match guess(&turned(evidence, &arcs), by_return(evidence).into_iter()) {
                Some(next) => order = next,
                None => return found(&arcs, &past.implied),
            }
        }
    }
    let mut position = vec![0_u32; evidence.len()];
    for (at, node) in (0..).zip(&order) {
        position[*node as usize] = at;
    }
    let place = |node: u32| position[node as usize];
    // Stretches that an edge leads back over: where they begin, how far they reach.
    let mut back: Vec<(u32, u32)> = Vec::new();
    let early = each(evidence, sight, &order, |implied| {
        if implied.later == INITIAL {
            return ControlFlow::Break(implied);
        }
        if place(implied.later) < place(implied.earlier) {
            back.push((place(implied.later), place(implied.earlier)));
        }
        ControlFlow::Continue(())
    });
    if let ControlFlow::Break(early) = early {
        return Outcome::Violated(unseen::initial(evidence, property, sight, early));
    }
    if back.is_empty() {
        return Outcome::Holds;
    }
    back.sort_unstable();
    let mut stretch = vec![NONE; evidence.len()];
    let mut until = 0;
    let mut number = 0;
    for (from, to) in back {
        if from >= until {
            number += 1;
            until = from;
        }
        for at in until..=to.max(until) {
            stretch[at as usize] = number;
        }
        until = until.max(to + 1);
    }
    let is_within = |from: u32, to: u32| {
        let one = stretch[place(from) as usize];
        one != NONE && one == stretch[place(to) as usize]
    };
    arcs.retain(|arc| is_within(arc.from, arc.to));
    let _: ControlFlow<Implied> = each(evidence, sight, &order, |implied| {
        if is_within(implied.earlier, implied.later) {
            arcs.push(implied.arc());
        }
        ControlFlow::Continue(())
    });
    if guess(&turned(evidence, &arcs), std::iter::empty()).is_some() {
        return Outcome::Holds;
    }
    // Why an edge is there is asked only now, for those of one cycle.
    let graph = Graph::new(evidence.len(), &arcs);
    let nodes = cycle(&graph);
    let mut reasons: Vec<Implied> = Vec::new();
    let _: ControlFlow<Implied> = each(evidence, sight, &order, |implied| {
        let at = nodes.iter().position(|node| *node == implied.earlier);
        if at.is_some_and(|at| nodes[(at + 1) % nodes.len()] == implied.later)
            && !reasons.iter().any(|one| one.earlier == implied.earlier)
        {
            reasons.push(implied);
        }
        ControlFlow::Continue(())
    });
    Outcome::Violated(unseen::anomaly(evidence, property, sight, &graph, &nodes, &reasons))
}

impl Implied {
    fn arc(&self) -> Arc {
        Arc { from: self.earlier, to: self.later, kinds: IMPLIED }
    }
}

fn turned(evidence: &Evidence<'_>, arcs: &[Arc]) -> Graph {
    let arcs: Vec<Arc> =
        arcs.iter().map(|arc| Arc { from: arc.to, to: arc.from, ..*arc }).collect();
    Graph::new(evidence.len(), &arcs)
}

/// The edges that are there whatever was seen: reads, the order of lists, sessions.
fn certain(evidence: &Evidence<'_>, sight: Sight) -> Vec<Arc> {
    let mut arcs = Vec::new();
    let mut add = |from: u32, to: u32, edge: Edge| {
        if from != to {
            arcs.push(Arc { from, to, kinds: edge as u8 });
        }
    };
    for node in 0..evidence.len() as u32 {
        let reads = if sight.is_of_all_reads() {
            evidence.all_reads(node)
        } else {
            evidence.reads.row(node)
        };
        for read in reads.iter().filter(|read| read.from != INITIAL) {
            add(read.from, node, Edge::Wr);
        }
        let previous = evidence.previous[node as usize];
        if sight.is_along_sessions() && previous != NONE {
            add(previous, node, Edge::So);
        }
    }
    for chain in evidence.chains.values() {
        for pair in chain.order.windows(2) {
            add(pair[0], pair[1], Edge::Ww);
        }
        if let Some(last) = chain.order.last() {
            for unread in &chain.unread {
                add(*last, *unread, Edge::Ww);
            }
        }
    }
    arcs
}

/// Calls `found` with everything that is implied; not for [`Sight::Causal`].
fn each<F>(
    evidence: &Evidence<'_>,
    sight: Sight,
    order: &[u32],
    mut found: F,
) -> ControlFlow<Implied>
where
    F: FnMut(Implied) -> ControlFlow<Implied>,
{
    match sight {
        Sight::Read => read_before(evidence, &mut found),
        Sight::Direct => read_from(evidence, &mut found),
        Sight::DirectAndSession => {
            read_from(evidence, &mut found)?;
            own_session(evidence, &mut found)
        }
        Sight::CausalAndSession => clocks::causal_past(evidence, order, &mut found),
        Sight::Committed | Sight::Causal => ControlFlow::Continue(()),
    }
}

/// Whom it read from earlier, and who writes a key that it reads later.
fn read_before<F>(evidence: &Evidence<'_>, found: &mut F) -> ControlFlow<Implied>
where
    F: FnMut(Implied) -> ControlFlow<Implied>,
{
    // The reads of one transaction by key and place, and whom it read from already.
    let mut by_key: Vec<(u32, u32, u32)> = Vec::new();
    let mut sources: Vec<(u32, u32)> = Vec::new();
    for reader in 0..evidence.len() as u32 {
        let reads = evidence.all_reads(reader);
        by_key.clear();
        by_key.extend((0..).zip(reads).map(|(at, read)| (read.key, at, read.from)));
        by_key.sort_unstable();
        sources.clear();
        sources.extend((0..).zip(reads).map(|(at, read)| (read.from, at)));
        sources.sort_unstable();
        sources.dedup_by_key(|(from, _)| *from);
        for (earlier, since) in sources.iter().filter(|(from, _)| *from != INITIAL) {
            // The next read of a key from somebody else; what follows it follows from it.
            let mut next = |key: u32| {
                let after = by_key.partition_point(|one| (one.0, one.1) <= (key, *since));
                let mut reads = by_key[after..].iter().take_while(|one| one.0 == key);
                match reads.find(|one| one.2 != *earlier) {
                    Some((_, _, later)) => {
                        found(Implied { earlier: *earlier, later: *later, reader, key })
                    }
                    None => ControlFlow::Continue(()),
                }
            };
            let writes = evidence.writes.row(*earlier);
            if writes.len() <= by_key.len() {
                for key in writes {
                    next(*key)?;
                }
            } else {
                for same in by_key.chunk_by(|one, other| one.0 == other.0) {
                    if writes.binary_search(&same[0].0).is_ok() {
                        next(same[0].0)?;
                    }
                }
            }
        }
    }
    ControlFlow::Continue(())
}

/// Whom it reads from, and who writes another key that it reads.
fn read_from<F>(evidence: &Evidence<'_>, found: &mut F) -> ControlFlow<Implied>
where
    F: FnMut(Implied) -> ControlFlow<Implied>,
{
    let mut by_key: Vec<(u32, u32)> = Vec::new();
    let mut sources: Vec<u32> = Vec::new();
    for reader in 0..evidence.len() as u32 {
        let reads = evidence.reads.row(reader);
        if reads.len() < 2 {
            continue;
        }
        by_key.clear();
        by_key.extend(reads.iter().map(|read| (read.key, read.from)));
        by_key.sort_unstable();
        sources.clear();
        sources.extend(reads.iter().map(|read| read.from).filter(|from| *from != INITIAL));
        sources.sort_unstable();
        sources.dedup();
        for earlier in &sources {
            let writes = evidence.writes.row(*earlier);
            let mut implied = |key: u32, later: u32| {
                if later == *earlier {
                    return ControlFlow::Continue(());
                }
                found(Implied { earlier: *earlier, later, reader, key })
            };
            if writes.len() <= by_key.len() {
                for key in writes {
                    if let Ok(at) = by_key.binary_search_by_key(key, |read| read.0) {
                        implied(*key, by_key[at].1)?;
                    }
                }
            } else {
                for (key, later) in &by_key {
                    if writes.binary_search(key).is_ok() {
                        implied(*key, *later)?;
                    }
                }
            }
        }
    }
    ControlFlow::Continue(())
}

/// Who wrote a key last in the session of the reader.
fn own_session<F>(evidence: &Evidence<'_>, found: &mut F) -> ControlFlow<Implied>
where
    F: FnMut(Implied) -> ControlFlow<Implied>,
{
    let history = evidence.history;
    let mut last = rustc_hash::FxHashMap::default();
    for reader in 0..evidence.len() as u32 {
        let txn = history.txn(evidence.txns[reader as usize]);
        for read in evidence.reads.row(reader) {
            if let Some(earlier) = last.get(&(txn.session(), read.key)).copied()
                && earlier != read.from
            {
                found(Implied { earlier, later: read.from, reader, key: read.key })?;
            }
        }
        if txn.is_ok() {
            for key in evidence.writes.row(reader) {
                last.insert((txn.session(), *key), reader);
            }
        }
    }
    ControlFlow::Continue(())
}

/// What led to what a transaction reads, sessions aside.
///
/// Without sessions there is no cheap way to tell who is in whose past. So only those are looked for
/// that a guess of the order of commits puts between a write and its read, and the guess is made
/// anew with what was found, until it is right.
struct Past<'e> {
    evidence: &'e Evidence<'e>,
    steps: u64,
    implied: Vec<Implied>,
}

impl Past<'_> {
    /// Notes what an order contradicts; a read of an initial version that should have seen more comes
    /// back at once.
    fn look(&mut self, order: &[u32]) -> Option<Implied> {
        let evidence = self.evidence;
        let mut placed = Placed::new(evidence, &evidence.writers());
        let mut position = vec![0_u32; evidence.len()];
        let mut seen_by = vec![NONE; evidence.len()];
        for (at, node) in (0..).zip(order) {
            position[*node as usize] = at;
            let reader = *node;
            let after = |from: u32| if from == INITIAL { 0 } else { position[from as usize] + 1 };
            let reads = evidence.reads.row(reader).iter();
            let is_doubtful =
                |key: u32, from: u32| placed.of(key).last().is_some_and(|last| *last != from);
            let doubtful: Vec<(u32, u32)> = reads
                .filter(|read| is_doubtful(read.key, read.from))
                .map(|read| (read.key, read.from))
                .collect();
            if let Some(bound) = doubtful.iter().map(|(_, from)| after(*from)).min() {
                let mut past = vec![reader];
                let mut next = 0;
                while let Some(seer) = past.get(next).copied() {
                    next += 1;
                    for read in evidence.reads.row(seer) {
                        self.steps = self.steps.saturating_sub(1);
                        let from = read.from;
                        if from == INITIAL
                            || seen_by[from as usize] == reader
                            || position[from as usize] < bound
                        {
                            continue;
                        }
                        seen_by[from as usize] = reader;
                        past.push(from);
                        for (key, later) in &doubtful {
                            if from != *later
                                && position[from as usize] >= after(*later)
                                && evidence.writes.row(from).binary_search(key).is_ok()
                            {
                                let implied =
                                    Implied { earlier: from, later: *later, reader, key: *key };
                                if *later == INITIAL {
                                    return Some(implied);
                                }
                                self.implied.push(implied);
                            }
                        }
                    }
                    if self.steps == 0 {
                        return None;
                    }
                }
            }
            for key in evidence.writes.row(reader) {
                placed.add(*key, reader);
            }
        }
        None
    }
}
