//! Faults are ordered and not waited for: clients go on while one is injected, probed or undone.
//!
//! ```text
//! driver ── begin(fault) ──> task of the injector ── commands ──> nodes
//!   │                            │
//!   └─ advance(until) <─ channel ┴─ settled: in force, undone, or why not
//! ```
//!
//! One order is carried out after the other: a fault is undone when all of its injection has ended,
//! whenever that is ordered.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::model::{Action, FaultId};
use crate::target::TargetError;
use crate::target::exec::Injector;
use crate::target::renewal::Renewal;

/// What is ordered of an [`Injector`].
pub(super) struct Orders {
    injector: Arc<Mutex<Injector>>,
    /// Absent once nothing more can be ordered.
    inbox: Option<UnboundedSender<Action>>,
    task: JoinHandle<()>,
    renewal: Arc<Renewal>,
    faults: BTreeMap<FaultId, Ordered>,
}

/// What is known of a fault that was ordered.
#[derive(Default)]
struct Ordered {
    /// How many orders have not ended.
    under_way: u32,
    verified: Option<bool>,
    /// Why the last order failed, until somebody was told.
    failure: Option<TargetError>,
}

/// An order has ended: of an injection, whether it was seen that the fault is in force.
pub(super) struct Settled {
    id: FaultId,
    ended: Result<Option<bool>, TargetError>,
}

impl Orders {
    /// Orders that are carried out on `runtime`; `tell` is called at the end of each.
    pub(super) fn new(
        injector: Injector,
        runtime: &Runtime,
        tell: impl Fn(Settled) + Send + 'static,
    ) -> Self {
        let renewal = injector.renewal.clone();
        let injector = Arc::new(Mutex::new(injector));
        let (inbox, mut orders) = unbounded_channel();
        let own = injector.clone();
        let task = runtime.spawn(async move {
            while let Some(order) = orders.recv().await {
                let mut injector = own.lock().await;
                let (id, ended) = match order {
                    Action::Begin(id, fault) => (id, injector.inject(id, &fault).await.map(Some)),
                    Action::End(id, _) => (id, injector.undo(id).await.map(|()| None)),
                    Action::Invoke(_) => continue,
                };
                tell(Settled { id, ended });
            }
        });
        Self { injector, inbox: Some(inbox), task, renewal, faults: BTreeMap::new() }
    }

    /// What to say if a node may have healed itself under a fault.
    pub(super) fn lapse(&self) -> Option<String> {
        self.renewal.lapse()
    }

    /// Orders that a fault begins or ends.
    pub(super) fn give(&mut self, id: FaultId, order: &Action) {
        let sent = self.inbox.as_ref().is_some_and(|inbox| inbox.send(order.clone()).is_ok());
        let fault = self.faults.entry(id).or_default();
        if sent {
            fault.under_way += 1;
        } else {
            fault.failure = Some(gone());
        }
    }

    /// Takes note of an order that has ended.
    pub(super) fn settle(&mut self, Settled { id, ended }: Settled) {
        let fault = self.faults.entry(id).or_default();
        fault.under_way -= 1;
        match ended {
            Ok(verified) => fault.verified = verified.or(fault.verified),
            Err(error) => fault.failure = Some(error),
        }
    }

    /// Whether anything is under way.
    pub(super) fn any_under_way(&self) -> bool {
        !self.task.is_finished() && self.faults.values().any(|fault| fault.under_way > 0)
    }

    /// Whether everything that was ordered of that fault has ended; why it failed is told once.
    pub(super) fn settled(&mut self, id: FaultId) -> Result<bool, TargetError> {
        let Some(fault) = self.faults.get_mut(&id) else { return Ok(true) };
        if fault.under_way > 0 && self.task.is_finished() {
            fault.under_way = 0;
            fault.failure = fault.failure.take().or_else(|| Some(gone()));
        }
        fault.failure.take().map_or(Ok(fault.under_way == 0), Err)
    }

    pub(super) fn verified(&self, id: FaultId) -> Option<bool> {
        self.faults.get(&id)?.verified
    }

    /// Waits for the end of what is under way; nothing more can be ordered. Whether no fault is in force
    /// then.
    pub(super) async fn stop(&mut self) -> bool {
        if self.inbox.take().is_some() {
            // After a panic it has ended as well.
            let _ = (&mut self.task).await;
        }
        self.injector.lock().await.is_whole()
    }

    /// Undoes every fault and the setup. Comes after [`Orders::stop`].
    pub(super) async fn close(&mut self) -> Result<(), TargetError> {
        self.injector.lock().await.close().await?;
        let mut failures = self.faults.values_mut().filter_map(|fault| fault.failure.take());
        failures.next().map_or(Ok(()), Err)
    }
}

fn gone() -> TargetError {
    TargetError::Unusable("nobody is left to inject faults: a bug ended it".to_owned())
}
