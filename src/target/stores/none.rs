//! No store at all: every operation is answered at once.
//!
//! It measures what rashomon itself takes. Every operation is `ok` and every read returns nothing, so
//! a history of it violates whatever a workload expects: judge nothing by it.

use std::sync::Arc;

use crate::model::{Invocation, Outcome, Process};
use crate::target::client::{Answering, Client};
use crate::target::stores::{Adapter, Asking, Probe};

pub(super) struct NoStore;

impl Adapter for NoStore {
    fn client(self: Arc<Self>, _: Process, _: &Arc<str>) -> Result<Box<dyn Client>, String> {
        Ok(Box::new(Self))
    }

    fn probe(self: Arc<Self>, _: &Arc<str>) -> Result<Box<dyn Probe>, String> {
        Ok(Box::new(Self))
    }

    fn knows_primaries(&self) -> bool {
        false
    }
}

impl Client for NoStore {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        Box::pin(std::future::ready(Outcome::Ok(invocation.op.mops.clone()).into()))
    }
}

impl Probe for NoStore {
    fn ready(&mut self) -> Asking<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn leads(&mut self) -> Asking<'_, Option<u64>> {
        Box::pin(std::future::ready(None))
    }
}
