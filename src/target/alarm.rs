//! Wakes a task at a time: to the microsecond on Linux, elsewhere to the millisecond.
//!
//! tokio's own timers count milliseconds, and the operations of a fast open loop would come in clumps.

#![expect(clippy::disallowed_methods, reason = "a live target is driven in real time")]

use std::time::Instant;

#[cfg(target_os = "linux")]
pub(super) use kernel::Alarm;
#[cfg(not(target_os = "linux"))]
pub(super) use runtime::Alarm;

impl Alarm {
    /// Returns when that time has come, and at the earliest when everybody else had a turn; without a time,
    /// never.
    pub(super) async fn until(&mut self, due: Option<Instant>) {
        let Some(due) = due else { return std::future::pending().await };
        if due <= Instant::now() {
            // Those who have something to do, and those who have been answered.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        } else {
            self.sleep_until(due).await;
        }
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::{Duration, Instant};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    /// A timer of the kernel.
    pub(in crate::target) struct Alarm {
        timer: AsyncFd<OwnedFd>,
        /// When it goes off, if it does.
        set: Option<Instant>,
    }

    impl Alarm {
        /// An alarm for tasks of the runtime that this is called in.
        #[expect(
            deprecated,
            reason = "its successor wants an unsafe promise, which is kept: nobody else has the timer"
        )]
        pub(in crate::target) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            Ok(Self { timer: AsyncFd::new(timer)?, set: None })
        }

        pub(super) async fn sleep_until(&mut self, due: Instant) {
            loop {
                let wait = due.saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    return;
                }
                // One that goes off too early costs one more look; to set it for every wait would cost more.
                if self.set.is_none_or(|set| set > due) {
                    self.go_off_in(wait);
                    self.set = Some(due);
                }
                let fired = self.timer.readable().await;
                fired.expect("the runtime is there as long as its tasks").clear_ready();
                self.set = None;
            }
        }

        fn go_off_in(&self, wait: Duration) {
            let wait = Timespec::try_from(wait).expect("a time that an Instant can hold");
            let setting = Itimerspec { it_interval: Timespec::default(), it_value: wait };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)
                .expect("the timer is ours and the time is valid");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod runtime {
    use std::io;
    use std::time::Instant;

    /// The timers of tokio.
    pub(in crate::target) struct Alarm;

    impl Alarm {
        /// An alarm for tasks of any runtime.
        pub(in crate::target) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn sleep_until(&mut self, due: Instant) {
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{Duration, Instant};

    use super::Alarm;

    #[test]
    fn no_alarm_is_early_and_none_is_rounded_up_to_a_millisecond() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let mut waits = runtime.expect("a runtime").block_on(async {
            let mut alarm = Alarm::new().expect("a timer");
            let mut waits = Vec::new();
            // Each is set while one that is later, and given up, is set.
            for micros in [100; 50] {
                let start = Instant::now();
                let later = start + Duration::from_secs(5);
                tokio::select! {
                    biased;
                    () = alarm.until(Some(later)) => panic!("it was early"),
                    () = tokio::task::yield_now() => {}
                }
                alarm.until(Some(start + Duration::from_micros(micros))).await;
                waits.push(start.elapsed());
            }
            waits
        });
        waits.sort_unstable();
        let (first, median) = (waits[0], waits[25]);
        assert!(first >= Duration::from_micros(100), "{first:?}");
        assert!(median < Duration::from_millis(1), "{median:?}");
    }
}
