//! Lists and sets that only grow: their reads, ordered by what they contain, are one chain.
//!
//! ```text
//!   (empty) | reads of [] | append 4 | reads of [4] | append 7 | reads of [4 7] | never seen
//! ```
//!
//! The reads of a list must be prefixes of the longest one; those of a set must contain each other.
//! Then the order of the chain is the only one possible. What was acknowledged and never seen comes
//! after every read; what is indeterminate and never seen is left out (specification 1.2, rule 7).
//! Of several adds of one element to a set, that invoked first may be taken for the one that put it
//! there: in any linearization it can be moved to the place of the one that did. The others must
//! not come before a read without the element; they bind nobody else.

use crate::check::linear::chains::{Chains, Layer};
use crate::check::linear::growing_proof::{Growth, duplicate, incomparable};
use crate::check::linear::object::{Finding, Judgement, Numbers, Object};
use crate::history::{Datatype, Txn, TxnId, ValueId};
use crate::model::{Function, Kind};

/// The verdict on a list of unique elements or a set without removals; `None` if an element of a
/// list that was read was appended more than once.
pub(super) fn judge(object: &Object<'_>) -> Option<Judgement> {
    let reads = match reads(object) {
        Ok(reads) if reads.is_empty() => return Some(Judgement::Silent),
        Ok(reads) => reads,
        Err(odd) => return Some(odd),
    };
    let adds = Adds::new(object);
    if let Some(txn) = adds.untold {
        let index = object.txn(txn).index();
        let reason = format!("#{index} added an element that the history does not tell");
        return Some(Judgement::Unknown(reason));
    }
    let is_list = object.history.datatype(object.key) == Datatype::List;
    let steps = if is_list { list_steps(object, &reads) } else { set_steps(object, &reads) };
    let steps = match steps {
        Ok(steps) => steps,
        Err(finding) => return Some(Judgement::Violated(vec![finding], 1)),
    };
    if let Some(violated) = unwritten(object, &steps, &adds) {
        return Some(violated);
    }
    if is_list {
        match repeated(object, &steps, &adds) {
            Repeated::No => {}
            Repeated::Ambiguous => return None,
            Repeated::Proved(finding) => return Some(Judgement::Violated(vec![finding], 1)),
        }
    }
    let growth = Growth::new(object, steps, &adds);
    let (conflicts, count) = growth.chains.conflicts(object.limits.anomalies.max(1));
    if count == 0 {
        return Some(Judgement::Linearizable);
    }
    let mut findings: Vec<Finding> =
        conflicts.into_iter().filter_map(|conflict| growth.finding(conflict)).collect();
    findings.dedup_by(|one, other| one.operations == other.operations);
    Some(Judgement::Violated(findings, count))
}

/// A read that returned.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) txn: TxnId,
    pub(super) value: ValueId,
}

fn reads(object: &Object<'_>) -> Result<Vec<Seen>, Judgement> {
    let mut reads = Vec::new();
    for (txn, access) in object.accesses() {
        let returned = access.function == Function::Read
            && txn.kind() == Kind::Ok
            && access.value != ValueId::UNKNOWN;
        if !returned {
            continue;
        }
        if !object.history.values().is_list(access.value) {
            let reason = format!("#{} read something that is no list", txn.index());
            return Err(Judgement::Unknown(reason));
        }
        reads.push(Seen { txn: txn.id, value: access.value });
    }
    Ok(reads)
}

/// The possible adds of every element.
pub(super) struct Adds {
    numbers: Numbers,
    /// For every element the first add, by invocation.
    first: Vec<(ValueId, TxnId)>,
    /// Further adds of an element, by its number.
    further: Vec<(u32, TxnId)>,
    /// An add of nobody knows what.
    untold: Option<TxnId>,
}

impl Adds {
    fn new(object: &Object<'_>) -> Self {
        let (mut first, mut further) = (Vec::new(), Vec::new());
        let (mut numbers, mut untold) = (Numbers::new(object), None);
        for (txn, access) in object.accesses() {
            if !matches!(access.function, Function::Append | Function::Add) {
                continue;
            }
            if access.value == ValueId::UNKNOWN {
                untold = Some(txn.id);
                continue;
            }
            let next = first.len() as u32;
            let number = numbers.get_or(access.value, next);
            if number == next {
                first.push((access.value, txn.id));
            } else {
                further.push((number, txn.id));
            }
        }
        Self { numbers, first, further, untold }
    }

    /// The first possible add of an element.
    pub(super) fn of(&self, element: ValueId) -> Option<TxnId> {
        self.numbers.get(element).map(|number| self.first[number as usize].1)
    }

    fn times(&self, element: ValueId) -> usize {
        let Some(number) = self.numbers.get(element) else { return 0 };
        1 + self.further.iter().filter(|(one, _)| *one == number).count()
    }
}

/// What was added between two different reads, and the reads that saw just that more.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) elements: Vec<ValueId>,
    pub(super) reads: Vec<TxnId>,
}

/// A stage for every length of the longest read.
fn list_steps(object: &Object<'_>, reads: &[Seen]) -> Result<Vec<Stage>, Finding> {
    let values = object.history.values();
    // How long is each? A list shares its prefix with others, so each node is walked once.
    let mut lengths = Numbers::new(object);
    let (mut longest, mut length) = (reads[0], 0);
    for seen in reads {
        let mut path = Vec::new();
        let mut at = seen.value;
        let mut known = loop {
            match (lengths.get(at), values.split(at)) {
                (Some(known), _) => break known,
                (None, Some((prefix, _))) => path.push(std::mem::replace(&mut at, prefix)),
                (None, None) => break lengths.get_or(at, 0),
            }
        };
        for node in path.into_iter().rev() {
            known = lengths.get_or(node, known + 1);
        }
        if known > length {
            (longest, length) = (*seen, known);
        }
    }
    let mut stages: Vec<Stage> = vec![Stage::default()];
    stages.extend(
        values
            .elements(longest.value)
            .into_iter()
            .map(|element| Stage { elements: vec![element], reads: Vec::new() }),
    );
    let mut prefixes = vec![longest.value];
    while let Some((prefix, _)) = values.split(prefixes[prefixes.len() - 1]) {
        prefixes.push(prefix);
    }
    for seen in reads {
        let length = lengths.get(seen.value).unwrap_or(0) as usize;
        if prefixes[prefixes.len() - 1 - length] != seen.value {
            return Err(incomparable(object, *seen, longest));
        }
        stages[length].reads.push(seen.txn);
    }
    Ok(stages)
}

/// A stage for every different read of a set.
fn set_steps(object: &Object<'_>, reads: &[Seen]) -> Result<Vec<Stage>, Finding> {
    let values = object.history.values();
    // One list of elements for each different value; `number` finds it.
    let mut numbers = Numbers::new(object);
    let mut sets: Vec<(Vec<ValueId>, Vec<TxnId>, Seen)> = Vec::new();
    for seen in reads {
        let number = numbers.get_or(seen.value, sets.len() as u32) as usize;
        if number == sets.len() {
            let mut elements = values.elements(seen.value);
            elements.sort_unstable();
            elements.dedup();
            sets.push((elements, Vec::new(), *seen));
        }
        sets[number].1.push(seen.txn);
    }
    sets.sort_by_key(|(elements, ..)| elements.len());
    let mut stages: Vec<Stage> = vec![Stage::default()];
    let mut before: Option<(Vec<ValueId>, Seen)> = None;
    for (elements, readers, seen) in sets {
        let old = before.as_ref().map_or(&[][..], |(elements, _)| elements);
        let added: Vec<ValueId> =
            elements.iter().filter(|one| old.binary_search(one).is_err()).copied().collect();
        if let Some((old, earlier)) = &before
            && elements.len() - added.len() < old.len()
        {
            return Err(incomparable(object, *earlier, seen));
        }
        if added.is_empty() {
            // The same set in another order, or the empty one.
            stages.last_mut().expect("begins with one").reads.extend(readers);
        } else {
            stages.push(Stage { elements: added, reads: readers });
        }
        before = Some((elements, seen));
    }
    Ok(stages)
}

/// Elements that nobody added, or only operations that failed.
fn unwritten(object: &Object<'_>, stages: &[Stage], adds: &Adds) -> Option<Judgement> {
    let (mut findings, mut count) = (Vec::new(), 0);
    let later_reader = |at: usize| stages[at..].iter().flat_map(|stage| &stage.reads).min();
    for (at, stage) in stages.iter().enumerate() {
        for element in stage.elements.iter().filter(|one| adds.numbers.get(**one).is_none()) {
            count += 1;
            if findings.len() < object.limits.anomalies.max(1)
                && let Some(reader) = later_reader(at)
            {
                findings.push(object.unwritten(object.txn(*reader), *element, "element "));
            }
        }
    }
    (count > 0).then_some(Judgement::Violated(findings, count))
}

enum Repeated {
    No,
    Ambiguous,
    Proved(Finding),
}

/// Elements that a list shows more than once, or that were appended more than once and seen.
fn repeated(object: &Object<'_>, stages: &[Stage], adds: &Adds) -> Repeated {
    let mut shown = vec![0_u32; adds.first.len()];
    let mut verdict = Repeated::No;
    for (at, stage) in stages.iter().enumerate() {
        for element in &stage.elements {
            let Some(number) = adds.numbers.get(*element) else { continue };
            shown[number as usize] += 1;
            let times = shown[number as usize];
            if times > 1 && times as usize > adds.times(*element) {
                let reader = stages[at..].iter().flat_map(|stage| &stage.reads).min();
                if let (Some(reader), Some(add)) = (reader, adds.of(*element)) {
                    let [reader, add] = [*reader, add].map(|id| object.txn(id));
                    return Repeated::Proved(duplicate(object, reader, add, *element, times));
                }
            }
        }
    }
    if adds.further.iter().any(|(number, _)| shown[*number as usize] > 0) {
        verdict = Repeated::Ambiguous;
    }
    verdict
}

impl<'a> Growth<'a> {
    fn new(object: &'a Object<'a>, mut stages: Vec<Stage>, adds: &Adds) -> Self {
        let mut stage_of = vec![stages.len() as u32; adds.first.len()];
        for (at, stage) in stages.iter().enumerate() {
            for element in &stage.elements {
                if let Some(number) = adds.numbers.get(*element) {
                    stage_of[number as usize] = at as u32;
                }
            }
        }
        let txn = |id: TxnId| -> Txn<'a> { object.txn(id) };
        let mut layers = vec![Layer::EMPTY; 2 * stages.len() + 1];
        layers[0] = Layer::INITIAL;
        let mut unseen = Vec::new();
        for ((element, id), stage) in adds.first.iter().zip(&stage_of) {
            let stage = *stage as usize;
            if stage < stages.len() {
                layers[2 * stage].join(Layer::of(txn(*id)));
            } else if txn(*id).is_ok() {
                unseen.push(*element);
                layers[2 * stage].join(Layer::of(txn(*id)));
            }
        }
        for (number, id) in adds.further.iter().filter(|(_, id)| txn(*id).is_ok()) {
            let stage = stage_of[*number as usize] as usize;
            if stage == stages.len() {
                unseen.push(adds.first[*number as usize].0);
            }
            layers[2 * stage]
                .join(Layer { last_call: Layer::EMPTY.last_call, ..Layer::of(txn(*id)) });
        }
        for (at, stage) in stages.iter().enumerate() {
            stage.reads.iter().for_each(|id| layers[2 * at + 1].join(Layer::of(txn(*id))));
        }
        stages.push(Stage { elements: unseen, reads: Vec::new() });
        let mut chains = Chains::with_capacity(layers.len());
        for layer in layers {
            chains.push(layer);
        }
        chains.close();
        Self { object, chains, stages }
    }
}
