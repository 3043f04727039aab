//! What links the nodes of a lab: a bridge of the kernel, or a switch of our own.

use crate::lab::state::Lab;
use crate::lab::switch;
use crate::lab::up::Maker;

/// Makes the bridge, and the table of what it drops.
pub(super) fn make_bridge(lab: &Lab, maker: &mut Maker) -> Result<(), String> {
    let bridge = lab.bridge();
    maker.make(
        &format!("bridge {bridge}"),
        &format!(
            "ip link add {bridge} type bridge && ip address add 10.77.{}.254/24 dev {bridge} && \
             ip link set {bridge} up",
            lab.number
        ),
        &format!("! ip link show dev {bridge} >/dev/null 2>&1 || ip link delete {bridge}"),
    )?;
    maker.make(
        &format!("table bridge {bridge}"),
        &format!("nft add table bridge {bridge}"),
        &format!("nft 'add table bridge {bridge}; delete table bridge {bridge}'"),
    )?;
    Ok(())
}

/// Starts the switch and waits until it has its devices; they are gone when it is.
pub(super) fn make_switch(lab: &Lab, maker: &mut Maker) -> Result<(), String> {
    let (directory, bridge) = (lab.directory.display(), lab.bridge());
    let own = format!("{directory}/switch");
    maker.make(
        &format!("switch {bridge}"),
        &format!(
            "setsid '{directory}/rashomon' lab switch '{directory}' >'{own}/log' 2>&1 </dev/null & \
             for i in $(seq 500); do [ ! -e '{own}/ready' ] || break; sleep 0.01; done; \
             [ -e '{own}/ready' ] || {{ cat '{own}/log' >&2; exit 1; }}; \
             ip address add 10.77.{}.254/24 dev {bridge} && ip link set {bridge} up",
            lab.number
        ),
        &format!(
            "pid=$(cat '{own}/pid' 2>/dev/null); \
             while [ -n \"$pid\" ] && grep -qsF '{directory}' \"/proc/$pid/cmdline\"; do \
             kill -9 \"$pid\" 2>/dev/null; sleep 0.01; done"
        ),
    )?;
    Ok(())
}

/// What makes a node that is linked by a bridge.
pub(super) fn bridged(lab: &Lab, index: usize) -> String {
    let bridge = lab.bridge();
    let (namespace, link) = (format!("{bridge}-n{index}"), format!("{bridge}n{index}"));
    let mut make = format!(
        "ip netns add {namespace} && \
         ip link add {link} type veth peer name eth0 netns {namespace} && \
         ip link set {link} master {bridge} up && ip -n {namespace} link set lo up && \
         ip -n {namespace} link set eth0 address {} && \
         ip -n {namespace} address add 10.77.{}.{index}/24 dev eth0 && \
         ip -n {namespace} link set eth0 up",
        hardware_address(lab.number, index),
        lab.number,
    );
    for (other, node) in lab.nodes.iter().enumerate().filter(|(at, _)| at + 1 != index) {
        let (address, hardware) = (&node.address, hardware_address(lab.number, other + 1));
        make.extend([format!(
            " && ip -n {namespace} neighbour add {address} lladdr {hardware} dev eth0 nud permanent"
        )]);
    }
    make
}

/// What makes a node that is linked by a switch: its device is there already.
pub(super) fn switched(lab: &Lab, index: usize) -> String {
    let bridge = lab.bridge();
    let namespace = format!("{bridge}-n{index}");
    format!(
        "ip netns add {namespace} && ip -n {namespace} link set lo up && \
         ip link set {} netns {namespace} name eth0 && \
         ip -n {namespace} address add 10.77.{}.{index}/24 dev eth0 && \
         ip -n {namespace} link set eth0 up",
        switch::device(&bridge, &format!("n{index}")),
        lab.number,
    )
}

/// An address of our own choice (the second lowest bit of its first byte says so).
fn hardware_address(number: u8, index: usize) -> String {
    format!("02:77:00:00:{number:02x}:{index:02x}")
}
