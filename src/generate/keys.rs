//! Which key comes next, and what is remembered of each.

use std::collections::BTreeMap;

use crate::generate::worker_number::WorkerNumber;
use crate::model::{Random, Value, power};

/// How keys are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KeyChoice {
    /// All alike.
    Uniform,
    /// The n-th with a weight of `n^-s`.
    Zipf(f64),
    /// The n-th with a weight of `base^-n`: a few hot keys and a long tail.
    Exponential(f64),
    /// All alike, and a key gives way to a new one after so many operations. Keeps the history of
    /// each key short, which the exponential checks need.
    Rotate(u32),
}

/// Who may write a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// Every session.
    Any,
    /// One session a key, so its values rise: a read that goes back in value goes back in time.
    One,
}

/// The keys of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyPlan {
    /// How many are in use at a time.
    pub count: u32,
    /// How one is chosen.
    pub choose: KeyChoice,
    /// Who may write one.
    pub writers: Writers,
    /// What their names begin with; a number follows.
    pub prefix: String,
    /// How many fields each has. A field is an object of its own: `k0.0`, `k0.1`, …; where there is
    /// one only, it is called like the key.
    pub fields: u32,
    /// How many writes a field takes at most, if there is a limit. Then a write becomes a read, and a
    /// key of which no field takes any more gives way to a new one, unless keys rotate anyway.
    pub writes: Option<u32>,
}

/// Which fields of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Every one.
    All,
    /// A random one; to write, one that may still be written.
    Any,
    /// This one, counted from 0.
    Number(u32),
}

/// What is remembered of one key.
#[derive(Clone, Debug)]
struct Key {
    name: Value,
    fields: Vec<Value>,
    /// How often each field was written.
    written: Vec<u32>,
    /// How many values were made for it; they are 1, 2, 3, …, or every n-th of n machines, so unique
    /// on the key.
    made: i64,
    /// What was last seen of it.
    seen: Value,
    used: u32,
}

/// The keys of a run. A position is one of the `count` places in use; with [`KeyChoice::Rotate`] the
/// key at a position changes.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    plan: KeyPlan,
    worker: WorkerNumber,
    sessions: u32,
    all: Vec<Key>,
    at: Vec<u32>,
    /// By session, the lock that it holds and the token that came with it.
    held: BTreeMap<u32, (u32, Value)>,
    /// Running sums of the weights of the positions; empty where all are alike.
    weights: Vec<f64>,
}

impl Keys {
    pub(super) fn new(plan: &KeyPlan, worker: WorkerNumber, sessions: u32) -> Self {
        let mut sum = 0.0;
        let weight = |n: u32| match plan.choose {
            KeyChoice::Zipf(s) => Some(power(f64::from(n), -s)),
            KeyChoice::Exponential(base) => Some(power(base, -f64::from(n))),
            KeyChoice::Uniform | KeyChoice::Rotate(_) => None,
        };
        let weights = (1..=plan.count)
            .map_while(|n| {
                sum += weight(n)?;
                Some(sum)
            })
            .collect();
        let (at, all) = ((0..plan.count).collect(), Vec::new());
        let held = BTreeMap::new();
        let mut keys = Self { plan: plan.clone(), worker, sessions, all, at, held, weights };
        (0..plan.count).for_each(|_| keys.grow());
        keys
    }

    fn grow(&mut self) {
        let name = format!("{}{}", self.plan.prefix, self.all.len());
        let fields = match self.plan.fields {
            0 | 1 => vec![Value::text(&name)],
            many => (0..many).map(|field| Value::text(&format!("{name}.{field}"))).collect(),
        };
        let (name, written) = (Value::text(&name), vec![0; fields.len()]);
        self.all.push(Key { name, fields, written, made: 0, seen: Value::Null, used: 0 });
    }

    /// The lock that a session holds, and its token.
    pub(super) fn held(&self, session: u32) -> Option<(u32, Value)> {
        self.held.get(&session).cloned()
    }

    /// A session got a lock.
    pub(super) fn hold(&mut self, session: u32, key: u32, token: Value) {
        self.held.insert(session, (key, token));
    }

    /// A session gave its lock back, or tried to.
    pub(super) fn let_go(&mut self, session: u32) {
        self.held.remove(&session);
    }

    /// A position.
    pub(super) fn choose(&self, random: &mut Random) -> usize {
        match self.weights.last() {
            None => random.below(self.at.len() as u64) as usize,
            Some(total) => {
                let ticket = random.unit() * total;
                let position = self.weights.partition_point(|sum| *sum <= ticket);
                position.min(self.at.len() - 1)
            }
        }
    }

    /// So many different positions (fewer if there are not as many).
    pub(super) fn choose_distinct(
        &self,
        many: usize,
        chosen: &mut Vec<usize>,
        random: &mut Random,
    ) {
        chosen.clear();
        for _ in 0..many {
            let mut position = self.choose(random);
            // The next free one instead of another draw: a draw may hit the one hot key for ever.
            for _ in 0..self.at.len() {
                if !chosen.contains(&position) {
                    break;
                }
                position = (position + 1) % self.at.len();
            }
            chosen.push(position);
        }
    }

    /// The position near `position` that a session may write; `None` if it may write none.
    pub(super) fn writable(&self, position: usize, session: u32) -> Option<usize> {
        if self.plan.writers == Writers::Any {
            return Some(position);
        }
        // Session s owns the positions s, s + sessions, s + 2·sessions, …
        let (session, sessions) = (session as usize, self.sessions as usize);
        let near = position - position % sessions + session;
        let own = if near < self.at.len() { near } else { session };
        (own < self.at.len()).then_some(own)
    }

    /// Uses the key at a position for one operation, and names it.
    pub(super) fn use_at(&mut self, position: usize) -> u32 {
        let key = self.at[position];
        if let KeyChoice::Rotate(most) = self.plan.choose {
            let used = &mut self.all[key as usize].used;
            *used += 1;
            if *used >= most {
                self.replace(key);
            }
        }
        key
    }

    /// How many fields of keys there have been.
    pub(super) fn len(&self) -> u32 {
        self.all.len() as u32 * self.plan.fields.max(1)
    }

    /// The n-th of them.
    pub(super) fn nth(&self, n: u32) -> Value {
        let fields = self.plan.fields.max(1);
        self.field(n / fields, n % fields)
    }

    pub(super) fn name(&self, key: u32) -> Value {
        self.all[key as usize].name.clone()
    }

    pub(super) fn field(&self, key: u32, field: u32) -> Value {
        self.all[key as usize].fields[field as usize].clone()
    }

    /// The fields of a key that are meant, for a write or a read.
    pub(super) fn fields(
        &self,
        key: u32,
        which: Field,
        writes: bool,
        random: &mut Random,
    ) -> Vec<u32> {
        let many = self.plan.fields.max(1);
        match which {
            Field::All => (0..many).collect(),
            Field::Number(field) => vec![field.min(many - 1)],
            Field::Any if many == 1 => vec![0],
            Field::Any => {
                let free = |field: &u32| self.takes_writes(key, *field);
                let open: Vec<u32> = (0..many).filter(|field| writes && free(field)).collect();
                let all: Vec<u32> = (0..many).collect();
                vec![*random.pick(if open.is_empty() { &all } else { &open })]
            }
        }
    }

    /// Whether a field may be written once more.
    pub(super) fn takes_writes(&self, key: u32, field: u32) -> bool {
        let most = self.plan.writes.unwrap_or(u32::MAX);
        self.all[key as usize].written[field as usize] < most
    }

    /// A field is written once more.
    pub(super) fn write(&mut self, key: u32, field: u32) {
        let written = &mut self.all[key as usize].written;
        written[field as usize] = written[field as usize].saturating_add(1);
        let is_spent = (0..written.len() as u32).all(|field| !self.takes_writes(key, field));
        if is_spent && !matches!(self.plan.choose, KeyChoice::Rotate(_)) {
            self.replace(key);
        }
    }

    /// A new key takes the place of this one, if it still has one.
    fn replace(&mut self, key: u32) {
        if let Some(position) = self.at.iter().position(|one| *one == key) {
            self.at[position] = self.all.len() as u32;
            self.grow();
        }
    }

    /// A value never used on the key before, greater than all of them.
    pub(super) fn fresh(&mut self, key: u32) -> Value {
        let made = &mut self.all[key as usize].made;
        *made += 1;
        self.worker.value(*made)
    }

    /// What is put over what was last seen: `{val, ctx}`.
    pub(super) fn fresh_over_seen(&mut self, key: u32) -> Value {
        let seen = Value::list(self.seen(key).as_list().unwrap_or_default().iter().cloned());
        let entries = [(Value::text("val"), self.fresh(key)), (Value::text("ctx"), seen)];
        Value::Map(entries.into())
    }

    /// A value made before for the key.
    pub(super) fn added(&self, key: u32, random: &mut Random) -> Option<Value> {
        let made = self.all[key as usize].made;
        (made > 0).then(|| self.worker.value(random.between(1, made as u64) as i64))
    }

    pub(super) fn seen(&self, key: u32) -> &Value {
        &self.all[key as usize].seen
    }

    pub(super) fn see(&mut self, key: u32, value: &Value) {
        self.all[key as usize].seen = value.clone();
    }
}
