//! What is expected, and whether the operations can show it.

use crate::check::{Assumption, Property};
use crate::generate::{Last, Plan};
use crate::history::Expectations;
use crate::model::did_you_mean;
use crate::workload::diagnostic::Diagnostic;
use crate::workload::evidence::lack;
use crate::workload::file::{File, Text};
use crate::workload::plan::list;
use crate::workload::source::Source;

/// The expectations of a file. What is wrong with them goes to `wrong`.
pub(super) fn expectations(
    file: &File,
    plan: &Plan,
    source: &Source,
    wrong: &mut Vec<Diagnostic>,
) -> Expectations {
    let expect = &file.expect;
    // What a plan with mistakes in it lacks it may well have when they are mended.
    let plan_is_sound = wrong.is_empty();
    let mut held = Vec::new();
    for (text, is_known) in
        expect.hold.iter().map(|text| (text, false)).chain(expect.known.iter().map(|t| (t, true)))
    {
        let Some(property) = Property::from_name(text.get_ref()) else {
            wrong.push(unknown_property(text, source));
            continue;
        };
        if is_known && held.contains(&property) {
            let message = format!("`{}` is under `hold` as well", text.get_ref());
            wrong.push(source.diagnostic(text.span(), message));
        }
        if let Some(lack) = lack(property, plan).filter(|_| plan_is_sound) {
            let message = format!("`{}` cannot be judged: {lack}", text.get_ref());
            wrong.push(source.diagnostic(text.span(), message));
        }
        held.push(property);
    }
    for text in &expect.assume {
        if Assumption::from_name(text.get_ref()).is_none() {
            let known: Vec<&str> = Assumption::ALL.iter().map(|(_, name, _)| *name).collect();
            let word = text.get_ref();
            let message = format!("unknown assumption `{word}`, expected one of {}", list(&known));
            let help = did_you_mean(word, known);
            wrong.push(source.diagnostic(text.span(), message).with_help(help));
        }
    }
    if let (Some(most), false) = (&expect.max_lost_writes, plan.phases.last == Last::Reads) {
        let message = "lost writes cannot be counted: no final reads, `phases.final = [\"read\"]`";
        wrong.push(source.diagnostic(most.span(), message.to_owned()));
    }
    let fraction = expect.min_ok_fraction.as_ref();
    if let Some(fraction) = fraction.filter(|f| !(0.0..=1.0).contains(f.get_ref())) {
        let message = "expected a fraction from 0 to 1".to_owned();
        wrong.push(source.diagnostic(fraction.span(), message));
    }
    let texts = |texts: &[Text]| texts.iter().map(|text| text.get_ref().clone()).collect();
    Expectations {
        hold: texts(&expect.hold),
        known: texts(&expect.known),
        assume: texts(&expect.assume),
        max_lost_writes: expect.max_lost_writes.as_ref().map(|most| *most.get_ref()),
        min_ok_fraction: expect.min_ok_fraction.as_ref().map(|fraction| *fraction.get_ref()),
    }
}

fn unknown_property(text: &Text, source: &Source) -> Diagnostic {
    let names = || Property::all().map(Property::name);
    let others = Property::all().flat_map(|p| p.aliases().iter().copied().chain([p.id()]));
    let message = format!("unknown property `{}`", text.get_ref());
    let all = format!("the properties are {}", list(&names().collect::<Vec<_>>()));
    let help = did_you_mean(text.get_ref(), names().chain(others)).unwrap_or(all);
    source.diagnostic(text.span(), message).with_help(Some(help))
}
