//! Where events are recorded.

use std::io::{self, Write};

use crate::history::Writer;
use crate::model::{Event, Fault, FaultId, Nanos};

/// Something that keeps every event before anyone acts on it.
pub trait Journal {
    /// Takes note of an event.
    fn record(&mut self, event: &Event) -> io::Result<()>;

    /// Is told that a fault has come into force, which is no event of a history; `seen` says whether a probe
    /// saw it, where there are probes.
    fn in_force(&mut self, _time: Nanos, _id: FaultId, _fault: &Fault, _seen: Option<bool>) {}

    /// When it returns, what was recorded survives the death of this process.
    fn flush(&mut self) -> io::Result<()>;
}

impl<W: Write> Journal for Writer<W> {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        Self::record(self, event)
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self)
    }
}

/// Keeps nothing: for runs whose history is only wanted in memory.
impl Journal for () {
    fn record(&mut self, _event: &Event) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
