//! A switch in user space: packets between the nodes of a lab and the machine go through it, one by
//! one, and fare as the rules say.
//!
//! ```text
//!   eth0 of n1    eth0 of n2    eth0 of n3         TUN devices, each in the namespace of its node
//!       │             │             │
//!   ════╧═════════════╧═════════════╧════          this process: a thread a device reads what is sent,
//!                     │                            one more delivers what is late
//!                   rshN 10.77.N.254               a TUN device of the machine: rashomon and its clients
//! ```
//!
//! The devices are made here and moved into their namespaces afterwards, which an open device
//! survives; they are gone when this process is. A packet for which there is no rule is handed on by
//! the thread that read it.
//!
//! The rules are the file `switch/rules` of the lab, which is replaced as a whole; once they are in
//! force, their number is in `switch/in-force`, with what is wrong about them if they are not.
//! Chance is drawn from streams of one seed, a device each.

mod fate;
mod rules;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tun_rs::{DeviceBuilder, SyncDevice};

use crate::lab::state::{Lab, LabError};
use crate::model::Random;
use fate::{Fate, Link};
use rules::{CONTROL, Table};

/// The directory of the switch in that of its lab.
pub(super) const DIRECTORY: &str = "switch";

/// What a packet may have at most, the usual for Ethernet.
const MOST_BYTES: usize = 1_500;

/// How often it is seen whether there are new rules.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What the device of a node is called until it is moved.
pub(super) fn device(bridge: &str, node: &str) -> String {
    format!("{bridge}{node}")
}

/// Runs the switch of the lab in that directory, until that is gone or this process is killed.
pub fn switch(directory: &Path) -> Result<(), LabError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        LabError::Failed(format!("the switch of {}: {what}: {error}", directory.display()))
    };
    let own = directory.join(DIRECTORY);
    // Whoever takes the lab down must find this process before it has anything.
    fs::write(own.join("pid"), std::process::id().to_string())
        .map_err(|error| failed("cannot write its process id", &error))?;
    let lab = Lab::read(directory)?;
    let names = std::iter::once(CONTROL.to_owned());
    let names: Vec<String> = names.chain(lab.nodes.iter().map(|node| node.name.clone())).collect();
    let bridge = lab.bridge();
    let mut devices = Vec::new();
    for name in &names {
        let name = if name == CONTROL { bridge.clone() } else { device(&bridge, name) };
        let made = DeviceBuilder::new().name(&name).mtu(MOST_BYTES as u16).inherit_enable_state();
        devices.push(made.build_sync().map_err(|error| failed(&format!("device {name}"), &error))?);
    }
    let count = devices.len();
    let addresses = std::iter::once(Ipv4Addr::new(10, 77, lab.number, 254));
    let nodes = (1..count).map(|index| Ipv4Addr::new(10, 77, lab.number, index as u8));
    let shared = Arc::new(Shared {
        devices,
        addresses: addresses.chain(nodes).collect(),
        table: RwLock::new(Table::empty(count)),
        late: Mutex::default(),
        changed: Condvar::new(),
        waiting: (0..count * count).map(|_| AtomicUsize::new(0)).collect(),
        number: AtomicU64::new(0),
    });
    for from in 0..count {
        let shared = shared.clone();
        // A device that is gone ends its thread; the others go on.
        std::thread::spawn(move || shared.read(from));
    }
    let deliverer = shared.clone();
    std::thread::spawn(move || deliverer.deliver());
    fs::write(own.join("ready"), "").map_err(|error| failed("cannot say so", &error))?;
    shared.obey(&own, &names);
    Ok(())
}

/// What the threads share.
struct Shared {
    devices: Vec<SyncDevice>,
    addresses: Vec<Ipv4Addr>,
    table: RwLock<Table>,
    /// What is under way, the next to arrive on top.
    late: Mutex<BinaryHeap<Reverse<Late>>>,
    changed: Condvar,
    /// By `from * devices + to`, how many packets of the link are under way.
    waiting: Vec<AtomicUsize>,
    /// The number of the last packet that was late: of two for one instant the first goes first.
    number: AtomicU64,
}

/// A packet that is under way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Late {
    arrival: Instant,
    number: u64,
    from: usize,
    to: usize,
    packet: Vec<u8>,
}

impl Shared {
    /// Reads what a device sends, for as long as it can be read.
    fn read(&self, from: usize) {
        let mut random = Random::stream(1, &format!("switch-{from}"));
        let mut links = vec![Link::default(); self.devices.len()];
        let mut buffer = vec![0; 65_536];
        loop {
            let length = match self.devices[from].recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let packet = &buffer[..length];
            if let Some(to) = self.destination(packet) {
                self.forward((from, to), packet, &mut links[to], &mut random);
            }
        }
    }

    /// Whose address a packet has; nobody's, if it is not IPv4.
    fn destination(&self, packet: &[u8]) -> Option<usize> {
        let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
        (packet[0] >> 4 == 4).then_some(())?;
        self.addresses.iter().position(|own| *own == Ipv4Addr::from(address))
    }

    fn forward(
        &self,
        (from, to): (usize, usize),
        packet: &[u8],
        link: &mut Link,
        random: &mut Random,
    ) {
        let now = Instant::now();
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let fate = link.carry(&table, (from, to), packet.len(), now, random);
        drop(table);
        let send = |arrival: Instant| {
            let waiting = &self.waiting[from * self.devices.len() + to];
            if arrival <= now && waiting.load(Ordering::Acquire) == 0 {
                // What a device does not take is lost, as on any network.
                let _ = self.devices[to].send(packet);
                return;
            }
            waiting.fetch_add(1, Ordering::AcqRel);
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            let late = Late { arrival, number, from, to, packet: packet.to_vec() };
            self.late().push(Reverse(late));
            self.changed.notify_one();
        };
        match fate {
            Fate::Dropped => {}
            Fate::Once(arrival) => send(arrival),
            Fate::Twice(first, second) => {
                send(first);
                send(second);
            }
        }
    }

    fn late(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Late>>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers what is late when its time has come.
    fn deliver(&self) {
        let mut late = self.late();
        loop {
            let now = Instant::now();
            let wait = late.peek().map(|Reverse(next)| next.arrival.saturating_duration_since(now));
            late = match wait {
                None => self.changed.wait(late).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    if let Some(Reverse(next)) = late.pop() {
                        drop(late);
                        let _ = self.devices[next.to].send(&next.packet);
                        let link = next.from * self.devices.len() + next.to;
                        self.waiting[link].fetch_sub(1, Ordering::AcqRel);
                    }
                    self.late()
                }
                Some(wait) => {
                    let waited = self.changed.wait_timeout(late, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Puts rules in force whenever there are new ones, until the directory is gone.
    fn obey(&self, own: &Path, names: &[String]) {
        let mut last = String::new();
        while own.exists() {
            std::thread::sleep(LOOK_AGAIN);
            let Ok(text) = fs::read_to_string(own.join("rules")) else { continue };
            if text == last {
                continue;
            }
            let said = match Table::parse(&text, names) {
                Ok(table) => {
                    let generation = table.generation;
                    *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
                    generation.to_string()
                }
                Err(why) => format!("{} {why}", text.lines().next().unwrap_or_default()),
            };
            last = text;
            let new = own.join("in-force.new");
            // Who waits for it sees that it does not come.
            let _ =
                fs::write(&new, said + "\n").and_then(|()| fs::rename(new, own.join("in-force")));
        }
    }
}
