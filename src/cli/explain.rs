//! `rashomon explain`: the story of one anomaly.

use std::io::{self, BufWriter, Write};

use crate::cli::args::ExplainArgs;
use crate::cli::check::{Judge, format_named, printed, read_history};
use crate::cli::exit::{Exit, Failure};
use crate::cli::terminal::Terminal;
use crate::report::{Dot, Explain, Render};

pub(crate) fn explain(args: &ExplainArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let path = if args.history.is_dir() {
        args.history.join("history.jsonl")
    } else {
        args.history.clone()
    };
    let history = read_history(&path, format_named(&args.format)?, &args.initial)?;
    let judged = Judge::new(&args.judge)?.judge(&history)?;
    let name = path.display().to_string();
    let report = judged.report(&history, Some(&name), None);
    if report.finding(&args.anomaly).is_none() {
        let known = match judged.assessment.anomalies().count() {
            0 => "none was found in it".to_owned(),
            1 => "it has A1".to_owned(),
            many => format!("it has A1 to A{many}"),
        };
        return Err(Failure::bad_input(format!("{name} has no anomaly {}; {known}", args.anomaly)));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let id = Some(args.anomaly.clone());
    let form: &dyn Render =
        if args.dot { &Dot { id } } else { &Explain { id, style: terminal.style() } };
    printed(form.render(&report, &mut out).and_then(|()| out.flush()))?;
    Ok(Exit::Holds)
}
