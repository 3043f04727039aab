//! `rashomon run`: drive, break, record, heal, check, report.

use std::fs;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::cli::args::RunArgs;
use crate::cli::check::{Judge, print, quoted};
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt;
use crate::cli::lint::is_target;
use crate::cli::progress::Shown;
use crate::cli::scenario::read_scenario;
use crate::cli::team::Team;
use crate::cli::terminal::{Terminal, complain, since};
use crate::history::{Header, Writer};
use crate::model::did_you_mean;
use crate::report::{Html, Json, Junit, Markdown, Render, Report, Style, Text};
use crate::run::{DriveError, OpenError, Opened, RunDirectory, Terms, beside, drive, open};
use crate::store::{self, STORES};
use crate::target::TargetError;
use crate::workload::{Scenario, TargetChoice, Workload};

/// Where runs leave their directories.
pub(crate) const RUNS: &str = "histories/runs";

pub(crate) fn run(args: &RunArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let workload = read_workload(&args.workload, &overrides(args)?, args.control)?;
    let judge = Judge::new(&args.judge)?;
    #[cfg(feature = "live")]
    if args.dry_run {
        return super::dry_run::dry_run(args, &workload);
    }
    may_have_a_lab(&args.workload, &workload)?;
    let seed = args.seed.unwrap_or_else(drawn_seed);
    let mut team = Team::meet(args, &workload, seed)?;
    let seed = team.seed(seed);
    let workload = workload.of_worker(team.own);
    let directory = directory(args, &workload, seed)?;
    // From here on Ctrl-C ends the run in order: a target that is half set up is taken down.
    let broken = directory.path().to_owned();
    let stop = interrupt::flag(move || quit(std::slice::from_ref(&broken)));
    let terms = Terms { run_name: team.run_name(), owned: owned(args) };
    terminal.tell(|| match &workload.target {
        TargetChoice::Store(choice) => {
            format!("{}: opening the store {}", workload.name, choice.name)
        }
        TargetChoice::File { path, .. } => format!("{}: opening {path}", workload.name),
    });
    let begun = Instant::now();
    let opened =
        open(&args.workload, &workload, seed, directory.path(), terms).map_err(unopened)?;
    let Opened { mut target, header } = opened;
    let header = team.header(header);
    let nodes = target.nodes().to_vec();
    let path = directory.path().display();
    terminal.tell(|| {
        format!("ready after {}: {}; the run goes to {path}", since(begun), nodes.join(", "))
    });

    let unwritable = |error: io::Error| {
        Failure::target(format!("failed to write into {}: {error}", directory.path().display()))
    };
    let file = BufWriter::new(directory.create_history().map_err(unwritable)?);
    let writer = Writer::new(file, &header).map_err(unwritable)?;
    let mut journal = Shown::new(writer, workload.duration(), terminal);
    let mut generator = workload.generator(seed, &nodes);
    team.start()?;
    target.restart_clock();
    let driven = drive(&mut *target, &mut generator, &mut journal, header.clone(), &stop)
        .map_err(|error| failed(&error))?;
    journal.finish();
    terminal.tell(|| "whatever was broken is mended, and the target closed".to_owned());
    if header.worker.is_some() {
        drop(journal);
        let header = Header { clock_error_ns: Some(team.clock_error_ns()), ..header };
        directory.rewrite_header(&header).map_err(unwritable)?;
        let path = directory.history().display().to_string();
        println!("{path}: a part of the run; make it one with `rashomon merge`");
        return Ok(if driven.interrupted { Exit::Interrupted } else { Exit::Holds });
    }

    let begun = Instant::now();
    let judged = judge.judge(&driven.history)?;
    let count = driven.history.len();
    terminal.tell(|| format!("{count} operations, judged in {}", since(begun)));
    let exit = if driven.interrupted { Exit::Interrupted } else { judged.exit };
    let path = directory.history().display().to_string();
    let command = reproduction(args, seed);
    let report = judged.report(&driven.history, Some(&path), Some(&command));
    let report = Report { added: driven.added, ..report };
    let save = |name: &str, form: &dyn Render| {
        let mut bytes = Vec::new();
        form.render(&report, &mut bytes)
            .and_then(|()| directory.save(name, &bytes))
            .map_err(unwritable)
    };
    save("results.json", &Json)?;
    save("report.txt", &Text { style: Style::Plain, brief: false })?;
    save("report.html", &Html)?;
    save("report.md", &Markdown)?;
    save("junit.xml", &Junit)?;
    print(&report, args.judge.json, terminal)?;
    if driven.interrupted {
        complain("interrupted: what was recorded until then is what was judged");
    }
    Ok(exit)
}

pub(crate) fn lines<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What was typed as `--set`.
pub(crate) fn pairs(typed: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pair = |set: &String| {
        let (key, value) = set.split_once('=').ok_or_else(|| {
            Failure::bad_input(format!(
                "--set {set}: expected KEY=VALUE, for example target.replication=sync"
            ))
        })?;
        Ok((key.to_owned(), value.to_owned()))
    };
    typed.iter().map(pair).collect()
}

/// What was typed as `--set`, and the options that are short for it.
fn overrides(args: &RunArgs) -> Result<Vec<(String, String)>, Failure> {
    let mut overrides = pairs(&args.set)?;
    // A target is a file or, in one word, an embedded store.
    let is_store = |target: &&str| STORES.iter().any(|store| store.name == *target);
    let target = args.target.as_deref();
    let short = [
        ("phases.main", args.time_limit.as_deref()),
        ("clients.count", args.concurrency.as_deref()),
        ("target.store", target.filter(is_store)),
        ("target.file", target.filter(|target| !is_store(target))),
    ];
    let is_missing =
        |target: &&str| !is_store(target) && !beside(&args.workload, Path::new(target)).exists();
    if let Some(target) = target.filter(is_missing) {
        let hint = did_you_mean(target, STORES.iter().map(|store| store.name))
            .unwrap_or("see rashomon list stores".to_owned());
        let message = format!("--target {target}: no such file, and no embedded store; {hint}");
        return Err(Failure::bad_input(message));
    }
    for (key, value) in short {
        overrides.extend(value.map(|value| (key.to_owned(), value.to_owned())));
    }
    Ok(overrides)
}

/// The workload of a file; of a scenario the one that shows the failure, or its control.
pub(crate) fn read_workload(
    path: &Path,
    overrides: &[(String, String)],
    control: Option<usize>,
) -> Result<Workload, Failure> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::bad_input(format!("failed to read {name}: {error}; see rashomon list workloads"))
    })?;
    let workload = match control {
        _ if Scenario::is_one(&text) => side(read_scenario(path, overrides)?, control)?,
        Some(_) => {
            let message = format!("--control: {name} is no scenario; see rashomon list scenarios");
            return Err(Failure::bad_input(message));
        }
        None if is_target(&text) => {
            let message = format!("{name} is a target; say rashomon run WORKLOAD --target {name}");
            return Err(Failure::bad_input(message));
        }
        None => Workload::parse(&name, &text, overrides)
            .map_err(|errors| Failure::bad_input(lines(&errors)))?,
    };
    embedded_options(&workload).map_err(Failure::bad_input)?;
    Ok(workload)
}

fn side(scenario: Scenario, control: Option<usize>) -> Result<Workload, Failure> {
    let Some(number) = control else { return Ok(scenario.finding) };
    let many = scenario.controls.len();
    let control = scenario.controls.into_iter().nth(number.wrapping_sub(1));
    control.map(|control| control.workload).ok_or_else(|| {
        Failure::bad_input(format!("--control={number}: the scenario has {many}, counted from 1"))
    })
}

/// Whether the embedded store of a workload accepts its options.
pub(crate) fn embedded_options(workload: &Workload) -> Result<(), String> {
    let TargetChoice::Store(choice) = &workload.target else { return Ok(()) };
    match store::build(&choice.name, &choice.options, 0) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(workload.option_diagnostic(error.option.as_deref(), &error.message).to_string())
        }
    }
}

/// A seed nobody chose: it is printed with the command that reproduces the run.
fn drawn_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ (now.as_secs() << 20) & 0xffff_ffff
}

fn directory(args: &RunArgs, workload: &Workload, seed: u64) -> Result<RunDirectory, Failure> {
    let directory = match &args.out {
        Some(path) => RunDirectory::at(path),
        None => RunDirectory::fresh(Path::new(RUNS), &workload.name, seed),
    };
    directory.map_err(|error| {
        Failure::bad_input(format!("failed to make a directory for the run: {error}"))
    })
}

/// A run on a lab needs root. Who is not takes the place of it in namespaces of its own; that starts
/// the program anew, so it is done before anything else.
#[cfg(feature = "live")]
pub(crate) fn may_have_a_lab(file: &Path, workload: &Workload) -> Result<(), Failure> {
    let TargetChoice::File { path, .. } = &workload.target else { return Ok(()) };
    let path = beside(file, Path::new(path)).display().to_string();
    // What is wrong with the file is told by who opens it.
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    let config = crate::target::TargetConfig::parse(&path, &text);
    if config.is_ok_and(|config| config.lab.is_some()) && !crate::lab::is_root() {
        return Err(crate::cli::lab::failure(crate::lab::run_as_root_of_a_namespace()));
    }
    Ok(())
}

#[cfg(not(feature = "live"))]
pub(crate) fn may_have_a_lab(_file: &Path, _workload: &Workload) -> Result<(), Failure> {
    Ok(())
}

/// Whether whoever typed this says that the cluster is theirs.
#[cfg(feature = "live")]
fn owned(args: &RunArgs) -> bool {
    args.i_own_this_cluster
}

#[cfg(not(feature = "live"))]
fn owned(_args: &RunArgs) -> bool {
    false
}

pub(crate) fn unopened(error: OpenError) -> Failure {
    match error {
        OpenError::Input(why) => Failure::bad_input(why),
        OpenError::Target(error) => failed(&error.into()),
    }
}

fn failed(error: &DriveError) -> Failure {
    let exit = match error {
        DriveError::Target(TargetError::Unhealed(_)) => Exit::Unhealed,
        _ => Exit::Target,
    };
    Failure { exit, message: error.to_string() }
}

/// The second Ctrl-C: heal what these runs have broken and leave at once.
pub(crate) fn quit(runs: &[PathBuf]) {
    // What is under way ends. The run, which goes on until this process is gone, does nothing more.
    #[cfg(feature = "live")]
    let _shut = crate::target::shut();
    #[cfg(feature = "live")]
    {
        let mut wrong = Vec::new();
        for run in runs {
            let faults = run.join(crate::target::FAULT_JOURNAL);
            let healed = if faults.exists() { crate::target::heal(&faults).err() } else { None };
            wrong.extend(healed.map(|error| error.to_string()));
            wrong.extend(crate::lab::heal(run).err().map(|error| error.to_string()));
        }
        if !wrong.is_empty() {
            for error in &wrong {
                complain(&format!("error: {error}"));
            }
            std::process::exit(i32::from(Exit::Unhealed as u8));
        }
    }
    let _ = runs;
    std::process::exit(i32::from(Exit::Interrupted as u8));
}

/// The command that does the same run again.
fn reproduction(args: &RunArgs, seed: u64) -> String {
    let workload = quoted(&args.workload.display().to_string());
    let mut command = vec![format!("rashomon run {workload} --seed {seed}")];
    command.extend(args.control.map(|number| format!("--control={number}")));
    let options = [
        ("--target", args.target.as_ref()),
        ("--time-limit", args.time_limit.as_ref()),
        ("--concurrency", args.concurrency.as_ref()),
    ];
    let sets = args.set.iter().map(|set| ("--set", Some(set)));
    for (option, value) in options.into_iter().chain(sets) {
        command.extend(value.map(|value| format!("{option} {}", quoted(value))));
    }
    command.extend(args.judge.typed());
    command.join(" ")
}
