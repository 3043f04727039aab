//! Torn rows: TORN (ANOMALIES section 6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::check::words::{deed, key_name, session_name, shown};
use crate::check::writers::{Writers, reads_value, writes_value};
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::history::{Datatype, History, KeyId, Txn, TxnId, ValueId};
use crate::model::{Kind, Value};

/// Judges whether every read of a row shows the fields of one writer.
///
/// A row is the keys that share what stands before their first dot (`r.a`, `r.b`), if every operation
/// that writes one of them writes all. No order of versions is needed. `None` if there is no such
/// row. O(n log n).
pub fn check(history: &History, limits: &Limits) -> Option<Verdict> {
    let rows = Rows::new(history);
    if rows.fields.iter().all(|fields| fields.len() < 2) {
        return None;
    }
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let (mut torn, mut reads) = (Vec::new(), 0_u64);
    // For each row, how many final reads there are, and how many of them are torn.
    let mut finals = vec![(0_u64, 0_u64); rows.fields.len()];
    for txn in history.txns().filter(|txn| txn.is_ok()) {
        for (row, sources) in rows.sources(history, &writers, txn) {
            if sources.len() < 2 {
                continue;
            }
            reads += 1;
            let mixed = sources.iter().find(|source| source.1 != sources[0].1);
            finals[row].0 += u64::from(txn.is_final());
            if let Some(other) = mixed {
                finals[row].1 += u64::from(txn.is_final());
                torn.push((txn, row, [sources[0], *other]));
            }
        }
    }
    if torn.is_empty() {
        let unread = "rows were written whole, but no operation read two fields of one";
        return Some(match reads {
            0 => Verdict::unknown(Property::Torn, unread),
            _ => Verdict::valid(Property::Torn),
        });
    }
    let kept = torn.iter().take(limits.anomalies.max(1));
    let anomalies = kept.map(|(read, row, sources)| {
        let (all, bad) = finals[*row];
        let lasting = read.is_final().then_some(all == bad);
        mixed(history, *read, *sources, lasting)
    });
    let verdict = Verdict::invalid(Property::Torn, anomalies.collect());
    Some(Verdict { count: torn.len() as u64, ..verdict })
}

/// The keys that are fields of a row.
struct Rows {
    /// The row of each key, if it has one.
    of: Vec<Option<usize>>,
    /// The fields of each row; none if somebody wrote only some.
    fields: Vec<BTreeSet<KeyId>>,
    null_is_written: BTreeSet<KeyId>,
}

/// A field and who wrote what was read of it; `None` for the initial version.
type Source = (KeyId, Option<TxnId>);

impl Rows {
    fn new(history: &History) -> Self {
        let mut names: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let of: Vec<Option<usize>> = history
            .keys()
            .map(|key| {
                let Value::Text(name) = history.key_name(key) else { return None };
                let (row, _) = name.split_once('.')?;
                let next = names.len();
                Some(*names.entry(row.into()).or_insert(next))
            })
            .collect();
        let mut rows = Self {
            of,
            fields: vec![BTreeSet::new(); names.len()],
            null_is_written: BTreeSet::new(),
        };
        let tried = history.txns().filter(|txn| txn.kind() != Kind::Fail);
        for access in tried.flat_map(Txn::accesses) {
            if let Some(row) = rows.of[access.key.index()].filter(|_| writes_value(history, access))
            {
                rows.fields[row].insert(access.key);
                if access.value == ValueId::NULL {
                    rows.null_is_written.insert(access.key);
                }
            }
        }
        for fields in &mut rows.fields {
            if fields.iter().any(|key| history.datatype(*key) != Datatype::Register) {
                fields.clear();
            }
        }
        for txn in history.txns().filter(|txn| txn.kind() != Kind::Fail) {
            for (row, written) in rows.written(history, txn) {
                if written.len() < rows.fields[row].len() {
                    rows.fields[row].clear();
                }
            }
        }
        rows
    }

    fn written(&self, history: &History, txn: Txn<'_>) -> BTreeMap<usize, BTreeSet<KeyId>> {
        let mut written: BTreeMap<usize, BTreeSet<KeyId>> = BTreeMap::new();
        for access in txn.accesses().filter(|access| writes_value(history, *access)) {
            if let Some(row) = self.of[access.key.index()] {
                written.entry(row).or_default().insert(access.key);
            }
        }
        written
    }

    /// Where the fields that `txn` read of each row came from. What it had written itself, and values
    /// of no, of several or of failed writers, say nothing.
    fn sources(
        &self,
        history: &History,
        writers: &Writers,
        txn: Txn<'_>,
    ) -> BTreeMap<usize, Vec<Source>> {
        let mut sources: BTreeMap<usize, Vec<Source>> = BTreeMap::new();
        let mut own: BTreeSet<usize> = BTreeSet::new();
        for access in txn.accesses() {
            let (key, value) = (access.key, access.value);
            let Some(row) = self.of[key.index()] else { continue };
            if writes_value(history, access) {
                own.insert(row);
            }
            let is_field = self.fields[row].contains(&key) && reads_value(history, access);
            if !is_field || own.contains(&row) {
                continue;
            }
            let writer = writers.first(key, value).filter(|writer| {
                !writers.is_ambiguous(key, value) && history.txn(*writer).kind() != Kind::Fail
            });
            let initial = value == ValueId::NULL && !self.null_is_written.contains(&key);
            let row = sources.entry(row).or_default();
            row.retain(|(field, _)| *field != key);
            if writer.is_some() || initial {
                row.push((key, writer));
            }
        }
        sources
    }
}

fn mixed(history: &History, read: Txn<'_>, sources: [Source; 2], lasting: Option<bool>) -> Anomaly {
    let told = sources.map(|(key, writer)| {
        let name = key_name(history, key);
        match writer.map(|writer| history.txn(writer)) {
            None => format!("{name} from before any write"),
            Some(writer) => format!("{name} of #{}", writer.index()),
        }
    });
    let meaning = match lasting {
        Some(true) => "every final read of the row is torn: the stored data are corrupt",
        Some(false) => "other final reads of the row are whole",
        None => "a failure of isolation, if later reads are whole",
    };
    let sentence = format!(
        "{} {}: {} with {}, a row that nobody wrote; {meaning}",
        session_name(history, read),
        deed(history, read, None),
        told[0],
        told[1],
    );
    let mut operations = vec![read.id];
    operations.extend(sources.iter().filter_map(|(_, writer)| *writer));
    // Of two writers one came first, but which nobody knows: there is no cycle to show.
    let cycle = match sources {
        [(seen, Some(writer)), (missed, None)] | [(missed, None), (seen, Some(writer))] => {
            half_row(history, read, history.txn(writer), [seen, missed])
        }
        _ => Vec::new(),
    };
    operations.sort_unstable();
    operations.dedup();
    Anomaly {
        property: Property::Torn,
        kind: "torn-row",
        set: vec![Property::Torn],
        key: Some(sources[0].0),
        session: Some(read.session()),
        operations,
        cycle,
        assumes: Vec::new(),
        sentence,
    }
}

/// The reader saw one field of the writer's row, and of another what was there before.
fn half_row(
    history: &History,
    read: Txn<'_>,
    writer: Txn<'_>,
    [seen, missed]: [KeyId; 2],
) -> Vec<Step> {
    let wrote = writer.accesses().filter(|one| one.key == missed).last();
    let wrote = shown(history, wrote.map_or(ValueId::UNKNOWN, |access| access.value));
    vec![
        Step {
            from: writer.id,
            to: read.id,
            edge: Edge::Wr,
            why: format!(
                "#{} read {} as #{} wrote it",
                read.index(),
                key_name(history, seen),
                writer.index()
            ),
        },
        Step {
            from: read.id,
            to: writer.id,
            edge: Edge::Rw,
            why: format!(
                "#{} read {} from before #{} wrote {wrote}",
                read.index(),
                key_name(history, missed),
                writer.index()
            ),
        },
    ]
}
