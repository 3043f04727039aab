//! Why a register is not linearizable: the few operations that prove it, and a sentence.

use crate::check::Edge;
use crate::check::linear::chains::{Chains, Conflict};
use crate::check::linear::object::{Finding, Object, real_time, span, step};
use crate::check::linear::register::Version;
use crate::history::{Txn, TxnId, ValueId};

/// The versions of a register in the order of their chains.
pub(super) struct Line<'a> {
    pub(super) object: &'a Object<'a>,
    pub(super) versions: &'a [Version],
    pub(super) chains: &'a Chains,
    /// The version at each pair of layers: its write, and the reads of it.
    pub(super) order: &'a [u32],
}

impl<'a> Line<'a> {
    pub(super) fn finding(&self, conflict: Conflict) -> Finding {
        match conflict {
            Conflict::Layers { earlier, later } => self.out_of_order(earlier, later),
            Conflict::Chains(one, other) => self.entangled(one, other),
        }
    }

    fn version(&self, place: usize) -> &'a Version {
        &self.versions[self.order[place / 2] as usize]
    }

    fn txn(&self, id: TxnId) -> Txn<'a> {
        self.object.txn(id)
    }

    fn writer(&self, place: usize) -> Option<Txn<'a>> {
        self.version(place).writer().map(|id| self.txn(id))
    }

    /// Within one chain: `late` saw or made a later version and returned before `early`, which
    /// belongs to an earlier one, was invoked.
    fn out_of_order(&self, earlier: usize, later: usize) -> Finding {
        let early = self.txn(self.chains.layer(earlier).last_call.txn());
        let late = self.txn(self.chains.layer(later).first_return.txn());
        if earlier / 2 == later / 2 {
            return self.future_read(early, late, later);
        }
        // The first write on the way that came too early says it with fewer operations.
        let writes = (earlier / 2 + 1..=later / 2).map(|pair| 2 * pair);
        let mut early_writes = writes.filter_map(|place| Some((self.writer(place)?, place)));
        let (late, later) =
            early_writes.find(|(write, _)| write.precedes(early)).unwrap_or((late, later));
        let mut cycle = Vec::new();
        let mut at = early;
        for pair in earlier / 2 + 1..=later / 2 {
            let Some(next) = self.writer(2 * pair) else { continue };
            let why = format!(
                "#{} replaced {} by {}",
                next.index(),
                self.object.shown(self.version(2 * pair - 2).value),
                self.object.shown(self.version(2 * pair).value)
            );
            let reads = at.id == early.id && earlier % 2 == 1;
            cycle.push(step(at, if reads { Edge::Rw } else { Edge::Ww }, next, why));
            at = next;
        }
        if at.id != late.id {
            cycle.push(step(at, Edge::Wr, late, self.saw(late, later)));
        }
        cycle.push(real_time(late, early));
        let mut operations: Vec<TxnId> = cycle.iter().map(|step| step.from).collect();
        operations.extend(self.version(earlier).writer());
        let (name, old) = (self.object.name(), self.object.shown(self.version(earlier).value));
        let (answerer, gap) =
            (self.object.answerer(early), span(early.invoked_at() - late.returned_at()));
        let new = self.object.shown(self.version(later).value);
        let (kind, sentence) = if earlier % 2 == 1 {
            let held = if later % 2 == 1 { "been read" } else { "been written and acknowledged" };
            let sentence = format!(
                "{answerer} answered {name} = {old} at {} although {name} = {new}, which was made of it, had {held} {gap} earlier",
                early.invoked_at()
            );
            ("stale-read", sentence)
        } else {
            let sentence = format!(
                "the update #{} to {name} = {new} returned {gap} before #{}, which made {old}, the value it came from, was invoked",
                late.index(),
                early.index()
            );
            ("future-read", sentence)
        };
        Finding { kind, operations, cycle, sentence }
    }

    fn saw(&self, reader: Txn<'_>, place: usize) -> String {
        format!("#{} saw {}", reader.index(), self.object.shown(self.version(place).value))
    }

    fn future_read(&self, write: Txn<'a>, read: Txn<'a>, place: usize) -> Finding {
        let shown = self.object.shown(self.version(place).value);
        let sentence = format!(
            "{} answered {} = {shown} {} before the write of {shown} (#{}) was even invoked",
            self.object.answerer(read),
            self.object.name(),
            span(write.invoked_at() - read.returned_at()),
            write.index()
        );
        let cycle =
            vec![step(write, Edge::Wr, read, self.saw(read, place)), real_time(read, write)];
        Finding { kind: "future-read", operations: vec![write.id, read.id], cycle, sentence }
    }

    /// Two chains, each of which must come before the other.
    fn entangled(&self, one: usize, other: usize) -> Finding {
        // Tell it so that the operation that came too late is a read, if it can be told so; the
        // initial version (it begins the first chain) is older than all others.
        let told = self.pair(one, other);
        let as_told = one == 0 || is_read(told.stale);
        self.tell(&if as_told { told } else { self.pair(other, one) })
    }

    /// Two pairs in real time that contradict each other: of writes where possible, which are the
    /// easiest to believe, and otherwise of as few operations as possible.
    fn pair(&self, old: usize, new: usize) -> Entangled<'a> {
        let stale = self.last_call(old);
        let fresh = self.returned_before(new, stale.0);
        let root = self.chains.places(old).start;
        if self.writer(root).is_none() {
            // Nothing needs to prove that the initial version came first.
            return Entangled { old, new, stale, fresh, proof: None };
        }
        let (root, last) = (self.chains.places(new).start, self.last_call(new));
        let writes = self.writer(root).map(|write| (write, root));
        let mut pairs: Vec<(usize, Sighting<'a>, Sighting<'a>)> = Vec::new();
        for (price, second) in
            writes.map(|write| (0, write)).into_iter().chain([(0, fresh), (1, last)])
        {
            if self.any_returned_before(old, second.0) {
                let first = self.returned_before(old, second.0);
                pairs.push((price + usize::from(is_read(first)), first, second));
            }
            if stale.0.precedes(second.0) {
                pairs.push((price, stale, second));
            }
        }
        let cheapest = pairs.into_iter().min_by_key(|(price, ..)| *price);
        let Some((_, first, second)) = cheapest else {
            return Entangled { old, new, stale, fresh, proof: None };
        };
        // What proves the order may also be what came too early, or too late.
        let fresh = if is_read(fresh) && second.0.precedes(stale.0) { second } else { fresh };
        let stale = if is_read(first) && fresh.0.precedes(first.0) { first } else { stale };
        Entangled { old, new, stale, fresh, proof: Some((first, second)) }
    }

    fn last_call(&self, chain: usize) -> Sighting<'a> {
        let places = self.chains.places(chain);
        let place = places.max_by_key(|place| self.chains.layer(*place).last_call);
        let place = place.unwrap_or_default();
        (self.txn(self.chains.layer(place).last_call.txn()), place)
    }

    fn any_returned_before(&self, chain: usize, txn: Txn<'_>) -> bool {
        let first = self.chains.whole(chain).first_return;
        self.txn(first.txn()).precedes(txn)
    }

    /// An operation of the chain that returned before `txn` was invoked: a write if one did.
    fn returned_before(&self, chain: usize, txn: Txn<'_>) -> Sighting<'a> {
        let places = self.chains.places(chain);
        let writes =
            places.clone().step_by(2).filter_map(|place| Some((self.writer(place)?, place)));
        let mut early = writes.filter(|(write, _)| write.precedes(txn));
        early.next().unwrap_or_else(|| {
            let place = places.min_by_key(|place| self.chains.layer(*place).first_return);
            let place = place.unwrap_or_default();
            (self.txn(self.chains.layer(place).first_return.txn()), place)
        })
    }

    fn tell(&self, told: &Entangled<'a>) -> Finding {
        let Entangled { old, new, stale, fresh, proof } = told;
        let value = |place: usize| self.object.shown(self.version(place).value);
        let (older, newer) = (value(stale.1), value(fresh.1));
        let begin = self.chains.places(*new).start;
        let order = match proof {
            None => format!("{newer} replaced what was there before any write"),
            Some((a, b)) => format!(
                "{} came before {}: #{} returned before #{} was invoked",
                value(a.1),
                value(b.1),
                a.0.index(),
                b.0.index()
            ),
        };
        let mut cycle = Vec::new();
        let root = self.writer(begin).unwrap_or(fresh.0);
        let edge = if is_read(*stale) { Edge::Rw } else { Edge::Ww };
        cycle.push(step(stale.0, edge, root, order.clone()));
        if root.id != fresh.0.id {
            let edge = if is_read(*fresh) { Edge::Wr } else { Edge::Ww };
            cycle.push(step(root, edge, fresh.0, self.saw(fresh.0, fresh.1)));
        }
        cycle.push(real_time(fresh.0, stale.0));

        let mut operations: Vec<TxnId> = cycle.iter().map(|step| step.from).collect();
        let mut evidence = vec![(*old, stale.1), (*new, fresh.1)];
        if let Some((a, b)) = proof {
            operations.extend([a.0.id, b.0.id]);
            evidence.extend([(*old, a.1), (*new, b.1)]);
        }
        operations.extend(self.links(&evidence));

        let (name, gap) = (self.object.name(), span(stale.0.invoked_at() - fresh.0.returned_at()));
        let held = if is_read(*fresh) { "been read" } else { "been written and acknowledged" };
        let verb = if is_read(*stale) { "answered" } else { "made" };
        let mut sentence = format!(
            "{} {verb} {name} = {older} at {} although {name} = {newer} had {held} {gap} earlier",
            self.object.answerer(stale.0),
            stale.0.invoked_at()
        );
        if proof.is_some() {
            sentence = format!("{sentence}, and {order}");
        }
        let kind = if is_read(*fresh) { "new-old-inversion" } else { "stale-read" };
        Finding { kind, operations, cycle, sentence }
    }

    /// The writes of the chain from its earliest to its latest place of evidence, which hold it together.
    fn links(&self, evidence: &[(usize, usize)]) -> Vec<TxnId> {
        let mut links = Vec::new();
        for (chain, _) in evidence {
            let places =
                || evidence.iter().filter(|(one, _)| one == chain).map(|(_, place)| *place);
            let (low, high) = (places().min().unwrap_or(0), places().max().unwrap_or(0));
            links.extend((low / 2..=high / 2).filter_map(|pair| self.version(2 * pair).writer()));
        }
        links
    }
}

/// An operation and the layer it stands in.
type Sighting<'a> = (Txn<'a>, usize);

/// Whether the operation read the version it stands for; otherwise it made it.
fn is_read((_, place): Sighting<'_>) -> bool {
    place % 2 == 1
}

/// How two chains contradict each other.
struct Entangled<'a> {
    old: usize,
    new: usize,
    /// Of the older chain, and yet invoked after …
    stale: Sighting<'a>,
    /// … this one of the newer chain had returned.
    fresh: Sighting<'a>,
    /// Why the chain is the older one: the first, of it, returned before the second, of the newer
    /// chain, was invoked. `None` where it holds the initial version.
    proof: Option<(Sighting<'a>, Sighting<'a>)>,
}

/// Two updates replaced one version.
pub(super) fn lost_update(
    object: &Object<'_>,
    value: ValueId,
    writer: Option<TxnId>,
    updates: [TxnId; 2],
) -> Finding {
    let [one, other] = updates.map(|id| object.txn(id));
    let (name, shown) = (object.name(), object.shown(value));
    let why = |first: Txn<'_>, second: Txn<'_>| {
        let (first, second) = (first.index(), second.index());
        format!("#{first} read {shown}, which #{second} replaced, and it was written only once")
    };
    let cycle = vec![
        step(one, Edge::Rw, other, why(one, other)),
        step(other, Edge::Rw, one, why(other, one)),
    ];
    let made = |update: Txn<'_>| update.written().map_or_else(String::new, |new| object.shown(new));
    let sentence = format!(
        "two updates of {name} both replaced {shown}: #{} made {} of it and #{} made {} of it, so one of them is lost",
        one.index(),
        made(one),
        other.index(),
        made(other)
    );
    let operations = writer.into_iter().chain(updates).collect();
    Finding { kind: "lost-update", operations, cycle, sentence }
}

/// Versions each of which is made of the one before, the first of the last.
pub(super) fn cyclic_versions(object: &Object<'_>, versions: &[&Version]) -> Finding {
    let mut cycle = Vec::new();
    for (at, version) in versions.iter().enumerate() {
        let next = versions[(at + 1) % versions.len()];
        if let (Some(from), Some(to)) = (version.writer(), next.writer()) {
            let (from, to) = (object.txn(from), object.txn(to));
            let (old, new) = (object.shown(version.value), object.shown(next.value));
            cycle.push(step(
                from,
                Edge::Ww,
                to,
                format!("#{} replaced {old} by {new}", to.index()),
            ));
        }
    }
    let shown: Vec<String> = versions.iter().map(|version| object.shown(version.value)).collect();
    let sentence = format!(
        "the values {} of {} were each made of the one before, the first of the last: none can have been the first",
        shown.join(", "),
        object.name()
    );
    let operations = cycle.iter().map(|step| step.from).collect();
    Finding { kind: "cyclic-versions", operations, cycle, sentence }
}
