//! All levels of isolation at once.

use crate::check::transaction::Committed;
use crate::check::transaction::evidence::Evidence;
use crate::check::transaction::flaws::Flaw;
use crate::check::transaction::level::{LEVELS, Level, Model};
use crate::check::transaction::polygraph::{Answer, decide, is_certified};
use crate::check::transaction::unserial::{anomaly, needed};
use crate::check::transaction::visibility::{self, Outcome, Sight};
use crate::check::writers::Writers;
use crate::check::{Limits, Property, Status, Verdict};
use crate::history::History;

/// Decides every level of isolation of the transactions of registers and lists.
///
/// The strongest level first that no anomaly excludes: where it holds, all weaker ones do. Where it
/// fails, a single order may yet show that snapshots are kept. Otherwise the weaker before the
/// stronger: a violated level takes every stronger one with it, which then has no proof of its own but
/// says from which it follows; so does an anomaly that was `found`, if it rests on no assumption.
pub fn check(history: &History, limits: &Limits, found: &[Verdict]) -> Vec<Verdict> {
    let writers = Writers::new(history, history.txns().map(|txn| txn.id));
    let committed = Committed::new(history, &writers);
    levels(history, limits, (writers, committed), found)
}

/// Decides every level, of transactions that are known already.
pub(super) fn levels(
    history: &History,
    limits: &Limits,
    (writers, committed): (Writers, Committed),
    found: &[Verdict],
) -> Vec<Verdict> {
    let evidence = Evidence::new(history, &writers, &committed);
    drop((writers, committed));
    let proven = |verdict: &&Verdict| {
        verdict.status == Status::Invalid
            && verdict.anomalies.iter().any(|anomaly| anomaly.assumes.is_empty())
    };
    let found = found.iter().filter(proven).map(|verdict| verdict.property).collect();
    let mut levels = Levels { evidence, limits, found, verdicts: Vec::new() };
    levels.flawed();
    let strongest = levels.strongest(|_| true).map(|level| (level, levels.decide(level)));
    if let Some((level, Answer::Holds)) = &strongest {
        levels.holds(level.property);
    } else if let Some(level) = levels.strongest(|level| level.model == Model::Snapshot)
        && strongest.as_ref().is_some_and(|(tried, _)| tried.property != level.property)
        && is_certified(&levels.evidence, level)
    {
        levels.holds(level.property);
    }
    levels.visible();
    levels.ordered(strongest);
    let mut verdicts = levels.verdicts;
    verdicts.sort_by_key(|verdict| verdict.property);
    verdicts
}

/// The levels that need no order of versions, the weaker first.
const VISIBLE: [(Property, Sight); 6] = [
    (Property::Rc, Sight::Committed),
    (Property::SsRc, Sight::Read),
    (Property::Ra, Sight::Direct),
    (Property::SsRa, Sight::DirectAndSession),
    (Property::Tcc, Sight::Causal),
    (Property::SsTcc, Sight::CausalAndSession),
];

struct Levels<'h, 'l> {
    evidence: Evidence<'h>,
    limits: &'l Limits,
    /// The anomalies that were found.
    found: Vec<Property>,
    verdicts: Vec<Verdict>,
}

impl Levels<'_, '_> {
    fn status(&self, property: Property) -> Option<Status> {
        let known = self.verdicts.iter().find(|one| one.property == property);
        known.map(|verdict| verdict.status)
    }

    /// Whether a level is decided already, by what is known of the others.
    fn is_settled(&mut self, property: Property) -> bool {
        if self.status(property).is_some() {
            return true;
        }
        let violated = self.verdicts.iter().filter(|one| one.status == Status::Invalid);
        let violated = violated.map(|one| one.property);
        let mut excluding = self.found.iter().copied().chain(violated);
        if let Some(weaker) = excluding.find(|weaker| property.is_at_least(*weaker)) {
            self.verdicts.push(Verdict::following(property, weaker));
            return true;
        }
        let mut holding = self.verdicts.iter().filter(|one| one.status == Status::Valid);
        if holding.any(|one| one.property.is_at_least(property)) {
            self.verdicts.push(Verdict::valid(property));
            return true;
        }
        false
    }

    /// The strongest of these levels that is not decided yet.
    fn strongest(&mut self, of: fn(&Level) -> bool) -> Option<Level> {
        LEVELS.into_iter().rev().filter(of).find(|level| !self.is_settled(level.property))
    }

    /// It holds, as far as the evidence goes.
    fn holds(&mut self, property: Property) {
        self.verdicts.push(match self.evidence.doubt {
            None => Verdict::valid(property),
            Some(doubt) => Verdict::unknown(property, doubt),
        });
    }

    /// Reads that no order explains.
    fn flawed(&mut self) {
        let flaws = self.evidence.flaws.clone();
        let mut refute = |flaw: &Option<Flaw>, weakest: Property| {
            if let Some(flaw) = flaw
                && !self.is_settled(weakest)
            {
                let anomaly = flaw.anomaly(self.evidence.history, weakest);
                self.verdicts.push(Verdict::invalid(weakest, vec![anomaly]));
            }
        };
        refute(&flaws.uncommitted, Property::Rc);
        // What a transaction wrote itself it must see at any level (Biswas and Enea 2019, section 2);
        // read committed allows that it reads a key of others twice with different answers.
        refute(&flaws.own, Property::Rc);
        refute(&flaws.repeated, Property::Ra);
    }

    /// The levels that need no order of versions.
    fn visible(&mut self) {
        for (property, sight) in VISIBLE {
            if self.is_settled(property) {
                continue;
            }
            let steps = self.limits.isolation_steps;
            match visibility::decide(&self.evidence, property, sight, steps) {
                Outcome::Violated(anomaly) => {
                    self.verdicts.push(Verdict::invalid(property, vec![anomaly]));
                }
                Outcome::Holds => self.holds(property),
                Outcome::Spent => self.spent(property),
            }
        }
    }

    /// The levels that need an order of versions; the answer for one of them is known.
    fn ordered(&mut self, mut known: Option<(Level, Answer)>) {
        for level in LEVELS {
            if self.is_settled(level.property) {
                continue;
            }
            let known = known.take_if(|(known, _)| known.property == level.property);
            match known.map_or_else(|| self.decide(level), |(_, answer)| answer) {
                Answer::Holds => self.holds(level.property),
                Answer::Cycle(nodes) => {
                    let core = needed(&self.evidence, level, &nodes);
                    self.refute(level, &core);
                }
                Answer::NoOrder(core) => self.refute(level, &core),
                Answer::Spent => self.spent(level.property),
            }
        }
    }

    fn decide(&self, level: Level) -> Answer {
        let mut steps = self.limits.isolation_steps;
        decide(&self.evidence, level, &mut steps)
    }

    fn refute(&mut self, level: Level, core: &[u32]) {
        let anomaly = anomaly(&self.evidence, level, core);
        self.verdicts.push(Verdict::invalid(level.property, vec![anomaly]));
    }

    fn spent(&mut self, property: Property) {
        let reason = format!(
            "no order of the transactions was found, nor that there is none, within {} steps",
            self.limits.isolation_steps
        );
        self.verdicts.push(Verdict::unknown(property, reason));
    }
}
