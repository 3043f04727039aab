//! The ids of nodes, keys and values.

use std::sync::Arc;

use crate::history::{Builder, KeyId, NodeId, ValueId};
use crate::model::Value;

impl Builder {
    /// The id of a node.
    pub fn node(&mut self, name: &str) -> NodeId {
        // A cluster has a handful: looking at each is quicker than hashing.
        if let Some(at) = self.history.nodes.iter().take(8).position(|node| **node == *name) {
            return NodeId(at as u32);
        }
        if let Some(id) = self.node_ids.get(name) {
            return *id;
        }
        let (id, name) = (NodeId(self.history.nodes.len() as u32), Arc::<str>::from(name));
        self.history.nodes.push(name.clone());
        self.node_ids.insert(name, id);
        id
    }

    /// The id of a key.
    pub fn key(&mut self, key: &Value) -> KeyId {
        if let Value::Text(text) = key {
            return self.text_key(text);
        }
        if let Some(id) = self.key_ids.get(key) {
            return *id;
        }
        let id = self.new_key(key.clone());
        self.key_ids.insert(key.clone(), id);
        id
    }

    /// The id of a key that is a text; the same as [`Builder::key`] without making a `Value`.
    pub fn text_key(&mut self, key: &str) -> KeyId {
        if let Some(id) = self.text_key_ids.get(key) {
            return *id;
        }
        let id = self.new_key(Value::text(key));
        self.text_key_ids.insert(key.into(), id);
        id
    }

    fn new_key(&mut self, key: Value) -> KeyId {
        let id = KeyId(self.history.keys.len() as u32);
        self.history.keys.push(key);
        id
    }

    /// The id of a value.
    pub fn value(&mut self, value: &Value) -> ValueId {
        self.history.values.intern(value)
    }

    /// The id of a text; the same as [`Builder::value`] without making a `Value`.
    pub fn text_value(&mut self, text: &str) -> ValueId {
        self.history.values.intern_text(text)
    }

    /// The id of an integer; the same as [`Builder::value`] without making a `Value`.
    pub fn int_value(&mut self, n: i64) -> ValueId {
        self.history.values.intern_int(n)
    }

    /// The id of the list that extends `prefix` by `last`.
    pub fn append_value(&mut self, prefix: ValueId, last: ValueId) -> ValueId {
        self.history.values.append(prefix, last)
    }
}
