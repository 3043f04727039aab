//! Windows of faults.

use crate::history::{Builder, FaultWindow, Malformed};
use crate::model::{FaultEvent, FaultId, Nanos, Value};

impl Builder {
    /// Adds the beginning or end of a fault.
    pub fn fault(
        &mut self,
        index: Option<u32>,
        time: Nanos,
        fault: &FaultEvent,
    ) -> Result<(), Malformed> {
        let index = self.next_index(index)?;
        self.next_time(time)?;
        let time = self.last_time;
        let faults = &mut self.history.faults;
        if fault.begins {
            let id = fault.id.unwrap_or(FaultId(faults.len() as u32 + 1));
            let (name, value) = (fault.name.clone(), fault.value.clone());
            faults.push(FaultWindow { id, name, begin: time, end: Nanos::FOREVER, value });
            self.history.fault_lines.push((index, None));
        } else {
            let open = faults.iter().rposition(|window| {
                window.end == Nanos::FOREVER
                    && fault.id.map_or(window.name == fault.name, |id| window.id == id)
            });
            if let Some(open) = open {
                faults[open].end = time;
                faults[open].value = with_verified(&faults[open].value, &fault.value);
                self.history.fault_lines[open].1 = Some(index);
            }
        }
        Ok(())
    }

    /// Ends a fault at the line that was passed over last.
    pub(in crate::history) fn fault_ends(&mut self, time: Nanos, id: FaultId) {
        let (time, index) = (time.max(self.last_time), self.last_index);
        let faults = &mut self.history.faults;
        let open = faults.iter().rposition(|fault| fault.id == id && fault.end == Nanos::FOREVER);
        if let Some(open) = open {
            faults[open].end = time;
            self.history.fault_lines[open].1 = index;
        }
    }

    /// Adds a whole fault, as the operation form has it.
    pub fn fault_window(&mut self, window: FaultWindow) {
        self.operation_form = true;
        self.history.faults.push(window);
        self.history.fault_lines.push((0, None));
    }
}

/// What a fault does, and whether it was seen to be in force: only its end can tell.
fn with_verified(begun: &Value, ended: &Value) -> Value {
    let (Value::Map(entries), Value::Map(told)) = (begun, ended) else { return begun.clone() };
    let verified = |(key, _): &&(Value, Value)| *key == Value::text("verified");
    match told.iter().find(verified) {
        Some(told) if !entries.iter().any(|entry| verified(&entry)) => {
            Value::Map(entries.iter().chain([told]).cloned().collect())
        }
        _ => begun.clone(),
    }
}
