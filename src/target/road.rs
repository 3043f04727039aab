//! The section `[road]` of a target file: how its nodes are reached to be broken.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::target::config::{TargetConfig, unknown};

/// How the nodes of a target file are reached to be broken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RoadChoice {
    /// Which road it is.
    pub by: RoadKind,
    /// The machine, container or pod of each node; the host of its address if not said.
    #[serde(default)]
    pub hosts: BTreeMap<String, String>,
    /// What the other nodes see of each: the source addresses that a partition drops; its host if not
    /// said.
    #[serde(default)]
    pub addresses: BTreeMap<String, Vec<String>>,
    /// `ssh`: who logs in.
    pub user: Option<String>,
    /// `ssh`: the port of its server.
    pub port: Option<u16>,
    /// `ssh`: the file of the key.
    pub identity: Option<String>,
    /// `ssh`: more options of its configuration, `Name=value`.
    #[serde(default)]
    pub options: Vec<String>,
    /// `ssh`: whether what is done is done by `sudo`, which must not ask for a password.
    #[serde(default)]
    pub sudo: bool,
    /// The unit of systemd that is the server.
    pub service: Option<String>,
    /// Starts the server, where it is no unit, and lets go of it. Commands know `$node` and `$host`.
    pub start: Option<String>,
    /// Keeps it from being started again when it was killed.
    pub stop: Option<String>,
    /// Prints the process ids of the server, asking nobody but the kernel.
    pub pids: Option<String>,
    /// Where the server keeps its files; `${node}` in it is the name of the node.
    pub data: Option<String>,
    /// The network interface that `packet` slows down; that of the way to the other nodes if not said.
    pub interface: Option<String>,
    /// How many megabytes `disk-full` leaves free; 1 if not said.
    pub reserve_mb: Option<u32>,
    /// The fifo of the `LazyFS` on which `data` lies; `${node}` as in `data`.
    pub lazyfs: Option<String>,
    /// `kubernetes`: the context of kubectl.
    pub context: Option<String>,
    /// `kubernetes`: the namespace of the pods.
    pub namespace: Option<String>,
    /// `kubernetes`: the container in each pod.
    pub container: Option<String>,
    /// `kubernetes`: whether Chaos Mesh is installed.
    #[serde(default)]
    pub chaos_mesh: bool,
}

/// What a road is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoadKind {
    /// The `ssh` of this machine.
    Ssh,
    /// The `docker` of this machine.
    Docker,
    /// The `kubectl` of this machine.
    Kubernetes,
}

impl RoadChoice {
    /// What contradicts itself or the rest of the file.
    pub(super) fn validate(&self, config: &TargetConfig) -> Result<(), String> {
        for name in self.hosts.keys().chain(self.addresses.keys()) {
            let names: Vec<Arc<str>> = config.nodes().map(|(node, _)| node).collect();
            if !names.iter().any(|node| **node == **name) {
                return Err(unknown("node", name, names.iter().map(|node| &**node)));
            }
        }
        let of_ssh = [self.user.is_some(), self.port.is_some(), self.identity.is_some(), self.sudo];
        let of_machine = [&self.service, &self.start, &self.stop, &self.interface, &self.lazyfs];
        let of_server = [&self.service, &self.start, &self.stop, &self.pids, &self.lazyfs];
        let of_pods = [&self.context, &self.namespace, &self.container];
        let machines = self.by != RoadKind::Kubernetes;
        if self.by != RoadKind::Ssh && (of_ssh.contains(&true) || !self.options.is_empty()) {
            Err("`user`, `port`, `identity`, `options` and `sudo` are for by = \"ssh\"".to_owned())
        } else if machines && (of_pods.iter().any(|one| one.is_some()) || self.chaos_mesh) {
            Err("`context`, `namespace`, `container` and `chaos-mesh` are for by = \"kubernetes\""
                .to_owned())
        } else if !machines
            && (of_machine.iter().any(|one| one.is_some()) || !self.addresses.is_empty())
        {
            Err("`service`, `start`, `stop`, `interface`, `lazyfs` and `addresses` are not for pods"
                .to_owned())
        } else if self.by == RoadKind::Docker && of_server.iter().any(|one| one.is_some()) {
            Err("docker starts and finds its containers; leave out `service`, `start`, `stop`, `pids` \
                 and `lazyfs`"
                .to_owned())
        } else if self.service.is_some() && (self.start.is_some() || self.pids.is_some()) {
            Err("`service` says how the server is started and found; leave out `start` and `pids`"
                .to_owned())
        } else if self.by == RoadKind::Ssh
            && self.service.is_none()
            && (self.start.is_none() || self.pids.is_none())
        {
            Err("how is the server started and found? expected `service`, or `start` and `pids`"
                .to_owned())
        } else if self.lazyfs.is_some() && self.data.is_none() {
            Err("`lazyfs` is the fifo of the file system on which `data` lies; expected `data`"
                .to_owned())
        } else {
            Ok(())
        }
    }
}
