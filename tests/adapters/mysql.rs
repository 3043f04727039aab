//! MariaDB.

use std::process::Command;

use rashomon::model::{Function, Kind, Value};

use crate::functions::{self, single};
use crate::server::{Server, free_port, is_installed, run};
use crate::{Asked, directory};

fn mariadb(port: u16) -> Server {
    let directory = directory(&format!("mariadb-{port}"));
    let data = directory.join("data");
    let user = if cfg!(unix) { "--user=root" } else { "" };
    run(Command::new("mariadb-install-db")
        .args(["--no-defaults", "--auth-root-authentication-method=normal", user])
        .arg(format!("--datadir={}", data.display())));
    let mut command = Command::new("mariadbd");
    command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", user]);
    command.arg(format!("--datadir={}", data.display())).arg(format!("--port={port}"));
    command.arg(format!("--socket={}", directory.join("socket").display()));
    command.args(["--innodb-buffer-pool-size=32M", "--performance-schema=OFF"]);
    Server::start(&mut command, directory)
}

fn target(port: u16, options: &str) -> Asked {
    Asked::open(&format!(
        "name = \"mariadb\"\nadapter = \"mysql\"\ntimeout = \"800ms\"\n[ready]\nwithin = \"60s\"\n[nodes]\n\
         n1 = \"127.0.0.1:{port}\"\n[mysql]\n{options}"
    ))
}

#[test]
fn every_function_is_understood_and_a_broken_connection_is_unknown() {
    if !is_installed("mariadbd", "mariadb-server", false)
        || !is_installed("mariadb-install-db", "mariadb-server", false)
    {
        return;
    }
    let port = free_port();
    let mut server = mariadb(port);
    for options in [
        "",
        "isolation = \"serializable\"\nupdate = \"read-modify-write\"\nselect-for-update = true\n\
         session = { innodb_lock_wait_timeout = 1 }\n",
    ] {
        for check in [
            functions::registers,
            functions::lists,
            functions::sets,
            functions::counters,
            functions::ids,
            functions::banks,
        ] {
            check(&mut target(port, options));
        }
    }
    let mut asked = target(port, "");
    let increment = || single(Function::Increment, Value::Int(1));
    asked.ok(increment());
    server.pause();
    asked.unknown(increment());
    server.resume();
    asked.ok(increment());
    server.pause();
    asked.begin(increment());
    std::thread::sleep(std::time::Duration::from_millis(100));
    server.kill();
    let event = asked.completion();
    assert_eq!(event.kind, Kind::Info, "{event:?}");
    let why = asked.fails(increment());
    assert!(why.contains("cannot connect"), "{why}");
}
