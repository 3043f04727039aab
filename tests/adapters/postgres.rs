//! PostgreSQL.

use std::path::Path;
use std::process::Command;

use rashomon::model::{Function, Kind, Nanos, Op, Value};
use rashomon::run::Terms;
use rashomon::workload::Workload;

use crate::functions::{self, single};
use crate::server::{Server, find, free_port, is_installed, run};
use crate::{Asked, directory};

/// A command of PostgreSQL, as a user who may run it: it refuses to be run by root.
fn command(program: &str) -> Command {
    let program = find(program).expect("PostgreSQL is whole");
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command
}

fn postgres(port: u16, settings: &str) -> Server {
    let directory = directory(&format!("postgres-{port}"));
    let data = directory.join("data");
    std::fs::create_dir(&data).expect("a directory of our own");
    if command("postgres").get_program() == "setpriv" {
        run(Command::new("chown").arg("postgres:postgres").arg(&data));
    }
    run(command("initdb").args(["-A", "trust", "-U", "postgres", "-N", "-D"]).arg(&data));
    let file = data.join("postgresql.conf");
    let own = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nfsync = off\n\
         shared_buffers = 16MB\n{settings}\n"
    );
    let text = std::fs::read_to_string(&file).expect("the settings") + &own;
    std::fs::write(&file, text).expect("the settings");
    start(&data, directory.clone())
}

fn start(data: &Path, directory: std::path::PathBuf) -> Server {
    Server::start(command("postgres").arg("-D").arg(data), directory)
}

/// What the server answers to a statement of ours.
fn psql(port: u16, statement: &str) -> String {
    let mut psql = Command::new(find("psql").expect("it is there"));
    psql.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres", "-Atc", statement]);
    String::from_utf8(psql.output().expect("psql runs").stdout).expect("text")
}

fn is_there() -> bool {
    is_installed("postgres", "postgresql-15", true)
}

fn target(port: u16, options: &str) -> Asked {
    opened(port, "", options)
}

fn opened(port: u16, line: &str, options: &str) -> Asked {
    Asked::open(&format!(
        "name = \"postgres\"\nadapter = \"postgres\"\ntimeout = \"800ms\"\n{line}\n[ready]\nwithin = \"60s\"\n\
         [nodes]\nn1 = \"127.0.0.1:{port}\"\n[postgres]\n{options}"
    ))
}

/// One that waits long for its answers.
fn patient(port: u16) -> Asked {
    Asked::open(&format!(
        "name = \"postgres\"\nadapter = \"postgres\"\ntimeout = \"10s\"\n[nodes]\nn1 = \"127.0.0.1:{port}\"\n"
    ))
}

#[test]
fn every_function_is_understood() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let _server = postgres(port, "");
    for options in [
        "",
        "isolation = \"serializable\"\nupdate = \"read-modify-write\"\nselect-for-update = true\n\
         session = { synchronous_commit = \"off\" }\n",
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
    assert_eq!(target(port, "").target.primary().as_deref(), Some("n1"));
}

#[test]
fn a_backslash_is_read_as_it_was_written() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let _server = postgres(port, "standard_conforming_strings = off");
    for check in [functions::registers, functions::lists] {
        check(&mut target(port, ""));
    }
}

#[test]
fn silence_is_unknown_and_a_refusal_fails() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let mut server = postgres(port, "");
    let mut asked = target(port, "");
    let increment = || single(Function::Increment, Value::Int(1));
    asked.ok(increment());
    server.kill();
    // The backend sees that and ends; its connection is found broken by who uses it next.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let event = asked.ask(increment());
    assert_eq!(event.kind, Kind::Info, "{event:?}");
    let why = asked.fails(increment());
    assert!(why.contains("cannot connect"), "{why}");
}

/// A commit that waits for a standby which is not there is cancelled: a success with a warning.
#[test]
fn a_cancelled_synchronous_commit_is_unknown() {
    if !is_there() || !is_installed("psql", "postgresql-client-15", true) {
        return;
    }
    let port = free_port();
    let mut server = postgres(port, "synchronous_standby_names = 'nobody'");
    // The tables are made without waiting; the writes wait.
    let mut asked = target(port, "session = { synchronous_commit = \"local\" }\n");
    functions::counters(&mut asked);
    let mut asked = patient(port);
    // Does that to the one who waits for a standby, as soon as there is one.
    let to_who_waits = |asked: &mut Asked, act: &str| {
        let question =
            format!("select count({act}) from pg_stat_activity where wait_event = 'SyncRep'");
        while !psql(port, &question).starts_with('1') {
            let soon = asked.target.now() + Nanos::from_millis(50);
            assert_eq!(asked.target.advance(soon), None);
        }
    };
    let mops = ["x", "y"].map(|key| Op::write(Value::text(key), Value::Int(2)).mops.remove(0));
    for op in [Op::write(Value::text("x"), Value::Int(1)), Op::txn(mops.to_vec())] {
        asked.send(op);
        to_who_waits(&mut asked, "pg_cancel_backend(pid)");
        let event = asked.completion();
        let why = event.error.unwrap_or_default();
        assert_eq!(event.kind, Kind::Info, "{why}");
        assert!(why.contains("synchronous replication"), "{why}");
    }
    assert_eq!(asked.ok(Op::read(Value::text("x"))), Value::Int(2));
    // It is committed on disk and waits when the server dies.
    asked.send(Op::write(Value::text("x"), Value::Int(3)));
    to_who_waits(&mut asked, "pid");
    server.kill();
    let event = asked.completion();
    assert_eq!(event.kind, Kind::Info, "{event:?}");
}

/// Of a store that only speaks the protocol, an error need not mean that the transaction is taken back.
#[test]
fn an_error_of_the_server_itself_is_unknown() {
    if !is_there() || !is_installed("psql", "postgresql-client-15", true) {
        return;
    }
    let port = free_port();
    let _server = postgres(port, "");
    drop(target(port, ""));
    // After each the connection is a new one.
    let mut asked = patient(port);
    for (code, kind) in [
        ("XX000", Kind::Info),
        ("57P03", Kind::Info),
        ("58030", Kind::Info),
        ("08006", Kind::Info),
        ("40003", Kind::Info),
        ("57014", Kind::Fail),
        ("53100", Kind::Fail),
    ] {
        psql(
            port,
            &format!(
                "create or replace function broken() returns trigger language plpgsql as $$
                 begin raise exception using errcode = '{code}'; end $$;
                 create or replace trigger broken before insert on rashomon_registers
                 for each row execute function broken()"
            ),
        );
        let event = asked.ask(Op::write(Value::text("x"), Value::Int(1)));
        assert_eq!(event.kind, kind, "{code}: {event:?}");
        assert!(event.error.is_some_and(|why| why.starts_with(code)));
    }
}

/// Two transactions that cannot both be serializable: the server takes one back.
#[test]
fn what_the_server_takes_back_fails() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let _server = postgres(port, "");
    let options = "isolation = \"serializable\"\nupdate = \"read-modify-write\"\n";
    let mut asked = target(port, options);
    let append = |value| single(Function::Append, Value::Int(value));
    asked.ok(append(0));
    let (mut done, mut failed) = (1, 0);
    for round in 1..20 {
        for process in 0..4 {
            asked.next = process;
            asked.begin(append(round * 10 + i64::from(process)));
        }
        for _ in 0..4 {
            match asked.completion() {
                event if event.kind == Kind::Ok => done += 1,
                event if event.kind == Kind::Fail => {
                    assert!(event.error.is_some_and(|why| why.starts_with("40001")));
                    failed += 1;
                }
                event => panic!("{event:?}"),
            }
        }
    }
    assert!(failed > 0, "four at a time and no conflict");
    let key = append(0).key().clone();
    let Value::List(list) = asked.ok(Op::read(key)) else { panic!("no list") };
    assert_eq!(list.len(), done, "an append is there if and only if it was ok");
}

/// Of several machines that drive one run, one that only reads at first reads what the others wrote.
#[test]
fn a_machine_reads_what_another_one_wrote() {
    if !is_there() {
        return;
    }
    let port = free_port();
    let _server = postgres(port, "");
    let place = directory(&format!("postgres-machines-{port}"));
    let file = place.join("workload.toml");
    std::fs::write(
        place.join("target.toml"),
        format!(
            "name = \"postgres\"\nadapter = \"postgres\"\n[ready]\nwithin = \"60s\"\n[nodes]\n\
             n1 = \"127.0.0.1:{port}\"\n"
        ),
    )
    .expect("a file of our own");
    let text = "name = \"w\"\nabout = \"a\"\n[clients]\ncount = 1\nrate = 1\n[keys]\ncount = 1\n\
                [[operation]]\ndo = \"append\"\n[[operation]]\ndo = \"read\"\n[phases]\nmain = \"1s\"\n\
                [expect]\nhold = [\"linearizable\"]\n[target]\nfile = \"target.toml\"\n";
    let workload = Workload::parse("workload.toml", text, &[]).expect("it is right");
    let machine = || {
        let terms = Terms { run_name: Some("several".to_owned()), owned: true };
        let opened = rashomon::run::open(&file, &workload, 1, &place, terms);
        let target = opened.unwrap_or_else(|error| panic!("{error}")).target;
        let nodes = target.nodes().to_vec();
        Asked { target, next: 0, nodes }
    };
    let (mut one, mut other) = (machine(), machine());
    let append = single(Function::Append, Value::Int(7));
    let key = append.key().clone();
    one.ok(append);
    assert_eq!(other.ok(Op::read(key)), Value::list([Value::Int(7)]));
    let _ = std::fs::remove_dir_all(place);
}

#[test]
fn a_run_removes_what_it_made() {
    if !is_there() || !is_installed("psql", "postgresql-client-15", true) {
        return;
    }
    let port = free_port();
    let _server = postgres(port, "");
    // The tables are made by whoever comes first.
    drop(target(port, ""));
    let count = || {
        let answer = psql(port, functions::ROWS);
        answer.trim().parse().unwrap_or_else(|_| panic!("{answer}"))
    };
    functions::clearing(|line| opened(port, line, ""), functions::write, count);
    let add = |number| single(Function::Add, Value::Int(number));
    functions::clearing(|line| opened(port, line, ""), add, count);
}
