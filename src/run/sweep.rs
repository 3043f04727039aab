//! One scenario while an option is varied: the curve of what it costs.

use crate::report::{Curve, CurvePoint};
use crate::run::survey::{Seeds, survey};
use crate::workload::Scenario;

/// An entry of a workload, and the values it is given one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knob {
    /// `target.lag`.
    pub key: String,
    /// `10ms`, `50ms`.
    pub values: Vec<String>,
}

impl Knob {
    /// Reads `target.lag=10ms,50ms`. Commas within brackets or quotes belong to a value.
    pub fn parse(text: &str) -> Option<Self> {
        let (key, list) = text.split_once('=')?;
        let (mut values, mut depth, mut quoted) = (vec![String::new()], 0_i32, false);
        for c in list.chars() {
            match c {
                '"' => quoted = !quoted,
                '(' | '[' | '{' if !quoted => depth += 1,
                ')' | ']' | '}' if !quoted => depth -= 1,
                _ => {}
            }
            if c == ',' && depth == 0 && !quoted {
                values.push(String::new());
            } else if let Some(value) = values.last_mut() {
                value.push(c);
            }
        }
        let values: Vec<String> = values.iter().map(|value| value.trim().to_owned()).collect();
        let is_sound = !key.trim().is_empty() && values.iter().all(|value| !value.is_empty());
        is_sound.then(|| Self { key: key.trim().to_owned(), values })
    }

    /// Every combination of the values of several knobs, the last one turning fastest, as overrides.
    pub fn combinations(knobs: &[Self]) -> Vec<Vec<(String, String)>> {
        let mut all = vec![Vec::new()];
        for knob in knobs {
            let set = |before: &Vec<(String, String)>, value: &String| {
                let own = (knob.key.clone(), value.clone());
                before.iter().cloned().chain([own]).collect()
            };
            all = all
                .iter()
                .flat_map(|before| knob.values.iter().map(move |value| set(before, value)))
                .collect();
        }
        all
    }
}

/// Runs what shows the failure of a scenario at every point, each with the scenario as its overrides
/// make it.
pub fn sweep(
    file: &str,
    points: Vec<(Vec<(String, String)>, Scenario)>,
    seeds: Option<u32>,
    done: &(dyn Fn() + Sync),
) -> Curve {
    let keys = points
        .first()
        .map_or_else(Vec::new, |(set, _)| set.iter().map(|(key, _)| key.clone()).collect());
    let title = points.first().map_or_else(String::new, |(_, scenario)| scenario.title.clone());
    let (settings, scenarios): (Vec<_>, Vec<_>) = points
        .into_iter()
        .map(|(set, scenario)| {
            let scenario = Scenario { controls: Vec::new(), ..scenario };
            (set, (file.to_owned(), scenario))
        })
        .unzip();
    let matrix = survey(&scenarios, Seeds { first: 1, finding: seeds, control: 0 }, None, done);
    let points = settings.into_iter().zip(matrix.rows).map(|(set, row)| CurvePoint {
        values: set.into_iter().map(|(_, value)| value).collect(),
        outcome: row.finding,
    });
    Curve { title, file: file.to_owned(), keys, points: points.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_are_read_and_combined() {
        let knob = |text| Knob::parse(text).map(|knob| (knob.key, knob.values.join("|")));
        let some = |key: &str, values: &str| Some((key.to_owned(), values.to_owned()));
        assert_eq!(knob("target.lag=1ms, exp(5ms)"), some("target.lag", "1ms|exp(5ms)"));
        assert_eq!(knob("a=[1,2],\"x,y\""), some("a", "[1,2]|\"x,y\""));
        for wrong in ["target.lag", "=1", "a=", "a=1,,2"] {
            assert_eq!(knob(wrong), None, "{wrong}");
        }
        let knobs = ["a=1,2", "b=x,y"].map(|text| Knob::parse(text).expect("it is sound"));
        let values =
            |set: Vec<(String, String)>| set.into_iter().map(|(_, v)| v).collect::<String>();
        let all: Vec<String> = Knob::combinations(&knobs).into_iter().map(values).collect();
        assert_eq!(all, ["1x", "1y", "2x", "2y"]);
    }
}
