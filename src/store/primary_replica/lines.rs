//! Several ways to learn that the primary is alive: beside the network, a serial line, a second network.
//!
//! A beat on one of them says that its sender runs and nothing else, so it deposes nobody. What is
//! made of ways that contradict each other is a matter of taste: who is content with one that is silent
//! takes a cut for a death, who waits for all waits for ever if one of them is fed by something that
//! does not die with the primary.

use super::{Message, PrimaryReplica};
use crate::model::{Channel, Nanos};
use crate::sim::{NodeId, Outbox};

/// The ways beside the first.
const LINES: [Channel; 2] = [Channel::SecondStatus, Channel::ThirdStatus];

/// How many ways there are at most.
pub(super) const MOST: u8 = LINES.len() as u8 + 1;

/// When the primary was last heard of on each of the ways beside the first.
pub(super) type Lines = [Nanos; LINES.len()];

impl PrimaryReplica {
    fn lines(&self) -> usize {
        usize::from(self.settings.status_channels.saturating_sub(1))
    }

    /// The primary says on every line that it runs.
    pub(super) fn beat(&self, to: NodeId, out: &mut Outbox<'_, Self>) {
        for (line, channel) in LINES.into_iter().enumerate().take(self.lines()) {
            out.send_over(channel, to, Message::Beat { line });
        }
    }

    /// Somebody was heard on a line.
    pub(super) fn heard_on(&mut self, line: usize, from: NodeId, now: Nanos) {
        if from == self.primary() {
            self.lines[line] = now;
        }
    }

    /// Whether so many ways have been silent for so long that the primary is taken for dead. A node
    /// that must not lead misses nobody.
    pub(super) fn misses_primary(&self, patience: Nanos, now: Nanos) -> bool {
        let Some(heard) = self.heard else { return false };
        let ways = self.lines.iter().take(self.lines()).chain([&heard]);
        let silent = ways.filter(|heard| now - **heard > patience).count();
        silent >= usize::from(self.settings.silent_needed)
    }
}
