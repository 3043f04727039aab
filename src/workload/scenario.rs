//! A scenario: a workload changed until it shows one failure of one replication system, and changed once
//! more until the failure is gone.
//!
//! | key | value |
//! | --- | --- |
//! | `row` | the row of the catalogue of replication systems it belongs to: `S48`, or `S109a` for one of several |
//! | `title` | what is shown, in a line |
//! | `workload` | the workload it changes: `set` is `set.toml` in the folder above |
//! | `seeds` | within so many seeds every property under `finds` is violated; `20` |
//! | `finds` | properties that are violated |
//! | `also` | properties that are violated besides within as many seeds; a single run is not blamed for them |
//! | `figures` | what is measured beside: rows of [`Figure`]; or the id of a property, for its violations |
//! | `set` | a table of overrides: `"target.replication" = "async"`, as `--set` takes them |
//! | `fault` | the faults, in the place of all those of the workload |
//! | `control` | the remedy, or a list of them: `title`, `holds` (hold on every seed), `set` and `fault` on top of those of the scenario, `progress` (the fraction of the operations outside faults that has to succeed; `0.9`) |

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use toml::Spanned;

use crate::check::{Figure, Property};
use crate::model::did_you_mean;
use crate::workload::Workload;
use crate::workload::diagnostic::{Diagnostic, from_toml};
use crate::workload::file::Text;
use crate::workload::plan::list;
use crate::workload::source::{Side, Source};

/// A failure and its remedies.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where it belongs in the catalogue; absent where it was made from a workload.
    pub row: Option<Row>,
    /// What it shows, in a line.
    pub title: String,
    /// Within so many seeds every property that is to be found is violated.
    pub seeds: u32,
    /// The properties that are violated.
    pub finds: Vec<Property>,
    /// Those that are violated besides.
    pub also: Vec<Property>,
    /// What is measured beside.
    pub figures: Vec<Figure>,
    /// What is run to find them; it expects `finds` to hold.
    pub finding: Workload,
    /// The remedies.
    pub controls: Vec<Control>,
}

/// A remedy under which the failure is gone.
#[derive(Clone, Debug)]
pub struct Control {
    /// What the remedy is.
    pub title: String,
    /// The properties that hold on every seed.
    pub holds: Vec<Property>,
    /// The fraction of the operations outside faults that has to succeed: a store that refuses
    /// everything violates nothing.
    pub progress: f64,
    /// What is run; it expects `holds` to hold.
    pub workload: Workload,
}

/// A row of the catalogue: `S48`, or `S109a` where a row has several scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Its number.
    pub number: u16,
    /// Which of several.
    pub variant: Option<char>,
}

impl Row {
    /// Reads `S48` or `S109a`.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(['S', 's'])?;
        let variant = rest.chars().next_back().filter(char::is_ascii_lowercase);
        let digits = &rest[..rest.len() - variant.map_or(0, char::len_utf8)];
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|number| is_number && *number > 0)?;
        Some(Self { number, variant })
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S{}", self.number)?;
        self.variant.map_or(Ok(()), |variant| write!(f, "{variant}"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    row: Text,
    title: String,
    workload: Text,
    #[serde(default = "default_seeds")]
    seeds: Spanned<u32>,
    #[serde(default)]
    finds: Vec<Text>,
    #[serde(default)]
    also: Vec<Text>,
    #[serde(default)]
    figures: Vec<Text>,
    #[serde(default, rename = "set")]
    _set: Ignored,
    #[serde(default, rename = "fault")]
    _fault: Vec<IgnoredAny>,
    #[serde(default)]
    control: Controls,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ControlFile {
    title: String,
    holds: Vec<Text>,
    #[serde(default)]
    progress: Option<Spanned<f64>>,
    #[serde(default, rename = "set")]
    _set: Ignored,
    #[serde(default, rename = "fault")]
    _fault: Vec<IgnoredAny>,
}

/// Gives path and text of the workload of a name, or says why it cannot.
pub type FindWorkload<'f> = dyn Fn(&str) -> Result<(String, String), String> + 'f;

/// A table that is read elsewhere.
type Ignored = Option<IgnoredAny>;

/// One table, or a list of them.
#[derive(Default)]
struct Controls(Vec<ControlFile>);

impl<'de> Deserialize<'de> for Controls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ControlsVisitor)
    }
}

struct ControlsVisitor;

impl<'de> serde::de::Visitor<'de> for ControlsVisitor {
    type Value = Controls;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a control, or a list of them")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Controls, A::Error> {
        let one = ControlFile::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        Ok(Controls(vec![one]))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Controls, A::Error> {
        let mut controls = Vec::new();
        while let Some(one) = seq.next_element()? {
            controls.push(one);
        }
        Ok(Controls(controls))
    }
}

const DEFAULT_SEEDS: u32 = 20;

fn default_seeds() -> Spanned<u32> {
    Spanned::new(0..0, DEFAULT_SEEDS)
}

const PROGRESS: f64 = 0.9;

impl Scenario {
    /// A workload as a scenario without controls: what it expects to hold is what may be found.
    pub fn of_workload(workload: Workload) -> Self {
        let names = workload.expect.hold.iter();
        Self {
            row: None,
            title: workload.about.clone(),
            seeds: DEFAULT_SEEDS,
            finds: names.filter_map(|name| Property::from_name(name)).collect(),
            also: Vec::new(),
            figures: Vec::new(),
            finding: workload,
            controls: Vec::new(),
        }
    }

    /// Whether a text is that of a scenario and not of a workload, which has no rows.
    pub fn is_one(text: &str) -> bool {
        text.lines().any(|line| {
            line.strip_prefix("row").is_some_and(|rest| rest.trim_start().starts_with('='))
        })
    }

    /// Reads the `text` of a scenario file, changed by `overrides`. `base` finds the workload.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file; what is wrong with the workload that
    /// it makes, where that is written.
    pub fn parse(
        file: &str,
        text: &str,
        overrides: &[(String, String)],
        base: &FindWorkload<'_>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let source = Source::new(file, text, &[]);
        let written: File =
            toml::from_str(text).map_err(|error| vec![from_toml(&source, &error)])?;
        let mut wrong = Vec::new();
        let row = Row::parse(written.row.get_ref());
        if row.is_none() {
            let message = "expected the row of the catalogue: `S48`, or `S109a` for one of several";
            wrong.push(source.diagnostic(written.row.span(), message.to_owned()));
        }
        if *written.seeds.get_ref() == 0 {
            let message = "nothing is found on no seed".to_owned();
            wrong.push(source.diagnostic(written.seeds.span(), message));
        }
        for control in &written.control.0 {
            if let Some(progress) =
                control.progress.as_ref().filter(|f| !(0.0..=1.0).contains(f.get_ref()))
            {
                let message = "expected a fraction from 0 to 1".to_owned();
                wrong.push(source.diagnostic(progress.span(), message));
            }
        }
        if written.finds.is_empty() && written.figures.is_empty() && written.control.0.is_empty() {
            let message = "nothing is shown: a scenario needs `finds`, `figures` or a `control`";
            wrong.push(source.diagnostic(written.row.span(), message.to_owned()));
        }
        let figures: Vec<Figure> =
            written.figures.iter().filter_map(|text| figure(text, &source, &mut wrong)).collect();
        let base = base(written.workload.get_ref());
        if let Err(why) = &base {
            wrong.push(source.diagnostic(written.workload.span(), why.clone()));
        }
        let (Ok((base_file, base_text)), true) = (base, wrong.is_empty()) else {
            wrong.sort_by_key(|wrong| (wrong.line, wrong.column));
            return Err(wrong);
        };
        let read = |side: Side| {
            let base = (base_file.as_str(), base_text.as_str());
            Workload::read(Source::of_scenario(base, (file, text), side, overrides))
        };
        let name = name_of(file);
        let mut finding = read(Side::Finding)?;
        (finding.name, finding.about) = (name.to_owned(), written.title.clone());
        let controls = written.control.0.into_iter().enumerate().map(|(at, control)| {
            let mut workload = read(Side::Control(at))?;
            (workload.name, workload.about) = (format!("{name}-control"), control.title.clone());
            let progress = control.progress.map_or(PROGRESS, Spanned::into_inner);
            Ok(Control {
                holds: properties(&control.holds),
                title: control.title,
                progress,
                workload,
            })
        });
        Ok(Self {
            row,
            title: written.title,
            seeds: written.seeds.into_inner(),
            finds: properties(&written.finds),
            also: properties(&written.also),
            figures,
            finding,
            controls: controls.collect::<Result<_, Vec<Diagnostic>>>()?,
        })
    }
}

/// `s048-asynchronous-failover` of `workloads/scenarios/s048-asynchronous-failover.toml`.
fn name_of(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.strip_suffix(".toml").unwrap_or(name)
}

/// Names that the workload has been read with, as what it expects.
fn properties(names: &[Text]) -> Vec<Property> {
    names.iter().filter_map(|name| Property::from_name(name.get_ref())).collect()
}

fn figure(text: &Text, source: &Source, wrong: &mut Vec<Diagnostic>) -> Option<Figure> {
    let figure = Figure::from_name(text.get_ref());
    if figure.is_none() {
        let known: Vec<&str> = Figure::names().collect();
        let word = text.get_ref();
        let message = format!(
            "unknown figure `{word}`, expected the id of a property or one of {}",
            list(&known)
        );
        let help = did_you_mean(word, known);
        wrong.push(source.diagnostic(text.span(), message).with_help(help));
    }
    figure
}
