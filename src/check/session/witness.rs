//! From a conflict to the smallest witness, its cycle and a sentence.

use std::collections::BTreeSet;

use crate::check::session::guarantees::Guarantees;
use crate::check::session::model::Model;
use crate::check::session::view::{Answer, Demand, Question, Why};
use crate::check::session::visible::{Reason, explain};
use crate::check::words::{deed, key_name, session_name};
use crate::check::{Anomaly, Assumption, Edge, Property, Step};
use crate::history::{Datatype, KeyId, SessionId, Txn, TxnId};

/// The anomaly behind an answer that is no view: a smallest set of operations (none can be left out)
/// that still has views for no guarantees, and none for a smallest set of the guarantees asked for.
///
/// `None` if the operations contradict each other, or an assumption, without any guarantee.
pub(super) fn witness(question: &Question<'_>, answer: &Answer) -> Option<(Guarantees, Anomaly)> {
    let spoken = involved(question, answer);
    let closed = with_sources(question.model, spoken.clone());
    // Large transactions read from each other until all are in it: then only the reads that the
    // conflict speaks of are kept. Fewer reads demand less, so what is refuted stays refuted.
    let part: fn(&Model, &[u32]) -> Option<Model> =
        if closed.len() <= LARGEST { Model::restrict } else { |model, ops| Some(model.part(ops)) };
    let ops = if closed.len() <= LARGEST { closed } else { with_lists(question.model, spoken) };
    let model = part(question.model, &ops)?;
    let (guarantees, assume) = smallest_sets(question, &model)?;
    let refuted = |model: &Model| {
        let ask =
            |guarantees| Question { model, guarantees, assume: &assume, ..*question }.answer();
        let contradicts = |answer| matches!(answer, Answer::Missing { .. } | Answer::Cycle(_));
        contradicts(ask(guarantees)) && !contradicts(ask(Guarantees::NONE))
    };
    let model = shrink(model, part, refuted);
    let question = Question { model: &model, guarantees, assume: &assume, ..*question };
    let anomaly = Story { question }.anomaly(&question.answer());
    Some((guarantees, anomaly))
}

/// The largest witness of which everything that it reads from is a part, and that is made smaller.
const LARGEST: usize = 300;

/// The operations a conflict speaks of.
fn involved(question: &Question<'_>, answer: &Answer) -> BTreeSet<u32> {
    let mut ops = BTreeSet::new();
    let reasons = |read: u32, write: u32, ops: &mut BTreeSet<u32>| {
        ops.insert(read);
        let chain = explain(question.model, question.session, question.guarantees, read, write);
        for (op, reason) in chain {
            ops.insert(op);
            if let Reason::Read(by) | Reason::ReadBefore(_, by) = reason {
                ops.insert(by);
            }
        }
    };
    match answer {
        Answer::Missing { read, write, .. } => reasons(*read, *write, &mut ops),
        Answer::Cycle(demands) => {
            for demand in demands {
                ops.extend([demand.before, demand.after]);
                match demand.why {
                    Why::Seen(by) => reasons(by, demand.before, &mut ops),
                    Why::ReadBefore(by) | Why::Listed(by) => {
                        ops.insert(by);
                    }
                    Why::Assumed(Assumption::WritesFollowReads) => {
                        ops.extend(question.reader(demand.before, demand.after));
                    }
                    Why::Assumed(Assumption::StoreVersions) => {
                        for write in [demand.before, demand.after] {
                            ops.extend((0..question.model.len() as u32).find(|op| {
                                question.told_by(*op).is_some_and(|told| told.2 == write)
                            }));
                        }
                    }
                    Why::Session | Why::Own | Why::Update | Why::Assumed(_) => {}
                }
            }
        }
        Answer::Exists | Answer::Spent => {}
    }
    ops
}

/// Operations with all that they read from, and so on.
fn with_sources(model: &Model, mut ops: BTreeSet<u32>) -> Vec<u32> {
    let mut unread: Vec<u32> = ops.iter().copied().collect();
    while let Some(op) = unread.pop() {
        for source in model.read_from(op) {
            if ops.insert(source) {
                unread.push(source);
            }
        }
    }
    ops.into_iter().collect()
}

/// Operations with the writers of the lists and sets that they read: of such a read there is no part.
fn with_lists(model: &Model, mut ops: BTreeSet<u32>) -> Vec<u32> {
    for op in ops.clone() {
        let lists = model.reads(op).iter().filter(|read| read.datatype != Datatype::Register);
        ops.extend(lists.flat_map(|read| model.sources(read)));
    }
    ops.into_iter().collect()
}

/// The smallest sets of guarantees and of assumptions that have no view together.
fn smallest_sets(question: &Question<'_>, model: &Model) -> Option<(Guarantees, Vec<Assumption>)> {
    let mut choices: Vec<Vec<Assumption>> = (0..1_u32 << question.assume.len())
        .map(|bits| {
            let chosen = (0..).zip(question.assume).filter(|(at, _)| bits >> at & 1 == 1);
            chosen.map(|(_, one)| *one).collect()
        })
        .collect();
    choices.sort_by_key(Vec::len);
    for assume in choices {
        let ask = |guarantees| {
            let question = Question { model, guarantees, assume: &assume, ..*question };
            !matches!(question.answer(), Answer::Exists | Answer::Spent)
        };
        if ask(Guarantees::NONE) {
            return None;
        }
        if let Some(smallest) = question.guarantees.subsets().find(|set| ask(*set)) {
            return Some((smallest, assume));
        }
    }
    None
}

/// Leaves out one operation after the other while the rest still refutes.
fn shrink(
    mut model: Model,
    part: fn(&Model, &[u32]) -> Option<Model>,
    refuted: impl Fn(&Model) -> bool,
) -> Model {
    // The reads of a list need the writer of each element: nothing can be gained there.
    if model.len() > LARGEST {
        return model;
    }
    loop {
        let all: Vec<u32> = (0..model.len() as u32).collect();
        let smaller = all.iter().rev().find_map(|out| {
            // An operation goes together with the reads that name it.
            let rest: Vec<u32> = all.iter().copied().filter(|op| op != out).collect();
            part(&model, &rest).filter(&refuted)
        });
        match smaller {
            Some(smaller) => model = smaller,
            None => return model,
        }
    }
}

/// A question about a witness, and how to tell its answer.
struct Story<'q> {
    question: Question<'q>,
}

impl<'q> Story<'q> {
    fn txn(&self, op: u32) -> Txn<'q> {
        self.question.history.txn(self.question.model.txns[op as usize])
    }

    fn anomaly(&self, answer: &Answer) -> Anomaly {
        let question = &self.question;
        let properties = question.guarantees.properties();
        let (cycle, key) = match answer {
            Answer::Missing { read, key, write } => (self.missing(*read, *key, *write), Some(*key)),
            Answer::Cycle(demands) => (self.cycle(demands), self.only_key()),
            Answer::Exists | Answer::Spent => (Vec::new(), self.only_key()),
        };
        Anomaly {
            property: properties.first().copied().unwrap_or(Property::Sess4),
            kind: kind(question.guarantees),
            set: properties,
            key,
            session: Some(SessionId(question.session)),
            operations: question.model.txns.clone(),
            cycle,
            assumes: question.assume.to_vec(),
            sentence: self.sentence(),
        }
    }

    /// The key, if the whole witness is about one.
    fn only_key(&self) -> Option<KeyId> {
        let model = self.question.model;
        let mut keys = (0..model.len() as u32).flat_map(|op| {
            let read = model.reads(op).iter().map(|read| read.key);
            model.writes(op).iter().copied().chain(read)
        });
        let first = keys.next()?;
        keys.all(|key| key == first).then_some(first)
    }

    fn step(&self, from: u32, to: u32, edge: Edge, why: String) -> Step {
        Step { from: self.txn(from).id, to: self.txn(to).id, edge, why }
    }

    fn session_step(&self, from: u32, to: u32) -> Step {
        let session = session_name(self.question.history, self.txn(from));
        let (one, other) = (self.txn(from).index(), self.txn(to).index());
        self.step(from, to, Edge::So, format!("{session} did #{one} before #{other}"))
    }

    fn read_step(&self, write: u32, read: u32) -> Step {
        let (one, other) = (self.txn(write).index(), self.txn(read).index());
        self.step(write, read, Edge::Wr, format!("#{other} read what #{one} wrote"))
    }

    /// The write leads, step by step, to the read that had to show it, and the read back to it.
    fn missing(&self, read: u32, key: KeyId, write: u32) -> Vec<Step> {
        let mut steps = self.visible(read, write);
        let key = key_name(self.question.history, key);
        let (one, other) = (self.txn(read).index(), self.txn(write).index());
        let why = format!("#{one} shows {key} without #{other}");
        steps.push(self.step(read, write, Edge::Rw, why));
        steps
    }

    /// Why a write must be visible to a read, as steps from the one to the other.
    fn visible(&self, read: u32, write: u32) -> Vec<Step> {
        let question = &self.question;
        let chain = explain(question.model, question.session, question.guarantees, read, write);
        let mut steps = Vec::new();
        for (op, reason) in chain.into_iter().rev() {
            match reason {
                Reason::Before(later) => steps.push(self.session_step(op, later)),
                Reason::ReadBefore(later, by) => {
                    steps.push(self.read_step(op, by));
                    if by != later {
                        steps.push(self.session_step(by, later));
                    }
                }
                Reason::Own => steps.push(self.session_step(op, read)),
                Reason::Read(by) => {
                    steps.push(self.read_step(op, by));
                    if by != read {
                        steps.push(self.session_step(by, read));
                    }
                }
            }
        }
        steps
    }

    fn cycle(&self, demands: &[Demand]) -> Vec<Step> {
        let mut steps = Vec::new();
        for Demand { before, after, why } in demands.iter().copied() {
            let (one, other) = (self.txn(before).index(), self.txn(after).index());
            match why {
                Why::Session | Why::Own => steps.push(self.session_step(before, after)),
                Why::Update => steps.push(self.read_step(before, after)),
                Why::ReadBefore(by) => {
                    steps.push(self.read_step(before, by));
                    steps.push(self.session_step(by, after));
                }
                Why::Listed(by) => {
                    let why = format!(
                        "#{} lists what #{one} appended before what #{other} appended",
                        self.txn(by).index()
                    );
                    steps.push(self.step(before, after, Edge::Ww, why));
                }
                Why::Seen(by) => {
                    let chain: Vec<String> =
                        self.visible(by, before).into_iter().map(|step| step.why).collect();
                    let why = format!(
                        "#{} returned what #{other} wrote although it had to know of #{one} ({})",
                        self.txn(by).index(),
                        chain.join("; ")
                    );
                    steps.push(self.step(before, after, Edge::Ww, why));
                }
                Why::Assumed(assumption) => {
                    let edge = match assumption {
                        Assumption::WritesInRealTimeOrder => Edge::Rt,
                        Assumption::WritesInSessionOrder => Edge::So,
                        Assumption::WritesFollowReads | Assumption::StoreVersions => Edge::Ww,
                    };
                    let why = format!("assumed: {}", spoken(assumption));
                    steps.push(self.step(before, after, edge, why));
                }
            }
        }
        steps
    }

    /// What the session did, what other sessions did, and what is wrong with it.
    fn sentence(&self) -> String {
        let question = &self.question;
        let (history, model) = (question.history, question.model);
        let mut others: BTreeSet<SessionId> = BTreeSet::new();
        for op in 0..model.len() as u32 {
            others.insert(self.txn(op).session());
        }
        let session = SessionId(question.session);
        let mut sentence = self.deeds(session);
        others.remove(&session);
        let mut joint = " while ";
        for other in others {
            let count =
                model.txns.iter().filter(|txn| history.txn(**txn).session() == other).count();
            if count > 1 {
                sentence.push_str(joint);
                sentence.push_str(&self.deeds(other));
                joint = " and ";
            }
        }
        sentence.push_str(verdict(question.guarantees));
        if !question.assume.is_empty() {
            let names: Vec<&str> =
                question.guarantees.properties().iter().map(|one| one.name()).collect();
            let assumed: Vec<&str> = question.assume.iter().map(|one| spoken(*one)).collect();
            let (names, both) = (names.join(" ∧ "), assumed.join(" ∧ "));
            sentence.push_str("; that is ¬(");
            sentence.push_str(&names);
            sentence.push_str(" ∧ ");
            sentence.push_str(&both);
            sentence.push_str("): the proof takes for granted that the store keeps ");
            sentence.push_str(&assumed.join(" and "));
        }
        sentence
    }

    /// `session 2 read x = 1 (#2), then read x = 2 (#3), then read x = 1 (#4) again`.
    fn deeds(&self, session: SessionId) -> String {
        let history = self.question.history;
        let txns: Vec<Txn<'_>> = self
            .question
            .model
            .txns
            .iter()
            .map(|txn| history.txn(*txn))
            .filter(|txn| txn.session() == session)
            .collect();
        let mut told: Vec<String> = Vec::new();
        let mut seen: Vec<TxnId> = Vec::new();
        for txn in txns {
            let again = seen.iter().any(|one| reads_the_same(history.txn(*one), txn));
            let mut one = deed(history, txn, None);
            if again {
                one.push_str(" again");
            }
            told.push(one);
            seen.push(txn.id);
        }
        format!("session {} {}", history.session_name(session), in_a_row(&told))
    }
}

/// Deeds one after another; of many only the first and the last, where the reason mostly is.
fn in_a_row(deeds: &[String]) -> String {
    const TOLD: usize = 6;
    const FIRST: usize = 2;
    if deeds.len() <= TOLD {
        return deeds.join(", then ");
    }
    let (first, rest) = deeds.split_at(FIRST);
    let (between, last) = rest.split_at(deeds.len() - TOLD);
    let (first, last) = (first.join(", then "), last.join(", then "));
    format!("{first}, then {} more, then {last}", between.len())
}

fn reads_the_same(one: Txn<'_>, other: Txn<'_>) -> bool {
    !one.writes() && one.accesses().eq(other.accesses())
}

fn spoken(assumption: Assumption) -> &'static str {
    match assumption {
        Assumption::WritesInSessionOrder => "writes in session order",
        Assumption::WritesInRealTimeOrder => "writes in real-time order",
        Assumption::WritesFollowReads => "writes after what was read",
        Assumption::StoreVersions => "the order of the versions it gave",
    }
}

/// What a smallest set of guarantees that cannot hold together is called.
fn kind(guarantees: Guarantees) -> &'static str {
    use Property as P;
    match guarantees.properties().as_slice() {
        [P::Mr] => "non-monotonic-read",
        [P::Ryw] => "own-write-missing",
        [P::Mw] => "writes-reordered",
        [P::Wfr] | [P::Mr, P::Wfr] => "answer-before-question",
        [P::Mr, P::Mw] => "reads-or-writes-reordered",
        _ => "no-session-view",
    }
}

fn verdict(guarantees: Guarantees) -> &'static str {
    use Property as P;
    match guarantees.properties().as_slice() {
        [P::Mr] => ": what it had seen it does not see any more",
        [P::Ryw] => ": its own acknowledged write is missing",
        [P::Mw] => ": a later write of one session took effect without the earlier one",
        [P::Wfr] => ": a write is visible without what its session had read before making it",
        [P::Mr, P::Mw] => {
            ": either its reads went backwards or the writes were reordered; the history cannot tell which"
        }
        [P::Mr, P::Wfr] => {
            ": either its reads went backwards or an answer became visible before its question; \
             the history cannot tell which"
        }
        [P::Ryw, P::Mr] => {
            ": no order of the writes lets it both see its own writes and never see less than before"
        }
        _ => ": no order of the writes fits all the guarantees together",
    }
}
