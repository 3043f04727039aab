//! No implication between properties is ever contradicted: where the stronger holds the weaker is
//! not violated, on many random small histories, each property judged by its own checker.
#![expect(clippy::print_stdout, reason = "a test says how its cases are spread")]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/orders.rs"]
#[expect(dead_code, reason = "the generators of the oracles are used, not the oracles")]
mod exhaustion;
#[path = "oracle/lazy.rs"]
mod lazy;
#[path = "oracle/lines.rs"]
#[expect(dead_code, reason = "the generators of the oracles are used, not the oracles")]
mod lines;
#[path = "oracle/plain.rs"]
#[expect(dead_code, reason = "the generators of the oracles are used, not the oracles")]
mod plain;
#[path = "oracle/rows.rs"]
#[expect(dead_code, reason = "not every family is asked for")]
mod rows;
#[path = "oracle/typed.rs"]
mod typed;

use std::collections::BTreeMap;
use std::path::Path;

use rashomon::check::{Limits, Property, Status, single_verdicts};
use rashomon::history::{Datatype, History, Txn};
use rashomon::model::{Function, Random};
use rayon::prelude::*;

/// The edges of the specification's lattice (section 9): the first implies the second.
const EDGES: &[(&str, &str)] = &[
    ("LIN", "SEQ"),
    ("LIN", "REG"),
    ("SEQ", "CP-S"),
    ("SEQ", "CM"),
    ("SEQ", "CCv"),
    ("CCv", "CC"),
    ("CCv", "COH"),
    ("CCv", "SESS4"),
    ("CM", "CC"),
    ("CM", "PRAM"),
    ("CM", "SESS4"),
    ("PRAM", "SESS3"),
    ("SESS4", "SESS3"),
    ("SESS4", "WFR"),
    ("SESS3", "MR"),
    ("SESS3", "RYW"),
    ("SESS3", "MW"),
    ("SESS4", "MR+WFR"),
    ("SESS3", "MR+MW"),
    ("CP-S", "MR+MW"),
    ("CP-S", "MR+WFR"),
    ("CP-S", "CP"),
    ("COH", "MR"),
    ("COH", "RYW"),
    ("COH", "MW"),
    ("REG", "RYW"),
    ("CC", "RYW"),
    ("CC", "WFR"),
    ("CC", "MW"),
    ("CP", "MW"),
    ("CP", "WFR"),
    ("MR+MW", "MR"),
    ("MR+MW", "MW"),
    ("MR+WFR", "MR"),
    ("MR+WFR", "WFR"),
];

/// The same of transactions.
const TRANSACTION_EDGES: &[(&str, &str)] = &[
    ("SSER", "SS-SER"),
    ("SSER", "S-SI"),
    ("SS-SER", "SER"),
    ("SS-SER", "SS-SI"),
    ("S-SI", "SS-SI"),
    ("SS-SI", "SI"),
    ("SER", "SI"),
    ("SI", "PSI"),
    ("SI", "PC"),
    ("PSI", "TCC"),
    ("PC", "TCC"),
    ("TCC", "RA"),
    ("RA", "RC"),
];

#[test]
fn the_edges_are_those_of_the_specification() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/spec/lattice.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: there is no ../shared/spec/lattice.json");
        return;
    };
    let lattice: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let own = |edges| serde_json::to_value(edges).expect("pairs");
    assert_eq!(lattice["edges"], own(EDGES));
    assert_eq!(lattice["txn_edges"], own(TRANSACTION_EDGES));
}

/// Every edge of the specification and of the table of properties.
fn edges() -> Vec<(Property, Property)> {
    let named = |id: &str| Property::from_name(id).expect("a property");
    let mut edges: Vec<(Property, Property)> = EDGES
        .iter()
        .chain(TRANSACTION_EDGES)
        .map(|(stronger, weaker)| (named(stronger), named(weaker)))
        .collect();
    for property in Property::all() {
        edges.extend(property.implies().iter().map(|weaker| (property, *weaker)));
    }
    edges.sort();
    edges.dedup();
    edges
}

/// Whether the edge is not claimed for a history like this.
fn is_exempt(history: &History, stronger: Property, weaker: Property) -> bool {
    use Property as P;
    let updates = || {
        let is_update = |function| matches!(function, Function::Cas | Function::Rmw);
        history.txns().any(|txn| is_update(txn.function()))
    };
    match (stronger, weaker) {
        // REG and PRAM take the update of another session for a blind write, so they know nothing
        // of its evidence that the old version came before the new one (E2), which a session's own
        // view must respect.
        (P::Reg, P::Ryw) | (P::Pram, P::Sess3) if updates() => true,
        // For plain registers only, says the specification: elsewhere what is visible may be
        // partial, and CCv tolerates lost updates.
        (P::Ccv, P::Coh) => {
            let is_register = |key| history.datatype(key) == Datatype::Register;
            updates() || !history.keys().all(is_register)
        }
        // CC may explain each read in another order. A transaction of several writes brings what the
        // session did not read into view, and so one order by itself into conflict with the next.
        (P::Cc, P::Ryw) => history.txns().any(writes_several_values),
        // For operations on single keys, says the specification: coherence and regularity look at each
        // key alone and do not see that a session reads one key anew and another stale at once.
        (P::Coh, P::Mr | P::Ryw | P::Mw) | (P::Reg, P::Ryw) => {
            history.txns().any(touches_several_keys)
        }
        _ => false,
    }
}

fn writes_several_values(txn: Txn<'_>) -> bool {
    txn.accesses().filter(|one| one.function != Function::Read).count() > 1
}

fn touches_several_keys(txn: Txn<'_>) -> bool {
    let mut keys = txn.accesses().map(|access| access.key);
    let first = keys.next();
    keys.any(|key| Some(key) != first)
}

const LAZY: [lazy::Family; 6] = [
    lazy::Family::Registers,
    lazy::Family::Updates,
    lazy::Family::Snapshots,
    lazy::Family::Once,
    lazy::Family::Lists,
    lazy::Family::Sets,
];

/// A small history of a lazy store, of objects of every kind, or of typed objects read finally.
fn random_history(seed: u64) -> History {
    let mut random = Random::stream(seed, "lattice");
    let random = &mut random;
    let which = (seed / 6) as usize;
    match seed % 6 {
        0..3 => plain::build(&lazy::history(random, LAZY[which % LAZY.len()])),
        3 | 4 => {
            let family = rows::FAMILIES[which % rows::FAMILIES.len()];
            exhaustion::build(&rows::random_history(random, family))
        }
        _ => {
            let generator = typed::GENERATORS[which % typed::GENERATORS.len()];
            lines::history(&generator(random))
        }
    }
}

/// How often both ends of an edge were decided, and how often both were violated.
type Tally = BTreeMap<(Property, Property), [u64; 2]>;

fn follow(edges: &[(Property, Property)], seed: u64, tally: &mut Tally) {
    let history = random_history(seed);
    let verdicts = single_verdicts(&history, &Limits::default());
    let mut statuses: BTreeMap<Property, Status> = BTreeMap::new();
    for verdict in &verdicts {
        // Several checkers may say something of one property: the worst counts.
        let status = statuses.entry(verdict.property).or_insert(verdict.status);
        *status = verdict.status.max(*status);
    }
    for (stronger, weaker) in edges.iter().copied() {
        let ends = [stronger, weaker].map(|one| statuses.get(&one).copied());
        let [Some(above), Some(below)] = ends else { continue };
        if [above, below].contains(&Status::Unknown) || is_exempt(&history, stronger, weaker) {
            continue;
        }
        assert!(
            above == Status::Invalid || below == Status::Valid,
            "{} holds but {} does not (seed {seed}): {history:?}\n{:#?}",
            stronger.id(),
            weaker.id(),
            verdicts.iter().find(|one| one.property == weaker),
        );
        let counts = tally.entry((stronger, weaker)).or_default();
        counts[0] += 1;
        counts[1] += u64::from(below == Status::Invalid);
    }
}

#[test]
fn no_implication_is_contradicted() {
    let cases = cases::cases(30_000);
    let edges = edges();
    let followed = |mut tally: Tally, seed| {
        follow(&edges, seed, &mut tally);
        tally
    };
    let tally =
        (0..cases).into_par_iter().fold(Tally::new, followed).reduce(Tally::new, |one, other| {
            let mut sum = one;
            for (edge, counts) in other {
                let all = sum.entry(edge).or_default();
                *all = [all[0] + counts[0], all[1] + counts[1]];
            }
            sum
        });
    for ((stronger, weaker), [decided, violated]) in &tally {
        println!("{} -> {}: decided {decided}, violated {violated}", stronger.id(), weaker.id());
    }
    for (stronger, weaker) in EDGES {
        let edge = [stronger, weaker].map(|id| Property::from_name(id).expect("a property"));
        let [decided, violated] = tally.get(&edge.into()).copied().unwrap_or_default();
        assert!(
            decided > cases / 100 && violated > cases / 1000,
            "{stronger} -> {weaker} was decided {decided} times only, violated {violated} times"
        );
    }
}
