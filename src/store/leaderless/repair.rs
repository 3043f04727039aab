//! How replicas come to agree without being asked.

use super::{Leaderless, Message, Record};
use crate::model::Value;
use crate::sim::{NodeId, Outbox};
use crate::store::leaderless::cell::Cell;

impl Leaderless {
    /// Keeps something for a replica that did not answer (hinted handoff).
    pub(super) fn keep_for(
        &mut self,
        node: NodeId,
        key: &Value,
        cell: &Cell,
        out: &mut Outbox<'_, Self>,
    ) {
        let held = self.hints.entry((node, key.clone())).or_default();
        held.merge(cell, self.settings.keeping, out.now);
        out.disk.append(Record::Hint(node, key.clone(), cell.clone()));
        out.disk.sync();
    }

    /// Offers what is kept for others, forgets old removals, and asks again while it rebuilds.
    pub(super) fn tick(&mut self, out: &mut Outbox<'_, Self>) {
        for ((node, key), cell) in &self.hints {
            let cells = vec![(key.clone(), cell.clone())];
            out.send(*node, Message::Everything { cells, asks: false });
        }
        for cell in self.cells.values_mut() {
            cell.collect(self.settings.keeping, out.now);
        }
        for node in &self.awaited {
            out.send(*node, Message::Everything { cells: Vec::new(), asks: true });
        }
    }

    /// The node has what was kept for it.
    pub(super) fn thanked(&mut self, from: NodeId, key: Value, cell: &Cell) {
        let place = (from, key);
        if self.hints.get(&place).is_some_and(|held| held == cell) {
            self.hints.remove(&place);
        }
    }

    /// Anti-entropy: tells a random other node everything, and hears what that one has.
    pub(super) fn tell_one(&self, out: &mut Outbox<'_, Self>) {
        let others: Vec<NodeId> = self.others().collect();
        if !others.is_empty() {
            let node = *out.random.pick(&others);
            out.send(node, Message::Everything { cells: self.everything(node), asks: true });
        }
    }

    /// What a node should have of what is here.
    fn everything(&self, node: NodeId) -> Vec<(Value, Cell)> {
        let own = self.cells.iter().filter(|(key, _)| self.replicas(key).any(|one| one == node));
        own.map(|(key, cell)| (key.clone(), cell.clone())).collect()
    }

    /// Takes in what another node told.
    pub(super) fn compare(
        &mut self,
        from: NodeId,
        cells: &[(Value, Cell)],
        asks: bool,
        out: &mut Outbox<'_, Self>,
    ) {
        for (key, cell) in cells {
            if self.cells.get(key) != Some(cell) {
                self.take(key, cell, out);
            }
            out.send(from, Message::Thanks { key: key.clone(), cell: cell.clone() });
        }
        if asks {
            let cells = self.everything(from);
            out.send(from, Message::Everything { cells, asks: false });
        } else {
            self.awaited.remove(&from);
        }
    }
}
