//! Progress on standard error.

use std::io;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::terminal::{Terminal, complain};
use crate::model::{ClientEvent, Event, Fault, FaultId, Kind, Nanos, Value, What};
use crate::run::Journal;

/// A journal that shows what passes through it.
pub(crate) struct Shown<J> {
    journal: J,
    bar: ProgressBar,
    length: Nanos,
    drawn: Instant,
    completed: u64,
    ok: u64,
    faults: u64,
    verbose: u8,
}

impl<J> Shown<J> {
    /// Shows the progress of a run that lasts about `length`.
    pub(crate) fn new(journal: J, length: Nanos, terminal: &Terminal) -> Self {
        let bar = if terminal.progress {
            ProgressBar::new(length.0 / 1_000_000)
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
            bar.set_style(style);
        }
        Self {
            journal,
            bar,
            length,
            drawn: Instant::now(),
            completed: 0,
            ok: 0,
            faults: 0,
            verbose: terminal.verbose,
        }
    }

    /// Tells of an event that is rare.
    fn tell(&self, event: &Event) {
        let line = match &event.what {
            What::Fault(fault) => {
                let id = fault.id.map_or_else(String::new, |id| format!("{id} "));
                if fault.begins {
                    format!("{id}{} begins: {}", fault.name, fault.value)
                } else {
                    format!("{id}{} has ended", fault.name)
                }
            }
            What::Client(client)
                if self.verbose > 1 && matches!(client.kind, Kind::Fail | Kind::Info) =>
            {
                told(client)
            }
            What::Client(_) => return,
        };
        self.say(event.time, &line);
    }

    /// Says something above the bar.
    fn say(&self, time: Nanos, line: &str) {
        self.bar.suspend(|| complain(&format!("{:>10}  {line}", time.to_string())));
    }

    fn draw(&mut self, now: Nanos) {
        self.drawn = Instant::now();
        self.bar.set_position(now.0.min(self.length.0) / 1_000_000);
        self.bar.set_message(format!(
            "{now} · {} operations, {} ok · {} faults",
            self.completed, self.ok, self.faults
        ));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// An operation that failed or stayed unknown.
fn told(client: &ClientEvent) -> String {
    let key = client.op.key();
    let key = if *key == Value::Null { String::new() } else { format!(" {key}") };
    let node = client.node.as_ref().map_or_else(String::new, |node| format!(" at {node}"));
    let how = if client.kind == Kind::Fail { "failed" } else { "stays unknown" };
    let why = client.error.as_deref().map_or_else(String::new, |error| format!(": {error}"));
    format!("process {} {}{key}{node} {how}{why}", client.process, client.op.function.name())
}

impl<J: Journal> Journal for Shown<J> {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        match &event.what {
            What::Client(client) if client.kind != Kind::Invoke => {
                self.completed += 1;
                self.ok += u64::from(client.kind == Kind::Ok);
            }
            What::Fault(fault) if fault.begins => self.faults += 1,
            _ => {}
        }
        // A clock read a line would cost more than the line.
        if self.completed.is_multiple_of(64) && self.drawn.elapsed() > Duration::from_millis(100) {
            self.draw(event.time);
        }
        if self.verbose > 0 {
            self.tell(event);
        }
        self.journal.record(event)
    }

    fn in_force(&mut self, time: Nanos, id: FaultId, fault: &Fault, seen: Option<bool>) {
        if self.verbose > 0 {
            let how = match seen {
                Some(true) => "is in force, as its probe has seen",
                Some(false) => "is done; it has no probe",
                None => "is in force",
            };
            self.say(time, &format!("{id} {} {how}", fault.name()));
        }
        self.journal.in_force(time, id, fault, seen);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.journal.flush()
    }
}
