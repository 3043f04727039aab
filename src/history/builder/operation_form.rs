//! The operation form: whole operations in any order, ranked by their times.

use rustc_hash::FxHashMap;

use crate::history::builder::{Builder, Malformed, Operation};
use crate::history::columns::NO_NODE;
use crate::history::{Access, Rank};
use crate::model::{Kind, Nanos, Process};

impl Builder {
    /// Adds a whole operation.
    pub fn operation(
        &mut self,
        operation: Operation,
        accesses: &[Access],
    ) -> Result<u32, Malformed> {
        if self.lines == u32::MAX - 16 {
            return Err(Malformed::TooLarge);
        }
        let index = operation.index.unwrap_or(self.lines);
        self.lines += 1;
        self.first_time(index)?;
        let returned = match (operation.kind, operation.returned) {
            (Kind::Info, _) => Nanos::FOREVER,
            (_, Some(returned)) if returned < operation.invoked => {
                return Err(Malformed::ReturnedBeforeInvoked);
            }
            (_, Some(returned)) => returned,
            (kind, None) => return Err(Malformed::NeverReturned(kind)),
        };
        self.operation_form = true;
        let txn = self.history.len() as u32;
        self.row(index, operation.process, operation.session, operation.function);
        let history = &mut self.history;
        history.kind.push(operation.kind);
        history.node.push(operation.node.map_or(NO_NODE, |node| node.0));
        history.is_final.push(operation.is_final);
        history.invoked_at.push(operation.invoked.0);
        history.returned_at.push(returned.0);
        self.push_accesses(accesses);
        self.set_version(txn, operation.version);
        Ok(txn)
    }

    /// Notes the index of a whole operation. While indices rise none can be there twice; the set of
    /// all of them comes to be with the first that does not.
    fn first_time(&mut self, index: u32) -> Result<(), Malformed> {
        if self.indices.is_empty() {
            if self.last_index.is_none_or(|last| last < index) {
                self.last_index = Some(index);
                return Ok(());
            }
            self.indices.extend(self.history.index.iter().copied());
        }
        if self.indices.insert(index) { Ok(()) } else { Err(Malformed::DuplicateIndex(index)) }
    }

    /// Sorts the rows by invocation and turns times into ranks.
    pub(super) fn order_operations(&mut self) -> Result<(), Malformed> {
        let history = &mut self.history;
        history.faults.sort_by_key(|window| (window.begin, window.id));
        let mut order: Vec<u32> = (0..history.len() as u32).collect();
        order.sort_by_key(|at| (history.invoked_at[*at as usize], history.index[*at as usize]));
        self.permute(&order);
        let history = &mut self.history;

        // Equal times are concurrent: at one instant every invocation comes before every return. So are
        // times that differ by no more than two clocks may.
        let error = history.header.as_ref().and_then(|header| header.clock_error_ns).unwrap_or(0);
        let slack = error.saturating_mul(2);
        let n = history.len();
        let mut ends: Vec<(u64, u32)> = (0..n as u32)
            .filter(|at| history.kind[*at as usize] != Kind::Info)
            .map(|at| (history.returned_at[at as usize], at))
            .collect();
        ends.sort_unstable();
        let mut ends = ends.into_iter().peekable();
        history.invoked = vec![0; n];
        history.returned = vec![Rank::NEVER.0; n];
        let mut rank = 0;
        for at in 0..n {
            while let Some((_, ended)) =
                ends.next_if(|(time, _)| time.saturating_add(slack) < history.invoked_at[at])
            {
                history.returned[ended as usize] = rank;
                rank += 1;
            }
            history.invoked[at] = rank;
            rank += 1;
        }
        for (_, ended) in ends {
            history.returned[ended as usize] = rank;
            rank += 1;
        }

        let mut last: FxHashMap<u32, usize> = FxHashMap::default();
        for at in 0..n {
            if history.kind[at] == Kind::Info {
                continue;
            }
            if let Some(before) = last.insert(history.process[at], at)
                && history.returned_at[before] > history.invoked_at[at]
            {
                let process = Process(history.process[at]);
                return Err(Malformed::Overlap(process, history.index[before], history.index[at]));
            }
        }
        Ok(())
    }

    fn permute(&mut self, order: &[u32]) {
        fn by<T: Copy>(column: &mut Vec<T>, order: &[u32]) {
            *column = order.iter().map(|at| column[*at as usize]).collect();
        }
        if order.is_sorted() {
            return;
        }
        let history = &mut self.history;
        by(&mut history.index, order);
        by(&mut history.process, order);
        by(&mut history.session, order);
        by(&mut history.node, order);
        by(&mut history.kind, order);
        by(&mut history.function, order);
        by(&mut history.is_final, order);
        by(&mut history.invoked_at, order);
        by(&mut history.returned_at, order);
        let (mut first, mut places) = (vec![0], Vec::with_capacity(history.access_key.len()));
        for at in order {
            places
                .extend(history.first_access[*at as usize]..history.first_access[*at as usize + 1]);
            first.push(places.len() as u32);
        }
        history.first_access = first;
        by(&mut history.access_function, &places);
        by(&mut history.access_key, &places);
        by(&mut history.access_value, &places);
        let mut moved = vec![0; order.len()];
        for (to, from) in order.iter().enumerate() {
            moved[*from as usize] = to as u32;
        }
        history.version =
            history.version.iter().map(|(at, version)| (moved[*at as usize], *version)).collect();
        history.error =
            history.error.drain().map(|(at, error)| (moved[at as usize], error)).collect();
        history.waited =
            history.waited.iter().map(|(at, waited)| (moved[*at as usize], *waited)).collect();
    }
}
