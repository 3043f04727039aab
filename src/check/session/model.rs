//! What of a history the session guarantees speak of: writes, reads and where the reads come from.

use std::collections::BTreeMap;
use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::check::words::{key_name, shown};
use crate::check::writers::{Writers, reads_value, writes_value};
use crate::history::{Access, Datatype, History, KeyId, SessionId, TxnId, ValueId};
use crate::model::{Function, Kind};

/// The operations that take part: every `ok` one, and indeterminate writes that somebody read
/// (specification 1.2.2 and 1.2.7). They are numbered 0 and on, by invocation.
#[derive(Clone, Default)]
pub(in crate::check) struct Model {
    pub(in crate::check) txns: Vec<TxnId>,
    /// The session; [`NO_SESSION`] if its operations overlap, so that it has no order.
    pub(in crate::check) session: Vec<u32>,
    /// The place in the session.
    pub(in crate::check) position: Vec<u32>,
    pub(in crate::check) ok: Vec<bool>,
    first_read: Vec<u32>,
    reads: Vec<Read>,
    first_write: Vec<u32>,
    writes: Vec<KeyId>,
    sources: Vec<u32>,
    session_starts: Vec<u32>,
    session_members: Vec<u32>,
}

/// The session of an operation whose session has no order.
pub(in crate::check) const NO_SESSION: u32 = u32::MAX;

/// One read of one key.
#[derive(Clone, Copy)]
pub(in crate::check) struct Read {
    pub(in crate::check) key: KeyId,
    pub(in crate::check) datatype: Datatype,
    /// Whether it saw the initial value of a register.
    pub(in crate::check) is_null: bool,
    /// Where its sources begin; prefixes of one list begin at the same place.
    pub(in crate::check) start: u32,
    len: u32,
}

/// What was left out of a model, and what was found while building it.
#[derive(Default)]
pub(in crate::check) struct Findings {
    /// Keys that cannot be judged, with the reason.
    pub(in crate::check) left_out: BTreeMap<KeyId, String>,
    /// Sessions whose operations overlap.
    pub(in crate::check) overlapping: Vec<SessionId>,
    /// Reads of values that nobody wrote, or whose writes all failed.
    pub(in crate::check) thin: Vec<(TxnId, KeyId, ValueId)>,
}

impl Findings {
    /// Why what was left out leaves the rest undecided.
    pub(in crate::check) fn reason(&self, history: &History) -> Option<String> {
        let mut left_out = self.left_out.values().filter(|reason| !reason.is_empty());
        if let Some(reason) = left_out.next() {
            return Some(format!("{reason}; the key was left out{}", more(left_out.count() + 1)));
        }
        let session = self.overlapping.first()?;
        Some(format!(
            "operations of session {} overlap, so it has no order{}",
            history.session_name(*session),
            more(self.overlapping.len())
        ))
    }
}

/// ` (and so for 3 more)`, or nothing.
pub(super) fn more(all: usize) -> String {
    if all > 1 { format!(" (and so for {} more)", all - 1) } else { String::new() }
}

impl Model {
    /// The model of a whole history, but for the keys to be left out.
    pub(in crate::check) fn new(
        history: &History,
        writers: &Writers,
        findings: &mut Findings,
    ) -> Self {
        let mut builder = Builder {
            history,
            writers,
            observed: vec![false; history.len()],
            op_of: vec![u32::MAX; history.len()],
            versions: FxHashMap::default(),
            model: Self { first_read: vec![0], first_write: vec![0], ..Self::default() },
        };
        builder.look_for_sources(findings);
        builder.number(findings);
        builder.fill(findings);
        builder.model
    }

    /// How many operations there are.
    pub(in crate::check) fn len(&self) -> usize {
        self.txns.len()
    }

    /// What an operation read; empty unless it is `ok`.
    pub(in crate::check) fn reads(&self, op: u32) -> &[Read] {
        &self.reads
            [self.first_read[op as usize] as usize..self.first_read[op as usize + 1] as usize]
    }

    /// The keys an operation wrote.
    pub(in crate::check) fn writes(&self, op: u32) -> &[KeyId] {
        let (begin, end) = (self.first_write[op as usize], self.first_write[op as usize + 1]);
        &self.writes[begin as usize..end as usize]
    }

    /// The place of an operation's first write among all writes.
    pub(in crate::check) fn first_write(&self, op: u32) -> usize {
        self.first_write[op as usize] as usize
    }

    /// How many writes there are.
    pub(in crate::check) fn write_count(&self) -> usize {
        self.writes.len()
    }

    /// Whether an operation writes.
    pub(in crate::check) fn is_write(&self, op: u32) -> bool {
        self.first_write[op as usize] != self.first_write[op as usize + 1]
    }

    /// Whether an operation writes a key.
    pub(in crate::check) fn writes_key(&self, op: u32, key: KeyId) -> bool {
        self.writes(op).contains(&key)
    }

    /// Whose writes a read saw: the writer of a register's version, or of every element in order.
    pub(in crate::check) fn sources(&self, read: &Read) -> &[u32] {
        &self.sources[read.start as usize..(read.start + read.len) as usize]
    }

    /// The sources in some places: a part of what [`Self::sources`] gives of a list or set.
    pub(in crate::check) fn sources_between(&self, begin: u32, end: u32) -> &[u32] {
        &self.sources[begin as usize..end as usize]
    }

    /// Whose writes all reads of an operation saw, itself excluded (`rf`).
    pub(in crate::check) fn read_from(&self, op: u32) -> impl Iterator<Item = u32> + '_ {
        self.reads(op)
            .iter()
            .flat_map(|read| self.sources(read).iter().copied())
            .filter(move |source| *source != op)
    }

    /// Whether any operation read anything.
    pub(in crate::check) fn has_reads(&self) -> bool {
        !self.reads.is_empty()
    }

    /// How many sessions there may be.
    pub(in crate::check) fn session_count(&self) -> usize {
        self.session_starts.len() - 1
    }

    /// The operations of a session, in order.
    pub(in crate::check) fn members(&self, session: u32) -> &[u32] {
        &self.session_members[self.member_range(session)]
    }

    fn member_range(&self, session: u32) -> Range<usize> {
        let session = session as usize;
        self.session_starts[session] as usize..self.session_starts[session + 1] as usize
    }

    /// The model of some operations alone, given in ascending order; `None` if one of them read from
    /// an operation that is not among them. Indeterminate writes that nobody reads any more go.
    pub(in crate::check) fn restrict(&self, ops: &[u32]) -> Option<Self> {
        let reads_others =
            |op: &u32| self.read_from(*op).any(|one| ops.binary_search(&one).is_err());
        (!ops.iter().any(reads_others)).then(|| self.part(ops))
    }

    /// The same, but what is read from an operation that is not among them is left out.
    pub(in crate::check) fn part(&self, ops: &[u32]) -> Self {
        let mut observed: Vec<u32> = ops.iter().flat_map(|op| self.read_from(*op)).collect();
        observed.sort_unstable();
        let ops: Vec<u32> = ops
            .iter()
            .copied()
            .filter(|op| self.ok[*op as usize] || observed.binary_search(op).is_ok())
            .collect();
        let renamed = |op: &u32| ops.binary_search(op).ok().map(|at| at as u32);
        let mut model = Self { first_read: vec![0], first_write: vec![0], ..Self::default() };
        for op in &ops {
            for read in self.reads(*op) {
                let start = model.sources.len() as u32;
                let sources = self.sources(read).iter();
                let Some(sources) = sources.map(renamed).collect::<Option<Vec<u32>>>() else {
                    continue;
                };
                model.sources.extend(sources);
                model.reads.push(Read { start, ..*read });
            }
            model.writes.extend_from_slice(self.writes(*op));
            model.close(self.txns[*op as usize], self.session[*op as usize], self.ok[*op as usize]);
        }
        model.group(self.session_count());
        model
    }

    fn close(&mut self, txn: TxnId, session: u32, ok: bool) {
        self.txns.push(txn);
        self.session.push(session);
        self.ok.push(ok);
        self.first_read.push(self.reads.len() as u32);
        self.first_write.push(self.writes.len() as u32);
    }

    fn group(&mut self, sessions: usize) {
        let mut starts = vec![0_u32; sessions + 1];
        for session in self.session.iter().filter(|session| **session != NO_SESSION) {
            starts[*session as usize + 1] += 1;
        }
        for at in 0..sessions {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        self.session_members = vec![0; starts[sessions] as usize];
        self.position = vec![0; self.len()];
        for (op, session) in self.session.iter().enumerate() {
            if *session != NO_SESSION {
                let place = &mut next[*session as usize];
                self.position[op] = *place - starts[*session as usize];
                self.session_members[*place as usize] = op as u32;
                *place += 1;
            }
        }
        self.session_starts = starts;
    }
}

struct Builder<'b> {
    history: &'b History,
    writers: &'b Writers,
    observed: Vec<bool>,
    op_of: Vec<u32>,
    /// Where the sources of a list or set were put, by key and version.
    versions: FxHashMap<(KeyId, ValueId), (u32, u32)>,
    model: Model,
}

impl Builder<'_> {
    /// Finds the keys that are not traceable, the reads from nowhere, and who is read.
    fn look_for_sources(&mut self, findings: &mut Findings) {
        for (key, value) in self.writers.ambiguous() {
            findings.left_out.entry(key).or_insert_with(|| {
                let (value, key) = (shown(self.history, value), key_name(self.history, key));
                format!(
                    "{value} was written to {key} more than once, so its reads name no one write"
                )
            });
        }
        for txn in self.history.txns() {
            for access in txn.accesses() {
                let datatype = self.history.datatype(access.key);
                let reason = match access.function {
                    Function::Write
                        if datatype == Datatype::Register && access.value == ValueId::NULL =>
                    {
                        "nothing was written, so a read of nothing names no one version"
                    }
                    Function::Remove if datatype == Datatype::Set => "elements were removed",
                    _ => continue,
                };
                findings
                    .left_out
                    .entry(access.key)
                    .or_insert_with(|| format!("{}: {reason}", key_name(self.history, access.key)));
            }
        }
        for txn in self.history.txns().filter(|txn| txn.is_ok()) {
            for access in txn.accesses().filter(|access| reads_value(self.history, *access)) {
                if !findings.left_out.contains_key(&access.key) {
                    self.observe(txn.id, access, findings);
                }
            }
        }
        findings.thin.sort_unstable();
        findings.thin.dedup();
        for (_, key, _) in &findings.thin {
            findings.left_out.entry(*key).or_default();
        }
        self.leave_out_companions(findings);
    }

    /// A transaction on several keys is judged whole or not at all: where one key is left out, its
    /// companions are, and theirs. Otherwise a witness would hold reads that it does not account for.
    fn leave_out_companions(&self, findings: &mut Findings) {
        let left_out = &mut findings.left_out;
        let mut before = 0;
        while left_out.len() > before {
            before = left_out.len();
            for txn in self.history.txns().filter(|txn| txn.accesses().len() > 1) {
                if txn.accesses().any(|access| left_out.contains_key(&access.key)) {
                    for access in txn.accesses() {
                        left_out.entry(access.key).or_default();
                    }
                }
            }
        }
    }

    fn observe(&mut self, reader: TxnId, access: Access, findings: &mut Findings) {
        let values = self.history.values();
        if self.history.datatype(access.key) == Datatype::Register {
            if access.value != ValueId::NULL {
                self.observe_value(reader, access.key, access.value, findings);
            }
            return;
        }
        // A prefix that was walked before holds nothing new.
        let mut at = access.value;
        while let Some((prefix, last)) = values.split(at) {
            if self.versions.insert((access.key, at), (u32::MAX, 0)).is_some() {
                break;
            }
            self.observe_value(reader, access.key, last, findings);
            at = prefix;
        }
    }

    fn observe_value(
        &mut self,
        reader: TxnId,
        key: KeyId,
        value: ValueId,
        findings: &mut Findings,
    ) {
        match self.writers.first(key, value) {
            Some(write) if self.history.txn(write).kind() != Kind::Fail => {
                if write != reader {
                    self.observed[write.index()] = true;
                }
            }
            _ => findings.thin.push((reader, key, value)),
        }
    }

    /// Numbers the operations that take part.
    fn number(&mut self, findings: &mut Findings) {
        let traced = |access: &Access| {
            (writes_value(self.history, *access) || reads_value(self.history, *access))
                && !findings.left_out.contains_key(&access.key)
        };
        let mut next = 0;
        let mut latest: Vec<Option<u32>> = vec![None; self.history.session_count()];
        let mut overlapping = vec![false; self.history.session_count()];
        for txn in self.history.txns() {
            let takes_part = match txn.kind() {
                Kind::Ok => txn.accesses().any(|access| traced(&access)),
                Kind::Info => self.observed[txn.id.index()],
                _ => false,
            };
            if txn.is_ok() {
                let (latest, now) = (&mut latest[txn.session().index()], txn.returned().0);
                let is_open = latest.is_some_and(|returned| returned > txn.invoked().0);
                if is_open && self.history.has_real_time() {
                    overlapping[txn.session().index()] = true;
                }
                *latest = (*latest).max(Some(now));
            }
            if takes_part {
                self.op_of[txn.id.index()] = next;
                next += 1;
            }
        }
        findings.overlapping =
            (0..).zip(&overlapping).filter(|(_, is)| **is).map(|(at, _)| SessionId(at)).collect();
    }

    fn fill(&mut self, findings: &Findings) {
        self.expand_versions(findings);
        let history = self.history;
        for txn in history.txns() {
            if self.op_of[txn.id.index()] == u32::MAX {
                continue;
            }
            let mut written: Vec<KeyId> = Vec::new();
            for access in txn.accesses().filter(|one| !findings.left_out.contains_key(&one.key)) {
                if writes_value(history, access) {
                    if !written.contains(&access.key) {
                        written.push(access.key);
                    }
                } else if txn.is_ok()
                    && reads_value(history, access)
                    && !written.contains(&access.key)
                {
                    self.read(access);
                }
            }
            self.model.writes.extend(written);
            let ordered = findings.overlapping.binary_search(&txn.session()).is_err();
            let session = if ordered { txn.session().0 } else { NO_SESSION };
            self.model.close(txn.id, session, txn.is_ok());
        }
        self.model.group(history.session_count());
    }

    fn read(&mut self, access: Access) {
        let datatype = self.history.datatype(access.key);
        let (start, len) = if datatype == Datatype::Register {
            let start = self.model.sources.len() as u32;
            if access.value != ValueId::NULL
                && let Some(source) = self.source(access.key, access.value)
            {
                self.model.sources.push(source);
            }
            (start, self.model.sources.len() as u32 - start)
        } else {
            self.versions.get(&(access.key, access.value)).copied().unwrap_or((0, 0))
        };
        let is_null = datatype == Datatype::Register && access.value == ValueId::NULL;
        self.model.reads.push(Read { key: access.key, datatype, is_null, start, len });
    }

    fn source(&self, key: KeyId, value: ValueId) -> Option<u32> {
        let txn = self.writers.first(key, value)?;
        Some(self.op_of[txn.index()]).filter(|op| *op != u32::MAX)
    }

    /// Puts down the sources of every list and set that was read: of the longest ones, for a prefix
    /// is a part of what it is a prefix of.
    fn expand_versions(&mut self, findings: &Findings) {
        let values = self.history.values();
        let mut versions: Vec<(KeyId, ValueId)> = self
            .versions
            .keys()
            .copied()
            .filter(|(key, _)| !findings.left_out.contains_key(key))
            .collect();
        let depth_first = |id: &(KeyId, ValueId)| (id.0, std::cmp::Reverse(id.1));
        // An extension is interned after its prefix, so the greatest ids come first.
        versions.sort_unstable_by_key(depth_first);
        for (key, version) in versions {
            if self.versions[&(key, version)].0 != u32::MAX {
                continue;
            }
            let start = self.model.sources.len() as u32;
            let elements = values.elements(version);
            for element in &elements {
                // An own element that nobody else read is not numbered: it is no source.
                let source = self.source(key, *element).unwrap_or(u32::MAX);
                self.model.sources.push(source);
            }
            let (mut at, mut len) = (version, elements.len() as u32);
            while let Some((prefix, _)) = values.split(at) {
                let entry = self.versions.entry((key, at)).or_insert((u32::MAX, 0));
                if entry.0 != u32::MAX {
                    break;
                }
                *entry = (start, len);
                (at, len) = (prefix, len - 1);
            }
        }
    }
}
