//! Every value of a history once, as a `u32`.

use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::history::numbers::Numbers;
use crate::model::Value;

/// An interned value: the value of a register, an element, or a whole list.
///
/// A list is a node of an append tree (its prefix, its last element), so a read of a thousand
/// elements is one id, two reads share what they have in common, and an incompatible order is two
/// branches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub(super) u32);

impl ValueId {
    /// `Null`: what an unwritten register holds.
    pub const NULL: Self = Self(0);
    /// The list without elements.
    pub const EMPTY: Self = Self(1);
    /// What a read would have returned, had its completion been seen.
    pub const UNKNOWN: Self = Self(u32::MAX);

    /// A dense number below [`Values::len`]; not for `UNKNOWN`.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::UNKNOWN { write!(f, "v?") } else { write!(f, "v{}", self.0) }
    }
}

/// What a `Node::prefix` above every id stands for.
const INT: u32 = u32::MAX - 1;
const SCALAR: u32 = u32::MAX - 2;
const ROOT: u32 = u32::MAX - 3;

/// A list (prefix, last), a small integer (`INT`, its bits), or a scalar (`SCALAR`, its place).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Node {
    prefix: u32,
    last: u32,
}

/// The table of all values of a history.
#[derive(Clone, Default)]
pub struct Values {
    nodes: Vec<Node>,
    scalars: Vec<Value>,
    ids: FxHashMap<Node, u32>,
    /// The ids of integers that fit 32 bits, by those bits.
    int_ids: Numbers,
    scalar_ids: FxHashMap<Value, u32>,
    text_ids: FxHashMap<Arc<str>, u32>,
}

impl Values {
    pub(super) fn new() -> Self {
        let mut values = Self::default();
        values.scalars.push(Value::Null);
        values.scalar_ids.insert(Value::Null, 0);
        values.nodes.push(Node { prefix: SCALAR, last: 0 });
        values.nodes.push(Node { prefix: ROOT, last: 0 });
        values
    }

    /// How many there are; every [`ValueId::index`] is below it.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none; never so, `Null` is always there.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn node(&mut self, node: Node) -> ValueId {
        let next = self.nodes.len() as u32;
        let id = *self.ids.entry(node).or_insert(next);
        if id == next {
            self.nodes.push(node);
        }
        ValueId(id)
    }

    fn scalar(&mut self, value: &Value) -> ValueId {
        if let Some(id) = self.scalar_ids.get(value) {
            return ValueId(*id);
        }
        let id = self.nodes.len() as u32;
        self.nodes.push(Node { prefix: SCALAR, last: self.scalars.len() as u32 });
        self.scalars.push(value.clone());
        self.scalar_ids.insert(value.clone(), id);
        ValueId(id)
    }

    /// The id of an integer.
    pub(super) fn intern_int(&mut self, n: i64) -> ValueId {
        let Ok(small) = i32::try_from(n) else { return self.scalar(&Value::Int(n)) };
        let small = small as u32;
        if let Some(id) = self.int_ids.get(small) {
            return ValueId(id);
        }
        let id = self.nodes.len() as u32;
        self.nodes.push(Node { prefix: INT, last: small });
        self.int_ids.insert(small, id);
        ValueId(id)
    }

    /// The id of a text; the same as [`Values::intern`] without making a `Value`.
    pub(super) fn intern_text(&mut self, text: &str) -> ValueId {
        if let Some(id) = self.text_ids.get(text) {
            return ValueId(*id);
        }
        let text: Arc<str> = text.into();
        let id = self.nodes.len() as u32;
        self.nodes.push(Node { prefix: SCALAR, last: self.scalars.len() as u32 });
        self.scalars.push(Value::Text(text.clone()));
        self.text_ids.insert(text, id);
        ValueId(id)
    }

    /// A `Null` that is not the initial version of a register: one that was read or written where
    /// the register began with something.
    pub(super) fn absent(&mut self) -> ValueId {
        self.node(Node { prefix: SCALAR, last: 0 })
    }

    /// Gives back the memory that growing left over.
    pub(super) fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
        self.scalars.shrink_to_fit();
    }

    /// How many bytes it takes on the heap, about; the texts themselves not included.
    pub(super) fn heap_bytes(&self) -> usize {
        8 * self.nodes.capacity()
            + size_of::<Value>() * self.scalars.capacity()
            + 13 * self.ids.capacity()
            + (size_of::<Value>() + 5) * self.scalar_ids.capacity()
            + 21 * self.text_ids.capacity()
            + self.int_ids.heap_bytes()
    }

    /// The id of the list that extends `prefix` by `last`.
    pub(super) fn append(&mut self, prefix: ValueId, last: ValueId) -> ValueId {
        self.node(Node { prefix: prefix.0, last: last.0 })
    }

    /// The id of a value.
    pub(super) fn intern(&mut self, value: &Value) -> ValueId {
        match value {
            Value::Null => ValueId::NULL,
            Value::Int(n) => self.intern_int(*n),
            Value::Text(text) => self.intern_text(text),
            Value::List(items) => items.iter().fold(ValueId::EMPTY, |prefix, item| {
                let last = self.intern(item);
                self.append(prefix, last)
            }),
            other => self.scalar(other),
        }
    }

    /// The id of a value, if the history holds it.
    pub fn find(&self, value: &Value) -> Option<ValueId> {
        match value {
            Value::Null => Some(ValueId::NULL),
            Value::Int(n) if i32::try_from(*n).is_ok() => {
                self.int_ids.get(*n as i32 as u32).map(ValueId)
            }
            Value::Text(text) => self.text_ids.get(text).map(|id| ValueId(*id)),
            Value::List(items) => items.iter().try_fold(ValueId::EMPTY, |prefix, item| {
                let last = self.find(item)?;
                self.ids.get(&Node { prefix: prefix.0, last: last.0 }).map(|id| ValueId(*id))
            }),
            other => self.scalar_ids.get(other).map(|id| ValueId(*id)),
        }
    }

    /// The value itself; `Null` for `UNKNOWN`.
    pub fn value(&self, id: ValueId) -> Value {
        let Some(node) = self.nodes.get(id.index()) else { return Value::Null };
        match node.prefix {
            INT => Value::Int(i64::from(node.last as i32)),
            SCALAR => self.scalars[node.last as usize].clone(),
            _ => {
                let mut items: Vec<Value> =
                    self.backwards(id).map(|item| self.value(item)).collect();
                items.reverse();
                Value::List(items.into())
            }
        }
    }

    /// The integer, if it is one.
    pub fn int(&self, id: ValueId) -> Option<i64> {
        let node = self.nodes.get(id.index())?;
        match node.prefix {
            INT => Some(i64::from(node.last as i32)),
            SCALAR => self.scalars[node.last as usize].as_int(),
            _ => None,
        }
    }

    /// Whether it is a list, the empty one included.
    pub fn is_list(&self, id: ValueId) -> bool {
        self.nodes.get(id.index()).is_some_and(|node| node.prefix != INT && node.prefix != SCALAR)
    }

    /// A list without its last element, and that element; `None` if empty or no list.
    pub fn split(&self, id: ValueId) -> Option<(ValueId, ValueId)> {
        let node = self.nodes.get(id.index())?;
        (node.prefix < ROOT).then_some((ValueId(node.prefix), ValueId(node.last)))
    }

    /// Every list but the empty one: its id, its prefix and its last element. A prefix comes before
    /// the lists that extend it.
    pub fn lists(&self) -> impl Iterator<Item = (ValueId, ValueId, ValueId)> + '_ {
        (0..self.nodes.len() as u32).map(ValueId).filter_map(|id| {
            let (prefix, last) = self.split(id)?;
            Some((id, prefix, last))
        })
    }

    /// The elements of a list from the last to the first; nothing if it is no list.
    pub fn backwards(&self, id: ValueId) -> impl Iterator<Item = ValueId> + '_ {
        let mut at = id;
        std::iter::from_fn(move || {
            let (prefix, last) = self.split(at)?;
            at = prefix;
            Some(last)
        })
    }

    /// The elements of a list from the first to the last.
    pub fn elements(&self, id: ValueId) -> Vec<ValueId> {
        let mut elements: Vec<ValueId> = self.backwards(id).collect();
        elements.reverse();
        elements
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interning_is_by_value() {
        let mut values = Values::new();
        let samples = [
            Value::Null,
            Value::Int(-1),
            Value::Int(i64::MAX),
            Value::text("-1"),
            Value::Bool(true),
            Value::list([]),
            Value::list([Value::Int(1), Value::Int(2)]),
            Value::list([Value::list([Value::Int(1)]), Value::Null]),
            Value::Map([(Value::text("a"), Value::Int(1))].into()),
        ];
        let ids: Vec<ValueId> = samples.iter().map(|value| values.intern(value)).collect();
        for (value, id) in samples.iter().zip(&ids) {
            assert_eq!(values.value(*id), *value);
            assert_eq!(values.intern(value), *id);
            assert_eq!(values.find(value), Some(*id));
        }
        assert_eq!(values.find(&Value::Int(99)), None);
        assert_eq!(values.value(ValueId::UNKNOWN), Value::Null);
    }

    #[test]
    fn lists_share_their_prefix() {
        let mut values = Values::new();
        let short = values.intern(&Value::list([1.into(), 2.into()]));
        let long = values.intern(&Value::list([1.into(), 2.into(), 3.into()]));
        assert_eq!(values.split(long).map(|(prefix, _)| prefix), Some(short));
        assert_eq!(values.elements(long).len(), 3);
        assert_eq!(values.split(ValueId::EMPTY), None);
    }
}
