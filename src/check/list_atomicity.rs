//! How far a list is from linearizable (Golab, Li and Shah 2011; see `atomicity`). Its reads tell the
//! order of its versions, so Δ and k are known exactly.
//!
//! What nobody saw comes last, in order of return: so it comes before as few reads as may be.

use rustc_hash::FxHashMap;

use crate::check::atomicity::{Atomicity, only};
use crate::check::incompatible_order::{longest, prefixes};
use crate::history::{History, KeyId, Rank, Txn, TxnId, ValueId};
use crate::model::{Function, Kind, Nanos};

/// Measures a list to which each element is appended once; `None` for any other object, and where
/// nobody read it. `txns` are those on the key, in order of invocation. O(n log n).
pub(super) fn measure(history: &History, key: KeyId, txns: &[TxnId]) -> Option<Atomicity> {
    let possible = || txns.iter().map(|id| history.txn(*id)).filter(|t| t.kind() != Kind::Fail);
    let mut appended: FxHashMap<ValueId, Txn<'_>> = FxHashMap::default();
    for txn in possible().filter(|txn| txn.writes()) {
        let element = only(txn, key, Function::Append)?;
        if element == ValueId::UNKNOWN || appended.insert(element, txn).is_some() {
            return None;
        }
    }
    let mut reads = Vec::new();
    for txn in possible().filter(|txn| txn.is_ok() && !txn.writes()) {
        let list = only(txn, key, Function::Read)?;
        if list != ValueId::UNKNOWN {
            reads.push((txn, list));
        }
    }
    let lists: Vec<ValueId> = reads.iter().map(|(_, list)| *list).collect();
    if !lists.iter().all(|list| history.values().is_list(*list)) {
        return None;
    }
    let last = lists[longest(history, &lists)?];
    Some(match List::new(history, last, appended, &reads) {
        Some(list) => list.atomicity(),
        None => Atomicity { delta: None, versions_at_least: 1, versions_at_most: None },
    })
}

/// The appends and reads of a list, each with how many elements it left or saw.
struct List<'h> {
    /// In order of their elements.
    appends: Vec<Txn<'h>>,
    /// In order of invocation.
    reads: Vec<(Txn<'h>, usize)>,
}

impl<'h> List<'h> {
    /// `None` if no number of versions, and no shift of the reads, would make an order possible.
    fn new(
        history: &'h History,
        last: ValueId,
        mut appended: FxHashMap<ValueId, Txn<'h>>,
        reads: &[(Txn<'h>, ValueId)],
    ) -> Option<Self> {
        let mut all: Vec<ValueId> = prefixes(history, last).into_iter().collect();
        // A prefix is interned before what extends it.
        all.sort_unstable();
        let lengths: FxHashMap<ValueId, usize> = all.into_iter().zip(0..).collect();
        let seen = |(read, list): &(Txn<'h>, ValueId)| Some((*read, *lengths.get(list)?));
        let reads: Vec<(Txn<'h>, usize)> = reads.iter().map(seen).collect::<Option<_>>()?;
        let elements = history.values().elements(last);
        let writers = elements.iter().map(|element| appended.remove(element));
        let mut appends: Vec<Txn<'h>> = writers.collect::<Option<_>>()?;
        let mut unseen: Vec<Txn<'h>> = appended.into_values().filter(|txn| txn.is_ok()).collect();
        unseen.sort_unstable_by_key(|txn| txn.returned());
        appends.extend(unseen);
        let mut first_return = Rank::NEVER;
        for append in appends.iter().rev() {
            if first_return < append.invoked() {
                return None;
            }
            first_return = first_return.min(append.returned());
        }
        // By length: the last invocation among the appends of so many elements.
        let mut invoked = vec![Rank(0)];
        for append in &appends {
            invoked.push(append.invoked().max(invoked[invoked.len() - 1]));
        }
        let is_future = |(read, length): &(Txn<'_>, usize)| read.returned() < invoked[*length];
        (!reads.iter().any(is_future)).then_some(Self { appends, reads })
    }

    fn atomicity(&self) -> Atomicity {
        // By length: the first return of what left or saw so much or more.
        let mut first_return = vec![(Rank::NEVER, Nanos::FOREVER); self.appends.len() + 2];
        let appends = (1..).zip(&self.appends).map(|(length, append)| (*append, length));
        let mut returns: Vec<(Rank, usize)> = Vec::new();
        for (txn, length) in appends.chain(self.reads.iter().copied()) {
            let returned = (txn.returned(), txn.returned_at());
            first_return[length] = first_return[length].min(returned);
            returns.push((txn.returned(), length));
        }
        for length in (0..=self.appends.len()).rev() {
            first_return[length] = first_return[length].min(first_return[length + 1]);
        }
        returns.sort_unstable();
        let mut returns = returns.into_iter().peekable();
        let (mut delta, mut versions, mut reached) = (Nanos(0), 1, 0);
        for (read, length) in &self.reads {
            while let Some((_, before)) = returns.next_if(|one| one.0 < read.invoked()) {
                reached = reached.max(before);
            }
            versions = versions.max(1 + reached.saturating_sub(*length) as u64);
            let (rank, at) = first_return[length + 1];
            if rank < read.invoked() {
                // Two events of one instant can be in order by rank.
                delta = delta.max(read.invoked_at() - at).max(Nanos(1));
            }
        }
        Atomicity {
            delta: Some(delta),
            versions_at_least: versions,
            versions_at_most: Some(versions),
        }
    }
}
