//! What the committed transactions read and wrote, as the levels of isolation see it.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::transaction::Committed;
use crate::check::transaction::flaws::{Flaw, Flaws};
use crate::check::transaction::rows::Rows;
use crate::check::writers::{Writers, reads_value, writes_value};
use crate::history::{Access, Datatype, History, KeyId, Rank, TxnId, ValueId};
use crate::model::{Function, Kind};

/// The writer of the initial version of every key.
pub(super) const INITIAL: u32 = u32::MAX;

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// A read of what another transaction wrote last, or of the initial version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Which key, by its place in [`Evidence::keys`].
    pub(super) key: u32,
    /// The node that wrote it, or [`INITIAL`].
    pub(super) from: u32,
}

/// The order in which transactions appended to a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    /// Those whose appends were read, in the order of the list.
    pub(super) order: Vec<u32>,
    /// Those with an append in no read: they come later, in no known order.
    pub(super) unread: Vec<u32>,
    /// Who read the longest list.
    shown_by: Option<TxnId>,
}

/// The reads and writes of the committed transactions, by node.
pub(super) struct Evidence<'h> {
    pub(super) history: &'h History,
    /// The transactions, in order of invocation.
    pub(super) txns: Vec<TxnId>,
    /// The keys.
    pub(super) keys: Vec<KeyId>,
    /// The external reads: the first of each key, and not of an own write.
    pub(super) reads: Rows<Seen>,
    /// The keys written, each once, in ascending order.
    pub(super) writes: Rows<u32>,
    /// All reads of others' writes in the order of the transaction, where these are more than the
    /// external ones.
    pub(super) rereads: FxHashMap<u32, Vec<Seen>>,
    /// What is known of the order of lists, by key; empty for registers.
    pub(super) chains: FxHashMap<u32, Chain>,
    /// The node before it in its session, or [`NONE`].
    pub(super) previous: Vec<u32>,
    /// Reads that no level of isolation allows.
    pub(super) flaws: Flaws,
    /// Why it is not the whole truth, if it is not: no level can then be said to hold.
    pub(super) doubt: Option<&'static str>,
}

const AMBIGUOUS: &str = "a value was written more than once: it does not tell who wrote it";

const OTHER_OBJECTS: &str = "transactions touch objects other than registers and lists";

impl<'h> Evidence<'h> {
    pub(super) fn new(history: &'h History, writers: &Writers, committed: &Committed) -> Self {
        let mut all = Self {
            history,
            txns: committed.txns.clone(),
            keys: history.keys().collect(),
            reads: Rows::default(),
            writes: Rows::default(),
            rereads: FxHashMap::default(),
            chains: FxHashMap::default(),
            previous: Vec::new(),
            flaws: Flaws::default(),
            doubt: None,
        };
        let mut node_of = vec![NONE; history.len()];
        for (node, txn) in (0..).zip(&all.txns) {
            node_of[txn.index()] = node;
        }
        let mut scan = Scan { writers, node_of: &node_of, lists: Vec::new(), states: Vec::new() };
        for node in 0..all.len() as u32 {
            all.scan(&mut scan, node);
            all.reads.close();
            all.writes.close_sorted();
        }
        let lists = std::mem::take(&mut scan.lists);
        all.order_lists(&scan, lists);
        all.previous = all.session_order();
        all
    }

    /// How many transactions there are.
    pub(super) fn len(&self) -> usize {
        self.txns.len()
    }

    /// The place of a node in real time: when it was invoked and when it returned.
    pub(super) fn interval(&self, node: u32) -> (Rank, Rank) {
        let txn = self.history.txn(self.txns[node as usize]);
        (txn.invoked(), txn.returned())
    }

    /// All reads of others' writes, in the order of the transaction.
    pub(super) fn all_reads(&self, node: u32) -> &[Seen] {
        self.rereads.get(&node).map_or_else(|| self.reads.row(node), Vec::as_slice)
    }

    /// The writers of every key, in order of invocation.
    pub(super) fn writers(&self) -> Rows<u32> {
        let pairs = (0..self.len() as u32)
            .flat_map(|node| self.writes.row(node).iter().map(move |key| (*key, node)));
        Rows::sorted(self.keys.len(), pairs)
    }

    /// Who read what a node wrote: the key and the reader.
    pub(super) fn readers(&self) -> Rows<(u32, u32)> {
        let pairs = (0..self.len() as u32).flat_map(|node| {
            let reads = self.reads.row(node).iter().filter(|read| read.from != INITIAL);
            reads.map(move |read| (read.from, (read.key, node)))
        });
        Rows::sorted(self.len(), pairs)
    }

    /// Who read the initial version of each key.
    pub(super) fn initial_readers(&self) -> Rows<u32> {
        let pairs = (0..self.len() as u32).flat_map(|node| {
            let reads = self.reads.row(node).iter().filter(|read| read.from == INITIAL);
            reads.map(move |read| (read.key, node))
        });
        Rows::sorted(self.keys.len(), pairs)
    }

    /// Who read the lists that show in which order two transactions appended.
    pub(super) fn order_shown_by(&self, one: TxnId, other: TxnId) -> impl Iterator<Item = TxnId> {
        let keys = move |txn: TxnId| {
            self.txns.binary_search(&txn).map_or(&[][..], |node| self.writes.row(node as u32))
        };
        let shared = keys(one).iter().filter(move |key| keys(other).contains(key));
        shared.filter_map(|key| self.chains.get(key)?.shown_by)
    }

    /// The node before each in its session; none follows an indeterminate one, which may take effect
    /// later (specification 1.2.4).
    fn session_order(&self) -> Vec<u32> {
        let mut last = vec![NONE; self.history.session_count()];
        let mut previous = Vec::with_capacity(self.len());
        for (node, txn) in (0..).zip(&self.txns) {
            let txn = self.history.txn(*txn);
            let last = &mut last[txn.session().index()];
            previous.push(*last);
            if txn.is_ok() {
                *last = node;
            }
        }
        previous
    }

    /// The same of these nodes alone, in ascending order. Reads of what the others wrote are left
    /// out: whatever a level forbids these, it forbids all.
    pub(super) fn only(&self, nodes: &[u32]) -> Self {
        let place = |node: u32| nodes.binary_search(&node).ok().map(|at| at as u32);
        let mut keys: Vec<u32> =
            nodes.iter().flat_map(|node| self.writes.row(*node)).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        let key_place = |key: u32| keys.binary_search(&key).ok().map(|at| at as u32);
        let mut part = Self {
            history: self.history,
            txns: nodes.iter().map(|node| self.txns[*node as usize]).collect(),
            keys: keys.iter().map(|key| self.keys[*key as usize]).collect(),
            reads: Rows::default(),
            writes: Rows::default(),
            rereads: FxHashMap::default(),
            chains: FxHashMap::default(),
            previous: Vec::new(),
            flaws: Flaws::default(),
            doubt: self.doubt,
        };
        for node in nodes {
            for read in self.reads.row(*node) {
                let from = if read.from == INITIAL { Some(INITIAL) } else { place(read.from) };
                if let (Some(key), Some(from)) = (key_place(read.key), from) {
                    part.reads.push(Seen { key, from });
                }
            }
            part.reads.close();
            for key in self.writes.row(*node) {
                part.writes.push(key_place(*key).expect("a key of these nodes"));
            }
            part.writes.close();
        }
        for (at, key) in (0..).zip(&keys) {
            if let Some(chain) = self.chains.get(key) {
                let mut order: Vec<u32> = chain.order.iter().filter_map(|n| place(*n)).collect();
                order.dedup();
                let unread = chain.unread.iter().filter_map(|node| place(*node)).collect();
                part.chains.insert(at, Chain { order, unread, shown_by: chain.shown_by });
            }
        }
        part.previous = part.session_order();
        part
    }

    /// Looks at one transaction: its reads and writes, and whether it agrees with itself.
    fn scan(&mut self, scan: &mut Scan<'_>, node: u32) {
        let history = self.history;
        let txn = history.txn(self.txns[node as usize]);
        let mut every: Vec<Seen> = Vec::new();
        let mut states = std::mem::take(&mut scan.states);
        states.clear();
        for access in txn.accesses() {
            let key = access.key;
            if !matches!(history.datatype(key), Datatype::Register | Datatype::List) {
                self.doubt = Some(OTHER_OBJECTS);
                continue;
            }
            let at = states.iter().position(|state| state.key == key).unwrap_or_else(|| {
                states.push(State { key, base: None, own: Vec::new(), wrote: false });
                states.len() - 1
            });
            let state = &mut states[at];
            if writes_value(history, access) {
                if !state.wrote {
                    self.writes.push(key.index() as u32);
                }
                state.write(history, access);
            } else if access.function != Function::Read {
                self.doubt = Some(OTHER_OBJECTS);
            } else if txn.is_ok() && reads_value(history, access) {
                self.read(scan, node, access, state, &mut every);
            }
        }
        scan.states = states;
        if every.len() != self.reads.open_row().len() {
            self.rereads.insert(node, every);
        }
    }

    fn read(
        &mut self,
        scan: &mut Scan<'_>,
        node: u32,
        access: Access,
        state: &mut State,
        every: &mut Vec<Seen>,
    ) {
        let history = self.history;
        let (key, id) = (access.key, self.txns[node as usize]);
        let is_list = history.datatype(key) == Datatype::List;
        let appended = !state.own.is_empty();
        if is_list && !appended {
            scan.lists.push((key, access.value, node));
        }
        let was_first = state.base.is_none() && (is_list || !state.wrote);
        let wrote = state.wrote;
        let (version, agreement) = state.read(history, access);
        match agreement {
            Agreement::Full if appended => {
                // What a transaction appended itself may yet be committed after the appends of others.
                scan.lists.push((key, version, node));
            }
            Agreement::Full => {}
            Agreement::Changed => {
                self.flaws.note(Flaw::within(history, "non-repeatable-read", key, id));
            }
            Agreement::Missed => {
                self.flaws.note(Flaw::within(history, "own-write-missed", key, id));
            }
        }
        if agreement != Agreement::Full && is_list {
            let elements = history.values().elements(access.value);
            self.note_elements(scan, key, &elements, id);
        }
        if agreement == Agreement::Full && !was_first && wrote {
            return;
        }
        let last = last_value(history, key, version);
        let Some(from) = self.source(scan, key, last, id) else { return };
        if from == node {
            self.flaws.note(Flaw::within(history, "future-read", key, id));
            return;
        }
        let seen = Seen { key: key.index() as u32, from };
        every.push(seen);
        if was_first {
            self.reads.push(seen);
        }
    }

    /// Who wrote the value that a read ended with; `None` if that is nobody who counts.
    fn source(
        &mut self,
        scan: &Scan<'_>,
        key: KeyId,
        last: Option<ValueId>,
        reader: TxnId,
    ) -> Option<u32> {
        let history = self.history;
        let Some(value) = last else {
            // A register that was set back to what it was at first does not tell which it shows.
            if scan.writers.first(key, ValueId::NULL).is_some() {
                self.doubt = Some(AMBIGUOUS);
                return None;
            }
            return Some(INITIAL);
        };
        if scan.writers.is_ambiguous(key, value) {
            self.doubt = Some(AMBIGUOUS);
            return None;
        }
        let Some(writer) = scan.writers.first(key, value) else {
            self.flaws.note(Flaw::of(history, "thin-air-read", key, value, reader, None));
            return None;
        };
        if history.txn(writer).kind() == Kind::Fail {
            self.flaws.note(Flaw::of(history, "aborted-read", key, value, reader, Some(writer)));
            return None;
        }
        if writer != reader {
            let accesses = history.txn(writer).accesses();
            let written = accesses.filter(|one| one.key == key && writes_value(history, *one));
            if written.last().is_some_and(|access| access.value != value) {
                let flaw = Flaw::of(history, "intermediate-read", key, value, reader, Some(writer));
                self.flaws.note(flaw);
            }
        }
        let node = scan.node_of[writer.index()];
        (node != NONE).then_some(node)
    }

    /// The order of every list: that of its longest read, of which all others must be prefixes.
    fn order_lists(&mut self, scan: &Scan<'_>, mut lists: Vec<(KeyId, ValueId, u32)>) {
        let history = self.history;
        let values = history.values();
        lists.sort_by_key(|(key, _, _)| *key);
        let mut elements_of: BTreeMap<KeyId, (TxnId, Vec<ValueId>)> = BTreeMap::new();
        let mut length = vec![0_u32; if lists.is_empty() { 0 } else { values.len() }];
        for (version, shorter, _) in values.lists().take_while(|_| !lists.is_empty()) {
            length[version.index()] = length[shorter.index()] + 1;
        }
        for reads in lists.chunk_by(|one, other| one.0 == other.0) {
            let key = reads[0].0;
            let longest = reads
                .iter()
                .max_by_key(|(_, version, _)| length[version.index()])
                .expect("a chunk is not empty");
            let mut prefixes: Vec<ValueId> = vec![longest.1];
            while let Some((shorter, _)) = values.split(prefixes[prefixes.len() - 1]) {
                prefixes.push(shorter);
            }
            prefixes.sort_unstable();
            for (_, version, reader) in reads {
                if prefixes.binary_search(version).is_err() {
                    let (one, other) = (self.txns[*reader as usize], self.txns[longest.2 as usize]);
                    self.flaws.note(Flaw::orders(history, key, one, other));
                }
            }
            let elements = values.elements(longest.1);
            let reader = self.txns[longest.2 as usize];
            self.note_elements(scan, key, &elements, reader);
            elements_of.insert(key, (reader, elements));
        }
        let mut read: FxHashSet<(KeyId, ValueId)> = FxHashSet::default();
        for (key, (reader, elements)) in &elements_of {
            let chain = self.chains.entry(key.index() as u32).or_default();
            chain.shown_by = Some(*reader);
            // How many appends of each are shown so far: all in the order in which they were made.
            let mut shown: FxHashMap<TxnId, usize> = FxHashMap::default();
            for value in elements {
                read.insert((*key, *value));
                let Some(writer) = scan.writers.first(*key, *value) else { continue };
                if scan.writers.is_ambiguous(*key, *value) {
                    continue;
                }
                let before = shown.entry(writer).or_default();
                let accesses = history.txn(writer).accesses();
                let mut appends =
                    accesses.filter(|one| one.key == *key && writes_value(history, *one));
                if appends.clone().nth(*before).is_none_or(|one| one.value != *value) {
                    if appends.any(|one| scan.writers.is_ambiguous(*key, one.value)) {
                        self.doubt = Some(AMBIGUOUS);
                    } else {
                        let kind = "appends-out-of-order";
                        let flaw = Flaw::of(history, kind, *key, *value, *reader, Some(writer));
                        self.flaws.note(flaw);
                    }
                }
                *before += 1;
                if scan.node_of[writer.index()] != NONE {
                    chain.order.push(scan.node_of[writer.index()]);
                }
            }
            chain.order.dedup();
        }
        for node in 0..self.len() as u32 {
            for access in history.txn(self.txns[node as usize]).accesses() {
                let key = access.key;
                if history.datatype(key) == Datatype::List
                    && writes_value(history, access)
                    && !read.contains(&(key, access.value))
                {
                    let chain = self.chains.entry(key.index() as u32).or_default();
                    if chain.unread.last() != Some(&node) {
                        chain.unread.push(node);
                    }
                }
            }
        }
    }

    /// Whether every element of a list was appended once, by somebody who may have committed.
    fn note_elements(&mut self, scan: &Scan<'_>, key: KeyId, elements: &[ValueId], reader: TxnId) {
        let history = self.history;
        let mut times: FxHashMap<ValueId, u32> = FxHashMap::default();
        for value in elements {
            let times = times.entry(*value).or_default();
            *times += 1;
            if scan.writers.is_ambiguous(key, *value) {
                self.doubt = Some(AMBIGUOUS);
                continue;
            }
            let Some(writer) = scan.writers.first(key, *value) else {
                self.flaws.note(Flaw::of(history, "thin-air-read", key, *value, reader, None));
                continue;
            };
            let appends = |access: &Access| access.key == key && access.value == *value;
            if history.txn(writer).kind() == Kind::Fail {
                let flaw = Flaw::of(history, "aborted-read", key, *value, reader, Some(writer));
                self.flaws.note(flaw);
            } else if *times == 2 {
                let tries = history
                    .txn(writer)
                    .accesses()
                    .filter(|access| appends(access) && writes_value(history, *access));
                if tries.count() > 1 {
                    self.doubt = Some(AMBIGUOUS);
                } else {
                    let flaw =
                        Flaw::of(history, "duplicated-element", key, *value, reader, Some(writer));
                    self.flaws.note(flaw);
                }
            }
        }
    }
}

/// What a scan knows beside the evidence it fills.
struct Scan<'a> {
    writers: &'a Writers,
    node_of: &'a [u32],
    lists: Vec<(KeyId, ValueId, u32)>,
    states: Vec<State>,
}

/// Whether a read agrees with what its transaction knew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Agreement {
    /// It does.
    Full,
    /// What others left has changed since it was last read.
    Changed,
    /// It misses what the transaction wrote itself.
    Missed,
}

/// What a transaction knows of a key.
struct State {
    key: KeyId,
    /// The value it must read next, before its own appends; `None` before the first read.
    base: Option<ValueId>,
    /// Its own appends since.
    own: Vec<ValueId>,
    wrote: bool,
}

impl State {
    fn write(&mut self, history: &History, access: Access) {
        self.wrote = true;
        match history.datatype(access.key) {
            Datatype::List => self.own.push(access.value),
            _ => self.base = Some(access.value),
        }
    }

    /// The version that others left, and whether the read agrees with what the transaction knew.
    fn read(&mut self, history: &History, access: Access) -> (ValueId, Agreement) {
        let mut version = access.value;
        let mut ends_with_own = true;
        for own in self.own.iter().rev() {
            match history.values().split(version) {
                Some((shorter, last)) if last == *own => version = shorter,
                _ => ends_with_own = false,
            }
        }
        let is_known = self.base.is_none_or(|base| base == version);
        let is_register = history.datatype(access.key) == Datatype::Register;
        let agreement = match (ends_with_own, is_known) {
            (true, true) => Agreement::Full,
            (true, false) if !(is_register && self.wrote) => Agreement::Changed,
            _ => {
                self.own.clear();
                version = access.value;
                Agreement::Missed
            }
        };
        self.base = Some(version);
        (version, agreement)
    }
}

/// The value of a register or the last element of a list; `None` of the initial version.
fn last_value(history: &History, key: KeyId, version: ValueId) -> Option<ValueId> {
    match history.datatype(key) {
        Datatype::List => history.values().split(version).map(|(_, last)| last),
        _ => (version != ValueId::NULL).then_some(version),
    }
}
