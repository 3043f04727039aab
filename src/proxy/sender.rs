//! Who has opened a connection, where the port does not say it.
//!
//! A node of etcd has one address for all its peers, so all of them come to one port of the proxy. On
//! machines of their own they are told apart by their address; on one machine by the process that
//! holds the other end of the connection: it is the node, or a child of it, if it also listens where
//! the node does. That is read from `/proc` and needs the user of the nodes, or root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The state of a socket that listens.
const LISTENS: u8 = 0x0a;

/// How many parents of a process are asked.
const PARENTS_MAX: usize = 16;

/// The node whose process has connected from `peer` to `local`; nothing if it cannot be known. `homes`
/// says where each node listens.
pub(super) fn find(
    homes: &[(String, SocketAddr)],
    peer: SocketAddr,
    local: SocketAddr,
) -> Option<String> {
    let there: BTreeSet<&String> = homes
        .iter()
        .filter(|(_, home)| home.ip().to_canonical() == peer.ip().to_canonical())
        .map(|(name, _)| name)
        .collect();
    if there.len() == 1 {
        return there.into_iter().next().cloned();
    }
    let sockets = sockets();
    let is = |one: &SocketAddr, other: SocketAddr| {
        one.port() == other.port() && one.ip() == other.ip().to_canonical()
    };
    let opener = sockets.iter().find(|one| is(&one.local, peer) && is(&one.remote, local))?.inode;
    let listeners: BTreeMap<u64, &String> = homes
        .iter()
        .flat_map(|(name, home)| {
            let listens = sockets.iter().filter(|one| {
                let any = one.local.ip().is_unspecified() && one.local.port() == home.port();
                one.state == LISTENS && (any || is(&one.local, *home))
            });
            listens.map(move |one| (one.inode, name))
        })
        .collect();
    let (mut openers, mut nodes) = (Vec::new(), BTreeMap::<u32, BTreeSet<&String>>::new());
    for pid in processes() {
        for inode in inodes(pid) {
            if inode == opener {
                openers.push(pid);
            }
            if let Some(name) = listeners.get(&inode) {
                nodes.entry(pid).or_default().insert(name);
            }
        }
    }
    let mut found = openers.into_iter().filter_map(|pid| {
        let line = std::iter::successors(Some(pid), |pid| parent(*pid)).take(PARENTS_MAX);
        line.into_iter().find_map(|pid| nodes.get(&pid))
    });
    let names = found.next()?;
    // A process that is several nodes is none of them.
    if names.len() == 1 { names.first().map(|name| (*name).clone()) } else { None }
}

struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    inode: u64,
}

/// The sockets of this machine, as `/proc/net/tcp` shows them.
fn sockets() -> Vec<Socket> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables.iter().filter_map(|path| fs::read_to_string(path).ok());
    texts.flat_map(|text| text.lines().skip(1).filter_map(socket).collect::<Vec<_>>()).collect()
}

fn socket(line: &str) -> Option<Socket> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(Socket {
        local: address(words.get(1)?)?,
        remote: address(words.get(2)?)?,
        state: u8::from_str_radix(words.get(3)?, 16).ok()?,
        inode: words.get(9)?.parse().ok().filter(|inode| *inode != 0)?,
    })
}

/// `0100007F:1F90`: words of an address in the order of this machine, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(8 * at..8 * at + 8)?, 16).ok();
    let ip = if ip.len() == 8 {
        IpAddr::V4(Ipv4Addr::from(word(0)?.to_ne_bytes()))
    } else {
        let mut bytes = [0; 16];
        for at in 0..4 {
            bytes[4 * at..4 * at + 4].copy_from_slice(&word(at)?.to_ne_bytes());
        }
        IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The sockets that a process holds; none if it is somebody else's.
fn inodes(pid: u32) -> Vec<u64> {
    let folder = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd"));
    let links =
        folder.into_iter().flatten().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode = |link: std::path::PathBuf| {
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    links.filter_map(inode).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in brackets and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok().filter(|pid| *pid > 1)
}
