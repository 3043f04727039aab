//! One direction of one connection: bytes in, and out as the rules let them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::model::Random;
use crate::proxy::rule::{Open, Rule, Rules, Stopped, Sum};

/// The most that is read at a time.
const PIECE: usize = 64 << 10;

/// The most bytes of a connection that wait in the proxy; more wait where they come from.
const WAITING_MAX: usize = 4 << 20;

/// A write that is due is late by at most so much, for timers have their own grain.
const GRAIN: Duration = Duration::from_millis(20);

/// How a direction came to its end.
pub(super) enum Ended {
    /// The sender had nothing more to say, and the receiver knows.
    Said,
    /// The receiver is gone. What it sent before may still be on its way.
    Unheard,
    /// The sender is gone, or a rule ended the connection.
    Reset,
    /// The sender is not to know that the receiver is cut off.
    HalfOpen(Arc<Rule>),
}

/// What the sender's socket said last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Closed,
    Reset,
}

struct Waiting {
    due: Instant,
    bytes: Vec<u8>,
    sent: usize,
}

/// A direction of a connection.
pub(super) struct Pump {
    /// The rules of the direction, which change.
    pub rules: watch::Receiver<Rules>,
    /// The number of the connection on its link.
    pub number: u64,
    /// Whether it is counted: the proxy's own probes are not.
    pub counts: bool,
    pub random: Random,
}

impl Pump {
    /// Passes on until the end.
    ///
    /// Every write happens while the rules are borrowed, and whoever changes them waits for that: when
    /// a cut is in force, no byte that was read before is written after.
    pub(super) async fn run(mut self, from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Ended {
        let mut sum = self.sum();
        let mut queue: VecDeque<Waiting> = VecDeque::new();
        let mut waiting = 0;
        let mut last = None;
        let mut last_due = Instant::now();
        let mut next_write = Instant::now();
        let mut piece = vec![0; PIECE].into_boxed_slice();
        loop {
            if let Some((rule, open)) = sum.ends() {
                self.count(|stopped| &stopped.reset, std::slice::from_ref(rule), 1);
                return match open {
                    Open::HalfOpen => Ended::HalfOpen(rule.clone()),
                    Open::Hold | Open::Reset => Ended::Reset,
                };
            }
            if let (true, false, Some(last)) = (queue.is_empty(), sum.is_cut(), last)
                && last_due <= Instant::now()
            {
                if last == Last::Closed && to.shutdown().await.is_ok() {
                    return Ended::Said;
                }
                return if last == Last::Closed { Ended::Unheard } else { Ended::Reset };
            }
            let due = match queue.front() {
                _ if sum.is_cut() => None,
                Some(front) => Some(front.due.max(next_write)),
                None => last.map(|_| last_due),
            };
            tokio::select! {
                biased;
                changed = self.rules.changed() => {
                    if changed.is_err() {
                        return Ended::Reset;
                    }
                    let old = std::mem::replace(&mut sum, self.sum());
                    if sum.is_nothing() {
                        // What was slow is so no more.
                        last_due = Instant::now();
                        next_write = last_due;
                        for one in &mut queue {
                            one.due = last_due;
                        }
                    }
                    let is_new = |rule: &&Arc<Rule>| !old.cuts.iter().any(|one| Arc::ptr_eq(one, rule));
                    let new: Vec<Arc<Rule>> = sum.cuts.iter().filter(is_new).cloned().collect();
                    self.count(|stopped| &stopped.held_bytes, &new, waiting as u64);
                }
                readable = from.readable(), if last.is_none() && waiting < WAITING_MAX => {
                    let read = readable.and_then(|()| from.try_read(&mut piece));
                    let now = Instant::now();
                    let bytes = match read {
                        Ok(0) => { last = Some(Last::Closed); &piece[..0] }
                        Ok(count) => &piece[..count],
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                        Err(_) => { last = Some(Last::Reset); &piece[..0] }
                    };
                    if !bytes.is_empty() && self.random.chance(sum.loss) {
                        self.count(|stopped| &stopped.reset, &sum.packets, 1);
                        return Ended::Reset;
                    }
                    let mut sent = 0;
                    if sum.is_nothing() && queue.is_empty() {
                        last_due = now;
                        match self.write(&to, bytes) {
                            Written::Count(count) => sent = count,
                            Written::Changed => {}
                            Written::Gone => return Ended::Unheard,
                        }
                    } else {
                        last_due = last_due.max(now + self.delay(&sum));
                    }
                    if sent < bytes.len() {
                        waiting += bytes.len() - sent;
                        self.count(|stopped| &stopped.held_bytes, &sum.cuts, bytes.len() as u64);
                        self.count(|stopped| &stopped.slowed_bytes, &sum.packets, bytes.len() as u64);
                        queue.push_back(Waiting { due: last_due, bytes: bytes[sent..].to_vec(), sent: 0 });
                    }
                }
                () = can_write(due.unwrap_or(last_due), &to, !queue.is_empty()), if due.is_some() => {
                    let Some(front) = queue.front_mut() else { continue };
                    let (most, cost) = allowance(&sum);
                    let end = front.bytes.len().min(front.sent.saturating_add(most));
                    match self.write(&to, &front.bytes[front.sent..end]) {
                        Written::Count(count) => {
                            waiting -= count;
                            front.sent += count;
                            let late = Instant::now().checked_sub(GRAIN);
                            next_write = late.map_or(next_write, |late| next_write.max(late));
                            next_write += cost(count);
                            if front.sent == front.bytes.len() {
                                queue.pop_front();
                            }
                        }
                        Written::Changed => {}
                        Written::Gone => return Ended::Unheard,
                    }
                }
            }
        }
    }

    fn sum(&mut self) -> Sum {
        Sum::of(&self.rules.borrow_and_update(), self.number)
    }

    /// Writes what the socket takes at once, unless the rules are no longer those that were read.
    fn write(&self, to: &WriteHalf<'_>, bytes: &[u8]) -> Written {
        let rules = self.rules.borrow();
        if rules.has_changed() {
            return Written::Changed;
        }
        match to.try_write(bytes) {
            Ok(count) => Written::Count(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Written::Count(0),
            Err(_) => Written::Gone,
        }
    }

    fn delay(&mut self, sum: &Sum) -> Duration {
        let jitter = sum.jitter.as_micros() as u64;
        let drawn = Duration::from_micros(self.random.between(0, 2 * jitter));
        (sum.delay + drawn).saturating_sub(sum.jitter)
    }

    fn count(&self, counter: impl Fn(&Stopped) -> &AtomicU64, rules: &[Arc<Rule>], count: u64) {
        if self.counts {
            for rule in rules {
                Stopped::add(counter(&rule.stopped), count);
            }
        }
    }
}

enum Written {
    Count(usize),
    Changed,
    Gone,
}

async fn can_write(due: Instant, to: &WriteHalf<'_>, has_bytes: bool) {
    if due > Instant::now() {
        sleep_until(due).await;
    }
    if has_bytes {
        // An error shows when it is written to.
        let _ = to.writable().await;
    }
}

/// How much may be written at a time, and how long nothing may be written after so many bytes.
fn allowance(sum: &Sum) -> (usize, impl Fn(usize) -> Duration + use<>) {
    let (drip, rate) = (sum.drip, sum.bits_per_second);
    let of_rate = rate.map_or(PIECE, |rate| (rate / 8 / 100).clamp(1, PIECE as u64) as usize);
    let most = if drip.is_some() { 1 } else { of_rate };
    let cost = move |count: usize| {
        let by_rate = rate.map_or(Duration::ZERO, |rate| {
            Duration::from_nanos((count as u128 * 8_000_000_000 / u128::from(rate)) as u64)
        });
        by_rate.max(drip.unwrap_or(Duration::ZERO) * count as u32)
    };
    (most, cost)
}
