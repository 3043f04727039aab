//! What breaks next, and when it is mended.

use std::sync::Arc;

use crate::generate::shapes::Shape;
use crate::generate::traits::Context;
use crate::model::{Action, Channel, Fault, FaultId, Lost, Nanos, Random};

/// Whom a fault is done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// A random one.
    One,
    /// As many as may fail while a majority remains; at least one.
    Minority,
    /// The smallest majority.
    Majority,
    /// The primary, or a random one where none is known.
    Primary,
    /// Every one.
    All,
    /// This one.
    Named(Arc<str>),
}

impl Nodes {
    /// The words for them; any other word is the name of a node.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("one", Self::One),
        ("minority", Self::Minority),
        ("majority", Self::Majority),
        ("primary", Self::Primary),
        ("all", Self::All),
    ];

    /// What a word says.
    pub fn from_name(name: &str) -> Self {
        let known = Self::WORDS.iter().find(|(word, _)| *word == name);
        known.map_or_else(|| Self::Named(Arc::from(name)), |(_, nodes)| nodes.clone())
    }

    fn choose(&self, nodes: &[Arc<str>], primary: usize, random: &mut Random) -> Vec<Arc<str>> {
        let count = match self {
            Self::Named(name) => return vec![name.clone()],
            Self::Primary => return nodes.get(primary).cloned().into_iter().collect(),
            Self::One => 1,
            Self::Minority => (nodes.len().saturating_sub(1) / 2).max(1),
            Self::Majority => nodes.len() / 2 + 1,
            Self::All => nodes.len(),
        };
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        random.shuffle(&mut order);
        order.truncate(count);
        order.sort_unstable();
        order.into_iter().map(|node| nodes[node].clone()).collect()
    }
}

/// What a fault does.
#[derive(Clone, Debug)]
pub enum Inject {
    /// Cuts the network, or one channel of it.
    Partition(Shape, Option<Channel>),
    /// Kills processes; its end restarts them.
    Kill(Nodes),
    /// Stops processes; its end lets them go on.
    Pause(Nodes),
    /// Puts clocks so many milliseconds ahead.
    Skew(Nodes, i64),
    /// Lets everything that goes to or from nodes take so many milliseconds longer.
    Slow(Nodes, u64),
    /// Cuts every second client off from nodes.
    Disconnect(Nodes, Lost),
    /// What the target's own commands of that name do.
    Command(Arc<str>, Nodes),
}

/// A fault and its schedule. It begins `offset` after the main phase has begun and then every
/// `every`, but never so late that it could not last as long as it should.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    /// What it does.
    pub inject: Inject,
    /// How long from one beginning to the next; once only where absent.
    pub every: Option<Nanos>,
    /// How long it lasts; to the end of the main phase where absent.
    pub lasts: Option<Nanos>,
    /// When it first begins, from the start of the main phase.
    pub offset: Nanos,
    /// While it lasts it comes and goes: there for so long, away for so long, the same each time.
    pub flap: Option<Nanos>,
}

/// A fault that comes and goes.
#[derive(Clone, Copy, Debug)]
struct Flapping {
    /// How long it is there, and how long away.
    each: Nanos,
    /// When it is over.
    until: Nanos,
}

/// What is broken.
#[derive(Clone, Debug)]
struct Broken {
    end: Nanos,
    id: FaultId,
    fault: Fault,
    flapping: Option<Flapping>,
}

/// The faults of a run.
#[derive(Clone, Debug)]
pub(super) struct Nemesis {
    plans: Vec<FaultPlan>,
    /// When each begins next.
    begins: Vec<Nanos>,
    /// What is broken now, and until when.
    broken: Vec<Broken>,
    /// What flaps and is away now, and when it comes again.
    away: Vec<(Nanos, Fault, Flapping)>,
    /// When something is to be done next.
    due: Nanos,
    until: Nanos,
    last_id: u32,
    nodes: Vec<Arc<str>>,
    random: Random,
}

impl Nemesis {
    pub(super) fn new(plans: &[FaultPlan], seed: u64, nodes: &[Arc<str>]) -> Self {
        Self {
            plans: plans.to_vec(),
            begins: vec![Nanos::FOREVER; plans.len()],
            broken: Vec::new(),
            away: Vec::new(),
            due: Nanos::FOREVER,
            until: Nanos(0),
            last_id: 0,
            nodes: nodes.to_vec(),
            random: Random::stream(seed, "nemesis"),
        }
    }

    /// Faults may be there from `from` until `until`, when all have ended.
    pub(super) fn start(&mut self, from: Nanos, until: Nanos) {
        self.until = until;
        for (begin, plan) in self.begins.iter_mut().zip(&self.plans) {
            *begin = from + plan.offset;
        }
        self.plan_next(from);
    }

    /// When something is to be done next; `FOREVER` when nothing is broken nor will be.
    pub(super) fn due(&self) -> Nanos {
        self.due
    }

    /// What is to be done now, ends first.
    pub(super) fn next(&mut self, context: &Context<'_>) -> Option<Action> {
        if context.now < self.due {
            return None;
        }
        self.plan_next(context.now);
        let action = self.end(context.now).or_else(|| self.begin(context));
        self.plan_next(context.now);
        action
    }

    fn end(&mut self, now: Nanos) -> Option<Action> {
        let at = self.broken.iter().position(|broken| broken.end <= now)?;
        let Broken { id, fault, flapping, .. } = self.broken.remove(at);
        if let Some(flapping) = flapping {
            let again = now + flapping.each;
            if again + flapping.each <= flapping.until {
                self.away.push((again, fault.clone(), flapping));
            }
        }
        Some(Action::End(id, fault))
    }

    fn begin(&mut self, context: &Context<'_>) -> Option<Action> {
        if let Some(at) = self.away.iter().position(|(again, ..)| *again <= context.now) {
            let (_, fault, flapping) = self.away.remove(at);
            return Some(self.break_now(context.now + flapping.each, fault, Some(flapping)));
        }
        let at = self.begins.iter().position(|begin| *begin <= context.now)?;
        let plan = &self.plans[at];
        let end = plan.lasts.map_or(self.until, |lasts| (context.now + lasts).min(self.until));
        // A late driver must not make up for missed beginnings by a burst of them.
        self.begins[at] = match plan.every {
            Some(every) if every > Nanos(0) => {
                let missed = (context.now - self.begins[at]).0 / every.0;
                self.begins[at] + Nanos(every.0.saturating_mul(missed + 1))
            }
            _ => Nanos::FOREVER,
        };
        let flapping = plan.flap.map(|each| Flapping { each, until: end });
        let end = flapping.map_or(end, |flapping| end.min(context.now + flapping.each));
        let fault = self.draw(at, context);
        Some(self.break_now(end, fault, flapping))
    }

    fn break_now(&mut self, end: Nanos, fault: Fault, flapping: Option<Flapping>) -> Action {
        self.last_id += 1;
        let id = FaultId(self.last_id);
        self.broken.push(Broken { end, id, fault: fault.clone(), flapping });
        Action::Begin(id, fault)
    }

    fn draw(&mut self, at: usize, context: &Context<'_>) -> Fault {
        let known = context.primary.and_then(|name| self.nodes.iter().position(|n| n == name));
        let primary = known.unwrap_or_else(|| self.random.below(self.nodes.len() as u64) as usize);
        let mut choose = |nodes: &Nodes| nodes.choose(&self.nodes, primary, &mut self.random);
        match &self.plans[at].inject {
            Inject::Kill(nodes) => Fault::Kill(choose(nodes)),
            Inject::Pause(nodes) => Fault::Pause(choose(nodes)),
            Inject::Skew(nodes, offset_ms) => {
                Fault::Skew { nodes: choose(nodes), offset_ms: *offset_ms }
            }
            Inject::Slow(nodes, by_ms) => Fault::Slow { nodes: choose(nodes), by_ms: *by_ms },
            Inject::Disconnect(nodes, lost) => {
                Fault::Disconnect { nodes: choose(nodes), lost: *lost }
            }
            Inject::Command(name, nodes) => {
                Fault::Command { name: name.clone(), nodes: choose(nodes) }
            }
            Inject::Partition(shape, channel) => Fault::Partition {
                shape: Arc::from(shape.name()),
                cuts: shape.cuts(&self.nodes, primary, &mut self.random),
                channel: *channel,
            },
        }
    }

    fn plan_next(&mut self, now: Nanos) {
        for (begin, plan) in self.begins.iter_mut().zip(&self.plans) {
            let start = now.max(*begin);
            let fits = start < self.until && start + plan.lasts.unwrap_or_default() <= self.until;
            if !fits {
                *begin = Nanos::FOREVER;
            }
        }
        let ends = self.broken.iter().map(|broken| broken.end);
        let again = self.away.iter().map(|(again, ..)| *again);
        let begins = self.begins.iter().copied();
        self.due = ends.chain(again).chain(begins).min().unwrap_or(Nanos::FOREVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(every: u64, lasts: u64) -> FaultPlan {
        let inject =
            Inject::Partition(Shape::from_name("halves").expect("it is in the table"), None);
        let nanos = Nanos::from_millis;
        let (every, lasts) = (Some(nanos(every)), Some(nanos(lasts)));
        FaultPlan { inject, every, lasts, offset: Nanos(0), flap: None }
    }

    #[test]
    fn a_flapping_cut_comes_and_goes_and_is_the_same_each_time() {
        let nodes = ["n1", "n2", "n3"].map(Arc::from);
        let plan = FaultPlan { flap: Some(Nanos::from_millis(10)), ..partition(100, 50) };
        let mut nemesis = Nemesis::new(&[plan], 1, &nodes);
        nemesis.start(Nanos(0), Nanos::from_millis(60));
        let (mut seen, mut faults) = (Vec::new(), Vec::new());
        while nemesis.due() != Nanos::FOREVER {
            let now = nemesis.due();
            let context = Context { now, primary: None };
            match nemesis.next(&context) {
                Some(Action::Begin(_, fault)) => {
                    seen.push(("cut", now.0 / 1_000_000));
                    faults.push(fault);
                }
                Some(Action::End(..)) => seen.push(("whole", now.0 / 1_000_000)),
                other => panic!("{other:?}"),
            }
        }
        let expected =
            [("cut", 0), ("whole", 10), ("cut", 20), ("whole", 30), ("cut", 40), ("whole", 50)];
        assert_eq!(seen, expected);
        assert!(faults.iter().all(|fault| *fault == faults[0]));
    }

    #[test]
    fn a_late_driver_gets_no_burst_and_every_end() {
        let nodes = ["n1", "n2", "n3"].map(Arc::from);
        let mut nemesis = Nemesis::new(&[partition(100, 50)], 1, &nodes);
        nemesis.start(Nanos(0), Nanos::from_millis(1_000));
        let (mut begun, mut ended) = (0, 0);
        for millis in [0, 350, 360, 980, 2_000] {
            let context = Context { now: Nanos::from_millis(millis), primary: None };
            while let Some(action) = nemesis.next(&context) {
                match action {
                    Action::Begin(..) => begun += 1,
                    Action::End(..) => ended += 1,
                    Action::Invoke(_) => panic!("a nemesis is no client"),
                }
                assert!((0..=1).contains(&(begun - ended)));
            }
        }
        // At 0 and at 350 ms (late for 100, 200 and 300); what comes after 950 ms could not last.
        assert_eq!((begun, ended, nemesis.due()), (2, 2, Nanos::FOREVER));
    }

    #[test]
    fn how_many_nodes_a_word_means() {
        let all: Vec<Arc<str>> = (1..=5).map(|n| Arc::from(format!("n{n}"))).collect();
        let mut random = Random::stream(1, "nemesis");
        for (word, of_five, of_one) in [
            ("one", 1, 1),
            ("minority", 2, 1),
            ("majority", 3, 1),
            ("primary", 1, 1),
            ("all", 5, 1),
        ] {
            let nodes = Nodes::from_name(word);
            let mut count = |nodes: &Nodes, all| nodes.choose(all, 0, &mut random).len();
            assert_eq!(
                (count(&nodes, &all), count(&nodes, &all[..1])),
                (of_five, of_one),
                "{word}"
            );
        }
    }
}
