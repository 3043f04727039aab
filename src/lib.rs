//! Rashomon finds out whether a replicated store keeps its promises.
//!
//! # The life of one operation
//! 1. `rashomon run workloads/append.toml --seed 7`: [`cli`] turns what was typed into what is meant.
//! 2. [`workload`] parses the TOML into a generator and expectations; `[target]` picks the target.
//! 3. [`model::Random`] splits seed 7 into named streams (`generator`, `network`, `store`, `nemesis`):
//!    one more draw in one room disturbs no other.
//! 4. [`run::drive()`] asks the [`generate::Generator`]: invoke on process 3, `append x 41`.
//! 5. The invocation is journaled **before** the target may act on it ([`run::Journal`]).
//! 6. [`target::Target::begin`]: in [`sim`] a message enters the queue and a node of a [`store`]
//!    answers it; live, a tokio task talks to a real server.
//! 7. The fault schedule may yield a partition meanwhile: journaled, injected, and undone by its end,
//!    or on whatever way the run is left.
//! 8. [`target::Target::advance`] returns a completion: ok with values, fail (it did not happen), or
//!    info (nobody knows; the process is retired).
//! 9. It is journaled; the same event feeds [`history::Builder`], so no file is needed to check.
//! 10. [`history`] pairs and interns it into one row of columns, read through [`history::Txn`].
//! 11. [`check::assess()`] lets every checker judge: the order of versions is inferred, contradictions
//!     become cycles in a [`graph`], the reason of each edge is named.
//! 12. Verdicts merge; [`report`] renders text, JSON and more; the exit code says it all; the last
//!     line reproduces the run.
//!
//! # As a library
//! With `default-features = false` there is no runtime, no HTTP client and no command line, only
//! histories and their checkers, the simulator and the embedded stores:
//!
//! ```
//! use rashomon::check::{Expected, Limits, Property, Status, assess};
//! use rashomon::history::Builder;
//! use rashomon::model::{ClientEvent, Event, Kind, Nanos, Op, Process, What};
//!
//! let mut history = Builder::new();
//! let mut event = |time, process, kind, op| {
//!     let what = What::Client(ClientEvent::new(Process(process), kind, op));
//!     history.event(&Event { time: Nanos(time), what })
//! };
//! // Process 0 writes 1 to x and is told that it is done; then process 1 finds nothing there.
//! event(1, 0, Kind::Invoke, Op::write("x".into(), 1.into()))?;
//! event(2, 0, Kind::Ok, Op::write("x".into(), 1.into()))?;
//! event(3, 1, Kind::Invoke, Op::read("x".into()))?;
//! event(4, 1, Kind::Ok, Op::read("x".into()))?;
//!
//! let history = history.finish()?;
//! let assessment = assess(&history, &Limits::default(), Expected::linearizable());
//! assert_eq!(assessment.status, Status::Invalid);
//! assert_eq!(assessment.violated(), [Property::Lin]);
//! # Ok::<(), rashomon::history::Malformed>(())
//! ```

pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod generate;
pub mod graph;
pub mod history;
#[cfg(feature = "live")]
pub mod lab;
pub mod model;
#[cfg(feature = "live")]
pub mod proxy;
pub mod report;
#[cfg(feature = "live")]
pub mod road;
pub mod run;
pub mod sim;
pub mod store;
pub mod target;
pub mod workload;
