//! What becomes of one packet.

use std::time::{Duration, Instant};

use crate::lab::switch::rules::{Effect, Rule, Table};
use crate::model::Random;

/// How long at most a packet waits for its turn where the rate is limited; what comes later finds the
/// queue full and is lost.
const LONGEST_QUEUE: Duration = Duration::from_secs(1);

/// How much later a packet is, at least, that others shall overtake.
const OVERTAKEN_AFTER: Duration = Duration::from_millis(5);

/// What goes one way between two devices. Each link keeps its order, but for what is reordered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    /// When the last packet that keeps the order arrives.
    tail: Option<Instant>,
}

impl Link {
    /// When a packet arrives that was sent `now`: never, once or twice.
    pub(super) fn carry(
        &mut self,
        table: &Table,
        (from, to): (usize, usize),
        bytes: usize,
        now: Instant,
        random: &mut Random,
    ) -> Fate {
        if table.is_cut(from, to) {
            return Fate::Dropped;
        }
        let (mut arrival, mut overtaken, mut again) = (now, None, None);
        for rule in table.rules(from, to) {
            let effect = &rule.effect;
            if happens(effect.loss, random) {
                return Fate::Dropped;
            }
            let Some(through) = through(rule, bytes, arrival) else { return Fate::Dropped };
            arrival = through + late(effect, random);
            if happens(effect.reorder, random) {
                overtaken = overtaken.max(Some(OVERTAKEN_AFTER + effect.delay / 2));
            }
            if happens(effect.duplicate, random) {
                again = again.max(Some(late(effect, random).saturating_sub(effect.delay)));
            }
        }
        if let Some(after) = overtaken {
            arrival += after;
        } else {
            arrival = self.tail.map_or(arrival, |tail| tail.max(arrival));
            self.tail = Some(arrival);
        }
        match again {
            Some(after) => Fate::Twice(arrival, arrival + after),
            None => Fate::Once(arrival),
        }
    }
}

/// When a packet arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Dropped,
    Once(Instant),
    Twice(Instant, Instant),
}

/// Draws nothing for what cannot happen.
fn happens(percent: u8, random: &mut Random) -> bool {
    percent > 0 && random.below(100) < u64::from(percent)
}

/// How much later a packet is, jitter and all.
fn late(effect: &Effect, random: &mut Random) -> Duration {
    if effect.jitter.is_zero() {
        return effect.delay;
    }
    let jitter = Duration::from_nanos(random.between(0, 2 * effect.jitter.as_nanos() as u64));
    (effect.delay + jitter).saturating_sub(effect.jitter)
}

/// When a packet that comes at `arrival` has gone through what limits the rate; `None` if too many
/// wait there.
fn through(rule: &Rule, bytes: usize, arrival: Instant) -> Option<Instant> {
    if rule.effect.rate_kbit == 0 {
        return Some(arrival);
    }
    let nanos = bytes as u64 * 8 * 1_000_000 / rule.effect.rate_kbit;
    let mut free = rule.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let begins = free.map_or(arrival, |free| free.max(arrival));
    if begins - arrival > LONGEST_QUEUE {
        return None;
    }
    let ends = begins + Duration::from_nanos(nanos);
    *free = Some(ends);
    Some(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(rule: &str, count: u64, every: Duration) -> Vec<(Instant, Fate)> {
        let names = ["control", "n1", "n2"].map(str::to_owned);
        let table = Table::parse(&format!("1\n{rule}"), &names).expect("a good rule");
        let (mut link, mut random) = (Link::default(), Random::stream(1, "switch"));
        let start = Instant::now();
        let sent = (0..count).map(|at| start + every * at as u32);
        sent.map(|now| (now, link.carry(&table, (1, 2), 1_000, now, &mut random))).collect()
    }

    fn arrivals(carried: &[(Instant, Fate)]) -> Vec<Instant> {
        let first = carried.iter().filter_map(|(_, fate)| match fate {
            Fate::Dropped => None,
            Fate::Once(at) | Fate::Twice(at, _) => Some(*at),
        });
        first.collect()
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn jitter_keeps_the_order_and_its_bounds() {
        let carried = carried("packet n1 * 50 10 0 0 0 0", 1_000, MS);
        assert!(arrivals(&carried).is_sorted());
        for (sent, fate) in &carried {
            let Fate::Once(at) = fate else { panic!("{fate:?}") };
            assert!((40 * MS..=60 * MS).contains(&(*at - *sent)));
        }
    }

    #[test]
    fn each_share_is_as_it_was_asked() {
        let lost = 10_000 - arrivals(&carried("packet n1 * 0 0 30 0 0 0", 10_000, MS)).len();
        assert!((2_800..3_200).contains(&lost), "{lost}");
        let doubled = carried("packet n1 * 0 0 0 10 0 0", 10_000, MS);
        let twice = doubled.iter().filter(|(_, fate)| matches!(fate, Fate::Twice(..))).count();
        assert!((850..1_150).contains(&twice), "{twice}");
        let mixed = arrivals(&carried("packet n1 * 0 0 0 0 10 0", 10_000, MS));
        let overtaken = mixed.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!((800..1_150).contains(&overtaken), "{overtaken}");
    }

    #[test]
    fn a_rate_holds_and_its_queue_is_finite() {
        // A thousand bytes in 8 ms.
        let slow = carried("packet n1 * 0 0 0 0 0 1000", 100, 10 * MS);
        assert!(slow.iter().all(|(sent, fate)| *fate == Fate::Once(*sent + 8 * MS)));
        let crowded = arrivals(&carried("packet n1 * 0 0 0 0 0 1000", 1_000, MS));
        assert!(crowded.windows(2).all(|pair| pair[1] - pair[0] == 8 * MS));
        assert!((200..300).contains(&crowded.len()), "{}", crowded.len());
    }

    #[test]
    fn a_cut_goes_one_way_and_other_links_are_left_alone() {
        let cut = carried("cut n1 n2", 10, MS);
        assert!(cut.iter().all(|(_, fate)| *fate == Fate::Dropped));
        let back = carried("cut n2 n1\npacket n2 * 50 0 0 0 0 0", 10, MS);
        assert!(back.iter().all(|(sent, fate)| *fate == Fate::Once(*sent)));
    }
}
