//! A cache between the clients and a store: what a fleet of application servers shares, and what each of
//! them may keep for itself besides.
//!
//! Only reads of one key are cached. The cache never fails and answers at once; who looks into it in vain
//! asks the store, and puts the answer into the cache when it comes. In between the key may have been
//! written and removed from the cache: the answer is old then, and stays until its time is over. The
//! remedy is to put nothing in that is older than what the cache has known of the key: the versioned
//! form of the leases of Nishtala et al. 2013, section 3.2.1.

use std::collections::BTreeMap;

use crate::model::{Nanos, Value};
use crate::store::Position;

/// Who fills a cache and what removes things from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Readers fill it, writers remove what they have written.
    Aside,
    /// It fills itself and hears of no write.
    Through,
    /// As aside, and each of the servers has a cache of its own before it.
    TwoLevels,
}

/// How a cache behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) form: Form,
    /// How long a value is shown after it was filled in.
    pub(super) ttl: Nanos,
    /// Whether a value is left out that is older than what is known of its key.
    pub(super) is_versioned: bool,
}

/// How long the cache takes to answer.
pub(super) const HIT: Nanos = Nanos::from_micros(500);

/// How many application servers there are; requests go to them in turn.
const SERVERS: usize = 2;

/// A cache and those of the servers before it.
#[derive(Debug)]
pub(super) struct Cache {
    settings: Settings,
    shared: Level,
    servers: [Level; SERVERS],
    requests: usize,
}

/// The application server that a request goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Server(usize);

#[derive(Debug, Default)]
struct Level {
    held: BTreeMap<Value, Held>,
}

/// What is known of a key.
#[derive(Debug)]
struct Held {
    /// How far the store was when it said so; it stays when the value goes.
    version: Position,
    /// The value, and until when it is shown.
    value: Option<(Value, Nanos)>,
}

impl Cache {
    /// An empty one.
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, shared: Level::default(), servers: Default::default(), requests: 0 }
    }

    /// The server that takes the next request.
    pub(super) fn enter(&mut self) -> Server {
        self.requests += 1;
        Server(self.requests % SERVERS)
    }

    /// What it shows of a key.
    pub(super) fn look(&mut self, server: Server, key: &Value, now: Nanos) -> Option<Value> {
        let shown = |level: &Level| {
            let held = level.held.get(key)?;
            let (value, until) = held.value.as_ref()?;
            (now < *until).then(|| (value.clone(), held.version))
        };
        let has_own = self.settings.form == Form::TwoLevels;
        if let Some((value, _)) = shown(&self.servers[server.0]).filter(|_| has_own) {
            return Some(value);
        }
        let (value, version) = shown(&self.shared)?;
        if has_own {
            self.servers[server.0].fill(key, &value, version, now, self.settings);
        }
        Some(value)
    }

    /// The store told a reader what a key holds.
    pub(super) fn fill(
        &mut self,
        server: Server,
        key: &Value,
        value: &Value,
        version: Position,
        now: Nanos,
    ) {
        self.shared.fill(key, value, version, now, self.settings);
        if self.settings.form == Form::TwoLevels {
            self.servers[server.0].fill(key, value, version, now, self.settings);
        }
    }

    /// The store acknowledged a write to a key.
    pub(super) fn forget(&mut self, server: Server, key: &Value, version: Position) {
        if self.settings.form != Form::Through {
            self.shared.forget(key, version, self.settings);
            self.servers[server.0].forget(key, version, self.settings);
        }
    }
}

impl Level {
    fn fill(
        &mut self,
        key: &Value,
        value: &Value,
        version: Position,
        now: Nanos,
        settings: Settings,
    ) {
        let is_older = self.held.get(key).is_some_and(|held| version < held.version);
        if !(settings.is_versioned && is_older) {
            let value = Some((value.clone(), now + settings.ttl));
            self.held.insert(key.clone(), Held { version, value });
        }
    }

    fn forget(&mut self, key: &Value, version: Position, settings: Settings) {
        let is_older = self.held.get(key).is_some_and(|held| version < held.version);
        if !(settings.is_versioned && is_older) {
            self.held.insert(key.clone(), Held { version, value: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Value = Value::Int(7);

    fn cache(form: Form, is_versioned: bool) -> Cache {
        Cache::new(Settings { form, ttl: Nanos(100), is_versioned })
    }

    fn at(index: u64) -> Position {
        Position { epoch: 1, index }
    }

    #[test]
    fn an_answer_that_comes_after_the_removal_is_left_out_if_versions_are_kept() {
        for (is_versioned, shown) in [(false, Some(Value::Int(1))), (true, None)] {
            let mut cache = cache(Form::Aside, is_versioned);
            let server = cache.enter();
            assert_eq!(cache.look(server, &KEY, Nanos(0)), None);
            cache.forget(server, &KEY, at(2));
            cache.fill(server, &KEY, &Value::Int(1), at(1), Nanos(5));
            assert_eq!(cache.look(server, &KEY, Nanos(6)), shown);
            cache.fill(server, &KEY, &Value::Int(2), at(2), Nanos(7));
            assert_eq!(cache.look(server, &KEY, Nanos(106)), Some(Value::Int(2)));
            assert_eq!(cache.look(server, &KEY, Nanos(107)), None, "its time is over");
        }
    }

    #[test]
    fn a_removal_does_not_reach_the_other_server() {
        let mut cache = cache(Form::TwoLevels, true);
        let (one, other) = (cache.enter(), cache.enter());
        cache.fill(one, &KEY, &Value::Int(1), at(1), Nanos(0));
        assert_eq!(cache.look(other, &KEY, Nanos(50)), Some(Value::Int(1)));
        cache.forget(one, &KEY, at(2));
        assert_eq!(cache.look(one, &KEY, Nanos(60)), None);
        assert_eq!(cache.look(other, &KEY, Nanos(60)), Some(Value::Int(1)));
        assert_eq!(cache.look(other, &KEY, Nanos(150)), None);
    }

    #[test]
    fn nobody_tells_a_cache_that_fills_itself() {
        let mut cache = cache(Form::Through, true);
        let server = cache.enter();
        cache.fill(server, &KEY, &Value::Int(1), at(1), Nanos(0));
        cache.forget(server, &KEY, at(2));
        assert_eq!(cache.look(server, &KEY, Nanos(50)), Some(Value::Int(1)));
    }
}
