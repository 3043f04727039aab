//! Who may break, set up or mend something now.
//!
//! Whoever heals and then leaves at once, while the threads of the run go on, must not meet a command that
//! is half done, and none may begin behind it: a fault would come into force after it was undone.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Held for reading by whoever runs a command, for as long as it runs. Nobody takes it twice.
static GATE: RwLock<()> = RwLock::const_new(());

/// Waits until it is open. It stays so for as long as what is returned lives.
pub(super) async fn pass() -> RwLockReadGuard<'static, ()> {
    GATE.read().await
}

/// The same where nothing is asynchronous.
pub(crate) fn pass_blocking() -> RwLockReadGuard<'static, ()> {
    GATE.blocking_read()
}

/// Waits for the command that is under way, and lets no other of this process begin for as long as what is
/// returned lives, but those of [`heal`](crate::target::heal).
pub fn shut() -> RwLockWriteGuard<'static, ()> {
    GATE.blocking_write()
}
