//! What registers hold before the first write.
//!
//! A history says so in its header, or nobody knows and it is `Null`. Either way checkers meet one
//! initial version, [`ValueId::NULL`]: a read of the value that a register began with becomes a read
//! of it, and a write of that value a write of it, ambiguous as any value written twice. Where a
//! register began with something, a `Null` that is read or written is a value like every other.

use rustc_hash::FxHashMap;

use crate::history::{Datatype, History, KeyId, ValueId};
use crate::model::{Function, Value};

impl History {
    /// The value `id` of a key, as the history has it; `Null` for `UNKNOWN`.
    pub fn value(&self, key: KeyId, id: ValueId) -> Value {
        match self.initial.get(&key.0) {
            Some(initial) if id == ValueId::NULL => self.values.value(*initial),
            _ => self.values.value(id),
        }
    }

    /// What a register held before the first write, if the history says so.
    pub fn initial(&self, key: KeyId) -> Option<Value> {
        self.initial.get(&key.0).map(|id| self.values.value(*id))
    }

    /// Takes `initial` for what the registers held before the first write, instead of what the
    /// header says: one value for all of them, or a map by the names of their keys. Other objects
    /// begin empty. A name that no register has is worth a warning.
    pub fn begin_with(&mut self, initial: Value) {
        let absent = self.values.absent();
        let swap = |value: u32, pairs: [(ValueId, ValueId); 2]| {
            let pair = pairs.into_iter().find(|(from, _)| from.0 == value);
            pair.map_or(value, |(_, to)| to.0)
        };
        let before = std::mem::take(&mut self.initial);
        for place in 0..self.access_key.len() {
            if let Some(was) = before.get(&self.access_key[place]) {
                let pairs = [(ValueId::NULL, *was), (absent, ValueId::NULL)];
                self.access_value[place] = swap(self.access_value[place], pairs);
            }
        }
        self.initial = self.initial_values(&initial);
        for at in 0..self.len() {
            for place in self.first_access[at] as usize..self.first_access[at + 1] as usize {
                let Some(is) = self.initial.get(&self.access_key[place]) else { continue };
                let value = &mut self.access_value[place];
                if self.function[at] == Function::Cas && *value == ValueId::UNKNOWN.0 {
                    // A compare-and-set always says what it expects; that of nothing was left out.
                    *value = ValueId::NULL.0;
                }
                *value = swap(*value, [(*is, ValueId::NULL), (ValueId::NULL, absent)]);
            }
        }
        self.header.get_or_insert_default().initial = Some(initial);
    }

    fn initial_values(&mut self, initial: &Value) -> FxHashMap<u32, ValueId> {
        let mut values = FxHashMap::default();
        let mut unused: Vec<String> = match initial {
            Value::Map(named) => named.iter().map(|(name, _)| name.to_string()).collect(),
            _ => Vec::new(),
        };
        for key in self.keys() {
            let value = match initial {
                Value::Map(named) => {
                    let key = self.key_name(key).to_string();
                    let value = named.iter().find(|(name, _)| name.to_string() == key);
                    value.map(|(_, value)| value)
                }
                value => Some(value),
            };
            let is_register = self.datatype(key) == Datatype::Register;
            if let Some(value) = value.filter(|_| is_register) {
                unused.retain(|name| *name != self.key_name(key).to_string());
                values.insert(key.0, self.values.intern(value));
            }
        }
        values.retain(|_, value| *value != ValueId::NULL);
        for name in unused {
            let warning =
                format!("an initial value is given for {name}, which is no register here");
            self.warnings.push(warning);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Format, Txn, read_bytes, write_history};

    const HISTORY: &str = r#"{"rashomon":{"format":1,"initial":{"x":0}}}
{"index":0,"time":1,"process":0,"type":"invoke","f":"cas","key":"x","value":[0,1]}
{"index":1,"time":2,"process":0,"type":"ok","f":"cas","key":"x","value":[0,1]}
{"index":2,"time":3,"process":0,"type":"invoke","f":"read","key":"x"}
{"index":3,"time":4,"process":0,"type":"ok","f":"read","key":"x","value":null}
{"index":4,"time":5,"process":0,"type":"invoke","f":"read","key":"y"}
{"index":5,"time":6,"process":0,"type":"ok","f":"read","key":"y","value":0}
"#;

    fn written(history: &History, format: Format) -> String {
        let mut bytes = Vec::new();
        write_history(history, format, &mut bytes).expect("writable");
        String::from_utf8(bytes).expect("text")
    }

    fn versions(history: &History) -> Vec<(ValueId, Value)> {
        let accesses = history.txns().flat_map(Txn::accesses);
        accesses.map(|one| (one.value, history.value(one.key, one.value))).collect()
    }

    #[test]
    fn the_initial_value_is_the_initial_version_and_is_written_as_it_was_read() {
        let history = read_bytes("h.jsonl", HISTORY.as_bytes(), None).expect("well-formed");
        let seen = versions(&history);
        let values: Vec<Value> = seen.iter().map(|one| one.1.clone()).collect();
        assert_eq!(values, [0.into(), 1.into(), Value::Null, 0.into()]);
        assert_eq!(seen[0].0, ValueId::NULL);
        assert!(seen[1..].iter().all(|one| one.0 != ValueId::NULL), "{seen:?}");
        for format in [Format::Jsonl, Format::Operations] {
            let text = written(&history, format);
            let again = read_bytes("h", text.as_bytes(), Some(format)).expect("well-formed");
            assert_eq!(versions(&again), seen);
            assert_eq!(written(&again, format), text);
        }
    }

    #[test]
    fn what_is_said_later_replaces_the_header() {
        let mut history = read_bytes("h.jsonl", HISTORY.as_bytes(), None).expect("well-formed");
        history.begin_with(Value::Null);
        let plain: Vec<ValueId> = versions(&history).iter().map(|one| one.0).collect();
        assert_eq!(plain[2], ValueId::NULL);
        assert_eq!(plain[0], plain[3]);
        history.begin_with(Value::Map([("y".into(), 0.into()), ("z".into(), 0.into())].into()));
        assert_eq!(versions(&history)[3].0, ValueId::NULL);
        assert_eq!(history.warnings().len(), 1, "{:?}", history.warnings());
    }
}
