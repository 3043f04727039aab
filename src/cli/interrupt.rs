//! Ctrl-C: once stops the run, which heals and checks what it has; twice heals and quits.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A flag that is set by Ctrl-C or by a request to terminate.
#[cfg(feature = "live")]
pub(crate) fn flag(quit: impl Fn() + Send + 'static) -> Arc<AtomicBool> {
    use std::sync::atomic::Ordering;

    use tokio::signal::unix::{SignalKind, signal};

    let stop = Arc::new(AtomicBool::new(false));
    let (raised, stopped) = (stop.clone(), stop.clone());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async move {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if raised.swap(true, Ordering::Relaxed) {
                    return;
                }
            }
        });
        // It has a runtime of its own, which no other may surround.
        if stopped.load(Ordering::Relaxed) {
            quit();
        }
    });
    stop
}

/// Without live targets nothing outlives this process that would have to be healed.
#[cfg(not(feature = "live"))]
pub(crate) fn flag(_quit: impl Fn() + Send + 'static) -> Arc<AtomicBool> {
    Arc::default()
}
