//! What clients know of the kinds of objects.

use rustc_hash::FxHashMap;

use crate::model::{Function, Mop, Op, Value};

/// What clients know of the kinds of objects: a store cannot tell what a key that nobody has written
/// will be, but its client, who asked for a list, takes nothing for the empty list.
#[derive(Default)]
pub(super) struct Shapes {
    by_key: FxHashMap<Value, Function>,
    /// What was last done to any key that is no register.
    last: Option<Function>,
    registers: bool,
}

impl Shapes {
    pub(super) fn see(&mut self, op: &Op) {
        for mop in &op.mops {
            match mop.function {
                function if function.is_read() => {}
                Function::Append
                | Function::Add
                | Function::Remove
                | Function::Put
                | Function::Increment => {
                    if !self.by_key.contains_key(&mop.key) {
                        self.by_key.insert(mop.key.clone(), mop.function);
                    }
                    self.last = Some(mop.function);
                }
                _ => self.registers = true,
            }
        }
    }

    /// Puts the empty object in the place of nothing, where the key is known to be a collection or
    /// nothing else is ever written in this run.
    pub(super) fn fill(&self, mops: &mut [Mop]) {
        let usual = self.last.filter(|_| !self.registers);
        if usual.is_none() && self.by_key.is_empty() {
            return;
        }
        for mop in mops.iter_mut().filter(|mop| mop.value == Value::Null) {
            let shape = self.by_key.get(&mop.key).copied().or(usual);
            mop.value = match shape {
                Some(Function::Increment) => Value::Int(0),
                Some(_) => Value::list([]),
                None => continue,
            };
        }
    }
}
