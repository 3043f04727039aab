//! Writes the texts of AWDIT's tests and of Plume: transactions on registers by session, no times.

use std::io::{self, Write};

use rustc_hash::FxHashSet;

use crate::history::builder::returns;
use crate::history::write::misfit;
use crate::history::{Access, Datatype, History, Txn, ValueId};
use crate::model::{Function, Kind, Value};

/// How it is written.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Style {
    Awdit,
    Plume,
}

/// Writes the committed transactions, and in Plume's text the aborted writes. Keys and values stay
/// the whole numbers they are, or else are numbered.
pub(super) fn write_registers(
    history: &History,
    style: Style,
    to: &mut dyn Write,
) -> io::Result<()> {
    let numbering = Numbering::of(history);
    check(history, style)?;
    if style == Style::Awdit && numbering.has_initial_reads {
        // No key has a value of its own at first; an opening session writes what was read.
        for key in history.keys() {
            writeln!(to, "w {} 0", numbering.key(history, key.0))?;
        }
    }
    let mut transaction = 0_u64;
    let mut is_first = !numbering.has_initial_reads;
    let sessions = history.by_session();
    for session in 0..history.session_count() as u32 {
        let txns = || sessions.group(session).iter().map(|id| history.txn(*id));
        if style == Style::Awdit && txns().any(Txn::is_ok) {
            to.write_all(if is_first { b"" } else { b"=====\n" })?;
            is_first = false;
        }
        let mut is_first = true;
        for txn in txns().filter(|txn| txn.kind() != Kind::Info) {
            let is_ok = txn.is_ok();
            if style == Style::Awdit && !is_ok {
                continue;
            }
            if style == Style::Awdit {
                to.write_all(if is_first { b"" } else { b"-----\n" })?;
                is_first = false;
            }
            for access in txn.accesses().filter(|access| is_ok || !returns(access.function)) {
                let function = if returns(access.function) { 'r' } else { 'w' };
                let key = numbering.key(history, access.key.0);
                let value = numbering.value(history, access.value);
                match style {
                    Style::Awdit => writeln!(to, "{function} {key} {value}")?,
                    Style::Plume => {
                        let number = if is_ok { transaction as i64 } else { -1 };
                        let session = history.session_name(txn.session());
                        writeln!(to, "{function}({key},{value},{session},{number})")?;
                    }
                }
            }
            transaction += u64::from(is_ok);
        }
    }
    Ok(())
}

/// Whether a history says nothing that the text could not.
fn check(history: &History, style: Style) -> io::Result<()> {
    if let Some(key) = history.keys().find(|key| history.datatype(*key) != Datatype::Register) {
        return Err(misfit(format!(
            "key {} is a {}, and the format knows reads and writes of registers only",
            history.key_name(key),
            history.datatype(key).name()
        )));
    }
    let mut seen = FxHashSet::default();
    for txn in history.txns().filter(|txn| txn.is_ok()) {
        seen.extend(reads(txn).map(|access| (access.key, access.value)));
    }
    for txn in history.txns() {
        match txn.kind() {
            Kind::Info if txn.writes() => {
                return Err(misfit(format!(
                    "nobody knows whether the writes of #{} took effect, and the format has no word for that",
                    txn.index()
                )));
            }
            Kind::Fail if style == Style::Awdit => {
                let mut writes = txn.accesses().filter(|access| !returns(access.function));
                if writes.any(|access| seen.contains(&(access.key, access.value))) {
                    return Err(misfit(format!(
                        "a write of #{}, which failed, was read, and the format knows no failures",
                        txn.index()
                    )));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn reads(txn: Txn<'_>) -> impl Iterator<Item = Access> + '_ {
    txn.accesses().filter(|access| access.function == Function::Read)
}

/// Which number stands for which key and value. 0 is what was there at first.
struct Numbering {
    keeps_keys: bool,
    keeps_values: bool,
    has_initial_reads: bool,
}

impl Numbering {
    fn of(history: &History) -> Self {
        let keeps_keys =
            history.keys().all(|key| history.key_name(key).as_int().is_some_and(|key| key >= 0));
        let has_initial_reads = history
            .txns()
            .filter(|txn| txn.is_ok())
            .any(|txn| reads(txn).any(|access| access.value == ValueId::NULL));
        let least = i64::from(has_initial_reads);
        let is_plain = |access: Access| match access.value {
            ValueId::UNKNOWN => true,
            ValueId::NULL => access.function == Function::Read,
            value => history.values().int(value).is_some_and(|value| value >= least),
        };
        let keeps_values = history.txns().all(|txn| txn.accesses().all(is_plain));
        Self { keeps_keys, keeps_values, has_initial_reads }
    }

    fn key(&self, history: &History, key: u32) -> i64 {
        match &history.keys[key as usize] {
            Value::Int(key) if self.keeps_keys => *key,
            _ => i64::from(key),
        }
    }

    fn value(&self, history: &History, value: ValueId) -> i64 {
        match history.values().int(value) {
            Some(value) if self.keeps_values => value,
            // The id of `Null` is 0.
            _ => value.index() as i64,
        }
    }
}
