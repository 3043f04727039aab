//! The small languages inside values: `"2n"`, `"max"`, `"zipf(1.1)"`, `"500ms"`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::generate::{Begins, Budget, Count, KeyChoice, Spacing, Writers};
use crate::model::Nanos;

/// A value that is written as a word or as a number.
pub(super) trait Word: Sized {
    /// What it looks like, for the message when it does not.
    const EXPECTED: &'static str;

    /// What the text means, if anything.
    fn from_text(text: &str) -> Option<Self>;
}

/// A [`Word`] in a file.
#[derive(Clone, Debug)]
pub(super) struct Written<T>(pub(super) T);

impl<'de, T: Word> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordVisitor(PhantomData))
    }
}

struct WordVisitor<T>(PhantomData<T>);

impl<T: Word> Visitor<'_> for WordVisitor<T> {
    type Value = Written<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Written<T>, E> {
        let wrong = || E::custom(format!("unknown value `{text}`, expected {}", T::EXPECTED));
        T::from_text(text).map(Written).ok_or_else(wrong)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Written<T>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Written<T>, E> {
        self.visit_str(&number.to_string())
    }
}

impl Word for Nanos {
    const EXPECTED: &'static str = "a duration such as `10s` or `500ms`";

    fn from_text(text: &str) -> Option<Self> {
        parse_duration(text)
    }
}

/// A duration as a workload writes it: a number and one of `us`, `ms`, `s`, `m`, `h`.
pub fn parse_duration(text: &str) -> Option<Nanos> {
    const UNITS: [(&str, f64); 5] =
        [("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
    let number_ends = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(number_ends);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let nanos = number.parse::<f64>().ok()? * scale;
    // A century is never meant, and all sums of what is below it fit.
    (nanos < 3e18).then(|| Nanos(nanos.round() as u64))
}

/// How far a clock is put ahead, in milliseconds.
pub(super) struct Milliseconds(pub(super) i64);

impl Word for Milliseconds {
    const EXPECTED: &'static str = "a duration such as `500ms` or `-2s`";

    fn from_text(text: &str) -> Option<Self> {
        let (sign, size) = text.strip_prefix('-').map_or((1, text), |size| (-1, size));
        let nanos = parse_duration(size)?;
        Some(Self(sign * (nanos.0 / 1_000_000) as i64))
    }
}

/// From one beginning of a fault to the next.
pub(super) struct Every(pub(super) Begins);

impl Word for Every {
    const EXPECTED: &'static str = "a duration such as `10s`, or `exp(10s)` for random ones";

    fn from_text(text: &str) -> Option<Self> {
        let mean = text.strip_prefix("exp(").and_then(|rest| rest.strip_suffix(')'));
        let begins = match mean {
            Some(mean) => Begins::Random(parse_duration(mean)?),
            None => Begins::Every(parse_duration(text)?),
        };
        Some(Self(begins))
    }
}

/// A share of a hundred.
pub(super) struct Percent(pub(super) u8);

impl Word for Percent {
    const EXPECTED: &'static str = "a share from `1%` to `100%`";

    fn from_text(text: &str) -> Option<Self> {
        let percent = text.strip_suffix('%')?.parse().ok()?;
        (1..=100).contains(&percent).then_some(Self(percent))
    }
}

/// What a clock gains in a second, in microseconds.
pub(super) struct Drift(pub(super) i64);

impl Word for Drift {
    const EXPECTED: &'static str = "parts of a million such as `500ppm` or `-20000ppm`";

    fn from_text(text: &str) -> Option<Self> {
        let ppm: i64 = text.strip_suffix("ppm")?.parse().ok()?;
        (-500_000..=1_000_000).contains(&ppm).then_some(Self(ppm))
    }
}

/// How much goes through a link, in kilobits a second.
pub(super) struct BitRate(pub(super) u64);

impl Word for BitRate {
    const EXPECTED: &'static str = "a rate such as `500kbit` or `8mbit` (a second)";

    fn from_text(text: &str) -> Option<Self> {
        let (number, factor) = match text.strip_suffix("mbit") {
            Some(number) => (number, 1_000),
            None => (text.strip_suffix("kbit")?, 1),
        };
        let kbit = number.parse::<u64>().ok()?.checked_mul(factor)?;
        (1..=100_000_000).contains(&kbit).then_some(Self(kbit))
    }
}

/// How much memory, in megabytes.
pub(super) struct Megabytes(pub(super) u64);

impl Word for Megabytes {
    const EXPECTED: &'static str = "a size such as `64MB` or `2GB`";

    fn from_text(text: &str) -> Option<Self> {
        let (number, factor) = match text.strip_suffix("GB") {
            Some(number) => (number, 1_024),
            None => (text.strip_suffix("MB")?, 1),
        };
        let size = number.parse::<u64>().ok()?.checked_mul(factor)?;
        (1..=1 << 30).contains(&size).then_some(Self(size))
    }
}

impl Word for Budget {
    const EXPECTED: &'static str = "a number of nodes, or `minority`";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "minority" => Some(Self::Minority),
            number => number.parse().ok().map(Self::Nodes),
        }
    }
}

impl Word for Count {
    const EXPECTED: &'static str = "a number of clients such as `10`, or `2n` for two a node";

    fn from_text(text: &str) -> Option<Self> {
        let count = match text.strip_suffix('n') {
            Some(number) => Self::PerNode(number.parse().ok()?),
            None => Self::Total(text.parse().ok()?),
        };
        // A process is a u32, and successors have to fit as well.
        let (Self::Total(number) | Self::PerNode(number)) = count;
        (1..=1_000_000).contains(&number).then_some(count)
    }
}

/// Operations a second, or as fast as they are answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Speed {
    PerSecond(f64),
    Max,
}

impl Word for Speed {
    const EXPECTED: &'static str = "operations a second, more than 0, or `max`";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "max" => Some(Self::Max),
            number => {
                let rate = number.parse::<f64>().ok()?;
                (rate > 0.0 && rate <= 1e9).then_some(Self::PerSecond(rate))
            }
        }
    }
}

/// How many micro-operations a transaction has, at least and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length(pub(super) u32, pub(super) u32);

impl Word for Length {
    const EXPECTED: &'static str = "a length from 1 to 64 such as `4`, or `1..4`";

    fn from_text(text: &str) -> Option<Self> {
        let (shortest, longest) = text.split_once("..").unwrap_or((text, text));
        let (shortest, longest) = (shortest.trim().parse().ok()?, longest.trim().parse().ok()?);
        (1 <= shortest && shortest <= longest && longest <= 64).then_some(Self(shortest, longest))
    }
}

impl Word for Spacing {
    const EXPECTED: &'static str = "`poisson` or `even`";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "poisson" => Some(Self::Poisson),
            "even" => Some(Self::Even),
            _ => None,
        }
    }
}

impl Word for Writers {
    const EXPECTED: &'static str = "`any` or `one`";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "any" => Some(Self::Any),
            "one" => Some(Self::One),
            _ => None,
        }
    }
}

impl Word for KeyChoice {
    const EXPECTED: &'static str =
        "`uniform`, `zipf(1.1)`, `exponential(2)` or `rotate(ops_per_key = 200)`";

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "uniform" {
            return Some(Self::Uniform);
        }
        let (name, argument) = text.strip_suffix(')')?.split_once('(')?;
        match name.trim() {
            "zipf" => {
                let s = argument.trim().parse::<f64>().ok()?;
                (0.0..=100.0).contains(&s).then_some(Self::Zipf(s))
            }
            "exponential" => {
                let base = argument.trim().parse::<f64>().ok()?;
                (1.0..=100.0).contains(&base).then_some(Self::Exponential(base))
            }
            "rotate" => {
                let (key, number) = argument.split_once('=').unwrap_or(("ops_per_key", argument));
                let number = number.trim().parse::<u32>().ok()?;
                (key.trim() == "ops_per_key" && number > 0).then_some(Self::Rotate(number))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("10s", Some(10_000_000_000)),
            ("500ms", Some(500_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("0s", Some(0)),
            ("2m", Some(120_000_000_000)),
            ("7us", Some(7_000)),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1..5s", None),
            ("9999999999h", None),
            ("ten s", None),
            ("", None),
        ] {
            assert_eq!(parse_duration(text), nanos.map(Nanos), "{text}");
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(Length::from_text("1..4"), Some(Length(1, 4)));
        assert_eq!(Length::from_text("3"), Some(Length(3, 3)));
        for wrong in ["0", "4..1", "1..65", "..", "1-4", ""] {
            assert_eq!(Length::from_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn key_choices() {
        assert_eq!(KeyChoice::from_text("zipf(0.9)"), Some(KeyChoice::Zipf(0.9)));
        assert_eq!(KeyChoice::from_text("exponential(2)"), Some(KeyChoice::Exponential(2.0)));
        assert_eq!(KeyChoice::from_text("rotate(ops_per_key = 9)"), Some(KeyChoice::Rotate(9)));
        assert_eq!(KeyChoice::from_text("rotate(9)"), Some(KeyChoice::Rotate(9)));
        for wrong in [
            "zipf",
            "zipf(-1)",
            "zipf(nan)",
            "exponential(0.5)",
            "rotate(0)",
            "rotate(ops = 3)",
            "(",
            ")",
        ] {
            assert_eq!(KeyChoice::from_text(wrong), None, "{wrong}");
        }
    }
}
