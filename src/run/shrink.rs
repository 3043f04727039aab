//! A smaller run that still shows a violation.
//!
//! Delta debugging (Zeller and Hildebrandt 2002) over the workload instead of the history: a history
//! with operations taken out is one that the store never produced, a smaller workload can be run again.
//! Every cut makes one number or one list of the file smaller; it stays if the property is still
//! violated on one of a few seeds. When no cut stays, the workload is minimal with regard to the cuts.

use toml::{Table, Value};

use crate::check::{Property, Status};
use crate::model::Nanos;
use crate::run::Trial;
use crate::run::parallel::{cores, in_order};
use crate::workload::{Workload, parse_duration, written};

/// What is left of a workload.
pub struct Shrunk {
    /// The smaller workload, as a file.
    pub text: String,
    /// The same, read.
    pub workload: Workload,
    /// A seed on which it violates the property.
    pub seed: u64,
    /// What happens on that seed.
    pub trial: Trial,
    /// How many runs it took.
    pub runs: u64,
    /// The cuts that stayed, in order.
    pub cuts: Vec<String>,
}

/// Makes a workload smaller, and smaller again, while `property` stays violated on `seed` or on a seed
/// from 1 to `seeds`. `cut` is told of every cut that stays, with the number of operations that are
/// left.
///
/// The result depends on the arguments alone.
///
/// # Errors
/// The workload does not violate the property on `seed`, or cannot be run in the simulator.
pub fn shrink(
    workload: &Workload,
    property: Property,
    seed: u64,
    seeds: u64,
    cut: &mut dyn FnMut(&str, usize),
) -> Result<Shrunk, String> {
    let mut table = workload.table();
    expect_only(&mut table, property);
    let (file, text) = (format!("{}.toml", workload.name), written(&table));
    let whole = read(&file, &text)?;
    let trial = Trial::run(&whole, seed)?;
    if trial.status(property) != Status::Invalid {
        let (name, seed) = (&workload.name, seed);
        return Err(format!("{name} does not violate `{}` on seed {seed}", property.name()));
    }
    let found = Shrunk { text, workload: whole, seed, trial, runs: 1, cuts: Vec::new() };
    let mut search = Search { file, property, seeds, found, cut };
    while search.pass(&mut table) {}
    Ok(search.found)
}

struct Search<'a> {
    file: String,
    property: Property,
    seeds: u64,
    found: Shrunk,
    cut: &'a mut dyn FnMut(&str, usize),
}

impl Search<'_> {
    /// Tries all cuts; whether one of them stayed.
    fn pass(&mut self, table: &mut Table) -> bool {
        let mut smaller = false;
        for cuts in CUTS {
            // A cut that stayed makes room for the next of its kind.
            while let Some(next) = cuts(table).into_iter().find(|cut| self.stays(cut)) {
                *table = next.table;
                smaller = true;
            }
        }
        smaller
    }

    fn stays(&mut self, cut: &Cut) -> bool {
        let text = written(&cut.table);
        let Ok(workload) = read(&self.file, &text) else { return false };
        let mut seeds = vec![self.found.seed];
        seeds.extend((1..=self.seeds).filter(|seed| *seed != self.found.seed));
        let longest = self.found.trial.history.len();
        // The seed at hand is the likeliest; only then the others, all at once.
        for seeds in [&seeds[..1], &seeds[1..]] {
            self.found.runs += seeds.len() as u64;
            let trials = in_order(seeds, cores(), |seed| (*seed, Trial::run(&workload, *seed)));
            let shows = |trial: &Trial| {
                trial.status(self.property) == Status::Invalid && trial.history.len() <= longest
            };
            let first = trials
                .into_iter()
                .find_map(|(seed, trial)| Some((seed, trial.ok().filter(|trial| shows(trial))?)));
            if let Some((seed, trial)) = first {
                (self.cut)(&cut.what, trial.history.len());
                self.found.cuts.push(cut.what.clone());
                (self.found.text, self.found.workload) = (text, workload);
                (self.found.seed, self.found.trial) = (seed, trial);
                return true;
            }
        }
        false
    }
}

fn read(file: &str, text: &str) -> Result<Workload, String> {
    Workload::parse(file, text, &[])
        .map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn expect_only(table: &mut Table, property: Property) {
    let mut expect = Table::new();
    expect.insert("hold".to_owned(), Value::Array(vec![property.name().into()]));
    if let Some(assume) = table.get("expect").and_then(|old| old.get("assume")) {
        expect.insert("assume".to_owned(), assume.clone());
    }
    table.insert("expect".to_owned(), Value::Table(expect));
}

/// A smaller workload, and what was cut.
struct Cut {
    what: String,
    table: Table,
}

/// All kinds of cuts, the greatest savings first; each kind offers its boldest cut first.
const CUTS: [fn(&Table) -> Vec<Cut>; 9] = [
    |table| fewer(table, "fault", 0),
    |table| fewer(table, "operation", 1),
    main_phase,
    other_phases,
    |table| number(table, "clients", "count", 10),
    |table| number(table, "keys", "count", 8),
    |table| number(table, "target", "nodes", 3),
    calmer_faults,
    other_keys,
];

/// The table with `change` made to one of its sections.
fn with(table: &Table, section: &str, change: impl FnOnce(&mut Table)) -> Table {
    let mut table = table.clone();
    if !table.contains_key(section) {
        table.insert(section.to_owned(), Value::Table(Table::new()));
    }
    if let Some(Value::Table(section)) = table.get_mut(section) {
        change(section);
    }
    table
}

/// Without all entries of a list that may go, and without each of them.
fn fewer(table: &Table, list: &str, least: usize) -> Vec<Cut> {
    let Some(Value::Array(entries)) = table.get(list) else { return Vec::new() };
    let mut cuts = Vec::new();
    let mut put = |what: String, left: Vec<Value>| {
        let mut table = table.clone();
        table.insert(list.to_owned(), Value::Array(left));
        cuts.push(Cut { what, table });
    };
    if least == 0 && entries.len() > 1 {
        put(format!("no {list} at all"), Vec::new());
    }
    if entries.len() > least {
        for at in 0..entries.len() {
            let mut left = entries.clone();
            let one = left.remove(at);
            let name = one.get("inject").or(one.get("do")).and_then(Value::as_str);
            put(format!("without the {list} `{}`", name.unwrap_or_default()), left);
        }
    }
    cuts
}

/// A whole number: the least, the half, and one less.
fn number(table: &Table, section: &str, key: &str, default: i64) -> Vec<Cut> {
    let written = table.get(section).and_then(|section| section.get(key));
    let present = match written {
        None => default,
        Some(Value::Integer(number)) => *number,
        Some(_) => return vec![replaced(table, section, key, default)],
    };
    let mut smaller = vec![1, 2, present / 2, present - 1];
    smaller.retain(|number| (1..present).contains(number));
    smaller.dedup();
    smaller.into_iter().map(|smaller| replaced(table, section, key, smaller)).collect()
}

fn replaced(table: &Table, section: &str, key: &str, value: impl Into<Value>) -> Cut {
    let value = value.into();
    let what = format!("{section}.{key} = {value}");
    let table = with(table, section, |section| {
        section.insert(key.to_owned(), value);
    });
    Cut { what, table }
}

/// The texts of times shorter than this one, boldest first, down to a millisecond.
fn shorter(written: &str) -> Vec<String> {
    let Some(Nanos(nanos)) = parse_duration(written) else { return Vec::new() };
    let millis = nanos / 1_000_000;
    let mut shorter = vec![millis / 8, millis / 2, millis * 3 / 4, millis * 15 / 16];
    shorter.retain(|shorter| (1..millis).contains(shorter));
    shorter.dedup();
    shorter.iter().map(|millis| format!("{millis}ms")).collect()
}

fn main_phase(table: &Table) -> Vec<Cut> {
    let main = table.get("phases").and_then(|phases| phases.get("main")).and_then(Value::as_str);
    let shorter = main.map(shorter).unwrap_or_default();
    shorter.into_iter().map(|main| replaced(table, "phases", "main", main)).collect()
}

/// No warm-up and no recovery, and a shorter silence.
fn other_phases(table: &Table) -> Vec<Cut> {
    let Some(Value::Table(phases)) = table.get("phases") else { return Vec::new() };
    let mut cuts = Vec::new();
    for phase in ["warmup", "recovery"] {
        if phases.contains_key(phase) {
            let table = with(table, "phases", |phases| {
                phases.remove(phase);
            });
            cuts.push(Cut { what: format!("no {phase}"), table });
        }
    }
    for (phase, default) in [("quiesce", "5s"), ("settle", "1s")] {
        let silence = phases.get(phase).and_then(Value::as_str).unwrap_or(default);
        // Copies need a moment to become alike: a shorter silence would show what is still under way.
        let patient = |text: &String| parse_duration(text) >= Some(Nanos::from_millis(1_000));
        let silences = shorter(silence).into_iter().filter(patient);
        cuts.extend(silences.map(|silence| replaced(table, "phases", phase, silence)));
    }
    cuts
}

/// Each fault once only, shorter and earlier.
fn calmer_faults(table: &Table) -> Vec<Cut> {
    let Some(Value::Array(faults)) = table.get("fault") else { return Vec::new() };
    let mut cuts = Vec::new();
    for (at, fault) in faults.iter().enumerate() {
        let Value::Table(fault) = fault else { continue };
        let name = fault.get("inject").and_then(Value::as_str).unwrap_or_default();
        let mut put = |what: String, change: &dyn Fn(&mut Table)| {
            let mut table = table.clone();
            if let Some(Value::Table(fault)) =
                table.get_mut("fault").and_then(|faults| faults.get_mut(at))
            {
                change(fault);
            }
            cuts.push(Cut { what, table });
        };
        if fault.contains_key("every") {
            put(format!("`{name}` once only"), &|fault| {
                fault.remove("every");
            });
        }
        for key in ["for", "offset"] {
            let time = fault.get(key).and_then(Value::as_str).unwrap_or_default();
            for time in shorter(time) {
                put(format!("`{name}` {key} = {time}"), &|fault| {
                    fault.insert(key.to_owned(), time.clone().into());
                });
            }
        }
    }
    cuts
}

/// Fewer operations a second, no weights, and none of the entries that are not needed.
fn other_keys(table: &Table) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let rate = table.get("clients").and_then(|clients| clients.get("rate"));
    let rate =
        rate.map_or(Some(500), |rate| rate.as_integer().or(rate.as_float().map(|f| f as i64)));
    for smaller in rate.map_or_else(Vec::new, |rate| vec![rate / 8, rate / 2, rate * 3 / 4]) {
        if smaller >= 1 {
            cuts.push(replaced(table, "clients", "rate", smaller));
        }
    }
    if let Some(Value::Array(operations)) = table.get("operation") {
        for at in (0..operations.len()).filter(|at| operations[*at].get("weight").is_some()) {
            let mut table = table.clone();
            if let Some(Value::Table(operation)) =
                table.get_mut("operation").and_then(|operations| operations.get_mut(at))
            {
                operation.remove("weight");
            }
            cuts.push(Cut { what: "an operation as likely as others".to_owned(), table });
        }
    }
    for section in ["target", "keys", "clients", "bank"] {
        let Some(Value::Table(entries)) = table.get(section) else { continue };
        for key in entries
            .keys()
            .filter(|key| !["store", "count", "rate", "nodes"].contains(&key.as_str()))
        {
            let table = with(table, section, |section| {
                section.remove(key);
            });
            cuts.push(Cut { what: format!("{section}.{key} as it is by default"), table });
        }
    }
    cuts
}
