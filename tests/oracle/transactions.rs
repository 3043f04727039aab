//! Transactions by brute force: classes by enumeration of labelled simple cycles, models by enumeration
//! of commit orders. Shares no code with the checkers.

use std::collections::{BTreeMap, BTreeSet};

use rashomon::model::{Function, Kind, Random};

use crate::plain::{Plain, Step};

/// The kinds of edges, as the labels of cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Label {
    Ww,
    Wr,
    Rw,
    Time,
}

/// What a class is looked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Time {
    None,
    Sessions,
    Real,
}

/// The five classes of cycles.
pub(crate) const CLASSES: [&str; 5] = ["G0", "G1c", "G-single", "G-nonadjacent", "G2-item"];

type Edges = BTreeMap<(usize, usize), BTreeSet<Label>>;

/// A key's state while a transaction runs: elements of a list, or at most one value.
type State = BTreeMap<usize, Vec<i64>>;

pub(crate) struct Oracle<'p> {
    all: &'p [Plain],
    /// Places of the committed ones.
    pub(crate) committed: Vec<usize>,
}

impl<'p> Oracle<'p> {
    pub(crate) fn new(all: &'p [Plain]) -> Self {
        let mut seen = BTreeSet::new();
        for op in all.iter().filter(|op| op.kind == Kind::Ok) {
            for (key, values) in op.reads() {
                seen.extend(values.into_iter().map(|value| (key, value)));
            }
        }
        let is_committed = |op: &Plain| {
            op.kind == Kind::Ok
                || op.kind == Kind::Info && op.writes().any(|one| seen.contains(&one))
        };
        let committed = (0..all.len()).filter(|at| is_committed(&all[*at])).collect();
        Self { all, committed }
    }

    /// The committed writer of a value.
    fn writer(&self, key: usize, value: i64) -> Option<usize> {
        self.committed.iter().copied().find(|at| self.all[*at].writes().any(|w| w == (key, value)))
    }

    pub(crate) fn is_list(&self, key: usize) -> bool {
        self.all.iter().flat_map(|op| &op.steps).any(|step| match step {
            Step::Append(one, _) | Step::Elements(one, _) => *one == key,
            _ => false,
        })
    }

    /// First reads of keys that the transaction had not written before; of lists in any case, without
    /// what it appended itself.
    pub(crate) fn external_reads(&self, at: usize) -> BTreeMap<usize, Vec<i64>> {
        let mut reads = BTreeMap::new();
        let mut written = BTreeSet::new();
        if self.all[at].kind != Kind::Ok {
            return reads;
        }
        for step in &self.all[at].steps {
            if let Some((key, saw)) = step.read() {
                let own: Vec<i64> =
                    self.all[at].writes().filter(|one| one.0 == key).map(|one| one.1).collect();
                let mut saw = saw;
                while self.is_list(key) && saw.last().is_some_and(|last| own.contains(last)) {
                    saw.pop();
                }
                if self.is_list(key) || !written.contains(&key) {
                    reads.entry(key).or_insert(saw);
                }
            } else if let Some((key, _)) = step.written() {
                written.insert(key);
            }
        }
        reads
    }

    /// The last write of each key.
    pub(crate) fn final_writes(&self, at: usize) -> BTreeMap<usize, i64> {
        self.all[at].writes().collect()
    }

    fn keys(&self) -> BTreeSet<usize> {
        let steps = self.all.iter().flat_map(|op| &op.steps);
        steps.filter_map(|one| one.read().map(|r| r.0).or(one.written().map(|w| w.0))).collect()
    }

    /// The longest read of a list; `None` if some read is no prefix of it, or shows something twice.
    pub(crate) fn list_order(&self, key: usize) -> Option<Vec<i64>> {
        let ok = self.all.iter().filter(|op| op.kind == Kind::Ok);
        let mut reads: Vec<Vec<i64>> = Vec::new();
        for op in ok {
            // What a transaction appended itself may yet be committed after the appends of others.
            let mut own = Vec::new();
            for step in &op.steps {
                match (step.written(), step.read()) {
                    (Some((one, value)), _) if one == key => own.push(value),
                    (_, Some((one, mut saw))) if one == key => {
                        while saw.last().is_some_and(|last| own.contains(last)) {
                            saw.pop();
                        }
                        reads.push(saw);
                    }
                    _ => {}
                }
            }
        }
        let longest = reads.iter().max_by_key(|one| one.len()).cloned().unwrap_or_default();
        let distinct: BTreeSet<i64> = longest.iter().copied().collect();
        let fits =
            distinct.len() == longest.len() && reads.iter().all(|one| longest.starts_with(one));
        fits.then_some(longest)
    }

    /// The edges that the data prove, and whether the evidence of a register is cyclic.
    pub(crate) fn data_edges(&self) -> (Edges, bool) {
        let mut edges = Edges::new();
        let mut cyclic = false;
        for key in self.keys() {
            if self.is_list(key) {
                if let Some(order) = self.list_order(key) {
                    let unread = self.unread(key, &order);
                    self.list_edges(key, &order, &unread, &mut edges);
                }
            } else {
                cyclic |= !self.register_edges(key, &mut edges);
            }
        }
        self.read_edges(&mut edges);
        (edges, cyclic)
    }

    fn read_edges(&self, edges: &mut Edges) {
        for reader in &self.committed {
            for (key, saw) in self.external_reads(*reader) {
                if let Some(writer) = saw.last().and_then(|last| self.writer(key, *last)) {
                    add(edges, writer, *reader, Label::Wr);
                }
            }
        }
    }

    /// Committed writers of elements that nobody read.
    fn unread(&self, key: usize, order: &[i64]) -> BTreeSet<usize> {
        let wrote_unread = |at: &usize| {
            self.all[*at].writes().any(|(one, value)| one == key && !order.contains(&value))
        };
        self.committed.iter().copied().filter(wrote_unread).collect()
    }

    fn list_edges(&self, key: usize, order: &[i64], unread: &BTreeSet<usize>, edges: &mut Edges) {
        let writers: Vec<Option<usize>> =
            order.iter().map(|value| self.writer(key, *value)).collect();
        let known: Vec<usize> = writers.iter().flatten().copied().collect();
        for two in known.windows(2) {
            add(edges, two[0], two[1], Label::Ww);
        }
        for late in unread {
            if let Some(last) = known.last() {
                add(edges, *last, *late, Label::Ww);
            }
        }
        for reader in &self.committed {
            let Some(saw) = self.external_reads(*reader).get(&key).cloned() else { continue };
            match writers[saw.len()..].iter().flatten().next() {
                Some(next) => add(edges, *reader, *next, Label::Rw),
                None => unread.iter().for_each(|late| add(edges, *reader, *late, Label::Rw)),
            }
        }
    }

    /// Whether the evidence is free of cycles.
    fn register_edges(&self, key: usize, edges: &mut Edges) -> bool {
        let finals: BTreeMap<i64, usize> = self
            .committed
            .iter()
            .filter_map(|at| self.final_writes(*at).get(&key).map(|value| (*value, *at)))
            .collect();
        let mut follows: BTreeSet<(i64, i64)> = BTreeSet::new();
        for (value, at) in &finals {
            if let Some([before]) = self.external_reads(*at).get(&key).map(Vec::as_slice)
                && finals.contains_key(before)
                && before != value
            {
                follows.insert((*before, *value));
            }
        }
        if closure(&follows).iter().any(|(one, other)| one == other) {
            return false;
        }
        for (before, after) in &follows {
            add(edges, finals[before], finals[after], Label::Ww);
        }
        for reader in &self.committed {
            let Some(saw) = self.external_reads(*reader).get(&key).cloned() else { continue };
            for (value, writer) in &finals {
                let is_next = match saw.last() {
                    Some(saw) => follows.contains(&(*saw, *value)),
                    None => !follows.iter().any(|pair| pair.1 == *value),
                };
                if is_next {
                    add(edges, *reader, *writer, Label::Rw);
                }
            }
        }
        true
    }

    /// Session or real-time order between committed transactions, whole.
    pub(crate) fn time(&self, time: Time) -> BTreeSet<(usize, usize)> {
        let before = |one: usize, other: usize| {
            let (a, b) = (&self.all[one], &self.all[other]);
            match time {
                Time::None => false,
                Time::Sessions => a.session == b.session && one < other && a.kind != Kind::Info,
                Time::Real => a.returned < b.invoked,
            }
        };
        let pairs = self.committed.iter().flat_map(|a| self.committed.iter().map(|b| (*a, *b)));
        pairs.filter(|(a, b)| before(*a, *b)).collect()
    }

    /// Which classes are there; with time, cycles in which time takes part or not.
    pub(crate) fn classes(&self, time: Time) -> BTreeSet<&'static str> {
        let (mut edges, _) = self.data_edges();
        let order = self.time(time);
        for (a, b) in &order {
            let between = |via: &usize| order.contains(&(*a, *via)) && order.contains(&(*via, *b));
            if !self.committed.iter().any(between) {
                add(&mut edges, *a, *b, Label::Time);
            }
        }
        classes(&edges)
    }

    /// Whether some order of all committed transactions (an unseen indeterminate one can always be
    /// left out) explains every read: from the state before it (`SER`), or from one earlier snapshot,
    /// with (`SI`) or without (`PC`) a conflict of writes in between.
    pub(crate) fn commits(&self, model: &str, time: Time) -> bool {
        let order = self.time(time);
        let mut found = false;
        orders(&self.committed, &order, &mut Vec::new(), &mut |serial| {
            found = self.explains(serial, model, &order);
            found
        });
        found
    }

    fn explains(&self, serial: &[usize], model: &str, time: &BTreeSet<(usize, usize)>) -> bool {
        let mut states = vec![State::new()];
        for at in serial {
            let mut state = states.last().expect("a state").clone();
            self.run(*at, &mut state, false);
            states.push(state);
        }
        serial.iter().enumerate().all(|(place, at)| {
            let from = if model == "SER" { place } else { 0 };
            (from..=place).any(|snapshot| {
                let late = serial[snapshot..].iter().any(|one| time.contains(&(*one, *at)));
                let conflicts = model == "SI"
                    && serial[snapshot..place].iter().any(|one| self.both_write(*one, *at));
                !late && !conflicts && self.run(*at, &mut states[snapshot].clone(), true)
            })
        })
    }

    fn both_write(&self, one: usize, other: usize) -> bool {
        let keys = self.final_writes(other);
        self.final_writes(one).keys().any(|key| keys.contains_key(key))
    }

    /// Runs a transaction; whether its reads are right.
    fn run(&self, at: usize, state: &mut State, is_checked: bool) -> bool {
        let is_checked = is_checked && self.all[at].kind == Kind::Ok;
        self.all[at].steps.iter().all(|step| match step {
            Step::Write(key, value) => {
                state.insert(*key, vec![*value]);
                true
            }
            Step::Append(key, value) | Step::Add(key, value) => {
                state.entry(*key).or_default().push(*value);
                true
            }
            Step::Read(..) | Step::Elements(..) => {
                let (key, saw) = step.read().expect("a read");
                !is_checked || state.get(&key).cloned().unwrap_or_default() == saw
            }
        })
    }

    /// Whether a read shows what nobody wrote, what was aborted or is intermediate, or contradicts its
    /// own transaction; such histories satisfy no model but perhaps read committed.
    pub(crate) fn has_bad_reads(&self) -> bool {
        let ok = |at: &&usize| self.all[**at].kind == Kind::Ok;
        self.committed.iter().filter(ok).any(|at| {
            self.all[*at].reads().any(|(key, saw)| {
                saw.iter().any(|value| self.writer(key, *value).is_none())
                    || saw
                        .iter()
                        .map(|value| (self.writer(key, *value).expect("checked above"), value))
                        // What it appended itself it appended to what others had left.
                        .rfind(|(writer, _)| writer != at)
                        .is_some_and(|(writer, last)| self.final_writes(writer)[&key] != *last)
            })
        })
    }

    /// INT: a read contradicts what its transaction had read and written, or shows what it writes later;
    /// or only those that miss a write of the transaction, or show it before it is made.
    pub(crate) fn contradicts_itself(&self, only_own: bool) -> bool {
        let ok = |op: &&Plain| op.kind == Kind::Ok;
        self.all.iter().filter(ok).any(|op| {
            let mut known: BTreeMap<usize, (bool, Vec<i64>)> = BTreeMap::new();
            let mut own: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
            op.steps.iter().enumerate().any(|(at, step)| {
                if let Some((key, value)) = step.written() {
                    let is_list = self.is_list(key);
                    let state = known.entry(key).or_insert((!is_list, Vec::new()));
                    let own = own.entry(key).or_default();
                    if !is_list {
                        state.1.clear();
                        own.clear();
                    }
                    state.1.push(value);
                    own.push(value);
                    return false;
                }
                let (key, saw) = step.read().expect("a read");
                let later = op.steps[at..].iter().filter_map(Step::written);
                let is_future = later.into_iter().any(|(k, v)| k == key && saw.contains(&v));
                let fits = match known.get(&key) {
                    None => true,
                    Some((true, exact)) => *exact == saw,
                    Some((false, end)) => saw.ends_with(end),
                };
                let is_missed = own.get(&key).is_some_and(|own| !saw.ends_with(own));
                known.insert(key, (true, saw));
                is_future || is_missed || !fits && !only_own
            })
        })
    }

    /// LU: two transactions read one version of a key and both wrote the key.
    pub(crate) fn loses_update(&self) -> bool {
        let mut from = BTreeSet::new();
        self.committed.iter().any(|at| {
            let writes = self.final_writes(*at);
            let reads = self.external_reads(*at);
            reads.into_iter().filter(|one| writes.contains_key(&one.0)).any(|one| !from.insert(one))
        })
    }

    /// Whether some order of commits, which orders the versions of every key, gives a graph that fits:
    /// `RC`, `RA`, `TCC`, `PSI`.
    pub(crate) fn arbitrates(&self, model: &str, time: Time) -> bool {
        if self.has_bad_reads() || self.contradicts_itself(model == "RC") {
            return false;
        }
        let mut order = self.time(time);
        let mut reads = Edges::new();
        self.read_edges(&mut reads);
        order.extend(reads.keys());
        let mut found = false;
        orders(&self.committed, &closure(&order), &mut Vec::new(), &mut |serial| {
            found = self.fits(serial, model, time);
            found
        });
        found
    }

    fn fits(&self, serial: &[usize], model: &str, time: Time) -> bool {
        let mut edges = Edges::new();
        self.read_edges(&mut edges);
        let mut happens: BTreeSet<(usize, usize)> = edges.keys().copied().collect();
        happens.extend(self.time(time));
        let causal = closure(&happens);
        let place = |at: usize| serial.iter().position(|one| *one == at).expect("committed");
        for key in self.keys() {
            let writers: Vec<usize> = serial
                .iter()
                .copied()
                .filter(|at| self.final_writes(*at).contains_key(&key))
                .collect();
            if self.is_list(key) {
                let whole: Vec<i64> = writers
                    .iter()
                    .flat_map(|at| self.all[*at].writes().filter(|one| one.0 == key))
                    .map(|one| one.1)
                    .collect();
                match self.list_order(key) {
                    Some(order) if whole.starts_with(&order) => {}
                    _ => return false,
                }
            }
            for two in writers.windows(2) {
                add(&mut edges, two[0], two[1], Label::Ww);
            }
            for reader in &self.committed {
                let Some(saw) = self.external_reads(*reader).get(&key).cloned() else { continue };
                let source = saw.last().and_then(|last| self.writer(key, *last));
                let next = match source {
                    None => writers.first(),
                    Some(source) => writers.iter().find(|at| place(**at) > place(source)),
                };
                if let Some(next) = next {
                    add(&mut edges, *reader, *next, Label::Rw);
                }
                for writer in writers.iter().filter(|at| **at != *reader && Some(**at) != source) {
                    let is_visible = match model {
                        "RA" => happens.contains(&(*writer, *reader)),
                        "TCC" => causal.contains(&(*writer, *reader)),
                        _ => false,
                    };
                    if is_visible && source.is_none_or(|source| place(*writer) > place(source)) {
                        return false;
                    }
                }
            }
        }
        for (a, b) in self.time(time) {
            add(&mut edges, a, b, Label::Time);
        }
        let found = classes(&edges);
        match model {
            "PSI" => !["G0", "G1c", "G-single"].iter().any(|one| found.contains(one)),
            _ => !["G0", "G1c"].iter().any(|one| found.contains(one)),
        }
    }
}

fn add(edges: &mut Edges, from: usize, to: usize, label: Label) {
    if from != to {
        edges.entry((from, to)).or_default().insert(label);
    }
}

pub(crate) fn closure<T: Ord + Copy>(relation: &BTreeSet<(T, T)>) -> BTreeSet<(T, T)> {
    let mut all = relation.clone();
    loop {
        let more: Vec<(T, T)> = all
            .iter()
            .flat_map(|(a, b)| all.iter().filter(move |(c, _)| c == b).map(move |(_, d)| (*a, *d)))
            .filter(|pair| !all.contains(pair))
            .collect();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

/// Calls `visit` with every order of `rest` that extends a relation, until it returns true.
pub(crate) fn orders(
    rest: &[usize],
    relation: &BTreeSet<(usize, usize)>,
    done: &mut Vec<usize>,
    visit: &mut impl FnMut(&[usize]) -> bool,
) -> bool {
    if rest.is_empty() {
        return visit(done);
    }
    rest.iter().any(|next| {
        if rest.iter().any(|other| other != next && relation.contains(&(*other, *next))) {
            return false;
        }
        let others: Vec<usize> = rest.iter().copied().filter(|one| one != next).collect();
        done.push(*next);
        let stop = orders(&others, relation, done, visit);
        done.pop();
        stop
    })
}

/// The classes of all labelled simple cycles.
fn classes(edges: &Edges) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let nodes: BTreeSet<usize> = edges.keys().flat_map(|(a, b)| [*a, *b]).collect();
    for start in nodes {
        walk(edges, start, &mut vec![start], &mut Vec::new(), &mut found);
    }
    found
}

fn walk(
    edges: &Edges,
    start: usize,
    path: &mut Vec<usize>,
    labels: &mut Vec<Label>,
    found: &mut BTreeSet<&'static str>,
) {
    let at = *path.last().expect("a node");
    for ((_, to), kinds) in edges.range((at, 0)..(at + 1, 0)) {
        if *to != start && (*to < start || path.contains(to)) {
            continue;
        }
        for label in kinds {
            labels.push(*label);
            if *to == start {
                found.extend(class(labels));
            } else {
                path.push(*to);
                walk(edges, start, path, labels, found);
                path.pop();
            }
            labels.pop();
        }
    }
}

fn class(labels: &[Label]) -> Option<&'static str> {
    let next = labels.iter().skip(1).chain(labels.first());
    let adjacent = labels.iter().zip(next).any(|two| two == (&Label::Rw, &Label::Rw));
    match labels.iter().filter(|one| **one == Label::Rw).count() {
        0 if labels.contains(&Label::Wr) => Some("G1c"),
        0 if labels.contains(&Label::Ww) => Some("G0"),
        0 => None,
        1 => Some("G-single"),
        _ if adjacent => Some("G2-item"),
        _ => Some("G-nonadjacent"),
    }
}

/// A random small history of transactions on lists or registers, mostly plausible; failed and
/// indeterminate ones included.
pub(crate) fn random(random: &mut Random, lists: bool, most: u64) -> Vec<Plain> {
    let keys = 1 + random.below(3) as usize;
    let count = 2 + random.below(most - 1) as usize;
    let mut free = [0_u64; 3];
    let mut next = 0;
    let mut all: Vec<Plain> = Vec::new();
    for _ in 0..count {
        let process = random.below(3) as usize;
        let invoked = free[process] + 1 + random.below(4);
        let returned = invoked + 1 + random.below(8);
        free[process] = returned;
        let kind = match random.below(10) {
            0 => Kind::Info,
            1 => Kind::Fail,
            _ => Kind::Ok,
        };
        let steps = (0..=random.below(3))
            .map(|_| {
                let key = random.below(keys as u64) as usize;
                next += 1;
                match (random.chance(0.5), lists) {
                    (true, true) => Step::Append(key, next),
                    (true, false) => Step::Write(key, next),
                    (false, true) => Step::Elements(key, Vec::new()),
                    (false, false) => Step::Read(key, None),
                }
            })
            .collect();
        all.push(Plain {
            process: process as u32,
            session: process as u32,
            kind,
            invoked,
            returned: if kind == Kind::Info { u64::MAX } else { returned },
            function: Function::Txn,
            steps,
            is_final: false,
        });
    }
    // Processes of unknown outcome are retired, their sessions live on.
    let mut retired = [0_u32; 3];
    for op in &mut all {
        let session = op.session as usize;
        op.process = op.session + 3 * retired[session];
        retired[session] += u32::from(op.kind == Kind::Info);
    }
    all.sort_by_key(|op| op.invoked);
    fill_reads(random, keys, &mut all);
    all
}

/// Lets every read show a part of one final order of each key, seldom another order or an aborted value.
fn fill_reads(random: &mut Random, keys: usize, all: &mut [Plain]) {
    let (aborted, disorder) = (random.chance(0.05), random.chance(0.05));
    let mut finals: Vec<Vec<i64>> = vec![Vec::new(); keys];
    let mut serial: Vec<usize> = (0..all.len()).collect();
    if random.chance(0.5) {
        random.shuffle(&mut serial);
    }
    for at in &serial {
        if all[*at].kind != Kind::Fail || aborted {
            all[*at].writes().for_each(|(key, value)| finals[key].push(value));
        }
    }
    let mut seen: Vec<usize> = vec![0; keys];
    for at in serial {
        let mut own: Vec<Vec<i64>> = vec![Vec::new(); keys];
        let faithful = random.chance(0.7);
        for step in &mut all[at].steps {
            let order = |key: usize, seen: &[usize], random: &mut Random| {
                let length = finals[key].len();
                if faithful { seen[key] } else { random.below(length as u64 + 1) as usize }
            };
            match step {
                Step::Append(key, value) | Step::Write(key, value) | Step::Add(key, value) => {
                    own[*key].push(*value);
                }
                Step::Elements(key, saw) => {
                    let end = order(*key, &seen, random);
                    *saw = finals[*key][..end].to_vec();
                    if faithful {
                        saw.retain(|value| !own[*key].contains(value));
                        saw.extend(&own[*key]);
                    }
                    if disorder {
                        random.shuffle(saw);
                    }
                }
                Step::Read(key, saw) => {
                    let end = order(*key, &seen, random);
                    let own = own[*key].last().filter(|_| faithful);
                    *saw = own.or(finals[*key][..end].last()).copied();
                }
            }
        }
        if all[at].kind != Kind::Fail || aborted {
            all[at].writes().for_each(|(key, _)| seen[key] += 1);
        }
    }
}
