//! An embedded store behind real HTTP on loopback, one port a node.
//!
//! ```text
//! client ── HTTP ──> connection (tokio) ── channel ──> the simulated store (this thread)
//!        <── JSON ──                    <── channel ──  its clock follows the real one
//! ```
//!
//! The store is the simulator's, with the latencies, losses and bugs that its options give it; only
//! its clock does not jump. So what is learned of it under virtual time can be tried with a real
//! adapter, real faults and a real CI, without a server. `workloads/targets/serve.toml` drives it.

#![expect(clippy::disallowed_methods, reason = "a served store lives in real time")]

mod protocol;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::model::{Action, FaultId, Invocation, Kind, Nanos, Op, Process, What};
use crate::proxy::http::{self, Request, Response};
use crate::run::serve::protocol::{Asked, FaultName};
use crate::target::Target;

/// How long the loop sleeps at most while somebody waits for an answer, and while nobody does.
const GLANCE: Duration = Duration::from_micros(200);
const REST: Duration = Duration::from_millis(5);

/// A request at a node, and where its response goes.
struct Message {
    node: Arc<str>,
    /// The connection it came on: a session of its own.
    session: u32,
    request: Request,
    respond: oneshot::Sender<Response>,
}

/// Serves `target` until `stop` is set. The nodes get the ports from `port` on, or free ones if it is
/// 0; `announce` is told where they listen, as soon as they do.
///
/// # Errors
/// If a port cannot be listened on, or no thread can be started.
pub fn serve(
    target: &mut dyn Target,
    port: u16,
    announce: impl FnOnce(&[(Arc<str>, SocketAddr)]),
    stop: &AtomicBool,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("rashomon-serve")
        .enable_all()
        .build()?;
    let (send, messages) = channel();
    let mut addresses = Vec::new();
    let sessions = Arc::new(Mutex::new(0_u32));
    for (at, node) in target.nodes().iter().enumerate() {
        let own = if port == 0 { 0 } else { port.saturating_add(at as u16) };
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", own)))?;
        addresses.push((node.clone(), listener.local_addr()?));
        let (node, send, sessions) = (node.clone(), send.clone(), sessions.clone());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let session = {
                    let Ok(mut next) = sessions.lock() else { return };
                    *next = next.wrapping_add(1);
                    *next
                };
                let (node, send) = (node.clone(), send.clone());
                tokio::spawn(http::connection(stream, move |request| {
                    let (respond, response) = oneshot::channel();
                    // Nobody listens any more once the store has stopped.
                    let _ = send.send(Message { node: node.clone(), session, request, respond });
                    response
                }));
            }
        });
    }
    announce(&addresses);
    let mut cluster = Cluster {
        target,
        start: Instant::now(),
        waiting: BTreeMap::new(),
        next_process: 0,
        faults: BTreeMap::new(),
        next_fault: 0,
    };
    cluster.run(&messages, stop);
    Ok(())
}

/// The store and whoever waits for it.
struct Cluster<'a> {
    target: &'a mut dyn Target,
    start: Instant,
    /// Every request is a process of its own: it is never asked again.
    waiting: BTreeMap<Process, oneshot::Sender<Response>>,
    next_process: u32,
    faults: BTreeMap<FaultName, FaultId>,
    next_fault: u32,
}

impl Cluster<'_> {
    fn run(&mut self, messages: &Receiver<Message>, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.catch_up();
            let pause = if self.waiting.is_empty() { REST } else { GLANCE };
            match messages.recv_timeout(pause) {
                Ok(message) => {
                    self.catch_up();
                    self.take(message);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Brings the clock of the store up to the real one; hands out what was answered meanwhile.
    fn catch_up(&mut self) {
        let now = Nanos(self.start.elapsed().as_nanos() as u64);
        while let Some(event) = self.target.advance(now) {
            let What::Client(client) = event.what else { continue };
            if let Some(respond) = self.waiting.remove(&client.process) {
                // A client that has hung up is not told.
                let _ = respond.send(protocol::answer(&client));
            }
        }
    }

    fn take(&mut self, message: Message) {
        let Message { node, session, request, respond } = message;
        let response = match protocol::read(&request) {
            Ok(Asked::Invoke { op, is_final, session: own }) => {
                return self.invoke(node, own.unwrap_or(session), op, is_final, respond);
            }
            Ok(Asked::Begin(name)) => self.begin(name.at(&node)),
            Ok(Asked::End(name)) => self.end(&name.at(&node)),
            Ok(Asked::Heal) => self.heal(),
            Ok(Asked::Faults) => protocol::faults(self.faults.keys()),
            Ok(Asked::Status) => {
                let leads = self.target.primary().is_some_and(|primary| primary == node);
                protocol::status(&node, leads)
            }
            Err(why) => Response::refusal(&why),
        };
        let _ = respond.send(response);
    }

    fn invoke(
        &mut self,
        node: Arc<str>,
        session: u32,
        op: Op,
        is_final: bool,
        respond: oneshot::Sender<Response>,
    ) {
        let process = Process(self.next_process);
        self.next_process = self.next_process.wrapping_add(1);
        let invocation =
            Invocation { process, session, node: Some(node), is_final, waited: Nanos(0), op };
        match self.target.begin(&Action::Invoke(invocation)) {
            Ok(()) => {
                self.waiting.insert(process, respond);
            }
            Err(error) => {
                let _ = respond.send(Response::refusal(&error.to_string()));
            }
        }
    }

    /// A fault that is in force already stays as it is: whoever injects it twice has it once.
    fn begin(&mut self, name: FaultName) -> Response {
        if self.faults.contains_key(&name) {
            return protocol::done();
        }
        let id = FaultId(self.next_fault);
        self.next_fault += 1;
        match self.target.begin(&Action::Begin(id, name.fault())) {
            Ok(()) => {
                self.faults.insert(name, id);
                protocol::done()
            }
            Err(error) => Response::refusal(&error.to_string()),
        }
    }

    /// A fault that is not in force is undone already.
    fn end(&mut self, name: &FaultName) -> Response {
        let Some(id) = self.faults.remove(name) else { return protocol::done() };
        match self.target.begin(&Action::End(id, name.fault())) {
            Ok(()) => protocol::done(),
            Err(error) => Response::refusal(&error.to_string()),
        }
    }

    fn heal(&mut self) -> Response {
        let names: Vec<FaultName> = self.faults.keys().cloned().collect();
        names
            .iter()
            .map(|name| self.end(name))
            .find(|one| one.status != 200)
            .unwrap_or_else(protocol::done)
    }
}

/// The status of an HTTP response to an operation that ended so.
fn status_of(kind: Kind) -> u16 {
    match kind {
        Kind::Ok | Kind::Invoke => 200,
        Kind::Fail => 409,
        Kind::Info => 504,
    }
}
