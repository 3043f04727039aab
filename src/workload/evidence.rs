//! What a workload can show: which properties its operations give evidence for.

use crate::check::Property;
use crate::generate::{Body, Family, Field, Last, Operation, OperationRow, Part, Plan};
use crate::model::Function;

/// What the plan lacks of the evidence for a property. An expectation that no run can decide would
/// only be found out after the run.
pub(super) fn lack(property: Property, plan: &Plan) -> Option<String> {
    let rows: Vec<_> = plan.operations.iter().flat_map(Operation::rows).collect();
    let finals = plan.phases.last == Last::Reads;
    if let Some(functions) = object(property) {
        return (!plan.operations.iter().any(|one| functions.contains(&one.function)))
            .then(|| format!("no operation is {}", named(functions)));
    }
    if !rows.iter().any(|row| row.writes) {
        return Some("no operation writes".to_owned());
    }
    if matches!(property, Property::Awl | Property::Ec) && !finals {
        return Some("no final reads, `phases.final = [\"read\"]`".to_owned());
    }
    if property == Property::Lus && !rows.iter().any(|row| updates(row)) {
        let what = "no operation updates what it has read (`cas`, `rmw` or `increment`)";
        return Some(what.to_owned());
    }
    let removes = || rows.iter().any(|row| row.function == Function::Remove);
    if property == Property::Res && !finals && !removes() {
        return Some("no operation is `remove`, and there are no final reads".to_owned());
    }
    if !finals && !rows.iter().any(|row| row.reads) {
        return Some("no operation reads".to_owned());
    }
    let functions = datatype(property);
    let shows = |row: &&OperationRow| functions.contains(&row.function);
    if !functions.is_empty() && !rows.iter().any(shows) {
        return Some(format!("no operation is {}", named(functions)));
    }
    transactions(property, plan)
}

/// What has to be done for there to be the object of which a property speaks.
fn object(property: Property) -> Option<&'static [Function]> {
    use Function as F;
    use Property as P;
    Some(match property {
        P::Dupid | P::Idreg => &[F::NewId],
        P::Inv => &[F::Buy],
        P::Bank => &[F::Transfer],
        P::QLost | P::QDup | P::QUnexp | P::QEmpty => &[F::Enqueue, F::Push, F::Insert],
        P::QOrd => &[F::Enqueue],
        P::Lock | P::Fence => &[F::Acquire],
        P::Leader => &[F::Leader],
        P::Sib => &[F::Put],
        _ => return None,
    })
}

/// The functions of which one has to change the keys; empty if any will do.
fn datatype(property: Property) -> &'static [Function] {
    use Function as F;
    use Property as P;
    const VALUES: &[Function] = &[F::Write, F::Cas, F::Rmw, F::Append, F::Add];
    match property {
        P::Vers => &[F::Write, F::Cas, F::Rmw],
        P::Lin => &[
            F::Write,
            F::Cas,
            F::Rmw,
            F::Append,
            F::Add,
            F::Remove,
            F::Increment,
            F::Enqueue,
            F::Push,
            F::Insert,
            F::Acquire,
        ],
        P::Ryw | P::Mr | P::Sess3 => &[F::Write, F::Cas, F::Rmw, F::Append, F::Add, F::Increment],
        P::Inco | P::DirtyUpdate => &[F::Append],
        P::Reg | P::Seq | P::Coh => {
            &[F::Write, F::Cas, F::Rmw, F::Append, F::Add, F::Remove, F::Increment]
        }
        P::Dupel => &[F::Append, F::Add],
        P::Cnt => &[F::Increment],
        P::SetLost | P::SetStale => &[F::Add],
        P::Res => &[F::Remove, F::Write, F::Cas, F::Rmw],
        P::Thin
        | P::G1a
        | P::Fut
        | P::Awl
        | P::Pram
        | P::Cc
        | P::Cm
        | P::Ccv
        | P::Cp
        | P::CpS
        | P::Mw
        | P::Wfr
        | P::MrMw
        | P::MrWfr
        | P::Sess4 => VALUES,
        _ => &[],
    }
}

/// What is missing, or too much, where a property speaks of transactions or of single objects.
fn transactions(property: Property, plan: &Plan) -> Option<String> {
    use Property as P;
    let several = || plan.operations.iter().filter(|one| is_several(one, plan.keys.fields));
    let has_prefix = matches!(property, P::Pram | P::Cc | P::Cm | P::Ccv | P::Cp | P::CpS);
    if has_prefix && several().any(is_mixed) {
        return Some("it speaks of single objects, and there are transactions".to_owned());
    }
    let is_transactional =
        matches!(property, P::Torn | P::Fr) || P::Int <= property && property <= P::Sser;
    if is_transactional && several().next().is_none() {
        return Some("no operation is a `txn` of several operations".to_owned());
    }
    if property == P::Torn && !plan.operations.iter().any(|one| writes_rows(one, plan.keys.fields))
    {
        return Some("no `txn` writes all fields of a key".to_owned());
    }
    (property == P::Fr && !several().any(|one| writes_several(one, plan.keys.fields)))
        .then(|| "no `txn` writes several keys".to_owned())
}

/// Whether a run seldom decides a property for which it has the evidence: mostly nobody can say in
/// time whether it holds, unless something stronger does.
pub(super) fn is_seldom_decided(property: Property, plan: &Plan) -> bool {
    use Function as F;
    use Property as P;
    let several = || plan.operations.iter().filter(|one| is_several(one, plan.keys.fields));
    let does = |functions: &[Function]| {
        let mut rows = plan.operations.iter().flat_map(Operation::rows);
        rows.any(|row| functions.contains(&row.function))
    };
    // A register that is written over tells nothing of the order of its versions.
    let is_overwritten = plan.keys.writes != Some(1) && does(&[F::Write, F::Cas, F::Rmw]);
    match property {
        P::Reg => several().next().is_some(),
        P::Coh => several().any(is_mixed),
        P::Pram => !does(&[F::Write, F::Cas, F::Rmw]),
        P::Cp => is_overwritten && (does(&[F::Cas, F::Rmw]) || several().next().is_some()),
        P::CpS => is_overwritten,
        // What is still in a queue is not lost.
        P::QLost => plan.phases.last != Last::Drains,
        _ => false,
    }
}

fn named(functions: &[Function]) -> String {
    let names: Vec<String> =
        functions.iter().map(|function| format!("`{}`", function.name())).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn updates(row: &OperationRow) -> bool {
    matches!(row.function, Function::Cas | Function::Rmw) || row.family == Family::Counter
}

/// Whether a transaction writes all fields, where a key has so many.
fn writes_rows(operation: &Operation, fields: u32) -> bool {
    let is_row = |part: &Part| part.function != Function::Read && part.field == Field::All;
    fields > 1 && matches!(&operation.body, Body::Parts(parts) if parts.iter().any(is_row))
}

/// Whether a transaction may write several keys or fields, where a key has so many.
fn writes_several(operation: &Operation, fields: u32) -> bool {
    let writes = |function: &Function| *function != Function::Read;
    match &operation.body {
        Body::Parts(parts) => {
            writes_rows(operation, fields)
                || parts.iter().filter(|part| writes(&part.function)).count() > 1
        }
        Body::Random { functions, longest, .. } => *longest > 1 && functions.iter().any(writes),
    }
}

/// Whether a transaction may do more than one thing, where a key has so many fields.
fn is_several(operation: &Operation, fields: u32) -> bool {
    let spreads = |part: &Part| part.field == Field::All && fields > 1;
    match &operation.body {
        Body::Parts(parts) => parts.len() > 1 || parts.iter().any(spreads),
        Body::Random { longest, .. } => *longest > 1,
    }
}

/// Whether a transaction may both read and write.
fn is_mixed(operation: &Operation) -> bool {
    let functions = operation.body.functions();
    let is_read = |function: &Function| *function == Function::Read;
    functions.iter().any(is_read) && !functions.iter().all(is_read)
}
