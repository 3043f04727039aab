//! The reason of each dependency.

use crate::check::transaction::{Committed, Dependencies, Order, Source};
use crate::check::words::{key_name, session_name, shown};
use crate::check::writers::{Writers, reads_value, version_read, writes_value};
use crate::check::{Anomaly, Assumption, Edge, Limits, Property, Step};
use crate::history::{Access, Datatype, History, KeyId, Txn, TxnId, ValueId};

/// Tells why one transaction must come before another.
pub(super) struct Explain<'h> {
    pub(super) history: &'h History,
    pub(super) writers: &'h Writers,
    pub(super) committed: &'h Committed,
    pub(super) dependencies: &'h Dependencies,
    pub(super) limits: &'h Limits,
}

/// A reason, and what it rests on.
struct Reason {
    key: Option<KeyId>,
    why: String,
    /// An operation other than the two that shows the order of the versions.
    shown_by: Option<TxnId>,
    is_assumed: bool,
}

impl Reason {
    fn of(key: KeyId, why: String) -> Self {
        Self { key: Some(key), why, shown_by: None, is_assumed: false }
    }
}

impl<'h> Explain<'h> {
    fn txn(&self, node: u32) -> Txn<'h> {
        self.history.txn(self.committed.txns[node as usize])
    }

    /// What no cycle can show: the keys whose order is not fully known.
    pub(super) fn gap(&self) -> Option<String> {
        let known = &self.dependencies.keys;
        let unknown = known.iter().filter(|one| one.order != Order::Total || one.is_cut).count();
        (unknown > 0).then(|| {
            format!(
                "the order of versions is not fully known for {unknown} of {} keys; a cycle through it would not be seen",
                known.len()
            )
        })
    }

    /// The proof that a cycle is: each node with the kind of the edge by which it is left.
    pub(super) fn anomaly(
        &self,
        property: Property,
        kind: &'static str,
        name: &str,
        cycle: &[(u32, u8)],
    ) -> Anomaly {
        let mut operations: Vec<TxnId> =
            cycle.iter().map(|(node, _)| self.committed.txns[*node as usize]).collect();
        let (mut steps, mut assumed, mut keys) = (Vec::new(), false, Vec::new());
        for (at, (from, kinds)) in cycle.iter().enumerate() {
            let to = cycle[(at + 1) % cycle.len()].0;
            let edge = edge(*kinds);
            let reason = self.reason(*from, to, edge);
            operations.extend(reason.shown_by);
            assumed |= reason.is_assumed;
            keys.extend(reason.key);
            let (from, to) = (self.txn(*from).id, self.txn(to).id);
            steps.push(Step { from, to, edge, why: reason.why });
        }
        for at in 0..operations.len() {
            operations.extend(self.observer(operations[at], &operations));
        }
        operations.sort_unstable();
        operations.dedup();
        keys.sort_unstable();
        keys.dedup();
        let assumes: Vec<Assumption> =
            if assumed { self.limits.assume.clone() } else { Vec::new() };
        Anomaly {
            property,
            kind,
            set: vec![property],
            key: (keys.len() == 1).then(|| keys[0]),
            session: None,
            operations,
            sentence: sentence(self.history, name, &steps),
            cycle: steps,
            assumes,
        }
    }

    fn reason(&self, from: u32, to: u32, edge: Edge) -> Reason {
        let (one, other) = (self.txn(from), self.txn(to));
        let found = match edge {
            Edge::Wr => self.read_from(from, to),
            Edge::Ww => self.overwrote(from, to),
            Edge::Rw => self.missed(from, to),
            Edge::So | Edge::Rt => None,
        };
        found.unwrap_or_else(|| Reason {
            key: None,
            why: match edge {
                Edge::So => format!(
                    "{} did #{} before #{}",
                    session_name(self.history, one),
                    one.index(),
                    other.index()
                ),
                Edge::Rt => {
                    format!("#{} returned before #{} was invoked", one.index(), other.index())
                }
                _ => format!(
                    "#{} precedes #{} in an order of versions that is taken for granted",
                    one.index(),
                    other.index()
                ),
            },
            shown_by: None,
            is_assumed: !matches!(edge, Edge::So | Edge::Rt),
        })
    }

    fn read_from(&self, from: u32, to: u32) -> Option<Reason> {
        let read =
            self.committed.reads(to).iter().find(|read| read.source == Source::Node(from))?;
        let (one, other) = (self.txn(from).index(), self.txn(to).index());
        let (key, saw) = (key_name(self.history, read.key), shown(self.history, read.version));
        let why = match self.history.datatype(read.key) {
            Datatype::List => {
                format!("#{other} read {key} = {saw}, whose last element #{one} appended")
            }
            _ => format!("#{other} read {key} = {saw}, which #{one} wrote"),
        };
        Some(Reason::of(read.key, why))
    }

    fn overwrote(&self, from: u32, to: u32) -> Option<Reason> {
        let (one, other) = (self.txn(from).index(), self.txn(to).index());
        self.committed.writes(to).iter().find_map(|write| {
            let key = write.key;
            self.committed.final_write(from, key)?;
            if self.history.datatype(key) == Datatype::List {
                let (before, after) = self.neighbours(key, from, to)?;
                let name = key_name(self.history, key);
                let before = shown(self.history, before);
                let (why, by) = match after {
                    Some(after) => (
                        format!(
                            "#{other} appended {} to {name} after #{one} had appended {before}",
                            shown(self.history, after)
                        ),
                        self.reader_of_longest(key),
                    ),
                    None => (
                        format!(
                            "#{other} appended {} to {name}, which no read shows: it comes after {before} of #{one}",
                            shown(self.history, write.value)
                        ),
                        self.reader_of_longest(key),
                    ),
                };
                return Some(Reason { shown_by: by, ..Reason::of(key, why) });
            }
            let read = self.read_of(to, key)?;
            let is_from = read.source == Source::Node(from);
            let is_final = self.committed.final_write(from, key) == Some(read.version);
            (is_from && is_final).then(|| {
                let (was, is) =
                    (shown(self.history, read.version), shown(self.history, write.value));
                let name = key_name(self.history, key);
                Reason::of(
                    key,
                    format!("#{other} read {name} = {was}, which #{one} wrote, and overwrote it with {is}"),
                )
            })
        })
    }

    fn missed(&self, from: u32, to: u32) -> Option<Reason> {
        let (one, other) = (self.txn(from).index(), self.txn(to).index());
        self.committed.reads(from).iter().find_map(|read| {
            let key = read.key;
            let write = self.committed.final_write(to, key)?;
            if self.dependencies.keys[key.index()].order == Order::Contradictory {
                return None;
            }
            let (name, saw) = (key_name(self.history, key), shown(self.history, read.version));
            if self.history.datatype(key) == Datatype::List {
                let missed = self.first_missing(key, read.version, to)?;
                let why = format!(
                    "#{one} read {name} = {saw} without the {} that #{other} appended",
                    shown(self.history, missed)
                );
                return Some(Reason::of(key, why));
            }
            let write = shown(self.history, write);
            let follows = match read.source {
                Source::Initial => true,
                Source::Node(writer) => {
                    self.read_of(to, key).is_some_and(|read| read.source == Source::Node(writer))
                }
                Source::Unknown => false,
            };
            let why = match read.source {
                Source::Initial => format!("#{one} read {name} before #{other} wrote {write}"),
                _ => format!("#{one} read {name} = {saw}, which #{other} overwrote with {write}"),
            };
            // Whoever wrote what both had read shows that it is one version.
            let shown_by = match read.source {
                Source::Node(writer) => Some(self.txn(writer).id),
                _ => None,
            };
            follows.then(|| Reason { shown_by, ..Reason::of(key, why) })
        })
    }

    fn read_of(&self, node: u32, key: KeyId) -> Option<&crate::check::transaction::ExternalRead> {
        self.committed.reads(node).iter().find(|read| read.key == key)
    }

    /// An element of the longest list by `from`, and the next known one if it is by `to`; `None` in
    /// its place if nobody read what `to` appended.
    fn neighbours(&self, key: KeyId, from: u32, to: u32) -> Option<(ValueId, Option<ValueId>)> {
        let known = self.dependencies.keys[key.index()];
        if known.order == Order::Contradictory {
            return None;
        }
        let (from, to) = (self.txn(from).id, self.txn(to).id);
        let mut after: Option<(TxnId, ValueId)> = None;
        for element in self.history.values().backwards(known.longest) {
            let Some(writer) = self.writer(key, element) else { continue };
            match after {
                Some((next, value)) if writer == from && next == to => {
                    return Some((element, Some(value)));
                }
                None if writer == from && self.has_unread(key, known.longest, to) => {
                    return Some((element, None));
                }
                _ => after = Some((writer, element)),
            }
        }
        None
    }

    /// The one committed operation that appended an element.
    fn writer(&self, key: KeyId, element: ValueId) -> Option<TxnId> {
        let writer = self
            .writers
            .first(key, element)
            .filter(|_| !self.writers.is_ambiguous(key, element))?;
        self.committed.txns.binary_search(&writer).is_ok().then_some(writer)
    }

    fn has_unread(&self, key: KeyId, longest: ValueId, txn: TxnId) -> bool {
        self.appends(key, txn)
            .any(|value| !self.history.values().backwards(longest).any(|one| one == value))
    }

    fn appends(&self, key: KeyId, txn: TxnId) -> impl Iterator<Item = ValueId> + '_ {
        let accesses = self.history.txn(txn).accesses();
        accesses
            .filter(move |one| one.key == key && writes_value(self.history, *one))
            .map(|one| one.value)
    }

    /// The first element by `to` that a read lacks, if no other known one comes between.
    fn first_missing(&self, key: KeyId, saw: ValueId, to: u32) -> Option<ValueId> {
        let values = self.history.values();
        let longest = self.dependencies.keys[key.index()].longest;
        let to = self.txn(to).id;
        let (mut at, mut next) = (longest, None);
        while at != saw
            && let Some((prefix, last)) = values.split(at)
        {
            if let Some(writer) = self.writer(key, last) {
                next = Some((writer, last));
            }
            at = prefix;
        }
        if let Some((writer, element)) = next {
            return (writer == to).then_some(element);
        }
        let unread = |value: &ValueId| !values.backwards(longest).any(|one| one == *value);
        self.appends(key, to).find(unread)
    }

    /// Somebody who read the longest list of a key, perhaps with own appends behind it.
    pub(super) fn reader_of_longest(&self, key: KeyId) -> Option<TxnId> {
        let longest = self.dependencies.keys[key.index()].longest;
        let saw = |txn: &TxnId| {
            let txn = self.history.txn(*txn);
            let mut reads = txn.accesses().enumerate().filter(|(_, one)| {
                txn.is_ok() && one.key == key && reads_value(self.history, *one)
            });
            reads.any(|(at, one)| version_read(self.history, txn, at, one) == longest)
        };
        self.committed.txns.iter().copied().find(saw)
    }

    /// Somebody who saw a write of an indeterminate transaction, which so was committed, unless one of
    /// `among` did.
    fn observer(&self, txn: TxnId, among: &[TxnId]) -> Option<TxnId> {
        let history = self.history;
        if history.txn(txn).is_ok() {
            return None;
        }
        let writes: Vec<Access> =
            history.txn(txn).accesses().filter(|one| writes_value(history, *one)).collect();
        let is_seen = |read: Access| {
            let mut writes = writes.iter().filter(|write| write.key == read.key);
            writes.any(|write| match history.datatype(read.key) {
                Datatype::List => history.values().backwards(read.value).any(|e| e == write.value),
                _ => write.value == read.value,
            })
        };
        let saw = |txn: &&TxnId| {
            let txn = history.txn(**txn);
            txn.is_ok() && txn.accesses().any(|one| reads_value(history, one) && is_seen(one))
        };
        if among.iter().any(|txn| saw(&txn)) {
            return None;
        }
        self.committed.txns.iter().find(saw).copied()
    }
}

/// The edge of a kind.
fn edge(kind: u8) -> Edge {
    [Edge::Ww, Edge::Wr, Edge::Rw, Edge::So]
        .into_iter()
        .find(|edge| *edge as u8 & kind != 0)
        .unwrap_or(Edge::Rt)
}

/// One sentence for a contradiction.
fn sentence(history: &History, name: &str, steps: &[Step]) -> String {
    const TOLD: usize = 4;
    let names: Vec<String> =
        steps.iter().map(|step| format!("#{}", history.txn(step.from).index())).collect();
    let mut reasons: Vec<&str> = steps.iter().take(TOLD).map(|step| &*step.why).collect();
    if steps.len() > TOLD {
        reasons.push("and so on");
    }
    let first = names.first().map_or("", |first| first);
    format!("{name}: {} before {first}: {}", names.join(" before "), reasons.join("; "))
}
