//! What fills the holes of a request, and what an answer fills into its operation.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::model::{Function, Mop, Op, Value};
use crate::target::pages::Page;
use crate::target::template::Placeholder;

/// What is known when a request is made.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub op: &'a Op,
    /// The answer to the request that went before.
    pub before: Option<&'a Json>,
    /// Which page of the answer is asked for.
    pub page: &'a Page,
}

impl Known<'_> {
    /// What a placeholder stands for.
    pub(super) fn argument(
        self,
        node: &Arc<str>,
        run: &str,
        placeholder: &Placeholder,
    ) -> Option<Value> {
        let op = self.op;
        let last = || op.mops.last().map(|mop| mop.value.clone());
        match placeholder {
            Placeholder::Key => Some(op.key().clone()),
            // Of what is put, the context is none of the value.
            Placeholder::Value if op.function == Function::Put => part(&last()?, "val").cloned(),
            Placeholder::Value | Placeholder::New => last(),
            Placeholder::Old => op.mops.first().map(|mop| mop.value.clone()),
            Placeholder::Node => Some(Value::Text(node.clone())),
            Placeholder::Run => Some(Value::text(run)),
            Placeholder::Page => Some(self.page.token()),
            Placeholder::Before(pointer) => {
                serde_json::from_value(self.before?.pointer(pointer.as_str())?.clone()).ok()
            }
            Placeholder::Environment(_) => None,
        }
    }
}

/// An entry of a map.
pub(super) fn part<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Map(entries) = map else { return None };
    entries.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
}

/// What is read where there is nothing.
pub(super) fn nothing(op: &Op) -> Value {
    if op.function == Function::Get { Value::list([]) } else { Value::Null }
}

/// Whether the answer to it holds what the operation does not say by itself.
pub(super) fn learns(function: Function) -> bool {
    use Function as F;
    function.is_read() || matches!(function, F::Dequeue | F::Pop | F::Poll | F::Acquire | F::NewId)
}

/// The micro-operations with what was read in place of what was not yet known.
pub(super) fn with_read(op: &Op, value: Option<&Value>) -> Vec<Mop> {
    let mut mops = op.mops.clone();
    if let Some(value) = value {
        // The read half of a cas says what it expected and, being ok, read.
        let reads = mops.iter_mut().filter(|mop| learns(mop.function));
        for mop in reads.filter(|mop| mop.value == Value::Null) {
            mop.value = value.clone();
        }
    }
    mops
}
