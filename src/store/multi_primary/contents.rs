//! What one node holds, and who wins where the changes of two primaries meet.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::model::{Function, Mop, Op, Value};
use crate::store::multi_primary::changes::{Change, Effect, Place, Stamp, Version};
use crate::store::objects::{Object, Objects, Put, Siblings, Transfer};

/// Which of two changes of one place wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Conflict {
    /// That with the later stamp, at every node.
    LastWriteWins,
    /// That which arrives later: each node has a last one of its own.
    Arrival,
    /// Of puts none: both are kept, and a put replaces what its client had read. A register, which
    /// can hold one value only, goes to the last write.
    Siblings,
    /// Of collections and puts none: they become one. A register goes to the last write.
    Merge(Merge),
    /// That of the first primary.
    NodePriority,
    /// That which has more changes before it; of equals that which is there.
    VersionCounter,
}

/// How two collections become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Merge {
    /// The elements of both: in any order of merging the same.
    Union,
    /// Those that are there, then the others: another order of merging, another list.
    Concat,
}

/// What is told of a number that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Numbers {
    /// What it is now.
    Absolute,
    /// By how much it changed.
    Delta,
    /// The same, and of a stock each primary sells only its share (escrow, O'Neil 1986).
    Escrow,
}

/// How changes are made and combined.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Rules {
    pub(super) conflict: Conflict,
    pub(super) numbers: Numbers,
    /// Whether of a set or list all of it is told, not the element.
    pub(super) whole_collections: bool,
    /// Whether each field of a row is told and decided for itself.
    pub(super) by_field: bool,
    /// All changes come in one order: there are no conflicts.
    pub(super) is_ordered: bool,
    pub(super) primaries: u8,
}

/// The objects of a node with what is known of who changed them.
pub(super) struct Contents {
    rules: Rules,
    objects: Objects,
    versions: FxHashMap<Place, Version>,
    /// What was done to lists and sets, where the stamps decide over its order.
    elements: FxHashMap<Value, BTreeMap<(Stamp, usize), Mop>>,
    /// What each primary may sell of a stock.
    shares: FxHashMap<Value, Vec<i64>>,
}

impl Contents {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            objects: Objects::default(),
            versions: FxHashMap::default(),
            elements: FxHashMap::default(),
            shares: FxHashMap::default(),
        }
    }

    /// The answer to an operation that only reads.
    pub(super) fn read(&mut self, op: &Op) -> Vec<Mop> {
        let read = |mop: &Mop| Mop { value: self.objects.read(&mop.key), ..mop.clone() };
        op.mops.iter().map(read).collect()
    }

    /// Executes an operation at this node alone. Returns the answer and what the others are to be
    /// told; `id` is handed out if one is asked for. The error says why nothing was done.
    pub(super) fn execute(
        &mut self,
        op: &Op,
        me: u8,
        id: i64,
        mut stamp: impl FnMut() -> Stamp,
    ) -> Result<(Vec<Mop>, Vec<Change>), String> {
        self.admit(op, me)?;
        let (mut answer, mut changes) = (Vec::with_capacity(op.mops.len()), Vec::new());
        for mop in &op.mops {
            if mop.function.is_read() {
                answer.push(Mop { value: self.objects.read(&mop.key), ..mop.clone() });
                continue;
            }
            let mop = with_id(mop, id);
            for effect in self.effects(&mop) {
                if changes.is_empty() || self.rules.by_field {
                    changes.push(Change { stamp: stamp(), effects: Vec::new(), hops: 0 });
                }
                if let Some(change) = changes.last_mut() {
                    self.apply_effect(change.stamp, change.effects.len(), &effect);
                    change.effects.push(effect);
                }
            }
            answer.push(mop);
        }
        Ok((answer, changes))
    }

    /// What an operation would answer and do, and which versions that rests on: nothing is changed.
    pub(super) fn prepare(&self, op: &Op, id: i64) -> Result<Prepared, String> {
        let mut scratch = self.objects.only(op.mops.iter().map(|mop| &mop.key));
        let mut op = op.clone();
        op.mops.iter_mut().for_each(|mop| *mop = with_id(mop, id));
        let answer = scratch.execute(&op)?;
        let rests = |mop: &&Mop| mop.function.is_read() || !is_blind(mop.function);
        let is_blind = op.mops.iter().all(|mop| !rests(&mop));
        let keys = op.mops.iter().filter(|_| !is_blind).map(|mop| &mop.key);
        let based_on = keys.map(|key| (key.clone(), self.version(key))).collect();
        let effects = op.mops.into_iter().filter(|mop| !mop.function.is_read());
        Ok(Prepared { answer, effects: effects.map(Effect::Do).collect(), based_on })
    }

    /// Which change touched a key last.
    pub(super) fn version(&self, key: &Value) -> Stamp {
        self.versions.get(&(key.clone(), None)).copied().unwrap_or_default().stamp
    }

    /// The last id of a key that this node knows of.
    pub(super) fn last_id(&self, key: &Value) -> i64 {
        self.objects.last_id(key)
    }

    /// Takes in a change of another primary.
    pub(super) fn apply(&mut self, change: &Change) {
        for (at, effect) in change.effects.iter().enumerate() {
            self.apply_effect(change.stamp, at, effect);
        }
    }

    fn admit(&self, op: &Op, me: u8) -> Result<(), String> {
        self.objects.admit(op)?;
        for mop in op.mops.iter().filter(|mop| mop.function == Function::Buy) {
            let share = self.shares.get(&mop.key).and_then(|shares| shares.get(usize::from(me)));
            let amount = mop.value.as_int().unwrap_or(0);
            if self.rules.numbers == Numbers::Escrow && share.is_none_or(|left| *left < amount) {
                return Err("the share of this primary is sold".to_owned());
            }
        }
        Ok(())
    }

    /// What a micro-operation does, as the others are told.
    fn effects(&self, mop: &Mop) -> Vec<Effect> {
        use Function as F;
        let tells_all = match mop.function {
            F::Write => true,
            F::Put => self.rules.conflict != Conflict::Siblings,
            F::Append | F::Add | F::Remove => self.rules.whole_collections,
            F::Increment | F::Buy | F::Transfer => self.rules.numbers == Numbers::Absolute,
            _ => false,
        };
        if !tells_all || self.rules.is_ordered {
            return vec![Effect::Do(mop.clone())];
        }
        let held = self.objects.get(&mop.key);
        let mut object = held.cloned().unwrap_or_else(|| Object::fit_for(mop));
        match Put::of(&mop.value) {
            Some(put) if mop.function == F::Put => {
                object = Object::Siblings(Siblings::of(put.value));
            }
            _ => object.change(mop),
        }
        let becomes = |account: Option<Value>, object| {
            let place = (mop.key.clone(), account);
            let since = self.versions.get(&place).copied().unwrap_or_default();
            Effect::Become { place, object, since }
        };
        match (object, Transfer::of(&mop.value)) {
            (Object::Bank(accounts), Some(transfer)) => [transfer.from, transfer.to]
                .into_iter()
                .filter_map(|account| {
                    let balance = Object::Counter(*accounts.get(&account)?);
                    Some(becomes(Some(account), balance))
                })
                .collect(),
            (object, _) => vec![becomes(None, object)],
        }
    }

    fn apply_effect(&mut self, stamp: Stamp, at: usize, effect: &Effect) {
        match effect {
            Effect::Do(mop) => {
                let version = self.versions.entry((mop.key.clone(), None)).or_default();
                version.stamp = version.stamp.max(stamp);
                self.share_out(stamp.node, mop);
                let orders = self.rules.conflict != Conflict::Arrival && !self.rules.is_ordered;
                match mop.function {
                    Function::Append | Function::Add | Function::Remove if orders => {
                        self.insert(stamp, at, mop);
                    }
                    _ => self.objects.change(mop),
                }
            }
            Effect::Become { place, object, since } => {
                let held = self.versions.get(place).copied().unwrap_or_default();
                let count = since.count + 1;
                let merged = self.merged(&place.0, object);
                let wins = self.wins(place, held, stamp, *since);
                if wins || merged.is_some() {
                    let version =
                        Version { stamp: held.stamp.max(stamp), count: held.count.max(count) };
                    let version = if merged.is_some() { version } else { Version { stamp, count } };
                    self.versions.insert(place.clone(), version);
                    self.hold(place, merged.unwrap_or_else(|| object.clone()));
                }
            }
        }
    }

    /// Whether a change wins over what a place holds.
    fn wins(&self, place: &Place, held: Version, stamp: Stamp, since: Version) -> bool {
        match self.rules.conflict {
            _ if self.rules.is_ordered => true,
            Conflict::Arrival => true,
            Conflict::LastWriteWins | Conflict::Siblings | Conflict::Merge(_) => stamp > held.stamp,
            Conflict::NodePriority => {
                let rank = |node| self.rank(&place.0, node);
                held.stamp == since.stamp || rank(stamp.node) <= rank(held.stamp.node)
            }
            Conflict::VersionCounter => since.count + 1 > held.count,
        }
    }

    /// How late a primary comes where the first one wins. With fields decided one by one, each field
    /// has another primary that comes first.
    fn rank(&self, key: &Value, node: u8) -> u8 {
        let field = key.as_text().and_then(|name| name.rsplit_once('.')?.1.parse::<u64>().ok());
        let first = field.filter(|_| self.rules.by_field).unwrap_or(0);
        let many = u64::from(self.rules.primaries);
        ((u64::from(node) + many - first % many) % many) as u8
    }

    /// What two collections become together, if they are to be merged.
    fn merged(&self, key: &Value, new: &Object) -> Option<Object> {
        let Conflict::Merge(how) = self.rules.conflict else { return None };
        let mut held = self.objects.get(key)?.clone();
        match (&mut held, new) {
            (Object::Set(held), Object::Set(new)) => {
                let all = held.elements.union(&new.elements).cloned().collect();
                Some(Object::set(all))
            }
            (Object::List(held), Object::List(new)) => {
                let mut all = held.elements.clone();
                let fresh = new.elements.iter().filter(|one| !held.elements.contains(one));
                all.extend(fresh.cloned());
                if how == Merge::Union {
                    all.sort();
                }
                Some(Object::list(all))
            }
            (Object::Siblings(held), Object::Siblings(new)) => {
                let mut all = held.clone();
                all.shown.extend(new.shown.iter().cloned());
                Some(Object::Siblings(all))
            }
            _ => None,
        }
    }

    /// Lets a place hold this.
    fn hold(&mut self, (key, account): &Place, object: Object) {
        match (account, object) {
            (Some(account), Object::Counter(balance)) => {
                self.objects.set_balance(key, account, balance);
            }
            (_, object) => self.objects.set(key, object),
        }
    }

    /// Does what belongs before what was done already, if it comes late.
    fn insert(&mut self, stamp: Stamp, at: usize, mop: &Mop) {
        let all = self.elements.entry(mop.key.clone()).or_default();
        let is_last = all.last_key_value().is_none_or(|(last, _)| *last < (stamp, at));
        all.insert((stamp, at), mop.clone());
        if is_last {
            return self.objects.change(mop);
        }
        let mut object = Object::fit_for(mop);
        for mop in all.values() {
            object.change(mop);
        }
        self.objects.set(&mop.key, object);
    }

    /// Keeps the books of what each primary may sell.
    fn share_out(&mut self, node: u8, mop: &Mop) {
        if self.rules.numbers != Numbers::Escrow {
            return;
        }
        let (amount, many) = (mop.value.as_int().unwrap_or(0), i64::from(self.rules.primaries));
        match mop.function {
            Function::Init => {
                let share = |at: i64| amount / many + i64::from(at < amount % many);
                let shares = self.shares.entry(mop.key.clone()).or_default();
                shares.resize(usize::from(self.rules.primaries), 0);
                for (at, left) in (0..many).zip(shares) {
                    *left += share(at);
                }
            }
            Function::Buy => {
                // It may come before the stock itself.
                let shares = self.shares.entry(mop.key.clone()).or_default();
                shares.resize(usize::from(self.rules.primaries), 0);
                if let Some(left) = shares.get_mut(usize::from(node)) {
                    *left -= amount;
                }
            }
            _ => {}
        }
    }
}

/// An operation that waits to be certified.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) answer: Vec<Mop>,
    pub(super) effects: Vec<Effect>,
    /// The keys that it depends on, with what touched each last.
    pub(super) based_on: Vec<(Value, Stamp)>,
}

/// Whether what it does is the same whatever the key holds.
fn is_blind(function: Function) -> bool {
    use Function as F;
    matches!(
        function,
        F::Write | F::Append | F::Add | F::Remove | F::Increment | F::Put | F::Init | F::InitBank
    )
}

fn with_id(mop: &Mop, id: i64) -> Mop {
    let mut mop = mop.clone();
    if mop.function == Function::NewId {
        mop.value = Value::Int(id);
    }
    mop
}
