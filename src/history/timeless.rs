//! Builds histories of formats that know sessions of transactions on registers, but no times.

use crate::history::builder::is_unknown;
use crate::history::read::Flaw;
use crate::history::{Access, Builder, Header, History, Malformed, Operation, ValueId};
use crate::model::{Function, Kind, Nanos, Process, Value};

/// A history that grows by a transaction at a time, those of each session in order.
pub(super) struct Sessions {
    builder: Builder,
    accesses: Vec<(Function, i64, Option<i64>)>,
}

impl Sessions {
    pub(super) fn new() -> Self {
        let mut builder = Builder::new();
        builder.header(Header { format: 1, timeless: true, ..Header::default() });
        Self { builder, accesses: Vec::new() }
    }

    /// Adds a read to the transaction at hand; `None` is the initial value.
    pub(super) fn read(&mut self, key: i64, value: Option<i64>) {
        self.accesses.push((Function::Read, key, value));
    }

    /// Adds a write to the transaction at hand.
    pub(super) fn write(&mut self, key: i64, value: i64) {
        self.accesses.push((Function::Write, key, Some(value)));
    }

    /// Whether the transaction at hand has done something.
    pub(super) fn is_open(&self) -> bool {
        !self.accesses.is_empty()
    }

    /// Ends the transaction at hand; one that did nothing leaves no trace.
    pub(super) fn end(&mut self, session: u32, kind: Kind) -> Result<(), Malformed> {
        if self.accesses.is_empty() {
            return Ok(());
        }
        let builder = &mut self.builder;
        let mut accesses = Vec::with_capacity(self.accesses.len());
        for (function, key, value) in self.accesses.drain(..) {
            let key = builder.key(&Value::Int(key));
            let value = match value {
                _ if is_unknown(kind, Function::Txn, function) => ValueId::UNKNOWN,
                Some(value) => builder.int_value(value),
                None => ValueId::NULL,
            };
            accesses.push(Access { function, key, value });
        }
        let operation = Operation {
            index: None,
            process: Process(session),
            kind,
            function: Function::Txn,
            invoked: Nanos(0),
            returned: (kind != Kind::Info).then_some(Nanos(0)),
            session: None,
            node: None,
            version: None,
            is_final: false,
        };
        builder.operation(operation, &accesses).map(|_| ())
    }

    /// The history; `end` is where a flaw of the whole is reported.
    pub(super) fn finish(self, end: usize) -> Result<History, Flaw> {
        self.builder.finish().map_err(|malformed| Flaw::new(end, malformed))
    }
}
