//! Several load machines that drive one target together.
//!
//! The first one listens, the others connect and ask it for the time until the run is over:
//!
//! ```text
//! worker                     first
//! hello 2 3 WORKLOAD  ->
//!                     <-     welcome SEED RUN
//! time                ->     as often as it likes, also during the run
//!                     <-     NANOSECONDS
//! ready               ->
//!                     <-     start NANOSECONDS     once all are ready
//! ```
//!
//! # How wrong a clock is
//!
//! An answer to `time` was read from the clock of the first machine at some instant between question
//! and answer. So each exchange bounds what the two clocks differ by (Cristian, *Probabilistic clock
//! synchronization*, 1989, section 3), and the bounds of several are cut with each other, widened by
//! what the clocks may drift apart meanwhile. The error that is recorded is the greatest distance of
//! these bounds from the difference with which the times of the history are made.

#![expect(clippy::disallowed_methods, reason = "machines meet in real time")]

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use crate::generate::WorkerNumber;

/// How often a clock is compared during a run, and how many exchanges that takes.
const COMPARED_EVERY: Duration = Duration::from_millis(100);
const EXCHANGES: u32 = 3;

/// How many exchanges there are before a run.
const EXCHANGES_BEFORE: u32 = 50;

/// How much two clocks that are slewed as fast as they may be drift apart, in millionths.
const DRIFT_PPM: i128 = 1_000;

/// How long after the last has said that it is ready the run starts.
const HEAD_START: Duration = Duration::from_millis(300);

/// How long a machine waits for the others.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the machines of a run have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// The name of the workload: all must have the same.
    pub workload: String,
    /// The seed of the run.
    pub seed: u64,
    /// What the keys of the run begin with.
    pub run: String,
}

/// One of several load machines, in touch with the first.
pub struct Worker {
    /// What all have in common.
    pub common: Common,
    role: Role,
}

enum Role {
    /// Everybody else asks it for the time.
    First {
        base: Instant,
        ready: Receiver<()>,
        starts: Vec<Sender<u64>>,
        of: u32,
    },
    Other {
        stream: BufReader<TcpStream>,
        clock: Clock,
    },
}

/// The clock of the first machine, as far as it is known.
#[derive(Clone, Copy, Debug)]
struct Clock {
    base: Instant,
    /// What is added to the own time, in nanoseconds since `base`.
    offset: i128,
    /// What would have to be added is somewhere between these.
    bounds: (i128, i128),
    /// When that was last known.
    at: i128,
    /// The greatest error so far.
    error: i128,
}

/// A run that has begun. How wrong the clock was is known when it is over.
pub struct Running {
    watch: Option<(JoinHandle<Clock>, Sender<()>)>,
}

impl Worker {
    /// Meets the others at an address: the first machine listens there. Comes back when all are
    /// there; each may then make itself ready in its own time.
    pub fn meet(address: &str, own: WorkerNumber, common: Common) -> io::Result<Self> {
        if own.is_first() {
            Self::listen(address, own, common)
        } else {
            Self::join(address, own, &common)
        }
    }

    fn listen(address: &str, own: WorkerNumber, common: Common) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let base = Instant::now();
        let (tell_ready, ready) = channel();
        let mut starts = Vec::new();
        let mut there: Vec<u32> = vec![1];
        while (there.len() as u32) < own.of() {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut stream = BufReader::new(stream);
            let hello = line(&mut stream)?;
            match welcome(&hello, own, &common, &there) {
                Err(why) => say(&mut stream, &format!("no {why}"))?,
                Ok(number) => {
                    say(&mut stream, &format!("welcome {} {}", common.seed, common.run))?;
                    there.push(number);
                    let (start, starting) = channel();
                    starts.push(start);
                    let tell_ready = tell_ready.clone();
                    // It ends when the other hangs up.
                    spawn(move || answer(stream, base, &tell_ready, &starting));
                }
            }
        }
        let role = Role::First { base, ready, starts, of: own.of() };
        Ok(Self { common, role })
    }

    fn join(address: &str, own: WorkerNumber, common: &Common) -> io::Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => sleep(Duration::from_millis(100)),
            }
        };
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let (number, of) = (own.number(), own.of());
        say(&mut stream, &format!("hello {number} {of} {}", common.workload))?;
        let welcome = line(&mut stream)?;
        let mut words = welcome.splitn(3, ' ');
        let (seed, run) = match (words.next(), words.next(), words.next()) {
            (Some("welcome"), Some(seed), Some(run)) => (seed.parse().ok(), run.to_owned()),
            _ => (None, String::new()),
        };
        let Some(seed) = seed else {
            let why = welcome.strip_prefix("no ").unwrap_or(&welcome);
            return Err(io::Error::other(format!("the first machine at {address} says: {why}")));
        };
        let mut clock = Clock::new(Instant::now());
        clock.compare(&mut stream, EXCHANGES_BEFORE)?;
        clock.settle();
        let common = Common { seed, run, ..common.clone() };
        Ok(Self { common, role: Role::Other { stream, clock } })
    }

    /// Says that this machine is ready, and waits until all are and the run begins: that instant is its
    /// time 0. From then on the clock is watched.
    pub fn start(self) -> io::Result<Running> {
        match self.role {
            Role::First { base, ready, starts, of } => {
                for _ in 1..of {
                    ready.recv_timeout(PATIENCE).map_err(|_| {
                        io::Error::other("not all of the other machines are ready in time")
                    })?;
                }
                let start = base.elapsed() + HEAD_START;
                for one in starts {
                    // Who has hung up meanwhile is missed when the histories are merged.
                    let _ = one.send(start.as_nanos() as u64);
                }
                sleep(start.saturating_sub(base.elapsed()));
                Ok(Running { watch: None })
            }
            Role::Other { mut stream, mut clock } => {
                say(&mut stream, "ready")?;
                let start = line(&mut stream)?;
                let start: Option<i128> =
                    start.strip_prefix("start ").and_then(|start| start.parse().ok());
                let start =
                    start.ok_or_else(|| io::Error::other("the first machine did not start"))?;
                let wait = start - clock.now();
                sleep(Duration::from_nanos(wait.max(0) as u64));
                let (stop, stopped) = channel();
                let watch = spawn(move || {
                    while stopped.recv_timeout(COMPARED_EVERY).is_err() {
                        if clock.compare(&mut stream, EXCHANGES).is_err() {
                            // Nobody knows how wrong it is from now on.
                            clock.error = i128::from(u64::MAX);
                            break;
                        }
                    }
                    clock
                });
                Ok(Running { watch: Some((watch, stop)) })
            }
        }
    }
}

impl Running {
    /// How far the clock of this machine was at most from that of the first during the run, in
    /// nanoseconds.
    pub fn clock_error_ns(self) -> u64 {
        let Some((watch, stop)) = self.watch else { return 0 };
        // It may have stopped by itself.
        let _ = stop.send(());
        watch.join().map_or(u64::MAX, |clock| u64::try_from(clock.error).unwrap_or(u64::MAX))
    }
}

impl Clock {
    fn new(base: Instant) -> Self {
        let far = i128::from(u64::MAX);
        Self { base, offset: 0, bounds: (-far, far), at: 0, error: far }
    }

    fn own(&self) -> i128 {
        self.base.elapsed().as_nanos() as i128
    }

    /// The time of the first machine.
    fn now(&self) -> i128 {
        self.own() + self.offset
    }

    /// Compares with the first machine so many times.
    fn compare(&mut self, stream: &mut BufReader<TcpStream>, times: u32) -> io::Result<()> {
        for _ in 0..times {
            let asked = self.own();
            say(stream, "time")?;
            let answer = line(stream)?;
            let answered = self.own();
            let theirs: i128 =
                answer.parse().map_err(|_| io::Error::other("the first machine has no time"))?;
            self.learn(asked, theirs, answered);
        }
        Ok(())
    }

    /// Their clock showed `theirs` at some instant between `asked` and `answered`.
    fn learn(&mut self, asked: i128, theirs: i128, answered: i128) {
        let drift = (answered - self.at) * DRIFT_PPM / 1_000_000 + 1;
        let (low, high) = (self.bounds.0 - drift, self.bounds.1 + drift);
        let (least, most) = (theirs - answered, theirs - asked);
        // Clocks that drift apart faster than any should, after a suspended machine for example.
        let apart = least > high || most < low;
        self.bounds = if apart { (least, most) } else { (low.max(least), high.min(most)) };
        self.at = answered;
        let error = (self.bounds.1 - self.offset).max(self.offset - self.bounds.0);
        self.error = self.error.max(error);
    }

    /// From here on the times are made with the best that is known.
    fn settle(&mut self) {
        self.offset = i128::midpoint(self.bounds.0, self.bounds.1);
        self.error = self.bounds.1 - self.offset + 1;
    }
}

/// Whether the machine that says so may take part, and which it is.
fn welcome(hello: &str, own: WorkerNumber, common: &Common, there: &[u32]) -> Result<u32, String> {
    let mut words = hello.splitn(4, ' ');
    let said = (words.next(), words.next(), words.next(), words.next());
    let (Some("hello"), Some(number), Some(of), Some(workload)) = said else {
        return Err("expected `hello NUMBER OF WORKLOAD`".to_owned());
    };
    let (number, of) = (number.parse().unwrap_or(0), of.parse::<u32>().unwrap_or(0));
    if of != own.of() {
        return Err(format!("there are {} machines here, not {of}", own.of()));
    }
    if workload != common.workload {
        return Err(format!("the workload here is {}, not {workload}", common.workload));
    }
    if WorkerNumber::new(number, of).is_none() || there.contains(&number) {
        return Err(format!("there is a machine {number} already, or never will be"));
    }
    Ok(number)
}

/// Tells another machine the time, and when the run starts, until it hangs up.
fn answer(
    mut stream: BufReader<TcpStream>,
    base: Instant,
    ready: &Sender<()>,
    starting: &Receiver<u64>,
) {
    while let Ok(asked) = line(&mut stream) {
        let answered = match asked.as_str() {
            "time" => say(&mut stream, &base.elapsed().as_nanos().to_string()),
            "ready" => {
                // Whoever waits for it has given up if it cannot be told.
                let _ = ready.send(());
                let Ok(start) = starting.recv() else { return };
                say(&mut stream, &format!("start {start}"))
            }
            _ => return,
        };
        if answered.is_err() {
            return;
        }
    }
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn say(stream: &mut BufReader<TcpStream>, text: &str) -> io::Result<()> {
    stream.get_mut().write_all(format!("{text}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_several_exchanges_are_cut() {
        let mut clock = Clock::new(Instant::now());
        // Theirs is 1000 ahead; the first answer was long under way, the second was not.
        clock.learn(0, 1_900, 1_000);
        clock.learn(2_000, 3_010, 2_020);
        assert!(clock.bounds.0 <= 1_000 && 1_000 <= clock.bounds.1, "{:?}", clock.bounds);
        assert!(clock.bounds.1 - clock.bounds.0 <= 24, "{:?}", clock.bounds);
        clock.settle();
        assert!((990..=1_010).contains(&clock.offset) && clock.error <= 13);
        // A second later it is 500 further ahead: the error says so.
        let later = 1_000_000_000;
        clock.learn(later, later + 1_505, later + 10);
        assert!((490..=520).contains(&clock.error), "{}", clock.error);
    }
}
