//! Scenarios over seeds: is every failure found, and every remedy silent?

use std::collections::BTreeMap;

use crate::check::{Anomaly, Figure, Property, Status};
use crate::history::{FaultWindow, Txn};
use crate::report::{Matrix, MatrixRow, Outcome, Spread, Story, Tally};
use crate::run::Trial;
use crate::run::parallel::in_order;
use crate::workload::{Control, Scenario, Workload};

/// On how many seeds scenarios are run.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// The first of them.
    pub first: u64,
    /// For failures; as many as the scenario says where absent.
    pub finding: Option<u32>,
    /// For remedies.
    pub control: u32,
}

/// Runs scenarios, each with the file it is written in, on all cores. What comes of it depends on the
/// scenarios and seeds alone. `done` is told of every run that has ended.
pub fn survey(scenarios: &[(String, Scenario)], seeds: Seeds, done: &(dyn Fn() + Sync)) -> Matrix {
    let sides: Vec<Vec<Side<'_>>> =
        scenarios.iter().map(|(file, scenario)| Side::all(file, scenario, seeds)).collect();
    let all: Vec<&Side<'_>> = sides.iter().flatten().collect();
    let seeds_of = |(at, side): (usize, &&Side<'_>)| side.range().map(move |seed| (at, seed));
    let jobs: Vec<(usize, u64)> = all.iter().enumerate().flat_map(seeds_of).collect();
    let mut seen = in_order(&jobs, |(side, seed)| {
        let seen = all[*side].run(*seed);
        done();
        seen
    })
    .into_iter();
    let rows = scenarios.iter().zip(&sides).map(|((file, scenario), sides)| {
        let mut outcomes = sides.iter().map(|side| {
            let seen: Vec<_> = seen.by_ref().take(side.seeds as usize).collect();
            side.outcome(seen)
        });
        MatrixRow {
            row: scenario.row.map_or_else(String::new, |row| row.to_string()),
            title: scenario.title.clone(),
            file: file.clone(),
            finding: outcomes.next().expect("the first side is the finding"),
            controls: outcomes.collect(),
        }
    });
    Matrix { rows: rows.collect() }
}

/// How many runs a survey takes.
pub fn runs(scenarios: &[(String, Scenario)], seeds: Seeds) -> u64 {
    let sides = scenarios.iter().flat_map(|(file, scenario)| Side::all(file, scenario, seeds));
    sides.map(|side| u64::from(side.seeds)).sum()
}

/// What is run of a scenario: its failure or one of its remedies.
struct Side<'a> {
    workload: &'a Workload,
    asked: Vec<Property>,
    figures: &'a [Figure],
    control: Option<&'a Control>,
    command: String,
    first_seed: u64,
    seeds: u32,
}

/// What was seen on one seed.
struct Seen {
    statuses: Vec<(Status, Option<String>)>,
    stories: Vec<Option<Story>>,
    besides: Vec<Property>,
    progress: Option<f64>,
    figures: Vec<Option<f64>>,
    strongest: Vec<Property>,
}

impl<'a> Side<'a> {
    fn all(file: &str, scenario: &'a Scenario, seeds: Seeds) -> Vec<Self> {
        let finding = Self {
            workload: &scenario.finding,
            asked: scenario.finds.iter().chain(&scenario.also).copied().collect(),
            figures: &scenario.figures,
            control: None,
            command: format!("rashomon run {file}"),
            first_seed: seeds.first,
            seeds: seeds.finding.unwrap_or(scenario.seeds),
        };
        let several = scenario.controls.len() > 1;
        let control = |(at, control): (usize, &'a Control)| {
            let number = if several { format!("={}", at + 1) } else { String::new() };
            Self {
                workload: &control.workload,
                asked: control.holds.clone(),
                figures: &scenario.figures,
                control: Some(control),
                command: format!("rashomon run {file} --control{number}"),
                first_seed: seeds.first,
                seeds: seeds.control,
            }
        };
        let controls = scenario.controls.iter().enumerate().map(control);
        std::iter::once(finding).chain(controls).collect()
    }

    /// The seeds.
    fn range(&self) -> std::ops::Range<u64> {
        self.first_seed..self.first_seed + u64::from(self.seeds)
    }

    fn run(&self, seed: u64) -> Result<Seen, String> {
        let trial = Trial::run(self.workload, seed)?;
        let status = |property: &Property| {
            let reason = trial.assessment.verdict(*property).and_then(|one| one.reason.clone());
            (trial.status(*property), reason)
        };
        let has_proof = |property: Property| {
            trial.assessment.verdict(property).is_some_and(|one| !one.anomalies.is_empty())
        };
        let (history, metrics, assessment) = (&trial.history, &trial.metrics, &trial.assessment);
        Ok(Seen {
            statuses: self.asked.iter().map(status).collect(),
            stories: self.asked.iter().map(|property| story(&trial, *property)).collect(),
            besides: Property::all()
                .filter(|one| has_proof(*one) && !self.asked.contains(one))
                .collect(),
            progress: metrics.outside_faults(history).and_then(|counts| counts.ok_fraction()),
            figures: self
                .figures
                .iter()
                .map(|figure| figure.measure(history, metrics, assessment))
                .collect(),
            strongest: assessment.strongest.clone(),
        })
    }

    fn outcome(&self, seen: Vec<Result<Seen, String>>) -> Outcome {
        let mut reasons = Vec::new();
        let mut status = Status::Valid;
        let mut ran = Vec::new();
        for (seed, result) in self.range().zip(seen) {
            match result {
                Ok(seen) => ran.push((seed, seen)),
                Err(why) => {
                    status = Status::Invalid;
                    reasons.push(format!("seed {seed}: {why}"));
                }
            }
        }
        let asked: Vec<Tally> =
            self.asked.iter().enumerate().map(|(at, one)| tally(*one, at, &ran)).collect();
        for (at, tally) in asked.iter().enumerate() {
            let (one, why) = self.judge(at, tally, &ran);
            status = status.max(one);
            reasons.extend(why);
        }
        let least = ran.iter().min_by(|(_, one), (_, other)| {
            let fraction = |seen: &Seen| seen.progress.unwrap_or(0.0);
            fraction(one).total_cmp(&fraction(other))
        });
        let progress = least.and_then(|(_, seen)| seen.progress);
        if let (Some(control), Some((seed, _))) = (self.control, least)
            && progress.unwrap_or(0.0) < control.progress
        {
            status = Status::Invalid;
            reasons.push(format!(
                "on seed {seed} only {:.1} % of the operations outside faults succeeded; a control has to make progress ({:.0} %)",
                progress.unwrap_or(0.0) * 100.0,
                control.progress * 100.0
            ));
        }
        let mut besides: BTreeMap<Property, u32> = BTreeMap::new();
        for property in ran.iter().flat_map(|(_, seen)| &seen.besides) {
            *besides.entry(*property).or_default() += 1;
        }
        let spread = |at: usize| ran.iter().filter_map(|(_, seen)| seen.figures[at]).collect();
        let figures = self.figures.iter().enumerate();
        let first = asked.iter().filter_map(|tally| tally.first).min();
        let shown = ran.iter().find(|(seed, _)| first.is_none_or(|first| first == *seed));
        Outcome {
            title: self.control.map_or_else(String::new, |control| control.title.clone()),
            command: self.command.clone(),
            first_seed: self.first_seed,
            seeds: self.seeds,
            status,
            reasons,
            besides: besides.into_iter().collect(),
            progress,
            figures: figures.map(|(at, figure)| (*figure, Spread::of(spread(at)))).collect(),
            strongest: shown.map(|(_, seen)| seen.strongest.clone()).unwrap_or_default(),
            asked,
        }
    }

    /// Whether a property came out as it should, and if not, what came out.
    fn judge(&self, at: usize, tally: &Tally, ran: &[(u64, Seen)]) -> (Status, Option<String>) {
        let (id, seeds) = (tally.property.id(), self.seeds);
        let undecided = || {
            let is_undecided = |(_, seen): &&(u64, Seen)| seen.statuses[at].0 == Status::Unknown;
            let (seed, seen) = ran.iter().find(is_undecided)?;
            let why = seen.statuses[at].1.as_deref().unwrap_or("no reason is known");
            let many = tally.undecided;
            Some(format!("{id} undecided on {many} of {seeds} seeds; on seed {seed}: {why}"))
        };
        match (self.control, tally.first) {
            (None, Some(_)) => (Status::Valid, None),
            (None, None) => {
                let found = format!("{id} was found on none of {seeds} seeds");
                (Status::Invalid, Some(undecided().unwrap_or(found)))
            }
            (Some(_), Some(first)) => {
                let many = tally.violated;
                let found = format!("{id} violated on {many} of {seeds} seeds, first seed {first}");
                (Status::Invalid, Some(found))
            }
            (Some(_), None) => match undecided() {
                Some(why) => (Status::Unknown, Some(why)),
                None => (Status::Valid, None),
            },
        }
    }
}

fn tally(property: Property, at: usize, ran: &[(u64, Seen)]) -> Tally {
    let with = |status| ran.iter().filter(move |(_, seen)| seen.statuses[at].0 == status);
    let first = with(Status::Invalid).next();
    Tally {
        property,
        violated: with(Status::Invalid).count() as u32,
        undecided: with(Status::Unknown).count() as u32,
        first: first.map(|(seed, _)| *seed),
        story: first.and_then(|(_, seen)| seen.stories[at].clone()),
    }
}

/// How a property was violated: its first proof, or that of a weaker property which it follows from.
fn story(trial: &Trial, property: Property) -> Option<Story> {
    if trial.status(property) != Status::Invalid {
        return None;
    }
    let own = trial.assessment.verdict(property).and_then(|verdict| verdict.anomalies.first());
    let weaker = || {
        let mut all = trial.assessment.anomalies().map(|(_, anomaly)| anomaly);
        all.find(|anomaly| property.is_at_least(anomaly.property))
    };
    let anomaly: &Anomaly = own.or_else(weaker)?;
    let span = anomaly.operations.iter().map(|id| trial.history.txn(*id));
    let (begin, end) = (span.clone().map(Txn::invoked_at).min()?, span.map(Txn::invoked_at).max()?);
    let overlaps = |fault: &&FaultWindow| fault.begin <= end && begin < fault.end;
    let faults = trial.history.faults().iter().filter(overlaps);
    let named = |fault: &FaultWindow| format!("{} {} {}", fault.id, fault.name, fault.value);
    Some(Story {
        kind: anomaly.kind.to_owned(),
        sentence: anomaly.sentence.clone(),
        operations: anomaly.operations.len(),
        faults: faults.map(named).collect(),
    })
}
