//! Writes the operation form.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::history::json_text::{json_rest, json_subject, json_text, json_value, millis};
use crate::history::timeline::op;
use crate::history::write::header_line;
use crate::history::{Header, History, Rank, Txn};
use crate::model::{Kind, Nanos, Value};

/// Writes a history in operation form.
pub(super) fn write_operations(history: &History, to: &mut dyn Write) -> io::Result<()> {
    let mut line = String::new();
    if let Some(header) = history.header() {
        header_line(&mut line, header)?;
        to.write_all(line.as_bytes())?;
    }
    let times = Times::of(history);
    for txn in history.txns() {
        line.clear();
        let at = txn.id.index();
        let (index, process) = (txn.index(), txn.process());
        let _ = write!(line, "{{\"i\":{index},\"p\":{process}");
        let session = history.session_name(txn.session());
        if session != process.0 {
            let _ = write!(line, ",\"s\":{session}");
        }
        let _ = write!(line, ",\"type\":\"{}\",\"inv\":", txn.kind().name());
        millis(&mut line, times.invoked[at]);
        line.push_str(",\"ret\":");
        match times.returned[at] {
            Nanos::FOREVER => line.push_str("null"),
            time => millis(&mut line, time),
        }
        let _ = write!(line, ",\"f\":\"{}\"", txn.function().name());
        json_subject(&mut line, &op(history, txn, false), "k", "v");
        if let Some(node) = txn.node() {
            line.push_str(",\"node\":");
            json_text(&mut line, &history.nodes()[node.index()]);
        }
        json_rest(&mut line, txn.version(), txn.is_final(), txn.waited(), txn.error());
        line.push_str("}\n");
        to.write_all(line.as_bytes())?;
    }
    for fault in history.faults() {
        line.clear();
        let _ = write!(line, "{{\"p\":\"nemesis\",\"fault\":{},\"f\":", fault.id.0);
        json_text(&mut line, &fault.name);
        line.push_str(",\"inv\":");
        millis(&mut line, fault.begin);
        line.push_str(",\"ret\":");
        match fault.end {
            Nanos::FOREVER => line.push_str("null"),
            end => millis(&mut line, end),
        }
        if fault.value != Value::Null {
            line.push_str(",\"v\":");
            json_value(&mut line, &fault.value);
        }
        line.push_str("}\n");
        to.write_all(line.as_bytes())?;
    }
    Ok(())
}

/// The times of invocation and return, moved by single nanoseconds where the order of events says
/// more than the times do: in the operation form equal times are concurrent.
struct Times {
    invoked: Vec<Nanos>,
    returned: Vec<Nanos>,
}

impl Times {
    fn of(history: &History) -> Self {
        if !history.has_real_time() {
            let returned = |kind| if kind == Kind::Info { Nanos::FOREVER } else { Nanos(0) };
            return Self {
                invoked: vec![Nanos(0); history.len()],
                returned: history.txns().map(|txn| returned(txn.kind())).collect(),
            };
        }
        let is_merged =
            |header: &Header| header.clock_error_ns.is_some() && header.worker.is_none();
        if history.header().is_some_and(is_merged) {
            // What their order says less than the times do, the header says again.
            return Self {
                invoked: history.txns().map(Txn::invoked_at).collect(),
                returned: history.txns().map(Txn::returned_at).collect(),
            };
        }
        let mut by_rank: Vec<(Rank, u32, bool)> = Vec::with_capacity(2 * history.len());
        for txn in history.txns() {
            by_rank.push((txn.invoked(), txn.id.0, true));
            if txn.returned() != Rank::NEVER {
                by_rank.push((txn.returned(), txn.id.0, false));
            }
        }
        by_rank.sort_unstable();
        let mut times = Self {
            invoked: vec![Nanos(0); history.len()],
            returned: vec![Nanos::FOREVER; history.len()],
        };
        let mut last = Nanos(0);
        let mut last_return = None;
        for (_, txn, is_invocation) in by_rank {
            let at = txn as usize;
            if is_invocation {
                let after = last_return.map_or(Nanos(0), |time: Nanos| time + Nanos(1));
                last = last.max(Nanos(history.invoked_at[at])).max(after);
                times.invoked[at] = last;
            } else {
                last = last.max(Nanos(history.returned_at[at]));
                times.returned[at] = last;
                last_return = Some(last);
            }
        }
        times
    }
}
