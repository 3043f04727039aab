//! What happens next: pure, seeded generators of operations and of faults.
//!
//! A [`Plan`] says what a run shall do; a [`WorkloadGenerator`] turns it, a seed and the names of the
//! nodes into actions. Operations and faults draw from streams of their own, `generator` and
//! `nemesis`, so that another fault schedule leaves the choice of operations alone.
//!
//! ```text
//!  clients  ──ops────────────────────────────────┤          ├─final reads─┤
//!  nemesis            ├──F1──┤  ├──F2──┤  ├─F3──┤
//!            warm-up  │          main            │ recovery │ quiesce      │ round 1 │ settle │ round 2
//! ```
//!
//! Invariant: `generate` never reads a clock, a thread id, an environment variable or an unordered map.

mod bank;
mod clients;
mod faults;
mod finals;
mod keys;
mod operations;
mod shapes;
mod stock;
mod traits;
mod whole_run;
mod worker_number;

pub use bank::BankPlan;
pub use clients::{ClientPlan, Count, Rate, Routing, Spacing};
pub use faults::{Begins, Budget, FaultPlan, Inject, Nodes};
pub use keys::{Field, KeyChoice, KeyPlan, Writers};
pub use operations::{Body, Family, OPERATIONS, Operation, OperationRow, Part};
pub use shapes::{SHAPES, Shape, ShapeRow};
pub use stock::StockPlan;
pub use traits::{Context, Generator, Next};
pub use whole_run::{Last, Phases, Plan, WorkloadGenerator};
pub use worker_number::WorkerNumber;
