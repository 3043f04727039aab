//! What lies in the directory of a run for its road, and which faults it furnishes.

use std::fs;
use std::io;
use std::path::Path;

use crate::target::{Furnished, Furniture, RoadChoice, RoadKind, TargetConfig, Way};

const ROAD: &str = include_str!("road.sh");

/// The parts of `node.sh`, in their order; what a kind of road does in another way comes after them.
const PARTS: [&str; 5] = [
    include_str!("node/state.sh"),
    include_str!("node/server.sh"),
    include_str!("node/network.sh"),
    include_str!("node/limits.sh"),
    include_str!("node/disk.sh"),
];

const ACT: &str = include_str!("node/act.sh");

/// The way to the nodes, and what is done there in another way.
fn scripts(kind: RoadKind) -> (&'static str, &'static str) {
    match kind {
        RoadKind::Ssh => (include_str!("ssh.sh"), ""),
        RoadKind::Docker => (include_str!("local.sh"), include_str!("node/docker.sh")),
        RoadKind::Kubernetes => (include_str!("kubernetes.sh"), include_str!("node/kubernetes.sh")),
    }
}

/// The faults of a road whose script lies there, and how it is renewed, begun and ended.
pub(super) fn furniture(road: &RoadChoice, script: &str) -> Furniture {
    let quoted = quoted(script);
    let act = |action: &str| format!("sh {quoted} {action}");
    let fault = |name: &'static str| {
        Furnished::new(name, act(&format!("inject {name}")), act(&format!("undo {name}")))
            .probed(act(&format!("probe {name}")))
    };
    let mut faults: Vec<Furnished> = names(road).into_iter().map(fault).collect();
    faults.push(Furnished::new("partition", act("cut"), act("join")).probed(act("severed")));
    Furniture {
        nodes: Vec::new(),
        faults,
        primary: None,
        renew: Some(act("renew")),
        way: Some(Way { check: act("check"), release: act("close"), is_leased: false }),
    }
}

/// What can be done to a single node.
fn names(road: &RoadChoice) -> Vec<&'static str> {
    let pods = road.by == RoadKind::Kubernetes;
    let table = [
        (true, vec!["kill"]),
        (!pods || road.pids.is_some(), vec!["pause"]),
        (!pods || road.chaos_mesh, vec!["packet", "skew"]),
        (!pods, vec!["throttle", "memory"]),
        (road.data.is_some(), vec!["disk-full"]),
        (!pods && road.data.is_some(), vec!["truncate", "bitflip"]),
        (road.lazyfs.is_some(), vec!["power-loss"]),
    ];
    table.into_iter().filter(|(can, _)| *can).flat_map(|(_, names)| names).collect()
}

/// Writes everything that `road.sh` reads; `run` is what nobody else's run is called.
pub(super) fn write(
    config: &TargetConfig,
    road: &RoadChoice,
    run: &str,
    to: &Path,
) -> io::Result<()> {
    let (reach, other) = scripts(road.by);
    fs::create_dir_all(to.join("nodes"))?;
    fs::write(to.join("road.sh"), ROAD)?;
    fs::write(to.join("reach.sh"), reach)?;
    fs::write(to.join("node.sh"), [&PARTS[..], &[other, ACT]].concat().join("\n"))?;
    let nodes: Vec<(String, String)> = config
        .nodes()
        .map(|(node, address)| {
            let host = road.hosts.get(&*node).cloned();
            (node.to_string(), host.unwrap_or_else(|| host_of(address).to_owned()))
        })
        .collect();
    let addresses = nodes.iter().flat_map(|(node, host)| {
        let own = road.addresses.get(node).cloned().unwrap_or_else(|| vec![host.clone()]);
        own.into_iter().map(move |address| format!("{node}={address}"))
    });
    let addresses: Vec<String> = addresses.collect();
    let names: Vec<&str> = nodes.iter().map(|(node, _)| &**node).collect();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let environment = [
        ("run", run.to_owned()),
        ("all", names.join(" ")),
        ("addresses", addresses.join(" ")),
        ("service", text(&road.service)),
        ("start", text(&road.start)),
        ("stop", text(&road.stop)),
        ("pids", text(&road.pids)),
        ("interface", text(&road.interface)),
        ("reserve_mb", road.reserve_mb.unwrap_or(1).to_string()),
        ("context", text(&road.context)),
        ("namespace", text(&road.namespace)),
        ("container", text(&road.container)),
        ("chaos_mesh", if road.chaos_mesh { "yes" } else { "" }.to_owned()),
    ];
    fs::write(to.join("environment"), assignments(&environment))?;
    let way = [
        ("sockets", std::env::temp_dir().join(format!("rashomon-{run}")).display().to_string()),
        ("options", options(road)),
        ("sudo", if road.sudo { "sudo -n " } else { "" }.to_owned()),
    ];
    fs::write(to.join("way"), assignments(&way))?;
    for (node, address) in config.nodes() {
        let host = nodes.iter().find(|(name, _)| **name == *node).map(|(_, host)| host.clone());
        let peers: Vec<&str> = names.iter().copied().filter(|name| **name != *node).collect();
        let port = address.rsplit_once(':').map_or("", |(_, port)| port);
        let own = [
            ("node", node.to_string()),
            ("host", host.unwrap_or_default()),
            ("port", port.chars().take_while(char::is_ascii_digit).collect()),
            ("peers", peers.join(" ")),
            ("data", text(&road.data).replace("${node}", &node)),
            ("lazyfs", text(&road.lazyfs).replace("${node}", &node)),
        ];
        fs::write(to.join("nodes").join(&*node), assignments(&own))?;
    }
    // On disk before anything is broken: whoever heals needs it.
    fs::File::open(to)?.sync_all()
}

/// The options of `ssh`, each as one word of a shell.
fn options(road: &RoadChoice) -> String {
    let mut words = Vec::new();
    words.extend(road.user.iter().map(|user| format!("User={user}")));
    words.extend(road.port.iter().map(|port| format!("Port={port}")));
    words.extend(road.identity.iter().map(|file| format!("IdentityFile={file}")));
    words.extend(road.options.iter().cloned());
    let words: Vec<String> = words.iter().map(|word| format!("-o {}", quoted(word))).collect();
    words.join(" ")
}

/// `db1` of `http://db1:2379/path`, of `db1:6379` and of `[db1]:6379`.
fn host_of(address: &str) -> &str {
    let authority = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or(authority);
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn assignments(variables: &[(&str, String)]) -> String {
    let assignment = |(name, value): &(&str, String)| format!("{name}={}\n", quoted(value));
    variables.iter().map(assignment).collect()
}

/// The text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
