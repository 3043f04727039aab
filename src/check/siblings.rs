//! Multi-value registers: SIB (ANOMALIES section 7).
//!
//! A put replaces exactly the values in its context, those that its client had read before. What was
//! put concurrently stays beside it until somebody merges it.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::tally::Tally;
use crate::check::words::{key_name, moment, session_name};
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::history::{Datatype, History, KeyId, Txn, TxnId};
use crate::model::{Function, Kind, Value};

/// Whether the final reads of multi-value registers show all that nobody replaced, and nothing else;
/// nothing if there are no such registers.
///
/// An indeterminate put may have replaced its context: that excuses a missing value, but forces none
/// out. Of a value that was put more than once nobody knows which was replaced.
/// `Verdict::count` counts values, once for each final read. O(n + total length of contexts and final reads).
pub fn check(history: &History, limits: &Limits) -> Option<Verdict> {
    let by_key = history.by_key();
    let keys: Vec<KeyId> =
        history.keys().filter(|key| history.datatype(*key) == Datatype::MultiValue).collect();
    if keys.is_empty() {
        return None;
    }
    let mut tally = Tally::new(Property::Sib, limits);
    for key in keys {
        let register = Register::new(history, key, by_key.group(key.0));
        if let Some(odd) = register.odd {
            // Its context may have replaced anything.
            tally.doubt(|| {
                format!(
                    "#{} does not tell its values; expected {{val, ctx}} of a put and a list of a get",
                    history.txn(odd).index()
                )
            });
            continue;
        }
        for read in &register.finals {
            tally.judged();
            register.judge(*read, &mut |anomaly| tally.violated(anomaly));
        }
    }
    Some(tally.verdict("no final reads of multi-value registers"))
}

/// A put that may have happened.
struct Put<'h> {
    txn: Txn<'h>,
    value: Value,
    context: Vec<Value>,
}

/// One multi-value register.
struct Register<'h> {
    history: &'h History,
    key: KeyId,
    puts: Vec<Put<'h>>,
    /// The puts of each value, and those that replace it.
    of: FxHashMap<Value, Vec<usize>>,
    over: FxHashMap<Value, Vec<usize>>,
    failed: FxHashMap<Value, Txn<'h>>,
    finals: Vec<Txn<'h>>,
    /// An operation that does not tell what it should.
    odd: Option<TxnId>,
}

impl<'h> Register<'h> {
    fn new(history: &'h History, key: KeyId, txns: &[TxnId]) -> Self {
        let mut register = Self {
            history,
            key,
            puts: Vec::new(),
            of: FxHashMap::default(),
            over: FxHashMap::default(),
            failed: FxHashMap::default(),
            finals: Vec::new(),
            odd: None,
        };
        for txn in txns.iter().map(|id| history.txn(*id)) {
            for access in txn.accesses().filter(|access| access.key == key) {
                let value = history.values().value(access.value);
                match (access.function, parts(&value)) {
                    (Function::Put, Some((value, context))) => register.put(txn, value, context),
                    (Function::Put, None) => register.odd = register.odd.or(Some(txn.id)),
                    _ if !txn.is_ok() || !txn.is_final() => {}
                    _ if value.as_list().is_some() => register.finals.push(txn),
                    _ => register.odd = register.odd.or(Some(txn.id)),
                }
            }
        }
        register
    }

    fn put(&mut self, txn: Txn<'h>, value: &Value, context: &[Value]) {
        if txn.kind() == Kind::Fail {
            self.failed.insert(value.clone(), txn);
            return;
        }
        let number = self.puts.len();
        self.of.entry(value.clone()).or_default().push(number);
        for replaced in context.iter().filter(|one| *one != value) {
            self.over.entry(replaced.clone()).or_default().push(number);
        }
        self.puts.push(Put { txn, value: value.clone(), context: context.to_vec() });
    }

    /// Finds what is wrong with a final read.
    fn judge(&self, read: Txn<'h>, find: &mut dyn FnMut(&dyn Fn() -> Anomaly)) {
        let shown = self.shown(read);
        let seen: FxHashSet<&Value> = shown.iter().collect();
        let unread = |put: &&Put<'h>| put.txn.precedes(read) && !seen.contains(&put.value);
        for put in self.puts.iter().filter(unread) {
            if !self.over.contains_key(&put.value) {
                find(&|| self.lost(put, read));
            }
        }
        for value in &shown {
            match self.of.get(value).map(Vec::as_slice) {
                None => find(&|| self.unwritten(value, read)),
                Some([put]) => {
                    let over = self.over.get(value).into_iter().flatten();
                    let mut over = over.map(|number| &self.puts[*number]);
                    if let Some(over) = over.find(|over| over.txn.precedes(read)) {
                        find(&|| self.resurrected(&self.puts[*put], over, read));
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// What a final read returned, each value once.
    fn shown(&self, read: Txn<'h>) -> Vec<Value> {
        let accesses = read.accesses().filter(|access| access.key == self.key);
        let mut shown: Vec<Value> = accesses
            .flat_map(|access| {
                let value = self.history.values().value(access.value);
                value.as_list().unwrap_or_default().to_vec()
            })
            .collect();
        shown.sort();
        shown.dedup();
        shown
    }

    fn lost(&self, put: &Put<'h>, read: Txn<'h>) -> Anomaly {
        let sentence = format!(
            "{} put {} into {} ({}) and nobody replaced it, but the final read #{} does not show it: {}",
            session_name(self.history, put.txn),
            put.value,
            key_name(self.history, self.key),
            moment(put.txn),
            read.index(),
            Value::list(self.shown(read)),
        );
        let why = format!("#{} does not show {}", read.index(), put.value);
        let cycle = vec![returned_before(put.txn, read), step(read, Edge::Rw, put.txn, why)];
        self.anomaly("lost-sibling", &[put.txn, read], cycle, sentence)
    }

    fn resurrected(&self, put: &Put<'h>, over: &Put<'h>, read: Txn<'h>) -> Anomaly {
        let sentence = format!(
            "{} replaced {} in {} by {} ({}), but the final read #{} shows it again: {}",
            session_name(self.history, over.txn),
            Value::list(over.context.iter().cloned()),
            key_name(self.history, self.key),
            over.value,
            moment(over.txn),
            read.index(),
            Value::list(self.shown(read)),
        );
        let why =
            format!("#{} shows {}, which #{} replaced", read.index(), put.value, over.txn.index());
        let cycle = vec![returned_before(over.txn, read), step(read, Edge::Rw, over.txn, why)];
        self.anomaly("false-sibling", &[put.txn, over.txn, read], cycle, sentence)
    }

    fn unwritten(&self, value: &Value, read: Txn<'h>) -> Anomaly {
        let failed = self.failed.get(value);
        let whence = match failed {
            Some(put) => format!("the only put of it (#{}) certainly failed", put.index()),
            None => "nobody ever tried to put it".to_owned(),
        };
        let name = key_name(self.history, self.key);
        let sentence =
            format!("the final read #{} of {name} shows {value}, but {whence}", read.index());
        let proof: Vec<Txn<'h>> = failed.copied().into_iter().chain([read]).collect();
        self.anomaly("unexpected-sibling", &proof, Vec::new(), sentence)
    }

    fn anomaly(
        &self,
        kind: &'static str,
        proof: &[Txn<'h>],
        cycle: Vec<Step>,
        sentence: String,
    ) -> Anomaly {
        let mut operations: Vec<TxnId> = proof.iter().map(|txn| txn.id).collect();
        operations.sort_unstable();
        operations.dedup();
        Anomaly {
            property: Property::Sib,
            kind,
            set: vec![Property::Sib],
            key: Some(self.key),
            session: None,
            operations,
            cycle,
            assumes: Vec::new(),
            sentence,
        }
    }
}

/// The value and the context of a put.
fn parts(value: &Value) -> Option<(&Value, &[Value])> {
    let Value::Map(fields) = value else { return None };
    let field = |name: &str| {
        fields.iter().find(|(field, _)| field.as_text() == Some(name)).map(|(_, value)| value)
    };
    let context = match field("ctx") {
        None | Some(Value::Null) => &[],
        Some(context) => context.as_list()?,
    };
    Some((field("val")?, context))
}

fn returned_before(from: Txn<'_>, to: Txn<'_>) -> Step {
    let why = format!("#{} returned before #{} was invoked", from.index(), to.index());
    step(from, Edge::Rt, to, why)
}

fn step(from: Txn<'_>, edge: Edge, to: Txn<'_>, why: String) -> Step {
    Step { from: from.id, to: to.id, edge, why }
}
