//! VERS by its definition: is there any order of the writes of one register, with a number for each,
//! that agrees with every version the store gave? Shares no code with the checker.

use rashomon::model::Kind;

/// An operation on the register.
#[derive(Clone, Debug)]
#[expect(clippy::option_option, reason = "`None` outside is no read, inside a read of nothing")]
pub(crate) struct Op {
    pub(crate) kind: Kind,
    /// What it read, if it reads; `None` inside is nothing.
    pub(crate) read: Option<Option<i64>>,
    /// What it wrote, if it writes.
    pub(crate) written: Option<i64>,
    /// Whether what it read is known even if its outcome is not: a compare-and-set.
    pub(crate) expects: bool,
    pub(crate) version: Option<i64>,
}

/// Whether the versions can be explained; without versions, whether the updates can.
pub(crate) fn explained(ops: &[Op], with_versions: bool) -> bool {
    let writes: Vec<usize> = (0..ops.len())
        .filter(|at| ops[*at].written.is_some() && ops[*at].kind != Kind::Fail)
        .collect();
    let open: Vec<usize> =
        writes.iter().copied().filter(|at| ops[*at].kind == Kind::Info).collect();
    (0..1_u32 << open.len()).any(|bits| {
        let happened: Vec<usize> = writes
            .iter()
            .copied()
            .filter(|at| {
                open.iter().position(|one| one == at).is_none_or(|bit| bits >> bit & 1 == 1)
            })
            .collect();
        orders(&happened, &mut Vec::new(), &mut |order| agrees(ops, &writes, order, with_versions))
    })
}

fn orders(
    rest: &[usize],
    order: &mut Vec<usize>,
    accept: &mut dyn FnMut(&[usize]) -> bool,
) -> bool {
    if rest.is_empty() {
        return accept(order);
    }
    rest.iter().any(|next| {
        let rest: Vec<usize> = rest.iter().copied().filter(|one| one != next).collect();
        order.push(*next);
        let found = orders(&rest, order, accept);
        order.pop();
        found
    })
}

/// Whether this order of writes explains everything.
fn agrees(ops: &[Op], writes: &[usize], order: &[usize], with_versions: bool) -> bool {
    let place = |write: usize| order.iter().position(|one| *one == write);
    // What nobody can have written is not a matter of versions.
    let known = |value: i64| writes.iter().any(|at| ops[*at].written == Some(value));
    for update in order.iter().copied().filter(|at| ops[*at].kind == Kind::Ok || ops[*at].expects) {
        if let Some(Some(value)) = ops[update].read
            && known(value)
            && !order
                .iter()
                .any(|one| ops[*one].written == Some(value) && place(*one) < place(update))
        {
            return false;
        }
    }
    let mut numbers: Vec<Option<i64>> = vec![None; order.len()];
    if with_versions {
        for (number, write) in numbers.iter_mut().zip(order) {
            *number = ops[*write].version.filter(|_| ops[*write].kind == Kind::Ok);
        }
    }
    let told = ops.iter().filter(|op| op.kind == Kind::Ok && op.written.is_none());
    let told = told.filter_map(|op| Some((op.read??, op.version.filter(|_| with_versions))));
    let (reads, strange): (Vec<(i64, Option<i64>)>, Vec<_>) =
        told.partition(|(value, _)| known(*value));
    // What nobody wrote was there under a number of its own.
    let is_own = |(value, version): &(i64, Option<i64>)| {
        version.is_none()
            || !numbers.contains(version)
                && !reads.iter().any(|other| other.1 == *version)
                && strange.iter().all(|other| other.1 != *version || other.0 == *value)
    };
    strange.iter().all(is_own) && sources(ops, order, &mut numbers, &reads)
}

/// Whether each read can be given a write of its value with its number.
fn sources(
    ops: &[Op],
    order: &[usize],
    numbers: &mut [Option<i64>],
    reads: &[(i64, Option<i64>)],
) -> bool {
    let Some(((value, version), rest)) = reads.split_first() else {
        let told: Vec<i64> = numbers.iter().flatten().copied().collect();
        return told.windows(2).all(|pair| pair[0] < pair[1]);
    };
    (0..order.len()).any(|at| {
        let fits = ops[order[at]].written == Some(*value)
            && (version.is_none() || numbers[at].is_none() || numbers[at] == *version);
        let before = numbers[at];
        if fits {
            numbers[at] = before.or(*version);
        }
        let found = fits && sources(ops, order, numbers, rest);
        numbers[at] = before;
        found
    })
}
