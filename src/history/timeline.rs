//! Puts a history back into the lines of the event form, each with the index it was read with.

use rustc_hash::FxHashMap;

use crate::history::builder::returns;
use crate::history::{Access, FaultWindow, History, Rank, Txn, TxnId, ValueId};
use crate::model::{ClientEvent, Event, FaultEvent, Function, Kind, Mop, Nanos, Op, Value, What};

/// The lines of a history in event form, in order.
pub(super) struct Timeline<'h> {
    history: &'h History,
    /// With the time of each.
    parts: Vec<(Nanos, Part)>,
}

impl<'h> Timeline<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut clients = clients(history);
        let mut faults: Vec<(Nanos, Part)> = Vec::new();
        for (at, fault) in history.faults.iter().enumerate() {
            faults.push((fault.begin, Part::Begin(at)));
            if fault.end != Nanos::FOREVER {
                faults.push((fault.end, Part::End(at)));
            }
        }
        if faults.is_empty() {
            return Self { history, parts: clients };
        }
        // By the line it had, where that is known; by time otherwise, before a client's line.
        faults.sort_by_key(|(time, part)| (known_index(history, *part), *time));
        let mut parts = Vec::with_capacity(clients.len() + faults.len());
        let mut faults = faults.into_iter().peekable();
        for (time, part) in clients.drain(..) {
            let index = known_index(history, part);
            while let Some(fault) =
                faults.next_if(|(begin, fault)| match (known_index(history, *fault), index) {
                    (Some(fault), Some(index)) => fault < index,
                    _ => *begin < time,
                })
            {
                parts.push(fault);
            }
            parts.push((time, part));
        }
        parts.extend(faults);
        Self { history, parts }
    }

    /// Every line with its index: the one it was read with if all of them fit, counted otherwise.
    pub(super) fn indexed(&self) -> impl Iterator<Item = (u32, Part)> + '_ {
        let known = self.known_indices();
        self.parts.iter().enumerate().map(move |(at, (_, part))| {
            (known.as_ref().map_or(at as u32, |known| known[at]), *part)
        })
    }

    fn known_indices(&self) -> Option<Vec<u32>> {
        let mut next = 0;
        let mut indices = Vec::with_capacity(self.parts.len());
        for (_, part) in &self.parts {
            let index = known_index(self.history, *part).unwrap_or(next);
            if index < next {
                return None;
            }
            indices.push(index);
            next = index + 1;
        }
        Some(indices)
    }
}

/// The index a line had when it was read. Those of `ok` and `fail` are not kept: they fit between.
fn known_index(history: &History, part: Part) -> Option<u32> {
    match part {
        Part::Invoke(txn) => Some(history.index[txn as usize]),
        Part::Complete(_) => None,
        Part::GiveUp(txn) => history.given_up.get(&txn).map(|line| line.index),
        Part::Begin(at) => history.fault_lines.get(at).map(|(begin, _)| *begin),
        Part::End(at) => history.fault_lines.get(at).and_then(|(_, end)| *end),
    }
}

/// The lines of the clients, in order of events; where that is not known, one operation after another.
fn clients(history: &History) -> Vec<(Nanos, Part)> {
    if !history.has_real_time() {
        let lines = |txn: Txn<'_>| {
            let id = txn.id.0;
            let end = if txn.kind() == Kind::Info { Part::GiveUp(id) } else { Part::Complete(id) };
            [(Nanos(0), Part::Invoke(id)), (Nanos(0), end)]
        };
        return history.txns().flat_map(lines).collect();
    }
    let mut by_rank: Vec<(Rank, Part)> = Vec::with_capacity(2 * history.len());
    for txn in history.txns() {
        by_rank.push((txn.invoked(), Part::Invoke(txn.id.0)));
        if txn.returned() != Rank::NEVER {
            by_rank.push((txn.returned(), Part::Complete(txn.id.0)));
        }
    }
    by_rank.extend(history.given_up.iter().map(|(txn, line)| (line.rank, Part::GiveUp(*txn))));
    by_rank.sort_unstable_by_key(|(rank, _)| *rank);

    // Open operations by process, and invocations that wait until their process is free: at one
    // instant the operation form lists every invocation before every return.
    let mut open: FxHashMap<u32, u32> = FxHashMap::default();
    let mut waiting: Vec<u32> = Vec::new();
    let mut parts = Vec::with_capacity(by_rank.len());
    let process = |txn: u32| history.process[txn as usize];
    let invoked_at = |txn: u32| Nanos(history.invoked_at[txn as usize]);
    for (_, part) in by_rank {
        match part {
            Part::Invoke(txn) => {
                match open.get(&process(txn)).copied() {
                    Some(before) if history.kind[before as usize] == Kind::Info => {
                        parts.push((invoked_at(txn), Part::GiveUp(before)));
                    }
                    Some(_) => {
                        waiting.push(txn);
                        continue;
                    }
                    None => {}
                }
                open.insert(process(txn), txn);
                parts.push((invoked_at(txn), part));
            }
            Part::Complete(txn) => {
                parts.push((Nanos(history.returned_at[txn as usize]), part));
                open.remove(&process(txn));
                if let Some(at) = waiting.iter().position(|next| process(*next) == process(txn)) {
                    let next = waiting.remove(at);
                    open.insert(process(next), next);
                    parts.push((invoked_at(next), Part::Invoke(next)));
                }
            }
            Part::GiveUp(txn) => {
                parts.push((history.given_up[&txn].time, part));
                open.remove(&process(txn));
            }
            Part::Begin(_) | Part::End(_) => {}
        }
    }
    parts
}

/// The event of a line.
pub(super) fn event(history: &History, part: Part) -> Event {
    let fault = |fault: &FaultWindow, begins: bool| {
        let value = if begins { fault.value.clone() } else { Value::Null };
        What::Fault(FaultEvent { id: Some(fault.id), begins, name: fault.name.clone(), value })
    };
    match part {
        Part::Begin(at) => {
            let window = &history.faults[at];
            Event { time: window.begin, what: fault(window, true) }
        }
        Part::End(at) => {
            let window = &history.faults[at];
            Event { time: window.end, what: fault(window, false) }
        }
        Part::Invoke(txn) => {
            let txn = history.txn(TxnId(txn));
            Event { time: txn.invoked_at(), what: What::Client(client(history, txn, Kind::Invoke)) }
        }
        Part::Complete(txn) => {
            let txn = history.txn(TxnId(txn));
            Event { time: txn.returned_at(), what: What::Client(client(history, txn, txn.kind())) }
        }
        Part::GiveUp(txn) => {
            let time = history.given_up.get(&txn).map_or(Nanos(0), |line| line.time);
            let txn = history.txn(TxnId(txn));
            let time = time.max(txn.invoked_at());
            Event { time, what: What::Client(client(history, txn, Kind::Info)) }
        }
    }
}

fn client(history: &History, txn: Txn<'_>, kind: Kind) -> ClientEvent {
    let mut event = ClientEvent::new(txn.process(), kind, op(history, txn, kind == Kind::Invoke));
    event.session = Some(history.session_name(txn.session()));
    event.node = txn.node().map(|node| history.nodes()[node.index()].clone());
    event.is_final = txn.is_final();
    if kind == Kind::Invoke {
        event.waited = txn.waited();
    } else {
        event.version = txn.version();
        event.error = txn.error().map(str::to_owned);
    }
    event
}

/// The operation as it was invoked, or as it returned.
pub(super) fn op(history: &History, txn: Txn<'_>, is_invocation: bool) -> Op {
    let value = |access: Access| {
        let hidden = is_invocation
            && txn.is_ok()
            && txn.function() != Function::Cas
            && returns(access.function);
        match access.value {
            ValueId::UNKNOWN => Value::Null,
            _ if hidden => Value::Null,
            id => history.value(access.key, id),
        }
    };
    let mops = txn.accesses().map(|access| Mop {
        function: access.function,
        key: history.key_name(access.key).clone(),
        value: value(access),
    });
    Op { function: txn.function(), mops: mops.collect() }
}

/// A line of the event form still to be written.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Invoke(u32),
    Complete(u32),
    /// Completed as `info`.
    GiveUp(u32),
    Begin(usize),
    End(usize),
}
