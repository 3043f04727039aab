//! What a workload can show: which properties its operations give evidence for.

use crate::check::Property;
use crate::generate::{Body, Family, Field, Operation, OperationRow, Part, Plan};
use crate::model::Function;

/// What the plan lacks of the evidence for a property. An expectation that no run can decide would
/// only be found out after the run.
pub(super) fn lack(property: Property, plan: &Plan) -> Option<String> {
    let rows: Vec<_> = plan.operations.iter().flat_map(Operation::rows).collect();
    let finals = plan.phases.final_reads;
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
    if property == Property::Lus && !rows.iter().any(|row| updates(row)) && !reads_and_writes(plan)
    {
        return Some(
            "no operation updates what it has read (`cas`, `rmw`, `increment` or a `txn`)"
                .to_owned(),
        );
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
        P::Reg | P::Vers => &[F::Write, F::Cas, F::Rmw],
        P::Inco => &[F::Append],
        P::Dupel => &[F::Append, F::Add],
        P::Cnt => &[F::Increment],
        P::SetLost | P::SetStale => &[F::Add],
        P::Res => &[F::Remove, F::Cas, F::Rmw],
        P::Thin | P::G1a | P::Fut | P::Awl | P::Seq | P::Coh | P::Pram | P::Cc | P::Cm | P::Ccv => {
            VALUES
        }
        P::Cp | P::CpS | P::Mw | P::Wfr | P::MrMw | P::MrWfr | P::Sess4 => VALUES,
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
    (is_transactional && several().next().is_none())
        .then(|| "no operation is a `txn` of several operations".to_owned())
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

/// Whether some transaction may read a key and write the same one.
fn reads_and_writes(plan: &Plan) -> bool {
    plan.operations.iter().any(|operation| match &operation.body {
        Body::Parts(parts) => {
            parts.iter().filter(|part| part.function == Function::Read).any(|read| {
                parts.iter().any(|part| part.key == read.key && part.function != Function::Read)
            })
        }
        Body::Random { longest, .. } => *longest > 1 && is_mixed(operation),
    })
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
