//! `rashomon run`: drive, break, record, heal, check, report.

use std::fs;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::args::RunArgs;
use crate::cli::check::{Judge, print, quoted};
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt;
use crate::cli::progress::Shown;
use crate::cli::scenario::read_scenario;
use crate::cli::team::Team;
use crate::cli::terminal::{Terminal, complain};
use crate::history::{Header, Writer};
use crate::model::Value;
use crate::report::{Json, Render, Style, Text};
use crate::run::{DriveError, RunDirectory, drive};
use crate::store::{self, STORES};
use crate::target::{Target, TargetError};
use crate::workload::{Scenario, TargetChoice, Workload};

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
    let stop = interrupt::flag(move || quit(&broken));
    let (mut target, description) =
        open_target(args, &workload, seed, team.run_name(), directory.path())?;
    let nodes = target.nodes().to_vec();

    let simulated = matches!(workload.target, TargetChoice::Store(_));
    let header = Header {
        format: 1,
        tool: concat!("rashomon ", env!("CARGO_PKG_VERSION")).to_owned(),
        workload: Some(workload.name.clone()),
        seed: Some(seed),
        target: Some(description),
        nodes: nodes.iter().map(ToString::to_string).collect(),
        timeless: false,
        // A simulated run is the same whenever it is run.
        started: (!simulated).then(started),
        expect: workload.expect.clone(),
        ..team.header()
    };
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
    if header.worker.is_some() {
        drop(journal);
        let header = Header { clock_error_ns: Some(team.clock_error_ns()), ..header };
        directory.rewrite_header(&header).map_err(unwritable)?;
        let path = directory.history().display().to_string();
        println!("{path}: a part of the run; make it one with `rashomon merge`");
        return Ok(if driven.interrupted { Exit::Interrupted } else { Exit::Holds });
    }

    let judged = judge.judge(&driven.history)?;
    let exit = if driven.interrupted { Exit::Interrupted } else { judged.exit };
    let path = directory.history().display().to_string();
    let command = reproduction(args, seed);
    let report = judged.report(&driven.history, Some(&path), Some(&command));
    let save = |name: &str, form: &dyn Render| {
        let mut bytes = Vec::new();
        form.render(&report, &mut bytes)
            .and_then(|()| directory.save(name, &bytes))
            .map_err(unwritable)
    };
    save("results.json", &Json)?;
    save("report.txt", &Text { style: Style::Plain, brief: false })?;
    print(&report, args.judge.json, terminal)?;
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

fn started() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    rfc3339(seconds)
}

/// A time in seconds since 1970 as RFC 3339 writes it (civil-from-days, H. Hinnant).
fn rfc3339(seconds: u64) -> String {
    let (days, second) = ((seconds / 86_400) as i64, seconds % 86_400);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn directory(args: &RunArgs, workload: &Workload, seed: u64) -> Result<RunDirectory, Failure> {
    let directory = match &args.out {
        Some(path) => RunDirectory::at(path),
        None => RunDirectory::fresh(Path::new("histories/runs"), &workload.name, seed),
    };
    directory.map_err(|error| {
        Failure::bad_input(format!("failed to make a directory for the run: {error}"))
    })
}

/// The target of a workload, ready to be driven, and what the history's header says of it.
fn open_target(
    args: &RunArgs,
    workload: &Workload,
    seed: u64,
    run_name: Option<String>,
    directory: &Path,
) -> Result<(Box<dyn Target>, Value), Failure> {
    match &workload.target {
        TargetChoice::Store(choice) => {
            let target = store::build(&choice.name, &choice.options, seed).map_err(|error| {
                Failure::bad_input(
                    workload.option_diagnostic(error.option.as_deref(), &error.message),
                )
            })?;
            let store = [(Value::text("store"), Value::text(&choice.name))];
            let options =
                choice.options.iter().map(|(key, value)| (Value::text(key), value.clone()));
            let description = Value::Map(store.into_iter().chain(options).collect());
            Ok((target, description))
        }
        TargetChoice::File { path, .. } => {
            let path = beside(&args.workload, Path::new(path));
            open_live(&path, args, workload, run_name, directory)
        }
    }
}

/// A target file is looked for where it is named, else beside the workload.
pub(crate) fn beside(workload: &Path, target: &Path) -> PathBuf {
    let sibling = workload.parent().map(|folder| folder.join(target));
    match sibling {
        Some(sibling) if !target.exists() && sibling.exists() => sibling,
        _ => target.to_owned(),
    }
}

#[cfg(feature = "live")]
fn open_live(
    path: &Path,
    args: &RunArgs,
    workload: &Workload,
    run_name: Option<String>,
    directory: &Path,
) -> Result<(Box<dyn Target>, Value), Failure> {
    let (mut config, choice) = read_target(path, workload)?;
    may_be_broken(&config, args)?;
    config.run = run_name;
    let (target, config) = match choice {
        Some(choice) => crate::lab::open(config, &choice, directory),
        None => crate::road::open(config, directory),
    }
    .map_err(|error| failed(&error.into()))?;
    Ok((target, config.description()))
}

/// A target file with what its lab, road or proxy adds to it. It has all that the workload asks for.
#[cfg(feature = "live")]
pub(crate) fn read_target(
    path: &Path,
    workload: &Workload,
) -> Result<(crate::target::TargetConfig, Option<crate::target::LabChoice>), Failure> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::bad_input(format!("failed to read {name}: {error}")))?;
    let mut config =
        crate::target::TargetConfig::parse(&name, &text).map_err(Failure::bad_input)?;
    let mut choice = choose_lab(path, &mut config)?;
    if let Some(choice) = choice.as_mut().filter(|_| workload.injects("packet")) {
        // A bridge only cuts.
        choice.network.get_or_insert(crate::target::Network::Switch);
    }
    choose_proxy(path, &mut config)?;
    let nodes: Vec<_> = config.nodes().map(|(node, _)| node).collect();
    let faults: Vec<&str> = config.faults().collect();
    let operations: Vec<&str> = config.functions().map(crate::model::Function::name).collect();
    let lacking = workload.check_target(&nodes, &faults, &operations);
    if !lacking.is_empty() {
        return Err(Failure::bad_input(lines(&lacking)));
    }
    Ok((config, choice))
}

/// What is not there to be thrown away is not touched without a word.
#[cfg(feature = "live")]
fn may_be_broken(config: &crate::target::TargetConfig, args: &RunArgs) -> Result<(), Failure> {
    if config.disposable || config.lab.is_some() || args.i_own_this_cluster {
        return Ok(());
    }
    let nodes: Vec<String> =
        config.nodes().map(|(name, address)| format!("{name} at {address}")).collect();
    Err(Failure::bad_input(format!(
        "a run writes to {} and breaks it: {}. Its target file does not say that it may be lost; write \
         `disposable = true` there if so, or say --i-own-this-cluster",
        config.name,
        nodes.join(", ")
    )))
}

/// The lab of a target file, or its road. A definition is looked for where it is named, else beside the file.
#[cfg(feature = "live")]
pub(crate) fn choose_lab(
    path: &Path,
    config: &mut crate::target::TargetConfig,
) -> Result<Option<crate::target::LabChoice>, Failure> {
    let Some(mut choice) = config.lab.as_ref().map(|lab| lab.get_ref().clone()) else {
        crate::road::choose(config);
        return Ok(None);
    };
    if crate::lab::Definition::is_path(&choice.store) {
        choice.store = beside(path, Path::new(&choice.store)).display().to_string();
    }
    crate::lab::choose(config, &choice)
        .map_err(|why| Failure::bad_input(format!("{}: {why}", path.display())))?;
    Ok(Some(choice))
}

/// The proxy of a target file. Its file is looked for beside that.
#[cfg(feature = "live")]
pub(crate) fn choose_proxy(
    path: &Path,
    config: &mut crate::target::TargetConfig,
) -> Result<(), Failure> {
    let Some(choice) = config.proxy.as_ref().map(|proxy| proxy.get_ref().clone()) else {
        return Ok(());
    };
    let wrong = |why| Failure::bad_input(format!("{}: {why}", path.display()));
    if config.lab.is_some() || config.road.is_some() {
        let why = "the network is cut by one means: leave out [proxy], or [lab] and [road]";
        return Err(wrong(why.to_owned()));
    }
    let file = beside(path, Path::new(&choice.file));
    crate::proxy::furnish(config, &choice, &file).map_err(wrong)
}

/// A run on a lab needs root. Who is not takes the place of it in namespaces of its own; that starts
/// the program anew, so it is done before anything else.
#[cfg(feature = "live")]
fn may_have_a_lab(file: &Path, workload: &Workload) -> Result<(), Failure> {
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
fn may_have_a_lab(_file: &Path, _workload: &Workload) -> Result<(), Failure> {
    Ok(())
}

#[cfg(not(feature = "live"))]
fn open_live(
    path: &Path,
    _args: &RunArgs,
    _workload: &Workload,
    _run_name: Option<String>,
    _directory: &Path,
) -> Result<(Box<dyn Target>, Value), Failure> {
    Err(Failure::bad_input(format!(
        "{}: this build has no live targets; build with the feature `live`",
        path.display()
    )))
}

fn failed(error: &DriveError) -> Failure {
    let exit = match error {
        DriveError::Target(TargetError::Unhealed(_)) => Exit::Unhealed,
        _ => Exit::Target,
    };
    Failure { exit, message: error.to_string() }
}

/// The second Ctrl-C: heal and leave at once.
fn quit(run: &Path) {
    #[cfg(feature = "live")]
    {
        let faults = run.join(crate::target::FAULT_JOURNAL);
        let healed = if faults.exists() { crate::target::heal(&faults).err() } else { None };
        let down = crate::lab::heal(run).err();
        let wrong = [healed.map(|error| error.to_string()), down.map(|error| error.to_string())];
        if wrong.iter().any(Option::is_some) {
            wrong.iter().flatten().for_each(|error| complain(&format!("error: {error}")));
            std::process::exit(i32::from(Exit::Unhealed as u8));
        }
    }
    let _ = run;
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

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates_are_right() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_219_200), "2026-11-21T00:00:00Z");
    }
}
