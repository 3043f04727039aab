//! A lab without root: in a user namespace, where the kernel lets users have one.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::lab::state::{LABS, LabError};

/// What is done in the new namespaces before the program runs there: a place for the names of network
/// namespaces, and a loopback of its own.
const PREPARE: &str = "mount -t tmpfs run /run && ip link set lo up && exec \"$@\"";

/// Whether namespaces can be made: by root, or by whoever is root of a user namespace.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Runs this program anew, with the same arguments, as root of namespaces of its own; returns only if
/// that cannot be. When it ends, however it ends, the kernel kills whatever it has started: its
/// processes have a namespace too. Labs lie below the user's home there.
///
/// A server that changes its user cannot run so: there is no other user to change to.
pub fn run_as_root_of_a_namespace() -> LabError {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("rashomon"));
    let labs = std::env::var_os(LABS).map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
        Some(PathBuf::from(home).join(".local/state/rashomon/labs"))
    });
    let Some(labs) = labs else {
        return LabError::Failed(format!("a lab without root needs HOME or {LABS}"));
    };
    // Where a user does not look, but servers and `nft` are.
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let error = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork"])
        .args(["--mount-proc", "--kill-child", "sh", "-c", PREPARE, "sh"])
        .arg(program)
        .args(arguments)
        .env(LABS, labs)
        .env("PATH", path)
        .exec();
    LabError::Failed(format!("a lab needs root, or `unshare`: {error}"))
}
