//! Ports that are listened on, and the connections that come in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::model::Random;
use crate::proxy::definition::{Port, Way};
use crate::proxy::pump::{Ended, Pump};
use crate::proxy::rule::{New, Rule, Rules, Stopped, Sum};
use crate::proxy::sender;

/// How long a node may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How often it is looked whether who waits behind a cut is still there.
const STILL_THERE: Duration = Duration::from_millis(200);

/// One link: the connections that `way.from` opens to `way.to`.
#[derive(Debug)]
pub(super) struct Link {
    pub way: Way,
    pub listen: SocketAddr,
    pub connect: String,
    /// The rules of what `from` sends.
    pub forward: watch::Sender<Rules>,
    /// The rules of what `to` answers.
    pub backward: watch::Sender<Rules>,
    /// How many connections there were, and how many there are.
    pub opened: AtomicU64,
    pub open: AtomicU64,
}

impl Link {
    pub(super) fn new(way: Way, port: &Port) -> Self {
        Self {
            way,
            listen: port.listen,
            connect: port.connect.clone(),
            forward: watch::Sender::new(Arc::new([])),
            backward: watch::Sender::new(Arc::new([])),
            opened: AtomicU64::new(0),
            open: AtomicU64::new(0),
        }
    }
}

/// The connections that the proxy itself is about to open, by the port from which they come.
#[derive(Debug, Default)]
pub(super) struct Probes(Mutex<BTreeMap<u16, Probe>>);

/// A connection of the proxy through one of its links.
#[derive(Debug)]
pub(super) struct Probe {
    /// The link it is for.
    pub way: Way,
    /// The number it has in the eyes of rules for every second connection.
    pub number: u64,
    /// Where its other end goes.
    pub far: oneshot::Sender<TcpStream>,
}

impl Probes {
    pub(super) fn expect(&self, port: u16, probe: Probe) {
        if let Ok(mut probes) = self.0.lock() {
            probes.insert(port, probe);
        }
    }

    pub(super) fn take(&self, port: u16) -> Option<Probe> {
        self.0.lock().ok()?.remove(&port)
    }
}

/// A port and the links behind it.
#[derive(Debug)]
pub(super) struct Gate {
    pub links: Vec<Arc<Link>>,
    pub probes: Arc<Probes>,
    /// Where each node listens: so it is found out who connects to a port that several know.
    pub homes: Arc<[(String, SocketAddr)]>,
    /// How many connections were refused because nobody knows whose they are.
    pub strangers: AtomicU64,
}

impl Gate {
    /// Accepts for ever.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((near, peer)) => {
                    tokio::spawn(self.clone().admit(near, peer));
                }
                // No more files, or a connection that is gone already.
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn admit(self: Arc<Self>, near: TcpStream, peer: SocketAddr) {
        let probe = self.probes.take(peer.port());
        let link = match &probe {
            Some(probe) => self.links.iter().find(|link| link.way == probe.way).cloned(),
            None => self.sender(&near, peer).await,
        };
        let Some(link) = link else {
            self.strangers.fetch_add(1, Ordering::Relaxed);
            let _ = near.set_zero_linger();
            return;
        };
        let number = match &probe {
            Some(probe) => probe.number,
            None => link.opened.fetch_add(1, Ordering::Relaxed),
        };
        let connection = Connection { link, number, counts: probe.is_none() };
        connection.carry(near, probe.map(|probe| probe.far)).await;
    }

    async fn sender(&self, near: &TcpStream, peer: SocketAddr) -> Option<Arc<Link>> {
        if let [link] = &self.links[..] {
            return Some(link.clone());
        }
        let (homes, local) = (self.homes.clone(), near.local_addr().ok()?);
        let find = move || sender::find(&homes, peer, local);
        let name = tokio::task::spawn_blocking(find).await.ok()??;
        self.links.iter().find(|link| link.way.from == name).cloned()
    }
}

/// How a connection is closed.
enum Close {
    Orderly,
    Reset,
    /// One end is reset; the other one is left alone until the rule ends.
    HalfOpen(Arc<Rule>, Stays),
}

#[derive(Clone, Copy)]
enum Stays {
    Near,
    Far,
}

struct Connection {
    link: Arc<Link>,
    number: u64,
    counts: bool,
}

impl Connection {
    async fn carry(self, mut near: TcpStream, probe: Option<oneshot::Sender<TcpStream>>) {
        let _counted = self.counts.then(|| Counted::new(&self.link.open));
        let _ = near.set_nodelay(true);
        let far = if self.is_let_through(&near).await { self.connect(probe).await } else { None };
        let Some(mut far) = far else {
            let _ = near.set_zero_linger();
            return;
        };
        let _ = far.set_nodelay(true);
        let close = {
            let (near_read, near_write) = near.split();
            let (far_read, far_write) = far.split();
            let forth = self.pump(&self.link.forward, "forth").run(near_read, far_write);
            let back = self.pump(&self.link.backward, "back").run(far_read, near_write);
            both(forth, back).await
        };
        if matches!(close, Close::Orderly) {
            return;
        }
        let _ = near.set_zero_linger();
        let _ = far.set_zero_linger();
        if let Close::HalfOpen(rule, stays) = close {
            let (stays, goes, rules) = match stays {
                Stays::Near => (near, far, &self.link.forward),
                Stays::Far => (far, near, &self.link.backward),
            };
            drop(goes);
            self.swallow(stays, &rule, rules.subscribe()).await;
        }
    }

    /// Waits as long as a cut lets no new connection through; whether it is then still wanted.
    async fn is_let_through(&self, near: &TcpStream) -> bool {
        let mut forward = self.link.forward.subscribe();
        let mut backward = self.link.backward.subscribe();
        let mut hung: Option<Arc<Rule>> = None;
        loop {
            let forth = Sum::of(&forward.borrow_and_update(), self.number);
            let back = Sum::of(&backward.borrow_and_update(), self.number);
            let bars = [forth.bars(), back.bars()];
            let refuses = bars.iter().flatten().find(|(_, new)| *new == New::Refuse);
            if let Some((rule, _)) = refuses {
                self.count(&rule.stopped.refused, 1);
                return false;
            }
            let Some((rule, _)) = bars.into_iter().flatten().next() else { return true };
            if hung.as_ref().is_none_or(|other| other.id != rule.id) {
                self.count(&rule.stopped.hung, 1);
                hung = Some(rule.clone());
            }
            tokio::select! {
                _ = forward.changed() => {}
                _ = backward.changed() => {}
                () = sleep(STILL_THERE) => {}
            }
            let ready = timeout(Duration::ZERO, near.ready(Interest::READABLE)).await;
            if ready.is_ok_and(|ready| {
                ready.is_err() || ready.is_ok_and(tokio::io::Ready::is_read_closed)
            }) {
                return false;
            }
        }
    }

    /// The other end: the node, or for a probe the proxy itself.
    async fn connect(&self, probe: Option<oneshot::Sender<TcpStream>>) -> Option<TcpStream> {
        let Some(probe) = probe else {
            let connected = timeout(CONNECT, TcpStream::connect(&self.link.connect)).await;
            return connected.ok()?.ok();
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.ok()?;
        let far = TcpStream::connect(listener.local_addr().ok()?).await.ok()?;
        let (other, peer) = listener.accept().await.ok()?;
        let is_ours = far.local_addr().is_ok_and(|own| own == peer);
        probe.send(other).ok().filter(|()| is_ours).map(|()| far)
    }

    fn pump(&self, rules: &watch::Sender<Rules>, way: &str) -> Pump {
        let rules = rules.subscribe();
        let name = format!("{} {way}", self.link.way);
        let random = Random::stream(self.number, &name);
        Pump { rules, number: self.number, counts: self.counts, random }
    }

    /// Reads what the end that stays says, to nobody, until it closes or the rule ends.
    async fn swallow(
        &self,
        mut stays: TcpStream,
        rule: &Arc<Rule>,
        mut rules: watch::Receiver<Rules>,
    ) {
        let mut piece = vec![0; 16 << 10];
        loop {
            let there = rules.borrow_and_update().iter().any(|one| Arc::ptr_eq(one, rule));
            if !there {
                return;
            }
            tokio::select! {
                changed = rules.changed() => if changed.is_err() { return },
                read = stays.read(&mut piece) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(count) => self.count(&rule.stopped.held_bytes, count as u64),
                }
            }
        }
    }

    fn count(&self, counter: &AtomicU64, count: u64) {
        if self.counts {
            Stopped::add(counter, count);
        }
    }
}

/// Lets both directions run, and says how the connection is to be closed.
async fn both(forth: impl Future<Output = Ended>, back: impl Future<Output = Ended>) -> Close {
    let (mut forth, mut back) = (pin!(forth), pin!(back));
    let (mut ends, mut heard) = ([false, false], true);
    while ends != [true, true] {
        let (at, ended) = tokio::select! {
            biased;
            ended = &mut forth, if !ends[0] => (0, ended),
            ended = &mut back, if !ends[1] => (1, ended),
        };
        match ended {
            Ended::Said => {}
            // Who is gone may have said something before; that the other one hears first.
            Ended::Unheard => heard = false,
            Ended::Reset => return Close::Reset,
            Ended::HalfOpen(rule) => {
                return Close::HalfOpen(rule, if at == 0 { Stays::Near } else { Stays::Far });
            }
        }
        ends[at] = true;
    }
    if heard { Close::Orderly } else { Close::Reset }
}

/// Counts what there is.
struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
