//! Rules: what is done to which directions, and what each has stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use crate::proxy::definition::Way;

/// A rule as it is asked for.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Asked {
    /// To what is sent on these ways.
    #[serde(default)]
    pub ways: Vec<Way>,
    /// And to whatever is sent to or by these nodes.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// To every second connection only.
    #[serde(default)]
    pub half: bool,
    /// The rule ends by itself when it was not renewed for so long.
    pub heal_within_ms: u64,
    /// What is done.
    pub effect: Effect,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Nothing gets through.
    Cut(Cut),
    /// Everything gets through, but badly.
    Packet(Packet),
}

/// How a cut looks to those whom it cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Cut {
    /// The connections that are there when it begins.
    pub open: Open,
    /// Those that are opened meanwhile.
    pub new: New,
}

/// What becomes of connections that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Open {
    /// They stay; bytes are held back and delivered afterwards, as TCP would by sending again.
    #[default]
    Hold,
    /// Both ends get a RST.
    Reset,
    /// The receiver gets a RST; the sender is not told and talks to nobody, until the end.
    HalfOpen,
}

/// What becomes of connections that are opened meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum New {
    /// Nobody answers; if they are still wanted afterwards, they are made.
    #[default]
    Hang,
    /// They get a RST.
    Refuse,
    /// They are made; their bytes are held back as those of the others.
    Pass,
}

impl Open {
    /// The words for them, the first where nothing is said.
    pub const WORDS: [&str; 3] = ["hold", "reset", "half-open"];
}

impl New {
    /// The words for them, the first where nothing is said.
    pub const WORDS: [&str; 3] = ["hang", "refuse", "pass"];
}

/// What a bad network does to a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Packet {
    /// Every byte takes so much longer.
    pub delay_ms: u64,
    /// And up to so much longer or shorter, at random; the order stays.
    pub jitter_ms: u64,
    /// The chance of a write to end its connection, in percent.
    pub loss: f64,
    /// How many thousand bits pass in a second on each connection; 0: no limit.
    pub rate_kbit: u64,
    /// A byte, and nothing for so long, and the next byte; 0: as they come.
    pub drip_ms: u64,
    /// No more than 0: a stream cannot have a part of it twice.
    pub duplicate: f64,
    /// No more than 0: a stream has an order.
    pub reorder: f64,
}

impl Asked {
    /// Whether it is about what is sent on this way.
    pub(super) fn concerns(&self, way: &Way) -> bool {
        self.ways.contains(way)
            || self.nodes.iter().any(|node| [&way.from, &way.to].contains(&node))
    }

    /// What makes no sense.
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.ways.is_empty() && self.nodes.is_empty() {
            return Err("expected `ways` or `nodes`".to_owned());
        }
        if !(1..=86_400_000).contains(&self.heal_within_ms) {
            return Err("expected `heal-within-ms` of 1 ms to a day".to_owned());
        }
        match &self.effect {
            Effect::Cut(cut) if cut.new == New::Pass && cut.open != Open::Hold => {
                Err("new connections can pass only where those that are there are held".to_owned())
            }
            Effect::Cut(_) => Ok(()),
            Effect::Packet(packet) => packet.validate(),
        }
    }
}

impl Packet {
    fn validate(&self) -> Result<(), String> {
        if self.duplicate > 0.0 || self.reorder > 0.0 {
            return Err("a proxy passes streams on, and TCP hides what a network duplicates and \
                        reorders; leave `duplicate` and `reorder` to a lab"
                .to_owned());
        }
        if !(0.0..=100.0).contains(&self.loss) {
            return Err("expected a loss of 0 to 100 percent".to_owned());
        }
        if *self == Self::default() {
            return Err("a packet fault of nothing; expected a delay, a loss, …".to_owned());
        }
        Ok(())
    }
}

/// A rule in force.
#[derive(Debug)]
pub(super) struct Rule {
    pub id: String,
    pub asked: Asked,
    pub begun: Instant,
    pub stopped: Stopped,
}

/// What a rule has done to the connections of others than the proxy itself.
#[derive(Debug, Default)]
pub(super) struct Stopped {
    /// Bytes that were read and not passed on while it was in force.
    pub held_bytes: AtomicU64,
    /// Connections that were made to wait.
    pub hung: AtomicU64,
    /// Connections that were refused.
    pub refused: AtomicU64,
    /// Connections that were ended.
    pub reset: AtomicU64,
    /// Bytes that were passed on late.
    pub slowed_bytes: AtomicU64,
}

impl Stopped {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "held-bytes": read(&self.held_bytes),
            "hung": read(&self.hung),
            "refused": read(&self.refused),
            "reset": read(&self.reset),
            "slowed-bytes": read(&self.slowed_bytes),
        })
    }
}

impl Rule {
    pub(super) fn cut(&self) -> Option<Cut> {
        match &self.asked.effect {
            Effect::Cut(cut) => Some(*cut),
            Effect::Packet(_) => None,
        }
    }

    fn concerns(&self, number: u64) -> bool {
        !self.asked.half || number % 2 == 1
    }
}

/// The rules of one direction of a link.
pub(super) type Rules = Arc<[Arc<Rule>]>;

/// The rules of a direction, added up for one connection.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub cuts: Vec<Arc<Rule>>,
    pub packets: Vec<Arc<Rule>>,
    pub delay: Duration,
    pub jitter: Duration,
    /// The chance of a write to be the last.
    pub loss: f64,
    pub bits_per_second: Option<u64>,
    pub drip: Option<Duration>,
}

impl Sum {
    /// Of the connection of that number.
    pub(super) fn of(rules: &Rules, number: u64) -> Self {
        let mut sum = Self::default();
        let mut survives = 1.0;
        for rule in rules.iter().filter(|rule| rule.concerns(number)) {
            match &rule.asked.effect {
                Effect::Cut(_) => sum.cuts.push(rule.clone()),
                Effect::Packet(packet) => {
                    sum.packets.push(rule.clone());
                    sum.delay += Duration::from_millis(packet.delay_ms);
                    sum.jitter += Duration::from_millis(packet.jitter_ms);
                    survives *= 1.0 - packet.loss / 100.0;
                    let rate = Some(packet.rate_kbit * 1_000).filter(|rate| *rate > 0);
                    sum.bits_per_second = rate.into_iter().chain(sum.bits_per_second).min();
                    let drip = Some(Duration::from_millis(packet.drip_ms));
                    let drip = drip.filter(|drip| !drip.is_zero());
                    sum.drip = drip.into_iter().chain(sum.drip).max();
                }
            }
        }
        sum.loss = 1.0 - survives;
        sum
    }

    pub(super) fn is_cut(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// Whether bytes are passed on as they come.
    pub(super) fn is_nothing(&self) -> bool {
        self.cuts.is_empty() && self.packets.is_empty()
    }

    /// The cut that ends the connections that are there, if one does.
    pub(super) fn ends(&self) -> Option<(&Arc<Rule>, Open)> {
        let open = |rule: &Arc<Rule>| rule.cut().map_or(Open::Hold, |cut| cut.open);
        let ends = self.cuts.iter().find(|rule| open(rule) != Open::Hold);
        ends.map(|rule| (rule, open(rule)))
    }

    /// The cut that lets no new connection through, if one does not.
    pub(super) fn bars(&self) -> Option<(&Arc<Rule>, New)> {
        let new = |rule: &Arc<Rule>| rule.cut().map_or(New::Pass, |cut| cut.new);
        let refuses = self.cuts.iter().find(|rule| new(rule) == New::Refuse);
        let bars = refuses.or_else(|| self.cuts.iter().find(|rule| new(rule) == New::Hang));
        bars.map(|rule| (rule, new(rule)))
    }
}
