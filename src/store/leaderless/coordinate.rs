//! An operation at the node that was asked, which coordinates it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Leaderless, Message, ReadRepair};
use crate::model::{Mop, Nanos, Op, Outcome, Value};
use crate::sim::{NodeId, Outbox, Ticket, Timer};
use crate::store::leaderless::cell::{self, Cell, Stamp, Versions};

/// When other nodes stand in for replicas that have not answered.
const STAND_IN: Nanos = Nanos::from_millis(30);
/// When an operation is given up.
const GIVE_UP: Nanos = Nanos::from_millis(400);

/// An operation whose client waits.
pub(super) struct Call {
    ticket: Ticket,
    op: Arc<Op>,
    phase: Phase,
    keys: BTreeMap<Value, Gathered>,
}

enum Phase {
    /// Asks replicas what they have.
    Read,
    /// Waits until enough replicas have what was written or is about to be shown.
    Write { answer: Vec<Mop>, is_own: bool },
}

/// What replicas have said of one key.
#[derive(Default)]
struct Gathered {
    found: BTreeMap<NodeId, Cell>,
    /// What is written, and who has it.
    cell: Cell,
    has: BTreeSet<NodeId>,
}

impl Leaderless {
    /// Begins an operation: with a read, unless it can be written blindly.
    pub(super) fn begin(&mut self, ticket: Ticket, op: Arc<Op>, out: &mut Outbox<'_, Self>) {
        let number = self.number();
        let keys = op.mops.iter().map(|mop| (mop.key.clone(), Gathered::default())).collect();
        let asks = self.settings.keeping.versions != Versions::Clock || cell::depends(&op);
        let call = Call { ticket, op, phase: Phase::Read, keys };
        for (after, timer) in [(STAND_IN, number), (GIVE_UP, number + 1)] {
            out.wake(after, Timer(timer));
        }
        if asks {
            for key in call.keys.keys() {
                for node in self.replicas(key) {
                    out.send(node, Message::Read { call: number, key: key.clone() });
                }
            }
            self.calls.insert(number, call);
        } else {
            self.execute(number, call, out);
        }
    }

    /// An even number; the odd one after it is that of its second timer.
    fn number(&mut self) -> u64 {
        self.begun += 2;
        self.begun & !1
    }

    /// A replica tells what it has.
    pub(super) fn found(
        &mut self,
        number: u64,
        from: NodeId,
        key: Value,
        cell: Cell,
        out: &mut Outbox<'_, Self>,
    ) {
        let enough = usize::from(self.settings.read_quorum);
        let Some(call) = self.calls.get_mut(&number) else { return };
        let Phase::Read = call.phase else { return };
        call.keys.entry(key).or_default().found.insert(from, cell);
        if call.keys.values().all(|key| key.found.len() >= enough)
            && let Some(call) = self.calls.remove(&number)
        {
            self.execute(number, call, out);
        }
    }

    /// Everything is read that has to be: answers, or writes.
    fn execute(&mut self, number: u64, mut call: Call, out: &mut Outbox<'_, Self>) {
        let mut cells: BTreeMap<Value, Cell> = BTreeMap::new();
        for (key, gathered) in &mut call.keys {
            let newest = cells.entry(key.clone()).or_default();
            for cell in gathered.found.values() {
                newest.merge(cell, self.settings.keeping, out.now);
            }
        }
        let mut objects = cell::objects(cells.values());
        let answer = match objects.execute(&call.op) {
            Ok(answer) => answer,
            Err(why) => return self.answer(call.ticket, Outcome::Fail(why), out),
        };
        let is_own = call.op.writes();
        if is_own {
            let (versions, node) = (self.settings.keeping.versions, self.me.0);
            let begun = &mut self.begun;
            let clock = out.clock.0;
            cells = cell::entries(&answer, &cells, versions, |cell| {
                *begun += 2;
                let time = if versions == Versions::Clock { clock } else { cell.last() + 1 };
                Stamp { time, node, number: *begun }
            });
        } else if self.settings.read_repair == ReadRepair::Off {
            return self.answer(call.ticket, Outcome::Ok(answer), out);
        }
        call.keys.retain(|key, _| cells.contains_key(key));
        for (key, gathered) in &mut call.keys {
            gathered.cell = cells.remove(key).unwrap_or_default();
            if !is_own {
                let has = gathered.found.iter().filter(|(_, cell)| **cell == gathered.cell);
                gathered.has = has.map(|(node, _)| *node).collect();
            }
            for node in self.replicas(key).filter(|node| !gathered.has.contains(node)) {
                // What a read has not asked it need not tell, unless it has to wait for it.
                let is_asked = gathered.found.contains_key(&node);
                if is_own || is_asked || self.settings.read_repair == ReadRepair::Sync {
                    let lag = self.settings.lag.sample(out.random);
                    let (key, cell) = (key.clone(), gathered.cell.clone());
                    out.ship(node, lag, Message::Write { call: number, key, cell, for_node: None });
                }
            }
        }
        if !is_own && self.settings.read_repair == ReadRepair::Async {
            return self.answer(call.ticket, Outcome::Ok(answer), out);
        }
        call.phase = Phase::Write { answer, is_own };
        self.calls.insert(number, call);
        self.complete(number, out);
    }

    /// A node has what was written.
    pub(super) fn written(
        &mut self,
        number: u64,
        from: NodeId,
        key: &Value,
        out: &mut Outbox<'_, Self>,
    ) {
        let key = self.calls.get_mut(&number).and_then(|call| call.keys.get_mut(key));
        if let Some(gathered) = key {
            gathered.has.insert(from);
            self.complete(number, out);
        }
    }

    /// Answers if enough nodes have everything.
    fn complete(&mut self, number: u64, out: &mut Outbox<'_, Self>) {
        let enough = usize::from(self.settings.write_quorum);
        let is_done = |call: &Call| call.keys.values().all(|key| key.has.len() >= enough);
        if self.calls.get(&number).is_some_and(is_done)
            && let Some(call) = self.calls.remove(&number)
            && let Phase::Write { answer, .. } = call.phase
        {
            self.answer(call.ticket, Outcome::Ok(answer), out);
        }
    }

    /// Too few have answered yet: others stand in, or it is given up.
    pub(super) fn late(&mut self, timer: u64, out: &mut Outbox<'_, Self>) {
        if timer.is_multiple_of(2) {
            if self.settings.is_sloppy {
                self.stand_in(timer, out);
            }
            return;
        }
        let Some(call) = self.calls.remove(&(timer - 1)) else { return };
        let Phase::Write { is_own: true, .. } = call.phase else {
            let why = "too few replicas answered".to_owned();
            return self.answer(call.ticket, Outcome::Fail(why), out);
        };
        if self.settings.keeping.undoes {
            for (key, gathered) in &call.keys {
                for node in self.replicas(key) {
                    let (key, stamps) = (key.clone(), gathered.cell.stamps());
                    out.send(node, Message::Undo { key, stamps });
                }
            }
        }
        let why = "too few replicas have it".to_owned();
        let is_failed = self.settings.calls_partial_failed;
        let outcome = if is_failed { Outcome::Fail(why) } else { Outcome::Info(why) };
        self.answer(call.ticket, outcome, out);
    }

    /// For each replica that has not answered another node is asked (a sloppy quorum).
    fn stand_in(&self, number: u64, out: &mut Outbox<'_, Self>) {
        let Some(call) = self.calls.get(&number) else { return };
        for (key, gathered) in &call.keys {
            let is_missing = |node: &NodeId| match call.phase {
                Phase::Read => !gathered.found.contains_key(node),
                Phase::Write { .. } => !gathered.has.contains(node),
            };
            let missing = self.replicas(key).filter(is_missing);
            let spare = self.preference(key).skip(usize::from(self.settings.replicas));
            for (missing, spare) in missing.zip(spare) {
                let key = key.clone();
                out.send(
                    spare,
                    match call.phase {
                        Phase::Read => Message::Read { call: number, key },
                        Phase::Write { .. } => Message::Write {
                            call: number,
                            key,
                            cell: gathered.cell.clone(),
                            for_node: Some(missing),
                        },
                    },
                );
            }
        }
    }
}
