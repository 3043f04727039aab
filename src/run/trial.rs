//! One run of an embedded store in memory, judged.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use crate::check::{Assessment, Assumption, Expected, Limits, Metrics, Status, assess, measure};
use crate::history::{Header, History};
use crate::model::Value;
use crate::run::drive;
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
        let history = driven.history;
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
