//! What breaks next, and when it is mended.

use std::sync::Arc;

use crate::generate::shapes::Shape;
use crate::generate::traits::Context;
use crate::model::{Action, Channel, Cut, Fault, FaultId, Nanos, NodeFault, Random};

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
    /// So many random ones.
    Random(usize),
    /// These.
    Named(Vec<Arc<str>>),
}

impl Nodes {
    /// The words for them; any other word is the name of a node, or `random(2)`.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("one", Self::One),
        ("minority", Self::Minority),
        ("majority", Self::Majority),
        ("primary", Self::Primary),
        ("all", Self::All),
    ];

    /// What a word says.
    pub fn from_name(name: &str) -> Self {
        let count = name.strip_prefix("random(").and_then(|rest| rest.strip_suffix(')'));
        if let Some(count) = count.and_then(|count| count.parse().ok()) {
            return Self::Random(count);
        }
        let known = Self::WORDS.iter().find(|(word, _)| *word == name);
        known.map_or_else(|| Self::Named(vec![Arc::from(name)]), |(_, nodes)| nodes.clone())
    }

    fn choose(&self, nodes: &[Arc<str>], primary: usize, random: &mut Random) -> Vec<Arc<str>> {
        let count = match self {
            Self::Named(names) => return names.clone(),
            Self::Primary => return nodes.get(primary).cloned().into_iter().collect(),
            Self::One => 1,
            Self::Minority => minority(nodes.len()),
            Self::Majority => nodes.len() / 2 + 1,
            Self::All => nodes.len(),
            Self::Random(count) => *count,
        };
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        random.shuffle(&mut order);
        order.truncate(count);
        order.sort_unstable();
        order.into_iter().map(|node| nodes[node].clone()).collect()
    }
}

/// How many of so many nodes may fail while a majority remains; at least one.
fn minority(nodes: usize) -> usize {
    (nodes.saturating_sub(1) / 2).max(1)
}

/// How many nodes may be broken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// So many.
    Nodes(usize),
    /// As many as may fail while a majority remains; at least one.
    Minority,
}

/// What a fault does.
#[derive(Clone, Debug)]
pub enum Inject {
    /// Cuts the network, or one channel of it.
    Partition(Shape, Option<Channel>),
    /// Breaks nodes.
    Nodes(Nodes, NodeFault),
}

/// When a fault begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begins {
    /// Once, and never again.
    Once,
    /// Again and again, so long from one beginning to the next.
    Every(Nanos),
    /// Again and again, after a random time since its last end, of so long in the mean
    /// (exponentially distributed).
    Random(Nanos),
    /// At these times, in order.
    At(Vec<Nanos>),
    /// Whenever the fault of that place in the list has ended.
    After(usize),
}

/// A fault and its schedule. It never begins so late that it could not last as long as it should.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    /// What it does.
    pub inject: Inject,
    /// When it begins.
    pub begins: Begins,
    /// How long it lasts; to the end of the main phase where absent.
    pub lasts: Option<Nanos>,
    /// How much later than `begins` says, which counts from the start of the main phase.
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
    /// Which plan it is of.
    plan: usize,
    fault: Fault,
    flapping: Option<Flapping>,
}

/// What flaps and is away now.
#[derive(Clone, Debug)]
struct Away {
    /// When it comes again.
    again: Nanos,
    plan: usize,
    fault: Fault,
    flapping: Flapping,
}

/// The faults of a run.
#[derive(Clone, Debug)]
pub(super) struct Nemesis {
    plans: Vec<FaultPlan>,
    budget: Option<Budget>,
    /// When each begins next.
    begins: Vec<Nanos>,
    /// What is broken now, and until when.
    broken: Vec<Broken>,
    away: Vec<Away>,
    /// When something is to be done next.
    due: Nanos,
    from: Nanos,
    until: Nanos,
    last_id: u32,
    nodes: Vec<Arc<str>>,
    random: Random,
}

impl Nemesis {
    pub(super) fn new(
        plans: &[FaultPlan],
        budget: Option<Budget>,
        seed: u64,
        nodes: &[Arc<str>],
    ) -> Self {
        Self {
            plans: plans.to_vec(),
            budget,
            begins: vec![Nanos::FOREVER; plans.len()],
            broken: Vec::new(),
            away: Vec::new(),
            due: Nanos::FOREVER,
            from: Nanos(0),
            until: Nanos(0),
            last_id: 0,
            nodes: nodes.to_vec(),
            random: Random::stream(seed, "nemesis"),
        }
    }

    /// Faults may be there from `from` until `until`, when all have ended.
    pub(super) fn start(&mut self, from: Nanos, until: Nanos) {
        self.from = from;
        self.until = until;
        for (begin, plan) in self.begins.iter_mut().zip(&self.plans) {
            *begin = from
                + plan.offset
                + match &plan.begins {
                    Begins::Once | Begins::Every(_) => Nanos(0),
                    Begins::Random(mean) => exponential(*mean, &mut self.random),
                    Begins::At(times) => times.first().copied().unwrap_or(Nanos::FOREVER),
                    Begins::After(_) => Nanos::FOREVER,
                };
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
        let Broken { id, plan, fault, flapping, .. } = self.broken.remove(at);
        let again = flapping.filter(|one| now + one.each + one.each <= one.until);
        if let Some(flapping) = again {
            let again = now + flapping.each;
            self.away.push(Away { again, plan, fault: fault.clone(), flapping });
            return Some(Action::End(id, fault));
        }
        for (begin, follower) in self.begins.iter_mut().zip(&self.plans) {
            if follower.begins == Begins::After(plan) {
                *begin = now + follower.offset;
            }
        }
        Some(Action::End(id, fault))
    }

    fn begin(&mut self, context: &Context<'_>) -> Option<Action> {
        let now = context.now;
        if let Some(at) = self.away.iter().position(|away| away.again <= now) {
            let Away { plan, fault, flapping, .. } = self.away.remove(at);
            return Some(self.break_now(plan, now + flapping.each, fault, Some(flapping)));
        }
        while let Some(at) = self.begins.iter().position(|begin| *begin <= now) {
            let fault = self.draw(at, context);
            if let Some(wait) = self.must_wait(&fault) {
                self.begins[at] = wait;
                self.plan_next(now);
                continue;
            }
            let plan = &self.plans[at];
            let end = plan.lasts.map_or(self.until, |lasts| (now + lasts).min(self.until));
            let flapping = plan.flap.map(|each| Flapping { each, until: end });
            self.begins[at] = self.next_begin(at, now, end);
            let end = flapping.map_or(end, |flapping| end.min(now + flapping.each));
            return Some(self.break_now(at, end, fault, flapping));
        }
        None
    }

    /// When a plan that begins now begins again. A late driver does not make up for what it missed
    /// by a burst.
    fn next_begin(&mut self, at: usize, now: Nanos, end: Nanos) -> Nanos {
        match &self.plans[at].begins {
            Begins::Every(every) if *every > Nanos(0) => {
                let missed = (now - self.begins[at]).0 / every.0;
                self.begins[at] + Nanos(every.0.saturating_mul(missed + 1))
            }
            Begins::Random(mean) => end + exponential(*mean, &mut self.random),
            Begins::At(times) => {
                let since = now - self.from - self.plans[at].offset;
                let next = times.iter().find(|time| **time > since);
                next.map_or(Nanos::FOREVER, |time| self.from + self.plans[at].offset + *time)
            }
            Begins::Every(_) | Begins::Once | Begins::After(_) => Nanos::FOREVER,
        }
    }

    /// Until when a fault must wait so that no more nodes are broken at once than may be; `FOREVER` if
    /// it alone would break too many.
    fn must_wait(&self, fault: &Fault) -> Option<Nanos> {
        let most = match self.budget? {
            Budget::Nodes(most) => most,
            Budget::Minority => minority(self.nodes.len()),
        };
        let away = self.away.iter().map(|away| &away.fault);
        let others = self.broken.iter().map(|broken| &broken.fault).chain(away);
        if self.count_broken(others.chain([fault])) <= most {
            return None;
        }
        let over = |flapping: Option<Flapping>, end| flapping.map_or(end, |one| one.until);
        let ends = self.broken.iter().map(|broken| over(broken.flapping, broken.end));
        let ends = ends.chain(self.away.iter().map(|away| away.flapping.until));
        Some(ends.min().unwrap_or(Nanos::FOREVER))
    }

    /// How many nodes are not among the largest group that nothing is done to and in which everyone
    /// hears everyone. The group is found greedily, so that rather too many count as broken.
    fn count_broken<'a>(&self, faults: impl Iterator<Item = &'a Fault>) -> usize {
        let (mut hurt, mut cuts): (Vec<&Arc<str>>, Vec<&Cut>) = (Vec::new(), Vec::new());
        for fault in faults {
            match fault {
                Fault::Partition { cuts: more, .. } => cuts.extend(more),
                Fault::Nodes { nodes, .. } => hurt.extend(nodes),
            }
        }
        let is_cut = |a: &Arc<str>, b: &Arc<str>| {
            cuts.iter()
                .any(|cut| (cut.from == *a && cut.to == *b) || (cut.from == *b && cut.to == *a))
        };
        let whole: Vec<&Arc<str>> = self.nodes.iter().filter(|node| !hurt.contains(node)).collect();
        let group_of = |first: usize| {
            let mut group: Vec<&Arc<str>> = Vec::new();
            for at in 0..whole.len() {
                let node = whole[(first + at) % whole.len()];
                if group.iter().all(|other| !is_cut(node, other)) {
                    group.push(node);
                }
            }
            group.len()
        };
        self.nodes.len() - (0..whole.len()).map(group_of).max().unwrap_or(0)
    }

    fn break_now(
        &mut self,
        plan: usize,
        end: Nanos,
        fault: Fault,
        flapping: Option<Flapping>,
    ) -> Action {
        self.last_id += 1;
        let id = FaultId(self.last_id);
        self.broken.push(Broken { end, id, plan, fault: fault.clone(), flapping });
        Action::Begin(id, fault)
    }

    fn draw(&mut self, at: usize, context: &Context<'_>) -> Fault {
        let known = context.primary.and_then(|name| self.nodes.iter().position(|n| n == name));
        let primary = known.unwrap_or_else(|| self.random.below(self.nodes.len() as u64) as usize);
        match &self.plans[at].inject {
            Inject::Nodes(nodes, what) => {
                what.clone().at(nodes.choose(&self.nodes, primary, &mut self.random))
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
        let again = self.away.iter().map(|away| away.again);
        let begins = self.begins.iter().copied();
        self.due = ends.chain(again).chain(begins).min().unwrap_or(Nanos::FOREVER);
    }
}

fn exponential(mean: Nanos, random: &mut Random) -> Nanos {
    Nanos(random.exponential(mean.0 as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(every: u64, lasts: u64) -> FaultPlan {
        let inject =
            Inject::Partition(Shape::from_name("halves").expect("it is in the table"), None);
        let nanos = Nanos::from_millis;
        let (begins, lasts) = (Begins::Every(nanos(every)), Some(nanos(lasts)));
        FaultPlan { inject, begins, lasts, offset: Nanos(0), flap: None }
    }

    #[test]
    fn a_flapping_cut_comes_and_goes_and_is_the_same_each_time() {
        let nodes = ["n1", "n2", "n3"].map(Arc::from);
        let plan = FaultPlan { flap: Some(Nanos::from_millis(10)), ..partition(100, 50) };
        let mut nemesis = Nemesis::new(&[plan], None, 1, &nodes);
        nemesis.start(Nanos(0), Nanos::from_millis(60));
        let (mut seen, mut faults) = (Vec::new(), Vec::new());
        while nemesis.due() != Nanos::FOREVER {
            let now = nemesis.due();
            let context = Context { now, primary: None, fault_under_way: false };
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
        let mut nemesis = Nemesis::new(&[partition(100, 50)], None, 1, &nodes);
        nemesis.start(Nanos(0), Nanos::from_millis(1_000));
        let (mut begun, mut ended) = (0, 0);
        for millis in [0, 350, 360, 980, 2_000] {
            let context =
                Context { now: Nanos::from_millis(millis), primary: None, fault_under_way: false };
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
            ("random(2)", 2, 1),
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

    fn seconds(number: u64) -> Nanos {
        Nanos::from_millis(1_000 * number)
    }

    /// Every beginning (`+`) and end (`-`) of a fault, by the second, with the kind of fault.
    fn story(plans: &[FaultPlan], budget: Option<Budget>, until: u64) -> Vec<String> {
        let nodes = ["n1", "n2", "n3", "n4", "n5"].map(Arc::from);
        let mut nemesis = Nemesis::new(plans, budget, 1, &nodes);
        nemesis.start(Nanos(0), seconds(until));
        let mut story = Vec::new();
        while nemesis.due() != Nanos::FOREVER {
            let now = nemesis.due();
            let second = now.0 / 1_000_000_000;
            match nemesis.next(&Context { now, primary: None, fault_under_way: false }) {
                Some(Action::Begin(_, fault)) => story.push(format!("{second}+{}", fault.name())),
                Some(Action::End(_, fault)) => story.push(format!("{second}-{}", fault.name())),
                _ => {}
            }
        }
        story
    }

    fn on(nodes: &str, what: NodeFault, begins: Begins, lasts: u64) -> FaultPlan {
        FaultPlan {
            inject: Inject::Nodes(Nodes::from_name(nodes), what),
            begins,
            lasts: Some(seconds(lasts)),
            offset: Nanos(0),
            flap: None,
        }
    }

    #[test]
    fn at_times_and_one_after_the_other() {
        let times = vec![seconds(1), seconds(6)];
        let plans = [
            on("one", NodeFault::Kill, Begins::At(times), 2),
            on("one", NodeFault::Pause, Begins::After(0), 1),
        ];
        let expected =
            ["1+kill", "3-kill", "3+pause", "4-pause", "6+kill", "8-kill", "8+pause", "9-pause"];
        assert_eq!(story(&plans, None, 10), expected);
    }

    #[test]
    fn at_random_it_never_overlaps_itself() {
        let plan = on("one", NodeFault::Kill, Begins::Random(seconds(3)), 1);
        let story = story(&[plan], None, 1_000);
        assert!((400..620).contains(&story.len()), "{}", story.len());
        let begins = story.iter().map(|line| line.contains('+'));
        assert!(begins.enumerate().all(|(at, begins)| begins == (at % 2 == 0)));
    }

    #[test]
    fn what_would_break_too_many_nodes_waits() {
        let plans = [
            on("n1", NodeFault::Kill, Begins::Once, 4),
            on("n2", NodeFault::Pause, Begins::Once, 2),
            on("n1", NodeFault::DiskFull, Begins::Once, 1),
            on("majority", NodeFault::Throttle(5), Begins::Once, 1),
        ];
        let expected = ["0+kill", "0+disk-full", "1-disk-full", "4-kill", "4+pause", "6-pause"];
        assert_eq!(story(&plans, Some(Budget::Nodes(1)), 10), expected);
    }

    #[test]
    fn a_partition_breaks_those_who_miss_someone() {
        let nodes: Vec<Arc<str>> = (1..=5).map(|n| Arc::from(format!("n{n}"))).collect();
        let nemesis = Nemesis::new(&[], None, 1, &nodes);
        let mut random = Random::stream(1, "nemesis");
        for (shape, broken) in [("halves", 2), ("isolate", 1), ("majority-ring", 2), ("bridge", 2)]
        {
            let cuts = Shape::from_name(shape).expect("it is in the table");
            let cuts = cuts.cuts(&nodes, 0, &mut random);
            let fault = Fault::Partition { shape: shape.into(), cuts, channel: None };
            let count = nemesis.count_broken([&fault].into_iter());
            assert!((broken..=broken + 1).contains(&count), "{shape}: {count}");
        }
    }
}
