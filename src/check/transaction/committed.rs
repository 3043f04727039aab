//! The committed transactions of a history, as every transactional checker sees them.

use crate::check::writers::{Writers, observed, reads_value, writes_value};
use crate::history::{Datatype, History, KeyId, Txn, TxnId, ValueId};
use crate::model::Kind;

/// Who wrote a version that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody: it is the initial version.
    Initial,
    /// The committed transaction of this node.
    Node(u32),
    /// Nobody that counts: it was never written, or certainly aborted, or written more than once.
    Unknown,
}

/// The first read of a key by a transaction, if it did not write the key before; of a list in any case,
/// without what it appended itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalRead {
    /// Which key.
    pub key: KeyId,
    /// What it saw: a value of a register, a whole list.
    pub version: ValueId,
    /// Who wrote that value, or the last element of that list.
    pub source: Source,
}

/// The last write of a key by a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalWrite {
    /// Which key.
    pub key: KeyId,
    /// The value of the register, or the last element appended to the list.
    pub value: ValueId,
}

/// The committed transactions of a history: the successful ones, and those of unknown outcome of
/// which a write was seen (specification 8, Info). Only registers and lists are looked at.
pub struct Committed {
    /// The transactions by node, in order of invocation.
    pub txns: Vec<TxnId>,
    first_read: Vec<u32>,
    reads: Vec<ExternalRead>,
    first_write: Vec<u32>,
    writes: Vec<FinalWrite>,
}

impl Committed {
    /// Finds them; `writers` knows all who tried to write.
    pub(in crate::check) fn new(history: &History, writers: &Writers) -> Self {
        let committed = committed(history, writers);
        let node = nodes(history, &committed);
        let mut all = Self {
            first_read: Vec::with_capacity(committed.len() + 1),
            first_write: Vec::with_capacity(committed.len() + 1),
            reads: Vec::new(),
            writes: Vec::new(),
            txns: committed,
        };
        for at in 0..all.txns.len() {
            all.first_read.push(all.reads.len() as u32);
            all.first_write.push(all.writes.len() as u32);
            let txn = history.txn(all.txns[at]);
            all.look_at(history, writers, &node, txn);
        }
        all.first_read.push(all.reads.len() as u32);
        all.first_write.push(all.writes.len() as u32);
        all
    }

    fn look_at(&mut self, history: &History, writers: &Writers, node: &[u32], txn: Txn<'_>) {
        let (reads, writes) = (self.reads.len(), self.writes.len());
        for access in txn.accesses() {
            let key = access.key;
            if writes_value(history, access) {
                match self.writes[writes..].iter_mut().find(|write| write.key == key) {
                    Some(write) => write.value = access.value,
                    None => self.writes.push(FinalWrite { key, value: access.value }),
                }
            } else if txn.is_ok()
                && reads_value(history, access)
                && !self.reads[reads..].iter().any(|read| read.key == key)
                && (history.datatype(key) == Datatype::List
                    || !self.writes[writes..].iter().any(|write| write.key == key))
            {
                let mut version = access.value;
                let last = match history.datatype(key) {
                    Datatype::List => {
                        // What it appended itself says nothing of what it found there.
                        while let Some((prefix, last)) = history.values().split(version)
                            && writers.first(key, last) == Some(txn.id)
                            && !writers.is_ambiguous(key, last)
                        {
                            version = prefix;
                        }
                        history.values().backwards(version).next()
                    }
                    _ => (version != ValueId::NULL).then_some(version),
                };
                let source = last.map_or(Source::Initial, |value| {
                    let writer = writers.first(key, value);
                    let node = writer.map_or(u32::MAX, |txn| node[txn.index()]);
                    let is_known = node != u32::MAX && !writers.is_ambiguous(key, value);
                    if is_known { Source::Node(node) } else { Source::Unknown }
                });
                self.reads.push(ExternalRead { key, version, source });
            }
        }
    }

    /// The node of each operation of the history; `u32::MAX` if it is not committed.
    pub fn nodes(&self, history: &History) -> Vec<u32> {
        nodes(history, &self.txns)
    }

    /// What a node wrote to a key last.
    pub fn final_write(&self, node: u32, key: KeyId) -> Option<ValueId> {
        self.writes(node).iter().find(|write| write.key == key).map(|write| write.value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.txns.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.txns.is_empty()
    }

    /// The external reads of a node; none of an indeterminate one, whose reads never returned.
    pub fn reads(&self, node: u32) -> &[ExternalRead] {
        let at = node as usize;
        &self.reads[self.first_read[at] as usize..self.first_read[at + 1] as usize]
    }

    /// The final writes of a node.
    pub fn writes(&self, node: u32) -> &[FinalWrite] {
        let at = node as usize;
        &self.writes[self.first_write[at] as usize..self.first_write[at + 1] as usize]
    }
}

fn nodes(history: &History, committed: &[TxnId]) -> Vec<u32> {
    let mut node = vec![u32::MAX; history.len()];
    for (at, txn) in (0..).zip(committed) {
        node[txn.index()] = at;
    }
    node
}

/// The successful transactions and the observed ones of unknown outcome.
fn committed(history: &History, writers: &Writers) -> Vec<TxnId> {
    let mut is_committed: Vec<bool> = history.txns().map(Txn::is_ok).collect();
    if history.txns().any(|txn| txn.kind() == Kind::Info && txn.writes()) {
        for txn in history.txns().filter(|txn| txn.is_ok()) {
            for access in txn.accesses().filter(|access| reads_value(history, *access)) {
                for value in observed(history, access) {
                    for writer in writers.all(access.key, value) {
                        let info = history.txn(writer).kind() == Kind::Info;
                        is_committed[writer.index()] |= info;
                    }
                }
            }
        }
    }
    (0..).zip(is_committed).filter(|(_, yes)| *yes).map(|(at, _)| TxnId(at)).collect()
}
