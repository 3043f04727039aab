//! Mutual exclusion, fencing tokens and leadership: LOCK, FENCE and LEADER (ANOMALIES section 7).
//!
//! An indeterminate acquisition holds nothing for certain; a release ends a hold when it is invoked,
//! whatever becomes of it. Whoever releases and is refused may have lost the lock long before.

use std::collections::BTreeMap;

use crate::check::tally::Tally;
use crate::check::words::{key_name, session_name, shown};
use crate::check::{Anomaly, Edge, Limits, Property, Step, Verdict};
use crate::history::{Datatype, History, KeyId, Rank, Txn, TxnId};
use crate::model::{Function, Kind, Value};

/// The verdicts on locks, their tokens and leadership; none of what is not in the history.
///
/// `Verdict::count` counts acquisitions or claims that conflict with an earlier one. O(n log n).
pub fn check(history: &History, limits: &Limits) -> Vec<Verdict> {
    let by_key = history.by_key();
    let of = |wanted: Datatype| {
        let keys = history.keys().filter(move |key| history.datatype(*key) == wanted);
        keys.map(|key| (key, by_key.group(key.0)))
    };
    let (mut holds, mut tokens, mut claims) = (Vec::new(), Vec::new(), Vec::new());
    for (key, txns) in of(Datatype::Lock) {
        holds.push((key, acquisitions(history, txns)));
        tokens.push((key, Token::all(history, key, txns)));
    }
    for (key, txns) in of(Datatype::Leadership) {
        claims.push((key, Claim::all(history, txns)));
    }
    let mut verdicts = Vec::new();
    if !holds.is_empty() {
        verdicts.push(exclusion(history, limits, &holds));
    }
    if tokens.iter().any(|(_, tokens)| !tokens.is_empty()) {
        verdicts.push(fencing(history, limits, &tokens));
    }
    if !claims.is_empty() {
        verdicts.push(leadership(history, limits, &claims));
    }
    verdicts
}

/// An acquisition that succeeded.
#[derive(Clone, Copy)]
struct Acquisition<'h> {
    acquire: Txn<'h>,
    /// What ended it. Without that, nobody knows whether it was held any longer than an instant.
    release: Option<Txn<'h>>,
}

/// Every acquisition of one lock that succeeded, in order of return.
fn acquisitions<'h>(history: &'h History, txns: &[TxnId]) -> Vec<Acquisition<'h>> {
    let mut next_release: BTreeMap<u32, Txn<'h>> = BTreeMap::new();
    let mut acquisitions = Vec::new();
    for txn in txns.iter().rev().map(|id| history.txn(*id)) {
        let session = txn.session().0;
        match txn.function() {
            Function::Release => {
                next_release.insert(session, txn);
            }
            Function::Acquire if txn.is_ok() => {
                let after = next_release.get(&session).filter(|release| txn.precedes(**release));
                let release = after.copied().filter(|release| !is_refused(*release));
                acquisitions.push(Acquisition { acquire: txn, release });
            }
            _ => {}
        }
    }
    acquisitions.sort_by_key(|one| one.acquire.returned());
    acquisitions
}

/// Whether a release certainly did nothing: the lock may have been lost before.
fn is_refused(release: Txn<'_>) -> bool {
    release.kind() == Kind::Fail
}

/// LOCK: two sessions held the lock at one time, or one got it while another held it.
fn exclusion(
    history: &History,
    limits: &Limits,
    locks: &[(KeyId, Vec<Acquisition<'_>>)],
) -> Verdict {
    let mut tally = Tally::new(Property::Lock, limits);
    for (key, acquisitions) in locks {
        if acquisitions.iter().any(|one| one.release.is_some()) {
            tally.judged();
        }
        for (one, other) in double_holds(acquisitions) {
            tally.violated(|| double_hold(history, *key, &one, &other));
        }
    }
    if locks.iter().all(|(_, acquisitions)| acquisitions.is_empty()) {
        return tally.verdict("no lock was acquired for certain");
    }
    tally.verdict("no lock was given back, so nobody knows how long any was held")
}

/// For each acquisition one that excludes it, if there is any.
fn double_holds<'h>(acquisitions: &[Acquisition<'h>]) -> Vec<(Acquisition<'h>, Acquisition<'h>)> {
    let mut found = Vec::new();
    let mut longest = Longest::default();
    let (mut spans, mut holders, mut probes) = (Vec::new(), Vec::new(), Vec::new());
    for (at, one) in (0..).zip(acquisitions) {
        let (from, session) = (one.acquire.returned(), one.acquire.session().0);
        let Some(release) = one.release else {
            // It had the lock at some instant between its call and its return.
            probes.push((session, one.acquire));
            continue;
        };
        let until = release.invoked();
        if let Some((end, other)) = longest.other_than(session)
            && from < end
        {
            found.push((acquisitions[other as usize], *one));
        }
        longest.add(until, session, at);
        spans.push((session, from, until));
        holders.push(*one);
    }
    probes.sort_by_key(|(_, acquire)| acquire.invoked());
    for (probe, span) in enclosed(&spans, &probes) {
        let one = Acquisition { acquire: probes[probe].1, release: None };
        found.push((holders[span], one));
    }
    found
}

/// The operations, in order of invocation, that lie within an interval of another owner, each with
/// such an interval; intervals are in order of their beginning.
fn enclosed(spans: &[(u32, Rank, Rank)], probes: &[(u32, Txn<'_>)]) -> Vec<(usize, usize)> {
    let (mut longest, mut begun, mut found) = (Longest::default(), 0, Vec::new());
    for (at, (owner, probe)) in probes.iter().enumerate() {
        while let Some((holder, from, until)) = spans.get(begun)
            && *from < probe.invoked()
        {
            longest.add(*until, *holder, begun as u32);
            begun += 1;
        }
        if let Some((until, span)) = longest.other_than(*owner)
            && probe.returned() < until
        {
            found.push((at, span as usize));
        }
    }
    found
}

/// The intervals that end last, of two different owners.
#[derive(Default)]
struct Longest([Option<(Rank, u32, u32)>; 2]);

impl Longest {
    fn add(&mut self, until: Rank, owner: u32, number: u32) {
        let [first, second] = &mut self.0;
        let new = Some((until, owner, number));
        if first.is_some_and(|first| first.1 == owner) {
            *first = (*first).max(new);
        } else if *first < new {
            *second = *first;
            *first = new;
        } else if *second < new {
            *second = new;
        }
    }

    /// The one that ends last, of another owner than this.
    fn other_than(&self, owner: u32) -> Option<(Rank, u32)> {
        let other = self.0.iter().flatten().find(|one| one.1 != owner)?;
        Some((other.0, other.2))
    }
}

/// What ended a hold, unless it began within another, whatever its end.
fn needed_release<'h>(hold: &Acquisition<'h>, other: &Acquisition<'h>) -> Option<Txn<'h>> {
    let is_within = other.release.is_some_and(|release| {
        other.acquire.precedes(hold.acquire) && hold.acquire.precedes(release)
    });
    hold.release.filter(|_| !is_within)
}

fn double_hold(
    history: &History,
    key: KeyId,
    one: &Acquisition<'_>,
    other: &Acquisition<'_>,
) -> Anomaly {
    let name = key_name(history, key);
    // Whoever got it within the hold of another had it too soon, whenever it was given back.
    let [first, second] = [needed_release(one, other), needed_release(other, one)];
    let end = |release: Option<Txn<'_>>| match release {
        Some(release) => {
            format!(" and gave it back at {} (#{})", release.invoked_at(), release.index())
        }
        None => String::new(),
    };
    let sentence = format!(
        "{} held {name} from {} (#{}){}, but {} got it too at {} (#{}){}",
        session_name(history, one.acquire),
        one.acquire.returned_at(),
        one.acquire.index(),
        end(first),
        session_name(history, other.acquire),
        other.acquire.returned_at(),
        other.acquire.index(),
        end(second),
    );
    let txns = [Some(one.acquire), first, Some(other.acquire), second];
    let operations = txns.into_iter().flatten().map(|txn| txn.id).collect();
    anomaly(Property::Lock, "double-hold", Some(key), operations, Vec::new(), sentence)
}

/// A fencing token that came with a lock.
#[derive(Clone, Copy)]
struct Token<'h> {
    acquire: Txn<'h>,
    number: Option<i64>,
}

impl<'h> Token<'h> {
    /// Every token of one lock, in order of invocation.
    fn all(history: &'h History, key: KeyId, txns: &[TxnId]) -> Vec<Self> {
        let acquires = txns.iter().map(|id| history.txn(*id));
        let acquires = acquires.filter(|txn| txn.is_ok() && txn.function() == Function::Acquire);
        let tokens = acquires.filter_map(|acquire| {
            let access = acquire.accesses().find(|access| access.key == key)?;
            let value = history.values().value(access.value);
            (value != Value::Null).then(|| Self { acquire, number: value.as_int() })
        });
        tokens.collect()
    }
}

/// FENCE: a token that is not greater than one that was handed out before, or is handed out twice.
fn fencing(history: &History, limits: &Limits, locks: &[(KeyId, Vec<Token<'_>>)]) -> Verdict {
    let mut tally = Tally::new(Property::Fence, limits);
    for (key, tokens) in locks {
        let mut numbered: Vec<(i64, Txn<'_>)> = Vec::with_capacity(tokens.len());
        for token in tokens {
            match token.number {
                Some(number) => numbered.push((number, token.acquire)),
                None => tally.doubt(|| {
                    let acquire = token.acquire.index();
                    format!("the token of #{acquire} is no number, so nobody knows what is greater")
                }),
            }
        }
        let mut returns: Vec<(Rank, usize)> =
            numbered.iter().map(|(_, txn)| txn.returned()).zip(0..).collect();
        returns.sort_unstable();
        let mut returns = returns.into_iter().peekable();
        let mut greatest: Option<(i64, usize)> = None;
        let mut given: BTreeMap<i64, usize> = BTreeMap::new();
        for (at, (number, acquire)) in numbered.iter().enumerate() {
            tally.judged();
            while let Some((_, done)) = returns.next_if(|next| next.0 < acquire.invoked()) {
                greatest = greatest.max(Some((numbered[done].0, done)));
            }
            let before = greatest.filter(|(before, _)| before >= number).map(|one| one.1);
            let twin = given.insert(*number, at);
            let Some(other) = before.or(twin) else { continue };
            tally.violated(|| no_growth(history, *key, numbered[other], (*number, *acquire)));
        }
    }
    tally.verdict("no token was handed out")
}

fn no_growth(
    history: &History,
    key: KeyId,
    (before, one): (i64, Txn<'_>),
    (after, other): (i64, Txn<'_>),
) -> Anomaly {
    let sentence = format!(
        "{} got {} with token {after} at {} (#{}), but {} had got it with token {before} (#{}): the token did not grow",
        session_name(history, other),
        key_name(history, key),
        other.returned_at(),
        other.index(),
        session_name(history, one),
        one.index(),
    );
    let mut cycle = Vec::new();
    if one.precedes(other) && before > after {
        let why = format!("#{} returned before #{} was invoked", one.index(), other.index());
        cycle.push(Step { from: one.id, to: other.id, edge: Edge::Rt, why });
        let why = format!("token {after} is less than token {before}");
        cycle.push(Step { from: other.id, to: one.id, edge: Edge::Ww, why });
    }
    let operations = vec![one.id, other.id];
    anomaly(Property::Fence, "token-not-growing", Some(key), operations, cycle, sentence)
}

/// A node said that it leads.
#[derive(Clone)]
struct Claim<'h> {
    txn: Txn<'h>,
    node: u32,
    term: Option<Value>,
    /// Stays the same as long as the node leads without interruption.
    epoch: Option<Value>,
}

impl<'h> Claim<'h> {
    /// Every claim, in order of invocation. A node that says nothing of a term or an epoch claims nothing.
    fn all(history: &'h History, txns: &[TxnId]) -> Vec<Self> {
        let claims = txns.iter().map(|id| history.txn(*id)).filter(|txn| txn.is_ok());
        let claims = claims.filter_map(|txn| {
            let access = txn.accesses().find(|access| access.function == Function::Leader)?;
            let Value::Map(fields) = history.values().value(access.value) else { return None };
            let field = |name: &str| {
                let found = fields.iter().find(|(field, _)| field.as_text() == Some(name));
                found.map(|(_, value)| value.clone()).filter(|value| *value != Value::Null)
            };
            Some(Self { txn, node: txn.node()?.0, term: field("term"), epoch: field("epoch") })
        });
        claims.collect()
    }
}

/// LEADER: two nodes lead in one term, or one leads while another does without interruption.
fn leadership(history: &History, limits: &Limits, claims: &[(KeyId, Vec<Claim<'_>>)]) -> Verdict {
    let mut tally = Tally::new(Property::Leader, limits);
    for (key, claims) in claims {
        if claims.iter().any(|claim| claim.term.is_some() || claim.epoch.is_some()) {
            tally.judged();
        }
        let mut find = |kind, proof: &[&Claim<'_>], sentence: &dyn Fn() -> String| {
            let proof = proof.iter().map(|claim| claim.txn.id).collect();
            let key = Some(*key);
            tally.violated(|| anomaly(Property::Leader, kind, key, proof, Vec::new(), sentence()));
        };
        for (one, other) in two_in_a_term(claims) {
            let sentence = || two_leaders(history, one, other);
            find("two-leaders-in-a-term", &[one, other], &sentence);
        }
        for (first, inside, last) in inside_an_epoch(claims) {
            let sentence = || split_brain(history, first, inside, last);
            find("split-brain", &[first, inside, last], &sentence);
        }
    }
    tally.verdict(
        "no node told the term or the epoch that it leads in: two leaders at different times prove nothing",
    )
}

fn two_in_a_term<'c, 'h>(claims: &'c [Claim<'h>]) -> Vec<(&'c Claim<'h>, &'c Claim<'h>)> {
    let mut first: BTreeMap<&Value, &Claim<'h>> = BTreeMap::new();
    let mut found = Vec::new();
    for claim in claims {
        let Some(term) = &claim.term else { continue };
        let one = *first.entry(term).or_insert(claim);
        if one.node != claim.node {
            found.push((one, claim));
        }
    }
    found
}

fn two_leaders(history: &History, one: &Claim<'_>, other: &Claim<'_>) -> String {
    let name = |claim: &Claim<'_>| {
        let node = &history.nodes()[claim.node as usize];
        format!("{node} at {} (#{})", claim.txn.returned_at(), claim.txn.index())
    };
    let term = one.term.as_ref().unwrap_or(&Value::Null);
    format!("two nodes led in term {term}: {} and {}", name(one), name(other))
}

/// A claim between the first and the last of an epoch of another node.
type Inside<'c, 'h> = (&'c Claim<'h>, &'c Claim<'h>, &'c Claim<'h>);

fn inside_an_epoch<'c, 'h>(claims: &'c [Claim<'h>]) -> Vec<Inside<'c, 'h>> {
    // From the first return of each epoch to its last invocation.
    let mut spans: BTreeMap<(u32, &Value), (&Claim<'h>, &Claim<'h>)> = BTreeMap::new();
    for claim in claims {
        let Some(epoch) = &claim.epoch else { continue };
        let (first, last) = spans.entry((claim.node, epoch)).or_insert((claim, claim));
        if claim.txn.returned() < first.txn.returned() {
            *first = claim;
        }
        *last = claim;
    }
    let mut spans: Vec<(&Claim<'h>, &Claim<'h>)> = spans.into_values().collect();
    spans.sort_by_key(|(first, _)| first.txn.returned());
    let intervals: Vec<(u32, Rank, Rank)> = (spans.iter())
        .map(|(first, last)| (first.node, first.txn.returned(), last.txn.invoked()))
        .collect();
    let probes: Vec<(u32, Txn<'h>)> = claims.iter().map(|claim| (claim.node, claim.txn)).collect();
    let found = enclosed(&intervals, &probes).into_iter();
    found.map(|(probe, span)| (spans[span].0, &claims[probe], spans[span].1)).collect()
}

fn split_brain(
    history: &History,
    first: &Claim<'_>,
    inside: &Claim<'_>,
    last: &Claim<'_>,
) -> String {
    let node = |claim: &Claim<'_>| &history.nodes()[claim.node as usize];
    let value = inside.txn.accesses().next();
    format!(
        "{} led without interruption from {} (#{}) to {} (#{}), all in epoch {}, but {} led in between, at {} (#{}: {})",
        node(first),
        first.txn.returned_at(),
        first.txn.index(),
        last.txn.invoked_at(),
        last.txn.index(),
        first.epoch.as_ref().unwrap_or(&Value::Null),
        node(inside),
        inside.txn.invoked_at(),
        inside.txn.index(),
        value.map_or(String::new(), |access| shown(history, access.value)),
    )
}

fn anomaly(
    property: Property,
    kind: &'static str,
    key: Option<KeyId>,
    mut operations: Vec<TxnId>,
    cycle: Vec<Step>,
    sentence: String,
) -> Anomaly {
    operations.sort_unstable();
    operations.dedup();
    Anomaly {
        property,
        kind,
        set: vec![property],
        key,
        session: None,
        operations,
        cycle,
        assumes: Vec::new(),
        sentence,
    }
}
