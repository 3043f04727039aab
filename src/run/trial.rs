//! One run, judged: of an embedded store in memory, or of a live target.

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::check::{Assessment, Assumption, Expected, Limits, Metrics, Status, assess, measure};
use crate::history::{Header, History, Writer};
use crate::model::Value;
use crate::run::{Opened, RunDirectory, Terms, drive, open};
use crate::store::{self, STORES};
use crate::workload::{StoreOptions, TargetChoice, Workload};

/// A run and its verdicts.
pub struct Trial {
    /// What happened.
    pub history: History,
    /// The verdicts, weighed against what the workload expects.
    pub assessment: Assessment,
    /// The numbers.
    pub metrics: Metrics,
}

impl Trial {
    /// Runs a workload on the embedded store it names and judges what happened. One seed gives the
    /// events that `rashomon run` records; the header names the options that were left at their
    /// defaults as well.
    ///
    /// # Errors
    /// Why the workload cannot be run in the simulator, or the simulator could not go on.
    pub fn run(workload: &Workload, seed: u64) -> Result<Self, String> {
        let TargetChoice::Store(choice) = &workload.target else {
            return Err(format!("{}: not an embedded store", workload.name));
        };
        let mut target = store::build(&choice.name, &choice.options, seed).map_err(|error| {
            workload.option_diagnostic(error.option.as_deref(), &error.message).to_string()
        })?;
        let nodes = target.nodes().to_vec();
        let mut generator = workload.generator(seed, &nodes);
        let header = Header {
            format: 1,
            tool: concat!("rashomon ", env!("CARGO_PKG_VERSION")).to_owned(),
            workload: Some(workload.name.clone()),
            seed: Some(seed),
            target: Some(description(choice)),
            nodes: nodes.iter().map(ToString::to_string).collect(),
            expect: workload.expect.clone(),
            ..Header::default()
        };
        let never = AtomicBool::new(false);
        let driven = drive(&mut *target, &mut generator, &mut (), header, &never)
            .map_err(|error| format!("{}, seed {seed}: {error}", workload.name))?;
        Self::judge(workload, driven.history)
    }

    /// Runs the workload that is written in `file` on the live target that it names, once: what happens
    /// does not follow from the seed. The history is kept in `directory`. `None` if it was interrupted.
    ///
    /// # Errors
    /// Why the target could not be opened, driven or healed.
    pub fn live(
        file: &Path,
        workload: &Workload,
        seed: u64,
        directory: &RunDirectory,
        stop: &AtomicBool,
    ) -> Result<Option<Self>, String> {
        let opened = open(file, workload, seed, directory.path(), Terms::default());
        let Opened { mut target, header } = opened.map_err(|error| error.to_string())?;
        let unwritable =
            |error| format!("failed to write {}: {error}", directory.history().display());
        let history = BufWriter::new(directory.create_history().map_err(unwritable)?);
        let mut journal = Writer::new(history, &header).map_err(unwritable)?;
        let nodes = target.nodes().to_vec();
        let mut generator = workload.generator(seed, &nodes);
        let driven = drive(&mut *target, &mut generator, &mut journal, header, stop)
            .map_err(|error| error.to_string())?;
        if driven.interrupted {
            return Ok(None);
        }
        Self::judge(workload, driven.history).map(Some)
    }

    fn judge(workload: &Workload, history: History) -> Result<Self, String> {
        let expected = Expected::from_names(&workload.expect)
            .map_err(|name| format!("{}: unknown property `{name}`", workload.name))?;
        let assume =
            workload.expect.assume.iter().filter_map(|name| Assumption::from_name(name)).collect();
        let limits = Limits { assume, ..Limits::default() };
        let assessment = assess(&history, &limits, expected);
        let metrics = measure(&history);
        Ok(Self { history, assessment, metrics })
    }

    /// The status of a property; undecided where the history has nothing that is subject to it.
    pub fn status(&self, property: crate::check::Property) -> Status {
        self.assessment.verdict(property).map_or(Status::Unknown, |verdict| verdict.status)
    }
}

/// The store with all its options.
fn description(choice: &StoreOptions) -> Value {
    let info = STORES.iter().find(|info| info.name == choice.name);
    let defaults = info.map_or(&[] as &[_], |info| info.options).iter();
    let mut options: BTreeMap<&str, Value> =
        defaults.map(|option| (option.name, default(option.default))).collect();
    options.extend(choice.options.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let store = [("store", Value::text(&choice.name))];
    let entries = store.into_iter().chain(options);
    Value::Map(entries.map(|(key, value)| (Value::text(key), value)).collect())
}

/// A default is written as one would write it in a file, without the quotes.
fn default(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::text(text), Value::Int)
}
