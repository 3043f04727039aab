//! Scenarios over seeds: is every failure found, and every remedy silent?
#![expect(clippy::disallowed_methods, reason = "a run of a live target takes its time")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::check::{Anomaly, Figure, Property, Status};
use crate::history::{FaultWindow, Txn};
use crate::report::{LiveRuns, Matrix, MatrixRow, Outcome, Spread, Story, Tally};
use crate::run::parallel::{cores, in_order};
use crate::run::{RunDirectory, Trial};
use crate::workload::{Control, Scenario, TargetChoice, Workload};

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

/// How the scenarios on live targets are run.
#[derive(Clone, Debug)]
pub struct Live {
    /// So many at a time; each on a lab has a lab of its own.
    pub at_a_time: usize,
    /// Each run has a directory of its own in this one.
    pub directory: PathBuf,
    /// Once it is set, runs end early and do not count, and none is begun.
    pub stop: Arc<AtomicBool>,
}

/// Runs scenarios, each with the file it is written in: those of embedded stores on all cores, then
/// those of live targets as `live` says; without it they are not run. What comes of embedded stores
/// depends on the scenarios and seeds alone. `done` is told of every run that has ended.
pub fn survey(
    scenarios: &[(String, Scenario)],
    seeds: Seeds,
    live: Option<&Live>,
    done: &(dyn Fn() + Sync),
) -> Matrix {
    let sides: Vec<Vec<Side<'_>>> =
        scenarios.iter().map(|(file, scenario)| Side::all(file, scenario, seeds)).collect();
    let all: Vec<&Side<'_>> = sides.iter().flatten().collect();
    let seeds_of = |(at, side): (usize, &&Side<'_>)| side.range().map(move |seed| (at, seed));
    let jobs = all.iter().enumerate().flat_map(seeds_of);
    let (mut on_live, simulated): (Vec<_>, Vec<_>) = jobs.partition(|(at, _)| all[*at].is_live());
    // Every scenario once before one of them again: whoever stops the survey has a bit of each.
    on_live.sort_by_key(|(at, seed)| (*seed, *at));
    let mut seen: Vec<BTreeMap<u64, Result<Seen, String>>> = Vec::new();
    seen.resize_with(all.len(), BTreeMap::new);
    let ran = in_order(&simulated, cores(), |(at, seed)| {
        let ran = all[*at].run(*seed);
        done();
        Some(ran)
    });
    let at_a_time = live.map_or(1, |live| live.at_a_time);
    let ran_live = in_order(&on_live, at_a_time, |(at, seed)| {
        let ran = all[*at].run_live(*seed, live).transpose();
        done();
        ran
    });
    for ((at, seed), ran) in simulated.iter().chain(&on_live).zip(ran.into_iter().chain(ran_live)) {
        seen[*at].extend(ran.map(|ran| (*seed, ran)));
    }
    let mut seen = seen.into_iter();
    let rows = scenarios.iter().zip(&sides).map(|((file, scenario), sides)| {
        let mut outcomes = sides.iter().map(|side| side.outcome(seen.next().unwrap_or_default()));
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
    file: &'a Path,
    /// What its runs are called: `redis-sentinel-control`.
    name: String,
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
    operations: usize,
    /// Of a live run, how long it took and where its history is.
    took: Option<(f64, PathBuf)>,
    statuses: Vec<(Status, Option<String>)>,
    stories: Vec<Option<Story>>,
    besides: Vec<Property>,
    progress: Option<f64>,
    figures: Vec<Option<f64>>,
    strongest: Vec<Property>,
}

impl<'a> Side<'a> {
    fn all(file: &'a str, scenario: &'a Scenario, seeds: Seeds) -> Vec<Self> {
        let finding = Self {
            file: Path::new(file),
            name: scenario.finding.name.clone(),
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
                file: Path::new(file),
                name: format!("{}{}", control.workload.name, number.replace('=', "-")),
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

    fn is_live(&self) -> bool {
        matches!(self.workload.target, TargetChoice::File { .. })
    }

    fn run(&self, seed: u64) -> Result<Seen, String> {
        Ok(self.see(&Trial::run(self.workload, seed)?, None))
    }

    /// `None` if it was interrupted, or not begun.
    fn run_live(&self, seed: u64, live: Option<&Live>) -> Result<Option<Seen>, String> {
        let Some(live) = live else { return Err("a live target is not run here".to_owned()) };
        if live.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let directory = RunDirectory::fresh(&live.directory, &self.name, seed)
            .map_err(|error| format!("failed to make a directory for the run: {error}"))?;
        let begin = Instant::now();
        let trial = Trial::live(self.file, self.workload, seed, &directory, &live.stop)?;
        let took = (begin.elapsed().as_secs_f64(), directory.history());
        Ok(trial.map(|trial| self.see(&trial, Some(took))))
    }

    fn see(&self, trial: &Trial, took: Option<(f64, PathBuf)>) -> Seen {
        let status = |property: &Property| {
            let reason = trial.assessment.verdict(*property).and_then(|one| one.reason.clone());
            (trial.status(*property), reason)
        };
        let has_proof = |property: Property| {
            trial.assessment.verdict(property).is_some_and(|one| !one.anomalies.is_empty())
        };
        let (history, metrics, assessment) = (&trial.history, &trial.metrics, &trial.assessment);
        Seen {
            operations: history.len(),
            took,
            statuses: self.asked.iter().map(status).collect(),
            stories: self.asked.iter().map(|property| story(trial, *property)).collect(),
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
        }
    }

    fn outcome(&self, seen: BTreeMap<u64, Result<Seen, String>>) -> Outcome {
        let mut reasons = Vec::new();
        let mut status = Status::Valid;
        let mut ran = Vec::new();
        let mut undriven = 0;
        for (seed, result) in seen {
            match result {
                Ok(seen) => ran.push((seed, seen)),
                // A machine that lacks a server says nothing about the server.
                Err(why) if self.is_live() => {
                    status = status.max(Status::Unknown);
                    undriven += 1;
                    // The logs of the servers, which may follow, are in the directory of the run.
                    let why = why.lines().next().unwrap_or_default();
                    reasons.push(format!("run {seed} failed: {why}"));
                }
                Err(why) => {
                    status = Status::Invalid;
                    reasons.push(format!("seed {seed}: {why}"));
                }
            }
        }
        if ran.is_empty() {
            status = status.max(Status::Unknown);
        }
        let asked: Vec<Tally> =
            self.asked.iter().enumerate().map(|(at, one)| tally(*one, at, &ran)).collect();
        // Nothing is said of runs that there were not.
        for (at, tally) in asked.iter().enumerate().filter(|_| !ran.is_empty()) {
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
        let took = |(_, seen): &(u64, Seen)| seen.took.as_ref().map(|(seconds, _)| *seconds);
        let operations = ran.iter().map(|(_, seen)| seen.operations as f64);
        let history = shown.and_then(|(_, seen)| seen.took.as_ref()).map(|(_, history)| history);
        let live = LiveRuns {
            undriven,
            operations: Spread::of(operations.collect()),
            seconds: Spread::of(ran.iter().filter_map(took).collect()),
            history: history.map(|path| path.display().to_string()),
        };
        Outcome {
            title: self.control.map_or_else(String::new, |control| control.title.clone()),
            command: self.command.clone(),
            first_seed: self.first_seed,
            seeds: if self.is_live() { ran.len() as u32 } else { self.seeds },
            live: self.is_live().then_some(live),
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
        let id = tally.property.id();
        let seeds = if self.is_live() {
            format!("{} runs", ran.len())
        } else {
            format!("{} seeds", self.seeds)
        };
        let undecided = || {
            let is_undecided = |(_, seen): &&(u64, Seen)| seen.statuses[at].0 == Status::Unknown;
            let (seed, seen) = ran.iter().find(is_undecided)?;
            let why = seen.statuses[at].1.as_deref().unwrap_or("no reason is known");
            let many = tally.undecided;
            Some(format!("{id} undecided on {many} of {seeds}; on seed {seed}: {why}"))
        };
        match (self.control, tally.first) {
            (None, Some(_)) => (Status::Valid, None),
            (None, None) => {
                let found = format!("{id} was found on none of {seeds}");
                (Status::Invalid, Some(undecided().unwrap_or(found)))
            }
            (Some(_), Some(first)) => {
                let many = tally.violated;
                let found = format!("{id} violated on {many} of {seeds}, first seed {first}");
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
