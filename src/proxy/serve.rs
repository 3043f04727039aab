//! The process of a proxy: ports, rules and leases until it is stopped.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, lookup_host};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::proxy::control::Control;
use crate::proxy::definition::{Definition, Way};
use crate::proxy::http;
use crate::proxy::link::{Gate, Link, Probes};

/// How often leases are looked at: a rule ends that much late.
const GLANCE: Duration = Duration::from_millis(20);

/// Carries the links of `definition` until `stop` is set, or nobody has renewed it for `lease`.
/// `announce` is told when every port is listened on.
///
/// # Errors
/// If a port cannot be listened on, with its link; or no thread can be started.
pub fn serve(
    definition: &Definition,
    lease: Option<Duration>,
    announce: impl FnOnce(),
    stop: &AtomicBool,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("rashomon-proxy")
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        // First of all, so that of two proxies of one file the second gives up here.
        let control = TcpListener::bind(definition.control).await.map_err(|error| {
            io::Error::new(error.kind(), format!("control {}: {error}", definition.control))
        })?;
        let probes = Arc::new(Probes::default());
        let homes = homes(definition).await;
        let mut gates = Vec::new();
        let mut listeners = Vec::new();
        for port in &definition.ports {
            let way = |from: &String| Way { from: from.clone(), to: port.to.clone() };
            let links = port.from.iter().map(|from| Arc::new(Link::new(way(from), port))).collect();
            let listener = TcpListener::bind(port.listen).await.map_err(|error| {
                let link = format!("{}>{}", port.from.join(","), port.to);
                io::Error::new(error.kind(), format!("{link}, {}: {error}", port.listen))
            })?;
            let (probes, homes) = (probes.clone(), homes.clone());
            gates.push(Arc::new(Gate { links, probes, homes, strangers: 0.into() }));
            listeners.push(listener);
        }
        let apart = definition.apart.clone();
        let state = Arc::new(Control::new(gates.clone(), probes, apart, lease));
        for (gate, listener) in gates.into_iter().zip(listeners) {
            tokio::spawn(gate.serve(listener));
        }
        tokio::spawn(listen(control, state.clone()));
        announce();
        while !stop.load(Ordering::Relaxed) && !state.is_over() {
            state.expire().await;
            sleep(GLANCE).await;
        }
        Ok(())
    });
    // Whoever looks for a sender just now is not waited for.
    runtime.shutdown_background();
    ended
}

/// Answers those who set rules.
async fn listen(control: TcpListener, state: Arc<Control>) {
    loop {
        let Ok((stream, _)) = control.accept().await else {
            sleep(GLANCE).await;
            continue;
        };
        let state = state.clone();
        tokio::spawn(http::connection(stream, move |request| {
            let (respond, response) = oneshot::channel();
            let state = state.clone();
            tokio::spawn(async move {
                // Whoever asked may be gone; what was asked is done all the same.
                let _ = respond.send(state.answer(&request).await);
            });
            response
        }));
    }
}

/// Where each node listens.
async fn homes(definition: &Definition) -> Arc<[(String, SocketAddr)]> {
    let mut homes = Vec::new();
    for port in &definition.ports {
        if let Ok(addresses) = lookup_host(&port.connect).await {
            homes.extend(addresses.map(|address| (port.to.clone(), address)));
        }
    }
    homes.into()
}
