//! Randomness that is the same on every machine and in every later version.
//!
//! Own code, and only integer and correctly rounded arithmetic: the distributions of the `rand`
//! crates may change their output between versions, and `ln` of the platform between machines.

/// A named stream of random numbers (xoshiro256++, Blackman and Vigna 2019).
///
/// Streams with different names are independent, so one more draw in one room disturbs no other.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream called `name` of a run's `seed`.
    pub fn stream(seed: u64, name: &str) -> Self {
        // FNV-1a of the name, then SplitMix64 to fill the state.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut x = seed ^ hash;
        let state = std::array::from_fn(|_| {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state }
    }

    /// The next 64 random bits.
    #[expect(clippy::should_implement_trait, reason = "it is no iterator: it never ends")]
    pub fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number in `0..bound`, uniformly; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Lemire's multiplication; its bias is below 2^-32 for every bound used here.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `low..=high`, uniformly.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// A number in `0.0..1.0`, uniformly.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of `items`, uniformly.
    ///
    /// # Panics
    /// If `items` is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// A number of the exponential distribution with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -natural_logarithm(1.0 - self.unit()) * mean
    }
}

/// `ln x` for `0 < x`, from basic arithmetic only, which IEEE 754 rounds alike everywhere.
fn natural_logarithm(x: f64) -> f64 {
    // x = m · 2^e with 1 ≤ m < 2; ln m = 2 artanh((m-1)/(m+1)).
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let (mut term, mut sum) = (t, 0.0);
    for divisor in (1..40).step_by(2) {
        sum += term / f64::from(divisor);
        term *= t * t;
    }
    2.0 * sum + f64::from(exponent) * std::f64::consts::LN_2
}

/// `base` to the power of `exponent` for `0 < base`, the same on every machine.
///
/// Good to about twelve digits where the result is a normal number; beyond, it stays at the edge.
pub fn power(base: f64, exponent: f64) -> f64 {
    // 2^t = 2^whole · e^rest with 0 ≤ rest < ln 2, so twenty terms of the series are plenty.
    let t = exponent * natural_logarithm(base) / std::f64::consts::LN_2;
    let whole = t.floor().clamp(-1022.0, 1023.0);
    let rest = (t - whole).clamp(0.0, 1.0) * std::f64::consts::LN_2;
    let (mut term, mut sum) = (1.0, 1.0);
    for divisor in 1..20 {
        term *= rest / f64::from(divisor);
        sum += term;
    }
    sum * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_is_close() {
        for (base, exponent) in [(1.0, -1.1), (2.0, -1.0), (7.0, -0.99), (1e6, -2.5), (3.0, 4.0)] {
            let exact = f64::powf(base, exponent);
            assert!((power(base, exponent) / exact - 1.0).abs() < 1e-12, "{base}^{exponent}");
        }
        assert!(power(1e9, -1e9) > 0.0);
    }

    #[test]
    fn streams_are_pinned_for_ever() {
        let mut random = Random::stream(7, "network");
        assert_eq!([random.next(), random.next()], [PINNED.0, PINNED.1]);
        assert_ne!(Random::stream(7, "store").next(), PINNED.0);
    }

    const PINNED: (u64, u64) = (15_244_536_957_662_059_366, 12_865_604_787_244_403_650);

    #[test]
    fn logarithm_is_close() {
        for x in [1e-16, 0.001, 0.5, 0.999, 1.0, 1.5, 2.0, 1000.0] {
            assert!((natural_logarithm(x) - x.ln()).abs() < 1e-12 * (1.0 + x.ln().abs()));
        }
    }

    #[test]
    fn exponential_has_its_mean() {
        let mut random = Random::stream(1, "test");
        let sum: f64 = (0..100_000).map(|_| random.exponential(5.0)).sum();
        assert!((sum / 100_000.0 - 5.0).abs() < 0.1);
    }
}
