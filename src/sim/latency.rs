//! How long a message takes.

use std::fmt;

use crate::model::{Nanos, Random};

/// A distribution of delays, written `1ms`, `1ms..5ms` or `exp(5ms)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Always the same.
    Fixed(Nanos),
    /// Uniform between the two, both included.
    Uniform(Nanos, Nanos),
    /// Exponential with this mean: most are short, a few are many times longer.
    Exponential(Nanos),
}

impl Latency {
    /// No delay at all.
    pub const ZERO: Self = Self::Fixed(Nanos(0));

    /// Reads the text form; the error says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(mean) = text.strip_prefix("exp(").and_then(|rest| rest.strip_suffix(')')) {
            return parse_duration(mean).map(Self::Exponential);
        }
        let Some((low, high)) = text.split_once("..") else {
            return parse_duration(text).map(Self::Fixed).map_err(|_| {
                format!("expected \"1ms\", \"1ms..5ms\" or \"exp(5ms)\", not {text:?}")
            });
        };
        let (low, high) = (parse_duration(low)?, parse_duration(high)?);
        if low > high {
            return Err(format!("the range {text:?} ends before it begins"));
        }
        Ok(Self::Uniform(low, high))
    }

    /// Draws one delay.
    pub fn sample(&self, random: &mut Random) -> Nanos {
        match *self {
            Self::Fixed(delay) => delay,
            Self::Uniform(low, high) => Nanos(random.between(low.0, high.0)),
            Self::Exponential(mean) => Nanos(random.exponential(mean.0 as f64) as u64),
        }
    }

    /// A delay that fewer than one message in a thousand exceeds.
    pub fn ceiling(&self) -> Nanos {
        match *self {
            Self::Fixed(delay) | Self::Uniform(_, delay) => delay,
            Self::Exponential(mean) => Nanos(mean.0.saturating_mul(7)),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(delay) => write!(f, "{}", duration_text(*delay)),
            Self::Uniform(low, high) => {
                write!(f, "{}..{}", duration_text(*low), duration_text(*high))
            }
            Self::Exponential(mean) => write!(f, "exp({})", duration_text(*mean)),
        }
    }
}

const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
];

/// Reads `250us`, `1.5ms`, `2s`, `1min` or `0`.
pub fn parse_duration(text: &str) -> Result<Nanos, String> {
    let expected = || format!("expected a duration such as \"5ms\" or \"1.5s\", not {text:?}");
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Nanos(0));
    }
    let (number, scale) = UNITS
        .iter()
        .find_map(|(unit, scale)| trimmed.strip_suffix(unit).map(|number| (number.trim(), *scale)))
        .ok_or_else(expected)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return Err(expected());
    }
    let whole: u64 = whole.parse().map_err(|_| expected())?;
    let part: u64 = fraction.parse().map_err(|_| expected())?;
    let part = u128::from(part) * u128::from(scale) / 10_u128.pow(fraction.len() as u32);
    let part = u64::try_from(part).map_err(|_| expected())?;
    whole.checked_mul(scale).and_then(|n| n.checked_add(part)).map(Nanos).ok_or_else(expected)
}

fn duration_text(duration: Nanos) -> String {
    let largest = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)]
        .into_iter()
        .find(|(_, scale)| duration.0.is_multiple_of(*scale));
    largest.map_or_else(String::new, |(unit, scale)| format!("{}{unit}", duration.0 / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_are_read_and_written() {
        for text in ["1ms", "250us", "1ms..5ms", "exp(5ms)", "2s", "0s"] {
            assert_eq!(Latency::parse(text).map(|latency| latency.to_string()), Ok(text.into()));
        }
        assert_eq!(parse_duration("1.5ms"), Ok(Nanos(1_500_000)));
        assert_eq!(parse_duration("0.999999999min"), Ok(Nanos(59_999_999_940)));
        assert_eq!(parse_duration("1min"), Ok(Nanos(60_000_000_000)));
        assert_eq!(parse_duration("0"), Ok(Nanos(0)));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "5", "ms", "-1ms", "1..5", "5ms..1ms", "exp()", "exp(5)", "1.ms", "1e3s"] {
            assert!(Latency::parse(text).is_err(), "{text:?}");
        }
        assert!(parse_duration("99999999999999s").is_err());
    }

    #[test]
    fn samples_stay_in_their_range_and_have_their_mean() {
        let mut random = Random::stream(3, "network");
        let uniform = Latency::Uniform(Nanos(10), Nanos(20));
        let mut ends = [false; 2];
        for _ in 0..1000 {
            let delay = uniform.sample(&mut random).0;
            assert!((10..=20).contains(&delay));
            ends[0] |= delay == 10;
            ends[1] |= delay == 20;
        }
        assert_eq!(ends, [true; 2]);
        let exponential = Latency::Exponential(Nanos(1_000_000));
        let sum: u64 = (0..100_000).map(|_| exponential.sample(&mut random).0).sum();
        assert!((980_000..1_020_000).contains(&(sum / 100_000)));
    }
}
