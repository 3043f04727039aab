//! Progress on standard error.

use std::io;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::terminal::Terminal;
use crate::model::{Event, Kind, Nanos, What};
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
        Self { journal, bar, length, drawn: Instant::now(), completed: 0, ok: 0, faults: 0 }
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
        self.journal.record(event)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.journal.flush()
    }
}
