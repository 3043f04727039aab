//! How many reads a leaderless store should get wrong: probabilistically bounded staleness (Bailis et
//! al., VLDB 2012, section 4: the model WARS), by Monte Carlo.
//!
//! A write is sent to N replicas and is acknowledged when W of them have answered; a read asks N and
//! takes the newest of the first R answers. It is stale if none of those R had got the write before it
//! got the read:
//!
//! ```text
//! writer    o--W-->[replica]--A-->o        acknowledged with the W-th smallest W + A
//! reader          t later  o--R-->[replica]--S-->o    the R smallest R + S are heard
//! ```
//!
//! What the model leaves out: replicas that repair each other, failures, and that a newer write under
//! way may be shown.

use crate::history::{Datatype, History, Rank, Txn};
use crate::model::{Function, Nanos, Random, Value};
use crate::sim::Latency;

/// Writes and reads that are drawn.
const TRIALS: usize = 20_000;

/// N, W and R, and how long messages take.
struct Quorums {
    replicas: usize,
    write: usize,
    read: usize,
    /// Of a write to a replica, beyond the time of a message.
    lag: Latency,
    message: Latency,
}

impl Quorums {
    /// What the header says of the target; `None` if that is no store with quorums.
    fn of(history: &History) -> Option<Self> {
        let Value::Map(target) = history.header()?.target.as_ref()? else { return None };
        let option = |name: &str| {
            target.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
        };
        let number = |name| usize::try_from(option(name)?.as_int()?).ok();
        let latency = |name| Latency::parse(option(name)?.as_text()?).ok();
        let (replicas, write, read) =
            (number("replicas")?, number("write-quorum")?, number("read-quorum")?);
        let is_sound = (1..=replicas).contains(&write) && (1..=replicas).contains(&read);
        let (lag, message) = (latency("lag")?, latency("latency")?);
        is_sound.then_some(Self { replicas, write, read, lag, message })
    }

    /// How long after the acknowledgement of a write its client's next read has to begin to be sure to
    /// see it: one draw. Negative if it may come at once.
    fn draw(&self, random: &mut Random) -> i64 {
        let message = |random: &mut Random| self.message.sample(random).0 as i64;
        let (mut stored, mut acknowledged) = (Vec::new(), Vec::new());
        for _ in 0..self.replicas {
            let arrives = message(random) + self.lag.sample(random).0 as i64;
            stored.push(arrives);
            acknowledged.push(arrives + message(random));
        }
        acknowledged.sort_unstable();
        let commit = acknowledged[self.write - 1];
        // Answers that come at the same time come in any order.
        let mut heard: Vec<(i64, u64, i64)> = stored
            .iter()
            .map(|stored| {
                let arrives = message(random);
                (arrives + message(random), random.next(), stored - commit - arrives)
            })
            .collect();
        heard.sort_unstable();
        let fresh = heard[..self.read].iter().map(|(.., fresh)| *fresh).min().unwrap_or(i64::MIN);
        // The client hears of the write, and its read reaches the coordinator, a message later each.
        fresh - message(random) - message(random)
    }
}

/// The fraction of the reads of registers that would be stale, each read so long after the latest
/// acknowledged write of its key as it was in the history. `None` where the target is no store with
/// quorums or nothing was read.
pub(super) fn predict(history: &History) -> Option<f64> {
    let quorums = Quorums::of(history)?;
    let mut random = Random::stream(0, "prediction");
    let mut thresholds: Vec<i64> = (0..TRIALS).map(|_| quorums.draw(&mut random)).collect();
    thresholds.sort_unstable();
    let stale_after = |elapsed: Nanos| {
        let fresh = thresholds.partition_point(|threshold| *threshold <= elapsed.0 as i64);
        (TRIALS - fresh) as f64 / TRIALS as f64
    };
    let by_key = history.by_key();
    let (mut reads, mut stale) = (0_u64, 0.0);
    for key in history.keys().filter(|key| history.datatype(*key) == Datatype::Register) {
        let txns: Vec<Txn<'_>> = by_key
            .group(key.0)
            .iter()
            .map(|id| history.txn(*id))
            .filter(|txn| txn.is_ok())
            .collect();
        let mut written: Vec<(Rank, Nanos)> = txns
            .iter()
            .filter(|txn| txn.function() == Function::Write)
            .map(|txn| (txn.returned(), txn.returned_at()))
            .collect();
        written.sort_unstable();
        for read in txns.iter().filter(|txn| txn.function() == Function::Read) {
            reads += 1;
            let before = written.partition_point(|(returned, _)| *returned < read.invoked());
            if let Some((_, at)) = before.checked_sub(1).map(|last| written[last]) {
                stale += stale_after(read.invoked_at() - at);
            }
        }
    }
    (reads > 0).then(|| stale / reads as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stale_at_once(write: usize, read: usize, lag: Latency) -> f64 {
        let message = Latency::Fixed(Nanos(1_000_000));
        let quorums = Quorums { replicas: 3, write, read, lag, message };
        let mut random = Random::stream(1, "prediction");
        let stale = (0..TRIALS).filter(|_| quorums.draw(&mut random) > 0).count();
        stale as f64 / TRIALS as f64
    }

    #[test]
    fn quorums_that_meet_are_never_stale() {
        let lag = Latency::Exponential(Nanos(20_000_000));
        for (write, read) in [(2, 2), (3, 1), (1, 3)] {
            assert!(stale_at_once(write, read, lag).abs() < 1e-12, "W {write}, R {read}");
        }
    }

    /// W = R = 1: the first of three exponential delays acknowledges. The read is heard by any of the
    /// three alike, 3 ms later than the replica that answered got the write (its answer, the client's
    /// read, the coordinator's), and the two others are late with probability exp(-4 ms / 20 ms), for
    /// they have no memory: 2/3 of that.
    #[test]
    fn one_replica_each_is_stale_as_often_as_can_be_reckoned() {
        let stale = stale_at_once(1, 1, Latency::Exponential(Nanos(20_000_000)));
        let expected = 2.0 / 3.0 * (-4.0_f64 / 20.0).exp();
        assert!((stale - expected).abs() < 0.02, "{stale} and not {expected}");
        assert!(stale_at_once(1, 1, Latency::ZERO).abs() < 1e-12);
    }
}
