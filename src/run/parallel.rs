//! Independent work, some of it at a time, with results in the order of the work.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rayon::ThreadPoolBuilder;

/// How many jobs may be done at a time on this machine, each on a core of its own.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Does every job, so many at a time, and returns the results in the order of the jobs, whoever did them.
///
/// Every worker has a pool of one thread to itself: what the checkers would share out among all cores
/// stays with the job. In one pool for all, a worker that waits for a part of its job would begin
/// another job on top of it.
pub(super) fn in_order<J: Sync, R: Send>(
    jobs: &[J],
    at_a_time: usize,
    work: impl Fn(&J) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(jobs.len()));
    let worker = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return };
            let result = work(job);
            done.lock().expect("no worker panics while it holds the lock").push((at, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_a_time.min(jobs.len()) {
            scope.spawn(|| match ThreadPoolBuilder::new().num_threads(1).build() {
                Ok(pool) => pool.install(worker),
                Err(_) => worker(),
            });
        }
    });
    let mut done = done.into_inner().expect("no worker panics while it holds the lock");
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..1000).collect();
        let squares: Vec<u64> = jobs.iter().map(|job| job * job).collect();
        assert_eq!(in_order(&jobs, cores(), |job| job * job), squares);
        assert!(in_order(&[] as &[u64], 2, |job| *job).is_empty());
    }
}
