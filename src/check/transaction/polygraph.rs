//! Decides a level of isolation of transactions whose order of versions is not fully known.
//!
//! Deciding serializability of a history with unknown version orders is NP-complete (Papadimitriou
//! 1979): for two writers of a key, either the first was overwritten before the second, and so was
//! read only earlier, or the other way round. Such a choice is a variable of a SAT solver whose
//! theory keeps the graph acyclic, as in Cobra (OSDI 2020) and Viper (`EuroSys` 2023). Unlike there, a
//! choice is made only if it matters: the solver's graph comes with an order of all nodes, which
//! either is a proof that the level holds or names the pairs of writers that it puts wrong.

use std::cell::Cell;
use std::rc::Rc;

use batsat::{Callbacks, Lit, Solver, SolverInterface, SolverOpts, Var, lbool};
use rustc_hash::FxHashMap;

use crate::check::transaction::acyclicity::{Acyclic, Choice, Theorem};
use crate::check::transaction::certificate::{Pair, by_return, contradictions, guess, replayed};
use crate::check::transaction::evidence::{Evidence, INITIAL};
use crate::check::transaction::level::{Known, Level, Model};
use crate::check::transaction::parallel;
use crate::check::transaction::pruning::Pruning;
use crate::check::transaction::rows::Rows;
use crate::graph::{CycleSpec, Graph, components, shortest_cycle};

/// What became of a question.
pub(super) enum Answer {
    /// There is an order that explains every read.
    Holds,
    /// There is none; these nodes of the level's graph lie on a cycle that is certain.
    Cycle(Vec<u32>),
    /// There is none, whichever way these transactions' writes are ordered.
    NoOrder(Vec<u32>),
    /// The budget did not suffice.
    Spent,
}

/// The certain edges of a level turned round, and an order of its nodes that agrees with them.
fn certain(evidence: &Evidence<'_>, level: Level) -> (Graph, Option<Vec<u32>>) {
    let Known { nodes, mut arcs, .. } = Known::new(evidence, level);
    for arc in &mut arcs {
        (arc.from, arc.to) = (arc.to, arc.from);
    }
    let backward = Graph::new(nodes, &arcs);
    drop(arcs);
    let roots = by_return(evidence).into_iter().map(|txn| level.model.commit(txn));
    let order = guess(&backward, roots);
    (backward, order)
}

/// Whether a guess of the order of transactions shows that a level holds; nothing is searched, and
/// nothing follows where none does.
pub(super) fn is_certified(evidence: &Evidence<'_>, level: Level) -> bool {
    let (backward, order) = certain(evidence, level);
    let writers = evidence.writers();
    order.is_some_and(|order| explains(evidence, &writers, level, &backward, &order))
}

/// Whether an order explains every read, or one does in which the writers of each key follow each
/// other as in it.
fn explains(
    evidence: &Evidence<'_>,
    writers: &Rows<u32>,
    level: Level,
    backward: &Graph,
    order: &[u32],
) -> bool {
    if level.model == Model::Parallel {
        return parallel::contradictions(evidence, writers, backward, order, 1).clauses.is_empty();
    }
    let is_explained =
        |order: &[u32]| contradictions(evidence, writers, level.model, order).is_empty();
    is_explained(order)
        || replayed(evidence, writers, level.model, backward, order)
            .is_some_and(|order| is_explained(&order))
}

/// Decides; `steps` is how many edges may be looked at, and is what is left of them afterwards.
pub(super) fn decide(evidence: &Evidence<'_>, level: Level, steps: &mut u64) -> Answer {
    let (backward, order) = certain(evidence, level);
    let Some(order) = order else { return Answer::Cycle(cycle(&backward)) };
    let writers = evidence.writers();
    if explains(evidence, &writers, level, &backward, &order) {
        return Answer::Holds;
    }
    if level.model != Model::Prefix
        && let Some((_, from, one, other)) = lost_update(evidence)
    {
        let mut core = vec![one, other];
        core.extend((from != INITIAL).then_some(from));
        core.sort_unstable();
        return Answer::NoOrder(core);
    }
    let readers = evidence.readers();
    let certain = (backward, order);
    let pruning = Pruning::new(evidence, level.model, &readers, &writers, certain, *steps / 2);
    let pruning = match pruning {
        Ok(pruning) => pruning,
        Err(named) => return Answer::NoOrder(with_sources(evidence, named)),
    };
    *steps = steps.saturating_sub(pruning.steps);
    if !pruning.is_idle() && explains(evidence, &writers, level, &pruning.backward, &pruning.order)
    {
        return Answer::Holds;
    }
    let spent = Rc::new(Cell::new(false));
    let forward = pruning.backward.turned();
    let graph = Acyclic::new(&forward, &pruning.backward, &pruning.order);
    let theorem = Theorem::new(graph, &pruning, *steps, spent.clone());
    let mut search = Search {
        evidence,
        model: level.model,
        readers: &readers,
        solver: Solver::new(SolverOpts::default(), Spent(spent)),
        theorem,
        variables: FxHashMap::default(),
        pairs: Vec::new(),
        named: vec![false; evidence.len()],
    };
    let answer = search.run(&writers, &pruning.backward);
    *steps = steps.saturating_sub(search.theorem.graph.steps);
    answer
}

/// These transactions, and who wrote what they read of the keys that they write: that a version was
/// overwritten is said by those who wrote it.
fn with_sources(evidence: &Evidence<'_>, mut named: Vec<u32>) -> Vec<u32> {
    let mut is_written = vec![false; evidence.keys.len()];
    for key in named.iter().flat_map(|txn| evidence.writes.row(*txn)) {
        is_written[*key as usize] = true;
    }
    let reads = named.iter().flat_map(|txn| evidence.reads.row(*txn));
    let sources = reads.filter(|read| read.from != INITIAL && is_written[read.key as usize]);
    let sources: Vec<u32> = sources.map(|read| read.from).collect();
    named.extend(sources);
    named.sort_unstable();
    named.dedup();
    named
}

/// Two transactions that read one version of a key and overwrote it: the key, who wrote the version,
/// and the two. Either lost sight of the other, and only prefix consistency minds that not.
pub(super) fn lost_update(evidence: &Evidence<'_>) -> Option<(u32, u32, u32, u32)> {
    let mut updates: Vec<(u32, u32, u32)> = Vec::new();
    for txn in 0..evidence.len() as u32 {
        let writes = evidence.writes.row(txn);
        let reads = evidence.reads.row(txn).iter();
        let updated = reads.filter(|read| writes.binary_search(&read.key).is_ok());
        updates.extend(updated.map(|read| (read.key, read.from, txn)));
    }
    updates.sort_unstable();
    let same = |pair: &&[(u32, u32, u32)]| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1);
    let pair = updates.windows(2).find(same)?;
    Some((pair[0].0, pair[0].1, pair[0].2, pair[1].2))
}

/// A shortest cycle of a graph that has one.
pub(super) fn cycle(graph: &Graph) -> Vec<u32> {
    let components = components(graph);
    let members = components.cyclic();
    let smallest = members.iter().min_by_key(|members| members.len());
    smallest
        .and_then(|members| shortest_cycle(graph, &components, members, CycleSpec::ANY))
        .unwrap_or_default()
}

/// Stops the solver when the budget is spent.
struct Spent(Rc<Cell<bool>>);

impl Callbacks for Spent {
    fn stop(&self) -> bool {
        self.0.get()
    }
}

struct Search<'e, 'g> {
    evidence: &'e Evidence<'e>,
    model: Model,
    readers: &'e Rows<(u32, u32)>,
    solver: Solver<Spent>,
    theorem: Theorem<'g>,
    variables: FxHashMap<(u32, u32, u32), u32>,
    pairs: Vec<Pair>,
    /// The transactions of every contradiction so far.
    named: Vec<bool>,
}

impl Search<'_, '_> {
    fn run(&mut self, writers: &Rows<u32>, backward: &Graph) -> Answer {
        loop {
            let order = self.theorem.graph.order();
            let looked_at =
                order.len() + self.evidence.reads.total() + self.evidence.writes.total();
            self.theorem.graph.steps += looked_at as u64 / 4;
            let before = self.pairs.len();
            let mut learnt = 0;
            if self.model == Model::Parallel {
                let found = {
                    parallel::contradictions(self.evidence, writers, backward, &order, usize::MAX)
                };
                self.theorem.graph.steps += found.steps;
                learnt = found.clauses.len();
                if learnt == 0 {
                    return Answer::Holds;
                }
                for clause in found.clauses {
                    for txn in &clause.txns {
                        self.named[*txn as usize] = true;
                    }
                    for pair in clause.txns.windows(2) {
                        self.theorem.note((pair[0], pair[1]));
                    }
                    let mut literals: Vec<Lit> = clause
                        .orders
                        .iter()
                        .map(|(key, first, second)| !self.literal(*key, *first, *second))
                        .collect();
                    if literals.is_empty() || !self.solver.add_clause_reuse(&mut literals) {
                        return Answer::NoOrder(self.core());
                    }
                }
            } else {
                let pairs = contradictions(self.evidence, writers, self.model, &order);
                if pairs.is_empty() {
                    return Answer::Holds;
                }
                for pair in pairs {
                    self.literal(pair.key, pair.first, pair.second);
                }
            }
            if (self.pairs.len() == before && learnt == 0)
                || self.theorem.graph.steps > self.theorem.budget
            {
                return Answer::Spent;
            }
            let result = self.solver.solve_limited_th(&mut self.theorem, &[]);
            if result == lbool::FALSE {
                return Answer::NoOrder(self.core());
            }
            if result != lbool::TRUE {
                return Answer::Spent;
            }
        }
    }

    /// "The first writer of a key was overwritten before the second."
    fn literal(&mut self, key: u32, first: u32, second: u32) -> Lit {
        let pair = Pair::new(key, first, second);
        let name = (key, pair.first, pair.second);
        let variable = if let Some(variable) = self.variables.get(&name) {
            *variable
        } else {
            let variable = self.pairs.len() as u32;
            self.pairs.push(pair);
            self.variables.insert(name, variable);
            let is_likely = self.comes_first(pair.first, pair.second);
            let one = self.edges(key, pair.first, pair.second);
            let other = self.edges(key, pair.second, pair.first);
            // The solver tries false first.
            let edges = if is_likely { [other, one] } else { [one, other] };
            let looked_at = [pair.first, pair.second].map(|txn| self.readers.row(txn).len());
            self.theorem.graph.steps += looked_at.iter().sum::<usize>() as u64;
            self.theorem.choices.push(Choice { edges, is_turned: is_likely });
            self.solver.var_of_int(variable);
            variable
        };
        let is_turned = self.theorem.choices[variable as usize].is_turned;
        let says_first = (pair.first == first) != is_turned;
        Lit::new(Var::unsafe_from_idx(variable), says_first)
    }

    /// Whether one transaction more likely committed before another than after it.
    fn comes_first(&self, one: u32, other: u32) -> bool {
        let middle = |txn: u32| {
            let (invoked, returned) = self.evidence.interval(txn);
            u64::from(invoked.0) + u64::from(returned.0)
        };
        middle(one) < middle(other)
    }

    /// What follows if one writer of a key was overwritten before the other.
    fn edges(&self, key: u32, first: u32, second: u32) -> Vec<(u32, u32)> {
        let model = self.model;
        let mut edges = vec![model.ww(first, second)];
        if model != Model::Parallel {
            let readers = self.readers.row(first).iter();
            let readers = readers.filter(|(one, reader)| *one == key && *reader != second);
            edges.extend(readers.map(|(_, reader)| model.rw(*reader, second)));
        }
        edges
    }

    /// The transactions that the contradictions so far speak of.
    fn core(&mut self) -> Vec<u32> {
        let n = self.evidence.len();
        for (node, _) in (0..).zip(&self.theorem.refused).filter(|(_, refused)| **refused) {
            if let Some(txn) = self.model.txn(node, n) {
                self.named[txn as usize] = true;
            }
        }
        for variable in &self.theorem.variables {
            let pair = self.pairs[*variable as usize];
            self.named[pair.first as usize] = true;
            self.named[pair.second as usize] = true;
        }
        let followed: Vec<(u32, u32)> = self.theorem.followed.iter().copied().collect();
        let mut named = self.theorem.pruning.named(&[], &followed, 0);
        named.extend((0..n as u32).filter(|txn| self.named[*txn as usize]));
        with_sources(self.evidence, named)
    }
}
