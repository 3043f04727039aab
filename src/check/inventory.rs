//! A stock that is accounted for: INV (ANOMALIES section 7).

use std::collections::{BTreeMap, BTreeSet};

use crate::check::tally::Tally;
use crate::check::words::{key_name, place, session_name};
use crate::check::{Anomaly, Limits, Property, Verdict};
use crate::history::{Datatype, History, KeyId, Txn, TxnId};
use crate::model::{Function, Kind};

/// Up to this many purchases of unknown outcome every sum of them is tried; beyond, only the least
/// and the greatest.
const EXACT: usize = 20;

/// Judges whether more of a stock was sold than there was, whether a level was ever below zero, and
/// whether the final level is what was there less what was sold.
///
/// A purchase of unknown outcome, or one still open during the final read, may count or not; a
/// purchase of a negative amount restocks. A stock that was set once, before all else, is needed for
/// all but levels below zero. `None` if there is no stock. O(n), and 2²⁰ at worst a final read.
pub fn check(history: &History, limits: &Limits) -> Option<Verdict> {
    let mut stocks: BTreeMap<KeyId, Stock<'_>> = BTreeMap::new();
    for txn in history.txns().filter(|txn| txn.kind() != Kind::Fail) {
        for access in txn.accesses() {
            if history.datatype(access.key) != Datatype::Stock {
                continue;
            }
            let stock = stocks.entry(access.key).or_default();
            let number = history.values().int(access.value).map(i128::from);
            match (access.function, number) {
                (Function::Init, Some(number)) => stock.inits.push((txn, number)),
                (Function::Buy, Some(number)) => stock.sales.push((txn, number)),
                (Function::Level, Some(number)) if txn.is_ok() => stock.levels.push((txn, number)),
                (Function::Level, _) => {}
                _ => stock.is_odd = true,
            }
        }
    }
    if stocks.is_empty() {
        return None;
    }
    let mut tally = Tally::new(Property::Inv, limits);
    for (key, stock) in &stocks {
        let name = key_name(history, *key);
        let found = match stock.initial(&name) {
            Ok(initial) => stock.violations(initial),
            Err(why) => {
                tally.doubt(|| why);
                stock.below_zero()
            }
        };
        if !stock.sales.is_empty() || !stock.levels.is_empty() {
            tally.judged();
        }
        for one in found {
            tally.violated(|| one.anomaly(history, *key));
        }
    }
    Some(tally.verdict("nothing was sold and no level was read"))
}

/// What was done to one stock, what failed left out.
#[derive(Default)]
struct Stock<'h> {
    inits: Vec<(Txn<'h>, i128)>,
    sales: Vec<(Txn<'h>, i128)>,
    levels: Vec<(Txn<'h>, i128)>,
    is_odd: bool,
}

struct Violation<'h> {
    kind: &'static str,
    of: Txn<'h>,
    operations: BTreeSet<TxnId>,
    told: String,
}

impl<'h> Stock<'h> {
    /// What was there before anything was sold.
    fn initial(&self, name: &str) -> Result<(Txn<'h>, i128), String> {
        let [(init, number)] = self.inits[..] else {
            let times = self.inits.len();
            return Err(format!("the stock {name} was set {times} times: expected once"));
        };
        let rest = self.sales.iter().chain(&self.levels);
        if self.is_odd || !init.is_ok() || !rest.into_iter().all(|(txn, _)| init.precedes(*txn)) {
            return Err(format!("the stock {name} was not set for certain before all else"));
        }
        Ok((init, number))
    }

    fn below_zero(&self) -> Vec<Violation<'h>> {
        let below = self.levels.iter().filter(|(_, level)| *level < 0);
        below
            .map(|(read, level)| Violation {
                kind: "negative-level",
                of: *read,
                operations: BTreeSet::from([read.id]),
                told: format!("read a level of {level} (#{})", read.index()),
            })
            .collect()
    }

    fn violations(&self, (init, initial): (Txn<'h>, i128)) -> Vec<Violation<'h>> {
        let mut violations = self.below_zero();
        violations.extend(self.oversold(init, initial));
        for (read, level) in self.levels.iter().filter(|(read, _)| read.is_final()) {
            if let Some(why) = self.unexplained(*read, initial - level) {
                let few = self.few(*read, initial - level);
                violations.push(Violation {
                    kind: "unexplained-level",
                    of: *read,
                    operations: few.into_iter().chain([init.id, read.id]).collect(),
                    told: format!(
                        "read a final level of {level} (#{}), but of {initial} {why}",
                        read.index()
                    ),
                });
            }
        }
        violations
    }

    /// More was sold for certain than was there, every possible restocking included.
    fn oversold(&self, init: Txn<'h>, initial: i128) -> Option<Violation<'h>> {
        let restocked = self.sales.iter().filter(|(_, amount)| *amount < 0);
        let mut operations: BTreeSet<TxnId> = restocked.clone().map(|(txn, _)| txn.id).collect();
        let there = initial - restocked.map(|(_, amount)| amount).sum::<i128>();
        let mut sold: Vec<(Txn<'h>, i128)> =
            self.sales.iter().filter(|(txn, amount)| txn.is_ok() && *amount > 0).copied().collect();
        let total: i128 = sold.iter().map(|(_, amount)| amount).sum();
        if total <= there {
            return None;
        }
        sold.sort_by_key(|(txn, amount)| (std::cmp::Reverse(*amount), txn.id));
        let (mut sum, mut last) = (0, init);
        for (txn, amount) in sold {
            if sum > there {
                break;
            }
            sum += amount;
            last = if txn.returned() > last.returned() { txn } else { last };
            operations.insert(txn.id);
        }
        operations.insert(init.id);
        let told =
            format!("was among those sold {total} of a stock of {there} (#{})", last.index());
        Some(Violation { kind: "oversold", of: last, operations, told })
    }

    /// Sales that had returned before a read, and those that may count or not.
    fn before(&self, read: Txn<'_>) -> (i128, Vec<i128>) {
        let is_sure = |txn: &Txn<'_>| txn.is_ok() && txn.precedes(read);
        let sure =
            self.sales.iter().filter(|(txn, _)| is_sure(txn)).map(|(_, amount)| amount).sum();
        let open = self.sales.iter().filter(|(txn, _)| !is_sure(txn) && !read.precedes(*txn));
        (sure, open.map(|(_, amount)| *amount).collect())
    }

    /// Why `gone` is not what was sold before a read.
    fn unexplained(&self, read: Txn<'_>, gone: i128) -> Option<String> {
        let (sure, open) = self.before(read);
        let rest = gone - sure;
        let least: i128 = open.iter().copied().filter(|amount| *amount < 0).sum();
        let most: i128 = open.iter().copied().filter(|amount| *amount > 0).sum();
        let fits = if open.len() <= EXACT {
            let mut sums = BTreeSet::from([0]);
            for amount in &open {
                let more: Vec<i128> = sums.iter().map(|sum| sum + amount).collect();
                sums.extend(more);
            }
            sums.contains(&rest)
        } else {
            (least..=most).contains(&rest)
        };
        let perhaps = match open.len() {
            0 => String::new(),
            n => format!(" and {n} purchases of unknown outcome could take at most {most} more"),
        };
        (!fits).then(|| format!("exactly {sure} were sold{perhaps}"))
    }

    /// All sales where they are few; otherwise as few as leave the level unexplained.
    fn few(&self, read: Txn<'_>, gone: i128) -> Vec<TxnId> {
        const FEW: usize = 8;
        let all = || self.sales.iter().map(|(txn, _)| txn.id).collect();
        let (sure, open) = self.before(read);
        let sum = |wanted: fn(i128) -> bool| -> i128 {
            open.iter().copied().filter(|amount| wanted(*amount)).sum()
        };
        if self.sales.len() <= FEW {
            return all();
        }
        if gone > sure + sum(|amount| amount > 0) && gone != 0 {
            // More is gone than was sold: the initial and the final level show it.
            return Vec::new();
        }
        if gone >= sure + sum(|amount| amount < 0) {
            return all();
        }
        let certain = self.sales.iter().filter(|(txn, _)| txn.is_ok() && txn.precedes(read));
        let mut largest: Vec<(Txn<'_>, i128)> = certain.filter(|(_, n)| *n > 0).copied().collect();
        largest.sort_by_key(|(txn, amount)| (std::cmp::Reverse(*amount), txn.id));
        let (mut sold, mut few) = (0, Vec::new());
        for (txn, amount) in largest {
            if sold > gone {
                break;
            }
            sold += amount;
            few.push(txn.id);
        }
        few
    }
}

impl Violation<'_> {
    fn anomaly(self, history: &History, key: KeyId) -> Anomaly {
        let sentence = format!(
            "{}: {} {}{}",
            key_name(history, key),
            session_name(history, self.of),
            self.told,
            place(history, self.of),
        );
        Anomaly {
            property: Property::Inv,
            kind: self.kind,
            set: vec![Property::Inv],
            key: Some(key),
            session: Some(self.of.session()),
            operations: self.operations.into_iter().collect(),
            cycle: Vec::new(),
            assumes: Vec::new(),
            sentence,
        }
    }
}
