//! Brings a lab up: claims a network, makes bridge, table and namespaces, and boots the store.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::lab::definition::{Definition, MOST_NODES};
use crate::lab::links;
use crate::lab::rootless::is_root;
use crate::lab::state::{BOUND, JOURNAL, LABS, Lab, LabError, Node, STATE, UP, bridge, down, root};
use crate::lab::switch;
use crate::lab::watch::for_one_run;
use crate::model::FaultId;
use crate::target::{FaultJournal, Network, Outstanding, ShellCommand, pass_blocking};

/// How long to wait before a node is asked again whether it is ready.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How long a node may think about whether it is ready: some start a virtual machine to find out.
const READY_SECONDS: &str = "30";

/// What is brought up.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The name of an embedded definition, or the path of one.
    pub store: &'a str,
    /// What the lab is called; as its store if not said.
    pub name: Option<&'a str>,
    /// How many nodes; as many as the definition says if not said.
    pub nodes: Option<usize>,
    /// Settings that are not left at their default.
    pub settings: &'a [(String, String)],
    /// What links the nodes.
    pub network: Network,
    /// How large the disk of each node is (`64MB`); they have that of the machine if not said.
    pub disk: Option<&'a str>,
    /// For a lab that is there for one run only: it is removed when it has not been renewed for so long.
    pub within: Option<Duration>,
}

/// Brings a lab up and waits until every node is ready. Whatever goes wrong, what was made is removed.
pub fn up(request: &Request<'_>) -> Result<Lab, LabError> {
    let definition = Definition::find(request.store).map_err(LabError::Input)?;
    let settings = definition.settle(request.settings).map_err(LabError::Input)?;
    let count = request.nodes.unwrap_or(*definition.nodes.get_ref());
    if !(1..=MOST_NODES).contains(&count) {
        return Err(LabError::Input(format!("a lab has 1 to {MOST_NODES} nodes, not {count}")));
    }
    if let Some(missing) = definition.missing() {
        return Err(LabError::Failed(missing));
    }
    may_make_namespaces()?;
    if let Some(disk) = request.disk
        && !is_size(disk)
    {
        return Err(LabError::Input(format!(
            "`{disk}` is no size of a disk; expected one like 64MB"
        )));
    }
    let name = request.name.unwrap_or(definition.name.get_ref());
    let directory = own_directory(name)?;
    let mut lab = Lab {
        name: name.to_owned(),
        store: definition.name.get_ref().clone(),
        number: 0,
        nodes: Vec::new(),
        settings,
        network: request.network,
        disk: request.disk.map(str::to_owned),
        steps: definition.steps().map(|(step, _)| step.to_owned()).collect(),
        directory,
    };
    let built = build(&mut lab, count, &definition, request.within)
        .and_then(|()| boot(&lab, &definition))
        .and_then(|()| written(&lab.directory.join(UP), ""));
    match built {
        Ok(()) => Ok(lab),
        Err(why) => {
            // The first error is the one to mend; what cannot be removed must be told besides.
            let left =
                down(&lab.directory).err().map_or_else(String::new, |left| format!("\n{left}"));
            Err(LabError::Failed(format!("{name}: {why}{left}")))
        }
    }
}

fn may_make_namespaces() -> Result<(), LabError> {
    if is_root() {
        return Ok(());
    }
    // A run can do this by itself, for it needs its lab no longer than it lives.
    Err(LabError::Failed(format!(
        "a lab needs root, for it makes network namespaces. Run it as root; or, where the kernel lets \
         users have namespaces, in the shell that this starts, with {LABS} set to a directory of your \
         own: unshare --user --map-root-user --net --mount sh -c \
         'mount -t tmpfs run /run && ip link set lo up && exec sh'"
    )))
}

/// Whether `truncate` takes that for a size.
fn is_size(text: &str) -> bool {
    let digits = text.trim_end_matches(['k', 'K', 'M', 'G', 'i', 'B']);
    !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) && digits.len() < text.len()
}

/// The directory of a new lab; there can be only one of its name.
fn own_directory(name: &str) -> Result<std::path::PathBuf, LabError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(fits) {
        return Err(LabError::Input(format!(
            "`{name}` is no name of a lab; expected letters, digits, `-` and `_`"
        )));
    }
    let root = root();
    if ["/tmp", "/run"].iter().any(|hidden| root.starts_with(hidden)) || root.is_relative() {
        let root = root.display();
        return Err(LabError::Input(format!(
            "RASHOMON_LABS is {root}: expected an absolute path outside /tmp and /run, which are \
             other directories inside a node"
        )));
    }
    let directory = root.join(name);
    let made = fs::create_dir_all(root.join(".networks")).and_then(|()| fs::create_dir(&directory));
    match made {
        Ok(()) => Ok(directory),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(LabError::Input(format!(
            "a lab {name} is there already; take it down with `rashomon lab down {name}`, or give \
             this one another --name"
        ))),
        Err(error) => {
            Err(LabError::Failed(format!("failed to make {}: {error}", directory.display())))
        }
    }
}

/// What a lab is made of, each noted before it is made.
pub(super) struct Maker {
    lab: String,
    journal: FaultJournal,
    last: u32,
}

impl Maker {
    /// Notes what is made, makes it with one command, and returns its number.
    pub(super) fn make(&mut self, what: &str, make: &str, undo: &str) -> Result<FaultId, String> {
        let _open = pass_blocking();
        let id = self.note(what, undo)?;
        let output = Command::new("setpriv").args(BOUND).args(["sh", "-c", make]).output();
        let output = output.map_err(|error| format!("cannot run setpriv: {error}"))?;
        if output.status.success() {
            return Ok(id);
        }
        Err(format!("cannot make {what}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }

    fn note(&mut self, what: &str, undo: &str) -> Result<FaultId, String> {
        self.last += 1;
        let id = FaultId(self.last);
        let undo = ShellCommand {
            node: self.lab.clone(),
            command: undo.to_owned(),
            variables: std::collections::BTreeMap::default(),
            timeout_ms: 30_000,
        };
        let made = Outstanding::unprobed(id, what, vec![undo]);
        self.journal.begin(made).map_err(|error| self.unwritable(&error))?;
        Ok(id)
    }

    fn unwritable(&self, error: &io::Error) -> String {
        format!("cannot write {}: {error}", self.journal.path().display())
    }

    /// Claims the first network that nobody has, by a link that only one lab can make.
    fn claim(&mut self, lab: &mut Lab) -> Result<(), String> {
        let own = lab.directory.join("name");
        written(&own, &lab.name)?;
        let listed = Command::new("ip").args(["-o", "-4", "address", "show"]).output();
        let listed = listed.map_err(|error| format!("cannot run ip: {error}"))?;
        let addresses = String::from_utf8_lossy(&listed.stdout).into_owned();
        for number in 0..=u8::MAX {
            let claim = root().join(".networks").join(number.to_string());
            let device = Path::new("/sys/class/net").join(bridge(number));
            let network = format!(" 10.77.{number}.");
            if claim.exists() || device.exists() || addresses.contains(&network) {
                continue;
            }
            let (path, name) = (claim.display(), &lab.name);
            let undo = format!("! grep -qsx '{name}' '{path}' || rm '{path}'");
            let id = self.note(&format!("network 10.77.{number}.0/24"), &undo)?;
            match fs::hard_link(&own, &claim) {
                Ok(()) => {
                    lab.number = number;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    self.journal.done(id).map_err(|error| self.unwritable(&error))?;
                }
                Err(error) => return Err(format!("cannot claim {}: {error}", claim.display())),
            }
        }
        Err("every network from 10.77.0.0/24 to 10.77.255.0/24 is taken".to_owned())
    }
}

/// Makes everything but the store's own processes.
fn build(
    lab: &mut Lab,
    count: usize,
    definition: &Definition,
    within: Option<Duration>,
) -> Result<(), String> {
    let journal = FaultJournal::create(&lab.directory.join(JOURNAL))
        .map_err(|error| format!("cannot start the journal of the lab: {error}"))?;
    let mut maker = Maker { lab: lab.name.clone(), journal, last: 0 };
    maker.claim(lab)?;
    let node = |index: usize| Node {
        name: format!("n{index}"),
        address: format!("10.77.{}.{index}", lab.number),
    };
    lab.nodes = (1..=count).map(node).collect();
    write_files(lab, definition)?;
    let script = lab.directory.join("lab.sh").display().to_string();
    if let Some(within) = within {
        for_one_run(&lab.directory, within)
            .map_err(|error| format!("cannot set the timer of the lab: {error}"))?;
    }
    match lab.network {
        Network::Bridge => links::make_bridge(lab, &mut maker)?,
        Network::Switch => links::make_switch(lab, &mut maker)?,
    }
    if lab.disk.is_some() {
        let undo = format!("[ ! -e '{script}' ] || bash '{script}' no-disks");
        maker.make("disks", &format!("bash '{script}' disks"), &undo)?;
    }
    let bridge = lab.bridge();
    for (index, node) in (1..=count).zip(&lab.nodes) {
        let (node, namespace, link) =
            (&node.name, format!("{bridge}-n{index}"), format!("{bridge}n{index}"));
        let at = |action: &str| format!("[ ! -e '{script}' ] || bash '{script}' {action} {node}");
        maker.make(
            &format!("cgroups of {node}"),
            &format!("bash '{script}' cgroups {node}"),
            &at("no-cgroups"),
        )?;
        if lab.disk.is_some() {
            let make = format!("bash '{script}' disk {node}");
            maker.make(&format!("disk of {node}"), &make, &at("no-disk"))?;
        }
        let make = match lab.network {
            Network::Bridge => links::bridged(lab, index),
            Network::Switch => links::switched(lab, index),
        };
        // What runs in a namespace keeps it alive, so it goes first. The link goes with its namespace,
        // but when the kernel finds the time: whether it is gone is asked and asked again.
        let undo = format!(
            "while pids=$(ip netns pids {namespace} 2>/dev/null) && [ -n \"$pids\" ]; do \
             kill -9 $pids 2>/dev/null; sleep 0.02; done; \
             ip link delete {link} 2>/dev/null; \
             ! ip netns list | grep -q '^{namespace}\\( \\|$\\)' || ip netns delete {namespace} || exit 1; \
             for i in 1 2 3 4 5 6 7 8 9; do ip link show dev {link} >/dev/null 2>&1 || exit 0; \
             sleep 0.1; ip link delete {link} 2>/dev/null; done; \
             echo 'the link {link} is still there' >&2; exit 1"
        );
        maker.make(&format!("namespace {namespace}"), &make, &undo)?;
    }
    // Last, so that they end first: who heals must not meet who removes.
    maker.make(
        "helpers",
        &if within.is_some() { format!("bash '{script}' renew") } else { "true".to_owned() },
        &format!("[ ! -e '{script}' ] || bash '{script}' no-helpers"),
    )?;
    let reached = lab.reach().map_err(|error| error.to_string())?;
    let links = count * (count - 1);
    if reached.len() < links {
        return Err(format!(
            "of {links} links between nodes only these let a packet through: {}; does a firewall of \
             this machine drop what a bridge forwards (net.bridge.bridge-nf-call-iptables)?",
            reached.join(" ")
        ));
    }
    Ok(())
}

/// Writes what `lab.sh` reads.
fn write_files(lab: &Lab, definition: &Definition) -> Result<(), String> {
    let at = |name: &str| lab.directory.join(name);
    let folder = |path: &Path, mode: u32| {
        fs::create_dir_all(path)
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
            .map_err(|error| format!("failed to make {}: {error}", path.display()))
    };
    for name in ["cuts", "faults", "steps", "processes", switch::DIRECTORY] {
        folder(&at(name), 0o755)?;
    }
    written(&at("lab.sh"), include_str!("lab.sh"))?;
    written(&at("faults.sh"), include_str!("faults.sh"))?;
    own_program(&at("rashomon"))?;
    for (name, step) in definition.steps() {
        written(&at("steps").join(name), step.get_ref())?;
    }
    for (index, process) in definition.process.iter().enumerate() {
        let name = format!("{}-{}", index + 1, process.name.get_ref());
        written(&at("processes").join(name), process.command.get_ref())?;
    }
    let list = |field: fn(&Node) -> &str| lab.nodes.iter().map(field).collect::<Vec<_>>().join(" ");
    let directory = lab.directory.display().to_string();
    let (number, bridge) = (lab.number, lab.bridge());
    let mut environment = exports(&[
        ("lab", &directory),
        ("bridge", &bridge),
        ("network", &format!("10.77.{number}.0/24")),
        ("link", lab.network.name()),
        ("disk", lab.disk.as_deref().unwrap_or_default()),
        ("nodes", &list(|node| &node.name)),
        ("addresses", &list(|node| &node.address)),
        ("count", &lab.nodes.len().to_string()),
        ("first", &lab.nodes[0].address),
    ]);
    for (name, value) in &lab.settings {
        environment.push_str(&exports(&[(name, value)]));
    }
    written(&at("environment"), &environment)?;
    let mut hosts = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for (index, node) in lab.nodes.iter().enumerate() {
        hosts.extend([node.address.as_str(), " ", &node.name, "\n"]);
        let home = at(&node.name);
        folder(&home, 0o755)?;
        folder(&home.join("data"), 0o755)?;
        folder(&home.join("tmp"), 0o1777)?;
        folder(&home.join("run"), 0o1777)?;
        let home_path = home.display().to_string();
        let data = match &lab.disk {
            Some(_) => format!("{directory}/disks/{}/data", node.name),
            None => format!("{home_path}/data"),
        };
        let environment = exports(&[
            ("node", &node.name),
            ("index", &(index + 1).to_string()),
            ("address", &node.address),
            ("namespace", &format!("{bridge}-{}", node.name)),
            ("home", &home_path),
            ("data", &data),
        ]);
        written(&home.join("environment"), &environment)?;
    }
    written(&at("hosts"), &hosts)?;
    let state = serde_json::to_string_pretty(lab).map_err(|error| error.to_string())?;
    written(&at(STATE), &state)
}

/// This program, for what goes on after it has ended: the file may be replaced by then.
fn own_program(path: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("failed to make {}: {error}", path.display());
    let own = std::env::current_exe().map_err(failed)?;
    fs::hard_link(own, path)
        .or_else(|_| fs::copy("/proc/self/exe", path).map(|_| ()))
        .map_err(failed)
}

fn exports(variables: &[(&str, &str)]) -> String {
    let quoted = |value: &str| value.replace('\'', r"'\''");
    let export = |(name, value): &(&str, &str)| format!("export {name}='{}'\n", quoted(value));
    variables.iter().map(export).collect()
}

/// Writes a file whole; it is on disk when this returns.
fn written(path: &Path, content: &str) -> Result<(), String> {
    let write = || -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| format!("failed to write {}: {error}", path.display()))
}

/// Prepares the nodes, starts their processes and waits until all are ready.
fn boot(lab: &Lab, definition: &Definition) -> Result<(), String> {
    let within = definition.boot.0;
    let deadline = Instant::now() + within;
    let together = if definition.one_by_one { 1 } else { lab.nodes.len() };
    for nodes in lab.nodes.chunks(together) {
        if definition.prepare.is_some() {
            all(lab, nodes, "prepare", within)?;
        }
        for node in nodes {
            lab.act(&["start", &node.name]).map_err(|error| error.to_string())?;
        }
        for node in nodes {
            while let Err(why) = lab.act(&["step", &node.name, "ready", READY_SECONDS]) {
                if Instant::now() > deadline {
                    let (name, limit) = (&node.name, within.as_millis());
                    return Err(format!(
                        "node {name} is not ready after {limit} ms: {why}{}",
                        ends_of_logs(lab, node)
                    ));
                }
                std::thread::sleep(ASK_AGAIN);
            }
        }
    }
    if definition.finish.is_some() {
        for node in lab.nodes.chunks(1) {
            all(lab, node, "finish", within)?;
        }
    }
    Ok(())
}

/// Runs a step on all these nodes at once; what it prints goes to a log of its name.
fn all(lab: &Lab, nodes: &[Node], step: &str, within: Duration) -> Result<(), String> {
    let limit = within.as_secs().max(1).to_string();
    let mut running = Vec::new();
    for node in nodes {
        let path = lab.directory.join(&node.name).join(format!("{step}.log"));
        let start = || -> io::Result<_> {
            let log = File::create(&path)?;
            let mut command = lab.bound_script(&["step", &node.name, step, &limit]);
            command.stdout(log.try_clone()?).stderr(log).spawn()
        };
        running.push((node, start().map_err(|error| format!("cannot run bash: {error}"))));
    }
    let mut wrong = Vec::new();
    for (node, child) in running {
        let ended = child.and_then(|mut child| child.wait().map_err(|error| error.to_string()));
        let why = match ended {
            Ok(status) if status.success() => continue,
            Ok(status) => status.to_string(),
            Err(why) => why,
        };
        wrong.push(format!("node {}: {step}: {why}{}", node.name, ends_of_logs(lab, node)));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// The last lines of every log of a node, to be shown below an error.
fn ends_of_logs(lab: &Lab, node: &Node) -> String {
    let mut shown = String::new();
    for log in lab.logs(node) {
        let text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(8)..];
        if !last.is_empty() {
            let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
            shown.extend([format!("\n{}/{name}:\n  {}", node.name, last.join("\n  "))]);
        }
    }
    shown
}
