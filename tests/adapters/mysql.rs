//! MariaDB.

use std::process::Command;

use rashomon::model::{Function, Kind, Op, Value};

use crate::functions::{self, single};
use crate::server::{Server, free_port, is_installed, run};
use crate::{Asked, directory};

fn mariadb(port: u16) -> Server {
    let directory = directory(&format!("mariadb-{port}"));
    let data = directory.join("data");
    let user = if cfg!(unix) { "--user=root" } else { "" };
    // A server that starts removes the temporary tables of others from where it keeps its own.
    run(Command::new("mariadb-install-db")
        .env("TMPDIR", &directory)
        .args(["--no-defaults", "--auth-root-authentication-method=normal", user])
        .arg(format!("--datadir={}", data.display())));
    let mut command = Command::new("mariadbd");
    command.env("TMPDIR", &directory);
    command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", user]);
    command.arg(format!("--datadir={}", data.display())).arg(format!("--port={port}"));
    command.arg(format!("--socket={}", directory.join("socket").display()));
    command.args(["--innodb-buffer-pool-size=32M", "--performance-schema=OFF"]);
    Server::start(&mut command, directory)
}

/// What the server answers to a statement of ours.
fn said(port: u16, statement: &str) -> String {
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "-h", "127.0.0.1", "-P", &port.to_string(), "-u", "root"]);
    let output = client.args(["-N", "-e", statement, "test"]).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn is_there() -> bool {
    let programs = ["mariadbd", "mariadb-install-db", "mariadb"];
    programs.iter().all(|program| is_installed(program, "mariadb-server", false))
}

fn target(port: u16, options: &str) -> Asked {
    opened(port, "", options)
}

fn opened(port: u16, line: &str, options: &str) -> Asked {
    Asked::open(&format!(
        "name = \"mariadb\"\nadapter = \"mysql\"\ntimeout = \"800ms\"\n{line}\n[ready]\nwithin = \"60s\"\n[nodes]\n\
         n1 = \"127.0.0.1:{port}\"\n[mysql]\n{options}"
    ))
}

#[test]
fn every_function_is_understood_and_a_broken_connection_is_unknown() {
    if !is_there() {
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
    asked.send(increment());
    server.kill();
    let event = asked.completion();
    assert_eq!(event.kind, Kind::Info, "{event:?}");
    let why = asked.fails(increment());
    assert!(why.contains("cannot connect"), "{why}");
}

/// A server may be set not to commit by itself, to begin another transaction after each, to show few rows,
/// and to cut off what does not fit.
#[test]
fn the_settings_of_a_server_take_nothing_back_and_hide_nothing() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let _server = mariadb(port);
    // The database and its tables are made by whoever comes first.
    drop(target(port, ""));
    let settings = "set global autocommit = 0, global completion_type = 1, global sql_select_limit = 2, \
                    global sql_mode = ''";
    assert_eq!(said(port, settings), "");
    // Nor does the target file.
    for session in ["", "session = { sql_mode = \"\", autocommit = 0 }\n"] {
        functions::registers(&mut target(port, session));
    }
    let mut asked = target(port, "session = { autocommit = 0 }\n");
    let write = |value| Op::write(Value::text("x"), Value::Int(value));
    asked.ok(write(1));
    let writes =
        [write(2), single(Function::Append, Value::Int(1))].map(|mut op| op.mops.remove(0));
    asked.ok(Op::txn(writes.to_vec()));
    asked.ok(write(3));
    // Another process has another connection.
    asked.next = 1;
    assert_eq!(asked.ok(Op::read(Value::text("x"))), Value::Int(3));
    let mut asked = target(port, "");
    for element in [1, 2, 3] {
        asked.ok(single(Function::Add, Value::Int(element)));
    }
    asked.fails(single(Function::Add, Value::text(&"long".repeat(100))));
    let key = single(Function::Add, Value::Null).key().clone();
    let Value::List(elements) = asked.ok(Op::read(key)) else { panic!("no list") };
    assert_eq!(elements.len(), 3, "{elements:?}");
}

#[test]
fn a_run_removes_what_it_made() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let _server = mariadb(port);
    // The database and its tables are made by whoever comes first.
    drop(target(port, ""));
    let count = || said(port, functions::ROWS).trim().parse().expect("a number");
    functions::clearing(|line| opened(port, line, ""), functions::write, count);
    let add = |number| single(Function::Add, Value::Int(number));
    functions::clearing(|line| opened(port, line, ""), add, count);
}
