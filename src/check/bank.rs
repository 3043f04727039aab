//! A conserved total: BANK (ANOMALIES section 7; Jepsen's bank).

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::check::tally::Tally;
use crate::check::words::{read_phrase, session_name};
use crate::check::{Anomaly, Limits, Property, Status, Verdict};
use crate::history::{Datatype, History, KeyId, Txn, ValueId};
use crate::model::{Function, Kind, Value};

/// Judges whether every read of all accounts adds up to the same total.
///
/// A read returns a map of accounts and is one snapshot. The total is that of the acknowledged
/// `init-bank`, or, where the history has none, of the first read. A read of other accounts is not
/// comparable. Accounts below zero are told in the reason, not accused: a workload may allow them.
/// `None` if no map of accounts was read or set up. O(n + distinct reads × accounts).
pub fn check(history: &History, limits: &Limits) -> Option<Verdict> {
    let banks = banks(history);
    if banks.is_empty() {
        return None;
    }
    let mut tally = Tally::new(Property::Bank, limits);
    let (mut compared, mut below) = (0_u64, 0_u64);
    for (key, bank) in &banks {
        let (base, first) = match bank.base() {
            Ok(base) => base,
            Err(reason) => {
                tally.doubt(|| reason.to_owned());
                continue;
            }
        };
        let mut known: FxHashMap<ValueId, Option<Sum>> = FxHashMap::default();
        let mut sum = |value: ValueId| -> Option<Sum> {
            known.entry(value).or_insert_with(|| Sum::of(history, value)).clone()
        };
        let Some(expected) = sum(first) else {
            tally.doubt(|| "the balances of the accounts are no whole numbers".to_owned());
            continue;
        };
        for (read, value) in bank.reads.iter().filter(|(read, _)| bank.is_after(base, *read)) {
            let Some(found) = sum(*value).filter(|found| found.accounts == expected.accounts)
            else {
                tally.doubt(|| format!("#{} is no read of all accounts", read.index()));
                continue;
            };
            tally.judged();
            compared += u64::from(read.id != base.id);
            below += u64::from(found.least < 0);
            if found.total != expected.total {
                let totals = [expected.total, found.total];
                tally.violated(|| not_conserved(history, *key, base, *read, totals));
            }
        }
    }
    let verdict = tally.verdict("no read of all accounts in this history");
    if verdict.status != Status::Valid {
        return Some(verdict);
    }
    let reason = match (compared, below) {
        (0, _) => Some("a single read was there to compare".to_owned()),
        (_, 0) => None,
        (_, n) => Some(format!("{n} reads show an account below zero, which is taken as allowed")),
    };
    Some(Verdict { reason, ..verdict })
}

/// What was done to one bank.
#[derive(Default)]
struct Bank<'h> {
    inits: Vec<(Txn<'h>, ValueId)>,
    reads: Vec<(Txn<'h>, ValueId)>,
    /// Whether something was done that does not conserve the total, or may not.
    is_odd: bool,
}

impl<'h> Bank<'h> {
    /// The operation whose total all reads are compared with, and its balances.
    fn base(&self) -> Result<(Txn<'h>, ValueId), &'static str> {
        match (&self.inits[..], &self.reads[..]) {
            _ if self.is_odd => Err("something else than transfers was done to the accounts"),
            ([init], _) if init.0.is_ok() => Ok(*init),
            ([], [first, ..]) => Ok(*first),
            ([], []) => Err("no read of all accounts in this history"),
            _ => Err("the accounts were not set up once and for certain"),
        }
    }

    /// Whether a read shows what was set up.
    fn is_after(&self, base: Txn<'_>, read: Txn<'_>) -> bool {
        self.inits.is_empty() || base.precedes(read)
    }
}

/// The keys that are banks.
pub(super) fn keys(history: &History) -> BTreeSet<KeyId> {
    if history.keys().all(|key| history.datatype(key) != Datatype::Mixed) {
        return BTreeSet::new();
    }
    banks(history).into_keys().collect()
}

fn banks(history: &History) -> BTreeMap<KeyId, Bank<'_>> {
    let mut banks: BTreeMap<KeyId, Bank<'_>> = BTreeMap::new();
    let mut is_bank: BTreeMap<KeyId, bool> = BTreeMap::new();
    for txn in history.txns().filter(|txn| txn.kind() != Kind::Fail) {
        for access in txn.accesses().filter(|one| history.datatype(one.key) == Datatype::Mixed) {
            let bank = banks.entry(access.key).or_default();
            let is_certain = is_bank.entry(access.key).or_default();
            match access.function {
                Function::InitBank => bank.inits.push((txn, access.value)),
                Function::Read if txn.is_ok() => {
                    *is_certain |= matches!(history.values().value(access.value), Value::Map(_));
                    bank.reads.push((txn, access.value));
                }
                Function::Read | Function::Transfer => {}
                _ => bank.is_odd = true,
            }
            *is_certain |= matches!(access.function, Function::InitBank | Function::Transfer);
        }
    }
    banks.retain(|key, _| is_bank.get(key) == Some(&true));
    banks
}

/// What a read adds up to.
#[derive(Clone)]
struct Sum {
    total: i128,
    least: i64,
    accounts: Vec<Value>,
}

impl Sum {
    fn of(history: &History, value: ValueId) -> Option<Self> {
        let Value::Map(entries) = history.values().value(value) else { return None };
        let balances: Option<Vec<i64>> = entries.iter().map(|(_, one)| one.as_int()).collect();
        let balances = balances?;
        let mut accounts: Vec<Value> = entries.iter().map(|(account, _)| account.clone()).collect();
        accounts.sort();
        Some(Self {
            total: balances.iter().map(|one| i128::from(*one)).sum(),
            least: balances.iter().copied().min()?,
            accounts,
        })
    }
}

fn not_conserved(
    history: &History,
    key: KeyId,
    base: Txn<'_>,
    read: Txn<'_>,
    [expected, found]: [i128; 2],
) -> Anomaly {
    let what = if found < expected { "are missing" } else { "came from nowhere" };
    let sentence = format!(
        "{}: the accounts add up to {found}, but to {expected} for {} (#{}); {} {what}",
        read_phrase(history, read, key),
        session_name(history, base),
        base.index(),
        (found - expected).abs(),
    );
    let mut operations = vec![base.id, read.id];
    operations.sort_unstable();
    Anomaly {
        property: Property::Bank,
        kind: "total-not-conserved",
        set: vec![Property::Bank],
        key: Some(key),
        session: Some(read.session()),
        operations,
        cycle: Vec::new(),
        assumes: Vec::new(),
        sentence,
    }
}
